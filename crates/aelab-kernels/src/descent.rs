//! The updates of optimizers other than Adam, each in one pass over its arrays.

use crate::isa::compiled_for_each_isa;
use crate::math::multiply_add;
use crate::parallel::for_pieces;

/// The numbers of a step of stochastic gradient descent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdStep {
    /// What the velocity, or without momentum the gradient, is multiplied with.
    pub learning_rate: f32,
    /// What the velocity keeps.
    pub momentum: f32,
    /// Whether the step looks ahead along the velocity (Sutskever et al. 2013).
    pub nesterov: bool,
    /// Added to the gradient: `weight_decay * parameter`.
    pub weight_decay: f32,
}

/// The numbers of a step of RMSprop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsPropStep {
    /// What the change is multiplied with.
    pub learning_rate: f32,
    /// Decay of the mean square and of the mean, and what is left to the gradient.
    pub alpha: [f32; 2],
    /// What the buffer keeps.
    pub momentum: f32,
    /// Added to the root.
    pub epsilon: f32,
    /// Added to the gradient: `weight_decay * parameter`.
    pub weight_decay: f32,
}

/// The numbers of a step of AdaGrad.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaGradStep {
    /// What the change is multiplied with.
    pub learning_rate: f32,
    /// Added to the root of the sum of squares.
    pub epsilon: f32,
    /// Added to the gradient: `weight_decay * parameter`.
    pub weight_decay: f32,
}

/// Updates parameters and velocities in place. All slices have the same length, but for velocities, which are empty without
/// momentum.
pub fn sgd(step: &SgdStep, parameter: &mut [f32], gradient: &mut [f32], velocity: &mut [f32]) {
    for_pieces([parameter, gradient, velocity], |[parameter, gradient, velocity]| update_sgd(step, parameter, gradient, velocity));
}

/// Updates parameters, mean squares, means and buffers in place. All slices have the same length, but for means, which are empty unless
/// centered, and buffers, which are empty without momentum.
pub fn rms_prop(step: &RmsPropStep, parameter: &mut [f32], gradient: &mut [f32], square: &mut [f32], mean: &mut [f32], buffer: &mut [f32]) {
    for_pieces([parameter, gradient, square, mean, buffer], |[parameter, gradient, square, mean, buffer]| {
        update_rms_prop(step, parameter, gradient, square, mean, buffer);
    });
}

/// Updates parameters and sums of squares in place. All slices have the same length.
pub fn ada_grad(step: &AdaGradStep, parameter: &mut [f32], gradient: &mut [f32], sum: &mut [f32]) {
    for_pieces([parameter, gradient, sum], |[parameter, gradient, sum]| update_ada_grad(step, parameter, gradient, sum));
}

/// A number that an optimizer keeps for each parameter, or the lack of one.
trait Kept {
    fn number(&mut self) -> Option<&mut f32>;
}

impl Kept for f32 {
    #[inline(always)]
    fn number(&mut self) -> Option<&mut f32> {
        Some(self)
    }
}

impl Kept for () {
    #[inline(always)]
    fn number(&mut self) -> Option<&mut f32> {
        None
    }
}

/// So many times the lack of a number.
fn none(num: usize) -> Vec<()> {
    vec![(); num]
}

#[inline(always)]
fn descend<const FMA: bool, V: Kept>(step: &SgdStep, parameter: &mut [f32], gradient: &[f32], velocity: &mut [V]) {
    let (ahead, own) = if step.nesterov { (step.momentum, 1.0) } else { (1.0, 0.0) };
    parameter.iter_mut().zip(gradient).zip(velocity).for_each(|((parameter, gradient), velocity)| {
        let gradient = multiply_add::<FMA>(step.weight_decay, *parameter, *gradient);
        let change = match velocity.number() {
            None => gradient,
            Some(velocity) => {
                *velocity = multiply_add::<FMA>(step.momentum, *velocity, gradient);
                multiply_add::<FMA>(ahead, *velocity, own * gradient)
            }
        };
        *parameter = multiply_add::<FMA>(-step.learning_rate, change, *parameter);
    });
}

#[inline(always)]
fn update_sgd_body<const FMA: bool>(step: &SgdStep, parameter: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
    if velocity.is_empty() {
        descend::<FMA, _>(step, parameter, gradient, &mut none(gradient.len()));
    } else {
        descend::<FMA, _>(step, parameter, gradient, velocity);
    }
}

/// The gradient over the root of its mean square, or of its variance, the average of which is the buffer.
#[inline(always)]
fn scale<const FMA: bool, M: Kept, B: Kept>(
    step: &RmsPropStep,
    parameter: &mut [f32],
    gradient: &[f32],
    square: &mut [f32],
    mean: &mut [M],
    buffer: &mut [B],
) {
    let [alpha, rest] = step.alpha;
    let rows = parameter.iter_mut().zip(gradient).zip(square).zip(mean).zip(buffer);
    rows.for_each(|((((parameter, gradient), square), mean), buffer)| {
        let gradient = multiply_add::<FMA>(step.weight_decay, *parameter, *gradient);
        *square = multiply_add::<FMA>(alpha, *square, rest * (gradient * gradient));
        let spread = match mean.number() {
            None => *square,
            Some(mean) => {
                *mean = multiply_add::<FMA>(alpha, *mean, rest * gradient);
                let variance = *square - *mean * *mean;
                // Rounding takes the variance of gradients that stay the same below zero. The comparison lets not-a-number through.
                if variance < 0.0 { 0.0 } else { variance }
            }
        };
        let mut change = gradient / (spread.sqrt() + step.epsilon);
        if let Some(buffer) = buffer.number() {
            *buffer = multiply_add::<FMA>(step.momentum, *buffer, change);
            change = *buffer;
        }
        *parameter -= step.learning_rate * change;
    });
}

#[inline(always)]
fn update_rms_prop_body<const FMA: bool>(
    step: &RmsPropStep,
    parameter: &mut [f32],
    gradient: &[f32],
    square: &mut [f32],
    mean: &mut [f32],
    buffer: &mut [f32],
) {
    let num = gradient.len();
    match (mean.is_empty(), buffer.is_empty()) {
        (true, true) => scale::<FMA, _, _>(step, parameter, gradient, square, &mut none(num), &mut none(num)),
        (true, false) => scale::<FMA, _, _>(step, parameter, gradient, square, &mut none(num), buffer),
        (false, true) => scale::<FMA, _, _>(step, parameter, gradient, square, mean, &mut none(num)),
        (false, false) => scale::<FMA, _, _>(step, parameter, gradient, square, mean, buffer),
    }
}

#[inline(always)]
fn update_ada_grad_body<const FMA: bool>(step: &AdaGradStep, parameter: &mut [f32], gradient: &[f32], sum: &mut [f32]) {
    parameter.iter_mut().zip(gradient).zip(sum).for_each(|((parameter, gradient), sum)| {
        let gradient = multiply_add::<FMA>(step.weight_decay, *parameter, *gradient);
        *sum = multiply_add::<FMA>(gradient, gradient, *sum);
        *parameter -= step.learning_rate * (gradient / (sum.sqrt() + step.epsilon));
    });
}

compiled_for_each_isa! {
    fn update_sgd(step: &SgdStep, parameter: &mut [f32], gradient: &[f32], velocity: &mut [f32]) = update_sgd_body
}

compiled_for_each_isa! {
    fn update_rms_prop(
        step: &RmsPropStep,
        parameter: &mut [f32],
        gradient: &[f32],
        square: &mut [f32],
        mean: &mut [f32],
        buffer: &mut [f32],
    ) = update_rms_prop_body
}

compiled_for_each_isa! {
    fn update_ada_grad(step: &AdaGradStep, parameter: &mut [f32], gradient: &[f32], sum: &mut [f32]) = update_ada_grad_body
}
