//! The continuous Bernoulli likelihood, from logits: a density on [0, 1].
//!
//! Loaiza-Ganem & Cunningham 2019, "The continuous Bernoulli: fixing a pervasive error in variational
//! autoencoders". <https://arxiv.org/abs/1907.06845>
//!
//! With the logit `l` of their `lambda` the density is that of an exponential family, the uniform
//! distribution tilted by `exp(l x)`:
//!
//! ```text
//! p(x) = exp(l x) / int_0^1 exp(l t) dt = exp(l x) l / (exp(l) - 1)         0 <= x <= 1
//! -log p(x) = l (1/2 - x) + s(l/2)         s(h) = log(sinh(h) / h), even, s(0) = 0
//! E[x] = 1/2 + s'(l/2) / 2 = 1 / (1 - exp(-l)) - 1/l
//! ```
//!
//! Both closed forms are 0/0 at `l = 0`. For `|l| < 1` the Taylor series of `s` stands in for them, to the power
//! `h^16`: what it leaves out there is below 1e-15, so the two meet without a step in value or slope in double precision.

use aelab_kernels::{Loss, reconstruction_loss, reconstruction_loss_of_each};
use burn::tensor::{Bool, Tensor};

use crate::reduce::{per_example, sum_features};

/// Where the series ends and the closed form begins, in `|l|`.
const JOINT: f64 = 1.0;

/// Taylor coefficients of `s(h) = log(sinh(h) / h)`: of `h^2`, `h^4`, ..., `h^16`.
const SERIES: [f64; 8] = [
    1.0 / 6.0,
    -1.0 / 180.0,
    1.0 / 2835.0,
    -1.0 / 37_800.0,
    1.0 / 467_775.0,
    -691.0 / 3_831_077_250.0,
    2.0 / 127_702_575.0,
    -3617.0 / 2_605_132_530_000.0,
];

/// Negative log-likelihood of independent continuous Bernoulli variables, in nats per example.
///
/// ```text
/// 1/B sum_b sum_i [ l (1/2 - x) + log(sinh(l/2) / (l/2)) ]      with logit l = l_bi, x = x_bi in [0, 1]
/// ```
///
/// It is a density's: negative where that exceeds 1, and without a lower bound for `x` at 0 or 1.
///
/// # Shapes
/// `x`, `logits` and `mask`: `[batch, feature]`; the result: `[1]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let x = Tensor::from_data([[0.0, 0.7]], &device);
/// let uniform = Tensor::from_data([[0.0, 0.0]], &device);
/// let nll = aelab_losses::continuous_bernoulli_nll_from_logits(x, uniform, None);
/// assert_eq!(nll.into_scalar::<f32>(), 0.0);
/// ```
pub fn continuous_bernoulli_nll_from_logits(x: Tensor<2>, logits: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<1> {
    reconstruction_loss(Loss::ContinuousBernoulliFromLogits, &x, &logits, mask).unwrap_or_else(|| per_example(per_feature(x, logits), mask))
}

/// What [`continuous_bernoulli_nll_from_logits`] averages: nats of each example, `[batch, 1]`.
pub fn continuous_bernoulli_nll_of_each(x: Tensor<2>, logits: Tensor<2>, mask: Option<&Tensor<2>>) -> Tensor<2> {
    reconstruction_loss_of_each(Loss::ContinuousBernoulliFromLogits, &x, &logits, mask)
        .unwrap_or_else(|| sum_features(per_feature(x, logits), mask))
}

fn per_feature(x: Tensor<2>, logits: Tensor<2>) -> Tensor<2> {
    let Branches { near, small, magnitude } = Branches::of(&logits);
    let square = (small.clone() * 0.5).square();
    // s(l/2) - |l|/2: what is linear in the logit is kept apart, where it cancels exactly.
    let series = horner(&SERIES, &square) * square - small.abs() * 0.5;
    let closed = ((magnitude.clone() * -1.0).exp() * -1.0).log1p() - magnitude.log();
    let linear = logits.clone() * (x * -1.0 + 0.5) + logits.abs() * 0.5;
    linear + closed.mask_where(near, series)
}

/// The mean of continuous Bernoulli variables, in (0, 1), from their logits; both `[batch, feature]`.
///
/// It is not the sigmoid of the logit: it is nearer to 1/2.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let mean = aelab_losses::continuous_bernoulli_mean(Tensor::from_data([[0.0]], &Device::flex()));
/// assert_eq!(mean.into_scalar::<f32>(), 0.5);
/// ```
pub fn continuous_bernoulli_mean(logits: Tensor<2>) -> Tensor<2> {
    let Branches { near, small, magnitude } = Branches::of(&logits);
    let half = small * 0.5;
    // s'(h) / 2 = sum_n n c_n h^(2n - 1)
    let slopes: Vec<f64> = SERIES.iter().enumerate().map(|(index, coefficient)| (index + 1) as f64 * coefficient).collect();
    let series = horner(&slopes, &half.clone().square()) * half + 0.5;
    // For a positive logit; the mean of a negative one is its reflection.
    let positive = ((magnitude.clone() * -1.0).exp() * -1.0 + 1.0).recip() - magnitude.recip();
    let closed = (positive - 0.5) * logits.sign().detach() + 0.5;
    closed.mask_where(near, series)
}

/// What each of the two forms sees: its own logits, and a harmless number in place of the other's, so that no
/// gradient is 0 times infinity.
struct Branches {
    /// Where the series counts.
    near: Tensor<2, Bool>,
    /// The logit there, 0 elsewhere.
    small: Tensor<2>,
    /// The magnitude of the logit elsewhere, 1 there.
    magnitude: Tensor<2>,
}

impl Branches {
    fn of(logits: &Tensor<2>) -> Self {
        let near = logits.clone().abs().lower_elem(JOINT);
        Self {
            small: logits.clone().mask_fill(near.clone().bool_not(), 0.0),
            magnitude: logits.clone().mask_fill(near.clone(), 1.0).abs(),
            near,
        }
    }
}

/// `c[0] + c[1] u + c[2] u^2 + ...`
fn horner(coefficients: &[f64], u: &Tensor<2>) -> Tensor<2> {
    coefficients.iter().rev().fold(u.zeros_like(), |sum, &coefficient| sum * u.clone() + coefficient)
}
