//! `dimension_reduction`: what a code keeps of neighbourhoods and of classes.

use std::num::NonZeroU32;

use aelab_core::DataSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::linear_probe::{OF_EACH, has_classes, prefixes, probe};
use crate::baseline_cache::cached;
use crate::metric::info::{MetricInfo, SQUARED_UNITS, higher, neutral};
use crate::pass::Draw;
use crate::registry::Measure;
use crate::representation::{Representation, Representations, first_labels};
use crate::t_sne::{Map, t_sne};
use crate::{
    EvaluationContext, EvaluationError, Measurement, Outcome, Picture, PictureContent, adjusted_rand_index, continuity, k_means,
    k_nearest_accuracy, nearest_neighbours, normalized_mutual_information, trustworthiness,
};

/// The metrics of this evaluation beside those of the linear probe.
pub(crate) const METRICS: &[MetricInfo] = &[
    higher(
        "trustworthiness",
        "",
        "1 less what neighbours among the codes cost that are none among the examples (Venna & Kaski 2001, Eq. 3), for the k nearest (10 by default) of the first test \
         examples (2,000 by default); Euclidean, equally near ones in their order",
    )
    .headline()
    .version(2),
    higher("continuity", "", "the same with codes and examples exchanged (Eq. 4): neighbours among the examples that are none among the codes").version(2),
    higher(
        "knn_accuracy",
        "",
        "share of the first test examples (10,000 by default) whose class is that of most of the k nearest (5 by default) of the codes of the first training \
         examples (10,000 by default); Euclidean, equally near ones in their order, the smallest of equally frequent classes",
    )
    .headline()
    .version(2),
    neutral("kmeans_inertia", SQUARED_UNITS, "squared distance of those test codes to the nearest of as many centres as there are classes, mean; kMeans, best of 10 starts").version(2),
    higher(
        "kmeans_nmi",
        "",
        "mutual information of those groups and the classes, divided by the mean of their entropies",
    )
    .headline()
    .version(2),
    higher("kmeans_ari", "", "Rand index of those groups and the classes, corrected for chance (Hubert & Arabie 1985)").version(2),
    higher("pca_trustworthiness", "", "`trustworthiness` of the codes of PCA with as many components as the model's code has dimensions"),
    higher("pca_continuity", "", "`continuity` of those codes"),
    higher("pca_knn_accuracy", "", "`knn_accuracy` of those codes"),
    neutral("pca_kmeans_inertia", SQUARED_UNITS, "`kmeans_inertia` of those codes"),
    higher("pca_kmeans_nmi", "", "`kmeans_nmi` of those codes"),
    higher("pca_kmeans_ari", "", "`kmeans_ari` of those codes"),
    higher("raw_knn_accuracy", "", "`knn_accuracy` of the features themselves in place of codes"),
];

/// Starts of kMeans.
const NUM_STARTS: usize = 10;

/// Neighbourhoods, votes of neighbours, a linear probe and clusters of the codes, beside the same of PCA codes; maps of both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DimensionReduction {
    /// Training examples that vote and that the probe is fitted on, from the first on.
    num_train: NonZeroU32,
    /// Test examples that are classified and clustered, from the first on.
    num_test: NonZeroU32,
    /// Test examples whose neighbourhoods are compared, from the first on: all pairs of them.
    num_neighbourhoods: NonZeroU32,
    /// Size of these neighbourhoods: less than half of the examples.
    trustworthiness_k: NonZeroU32,
    /// How many neighbours vote.
    knn_k: NonZeroU32,
    /// How little a coefficient of the linear probe costs, see `linear_probe`.
    #[serde(deserialize_with = "super::linear_probe::positive")]
    c: f64,
    /// Test examples in the pictures, from the first on; 0 for no pictures.
    num_shown: u32,
    /// Perplexity of t-SNE: about how many neighbours each point of the map keeps near. Smaller where there are few points.
    #[serde(deserialize_with = "perplexity")]
    perplexity: f64,
}

impl Default for DimensionReduction {
    fn default() -> Self {
        let number = |value| NonZeroU32::new(value).expect("it is not 0");
        Self {
            num_train: number(10_000),
            num_test: number(10_000),
            num_neighbourhoods: number(2000),
            trustworthiness_k: number(10),
            knn_k: number(5),
            c: 1.0,
            num_shown: 2000,
            perplexity: 30.0,
        }
    }
}

/// A finite number, at least 1: below, not even one neighbour is kept.
fn perplexity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value.is_finite() && value >= 1.0 {
        Ok(value)
    } else {
        Err(serde::de::Error::custom(format!("expected a number of at least 1, not {value}")))
    }
}

impl Measure for DimensionReduction {
    const NAME: &'static str = "dimension_reduction";
    const DISPLAY_ONLY: &'static [&'static str] = &["num_shown", "perplexity"];
    const SUMMARY: &'static str =
        "neighbourhoods, kNN, linear probe and kMeans of the codes, beside PCA; maps by t-SNE and PCA; asked for by name only";

    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        let mut names = Vec::new();
        for prefix in prefixes(data) {
            if *prefix != "raw_" {
                names.extend(["trustworthiness", "continuity"].map(|name| format!("{prefix}{name}")));
            }
            if has_classes(data) {
                names.push(format!("{prefix}knn_accuracy"));
                names.extend(OF_EACH.map(|name| format!("{prefix}{name}")));
                if *prefix != "raw_" {
                    names.extend(["kmeans_inertia", "kmeans_nmi", "kmeans_ari"].map(|name| format!("{prefix}{name}")));
                }
            }
        }
        names
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        let (num_train, num_test) = (self.num_train.get() as usize, self.num_test.get() as usize);
        let most = num_test.max(self.num_neighbourhoods.get() as usize).max(self.num_shown as usize);
        let mut all = Representations::of_first(context, Self::NAME, num_train, most)?;
        let mut outcome = Outcome { warnings: std::mem::take(&mut all.warnings), ..Outcome::default() };
        self.push_pictures(context, &all, &mut outcome)?;
        let labels = first_labels(context, Self::NAME, num_train, num_test);
        for representation in all.all() {
            let is_code = representation.prefix != all.raw.prefix;
            if is_code {
                self.push_neighbourhoods(representation, &all.raw, &mut outcome)?;
            }
            let Ok(labels) = labels else { continue };
            let mut representation = representation.clone();
            representation.test.truncate(num_test * representation.size);
            let Representation { prefix, size, train, test, .. } = &representation;
            let k = self.knn_k.get() as usize;
            if k <= labels.0.len() {
                let accuracy = cached(context, &format!("kNN accuracy, version 1, k {k}"), &representation, labels, || {
                    k_nearest_accuracy(&nearest_neighbours(test, train, *size, k, false), labels.0, labels.1)
                });
                outcome.measurements.push(Measurement::new(&format!("{prefix}knn_accuracy"), accuracy)?);
            }
            probe(context, &representation, labels, None, self.c).report(prefix, "", &mut outcome)?;
            if is_code {
                push_clusters(context, &representation, labels.1, &mut outcome)?;
            }
        }
        match labels {
            Ok((train, _)) if self.knn_k.get() as usize > train.len() => outcome.warnings.push(format!(
                "`knn_accuracy` is not measured: {} neighbours are asked for, and only {} training examples vote",
                self.knn_k,
                train.len()
            )),
            Ok(_) => {}
            Err(warning) => outcome.warnings.push(warning),
        }
        Ok(outcome)
    }
}

impl DimensionReduction {
    fn push_neighbourhoods(&self, codes: &Representation, raw: &Representation, outcome: &mut Outcome) -> Result<(), EvaluationError> {
        let (num, k) = (self.num_neighbourhoods.get() as usize, self.trustworthiness_k.get() as usize);
        let first = |of: &Representation| of.test[..of.test.len().min(num * of.size)].to_vec();
        let (x, z) = (first(raw), first(codes));
        for (name, measure) in
            [("trustworthiness", trustworthiness as fn(&[f32], usize, &[f32], usize, usize) -> Option<f64>), ("continuity", continuity)]
        {
            let name = format!("{}{name}", codes.prefix);
            match measure(&x, raw.size, &z, codes.size, k) {
                Some(value) => outcome.measurements.push(Measurement::new(&name, value)?),
                None => outcome.warnings.push(format!(
                    "`{name}` is not measured: neighbourhoods of {k} have to be less than half of the {} test examples",
                    x.len() / raw.size
                )),
            }
        }
        Ok(())
    }

    fn push_pictures(&self, context: &EvaluationContext<'_>, all: &Representations, outcome: &mut Outcome) -> Result<(), EvaluationError> {
        let num = (self.num_shown as usize).min(all.raw.test.len() / all.raw.size.max(1));
        if num == 0 {
            return Ok(());
        }
        let scatter = |name: &str, title: String, points: Vec<[f32; 2]>, axes: [&str; 2]| {
            let labels = context.test.labels().map(|labels| labels[..num].to_vec());
            let class_names = context.test.class_names().map(<[String]>::to_vec);
            Picture::new(name, title, PictureContent::Scatter { points, labels, class_names, axes: axes.map(str::to_owned) })
        };
        let codes = &all.codes;
        let mut stream = Draw::Projection.stream(context.seed);
        match t_sne(&codes.test[..num * codes.size], codes.size, self.perplexity, &mut stream)? {
            Some(Map { points, perplexity }) => {
                let title = format!("t-SNE of test codes, perplexity {perplexity}");
                outcome.pictures.push(scatter("t_sne", title, points, ["t-SNE 1", "t-SNE 2"]));
            }
            None => outcome.warnings.push("there is no t-SNE of the codes: they are all the same, or fewer than four".to_owned()),
        }
        if all.pca.is_some() {
            let (pca, _) = context.pca(Self::NAME)?;
            if pca.eigenvalues().len() >= 2 {
                let codes = pca.encode(&all.raw.test[..num * all.raw.size], 2);
                let points = codes.as_chunks::<2>().0.iter().map(|point| point.map(|value| value as f32)).collect();
                let axes = ["principal component 1", "principal component 2"];
                let title = "test examples along the first two principal components of the data".to_owned();
                outcome.pictures.push(scatter("pca_scatter", title, points, axes));
            }
        }
        Ok(())
    }
}

fn push_clusters(
    context: &EvaluationContext<'_>,
    codes: &Representation,
    labels: &[u32],
    outcome: &mut Outcome,
) -> Result<(), EvaluationError> {
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let found = k_means(&codes.test, codes.size, classes.len(), NUM_STARTS, &mut Draw::Clustering.stream(context.seed));
    if !found.converged {
        outcome.warnings.push(format!("`{}kmeans_nmi`: kMeans did not come to rest", codes.prefix));
    }
    for (name, value) in [
        ("kmeans_inertia", found.inertia / labels.len() as f64),
        ("kmeans_nmi", normalized_mutual_information(labels, &found.groups)),
        ("kmeans_ari", adjusted_rand_index(labels, &found.groups)),
    ] {
        outcome.measurements.push(Measurement::new(&format!("{}{name}", codes.prefix), value)?);
    }
    Ok(())
}
