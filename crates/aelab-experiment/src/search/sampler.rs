//! Points of the unit cube that a search tries: a function of the seed, the number of the draw and the results that may be known.

use aelab_core::{Purpose, Stream, stream};
use rand::RngExt;

use crate::sampler::sobol;
use crate::search::spec::{Sampler, Search};
use crate::search::tpe;
use crate::space::Distribution;

/// What a sampler may know of an earlier proposal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known<'a> {
    /// Its point.
    pub(crate) point: &'a [f64],
    /// How good it was; `None` where that may not be known yet.
    pub(crate) rank: Option<Rank>,
}

/// The order of results: finished ones before those that were stopped early, these by how far they came, then all that failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rank {
    /// 0 finished, 1 stopped early, 2 failed or diverged.
    pub(crate) class: u8,
    /// Epochs of one that was stopped early, otherwise 0.
    pub(crate) num_epochs: u64,
    /// What is minimised.
    pub(crate) cost: f64,
}

impl Rank {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.class.cmp(&other.class)).then(other.num_epochs.cmp(&self.num_epochs)).then(self.cost.total_cmp(&other.cost))
    }
}

/// The point of a draw. Draws are counted over the whole search; the order of `known` is that of the proposals.
pub(crate) fn point(search: &Search, draw: u64, known: &[Known<'_>]) -> Vec<f64> {
    let space = search.distributions();
    let mut stream = stream(search.seed, Purpose::Search, draw, 0);
    let point = match &search.sampler {
        Sampler::Tpe(options) => {
            let mut results: Vec<(&[f64], Rank)> = known.iter().filter_map(|one| Some((one.point, one.rank?))).collect();
            if known.len() < options.startup || results.is_empty() {
                return uniform(&space, &mut stream);
            }
            results.sort_by(|(_, left), (_, right)| left.cmp(right));
            // What failed is never good, however little there is besides.
            let num_right = results.iter().filter(|(_, rank)| rank.class < 2).count();
            let num_good = tpe::num_good(results.len(), options.gamma).min(num_right);
            let good: Vec<&[f64]> = results[..num_good].iter().map(|(point, _)| *point).collect();
            // What runs counts among the others, so that proposals made side by side keep their distance.
            let open = known.iter().filter(|one| one.rank.is_none()).map(|one| one.point);
            let others: Vec<&[f64]> = results[num_good..].iter().map(|(point, _)| *point).chain(open).collect();
            return tpe::propose(&space, &good, &others, options.candidates, &mut stream);
        }
        Sampler::Random {} => return uniform(&space, &mut stream),
        Sampler::Sobol {} => sobol(search.seed, draw, space.len()),
    };
    centred(&space, point)
}

fn uniform(space: &[&Distribution], stream: &mut Stream) -> Vec<f64> {
    let point = space.iter().map(|_| stream.random()).collect();
    centred(space, point)
}

/// Every `u` of a cell is the same value: its middle stands for it.
fn centred(space: &[&Distribution], point: Vec<f64>) -> Vec<f64> {
    let middle = |(distribution, u): (&&Distribution, f64)| distribution.cell(u).map_or(u, |(low, high)| (low + high) / 2.0);
    space.iter().zip(point).map(middle).collect()
}
