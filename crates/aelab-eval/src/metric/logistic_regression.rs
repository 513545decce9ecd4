//! Multinomial logistic regression, to convergence: what a linear classifier makes of given features.
//!
//! The minimum of C * (sum of -ln p(class | x)) + |coefficients|^2 / 2, intercepts free of charge, as scikit-learn has it; for two
//! classes that of the binary form, one row of coefficients.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::{Llt, Solve};
use faer::{Accum, Mat, MatMut, MatRef, Side, get_global_parallelism};

use super::newton::{Convex, minimise};
use crate::threads::in_own_threads;

const MAX_ITERATIONS: usize = 100;
/// Up to so many features the curvature of the features is factored beforehand: steps are fewer then.
const MAX_FACTORED: usize = 4096;

/// A fitted classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticRegression {
    /// The classes that there were, in rising order.
    pub classes: Vec<u32>,
    /// `[class, feature]`; they sum up to 0 over classes.
    pub coefficients: Vec<f64>,
    /// `[class]`; they sum up to 0.
    pub intercepts: Vec<f64>,
    /// Whether the gradient has vanished.
    pub converged: bool,
    /// Steps that it took.
    pub num_iterations: usize,
    size: usize,
}

impl LogisticRegression {
    /// Fits rows `x` of `size` features and their classes; a larger `c` is a smaller price on coefficients. `None` with fewer than two
    /// classes.
    ///
    /// # Panics
    /// When `x` is not a row per label.
    pub fn fit(x: &[f64], size: usize, labels: &[u32], c: f64) -> Option<Self> {
        Self::fit_within(x, size, labels, c, 1e-8)
    }

    /// The same, until the norm of the gradient is `tolerance` times that at the start.
    ///
    /// # Panics
    /// When `x` is not a row per label.
    pub(crate) fn fit_within(x: &[f64], size: usize, labels: &[u32], c: f64, tolerance: f64) -> Option<Self> {
        assert!(size > 0 && x.len() == size * labels.len(), "each label has a row");
        let mut classes = labels.to_vec();
        classes.sort_unstable();
        classes.dedup();
        if classes.len() < 2 {
            return None;
        }
        let (num, num_classes) = (labels.len(), classes.len());
        let targets: Vec<usize> = labels.iter().map(|label| classes.partition_point(|class| class < label)).collect();
        // Two rows of opposite coefficients w / 2 make the same probabilities as one row w, at half of its price.
        let lambda = if num_classes == 2 { 2.0 } else { 1.0 } / (c * num as f64);
        let curvature = factored_curvature(x, size, num, lambda);
        let objective = Objective { x, size, targets, num_classes, lambda, curvature };
        let minimum = minimise(&objective, vec![0.0; (size + 1) * num_classes], tolerance, MAX_ITERATIONS);
        let of_class = |class: usize, row: usize| minimum.point[row * num_classes + class];
        // Adding the same to every class changes nothing: the price makes the coefficients sum up to 0, nothing the intercepts.
        let mean = (0..num_classes).map(|class| of_class(class, size)).sum::<f64>() / num_classes as f64;
        Some(Self {
            coefficients: (0..num_classes).flat_map(|class| (0..size).map(move |row| of_class(class, row))).collect(),
            intercepts: (0..num_classes).map(|class| of_class(class, size) - mean).collect(),
            converged: minimum.converged,
            num_iterations: minimum.num_iterations,
            classes,
            size,
        })
    }

    /// The natural logarithms of the probabilities of the classes, `[example, class]`, for rows `x`.
    ///
    /// # Panics
    /// When `x` is not whole rows.
    pub fn log_probabilities(&self, x: &[f64]) -> Vec<f64> {
        assert!(x.len().is_multiple_of(self.size), "classes are told of whole rows");
        let num_classes = self.classes.len();
        let mut parameters = Vec::with_capacity((self.size + 1) * num_classes);
        for row in 0..self.size {
            parameters.extend((0..num_classes).map(|class| self.coefficients[class * self.size + row]));
        }
        parameters.extend(&self.intercepts);
        let mut scores = scores(x, self.size, &parameters, num_classes);
        for row in scores.chunks_exact_mut(num_classes) {
            let log_sum = log_sum_exp(row);
            row.iter_mut().for_each(|score| *score -= log_sum);
        }
        scores
    }

    /// The most probable class of each row, the smallest of equally probable ones.
    ///
    /// # Panics
    /// When `x` is not whole rows.
    pub fn predict(&self, x: &[f64]) -> Vec<u32> {
        let best = |row: &[f64]| row.iter().enumerate().fold(0, |best, (class, value)| if *value > row[best] { class } else { best });
        self.log_probabilities(x).chunks_exact(self.classes.len()).map(|row| self.classes[best(row)]).collect()
    }
}

/// The negative log-likelihood per example and half of `lambda` times the squared coefficients, as a function of a matrix: a column per
/// class, and below the coefficients a row of intercepts.
struct Objective<'a> {
    /// `[example, feature]`.
    x: &'a [f64],
    size: usize,
    /// Which class each example is of.
    targets: Vec<usize>,
    num_classes: usize,
    lambda: f64,
    curvature: Option<Llt<f64>>,
}

impl Objective<'_> {
    /// The derivative by the parameters of something with `slopes` by the scores, averaged over examples, and `lambda` times the
    /// coefficients among `parameters`.
    fn pulled_back(&self, slopes: &[f64], parameters: &[f64]) -> Vec<f64> {
        let (num, num_classes) = (self.targets.len(), self.num_classes);
        let mut pulled = vec![0.0; (self.size + 1) * num_classes];
        let (of_coefficients, of_intercepts) = pulled.split_at_mut(self.size * num_classes);
        in_own_threads(|| {
            let out = MatMut::from_row_major_slice_mut(&mut *of_coefficients, self.size, num_classes);
            let x = MatRef::from_row_major_slice(self.x, num, self.size);
            let slopes = MatRef::from_row_major_slice(slopes, num, num_classes);
            matmul(out, Accum::Replace, x.transpose(), slopes, 1.0 / num as f64, get_global_parallelism());
        });
        for row in slopes.chunks_exact(num_classes) {
            of_intercepts.iter_mut().zip(row).for_each(|(sum, slope)| *sum += slope / num as f64);
        }
        of_coefficients.iter_mut().zip(parameters).for_each(|(slope, coefficient)| *slope += self.lambda * coefficient);
        pulled
    }
}

impl Convex for Objective<'_> {
    /// The probabilities, `[example, class]`.
    type Curvature = Vec<f64>;

    fn evaluate(&self, parameters: &[f64]) -> (f64, Vec<f64>, Vec<f64>) {
        let mut probabilities = scores(self.x, self.size, parameters, self.num_classes);
        let mut nll = 0.0;
        for (row, &target) in probabilities.chunks_exact_mut(self.num_classes).zip(&self.targets) {
            let log_sum = log_sum_exp(row);
            nll += log_sum - row[target];
            row.iter_mut().for_each(|score| *score = (*score - log_sum).exp());
        }
        let mut residuals = probabilities.clone();
        for (row, &target) in residuals.chunks_exact_mut(self.num_classes).zip(&self.targets) {
            row[target] -= 1.0;
        }
        let coefficients = &parameters[..self.size * self.num_classes];
        let penalty = coefficients.iter().map(|coefficient| coefficient * coefficient).sum::<f64>();
        let value = nll / self.targets.len() as f64 + 0.5 * self.lambda * penalty;
        (value, self.pulled_back(&residuals, parameters), probabilities)
    }

    fn hessian_product(&self, probabilities: &Vec<f64>, direction: &[f64]) -> Vec<f64> {
        let mut slopes = scores(self.x, self.size, direction, self.num_classes);
        for (slopes, probabilities) in slopes.chunks_exact_mut(self.num_classes).zip(probabilities.chunks_exact(self.num_classes)) {
            let mean: f64 = slopes.iter().zip(probabilities).map(|(slope, probability)| slope * probability).sum();
            slopes.iter_mut().zip(probabilities).for_each(|(slope, probability)| *slope = probability * (*slope - mean));
        }
        self.pulled_back(&slopes, direction)
    }

    fn precondition(&self, gradient: &[f64]) -> Vec<f64> {
        let mut step = gradient.to_vec();
        if let Some(curvature) = &self.curvature {
            in_own_threads(|| curvature.solve_in_place(MatMut::from_row_major_slice_mut(&mut step[..], self.size + 1, self.num_classes)));
        }
        step
    }
}

/// `x` times coefficients plus intercepts, `[example, class]`.
fn scores(x: &[f64], size: usize, parameters: &[f64], num_classes: usize) -> Vec<f64> {
    let num = x.len() / size;
    let (coefficients, intercepts) = parameters.split_at(size * num_classes);
    let mut scores: Vec<f64> = intercepts.iter().copied().cycle().take(num * num_classes).collect();
    in_own_threads(|| {
        let out = MatMut::from_row_major_slice_mut(&mut scores[..], num, num_classes);
        let coefficients = MatRef::from_row_major_slice(coefficients, size, num_classes);
        matmul(out, Accum::Add, MatRef::from_row_major_slice(x, num, size), coefficients, 1.0, get_global_parallelism());
    });
    scores
}

fn log_sum_exp(row: &[f64]) -> f64 {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + row.iter().map(|score| (score - largest).exp()).sum::<f64>().ln()
}

/// The Cholesky factor of half the second moments of the features (and a 1 for the intercept), the price added: no curvature of the
/// objective is larger, whatever the coefficients (Böhning 1992, "Multinomial logistic regression algorithm").
/// `None` where there are too many features or rounding leaves nothing positive.
fn factored_curvature(x: &[f64], size: usize, num: usize, lambda: f64) -> Option<Llt<f64>> {
    if size > MAX_FACTORED {
        return None;
    }
    let mut moments = Mat::<f64>::zeros(size + 1, size + 1);
    in_own_threads(|| {
        let x = MatRef::from_row_major_slice(x, num, size);
        let part = moments.as_mut().submatrix_mut(0, 0, size, size);
        matmul(part, Accum::Replace, x.transpose(), x, 0.5 / num as f64, get_global_parallelism());
        for column in 0..size {
            let sum: f64 = x.col(column).iter().sum();
            moments[(size, column)] = 0.5 * sum / num as f64;
            moments[(column, column)] += lambda;
        }
        moments[(size, size)] = 0.5;
        moments.llt(Side::Lower).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_class_has_no_classifier() {
        assert_eq!(LogisticRegression::fit(&[1.0, 2.0], 1, &[3, 3], 1.0), None);
        assert_eq!(LogisticRegression::fit(&[], 1, &[], 1.0), None);
    }

    #[test]
    fn features_that_say_nothing_leave_the_frequencies_of_the_classes() {
        let fitted = LogisticRegression::fit(&[0.0; 8], 2, &[5, 2, 5, 5], 1.0).unwrap();
        assert!(fitted.converged);
        assert_eq!(fitted.predict(&[9.0, 9.0]), [5]);
        let log_probabilities = fitted.log_probabilities(&[0.0, 0.0]);
        assert!((log_probabilities[0] - 0.25f64.ln()).abs() < 1e-7 && (log_probabilities[1] - 0.75f64.ln()).abs() < 1e-7);
    }
}
