//! `describe`: everything about one model, data set, evaluation or metric.

use aelab_core::{DataSpec, Domain, Registry};
use aelab_data::DATASETS;
use aelab_eval::{EVALUATIONS, metrics};
use aelab_experiment::{nearest_name, section_schema, to_yaml};
use serde_json::{Map, Value, json};

use crate::EXIT_DONE;
use crate::objective::term_lines;
use crate::options::option_lines;
use crate::terminal::print_line;

/// Prints what is known of `name`.
pub(crate) fn describe(name: &str, registry: &Registry) -> anyhow::Result<u8> {
    print_line(text(name, registry)?.trim_end());
    Ok(EXIT_DONE)
}

fn text(name: &str, registry: &Registry) -> anyhow::Result<String> {
    if let Some(entry) = registry.find(name) {
        let example = (entry.example)();
        let mut text = head("model", name, entry.summary, entry.citation);
        text.push_str(&options(&section_schema(entry.schema)));
        // Domains that the example suits differ: the first that it accepts shows its terms.
        let data = [Domain::UnitInterval, Domain::Binary, Domain::Real]
            .into_iter()
            .flat_map(|domain| [DataSpec::new([1, 8, 8], domain), DataSpec::new([64], domain)])
            .find(|data| example.check(data).is_ok());
        if let Some(data) = data {
            text.push_str(&format!("\nobjective of the example below, on {} features\n", data.num_features()));
            text.extend(term_lines(&example.terms(&data), data.num_features(), 1.0).iter().map(|line| format!("  {line}\n")));
        }
        text.push_str(&example_yaml("model", name, example.resolved()));
        return Ok(text);
    }
    if let Some(entry) = DATASETS.iter().find(|entry| entry.name == name) {
        let mut text = head("data set", name, entry.summary, entry.citation);
        text.push_str(&options(&section_schema(entry.schema)));
        if let Ok(config) = (entry.parse)(json!({})) {
            text.push_str(&example_yaml("data", name, config.resolved()));
        }
        if entry.fetched {
            text.push_str(&format!("\nto get it: aelab data fetch {name}\n"));
        }
        return Ok(text);
    }
    if let Some(entry) = EVALUATIONS.iter().find(|entry| entry.name == name) {
        let mut text = head("evaluation", name, entry.summary, "");
        text.push_str(&options(&section_schema(entry.schema)));
        text.push_str(&format!("\nexample\n  evaluate: [{name}]\n"));
        return Ok(text);
    }
    if let Some(metric) = metrics().find(|metric| metric.name == name) {
        let unit = if metric.unit.is_empty() { "a plain number" } else { metric.unit };
        return Ok(format!(
            "metric {name}\n  {}\n  unit: {unit}\n  better: {}\n  version of the definition: {}\n",
            metric.definition,
            metric.direction.symbol(),
            metric.version
        ));
    }
    let models = registry.entries().iter().map(|entry| entry.name);
    let names: Vec<&str> = models
        .chain(DATASETS.iter().map(|entry| entry.name))
        .chain(EVALUATIONS.iter().map(|entry| entry.name))
        .chain(metrics().map(|metric| metric.name))
        .collect();
    let hint = nearest_name(name, &names).map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
    anyhow::bail!(
        "there is no model, data set, evaluation or metric `{name}`{hint} (see `aelab models`, `aelab datasets`, `aelab metrics`)"
    )
}

fn head(kind: &str, name: &str, summary: &str, citation: &str) -> String {
    let mut text = format!("{kind} {name}\n  {summary}\n");
    if !citation.is_empty() {
        text.push_str(&format!("\nsource\n  {citation}\n"));
    }
    text
}

fn options(schema: &Value) -> String {
    let lines = option_lines(schema);
    if lines.is_empty() {
        return "\noptions: none\n".to_owned();
    }
    let mut text = "\noptions\n".to_owned();
    text.extend(lines.iter().map(|line| format!("  {line}\n")));
    text
}

fn example_yaml(section: &str, name: &str, inner: Value) -> String {
    let one_key = |key: &str, value: Value| Value::Object(Map::from_iter([(key.to_owned(), value)]));
    let yaml = to_yaml(&one_key(section, one_key(name, inner)));
    let lines: Vec<String> = yaml.lines().map(|line| format!("  {line}\n")).collect();
    format!("\nexample\n{}", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_listed_is_described() {
        let registry = crate::builtin();
        let names = registry.entries().iter().map(|entry| entry.name).chain(DATASETS.iter().map(|entry| entry.name));
        for name in names.chain(EVALUATIONS.iter().map(|entry| entry.name)).chain(metrics().map(|metric| metric.name)) {
            let text = text(name, &registry).unwrap();
            assert!(text.contains(name) && text.lines().count() >= 3, "{text}");
        }
    }

    #[test]
    fn a_model_is_described_with_its_options_terms_and_an_example() {
        insta::assert_snapshot!(text("vae", &crate::builtin()).unwrap());
    }

    #[test]
    fn an_unknown_name_gets_the_nearest() {
        let error = text("undercompleet", &crate::builtin()).unwrap_err().to_string();
        assert!(error.contains("did you mean `undercomplete`?"), "{error}");
    }
}
