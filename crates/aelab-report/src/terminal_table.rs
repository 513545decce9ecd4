//! A table on a terminal. No word and no number is ever broken: columns that do not fit side by side become tables one below
//! the other, each of which begins with the columns that say what a row is.

use comfy_table::{CellAlignment, LineStyle, TableStyle};

use crate::table::{Alignment, Cell, Table};

/// Prose is wrapped between words, but not into a column narrower than this.
const PROSE_WIDTH: usize = 24;
/// Between two columns, and in all at both ends of a line less one.
const GAP: usize = 3;

/// A column as text.
struct TextColumn {
    head: String,
    cells: Vec<String>,
    alignment: Alignment,
    is_key: bool,
    is_remark: bool,
}

impl TextColumn {
    fn lines(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().flat_map(|cell| cell.lines())
    }

    fn head_width(&self) -> usize {
        self.head.lines().map(width).max().unwrap_or(0)
    }

    /// With every cell in one line.
    fn natural_width(&self) -> usize {
        self.lines().map(width).max().unwrap_or(0).max(self.head_width())
    }

    /// With long prose wrapped.
    fn preferred_width(&self) -> usize {
        match self.alignment {
            Alignment::Left => self.natural_width().min(PROSE_WIDTH.max(self.least_width())),
            Alignment::Right => self.natural_width(),
        }
    }

    /// With no more than a word to a line.
    fn least_width(&self) -> usize {
        match self.alignment {
            Alignment::Left => {
                let longest_word = self.lines().flat_map(str::split_whitespace).map(width).max().unwrap_or(0);
                longest_word.max(self.head_width())
            }
            Alignment::Right => self.natural_width(),
        }
    }

    /// The head in two lines, where it has one that is wider than what stands below it.
    fn with_short_head(mut self) -> Self {
        let body = self.lines().map(width).max().unwrap_or(0);
        if !self.head.contains('\n') && self.head_width() > body {
            // An arrow stays with its name.
            let is_break = |(position, _): &(usize, &str)| !self.head[position + 1..].starts_with(['↓', '↑']);
            let longer = |position: usize| width(&self.head[..position]).max(width(&self.head[position + 1..]));
            let best = self.head.match_indices(' ').filter(is_break).map(|(position, _)| position).min_by_key(|position| longer(*position));
            if let Some(position) = best {
                self.head.replace_range(position..=position, "\n");
            }
        }
        self
    }
}

impl Table {
    /// A table for a terminal of `width` columns; as wide as it needs to be for `None`.
    pub fn to_terminal(&self, width: Option<u16>) -> String {
        let mut columns = self.text_columns();
        let all: Vec<usize> = (0..columns.len()).collect();
        let Some(width) = width.map(usize::from) else { return rendered(&columns, &all, usize::MAX) };
        if total(columns.iter().map(TextColumn::natural_width)) <= width {
            return rendered(&columns, &all, width);
        }
        columns = columns.into_iter().map(TextColumn::with_short_head).collect();
        let tables = split(&mut columns, self.rows.len(), width);
        tables.iter().map(|indices| rendered(&columns, indices, width)).collect::<Vec<_>>().join("\n\n")
    }

    fn text_columns(&self) -> Vec<TextColumn> {
        let has_keys = self.columns.iter().any(|column| column.is_key);
        let column = |(index, column): (usize, &crate::table::Column)| TextColumn {
            head: column.heading("\n"),
            cells: self.rows.iter().map(|row| row.cells.get(index).unwrap_or(&Cell::Empty).rounded()).collect(),
            alignment: column.alignment,
            // What a row is stands first where nobody says otherwise.
            is_key: column.is_key || (!has_keys && index == 0),
            is_remark: column.is_remark,
        };
        self.columns.iter().enumerate().map(column).collect()
    }
}

/// Which columns stand in which table. Keys that would leave too little room are shown once, and the rows are numbered instead, in
/// a column that is added to the others.
fn split(columns: &mut Vec<TextColumn>, num_rows: usize, width: usize) -> Vec<Vec<usize>> {
    let widths: Vec<usize> = columns.iter().map(TextColumn::preferred_width).collect();
    if total(widths.iter().copied()) <= width || columns.len() < 2 {
        return vec![(0..columns.len()).collect()];
    }
    let mut keys: Vec<usize> = (0..columns.len()).filter(|index| columns[*index].is_key).collect();
    let mut others: Vec<usize> = (0..columns.len()).filter(|index| !columns[*index].is_key).collect();
    let with_keys = |keys: &[usize], unit: &[usize]| total(keys.iter().chain(unit).map(|index| widths[*index]));
    let widest = others.iter().map(|index| with_keys(&keys, &[*index])).max().unwrap_or(0);
    if widest > width || with_keys(&keys, &[]) > width * 2 / 3 {
        keys.iter().for_each(|index| columns[*index].is_key = false);
        others = keys.into_iter().chain(others).collect();
        keys = vec![columns.len()];
        columns.push(TextColumn {
            head: "row".to_owned(),
            cells: (1..=num_rows).map(|number| number.to_string()).collect(),
            alignment: Alignment::Right,
            is_key: true,
            is_remark: false,
        });
    }
    let widths: Vec<usize> = columns.iter().map(TextColumn::preferred_width).collect();
    let fits = |indices: &[usize]| total(indices.iter().map(|index| widths[*index])) <= width;

    let mut units: Vec<Vec<usize>> = Vec::new();
    for index in others {
        match units.last_mut() {
            Some(unit) if columns[index].is_remark && fits(&[&keys[..], unit, &[index]].concat()) => unit.push(index),
            _ => units.push(vec![index]),
        }
    }
    let mut tables: Vec<Vec<usize>> = Vec::new();
    for unit in units {
        match tables.last_mut() {
            Some(table) if fits(&[&table[..], &unit].concat()) => table.extend(unit),
            _ => tables.push([&keys[..], &unit].concat()),
        }
    }
    tables
}

/// Width of a line.
fn total(widths: impl Iterator<Item = usize>) -> usize {
    widths.map(|width| width + GAP).sum::<usize>().saturating_sub(1)
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// The columns named, prose wrapped so that they fit where that is possible.
fn rendered(columns: &[TextColumn], indices: &[usize], available: usize) -> String {
    let shown: Vec<&TextColumn> = indices.iter().map(|index| &columns[*index]).collect();
    let mut widths: Vec<usize> = shown.iter().map(|column| column.natural_width()).collect();
    // First to what still reads well, then to whatever words allow; the widest first.
    for least in [TextColumn::preferred_width, TextColumn::least_width] {
        while total(widths.iter().copied()) > available {
            let excess = total(widths.iter().copied()) - available;
            let candidates = (0..shown.len()).filter(|position| widths[*position] > least(shown[*position]));
            let Some(widest) = candidates.max_by_key(|position| widths[*position]) else { break };
            widths[widest] = least(shown[widest]).max(widths[widest].saturating_sub(excess));
        }
    }
    let mut table = comfy_table::Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_header(shown.iter().map(|column| column.head.as_str()));
    // Of several tables, each leaves out what it has nothing to say of.
    let is_part = indices.len() < columns.len();
    let is_empty = |row: usize| shown.iter().all(|column| column.is_key || column.cells[row].trim().is_empty());
    for row in (0..shown.first().map_or(0, |column| column.cells.len())).filter(|row| !(is_part && is_empty(*row))) {
        table.add_row(shown.iter().zip(&widths).map(|(column, width)| match column.alignment {
            Alignment::Left => wrapped(&column.cells[row], *width),
            Alignment::Right => column.cells[row].clone(),
        }));
    }
    for (column, shown) in table.column_iter_mut().zip(&shown) {
        column.set_cell_alignment(match shown.alignment {
            Alignment::Left => CellAlignment::Left,
            Alignment::Right => CellAlignment::Right,
        });
    }
    table.trim_fmt()
}

/// Text with line breaks instead of some of its spaces, so that no line is longer than `max` or than its only word.
fn wrapped(text: &str, max: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if width(line) <= max {
            lines.push(line.to_owned());
            continue;
        }
        let mut current = String::new();
        for word in line.split_whitespace() {
            if !current.is_empty() && width(&current) + 1 + width(word) > max {
                lines.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::summary::Spread;
    use crate::table::{Column, Row};

    /// Two keys and `num` metrics with long names, over two rows.
    fn measured(num: usize) -> Table {
        let mut columns = vec![Column::text("model").key(), Column::number("code size").key()];
        columns.extend((0..num).map(|index| Column { unit: "nats/example".into(), ..Column::spread(format!("sample quality {index}")) }));
        let spread = |mean: f64| Cell::Spread(Spread { mean, deviation: Some(0.25), num: 3 });
        let row = |model: &str, size: u64| {
            let keys = vec![Cell::Text(model.into()), Cell::Integer(size)];
            Row::new(keys.into_iter().chain((0..num).map(|index| spread(index as f64 + 10.5))).collect())
        };
        Table { columns, rows: vec![row("undercomplete", 8), row("beta_vae", 1024)] }
    }

    #[test]
    fn columns_that_do_not_fit_become_tables_that_each_say_what_a_row_is() {
        for width in [160, 110, 100, 80, 60] {
            let text = measured(30).to_terminal(Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{text}");
            let tables: Vec<&str> = text.split("\n\n").collect();
            for table in &tables {
                assert!(table.contains("undercomplete") && table.contains("beta_vae") && table.contains("1024"), "{table}");
                assert_eq!(table.lines().position(|line| line.contains('─')), Some(2), "a name and a unit\n{table}");
            }
            for index in 0..30 {
                assert_eq!(text.matches(&format!("{}.50 ± 0.25", index + 10)).count(), 2, "{text}");
            }
        }
        assert_eq!(measured(2).to_terminal(Some(100)).matches("model").count(), 1, "what fits is one table");
        assert_eq!(measured(30).to_terminal(None).lines().count(), 5);
    }

    #[test]
    fn a_long_name_without_a_unit_stands_in_two_lines_and_keeps_its_arrow() {
        let direction = crate::summary::Direction::LowerIsBetter;
        let mut columns = vec![Column::text("model")];
        columns.extend((0..4).map(|_| Column { direction, ..Column::number("reconstruction frechet distance") }));
        let row = Row::new([vec![Cell::Text("vae".into())], vec![Cell::Number(1.25); 4]].concat());
        let text = Table { columns, rows: vec![row] }.to_terminal(Some(100));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[0].matches("reconstruction").count(), 4, "{text}");
        assert_eq!(lines[1].matches("frechet distance ↓").count(), 4, "{text}");
    }

    #[test]
    fn what_a_column_is_remarked_with_stays_beside_it() {
        let mut columns = vec![Column::text("model").key()];
        for index in 0..6 {
            columns.push(Column::number(format!("metric {index}")));
            columns.push(Column { is_remark: true, ..Column::number(format!("rank {index}")) });
        }
        let row = Row::new([vec![Cell::Text("vae".into())], vec![Cell::Number(1.25); 12]].concat());
        let text = Table { columns, rows: vec![row] }.to_terminal(Some(50));
        for table in text.split("\n\n") {
            let head = table.lines().next().unwrap();
            assert_eq!(head.matches("metric").count(), head.matches("rank").count(), "{text}");
        }
    }

    #[test]
    fn keys_that_fill_the_terminal_are_shown_once_beside_the_number_of_the_row() {
        let mut columns: Vec<Column> = (0..8).map(|index| Column::number(format!("hyperparameter {index}")).key()).collect();
        columns.push(Column::number("SSE"));
        let row = |value: f64| Row::new((0..8).map(Cell::Integer).chain([Cell::Number(value)]).collect());
        let text = Table { columns, rows: vec![row(0.25), row(0.75)] }.to_terminal(Some(60));
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        let tables: Vec<&str> = text.split("\n\n").collect();
        assert!(tables.len() > 1 && tables.iter().all(|table| table.trim_start().starts_with("row")), "{text}");
        let num_rows = |table: &str| table.lines().skip_while(|line| !line.contains('─')).count() - 1;
        assert!(tables.iter().all(|table| num_rows(table) == 2), "{text}");
        assert_eq!(text.matches('7').count(), 4, "the head, two rows, and 0.75000\n{text}");
    }

    #[test]
    fn a_row_that_says_nothing_in_a_table_is_left_out_of_it() {
        let mut table = measured(6);
        table.rows.push(Row::new([vec![Cell::Text("PCA".into()), Cell::Integer(8), Cell::Number(0.5)], vec![Cell::Empty; 5]].concat()));
        let text = table.to_terminal(Some(60));
        assert!(text.split("\n\n").count() > 1, "{text}");
        assert_eq!(text.matches("PCA").count(), 1, "{text}");
        assert_eq!(text.matches("beta_vae").count(), text.split("\n\n").count(), "{text}");
        table.rows.push(Row::new(vec![Cell::Text("nothing at all".into())]));
        assert!(table.to_terminal(None).contains("nothing at all"), "a table that is whole has all of its rows");
    }

    #[test]
    fn prose_is_wrapped_between_words() {
        let text = "the quick brown fox jumps over the lazy dog and over /a/path/that/has/no/space/in/it/at/all";
        let table = Table {
            columns: vec![Column::text("name"), Column::text("definition")],
            rows: vec![Row::new(vec![Cell::Text("fox".into()), Cell::Text(text.into())])],
        };
        let shown = table.to_terminal(Some(60));
        assert!(shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
        assert_eq!(shown.lines().skip(2).flat_map(str::split_whitespace).collect::<Vec<_>>()[1..].join(" "), text);
        assert!(table.to_terminal(None).contains(text));
    }

    #[test]
    fn a_terminal_that_is_narrow_gets_a_narrow_table() {
        let table = Table {
            columns: vec![Column::text("model"), Column::number("a metric with a long name")],
            rows: vec![Row::new(vec![Cell::Text("a model with a long name".into()), Cell::Number(1.0)])],
        };
        assert!(table.to_terminal(Some(30)).lines().all(|line| line.chars().count() <= 30), "{}", table.to_terminal(Some(30)));
        assert!(table.to_terminal(None).contains("a model with a long name"));
    }

    #[test]
    fn a_table_of_nothing_is_nothing_wrong() {
        assert_eq!(Table::default().to_terminal(Some(80)).trim(), "");
        assert!(Table { columns: vec![Column::text("model")], rows: Vec::new() }.to_terminal(Some(3)).contains("model"));
    }

    proptest! {
        #[test]
        fn every_word_and_number_is_there_at_any_width(num in 0usize..12, available in 1u16..200) {
            let text = measured(num).to_terminal(Some(available));
            for index in 0..num {
                let value = format!("{}.50 ± 0.25", index + 10);
                prop_assert_eq!(text.matches(&value).count(), 2);
            }
            prop_assert!(text.contains("undercomplete") && text.contains("beta_vae"));
        }
    }
}
