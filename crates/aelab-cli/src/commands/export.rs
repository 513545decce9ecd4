//! `export`: results as tables for other programs.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use aelab_experiment::{ExportColumn, ExportError, ExportFormat, RunDir, Selection, TableWriter, export_curves, export_trials};
use aelab_files::{AtomicFile, write_atomic};
use aelab_report::{Cell, Column, Row, Table};
use anyhow::{Context, bail};

use crate::EXIT_DONE;
use crate::arguments::{RunArguments, TableFormat};
use crate::terminal::{counted, print_note};

/// Writes a table of trials or of curves.
pub(crate) fn export(
    run: &RunArguments,
    format: TableFormat,
    curves: bool,
    filter: &[Selection],
    output: Option<&Path>,
) -> anyhow::Result<u8> {
    let run_dir = RunDir::open(&run.run, &run.runs)?;
    let plan = run_dir.plan()?;
    let indices = Selection::find(filter, &plan, &run_dir)?;
    let format = match format {
        TableFormat::Csv => ExportFormat::Csv,
        TableFormat::Json => ExportFormat::Json,
        TableFormat::Parquet => ExportFormat::Parquet,
    };
    let mut num_rows = 0;
    let mut columns = Vec::new();
    let mut write_to = |to: Box<dyn Write + Send>| {
        let mut writer = TableWriter::new(format, to);
        if curves {
            export_curves(&run_dir, &plan, &indices, &mut |table| {
                num_rows += table.num_rows;
                writer.add(&table)
            })?;
        } else {
            let table = export_trials(&run_dir, &plan, &indices)?;
            num_rows = table.num_rows;
            writer.add(&table)?;
            columns = table.columns;
        }
        writer.finish()
    };
    match output {
        None if format == ExportFormat::Parquet && io::stdout().is_terminal() => {
            bail!("Parquet is not for a terminal: name a file with --output")
        }
        None => match write_to(Box::new(BufWriter::new(io::stdout()))) {
            // A reader that has gone away (`| head`) is no reason to fail.
            Err(error) if is_broken_pipe(&error) => {}
            outcome => outcome?,
        },
        Some(path) => {
            let cannot_write = || format!("cannot write {}", path.display());
            let mut file = AtomicFile::create(path).with_context(cannot_write)?;
            let to: File = file.file().try_clone().with_context(cannot_write)?;
            write_to(Box::new(BufWriter::with_capacity(1 << 20, to))).with_context(cannot_write)?;
            file.commit().with_context(cannot_write)?;
            if format == ExportFormat::Csv && !curves {
                write_columns(&path.with_extension("columns.csv"), &columns)?;
            }
            let (one, many) = if curves { ("logged value", "logged values") } else { ("trial", "trials") };
            print_note(&format!("written: {}, {}", path.display(), counted(num_rows, one, many)));
        }
    }
    Ok(EXIT_DONE)
}

/// Type, unit and direction of every column: a CSV file has no place for them.
fn write_columns(path: &Path, columns: &[ExportColumn]) -> anyhow::Result<()> {
    let heads = ["name", "type", "unit", "direction"].map(Column::text).to_vec();
    let row = |column: &ExportColumn| {
        let texts = [column.name.as_str(), column.r#type, column.unit.as_str(), column.direction.as_str()];
        Row::new(texts.map(|text| Cell::Text(text.to_owned())).to_vec())
    };
    let table = Table { columns: heads, rows: columns.iter().map(row).collect() };
    write_atomic(path, table.to_csv().as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn is_broken_pipe(error: &ExportError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        next = error.source();
    }
    false
}
