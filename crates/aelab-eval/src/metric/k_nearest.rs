//! The class that the nearest neighbours vote for.

use std::collections::BTreeMap;

use crate::Neighbour;

/// The class that most of `neighbours` have, each with one vote; the smallest of those with equally many. `None` without neighbours.
///
/// # Panics
/// When a neighbour has no label.
pub fn majority_class(neighbours: &[Neighbour], labels: &[u32]) -> Option<u32> {
    let mut votes = BTreeMap::<u32, usize>::new();
    for neighbour in neighbours {
        *votes.entry(labels[neighbour.index]).or_default() += 1;
    }
    // Of equal maxima `max_by_key` takes the last, and the classes come in rising order.
    votes.into_iter().rev().max_by_key(|&(_, num)| num).map(|(class, _)| class)
}

/// Share of examples whose class is that of their neighbours' majority: `neighbours` are those of each example, `labels` the classes
/// of the points that they are, `expected` the classes of the examples. NaN without examples.
///
/// # Panics
/// When a neighbour has no label.
pub fn k_nearest_accuracy(neighbours: &[Vec<Neighbour>], labels: &[u32], expected: &[u32]) -> f64 {
    let num_right = neighbours.iter().zip(expected).filter(|(near, class)| majority_class(near, labels) == Some(**class)).count();
    num_right as f64 / expected.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_majority_wins_and_the_smallest_of_equal_classes() {
        let labels = [3, 1, 3, 2, 1];
        let of = |indices: &[usize]| {
            let neighbours: Vec<Neighbour> = indices.iter().map(|&index| Neighbour { index, distance: 0.0 }).collect();
            majority_class(&neighbours, &labels)
        };
        assert_eq!(of(&[0, 1, 2]), Some(3));
        assert_eq!(of(&[0, 1, 2, 4]), Some(1));
        assert_eq!(of(&[3, 0]), Some(2));
        assert_eq!(of(&[]), None);
    }
}
