//! `worker`: one trial, in a process of its own.

use std::path::Path;

use aelab_core::Registry;
use aelab_experiment::{EXIT_UNUSABLE, run_worker};

use crate::terminal;

/// Runs the trial `hash` of a run directory.
pub(crate) fn worker(run_dir: &Path, hash: &str, registry: &Registry) -> anyhow::Result<u8> {
    run_worker(run_dir, hash, registry).or_else(|error| {
        terminal::print_error(&error.into());
        Ok(EXIT_UNUSABLE)
    })
}
