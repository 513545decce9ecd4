//! A dense layer with its activation as one operation.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, Shape, backend_extension};
use burn::tensor::{Tensor, activation, module};

use crate::Activation;
use crate::activation::{backward, forward_columns};
use crate::primitive::{contiguous, is_ours, numbers, numbers_mut, tensor_of};
use crate::product::{Matrix, product, product_with, two_products};

/// `activation(x W + bias)`, or `activation(x W^T + bias)` where `transposed`.
///
/// # Shapes
/// `x`: `[batch, input]`; `weight`: `[input, output]`, where transposed `[output, input]`; `bias`: `[output]`; the result:
/// `[batch, output]`.
pub fn dense(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>, activation: Activation, transposed: bool) -> Tensor<2> {
    if is_ours(&x) && is_ours(&weight) {
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        return Tensor::from_dispatch(match bias {
            Some(bias) => <Dispatch as DenseOps>::dense_with_bias(x, weight, bias.into_dispatch(), activation, transposed),
            None => <Dispatch as DenseOps>::dense(x, weight, activation, transposed),
        });
    }
    let weight = if transposed { weight.transpose() } else { weight };
    let y = module::linear(x, weight, bias);
    match activation {
        Activation::Linear => y,
        Activation::Sigmoid => activation::sigmoid(y),
        Activation::Tanh => y.tanh(),
        Activation::Relu => activation::relu(y),
        Activation::LeakyRelu => activation::leaky_relu(y, 0.01),
        Activation::Elu => {
            let positive = y.clone().greater_elem(0.0);
            (y.clone().mask_fill(positive.clone(), 0.0).exp() - 1.0).mask_where(positive, y)
        }
        Activation::Softplus => activation::softplus(y, 1.0),
    }
}

#[backend_extension(Flex, Autodiff)]
trait DenseOps: Backend {
    fn dense(x: FloatTensor<Self>, weight: FloatTensor<Self>, activation: Activation, transposed: bool) -> FloatTensor<Self>;

    fn dense_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        transposed: bool,
    ) -> FloatTensor<Self>;
}

/// The weight as it lies in memory, and whether the layer uses its transpose.
fn settled(weight: FlexTensor, transposed: bool) -> (FlexTensor, bool) {
    let is_turned = {
        let (strides, shape) = (weight.layout().strides(), weight.layout().shape());
        !weight.is_contiguous() && strides[0] == 1 && strides[1] as usize == shape[0] && weight.layout().start_offset() == 0
    };
    if is_turned {
        let shape = weight.layout().shape();
        let upright = Layout::contiguous(Shape::new([shape[1], shape[0]]));
        (weight.with_layout(upright), !transposed)
    } else {
        (contiguous(weight), transposed)
    }
}

fn matrix(tensor: &FlexTensor) -> Matrix<'_> {
    let shape = tensor.layout().shape();
    Matrix::new(numbers(tensor), shape[0], shape[1])
}

fn turned(matrix: Matrix<'_>, transposed: bool) -> Matrix<'_> {
    if transposed { matrix.transposed() } else { matrix }
}

/// The layer without a tape.
fn layer(x: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>, activation: Activation, transposed: bool) -> FlexTensor {
    let (weight, transposed) = settled(weight, transposed);
    let x = contiguous(x);
    let (rows, width) = (x.layout().shape()[0], weight.layout().shape()[usize::from(!transposed)]);
    let bias = bias.map(contiguous);
    let (left, right, bias) = (matrix(&x), turned(matrix(&weight), transposed), bias.as_ref().map(numbers));
    let y = if activation == Activation::Linear && bias.is_none() {
        product(left, right)
    } else {
        product_with(left, right, &|_, first, row| forward_columns(activation, row, first, bias))
    };
    tensor_of(y, Shape::new([rows, width]))
}

impl DenseOps for Flex {
    fn dense(x: FlexTensor, weight: FlexTensor, activation: Activation, transposed: bool) -> FlexTensor {
        layer(x, weight, None, activation, transposed)
    }

    fn dense_with_bias(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, activation: Activation, transposed: bool) -> FlexTensor {
        layer(x, weight, Some(bias), activation, transposed)
    }
}

#[derive(Debug)]
struct DenseBackward<const N: usize>;

/// What the gradient is computed from. Input and weight are kept only where a gradient needs them.
#[derive(Debug, Clone)]
struct DenseState {
    x: Option<FlexTensor>,
    weight: Option<FlexTensor>,
    y: FlexTensor,
    activation: Activation,
    transposed: bool,
}

impl<const N: usize> Backward<Flex, N> for DenseBackward<N> {
    type State = DenseState;

    fn backward(self, ops: Ops<DenseState, N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let DenseState { x, weight, y, activation, transposed } = ops.state;
        let mut gradient = contiguous(grads.consume::<Flex>(&ops.node));
        let width = y.layout().shape()[1];
        let mut node = ops.parents.into_iter();
        let (node_x, node_weight, node_bias) = (node.next().flatten(), node.next().flatten(), node.next().flatten());
        let mut sums = node_bias.is_some().then(|| vec![0.0; width]);
        if activation != Activation::Linear || sums.is_some() {
            backward(activation, numbers_mut(&mut gradient), numbers(&y), width, sums.as_deref_mut());
        }
        drop(y);
        if let (Some(node), Some(sums)) = (node_bias, sums) {
            grads.register::<Flex>(node.id, tensor_of(sums, Shape::new([width])));
        }
        let [rows, inputs] = match (&x, &weight) {
            (Some(x), _) => [0, 1].map(|dim| x.layout().shape()[dim]),
            (None, Some(weight)) => [gradient.layout().shape()[0], weight.layout().shape()[usize::from(transposed)]],
            (None, None) => return,
        };
        let by_x = weight.as_ref().filter(|_| node_x.is_some()).map(|weight| [matrix(&gradient), turned(matrix(weight), !transposed)]);
        let by_weight = x
            .as_ref()
            .filter(|_| node_weight.is_some())
            .map(|x| if transposed { [matrix(&gradient).transposed(), matrix(x)] } else { [matrix(x).transposed(), matrix(&gradient)] });
        let (of_x, of_weight) = match (by_x, by_weight) {
            (Some(by_x), Some(by_weight)) => {
                let [of_x, of_weight] = two_products(by_x, by_weight);
                (Some(of_x), Some(of_weight))
            }
            (by_x, by_weight) => (by_x.map(|[a, b]| product(a, b)), by_weight.map(|[a, b]| product(a, b))),
        };
        if let (Some(node), Some(of_x)) = (node_x, of_x) {
            grads.register::<Flex>(node.id, tensor_of(of_x, Shape::new([rows, inputs])));
        }
        if let (Some(node), Some(of_weight)) = (node_weight, of_weight) {
            let shape = if transposed { [width, inputs] } else { [inputs, width] };
            grads.register::<Flex>(node.id, tensor_of(of_weight, Shape::new(shape)));
        }
    }
}

/// The layer on the tape; `nodes` are those of input, weight and, with `N = 3`, bias.
fn recorded<C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    needs: [bool; 2],
    operands: (FlexTensor, FlexTensor, Option<FlexTensor>),
    activation: Activation,
    transposed: bool,
) -> FloatTensor<Autodiff<Flex, C>> {
    let (x, weight, bias) = operands;
    // Of a weight that was turned by a view, the gradient is the turned one: only the layer's own way of turning is free.
    let (x, weight) = (contiguous(x), contiguous(weight));
    let y = layer(x.clone(), weight.clone(), bias, activation, transposed);
    match DenseBackward::<N>.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::UnTracked(prepared) => prepared.finish(y),
        OpsKind::Tracked(prepared) => {
            let [needs_x, needs_weight] = needs;
            let state =
                DenseState { x: needs_x.then_some(x), weight: needs_weight.then_some(weight), y: y.clone(), activation, transposed };
            prepared.finish(state, y)
        }
    }
}

impl<C: CheckpointStrategy> DenseOps for Autodiff<Flex, C> {
    fn dense(x: FloatTensor<Self>, weight: FloatTensor<Self>, activation: Activation, transposed: bool) -> FloatTensor<Self> {
        let needs = [weight.is_tracked(), x.is_tracked()];
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        recorded::<C, 2>([x_node, weight_node], needs, (x, weight, None), activation, transposed)
    }

    fn dense_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        transposed: bool,
    ) -> FloatTensor<Self> {
        let needs = [weight.is_tracked(), x.is_tracked()];
        let ((x, x_node), (weight, weight_node), (bias, bias_node)) = (x.into_parts(), weight.into_parts(), bias.into_parts());
        recorded::<C, 3>([x_node, weight_node, bias_node], needs, (x, weight, Some(bias)), activation, transposed)
    }
}
