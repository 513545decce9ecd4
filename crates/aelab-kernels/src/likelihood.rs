//! Reconstruction losses of one example, with their gradients in one pass.

use crate::isa::compiled_for_each_isa;
use crate::math::{exp, log, log_1p, sigmoid};

/// What a reconstruction is measured by, per feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// `(x - r)^2`.
    SquaredError,
    /// `(x - 1 / (1 + exp(-l)))^2` of the logit `l`.
    SquaredErrorOfSigmoid,
    /// `max(l, 0) - l x + log(1 + exp(-|l|))` of the logit `l`.
    BinaryCrossEntropyFromLogits,
    /// `l (1/2 - x) + log(sinh(l/2) / (l/2))` of the logit `l` (Loaiza-Ganem & Cunningham 2019).
    ContinuousBernoulliFromLogits,
    /// `x (log sum_j exp(l_j) - l)` of the logit `l` among the logits of its example.
    MultinomialFromLogits,
}

/// Partial sums of a row, so that additions of neighbours need not wait for each other.
const LANES: usize = 32;

#[inline(always)]
fn total(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// The sum of `term` over features: its value, and in `gradient` its slope.
#[inline(always)]
fn sum_masked<const GRADIENT: bool, const MASKED: bool>(
    x: &[f32],
    r: &[f32],
    mask: &[f32],
    gradient: &mut [f32],
    term: impl Fn(f32, f32) -> (f32, f32),
) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let whole = x.len() / LANES * LANES;
    let weighted = |x: f32, r: f32, weight: f32| {
        let (value, slope) = term(x, r);
        if MASKED { (value * weight, slope * weight) } else { (value, slope) }
    };
    for start in (0..whole).step_by(LANES) {
        let (x, r) = (&x[start..start + LANES], &r[start..start + LANES]);
        let mask = if MASKED { &mask[start..start + LANES] } else { x };
        if GRADIENT {
            let gradient = &mut gradient[start..start + LANES];
            for lane in 0..LANES {
                let (value, slope) = weighted(x[lane], r[lane], mask[lane]);
                sums[lane] += value;
                gradient[lane] = slope;
            }
        } else {
            for lane in 0..LANES {
                sums[lane] += weighted(x[lane], r[lane], mask[lane]).0;
            }
        }
    }
    // What is left is worked on as if it filled the lanes.
    let num_left = x.len() - whole;
    if num_left > 0 {
        let mut last = [[0.0_f32; LANES]; 3];
        for (last, values) in last.iter_mut().zip([x, r, if MASKED { mask } else { x }]) {
            last[..num_left].copy_from_slice(&values[whole..]);
        }
        let (mut values, mut slopes) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        for lane in 0..LANES {
            (values[lane], slopes[lane]) = weighted(last[0][lane], last[1][lane], last[2][lane]);
        }
        sums.iter_mut().zip(&values[..num_left]).for_each(|(sum, value)| *sum += value);
        if GRADIENT {
            gradient[whole..].copy_from_slice(&slopes[..num_left]);
        }
    }
    total(sums)
}

#[inline(always)]
fn sum_over<const GRADIENT: bool>(x: &[f32], r: &[f32], mask: &[f32], gradient: &mut [f32], term: impl Fn(f32, f32) -> (f32, f32)) -> f32 {
    if mask.is_empty() {
        sum_masked::<GRADIENT, false>(x, r, mask, gradient, term)
    } else {
        sum_masked::<GRADIENT, true>(x, r, mask, gradient, term)
    }
}

/// Taylor coefficients of `log(sinh(h) / h)`, of `h^2`, `h^4`, ..., for `|h| <= 1/2`.
const SERIES: [f32; 6] = [1.0 / 6.0, -1.0 / 180.0, 1.0 / 2835.0, -1.0 / 37_800.0, 1.0 / 467_775.0, -1.803_697_3e-7];

/// `l (1/2 - x) + log(sinh(l/2) / (l/2))` and the mean of the distribution.
#[inline(always)]
fn continuous_bernoulli<const FMA: bool>(x: f32, l: f32) -> (f32, f32) {
    let magnitude = l.abs();
    let near = magnitude < 1.0;
    let square = 0.25 * l * l;
    let (mut series, mut slope) = (0.0, 0.0);
    let mut degree = 6.0;
    for coefficient in SERIES.iter().rev() {
        series = series * square + coefficient;
        slope = slope * square + degree * coefficient;
        degree -= 1.0;
    }
    // The logit of the other branch is replaced by a harmless one.
    let far = if near { 1.0 } else { magnitude };
    let rest = 1.0 - exp::<FMA>(-far);
    let positive = 1.0 / rest - 1.0 / far;
    let closed_mean = if l < 0.0 { 1.0 - positive } else { positive };
    // What is linear in the logit is kept apart, where it cancels exactly.
    let value = if near { series * square - 0.5 * magnitude } else { log::<FMA>(rest / far) };
    let mean = if near { slope * 0.5 * l + 0.5 } else { closed_mean };
    (l * (0.5 - x) + 0.5 * magnitude + value, mean)
}

#[inline(always)]
fn multinomial<const FMA: bool, const GRADIENT: bool>(x: &[f32], l: &[f32], mask: &[f32], scale: f32, gradient: &mut [f32]) -> f32 {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let whole = l.len() / LANES * LANES;
    for part in l[..whole].chunks_exact(LANES) {
        for lane in 0..LANES {
            largest[lane] = if part[lane] > largest[lane] { part[lane] } else { largest[lane] };
        }
    }
    let largest = largest.iter().chain(&l[whole..]).fold(f32::NEG_INFINITY, |largest, l| if *l > largest { *l } else { largest });
    let one = sum_over::<false>(l, l, &[], &mut [], |l, _| (exp::<FMA>(l - largest), 0.0));
    let counts = sum_over::<false>(x, l, mask, &mut [], |x, _| (x, 0.0));
    let log_sum = f64::from(one).ln() as f32;
    if GRADIENT {
        let (share, subtract) = (scale * counts / one, scale);
        if mask.is_empty() {
            let rows = gradient.iter_mut().zip(x).zip(l);
            rows.for_each(|((gradient, x), l)| *gradient = share * exp::<FMA>(l - largest) - subtract * x);
        } else {
            let rows = gradient.iter_mut().zip(x).zip(l).zip(mask);
            rows.for_each(|(((gradient, x), l), mask)| *gradient = share * exp::<FMA>(l - largest) - subtract * x * mask);
        }
    }
    sum_over::<false>(x, l, mask, &mut [], |x, l| (x * (log_sum - (l - largest)), 0.0))
}

#[inline(always)]
fn dispatch<const FMA: bool, const GRADIENT: bool>(
    loss: Loss,
    x: &[f32],
    r: &[f32],
    mask: &[f32],
    scale: f32,
    gradient: &mut [f32],
) -> f32 {
    match loss {
        Loss::SquaredError => sum_over::<GRADIENT>(x, r, mask, gradient, |x, r| {
            let apart = r - x;
            (apart * apart, 2.0 * scale * apart)
        }),
        Loss::SquaredErrorOfSigmoid => sum_over::<GRADIENT>(x, r, mask, gradient, |x, l| {
            let r = sigmoid::<FMA>(l);
            let apart = r - x;
            (apart * apart, 2.0 * scale * apart * (r * (1.0 - r)))
        }),
        Loss::BinaryCrossEntropyFromLogits => sum_over::<GRADIENT>(x, r, mask, gradient, |x, l| {
            let e = exp::<FMA>(-l.abs());
            let positive = if l < 0.0 { 0.0 } else { l };
            let value = positive - l * x + log_1p::<FMA>(e);
            let larger = 1.0 / (1.0 + e);
            let probability = if l < 0.0 { e * larger } else { larger };
            (value, scale * (probability - x))
        }),
        Loss::ContinuousBernoulliFromLogits => sum_over::<GRADIENT>(x, r, mask, gradient, |x, l| {
            let (value, mean) = continuous_bernoulli::<FMA>(x, l);
            (value, scale * (mean - x))
        }),
        Loss::MultinomialFromLogits => multinomial::<FMA, GRADIENT>(x, r, mask, scale, gradient),
    }
}

#[inline(always)]
fn value_body<const FMA: bool>(loss: Loss, x: &[f32], r: &[f32], mask: &[f32]) -> f32 {
    dispatch::<FMA, false>(loss, x, r, mask, 0.0, &mut [])
}

#[inline(always)]
fn value_and_gradient_body<const FMA: bool>(loss: Loss, x: &[f32], r: &[f32], mask: &[f32], scale: f32, gradient: &mut [f32]) -> f32 {
    dispatch::<FMA, true>(loss, x, r, mask, scale, gradient)
}

compiled_for_each_isa! {
    /// The sum over the features of one example, each times its number in `mask` unless that is empty.
    pub(crate) fn value(loss: Loss, x: &[f32], r: &[f32], mask: &[f32]) -> f32 = value_body
}

compiled_for_each_isa! {
    /// The same, and `scale` times its gradient by the reconstruction.
    pub(crate) fn value_and_gradient(
        loss: Loss, x: &[f32], r: &[f32], mask: &[f32], scale: f32, gradient: &mut [f32],
    ) -> f32 = value_and_gradient_body
}

/// `scale` times the gradient by the example, which is seldom asked for: the target of a loss mostly is data.
pub(crate) fn gradient_by_x(loss: Loss, x: &[f32], r: &[f32], mask: &[f32], scale: f32, gradient: &mut [f32]) {
    let log_sum = || {
        let largest = r.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        largest + r.iter().map(|r| (r - largest).exp()).sum::<f32>().ln()
    };
    let log_sum = if loss == Loss::MultinomialFromLogits { log_sum() } else { 0.0 };
    for (index, gradient) in gradient.iter_mut().enumerate() {
        let (x, r) = (x[index], r[index]);
        let slope = match loss {
            Loss::SquaredError => 2.0 * (x - r),
            Loss::SquaredErrorOfSigmoid => 2.0 * (x - sigmoid::<false>(r)),
            Loss::BinaryCrossEntropyFromLogits | Loss::ContinuousBernoulliFromLogits => -r,
            Loss::MultinomialFromLogits => log_sum - r,
        };
        *gradient = scale * slope * mask.get(index).copied().unwrap_or(1.0);
    }
}
