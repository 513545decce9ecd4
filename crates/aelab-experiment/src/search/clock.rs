//! How long a run has been worked on, over all its runners: `budget.json`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use aelab_files::write_volatile;
use serde::{Deserialize, Serialize};

/// A killed runner takes at most so much of its time with it.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// `budget.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Seconds of work of runners, one after the other.
    pub seconds: f64,
    /// Why no further trial was begun although there would have been some; empty where there was no such reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ended: String,
}

impl Spent {
    /// Reads `budget.json` of a run directory; nothing is spent where there is none.
    pub fn read(root: &Path) -> Self {
        std::fs::read(path_in(root)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

fn path_in(root: &Path) -> PathBuf {
    root.join("budget.json")
}

/// Counts, and writes down what it has counted.
pub(crate) struct Clock {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    before: f64,
    since: Instant,
    ended: Mutex<String>,
    is_over: AtomicBool,
}

impl Clock {
    /// Goes on counting from what was spent before.
    pub(crate) fn start(root: &Path) -> Self {
        let shared = Arc::new(Shared {
            path: path_in(root),
            before: Spent::read(root).seconds,
            since: Instant::now(),
            ended: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            let mut written = Instant::now();
            while !of_thread.is_over.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(50));
                if written.elapsed() >= WRITE_EVERY {
                    written = Instant::now();
                    of_thread.write();
                }
            }
        });
        Self { shared }
    }

    /// Seconds over all runners.
    pub(crate) fn seconds(&self) -> f64 {
        self.shared.seconds()
    }

    /// Says why nothing more begins.
    pub(crate) fn end(&self, reason: &str) {
        reason.clone_into(&mut self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.write();
    }
}

impl Shared {
    fn seconds(&self) -> f64 {
        self.before + self.since.elapsed().as_secs_f64()
    }

    fn write(&self) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Ok(json) = serde_json::to_vec(&Spent { seconds: self.seconds(), ended }) {
            // Whoever cannot write this cannot write what matters either, and that says so.
            let _ = write_volatile(&self.path, &json);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_adds_up_over_runners_and_the_reason_is_that_of_the_last() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Spent::read(folder.path()), Spent::default());
        std::fs::write(folder.path().join("budget.json"), br#"{"seconds": 3600.0, "ended": "earlier"}"#).unwrap();
        drop(Clock::start(folder.path()));
        let spent = Spent::read(folder.path());
        assert!(spent.seconds >= 3600.0 && spent.ended.is_empty(), "{spent:?}");
        let clock = Clock::start(folder.path());
        clock.end("enough");
        let seconds = clock.seconds();
        drop(clock);
        assert!(seconds >= spent.seconds);
        assert_eq!(Spent::read(folder.path()).ended, "enough");
    }
}
