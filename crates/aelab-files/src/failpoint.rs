//! Places where a test makes the file system fail or the process die.
//!
//! A program that installs nothing passes them at the price of one load. The tests' own program installs a
//! function that returns an error, kills the process or waits.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// What happens before `action` ("create", "write", "sync", "rename", "sync folder", ...) touches the
/// file: an error takes the place of the action.
pub type Failpoint = fn(action: &str, path: &Path) -> io::Result<()>;

static INSTALLED: OnceLock<Failpoint> = OnceLock::new();

/// From now on `failpoint` is asked. The first one stays.
pub fn install_failpoint(failpoint: Failpoint) {
    let _ = INSTALLED.set(failpoint);
}

/// Asks the installed failpoint, if there is one.
///
/// # Errors
/// Those that it makes up.
pub fn failpoint(action: &str, path: &Path) -> io::Result<()> {
    INSTALLED.get().map_or(Ok(()), |installed| installed(action, path))
}
