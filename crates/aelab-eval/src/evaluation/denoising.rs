//! `denoising`: what a model makes of corrupted test examples, beside the best affine denoiser.

use aelab_core::{Batch, Corruption, DataSpec, Progress, Scheduled, StreamNoise};
use burn::tensor::{Device, Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::reconstruction::shown;
use crate::metric::errors::ReconstructionErrors;
use crate::metric::info::{MetricInfo, higher, lower};
use crate::metric::psnr::psnr;
use crate::metric::ssim::Ssim;
use crate::pass::{Draw, Rows, for_each_batch, for_each_batch_of_first, has_mask, to_values};
use crate::registry::Measure;
use crate::{
    AffineDenoiser, EvaluationContext, EvaluationError, ExampleRow, FieldPanel, MAX_PCA_SIDE, Measurement, Outcome, Picture, PictureContent,
};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    higher(
        "denoised_psnr",
        "dB",
        "10 log10(1 / `denoised_mse`): what the model makes of corrupted test examples beside the clean ones, for data in [0, 1]; not clipped",
    )
    .headline(),
    higher("denoised_psnr_clipped", "dB", "the same after clipping what the model makes of them to [0, 1]"),
    higher("denoised_ssim", "", "`ssim` between clean test images and what the model makes of corrupted ones").headline(),
    higher("psnr_gain", "dB", "10 log10(`noisy_mse` / `denoised_mse`), for any data").headline(),
    lower("denoised_mse", "squared units", "`mse` between clean test examples and what the model makes of corrupted ones; not clipped"),
    higher("noisy_psnr", "dB", "`psnr` of the corrupted test examples, which are not clipped; absent where nothing is corrupted"),
    higher("noisy_ssim", "", "`ssim` of the corrupted test images"),
    lower("noisy_mse", "squared units", "`mse` of the corrupted test examples themselves; the noise is the same for all that is compared"),
    higher(
        "affine_denoised_psnr",
        "dB",
        "`denoised_psnr` of the best affine map from corrupted to clean training examples, in closed form from their mean and covariance",
    ),
    higher("affine_denoised_psnr_clipped", "dB", "`denoised_psnr_clipped` of that map"),
    higher("affine_denoised_ssim", "", "`denoised_ssim` of that map"),
    higher("affine_psnr_gain", "dB", "`psnr_gain` of that map"),
    lower("affine_denoised_mse", "squared units", "`denoised_mse` of that map"),
];

/// Points of the vector field along each axis.
const GRID_SIDE: usize = 21;
/// Points of the data under the vector field; more hide it.
const MAX_FIELD_POINTS: usize = 1000;

/// Errors of test examples that were corrupted and given to the model, beside the best affine denoiser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Denoising {
    /// What is done to the test examples, one after the other; each with a constant rate or deviation.
    #[serde(deserialize_with = "corruptions")]
    #[schemars(length(min = 1))]
    corruptions: Vec<Corruption>,
}

impl Default for Denoising {
    fn default() -> Self {
        Self { corruptions: vec![Corruption::Gaussian { sigma: 0.5.into() }, Corruption::Masking { rate: 0.25.into() }] }
    }
}

/// Reads corruptions that can be measured: some, each once, with valid constant values.
fn corruptions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Corruption>, D::Error> {
    let corruptions = Vec::<Corruption>::deserialize(deserializer)?;
    if corruptions.is_empty() {
        return Err(de::Error::custom("expected at least one corruption, such as `{gaussian: {sigma: 0.5}}`"));
    }
    for (position, corruption) in corruptions.iter().enumerate() {
        corruption.check().map_err(de::Error::custom)?;
        if !matches!(strength(corruption), Scheduled::Constant(_)) {
            return Err(de::Error::custom("expected constant rates and deviations: there are no epochs to schedule over after training"));
        }
        if corruptions[..position].contains(corruption) {
            return Err(de::Error::custom(format!("expected each corruption once, but {} is there twice", setting(corruption))));
        }
    }
    Ok(corruptions)
}

fn strength(corruption: &Corruption) -> &Scheduled {
    match corruption {
        Corruption::Gaussian { sigma } => sigma,
        Corruption::Masking { rate } | Corruption::SaltAndPepper { rate } => rate,
    }
}

/// What stands behind the `@` of a metric.
fn setting(corruption: &Corruption) -> String {
    let kind = match corruption {
        Corruption::Gaussian { .. } => "gaussian",
        Corruption::Masking { .. } => "masking",
        Corruption::SaltAndPepper { .. } => "salt_and_pepper",
    };
    format!("{kind}_{}", strength(corruption).last(1.0))
}

/// For people.
fn description(corruption: &Corruption) -> String {
    let strength = strength(corruption).last(1.0);
    match corruption {
        Corruption::Gaussian { .. } => format!("Gaussian noise of deviation {strength}"),
        Corruption::Masking { .. } => format!("{} % of the features masked", 100.0 * strength),
        Corruption::SaltAndPepper { .. } => format!("salt and pepper on {} % of the features", 100.0 * strength),
    }
}

/// Corrupted copies of whole examples.
///
/// They are drawn one at a time: a corruption that draws twice would otherwise give an example noise that depends on how many
/// there are beside it.
fn corrupted(corruption: &Corruption, rows: &Rows, noise: &mut StreamNoise, device: &Device) -> Result<Vec<f32>, EvaluationError> {
    let [_, size] = rows.shape();
    let mut values = Vec::with_capacity(rows.values.len());
    for row in rows.values.chunks_exact(size.max(1)) {
        let x = Tensor::from_data(TensorData::new(row.to_vec(), [1, size]), device);
        values.extend(to_values(corruption.apply(x, Progress::end(1.0, 0), noise), [1, size], "corrupted input")?);
    }
    Ok(values)
}

/// What the model makes of `given` in place of the values of `rows`.
fn denoised(context: &EvaluationContext<'_>, rows: &Rows, given: &[f32]) -> Result<Vec<f32>, EvaluationError> {
    let x = Tensor::from_data(TensorData::new(given.to_vec(), rows.shape()), context.device);
    let batch = Batch { x, ..rows.batch(context.device) };
    let conditioned = context.model.conditioned(&batch);
    let model = conditioned.as_deref().unwrap_or(context.model);
    to_values(model.reconstruct(batch.x), rows.shape(), "reconstruction")
}

/// Whether the closed form is affordable.
fn has_affine(data: &DataSpec) -> bool {
    data.num_features() <= MAX_PCA_SIDE
}

/// Errors as they are and of what is clipped to [0, 1].
struct Errors {
    unclipped: ReconstructionErrors,
    clipped: ReconstructionErrors,
}

impl Errors {
    fn new(data: &DataSpec) -> Self {
        // Only the mean squared error of what is clipped is asked for.
        let flat = DataSpec::new([data.num_features()], data.domain);
        Self { unclipped: ReconstructionErrors::new(data), clipped: ReconstructionErrors::new(&flat) }
    }

    fn push<R: Copy + Into<f64>>(&mut self, x: &[f32], values: &[R]) {
        self.unclipped.push(x, values, None);
        let clipped: Vec<f64> = values.iter().map(|&value| value.into().clamp(0.0, 1.0)).collect();
        self.clipped.push(x, &clipped, None);
    }

    /// With the names of the model's own metrics, and the gain over examples of error `noisy_mse`.
    fn values(&self, noisy_mse: f64) -> [(&'static str, Option<f64>); 5] {
        let mse = self.unclipped.mse();
        [
            ("denoised_psnr", self.unclipped.psnr()),
            ("denoised_psnr_clipped", self.clipped.psnr()),
            ("denoised_ssim", self.unclipped.ssim()),
            // An error of 0 makes no finite ratio.
            ("psnr_gain", (mse != 0.0 && noisy_mse != 0.0).then(|| psnr(mse) - psnr(noisy_mse))),
            ("denoised_mse", Some(mse)),
        ]
    }
}

impl Measure for Denoising {
    const NAME: &'static str = "denoising";
    const SUMMARY: &'static str = "corrupted test examples restored by the model and by the best affine denoiser; asked for by name only";

    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        let unit_interval = data.domain.is_unit_interval();
        let has_ssim = unit_interval && data.image_shape().is_some_and(|shape| Ssim::new(shape).is_some());
        let applies = |name: &str| {
            (has_affine(data) || !name.starts_with("affine_"))
                && (unit_interval || !name.contains("_psnr") || name.ends_with("psnr_gain"))
                && (has_ssim || !name.ends_with("_ssim"))
        };
        let names = || METRICS.iter().map(|metric| metric.name).filter(|name| applies(name));
        let of_one = |corruption| names().map(move |name| format!("{name}@{}", setting(corruption)));
        self.corruptions.iter().flat_map(of_one).collect()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let data = context.test.spec();
        let mut outcome = Outcome::default();
        if has_mask(context.test) {
            let warning =
                "`denoising` measures nothing: some values of this data are missing, and noise on what is not there means nothing";
            outcome.warnings.push(warning.to_owned());
            return Ok(outcome);
        }
        if has_affine(data) {
            outcome.warnings.extend(context.pca(Self::NAME)?.1.iter().cloned());
        }
        for corruption in &self.corruptions {
            let affine = match has_affine(data) {
                true => Some(AffineDenoiser::fit(&context.pca(Self::NAME)?.0, corruption)?),
                false => None,
            };
            outcome.measurements.extend(measurements(context, corruption, affine.as_ref())?);
            outcome.pictures.extend(restored(context, corruption, affine.as_ref())?);
            outcome.pictures.extend(field(context, corruption, affine.as_ref())?);
        }
        Ok(outcome)
    }
}

/// The numbers of one corruption. Every corruption draws the same stream from its start, so that levels share their noise and
/// none depends on which others are asked for.
fn measurements(
    context: &EvaluationContext<'_>,
    corruption: &Corruption,
    affine: Option<&AffineDenoiser>,
) -> Result<Vec<Measurement>, EvaluationError> {
    let data = context.test.spec();
    let (mut noisy, mut of_model, mut of_affine) = (ReconstructionErrors::new(data), Errors::new(data), Errors::new(data));
    let mut noise = StreamNoise(Draw::Denoising.stream(context.seed));
    for_each_batch(context.test, Draw::Test.stream(context.seed), context.batch_size, |rows| {
        context.beat()?;
        let given = corrupted(corruption, rows, &mut noise, context.device)?;
        noisy.push(&rows.values, &given, None);
        of_model.push(&rows.values, &denoised(context, rows, &given)?);
        if let Some(affine) = affine {
            of_affine.push(&rows.values, &affine.denoise(&given));
        }
        Ok(())
    })?;
    let of_noisy = [("noisy_psnr", noisy.psnr()), ("noisy_ssim", noisy.ssim()), ("noisy_mse", Some(noisy.mse()))];
    let own = of_model.values(noisy.mse()).into_iter().chain(of_noisy).map(|(name, value)| (name.to_owned(), value));
    let baseline = affine.map(|_| of_affine.values(noisy.mse())).into_iter().flatten();
    own.chain(baseline.map(|(name, value)| (format!("affine_{name}"), value)))
        .filter_map(|(name, value)| Some((name, value?)))
        .map(|(name, value)| Measurement::new(&format!("{name}@{}", setting(corruption)), value))
        .collect()
}

/// Images or series: clean, corrupted, restored.
fn restored(
    context: &EvaluationContext<'_>,
    corruption: &Corruption,
    affine: Option<&AffineDenoiser>,
) -> Result<Option<Picture>, EvaluationError> {
    let data = context.test.spec();
    if data.image_shape().is_none() && data.event_shape.len() != 2 {
        return Ok(None);
    }
    let indices = shown(context.test.len(), context.test.labels());
    let rows = Rows::gather(context.test, &indices, &mut Draw::Pictures.stream(context.seed));
    let given = corrupted(corruption, &rows, &mut StreamNoise(Draw::Denoising.stream(context.seed)), context.device)?;
    let ours = denoised(context, &rows, &given)?;
    let affine = affine.map(|affine| affine.denoise(&given).into_iter().map(|value| value as f32).collect());
    let labels = rows.labels.iter().flatten();
    let (clean, labels): (&str, Vec<String>) = match data.image_shape() {
        Some(_) => ("test image", labels.map(u32::to_string).collect()),
        None => ("test series", labels.map(|label| format!("class {label}")).collect()),
    };
    let mut shown = vec![ExampleRow::new(clean, rows.values), ExampleRow::new("corrupted", given)];
    shown.extend(affine.map(|values| ExampleRow::new("best affine denoiser", values)));
    shown.push(ExampleRow::new("model", ours));
    let content = match (data.image_shape(), &data.event_shape[..]) {
        (Some(shape), _) => PictureContent::ImageRows { rows: shown, shape, labels },
        (None, &[num_steps, num_channels]) => PictureContent::SeriesRows { rows: shown, shape: [num_steps, num_channels], labels },
        (None, _) => return Ok(None),
    };
    Ok(Some(Picture::new(&format!("denoising_{}", setting(corruption)), description(corruption), content)))
}

/// For points of a plane with Gaussian noise: where the model moves each point of a grid, beside where the best denoisers do.
fn field(
    context: &EvaluationContext<'_>,
    corruption: &Corruption,
    affine: Option<&AffineDenoiser>,
) -> Result<Option<Picture>, EvaluationError> {
    let Corruption::Gaussian { sigma } = corruption else { return Ok(None) };
    let sigma = sigma.last(1.0);
    if context.test.spec().event_shape != [2] || sigma == 0.0 || context.train.is_empty() {
        return Ok(None);
    }
    let mut points: Vec<[f32; 2]> = Vec::new();
    for_each_batch_of_first(context.test, MAX_FIELD_POINTS, Draw::Test.stream(context.seed), context.batch_size, |rows| {
        context.beat()?;
        points.extend_from_slice(rows.values.as_chunks::<2>().0);
        Ok(())
    })?;
    let mut train: Vec<[f32; 2]> = Vec::new();
    for_each_batch(context.train, Draw::Train.stream(context.seed), context.batch_size, |rows| {
        context.beat()?;
        train.extend_from_slice(rows.values.as_chunks::<2>().0);
        Ok(())
    })?;
    let starts = grid(&points);
    let flat = starts.as_flattened().to_vec();
    let size = [starts.len(), 2];
    let x = Tensor::from_data(TensorData::new(flat.clone(), size), context.device);
    let ours = to_values(context.model.reconstruct(x), size, "reconstruction")?;
    let best: Vec<f32> = starts.iter().flat_map(|&point| posterior_mean(point, &train, sigma)).collect();
    let affine = affine.map(|affine| affine.denoise(&flat).into_iter().map(|value| value as f32).collect());
    let panel = |caption: &str, ends: &[f32]| FieldPanel {
        caption: caption.to_owned(),
        arrows: starts.iter().zip(ends.as_chunks::<2>().0).map(|(&start, &end)| [start, end]).collect(),
    };
    let mut panels = vec![panel("model", &ours), panel("best denoiser of the training points", &best)];
    panels.extend(affine.map(|ends: Vec<f32>| panel("best affine denoiser", &ends)));
    if let Some(&value) = panels.iter().flat_map(|panel| panel.arrows.as_flattened().as_flattened()).find(|value| !value.is_finite()) {
        return Err(EvaluationError::NonFinite { metric: Denoising::NAME.to_owned(), value: f64::from(value) });
    }
    let title = format!("where each point is moved, {}", description(corruption));
    let content = PictureContent::VectorField { points, panels };
    Ok(Some(Picture::new(&format!("denoising_field_{}", setting(corruption)), title, content)))
}

/// A grid over the points and a tenth of their extent around them.
fn grid(points: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let range = |axis: usize| {
        let (low, high) =
            points.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), point| (low.min(point[axis]), high.max(point[axis])));
        let margin = if high > low { 0.1 * (high - low) } else { 0.5 };
        (low - margin, high + margin)
    };
    let [(left, right), (bottom, top)] = [range(0), range(1)];
    let along = |low: f32, high: f32, index: usize| low + (high - low) * index as f32 / (GRID_SIDE - 1) as f32;
    (0..GRID_SIDE * GRID_SIDE).map(|index| [along(left, right, index % GRID_SIDE), along(bottom, top, index / GRID_SIDE)]).collect()
}

/// The mean of the training points given that one of them, with Gaussian noise of deviation `sigma`, was seen at `noisy`: no
/// denoiser has a smaller squared error on them (Alain & Bengio 2014, "What Regularized Auto-Encoders Learn from the Data-Generating
/// Distribution", Eq. 10; `noisy + sigma^2 * score` of the smoothed points, by Tweedie's formula).
fn posterior_mean(noisy: [f32; 2], train: &[[f32; 2]], sigma: f64) -> [f32; 2] {
    let noisy = noisy.map(f64::from);
    let exponent =
        |point: &[f32; 2]| -((noisy[0] - f64::from(point[0])).powi(2) + (noisy[1] - f64::from(point[1])).powi(2)) / (2.0 * sigma * sigma);
    let largest = train.iter().map(exponent).fold(f64::NEG_INFINITY, f64::max);
    let mut sums = [0.0f64; 3];
    for point in train {
        let weight = (exponent(point) - largest).exp();
        sums[0] += weight * f64::from(point[0]);
        sums[1] += weight * f64::from(point[1]);
        sums[2] += weight;
    }
    [(sums[0] / sums[2]) as f32, (sums[1] / sums[2]) as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_denoiser_of_few_points_is_their_weighted_mean() {
        let train = [[0.0, 0.0], [1.0, 0.0]];
        assert_eq!(posterior_mean([0.5, 7.0], &train, 0.3), [0.5, 0.0]);
        // The farther point weighs exp(-(0.9^2 - 0.1^2) / (2 sigma^2)).
        let weight = (-0.8f64 / (2.0 * 0.25)).exp();
        let [x, y] = posterior_mean([0.1, 0.0], &train, 0.5);
        assert!((f64::from(x) - weight / (1.0 + weight)).abs() < 1e-7 && y == 0.0, "{x}");
        // Where every density is 0 in f64, the nearest point is left.
        assert_eq!(posterior_mean([1e6, 0.0], &train, 0.01), [1.0, 0.0]);
    }

    /// Standard normal points of many: the best denoiser is `x / (1 + sigma^2)`.
    #[test]
    fn the_best_denoiser_of_gaussian_points_approaches_the_shrinkage_of_theory() {
        let mut noise = StreamNoise(Draw::Denoising.stream(3));
        let values: Vec<f32> = aelab_core::Noise::normal(&mut noise, [20_000, 2], &Device::flex()).into_data().try_into_vec().unwrap();
        for point in [[0.0, 0.0], [1.0, -0.5], [-1.5, 0.3]] {
            let found = posterior_mean(point, values.as_chunks::<2>().0, 0.5);
            for axis in 0..2 {
                assert!((found[axis] - point[axis] / 1.25).abs() < 0.03, "{point:?} became {found:?}");
            }
        }
    }

    #[test]
    fn the_grid_covers_the_points_with_a_margin() {
        let grid = grid(&[[0.0, 5.0], [10.0, 5.0]]);
        assert_eq!((grid.len(), grid[0], grid[GRID_SIDE * GRID_SIDE - 1]), (GRID_SIDE * GRID_SIDE, [-1.0, 4.5], [11.0, 5.5]));
    }
}
