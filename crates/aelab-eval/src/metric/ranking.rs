//! How high the right items stand in a list (Liang et al. 2018, Sec. 4.2).

/// Items by falling score, without those that are shown (not 0); ties in the order of the items.
pub fn ranked(scores: &[f64], shown: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).filter(|&item| shown[item] == 0.0).collect();
    // 0 and -0 are a tie.
    order.sort_by(|&a, &b| (scores[b] + 0.0).total_cmp(&(scores[a] + 0.0)));
    order
}

/// Discounted cumulative gain of the first `k` places, divided by that of the best order: `hits` says which place has a
/// right item, the whole list long. NaN without right items.
pub fn ndcg(hits: &[bool], k: usize) -> f64 {
    let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let found: f64 = hits.iter().take(k).enumerate().filter(|(_, hit)| **hit).map(|(place, _)| gain(place)).sum();
    let num_right = hits.iter().filter(|hit| **hit).count();
    found / (0..num_right.min(k)).map(gain).sum::<f64>()
}

/// Right items among the first `k` places, divided by as many as there could be. NaN without right items.
pub fn recall(hits: &[bool], k: usize) -> f64 {
    let num_right = hits.iter().filter(|hit| **hit).count();
    hits.iter().take(k).filter(|hit| **hit).count() as f64 / num_right.min(k) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_order_has_1_and_a_worse_one_what_the_formula_says() {
        assert_eq!(ndcg(&[true, true, false, false], 3), 1.0);
        assert_eq!(recall(&[true, true, false, false], 3), 1.0);
        // More right items than places: the best that fits is 1.
        assert_eq!(ndcg(&[true; 4], 2), 1.0);
        assert_eq!(recall(&[true; 4], 2), 1.0);
        let found = ndcg(&[false, true, false, true], 3);
        let expected = (1.0 / 3f64.log2()) / (1.0 + 1.0 / 3f64.log2());
        assert!((found - expected).abs() < 1e-12);
        assert_eq!(recall(&[false, true, false, true], 3), 0.5);
    }

    #[test]
    fn what_is_shown_is_not_ranked_and_ties_stand_in_the_order_of_the_items() {
        assert_eq!(ranked(&[0.0, 9.0, -0.0, 3.0, 0.0], &[0.0, 1.0, 0.0, 0.0, 0.0]), [3, 0, 2, 4]);
    }
}
