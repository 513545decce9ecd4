//! Codes of examples whose factors of variation are known: what scores of disentanglement are computed from.

use aelab_core::Stream;
use aelab_core::draw_positions;

/// Codes and the values of the factors of the same examples.
#[derive(Debug, Clone, Copy)]
pub struct FactorCodes<'a> {
    codes: &'a [f32],
    code_size: usize,
    factors: &'a [u32],
    num_factors: usize,
}

impl<'a> FactorCodes<'a> {
    /// Codes `[example, latent]`, finite, and factor values `[example, factor]`.
    ///
    /// # Panics
    /// When the slices are not equally many whole rows.
    pub fn new(codes: &'a [f32], code_size: usize, factors: &'a [u32], num_factors: usize) -> Self {
        assert!(code_size > 0 && num_factors > 0, "there are codes and factors");
        assert!(codes.len().is_multiple_of(code_size) && factors.len().is_multiple_of(num_factors), "both sides are whole rows");
        assert_eq!(codes.len() / code_size, factors.len() / num_factors, "both sides are of the same examples");
        Self { codes, code_size, factors, num_factors }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.codes.len() / self.code_size
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Dimensions of a code.
    pub fn code_size(&self) -> usize {
        self.code_size
    }

    /// Number of factors.
    pub fn num_factors(&self) -> usize {
        self.num_factors
    }

    /// All codes, `[example, latent]`.
    pub(crate) fn codes(&self) -> &'a [f32] {
        self.codes
    }

    /// One code, `[latent]`.
    pub(crate) fn code(&self, example: usize) -> &'a [f32] {
        &self.codes[example * self.code_size..][..self.code_size]
    }

    /// One dimension of all codes, `[example]`.
    pub(crate) fn latent(&self, latent: usize) -> Vec<f32> {
        self.codes.iter().skip(latent).step_by(self.code_size).copied().collect()
    }

    /// One factor of all examples, `[example]`.
    pub(crate) fn factor(&self, factor: usize) -> Vec<u32> {
        self.factors.iter().skip(factor).step_by(self.num_factors).copied().collect()
    }

    /// Variance of each dimension of some examples, divided by one less than their number; 0 of a single one.
    pub(crate) fn variances(&self, examples: &[usize]) -> Vec<f64> {
        let num = examples.len() as f64;
        let mut means = vec![0.0; self.code_size];
        for &example in examples {
            means.iter_mut().zip(self.code(example)).for_each(|(mean, &value)| *mean += f64::from(value) / num);
        }
        let mut variances = vec![0.0; self.code_size];
        for &example in examples {
            for ((variance, mean), &value) in variances.iter_mut().zip(&means).zip(self.code(example)) {
                *variance += (f64::from(value) - mean).powi(2) / (num - 1.0).max(1.0);
            }
        }
        variances
    }
}

/// Values as classes numbered from 0 without gaps, in the order of the values, and the values.
pub(crate) fn compact(values: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut present = values.to_vec();
    present.sort_unstable();
    present.dedup();
    let classes = values.iter().map(|value| present.partition_point(|other| other < value) as u32).collect();
    (classes, present)
}

/// Which examples share the value of a factor: for scores that hold a factor fixed.
#[derive(Debug)]
pub(crate) struct SharedFactors {
    /// `[factor][class][example]`.
    members: Vec<Vec<Vec<usize>>>,
    /// `[factor][example]`.
    classes: Vec<Vec<u32>>,
}

impl SharedFactors {
    pub(crate) fn of(data: &FactorCodes<'_>) -> Self {
        let (mut members, mut classes) = (Vec::new(), Vec::new());
        for factor in 0..data.num_factors() {
            let (of_examples, values) = compact(&data.factor(factor));
            let mut groups = vec![Vec::new(); values.len()];
            for (example, &class) in of_examples.iter().enumerate() {
                groups[class as usize].push(example);
            }
            members.push(groups);
            classes.push(of_examples);
        }
        Self { members, classes }
    }

    /// The examples that have the same value of `factor` as `example`, itself among them.
    pub(crate) fn sharing(&self, factor: usize, example: usize) -> &[usize] {
        &self.members[factor][self.classes[factor][example] as usize]
    }

    /// Whether a value of some factor belongs to one example alone, so that no other shares it.
    pub(crate) fn has_singles(&self) -> bool {
        self.members.iter().flatten().any(|members| members.len() == 1)
    }
}

/// A number below `num`, all alike.
pub(crate) fn draw_one(stream: &mut Stream, num: usize) -> usize {
    draw_positions(stream, 1, num)[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_numbered_without_gaps_in_the_order_of_the_values() {
        assert_eq!(compact(&[7, 2, 2, 9, 7]), (vec![1, 0, 0, 2, 1], vec![2, 7, 9]));
        assert_eq!(compact(&[]), (vec![], vec![]));
    }

    #[test]
    fn examples_share_the_values_of_factors() {
        let data = FactorCodes::new(&[0.0, 1.0, 2.0, 4.0], 1, &[0, 5, 0, 6, 1, 5, 1, 6], 2);
        let shared = SharedFactors::of(&data);
        assert_eq!((shared.sharing(0, 1), shared.sharing(1, 1), shared.has_singles()), (&[0, 1][..], &[1, 3][..], false));
        assert!((data.variances(&[0, 1, 3])[0] - 13.0 / 3.0).abs() < 1e-12);
        assert_eq!(data.variances(&[2]), [0.0]);
    }
}
