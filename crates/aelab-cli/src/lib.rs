//! The command line of aelab.
//!
//! Arguments, printing and exit codes; everything else is in the crates below. A program with models of
//! its own is three lines:
//!
//! ```no_run
//! use aelab_cli::{builtin, main_with};
//!
//! fn main() -> std::process::ExitCode {
//!     main_with(builtin()) // .with(ModelEntry::new::<MyConfig>())
//! }
//! ```

#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod objective;
mod options;
mod progress;
mod run_table;
mod steering;
mod terminal;

use std::process::ExitCode;
use std::time::Duration;

use aelab_core::Registry;
use aelab_experiment::{PruneRequest, WorkerOptions};
use clap::{CommandFactory, Parser};

use crate::arguments::{Arguments, Command};

/// Everything went well.
const EXIT_DONE: u8 = 0;
/// Some trials failed or diverged.
const EXIT_TRIALS_FAILED: u8 = 1;
/// The input cannot be used.
const EXIT_BAD_INPUT: u8 = 2;
/// The machine does not let the run go on: a full disk, a process that does not end. The next run goes on.
const EXIT_BROKEN_OFF: u8 = 3;
/// Stopped by Ctrl-C or a signal; the next run goes on.
const EXIT_STOPPED: u8 = 130;

/// The models that come with aelab.
pub fn builtin() -> Registry {
    Registry::new(aelab_models::MODELS)
}

/// Reads the command line and does what it says, with the given models.
pub fn main_with(registry: Registry) -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { EXIT_BAD_INPUT } else { EXIT_DONE };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match dispatch(arguments.command, &registry) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            terminal::print_error(&error);
            ExitCode::from(EXIT_BAD_INPUT)
        }
    }
}

fn dispatch(command: Command, registry: &Registry) -> anyhow::Result<u8> {
    match command {
        Command::Run { file, overrides, running } => commands::run::run(&file, &overrides.set, &running, registry),
        Command::Resume { run, running } => commands::run::resume(&run, &running, registry),
        Command::Plan { file, overrides, json, all, runs } => commands::plan::plan(&file, &overrides.set, json, all, &runs, registry),
        Command::Status(arguments) => commands::status::status(&arguments, registry),
        Command::Show { run, trial, config, json } => commands::show::show(&run, &trial, config, json),
        Command::Diff { run, first, second, with, json } => commands::diff::diff(&run, &first, &second, with.as_deref(), json),
        Command::Export { run, format, curves, filter, output } => {
            commands::export::export(&run, format, curves, &filter, output.as_deref())
        }
        Command::Prune { run, keep, metric, dry_run, json } => commands::prune::prune(&run, &PruneRequest { keep, metric, dry_run }, json),
        Command::Archive { run, runs, output, without_checkpoints, verify } => match (run, verify) {
            (_, Some(file)) => commands::archive::verify(&file),
            (Some(run), None) => commands::archive::archive(&run, &runs, output.as_deref(), without_checkpoints),
            (None, None) => anyhow::bail!("name a run, or an archive to `--verify`"),
        },
        Command::Unarchive { file, output, runs } => commands::archive::unarchive(&file, output.as_deref(), &runs),
        Command::Cancel { run } => commands::cancel::cancel(&run),
        Command::Task(arguments) => commands::task::task(&arguments),
        Command::Compare(arguments) => commands::compare::compare(&arguments),
        Command::Bench(arguments) => commands::bench::bench(&arguments),
        Command::Models { json } => commands::listings::models(json, registry),
        Command::Datasets { json } => commands::listings::datasets(json),
        Command::Metrics { json } => commands::listings::metrics(json),
        Command::Describe { name } => commands::describe::describe(&name, registry),
        Command::Data { command } => commands::data::data(command),
        Command::Schema => commands::listings::schema(registry),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "aelab", &mut script);
            terminal::print_line(String::from_utf8_lossy(&script).trim_end());
            Ok(EXIT_DONE)
        }
        Command::Worker { run_dir, hash, checkpoint_seconds, grace_seconds, detached, until_epoch } => {
            let options = WorkerOptions {
                checkpoint_every: Duration::from_secs(checkpoint_seconds),
                grace: Duration::from_secs(grace_seconds),
                detached,
                until_epoch,
            };
            commands::worker::worker(&run_dir, &hash, &options, registry)
        }
    }
}
