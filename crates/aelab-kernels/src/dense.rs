//! A dense layer with its activation as one operation.

use burn::backend::Shape;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Tensor, activation, module};

use crate::Activation;
use crate::activation::{backward, forward_columns};
use crate::fused::{Fused, fused_of, given, or_empty};
use crate::primitive::{contiguous, is_ours, numbers, numbers_mut, shape_of, tensor_of};
use crate::product::{Matrix, product, product_with, two_products};

/// `activation(x W + bias)`, or `activation(x W^T + bias)` where `transposed`.
///
/// # Shapes
/// `x`: `[batch, input]`; `weight`: `[input, output]`, where transposed `[output, input]`; `bias`: `[output]`; the result:
/// `[batch, output]`.
pub fn dense(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>, activation: Activation, transposed: bool) -> Tensor<2> {
    if is_ours(&x) && is_ours(&weight) {
        return fused_of([x.into_dispatch(), weight.into_dispatch(), or_empty(bias.as_ref())], Dense { activation, transposed });
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
    let [rows, columns] = shape_of(tensor);
    Matrix::new(numbers(tensor), rows, columns)
}

fn turned(matrix: Matrix<'_>, transposed: bool) -> Matrix<'_> {
    if transposed { matrix.transposed() } else { matrix }
}

#[derive(Debug)]
struct Dense {
    activation: Activation,
    transposed: bool,
}

/// Input and weight are kept only where a gradient needs them.
#[derive(Debug)]
struct DenseState {
    x: Option<FlexTensor>,
    weight: Option<FlexTensor>,
    y: FlexTensor,
}

impl Fused<3> for Dense {
    type State = DenseState;

    fn laid_out(tensor: FlexTensor) -> FlexTensor {
        tensor
    }

    fn forward(&self, [x, weight, bias]: [FlexTensor; 3], needs: [bool; 3]) -> (FlexTensor, DenseState) {
        let Self { activation, transposed } = *self;
        let x = contiguous(x);
        // Of a weight that was turned by a view, the gradient is the turned one: only the layer's own way of turning is free.
        let (weight, transposed) = if needs.contains(&true) { (contiguous(weight), transposed) } else { settled(weight, transposed) };
        let (rows, width) = (x.layout().shape()[0], weight.layout().shape()[usize::from(!transposed)]);
        let bias = given(bias).map(contiguous);
        let (left, right, bias) = (matrix(&x), turned(matrix(&weight), transposed), bias.as_ref().map(numbers));
        let y = if activation == Activation::Linear && bias.is_none() {
            product(left, right)
        } else {
            product_with(left, right, &|_, first, row| forward_columns(activation, row, first, bias))
        };
        let y = tensor_of(y, Shape::new([rows, width]));
        let [needs_x, needs_weight, _] = needs;
        (y.clone(), DenseState { x: needs_weight.then_some(x), weight: needs_x.then_some(weight), y })
    }

    fn backward(&self, gradient: FlexTensor, state: DenseState, needs: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let Self { activation, transposed } = *self;
        let DenseState { x, weight, y } = state;
        let mut gradient = contiguous(gradient);
        let width = y.layout().shape()[1];
        let mut of_bias = needs[2].then(|| vec![0.0; width]);
        if activation != Activation::Linear || of_bias.is_some() {
            backward(activation, numbers_mut(&mut gradient), numbers(&y), width, of_bias.as_deref_mut());
        }
        drop(y);
        let by_x = weight.as_ref().map(|weight| [matrix(&gradient), turned(matrix(weight), !transposed)]);
        let by_weight = x
            .as_ref()
            .map(|x| if transposed { [matrix(&gradient).transposed(), matrix(x)] } else { [matrix(x).transposed(), matrix(&gradient)] });
        let (of_x, of_weight) = match (by_x, by_weight) {
            (Some(by_x), Some(by_weight)) => {
                let [of_x, of_weight] = two_products(by_x, by_weight);
                (Some(of_x), Some(of_weight))
            }
            (by_x, by_weight) => (by_x.map(|[a, b]| product(a, b)), by_weight.map(|[a, b]| product(a, b))),
        };
        let of_x = of_x.zip(weight.as_ref()).map(|(numbers, weight)| {
            let inputs = weight.layout().shape()[usize::from(transposed)];
            tensor_of(numbers, Shape::new([gradient.layout().shape()[0], inputs]))
        });
        let of_weight = of_weight.zip(x.as_ref()).map(|(numbers, x)| {
            let inputs = x.layout().shape()[1];
            tensor_of(numbers, Shape::new(if transposed { [width, inputs] } else { [inputs, width] }))
        });
        [of_x, of_weight, of_bias.map(|sums| tensor_of(sums, Shape::new([width])))]
    }
}
