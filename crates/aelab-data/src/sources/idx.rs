//! `idx`: the user's own files in the format of MNIST, plain or gzip.

use std::path::PathBuf;

use aelab_core::{ConfigError, DataSpec, Domain};

use super::{Arrays, check_groups, from_arrays, sum_of_given};
use crate::dataset::RawDataset;
use crate::decoded::load_own;
use crate::formats::array::{Element, event_shape};
use crate::formats::{idx, payload};
use crate::labels::classes;
use crate::options::dataset_config;
use crate::{DataError, Dataset, DatasetSource, LoadContext};

dataset_config! { own,
    /// IDX files, plain or gzip. Unsigned bytes are read as fractions of 255, other numbers as they are.
    IdxConfig {
        /// The examples, `[example, height, width]` or `[example, ...]`; relative to the experiment file.
        pub images: PathBuf,
        /// Their labels, `[example]`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub labels: Option<PathBuf>,
        /// Test examples, where they are apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub test_images: Option<PathBuf>,
        /// Their labels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub test_labels: Option<PathBuf>,
    }
}

impl DatasetSource for IdxConfig {
    const NAME: &'static str = "idx";
    const SUMMARY: &'static str = "your own IDX files, plain or gzip";

    fn check(&self) -> Result<(), ConfigError> {
        check_groups(self.labels.is_some(), ("test_images", self.test_images.is_some()), ("test_labels", self.test_labels.is_some()))?;
        self.options().labelled(self.labels.is_some(), "name the file of the labels by `labels`")?.check(self.test_images.is_some())
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(self.test_images.is_some())
    }

    fn checksum(&self, context: &LoadContext) -> Result<String, DataError> {
        let files = [
            ("images", Some(self.images.as_path())),
            ("labels", self.labels.as_deref()),
            ("test_images", self.test_images.as_deref()),
            ("test_labels", self.test_labels.as_deref()),
        ];
        sum_of_given(context, files)
    }

    fn spec(&self, context: &LoadContext) -> Result<DataSpec, DataError> {
        let mut payload = payload::open(&context.resolve(&self.images))?;
        let header = idx::read_header(&mut payload)?;
        let shape = image_shape(event_shape(payload.origin(), &header.shape)?);
        let domain = if header.element == Element::U8 { Domain::UnitInterval } else { Domain::Real };
        let labels = |path: &Option<PathBuf>| -> Result<Option<Vec<i64>>, DataError> {
            path.as_ref().map(|path| idx::read(payload::open(&context.resolve(path))?)?.into_labels()).transpose()
        };
        let (train, test) = (labels(&self.labels)?, labels(&self.test_labels)?);
        let num_classes = train.map(|train| classes(&train, test.as_deref()).names.len());
        Ok(self.options().spec(shape, domain, num_classes))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let part = |images: &PathBuf, labels: &Option<PathBuf>| -> Result<Arrays, DataError> {
                let images = idx::read(payload::open(&context.resolve(images))?)?;
                let labels = labels.as_ref().map(|labels| idx::read(payload::open(&context.resolve(labels))?)).transpose()?;
                Arrays::new(images, labels)
            };
            let train = part(&self.images, &self.labels)?;
            let test = self.test_images.as_ref().map(|images| part(images, &self.test_labels)).transpose()?;
            from_arrays(train, test, |_, shape| Ok(image_shape(shape.to_vec())))
        };
        load_own(
            self,
            &self.options(),
            context,
            &[Some(&self.images), self.labels.as_deref(), self.test_images.as_deref(), self.test_labels.as_deref()],
            decode,
        )
    }
}

/// `[height, width]` is an image of one channel: that is what IDX files hold.
fn image_shape(shape: Vec<usize>) -> Vec<usize> {
    if let [height, width] = shape[..] { vec![1, height, width] } else { shape }
}

#[cfg(test)]
mod tests {
    use aelab_core::Examples;
    use serde_json::json;

    use super::*;
    use crate::sources::in_folder;

    fn write(folder: &tempfile::TempDir, name: &str, shape: &[usize], numbers: &[u8]) {
        std::fs::write(folder.path().join(name), idx::write(shape, Element::U8, numbers)).unwrap();
    }

    fn load(folder: &tempfile::TempDir, section: serde_json::Value) -> Result<Dataset, DataError> {
        let config: IdxConfig = serde_json::from_value(section).unwrap();
        let dataset = DatasetSource::load(&config, &in_folder(folder))?;
        assert_eq!(dataset.spec(), &DatasetSource::spec(&config, &in_folder(folder)).unwrap());
        Ok(dataset)
    }

    #[test]
    fn images_become_fractions_with_one_channel_and_labels_become_classes() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "images", &[2, 1, 2], &[0, 51, 255, 102]);
        write(&folder, "labels", &[2], &[7, 3]);
        let section = json!({"images": "images", "labels": "labels", "num_valid": 0, "num_test": 0});
        let dataset = load(&folder, section).unwrap();
        let mut out = Vec::new();
        dataset.train.gather(&[1, 0], &mut aelab_core::stream(0, aelab_core::Purpose::Training, 0, 0), &mut out);
        assert_eq!(out, [1.0, 0.4, 0.0, 0.2]);
        assert_eq!(dataset.train.labels(), Some([1, 0].as_slice()));
        assert_eq!(dataset.class_names.as_deref().unwrap(), ["3", "7"]);
        assert_eq!(dataset.spec().event_shape, [1, 1, 2]);
        assert!(dataset.valid.is_empty() && dataset.test.is_empty());
    }

    #[test]
    fn as_many_labels_as_images_are_needed() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "images", &[2, 1, 2], &[0; 4]);
        write(&folder, "labels", &[3], &[0; 3]);
        let error = load(&folder, json!({"images": "images", "labels": "labels"})).unwrap_err().to_string();
        assert!(error.contains("labels: holds 3 labels, but "), "{error}");
        assert!(error.contains("images holds 2 examples; they must be as many"), "{error}");
    }

    #[test]
    fn a_file_without_images_or_bytes_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "none", &[0, 1, 2], &[]);
        std::fs::write(folder.path().join("zero"), "").unwrap();
        assert!(
            load(&folder, json!({"images": "none"})).unwrap_err().to_string().ends_with("none: holds no examples; at least one is needed")
        );
        assert!(
            load(&folder, json!({"images": "zero"})).unwrap_err().to_string().ends_with("zero: holds no bytes; at least one is needed")
        );
        assert!(load(&folder, json!({"images": "absent"})).unwrap_err().to_string().ends_with("absent: could not be opened"));
    }

    #[test]
    fn test_images_must_look_like_training_images() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "images", &[2, 1, 2], &[0; 4]);
        write(&folder, "test", &[2, 2, 2], &[0; 8]);
        let error = load(&folder, json!({"images": "images", "test_images": "test"})).unwrap_err().to_string();
        assert!(error.contains("test: examples have shape [2, 2], but those of "), "{error}");
    }

    #[test]
    fn labels_come_for_training_and_test_or_for_neither() {
        let path = |section| DatasetSource::check(&serde_json::from_value::<IdxConfig>(section).unwrap()).unwrap_err().path;
        assert_eq!(path(json!({"images": "a", "test_labels": "b"})), "test_labels");
        assert_eq!(path(json!({"images": "a", "labels": "b", "test_images": "c"})), "test_labels");
        assert_eq!(path(json!({"images": "a", "test_images": "c", "test_fraction": 0.2})), "test_fraction");
    }
}
