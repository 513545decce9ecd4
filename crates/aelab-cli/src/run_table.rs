//! The tables that `run` prints: as much of a summary as people read at once, what its signs mean, and where the rest is.

use std::collections::HashMap;

use aelab_eval::METRIC_GROUPS;
use aelab_experiment::SummaryFiles;
use aelab_report::{Cell, Direction, Spread, Table};

/// Configurations in the table.
const MOST_CONFIGURATIONS: usize = 40;
/// Rows of baselines.
const MOST_BASELINES: usize = 20;
/// Trials that have not finished.
const MOST_UNFINISHED: usize = 20;
/// Numbers in the table: the more rows, the fewer metrics.
const MOST_NUMBERS: usize = 160;
/// Metrics however many rows there are.
const FEWEST_METRICS: usize = 8;

/// The table of configurations with its notes.
pub(crate) fn results(files: &SummaryFiles, width: Option<u16>) -> String {
    let num_rows = files.summary.table(&files.shown).rows.len();
    let num_metrics = (MOST_NUMBERS / num_rows.clamp(1, MOST_CONFIGURATIONS + MOST_BASELINES)).max(FEWEST_METRICS);
    let metrics = most_telling(&files.shown, num_metrics);
    let mut table = files.summary.table(&metrics);
    let num_configurations = files.summary.configurations.len();
    let baselines: Vec<_> = table.rows.split_off(num_configurations);
    table.rows.truncate(MOST_CONFIGURATIONS);
    table.rows.extend(baselines.into_iter().take(MOST_BASELINES));

    let mut notes = legend(&table);
    let mut rest = Vec::new();
    if metrics.len() < files.shown.len() {
        rest.push(format!("{} of {} headline metrics", metrics.len(), files.shown.len()));
    }
    if num_configurations > MOST_CONFIGURATIONS {
        rest.push(format!("the first {MOST_CONFIGURATIONS} of {num_configurations} configurations"));
    }
    if !rest.is_empty() {
        notes.push(format!("shown: {}; {} has the others", rest.join(" and "), files.page.display()));
    }
    notes.push(format!("every metric: {}", files.table.display()));
    format!("{}\n{}", table.to_terminal(width), notes.join("\n"))
}

/// What `±` and the arrows mean, where there are any.
fn legend(table: &Table) -> Vec<String> {
    let has_deviation =
        table.rows.iter().flat_map(|row| &row.cells).any(|cell| matches!(cell, Cell::Spread(Spread { deviation: Some(_), .. })));
    let has = |direction: Direction| table.columns.iter().any(|column| column.direction == direction);
    let mut lines = Vec::new();
    if has_deviation {
        lines.push("mean ± standard deviation over seeds; aelab compare gives 95 % intervals instead".to_owned());
    }
    let mut parts = vec!["on the test split"];
    parts.extend(has(Direction::LowerIsBetter).then_some("↓ lower is better"));
    parts.extend(has(Direction::HigherIsBetter).then_some("↑ higher is better"));
    lines.push(parts.join(", "));
    lines
}

/// Trials that have not finished.
pub(crate) fn unfinished(files: &SummaryFiles, width: Option<u16>) -> String {
    let mut table = files.summary.unfinished_table();
    let more = table.rows.len().saturating_sub(MOST_UNFINISHED);
    table.rows.truncate(MOST_UNFINISHED);
    let text = table.to_terminal(width);
    if more > 0 { format!("{text}\nand {more} more that have not finished, in {}", files.page.display()) } else { text }
}

/// At most `most` of the metrics, in their order: the first of each task, then the second of each, and so on.
fn most_telling(metrics: &[String], most: usize) -> Vec<String> {
    let task = |name: &String| {
        let name = name.split('@').next().unwrap_or(name);
        METRIC_GROUPS.iter().position(|group| group.metrics.iter().any(|metric| metric.name == name))
    };
    let mut num_before: HashMap<Option<usize>, usize> = HashMap::new();
    let mut ranked: Vec<(usize, usize)> = Vec::new();
    for (position, name) in metrics.iter().enumerate() {
        let before = num_before.entry(task(name)).or_default();
        ranked.push((*before, position));
        *before += 1;
    }
    ranked.sort_unstable();
    let mut chosen: Vec<usize> = ranked.into_iter().take(most).map(|(_, position)| position).collect();
    chosen.sort_unstable();
    chosen.into_iter().map(|position| metrics[position].clone()).collect()
}

#[cfg(test)]
mod tests {
    use aelab_report::{Metric, TrialRow, summarize};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn files(num_configurations: u64, num_seeds: u64, metrics: &[&str]) -> SummaryFiles {
        let trial = |code_size: u64, seed: u64| TrialRow {
            trial: format!("{code_size}-{seed}"),
            state: if code_size == 0 { "failed" } else { "finished" }.into(),
            reason: String::new(),
            model: "vae".into(),
            hyperparameters: Vec::new(),
            seed,
            code_size: code_size as usize,
            num_parameters: 1,
            seconds: 1.0,
            metrics: metrics
                .iter()
                .map(|name| Metric {
                    name: (*name).into(),
                    value: Some(1.0 + seed as f64 / 8.0),
                    unit: String::new(),
                    direction: Direction::LowerIsBetter,
                })
                .collect(),
        };
        let trials: Vec<TrialRow> = (1..=num_configurations)
            .flat_map(|size| (0..num_seeds).map(move |seed| (size, seed)))
            .map(|(size, seed)| trial(size, seed))
            .collect();
        SummaryFiles {
            summary: summarize(trials.clone()),
            shown: names(metrics),
            page: "runs/x/summary.md".into(),
            table: "runs/x/summary.csv".into(),
            figures: Vec::new(),
            pictures: Vec::new(),
        }
    }

    #[test]
    fn the_table_says_what_its_deviations_are_and_only_where_it_has_some() {
        let text = results(&files(2, 3, &["sse"]), Some(100));
        assert!(
            text.contains("mean ± standard deviation over seeds; ") && text.contains("\non the test split, ↓ lower is better\n"),
            "{text}"
        );
        let text = results(&files(2, 1, &["sse"]), Some(100));
        assert!(!text.contains('±') && text.contains("every metric: runs/x/summary.csv"), "{text}");
    }

    #[test]
    fn every_task_has_a_metric_before_any_has_two() {
        let metrics = names(&["sse", "bce", "psnr", "denoised_psnr@gaussian_0.5", "denoised_psnr@masking_0.5", "auroc", "f1"]);
        assert_eq!(most_telling(&metrics, 3), ["sse", "denoised_psnr@gaussian_0.5", "auroc"]);
        assert_eq!(most_telling(&metrics, 5), ["sse", "bce", "denoised_psnr@gaussian_0.5", "denoised_psnr@masking_0.5", "auroc"]);
        assert_eq!(most_telling(&metrics, 9), metrics);
    }

    #[test]
    fn a_large_sweep_is_shown_in_part_and_the_rest_is_named() {
        let metrics =
            ["sse", "bce", "psnr", "ssim", "auroc", "f1", "average_precision", "frechet_distance", "sample_recall", "active_units"];
        let text = results(&files(1000, 1, &metrics), Some(200));
        assert!(
            text.contains("shown: 8 of 10 headline metrics and the first 40 of 1000 configurations; runs/x/summary.md has the others"),
            "{text}"
        );
        assert!(text.lines().count() < 150);
        let text = results(&files(3, 1, &metrics), Some(200));
        assert!(!text.contains("shown:"), "{text}");
    }
}
