//! A comparison for people: terminal, Markdown, LaTeX.

use crate::comparison::{
    Comparison, ComparisonCell, ComparisonColumn, ComparisonRow, KeyValues, SIGNIFICANCE, Standing, baseline_label, key_text,
};
use crate::metric_figure::{metric_label, shown_name};
use crate::number::{mean_and_deviation, significant};
use crate::statistics::PairedTest;
use crate::summary::Direction;
use crate::summary_tables::FigureLink;
use crate::table::{Alignment, Cell, Column, Row, Table};

/// Left-out trials that the terminal names; files name all.
const MOST_NAMED: usize = 10;

/// Head of a column.
struct Head {
    name: String,
    direction: Direction,
    /// Lines below the name: unit, values of the column keys.
    below: Vec<String>,
    is_number: bool,
    /// Whether it says what a row is.
    is_key: bool,
    /// Whether it says something of the column before it: rank and p, left out where no row has them.
    is_remark: bool,
}

/// What stands in a cell.
struct Entry {
    text: String,
    standing: Standing,
}

impl Entry {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), standing: Standing::Unranked }
    }
}

/// The table before it is rendered. Baselines come last.
struct Grid {
    heads: Vec<Head>,
    rows: Vec<Vec<Entry>>,
    num_configurations: usize,
}

impl Comparison {
    fn grid(&self) -> Grid {
        let head = |name: String, is_number: bool| {
            let (direction, below) = (Direction::Neutral, Vec::new());
            Head { name, direction, below, is_number, is_key: false, is_remark: false }
        };
        let is_number = |position: usize| {
            self.rows.iter().filter_map(|row| row.keys[position].as_ref()).all(serde_json::Value::is_number) && !self.rows.is_empty()
        };
        let mut heads: Vec<Head> =
            self.row_keys.iter().enumerate().map(|(position, key)| head(shown_name(key), is_number(position))).collect();
        if heads.is_empty() {
            heads.push(head(String::new(), false));
        }
        heads.iter_mut().for_each(|head| head.is_key = true);
        heads.push(head("seeds".to_owned(), true));
        let is_pivot = !self.column_keys.is_empty();
        for (metric, info) in self.metrics.iter().enumerate() {
            for column in self.columns.iter().filter(|column| column.metric == metric) {
                let mut below: Vec<String> = if info.unit.is_empty() { Vec::new() } else { vec![format!("({})", info.unit)] };
                if is_pivot {
                    below.push(column_label(&self.column_keys, &column.keys));
                }
                heads.push(Head { direction: info.direction, below, ..head(metric_label(&info.name), true) });
            }
            if info.direction != Direction::Neutral {
                heads.push(Head { is_remark: true, ..head("rank".to_owned(), true) });
                if !is_pivot {
                    heads.push(Head { is_remark: true, ..head("p".to_owned(), true) });
                }
            }
        }
        let mut rows: Vec<Vec<Entry>> = self.rows.iter().chain(&self.baselines).map(|row| self.grid_row(row)).collect();
        for column in (0..heads.len()).rev() {
            if heads[column].is_remark && rows.iter().all(|row| row[column].text.is_empty()) {
                heads.remove(column);
                rows.iter_mut().for_each(|row| drop(row.remove(column)));
            }
        }
        Grid { heads, rows, num_configurations: self.rows.len() }
    }

    fn grid_row(&self, row: &ComparisonRow) -> Vec<Entry> {
        let mut entries: Vec<Entry> = match row.baseline {
            None => row.keys.iter().map(|value| Entry::plain(value.as_ref().map_or_else(String::new, key_text))).collect(),
            Some(_) => {
                let value = |(position, key): (usize, &String)| match (position, key.as_str(), row.code_size) {
                    (0, ..) => Entry::plain(row.baseline.map_or("", baseline_label)),
                    (_, "code_size", Some(size)) => Entry::plain(size.to_string()),
                    _ => Entry::plain(row.keys[position].as_ref().map_or_else(String::new, key_text)),
                };
                let mut entries: Vec<Entry> = self.row_keys.iter().enumerate().map(value).collect();
                // Where the table has no place for the code size, the name says it.
                if let Some(first) = entries.first_mut()
                    && self.row_keys.iter().skip(1).all(|key| key != "code_size")
                {
                    first.text = self.row_label(row);
                }
                entries
            }
        };
        if entries.is_empty() {
            entries.push(Entry::plain(if row.baseline.is_some() { self.row_label(row) } else { "all".to_owned() }));
        }
        entries.push(Entry::plain(match (row.baseline, row.num_finished == row.num_trials) {
            (Some(_), _) => String::new(),
            (None, true) => row.seeds.len().to_string(),
            (None, false) if row.seeds.len() == row.num_finished => format!("{} of {}", row.num_finished, row.num_trials),
            (None, false) => format!("{} ({} of {} trials)", row.seeds.len(), row.num_finished, row.num_trials),
        }));
        for (metric, info) in self.metrics.iter().enumerate() {
            let cells: Vec<Option<&ComparisonCell>> =
                self.columns.iter().zip(&row.cells).filter(|(column, _)| column.metric == metric).map(|(_, cell)| cell.as_ref()).collect();
            entries
                .extend(cells.iter().map(|cell| cell.map_or_else(|| Entry::plain(""), |cell| value_entry(cell, row.baseline.is_some()))));
            if info.direction != Direction::Neutral {
                entries.push(Entry::plain(
                    row.mean_ranks.get(metric).copied().flatten().map_or_else(String::new, |rank| format!("{rank:.2}")),
                ));
                if self.column_keys.is_empty() {
                    let p = cells.first().copied().flatten().and_then(|cell| cell.corrected);
                    entries.push(Entry::plain(p.map_or_else(String::new, p_text)));
                }
            }
        }
        entries
    }

    /// The table for a terminal of `width` columns, and everything that a reader must know.
    pub fn to_terminal(&self, width: Option<u16>) -> String {
        let text = |entry: &Entry| match entry.standing {
            Standing::Best => format!("{} *", entry.text),
            Standing::Alike => format!("{} ≈", entry.text),
            Standing::Untestable => format!("{} ?", entry.text),
            Standing::Worse | Standing::Unranked => format!("{}  ", entry.text).trim_start().to_owned(),
        };
        let mut page = self.table(text, "\n").to_terminal(width);
        page.push('\n');
        page.push_str(&self.legend("*").replace("; ", "\n"));
        page.push('\n');
        for note in self.remarks() {
            page.push_str(&format!("note: {note}\n"));
        }
        for trial in self.left_out.iter().take(MOST_NAMED) {
            page.push_str(&format!("  {} {} in {}: {}{}\n", trial.state, trial.trial, trial.run, trial.label, reason(&trial.reason)));
        }
        if self.left_out.len() > MOST_NAMED {
            page.push_str(&format!("  and {} more; --format json names all\n", self.left_out.len() - MOST_NAMED));
        }
        page.trim_end().to_owned()
    }

    /// The page as Markdown.
    pub fn to_markdown(&self, figures: &[FigureLink]) -> String {
        let text = |entry: &Entry| match entry.standing {
            Standing::Best => format!("**{}**", entry.text),
            Standing::Alike => format!("{} ≈", entry.text),
            Standing::Untestable => format!("{} ?", entry.text),
            Standing::Worse | Standing::Unranked => entry.text.clone(),
        };
        let mut page = format!("# {}\n\n", self.title);
        page.push_str(&self.table(text, "<br>").to_markdown());
        page.push_str(&format!("\n{}\n", self.legend("bold").replace('*', "\\*")));
        let remarks = self.remarks();
        if !remarks.is_empty() {
            page.push_str("\n## Notes\n\n");
            remarks.iter().for_each(|note| page.push_str(&format!("- {note}\n")));
        }
        if !self.left_out.is_empty() {
            let columns = ["run", "trial", "configuration", "state", "reason"].map(Column::text).to_vec();
            let row = |trial: &crate::comparison::LeftOut| {
                Row::new(
                    [&trial.run, &trial.trial, &trial.label, &trial.state, &trial.reason].map(|text| Cell::Text(text.clone())).to_vec(),
                )
            };
            let table = Table { columns, rows: self.left_out.iter().map(row).collect() };
            page.push_str(&format!("\n## Trials that do not count\n\n{}", table.to_markdown()));
        }
        if !figures.is_empty() {
            page.push_str("\n## Figures\n");
            for FigureLink { caption, path } in figures {
                page.push_str(&format!("\n{caption}\n\n![{}](<{path}>)\n", caption.replace(['[', ']'], "")));
            }
        }
        page
    }

    /// A LaTeX table in the style of booktabs, the best in bold, what the marks mean printed below.
    pub fn to_latex(&self) -> String {
        let grid = self.grid();
        let alignments: String = grid.heads.iter().map(|head| if head.is_number { 'r' } else { 'l' }).collect();
        let mut latex = String::from("% needs \\usepackage{booktabs}\n");
        latex.push_str(&format!("\\begin{{tabular}}{{{alignments}}}\n\\toprule\n"));
        let depth = grid.heads.iter().map(|head| head.below.len()).max().unwrap_or(0);
        for line in 0..=depth {
            let cells: Vec<String> = grid
                .heads
                .iter()
                .map(|head| match line {
                    0 => format!("{}{}", escape(&head.name), latex_arrow(head.direction)),
                    line => head.below.get(line - 1).map_or_else(String::new, |text| escape(text)),
                })
                .collect();
            latex.push_str(&format!("{} \\\\\n", cells.join(" & ")));
        }
        latex.push_str("\\midrule\n");
        for (index, row) in grid.rows.iter().enumerate() {
            if index == grid.num_configurations && index > 0 {
                latex.push_str("\\midrule\n");
            }
            let cell = |(entry, head): (&Entry, &Head)| {
                let text = if head.is_number { latex_numbers(&entry.text) } else { escape(&entry.text) };
                match entry.standing {
                    // Digits in math need a bold of their own.
                    Standing::Best if text.contains("$-") => format!("\\textbf{{\\boldmath {text}}}"),
                    Standing::Best => format!("\\textbf{{{text}}}"),
                    Standing::Alike => format!("{text} $\\approx$"),
                    Standing::Untestable => format!("{text} ?"),
                    Standing::Worse | Standing::Unranked => text,
                }
            };
            latex.push_str(&format!("{} \\\\\n", row.iter().zip(&grid.heads).map(cell).collect::<Vec<_>>().join(" & ")));
        }
        latex.push_str("\\bottomrule\n\\end{tabular}\n\n\\smallskip\n{\\footnotesize\n");
        for line in std::iter::once(self.legend("bold")).chain(self.remarks()) {
            latex.push_str(&format!("{}.\\par\n", escape(&line)));
        }
        latex.push_str("}\n");
        latex
    }

    fn table(&self, text: impl Fn(&Entry) -> String, line_break: &str) -> Table {
        let grid = self.grid();
        let column = |head: &Head| {
            let arrow = match head.direction {
                Direction::LowerIsBetter => " ↓",
                Direction::HigherIsBetter => " ↑",
                Direction::Neutral => "",
            };
            let header = std::iter::once(format!("{}{arrow}", head.name)).chain(head.below.iter().cloned()).collect::<Vec<_>>();
            let alignment = if head.is_number { Alignment::Right } else { Alignment::Left };
            Column { alignment, is_key: head.is_key, is_remark: head.is_remark, ..Column::text(header.join(line_break)) }
        };
        let rows = grid.rows.iter().map(|row| Row::new(row.iter().map(|entry| Cell::Text(text(entry))).collect()));
        Table { columns: grid.heads.iter().map(column).collect(), rows: rows.collect() }
    }

    /// What the numbers and marks mean.
    fn legend(&self, best: &str) -> String {
        let units = if self.block_keys.is_empty() {
            "over seeds".to_owned()
        } else {
            format!("over the {} values of {} (each the mean over its seeds)", self.blocks.len(), self.block_keys.join(", "))
        };
        let mut legend = format!("mean ± 95 % confidence interval (Student t) {units}, on the test split");
        if self.columns.iter().any(|column| column.best.is_some()) {
            // What decides must be said where means do not.
            let best_of = if self.test == PairedTest::Wilcoxon || !self.block_keys.is_empty() { "best by rank" } else { "best" };
            let common = if self.block_keys.is_empty() { "common seeds" } else { "common blocks" };
            legend.push_str(&format!(
                "; {best}: {best_of}; ≈: not distinguishable from the best ({} on {common}, Holm's correction over all pairs of configurations, p ≥ {SIGNIFICANCE}); \
                 ?: the test cannot tell; rank: average {units}",
                self.test.label()
            ));
            if !self.column_keys.is_empty() {
                legend.push_str(" and columns; configurations are compared within a column");
            } else {
                legend.push_str("; p: corrected, against the best");
            }
        }
        legend
    }

    /// Notes, and what the Friedman tests say.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = self.notes.clone();
        for column in &self.columns {
            let ComparisonColumn { friedman: Some(friedman), .. } = column else { continue };
            remarks.push(format!(
                "{}: Friedman test over {} blocks, chi-squared {}, p {}",
                self.column_title(column),
                friedman.num_blocks,
                significant(friedman.statistic, 4),
                p_text(friedman.p_value)
            ));
        }
        remarks
    }
}

fn value_entry(cell: &ComparisonCell, is_baseline: bool) -> Entry {
    let mean = cell.spread.mean;
    let text = match cell.half_width {
        // Where all seeds share the data they share the baseline, and it has no interval to speak of.
        Some(half_width) if !(is_baseline && half_width == 0.0) => mean_and_deviation(mean, Some(half_width)),
        _ => significant(mean, 5),
    };
    Entry { text, standing: cell.standing }
}

fn column_label(names: &[String], keys: &KeyValues) -> String {
    let parts = names.iter().zip(keys).map(|(name, value)| {
        let value = value.as_ref().map_or_else(|| "-".to_owned(), key_text);
        if matches!(name.as_str(), "model" | "data" | "run") { value } else { format!("{} {value}", shown_name(name)) }
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn reason(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// `0.012`, `<0.001`.
fn p_text(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") }
}

fn latex_arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::LowerIsBetter => " $\\downarrow$",
        Direction::HigherIsBetter => " $\\uparrow$",
        Direction::Neutral => "",
    }
}

/// Numbers and words as LaTeX shows them: a minus sign is none outside math, and neither is `e-5`.
fn latex_numbers(text: &str) -> String {
    let word = |word: &str| {
        if word.parse::<f64>().is_err() || !word.contains(['-', 'e']) {
            return escape(word);
        }
        match word.split_once('e') {
            Some((mantissa, exponent)) => format!("${mantissa} \\cdot 10^{{{exponent}}}$"),
            None => format!("${}$", word.replace("inf", "\\infty")),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Text as LaTeX shows it: its special characters escaped, the signs of ours as commands.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '%' | '_' => escaped.extend(['\\', character]),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '±' => escaped.push_str("$\\pm$"),
            '≈' => escaped.push_str("$\\approx$"),
            '≥' => escaped.push_str("$\\geq$"),
            '−' => escaped.push_str("$-$"),
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::comparison::compare;
    use crate::comparison::tests::{input, metric, trial};

    #[test]
    fn special_characters_of_latex_are_escaped() {
        assert_eq!(escape(r"a_b % & # ~ ^ \ {$}"), r"a\_b \% \& \# \textasciitilde{} \textasciicircum{} \textbackslash{} \{\$\}");
        assert_eq!(escape("1 ± 2"), "1 $\\pm$ 2");
    }

    #[test]
    fn negative_and_tiny_numbers_are_math_in_latex() {
        assert_eq!(latex_numbers("-29.01 ± 0.30"), "$-29.01$ $\\pm$ 0.30");
        assert_eq!(latex_numbers("-1.234e-5 ± 1.0e-6"), "$-1.234 \\cdot 10^{-5}$ $\\pm$ $1.0 \\cdot 10^{-6}$");
        assert_eq!(latex_numbers("2 of 3"), "2 of 3");
        assert_eq!(latex_numbers("<0.001"), "\\textless{}0.001");
        assert_eq!((latex_numbers("-inf"), latex_numbers("-")), ("$-\\infty$".to_owned(), "-".to_owned()));
    }

    #[test]
    fn the_best_of_negative_numbers_is_bold_and_marks_are_explained_in_print() {
        let trials = (1..=3).flat_map(|seed| [trial("a", 8, seed, &[-29.0 - seed as f64]), trial("b", 8, seed, &[-1.0])]).collect();
        let latex = compare(input(trials, vec![metric("elbo", Direction::LowerIsBetter)])).to_latex();
        assert!(latex.contains("\\textbf{\\boldmath $-31.0$ $\\pm$ 2.5}"), "{latex}");
        let below: Vec<&str> = latex.split("\\end{tabular}").nth(1).unwrap().lines().collect();
        assert!(below.iter().any(|line| line.contains("95 \\% confidence") && !line.starts_with('%')), "{latex}");
        assert!(below.iter().all(|line| line.is_ascii()), "{below:?}");
    }

    #[test]
    fn one_configuration_has_no_empty_columns_of_ranks() {
        let trials = (1..=3).map(|seed| trial("a", 8, seed, &[seed as f64])).collect();
        let mut input = input(trials, vec![metric("sse", Direction::LowerIsBetter)]);
        (input.column_keys, input.baselines) = (Vec::new(), false);
        input.trials.iter_mut().for_each(|trial| trial.column.clear());
        let comparison = compare(input);
        let markdown = comparison.to_markdown(&[]);
        assert_eq!(markdown.lines().nth(2).unwrap().replace(' ', ""), "|model|seeds|SSE↓|", "{markdown}");
        assert!(comparison.to_latex().contains("{lrr}"));
    }

    #[test]
    fn a_p_value_is_short_and_never_zero() {
        assert_eq!([0.0, 0.00099, 0.0123, 1.0].map(p_text), ["<0.001", "<0.001", "0.012", "1.000"]);
    }

    proptest! {
        #[test]
        fn no_text_opens_a_group_or_a_column_of_latex(text in "\\PC{0,20}") {
            let escaped = escape(&text);
            let unescaped = |special: char| escaped.replace(&format!("\\{special}"), "").matches(special).count();
            prop_assert_eq!((unescaped('&'), unescaped('#'), unescaped('%'), unescaped('_')), (0, 0, 0, 0));
            prop_assert_eq!(unescaped('{'), unescaped('}'));
            prop_assert_eq!(unescaped('$') % 2, 0);
        }
    }
}
