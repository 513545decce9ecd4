//! Penalties on the Jacobian of a dense smooth encoder: how far a code moves when its input does.
//!
//! `J` is the matrix of `d code_j / d x_i`. For layers `h_l = a_l(h_(l-1) W_l + b_l)` it is a product,
//!
//! ```text
//! J^T = W_1 D_1 W_2 D_2 ... W_L D_L         D_l = diag(a_l'(.)), the slopes of layer l at one example
//! ```
//!
//! which the functions here form out of ordinary tensors. A slope that is written as a function of the activation, `h (1 - h)` for a
//! sigmoid, is differentiated once more by the tape like anything else: so first-order differentiation of these penalties is
//! exact, and no second derivative is ever asked of the backend.

use burn::tensor::Tensor;

use crate::reduce::per_example;

/// One dense layer at the examples of one batch.
#[derive(Debug, Clone)]
pub struct SmoothLayer {
    /// `W`, `[input, unit]`.
    pub weight: Tensor<2>,
    /// The derivative of the activation at each unit, `[batch, unit]`.
    pub slope: Tensor<2>,
}

/// The squared Frobenius norm of an encoder's Jacobian, averaged over the batch (Rifai et al. 2011, "Contractive
/// Auto-Encoders", Eq. 6), exactly.
///
/// ```text
/// one layer:    1/B sum_b sum_j s_bj^2 sum_i W_ij^2
/// more layers:  1/B sum_b sum_ij J_bij^2, J formed layer by layer from the side that costs less
/// ```
///
/// From the code's side it takes `B * code * sum of (width * next width)` multiplications, and the first layer enters by
/// `W_1^T W_1` alone. Where that is too dear, [`projected_contraction`] estimates it.
///
/// # Shapes
/// `layers`: from the data to the code, at least one; the result: `[1]`.
///
/// ```
/// use aelab_losses::{SmoothLayer, contraction};
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let weight = Tensor::from_data([[1.0, 0.0], [2.0, 3.0]], &device);     // columns of squared norm 5 and 9
/// let slope = Tensor::from_data([[0.25, 0.5]], &device);
/// let penalty = contraction(&[SmoothLayer { weight, slope }]).into_scalar::<f32>();
/// assert_eq!(penalty, 0.0625 * 5.0 + 0.25 * 9.0);
/// ```
///
/// # Panics
/// When there is no layer.
pub fn contraction(layers: &[SmoothLayer]) -> Tensor<1> {
    match layers {
        [only] => scaled_columns(&only.weight, only.slope.clone()),
        _ => match cheaper_side(layers) {
            Side::Code => squared_norm_from_code(from_code(layers), &layers[0].weight),
            Side::Data => squared_norm(from_data(layers)),
        },
    }
}

/// `|J(x) - J(other)|^2` of an encoder at two batches, averaged over them: the second-order term of the contractive
/// autoencoder (Rifai et al. 2011, "Higher Order Contractive Auto-Encoder", Eq. 5) for one sample of `other = x + noise`.
///
/// # Shapes
/// `layers` and `others`: the same layers, from the data to the code, at the two batches; the result: `[1]`.
///
/// # Panics
/// When there is no layer, or not as many at both batches.
pub fn jacobian_change(layers: &[SmoothLayer], others: &[SmoothLayer]) -> Tensor<1> {
    assert_eq!(layers.len(), others.len(), "the Jacobians of one encoder have as many layers");
    match (layers, others) {
        ([only], [other]) => scaled_columns(&only.weight, only.slope.clone() - other.slope.clone()),
        _ => match cheaper_side(layers) {
            Side::Code => squared_norm_from_code(from_code(layers) - from_code(others), &layers[0].weight),
            Side::Data => squared_norm(from_data(layers) - from_data(others)),
        },
    }
}

/// An estimate of [`contraction`] from random directions `v` in the space of codes: the mean of `|v^T J|^2` over them.
///
/// Its expectation is `|J|_F^2` exactly, for components that are independent with mean 0 and variance 1 (normal, or signs), because
/// `E |v^T J|^2 = tr(J^T E[v v^T] J)` (Hutchinson 1990). Each direction costs as much as a backward pass.
///
/// # Shapes
/// `layers`: from the data to the code; `directions`: at least one, each `[batch, code]`; the result: `[1]`.
///
/// # Panics
/// When there is no direction.
pub fn projected_contraction(layers: &[SmoothLayer], directions: &[Tensor<2>]) -> Tensor<1> {
    mean(directions.iter().map(|direction| per_example(pulled_back(layers, direction.clone()).square(), None)))
}

/// The estimate of [`jacobian_change`] from random directions, see [`projected_contraction`].
///
/// # Panics
/// When there is no direction.
pub fn projected_jacobian_change(layers: &[SmoothLayer], others: &[SmoothLayer], directions: &[Tensor<2>]) -> Tensor<1> {
    mean(directions.iter().map(|direction| {
        let change = pulled_back(layers, direction.clone()) - pulled_back(others, direction.clone());
        per_example(change.square(), None)
    }))
}

fn mean(values: impl ExactSizeIterator<Item = Tensor<1>>) -> Tensor<1> {
    let num = values.len();
    values.reduce(|sum, value| sum + value).expect("there is at least one direction") / num as f64
}

/// `sum_j factor_bj^2 sum_i W_ij^2`, averaged over the batch.
fn scaled_columns(weight: &Tensor<2>, factor: Tensor<2>) -> Tensor<1> {
    aelab_kernels::squared_norm_of_scaled_columns(weight, &factor)
}

/// `v^T J` for one direction per example: `[batch, code]` to `[batch, feature]`.
fn pulled_back(layers: &[SmoothLayer], direction: Tensor<2>) -> Tensor<2> {
    layers.iter().rev().fold(direction, |direction, layer| (direction * layer.slope.clone()).matmul(layer.weight.clone().transpose()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Code,
    Data,
}

/// From which side a Jacobian takes fewer multiplications per example.
fn cheaper_side(layers: &[SmoothLayer]) -> Side {
    let sizes: Vec<[usize; 2]> = layers.iter().map(|layer| layer.weight.dims()).collect();
    let products = |sizes: &[[usize; 2]]| sizes.iter().map(|[inputs, units]| inputs * units).sum::<usize>();
    let ([num_features, first], code_size) = (sizes[0], sizes[sizes.len() - 1][1]);
    let code = code_size * (products(&sizes[1..]) + first * first);
    let data = num_features * products(&sizes[1..]);
    if code <= data { Side::Code } else { Side::Data }
}

/// `D_L W_L^T ... W_2^T D_1`, `[batch, code, first hidden unit]`: the Jacobian by what the first layer's weights give.
fn from_code(layers: &[SmoothLayer]) -> Tensor<3> {
    let last = layers.last().expect("there is at least one layer");
    let [batch, code_size] = last.slope.dims();
    let start = last.slope.clone().reshape([batch, code_size, 1]) * last.weight.clone().transpose().unsqueeze::<3>();
    layers[..layers.len() - 1].iter().rev().enumerate().fold(start, |jacobian, (index, layer)| {
        let scaled = jacobian * layer.slope.clone().unsqueeze_dim::<3>(1);
        // The first layer's weights are left out.
        if index + 2 == layers.len() { scaled } else { times(scaled, layer.weight.clone().transpose()) }
    })
}

/// `W_1 D_1 ... W_L D_L`, `[batch, feature, code]`.
fn from_data(layers: &[SmoothLayer]) -> Tensor<3> {
    let (first, rest) = layers.split_first().expect("there is at least one layer");
    let start = first.weight.clone().unsqueeze::<3>() * first.slope.clone().unsqueeze_dim::<3>(1);
    rest.iter().fold(start, |jacobian, layer| times(jacobian, layer.weight.clone()) * layer.slope.clone().unsqueeze_dim::<3>(1))
}

/// One matrix behind each of a batch of matrices, in one product.
fn times(matrices: Tensor<3>, matrix: Tensor<2>) -> Tensor<3> {
    let ([batch, rows, inner], columns) = (matrices.dims(), matrix.dims()[1]);
    matrices.reshape([batch * rows, inner]).matmul(matrix).reshape([batch, rows, columns])
}

/// The squared norm of `G W_1^T` as `tr(G W_1^T W_1 G^T)`, averaged over the batch.
fn squared_norm_from_code(jacobian: Tensor<3>, first: &Tensor<2>) -> Tensor<1> {
    let gram = first.clone().transpose().matmul(first.clone());
    let [batch, ..] = jacobian.dims();
    (times(jacobian.clone(), gram) * jacobian).sum() / batch as f64
}

fn squared_norm(jacobian: Tensor<3>) -> Tensor<1> {
    let [batch, ..] = jacobian.dims();
    jacobian.square().sum() / batch as f64
}
