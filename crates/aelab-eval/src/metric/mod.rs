//! Metrics: one file each, pure functions on slices.

pub(crate) mod agreement;
pub(crate) mod auroc;
pub(crate) mod bce;
pub(crate) mod class_balance;
pub(crate) mod data_copying;
pub(crate) mod dci;
pub(crate) mod decision_trees;
pub(crate) mod detection;
pub(crate) mod dictionary;
pub(crate) mod ease;
pub(crate) mod errors;
pub(crate) mod explicitness;
pub(crate) mod factor_codes;
pub(crate) mod fixed_factor;
pub(crate) mod frechet;
pub(crate) mod info;
pub(crate) mod k_means;
pub(crate) mod k_nearest;
pub(crate) mod logistic_regression;
pub(crate) mod mae;
pub(crate) mod manifold;
pub(crate) mod ms_ssim;
pub(crate) mod mse;
pub(crate) mod mutual_information;
pub(crate) mod newton;
pub(crate) mod pareto;
pub(crate) mod psnr;
pub(crate) mod ranking;
pub(crate) mod rating_biases;
pub(crate) mod sap;
pub(crate) mod sparseness;
pub(crate) mod spectrum;
pub(crate) mod sse;
pub(crate) mod ssim;
pub(crate) mod threshold;
pub(crate) mod tied_ranking;
pub(crate) mod trustworthiness;
pub(crate) mod vus_pr;

/// A mean over examples, summed in `f64` in the order of the examples.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ExampleMean {
    sum: f64,
    num: usize,
}

impl ExampleMean {
    pub(crate) fn push(&mut self, value: f64) {
        self.sum += value;
        self.num += 1;
    }

    /// Whether something was pushed.
    pub(crate) fn has_any(&self) -> bool {
        self.num > 0
    }

    /// NaN where nothing was pushed.
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.num as f64
    }
}

/// The sum of `term` over pairs of features, in parts that the processor adds up side by side.
pub(crate) fn sum_over_features<R: Copy + Into<f64>>(x: &[f32], other: &[R], term: impl Fn(f64, f64) -> f64) -> f64 {
    const NUM_PARTS: usize = 8;
    let mut parts = [0.0; NUM_PARTS];
    let ((x, x_rest), (other, other_rest)) = (x.as_chunks::<NUM_PARTS>(), other.as_chunks::<NUM_PARTS>());
    for (x, other) in x.iter().zip(other) {
        for part in 0..NUM_PARTS {
            parts[part] += term(f64::from(x[part]), other[part].into());
        }
    }
    for ((part, &x), &other) in parts.iter_mut().zip(x_rest).zip(other_rest) {
        *part += term(f64::from(x), other.into());
    }
    parts.iter().sum()
}

/// The mean of `measure` over pairs of rows of `num_features` values.
///
/// # Panics
/// When the slices are not equally many whole rows.
pub(crate) fn mean_over_rows<R>(x: &[f32], other: &[R], num_features: usize, measure: impl Fn(&[f32], &[R]) -> f64) -> f64 {
    assert!(x.len() == other.len() && num_features > 0 && x.len().is_multiple_of(num_features), "both sides hold the same whole examples");
    let mut mean = ExampleMean::default();
    for (x, other) in x.chunks_exact(num_features).zip(other.chunks_exact(num_features)) {
        mean.push(measure(x, other));
    }
    mean.mean()
}
