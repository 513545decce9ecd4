//! How early the right examples come in a ranking in which many are equally near.
//!
//! Codes of a few bits have few distances. The order of equally near examples means nothing, so every number here is its expectation over
//! all orders of them, each as likely: McSherry & Najork 2008, "Computing information retrieval performance measures efficiently in the presence of
//! tied scores". <https://doi.org/10.1007/978-3-540-78646-7_38>. Without ties they are the usual ones.

/// Equally near examples, and how many of them are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tie {
    /// Number of examples.
    pub num: usize,
    /// Right ones among them.
    pub num_right: usize,
}

/// Examples by rising distance, equal ones together.
///
/// # Panics
/// When the slices are not equally long.
pub fn ties_by_distance(distances: &[f64], is_right: &[bool]) -> Vec<Tie> {
    assert_eq!(distances.len(), is_right.len(), "each distance is right or not");
    let mut order: Vec<(f64, bool)> = distances.iter().copied().zip(is_right.iter().copied()).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let tie = |equal: &[(f64, bool)]| Tie { num: equal.len(), num_right: equal.iter().filter(|(_, right)| *right).count() };
    order.chunk_by(|a, b| a.0 == b.0).map(tie).collect()
}

/// Expected number of right ones among the first `k`.
pub(crate) fn expected_right(ties: &[Tie], k: usize) -> f64 {
    let (mut left, mut found) = (k, 0.0);
    for tie in ties {
        let taken = left.min(tie.num);
        if taken > 0 {
            found += tie.num_right as f64 * taken as f64 / tie.num as f64;
        }
        left -= taken;
    }
    found
}

/// Expected share of right ones among the first `k`, or among all where there are fewer. NaN without examples.
pub fn precision_at(ties: &[Tie], k: usize) -> f64 {
    let k = k.min(ties.iter().map(|tie| tie.num).sum());
    expected_right(ties, k) / k as f64
}

/// Expected average precision: the mean over right ones of the share of right ones down to their place. `None` where none is right.
pub fn average_precision_with_ties(ties: &[Tie]) -> Option<f64> {
    let num_right: usize = ties.iter().map(|tie| tie.num_right).sum();
    if num_right == 0 {
        return None;
    }
    let (mut before, mut right_before, mut sum) = (0usize, 0usize, 0.0);
    for &Tie { num, num_right } in ties {
        if num_right > 0 {
            // Of the others of the tie, any is right with this probability where one place is known to be.
            let others = if num > 1 { (num_right - 1) as f64 / (num - 1) as f64 } else { 0.0 };
            let share = num_right as f64 / num as f64;
            for place in 0..num {
                let expected_right = right_before as f64 + 1.0 + place as f64 * others;
                sum += share * expected_right / (before + place + 1) as f64;
            }
        }
        before += num;
        right_before += num_right;
    }
    Some(sum / num_right as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn right_ones_first_are_perfect_and_last_are_the_worst() {
        let ties = |right: &[bool]| ties_by_distance(&(0..right.len()).map(|place| place as f64).collect::<Vec<_>>(), right);
        let perfect = ties(&[true, true, false, false]);
        assert_eq!((average_precision_with_ties(&perfect), precision_at(&perfect, 2), precision_at(&perfect, 4)), (Some(1.0), 1.0, 0.5));
        let worst = ties(&[false, false, true]);
        assert_eq!((average_precision_with_ties(&worst), precision_at(&worst, 2)), (Some(1.0 / 3.0), 0.0));
        assert_eq!(average_precision_with_ties(&ties(&[false])), None);
        // Fewer than k: all there are.
        assert_eq!(precision_at(&perfect, 100), 0.5);
    }

    /// Mean over every order of `(distance, right)` that keeps the distances sorted.
    fn by_enumeration(items: &[(u8, bool)], measure: &impl Fn(&[bool]) -> f64) -> f64 {
        fn visit(left: &mut Vec<(u8, bool)>, taken: &mut Vec<bool>, measure: &impl Fn(&[bool]) -> f64, sum: &mut (f64, usize)) {
            let Some(nearest) = left.iter().map(|item| item.0).min() else {
                sum.0 += measure(taken);
                sum.1 += 1;
                return;
            };
            for index in (0..left.len()).filter(|&index| left[index].0 == nearest).collect::<Vec<_>>() {
                let item = left.remove(index);
                taken.push(item.1);
                visit(left, taken, measure, sum);
                taken.pop();
                left.insert(index, item);
            }
        }
        let mut sum = (0.0, 0);
        visit(&mut items.to_vec(), &mut Vec::new(), measure, &mut sum);
        sum.0 / sum.1 as f64
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn expectations_are_means_over_all_orders_of_ties(
            items in proptest::collection::vec((0u8..3, any::<bool>()), 1..8), k in 1usize..9,
        ) {
            let (distances, right): (Vec<f64>, Vec<bool>) = items.iter().map(|&(distance, right)| (f64::from(distance), right)).unzip();
            let ties = ties_by_distance(&distances, &right);
            let precision = |order: &[bool]| {
                let k = k.min(order.len());
                order[..k].iter().filter(|right| **right).count() as f64 / k as f64
            };
            prop_assert!((precision_at(&ties, k) - by_enumeration(&items, &precision)).abs() < 1e-12);
            let average = |order: &[bool]| {
                let mut found = 0.0;
                let mut sum = 0.0;
                for (place, _) in order.iter().enumerate().filter(|(_, right)| **right) {
                    found += 1.0;
                    sum += found / (place + 1) as f64;
                }
                sum / found
            };
            match average_precision_with_ties(&ties) {
                Some(value) => prop_assert!((value - by_enumeration(&items, &average)).abs() < 1e-12),
                None => prop_assert!(!right.contains(&true)),
            }
        }
    }
}
