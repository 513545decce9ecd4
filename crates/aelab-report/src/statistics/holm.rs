//! Correction for multiple comparison.

/// Holm's step-down correction (Holm 1979) of `p_values`, which belong to a family of `num_hypotheses`: a corrected p-value below
/// 0.05 keeps the probability of any false claim in the family below 0.05.
///
/// With as many hypotheses as p-values this is Holm's procedure as everywhere. With more, the p-values that are not given count
/// as larger than those that are; the corrected values are then never smaller than if all had been given.
pub fn holm(p_values: &[f64], num_hypotheses: usize) -> Vec<f64> {
    let family = num_hypotheses.max(p_values.len());
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|left, right| p_values[*left].total_cmp(&p_values[*right]));
    let mut corrected = vec![1.0; p_values.len()];
    let mut largest = 0.0f64;
    for (step, index) in order.into_iter().enumerate() {
        largest = largest.max((family - step) as f64 * p_values[index]).min(1.0);
        corrected[index] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn correction_is_monotone_and_never_lowers_a_p_value(p_values in proptest::collection::vec(0f64..1.0, 1..12), more in 0usize..20) {
            let corrected = holm(&p_values, p_values.len() + more);
            for (left, corrected_left) in p_values.iter().zip(&corrected) {
                prop_assert!(corrected_left >= left && *corrected_left <= 1.0);
                for (right, corrected_right) in p_values.iter().zip(&corrected) {
                    prop_assert!(left > right || corrected_left <= corrected_right);
                }
            }
        }

        #[test]
        fn a_part_of_a_family_is_corrected_at_least_as_much_as_in_the_whole(p_values in proptest::collection::vec(0f64..0.2, 1..12), part in 1usize..12) {
            let part = part.min(p_values.len());
            let (whole, alone) = (holm(&p_values, p_values.len()), holm(&p_values[..part], p_values.len()));
            prop_assert!(whole.iter().zip(&alone).all(|(whole, alone)| alone >= whole));
        }
    }
}
