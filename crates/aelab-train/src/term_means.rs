//! Means of the terms over the examples of a window of steps.

use aelab_core::Terms;
use serde::{Deserialize, Serialize};

/// Sums over examples, of the terms and of the diagnostics; dividing by their number gives the means.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TermMeans {
    num_examples: u64,
    /// Name, sum of values times examples; `loss` comes first.
    sums: Vec<(String, f64)>,
}

impl TermMeans {
    /// Takes in the terms of a batch of `size` examples.
    pub(crate) fn add(&mut self, terms: &Terms, size: usize) {
        let values = std::iter::once(("loss", terms.loss)).chain(terms.terms.iter().map(|term| (term.name, term.value)));
        let values = values.chain(terms.diagnostics.iter().copied());
        if self.sums.is_empty() {
            self.sums = values.clone().map(|(name, _)| (name.to_owned(), 0.0)).collect();
        }
        for ((_, sum), (_, value)) in self.sums.iter_mut().zip(values) {
            *sum += value * size as f64;
        }
        self.num_examples += size as u64;
    }

    /// Name and mean of each term, `loss` first.
    pub(crate) fn means(&self) -> Vec<(String, f64)> {
        self.sums.iter().map(|(name, sum)| (name.clone(), sum / self.num_examples as f64)).collect()
    }

    /// The mean of the loss.
    pub(crate) fn loss(&self) -> f64 {
        self.sums.first().map_or(f64::NAN, |(_, sum)| sum / self.num_examples as f64)
    }
}
