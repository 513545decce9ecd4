//! `p(x | z)`: what a variational decoder's output means.

use aelab_core::{ConfigError, DataSpec, Domain, Initializer, TermSpec, Unit};
use aelab_losses::{
    bernoulli_nll_of_each, binary_cross_entropy_from_logits, continuous_bernoulli_mean, continuous_bernoulli_nll_from_logits,
    continuous_bernoulli_nll_of_each, gaussian_nll_of_each, gaussian_nll_with_log_var_of_each,
};
use aelab_nn::{Activation, Feedback};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The distribution of features given a code; features are independent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LikelihoodConfig {
    /// Bernoulli variables, their logits from the decoder; for data in [0, 1], grey values included.
    Bernoulli,
    /// Continuous Bernoulli variables, densities on [0, 1], their logits from the decoder; for data in [0, 1]
    /// (Loaiza-Ganem & Cunningham 2019).
    ContinuousBernoulli,
    /// Gaussians with means from the decoder and one fixed variance.
    Gaussian {
        /// In squared data units. The squared error counts `1 / (2 variance)` times.
        #[serde(default = "unit_variance")]
        variance: f64,
    },
    /// Gaussians with means from the decoder and one variance for all features, learned with the rest from 1 on
    /// (Rybkin, Daniilidis & Levine 2021, the shared sigma of Sec. 3.1).
    GaussianLearnedVariance {},
    /// Gaussians with means from the decoder and one variance per feature, learned with the rest from 1 on.
    GaussianPerFeatureVariance {
        /// Added to each variance, in squared data units: without it the density of a feature that never changes has
        /// no bound, and 0 allows that.
        #[serde(default = "smallest_variance")]
        min_variance: f64,
    },
}

fn smallest_variance() -> f64 {
    1e-4
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
            LikelihoodConfig::ContinuousBernoulli if !data.domain.is_unit_interval() => {
                let message = "a continuous Bernoulli likelihood is a density on [0, 1], but this data takes any real value; scale the data to \
                               [0, 1], or take `{gaussian: {variance: 1.0}}`";
                Err(ConfigError::new("", message))
            }
            LikelihoodConfig::GaussianPerFeatureVariance { min_variance } if !(min_variance >= 0.0 && min_variance.is_finite()) => {
                let message = format!("`min_variance` must be 0 or a positive number, but is {min_variance}");
                Err(ConfigError::new("gaussian_per_feature_variance.min_variance", message))
            }
            LikelihoodConfig::Gaussian { variance } if !(variance > 0.0 && variance.is_finite()) => {
                Err(ConfigError::new("gaussian.variance", format!("a variance must be a positive number, but is {variance}")))
            }
            _ => Ok(()),
        }
    }

    /// Says so when the likelihood has a density for data that has none.
    pub fn warning(self, data: &DataSpec) -> Option<String> {
        (self == LikelihoodConfig::ContinuousBernoulli && data.domain == Domain::Binary).then(|| {
            "a continuous Bernoulli likelihood is a density on [0, 1], which grows without bound for data of exactly 0 and 1; take \
             `likelihood: bernoulli` for binary data"
                .to_owned()
        })
    }

    /// The declaration of the term `nll`.
    pub fn term_spec(self) -> TermSpec {
        let spec = TermSpec::new("nll", Unit::Nats, 1.0);
        match self {
            LikelihoodConfig::Gaussian { variance } => spec.squared_error_factor(2.0 * variance),
            _ => spec,
        }
    }

    /// The likelihood with its initial parameters, if it has any.
    pub fn init(self, data: &DataSpec, initializer: &mut Initializer) -> Likelihood {
        let log_var = match self {
            LikelihoodConfig::GaussianLearnedVariance {} => Some(initializer.constant([1, 1], 0.0)),
            LikelihoodConfig::GaussianPerFeatureVariance { .. } => Some(initializer.constant([1, data.num_features()], 0.0)),
            _ => None,
        };
        Likelihood { config: self, log_var }
    }
}

/// A likelihood, with the logarithm of its variance where that is learned.
#[derive(Module, Debug)]
pub struct Likelihood {
    /// `[1, 1]`, or `[1, feature]`.
    log_var: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: LikelihoodConfig,
}

impl Likelihood {
    /// `-log p(x | z)` in nats per example, from the decoder's `output`; both `[batch, feature]`.
    pub fn nll(&self, x: Tensor<2>, output: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<1> {
        match self.config {
            LikelihoodConfig::Bernoulli => binary_cross_entropy_from_logits(x, output, mask),
            LikelihoodConfig::ContinuousBernoulli => continuous_bernoulli_nll_from_logits(x, output, mask),
            _ => self.nll_of_each(x, output, mask).mean(),
        }
    }

    /// `-log p(x | z)` in nats of each example, `[batch, 1]`.
    pub fn nll_of_each(&self, x: Tensor<2>, output: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<2> {
        match self.config {
            LikelihoodConfig::Bernoulli => bernoulli_nll_of_each(x, output, mask),
            LikelihoodConfig::ContinuousBernoulli => continuous_bernoulli_nll_of_each(x, output, mask),
            LikelihoodConfig::Gaussian { variance } => gaussian_nll_of_each(x, output, variance, mask),
            LikelihoodConfig::GaussianLearnedVariance {} | LikelihoodConfig::GaussianPerFeatureVariance { min_variance: 0.0 } => {
                gaussian_nll_with_log_var_of_each(x, output, self.log_var(), mask)
            }
            LikelihoodConfig::GaussianPerFeatureVariance { min_variance } => {
                gaussian_nll_with_log_var_of_each(x, output, (self.log_var().exp() + min_variance).log(), mask)
            }
        }
    }

    /// The mean of `p(x | z)`, `[batch, feature]`.
    pub fn mean(&self, output: Tensor<2>) -> Tensor<2> {
        match self.config {
            LikelihoodConfig::Bernoulli => Activation::Sigmoid.apply(output),
            LikelihoodConfig::ContinuousBernoulli => continuous_bernoulli_mean(output),
            LikelihoodConfig::Gaussian { .. }
            | LikelihoodConfig::GaussianLearnedVariance {}
            | LikelihoodConfig::GaussianPerFeatureVariance { .. } => output,
        }
    }

    /// What a decoder of series is fed with: the mean.
    pub fn with_feedback<T>(&self, run: impl FnOnce(Feedback<'_>) -> T) -> T {
        match self.config {
            LikelihoodConfig::Bernoulli => run(Feedback::Activated(Activation::Sigmoid)),
            LikelihoodConfig::ContinuousBernoulli => run(Feedback::Function(&continuous_bernoulli_mean)),
            LikelihoodConfig::Gaussian { .. }
            | LikelihoodConfig::GaussianLearnedVariance {}
            | LikelihoodConfig::GaussianPerFeatureVariance { .. } => run(Feedback::Activated(Activation::Linear)),
        }
    }

    /// The decoder's output where it is made of logits of probabilities.
    pub fn logits(&self, output: Tensor<2>) -> Option<Tensor<2>> {
        (self.config == LikelihoodConfig::Bernoulli).then_some(output)
    }

    fn log_var(&self) -> Tensor<2> {
        self.log_var.as_ref().expect("a learned variance is initialised with the likelihood").val()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn each_form_is_read_and_written_back_as_it_was() {
        for json in [
            r#""bernoulli""#,
            r#"{"gaussian":{"variance":0.1}}"#,
            r#"{"gaussian_learned_variance":{}}"#,
            r#""continuous_bernoulli""#,
            r#"{"gaussian_per_feature_variance":{"min_variance":0.01}}"#,
        ] {
            let likelihood: LikelihoodConfig = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&likelihood).unwrap(), json);
        }
        let brief: LikelihoodConfig = serde_json::from_str(r#"{"gaussian":{}}"#).unwrap();
        assert_eq!(brief, LikelihoodConfig::Gaussian { variance: 1.0 });
        let brief: LikelihoodConfig = serde_json::from_str(r#"{"gaussian_per_feature_variance":{}}"#).unwrap();
        assert_eq!(brief, LikelihoodConfig::GaussianPerFeatureVariance { min_variance: 1e-4 });
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
        assert_eq!(LikelihoodConfig::ContinuousBernoulli.check(&data(Domain::Real)).unwrap_err().path, "");
        let error = LikelihoodConfig::GaussianPerFeatureVariance { min_variance: -1.0 }.check(&data(Domain::Real)).unwrap_err();
        assert_eq!(error.path, "gaussian_per_feature_variance.min_variance");
    }

    #[test]
    fn a_density_on_the_unit_interval_for_binary_data_is_warned_of() {
        let data = |domain| DataSpec::new([4], domain);
        assert!(LikelihoodConfig::ContinuousBernoulli.warning(&data(Domain::Binary)).is_some());
        assert_eq!(LikelihoodConfig::ContinuousBernoulli.warning(&data(Domain::UnitInterval)), None);
        assert_eq!(LikelihoodConfig::Bernoulli.warning(&data(Domain::Binary)), None);
    }

    #[test]
    fn each_feature_has_a_variance_of_its_own_and_none_falls_below_the_least() {
        let device = Device::flex();
        let data = DataSpec::new([2], Domain::Real);
        let config = LikelihoodConfig::GaussianPerFeatureVariance { min_variance: 0.25 };
        let mut likelihood = config.init(&data, &mut Initializer::new(1, &device));
        // Variances exp(-200) + 1/4 = 1/4 and 3/4 + 1/4 = 1.
        let log_var = Tensor::from_data([[-200.0, 0.75f32.ln()]], &device);
        likelihood.log_var = likelihood.log_var.map(|param| param.map(|_| log_var));
        let nll = likelihood.nll(Tensor::from_data([[1.0, 2.0]], &device), Tensor::zeros([1, 2], &device), None).into_scalar::<f32>();
        let nll_of = |x: f64, variance: f64| 0.5 * (x * x / variance + (2.0 * std::f64::consts::PI * variance).ln());
        let expected = nll_of(1.0, 0.25) + nll_of(2.0, 1.0);
        assert!((f64::from(nll) - expected).abs() < 1e-6 * expected, "{nll} is not {expected}");
    }
}
