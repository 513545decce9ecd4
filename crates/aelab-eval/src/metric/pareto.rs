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

/// Shapes below have an unbounded likelihood; the estimate is kept from them.
const LEAST_SHAPE: f64 = -1.0;

impl GeneralisedPareto {
    /// The maximum of the likelihood of positive excesses among shapes from -1 on; `None` without any.
    pub fn fit(excesses: &[f64]) -> Option<Self> {
        let largest = excesses.iter().copied().fold(0.0, f64::max);
        if excesses.is_empty() || !largest.is_finite() || largest <= 0.0 {
            return None;
        }
        // In units of the largest, so that nothing depends on theirs.
        let mut scaled: Vec<f64> = excesses.iter().map(|excess| excess / largest).collect();
        scaled.sort_unstable_by(f64::total_cmp);
        let profile = Profile { excesses: &scaled };
        let thetas = grid();
        let best = (0..thetas.len()).max_by(|&a, &b| profile.value(thetas[a]).total_cmp(&profile.value(thetas[b])))?;
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
    let powers = |low: i32, high: i32| (low * 8..=high * 8).map(|eighth| 10f64.powf(f64::from(eighth) / 8.0));
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
