//! Trustworthiness and continuity: how much of each example's neighbourhood a code keeps.
//!
//! Venna & Kaski 2001, "Neighborhood preservation in nonlinear projection methods: an experimental study", Eq. 3 and 4.
//! <https://doi.org/10.1007/3-540-44668-0_68>

use crate::neighbours::{map_distances, nearest_neighbours, squared_distance};

/// How far the `k` nearest neighbours among `codes` are neighbours among `x` as well: 1 where they all are. Each that is not costs
/// by how many places it is beyond the `k`-th in `x`; at random the value is about 0.5.
///
/// Both are rows of the same examples, `[example, feature]` and `[example, latent]`. Distances are Euclidean, and equally near
/// examples stand in their order. `None` where `k` is 0 or not below half of the examples: the value has no bounds then.
///
/// # Panics
/// When the slices are not equally many whole rows.
pub fn trustworthiness(x: &[f32], num_features: usize, codes: &[f32], code_size: usize, k: usize) -> Option<f64> {
    assert!(
        num_features > 0 && code_size > 0 && x.len().is_multiple_of(num_features) && codes.len().is_multiple_of(code_size),
        "neighbourhoods are those of whole rows"
    );
    let num = x.len() / num_features;
    assert_eq!(codes.len() / code_size, num, "each example has a code");
    if k == 0 || 2 * k >= num {
        return None;
    }
    let neighbours = nearest_neighbours(codes, codes, code_size, k, true);
    let point = |index: usize| &x[index * num_features..][..num_features];
    let excess = |row: usize, distances: &[f64], slack: f64| -> u64 {
        neighbours[row].iter().map(|neighbour| rank(row, neighbour.index, distances, slack, &point).saturating_sub(k) as u64).sum()
    };
    let total: u64 = map_distances(x, x, num_features, excess).into_iter().sum();
    let (num, k) = (num as f64, k as f64);
    Some(1.0 - 2.0 / (num * k * (2.0 * num - 3.0 * k - 1.0)) * total as f64)
}

/// The same with the spaces exchanged: how far neighbours among `x` are still neighbours among `codes`.
///
/// # Panics
/// As [`trustworthiness`].
pub fn continuity(x: &[f32], num_features: usize, codes: &[f32], code_size: usize, k: usize) -> Option<f64> {
    trustworthiness(codes, code_size, x, num_features, k)
}

/// The place of `other` among the neighbours of `row`, 1 for the nearest. What lies so near that rounding could hide the order is
/// measured exactly.
fn rank<'a>(row: usize, other: usize, distances: &[f64], slack: f64, point: &impl Fn(usize) -> &'a [f32]) -> usize {
    let exact = squared_distance(point(row), point(other));
    let is_before = |index: usize, distance: f64| {
        if (distance - exact).abs() > slack {
            return distance < exact;
        }
        let distance = squared_distance(point(row), point(index));
        distance < exact || (distance == exact && index < other)
    };
    1 + distances.iter().enumerate().filter(|&(index, &distance)| index != row && index != other && is_before(index, distance)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_the_example_keeps_every_neighbourhood_and_one_that_forgets_it_few() {
        let x: Vec<f32> = (0..200).map(|index| ((index * 37) % 101) as f32).collect();
        assert_eq!(trustworthiness(&x, 2, &x, 2, 5), Some(1.0));
        // Turned and scaled by 2, exactly.
        let turned: Vec<f32> = x.chunks_exact(2).flat_map(|pair| [-2.0 * pair[1], 2.0 * pair[0]]).collect();
        assert_eq!(continuity(&x, 2, &turned, 2, 5), Some(1.0));
        let unrelated: Vec<f32> = (0..100).map(|index| ((index * index * 7919) % 1009) as f32).collect();
        assert!(trustworthiness(&x, 2, &unrelated, 1, 5).unwrap() < 0.7);
    }

    #[test]
    fn neighbourhoods_of_half_of_the_examples_have_no_value() {
        let x = [0.0, 1.0, 2.0, 3.0];
        assert!(trustworthiness(&x, 1, &x, 1, 1).is_some());
        assert_eq!(trustworthiness(&x, 1, &x, 1, 2), None);
        assert_eq!(trustworthiness(&x, 1, &x, 1, 0), None);
        assert_eq!(trustworthiness(&[], 1, &[], 1, 1), None);
    }
}
