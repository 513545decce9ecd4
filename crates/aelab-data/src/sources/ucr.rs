//! `ucr`: series of the UCR archive with their labels, as many sets as one package holds.

use std::collections::BTreeSet;
use std::str::FromStr;

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;

use super::read_cached;
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_fetched;
use crate::fetch::{RemoteFile, UCR};
use crate::labels::text_classes;
use crate::observed::Observed;
use crate::options::dataset_config;
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin, checksum};

dataset_config! { own,
    /// One set of the UCR archive: labelled series `[time, 1]`; `aelab data fetch ucr` brings all 51. Where series of
    /// a set have different lengths or gaps, what is missing is 0 and masked.
    UcrConfig {
        /// Name of the set in the archive, such as `ECG5000`.
        pub name: String,
        /// Joins the training and test series that the archive gives, to split them by `split_seed`.
        #[serde(default)]
        pub pool: bool,
    }
}

/// What is known of a set before its files are read.
struct Series {
    name: &'static str,
    num_examples: [usize; 2],
    length: usize,
    num_classes: usize,
}

const fn series(name: &'static str, num_examples: [usize; 2], length: usize, num_classes: usize) -> Series {
    Series { name, num_examples, length, num_classes }
}

/// Each set with its training and test series, the steps of the longest, and its classes; in the order of the files.
#[rustfmt::skip]
const SETS: &[Series] = &[
    series("ACSF1", [100, 100], 1460, 10),
    series("Adiac", [390, 391], 176, 37),
    series("AllGestureWiimoteX", [300, 700], 500, 10),
    series("AllGestureWiimoteY", [300, 700], 500, 10),
    series("AllGestureWiimoteZ", [300, 700], 500, 10),
    series("ArrowHead", [36, 175], 251, 3),
    series("BME", [30, 150], 128, 3),
    series("Beef", [30, 30], 470, 5),
    series("BeetleFly", [20, 20], 512, 2),
    series("BirdChicken", [20, 20], 512, 2),
    series("CBF", [30, 900], 128, 3),
    series("Car", [60, 60], 577, 4),
    series("Chinatown", [20, 343], 24, 2),
    series("ChlorineConcentration", [467, 3840], 166, 3),
    series("CinCECGTorso", [40, 1380], 1639, 4),
    series("Coffee", [28, 28], 286, 2),
    series("Computers", [250, 250], 720, 2),
    series("CricketX", [390, 390], 300, 12),
    series("CricketY", [390, 390], 300, 12),
    series("CricketZ", [390, 390], 300, 12),
    series("Crop", [7200, 16800], 46, 24),
    series("DiatomSizeReduction", [16, 306], 345, 4),
    series("DistalPhalanxOutlineAgeGroup", [400, 139], 80, 3),
    series("DistalPhalanxOutlineCorrect", [600, 276], 80, 2),
    series("DistalPhalanxTW", [400, 139], 80, 6),
    series("DodgerLoopDay", [78, 80], 288, 7),
    series("DodgerLoopGame", [20, 138], 288, 2),
    series("DodgerLoopWeekend", [20, 138], 288, 2),
    series("ECG200", [100, 100], 96, 2),
    series("ECG5000", [500, 4500], 140, 5),
    series("ECGFiveDays", [23, 861], 136, 2),
    series("EOGHorizontalSignal", [362, 362], 1250, 12),
    series("EOGVerticalSignal", [362, 362], 1250, 12),
    series("Earthquakes", [322, 139], 512, 2),
    series("ElectricDevices", [8926, 7711], 96, 7),
    series("EthanolLevel", [504, 500], 1751, 4),
    series("FaceAll", [560, 1690], 131, 14),
    series("FaceFour", [24, 88], 350, 4),
    series("FacesUCR", [200, 2050], 131, 14),
    series("FiftyWords", [450, 455], 270, 50),
    series("Fish", [175, 175], 463, 7),
    series("FordA", [3601, 1320], 500, 2),
    series("FordB", [3636, 810], 500, 2),
    series("FreezerRegularTrain", [150, 2850], 301, 2),
    series("FreezerSmallTrain", [28, 2850], 301, 2),
    series("Fungi", [18, 186], 201, 18),
    series("GestureMidAirD1", [208, 130], 360, 26),
    series("GestureMidAirD2", [208, 130], 360, 26),
    series("GestureMidAirD3", [208, 130], 360, 26),
    series("GesturePebbleZ1", [132, 172], 455, 6),
    series("GesturePebbleZ2", [146, 158], 455, 6),
];

/// Names of the sets that `name` can ask for.
pub fn ucr_names() -> Vec<&'static str> {
    SETS.iter().map(|set| set.name).collect()
}

impl UcrConfig {
    /// The set and its training and test file.
    fn find(&self) -> Result<(&'static Series, [&'static RemoteFile; 2]), ConfigError> {
        let at = SETS.iter().position(|set| set.name == self.name).ok_or_else(|| {
            let mut names: Vec<(usize, &str)> = SETS.iter().map(|set| (difference(&self.name, set.name), set.name)).collect();
            names.sort_unstable();
            let nearest = names.iter().take(3).map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
            let message = format!("`{}` is not one of the {} sets of the package; the nearest names are {nearest}", self.name, SETS.len());
            ConfigError::new("name", message)
        })?;
        Ok((&SETS[at], [&UCR.files[2 * at], &UCR.files[2 * at + 1]]))
    }

    /// As [`Self::find`], where no check has come before.
    fn found(&self) -> Result<(&'static Series, [&'static RemoteFile; 2]), DataError> {
        self.find().map_err(|error| DataError::Split { origin: Origin::file(&self.name), message: error.message })
    }
}

/// How unlike two names are: letters of either without a partner in the other, each pair of neighbours counted.
fn difference(wanted: &str, name: &str) -> usize {
    let pairs = |word: &str| -> BTreeSet<(char, char)> {
        let letters: Vec<char> = word.to_lowercase().chars().collect();
        letters.windows(2).map(|pair| (pair[0], pair[1])).collect()
    };
    pairs(wanted).symmetric_difference(&pairs(name)).count()
}

impl DatasetSource for UcrConfig {
    const NAME: &'static str = "ucr";
    const SUMMARY: &'static str = "51 labelled sets of series of the UCR archive, among them ECG5000";
    const CITATION: &'static str = "Dau, Bagnall, Kamgar, Yeh, Zhu, Gharghabi, Ratanamahatana and Keogh 2019, The UCR Time Series Archive, https://arxiv.org/abs/1810.07758; cite the archive and the authors of the set";
    const FETCHED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        self.find()?;
        self.options().check(!self.pool)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(!self.pool)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        let (_, files) = self.found()?;
        Ok(checksum::combined(files.map(|file| (file.name, file.sha256.to_owned()))))
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        let (set, _) = self.found()?;
        Ok(self.options().spec(vec![set.length, 1], Domain::Real, Some(set.num_classes)))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let (set, files) = self.found()?;
        let decode = || -> Result<RawDataset, DataError> {
            let read = |index: usize| {
                let (origin, bytes) = read_cached(&UCR, files[index], context)?;
                Table::parse(origin, &bytes, set.num_examples[index], set.length)
            };
            let (mut train, mut test) = (read(0)?, Some(read(1)?));
            if self.pool
                && let Some(test) = test.take()
            {
                train.join(test);
            }
            let classes = text_classes(&train.labels, test.as_ref().map(|test| test.labels.as_slice()));
            Ok(RawDataset {
                train: train.into_part(classes.train),
                test: test.zip(classes.test).map(|(test, labels)| test.into_part(labels)),
                event_shape: vec![set.length, 1],
                class_names: Some(classes.names),
                hold_out: None,
                dictionary: None,
            })
        };
        load_fetched(self, &self.options(), context, &UCR, &files, decode)
    }
}

/// A file of the archive: one series a line, the label first, cells separated by tabs.
struct Table {
    origin: Origin,
    labels: Vec<String>,
    /// Missing values are 0.
    values: Vec<f32>,
    /// 1 for each value that is there.
    observed: Vec<u8>,
    /// Steps up to the last value that is there.
    lengths: Vec<u32>,
    /// Steps of the longest series of the set.
    length: usize,
}

impl Table {
    fn parse(origin: Origin, bytes: &[u8], num_examples: usize, length: usize) -> Result<Self, DataError> {
        let text = String::from_utf8_lossy(bytes);
        let capacity = num_examples * length;
        let mut table = Self {
            origin,
            labels: Vec::with_capacity(num_examples),
            values: Vec::with_capacity(capacity),
            observed: Vec::with_capacity(capacity),
            lengths: Vec::with_capacity(num_examples),
            length,
        };
        for (line, row) in (1..).zip(text.lines()) {
            let wrong = |column: Option<usize>, message: String| DataError::Table {
                path: table.origin.path.clone(),
                line,
                column: column.map(|column| format!("column {column}")),
                message,
            };
            let start = table.values.len();
            let mut cells = row.split('\t');
            table.labels.push(cells.next().unwrap_or_default().trim().to_owned());
            for (column, cell) in (2..).zip(cells) {
                let value = f32::from_str(cell.trim()).map_err(|_| wrong(Some(column), format!("`{cell}` is not a number")))?;
                if value.is_infinite() {
                    return Err(wrong(Some(column), format!("is {value}; every value must be a finite number or NaN")));
                }
                table.values.push(if value.is_nan() { 0.0 } else { value });
                table.observed.push(u8::from(!value.is_nan()));
            }
            let found = table.values.len() - start;
            if found != length {
                return Err(wrong(None, format!("has {found} values instead of {length}; fetch the data again")));
            }
            let last = table.observed[start..].iter().rposition(|&observed| observed == 1);
            table.lengths.push(last.map_or(0, |last| last as u32 + 1));
        }
        if table.labels.len() != num_examples {
            let message = format!("holds {} series instead of {num_examples}; fetch the data again", table.labels.len());
            return Err(DataError::Split { origin: table.origin, message });
        }
        Ok(table)
    }

    fn join(&mut self, other: Self) {
        self.labels.extend(other.labels);
        self.values.extend(other.values);
        self.observed.extend(other.observed);
        self.lengths.extend(other.lengths);
    }

    fn into_part(self, labels: Vec<u32>) -> Part {
        let has_gaps = self.observed.chunks_exact(self.length).zip(&self.lengths).any(|(row, &end)| row[..end as usize].contains(&0));
        let has_ends = self.lengths.iter().any(|&end| (end as usize) < self.length);
        let observed = match (has_ends, has_gaps) {
            (false, false) => Observed::everything(),
            (true, false) => Observed::series(self.lengths, 1),
            (false, true) => Observed::values(self.observed),
            (true, true) => Observed::series(self.lengths, 1).with_values(self.observed),
        };
        Part { observed, ..Part::new(self.origin, Values::Floats(Numbers::owned(self.values)), Some(labels)) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Table, DataError> {
        Table::parse(Origin::file("x.tsv"), text.as_bytes(), 2, 3)
    }

    #[test]
    fn each_set_has_its_two_files() {
        assert_eq!(UCR.files.len(), 2 * SETS.len());
        for (set, files) in SETS.iter().zip(UCR.files.chunks_exact(2)) {
            assert_eq!(files[0].name, format!("{}_TRAIN.tsv", set.name));
            assert_eq!(files[1].name, format!("{}_TEST.tsv", set.name));
        }
    }

    #[test]
    fn ends_and_gaps_of_series_are_masked() {
        let part = |text| parse(text).unwrap().into_part(vec![0, 1]);
        let whole = part("1\t1\t2\t3\n2\t4\t5\t6\n");
        assert!(whole.observed.is_everything());
        assert_eq!(whole.values, Values::Floats(Numbers::owned(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])));
        assert_eq!(part("1\t1\t2\tNaN\n2\t4\t5\t6\n").observed, Observed::series(vec![2, 3], 1));
        let gap = part("1\t1\tNaN\t3\n2\t4\t5\t6\n");
        assert_eq!(gap.observed, Observed::values(vec![1, 0, 1, 1, 1, 1]));
        assert_eq!(gap.values, Values::Floats(Numbers::owned(vec![1.0, 0.0, 3.0, 4.0, 5.0, 6.0])));
        assert_eq!(part("1\t1\tNaN\t3\n2\t4\tNaN\tNaN\n").observed, Observed::series(vec![3, 1], 1).with_values(vec![1, 0, 1, 1, 0, 0]));
    }

    #[test]
    fn damage_is_located() {
        let message = |text| parse(text).err().unwrap().to_string();
        assert_eq!(message("1\t1\t2\t3\n2\t4\tx\t6\n"), "x.tsv: line 2, column 3: `x` is not a number");
        assert_eq!(message("1\t1\t2\n"), "x.tsv: line 1: has 2 values instead of 3; fetch the data again");
        assert_eq!(message("1\t1\t2\t3\n"), "x.tsv: holds 1 series instead of 2; fetch the data again");
    }

    #[test]
    fn an_unknown_set_is_refused_with_the_nearest_names() {
        let config: UcrConfig = serde_json::from_value(json!({"name": "ecg500"})).unwrap();
        let error = DatasetSource::check(&config).unwrap_err();
        assert_eq!(error.path, "name");
        assert!(error.message.contains("the nearest names are ECG5000, "), "{}", error.message);
        let pooled: UcrConfig = serde_json::from_value(json!({"name": "ECG5000", "pool": true, "test_fraction": 0.2})).unwrap();
        assert!(DatasetSource::check(&pooled).is_ok());
        assert_eq!(DatasetSource::check(&UcrConfig { pool: false, ..pooled }).unwrap_err().path, "test_fraction");
    }
}
