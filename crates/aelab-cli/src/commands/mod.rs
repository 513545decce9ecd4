//! One file per command or family of commands.

pub(crate) mod archive;
pub(crate) mod bench;
pub(crate) mod cancel;
pub(crate) mod compare;
#[cfg(test)]
mod compare_tests;
pub(crate) mod data;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod listings;
pub(crate) mod plan;
pub(crate) mod prune;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod task;
pub(crate) mod worker;
