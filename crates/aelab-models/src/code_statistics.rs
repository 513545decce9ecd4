//! What sparse codes are watched by: logged beside the objective, never minimised.

use aelab_core::Objective;
use burn::tensor::{Tensor, activation};

use crate::OutputActivation;

/// From here on a unit of a code that is never exactly 0 counts as active.
pub(crate) const FAINT: f64 = 0.01;

/// Adds to an objective, each a mean over the batch or one number for it:
///
/// * `l0`: units further from 0 than `faint`, per example;
/// * `dead_fraction`: the fraction of units that are so at no example of the batch;
/// * `mean_activation`: over examples and units;
/// * `fraction_of_variance_unexplained`: `sum |x - reconstruction|^2 / sum |x - mean of the batch|^2`, 0 for a perfect
///   reconstruction, 1 for one no better than the mean of the batch. A batch without variance counts as if it had a tiny one.
///
/// `z`: `[batch, code]`; `x` and `output`, of which `activation` makes the reconstruction: `[batch, feature]`.
pub(crate) fn with_code_statistics(
    objective: Objective,
    z: &Tensor<2>,
    faint: f64,
    x: &Tensor<2>,
    output: &Tensor<2>,
    activation: OutputActivation,
) -> Objective {
    let of_sigmoid = activation == OutputActivation::Sigmoid;
    let found = aelab_kernels::code_statistics(z, faint as f32, x, output, of_sigmoid).map_or_else(
        || plain(z, faint, x, output, of_sigmoid),
        |found| {
            let numbers = [
                found.num_active,
                found.dead_fraction,
                found.mean_activation,
                found.squared_error / found.squares_about_mean.max(SMALLEST_VARIANCE),
            ];
            numbers.map(|number| Tensor::from_data([number as f32], &z.device().inner()))
        },
    );
    let names = ["l0", "dead_fraction", "mean_activation", "fraction_of_variance_unexplained"];
    names.into_iter().zip(found).fold(objective, |objective, (name, value)| objective.diagnostic(name, value))
}

const SMALLEST_VARIANCE: f64 = 1e-12;

/// The four numbers in tensors, for other backends.
fn plain(z: &Tensor<2>, faint: f64, x: &Tensor<2>, output: &Tensor<2>, of_sigmoid: bool) -> [Tensor<1>; 4] {
    let (z, x, output) = (z.clone().detach(), x.clone().detach(), output.clone().detach());
    let reconstruction = if of_sigmoid { activation::sigmoid(output) } else { output };
    let active = z.clone().abs().greater_elem(faint).float();
    let variance = (x.clone() - x.clone().mean_dim(0)).square().sum().clamp_min(SMALLEST_VARIANCE);
    let unexplained = (x - reconstruction).square().sum() / variance;
    [active.clone().sum_dim(1).mean(), active.max_dim(0).mean() * -1.0 + 1.0, z.mean(), unexplained]
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
        let found = with_code_statistics(objective, &z, FAINT, &x, &reconstruction, OutputActivation::Linear).values().diagnostics;
        let expected = [("l0", 1.5), ("dead_fraction", 0.5), ("mean_activation", 5.005 / 8.0), ("fraction_of_variance_unexplained", 0.5)];
        assert_eq!(found.len(), expected.len());
        let logits = Tensor::from_data([[0.0, -1.0], [2.0, 1.0]], &device);
        for (output, of_sigmoid) in [(&reconstruction, false), (&logits, true)] {
            let activation = if of_sigmoid { OutputActivation::Sigmoid } else { OutputActivation::Linear };
            let found = with_code_statistics(Objective::new(), &z, FAINT, &x, output, activation).values().diagnostics;
            for ((name, found), plain) in found.iter().zip(plain(&z, FAINT, &x, output, of_sigmoid)) {
                let plain = f64::from(plain.into_scalar::<f32>());
                assert!((found - plain).abs() < 1e-6 * plain.max(1.0), "{name}: {found} is not {plain}");
            }
        }
        for ((name, found), (expected_name, expected)) in found.iter().zip(expected) {
            assert!(*name == expected_name && (found - expected).abs() < 1e-6, "{name}: {found}, {expected_name}: {expected}");
        }
    }
}
