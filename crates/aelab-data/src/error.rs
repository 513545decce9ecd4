//! What can be wrong with data, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::fetch::Source;

/// The file, and the member inside it, that bytes came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub path: PathBuf,
    /// Name of the array or archive member; `None` where the file is not an archive.
    pub member: Option<String>,
}

impl Origin {
    /// A file that is not an archive.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), member: None }
    }

    /// A member of an archive.
    pub fn member(path: impl Into<PathBuf>, member: impl Into<String>) -> Self {
        Self { path: path.into(), member: Some(member.into()) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.member {
            None => write!(formatter, "{}", self.path.display()),
            Some(member) => write!(formatter, "{} (member `{member}`)", self.path.display()),
        }
    }
}

/// One source that did not serve a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAttempt {
    /// What was tried.
    pub source: Source,
    /// What happened, with the address or command.
    pub reason: String,
}

/// Why data could not be read, split, transformed or fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused.
    #[error("{}: could not be {action}", path.display())]
    Io {
        /// Past participle: `opened`, `read`, `written`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is nothing in the file.
    #[error("{origin}: holds no {what}; at least one is needed")]
    Empty {
        /// The file.
        origin: Origin,
        /// What was looked for: `bytes`, `examples`, `images`.
        what: &'static str,
    },
    /// Something that is no file: a folder, a device, a pipe.
    #[error("{}: is {found}, but a plain file is needed", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// More than memory can hold.
    #[error(
        "{origin}: needs more than {limit} bytes of memory, the most that aelab gives to one file here (three quarters of the \
         machine's memory); read it on a machine with more, or take a part of the data"
    )]
    TooLarge {
        /// The file or folder.
        origin: Origin,
        /// The most bytes that are taken.
        limit: u64,
    },
    /// Bytes that are not what the format says.
    #[error("{origin}: {message} (at byte {offset})")]
    Format {
        /// The file.
        origin: Origin,
        /// Offset in the decompressed bytes.
        offset: u64,
        /// What was found, what was expected.
        message: String,
    },
    /// The file ends too early.
    #[error("{origin}: ends at byte {end}, but its header promises {promised} bytes; the file is truncated, get it again")]
    Truncated {
        /// The file.
        origin: Origin,
        /// Where it ends, in decompressed bytes. For a compressed file that cannot possibly hold what its
        /// header promises: the most that it could hold.
        end: u64,
        /// Bytes that the header promises, the header included.
        promised: u64,
    },
    /// A compressed stream that cannot be decompressed.
    #[error("{origin}: the compressed data is damaged after {offset} decompressed bytes; get the file again")]
    Corrupt {
        /// The file.
        origin: Origin,
        /// Bytes that could be decompressed.
        offset: u64,
        /// What the decompressor said.
        source: io::Error,
    },
    /// A table with a cell or a row that cannot be used.
    #[error("{}: line {line}{}: {message}", path.display(), column.as_ref().map(|column| format!(", {column}")).unwrap_or_default())]
    Table {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: u64,
        /// `column 3 (age)`, from 1, with its name where there is a header.
        column: Option<String>,
        /// What was found, what was expected.
        message: String,
    },
    /// An archive without the array that was asked for.
    #[error("{}: has no array `{wanted}`; it has {}", path.display(), listed(available))]
    NoSuchMember {
        /// The archive.
        path: PathBuf,
        /// The name asked for.
        wanted: String,
        /// The names there are.
        available: Vec<String>,
    },
    /// An image that cannot be decoded.
    #[error("{}: is not a PNG or JPEG image that can be read", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: image::ImageError,
    },
    /// An image that would take too much memory.
    #[error(
        "{}: is larger than what is read: at most {max_side} pixels a side and {max_bytes} bytes decoded; scale it down or take it away",
        path.display()
    )]
    ImageTooLarge {
        /// The file.
        path: PathBuf,
        /// Most pixels of a side.
        max_side: u32,
        /// Most bytes of the decoded image.
        max_bytes: u64,
    },
    /// Images of different sizes, without a size to bring them to.
    #[error(
        "{}: is {} x {} pixels (height x width), but {} is {} x {}; set `size: [height, width]` to resize all images",
        path.display(), size.0, size.1, first.display(), first_size.0, first_size.1
    )]
    ImageSizes {
        /// The first image that differs.
        path: PathBuf,
        /// Its height and width.
        size: (usize, usize),
        /// The first image.
        first: PathBuf,
        /// Its height and width.
        first_size: (usize, usize),
    },
    /// NaN or infinity.
    #[error("{origin}: row {row}, column {column} is {value}; every value must be a finite number (rows and columns count from 0)")]
    NonFinite {
        /// The file.
        origin: Origin,
        /// Example, from 0.
        row: usize,
        /// Feature of the flattened example, from 0.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A value that a transform does not allow.
    #[error(
        "{origin}: row {row}, column {column} is {value}, outside [{low}, {high}], which {required_by} needs (rows and columns count from 0)"
    )]
    OutOfRange {
        /// The file.
        origin: Origin,
        /// Example, from 0.
        row: usize,
        /// Feature of the flattened example, from 0.
        column: usize,
        /// The value.
        value: f32,
        /// Lowest value allowed.
        low: f32,
        /// Highest value allowed.
        high: f32,
        /// The option that asks for it, and how to mend it.
        required_by: &'static str,
    },
    /// A label for each example was expected.
    #[error("{labels}: holds {num_labels} labels, but {examples} holds {num_examples} examples; they must be as many")]
    CountMismatch {
        /// The file of the examples.
        examples: Origin,
        /// Examples found.
        num_examples: usize,
        /// The file of the labels.
        labels: Origin,
        /// Labels found.
        num_labels: usize,
    },
    /// An `event_shape` that does not fit.
    #[error("{origin}: `event_shape: {wanted:?}` has {} values, but an example has {found} features", wanted.iter().product::<usize>())]
    EventShape {
        /// The file.
        origin: Origin,
        /// The shape asked for.
        wanted: Vec<usize>,
        /// Features of an example.
        found: usize,
    },
    /// A label that is not an integer.
    #[error("{origin}: label {row} is {value}; labels must be integers (rows count from 0)")]
    Label {
        /// The file.
        origin: Origin,
        /// Example, from 0.
        row: usize,
        /// The label.
        value: f64,
    },
    /// The splits that were asked for do not fit into the data, or training and test examples do not look alike.
    #[error("{origin}: {message}")]
    Split {
        /// The file.
        origin: Origin,
        /// What was asked for, what there is.
        message: String,
    },
    /// A data set that is not in the cache.
    #[error("{name} is not in the cache {}; run `aelab data fetch {name}`{}", folder.display(), reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default())]
    NotFetched {
        /// The data set.
        name: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
        /// What is wrong with the files that are there.
        reason: Option<String>,
    },
    /// The network is needed and forbidden.
    #[error("{name} is not in the cache {} and `--offline` forbids to fetch it; run `aelab data fetch {name}` with a network", folder.display())]
    Offline {
        /// The data set.
        name: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// No source served the data set.
    #[error("{name} could not be fetched:{}", attempts.iter().map(|attempt| format!("\n  {}: {}", attempt.source, attempt.reason)).collect::<String>())]
    Fetch {
        /// The data set.
        name: &'static str,
        /// Every source tried, in order.
        attempts: Vec<FailedAttempt>,
    },
    /// A name that no data set has.
    #[error("there is no data set `{name}` to fetch; there are {}", listed(available))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        available: Vec<String>,
    },
}

impl DataError {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> DataError {
        let path = path.as_ref().to_owned();
        move |source| DataError::Io { action, path, source }
    }

    pub(crate) fn format(origin: &Origin, offset: u64, message: impl Into<String>) -> Self {
        DataError::Format { origin: origin.clone(), offset, message: message.into() }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
