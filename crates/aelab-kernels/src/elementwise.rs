//! An activation by itself as one operation: the output is all that its gradient needs.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use crate::Activation;
use crate::activation::{backward, forward};
use crate::primitive::{contiguous, is_ours, numbers, numbers_mut};

/// `activation(x)`, element by element, of any shape. `None` where `x` is not on `flex` in single precision.
pub fn activated<const D: usize>(activation: Activation, x: &Tensor<D>) -> Option<Tensor<D>> {
    if !is_ours(x) || x.shape().num_elements() == 0 {
        return None;
    }
    Some(Tensor::from_dispatch(<Dispatch as ElementwiseOps>::activated(x.clone().into_dispatch(), activation)))
}

#[backend_extension(Flex, Autodiff)]
trait ElementwiseOps: Backend {
    fn activated(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;
}

/// Numbers of a row: those of the last dimension.
fn width(tensor: &FlexTensor) -> usize {
    tensor.layout().shape().last().copied().unwrap_or(1)
}

impl ElementwiseOps for Flex {
    fn activated(x: FlexTensor, activation: Activation) -> FlexTensor {
        let mut y = contiguous(x);
        let width = width(&y);
        forward(activation, numbers_mut(&mut y), width, None);
        y
    }
}

#[derive(Debug)]
struct ActivatedBackward;

impl Backward<Flex, 1> for ActivatedBackward {
    /// The output.
    type State = (FlexTensor, Activation);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (y, activation) = ops.state;
        let mut gradient = contiguous(grads.consume::<Flex>(&ops.node));
        if let [Some(node)] = ops.parents {
            backward(activation, numbers_mut(&mut gradient), numbers(&y), width(&y), None);
            grads.register::<Flex>(node.id, gradient);
        }
    }
}

impl<C: CheckpointStrategy> ElementwiseOps for Autodiff<Flex, C> {
    fn activated(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = <Flex as ElementwiseOps>::activated(x, activation);
        match ActivatedBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::UnTracked(prepared) => prepared.finish(y),
            OpsKind::Tracked(prepared) => prepared.finish((y.clone(), activation), y),
        }
    }
}
