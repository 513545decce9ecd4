//! One file per source of data.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use aelab_core::ConfigError;
use serde::Serialize;

use crate::checksum;
use crate::dataset::{Part, RawDataset, Values};
use crate::fetch::{RemoteFile, RemoteSet};
use crate::formats::array::Array;
use crate::labels::{check_count, classes};
use crate::{DataError, Origin};

pub(crate) mod bars;
pub(crate) mod cifar_10;
pub(crate) mod csv;
pub(crate) mod dictionary;
pub(crate) mod digits;
pub(crate) mod fashion_mnist;
pub(crate) mod idx;
pub(crate) mod images;
pub(crate) mod mixture;
pub(crate) mod mnist;
pub(crate) mod mnist_variant;
pub(crate) mod movielens_100k;
pub(crate) mod npy;
pub(crate) mod npz;
pub(crate) mod reuters;
pub(crate) mod sines;
pub(crate) mod spheres;
pub(crate) mod sprites;
pub(crate) mod swiss_roll;
pub(crate) mod synthetic_ecg;
pub(crate) mod uci;
pub(crate) mod ucr;

/// Values and labels of one part, as arrays.
struct Arrays {
    origin: Origin,
    values: Values,
    event_shape: Vec<usize>,
    labels: Option<Vec<i64>>,
}

impl Arrays {
    fn new(examples: Array, labels: Option<Array>) -> Result<Self, DataError> {
        let origin = examples.origin.clone();
        let num_examples = examples.shape.first().copied().unwrap_or(0);
        let (values, event_shape) = examples.into_examples()?;
        let labels = match labels {
            None => None,
            Some(labels) => {
                let label_origin = labels.origin.clone();
                let labels = labels.into_labels()?;
                check_count(&origin, num_examples, &label_origin, labels.len())?;
                Some(labels)
            }
        };
        Ok(Self { origin, values, event_shape, labels })
    }
}

/// A data set out of its training arrays and, where there are any, its test arrays. `shape` replaces the
/// shape of an example.
fn from_arrays(
    train: Arrays,
    test: Option<Arrays>,
    shape: impl Fn(&Origin, &[usize]) -> Result<Vec<usize>, DataError>,
) -> Result<RawDataset, DataError> {
    let event_shape = shape(&train.origin, &train.event_shape)?;
    if let Some(test) = &test {
        check_shapes(&train.origin, &train.event_shape, &test.origin, &test.event_shape)?;
    }
    let test_labels = test.as_ref().and_then(|test| test.labels.as_deref());
    let classes = train.labels.as_ref().map(|train| classes(train, test_labels));
    let (train_labels, test_labels, class_names) = match classes {
        Some(classes) => (Some(classes.train), classes.test, Some(classes.names)),
        None => (None, None, None),
    };
    Ok(RawDataset {
        train: Part::new(train.origin, train.values, train_labels),
        test: test.map(|test| Part::new(test.origin, test.values, test_labels)),
        event_shape,
        class_names,
        hold_out: None,
        dictionary: None,
    })
}

/// Training and test examples have to look alike.
fn check_shapes(train: &Origin, train_shape: &[usize], test: &Origin, test_shape: &[usize]) -> Result<(), DataError> {
    if train_shape == test_shape {
        return Ok(());
    }
    let message = format!("examples have shape {test_shape:?}, but those of {train} have {train_shape:?}; they must be equal");
    Err(DataError::Split { origin: test.clone(), message })
}

/// The shape that the configuration asks for, or the one found.
fn reshaped(wanted: Option<&[usize]>, origin: &Origin, found: &[usize]) -> Result<Vec<usize>, DataError> {
    match wanted {
        None => Ok(found.to_vec()),
        Some(wanted) if wanted.iter().product::<usize>() == found.iter().product::<usize>() => Ok(wanted.to_vec()),
        Some(wanted) => Err(DataError::EventShape { origin: origin.clone(), wanted: wanted.to_vec(), found: found.iter().product() }),
    }
}

fn check_event_shape(shape: Option<&[usize]>) -> Result<(), ConfigError> {
    // The product is checked so that it cannot overflow later.
    let product = shape.map(|shape| shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size)));
    match product {
        Some(None | Some(0)) => {
            Err(ConfigError::new("event_shape", "every size in `event_shape` must be at least 1, and their product a number of features"))
        }
        _ if shape.is_some_and(<[usize]>::is_empty) => Err(ConfigError::new("event_shape", "`event_shape` needs at least one size")),
        _ => Ok(()),
    }
}

/// Labels and test files come in consistent groups.
fn check_groups(labels: bool, test: (&str, bool), test_labels: (&str, bool)) -> Result<(), ConfigError> {
    let ((test_key, test), (test_labels_key, test_labels)) = (test, test_labels);
    if test_labels && !test {
        return Err(ConfigError::new(test_labels_key, format!("`{test_labels_key}` is given without `{test_key}`")));
    }
    if test && labels != test_labels {
        let message = format!(
            "`labels` and `{test_labels_key}` must be given both or neither, so that training and test examples have the same classes"
        );
        return Err(ConfigError::new(test_labels_key, message));
    }
    Ok(())
}

/// Files under the names of their roles, those that are given, as paths that can be opened.
fn given<'a>(context: &crate::LoadContext, files: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>) -> Vec<(&'a str, PathBuf)> {
    files.into_iter().filter_map(|(role, path)| Some((role, context.resolve(path?)))).collect()
}

/// The sum of [`given`] files.
fn sum_of_given<'a>(
    context: &crate::LoadContext,
    files: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>,
) -> Result<String, DataError> {
    let files = given(context, files);
    crate::checksum::of_files(files.iter().map(|(role, path)| (*role, path.as_path())))
}

/// Opens one file of a fetched set; it has the right size.
fn open_cached(set: &RemoteSet, file: &RemoteFile, context: &crate::LoadContext) -> Result<(Origin, File), DataError> {
    let folder = set.folder(context);
    let path = folder.join(file.name);
    let not_fetched = |reason| DataError::NotFetched { name: set.name, folder, reason };
    let opened = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(not_fetched(None)),
        opened => opened.map_err(DataError::io("opened", &path))?,
    };
    let length = opened.metadata().map_err(DataError::io("read", &path))?.len();
    if length != file.num_bytes {
        return Err(not_fetched(Some(format!("{} has {length} bytes instead of {}", file.name, file.num_bytes))));
    }
    Ok((Origin::file(path), opened))
}

/// The bytes of one file of a fetched set.
fn read_cached(set: &RemoteSet, file: &RemoteFile, context: &crate::LoadContext) -> Result<(Origin, Vec<u8>), DataError> {
    let (origin, mut opened) = open_cached(set, file, context)?;
    let mut bytes = Vec::with_capacity(file.num_bytes as usize);
    opened.read_to_end(&mut bytes).map_err(DataError::io("read", &origin.path))?;
    Ok((origin, bytes))
}

/// A set that is made here has at least one example, and not more values than memory is likely to hold.
fn check_size(num_examples: usize, num_features: usize) -> Result<(), ConfigError> {
    const MOST: usize = 1 << 31;
    if num_examples == 0 {
        return Err(ConfigError::new("num_examples", "`num_examples` is 0, but a data set needs at least one example"));
    }
    match num_examples.checked_mul(num_features) {
        Some(count) if count <= MOST => Ok(()),
        _ => {
            let message = format!("{num_examples} examples of {num_features} values are more than the {MOST} values that a set may have");
            Err(ConfigError::new("num_examples", message))
        }
    }
}

/// A range that values are drawn from uniformly; equal ends fix the value.
fn check_interval(key: &str, [low, high]: [f64; 2], least: f64) -> Result<(), ConfigError> {
    if low.is_finite() && high.is_finite() && least <= low && low <= high {
        return Ok(());
    }
    let least = if least.is_finite() { format!(" and both at least {least}") } else { String::new() };
    let message = format!("`{key}` must be [lowest, highest], in this order{least}, but is [{low}, {high}]");
    Err(ConfigError::new(key, message))
}

/// A number that may be 0 but not negative.
fn check_not_negative(key: &str, value: f64) -> Result<(), ConfigError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(ConfigError::new(key, format!("`{key}` must be at least 0, but is {value}")))
}

/// A number greater than 0.
fn check_positive(key: &str, value: f64) -> Result<(), ConfigError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(ConfigError::new(key, format!("`{key}` must be greater than 0, but is {value}")))
}

/// The check sum of a set that is made here: of its name, the version of the code that makes it, and everything
/// that the outcome depends on.
fn sum_of_made(name: &str, version: u32, options: &impl Serialize) -> String {
    let options = serde_json::to_string(options).expect("options are numbers, words and lists");
    checksum::combined([("name", name.to_owned()), ("version", version.to_string()), ("options", options)])
}

#[cfg(test)]
pub(crate) fn in_folder(folder: &tempfile::TempDir) -> crate::LoadContext {
    crate::LoadContext { base_dir: folder.path().to_owned(), cache_dir: folder.path().join("cache"), offline: true }
}
