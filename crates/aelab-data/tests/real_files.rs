//! Fetched sets as they really are: counts, means, deviations, classes.
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
    // A derived set is there when what it is made of is.
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

fn all(split: &DataSplit) -> Vec<f32> {
    let mut out = Vec::new();
    split.gather(&(0..split.len()).collect::<Vec<_>>(), &mut stream(0, Purpose::Evaluation, 0, 0), &mut out);
    out
}

fn mask(split: &DataSplit) -> Option<Vec<f32>> {
    let mut out = Vec::new();
    split.gather_mask(&(0..split.len()).collect::<Vec<_>>(), &mut out).then_some(out)
}

fn held_out(split: &DataSplit) -> Option<(Vec<f32>, Vec<f32>)> {
    let (mut values, mut mask) = (Vec::new(), Vec::new());
    split.gather_held_out(&(0..split.len()).collect::<Vec<_>>(), &mut values, &mut mask).then_some((values, mask))
}

#[test]
fn ecg5000_has_500_and_4500_beats_of_140_steps_in_5_classes() {
    let Some(ecg) = load("ucr", json!({"name": "ECG5000", "num_valid": 0})) else { return };
    assert_eq!((ecg.train.len(), ecg.test.len()), (500, 4500));
    assert_eq!(ecg.spec().event_shape, [140, 1]);
    assert_eq!(ecg.class_names.as_deref().unwrap(), ["1", "2", "3", "4", "5"]);
    assert_eq!(counts(&ecg.train)[..5], [292, 177, 10, 19, 2]);
    assert_eq!(counts(&ecg.test)[..5], [2627, 1590, 86, 175, 22]);
    assert_eq!((mask(&ecg.train), ecg.train.lengths()), (None, None));
    assert_eq!(all(&ecg.train)[..3], [-0.112_521_83, -2.827_203_8, -3.773_897]);
    // The archive gives each beat with mean 0 and deviation 1.
    let (mean, deviation) = moments(&ecg.train);
    assert!(mean.abs() < 1e-3 && (deviation - 1.0).abs() < 0.01, "{mean} {deviation}");
    let pooled = load("ucr", json!({"name": "ECG5000", "pool": true, "num_valid": 1000, "num_test": 1000})).unwrap();
    assert_eq!((pooled.train.len(), pooled.valid.len(), pooled.test.len()), (3000, 1000, 1000));
}

#[test]
fn every_ucr_set_has_the_counts_it_is_known_for() {
    let names = aelab_data::ucr_names();
    assert_eq!(names.len(), 51);
    for name in names {
        let Some(set) = load("ucr", json!({"name": name, "num_valid": 0})) else { return };
        let context = LoadContext::new("");
        let spec = (find("ucr").unwrap().parse)(json!({"name": name})).unwrap().spec(&context).unwrap();
        assert_eq!(set.spec(), &spec, "{name}");
        assert_eq!(set.train.lengths().is_some(), name.starts_with("AllGesture") || name.starts_with("Gesture"), "{name}");
        assert_eq!(mask(&set.train).is_some(), set.train.lengths().is_some() || name.starts_with("DodgerLoop"), "{name}");
        assert!(all(&set.test).iter().all(|value| value.is_finite()), "{name}");
    }
}

#[test]
fn movielens_has_943_users_1682_films_and_100_000_ratings() {
    let Some(users) = load("movielens_100k", json!({"num_valid": 0, "num_test": 0})) else { return };
    assert_eq!((users.train.len(), users.spec().num_features()), (943, 1682));
    let (values, observed) = (all(&users.train), mask(&users.train).unwrap());
    assert_eq!(observed.iter().filter(|&&mask| mask == 1.0).count(), 100_000);
    assert!(values.iter().zip(&observed).all(|(&value, &mask)| (value > 0.0) == (mask == 1.0)));
    // The counts of the five ratings and their mean, as published: 3.52986.
    let counts: Vec<usize> = (1..=5).map(|rating| values.iter().filter(|&&value| value == rating as f32).count()).collect();
    assert_eq!(counts, [6110, 11_370, 27_145, 34_174, 21_201]);
    let items = load("movielens_100k", json!({"rows": "items", "num_valid": 0, "num_test": 0})).unwrap();
    let transposed = all(&items.train);
    assert!((0..943).all(|user| (0..1682).all(|item| values[user * 1682 + item] == transposed[item * 943 + user])));
    let implicit = load("movielens_100k", json!({"form": "implicit", "num_valid": 0, "num_test": 0})).unwrap();
    assert_eq!(mask(&implicit.train), None);
    assert!(all(&implicit.train).iter().zip(&values).all(|(&liked, &rating)| liked == if rating >= 4.0 { 1.0 } else { 0.0 }));
}

#[test]
fn ratings_held_out_of_test_rows_are_shown_nowhere_and_lose_nothing() {
    for form in ["ratings", "implicit"] {
        let Some(shown) = load("movielens_100k", json!({"form": form})) else { return };
        let whole = load("movielens_100k", json!({"form": form, "held_out_fraction": 0})).unwrap();
        assert_eq!((shown.train.len(), shown.valid.len(), shown.test.len()), (755, 94, 94));
        assert!(held_out(&shown.train).is_none() && held_out(&whole.test).is_none());
        assert_eq!(all(&shown.train), all(&whole.train));
        for (shown, whole) in [(&shown.valid, &whole.valid), (&shown.test, &whole.test)] {
            let (values, (targets, marks), everything) = (all(shown), held_out(shown).unwrap(), all(whole));
            let sum: Vec<f32> = values.iter().zip(&targets).map(|(value, target)| value + target).collect();
            assert_eq!(sum, everything, "what is shown and what is held out are all there is");
            assert!(values.iter().zip(&marks).all(|(&value, &mark)| mark == 0.0 || value == 0.0), "{form}: what is held out is not shown");
            assert!(targets.iter().zip(&marks).all(|(&target, &mark)| (target > 0.0) == (mark == 1.0)));
            for (row, example) in everything.chunks_exact(1682).enumerate() {
                let there = example.iter().filter(|&&value| value > 0.0).count();
                let held: f32 = marks[row * 1682..(row + 1) * 1682].iter().sum();
                assert_eq!(held as usize, there / 5, "{form}: a fifth, rounded down");
            }
            if let Some(mask) = mask(shown) {
                assert!(mask.iter().zip(&values).all(|(&mask, &value)| (mask == 1.0) == (value > 0.0)));
            }
        }
    }
}

#[test]
fn held_out_ratings_of_all_rows_are_a_tenth_each_and_scales_know_only_the_training_ones() {
    let section = json!({"split": "ratings", "scale": {"standardize": {"per": "dataset"}}});
    let Some(weak) = load("movielens_100k", section) else { return };
    assert_eq!((weak.train.len(), weak.valid.len(), weak.test.len()), (943, 943, 943));
    let (train, observed) = (all(&weak.train), mask(&weak.train).unwrap());
    assert_eq!(observed.iter().sum::<f32>(), 80_000.0);
    assert_eq!((all(&weak.valid), all(&weak.test)), (train.clone(), train.clone()));
    let ((_, valid), (_, test)) = (held_out(&weak.valid).unwrap(), held_out(&weak.test).unwrap());
    assert_eq!((valid.iter().sum::<f32>(), test.iter().sum::<f32>()), (10_000.0, 10_000.0));
    assert!((0..train.len()).all(|at| observed[at] + valid[at] + test[at] <= 1.0), "no rating is in two splits");
    let shown: Vec<f64> = train.iter().zip(&observed).filter(|(_, mask)| **mask == 1.0).map(|(&value, _)| f64::from(value)).collect();
    let mean = shown.iter().sum::<f64>() / 80_000.0;
    let variance = shown.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 80_000.0;
    assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
}

#[test]
fn variants_of_mnist_have_10k_2k_and_50k_digits_and_the_same_ones() {
    let Some(basic) = load("mnist_variant", json!({"kind": "basic"})) else { return };
    let [rot, bg_rand] = ["rot", "bg_rand"].map(|kind| load("mnist_variant", json!({"kind": kind})).unwrap());
    for set in [&basic, &rot, &bg_rand] {
        assert_eq!((set.train.len(), set.valid.len(), set.test.len()), (10_000, 2_000, 50_000));
        assert_eq!(set.test.labels(), basic.test.labels());
    }
    assert!(basic.checksum != rot.checksum && rot.checksum != bg_rand.checksum);
    let (basic, rot, bg_rand) = (moments(&basic.train).0, moments(&rot.train).0, moments(&bg_rand.train).0);
    // MNIST has the mean 0.1307. Turning keeps it but for what leaves the picture; where there is ink the noise is seldom seen.
    assert!((basic - 0.1307).abs() < 0.002 && (rot - basic).abs() < 0.002, "{basic} {rot}");
    assert!((0.54..0.58).contains(&bg_rand), "{bg_rand}");
}

#[test]
fn cifar_10_has_the_published_counts_means_and_deviations() {
    let Some(cifar) = load("cifar_10", json!({"num_valid": 0})) else { return };
    assert_eq!((cifar.train.len(), cifar.test.len()), (50_000, 10_000));
    assert_eq!(cifar.spec().image_shape(), Some([3, 32, 32]));
    assert_eq!((counts(&cifar.train), counts(&cifar.test)), ([5000; 10], [1000; 10]));
    // The first training image is a frog; the first pixel of its channels is 59, 62, 63.
    assert_eq!(cifar.class_names.as_ref().unwrap()[cifar.train.labels().unwrap()[0] as usize], "frog");
    let mut first = Vec::new();
    cifar.train.gather(&[0], &mut stream(0, Purpose::Evaluation, 0, 0), &mut first);
    assert_eq!([0, 1024, 2048].map(|at| (first[at] * 255.0).round()), [59.0, 62.0, 63.0]);
    let (mut sums, mut batch) = ([0.0f64; 3], Vec::new());
    for at in 0..cifar.train.len() {
        batch.clear();
        cifar.train.gather(&[at], &mut stream(0, Purpose::Evaluation, 0, 0), &mut batch);
        for (sum, channel) in sums.iter_mut().zip(batch.chunks_exact(1024)) {
            *sum += channel.iter().map(|&value| f64::from(value)).sum::<f64>() / (1024.0 * 50_000.0);
        }
    }
    assert!(sums.iter().zip([0.4914, 0.4822, 0.4465]).all(|(sum, mean)| (sum - mean).abs() < 1e-4), "{sums:?}");
}

#[test]
fn reuters_has_19_043_texts_and_the_topics_known_for_it() {
    let Some(texts) = load("reuters", json!({"num_valid": 0, "num_test": 0})) else { return };
    assert_eq!((texts.train.len(), texts.spec().num_features()), (19_043, 2000));
    assert!(texts.train.labels().is_none());
    let values = all(&texts.train);
    assert!(values.chunks_exact(2000).all(|text| text.iter().any(|&count| count > 0.0)), "no text is empty");
    let context = LoadContext::new("");
    let config: aelab_data::ReutersConfig = serde_json::from_value(json!({})).unwrap();
    let words = config.vocabulary(&context).unwrap();
    assert_eq!(words[..3], ["said", "mln", "dlrs"]);
    let frequencies: Vec<f32> = (0..2000).map(|word| values.iter().skip(word).step_by(2000).sum()).collect();
    assert!(frequencies.windows(2).all(|pair| pair[0] >= pair[1]), "the most frequent words come first");
    let labelled = load("reuters", json!({"num_topics": 10, "term_weight": "binary", "num_valid": 0, "num_test": 0})).unwrap();
    assert_eq!(labelled.class_names.as_ref().unwrap()[..4], ["earn", "acq", "crude", "trade"]);
    assert_eq!(labelled.spec().num_classes, Some(10));
    let counts = counts(&labelled.train);
    // Of these texts the whole collection has 3945 and 2362; the others have no body.
    assert_eq!(counts, [3735, 2125, 355, 333, 259, 211, 156, 135, 114, 99]);
}
