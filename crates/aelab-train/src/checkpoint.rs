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
use aelab_files::{AtomicFile, create_folder};
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

    /// The newest whole checkpoint, with a note for each newer one that is damaged. `None` where there is none.
    ///
    /// # Errors
    /// When there are checkpoints and none is whole: starting anew in silence would lose work.
    pub fn load_latest(&self) -> Result<Option<(Manifest, TraineeState, Vec<String>)>, CheckpointError> {
        let mut notes = Vec::new();
        let mut first_error = None;
        for name in ["last", "previous"] {
            match self.load(name) {
                Ok(Some((manifest, state))) => return Ok(Some((manifest, state, notes))),
                Ok(None) => {}
                Err(error @ CheckpointError::Damaged { .. }) => {
                    notes.push(format!("{error}; falling back to the one before"));
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        first_error.map_or(Ok(None), Err)
    }

    /// The checkpoint called `name`; `None` where it does not exist.
    pub fn load(&self, name: &str) -> Result<Option<(Manifest, TraineeState)>, CheckpointError> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(CheckpointError::Damaged { path, what: "it is not a plain file".to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointError::Io { what: "read", path, source }),
        }
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointError::Io { what: "read", path, source }),
        };
        let length = file.metadata().map_err(|source| CheckpointError::Io { what: "read", path: path.clone(), source })?.len();
        read_archive(&mut file, length).map(Some).map_err(|error| match error {
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

enum ReadError {
    Version { found: u32, program: String },
    Damaged(String),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Damaged(error.to_string())
    }
}

fn read_archive(file: &mut File, length: u64) -> Result<(Manifest, TraineeState), ReadError> {
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

    #[test]
    fn what_is_saved_is_loaded_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::new(folder.path().join("checkpoints"));
        assert!(checkpoints.load_latest().unwrap().is_none());
        checkpoints.save(&position(5), vec![serde_json::json!({"bytes": 12})], &state(1), true).unwrap();
        let (manifest, loaded, notes) = checkpoints.load_latest().unwrap().unwrap();
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
            let (manifest, loaded, notes) = checkpoints.load_latest().unwrap().unwrap();
            assert_eq!((manifest.position.step, &loaded, notes.len()), (1, &state(1), 1), "cut at {length}");
        }
        // Bytes of the parts' content; padding of the archive carries nothing.
        let content = whole.windows(4).position(|window| window == [2; 4]).unwrap();
        let manifest = 512..whole.windows(2).position(|window| window == [0, 0]).unwrap().max(600);
        for offset in (content..content + 1000).chain(manifest).step_by(53) {
            let mut flipped = whole.clone();
            flipped[offset] ^= 4;
            fs::write(checkpoints.path("last"), &flipped).unwrap();
            assert_eq!(checkpoints.load_latest().unwrap().unwrap().1, state(1), "flipped at {offset}");
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
        assert!(checkpoints.load("last").unwrap_err().to_string().ends_with("is damaged: it is not a plain file"));
    }

    #[test]
    fn when_no_checkpoint_is_whole_the_error_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::new(folder.path());
        fs::write(checkpoints.path("last"), b"not a checkpoint").unwrap();
        assert!(checkpoints.load_latest().unwrap_err().to_string().contains("is damaged"));
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
        let message = checkpoints.load_latest().unwrap_err().to_string();
        assert!(message.contains("format 99") && message.contains("9.9.9"), "{message}");
    }
}
