//! Operations with gradients of their own, in one form: what a kernel has to say, and its place on the tape.

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use crate::primitive::{contiguous, numbers, numbers_mut};

/// An operation of `N` tensors, which come contiguous.
pub(crate) trait Fused<const N: usize>: Debug + Send + Sync {
    /// The result, and what [`backward`](Self::backward) is computed from: nothing where no input needs a gradient.
    fn forward(&self, inputs: [FlexTensor; N], needs: [bool; N]) -> (FlexTensor, Vec<FlexTensor>);

    /// The gradients by the inputs that need one, from the gradient by the result.
    ///
    /// As it stands, for a result that is one number, or one for each row: what was saved are the gradients by the inputs that
    /// need one, in order, and they are scaled.
    fn backward(&self, gradient: FlexTensor, saved: Vec<FlexTensor>, needs: [bool; N]) -> [Option<FlexTensor>; N] {
        let factors = numbers(&gradient);
        let mut saved = saved.into_iter();
        needs.map(|needed| if needed { saved.next().map(|gradient| scaled(gradient, factors)) } else { None })
    }
}

/// All numbers times one factor, or each row times its own.
pub(crate) fn scaled(mut tensor: FlexTensor, factors: &[f32]) -> FlexTensor {
    if factors.iter().any(|factor| *factor != 1.0) {
        let width = tensor.layout().num_elements() / factors.len();
        let rows = numbers_mut(&mut tensor).chunks_exact_mut(width.max(1));
        rows.zip(factors).for_each(|(row, factor)| row.iter_mut().for_each(|value| *value *= factor));
    }
    tensor
}

/// The operation on one tensor.
pub(crate) fn one<const D: usize, const OUT: usize>(a: &Tensor<D>, operation: impl Fused<1> + 'static) -> Tensor<OUT> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::one(a.clone().into_dispatch(), Arc::new(operation)))
}

/// The operation on two tensors.
pub(crate) fn two<const D: usize, const OUT: usize>([a, b]: [&Tensor<D>; 2], operation: impl Fused<2> + 'static) -> Tensor<OUT> {
    let [a, b] = [a, b].map(|tensor| tensor.clone().into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::two(a, b, Arc::new(operation)))
}

/// The operation on three tensors.
pub(crate) fn three<const D: usize, const OUT: usize>([a, b, c]: [&Tensor<D>; 3], operation: impl Fused<3> + 'static) -> Tensor<OUT> {
    let [a, b, c] = [a, b, c].map(|tensor| tensor.clone().into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::three(a, b, c, Arc::new(operation)))
}

/// The operation on four tensors.
pub(crate) fn four<const D: usize, const OUT: usize>([a, b, c, d]: [&Tensor<D>; 4], operation: impl Fused<4> + 'static) -> Tensor<OUT> {
    let [a, b, c, d] = [a, b, c, d].map(|tensor| tensor.clone().into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::four(a, b, c, d, Arc::new(operation)))
}

/// The operation on five tensors.
pub(crate) fn five<const D: usize, const OUT: usize>([a, b, c, d, e]: [&Tensor<D>; 5], operation: impl Fused<5> + 'static) -> Tensor<OUT> {
    let [a, b, c, d, e] = [a, b, c, d, e].map(|tensor| tensor.clone().into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::five(a, b, c, d, e, Arc::new(operation)))
}

#[backend_extension(Flex, Autodiff)]
trait FusedOps: Backend {
    fn one(a: FloatTensor<Self>, operation: Arc<dyn Fused<1>>) -> FloatTensor<Self>;
    fn two(a: FloatTensor<Self>, b: FloatTensor<Self>, operation: Arc<dyn Fused<2>>) -> FloatTensor<Self>;
    fn three(a: FloatTensor<Self>, b: FloatTensor<Self>, c: FloatTensor<Self>, operation: Arc<dyn Fused<3>>) -> FloatTensor<Self>;
    fn four(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        operation: Arc<dyn Fused<4>>,
    ) -> FloatTensor<Self>;
    fn five(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        operation: Arc<dyn Fused<5>>,
    ) -> FloatTensor<Self>;
}

impl FusedOps for Flex {
    fn one(a: FlexTensor, operation: Arc<dyn Fused<1>>) -> FlexTensor {
        operation.forward([contiguous(a)], [false]).0
    }

    fn two(a: FlexTensor, b: FlexTensor, operation: Arc<dyn Fused<2>>) -> FlexTensor {
        operation.forward([a, b].map(contiguous), [false; 2]).0
    }

    fn three(a: FlexTensor, b: FlexTensor, c: FlexTensor, operation: Arc<dyn Fused<3>>) -> FlexTensor {
        operation.forward([a, b, c].map(contiguous), [false; 3]).0
    }

    fn four(a: FlexTensor, b: FlexTensor, c: FlexTensor, d: FlexTensor, operation: Arc<dyn Fused<4>>) -> FlexTensor {
        operation.forward([a, b, c, d].map(contiguous), [false; 4]).0
    }

    fn five(a: FlexTensor, b: FlexTensor, c: FlexTensor, d: FlexTensor, e: FlexTensor, operation: Arc<dyn Fused<5>>) -> FlexTensor {
        operation.forward([a, b, c, d, e].map(contiguous), [false; 5]).0
    }
}

#[derive(Debug)]
struct FusedBackward<const N: usize>;

#[derive(Debug, Clone)]
struct FusedState<const N: usize> {
    operation: Arc<dyn Fused<N>>,
    saved: Vec<FlexTensor>,
}

impl<const N: usize> Backward<Flex, N> for FusedBackward<N> {
    type State = FusedState<N>;

    fn backward(self, ops: Ops<FusedState<N>, N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let FusedState { operation, saved } = ops.state;
        let gradient = contiguous(grads.consume::<Flex>(&ops.node));
        let needs = ops.parents.each_ref().map(Option::is_some);
        for (node, gradient) in ops.parents.into_iter().zip(operation.backward(gradient, saved, needs)) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

/// The operation on the tape.
fn recorded<C: CheckpointStrategy, const N: usize>(
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
    operation: Arc<dyn Fused<N>>,
) -> FloatTensor<Autodiff<Flex, C>> {
    let needs = inputs.each_ref().map(|input| input.is_tracked());
    let primitives = inputs.each_ref().map(|input| contiguous(input.primitive().clone()));
    let nodes = inputs.map(|input| input.into_parts().1);
    let (result, saved) = operation.forward(primitives, needs);
    match FusedBackward::<N>.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::UnTracked(prepared) => prepared.finish(result),
        OpsKind::Tracked(prepared) => prepared.finish(FusedState { operation, saved }, result),
    }
}

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn one(a: FloatTensor<Self>, operation: Arc<dyn Fused<1>>) -> FloatTensor<Self> {
        recorded::<C, 1>([a], operation)
    }

    fn two(a: FloatTensor<Self>, b: FloatTensor<Self>, operation: Arc<dyn Fused<2>>) -> FloatTensor<Self> {
        recorded::<C, 2>([a, b], operation)
    }

    fn three(a: FloatTensor<Self>, b: FloatTensor<Self>, c: FloatTensor<Self>, operation: Arc<dyn Fused<3>>) -> FloatTensor<Self> {
        recorded::<C, 3>([a, b, c], operation)
    }

    fn four(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        operation: Arc<dyn Fused<4>>,
    ) -> FloatTensor<Self> {
        recorded::<C, 4>([a, b, c, d], operation)
    }

    fn five(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        operation: Arc<dyn Fused<5>>,
    ) -> FloatTensor<Self> {
        recorded::<C, 5>([a, b, c, d, e], operation)
    }
}
