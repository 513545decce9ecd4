//! Activation functions, and how a configuration names those of a stack of layers.

use std::fmt;

use aelab_core::ConfigError;
use burn::tensor::{Tensor, activation};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An activation function, applied element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x`.
    Linear,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// `x` where positive, `0.01 x` elsewhere.
    LeakyRelu,
    /// `x` where positive, `exp(x) - 1` elsewhere (Clevert et al. 2016).
    Elu,
    /// A scaled `elu` that keeps mean 0 and variance 1 (Klambauer et al. 2017).
    Selu,
    /// `x Phi(x)` with the exact normal distribution function (Hendrycks & Gimpel 2016).
    Gelu,
    /// `log(1 + exp(x))`.
    Softplus,
    /// `x / (1 + exp(-x))`, also called swish (Ramachandran et al. 2017).
    #[serde(alias = "swish")]
    Silu,
}

impl Activation {
    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Linear => "linear",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Relu => "relu",
            Activation::LeakyRelu => "leaky_relu",
            Activation::Elu => "elu",
            Activation::Selu => "selu",
            Activation::Gelu => "gelu",
            Activation::Softplus => "softplus",
            Activation::Silu => "silu",
        }
    }

    /// The function, on a tensor of any shape.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        if self == Activation::Linear {
            return x;
        }
        if let Some(y) = self.fused().and_then(|activation| aelab_kernels::activated(activation, &x)) {
            return y;
        }
        match self {
            Activation::Linear => x,
            Activation::Sigmoid => activation::sigmoid(x),
            Activation::Tanh => x.tanh(),
            Activation::Relu => activation::relu(x),
            Activation::LeakyRelu => activation::leaky_relu(x, 0.01),
            Activation::Elu => elu(x),
            Activation::Selu => selu(x),
            Activation::Gelu => activation::gelu(x),
            Activation::Softplus => activation::softplus(x, 1.0),
            Activation::Silu => activation::silu(x),
        }
    }

    /// The same function as the kernels of dense layers have it; `None` for what is no function of its own output in reverse.
    pub(crate) fn fused(self) -> Option<aelab_kernels::Activation> {
        use aelab_kernels::Activation as Fused;
        match self {
            Activation::Linear => Some(Fused::Linear),
            Activation::Sigmoid => Some(Fused::Sigmoid),
            Activation::Tanh => Some(Fused::Tanh),
            Activation::Relu => Some(Fused::Relu),
            Activation::LeakyRelu => Some(Fused::LeakyRelu),
            Activation::Elu => Some(Fused::Elu),
            Activation::Softplus => Some(Fused::Softplus),
            Activation::Selu | Activation::Gelu | Activation::Silu => None,
        }
    }

    /// The function of an affine map, `activation(x W + b)`, or of `x W^T + b` where `transposed`, in as few passes as there
    /// are kernels for.
    pub fn of_affine(self, x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>, transposed: bool) -> Tensor<2> {
        match self.fused() {
            Some(activation) => aelab_kernels::dense(x, weight, bias, activation, transposed),
            None => self.apply(aelab_kernels::dense(x, weight, bias, aelab_kernels::Activation::Linear, transposed)),
        }
    }

    /// The derivative, written as a function of what [`apply`](Self::apply) gave, on a tensor of any shape: the tape can
    /// differentiate it once more. `None` where it jumps (`relu`, `leaky_relu`, `selu`) or is no function of the output
    /// (`gelu`, `silu`, which are not monotone).
    pub fn slope<const D: usize>(self, output: Tensor<D>) -> Option<Tensor<D>> {
        match self {
            Activation::Linear => Some(output.ones_like()),
            Activation::Sigmoid => Some(output.clone() * (output * -1.0 + 1.0)),
            Activation::Tanh => Some(output.square() * -1.0 + 1.0),
            // exp(x) where x is not positive, and 1 elsewhere.
            Activation::Elu => Some(output.clamp_max(0.0) + 1.0),
            Activation::Softplus => Some((output * -1.0).exp() * -1.0 + 1.0),
            Activation::Relu | Activation::LeakyRelu | Activation::Selu | Activation::Gelu | Activation::Silu => None,
        }
    }

    /// [`slope`](Self::slope) of a batch, in one pass where there is a kernel for it.
    pub fn slope_of_batch(self, output: Tensor<2>) -> Option<Tensor<2>> {
        let fused = self.fused().and_then(|activation| aelab_kernels::slope(activation, &output));
        fused.or_else(|| self.slope(output))
    }

    /// Whether [`slope`](Self::slope) is known: what penalties on a Jacobian need.
    pub fn has_slope(self) -> bool {
        matches!(self, Activation::Linear | Activation::Sigmoid | Activation::Tanh | Activation::Elu | Activation::Softplus)
    }
}

/// burn's own `elu` takes the exponential of positive values too, and the gradient is 0 times infinity
/// from 89 on; here the exponential only ever sees what is not positive.
fn elu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let positive = x.clone().greater_elem(0.0);
    let negative_part = x.clone().mask_fill(positive.clone(), 0.0);
    (negative_part.exp() - 1.0).mask_where(positive, x)
}

fn selu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    const ALPHA: f64 = 1.673_263_242_354_377_2;
    const SCALE: f64 = 1.050_700_987_355_480_5;
    let positive = x.clone().greater_elem(0.0);
    let negative_part = x.clone().mask_fill(positive.clone(), 0.0);
    ((negative_part.exp() - 1.0) * (ALPHA * SCALE)).mask_where(positive, x * SCALE)
}

/// One activation for every hidden layer, or a list with one per hidden layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activations {
    /// The same everywhere.
    All(Activation),
    /// One per hidden layer, from the data inwards.
    Each(Vec<Activation>),
}

impl Default for Activations {
    fn default() -> Self {
        Activations::All(Activation::default())
    }
}

impl Activations {
    /// The activations of the hidden layers of an encoder and of its decoder, each from its input to its output.
    ///
    /// A list has one name per hidden layer of the encoder, and the decoder mirrors it; where the decoder
    /// has another depth, the list goes on with one name per hidden layer of the decoder.
    pub fn resolve(&self, num_encoder: usize, num_decoder: usize) -> Result<(Vec<Activation>, Vec<Activation>), ConfigError> {
        let list = match self {
            Activations::All(activation) => return Ok((vec![*activation; num_encoder], vec![*activation; num_decoder])),
            Activations::Each(list) => list,
        };
        if list.len() == num_encoder && num_encoder == num_decoder {
            Ok((list.clone(), list.iter().rev().copied().collect()))
        } else if list.len() == num_encoder + num_decoder {
            Ok((list[..num_encoder].to_vec(), list[num_encoder..].to_vec()))
        } else {
            let expected = if num_encoder == num_decoder {
                format!("{num_encoder}, one per hidden layer of the encoder (the decoder mirrors them)")
            } else {
                let num = num_encoder + num_decoder;
                format!("{num}, one per hidden layer of the encoder ({num_encoder}) and then of the decoder ({num_decoder})")
            };
            let message = format!("the list names {} activations, expected {expected}; a single name serves all layers", list.len());
            Err(ConfigError::new("", message))
        }
    }
}

impl Serialize for Activations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Activations::All(activation) => activation.serialize(serializer),
            Activations::Each(list) => list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Activations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrList;

        impl<'de> Visitor<'de> for NameOrList {
            type Value = Activations;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of an activation, or a list of names")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Activations, E> {
                Activation::deserialize(de::value::StrDeserializer::new(name)).map(Activations::All)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Activations, A::Error> {
                let mut list = Vec::new();
                while let Some(activation) = names.next_element()? {
                    list.push(activation);
                }
                Ok(Activations::Each(list))
            }
        }

        deserializer.deserialize_any(NameOrList)
    }
}

impl JsonSchema for Activations {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Activations".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let activation = generator.subschema_for::<Activation>();
        json_schema!({
            "description": "One activation for every hidden layer, or a list with one per hidden layer.",
            "anyOf": [activation, {"type": "array", "items": activation}]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::conformance::{TOLERANCE, gradient_deviation};
    use burn::tensor::Device;

    const ALL: [Activation; 10] = [
        Activation::Linear,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Elu,
        Activation::Selu,
        Activation::Gelu,
        Activation::Softplus,
        Activation::Silu,
    ];

    #[test]
    fn values_are_those_of_pytorch() {
        let text = include_str!("../../../tests/golden/pytorch_losses.json");
        let golden = &serde_json::from_str::<serde_json::Value>(text).unwrap()["activations"];
        let at: Vec<f32> = serde_json::from_value(golden["at"].clone()).unwrap();
        for activation in ALL {
            let x = Tensor::<1>::from_data(&at[..], &Device::flex());
            let values: Vec<f32> = activation.apply(x).into_data().try_to_vec().unwrap();
            let reference: Vec<f32> = serde_json::from_value(golden["values"][activation.name()].clone()).unwrap();
            for ((at, value), expected) in at.iter().zip(values).zip(reference) {
                assert!((value - expected).abs() < 1e-6, "{}({at}): {value} is not {expected}", activation.name());
            }
        }
    }

    #[test]
    fn gradients_equal_central_differences() {
        let device = Device::flex().autodiff();
        for activation in ALL {
            let at = [-3.0, -1.1, -0.2, 0.3, 1.7, 25.0];
            let deviation = gradient_deviation(&device, &at, [2, 3], |x| activation.apply(x).square().sum());
            assert!(deviation < TOLERANCE, "{}: {deviation}", activation.name());
        }
    }

    #[test]
    fn a_slope_from_the_output_is_the_gradient_and_its_own_gradient_equals_central_differences() {
        let device = Device::flex().autodiff();
        for activation in ALL {
            let x = Tensor::<2>::from_data([[-30.0, -3.0, -0.2, 0.3, 1.7, 25.0]], &device).require_grad();
            let y = activation.apply(x.clone());
            assert_eq!(activation.slope(y.clone()).is_some(), activation.has_slope(), "{}", activation.name());
            let Some(slope) = activation.slope(y.clone().detach()) else { continue };
            let gradient = x.grad(&y.sum().backward()).unwrap();
            let apart = (slope.inner() - gradient).abs().max().into_scalar::<f32>();
            assert!(apart < 1e-6, "{}: {apart}", activation.name());
            let slope = |x: Tensor<2>| activation.slope(activation.apply(x.clone())).unwrap() * x;
            let deviation = gradient_deviation(&device, &[-3.0, -0.2, 0.3, 1.7], [2, 2], |x| slope(x).sum());
            assert!(deviation < TOLERANCE, "{}: {deviation}", activation.name());
        }
    }

    #[test]
    fn values_and_gradients_stay_finite_far_out() {
        let device = Device::flex().autodiff();
        for activation in ALL {
            let x = Tensor::<1>::from_data([-1e4, -100.0, 0.0, 100.0, 1e4], &device).require_grad();
            let y = activation.apply(x.clone());
            let gradient = x.grad(&y.clone().sum().backward()).unwrap();
            for values in [y.into_data(), gradient.into_data()] {
                let values: Vec<f32> = values.try_to_vec().unwrap();
                assert!(values.iter().all(|value| value.is_finite()), "{}: {values:?}", activation.name());
            }
        }
    }

    #[test]
    fn a_name_or_a_list_is_read_and_written_back_as_it_was() {
        for json in [r#""tanh""#, r#"["relu","linear"]"#, "[]"] {
            let activations: Activations = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&activations).unwrap(), json);
        }
        assert_eq!(serde_json::from_str::<Activation>(r#""swish""#).unwrap(), Activation::Silu);
    }

    #[test]
    fn an_unknown_name_is_refused_where_it_stands() {
        let error = serde_yaml::from_str::<Vec<Activations>>("- relu\n- [relu,\n   rellu]\n").unwrap_err().to_string();
        assert!(error.contains("unknown variant `rellu`") && error.contains("line 3"), "{error}");
        let error = serde_yaml::from_str::<Vec<Activations>>("- relu\n- 3\n").unwrap_err().to_string();
        assert!(error.contains("the name of an activation, or a list of names") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_list_is_mirrored_by_a_decoder_of_equal_depth_and_names_both_otherwise() {
        use Activation::{Elu, Relu, Tanh};
        let list = Activations::Each(vec![Relu, Tanh]);
        assert_eq!(list.resolve(2, 2).unwrap(), (vec![Relu, Tanh], vec![Tanh, Relu]));
        assert_eq!(list.resolve(1, 1).unwrap(), (vec![Relu], vec![Tanh]));
        assert_eq!(list.resolve(2, 0).unwrap(), (vec![Relu, Tanh], vec![]));
        assert_eq!(Activations::Each(vec![Relu, Tanh, Elu]).resolve(1, 2).unwrap(), (vec![Relu], vec![Tanh, Elu]));
        assert_eq!(Activations::All(Elu).resolve(1, 2).unwrap(), (vec![Elu], vec![Elu, Elu]));
        let message = list.resolve(3, 3).unwrap_err().message;
        assert!(message.contains("2 activations, expected 3"), "{message}");
        let message = list.resolve(3, 1).unwrap_err().message;
        assert!(message.contains("2 activations, expected 4"), "{message}");
    }
}
