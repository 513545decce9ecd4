//! Numbers of baselines on disk: every trial of a sweep over one data set compares itself with the same ones.
//!
//! A file is JSON: the key that it stands for, and the value. A file that is anything else is computed anew and replaced.

use aelab_files::write_atomic;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::EvaluationContext;
use crate::representation::Representation;

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
    let path = folder.join(format!("baseline-{}.json", &key[..32]));
    let known = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Entry<T>>(&bytes).ok());
    if let Some(known) = known.filter(|known| known.key == key) {
        return known.value;
    }
    let value = compute();
    let entry = Entry { key, value };
    if let Ok(bytes) = serde_json::to_vec(&entry) {
        // The next trial computes it anew; PCA, which stands in the same folder, has given the warning.
        let _ = write_atomic(&path, &bytes);
    }
    entry.value
}

/// A digest of every bit that the value depends on.
fn key(what: &str, representation: &Representation, labels: (&[u32], &[u32])) -> String {
    let mut hash = Sha256::new();
    let lengths = [what.len(), representation.size, representation.train.len(), representation.test.len(), labels.0.len(), labels.1.len()];
    lengths.iter().for_each(|&length| hash.update((length as u64).to_le_bytes()));
    hash.update(what.as_bytes());
    for values in [&representation.train, &representation.test] {
        for some in values.chunks(4096) {
            hash.update(some.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        }
    }
    for label in labels.0.iter().chain(labels.1) {
        hash.update(label.to_le_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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
