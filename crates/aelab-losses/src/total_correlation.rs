//! What the KL term of a variational autoencoder is made of, and estimates of the parts from a minibatch.
//!
//! Chen, Li, Grosse & Duvenaud 2018, "Isolating Sources of Disentanglement in Variational Autoencoders", Eq. 2,
//! Sec. 4.2 and appendix C. <https://arxiv.org/abs/1802.04942>
//!
//! ```text
//! E_x KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || prod_j q(z_j)) + sum_j KL(q(z_j) || p(z_j))
//!     index-code mutual information, total correlation, dimension-wise KL;    q(z) = 1/N sum_n q(z|x_n)
//! ```

use std::f64::consts::PI;

use aelab_core::DiagonalGaussian;
use burn::tensor::{Bool, Tensor, TensorData};

use crate::reduce::log_sum_exp;

/// How `q(z)`, a mixture over the whole data set, is estimated from the posteriors of a minibatch of `B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateEstimator {
    /// `q(z) ~ 1/(N B) sum_m q(z|x_m)` (minibatch weighted sampling, Sec. 4.2): biased, a lower bound in expectation.
    /// It differs from a plain average over the batch by the constant factor `1/N` only, so its gradient is the same for any `N`.
    MinibatchWeighted,
    /// Each `z` with weight `1/N` for the posterior that it came from, `(N - B + 1) / (N (B - 1))` for the next one and
    /// `1/(B - 1)` for the others (minibatch stratified sampling, appendix C.2): an unbiased estimate of `q(z)`.
    MinibatchStratified,
}

/// The three parts of the KL divergence, each `[1]`, in nats per example.
#[derive(Debug, Clone)]
pub struct KlDecomposition {
    /// Mutual information of the example's index and its code.
    pub mutual_information: Tensor<1>,
    /// KL divergence of the aggregate posterior from the product of its marginals.
    pub total_correlation: Tensor<1>,
    /// Sum of the KL divergences of the marginals from the prior's.
    pub dimension_wise_kl: Tensor<1>,
}

/// Estimates the three parts from samples `z` of the `posterior`s they came from; the prior is standard normal.
///
/// The parts sum to `1/B sum_b [log q(z_b|x_b) - log p(z_b)]`, whatever the estimator: what it gets wrong in `q(z)` cancels.
///
/// # Shapes
/// `posterior.mean`, `posterior.log_var` and `z`: `[batch, latent]`; `num_examples`: `[1]`, `N`, taken as the batch
/// size where it is smaller.
pub fn decompose_kl(posterior: &DiagonalGaussian, z: Tensor<2>, num_examples: Tensor<1>, estimator: AggregateEstimator) -> KlDecomposition {
    let DiagonalGaussian { mean, log_var } = posterior;
    let batch_size = z.dims()[0];
    let log_given_x = log_normal(z.clone(), mean.clone(), log_var.clone()).sum_dim(1);
    let log_prior = ((z.clone().square() + (2.0 * PI).ln()) * -0.5).sum_dim(1);
    // Density of each z, [batch, 1, latent], under each posterior, [1, batch, latent].
    let pairs = log_normal(z.unsqueeze_dim::<3>(1), mean.clone().unsqueeze_dim(0), log_var.clone().unsqueeze_dim(0));
    let joint: Tensor<2> = pairs.clone().sum_dim(2).squeeze_dim(2);
    let weights = log_weights(estimator, num_examples.clamp_min(batch_size as f64), &joint);
    let log_aggregate = log_sum_exp(joint + weights.clone(), 1);
    let log_marginals: Tensor<2> = log_sum_exp(pairs + weights.unsqueeze_dim(2), 1).squeeze_dim(1);
    let log_product = log_marginals.sum_dim(1);
    KlDecomposition {
        mutual_information: (log_given_x - log_aggregate.clone()).mean(),
        total_correlation: (log_aggregate - log_product.clone()).mean(),
        dimension_wise_kl: (log_product - log_prior).mean(),
    }
}

/// Logarithm of a normal density, element by element.
fn log_normal<const D: usize>(z: Tensor<D>, mean: Tensor<D>, log_var: Tensor<D>) -> Tensor<D> {
    ((z - mean).square() * (log_var.clone() * -1.0).exp() + log_var + (2.0 * PI).ln()) * -0.5
}

/// Logarithms of the weights of the posteriors in `q(z)`, like `joint` `[batch (z), batch (posterior)]`.
fn log_weights(estimator: AggregateEstimator, num_examples: Tensor<1>, joint: &Tensor<2>) -> Tensor<2> {
    let batch_size = joint.dims()[0];
    let everywhere = |value: Tensor<1>| value.reshape([1, 1]).expand([batch_size, batch_size]);
    if batch_size == 1 {
        return everywhere(num_examples.zeros_like());
    }
    match estimator {
        AggregateEstimator::MinibatchWeighted => everywhere((num_examples * batch_size as f64).log() * -1.0),
        AggregateEstimator::MinibatchStratified => {
            let num_others = (batch_size - 1) as f64;
            let shifted_by = |shift: usize| -> Tensor<2, Bool> {
                let entries = (0..batch_size * batch_size).map(|entry| entry % batch_size == (entry / batch_size + shift) % batch_size);
                Tensor::from_data(TensorData::new(entries.collect::<Vec<bool>>(), [batch_size, batch_size]), &joint.device())
            };
            let next = (num_examples.clone() - num_others).log() - (num_examples.clone() * num_others).log();
            let others = num_examples.zeros_like() - num_others.ln();
            everywhere(others).mask_where(shifted_by(1), everywhere(next)).mask_where(shifted_by(0), everywhere(num_examples.log() * -1.0))
        }
    }
}
