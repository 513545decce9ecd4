//! End-to-end tests of the program and tests of the shape of the workspace.

mod architecture;
mod commands;
mod faults;
mod kills;
mod older_runs;
mod runs;
mod search;
mod selections;
mod slurm;
mod support;
