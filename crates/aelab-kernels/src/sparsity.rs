//! Penalties on the activations of a code.

use burn::backend::Shape;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use crate::fused::{Cost, Fused, fused};
use crate::isa::compiled_for_each_isa;
use crate::primitive::{is_ours, mean, numbers, tensor_of};
use crate::vector::add;

/// `1/B sum_b sum_j |z_bj|`: `[batch, code]` to `[1]`. Its slope at 0 is 0.
pub fn l1_norm(z: Tensor<2>) -> Tensor<1> {
    if is_ours(&z) && !z.dims().contains(&0) { fused([&z], L1Norm) } else { z.abs().sum_dim(1).mean() }
}

/// The mean of each unit over the batch: `[batch, unit]` to `[1, unit]`.
pub fn mean_of_units(z: Tensor<2>) -> Tensor<2> {
    if is_ours(&z) && !z.dims().contains(&0) { fused([&z], MeanOfUnits) } else { z.mean_dim(0) }
}

/// `sum_j rho log(rho / rho_hat_j) + (1 - rho) log((1 - rho) / (1 - rho_hat_j))` of averages `[1, unit]`: `[1]`. Averages below
/// 1e-30 and above `1 - 1e-7` count as these and have no slope. `None` where the tensor is not on `flex`.
pub fn kl_of_bernoulli(rho: f64, rho_hat: &Tensor<2>) -> Option<Tensor<1>> {
    (is_ours(rho_hat) && rho_hat.dims()[0] == 1).then(|| fused([rho_hat], BernoulliDivergence { rho }))
}

#[derive(Debug)]
struct L1Norm;

#[inline(always)]
fn magnitudes_body<const FMA: bool>(row: &[f32]) -> f32 {
    let parts = row.chunks_exact(32);
    let rest: f32 = parts.remainder().iter().map(|value| value.abs()).sum();
    let mut sums = [0.0_f32; 32];
    parts.for_each(|part| sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value.abs()));
    sums.iter().sum::<f32>() + rest
}

compiled_for_each_isa! {
    fn magnitudes(row: &[f32]) -> f32 = magnitudes_body
}

impl Cost<1> for L1Norm {
    fn forward(&self, [z]: [FlexTensor; 1], needs: [bool; 1]) -> (FlexTensor, Vec<FlexTensor>) {
        let shape = z.layout().shape().clone();
        let (batch, width) = (shape[0], shape[1]);
        let costs: Vec<f32> = numbers(&z).chunks_exact(width).map(magnitudes).collect();
        let slope = 1.0 / batch as f32;
        let sign = |z: &f32| {
            if *z > 0.0 {
                slope
            } else if *z < 0.0 {
                -slope
            } else {
                0.0
            }
        };
        let saved = if needs[0] { vec![tensor_of(numbers(&z).iter().map(sign).collect(), shape)] } else { Vec::new() };
        (mean(&costs), saved)
    }
}

#[derive(Debug)]
struct MeanOfUnits;

impl Fused<1> for MeanOfUnits {
    /// Rows of the batch.
    type State = usize;

    fn forward(&self, [z]: [FlexTensor; 1], _needs: [bool; 1]) -> (FlexTensor, usize) {
        let shape = z.layout().shape();
        let (batch, width) = (shape[0], shape[1]);
        let mut sums = vec![0.0; width];
        // Sums of few rows first, so that rounding does not grow with the batch.
        for block in numbers(&z).chunks(width * 32) {
            let mut part = vec![0.0; width];
            block.chunks_exact(width).for_each(|row| add(&mut part, row));
            add(&mut sums, &part);
        }
        let share = 1.0 / batch as f32;
        sums.iter_mut().for_each(|sum| *sum *= share);
        (tensor_of(sums, Shape::new([1, width])), batch)
    }

    fn backward(&self, gradient: FlexTensor, batch: usize, _needs: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let row: Vec<f32> = numbers(&gradient).iter().map(|gradient| gradient / batch as f32).collect();
        let shape = Shape::new([batch, row.len()]);
        [Some(tensor_of(row.repeat(batch), shape))]
    }
}

#[derive(Debug)]
struct BernoulliDivergence {
    rho: f64,
}

impl Cost<1> for BernoulliDivergence {
    fn forward(&self, [rho_hat]: [FlexTensor; 1], needs: [bool; 1]) -> (FlexTensor, Vec<FlexTensor>) {
        let rho = self.rho;
        let (mut cost, mut slopes) = (0.0, Vec::with_capacity(if needs[0] { numbers(&rho_hat).len() } else { 0 }));
        for &mean in numbers(&rho_hat) {
            let silent = 1.0 - mean;
            let (low, high) = (mean < 1e-30, silent < 1e-7);
            let (active, silent) = (f64::from(if low { 1e-30 } else { mean }), f64::from(if high { 1e-7 } else { silent }));
            cost += rho * (rho / active).ln() + (1.0 - rho) * ((1.0 - rho) / silent).ln();
            if needs[0] {
                let of_active = if low { 0.0 } else { -rho / active };
                let of_silent = if high { 0.0 } else { (1.0 - rho) / silent };
                slopes.push((of_active + of_silent) as f32);
            }
        }
        let saved = if needs[0] { vec![tensor_of(slopes, rho_hat.layout().shape().clone())] } else { Vec::new() };
        (tensor_of(vec![cost as f32], Shape::new([1])), saved)
    }
}
