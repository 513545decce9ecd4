//! The options that all sources share: sizes of the splits, their seed, and the transform.

use aelab_core::{ClassRef, ConfigError, DataSpec, Domain};

use crate::transform::{Binarize, Scale};

/// What is held out where neither a count nor a fraction is given and the source has no split of its own.
pub(crate) const DEFAULT_FRACTION: f64 = 0.1;

/// Validation examples taken out of the official training set of MNIST and its relatives.
pub(crate) const DEFAULT_NUM_VALID: usize = 5000;

/// The keys of the shared options. What a source decodes does not depend on them.
pub(crate) const OPTION_KEYS: [&str; 10] = [
    "num_train",
    "num_valid",
    "num_test",
    "valid_fraction",
    "test_fraction",
    "split_seed",
    "scale",
    "binarize",
    "normal_classes",
    "contamination",
];

/// The shared options of one configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) num_train: Option<usize>,
    pub(crate) num_valid: Option<usize>,
    pub(crate) num_test: Option<usize>,
    pub(crate) valid_fraction: Option<f64>,
    pub(crate) test_fraction: Option<f64>,
    pub(crate) split_seed: u64,
    pub(crate) scale: Scale,
    pub(crate) binarize: Binarize,
    pub(crate) normal_classes: Option<Vec<ClassRef>>,
    pub(crate) contamination: f64,
}

/// Whether nothing is mixed in, as by default: then it is not written.
pub(crate) fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl Options {
    /// Refuses a choice of classes where there are none; `hint` says how to get some, or nothing.
    pub(crate) fn labelled(self, has_labels: bool, hint: &str) -> Result<Self, ConfigError> {
        if has_labels || self.normal_classes.is_none() {
            return Ok(self);
        }
        let message = "`normal_classes` chooses examples by their labels, and these data have none";
        Err(ConfigError::new("normal_classes", if hint.is_empty() { message.to_owned() } else { format!("{message}; {hint}") }))
    }

    /// Refuses classes that are not among those of the given names, where these are known before anything is read.
    pub(crate) fn with_classes<S: ToString>(self, names: impl IntoIterator<Item = S>) -> Result<Self, ConfigError> {
        if let Some(classes) = &self.normal_classes {
            let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
            for (index, class) in classes.iter().enumerate() {
                class.resolve(&names).map_err(|message| ConfigError::new(format!("normal_classes[{index}]"), message))?;
            }
        }
        Ok(self)
    }

    /// Rejects what no data could satisfy. `official_test` says that the test examples are given.
    pub(crate) fn check(&self, official_test: bool) -> Result<(), ConfigError> {
        if self.num_train == Some(0) {
            return Err(ConfigError::new(
                "num_train",
                "`num_train` is 0, but training needs at least one example; leave it out to use all",
            ));
        }
        for (key, count, fraction) in [("valid", self.num_valid, self.valid_fraction), ("test", self.num_test, self.test_fraction)] {
            let Some(value) = fraction else { continue };
            let path = format!("{key}_fraction");
            if count.is_some() {
                return Err(ConfigError::new(&path, format!("`{path}` and `num_{key}` say the same thing; keep one of them")));
            }
            if !(0.0..1.0).contains(&value) {
                return Err(ConfigError::new(&path, format!("`{path}` must be at least 0 and less than 1, but is {value}")));
            }
        }
        if official_test && self.test_fraction.is_some() {
            return Err(ConfigError::new(
                "test_fraction",
                "`test_fraction` has no meaning where the test examples are given; use `num_test` for fewer of them",
            ));
        }
        if !official_test {
            let held_out = self.fraction(self.num_valid, self.valid_fraction) + self.fraction(self.num_test, self.test_fraction);
            if held_out >= 1.0 {
                let message = format!("validation and test fractions add up to {held_out}, which leaves nothing to train on");
                return Err(ConfigError::new("valid_fraction", message));
            }
        }
        match &self.normal_classes {
            Some(classes) if classes.is_empty() => {
                return Err(ConfigError::new("normal_classes", "`normal_classes` is empty; name one class or more, or leave it out"));
            }
            None if self.contamination != 0.0 => {
                let message = "`contamination` mixes in what is not of the `normal_classes`; name them too";
                return Err(ConfigError::new("contamination", message));
            }
            _ => {}
        }
        if !(0.0..1.0).contains(&self.contamination) {
            let message = format!("`contamination` must be at least 0 and less than 1, but is {}", self.contamination);
            return Err(ConfigError::new("contamination", message));
        }
        self.scale.check().map_err(|error| error.within("scale"))?;
        self.binarize.check().map_err(|error| error.within("binarize"))?;
        if self.binarize != Binarize::None && matches!(self.scale, Scale::Standardize { .. }) {
            let message =
                "binarization needs values in [0, 1], which standardized data is not; use `scale: unit_interval` or `scale: none`";
            return Err(ConfigError::new("binarize", message));
        }
        Ok(())
    }

    fn fraction(&self, count: Option<usize>, fraction: Option<f64>) -> f64 {
        if count.is_some() { 0.0 } else { fraction.unwrap_or(DEFAULT_FRACTION) }
    }

    /// What examples look like after the transform, given what they look like before it.
    pub(crate) fn spec(&self, event_shape: Vec<usize>, native: Domain, num_classes: Option<usize>) -> DataSpec {
        let domain = if self.binarize == Binarize::None { self.scale.domain(native) } else { Domain::Binary };
        DataSpec { event_shape, domain, num_classes }
    }
}

/// Declares a configuration: its own fields, then the shared ones, so that the experiment file stays flat
/// and errors keep their place (which `serde(flatten)` would lose).
macro_rules! dataset_config {
    (@define [$(#[$meta:meta])*] $name:ident [$($own:tt)*] [$($more:tt)*]) => {
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        $(#[$meta])*
        pub struct $name {
            $($own)*
            /// Training examples to use, drawn by `split_seed`; all that are left after the other splits when absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub num_train: Option<usize>,
            $($more)*
            /// Seed of the splits and of static binarization; independent of the training seed.
            #[serde(default)]
            pub split_seed: u64,
            /// How values are scaled.
            #[serde(default)]
            pub scale: crate::transform::Scale,
            /// How values in [0, 1] become 0 or 1.
            #[serde(default)]
            pub binarize: crate::transform::Binarize,
            /// Classes to train on, by name or number: training and validation examples are of these only, test examples of all.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub normal_classes: Option<Vec<aelab_core::ClassRef>>,
            /// Share of the training examples that is of the other classes, drawn by `split_seed`; only beside `normal_classes`.
            #[serde(default, skip_serializing_if = "crate::options::is_zero")]
            pub contamination: f64,
        }
    };

    // A source with its own test examples.
    (official, $(#[$meta:meta])* $name:ident) => {
        crate::options::dataset_config! { @define [$(#[$meta])* #[serde(default)]] $name [] [
            /// Validation examples, taken out of the training set by `split_seed`; may be 0.
            pub num_valid: usize,
            /// Test examples to use, drawn by `split_seed`; all when absent.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub num_test: Option<usize>,
        ] }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    num_train: None,
                    num_valid: crate::options::DEFAULT_NUM_VALID,
                    num_test: None,
                    split_seed: 0,
                    scale: crate::transform::Scale::None,
                    binarize: crate::transform::Binarize::None,
                    normal_classes: None,
                    contamination: 0.0,
                }
            }
        }

        impl $name {
            pub(crate) fn options(&self) -> crate::options::Options {
                crate::options::Options {
                    num_train: self.num_train,
                    num_valid: Some(self.num_valid),
                    num_test: self.num_test,
                    valid_fraction: None,
                    test_fraction: None,
                    split_seed: self.split_seed,
                    scale: self.scale,
                    binarize: self.binarize,
                    normal_classes: self.normal_classes.clone(),
                    contamination: self.contamination,
                }
            }
        }
    };

    // A source with its own test examples, options of its own, and another number of validation examples, which the named
    // function gives.
    (official $num_valid:literal, $(#[$meta:meta])* $name:ident { $($own:tt)* }) => {
        crate::options::dataset_config! { @define [$(#[$meta])*] $name [$($own)*] [
            /// Validation examples, taken out of the training set by `split_seed`; may be 0.
            #[serde(default = $num_valid)]
            pub num_valid: usize,
            /// Test examples to use, drawn by `split_seed`; all when absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub num_test: Option<usize>,
        ] }

        impl $name {
            pub(crate) fn options(&self) -> crate::options::Options {
                crate::options::Options {
                    num_train: self.num_train,
                    num_valid: Some(self.num_valid),
                    num_test: self.num_test,
                    valid_fraction: None,
                    test_fraction: None,
                    split_seed: self.split_seed,
                    scale: self.scale,
                    binarize: self.binarize,
                    normal_classes: self.normal_classes.clone(),
                    contamination: self.contamination,
                }
            }
        }
    };

    // A source that has to be split, at least into training and validation.
    (own, $(#[$meta:meta])* $name:ident { $($own:tt)* }) => {
        crate::options::dataset_config! { @define [$(#[$meta])*] $name [$($own)*] [
            /// Validation examples, drawn by `split_seed`; may be 0. Instead of `valid_fraction`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub num_valid: Option<usize>,
            /// Test examples, drawn by `split_seed`; may be 0. Instead of `test_fraction`. Where test files are
            /// given: how many of their examples to use, all when absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub num_test: Option<usize>,
            /// Fraction of the examples held out for validation; 0.1 when neither it nor `num_valid` is given.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub valid_fraction: Option<f64>,
            /// Fraction of the examples held out for testing; 0.1 when neither it nor `num_test` nor a test file is given.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub test_fraction: Option<f64>,
        ] }

        impl $name {
            pub(crate) fn options(&self) -> crate::options::Options {
                crate::options::Options {
                    num_train: self.num_train,
                    num_valid: self.num_valid,
                    num_test: self.num_test,
                    valid_fraction: self.valid_fraction,
                    test_fraction: self.test_fraction,
                    split_seed: self.split_seed,
                    scale: self.scale,
                    binarize: self.binarize,
                    normal_classes: self.normal_classes.clone(),
                    contamination: self.contamination,
                }
            }

            /// The same configuration with the default fractions written out.
            fn with_fractions(&self, official_test: bool) -> Self {
                let mut config = self.clone();
                if config.num_valid.is_none() {
                    config.valid_fraction.get_or_insert(crate::options::DEFAULT_FRACTION);
                }
                if config.num_test.is_none() && !official_test {
                    config.test_fraction.get_or_insert(crate::options::DEFAULT_FRACTION);
                }
                config
            }
        }
    };
}

pub(crate) use dataset_config;

#[cfg(test)]
pub(crate) fn plain() -> Options {
    Options {
        num_train: None,
        num_valid: None,
        num_test: None,
        valid_fraction: None,
        test_fraction: None,
        split_seed: 0,
        scale: Scale::None,
        binarize: Binarize::None,
        normal_classes: None,
        contamination: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::Per;

    fn path(options: &Options, official_test: bool) -> String {
        options.check(official_test).unwrap_err().path
    }

    #[test]
    fn what_no_data_could_satisfy_is_refused_at_its_key() {
        assert_eq!(path(&Options { num_train: Some(0), ..plain() }, false), "num_train");
        assert_eq!(path(&Options { num_valid: Some(1), valid_fraction: Some(0.1), ..plain() }, false), "valid_fraction");
        assert_eq!(path(&Options { test_fraction: Some(1.0), ..plain() }, false), "test_fraction");
        assert_eq!(path(&Options { test_fraction: Some(f64::NAN), ..plain() }, false), "test_fraction");
        assert_eq!(path(&Options { test_fraction: Some(0.1), ..plain() }, true), "test_fraction");
        assert_eq!(path(&Options { valid_fraction: Some(0.95), ..plain() }, false), "valid_fraction");
        assert_eq!(path(&Options { binarize: Binarize::Threshold(1.5), ..plain() }, false), "binarize.threshold");
        assert_eq!(path(&Options { scale: Scale::KnownRange { low: 1.0, high: 1.0 }, ..plain() }, false), "scale.known_range");
        let standardized = Options { scale: Scale::Standardize { per: Per::Feature }, binarize: Binarize::Static, ..plain() };
        assert_eq!(path(&standardized, false), "binarize");
        assert_eq!(path(&Options { normal_classes: Some(vec![]), ..plain() }, false), "normal_classes");
        assert_eq!(path(&Options { contamination: 0.1, ..plain() }, false), "contamination");
        let normal = || Options { normal_classes: Some(vec![ClassRef::Number(7)]), ..plain() };
        for contamination in [-0.1, 1.0, f64::NAN] {
            assert_eq!(path(&Options { contamination, ..normal() }, false), "contamination");
        }
        assert_eq!(normal().labelled(false, "").unwrap_err().path, "normal_classes");
        assert_eq!(normal().with_classes(["6", "8"]).unwrap_err().path, "normal_classes[0]");
        assert!(normal().with_classes(0..10).and_then(|options| options.labelled(true, "")).is_ok());
        assert!(plain().check(false).is_ok());
    }

    #[test]
    fn the_domain_follows_from_the_transform() {
        let domain = |scale, binarize, native| Options { scale, binarize, ..plain() }.spec(vec![1], native, None).domain;
        assert_eq!(domain(Scale::None, Binarize::None, Domain::UnitInterval), Domain::UnitInterval);
        assert_eq!(domain(Scale::None, Binarize::None, Domain::Real), Domain::Real);
        assert_eq!(domain(Scale::UnitInterval { per: Per::Dataset }, Binarize::None, Domain::Real), Domain::UnitInterval);
        assert_eq!(domain(Scale::Standardize { per: Per::Feature }, Binarize::None, Domain::UnitInterval), Domain::Real);
        assert_eq!(domain(Scale::None, Binarize::Dynamic, Domain::UnitInterval), Domain::Binary);
    }
}
