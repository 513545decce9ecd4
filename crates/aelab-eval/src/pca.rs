//! Exact principal component analysis in `f64`: the best linear autoencoder there is, in closed form.
//!
//! Pearson 1901; Baldi & Hornik 1989, "Neural networks and principal component analysis: learning from
//! examples without local minima". <https://doi.org/10.1016/0893-6080(89)90014-2>

use aelab_core::{Examples, Stream};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Side, get_global_parallelism};

use crate::metric::sse::squared_error;
use crate::pass::{chunk_rows, for_each_batch};
use crate::threads::in_own_threads;
use crate::{EvaluationError, Moments};

/// The most features, or examples where these are fewer, that an exact PCA is attempted for: its cost
/// grows with the cube, and a few thousand take a minute.
pub const MAX_PCA_SIDE: usize = 4096;

/// Part of an example's largest value below which an error of its reconstruction is rounding: far below the precision of the
/// examples themselves, far above that of sums over as many features as are attempted.
const ROUNDING: f64 = 1e-10;

/// Part of an example's squared length below which a difference of such lengths has too few digits left: of the 15 that there are,
/// it leaves 9.
const CANCELLED: f64 = 1e-6;

/// A fitted PCA, all components.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    pub(crate) mean: Vec<f64>,
    pub(crate) eigenvalues: Vec<f64>,
    /// Orthonormal rows `[component, feature]`.
    pub(crate) components: Vec<f64>,
}

impl Pca {
    /// Fits the examples, centred on their mean; what is drawn at access is drawn from `stream`.
    ///
    /// The covariance, divided by the number of examples, is summed in `f64` and decomposed; where there
    /// are fewer examples than features, the centred examples are decomposed instead.
    ///
    /// Of examples with missing values there is no PCA: what stands in their place would count. Evaluations leave it out.
    pub fn fit(examples: &dyn Examples, stream: &Stream) -> Result<Self, EvaluationError> {
        if examples.is_empty() {
            return Err(EvaluationError::EmptySplit { evaluation: "pca", split: "training" });
        }
        Self::fit_centred(examples, stream, &Moments::of(examples, stream.clone())?)
    }

    /// [`fit`](Self::fit) where the moments of the same examples are known already.
    pub(crate) fn fit_centred(examples: &dyn Examples, stream: &Stream, moments: &Moments) -> Result<Self, EvaluationError> {
        let (num_examples, num_features) = (examples.len(), examples.spec().num_features());
        if num_examples.min(num_features) > MAX_PCA_SIDE {
            return Err(EvaluationError::PcaTooLarge { num_examples, num_features, limit: MAX_PCA_SIDE });
        }
        let decompose = if num_examples < num_features { from_examples } else { from_covariance };
        let (eigenvalues, mut components) = in_own_threads(|| decompose(examples, stream, &moments.mean))?;
        for component in components.chunks_exact_mut(num_features.max(1)) {
            fix_sign(component);
        }
        Ok(Self { mean: moments.mean.clone(), eigenvalues, components })
    }

    /// Mean of the training examples, `[feature]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Variances along the components (divided by the number of examples), largest first: as many as
    /// there are features or, of fewer examples than features, one less than examples. The ones beyond `k`
    /// sum up to the squared error per training example of a reconstruction from `k` components.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// Component `index`, a unit vector `[feature]`; its entry of largest magnitude is positive.
    ///
    /// # Panics
    /// When there is no such component.
    pub fn component(&self, index: usize) -> &[f64] {
        &self.components[index * self.mean.len()..][..self.mean.len()]
    }

    /// Covariance matrix of the training examples, divided by their number, `[feature, feature]`.
    pub(crate) fn covariance(&self) -> Mat<f64> {
        let (num_components, num_features) = (self.eigenvalues.len(), self.mean.len());
        let components = MatRef::from_row_major_slice(&self.components[..], num_components, num_features);
        let scaled = Mat::from_fn(num_components, num_features, |row, column| self.eigenvalues[row] * components[(row, column)]);
        let mut covariance = Mat::zeros(num_features, num_features);
        let out = covariance.as_mut();
        in_own_threads(|| matmul(out, Accum::Replace, components.transpose(), scaled.as_ref(), 1.0, get_global_parallelism()));
        covariance
    }

    /// The coordinates of examples `[example, feature]` along the first `num_components` components, `[example, component]`. All
    /// components are used where there are fewer.
    ///
    /// # Panics
    /// When `rows` is not whole examples.
    pub fn encode(&self, rows: &[f32], num_components: usize) -> Vec<f64> {
        let num_features = self.mean.len();
        assert!(rows.len().is_multiple_of(num_features.max(1)), "PCA encodes whole examples");
        self.encode_centred(&self.centred(rows), num_components)
    }

    fn centred(&self, rows: &[f32]) -> Vec<f64> {
        let mut centred = Vec::with_capacity(rows.len());
        append_centred(rows, &self.mean, &mut centred);
        centred
    }

    fn encode_centred(&self, centred: &[f64], num_components: usize) -> Vec<f64> {
        let num_features = self.mean.len();
        let num_examples = centred.len() / num_features.max(1);
        let num_components = num_components.min(self.eigenvalues.len());
        let components = MatRef::from_row_major_slice(&self.components[..num_components * num_features], num_components, num_features);
        let mut codes = vec![0.0; num_examples * num_components];
        let out = MatMut::from_row_major_slice_mut(&mut codes[..], num_examples, num_components);
        let centred = MatRef::from_row_major_slice(centred, num_examples, num_features);
        in_own_threads(|| matmul(out, Accum::Replace, centred, components.transpose(), 1.0, get_global_parallelism()));
        codes
    }

    /// Projects examples `[example, feature]` on the first `num_components` components and back; not
    /// clipped. All components are used where there are fewer. What comes back but for rounding comes back exactly, lest the
    /// errors of as many components as there are features be numbers made of nothing.
    ///
    /// # Panics
    /// When `rows` is not whole examples.
    pub fn reconstruct(&self, rows: &[f32], num_components: usize) -> Vec<f64> {
        let num_features = self.mean.len();
        assert!(rows.len().is_multiple_of(num_features.max(1)), "PCA reconstructs whole examples");
        let num_examples = rows.len() / num_features.max(1);
        let num_components = num_components.min(self.eigenvalues.len());
        let mut reconstructions = self.decode(&self.encode(rows, num_components), num_examples);
        let largest_mean = self.mean.iter().fold(0.0f64, |largest, mean| largest.max(mean.abs()));
        for (row, reconstruction) in rows.chunks_exact(num_features.max(1)).zip(reconstructions.chunks_exact_mut(num_features.max(1))) {
            let rounding = ROUNDING * largest_mean.max(f64::from(largest_magnitude(row)));
            for (&x, value) in row.iter().zip(reconstruction) {
                let x = f64::from(x);
                *value = if (x - *value).abs() <= rounding { x } else { *value };
            }
        }
        reconstructions
    }

    /// The squared error of each example's [`reconstruct`](Self::reconstruct)ion, summed over its features, `[example]`.
    ///
    /// Components are orthonormal, so that by Pythagoras it is what a code lacks of the squared length of the centred example. Where it
    /// lacks so little that the difference has lost digits, the example is reconstructed.
    ///
    /// # Panics
    /// When `rows` is not whole examples.
    pub fn squared_errors(&self, rows: &[f32], num_components: usize) -> Vec<f64> {
        let num_features = self.mean.len().max(1);
        assert!(rows.len().is_multiple_of(num_features), "PCA reconstructs whole examples");
        // In chunks, as all of it is in double precision.
        rows.chunks(chunk_rows(num_features) * num_features).flat_map(|rows| self.squared_errors_at_once(rows, num_components)).collect()
    }

    fn squared_errors_at_once(&self, rows: &[f32], num_components: usize) -> Vec<f64> {
        let num_features = self.mean.len().max(1);
        let centred = self.centred(rows);
        let codes = self.encode_centred(&centred, num_components);
        let size = codes.len() / (rows.len() / num_features).max(1);
        let (mut errors, mut cancelled) = (Vec::new(), Vec::new());
        for (index, centred) in centred.chunks_exact(num_features).enumerate() {
            let whole = squared_length(centred);
            errors.push(whole - squared_length(&codes[index * size..(index + 1) * size]));
            if errors[index].is_nan() || errors[index] <= CANCELLED * whole {
                cancelled.push(index);
            }
        }
        // All that are left over in one product: of a code as long as an example, that is every one.
        let row = |index: usize| &rows[index * num_features..(index + 1) * num_features];
        let left: Vec<f32> = cancelled.iter().flat_map(|&index| row(index)).copied().collect();
        for (&index, reconstruction) in cancelled.iter().zip(self.reconstruct(&left, num_components).chunks_exact(num_features)) {
            errors[index] = squared_error(row(index), reconstruction);
        }
        errors
    }

    /// The examples `[example, feature]` with the given coordinates along the first components, `[example, component]`; not clipped.
    pub(crate) fn decode(&self, codes: &[f64], num_examples: usize) -> Vec<f64> {
        let num_features = self.mean.len();
        let num_components = codes.len() / num_examples.max(1);
        let mut examples = self.mean.repeat(num_examples);
        let codes = MatRef::from_row_major_slice(codes, num_examples, num_components);
        let components = MatRef::from_row_major_slice(&self.components[..num_components * num_features], num_components, num_features);
        let out = MatMut::from_row_major_slice_mut(&mut examples[..], num_examples, num_features);
        in_own_threads(|| matmul(out, Accum::Add, codes, components, 1.0, get_global_parallelism()));
        examples
    }
}

/// Summed in parts that the processor adds up side by side.
fn squared_length(vector: &[f64]) -> f64 {
    let (groups, rest) = vector.as_chunks::<8>();
    let mut parts = [0.0; 8];
    for group in groups {
        parts.iter_mut().zip(group).for_each(|(part, value)| *part += value * value);
    }
    parts.into_iter().chain(rest.iter().map(|value| value * value)).sum()
}

/// Of what is a number, and at least 0.
fn largest_magnitude(values: &[f32]) -> f32 {
    let larger = |largest: f32, value: f32| if value.abs() > largest { value.abs() } else { largest };
    let (groups, rest) = values.as_chunks::<8>();
    let mut largest = [0.0; 8];
    for group in groups {
        for (largest, &value) in largest.iter_mut().zip(group) {
            *largest = larger(*largest, value);
        }
    }
    largest.into_iter().chain(rest.iter().copied()).fold(0.0, larger)
}

fn append_centred(rows: &[f32], mean: &[f64], out: &mut Vec<f64>) {
    for row in rows.chunks_exact(mean.len().max(1)) {
        out.extend(row.iter().zip(mean).map(|(&value, mean)| f64::from(value) - mean));
    }
}

/// Eigenvalues and eigenvectors of the covariance matrix, largest first.
fn from_covariance(examples: &dyn Examples, stream: &Stream, mean: &[f64]) -> Result<(Vec<f64>, Vec<f64>), EvaluationError> {
    let size = mean.len();
    let mut covariance = Mat::<f64>::zeros(size, size);
    let mut centred = Vec::new();
    for_each_batch(examples, stream.clone(), chunk_rows(size), |rows| {
        centred.clear();
        append_centred(&rows.values, mean, &mut centred);
        let chunk = MatRef::from_row_major_slice(&centred[..], rows.shape()[0], size);
        triangular::matmul(
            covariance.as_mut(),
            BlockStructure::TriangularLower,
            Accum::Add,
            chunk.transpose(),
            BlockStructure::Rectangular,
            chunk,
            BlockStructure::Rectangular,
            1.0 / examples.len() as f64,
            get_global_parallelism(),
        );
        Ok(())
    })?;
    let decomposition = covariance.self_adjoint_eigen(Side::Lower).map_err(|_| EvaluationError::Decomposition { size })?;
    let values = decomposition.S().column_vector();
    let vectors = decomposition.U();
    // faer sorts upwards. Rounding may push a variance of 0 below it.
    let eigenvalues = (0..size).rev().map(|index| values[index].max(0.0)).collect();
    let components = (0..size).rev().flat_map(|index| vectors.col(index).iter().copied()).collect();
    Ok((eigenvalues, components))
}

/// The same from a singular value decomposition of the centred examples, for fewer examples than features.
fn from_examples(examples: &dyn Examples, stream: &Stream, mean: &[f64]) -> Result<(Vec<f64>, Vec<f64>), EvaluationError> {
    let (num_examples, num_features) = (examples.len(), mean.len());
    let mut centred = Vec::with_capacity(num_examples * num_features);
    for_each_batch(examples, stream.clone(), chunk_rows(num_features), |rows| {
        append_centred(&rows.values, mean, &mut centred);
        Ok(())
    })?;
    let matrix = MatRef::from_row_major_slice(&centred[..], num_examples, num_features);
    let decomposition = matrix.thin_svd().map_err(|_| EvaluationError::Decomposition { size: num_examples })?;
    let values = decomposition.S().column_vector();
    let vectors = decomposition.V();
    // Centring takes one dimension away: the last direction is rounding.
    let num_components = num_examples - 1;
    let eigenvalues = (0..num_components).map(|index| values[index] * values[index] / num_examples as f64).collect();
    let components = (0..num_components).flat_map(|index| vectors.col(index).iter().copied()).collect();
    Ok((eigenvalues, components))
}

/// Turns a component so that its entry of largest magnitude, the first of equals, is positive.
fn fix_sign(component: &mut [f64]) {
    let largest = component.iter().fold(0.0f64, |largest, &entry| if entry.abs() > largest.abs() { entry } else { largest });
    if largest < 0.0 {
        for entry in component {
            *entry = -*entry;
        }
    }
}
