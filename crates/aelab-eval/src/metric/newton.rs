//! Newton's method without a Hessian: the minimum of a smooth convex function, however badly conditioned.
//!
//! Nocedal & Wright 2006, "Numerical Optimization", Alg. 7.1 (line search Newton-CG). <https://doi.org/10.1007/978-0-387-40065-5>

/// Of the decrease that the slope promises, as much has to be there.
const SUFFICIENT_DECREASE: f64 = 1e-4;
/// Values closer than this, relative to their size, are rounding.
const ROUNDING: f64 = 1e-14;
const MAX_HALVINGS: usize = 60;
/// Products with the Hessian for one step.
const MAX_PRODUCTS: usize = 2000;
/// Norm of a gradient of sums of numbers around 1 that is nothing but rounding.
const NOTHING: f64 = 1e-13;

/// A smooth convex function.
pub(crate) trait Convex {
    /// What the Hessian at a point needs to know.
    type Curvature;

    /// Value, gradient and curvature at `point`.
    fn evaluate(&self, point: &[f64]) -> (f64, Vec<f64>, Self::Curvature);

    /// The Hessian times `direction`.
    fn hessian_product(&self, curvature: &Self::Curvature, direction: &[f64]) -> Vec<f64>;

    /// Turns a gradient into something like a step: the inverse of something like the Hessian, positive definite.
    fn precondition(&self, gradient: &[f64]) -> Vec<f64>;
}

/// Where a minimisation ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Minimum {
    pub(crate) point: Vec<f64>,
    /// Steps that it took.
    pub(crate) num_iterations: usize,
    /// Whether the gradient is as small as asked for.
    pub(crate) converged: bool,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

/// `vector + length * direction`.
fn along(vector: &[f64], length: f64, direction: &[f64]) -> Vec<f64> {
    vector.iter().zip(direction).map(|(at, step)| at + length * step).collect()
}

/// Goes downhill from `start` until the gradient's norm is at most `tolerance` times its norm at the start, or nothing is gained any
/// more, at most `max_iterations` steps.
pub(crate) fn minimise<F: Convex>(function: &F, start: Vec<f64>, tolerance: f64, max_iterations: usize) -> Minimum {
    let mut point = start;
    let (mut value, mut gradient, mut curvature) = function.evaluate(&point);
    let first = norm(&gradient);
    // A gradient that is 0 but for rounding has nowhere to go.
    let goal = (tolerance * first).max(NOTHING);
    let mut num_iterations = 0;
    while norm(&gradient) > goal && num_iterations < max_iterations {
        // The closer to the minimum, the better is the parabola, and the more exactly is its minimum worth knowing.
        let forcing = (norm(&gradient) / first).sqrt().min(0.5);
        let direction = step(function, &curvature, &gradient, forcing);
        let slope = dot(&direction, &gradient);
        let mut length = 1.0;
        let mut accepted = None;
        for _ in 0..MAX_HALVINGS {
            let next = along(&point, length, &direction);
            let (next_value, next_gradient, next_curvature) = function.evaluate(&next);
            // Near the minimum values differ by their rounding only.
            if next_value <= value + SUFFICIENT_DECREASE * length * slope + ROUNDING * value.abs() {
                accepted = Some((next, next_value, next_gradient, next_curvature));
                break;
            }
            length /= 2.0;
        }
        let Some(next) = accepted else { break };
        (point, value, gradient, curvature) = next;
        num_iterations += 1;
    }
    Minimum { point, num_iterations, converged: norm(&gradient) <= goal }
}

/// What solves `Hessian * step = -gradient` but for a residual of `forcing` times the gradient: preconditioned conjugate gradients.
fn step<F: Convex>(function: &F, curvature: &F::Curvature, gradient: &[f64], forcing: f64) -> Vec<f64> {
    let goal = forcing * norm(gradient);
    let mut step = vec![0.0; gradient.len()];
    let mut residual = gradient.to_vec();
    let mut preconditioned = function.precondition(&residual);
    let mut direction: Vec<f64> = preconditioned.iter().map(|value| -value).collect();
    let mut size = dot(&residual, &preconditioned);
    for _ in 0..MAX_PRODUCTS {
        let product = function.hessian_product(curvature, &direction);
        let bend = dot(&direction, &product);
        if bend.is_nan() || bend <= 0.0 {
            // Flat but for rounding. The first direction is downhill whatever the curvature.
            return if step.iter().all(|value| *value == 0.0) { direction } else { step };
        }
        let length = size / bend;
        step = along(&step, length, &direction);
        residual = along(&residual, length, &product);
        if norm(&residual) <= goal {
            break;
        }
        preconditioned = function.precondition(&residual);
        let next_size = dot(&residual, &preconditioned);
        direction = preconditioned.iter().zip(&direction).map(|(value, before)| next_size / size * before - value).collect();
        size = next_size;
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sum of weight_i * cosh(x_i + x_(i + 1) - i)`, and a parabola.
    struct Chain(Vec<f64>);

    impl Convex for Chain {
        type Curvature = Vec<f64>;

        fn evaluate(&self, point: &[f64]) -> (f64, Vec<f64>, Vec<f64>) {
            let mut value = 0.5 * 1e-6 * dot(point, point);
            let mut gradient: Vec<f64> = point.iter().map(|at| 1e-6 * at).collect();
            let mut curvature = Vec::new();
            for (index, weight) in self.0.iter().enumerate() {
                let at = point[index] + point[index + 1] - index as f64;
                value += weight * at.cosh();
                gradient[index] += weight * at.sinh();
                gradient[index + 1] += weight * at.sinh();
                curvature.push(weight * at.cosh());
            }
            (value, gradient, curvature)
        }

        fn hessian_product(&self, curvature: &Vec<f64>, direction: &[f64]) -> Vec<f64> {
            let mut product: Vec<f64> = direction.iter().map(|value| 1e-6 * value).collect();
            for (index, weight) in curvature.iter().enumerate() {
                let bent = weight * (direction[index] + direction[index + 1]);
                product[index] += bent;
                product[index + 1] += bent;
            }
            product
        }

        fn precondition(&self, gradient: &[f64]) -> Vec<f64> {
            gradient.to_vec()
        }
    }

    #[test]
    fn a_function_of_condition_ten_to_the_ten_is_followed_to_its_minimum() {
        let chain = Chain(vec![1e4, 1.0, 1e-2, 1e2, 1e-3, 1e3]);
        let found = minimise(&chain, vec![1.0; 7], 1e-12, 100);
        assert!(found.converged, "{found:?}");
        // Where the parabola is weak each pair sums up to its index.
        for index in 0..6 {
            assert!((found.point[index] + found.point[index + 1] - index as f64).abs() < 1e-2, "{found:?}");
        }
        let (_, gradient, _) = chain.evaluate(&found.point);
        assert!(norm(&gradient) < 1e-7, "{gradient:?}");
        let few = minimise(&chain, vec![1.0; 7], 1e-12, 2);
        assert_eq!((few.num_iterations, few.converged), (2, false));
        assert_eq!(minimise(&chain, found.point, 1.0, 100).num_iterations, 0);
    }

    #[test]
    fn a_parabola_takes_one_exact_step() {
        struct Parabola;
        impl Convex for Parabola {
            type Curvature = ();
            fn evaluate(&self, at: &[f64]) -> (f64, Vec<f64>, ()) {
                (at[0].powi(2) + 1e6 * at[1].powi(2), vec![2.0 * at[0], 2e6 * at[1]], ())
            }
            fn hessian_product(&self, (): &(), direction: &[f64]) -> Vec<f64> {
                vec![2.0 * direction[0], 2e6 * direction[1]]
            }
            fn precondition(&self, gradient: &[f64]) -> Vec<f64> {
                vec![gradient[0] / 2.0, gradient[1] / 2e6]
            }
        }
        let found = minimise(&Parabola, vec![3.0, -4.0], 1e-9, 10);
        assert_eq!((found.num_iterations, found.converged), (1, true), "{found:?}");
        assert_eq!(minimise(&Parabola, vec![0.0, 0.0], 1e-9, 10).num_iterations, 0);
    }
}
