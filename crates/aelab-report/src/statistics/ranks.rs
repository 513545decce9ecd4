//! Ranks with ties, and their averages over blocks.

use crate::summary::Direction;

/// Rank of each value from 1 for the smallest; values that tie share the mean of the ranks that they take.
pub fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|left, right| values[*left].total_cmp(&values[*right]));
    let mut ranks = vec![0.0; values.len()];
    // `total_cmp` puts -0 before 0; equality ties them again.
    let mut before = 0;
    for tied in order.chunk_by(|left, right| values[*left] == values[*right]) {
        let rank = before as f64 + (tied.len() as f64 + 1.0) / 2.0;
        tied.iter().for_each(|index| ranks[*index] = rank);
        before += tied.len();
    }
    ranks
}

/// Average over blocks of the rank within the block, 1 for the best. `blocks` holds one slice of values per block, a value
/// per configuration. `None` without a block or without a direction.
pub fn average_ranks(blocks: &[Vec<f64>], direction: Direction) -> Option<Vec<f64>> {
    let sign = match direction {
        Direction::LowerIsBetter => 1.0,
        Direction::HigherIsBetter => -1.0,
        Direction::Neutral => return None,
    };
    let mut sums = vec![0.0; blocks.first()?.len()];
    for block in blocks {
        let signed: Vec<f64> = block.iter().map(|value| sign * value).collect();
        for (sum, rank) in sums.iter_mut().zip(mean_ranks(&signed)) {
            *sum += rank;
        }
    }
    Some(sums.into_iter().map(|sum| sum / blocks.len() as f64).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_share_the_mean_rank() {
        assert_eq!(mean_ranks(&[3.0, 1.0, 3.0, 2.0, 3.0]), [4.0, 1.0, 4.0, 2.0, 4.0]);
        assert_eq!(mean_ranks(&[0.0, -0.0]), [1.5, 1.5]);
        assert!(mean_ranks(&[]).is_empty());
    }

    #[test]
    fn the_best_has_rank_one_in_either_direction() {
        let blocks = vec![vec![1.0, 2.0, 3.0], vec![2.0, 1.0, 3.0]];
        assert_eq!(average_ranks(&blocks, Direction::LowerIsBetter), Some(vec![1.5, 1.5, 3.0]));
        assert_eq!(average_ranks(&blocks, Direction::HigherIsBetter), Some(vec![2.5, 2.5, 1.0]));
        assert_eq!(average_ranks(&blocks, Direction::Neutral), None);
        assert_eq!(average_ranks(&[], Direction::LowerIsBetter), None);
    }

    proptest! {
        #[test]
        fn ranks_add_up_and_follow_any_monotone_map(values in proptest::collection::vec(-4i32..4, 0..12)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let ranks = mean_ranks(&values);
            let num = values.len() as f64;
            prop_assert_eq!(ranks.iter().sum::<f64>(), num * (num + 1.0) / 2.0);
            prop_assert_eq!(&ranks, &mean_ranks(&values.iter().map(|value| value.exp()).collect::<Vec<_>>()));
        }
    }
}
