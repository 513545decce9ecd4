//! `disentanglement`: whether single dimensions of the code stand for single factors that the data were made of.

use std::num::NonZeroU32;

use aelab_core::{DataSpec, Examples, Factors, Stream, draw_positions};
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::metric::dci::Dci;
use crate::metric::explicitness::explicitness;
use crate::metric::factor_codes::{FactorCodes, SharedFactors, compact};
use crate::metric::fixed_factor::{active_dimensions, beta_vae_score, factor_vae_score};
use crate::metric::info::{MetricInfo, higher};
use crate::metric::mutual_information::{factor_entropies, mig, modularity, mutual_information};
use crate::metric::sap::{linear_accuracies, sap, squared_correlations};
use crate::pass::{Draw, Rows, chunk_rows};
use crate::registry::Measure;
use crate::{DataTable, EvaluationContext, EvaluationError, MAX_PCA_SIDE, Measurement, Outcome, Picture, PictureContent};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    higher(
        "beta_vae_score",
        "",
        "accuracy of a logistic regression of the factor that 64 pairs of examples share on the mean absolute difference of their codes (Higgins et al. 2017)",
    ).version(2),
    higher(
        "factor_vae_score",
        "",
        "accuracy of a majority vote: of 64 examples that share a factor, the dimension of least relative variance names it (Kim & Mnih 2018)",
    )
    .headline()
    .version(2),
    higher(
        "mig",
        "",
        "mutual information gap: information of the best dimension about a factor less that of the second, per entropy of the factor, mean over factors (Chen et al. 2018); dimensions in bins of equal width, training examples",
    )
    .headline()
    .version(2),
    higher(
        "dci_disentanglement",
        "",
        "one less the relative entropy over factors of the importance of a dimension, weighted with its importance (Eastwood & Williams 2018); Gini importances of bagged decision trees",
    )
    .headline()
    .version(2),
    higher("dci_completeness", "", "one less the relative entropy over dimensions of their importance for a factor, of the same trees").version(2),
    higher("dci_informativeness", "", "share of test examples whose factor those trees tell, mean over factors").version(2),
    higher(
        "sap",
        "",
        "separated attribute predictability: accuracy of a linear support vector classifier of a factor from its best dimension less that from the second, mean over factors (Kumar et al. 2018)",
    )
    .headline()
    .version(2),
    higher("sap_r2", "", "the same of the squared correlation of a dimension with the number of the factor's value, for ordered factors; training examples").version(2),
    higher(
        "modularity",
        "",
        "one less the squared information of a dimension about all but its best factor, relative to that about the best, mean over dimensions (Ridgeway & Mozer 2018); information as for `mig`",
    ).version(2),
    higher(
        "explicitness",
        "",
        "area under the ROC curve of each value of a factor against the others by logistic regression on standardised codes, mean over values and factors (Ridgeway & Mozer 2018)",
    ).version(2),
    higher("pca_beta_vae_score", "", "`beta_vae_score` of the codes of PCA with as many components as the code has dimensions"),
    higher("pca_factor_vae_score", "", "`factor_vae_score` of that PCA"),
    higher("pca_mig", "", "`mig` of that PCA"),
    higher("pca_dci_disentanglement", "", "`dci_disentanglement` of that PCA"),
    higher("pca_dci_completeness", "", "`dci_completeness` of that PCA"),
    higher("pca_dci_informativeness", "", "`dci_informativeness` of that PCA"),
    higher("pca_sap", "", "`sap` of that PCA"),
    higher("pca_sap_r2", "", "`sap_r2` of that PCA"),
    higher("pca_modularity", "", "`modularity` of that PCA"),
    higher("pca_explicitness", "", "`explicitness` of that PCA"),
];

/// A score, or scores that come from the same fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Score {
    /// `beta_vae_score`.
    BetaVae,
    /// `factor_vae_score`.
    FactorVae,
    /// `mig`.
    Mig,
    /// `dci_disentanglement`, `dci_completeness`, `dci_informativeness`.
    Dci,
    /// `sap`, `sap_r2`.
    Sap,
    /// `modularity`.
    Modularity,
    /// `explicitness`.
    Explicitness,
}

impl Score {
    const ALL: [Self; 7] = [Self::BetaVae, Self::FactorVae, Self::Mig, Self::Dci, Self::Sap, Self::Modularity, Self::Explicitness];

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::BetaVae => &["beta_vae_score"],
            Self::FactorVae => &["factor_vae_score"],
            Self::Mig => &["mig"],
            Self::Dci => &["dci_disentanglement", "dci_completeness", "dci_informativeness"],
            Self::Sap => &["sap", "sap_r2"],
            Self::Modularity => &["modularity"],
            Self::Explicitness => &["explicitness"],
        }
    }

    /// Numbers of its own: leaving a score out changes no other. Trees take the numbers from 1.
    fn stream(self, stream: &Stream) -> Stream {
        let mut stream = stream.clone();
        stream.set_stream((1 << 32) + self as u64);
        stream
    }
}

/// Scores of disentanglement, on data whose factors of variation are known, beside those of PCA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Disentanglement {
    /// Which scores to measure.
    #[serde(deserialize_with = "different")]
    scores: Vec<Score>,
    /// Training examples that scores are computed from and classifiers fitted on, drawn where there are more; and training votes or
    /// points of the two scores that hold a factor fixed.
    num_train: NonZeroU32,
    /// Test examples that classifiers are tested on, drawn where there are more; and test votes or points.
    num_test: NonZeroU32,
    /// Bins of equal width that each dimension is cut into for `mig` and `modularity`; at most 10,000.
    #[serde(deserialize_with = "bins")]
    #[schemars(range(max = 10_000))]
    num_bins: NonZeroU32,
    /// Trees for each factor of `dci`.
    num_trees: NonZeroU32,
    /// Most splits from the root of a tree to a leaf.
    tree_depth: NonZeroU32,
    /// Dimensions with a smaller standard deviation do not vote in `factor_vae`: they are collapsed.
    #[serde(deserialize_with = "deviation")]
    min_deviation: f64,
    /// Whether to measure PCA with as many components as the code has dimensions, too.
    pca: bool,
}

impl Default for Disentanglement {
    fn default() -> Self {
        let number = |value| NonZeroU32::new(value).expect("it is not 0");
        Self {
            scores: Score::ALL.to_vec(),
            num_train: number(10_000),
            num_test: number(5000),
            num_bins: number(20),
            num_trees: number(10),
            tree_depth: number(8),
            min_deviation: 0.05,
            pca: true,
        }
    }
}

fn different<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Score>, D::Error> {
    let found = Vec::<Score>::deserialize(deserializer)?;
    if found.is_empty() {
        return Err(D::Error::custom("expected at least one score"));
    }
    match found.iter().enumerate().find(|(at, score)| found[..*at].contains(score)) {
        Some((_, score)) => Err(D::Error::custom(format!("{} stands twice, expected different scores", json!(score)))),
        None => Ok(found),
    }
}

/// More bins than examples tell nothing, and each needs room for every value of every factor.
const MAX_BINS: u32 = 10_000;

fn bins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU32, D::Error> {
    let found = NonZeroU32::deserialize(deserializer)?;
    if found.get() <= MAX_BINS { Ok(found) } else { Err(D::Error::custom(format!("expected at most {MAX_BINS} bins, not {found}"))) }
}

fn deviation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let found = f64::deserialize(deserializer)?;
    if found.is_finite() && found >= 0.0 {
        Ok(found)
    } else {
        Err(D::Error::custom(format!("{found} is no standard deviation, expected 0 or more")))
    }
}

/// Some examples of a split and what they were made of.
struct Chosen {
    /// `[example]`, positions in the split.
    positions: Vec<usize>,
    /// `[example, factor]`, of the factors that vary.
    factors: Vec<u32>,
}

/// What was measured of one kind of codes.
struct Scores {
    values: Vec<(&'static str, f64)>,
    /// `[latent, factor]`, of training examples.
    information: Vec<f64>,
    entropies: Vec<f64>,
    dci: Option<Dci>,
    /// `[latent, factor]`.
    accuracies: Option<Vec<f64>>,
    /// `[factor]`.
    explicitness: Option<Vec<Option<f64>>>,
}

impl Measure for Disentanglement {
    const NAME: &'static str = "disentanglement";
    const SUMMARY: &'static str =
        "whether dimensions of the code stand for the factors that the data were made of, where these are known; PCA beside it";

    /// Whether factors are known is not part of a specification.
    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        let names = |prefix: &'static str| {
            self.scores.iter().flat_map(|score| score.names()).map(move |name| format!("{prefix}{name}")).collect::<Vec<_>>()
        };
        // Of fewer examples than that there may be a PCA of more features: then it comes on top.
        if self.pca && data.num_features() <= MAX_PCA_SIDE { [names(""), names("pca_")].concat() } else { names("") }
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let mut outcome = Outcome::default();
        let mut nothing = |why: &str| {
            outcome.warnings.push(format!("`disentanglement` measures nothing: {why}"));
            Ok(std::mem::take(&mut outcome))
        };
        let (Some(train), Some(test)) = (context.train.factors(), context.test.factors()) else {
            return nothing("what the examples were made of is not known; `sprites` knows it");
        };
        if context.train.is_empty() {
            return Err(EvaluationError::EmptySplit { evaluation: Self::NAME, split: "training" });
        }
        let stream = Draw::Disentanglement.stream(context.seed);
        let (train_positions, test_positions) = self.positions(context, stream.clone());
        let varies = |factor: &usize| {
            let of = |factors: &Factors, positions: &[usize]| {
                let values: Vec<u32> = positions.iter().map(|&position| factors.of(position)[*factor]).collect();
                compact(&values).1.len() > 1
            };
            of(train, &train_positions) && of(test, &test_positions)
        };
        let (varying, constant): (Vec<usize>, Vec<usize>) = (0..train.names.len()).partition(varies);
        if varying.is_empty() {
            return nothing("no factor takes two values in the training and in the test split");
        }
        let train_codes = context.train_codes(Self::NAME)?;
        let test_codes = context.test_codes(Self::NAME)?;
        if train_codes.size == 0 {
            return nothing("the code has no dimensions");
        }
        if !constant.is_empty() {
            let names: Vec<&str> = constant.iter().map(|&factor| train.names[factor].as_str()).collect();
            outcome.warnings.push(format!("`disentanglement` leaves out what takes one value only: {}", names.join(", ")));
        }
        let chosen = |factors: &Factors, positions: Vec<usize>| {
            let values = positions.iter().flat_map(|&position| varying.iter().map(move |&factor| factors.of(position)[factor])).collect();
            Chosen { positions, factors: values }
        };
        let (train_part, test_part) = (chosen(train, train_positions), chosen(test, test_positions));
        let num_factors = varying.len();
        let gather = |codes: &crate::codes::Codes, part: &Chosen| -> Vec<f32> {
            part.positions.iter().flat_map(|&position| codes.row(position)).copied().collect()
        };
        let (of_train, of_test) = (gather(train_codes, &train_part), gather(test_codes, &test_part));
        let size = train_codes.size;
        let train_data = FactorCodes::new(&of_train, size, &train_part.factors, num_factors);
        let test_data = FactorCodes::new(&of_test, size, &test_part.factors, num_factors);
        let holds_fixed = self.scores.iter().any(|score| matches!(score, Score::BetaVae | Score::FactorVae));
        if holds_fixed && [&train_data, &test_data].into_iter().any(|data| SharedFactors::of(data).has_singles()) {
            let warning = "some values of factors belong to one example only, so that no other shares them: \
                           the beta-VAE score and the FactorVAE score mean little on so few examples";
            outcome.warnings.push(warning.to_owned());
        }
        let names: Vec<String> = varying.iter().map(|&factor| train.names[factor].clone()).collect();
        let scores = self.of_codes(&train_data, &test_data, &stream);
        self.report(&mut outcome, &train_data, &scores, &names)?;
        let num_features = context.train.spec().num_features();
        if let Some(reason) = context.pca_impossible().filter(|_| self.pca) {
            outcome.warnings.push(format!("`disentanglement` has no PCA beside the model: {reason}"));
        }
        if self.pca && context.has_pca() {
            let (pca, warnings) = context.pca(Self::NAME)?;
            outcome.warnings.extend(warnings.iter().cloned());
            let size = size.min(pca.eigenvalues().len());
            let encode = |examples: &dyn Examples, draw: Draw, part: &Chosen| -> Vec<f32> {
                let mut stream = draw.stream(context.seed);
                let mut codes = Vec::with_capacity(part.positions.len() * size);
                for positions in part.positions.chunks(chunk_rows(num_features)) {
                    let rows = Rows::gather(examples, positions, &mut stream);
                    codes.extend(pca.encode(&rows.values, size).into_iter().map(|value| value as f32));
                }
                codes
            };
            if size > 0 {
                let of_train = encode(context.train, Draw::Train, &train_part);
                let of_test = encode(context.test, Draw::Test, &test_part);
                let train_data = FactorCodes::new(&of_train, size, &train_part.factors, num_factors);
                let test_data = FactorCodes::new(&of_test, size, &test_part.factors, num_factors);
                for (name, value) in self.of_codes(&train_data, &test_data, &stream).values {
                    outcome.measurements.push(Measurement::new(&format!("pca_{name}"), value)?);
                }
            }
        }
        Ok(outcome)
    }
}

impl Disentanglement {
    /// Which examples of the training and of the test split are used: all in their order where they are not too many.
    fn positions(&self, context: &EvaluationContext<'_>, mut stream: Stream) -> (Vec<usize>, Vec<usize>) {
        let mut some = |num: NonZeroU32, len: usize| {
            let num = num.get() as usize;
            if num < len { draw_positions(&mut stream, num, len) } else { (0..len).collect() }
        };
        (some(self.num_train, context.train.len()), some(self.num_test, context.test.len()))
    }

    fn of_codes(&self, train: &FactorCodes<'_>, test: &FactorCodes<'_>, stream: &Stream) -> Scores {
        let numbers = [self.num_train.get() as usize, self.num_test.get() as usize];
        let information = mutual_information(train, self.num_bins.get() as usize);
        let entropies = factor_entropies(train);
        let mut scores = Scores { values: Vec::new(), information, entropies, dci: None, accuracies: None, explicitness: None };
        for score in &self.scores {
            let mut stream = score.stream(stream);
            let values = match score {
                Score::BetaVae => vec![beta_vae_score(train, test, numbers, &mut stream)],
                Score::FactorVae => {
                    vec![factor_vae_score(train, test, &active_dimensions(train, self.min_deviation), numbers, &mut stream)]
                }
                Score::Mig => vec![mig(&scores.information, &scores.entropies)],
                Score::Dci => {
                    let (num_trees, depth) = (self.num_trees.get() as usize, self.tree_depth.get() as usize);
                    let dci = scores.dci.insert(Dci::fit(train, test, num_trees, depth, &stream));
                    vec![dci.disentanglement(), dci.completeness(), dci.informativeness()]
                }
                Score::Sap => {
                    let accuracies = scores.accuracies.insert(linear_accuracies(train, test));
                    vec![sap(accuracies, train.num_factors()), sap(&squared_correlations(train), train.num_factors())]
                }
                Score::Modularity => vec![modularity(&scores.information, train.num_factors())],
                Score::Explicitness => {
                    let of_factors = scores.explicitness.insert(explicitness(train, test));
                    let areas: Vec<f64> = of_factors.iter().flatten().copied().collect();
                    // No value of the training split in the test split: nothing is told.
                    vec![if areas.is_empty() { 0.5 } else { areas.iter().sum::<f64>() / areas.len() as f64 }]
                }
            };
            scores.values.extend(score.names().iter().copied().zip(values));
        }
        scores
    }

    /// Numbers, warnings, tables and pictures of the model's own codes.
    fn report(&self, outcome: &mut Outcome, train: &FactorCodes<'_>, scores: &Scores, names: &[String]) -> Result<(), EvaluationError> {
        for (name, value) in &scores.values {
            outcome.measurements.push(Measurement::new(name, *value)?);
        }
        let (size, num_factors) = (train.code_size(), names.len());
        let active = active_dimensions(train, self.min_deviation);
        let num_active = active.iter().filter(|active| **active).count();
        if num_active < size && self.scores.contains(&Score::FactorVae) {
            outcome.warnings.push(format!(
                "{} of {size} dimensions have a standard deviation below {} and do not vote in the FactorVAE score",
                size - num_active,
                self.min_deviation
            ));
        }
        let deviations = train.variances(&(0..train.len()).collect::<Vec<_>>());
        let correlations = squared_correlations(train);
        let columns =
            ["dimension", "deviation", "factor", "mutual_information", "relative_information", "dci_importance", "svm_accuracy", "r2"];
        let mut table = DataTable::new("disentanglement", columns);
        for at in 0..size * num_factors {
            let (latent, factor) = (at / num_factors, at % num_factors);
            table.push([
                json!(latent + 1),
                json!(deviations[latent].sqrt()),
                json!(names[factor]),
                json!(scores.information[at]),
                json!(scores.information[at] / scores.entropies[factor]),
                scores.dci.as_ref().map_or(Value::Null, |dci| json!(dci.importances[at])),
                scores.accuracies.as_ref().map_or(Value::Null, |accuracies| json!(accuracies[at])),
                json!(correlations[at]),
            ]);
        }
        let mut of_factors = DataTable::new("disentanglement_factors", ["factor", "entropy", "dci_accuracy", "explicitness"]);
        for (factor, name) in names.iter().enumerate() {
            of_factors.push([
                json!(name),
                json!(scores.entropies[factor]),
                scores.dci.as_ref().map_or(Value::Null, |dci| json!(dci.accuracies[factor])),
                scores.explicitness.as_ref().map_or(Value::Null, |explicitness| json!(explicitness[factor])),
            ]);
        }
        outcome.tables.extend([table, of_factors]);
        let heatmap = |name: &str, title: &str, values: Vec<f64>, quantity: &str| {
            let rows = (1..=size).map(|latent| format!("z{latent}")).collect();
            let axes = ["dimension of the code".to_owned(), "factor".to_owned(), quantity.to_owned()];
            Picture::new(name, title, PictureContent::Heatmap { rows, columns: names.to_vec(), values, axes })
        };
        let relative = scores.information.iter().enumerate().map(|(at, value)| value / scores.entropies[at % num_factors]).collect();
        outcome.pictures.push(heatmap(
            "mutual_information",
            "what each dimension tells of each factor",
            relative,
            "mutual information / entropy of the factor",
        ));
        if let Some(dci) = &scores.dci {
            let title = "how much each dimension matters for telling each factor";
            outcome.pictures.push(heatmap("dci_importances", title, dci.importances.clone(), "share of the Gini importance"));
        }
        Ok(())
    }
}
