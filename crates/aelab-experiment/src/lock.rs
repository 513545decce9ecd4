//! One process per trial: a lock that the operating system releases when its holder dies.
//!
//! It is `flock`, which Linux carries out as a lock on the server for files on NFS (`fcntl`), so that it holds between machines, too. Where
//! a file system has no locks, taking one is an error; where it has locks that other machines do not see, the signs of life of the
//! holder in `progress.json` give that away (`is_alive_elsewhere`).

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aelab_files::failpoint;
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
    /// What the machine calls the time since it was started: another one after a restart, and on every other machine. Not in
    /// lock files of an aelab that did not write it, like the following.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Where its process numbers are valid: containers of one machine may each have their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_namespace: Option<String>,
    /// When the process was started, in ticks since the machine was: tells it from a later one of the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// The same of the process that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_started: Option<u64>,
}

impl Holder {
    /// This process.
    pub(crate) fn this_process() -> Self {
        #[cfg(unix)]
        let runner_pid = Some(std::os::unix::process::parent_id());
        #[cfg(not(unix))]
        let runner_pid = None;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |duration| duration.as_secs());
        Self {
            pid: std::process::id(),
            runner_pid,
            host: host_name(),
            since,
            boot_id: boot_id(),
            pid_namespace: pid_namespace(),
            started: process_started(std::process::id()),
            runner_started: runner_pid.and_then(process_started),
        }
    }

    /// Whether the processes of its machine can be looked at from here: the same machine, not started anew since, with the same
    /// process numbers. What an old lock file does not say is taken to be the same.
    pub fn is_on_this_machine(&self) -> bool {
        let agrees = |theirs: &Option<String>, ours: Option<String>| theirs.is_none() || ours.is_none() || *theirs == ours;
        self.host == host_name() && agrees(&self.boot_id, boot_id()) && agrees(&self.pid_namespace, pid_namespace())
    }

    /// Whether the process that started the holder is known to be gone: then the holder is about to stop.
    pub fn runner_is_gone(&self) -> bool {
        let Some(pid) = self.runner_pid else { return false };
        if !cfg!(target_os = "linux") || !self.is_on_this_machine() {
            return false;
        }
        match (process_started(pid), self.runner_started) {
            (None, _) => true,
            // Another process has got its number.
            (Some(now), Some(then)) => now != then,
            (Some(_), None) => false,
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
    let from_kernel = trimmed("/proc/sys/kernel/hostname");
    from_kernel.or_else(|| std::env::var("HOSTNAME").ok()).filter(|name| !name.is_empty()).unwrap_or_else(|| "this machine".to_owned())
}

fn trimmed(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn boot_id() -> Option<String> {
    trimmed("/proc/sys/kernel/random/boot_id")
}

fn pid_namespace() -> Option<String> {
    fs::read_link("/proc/self/ns/pid").ok().map(|link| link.to_string_lossy().into_owned())
}

/// When a living process was started, in ticks since the machine was; `None` for one that is gone or only waits to be cleared away.
fn process_started(pid: u32) -> Option<u64> {
    // `PID (NAME) STATE ...`: the name may hold anything, a parenthesis too.
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    // The start is the 22nd field, and the state was the third.
    if matches!(state, "Z" | "X") { None } else { fields.nth(22 - 4)?.parse().ok() }
}

/// A held lock; given up when dropped or when the process ends in any way.
#[derive(Debug)]
pub struct TrialLock {
    file: File,
    /// What the file said when the lock was taken.
    previous: Option<Holder>,
    is_signed: bool,
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
    ///
    /// # Errors
    /// Those of the file system; where it has no locks, with the cure.
    pub fn attempt(path: &Path) -> io::Result<Attempt> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        failpoint("lock", path).map_err(explained)?;
        match file.try_lock() {
            Ok(()) => {
                let mut bytes = Vec::new();
                Read::by_ref(&mut file).take(MAX_HOLDER).read_to_end(&mut bytes)?;
                Ok(Attempt::Taken(Self { file, previous: serde_json::from_slice(&bytes).ok(), is_signed: false }))
            }
            Err(TryLockError::WouldBlock) => Ok(Attempt::Held(read_holder(path))),
            Err(TryLockError::Error(error)) => Err(explained(error)),
        }
    }

    /// Waits for the lock at `path`, but not for ever.
    pub fn wait(path: &Path, patience: Duration) -> io::Result<Self> {
        let since = Instant::now();
        loop {
            match Self::attempt(path)? {
                Attempt::Taken(lock) => return Ok(lock),
                Attempt::Held(_) if since.elapsed() > patience => {
                    let seconds = patience.as_secs();
                    let text = format!("another process has had it for {seconds} seconds; if there is none, delete this file and go on");
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
                }
                Attempt::Held(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Who has held it before and did not give it up in good order.
    pub fn previous(&self) -> Option<&Holder> {
        self.previous.as_ref()
    }

    /// Writes into the file who holds it.
    pub fn sign(&mut self) -> io::Result<()> {
        let holder = serde_json::to_vec(&Holder::this_process()).map_err(io::Error::other)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&holder)?;
        self.file.sync_data()?;
        self.is_signed = true;
        Ok(())
    }
}

impl Drop for TrialLock {
    fn drop(&mut self) {
        if self.is_signed {
            // Given up in good order: nobody has to ask whether the holder lives.
            let _ = self.file.set_len(0);
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
        Err(TryLockError::Error(error)) => Err(explained(error)),
    }
}

/// Whether the signs of life at `progress` change within `patience`, as its content tells: the clocks of two machines need not agree.
/// Asked by one who has just got a lock that somebody on another machine had before: if that one still works, locks do not
/// reach across machines here.
pub(crate) fn is_alive_elsewhere(progress: &Path, patience: Duration) -> bool {
    let content = || {
        // Makes a network file system ask its server for what is in the folder.
        let _ = fs::read_dir(progress.parent().unwrap_or(Path::new("."))).map(Iterator::count);
        fs::read(progress).ok()
    };
    let Some(before) = content() else { return false };
    let since = Instant::now();
    while since.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(200).min(patience));
        if content().is_some_and(|now| now != before) {
            return true;
        }
    }
    false
}

/// A host, a few numbers and a time.
const MAX_HOLDER: u64 = 64 << 10;

fn read_holder(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&aelab_files::read_bounded(path, MAX_HOLDER).ok()?).ok()
}

/// What a file system without locks answers, with the cure.
fn explained(error: io::Error) -> io::Error {
    // ENOLCK, ENOSYS, EOPNOTSUPP of Linux.
    let has_no_locks = matches!(error.raw_os_error(), Some(37 | 38 | 95)) && cfg!(target_os = "linux");
    if !has_no_locks && error.kind() != io::ErrorKind::Unsupported {
        return error;
    }
    let text = format!(
        "{error}: this file system gives no locks, and without them two processes could run the same trial; \
         mount it with locks (NFS: version 4, or version 3 with a running lockd; Lustre: the option `flock`) or put the runs elsewhere with `--runs`"
    );
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_is_free_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(holder(&path).unwrap().is_none());
        let Attempt::Taken(mut lock) = TrialLock::attempt(&path).unwrap() else { panic!("a new lock is free") };
        lock.sign().unwrap();
        let Attempt::Held(Some(found)) = TrialLock::attempt(&path).unwrap() else { panic!("a held lock says who holds it") };
        assert_eq!(found.pid, std::process::id());
        assert_eq!(holder(&path).unwrap().unwrap(), Some(found));
        assert_eq!(TrialLock::wait(&path, Duration::ZERO).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        // A process that another test starts at this moment has a copy of the lock until it becomes its program.
        let is_free = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            holder(&path).unwrap().is_none() && matches!(TrialLock::attempt(&path).unwrap(), Attempt::Taken(_))
        });
        assert!(is_free, "the lock is free once its holder is gone");
    }

    #[test]
    fn who_held_a_lock_is_known_afterwards_unless_it_was_given_up_in_good_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let left = serde_json::to_vec(&Holder { host: "elsewhere".to_owned(), ..Holder::this_process() }).unwrap();
        fs::write(&path, &left).unwrap();
        let mut lock = TrialLock::wait(&path, Duration::from_secs(60)).unwrap();
        assert_eq!(lock.previous().unwrap().host, "elsewhere");
        assert_eq!(fs::read(&path).unwrap(), left, "only one who signs it changes the file");
        lock.sign().unwrap();
        drop(lock);
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(TrialLock::wait(&path, Duration::from_secs(60)).unwrap().previous(), None);
    }

    #[test]
    fn lock_files_of_an_aelab_that_wrote_less_are_read() {
        let old: Holder = serde_json::from_str(r#"{"pid": 12, "runner_pid": 11, "host": "a", "since": 1700000000}"#).unwrap();
        assert_eq!((old.pid, old.boot_id, old.started), (12, None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_runner_that_has_died_is_known_to_be_gone_also_when_another_process_has_its_number() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let here = Holder::this_process();
        let mut holder = Holder { runner_pid: Some(child.id()), ..here.clone() };
        child.wait().unwrap();
        assert!(holder.runner_is_gone());
        holder = Holder { runner_pid: Some(here.pid), runner_started: here.started, ..here.clone() };
        assert!(!holder.runner_is_gone());
        holder.runner_started = here.started.map(|started| started - 1);
        assert!(holder.runner_is_gone(), "the number is that of another process now");
        holder.runner_started = None;
        assert!(!holder.runner_is_gone(), "an old lock file does not say when it was started");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_only_waits_to_be_cleared_away_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let is_gone = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            process_started(child.id()).is_none()
        });
        assert!(is_gone && Path::new(&format!("/proc/{}", child.id())).exists());
        child.wait().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_processes_of_another_machine_start_or_container_are_not_judged() {
        let here = Holder { runner_pid: Some(u32::MAX - 1), ..Holder::this_process() };
        assert!(here.runner_is_gone());
        for elsewhere in [
            Holder { host: "elsewhere".to_owned(), ..here.clone() },
            Holder { boot_id: Some("another".to_owned()), ..here.clone() },
            Holder { pid_namespace: Some("pid:[1]".to_owned()), ..here.clone() },
        ] {
            assert!(!elsewhere.is_on_this_machine() && !elsewhere.runner_is_gone());
        }
    }

    #[test]
    fn signs_of_life_are_compared_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress.json");
        assert!(!is_alive_elsewhere(&path, Duration::from_millis(1)));
        fs::write(&path, b"1").unwrap();
        assert!(!is_alive_elsewhere(&path, Duration::from_millis(300)));
        let writer = {
            let path = path.clone();
            std::thread::spawn(move || {
                for number in 2..100 {
                    fs::write(&path, number.to_string()).unwrap();
                    std::thread::sleep(Duration::from_millis(50));
                }
            })
        };
        assert!(is_alive_elsewhere(&path, Duration::from_secs(4)));
        writer.join().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_system_without_locks_is_named_with_the_cure() {
        for code in [37, 38, 95] {
            let text = explained(io::Error::from_raw_os_error(code)).to_string();
            assert!(text.contains("lockd") && text.contains("--runs"), "{text}");
        }
        assert_eq!(
            explained(io::ErrorKind::PermissionDenied.into()).to_string(),
            io::Error::from(io::ErrorKind::PermissionDenied).to_string()
        );
    }
}
