//! Threads that share out the work of a kernel.
//!
//! A training step is a chain of sections of some ten to hundred microseconds. The thread that trains takes part in each;
//! its helpers wait for the next one in a short loop and sleep only when none comes, so that a section costs about a
//! microsecond, where waking a sleeping pool costs many.
//!
//! # Why no helper meets another section's work, and none is waited for in vain
//! 1. **One owner.** Whoever turns `busy` from false to true (acquire) owns the team until it sets it back (release). All others, and
//!    tasks that open sections of their own, do without helpers.
//! 2. **Writes come while nobody is in.** The owner before has taken the limit out of `word` and has then seen the count at 0. A
//!    helper enters only by an exchange of a word whose count is below its limit, so from then on none does until the next
//!    owner stores a word with a limit, after `section` and `next`. An exchange that was prepared before fails, because the word is
//!    another; were it the same again, after 2^32 sections, the helper would enter the present section, as any other may.
//! 3. **Who is in sees the section.** That store releases what was written before it, and each later change of the word up to the next
//!    store is a read-modify-write, which hands on what it has read: the exchange (acquire) of any helper comes after the
//!    writes of the owner.
//! 4. **The owner sees what was done.** A helper counts itself off with a release after its last task. The owner leaves when it has read
//!    (acquire) a count of 0, which the last of these has written, and which hands on those before it.
//! 5. **Nobody sleeps through a section.** A helper announces its sleep, then looks at the word; the owner stores the word, then looks for
//!    announcements: all four sequentially consistent, so that one of the two sees the other. The helper holds `sleep` from before its
//!    announcement until it sleeps, and the owner takes `sleep` before it wakes: it does not wake between look and sleep.
//! 6. **Panics.** A helper's is caught, so that it always counts itself off; the tasks left are done by the others, and the owner raises
//!    the first. The owner's own unwinds through `Close`, which waits as a return does.
//!
//! How many threads take part is asked of rayon at each section: as many as it has, or as the pool has that the section is in.
//! Helpers never go away. In the child of a fork there are none, and the owner does all tasks itself. A task may use rayon: of its
//! threads only the owner waits without doing its work, and a section has no helpers unless rayon has another thread.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Looks at the word for new work before a helper goes to sleep, about a tenth of a millisecond.
const NUM_LOOKS: u32 = 1 << 12;

/// A section: its work, which is given numbers below `num_tasks`.
#[derive(Clone, Copy)]
struct Section {
    work: *const (dyn Fn(usize) + Sync + 'static),
    num_tasks: usize,
}

struct Team {
    /// Number of the section (upper 32 bits), how many helpers may work on it (16 bits), how many do (lower 16 bits).
    word: AtomicU64,
    /// Written by the thread that holds `busy`, while no helper may work; read by helpers that are counted in `word`.
    section: UnsafeCell<Option<Section>>,
    /// The next task that nobody has taken.
    next: AtomicUsize,
    /// Whether a section is under way.
    busy: AtomicBool,
    num_helpers: AtomicUsize,
    num_asleep: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    /// The first panic of a helper in this section.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: everything but `section` is made for sharing. `section` is written only by the one thread that has set `busy`, after it
// has seen that no helper is counted and none may join; it is read only by helpers counted in `word`, whose count was taken
// by a compare-and-swap that follows the write (release, acquire).
unsafe impl Sync for Team {}

static TEAM: Team = Team {
    word: AtomicU64::new(0),
    section: UnsafeCell::new(None),
    next: AtomicUsize::new(0),
    busy: AtomicBool::new(false),
    num_helpers: AtomicUsize::new(0),
    num_asleep: AtomicUsize::new(0),
    sleep: Mutex::new(()),
    wake: Condvar::new(),
    panic: Mutex::new(None),
};

const COUNT: u64 = 0xffff;

fn section_of(word: u64) -> u64 {
    word >> 32
}

fn limit_of(word: u64) -> u64 {
    word >> 16 & COUNT
}

fn count_of(word: u64) -> u64 {
    word & COUNT
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Team {
    /// Waits until a section other than number `last` can be joined.
    fn wait(&self, last: u64) -> u64 {
        let open = |word: u64| section_of(word) != last && count_of(word) < limit_of(word);
        for _ in 0..NUM_LOOKS {
            let word = self.word.load(Ordering::Acquire);
            if open(word) {
                return word;
            }
            std::hint::spin_loop();
        }
        let mut guard = lock(&self.sleep);
        // Announced before the look, and `run` looks for sleepers after it has opened its section: one of the two sees the other.
        self.num_asleep.fetch_add(1, Ordering::SeqCst);
        let word = loop {
            let word = self.word.load(Ordering::SeqCst);
            if open(word) {
                break word;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.num_asleep.fetch_sub(1, Ordering::SeqCst);
        word
    }

    /// What a helper does all its life.
    fn help(&self) {
        let mut last = u64::from(u32::MAX);
        loop {
            let word = self.wait(last);
            if self.word.compare_exchange(word, word + 1, Ordering::AcqRel, Ordering::Acquire).is_err() {
                continue;
            }
            last = section_of(word);
            // SAFETY: this helper is counted, so `section` was written before and is not written again until it is counted off.
            let section = unsafe { *self.section.get() };
            if let Some(Section { work, num_tasks }) = section {
                // SAFETY: `run` does not return, nor unwind, before this helper is counted off: what it was lent still lives.
                let work = unsafe { &*work };
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.take_tasks(work, num_tasks))) {
                    let mut first = lock(&self.panic);
                    if first.is_none() {
                        *first = Some(panic);
                    } else {
                        // Its destructor could panic, and this helper would never be counted off.
                        std::mem::forget(panic);
                    }
                }
            }
            self.word.fetch_sub(1, Ordering::Release);
        }
    }

    fn take_tasks(&self, work: &(dyn Fn(usize) + Sync), num_tasks: usize) {
        loop {
            let task = self.next.fetch_add(1, Ordering::Relaxed);
            if task >= num_tasks {
                return;
            }
            work(task);
        }
    }

    /// Starts helpers until there are as many; fewer where the system gives none.
    fn hire(&'static self, num: usize) {
        while self.num_helpers.load(Ordering::Relaxed) < num {
            let builder = std::thread::Builder::new().name("kernels".to_owned());
            if builder.spawn(|| TEAM.help()).is_err() {
                return;
            }
            self.num_helpers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Closes a section and waits for the helpers in it, on return and on unwinding.
struct Close;

impl Drop for Close {
    fn drop(&mut self) {
        wait_for_helpers();
        TEAM.busy.store(false, Ordering::Release);
    }
}

/// Calls `work` with every number below `num_tasks`, once each, in no order: on this thread and on as many others as the
/// process has for such work. Where the others are at work already, and within a task, on this thread alone.
pub(crate) fn run(num_tasks: usize, work: &(dyn Fn(usize) + Sync)) {
    let num_helpers = rayon::current_num_threads().min(num_tasks).saturating_sub(1).min(COUNT as usize - 1);
    if num_helpers == 0 || TEAM.busy.swap(true, Ordering::Acquire) {
        return (0..num_tasks).for_each(work);
    }
    let close = Close;
    // Left over where the last section's own thread panicked as well. Not dropped: its destructor could panic here.
    std::mem::forget(lock(&TEAM.panic).take());
    TEAM.hire(num_helpers);
    // SAFETY: only the lifetime is changed; `Close` keeps this call from ending while a helper may use `work`.
    let lent = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(work) };
    // SAFETY: this thread has set `busy`, and whoever had it before has waited until no helper was counted and none may join.
    unsafe { *TEAM.section.get() = Some(Section { work: lent, num_tasks }) };
    TEAM.next.store(0, Ordering::Relaxed);
    let number = (section_of(TEAM.word.load(Ordering::Relaxed)) + 1) % u64::from(u32::MAX);
    TEAM.word.store(number << 32 | (num_helpers as u64) << 16, Ordering::SeqCst);
    if TEAM.num_asleep.load(Ordering::SeqCst) > 0 {
        drop(lock(&TEAM.sleep));
        TEAM.wake.notify_all();
    }
    TEAM.take_tasks(work, num_tasks);
    // Taken while the team is still this section's: the helpers are waited for first.
    wait_for_helpers();
    let panic = lock(&TEAM.panic).take();
    drop(close);
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

fn wait_for_helpers() {
    TEAM.word.fetch_and(!(COUNT << 16), Ordering::AcqRel);
    let mut looks = 0;
    while count_of(TEAM.word.load(Ordering::Acquire)) > 0 {
        looks += 1;
        if looks < NUM_LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once_whoever_asks() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for num in (0..200).chain([5000]) {
                        let done: Vec<AtomicUsize> = (0..num).map(|_| AtomicUsize::new(0)).collect();
                        run(num, &|task| {
                            done[task].fetch_add(1, Ordering::Relaxed);
                        });
                        assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_leaves_the_team_whole() {
        for _ in 0..50 {
            let caught = catch_unwind(|| run(64, &|task| assert!(task != 40, "task 40")));
            assert!(caught.is_err());
            let sum = AtomicUsize::new(0);
            run(64, &|task| {
                sum.fetch_add(task, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 2016);
        }
    }

    /// Does `work` where sections have helpers, however few cores there are.
    fn with_helpers<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(6).build().unwrap().install(work)
    }

    #[test]
    fn sections_of_many_threads_with_nested_ones_and_panics_among_them_do_each_task_once() {
        std::thread::scope(|scope| {
            for seed in 0..4_usize {
                scope.spawn(move || {
                    with_helpers(|| {
                        for round in 0..500 {
                            let num = (round * 7 + seed * 5) % 40;
                            let bad = (round * 13 + seed) % 60;
                            let done: Vec<AtomicUsize> = (0..num).map(|_| AtomicUsize::new(0)).collect();
                            let nested = AtomicUsize::new(0);
                            let outcome = catch_unwind(AssertUnwindSafe(|| {
                                run(num, &|task| {
                                    done[task].fetch_add(1, Ordering::Relaxed);
                                    run(3, &|_| _ = nested.fetch_add(1, Ordering::Relaxed));
                                    // Without the hook, which would print.
                                    if task == bad {
                                        resume_unwind(Box::new(task));
                                    }
                                });
                            }));
                            let counts: Vec<usize> = done.iter().map(|count| count.load(Ordering::Relaxed)).collect();
                            match outcome {
                                Ok(()) => {
                                    assert!(bad >= num && counts.iter().all(|count| *count == 1), "{counts:?}");
                                    assert_eq!(nested.into_inner(), 3 * num);
                                }
                                Err(panic) => {
                                    assert_eq!(panic.downcast_ref(), Some(&bad), "the panic is this section's own");
                                    assert!(counts.iter().all(|count| *count <= 1), "{counts:?}");
                                }
                            }
                            if round % 100 == 0 {
                                // Long enough for helpers to go to sleep.
                                std::thread::sleep(std::time::Duration::from_millis(1));
                            }
                        }
                    });
                });
            }
        });
    }

    #[test]
    fn panics_of_several_helpers_whose_payloads_panic_when_dropped_leave_the_team_whole() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                if !std::thread::panicking() {
                    resume_unwind(Box::new("dropped"));
                }
            }
        }
        with_helpers(|| {
            for _ in 0..50 {
                let caught = catch_unwind(|| {
                    run(6, &|_| {
                        std::thread::sleep(std::time::Duration::from_micros(200));
                        resume_unwind(Box::new(Bomb));
                    });
                });
                assert!(caught.is_err());
                std::mem::forget(caught);
                let sum = AtomicUsize::new(0);
                run(64, &|task| _ = sum.fetch_add(task, Ordering::Relaxed));
                assert_eq!(sum.into_inner(), 2016);
            }
        });
    }

    #[test]
    fn a_task_may_use_rayon() {
        use rayon::prelude::*;
        with_helpers(|| {
            for _ in 0..50 {
                let sum = AtomicUsize::new(0);
                run(12, &|task| _ = sum.fetch_add((0..100).into_par_iter().map(|number| number * task).sum(), Ordering::Relaxed));
                assert_eq!(sum.into_inner(), 4950 * 66);
            }
        });
    }

    #[test]
    fn a_section_within_a_task_is_done_on_its_thread() {
        let sum = AtomicUsize::new(0);
        run(8, &|_| {
            run(8, &|task| {
                sum.fetch_add(task, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 8 * 28);
    }
}
