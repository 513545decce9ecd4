//! Exact nearest neighbours by Euclidean distance.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, get_global_parallelism};
use rayon::prelude::*;

use crate::threads::in_own_threads;

/// Distances that are in memory at once: 64 MiB.
const DISTANCES_AT_ONCE: usize = 8 << 20;

/// One neighbour of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Position among the points that were searched.
    pub index: usize,
    /// Euclidean distance.
    pub distance: f64,
}

/// For each of `queries` the `num` nearest of `points` (all where there are fewer), nearest first, equally near ones in the order of
/// the points. Both are rows of `size` values. `skip_self` says that `queries` are `points`, and that a point is not its own
/// neighbour; another point at the same place is.
///
/// Distances are squared differences summed in `f64`: the candidates come from a matrix product, and are then measured exactly, so
/// that a duplicate is at distance 0.
///
/// # Panics
/// When the slices are not whole rows.
pub fn nearest_neighbours(queries: &[f32], points: &[f32], size: usize, num: usize, skip_self: bool) -> Vec<Vec<Neighbour>> {
    assert!(
        size > 0 && queries.len().is_multiple_of(size) && points.len().is_multiple_of(size),
        "nearest neighbours are searched among whole rows"
    );
    let num_points = points.len() / size;
    let num = num.min(num_points - usize::from(skip_self && num_points > 0));
    if num == 0 {
        return vec![Vec::new(); queries.len() / size];
    }
    map_distances(queries, points, size, |row, distances, slack| {
        let own = if skip_self { Some(row) } else { None };
        let mut candidates: Vec<(f64, usize)> =
            distances.iter().enumerate().filter(|(point, _)| Some(*point) != own).map(|(point, &distance)| (distance, point)).collect();
        // What rounding of the product could have hidden is measured again.
        let (_, &mut (last, _), _) = candidates.select_nth_unstable_by(num - 1, |a, b| a.0.total_cmp(&b.0));
        let query = &queries[row * size..][..size];
        let mut near: Vec<(f64, usize)> = candidates
            .into_iter()
            .filter(|(distance, _)| *distance <= last + 2.0 * slack)
            .map(|(_, point)| (squared_distance(query, &points[point * size..][..size]), point))
            .collect();
        near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        near.truncate(num);
        near.into_iter().map(|(square, index)| Neighbour { index, distance: square.sqrt() }).collect()
    })
}

/// The squared Euclidean distance of two rows.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}

/// What `work` makes of each of `queries`: it is given the position of the query, its squared distances to all `points` by a matrix
/// product, and by how much rounding may have moved each.
///
/// # Panics
/// When the slices are not whole rows, or there are no points.
pub(crate) fn map_distances<T: Send>(
    queries: &[f32],
    points: &[f32],
    size: usize,
    work: impl Fn(usize, &[f64], f64) -> T + Send + Sync,
) -> Vec<T> {
    let (num_queries, num_points) = (queries.len() / size, points.len() / size);
    // Centred, the squares are small and their differences lose little.
    let mut centre = vec![0.0f64; size];
    for row in points.chunks_exact(size) {
        centre.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) / num_points as f64);
    }
    let centred = |rows: &[f32]| -> Vec<f64> {
        rows.chunks_exact(size).flat_map(|row| row.iter().zip(&centre).map(|(&value, centre)| f64::from(value) - centre)).collect()
    };
    let squares = |rows: &[f64]| -> Vec<f64> { rows.chunks_exact(size).map(|row| row.iter().map(|value| value * value).sum()).collect() };
    let all = centred(points);
    let all_squares = squares(&all);
    let widest = all_squares.iter().copied().fold(0.0, f64::max);
    let rows_at_once = (DISTANCES_AT_ONCE / num_points).clamp(1, num_queries.max(1));
    let mut found = Vec::with_capacity(num_queries);
    for (block, rows) in queries.chunks(rows_at_once * size).enumerate() {
        let some = centred(rows);
        let some_squares = squares(&some);
        let num_rows = some_squares.len();
        let mut distances = vec![0.0f64; num_rows * num_points];
        let of_block: Vec<T> = in_own_threads(|| {
            let out = MatMut::from_row_major_slice_mut(&mut distances[..], num_rows, num_points);
            let left = MatRef::from_row_major_slice(&some[..], num_rows, size);
            let right = MatRef::from_row_major_slice(&all[..], num_points, size);
            matmul(out, Accum::Replace, left, right.transpose(), -2.0, get_global_parallelism());
            distances
                .par_chunks_exact_mut(num_points)
                .zip(&some_squares)
                .enumerate()
                .map(|(row, (distances, own_square))| {
                    distances.iter_mut().zip(&all_squares).for_each(|(product, square)| *product += own_square + square);
                    work(block * rows_at_once + row, distances, 1e-12 * size as f64 * (own_square + widest))
                })
                .collect()
        });
        found.extend(of_block);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: every distance, sorted.
    fn by_sorting(queries: &[f32], points: &[f32], size: usize, num: usize, skip_self: bool) -> Vec<Vec<Neighbour>> {
        let of_one = |(row, query): (usize, &[f32])| {
            let mut all: Vec<Neighbour> = points
                .chunks_exact(size)
                .enumerate()
                .filter(|(index, _)| !(skip_self && *index == row))
                .map(|(index, point)| {
                    let square: f64 = query.iter().zip(point).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
                    Neighbour { index, distance: square.sqrt() }
                })
                .collect();
            all.sort_by(|a, b| a.distance.total_cmp(&b.distance));
            all.truncate(num);
            all
        };
        queries.chunks_exact(size).enumerate().map(of_one).collect()
    }

    proptest! {
        #[test]
        fn neighbours_are_those_of_sorting_all_distances_ties_included(
            points in proptest::collection::vec(-3i8..3, 2..60),
            offset in prop_oneof![Just(0.0f32), Just(1000.0)],
            num in 1usize..8,
            skip_self: bool,
        ) {
            let points: Vec<f32> = points[..points.len() / 2 * 2].iter().map(|&value| f32::from(value) * 0.5 + offset).collect();
            prop_assert_eq!(nearest_neighbours(&points, &points, 2, num, skip_self), by_sorting(&points, &points, 2, num, skip_self));
        }
    }

    #[test]
    fn few_points_have_few_neighbours() {
        assert_eq!(nearest_neighbours(&[0.0], &[0.0], 1, 3, true), [vec![]]);
        assert_eq!(nearest_neighbours(&[0.0], &[], 1, 3, false), [vec![]]);
        assert_eq!(nearest_neighbours(&[0.0], &[4.0, -3.0], 1, 3, false)[0].iter().map(|found| found.index).collect::<Vec<_>>(), [1, 0]);
    }
}
