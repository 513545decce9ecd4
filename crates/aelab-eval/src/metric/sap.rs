//! Separated attribute predictability: how far one dimension alone tells a factor, ahead of the next.
//!
//! Kumar, Sattigeri & Balakrishnan 2018, "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations", Sec. 3.
//! <https://openreview.net/forum?id=H1kG7GZAW>. Classifier and constants are those of disentanglement_lib.

use super::factor_codes::{FactorCodes, compact};
use super::mutual_information::gaps;

/// Price of a squared violation of the margin, against half the squared weights.
const PRICE: f64 = 0.01;
/// Dimensions with a smaller variance tell nothing.
const LEAST_VARIANCE: f64 = 1e-12;
/// A handful of steps suffices; the objective is convex and piecewise quadratic.
const MAX_STEPS: usize = 200;

/// Mean over factors of the largest score less the second (0 where there is one dimension only), of scores `[latent, factor]`.
pub fn sap(scores: &[f64], num_factors: usize) -> f64 {
    gaps(scores, num_factors).iter().sum::<f64>() / num_factors as f64
}

/// For every dimension and every factor, `[latent, factor]`, the accuracy on `test` of linear support vector classifiers from that
/// dimension alone, fitted on `train`: squared hinge loss at price 0.01, one class against the rest, each class weighted by the
/// inverse of its frequency, bias regularised. Values of a factor that `train` lacks are told by none.
pub fn linear_accuracies(train: &FactorCodes<'_>, test: &FactorCodes<'_>) -> Vec<f64> {
    let num_factors = train.num_factors();
    let mut accuracies = vec![0.0; train.code_size() * num_factors];
    let targets: Vec<_> = (0..num_factors).map(|factor| (compact(&train.factor(factor)), test.factor(factor))).collect();
    for latent in 0..train.code_size() {
        let x: Vec<f64> = train.latent(latent).into_iter().map(f64::from).collect();
        let unseen: Vec<f64> = test.latent(latent).into_iter().map(f64::from).collect();
        for (factor, ((classes, values), wanted)) in targets.iter().enumerate() {
            let lines = one_against_rest(&x, classes, values.len());
            let right = unseen.iter().zip(wanted).filter(|(x, wanted)| values[predict(&lines, **x)] == **wanted).count();
            accuracies[latent * num_factors + factor] = right as f64 / wanted.len() as f64;
        }
    }
    accuracies
}

/// For every dimension and every factor, `[latent, factor]`, the squared correlation of the dimension with the number of the
/// factor's value: the share of its variance that a line explains. 0 where either is constant.
pub fn squared_correlations(data: &FactorCodes<'_>) -> Vec<f64> {
    let factors: Vec<Vec<f64>> = (0..data.num_factors()).map(|factor| data.factor(factor).into_iter().map(f64::from).collect()).collect();
    let mut found = Vec::with_capacity(data.code_size() * factors.len());
    for latent in 0..data.code_size() {
        let x: Vec<f64> = data.latent(latent).into_iter().map(f64::from).collect();
        found.extend(factors.iter().map(|y| {
            let (variance_x, variance_y) = (covariance(&x, &x), covariance(y, y));
            if variance_x > LEAST_VARIANCE && variance_y > 0.0 { covariance(&x, y).powi(2) / (variance_x * variance_y) } else { 0.0 }
        }));
    }
    found
}

fn covariance(x: &[f64], y: &[f64]) -> f64 {
    let num = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / num, y.iter().sum::<f64>() / num);
    x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / (num - 1.0).max(1.0)
}

/// The class whose line is highest at `x`, the first of equals.
fn predict(lines: &[[f64; 2]], x: f64) -> usize {
    if let [[slope, bias]] = lines {
        return usize::from(slope * x + bias > 0.0);
    }
    let height = |class: usize| lines[class][0] * x + lines[class][1];
    (0..lines.len()).rev().max_by(|&a, &b| height(a).total_cmp(&height(b))).unwrap_or(0)
}

/// Slope and bias for each class; of two classes, those for the second only.
fn one_against_rest(x: &[f64], classes: &[u32], num_classes: usize) -> Vec<[f64; 2]> {
    let mut counts = vec![0usize; num_classes];
    classes.iter().for_each(|&class| counts[class as usize] += 1);
    let balanced = |class: usize| PRICE * x.len() as f64 / (num_classes * counts[class]) as f64;
    if num_classes == 1 {
        return vec![[0.0, 0.0], [0.0, 0.0]];
    }
    let of_classes = if num_classes == 2 { 1..2 } else { 0..num_classes };
    of_classes
        .map(|class| {
            // What stands against one of several classes is not weighted, as in LIBLINEAR.
            let rest = if num_classes == 2 { balanced(0) } else { PRICE };
            line(x, |example| if classes[example] as usize == class { (1.0, balanced(class)) } else { (-1.0, rest) })
        })
        .collect()
}

/// The least `(w^2 + b^2) / 2 + sum_i c_i max(0, 1 - y_i (w x_i + b))^2` by Newton's method, exact once the set of violations
/// stays; `side` gives `y_i` and `c_i`.
fn line(x: &[f64], side: impl Fn(usize) -> (f64, f64)) -> [f64; 2] {
    let sides: Vec<(f64, f64)> = (0..x.len()).map(side).collect();
    let objective = |[slope, bias]: [f64; 2]| {
        let losses = x.iter().zip(&sides).map(|(x, (y, price))| price * (1.0 - y * (slope * x + bias)).max(0.0).powi(2));
        (slope * slope + bias * bias) / 2.0 + losses.sum::<f64>()
    };
    let mut at = [0.0, 0.0];
    let mut value = objective(at);
    for _ in 0..MAX_STEPS {
        let (mut gradient, mut hessian) = (at, [1.0, 0.0, 1.0]);
        for (x, (y, price)) in x.iter().zip(&sides) {
            let margin = 1.0 - y * (at[0] * x + at[1]);
            if margin > 0.0 {
                gradient[0] -= 2.0 * price * y * margin * x;
                gradient[1] -= 2.0 * price * y * margin;
                hessian[0] += 2.0 * price * x * x;
                hessian[1] += 2.0 * price * x;
                hessian[2] += 2.0 * price;
            }
        }
        let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
        let step = [
            (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant,
            (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant,
        ];
        let slope = gradient[0] * step[0] + gradient[1] * step[1];
        let mut length = 1.0;
        let mut next = [at[0] - step[0], at[1] - step[1]];
        let mut lower = objective(next);
        while lower > value - 1e-4 * length * slope && length > 1e-12 {
            length /= 2.0;
            next = [at[0] - length * step[0], at[1] - length * step[1]];
            lower = objective(next);
        }
        if lower >= value {
            break;
        }
        (at, value) = (next, lower);
        if slope <= 1e-24 * (1.0 + value) {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_no_gradient() {
        let x: Vec<f64> = (0..30).map(|i| f64::from(i * 7 % 30) / 10.0 - 1.0).collect();
        let side = |i: usize| if x[i] + f64::from(i as u32 % 3) / 2.0 > 1.0 { (1.0, 0.5) } else { (-1.0, 0.2) };
        let [slope, bias] = line(&x, side);
        let mut gradient = [slope, bias];
        for (i, x) in x.iter().enumerate() {
            let (y, price) = side(i);
            let margin = (1.0 - y * (slope * x + bias)).max(0.0);
            gradient[0] -= 2.0 * price * y * margin * x;
            gradient[1] -= 2.0 * price * y * margin;
        }
        assert!(gradient.iter().all(|value| value.abs() < 1e-10), "{gradient:?}");
        assert!(slope > 0.1);
    }

    #[test]
    fn one_value_is_told_always_and_a_constant_dimension_tells_nothing_else() {
        let codes = [1.0, 1.0, 1.0, 1.0];
        let data = FactorCodes::new(&codes, 1, &[0, 7, 1, 7, 0, 7, 1, 7], 2);
        assert_eq!(linear_accuracies(&data, &data), [0.5, 1.0]);
        assert_eq!(squared_correlations(&data), [0.0, 0.0]);
        assert_eq!(sap(&[0.75, 0.5], 2), 0.625);
    }
}
