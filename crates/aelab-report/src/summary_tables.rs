//! The tables of a run: `summary.csv`, `trials.csv`, and the page that people read.

use std::collections::HashMap;

use serde_json::Value;

use crate::metric_figure::{common_name, metric_label, shown_name};
use crate::summary::{BaselineRow, Configuration, Spread, Summary, TrialRow, values_by_name};
use crate::table::{Cell, Column, Row, Table};

/// A figure that the summary page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FigureLink {
    /// Caption.
    pub caption: String,
    /// Path relative to the page, `/` between its parts.
    pub path: String,
}

/// Figures that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FigureGroup {
    /// Heading of the section; groups of one section follow each other.
    pub section: String,
    /// Below that heading, where the section begins; may be empty.
    pub introduction: String,
    /// Heading within the section; may be empty.
    pub heading: String,
    /// In order.
    pub figures: Vec<FigureLink>,
}

/// `summary.md`.
#[derive(Debug, Clone)]
pub struct SummaryPage<'a> {
    /// Name of the experiment.
    pub title: &'a str,
    /// The run in numbers.
    pub summary: &'a Summary,
    /// Names of the metrics to show, in this order; all but the baselines' where empty. All are in the CSV.
    pub metrics: &'a [String],
    /// Figures, in order.
    pub figures: &'a [FigureGroup],
    /// Folders of further figures.
    pub folders: &'a [FigureLink],
}

/// More folders than this are not linked one by one.
const MOST_FOLDERS: usize = 30;

impl Summary {
    /// One row per configuration with mean and deviation of every metric: `summary.csv`. The seconds come
    /// last: everything before them is the same in every run of the experiment.
    pub fn csv_table(&self) -> Table {
        let mut columns = vec![Column::text("model"), Column::number("code_size")];
        columns.extend(self.hyperparameters.iter().map(Column::number));
        columns.push(Column::number("num_seeds"));
        columns.extend(self.metrics.iter().map(|info| Column::spread(&info.name)));
        columns.extend([Column::number("num_parameters"), Column::spread("seconds")]);
        let rows = self.configurations.iter().map(|configuration| {
            let mut cells = vec![Cell::Text(configuration.model.clone()), Cell::Integer(configuration.code_size as u64)];
            cells.extend(self.hyperparameters.iter().map(|path| hyperparameter_cell(&configuration.hyperparameters, path)));
            cells.push(Cell::Integer(configuration.num_finished as u64));
            cells.extend(configuration.metrics.iter().map(|spread| spread.map_or(Cell::Empty, Cell::Spread)));
            cells.extend([Cell::Integer(configuration.num_parameters as u64), configuration.seconds.map_or(Cell::Empty, Cell::Spread)]);
            Row::new(cells)
        });
        Table { columns, rows: rows.collect() }
    }

    /// One row per trial, values as measured: `trials.csv`. The seconds come last.
    pub fn trials_table(&self) -> Table {
        let mut columns = ["trial", "state", "reason", "model"].map(Column::text).to_vec();
        columns.push(Column::number("code_size"));
        columns.extend(self.hyperparameters.iter().map(Column::number));
        columns.push(Column::number("seed"));
        columns.extend(self.metrics.iter().map(|info| Column::number(&info.name)));
        columns.extend(["num_parameters", "seconds"].map(Column::number));
        let rows = self.trials.iter().map(|trial| {
            let measured: HashMap<&str, f64> = values_by_name(trial).collect();
            let mut cells: Vec<Cell> =
                [&trial.trial, &trial.state, &trial.reason, &trial.model].map(|text| Cell::Text(text.clone())).to_vec();
            cells.push(Cell::Integer(trial.code_size as u64));
            cells.extend(self.hyperparameters.iter().map(|path| hyperparameter_cell(&trial.hyperparameters, path)));
            cells.push(Cell::Integer(trial.seed));
            cells
                .extend(self.metrics.iter().map(|info| measured.get(info.name.as_str()).map_or(Cell::Empty, |value| Cell::Number(*value))));
            cells.extend([Cell::Integer(trial.num_parameters as u64), Cell::Number(trial.seconds)]);
            Row::new(cells)
        });
        Table { columns, rows: rows.collect() }
    }

    /// The table for people: configurations, then baselines, with the metrics named; all but the baselines' own where
    /// `metrics` is empty.
    pub fn table(&self, metrics: &[String]) -> Table {
        let shown = self.shown(metrics);
        let varied = self.varied_names();
        let mut columns = vec![Column::text("model").key(), Column::number("code size").key()];
        columns.extend(varied.iter().map(|name| Column::number(shown_name(name)).key()));
        columns.push(Column::number("seeds"));
        columns.extend(shown.iter().map(|column| {
            let info = &self.metrics[*column];
            Column { unit: info.unit.clone(), direction: info.direction, ..Column::spread(metric_label(&info.name)) }
        }));
        columns.extend([Column::number("parameters"), Column { unit: "s".into(), is_remark: true, ..Column::number("time") }]);

        let value = |hyperparameters: &[(String, Value)], name: &str| {
            hyperparameters.iter().find(|(path, _)| common_name(path) == name).map_or(Cell::Empty, |(_, value)| value_cell(value))
        };
        let configuration = |configuration: &Configuration| {
            let mut cells = vec![Cell::Text(configuration.model.clone()), Cell::Integer(configuration.code_size as u64)];
            cells.extend(varied.iter().map(|name| value(&configuration.hyperparameters, name)));
            cells.push(if configuration.num_finished == configuration.num_trials {
                Cell::Integer(configuration.num_finished as u64)
            } else {
                Cell::Text(format!("{} of {}", configuration.num_finished, configuration.num_trials))
            });
            cells.extend(shown.iter().map(|column| configuration.metrics[*column].map_or(Cell::Empty, Cell::Spread)));
            cells.push(Cell::Integer(configuration.num_parameters as u64));
            cells.push(configuration.seconds.map_or(Cell::Empty, |seconds| Cell::Text(rounded_seconds(seconds.mean))));
            Row::new(cells)
        };
        let baseline = |row: &BaselineRow| {
            let mut cells = vec![Cell::Text(row.label()), row.code_size.map_or(Cell::Empty, |size| Cell::Integer(size as u64))];
            cells.extend(varied.iter().map(|name| value(&row.hyperparameters, name)));
            cells.push(Cell::Empty);
            // Where all seeds share the data they share the baseline, and it has no deviation to speak of.
            cells.extend(shown.iter().map(|column| match row.metrics[*column] {
                Some(Spread { mean, deviation: Some(0.0) | None, .. }) => Cell::Number(mean),
                Some(spread) => Cell::Spread(spread),
                None => Cell::Empty,
            }));
            Row { cells, is_compared: false }
        };
        let baselines = self.shown_baselines(&shown).map(baseline);
        Table { columns, rows: self.configurations.iter().map(configuration).chain(baselines).collect() }
    }

    /// The columns of the metrics named, of all but the baselines' own where none is.
    fn shown(&self, metrics: &[String]) -> Vec<usize> {
        if metrics.is_empty() {
            (0..self.metrics.len()).filter(|column| self.baseline_of(*column).is_none()).collect()
        } else {
            metrics.iter().filter_map(|name| self.metrics.iter().position(|info| info.name == *name)).collect()
        }
    }

    /// A baseline without any of the metrics shown would be an empty line.
    fn shown_baselines<'a>(&'a self, shown: &'a [usize]) -> impl Iterator<Item = &'a BaselineRow> {
        self.baselines.iter().filter(|row| shown.iter().any(|column| row.metrics[*column].is_some()))
    }

    /// The baselines among the rows of [`table`](Self::table), each once.
    fn baseline_names(&self, metrics: &[String]) -> Vec<String> {
        let mut names: Vec<String> = self.shown_baselines(&self.shown(metrics)).map(BaselineRow::label).collect();
        // Rows of one baseline follow each other.
        names.dedup();
        names
    }

    /// Common names of the varied hyperparameters, without what the first two columns say already.
    fn varied_names(&self) -> Vec<String> {
        self.hyperparameters.iter().map(|path| common_name(path).to_owned()).fold(Vec::new(), |mut names, name| {
            if !names.contains(&name) && name != "code_size" {
                names.push(name);
            }
            names
        })
    }

    /// The trials that have not finished, with their reasons.
    pub fn unfinished_table(&self) -> Table {
        let varied = self.varied_names();
        let mut columns = ["trial", "state", "model"].map(|name| Column::text(name).key()).to_vec();
        columns.push(Column::number("code size"));
        columns.extend(varied.iter().map(|name| Column::number(shown_name(name))));
        columns.extend([Column::number("seed"), Column::text("reason")]);
        let row = |trial: &TrialRow| {
            let mut cells = [&trial.trial, &trial.state, &trial.model].map(|text| Cell::Text(text.clone())).to_vec();
            cells.push(Cell::Integer(trial.code_size as u64));
            cells.extend(varied.iter().map(|name| {
                trial
                    .hyperparameters
                    .iter()
                    .find(|(path, _)| common_name(path) == *name)
                    .map_or(Cell::Empty, |(_, value)| value_cell(value))
            }));
            cells.extend([Cell::Integer(trial.seed), Cell::Text(trial.reason.clone())]);
            Row::new(cells)
        };
        Table { columns, rows: self.trials.iter().filter(|trial| trial.state != "finished").map(row).collect() }
    }
}

impl SummaryPage<'_> {
    /// The page as Markdown.
    pub fn to_markdown(&self) -> String {
        let summary = self.summary;
        let num_finished = summary.trials.iter().filter(|trial| trial.state == "finished").count();
        let table = summary.table(self.metrics);
        let mut page = format!("# {}\n\n", self.title);
        page.push_str(&format!(
            "{} of {} trials finished, {} configuration{}. ",
            num_finished,
            summary.trials.len(),
            summary.configurations.len(),
            if summary.configurations.len() == 1 { "" } else { "s" }
        ));
        page.push_str(
            "Metrics are mean ± standard deviation over seeds on the test split (`aelab compare` gives 95 % confidence intervals instead); \
             ↓ lower is better, ↑ higher is better, best in bold. ",
        );
        let baselines = summary.baseline_names(self.metrics);
        if !baselines.is_empty() {
            page.push_str(&format!("Baselines, from the same split of the data: {}. ", baselines.join(", ")));
        }
        page.push_str("All numbers in full: `summary.csv`, one row per configuration; `trials.csv`, one row per trial.\n\n## Results\n\n");
        page.push_str(&table.to_markdown());
        let unfinished = summary.unfinished_table();
        if !unfinished.rows.is_empty() {
            page.push_str("\n## Trials that have not finished\n\n");
            page.push_str(&unfinished.to_markdown());
        }
        let mut section = None;
        for FigureGroup { section: of, introduction, heading, figures } in self.figures {
            if section != Some(of) {
                page.push_str(&format!("\n## {of}\n"));
                if !introduction.is_empty() {
                    page.push_str(&format!("\n{introduction}\n"));
                }
                section = Some(of);
            }
            if !heading.is_empty() {
                page.push_str(&format!("\n### {heading}\n"));
            }
            for FigureLink { caption, path } in figures {
                let alt = caption.replace(['[', ']', '`'], "");
                page.push_str(&format!("\n{caption}\n\n![{alt}](<{path}>)\n"));
            }
        }
        if !self.folders.is_empty() {
            page.push_str("\n## Pictures of other trials\n\n");
            for FigureLink { caption, path } in self.folders.iter().take(MOST_FOLDERS) {
                page.push_str(&format!("- [{}](<{path}>)\n", caption.replace(['[', ']'], "")));
            }
            if let Some(more @ 1..) = self.folders.len().checked_sub(MOST_FOLDERS) {
                page.push_str(&format!("- and {more} more: `trials/<trial>/figures`, with the names of the trials in `trials.csv`\n"));
            }
        }
        page
    }
}

fn rounded_seconds(seconds: f64) -> String {
    crate::number::significant(seconds, 3)
}

fn value_cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Empty,
        Value::String(text) => Cell::Text(text.clone()),
        other => Cell::Text(other.to_string()),
    }
}

fn hyperparameter_cell(hyperparameters: &[(String, Value)], path: &str) -> Cell {
    hyperparameters.iter().find(|(known, _)| known == path).map_or(Cell::Empty, |(_, value)| value_cell(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::summarize;
    use crate::summary::tests::sweep;

    #[test]
    fn the_csv_of_configurations_ends_in_the_seconds() {
        let csv = summarize(sweep()).csv_table().to_csv();
        let mut lines = csv.lines();
        assert_eq!(
            lines.next().unwrap(),
            "model,code_size,model.undercomplete.code_size,model.vae.latent_dim,num_seeds,sse_mean,sse_std,psnr_mean,psnr_std,\
             pca_sse_mean,pca_sse_std,mean_sse_mean,mean_sse_std,kl_mean,kl_std,num_parameters,seconds_mean,seconds_std"
        );
        assert_eq!(lines.next().unwrap(), "undercomplete,8,8,,3,13,0.25,27,0.25,15,0,52.75,0,,,8000,20,10");
        assert_eq!(csv.lines().count(), 5);
    }

    #[test]
    fn the_csv_of_trials_has_the_raw_values_and_reasons() {
        let csv = summarize(sweep()).trials_table().to_csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(
            lines[0],
            "trial,state,reason,model,code_size,model.undercomplete.code_size,model.vae.latent_dim,seed,sse,psnr,pca_sse,mean_sse,kl,num_parameters,seconds"
        );
        assert_eq!(lines[1], "undercomplete81,finished,,undercomplete,8,8,,1,12.75,27.25,15,52.75,,8000,10");
        assert_eq!(lines[8], "vae82,diverged,term `kl` was NaN at step 120,vae,8,,8,2,,,,,,8000,20");
        assert_eq!(lines.len(), 13);
    }

    #[test]
    fn what_comes_before_the_seconds_does_not_depend_on_them() {
        let without_seconds = |trials: &[TrialRow]| -> Vec<String> {
            let csv = summarize(trials.to_vec()).csv_table().to_csv();
            csv.lines().map(|line| line.rsplitn(3, ',').nth(2).unwrap().to_owned()).collect()
        };
        let mut slower = sweep();
        slower.iter_mut().for_each(|trial| trial.seconds *= 1.7);
        assert_eq!(without_seconds(&sweep()), without_seconds(&slower));
    }

    #[test]
    fn the_page_reads_well() {
        let summary = summarize(sweep());
        let link = |caption: &str, path: &str| FigureLink { caption: caption.into(), path: path.into() };
        let group = |section: &str, introduction: &str, heading: &str, figures: Vec<FigureLink>| FigureGroup {
            section: section.into(),
            introduction: introduction.into(),
            heading: heading.into(),
            figures,
        };
        let figures = [
            group("Figures", "", "", vec![link("SSE against code size", "figures/sse against code_size.png")]),
            group("Pictures of vae", "Of the best trial.", "samples", vec![link("samples from the prior", "trials/1/figures/samples.png")]),
            group("Pictures of vae", "Of the best trial.", "codes", vec![link("codes of [test] examples", "trials/1/figures/codes.png")]),
        ];
        let folders: Vec<FigureLink> = (0..33).map(|index| link(&format!("seed={index}"), &format!("trials/{index}/figures"))).collect();
        insta::assert_snapshot!(
            SummaryPage { title: "digits-code-size", summary: &summary, metrics: &[], figures: &figures, folders: &folders }.to_markdown()
        );
    }

    #[test]
    fn the_terminal_shows_the_same_table() {
        insta::assert_snapshot!(summarize(sweep()).table(&["sse".to_owned()]).to_terminal(Some(100)));
    }

    #[test]
    fn a_run_without_trials_has_empty_tables() {
        let summary = summarize(vec![]);
        assert_eq!(summary.csv_table().to_csv().lines().count(), 1);
        assert!(
            SummaryPage { title: "x", summary: &summary, metrics: &[], figures: &[], folders: &[] }
                .to_markdown()
                .starts_with("# x\n\n0 of 0 trials")
        );
    }
}
