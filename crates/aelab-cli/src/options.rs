//! The options of a section as lines of text, from its JSON schema.

use serde_json::Value;

/// A line or more per option: name, type, default or `required`, and what it means.
pub(crate) fn option_lines(schema: &Value) -> Vec<String> {
    let definitions = &schema["$defs"];
    let section = &schema["section"];
    let required: Vec<&str> = section["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut lines = Vec::new();
    for (name, property) in section["properties"].as_object().into_iter().flatten() {
        let condition = match property.get("default") {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            Some(Value::Null) | None => "optional".to_owned(),
            Some(default) => format!("default {default}"),
        };
        lines.push(format!("{name}: {} ({condition})", type_name(property, definitions, 0)));
        let description = property.get("description").and_then(Value::as_str).unwrap_or_default();
        lines.extend(description.lines().filter(|line| !line.trim().is_empty()).map(|line| format!("    {}", line.trim())));
    }
    lines
}

/// A type in a few words.
fn type_name(schema: &Value, definitions: &Value, depth: usize) -> String {
    // Definitions that hold themselves end somewhere.
    if depth > 12 {
        return "map".to_owned();
    }
    let inner = |schema: &Value| type_name(schema, definitions, depth + 1);
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next()) {
        if name == "Scheduled" {
            return "number | schedule".to_owned();
        }
        return inner(&definitions[name]);
    }
    if let Some(value) = schema.get("const") {
        return word(value);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(word).collect::<Vec<_>>().join(" | ");
    }
    if let Some(alternatives) = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array) {
        let mut names: Vec<String> = Vec::new();
        for alternative in alternatives.iter().filter(|alternative| alternative.get("type") != Some(&Value::from("null"))) {
            let mut name = inner(alternative);
            if name.strip_prefix("list of ").is_some_and(|items| items == names.join(" | ")) {
                name = "list of these".to_owned();
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        return names.join(" | ");
    }
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
        _ => Vec::new(),
    };
    let name = |kind: &&str| match *kind {
        "integer" => "whole number".to_owned(),
        "boolean" => "true | false".to_owned(),
        "string" => "text".to_owned(),
        "array" => format!("list of {}", schema.get("items").map_or_else(|| "values".to_owned(), inner)),
        "object" => object_name(schema, &inner),
        other => other.to_owned(),
    };
    let names: Vec<String> = kinds.iter().map(name).collect();
    if names.is_empty() { "value".to_owned() } else { names.join(" | ") }
}

fn object_name(schema: &Value, inner: &dyn Fn(&Value) -> String) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return "map".to_owned() };
    let fields: Vec<String> = properties
        .iter()
        .map(|(name, property)| {
            let value = inner(property);
            if value.starts_with('{') {
                format!("{name}: {value}")
            } else {
                format!("{name}: {}", if value.contains(" | ") { ".." } else { &value })
            }
        })
        .collect();
    format!("{{{}}}", fields.join(", "))
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_are_told_with_type_default_and_meaning() {
        let schema = json!({
            "section": {
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "description": "How large."},
                    "kind": {"$ref": "#/$defs/Kind", "default": "plain"},
                    "rates": {"type": ["array", "null"], "items": {"type": "number"}},
                }
            },
            "$defs": {"Kind": {"oneOf": [{"const": "plain"}, {"type": "object", "properties": {"level": {"type": "number"}}}]}}
        });
        assert_eq!(
            option_lines(&schema),
            [
                "size: whole number (required)",
                "    How large.",
                "kind: plain | {level: number} (default \"plain\")",
                "rates: list of number (optional)"
            ]
        );
    }
}
