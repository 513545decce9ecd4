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
    let (num_queries, num_points) = (queries.len() / size, points.len() / size);
    let num = num.min(num_points - usize::from(skip_self && num_points > 0));
    if num == 0 {
        return vec![Vec::new(); num_queries];
    }
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
    let exact = |query: &[f32], point: usize| -> f64 {
        query.iter().zip(&points[point * size..][..size]).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
    };
    let rows_at_once = (DISTANCES_AT_ONCE / num_points).clamp(1, num_queries.max(1));
    let mut found = Vec::with_capacity(num_queries);
    for (block, rows) in queries.chunks(rows_at_once * size).enumerate() {
        let some = centred(rows);
        let some_squares = squares(&some);
        let num_rows = some_squares.len();
        let mut products = vec![0.0f64; num_rows * num_points];
        let neighbours: Vec<Vec<Neighbour>> = in_own_threads(|| {
            let out = MatMut::from_row_major_slice_mut(&mut products[..], num_rows, num_points);
            let left = MatRef::from_row_major_slice(&some[..], num_rows, size);
            let right = MatRef::from_row_major_slice(&all[..], num_points, size);
            matmul(out, Accum::Replace, left, right.transpose(), 1.0, get_global_parallelism());
            (0..num_rows)
                .into_par_iter()
                .map(|row| {
                    let own = if skip_self { Some(block * rows_at_once + row) } else { None };
                    let mut candidates: Vec<(f64, usize)> = products[row * num_points..][..num_points]
                        .iter()
                        .zip(&all_squares)
                        .enumerate()
                        .filter(|(point, _)| Some(*point) != own)
                        .map(|(point, (product, square))| (some_squares[row] + square - 2.0 * product, point))
                        .collect();
                    // What rounding of the product could have hidden is measured again.
                    let (_, &mut (last, _), _) = candidates.select_nth_unstable_by(num - 1, |a, b| a.0.total_cmp(&b.0));
                    let slack = 1e-12 * size as f64 * (some_squares[row] + widest);
                    let query = &rows[row * size..][..size];
                    let mut near: Vec<(f64, usize)> = candidates
                        .into_iter()
                        .filter(|(distance, _)| *distance <= last + slack)
                        .map(|(_, point)| (exact(query, point), point))
                        .collect();
                    near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    near.truncate(num);
                    near.into_iter().map(|(square, index)| Neighbour { index, distance: square.sqrt() }).collect()
                })
                .collect()
        });
        found.extend(neighbours);
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
