//! Explicitness: how well a linear classifier tells each value of a factor from the others.
//!
//! Ridgeway & Mozer 2018, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", Sec. 3.
//! <https://arxiv.org/abs/1802.05312>

use super::auroc::auroc;
use super::factor_codes::FactorCodes;
use super::logistic_regression::LogisticRegression;

/// Explicitness of every factor, `[factor]`: a multinomial logistic regression of the factor on codes that are standardised by `train`,
/// fitted on `train` (scikit-learn's default price, C = 1); the area under the ROC curve on `test` of each of its values against the
/// others, mean over values. `None` where `train` or `test` has a single value.
pub fn explicitness(train: &FactorCodes<'_>, test: &FactorCodes<'_>) -> Vec<Option<f64>> {
    let moments: Vec<(f64, f64)> = (0..train.code_size()).map(|latent| moments(&train.latent(latent))).collect();
    let standardised = |codes: &[f32]| -> Vec<f64> {
        let of_row = |row: &[f32]| -> Vec<f64> {
            row.iter().zip(&moments).map(|(&value, (mean, deviation))| (f64::from(value) - mean) / deviation).collect()
        };
        codes.chunks_exact(train.code_size()).flat_map(of_row).collect()
    };
    let (x, unseen) = (standardised(train.codes()), standardised(test.codes()));
    let of_factor = |factor: usize| {
        let fitted = LogisticRegression::fit(&x, train.code_size(), &train.factor(factor), 1.0)?;
        let classes: Vec<Option<u32>> =
            test.factor(factor).iter().map(|value| fitted.classes.binary_search(value).ok().map(|class| class as u32)).collect();
        one_against_rest_auroc(&fitted.log_probabilities(&unseen), &classes, fitted.classes.len())
    };
    (0..train.num_factors()).map(of_factor).collect()
}

/// Mean and standard deviation (divided by the number); 1 for that of a constant.
fn moments(values: &[f32]) -> (f64, f64) {
    let num = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / num;
    let variance = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / num;
    // A constant that f64 cannot average exactly would otherwise be divided by its rounding.
    let is_constant = values.iter().all(|value| *value == values[0]);
    (mean, if is_constant { 1.0 } else { variance.sqrt() })
}

/// Mean over classes of the area under the ROC curve of each class against the rest, by `probabilities` `[example, class]` or anything that
/// grows with them. Classes
/// that no example or every example has are left out; `None` where all are.
pub fn one_against_rest_auroc(probabilities: &[f64], classes: &[Option<u32>], num_classes: usize) -> Option<f64> {
    let areas: Vec<f64> = (0..num_classes)
        .filter_map(|class| {
            let scored = probabilities.iter().skip(class).step_by(num_classes).zip(classes);
            let (positive, negative): (Vec<_>, Vec<_>) = scored.partition(|(_, found)| **found == Some(class as u32));
            let scores = |side: Vec<(&f64, _)>| side.into_iter().map(|(&score, _)| score).collect::<Vec<f64>>();
            auroc(&scores(negative), &scores(positive))
        })
        .collect();
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_all_or_none_have_are_left_out() {
        // Class 1 is nowhere, and the two others are told apart.
        let probabilities = [0.8, 0.1, 0.1, 0.2, 0.1, 0.7];
        assert_eq!(one_against_rest_auroc(&probabilities, &[Some(0), Some(2)], 3), Some(1.0));
        assert_eq!(one_against_rest_auroc(&probabilities, &[None, None], 3), None);
    }
}
