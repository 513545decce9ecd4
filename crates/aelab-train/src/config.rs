//! The `train` section of an experiment.

use aelab_core::{ConfigError, GradientClipping, Scheduled};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OptimizerConfig;

/// How a model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training examples.
    pub epochs: usize,
    /// Examples per optimizer step; the last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// Optimizer with its learning rate, e.g. `{adam: {learning_rate: 1.0e-3}}`.
    pub optimizer: OptimizerConfig,
    /// Seed of everything random in a trial but the split of the data.
    pub seed: u64,
    /// Keeps gradients from exploding: `{norm: 1.0}` over all parameters together, or `{value: 0.5}` per element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clipping: Option<GradientClipping>,
    /// Ends training when validation stops improving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Which parameters evaluation sees.
    #[serde(default)]
    pub keep: Keep,
    /// Optimizer steps between checkpoints within an epoch; one is written after every epoch in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<u64>,
    /// Optimizer steps between logged training terms; the mean of each epoch is logged in any case.
    #[serde(default = "default_log_every")]
    pub log_every: u64,
}

fn default_log_every() -> u64 {
    50
}

/// Ends training when the validation loss has not improved for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Epochs without improvement that are borne.
    pub patience: usize,
    /// What counts as an improvement of the validation loss.
    #[serde(default)]
    pub min_delta: f64,
}

/// Which parameters evaluation sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Those of the epoch with the lowest validation loss; the last ones where there is no validation split.
    #[default]
    Best,
    /// Those after the last epoch.
    Last,
}

impl TrainConfig {
    /// The first value that no training run could make sense of.
    pub fn check(&self) -> Result<(), ConfigError> {
        let positive = |key: &str, value: u64| {
            if value > 0 { Ok(()) } else { Err(ConfigError::new(key, format!("`{key}` must be at least 1"))) }
        };
        positive("epochs", self.epochs as u64)?;
        positive("batch_size", self.batch_size as u64)?;
        positive("log_every", self.log_every)?;
        if let Some(steps) = self.checkpoint_every {
            positive("checkpoint_every", steps)?;
        }
        if let Some(GradientClipping::Norm(max) | GradientClipping::Value(max)) = self.gradient_clipping
            && !(max > 0.0 && max.is_finite())
        {
            return Err(ConfigError::new(
                "gradient_clipping",
                format!("the bound of gradient clipping must be a positive number, but is {max}"),
            ));
        }
        if let Some(stopping) = &self.early_stopping {
            positive("patience", stopping.patience as u64).map_err(|error| error.within("early_stopping"))?;
            if !(stopping.min_delta >= 0.0 && stopping.min_delta.is_finite()) {
                return Err(ConfigError::new("early_stopping.min_delta", "`min_delta` must not be negative"));
            }
        }
        self.optimizer.check().map_err(|error| error.within("optimizer"))
    }

    /// The learning rate with its schedule.
    pub fn learning_rate(&self) -> &Scheduled {
        self.optimizer.learning_rate()
    }
}
