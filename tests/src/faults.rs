//! Faults on demand: `AELAB_FAULT="ACTION:PART OF THE FILE'S NAME:EFFECT[:MARK]"`, several separated by blanks.
//!
//! Before the program does ACTION ("create", "write", "sync", "rename", "read", "lock", "load", "measure", ...) to such a file, EFFECT happens: `kill` (SIGKILL),
//! `hang`, `spin` (ten seconds of work without a sign of life), `full`, `denied`, `read_only`, `no_locks`, `broken_disk`. With a MARK, the path of a file that must not be there yet, it happens once in all processes.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// What [`aelab_files::install_failpoint`] is given.
pub(crate) fn strike(action: &str, path: &Path) -> io::Result<()> {
    let Ok(faults) = std::env::var("AELAB_FAULT") else { return Ok(()) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for fault in faults.split_whitespace() {
        let mut parts = fault.splitn(4, ':');
        let (wanted_action, wanted_name, effect) = (parts.next(), parts.next().unwrap_or_default(), parts.next());
        if wanted_action != Some(action) || !name.contains(wanted_name) {
            continue;
        }
        if let Some(mark) = parts.next()
            && OpenOptions::new().write(true).create_new(true).open(mark).is_err()
        {
            continue;
        }
        match effect {
            // Nothing in the process gets a chance, as with a power cut.
            Some("kill") => {
                let _ = std::process::Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
            }
            Some("hang") => std::thread::sleep(Duration::from_secs(3600)),
            Some("spin") => {
                let since = Instant::now();
                while since.elapsed() < Duration::from_secs(10) {
                    std::hint::spin_loop();
                }
            }
            Some("read_only") => return Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            // ENOLCK and EIO.
            Some("no_locks") => return Err(io::Error::from_raw_os_error(37)),
            Some("broken_disk") => return Err(io::Error::from_raw_os_error(5)),
            Some("full") => return Err(io::ErrorKind::StorageFull.into()),
            Some("denied") => return Err(io::ErrorKind::PermissionDenied.into()),
            other => panic!("AELAB_FAULT has no effect {other:?}"),
        }
    }
    Ok(())
}
