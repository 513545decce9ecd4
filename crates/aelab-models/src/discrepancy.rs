//! How far codes are from the prior, by a kernel, as a configuration says it.

use aelab_core::{ConfigError, Noise};
use aelab_losses::{Kernel, MmdEstimator, mmd};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kernel of a maximum mean discrepancy: a sum over length scales. At scale `s` the squared length is `c = 2 d s` for codes
/// of `d` dimensions: `s` times the mean squared distance of two draws from the prior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KernelConfig {
    /// `exp(-r^2 / c)`, Gaussian.
    Rbf {
        /// Length scales.
        #[serde(default = "one_scale")]
        scales: Vec<f64>,
    },
    /// `c / (c + r^2)`, inverse multiquadratic.
    Imq {
        /// Length scales.
        #[serde(default = "many_scales")]
        scales: Vec<f64>,
    },
}

fn one_scale() -> Vec<f64> {
    vec![1.0]
}

/// Those of the authors' code of Tolstikhin et al. 2018.
fn many_scales() -> Vec<f64> {
    vec![0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
}

impl KernelConfig {
    /// The Gaussian kernel at its default scale.
    pub fn rbf() -> Self {
        KernelConfig::Rbf { scales: one_scale() }
    }

    /// The inverse multiquadratic kernel at its default scales.
    pub fn imq() -> Self {
        KernelConfig::Imq { scales: many_scales() }
    }

    /// Rejects a kernel without scales, and a scale that is none. Paths are relative to the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (name, scales) = match self {
            KernelConfig::Rbf { scales } => ("rbf", scales),
            KernelConfig::Imq { scales } => ("imq", scales),
        };
        if scales.is_empty() {
            return Err(ConfigError::new(
                format!("{name}.scales"),
                "a kernel needs at least one length scale, for example `scales: [1.0]`",
            ));
        }
        match scales.iter().position(|scale| !(*scale > 0.0 && scale.is_finite())) {
            Some(index) => {
                let message = format!("a length scale must be a positive number, but is {}", scales[index]);
                Err(ConfigError::new(format!("{name}.scales.{index}"), message))
            }
            None => Ok(()),
        }
    }
}

/// How the discrepancy is estimated from a minibatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiscrepancyEstimator {
    /// From pairs of different members: right on average, and negative now and then.
    #[default]
    Unbiased,
    /// From all pairs: never negative, and too large by an order of 1 / batch size.
    Biased,
}

/// The squared MMD of a batch of codes `z`, `[batch, latent]`, from as many draws of the standard normal prior; the result: `[1]`.
pub(crate) fn mmd_from_standard_normal(
    z: Tensor<2>,
    noise: &mut dyn Noise,
    kernel: &KernelConfig,
    estimator: DiscrepancyEstimator,
) -> Tensor<1> {
    let prior = noise.normal(z.dims(), &z.device());
    let typical = 2.0 * z.dims()[1] as f64;
    let (kind, scales) = match kernel {
        KernelConfig::Rbf { scales } => (Kernel::Rbf, scales),
        KernelConfig::Imq { scales } => (Kernel::InverseMultiquadratic, scales),
    };
    let squared_lengths: Vec<f64> = scales.iter().map(|scale| typical * scale).collect();
    let estimator = match estimator {
        DiscrepancyEstimator::Unbiased => MmdEstimator::Unbiased,
        DiscrepancyEstimator::Biased => MmdEstimator::Biased,
    };
    mmd(z, prior, kind, &squared_lengths, estimator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_a_length_is_refused_at_its_path() {
        let path = |kernel: KernelConfig| kernel.check().unwrap_err().path;
        assert_eq!(path(KernelConfig::Rbf { scales: vec![] }), "rbf.scales");
        assert_eq!(path(KernelConfig::Imq { scales: vec![1.0, 0.0] }), "imq.scales.1");
        assert!(KernelConfig::rbf().check().is_ok() && KernelConfig::imq().check().is_ok());
    }

    #[test]
    fn a_kernel_is_named_by_one_key_and_its_scales_may_be_left_out() {
        let read = |json: &str| serde_json::from_str::<KernelConfig>(json).unwrap();
        assert_eq!(read(r#"{"rbf": {}}"#), KernelConfig::rbf());
        assert_eq!(read(r#"{"imq": {"scales": [2.0]}}"#), KernelConfig::Imq { scales: vec![2.0] });
    }
}
