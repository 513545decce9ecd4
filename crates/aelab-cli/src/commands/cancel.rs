//! `cancel`: ends what a run has with Slurm.

use std::path::Path;

use aelab_experiment::{RunDir, slurm};

use crate::EXIT_DONE;
use crate::terminal::print_line;

/// Cancels the tasks of a run and says how many there were.
pub(crate) fn cancel(run: &Path, runs: &Path) -> anyhow::Result<u8> {
    let run_dir = RunDir::open(run, runs)?;
    let cancelled = slurm::cancel(&run_dir)?;
    print_line(&match (cancelled.num_waiting, cancelled.num_running) {
        (0, 0) => "nothing to cancel: Slurm has no task of this run".to_owned(),
        (waiting, running) => format!(
            "cancelled {} that waited and {} that ran, whose trials write a checkpoint; go on with: aelab resume {}",
            tasks(waiting),
            tasks(running),
            run_dir.root().display()
        ),
    });
    Ok(EXIT_DONE)
}

fn tasks(num: usize) -> String {
    format!("{num} task{}", if num == 1 { "" } else { "s" })
}
