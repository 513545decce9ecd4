//! The pages of docs/src/models say what the code does.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

use std::path::Path;

use aelab_core::{DataSpec, Domain, ModelEntry};
use aelab_models::MODELS;
use serde_json::Value;

fn page(entry: &ModelEntry) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/src/models/{}.md", entry.name));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of YAML on a page.
fn yaml_blocks(page: &str) -> Vec<&str> {
    page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_key_is_in_the_table_of_options_and_no_other() {
    for entry in MODELS {
        let page = page(entry);
        let rows = page.lines().skip_while(|line| !line.starts_with("| key |")).take_while(|line| line.starts_with('|'));
        let mut listed: Vec<&str> = rows.filter_map(|row| row.strip_prefix("| `")).map(|rest| rest.split('`').next().unwrap()).collect();
        let schema = (entry.schema)(&mut schemars::SchemaGenerator::new(schemars::generate::SchemaSettings::default().with(|settings| {
            settings.inline_subschemas = true;
        })));
        let properties = schema.get("properties").and_then(Value::as_object).unwrap();
        let mut keys: Vec<&str> =
            properties.iter().filter(|(_, property)| property.get("x-alias-of").is_none()).map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, keys, "{}", entry.name);
    }
}

#[test]
fn every_example_parses_and_fits_an_image() {
    let images = DataSpec { num_classes: Some(10), ..DataSpec::new([1, 28, 28], Domain::UnitInterval) };
    for entry in MODELS {
        // Data of the model's own kind where it is not for images.
        let example = (entry.example_data)();
        let data = if example.image_shape().is_some() { images.clone() } else { example };
        let page = page(entry);
        let blocks = yaml_blocks(&page);
        assert!(!blocks.is_empty(), "{}: no example", entry.name);
        for block in blocks {
            let experiment: Value = serde_yaml::from_str(block).unwrap_or_else(|error| panic!("{}: {error}\n{block}", entry.name));
            let section = experiment["model"][entry.name].clone();
            let config = (entry.parse)(section).unwrap_or_else(|error| panic!("{}: {}: {error}\n{block}", entry.name, error.path));
            config.check(&data).unwrap_or_else(|error| panic!("{}: {}: {error}\n{block}", entry.name, error.path));
            assert_eq!(config.warnings(&data), Vec::<String>::new(), "{}", entry.name);
        }
    }
}

#[test]
fn every_family_is_in_the_table_of_families() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/families.md");
    let table = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for entry in MODELS {
        assert!(table.contains(&format!("[`{0}`](models/{0}.md)", entry.name)), "{}", entry.name);
    }
}

#[test]
fn every_page_cites_what_the_model_cites() {
    for entry in MODELS {
        let link = entry.citation.split_whitespace().last().unwrap();
        assert!(page(entry).contains(link), "{}: {link}", entry.name);
    }
}
