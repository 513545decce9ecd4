//! What serde's attributes say and the JSON schema must be told again.

use schemars::Schema;
use serde_json::{Value, json};

/// Lets a schema accept `latent_dim` in place of `code_size`.
pub(crate) fn accept_latent_dim(schema: &mut Schema) {
    accept_alias(schema, "code_size", "latent_dim");
}

/// Lets a schema accept `code_size` in place of `latent_dim`.
pub(crate) fn accept_code_size(schema: &mut Schema) {
    accept_alias(schema, "latent_dim", "code_size");
}

/// Makes `alias` a property like `key`, marked by `x-alias-of`, and requires exactly one of the two.
fn accept_alias(schema: &mut Schema, key: &str, alias: &str) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let Some(mut property) = properties.get(key).cloned() else { return };
    property["description"] = json!(format!("Another name of `{key}`."));
    property["x-alias-of"] = json!(key);
    properties.insert(alias.to_owned(), property);
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|required| required != key);
    }
    schema.insert("oneOf".to_owned(), json!([{"required": [key]}, {"required": [alias]}]));
}

/// Requires `key`, which may be null: what has no default, but may be nothing.
pub(crate) fn require_nullable(schema: &mut Schema, key: &str) {
    let required = schema.ensure_object().entry("required").or_insert_with(|| json!([]));
    if let Some(required) = required.as_array_mut()
        && !required.iter().any(|other| other == key)
    {
        required.push(json!(key));
    }
}

/// Reads a value that may be null but not left out: for `#[serde(deserialize_with)]`.
pub(crate) fn present<'de, D: serde::Deserializer<'de>, T: serde::Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    serde::Deserialize::deserialize(deserializer)
}
