//! How a trial ended: `result.json`, whose presence says that the trial is over.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::hash::short_hash;
use crate::trial_config::FORMAT_VERSION;

/// Where a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// Not begun.
    Pending,
    /// A process has it.
    Running,
    /// Begun and stopped before the end; goes on from its checkpoint.
    Interrupted,
    /// Came as far as it was meant to come for now: whether it goes on depends on other trials.
    Paused,
    /// Trained and measured.
    Finished,
    /// Given up early because others did better.
    Stopped,
    /// A value was not a finite number.
    Diverged,
    /// An error, or a process that died.
    Failed,
}

impl TrialState {
    /// Every state, in the order of a life.
    pub const ALL: [TrialState; 8] = [
        TrialState::Pending,
        TrialState::Running,
        TrialState::Interrupted,
        TrialState::Paused,
        TrialState::Finished,
        TrialState::Stopped,
        TrialState::Diverged,
        TrialState::Failed,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            TrialState::Pending => "pending",
            TrialState::Running => "running",
            TrialState::Interrupted => "interrupted",
            TrialState::Paused => "paused",
            TrialState::Finished => "finished",
            TrialState::Stopped => "stopped",
            TrialState::Diverged => "diverged",
            TrialState::Failed => "failed",
        }
    }

    /// Whether nothing follows unless someone asks for another try.
    pub fn is_over(self) -> bool {
        matches!(self, TrialState::Finished | TrialState::Stopped | TrialState::Diverged | TrialState::Failed)
    }
}

impl fmt::Display for TrialState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One number that was measured on the test split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricValue {
    /// Name without the split: `sse`, `pca_sse`.
    pub name: String,
    /// The value.
    pub value: f64,
    /// What it is measured in; empty for a plain number.
    pub unit: String,
    /// Whether `lower` or `higher` is better; `none` where neither is.
    pub direction: String,
    /// Version of the metric's definition.
    #[serde(default)]
    pub version: u32,
    /// Name of the evaluation that measured it, whose options then say how; `None` in results of an aelab that did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<String>,
}

/// A picture in the folder `figures` of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawnPicture {
    /// File name without `.png`.
    pub name: String,
    /// What is shown.
    pub title: String,
    /// The evaluation that it is of.
    pub evaluation: String,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// Version of the meaning of the configuration, see [`FORMAT_VERSION`].
    pub format_version: u32,
    /// How it ended.
    pub state: TrialState,
    /// Why, for a trial that diverged, failed or was stopped early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was measured.
    #[serde(default)]
    pub metrics: Vec<MetricValue>,
    /// What was drawn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<DrawnPicture>,
    /// Trainable numbers.
    #[serde(default)]
    pub num_parameters: usize,
    /// Epochs over all stages.
    #[serde(default)]
    pub epochs_run: u64,
    /// Optimizer steps over all stages.
    #[serde(default)]
    pub steps: u64,
    /// Seconds of training over all processes that worked on the trial.
    #[serde(default)]
    pub seconds: f64,
    /// Seconds of measuring and drawing after training.
    #[serde(default)]
    pub measuring_seconds: f64,
    /// Epoch, from 1, whose parameters were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_epoch: Option<u64>,
}

impl TrialResult {
    /// A trial that ended without a measurement.
    pub fn without_metrics(state: TrialState, error: impl Into<Option<String>>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            state,
            error: error.into(),
            metrics: Vec::new(),
            pictures: Vec::new(),
            num_parameters: 0,
            epochs_run: 0,
            steps: 0,
            seconds: 0.0,
            measuring_seconds: 0.0,
            best_epoch: None,
        }
    }

    /// The content of `result.json`: the result and a checksum over it.
    pub fn to_json(&self) -> Vec<u8> {
        let json = Value::Object(self.to_value());
        let checksum = short_hash(&json);
        let Value::Object(mut json) = json else { unreachable!("it was made of a map") };
        json.insert("checksum".to_owned(), Value::from(checksum));
        serde_json::to_vec_pretty(&json).expect("a result of numbers, texts and lists serializes")
    }

    /// Reads what [`TrialResult::to_json`] wrote. A result without a checksum is one of an earlier version.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let mut json: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let checksum = json.shift_remove("checksum");
        let json = Value::Object(json);
        if let Some(checksum) = checksum
            && checksum.as_str() != Some(&short_hash(&json))
        {
            return Err("it does not match its checksum".to_owned());
        }
        let result: Self = serde_json::from_value(json).map_err(|error| error.to_string())?;
        // They are read from the trial's folder `figures`, and from nowhere else.
        match result.pictures.iter().find(|picture| !is_file_name(&picture.name)) {
            None => Ok(result),
            Some(picture) => Err(format!("{:?} cannot name a picture", picture.name)),
        }
    }

    fn to_value(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => unreachable!("a result is a map of numbers, texts and lists"),
        }
    }

    /// The value of the metric `name`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }
}

/// Whether a name is one on every system, and leads nowhere else.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(|character: char| "/\\:".contains(character) || character.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_cannot_lie_outside_of_the_trial() {
        let mut result = TrialResult::without_metrics(TrialState::Finished, None);
        let picture = |name: &str| DrawnPicture { name: name.to_owned(), title: String::new(), evaluation: String::new() };
        result.pictures = vec![picture("latent_means.2d")];
        assert_eq!(TrialResult::from_json(&result.to_json()).unwrap(), result);
        for name in ["../../secret", "/etc/secret", "..", "", "C:secret", "a\\b", "a\0b"] {
            result.pictures = vec![picture(name)];
            assert_eq!(TrialResult::from_json(&result.to_json()).unwrap_err(), format!("{name:?} cannot name a picture"));
        }
    }

    #[test]
    fn results_without_the_evaluation_of_a_metric_are_read() {
        let text = r#"{"name": "sse", "value": 1.5, "unit": "", "direction": "lower", "version": 1}"#;
        let old: MetricValue = serde_json::from_str(text).unwrap();
        assert_eq!(old.evaluation, None);
        assert!(!serde_json::to_string(&old).unwrap().contains("evaluation"));
        let new = MetricValue { evaluation: Some("reconstruction".into()), ..old };
        assert_eq!(serde_json::from_str::<MetricValue>(&serde_json::to_string(&new).unwrap()).unwrap(), new);
    }
}
