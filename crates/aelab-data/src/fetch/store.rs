//! From a stream of bytes to a verified file in the cache.

use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use aelab_files::AtomicFile;
use sha2::{Digest, Sha256};

use super::{FetchProgress, RemoteFile};
use crate::checksum::hex;
use crate::formats::payload::decompressed;

/// Names of what may be left of a process that was killed begin so.
pub(super) const TEMPORARY: &str = ".fetch-";

/// How often arriving bytes are told.
const TOLD_EVERY: u64 = 1 << 20;

/// Writes the decompressed bytes of `reader` as `file` into the cache, if they are the published ones.
pub(super) fn store(
    reader: impl Read,
    file: &RemoteFile,
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", file.name);
    let mut unfinished = AtomicFile::create(&folder.join(file.name)).map_err(failed)?;
    // One byte more than there should be is enough to know that there are too many.
    let mut reader = decompressed(reader).map_err(failed)?.take(file.num_bytes + 1);
    let mut writer = BufWriter::with_capacity(1 << 16, unfinished.file());
    let (mut hash, mut received, mut told) = (Sha256::new(), 0u64, 0u64);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        hash.update(&buffer[..read]);
        writer.write_all(&buffer[..read]).map_err(failed)?;
        received += read as u64;
        if received - told >= TOLD_EVERY {
            told = received;
            progress(FetchProgress::Receiving { file: file.name, received, total: file.num_bytes });
        }
    }
    writer.flush().map_err(failed)?;
    drop(writer);
    if received != file.num_bytes {
        let found = if received > file.num_bytes { "more".to_owned() } else { received.to_string() };
        return Err(format!("{}: {found} bytes instead of {}", file.name, file.num_bytes));
    }
    let found = hex(hash);
    if found != file.sha256 {
        return Err(format!("{}: the SHA-256 is {found} instead of {}", file.name, file.sha256));
    }
    unfinished.commit().map_err(failed)?;
    progress(FetchProgress::Verified { file: file.name });
    Ok(())
}

/// Removes what killed processes left. Only under the lock, so that nobody uses it.
pub(super) fn sweep(folder: &Path) {
    // What cannot be removed does no harm.
    let _ = aelab_files::remove_leftovers(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let _ = if entry.path().is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// 00 00 08 01 | 00 00 00 05 | h e l l o
    pub(in crate::fetch) const HELLO: &[u8] = b"\0\0\x08\x01\0\0\0\x05hello";

    pub(in crate::fetch) const HELLO_FILE: RemoteFile =
        RemoteFile { name: "hello", num_bytes: 13, sha256: "fb7c20f65235cc74615aff19195cec64d2f0bb3d3b3ec609030348c4fc5d92eb" };

    #[test]
    fn plain_and_compressed_bytes_end_as_the_same_file() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(HELLO).unwrap();
        for bytes in [HELLO.to_vec(), encoder.finish().unwrap()] {
            let folder = tempfile::tempdir().unwrap();
            let mut verified = Vec::new();
            store(bytes.as_slice(), &HELLO_FILE, folder.path(), &mut |event| verified.push(format!("{event:?}"))).unwrap();
            assert_eq!(fs::read(folder.path().join("hello")).unwrap(), HELLO);
            assert_eq!(verified, ["Verified { file: \"hello\" }"]);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn other_bytes_never_reach_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let message = |bytes: &[u8]| store(bytes, &HELLO_FILE, folder.path(), &mut |_| {}).unwrap_err();
        assert_eq!(message(&HELLO[..12]), "hello: 12 bytes instead of 13");
        assert_eq!(message(&[HELLO, b"!"].concat()), "hello: more bytes instead of 13");
        assert!(message(b"\0\0\x08\x01\0\0\0\x05hallo").starts_with("hello: the SHA-256 is "));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_are_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".fetch-abc"), "").unwrap();
        fs::create_dir(folder.path().join(".fetch-def")).unwrap();
        fs::write(folder.path().join("hello"), "").unwrap();
        sweep(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
