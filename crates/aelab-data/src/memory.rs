//! How much memory one file may take: what is larger than the machine cannot be data for it.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// Where the machine does not say how much memory it has.
const UNKNOWN: u64 = 16 << 30;

static LIMIT: OnceLock<u64> = OnceLock::new();

/// The most bytes that one file, unpacked, may take: three quarters of the memory that this process can have.
pub(crate) fn limit() -> u64 {
    *LIMIT.get_or_init(|| {
        let text = |path: &str| fs::read_to_string(Path::new(path)).ok();
        of(text)
    })
}

/// Takes another limit for this process, where nothing has been read yet.
pub(crate) fn set_limit(bytes: u64) {
    let _ = LIMIT.set(bytes);
}

/// The least of what the machine, its container and the control group of this process (a job of Slurm) have.
fn of(text: impl Fn(&str) -> Option<String>) -> u64 {
    let machine = text("/proc/meminfo").and_then(|all| {
        let line = all.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().to_owned();
        line.strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    // One hierarchy: `0::/path`. Each group is limited by those above it, too.
    let group = text("/proc/self/cgroup").and_then(|all| all.lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned)));
    let groups = group.iter().flat_map(|path| Path::new(path).ancestors()).filter_map(Path::to_str).map(str::to_owned);
    let limits = groups
        .chain(["/".to_owned()])
        .filter_map(|path| text(&format!("/sys/fs/cgroup{}/memory.max", path.trim_end_matches('/')))?.trim().parse::<u64>().ok());
    limits.chain(machine).min().map_or(UNKNOWN, |bytes| bytes / 4 * 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)]) -> u64 {
        of(|path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn the_smallest_of_machine_container_and_job_counts() {
        let machine = ("/proc/meminfo", "MemTotal:       4194304 kB\nMemFree: 1 kB\n");
        let group = ("/proc/self/cgroup", "0::/slurm/job_7\n");
        assert_eq!(with(&[]), UNKNOWN);
        assert_eq!(with(&[machine]), 3 << 30);
        assert_eq!(with(&[machine, ("/sys/fs/cgroup/memory.max", "max\n")]), 3 << 30);
        assert_eq!(with(&[machine, ("/sys/fs/cgroup/memory.max", "4096\n")]), 3072);
        assert_eq!(
            with(&[machine, group, ("/sys/fs/cgroup/slurm/job_7/memory.max", "max"), ("/sys/fs/cgroup/slurm/memory.max", "8192")]),
            6144
        );
    }
}
