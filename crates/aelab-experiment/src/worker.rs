//! The worker: the process that runs one trial, and what it says to the runner that started it.
//!
//! Standard output carries one [`WorkerMessage`] as JSON per line. Standard input carries nothing: when
//! it ends, the runner asks to stop or is dead, and the worker checkpoints and ends.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use aelab_core::{Pulse, Registry};
use aelab_data::LoadContext;
use aelab_files::write_volatile;
use aelab_train::CHECKPOINT_PHASE;
use serde::{Deserialize, Serialize};

use crate::lock::{Attempt, TrialLock, host_name, is_alive_elsewhere};
use crate::processor_time;
use crate::result::{TrialResult, TrialState};
use crate::run_dir::{RunDir, RunDirError, TrialDir};
use crate::trial::{self, TrialContext};
use crate::trial_config::{ResolvedTrial, TrialConfigError};

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum WorkerMessage {
    /// The first message.
    Hello {
        /// See [`PROTOCOL_VERSION`].
        protocol_version: u32,
        /// Version of the program.
        program_version: String,
    },
    /// Training is about to begin or to go on.
    Started {
        /// Epochs over all stages.
        num_epochs: usize,
        /// Optimizer steps of one epoch.
        steps_per_epoch: usize,
        /// Trainable numbers.
        num_parameters: usize,
    },
    /// Where training stands.
    Progress {
        /// Name of the stage.
        stage: String,
        /// Epochs of the stage behind us, with fraction.
        epoch: f64,
        /// Epochs of the stage.
        num_epochs: usize,
        /// Optimizer steps over all stages.
        step: u64,
        /// Optimizer steps per second, lately.
        steps_per_second: f64,
        /// Loss of the last batch.
        loss: f64,
        /// Validation loss of the last epoch.
        valid_loss: Option<f64>,
    },
    /// A sign of life: work has gone on since the last one.
    Beat {
        /// What is being done.
        phase: String,
    },
    /// Training is over, and an evaluation is about to begin.
    Measuring {
        /// Its name.
        evaluation: String,
        /// Its place among the evaluations of the trial, from 1.
        number: usize,
        /// How many there are.
        num_evaluations: usize,
    },
    /// Something worth reading.
    Note {
        /// One line.
        text: String,
    },
    /// Nothing can be kept: the disk is full, read-only or forbidden. The worker ends without a result.
    Storage {
        /// What happened.
        text: String,
    },
    /// The last message.
    Done {
        /// How it ended.
        state: TrialState,
        /// Seconds that this process worked.
        seconds: f64,
    },
}

/// Version of what worker and runner say to each other, which has to be the same for both.
pub const PROTOCOL_VERSION: u32 = 1;

/// Exit code of a worker whose trial another process has.
pub(crate) const EXIT_BUSY: u8 = 75;
/// Exit code of a worker that could not even begin.
pub(crate) const EXIT_UNUSABLE: u8 = 70;
/// Exit code of a worker that could not keep its work.
pub(crate) const EXIT_STORAGE: u8 = 71;
/// Exit code of a worker that was asked to stop and did not come to an end in time: what it did since its last checkpoint is done
/// again.
pub(crate) const EXIT_INTERRUPTED: u8 = 72;

/// How often the watch looks.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// Signs of life come at most this often.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// So much processor time of the others is a sign of life, where they give none themselves.
const SIGN_OF_WORK: Duration = Duration::from_millis(200);
/// How long a worker that is asked to stop goes on with what begins anew the next time anyway.
const BREAK_OFF_AFTER: Duration = Duration::from_millis(300);
/// How long the signs of life of one are watched that had the lock on another machine and did not give it up in good order.
const LISTEN_FOR: Duration = Duration::from_secs(3);

/// How a worker works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerOptions {
    /// Time between two checkpoints within an epoch.
    pub checkpoint_every: Duration,
    /// Time for the last checkpoint when it is asked to stop.
    pub grace: Duration,
    /// Whether the end of standard input means nothing: there is no runner at the other end.
    pub detached: bool,
    /// Epochs over all stages after which the trial pauses.
    pub until_epoch: Option<u64>,
}

/// Why a worker could not begin.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The run directory cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] TrialConfigError),
    /// The signals cannot be handled.
    #[error("cannot listen to signals")]
    Signals(#[source] io::Error),
    /// What the trial has done cannot be kept.
    #[error("cannot keep what the trial has done: {0}")]
    Storage(String),
}

impl WorkerError {
    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Storage(_)) { EXIT_STORAGE } else { EXIT_UNUSABLE }
    }
}

/// Runs the trial `hash` of a run directory to its end, to the end of standard input, or to a signal (SIGTERM, SIGINT, SIGUSR1).
/// Returns the exit code: 0 when the trial is over or interrupted in good order.
pub fn run_worker(run_dir: &Path, hash: &str, registry: &Registry, options: &WorkerOptions) -> Result<u8, WorkerError> {
    say(&WorkerMessage::Hello { protocol_version: PROTOCOL_VERSION, program_version: env!("CARGO_PKG_VERSION").to_owned() });
    let pulse = Arc::new(Pulse::default());
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGUSR1] {
        signal_hook::flag::register(signal, pulse.stop_flag()).map_err(WorkerError::Signals)?;
    }
    if !options.detached {
        let pulse = Arc::clone(&pulse);
        thread::spawn(move || {
            // Whatever comes is of no interest, only that it ends.
            let mut buffer = [0; 64];
            let mut input = io::stdin().lock();
            while !matches!(input.read(&mut buffer), Ok(0) | Err(_)) {}
            pulse.stop();
        });
    }
    let folder = RunDir::at(run_dir).trial(hash);
    let locked = take_lock(&folder);
    if let Err(WorkerError::Storage(text)) = &locked {
        say(&WorkerMessage::Storage { text: text.clone() });
    }
    let Some(_lock) = locked? else { return Ok(EXIT_BUSY) };
    folder.remove_leftovers();
    let standing = Arc::new(Mutex::new(None));
    let watch = Watch { pulse: Arc::clone(&pulse), folder: folder.clone(), standing: Arc::clone(&standing), options: options.clone() };
    thread::spawn(move || watch.run());

    let mut tell = |message: WorkerMessage| {
        if let WorkerMessage::Progress { .. } = message {
            *standing.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.clone());
        }
        say(&message);
    };
    let started = Instant::now();
    let state = match folder.result()? {
        Some(result) => Ok(result.state),
        None => run_locked(&folder, &run_dir.join("shared"), registry, &pulse, options.until_epoch, &mut tell),
    };
    if let Err(WorkerError::Storage(text)) = &state {
        // The log may lie on the disk that is full.
        say(&WorkerMessage::Storage { text: text.clone() });
    }
    let state = state?;
    say(&WorkerMessage::Done { state, seconds: started.elapsed().as_secs_f64() });
    Ok(0)
}

/// A line on standard output.
fn say(message: &WorkerMessage) {
    if let Ok(line) = serde_json::to_string(message) {
        let mut output = io::stdout().lock();
        // A runner that does not listen any more has died: the end of standard input says so too.
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    }
}

/// The thread beside the one that works.
struct Watch {
    pulse: Arc<Pulse>,
    folder: TrialDir,
    /// The last progress message.
    standing: Arc<Mutex<Option<WorkerMessage>>>,
    options: WorkerOptions,
}

impl Watch {
    fn run(&self) {
        let (mut num_beats, mut beaten) = (0, Instant::now());
        let (mut worked, mut looked) = (Duration::ZERO, Instant::now());
        let mut checkpointed = Instant::now();
        let mut asked_to_stop = None;
        loop {
            thread::sleep(WATCH_EVERY);
            if !self.pulse.is_steady() && looked.elapsed() >= BEAT_EVERY {
                looked = Instant::now();
                let now = processor_time::of_other_threads();
                // Where nothing is known, work is taken for granted.
                if now.is_none_or(|now| now >= worked + SIGN_OF_WORK) {
                    self.pulse.tick();
                    worked = now.unwrap_or_default();
                }
            }
            let now = self.pulse.num_beats();
            if now != num_beats && beaten.elapsed() >= BEAT_EVERY {
                (num_beats, beaten) = (now, Instant::now());
                say(&WorkerMessage::Beat { phase: self.pulse.phase().to_owned() });
                self.write_progress(num_beats);
            }
            if checkpointed.elapsed() >= self.options.checkpoint_every {
                checkpointed = Instant::now();
                self.pulse.request_checkpoint();
            }
            if self.pulse.should_stop() {
                let since = *asked_to_stop.get_or_insert_with(Instant::now);
                let grace = if self.pulse.is_steady() { self.options.grace } else { self.options.grace.min(BREAK_OFF_AFTER) };
                // All files are whole at any moment, so that ending here loses time only.
                if since.elapsed() > grace && self.pulse.phase() != CHECKPOINT_PHASE {
                    std::process::exit(i32::from(EXIT_INTERRUPTED));
                }
            }
        }
    }

    /// `progress.json`, for those who look from elsewhere.
    fn write_progress(&self, num_beats: u64) {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let progress =
            TrialProgress { num_beats, phase: self.pulse.phase().to_owned(), pid: std::process::id(), host: host_name(), standing };
        if let Ok(json) = serde_json::to_vec(&VersionedProgress { format_version: PROGRESS_FORMAT_VERSION, progress }) {
            // It is a courtesy: where it cannot be written, checkpoints and results say why.
            let _ = write_volatile(&self.folder.progress_path(), &json);
        }
    }
}

/// Version of the format of `progress.json`: what is of another one is not read.
const PROGRESS_FORMAT_VERSION: u32 = 1;

fn first_format_version() -> u32 {
    1
}

/// What `progress.json` holds.
#[derive(Serialize, Deserialize)]
struct VersionedProgress {
    #[serde(default = "first_format_version")]
    format_version: u32,
    #[serde(flatten)]
    progress: TrialProgress,
}

impl TrialProgress {
    /// Reads the content of `progress.json`; `None` for what is of another version or none at all.
    pub(crate) fn from_json(bytes: &[u8]) -> Option<Self> {
        let found: VersionedProgress = serde_json::from_slice(bytes).ok()?;
        (found.format_version == PROGRESS_FORMAT_VERSION).then_some(found.progress)
    }
}

/// `progress.json` of a trial: where its worker stands, or stood when it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialProgress {
    /// Signs of life since the worker began.
    pub num_beats: u64,
    /// What it is doing.
    pub phase: String,
    /// Its process.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// Its last [`WorkerMessage::Progress`].
    pub standing: Option<WorkerMessage>,
}

fn run_locked(
    folder: &TrialDir,
    shared: &Path,
    registry: &Registry,
    pulse: &Arc<Pulse>,
    pause_after: Option<u64>,
    report: &mut dyn FnMut(WorkerMessage),
) -> Result<TrialState, WorkerError> {
    let config = ResolvedTrial::parse(&folder.config()?, registry)?;
    let keep = |pause: &TrialResult| folder.write_pause(pause).map_err(|error| WorkerError::Storage(error_chain(&error)));
    if let Some(pause) = folder.pause().filter(|pause| pause.state == TrialState::Paused) {
        keep(&TrialResult { state: TrialState::Interrupted, ..pause })?;
    }
    let load = LoadContext::new(config.base_dir.clone());
    let context = TrialContext { load, shared: shared.to_path_buf(), pulse: Arc::clone(pulse), pause_after };
    let result = match trial::run(folder.path(), &config, &context, report) {
        Ok(result) => result,
        Err(error) if error.is_about_files() || is_about_storage(&error) => return Err(WorkerError::Storage(error_chain(&error))),
        Err(error) => TrialResult::without_metrics(TrialState::Failed, Some(error_chain(&error))),
    };
    if result.state == TrialState::Paused {
        keep(&result)?;
    }
    // An interrupted trial has no result: it goes on from its checkpoint.
    if result.state.is_over() {
        folder.write_result(&result).map_err(|error| WorkerError::Storage(error_chain(&error)))?;
    }
    Ok(result.state)
}

/// Whether an error is the disk's, not the trial's: on another disk the trial would go on.
fn is_about_storage(error: &(dyn std::error::Error + 'static)) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StaleNetworkFileHandle, StorageFull};
    /// An error of the device below the file system.
    const EIO: i32 = 5;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && (matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem | StaleNetworkFileHandle)
                || cfg!(unix) && error.raw_os_error() == Some(EIO))
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// A look at the state of a trial takes its lock for a moment: so this tries more than once.
fn take_lock(folder: &TrialDir) -> Result<Option<TrialLock>, WorkerError> {
    let path = folder.lock_path();
    let failed = |source: io::Error| WorkerError::Storage(format!("cannot lock {}: {source}", path.display()));
    for _ in 0..20 {
        let Attempt::Taken(mut lock) = TrialLock::attempt(&path).map_err(failed)? else {
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        if let Some(previous) = lock.previous().filter(|previous| !previous.is_on_this_machine())
            && is_alive_elsewhere(&folder.progress_path(), LISTEN_FOR)
        {
            return Err(WorkerError::Storage(format!(
                "the lock {} is free, but {previous}, who had it, still works on the trial: locks on this file system do not reach from \
                 one machine to another; let one machine alone work here, or mount it with locks that do (NFS: without `nolock` and \
                 `local_lock`; Lustre: `flock`, not `localflock`)",
                path.display()
            )));
        }
        lock.sign().map_err(failed)?;
        return Ok(Some(lock));
    }
    Ok(None)
}

/// An error and its causes, one per line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!("\ncaused by: {inner}"));
        cause = inner.source();
    }
    text
}
