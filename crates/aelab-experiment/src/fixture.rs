//! Run directories for tests, without training.

use serde_json::{Value, json};

use crate::plan::{Plan, PlannedTrial};
use crate::result::{MetricValue, TrialResult, TrialState};
use crate::run_dir::RunDir;

/// A run directory with a trial per state.
pub(crate) struct Fixture {
    pub(crate) run_dir: RunDir,
    pub(crate) plan: Plan,
    /// Removed when dropped.
    _folder: tempfile::TempDir,
}

impl Fixture {
    /// Trials of one model with code sizes 1, 2, ... that ended with an `sse`; a `psnr` of its negative, and a `loss`.
    pub(crate) fn new(trials: &[(TrialState, f64)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("runs/x");
        let source =
            crate::SpecSource { file: "x.yaml".into(), text: String::new(), base_dir: "/".into(), extended: None, sets: Vec::new() };
        let plan = Plan {
            format_version: crate::FORMAT_VERSION,
            name: "x".into(),
            description: None,
            execution: crate::Execution::default(),
            source,
            trials: (0..trials.len()).map(planned).collect(),
            warnings: Vec::new(),
            left_out: Vec::new(),
            steering: crate::Steering::default(),
            tags: Vec::new(),
        };
        let run_dir = RunDir::prepare(&root, &plan).expect("a new folder").run_dir;
        for (trial, (state, sse)) in plan.trials.iter().zip(trials) {
            if state.is_over() {
                let error = (*state != TrialState::Finished).then(|| "it did not work\nat all".to_owned());
                let mut result = TrialResult::without_metrics(*state, error);
                if *state == TrialState::Finished {
                    result.metrics = vec![
                        metric("sse", *sse, "squared units/example", "lower"),
                        metric("psnr", -*sse, "dB", "higher"),
                        metric("loss", 0.5, "", "lower"),
                    ];
                    (result.num_parameters, result.epochs_run, result.steps, result.seconds) = (100, 10, 1000, 2.5);
                }
                let folder = run_dir.trial(&trial.hash);
                folder.write_result(&result).expect("a result");
            }
        }
        Self { run_dir, plan, _folder: folder }
    }
}

fn metric(name: &str, value: f64, unit: &str, direction: &str) -> MetricValue {
    MetricValue { name: name.into(), value, unit: unit.into(), direction: direction.into(), version: 1, evaluation: None }
}

fn planned(index: usize) -> PlannedTrial {
    let definition = json!({
        "data": {"digits": {}},
        "model": {"vae": {"latent_dim": index + 1, "hidden": [8]}},
        "train": {"epochs": 10, "batch_size": 100, "seed": 1},
        "device": "flex",
        "data_checksum": "0",
        "format_version": crate::FORMAT_VERSION,
    });
    PlannedTrial {
        index,
        hash: crate::short_hash(&definition),
        overrides: vec![("model.vae.latent_dim".into(), Value::from(index + 1))],
        seed: 1,
        model: "vae".into(),
        data: "digits".into(),
        code_size: index + 1,
        definition,
        metrics: Vec::new(),
        terms: Vec::new(),
        num_features: 64,
    }
}
