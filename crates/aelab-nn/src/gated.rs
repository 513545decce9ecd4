//! Gated dense layers.

use aelab_core::{Initialization, Initializer};
use burn::module::Module;
use burn::tensor::{Tensor, activation};

use crate::Linear;

/// `h = (W x + b) * s(V x + c)`, element by element, with the sigmoid `s` (Dauphin et al. 2017,
/// <https://arxiv.org/abs/1612.08083>, Eq. 1; the blocks of Tomczak & Welling 2018, <https://arxiv.org/abs/1705.07120>).
#[derive(Module, Debug)]
pub struct GatedLinear {
    content: Linear,
    gate: Linear,
}

impl GatedLinear {
    /// A layer from `num_inputs` to `num_outputs` features.
    pub fn new(num_inputs: usize, num_outputs: usize, bias: bool, how: Initialization, initializer: &mut Initializer) -> Self {
        Self {
            content: Linear::new(num_inputs, num_outputs, bias, how, initializer),
            gate: Linear::new(num_inputs, num_outputs, bias, how, initializer),
        }
    }

    /// `[batch, input]` to `[batch, output]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.content.forward(x.clone()) * activation::sigmoid(self.gate.forward(x))
    }
}
