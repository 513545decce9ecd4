//! `p(x | z)`: what a variational decoder's output means.

use aelab_core::{ConfigError, DataSpec, Initializer, TermSpec, Unit};
use aelab_losses::{binary_cross_entropy_from_logits, gaussian_nll, gaussian_nll_with_log_var};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The distribution of features given a code; features are independent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LikelihoodConfig {
    /// Bernoulli variables, their logits from the decoder; for data in [0, 1], grey values included.
    Bernoulli,
    /// Gaussians with means from the decoder and one fixed variance.
    Gaussian {
        /// In squared data units. The squared error counts `1 / (2 variance)` times.
        #[serde(default = "unit_variance")]
        variance: f64,
    },
    /// Gaussians with means from the decoder and one variance for all features, learned with the rest from 1 on
    /// (Rybkin, Daniilidis & Levine 2021, the shared sigma of Sec. 3.1).
    GaussianLearnedVariance {},
}

fn unit_variance() -> f64 {
    1.0
}

impl LikelihoodConfig {
    /// Rejects a likelihood under which the data has no density, and a variance that is none. Paths are relative to the key.
    pub fn check(self, data: &DataSpec) -> Result<(), ConfigError> {
        match self {
            LikelihoodConfig::Bernoulli if !data.domain.is_unit_interval() => {
                let message = "a Bernoulli likelihood needs data in [0, 1], but this data takes any real value; scale the data to [0, 1], \
                               or take `{gaussian: {variance: 1.0}}`";
                Err(ConfigError::new("", message))
            }
            LikelihoodConfig::Gaussian { variance } if !(variance > 0.0 && variance.is_finite()) => {
                Err(ConfigError::new("gaussian.variance", format!("a variance must be a positive number, but is {variance}")))
            }
            _ => Ok(()),
        }
    }

    /// The declaration of the term `nll`.
    pub fn term_spec(self) -> TermSpec {
        let spec = TermSpec::new("nll", Unit::Nats, 1.0);
        match self {
            LikelihoodConfig::Gaussian { variance } => spec.squared_error_factor(2.0 * variance),
            LikelihoodConfig::Bernoulli | LikelihoodConfig::GaussianLearnedVariance {} => spec,
        }
    }

    /// The likelihood with its initial parameters, if it has any.
    pub fn init(self, _data: &DataSpec, initializer: &mut Initializer) -> Likelihood {
        let log_var = (self == LikelihoodConfig::GaussianLearnedVariance {}).then(|| initializer.constant([1, 1], 0.0));
        Likelihood { config: self, log_var }
    }
}

/// A likelihood, with the logarithm of its variance where that is learned.
#[derive(Module, Debug)]
pub struct Likelihood {
    /// `[1, 1]`.
    log_var: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: LikelihoodConfig,
}

impl Likelihood {
    /// `-log p(x | z)` in nats per example, from the decoder's `output`; both `[batch, feature]`.
    pub fn nll(&self, x: Tensor<2>, output: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<1> {
        match (self.config, &self.log_var) {
            (LikelihoodConfig::Bernoulli, _) => binary_cross_entropy_from_logits(x, output, mask),
            (LikelihoodConfig::Gaussian { variance }, _) => gaussian_nll(x, output, variance, mask),
            (LikelihoodConfig::GaussianLearnedVariance {}, log_var) => {
                let log_var = log_var.as_ref().expect("a learned variance is initialised with the likelihood");
                gaussian_nll_with_log_var(x, output, log_var.val(), mask)
            }
        }
    }

    /// The mean of `p(x | z)`, `[batch, feature]`.
    pub fn mean(&self, output: Tensor<2>) -> Tensor<2> {
        match self.config {
            LikelihoodConfig::Bernoulli => activation::sigmoid(output),
            LikelihoodConfig::Gaussian { .. } | LikelihoodConfig::GaussianLearnedVariance {} => output,
        }
    }

    /// The decoder's output where it is made of logits.
    pub fn logits(&self, output: Tensor<2>) -> Option<Tensor<2>> {
        (self.config == LikelihoodConfig::Bernoulli).then_some(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Domain;

    #[test]
    fn each_form_is_read_and_written_back_as_it_was() {
        for json in [r#""bernoulli""#, r#"{"gaussian":{"variance":0.1}}"#, r#"{"gaussian_learned_variance":{}}"#] {
            let likelihood: LikelihoodConfig = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&likelihood).unwrap(), json);
        }
        let brief: LikelihoodConfig = serde_json::from_str(r#"{"gaussian":{}}"#).unwrap();
        assert_eq!(brief, LikelihoodConfig::Gaussian { variance: 1.0 });
    }

    #[test]
    fn a_likelihood_that_does_not_fit_the_data_is_refused() {
        let data = |domain| DataSpec::new([4], domain);
        assert!(LikelihoodConfig::Bernoulli.check(&data(Domain::UnitInterval)).is_ok());
        assert_eq!(LikelihoodConfig::Bernoulli.check(&data(Domain::Real)).unwrap_err().path, "");
        for variance in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = LikelihoodConfig::Gaussian { variance }.check(&data(Domain::Real)).unwrap_err();
            assert_eq!(error.path, "gaussian.variance");
        }
    }
}
