//! An affine map.

use aelab_core::{Initialization, Initializer};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::Activation;

/// `y = x W + b`, the bias optional.
#[derive(Module, Debug)]
pub struct Linear {
    /// `W`, `[input, output]`: the transpose of PyTorch's.
    pub weight: Param<Tensor<2>>,
    /// `b`, `[output]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A map from `num_inputs` to `num_outputs` features; the weight is drawn before the bias.
    pub fn new(num_inputs: usize, num_outputs: usize, bias: bool, how: Initialization, initializer: &mut Initializer) -> Self {
        let weight = initializer.weight([num_inputs, num_outputs], num_inputs, num_outputs, how);
        let bias = bias.then(|| initializer.bias(num_outputs, num_inputs, how));
        Self { weight, bias }
    }

    /// `[batch, input]` to `[batch, output]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.forward_activated(x, Activation::Linear)
    }

    /// The activation of [`forward`](Self::forward), `[batch, output]`.
    pub fn forward_activated(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        activation.of_affine(x, self.weight.val(), self.bias.as_ref().map(Param::val), false)
    }

    /// Backwards through the same weight with another bias, `activation(x W^T + b)`: `[batch, output]` to `[batch, input]`.
    pub fn forward_transposed(&self, x: Tensor<2>, bias: Option<Tensor<1>>, activation: Activation) -> Tensor<2> {
        activation.of_affine(x, self.weight.val(), bias, true)
    }

    /// Features that come in.
    pub fn num_inputs(&self) -> usize {
        self.weight.lazy_shape()[0]
    }

    /// Features that go out.
    pub fn num_outputs(&self) -> usize {
        self.weight.lazy_shape()[1]
    }
}
