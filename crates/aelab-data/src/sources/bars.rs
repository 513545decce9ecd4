//! `bars`: bars and stripes, small binary images whose distribution can be summed over exactly.

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;

use super::{check_size, sum_of_made};
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_made;
use crate::options::dataset_config;
use crate::random::{below, made};
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

/// Changes with whatever changes the outcome.
const VERSION: u32 = 1;

/// Every pattern of a larger image would be more than memory should hold.
const LARGEST_LISTED: usize = 16;

dataset_config! { own,
    /// Bars and stripes (MacKay 2003, section 43.4): binary images `[1, size, size]` in which either each row or each
    /// column is all 0 or all 1. It has no labels and no test split of its own.
    BarsConfig {
        /// Rows and columns of an image.
        #[serde(default = "default_size")]
        pub size: usize,
        /// Images to draw: rows or columns with probability 1/2 each, then each bar with probability 1/2, so that the
        /// empty and the full image are twice as likely as any other. When absent, each of the `2 * 2^size - 2`
        /// patterns comes once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub num_examples: Option<usize>,
        /// Seed of the drawn images; independent of the seed of the splits and of training.
        #[serde(default)]
        pub data_seed: u64,
    }
}

fn default_size() -> usize {
    4
}

/// Every pattern of bars and stripes once, `2 * 2^size - 2` images of `size * size` values 0 and 1: those of
/// horizontal bars first, from the empty one to the full one.
///
/// # Panics
/// When `size` is 0 or more than 16.
pub fn bars_patterns(size: usize) -> Vec<Vec<u8>> {
    assert!((1..=LARGEST_LISTED).contains(&size), "patterns are listed for sizes 1 to {LARGEST_LISTED}");
    let all = 1usize << size;
    let rows = (0..all).map(|bits| pattern(size, false, |bar| bits >> bar & 1 == 1));
    // The empty and the full image are in the list already; for a size of 1 that is all there is.
    let columns = (1..all - 1).map(|bits| pattern(size, true, |bar| bits >> bar & 1 == 1));
    rows.chain(columns).collect()
}

fn pattern(size: usize, vertical: bool, is_on: impl Fn(usize) -> bool) -> Vec<u8> {
    (0..size * size).map(|at| u8::from(is_on(if vertical { at % size } else { at / size }))).collect()
}

impl BarsConfig {
    fn drawn(&self, row: usize) -> Vec<u8> {
        let stream = &mut made(self.data_seed, row);
        let vertical = below(stream, 2) == 1;
        let bars: Vec<bool> = (0..self.size).map(|_| below(stream, 2) == 1).collect();
        pattern(self.size, vertical, |bar| bars[bar])
    }
}

impl DatasetSource for BarsConfig {
    const NAME: &'static str = "bars";
    const SUMMARY: &'static str = "made here: bars and stripes, binary images of which every pattern is known";
    const CITATION: &'static str = "MacKay 2003, Information Theory, Inference, and Learning Algorithms, section 43.4";
    const EMBEDDED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        if self.size == 0 || self.size > 256 {
            return Err(ConfigError::new("size", format!("`size` must be from 1 to 256, but is {}", self.size)));
        }
        match self.num_examples {
            None if self.size > LARGEST_LISTED => {
                let message = format!("there are 2 * 2^{} - 2 patterns; give `num_examples` to draw some of them", self.size);
                return Err(ConfigError::new("size", message));
            }
            None => {}
            Some(num_examples) => check_size(num_examples, self.size * self.size)?,
        }
        self.options().labelled(false, "")?.check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        Ok(sum_of_made(Self::NAME, VERSION, &(self.size, self.num_examples, self.data_seed)))
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(vec![1, self.size, self.size], Domain::Binary, None))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let data = match self.num_examples {
                None => bars_patterns(self.size).concat(),
                Some(num_examples) => (0..num_examples).flat_map(|row| self.drawn(row)).collect(),
            };
            let part = Part::new(Origin::file(Self::NAME), Values::Bytes { data: Numbers::owned(data), divisor: 1.0 }, None);
            Ok(RawDataset::new(part, [1, self.size, self.size], None))
        };
        load_made(self, &self.options(), context, self.num_examples.unwrap_or(2 << self.size) * self.size * self.size, decode)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_pattern_is_listed_once_and_no_other() {
        for size in 2..=4 {
            let patterns = bars_patterns(size);
            assert_eq!(patterns.len(), 2 * (1 << size) - 2);
            let distinct: std::collections::BTreeSet<&Vec<u8>> = patterns.iter().collect();
            assert_eq!(distinct.len(), patterns.len());
            // By the definition: of all binary images, those with constant rows or constant columns.
            let is_pattern = |image: usize| {
                let on = |row: usize, column: usize| image >> (row * size + column) & 1;
                (0..size).all(|row| (0..size).all(|column| on(row, column) == on(row, 0)))
                    || (0..size).all(|row| (0..size).all(|column| on(row, column) == on(0, column)))
            };
            assert_eq!((0..1usize << (size * size)).filter(|&image| is_pattern(image)).count(), patterns.len());
            for pattern in &patterns {
                let image = pattern.iter().enumerate().map(|(at, &value)| usize::from(value) << at).sum();
                assert!(is_pattern(image), "{pattern:?}");
            }
        }
        assert_eq!(bars_patterns(1), [vec![0], vec![1]]);
    }

    #[test]
    fn drawn_images_are_patterns_and_the_empty_and_full_ones_twice_as_likely() {
        let config: BarsConfig = serde_json::from_value(json!({"size": 3, "num_examples": 16_000})).unwrap();
        let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        (0..16_000).for_each(|row| *counts.entry(config.drawn(row)).or_default() += 1);
        assert_eq!(counts.keys().cloned().collect::<Vec<_>>(), {
            let mut patterns = bars_patterns(3);
            patterns.sort();
            patterns
        });
        for (pattern, &count) in &counts {
            let uniform = pattern.iter().all(|value| *value == pattern[0]);
            let expected = if uniform { 2000 } else { 1000 };
            // Standard deviations: sqrt(16,000 / 16 * 15 / 16) = 31 and 42.
            assert!(count.abs_diff(expected) < 170, "{pattern:?}: {count}");
        }
    }

    #[test]
    fn too_many_patterns_are_refused_unless_drawn() {
        let check = |section| DatasetSource::check(&serde_json::from_value::<BarsConfig>(section).unwrap());
        assert_eq!(check(json!({"size": 17})).unwrap_err().path, "size");
        assert!(check(json!({"size": 17, "num_examples": 5})).is_ok());
        assert_eq!(check(json!({"size": 0})).unwrap_err().path, "size");
        assert_eq!(check(json!({"num_examples": 0})).unwrap_err().path, "num_examples");
    }
}
