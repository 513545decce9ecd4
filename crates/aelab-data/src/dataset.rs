//! A data set in memory and its splits.

use std::sync::Arc;

use aelab_core::{DataSpec, Domain, Examples, Purpose, Stream, stream};

use crate::options::Options;
use crate::partition::{Partition, Rows, partition};
use crate::transform::{Binarize, Scale, Scaling, Transform, check_range, draw};
use crate::{DataError, Origin};

/// Values of all examples of a file, row after row, shared by the splits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// Bytes that stand for `byte / divisor`: a quarter of the memory of floats.
    Bytes { data: Arc<Vec<u8>>, divisor: f32 },
    /// Finite numbers.
    Floats(Arc<Vec<f32>>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::Bytes { data, .. } => data.len(),
            Values::Floats(data) => data.len(),
        }
    }

    /// What the values are before any transform.
    pub(crate) fn domain(&self) -> Domain {
        match self {
            Values::Bytes { divisor, .. } if *divisor == 1.0 => Domain::Binary,
            Values::Bytes { .. } => Domain::UnitInterval,
            Values::Floats(_) => Domain::Real,
        }
    }

    /// Hands each of `rows` to `visit`, before any transform.
    pub(crate) fn for_each_row(&self, rows: &Rows, width: usize, mut visit: impl FnMut(&[f32])) {
        let mut buffer = Vec::with_capacity(width);
        for row in rows.iter() {
            let range = row * width..(row + 1) * width;
            match self {
                Values::Floats(data) => visit(&data[range]),
                Values::Bytes { data, divisor } => {
                    buffer.clear();
                    buffer.extend(data[range].iter().map(|&byte| f32::from(byte) / divisor));
                    visit(&buffer);
                }
            }
        }
    }
}

/// The examples of one file or one set of files.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) origin: Origin,
    pub(crate) values: Values,
    /// Class of each example.
    pub(crate) labels: Option<Vec<u32>>,
}

/// A data set as its source gives it, before splits and transforms.
#[derive(Debug, Clone)]
pub(crate) struct RawDataset {
    pub(crate) train: Part,
    /// Test examples where the source has them apart.
    pub(crate) test: Option<Part>,
    pub(crate) event_shape: Vec<usize>,
    pub(crate) class_names: Option<Vec<String>>,
}

/// A data set, split and transformed.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Registry name.
    pub name: &'static str,
    /// SHA-256 that identifies the content, as [`DatasetConfig::checksum`](crate::DatasetConfig::checksum) gives it.
    pub checksum: String,
    /// What models are trained on.
    pub train: DataSplit,
    /// What stopping and choosing look at; may be empty.
    pub valid: DataSplit,
    /// What is reported; may be empty.
    pub test: DataSplit,
    /// Names of the classes in the order of their numbers; `None` without labels.
    pub class_names: Option<Arc<[String]>>,
}

/// One split: shared storage, rows of it, a transform. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DataSplit {
    spec: Arc<DataSpec>,
    values: Values,
    rows: Rows,
    transform: Arc<Transform>,
    labels: Option<Arc<[u32]>>,
    class_names: Option<Arc<[String]>>,
}

impl Dataset {
    /// Splits, fits the transform on the training split, and applies what is applied once.
    pub(crate) fn new(name: &'static str, checksum: String, raw: RawDataset, options: &Options) -> Result<Self, DataError> {
        let RawDataset { train, test, event_shape, class_names } = raw;
        let width: usize = event_shape.iter().product();
        if let Some(test) = &test
            && test.values.domain() != train.values.domain()
        {
            let message = format!("holds numbers of another type than {}; save both as bytes or both as floats", train.origin);
            return Err(DataError::Split { origin: test.origin.clone(), message });
        }
        for part in [Some(&train), test.as_ref()].into_iter().flatten() {
            check_domain(part, width, options)?;
        }
        let num_test = test.as_ref().map(|test| test.values.len() / width);
        let rows = partition(&train.origin, train.values.len() / width, num_test, options)?;
        let Partition { train: train_rows, valid: valid_rows, test: test_rows } = rows;
        let scaling = Scaling::fit(options.scale, &train.values, &train_rows, width);
        let spec = options.spec(event_shape, train.values.domain(), class_names.as_ref().map(Vec::len));
        let shared = Shared { spec: Arc::new(spec), scaling, options, width, class_names: class_names.map(Arc::from) };
        let (test_part, test_index) = test.as_ref().map_or((&train, 0), |test| (test, 1));
        Ok(Self {
            name,
            checksum,
            train: shared.split(&train, 0, train_rows),
            valid: shared.split(&train, 0, valid_rows),
            test: shared.split(test_part, test_index, test_rows),
            class_names: shared.class_names,
        })
    }

    /// Shape and domain of an example.
    pub fn spec(&self) -> &DataSpec {
        &self.train.spec
    }
}

/// What the three splits of a data set have in common.
struct Shared<'a> {
    spec: Arc<DataSpec>,
    scaling: Scaling,
    options: &'a Options,
    width: usize,
    class_names: Option<Arc<[String]>>,
}

impl Shared<'_> {
    /// The split of the given rows; `part_index` tells training files (0) from test files (1).
    fn split(&self, part: &Part, part_index: u64, rows: Rows) -> DataSplit {
        let labels = part.labels.as_ref().map(|labels| rows.iter().map(|row| labels[row]).collect());
        let (values, rows, transform) = if self.options.binarize == Binarize::Static {
            self.binarized_once(part, part_index, &rows)
        } else {
            (part.values.clone(), rows, Transform::new(&self.scaling, self.options.binarize, &part.values, self.width))
        };
        let class_names = self.class_names.clone();
        DataSplit { spec: Arc::clone(&self.spec), values, rows, transform: Arc::new(transform), labels, class_names }
    }

    /// Draws every value once. The draw is a function of the seed and of the row in its file, so that other
    /// limits give the same binary images.
    fn binarized_once(&self, part: &Part, part_index: u64, rows: &Rows) -> (Values, Rows, Transform) {
        let grey = Transform::new(&self.scaling, Binarize::None, &part.values, self.width);
        let mut bits = Vec::with_capacity(rows.len() * self.width);
        let mut drawn = Vec::with_capacity(self.width);
        for row in rows.iter() {
            drawn.clear();
            grey.append(&part.values, row * self.width..(row + 1) * self.width, &mut drawn);
            draw(&mut drawn, &mut stream(self.options.split_seed, Purpose::Transform, part_index, row as u64));
            bits.extend(drawn.iter().map(|&value| value as u8));
        }
        let values = Values::Bytes { data: Arc::new(bits), divisor: 1.0 };
        let rows = Rows::Range(0..rows.len());
        let transform = Transform::new(&Scaling::fit(Scale::None, &values, &rows, self.width), Binarize::None, &values, self.width);
        (values, rows, transform)
    }
}

/// Refuses values that the scaling or the binarization cannot take.
fn check_domain(part: &Part, width: usize, options: &Options) -> Result<(), DataError> {
    if let Scale::KnownRange { low, high } = options.scale {
        return check_range(&part.origin, &part.values, width, low as f32, high as f32, "`scale: known_range`");
    }
    if options.binarize != Binarize::None && options.scale == Scale::None && part.values.domain() == Domain::Real {
        let required_by = "binarization without `scale: unit_interval` or `scale: known_range`";
        return check_range(&part.origin, &part.values, width, 0.0, 1.0, required_by);
    }
    Ok(())
}

impl Examples for DataSplit {
    fn spec(&self) -> &DataSpec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn gather(&self, indices: &[usize], stream: &mut Stream, out: &mut Vec<f32>) {
        let width = self.spec.num_features();
        let start = out.len();
        out.reserve(indices.len() * width);
        let mut at = 0;
        while at < indices.len() {
            let first = self.rows.row(indices[at]);
            let mut count = 1;
            while at + count < indices.len() && self.rows.row(indices[at + count]) == first + count {
                count += 1;
            }
            self.transform.append(&self.values, first * width..(first + count) * width, out);
            at += count;
        }
        self.transform.finish(&mut out[start..], stream);
    }

    fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }
}
