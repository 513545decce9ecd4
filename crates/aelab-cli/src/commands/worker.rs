//! `worker`: one trial, in a process of its own.

use std::path::Path;

use aelab_core::Registry;
use aelab_experiment::{WorkerOptions, run_worker};

use crate::terminal;

/// Runs the trial `hash` of a run directory.
pub(crate) fn worker(run_dir: &Path, hash: &str, options: &WorkerOptions, registry: &Registry) -> anyhow::Result<u8> {
    run_worker(run_dir, hash, registry, options).or_else(|error| {
        let code = error.exit_code();
        terminal::print_error(&error.into());
        Ok(code)
    })
}
