//! PCA on disk: every trial of a sweep over one data set needs the same one.
//!
//! A file holds, in little-endian order: 8 bytes `AELABPCA`; version (u32); key (32 bytes); number of
//! features and of components (u64 each); mean, eigenvalues, components (f64 each); sha256 of everything
//! before. A file that is anything else is computed anew and replaced.

use std::fs;
use std::path::{Path, PathBuf};

use aelab_files::write_atomic;
use sha2::{Digest, Sha256};

use crate::{EvaluationError, Pca};

const MAGIC: &[u8; 8] = b"AELABPCA";
const VERSION: u32 = 1;
const KEY_LENGTH: usize = 32;
const DIGEST_LENGTH: usize = 32;
const HEADER_LENGTH: usize = MAGIC.len() + 4 + KEY_LENGTH + 8 + 8;

/// The PCA that `key` stands for: from its file in `folder`, or else from `fit`, and then stored there.
/// A cache that cannot be written costs time only, so it is a warning.
pub(crate) fn load_or_fit(
    folder: &Path,
    key: [u8; KEY_LENGTH],
    fit: impl FnOnce() -> Result<Pca, EvaluationError>,
) -> Result<(Pca, Vec<String>), EvaluationError> {
    let path = path_in(folder, &key);
    if let Some(pca) = fs::read(&path).ok().and_then(|bytes| decode(&bytes, &key)) {
        return Ok((pca, Vec::new()));
    }
    let pca = fit()?;
    let warnings = match write_atomic(&path, &encode(&pca, &key)) {
        Ok(()) => Vec::new(),
        Err(error) => vec![format!("the PCA baseline cannot be kept in {}: {error}; every trial computes its own", path.display())],
    };
    Ok((pca, warnings))
}

fn path_in(folder: &Path, key: &[u8; KEY_LENGTH]) -> PathBuf {
    let hex: String = key[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("pca-{hex}.bin"))
}

fn encode(pca: &Pca, key: &[u8; KEY_LENGTH]) -> Vec<u8> {
    let num_values = pca.mean.len() + pca.eigenvalues.len() + pca.components.len();
    let mut bytes = Vec::with_capacity(HEADER_LENGTH + 8 * num_values + DIGEST_LENGTH);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(key);
    bytes.extend((pca.mean.len() as u64).to_le_bytes());
    bytes.extend((pca.eigenvalues.len() as u64).to_le_bytes());
    for value in pca.mean.iter().chain(&pca.eigenvalues).chain(&pca.components) {
        bytes.extend(value.to_le_bytes());
    }
    let digest: [u8; DIGEST_LENGTH] = Sha256::digest(&bytes).into();
    bytes.extend(digest);
    bytes
}

/// `None` unless every byte is as [`encode`] would write it for this key.
fn decode(bytes: &[u8], key: &[u8; KEY_LENGTH]) -> Option<Pca> {
    let (content, digest) = bytes.split_last_chunk::<DIGEST_LENGTH>()?;
    let (header, values) = content.split_at_checked(HEADER_LENGTH)?;
    let expected: Vec<u8> = [&MAGIC[..], &VERSION.to_le_bytes(), key].concat();
    let (start, sizes) = header.split_at(expected.len());
    if start != expected {
        return None;
    }
    let size = |bytes: &[u8]| usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok();
    let (num_features, num_components) = (size(&sizes[..8])?, size(&sizes[8..])?);
    let num_values = num_features.checked_add(num_components)?.checked_add(num_features.checked_mul(num_components)?)?;
    if values.len() != num_values.checked_mul(8)? || Sha256::digest(content)[..] != digest[..] {
        return None;
    }
    let mut mean: Vec<f64> = values.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    let mut eigenvalues = mean.split_off(num_features);
    let components = eigenvalues.split_off(num_components);
    Some(Pca { mean, eigenvalues, components })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; KEY_LENGTH] = [7; KEY_LENGTH];

    fn example() -> Pca {
        Pca { mean: vec![0.5, -1.0, f64::MIN_POSITIVE], eigenvalues: vec![2.0, 0.25], components: vec![1.0, 0.0, 0.0, 0.0, 0.6, 0.8] }
    }

    fn never() -> Result<Pca, EvaluationError> {
        panic!("the cache should have been used")
    }

    #[test]
    fn what_was_stored_is_read_back_bit_for_bit_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let nested = folder.path().join("cache");
        assert_eq!(load_or_fit(&nested, KEY, || Ok(example())).unwrap(), (example(), vec![]));
        assert_eq!(load_or_fit(&nested, KEY, never).unwrap(), (example(), vec![]));
        assert_eq!(fs::read_dir(&nested).unwrap().count(), 1);
    }

    #[test]
    fn any_changed_byte_and_any_other_length_is_refused() {
        let good = encode(&example(), &KEY);
        assert_eq!(decode(&good, &KEY), Some(example()));
        for position in 0..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 1;
            assert_eq!(decode(&bad, &KEY), None, "byte {position}");
            assert_eq!(decode(&good[..position], &KEY), None, "length {position}");
        }
        assert_eq!(decode(&[good.clone(), vec![0]].concat(), &KEY), None);
        assert_eq!(decode(&good, &[8; KEY_LENGTH]), None);
    }

    #[test]
    fn a_damaged_file_is_computed_anew_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(folder.path(), &KEY);
        fs::write(&path, b"AELABPCA and then nothing of the kind").unwrap();
        assert_eq!(load_or_fit(folder.path(), KEY, || Ok(example())).unwrap().0, example());
        assert_eq!(load_or_fit(folder.path(), KEY, never).unwrap().0, example());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a_file");
        fs::write(&file, b"").unwrap();
        let (pca, warnings) = load_or_fit(&file, KEY, || Ok(example())).unwrap();
        assert_eq!(pca, example());
        assert!(warnings[0].contains("a_file"), "{warnings:?}");
    }

    #[test]
    fn writers_at_the_same_time_leave_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(load_or_fit(folder.path(), KEY, || Ok(example())).unwrap(), (example(), vec![])));
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(load_or_fit(folder.path(), KEY, never).unwrap().0, example());
    }
}
