//! The reconstruction errors of a whole split, batch by batch.

use aelab_core::DataSpec;

use super::ExampleMean;
use super::mae::absolute_error;
use super::psnr::psnr;
use super::sse::squared_error;
use super::ssim::Ssim;
use crate::{EvaluationError, Measurement};

/// Accumulates what is measured between examples and reconstructions.
#[derive(Debug)]
pub(crate) struct ReconstructionErrors {
    num_features: usize,
    unit_interval: bool,
    squared: ExampleMean,
    absolute: ExampleMean,
    similarity: ExampleMean,
    /// Values of an example that were observed.
    observed: ExampleMean,
    ssim: Option<Ssim>,
}

impl ReconstructionErrors {
    /// PSNR and SSIM are for data in [0, 1], SSIM for images with a side of at least 3.
    pub(crate) fn new(data: &DataSpec) -> Self {
        let unit_interval = data.domain.is_unit_interval();
        Self {
            num_features: data.num_features(),
            unit_interval,
            squared: ExampleMean::default(),
            absolute: ExampleMean::default(),
            similarity: ExampleMean::default(),
            observed: ExampleMean::default(),
            ssim: data.image_shape().filter(|_| unit_interval).and_then(Ssim::new),
        }
    }

    /// Takes in whole examples, row after row. Where there is a `mask`, what it says is not there counts as reconstructed.
    pub(crate) fn push<R: Copy + Into<f64>>(&mut self, x: &[f32], reconstruction: &[R], mask: Option<&[f32]>) {
        let size = self.num_features.max(1);
        for (index, (x, reconstruction)) in x.chunks_exact(size).zip(reconstruction.chunks_exact(size)).enumerate() {
            match mask.map(|mask| &mask[index * size..][..size]) {
                None => self.push_one(x, reconstruction, size),
                Some(mask) => {
                    let values = x.iter().zip(reconstruction).zip(mask);
                    let observed: Vec<f64> =
                        values.map(|((&x, &value), &mask)| if mask > 0.0 { value.into() } else { f64::from(x) }).collect();
                    self.push_one(x, &observed, mask.iter().filter(|mask| **mask > 0.0).count());
                }
            }
        }
    }

    fn push_one<R: Copy + Into<f64>>(&mut self, x: &[f32], reconstruction: &[R], num_observed: usize) {
        self.squared.push(squared_error(x, reconstruction));
        self.absolute.push(absolute_error(x, reconstruction));
        self.observed.push(num_observed as f64);
        if let Some(ssim) = &mut self.ssim {
            self.similarity.push(ssim.similarity(x, reconstruction));
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
        self.ssim.is_some().then(|| self.similarity.mean())
    }

    /// `sse`, `mse`, `mae`, `psnr`, `ssim`, as far as they apply and are among `names`; PSNR is left out where
    /// the error is exactly 0 and it would be infinite.
    pub(crate) fn measurements(&self, prefix: &str, names: &[&'static str]) -> Result<Vec<Measurement>, EvaluationError> {
        let values = [
            ("sse", Some(self.squared.mean())),
            ("mse", Some(self.mse())),
            ("mae", Some(self.absolute.mean() / self.observed.mean())),
            ("psnr", self.psnr()),
            ("ssim", self.ssim()),
        ];
        values
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
    let has_ssim = unit_interval && data.image_shape().is_some_and(|shape| Ssim::new(shape).is_some());
    all.iter()
        .filter(|name| match name.rsplit('_').next() {
            Some("psnr" | "bce") => unit_interval,
            Some("ssim") => has_ssim,
            _ => true,
        })
        .map(|&name| name.to_owned())
        .collect()
}
