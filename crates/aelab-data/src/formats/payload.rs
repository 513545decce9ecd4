//! A stream of bytes, plain or gzip, that knows how many bytes can come at most.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{DataError, Origin};

/// Deflate cannot pack more than 1032 bytes into one.
pub(crate) const MAX_DEFLATE_RATIO: u64 = 1032;

/// How much is reserved in advance when the length is a compressed file's claim.
const FIRST_RESERVE: usize = 1 << 20;

/// Bytes with their origin, the offset reached, and the most that can come.
pub(crate) struct Payload<'a> {
    reader: Box<dyn Read + 'a>,
    origin: Origin,
    offset: u64,
    bound: u64,
    compressed: bool,
}

impl<'a> Payload<'a> {
    /// A stream of which no more than `bound` bytes can come; `compressed` says that errors of the reader
    /// are those of a decompressor.
    pub(crate) fn new(reader: impl Read + 'a, origin: Origin, bound: u64, compressed: bool) -> Self {
        Self { reader: Box::new(reader), origin, offset: 0, bound, compressed }
    }

    /// Bytes in memory, gzip where they begin like gzip.
    #[cfg(test)]
    pub(crate) fn of_bytes(bytes: &'a [u8], origin: Origin) -> Self {
        let length = bytes.len() as u64;
        if bytes.starts_with(&GZIP_MAGIC) {
            Self::new(MultiGzDecoder::new(bytes), origin, length * MAX_DEFLATE_RATIO, true)
        } else {
            Self::new(Cursor::new(bytes), origin, length, false)
        }
    }

    /// The bytes that are left, as a reader.
    pub(crate) fn into_reader(self) -> Box<dyn Read + 'a> {
        self.reader
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
        let length = usize::try_from(count).map_err(|_| truncated(self.bound))?;
        let mut bytes = Vec::with_capacity(if self.compressed { length.min(FIRST_RESERVE) } else { length });
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

/// The two bytes that every gzip stream begins with.
pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Opens a file, plain or gzip, told apart by its first two bytes.
pub(crate) fn open(path: &Path) -> Result<Payload<'static>, DataError> {
    let mut file = File::open(path).map_err(DataError::io("opened", path))?;
    let length = file.metadata().map_err(DataError::io("read", path))?.len();
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
