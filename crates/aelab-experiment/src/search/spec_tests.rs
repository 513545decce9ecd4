//! What the writer of a search reads when something is wrong, and what is planned when nothing is.

use std::path::Path;

use aelab_core::Registry;
use aelab_data::LoadContext;

use crate::{Diagnostic, ExperimentSpec, Plan, SpecSource, plan};

const BASE: &str = "\
name: example
data: {digits: {}}
model: {vae: {hidden: [32], latent_dim: 4, likelihood: bernoulli}}
train: {epochs: 9, batch_size: 32, optimizer: {adam: {learning_rate: 1e-3}}, seed: 5}
";

const SPACE: &str = "search: {space: {train.optimizer.adam.learning_rate: {log_uniform: {from: 1e-4, to: 0.1}}}}\n";

fn plan_of(text: &str) -> Result<Plan, Diagnostic> {
    let source = SpecSource {
        file: "experiment.yaml".to_owned(),
        text: format!("{BASE}{text}"),
        base_dir: Path::new("/nowhere").to_path_buf(),
        extended: None,
        sets: Vec::new(),
    };
    plan(&ExperimentSpec::parse(source)?, &Registry::new(aelab_models::MODELS), &LoadContext::new("/nowhere"))
}

fn message(text: &str) -> String {
    plan_of(text).map(|plan| plan.trials.len()).expect_err(text).to_string()
}

#[test]
fn what_cannot_be_searched_is_refused_with_its_place_and_a_way_out() {
    let budget = "budget: {max_trials: 5}\n";
    for (text, parts) in [
        (SPACE.to_owned(), ["this search has no end", "budget: {max_trials: 50}"]),
        (format!("{SPACE}{budget}sweep: {{repeat: 2}}\n"), ["a `sweep` or a `search`, not both", "{choice: [..]}"]),
        (format!("{SPACE}{budget}goal: {{metric: eval/sse}}\n"), ["measured on the test split", "7:16"]),
        (format!("{SPACE}{budget}goal: {{metric: train_step/loss}}\n"), ["logged between epochs", "`train/...`"]),
        (format!("{SPACE}{budget}goal: {{metric: sse}}\n"), ["once an epoch", "found `sse`"]),
        (format!("{SPACE}{budget}goal: {{metrik: valid/kl}}\n"), ["unknown key `metrik`", "did you mean `metric`?"]),
        (format!("{SPACE}{budget}early_termination: {{successive_halving: {{}}}}\n"), ["compares all trials of a sweep", "use `asha`"]),
        (format!("{SPACE}{budget}early_termination: {{asha: {{reduction_factor: 1}}}}\n"), ["must be at least 2", "7:"]),
        (format!("{SPACE}budget: {{max_trials: 0}}\n"), ["at least 1", "6:"]),
        (format!("{SPACE}budget: {{max_hours: -1}}\n"), ["`max_hours` must be a positive number", "6:"]),
        (format!("search: {{}}\n{budget}"), ["missing key `space` in `search`", "log_uniform"]),
        (format!("search: {{space: {{}}}}\n{budget}"), ["a map from paths to distributions", "5:"]),
        (format!("search: {{space: {{model.vae.beta: [1, 2]}}}}\n{budget}"), ["expected a distribution", "`{choice: [..]}`"]),
        (
            format!("search: {{space: {{train.seed: {{integer: {{from: 1, to: 9}}}}}}}}\n{budget}"),
            ["a seed is nothing to search for", "repeat"],
        ),
        (format!("search: {{space: {{vae.beta: {{choice: [1]}}}}}}\n{budget}"), ["no path of a trial's configuration", "model.vae.beta"]),
        (
            format!("search: {{space: {{model.vae.beta: {{uniform: {{from: 2, to: 1}}}}}}}}\n{budget}"),
            ["`from: 2` must be below `to: 1`", "5:"],
        ),
        (format!("search: {{space: {{model.vae.beta: {{normal: {{}}}}}}}}\n{budget}"), ["there is no name `normal`", "uniform"]),
        (format!("search: {{budget: {{max_trials: 5}}, space: {{}}}}\n{budget}"), ["unknown key `budget` in `search`", "stand at the top"]),
        (SPACE.replace("{space", "{sampler: {tpe: {gamma: 1.5}}, space") + budget, ["`gamma` is a share between 0 and 1", "5:"]),
        (format!("search: {{space: {{model.vae.betta: {{choice: [1]}}}}}}\n{budget}"), ["betta", "did you mean `beta`?"]),
    ] {
        let found = message(&text);
        assert!(parts.iter().all(|part| found.contains(part)), "{text}\n{found}");
    }
}

#[test]
fn a_search_is_planned_as_far_as_no_result_is_needed() {
    let plan = plan_of(&format!("{}budget: {{max_trials: 7}}\n", SPACE.replace("{space", "{repeat: 2, space"))).unwrap();
    assert_eq!(plan.trials.iter().map(|trial| trial.seed).collect::<Vec<_>>(), [5, 6, 5, 6, 5, 6], "three proposals fit into seven trials");
    let rates: Vec<f64> = plan.trials.iter().map(|trial| trial.overrides[0].1.as_f64().unwrap()).collect();
    assert!(rates[0] == rates[1] && rates[0] != rates[2] && rates.iter().all(|rate| (1e-4..=0.1).contains(rate)), "{rates:?}");
    let again = plan_of(&format!("{}budget: {{max_trials: 9}}\n", SPACE.replace("{space", "{repeat: 2, space"))).unwrap();
    assert_eq!(again.trials[5].hash, plan.trials[5].hash, "the budget changes no proposal");
}

#[test]
fn points_that_cannot_be_trials_are_passed_over_and_equal_ones_proposed_once() {
    let budget = "budget: {max_trials: 20}\n";
    let plan = plan_of(&format!("search: {{sampler: {{random: {{}}}}, space: {{model.vae.latent_dim: {{choice: [0, 2, 3]}}}}}}\n{budget}"))
        .unwrap();
    let mut sizes: Vec<usize> = plan.trials.iter().map(|trial| trial.code_size).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 3]);
    assert!(plan.warnings.iter().any(|warning| warning.contains("points of the space were passed over")), "{:?}", plan.warnings);
    let nothing = message(&format!("search: {{space: {{model.vae.latent_dim: {{choice: [0]}}}}}}\n{budget}"));
    assert!(nothing.contains("latent_dim") && nothing.contains("5:"), "{nothing}");
}

#[test]
fn a_goal_whose_weights_differ_between_trials_is_warned_of() {
    let budget = "budget: {max_trials: 5}\n";
    let beta = "search: {space: {model.vae.beta: {log_uniform: {from: 0.1, to: 10}}}}\n";
    let warned = |text: String| plan_of(&text).unwrap().warnings.iter().any(|warning| warning.contains("the smallest weights win"));
    assert!(warned(format!("{beta}{budget}")));
    assert!(!warned(format!("{beta}{budget}goal: {{metric: valid/nll}}\n")));
    assert!(!warned(format!("{SPACE}{budget}")));
    let warnings = plan_of(&format!("{SPACE}{budget}goal: {{metric: valid/nlll}}\n")).unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("did you mean `nll`?")), "{warnings:?}");
}
