//! Samplers, conditions, requirements, derived values and repetitions, from the file to the plan.

use serde_json::{Value, json};

use crate::message_tests::{planned, with};
use crate::{KeyPath, LeftOut, Plan, PlannedTrial};

const MODELS: &str = "\
name: example
data: {digits: {}}
model: {undercomplete: {hidden: [8], code_size: 4}}
train: {epochs: 1, batch_size: 32, optimizer: {adam: {learning_rate: 1e-3}}, seed: 5}
";

const TWO_MODELS: &str =
    "- model: [{undercomplete: {hidden: [8], code_size: 4}}, {vae: {hidden: [8], latent_dim: 4, likelihood: bernoulli}}]";

fn of_models(rest: &str) -> Plan {
    planned(&format!("{MODELS}{rest}"), &[])
}

fn value<'a>(trial: &'a PlannedTrial, path: &str) -> &'a Value {
    let path = KeyPath::parse(path);
    path.parts().iter().fold(&trial.definition, |value, key| match value {
        Value::Array(items) => &items[key.parse::<usize>().unwrap()],
        other => &other[key],
    })
}

fn values(plan: &Plan, path: &str) -> Vec<Value> {
    plan.trials.iter().map(|trial| value(trial, path).clone()).collect()
}

fn sampled(kind: &str, num: usize, more: &str) -> Plan {
    let space =
        format!("model.vae.beta: {{log_uniform: {{from: 0.1, to: 10}}}}, model.vae.latent_dim: {{integer: {{from: 2, to: 16}}}}{more}");
    planned(&with(&format!("sweep: {{{kind}: {{num: {num}, seed: 7, space: {{{space}}}}}}}\n")), &[])
}

#[test]
fn a_larger_num_keeps_the_first_points_and_their_hashes() {
    for kind in ["random", "sobol"] {
        let (few, many) = (sampled(kind, 5, ""), sampled(kind, 12, ""));
        let hashes = |plan: &Plan| plan.trials.iter().map(|trial| trial.hash.clone()).collect::<Vec<_>>();
        assert_eq!(hashes(&few), hashes(&many)[..5], "{kind}");
        assert!(values(&many, "model.vae.beta").iter().all(|beta| (0.1..=10.0).contains(&beta.as_f64().unwrap())));
        assert!(values(&many, "model.vae.latent_dim").iter().all(|size| (2..=16).contains(&size.as_u64().unwrap())));
    }
}

#[test]
fn another_axis_does_not_move_a_random_one() {
    let more = ", model.vae.hidden: {choice: [[8], [16, 8]]}, train.batch_size: {log_integer: {from: 8, to: 128}}";
    let (few, many) = (sampled("random", 9, ""), sampled("random", 9, more));
    assert_eq!(values(&few, "model.vae.beta"), values(&many, "model.vae.beta"));
    assert_eq!(values(&few, "model.vae.latent_dim"), values(&many, "model.vae.latent_dim"));
    let mut layers = values(&many, "model.vae.hidden");
    layers.sort_by_key(Value::to_string);
    layers.dedup();
    assert_eq!(layers, [json!([16, 8]), json!([8])]);
}

#[test]
fn samplers_nest_with_the_other_operators() {
    let sobol = "sobol: {num: 4, space: {model.*.code_size: {integer: {from: 2, to: 9}}}}";
    let plan = of_models(&format!("sweep:\n  product:\n    {TWO_MODELS}\n    - {sobol}\n  repeat: 2\n"));
    assert_eq!(plan.trials.len(), 16);
    let sizes: Vec<usize> = plan.trials.iter().map(|trial| trial.code_size).collect();
    assert_eq!(sizes[..8], sizes[8..], "both models have the same points");
    let zipped = of_models(&format!("sweep:\n  zip:\n    - {sobol}\n    - train.epochs: [1, 2, 3, 4]\n"));
    assert_eq!(values(&zipped, "train.epochs"), [json!(1), json!(2), json!(3), json!(4)]);
    assert_eq!(zipped.trials.iter().map(|trial| trial.code_size).collect::<Vec<_>>(), [sizes[0], sizes[2], sizes[4], sizes[6]]);
}

#[test]
fn whole_models_can_be_drawn() {
    let choice = "{choice: [{undercomplete: {hidden: [8], code_size: 4}}, {vae: {hidden: [8], latent_dim: 4, likelihood: bernoulli}}]}";
    let plan = of_models(&format!(
        "sweep:\n  random: {{num: 40, space: {{model: {choice}, model.*.code_size: {{integer: {{from: 2, to: 60}}}}}}}}\n"
    ));
    let num = |name: &str| plan.trials.iter().filter(|trial| trial.model == name).count();
    assert!(num("vae") > 5 && num("undercomplete") > 5 && plan.trials.iter().any(|trial| trial.code_size > 30));
}

#[test]
fn what_is_required_leaves_out_trials_and_is_counted() {
    let sweep = "sweep: {model.undercomplete.code_size: [2, 8, 32, 64, 100], train.batch_size: [16, 64]}\n";
    let plan = of_models(&format!("{sweep}require: [code_size < input, not (batch_size == 16 and code_size > 8)]\n"));
    assert_eq!(plan.trials.iter().map(|trial| trial.code_size).collect::<Vec<_>>(), [2, 2, 8, 8, 32]);
    assert_eq!(plan.trials.iter().map(|trial| trial.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let left_out = |requirement: &str, num_trials| LeftOut { requirement: requirement.to_owned(), num_trials };
    assert_eq!(plan.left_out, [left_out("not (batch_size == 16 and code_size > 8)", 1), left_out("code_size < input", 4)]);
    assert_eq!(of_models(sweep.lines().next().unwrap()).left_out, []);
}

#[test]
fn a_name_in_a_requirement_that_no_trial_has_is_warned_of_where_it_is_not_looked_at() {
    let warnings = |requirement: &str| of_models(&format!("sweep:\n  product:\n    {TWO_MODELS}\nrequire: {requirement}\n")).warnings;
    assert_eq!(warnings("code_size < 8 or betta > 1"), ["`require` names `betta`, which no trial has; did you mean `beta`?"]);
    assert_eq!(warnings("not has(beta) or beta < 3 and likelihood == bernoulli"), Vec::<String>::new());
}

#[test]
fn a_requirement_within_a_sweep_is_about_its_trials_only() {
    let sweep =
        "sweep:\n  chain:\n    - {train.epochs: [1, 2, 3], require: epochs > 1}\n    - train.epochs: [1]\n      train.batch_size: [8]\n";
    assert_eq!(values(&of_models(sweep), "train.epochs"), [json!(2), json!(3), json!(1)]);
}

#[test]
fn requirements_see_defaults_and_what_is_derived() {
    let text = "sweep: {train.batch_size: [32, 64, 128]}\nderive: {learning_rate_is: 1}\n";
    let text = text.replace("{learning_rate_is: 1}", "{train.optimizer.adam.learning_rate: 0.001 * batch_size / 32}");
    let plan = of_models(&format!("{text}require: learning_rate < 0.003 and beta_1 == 0.9 and keep == best\n"));
    assert_eq!(values(&plan, "train.batch_size"), [json!(32), json!(64)]);
}

#[test]
fn an_axis_with_when_is_there_only_where_its_condition_holds() {
    let text = format!(
        "sweep:\n  product:\n    {TWO_MODELS}\n    - {{model.vae.beta: [1, 2, 4], when: model == vae}}\n    - {{when: beta == 2, train.epochs: [1, 7]}}\n"
    );
    let text = text.replace("when: beta == 2", "when: has(beta) and beta == 2");
    let plan = of_models(&text);
    assert_eq!(
        plan.labels(),
        ["model=undercomplete", "model=vae beta=1.0", "model=vae beta=2.0 epochs=1", "model=vae beta=2.0 epochs=7", "model=vae beta=4.0"]
    );
    assert_eq!(plan.warnings, Vec::<String>::new(), "nothing was merged");
}

#[test]
fn derived_values_follow_what_the_sweep_sets() {
    let derive = "derive:\n  train.optimizer.*.learning_rate: 0.001 * train.batch_size / 128\n  model.*.code_size: round(input / 8)\n  \
                  model.*.hidden: {value: 4 * code_size, when: false}\n  train.epochs: {value: 2 * code_size - 10, when: batch_size > 100}\n";
    let plan = of_models(&format!("sweep: {{train.batch_size: [32, 128]}}\n{derive}"));
    assert_eq!(values(&plan, "train.optimizer.adam.learning_rate"), [json!(0.00025), json!(0.001)]);
    assert_eq!(values(&plan, "model.undercomplete.code_size"), [json!(8), json!(8)]);
    assert_eq!(values(&plan, "train.epochs"), [json!(1), json!(6)]);
    let overrides: Vec<&str> = plan.trials[1].overrides.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(overrides, ["train.batch_size", "train.epochs", "train.optimizer.adam.learning_rate"], "what differs is shown");
}

#[test]
fn derived_values_are_part_of_what_a_trial_is() {
    let derived = of_models("derive: {train.epochs: 2 + 3}\n").trials.remove(0);
    let written = planned(&MODELS.replace("epochs: 1", "epochs: 5"), &[]).trials.remove(0);
    assert_eq!((derived.hash, derived.overrides), (written.hash, Vec::new()));
}

#[test]
fn a_required_value_may_be_derived_alone() {
    let text = MODELS.replace("code_size: 4", "").replace("hidden: [8], ", "hidden: [8]");
    let plan = planned(&format!("{text}derive: {{model.undercomplete.code_size: len(hidden) + input % 60}}\n"), &[]);
    assert_eq!(plan.trials[0].code_size, 5);
}

#[test]
fn tags_are_kept_and_change_no_trial() {
    let tagged = of_models("tags: [thesis, 2026]\n");
    assert_eq!(tagged.tags, ["thesis", "2026"]);
    assert_eq!(tagged.trials[0].hash, of_models("").trials[0].hash);
}

#[test]
fn repetition_counts_up_the_seeds_that_it_names() {
    let split = "data.digits.split_seed";
    let seeds = |repeat: &str| {
        let plan = of_models(&format!("sweep: {{repeat: {repeat}}}\n"));
        plan.trials.iter().map(|trial| (trial.seed, value(trial, split).as_u64().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(seeds("2"), [(5, 0), (6, 0)]);
    assert_eq!(seeds("{times: 2}"), [(5, 0), (6, 0)]);
    assert_eq!(seeds("{times: 3, vary: [data.*.split_seed]}"), [(5, 0), (5, 1), (5, 2)]);
    assert_eq!(seeds("{times: 2, vary: [train.seed, data.digits.split_seed]}"), [(5, 0), (6, 1)]);
    let plan = of_models("sweep: {repeat: {times: 2, vary: [train.seed, data.*.split_seed]}}\n");
    assert_eq!(plan.trials[1].overrides, [(split.to_owned(), json!(1))]);
}
