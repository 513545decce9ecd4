//! Scores that hold a factor fixed and ask which dimension shows it.

use aelab_core::{Stream, draw_positions};

use super::factor_codes::{FactorCodes, SharedFactors, draw_one};
use super::logistic_regression::LogisticRegression;

/// Examples behind one vote or one point, as in disentanglement_lib.
const NUM_DRAWN: usize = 64;

/// Votes of the FactorVAE score: `[factor, active dimension]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Votes {
    counts: Vec<u64>,
    num_dimensions: usize,
}

impl Votes {
    /// Share of these votes that name the factor which most votes of `training` give for their dimension, the first of equals.
    fn accuracy(&self, training: &Self) -> f64 {
        let num_factors = self.counts.len() / self.num_dimensions;
        let of = |factor: usize, dimension: usize| factor * self.num_dimensions + dimension;
        let right: u64 = (0..self.num_dimensions)
            .map(|dimension| {
                let majority = (0..num_factors).rev().max_by_key(|&factor| training.counts[of(factor, dimension)]).unwrap_or(0);
                self.counts[of(majority, dimension)]
            })
            .sum();
        right as f64 / self.counts.iter().sum::<u64>() as f64
    }
}

/// Which dimensions of codes have a standard deviation of at least `min_deviation`, and vary at all.
pub fn active_dimensions(data: &FactorCodes<'_>, min_deviation: f64) -> Vec<bool> {
    let variances = data.variances(&(0..data.len()).collect::<Vec<_>>());
    variances.into_iter().map(|variance| variance > 0.0 && variance.sqrt() >= min_deviation).collect()
}

/// FactorVAE score (Kim & Mnih 2018, "Disentangling by Factorising", Sec. 4). A factor is drawn and 64 examples that share its value;
/// the active dimension of least variance among them, in units of its variance among all examples, votes for the factor. The score is
/// the share of `num_test` votes from `test` that the majority of `num_train` votes from `train` predicts. 0 without active dimensions.
pub fn factor_vae_score(
    train: &FactorCodes<'_>,
    test: &FactorCodes<'_>,
    active: &[bool],
    [num_train, num_test]: [usize; 2],
    stream: &mut Stream,
) -> f64 {
    if !active.contains(&true) {
        return 0.0;
    }
    let scales = train.variances(&(0..train.len()).collect::<Vec<_>>());
    let training = votes(train, active, &scales, num_train, stream);
    votes(test, active, &scales, num_test, stream).accuracy(&training)
}

fn votes(data: &FactorCodes<'_>, active: &[bool], scales: &[f64], num: usize, stream: &mut Stream) -> Votes {
    let shared = SharedFactors::of(data);
    let active: Vec<usize> = (0..active.len()).filter(|&dimension| active[dimension]).collect();
    let mut counts = vec![0; data.num_factors() * active.len()];
    for _ in 0..num {
        let factor = draw_one(stream, data.num_factors());
        let members = shared.sharing(factor, draw_one(stream, data.len()));
        let drawn: Vec<usize> = draw_positions(stream, NUM_DRAWN, members.len()).into_iter().map(|at| members[at]).collect();
        let vote = factor_vae_vote(data, &drawn, &active, scales);
        counts[factor * active.len() + vote] += 1;
    }
    Votes { counts, num_dimensions: active.len() }
}

/// Which of the `active` dimensions varies least among the examples `drawn`, in units of `scales` (`[latent]`, of all examples): its
/// position among the active ones, the first of equals.
pub fn factor_vae_vote(data: &FactorCodes<'_>, drawn: &[usize], active: &[usize], scales: &[f64]) -> usize {
    let variances = data.variances(drawn);
    let relative = |at: usize| variances[active[at]] / scales[active[at]];
    (0..active.len()).min_by(|&a, &b| relative(a).total_cmp(&relative(b))).unwrap_or(0)
}

/// beta-VAE score (Higgins et al. 2017, "beta-VAE", Sec. 3): the accuracy on `num_test` [`difference_points`] of `test` of a linear
/// classifier (multinomial logistic regression, C = 1, as in disentanglement_lib) of the fixed factor, fitted on `num_train` points of
/// `train`. 1 of a single factor.
pub fn beta_vae_score(train: &FactorCodes<'_>, test: &FactorCodes<'_>, [num_train, num_test]: [usize; 2], stream: &mut Stream) -> f64 {
    let as_f64 = |points: Vec<f32>| -> Vec<f64> { points.into_iter().map(f64::from).collect() };
    let (points, factors) = difference_points(train, num_train, stream);
    let (unseen, wanted) = difference_points(test, num_test, stream);
    let Some(fitted) = LogisticRegression::fit(&as_f64(points), train.code_size(), &factors, 1.0) else { return 1.0 };
    let right = fitted.predict(&as_f64(unseen)).iter().zip(&wanted).filter(|(found, wanted)| found == wanted).count();
    right as f64 / wanted.len() as f64
}

/// Points of the beta-VAE score (Higgins et al. 2017, "beta-VAE", Sec. 3): a factor is drawn and 64 pairs of examples that share its
/// value, two different ones where there are two; the point is the mean over the pairs of the absolute difference of codes. Gives `num`
/// points `[point, latent]` and the factor of each.
pub fn difference_points(data: &FactorCodes<'_>, num: usize, stream: &mut Stream) -> (Vec<f32>, Vec<u32>) {
    let shared = SharedFactors::of(data);
    let (mut points, mut factors) = (Vec::with_capacity(num * data.code_size()), Vec::with_capacity(num));
    for _ in 0..num {
        let factor = draw_one(stream, data.num_factors());
        let mut mean = vec![0.0f64; data.code_size()];
        for _ in 0..NUM_DRAWN {
            let first = draw_one(stream, data.len());
            let members = shared.sharing(factor, first);
            let mut second = members[draw_one(stream, members.len())];
            while second == first && members.len() > 1 {
                second = members[draw_one(stream, members.len())];
            }
            for ((mean, &a), &b) in mean.iter_mut().zip(data.code(first)).zip(data.code(second)) {
                *mean += (f64::from(a) - f64::from(b)).abs() / NUM_DRAWN as f64;
            }
        }
        points.extend(mean.into_iter().map(|value| value as f32));
        factors.push(factor as u32);
    }
    (points, factors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_majority_of_training_votes_predicts() {
        let votes = |counts: [u64; 4]| Votes { counts: counts.to_vec(), num_dimensions: 2 };
        // Dimension 0 stands for factor 0 by 3 to 1; dimension 1 is undecided, and the first factor is taken.
        let training = votes([3, 2, 1, 2]);
        assert_eq!(votes([4, 1, 2, 3]).accuracy(&training), 0.5);
        assert_eq!(training.accuracy(&training), 5.0 / 8.0);
    }

    #[test]
    fn a_factor_that_is_fixed_shows_in_its_dimension() {
        let factors: Vec<u32> = (0..6).flat_map(|a| (0..5).flat_map(move |b| [a, b])).collect();
        let codes: Vec<f32> = factors.iter().map(|&value| value as f32).collect();
        let data = FactorCodes::new(&codes, 2, &factors, 2);
        let mut stream = aelab_core::stream(1, aelab_core::Purpose::Evaluation, 14, 0);
        let (points, labels) = difference_points(&data, 50, &mut stream);
        for (point, label) in points.chunks(2).zip(labels) {
            assert!(point[label as usize] == 0.0 && point[1 - label as usize] > 0.5);
        }
        assert_eq!(active_dimensions(&FactorCodes::new(&[0.0, 5.0, 0.01, 5.0], 2, &[0, 1], 1), 0.0), [true, false]);
        assert_eq!(active_dimensions(&FactorCodes::new(&[0.0, 5.0, 0.01, 5.0], 2, &[0, 1], 1), 0.05), [false, false]);
    }
}
