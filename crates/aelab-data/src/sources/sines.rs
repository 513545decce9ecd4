//! `sines`: series of one channel, each a sine of its own frequency, phase and amplitude, with noise.

use std::f64::consts::TAU;

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;

use super::{check_interval, check_not_negative, check_size, sum_of_made};
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_made;
use crate::observed::Observed;
use crate::options::dataset_config;
use crate::random::{below, between, made, normal, uniform};
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

/// Changes with whatever changes the outcome.
const VERSION: u32 = 1;

dataset_config! { own,
    /// Series `[time, 1]` of noisy sines: `amplitude * sin(2 pi frequency t / length + phase) + noise`, the phase
    /// uniform. It has no labels and no test split of its own.
    SinesConfig {
        /// Series to make.
        #[serde(default = "default_num_examples")]
        pub num_examples: usize,
        /// Time steps of the longest series.
        #[serde(default = "default_length")]
        pub length: usize,
        /// Time steps of the shortest: lengths are then uniform between it and `length`, and what follows the end of
        /// a series is 0 and masked. When absent, all series have `length` steps.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub min_length: Option<usize>,
        /// Lowest and highest frequency, in cycles per `length` steps.
        #[serde(default = "default_frequency")]
        pub frequency: [f64; 2],
        /// Lowest and highest amplitude.
        #[serde(default = "default_amplitude")]
        pub amplitude: [f64; 2],
        /// Standard deviation of the Gaussian noise that is added to each value.
        #[serde(default = "default_noise")]
        pub noise: f64,
        /// Seed of the series; independent of the seed of the splits and of training.
        #[serde(default)]
        pub data_seed: u64,
    }
}

fn default_num_examples() -> usize {
    10_000
}

fn default_length() -> usize {
    64
}

fn default_frequency() -> [f64; 2] {
    [1.0, 4.0]
}

fn default_amplitude() -> [f64; 2] {
    [0.5, 1.0]
}

fn default_noise() -> f64 {
    0.05
}

impl DatasetSource for SinesConfig {
    const NAME: &'static str = "sines";
    const SUMMARY: &'static str = "made here: series of noisy sines, of equal or different lengths";
    const EMBEDDED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        if self.length < 2 {
            return Err(ConfigError::new("length", format!("`length` must be at least 2, but is {}", self.length)));
        }
        if let Some(shortest) = self.min_length
            && !(1..=self.length).contains(&shortest)
        {
            let message = format!("`min_length` must be at least 1 and at most `length`, {}, but is {shortest}", self.length);
            return Err(ConfigError::new("min_length", message));
        }
        check_size(self.num_examples, self.length)?;
        check_interval("frequency", self.frequency, 0.0)?;
        if self.frequency[1] > self.length as f64 / 2.0 {
            let message = format!(
                "{} cycles in {} steps cannot be told from fewer; the highest frequency is `length` / 2",
                self.frequency[1], self.length
            );
            return Err(ConfigError::new("frequency", message));
        }
        check_interval("amplitude", self.amplitude, 0.0)?;
        check_not_negative("noise", self.noise)?;
        self.options().labelled(false, "")?.check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        let options = (self.num_examples, self.length, self.min_length, self.frequency, self.amplitude, self.noise, self.data_seed);
        Ok(sum_of_made(Self::NAME, VERSION, &options))
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(vec![self.length, 1], Domain::Real, None))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let mut values = Vec::with_capacity(self.num_examples * self.length);
            let mut lengths = Vec::with_capacity(self.num_examples);
            for row in 0..self.num_examples {
                lengths.push(self.append(row, &mut values) as u32);
            }
            let mut part = Part::new(Origin::file(Self::NAME), Values::Floats(Numbers::owned(values)), None);
            if self.min_length.is_some() {
                part.observed = Observed::series(lengths, 1);
            }
            Ok(RawDataset::new(part, [self.length, 1], None))
        };
        load_made(self, &self.options(), context, self.num_examples * self.length, decode)
    }
}

impl SinesConfig {
    /// Appends one series, padded with 0, and says how long it is.
    fn append(&self, row: usize, values: &mut Vec<f32>) -> usize {
        let stream = &mut made(self.data_seed, row);
        let frequency = between(stream, self.frequency);
        let amplitude = between(stream, self.amplitude);
        let phase = TAU * uniform(stream);
        let length = self.min_length.map_or(self.length, |shortest| shortest + below(stream, self.length - shortest + 1));
        let step = TAU * frequency / self.length as f64;
        values.extend((0..length).map(|time| (amplitude * (step * time as f64 + phase).sin() + self.noise * normal(stream)) as f32));
        values.extend(std::iter::repeat_n(0.0, self.length - length));
        length
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(section: serde_json::Value) -> SinesConfig {
        serde_json::from_value(section).unwrap()
    }

    #[test]
    fn without_noise_a_series_obeys_the_recurrence_of_a_sine() {
        let config = config(json!({"noise": 0, "frequency": [3, 3], "amplitude": [2, 2]}));
        let mut series = Vec::new();
        assert_eq!(config.append(5, &mut series), 64);
        // sin(a + d) + sin(a - d) = 2 cos(d) sin(a)
        let factor = 2.0 * (TAU * 3.0 / 64.0).cos();
        for at in 1..63 {
            let expected = factor * f64::from(series[at]);
            assert!((f64::from(series[at - 1] + series[at + 1]) - expected).abs() < 1e-5, "{at}");
        }
        let energy: f64 = series.iter().map(|&value| f64::from(value).powi(2)).sum();
        assert!((energy / 64.0 - 2.0).abs() < 1e-5, "the mean square of a sine of amplitude 2 over whole cycles is 2: {energy}");
    }

    #[test]
    fn noise_has_the_deviation_asked_for() {
        let config = config(json!({"noise": 0.3, "amplitude": [0, 0]}));
        let mut values = Vec::new();
        (0..500).for_each(|row| {
            config.append(row, &mut values);
        });
        let variance = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / values.len() as f64;
        // Standard error of the variance: 0.09 * sqrt(2 / 32,000) = 0.0007.
        assert!((variance - 0.09).abs() < 0.003, "{variance}");
    }

    #[test]
    fn lengths_take_every_value_between_the_shortest_and_the_longest() {
        let config = config(json!({"length": 10, "min_length": 8, "frequency": [1, 2]}));
        let mut counts = [0; 11];
        (0..600).for_each(|row| counts[config.append(row, &mut Vec::new())] += 1);
        assert_eq!(counts[..8], [0; 8]);
        // Standard deviation of each: sqrt(600 * 2 / 9) = 12.
        assert!(counts[8..].iter().all(|count| (150..250).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_cannot_be_made_is_refused_at_its_key() {
        let path = |section| DatasetSource::check(&config(section)).unwrap_err().path;
        assert_eq!(path(json!({"num_examples": 0})), "num_examples");
        assert_eq!(path(json!({"length": 1})), "length");
        assert_eq!(path(json!({"min_length": 65})), "min_length");
        assert_eq!(path(json!({"frequency": [1, 33]})), "frequency");
        assert_eq!(path(json!({"frequency": [2, 1]})), "frequency");
        assert_eq!(path(json!({"amplitude": [-1, 1]})), "amplitude");
        assert_eq!(path(json!({"noise": -0.1})), "noise");
        assert!(DatasetSource::check(&config(json!({}))).is_ok());
    }
}
