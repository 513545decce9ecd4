//! `cancel`: asks those who work on a run to stop.

use std::time::Duration;

use aelab_experiment::{RunDir, cancel as cancel_run, slurm};

use crate::arguments::RunArguments;
use crate::terminal::{counted, print_line, print_note, print_warning};
use crate::{EXIT_BROKEN_OFF, EXIT_DONE};

/// Asks the processes of a run on this machine to write a checkpoint and end, and waits for them.
pub(crate) fn cancel(run: &RunArguments) -> anyhow::Result<u8> {
    let run_dir = RunDir::open(&run.run, &run.runs)?;
    let plan = run_dir.plan()?;
    // The time for a checkpoint, and some to begin with it and to end.
    let patience = Duration::from_secs(u64::from(plan.execution.grace_seconds.get()) + 20);
    let tasks = slurm::cancel(&run_dir)?;
    if tasks.num_waiting + tasks.num_running > 0 {
        let (waiting, running) = (counted(tasks.num_waiting, "task", "tasks"), counted(tasks.num_running, "task", "tasks"));
        print_note(&format!("Slurm was asked to end {waiting} that waited and {running} that ran, whose trials write a checkpoint"));
    }
    let cancelled = cancel_run(&run_dir, &plan, patience)?;
    for (pid, num) in &cancelled.asked {
        print_note(&format!("process {pid} with {} was asked to stop", counted(*num, "running trial", "running trials")));
    }
    for holder in &cancelled.elsewhere {
        print_warning(&format!("{holder} works on it, which cannot be asked from here: cancel it there"));
    }
    let name = &plan.name;
    if !cancelled.still_running.is_empty() {
        let trials = counted(cancelled.still_running.len(), "trial is", "trials are");
        print_line(&format!("{name}: {trials} still at work; ask again, or end the processes"));
        return Ok(EXIT_BROKEN_OFF);
    }
    let text = match cancelled.asked.is_empty() {
        false => "stopped",
        true if tasks.num_waiting + tasks.num_running > 0 => "cancelled",
        true => "nothing runs on this machine",
    };
    print_line(&format!("{name}: {text}; go on with: aelab resume {}", run_dir.root().display()));
    Ok(EXIT_DONE)
}
