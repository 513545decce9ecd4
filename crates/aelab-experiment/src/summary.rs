//! Tables and figures over the trials of an experiment.
//!
//! ```text
//! runs/<name>/
//!   summary.csv    per configuration: mean and standard deviation over seeds
//!   trials.csv     per trial
//!   summary.md     the table, the figures, what did not finish
//!   figures/       error against each swept number, learning curves
//! ```

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use aelab_core::{Image, Split};
use aelab_eval::metric_info;
use aelab_files::write_atomic;
use aelab_report::{
    Curve, CurvePanel, Direction, FigureError, FigureLink, LearningCurves, Metric, MetricInfo, Summary, SummaryPage, TrialRow,
    baseline_readings, learning_curves, metric_against_hyperparameter, metric_figure, summarize, swept_hyperparameters, write_figure,
};
use serde_json::Value;

use crate::plan::{Plan, PlannedTrial};
use crate::result::{TrialResult, TrialState};
use crate::run_dir::{RunDir, RunDirError};

/// More figures of metrics against swept numbers than this are not looked at.
const MAX_METRIC_FIGURES: usize = 6;
/// More curves than this in one chart show nothing; the first ones are drawn.
const MAX_CURVES: usize = 40;

/// What the summary of a run wrote.
#[derive(Debug, Clone)]
pub struct SummaryFiles {
    /// The numbers.
    pub summary: Summary,
    /// Names of the metrics for people, as [`Summary::table`] takes them.
    pub shown: Vec<String>,
    /// `summary.md`.
    pub page: PathBuf,
    /// `summary.csv`.
    pub table: PathBuf,
    /// Figures of the run and of its best trials.
    pub figures: Vec<PathBuf>,
}

/// Why a summary could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// The run directory cannot be read.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// A figure cannot be drawn.
    #[error("cannot draw {}", path.display())]
    Figure {
        /// The figure.
        path: PathBuf,
        /// Why.
        source: FigureError,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// `read`, `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// One row per trial of the plan, in its order.
pub fn trial_rows(run_dir: &RunDir, plan: &Plan) -> Result<Vec<TrialRow>, RunDirError> {
    plan.trials
        .iter()
        .map(|trial| {
            let folder = run_dir.trial(&trial.hash);
            let state = folder.state()?;
            let result = folder.result()?.unwrap_or_else(|| TrialResult::without_metrics(state, None));
            Ok(trial_row(trial, state, result))
        })
        .collect()
}

fn trial_row(trial: &PlannedTrial, state: TrialState, result: TrialResult) -> TrialRow {
    let direction = |name: &str, direction: &str| match direction {
        // Losses of different models or weights are different quantities: none of them is the best.
        _ if name == "loss" => Direction::Neutral,
        "lower" => Direction::LowerIsBetter,
        "higher" => Direction::HigherIsBetter,
        _ => Direction::Neutral,
    };
    TrialRow {
        trial: trial.hash.clone(),
        state: state.name().to_owned(),
        reason: result.error.as_deref().and_then(|error| error.lines().next()).unwrap_or_default().to_owned(),
        model: trial.model.clone(),
        // The model has a column of its own.
        hyperparameters: trial.overrides.iter().filter(|(path, _)| path != "model").cloned().collect(),
        seed: trial.seed,
        code_size: trial.code_size,
        num_parameters: result.num_parameters,
        seconds: result.seconds,
        metrics: result
            .metrics
            .into_iter()
            .map(|metric| Metric {
                direction: direction(&metric.name, &metric.direction),
                name: metric.name,
                value: Some(metric.value),
                unit: metric.unit,
            })
            .collect(),
    }
}

/// Collects the results of a run and writes its tables and figures. Trials that have not ended are rows without values.
pub fn write_summary(run_dir: &RunDir, plan: &Plan) -> Result<SummaryFiles, SummaryError> {
    let rows = trial_rows(run_dir, plan)?;
    let summary = summarize(&rows);
    let root = run_dir.root();
    let folder = root.join("figures");
    fs::create_dir_all(&folder).map_err(|source| SummaryError::Io { what: "write", path: folder.clone(), source })?;

    let mut links: Vec<FigureLink> = Vec::new();
    let mut draw = |name: String, caption: String, image: Result<Image, FigureError>| {
        let path = folder.join(&name);
        let image = image.map_err(|source| SummaryError::Figure { path: path.clone(), source })?;
        write_figure(&path, &image).map_err(|source| SummaryError::Io { what: "write", path, source })?;
        links.push(FigureLink { caption, path: format!("figures/{name}") });
        Ok::<(), SummaryError>(())
    };
    for (metric, hyperparameter) in drawn_metrics(&summary) {
        if let Some(figure) = metric_figure(&summary, &metric, &hyperparameter) {
            let name = format!("{}-against-{}.png", file_name(&metric), file_name(&hyperparameter));
            draw(name, figure.title.clone(), metric_against_hyperparameter(&figure))?;
        }
    }
    if let Some(figure) = learning_curves_of(run_dir, plan)? {
        draw("learning-curves.png".to_owned(), "Learning curves".to_owned(), learning_curves(&figure))?;
    }
    links.extend(best_trial_figures(run_dir, plan, &rows));

    // All metrics are in the CSV; people see those that say most.
    let is_headline = |name: &str| metric_info(name).is_headline;
    let shown: Vec<String> = summary.metrics.iter().map(|info| info.name.clone()).filter(|name| is_headline(name)).collect();
    let page = SummaryPage { title: &plan.name, summary: &summary, metrics: &shown, figures: &links };
    let write = |name: &str, text: String| {
        let path = root.join(name);
        write_atomic(&path, text.as_bytes()).map_err(|source| SummaryError::Io { what: "write", path: path.clone(), source })?;
        Ok::<PathBuf, SummaryError>(path)
    };
    let table = write("summary.csv", summary.csv_table().to_csv())?;
    write("trials.csv", summary.trials_table().to_csv())?;
    let page = write("summary.md", page.to_markdown())?;
    let figures = links.iter().map(|link| root.join(&link.path)).collect();
    Ok(SummaryFiles { summary, shown, page, table, figures })
}

/// Which metric is drawn against which swept number: every headline metric that has a direction, in the order of measurement.
fn drawn_metrics(summary: &Summary) -> Vec<(String, String)> {
    let hyperparameters = swept_hyperparameters(summary);
    let is_known = |name: &str| summary.metrics.iter().any(|info| info.name == name);
    let is_baseline = |name: &str| baseline_readings(name).any(|(_, of)| is_known(of));
    let is_drawn =
        |info: &&MetricInfo| info.direction != Direction::Neutral && metric_info(&info.name).is_headline && !is_baseline(&info.name);
    let metrics = summary.metrics.iter().filter(is_drawn);
    let pairs = metrics.flat_map(|info| hyperparameters.iter().map(|hyperparameter| (info.name.clone(), hyperparameter.clone())));
    pairs.take(MAX_METRIC_FIGURES).collect()
}

fn file_name(text: &str) -> String {
    text.chars().map(|character| if character.is_ascii_alphanumeric() || "-_.".contains(character) { character } else { '-' }).collect()
}

/// Pictures per model that the summary links.
const MAX_PICTURES: usize = 12;
/// Pictures that stand first, and what they show.
const CAPTIONS: [(&str, &str); 4] = [
    ("reconstruction", "test images and their reconstructions"),
    ("series", "test series and their reconstructions"),
    ("samples", "samples from the prior"),
    ("codes", "codes of test examples"),
];

/// For each model and kind of picture, that of the trial with the lowest squared error among those that have it.
fn best_trial_figures(run_dir: &RunDir, plan: &Plan, rows: &[TrialRow]) -> Vec<FigureLink> {
    let error =
        |row: &TrialRow| row.metrics.iter().find(|metric| metric.name == "sse").and_then(|metric| metric.value).unwrap_or(f64::INFINITY);
    let mut models: Vec<&str> = Vec::new();
    for row in rows {
        if !models.contains(&row.model.as_str()) {
            models.push(&row.model);
        }
    }
    let folder = |trial: &PlannedTrial| format!("trials/{}/figures", trial.hash);
    let mut links = Vec::new();
    for model in models {
        let trials: Vec<(&TrialRow, &PlannedTrial, Vec<String>)> = rows
            .iter()
            .zip(&plan.trials)
            .filter(|(row, _)| row.model == model)
            .map(|(row, trial)| (row, trial, pictures_in(&run_dir.root().join(folder(trial)))))
            .collect();
        let mut kinds: Vec<&String> = trials.iter().flat_map(|(.., pictures)| pictures).collect();
        kinds.sort_by_key(|name| (CAPTIONS.iter().position(|(known, _)| known == name).unwrap_or(CAPTIONS.len()), *name));
        kinds.dedup();
        for kind in kinds.into_iter().take(MAX_PICTURES) {
            let drawn = trials.iter().filter(|(.., pictures)| pictures.contains(kind));
            if let Some((_, trial, _)) = drawn.min_by(|(left, ..), (right, ..)| error(left).total_cmp(&error(right))) {
                let what =
                    CAPTIONS.iter().find(|(known, _)| known == kind).map_or_else(|| kind.replace('_', " "), |(_, what)| (*what).to_owned());
                links.push(FigureLink { caption: format!("{}: {what}", plan.label(trial)), path: format!("{}/{kind}.png", folder(trial)) });
            }
        }
    }
    links
}

/// Names of the PNG files in a folder, without their extension; none where there is no folder.
fn pictures_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".png")?.to_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect()
}

/// The loss over epochs, one chart per model: losses of different models are different quantities.
fn learning_curves_of(run_dir: &RunDir, plan: &Plan) -> Result<Option<LearningCurves>, SummaryError> {
    let mut panels: Vec<CurvePanel> = Vec::new();
    for trial in &plan.trials {
        let path = run_dir.trial(&trial.hash).metrics_path();
        if !path.is_file() {
            continue;
        }
        let y_label = format!("loss of {} (per example)", trial.model);
        let panel = match panels.iter().position(|panel| panel.y_label == y_label) {
            Some(position) => position,
            None => {
                panels.push(CurvePanel { y_label, curves: Vec::new() });
                panels.len() - 1
            }
        };
        let curves = &mut panels[panel].curves;
        if curves.len() >= MAX_CURVES {
            continue;
        }
        let name = configuration_label(plan, trial);
        for (split_name, split) in [("train", Split::Train), ("valid", Split::Valid)] {
            let points = read_loss(&path, split_name).map_err(|source| SummaryError::Io { what: "read", path: path.clone(), source })?;
            if !points.is_empty() {
                curves.push(Curve { name: name.clone(), split, points });
            }
        }
    }
    panels.retain(|panel| !panel.curves.is_empty());
    let subtitle = "dashed: training, solid: validation".to_owned();
    Ok((!panels.is_empty()).then(|| LearningCurves { title: format!("{}: learning curves", plan.name), subtitle, panels }))
}

/// What sets the configuration of a trial apart, its seed left out.
fn configuration_label(plan: &Plan, trial: &PlannedTrial) -> String {
    let label = plan.label(trial);
    let parts: Vec<&str> = label.split(' ').filter(|part| !part.starts_with("seed=") && !part.starts_with("model=")).collect();
    if parts.is_empty() { trial.model.clone() } else { parts.join(" ") }
}

/// Epoch and value of the loss on a split in `metrics.jsonl`: `train/loss`, or that of the last stage, `train/fine_tune/loss`, where
/// training has more than one. The losses of two stages are different quantities.
fn read_loss(path: &Path, split: &str) -> io::Result<Vec<(f64, f64)>> {
    let (mut stage, mut points) = (String::new(), Vec::new());
    for line in BufReader::new(File::open(path)?).lines() {
        // A trial that runs may be writing its last line.
        let Ok(line) = serde_json::from_str::<Value>(&line?) else { continue };
        let loss_of_stage = |(tag, value)| {
            let of_stage: &str = str::strip_suffix(str::strip_prefix(tag, split)?.strip_prefix('/')?, "loss")?;
            (of_stage.is_empty() || of_stage.ends_with('/')).then(|| (of_stage.to_owned(), value))
        };
        let found = line.as_object().into_iter().flatten().map(|(tag, value)| (tag.as_str(), value)).find_map(loss_of_stage);
        if let (Some(epoch), Some((of_stage, value))) = (line.get("epoch").and_then(Value::as_f64), found) {
            if of_stage != stage {
                stage = of_stage;
                points.clear();
            }
            points.push((epoch, value.as_f64().unwrap_or(f64::NAN)));
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headline_metrics_with_a_direction_are_drawn_in_six_figures_at_most() {
        let metric = |name: &str, direction| Metric { name: name.into(), value: Some(1.0), unit: String::new(), direction };
        let trial = |code_size: usize, batch_size: u64| TrialRow {
            trial: String::new(),
            state: "finished".into(),
            reason: String::new(),
            model: "vae".into(),
            hyperparameters: vec![("train.batch_size".into(), batch_size.into())],
            seed: 1,
            code_size,
            num_parameters: 1,
            seconds: 1.0,
            metrics: vec![
                metric("mse", Direction::LowerIsBetter),
                metric("sse", Direction::LowerIsBetter),
                metric("kl", Direction::Neutral),
                metric("pca_sse", Direction::LowerIsBetter),
                metric("psnr", Direction::HigherIsBetter),
                metric("ssim", Direction::HigherIsBetter),
                metric("bce", Direction::LowerIsBetter),
            ],
        };
        let drawn = drawn_metrics(&summarize(&[trial(2, 32), trial(8, 64)]));
        let names: Vec<String> = drawn.iter().map(|(metric, hyperparameter)| format!("{metric} {hyperparameter}")).collect();
        let expected = ["sse", "psnr", "ssim"].map(|metric| [format!("{metric} code_size"), format!("{metric} train.batch_size")]);
        assert_eq!(names, expected.concat());
        let one = drawn_metrics(&summarize(&[trial(2, 32), trial(8, 32)]));
        assert_eq!(one.len(), 4, "one swept number, four metrics");
        assert!(drawn_metrics(&summarize(&[trial(2, 32)])).is_empty(), "nothing is swept");
    }

    #[test]
    fn the_loss_of_the_last_stage_is_drawn_and_no_term_that_ends_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let lines = [
            r#"{"step": 1, "epoch": 0.5, "train_step/pretrain_1/loss": 9.0}"#,
            r#"{"step": 2, "epoch": 1.0, "train/pretrain_1/loss": 8.0}"#,
            r#"{"step": 4, "epoch": 1.0, "train/fine_tune/critic_loss": 7.0, "train/fine_tune/loss": 3.0}"#,
            r#"{"step": 4, "epoch": 1.0, "valid/fine_tune/loss": 4.0}"#,
            r#"{"step": 6, "epoch": 2.0, "train/fine_tune/critic_loss": 6.0, "train/fine_tune/loss": 2.0}"#,
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        assert_eq!(read_loss(&path, "train").unwrap(), [(1.0, 3.0), (2.0, 2.0)]);
        assert_eq!(read_loss(&path, "valid").unwrap(), [(1.0, 4.0)]);
        std::fs::write(&path, "{\"epoch\": 1.0, \"train/loss\": 0.5}\n{\"epoch\"").unwrap();
        assert_eq!(read_loss(&path, "train").unwrap(), [(1.0, 0.5)]);
    }
}
