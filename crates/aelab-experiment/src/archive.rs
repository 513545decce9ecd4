//! A run directory as one file: a gzipped tar archive whose first member lists all others with size and SHA-256.
//!
//! ```text
//! <name>/manifest.json      format version, program version, and path, bytes and SHA-256 of every file
//! <name>/experiment.yaml
//! <name>/plan.json
//! <name>/trials/...
//! ```
//!
//! The same content gives the same bytes: members are sorted, and times and owners are not kept. Reading trusts nothing: members must be
//! the files of the manifest in its order, of exactly its sizes and checksums; no links, no paths that lead elsewhere, no extensions of
//! the format that would have to be read into memory.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use aelab_files::{AtomicFile, create_folder, sync_folder};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plan::Plan;
use crate::reading::map_trials;
use crate::result::TrialState;
use crate::run_dir::{RunDir, RunDirError};

/// Version of the archive format.
const ARCHIVE_VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// A manifest is not longer than this: over a million files.
const MOST_MANIFEST_BYTES: u64 = 256 << 20;
/// Deflate makes no more than so many bytes of one.
const MOST_EXPANSION: u64 = 1032;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveManifest {
    /// See the module.
    pub archive_version: u32,
    /// The aelab that wrote it.
    pub program_version: String,
    /// Name of the experiment.
    pub name: String,
    /// Whether checkpoints were left out.
    pub without_checkpoints: bool,
    /// Every file, sorted by path.
    pub files: Vec<ArchivedFile>,
}

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchivedFile {
    /// Below the run directory, `/` between its parts.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// Checksum in hexadecimal.
    pub sha256: String,
}

impl ArchiveManifest {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// Trials whose results are there.
    pub fn num_results(&self) -> usize {
        self.files.iter().filter(|file| file.path.starts_with("trials/") && file.path.ends_with("/result.json")).count()
    }
}

/// Why an archive was not written or not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The run directory cannot be read.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// Trials run at this moment.
    #[error("{num} trial{} of {name} still run{}: wait for them, or stop them with: aelab cancel {name}", if *.num == 1 { "" } else { "s" }, if *.num == 1 { "s" } else { "" })]
    StillRunning {
        /// Name of the experiment.
        name: String,
        /// How many.
        num: usize,
    },
    /// A file was written to meanwhile.
    #[error("{} changed while it was archived: something still works in this run directory", .0.display())]
    Changed(PathBuf),
    /// A path that an archive cannot hold.
    #[error("the path `{0}` does not fit into an archive: {1}")]
    UnfitPath(String, String),
    /// What would be overwritten.
    #[error("{} is already there: it is not overwritten; move it away or name another place", .0.display())]
    Exists(PathBuf),
    /// Not an archive of aelab, or one that was changed.
    #[error("{} is not a whole archive of a run: {what}", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// An archive of another version.
    #[error("{} has the archive version {found}, this aelab reads {ARCHIVE_VERSION}: use the aelab that wrote it", path.display())]
    Version {
        /// The archive.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// The file system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// `read`, `write`, ...
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_path_buf();
    move |source| ArchiveError::Io { what, path, source }
}

/// What was written.
#[derive(Debug, Clone)]
pub struct Archived {
    /// Its content.
    pub manifest: ArchiveManifest,
    /// Bytes of the archive.
    pub bytes: u64,
    /// Links and other things that are no files; they are not in it.
    pub left_out: Vec<PathBuf>,
}

/// Writes a run directory into the file `output`, which must not be there. Nothing of it may run.
///
/// # Errors
/// When trials run, when files change meanwhile, those of the file system.
pub fn archive(run_dir: &RunDir, plan: &Plan, output: &Path, without_checkpoints: bool) -> Result<Archived, ArchiveError> {
    if output.exists() {
        return Err(ArchiveError::Exists(output.to_owned()));
    }
    let running = map_trials(run_dir, &plan.trials, |_, state, _| state == TrialState::Running)?;
    let num = running.into_iter().filter(|is_running| *is_running).count();
    if num > 0 {
        return Err(ArchiveError::StillRunning { name: plan.name.clone(), num });
    }
    let mut found = Found::default();
    found.walk(run_dir.root(), "", without_checkpoints)?;
    found.paths.sort();
    let files: Vec<ArchivedFile> = found
        .paths
        .par_iter()
        .map(|path| {
            let full = run_dir.root().join(path);
            let mut file = File::open(&full).map_err(io_error("read", &full))?;
            let mut hash = Hashing::default();
            let bytes = io::copy(&mut file, &mut hash).map_err(io_error("read", &full))?;
            Ok(ArchivedFile { path: path.clone(), bytes, sha256: hash.finish() })
        })
        .collect::<Result<_, ArchiveError>>()?;
    let program_version = env!("CARGO_PKG_VERSION").to_owned();
    let manifest =
        ArchiveManifest { archive_version: ARCHIVE_VERSION, program_version, name: plan.name.clone(), without_checkpoints, files };

    let mut file = AtomicFile::create(output).map_err(io_error("write", output))?;
    let compressed = GzEncoder::new(BufWriter::with_capacity(1 << 20, file.file()), Compression::default());
    let mut builder = tar::Builder::new(compressed);
    let json = serde_json::to_vec_pretty(&manifest).expect("texts and numbers serialize");
    append(&mut builder, &plan.name, MANIFEST, json.len() as u64, &json[..], output)?;
    for archived in &manifest.files {
        let full = run_dir.root().join(&archived.path);
        let source = File::open(&full).map_err(io_error("read", &full))?;
        let mut checked = Checked::new(source.take(archived.bytes));
        append(&mut builder, &plan.name, &archived.path, archived.bytes, &mut checked, output)?;
        let (bytes, sha256, source) = checked.finish();
        let is_longer = source.into_inner().read(&mut [0]).map_err(io_error("read", &full))? > 0;
        if bytes != archived.bytes || sha256 != archived.sha256 || is_longer {
            return Err(ArchiveError::Changed(full));
        }
    }
    let compressed = builder.into_inner().map_err(io_error("write", output))?;
    compressed.finish().and_then(|mut buffer| buffer.flush()).map_err(io_error("write", output))?;
    let bytes = file.file().metadata().map_err(io_error("write", output))?.len();
    file.commit().map_err(io_error("write", output))?;
    Ok(Archived { manifest, bytes, left_out: found.left_out })
}

#[derive(Default)]
struct Found {
    paths: Vec<String>,
    left_out: Vec<PathBuf>,
}

impl Found {
    fn walk(&mut self, root: &Path, below: &str, without_checkpoints: bool) -> Result<(), ArchiveError> {
        let folder = root.join(below);
        for entry in fs::read_dir(&folder).map_err(io_error("read", &folder))? {
            let entry = entry.map_err(io_error("read", &folder))?;
            let path = entry.path();
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                return Err(ArchiveError::UnfitPath(path.display().to_string(), "it is not UTF-8".to_owned()));
            };
            // Locks are of this machine and moment; unfinished files are of writers that were killed.
            if name == "lock" || name.starts_with(".aelab-") {
                continue;
            }
            let below = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            let kind = entry.file_type().map_err(io_error("read", &path))?;
            if kind.is_dir() {
                if !(without_checkpoints && name == "checkpoints") {
                    self.walk(root, &below, without_checkpoints)?;
                }
            } else if kind.is_file() && below != MANIFEST {
                self.paths.push(below);
            } else {
                self.left_out.push(path);
            }
        }
        Ok(())
    }
}

fn append(
    builder: &mut tar::Builder<impl Write>,
    name: &str,
    path: &str,
    bytes: u64,
    content: impl Read,
    output: &Path,
) -> Result<(), ArchiveError> {
    let member = format!("{name}/{path}");
    let mut header = tar::Header::new_ustar();
    header.set_path(&member).map_err(|error| ArchiveError::UnfitPath(member.clone(), error.to_string()))?;
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    builder.append(&header, content).map_err(io_error("write", output))
}

/// Reads a whole archive and compares every file with the manifest; nothing is written.
///
/// # Errors
/// The first thing that is not as the manifest says.
pub fn verify_archive(path: &Path) -> Result<ArchiveManifest, ArchiveError> {
    read_archive(path, &mut |_, _, content| io::copy(content, &mut io::sink()).map(|_| ()))
}

/// Unpacks an archive into the folder `output`, which must not be there; `runs/NAME` with `runs` for `None`. All or nothing: the folder
/// gets its name when every file has been compared with the manifest and is on disk.
///
/// # Errors
/// When the folder is there; the first thing that is not as the manifest says; those of the file system.
pub fn unarchive(path: &Path, output: Option<&Path>, runs: &Path) -> Result<(PathBuf, ArchiveManifest), ArchiveError> {
    // Where it goes may depend on its name: known only from the manifest.
    let parent = output.and_then(Path::parent).filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(if output.is_some() { Path::new(".") } else { runs }).to_owned();
    if let Some(output) = output.filter(|output| output.symlink_metadata().is_ok()) {
        return Err(ArchiveError::Exists(output.to_owned()));
    }
    create_folder(&parent).map_err(io_error("make the folder", &parent))?;
    let unfinished =
        tempfile::Builder::new().prefix(".aelab-unfinished-").tempdir_in(&parent).map_err(io_error("make a folder in", &parent))?;
    let mut folders: HashSet<PathBuf> = HashSet::new();
    let manifest = read_archive(path, &mut |manifest, file, content| {
        let destination = output.map_or_else(|| parent.join(&manifest.name), Path::to_owned);
        if destination.symlink_metadata().is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, destination.display().to_string()));
        }
        let target = unfinished.path().join(&file.path);
        let folder = target.parent().unwrap_or(unfinished.path()).to_owned();
        fs::create_dir_all(&folder)?;
        folders.insert(folder);
        let mut target = File::create_new(&target)?;
        io::copy(content, &mut target)?;
        target.sync_all()
    })
    .map_err(|error| match error {
        ArchiveError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => ArchiveError::Exists(source.to_string().into()),
        other => other,
    })?;
    let destination = output.map_or_else(|| parent.join(&manifest.name), Path::to_owned);
    if destination.symlink_metadata().is_ok() {
        return Err(ArchiveError::Exists(destination));
    }
    let mut folders: Vec<PathBuf> = folders.into_iter().collect();
    folders.sort();
    for folder in &folders {
        sync_folder(folder).map_err(io_error("sync", folder))?;
    }
    // Renaming onto what came in the meantime fails unless it is an empty folder.
    let unfinished = unfinished.keep();
    if let Err(source) = fs::rename(&unfinished, &destination) {
        let _ = fs::remove_dir_all(&unfinished);
        return Err(ArchiveError::Io { what: "make", path: destination, source });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary folders are private by default.
        fs::set_permissions(&destination, fs::Permissions::from_mode(0o755)).map_err(io_error("open", &destination))?;
    }
    sync_folder(&parent).map_err(io_error("sync", &parent))?;
    Ok((destination, manifest))
}

/// What is done with a file of an archive. It has to read the whole content.
type Take<'a> = &'a mut dyn FnMut(&ArchiveManifest, &ArchivedFile, &mut dyn Read) -> io::Result<()>;

fn read_archive(path: &Path, take: Take<'_>) -> Result<ArchiveManifest, ArchiveError> {
    let damaged = |what: String| ArchiveError::Damaged { path: path.to_owned(), what };
    let unreadable = |error: io::Error| damaged(error.to_string());
    let file = File::open(path).map_err(io_error("read", path))?;
    let compressed_bytes = file.metadata().map_err(io_error("read", path))?.len();
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::with_capacity(1 << 20, file)));
    // Raw: extension headers, which hold long names and sparse files, are members like any other here, and refused as such.
    let mut entries = archive.entries().map_err(unreadable)?.raw(true);

    let mut first = entries.next().ok_or_else(|| damaged("it is empty".to_owned()))?.map_err(unreadable)?;
    let (root, name) = member_name(&first).map_err(damaged)?;
    if name != MANIFEST || !first.header().entry_type().is_file() || first.size() > MOST_MANIFEST_BYTES {
        return Err(damaged("it does not begin with a manifest".to_owned()));
    }
    let mut json = Vec::new();
    first.read_to_end(&mut json).map_err(unreadable)?;
    let manifest = parse_manifest(&json, &root, compressed_bytes, path)?;

    for file in &manifest.files {
        let mut entry = entries.next().ok_or_else(|| damaged(format!("`{}` is missing", file.path)))?.map_err(unreadable)?;
        let (found_root, name) = member_name(&entry).map_err(damaged)?;
        if found_root != root || name != file.path {
            return Err(damaged(format!("`{found_root}/{name}` stands where the manifest has `{}`", file.path)));
        }
        if !entry.header().entry_type().is_file() {
            return Err(damaged(format!("`{name}` is not a plain file")));
        }
        if entry.size() != file.bytes {
            return Err(damaged(format!("`{name}` has {} bytes, the manifest says {}", entry.size(), file.bytes)));
        }
        let mut checked = Checked::new(&mut entry);
        let taken = take(&manifest, file, &mut checked);
        let read_error = checked.error.take();
        let (bytes, sha256, _) = checked.finish();
        if let Some(error) = read_error {
            return Err(damaged(format!("`{name}`: {error}")));
        }
        taken.map_err(io_error("write", Path::new(&file.path)))?;
        if bytes != file.bytes || sha256 != file.sha256 {
            return Err(damaged(format!("`{name}` does not have the SHA-256 of the manifest")));
        }
    }
    if entries.next().is_some() {
        return Err(damaged("it holds more than its manifest says".to_owned()));
    }
    // To the end, so that a cut-off archive is found out by the checksum of gzip; a tar archive ends with zeros, and not with many.
    let mut rest = archive.into_inner().take(1 << 20);
    if io::copy(&mut rest, &mut io::sink()).map_err(unreadable)? == 1 << 20 {
        return Err(damaged("something follows its end".to_owned()));
    }
    Ok(manifest)
}

/// First part of a member's path, and the rest.
fn member_name(entry: &tar::Entry<'_, impl Read>) -> Result<(String, String), String> {
    let path = entry.path().map_err(|error| error.to_string())?;
    let text = path.to_str().ok_or("a path in it is not UTF-8")?;
    let (root, rest) = text.split_once('/').ok_or_else(|| format!("`{text}` is not below a folder"))?;
    Ok((root.to_owned(), rest.to_owned()))
}

fn parse_manifest(json: &[u8], root: &str, compressed_bytes: u64, path: &Path) -> Result<ArchiveManifest, ArchiveError> {
    let damaged = |what: String| ArchiveError::Damaged { path: path.to_owned(), what };
    let unreadable = |error: serde_json::Error| damaged(format!("its manifest cannot be read: {error}"));
    let found: Version = serde_json::from_slice(json).map_err(unreadable)?;
    if found.archive_version != u64::from(ARCHIVE_VERSION) {
        return Err(ArchiveError::Version { path: path.to_owned(), found: found.archive_version });
    }
    let manifest: ArchiveManifest = serde_json::from_slice(json).map_err(unreadable)?;
    if manifest.name != root || !is_plain_path(root) || root.contains('/') {
        return Err(damaged(format!("its folder `{root}` is not the name of its experiment")));
    }
    let mut seen: HashSet<&str> = HashSet::new();
    for file in &manifest.files {
        if !is_plain_path(&file.path) || file.path == MANIFEST {
            return Err(damaged(format!("the path `{}` leads elsewhere", file.path)));
        }
        if !seen.insert(&file.path) {
            return Err(damaged(format!("`{}` is in it twice", file.path)));
        }
    }
    if manifest.bytes() > compressed_bytes.saturating_mul(MOST_EXPANSION) {
        return Err(damaged(format!("it claims {} bytes, more than {compressed_bytes} bytes can hold", manifest.bytes())));
    }
    Ok(manifest)
}

#[derive(Deserialize)]
struct Version {
    archive_version: u64,
}

/// Whether a path goes down only, and means the same on every system.
fn is_plain_path(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', '\0', ':'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}

#[derive(Default)]
struct Hashing(Sha256);

impl Hashing {
    fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts and hashes what is read through it.
struct Checked<R> {
    inner: R,
    hash: Hashing,
    bytes: u64,
    /// What reading failed with; of the archive, not of where the content goes.
    error: Option<io::Error>,
}

impl<R: Read> Checked<R> {
    fn new(inner: R) -> Self {
        Self { inner, hash: Hashing::default(), bytes: 0, error: None }
    }

    fn finish(self) -> (u64, String, R) {
        (self.bytes, self.hash.finish(), self.inner)
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(num) => {
                self.hash.0.update(&buffer[..num]);
                self.bytes += num as u64;
                Ok(num)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let again = io::Error::new(error.kind(), error.to_string());
                self.error = Some(error);
                Err(again)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use crate::lock::{Attempt, TrialLock};

    fn fixture() -> Fixture {
        let fixture = Fixture::new(&[(TrialState::Finished, 1.0), (TrialState::Failed, 0.0)]);
        let checkpoints = fixture.run_dir.trial(&fixture.plan.trials[0].hash).checkpoints_path();
        fs::create_dir_all(&checkpoints).unwrap();
        fs::write(checkpoints.join("last.tar"), vec![7; 5000]).unwrap();
        fixture
    }

    fn content(root: &Path) -> Vec<(String, Vec<u8>)> {
        let mut found = Found::default();
        found.walk(root, "", false).unwrap();
        found.paths.sort();
        found.paths.into_iter().map(|path| (path.clone(), fs::read(root.join(&path)).unwrap())).collect()
    }

    /// An archive of members that nobody checked.
    fn forged(folder: &Path, manifest: &ArchiveManifest, members: &[(tar::EntryType, &str, &[u8])]) -> PathBuf {
        let path = folder.join("forged.tar.gz");
        let mut builder = tar::Builder::new(GzEncoder::new(File::create(&path).unwrap(), Compression::default()));
        let json = serde_json::to_vec(manifest).unwrap();
        let all = std::iter::once((tar::EntryType::Regular, "x/manifest.json", &json[..])).chain(members.iter().copied());
        for (kind, name, bytes) in all {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_entry_type(kind);
            if kind == tar::EntryType::Symlink {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            builder.append(&header, bytes).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        path
    }

    fn manifest_of(files: &[(&str, &[u8])]) -> ArchiveManifest {
        let file = |(path, bytes): &(&str, &[u8])| {
            let mut hash = Hashing::default();
            hash.write_all(bytes).unwrap();
            ArchivedFile { path: (*path).into(), bytes: bytes.len() as u64, sha256: hash.finish() }
        };
        let files = files.iter().map(file).collect();
        ArchiveManifest { archive_version: 1, program_version: "0".into(), name: "x".into(), without_checkpoints: false, files }
    }

    #[test]
    fn a_run_comes_back_as_it_was_and_the_same_run_gives_the_same_bytes() {
        let fixture = fixture();
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["a.tar.gz", "b.tar.gz"].map(|name| folder.path().join(name));
        let archived = archive(&fixture.run_dir, &fixture.plan, &first, false).unwrap();
        archive(&fixture.run_dir, &fixture.plan, &second, false).unwrap();
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
        assert_eq!((archived.manifest.num_results(), archived.bytes), (2, fs::metadata(&first).unwrap().len()));
        assert_eq!(verify_archive(&first).unwrap(), archived.manifest);
        let (destination, _) = unarchive(&first, None, &folder.path().join("elsewhere/runs")).unwrap();
        assert_eq!(destination, folder.path().join("elsewhere/runs/x"));
        assert_eq!(content(&destination), content(fixture.run_dir.root()));
        let error = unarchive(&first, Some(&destination), folder.path()).unwrap_err();
        assert!(matches!(error, ArchiveError::Exists(_)), "{error}");
        assert!(matches!(archive(&fixture.run_dir, &fixture.plan, &first, false), Err(ArchiveError::Exists(_))));
        let left: Vec<_> = fs::read_dir(destination.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing unfinished stays behind");
    }

    #[test]
    fn checkpoints_may_be_left_out() {
        let fixture = fixture();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        let archived = archive(&fixture.run_dir, &fixture.plan, &path, true).unwrap();
        assert!(archived.manifest.files.iter().all(|file| !file.path.contains("checkpoints")), "{:?}", archived.manifest);
        assert!(verify_archive(&path).unwrap().without_checkpoints);
    }

    #[test]
    fn a_run_at_work_is_not_archived() {
        let fixture = Fixture::new(&[(TrialState::Pending, 0.0)]);
        let Attempt::Taken(_lock) = TrialLock::attempt(&fixture.run_dir.trial(&fixture.plan.trials[0].hash).lock_path()).unwrap() else {
            panic!("a new lock is free")
        };
        let folder = tempfile::tempdir().unwrap();
        let error = archive(&fixture.run_dir, &fixture.plan, &folder.path().join("a.tar.gz"), false).unwrap_err();
        assert!(error.to_string().contains("1 trial of x still runs"), "{error}");
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_found() {
        let fixture = fixture();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        archive(&fixture.run_dir, &fixture.plan, &path, false).unwrap();
        let whole = fs::read(&path).unwrap();
        // The first ten bytes are the header of gzip, in which time and system mean nothing.
        for position in (10..whole.len()).step_by(whole.len() / 60 + 1) {
            let mut bytes = whole.clone();
            bytes[position] ^= 1 << (position % 8);
            fs::write(&path, bytes).unwrap();
            assert!(verify_archive(&path).is_err(), "byte {position} of {}", whole.len());
            fs::write(&path, &whole[..position]).unwrap();
            assert!(verify_archive(&path).is_err(), "cut after {position} of {}", whole.len());
        }
    }

    #[test]
    fn members_that_escape_link_or_differ_are_refused_and_write_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let regular = tar::EntryType::Regular;
        let good = manifest_of(&[("plan.json", b"{}")]);
        let cases = [
            (manifest_of(&[("../evil", b"x")]), vec![(regular, "x/../evil", &b"x"[..])], "leads elsewhere"),
            (manifest_of(&[("/evil", b"x")]), vec![(regular, "x//evil", b"x")], "leads elsewhere"),
            (manifest_of(&[("a", b"x"), ("a", b"x")]), vec![(regular, "x/a", b"x"), (regular, "x/a", b"x")], "twice"),
            (good.clone(), vec![(tar::EntryType::Symlink, "x/plan.json", b"")], "not a plain file"),
            (good.clone(), vec![(tar::EntryType::Link, "x/plan.json", b"")], "not a plain file"),
            (good.clone(), vec![(tar::EntryType::GNULongName, "x/plan.json", b"{}")], "not a plain file"),
            (good.clone(), vec![(regular, "x/plan.json", b"{ }")], "the manifest says 2"),
            (good.clone(), vec![(regular, "x/plan.json", b"[]")], "SHA-256"),
            (good.clone(), vec![(regular, "y/plan.json", b"{}")], "stands where"),
            (good.clone(), vec![], "is missing"),
            (good.clone(), vec![(regular, "x/plan.json", b"{}"), (regular, "x/more", b"")], "more than its manifest"),
            (ArchiveManifest { name: "..".into(), ..good.clone() }, vec![(regular, "x/plan.json", b"{}")], "name of its experiment"),
        ];
        for (manifest, members, expected) in cases {
            let path = forged(folder.path(), &manifest, &members);
            let runs = folder.path().join("runs");
            let error = unarchive(&path, None, &runs).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
            assert_eq!(fs::read_dir(&runs).unwrap().count(), 0, "{expected}");
        }
        assert!(!folder.path().join("evil").exists());
        let huge = ArchivedFile { path: "big".into(), bytes: 1 << 50, sha256: String::new() };
        let path = forged(folder.path(), &ArchiveManifest { files: vec![huge], ..good.clone() }, &[]);
        assert!(verify_archive(&path).unwrap_err().to_string().contains("more than"), "a size that cannot be is refused at once");
        let newer = ArchiveManifest { archive_version: 2, ..good };
        assert!(matches!(verify_archive(&forged(folder.path(), &newer, &[])), Err(ArchiveError::Version { found: 2, .. })));
    }
}
