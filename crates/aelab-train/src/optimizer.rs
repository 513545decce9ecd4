//! The optimizers that an experiment can name.

use aelab_core::{ConfigError, GradientClipping, Optimizer, Scheduled};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdaGradConfig, AdamConfig, AdamWConfig, ModuleOptimizer, RmsPropConfig, SgdConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An optimizer and its hyperparameters. Every learning rate takes a number or a schedule.
///
/// `weight_decay` adds `weight_decay * parameter` to the gradient, as PyTorch does, except in `adamw`,
/// where it shrinks the parameter directly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd {
        /// Learning rate.
        learning_rate: Scheduled,
        /// Momentum; 0 is plain gradient descent.
        #[serde(default)]
        momentum: f64,
        /// Nesterov's look-ahead (Sutskever et al. 2013); needs momentum.
        #[serde(default)]
        nesterov: bool,
        /// Weight decay.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam (Kingma & Ba 2015, Algorithm 1).
    Adam {
        /// Learning rate.
        learning_rate: Scheduled,
        /// Decay of the first moment.
        #[serde(default = "default_beta_1")]
        beta_1: f64,
        /// Decay of the second moment.
        #[serde(default = "default_beta_2")]
        beta_2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "default_epsilon")]
        epsilon: f64,
        /// Weight decay.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    #[serde(rename = "adamw")]
    AdamW {
        /// Learning rate.
        learning_rate: Scheduled,
        /// Decay of the first moment.
        #[serde(default = "default_beta_1")]
        beta_1: f64,
        /// Decay of the second moment.
        #[serde(default = "default_beta_2")]
        beta_2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "default_epsilon")]
        epsilon: f64,
        /// Weight decay, times the learning rate.
        #[serde(default = "default_decoupled_decay")]
        weight_decay: f64,
    },
    /// RMSprop (Tieleman & Hinton 2012).
    #[serde(rename = "rmsprop")]
    RmsProp {
        /// Learning rate.
        learning_rate: Scheduled,
        /// Decay of the mean square.
        #[serde(default = "default_alpha")]
        alpha: f64,
        /// Momentum.
        #[serde(default)]
        momentum: f64,
        /// Added to the root of the mean square.
        #[serde(default = "default_epsilon")]
        epsilon: f64,
        /// Whether the mean is taken out of the mean square.
        #[serde(default)]
        centered: bool,
        /// Weight decay.
        #[serde(default)]
        weight_decay: f64,
    },
    /// AdaGrad (Duchi et al. 2011).
    #[serde(rename = "adagrad")]
    AdaGrad {
        /// Learning rate.
        learning_rate: Scheduled,
        /// Decay of the learning rate: `learning_rate / (1 + steps * decay)`.
        #[serde(default)]
        learning_rate_decay: f64,
        /// Added to the root of the sum of squares.
        #[serde(default = "default_adagrad_epsilon")]
        epsilon: f64,
        /// Weight decay.
        #[serde(default)]
        weight_decay: f64,
    },
}

fn default_beta_1() -> f64 {
    0.9
}

fn default_beta_2() -> f64 {
    0.999
}

fn default_epsilon() -> f64 {
    1e-8
}

fn default_decoupled_decay() -> f64 {
    1e-2
}

fn default_alpha() -> f64 {
    0.99
}

fn default_adagrad_epsilon() -> f64 {
    1e-10
}
