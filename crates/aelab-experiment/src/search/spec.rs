//! What steers a run: `search`, `goal`, `early_termination` and `budget` at the top of an experiment.
//!
//! ```yaml
//! search:
//!   sampler: {tpe: {startup: 10, candidates: 24, gamma: 0.15}}   # or {sobol: {}}, {random: {}}
//!   space:
//!     train.optimizer.adam.learning_rate: {log_uniform: {from: 1.0e-4, to: 0.1}}
//!     model.*.hidden: {choice: [[64], [128, 32]]}
//!   repeat: 1
//!   parallel: auto
//!   seed: 1
//! goal: {metric: valid/loss, direction: minimize}
//! early_termination: {asha: {min_epochs: 1, reduction_factor: 3}}
//! budget: {max_trials: 50, max_hours: 2, target: 0.1}
//! ```

use std::num::{NonZeroU32, NonZeroU64};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::KeyPath;
use crate::read::read_at;
use crate::search::tpe::TpeOptions;
use crate::source::{Diagnostic, Origin, Sources};
use crate::space::Distribution;
use crate::spec::{Jobs, read_section};
use crate::sweep::Setting;
use crate::tree::{At, Kind, Node};
use crate::trial_config::TRIAL_KEYS;

/// The keys of this file.
pub(crate) const STEERING_KEYS: [&str; 4] = ["search", "goal", "early_termination", "budget"];

/// What decides which trials are run, and how far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Steering {
    /// Proposes trials one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// What is good.
    #[serde(default)]
    pub goal: Goal,
    /// Gives up trials that do badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_termination: Option<EarlyTermination>,
    /// When to end.
    #[serde(default, skip_serializing_if = "Budget::is_endless")]
    pub budget: Budget,
}

impl Steering {
    /// Whether there is nothing to steer: every trial of the plan is run to its end.
    pub fn is_idle(&self) -> bool {
        self.search.is_none() && self.early_termination.is_none() && self.budget.is_endless()
    }
}

/// A search: each proposal follows from the results before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// How the next proposal is found.
    pub sampler: Sampler,
    /// What is searched.
    pub space: Vec<Dimension>,
    /// Seeds of each proposal.
    pub repeat: NonZeroU64,
    /// Proposals that are open at a time.
    pub parallel: Jobs,
    /// Seed of the sampler.
    pub seed: u64,
}

/// A hyperparameter that is searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dimension {
    /// Its path, as written.
    pub path: String,
    /// Where its values are drawn from.
    pub distribution: Distribution,
    /// Where it was written.
    #[serde(skip)]
    pub origin: Origin,
}

impl Dimension {
    fn setting(&self, value: &Value) -> Setting<Node> {
        Setting::Value { path: KeyPath::parse(&self.path), value: Node::from_value(value, &self.origin) }
    }
}

/// How the next proposal is found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampler {
    /// Tree-structured Parzen estimators.
    Tpe(TpeOptions),
    /// Points of a scrambled Sobol sequence, whatever the results.
    Sobol {},
    /// Points drawn independently, whatever the results.
    Random {},
}

impl Default for Sampler {
    fn default() -> Self {
        Self::Tpe(TpeOptions::default())
    }
}

/// What is good: a logged metric and its direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Goal {
    /// A metric that is logged once an epoch: `valid/loss`, `valid/kl`, `train/loss`.
    pub metric: String,
    /// Which way is better.
    pub direction: Direction,
}

impl Default for Goal {
    fn default() -> Self {
        Self { metric: "valid/loss".to_owned(), direction: Direction::Minimize }
    }
}

impl Goal {
    /// What is minimised: the value, or its negative.
    pub fn cost(&self, value: f64) -> f64 {
        let cost = if self.direction == Direction::Minimize { value } else { -value };
        if cost.is_nan() { f64::INFINITY } else { cost }
    }

    /// The value of a cost.
    pub fn value(&self, cost: f64) -> f64 {
        if self.direction == Direction::Minimize { cost } else { -cost }
    }
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Lower.
    #[default]
    Minimize,
    /// Higher.
    Maximize,
}

/// How trials that do badly are given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EarlyTermination {
    /// Each trial is compared with those before it, as soon as they have come as far.
    Asha(Rungs),
    /// All trials of a sweep are compared with each other, rung by rung.
    SuccessiveHalving(Rungs),
}

impl EarlyTermination {
    /// Its rungs.
    pub fn rungs(&self) -> &Rungs {
        match self {
            Self::Asha(rungs) | Self::SuccessiveHalving(rungs) => rungs,
        }
    }
}

/// After which epochs trials are compared, and how many of them go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rungs {
    /// Epochs, over all stages, until the first comparison.
    pub min_epochs: NonZeroU32,
    /// One in so many goes on, and the next comparison comes after so many times the epochs.
    pub reduction_factor: NonZeroU32,
}

impl Default for Rungs {
    fn default() -> Self {
        const { Self { min_epochs: NonZeroU32::new(1).expect("not 0"), reduction_factor: NonZeroU32::new(3).expect("not 0") } }
    }
}

impl Rungs {
    /// Epochs, over all stages, until the comparison of that number, from 0.
    pub fn epochs(&self, rung: usize) -> u64 {
        let factor = u64::from(self.reduction_factor.get()).saturating_pow(u32::try_from(rung).unwrap_or(u32::MAX));
        u64::from(self.min_epochs.get()).saturating_mul(factor)
    }
}

/// When a run ends although there would be more to do. Of several, the first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// No more trials than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_trials: Option<NonZeroU64>,
    /// Hours of work of the runner, over all resumes; what runs then comes to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hours: Option<f64>,
    /// A value of the goal's metric that is good enough; what runs then comes to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
}

impl Budget {
    /// Whether it never ends anything.
    pub fn is_endless(&self) -> bool {
        *self == Self::default()
    }
}

/// The keys of `search` but `space`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchKeys {
    #[serde(default)]
    sampler: Sampler,
    #[serde(default = "one")]
    repeat: NonZeroU64,
    #[serde(default)]
    parallel: Jobs,
    #[serde(default = "first_seed")]
    seed: u64,
}

fn one() -> NonZeroU64 {
    const { NonZeroU64::new(1).expect("not 0") }
}

fn first_seed() -> u64 {
    1
}

/// Takes the keys of this file out of an experiment.
pub(crate) fn read_steering(tree: &mut Node, sources: &Sources) -> Result<Steering, Diagnostic> {
    let mut take = |key: &str| tree.take(key).filter(|node| !matches!(node.kind, Kind::Null));
    let fail = |node: &Node, at: At, message: String| Diagnostic::new(message).at(sources, &node.origin, at);
    let (search, goal_node, early, budget_node) = (take("search"), take("goal"), take("early_termination"), take("budget"));

    let goal: Goal = goal_node.as_ref().map_or_else(|| Ok(Goal::default()), |node| read_section(node, "goal", sources))?;
    if let Some(node) = &goal_node {
        check_metric(&goal.metric).map_err(|message| fail(node.child("metric").unwrap_or(node), At::Value, message))?;
    }
    let early_termination: Option<EarlyTermination> = match &early {
        Some(node) => Some(read_section(node, "early_termination", sources)?),
        None => None,
    };
    if let (Some(node), Some(early)) = (&early, &early_termination) {
        let kind = node.entries().and_then(<[_]>::first).map_or(node, |(_, inner)| inner);
        if early.rungs().reduction_factor.get() < 2 {
            let place = kind.child("reduction_factor").unwrap_or(kind);
            return Err(fail(place, At::Value, "`reduction_factor` must be at least 2: one in so many trials goes on".to_owned()));
        }
        if search.is_some() && matches!(early, EarlyTermination::SuccessiveHalving(_)) {
            let message = "`successive_halving` compares all trials of a sweep, but the trials of a search follow from each other";
            return Err(fail(kind, At::Key, message.to_owned()).note("use `asha`"));
        }
    }
    let budget: Budget = budget_node.as_ref().map_or_else(|| Ok(Budget::default()), |node| read_section(node, "budget", sources))?;
    if let Some(node) = &budget_node {
        for (key, value) in [("max_hours", budget.max_hours), ("target", budget.target)] {
            if value.is_some_and(|value| !value.is_finite() || (key == "max_hours" && value <= 0.0)) {
                let what = if key == "target" { "a finite number" } else { "a positive number" };
                return Err(fail(node.child(key).unwrap_or(node), At::Value, format!("`{key}` must be {what}")));
            }
        }
    }
    let search = match search {
        Some(mut node) => {
            if tree.child("sweep").is_some_and(|sweep| !matches!(sweep.kind, Kind::Null)) {
                let diagnostic = fail(&node, At::Key, "an experiment has a `sweep` or a `search`, not both".to_owned());
                return Err(diagnostic.note("put the axes of the sweep into the space, as `{choice: [..]}`, and seeds into `repeat`"));
            }
            let search = read_search(&mut node, sources)?;
            if budget.max_trials.is_none() && budget.max_hours.is_none() {
                let diagnostic = fail(&node, At::Key, "this search has no end".to_owned());
                return Err(diagnostic.note("give it one: `budget: {max_trials: 50}` or `budget: {max_hours: 2}`"));
            }
            Some(search)
        }
        None => None,
    };
    Ok(Steering { search, goal, early_termination, budget })
}

/// Whether a metric may steer.
fn check_metric(metric: &str) -> Result<(), String> {
    let name = metric.split_once('/');
    match name {
        Some(("valid" | "train", name)) if !name.is_empty() => Ok(()),
        Some(("eval" | "test", _)) => Err(format!(
            "`{metric}` is measured on the test split, which must not take part in any choice: a result chosen by it would be too good; \
             use a metric of the validation split, `valid/loss`"
        )),
        Some(("train_step", _)) => Err(format!("`{metric}` is logged between epochs; use the mean of an epoch, `train/...`")),
        _ => Err(format!("expected a metric that is logged once an epoch, `valid/...` or `train/...`, found `{metric}`")),
    }
}

fn read_search(node: &mut Node, sources: &Sources) -> Result<Search, Diagnostic> {
    let origin = node.origin.clone();
    let place = |diagnostic: Diagnostic| diagnostic.at(sources, &origin, At::Key);
    if node.entries().is_none() {
        return Err(Diagnostic::new(format!("`search` is a map of `space`, `sampler` and more, found {}", node.describe())).at(
            sources,
            &node.origin,
            At::Value,
        ));
    }
    for (key, value) in node.entries().unwrap_or_default() {
        if STEERING_KEYS.contains(&key.as_str()) || ["early_stopping", "objective"].contains(&key.as_str()) {
            return Err(Diagnostic::new(format!("unknown key `{key}` in `search`"))
                .at(sources, &value.origin, At::Key)
                .note("`goal`, `early_termination` and `budget` stand at the top of the file: they are for sweeps, too"));
        }
    }
    let space = node.take("space");
    let keys: SearchKeys = read_section(node, "search", sources).map_err(|mut error| {
        error.message = error.message.replace("expected one of `sampler`", "expected one of `space`, `sampler`");
        error
    })?;
    if let Sampler::Tpe(options) = &keys.sampler {
        let problem = match options {
            TpeOptions { gamma, .. } if !(*gamma > 0.0 && *gamma < 1.0) => Some(("gamma", "`gamma` is a share between 0 and 1")),
            TpeOptions { candidates: 0, .. } => Some(("candidates", "`candidates` must be at least 1")),
            TpeOptions { startup: 0, .. } => Some(("startup", "`startup` must be at least 1: the first proposals know of no results")),
            _ => None,
        };
        if let Some((key, message)) = problem {
            let found = node.at(&KeyPath::from_iter(["sampler", "tpe", key])).unwrap_or(node);
            return Err(Diagnostic::new(message).at(sources, &found.origin, At::Value));
        }
    }
    let Some(space) = space else {
        return Err(place(Diagnostic::new("missing key `space` in `search`"))
            .note("it says what is searched: `space: {train.optimizer.adam.learning_rate: {log_uniform: {from: 1.0e-4, to: 0.1}}}`"));
    };
    let space = read_space(&space, sources)?;
    Ok(Search { sampler: keys.sampler, space, repeat: keys.repeat, parallel: keys.parallel, seed: keys.seed })
}

fn read_space(node: &Node, sources: &Sources) -> Result<Vec<Dimension>, Diagnostic> {
    let Some(entries) = node.entries().filter(|entries| !entries.is_empty()) else {
        return Err(Diagnostic::new(format!("`space` is a map from paths to distributions, found {}", node.describe())).at(
            sources,
            &node.origin,
            At::Value,
        ));
    };
    let mut space = Vec::new();
    for (key, value) in entries {
        let path = KeyPath::parse(key);
        let first = path.parts().first().map(String::as_str).unwrap_or_default();
        if !TRIAL_KEYS.contains(&first) {
            return Err(Diagnostic::new(format!("`{key}` is no path of a trial's configuration"))
                .at(sources, &value.origin, At::Key)
                .note("a path begins with `data`, `model`, `train`, `evaluate` or `device`: `model.vae.beta`"));
        }
        if key == "train.seed" {
            return Err(Diagnostic::new("a seed is nothing to search for: the best of many would be luck")
                .at(sources, &value.origin, At::Key)
                .note("`repeat: 3` in `search` runs each proposal with three seeds and looks at their mean"));
        }
        if let Kind::List(_) = value.kind {
            return Err(Diagnostic::new(format!("expected a distribution for `{key}`, found a list"))
                .at(sources, &value.origin, At::Value)
                .note("write `{choice: [..]}` for one of a list"));
        }
        let distribution: Distribution =
            read_at(value.to_value(), &KeyPath::root()).map_err(|error| error.diagnose(value, sources)).map_err(|mut error| {
                error.message = format!("{key}: {}", error.message);
                error
            })?;
        distribution.check().map_err(|message| Diagnostic::new(format!("{key}: {message}")).at(sources, &value.origin, At::Value))?;
        space.push(Dimension { path: key.clone(), distribution, origin: value.origin.clone() });
    }
    Ok(space)
}

impl Search {
    /// The distributions in order.
    pub(crate) fn distributions(&self) -> Vec<&Distribution> {
        self.space.iter().map(|dimension| &dimension.distribution).collect()
    }

    /// The values at a point of the unit cube, by path.
    pub(crate) fn values(&self, point: &[f64]) -> Map<String, Value> {
        self.space.iter().zip(point).map(|(dimension, u)| (dimension.path.clone(), dimension.distribution.at(*u))).collect()
    }

    /// The settings of the trials at a point: one trial per seed.
    pub(crate) fn settings(&self, point: &[f64]) -> Vec<Vec<Setting<Node>>> {
        let set = |(dimension, u): (&Dimension, &f64)| dimension.setting(&dimension.distribution.at(*u));
        let values: Vec<Setting<Node>> = self.space.iter().zip(point).map(set).collect();
        match self.repeat.get() {
            1 => vec![values],
            times => (0..times)
                .map(|offset| [&values[..], &[Setting::Offset { path: KeyPath::parse("train.seed"), by: offset }]].concat())
                .collect(),
        }
    }

    /// Every alternative that the space has, by itself.
    pub(crate) fn alternatives(&self) -> Vec<Vec<Setting<Node>>> {
        let choices = self.space.iter().filter_map(|dimension| match &dimension.distribution {
            Distribution::Choice(values) => Some(values.iter().map(|value| vec![dimension.setting(value)])),
            _ => None,
        });
        choices.flatten().collect()
    }
}
