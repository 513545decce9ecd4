//! How much processor time this process has taken: whether it works at something that says nothing meanwhile.

use std::fs;
use std::time::Duration;

/// What Linux counts processor time in for its readers, per second.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of all threads of this process but the calling one, to about 10 milliseconds; `None` where the system does not say.
pub(crate) fn of_other_threads() -> Option<Duration> {
    // `PID (NAME) STATE ...`: the name may hold anything, a parenthesis too.
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks = |field: usize| text.rsplit_once(')')?.1.split_whitespace().nth(field - 3)?.parse::<u64>().ok();
    let all = Duration::from_millis((ticks(14)? + ticks(15)?) * 1000 / TICKS_PER_SECOND);
    let own = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let own = own.and_then(|text| text.split_whitespace().next()?.parse().ok()).map_or(Duration::ZERO, Duration::from_nanos);
    Some(all.saturating_sub(own))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_other_threads_counts_also_when_they_have_ended() {
        let before = of_other_threads().unwrap();
        let worker = std::thread::spawn(|| {
            let own =
                || fs::read_to_string("/proc/thread-self/schedstat").unwrap().split_whitespace().next().unwrap().parse::<u64>().unwrap();
            let (began, mut sum) = (own(), 0_u64);
            while own() < began + 200_000_000_u64 {
                sum = std::hint::black_box(sum.wrapping_add(1));
            }
        });
        worker.join().unwrap();
        assert!(of_other_threads().unwrap() >= before + Duration::from_millis(150));
    }
}
