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

/// Updates parameters in place. All slices have the same length.
pub fn sgd(step: &SgdStep, parameter: &mut [f32], gradient: &mut [f32]) {
    for_pieces([parameter, gradient], |[parameter, gradient]| descend(step, parameter, gradient));
}

/// Updates parameters and velocities in place. All slices have the same length.
pub fn sgd_with_momentum(step: &SgdStep, parameter: &mut [f32], gradient: &mut [f32], velocity: &mut [f32]) {
    for_pieces([parameter, gradient, velocity], |[parameter, gradient, velocity]| roll(step, parameter, gradient, velocity));
}

/// Updates parameters, mean squares and buffers in place; where centered, means too. All slices have the same length; the buffers
/// are those of momentum.
pub fn rms_prop(
    step: &RmsPropStep,
    parameter: &mut [f32],
    gradient: &mut [f32],
    square: &mut [f32],
    mean: Option<&mut [f32]>,
    buffer: Option<&mut [f32]>,
) {
    match (mean, buffer) {
        (None, None) => for_pieces([parameter, gradient, square], |[p, g, s]| scale(step, p, g, s)),
        (None, Some(buffer)) => for_pieces([parameter, gradient, square, buffer], |[p, g, s, b]| scale_and_roll(step, p, g, s, b)),
        (Some(mean), None) => for_pieces([parameter, gradient, square, mean], |[p, g, s, m]| center(step, p, g, s, m)),
        (Some(mean), Some(buffer)) => {
            for_pieces([parameter, gradient, square, mean, buffer], |[p, g, s, m, b]| center_and_roll(step, p, g, s, m, b));
        }
    }
}

/// Updates parameters and sums of squares in place. All slices have the same length.
pub fn ada_grad(step: &AdaGradStep, parameter: &mut [f32], gradient: &mut [f32], sum: &mut [f32]) {
    for_pieces([parameter, gradient, sum], |[parameter, gradient, sum]| slow(step, parameter, gradient, sum));
}

#[inline(always)]
fn descend_body<const FMA: bool>(step: &SgdStep, parameter: &mut [f32], gradient: &[f32]) {
    parameter.iter_mut().zip(gradient).for_each(|(parameter, gradient)| {
        let gradient = multiply_add::<FMA>(step.weight_decay, *parameter, *gradient);
        *parameter = multiply_add::<FMA>(-step.learning_rate, gradient, *parameter);
    });
}

#[inline(always)]
fn roll_body<const FMA: bool>(step: &SgdStep, parameter: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
    let (ahead, own) = if step.nesterov { (step.momentum, 1.0) } else { (1.0, 0.0) };
    parameter.iter_mut().zip(gradient).zip(velocity).for_each(|((parameter, gradient), velocity)| {
        let gradient = multiply_add::<FMA>(step.weight_decay, *parameter, *gradient);
        *velocity = multiply_add::<FMA>(step.momentum, *velocity, gradient);
        let change = multiply_add::<FMA>(ahead, *velocity, own * gradient);
        *parameter = multiply_add::<FMA>(-step.learning_rate, change, *parameter);
    });
}

/// The gradient over the root of its mean square, or of its variance.
#[inline(always)]
fn scaled<const FMA: bool>(step: &RmsPropStep, gradient: f32, square: &mut f32, mean: Option<&mut f32>) -> f32 {
    let [alpha, rest] = step.alpha;
    *square = multiply_add::<FMA>(alpha, *square, rest * (gradient * gradient));
    let spread = match mean {
        None => *square,
        Some(mean) => {
            *mean = multiply_add::<FMA>(alpha, *mean, rest * gradient);
            let variance = *square - *mean * *mean;
            // Rounding takes the variance of gradients that stay the same below zero. The comparison lets not-a-number through.
            if variance < 0.0 { 0.0 } else { variance }
        }
    };
    gradient / (spread.sqrt() + step.epsilon)
}

#[inline(always)]
fn scale_body<const FMA: bool>(step: &RmsPropStep, parameter: &mut [f32], gradient: &[f32], square: &mut [f32]) {
    parameter.iter_mut().zip(gradient).zip(square).for_each(|((parameter, gradient), square)| {
        let gradient = multiply_add::<FMA>(step.weight_decay, *parameter, *gradient);
        *parameter -= step.learning_rate * scaled::<FMA>(step, gradient, square, None);
    });
}

#[inline(always)]
fn scale_and_roll_body<const FMA: bool>(
    step: &RmsPropStep,
    parameter: &mut [f32],
    gradient: &[f32],
    square: &mut [f32],
    buffer: &mut [f32],
) {
    parameter.iter_mut().zip(gradient).zip(square).zip(buffer).for_each(|(((parameter, gradient), square), buffer)| {
        let gradient = multiply_add::<FMA>(step.weight_decay, *parameter, *gradient);
        *buffer = multiply_add::<FMA>(step.momentum, *buffer, scaled::<FMA>(step, gradient, square, None));
        *parameter -= step.learning_rate * *buffer;
    });
}

#[inline(always)]
fn center_body<const FMA: bool>(step: &RmsPropStep, parameter: &mut [f32], gradient: &[f32], square: &mut [f32], mean: &mut [f32]) {
    parameter.iter_mut().zip(gradient).zip(square).zip(mean).for_each(|(((parameter, gradient), square), mean)| {
        let gradient = multiply_add::<FMA>(step.weight_decay, *parameter, *gradient);
        *parameter -= step.learning_rate * scaled::<FMA>(step, gradient, square, Some(mean));
    });
}

#[inline(always)]
fn center_and_roll_body<const FMA: bool>(
    step: &RmsPropStep,
    parameter: &mut [f32],
    gradient: &[f32],
    square: &mut [f32],
    mean: &mut [f32],
    buffer: &mut [f32],
) {
    let rows = parameter.iter_mut().zip(gradient).zip(square).zip(mean).zip(buffer);
    rows.for_each(|((((parameter, gradient), square), mean), buffer)| {
        let gradient = multiply_add::<FMA>(step.weight_decay, *parameter, *gradient);
        *buffer = multiply_add::<FMA>(step.momentum, *buffer, scaled::<FMA>(step, gradient, square, Some(mean)));
        *parameter -= step.learning_rate * *buffer;
    });
}

#[inline(always)]
fn slow_body<const FMA: bool>(step: &AdaGradStep, parameter: &mut [f32], gradient: &[f32], sum: &mut [f32]) {
    parameter.iter_mut().zip(gradient).zip(sum).for_each(|((parameter, gradient), sum)| {
        let gradient = multiply_add::<FMA>(step.weight_decay, *parameter, *gradient);
        *sum = multiply_add::<FMA>(gradient, gradient, *sum);
        *parameter -= step.learning_rate * (gradient / (sum.sqrt() + step.epsilon));
    });
}

compiled_for_each_isa! {
    fn descend(step: &SgdStep, parameter: &mut [f32], gradient: &[f32]) = descend_body
}

compiled_for_each_isa! {
    fn roll(step: &SgdStep, parameter: &mut [f32], gradient: &[f32], velocity: &mut [f32]) = roll_body
}

compiled_for_each_isa! {
    fn scale(step: &RmsPropStep, parameter: &mut [f32], gradient: &[f32], square: &mut [f32]) = scale_body
}

compiled_for_each_isa! {
    fn scale_and_roll(step: &RmsPropStep, parameter: &mut [f32], gradient: &[f32], square: &mut [f32], buffer: &mut [f32]) = scale_and_roll_body
}

compiled_for_each_isa! {
    fn center(step: &RmsPropStep, parameter: &mut [f32], gradient: &[f32], square: &mut [f32], mean: &mut [f32]) = center_body
}

compiled_for_each_isa! {
    fn center_and_roll(
        step: &RmsPropStep,
        parameter: &mut [f32],
        gradient: &[f32],
        square: &mut [f32],
        mean: &mut [f32],
        buffer: &mut [f32],
    ) = center_and_roll_body
}

compiled_for_each_isa! {
    fn slow(step: &AdaGradStep, parameter: &mut [f32], gradient: &[f32], sum: &mut [f32]) = slow_body
}
