//! The optimizers that an experiment can name.

use aelab_core::{ConfigError, GradientClipping, Optimizer, Scheduled};
use burn::optim::ModuleOptimizer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ada_grad::AdaGrad;
use crate::adam::{Adam, Decay};
use crate::rms_prop::RmsProp;
use crate::sgd::Sgd;

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

impl OptimizerConfig {
    /// A fresh optimizer whose gradients are clipped first.
    pub fn build(&self, clipping: Option<GradientClipping>) -> Optimizer {
        Optimizer::new(self.of_modules(), clipping)
    }

    fn of_modules(&self) -> ModuleOptimizer {
        match self {
            OptimizerConfig::Sgd { momentum, nesterov, weight_decay, .. } => {
                Sgd { momentum: *momentum, nesterov: *nesterov, weight_decay: *weight_decay }.into()
            }
            OptimizerConfig::Adam { beta_1, beta_2, epsilon, weight_decay, .. } => {
                let decay = Decay::Gradient(*weight_decay as f32);
                ModuleOptimizer::from(Adam { betas: [*beta_1, *beta_2], epsilon: *epsilon, decay })
            }
            OptimizerConfig::AdamW { beta_1, beta_2, epsilon, weight_decay, .. } => {
                let decay = Decay::Decoupled(*weight_decay);
                ModuleOptimizer::from(Adam { betas: [*beta_1, *beta_2], epsilon: *epsilon, decay })
            }
            OptimizerConfig::RmsProp { alpha, momentum, epsilon, centered, weight_decay, .. } => {
                RmsProp { alpha: *alpha, momentum: *momentum, epsilon: *epsilon, centered: *centered, weight_decay: *weight_decay }.into()
            }
            OptimizerConfig::AdaGrad { learning_rate_decay, epsilon, weight_decay, .. } => {
                AdaGrad { learning_rate_decay: *learning_rate_decay, epsilon: *epsilon, weight_decay: *weight_decay }.into()
            }
        }
    }

    /// The learning rate with its schedule.
    pub fn learning_rate(&self) -> &Scheduled {
        match self {
            OptimizerConfig::Sgd { learning_rate, .. }
            | OptimizerConfig::Adam { learning_rate, .. }
            | OptimizerConfig::AdamW { learning_rate, .. }
            | OptimizerConfig::RmsProp { learning_rate, .. }
            | OptimizerConfig::AdaGrad { learning_rate, .. } => learning_rate,
        }
    }

    /// The first value that no optimizer could work with, by its path (`adam.beta_1`).
    pub fn check(&self) -> Result<(), ConfigError> {
        let name = self.name();
        self.check_values().map_err(|error| error.within(name))
    }

    fn name(&self) -> &'static str {
        match self {
            OptimizerConfig::Sgd { .. } => "sgd",
            OptimizerConfig::Adam { .. } => "adam",
            OptimizerConfig::AdamW { .. } => "adamw",
            OptimizerConfig::RmsProp { .. } => "rmsprop",
            OptimizerConfig::AdaGrad { .. } => "adagrad",
        }
    }

    fn check_values(&self) -> Result<(), ConfigError> {
        let at_least_zero = |key: &str, value: f64| {
            if value >= 0.0 && value.is_finite() {
                Ok(())
            } else {
                Err(ConfigError::new(key, format!("`{key}` must not be negative, but is {value}")))
            }
        };
        let below_one = |key: &str, value: f64| {
            if (0.0..1.0).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::new(key, format!("`{key}` must lie in [0, 1), but is {value}")))
            }
        };
        let positive = |key: &str, value: f64| {
            if value > 0.0 && value.is_finite() {
                Ok(())
            } else {
                Err(ConfigError::new(key, format!("`{key}` must be a positive number, but is {value}")))
            }
        };
        self.learning_rate().check().map_err(|error| error.within("learning_rate"))?;
        if let Some(value) = self.learning_rate().first_outside(0.0, f64::MAX) {
            return Err(ConfigError::new("learning_rate", format!("a learning rate cannot be negative, but is {value}")));
        }
        match *self {
            OptimizerConfig::Sgd { momentum, nesterov, weight_decay, .. } => {
                below_one("momentum", momentum)?;
                if nesterov && momentum == 0.0 {
                    return Err(ConfigError::new("nesterov", "Nesterov's method needs momentum; set `momentum`, for example to 0.9"));
                }
                at_least_zero("weight_decay", weight_decay)
            }
            OptimizerConfig::Adam { beta_1, beta_2, epsilon, weight_decay, .. }
            | OptimizerConfig::AdamW { beta_1, beta_2, epsilon, weight_decay, .. } => {
                below_one("beta_1", beta_1)?;
                below_one("beta_2", beta_2)?;
                positive("epsilon", epsilon)?;
                at_least_zero("weight_decay", weight_decay)
            }
            OptimizerConfig::RmsProp { alpha, momentum, epsilon, weight_decay, .. } => {
                below_one("alpha", alpha)?;
                below_one("momentum", momentum)?;
                positive("epsilon", epsilon)?;
                at_least_zero("weight_decay", weight_decay)
            }
            OptimizerConfig::AdaGrad { learning_rate_decay, epsilon, weight_decay, .. } => {
                at_least_zero("learning_rate_decay", learning_rate_decay)?;
                positive("epsilon", epsilon)?;
                at_least_zero("weight_decay", weight_decay)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::{Linear, LinearConfig};
    use burn::optim::decay::WeightDecayConfig;
    use burn::optim::momentum::MomentumConfig;
    use burn::optim::{AdaGradConfig, GradientsParams, OptimizerRecord, RmsPropConfig, SgdConfig};
    use burn::tensor::{Bytes, Device, Tensor, TensorData};

    /// burn's own form of ours.
    fn of_burn(config: &OptimizerConfig) -> Option<ModuleOptimizer> {
        let decay = |penalty: f64| (penalty != 0.0).then(|| WeightDecayConfig::new(penalty as f32));
        Some(match config {
            OptimizerConfig::Sgd { momentum, nesterov, weight_decay, .. } => {
                // burn damps the gradient by default; PyTorch and the papers do not.
                let momentum = (*momentum != 0.0).then_some(MomentumConfig { momentum: *momentum, dampening: 0.0, nesterov: *nesterov });
                SgdConfig::new().with_momentum(momentum).with_weight_decay(decay(*weight_decay)).init()
            }
            OptimizerConfig::RmsProp { alpha, momentum, epsilon, centered, weight_decay, .. } => RmsPropConfig::new()
                .with_alpha(*alpha as f32)
                .with_momentum(*momentum as f32)
                .with_epsilon(*epsilon as f32)
                .with_centered(*centered)
                .with_weight_decay(decay(*weight_decay))
                .init(),
            OptimizerConfig::AdaGrad { learning_rate_decay, epsilon, weight_decay, .. } => AdaGradConfig::new()
                .with_lr_decay(*learning_rate_decay)
                .with_epsilon(*epsilon as f32)
                .with_weight_decay(decay(*weight_decay))
                .init(),
            _ => return None,
        })
    }

    fn layer(device: &Device) -> Linear {
        let number = |index: usize| ((index * 37 % 101) as f32 - 50.0) / 100.0;
        let mut layer = LinearConfig::new(300, 130).init(device);
        let weight = (0..300 * 130).map(number).collect();
        layer.weight = layer.weight.map(|_| Tensor::from_data(TensorData::new::<f32, _>(weight, [300, 130]), device).require_grad());
        layer.bias = layer.bias.map(|bias| bias.map(|_| Tensor::zeros([130], device).require_grad()));
        layer
    }

    fn stepped(optimizer: &mut ModuleOptimizer, mut layer: Linear, steps: std::ops::Range<usize>, device: &Device) -> Linear {
        for step in steps {
            let x: Vec<f32> = (0..3 * 300).map(|index| ((index * 7 + step * 13) % 17) as f32 / 17.0 - 0.4).collect();
            let x = Tensor::<2>::from_data(TensorData::new(x, [3, 300]), device);
            let gradients = layer.forward(x).square().mean().backward();
            let gradients = GradientsParams::from_grads(gradients, &layer);
            layer = optimizer.step(0.01, layer, gradients);
        }
        layer
    }

    fn numbers(layer: &Linear) -> Vec<f32> {
        let [weight, bias] = [layer.weight.val().into_data(), layer.bias.as_ref().unwrap().val().into_data()];
        weight.try_to_vec().unwrap().into_iter().chain(bias.try_to_vec::<f32>().unwrap()).collect()
    }

    #[test]
    fn each_optimizer_steps_as_burns_own_and_goes_on_from_its_record() {
        let device = Device::flex().autodiff();
        for config in [
            r#"{"sgd": {"learning_rate": 0.1}}"#,
            r#"{"sgd": {"learning_rate": 0.1, "weight_decay": 0.1}}"#,
            r#"{"sgd": {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1}}"#,
            r#"{"sgd": {"learning_rate": 0.1, "momentum": 0.9, "nesterov": true}}"#,
            r#"{"rmsprop": {"learning_rate": 0.1}}"#,
            r#"{"rmsprop": {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.1}}"#,
            r#"{"rmsprop": {"learning_rate": 0.1, "centered": true}}"#,
            r#"{"rmsprop": {"learning_rate": 0.1, "centered": true, "momentum": 0.5}}"#,
            r#"{"adagrad": {"learning_rate": 0.1}}"#,
            r#"{"adagrad": {"learning_rate": 0.1, "learning_rate_decay": 0.1, "weight_decay": 0.1}}"#,
        ] {
            let parsed: OptimizerConfig = serde_json::from_str(config).unwrap();
            let mut burns = of_burn(&parsed).unwrap();
            let begun = layer(&device);
            let halfway = stepped(&mut burns, begun.clone(), 0..4, &device);
            let expected = numbers(&stepped(&mut burns.clone(), halfway.clone(), 4..8, &device));

            let mut ours = parsed.of_modules();
            let found = stepped(&mut ours, begun, 0..4, &device);
            let found = numbers(&stepped(&mut ours, found, 4..8, &device));
            // burn's record, taken up by ours.
            let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(burns.into_bytes().unwrap().to_vec())).unwrap();
            let mut resumed = parsed.of_modules().load_record(record);
            let resumed = numbers(&stepped(&mut resumed, halfway, 4..8, &device));
            for (index, expected) in expected.iter().enumerate() {
                for found in [found[index], resumed[index]] {
                    // Where a gradient is about 0, a scaled step turns its rounding into a change; rounding is bounded, though.
                    assert!((found - expected).abs() <= 2e-5, "{config}[{index}]: {found} is not {expected}");
                }
            }
        }
    }
}
