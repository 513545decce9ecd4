//! `cross_domain`: examples of one domain, decoded as those of another.
//!
//! For models with a decoder for each class or with a decoder that is told the class: what is encoded as an example of class `a` is
//! decoded as one of class `b`. There is no right answer to compare with, but there is a way back: encoded as an example of `b`
//! and decoded as one of `a`, it should be what it was (the cycle of Zhu, Park, Isola & Efros 2017, Eq. 2, with a squared error).
//! <https://arxiv.org/abs/1703.10593>

use std::num::NonZeroUsize;

use aelab_core::{Batch, DataSpec};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::metric::ExampleMean;
use crate::metric::info::{MetricInfo, lower, neutral};
use crate::metric::sse::squared_error;
use crate::pass::{Draw, Rows, to_labels, to_values};
use crate::registry::Measure;
use crate::{DataTable, EvaluationContext, EvaluationError, ExampleRow, Measurement, Outcome, Picture, PictureContent};

const SQUARED_UNITS: &str = "squared units/example";

pub(crate) const METRICS: &[MetricInfo] = &[
    lower(
        "cross_domain_direct_sse",
        SQUARED_UNITS,
        "squared error of examples encoded and decoded as what they are, summed over features, mean over examples",
    ),
    lower(
        "cross_domain_cycle_sse",
        SQUARED_UNITS,
        "squared error of examples of domain a, decoded as domain b, encoded as b and decoded as a again, summed over features, mean \
         over examples and domains b other than a",
    )
    .headline(),
    neutral(
        "cross_domain_change",
        SQUARED_UNITS,
        "squared difference between what a code is decoded to as domain b and as its own domain a, summed over features, mean over \
         examples and domains b other than a; 0 where the model ignores the domain",
    )
    .headline(),
];

/// Domains in the picture.
const MAX_DOMAINS_SHOWN: usize = 10;
/// Up to this many domains, two examples of each are shown, otherwise one.
const MAX_DOMAINS_SHOWN_TWICE: usize = 5;
/// Lines of a panel of series beyond this hide each other.
const MAX_SERIES_DOMAINS: usize = 5;
/// Domains in the heat map of errors.
const MAX_DOMAINS_MAPPED: usize = 30;

/// Decodes examples of each domain (class) as every other one, for models that condition on the class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CrossDomain {
    /// Test examples of each domain that are measured: the first ones, or all where there are fewer.
    num_per_domain: NonZeroUsize,
}

impl Default for CrossDomain {
    fn default() -> Self {
        Self { num_per_domain: const { NonZeroUsize::new(100).expect("100 is not 0") } }
    }
}

impl Measure for CrossDomain {
    const NAME: &'static str = "cross_domain";
    const SUMMARY: &'static str = "examples of each class decoded as every other class, and back, for models that condition on the class";
    const NEEDS: &'static str = "data with two classes or more";

    fn applies(&self, data: &DataSpec) -> bool {
        data.num_classes.is_some_and(|num| num > 1)
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        if self.applies(data) { METRICS.iter().map(|metric| metric.name.to_owned()).collect() } else { Vec::new() }
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let warn = |what: &str| Ok(Outcome { warnings: vec![format!("`{}` measured nothing: {what}", Self::NAME)], ..Outcome::default() });
        let Some(labels) = context.test.labels() else { return warn("the data has no classes, which are the domains") };
        let mut domains: Vec<u32> = labels.to_vec();
        domains.sort_unstable();
        domains.dedup();
        if domains.len() < 2 {
            return warn("the test split has a single class, and there is no other domain to decode in");
        }
        let of_domain = |domain: u32| labels.iter().enumerate().filter(move |&(_, &label)| label == domain).map(|(index, _)| index);
        let mut indices: Vec<usize> = domains.iter().flat_map(|&domain| of_domain(domain).take(self.num_per_domain.get())).collect();
        indices.sort_unstable();
        // Drawn together, so that data which are drawn anew at each access do not depend on the batches.
        let rows = Rows::gather(context.test, &indices, &mut Draw::Test.stream(context.seed));
        if rows.mask.is_some() {
            return warn("some values of the data are missing, and what is decoded in another domain has all of them");
        }
        let Some(errors) = Errors::measure(context, &rows, &domains)? else {
            return warn("the model does not condition on the class: take `multi_decoder` or `conditional_vae`");
        };
        let mut warnings = Vec::new();
        if errors.change.mean() == 0.0 {
            warnings.push(format!("`{}`: the model decodes every code alike in all domains", Self::NAME));
        }
        let values = [errors.direct.mean(), errors.cycle.mean(), errors.change.mean()];
        let measurements: Result<Vec<Measurement>, _> =
            METRICS.iter().zip(values).map(|(metric, value)| Measurement::new(metric.name, value)).collect();
        let names: Vec<String> = domains.iter().map(|&domain| name(context, domain)).collect();
        let mut pictures: Vec<Picture> = picture(context, &rows, &domains, &names)?.into_iter().collect();
        if domains.len() <= MAX_DOMAINS_MAPPED {
            let axes =
                ["domain of the example", "domain between (its own: direct)", "SSE after the way back (squared units)"].map(str::to_owned);
            let values = errors.pairs.iter().map(ExampleMean::mean).collect();
            let content = PictureContent::Heatmap { rows: names.clone(), columns: names, values, axes };
            pictures.push(Picture::new("cross_domain_errors", "errors of the way to another domain and back", content));
        }
        Ok(Outcome { measurements: measurements?, pictures, tables: vec![errors.table(context, &domains)], warnings, ..Outcome::default() })
    }
}

/// What the domain is called.
fn name(context: &EvaluationContext<'_>, domain: u32) -> String {
    context.test.class_names().and_then(|names| names.get(domain as usize)).cloned().unwrap_or_else(|| domain.to_string())
}

/// Rows `x` and their codes and decodings, in any domain.
struct Translator<'a> {
    context: &'a EvaluationContext<'a>,
}

impl Translator<'_> {
    /// What `ask` makes of the model for rows of these domains; `None` where the model does not condition on them.
    fn conditioned<T>(&self, x: Tensor<2>, domains: &[u32], ask: impl FnOnce(&dyn aelab_core::TrainedModel) -> T) -> Option<T> {
        let labels = Some(to_labels(domains, self.context.device));
        self.context.model.conditioned(&Batch { x, mask: None, labels }).map(|model| ask(&*model))
    }

    fn encode(&self, x: Tensor<2>, domains: &[u32]) -> Option<Tensor<2>> {
        self.conditioned(x.clone(), domains, |model| model.encode(x))
    }

    /// `like` has as many rows as `z`; what they are does not matter.
    fn decode(&self, z: Tensor<2>, like: &Tensor<2>, domains: &[u32]) -> Option<Tensor<2>> {
        self.conditioned(like.clone(), domains, |model| model.decode(z))
    }
}

/// Squared errors of examples.
struct Errors {
    direct: ExampleMean,
    cycle: ExampleMean,
    change: ExampleMean,
    /// By domain of the example and domain between, row after row; direct errors on the diagonal.
    pairs: Vec<ExampleMean>,
    /// Differences, in the same order; 0 on the diagonal.
    changes: Vec<ExampleMean>,
}

impl Errors {
    /// `None` for a model that does not condition on classes.
    fn measure(context: &EvaluationContext<'_>, rows: &Rows, domains: &[u32]) -> Result<Option<Self>, EvaluationError> {
        let [num, num_features] = rows.shape();
        let labels = rows.labels.as_deref().unwrap_or_default();
        let place = |domain: u32| domains.partition_point(|&other| other < domain);
        let num_pairs = domains.len() * domains.len();
        let mean = ExampleMean::default();
        let mut errors = Errors { direct: mean, cycle: mean, change: mean, pairs: vec![mean; num_pairs], changes: vec![mean; num_pairs] };
        let translator = Translator { context };
        // Of each example its errors in every domain, so that the order of summation does not depend on the batches.
        for start in (0..num).step_by(context.batch_size.max(1)) {
            let examples = start..num.min(start + context.batch_size.max(1));
            let own = &labels[examples.clone()];
            let values = &rows.values[examples.start * num_features..examples.end * num_features];
            let chunk = Rows::of(values.to_vec(), num_features).batch(context.device).x;
            let shape = [own.len(), num_features];
            let Some(codes) = translator.encode(chunk.clone(), own) else { return Ok(None) };
            let Some(direct) = translator.decode(codes.clone(), &chunk, own) else { return Ok(None) };
            let direct = to_values(direct, shape, "reconstruction")?;
            let mut cycles = Vec::with_capacity(domains.len());
            for &domain in domains {
                let between = vec![domain; own.len()];
                let Some(there) = translator.decode(codes.clone(), &chunk, &between) else { return Ok(None) };
                let Some(z) = translator.encode(there.clone(), &between) else { return Ok(None) };
                let Some(back) = translator.decode(z, &chunk, own) else { return Ok(None) };
                cycles.push((to_values(there, shape, "decoding in another domain")?, to_values(back, shape, "way back")?));
            }
            let row = |values: &'_ [f32], index: usize| values[index * num_features..][..num_features].to_vec();
            for (index, &from) in own.iter().enumerate() {
                let (x, of_itself) = (row(values, index), row(&direct, index));
                for (to, (there, back)) in cycles.iter().enumerate() {
                    let pair = place(from) * domains.len() + to;
                    if domains[to] == from {
                        let error = squared_error(&x, &of_itself);
                        errors.direct.push(error);
                        errors.pairs[pair].push(error);
                        errors.changes[pair].push(0.0);
                    } else {
                        let (error, change) = (squared_error(&x, &row(back, index)), squared_error(&of_itself, &row(there, index)));
                        errors.cycle.push(error);
                        errors.change.push(change);
                        errors.pairs[pair].push(error);
                        errors.changes[pair].push(change);
                    }
                }
            }
        }
        Ok(Some(errors))
    }

    fn table(&self, context: &EvaluationContext<'_>, domains: &[u32]) -> DataTable {
        let mut table = DataTable::new("cross_domain", ["source", "source_name", "target", "target_name", "sse", "change"]);
        let names = |domain: u32| Value::from(name(context, domain));
        for (pair, (error, change)) in self.pairs.iter().zip(&self.changes).enumerate() {
            let (from, to) = (domains[pair / domains.len()], domains[pair % domains.len()]);
            table.push([from.into(), names(from), to.into(), names(to), error.mean().into(), change.mean().into()]);
        }
        table
    }
}

/// Examples of each domain, and below them what they are in every domain.
fn picture(context: &EvaluationContext<'_>, rows: &Rows, domains: &[u32], names: &[String]) -> Result<Option<Picture>, EvaluationError> {
    let data = context.test.spec();
    let image_shape = data.image_shape();
    if image_shape.is_none() && data.event_shape.len() != 2 {
        return Ok(None);
    }
    let domains = &domains[..domains.len().min(if image_shape.is_some() { MAX_DOMAINS_SHOWN } else { MAX_SERIES_DOMAINS })];
    let num_each = if domains.len() <= MAX_DOMAINS_SHOWN_TWICE { 2 } else { 1 };
    let [_, num_features] = rows.shape();
    let labels = rows.labels.as_deref().unwrap_or_default();
    let of_domain = |domain: u32| labels.iter().enumerate().filter(move |&(_, &label)| label == domain).map(|(index, _)| index);
    let shown: Vec<usize> = domains.iter().flat_map(|&domain| of_domain(domain).take(num_each)).collect();
    let own: Vec<u32> = shown.iter().map(|&index| labels[index]).collect();
    let values: Vec<f32> = shown.iter().flat_map(|&index| &rows.values[index * num_features..][..num_features]).copied().collect();
    let x = Rows::of(values.clone(), num_features).batch(context.device).x;
    let translator = Translator { context };
    let Some(codes) = translator.encode(x.clone(), &own) else { return Ok(None) };
    let what = if image_shape.is_some() { "test image" } else { "test series" };
    let mut decoded = vec![ExampleRow::new(what, values)];
    for (&domain, name) in domains.iter().zip(names) {
        let Some(there) = translator.decode(codes.clone(), &x, &vec![domain; own.len()]) else { return Ok(None) };
        decoded.push(ExampleRow::new(format!("as {name}"), to_values(there, [own.len(), num_features], "decoding in another domain")?));
    }
    let labels = own.iter().map(|&domain| name(context, domain)).collect();
    let content = match (image_shape, &data.event_shape[..]) {
        (Some(shape), _) => PictureContent::ImageRows { rows: decoded, shape, labels },
        (None, &[num_steps, num_channels]) => PictureContent::SeriesRows { rows: decoded, shape: [num_steps, num_channels], labels },
        _ => return Ok(None),
    };
    Ok(Some(Picture::new("cross_domain", "examples of each domain, decoded in every domain", content)))
}
