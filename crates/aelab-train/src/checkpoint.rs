//! Checkpoints: whole or absent, never half-written, and checked before they are believed.
//!
//! A checkpoint is a tar archive, so that anyone can look inside: `manifest.json` with the position and
//! a SHA-256 per part, then the parts (`model`, `optimizer`, ...), burn records. It is written to a
//! temporary file, synced and renamed. `last` is written at every checkpoint, the one before it is kept
//! as `previous`, and `best` is the epoch with the lowest validation loss.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aelab_core::TraineeState;
use aelab_files::{AtomicFile, create_folder, failpoint};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::term_means::TermMeans;

/// Its manifest holds a position, a few numbers of each observer and of each term, and the names of a handful of parts.
const MAX_MANIFEST: u64 = 4 << 20;

/// Increased when an older program could not read what this one writes.
const FORMAT_VERSION: u32 = 1;

/// Where training stands between two steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Stage that the next step belongs to.
    pub stage: usize,
    /// Whether that stage has been entered.
    pub entered: bool,
    /// Epoch of that stage, from 0.
    pub epoch: usize,
    /// Batches of that epoch that are done.
    pub batch: usize,
    /// Optimizer steps over all stages.
    pub step: u64,
    /// Epochs over all stages.
    pub total_epochs: u64,
    /// Lowest validation loss of this stage and its epoch, from 1.
    pub best: Option<(f64, usize)>,
    /// Validation loss of the last epoch of this stage.
    pub last_valid_loss: Option<f64>,
    /// Epochs since the validation loss improved.
    pub epochs_without_improvement: usize,
    /// Whether training is over.
    pub done: bool,
    /// Whether early stopping ended it.
    pub stopped_early: bool,
    /// Seconds of training so far, over all processes.
    pub seconds: f64,
    /// Terms since the epoch began.
    pub epoch_means: TermMeans,
    /// Terms since the last logged step.
    pub step_means: TermMeans,
}

/// What a checkpoint says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub format_version: u32,
    /// Version of the program that wrote it.
    pub program_version: String,
    /// Where training stands.
    pub position: Position,
    /// Where the files of each observer end, in the order of the observers.
    pub observers: Vec<serde_json::Value>,
    /// Stage that the state belongs to.
    pub stage: usize,
    /// Name, length in bytes and SHA-256 of each part.
    parts: Vec<(String, u64, String)>,
}

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file system refused.
    #[error("cannot {what} `{path}`")]
    Io {
        /// `write`, `read`, ...
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The content is not what was written.
    #[error("the checkpoint `{path}` is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// Another version of aelab wrote it.
    #[error(
        "the checkpoint `{path}` has format {found}, but this version of aelab reads format {expected}: \
         use the version that wrote it ({program}), or delete the checkpoint to train anew"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Format of the file.
        found: u32,
        /// Format of this program.
        expected: u32,
        /// Version of the program that wrote the file.
        program: String,
    },
}

/// What there is to go on from, the newest first.
const LATEST: [&str; 2] = ["last", "previous"];

/// What [`CheckpointFolder::load_latest`] found.
#[derive(Debug)]
pub struct Latest {
    /// The checkpoint; `None` where training has to begin anew.
    pub found: Option<(Manifest, TraineeState)>,
    /// What was passed over and why.
    pub notes: Vec<String>,
}

/// The `checkpoints` folder of a trial.
#[derive(Debug, Clone)]
pub struct CheckpointFolder {
    folder: PathBuf,
}

impl CheckpointFolder {
    /// The folder at `folder`, created when the first checkpoint is written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Path of `last`, `previous` or `best`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.tar"))
    }

    /// Writes `last`, keeping the one before as `previous`; and `best` as well when `is_best`.
    pub fn save(
        &self,
        position: &Position,
        observers: Vec<serde_json::Value>,
        state: &TraineeState,
        is_best: bool,
    ) -> Result<(), CheckpointError> {
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| CheckpointError::Io { what, path, source }
        };
        create_folder(&self.folder).map_err(io("create", &self.folder))?;
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            position: position.clone(),
            observers,
            stage: state.stage,
            parts: state.parts.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64, sha256(bytes))).collect(),
        };
        let last = self.path("last");
        let mut file = AtomicFile::create(&last).map_err(io("write", &last))?;
        write_archive(file.file(), &manifest, state).map_err(io("write", &last))?;
        if is_best {
            let best = self.path("best");
            file.publish_as(&best).map_err(io("write", &best))?;
        }
        file.sync().map_err(io("write", &last))?;
        if last.exists() {
            fs::rename(&last, self.path("previous")).map_err(io("rename", &last))?;
        }
        file.commit().map_err(io("write", &last))
    }

    /// The newest checkpoint that is whole and that `fits`, which says why not where it does not.
    ///
    /// # Errors
    /// Those of `fits`; a checkpoint of another version; and where a checkpoint cannot be read and none before it will do, why
    /// not: another time it may be readable, and beginning anew would write over it.
    pub fn load_latest<E: From<CheckpointError>>(&self, fits: &mut dyn FnMut(&Manifest) -> Result<Option<String>, E>) -> Result<Latest, E> {
        let mut notes = Vec::new();
        let mut unreadable = None;
        for name in LATEST {
            let found = match self.load(name) {
                Ok(None) => continue,
                Ok(Some((manifest, state))) => match fits(&manifest)? {
                    None => Ok((manifest, state)),
                    Some(why) => Err(format!("the checkpoint `{}` cannot be gone on from: {why}", self.path(name).display())),
                },
                Err(error @ CheckpointError::Damaged { .. }) => Err(error.to_string()),
                Err(CheckpointError::Io { what, path, source }) => {
                    let text = format!("cannot {what} `{}`: {source}", path.display());
                    unreadable.get_or_insert(CheckpointError::Io { what, path, source });
                    Err(text)
                }
                Err(error) => return Err(error.into()),
            };
            match found {
                Ok((manifest, state)) => {
                    if !notes.is_empty() {
                        // It would take the place of this one, which is good, when the next one is written.
                        let _ = fs::remove_file(self.path(LATEST[0]));
                    }
                    return Ok(Latest { found: Some((manifest, state)), notes });
                }
                Err(note) if name == LATEST[0] => notes.push(format!("{note}; falling back to the one before")),
                Err(note) => notes.push(note),
            }
        }
        if let Some(error) = unreadable {
            return Err(error.into());
        }
        if !notes.is_empty() {
            self.remove_all()?;
            notes.push("no checkpoint is left to go on from: training begins anew".to_owned());
        }
        Ok(Latest { found: None, notes })
    }

    /// The state at the end of the epoch that was the best at `position`: from `best`, or from another checkpoint that holds it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn load_best(&self, position: &Position) -> Result<TraineeState, String> {
        let mut reasons = Vec::new();
        for name in ["best", LATEST[0], LATEST[1]] {
            match self.load(name) {
                Ok(Some((manifest, state))) => {
                    let found = &manifest.position;
                    if found.best == position.best && found.epochs_without_improvement == 0 && found.batch == 0 {
                        return Ok(state);
                    }
                    if name == "best" {
                        reasons.push(format!("the checkpoint `{}` is of another epoch", self.path(name).display()));
                    }
                }
                Ok(None) if name == "best" => reasons.push(format!("the checkpoint `{}` is not there", self.path(name).display())),
                Err(error) if name == "best" => reasons.push(error.to_string()),
                Ok(None) | Err(_) => {}
            }
        }
        Err(reasons.join("; "))
    }

    /// Removes every checkpoint.
    pub fn remove_all(&self) -> Result<(), CheckpointError> {
        for name in ["best", LATEST[1], LATEST[0]] {
            let path = self.path(name);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(CheckpointError::Io { what: "remove", path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The checkpoint called `name`; `None` where it does not exist.
    pub fn load(&self, name: &str) -> Result<Option<(Manifest, TraineeState)>, CheckpointError> {
        let path = self.path(name);
        match fs::metadata(&path) {
            // A folder is found out when it is read.
            Ok(found) if found.is_file() || found.is_dir() => {}
            Ok(_) => return Err(CheckpointError::Damaged { path, what: "it is not a plain file".to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointError::Io { what: "read", path, source }),
        }
        let mut file = match failpoint("read", &path).and_then(|()| File::open(&path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointError::Io { what: "read", path, source }),
        };
        let length = file.metadata().map_err(|source| CheckpointError::Io { what: "read", path: path.clone(), source })?.len();
        let mut reader = Noting { reader: &mut file, error: None };
        let read = read_archive(&mut reader, length);
        if let Some(source) = reader.error {
            return Err(CheckpointError::Io { what: "read", path, source });
        }
        read.map(Some).map_err(|error| match error {
            ReadError::Version { found, program } => {
                CheckpointError::Version { path: path.clone(), found, expected: FORMAT_VERSION, program }
            }
            ReadError::Damaged(what) => CheckpointError::Damaged { path: path.clone(), what },
        })
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_archive(file: &mut File, manifest: &Manifest, state: &TraineeState) -> io::Result<()> {
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(1 << 20, file));
    let mut append = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_cksum();
        archive.append_data(&mut header, name, bytes)
    };
    let manifest = serde_json::to_vec_pretty(manifest)?;
    append("manifest.json", &manifest)?;
    append("manifest.sha256", sha256(&manifest).as_bytes())?;
    for (name, bytes) in &state.parts {
        append(name, bytes)?;
    }
    archive.into_inner()?.flush()
}

/// Keeps what the file system complains of apart from what is wrong with the content.
struct Noting<R> {
    reader: R,
    error: Option<io::Error>,
}

impl<R: Read> Read for Noting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.error = Some(error);
            }
            kind.into()
        })
    }
}

enum ReadError {
    Version { found: u32, program: String },
    Damaged(String),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Damaged(error.to_string())
    }
}

fn read_archive(file: &mut dyn Read, length: u64) -> Result<(Manifest, TraineeState), ReadError> {
    #[derive(Deserialize)]
    struct Versions {
        format_version: u32,
        program_version: String,
    }

    let mut archive = tar::Archive::new(io::BufReader::new(file));
    let mut manifest: Option<Manifest> = None;
    let mut manifest_hash = None;
    let mut state = TraineeState::default();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(ReadError::Damaged(format!("part `{name}` is not a plain file")));
        }
        // A size from a damaged header must not be allocated.
        let most =
            if state.parts.is_empty() && (manifest.is_none() || manifest_hash.is_some()) { MAX_MANIFEST.min(length) } else { length };
        if entry.size() > most {
            return Err(ReadError::Damaged(format!("part `{name}` claims {} bytes", entry.size())));
        }
        let mut bytes = Vec::new();
        let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
        bytes
            .try_reserve_exact(size)
            .map_err(|_| ReadError::Damaged(format!("part `{name}` claims {size} bytes, more than memory has")))?;
        entry.read_to_end(&mut bytes)?;
        let Some(manifest) = &manifest else {
            if name != "manifest.json" {
                return Err(ReadError::Damaged("it does not begin with a manifest".to_owned()));
            }
            let unreadable = |error: serde_json::Error| ReadError::Damaged(format!("its manifest cannot be read: {error}"));
            let versions: Versions = serde_json::from_slice(&bytes).map_err(unreadable)?;
            if versions.format_version != FORMAT_VERSION {
                return Err(ReadError::Version { found: versions.format_version, program: versions.program_version });
            }
            manifest = Some(serde_json::from_slice(&bytes).map_err(unreadable)?);
            manifest_hash = Some(sha256(&bytes));
            continue;
        };
        if let Some(hash) = manifest_hash.take() {
            if name != "manifest.sha256" || bytes != hash.as_bytes() {
                return Err(ReadError::Damaged("its manifest does not match its checksum".to_owned()));
            }
            continue;
        }
        if state.parts.contains_key(&name) {
            return Err(ReadError::Damaged(format!("part `{name}` is there twice")));
        }
        match manifest.parts.iter().find(|(part, ..)| *part == name) {
            Some((_, expected_length, hash)) if *expected_length == bytes.len() as u64 && *hash == sha256(&bytes) => {}
            Some(_) => return Err(ReadError::Damaged(format!("part `{name}` does not match its checksum"))),
            None => return Err(ReadError::Damaged(format!("part `{name}` is not in its manifest"))),
        }
        state.parts.insert(name, bytes);
    }
    let manifest = manifest.ok_or_else(|| ReadError::Damaged("it is empty".to_owned()))?;
    if manifest_hash.is_some() {
        return Err(ReadError::Damaged("the checksum of its manifest is missing: the file was cut short".to_owned()));
    }
    if let Some((name, ..)) = manifest.parts.iter().find(|(name, ..)| !state.parts.contains_key(name)) {
        return Err(ReadError::Damaged(format!("part `{name}` is missing: the file was cut short")));
    }
    state.stage = manifest.stage;
    Ok((manifest, state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn state(byte: u8) -> TraineeState {
        TraineeState { stage: 1, parts: BTreeMap::from([("model".to_owned(), vec![byte; 1000]), ("optimizer".to_owned(), vec![7; 10])]) }
    }

    fn position(step: u64) -> Position {
        Position { step, best: Some((0.1 + 0.2, 3)), seconds: 1.0 / 3.0, ..Position::default() }
    }

    fn latest(checkpoints: &CheckpointFolder) -> Latest {
        checkpoints.load_latest::<CheckpointError>(&mut |_| Ok(None)).unwrap()
    }

    #[test]
    fn what_is_saved_is_loaded_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::new(folder.path().join("checkpoints"));
        assert!(latest(&checkpoints).found.is_none());
        checkpoints.save(&position(5), vec![serde_json::json!({"bytes": 12})], &state(1), true).unwrap();
        let Latest { found, notes } = latest(&checkpoints);
        let (manifest, loaded) = found.unwrap();
        assert_eq!((manifest.position, loaded, notes.len()), (position(5), state(1), 0));
        assert_eq!(checkpoints.load("best").unwrap().unwrap().1, state(1));
    }

    #[test]
    fn best_stays_when_last_moves_on() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::new(folder.path());
        checkpoints.save(&position(1), vec![], &state(1), true).unwrap();
        checkpoints.save(&position(2), vec![], &state(2), false).unwrap();
        checkpoints.save(&position(3), vec![], &state(3), false).unwrap();
        assert_eq!(checkpoints.load("best").unwrap().unwrap().1, state(1));
        assert_eq!(checkpoints.load("previous").unwrap().unwrap().1, state(2));
        assert_eq!(checkpoints.load("last").unwrap().unwrap().1, state(3));
    }

    #[test]
    fn a_checkpoint_cut_anywhere_or_flipped_anywhere_falls_back_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::new(folder.path());
        checkpoints.save(&position(1), vec![], &state(1), false).unwrap();
        checkpoints.save(&position(2), vec![], &state(2), false).unwrap();
        let whole = fs::read(checkpoints.path("last")).unwrap();
        let ends_of_content = whole.len() - 1024;
        for length in (0..ends_of_content).step_by(97) {
            fs::write(checkpoints.path("last"), &whole[..length]).unwrap();
            let Latest { found, notes } = latest(&checkpoints);
            let (manifest, loaded) = found.unwrap();
            assert_eq!((manifest.position.step, &loaded, notes.len()), (1, &state(1), 1), "cut at {length}");
            assert!(!checkpoints.path("last").exists(), "it would replace the good one when the next one is written");
        }
        // Bytes of the parts' content; padding of the archive carries nothing.
        let content = whole.windows(4).position(|window| window == [2; 4]).unwrap();
        let manifest = 512..whole.windows(2).position(|window| window == [0, 0]).unwrap().max(600);
        for offset in (content..content + 1000).chain(manifest).step_by(53) {
            let mut flipped = whole.clone();
            flipped[offset] ^= 4;
            fs::write(checkpoints.path("last"), &flipped).unwrap();
            assert_eq!(latest(&checkpoints).found.unwrap().1, state(1), "flipped at {offset}");
        }
    }

    /// A checkpoint with these members after its manifest, whose checksums all match.
    fn forged(manifest: &Manifest, members: &[(tar::EntryType, u64, &[u8])]) -> Vec<u8> {
        let manifest = serde_json::to_vec(manifest).unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        let mut append = |name: &str, kind, size, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_path(name).unwrap();
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_cksum();
            archive.append(&header, bytes).unwrap();
        };
        append("manifest.json", tar::EntryType::Regular, manifest.len() as u64, &manifest);
        append("manifest.sha256", tar::EntryType::Regular, 64, sha256(&manifest).as_bytes());
        members.iter().for_each(|(kind, size, bytes)| append("model", *kind, *size, bytes));
        archive.into_inner().unwrap()
    }

    #[test]
    fn members_that_are_no_files_repeat_or_claim_too_much_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::new(folder.path());
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            program_version: String::new(),
            position: position(1),
            observers: vec![],
            stage: 0,
            parts: vec![("model".to_owned(), 3, sha256(b"abc"))],
        };
        let load = |members: &[(tar::EntryType, u64, &[u8])]| {
            fs::write(checkpoints.path("last"), forged(&manifest, members)).unwrap();
            checkpoints.load("last").map(|loaded| loaded.unwrap().1.parts.len()).map_err(|error| error.to_string())
        };
        let message =
            |members: &[(tar::EntryType, u64, &[u8])]| load(members).unwrap_err().split_once("is damaged: ").unwrap().1.to_owned();
        let file = (tar::EntryType::Regular, 3, b"abc".as_slice());
        assert_eq!(load(&[file]), Ok(1));
        assert_eq!(message(&[file, file]), "part `model` is there twice");
        assert_eq!(message(&[(tar::EntryType::Symlink, 0, b"")]), "part `model` is not a plain file");
        assert_eq!(message(&[(tar::EntryType::Block, 0, b"")]), "part `model` is not a plain file");
        assert_eq!(message(&[(tar::EntryType::Regular, 1 << 40, b"abc")]), "part `model` claims 1099511627776 bytes");
        fs::remove_file(checkpoints.path("last")).unwrap();
        fs::create_dir(checkpoints.path("last")).unwrap();
        assert!(matches!(checkpoints.load("last"), Err(CheckpointError::Io { .. })));
    }

    #[test]
    fn when_no_checkpoint_is_whole_training_begins_anew_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::new(folder.path());
        for name in ["last", "previous", "best"] {
            fs::write(checkpoints.path(name), b"not a checkpoint").unwrap();
        }
        let Latest { found, notes } = latest(&checkpoints);
        assert!(found.is_none() && notes.len() == 3 && notes[0].contains("is damaged") && notes[2].contains("anew"), "{notes:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_passed_over_but_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::new(folder.path());
        checkpoints.save(&position(1), vec![], &state(1), false).unwrap();
        fs::rename(checkpoints.path("last"), checkpoints.path("previous")).unwrap();
        // Opened, a folder cannot be read.
        fs::create_dir(checkpoints.path("last")).unwrap();
        let found = latest(&checkpoints);
        assert_eq!((found.found.unwrap().1, found.notes.len()), (state(1), 1));
        fs::remove_file(checkpoints.path("previous")).unwrap();
        let error = checkpoints.load_latest::<CheckpointError>(&mut |_| Ok(None)).unwrap_err();
        assert!(matches!(error, CheckpointError::Io { .. }), "{error}");
    }

    #[test]
    fn a_checkpoint_that_does_not_fit_is_passed_over_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::new(folder.path());
        checkpoints.save(&position(1), vec![], &state(1), false).unwrap();
        checkpoints.save(&position(2), vec![], &state(2), false).unwrap();
        let mut fits =
            |manifest: &Manifest| Ok::<_, CheckpointError>((manifest.position.step == 2).then(|| "the log is shorter".to_owned()));
        let Latest { found, notes } = checkpoints.load_latest(&mut fits).unwrap();
        assert_eq!(found.unwrap().1, state(1));
        assert!(notes[0].contains("the log is shorter") && notes[0].contains("falling back"), "{notes:?}");
    }

    #[test]
    fn the_best_state_is_found_wherever_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::new(folder.path());
        let at = |step, epochs_without_improvement| Position { epochs_without_improvement, ..position(step) };
        checkpoints.save(&at(1, 0), vec![], &state(1), true).unwrap();
        // They are one file with two names.
        fs::remove_file(checkpoints.path("best")).unwrap();
        fs::write(checkpoints.path("best"), b"not a checkpoint").unwrap();
        assert_eq!(checkpoints.load_best(&at(1, 0)).unwrap(), state(1), "the last one is the best one");
        checkpoints.save(&at(2, 1), vec![], &state(2), false).unwrap();
        assert_eq!(checkpoints.load_best(&at(2, 1)).unwrap(), state(1), "the one before is");
        checkpoints.save(&at(3, 2), vec![], &state(3), false).unwrap();
        assert!(checkpoints.load_best(&at(3, 2)).unwrap_err().contains("is damaged"));
        fs::remove_file(checkpoints.path("best")).unwrap();
        assert!(checkpoints.load_best(&at(3, 2)).unwrap_err().contains("is not there"));
        let other = Position { best: Some((0.2, 2)), ..position(2) };
        checkpoints.save(&other, vec![], &state(4), true).unwrap();
        assert!(checkpoints.load_best(&at(3, 2)).unwrap_err().contains("another epoch"));
    }

    #[test]
    fn another_format_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::new(folder.path());
        let manifest = br#"{"format_version": 99, "program_version": "9.9.9"}"#;
        let mut archive = tar::Builder::new(File::create(checkpoints.path("last")).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(manifest.len() as u64);
        archive.append_data(&mut header, "manifest.json", &manifest[..]).unwrap();
        archive.into_inner().unwrap();
        let message = checkpoints.load_latest::<CheckpointError>(&mut |_| Ok(None)).unwrap_err().to_string();
        assert!(message.contains("format 99") && message.contains("9.9.9"), "{message}");
    }
}
