//! `mnist`: 70,000 handwritten digits, and what it shares with data sets of the same layout.

use std::io::BufReader;

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;

use super::open_cached;
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_fetched;
use crate::fetch::{MNIST, RemoteSet};
use crate::formats::array::Element;
use crate::formats::idx::read_header;
use crate::formats::payload::Payload;
use crate::options::{Options, dataset_config};
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

pub(super) const EVENT_SHAPE: [usize; 3] = [1, 28, 28];

/// What the headers of the four files say.
const SHAPES: [&[usize]; 4] = [&[60_000, 28, 28], &[60_000], &[10_000, 28, 28], &[10_000]];

dataset_config! { official,
    /// 60,000 and 10,000 handwritten digits of 28 x 28 grey pixels in [0, 1]; `aelab data fetch mnist` brings them.
    MnistConfig
}

impl DatasetSource for MnistConfig {
    const NAME: &'static str = "mnist";
    const SUMMARY: &'static str = "70,000 handwritten digits, 28 x 28 grey";
    const CITATION: &'static str = "LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition, https://doi.org/10.1109/5.726791; usually given as CC BY-SA 3.0";
    const FETCHED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        self.options().with_classes(0..10)?.check(true)
    }

    fn with_defaults(&self) -> Self {
        self.clone()
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        Ok(MNIST.checksum())
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(EVENT_SHAPE.to_vec(), Domain::UnitInterval, Some(10)))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        load(self, &MNIST, (0..10).map(|digit| digit.to_string()).collect(), context, &self.options())
    }
}

/// Loads a fetched set of four IDX files.
pub(super) fn load<C: DatasetSource>(
    config: &C,
    set: &'static RemoteSet,
    class_names: Vec<String>,
    context: &LoadContext,
    options: &Options,
) -> Result<Dataset, DataError> {
    load_fetched(config, options, context, set, &set.files.iter().collect::<Vec<_>>(), || read(set, class_names, context))
}

/// Reads a fetched set of four IDX files.
pub(super) fn read(set: &'static RemoteSet, class_names: Vec<String>, context: &LoadContext) -> Result<RawDataset, DataError> {
    let [train_images, train_labels, test_images, test_labels] = std::array::from_fn(|index| read_idx(set, index, context));
    let num_classes = class_names.len();
    let part = |images: (Origin, Vec<u8>), labels: (Origin, Vec<u8>)| -> Result<Part, DataError> {
        if let Some(row) = labels.1.iter().position(|&label| usize::from(label) >= num_classes) {
            let message = format!("label {row} is {}, but there are {num_classes} classes; fetch the data again", labels.1[row]);
            return Err(DataError::format(&labels.0, 8 + row as u64, message));
        }
        let values = Values::Bytes { data: Numbers::owned(images.1), divisor: 255.0 };
        Ok(Part::new(images.0, values, Some(labels.1.into_iter().map(u32::from).collect())))
    };
    let train = part(train_images?, train_labels?)?;
    let test = Some(part(test_images?, test_labels?)?);
    Ok(RawDataset { train, test, event_shape: EVENT_SHAPE.to_vec(), class_names: Some(class_names), hold_out: None, dictionary: None })
}

/// The bytes of one cached IDX file, its size and header verified; `aelab data verify` verifies the whole.
fn read_idx(set: &'static RemoteSet, index: usize, context: &LoadContext) -> Result<(Origin, Vec<u8>), DataError> {
    let file = &set.files[index];
    let (origin, opened) = open_cached(set, file, context)?;
    let mut payload = Payload::new(BufReader::with_capacity(64, opened), origin.clone(), file.num_bytes, false);
    let header = read_header(&mut payload)?;
    if header.element != Element::U8 || header.shape != SHAPES[index] {
        let reason = Some(format!("the header of {} is damaged", file.name));
        return Err(DataError::NotFetched { name: set.name, folder: set.folder(context), reason });
    }
    Ok((origin, payload.body(header.num_bytes)?))
}
