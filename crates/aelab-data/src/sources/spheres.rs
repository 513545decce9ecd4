//! `spheres`: ten spheres inside a large one in many dimensions, a structure that flattening tears apart.

use aelab_core::{ConfigError, DataSpec, Domain, Stream};
use aelab_map::Numbers;

use super::{check_positive, check_size, sum_of_made};
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_made;
use crate::options::dataset_config;
use crate::random::{made, normal, shared};
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

/// Changes with whatever changes the outcome.
const VERSION: u32 = 1;

/// The large sphere is so many times as wide.
const OUTER: f64 = 5.0;

dataset_config! { own,
    /// Points `[num_features]` on high-dimensional spheres: `num_inner` small ones around random centres, and a large
    /// one of five times the radius around the origin that has as many points as all others together. The label
    /// is the sphere, the large one last. It has no test split of its own.
    SpheresConfig {
        /// Points of each small sphere.
        #[serde(default = "default_num_points")]
        pub num_points: usize,
        /// Small spheres.
        #[serde(default = "default_num_inner")]
        pub num_inner: usize,
        /// Coordinates of a point; a sphere has one dimension less.
        #[serde(default = "default_num_features")]
        pub num_features: usize,
        /// Radius of the small spheres; that of the large one is five times as much.
        #[serde(default = "default_radius")]
        pub radius: f64,
        /// Seed of the centres and points; independent of the seed of the splits and of training.
        #[serde(default)]
        pub data_seed: u64,
    }
}

fn default_num_points() -> usize {
    500
}

fn default_num_inner() -> usize {
    10
}

fn default_num_features() -> usize {
    101
}

fn default_radius() -> f64 {
    5.0
}

impl SpheresConfig {
    /// Centre of each small sphere: Gaussian with deviation `10 / sqrt(num_features - 1)`, before any `scale`.
    pub fn centers(&self) -> Vec<Vec<f64>> {
        let stream = &mut shared(self.data_seed);
        let deviation = 10.0 / (self.num_features as f64 - 1.0).sqrt();
        (0..self.num_inner).map(|_| (0..self.num_features).map(|_| deviation * normal(stream)).collect()).collect()
    }

    fn num_examples(&self) -> Option<usize> {
        self.num_points.checked_mul(self.num_inner)?.checked_mul(2)
    }
}

/// A point of the sphere of radius 1 around the origin, uniform.
fn direction(stream: &mut Stream, num_features: usize) -> Vec<f64> {
    let point: Vec<f64> = (0..num_features).map(|_| normal(stream)).collect();
    let norm = point.iter().map(|value| value * value).sum::<f64>().sqrt();
    point.into_iter().map(|value| value / norm).collect()
}

impl DatasetSource for SpheresConfig {
    const NAME: &'static str = "spheres";
    const SUMMARY: &'static str = "made here: ten spheres inside a large one, 101 dimensions";
    const CITATION: &'static str = "Moor, Horn, Rieck and Borgwardt 2020, Topological Autoencoders, https://arxiv.org/abs/1906.00722";
    const EMBEDDED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        for (key, value, least) in
            [("num_points", self.num_points, 1), ("num_inner", self.num_inner, 1), ("num_features", self.num_features, 2)]
        {
            if value < least {
                return Err(ConfigError::new(key, format!("`{key}` must be at least {least}, but is {value}")));
            }
        }
        check_size(self.num_examples().unwrap_or(usize::MAX), self.num_features)
            .map_err(|error| ConfigError::new("num_points", error.message))?;
        check_positive("radius", self.radius)?;
        self.options().check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        let options = (self.num_points, self.num_inner, self.num_features, self.radius, self.data_seed);
        Ok(sum_of_made(Self::NAME, VERSION, &options))
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(vec![self.num_features], Domain::Real, Some(self.num_inner + 1)))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let centers = self.centers();
            let num_inside = self.num_points * self.num_inner;
            let mut values = Vec::with_capacity(2 * num_inside * self.num_features);
            let mut labels = Vec::with_capacity(2 * num_inside);
            for row in 0..2 * num_inside {
                let point = direction(&mut made(self.data_seed, row), self.num_features);
                match centers.get(row / self.num_points) {
                    Some(center) => values.extend(point.iter().zip(center).map(|(value, center)| (self.radius * value + center) as f32)),
                    None => values.extend(point.iter().map(|value| (OUTER * self.radius * value) as f32)),
                }
                labels.push((row / self.num_points).min(self.num_inner) as u32);
            }
            let part = Part::new(Origin::file(Self::NAME), Values::Floats(Numbers::owned(values)), Some(labels));
            let class_names = (0..=self.num_inner).map(|sphere| sphere.to_string()).collect();
            Ok(RawDataset::new(part, [self.num_features], Some(class_names)))
        };
        load_made(self, &self.options(), context, 2 * self.num_inner * self.num_points * self.num_features, decode)
    }
}

#[cfg(test)]
mod tests {
    use aelab_core::Examples;
    use serde_json::json;

    use super::*;

    #[test]
    fn points_have_the_distance_from_their_centre_that_their_label_says() {
        let config: SpheresConfig = serde_json::from_value(json!({"num_valid": 0, "num_test": 0, "num_points": 50})).unwrap();
        let context = LoadContext { base_dir: "".into(), cache_dir: "".into(), offline: true };
        let dataset = DatasetSource::load(&config, &context).unwrap();
        assert_eq!(dataset.train.len(), 1000);
        let mut values = Vec::new();
        dataset.train.gather(&(0..1000).collect::<Vec<_>>(), &mut made(0, 0), &mut values);
        let (centers, mut counts) = (config.centers(), [0; 11]);
        let mut sum = vec![0.0; 101];
        for (point, &label) in values.chunks_exact(101).zip(dataset.train.labels().unwrap()) {
            let zero = vec![0.0; 101];
            let (center, radius) = centers.get(label as usize).map_or((&zero, 25.0), |center| (center, 5.0));
            let distance = point.iter().zip(center).map(|(&value, center)| (f64::from(value) - center).powi(2)).sum::<f64>().sqrt();
            assert!((distance - radius).abs() < 1e-4, "{label}: {distance}");
            counts[label as usize] += 1;
            if label == 10 {
                sum.iter_mut().zip(point).for_each(|(sum, &value)| *sum += f64::from(value) / 500.0);
            }
        }
        assert_eq!((counts[..10].to_vec(), counts[10]), (vec![50; 10], 500));
        // The mean of 500 points of a sphere has a length of about 25 / sqrt(500) = 1.1.
        assert!(sum.iter().map(|value| value * value).sum::<f64>().sqrt() < 2.0);
    }
}
