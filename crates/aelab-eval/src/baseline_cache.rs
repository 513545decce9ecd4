//! Numbers of baselines on disk: every trial of a sweep over one data set compares itself with the same ones.
//!
//! A file is JSON: the key that it stands for, and the value. A file that is anything else is computed anew and replaced.

use std::path::{Path, PathBuf};

use aelab_files::write_atomic;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::representation::Representation;
use crate::{EvaluationContext, EvaluationError, Measurement, metric_info};

#[derive(Serialize, Deserialize)]
struct Entry<T> {
    key: String,
    value: T,
}

/// What `compute` makes of a baseline's `representation` and the classes of its examples: from the folder that the trials of a run share, or
/// else computed and stored there. `what` says everything else that it depends on, the version of its definition included. A model's own codes
/// are another model's in every trial: they are computed.
///
/// A cache that cannot be written costs time only.
pub(crate) fn cached<T: Serialize + DeserializeOwned>(
    context: &EvaluationContext<'_>,
    what: &str,
    representation: &Representation,
    labels: (&[u32], &[u32]),
    compute: impl FnOnce() -> T,
) -> T {
    let Some(folder) = context.cache_dir.filter(|_| representation.is_baseline()) else { return compute() };
    let key = key(what, representation, labels);
    known(folder, &key).unwrap_or_else(|| kept(folder, key, compute()))
}

/// The measurements of a baseline that is fitted on the training split and measured on the test split: from the folder that the trials of a
/// run share, or else by `compute` and stored there. `what` says everything that they depend on besides both splits and the metrics.
pub(crate) fn cached_measurements(
    context: &EvaluationContext<'_>,
    evaluation: &'static str,
    what: &str,
    metrics: &[&str],
    compute: impl FnOnce() -> Result<Vec<Measurement>, EvaluationError>,
) -> Result<Vec<Measurement>, EvaluationError> {
    let Some(folder) = context.cache_dir else { return compute() };
    let train = context.train_moments(evaluation)?;
    let mut hash = Sha256::new();
    let versions: Vec<u32> = metrics.iter().map(|name| metric_info(name).version).collect();
    hash.update(format!("{evaluation}, {what}, {metrics:?}, {versions:?}, {:?}, {:?}", context.test.spec(), train.num_observed));
    hash.update(train.digest(context.data_checksum));
    hash.update(context.test_digest()?);
    let key = hexadecimal(hash);
    if let Some(values) = known::<Vec<(String, f64)>>(folder, &key) {
        return values.iter().map(|(name, value)| Measurement::new(name, *value)).collect();
    }
    let measured = compute()?;
    kept(folder, key, measured.iter().map(|measurement| (measurement.name.clone(), measurement.value)).collect::<Vec<_>>());
    Ok(measured)
}

fn path_in(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("baseline-{}.json", &key[..32]))
}

/// What is stored for a key.
fn known<T: DeserializeOwned>(folder: &Path, key: &str) -> Option<T> {
    let bytes = std::fs::read(path_in(folder, key)).ok()?;
    let entry = serde_json::from_slice::<Entry<T>>(&bytes).ok()?;
    (entry.key == key).then_some(entry.value)
}

/// `value`, which is now stored.
fn kept<T: Serialize>(folder: &Path, key: String, value: T) -> T {
    let path = path_in(folder, &key);
    let entry = Entry { key, value };
    if let Ok(bytes) = serde_json::to_vec(&entry) {
        // The next trial computes it anew; PCA, which stands in the same folder, has given the warning.
        let _ = write_atomic(&path, &bytes);
    }
    entry.value
}

/// Takes in every bit of the values.
pub(crate) fn hash_values(hash: &mut Sha256, values: &[f32]) {
    let mut bytes = [0; 4096];
    for some in values.chunks(bytes.len() / 4) {
        bytes.chunks_exact_mut(4).zip(some).for_each(|(bytes, value)| bytes.copy_from_slice(&value.to_le_bytes()));
        hash.update(&bytes[..some.len() * 4]);
    }
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A digest of every bit that the value depends on.
fn key(what: &str, representation: &Representation, labels: (&[u32], &[u32])) -> String {
    let mut hash = Sha256::new();
    let lengths = [what.len(), representation.size, representation.train.len(), representation.test.len(), labels.0.len(), labels.1.len()];
    lengths.iter().for_each(|&length| hash.update((length as u64).to_le_bytes()));
    hash.update(what.as_bytes());
    for values in [&representation.train, &representation.test] {
        hash_values(&mut hash, values);
    }
    for label in labels.0.iter().chain(labels.1) {
        hash.update(label.to_le_bytes());
    }
    hexadecimal(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_everything_apart() {
        let of = |what: &str, values: Vec<f32>, size: usize, labels: &[u32]| {
            let representation = Representation { prefix: "raw_", caption: String::new(), size, train: values.clone(), test: values };
            key(what, &representation, (labels, labels))
        };
        let keys = [
            of("a", vec![1.0, 2.0], 1, &[0, 1]),
            of("b", vec![1.0, 2.0], 1, &[0, 1]),
            of("a", vec![1.0, 3.0], 1, &[0, 1]),
            of("a", vec![1.0, 2.0], 2, &[0, 1]),
            of("a", vec![1.0, 2.0], 1, &[0, 2]),
        ];
        for (position, key) in keys.iter().enumerate() {
            assert_eq!(keys.iter().position(|other| other == key), Some(position));
        }
    }
}
