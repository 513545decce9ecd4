//! What the steps of optimizers share where there is no kernel for them.

use burn::tensor::Tensor;

/// The gradient with `weight_decay * parameter` added.
pub(crate) fn decayed<const D: usize>(parameter: &Tensor<D>, gradient: Tensor<D>, weight_decay: f32) -> Tensor<D> {
    if weight_decay == 0.0 { gradient } else { gradient + parameter.clone() * weight_decay }
}
