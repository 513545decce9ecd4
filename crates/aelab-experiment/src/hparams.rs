//! What TensorBoard's HPARAMS tab is told of a sweep and of a trial: the same names on both sides, or the
//! tab hides the trial.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use aelab_core::ObserverError;
use aelab_tensorboard::ExperimentInfo;
use serde_json::Value;

use crate::plan::Plan;

/// What sets a trial apart within its sweep: model, swept values by full path, seed.
pub(crate) fn hyperparameters(model: &str, overrides: &[(String, Value)], seed: u64) -> Vec<(String, Value)> {
    let mut named = vec![("model".to_owned(), Value::from(model))];
    named.extend(overrides.iter().filter(|(path, _)| path != "model").cloned());
    named.push(("train.seed".to_owned(), seed.into()));
    named
}

/// Tells TensorBoard's HPARAMS tab of the trials of a plan, in the run directory `root`.
pub fn describe_for_tensorboard(root: &Path, plan: &Plan) -> Result<(), ObserverError> {
    aelab_tensorboard::write_experiment(root, &experiment_info(plan))
}

/// Every hyperparameter of a plan with every value that it takes, and every metric that may be measured.
fn experiment_info(plan: &Plan) -> ExperimentInfo {
    let mut varied: Vec<(String, Vec<Value>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut seen: HashSet<(usize, String)> = HashSet::new();
    let mut metrics: Vec<String> = Vec::new();
    let mut known_metrics: HashSet<&str> = HashSet::new();
    for trial in &plan.trials {
        for (name, value) in hyperparameters(&trial.model, &trial.overrides, trial.seed) {
            let place = *places.entry(name).or_insert_with_key(|name| {
                varied.push((name.clone(), Vec::new()));
                varied.len() - 1
            });
            if seen.insert((place, value.to_string())) {
                varied[place].1.push(value);
            }
        }
        metrics.extend(trial.metrics.iter().filter(|name| known_metrics.insert(name)).map(|name| format!("eval/{name}")));
    }
    ExperimentInfo { name: plan.name.clone(), hyperparameters: varied, metrics }
}
