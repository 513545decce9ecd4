//! One process per trial: a lock that the operating system releases when its holder dies.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Who holds a lock, for messages. Not to be believed where the lock is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process that holds it.
    pub pid: u32,
    /// Process that started that one.
    pub runner_pid: Option<u32>,
    /// Machine.
    pub host: String,
    /// Seconds since 1970.
    pub since: u64,
}

impl Holder {
    fn this_process() -> Self {
        #[cfg(unix)]
        let runner_pid = Some(std::os::unix::process::parent_id());
        #[cfg(not(unix))]
        let runner_pid = None;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |duration| duration.as_secs());
        Self { pid: std::process::id(), runner_pid, host: host_name(), since }
    }

    /// Whether the process that started the holder is known to be gone: then the holder is about to stop.
    pub fn runner_is_gone(&self) -> bool {
        match self.runner_pid {
            Some(pid) if cfg!(target_os = "linux") && self.host == host_name() => !Path::new(&format!("/proc/{pid}")).exists(),
            _ => false,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {} on {}", self.pid, self.host)
    }
}

/// Name of this machine.
pub fn host_name() -> String {
    let from_kernel = fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    from_kernel.or_else(|| std::env::var("HOSTNAME").ok()).filter(|name| !name.is_empty()).unwrap_or_else(|| "this machine".to_owned())
}

/// A held lock; given up when dropped or when the process ends in any way.
#[derive(Debug)]
pub struct TrialLock {
    _file: File,
}

/// What came of trying to take a lock.
#[derive(Debug)]
pub enum Attempt {
    /// It is ours.
    Taken(TrialLock),
    /// Another process has it.
    Held(Option<Holder>),
}

impl TrialLock {
    /// Takes the lock at `path` if it is free.
    pub fn attempt(path: &Path) -> io::Result<Attempt> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                let holder = serde_json::to_vec(&Holder::this_process()).map_err(io::Error::other)?;
                file.set_len(0)?;
                file.rewind()?;
                file.write_all(&holder)?;
                file.flush()?;
                Ok(Attempt::Taken(Self { _file: file }))
            }
            Err(TryLockError::WouldBlock) => Ok(Attempt::Held(read_holder(path))),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Who holds the lock at `path`: `None` where it is free, `Some(None)` where the holder has not said.
pub fn holder(path: &Path) -> io::Result<Option<Option<Holder>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_holder(path))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A host, two numbers and a time.
const MAX_HOLDER: u64 = 64 << 10;

fn read_holder(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&aelab_files::read_bounded(path, MAX_HOLDER).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_is_free_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(holder(&path).unwrap().is_none());
        let Attempt::Taken(lock) = TrialLock::attempt(&path).unwrap() else { panic!("a new lock is free") };
        let Attempt::Held(Some(found)) = TrialLock::attempt(&path).unwrap() else { panic!("a held lock says who holds it") };
        assert_eq!(found.pid, std::process::id());
        assert_eq!(holder(&path).unwrap().unwrap(), Some(found));
        drop(lock);
        // A process that another test starts at this moment has a copy of the lock until it becomes its program.
        let is_free = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            holder(&path).unwrap().is_none() && matches!(TrialLock::attempt(&path).unwrap(), Attempt::Taken(_))
        });
        assert!(is_free, "the lock is free once its holder is gone");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_runner_that_has_died_is_known_to_be_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let mut holder = Holder { runner_pid: Some(child.id()), ..Holder::this_process() };
        child.wait().unwrap();
        assert!(holder.runner_is_gone());
        holder.runner_pid = Some(std::process::id());
        assert!(!holder.runner_is_gone());
    }
}
