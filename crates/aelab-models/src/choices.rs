//! What models of choices (who clicked, bought, watched what) have in common: how a row of choices is shown to the
//! encoder, and what data they take.

use aelab_core::{ConfigError, DataSpec, Domain, Scheduled, StepContext};
use burn::tensor::Tensor;

/// Each row divided by its Euclidean norm, `[batch, item]`; a row without choices stays 0.
pub(crate) fn normalized(x: Tensor<2>) -> Tensor<2> {
    let squares = x.clone().square().sum_dim(1);
    let none = squares.clone().equal_elem(0.0);
    // Before the root, whose derivative at 0 is infinite.
    x / squares.mask_fill(none, 1.0).sqrt()
}

/// Each value 0 with probability `rate`, the others divided by `1 - rate` (Srivastava et al. 2014).
pub(crate) fn with_dropout(x: Tensor<2>, rate: f64, ctx: &mut StepContext<'_>) -> Tensor<2> {
    if rate == 0.0 {
        return x;
    }
    let kept = ctx.noise.bernoulli(x.dims(), 1.0 - rate, &x.device());
    x * (kept / (1.0 - rate))
}

/// Rejects data that may be negative.
pub(crate) fn check_counts(name: &str, data: &DataSpec) -> Result<(), ConfigError> {
    if data.domain == Domain::Real {
        let message = format!(
            "`{name}` takes choices or counts, which are not negative, but this data takes any real value; take data of 0 and 1, \
             or `auto_rec` for ratings"
        );
        return Err(ConfigError::new("", message));
    }
    Ok(())
}

/// Rejects a rate that is no probability, and 1, which leaves nothing.
pub(crate) fn check_dropout(rate: &Scheduled) -> Result<(), ConfigError> {
    rate.check().map_err(|error| error.within("input_dropout"))?;
    match rate.first_outside(0.0, 1.0 - 1e-6) {
        Some(rate) => {
            let message = format!("`input_dropout` is a probability below 1, but is {rate}");
            Err(ConfigError::new("input_dropout", message))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{FixedNoise, Progress};
    use burn::tensor::Device;

    #[test]
    fn rows_have_norm_1_and_an_empty_row_stays_empty() {
        let x = Tensor::from_data([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]], &Device::flex());
        let found: Vec<f32> = normalized(x).into_data().try_to_vec().unwrap();
        assert_eq!(found, [0.6, 0.0, 0.8, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn what_dropout_leaves_has_the_same_mean() {
        let noise = &mut FixedNoise::new([vec![1.0, 0.0]]);
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.1, noise };
        let x = Tensor::from_data([[0.5, 0.5]], &Device::flex());
        let found: Vec<f32> = with_dropout(x, 0.75, ctx).into_data().try_to_vec().unwrap();
        assert_eq!(found, [2.0, 0.0]);
    }
}
