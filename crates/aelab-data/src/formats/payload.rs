//! A stream of bytes, plain or gzip, that knows how many bytes can come at most.

use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{DataError, Origin, memory};

/// Deflate cannot pack more than 1032 bytes into one.
pub(crate) const MAX_DEFLATE_RATIO: u64 = 1032;

/// How much is reserved in advance when the length is a compressed file's claim.
const FIRST_RESERVE: usize = 1 << 20;

/// Bytes with their origin, the offset reached, the most that can come and the most that is taken.
pub(crate) struct Payload<'a> {
    reader: Box<dyn Read + 'a>,
    origin: Origin,
    offset: u64,
    bound: u64,
    limit: u64,
    compressed: bool,
}

impl<'a> Payload<'a> {
    /// A stream of which no more than `bound` bytes can come; `compressed` says that errors of the reader
    /// are those of a decompressor.
    pub(crate) fn new(reader: impl Read + 'a, origin: Origin, bound: u64, compressed: bool) -> Self {
        Self { reader: Box::new(reader), origin, offset: 0, bound, limit: memory::limit(), compressed }
    }

    /// The same stream, of which no more than `limit` bytes are taken.
    #[cfg(test)]
    pub(crate) fn limited_to(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// Bytes in memory, gzip where they begin like gzip.
    pub(crate) fn of_bytes(bytes: &'a [u8], origin: Origin) -> Self {
        let length = bytes.len() as u64;
        if bytes.starts_with(&GZIP_MAGIC) {
            Self::new(MultiGzDecoder::new(bytes), origin, length.saturating_mul(MAX_DEFLATE_RATIO), true)
        } else {
            Self::new(Cursor::new(bytes), origin, length, false)
        }
    }

    /// The bytes that are left, as a reader that fails where they are more than is taken.
    pub(crate) fn into_reader(self) -> Box<dyn Read + 'a> {
        Box::new(Limited { left: self.limit.saturating_sub(self.offset), limit: self.limit, reader: self.reader })
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `count` bytes of a header, a handful.
    pub(crate) fn header(&mut self, count: usize) -> Result<Vec<u8>, DataError> {
        self.body(count as u64)
    }

    /// The next `count` bytes. Refused before anything is allocated when so many cannot come.
    pub(crate) fn body(&mut self, count: u64) -> Result<Vec<u8>, DataError> {
        let promised = self.offset.saturating_add(count);
        let truncated = |end| DataError::Truncated { origin: self.origin.clone(), end, promised };
        if promised > self.bound {
            return Err(truncated(self.bound));
        }
        let too_large = |limit| DataError::TooLarge { origin: self.origin.clone(), limit };
        if promised > self.limit {
            return Err(too_large(self.limit));
        }
        let length = usize::try_from(count).map_err(|_| truncated(self.bound))?;
        let mut bytes = Vec::new();
        // A file with holes can be larger than memory; that is an error and not the end of the program.
        let reserved = bytes.try_reserve_exact(if self.compressed { length.min(FIRST_RESERVE) } else { length });
        reserved.map_err(|_| too_large(count))?;
        match self.reader.as_mut().take(count).read_to_end(&mut bytes) {
            Ok(read) if read == length => {
                self.offset = promised;
                Ok(bytes)
            }
            Ok(read) => Err(truncated(self.offset + read as u64)),
            Err(source) => Err(self.failure(bytes.len() as u64, source)),
        }
    }

    /// Nothing may follow; for gzip this is also where the check sum of the stream is verified.
    pub(crate) fn end(mut self) -> Result<(), DataError> {
        match self.reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => {
                let message = "more bytes follow than the header promises; the file is damaged or its header is wrong";
                Err(DataError::format(&self.origin, self.offset, message))
            }
            Err(source) => Err(self.failure(0, source)),
        }
    }

    fn failure(&self, read: u64, source: io::Error) -> DataError {
        let damaged = matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof);
        if self.compressed && damaged {
            DataError::Corrupt { origin: self.origin.clone(), offset: self.offset + read, source }
        } else {
            DataError::Io { action: "read", path: self.origin.path.clone(), source }
        }
    }
}

/// A reader that fails after so many bytes.
struct Limited<'a> {
    reader: Box<dyn Read + 'a>,
    left: u64,
    limit: u64,
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return match self.reader.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::Error::other(TooMuch { limit: self.limit })),
            };
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.reader.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// What the reader of a [`Payload`] fails with where more comes than is taken.
#[derive(Debug, thiserror::Error)]
#[error("more than {limit} bytes come")]
pub(crate) struct TooMuch {
    pub(crate) limit: u64,
}

/// Opens a file that is one: not a folder, of which there is nothing to read, nor a device or a pipe, which may never end and
/// cannot be read twice. Returns its length, too.
pub(crate) fn open_plain(path: &Path) -> Result<(File, u64), DataError> {
    // Before it is opened: opening a pipe waits for somebody to write.
    let found = fs::metadata(path).map_err(DataError::io("opened", path))?;
    if !found.is_file() {
        let found = if found.is_dir() { "a folder" } else { "a device, a pipe or a socket" };
        return Err(DataError::NotAFile { path: path.to_owned(), found });
    }
    let file = File::open(path).map_err(DataError::io("opened", path))?;
    let length = file.metadata().map_err(DataError::io("read", path))?.len();
    Ok((file, length))
}

/// The two bytes that every gzip stream begins with.
pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Opens a file, plain or gzip, told apart by its first two bytes.
pub(crate) fn open(path: &Path) -> Result<Payload<'static>, DataError> {
    let (mut file, length) = open_plain(path)?;
    let origin = Origin::file(path);
    if length == 0 {
        return Err(DataError::Empty { origin, what: "bytes" });
    }
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic).map_err(DataError::io("read", path))?;
    file.rewind().map_err(DataError::io("read", path))?;
    Ok(if magic == GZIP_MAGIC {
        Payload::new(MultiGzDecoder::new(BufReader::new(file)), origin, length.saturating_mul(MAX_DEFLATE_RATIO), true)
    } else {
        Payload::new(file, origin, length, false)
    })
}

/// Opens a text file, plain or gzip, as a reader.
pub(crate) fn open_text(path: &Path) -> Result<Box<dyn Read>, DataError> {
    Ok(open(path)?.into_reader())
}

/// `reader` from its first byte, decompressed where it begins like gzip.
pub(crate) fn decompressed<'a>(mut reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::new();
    reader.by_ref().take(2).read_to_end(&mut magic)?;
    let gzip = magic == GZIP_MAGIC;
    let whole = Cursor::new(magic).chain(reader);
    Ok(if gzip { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zeros(count: usize) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; count]).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_a_file_unpacks_to_is_limited_whether_its_header_says_so_or_not() {
        let bomb = zeros(1 << 20);
        assert!(bomb.len() < 2000);
        let payload = || Payload::of_bytes(&bomb, Origin::file("x.idx.gz")).limited_to(1000);
        let refused = "x.idx.gz: needs more than 1000 bytes of memory, the most that aelab gives to one file here (three quarters of the \
                       machine's memory); read it on a machine with more, or take a part of the data";
        assert_eq!(payload().body(1 << 20).unwrap_err().to_string(), refused);
        let mut read = Vec::new();
        let error = payload().into_reader().read_to_end(&mut read).unwrap_err();
        assert_eq!((read.len(), error.to_string().as_str()), (1000, "more than 1000 bytes come"));
        let fits = Payload::of_bytes(&bomb, Origin::file("x.idx.gz")).limited_to(1 << 20);
        assert_eq!(fits.into_reader().read_to_end(&mut Vec::new()).unwrap(), 1 << 20);
    }

    #[test]
    fn a_file_with_holes_that_no_memory_holds_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let size = 1 << 42;
        if let Err(error) = File::create(&path).unwrap().set_len(size) {
            writeln!(io::stderr(), "LEFT OUT: files with holes of this size are not possible here: {error}").unwrap();
            return;
        }
        let error = open(&path).unwrap().limited_to(u64::MAX).body(size).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { .. }), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn what_never_ends_or_cannot_be_read_twice_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let message = |path: &Path| open(path).map(|_| ()).unwrap_err().to_string();
        assert_eq!(message(Path::new("/dev/zero")), "/dev/zero: is a device, a pipe or a socket, but a plain file is needed");
        assert!(message(&pipe).ends_with("pipe: is a device, a pipe or a socket, but a plain file is needed"));
        assert!(message(folder.path()).ends_with(": is a folder, but a plain file is needed"));
    }
}
