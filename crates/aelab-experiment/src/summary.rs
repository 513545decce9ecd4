//! Tables and figures over the trials of an experiment.
//!
//! ```text
//! runs/<name>/
//!   summary.csv    per configuration: mean and standard deviation over seeds
//!   trials.csv     per trial
//!   summary.md     the table, the figures, what did not finish
//!   figures/       error against each swept number, learning curves
//! ```

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use aelab_core::{Image, Split};
use aelab_eval::metric_info;
use aelab_files::{bounded_lines, write_atomic};
use aelab_report::{
    Curve, CurvePanel, Direction, FigureError, FigureGroup, FigureLink, LearningCurves, Metric, MetricInfo, Summary, SummaryPage, TrialRow,
    baseline_readings, learning_curves, metric_against_hyperparameter, metric_figure, summarize, swept_hyperparameters, write_figure,
};
use serde_json::Value;

use crate::plan::{Plan, PlannedTrial};
use crate::reading::{TrialReading, read_trials};
use crate::result::{DrawnPicture, TrialResult, TrialState};
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
    /// Figures of the run.
    pub figures: Vec<PathBuf>,
    /// For each model the trial whose pictures the page shows.
    pub pictures: Vec<TrialPictures>,
}

/// Pictures of a trial that stands for all of its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialPictures {
    /// What sets the trial apart.
    pub label: String,
    /// Their folder.
    pub folder: PathBuf,
    /// How many the folder holds.
    pub num: usize,
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

pub(crate) fn trial_row(trial: &PlannedTrial, state: TrialState, result: TrialResult) -> TrialRow {
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
    write_summary_of(run_dir, plan, read_trials(run_dir, plan)?)
}

/// The same from trials that have been read, in the order of the plan.
pub fn write_summary_of(run_dir: &RunDir, plan: &Plan, trials: Vec<TrialReading>) -> Result<SummaryFiles, SummaryError> {
    let (rows, pictures): (Vec<TrialRow>, Vec<Vec<DrawnPicture>>) = trials.into_iter().map(|trial| (trial.row, trial.pictures)).unzip();
    let labels = plan.labels();
    let summary = summarize(rows);
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
    if let Some(figure) = learning_curves_of(run_dir, plan, &labels)? {
        draw("learning-curves.png".to_owned(), "Learning curves".to_owned(), learning_curves(&figure))?;
    }
    let figures = links.iter().map(|link| root.join(&link.path)).collect();
    let of_run = FigureGroup { section: "Figures".to_owned(), introduction: String::new(), heading: String::new(), figures: links };
    let Gallery { mut groups, folders, shown: of_trials } = gallery(plan, &summary.trials, &labels, &pictures);
    if !of_run.figures.is_empty() {
        groups.insert(0, of_run);
    }

    // All metrics are in the CSV; people see those that say most, and baselines as rows.
    let is_shown = |name: &str| metric_info(name).is_headline && !stands_beside(&summary, name);
    let shown: Vec<String> = summary.metrics.iter().map(|info| info.name.clone()).filter(|name| is_shown(name)).collect();
    let page = SummaryPage { title: &plan.name, summary: &summary, metrics: &shown, figures: &groups, folders: &folders };
    let write = |name: &str, text: String| {
        let path = root.join(name);
        write_atomic(&path, text.as_bytes()).map_err(|source| SummaryError::Io { what: "write", path: path.clone(), source })?;
        Ok::<PathBuf, SummaryError>(path)
    };
    let table = write("summary.csv", summary.csv_table().to_csv())?;
    write("trials.csv", summary.trials_table().to_csv())?;
    let page = write("summary.md", page.to_markdown())?;
    let pictures = of_trials
        .into_iter()
        .map(|index| TrialPictures {
            label: labels[index].clone(),
            folder: root.join(figures_of(&plan.trials[index])),
            num: pictures[index].len(),
        })
        .collect();
    Ok(SummaryFiles { summary, shown, page, table, figures, pictures })
}

/// Which metric is drawn against which swept number: every headline metric that has a direction, in the order of measurement.
fn drawn_metrics(summary: &Summary) -> Vec<(String, String)> {
    let hyperparameters = swept_hyperparameters(summary);
    let is_drawn = |info: &&MetricInfo| {
        info.direction != Direction::Neutral && metric_info(&info.name).is_headline && !stands_beside(summary, &info.name)
    };
    let metrics = summary.metrics.iter().filter(is_drawn);
    let pairs = metrics.flat_map(|info| hyperparameters.iter().map(|hyperparameter| (info.name.clone(), hyperparameter.clone())));
    pairs.take(MAX_METRIC_FIGURES).collect()
}

/// Whether a metric is what a baseline reaches in another one that was measured, too.
fn stands_beside(summary: &Summary, metric: &str) -> bool {
    baseline_readings(metric).any(|(_, of)| summary.metrics.iter().any(|info| info.name == of))
}

fn file_name(text: &str) -> String {
    text.chars().map(|character| if character.is_ascii_alphanumeric() || "-_.".contains(character) { character } else { '-' }).collect()
}

/// Models of which the page shows pictures.
const MAX_MODELS: usize = 24;
/// Pictures of one model that the page shows.
const MAX_PICTURES: usize = 80;

/// The pictures of trials on the page.
struct Gallery {
    groups: Vec<FigureGroup>,
    /// Where the pictures of the other trials are.
    folders: Vec<FigureLink>,
    /// The trials whose pictures are shown.
    shown: Vec<usize>,
}

/// For each model all pictures of the trial with the lowest squared error, grouped by evaluation; what that trial has no picture of is
/// shown of the next one.
fn gallery(plan: &Plan, rows: &[TrialRow], labels: &[String], pictures: &[Vec<DrawnPicture>]) -> Gallery {
    let error =
        |row: &TrialRow| row.metrics.iter().find(|metric| metric.name == "sse").and_then(|metric| metric.value).unwrap_or(f64::INFINITY);
    let mut models: Vec<(&str, Vec<usize>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (index, row) in rows.iter().enumerate().filter(|(index, _)| !pictures[*index].is_empty()) {
        let place = *places.entry(&row.model).or_insert_with(|| {
            models.push((&row.model, Vec::new()));
            models.len() - 1
        });
        models[place].1.push(index);
    }
    let mut gallery = Gallery { groups: Vec::new(), folders: Vec::new(), shown: Vec::new() };
    for (model, mut members) in models.into_iter().take(MAX_MODELS) {
        members.sort_by(|left, right| error(&rows[*left]).total_cmp(&error(&rows[*right])));
        let best = members[0];
        gallery.shown.push(best);
        let section = format!("Pictures of {model}");
        let introduction = match members.len() {
            1 => format!("Trial `{}`.", labels[best]),
            num if error(&rows[best]).is_finite() => format!("Trial `{}`, the one with the lowest `sse` of {num}.", labels[best]),
            num => format!("Trial `{}`, the first of {num}.", labels[best]),
        };
        let mut seen: HashSet<&str> = HashSet::new();
        let kinds = members.iter().flat_map(|index| pictures[*index].iter().map(move |picture| (*index, picture)));
        let kinds: Vec<(usize, &DrawnPicture)> = kinds.filter(|(_, picture)| seen.insert(&picture.name)).take(MAX_PICTURES).collect();
        let mut titles: HashMap<&str, usize> = HashMap::new();
        kinds.iter().for_each(|(_, picture)| *titles.entry(&picture.title).or_default() += 1);
        let first_group = gallery.groups.len();
        for (index, DrawnPicture { name, title, evaluation }) in kinds {
            let mut caption = title.clone();
            if titles[title.as_str()] > 1 {
                caption.push_str(&format!(" ({})", name.replace('_', " ")));
            }
            if index != best {
                caption.push_str(&format!(", of `{}`", labels[index]));
            }
            let link = FigureLink { caption, path: format!("{}/{name}.png", figures_of(&plan.trials[index])) };
            match gallery.groups[first_group..].iter_mut().find(|group| group.heading == *evaluation) {
                Some(group) => group.figures.push(link),
                None => gallery.groups.push(FigureGroup {
                    section: section.clone(),
                    introduction: introduction.clone(),
                    heading: evaluation.clone(),
                    figures: vec![link],
                }),
            }
        }
    }
    let is_shown: HashSet<usize> = gallery.shown.iter().copied().collect();
    let others = (0..rows.len()).filter(|index| !pictures[*index].is_empty() && !is_shown.contains(index));
    gallery.folders = others.map(|index| FigureLink { caption: labels[index].clone(), path: figures_of(&plan.trials[index]) }).collect();
    gallery
}

/// Folder of a trial's pictures, relative to the run directory.
fn figures_of(trial: &PlannedTrial) -> String {
    format!("trials/{}/figures", trial.hash)
}

/// The PNG files in a folder, of a trial whose result does not tell of them: their names say what they show.
pub(crate) fn pictures_in(folder: &Path) -> Vec<DrawnPicture> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".png")?.to_owned()));
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names.into_iter().map(|name| DrawnPicture { title: name.replace('_', " "), name, evaluation: String::new() }).collect()
}

/// The loss over epochs, one chart per model: losses of different models are different quantities.
fn learning_curves_of(run_dir: &RunDir, plan: &Plan, labels: &[String]) -> Result<Option<LearningCurves>, SummaryError> {
    let mut panels: Vec<CurvePanel> = Vec::new();
    for (trial, label) in plan.trials.iter().zip(labels) {
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
        let name = configuration_label(label, trial);
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
fn configuration_label(label: &str, trial: &PlannedTrial) -> String {
    let parts: Vec<&str> = label.split(' ').filter(|part| !part.starts_with("seed=") && !part.starts_with("model=")).collect();
    if parts.is_empty() { trial.model.clone() } else { parts.join(" ") }
}

/// A line of `metrics.jsonl` has a few numbers for each term of an objective.
const MAX_LINE: usize = 1 << 20;

/// Epoch and value of the loss on a split in `metrics.jsonl`: `train/loss`, or that of the last stage, `train/fine_tune/loss`, where
/// training has more than one. The losses of two stages are different quantities.
pub(crate) fn read_loss(path: &Path, split: &str) -> io::Result<Vec<(f64, f64)>> {
    let (mut stage, mut points) = (String::new(), Vec::new());
    for line in bounded_lines(BufReader::new(File::open(path)?), MAX_LINE) {
        // A trial that runs may be writing its last line, and one that was killed may have left part of one.
        let Ok(line) = serde_json::from_slice::<Value>(&line?) else { continue };
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
        let drawn = drawn_metrics(&summarize(vec![trial(2, 32), trial(8, 64)]));
        let names: Vec<String> = drawn.iter().map(|(metric, hyperparameter)| format!("{metric} {hyperparameter}")).collect();
        let expected = ["sse", "psnr", "ssim"].map(|metric| [format!("{metric} code_size"), format!("{metric} train.batch_size")]);
        assert_eq!(names, expected.concat());
        let one = drawn_metrics(&summarize(vec![trial(2, 32), trial(8, 32)]));
        assert_eq!(one.len(), 4, "one swept number, four metrics");
        assert!(drawn_metrics(&summarize(vec![trial(2, 32)])).is_empty(), "nothing is swept");
    }

    /// A plan and rows of `num` trials of one model with the given squared errors.
    fn trials_with(errors: &[f64]) -> (Plan, Vec<TrialRow>, Vec<String>) {
        let planned = |index: usize| crate::PlannedTrial {
            index,
            hash: format!("hash{index}"),
            overrides: Vec::new(),
            seed: index as u64,
            model: "vae".into(),
            data: "digits".into(),
            code_size: 2,
            definition: Value::Null,
            metrics: Vec::new(),
            terms: Vec::new(),
            num_features: 64,
        };
        let source =
            crate::SpecSource { file: "x.yaml".into(), text: String::new(), base_dir: "/".into(), extended: None, sets: Vec::new() };
        let plan = Plan {
            format_version: 1,
            name: "x".into(),
            description: None,
            tags: Vec::new(),
            execution: crate::Execution::default(),
            steering: crate::Steering::default(),
            source,
            trials: (0..errors.len()).map(planned).collect(),
            warnings: Vec::new(),
            left_out: Vec::new(),
        };
        let row = |(trial, error): (&crate::PlannedTrial, &f64)| {
            let mut result = TrialResult::without_metrics(TrialState::Finished, None);
            result.metrics.push(crate::MetricValue {
                name: "sse".into(),
                value: *error,
                unit: String::new(),
                direction: "lower".into(),
                version: 1,
                evaluation: None,
            });
            trial_row(trial, TrialState::Finished, result)
        };
        let rows = plan.trials.iter().zip(errors).map(row).collect();
        let labels = plan.labels();
        (plan, rows, labels)
    }

    fn picture(evaluation: &str, name: &str, title: &str) -> DrawnPicture {
        DrawnPicture { name: name.into(), title: title.into(), evaluation: evaluation.into() }
    }

    #[test]
    fn every_picture_of_the_best_trial_is_linked_under_its_evaluation_with_its_title() {
        let (plan, rows, labels) = trials_with(&[3.0, 1.0, 2.0]);
        let mut of_best: Vec<DrawnPicture> =
            (0..20).map(|index| picture("anomaly", &format!("anomaly_{index}"), &format!("title {index}"))).collect();
        of_best.push(picture("retrieval", "retrieval", "nearest codes"));
        let others = vec![picture("retrieval", "retrieval", "nearest codes"), picture("t_sne", "t_sne", "a map of codes")];
        let Gallery { groups, folders, shown } = gallery(&plan, &rows, &labels, &[others.clone(), of_best, others]);
        assert_eq!(shown, [1]);
        let headings: Vec<(&str, usize)> = groups.iter().map(|group| (group.heading.as_str(), group.figures.len())).collect();
        assert_eq!(headings, [("anomaly", 20), ("retrieval", 1), ("t_sne", 1)]);
        assert_eq!(groups[0].introduction, "Trial `seed=1`, the one with the lowest `sse` of 3.");
        assert_eq!(groups[0].figures[7], FigureLink { caption: "title 7".into(), path: "trials/hash1/figures/anomaly_7.png".into() });
        let of_next = FigureLink { caption: "a map of codes, of `seed=2`".into(), path: "trials/hash2/figures/t_sne.png".into() };
        assert_eq!(groups[2].figures, [of_next]);
        let folders: Vec<&str> = folders.iter().map(|link| link.path.as_str()).collect();
        assert_eq!(folders, ["trials/hash0/figures", "trials/hash2/figures"]);
    }

    #[test]
    fn pictures_of_one_title_are_told_apart_by_their_names() {
        let (plan, rows, labels) = trials_with(&[1.0]);
        let pictures = vec![picture("anomaly", "scores_pca", "scores"), picture("anomaly", "scores_likelihood", "scores")];
        let groups = gallery(&plan, &rows, &labels, &[pictures]).groups;
        let captions: Vec<&str> = groups[0].figures.iter().map(|link| link.caption.as_str()).collect();
        assert_eq!(captions, ["scores (scores pca)", "scores (scores likelihood)"]);
    }

    #[test]
    fn a_baseline_is_a_row_and_no_column_unless_nothing_stands_beside_it() {
        let (_, mut rows, _) = trials_with(&[1.0]);
        let metric = |name: &str| Metric { name: name.into(), value: Some(0.5), unit: String::new(), direction: Direction::HigherIsBetter };
        rows[0].metrics.extend([metric("auroc"), metric("pca_auroc")]);
        assert!(stands_beside(&summarize(rows.clone()), "pca_auroc"));
        rows[0].metrics.retain(|metric| metric.name != "auroc");
        assert!(!stands_beside(&summarize(rows.clone()), "pca_auroc"));
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

        let mut torn = b"{\"epoch\": 1, \"train/loss\": 3}\n\xff\xfe{\"epoch\": 2, \"train/loss\": 9}\n".to_vec();
        torn.extend(b"{\"epoch\": 2, \"train/loss\": 2}\n{\"epoch\": 3, \"train/lo");
        std::fs::write(&path, torn).unwrap();
        assert_eq!(read_loss(&path, "train").unwrap(), [(1.0, 3.0), (2.0, 2.0)], "bytes that are no text and a line without an end");
    }
}
