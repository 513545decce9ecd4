//! Files that survive a crash: whole or absent, and still there after the power comes back.
//!
//! Everything that aelab keeps goes through here: [`AtomicFile`] for what is written once and replaced,
//! [`append_json_line`] and [`read_json_lines`] for what grows. What a killed process leaves behind has a
//! name of its own kind and is found by [`remove_leftovers`].

#![forbid(unsafe_code)]

mod atomic;
mod bounded;
mod failpoint;
mod json_lines;
mod lines;

pub use atomic::{AtomicFile, create_folder, remove_leftovers, sync_folder, write_atomic, write_volatile};
pub use bounded::{read_bounded, read_bounded_text};
pub use failpoint::{Failpoint, failpoint, install_failpoint};
pub use json_lines::{JsonLines, append_json_line, read_json_lines};
pub use lines::{BoundedLines, bounded_lines};
