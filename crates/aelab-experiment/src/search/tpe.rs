//! Tree-structured Parzen estimators: tries what is likely among good results and unlikely among the others.
//!
//! Bergstra, Bardenet, Bengio, Kégl (2011), *Algorithms for hyper-parameter optimization*, section 4,
//! <https://papers.nips.cc/paper/4443>. Of the results so far, the best share `gamma` is good. For each hyperparameter by itself, `l`
//! is a density over the good ones and `g` one over the others; of `candidates` drawn from `l`, the one with the largest `l / g` is
//! tried, which is the one with the largest expected improvement (equation 4 of the paper).
//!
//! A density is a mixture of equal parts: the prior, and a normal distribution around each result, cut off at the ends of the range. Its
//! standard deviation is the distance to the farther one of the two neighbours, within bounds. All of it happens on the unit interval
//! that [`Distribution`](crate::space::Distribution) maps to values, so that logarithms and whole numbers need nothing of their own: of a whole number the density is the
//! mass over its cell. A choice of K values has the probabilities `(1 + count) / (K + results)`.

use aelab_core::Stream;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::function::erf::erf;

use crate::space::Distribution;

/// How the estimators are made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TpeOptions {
    /// Proposals drawn from the space at random before the first estimate.
    pub startup: usize,
    /// Values of each hyperparameter that are compared for a proposal.
    pub candidates: usize,
    /// Share of the results that counts as good; 25 results at most.
    pub gamma: f64,
}

impl Default for TpeOptions {
    fn default() -> Self {
        Self { startup: 10, candidates: 24, gamma: 0.15 }
    }
}

/// More results than this never count as good: the newest of a long search would otherwise be lost in the crowd.
const MOST_GOOD: usize = 25;

/// How many of `num` results are good.
pub(crate) fn num_good(num: usize, gamma: f64) -> usize {
    ((gamma * num as f64).ceil() as usize).clamp(1, MOST_GOOD).min(num)
}

/// The next point to try: a place in the unit interval per hyperparameter. `good` and `others` are the points of results.
pub(crate) fn propose(space: &[&Distribution], good: &[&[f64]], others: &[&[f64]], num_candidates: usize, stream: &mut Stream) -> Vec<f64> {
    let column = |points: &[&[f64]], index: usize| points.iter().map(|point| point[index]).collect::<Vec<f64>>();
    let one = |(index, distribution): (usize, &&Distribution)| {
        let (good, others) = (column(good, index), column(others, index));
        match distribution {
            Distribution::Choice(values) => {
                let (good, others) = (Frequencies::of(&good, values.len()), Frequencies::of(&others, values.len()));
                let draw = |stream: &mut Stream| good.draw(stream);
                let place = best_of(num_candidates, stream, draw, |place| (good.0[*place] / others.0[*place]).ln());
                (place as f64 + 0.5) / values.len() as f64
            }
            _ => {
                let (good, others) = (Parzen::of(&good), Parzen::of(&others));
                let draw = |stream: &mut Stream| {
                    let u = good.draw(stream);
                    distribution.cell(u).map_or(u, |(low, high)| (low + high) / 2.0)
                };
                best_of(num_candidates, stream, draw, |u| {
                    let log = |density: &Parzen| density.log_at(*u, distribution.cell(*u));
                    log(&good) - log(&others)
                })
            }
        }
    };
    space.iter().enumerate().map(one).collect()
}

/// The first one of the highest score.
fn best_of<T>(num: usize, stream: &mut Stream, mut draw: impl FnMut(&mut Stream) -> T, score: impl Fn(&T) -> f64) -> T {
    let mut best = draw(stream);
    let mut highest = score(&best);
    for _ in 1..num {
        let candidate = draw(stream);
        let found = score(&candidate);
        if found > highest {
            (best, highest) = (candidate, found);
        }
    }
    best
}

/// A mixture of normal distributions on the unit interval, with equal weights: mean and standard deviation of each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parzen(Vec<(f64, f64)>);

impl Parzen {
    /// Around points of the unit interval, with the prior: a wide one around its middle.
    pub(crate) fn of(points: &[f64]) -> Self {
        const PRIOR: (f64, f64) = (0.5, 1.0);
        let mut means: Vec<f64> = points.iter().copied().chain([PRIOR.0]).collect();
        means.sort_unstable_by(f64::total_cmp);
        let narrowest = 1.0 / (means.len() + 1).min(100) as f64;
        let mut kernels = vec![PRIOR];
        for point in points {
            // Equal points are each other's neighbours.
            let place = means.partition_point(|mean| mean < point);
            let below = place.checked_sub(1).map_or(0.0, |below| point - means[below]);
            let above = means.get(place + 1).map_or(0.0, |above| above - point);
            kernels.push((*point, below.max(above).clamp(narrowest, 1.0)));
        }
        Self(kernels)
    }

    /// Logarithm of the density at `u`, or of the probability of a cell.
    pub(crate) fn log_at(&self, u: f64, cell: Option<(f64, f64)>) -> f64 {
        let part = |(mean, deviation): &(f64, f64)| {
            let below = |x: f64| 0.5 * (1.0 + erf((x - mean) / (deviation * std::f64::consts::SQRT_2)));
            let within = below(1.0) - below(0.0);
            let density = (-0.5 * ((u - mean) / deviation).powi(2)).exp() / (deviation * (2.0 * std::f64::consts::PI).sqrt());
            match cell {
                None => density / within,
                // The difference of two almost equal numbers would be lost.
                Some((low, high)) if high - low < 1e-6 * deviation => density * (high - low) / within,
                Some((low, high)) => (below(high) - below(low)) / within,
            }
        };
        // Far away from every kernel nothing is left of any but the prior.
        (self.0.iter().map(part).sum::<f64>() / self.0.len() as f64).ln()
    }

    fn draw(&self, stream: &mut Stream) -> f64 {
        let (mean, deviation) = self.0[stream.random_range(0..self.0.len() as u64) as usize];
        loop {
            // Box and Muller; what falls outside is drawn again. The mean lies inside, so at least a third falls inside.
            let (radius, angle): (f64, f64) = (stream.random(), stream.random());
            let normal = (-2.0 * (1.0 - radius).ln()).sqrt() * (2.0 * std::f64::consts::PI * angle).cos();
            let u = mean + deviation * normal;
            if (0.0..1.0).contains(&u) {
                return u;
            }
        }
    }
}

/// Probabilities of choices.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frequencies(Vec<f64>);

impl Frequencies {
    /// From points of the unit interval, each in the part of its choice.
    pub(crate) fn of(points: &[f64], num: usize) -> Self {
        let mut counts = vec![1.0; num];
        for u in points {
            counts[((u * num as f64) as usize).min(num - 1)] += 1.0;
        }
        let total = (num + points.len()) as f64;
        Self(counts.into_iter().map(|count| count / total).collect())
    }

    fn draw(&self, stream: &mut Stream) -> usize {
        let mut left: f64 = stream.random();
        for (place, probability) in self.0.iter().enumerate() {
            left -= probability;
            if left < 0.0 {
                return place;
            }
        }
        self.0.len() - 1
    }
}
