//! What an evaluation gives back.

use crate::{Direction, EvaluationError, metric_info};

/// One measured number.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Name, as in [`crate::METRICS`] or, for a term of the objective, as the model calls it.
    pub name: String,
    /// The value; always finite.
    pub value: f64,
    /// What it is measured in; empty for a plain number.
    pub unit: &'static str,
    /// Which way is better.
    pub direction: Direction,
    /// Version of the definition: values of different versions do not compare.
    pub version: u32,
}

impl Measurement {
    /// A value with what is known of its metric; refuses what is not finite.
    pub(crate) fn new(name: &str, value: f64) -> Result<Self, EvaluationError> {
        if !value.is_finite() {
            return Err(EvaluationError::NonFinite { metric: name.to_owned(), value });
        }
        let info = metric_info(name);
        Ok(Self { name: name.to_owned(), value, unit: info.unit, direction: info.direction, version: info.version })
    }
}

/// Numbers and pictures of one evaluation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// The numbers, in the order in which they are listed.
    pub measurements: Vec<Measurement>,
    /// Data of pictures; whoever draws decides how.
    pub pictures: Vec<Picture>,
    /// What went wrong without touching a result: a cache that cannot be written.
    pub warnings: Vec<String>,
}

/// The data of a picture.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Picture {
    /// Test examples by their two-dimensional code.
    LatentScatter {
        /// One code per example.
        points: Vec<[f32; 2]>,
        /// Class of each example, where the data has classes.
        labels: Option<Vec<u32>>,
        /// Names of the classes, where they have any.
        class_names: Option<Vec<String>>,
    },
    /// Test images and what the model makes of them. Images are flattened `[channel, height, width]`,
    /// one after the other, and not clipped.
    Reconstructions {
        /// The images.
        inputs: Vec<f32>,
        /// What the model was shown in place of the images, for a model that corrupts its input.
        corrupted: Option<Vec<f32>>,
        /// What the model made of `corrupted`, or else of `inputs`.
        reconstructions: Vec<f32>,
        /// What PCA of the same code size makes of `inputs`.
        pca: Option<Vec<f32>>,
        /// `[channel, height, width]`.
        shape: [usize; 3],
        /// Class of each image, where the data has classes.
        labels: Option<Vec<u32>>,
    },
    /// Test series and what the model makes of them, flattened `[time, channel]`, one after the other. What a series
    /// lacks is NaN.
    SeriesReconstructions {
        /// The series.
        inputs: Vec<f32>,
        /// What the model made of them.
        reconstructions: Vec<f32>,
        /// What PCA of the same code size makes of `inputs`.
        pca: Option<Vec<f32>>,
        /// `[time, channel]`.
        shape: [usize; 2],
        /// Class of each series, where the data has classes.
        labels: Option<Vec<u32>>,
    },
    /// Series generated from the prior, flattened `[time, channel]`, one after the other.
    SeriesSamples {
        /// The series.
        series: Vec<f32>,
        /// `[time, channel]`.
        shape: [usize; 2],
    },
    /// Images generated from the prior, flattened `[channel, height, width]`, one after the other.
    Samples {
        /// The images.
        images: Vec<f32>,
        /// `[channel, height, width]`.
        shape: [usize; 3],
        /// Classes in turn, one per column, where the samples are conditioned on them.
        columns: Option<usize>,
    },
}
