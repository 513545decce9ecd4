//! `npz`: the user's own NumPy arrays, several in one file.

use std::path::PathBuf;

use aelab_core::{ConfigError, DataSpec};

use super::npy::native_domain;
use super::{Arrays, check_event_shape, check_groups, from_arrays, reshaped, sum_of_given};
use crate::dataset::RawDataset;
use crate::decoded::load_own;
use crate::formats::array::{Array, event_shape};
use crate::formats::npy;
use crate::formats::payload::Payload;
use crate::formats::zip::Zip;
use crate::labels::classes;
use crate::options::dataset_config;
use crate::{DataError, Dataset, DatasetSource, LoadContext};

dataset_config! { own,
    /// Arrays of one NPZ file. Unsigned bytes are read as fractions of 255, truth values as 0 and 1, other numbers as they are.
    NpzConfig {
        /// The file; relative to the experiment file.
        pub path: PathBuf,
        /// Name of the array of examples, `[example, feature, ...]`.
        pub array: String,
        /// Name of the array of labels, integers `[example]`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub labels: Option<String>,
        /// Name of the array of test examples, where they are apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub test_array: Option<String>,
        /// Name of the array of their labels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub test_labels: Option<String>,
        /// Shape of one example, where it is not the one of the array: `[1, 28, 28]` makes rows of 784 images.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub event_shape: Option<Vec<usize>>,
    }
}

impl DatasetSource for NpzConfig {
    const NAME: &'static str = "npz";
    const SUMMARY: &'static str = "your own NumPy archive (.npz)";

    fn check(&self) -> Result<(), ConfigError> {
        check_groups(self.labels.is_some(), ("test_array", self.test_array.is_some()), ("test_labels", self.test_labels.is_some()))?;
        check_event_shape(self.event_shape.as_deref())?;
        self.options().labelled(self.labels.is_some(), "name the array of the labels by `labels`")?.check(self.test_array.is_some())
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(self.test_array.is_some())
    }

    fn checksum(&self, context: &LoadContext) -> Result<String, DataError> {
        sum_of_given(context, [("path", Some(self.path.as_path()))])
    }

    fn spec(&self, context: &LoadContext) -> Result<DataSpec, DataError> {
        let mut zip = Zip::open(&context.resolve(&self.path))?;
        let mut payload = member(&mut zip, &self.array, &self.path)?;
        let header = npy::read_header(&mut payload)?;
        let found = event_shape(payload.origin(), &header.shape)?;
        let shape = reshaped(self.event_shape.as_deref(), payload.origin(), &found)?;
        drop(payload);
        let mut labels = |name: &Option<String>| -> Result<Option<Vec<i64>>, DataError> {
            name.as_ref().map(|name| read(&mut zip, name, &self.path)?.into_labels()).transpose()
        };
        let (train, test) = (labels(&self.labels)?, labels(&self.test_labels)?);
        let num_classes = train.map(|train| classes(&train, test.as_deref()).names.len());
        Ok(self.options().spec(shape, native_domain(header.element), num_classes))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let mut zip = Zip::open(&context.resolve(&self.path))?;
            let mut part = |array: &String, labels: &Option<String>| -> Result<Arrays, DataError> {
                let examples = read(&mut zip, array, &self.path)?;
                let labels = labels.as_ref().map(|labels| read(&mut zip, labels, &self.path)).transpose()?;
                Arrays::new(examples, labels)
            };
            let train = part(&self.array, &self.labels)?;
            let test = self.test_array.as_ref().map(|array| part(array, &self.test_labels)).transpose()?;
            from_arrays(train, test, |origin, shape| reshaped(self.event_shape.as_deref(), origin, shape))
        };
        load_own(self, &self.options(), context, &[Some(&self.path)], decode)
    }
}

/// The member that holds the array called `name`: NumPy adds `.npy` to it.
fn member<'a>(zip: &'a mut Zip, name: &str, path: &std::path::Path) -> Result<Payload<'a>, DataError> {
    let available = zip.names().map(|name| name.trim_end_matches(".npy").to_owned()).collect();
    let missing = || DataError::NoSuchMember { path: path.to_owned(), wanted: name.to_owned(), available };
    zip.member(&format!("{name}.npy"), name)?.ok_or_else(missing)
}

fn read(zip: &mut Zip, name: &str, path: &std::path::Path) -> Result<Array, DataError> {
    npy::read(member(zip, name, path)?)
}

#[cfg(test)]
mod tests {
    use aelab_core::{Domain, Examples, Purpose, stream};
    use serde_json::json;

    use super::*;
    use crate::formats::zip;
    use crate::sources::in_folder;

    fn archive(deflate: bool) -> Vec<u8> {
        let pixels: Vec<u8> = (0..24).map(|value| value * 10).collect();
        let test: Vec<u8> = (0..8).collect();
        let labels: Vec<u8> = [2i64, 0, 1].iter().flat_map(|label| label.to_le_bytes()).collect();
        let train = npy::write("|u1", false, &[3, 2, 4], &pixels);
        let members = [
            ("x_train.npy", train),
            ("y_train.npy", npy::write("<i8", false, &[3], &labels)),
            ("x_test.npy", npy::write("|u1", false, &[1, 2, 4], &test)),
            ("y_test.npy", npy::write("|u1", false, &[1], &[2])),
            ("floats.npy", npy::write("<f4", false, &[1, 2], &[0, 0, 128, 127, 0, 0, 0, 0])),
        ];
        let members: Vec<(&str, &[u8])> = members.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        zip::write(&members, deflate)
    }

    fn load(section: serde_json::Value, deflate: bool) -> Result<Dataset, DataError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data.npz"), archive(deflate)).unwrap();
        let config: NpzConfig = serde_json::from_value(section).unwrap();
        let dataset = DatasetSource::load(&config, &in_folder(&folder))?;
        assert_eq!(dataset.spec(), &DatasetSource::spec(&config, &in_folder(&folder)).unwrap());
        Ok(dataset)
    }

    #[test]
    fn the_layout_of_keras_files_is_read_stored_and_deflated() {
        for deflate in [false, true] {
            let section = json!({
                "path": "data.npz", "array": "x_train", "labels": "y_train", "test_array": "x_test", "test_labels": "y_test",
                "event_shape": [1, 2, 4], "num_valid": 0
            });
            let dataset = load(section, deflate).unwrap();
            assert_eq!(dataset.spec().image_shape(), Some([1, 2, 4]));
            assert_eq!(dataset.spec().domain, Domain::UnitInterval);
            assert_eq!((dataset.train.labels().unwrap(), dataset.test.labels().unwrap()), ([2, 0, 1].as_slice(), [2].as_slice()));
            let mut out = Vec::new();
            dataset.train.gather(&[2], &mut stream(0, Purpose::Training, 0, 0), &mut out);
            assert_eq!(out, [160, 170, 180, 190, 200, 210, 220, 230].map(|value| value as f32 / 255.0));
        }
    }

    #[test]
    fn errors_name_the_member_or_list_the_members_there_are() {
        let message = |section| load(section, true).unwrap_err().to_string();
        assert_eq!(
            message(json!({"path": "data.npz", "array": "x"})),
            "data.npz: has no array `x`; it has `x_train`, `y_train`, `x_test`, `y_test`, `floats`"
        );
        let infinite = message(json!({"path": "data.npz", "array": "floats"}));
        assert!(infinite.contains("data.npz (member `floats`): row 0, column 0 is inf;"), "{infinite}");
        let shape = message(json!({"path": "data.npz", "array": "x_train", "event_shape": [1, 3, 3]}));
        assert!(shape.ends_with("(member `x_train`): `event_shape: [1, 3, 3]` has 9 values, but an example has 8 features"), "{shape}");
        let flat = message(json!({"path": "data.npz", "array": "y_train"}));
        assert!(flat.contains("examples need two dimensions or more"), "{flat}");
    }
}
