//! The classifier on disk: every trial of a run over one data set shares it.
//!
//! A file holds, in little-endian order: 8 bytes `AELABCLS`; version of the classifier (u32); key (32 bytes); the weights as
//! burn's record; sha256 of everything before. A file that is anything else is made anew and replaced.

use std::fs;
use std::path::{Path, PathBuf};

use aelab_core::Examples;
use aelab_files::write_atomic;
use burn::tensor::Device;
use sha2::{Digest, Sha256};

use crate::classifier::{CLASSIFIER_SEED, CLASSIFIER_VERSION, Classifier};
use crate::pass::Draw;
use crate::{EvaluationError, Moments};

const MAGIC: &[u8; 8] = b"AELABCLS";
const DIGEST_LENGTH: usize = 32;

/// The classifier of a labelled training split of at least two classes: from its file in `folder`, or else trained, and then stored
/// there; and what went wrong with the cache, which costs time only.
pub(crate) fn load_or_train(
    folder: Option<&Path>,
    train: &dyn Examples,
    num_classes: usize,
    data_checksum: &str,
    device: &Device,
) -> Result<(Classifier, Vec<String>), EvaluationError> {
    // The seed of the trial must not decide about data that are drawn at access.
    let moments = Moments::of(train, Draw::Train.stream(CLASSIFIER_SEED))?;
    let fresh = || Classifier::train(train, &moments, num_classes, device);
    let Some(folder) = folder else { return Ok((fresh(), Vec::new())) };
    let key = key(train, &moments, num_classes, data_checksum);
    let path = path_in(folder, &key);
    let stored = || {
        let bytes = decode(&fs::read(&path).ok()?, &key)?;
        Classifier::from_bytes(bytes, train.spec(), &moments, num_classes, device)
    };
    if let Some(classifier) = stored() {
        return Ok((classifier, Vec::new()));
    }
    let classifier = fresh();
    // Whoever was first decides, in case another machine rounds otherwise.
    if let Some(classifier) = stored() {
        return Ok((classifier, Vec::new()));
    }
    let written = match classifier.to_bytes() {
        Some(bytes) => write_atomic(&path, &encode(&bytes, &key)).map_err(|error| error.to_string()),
        None => Err("its weights cannot be written down".to_owned()),
    };
    let warnings = match written {
        Ok(()) => Vec::new(),
        Err(error) => vec![format!("the classifier cannot be kept in {}: {error}; every trial trains its own", path.display())],
    };
    Ok((classifier, warnings))
}

/// A digest of all that the classifier is a function of.
fn key(train: &dyn Examples, moments: &Moments, num_classes: usize, data_checksum: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(moments.digest(data_checksum));
    let shape = &train.spec().event_shape;
    for number in [num_classes, shape.len()].iter().chain(shape) {
        hash.update((*number as u64).to_le_bytes());
    }
    for label in train.labels().into_iter().flatten() {
        hash.update(label.to_le_bytes());
    }
    hash.finalize().into()
}

fn path_in(folder: &Path, key: &[u8; 32]) -> PathBuf {
    let hex: String = key[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("classifier-{CLASSIFIER_VERSION}-{hex}.bin"))
}

fn header(key: &[u8; 32]) -> Vec<u8> {
    [&MAGIC[..], &CLASSIFIER_VERSION.to_le_bytes(), key].concat()
}

fn encode(weights: &[u8], key: &[u8; 32]) -> Vec<u8> {
    let mut bytes = header(key);
    bytes.extend(weights);
    let digest: [u8; DIGEST_LENGTH] = Sha256::digest(&bytes).into();
    bytes.extend(digest);
    bytes
}

/// `None` unless every byte is as [`encode`] would write it for this key.
fn decode(bytes: &[u8], key: &[u8; 32]) -> Option<Vec<u8>> {
    let (content, digest) = bytes.split_last_chunk::<DIGEST_LENGTH>()?;
    let weights = content.strip_prefix(&header(key)[..])?;
    (Sha256::digest(content)[..] == digest[..]).then(|| weights.to_vec())
}
