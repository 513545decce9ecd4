//! `mixture`: points of the plane from Gaussians of equal width on a ring or a grid, whose density and score are
//! known in closed form.

use std::f64::consts::TAU;

use aelab_core::{ConfigError, DataSpec, Domain, Stream};
use aelab_map::Numbers;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{check_positive, check_size, sum_of_made};
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_made;
use crate::options::dataset_config;
use crate::random::{below, made, normal};
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

/// Changes with whatever changes the outcome.
const VERSION: u32 = 1;

dataset_config! { own,
    /// Points `[2]` from an equally weighted mixture of Gaussians; the label is the component that a point came from.
    /// `GaussianMixture` in `aelab-data` gives its density and score. It has no test split of its own.
    MixtureConfig {
        /// Points to make.
        #[serde(default = "default_num_examples")]
        pub num_examples: usize,
        /// Where the centres of the components lie.
        #[serde(default)]
        pub layout: MixtureLayout,
        /// Standard deviation of each component, in both directions.
        #[serde(default = "default_sigma")]
        pub sigma: f64,
        /// Seed of the points; independent of the seed of the splits and of training.
        #[serde(default)]
        pub data_seed: u64,
    }
}

/// Where the centres of the components lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MixtureLayout {
    /// At equal distances on a circle around the origin, the first at (radius, 0).
    Ring {
        /// Components.
        num_components: usize,
        /// Radius of the circle.
        radius: f64,
    },
    /// On a square grid around the origin, row after row.
    Grid {
        /// Components in a row, and rows.
        side: usize,
        /// Distance of neighbours.
        spacing: f64,
    },
}

impl Default for MixtureLayout {
    fn default() -> Self {
        MixtureLayout::Ring { num_components: 8, radius: 2.0 }
    }
}

fn default_num_examples() -> usize {
    10_000
}

fn default_sigma() -> f64 {
    0.2
}

/// An equally weighted mixture of isotropic Gaussians of one width in the plane.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianMixture {
    /// Centres of the components.
    pub means: Vec<[f64; 2]>,
    /// Standard deviation of each component, in both directions.
    pub sigma: f64,
}

impl GaussianMixture {
    /// `log p(x)`, in nats.
    pub fn log_density(&self, x: [f64; 2]) -> f64 {
        let (largest, sum) = self.weights(x);
        let total: f64 = sum.iter().map(|(_, weight)| weight).sum();
        largest + total.ln() - (self.means.len() as f64 * TAU * self.sigma.powi(2)).ln()
    }

    /// The gradient of `log p(x)`: the mean of `(mean - x) / sigma^2` under the posterior of the components.
    pub fn score(&self, x: [f64; 2]) -> [f64; 2] {
        let (_, weights) = self.weights(x);
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        [0, 1].map(|axis| weights.iter().map(|(mean, weight)| weight * (mean[axis] - x[axis])).sum::<f64>() / (total * self.sigma.powi(2)))
    }

    /// The density of a point with Gaussian noise of deviation `noise` added: each component is wider.
    pub fn smoothed(&self, noise: f64) -> Self {
        Self { means: self.means.clone(), sigma: self.sigma.hypot(noise) }
    }

    /// The best guess of the point behind `noisy`, a point with Gaussian noise of deviation `noise` added:
    /// `noisy + noise^2 * score of the smoothed density` (Tweedie's formula; what a trained denoiser approaches).
    pub fn denoised(&self, noisy: [f64; 2], noise: f64) -> [f64; 2] {
        let score = self.smoothed(noise).score(noisy);
        [0, 1].map(|axis| noisy[axis] + noise * noise * score[axis])
    }

    /// The logarithm of the largest `exp(-|x - mean|^2 / (2 sigma^2))` and all of them divided by the largest.
    fn weights(&self, x: [f64; 2]) -> (f64, Vec<([f64; 2], f64)>) {
        let exponent = |mean: &[f64; 2]| -((x[0] - mean[0]).powi(2) + (x[1] - mean[1]).powi(2)) / (2.0 * self.sigma.powi(2));
        let largest = self.means.iter().map(exponent).fold(f64::NEG_INFINITY, f64::max);
        (largest, self.means.iter().map(|mean| (*mean, (exponent(mean) - largest).exp())).collect())
    }

    /// A point and the component it came from.
    fn draw(&self, stream: &mut Stream) -> ([f64; 2], usize) {
        let component = below(stream, self.means.len());
        (self.means[component].map(|center| center + self.sigma * normal(stream)), component)
    }
}

impl MixtureConfig {
    /// The distribution that the points come from, before any `scale`.
    pub fn mixture(&self) -> GaussianMixture {
        let means = match self.layout {
            MixtureLayout::Ring { num_components, radius } => (0..num_components)
                .map(|component| {
                    let angle = TAU * component as f64 / num_components as f64;
                    [radius * angle.cos(), radius * angle.sin()]
                })
                .collect(),
            MixtureLayout::Grid { side, spacing } => {
                let at = |index: usize| (index as f64 - (side as f64 - 1.0) / 2.0) * spacing;
                (0..side * side).map(|component| [at(component % side), at(component / side)]).collect()
            }
        };
        GaussianMixture { means, sigma: self.sigma }
    }

    fn num_components(&self) -> Option<usize> {
        match self.layout {
            MixtureLayout::Ring { num_components, .. } => Some(num_components),
            MixtureLayout::Grid { side, .. } => side.checked_mul(side),
        }
    }
}

impl DatasetSource for MixtureConfig {
    const NAME: &'static str = "mixture";
    const SUMMARY: &'static str = "made here: points of the plane from Gaussians on a ring or a grid, with known density and score";
    const EMBEDDED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        check_size(self.num_examples, 2)?;
        check_positive("sigma", self.sigma)?;
        let (count, distance) = match self.layout {
            MixtureLayout::Ring { radius, .. } => ("ring.num_components", ("radius", radius)),
            MixtureLayout::Grid { spacing, .. } => ("grid.side", ("spacing", spacing)),
        };
        let variant = if count.starts_with("ring") { "ring" } else { "grid" };
        check_positive(distance.0, distance.1).map_err(|error| error.within(variant).within("layout"))?;
        if !self.num_components().is_some_and(|components| (1..=10_000).contains(&components)) {
            return Err(ConfigError::new(count, "a mixture has 1 to 10,000 components").within("layout"));
        }
        self.options().check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        Ok(sum_of_made(Self::NAME, VERSION, &(self.num_examples, self.layout, self.sigma, self.data_seed)))
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(vec![2], Domain::Real, self.num_components()))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let mixture = self.mixture();
            let (mut values, mut labels) = (Vec::with_capacity(2 * self.num_examples), Vec::with_capacity(self.num_examples));
            for row in 0..self.num_examples {
                let (point, component) = mixture.draw(&mut made(self.data_seed, row));
                values.extend(point.map(|value| value as f32));
                labels.push(component as u32);
            }
            let part = Part::new(Origin::file(Self::NAME), Values::Floats(Numbers::owned(values)), Some(labels));
            let class_names = (0..mixture.means.len()).map(|component| component.to_string()).collect();
            Ok(RawDataset::new(part, [2], Some(class_names)))
        };
        load_made(self, &self.options(), context, 2 * self.num_examples, decode)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(section: serde_json::Value) -> MixtureConfig {
        serde_json::from_value(section).unwrap()
    }

    fn layouts() -> [MixtureConfig; 2] {
        [config(json!({"sigma": 0.5})), config(json!({"layout": {"grid": {"side": 3, "spacing": 1.5}}, "sigma": 0.7}))]
    }

    #[test]
    fn the_score_is_the_gradient_of_the_log_density_also_when_smoothed_and_far_away() {
        let step = 1e-5;
        for mixture in layouts().map(|config| config.mixture()) {
            for mixture in [mixture.clone(), mixture.smoothed(0.4)] {
                for x in [[0.0, 0.0], [1.3, -0.2], [-2.0, 1.9], [40.0, -35.0]] {
                    let log_density = |dx, dy| mixture.log_density([x[0] + dx, x[1] + dy]);
                    let expected = [log_density(step, 0.0) - log_density(-step, 0.0), log_density(0.0, step) - log_density(0.0, -step)]
                        .map(|difference| difference / (2.0 * step));
                    let found = mixture.score(x);
                    for axis in [0, 1] {
                        assert!((found[axis] - expected[axis]).abs() < 1e-6 * (1.0 + expected[axis].abs()), "{x:?} {found:?} {expected:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_density_integrates_to_one() {
        for config in layouts() {
            let mixture = config.mixture();
            let step = 0.05;
            let at = |index: i32| f64::from(index) * step;
            let sum: f64 = (-120..=120)
                .flat_map(|row| (-120..=120).map(move |column| [at(column), at(row)]))
                .map(|x| mixture.log_density(x).exp())
                .sum();
            assert!((sum * step * step - 1.0).abs() < 1e-9, "{}", sum * step * step);
        }
    }

    #[test]
    fn the_denoised_point_is_the_posterior_mean() {
        // Two components: p(component | noisy) by Bayes, the mean within each shrunk towards its centre.
        let mixture = GaussianMixture { means: vec![[-1.0, 0.0], [1.0, 0.5]], sigma: 0.6 };
        let (noise, noisy) = (0.8, [0.3, -0.4]);
        let wide = 0.6 * 0.6 + 0.8 * 0.8;
        let weight = |mean: [f64; 2]| (-((noisy[0] - mean[0]).powi(2) + (noisy[1] - mean[1]).powi(2)) / (2.0 * wide)).exp();
        let (first, second) = (weight(mixture.means[0]), weight(mixture.means[1]));
        let within = |mean: [f64; 2], axis: usize| mean[axis] + 0.36 / wide * (noisy[axis] - mean[axis]);
        let denoised = mixture.denoised(noisy, noise);
        for axis in [0, 1] {
            let expected = (first * within(mixture.means[0], axis) + second * within(mixture.means[1], axis)) / (first + second);
            assert!((denoised[axis] - expected).abs() < 1e-12, "{denoised:?}");
        }
    }

    #[test]
    fn points_lie_around_the_centre_of_their_label() {
        let config = config(json!({"sigma": 0.05, "num_valid": 0, "num_test": 0, "num_examples": 4000}));
        let context = LoadContext { base_dir: "".into(), cache_dir: "".into(), offline: true };
        let dataset = DatasetSource::load(&config, &context).unwrap();
        let mut points = Vec::new();
        use aelab_core::Examples;
        let indices: Vec<usize> = (0..4000).collect();
        dataset.train.gather(&indices, &mut made(0, 0), &mut points);
        let (means, mut squares, mut counts) = (config.mixture().means, 0.0, [0; 8]);
        for (point, &label) in points.chunks_exact(2).zip(dataset.train.labels().unwrap()) {
            let mean = means[label as usize];
            squares += (f64::from(point[0]) - mean[0]).powi(2) + (f64::from(point[1]) - mean[1]).powi(2);
            counts[label as usize] += 1;
        }
        // Standard error of the variance: 0.0025 * sqrt(2 / 8000) = 4e-5; of a count: sqrt(4000 * 7 / 64) = 21.
        assert!((squares / 8000.0 - 0.0025).abs() < 2e-4, "{}", squares / 8000.0);
        assert!(counts.iter().all(|count| (400..600).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_cannot_be_made_is_refused_at_its_key() {
        let path = |section| DatasetSource::check(&config(section)).unwrap_err().path;
        assert_eq!(path(json!({"sigma": 0})), "sigma");
        assert_eq!(path(json!({"layout": {"ring": {"num_components": 0, "radius": 1}}})), "layout.ring.num_components");
        assert_eq!(path(json!({"layout": {"grid": {"side": 5, "spacing": -1}}})), "layout.grid.spacing");
        assert!(layouts().iter().all(|config| DatasetSource::check(config).is_ok()));
    }
}
