//! Reconstruction losses with their gradients in one pass.

use crate::isa::compiled_for_each_isa;
use crate::math::{exp, log_1p};

/// What a reconstruction is measured by, per feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// `(x - r)^2`.
    SquaredError,
    /// `max(l, 0) - l x + log(1 + exp(-|l|))` of the logit `l`.
    BinaryCrossEntropyFromLogits,
}

/// Partial sums of a row, so that additions of neighbours need not wait for each other.
const LANES: usize = 32;

#[inline(always)]
fn sum_over<const GRADIENT: bool>(x: &[f32], r: &[f32], gradient: &mut [f32], term: impl Fn(f32, f32) -> (f32, f32)) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let whole = x.len() / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        let (x, r) = (&x[start..start + LANES], &r[start..start + LANES]);
        if GRADIENT {
            let gradient = &mut gradient[start..start + LANES];
            for lane in 0..LANES {
                let (value, slope) = term(x[lane], r[lane]);
                sums[lane] += value;
                gradient[lane] = slope;
            }
        } else {
            for lane in 0..LANES {
                sums[lane] += term(x[lane], r[lane]).0;
            }
        }
    }
    for index in whole..x.len() {
        let (value, slope) = term(x[index], r[index]);
        sums[index - whole] += value;
        if GRADIENT {
            gradient[index] = slope;
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[inline(always)]
fn dispatch<const FMA: bool, const GRADIENT: bool>(loss: Loss, x: &[f32], r: &[f32], scale: f32, gradient: &mut [f32]) -> f32 {
    match loss {
        Loss::SquaredError => sum_over::<GRADIENT>(x, r, gradient, |x, r| {
            let apart = r - x;
            (apart * apart, 2.0 * scale * apart)
        }),
        Loss::BinaryCrossEntropyFromLogits => sum_over::<GRADIENT>(x, r, gradient, |x, l| {
            let e = exp::<FMA>(-l.abs());
            let positive = if l < 0.0 { 0.0 } else { l };
            let value = positive - l * x + log_1p::<FMA>(e);
            let larger = 1.0 / (1.0 + e);
            let probability = if l < 0.0 { e * larger } else { larger };
            (value, scale * (probability - x))
        }),
    }
}

#[inline(always)]
fn value_body<const FMA: bool>(loss: Loss, x: &[f32], r: &[f32]) -> f32 {
    dispatch::<FMA, false>(loss, x, r, 0.0, &mut [])
}

#[inline(always)]
fn value_and_gradient_body<const FMA: bool>(loss: Loss, x: &[f32], r: &[f32], scale: f32, gradient: &mut [f32]) -> f32 {
    dispatch::<FMA, true>(loss, x, r, scale, gradient)
}

compiled_for_each_isa! {
    /// The sum over the features of one example.
    pub(crate) fn value(loss: Loss, x: &[f32], r: &[f32]) -> f32 = value_body
}

compiled_for_each_isa! {
    /// The sum over the features of one example, and `scale` times its gradient by the reconstruction.
    pub(crate) fn value_and_gradient(loss: Loss, x: &[f32], r: &[f32], scale: f32, gradient: &mut [f32]) -> f32 = value_and_gradient_body
}
