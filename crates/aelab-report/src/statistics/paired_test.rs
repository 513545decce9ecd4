//! Which paired test a comparison uses.

use crate::statistics::{paired_t, signed_rank_sum, wilcoxon};

/// A test of whether two configurations differ, on their differences in the same seeds or blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairedTest {
    /// The paired t-test: the default over seeds, because few seeds are the rule and a rank test of five cannot reach 0.05.
    PairedT,
    /// The Wilcoxon signed-rank test: the default over data sets and other blocks, whose differences are of unlike size (Demsar 2006).
    Wilcoxon,
}

impl PairedTest {
    /// Name for people.
    pub fn label(self) -> &'static str {
        match self {
            PairedTest::PairedT => "paired t-test",
            PairedTest::Wilcoxon => "Wilcoxon signed-rank test",
        }
    }

    /// Two-sided p-value; `None` for fewer than two differences, and where [`paired_t`] has none.
    pub fn p_value(self, differences: &[f64]) -> Option<f64> {
        match self {
            PairedTest::PairedT => paired_t(differences),
            PairedTest::Wilcoxon => wilcoxon(differences),
        }
    }

    /// Which way the test points: above 0 where differences are on the whole positive, below where negative. Their mean for the
    /// t-test, the sum of signed ranks for the signed-rank test.
    pub fn tendency(self, differences: &[f64]) -> f64 {
        match self {
            PairedTest::PairedT => differences.iter().sum::<f64>() / differences.len().max(1) as f64,
            PairedTest::Wilcoxon => signed_rank_sum(differences),
        }
    }

    /// The smallest p-value that `num` differences could have, whatever they are.
    pub fn smallest_p_value(self, num: usize) -> f64 {
        match self {
            PairedTest::PairedT => 0.0,
            PairedTest::Wilcoxon => 2f64.powi(1 - num.min(1000) as i32).min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: [PairedTest; 2] = [PairedTest::PairedT, PairedTest::Wilcoxon];

    #[test]
    fn five_pairs_are_too_few_for_a_rank_test_and_enough_for_a_t_test() {
        let differences = [1.0, 1.1, 0.9, 1.05, 1.2];
        assert_eq!(PairedTest::Wilcoxon.p_value(&differences), Some(0.0625));
        assert_eq!(PairedTest::Wilcoxon.smallest_p_value(5), 0.0625);
        assert!(PairedTest::PairedT.p_value(&differences).unwrap() < 1e-3);
    }

    #[test]
    fn too_few_pairs_have_no_p_value_and_identical_ones_do_not_differ() {
        for test in BOTH {
            assert_eq!((test.p_value(&[]), test.p_value(&[1.0]), test.p_value(&[1.0, f64::NAN])), (None, None, None));
            assert_eq!(test.p_value(&[0.0, 0.0, 0.0]), Some(1.0));
        }
    }

    #[test]
    fn equal_differences_have_no_deviation_to_test_with() {
        assert_eq!(PairedTest::PairedT.p_value(&[0.5, 0.5]), None);
        let accuracies = [(0.9, 0.8), (0.7, 0.6), (0.3, 0.2)];
        assert_eq!(PairedTest::PairedT.p_value(&accuracies.map(|(left, right)| left - right)), None, "up to rounding");
        assert!(PairedTest::PairedT.p_value(&[0.5, 0.500_001, 0.5]).unwrap() < 1e-9);
        assert_eq!(PairedTest::Wilcoxon.p_value(&[0.5; 6]), Some(0.03125), "ranks need none");
    }

    #[test]
    fn a_test_points_where_its_statistic_does() {
        let differences = [1.0, 1.1, 0.9, -9.0];
        assert!(PairedTest::PairedT.tendency(&differences) < 0.0);
        assert_eq!(PairedTest::Wilcoxon.tendency(&differences), 1.0 + 2.0 + 3.0 - 4.0);
        assert_eq!(PairedTest::Wilcoxon.tendency(&[0.0, 2.0, -2.0]), 0.0);
    }

    proptest! {
        #[test]
        fn a_p_value_is_a_probability_that_knows_no_order_sides_or_scale(
            pairs in proptest::collection::vec((-64i32..64, -64i32..64), 2..40),
            shift in -64i32..64,
        ) {
            // Whole numbers, so that shifting rounds nothing.
            let differences: Vec<f64> = pairs.iter().map(|(left, right)| f64::from(left - right)).collect();
            let shifted: Vec<f64> = pairs.iter().map(|(left, right)| f64::from((left + shift) - (right + shift))).collect();
            let exchanged: Vec<f64> = pairs.iter().map(|(left, right)| f64::from(right - left)).collect();
            let mut other_order = differences.clone();
            other_order.reverse();
            let scaled: Vec<f64> = differences.iter().map(|difference| difference * 8.0).collect();
            for test in BOTH {
                let Some(p) = test.p_value(&differences) else {
                    prop_assert!(test == PairedTest::PairedT && differences.iter().all(|difference| *difference == differences[0]));
                    continue;
                };
                prop_assert!((0.0..=1.0).contains(&p));
                let num = differences.iter().filter(|difference| **difference != 0.0).count();
                prop_assert!(p >= test.smallest_p_value(num) * (1.0 - 1e-12) || num > crate::statistics::MOST_EXACT);
                for same in [&shifted, &exchanged, &other_order, &scaled] {
                    let other = test.p_value(same).unwrap();
                    prop_assert!((p - other).abs() <= 1e-12 * p.max(1e-300), "{test:?} {p} {other}");
                }
            }
        }
    }
}
