//! `task`: the trials of an element of a job array, on a node of a cluster.

use std::time::Duration;

use aelab_experiment::{ExecutorOptions, RunEvent, StopSignal, TrialState, WorkerCommand, WorkerMessage, slurm};
use anyhow::Context;

use crate::arguments::TaskArguments;
use crate::terminal::{print_error, print_line};
use crate::{EXIT_BROKEN_OFF, EXIT_DONE, EXIT_STOPPED, EXIT_TRIALS_FAILED};

/// How long to wait for the workers of a task that was killed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the trials; what it prints goes to the log of the task.
pub(crate) fn task(arguments: &TaskArguments) -> anyhow::Result<u8> {
    let stop = StopSignal::default();
    stop.listen_once().context("cannot listen to signals")?;
    let options = ExecutorOptions {
        jobs: arguments.jobs.max(1),
        threads_per_trial: arguments.threads.max(1),
        worker: WorkerCommand::this_program().context("cannot find the program that is running")?,
        patience: PATIENCE,
        checkpoint_every: Duration::from_secs(arguments.checkpoint_seconds),
        grace: Duration::from_secs(arguments.grace_seconds),
        hang: Duration::from_secs(arguments.hang_seconds),
        max_restarts: arguments.max_restarts,
    };
    let outcome = slurm::run_task(&arguments.run_dir, arguments.batch, arguments.index, &options, &stop, &mut say);
    match outcome {
        Ok(summary) if summary.stopped && !summary.states.iter().all(|state| state.is_over()) => {
            print_line("stopped: the trials have written their checkpoints");
            Ok(EXIT_STOPPED)
        }
        Ok(summary) if summary.states.iter().any(|state| matches!(state, TrialState::Failed | TrialState::Diverged)) => {
            Ok(EXIT_TRIALS_FAILED)
        }
        Ok(_) => Ok(EXIT_DONE),
        Err(error) => {
            print_error(&error.into());
            Ok(EXIT_BROKEN_OFF)
        }
    }
}

fn say(event: &RunEvent<'_>) {
    match event {
        RunEvent::Started { trial, resumed } => print_line(&format!("{} {}", if *resumed { "goes on" } else { "started" }, trial.hash)),
        RunEvent::Ended { trial, state, .. } => print_line(&format!("{state} {}", trial.hash)),
        RunEvent::Waiting { trial, holder } => {
            let holder = holder.map_or_else(|| "another process".to_owned(), ToString::to_string);
            print_line(&format!("waiting for {}: {holder} has it", trial.hash));
        }
        RunEvent::Restarting { trial, reason } => print_line(&format!("begun again {}: {reason}", trial.hash)),
        RunEvent::Stopping { num_running } => print_line(&format!("stopping {num_running} running")),
        RunEvent::Message { trial, message: WorkerMessage::Note { text } } => print_line(&format!("note {}: {text}", trial.hash)),
        RunEvent::Message { .. } | RunEvent::Queued { .. } | RunEvent::Note { .. } => {}
    }
}
