//! BCE: binary cross-entropy, summed over the features of an example, averaged over examples, in nats.
//!
//! On grey values its least possible value is the entropy of the pixels, not 0.

pub(crate) use aelab_kernels::cross_entropy;

use super::mean_over_rows;

/// Mean over examples of `sum_j softplus(logit_j) - x_j logit_j`, which is
/// `-sum_j x_j ln p_j + (1 - x_j) ln(1 - p_j)` with `p = sigmoid(logit)`, exact also where `p` would round
/// to 0 or 1. Nats per example.
///
/// # Panics
/// When the slices are not equally many whole examples.
pub fn bce(x: &[f32], logits: &[f32], num_features: usize) -> f64 {
    mean_over_rows(x, logits, num_features, cross_entropy)
}

/// Cross-entropy of one example from the logarithms of probabilities that lie strictly between 0 and 1, `[ln p_j, ln(1 - p_j)]`:
/// `-sum_j x_j ln p_j + (1 - x_j) ln(1 - p_j)`, in nats. `x`, `logarithms`: `[feature]`, as many of both.
pub fn cross_entropy_of_logarithms<'a>(x: impl IntoIterator<Item = &'a f32>, logarithms: impl IntoIterator<Item = &'a [f64; 2]>) -> f64 {
    -x.into_iter().zip(logarithms).map(|(&x, [of_one, of_zero])| f64::from(x) * of_one + (1.0 - f64::from(x)) * of_zero).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition_where_that_is_safe() {
        let (x, logits) = ([0.0f32, 0.25, 1.0, 0.5], [-1.5f32, 0.75, 2.0, 0.0]);
        let expected: f64 = x
            .iter()
            .zip(&logits)
            .map(|(&x, &logit)| {
                let p = 1.0 / (1.0 + (-f64::from(logit)).exp());
                -(f64::from(x) * p.ln() + (1.0 - f64::from(x)) * (1.0 - p).ln())
            })
            .sum();
        assert!((bce(&x, &logits, 4) - expected).abs() < 1e-14);
    }

    #[test]
    fn is_exact_where_the_probability_would_round() {
        assert_eq!(bce(&[0.0], &[200.0], 1), 200.0);
        assert_eq!(bce(&[1.0], &[-200.0], 1), 200.0);
        // ln(1 + exp(-30)), below the resolution of `1 - sigmoid(30)` in f32.
        assert!((bce(&[1.0], &[30.0], 1) - 9.357622968839299e-14).abs() < 2e-16);
    }

    #[test]
    fn logits_of_zero_cost_one_bit_each_however_many_there_are() {
        let num = 3000;
        let value = bce(&vec![0.3; num], &vec![0.0; num], num);
        assert!((value - num as f64 * std::f64::consts::LN_2).abs() < 1e-9);
    }

    #[test]
    fn a_logit_that_is_not_a_number_shows() {
        assert!(bce(&[0.0, 1.0], &[0.0, f32::NAN], 2).is_nan());
    }

    #[test]
    fn from_logarithms_is_the_same_as_from_logits() {
        let (x, p) = ([0.0f32, 1.0, 0.5, 0.25], [0.2f64, 0.7, 0.2, 0.7]);
        let logits: Vec<f32> = p.iter().map(|p| (p / (1.0 - p)).ln() as f32).collect();
        let logarithms = p.map(|p| [p.ln(), (-p).ln_1p()]);
        assert!((cross_entropy_of_logarithms(&x, &logarithms) - cross_entropy(&x, &logits)).abs() < 1e-6);
    }
}
