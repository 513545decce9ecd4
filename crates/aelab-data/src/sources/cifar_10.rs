//! `cifar_10`: 60,000 colour pictures of ten kinds of things.

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;

use super::read_cached;
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_fetched;
use crate::fetch::{CIFAR_10, RemoteFile};
use crate::options::dataset_config;
use crate::{DataError, Dataset, DatasetSource, LoadContext};

const EVENT_SHAPE: [usize; 3] = [3, 32, 32];

const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// A label and the values of an image.
const RECORD: usize = 1 + 3 * 32 * 32;

dataset_config! { official,
    /// 50,000 and 10,000 pictures of 32 x 32 colour pixels in [0, 1]; `aelab data fetch cifar_10` brings them.
    Cifar10Config
}

impl DatasetSource for Cifar10Config {
    const NAME: &'static str = "cifar_10";
    const SUMMARY: &'static str = "60,000 pictures of ten kinds of things, 32 x 32 in colour";
    const CITATION: &'static str = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, https://www.cs.toronto.edu/~kriz/cifar.html; terms of use not stated";
    const FETCHED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        self.options().with_classes(CLASSES)?.check(true)
    }

    fn with_defaults(&self) -> Self {
        self.clone()
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        Ok(CIFAR_10.checksum())
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(EVENT_SHAPE.to_vec(), Domain::UnitInterval, Some(CLASSES.len())))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let (train, test) = CIFAR_10.files.split_at(5);
            Ok(RawDataset {
                train: part(train, context)?,
                test: Some(part(test, context)?),
                event_shape: EVENT_SHAPE.to_vec(),
                class_names: Some(CLASSES.map(str::to_owned).to_vec()),
                hold_out: None,
                dictionary: None,
            })
        };
        load_fetched(self, &self.options(), context, &CIFAR_10, &CIFAR_10.files.iter().collect::<Vec<_>>(), decode)
    }
}

/// The images of some batches: for each its label, then its red, green and blue values, row after row.
fn part(files: &[RemoteFile], context: &LoadContext) -> Result<Part, DataError> {
    let num_images = files.iter().map(|file| file.num_bytes as usize / RECORD).sum();
    let (mut values, mut labels) = (Vec::with_capacity(num_images * (RECORD - 1)), Vec::with_capacity(num_images));
    let mut first = None;
    for file in files {
        let (origin, bytes) = read_cached(&CIFAR_10, file, context)?;
        for (row, record) in bytes.chunks_exact(RECORD).enumerate() {
            if usize::from(record[0]) >= CLASSES.len() {
                let message = format!("label {row} is {}, but there are {} classes; fetch the data again", record[0], CLASSES.len());
                return Err(DataError::format(&origin, (row * RECORD) as u64, message));
            }
            labels.push(u32::from(record[0]));
            values.extend_from_slice(&record[1..]);
        }
        first.get_or_insert(origin);
    }
    let origin = first.unwrap_or_else(|| crate::Origin::file(CIFAR_10.folder(context)));
    Ok(Part::new(origin, Values::Bytes { data: Numbers::owned(values), divisor: 255.0 }, Some(labels)))
}
