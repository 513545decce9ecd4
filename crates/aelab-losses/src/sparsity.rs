//! Penalties on the activations of a code.

use burn::tensor::Tensor;

use crate::reduce::per_example;

/// `1/B sum_b sum_j |z_bj|`: the L1 norm of a code, averaged over the batch.
///
/// # Shapes
/// `z`: `[batch, code]`; the result: `[1]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let z = Tensor::from_data([[0.5, -1.5], [0.0, 2.0]], &Device::flex());
/// assert_eq!(aelab_losses::l1_norm(z).into_scalar::<f32>(), 2.0);
/// ```
pub fn l1_norm(z: Tensor<2>) -> Tensor<1> {
    aelab_kernels::l1_norm(z)
}

/// Divergence of Bernoulli variables of mean `rho` from those whose means are the average activations of a code, in nats,
/// summed over the units (Ng 2011, "Sparse autoencoder", CS294A lecture notes, section 3).
///
/// ```text
/// sum_j KL(rho || rho_hat_j) = sum_j rho log(rho / rho_hat_j) + (1 - rho) log((1 - rho) / (1 - rho_hat_j))
/// ```
///
/// It is 0 only where every `rho_hat_j` is `rho`. Averages that have been rounded to 0 or to 1 cost a finite amount
/// (that of 1e-30, and of 1 - 1e-7) and have no slope; above those the slope of a unit that is almost never active stays
/// what it should be, about `-rho` by the logit of a sigmoid.
///
/// # Shapes
/// `rho_hat`: `[1, unit]`, in [0, 1], averaged over examples by the caller; `rho` lies in (0, 1); the result: `[1]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let z = Tensor::<2>::from_data([[0.0, 0.2], [0.4, 0.2]], &Device::flex());
/// let kl = aelab_losses::kl_sparsity(0.2, z.mean_dim(0));
/// assert!(kl.into_scalar::<f32>().abs() < 1e-6);
/// ```
pub fn kl_sparsity(rho: f64, rho_hat: Tensor<2>) -> Tensor<1> {
    if let Some(divergence) = aelab_kernels::kl_of_bernoulli(rho, &rho_hat) {
        return divergence;
    }
    // In single precision 1 - rho_hat knows no number between 0 and 6e-8, but rho_hat itself goes on down to 1e-38.
    let active = rho_hat.clone().clamp_min(1e-30).log() * -rho;
    let silent = (rho_hat * -1.0 + 1.0).clamp_min(1e-7).log() * (rho - 1.0);
    let negative_entropy = rho * rho.ln() + (1.0 - rho) * (1.0 - rho).ln();
    per_example(active + silent + negative_entropy, None)
}
