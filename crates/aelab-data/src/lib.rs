//! Data sets: read, fetched, verified, split, transformed, handed out as rows of `f32`.
//!
//! * [`DATASETS`] lists every source; an entry parses its section of the experiment file into a
//!   [`DatasetConfig`], which can say what the data looks like ([`DatasetConfig::spec`]) and which bytes
//!   it is made of ([`DatasetConfig::checksum`]) before it is loaded.
//! * A [`Dataset`] has three disjoint [`DataSplit`]s. They depend on the data, the options and
//!   `split_seed`, never on the seed of a training run, so that runs with different seeds compare.
//! * Whatever is fitted (minimum and maximum, mean and standard deviation) is fitted on the training
//!   split alone.
//! * What is decoded is kept in a file that all processes of the machine map ([`decoded_dir`]): they share its memory.
//! * [`fetch()`], [`verify`] and [`list`] look after the cache. Loading never touches the network.
//!
//! One file per source under `sources`, one per file format under `formats`.

#![forbid(unsafe_code)]

mod checksum;
mod context;
mod dataset;
mod decoded;
mod error;
mod fetch;
mod formats;
#[doc(hidden)]
pub mod fuzzing;
mod labels;
mod memory;
mod observed;
mod options;
mod partition;
mod random;
mod registry;
mod sources;
mod transform;

pub use context::{LoadContext, default_cache_dir};
pub use dataset::{DataSplit, Dataset};
pub use decoded::{Cleared, clear_decoded, decoded_dir};
pub use error::{DataError, FailedAttempt, Origin};
pub use fetch::{DatasetState, DatasetStatus, FetchProgress, FetchReport, FileState, FileStatus, Source, fetch, list, verify};
pub use registry::{DATASETS, DatasetConfig, DatasetEntry, DatasetSource, find};
pub use sources::bars::{BarsConfig, bars_patterns};
pub use sources::cifar_10::Cifar10Config;
pub use sources::csv::{Column, CsvConfig};
pub use sources::dictionary::DictionaryConfig;
pub use sources::digits::DigitsConfig;
pub use sources::fashion_mnist::FashionMnistConfig;
pub use sources::idx::IdxConfig;
pub use sources::images::{Color, ImagesConfig};
pub use sources::mixture::{GaussianMixture, MixtureConfig, MixtureLayout};
pub use sources::mnist::MnistConfig;
pub use sources::mnist_variant::{MnistVariantConfig, MnistVariantKind};
pub use sources::movielens_100k::{Movielens100kConfig, RatingForm, RatingRows, RatingSplit};
pub use sources::npy::NpyConfig;
pub use sources::npz::NpzConfig;
pub use sources::reuters::{ReutersConfig, TermWeight};
pub use sources::sines::SinesConfig;
pub use sources::spheres::SpheresConfig;
pub use sources::sprites::{SPRITE_FACTORS, SpritesConfig, sprite};
pub use sources::swiss_roll::SwissRollConfig;
pub use sources::synthetic_ecg::SyntheticEcgConfig;
pub use sources::uci::{UciConfig, UciName};
pub use sources::ucr::{UcrConfig, ucr_names};
pub use transform::{Binarize, Per, Scale};
