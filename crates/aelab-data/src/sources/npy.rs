//! `npy`: the user's own NumPy arrays, one per file.

use std::path::PathBuf;

use aelab_core::{ConfigError, DataSpec, Domain};

use super::{Arrays, check_event_shape, check_groups, from_arrays, reshaped, sum_of_given};
use crate::dataset::RawDataset;
use crate::decoded::load_own;
use crate::formats::array::{Element, event_shape};
use crate::formats::{npy, payload};
use crate::labels::classes;
use crate::options::dataset_config;
use crate::{DataError, Dataset, DatasetSource, LoadContext};

dataset_config! { own,
    /// NPY files. Unsigned bytes are read as fractions of 255, truth values as 0 and 1, other numbers as they are.
    NpyConfig {
        /// The examples, `[example, feature, ...]`; relative to the experiment file.
        pub path: PathBuf,
        /// Their labels, integers `[example]`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub labels: Option<PathBuf>,
        /// Test examples, where they are apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub test_path: Option<PathBuf>,
        /// Their labels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub test_labels: Option<PathBuf>,
        /// Shape of one example, where it is not the one of the array: `[1, 28, 28]` makes rows of 784 images.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub event_shape: Option<Vec<usize>>,
    }
}

impl DatasetSource for NpyConfig {
    const NAME: &'static str = "npy";
    const SUMMARY: &'static str = "your own NumPy arrays (.npy)";

    fn check(&self) -> Result<(), ConfigError> {
        check_groups(self.labels.is_some(), ("test_path", self.test_path.is_some()), ("test_labels", self.test_labels.is_some()))?;
        check_event_shape(self.event_shape.as_deref())?;
        self.options().labelled(self.labels.is_some(), "name the file of the labels by `labels`")?.check(self.test_path.is_some())
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(self.test_path.is_some())
    }

    fn checksum(&self, context: &LoadContext) -> Result<String, DataError> {
        let files = [
            ("path", Some(self.path.as_path())),
            ("labels", self.labels.as_deref()),
            ("test_path", self.test_path.as_deref()),
            ("test_labels", self.test_labels.as_deref()),
        ];
        sum_of_given(context, files)
    }

    fn spec(&self, context: &LoadContext) -> Result<DataSpec, DataError> {
        let mut payload = payload::open(&context.resolve(&self.path))?;
        let header = npy::read_header(&mut payload)?;
        let found = event_shape(payload.origin(), &header.shape)?;
        let shape = reshaped(self.event_shape.as_deref(), payload.origin(), &found)?;
        let labels = |path: &Option<PathBuf>| -> Result<Option<Vec<i64>>, DataError> {
            path.as_ref().map(|path| npy::read(payload::open(&context.resolve(path))?)?.into_labels()).transpose()
        };
        let (train, test) = (labels(&self.labels)?, labels(&self.test_labels)?);
        let num_classes = train.map(|train| classes(&train, test.as_deref()).names.len());
        Ok(self.options().spec(shape, native_domain(header.element), num_classes))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let part = |path: &PathBuf, labels: &Option<PathBuf>| -> Result<Arrays, DataError> {
                let examples = npy::read(payload::open(&context.resolve(path))?)?;
                let labels = labels.as_ref().map(|labels| npy::read(payload::open(&context.resolve(labels))?)).transpose()?;
                Arrays::new(examples, labels)
            };
            let train = part(&self.path, &self.labels)?;
            let test = self.test_path.as_ref().map(|path| part(path, &self.test_labels)).transpose()?;
            from_arrays(train, test, |origin, shape| reshaped(self.event_shape.as_deref(), origin, shape))
        };
        load_own(
            self,
            &self.options(),
            context,
            &[Some(&self.path), self.labels.as_deref(), self.test_path.as_deref(), self.test_labels.as_deref()],
            decode,
        )
    }
}

/// What the numbers of an array are before any transform.
pub(super) fn native_domain(element: Element) -> Domain {
    match element {
        Element::Bool => Domain::Binary,
        Element::U8 => Domain::UnitInterval,
        _ => Domain::Real,
    }
}
