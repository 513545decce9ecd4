//! `linear_probe`: what a linear classifier makes of codes.
//!
//! Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes". <https://arxiv.org/abs/1610.01644>

use std::num::NonZeroU32;

use aelab_core::DataSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::baseline_cache::cached;
use crate::metric::ExampleMean;
use crate::metric::info::{MetricInfo, NATS, higher, lower};
use crate::registry::Measure;
use crate::representation::{Representation, Representations, first_labels, is_affordable};
use crate::{EvaluationContext, EvaluationError, Line, LogisticRegression, Measurement, Outcome, Picture, PictureContent};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    higher(
        "probe_accuracy",
        "",
        "share of the first test examples (10,000 by default) whose class a multinomial logistic regression tells from the code (encoded without its class); fitted to convergence on the \
         standardised codes of the first training examples (10,000 by default, or so many of each class), L2 penalty as scikit-learn's `C` (1 by default)",
    )
    .headline()
    .version(2),
    lower("probe_nll", NATS, "-ln of the probability that this classifier gives to the class, mean over those test examples").version(2),
    higher("pca_probe_accuracy", "", "`probe_accuracy` of the codes of PCA with as many components as the model's code has dimensions"),
    lower("pca_probe_nll", NATS, "`probe_nll` of those codes"),
    higher("raw_probe_accuracy", "", "`probe_accuracy` of the features themselves in place of codes"),
    lower("raw_probe_nll", NATS, "`probe_nll` of the features"),
];

/// The gradient's norm at the end of a fit, relative to that at the start: the accuracy has long stood still.
const TOLERANCE: f64 = 1e-6;
/// Names of what a probe measures of each representation.
pub(super) const OF_EACH: [&str; 2] = ["probe_accuracy", "probe_nll"];

/// Accuracy of a linear classifier on the codes, beside the same on PCA codes and on the data themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LinearProbe {
    /// Training examples, from the first on.
    num_train: NonZeroU32,
    /// Test examples, from the first on.
    num_test: NonZeroU32,
    /// How little a coefficient costs: the objective is `c` times the summed negative log-likelihood plus half the squared coefficients.
    #[serde(deserialize_with = "positive")]
    c: f64,
    /// Beside the fit on all of them, fits on so many training examples of each class, the first ones: a curve of accuracy against labels.
    labels_per_class: Vec<NonZeroU32>,
}

impl Default for LinearProbe {
    fn default() -> Self {
        let number = |value| NonZeroU32::new(value).expect("it is not 0");
        Self { num_train: number(10_000), num_test: number(10_000), c: 1.0, labels_per_class: Vec::new() }
    }
}

/// A finite number above 0.
pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(serde::de::Error::custom(format!("expected a number above 0, not {value}")))
    }
}

/// Prefixes of the representations that a probe is made of, on such data.
pub(super) fn prefixes(data: &DataSpec) -> &'static [&'static str] {
    if is_affordable(data.num_features()) { &["", "pca_", "raw_"] } else { &[""] }
}

/// Whether such data have classes to tell apart.
pub(super) fn has_classes(data: &DataSpec) -> bool {
    data.num_classes.is_some_and(|num| num > 1)
}

impl Measure for LinearProbe {
    const NAME: &'static str = "linear_probe";
    const SUMMARY: &'static str =
        "accuracy of a linear classifier on the codes, beside PCA and the data themselves; asked for by name only";
    const NEEDS: &'static str = "data with two classes or more";

    fn applies(&self, data: &DataSpec) -> bool {
        has_classes(data)
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        if !has_classes(data) {
            return Vec::new();
        }
        let settings = || std::iter::once(String::new()).chain(self.labels_per_class.iter().map(|&num| setting(num)));
        prefixes(data)
            .iter()
            .flat_map(|prefix| settings().flat_map(move |setting| OF_EACH.map(|name| format!("{prefix}{name}{setting}"))))
            .collect()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        let (num_train, num_test) = (self.num_train.get() as usize, self.num_test.get() as usize);
        let representations = Representations::of_first(context, Self::NAME, num_train, num_test)?;
        let mut outcome = Outcome { warnings: representations.warnings.clone(), ..Outcome::default() };
        let labels = match first_labels(context, Self::NAME, num_train, num_test) {
            Ok(labels) => labels,
            Err(warning) => {
                outcome.warnings.push(warning);
                return Ok(outcome);
            }
        };
        let mut numbers = self.labels_per_class.clone();
        numbers.sort_unstable();
        numbers.dedup();
        let mut lines = Vec::new();
        for representation in representations.all() {
            let everything = probe(context, representation, labels, None, self.c);
            everything.report(representation.prefix, "", &mut outcome)?;
            let mut points = Vec::new();
            for &num in &numbers {
                let some = probe(context, representation, labels, Some(num.get() as usize), self.c);
                some.report(representation.prefix, &setting(num), &mut outcome)?;
                points.extend(some.accuracy.map(|accuracy| [f64::from(num.get()), accuracy]));
            }
            if !points.is_empty() {
                lines.push(Line { name: representation.caption.clone(), points, is_baseline: representation.is_baseline() });
            }
        }
        if numbers.len() > 1 && !lines.is_empty() {
            let axes = ["labels per class".to_owned(), "accuracy of a linear probe".to_owned()];
            let content = PictureContent::Lines { lines, axes, logarithmic: [true, false] };
            outcome.pictures.push(Picture::new("linear_probe", "linear probe from few labels", content));
        }
        Ok(outcome)
    }
}

/// What stands behind the name of a metric that was measured with few labels.
fn setting(num_per_class: NonZeroU32) -> String {
    format!("@{num_per_class}_per_class")
}

/// What a linear classifier makes of a representation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Probe {
    accuracy: Option<f64>,
    nll: Option<f64>,
    warnings: Vec<String>,
}

impl Probe {
    /// Adds the numbers under their names.
    pub(super) fn report(&self, prefix: &str, setting: &str, outcome: &mut Outcome) -> Result<(), EvaluationError> {
        for (name, value) in OF_EACH.into_iter().zip([self.accuracy, self.nll]) {
            if let Some(value) = value {
                outcome.measurements.push(Measurement::new(&format!("{prefix}{name}{setting}"), value)?);
            }
        }
        let name = format!("{prefix}probe_accuracy{setting}");
        outcome.warnings.extend(self.warnings.iter().map(|warning| format!("`{name}`: {warning}")));
        Ok(())
    }
}

/// Fits a classifier on the training part, or on the first `num_per_class` of each class in it, and measures it on the test part.
/// What another evaluation of the trial has fitted already is taken from there.
pub(super) fn probe(
    context: &EvaluationContext<'_>,
    representation: &Representation,
    (train_labels, test_labels): (&[u32], &[u32]),
    num_per_class: Option<usize>,
    c: f64,
) -> Probe {
    let key = format!("{} {} {} {num_per_class:?} {c}", representation.prefix, train_labels.len(), test_labels.len());
    if let Some((_, known)) = context.memo.probes.borrow().iter().find(|(known, _)| *known == key) {
        return known.clone();
    }
    let what = format!("probe, version 1, {num_per_class:?} per class, C {c}");
    let fit = || fit(representation, train_labels, test_labels, num_per_class, c);
    let found = cached(context, &what, representation, (train_labels, test_labels), fit);
    context.memo.probes.borrow_mut().push((key, found.clone()));
    found
}

fn fit(representation: &Representation, train_labels: &[u32], test_labels: &[u32], num_per_class: Option<usize>, c: f64) -> Probe {
    let mut probe = Probe::default();
    let positions = first_of_each_class(train_labels, num_per_class.unwrap_or(usize::MAX));
    if let Some(wanted) = num_per_class {
        let num_classes = first_of_each_class(train_labels, 1).len();
        if positions.len() < wanted * num_classes {
            probe.warnings.push(format!("there are not {wanted} training examples of each class: {} in all were used", positions.len()));
        }
    }
    let size = representation.size;
    let labels: Vec<u32> = positions.iter().map(|&index| train_labels[index]).collect();
    let mut train: Vec<f64> =
        positions.iter().flat_map(|&index| &representation.train[index * size..][..size]).map(|&value| f64::from(value)).collect();
    let mut test: Vec<f64> = representation.test.iter().map(|&value| f64::from(value)).collect();
    standardise(&mut train, &mut test, size);
    let Some(fitted) = LogisticRegression::fit_within(&train, size, &labels, c, TOLERANCE) else {
        probe.warnings.push("its training examples are of one class".to_owned());
        return probe;
    };
    if !fitted.converged {
        probe.warnings.push(format!("the regression did not converge within {} steps", fitted.num_iterations));
    }
    let (mut right, mut nll) = (ExampleMean::default(), ExampleMean::default());
    let (predictions, log_probabilities) = (fitted.predict(&test), fitted.log_probabilities(&test));
    let mut is_known = true;
    for ((label, prediction), row) in test_labels.iter().zip(predictions).zip(log_probabilities.chunks_exact(fitted.classes.len())) {
        right.push(if *label == prediction { 1.0 } else { 0.0 });
        match fitted.classes.binary_search(label) {
            Ok(class) => nll.push(-row[class]),
            Err(_) => is_known = false,
        }
    }
    if is_known {
        probe.nll = Some(nll.mean());
    } else {
        probe.warnings.push("a class of the test examples is in no training example: its negative log-likelihood is infinite".to_owned());
    }
    probe.accuracy = Some(right.mean());
    probe
}

/// Positions of the first `num` examples of each class, in their order.
fn first_of_each_class(labels: &[u32], num: usize) -> Vec<usize> {
    let mut seen = std::collections::BTreeMap::<u32, usize>::new();
    let is_early = |&index: &usize| {
        let seen = seen.entry(labels[index]).or_default();
        *seen += 1;
        *seen <= num
    };
    (0..labels.len()).filter(is_early).collect()
}

/// Brings each column of `train` to mean 0 and deviation 1 and does the same to `test`. A column that does not vary is only moved.
fn standardise(train: &mut [f64], test: &mut [f64], size: usize) {
    let num = (train.len() / size) as f64;
    for column in 0..size {
        let mean = train.iter().skip(column).step_by(size).sum::<f64>() / num;
        let variance = train.iter().skip(column).step_by(size).map(|value| (value - mean).powi(2)).sum::<f64>() / num;
        // What rounding alone makes of a constant, as scikit-learn has it.
        let rounding = num * f64::EPSILON * variance + (num * mean * f64::EPSILON).powi(2);
        let deviation = if variance <= rounding { 1.0 } else { variance.sqrt() };
        for part in [&mut *train, &mut *test] {
            part.iter_mut().skip(column).step_by(size).for_each(|value| *value = (*value - mean) / deviation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_standardised_and_constants_only_moved() {
        let (mut train, mut test) = (vec![1.0, 7.0, 3.0, 7.0], vec![5.0, 8.0]);
        standardise(&mut train, &mut test, 2);
        assert_eq!((train, test), (vec![-1.0, 0.0, 1.0, 0.0], vec![3.0, 1.0]));
    }

    #[test]
    fn the_first_of_each_class_are_taken() {
        assert_eq!(first_of_each_class(&[1, 1, 0, 1, 0, 2], 2), [0, 1, 2, 4, 5]);
        assert_eq!(first_of_each_class(&[1, 1], usize::MAX), [0, 1]);
    }
}
