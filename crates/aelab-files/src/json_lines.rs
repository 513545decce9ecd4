//! Files that grow by a JSON value a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::failpoint;

/// The content of such a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JsonLines {
    /// A value for each whole line.
    pub values: Vec<Value>,
    /// Where the last whole line ends, in bytes.
    pub num_whole_bytes: u64,
    /// Whether something follows that is not a whole line: its writer was killed, or is writing just now.
    pub is_torn: bool,
}

/// Far more than a log of a line for each trial takes.
const MAX_FILE: u64 = 256 << 20;

/// Reads the whole lines of a file; one that is not there is empty.
///
/// # Errors
/// Those of the file system, and `InvalidData`, with the number of the line, where a whole line is no JSON.
pub fn read_json_lines(path: &Path) -> io::Result<JsonLines> {
    let bytes = match crate::read_bounded(path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(JsonLines::default()),
        Err(error) => return Err(error),
    };
    let num_whole = end_of_last_line(&bytes);
    let mut values = Vec::new();
    for (index, line) in bytes[..num_whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let value = serde_json::from_slice(line)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("line {} is no JSON: {error}", index + 1)))?;
        values.push(value);
    }
    Ok(JsonLines { values, num_whole_bytes: num_whole as u64, is_torn: num_whole < bytes.len() })
}

/// Adds a value as a line and waits until it is on disk. What a killed writer left of its last line is cut off first, so
/// only one process may write at a time.
///
/// # Errors
/// Those of the file system.
pub fn append_json_line(path: &Path, value: &impl Serialize) -> io::Result<()> {
    failpoint("append", path)?;
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let is_new = !path.exists();
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let end = whole_length(&mut file)?;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    file.write_all(&line)?;
    file.sync_data()?;
    if is_new {
        crate::sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

fn end_of_last_line(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1)
}

/// Where the last whole line ends, found from the end.
fn whole_length(file: &mut File) -> io::Result<u64> {
    const BLOCK: u64 = 4096;
    let mut end = file.metadata()?.len();
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.resize((end - start) as usize, 0);
        file.read_exact(&mut block)?;
        match end_of_last_line(&block) {
            0 => end = start,
            position => return Ok(start + position as u64),
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_appended_is_read_and_a_missing_file_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.jsonl");
        assert_eq!(read_json_lines(&path).unwrap(), JsonLines::default());
        for index in 0..3 {
            append_json_line(&path, &json!({"index": index})).unwrap();
        }
        let lines = read_json_lines(&path).unwrap();
        assert_eq!(lines.values, [json!({"index": 0}), json!({"index": 1}), json!({"index": 2})]);
        assert_eq!((lines.num_whole_bytes, lines.is_torn), (fs::metadata(&path).unwrap().len(), false));
    }

    #[test]
    fn a_whole_line_that_is_no_json_is_an_error_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.jsonl");
        fs::write(&path, b"{}\n\xff\xfe\n{}\n").unwrap();
        let error = read_json_lines(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().starts_with("line 2 "), "{error}");
    }

    proptest! {
        #[test]
        fn wherever_the_file_is_cut_the_whole_lines_stay_and_the_next_one_follows_them(
            texts in prop::collection::vec(".{0,40}|[a-z]{3000,6000}", 1..6),
            cut in 0.0..=1.0f64,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("lines.jsonl");
            let mut ends = vec![0];
            for text in &texts {
                append_json_line(&path, text).unwrap();
                ends.push(fs::metadata(&path).unwrap().len());
            }
            let kept = (cut * *ends.last().unwrap() as f64) as u64;
            File::options().write(true).open(&path).unwrap().set_len(kept).unwrap();
            let num_whole = ends.iter().filter(|end| **end <= kept).count() - 1;
            let lines = read_json_lines(&path).unwrap();
            prop_assert_eq!(&lines.values, &texts[..num_whole].iter().map(|text| json!(text)).collect::<Vec<_>>());
            prop_assert_eq!(lines.is_torn, ends[num_whole] != kept);
            append_json_line(&path, &"next").unwrap();
            let lines = read_json_lines(&path).unwrap();
            prop_assert_eq!((lines.values.len(), lines.values.last()), (num_whole + 1, Some(&json!("next"))));
        }
    }
}
