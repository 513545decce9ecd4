//! The run directory: what is on disk of an experiment, and in which state each trial is.
//!
//! ```text
//! runs/<name>/
//!   experiment.yaml      as given
//!   plan.json            every trial
//!   trials/<hash>/       config.yaml, lock, worker.log, checkpoints/, metrics.jsonl, ..., result.json
//!   trials/.old/         trials that were put aside to be run again
//!   history/             earlier experiment.yaml and plan.json
//! ```
//!
//! A trial is known by its hash: an edited experiment keeps what is done. `result.json` is written last;
//! its presence says that the trial is over.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use aelab_files::{create_folder, read_bounded, read_bounded_text, remove_leftovers, sync_folder, write_atomic};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::lock::{self, Attempt, TrialLock};
use crate::plan::{Plan, PlannedTrial};
use crate::result::{TrialResult, TrialState};
use crate::source::Sources;
use crate::spec::MAX_TEXT;
use crate::tree;
use crate::trial_config::{FORMAT_VERSION, stored_config, stored_definition, trial_hash};
use crate::worker::TrialProgress;

/// Of 100,000 trials `plan.json` has some hundred MiB.
const MAX_PLAN: u64 = 1 << 30;

/// A result is a few hundred metrics.
const MAX_RESULT: u64 = 16 << 20;

/// Where a worker stands is a few numbers and names.
const MAX_PROGRESS: u64 = 64 << 10;

/// What can be wrong with a run directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunDirError {
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
    /// A file is not what aelab writes.
    #[error("{} is not what aelab writes: {message}; move it away", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// No run directory there.
    #[error("{} is no run directory: it has no plan.json", .0.display())]
    NotARun(PathBuf),
    /// A trial was begun under a configuration that its folder does not stand for.
    #[error(
        "the trial {hash} in {} was begun with another configuration than its name stands for:\n{}\n\
         restore its config.yaml, move the trial away, or give the experiment another name", path.display(), differences.join("\n")
    )]
    Contradiction {
        /// Name of the trial's folder.
        hash: String,
        /// The run directory.
        path: PathBuf,
        /// One line per value that differs.
        differences: Vec<String>,
    },
    /// A file of another format version.
    #[error(
        "{} is of format version {found}, but this aelab reads version {FORMAT_VERSION}: use the aelab that wrote it, \
         or give the experiment another name to run it anew", path.display()
    )]
    FileVersion {
        /// The file.
        path: PathBuf,
        /// Version found.
        found: u32,
    },
    /// A trial that another process works on.
    #[error("the trial {hash} is in the hands of {holder}: wait for it or stop it first")]
    Busy {
        /// Name of the trial's folder.
        hash: String,
        /// Who has it.
        holder: String,
    },
    /// Trials of another format version.
    #[error(
        "the trial {hash} in {} is of format version {found}, this aelab has {FORMAT_VERSION}: the same configuration means something else now; \
         give the experiment another name, or move the old run away", path.display()
    )]
    FormatVersion {
        /// Name of the trial's folder.
        hash: String,
        /// The run directory.
        path: PathBuf,
        /// Version found.
        found: u64,
    },
}

/// How long another runner may take to prepare the directory.
const PREPARATION_PATIENCE: Duration = Duration::from_secs(600);

/// What every JSON file of a run directory has.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    format_version: u32,
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunDirError {
    let path = path.to_path_buf();
    move |source| RunDirError::Io { what, path, source }
}

/// A run directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
}

/// What preparing a run directory found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The directory.
    pub run_dir: RunDir,
    /// Planned trials that the directory did not have.
    pub num_new: usize,
    /// Trials of the directory that are not in the plan any more; they stay.
    pub left_over: Vec<String>,
}

impl RunDir {
    /// The directory at `root`, which need not exist.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// An existing run directory: `name` is a path, or the name of an experiment below `runs`.
    pub fn open(name: &Path, runs: &Path) -> Result<Self, RunDirError> {
        let candidates = [name.to_path_buf(), runs.join(name)];
        match candidates.iter().find(|path| path.join("plan.json").is_file()) {
            Some(root) => Ok(Self::at(root)),
            None => Err(RunDirError::NotARun(name.to_path_buf())),
        }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `plan.json`.
    pub fn plan_path(&self) -> PathBuf {
        self.root.join("plan.json")
    }

    /// `experiment.yaml`, as given.
    pub fn experiment_path(&self) -> PathBuf {
        self.root.join("experiment.yaml")
    }

    /// The stored plan.
    pub fn plan(&self) -> Result<Plan, RunDirError> {
        let path = self.plan_path();
        let bytes = read_bounded(&path, MAX_PLAN).map_err(io_error("read", &path))?;
        // The version first: a plan of another one may lack what this one has.
        let damaged = |error: serde_json::Error| RunDirError::Damaged { path: path.clone(), message: error.to_string() };
        let versions: Versioned = serde_json::from_slice(&bytes).map_err(damaged)?;
        if versions.format_version != FORMAT_VERSION {
            return Err(RunDirError::FileVersion { path, found: versions.format_version });
        }
        let plan: Plan = serde_json::from_slice(&bytes).map_err(damaged)?;
        match plan.trials.iter().find(|trial| !is_hash(&trial.hash)) {
            None => Ok(plan),
            // Folders are found by it.
            Some(trial) => Err(RunDirError::Damaged { path, message: format!("{:?} is not the hash of a trial", trial.hash) }),
        }
    }

    /// The text of `experiment.yaml`.
    pub fn experiment_text(&self) -> Result<String, RunDirError> {
        let path = self.experiment_path();
        read_bounded_text(&path, MAX_TEXT).map_err(io_error("read", &path))
    }

    /// The folder of a trial.
    pub fn trial(&self, hash: &str) -> TrialDir {
        TrialDir { path: self.root.join("trials").join(hash) }
    }

    /// The hashes of all trials on disk, sorted.
    pub fn stored_trials(&self) -> Result<Vec<String>, RunDirError> {
        let folder = self.root.join("trials");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("read", &folder)(error)),
        };
        let mut hashes = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error("read", &folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && entry.path().join("config.yaml").is_file() {
                hashes.push(name);
            }
        }
        hashes.sort();
        Ok(hashes)
    }

    /// Makes the directory hold the plan: new trials are added, trials that are there stay as they are.
    /// Trials that contradict their name or the version of this program are an error, and nothing is changed then.
    pub fn prepare(root: impl Into<PathBuf>, plan: &Plan) -> Result<Prepared, RunDirError> {
        let run_dir = Self::at(root);
        let trials = run_dir.root.join("trials");
        create_folder(&trials).map_err(io_error("make the folder", &trials))?;
        // Two runners may come at the same time.
        let lock_path = run_dir.root.join("lock");
        let _lock = TrialLock::wait(&lock_path, PREPARATION_PATIENCE).map_err(io_error("lock", &lock_path))?;

        if let Err(error @ RunDirError::FileVersion { .. }) = run_dir.plan() {
            return Err(error);
        }
        let stored = run_dir.stored_trials()?;
        let planned: HashMap<&str, &PlannedTrial> = plan.trials.iter().map(|trial| (trial.hash.as_str(), trial)).collect();
        stored.par_iter().try_for_each(|hash| run_dir.check_stored(hash, planned.get(hash.as_str()).copied()))?;
        let is_new = |trial: &&PlannedTrial| stored.binary_search(&trial.hash).is_err();
        let (new, known): (Vec<&PlannedTrial>, Vec<&PlannedTrial>) = plan.trials.iter().partition(is_new);
        let num_new = new.len();
        run_dir.write_new(plan, &new)?;
        for trial in known {
            let folder = run_dir.trial(&trial.hash);
            if folder.result_path().exists() || folder.has_config(plan, trial) {
                continue;
            }
            // What has not ended follows the experiment when its folder or name changes. Under the lock: a worker that another
            // runner starts just now reads the file, and clears away what looks unfinished.
            let lock_path = folder.lock_path();
            let Attempt::Taken(_lock) = TrialLock::attempt(&lock_path).map_err(io_error("lock", &lock_path))? else { continue };
            if folder.result().is_ok_and(|result| result.is_none()) {
                folder.write_config(plan, trial)?;
            }
        }
        sync_folder(&trials).map_err(io_error("sync", &trials))?;
        run_dir.keep_history(plan)?;
        let path = run_dir.experiment_path();
        write_atomic(&path, plan.source.text.as_bytes()).map_err(io_error("write", &path))?;
        run_dir.write_plan(plan)?;
        let left_over = stored.into_iter().filter(|hash| !planned.contains_key(hash.as_str())).collect();
        Ok(Prepared { run_dir, num_new, left_over })
    }

    /// Puts what there is of a trial aside, to `trials/.old/<hash>-1` or the next free number, so that it is run from its start.
    /// Returns where it is now, with the lock on it: a worker that has just looked for the trial in its old place must find it taken
    /// for as long as this run goes on. `None` where nothing had been done yet.
    pub fn put_aside(&self, plan: &Plan, trial: &PlannedTrial) -> Result<Option<(PathBuf, TrialLock)>, RunDirError> {
        let folder = self.trial(&trial.hash);
        let lock_path = folder.lock_path();
        let lock = match TrialLock::attempt(&lock_path).map_err(io_error("lock", &lock_path))? {
            Attempt::Taken(lock) => lock,
            Attempt::Held(holder) => {
                let holder = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                return Err(RunDirError::Busy { hash: trial.hash.clone(), holder });
            }
        };
        if !folder.result_path().exists() && !folder.has_checkpoint() && !folder.log_path().exists() {
            return Ok(None);
        }
        let (trials, old) = (self.root.join("trials"), self.root.join("trials").join(".old"));
        create_folder(&old).map_err(io_error("make the folder", &old))?;
        let places = (1..).map(|number| old.join(format!("{}-{number}", trial.hash)));
        let place = places.into_iter().find(|place| !place.exists()).expect("there is a free number");
        fs::rename(&folder.path, &place).map_err(io_error("rename", &folder.path))?;
        for path in [&old, &trials] {
            sync_folder(path).map_err(io_error("sync", path))?;
        }
        create_folder(&folder.path).map_err(io_error("make the folder", &folder.path))?;
        folder.write_config(plan, trial)?;
        Ok(Some((place, lock)))
    }

    /// Makes the folders of new trials. Waiting for the disk is what takes time, and it writes for many at once.
    fn write_new(&self, plan: &Plan, new: &[&PlannedTrial]) -> Result<(), RunDirError> {
        const WRITERS: usize = 16;
        let write = |trials: &[&PlannedTrial]| {
            trials.iter().try_for_each(|trial| {
                let folder = self.trial(&trial.hash);
                fs::create_dir_all(&folder.path).map_err(io_error("make the folder", &folder.path))?;
                folder.write_config(plan, trial)
            })
        };
        thread::scope(|scope| {
            let chunks = new.chunks(new.len().div_ceil(WRITERS).max(1));
            let writers: Vec<_> = chunks.map(|trials| scope.spawn(move || write(trials))).collect();
            writers.into_iter().try_for_each(|writer| writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// Adds the trials of a plan from position `first` on to a prepared directory.
    pub(crate) fn add_trials(&self, plan: &Plan, first: usize) -> Result<(), RunDirError> {
        let trials = self.root.join("trials");
        for trial in &plan.trials[first..] {
            let folder = self.trial(&trial.hash);
            if folder.config_path().is_file() {
                self.check_stored(&trial.hash, Some(trial))?;
                if folder.result_path().exists() || folder.has_checkpoint() {
                    continue;
                }
            }
            fs::create_dir_all(&folder.path).map_err(io_error("make the folder", &folder.path))?;
            folder.write_config(plan, trial)?;
        }
        sync_folder(&trials).map_err(io_error("sync", &trials))?;
        self.write_plan(plan)
    }

    fn write_plan(&self, plan: &Plan) -> Result<(), RunDirError> {
        let (path, json) =
            (self.plan_path(), serde_json::to_vec_pretty(plan).expect("a plan of numbers, texts, lists and maps serializes"));
        write_atomic(&path, &json).map_err(io_error("write", &path))
    }

    fn check_stored(&self, hash: &str, planned: Option<&PlannedTrial>) -> Result<(), RunDirError> {
        let folder = self.trial(hash);
        if !folder.result_path().exists() && !folder.has_checkpoint() {
            return Ok(());
        }
        let stored = stored_definition(&folder.config()?);
        let version = stored.get("format_version").and_then(Value::as_u64).unwrap_or(0);
        if version != u64::from(FORMAT_VERSION) {
            return Err(RunDirError::FormatVersion { hash: hash.to_owned(), path: self.root.clone(), found: version });
        }
        let found = trial_hash(&stored);
        if found == hash {
            return Ok(());
        }
        let differences = match planned {
            Some(planned) => differences(&planned.definition, &stored),
            None => vec![format!("  its config.yaml has the hash {found}")],
        };
        Err(RunDirError::Contradiction { hash: hash.to_owned(), path: self.root.clone(), differences })
    }

    /// Keeps what an edited experiment replaces.
    fn keep_history(&self, plan: &Plan) -> Result<(), RunDirError> {
        let (Ok(old_text), Ok(old_plan)) = (read_bounded(&self.experiment_path(), MAX_TEXT), self.plan()) else { return Ok(()) };
        if old_plan.source == plan.source && old_text == plan.source.text.as_bytes() {
            return Ok(());
        }
        let history = self.root.join("history");
        fs::create_dir_all(&history).map_err(io_error("make the folder", &history))?;
        let number = (1..).find(|number| !history.join(format!("{number}-plan.json")).exists()).expect("there is a free number");
        for (path, name) in [(self.experiment_path(), "experiment.yaml"), (self.plan_path(), "plan.json")] {
            let copy = history.join(format!("{number}-{name}"));
            fs::copy(&path, &copy).map_err(io_error("write", &copy))?;
        }
        Ok(())
    }
}

/// Whether this can be the name of a trial's folder: hexadecimal digits.
fn is_hash(hash: &str) -> bool {
    (1..=64).contains(&hash.len()) && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// One line for each value that differs: path, what is expected, what is found.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    fn compare(path: &str, expected: Option<&Value>, found: Option<&Value>, lines: &mut Vec<String>) {
        match (expected, found) {
            (Some(Value::Object(left)), Some(Value::Object(right))) => {
                let mut keys: Vec<&String> = left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))).collect();
                keys.sort();
                for key in keys {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    compare(&path, left.get(key), right.get(key), lines);
                }
            }
            _ if expected == found => {}
            _ => {
                let show = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
                lines.push(format!("  {path}: planned {}, stored {}", show(expected), show(found)));
            }
        }
    }
    let mut lines = Vec::new();
    compare("", Some(expected), Some(found), &mut lines);
    lines
}

/// `config.yaml` of a trial.
fn config_text(plan: &Plan, trial: &PlannedTrial) -> String {
    let stored = stored_config(&plan.name, &trial.hash, plan.base_dir(), &trial.overrides, &trial.definition);
    let text = serde_yaml::to_string(&stored).expect("a configuration of numbers, texts, lists and maps serializes");
    format!("# Written by aelab: do not edit, the name of this folder is the hash of the content.\n{text}")
}

/// The folder of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialDir {
    path: PathBuf,
}

impl TrialDir {
    /// The folder at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `result.json`.
    pub fn result_path(&self) -> PathBuf {
        self.path.join("result.json")
    }

    /// `lock`.
    pub fn lock_path(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// `worker.log`: what the worker wrote to standard error.
    pub fn log_path(&self) -> PathBuf {
        self.path.join("worker.log")
    }

    /// `progress.json`: where its worker stands, or stood.
    pub fn progress_path(&self) -> PathBuf {
        self.path.join("progress.json")
    }

    /// Where its worker stands, or stood; `None` where there is nothing to read.
    pub fn progress(&self) -> Option<TrialProgress> {
        TrialProgress::from_json(&read_bounded(&self.progress_path(), MAX_PROGRESS).ok()?)
    }

    /// Removes what killed workers left unfinished. Only for the one who holds the lock.
    pub fn remove_leftovers(&self) {
        for folder in ["", "checkpoints", "figures", "tables"] {
            // What cannot be removed does no harm.
            let _ = remove_leftovers(&self.path.join(folder));
        }
    }

    /// `metrics.jsonl`: the curves of the trial.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    fn config_path(&self) -> PathBuf {
        self.path.join("config.yaml")
    }

    /// `pause.json`: what the trial had come to at its last pause.
    fn pause_path(&self) -> PathBuf {
        self.path.join("pause.json")
    }

    /// What the trial had come to at its last pause: paused until a worker takes it up, then interrupted. `None` where there was none.
    pub fn pause(&self) -> Option<TrialResult> {
        TrialResult::from_json(&fs::read(self.pause_path()).ok()?).ok()
    }

    /// Writes `pause.json`. Only for the one who holds the lock.
    pub(crate) fn write_pause(&self, pause: &TrialResult) -> Result<(), RunDirError> {
        let path = self.pause_path();
        write_atomic(&path, &pause.to_json()).map_err(io_error("write", &path))
    }

    /// The result that [`TrialDir::reopen`] has put aside.
    pub(crate) fn previous_result(&self) -> Option<TrialResult> {
        TrialResult::from_json(&fs::read(self.path.join("result.previous.json")).ok()?).ok()
    }

    /// Whether there is something to go on from.
    pub fn has_checkpoint(&self) -> bool {
        ["last.tar", "previous.tar"].iter().any(|name| self.path.join("checkpoints").join(name).exists())
    }

    /// The stored configuration.
    pub fn config(&self) -> Result<Value, RunDirError> {
        let path = self.config_path();
        let text = read_bounded_text(&path, MAX_TEXT).map_err(io_error("read", &path))?;
        // The reader of experiments: bounded in what it makes of a text.
        let mut sources = Sources::default();
        let source = sources.add(path.display().to_string(), text);
        let tree = tree::parse(&sources, source).map_err(|error| RunDirError::Damaged { path, message: error.to_string() })?;
        Ok(tree.to_value())
    }

    fn write_config(&self, plan: &Plan, trial: &PlannedTrial) -> Result<(), RunDirError> {
        let path = self.config_path();
        write_atomic(&path, config_text(plan, trial).as_bytes()).map_err(io_error("write", &path))
    }

    /// Whether the stored configuration is, to the letter, the one of the plan.
    fn has_config(&self, plan: &Plan, trial: &PlannedTrial) -> bool {
        fs::read(self.config_path()).is_ok_and(|bytes| bytes == config_text(plan, trial).as_bytes())
    }

    /// How the trial ended; `None` where it has not. A result that is not what was written counts as failed, so that one bad file
    /// does not keep the others from being read, and is not overwritten unasked.
    pub fn result(&self) -> Result<Option<TrialResult>, RunDirError> {
        let path = self.result_path();
        let read = match read_bounded(&path, MAX_RESULT) {
            Ok(bytes) => TrialResult::from_json(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error.to_string()),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        match read {
            Ok(result) if result.format_version > FORMAT_VERSION => Err(RunDirError::FileVersion { path, found: result.format_version }),
            Ok(result) => Ok(Some(result)),
            Err(reason) => {
                let error = format!("{} is damaged: {reason}; `--retry failed` puts it aside and runs the trial again", path.display());
                Ok(Some(TrialResult::without_metrics(TrialState::Failed, error)))
            }
        }
    }

    /// Writes `result.json`: the trial is over.
    pub fn write_result(&self, result: &TrialResult) -> Result<(), RunDirError> {
        let path = self.result_path();
        write_atomic(&path, &result.to_json()).map_err(io_error("write", &path))
    }

    /// Where the trial stands.
    pub fn state(&self) -> Result<TrialState, RunDirError> {
        Ok(self.standing()?.0)
    }

    /// Where the trial stands, and how it ended if it has.
    pub fn standing(&self) -> Result<(TrialState, Option<TrialResult>), RunDirError> {
        if let Some(result) = self.result()? {
            return Ok((result.state, Some(result)));
        }
        let lock_path = self.lock_path();
        if lock::holder(&lock_path).map_err(io_error("lock", &lock_path))?.is_some() {
            // It may have ended between the two looks.
            let result = self.result()?;
            return Ok((result.as_ref().map_or(TrialState::Running, |result| result.state), result));
        }
        let state = match self.pause() {
            _ if !self.has_checkpoint() => TrialState::Pending,
            Some(pause) if pause.state == TrialState::Paused => TrialState::Paused,
            _ => TrialState::Interrupted,
        };
        Ok((state, None))
    }

    /// Puts the result of a failed, diverged or stopped trial aside, so that it runs again. What diverged begins anew,
    /// because from its checkpoint it would diverge in the same way; the others go on. `false` where
    /// another process has the trial.
    pub fn reopen(&self) -> Result<bool, RunDirError> {
        let lock_path = self.lock_path();
        let Attempt::Taken(_lock) = TrialLock::attempt(&lock_path).map_err(io_error("lock", &lock_path))? else { return Ok(false) };
        let Some(result) = self.result()? else { return Ok(true) };
        if result.state == TrialState::Diverged {
            let pause = self.pause_path();
            if pause.exists() {
                fs::remove_file(&pause).map_err(io_error("remove", &pause))?;
            }
            let checkpoints = self.path.join("checkpoints");
            if checkpoints.exists() {
                fs::remove_dir_all(&checkpoints).map_err(io_error("remove", &checkpoints))?;
            }
        }
        let path = self.result_path();
        fs::rename(&path, self.path.join("result.previous.json")).map_err(io_error("rename", &path))?;
        sync_folder(&self.path).map_err(io_error("sync", &self.path))?;
        Ok(true)
    }

    /// The last lines of `worker.log`.
    pub fn log_tail(&self, num_lines: usize) -> String {
        let bytes = end_of(&self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(num_lines)..].join("\n")
    }
}

/// The last bytes of a log, which may be large.
fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    const LENGTH: u64 = 8192;
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LENGTH)))?;
    let mut bytes = Vec::new();
    file.take(LENGTH).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan_with(hash: &str) -> String {
        let source = json!({"file": "x.yaml", "text": "", "base_dir": "", "extended": null, "sets": []});
        let trial = json!({
            "index": 0, "hash": hash, "overrides": [], "seed": 0, "model": "vae", "data": "bars", "code_size": 2, "definition": {}
        });
        json!({"format_version": FORMAT_VERSION, "name": "x", "execution": {}, "source": source, "trials": [trial]}).to_string()
    }

    #[test]
    fn a_plan_cannot_name_a_trial_outside_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::at(folder.path());
        fs::write(run.plan_path(), plan_with("00ff00ff00ff00ff")).unwrap();
        assert_eq!(run.plan().unwrap().trials[0].hash, "00ff00ff00ff00ff");
        for hash in ["../../x", "/etc", "", "..", "0\u{0}", "0/1"] {
            fs::write(run.plan_path(), plan_with(hash)).unwrap();
            let error = run.plan().unwrap_err().to_string();
            assert!(error.contains(&format!("is not what aelab writes: {hash:?} is not the hash of a trial")), "{error}");
        }
    }

    #[test]
    fn a_result_that_is_far_too_large_counts_as_failed_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let trial = TrialDir::at(folder.path());
        let file = fs::File::create(trial.result_path()).unwrap();
        file.set_len(MAX_RESULT + 1).unwrap();
        let result = trial.result().unwrap().unwrap();
        assert_eq!(result.state, TrialState::Failed);
        assert!(result.error.unwrap().contains("it is larger than 16 MiB, the most that such a file has"));
    }

    #[test]
    fn a_stored_configuration_cannot_unfold_without_bound() {
        let folder = tempfile::tempdir().unwrap();
        let trial = TrialDir::at(folder.path());
        let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(1000));
        fs::write(trial.config_path(), text).unwrap();
        let error = trial.config().unwrap_err().to_string();
        assert!(error.contains("is not what aelab writes: this text holds too much"), "{error}");
    }

    #[test]
    fn of_a_long_log_only_the_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let trial = TrialDir::at(folder.path());
        assert_eq!(trial.log_tail(3), "");
        fs::write(trial.log_path(), format!("{}\none\ntwo\nthree\n", "x".repeat(100_000))).unwrap();
        assert_eq!(trial.log_tail(2), "two\nthree");
    }
}
