//! `prune`: frees the disk of checkpoints that nobody will use.

use aelab_experiment::{PruneReport, PruneRequest, RunDir, prune as prune_run};
use serde_json::json;

use crate::EXIT_DONE;
use crate::arguments::RunArguments;
use crate::terminal::{byte_size, counted, print_line, print_warning, significant};

/// Trials that are named one by one.
const MOST_NAMED: usize = 10;

/// Removes the checkpoints of all but the best trials.
pub(crate) fn prune(run: &RunArguments, request: &PruneRequest, json: bool) -> anyhow::Result<u8> {
    let run_dir = RunDir::open(&run.run, &run.runs)?;
    let plan = run_dir.plan()?;
    let report = prune_run(&run_dir, &plan, request)?;
    if json {
        let trial = |index: usize| json!({"trial": index + 1, "hash": plan.trials[index].hash});
        let kept: Vec<_> = report.kept.iter().map(|(index, value)| json!({"trial": trial(*index), "value": value})).collect();
        let pruned: Vec<_> = report.pruned.iter().map(|(index, bytes)| json!({"trial": trial(*index), "bytes": bytes})).collect();
        let busy: Vec<_> = report.busy.iter().map(|index| trial(*index)).collect();
        let value = json!({
            "metric": request.metric, "dry_run": request.dry_run, "bytes": report.bytes(), "kept": kept, "pruned": pruned, "busy": busy,
            "num_without": report.num_without, "num_unfinished": report.num_unfinished,
        });
        print_line(&serde_json::to_string_pretty(&value)?);
        return Ok(EXIT_DONE);
    }
    for line in lines(&report, request, &plan.labels()) {
        print_line(&line);
    }
    for index in &report.busy {
        print_warning(&format!("trial {} is in the hands of another process and was left alone", index + 1));
    }
    Ok(EXIT_DONE)
}

fn lines(report: &PruneReport, request: &PruneRequest, labels: &[String]) -> Vec<String> {
    let mut lines =
        vec![format!("the best {} by {} keep their checkpoints:", counted(report.kept.len(), "trial", "trials"), request.metric)];
    for (index, value) in report.kept.iter().take(MOST_NAMED) {
        lines.push(format!("  {:>5}  {}  {} {}", index + 1, labels[*index], request.metric, significant(*value)));
    }
    if report.kept.len() > MOST_NAMED {
        lines.push(format!("  and {} more", report.kept.len() - MOST_NAMED));
    }
    let verb = if request.dry_run { "would free" } else { "freed" };
    lines.push(format!("{verb} {} of {}", byte_size(report.bytes()), counted(report.pruned.len(), "trial", "trials")));
    if report.num_unfinished > 0 {
        let trials = counted(report.num_unfinished, "trial that has not finished keeps its", "trials that have not finished keep their");
        lines.push(format!("{trials} checkpoints"));
    }
    if report.num_without > 0 {
        lines.push(format!("{} had none any more", counted(report.num_without, "trial", "trials")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_and_freed_is_said() {
        let report = PruneReport {
            kept: vec![(1, 0.5)],
            pruned: vec![(0, 1_500_000), (2, 500_000)],
            num_without: 0,
            num_unfinished: 1,
            busy: Vec::new(),
        };
        let labels = ["beta=1", "beta=2", "beta=3"].map(str::to_owned);
        let request = PruneRequest { keep: 1, metric: "sse".into(), dry_run: false };
        let text = lines(&report, &request, &labels).join("\n");
        let expected = "the best 1 trial by sse keep their checkpoints:\n      2  beta=2  sse 0.5000\nfreed 2.0 MB of 2 trials\n\
                        1 trial that has not finished keeps its checkpoints";
        assert_eq!(text, expected);
        assert!(lines(&report, &PruneRequest { dry_run: true, ..request }, &labels).join("\n").contains("would free 2.0 MB"));
    }
}
