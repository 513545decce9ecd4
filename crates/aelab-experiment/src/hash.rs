//! The identity of a trial: a hash of its resolved configuration.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// JSON with sorted keys and without spaces; numbers in their shortest form that reads back the same.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    push_canonical(&mut text, value);
    text
}

fn push_canonical(text: &mut String, value: &Value) {
    match value {
        Value::Object(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (position, (key, value)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                push_text(text, key);
                text.push(':');
                push_canonical(text, value);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                push_canonical(text, item);
            }
            text.push(']');
        }
        Value::String(inner) => push_text(text, inner),
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

/// A text as JSON; most need no escape.
fn push_text(text: &mut String, inner: &str) {
    if inner.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        text.push('"');
        text.push_str(inner);
        text.push('"');
    } else {
        text.push_str(&Value::from(inner).to_string());
    }
}

/// The first 16 hexadecimal digits of the SHA-256 of the canonical JSON.
pub fn short_hash(value: &Value) -> String {
    let digest = Sha256::digest(canonical_json(value).as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_hash_is_that_of_sha256() {
        // printf '{"a":1}' | sha256sum
        assert_eq!(short_hash(&json!({"a": 1})), "015abd7f5cc57a2d");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::from),
            "[a-z\"\\\\]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-e]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn reversed(value: &Value) -> Value {
        match value {
            Value::Object(entries) => Value::Object(entries.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect()),
            Value::Array(items) => Value::Array(items.iter().map(reversed).collect()),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn the_order_of_keys_does_not_matter(value in any_json()) {
            prop_assert_eq!(short_hash(&value), short_hash(&reversed(&value)));
        }

        #[test]
        fn canonical_json_is_json_of_the_same_value(value in any_json()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&canonical_json(&value)).unwrap(), value);
        }
    }
}
