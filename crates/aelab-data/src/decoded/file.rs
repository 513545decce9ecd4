//! The format of a file of decoded numbers: a header in JSON, then sections of numbers as they lie in memory.
//!
//! ```text
//! offset 0   8 bytes   "aelabdec"
//!        8   u32       version of the format
//!       12   u32       length of the header in bytes
//!       16   u32       CRC-32 of the header
//!       20             zeros
//!       64   header    JSON: key, what the numbers are, and a table of the sections
//!                      sections, each at a multiple of 64, lowest byte first
//! ```
//!
//! Who opens a file checks all of it: key, length, and the CRC-32 of the header and of every section.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use aelab_files::AtomicFile;
use aelab_map::{Mapping, Number, Numbers};
use flate2::Crc;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// To be raised with every change of the layout.
pub(super) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"aelabdec";

/// Where the header begins, and what sections are aligned to.
const ALIGNMENT: usize = 64;

/// Numbers to be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column<'a> {
    Bytes(&'a [u8]),
    Words(&'a [u32]),
    Floats(&'a [f32]),
}

impl Column<'_> {
    fn kind(self) -> Kind {
        match self {
            Column::Bytes(_) => Kind::U8,
            Column::Words(_) => Kind::U32,
            Column::Floats(_) => Kind::F32,
        }
    }

    fn len(self) -> usize {
        match self {
            Column::Bytes(numbers) => numbers.len(),
            Column::Words(numbers) => numbers.len(),
            Column::Floats(numbers) => numbers.len(),
        }
    }

    /// Hands the bytes of the numbers on, piece by piece.
    fn for_each_piece(self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        const PIECE: usize = 1 << 14;
        let mut buffer = Vec::with_capacity(4 * PIECE);
        match self {
            Column::Bytes(numbers) => numbers.chunks(4 * PIECE).try_for_each(take),
            Column::Words(numbers) => numbers.chunks(PIECE).try_for_each(|piece| {
                buffer.clear();
                buffer.extend(piece.iter().flat_map(|number| number.to_le_bytes()));
                take(&buffer)
            }),
            Column::Floats(numbers) => numbers.chunks(PIECE).try_for_each(|piece| {
                buffer.clear();
                buffer.extend(piece.iter().flat_map(|number| number.to_le_bytes()));
                take(&buffer)
            }),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    U8,
    U32,
    F32,
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Kind::U8 => 1,
            Kind::U32 | Kind::F32 => 4,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Section {
    name: String,
    kind: Kind,
    /// Numbers, not bytes.
    count: usize,
    /// Bytes from the end of the header, rounded up to the alignment.
    start: usize,
    crc32: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    key: String,
    about: Value,
    sections: Vec<Section>,
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Writes a file that becomes visible when it is whole, and that nobody may write to from then on.
pub(super) fn write(path: &Path, key: &str, about: Value, columns: &[(String, Column<'_>)]) -> io::Result<()> {
    let (mut sections, mut start) = (Vec::with_capacity(columns.len()), 0);
    for (name, column) in columns {
        let mut crc = Crc::new();
        column.for_each_piece(|piece| {
            crc.update(piece);
            Ok(())
        })?;
        sections.push(Section { name: name.clone(), kind: column.kind(), count: column.len(), start, crc32: crc.sum() });
        start = (start + column.len() * column.kind().size()).next_multiple_of(ALIGNMENT);
    }
    let header = serde_json::to_vec(&Header { key: key.to_owned(), about, sections })?;
    let header_len = u32::try_from(header.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut first = Vec::with_capacity(ALIGNMENT);
    first.extend_from_slice(MAGIC);
    for number in [VERSION, header_len, crc32(&header)] {
        first.extend_from_slice(&number.to_le_bytes());
    }
    first.resize(ALIGNMENT, 0);

    let mut file = AtomicFile::create(path)?;
    let mut writer = BufWriter::with_capacity(1 << 16, file.file());
    writer.write_all(&first)?;
    writer.write_all(&header)?;
    let mut written = header.len();
    for (_, column) in columns {
        writer.write_all(&vec![0; written.next_multiple_of(ALIGNMENT) - written])?;
        column.for_each_piece(|piece| writer.write_all(piece))?;
        written = column.len() * column.kind().size();
    }
    writer.flush()?;
    drop(writer);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.file().set_permissions(std::fs::Permissions::from_mode(0o444))?;
    }
    file.commit()
}

/// The bytes of a file.
#[derive(Debug)]
enum Content {
    Mapped(Arc<Mapping>),
    /// Where the file system has no mappings.
    Read(Vec<u8>),
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Content::Mapped(mapping) => mapping.bytes(),
            Content::Read(bytes) => bytes,
        }
    }
}

/// A file that has been checked as a whole.
#[derive(Debug)]
pub(super) struct Opened {
    content: Content,
    header: Header,
    /// Where the sections begin.
    data: usize,
}

impl Opened {
    /// Opens and checks; `None` where the file is not there, is not of that key, or is not what was written.
    pub(super) fn open(path: &Path, key: &str) -> Option<Self> {
        let content = match Mapping::open(path) {
            Ok(mapping) => Content::Mapped(mapping),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => Content::Read(std::fs::read(path).ok()?),
        };
        Self::check(content, key)
    }

    fn check(content: Content, key: &str) -> Option<Self> {
        let bytes = content.bytes();
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if bytes.get(..8)? != MAGIC || word(8)? != VERSION {
            return None;
        }
        let header_len = usize::try_from(word(12)?).ok()?;
        let header = bytes.get(ALIGNMENT..ALIGNMENT.checked_add(header_len)?)?;
        if crc32(header) != word(16)? {
            return None;
        }
        let header: Header = serde_json::from_slice(header).ok()?;
        let data = (ALIGNMENT + header_len).next_multiple_of(ALIGNMENT);
        let mut end = data;
        for section in &header.sections {
            let start = data.checked_add(section.start)?;
            end = start.checked_add(section.count.checked_mul(section.kind.size())?)?;
            if crc32(bytes.get(start..end)?) != section.crc32 {
                return None;
            }
        }
        // A file without sections ends with its header.
        let end = if header.sections.is_empty() { ALIGNMENT + header_len } else { end };
        (header.key == key && end == bytes.len()).then_some(Self { content, header, data })
    }

    /// What the numbers are, as it was written.
    pub(super) fn about(&self) -> &Value {
        &self.header.about
    }

    /// The numbers of a section: where they lie, or, where that cannot be, made out of their bytes.
    fn numbers<T: Number>(&self, name: &str, kind: Kind, decode: impl Fn(&[u8]) -> Vec<T>) -> Option<Numbers<T>> {
        let section = self.header.sections.iter().find(|section| section.name == name && section.kind == kind)?;
        let start = self.data + section.start;
        let mapped = match &self.content {
            Content::Mapped(mapping) => Numbers::mapped(mapping, start, section.count),
            Content::Read(_) => None,
        };
        mapped.or_else(|| Some(Numbers::owned(decode(self.content.bytes().get(start..start + section.count * kind.size())?))))
    }

    pub(super) fn bytes(&self, name: &str) -> Option<Numbers<u8>> {
        self.numbers(name, Kind::U8, <[u8]>::to_vec)
    }

    pub(super) fn words(&self, name: &str) -> Option<Numbers<u32>> {
        let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        self.numbers(name, Kind::U32, |bytes| bytes.chunks_exact(4).map(word).collect())
    }

    pub(super) fn floats(&self, name: &str) -> Option<Numbers<f32>> {
        let float = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        self.numbers(name, Kind::F32, |bytes| bytes.chunks_exact(4).map(float).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn example(path: &Path) {
        let columns = [
            ("a".to_owned(), Column::Bytes(&[1, 2, 3])),
            ("empty".to_owned(), Column::Words(&[])),
            ("b".to_owned(), Column::Words(&[7, u32::MAX])),
            ("c".to_owned(), Column::Floats(&[0.1, -0.0, f32::NAN])),
        ];
        write(path, "key", json!({"what": [1]}), &columns).unwrap();
    }

    #[test]
    fn what_was_written_is_read_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.aelab");
        example(&path);
        let mapped = Opened::open(&path, "key").unwrap();
        let read = Opened::check(Content::Read(std::fs::read(&path).unwrap()), "key").unwrap();
        for (opened, is_mapped) in [(mapped, true), (read, false)] {
            assert_eq!(opened.about(), &json!({"what": [1]}));
            assert_eq!(*opened.bytes("a").unwrap(), [1, 2, 3]);
            assert_eq!(*opened.words("b").unwrap(), [7, u32::MAX]);
            assert!(opened.words("empty").unwrap().is_empty());
            let floats = opened.floats("c").unwrap();
            assert_eq!(floats.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), [0.1, -0.0, f32::NAN].map(f32::to_bits));
            assert_eq!(floats.is_mapped(), is_mapped);
            assert!(opened.words("a").is_none() && opened.bytes("d").is_none());
        }
        assert!(Opened::open(&path, "another").is_none());
        assert!(Opened::open(&folder.path().join("none"), "key").is_none());
        assert!(std::fs::metadata(&path).unwrap().permissions().readonly());
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.aelab");
        example(&path);
        let whole = std::fs::read(&path).unwrap();
        let opened = |bytes: &[u8]| {
            let path = folder.path().join("damaged");
            std::fs::write(&path, bytes).unwrap();
            Opened::open(&path, "key")
        };
        assert!(opened(&whole).is_some());
        let header_len = u32::from_le_bytes(whole[12..16].try_into().unwrap()) as usize;
        let data = (ALIGNMENT + header_len).next_multiple_of(ALIGNMENT);
        // Only the zeros between sections are nobody's.
        let is_padding = |at: usize| {
            (20..ALIGNMENT).contains(&at)
                || (ALIGNMENT + header_len..data).contains(&at)
                || (data + 3..data + 64).contains(&at)
                || (data + 64 + 8..data + 128).contains(&at)
        };
        for at in (0..whole.len()).filter(|&at| !is_padding(at)) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert!(opened(&damaged).is_none(), "byte {at}");
        }
        for length in 0..whole.len() {
            assert!(opened(&whole[..length]).is_none(), "cut to {length}");
        }
        assert!(opened(&[&whole[..], &[0]].concat()).is_none());
    }
}
