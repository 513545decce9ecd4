//! How a deterministic decoder ends, and what its output is compared by.

use aelab_core::{ConfigError, DataSpec, Domain, TermSpec, Unit};
use aelab_losses::{binary_cross_entropy_from_logits, squared_error, squared_error_of_sigmoid};
use aelab_nn::Activation;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the decoder's last layer is followed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputActivation {
    /// Nothing: reconstructions are any numbers.
    #[default]
    Linear,
    /// The logistic sigmoid: reconstructions lie in (0, 1).
    Sigmoid,
}

/// What a reconstruction is compared with its target by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReconstructionLoss {
    /// Squared differences, in squared data units per example.
    #[default]
    SquaredError,
    /// Negative log-likelihood of Bernoulli variables, in nats per example; needs a sigmoid and data in [0, 1].
    BinaryCrossEntropy,
}

/// Output activation and loss together: everything between the decoder's last layer and the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconstruction {
    /// What the last layer is followed by.
    pub activation: OutputActivation,
    /// What the reconstruction is compared by.
    pub loss: ReconstructionLoss,
}

impl Reconstruction {
    /// Rejects a cross-entropy without a sigmoid or without data in [0, 1]. Paths: `output_activation`, `loss`.
    pub fn check(self, data: &DataSpec) -> Result<(), ConfigError> {
        if self.loss == ReconstructionLoss::SquaredError {
            return Ok(());
        }
        if self.activation != OutputActivation::Sigmoid {
            let message = "`loss: binary_cross_entropy` needs `output_activation: sigmoid`: it compares probabilities; \
                           for linear outputs take `loss: squared_error`";
            return Err(ConfigError::new("output_activation", message));
        }
        if !data.domain.is_unit_interval() {
            let message = "`loss: binary_cross_entropy` needs data in [0, 1], but this data takes any real value; \
                           scale the data to [0, 1], or take `loss: squared_error`";
            return Err(ConfigError::new("loss", message));
        }
        Ok(())
    }

    /// Says so when outputs cannot reach the data.
    pub fn warning(self, data: &DataSpec) -> Option<String> {
        (self.activation == OutputActivation::Sigmoid && data.domain == Domain::Real).then(|| {
            "`output_activation: sigmoid` confines reconstructions to (0, 1), but this data takes any real value: what lies outside cannot be reconstructed"
                .to_owned()
        })
    }

    /// The declaration of [`term`](Self::term).
    pub fn term_spec(self) -> TermSpec {
        match self.loss {
            ReconstructionLoss::SquaredError => TermSpec::new("squared_error", Unit::SquaredUnits, 1.0).squared_error_factor(1.0),
            ReconstructionLoss::BinaryCrossEntropy => TermSpec::new("nll", Unit::Nats, 1.0),
        }
    }

    /// Name and value of the reconstruction term, from `output`, `[batch, feature]`, as the last layer leaves it.
    pub fn term(self, x: Tensor<2>, output: Tensor<2>, mask: Option<&Tensor<2>>) -> (&'static str, Tensor<1>) {
        match self.loss {
            ReconstructionLoss::SquaredError => {
                let error = match self.activation {
                    OutputActivation::Linear => squared_error(x, output, mask),
                    OutputActivation::Sigmoid => squared_error_of_sigmoid(x, output, mask),
                };
                ("squared_error", error)
            }
            ReconstructionLoss::BinaryCrossEntropy => ("nll", binary_cross_entropy_from_logits(x, output, mask)),
        }
    }

    /// The reconstruction in data space, from what the last layer leaves.
    pub fn mean(self, output: Tensor<2>) -> Tensor<2> {
        match self.activation {
            OutputActivation::Linear => output,
            OutputActivation::Sigmoid => Activation::Sigmoid.apply(output),
        }
    }

    /// What the last layer leaves, where it is the logit of the reconstruction.
    pub fn logits(self, output: Tensor<2>) -> Option<Tensor<2>> {
        (self.activation == OutputActivation::Sigmoid).then_some(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cross_entropy_needs_a_sigmoid_and_data_between_0_and_1() {
        let cross_entropy = |activation| Reconstruction { activation, loss: ReconstructionLoss::BinaryCrossEntropy };
        let data = |domain| DataSpec::new([4], domain);
        let path = |reconstruction: Reconstruction, domain| reconstruction.check(&data(domain)).map_err(|error| error.path);
        assert_eq!(path(cross_entropy(OutputActivation::Linear), Domain::Binary), Err("output_activation".to_owned()));
        assert_eq!(path(cross_entropy(OutputActivation::Sigmoid), Domain::Real), Err("loss".to_owned()));
        assert_eq!(path(cross_entropy(OutputActivation::Sigmoid), Domain::UnitInterval), Ok(()));
        let squared = Reconstruction { activation: OutputActivation::Sigmoid, loss: ReconstructionLoss::SquaredError };
        assert_eq!(path(squared, Domain::Real), Ok(()));
        assert!(squared.warning(&data(Domain::Real)).is_some());
        assert_eq!(squared.warning(&data(Domain::Binary)), None);
    }
}
