//! L-BFGS: the minimum of a smooth function from its gradients.
//!
//! Liu & Nocedal 1989, "On the limited memory BFGS method for large scale optimization".
//! <https://doi.org/10.1007/BF01589116>. The line search is the bisection of Lewis & Overton 2013, "Nonsmooth optimization via
//! quasi-Newton methods", Alg. 4.6: its steps fulfil both Wolfe conditions, so that the curvature of each is positive.

use std::collections::VecDeque;

/// Steps whose curvature is remembered.
const HISTORY: usize = 20;
/// Of the decrease that the slope promises, as much has to be there.
const SUFFICIENT_DECREASE: f64 = 1e-4;
/// Of the slope, as much may be left.
const CURVATURE: f64 = 0.9;
/// Values closer than this, relative to their size, are rounding.
const ROUNDING: f64 = 1e-14;
const MAX_BISECTIONS: usize = 60;
/// Norm of a gradient of sums of numbers around 1 that is nothing but rounding.
const NOTHING: f64 = 1e-13;

/// Where a minimisation ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Minimum {
    pub(crate) point: Vec<f64>,
    /// Euclidean norm of the gradient there.
    pub(crate) gradient_norm: f64,
    pub(crate) num_iterations: usize,
    /// Whether that norm is as small as asked for.
    pub(crate) converged: bool,
}

struct Step {
    moved: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Goes downhill from `start` until the gradient's norm is at most `tolerance` times its norm at the start, or nothing is gained any
/// more, at most `max_iterations` steps.
///
/// `evaluate` gives the value and the gradient at a point. `precondition` turns a gradient into a step: the inverse of something like
/// the Hessian, positive definite; doing nothing is plain L-BFGS.
pub(crate) fn minimise(
    start: Vec<f64>,
    tolerance: f64,
    max_iterations: usize,
    mut evaluate: impl FnMut(&[f64]) -> (f64, Vec<f64>),
    precondition: impl Fn(&mut [f64]),
) -> Minimum {
    let mut point = start;
    let (mut value, mut gradient) = evaluate(&point);
    // A gradient that is 0 but for rounding has nowhere to go.
    let goal = (tolerance * dot(&gradient, &gradient).sqrt()).max(NOTHING);
    let mut steps: VecDeque<Step> = VecDeque::with_capacity(HISTORY);
    let mut num_iterations = 0;
    while dot(&gradient, &gradient).sqrt() > goal && num_iterations < max_iterations {
        let mut direction = direction(&gradient, &steps, &precondition);
        let mut slope = dot(&direction, &gradient);
        if slope.is_nan() || slope >= 0.0 {
            // Rounding has spoilt what is remembered.
            steps.clear();
            direction = self::direction(&gradient, &steps, &precondition);
            slope = dot(&direction, &gradient);
        }
        let (mut low, mut high, mut length) = (0.0, f64::INFINITY, 1.0);
        let mut accepted = None;
        for _ in 0..MAX_BISECTIONS {
            let next: Vec<f64> = point.iter().zip(&direction).map(|(at, step)| at + length * step).collect();
            let (next_value, next_gradient) = evaluate(&next);
            // Near the minimum values differ by their rounding only, and slopes alone tell.
            let allowed = value + SUFFICIENT_DECREASE * length * slope + ROUNDING * value.abs();
            if next_value.is_nan() || next_value > allowed {
                high = length;
            } else if dot(&direction, &next_gradient) < CURVATURE * slope {
                low = length;
            } else {
                accepted = Some((next, next_value, next_gradient));
                break;
            }
            length = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * low };
        }
        let Some((next, next_value, next_gradient)) = accepted else { break };
        let moved: Vec<f64> = next.iter().zip(&point).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved, &change);
        if curvature > 0.0 {
            if steps.len() == HISTORY {
                steps.pop_front();
            }
            steps.push_back(Step { moved, change, curvature });
        }
        (point, value, gradient) = (next, next_value, next_gradient);
        num_iterations += 1;
    }
    let gradient_norm = dot(&gradient, &gradient).sqrt();
    Minimum { point, gradient_norm, num_iterations, converged: gradient_norm <= goal }
}

/// Where to go: the two loops of the method.
fn direction(gradient: &[f64], steps: &VecDeque<Step>, precondition: &impl Fn(&mut [f64])) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut weights = Vec::with_capacity(steps.len());
    for step in steps.iter().rev() {
        let weight = dot(&step.moved, &direction) / step.curvature;
        direction.iter_mut().zip(&step.change).for_each(|(value, change)| *value -= weight * change);
        weights.push(weight);
    }
    precondition(&mut direction);
    if let Some(last) = steps.back() {
        let mut preconditioned = last.change.clone();
        precondition(&mut preconditioned);
        let scale = last.curvature / dot(&last.change, &preconditioned);
        direction.iter_mut().for_each(|value| *value *= scale);
    }
    for (step, weight) in steps.iter().zip(weights.into_iter().rev()) {
        let correction = weight - dot(&step.change, &direction) / step.curvature;
        direction.iter_mut().zip(&step.moved).for_each(|(value, moved)| *value += correction * moved);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valley_of_rosenbrock_is_followed_to_its_end() {
        let evaluate = |at: &[f64]| {
            let (x, y) = (at[0], at[1]);
            let value = (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
            (value, vec![-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)])
        };
        let found = minimise(vec![-1.2, 1.0], 1e-10, 200, evaluate, |_| {});
        assert!(found.converged, "{found:?}");
        assert!((found.point[0] - 1.0).abs() < 1e-7 && (found.point[1] - 1.0).abs() < 1e-7, "{found:?}");
        assert!(!minimise(vec![-1.2, 1.0], 1e-10, 3, evaluate, |_| {}).converged);
    }

    #[test]
    fn a_parabola_with_its_hessian_takes_one_step_and_its_minimum_none() {
        let evaluate = |at: &[f64]| (at[0].powi(2) + 1e6 * at[1].powi(2), vec![2.0 * at[0], 2e6 * at[1]]);
        let precondition = |step: &mut [f64]| {
            step[0] /= 2.0;
            step[1] /= 2e6;
        };
        let found = minimise(vec![3.0, -4.0], 1e-9, 10, evaluate, precondition);
        assert_eq!((found.num_iterations, found.converged), (1, true));
        assert_eq!(minimise(vec![0.0, 0.0], 1e-9, 10, evaluate, precondition).num_iterations, 0);
    }
}
