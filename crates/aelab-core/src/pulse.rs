//! A sign of life, and the wish to stop: what a long computation and those who wait for it tell each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Shared between the thread that computes and the threads that watch it.
///
/// The one that computes calls [`Pulse::beat`] for every batch or so and looks whether it [should
/// stop](Pulse::should_stop); the ones that watch count beats and ask. What it cannot divide into batches it
/// [begins](Pulse::begin): they then go by the processor time that it takes.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: AtomicU64,
    phase: Mutex<&'static str>,
    is_steady: AtomicBool,
    stop: Arc<AtomicBool>,
    checkpoint: AtomicBool,
}

impl Pulse {
    /// Says that work goes on, and what it is: "training", "validation", ... From now on it beats steadily. A few dozen nanoseconds.
    pub fn beat(&self, phase: &'static str) {
        self.set(phase, true);
    }

    /// Says that something begins that may go on for long without a beat, and in which the process may end at any moment
    /// because nothing is lost but time: "loading data", "evaluation", ...
    pub fn begin(&self, phase: &'static str) {
        self.set(phase, false);
    }

    fn set(&self, phase: &'static str, is_steady: bool) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.is_steady.store(is_steady, Ordering::SeqCst);
        self.tick();
    }

    /// One more sign of life, whatever is being done.
    pub fn tick(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether what is being done beats steadily, so that silence means that it hangs.
    pub fn is_steady(&self) -> bool {
        self.is_steady.load(Ordering::SeqCst)
    }

    /// How often it has beaten.
    pub fn num_beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// What is being done.
    pub fn phase(&self) -> &'static str {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks to checkpoint and end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked to end.
    pub fn should_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// What [`Pulse::stop`] sets, for the handler of a signal.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Asks for a checkpoint at the next opportunity.
    pub fn request_checkpoint(&self) {
        self.checkpoint.store(true, Ordering::Relaxed);
    }

    /// Whether a checkpoint was asked for since the last look.
    pub fn take_checkpoint_request(&self) -> bool {
        // Most looks find nothing: a plain load is cheaper than an exchange.
        self.checkpoint.load(Ordering::Relaxed) && self.checkpoint.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_are_counted_and_wishes_are_passed_on_once() {
        let pulse = Pulse::default();
        pulse.beat("training");
        assert!(pulse.is_steady());
        pulse.begin("evaluation");
        pulse.tick();
        assert_eq!((pulse.num_beats(), pulse.phase(), pulse.should_stop(), pulse.is_steady()), (3, "evaluation", false, false));
        pulse.stop_flag().store(true, Ordering::SeqCst);
        assert!(pulse.should_stop());
        pulse.request_checkpoint();
        assert_eq!([pulse.take_checkpoint_request(), pulse.take_checkpoint_request()], [true, false]);
    }
}
