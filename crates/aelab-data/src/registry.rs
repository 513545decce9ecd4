//! Which data sets there are: an explicit list of entries, nothing hidden.

use std::fmt;

use aelab_core::{ConfigError, DataSpec, ParseError};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    BarsConfig, Cifar10Config, CsvConfig, DictionaryConfig, DigitsConfig, FashionMnistConfig, IdxConfig, ImagesConfig, MixtureConfig,
    MnistConfig, MnistVariantConfig, Movielens100kConfig, NpyConfig, NpzConfig, ReutersConfig, SinesConfig, SpheresConfig, SpritesConfig,
    SwissRollConfig, SyntheticEcgConfig, UciConfig, UcrConfig,
};
use crate::{DataError, Dataset, LoadContext};

/// What the author of a source writes: one serde struct that can check itself and load.
pub trait DatasetSource: fmt::Debug + Clone + PartialEq + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// YAML key and registry name, in snake case.
    const NAME: &'static str;
    /// One line for listings.
    const SUMMARY: &'static str;
    /// Whom to cite and under which terms the data may be used; empty for the user's own data.
    const CITATION: &'static str = "";
    /// Whether `aelab data fetch` has to bring it first.
    const FETCHED: bool = false;
    /// Whether it is part of the program.
    const EMBEDDED: bool = false;

    /// Reports the first value that no data could satisfy.
    fn check(&self) -> Result<(), ConfigError>;

    /// The same configuration with every default written out.
    fn with_defaults(&self) -> Self;

    /// See [`DatasetConfig::checksum`].
    fn checksum(&self, context: &LoadContext) -> Result<String, DataError>;

    /// See [`DatasetConfig::spec`].
    fn spec(&self, context: &LoadContext) -> Result<DataSpec, DataError>;

    /// See [`DatasetConfig::load`].
    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError>;
}

/// A parsed data section whose type has been forgotten.
pub trait DatasetConfig: fmt::Debug + Send + Sync {
    /// See [`DatasetSource::NAME`].
    fn name(&self) -> &'static str;

    /// The configuration with every default filled in: what a trial's hash is taken of.
    fn resolved(&self) -> Value;

    /// Reports the first value that no data could satisfy.
    fn check(&self) -> Result<(), ConfigError>;

    /// SHA-256 in hexadecimal that identifies the content: a constant for known sets, which need not be
    /// there; the sum of the files for the user's own.
    fn checksum(&self, context: &LoadContext) -> Result<String, DataError>;

    /// What an example looks like after all transforms, from headers and labels alone where that is possible.
    fn spec(&self, context: &LoadContext) -> Result<DataSpec, DataError>;

    /// Reads, splits and transforms.
    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError>;
}

impl<C: DatasetSource> DatasetConfig for C {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn resolved(&self) -> Value {
        serde_json::to_value(self.with_defaults()).expect("a configuration of numbers, strings, lists and maps serializes")
    }

    fn check(&self) -> Result<(), ConfigError> {
        DatasetSource::check(self)
    }

    fn checksum(&self, context: &LoadContext) -> Result<String, DataError> {
        DatasetSource::checksum(self, context)
    }

    fn spec(&self, context: &LoadContext) -> Result<DataSpec, DataError> {
        DatasetSource::spec(self, context)
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        DatasetSource::load(self, context)
    }
}

/// One source that the program knows.
#[derive(Clone, Copy)]
pub struct DatasetEntry {
    /// See [`DatasetSource::NAME`].
    pub name: &'static str,
    /// See [`DatasetSource::SUMMARY`].
    pub summary: &'static str,
    /// See [`DatasetSource::CITATION`].
    pub citation: &'static str,
    /// See [`DatasetSource::FETCHED`].
    pub fetched: bool,
    /// See [`DatasetSource::EMBEDDED`].
    pub embedded: bool,
    /// Reads the section below the source's name.
    pub parse: fn(Value) -> Result<Box<dyn DatasetConfig>, ParseError>,
    /// The JSON schema of the section.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl fmt::Debug for DatasetEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DatasetEntry").field("name", &self.name).finish_non_exhaustive()
    }
}

impl DatasetEntry {
    /// The entry of a source by its configuration type.
    pub const fn new<C: DatasetSource>() -> Self {
        Self {
            name: C::NAME,
            summary: C::SUMMARY,
            citation: C::CITATION,
            fetched: C::FETCHED,
            embedded: C::EMBEDDED,
            parse: parse::<C>,
            schema: schema::<C>,
        }
    }
}

fn parse<C: DatasetSource>(value: Value) -> Result<Box<dyn DatasetConfig>, ParseError> {
    match serde_path_to_error::deserialize::<_, C>(value) {
        Ok(config) => Ok(Box::new(config)),
        Err(error) => {
            let path = error.path().to_string();
            Err(ParseError { path: if path == "." { String::new() } else { path }, message: error.into_inner().to_string() })
        }
    }
}

fn schema<C: DatasetSource>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<C>()
}

/// Every source, in the order in which they are listed.
pub static DATASETS: &[DatasetEntry] = &[
    DatasetEntry::new::<DigitsConfig>(),
    DatasetEntry::new::<MnistConfig>(),
    DatasetEntry::new::<FashionMnistConfig>(),
    DatasetEntry::new::<IdxConfig>(),
    DatasetEntry::new::<CsvConfig>(),
    DatasetEntry::new::<NpyConfig>(),
    DatasetEntry::new::<NpzConfig>(),
    DatasetEntry::new::<ImagesConfig>(),
    DatasetEntry::new::<SinesConfig>(),
    DatasetEntry::new::<MixtureConfig>(),
    DatasetEntry::new::<BarsConfig>(),
    DatasetEntry::new::<DictionaryConfig>(),
    DatasetEntry::new::<UcrConfig>(),
    DatasetEntry::new::<Movielens100kConfig>(),
    DatasetEntry::new::<SwissRollConfig>(),
    DatasetEntry::new::<SpheresConfig>(),
    DatasetEntry::new::<SyntheticEcgConfig>(),
    DatasetEntry::new::<SpritesConfig>(),
    DatasetEntry::new::<MnistVariantConfig>(),
    DatasetEntry::new::<Cifar10Config>(),
    DatasetEntry::new::<ReutersConfig>(),
    DatasetEntry::new::<UciConfig>(),
];

/// The entry of that name.
pub fn find(name: &str) -> Option<&'static DatasetEntry> {
    DATASETS.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use aelab_core::Examples;
    use serde_json::json;

    use super::*;

    fn error(name: &str, section: Value) -> ParseError {
        (find(name).unwrap().parse)(section).unwrap_err()
    }

    #[test]
    fn names_are_unique_snake_case_and_found() {
        for entry in DATASETS {
            assert_eq!(find(entry.name).unwrap().summary, entry.summary);
            assert!(entry.name.chars().all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'));
            assert_eq!(DATASETS.iter().filter(|other| other.name == entry.name).count(), 1);
        }
        assert!(find("cifar").is_none());
    }

    #[test]
    fn a_mistake_in_a_section_is_located() {
        let unknown = error("mnist", json!({"num_vaild": 3}));
        assert_eq!(unknown.path, "num_vaild");
        assert!(unknown.message.starts_with("unknown field `num_vaild`, expected one of `num_train`, `num_valid`"), "{}", unknown.message);
        assert_eq!(error("mnist", json!({"num_train": "many"})).path, "num_train");
        assert_eq!(error("digits", json!({"binarize": {"threshold": "high"}})).path, "binarize.threshold");
        let missing = error("npz", json!({"path": "x.npz"}));
        assert_eq!((missing.path.as_str(), missing.message.as_str()), ("", "missing field `array`"));
    }

    #[test]
    fn resolved_configurations_have_their_defaults_and_parse_to_themselves() {
        let resolved = |name: &str, section: Value| (find(name).unwrap().parse)(section).unwrap().resolved();
        assert_eq!(resolved("mnist", json!({})), json!({"num_valid": 5000, "split_seed": 0, "scale": "none", "binarize": "none"}));
        assert_eq!(
            resolved("digits", json!({"num_test": 10})),
            json!({"num_test": 10, "valid_fraction": 0.1, "split_seed": 0, "scale": "none", "binarize": "none"})
        );
        for (name, section) in [
            ("fashion_mnist", json!({"num_train": 10000, "binarize": "dynamic"})),
            ("idx", json!({"images": "a", "labels": "b", "test_images": "c", "test_labels": "d"})),
            ("csv", json!({"path": "a.csv", "label": "species", "scale": "standardize"})),
            ("csv", json!({"path": "a.csv", "label": 4, "header": false, "delimiter": ";", "event_shape": [1, 2, 2]})),
            ("npy", json!({"path": "a.npy", "binarize": {"threshold": 0.5}})),
            ("npz", json!({"path": "a.npz", "array": "x", "scale": {"known_range": {"low": 0, "high": 16}}})),
            ("images", json!({"path": "photos", "size": [8, 8], "color": "rgb"})),
        ] {
            let first = resolved(name, section);
            assert_eq!(resolved(name, first.clone()), first, "{name}");
        }
    }

    #[test]
    fn what_is_normal_is_chosen_by_labels_or_refused_at_its_key() {
        let config = |name: &str, section: Value| (find(name).unwrap().parse)(section).unwrap();
        for (name, section) in [
            ("bars", json!({"size": 3})),
            ("sines", json!({"num_examples": 9, "length": 8})),
            ("swiss_roll", json!({"num_examples": 9})),
            ("movielens_100k", json!({})),
            ("csv", json!({"path": "a.csv"})),
            ("npy", json!({"path": "a.npy"})),
            ("npz", json!({"path": "a.npz", "array": "x"})),
            ("idx", json!({"images": "a"})),
            ("reuters", json!({"vocabulary_size": 100})),
        ] {
            let mut section = section;
            section["normal_classes"] = json!([1]);
            let Ok(config) = (find(name).unwrap().parse)(section.clone()) else { panic!("{name}: {section}") };
            let error = config.check().unwrap_err();
            assert!(error.path == "normal_classes" && error.message.contains("have none"), "{name}: {error}");
        }
        let error = config("fashion_mnist", json!({"normal_classes": [3, "Trousers"]})).check().unwrap_err();
        assert_eq!(error.path, "normal_classes[1]");
        assert!(error.message.ends_with("did you mean `Trouser`?"), "{error}");
        assert!(config("mnist", json!({"normal_classes": [10]})).check().is_err());
        // What is not asked for leaves no trace in what a trial's hash is taken of.
        assert_eq!(
            config("mnist", json!({"normal_classes": [3, "4"], "contamination": 0.0})).resolved(),
            json!({"num_valid": 5000, "split_seed": 0, "scale": "none", "binarize": "none", "normal_classes": [3, "4"]})
        );

        let context = LoadContext { base_dir: "".into(), cache_dir: "".into(), offline: true };
        let section = json!({"normal_classes": [3, 5], "contamination": 0.1, "num_valid": 20});
        let digits = config("digits", section).load(&context).unwrap();
        let counts = |labels: Option<&[u32]>| labels.unwrap().iter().filter(|label| [3, 5].contains(*label)).count();
        let [train, valid, test] = [&digits.train, &digits.valid, &digits.test].map(|split| (split.len(), counts(split.labels())));
        assert_eq!(valid, (20, 20));
        assert_eq!(test.0, 180);
        assert!(test.1 < 50 && (train.0 - train.1) as f64 == (train.0 as f64 * 0.1).round(), "{train:?} {test:?}");
        assert!([&digits.train, &digits.test].iter().all(|split| split.normal_classes() == Some(&[3, 5])));
        let error = config("sprites", json!({"normal_classes": ["circle"]})).check().unwrap_err();
        assert!(error.message.contains("circle"), "{error}");
    }

    #[test]
    fn every_entry_has_a_schema_that_names_the_shared_options() {
        for entry in DATASETS {
            let mut generator = SchemaGenerator::default();
            let section = (entry.schema)(&mut generator);
            let definitions = serde_json::to_string(&(section, generator.take_definitions(true))).unwrap();
            for option in
                ["normal_classes", "contamination", "num_train", "num_valid", "num_test", "split_seed", "scale", "binarize", "known_range"]
            {
                assert!(definitions.contains(&format!("\"{option}\"")), "{}: {option}", entry.name);
            }
        }
    }
}
