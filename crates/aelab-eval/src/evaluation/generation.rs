//! `generation`: what a model makes up, and how it compares with data that it has not seen.

use std::num::{NonZeroU16, NonZeroU32};

use aelab_core::{DataSpec, Noise, StreamNoise, draw_positions};
use burn::tensor::{Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::latent_pictures;
use super::samples::for_classes;
use crate::classifier::{Classified, Classifier, NUM_FEATURES};
use crate::classifier_cache::load_or_train;
use crate::metric::class_balance::class_counts;
use crate::metric::info::{MetricInfo, higher, lower, neutral};
use crate::pass::{Draw, Rows, to_values};
use crate::registry::Measure;
use crate::{
    Balls, DataTable, EvaluationContext, EvaluationError, MAX_PCA_SIDE, Measurement, Outcome, Overlap, Pca, class_entropy,
    frechet_distance, mode_coverage, overlap,
};

/// The smallest variance of a code's dimension that is in use (Burda, Grosse & Salakhutdinov 2016, Sec. 2).
const LEAST_VARIANCE: f64 = 0.01;
/// Examples and samples that are made together. It is no option: what is drawn may depend on it.
pub(super) const EXAMPLES_AT_ONCE: usize = 500;

const NATS_OF_CLASSES: &str = "nats";

pub(crate) const METRICS: &[MetricInfo] = &[
    lower(
        "frechet_distance",
        "",
        "Fréchet distance (Heusel et al. 2017, Eq. 6) of decoded samples of the prior from as many test examples (of the `normal_classes` where training was on these), in the space of the 64 \
         features of aelab's own classifier (its version 1, trained on the training split), or of the first 64 principal components \
         where training examples are not of two classes or more; too large by an amount that falls with the number of samples",
    )
    .headline()
    .version(2),
    lower("frechet_distance_train", "", "the same distance of training examples from as many test examples: what the data themselves have").version(2),
    lower("pca_frechet_distance", "", "the same of samples of a Gaussian in the space of as many principal components as the code has dimensions").version(2),
    lower("reconstruction_frechet_distance", "", "the same distance of the reconstructions of test examples from these").headline()
    .version(2),
    lower("pca_reconstruction_frechet_distance", "", "the same of the reconstructions by PCA of the code's size").version(2),
    higher(
        "sample_precision",
        "",
        "share of samples nearer to a test example than the k-th nearest test example is to it (Kynkäänniemi et al. 2019, Eq. 1-2), in the \
         space of `frechet_distance`, k = 5 unless stated",
    )
    .headline()
    .version(2),
    higher("sample_recall", "", "share of test examples nearer to a sample than the k-th nearest sample is to it").headline()
    .version(2),
    higher(
        "sample_density",
        "",
        "how many test examples a sample is so near to, mean over samples, divided by k (Naeem et al. 2020, Eq. 4); about 1 for the data, and may be more",
    ).version(2),
    higher("sample_coverage", "", "share of test examples that have a sample so near to them (Naeem et al. 2020, Eq. 5)").version(2),
    higher("pca_sample_precision", "", "`sample_precision` of the samples of `pca_frechet_distance`").version(2),
    higher("pca_sample_recall", "", "`sample_recall` of the samples of `pca_frechet_distance`").version(2),
    higher("pca_sample_density", "", "`sample_density` of the samples of `pca_frechet_distance`").version(2),
    higher("pca_sample_coverage", "", "`sample_coverage` of the samples of `pca_frechet_distance`").version(2),
    higher("classifier_accuracy", "", "share of the test examples whose class the classifier of `frechet_distance` finds: a property of the data").version(2),
    higher("sample_class_entropy", NATS_OF_CLASSES, "entropy of the frequencies of the classes that the classifier finds among the samples").version(2),
    higher("mode_coverage", "", "share of the classes found among test examples that are found at least a tenth as often among samples").version(2),
    higher("pca_sample_class_entropy", NATS_OF_CLASSES, "`sample_class_entropy` of the samples of `pca_frechet_distance`").version(2),
    higher("pca_mode_coverage", "", "`mode_coverage` of the samples of `pca_frechet_distance`").version(2),
    neutral(
        "active_units",
        "",
        "dimensions of the code whose variance over test examples exceeds 0.01 (Burda et al. 2016, Sec. 2: of posterior means, where the prior sets the scale)",
    )
    .headline(),
];

/// Samples, reconstructions and training examples against test examples, in the features of a classifier, and pictures of what lies
/// between and around codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Generation {
    /// Samples, and test and training examples that they are compared with; fewer where the test split has fewer. Distances of
    /// different numbers do not compare.
    num_samples: NonZeroU32,
    /// Which nearest neighbour's distance is the radius of precision, recall, density and coverage.
    k: NonZeroU16,
    /// Whether to draw interpolations, neighbourhoods, traversals and, for codes of two dimensions, the manifold; of images.
    pictures: bool,
}

impl Default for Generation {
    fn default() -> Self {
        Self { num_samples: NonZeroU32::new(10_000).expect("it is not 0"), k: NonZeroU16::new(5).expect("it is not 0"), pictures: true }
    }
}

impl Measure for Generation {
    const NAME: &'static str = "generation";
    const DISPLAY_ONLY: &'static [&'static str] = &["pictures"];
    const SUMMARY: &'static str = "samples and reconstructions against test examples (Fréchet distance, precision, recall, density, coverage), and pictures of the code's space";

    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        let needs_classes =
            ["classifier_accuracy", "sample_class_entropy", "mode_coverage", "pca_sample_class_entropy", "pca_mode_coverage"];
        let has_classes = data.num_classes.is_some_and(|num| num > 1);
        METRICS.iter().map(|metric| metric.name).filter(|name| has_classes || !needs_classes.contains(name)).map(str::to_owned).collect()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        // Refuses what no baseline can be fitted on.
        context.train_moments(Self::NAME)?;
        let mut outcome = Outcome::default();
        let mut first = Draw::Test.stream(context.seed);
        if Rows::gather(context.test, &[0], &mut first).mask.is_some() {
            outcome.warnings.push(
                "`generation` does not apply to data with missing values or padding: there is no saying what a whole sample would be"
                    .to_owned(),
            );
            return Ok(outcome);
        }
        self.compare(context, &mut outcome)?;
        measure_activity(context, &mut outcome)?;
        if let Some(shape) = context.test.spec().image_shape().filter(|_| self.pictures) {
            outcome.pictures = latent_pictures::pictures(context, shape)?;
        }
        Ok(outcome)
    }
}

/// What samples are compared in.
enum FeatureSpace<'a> {
    /// The last hidden layer of a classifier of so many classes.
    Classifier(Box<Classifier>, usize),
    /// The first principal components, so many.
    Components(&'a Pca, usize),
}

impl<'a> FeatureSpace<'a> {
    /// The classifier's where the training examples are of two classes or more, and otherwise that of PCA, if it is `affordable`.
    fn of(context: &EvaluationContext<'a>, pca: Option<&'a Pca>, warnings: &mut Vec<String>) -> Result<Option<Self>, EvaluationError> {
        let highest = |labels: Option<&[u32]>| labels.and_then(|labels| labels.iter().max()).map_or(0, |&label| label as usize + 1);
        let known = context.train.spec().num_classes.unwrap_or(0);
        let num_classes = known.max(highest(context.train.labels())).max(highest(context.test.labels()));
        // The classes that data declare may be many more than those that a choice of `normal_classes` has left.
        let is_told_apart = context.train.labels().is_some_and(|labels| labels.iter().any(|label| *label != labels[0]));
        if is_told_apart {
            let (classifier, of_cache) =
                load_or_train(context.cache_dir, context.train, num_classes, context.data_checksum, context.device)?;
            warnings.extend(of_cache);
            return Ok(Some(Self::Classifier(Box::new(classifier), num_classes)));
        }
        let num = pca.map_or(0, |pca| pca.eigenvalues().len().min(NUM_FEATURES));
        let Some(pca) = pca.filter(|_| num > 0) else {
            warnings.push("`generation` has no feature space: the training examples are not of two classes or more for a classifier, and there is no PCA of such data".to_owned());
            return Ok(None);
        };
        warnings.push(format!(
            "the training examples are not of two classes or more for a classifier: `frechet_distance`, `sample_precision` and the like are measured in the space of {num} principal \
             components, and do not compare with those of data with classes"
        ));
        Ok(Some(Self::Components(pca, num)))
    }

    fn size(&self) -> usize {
        match self {
            Self::Classifier(..) => NUM_FEATURES,
            Self::Components(_, num) => *num,
        }
    }

    fn num_classes(&self) -> Option<usize> {
        match self {
            Self::Classifier(_, num_classes) => Some(*num_classes),
            Self::Components(..) => None,
        }
    }

    fn classify(&self, values: &[f32], out: &mut Classified) -> Result<(), EvaluationError> {
        match self {
            Self::Classifier(classifier, _) => classifier.classify(values, out),
            Self::Components(pca, num) => {
                out.features.extend(pca.encode(values, *num).into_iter().map(|value| value as f32));
                Ok(())
            }
        }
    }
}

/// What is compared with the test examples.
struct Source {
    name: &'static str,
    /// What its metrics begin with, where they are more than a distance.
    prefix: Option<&'static str>,
    /// Whether it has nothing to do with the test examples one by one, as a reconstruction has, which is near to its own.
    is_drawn: bool,
    distance: &'static str,
    classified: Classified,
}

impl Source {
    fn drawn(name: &'static str, prefix: Option<&'static str>, distance: &'static str) -> Self {
        Self { name, prefix, is_drawn: true, distance, classified: Classified::default() }
    }

    fn reconstructed(name: &'static str, distance: &'static str) -> Self {
        Self { is_drawn: false, ..Self::drawn(name, None, distance) }
    }

    fn push(&mut self, space: &FeatureSpace<'_>, mut values: Vec<f32>, data: &DataSpec) -> Result<(), EvaluationError> {
        if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
            return Err(EvaluationError::NonFinite { metric: self.distance.to_owned(), value: f64::from(value) });
        }
        if data.domain.is_unit_interval() {
            values.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        }
        space.classify(&values, &mut self.classified)
    }
}

impl Generation {
    /// Distances and overlaps, and the table of them.
    fn compare(&self, context: &EvaluationContext<'_>, outcome: &mut Outcome) -> Result<(), EvaluationError> {
        let data = context.test.spec();
        let affordable = data.num_features().min(context.train.len()) <= MAX_PCA_SIDE;
        let pca = if affordable {
            let (pca, warnings) = context.pca(Self::NAME)?;
            outcome.warnings.extend(warnings.iter().cloned());
            Some(pca)
        } else {
            outcome.warnings.push(format!("`generation` has no PCA beside it: the data have more than {MAX_PCA_SIDE} features"));
            None
        };
        let candidates = candidates(context, &mut outcome.warnings);
        let num = (self.num_samples.get() as usize).min(candidates.len());
        if num < 2 || context.train.len() < 2 {
            outcome
                .warnings
                .push("`generation` compares at least two test examples with two training examples: there are fewer".to_owned());
            return Ok(());
        }
        let Some(space) = FeatureSpace::of(context, pca, &mut outcome.warnings)? else { return Ok(()) };
        let (test, right, sources) = self.classified(context, &space, pca, &candidates, num)?;
        if space.num_classes().is_some() && test.classes.len() == num {
            let accuracy = right as f64 / num as f64;
            outcome.measurements.push(Measurement::new("classifier_accuracy", accuracy)?);
        }
        let size = space.size();
        let k = usize::from(self.k.get());
        let balls = Balls::new(&test.features, size, k);
        if balls.is_none() {
            outcome.warnings.push(format!("{num} test examples are too few for precision, recall, density and coverage with k = {k}"));
        }
        let columns = ["source", "num", "frechet_distance", "precision", "recall", "density", "coverage", "class_entropy", "mode_coverage"];
        let mut table = DataTable::new("generation", columns);
        let real_counts = space.num_classes().map(|num_classes| class_counts(&test.classes, num_classes));
        let mut counts: Vec<(&str, Vec<usize>)> = real_counts.iter().map(|counts| ("test", counts.clone())).collect();
        for Source { name, prefix, is_drawn, distance, classified } in &sources {
            let of_source = frechet_distance(&classified.features, &test.features, size)?;
            outcome.measurements.push(Measurement::new(distance, of_source)?);
            let found = match &balls {
                Some(balls) if *is_drawn => Balls::new(&classified.features, size, k).map(|samples| overlap(balls, &samples)),
                _ => None,
            };
            if let (Some(prefix), Some(Overlap { precision, recall, density, coverage })) = (prefix, found) {
                for (metric, value) in [("precision", precision), ("recall", recall), ("density", density), ("coverage", coverage)] {
                    outcome.measurements.push(Measurement::new(&format!("{prefix}sample_{metric}"), value)?);
                }
            }
            let of_classes = real_counts.as_ref().map(|real_counts| {
                let found = class_counts(&classified.classes, real_counts.len());
                let values = [class_entropy(&found), mode_coverage(&found, real_counts)];
                counts.push((name, found));
                values
            });
            if let (Some(prefix), Some([entropy, covered])) = (prefix, of_classes) {
                outcome.measurements.push(Measurement::new(&format!("{prefix}sample_class_entropy"), entropy)?);
                outcome.measurements.push(Measurement::new(&format!("{prefix}mode_coverage"), covered)?);
            }
            let optional = |value: Option<f64>| value.map_or(Value::Null, |value| json!(value));
            let overlaps = [found.map(|f| f.precision), found.map(|f| f.recall), found.map(|f| f.density), found.map(|f| f.coverage)];
            let classes = [of_classes.map(|values| values[0]), of_classes.map(|values| values[1])];
            let row = [json!(name), json!(classified.features.len() / size), json!(of_source)];
            table.push(row.into_iter().chain(overlaps.into_iter().chain(classes).map(optional)));
        }
        outcome.tables.push(table);
        if !counts.is_empty() {
            outcome.tables.push(table_of_classes(context, &counts));
        }
        Ok(())
    }

    /// Features of test examples, how many of them are classified as they should be, and everything to compare them with.
    fn classified(
        &self,
        context: &EvaluationContext<'_>,
        space: &FeatureSpace<'_>,
        pca: Option<&Pca>,
        candidates: &[usize],
        num: usize,
    ) -> Result<(Classified, usize, Vec<Source>), EvaluationError> {
        let data = context.test.spec();
        let stream = |number| Draw::Generation.numbered_stream(context.seed, number);
        let mut samples = Source::drawn("samples", Some(""), "frechet_distance");
        let mut of_pca = Source::drawn("pca_samples", Some("pca_"), "pca_frechet_distance");
        let mut train = Source::drawn("train", None, "frechet_distance_train");
        let mut reconstructions = Source::reconstructed("reconstructions", "reconstruction_frechet_distance");
        let mut pca_reconstructions = Source::reconstructed("pca_reconstructions", "pca_reconstruction_frechet_distance");
        let (mut test, mut num_right) = (Classified::default(), 0);
        let mut has_prior = true;
        let (mut noise, mut pca_noise) = (StreamNoise(stream(0)), StreamNoise(stream(1)));
        let mut of_test = Draw::Test.stream(context.seed);
        let positions: Vec<usize> = chosen(candidates.len(), num, &mut stream(2)).into_iter().map(|at| candidates[at]).collect();
        for positions in positions.chunks(EXAMPLES_AT_ONCE) {
            let rows = Rows::gather(context.test, positions, &mut of_test);
            space.classify(&rows.values, &mut test)?;
            if let Some(labels) = &rows.labels {
                let classes = test.classes.iter().skip(test.classes.len().saturating_sub(labels.len()));
                num_right += labels.iter().zip(classes).filter(|(label, class)| label == class).count();
            }
            let batch = rows.batch(context.device);
            let conditioned = context.model.conditioned(&batch);
            let model = conditioned.as_deref().unwrap_or(context.model);
            let reconstruction = to_values(model.reconstruct(batch.x), rows.shape(), "reconstruction")?;
            reconstructions.push(space, reconstruction, data)?;
            let of_classes = rows.labels.as_deref().and_then(|labels| for_classes(labels, context));
            let model = of_classes.as_deref().unwrap_or(context.model);
            match model.sample_prior(positions.len(), &mut noise, context.device).filter(|_| has_prior) {
                Some(codes) => samples.push(space, to_values(model.decode(codes), rows.shape(), "decoded samples")?, data)?,
                None => has_prior = false,
            }
            if let Some(pca) = pca {
                let to_f32 = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<f32>>();
                pca_reconstructions.push(space, to_f32(pca.reconstruct(&rows.values, context.code_size)), data)?;
                of_pca.push(space, to_f32(draw_from_pca(pca, context, positions.len(), &mut pca_noise)?), data)?;
            }
        }
        let mut of_train = Draw::Train.stream(context.seed);
        for positions in chosen(context.train.len(), num.min(context.train.len()), &mut stream(3)).chunks(EXAMPLES_AT_ONCE) {
            train.push(space, Rows::gather(context.train, positions, &mut of_train).values, data)?;
        }
        let mut sources = vec![train, reconstructions];
        if has_prior {
            sources.insert(0, samples);
        }
        if pca.is_some() {
            sources.extend([pca_reconstructions, of_pca]);
        }
        Ok((test, num_right, sources))
    }
}

/// The test examples that samples may be compared with: all, or those of the classes that training examples were chosen by.
fn candidates(context: &EvaluationContext<'_>, warnings: &mut Vec<String>) -> Vec<usize> {
    let all = 0..context.test.len();
    let (Some(normal), Some(labels)) = (context.train.normal_classes(), context.test.labels()) else { return all.collect() };
    let of_normal: Vec<usize> = all.filter(|&index| normal.contains(&labels[index])).collect();
    if of_normal.len() < labels.len() {
        warnings.push(format!(
            "`generation` compares with the {} of {} test examples that are of the `normal_classes`: nothing else was to be learnt",
            of_normal.len(),
            labels.len()
        ));
    }
    of_normal
}

/// All of `len` positions in their order, or `num` of them by chance.
fn chosen(len: usize, num: usize, stream: &mut aelab_core::Stream) -> Vec<usize> {
    if num == len { (0..len).collect() } else { draw_positions(stream, num, len) }
}

/// Draws of a Gaussian with the mean and the variances of the first principal components, as examples.
fn draw_from_pca(pca: &Pca, context: &EvaluationContext<'_>, num: usize, noise: &mut StreamNoise) -> Result<Vec<f64>, EvaluationError> {
    let deviations: Vec<f64> = pca.eigenvalues().iter().take(context.code_size).map(|variance| variance.sqrt()).collect();
    if deviations.is_empty() {
        return Ok(pca.mean().repeat(num));
    }
    let noise = to_values(noise.normal([num, deviations.len()], context.device), [num, deviations.len()], "noise")?;
    let codes: Vec<f64> = noise.iter().zip(deviations.iter().cycle()).map(|(&noise, deviation)| f64::from(noise) * deviation).collect();
    Ok(pca.decode(&codes, num))
}

/// How often each class is found among the test examples and what is compared with them.
fn table_of_classes(context: &EvaluationContext<'_>, counts: &[(&str, Vec<usize>)]) -> DataTable {
    let columns = ["class"].into_iter().chain(counts.iter().map(|(name, _)| *name));
    let mut table = DataTable::new("generated_classes", columns);
    let names = context.test.class_names();
    for class in 0..counts[0].1.len() {
        let name = names.and_then(|names| names.get(class)).cloned().unwrap_or_else(|| class.to_string());
        table.push([json!(name)].into_iter().chain(counts.iter().map(|(_, counts)| json!(counts[class]))));
    }
    table
}

/// Which dimensions of the code are in use.
fn measure_activity(context: &EvaluationContext<'_>, outcome: &mut Outcome) -> Result<(), EvaluationError> {
    let [_, codes] = context.told_codes(Generation::NAME)?;
    let spread = Spread::of(&codes.values, codes.size);
    let is_active = |variance: f64| variance > LEAST_VARIANCE;
    let num_active = spread.variance.iter().filter(|&&variance| is_active(variance)).count();
    outcome.measurements.push(Measurement::new("active_units", num_active as f64)?);
    let mut table = DataTable::new("code_dimensions", ["dimension", "mean", "variance", "is_active"]);
    for (dimension, (mean, variance)) in spread.mean.iter().zip(&spread.variance).enumerate() {
        table.push([json!(format!("z{}", dimension + 1)), json!(mean), json!(variance), json!(is_active(*variance))]);
    }
    outcome.tables.push(table);
    Ok(())
}

/// Mean and variance of each dimension of codes.
pub(super) struct Spread {
    pub(super) mean: Vec<f64>,
    /// Divided by the number of codes.
    pub(super) variance: Vec<f64>,
}

impl Spread {
    pub(super) fn of(codes: &[f32], size: usize) -> Self {
        let num = (codes.len() / size.max(1)) as f64;
        let (mut mean, mut variance) = (vec![0.0; size], vec![0.0; size]);
        for code in codes.chunks_exact(size.max(1)) {
            mean.iter_mut().zip(code).for_each(|(sum, &value)| *sum += f64::from(value) / num);
        }
        for code in codes.chunks_exact(size.max(1)) {
            for ((sum, &value), mean) in variance.iter_mut().zip(code).zip(&mean) {
                *sum += (f64::from(value) - mean).powi(2) / num;
            }
        }
        Self { mean, variance }
    }
}

/// What the model decodes codes as, `[example, latent]`; a model that conditions on classes is given them.
pub(super) fn decoded(
    codes: &[f32],
    size: usize,
    classes: Option<&[u32]>,
    context: &EvaluationContext<'_>,
) -> Result<Vec<f32>, EvaluationError> {
    let num_features = context.test.spec().num_features();
    let num = codes.len() / size;
    let mut values = Vec::with_capacity(num * num_features);
    for start in (0..num).step_by(EXAMPLES_AT_ONCE) {
        let end = num.min(start + EXAMPLES_AT_ONCE);
        let of_classes = classes.and_then(|classes| for_classes(&classes[start..end], context));
        let model = of_classes.as_deref().unwrap_or(context.model);
        let codes = TensorData::new(codes[start * size..end * size].to_vec(), [end - start, size]);
        let found = model.decode(Tensor::from_data(codes, context.device));
        values.extend(to_values(found, [end - start, num_features], "decoded codes")?);
    }
    Ok(values)
}
