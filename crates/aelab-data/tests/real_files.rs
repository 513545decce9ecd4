//! MNIST and Fashion-MNIST as they really are: counts, means, deviations, classes.
//!
//! They run where the cache (`$AELAB_DATA`, see the data chapter of the documentation) has the sets. Without
//! them a test says so and passes, unless `AELAB_REQUIRE_DATA=1` makes that a failure.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use std::io::Write;

use aelab_core::{Examples, Purpose, stream};
use aelab_data::{DataSplit, Dataset, DatasetState, FileState, LoadContext, find, list, verify};
use serde_json::json;

fn load(name: &str, section: serde_json::Value) -> Option<Dataset> {
    let context = LoadContext::new("");
    let cached = list(&context).into_iter().any(|status| status.name == name && matches!(status.state, DatasetState::Cached { .. }));
    if !cached {
        let required = std::env::var_os("AELAB_REQUIRE_DATA").is_some_and(|value| value == "1");
        assert!(!required, "{name} is not in {} and AELAB_REQUIRE_DATA=1; run `aelab data fetch {name}`", context.cache_dir.display());
        say(&format!("LEFT OUT: {name} is not in {}; run `aelab data fetch {name}`", context.cache_dir.display()));
        return None;
    }
    say(&format!("ran on {name} in {}", context.cache_dir.display()));
    Some((find(name).unwrap().parse)(section).unwrap().load(&context).unwrap())
}

/// Past the test harness, which keeps back what passing tests print.
fn say(message: &str) {
    std::io::stderr().write_all(format!("{message}\n").as_bytes()).unwrap();
}

fn moments(split: &DataSplit) -> (f64, f64) {
    let indices: Vec<usize> = (0..split.len()).collect();
    let mut stream = stream(0, Purpose::Evaluation, 0, 0);
    let (mut sum, mut squares, mut batch) = (0.0, 0.0, Vec::new());
    for chunk in indices.chunks(1000) {
        batch.clear();
        split.gather(chunk, &mut stream, &mut batch);
        sum += batch.iter().map(|&value| f64::from(value)).sum::<f64>();
        squares += batch.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
    }
    let count = (split.len() * split.spec().num_features()) as f64;
    let mean = sum / count;
    (mean, (squares / count - mean * mean).sqrt())
}

fn counts(split: &DataSplit) -> [usize; 10] {
    let mut counts = [0; 10];
    split.labels().unwrap().iter().for_each(|&label| counts[label as usize] += 1);
    counts
}

#[test]
fn mnist_has_the_published_counts_mean_and_deviation() {
    let Some(mnist) = load("mnist", json!({"num_valid": 0})) else { return };
    assert_eq!((mnist.train.len(), mnist.valid.len(), mnist.test.len()), (60_000, 0, 10_000));
    assert_eq!(mnist.spec().image_shape(), Some([1, 28, 28]));
    let (mean, deviation) = moments(&mnist.train);
    assert!((mean - 0.13066).abs() < 5e-6 && (deviation - 0.30811).abs() < 5e-6, "{mean} {deviation}");
    assert_eq!(counts(&mnist.train), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(counts(&mnist.test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
}

#[test]
fn fashion_mnist_has_the_published_counts_mean_and_deviation() {
    let Some(fashion) = load("fashion_mnist", json!({"num_valid": 0})) else { return };
    let (mean, deviation) = moments(&fashion.train);
    assert!((mean - 0.28604).abs() < 5e-6 && (deviation - 0.35302).abs() < 5e-6, "{mean} {deviation}");
    assert_eq!(counts(&fashion.train), [6000; 10]);
    assert_eq!(counts(&fashion.test), [1000; 10]);
    assert_eq!(fashion.class_names.as_deref().unwrap()[9], "Ankle boot");
}

#[test]
fn the_default_holds_out_5000_validation_examples() {
    let Some(mnist) = load("mnist", json!({"num_train": 10_000, "num_test": 2_000})) else { return };
    assert_eq!((mnist.train.len(), mnist.valid.len(), mnist.test.len()), (10_000, 5_000, 2_000));
}

#[test]
fn the_cache_holds_the_published_bytes() {
    for name in ["mnist", "fashion_mnist"] {
        if load(name, json!({})).is_some() {
            let statuses = verify(Some(name), &LoadContext::new("")).unwrap();
            assert!(statuses.iter().all(|status| status.state == FileState::Verified), "{statuses:?}");
        }
    }
}
