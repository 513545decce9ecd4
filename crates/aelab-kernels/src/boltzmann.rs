//! Learning of restricted Boltzmann machines, without a tape: states from means, sums of free energies, and the update of a weight
//! from its statistics in one pass.

use burn::backend::Flex;
use burn::backend::Shape;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use crate::isa::compiled_for_each_isa;
use crate::math::{multiply_add, softplus};
use crate::parallel::Parts;
use crate::primitive::{contiguous, is_ours, numbers, numbers_mut, primitive, shape_of, tensor_of};
use crate::product::{Matrix, for_sum_of_products};
use crate::vector::add_scaled;

/// What multiplies statistics, a velocity and a weight in one update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoltzmannUpdate {
    /// Step along the statistics.
    pub learning_rate: f32,
    /// What is left of the last step.
    pub momentum: f32,
    /// Strength of the pull towards 0.
    pub weight_cost: f32,
}

fn is_untaped<const D: usize>(tensor: &Tensor<D>) -> bool {
    is_ours(tensor) && !tensor.device().is_autodiff()
}

/// The tensor behind one that is on `flex`, in single precision and without a tape.
fn untaped<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    is_untaped(tensor).then(|| contiguous(primitive(tensor.clone())))
}

#[inline(always)]
fn states_body<const FMA: bool>(mean: &[f32], uniform: &mut [f32]) {
    mean.iter().zip(uniform).for_each(|(mean, uniform)| *uniform = if *mean > *uniform { 1.0 } else { 0.0 });
}

compiled_for_each_isa! {
    fn states(mean: &[f32], uniform: &mut [f32]) = states_body
}

/// 1 where `mean` is above `uniform`, 0 elsewhere, of the same shape, in the place of `uniform`; that as it was, in `Err`, where the
/// tensors are not on `flex` without a tape.
#[expect(clippy::result_large_err, reason = "tensors come back as they were: there is nothing to box")]
pub fn bernoulli_states(mean: &Tensor<2>, uniform: Tensor<2>) -> Result<Tensor<2>, Tensor<2>> {
    let Some(mean) = untaped(mean).filter(|_| is_untaped(&uniform)) else { return Err(uniform) };
    let mut uniform = contiguous(primitive(uniform));
    assert_eq!(uniform.layout().num_elements(), mean.layout().num_elements(), "there is a draw for each mean");
    states(numbers(&mean), numbers_mut(&mut uniform));
    Ok(Tensor::from_primitive::<Flex>(uniform))
}

const LANES: usize = 16;

#[inline(always)]
fn softplus_sum_body<const FMA: bool>(input: &[f32], bias: &[f32], sum: &mut f32) {
    let mut sums = [0.0_f32; LANES];
    let (inputs, biases) = (input.chunks_exact(LANES), bias.chunks_exact(LANES));
    let rest = inputs.remainder().iter().zip(biases.remainder());
    let rest: f32 = rest.map(|(input, bias)| softplus::<FMA>(input + bias)).sum();
    for (input, bias) in inputs.zip(biases) {
        for lane in 0..LANES {
            sums[lane] += softplus::<FMA>(input[lane] + bias[lane]);
        }
    }
    *sum = sums.iter().sum::<f32>() + rest;
}

compiled_for_each_isa! {
    fn softplus_sum(input: &[f32], bias: &[f32], sum: &mut f32) = softplus_sum_body
}

/// The sum of `log(1 + exp(input + bias))` over each row, `[row]`; `None` where the tensors are not on `flex` without a tape.
/// `input`: `[row, unit]`; `bias`: `[unit]`.
pub fn softplus_sums(input: &Tensor<2>, bias: &Tensor<1>) -> Option<Tensor<1>> {
    let (input, bias) = (untaped(input)?, untaped(bias)?);
    let [num, width] = shape_of(&input);
    assert_eq!(numbers(&bias).len(), width, "there is a bias for each unit");
    let mut sums = vec![0.0; num];
    for (input, sum) in numbers(&input).chunks_exact(width.max(1)).zip(&mut sums) {
        softplus_sum(input, numbers(&bias), sum);
    }
    Some(Tensor::from_primitive::<Flex>(tensor_of(sums, Shape::new([num]))))
}

/// The mean row of `a` less the mean row of `b`, `[column]`; `None` where the tensors are not on `flex` without a tape.
pub fn difference_of_means(a: &Tensor<2>, b: &Tensor<2>) -> Option<Tensor<1>> {
    let (a, b) = (untaped(a)?, untaped(b)?);
    let width = a.layout().shape()[1];
    assert_eq!(b.layout().shape()[1], width, "both have the same columns");
    let mut difference = vec![0.0; width];
    for (tensor, sign) in [(&a, 1.0), (&b, -1.0)] {
        // Sums of their own, so that equal means leave exactly nothing.
        let mut sums = vec![0.0; width];
        numbers(tensor).chunks_exact(width.max(1)).for_each(|row| add_scaled(&mut sums, 1.0, row));
        add_scaled(&mut difference, sign / tensor.layout().shape()[0] as f32, &sums);
    }
    Some(Tensor::from_primitive::<Flex>(tensor_of(difference, Shape::new([width]))))
}

#[inline(always)]
fn update_body<const FMA: bool>(update: BoltzmannUpdate, gradient: &[f32], velocity: &mut [f32], weight: &mut [f32]) {
    let BoltzmannUpdate { learning_rate, momentum, weight_cost } = update;
    for ((gradient, velocity), weight) in gradient.iter().zip(velocity).zip(weight) {
        let decayed = multiply_add::<FMA>(-weight_cost, *weight, *gradient);
        *velocity = multiply_add::<FMA>(learning_rate, decayed, momentum * *velocity);
        *weight += *velocity;
    }
}

compiled_for_each_isa! {
    fn update_row(update: BoltzmannUpdate, gradient: &[f32], velocity: &mut [f32], weight: &mut [f32]) = update_body
}

/// `sign v^T h / B` as factors of a product.
fn expectation<'a>(v: &'a FlexTensor, h: &'a FlexTensor, sign: f32) -> (Matrix<'a>, Matrix<'a>, f32) {
    let [[num, visible], [others, hidden]] = [shape_of(v), shape_of(h)];
    assert_eq!(num, others, "each example has visible and hidden units");
    (Matrix::new(numbers(v), num, visible).transposed(), Matrix::new(numbers(h), num, hidden), sign / num as f32)
}

/// Weight and velocity after
///
/// ```text
/// velocity <- momentum velocity + learning_rate (v^T h / B - v'^T h' / B' - weight_cost weight);  weight <- weight + velocity
/// ```
///
/// in place where nothing else holds them; as they were, in `Err`, where the tensors are not on `flex` without a tape.
///
/// # Shapes
/// `weight`, `velocity`: `[visible, hidden]`; `data`, `model`: `v`, `[batch, visible]`, and `h`, `[batch, hidden]`.
#[expect(clippy::result_large_err, reason = "tensors come back as they were: there is nothing to box")]
pub fn boltzmann_update(
    update: BoltzmannUpdate,
    [weight, velocity]: [Tensor<2>; 2],
    data: [&Tensor<2>; 2],
    model: [&Tensor<2>; 2],
) -> Result<[Tensor<2>; 2], [Tensor<2>; 2]> {
    let ([Some(v), Some(h)], [Some(v_model), Some(h_model)]) = (data.map(untaped), model.map(untaped)) else {
        return Err([weight, velocity]);
    };
    if !(is_untaped(&weight) && is_untaped(&velocity)) {
        return Err([weight, velocity]);
    }
    let [mut weight, mut velocity] = [weight, velocity].map(|tensor| contiguous(primitive(tensor)));
    let [_, num_hidden] = shape_of(&weight);
    let (weights, velocities) = (Parts::new(numbers_mut(&mut weight)), Parts::new(numbers_mut(&mut velocity)));
    for_sum_of_products([expectation(&v, &h, 1.0), expectation(&v_model, &h_model, -1.0)], &|row, column, gradient| {
        let at = row * num_hidden + column..row * num_hidden + column + gradient.len();
        // SAFETY: every number of the product, and so of these two arrays of its shape, is passed once.
        let (velocity, weight) = unsafe { (velocities.part(at.clone()), weights.part(at)) };
        update_row(update, gradient, velocity, weight);
    });
    Ok([weight, velocity].map(Tensor::from_primitive::<Flex>))
}
