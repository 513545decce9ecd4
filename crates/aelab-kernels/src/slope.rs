//! Slopes of activations, and the penalty on a Jacobian that is made of them.

use burn::backend::Shape;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use crate::Activation;
use crate::fused::{Fused, fused};
use crate::isa::compiled_for_each_isa;
use crate::math::exp;
use crate::parallel::{for_rows, sum_rows_of};
use crate::primitive::{is_ours, numbers, numbers_mut, shape_of, tensor_of};

/// The derivative of an activation as a function of its output, `[batch, unit]` to the same, which has a gradient of its own.
/// `None` where the tensor is not on `flex`, and for activations whose derivative jumps.
pub fn slope(activation: Activation, output: &Tensor<2>) -> Option<Tensor<2>> {
    let smooth = !matches!(activation, Activation::Relu | Activation::LeakyRelu);
    (smooth && is_ours(output) && !output.dims().contains(&0)).then(|| fused([output], Slope { activation }))
}

/// `1/B sum_b sum_j factor_bj^2 sum_i W_ij^2`: the squared norm of matrices `W diag(factor_b)`, averaged over the batch: `[1]`.
///
/// # Shapes
/// `weight`: `[input, unit]`; `factor`: `[batch, unit]`.
pub fn squared_norm_of_scaled_columns(weight: &Tensor<2>, factor: &Tensor<2>) -> Tensor<1> {
    let ([inputs, units], [batch, _]) = (weight.dims(), factor.dims());
    if is_ours(weight) && is_ours(factor) && factor.dims()[1] == units && inputs * units * batch > 0 {
        return fused([weight, factor], ScaledColumns);
    }
    (factor.clone().square() * weight.clone().square().sum_dim(0)).sum_dim(1).mean()
}

#[derive(Debug)]
struct Slope {
    activation: Activation,
}

/// The slopes of `y`, in place.
#[inline(always)]
fn slopes_body<const FMA: bool>(activation: Activation, y: &mut [f32]) {
    match activation {
        Activation::Sigmoid => y.iter_mut().for_each(|y| *y *= 1.0 - *y),
        Activation::Tanh => y.iter_mut().for_each(|y| *y = 1.0 - *y * *y),
        // exp(x) where x is not positive, and 1 elsewhere.
        Activation::Elu => y.iter_mut().for_each(|y| *y = if *y > 0.0 { 1.0 } else { *y + 1.0 }),
        Activation::Softplus => y.iter_mut().for_each(|y| *y = 1.0 - exp::<FMA>(-*y)),
        Activation::Linear | Activation::Relu | Activation::LeakyRelu => y.fill(1.0),
    }
}

compiled_for_each_isa! {
    fn slopes(activation: Activation, y: &mut [f32]) = slopes_body
}

/// `gradient <- gradient * (derivative of the slope by y)`.
#[inline(always)]
fn curvatures_body<const FMA: bool>(activation: Activation, gradient: &mut [f32], y: &[f32]) {
    let pairs = gradient.iter_mut().zip(y);
    match activation {
        Activation::Sigmoid => pairs.for_each(|(gradient, y)| *gradient *= 1.0 - 2.0 * y),
        Activation::Tanh => pairs.for_each(|(gradient, y)| *gradient *= -2.0 * y),
        Activation::Elu => pairs.for_each(|(gradient, y)| *gradient = if *y > 0.0 { 0.0 } else { *gradient }),
        Activation::Softplus => pairs.for_each(|(gradient, y)| *gradient *= exp::<FMA>(-*y)),
        Activation::Linear | Activation::Relu | Activation::LeakyRelu => gradient.fill(0.0),
    }
}

compiled_for_each_isa! {
    fn curvatures(activation: Activation, gradient: &mut [f32], y: &[f32]) = curvatures_body
}

impl Fused<1> for Slope {
    /// The output.
    type State = FlexTensor;

    fn forward(&self, [output]: [FlexTensor; 1], _needs: [bool; 1]) -> (FlexTensor, FlexTensor) {
        let shape = output.layout().shape().clone();
        let mut values = numbers(&output).to_vec();
        slopes(self.activation, &mut values);
        (tensor_of(values, shape), output)
    }

    fn backward(&self, mut gradient: FlexTensor, output: FlexTensor, _needs: [bool; 1]) -> [Option<FlexTensor>; 1] {
        curvatures(self.activation, numbers_mut(&mut gradient), numbers(&output));
        [Some(gradient)]
    }
}

#[derive(Debug)]
struct ScaledColumns;

#[inline(always)]
fn add_squares_body<const FMA: bool>(row: &[f32], sums: &mut [f32]) {
    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * value);
}

compiled_for_each_isa! {
    fn add_squares(row: &[f32], sums: &mut [f32]) = add_squares_body
}

#[inline(always)]
fn multiply_body<const FMA: bool>(row: &mut [f32], factors: &[f32]) {
    row.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
}

compiled_for_each_isa! {
    fn multiply(row: &mut [f32], factors: &[f32]) = multiply_body
}

/// The sum of the squares of each column, `[row, width]` to `[width]`.
fn squares_of_columns(values: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    sum_rows_of(values, width, &mut sums, add_squares);
    sums
}

impl Fused<2> for ScaledColumns {
    /// Weight and factor, each with the squares of its columns.
    type State = [(FlexTensor, Vec<f32>); 2];

    fn forward(&self, [weight, factor]: [FlexTensor; 2], _needs: [bool; 2]) -> (FlexTensor, Self::State) {
        let [batch, width] = shape_of(&factor);
        let of_weight = squares_of_columns(numbers(&weight), width);
        let of_factor = squares_of_columns(numbers(&factor), width);
        let sum: f64 = of_weight.iter().zip(&of_factor).map(|(weight, factor)| f64::from(*weight) * f64::from(*factor)).sum();
        let value = tensor_of(vec![(sum / batch as f64) as f32], Shape::new([1]));
        (value, [(weight, of_weight), (factor, of_factor)])
    }

    fn backward(&self, gradient: FlexTensor, state: Self::State, needs: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let [(weight, of_weight), (factor, of_factor)] = state;
        let scale = 2.0 * numbers(&gradient)[0] / factor.layout().shape()[0] as f32;
        // Either times the squares of the columns of the other.
        let of = |tensor: &FlexTensor, squares: &[f32]| {
            let factors: Vec<f32> = squares.iter().map(|square| scale * square).collect();
            let mut values = numbers(tensor).to_vec();
            for_rows(&mut values, factors.len(), |row| multiply(row, &factors));
            tensor_of(values, tensor.layout().shape().clone())
        };
        [needs[0].then(|| of(&weight, &of_factor)), needs[1].then(|| of(&factor, &of_weight))]
    }
}
