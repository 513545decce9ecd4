//! ZIP, as far as NPZ needs it: members stored or deflated, found through the central directory.
//!
//! <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>. Hand-written because `numpy.savez` and
//! `savez_compressed` use two of its methods, and a general crate brings bzip2, zstd and AES along.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;

use super::payload::{MAX_DEFLATE_RATIO, Payload, open_plain};
use crate::{DataError, Origin};

/// The last record of an archive without a comment; with one it lies up to 65,535 bytes further in.
const END_RECORD: usize = 22;

/// An archive of a million members has a directory of a quarter of this.
const MAX_DIRECTORY: u64 = 256 << 20;

/// One entry of the central directory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    method: u16,
    encrypted: bool,
    crc: u32,
    compressed: u64,
    size: u64,
    /// Offset of the local header.
    offset: u64,
}

/// An archive whose directory has been read.
#[derive(Debug)]
pub(crate) struct Zip {
    path: PathBuf,
    file: File,
    length: u64,
    entries: Vec<Entry>,
}

impl Zip {
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let (mut file, length) = open_plain(path)?;
        if length == 0 {
            return Err(DataError::Empty { origin: Origin::file(path), what: "bytes" });
        }
        let entries = read_directory(&mut file, length, &Origin::file(path))?;
        Ok(Self { path: path.to_owned(), file, length, entries })
    }

    /// Names of the members.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The decompressed bytes of the member `file_name`, called `label` in messages; `None` where there is none.
    pub(crate) fn member(&mut self, file_name: &str, label: &str) -> Result<Option<Payload<'_>>, DataError> {
        let Some(entry) = self.entries.iter().find(|entry| entry.name == file_name).cloned() else { return Ok(None) };
        let origin = Origin::member(&self.path, label);
        if self.entries.iter().filter(|other| other.name == file_name).count() > 1 {
            return Err(DataError::format(
                &origin,
                entry.offset,
                "is there twice, and programs differ in which of the two they read; keep one",
            ));
        }
        if entry.encrypted {
            return Err(DataError::format(&origin, entry.offset, "is encrypted, which is not read"));
        }
        let damaged = |message: &str| DataError::format(&origin, entry.offset, message);
        if entry.offset.checked_add(30).is_none_or(|end| end > self.length) {
            return Err(damaged("the archive is cut short: the member lies beyond its end"));
        }
        let mut local = [0; 30];
        self.file.seek(SeekFrom::Start(entry.offset)).map_err(DataError::io("read", &self.path))?;
        self.file.read_exact(&mut local).map_err(DataError::io("read", &self.path))?;
        if local[..4] != *b"PK\x03\x04" {
            return Err(damaged("the archive is damaged: no member begins here"));
        }
        let start = entry.offset + 30 + u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
        if start.checked_add(entry.compressed).is_none_or(|end| end > self.length) {
            return Err(damaged("the archive is cut short: the member ends beyond its end"));
        }
        self.file.seek(SeekFrom::Start(start)).map_err(DataError::io("read", &self.path))?;
        let raw = BufReader::new(&mut self.file).take(entry.compressed);
        let (reader, bound): (Box<dyn Read>, u64) = match entry.method {
            0 => (Box::new(raw), entry.compressed),
            8 => (Box::new(DeflateDecoder::new(raw)), entry.compressed.saturating_mul(MAX_DEFLATE_RATIO)),
            other => {
                return Err(damaged(&format!(
                    "compression method {other} is not read; numpy.savez and numpy.savez_compressed write what is"
                )));
            }
        };
        let checked = Checked { reader, crc: flate2::Crc::new(), expected: entry.crc };
        Ok(Some(Payload::new(checked, origin, bound.min(entry.size), true)))
    }
}

/// Compares the check sum when the bytes end.
struct Checked<'a> {
    reader: Box<dyn Read + 'a>,
    crc: flate2::Crc,
    expected: u32,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        if read == 0 && !buffer.is_empty() && self.crc.sum() != self.expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the check sum of the archive does not match"));
        }
        self.crc.update(&buffer[..read]);
        Ok(read)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

fn read_directory(file: &mut (impl Read + Seek), length: u64, origin: &Origin) -> Result<Vec<Entry>, DataError> {
    let mut range = |start: u64, count: u64| -> Result<Vec<u8>, DataError> {
        if start.checked_add(count).is_none_or(|end| end > length) {
            return Err(DataError::format(origin, start.min(length), "the archive is damaged: its directory lies beyond its end"));
        }
        if count > MAX_DIRECTORY {
            return Err(DataError::format(
                origin,
                start,
                format!("its directory claims {count} bytes; {MAX_DIRECTORY} are the most that is read"),
            ));
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start)).map_err(DataError::io("read", &origin.path))?;
        file.take(count).read_to_end(&mut bytes).map_err(DataError::io("read", &origin.path))?;
        if (bytes.len() as u64) < count {
            return Err(DataError::Truncated { origin: origin.clone(), end: start + bytes.len() as u64, promised: start + count });
        }
        Ok(bytes)
    };
    let tail_length = length.min(END_RECORD as u64 + 0xffff);
    let tail_start = length - tail_length;
    let tail = range(tail_start, tail_length)?;
    let last = tail.len().checked_sub(END_RECORD);
    let at = last.and_then(|last| (0..=last).rev().find(|&at| tail[at..].starts_with(b"PK\x05\x06"))).ok_or_else(|| {
        DataError::format(origin, length, "is not a ZIP archive, or it is cut short: the directory at its end is missing")
    })?;
    let end = &tail[at..];
    let (mut size, mut start) = (u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)));
    // ZIP64: the record before the end record's locator has the sizes that do not fit into 32 bits.
    if (size == 0xffff_ffff || start == 0xffff_ffff || u16_at(end, 10) == 0xffff) && at >= 20 && tail[at - 20..].starts_with(b"PK\x06\x07")
    {
        let record = range(u64_at(&tail, at - 20 + 8), 56)?;
        if record.starts_with(b"PK\x06\x06") {
            (size, start) = (u64_at(&record, 40), u64_at(&record, 48));
        }
    }
    let directory = range(start, size)?;
    let mut entries = Vec::new();
    let mut at = 0;
    while at < directory.len() {
        let entry = &directory[at..];
        let damaged = || DataError::format(origin, start + at as u64, "the archive is damaged: its directory cannot be read");
        if entry.len() < 46 || entry[..4] != *b"PK\x01\x02" {
            return Err(damaged());
        }
        let (name, extra, comment) = (usize::from(u16_at(entry, 28)), usize::from(u16_at(entry, 30)), usize::from(u16_at(entry, 32)));
        let total = 46 + name + extra + comment;
        if entry.len() < total {
            return Err(damaged());
        }
        let mut sizes = [u64::from(u32_at(entry, 24)), u64::from(u32_at(entry, 20)), u64::from(u32_at(entry, 42))];
        wide_sizes(&entry[46 + name..46 + name + extra], &mut sizes);
        let [size, compressed, offset] = sizes;
        entries.push(Entry {
            name: String::from_utf8_lossy(&entry[46..46 + name]).into_owned(),
            method: u16_at(entry, 10),
            encrypted: u16_at(entry, 8) & 1 == 1,
            crc: u32_at(entry, 16),
            compressed,
            size,
            offset,
        });
        at += total;
    }
    Ok(entries)
}

/// Replaces the sizes that do not fit into 32 bits by those of the ZIP64 extra field, which holds only these, in order.
fn wide_sizes(mut extra: &[u8], sizes: &mut [u64; 3]) {
    while extra.len() >= 4 {
        let length = usize::from(u16_at(extra, 2));
        let Some(mut field) = extra.get(4..4 + length) else { return };
        if u16_at(extra, 0) == 1 {
            for size in sizes.iter_mut().filter(|size| **size == 0xffff_ffff) {
                if field.len() < 8 {
                    return;
                }
                *size = u64_at(field, 0);
                field = &field[8..];
            }
            return;
        }
        extra = &extra[4 + length..];
    }
}

/// An archive of these members, for tests.
#[cfg(test)]
pub(crate) fn write(members: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
    use std::io::Write;
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let packed = if deflate {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.to_vec()
        };
        let common = [
            [20, 0, 0, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0].as_slice(),
            &crc.sum().to_le_bytes(),
            &(packed.len() as u32).to_le_bytes(),
            &(content.len() as u32).to_le_bytes(),
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        let offset = bytes.len() as u32;
        bytes.extend([b"PK\x03\x04".as_slice(), &common, name.as_bytes(), &packed].concat());
        directory.extend([b"PK\x01\x02\x14\x00".as_slice(), &common, &[0; 10], &offset.to_le_bytes(), name.as_bytes()].concat());
    }
    let (count, start) = ((members.len() as u16).to_le_bytes(), (bytes.len() as u32).to_le_bytes());
    let size = (directory.len() as u32).to_le_bytes();
    bytes.extend(directory);
    bytes.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &size, &start, &[0, 0]].concat());
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn saved(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn content(bytes: &[u8], name: &str) -> Result<Vec<u8>, DataError> {
        let (_folder, path) = saved(bytes);
        let mut zip = Zip::open(&path)?;
        let size = zip.entries.iter().find(|entry| entry.name == name).unwrap().size;
        let mut payload = zip.member(name, name)?.unwrap();
        let content = payload.body(size)?;
        payload.end()?;
        Ok(content)
    }

    #[test]
    fn stored_and_deflated_members_are_read() {
        let long = vec![7; 10_000];
        for deflate in [false, true] {
            let archive = write(&[("a.npy", b"first"), ("b.npy", &long)], deflate);
            assert_eq!(content(&archive, "a.npy").unwrap(), b"first");
            assert_eq!(content(&archive, "b.npy").unwrap(), long);
        }
    }

    #[test]
    fn damage_is_found_by_the_check_sum_and_named_with_the_member() {
        let mut archive = write(&[("a.npy", b"first")], false);
        archive[36] ^= 1;
        let error = content(&archive, "a.npy").unwrap_err().to_string();
        assert!(error.contains("(member `a.npy`): the compressed data is damaged after 5 decompressed bytes"), "{error}");
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused() {
        let error = content(&write(&[("a.npy", b"first"), ("a.npy", b"other")], false), "a.npy").unwrap_err().to_string();
        assert!(error.contains("(member `a.npy`): is there twice, and programs differ"), "{error}");
    }

    #[test]
    fn archives_cut_short_are_refused() {
        let archive = write(&[("a.npy", b"first")], false);
        let error = content(&archive[..archive.len() - 1], "a.npy").unwrap_err().to_string();
        assert!(error.contains("is not a ZIP archive, or it is cut short"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300, value in any::<u8>()) {
            let directory = |bytes: &[u8]| read_directory(&mut Cursor::new(bytes), bytes.len() as u64, &Origin::file("x"));
            let _ = directory(&bytes);
            let _ = directory(&[&bytes, b"PK\x05\x06".as_slice(), &bytes].concat());
            let mut archive = write(&[("a.npy", b"first"), ("b.npy", b"second")], true);
            let at = at % archive.len();
            archive[at] = value;
            let (_folder, path) = saved(&archive);
            if let Ok(mut zip) = Zip::open(&path) && let Ok(Some(mut payload)) = zip.member("b.npy", "b") {
                let _ = payload.body(6);
            }
        }
    }
}
