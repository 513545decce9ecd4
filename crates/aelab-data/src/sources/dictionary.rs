//! `dictionary`: sums of a few atoms of a known dictionary, what sparse coding is meant to take apart.

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;

use super::{check_interval, check_not_negative, check_size, sum_of_made};
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_made;
use crate::options::dataset_config;
use crate::random::{below, between, made, normal, shared};
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

/// Changes with whatever changes the outcome.
const VERSION: u32 = 1;

dataset_config! { own,
    /// Vectors `[num_features]`, each the sum of `num_active` atoms of one dictionary with non-negative coefficients,
    /// and noise. Atoms are drawn uniformly from the unit sphere, those of an example without repetition.
    /// `DictionaryConfig::atoms` in `aelab-data` gives the dictionary. It has no labels and no test split of its own.
    DictionaryConfig {
        /// Vectors to make.
        #[serde(default = "default_num_examples")]
        pub num_examples: usize,
        /// Length of a vector.
        #[serde(default = "default_num_features")]
        pub num_features: usize,
        /// Atoms of the dictionary; more than `num_features` make it overcomplete.
        #[serde(default = "default_num_atoms")]
        pub num_atoms: usize,
        /// Atoms in each vector.
        #[serde(default = "default_num_active")]
        pub num_active: usize,
        /// Lowest and highest coefficient, drawn uniformly.
        #[serde(default = "default_coefficient")]
        pub coefficient: [f64; 2],
        /// Standard deviation of the Gaussian noise that is added to each value.
        #[serde(default)]
        pub noise: f64,
        /// Seed of the dictionary and of the vectors; independent of the seed of the splits and of training.
        #[serde(default)]
        pub data_seed: u64,
    }
}

fn default_num_examples() -> usize {
    20_000
}

fn default_num_features() -> usize {
    32
}

fn default_num_atoms() -> usize {
    64
}

fn default_num_active() -> usize {
    3
}

fn default_coefficient() -> [f64; 2] {
    [0.5, 1.5]
}

impl DictionaryConfig {
    /// The dictionary: `num_atoms` vectors of `num_features` values and norm 1, before any `scale`.
    pub fn atoms(&self) -> Vec<Vec<f64>> {
        let stream = &mut shared(self.data_seed);
        let mut atom = || {
            // A Gaussian vector has no preferred direction.
            let atom: Vec<f64> = (0..self.num_features).map(|_| normal(stream)).collect();
            let norm = atom.iter().map(|value| value * value).sum::<f64>().sqrt();
            atom.into_iter().map(|value| value / norm).collect()
        };
        (0..self.num_atoms).map(|_| atom()).collect()
    }

    /// What vector `row` is made of: atoms, ascending, with their coefficients.
    ///
    /// Vectors are counted before they are split.
    pub fn code(&self, row: usize) -> Vec<(usize, f64)> {
        self.drawn(row).0
    }

    /// The code of a vector and its noise.
    fn drawn(&self, row: usize) -> (Vec<(usize, f64)>, Vec<f64>) {
        let stream = &mut made(self.data_seed, row);
        // Floyd's choice of `num_active` different numbers: as many draws as there are numbers.
        let mut chosen: Vec<usize> = Vec::with_capacity(self.num_active);
        for last in self.num_atoms - self.num_active..self.num_atoms {
            let candidate = below(stream, last + 1);
            chosen.push(if chosen.contains(&candidate) { last } else { candidate });
        }
        chosen.sort_unstable();
        let code = chosen.into_iter().map(|atom| (atom, between(stream, self.coefficient))).collect();
        let noise = (0..self.num_features).map(|_| if self.noise > 0.0 { self.noise * normal(stream) } else { 0.0 }).collect();
        (code, noise)
    }
}

impl DatasetSource for DictionaryConfig {
    const NAME: &'static str = "dictionary";
    const SUMMARY: &'static str = "made here: sparse sums of the atoms of a known dictionary";
    const EMBEDDED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        for (key, value) in [("num_features", self.num_features), ("num_atoms", self.num_atoms), ("num_active", self.num_active)] {
            if value == 0 || value > 1 << 20 {
                return Err(ConfigError::new(key, format!("`{key}` must be from 1 to {}, but is {value}", 1 << 20)));
            }
        }
        if self.num_active > self.num_atoms {
            let message = format!("{} different atoms cannot be chosen out of `num_atoms: {}`", self.num_active, self.num_atoms);
            return Err(ConfigError::new("num_active", message));
        }
        check_size(self.num_examples, self.num_features)?;
        check_size(self.num_atoms, self.num_features).map_err(|error| ConfigError::new("num_atoms", error.message))?;
        check_interval("coefficient", self.coefficient, 0.0)?;
        check_not_negative("noise", self.noise)?;
        self.options().labelled(false, "")?.check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        let sizes = (self.num_examples, self.num_features, self.num_atoms, self.num_active);
        Ok(sum_of_made(Self::NAME, VERSION, &(sizes, self.coefficient, self.noise, self.data_seed)))
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(vec![self.num_features], Domain::Real, None))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let atoms = self.atoms();
            let mut values = Vec::with_capacity(self.num_examples * self.num_features);
            for row in 0..self.num_examples {
                let (code, mut vector) = self.drawn(row);
                for (atom, coefficient) in code {
                    vector.iter_mut().zip(&atoms[atom]).for_each(|(sum, value)| *sum += coefficient * value);
                }
                values.extend(vector.iter().map(|&value| value as f32));
            }
            let part = Part::new(Origin::file(Self::NAME), Values::Floats(Numbers::owned(values)), None);
            let atoms = atoms.iter().flatten().map(|&value| value as f32).collect();
            Ok(RawDataset { dictionary: Some(atoms), ..RawDataset::new(part, [self.num_features], None) })
        };
        load_made(self, &self.options(), context, self.num_examples * self.num_features, decode)
    }
}

#[cfg(test)]
mod tests {
    use aelab_core::Examples;
    use serde_json::json;

    use super::*;

    fn config(section: serde_json::Value) -> DictionaryConfig {
        serde_json::from_value(section).unwrap()
    }

    #[test]
    fn atoms_have_norm_1_and_differ() {
        let atoms = config(json!({})).atoms();
        assert_eq!((atoms.len(), atoms[0].len()), (64, 32));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for (at, atom) in atoms.iter().enumerate() {
            assert!((dot(atom, atom) - 1.0).abs() < 1e-12);
            assert!(atoms[..at].iter().all(|other| dot(atom, other).abs() < 0.9));
        }
    }

    #[test]
    fn vectors_are_the_sums_that_their_codes_say() {
        let config = config(json!({"num_examples": 50, "num_valid": 0, "num_test": 0}));
        let context = LoadContext { base_dir: "".into(), cache_dir: "".into(), offline: true };
        let dataset = DatasetSource::load(&config, &context).unwrap();
        let (atoms, mut values) = (config.atoms(), Vec::new());
        dataset.train.gather(&(0..50).collect::<Vec<_>>(), &mut made(0, 0), &mut values);
        for (row, vector) in values.chunks_exact(32).enumerate() {
            let code = config.code(row);
            assert_eq!(code.len(), 3);
            assert!(code.windows(2).all(|pair| pair[0].0 < pair[1].0), "{code:?}");
            assert!(code.iter().all(|(_, coefficient)| (0.5..1.5).contains(coefficient)), "{code:?}");
            for (feature, &value) in vector.iter().enumerate() {
                let expected: f64 = code.iter().map(|&(atom, coefficient)| coefficient * atoms[atom][feature]).sum();
                assert!((f64::from(value) - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn splits_know_the_atoms_unless_they_are_scaled() {
        let context = LoadContext { base_dir: "".into(), cache_dir: "".into(), offline: true };
        let config_of = |scale| config(json!({"num_examples": 50, "num_valid": 5, "num_test": 5, "scale": scale}));
        let plain = config_of("none");
        let dataset = DatasetSource::load(&plain, &context).unwrap();
        let atoms: Vec<f32> = plain.atoms().iter().flatten().map(|&value| value as f32).collect();
        assert!([&dataset.train, &dataset.valid, &dataset.test].iter().all(|split| split.dictionary() == Some(&atoms[..])));
        assert_eq!(DatasetSource::load(&config_of("standardize"), &context).unwrap().test.dictionary(), None);
    }

    #[test]
    fn every_atom_is_as_likely() {
        let config = config(json!({"num_atoms": 10, "num_active": 4}));
        let mut counts = [0; 10];
        (0..5000).flat_map(|row| config.code(row)).for_each(|(atom, _)| counts[atom] += 1);
        // Standard deviation of each count: sqrt(5000 * 0.4 * 0.6) = 35.
        assert!(counts.iter().all(|count| (1850..2150).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_cannot_be_made_is_refused_at_its_key() {
        let path = |section| DatasetSource::check(&config(section)).unwrap_err().path;
        assert_eq!(path(json!({"num_active": 65})), "num_active");
        assert_eq!(path(json!({"num_atoms": 0})), "num_atoms");
        assert_eq!(path(json!({"coefficient": [-1, 1]})), "coefficient");
        assert!(DatasetSource::check(&config(json!({}))).is_ok());
    }
}
