//! Data that is decoded once for each machine: a file that all workers map, so that they share its memory.
//!
//! A source decodes its files, or makes its examples, into a [`RawDataset`]. The first process that does so writes the numbers to
//! `<cache>/decoded/<key>.aelab`; those that come meanwhile wait for it, and all of them map the file. The key is a SHA-256 of
//! everything that the numbers depend on: the check sum of the data, the configuration of the source without the options of splits
//! and transforms, the version of the program. So a file never has to be changed, and removing it costs a decoding.
//!
//! Every process checks the whole file when it opens it (see [`file`]): at some 10 GB/s, that is less than reading the data. A file
//! that fails is written again. Where the folder cannot be written, or the disk is full, everything works without it, each
//! process with the numbers in its own memory.
//!
//! What is not kept: data that is smaller than [`SMALL`], what is embedded in the program, and `movielens_100k`, whose splits hide
//! parts of the examples from each other.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aelab_map::Numbers;
use serde_json::Value;

use crate::checksum::combined;
use crate::dataset::RawDataset;
use crate::fetch::{RemoteFile, RemoteSet, check_whole};
use crate::options::{OPTION_KEYS, Options};
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

mod file;
mod raw;
#[cfg(test)]
mod tests;

use file::{Column, Opened};

/// To be raised when a source decodes or makes its numbers in another way, so that files of before are not used.
const DECODING_VERSION: u32 = 1;

/// Files of fewer bytes, and made sets of fewer, are decoded by each process: that takes no longer than opening a file.
const SMALL: u64 = 1 << 18;

/// How long to wait for the process that decodes before doing it oneself.
const PATIENCE: Duration = Duration::from_secs(600);

const POLL: Duration = Duration::from_millis(5);

/// What decoded files end with.
const EXTENSION: &str = "aelab";

/// What locks end with.
const LOCK_EXTENSION: &str = "aelab-lock";

/// The folder of decoded data: `$AELAB_DECODED`, else `decoded` in the cache; none where that variable is `off`.
pub fn decoded_dir(context: &LoadContext) -> Option<PathBuf> {
    match env::var_os("AELAB_DECODED") {
        Some(off) if off == "off" => None,
        Some(folder) if !folder.is_empty() => Some(folder.into()),
        // An empty cache folder is a context without a cache.
        _ => (!context.cache_dir.as_os_str().is_empty()).then(|| context.cache_dir.join("decoded")),
    }
}

/// What [`clear_decoded`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleared {
    /// Files removed.
    pub num_files: usize,
    /// Their size.
    pub num_bytes: u64,
}

/// Removes all decoded data. Processes that have it open keep it until they end; the next ones decode again.
pub fn clear_decoded(context: &LoadContext) -> Result<Cleared, DataError> {
    let mut cleared = Cleared::default();
    let Some(folder) = decoded_dir(context) else { return Ok(cleared) };
    // One that is writing just now goes on without a file. What cannot be removed is nobody's data.
    let _ = aelab_files::remove_leftovers(&folder);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(cleared),
        Err(error) => return Err(DataError::io("read", &folder)(error)),
    };
    for entry in entries {
        let path = entry.map_err(DataError::io("read", &folder))?.path();
        if path.extension().is_some_and(|extension| extension == LOCK_EXTENSION) {
            // Left by one that was killed, or in use: then two may decode the same.
            let _ = fs::remove_file(&path);
        }
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        let num_bytes = path.metadata().map_or(0, |metadata| metadata.len());
        match fs::remove_file(&path) {
            Ok(()) => cleared = Cleared { num_files: cleared.num_files + 1, num_bytes: cleared.num_bytes + num_bytes },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(DataError::io("removed", &path)(error)),
        }
    }
    Ok(cleared)
}

/// A place for what is derived from the decoded numbers of one source.
#[derive(Debug)]
pub(crate) struct Kept {
    folder: PathBuf,
    /// Of the decoded numbers.
    key: String,
}

/// A decoded data set, and where more of its kind may be kept.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) raw: RawDataset,
    pub(crate) kept: Option<Kept>,
}

impl From<RawDataset> for Decoded {
    fn from(raw: RawDataset) -> Self {
        Self { raw, kept: None }
    }
}

/// Loads the user's own files, whose size in bytes is given where it is known.
pub(crate) fn load_own<C: DatasetSource>(
    config: &C,
    options: &Options,
    context: &LoadContext,
    files: &[Option<&Path>],
    decode: impl FnOnce() -> Result<RawDataset, DataError>,
) -> Result<Dataset, DataError> {
    let checksum = config.checksum(context)?;
    let paths: Vec<PathBuf> = files.iter().flatten().map(|path| context.resolve(path)).collect();
    // A folder says nothing of the size of its files.
    let size = |path: &PathBuf| path.metadata().map_or(0, |metadata| if metadata.is_dir() { SMALL } else { metadata.len() });
    let check = || {
        if config.checksum(context)? == checksum {
            return Ok(());
        }
        let origin = Origin::file(paths.first().cloned().unwrap_or_default());
        Err(DataError::Split { origin, message: "was changed while it was read; run it again when the file is complete".to_owned() })
    };
    let decoded = decoded(config, &checksum, context, paths.iter().map(size).sum(), check, decode)?;
    Dataset::new(C::NAME, checksum, decoded, options)
}

/// Loads files of a fetched set.
pub(crate) fn load_fetched<C: DatasetSource>(
    config: &C,
    options: &Options,
    context: &LoadContext,
    set: &RemoteSet,
    files: &[&RemoteFile],
    decode: impl FnOnce() -> Result<RawDataset, DataError>,
) -> Result<Dataset, DataError> {
    let checksum = config.checksum(context)?;
    let num_bytes = files.iter().map(|file| file.num_bytes).sum();
    // Sizes are looked at whenever a set is read. What is kept for all later processes is worth a look at every byte.
    let decoded = decoded(config, &checksum, context, num_bytes, || check_whole(set, files, context), decode)?;
    Dataset::new(C::NAME, checksum, decoded, options)
}

/// Loads a set that is made here, of so many numbers.
pub(crate) fn load_made<C: DatasetSource>(
    config: &C,
    options: &Options,
    context: &LoadContext,
    num_values: usize,
    make: impl FnOnce() -> Result<RawDataset, DataError>,
) -> Result<Dataset, DataError> {
    let checksum = config.checksum(context)?;
    let decoded = decoded(config, &checksum, context, num_values as u64, || Ok(()), make)?;
    Dataset::new(C::NAME, checksum, decoded, options)
}

/// The decoded data, from its file where there is one. `check` is asked before numbers are kept: are they those of `checksum`?
fn decoded<C: DatasetSource>(
    config: &C,
    checksum: &str,
    context: &LoadContext,
    num_bytes: u64,
    check: impl FnOnce() -> Result<(), DataError>,
    decode: impl FnOnce() -> Result<RawDataset, DataError>,
) -> Result<Decoded, DataError> {
    let Some(folder) = decoded_dir(context).filter(|_| num_bytes >= SMALL) else { return Ok(decode()?.into()) };
    let mut section = serde_json::to_value(config).expect("a configuration of numbers, strings, lists and maps serializes");
    if let Value::Object(section) = &mut section {
        section.retain(|key, _| !OPTION_KEYS.contains(&key.as_str()));
    }
    let key = combined([
        ("format", file::VERSION.to_string()),
        ("decoding", DECODING_VERSION.to_string()),
        ("program", env!("CARGO_PKG_VERSION").to_owned()),
        // What is made here has sines in it, whose last bits are the machine's.
        ("machine", env::consts::ARCH.to_owned()),
        ("source", C::NAME.to_owned()),
        ("data", checksum.to_owned()),
        ("config", section.to_string()),
    ]);
    let raw = kept(
        &folder,
        &key,
        |opened| raw::read(opened, context),
        || {
            let raw = decode()?;
            check()?;
            Ok(raw)
        },
        |raw| raw::columns(raw, context),
    )?;
    Ok(Decoded { raw, kept: Some(Kept { folder, key }) })
}

impl Kept {
    /// Whether so many bytes are worth a file.
    pub(crate) fn is_worth(num_bytes: usize) -> bool {
        num_bytes as u64 >= SMALL
    }

    /// Numbers that follow from the decoded ones by what `what` says.
    pub(crate) fn bytes(&self, what: &str, make: impl FnOnce() -> Vec<u8>) -> Numbers<u8> {
        let parts = [("decoded", self.key.clone()), ("what", what.to_owned())];
        let made = kept(
            &self.folder,
            &combined(parts),
            |opened| opened.bytes("values"),
            || Ok(Numbers::owned(make())),
            |numbers| Some((Value::Null, vec![("values".to_owned(), Column::Bytes(numbers))])),
        );
        made.expect("making bytes does not fail")
    }
}

/// What a columnar form of a thing is: a description and its numbers.
type Columns<'a> = (Value, Vec<(String, Column<'a>)>);

/// The thing of that key: read from its file, or made and, where that can be, written and read back, so that its maker shares it too.
fn kept<T>(
    folder: &Path,
    key: &str,
    read: impl Fn(&Opened) -> Option<T>,
    make: impl FnOnce() -> Result<T, DataError>,
    columns: impl for<'a> Fn(&'a T) -> Option<Columns<'a>>,
) -> Result<T, DataError> {
    let path = folder.join(key).with_extension(EXTENSION);
    let open = || Opened::open(&path, key).as_ref().and_then(&read);
    if let Some(thing) = open() {
        return Ok(thing);
    }
    let Some(lock) = Lock::take(folder, key) else { return make() };
    // Another process may have written it meanwhile.
    if let Some(thing) = open() {
        return Ok(thing);
    }
    if lock.has_waited {
        // The other could not write it, or has died. Those that waited are not to try one after the other.
        drop(lock);
        return make();
    }
    let made = make()?;
    let is_written = columns(&made).is_some_and(|(about, columns)| file::write(&path, key, about, &columns).is_ok());
    let thing = if is_written { open() } else { None };
    drop(lock);
    Ok(thing.unwrap_or(made))
}

/// Keeps others from decoding the same, while it lives. Nothing depends on it but work done twice.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    /// Whether another process had it before.
    has_waited: bool,
    /// Released with the process, however that ends.
    _file: File,
}

impl Lock {
    /// `None` where there is no folder to write to, or another process has taken too long.
    fn take(folder: &Path, key: &str) -> Option<Self> {
        fs::create_dir_all(folder).ok()?;
        let path = folder.join(key).with_extension(LOCK_EXTENSION);
        let file = File::options().create(true).truncate(false).write(true).open(&path).ok()?;
        let since = Instant::now();
        let mut has_waited = false;
        loop {
            match file.try_lock() {
                // Or a file system without locks.
                Ok(()) | Err(TryLockError::Error(_)) => return Some(Self { path, has_waited, _file: file }),
                Err(TryLockError::WouldBlock) if since.elapsed() > PATIENCE => return None,
                Err(TryLockError::WouldBlock) => {
                    has_waited = true;
                    thread::sleep(POLL);
                }
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // One that has it open waits for nothing any more; one that comes now makes another, and finds what was written.
        let _ = fs::remove_file(&self.path);
    }
}
