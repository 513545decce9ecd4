//! How far two ways of grouping the same examples agree, whatever the groups are called.

use std::collections::BTreeMap;

/// Examples in each pair of groups, in each group of the one and in each of the other.
struct Contingency {
    pairs: BTreeMap<(u32, u32), u64>,
    left: BTreeMap<u32, u64>,
    right: BTreeMap<u32, u64>,
    num: u64,
}

impl Contingency {
    fn of(left: &[u32], right: &[u32]) -> Self {
        assert_eq!(left.len(), right.len(), "each example is in a group of either grouping");
        let mut table = Self { pairs: BTreeMap::new(), left: BTreeMap::new(), right: BTreeMap::new(), num: left.len() as u64 };
        for (&a, &b) in left.iter().zip(right) {
            *table.pairs.entry((a, b)).or_default() += 1;
            *table.left.entry(a).or_default() += 1;
            *table.right.entry(b).or_default() += 1;
        }
        table
    }
}

/// Entropy of group sizes in nats.
fn entropy(sizes: &BTreeMap<u32, u64>, num: u64) -> f64 {
    -sizes.values().map(|&size| size as f64 / num as f64).map(|share| share * share.ln()).sum::<f64>()
}

/// Mutual information of two groupings divided by the mean of their entropies: 1 where they are the same, 0 where they are
/// independent. 1 where neither distinguishes anything, 0 where only one does.
///
/// Strehl & Ghosh 2002, "Cluster ensembles", with the arithmetic mean (scikit-learn's default).
///
/// # Panics
/// When the groupings are not equally long.
pub fn normalized_mutual_information(left: &[u32], right: &[u32]) -> f64 {
    let table = Contingency::of(left, right);
    if table.left.len() <= 1 && table.right.len() <= 1 {
        return 1.0;
    }
    let num = table.num as f64;
    let information: f64 = table
        .pairs
        .iter()
        .map(|((a, b), &both)| {
            let both = both as f64;
            both / num * (num * both / (table.left[a] as f64 * table.right[b] as f64)).ln()
        })
        .sum();
    // Rounding leaves something of nothing.
    if information <= f64::EPSILON {
        return 0.0;
    }
    information / ((entropy(&table.left, table.num) + entropy(&table.right, table.num)) / 2.0)
}

/// Rand index corrected for chance: over all pairs of examples, how often both groupings say "together" or both "apart". 1 where they
/// are the same, 0 on average for random groups of those sizes.
///
/// Hubert & Arabie 1985, "Comparing partitions", Eq. 5. <https://doi.org/10.1007/BF01908075>
///
/// # Panics
/// When the groupings are not equally long.
pub fn adjusted_rand_index(left: &[u32], right: &[u32]) -> f64 {
    let table = Contingency::of(left, right);
    let pairs = |num: u64| (num as f64) * (num as f64 - 1.0) / 2.0;
    let together: f64 = table.pairs.values().map(|&num| pairs(num)).sum();
    let in_left: f64 = table.left.values().map(|&num| pairs(num)).sum();
    let in_right: f64 = table.right.values().map(|&num| pairs(num)).sum();
    // The same grouping, of whatever kind; the quotient may be 0 / 0.
    if together == in_left && together == in_right {
        return 1.0;
    }
    let expected = in_left * in_right / pairs(table.num);
    (together - expected) / ((in_left + in_right) / 2.0 - expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_groups_agree_and_one_group_says_nothing() {
        let labels = [0, 0, 1, 1, 2];
        for measure in [normalized_mutual_information, adjusted_rand_index] {
            assert!((measure(&labels, &[7, 7, 3, 3, 5]) - 1.0).abs() < 1e-15);
            assert_eq!(measure(&labels, &[0; 5]), 0.0);
            assert_eq!(measure(&[1; 5], &[0; 5]), 1.0);
            assert_eq!(measure(&[], &[]), 1.0);
        }
    }

    proptest! {
        #[test]
        fn agreement_is_symmetric_and_blind_to_names_and_order(
            labels in proptest::collection::vec((0u32..4, 0u32..5), 1..60), rotation in 0usize..60,
        ) {
            let (left, right): (Vec<u32>, Vec<u32>) = labels.iter().copied().unzip();
            let mut turned = labels.clone();
            turned.rotate_left(rotation % labels.len());
            let (renamed, moved): (Vec<u32>, Vec<u32>) = turned.into_iter().map(|(a, b)| (9 - 2 * a, b)).unzip();
            for measure in [normalized_mutual_information, adjusted_rand_index] {
                let value = measure(&left, &right);
                prop_assert!(value <= 1.0 + 1e-12);
                prop_assert!((measure(&right, &left) - value).abs() < 1e-12);
                prop_assert!((measure(&renamed, &moved) - value).abs() < 1e-12);
            }
        }
    }
}
