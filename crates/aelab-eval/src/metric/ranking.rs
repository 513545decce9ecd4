//! How high the right items stand in a list (Liang et al. 2018, Sec. 4.2).
//!
//! The order of items with equal scores means nothing: every number is its expectation over all orders of them, see
//! [`tied_ranking`](super::tied_ranking). A model that scores all items alike is as good as chance, wherever the right ones stand.

use super::tied_ranking::{Tie, expected_right, ties_by_distance};

/// Items by falling score, equal ones together, without those that are shown (not 0); `is_right` says which are looked for.
///
/// # Panics
/// When the slices are not equally long.
pub fn ties_by_score(scores: &[f64], shown: &[f32], is_right: &[bool]) -> Vec<Tie> {
    assert!(scores.len() == shown.len() && scores.len() == is_right.len(), "each item has a score, is shown or not, is right or not");
    let left = || (0..scores.len()).filter(|&item| shown[item] == 0.0);
    // Rising distance is falling score. 0 - 0 and 0 - -0 are both 0: a tie.
    let distances: Vec<f64> = left().map(|item| 0.0 - scores[item]).collect();
    let is_right: Vec<bool> = left().map(|item| is_right[item]).collect();
    ties_by_distance(&distances, &is_right)
}

/// Expected discounted cumulative gain of the first `k` places, divided by that of the best order. NaN without right items.
pub fn ndcg(ties: &[Tie], k: usize) -> f64 {
    let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let (mut place, mut found) = (0, 0.0);
    for tie in ties {
        if place >= k {
            break;
        }
        if tie.num_right > 0 {
            // Each place of the tie has a right item with the same probability.
            let gains: f64 = (place..k.min(place + tie.num)).map(gain).sum();
            found += gains * tie.num_right as f64 / tie.num as f64;
        }
        place += tie.num;
    }
    let num_right: usize = ties.iter().map(|tie| tie.num_right).sum();
    found / (0..num_right.min(k)).map(gain).sum::<f64>()
}

/// Expected right items among the first `k` places, divided by as many as there could be. NaN without right items.
pub fn recall(ties: &[Tie], k: usize) -> f64 {
    let num_right: usize = ties.iter().map(|tie| tie.num_right).sum();
    expected_right(ties, k) / num_right.min(k) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untied(hits: &[bool]) -> Vec<Tie> {
        hits.iter().map(|&hit| Tie { num: 1, num_right: usize::from(hit) }).collect()
    }

    #[test]
    fn the_best_order_has_1_and_a_worse_one_what_the_formula_says() {
        let best = untied(&[true, true, false, false]);
        assert_eq!((ndcg(&best, 3), recall(&best, 3)), (1.0, 1.0));
        // More right items than places: the best that fits is 1.
        assert_eq!((ndcg(&untied(&[true; 4]), 2), recall(&untied(&[true; 4]), 2)), (1.0, 1.0));
        let worse = untied(&[false, true, false, true]);
        let expected = (1.0 / 3f64.log2()) / (1.0 + 1.0 / 3f64.log2());
        assert!((ndcg(&worse, 3) - expected).abs() < 1e-12);
        assert_eq!(recall(&worse, 3), 0.5);
    }

    #[test]
    fn what_is_shown_is_not_ranked_and_equal_scores_are_one_tie() {
        let ties = ties_by_score(&[0.0, 9.0, -0.0, 3.0, 0.0], &[0.0, 1.0, 0.0, 0.0, 0.0], &[false, true, true, false, false]);
        assert_eq!(ties, [Tie { num: 1, num_right: 0 }, Tie { num: 3, num_right: 1 }]);
    }

    #[test]
    fn equal_scores_are_as_good_as_chance_wherever_the_right_items_stand() {
        for right in 0..50 {
            let is_right: Vec<bool> = (0..50).map(|item| item == right).collect();
            let ties = ties_by_score(&[0.5; 50], &[0.0; 50], &is_right);
            assert!((recall(&ties, 5) - 0.1).abs() < 1e-12);
            let chance: f64 = (0..5).map(|place| 1.0 / f64::from(place + 2).log2()).sum::<f64>() / 50.0;
            assert!((ndcg(&ties, 5) - chance).abs() < 1e-12);
        }
    }
}
