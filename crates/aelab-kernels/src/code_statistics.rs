//! What sparse codes and their reconstructions are watched by, counted in one pass.

use burn::tensor::Tensor;

use crate::isa::compiled_for_each_isa;
use crate::math::sigmoid;
use crate::primitive::{contiguous, is_ours, numbers, primitive, without_tape};

/// Of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodeStatistics {
    /// Units whose magnitude exceeds the threshold, per example.
    pub num_active: f64,
    /// The fraction of units that are so at no example.
    pub dead_fraction: f64,
    /// Over examples and units.
    pub mean_activation: f64,
    /// `sum |x - reconstruction|^2`.
    pub squared_error: f64,
    /// `sum |x - mean of the batch|^2`.
    pub squares_about_mean: f64,
}

/// The statistics of a code `z`, `[batch, code]`, where units further from 0 than `faint` are active, and of a reconstruction of
/// `x`, the sigmoid of `output` or that itself; both `[batch, feature]`. `None` where a tensor is not on `flex`.
pub fn code_statistics(z: &Tensor<2>, faint: f32, x: &Tensor<2>, output: &Tensor<2>, of_sigmoid: bool) -> Option<CodeStatistics> {
    if ![z, x, output].iter().all(|tensor| is_ours(tensor) && !tensor.dims().contains(&0)) || x.dims() != output.dims() {
        return None;
    }
    let ([batch, code_size], [_, width]) = (z.dims(), x.dims());
    let [z, x, output] = [z, x, output].map(|tensor| contiguous(primitive(without_tape(tensor))));
    let (mut ever, mut num_active, mut sum) = (vec![0_u32; code_size], 0_u64, 0.0);
    for z in numbers(&z).chunks_exact(code_size) {
        let (active, row) = count(z, faint, &mut ever);
        num_active += u64::from(active);
        sum += f64::from(row);
    }
    let num_dead = ever.iter().filter(|ever| **ever == 0).count();
    let (x, output) = (numbers(&x), numbers(&output));
    // Around the first example, which is near the mean: what is subtracted in the end is then small.
    let first = &x[..width];
    let (mut squared_error, mut sums, mut squares) = (0.0, vec![0.0_f64; width], 0.0);
    for (x, output) in x.chunks(32 * width).zip(output.chunks(32 * width)) {
        let mut part = vec![0.0_f32; width];
        for (x, output) in x.chunks_exact(width).zip(output.chunks_exact(width)) {
            let [error, square] = deviations(x, output, of_sigmoid, first, &mut part);
            squared_error += f64::from(error);
            squares += f64::from(square);
        }
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from(part));
    }
    Some(CodeStatistics {
        num_active: num_active as f64 / batch as f64,
        dead_fraction: num_dead as f64 / code_size as f64,
        mean_activation: sum / (batch * code_size) as f64,
        squared_error,
        squares_about_mean: (squares - sums.iter().map(|sum| sum * sum).sum::<f64>() / batch as f64).max(0.0),
    })
}

const LANES: usize = 16;

#[inline(always)]
fn count_body<const FMA: bool>(z: &[f32], faint: f32, ever: &mut [u32]) -> (u32, f32) {
    let (mut active, mut sums) = ([0_u32; LANES], [0.0_f32; LANES]);
    let whole = z.len() / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        let (z, ever) = (&z[start..start + LANES], &mut ever[start..start + LANES]);
        for lane in 0..LANES {
            let is_active = u32::from(z[lane].abs() > faint);
            active[lane] += is_active;
            ever[lane] |= is_active;
            sums[lane] += z[lane];
        }
    }
    for index in whole..z.len() {
        let is_active = u32::from(z[index].abs() > faint);
        active[0] += is_active;
        ever[index] |= is_active;
        sums[0] += z[index];
    }
    (active.iter().sum(), sums.iter().sum())
}

compiled_for_each_isa! {
    /// How many are active, marked in `ever`, and the sum.
    fn count(z: &[f32], faint: f32, ever: &mut [u32]) -> (u32, f32) = count_body
}

#[inline(always)]
fn deviations_of<const SIGMOID: bool, const FMA: bool>(x: &[f32], output: &[f32], first: &[f32], sums: &mut [f32]) -> [f32; 2] {
    let (mut errors, mut squares) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let mut add = |lane: usize, x: f32, output: f32, first: f32, sum: &mut f32| {
        let error = x - if SIGMOID { sigmoid::<FMA>(output) } else { output };
        let apart = x - first;
        errors[lane] += error * error;
        squares[lane] += apart * apart;
        *sum += apart;
    };
    let whole = x.len() / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        let (x, output) = (&x[start..start + LANES], &output[start..start + LANES]);
        let (first, sums) = (&first[start..start + LANES], &mut sums[start..start + LANES]);
        for lane in 0..LANES {
            add(lane, x[lane], output[lane], first[lane], &mut sums[lane]);
        }
    }
    for index in whole..x.len() {
        add(index - whole, x[index], output[index], first[index], &mut sums[index]);
    }
    [errors.iter().sum(), squares.iter().sum()]
}

#[inline(always)]
fn deviations_body<const FMA: bool>(x: &[f32], output: &[f32], of_sigmoid: bool, first: &[f32], sums: &mut [f32]) -> [f32; 2] {
    if of_sigmoid { deviations_of::<true, FMA>(x, output, first, sums) } else { deviations_of::<false, FMA>(x, output, first, sums) }
}

compiled_for_each_isa! {
    /// `|x - reconstruction|^2` and `|x - first|^2`; adds `x - first` to `sums`.
    fn deviations(x: &[f32], output: &[f32], of_sigmoid: bool, first: &[f32], sums: &mut [f32]) -> [f32; 2] = deviations_body
}
