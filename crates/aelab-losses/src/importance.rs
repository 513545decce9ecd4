//! What several weighted samples of a code say of the likelihood of an example.
//!
//! Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders", Eq. 8. <https://arxiv.org/abs/1509.00519>

use burn::tensor::Tensor;

use crate::reduce::log_sum_exp;

/// `log 1/k sum_s w_s` of each example, `[batch, 1]` in nats, from `log w`, `[batch, sample]`.
///
/// With `w_s = p(x, z_s) / q(z_s | x)` and `z_s` from `q` it is in expectation a lower bound on `log p(x)`, which rises with `k`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let log_weights = Tensor::from_data([[0.0f32, 3f32.ln()], [-1000.0, -1000.0]], &Device::flex());
/// let bound: Vec<f32> = aelab_losses::importance_weighted_bound(log_weights).into_data().try_to_vec().unwrap();
/// assert!((bound[0] - 2f32.ln()).abs() < 1e-6 && bound[1] == -1000.0);
/// ```
pub fn importance_weighted_bound(log_weights: Tensor<2>) -> Tensor<2> {
    let num_samples = log_weights.dims()[1];
    log_sum_exp(log_weights, 1) - (num_samples as f64).ln()
}

/// `(sum_s w_s)^2 / sum_s w_s^2` of each example, `[batch, 1]`, from `log w`, `[batch, sample]`: how many samples of equal
/// weight would say as much (Kong 1992). From 1, where one sample has all the weight, to the number of samples.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let log_weights = Tensor::from_data([[7.0f32, 7.0, 7.0, 7.0], [0.0, -900.0, -900.0, -900.0]], &Device::flex());
/// let sizes: Vec<f32> = aelab_losses::effective_sample_size(log_weights).into_data().try_to_vec().unwrap();
/// assert!((sizes[0] - 4.0).abs() < 1e-5 && sizes[1] == 1.0);
/// ```
pub fn effective_sample_size(log_weights: Tensor<2>) -> Tensor<2> {
    (log_sum_exp(log_weights.clone(), 1) * 2.0 - log_sum_exp(log_weights * 2.0, 1)).exp()
}
