//! Adam's update in one pass over its four arrays.

use crate::isa::compiled_for_each_isa;
use crate::math::multiply_add;
use crate::parallel::for_pieces;
use crate::prefetch::prefetch_next_page;

/// The numbers of one step of Adam (Kingma & Ba 2015, Algorithm 1, in the order of operations at the end of its section 2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Decay of the first moment, and what is left to the gradient.
    pub beta_1: [f32; 2],
    /// Decay of the second moment, and what is left to the square of the gradient.
    pub beta_2: [f32; 2],
    /// What the first moment is multiplied with: the learning rate with both corrections of bias.
    pub step_size: f32,
    /// What is added to the root of the second moment, its correction of bias in it.
    pub epsilon: f32,
    /// Added to the gradient: `weight_decay * parameter`.
    pub weight_decay: f32,
    /// What the parameter is multiplied with first: 1 but for AdamW.
    pub keep: f32,
}

impl AdamStep {
    /// Step number `time`, from 1.
    ///
    /// In double precision: in single precision `1 - 0.999^time` is known to four digits only.
    pub fn new([beta_1, beta_2]: [f64; 2], epsilon: f64, learning_rate: f64, time: i32) -> Self {
        let root = (1.0 - beta_2.powi(time)).sqrt();
        let step_size = learning_rate * root / (1.0 - beta_1.powi(time));
        let [beta_1, beta_2] = [beta_1, beta_2].map(with_rest);
        Self { beta_1, beta_2, step_size: step_size as f32, epsilon: (epsilon * root) as f32, weight_decay: 0.0, keep: 1.0 }
    }
}

/// What a running mean keeps, and what is left to the next value: their sum is 1 before they are rounded.
pub fn with_rest(decay: f64) -> [f32; 2] {
    [decay, 1.0 - decay].map(|factor| factor as f32)
}

/// Numbers of a cache line.
const LINE: usize = 16;

#[inline(always)]
fn update_body<const FMA: bool>(step: &AdamStep, parameter: &mut [f32], gradient: &[f32], moment_1: &mut [f32], moment_2: &mut [f32]) {
    let (parameters, parameter) = parameter.as_chunks_mut::<LINE>();
    let (gradients, gradient) = gradient.as_chunks::<LINE>();
    let (moments_1, moment_1) = moment_1.as_chunks_mut::<LINE>();
    let (moments_2, moment_2) = moment_2.as_chunks_mut::<LINE>();
    for (((parameter, gradient), moment_1), moment_2) in parameters.iter_mut().zip(gradients).zip(moments_1).zip(moments_2) {
        [&parameter[0], &gradient[0], &moment_1[0], &moment_2[0]].into_iter().for_each(prefetch_next_page);
        update_line::<FMA>(step, parameter, gradient, moment_1, moment_2);
    }
    update_line::<FMA>(step, parameter, gradient, moment_1, moment_2);
}

#[inline(always)]
fn update_line<const FMA: bool>(step: &AdamStep, parameter: &mut [f32], gradient: &[f32], moment_1: &mut [f32], moment_2: &mut [f32]) {
    let ([beta_1, rest_1], [beta_2, rest_2]) = (step.beta_1, step.beta_2);
    let rows = parameter.iter_mut().zip(gradient).zip(moment_1).zip(moment_2);
    rows.for_each(|(((parameter, gradient), moment_1), moment_2)| {
        let gradient = multiply_add::<FMA>(step.weight_decay, *parameter, *gradient);
        *moment_1 = multiply_add::<FMA>(gradient, rest_1, beta_1 * *moment_1);
        *moment_2 = multiply_add::<FMA>(gradient * gradient, rest_2, beta_2 * *moment_2);
        let denominator = moment_2.sqrt() + step.epsilon;
        *parameter = step.keep * *parameter - step.step_size * *moment_1 / denominator;
    });
}

/// Updates parameters and moments in place. All slices have the same length.
pub fn adam(step: &AdamStep, parameter: &mut [f32], gradient: &mut [f32], moment_1: &mut [f32], moment_2: &mut [f32]) {
    for_pieces([parameter, gradient, moment_1, moment_2], |[parameter, gradient, moment_1, moment_2]| {
        update(step, parameter, gradient, moment_1, moment_2);
    });
}

compiled_for_each_isa! {
    fn update(step: &AdamStep, parameter: &mut [f32], gradient: &[f32], moment_1: &mut [f32], moment_2: &mut [f32]) = update_body
}
