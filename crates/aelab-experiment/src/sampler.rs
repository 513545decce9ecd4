//! Points of the unit cube: independent ones, and ones that fill it evenly.
//!
//! Point `i` is a function of the seed and of `i`: more points do not move those that are there. A coordinate of a random point
//! depends on the name of its axis besides, so another axis does not move it, either; one of a Sobol point depends on the number of
//! its dimension.

use sha2::{Digest, Sha256};

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sampler {
    /// Independent and uniform.
    Random,
    /// Sobol's sequence (Sobol 1967; direction numbers of Joe & Kuo 2008) under Owen's scrambling (Owen 1995), by hashing (Burley
    /// 2020). Of 2^m points, each of 2^m equal intervals of any axis holds one.
    Sobol,
}

/// Why there are no such points.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SamplerError {
    /// Sobol's sequence ends before.
    #[error("`sobol` has up to {MAX_SOBOL_POINTS} points, not {0}: take `random` for more")]
    Points(usize),
    /// Sobol's sequence has fewer dimensions.
    #[error("`sobol` has up to {MAX_SOBOL_DIMENSIONS} axes, not {0}: take `random` for more")]
    Dimensions(usize),
    /// More than anybody means.
    #[error("{num} points of {num_axes} axes are more than {MAX_COORDINATES} values: take fewer points or fewer axes")]
    Coordinates {
        /// Points.
        num: usize,
        /// Axes.
        num_axes: usize,
    },
}

/// Points times axes: what fits into memory whatever the file says.
const MAX_COORDINATES: usize = 5_000_000;

/// Points that the scrambled sequence has.
const MAX_SOBOL_POINTS: usize = 1 << 16;
/// Dimensions that there are direction numbers for.
const MAX_SOBOL_DIMENSIONS: usize = sobol_burley::NUM_DIMENSIONS as usize;

impl Sampler {
    /// `num` points with a coordinate in [0, 1) for each of `axes`: `[point, axis]`.
    pub(crate) fn points(self, seed: u64, num: usize, axes: &[String]) -> Result<Vec<Vec<f64>>, SamplerError> {
        if num.saturating_mul(axes.len()) > MAX_COORDINATES {
            return Err(SamplerError::Coordinates { num, num_axes: axes.len() });
        }
        match self {
            Sampler::Random => Ok((0..num).map(|point| axes.iter().map(|axis| random(seed, point as u64, axis)).collect()).collect()),
            Sampler::Sobol if num > MAX_SOBOL_POINTS => Err(SamplerError::Points(num)),
            Sampler::Sobol if axes.len() > MAX_SOBOL_DIMENSIONS => Err(SamplerError::Dimensions(axes.len())),
            Sampler::Sobol => Ok((0..num).map(|point| sobol(seed, point as u64, axes.len())).collect()),
        }
    }
}

/// A point of Sobol's sequence under Owen's scrambling (Burley 2020, <https://jcgt.org/published/0009/04/01/>): `[axis]`, each of
/// [0, 1). Where one sequence ends, in points or in axes, an independent one follows.
pub(crate) fn sobol(seed: u64, point: u64, num_axes: usize) -> Vec<f64> {
    let (num_points, num_dimensions) = (MAX_SOBOL_POINTS as u64, MAX_SOBOL_DIMENSIONS);
    let coordinate = |axis: usize| {
        let sequence = [point / num_points, (axis / num_dimensions) as u64];
        let scramble = match sequence {
            [0, 0] => digest(b"aelab sobol 1\0", &[&seed.to_le_bytes()]),
            [after, beside] => digest(b"aelab sobol 1\0", &[&seed.to_le_bytes(), &after.to_le_bytes(), &beside.to_le_bytes()]),
        };
        let (point, axis) = ((point % num_points) as u32, (axis % num_dimensions) as u32);
        f64::from(sobol_burley::sample(point, axis, u32::from_le_bytes(scramble)))
    };
    (0..num_axes).map(coordinate).collect()
}

/// A number in [0, 1) of 53 random bits.
fn random(seed: u64, point: u64, axis: &str) -> f64 {
    let bits = u64::from_le_bytes(digest(b"aelab random axis 1\0", &[&seed.to_le_bytes(), &point.to_le_bytes(), axis.as_bytes()]));
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// The first bytes of the SHA-256 of a purpose and what belongs to it.
fn digest<const N: usize>(purpose: &[u8], parts: &[&[u8]]) -> [u8; N] {
    let mut hash = Sha256::new();
    hash.update(purpose);
    parts.iter().for_each(|part| hash.update(part));
    let digest = hash.finalize();
    std::array::from_fn(|index| digest[index])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn axes(num: usize) -> Vec<String> {
        (0..num).map(|axis| format!("model.vae.axis_{axis}")).collect()
    }

    /// The L2 star discrepancy (Warnock 1972): how far shares of points in boxes at the origin are from the volumes of the boxes.
    fn discrepancy(points: &[Vec<f64>]) -> f64 {
        let (num, dimension) = (points.len() as f64, points[0].len() as i32);
        let single: f64 = points.iter().map(|point| point.iter().map(|x| (1.0 - x * x) / 2.0).product::<f64>()).sum();
        let pairs = points.iter().flat_map(|one| points.iter().map(move |other| (one, other)));
        let double: f64 = pairs.map(|(one, other)| one.iter().zip(other).map(|(x, y)| 1.0 - x.max(*y)).product::<f64>()).sum();
        (3_f64.powi(-dimension) - 2.0 * single / num + double / (num * num)).sqrt()
    }

    #[test]
    fn the_discrepancy_of_these_tests_is_that_of_scipy() {
        // scipy.stats.qmc.discrepancy([[.1, .7], [.35, .2], [.8, .55]], method="L2-star")
        let points = [[0.1, 0.7], [0.35, 0.2], [0.8, 0.55]].map(|point| point.to_vec());
        assert!((discrepancy(&points) - SCIPY_DISCREPANCY).abs() < 1e-12, "{}", discrepancy(&points));
    }

    const SCIPY_DISCREPANCY: f64 = 0.13840359661351131;

    #[test]
    fn sobol_points_fill_the_cube_more_evenly_than_random_ones() {
        for dimension in [2, 3, 5] {
            let of = |sampler: Sampler| -> f64 {
                (0..8).map(|seed| discrepancy(&sampler.points(seed, 256, &axes(dimension)).unwrap())).sum::<f64>() / 8.0
            };
            let (random, sobol) = (of(Sampler::Random), of(Sampler::Sobol));
            assert!(sobol < random / 2.0, "{dimension} dimensions: {sobol} beside {random}");
        }
    }

    #[test]
    fn of_a_power_of_two_sobol_points_each_interval_of_every_axis_holds_one() {
        for (seed, num) in [(0, 64), (7, 256), (u64::MAX, 1024)] {
            let points = Sampler::Sobol.points(seed, num, &axes(40)).unwrap();
            for axis in 0..40 {
                let mut intervals: Vec<usize> = points.iter().map(|point| (point[axis] * num as f64) as usize).collect();
                intervals.sort_unstable();
                assert_eq!(intervals, (0..num).collect::<Vec<_>>(), "axis {axis}, seed {seed}");
            }
            // The first two dimensions: every box of 2^-a by 2^-b with a + b = m, too.
            let (rows, columns) = (8, num / 8);
            let mut boxes: Vec<usize> =
                points.iter().map(|point| (point[0] * rows as f64) as usize * columns + (point[1] * columns as f64) as usize).collect();
            boxes.sort_unstable();
            assert_eq!(boxes, (0..num).collect::<Vec<_>>(), "seed {seed}");
        }
    }

    /// Scrambling is random, and another program's differs. Without it, the sequence is the same in both.
    #[test]
    fn the_sequence_under_the_scrambling_is_that_of_scipy() {
        // sorted((scipy.stats.qmc.Sobol(6, scramble=False).random(16) * 16).astype(int).tolist()): SciPy takes them in another order.
        let mut rows: Vec<Vec<u32>> = (0..16_u32)
            .map(|point| (0..6).map(|axis| sobol_burley::parts::sobol_rev(point.reverse_bits(), axis).reverse_bits() >> 28).collect())
            .collect();
        rows.sort();
        assert_eq!(rows.concat(), SCIPY_SOBOL);
    }

    const SCIPY_SOBOL: [u32; 96] = [
        0, 0, 0, 0, 0, 0, 1, 15, 9, 5, 11, 3, 2, 10, 6, 2, 2, 6, 3, 5, 15, 7, 9, 5, 4, 12, 12, 12, 4, 4, 5, 3, 5, 9, 15, 7, 6, 6, 10, 14,
        6, 2, 7, 9, 3, 11, 13, 1, 8, 8, 8, 8, 8, 8, 9, 7, 1, 13, 3, 11, 10, 2, 14, 10, 10, 14, 11, 13, 7, 15, 1, 13, 12, 4, 4, 4, 12, 12,
        13, 11, 13, 1, 7, 15, 14, 14, 2, 6, 14, 10, 15, 1, 11, 3, 5, 9,
    ];

    #[test]
    fn more_than_the_sequence_has_is_refused() {
        assert_eq!(Sampler::Sobol.points(0, (1 << 16) + 1, &axes(1)), Err(SamplerError::Points((1 << 16) + 1)));
        assert_eq!(Sampler::Sobol.points(0, 1, &axes(257)), Err(SamplerError::Dimensions(257)));
        assert_eq!(Sampler::Sobol.points(0, 1 << 16, &axes(1)).unwrap().len(), 1 << 16);
        assert_eq!(Sampler::Sobol.points(0, 1, &axes(256)).unwrap()[0].len(), 256);
        assert_eq!(Sampler::Random.points(0, 100_000, &axes(1)).unwrap().len(), 100_000);
        let too_many = SamplerError::Coordinates { num: usize::MAX, num_axes: 2 };
        assert_eq!(Sampler::Random.points(0, usize::MAX, &axes(2)), Err(too_many));
    }

    #[test]
    fn random_points_are_pinned_because_trials_depend_on_them() {
        // From hashlib.sha256, see the module.
        assert_eq!(random(7, 3, "model.vae.beta"), PINNED);
    }

    const PINNED: f64 = 0.2714174855309198;

    proptest! {
        #[test]
        fn more_points_do_not_move_those_that_are_there(seed: u64, few in 1_usize..40, more in 0_usize..40, num_axes in 1_usize..6) {
            for sampler in [Sampler::Random, Sampler::Sobol] {
                let many = sampler.points(seed, few + more, &axes(num_axes)).unwrap();
                prop_assert_eq!(&sampler.points(seed, few, &axes(num_axes)).unwrap()[..], &many[..few]);
                prop_assert!(many.iter().flatten().all(|u| (0.0..1.0).contains(u)));
            }
        }

        #[test]
        fn another_axis_does_not_move_a_random_one(seed: u64, num in 1_usize..20, taken in 0_usize..4) {
            let all = axes(5);
            let few: Vec<String> = [&all[taken..=taken], &all[4..]].concat();
            let (of_all, of_few) = (Sampler::Random.points(seed, num, &all).unwrap(), Sampler::Random.points(seed, num, &few).unwrap());
            for (one, other) in of_all.iter().zip(&of_few) {
                prop_assert_eq!(one[taken], other[0]);
                prop_assert_eq!(one[4], other[1]);
            }
        }

        #[test]
        fn another_seed_gives_other_points(seed in 0_u64..u64::MAX) {
            for sampler in [Sampler::Random, Sampler::Sobol] {
                prop_assert_ne!(sampler.points(seed, 4, &axes(2)).unwrap(), sampler.points(seed + 1, 4, &axes(2)).unwrap());
            }
        }
    }
}
