//! Small files, read as a whole, that may have become large.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The content of a file that has at most `limit` bytes: what aelab writes of this kind is never larger, and what is larger is
/// something else. Folders, devices and pipes are refused before they are opened, since they may never end.
///
/// # Errors
/// Those of the file system, and `InvalidData` for what is not such a file.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    if !fs::metadata(path)?.is_file() {
        return Err(invalid("it is not a plain file".to_owned()));
    }
    let mut bytes = Vec::new();
    // The length is not asked for: the file may be growing.
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(invalid(format!("it is larger than {}, the most that such a file has", in_words(limit))));
    }
    Ok(bytes)
}

/// [`read_bounded`], for text.
///
/// # Errors
/// Those of [`read_bounded`], and `InvalidData` with the place where it is not UTF-8.
pub fn read_bounded_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read_bounded(path, limit)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
        io::Error::new(io::ErrorKind::InvalidData, format!("it is not UTF-8 text: line {line}, byte {at} of the file"))
    })
}

fn in_words(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_limit_and_refused_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [7; 2048]).unwrap();
        assert_eq!(read_bounded(&path, 2048).unwrap(), [7; 2048]);
        let error = read_bounded(&path, 1024).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 1 KiB, the most that such a file has");
        assert_eq!(read_bounded(&folder.path().join("absent"), 1).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn folders_and_devices_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/dev/zero")] {
            assert_eq!(read_bounded(path, 10).unwrap_err().to_string(), "it is not a plain file");
        }
    }

    #[test]
    fn text_that_is_none_is_located() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"one\ntw\xff").unwrap();
        assert_eq!(read_bounded_text(&path, 100).unwrap_err().to_string(), "it is not UTF-8 text: line 2, byte 6 of the file");
        fs::write(&path, "zwei: \u{e4}").unwrap();
        assert_eq!(read_bounded_text(&path, 100).unwrap(), "zwei: \u{e4}");
    }
}
