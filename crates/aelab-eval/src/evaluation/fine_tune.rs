//! `fine_tune`: the encoder trained further as a classifier, beside the same net from random initialisation.
//!
//! Vincent, Larochelle, Lajoie, Bengio & Manzagol 2010, "Stacked Denoising Autoencoders", section 6.
//! <https://www.jmlr.org/papers/v11/vincent10a.html>

use std::num::NonZeroUsize;

use aelab_core::{Classifier, DataSpec, Examples, Head, Optimizer, Stream, TrainedModel, draw_positions};
use burn::optim::{AdamConfig, ModuleOptimizer};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::metric::info::{MetricInfo, lower};
use crate::pass::{Draw, Rows, for_each_batch, to_labels, to_values};
use crate::registry::Measure;
use crate::{DataTable, EvaluationContext, EvaluationError, Line, Measurement, Outcome, Picture, PictureContent};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    lower(
        "fine_tune_error",
        "%",
        "test examples that the encoder with a softmax layer misclassifies after both were trained on training labels (`@n`: on n of each class), those of the epoch with the lowest validation error",
    )
    .headline(),
    lower(
        "untrained_fine_tune_error",
        "%",
        "the same for the encoder as it was before training: same initial weights, labels and order, and the same rule for stopping",
    )
    .headline(),
];

/// Steps that an epoch has at least: few labels are gone through more than once.
const MIN_STEPS_PER_EPOCH: usize = 50;

/// How many labels there are to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum LabelsPerClass {
    /// That many of each class.
    Number(NonZeroUsize),
    /// `all`.
    All(AllLabels),
}

/// The word `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AllLabels {
    /// Every labelled training example.
    All,
}

/// What serde derives for untagged variants does not say what it expected.
impl<'de> Deserialize<'de> for LabelsPerClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let number = value.as_u64().and_then(|number| NonZeroUsize::new(usize::try_from(number).ok()?));
        match (value.as_str(), number) {
            (Some("all"), _) => Ok(Self::All(AllLabels::All)),
            (_, Some(number)) => Ok(Self::Number(number)),
            _ => Err(serde::de::Error::custom(format!("expected `all` or a whole number of at least 1, found {value}"))),
        }
    }
}

impl LabelsPerClass {
    /// A metric measured with these labels.
    fn name(self, metric: &str) -> String {
        match self {
            LabelsPerClass::Number(num) => format!("{metric}@{num}"),
            LabelsPerClass::All(AllLabels::All) => metric.to_owned(),
        }
    }

    fn label(self) -> String {
        match self {
            LabelsPerClass::Number(num) => format!("{num} labels per class"),
            LabelsPerClass::All(AllLabels::All) => "all labels".to_owned(),
        }
    }
}

/// Test error of the encoder with a softmax layer on top, trained on labels, and of the same net from random initialisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FineTune {
    /// How many training labels of each class are learned from: `all`, numbers, or several of them.
    #[serde(deserialize_with = "at_least_one")]
    labels_per_class: Vec<LabelsPerClass>,
    /// Passes over the labelled examples, each of at least 50 steps.
    epochs: NonZeroUsize,
    /// Learning rate of Adam.
    #[serde(deserialize_with = "positive")]
    learning_rate: f64,
    /// Examples of a step.
    batch_size: NonZeroUsize,
    /// Training ends where the validation error has not fallen for that many epochs.
    patience: NonZeroUsize,
}

impl Default for FineTune {
    fn default() -> Self {
        let number = |number| NonZeroUsize::new(number).expect("the number is not 0");
        Self {
            labels_per_class: vec![LabelsPerClass::All(AllLabels::All)],
            epochs: number(20),
            learning_rate: 1e-3,
            batch_size: number(100),
            patience: number(5),
        }
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LabelsPerClass>, D::Error> {
    let several = Vec::<LabelsPerClass>::deserialize(deserializer)?;
    let repeats = several.iter().enumerate().any(|(position, one)| several[..position].contains(one));
    if several.is_empty() || repeats {
        let message = "`labels_per_class` is a list of different numbers of labels (`all`, 10, 100), at least one";
        return Err(serde::de::Error::custom(message));
    }
    Ok(several)
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value > 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(serde::de::Error::custom(format!("`learning_rate` must be positive and finite, but is {value}")))
    }
}

impl Measure for FineTune {
    const NAME: &'static str = "fine_tune";
    const SUMMARY: &'static str = "test error after training the encoder as a classifier, and from random weights; asked for by name only";
    const NEEDS: &'static str = "data with two classes or more";

    fn applies(&self, data: &DataSpec) -> bool {
        data.num_classes.is_some_and(|num_classes| num_classes > 1)
    }

    fn metric_names(&self, _data: &DataSpec) -> Vec<String> {
        let of = |labels: &LabelsPerClass| METRICS.iter().map(|metric| labels.name(metric.name)).collect::<Vec<_>>();
        self.labels_per_class.iter().flat_map(of).collect()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        if context.train.is_empty() {
            return Err(EvaluationError::EmptySplit { evaluation: Self::NAME, split: "training" });
        }
        let nothing = |why: &str| {
            let warning = format!("`fine_tune` measures nothing: {why}");
            Ok(Outcome { warnings: vec![warning], ..Outcome::default() })
        };
        let num_classes = context.test.spec().num_classes.unwrap_or(0);
        let (Some(labels), Some(_)) = (context.train.labels(), context.test.labels()) else { return nothing("the data has no labels") };
        if num_classes < 2 {
            return nothing("there is only one class");
        }
        let untrained = (context.untrained)(context.seed)
            .map_err(|error| EvaluationError::Untrained { evaluation: Self::NAME, message: error.to_string() })?;
        let mut outcome = Outcome::default();
        if context.valid.is_empty() || context.valid.labels().is_none() {
            let warning = "`fine_tune` has no labelled validation examples to choose an epoch by: the last one counts".to_owned();
            outcome.warnings.push(warning);
        }
        let columns = ["labels", "start", "epoch", "train_cross_entropy", "valid_error", "kept"];
        let mut table = DataTable::new("fine_tune", columns);
        let mut lines = Vec::new();
        for &amount in &self.labels_per_class {
            let mut stream = Draw::FineTune.stream(context.seed);
            let chosen = chosen(labels, num_classes, amount, &mut stream, &mut outcome.warnings);
            let starts = [(METRICS[0].name, "trained", context.model), (METRICS[1].name, "random", untrained.as_ref())];
            for (metric, start, model) in starts {
                // A clone for each: both see the same examples in the same order.
                let Some(result) = self.tune(model, context, &chosen, num_classes, stream.clone())? else {
                    return nothing("the model has no derivatives");
                };
                outcome.measurements.push(Measurement::new(&amount.name(metric), result.test_error)?);
                for (index, &(cross_entropy, valid_error)) in result.epochs.iter().enumerate() {
                    let kept = index == result.best_epoch;
                    table.push([
                        json!(amount.label()),
                        json!(start),
                        json!(index + 1),
                        json!(cross_entropy),
                        json!(valid_error),
                        json!(kept),
                    ]);
                }
                let epochs = result.epochs.iter().enumerate();
                let points: Vec<[f64; 2]> =
                    epochs.filter_map(|(index, (_, valid_error))| Some([(index + 1) as f64, (*valid_error)?])).collect();
                if !points.is_empty() {
                    lines.push(Line { name: format!("{start}, {}", amount.label()), points, is_baseline: start == "random" });
                }
            }
        }
        outcome.tables.push(table);
        if !lines.is_empty() {
            let axes = ["epoch".to_owned(), "validation error (%)".to_owned()];
            let content = PictureContent::Lines { lines, axes, logarithmic: [false, false] };
            let title = "fine-tuning from the trained encoder and from random weights";
            outcome.pictures.push(Picture::new("fine_tune", title, content));
        }
        Ok(outcome)
    }
}

/// What one net came to.
struct Tuned {
    /// Percent.
    test_error: f64,
    /// Mean cross-entropy of the steps in nats and, where there is a validation split, its error in percent.
    epochs: Vec<(f64, Option<f64>)>,
    best_epoch: usize,
}

impl FineTune {
    /// Trains a copy of the encoder of `model` with a head on the training examples at `chosen`.
    fn tune(
        &self,
        model: &dyn TrainedModel,
        context: &EvaluationContext<'_>,
        chosen: &[usize],
        num_classes: usize,
        mut stream: Stream,
    ) -> Result<Option<Tuned>, EvaluationError> {
        let device = context.device.clone().autodiff();
        let optimizer = Optimizer::new(ModuleOptimizer::from(AdamConfig::new().with_epsilon(1e-8).build()), None);
        let head = Head { code_size: code_size(model, context), num_classes, device: device.clone(), optimizer };
        let Some(mut classifier) = model.classifier(head) else { return Ok(None) };
        let watches = !context.valid.is_empty() && context.valid.labels().is_some();
        let batch_size = self.batch_size.get().min(chosen.len());
        let passes = MIN_STEPS_PER_EPOCH.div_ceil(chosen.len().div_ceil(batch_size)).max(1);
        let (mut epochs, mut best, mut best_epoch, mut kept) = (Vec::new(), f64::INFINITY, 0, None);
        for epoch in 0..self.epochs.get() {
            let (mut sum, mut num) = (0.0, 0);
            for _ in 0..passes {
                let order = draw_positions(&mut stream, chosen.len(), chosen.len());
                for positions in order.chunks(batch_size) {
                    context.beat()?;
                    let indices: Vec<usize> = positions.iter().map(|&position| chosen[position]).collect();
                    let rows = Rows::gather(context.train, &indices, &mut stream);
                    let labels = to_labels(rows.labels.as_deref().unwrap_or_default(), &device);
                    let value = classifier.train_step(&rows.batch(&device), labels, self.learning_rate);
                    if !value.is_finite() {
                        return Err(EvaluationError::FineTuning { epoch: epoch + 1, value });
                    }
                    sum += value * indices.len() as f64;
                    num += indices.len();
                }
            }
            let snapshot = classifier.snapshot();
            let error = watches.then(|| error(snapshot.as_ref(), context.valid, num_classes, context)).transpose()?;
            epochs.push((sum / num as f64, error));
            // Without a validation split every epoch replaces the one before it.
            if error.is_none_or(|error| error < best) {
                (best, best_epoch, kept) = (error.unwrap_or(f64::INFINITY), epoch, Some(snapshot));
            }
            if epoch - best_epoch >= self.patience.get() {
                break;
            }
        }
        let Some(kept) = kept else { return Ok(None) };
        let test_error = error(kept.as_ref(), context.test, num_classes, context)?;
        Ok(Some(Tuned { test_error, epochs, best_epoch }))
    }
}

/// Units of the code, as the encoder gives it.
fn code_size(model: &dyn TrainedModel, context: &EvaluationContext<'_>) -> usize {
    let batch = Rows::gather(context.train, &[0], &mut Draw::Train.stream(context.seed)).batch(context.device);
    let conditioned = model.conditioned(&batch);
    conditioned.as_deref().unwrap_or(model).encode(batch.x).dims()[1]
}

/// Percent of examples whose largest logit, the first of equals, is not that of their class.
fn error(
    classifier: &dyn Classifier,
    examples: &dyn Examples,
    num_classes: usize,
    context: &EvaluationContext<'_>,
) -> Result<f64, EvaluationError> {
    let mut num_wrong = 0;
    for_each_batch(examples, Draw::Test.stream(context.seed), context.batch_size, |rows| {
        context.beat()?;
        let logits = to_values(classifier.logits(&rows.batch(context.device)), [rows.shape()[0], num_classes], "logits of classes")?;
        for (logits, &label) in logits.chunks_exact(num_classes).zip(rows.labels.as_deref().unwrap_or_default()) {
            if let Some(&value) = logits.iter().find(|value| !value.is_finite()) {
                return Err(EvaluationError::NonFinite { metric: "fine_tune_error".to_owned(), value: f64::from(value) });
            }
            let first = |best: usize, class: usize| if logits[class] > logits[best] { class } else { best };
            num_wrong += usize::from((0..num_classes).fold(0, first) != label as usize);
        }
        Ok(())
    })?;
    Ok(100.0 * num_wrong as f64 / examples.len() as f64)
}

/// Positions of the training examples that are learned from.
fn chosen(labels: &[u32], num_classes: usize, amount: LabelsPerClass, stream: &mut Stream, warnings: &mut Vec<String>) -> Vec<usize> {
    let LabelsPerClass::Number(num) = amount else { return (0..labels.len()).collect() };
    let mut all = Vec::new();
    let mut short = 0;
    for class in 0..num_classes {
        let of_class: Vec<usize> = (0..labels.len()).filter(|&index| labels[index] as usize == class).collect();
        short += usize::from(of_class.len() < num.get());
        let drawn = draw_positions(stream, num.get().min(of_class.len()), of_class.len());
        all.extend(drawn.into_iter().map(|position| of_class[position]));
    }
    if short > 0 {
        warnings.push(format!("`fine_tune` learns from fewer than {num} labels of {short} classes: the training split has no more"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_of_each_class_are_chosen_as_asked_for_or_as_there_are() {
        let labels: Vec<u32> = (0..50).map(|index| u32::from(index % 10 == 0)).collect();
        let mut warnings = Vec::new();
        let of = |num: usize, warnings: &mut Vec<String>| {
            let amount = LabelsPerClass::Number(NonZeroUsize::new(num).unwrap());
            chosen(&labels, 2, amount, &mut Draw::FineTune.stream(1), warnings)
        };
        let four = of(4, &mut warnings);
        assert!(warnings.is_empty());
        let count = |chosen: &[usize], class: u32| chosen.iter().filter(|&&index| labels[index] == class).count();
        assert_eq!((count(&four, 0), count(&four, 1)), (4, 4));
        let mut different = four.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 8);
        let ten = of(10, &mut warnings);
        assert_eq!((count(&ten, 0), count(&ten, 1), warnings.len()), (10, 5, 1));
        assert_eq!(chosen(&labels, 2, LabelsPerClass::All(AllLabels::All), &mut Draw::FineTune.stream(1), &mut warnings).len(), 50);
    }

    #[test]
    fn options_that_no_data_could_satisfy_are_refused() {
        let read = |options| serde_json::from_value::<FineTune>(options);
        let several = read(json!({"labels_per_class": ["all", 10]})).unwrap();
        let names = Measure::metric_names(&several, &DataSpec::new([2], aelab_core::Domain::Real));
        assert_eq!(names, ["fine_tune_error", "untrained_fine_tune_error", "fine_tune_error@10", "untrained_fine_tune_error@10"]);
        for options in [
            json!({"labels_per_class": []}),
            json!({"labels_per_class": [0]}),
            json!({"labels_per_class": [10, 10]}),
            json!({"labels_per_class": ["some"]}),
            json!({"learning_rate": 0}),
            json!({"epochs": 0}),
        ] {
            assert!(read(options.clone()).is_err(), "{options}");
        }
        let message = read(json!({"labels_per_class": ["al"]})).unwrap_err().to_string();
        assert!(message.contains("`all` or a whole number of at least 1, found \"al\""), "{message}");
    }
}
