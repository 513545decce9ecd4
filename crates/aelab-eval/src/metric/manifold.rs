//! How much of the samples lies where the data lies, and how much of the data where the samples lie.
//!
//! Improved precision and recall: Kynkäänniemi, Karras, Laine, Lehtinen & Aila 2019, "Improved Precision and Recall Metric for
//! Assessing Generative Models", Eq. 1-2, <https://arxiv.org/abs/1904.06991>. Density and coverage: Naeem, Oh, Uh, Choi & Yoo 2020,
//! "Reliable Fidelity and Diversity Metrics for Generative Models", Eq. 4-5, <https://arxiv.org/abs/2002.09797>. As in the code
//! of the latter, a point on the very border of a ball is outside.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, get_global_parallelism};
use rayon::prelude::*;

use crate::nearest_neighbours;
use crate::threads::in_own_threads;

/// Distances that are in memory at once: 64 MiB.
const DISTANCES_AT_ONCE: usize = 8 << 20;

/// Points, each in the middle of a ball that reaches to its k-th nearest neighbour.
#[derive(Debug, Clone)]
pub struct Balls<'a> {
    points: &'a [f32],
    size: usize,
    num_neighbours: usize,
    radii: Vec<f64>,
}

impl<'a> Balls<'a> {
    /// The balls of `points`, rows of `size` values; `None` where they are not more than `num_neighbours`, or this is 0.
    ///
    /// # Panics
    /// When the slice is not whole rows.
    pub fn new(points: &'a [f32], size: usize, num_neighbours: usize) -> Option<Self> {
        if num_neighbours == 0 || points.len() / size <= num_neighbours {
            return None;
        }
        let neighbours = nearest_neighbours(points, points, size, num_neighbours, true);
        let radii = neighbours.iter().filter_map(|neighbours| neighbours.last()).map(|last| last.distance).collect();
        Some(Self { points, size, num_neighbours, radii })
    }

    fn len(&self) -> usize {
        self.radii.len()
    }
}

/// What part of one set of points lies where another one does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    /// Share of samples within the ball of at least one real point.
    pub precision: f64,
    /// Share of real points within the ball of at least one sample.
    pub recall: f64,
    /// Balls of real points around a sample, mean over samples, divided by the number of neighbours; may exceed 1.
    pub density: f64,
    /// Share of real points whose ball holds at least one sample.
    pub coverage: f64,
}

/// The overlap of `samples` with `real` points; exact, whatever the order of either.
///
/// # Panics
/// When the two have not as many values to a row.
pub fn overlap(real: &Balls<'_>, samples: &Balls<'_>) -> Overlap {
    assert_eq!(real.size, samples.size, "samples are compared with points of the same space");
    let size = real.size;
    // Centred, the squares are small and their differences lose little.
    let mut centre = vec![0.0f64; size];
    for row in real.points.chunks_exact(size) {
        centre.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) / real.len() as f64);
    }
    let centred = |rows: &[f32]| -> Vec<f64> {
        rows.chunks_exact(size).flat_map(|row| row.iter().zip(&centre).map(|(&value, centre)| f64::from(value) - centre)).collect()
    };
    let squares = |rows: &[f64]| -> Vec<f64> { rows.chunks_exact(size).map(|row| row.iter().map(|value| value * value).sum()).collect() };
    let (centred_real, centred_samples) = (centred(real.points), centred(samples.points));
    let (real_squares, sample_squares) = (squares(&centred_real), squares(&centred_samples));
    let widest = sample_squares.iter().copied().fold(0.0, f64::max);
    let exact = |point: usize, sample: usize| -> f64 {
        let (point, sample) = (&real.points[point * size..][..size], &samples.points[sample * size..][..size]);
        point.iter().zip(sample).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
    };
    let rows_at_once = (DISTANCES_AT_ONCE / samples.len()).clamp(1, real.len());
    let mut found = Found::new(samples.len());
    let mut products = vec![0.0f64; rows_at_once * samples.len()];
    for start in (0..real.len()).step_by(rows_at_once) {
        let num_rows = rows_at_once.min(real.len() - start);
        let of_block = in_own_threads(|| {
            let out = MatMut::from_row_major_slice_mut(&mut products[..num_rows * samples.len()], num_rows, samples.len());
            let left = MatRef::from_row_major_slice(&centred_real[start * size..][..num_rows * size], num_rows, size);
            let right = MatRef::from_row_major_slice(&centred_samples[..], samples.len(), size);
            matmul(out, Accum::Replace, left, right.transpose(), 1.0, get_global_parallelism());
            (0..num_rows)
                .into_par_iter()
                .fold(
                    || Found::new(samples.len()),
                    |mut found, row| {
                        let point = start + row;
                        let radius = real.radii[point];
                        let slack = 1e-12 * size as f64 * (real_squares[point] + widest + radius * radius);
                        // A matrix product knows which distances are well below or above a radius; the others are measured.
                        let is_within = |square: f64, radius: f64, sample: usize| {
                            let excess = square - radius * radius;
                            if excess.abs() <= slack { exact(point, sample) < radius } else { excess < 0.0 }
                        };
                        let (mut covered, mut recalled) = (false, false);
                        for (sample, product) in products[row * samples.len()..][..samples.len()].iter().enumerate() {
                            let square = real_squares[point] + sample_squares[sample] - 2.0 * product;
                            if is_within(square, radius, sample) {
                                covered = true;
                                found.num_around[sample] += 1;
                            }
                            recalled = recalled || is_within(square, samples.radii[sample], sample);
                        }
                        found.num_covered += usize::from(covered);
                        found.num_recalled += usize::from(recalled);
                        found
                    },
                )
                .reduce(|| Found::new(samples.len()), Found::and)
        });
        found = found.and(of_block);
    }
    let share = |num: usize, all: usize| num as f64 / all as f64;
    let num_around: usize = found.num_around.iter().map(|&num| num as usize).sum();
    Overlap {
        precision: share(found.num_around.iter().filter(|&&num| num > 0).count(), samples.len()),
        recall: share(found.num_recalled, real.len()),
        density: share(num_around, samples.len() * real.num_neighbours),
        coverage: share(found.num_covered, real.len()),
    }
}

/// Counts over some of the real points.
struct Found {
    /// Balls around each sample.
    num_around: Vec<u32>,
    num_covered: usize,
    num_recalled: usize,
}

impl Found {
    fn new(num_samples: usize) -> Self {
        Self { num_around: vec![0; num_samples], num_covered: 0, num_recalled: 0 }
    }

    fn and(mut self, other: Self) -> Self {
        self.num_around.iter_mut().zip(other.num_around).for_each(|(sum, num)| *sum += num);
        self.num_covered += other.num_covered;
        self.num_recalled += other.num_recalled;
        self
    }
}
