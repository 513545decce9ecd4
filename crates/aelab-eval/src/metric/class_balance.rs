//! How samples are spread over classes.

/// The share of the rarest use that counts as a use: a class that samples are assigned less than a tenth as often as real examples is missed.
const LEAST_SHARE: f64 = 0.1;

/// How often each of `num_classes` classes occurs.
///
/// # Panics
/// When a class is not below `num_classes`.
pub(crate) fn class_counts(classes: &[u32], num_classes: usize) -> Vec<usize> {
    let mut counts = vec![0; num_classes];
    for &class in classes {
        counts[class as usize] += 1;
    }
    counts
}

/// Entropy of the frequencies of classes, in nats: from 0, all of one class, to the logarithm of the number of classes. NaN
/// where nothing was counted.
pub fn class_entropy(counts: &[usize]) -> f64 {
    let num: usize = counts.iter().sum();
    if num == 0 {
        return f64::NAN;
    }
    let of_one = |&count: &usize| {
        let share = count as f64 / num as f64;
        -share * share.ln()
    };
    // -0 is no entropy.
    counts.iter().filter(|&&count| count > 0).map(of_one).sum::<f64>().abs()
}

/// Share of the classes that occur among real examples that samples have, too: at least a tenth as often. NaN where nothing was counted.
pub fn mode_coverage(sample_counts: &[usize], real_counts: &[usize]) -> f64 {
    let (num_samples, num_real) = (sample_counts.iter().sum::<usize>() as f64, real_counts.iter().sum::<usize>() as f64);
    let there = sample_counts.iter().zip(real_counts).filter(|(_, real)| **real > 0);
    let covered = there.clone().filter(|&(&samples, &real)| samples as f64 / num_samples >= LEAST_SHARE * real as f64 / num_real).count();
    covered as f64 / there.count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_classes_have_the_logarithm_of_their_number_and_one_class_has_nothing() {
        assert!((class_entropy(&[5, 5, 5, 5]) - 4f64.ln()).abs() < 1e-15);
        assert_eq!(class_entropy(&[0, 7, 0]).to_bits(), 0);
        let expected = -(0.25 * 0.25f64.ln() + 0.75 * 0.75f64.ln());
        assert!((class_entropy(&[1, 0, 3]) - expected).abs() < 1e-15);
        assert!(class_entropy(&[0, 0]).is_nan());
        assert_eq!(class_counts(&[2, 0, 2], 4), [1, 0, 2, 0]);
    }

    #[test]
    fn a_class_is_covered_by_a_tenth_of_its_share() {
        assert_eq!(mode_coverage(&[50, 50], &[10, 10]), 1.0);
        assert_eq!(mode_coverage(&[100, 0], &[10, 10]), 0.5);
        assert_eq!(mode_coverage(&[95, 5], &[10, 10]), 1.0);
        assert_eq!(mode_coverage(&[96, 4], &[10, 10]), 0.5);
        // What the real examples lack is not asked for.
        assert_eq!(mode_coverage(&[0, 10, 0], &[0, 3, 0]), 1.0);
        assert!(mode_coverage(&[0], &[0]).is_nan());
    }
}
