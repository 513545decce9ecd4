//! SHA-256 sums, as lower-case hexadecimal.

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::DataError;
use crate::formats::payload::open_plain;

/// The sum of the bytes of a file, read in pieces.
pub(crate) fn of_file(path: &Path) -> Result<String, DataError> {
    let (mut file, _) = open_plain(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).map_err(DataError::io("read", path))? {
            0 => return Ok(hex(hash)),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// One sum out of several named ones; order and names matter.
pub(crate) fn combined<'a>(parts: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut hash = Sha256::new();
    for (name, sum) in parts {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(sum.as_bytes());
        hash.update([b'\n']);
    }
    hex(hash)
}

/// The sum of several files, each under the name of its role.
pub(crate) fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a Path)>) -> Result<String, DataError> {
    let sums = files.into_iter().map(|(role, path)| Ok((role, of_file(path)?))).collect::<Result<Vec<_>, DataError>>()?;
    Ok(combined(sums))
}

/// The finished sum in hexadecimal.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_file_is_the_published_one_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(of_file(&path).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn the_combined_sum_knows_roles_and_order() {
        let sum = |parts: &[(&'static str, &str)]| combined(parts.iter().map(|(name, sum)| (*name, (*sum).to_owned())));
        let base = sum(&[("train", "1"), ("test", "2")]);
        assert_ne!(base, sum(&[("test", "2"), ("train", "1")]));
        assert_ne!(base, sum(&[("train", "2"), ("test", "1")]));
        assert_ne!(base, sum(&[("train", "1")]));
    }
}
