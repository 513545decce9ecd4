//! The reconstruction errors of a whole split, batch by batch.

use aelab_core::DataSpec;

use super::ExampleMean;
use super::mae::absolute_error;
use super::ms_ssim::MsSsim;
use super::psnr::psnr;
use super::sse::squared_error;
use super::ssim::Ssim;
use crate::{EvaluationError, Measurement};

/// What is measured of one example.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExampleErrors {
    /// Summed over features.
    pub(crate) squared: f64,
    absolute: f64,
    /// Values that were observed.
    observed: f64,
    ssim: Option<f64>,
    ms_ssim: Option<f64>,
}

/// Means over examples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorMeans {
    unit_interval: bool,
    squared: ExampleMean,
    absolute: ExampleMean,
    observed: ExampleMean,
    ssim: ExampleMean,
    ms_ssim: ExampleMean,
}

impl ErrorMeans {
    /// PSNR is for data in [0, 1].
    pub(crate) fn new(data: &DataSpec) -> Self {
        let [squared, absolute, observed, ssim, ms_ssim] = [ExampleMean::default(); 5];
        Self { unit_interval: data.domain.is_unit_interval(), squared, absolute, observed, ssim, ms_ssim }
    }

    pub(crate) fn push(&mut self, example: &ExampleErrors) {
        self.squared.push(example.squared);
        self.absolute.push(example.absolute);
        self.observed.push(example.observed);
        for (mean, value) in [(&mut self.ssim, example.ssim), (&mut self.ms_ssim, example.ms_ssim)] {
            if let Some(value) = value {
                mean.push(value);
            }
        }
    }

    /// Squared error, mean over observed values.
    pub(crate) fn mse(&self) -> f64 {
        self.squared.mean() / self.observed.mean()
    }

    /// For data in [0, 1]; none where the error is exactly 0 and it would be infinite.
    pub(crate) fn psnr(&self) -> Option<f64> {
        let mse = self.mse();
        (self.unit_interval && mse != 0.0).then(|| psnr(mse))
    }

    /// For images in [0, 1].
    pub(crate) fn ssim(&self) -> Option<f64> {
        self.ssim.has_any().then(|| self.ssim.mean())
    }

    /// `sse`, `mse`, `mae`, `psnr`, `ssim`, `ms_ssim`, as far as they apply.
    pub(crate) fn values(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("sse", Some(self.squared.mean())),
            ("mse", Some(self.mse())),
            ("mae", Some(self.absolute.mean() / self.observed.mean())),
            ("psnr", self.psnr()),
            ("ssim", self.ssim()),
            ("ms_ssim", self.ms_ssim.has_any().then(|| self.ms_ssim.mean())),
        ]
    }
}

/// Accumulates what is measured between examples and reconstructions.
#[derive(Debug)]
pub(crate) struct ReconstructionErrors {
    num_features: usize,
    means: ErrorMeans,
    similarity: Similarity,
}

/// Similarities that images of a shape have.
#[derive(Debug)]
enum Similarity {
    None,
    Ssim(Ssim),
    /// SSIM, too.
    MultiScale(MsSsim),
}

impl Similarity {
    fn of(data: &DataSpec) -> Self {
        let shape = data.image_shape().filter(|_| data.domain.is_unit_interval());
        let multi_scale = shape.and_then(MsSsim::new).map(Similarity::MultiScale);
        multi_scale.or_else(|| shape.and_then(Ssim::new).map(Similarity::Ssim)).unwrap_or(Similarity::None)
    }
}

impl ReconstructionErrors {
    /// PSNR and SSIM are for data in [0, 1], SSIM for images with a side of at least 3, MS-SSIM of at least 22.
    pub(crate) fn new(data: &DataSpec) -> Self {
        Self { num_features: data.num_features(), means: ErrorMeans::new(data), similarity: Similarity::of(data) }
    }

    /// Takes in whole examples, row after row, and says what is measured of each. Where there is a `mask`, what it says is not
    /// there counts as reconstructed.
    pub(crate) fn push<R: Copy + Into<f64>>(&mut self, x: &[f32], reconstruction: &[R], mask: Option<&[f32]>) -> Vec<ExampleErrors> {
        let size = self.num_features.max(1);
        let rows = x.chunks_exact(size).zip(reconstruction.chunks_exact(size)).enumerate();
        rows.map(|(index, (x, reconstruction))| {
            let example = match mask.map(|mask| &mask[index * size..][..size]) {
                None => self.errors(x, reconstruction, size),
                Some(mask) => {
                    let values = x.iter().zip(reconstruction).zip(mask);
                    let observed: Vec<f64> =
                        values.map(|((&x, &value), &mask)| if mask > 0.0 { value.into() } else { f64::from(x) }).collect();
                    self.errors(x, &observed, mask.iter().filter(|mask| **mask > 0.0).count())
                }
            };
            self.means.push(&example);
            example
        })
        .collect()
    }

    fn errors<R: Copy + Into<f64>>(&mut self, x: &[f32], reconstruction: &[R], num_observed: usize) -> ExampleErrors {
        let (ssim, ms_ssim) = match &mut self.similarity {
            Similarity::None => (None, None),
            Similarity::Ssim(ssim) => (Some(ssim.similarity(x, reconstruction)), None),
            Similarity::MultiScale(ms_ssim) => {
                let (ssim, ms_ssim) = ms_ssim.similarities(x, reconstruction);
                (Some(ssim), Some(ms_ssim))
            }
        };
        ExampleErrors {
            squared: squared_error(x, reconstruction),
            absolute: absolute_error(x, reconstruction),
            observed: num_observed as f64,
            ssim,
            ms_ssim,
        }
    }

    /// Squared error, mean over observed values.
    pub(crate) fn mse(&self) -> f64 {
        self.means.mse()
    }

    /// For data in [0, 1]; none where the error is exactly 0 and it would be infinite.
    pub(crate) fn psnr(&self) -> Option<f64> {
        self.means.psnr()
    }

    /// For images in [0, 1].
    pub(crate) fn ssim(&self) -> Option<f64> {
        self.means.ssim()
    }

    /// The means whose names, behind `prefix`, are among `names`; see [`ErrorMeans::values`].
    pub(crate) fn measurements(&self, prefix: &str, names: &[&'static str]) -> Result<Vec<Measurement>, EvaluationError> {
        self.means
            .values()
            .into_iter()
            .filter_map(|(name, value)| Some((format!("{prefix}{name}"), value?)))
            .filter(|(name, _)| names.contains(&name.as_str()))
            .map(|(name, value)| Measurement::new(&name, value))
            .collect()
    }
}

/// The names among `all` that apply to such data, by their last word.
pub(crate) fn applicable(all: &[&str], data: &DataSpec) -> Vec<String> {
    let unit_interval = data.domain.is_unit_interval();
    let similarity = Similarity::of(data);
    all.iter()
        .filter(|name| match name.rsplit('_').next() {
            Some("psnr" | "bce") => unit_interval,
            Some("ssim") if name.ends_with("ms_ssim") => matches!(similarity, Similarity::MultiScale(_)),
            Some("ssim") => !matches!(similarity, Similarity::None),
            _ => true,
        })
        .map(|&name| name.to_owned())
        .collect()
}
