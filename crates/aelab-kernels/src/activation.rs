//! Activations over slices: the value in place, and the gradient from the value.

use crate::isa::compiled_for_each_isa;
use crate::math::{exp, sigmoid, softplus, tanh};
use crate::parallel::sum_rows;

/// An activation whose derivative is a function of its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x`.
    Linear,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, `0.01 x` elsewhere.
    LeakyRelu,
    /// `x` where positive, `exp(x) - 1` elsewhere.
    Elu,
    /// `log(1 + exp(x))`.
    Softplus,
}

#[inline(always)]
fn map_row(y: &mut [f32], bias: Option<&[f32]>, function: impl Fn(f32) -> f32) {
    match bias {
        Some(bias) => y.iter_mut().zip(bias).for_each(|(y, bias)| *y = function(*y + bias)),
        None => y.iter_mut().for_each(|y| *y = function(*y)),
    }
}

#[inline(always)]
pub(crate) fn forward_row_body<const FMA: bool>(activation: Activation, y: &mut [f32], bias: Option<&[f32]>) {
    match activation {
        Activation::Linear => map_row(y, bias, |x| x),
        Activation::Sigmoid => map_row(y, bias, sigmoid::<FMA>),
        Activation::Tanh => map_row(y, bias, tanh::<FMA>),
        // The comparison lets not-a-number through.
        Activation::Relu => map_row(y, bias, |x| if x < 0.0 { 0.0 } else { x }),
        Activation::LeakyRelu => map_row(y, bias, |x| if x < 0.0 { 0.01 * x } else { x }),
        Activation::Elu => map_row(y, bias, |x| if x > 0.0 { x } else { exp::<FMA>(x) - 1.0 }),
        Activation::Softplus => map_row(y, bias, softplus::<FMA>),
    }
}

compiled_for_each_isa! {
    /// [`forward`] of one row.
    pub(crate) fn forward_row(activation: Activation, y: &mut [f32], bias: Option<&[f32]>) = forward_row_body
}

/// `row <- activation(row + bias)`: columns `first..` of one row of the layer's output.
pub(crate) fn forward_columns(activation: Activation, row: &mut [f32], first: usize, bias: Option<&[f32]>) {
    let columns = first..first + row.len();
    forward_row(activation, row, bias.map(|bias| &bias[columns]));
}

#[inline(always)]
fn scale_row(gradient: &mut [f32], y: &[f32], sums: Option<&mut [f32]>, slope: impl Fn(f32) -> f32) {
    match sums {
        Some(sums) => gradient.iter_mut().zip(y).zip(sums).for_each(|((gradient, y), sum)| {
            *gradient *= slope(*y);
            *sum += *gradient;
        }),
        None => gradient.iter_mut().zip(y).for_each(|(gradient, y)| *gradient *= slope(*y)),
    }
}

#[inline(always)]
pub(crate) fn backward_row_body<const FMA: bool>(activation: Activation, gradient: &mut [f32], y: &[f32], sums: Option<&mut [f32]>) {
    match activation {
        Activation::Linear => scale_row(gradient, y, sums, |_| 1.0),
        Activation::Sigmoid => scale_row(gradient, y, sums, |y| y * (1.0 - y)),
        Activation::Tanh => scale_row(gradient, y, sums, |y| 1.0 - y * y),
        Activation::Relu => scale_row(gradient, y, sums, |y| if y > 0.0 { 1.0 } else { 0.0 }),
        Activation::LeakyRelu => scale_row(gradient, y, sums, |y| if y >= 0.0 { 1.0 } else { 0.01 }),
        Activation::Elu => scale_row(gradient, y, sums, |y| if y > 0.0 { 1.0 } else { y + 1.0 }),
        Activation::Softplus => scale_row(gradient, y, sums, |y| 1.0 - exp::<FMA>(-y)),
    }
}

compiled_for_each_isa! {
    /// [`backward`] of one row.
    pub(crate) fn backward_row(activation: Activation, gradient: &mut [f32], y: &[f32], sums: Option<&mut [f32]>) = backward_row_body
}

#[inline(always)]
fn forward_block_body<const FMA: bool>(activation: Activation, y: &mut [f32], bias: &[f32]) {
    if let [bias] = bias {
        // Rows of one number: one long row.
        y.iter_mut().for_each(|y| *y += bias);
        forward_row_body::<FMA>(activation, y, None);
    } else {
        y.chunks_exact_mut(bias.len()).for_each(|row| forward_row_body::<FMA>(activation, row, Some(bias)));
    }
}

compiled_for_each_isa! {
    /// [`forward`] on this thread alone.
    pub(crate) fn forward_block(activation: Activation, y: &mut [f32], bias: &[f32]) = forward_block_body
}

#[inline(always)]
fn backward_block_body<const FMA: bool>(activation: Activation, gradient: &mut [f32], y: &[f32], sums: &mut [f32]) {
    if activation != Activation::Linear {
        backward_row_body::<FMA>(activation, gradient, y, None);
    }
    if let [sum] = sums {
        // Sixteen sums at a time, as many as go into a register.
        let mut parts = [0.0; 16];
        let (rows, rest) = gradient.as_chunks::<16>();
        rows.iter().for_each(|row| parts.iter_mut().zip(row).for_each(|(part, value)| *part += value));
        *sum += parts.iter().sum::<f32>() + rest.iter().sum::<f32>();
    } else {
        gradient.chunks_exact(sums.len()).for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value));
    }
}

compiled_for_each_isa! {
    /// [`backward`] on this thread alone; of a linear layer `y` is not read.
    pub(crate) fn backward_block(activation: Activation, gradient: &mut [f32], y: &[f32], sums: &mut [f32]) = backward_block_body
}

/// `gradient <- gradient * activation'`, in place, from the output `y`; with `sums`, its sums over rows, `[width]`, too.
pub(crate) fn backward(activation: Activation, gradient: &mut [f32], y: &[f32], width: usize, sums: Option<&mut [f32]>) {
    match sums {
        Some(sums) => sum_rows(gradient, y, width, sums, |gradient, y, sums| backward_row(activation, gradient, y, Some(sums))),
        None if activation == Activation::Linear => {}
        None => backward_row(activation, gradient, y, None),
    }
}
