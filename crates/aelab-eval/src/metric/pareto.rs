//! The generalised Pareto distribution, fitted to what exceeds a high threshold by maximum likelihood.
//!
//! Grimshaw 1993, "Computing maximum likelihood estimates for the generalized Pareto distribution", Technometrics 35: with
//! `theta = shape / scale` the likelihood is one of `theta` alone.

/// Excesses `x >= 0` with survival function `(1 + shape x / scale)^(-1 / shape)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeneralisedPareto {
    /// Above 0 for heavy tails, 0 for the exponential distribution, below 0 for one that ends at `-scale / shape`.
    pub shape: f64,
    /// In the units of the excesses.
    pub scale: f64,
}

/// Values of theta in each power of ten of the grid.
const GRID_STEPS: i32 = 8;
/// From one value of theta to the next, above the grid: the eighth root of ten.
const GRID_STEP: f64 = 1.333_521_432_163_324;
/// No grid goes further: beyond, the largest excess is so far from the others that floating-point numbers end.
const LARGEST_THETA: f64 = 1e280;

/// Shapes below have an unbounded likelihood; the estimate is kept from them.
const LEAST_SHAPE: f64 = -1.0;

impl GeneralisedPareto {
    /// The maximum of the likelihood of positive excesses (others are left out) among shapes from -1 on; `None` without any.
    pub fn fit(excesses: &[f64]) -> Option<Self> {
        let largest = excesses.iter().copied().fold(0.0, f64::max);
        if !largest.is_finite() || largest <= 0.0 {
            return None;
        }
        // In units of the largest, so that nothing depends on theirs. Excesses of 0 would make the likelihood unbounded.
        let mut scaled: Vec<f64> = excesses.iter().map(|excess| excess / largest).filter(|excess| *excess > 0.0).collect();
        scaled.sort_unstable_by(f64::total_cmp);
        let profile = Profile { excesses: &scaled };
        let mut thetas = grid();
        let mut best = (0..thetas.len()).max_by(|&a, &b| profile.value(thetas[a]).total_cmp(&profile.value(thetas[b])))?;
        // One excess may be far above all others: the grid goes on while its end is best.
        while best + 1 == thetas.len() && thetas[best] < LARGEST_THETA {
            thetas.push(thetas[best] * GRID_STEP);
            if profile.value(thetas[best + 1]) > profile.value(thetas[best]) {
                best += 1;
            }
        }
        let inside = best > 0 && best + 1 < thetas.len();
        let theta = if inside { profile.highest(thetas[best - 1], thetas[best + 1]) } else { thetas[best] };
        let found = profile.at(theta);
        // The uniform distribution, shape -1, ends the range that the profile goes through.
        let uniform = Self { shape: LEAST_SHAPE, scale: 1.0 };
        let found =
            if found.shape < LEAST_SHAPE || uniform.log_likelihood(&scaled) > found.log_likelihood(&scaled) { uniform } else { found };
        Some(Self { scale: found.scale * largest, ..found })
    }

    /// The sum of the logarithms of the density.
    pub fn log_likelihood(&self, excesses: &[f64]) -> f64 {
        let density = |x: f64| {
            if self.shape.abs() < 1e-12 {
                return -x / self.scale;
            }
            let growth = (self.shape * x / self.scale).ln_1p();
            // At shape -1 the factor is 0, up to the end of the range and there too.
            if self.shape == -1.0 { 0.0 } else { -(1.0 + 1.0 / self.shape) * growth }
        };
        excesses.iter().map(|&x| density(x) - self.scale.ln()).sum()
    }

    /// The excess that is exceeded with this probability.
    pub fn exceeded_with_probability(&self, probability: f64) -> f64 {
        let log = -probability.ln();
        if self.shape.abs() < 1e-12 { self.scale * log } else { self.scale * (self.shape * log).exp_m1() / self.shape }
    }
}

/// Values of theta for excesses up to 1: dense at the lower end, -1, and at 0, and up to heavy tails.
fn grid() -> Vec<f64> {
    let powers =
        |low: i32, high: i32| (low * GRID_STEPS..=high * GRID_STEPS).map(|step| 10f64.powf(f64::from(step) / f64::from(GRID_STEPS)));
    let mut thetas: Vec<f64> = powers(-12, -1).map(|power| power - 1.0).collect();
    thetas.extend((1..80).map(|step| -0.9 + 0.9 * f64::from(step) / 80.0));
    thetas.push(0.0);
    thetas.extend(powers(-4, 8));
    thetas.sort_unstable_by(f64::total_cmp);
    thetas.dedup();
    thetas
}

struct Profile<'a> {
    excesses: &'a [f64],
}

impl Profile<'_> {
    /// The best distribution with this ratio of shape and scale.
    fn at(&self, theta: f64) -> GeneralisedPareto {
        let mean = |of: &dyn Fn(f64) -> f64| self.excesses.iter().map(|&x| of(x)).sum::<f64>() / self.excesses.len() as f64;
        if theta == 0.0 {
            return GeneralisedPareto { shape: 0.0, scale: mean(&|x| x) };
        }
        let shape = mean(&|x| (theta * x).ln_1p());
        GeneralisedPareto { shape, scale: shape / theta }
    }

    /// Log-likelihood per excess; lowest where the shape is out of range.
    fn value(&self, theta: f64) -> f64 {
        let GeneralisedPareto { shape, scale } = self.at(theta);
        if shape < LEAST_SHAPE { f64::NEG_INFINITY } else { -scale.ln() - shape - 1.0 }
    }

    /// How the value rises with theta: of `-ln(shape / theta) - shape`.
    fn slope(&self, theta: f64) -> f64 {
        let num = self.excesses.len() as f64;
        if theta.abs() < 1e-7 {
            // At 0 the expansion of both terms leaves half of the second moment over the mean, less the mean.
            let (mean, square) = self.excesses.iter().fold((0.0, 0.0), |(mean, square), x| (mean + x / num, square + x * x / num));
            return square / (2.0 * mean) - mean;
        }
        let shape = self.at(theta).shape;
        let rise = self.excesses.iter().map(|x| x / (1.0 + theta * x)).sum::<f64>() / num;
        1.0 / theta - rise / shape - rise
    }

    /// The maximum between two values, by bisection of the slope.
    fn highest(&self, mut low: f64, mut high: f64) -> f64 {
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            if middle <= low || middle >= high {
                break;
            }
            if self.value(middle) > f64::NEG_INFINITY && self.slope(middle) <= 0.0 { high = middle } else { low = middle }
        }
        (low + high) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values by scripts/reference/generalised_pareto.py.
    #[test]
    fn one_excess_far_above_all_others_is_fitted_as_scipy_does() {
        for (outlier, shape, scale, exceeded) in [
            (1e10, 1.4313670558498564, 0.5698157741422244, 10.35047346998139),
            (1e30, 2.7872643561784005, 0.45813445927391533, 100.54715377346255),
        ] {
            let quantiles = (0..59).map(|place| -(-(f64::from(place) + 0.5) / 59.0).ln_1p());
            let found = GeneralisedPareto::fit(&quantiles.chain([outlier]).collect::<Vec<_>>()).unwrap();
            let is_near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-5;
            assert!(is_near(found.shape, shape) && is_near(found.scale, scale), "{found:?} instead of {shape}, {scale}");
            assert!(is_near(found.exceeded_with_probability(0.1), exceeded));
        }
    }

    #[test]
    fn the_least_numbers_and_zeros_among_excesses_are_no_trouble() {
        for excesses in [vec![1e-308, 1e308], vec![f64::MIN_POSITIVE, 1.0, 1.0], vec![0.0, 0.0, 1.0, 2.0, 3.0]] {
            let found = GeneralisedPareto::fit(&excesses).unwrap();
            assert!(found.shape.is_finite() && found.scale.is_finite(), "{excesses:?}: {found:?}");
        }
        assert_eq!(GeneralisedPareto::fit(&[0.0, 1.0, 2.0, 3.0]), GeneralisedPareto::fit(&[1.0, 2.0, 3.0]));
    }
}
