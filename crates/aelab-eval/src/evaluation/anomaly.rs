//! `anomaly`: whether what is not normal has a higher score than what is.

mod pictures;
mod scores;

use std::num::NonZeroU32;

use aelab_core::{ClassRef, ConfigError, DataSpec, Examples};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::metric::info::{MetricInfo, higher, lower, neutral};
use crate::pass::Draw;
use crate::registry::Measure;
use crate::{
    DataTable, EvaluationContext, EvaluationError, MAX_PCA_SIDE, Measurement, Outcome, ThresholdRule, auroc_interval, average_precision,
    bootstrap, classify, vus_pr,
};
use scores::{FeatureErrors, Scores};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    higher(
        "auroc",
        "",
        "area under the receiver operating characteristic, 0 to 1: how probably an anomaly's score is above a normal example's, ties counted half",
    )
    .headline()
    .version(2),
    neutral("auroc_low", "", "lower end of its 95 % interval (DeLong et al. 1988)").version(2),
    neutral("auroc_high", "", "upper end of that interval").version(2),
    higher("average_precision", "", "precision times the recall added, summed over falling distinct scores of anomalies and normal examples")
        .headline()
    .version(2),
    neutral("average_precision_low", "", "lower end of its 95 % interval, percentiles of bootstrap samples within each kind").version(2),
    neutral("average_precision_high", "", "upper end of that interval").version(2),
    higher("f1", "", "harmonic mean of `anomaly_precision` and `anomaly_recall` of calling scores above `anomaly_threshold` anomalous").headline()
    .version(2),
    neutral("f1_low", "", "lower end of its 95 % interval, percentiles of bootstrap samples within each kind; the threshold stays").version(2),
    neutral("f1_high", "", "upper end of that interval").version(2),
    higher("anomaly_precision", "", "share of anomalies among test examples above the threshold").version(2),
    higher("anomaly_recall", "", "share of the anomalies among test examples that is above the threshold").version(2),
    lower("false_alarm_rate", "", "share of the normal test examples that is above the threshold").version(2),
    neutral("anomaly_threshold", "", "the score above which an example is called anomalous, from scores of normal validation examples alone").version(2),
    higher(
        "vus_pr",
        "",
        "volume under the surface of range-based precision and recall over tolerances (Paparrizos et al. 2022), mean over test series with anomalous points; without point adjustment; scores are the mean squared errors of time steps, and steps of which nothing was observed are left out",
    )
    .version(2)
    .headline(),
    higher("pca_auroc", "", "`auroc` of the squared error of PCA, fitted on the training split, with as many components as the model's code has dimensions, or `@` as many as were asked for").headline(),
    neutral("pca_auroc_low", "", "lower end of its 95 % interval"),
    neutral("pca_auroc_high", "", "upper end of that interval"),
    higher("pca_average_precision", "", "`average_precision` of that error"),
    neutral("pca_average_precision_low", "", "lower end of its 95 % interval"),
    neutral("pca_average_precision_high", "", "upper end of that interval"),
    higher("pca_f1", "", "`f1` of that error at a threshold by the same rule"),
    neutral("pca_f1_low", "", "lower end of its 95 % interval"),
    neutral("pca_f1_high", "", "upper end of that interval"),
    higher("pca_anomaly_precision", "", "`anomaly_precision` of that error"),
    higher("pca_anomaly_recall", "", "`anomaly_recall` of that error"),
    lower("pca_false_alarm_rate", "", "`false_alarm_rate` of that error"),
    neutral("pca_anomaly_threshold", "", "the threshold of that error"),
];

/// What is measured of each score, in the order of the list above.
const NAMES: [&str; 13] = [
    "auroc",
    "auroc_low",
    "auroc_high",
    "average_precision",
    "average_precision_low",
    "average_precision_high",
    "f1",
    "f1_low",
    "f1_high",
    "anomaly_precision",
    "anomaly_recall",
    "false_alarm_rate",
    "anomaly_threshold",
];

/// What the score of an example is; higher is more anomalous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Score {
    /// Mean squared error over observed features.
    ReconstructionError,
    /// The negative of the importance weighted bound on the log-likelihood, the negative ELBO for one sample; where the model has one.
    Likelihood,
    /// Mahalanobis distance of the code from the codes of the training examples.
    LatentDensity,
}

impl Score {
    fn name(self) -> &'static str {
        match self {
            Score::ReconstructionError => "reconstruction_error",
            Score::Likelihood => "likelihood",
            Score::LatentDensity => "latent_density",
        }
    }

    /// What stands behind a metric's name.
    fn suffix(self) -> String {
        if self == Score::ReconstructionError { String::new() } else { format!("@{}", self.name()) }
    }
}

/// Anomaly detection: AUROC, average precision and F1 of the model's scores and of PCA's, with intervals, curves and tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Anomaly {
    /// Classes that are normal, by name or number; those that the data are trained on by `normal_classes` when absent.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "at_least_one_class")]
    normal: Option<Vec<ClassRef>>,
    /// The scores to measure.
    #[serde(deserialize_with = "at_least_one")]
    scores: Vec<Score>,
    /// How the threshold follows from scores of normal validation examples.
    threshold: ThresholdRule,
    /// Samples of the code per example for the score `likelihood`; 1 for the negative ELBO.
    num_samples: NonZeroU32,
    /// Whether PCA is measured beside the model; not where values are missing.
    pca: bool,
    /// Components of that PCA; the model's code size when absent. Its metrics are then called `pca_auroc@20_components`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pca_components: Option<NonZeroU32>,
    /// Bootstrap samples for the intervals of average precision and F1.
    num_resamples: NonZeroU32,
    /// Whether a table of the scores of every test example is written.
    save_scores: bool,
    /// Greatest tolerance of `vus_pr` in time steps, for series whose anomalous points are known.
    max_buffer: u32,
}

impl Default for Anomaly {
    fn default() -> Self {
        let number = |value| NonZeroU32::new(value).expect("it is not 0");
        Self {
            normal: None,
            scores: vec![Score::ReconstructionError],
            threshold: ThresholdRule::default(),
            num_samples: number(16),
            pca: true,
            pca_components: None,
            num_resamples: number(1000),
            save_scores: false,
            max_buffer: 16,
        }
    }
}

fn at_least_one_class<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<ClassRef>>, D::Error> {
    let classes = Option::<Vec<ClassRef>>::deserialize(deserializer)?;
    if classes.as_ref().is_some_and(Vec::is_empty) {
        return Err(serde::de::Error::custom(
            "`normal` is empty; name one class or more, or leave it out for the `normal_classes` of the data",
        ));
    }
    Ok(classes)
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Score>, D::Error> {
    let scores = Vec::<Score>::deserialize(deserializer)?;
    if scores.is_empty() {
        return Err(serde::de::Error::custom("expected one score or more: `reconstruction_error`, `likelihood`, `latent_density`"));
    }
    if let Some(twice) = scores.iter().enumerate().find(|(index, score)| scores[..*index].contains(score)) {
        return Err(serde::de::Error::custom(format!("`{}` is there twice", twice.1.name())));
    }
    Ok(scores)
}

/// Test examples of both kinds and normal validation examples.
struct Kinds {
    normal: Vec<u32>,
    /// Of each test example.
    is_anomaly: Vec<bool>,
    /// Of each validation example.
    is_valid_normal: Vec<bool>,
}

impl Kinds {
    /// Scores of normal test examples, of anomalies and of normal validation examples.
    fn split(&self, scores: &Scores) -> [Vec<f64>; 3] {
        let of = |scores: &[f64], flags: &[bool], wanted: bool| -> Vec<f64> {
            scores.iter().zip(flags).filter(|(_, flag)| **flag == wanted).map(|(&score, _)| score).collect()
        };
        [
            of(&scores.test, &self.is_anomaly, false),
            of(&scores.test, &self.is_anomaly, true),
            of(&scores.valid, &self.is_valid_normal, true),
        ]
    }
}

/// One score of one detector: what the pictures and tables are made of.
struct Detector {
    /// As in tables: `reconstruction_error`, `pca`.
    name: String,
    /// As in legends.
    caption: String,
    scores: Scores,
    normal: Vec<f64>,
    anomalies: Vec<f64>,
    threshold: Option<f64>,
}

impl Measure for Anomaly {
    const NAME: &'static str = "anomaly";
    const DISPLAY_ONLY: &'static [&'static str] = &["save_scores"];
    const SUMMARY: &'static str = "anomaly detection with one or more classes as normal: AUROC, average precision, F1 at a threshold, with PCA beside it; asked for by name only";
    const NEEDS: &'static str = "data with classes";

    fn applies(&self, data: &DataSpec) -> bool {
        data.num_classes.is_some()
    }

    fn check(&self, data: &DataSpec, class_names: &dyn Fn() -> Option<Vec<String>>) -> Result<(), ConfigError> {
        let num_features = data.num_features();
        if let Some(num) = self.pca_components.filter(|num| self.pca && num.get() as usize >= num_features) {
            let message = format!(
                "PCA with {num} components reconstructs every example of {num_features} features exactly, so that its error tells nothing; \
                 ask for fewer, or set `pca: false`"
            );
            return Err(ConfigError::new("pca_components", message));
        }
        let (Some(classes), Some(_)) = (&self.normal, data.num_classes) else { return Ok(()) };
        let Some(names) = class_names() else { return Ok(()) };
        for (index, class) in classes.iter().enumerate() {
            class.resolve(&names).map_err(|message| ConfigError::new(format!("normal[{index}]"), message))?;
        }
        match ClassRef::resolve_all(classes, &names) {
            Ok(normal) if normal.len() == names.len() => {
                Err(ConfigError::new("normal", format!("all {} classes are called normal, so that nothing is an anomaly", names.len())))
            }
            _ => Ok(()),
        }
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        if data.num_classes.is_none() {
            return Vec::new();
        }
        let mut names: Vec<String> = self.scores.iter().flat_map(|score| NAMES.map(|name| format!("{name}{}", score.suffix()))).collect();
        if self.pca && data.num_features() <= MAX_PCA_SIDE {
            names.extend(NAMES.map(|name| format!("pca_{name}{}", self.pca_suffix())));
        }
        if data.event_shape.len() == 2 && self.scores.contains(&Score::ReconstructionError) {
            names.push("vus_pr".to_owned());
        }
        names
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let mut outcome = Outcome::default();
        let Some(kinds) = self.kinds(context, &mut outcome.warnings)? else { return Ok(outcome) };
        let mut features = FeatureErrors::new(context.test.spec().num_features(), &kinds.is_anomaly);
        let mut detectors = Vec::new();
        for &score in &self.scores {
            let scores = match score {
                Score::ReconstructionError if context.model.decodes_by_class_only() => {
                    let why = "the model decodes an example by its class only, and whoever is told the class is told what is an anomaly";
                    outcome.warnings.push(format!("`anomaly` has no score `reconstruction_error`: {why}"));
                    None
                }
                Score::ReconstructionError => {
                    if let Some(volume) = self.volume(context)? {
                        outcome.measurements.push(Measurement::new("vus_pr", volume)?);
                    }
                    Some(Scores::of_reconstruction(context, &mut features)?)
                }
                Score::Likelihood => Scores::of_likelihood(context, self.num_samples.get() as usize)?,
                Score::LatentDensity => Scores::of_codes(context, &mut outcome.warnings)?,
            };
            match scores {
                Some(scores) => {
                    let caption = format!("model, {}", score.name().replace('_', " "));
                    detectors.push(self.detector("", &score.suffix(), score.name(), caption, scores, &kinds, context, &mut outcome)?);
                }
                // Beside other scores, models without a likelihood just lack it: a sweep has both kinds.
                None if self.scores == [Score::Likelihood] => {
                    outcome.warnings.push("`anomaly` has no score `likelihood`: the model has no likelihood".to_owned());
                }
                None => {}
            }
        }
        if let Some((scores, num_components)) = self.pca_scores(context, &mut outcome.warnings)? {
            let caption = format!("PCA, {num_components} components");
            detectors.push(self.detector("pca_", &self.pca_suffix(), "pca", caption, scores, &kinds, context, &mut outcome)?);
        }
        let labels = context.test.labels().unwrap_or_default();
        outcome.tables.push(per_class(&detectors, &kinds, labels, context.test.class_names()));
        if self.save_scores {
            outcome.tables.push(per_example(&detectors, &kinds, labels, context.test.class_names()));
        }
        outcome.pictures = pictures::of_detectors(&detectors);
        if detectors.iter().any(|detector| detector.name == Score::ReconstructionError.name()) {
            outcome.tables.push(features.table(context.test.feature_names()));
            outcome.pictures.extend(pictures::of_features(&features, context.test));
        }
        if let Some(first) = detectors.first() {
            outcome.pictures.extend(pictures::of_mistakes(context, first, &kinds.is_anomaly)?);
        }
        Ok(outcome)
    }
}

impl Anomaly {
    /// What stands behind the names of PCA's metrics: nothing where it has the model's code size.
    fn pca_suffix(&self) -> String {
        self.pca_components.map(|num| format!("@{num}_components")).unwrap_or_default()
    }

    /// What is normal; `None` and a warning where that is unknown or there is only one kind.
    fn kinds(&self, context: &EvaluationContext<'_>, warnings: &mut Vec<String>) -> Result<Option<Kinds>, EvaluationError> {
        let mut nothing = |why: &str| {
            warnings.push(format!("`anomaly` measures nothing: {why}"));
            Ok(None)
        };
        let Some(labels) = context.test.labels() else { return nothing("the data have no labels") };
        let normal = match &self.normal {
            Some(classes) => {
                // Planning refuses such a class where it can; here the other evaluations of the trial are worth more.
                match ClassRef::resolve_all(classes, &class_names(context.test)) {
                    Ok(normal) => normal,
                    Err(message) => return nothing(&format!("`normal`: {message}")),
                }
            }
            None => match context.test.normal_classes() {
                Some(classes) => classes.to_vec(),
                None => {
                    return nothing("no class is called normal; set `normal_classes` in `data`, or `normal` here where training sees all");
                }
            },
        };
        let is_anomaly: Vec<bool> = labels.iter().map(|label| !normal.contains(label)).collect();
        let num_anomalies = is_anomaly.iter().filter(|is_anomaly| **is_anomaly).count();
        if num_anomalies == 0 || num_anomalies == labels.len() {
            return nothing(if num_anomalies == 0 { "no test example is an anomaly" } else { "no test example is normal" });
        }
        let is_normal = |examples: &dyn Examples| -> Vec<bool> {
            examples.labels().unwrap_or_default().iter().map(|label| normal.contains(label)).collect()
        };
        let is_valid_normal = is_normal(context.valid);
        if !is_valid_normal.contains(&true) {
            warnings.push("`anomaly` has no threshold, and so no F1, precision and recall: no validation example is normal".to_owned());
        }
        let num_seen = is_normal(context.train).iter().filter(|is_normal| !**is_normal).count();
        if num_seen > 0 && context.train.normal_classes() != Some(&normal) {
            warnings.push(format!(
                "`anomaly`: {num_seen} of the {} training examples are of classes that are called anomalous here; \
                 `normal_classes` in `data` leaves them out",
                context.train.len()
            ));
        }
        Ok(Some(Kinds { normal, is_anomaly, is_valid_normal }))
    }

    /// Scores of PCA and its number of components, where it is asked for and can be had.
    fn pca_scores(&self, context: &EvaluationContext<'_>, warnings: &mut Vec<String>) -> Result<Option<(Scores, usize)>, EvaluationError> {
        let num_features = context.test.spec().num_features();
        if !self.pca || context.train.is_empty() || num_features.min(context.train.len()) > MAX_PCA_SIDE {
            return Ok(None);
        }
        if context.test.gather_mask(&[0], &mut Vec::new()) {
            warnings.push("`anomaly` has no PCA beside the model: some values are missing".to_owned());
            return Ok(None);
        }
        let num_components = self.pca_components.map_or(context.code_size, |num| num.get() as usize);
        let (pca, pca_warnings) = context.pca(Self::NAME)?;
        warnings.extend(pca_warnings.iter().cloned());
        let scores = Scores::of_pca(context, pca, num_components)?;
        if scores.valid.iter().chain(&scores.test).all(|score| *score == 0.0) {
            warnings.push(format!(
                "`anomaly` has no PCA beside the model: {num_components} components reconstruct every example of {num_features} features \
                 exactly, so that the error tells nothing; `pca_components` asks for fewer"
            ));
            return Ok(None);
        }
        Ok(Some((scores, num_components)))
    }

    /// Measures one score.
    #[expect(clippy::too_many_arguments, reason = "names and data of one detector")]
    fn detector(
        &self,
        prefix: &str,
        suffix: &str,
        name: &str,
        caption: String,
        scores: Scores,
        kinds: &Kinds,
        context: &EvaluationContext<'_>,
        outcome: &mut Outcome,
    ) -> Result<Detector, EvaluationError> {
        let [normal, anomalies, valid] = kinds.split(&scores);
        let threshold = self.threshold.threshold(&valid);
        let num_resamples = self.num_resamples.get() as usize;
        let resampled = bootstrap(&normal, &anomalies, threshold, num_resamples, &mut Draw::Anomaly.stream(context.seed));
        // Scores are finite and of both kinds: none of these is missing.
        if let (Some(area), Some(resampled)) = (auroc_interval(&normal, &anomalies), resampled) {
            let precision = resampled.average_precision;
            let mut values = vec![area.value, area.low, area.high, precision.value, precision.low, precision.high];
            if let (Some(threshold), Some(f1)) = (threshold, resampled.f1) {
                let found = classify(&normal, &anomalies, threshold);
                let false_alarms = normal.iter().filter(|score| **score > threshold).count() as f64 / normal.len() as f64;
                values.extend([f1.value, f1.low, f1.high, found.precision, found.recall, false_alarms, threshold]);
            }
            for (name, value) in NAMES.iter().zip(values) {
                outcome.measurements.push(Measurement::new(&format!("{prefix}{name}{suffix}"), value)?);
            }
        }
        Ok(Detector { name: name.to_owned(), caption, scores, normal, anomalies, threshold })
    }

    /// Mean over the test series with known anomalous points of the volume under their surface.
    fn volume(&self, context: &EvaluationContext<'_>) -> Result<Option<f64>, EvaluationError> {
        let [num_steps, num_channels] = context.test.spec().event_shape[..] else { return Ok(None) };
        let mut labels = Vec::new();
        let all: Vec<usize> = (0..context.test.len()).collect();
        if !context.test.gather_point_labels(&all, &mut labels) || labels.len() != all.len() * num_steps {
            return Ok(None);
        }
        let errors = scores::step_errors(context, num_channels)?;
        let (mut sum, mut num) = (0.0, 0usize);
        for (labels, errors) in labels.chunks_exact(num_steps.max(1)).zip(&errors) {
            // A step of which nothing was observed has no error, and is no step of the series.
            let observed = labels.iter().zip(errors).filter_map(|(label, error)| Some((*label > 0.0, (*error)?)));
            let (is_anomalous, errors): (Vec<bool>, Vec<f64>) = observed.unzip();
            if let Some(volume) = vus_pr(&is_anomalous, &errors, self.max_buffer as usize) {
                sum += volume;
                num += 1;
            }
        }
        Ok((num > 0).then(|| sum / num as f64))
    }
}

/// Names of the classes, or their numbers where they have none.
fn class_names(examples: &dyn Examples) -> Vec<String> {
    match examples.class_names() {
        Some(names) => names.to_vec(),
        None => {
            let num = examples.labels().unwrap_or_default().iter().max().map_or(0, |largest| largest + 1);
            (0..num).map(|class| class.to_string()).collect()
        }
    }
}

/// What a class is called, for a table.
fn name_of(class: u32, names: Option<&[String]>) -> Value {
    names.and_then(|names| names.get(class as usize)).map_or(Value::Null, |name| json!(name))
}

/// How well each anomalous class is told from what is normal.
fn per_class(detectors: &[Detector], kinds: &Kinds, labels: &[u32], names: Option<&[String]>) -> DataTable {
    let columns =
        ["score", "class", "name", "num_examples", "auroc", "auroc_low", "auroc_high", "average_precision", "recall", "mean_score"];
    let mut table = DataTable::new("anomaly_classes", columns);
    let mut classes: Vec<u32> = labels.iter().copied().filter(|label| !kinds.normal.contains(label)).collect();
    classes.sort_unstable();
    classes.dedup();
    for detector in detectors {
        for &class in &classes {
            let scores: Vec<f64> =
                detector.scores.test.iter().zip(labels).filter(|(_, label)| **label == class).map(|(&score, _)| score).collect();
            let area = auroc_interval(&detector.normal, &scores);
            let recall = detector.threshold.map(|threshold| classify(&detector.normal, &scores, threshold).recall);
            table.push([
                json!(detector.name),
                json!(class),
                name_of(class, names),
                json!(scores.len()),
                json!(area.map(|area| area.value)),
                json!(area.map(|area| area.low)),
                json!(area.map(|area| area.high)),
                json!(average_precision(&detector.normal, &scores)),
                json!(recall),
                json!(scores.iter().sum::<f64>() / scores.len() as f64),
            ]);
        }
    }
    table
}

/// Every score of every test example.
fn per_example(detectors: &[Detector], kinds: &Kinds, labels: &[u32], names: Option<&[String]>) -> DataTable {
    let columns = ["example", "class", "name", "is_anomaly"].into_iter().chain(detectors.iter().map(|detector| detector.name.as_str()));
    let mut table = DataTable::new("anomaly_scores", columns);
    for (example, (label, is_anomaly)) in labels.iter().zip(&kinds.is_anomaly).enumerate() {
        let scores = detectors.iter().map(|detector| json!(detector.scores.test[example]));
        table.push([json!(example), json!(label), name_of(*label, names), json!(is_anomaly)].into_iter().chain(scores));
    }
    table
}
