//! The worker: the process that runs one trial, and what it says to the runner that started it.
//!
//! Standard output carries one [`WorkerMessage`] as JSON per line. Standard input carries nothing: when
//! it ends, the runner asks to stop or is dead, and the worker checkpoints and ends.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aelab_core::Registry;
use aelab_data::LoadContext;
use serde::{Deserialize, Serialize};

use crate::lock::{Attempt, TrialLock};
use crate::result::{TrialResult, TrialState};
use crate::run_dir::{RunDir, RunDirError, TrialDir};
use crate::trial::{self, TrialContext};
use crate::trial_config::{ResolvedTrial, TrialConfigError};

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum WorkerMessage {
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
    /// The last message.
    Done {
        /// How it ended.
        state: TrialState,
        /// Seconds that this process worked.
        seconds: f64,
    },
}

/// Exit code of a worker whose trial another process has.
pub const EXIT_BUSY: u8 = 75;
/// Exit code of a worker that could not even begin.
pub const EXIT_UNUSABLE: u8 = 70;

/// Why a worker could not begin.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The run directory cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] TrialConfigError),
    /// The lock cannot be used.
    #[error("cannot lock {path}")]
    Lock {
        /// The lock file.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// The signals cannot be handled.
    #[error("cannot listen to signals")]
    Signals(#[source] io::Error),
}

/// Runs the trial `hash` of a run directory to its end, to the end of standard input, or to a signal.
/// Returns the exit code: 0 when the trial is over or interrupted in good order.
pub fn run_worker(run_dir: &Path, hash: &str, registry: &Registry) -> Result<u8, WorkerError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(WorkerError::Signals)?;
    }
    let stop_at_end = Arc::clone(&stop);
    thread::spawn(move || {
        // Whatever comes is of no interest, only that it ends.
        let mut buffer = [0; 64];
        let mut input = io::stdin().lock();
        while !matches!(input.read(&mut buffer), Ok(0) | Err(_)) {}
        stop_at_end.store(true, Ordering::SeqCst);
    });
    let folder = RunDir::at(run_dir).trial(hash);
    let Some(_lock) = take_lock(&folder)? else { return Ok(EXIT_BUSY) };
    let mut report = |message: WorkerMessage| {
        if let Ok(line) = serde_json::to_string(&message) {
            let mut output = io::stdout().lock();
            // A runner that does not listen any more has died: the end of standard input says so too.
            let _ = writeln!(output, "{line}").and_then(|()| output.flush());
        }
    };
    let started = Instant::now();
    let state = match folder.result()? {
        Some(result) => result.state,
        None => run_locked(&folder, &run_dir.join("shared"), registry, &|| stop.load(Ordering::SeqCst), &mut report)?,
    };
    report(WorkerMessage::Done { state, seconds: started.elapsed().as_secs_f64() });
    Ok(0)
}

fn run_locked(
    folder: &TrialDir,
    shared: &Path,
    registry: &Registry,
    stop: &dyn Fn() -> bool,
    report: &mut dyn FnMut(WorkerMessage),
) -> Result<TrialState, WorkerError> {
    let config = ResolvedTrial::parse(&folder.config()?, registry)?;
    let context = TrialContext { load: LoadContext::new(config.base_dir.clone()), shared: shared.to_path_buf() };
    let result = match trial::run(folder.path(), &config, &context, stop, report) {
        Ok(result) => result,
        Err(error) => TrialResult::without_metrics(TrialState::Failed, Some(error_chain(&error))),
    };
    // An interrupted trial has no result: it goes on from its checkpoint.
    if result.state.is_over() {
        folder.write_result(&result)?;
    }
    Ok(result.state)
}

/// A look at the state of a trial takes its lock for a moment: so this tries more than once.
fn take_lock(folder: &TrialDir) -> Result<Option<TrialLock>, WorkerError> {
    let path = folder.lock_path();
    for _ in 0..20 {
        match TrialLock::attempt(&path).map_err(|source| WorkerError::Lock { path: path.display().to_string(), source })? {
            Attempt::Taken(lock) => return Ok(Some(lock)),
            Attempt::Held(_) => thread::sleep(Duration::from_millis(50)),
        }
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
