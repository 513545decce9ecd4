//! The JSON schema of an experiment file, for completion and checking in editors.
//!
//! It is looser than aelab itself in one way: keys that an experiment may leave to `extends`, to its
//! sweep or to `--set` are not required.

use aelab_core::Registry;
use aelab_train::TrainConfig;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::search::{Budget, EarlyTermination, Goal, Sampler};
use crate::space::Distribution;
use crate::spec::Execution;

/// A name, a line about it, and the schema of its section.
struct Choice {
    name: &'static str,
    summary: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

/// The JSON schema of a whole experiment file.
pub fn experiment_schema(registry: &Registry) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let models: Vec<Choice> =
        registry.entries().iter().map(|entry| Choice { name: entry.name, summary: entry.summary, schema: entry.schema }).collect();
    let data: Vec<Choice> =
        aelab_data::DATASETS.iter().map(|entry| Choice { name: entry.name, summary: entry.summary, schema: entry.schema }).collect();
    let evaluations: Vec<Choice> =
        aelab_eval::EVALUATIONS.iter().map(|entry| Choice { name: entry.name, summary: entry.summary, schema: entry.schema }).collect();
    let mut loose: Vec<String> = Vec::new();
    let model = one_key_map(&models, &mut generator, &mut loose);
    let data = one_key_map(&data, &mut generator, &mut loose);
    let evaluation = one_key_map(&evaluations, &mut generator, &mut loose);
    let names: Vec<Value> = evaluations.iter().map(|choice| json!({"const": choice.name, "description": choice.summary})).collect();
    let train = generator.subschema_for::<TrainConfig>().to_value();
    loose.extend(definition_name(&train));
    let execution = generator.subschema_for::<Execution>().to_value();
    let [goal, early_termination, budget, sampler, distribution] = [
        generator.subschema_for::<Goal>(),
        generator.subschema_for::<EarlyTermination>(),
        generator.subschema_for::<Budget>(),
        generator.subschema_for::<Sampler>(),
        generator.subschema_for::<Distribution>(),
    ]
    .map(Schema::to_value);
    let mut definitions = generator.take_definitions(true);
    for name in loose {
        if let Some(definition) = definitions.get_mut(&name).and_then(Value::as_object_mut) {
            definition.remove("required");
        }
    }
    // A learning rate may be swept or derived.
    let optimizers = definitions.get_mut("OptimizerConfig").and_then(|optimizer| optimizer.get_mut("oneOf")).and_then(Value::as_array_mut);
    for optimizer in optimizers.into_iter().flatten().filter_map(|choice| choice.get_mut("properties")?.as_object_mut()) {
        optimizer.values_mut().filter_map(Value::as_object_mut).for_each(|options| drop(options.remove("required")));
    }
    definitions.insert("sweep".to_owned(), sweep_schema());
    definitions.insert("sweep_values".to_owned(), sweep_values_schema());
    definitions.insert("sampler".to_owned(), sampler_schema(&distribution));
    definitions.insert("requirements".to_owned(), requirements_schema());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "aelab experiment",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*$", "description": "Name of the experiment and of its run directory; by default that of the file."},
            "description": {"type": "string", "description": "What the experiment is about."},
            "tags": {"type": "array", "items": {"type": ["string", "number"]}, "uniqueItems": true, "description": "Words to find the run by."},
            "extends": {"type": "string", "description": "Another experiment file, relative to this one, whose keys this one adds to and replaces."},
            "data": with_description(data, "Where the examples come from: a map with one key, the name of a data set."),
            "model": with_description(model, "The model and its objective: a map with one key, the name of a model."),
            "train": with_description(train, "How the model is trained."),
            "evaluate": {
                "type": "array",
                "items": {"anyOf": [{"oneOf": names}, evaluation]},
                "description": "What is measured on the test split: names, or maps with one key. By default all that applies to the data."
            },
            "device": {"type": "string", "pattern": "^(auto|flex|ndarray|cuda(:[0-9]+)?)$", "default": "auto", "description": "Processor: `auto` is `flex`, the CPU."},
            "sweep": with_description(json!({"$ref": "#/$defs/sweep"}), "Which trials to run."),
            "require": with_description(json!({"$ref": "#/$defs/requirements"}), "What must hold of every trial, e.g. `code_size < input`; trials that break it are left out."),
            "derive": derive_schema(),
            "search": search_schema(sampler, distribution),
            "goal": with_description(goal, "What is good: for `search`, `early_termination` and `budget.target`."),
            "early_termination": with_description(early_termination, "Gives up trials that do badly."),
            "budget": with_description(budget, "When the run ends although there would be more to do."),
            "execution": with_description(execution, "How trials are run.")
        },
        "$defs": definitions
    })
}

/// The JSON schema of one section with its definitions: for `describe`.
pub fn section_schema(schema: fn(&mut SchemaGenerator) -> Schema) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let section = schema(&mut generator).to_value();
    let definitions = generator.take_definitions(true);
    let root = definition_name(&section).and_then(|name| definitions.get(&name).cloned()).unwrap_or(section);
    json!({"section": root, "$defs": definitions})
}

fn definition_name(schema: &Value) -> Option<String> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/").map(str::to_owned)
}

fn with_description(schema: Value, description: &str) -> Value {
    match schema {
        Value::Object(mut entries) => {
            entries.insert("description".to_owned(), description.into());
            Value::Object(entries)
        }
        other => other,
    }
}

fn one_key_map(choices: &[Choice], generator: &mut SchemaGenerator, loose: &mut Vec<String>) -> Value {
    let alternatives: Vec<Value> = choices
        .iter()
        .map(|choice| {
            let section = (choice.schema)(generator).to_value();
            loose.extend(definition_name(&section));
            let properties = Map::from_iter([(choice.name.to_owned(), with_description(section, choice.summary))]);
            json!({"type": "object", "additionalProperties": false, "required": [choice.name], "properties": properties})
        })
        .collect();
    json!({"oneOf": alternatives})
}

fn sweep_schema() -> Value {
    let operands = json!({"anyOf": [{"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/sweep"}}, {"$ref": "#/$defs/sweep"}]});
    let operator = |description: &str| with_description(operands.clone(), description);
    json!({
        "type": "object",
        "description": "The product of its entries; the last varies fastest.",
        "properties": {
            "product": operator("Every combination; the last operand varies fastest."),
            "zip": operator("Lock-step: operands of equal length, side by side."),
            "chain": operator("One after the other."),
            "repeat": repeat_schema(),
            "random": with_description(json!({"$ref": "#/$defs/sampler"}), "Independent points of a space."),
            "sobol": with_description(json!({"$ref": "#/$defs/sampler"}), "Points that fill a space evenly; best with a power of two."),
            "when": {"type": ["string", "boolean"], "description": "This map is there only where the expression holds of what is set before it, e.g. `model == vae`."},
            "require": with_description(json!({"$ref": "#/$defs/requirements"}), "What must hold of the trials of this map; those that break it are left out.")
        },
        "patternProperties": {
            "^(data|model|train|evaluate|device)([.].+)?$": {"$ref": "#/$defs/sweep_values"}
        },
        "additionalProperties": false
    })
}

fn repeat_schema() -> Value {
    let times = json!({"type": "integer", "minimum": 1});
    json!({
        "description": "Seeds: `train.seed`, `train.seed` + 1, ...; or a map that says which seeds count up.",
        "anyOf": [times.clone(), {
            "type": "object",
            "additionalProperties": false,
            "required": ["times"],
            "properties": {
                "times": with_description(times, "How many trials."),
                "vary": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "pattern": "^(data|model|train)[.](.+[.])?[a-z_]*seed$"},
                    "description": "Seeds that count up together; `[train.seed]` by default."
                }
            }
        }]
    })
}

fn sampler_schema(distribution: &Value) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["num", "space"],
        "properties": {
            "num": {"type": "integer", "minimum": 1, "description": "Points. More of them do not move those that are there."},
            "seed": {"type": "integer", "minimum": 0, "default": 0, "description": "Seed of the points."},
            "space": {
                "type": "object",
                "minProperties": 1,
                "patternProperties": {"^(data|model|train|evaluate|device)([.].+)?$": distribution},
                "additionalProperties": false,
                "description": "From paths to distributions."
            }
        }
    })
}

fn requirements_schema() -> Value {
    json!({"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]})
}

fn derive_schema() -> Value {
    let expression = json!({"type": ["string", "number", "boolean"]});
    json!({
        "type": "object",
        "patternProperties": {
            "^(data|model|train|evaluate|device)[.].+$": {"anyOf": [expression.clone(), {
                "type": "object",
                "additionalProperties": false,
                "required": ["value"],
                "properties": {
                    "value": with_description(expression, "What it becomes."),
                    "when": {"type": ["string", "boolean"], "description": "Where it is set; everywhere without."}
                }
            }]}
        },
        "additionalProperties": false,
        "description": "Values that are computed for each trial after the sweep has set its own: from paths to expressions, e.g. `0.001 * train.batch_size / 128`."
    })
}

fn search_schema(sampler: Value, distribution: Value) -> Value {
    json!({
        "type": "object",
        "description": "Proposes trials one after the other, each from the results before, in place of a sweep.",
        "properties": {
            "sampler": with_description(sampler, "How the next proposal is found; by default `tpe`."),
            "space": {
                "type": "object",
                "minProperties": 1,
                "description": "What is searched: paths and the distributions of their values.",
                "patternProperties": {"^(data|model|train|evaluate|device)([.].+)?$": distribution},
                "additionalProperties": false
            },
            "repeat": {"type": "integer", "minimum": 1, "default": 1, "description": "Seeds of each proposal; it is judged by their mean."},
            "parallel": {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}], "default": "auto", "description": "Proposals that are open at a time; `auto` is the number of jobs of the first run."},
            "seed": {"type": "integer", "minimum": 0, "default": 1, "description": "Seed of the sampler."}
        },
        "additionalProperties": false
    })
}

fn sweep_values_schema() -> Value {
    let range = |third: &str, kind: &str, description: &str| {
        let bounds = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["from", "to", third],
            "properties": {"from": {"type": "number"}, "to": {"type": "number"}, third: {"type": kind}}
        });
        (bounds, description.to_owned())
    };
    let entry = |name: &str, (bounds, description): (Value, String)| json!({"type": "object", "additionalProperties": false, "required": [name], "properties": {name: bounds}, "description": description});
    json!({
        "description": "The values of an axis: a list or a range.",
        "anyOf": [
            {"type": "array", "minItems": 1},
            entry("range", range("step", "number", "`from`, `from` + `step`, ... up to and including `to`.")),
            entry("linear_range", range("num", "integer", "`num` values in equal steps, both ends included.")),
            entry("log_range", range("num", "integer", "`num` values in equal ratios, both ends included."))
        ]
    })
}
