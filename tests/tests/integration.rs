//! End-to-end tests of the program and tests of the shape of the workspace.

#![allow(clippy::print_stderr, reason = "what is not tested here must be seen")]

mod architecture;
mod commands;
mod faults;
mod kills;
mod memory;
mod older_runs;
mod runs;
mod search;
mod selections;
mod slurm;
mod support;
