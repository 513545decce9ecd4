//! `csv`: the user's own tables of numbers, separated by commas, tabs or semicolons, plain or gzip.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;
use csv::{ReaderBuilder, StringRecord};
use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{check_event_shape, check_shapes, reshaped, sum_of_given};
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_own;
use crate::formats::payload::{TooMuch, open_text};
use crate::labels::text_classes;
use crate::options::dataset_config;
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin, memory};

dataset_config! { own,
    /// Tables of numbers (CSV, TSV), plain or gzip: one example a line.
    CsvConfig {
        /// The file; relative to the experiment file.
        pub path: PathBuf,
        /// Test examples, where they are apart; the same columns.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub test_path: Option<PathBuf>,
        /// The column of the label, by its name in the header or counted from 0; every other column is a feature.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub label: Option<Column>,
        /// Whether the first line names the columns; when absent, it does if a feature in it is not a number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub header: Option<bool>,
        /// What separates cells; when absent, a tab in `.tsv` files, else whichever of comma, tab and semicolon the
        /// first line has most of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub delimiter: Option<char>,
        /// Shape of one example: `[1, 28, 28]` makes rows of 784 features images.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub event_shape: Option<Vec<usize>>,
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Column {
    /// Counted from 0.
    Index(usize),
    /// By its name in the header.
    Name(String),
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrIndex;

        impl Visitor<'_> for NameOrIndex {
            type Value = Column;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a column or its number, counted from 0")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Column, E> {
                Ok(Column::Name(name.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, index: u64) -> Result<Column, E> {
                usize::try_from(index).map(Column::Index).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(NameOrIndex)
    }
}

impl DatasetSource for CsvConfig {
    const NAME: &'static str = "csv";
    const SUMMARY: &'static str = "your own tables of numbers (.csv, .tsv), plain or gzip";

    fn check(&self) -> Result<(), ConfigError> {
        if let Some(delimiter) = self.delimiter
            && (!delimiter.is_ascii() || matches!(delimiter, '\n' | '\r' | '"'))
        {
            return Err(ConfigError::new(
                "delimiter",
                format!("{delimiter:?} cannot separate cells; use an ASCII character such as \",\" or \"\\t\""),
            ));
        }
        if self.header == Some(false)
            && let Some(Column::Name(name)) = &self.label
        {
            return Err(ConfigError::new(
                "label",
                format!("`label: {name}` names a column, but `header: false` says that they have no names; give its number"),
            ));
        }
        check_event_shape(self.event_shape.as_deref())?;
        self.options().labelled(self.label.is_some(), "name the column of the labels by `label`")?.check(self.test_path.is_some())
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(self.test_path.is_some())
    }

    fn checksum(&self, context: &LoadContext) -> Result<String, DataError> {
        sum_of_given(context, [("path", Some(self.path.as_path())), ("test_path", self.test_path.as_deref())])
    }

    fn spec(&self, context: &LoadContext) -> Result<DataSpec, DataError> {
        let path = context.resolve(&self.path);
        let train = self.read(&path, false)?;
        let test = match (&self.test_path, &self.label) {
            (Some(test), Some(_)) => Some(self.read(&context.resolve(test), false)?),
            _ => None,
        };
        let shape = reshaped(self.event_shape.as_deref(), &Origin::file(&path), &[train.num_features])?;
        let num_classes =
            self.label.as_ref().map(|_| text_classes(&train.labels, test.as_ref().map(|test| test.labels.as_slice())).names.len());
        Ok(self.options().spec(shape, Domain::Real, num_classes))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let path = context.resolve(&self.path);
            let train = self.read(&path, true)?;
            let test = match &self.test_path {
                None => None,
                Some(test) => {
                    let test_path = context.resolve(test);
                    let test = self.read(&test_path, true)?;
                    check_shapes(&Origin::file(&path), &[train.num_features], &Origin::file(&test_path), &[test.num_features])?;
                    if let (Some(expected), Some(found)) = (&train.header, &test.header)
                        && let Some(at) = (0..expected.len()).find(|&at| expected[at] != found[at])
                    {
                        let message = format!(
                            "the training file calls this column `{}`; both files need the same columns in the same order",
                            expected[at]
                        );
                        return Err(table_error(&test_path, 1, Some(column_name(Some(found), at)), message));
                    }
                    Some((test_path, test))
                }
            };
            let event_shape = reshaped(self.event_shape.as_deref(), &Origin::file(&path), &[train.num_features])?;
            let (mut train_labels, mut test_labels, mut class_names) = (None, None, None);
            if self.label.is_some() {
                let classes = text_classes(&train.labels, test.as_ref().map(|(_, test)| test.labels.as_slice()));
                (train_labels, test_labels, class_names) = (Some(classes.train), classes.test, Some(classes.names));
            }
            let part = |path: PathBuf, table: Table, labels| Part {
                feature_names: table.feature_names,
                ..Part::new(Origin::file(path), Values::Floats(Numbers::owned(table.values)), labels)
            };
            let test = test.map(|(path, table)| part(path, table, test_labels));
            Ok(RawDataset { train: part(path, train, train_labels), test, event_shape, class_names, hold_out: None, dictionary: None })
        };
        load_own(self, &self.options(), context, &[Some(&self.path), self.test_path.as_deref()], decode)
    }
}

/// No row is longer: a file without ends of lines, or a quotation mark that is not closed, would be read as one.
const MAX_ROW: usize = 16 << 20;

/// A table that has been read.
struct Table {
    header: Option<Vec<String>>,
    /// Names of the columns besides the label.
    feature_names: Option<Vec<String>>,
    num_features: usize,
    values: Vec<f32>,
    labels: Vec<String>,
}

impl CsvConfig {
    /// Reads a table; without `numbers` only what its shape and classes need.
    fn read(&self, path: &Path, numbers: bool) -> Result<Table, DataError> {
        let delimiter = match self.delimiter {
            // `check` has refused every other character.
            Some(delimiter) => delimiter as u8,
            None => detect_delimiter(path)?,
        };
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(delimiter).trim(csv::Trim::All);
        let left_of_row = Rc::new(Cell::new(0));
        let mut reader = builder.from_reader(Rows { reader: open_text(path)?, left: Rc::clone(&left_of_row) });
        let mut record = StringRecord::new();
        let mut next = |record: &mut StringRecord| {
            left_of_row.set(MAX_ROW);
            let begin = reader.position().clone();
            reader.read_record(record).map_err(|error| read_error(path, &begin, reader.position().byte(), error))
        };
        if !next(&mut record)? {
            return Err(DataError::Empty { origin: Origin::file(path), what: "lines" });
        }
        let width = record.len();
        let by_name = matches!(self.label, Some(Column::Name(_)));
        let by_index = if let Some(Column::Index(index)) = self.label { Some(index) } else { None };
        let words = || record.iter().enumerate().any(|(at, cell)| Some(at) != by_index && cell.parse::<f32>().is_err());
        let has_header = self.header.unwrap_or_else(|| by_name || words());
        let header: Option<Vec<String>> = has_header.then(|| record.iter().map(str::to_owned).collect());
        let label = label_column(path, self.label.as_ref(), header.as_deref(), width)?;
        let num_features = width - usize::from(label.is_some());
        if num_features == 0 {
            return Err(DataError::Empty { origin: Origin::file(path), what: "columns besides the label" });
        }
        let (mut values, mut labels, mut num_examples) = (Vec::new(), Vec::new(), 0usize);
        let mut more = !has_header || next(&mut record)?;
        while more {
            let line = record.position().map_or(0, csv::Position::line);
            if record.len() != width {
                let message = format!("has {} cells, but the first line has {width}", record.len());
                return Err(table_error(path, line, None, message));
            }
            for (at, cell) in record.iter().enumerate() {
                if Some(at) == label {
                    labels.push(cell.to_owned());
                } else if numbers {
                    values
                        .push(number(cell).map_err(|message| table_error(path, line, Some(column_name(header.as_deref(), at)), message))?);
                }
            }
            num_examples += 1;
            let held = values.len() * size_of::<f32>() + labels.len() * size_of::<String>();
            if held as u64 > memory::limit() {
                return Err(DataError::TooLarge { origin: Origin::file(path), limit: memory::limit() });
            }
            // The shape is known now; only labels need the rest.
            more = (numbers || label.is_some()) && next(&mut record)?;
        }
        if num_examples == 0 {
            return Err(DataError::Empty { origin: Origin::file(path), what: "lines below its header" });
        }
        let feature_names = header.as_ref().map(|header| {
            let columns = header.iter().enumerate().filter(|(at, _)| Some(*at) != label);
            columns.map(|(_, name)| name.clone()).collect()
        });
        Ok(Table { header, feature_names, num_features, values, labels })
    }
}

fn number(cell: &str) -> Result<f32, String> {
    match cell.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("`{cell}` is not a finite number; every value must be one")),
        Err(_) if cell.is_empty() => {
            Err("is empty; every cell must hold a number (missing values have to be filled in or left out first)".to_owned())
        }
        Err(_) => Err(format!("`{cell}` is not a number; a column of words can only be the label")),
    }
}

/// The position of the label.
fn label_column(path: &Path, label: Option<&Column>, header: Option<&[String]>, width: usize) -> Result<Option<usize>, DataError> {
    match (label, header) {
        (None, _) => Ok(None),
        (Some(Column::Index(index)), _) if *index < width => Ok(Some(*index)),
        (Some(Column::Index(index)), _) => {
            Err(table_error(path, 1, None, format!("there is no column {index} for the label; there are {width}, counted from 0")))
        }
        (Some(Column::Name(name)), header) => match header.unwrap_or_default().iter().position(|column| column == name) {
            Some(at) => Ok(Some(at)),
            None => {
                let columns = header.unwrap_or_default().iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ");
                Err(table_error(path, 1, None, format!("there is no column `{name}` for the label; there are {columns}")))
            }
        },
    }
}

fn column_name(header: Option<&[String]>, at: usize) -> String {
    match header {
        Some(header) => format!("column {} ({})", at + 1, header[at]),
        None => format!("column {}", at + 1),
    }
}

fn table_error(path: &Path, line: u64, column: Option<String>, message: String) -> DataError {
    DataError::Table { path: path.to_owned(), line, column, message }
}

/// Bytes of a table, of which each row gets so many.
struct Rows {
    reader: Box<dyn Read>,
    left: Rc<Cell<usize>>,
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        match self.left.get().checked_sub(read) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::other(LongRow)),
        }
        Ok(read)
    }
}

/// What [`Rows`] fails with.
#[derive(Debug, thiserror::Error)]
#[error("a row of more than {MAX_ROW} bytes")]
struct LongRow;

fn read_error(path: &Path, begin: &csv::Position, offset: u64, error: csv::Error) -> DataError {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(source) if source.get_ref().is_some_and(|inner| inner.is::<LongRow>()) => {
            let message =
                format!("the row that begins here is longer than {MAX_ROW} bytes; is a quotation mark not closed, or is this no table?");
            table_error(path, begin.line(), None, message)
        }
        csv::ErrorKind::Io(source) => stream_error(path, offset, source),
        csv::ErrorKind::Utf8 { err, .. } => table_error(path, line, Some(column_name(None, err.field())), "is not UTF-8 text".to_owned()),
        other => table_error(path, line, None, format!("cannot be read: {other:?}")),
    }
}

/// A decompressor that gives up, or the operating system.
fn stream_error(path: &Path, offset: u64, source: io::Error) -> DataError {
    if let Some(TooMuch { limit }) = source.get_ref().and_then(|inner| inner.downcast_ref()) {
        return DataError::TooLarge { origin: Origin::file(path), limit: *limit };
    }
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            DataError::Corrupt { origin: Origin::file(path), offset, source }
        }
        _ => DataError::Io { action: "read", path: path.to_owned(), source },
    }
}

/// Tab for `.tsv`; else the most frequent candidate of the first line.
fn detect_delimiter(path: &Path) -> Result<u8, DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if name.trim_end_matches(".gz").ends_with(".tsv") {
        return Ok(b'\t');
    }
    let mut start = Vec::new();
    open_text(path)?.take(1 << 16).read_to_end(&mut start).map_err(|source| stream_error(path, 0, source))?;
    let line = start.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let count = |candidate: u8| line.iter().filter(|&&byte| byte == candidate).count();
    // Of equals the last one wins: a comma where the line has none of them.
    Ok([b';', b'\t', b','].into_iter().max_by_key(|&candidate| count(candidate)).unwrap_or(b','))
}

#[cfg(test)]
mod tests {
    use aelab_core::{Examples, Purpose, stream};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::sources::in_folder;

    fn load_bytes(name: &str, content: &[u8], mut section: serde_json::Value) -> Result<Dataset, DataError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), content).unwrap();
        section["path"] = json!(name);
        for (key, default) in [("num_valid", json!(0)), ("num_test", json!(0))] {
            section.as_object_mut().unwrap().entry(key).or_insert(default);
        }
        let config: CsvConfig = serde_json::from_value(section).unwrap();
        DatasetSource::check(&config).unwrap();
        let dataset = DatasetSource::load(&config, &in_folder(&folder))?;
        assert_eq!(dataset.spec(), &DatasetSource::spec(&config, &in_folder(&folder)).unwrap());
        Ok(dataset)
    }

    fn load(content: &str, section: serde_json::Value) -> Result<Dataset, DataError> {
        load_bytes("t.csv", content.as_bytes(), section)
    }

    fn values(dataset: &Dataset) -> Vec<f32> {
        let mut out = Vec::new();
        let all: Vec<usize> = (0..dataset.train.len()).collect();
        dataset.train.gather(&all, &mut stream(0, Purpose::Training, 0, 0), &mut out);
        out
    }

    fn message(content: &str, section: serde_json::Value) -> String {
        let message = load(content, section).unwrap_err().to_string();
        message[message.find("t.csv").unwrap()..].to_owned()
    }

    #[test]
    fn header_and_delimiter_are_detected() {
        for (name, content) in [
            ("t.csv", "a,b\n1,2\n3,4.5\n"),
            ("t.csv", "1;2\r\n3;4.5\r\n"),
            ("t.csv", "1\t2\n3\t4.5"),
            ("t.tsv", "a,x\tb\n1\t2\n3\t4.5"),
            ("t.csv", "\n# ,b\n 1 , 2\n\n3,4.5\n"),
        ] {
            let dataset = load_bytes(name, content.as_bytes(), json!({})).unwrap();
            assert_eq!(values(&dataset), [1.0, 2.0, 3.0, 4.5], "{content:?}");
            assert_eq!((dataset.spec().event_shape.as_slice(), dataset.spec().domain), ([2].as_slice(), Domain::Real));
        }
    }

    #[test]
    fn a_label_column_by_name_or_number_gives_classes() {
        let with_header = "length,species,width\n1,setosa,2\n3,versicolor,4\n5,setosa,6\n";
        let without = "1,setosa,2\n3,versicolor,4\n5,setosa,6\n";
        for (content, label) in [(with_header, json!("species")), (with_header, json!(1)), (without, json!(1))] {
            let dataset = load(content, json!({"label": label})).unwrap();
            assert_eq!(values(&dataset), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            assert_eq!(dataset.train.labels(), Some([0, 1, 0].as_slice()));
            assert_eq!(dataset.train.class_names().unwrap(), ["setosa", "versicolor"]);
            let names = (content == with_header).then(|| ["length", "width"].map(str::to_owned));
            assert_eq!(dataset.test.feature_names(), names.as_ref().map(|names| &names[..]));
        }
    }

    #[test]
    fn normal_classes_are_labels_as_the_table_has_them() {
        let numbers = "x,status\n1,2\n2,1\n3,2\n4,1\n5,2\n";
        let words = "x,status\n1,ok\n2,fault\n3,ok\n4,fault\n5,ok\n";
        for (content, class) in [(numbers, json!(2)), (numbers, json!("2")), (words, json!("ok")), (words, json!(1))] {
            let dataset = load(content, json!({"label": "status", "normal_classes": [class]})).unwrap();
            assert_eq!(values(&dataset), [1.0, 3.0, 5.0]);
            assert_eq!(dataset.train.normal_classes(), Some([1].as_slice()));
        }
        assert_eq!(
            message(words, json!({"label": "status", "normal_classes": ["okay"]})),
            "t.csv: `normal_classes`: there is no class `okay` among the classes `fault`, `ok`; did you mean `ok`?"
        );
    }

    #[test]
    fn mistakes_are_named_by_line_and_column() {
        assert_eq!(message("a,b\n1,2\n3\n", json!({})), "t.csv: line 3: has 1 cells, but the first line has 2");
        assert_eq!(
            message("a,b\n1,2\n3,x\n", json!({})),
            "t.csv: line 3, column 2 (b): `x` is not a number; a column of words can only be the label"
        );
        assert_eq!(message("1,2\n3,nan\n", json!({})), "t.csv: line 2, column 2: `nan` is not a finite number; every value must be one");
        assert_eq!(message("1,2\n1e99,3\n", json!({})), "t.csv: line 2, column 1: `1e99` is not a finite number; every value must be one");
        assert!(message("1,2\n3,\n", json!({})).starts_with("t.csv: line 2, column 2: is empty;"));
        assert_eq!(message("a,b\n1,2\n", json!({"label": "c"})), "t.csv: line 1: there is no column `c` for the label; there are `a`, `b`");
        assert_eq!(message("1,2\n", json!({"label": 2})), "t.csv: line 1: there is no column 2 for the label; there are 2, counted from 0");
        assert_eq!(message("a,b\n", json!({})), "t.csv: holds no lines below its header; at least one is needed");
        assert_eq!(message("", json!({})), "t.csv: holds no bytes; at least one is needed");
        assert_eq!(message("a\nb\n", json!({"label": "a"})), "t.csv: holds no columns besides the label; at least one is needed");
        assert_eq!(message("1,2\n", json!({"event_shape": [3]})), "t.csv: `event_shape: [3]` has 3 values, but an example has 2 features");
    }

    #[test]
    fn text_that_is_not_utf_8_is_located() {
        let error = load_bytes("t.csv", b"1,2\n3,\xff\n", json!({})).unwrap_err().to_string();
        assert!(error.ends_with("t.csv: line 2, column 2: is not UTF-8 text"), "{error}");
    }

    #[test]
    fn compressed_tables_are_read_and_their_damage_is_said() {
        use std::io::Write;
        let content: String = (0..500).map(|row| format!("{row},{}\n", row * 7 % 13)).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(load_bytes("t.csv.gz", &packed, json!({})).unwrap().train.len(), 500);
        let error = load_bytes("t.csv.gz", &packed[..packed.len() / 2], json!({})).unwrap_err().to_string();
        assert!(error.contains("the compressed data is damaged"), "{error}");
    }

    #[test]
    fn a_test_file_needs_the_same_columns() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.csv"), "a,b\n1,2\n3,4\n").unwrap();
        std::fs::write(folder.path().join("test.csv"), "b,a\n2,1\n").unwrap();
        let config: CsvConfig = serde_json::from_value(json!({"path": "train.csv", "test_path": "test.csv"})).unwrap();
        let error = DatasetSource::load(&config, &in_folder(&folder)).unwrap_err().to_string();
        assert!(error.ends_with(
            "test.csv: line 1, column 1 (b): the training file calls this column `a`; both files need the same columns in the same order"
        ));
        std::fs::write(folder.path().join("test.csv"), "a,b\n5,6\n").unwrap();
        let dataset = DatasetSource::load(&config, &in_folder(&folder)).unwrap();
        assert_eq!((dataset.train.len(), dataset.valid.len(), dataset.test.len()), (2, 0, 1));
    }

    #[test]
    fn a_row_that_does_not_end_is_refused_where_it_begins() {
        let endless = [b"a,b\n1,2\n\"".as_slice(), &vec![b'7'; MAX_ROW + (1 << 20)]].concat();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, &endless).unwrap();
        for (name, content) in [("t.csv", endless), ("t.csv.gz", packed.finish().unwrap())] {
            let error = load_bytes(name, &content, json!({})).unwrap_err().to_string();
            assert!(error.contains(": line 3: the row that begins here is longer than 16777216 bytes;"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(content in prop::collection::vec(any::<u8>(), 0..200), label in prop::option::of(0usize..3)) {
            let section = label.map_or(json!({}), |label| json!({"label": label}));
            let _ = load_bytes("t.csv", &content, section);
        }
    }
}
