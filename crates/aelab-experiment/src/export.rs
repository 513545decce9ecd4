//! Results as tables for other programs: CSV, JSON and Parquet.
//!
//! One row per trial with its settings, state, size, time and metrics; or, of the curves, one row per logged value. Columns have types:
//! a setting that is a number in every trial is a column of numbers.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::KeyPath;
use crate::plan::{Plan, PlannedTrial, short_value};
use crate::reading::map_trials;
use crate::result::{TrialResult, TrialState};
use crate::run_dir::{RunDir, RunDirError};

/// Rows of curves that are held at a time.
const ROWS_AT_A_TIME: usize = 1 << 17;
/// A line of `metrics.jsonl` is not longer than this.
const MOST_LINE_BYTES: usize = 16 << 20;

/// A column with a value or nothing per row.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Words.
    Text(Vec<Option<String>>),
    /// Counts and whole numbers.
    Integer(Vec<Option<i64>>),
    /// Measured numbers; NaN is one.
    Number(Vec<Option<f64>>),
    /// Yes or no.
    Boolean(Vec<Option<bool>>),
}

/// What a column is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportColumn {
    /// Name.
    pub name: String,
    /// `text`, `integer`, `number`, `boolean`.
    pub r#type: &'static str,
    /// What it is measured in; empty for a plain number.
    pub unit: String,
    /// Whether `lower` or `higher` is better; empty where neither is.
    pub direction: String,
    /// The values.
    #[serde(skip)]
    pub values: Values,
}

impl ExportColumn {
    fn new(name: impl Into<String>, values: Values) -> Self {
        let r#type = match values {
            Values::Text(_) => "text",
            Values::Integer(_) => "integer",
            Values::Number(_) => "number",
            Values::Boolean(_) => "boolean",
        };
        Self { name: name.into(), r#type, unit: String::new(), direction: String::new(), values }
    }

    fn with_unit(self, unit: &str) -> Self {
        Self { unit: unit.to_owned(), ..self }
    }
}

/// Columns of one length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExportTable {
    /// The columns.
    pub columns: Vec<ExportColumn>,
    /// Rows of each.
    pub num_rows: usize,
}

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// Comma-separated values (RFC 4180); nothing is an empty field.
    Csv,
    /// `{"columns": [...], "rows": [{...}, ...]}`; a number that is not finite is a text, as JSON has none.
    Json,
    /// Apache Parquet, version 1, with optional columns.
    Parquet,
}

/// Why nothing was exported, or not all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The run directory cannot be read.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// A curve cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The table cannot be written.
    #[error("cannot write the table")]
    Write(#[from] io::Error),
    /// The table cannot be written as CSV.
    #[error("cannot write the table as CSV")]
    Csv(#[from] csv::Error),
    /// The table cannot be written as Parquet.
    #[error("cannot write the table as Parquet")]
    Parquet(#[from] ParquetError),
}

/// One row per trial at `indices` of the plan, in that order.
///
/// # Errors
/// The first trial whose files cannot be read.
pub fn export_trials(run_dir: &RunDir, plan: &Plan, indices: &[usize]) -> Result<ExportTable, ExportError> {
    let trials: Vec<&PlannedTrial> = indices.iter().map(|index| &plan.trials[*index]).collect();
    let read: Vec<(TrialState, Option<TrialResult>)> = map_trials(run_dir, &trials, |_, state, result| (state, result))?;
    let text = |of: &dyn Fn(usize) -> Option<String>| Values::Text((0..trials.len()).map(of).collect());
    let integer = |of: &dyn Fn(usize) -> Option<i64>| Values::Integer((0..trials.len()).map(of).collect());
    let number = |of: &dyn Fn(usize) -> Option<f64>| Values::Number((0..trials.len()).map(of).collect());
    let result = |row: usize| read[row].1.as_ref();
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let first_line = |error: &String| error.lines().next().unwrap_or_default().to_owned();

    let mut columns = vec![
        ExportColumn::new("trial", integer(&|row| Some(trials[row].index as i64 + 1))),
        ExportColumn::new("hash", text(&|row| Some(trials[row].hash.clone()))),
        ExportColumn::new("state", text(&|row| Some(read[row].0.name().to_owned()))),
        ExportColumn::new("reason", text(&|row| result(row)?.error.as_ref().map(first_line))),
        ExportColumn::new("model", text(&|row| Some(trials[row].model.clone()))),
        ExportColumn::new("data", text(&|row| Some(trials[row].data.clone()))),
        ExportColumn::new("code_size", integer(&|row| Some(trials[row].code_size as i64))),
        ExportColumn::new("seed", integer(&|row| Some(count(trials[row].seed)))),
    ];
    columns.extend(settings(&trials));
    columns.extend([
        ExportColumn::new("num_parameters", integer(&|row| result(row).map(|result| result.num_parameters as i64))),
        ExportColumn::new("epochs", integer(&|row| result(row).map(|result| count(result.epochs_run)))),
        ExportColumn::new("steps", integer(&|row| result(row).map(|result| count(result.steps)))),
        ExportColumn::new("best_epoch", integer(&|row| result(row)?.best_epoch.map(count))),
        ExportColumn::new("seconds", number(&|row| result(row).map(|result| result.seconds))).with_unit("s"),
        ExportColumn::new("measuring_seconds", number(&|row| result(row).map(|result| result.measuring_seconds))).with_unit("s"),
    ]);
    let mut places: HashMap<String, usize> = HashMap::new();
    for (row, (_, result)) in read.iter().enumerate() {
        for metric in result.iter().flat_map(|result| &result.metrics) {
            let place = match places.get(&metric.name) {
                Some(place) => *place,
                None => {
                    // What would be taken for another column says what it is.
                    let is_taken = columns.iter().any(|column| column.name == metric.name);
                    let name = if is_taken { format!("eval/{}", metric.name) } else { metric.name.clone() };
                    let direction =
                        if matches!(metric.direction.as_str(), "lower" | "higher") { metric.direction.clone() } else { String::new() };
                    let column = ExportColumn::new(name, Values::Number(vec![None; trials.len()])).with_unit(&metric.unit);
                    columns.push(ExportColumn { direction, ..column });
                    places.insert(metric.name.clone(), columns.len() - 1);
                    columns.len() - 1
                }
            };
            if let Values::Number(values) = &mut columns[place].values {
                values[row].get_or_insert(metric.value);
            }
        }
    }
    Ok(ExportTable { columns, num_rows: trials.len() })
}

/// The swept settings, the same one of several models in one column: `model.*.code_size`.
fn settings(trials: &[&PlannedTrial]) -> Vec<ExportColumn> {
    let mut names: Vec<String> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut families: HashMap<&str, String> = HashMap::new();
    let mut values: Vec<Vec<Option<Value>>> = Vec::new();
    for (row, trial) in trials.iter().enumerate() {
        for (path, value) in trial.overrides.iter().filter(|(path, _)| path != "model" && path != "data") {
            let family = families.entry(path).or_insert_with(|| KeyPath::parse(path).family().to_string()).clone();
            let place = *places.entry(family.clone()).or_insert_with(|| {
                names.push(family);
                values.push(vec![None; trials.len()]);
                values.len() - 1
            });
            values[place][row].get_or_insert_with(|| value.clone());
        }
    }
    names.into_iter().zip(values).map(|(name, values)| ExportColumn::new(name, typed(values))).collect()
}

/// The narrowest type that all values have.
fn typed(values: Vec<Option<Value>>) -> Values {
    let all = |test: fn(&Value) -> bool| values.iter().flatten().all(test);
    if all(Value::is_boolean) {
        Values::Boolean(values.into_iter().map(|value| value?.as_bool()).collect())
    } else if all(Value::is_i64) {
        Values::Integer(values.into_iter().map(|value| value?.as_i64()).collect())
    } else if all(Value::is_number) {
        Values::Number(values.into_iter().map(|value| value?.as_f64()).collect())
    } else {
        Values::Text(values.into_iter().map(|value| Some(short_value(&value?))).collect())
    }
}

/// Every logged value of the trials at `indices` of the plan: `trial`, `hash`, `step`, `epoch`, `name`, `value`, in parts of a bounded
/// number of rows. Lines that are not whole are passed over: a trial that runs may be writing one.
///
/// # Errors
/// Those of reading, and those of `take`.
pub fn export_curves(
    run_dir: &RunDir,
    plan: &Plan,
    indices: &[usize],
    take: &mut dyn FnMut(ExportTable) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let mut pending = CurveRows::default();
    // Several files are read at once; a few, so that they do not fill the memory.
    for some in indices.chunks(64) {
        let read = some
            .par_iter()
            .map(|index| {
                let trial = &plan.trials[*index];
                let path = run_dir.trial(&trial.hash).metrics_path();
                read_curves(&path).map_err(|source| ExportError::Read { path, source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        for (index, points) in some.iter().zip(read) {
            for point in points {
                pending.push(*index, &plan.trials[*index].hash, point);
                if pending.value.len() == ROWS_AT_A_TIME {
                    take(std::mem::take(&mut pending).table())?;
                }
            }
        }
    }
    take(pending.table())
}

/// A logged value.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePoint {
    /// Optimizer steps behind it.
    pub step: Option<u64>,
    /// Epochs behind it.
    pub epoch: Option<f64>,
    /// `train/loss`.
    pub name: Arc<str>,
    /// The value; NaN and infinities are values.
    pub value: f64,
}

/// The values of a `metrics.jsonl`, in its order; none where it is not there.
pub fn read_curves(path: &Path) -> io::Result<Vec<CurvePoint>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::new(file);
    let (mut points, mut line) = (Vec::new(), Vec::new());
    let mut names: HashMap<String, Arc<str>> = HashMap::new();
    while next_line(&mut reader, &mut line)? {
        let Ok(Value::Object(entries)) = serde_json::from_slice::<Value>(&line) else { continue };
        let (step, epoch) = (entries.get("step").and_then(Value::as_u64), entries.get("epoch").and_then(Value::as_f64));
        for (name, value) in entries.iter().filter(|(name, _)| name.contains('/')) {
            // Numbers that JSON does not have are texts.
            let Some(value) = value.as_f64().or_else(|| value.as_str()?.parse().ok()) else { continue };
            let name = match names.get(name) {
                Some(name) => Arc::clone(name),
                None => Arc::clone(names.entry(name.clone()).or_insert_with(|| Arc::from(name.as_str()))),
            };
            points.push(CurvePoint { step, epoch, name, value });
        }
    }
    Ok(points)
}

/// The next line, an endless one cut off; `false` at the end.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    use io::Read;
    line.clear();
    let num = reader.by_ref().take(MOST_LINE_BYTES as u64).read_until(b'\n', line)?;
    Ok(num > 0)
}

#[derive(Default)]
struct CurveRows {
    trial: Vec<Option<i64>>,
    hash: Vec<Option<String>>,
    step: Vec<Option<i64>>,
    epoch: Vec<Option<f64>>,
    name: Vec<Option<String>>,
    value: Vec<Option<f64>>,
}

impl CurveRows {
    fn push(&mut self, index: usize, hash: &str, point: CurvePoint) {
        self.trial.push(Some(index as i64 + 1));
        self.hash.push(Some(hash.to_owned()));
        self.step.push(point.step.and_then(|step| i64::try_from(step).ok()));
        self.epoch.push(point.epoch);
        self.name.push(Some(point.name.to_string()));
        self.value.push(Some(point.value));
    }

    fn table(self) -> ExportTable {
        let num_rows = self.value.len();
        let columns = vec![
            ExportColumn::new("trial", Values::Integer(self.trial)),
            ExportColumn::new("hash", Values::Text(self.hash)),
            ExportColumn::new("step", Values::Integer(self.step)),
            ExportColumn::new("epoch", Values::Number(self.epoch)),
            ExportColumn::new("name", Values::Text(self.name)),
            ExportColumn::new("value", Values::Number(self.value)),
        ];
        ExportTable { columns, num_rows }
    }
}

/// Writes tables of the same columns one below the other.
pub enum TableWriter<W: Write + Send> {
    /// See [`ExportFormat::Csv`].
    Csv {
        /// Where it goes.
        writer: Box<csv::Writer<W>>,
        /// Whether the names of the columns have been written.
        has_columns: bool,
    },
    /// See [`ExportFormat::Json`].
    Json {
        /// Where it goes.
        output: W,
        /// Whether the columns have been written.
        has_columns: bool,
        /// Whether a row has been written.
        has_rows: bool,
    },
    /// See [`ExportFormat::Parquet`]. It begins when the columns are known.
    Parquet {
        /// Where it goes, until it has begun.
        output: Option<W>,
        /// What has begun.
        writer: Option<Box<SerializedFileWriter<W>>>,
    },
}

impl<W: Write + Send> TableWriter<W> {
    /// A table in `format` that goes to `output`.
    pub fn new(format: ExportFormat, output: W) -> Self {
        match format {
            ExportFormat::Csv => Self::Csv { writer: Box::new(csv::Writer::from_writer(output)), has_columns: false },
            ExportFormat::Json => Self::Json { output, has_columns: false, has_rows: false },
            ExportFormat::Parquet => Self::Parquet { output: Some(output), writer: None },
        }
    }

    /// Adds the rows of a table; the first one says which columns there are.
    ///
    /// # Errors
    /// Those of the output.
    pub fn add(&mut self, table: &ExportTable) -> Result<(), ExportError> {
        match self {
            Self::Csv { writer, has_columns } => {
                if !std::mem::replace(has_columns, true) {
                    writer.write_record(table.columns.iter().map(|column| &column.name))?;
                }
                let mut field = String::new();
                for row in 0..table.num_rows {
                    for column in &table.columns {
                        field.clear();
                        push_field(&mut field, &column.values, row);
                        writer.write_field(&field)?;
                    }
                    writer.write_record(None::<&[u8]>)?;
                }
                Ok(())
            }
            Self::Json { output, has_columns, has_rows } => {
                if !std::mem::replace(has_columns, true) {
                    write!(output, "{{\"columns\": {},\n \"rows\": [", serde_json::to_string(&table.columns).map_err(io::Error::from)?)?;
                }
                for row in 0..table.num_rows {
                    let entries: Map<String, Value> =
                        table.columns.iter().map(|column| (column.name.clone(), json_value(&column.values, row))).collect();
                    output.write_all(if std::mem::replace(has_rows, true) { b",\n  " } else { b"\n  " })?;
                    serde_json::to_writer(&mut *output, &entries).map_err(io::Error::from)?;
                }
                Ok(())
            }
            Self::Parquet { output, writer } => {
                if let Some(output) = output.take() {
                    *writer = Some(Box::new(SerializedFileWriter::new(output, schema_of(table)?, properties(table)?)?));
                }
                let Some(writer) = writer else { return Ok(()) };
                // A group without rows says nothing, but a file without any group is one that some readers refuse.
                let mut group = writer.next_row_group()?;
                for column in &table.columns {
                    let Some(mut out) = group.next_column()? else { break };
                    match &column.values {
                        Values::Text(values) => {
                            let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
                            let present: Vec<ByteArray> = values.iter().flatten().map(|value| ByteArray::from(value.as_str())).collect();
                            out.typed::<ByteArrayType>().write_batch(&present, Some(&levels), None)?;
                        }
                        Values::Integer(values) => {
                            let (levels, present) = split(values);
                            out.typed::<Int64Type>().write_batch(&present, Some(&levels), None)?;
                        }
                        Values::Number(values) => {
                            let (levels, present) = split(values);
                            out.typed::<DoubleType>().write_batch(&present, Some(&levels), None)?;
                        }
                        Values::Boolean(values) => {
                            let (levels, present) = split(values);
                            out.typed::<BoolType>().write_batch(&present, Some(&levels), None)?;
                        }
                    }
                    out.close()?;
                }
                group.close()?;
                Ok(())
            }
        }
    }

    /// Writes what comes last.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(self) -> Result<(), ExportError> {
        match self {
            Self::Csv { mut writer, .. } => writer.flush()?,
            Self::Json { mut output, .. } => {
                output.write_all(b"\n ]}\n")?;
                output.flush()?;
            }
            Self::Parquet { writer, .. } => {
                if let Some(writer) = writer {
                    writer.close()?;
                }
            }
        }
        Ok(())
    }
}

fn split<T: Copy>(values: &[Option<T>]) -> (Vec<i16>, Vec<T>) {
    (values.iter().map(|value| i16::from(value.is_some())).collect(), values.iter().flatten().copied().collect())
}

fn push_field(field: &mut String, values: &Values, row: usize) {
    use std::fmt::Write;
    let _ = match values {
        Values::Text(values) => values[row].as_ref().map(|value| field.write_str(value)),
        Values::Integer(values) => values[row].map(|value| write!(field, "{value}")),
        // As many digits as it takes to read back the same.
        Values::Number(values) => values[row].map(|value| write!(field, "{value:?}")),
        Values::Boolean(values) => values[row].map(|value| write!(field, "{value}")),
    };
}

fn json_value(values: &Values, row: usize) -> Value {
    match values {
        Values::Text(values) => json!(values[row]),
        Values::Integer(values) => json!(values[row]),
        Values::Number(values) => match values[row] {
            Some(value) if !value.is_finite() => json!(value.to_string()),
            value => json!(value),
        },
        Values::Boolean(values) => json!(values[row]),
    }
}

fn schema_of(table: &ExportTable) -> Result<Arc<Type>, ExportError> {
    let mut fields = Vec::new();
    for column in &table.columns {
        let (physical, converted) = match column.values {
            Values::Text(_) => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
            Values::Integer(_) => (Physical::INT64, ConvertedType::NONE),
            Values::Number(_) => (Physical::DOUBLE, ConvertedType::NONE),
            Values::Boolean(_) => (Physical::BOOLEAN, ConvertedType::NONE),
        };
        let builder = Type::primitive_type_builder(&column.name, physical);
        fields.push(Arc::new(builder.with_repetition(Repetition::OPTIONAL).with_converted_type(converted).build()?));
    }
    Ok(Arc::new(Type::group_type_builder("aelab").with_fields(fields).build()?))
}

/// Units and directions go along as `aelab.columns`, as in the JSON.
fn properties(table: &ExportTable) -> Result<Arc<WriterProperties>, ExportError> {
    let columns = serde_json::to_string(&table.columns).map_err(io::Error::from)?;
    let of_table = KeyValue::new("aelab.columns".to_owned(), columns);
    Ok(Arc::new(WriterProperties::builder().set_key_value_metadata(Some(vec![of_table])).build()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    fn fixture() -> Fixture {
        use TrialState::{Diverged, Finished, Pending};
        let mut fixture = Fixture::new(&[(Finished, 0.1 + 0.2), (Pending, 0.0), (Diverged, 0.0), (Finished, f64::INFINITY.min(1e300))]);
        for (index, trial) in fixture.plan.trials.iter_mut().enumerate() {
            trial.overrides.push(("train.keep".into(), if index == 0 { "best, \"or\" last".into() } else { "last".into() }));
            trial.overrides.push(("model.vae.tied".into(), (index % 2 == 0).into()));
            if index > 0 {
                trial.overrides.push(("model.vae.beta".into(), if index == 1 { 2.into() } else { 0.5.into() }));
            }
        }
        fixture
    }

    fn written(format: ExportFormat, tables: &[ExportTable]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        let mut writer = TableWriter::new(format, File::create(&path).unwrap());
        tables.iter().for_each(|table| writer.add(table).unwrap());
        writer.finish().unwrap();
        std::fs::read(path).unwrap()
    }

    fn column<'a>(table: &'a ExportTable, name: &str) -> &'a ExportColumn {
        table.columns.iter().find(|column| column.name == name).unwrap_or_else(|| panic!("{name}"))
    }

    #[test]
    fn columns_have_the_types_units_and_gaps_of_what_they_hold() {
        let fixture = fixture();
        let table = export_trials(&fixture.run_dir, &fixture.plan, &[0, 1, 2]).unwrap();
        assert_eq!(table.num_rows, 3);
        assert_eq!(column(&table, "sse").values, Values::Number(vec![Some(0.1 + 0.2), None, None]));
        assert_eq!((column(&table, "sse").unit.as_str(), column(&table, "sse").direction.as_str()), ("squared units/example", "lower"));
        assert_eq!(column(&table, "model.*.latent_dim").values, Values::Integer(vec![Some(1), Some(2), Some(3)]));
        assert_eq!(column(&table, "model.*.beta").values, Values::Number(vec![None, Some(2.0), Some(0.5)]));
        assert_eq!(column(&table, "model.*.tied").values, Values::Boolean(vec![Some(true), Some(false), Some(true)]));
        let Values::Text(states) = &column(&table, "state").values else { panic!("words") };
        assert_eq!(states.iter().flatten().collect::<Vec<_>>(), ["finished", "pending", "diverged"]);
        let Values::Text(reasons) = &column(&table, "reason").values else { panic!("words") };
        assert_eq!(reasons[2].as_deref(), Some("it did not work"));
    }

    #[test]
    fn csv_and_json_read_back_as_what_was_written() {
        let fixture = fixture();
        let table = export_trials(&fixture.run_dir, &fixture.plan, &[3, 0, 1]).unwrap();
        let bytes = written(ExportFormat::Csv, std::slice::from_ref(&table));
        let mut reader = csv::Reader::from_reader(&bytes[..]);
        let heads = reader.headers().unwrap().clone();
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let at = |row: usize, name: &str| records[row].get(heads.iter().position(|head| head == name).unwrap()).unwrap();
        assert_eq!(at(1, "sse").parse::<f64>().unwrap(), 0.1 + 0.2);
        assert_eq!((at(0, "trial"), at(2, "sse"), at(1, "train.keep")), ("4", "", "best, \"or\" last"));
        let bytes = written(ExportFormat::Json, std::slice::from_ref(&table));
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["rows"].as_array().unwrap().len(), 3);
        assert_eq!((&json["rows"][1]["sse"], &json["rows"][2]["sse"]), (&json!(0.1 + 0.2), &Value::Null));
        assert!(
            json["columns"].as_array().unwrap().iter().any(|column| column["name"] == "sse" && column["unit"] == "squared units/example")
        );
        let empty = ExportTable::default();
        let json: Value = serde_json::from_slice(&written(ExportFormat::Json, &[empty])).unwrap();
        assert_eq!(json["rows"], json!([]));
    }

    #[test]
    fn parquet_reads_back_as_what_was_written_with_types_gaps_and_units() {
        let fixture = fixture();
        let table = export_trials(&fixture.run_dir, &fixture.plan, &[0, 1, 2, 3]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        std::fs::write(&path, written(ExportFormat::Parquet, &[table.clone(), table.clone()])).unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let metadata = reader.metadata().file_metadata();
        assert_eq!((reader.num_row_groups(), metadata.num_rows()), (2, 8));
        let units = metadata.key_value_metadata().unwrap().iter().find(|entry| entry.key == "aelab.columns").unwrap();
        assert!(units.value.as_ref().unwrap().contains("squared units/example"));
        let mut num_rows = 0;
        for (row, record) in reader.get_row_iter(None).unwrap().enumerate() {
            let record = record.unwrap();
            for ((name, field), column) in record.get_column_iter().zip(&table.columns) {
                assert_eq!(*name, column.name);
                let row = row % 4;
                let expected = match &column.values {
                    Values::Text(values) => values[row].clone().map_or(Field::Null, Field::Str),
                    Values::Integer(values) => values[row].map_or(Field::Null, Field::Long),
                    Values::Number(values) => values[row].map_or(Field::Null, Field::Double),
                    Values::Boolean(values) => values[row].map_or(Field::Null, Field::Bool),
                };
                assert_eq!(*field, expected, "{name} of row {row}");
            }
            num_rows += 1;
        }
        assert_eq!(num_rows, 8);
    }

    #[test]
    fn curves_are_long_and_a_torn_line_is_passed_over() {
        let fixture = fixture();
        let path = fixture.run_dir.trial(&fixture.plan.trials[2].hash).metrics_path();
        let lines = b"{\"step\": 10, \"epoch\": 0.5, \"train/loss\": 2.5, \"train/kl\": \"NaN\"}\n{\"step\": 20, \"epoch\": 1.0, \"valid/loss\": 2}\n{\"step\": 30, \"ep\xff";
        std::fs::write(&path, lines).unwrap();
        let mut tables = Vec::new();
        export_curves(&fixture.run_dir, &fixture.plan, &[0, 2], &mut |table| {
            tables.push(table);
            Ok(())
        })
        .unwrap();
        let [table] = &tables[..] else { panic!("one part") };
        let Values::Number(values) = &column(table, "value").values else { panic!("numbers") };
        assert!(values[..] == [Some(2.5), values[1], Some(2.0)] || values[1].is_some_and(f64::is_nan), "{values:?}");
        assert_eq!(values.len(), 3);
        assert_eq!(column(table, "trial").values, Values::Integer(vec![Some(3); 3]));
        assert_eq!(column(table, "step").values, Values::Integer(vec![Some(10), Some(10), Some(20)]));
        for format in [ExportFormat::Csv, ExportFormat::Json, ExportFormat::Parquet] {
            assert!(!written(format, &tables).is_empty());
        }
    }
}
