//! The maximum mean discrepancy: how far two samples are from one distribution, by a kernel.
//!
//! Gretton, Borgwardt, Rasch, Schoelkopf & Smola 2012, "A Kernel Two-Sample Test", Eq. 3 and 5.
//! <https://jmlr.org/papers/v13/gretton12a.html>
//!
//! ```text
//! MMD^2(P, Q) = E k(x, x') + E k(y, y') - 2 E k(x, y)        x, x' ~ P and y, y' ~ Q, all independent
//! ```
//!
//! It is 0 exactly where `P = Q`, for the two kernels here.

use burn::tensor::{Bool, Tensor, TensorData};

/// A kernel of the squared distance `r^2` of two codes. With several squared lengths `c` it is the sum over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// `exp(-r^2 / c)`: Gaussian of variance `c / 2`.
    Rbf,
    /// `c / (c + r^2)`, inverse multiquadratic: heavy tails, so that codes far from the prior still feel it
    /// (Tolstikhin et al. 2018, Sec. 4).
    InverseMultiquadratic,
}

/// How the three expectations are estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MmdEstimator {
    /// Pairs of two different members only (the U-statistic): right on average, and negative now and then.
    /// In a sample of one there are no such pairs, and their mean is taken as 0.
    Unbiased,
    /// All pairs, each member with itself too (the V-statistic): never negative, and too large by an order of 1/n.
    Biased,
}

/// An estimate of the squared MMD of two samples.
///
/// The squared lengths are the caller's; `2 d` for codes of `d` dimensions is the mean squared distance
/// of two draws from a standard normal prior (the rule of Tolstikhin et al. 2018).
///
/// # Shapes
/// `x`: `[n, latent]`, `y`: `[m, latent]`; the result: `[1]`.
///
/// ```
/// use aelab_losses::{Kernel, MmdEstimator, mmd};
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let x = Tensor::from_data([[0.0, 1.0], [2.0, -1.0]], &device);
/// let same = mmd(x.clone(), x, Kernel::Rbf, &[4.0], MmdEstimator::Biased);
/// assert_eq!(same.into_scalar::<f32>(), 0.0);
/// ```
pub fn mmd(x: Tensor<2>, y: Tensor<2>, kernel: Kernel, squared_lengths: &[f64], estimator: MmdEstimator) -> Tensor<1> {
    let values = |a: &Tensor<2>, b: &Tensor<2>| -> Tensor<2> {
        let squares = squared_distances(a, b);
        let of_length = |&length: &f64| match kernel {
            Kernel::Rbf => (squares.clone() * (-1.0 / length)).exp(),
            Kernel::InverseMultiquadratic => (squares.clone() * (1.0 / length) + 1.0).recip(),
        };
        squared_lengths.iter().map(of_length).reduce(|sum, term| sum + term).unwrap_or_else(|| squares.zeros_like())
    };
    let within = |a: &Tensor<2>| {
        let num = a.dims()[0];
        let pairs = values(a, a);
        match estimator {
            MmdEstimator::Biased => pairs.mean(),
            MmdEstimator::Unbiased => {
                let itself: Vec<bool> = (0..num * num).map(|entry| entry % num == entry / num).collect();
                let itself: Tensor<2, Bool> = Tensor::from_data(TensorData::new(itself, [num, num]), &a.device());
                pairs.mask_fill(itself, 0.0).sum() * (1.0 / (num * (num - 1)).max(1) as f64)
            }
        }
    };
    within(&x) + within(&y) - values(&x, &y).mean() * 2.0
}

/// `|a_i - b_j|^2`, `[n, latent]` and `[m, latent]` to `[n, m]`.
fn squared_distances(a: &Tensor<2>, b: &Tensor<2>) -> Tensor<2> {
    let squares = |values: &Tensor<2>| values.clone().square().sum_dim(1);
    squares(a) + squares(b).transpose() - a.clone().matmul(b.clone().transpose()) * 2.0
}
