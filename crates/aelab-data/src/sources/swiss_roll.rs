//! `swiss_roll`: a sheet rolled up in space, the classic test of manifold learning.

use std::f64::consts::PI;

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;

use super::{check_not_negative, check_positive, check_size, sum_of_made};
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_made;
use crate::options::dataset_config;
use crate::random::{made, normal, uniform};
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

/// Changes with whatever changes the outcome.
const VERSION: u32 = 1;

dataset_config! { own,
    /// Points `[3]` of a rolled-up sheet: `(t cos t, height, t sin t)` with `t` uniform in `[1.5 pi, 4.5 pi)`, as in
    /// scikit-learn. It has no labels and no test split of its own.
    SwissRollConfig {
        /// Points to make.
        #[serde(default = "default_num_examples")]
        pub num_examples: usize,
        /// Width of the sheet along the axis of the roll.
        #[serde(default = "default_width")]
        pub width: f64,
        /// Standard deviation of the Gaussian noise that is added to each coordinate.
        #[serde(default)]
        pub noise: f64,
        /// Seed of the points; independent of the seed of the splits and of training.
        #[serde(default)]
        pub data_seed: u64,
    }
}

fn default_num_examples() -> usize {
    10_000
}

fn default_width() -> f64 {
    21.0
}

/// Added to the seed for the noise.
const NOISE: u64 = 1 << 63;

impl SwissRollConfig {
    /// Where on the sheet point `row` lies: its angle `t` in radians, along the spiral, and its height, along the axis.
    ///
    /// Points are counted before they are split.
    pub fn sheet(&self, row: usize) -> [f64; 2] {
        let stream = &mut made(self.data_seed, row);
        [1.5 * PI * (1.0 + 2.0 * uniform(stream)), self.width * uniform(stream)]
    }

    fn point(&self, row: usize) -> [f64; 3] {
        let [angle, height] = self.sheet(row);
        // The noise has a stream of its own, so that the sheet is the same with and without it.
        let stream = &mut made(self.data_seed ^ NOISE, row);
        [angle * angle.cos(), height, angle * angle.sin()].map(|value| value + self.noise * normal(stream))
    }
}

impl DatasetSource for SwissRollConfig {
    const NAME: &'static str = "swiss_roll";
    const SUMMARY: &'static str = "made here: points of a sheet rolled up in space";
    const CITATION: &'static str = "Marsland 2009, Machine Learning: An Algorithmic Perspective, chapter 10";
    const EMBEDDED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        check_size(self.num_examples, 3)?;
        check_positive("width", self.width)?;
        check_not_negative("noise", self.noise)?;
        self.options().labelled(false, "")?.check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        Ok(sum_of_made(Self::NAME, VERSION, &(self.num_examples, self.width, self.noise, self.data_seed)))
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(vec![3], Domain::Real, None))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let values = (0..self.num_examples).flat_map(|row| self.point(row)).map(|value| value as f32).collect();
            let part = Part::new(Origin::file(Self::NAME), Values::Floats(Numbers::owned(values)), None);
            Ok(RawDataset::new(part, [3], None))
        };
        load_made(self, &self.options(), context, 3 * self.num_examples, decode)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(section: serde_json::Value) -> SwissRollConfig {
        serde_json::from_value(section).unwrap()
    }

    #[test]
    fn without_noise_every_point_lies_on_the_spiral() {
        let config = config(json!({"width": 10}));
        for row in 0..200 {
            let ([angle, height], [x, y, z]) = (config.sheet(row), config.point(row));
            assert!((1.5 * PI..4.5 * PI).contains(&angle) && (0.0..10.0).contains(&height));
            // The distance from the axis is the angle.
            assert!((x.hypot(z) - angle).abs() < 1e-12);
            assert!((z.atan2(x) - angle).rem_euclid(2.0 * PI).min((angle - z.atan2(x)).rem_euclid(2.0 * PI)) < 1e-9);
            assert_eq!(y, height);
        }
    }

    #[test]
    fn noise_moves_points_by_its_deviation_and_leaves_the_sheet() {
        let (smooth, noisy) = (config(json!({})), config(json!({"noise": 0.5})));
        let mut squares = 0.0;
        for row in 0..4000 {
            assert_eq!(smooth.sheet(row), noisy.sheet(row));
            squares += smooth.point(row).iter().zip(noisy.point(row)).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        }
        // Standard error: 0.25 * sqrt(2 / 12,000) = 0.003.
        assert!((squares / 12_000.0 - 0.25).abs() < 0.015, "{}", squares / 12_000.0);
    }
}
