//! Laws of data sets that are made here, and of masks, seen from outside.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use std::collections::BTreeSet;

use aelab_core::{Examples, Purpose, stream};
use aelab_data::{DATASETS, DataSplit, Dataset, LoadContext, find};
use serde_json::{Value, json};

fn nowhere() -> LoadContext {
    LoadContext { base_dir: "".into(), cache_dir: "".into(), offline: true }
}

fn load(name: &str, section: Value) -> Dataset {
    let config = (find(name).unwrap().parse)(section).unwrap();
    config.check().unwrap();
    let dataset = config.load(&nowhere()).unwrap();
    assert_eq!(dataset.spec(), &config.spec(&nowhere()).unwrap(), "{name}: the announced shape is the real one");
    assert_eq!(dataset.checksum, config.checksum(&nowhere()).unwrap());
    dataset
}

fn all(split: &DataSplit) -> Vec<f32> {
    let mut out = Vec::new();
    split.gather(&(0..split.len()).collect::<Vec<_>>(), &mut stream(0, Purpose::Training, 0, 0), &mut out);
    out
}

fn mask(split: &DataSplit) -> Option<Vec<f32>> {
    let mut out = Vec::new();
    split.gather_mask(&(0..split.len()).collect::<Vec<_>>(), &mut out).then_some(out)
}

fn checksum(name: &str, section: Value) -> String {
    (find(name).unwrap().parse)(section).unwrap().checksum(&nowhere()).unwrap()
}

/// Every set made here from a seed, in a small size.
const MADE: [(&str, usize); 7] =
    [("sines", 200), ("mixture", 200), ("bars", 200), ("dictionary", 200), ("swiss_roll", 200), ("synthetic_ecg", 200), ("sprites", 200)];

#[test]
fn equal_seeds_give_equal_bytes_and_other_seeds_others() {
    for (name, num_examples) in MADE {
        let section = |data_seed: u64| json!({"num_examples": num_examples, "data_seed": data_seed});
        let (first, again, other) = (load(name, section(1)), load(name, section(1)), load(name, section(2)));
        assert_eq!(all(&first.train), all(&again.train), "{name}");
        assert_eq!(all(&first.test), all(&again.test), "{name}");
        assert_ne!(all(&first.train), all(&other.train), "{name}");
        assert_eq!(first.checksum, again.checksum, "{name}");
        assert_ne!(first.checksum, other.checksum, "{name}");
    }
}

#[test]
fn the_check_sum_depends_on_what_makes_the_data_and_not_on_the_splits() {
    for (name, num_examples) in MADE {
        let base = checksum(name, json!({"num_examples": num_examples}));
        assert_eq!(base, checksum(name, json!({"num_examples": num_examples, "split_seed": 9, "num_test": 3})), "{name}");
        assert_ne!(base, checksum(name, json!({"num_examples": num_examples + 1})), "{name}");
    }
    assert_ne!(checksum("sines", json!({})), checksum("sines", json!({"noise": 0.06})));
    assert_ne!(checksum("mixture", json!({})), checksum("mixture", json!({"layout": {"grid": {"side": 5, "spacing": 1}}})));
    assert_ne!(checksum("dictionary", json!({})), checksum("dictionary", json!({"num_active": 2})));
    assert_ne!(checksum("spheres", json!({})), checksum("spheres", json!({"data_seed": 2})));
}

#[test]
fn splits_have_the_sizes_asked_for_and_no_example_in_common() {
    for (name, num_examples) in MADE.iter().filter(|(name, _)| *name != "bars") {
        let dataset = load(name, json!({"num_examples": num_examples, "num_valid": 30, "num_test": 50}));
        assert_eq!((dataset.train.len(), dataset.valid.len(), dataset.test.len()), (120, 30, 50), "{name}");
        let width = dataset.spec().num_features();
        let mut seen = BTreeSet::new();
        for split in [&dataset.train, &dataset.valid, &dataset.test] {
            for example in all(split).chunks_exact(width) {
                assert!(seen.insert(example.iter().map(|value| value.to_bits()).collect::<Vec<_>>()), "{name}: an example comes twice");
            }
        }
    }
}

#[test]
fn fewer_examples_are_the_first_of_more() {
    let of = |num_examples: usize| {
        let section = json!({"num_examples": num_examples, "num_valid": 0, "num_test": 0});
        all(&load("sines", section).train)
    };
    assert_eq!(of(10)[..], of(25)[..640]);
}

#[test]
fn every_set_made_here_loads_with_its_defaults() {
    for entry in DATASETS.iter().filter(|entry| entry.embedded && entry.name != "uci") {
        let dataset = load(entry.name, json!({}));
        assert!(!dataset.train.is_empty() && !dataset.test.is_empty(), "{}", entry.name);
        assert!(all(&dataset.valid).iter().all(|value| value.is_finite()), "{}", entry.name);
    }
}

#[test]
fn a_mask_is_0_exactly_after_the_end_of_a_series_and_so_are_the_values_whatever_the_scale() {
    for scale in [json!("none"), json!("standardize"), json!("unit_interval"), json!({"unit_interval": {"per": "feature"}})] {
        let section = json!({"num_examples": 300, "length": 20, "min_length": 5, "frequency": [1, 5], "scale": scale});
        let dataset = load("sines", section);
        for split in [&dataset.train, &dataset.valid, &dataset.test] {
            let (values, mask, lengths) = (all(split), mask(split).unwrap(), split.lengths().unwrap());
            assert_eq!((values.len(), mask.len(), lengths.len()), (split.len() * 20, split.len() * 20, split.len()));
            for (example, &length) in lengths.iter().enumerate() {
                for time in 0..20 {
                    let at = example * 20 + time;
                    assert_eq!(mask[at], if time < length as usize { 1.0 } else { 0.0 });
                    assert!(mask[at] == 1.0 || values[at] == 0.0, "{scale}: padding is 0");
                }
            }
        }
    }
    assert_eq!(mask(&load("sines", json!({"num_examples": 10})).train), None);
    assert!(load("sines", json!({"num_examples": 10})).train.lengths().is_none());
}

#[test]
fn scales_are_fitted_on_observed_values_only() {
    let section =
        json!({"num_examples": 500, "length": 10, "min_length": 2, "frequency": [1, 2], "amplitude": [3, 3], "scale": "standardize"});
    let train = load("sines", section).train;
    let (values, mask) = (all(&train), mask(&train).unwrap());
    for time in 0..10 {
        let observed: Vec<f64> =
            (0..train.len()).map(|example| example * 10 + time).filter(|&at| mask[at] == 1.0).map(|at| f64::from(values[at])).collect();
        let mean = observed.iter().sum::<f64>() / observed.len() as f64;
        let variance = observed.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / observed.len() as f64;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "step {time} of {} series: {mean} {variance}", observed.len());
    }
}

#[test]
fn static_binarization_keeps_the_mask_of_each_series() {
    let section = |binarize: &str| json!({"num_examples": 100, "length": 12, "min_length": 3, "frequency": [1, 3], "scale": "unit_interval", "binarize": binarize});
    let (grey, binary) = (load("sines", section("none")), load("sines", section("static")));
    for (grey, binary) in [(&grey.train, &binary.train), (&grey.test, &binary.test)] {
        assert_eq!(mask(grey), mask(binary));
        let (values, mask) = (all(binary), mask(binary).unwrap());
        assert!(values.iter().zip(&mask).all(|(&value, &mask)| value == 0.0 || value == 1.0 && mask == 1.0));
        assert!(values.contains(&1.0));
    }
}

#[test]
fn all_14_patterns_of_bars_of_size_3_are_there_once() {
    let dataset = load("bars", json!({"size": 3, "num_valid": 0, "num_test": 0}));
    assert_eq!(dataset.spec().image_shape(), Some([1, 3, 3]));
    let found: Vec<Vec<u8>> = all(&dataset.train).chunks_exact(9).map(|image| image.iter().map(|&value| value as u8).collect()).collect();
    assert_eq!(found, aelab_data::bars_patterns(3));
    assert_eq!(found.len(), 14);
}
