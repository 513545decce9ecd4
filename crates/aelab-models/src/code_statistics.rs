//! What sparse codes are watched by: logged beside the objective, never minimised.

use aelab_core::Objective;
use burn::tensor::Tensor;

/// From here on a unit of a code that is never exactly 0 counts as active.
pub(crate) const FAINT: f64 = 0.01;

/// Adds to an objective, each a mean over the batch or one number for it:
///
/// * `l0`: units further from 0 than `faint`, per example;
/// * `dead_fraction`: the fraction of units that are so at no example of the batch;
/// * `mean_activation`: over examples and units;
/// * `fraction_of_variance_unexplained`: see [`fraction_of_variance_unexplained`].
///
/// `z`: `[batch, code]`; `x` and `reconstruction`: `[batch, feature]`.
pub(crate) fn with_code_statistics(
    objective: Objective,
    z: &Tensor<2>,
    faint: f64,
    x: &Tensor<2>,
    reconstruction: &Tensor<2>,
) -> Objective {
    let z = z.clone().detach();
    let active = z.clone().abs().greater_elem(faint).float();
    let l0 = active.clone().sum_dim(1).mean();
    let dead_fraction = active.max_dim(0).mean() * -1.0 + 1.0;
    objective
        .diagnostic("l0", l0)
        .diagnostic("dead_fraction", dead_fraction)
        .diagnostic("mean_activation", z.mean())
        .diagnostic("fraction_of_variance_unexplained", fraction_of_variance_unexplained(x, reconstruction))
}

/// `sum |x - reconstruction|^2 / sum |x - mean of the batch|^2`: 0 for a perfect reconstruction, 1 for one no better than the
/// mean of the batch. A batch without variance counts as if it had a tiny one.
pub(crate) fn fraction_of_variance_unexplained(x: &Tensor<2>, reconstruction: &Tensor<2>) -> Tensor<1> {
    let (x, reconstruction) = (x.clone().detach(), reconstruction.clone().detach());
    let variance = (x.clone() - x.clone().mean_dim(0)).square().sum().clamp_min(1e-12);
    (x - reconstruction).square().sum() / variance
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_statistics_are_those_counted_by_hand() {
        let device = Device::flex();
        let z = Tensor::from_data([[0.0, 2.0, 0.0, -1.0], [0.0, 4.0, 0.005, 0.0]], &device);
        let x = Tensor::from_data([[1.0, 0.0], [3.0, 0.0]], &device);
        let reconstruction = Tensor::from_data([[1.0, 0.0], [2.0, 0.0]], &device);
        let objective = Objective::new().term("squared_error", Tensor::zeros([1], &device), 1.0);
        let found = with_code_statistics(objective, &z, FAINT, &x, &reconstruction).values().diagnostics;
        let expected = [("l0", 1.5), ("dead_fraction", 0.5), ("mean_activation", 5.005 / 8.0), ("fraction_of_variance_unexplained", 0.5)];
        assert_eq!(found.len(), expected.len());
        for ((name, found), (expected_name, expected)) in found.iter().zip(expected) {
            assert!(*name == expected_name && (found - expected).abs() < 1e-6, "{name}: {found}, {expected_name}: {expected}");
        }
    }
}
