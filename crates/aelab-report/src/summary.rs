//! From one row per trial to one row per configuration.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use serde_json::Value;

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// More is better.
    HigherIsBetter,
    /// Less is better.
    LowerIsBetter,
    /// Neither: a value that describes.
    #[default]
    Neutral,
}

/// A measured value of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Name, the same in all trials. `pca_NAME` and `mean_NAME` are the baselines of metric `NAME`.
    pub name: String,
    /// The value; `None` where the metric does not apply.
    pub value: Option<f64>,
    /// Unit for people: `nats per example`, `dB`; may be empty.
    pub unit: String,
    /// Which way it is better.
    pub direction: Direction,
}

/// Everything that the summary needs of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialRow {
    /// Hash of the resolved configuration.
    pub trial: String,
    /// `finished`, `diverged`, `failed`, `interrupted`, or whatever else it is in; only `finished` ones count.
    pub state: String,
    /// Why it is not finished; empty where it is, or where nothing is known.
    pub reason: String,
    /// Registry name of the model.
    pub model: String,
    /// What varies in the sweep, by dotted path, the seed left out.
    pub hyperparameters: Vec<(String, Value)>,
    /// Seed of the trial.
    pub seed: u64,
    /// Size of the code.
    pub code_size: usize,
    /// Trainable numbers.
    pub num_parameters: usize,
    /// Wall-clock time of the trial.
    pub seconds: f64,
    /// Final metrics, baselines among them.
    pub metrics: Vec<Metric>,
}

/// Name, unit and direction of a metric, without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricInfo {
    /// Name.
    pub name: String,
    /// Unit for people; may be empty.
    pub unit: String,
    /// Which way it is better.
    pub direction: Direction,
}

/// Mean and standard deviation over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divisor `num - 1`); `None` for a single value.
    pub deviation: Option<f64>,
    /// Number of values.
    pub num: usize,
}

impl Spread {
    /// The spread of `values`; `None` where there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let num = values.len() as f64;
        let mean = values.iter().sum::<f64>() / num;
        // Values that are all the same deviate by exactly nothing, whatever the rounding of their sum.
        let mean = if values.iter().all(|value| *value == values[0]) { values[0] } else { mean };
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        Some(Self { mean, deviation: (values.len() > 1).then(|| (squares / (num - 1.0)).sqrt()), num: values.len() })
    }
}

/// All trials that differ in nothing but the seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// Registry name of the model.
    pub model: String,
    /// What varies in the sweep, by dotted path.
    pub hyperparameters: Vec<(String, Value)>,
    /// Size of the code.
    pub code_size: usize,
    /// Trials that finished.
    pub num_finished: usize,
    /// Trials of any state.
    pub num_trials: usize,
    /// Trainable numbers.
    pub num_parameters: usize,
    /// Wall-clock seconds of the finished trials.
    pub seconds: Option<Spread>,
    /// Over the finished trials, in the order of [`Summary::metrics`]; `None` where a metric does not apply.
    pub metrics: Vec<Option<Spread>>,
}

/// What needs no training: the mean of the data, its principal components.
#[derive(Debug, Clone, PartialEq)]
pub struct BaselineRow {
    /// Prefix of its metrics: `pca`, `mean`.
    pub name: String,
    /// Size of the code; `None` where a baseline has none.
    pub code_size: Option<usize>,
    /// Hyperparameters that change the data and so the baseline.
    pub hyperparameters: Vec<(String, Value)>,
    /// In the order of [`Summary::metrics`].
    pub metrics: Vec<Option<Spread>>,
}

impl BaselineRow {
    /// Name for people.
    pub fn label(&self) -> String {
        BASELINES
            .iter()
            .find(|baseline| baseline.prefix == self.name)
            .map_or_else(|| self.name.clone(), |baseline| baseline.label.to_owned())
    }
}

/// A run in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Paths of all hyperparameters that some trial varies, in order of appearance; `model` is left out.
    pub hyperparameters: Vec<String>,
    /// All metrics, in order of appearance, those of the baselines included.
    pub metrics: Vec<MetricInfo>,
    /// In the order of the plan.
    pub configurations: Vec<Configuration>,
    /// By name and code size, in order of appearance.
    pub baselines: Vec<BaselineRow>,
    /// The trials as given.
    pub trials: Vec<TrialRow>,
}

impl Summary {
    /// For the metric in column `column`, the baseline and the metric it is the baseline of.
    pub(crate) fn baseline_of(&self, column: usize) -> Option<(&'static str, usize)> {
        baseline_of(&self.metrics, column)
    }
}

/// What needs no autoencoder: metric `PREFIX_NAME` is what it reaches in metric `NAME`.
pub(crate) struct Baseline {
    pub(crate) prefix: &'static str,
    pub(crate) label: &'static str,
    /// Whether it has the code size of the model that it stands beside.
    pub(crate) has_code_size: bool,
}

const fn baseline(prefix: &'static str, label: &'static str, has_code_size: bool) -> Baseline {
    Baseline { prefix, label, has_code_size }
}

pub(crate) const BASELINES: [Baseline; 8] = [
    baseline("pca", "PCA", true),
    baseline("mean", "mean of the data", false),
    baseline("raw", "the data themselves", false),
    baseline("affine", "best affine denoiser", false),
    baseline("gaussian", "conditional Gaussian", false),
    baseline("ease", "EASE", false),
    baseline("popularity", "popularity", false),
    baseline("bias", "biases of rows and columns", false),
];

/// The ways to read a metric as that of a baseline: prefix, and metric that it stands beside.
pub fn baseline_readings(metric: &str) -> impl Iterator<Item = (&'static str, &str)> {
    BASELINES.iter().filter_map(move |baseline| Some((baseline.prefix, metric.strip_prefix(baseline.prefix)?.strip_prefix('_')?)))
}

fn baseline_of(metrics: &[MetricInfo], column: usize) -> Option<(&'static str, usize)> {
    let full = metrics[column].name.as_str();
    let (group, name) = full.rsplit_once('/').map_or(("", full), |(group, name)| (group, name));
    BASELINES.iter().map(|baseline| baseline.prefix).find_map(|baseline| {
        let rest = name.strip_prefix(baseline)?.strip_prefix('_')?;
        let of = if group.is_empty() { rest.to_owned() } else { format!("{group}/{rest}") };
        metrics.iter().position(|info| info.name == of).map(|column| (baseline, column))
    })
}

/// Groups trials that differ in nothing but the seed, in the order given.
pub fn summarize(trials: Vec<TrialRow>) -> Summary {
    let mut hyperparameters: Vec<String> = Vec::new();
    let mut metrics: Vec<MetricInfo> = Vec::new();
    let mut known_paths: HashSet<&str> = HashSet::new();
    let mut columns: HashMap<&str, usize> = HashMap::new();
    for trial in &trials {
        for (path, _) in &trial.hyperparameters {
            // The model has a column of its own.
            if path != "model" && known_paths.insert(path) {
                hyperparameters.push(path.clone());
            }
        }
        for Metric { name, unit, direction, .. } in &trial.metrics {
            columns.entry(name).or_insert_with(|| {
                metrics.push(MetricInfo { name: name.clone(), unit: unit.clone(), direction: *direction });
                metrics.len() - 1
            });
        }
    }

    let groups = grouped(trials.iter(), |trial| (trial.model.as_str(), trial.code_size, &trial.hyperparameters));
    let configurations = groups.iter().map(|members| {
        let finished: Vec<&TrialRow> = members.iter().copied().filter(|trial| trial.state == "finished").collect();
        let mut values: Vec<Vec<f64>> = vec![Vec::new(); metrics.len()];
        for (name, value) in finished.iter().flat_map(|trial| values_by_name(trial)) {
            values[columns[name]].push(value);
        }
        Configuration {
            model: members[0].model.clone(),
            hyperparameters: members[0].hyperparameters.clone(),
            code_size: members[0].code_size,
            num_finished: finished.len(),
            num_trials: members.len(),
            num_parameters: finished.first().unwrap_or(&members[0]).num_parameters,
            seconds: Spread::of(&finished.iter().map(|trial| trial.seconds).collect::<Vec<_>>()),
            metrics: values.iter().map(|values| Spread::of(values)).collect(),
        }
    });
    let configurations = configurations.collect();
    let baselines = baselines(&trials, &metrics, &columns);
    Summary { hyperparameters, metrics, configurations, baselines, trials }
}

fn baselines(trials: &[TrialRow], metrics: &[MetricInfo], columns: &HashMap<&str, usize>) -> Vec<BaselineRow> {
    let finished = || trials.iter().filter(|trial| trial.state == "finished");
    let of_data = |trial: &TrialRow| -> Vec<(String, Value)> {
        trial.hyperparameters.iter().filter(|(path, _)| path == "data" || path.starts_with("data.")).cloned().collect()
    };
    // Baseline and metric that each metric stands for.
    let readings: Vec<Option<(&str, usize)>> = (0..metrics.len()).map(|column| baseline_of(metrics, column)).collect();
    let mut rows = Vec::new();
    for Baseline { prefix: name, has_code_size, .. } in BASELINES {
        if readings.iter().flatten().all(|(baseline, _)| *baseline != name) {
            continue;
        }
        let code_size = |trial: &TrialRow| has_code_size.then_some(trial.code_size);
        for members in grouped(finished(), |trial| (code_size(trial), of_data(trial))) {
            // Trials of one seed share their split and so their baseline, which then counts once.
            let mut seen: HashSet<(usize, u64, u64)> = HashSet::new();
            let mut values: Vec<Vec<f64>> = vec![Vec::new(); metrics.len()];
            for trial in &members {
                for (metric, value) in values_by_name(trial) {
                    let Some((baseline, of)) = readings[columns[metric]] else { continue };
                    if baseline == name && seen.insert((of, trial.seed, value.to_bits())) {
                        values[of].push(value);
                    }
                }
            }
            let values: Vec<Option<Spread>> = values.iter().map(|values| Spread::of(values)).collect();
            if values.iter().any(Option::is_some) {
                rows.push(BaselineRow {
                    name: name.to_owned(),
                    code_size: code_size(members[0]),
                    hyperparameters: of_data(members[0]),
                    metrics: values,
                });
            }
        }
    }
    rows
}

/// The values of a trial in the order of its metrics; of metrics of one name the first counts.
pub(crate) fn values_by_name(trial: &TrialRow) -> impl Iterator<Item = (&str, f64)> {
    let mut seen: HashSet<&str> = HashSet::new();
    let first = trial.metrics.iter().filter(move |metric| seen.insert(&metric.name));
    first.filter_map(|metric| Some((metric.name.as_str(), metric.value?)))
}

/// Groups in order of first appearance.
fn grouped<'a, K: Eq + Hash>(trials: impl Iterator<Item = &'a TrialRow>, key: impl Fn(&'a TrialRow) -> K) -> Vec<Vec<&'a TrialRow>> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let mut groups: Vec<Vec<&TrialRow>> = Vec::new();
    for trial in trials {
        let place = *places.entry(key(trial)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(members) => members.push(trial),
            None => groups.push(vec![trial]),
        }
    }
    groups
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    pub(crate) fn metric(name: &str, value: f64) -> Metric {
        let (unit, direction) = match name.rsplit('_').next() {
            Some("sse") => ("squared units per example", Direction::LowerIsBetter),
            Some("psnr") => ("dB", Direction::HigherIsBetter),
            _ => ("nats per example", Direction::LowerIsBetter),
        };
        Metric { name: name.into(), value: Some(value), unit: unit.into(), direction }
    }

    /// Two models, two code sizes, three seeds; one trial of the VAE diverges, and the last is yet to run.
    pub(crate) fn sweep() -> Vec<TrialRow> {
        let mut trials = Vec::new();
        for (model, path, offset) in [("undercomplete", "model.undercomplete.code_size", 0.0), ("vae", "model.vae.latent_dim", 2.0)] {
            for code_size in [8usize, 32] {
                for seed in 1..=3u64 {
                    let sse = 100.0 / code_size as f64 + offset + seed as f64 * 0.25;
                    let mut metrics = vec![metric("sse", sse), metric("psnr", 40.0 - sse)];
                    metrics.extend((model == "vae").then(|| metric("kl", 20.0 + seed as f64)));
                    metrics.extend([metric("pca_sse", 120.0 / code_size as f64), metric("mean_sse", 52.75)]);
                    let (state, reason) = match (model, code_size, seed) {
                        ("vae", 8, 2) => ("diverged", "term `kl` was NaN at step 120"),
                        ("vae", 32, 3) => ("pending", ""),
                        _ => ("finished", ""),
                    };
                    trials.push(TrialRow {
                        trial: format!("{model}{code_size}{seed}"),
                        state: state.into(),
                        reason: reason.into(),
                        model: model.into(),
                        hyperparameters: vec![(path.into(), json!(code_size))],
                        seed,
                        code_size,
                        num_parameters: 1000 * code_size,
                        seconds: 10.0 * seed as f64,
                        metrics: if state == "finished" { metrics } else { Vec::new() },
                    });
                }
            }
        }
        trials
    }

    #[test]
    fn mean_and_sample_deviation_are_the_closed_forms() {
        let spread = Spread::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!(spread.mean, 5.0);
        assert!((spread.deviation.unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-15);
        assert_eq!(Spread::of(&[3.0]), Some(Spread { mean: 3.0, deviation: None, num: 1 }));
        assert_eq!(Spread::of(&[0.1; 3]).unwrap().deviation, Some(0.0));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn seeds_are_gathered_and_configurations_keep_the_order_of_the_plan() {
        let summary = summarize(sweep());
        let keys: Vec<_> = summary.configurations.iter().map(|c| (c.model.as_str(), c.code_size, c.num_finished, c.num_trials)).collect();
        assert_eq!(keys, [("undercomplete", 8, 3, 3), ("undercomplete", 32, 3, 3), ("vae", 8, 2, 3), ("vae", 32, 2, 3)]);
        let sse = summary.configurations[0].metrics[0].unwrap();
        assert_eq!((sse.mean, sse.deviation, sse.num), (13.0, Some(0.25), 3));
        let seconds = summary.configurations[0].seconds.unwrap();
        assert_eq!((seconds.mean, seconds.deviation), (20.0, Some(10.0)));
        let names: Vec<_> = summary.metrics.iter().map(|info| info.name.as_str()).collect();
        assert_eq!(names, ["sse", "psnr", "pca_sse", "mean_sse", "kl"]);
        assert_eq!(summary.configurations[0].metrics[4], None, "an undercomplete autoencoder has no KL");
    }

    #[test]
    fn baselines_become_rows_of_their_own() {
        let summary = summarize(sweep());
        let rows: Vec<_> = summary.baselines.iter().map(|row| (row.name.as_str(), row.code_size, row.metrics[0].unwrap().mean)).collect();
        assert_eq!(rows, [("pca", Some(8), 15.0), ("pca", Some(32), 3.75), ("mean", None, 52.75)]);
        assert!(summary.baselines.iter().all(|row| row.metrics[1..].iter().all(Option::is_none)));
        // The same number from each trial is no evidence of a small deviation.
        assert_eq!(summary.baselines[0].metrics[0].unwrap().num, 3);
    }

    #[test]
    fn a_name_that_only_looks_like_a_baseline_is_a_metric() {
        let mut trials = sweep();
        trials.truncate(1);
        trials[0].metrics = vec![metric("mean_activation", 0.5), metric("eval/sse", 1.0), metric("eval/pca_sse", 2.0)];
        let summary = summarize(trials.clone());
        assert_eq!(summary.baseline_of(0), None);
        assert_eq!(summary.baseline_of(2), Some(("pca", 1)));
        assert_eq!(summary.baselines.len(), 1);
    }

    proptest! {
        #[test]
        fn shifting_and_scaling_values_shifts_and_scales_their_spread(values in proptest::collection::vec(-100f64..100.0, 2..20), shift in -10f64..10.0, scale in 0.1f64..10.0) {
            let spread = Spread::of(&values).unwrap();
            let moved = Spread::of(&values.iter().map(|value| value * scale + shift).collect::<Vec<_>>()).unwrap();
            prop_assert!((moved.mean - (spread.mean * scale + shift)).abs() < 1e-9);
            prop_assert!((moved.deviation.unwrap() - spread.deviation.unwrap() * scale).abs() < 1e-9);
        }
    }
}
