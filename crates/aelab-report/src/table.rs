//! Tables: exact as CSV, rounded as Markdown; on the terminal by [`terminal_table`](crate::terminal_table).

use crate::number::{exact, mean_and_deviation, significant};
use crate::summary::{Direction, Spread};

/// On which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alignment {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Head of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub header: String,
    /// Unit for people; may be empty. Not in CSV, where names must be stable.
    pub unit: String,
    /// Side.
    pub alignment: Alignment,
    /// Which way a number is better; the best ones are set in bold in Markdown.
    pub direction: Direction,
    /// Whether cells are [`Cell::Spread`]: then CSV has two columns, `NAME_mean` and `NAME_std`.
    pub is_spread: bool,
    /// Whether it says what a row is: it is repeated where a terminal is too narrow for one table.
    pub is_key: bool,
    /// Whether it says something of the column before it, beside which it then stays.
    pub is_remark: bool,
}

impl Column {
    /// A column of words.
    pub fn text(header: impl Into<String>) -> Self {
        let (header, unit, direction) = (header.into(), String::new(), Direction::Neutral);
        Self { header, unit, alignment: Alignment::Left, direction, is_spread: false, is_key: false, is_remark: false }
    }

    /// A column of numbers.
    pub fn number(header: impl Into<String>) -> Self {
        Self { alignment: Alignment::Right, ..Self::text(header) }
    }

    /// A column of means and deviations.
    pub fn spread(header: impl Into<String>) -> Self {
        Self { is_spread: true, ..Self::number(header) }
    }

    /// The same, saying what a row is.
    pub fn key(self) -> Self {
        Self { is_key: true, ..self }
    }

    pub(crate) fn heading(&self, line_break: &str) -> String {
        let arrow = match self.direction {
            Direction::LowerIsBetter => " ↓",
            Direction::HigherIsBetter => " ↑",
            Direction::Neutral => "",
        };
        let unit = if self.unit.is_empty() { String::new() } else { format!("{line_break}({})", self.unit) };
        format!("{}{arrow}{unit}", self.header)
    }
}

/// What stands in a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing: does not apply.
    Empty,
    /// Words, or a number as somebody wrote it.
    Text(String),
    /// A count.
    Integer(u64),
    /// A measured number.
    Number(f64),
    /// Mean and standard deviation.
    Spread(Spread),
}

impl Cell {
    /// Rounded for people.
    pub(crate) fn rounded(&self) -> String {
        match self {
            Cell::Empty => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Integer(number) => number.to_string(),
            Cell::Number(number) => significant(*number, 5),
            Cell::Spread(spread) => mean_and_deviation(spread.mean, spread.deviation),
        }
    }

    /// What is compared.
    fn value(&self) -> Option<f64> {
        match self {
            Cell::Number(number) => Some(*number),
            Cell::Spread(spread) => Some(spread.mean),
            _ => None,
        }
    }
}

/// One line of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// One cell per column; missing ones are empty.
    pub cells: Vec<Cell>,
    /// Whether it takes part in the comparison; baselines do not.
    pub is_compared: bool,
}

impl Row {
    /// A row that takes part in the comparison.
    pub fn new(cells: Vec<Cell>) -> Self {
        Self { cells, is_compared: true }
    }
}

/// Columns and rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Heads.
    pub columns: Vec<Column>,
    /// Lines.
    pub rows: Vec<Row>,
}

impl Table {
    /// Comma-separated values (RFC 4180, `\n` at line ends), every number with as many digits as it takes to read
    /// back the same.
    pub fn to_csv(&self) -> String {
        let mut csv = String::new();
        let heads = self.columns.iter().flat_map(|column| match column.is_spread {
            true => vec![format!("{}_mean", column.header), format!("{}_std", column.header)],
            false => vec![column.header.clone()],
        });
        push_record(&mut csv, heads);
        for row in &self.rows {
            let fields = self.columns.iter().enumerate().flat_map(|(index, column)| {
                let cell = row.cells.get(index).unwrap_or(&Cell::Empty);
                let first = match cell {
                    Cell::Number(number) => exact(*number),
                    Cell::Spread(spread) => exact(spread.mean),
                    other => other.rounded(),
                };
                let deviation = match cell {
                    Cell::Spread(Spread { deviation: Some(deviation), .. }) => exact(*deviation),
                    _ => String::new(),
                };
                if column.is_spread { vec![first, deviation] } else { vec![first] }
            });
            push_record(&mut csv, fields);
        }
        csv
    }

    /// A Markdown table whose source can be read too; the best mean of each column with a direction is bold.
    pub fn to_markdown(&self) -> String {
        let best: Vec<Option<f64>> = (0..self.columns.len()).map(|column| self.best(column)).collect();
        let lines: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| {
                (0..self.columns.len())
                    .map(|column| {
                        let cell = row.cells.get(column).unwrap_or(&Cell::Empty);
                        let text = cell.rounded().replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ");
                        if row.is_compared && cell.value().is_some() && cell.value() == best[column] { format!("**{text}**") } else { text }
                    })
                    .collect()
            })
            .collect();
        let heads: Vec<String> = self.columns.iter().map(|column| column.heading("<br>").replace('|', "\\|")).collect();
        let width = |text: &String| text.chars().count();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| lines.iter().map(|line| width(&line[column])).chain([width(&heads[column]), 3]).max().unwrap_or(3))
            .collect();
        let mut markdown = String::new();
        let mut push_line = |cells: &[String]| {
            for ((cell, width), column) in cells.iter().zip(&widths).zip(&self.columns) {
                let padding = " ".repeat(width - cell.chars().count());
                match column.alignment {
                    Alignment::Left => markdown.push_str(&format!("| {cell}{padding} ")),
                    Alignment::Right => markdown.push_str(&format!("| {padding}{cell} ")),
                }
            }
            markdown.push_str("|\n");
        };
        push_line(&heads);
        let rules: Vec<String> = self
            .columns
            .iter()
            .zip(&widths)
            .map(|(column, width)| match column.alignment {
                Alignment::Left => "-".repeat(*width),
                Alignment::Right => format!("{}:", "-".repeat(width - 1)),
            })
            .collect();
        push_line(&rules);
        lines.iter().for_each(|line| push_line(line));
        markdown
    }

    /// The best value of a column among the rows that are compared, where there are two or more.
    fn best(&self, column: usize) -> Option<f64> {
        let values: Vec<f64> = self
            .rows
            .iter()
            .filter(|row| row.is_compared)
            .filter_map(|row| row.cells.get(column).and_then(Cell::value))
            .filter(|value| value.is_finite())
            .collect();
        if values.len() < 2 {
            return None;
        }
        match self.columns[column].direction {
            Direction::LowerIsBetter => values.into_iter().reduce(f64::min),
            Direction::HigherIsBetter => values.into_iter().reduce(f64::max),
            Direction::Neutral => None,
        }
    }
}

/// One line of CSV. A field with a separator, a quote or a line break is quoted.
fn push_record(csv: &mut String, fields: impl Iterator<Item = String>) {
    for (index, field) in fields.enumerate() {
        if index > 0 {
            csv.push(',');
        }
        if field.contains([',', '"', '\n', '\r']) {
            csv.push_str(&format!("\"{}\"", field.replace('"', "\"\"")));
        } else {
            csv.push_str(&field);
        }
    }
    csv.push('\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(csv: &str) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(csv.as_bytes());
        reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_spread_has_two_columns_even_where_it_is_empty() {
        let spread = Cell::Spread(Spread { mean: 0.1 + 0.2, deviation: Some(1e-7), num: 2 });
        let table = Table {
            columns: vec![Column::text("model"), Column::spread("sse"), Column::number("n")],
            rows: vec![
                Row::new(vec![Cell::Text("a".into()), spread, Cell::Integer(2)]),
                Row::new(vec![Cell::Text("b".into()), Cell::Spread(Spread { mean: f64::NAN, deviation: None, num: 1 })]),
                Row::new(vec![Cell::Text("c".into())]),
            ],
        };
        assert_eq!(table.to_csv(), "model,sse_mean,sse_std,n\na,0.30000000000000004,1e-7,2\nb,NaN,,\nc,,,\n");
    }

    #[test]
    fn the_best_of_those_compared_is_bold() {
        let column = |direction| Column { direction, ..Column::number("x") };
        let row = |value: f64| Row::new(vec![Cell::Number(value), Cell::Number(value)]);
        let mut table = Table {
            columns: vec![column(Direction::LowerIsBetter), column(Direction::HigherIsBetter)],
            rows: vec![row(2.0), row(3.0), row(f64::NAN)],
        };
        table.rows.push(Row { is_compared: false, ..row(1.0) });
        let markdown = table.to_markdown();
        let lines: Vec<&str> = markdown.lines().collect();
        assert_eq!(
            lines[2..],
            ["| **2.0000** |     2.0000 |", "|     3.0000 | **3.0000** |", "|        NaN |        NaN |", "|     1.0000 |     1.0000 |"]
        );
    }

    proptest! {
        #[test]
        fn csv_reads_back_as_what_was_written(cells in proptest::collection::vec(("\\PC{0,8}[,\"\n]?\\PC{0,4}", any::<f64>()), 1..8)) {
            let rows = cells.iter().map(|(text, number)| Row::new(vec![Cell::Text(text.clone()), Cell::Number(*number)])).collect();
            let table = Table { columns: vec![Column::text("text"), Column::number("number")], rows };
            let read = parse(&table.to_csv());
            prop_assert_eq!(read.len(), cells.len() + 1);
            for ((text, number), record) in cells.iter().zip(&read[1..]) {
                prop_assert_eq!(text, &record[0]);
                let found: f64 = record[1].parse().unwrap();
                prop_assert!(found == *number || (found.is_nan() && number.is_nan()));
            }
        }
    }
}
