//! Operations with gradients of their own, in one form: what a kernel has to say, and its place on the tape.

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, ExtensionType, Flex, Shape,
    backend_extension,
};
use burn::tensor::Tensor;

use crate::primitive::{contiguous, numbers, numbers_mut, tensor_of};

/// An operation of `N` tensors.
pub(crate) trait Fused<const N: usize>: Debug + Send + 'static {
    /// What gradients are computed from.
    type State: Debug + Send;

    /// An input, or the gradient by the result, as the operation reads it: contiguous, unless it says otherwise.
    fn laid_out(tensor: FlexTensor) -> FlexTensor {
        contiguous(tensor)
    }

    /// The result, and what [`backward`](Self::backward) computes the gradients by the inputs from that need one.
    fn forward(&self, inputs: [FlexTensor; N], needs: [bool; N]) -> (FlexTensor, Self::State);

    /// The gradients by the inputs that need one, from the gradient by the result.
    fn backward(&self, gradient: FlexTensor, state: Self::State, needs: [bool; N]) -> [Option<FlexTensor>; N];
}

/// An operation of which the result is one number, or one for each row, and which computes gradients on its way there.
pub(crate) trait Cost<const N: usize>: Debug + Send + 'static {
    /// The result, and the gradients by the inputs that need one, in order.
    fn forward(&self, inputs: [FlexTensor; N], needs: [bool; N]) -> (FlexTensor, Vec<FlexTensor>);
}

impl<const N: usize, C: Cost<N>> Fused<N> for C {
    type State = Vec<FlexTensor>;

    fn forward(&self, inputs: [FlexTensor; N], needs: [bool; N]) -> (FlexTensor, Vec<FlexTensor>) {
        Cost::forward(self, inputs, needs)
    }

    fn backward(&self, gradient: FlexTensor, gradients: Vec<FlexTensor>, needs: [bool; N]) -> [Option<FlexTensor>; N] {
        let factors = numbers(&gradient);
        let mut gradients = gradients.into_iter();
        needs.map(|needed| if needed { gradients.next().map(|gradient| scaled(gradient, factors)) } else { None })
    }
}

/// All numbers times one factor, or each row times its own.
fn scaled(mut tensor: FlexTensor, factors: &[f32]) -> FlexTensor {
    if factors.iter().any(|factor| *factor != 1.0) {
        let width = tensor.layout().num_elements() / factors.len();
        let rows = numbers_mut(&mut tensor).chunks_exact_mut(width.max(1));
        rows.zip(factors).for_each(|(row, factor)| row.iter_mut().for_each(|value| *value *= factor));
    }
    tensor
}

/// The operation on tensors of one rank.
pub(crate) fn fused<const N: usize, const D: usize, const OUT: usize>(inputs: [&Tensor<D>; N], operation: impl Fused<N>) -> Tensor<OUT> {
    fused_of(inputs.map(|input| input.clone().into_dispatch()), operation)
}

/// The operation on tensors of any ranks.
pub(crate) fn fused_of<const N: usize, const OUT: usize>(inputs: [DispatchTensor; N], operation: impl Fused<N>) -> Tensor<OUT> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused(Inputs(inputs.into()), operation))
}

/// An input that may be left out: an empty tensor then.
pub(crate) fn or_empty<const D: usize>(input: Option<&Tensor<D>>) -> DispatchTensor {
    let empty = || Tensor::from_primitive::<Flex>(tensor_of(Vec::new(), Shape::new([0; D])));
    input.cloned().unwrap_or_else(empty).into_dispatch()
}

/// What [`or_empty`] was given; nothing, too, of a tensor that is empty by itself.
pub(crate) fn given(input: FlexTensor) -> Option<FlexTensor> {
    (input.layout().num_elements() > 0).then_some(input)
}

/// The inputs of an operation, on their way to a backend.
struct Inputs<B: Backend>(Vec<FloatTensor<B>>);

impl<B: Backend> Inputs<B> {
    fn into_array<const N: usize>(self) -> [FloatTensor<B>; N] {
        self.0.try_into().unwrap_or_else(|_| unreachable!("an operation of N tensors is called with N tensors"))
    }
}

impl<B: Backend> ExtensionType<B> for Inputs<B> {
    type Target = Inputs<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Inputs<Dispatch>
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let wrapped = self.0.into_iter().map(|tensor| DispatchTensor { kind: map_kind(BackendTensor::Float(tensor)), autodiff });
        Inputs(wrapped.collect())
    }

    fn map_from_dispatch<F>(target: Inputs<Dispatch>, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        Self(target.0.into_iter().map(|tensor| unwrap_kind(tensor).float()).collect())
    }

    fn routing_tensor(target: &Inputs<Dispatch>) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &Inputs<Dispatch>) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn autodiff_context(target: &Inputs<Dispatch>) -> DispatchAutodiffContext {
        target.0.iter().fold(DispatchAutodiffContext::Disabled, |context, tensor| context.merge(tensor.autodiff))
    }
}

#[backend_extension(Flex, Autodiff)]
trait FusedOps: Backend {
    fn fused<const N: usize, O: Fused<N>>(#[extension_type] inputs: Inputs<Self>, operation: O) -> FloatTensor<Self>;
}

impl FusedOps for Flex {
    fn fused<const N: usize, O: Fused<N>>(inputs: Inputs<Self>, operation: O) -> FlexTensor {
        operation.forward(inputs.into_array().map(O::laid_out), [false; N]).0
    }
}

#[derive(Debug)]
struct OnTape<O, S> {
    operation: O,
    state: S,
}

impl<const N: usize, O: Fused<N>> Backward<Flex, N> for OnTape<O, O::State> {
    type State = ();

    fn backward(self, ops: Ops<(), N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = O::laid_out(grads.consume::<Flex>(&ops.node));
        let needs = ops.parents.each_ref().map(Option::is_some);
        for (node, gradient) in ops.parents.into_iter().zip(self.operation.backward(gradient, self.state, needs)) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn fused<const N: usize, O: Fused<N>>(inputs: Inputs<Self>, operation: O) -> FloatTensor<Self> {
        let inputs: [FloatTensor<Self>; N] = inputs.into_array();
        let needs = inputs.each_ref().map(|input| input.is_tracked());
        let nodes = inputs.each_ref().map(|input| input.node());
        let primitives = inputs.map(|input| O::laid_out(input.into_parts().0));
        let (result, state) = operation.forward(primitives, needs);
        OnTape { operation, state }.prepare::<C>(nodes).compute_bound().stateless(result)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use burn::tensor::Device;

    use super::*;

    /// `a + 2 b`, by rows; what it was told at its last call.
    #[derive(Debug, Clone, Default)]
    struct Probe(Arc<Mutex<Vec<Call>>>);

    /// Whether there was a third input, and what needed a gradient.
    type Call = (bool, [bool; 3]);

    impl Fused<3> for Probe {
        type State = ();

        fn forward(&self, [a, b, c]: [FlexTensor; 3], needs: [bool; 3]) -> (FlexTensor, ()) {
            self.0.lock().unwrap().push((given(c).is_some(), needs));
            let sums = numbers(&a).iter().zip(numbers(&b)).map(|(a, b)| a + 2.0 * b);
            (tensor_of(sums.collect(), a.layout().shape().clone()), ())
        }

        fn backward(&self, gradient: FlexTensor, (): (), needs: [bool; 3]) -> [Option<FlexTensor>; 3] {
            self.0.lock().unwrap().push((false, needs));
            [needs[0].then(|| gradient.clone()), needs[1].then(|| scaled(gradient, &[2.0])), None]
        }
    }

    #[test]
    fn an_operation_sees_rows_and_is_told_what_is_given_and_which_gradients_are_needed() {
        let (probe, device) = (Probe::default(), Device::flex());
        let matrix = |device: &Device| Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0]], device);
        let run = |a: &Tensor<2>, b: &Tensor<2>, c: Option<&Tensor<2>>| -> Tensor<2> {
            fused_of([a.clone().into_dispatch(), b.clone().into_dispatch(), or_empty(c)], probe.clone())
        };
        let values = |tensor: Tensor<2>| tensor.into_data().try_to_vec::<f32>().unwrap();
        // Without a tape, and one side turned.
        let plain = matrix(&device);
        assert_eq!(values(run(&plain, &plain.clone().transpose(), Some(&plain))), [3.0, 8.0, 7.0, 12.0]);
        // On the tape: one side with a gradient, the other on the tape without one, or not on it at all.
        let (a, b) = (matrix(&device.clone().autodiff()).require_grad(), matrix(&device.clone().autodiff()));
        for other in [&b, &plain] {
            let gradients = run(other, &a, None).sum().backward();
            assert_eq!(values(a.grad(&gradients).unwrap()), [2.0; 4]);
            assert!(other.grad(&gradients).is_none());
        }
        let only_b = (false, [false, true, false]);
        assert_eq!(*probe.0.lock().unwrap(), [(true, [false; 3]), only_b, only_b, only_b, only_b]);
    }

    #[test]
    fn the_gradients_of_a_cost_are_scaled_by_that_of_its_result_row_by_row() {
        #[derive(Debug)]
        struct Rows;

        impl Cost<1> for Rows {
            fn forward(&self, [x]: [FlexTensor; 1], _needs: [bool; 1]) -> (FlexTensor, Vec<FlexTensor>) {
                let sums = numbers(&x).chunks_exact(2).map(|row| row.iter().sum()).collect();
                (tensor_of(sums, Shape::new([2, 1])), vec![tensor_of(vec![1.0; 4], Shape::new([2, 2]))])
            }
        }

        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0]], &device).require_grad();
        let costs: Tensor<2> = fused([&x], Rows);
        let gradients = (costs * Tensor::<2>::from_data([[3.0], [5.0]], &device)).sum().backward();
        assert_eq!(x.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap(), [3.0, 3.0, 5.0, 5.0]);
    }
}
