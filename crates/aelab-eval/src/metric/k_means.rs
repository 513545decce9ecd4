//! kMeans: groups around centres, by Lloyd's algorithm from several starts.
//!
//! Lloyd 1982, "Least squares quantization in PCM"; starts by Arthur & Vassilvitskii 2007, "k-means++: the advantages of careful
//! seeding".

use aelab_core::Stream;
use rand::{Rng, RngExt};
use rayon::prelude::*;

use crate::neighbours::squared_distance;

/// A start that has not come to rest by then is taken as it is.
const MAX_ITERATIONS: usize = 1000;

/// Groups of points around centres.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// Group of each point.
    pub groups: Vec<u32>,
    /// Centres, row after row.
    pub centres: Vec<f64>,
    /// Squared distances of the points to their centres, summed up.
    pub inertia: f64,
    /// Whether no point would change its group any more.
    pub converged: bool,
}

/// Groups `points`, rows of `size` values, around `k` centres: of `num_starts` starts drawn from `stream`, the one that ends with the
/// least inertia, the first of equals. A point belongs to the nearest centre, the first of equally near ones; a centre without points
/// moves to the point that is farthest from its own.
///
/// # Panics
/// When `points` is not whole rows, or there are none, or `k` or `num_starts` is 0.
pub fn k_means(points: &[f32], size: usize, k: usize, num_starts: usize, stream: &mut Stream) -> KMeans {
    assert!(size > 0 && !points.is_empty() && points.len().is_multiple_of(size), "kMeans groups whole rows");
    assert!(k > 0 && num_starts > 0, "kMeans needs a centre and a start");
    let starts = (0..num_starts).map(|_| {
        let start = plus_plus(points, size, k, stream);
        lloyd(points, size, start)
    });
    starts.reduce(|best, other| if other.inertia < best.inertia { other } else { best }).expect("there is a start")
}

/// First centres: each a point, drawn with its squared distance to the nearest centre so far as its weight.
fn plus_plus(points: &[f32], size: usize, k: usize, stream: &mut impl Rng) -> Vec<f64> {
    let num = points.len() / size;
    let point = |index: usize| &points[index * size..][..size];
    let mut chosen = vec![stream.random_range(0..num)];
    let mut weights = vec![f64::INFINITY; num];
    while chosen.len() < k {
        let last = point(*chosen.last().expect("one is chosen"));
        weights.par_iter_mut().enumerate().for_each(|(index, weight)| *weight = weight.min(squared_distance(point(index), last)));
        let total: f64 = weights.iter().sum();
        let mut left = stream.random::<f64>() * total;
        // All points lie on centres already, or rounding left something at the end: any will do.
        let drawn = weights.iter().position(|&weight| {
            left -= weight;
            left < 0.0
        });
        chosen.push(drawn.unwrap_or_else(|| stream.random_range(0..num)));
    }
    chosen.into_iter().flat_map(|index| point(index).iter().map(|&value| f64::from(value))).collect()
}

/// Moves centres to the means of their points until no point changes its group.
fn lloyd(points: &[f32], size: usize, mut centres: Vec<f64>) -> KMeans {
    let (mut groups, mut converged) = (Vec::new(), false);
    let mut nearest = assign(points, size, &centres);
    for _ in 0..MAX_ITERATIONS {
        let next: Vec<u32> = nearest.iter().map(|&(group, _)| group).collect();
        converged = next == groups;
        if converged {
            break;
        }
        groups = next;
        move_centres(points, size, &mut nearest, &mut centres);
        nearest = assign(points, size, &centres);
    }
    let inertia = nearest.iter().map(|(_, distance)| distance).sum();
    KMeans { groups: nearest.into_iter().map(|(group, _)| group).collect(), centres, inertia, converged }
}

/// The nearest centre of each point, and its squared distance.
fn assign(points: &[f32], size: usize, centres: &[f64]) -> Vec<(u32, f64)> {
    let of_one = |point: &[f32]| {
        let mut best = (0, f64::INFINITY);
        for (group, centre) in (0u32..).zip(centres.chunks_exact(size)) {
            let distance: f64 = point.iter().zip(centre).map(|(&value, centre)| (f64::from(value) - centre).powi(2)).sum();
            if distance < best.1 {
                best = (group, distance);
            }
        }
        best
    };
    points.par_chunks_exact(size).map(of_one).collect()
}

fn move_centres(points: &[f32], size: usize, nearest: &mut [(u32, f64)], centres: &mut [f64]) {
    let mut sizes = vec![0usize; centres.len() / size];
    for (group, _) in nearest.iter() {
        sizes[*group as usize] += 1;
    }
    for empty in 0..sizes.len() {
        if sizes[empty] > 0 {
            continue;
        }
        // The first of the farthest; where every point lies on its centre, there is nothing to gain.
        let mut farthest = (0.0, None);
        for (index, &(group, distance)) in nearest.iter().enumerate() {
            if distance > farthest.0 && sizes[group as usize] > 1 {
                farthest = (distance, Some(index));
            }
        }
        if let (_, Some(index)) = farthest {
            sizes[nearest[index].0 as usize] -= 1;
            sizes[empty] = 1;
            nearest[index] = (empty as u32, 0.0);
        }
    }
    for (centre, &num) in centres.chunks_exact_mut(size).zip(&sizes) {
        if num > 0 {
            centre.fill(0.0);
        }
    }
    for (point, &(group, _)) in points.chunks_exact(size).zip(nearest.iter()) {
        let centre = &mut centres[group as usize * size..][..size];
        centre.iter_mut().zip(point).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    for (centre, &num) in centres.chunks_exact_mut(size).zip(&sizes) {
        if num > 0 {
            centre.iter_mut().for_each(|sum| *sum /= num as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Purpose, stream};
    use proptest::prelude::*;

    fn draws() -> Stream {
        stream(1, Purpose::Evaluation, 0, 0)
    }

    #[test]
    fn points_in_heaps_are_grouped_by_heap() {
        let points: Vec<f32> = (0..60).flat_map(|index| [100.0 * (index % 3) as f32, (index / 3) as f32]).collect();
        let found = k_means(&points, 2, 3, 10, &mut draws());
        assert!(found.converged);
        assert_eq!(found.groups.len(), 60);
        assert!((0..60).all(|index| found.groups[index] == found.groups[index % 3]));
        // 20 points of each heap at 0..20 around 9.5: 3 * sum (i - 9.5)^2.
        assert!((found.inertia - 3.0 * 665.0).abs() < 1e-9);
    }

    #[test]
    fn fewer_places_than_centres_cost_nothing() {
        let found = k_means(&[1.0, 1.0, 1.0, 4.0], 1, 3, 2, &mut draws());
        assert_eq!((found.inertia, found.converged), (0.0, true));
        assert!(found.centres.iter().all(|centre| centre.is_finite()));
        assert_eq!(k_means(&[5.0], 1, 4, 1, &mut draws()).groups, [0]);
    }

    proptest! {
        #[test]
        fn at_rest_each_point_is_at_its_nearest_centre_and_each_centre_is_a_mean(
            points in proptest::collection::vec(-20i8..20, 2..80), k in 1usize..6,
        ) {
            let points: Vec<f32> = points[..points.len() / 2 * 2].iter().map(|&value| f32::from(value)).collect();
            let found = k_means(&points, 2, k, 3, &mut draws());
            prop_assert!(found.converged);
            let again = assign(&points, 2, &found.centres);
            prop_assert_eq!(again.iter().map(|(group, _)| *group).collect::<Vec<_>>(), found.groups.clone());
            prop_assert!((again.iter().map(|(_, distance)| distance).sum::<f64>() - found.inertia).abs() < 1e-9);
            for (group, centre) in found.centres.chunks_exact(2).enumerate() {
                let own: Vec<&[f32]> = points.chunks_exact(2).zip(&found.groups).filter(|(_, of)| **of as usize == group).map(|(point, _)| point).collect();
                for (dimension, centre) in centre.iter().enumerate().filter(|_| !own.is_empty()) {
                    let mean = own.iter().map(|point| f64::from(point[dimension])).sum::<f64>() / own.len() as f64;
                    prop_assert!((mean - centre).abs() < 1e-9);
                }
            }
        }
    }
}
