//! Gaussians with diagonal covariance: samples, divergence from the prior and densities, each in one pass.

use burn::backend::Shape;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use crate::fused::{Cost, Fused, fused};
use crate::isa::compiled_for_each_isa;
use crate::math::exp;
use crate::primitive::{is_ours, mean, numbers, tensor_of};

const LOG_TWO_PI: f32 = 1.837_877_1;

/// Where every kernel of this file can work: on tensors of `flex`, all of one shape, with something in them.
fn ours<const N: usize>(tensors: [&Tensor<2>; N]) -> bool {
    let dims = tensors[0].dims();
    !dims.contains(&0) && tensors.iter().all(|tensor| is_ours(tensor) && tensor.dims() == dims)
}

/// `mean + exp(log_var / 2) * noise`; all `[batch, latent]`.
pub fn gaussian_sample(mean: Tensor<2>, log_var: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    if ours([&mean, &log_var, &noise]) { fused([&mean, &log_var, &noise], Sample) } else { mean + (log_var * 0.5).exp() * noise }
}

/// `KL(N(mean, diag(exp(log_var))) || N(0, I))` in nats, averaged over the batch: `[1]`.
///
/// ```text
/// 1/B sum_b sum_j [ mean^2 + exp(log_var) - 1 - log_var ] / 2
/// ```
///
/// # Shapes
/// `mean` and `log_var`: `[batch, latent]`.
pub fn kl_to_standard_normal(mean: Tensor<2>, log_var: Tensor<2>) -> Tensor<1> {
    if ours([&mean, &log_var]) {
        return fused([&mean, &log_var], Divergence);
    }
    ((mean.square() + log_var.clone().exp() - log_var - 1.0) * 0.5).sum_dim(1).mean()
}

/// `log N(z; mean, diag(exp(log_var)))` in nats, `[batch, 1]`; all `[batch, latent]`.
pub fn gaussian_log_density(z: Tensor<2>, mean: Tensor<2>, log_var: Tensor<2>) -> Tensor<2> {
    if ours([&z, &mean, &log_var]) {
        return fused([&z, &mean, &log_var], Density);
    }
    let squares = (z - mean).square() * (log_var.clone() * -1.0).exp();
    ((squares + log_var) * -0.5 - 0.5 * (2.0 * std::f64::consts::PI).ln()).sum_dim(1)
}

/// `log N(z; 0, I)` in nats, `[batch, 1]`, of codes `[batch, latent]`.
pub fn standard_normal_log_density(z: Tensor<2>) -> Tensor<2> {
    if ours([&z]) {
        return fused([&z], StandardDensity);
    }
    ((z.square() + (2.0 * std::f64::consts::PI).ln()) * -0.5).sum_dim(1)
}

#[derive(Debug)]
struct Sample;

#[inline(always)]
fn sample_body<const FMA: bool>(z: &mut [f32], deviation: &mut [f32], mean: &[f32], log_var: &[f32], noise: &[f32]) {
    let rows = z.iter_mut().zip(deviation).zip(mean).zip(log_var).zip(noise);
    rows.for_each(|((((z, deviation), mean), log_var), noise)| {
        *deviation = exp::<FMA>(0.5 * log_var);
        *z = mean + *deviation * noise;
    });
}

compiled_for_each_isa! {
    fn sample(z: &mut [f32], deviation: &mut [f32], mean: &[f32], log_var: &[f32], noise: &[f32]) = sample_body
}

impl Fused<3> for Sample {
    /// The deviation and the noise.
    type State = [FlexTensor; 2];

    fn forward(&self, [mean, log_var, noise]: [FlexTensor; 3], _needs: [bool; 3]) -> (FlexTensor, [FlexTensor; 2]) {
        let shape = mean.layout().shape().clone();
        let len = shape.num_elements();
        let (mut z, mut deviation) = (vec![0.0; len], vec![0.0; len]);
        sample(&mut z, &mut deviation, numbers(&mean), numbers(&log_var), numbers(&noise));
        let deviation = tensor_of(deviation, shape.clone());
        (tensor_of(z, shape), [deviation, noise])
    }

    fn backward(&self, gradient: FlexTensor, [deviation, noise]: [FlexTensor; 2], needs: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let shape = gradient.layout().shape().clone();
        let slopes = numbers(&gradient).iter().zip(numbers(&deviation));
        let of_log_var = needs[1].then(|| {
            slopes.clone().zip(numbers(&noise)).map(|((gradient, deviation), noise)| 0.5 * gradient * deviation * noise).collect()
        });
        let of_noise = needs[2].then(|| slopes.map(|(gradient, deviation)| gradient * deviation).collect());
        let tensor = |values: Vec<f32>| tensor_of(values, shape.clone());
        [needs[0].then_some(gradient.clone()), of_log_var.map(tensor), of_noise.map(tensor)]
    }
}

#[derive(Debug)]
struct Divergence;

#[inline(always)]
fn divergence_body<const FMA: bool>(
    mean: &[f32],
    log_var: &[f32],
    scale: f32,
    of_mean: &mut [f32],
    of_log_var: &mut [f32],
    costs: &mut [f32],
) {
    let width = mean.len() / costs.len();
    for (row, cost) in costs.iter_mut().enumerate() {
        let range = row * width..(row + 1) * width;
        let (mean, log_var) = (&mean[range.clone()], &log_var[range.clone()]);
        let (of_mean, of_log_var) = (&mut of_mean[range.clone()], &mut of_log_var[range]);
        for (index, of_log_var) in of_log_var.iter_mut().enumerate() {
            *of_log_var = exp::<FMA>(log_var[index]) - 1.0;
        }
        let terms = mean.iter().zip(log_var).zip(&*of_log_var);
        *cost = 0.5 * terms.map(|((mean, log_var), excess)| mean * mean + (excess - log_var)).sum::<f32>();
        of_mean.iter_mut().zip(mean).for_each(|(slope, mean)| *slope = scale * mean);
        of_log_var.iter_mut().for_each(|slope| *slope *= 0.5 * scale);
    }
}

compiled_for_each_isa! {
    fn divergence(mean: &[f32], log_var: &[f32], scale: f32, of_mean: &mut [f32], of_log_var: &mut [f32], costs: &mut [f32]) = divergence_body
}

/// The gradients that are needed, in order.
fn needed<const N: usize>(gradients: [Vec<f32>; N], needs: [bool; N], shape: &Shape) -> Vec<FlexTensor> {
    gradients.into_iter().zip(needs).filter(|(_, needed)| *needed).map(|(values, _)| tensor_of(values, shape.clone())).collect()
}

impl Cost<2> for Divergence {
    fn forward(&self, [means, log_var]: [FlexTensor; 2], needs: [bool; 2]) -> (FlexTensor, Vec<FlexTensor>) {
        let shape = means.layout().shape().clone();
        let (batch, len) = (shape[0], shape.num_elements());
        let (mut of_mean, mut of_log_var, mut costs) = (vec![0.0; len], vec![0.0; len], vec![0.0; batch]);
        divergence(numbers(&means), numbers(&log_var), 1.0 / batch as f32, &mut of_mean, &mut of_log_var, &mut costs);
        (mean(&costs), needed([of_mean, of_log_var], needs, &shape))
    }
}

#[derive(Debug)]
struct Density;

#[inline(always)]
fn density_body<const FMA: bool>(z: &[f32], mean: &[f32], log_var: &[f32], of_z: &mut [f32], of_log_var: &mut [f32], logs: &mut [f32]) {
    let width = z.len() / logs.len();
    for (row, log) in logs.iter_mut().enumerate() {
        let range = row * width..(row + 1) * width;
        let (z, mean, log_var) = (&z[range.clone()], &mean[range.clone()], &log_var[range.clone()]);
        let (of_z, of_log_var) = (&mut of_z[range.clone()], &mut of_log_var[range]);
        for index in 0..width {
            let apart = z[index] - mean[index];
            let scaled = apart * exp::<FMA>(-log_var[index]);
            of_z[index] = -scaled;
            of_log_var[index] = 0.5 * (apart * scaled - 1.0);
        }
        let terms = of_log_var.iter().zip(log_var).map(|(slope, log_var)| (slope + 0.5) + 0.5 * (log_var + LOG_TWO_PI));
        *log = -terms.sum::<f32>();
    }
}

compiled_for_each_isa! {
    fn density(z: &[f32], mean: &[f32], log_var: &[f32], of_z: &mut [f32], of_log_var: &mut [f32], logs: &mut [f32]) = density_body
}

impl Cost<3> for Density {
    fn forward(&self, [z, mean, log_var]: [FlexTensor; 3], needs: [bool; 3]) -> (FlexTensor, Vec<FlexTensor>) {
        let shape = z.layout().shape().clone();
        let (batch, len) = (shape[0], shape.num_elements());
        let (mut of_z, mut of_log_var, mut logs) = (vec![0.0; len], vec![0.0; len], vec![0.0; batch]);
        density(numbers(&z), numbers(&mean), numbers(&log_var), &mut of_z, &mut of_log_var, &mut logs);
        let of_mean = if needs[1] { of_z.iter().map(|slope| -slope).collect() } else { Vec::new() };
        (tensor_of(logs, Shape::new([batch, 1])), needed([of_z, of_mean, of_log_var], needs, &shape))
    }
}

#[derive(Debug)]
struct StandardDensity;

impl Cost<1> for StandardDensity {
    fn forward(&self, [z]: [FlexTensor; 1], needs: [bool; 1]) -> (FlexTensor, Vec<FlexTensor>) {
        let shape = z.layout().shape().clone();
        let (batch, width) = (shape[0], shape[1]);
        let rows = numbers(&z).chunks_exact(width);
        let logs = rows.map(|row| -0.5 * row.iter().map(|z| z * z + LOG_TWO_PI).sum::<f32>()).collect();
        let saved = if needs[0] { vec![tensor_of(numbers(&z).iter().map(|z| -z).collect(), shape)] } else { Vec::new() };
        (tensor_of(logs, Shape::new([batch, 1])), saved)
    }
}
