//! A data set in memory and its splits.

use std::sync::Arc;

use aelab_core::{ClassRef, DataSpec, Domain, Examples, Factors, Purpose, Stream, stream};
use aelab_kernels::prefetch;
use aelab_map::Numbers;

use crate::decoded::{Decoded, Kept};
use crate::observed::Observed;
use crate::options::Options;
use crate::partition::{Partition, Rows, partition};
use crate::transform::{Binarize, Scale, Scaling, Transform, check_range, draw};
use crate::{DataError, Origin};

/// So many examples before its turn a row is asked for: a shuffled one comes from far, and takes longer than several take to read.
const ROWS_AHEAD: usize = 4;

/// Values of all examples of a file, row after row, shared by the splits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// Bytes that stand for `byte / divisor`: a quarter of the memory of floats.
    Bytes { data: Numbers<u8>, divisor: f32 },
    /// Finite numbers.
    Floats(Numbers<f32>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::Bytes { data, .. } => data.len(),
            Values::Floats(data) => data.len(),
        }
    }

    /// The same with 0 where `hidden` has 1.
    fn without(&self, hidden: &[u8]) -> Self {
        match self {
            Values::Bytes { data, divisor } => {
                let data = data.iter().zip(hidden).map(|(&value, &hidden)| if hidden == 1 { 0 } else { value }).collect();
                Values::Bytes { data: Numbers::owned(data), divisor: *divisor }
            }
            Values::Floats(data) => Values::Floats(Numbers::owned(
                data.iter().zip(hidden).map(|(&value, &hidden)| if hidden == 1 { 0.0 } else { value }).collect(),
            )),
        }
    }

    /// Asks for values that are read soon.
    fn prefetch(&self, range: std::ops::Range<usize>) {
        match self {
            Values::Bytes { data, .. } => prefetch(&data[range]),
            Values::Floats(data) => prefetch(&data[range]),
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

    /// Hands each of `rows`, with its number, to `visit`, before any transform.
    pub(crate) fn for_each_row(&self, rows: &Rows, width: usize, mut visit: impl FnMut(usize, &[f32])) {
        let mut buffer = Vec::with_capacity(width);
        for row in rows.iter() {
            let range = row * width..(row + 1) * width;
            match self {
                Values::Floats(data) => visit(row, &data[range]),
                Values::Bytes { data, divisor } => {
                    buffer.clear();
                    buffer.extend(data[range].iter().map(|&byte| f32::from(byte) / divisor));
                    visit(row, &buffer);
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
    /// What of the values is there; the others are stored as 0.
    pub(crate) observed: Observed,
    /// Class of each example.
    pub(crate) labels: Option<Vec<u32>>,
    /// What each example was made of.
    pub(crate) factors: Option<Factors>,
    /// Of series: 1 for each time step that is anomalous, `[example, time]`.
    pub(crate) point_labels: Option<Vec<u8>>,
    /// What each feature is called; those of the training part hold for all.
    pub(crate) feature_names: Option<Vec<String>>,
}

impl Part {
    /// Examples of which nothing is missing.
    pub(crate) fn new(origin: Origin, values: Values, labels: Option<Vec<u32>>) -> Self {
        Self { origin, values, observed: Observed::everything(), labels, factors: None, point_labels: None, feature_names: None }
    }
}

/// What the examples of a split do not show, 1 for each such value.
#[derive(Debug, Clone)]
pub(crate) struct Concealed {
    /// Not in the examples.
    pub(crate) hidden: Arc<Vec<u8>>,
    /// What of it is to be predicted.
    pub(crate) held_out: Option<Arc<Vec<u8>>>,
}

/// How values of the single part of a data set are kept for prediction.
#[derive(Debug, Clone)]
pub(crate) struct HoldOut {
    /// Of the training, validation and test split.
    pub(crate) splits: [Option<Concealed>; 3],
    /// Whether all three splits have all examples, and differ in what of them they show.
    pub(crate) shares_examples: bool,
}

/// A data set as its source gives it, before splits and transforms.
#[derive(Debug, Clone)]
pub(crate) struct RawDataset {
    pub(crate) train: Part,
    /// Test examples where the source has them apart.
    pub(crate) test: Option<Part>,
    pub(crate) event_shape: Vec<usize>,
    pub(crate) class_names: Option<Vec<String>>,
    /// Only without `test`.
    pub(crate) hold_out: Option<HoldOut>,
    /// Atoms `[atom, feature]` that the examples are sums of, before any transform.
    pub(crate) dictionary: Option<Vec<f32>>,
}

impl RawDataset {
    /// Examples that the options split.
    pub(crate) fn new(train: Part, event_shape: impl Into<Vec<usize>>, class_names: Option<Vec<String>>) -> Self {
        Self { train, test: None, event_shape: event_shape.into(), class_names, hold_out: None, dictionary: None }
    }
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
    /// By `masked_rows`.
    observed: Observed,
    /// Rows before static binarization has made others of them.
    masked_rows: Rows,
    lengths: Option<Arc<[u32]>>,
    held_out: Option<HeldOut>,
    labels: Option<Arc<[u32]>>,
    factors: Option<Arc<Factors>>,
    point_labels: Option<Arc<[u8]>>,
    feature_names: Option<Arc<[String]>>,
    class_names: Option<Arc<[String]>>,
    normal_classes: Option<Arc<[u32]>>,
    dictionary: Option<Arc<[f32]>>,
}

/// Values to be predicted, by `masked_rows`.
#[derive(Debug, Clone)]
struct HeldOut {
    values: Values,
    mask: Observed,
}

impl Dataset {
    /// Splits, fits the transform on the training split, and applies what is applied once.
    pub(crate) fn new(name: &'static str, checksum: String, decoded: impl Into<Decoded>, options: &Options) -> Result<Self, DataError> {
        let Decoded { raw, kept } = decoded.into();
        let RawDataset { train, test, event_shape, class_names, hold_out, dictionary } = raw;
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
        let num_examples = train.values.len() / width;
        let normal_classes = normal_classes(&train, class_names.as_deref(), options)?;
        let is_normal: Option<Vec<bool>> = match (&normal_classes, &train.labels) {
            (Some(normal), Some(labels)) => Some(labels.iter().map(|label| normal.contains(label)).collect()),
            _ => None,
        };
        let rows = if hold_out.as_ref().is_some_and(|hold_out| hold_out.shares_examples) {
            let all = Rows::Range(0..num_examples);
            Partition { train: all.clone(), valid: all.clone(), test: all }
        } else {
            partition(&train.origin, num_examples, test.as_ref().map(|test| test.values.len() / width), options, is_normal.as_deref())?
        };
        let Partition { train: train_rows, valid: valid_rows, test: test_rows } = rows;
        let [concealed_train, concealed_valid, concealed_test] = hold_out.map_or([None, None, None], |hold_out| hold_out.splits);
        let (seen, _) = shown(&train, concealed_train.as_ref());
        let scaling = Scaling::fit(options.scale, &seen.values, &seen.observed, &train_rows, width);
        let spec = options.spec(event_shape, train.values.domain(), class_names.as_ref().map(Vec::len));
        // A transform would turn the atoms, or make the sum another one.
        let is_as_made = options.scale == Scale::None && options.binarize == Binarize::None;
        let dictionary = dictionary.filter(|_| is_as_made).map(Arc::from);
        let shared = Shared {
            spec: Arc::new(spec),
            scaling,
            options,
            kept: kept.as_ref(),
            width,
            feature_names: train.feature_names.clone().map(Arc::from),
            class_names: class_names.map(Arc::from),
            normal_classes: normal_classes.map(Arc::from),
            dictionary,
        };
        let (test_part, test_index) = test.as_ref().map_or((&train, 0), |test| (test, 1));
        Ok(Self {
            name,
            checksum,
            train: shared.split(&train, 0, train_rows, concealed_train.as_ref()),
            valid: shared.split(&train, 0, valid_rows, concealed_valid.as_ref()),
            test: shared.split(test_part, test_index, test_rows, concealed_test.as_ref()),
            class_names: shared.class_names,
        })
    }

    /// Shape and domain of an example.
    pub fn spec(&self) -> &DataSpec {
        &self.train.spec
    }
}

/// The numbers of the classes that the options call normal.
fn normal_classes(train: &Part, names: Option<&[String]>, options: &Options) -> Result<Option<Vec<u32>>, DataError> {
    let Some(classes) = &options.normal_classes else { return Ok(None) };
    let refuse = |message: String| Err(DataError::Split { origin: train.origin.clone(), message });
    match (names, &train.labels) {
        (Some(names), Some(_)) => {
            ClassRef::resolve_all(classes, names).map(Some).or_else(|message| refuse(format!("`normal_classes`: {message}")))
        }
        _ => refuse("`normal_classes` chooses examples by their labels, and these data have none".to_owned()),
    }
}

/// What a split has of a part: everything but what is concealed from it, and what is to be predicted.
fn shown(part: &Part, concealed: Option<&Concealed>) -> (Part, Option<HeldOut>) {
    let Some(Concealed { hidden, held_out }) = concealed else { return (part.clone(), None) };
    let held_out = held_out.as_ref().map(|mask| HeldOut { values: part.values.clone(), mask: Observed::values(mask.to_vec()) });
    let mut part = part.clone();
    part.observed = part.observed.without(hidden);
    part.values = part.values.without(hidden);
    (part, held_out)
}

/// What the three splits of a data set have in common.
struct Shared<'a> {
    spec: Arc<DataSpec>,
    scaling: Scaling,
    options: &'a Options,
    /// Where what is drawn once is kept for other processes.
    kept: Option<&'a Kept>,
    width: usize,
    feature_names: Option<Arc<[String]>>,
    class_names: Option<Arc<[String]>>,
    normal_classes: Option<Arc<[u32]>>,
    dictionary: Option<Arc<[f32]>>,
}

impl Shared<'_> {
    /// The split of the given rows; `part_index` tells training files (0) from test files (1).
    fn split(&self, part: &Part, part_index: u64, rows: Rows, concealed: Option<&Concealed>) -> DataSplit {
        let (part, held_out) = shown(part, concealed);
        let masked_rows = rows.clone();
        let labels = part.labels.as_ref().map(|labels| rows.iter().map(|row| labels[row]).collect());
        let lengths = part.observed.lengths().map(|lengths| rows.iter().map(|row| lengths[row]).collect());
        let factors = part.factors.as_ref().map(|factors| {
            let indices = rows.iter().flat_map(|row| factors.of(row).iter().copied()).collect();
            Arc::new(Factors { names: factors.names.clone(), sizes: factors.sizes.clone(), indices })
        });
        let num_steps = self.spec.event_shape.first().copied().unwrap_or(0);
        let of_points = |labels: &Vec<u8>| rows.iter().flat_map(|row| labels[row * num_steps..][..num_steps].iter().copied()).collect();
        let point_labels = part.point_labels.as_ref().map(of_points);
        let (values, rows, transform) = if self.options.binarize == Binarize::Static {
            self.binarized_once(&part, part_index, &rows)
        } else {
            (part.values.clone(), rows, Transform::new(&self.scaling, self.options.binarize, &part.values, self.width))
        };
        DataSplit {
            spec: Arc::clone(&self.spec),
            values,
            rows,
            transform: Arc::new(transform),
            observed: part.observed,
            masked_rows,
            lengths,
            held_out,
            labels,
            factors,
            point_labels,
            feature_names: self.feature_names.clone(),
            class_names: self.class_names.clone(),
            normal_classes: self.normal_classes.clone(),
            dictionary: self.dictionary.clone(),
        }
    }

    /// Draws every value once. The draw is a function of the seed and of the row in its file, so that other
    /// limits give the same binary images.
    fn binarized_once(&self, part: &Part, part_index: u64, rows: &Rows) -> (Values, Rows, Transform) {
        let grey = Transform::new(&self.scaling, Binarize::None, &part.values, self.width);
        let draw_rows = |rows: &Rows| {
            let mut bits = Vec::with_capacity(rows.len() * self.width);
            let mut drawn = Vec::with_capacity(self.width);
            for row in rows.iter() {
                drawn.clear();
                grey.append(&part.values, row * self.width..(row + 1) * self.width, &mut drawn);
                draw(&mut drawn, &mut stream(self.options.split_seed, Purpose::Transform, part_index, row as u64));
                bits.extend(drawn.iter().map(|&value| value as u8));
            }
            bits
        };
        let (data, rows) = match self.kept.filter(|_| Kept::is_worth(rows.len() * self.width)) {
            // All rows, whatever the split: other splits of the same seed then use the same file.
            Some(kept) => {
                let all = Rows::Range(0..part.values.len() / self.width);
                let what = format!("binarized: part {part_index}, seed {}, {:?}", self.options.split_seed, self.scaling);
                (kept.bytes(&what, || draw_rows(&all)), rows.clone())
            }
            None => (Numbers::owned(draw_rows(rows)), Rows::Range(0..rows.len())),
        };
        let values = Values::Bytes { data, divisor: 1.0 };
        let scaling = Scaling::fit(Scale::None, &values, &Observed::everything(), &rows, self.width);
        let transform = Transform::new(&scaling, Binarize::None, &values, self.width);
        (values, rows, transform)
    }
}

/// Refuses values that the scaling or the binarization cannot take.
fn check_domain(part: &Part, width: usize, options: &Options) -> Result<(), DataError> {
    if let Scale::KnownRange { low, high } = options.scale {
        return check_range(&part.origin, &part.values, &part.observed, width, low as f32, high as f32, "`scale: known_range`");
    }
    if options.binarize != Binarize::None && options.scale == Scale::None && part.values.domain() == Domain::Real {
        let required_by = "binarization without `scale: unit_interval` or `scale: known_range`";
        return check_range(&part.origin, &part.values, &part.observed, width, 0.0, 1.0, required_by);
    }
    Ok(())
}

#[cfg(test)]
impl DataSplit {
    /// Whether the values lie in a file that other processes map, too.
    pub(crate) fn is_mapped(&self) -> bool {
        match &self.values {
            Values::Bytes { data, .. } => data.is_mapped(),
            Values::Floats(data) => data.is_mapped(),
        }
    }
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
        let rows: Vec<usize> = indices.iter().map(|&index| self.rows.row(index)).collect();
        let mut at = 0;
        while at < rows.len() {
            if let Some(&soon) = rows.get(at + ROWS_AHEAD) {
                self.values.prefetch(soon * width..(soon + 1) * width);
            }
            let first = rows[at];
            let count = rows[at..].iter().zip(first..).take_while(|(row, next)| **row == *next).count();
            self.transform.append(&self.values, first * width..(first + count) * width, out);
            at += count;
        }
        self.transform.finish(&mut out[start..], stream);
        if !self.observed.is_everything() {
            for (&index, row) in indices.iter().zip(out[start..].chunks_exact_mut(width)) {
                self.observed.clear_row(self.masked_rows.row(index), row);
            }
        }
    }

    fn gather_mask(&self, indices: &[usize], out: &mut Vec<f32>) -> bool {
        if self.observed.is_everything() {
            return false;
        }
        let width = self.spec.num_features();
        out.reserve(indices.len() * width);
        indices.iter().for_each(|&index| self.observed.append_row(self.masked_rows.row(index), width, out));
        true
    }

    fn lengths(&self) -> Option<&[u32]> {
        self.lengths.as_deref()
    }

    fn gather_held_out(&self, indices: &[usize], values: &mut Vec<f32>, mask: &mut Vec<f32>) -> bool {
        let Some(held_out) = &self.held_out else { return false };
        let width = self.spec.num_features();
        for row in indices.iter().map(|&index| self.masked_rows.row(index)) {
            let start = values.len();
            self.transform.append(&held_out.values, row * width..(row + 1) * width, values);
            held_out.mask.clear_row(row, &mut values[start..]);
            held_out.mask.append_row(row, width, mask);
        }
        true
    }

    fn factors(&self) -> Option<&Factors> {
        self.factors.as_deref()
    }

    fn gather_point_labels(&self, indices: &[usize], out: &mut Vec<f32>) -> bool {
        let Some(labels) = &self.point_labels else { return false };
        let num_steps = self.spec.event_shape.first().copied().unwrap_or(0);
        indices.iter().for_each(|&index| out.extend(labels[index * num_steps..][..num_steps].iter().map(|&label| f32::from(label))));
        true
    }

    fn dictionary(&self) -> Option<&[f32]> {
        self.dictionary.as_deref()
    }

    fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    fn feature_names(&self) -> Option<&[String]> {
        self.feature_names.as_deref()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    fn normal_classes(&self) -> Option<&[u32]> {
        self.normal_classes.as_deref()
    }
}
