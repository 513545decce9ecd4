//! `inpainting`: part of each test example is hidden and filled in by the model, beside what the rest says linearly.

use std::num::{NonZeroU16, NonZeroU32};

use aelab_core::{Batch, DataSpec, Noise, StreamNoise};
use burn::tensor::{Device, Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::reconstruction::shown;
use crate::metric::ExampleMean;
use crate::metric::info::{MetricInfo, higher, lower};
use crate::metric::psnr::psnr;
use crate::pass::{Draw, Rows, chunk_rows, for_each_batch, has_mask, to_values};
use crate::registry::Measure;
use crate::{
    ConditionalGaussian, EvaluationContext, EvaluationError, ExampleRow, Gaussian, MAX_PCA_SIDE, Measurement, Outcome, Picture,
    PictureContent,
};

/// The metrics of this evaluation.
pub(crate) const METRICS: &[MetricInfo] = &[
    lower(
        "inpainting_mse",
        "squared units",
        "squared error of what the model puts into a hole, mean over hidden values and test examples; not clipped",
    )
    .headline(),
    higher("inpainting_psnr", "dB", "10 log10(1 / `inpainting_mse`), for data in [0, 1]; absent where the error is 0").headline(),
    lower(
        "gaussian_inpainting_mse",
        "squared units",
        "`inpainting_mse` of the mean of the hidden part given the rest under the training split's Gaussian, its covariance with a ridge of 1e-4 times the mean variance of a feature",
    ),
    higher("gaussian_inpainting_psnr", "dB", "`inpainting_psnr` of that conditional Gaussian"),
    lower("mean_inpainting_mse", "squared units", "`inpainting_mse` of the training mean"),
    higher("mean_inpainting_psnr", "dB", "`inpainting_psnr` of the training mean"),
];

/// What is added to the variance of every observed feature, in mean variances of a feature: far below what matters for images of
/// 8 bits, far above the rounding of a covariance.
const RELATIVE_RIDGE: f64 = 1e-4;
/// Weights of conditional Gaussians that are in memory at once: 64 MiB.
const WEIGHTS_AT_ONCE: usize = 8 << 20;
/// What a hole in an image with values in [0, 1] is drawn as.
const GREY: f32 = 0.5;

/// Errors of the model inside holes of test examples, beside the conditional Gaussian and the mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Inpainting {
    /// What is hidden, one after the other.
    #[serde(deserialize_with = "holes")]
    #[schemars(length(min = 1))]
    holes: Vec<Hole>,
    /// What stands in a hole when the model is first shown it. A model that is told what is hidden (`masked`) fills in what it is used to.
    fill: Fill,
    /// Masks that are drawn for a random hole: test example `i` gets mask `i` modulo this number. The conditional Gaussian solves one system for each.
    num_masks: NonZeroU16,
    /// How often the model is asked: what it puts into the hole is shown to it the next time, with the observed part as it was.
    num_iterations: NonZeroU16,
}

impl Default for Inpainting {
    fn default() -> Self {
        let number = |value| NonZeroU16::new(value).expect("it is not 0");
        let holes = vec![Hole::Center { side: None }, Hole::Random { rate: 0.5 }];
        Self { holes, fill: Fill::Mean, num_masks: number(8), num_iterations: number(1) }
    }
}

/// What is hidden of an example.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Hole {
    /// A square in the middle of an image, through all channels.
    Center {
        /// Pixels along its side; half the shorter side of the image where left out.
        #[serde(default)]
        side: Option<NonZeroU32>,
    },
    /// Pixels of an image, through all channels, or features of other data, chosen at random.
    Random {
        /// Share that is hidden, between 0 and 1; rounded to whole pixels or features, at least one.
        rate: f64,
    },
}

/// What stands in a hole when the model is first shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Fill {
    /// The mean of the training split.
    Mean,
    /// 0, which is what a model that was trained with masking noise is used to.
    Zero,
}

fn holes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hole>, D::Error> {
    let holes = Vec::<Hole>::deserialize(deserializer)?;
    if holes.is_empty() {
        return Err(de::Error::custom("expected at least one hole, such as `{center: {}}` or `{random: {rate: 0.5}}`"));
    }
    for (position, hole) in holes.iter().enumerate() {
        if let Hole::Random { rate } = hole
            && !(*rate > 0.0 && *rate < 1.0)
        {
            return Err(de::Error::custom(format!("expected a `rate` above 0 and below 1, but it is {rate}")));
        }
        if holes[..position].contains(hole) {
            return Err(de::Error::custom("expected each hole once, but one is there twice"));
        }
    }
    Ok(holes)
}

/// A hole in examples of known shape.
#[derive(Debug, Clone, PartialEq)]
struct Cut {
    /// What stands behind the `@` of a metric.
    setting: String,
    /// What it is called in a picture.
    title: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// Which features are hidden.
    Fixed(Vec<bool>),
    /// How many of the pixels or features are.
    Random(usize),
}

/// Pixels of an image, or features of other data, and the channels that each goes through.
fn places(data: &DataSpec) -> (usize, usize) {
    match data.image_shape() {
        Some([channels, height, width]) => (height * width, channels),
        None => (data.num_features(), 1),
    }
}

impl Hole {
    /// The hole in such data, or why there is none.
    fn cut(self, data: &DataSpec) -> Result<Cut, String> {
        match self {
            Hole::Center { side } => {
                let Some([channels, height, width]) = data.image_shape() else {
                    return Err("`center` is for images".to_owned());
                };
                let shorter = height.min(width);
                let side = side.map_or((shorter / 2).max(1), |side| side.get() as usize);
                if side > shorter {
                    return Err(format!("a square of side {side} does not fit into an image of {height} x {width}"));
                }
                let (top, left) = ((height - side) / 2, (width - side) / 2);
                let inside = |pixel: usize| (top..top + side).contains(&(pixel / width)) && (left..left + side).contains(&(pixel % width));
                let is_hidden = (0..channels * height * width).map(|feature| inside(feature % (height * width))).collect();
                let title = format!("holes of {side} x {side} pixels in the middle");
                Ok(Cut { setting: format!("center_{side}"), title, kind: Kind::Fixed(is_hidden) })
            }
            Hole::Random { rate } => {
                let (num_places, _) = places(data);
                let num_hidden = ((rate * num_places as f64).round() as usize).clamp(1, num_places.max(1));
                let what = if data.image_shape().is_some() { "pixels" } else { "values" };
                let title = format!("holes of {num_hidden} of {num_places} {what} at random");
                Ok(Cut { setting: format!("random_{rate}"), title, kind: Kind::Random(num_hidden) })
            }
        }
    }
}

impl Cut {
    /// Which features are hidden, for each mask.
    fn masks(&self, data: &DataSpec, num_masks: usize, seed: u64, device: &Device) -> Result<Vec<Vec<bool>>, EvaluationError> {
        let num_hidden = match &self.kind {
            Kind::Fixed(is_hidden) => return Ok(vec![is_hidden.clone()]),
            Kind::Random(num_hidden) => *num_hidden,
        };
        let (num_places, num_channels) = places(data);
        let mut noise = StreamNoise(Draw::Inpainting.stream(seed));
        let of_one = |_| {
            let draws = to_values(noise.uniform([1, num_places], device), [1, num_places], "mask")?;
            let mut order: Vec<usize> = (0..num_places).collect();
            order.sort_by(|&a, &b| draws[a].total_cmp(&draws[b]));
            let mut is_hidden = vec![false; num_places];
            order[..num_hidden].iter().for_each(|&place| is_hidden[place] = true);
            Ok(is_hidden.repeat(num_channels))
        };
        (0..num_masks).map(of_one).collect()
    }
}

/// A hole as it is cut into the test examples, and what the training data let expect behind it.
struct Gap<'a> {
    setting: &'a str,
    title: &'a str,
    /// Which features are hidden, for the rows in turn.
    masks: &'a [Vec<bool>],
    /// Of the training examples; none where there are too many features.
    gaussian: Option<&'a Gaussian>,
    /// Of the training examples.
    mean: &'a [f64],
}

impl Gap<'_> {
    /// Hands the predictors to `visit`, with the position of the first, a few at a time: each has a matrix of observed by hidden features.
    fn for_each_predictors(
        &self,
        masks: &[Vec<bool>],
        mut visit: impl FnMut(usize, &[ConditionalGaussian]) -> Result<(), EvaluationError>,
    ) -> Result<(), EvaluationError> {
        let Some(gaussian) = self.gaussian else { return Ok(()) };
        let ridge = RELATIVE_RIDGE * gaussian.mean_variance();
        let num_weights = |mask: &Vec<bool>| {
            let num_hidden = mask.iter().filter(|hidden| **hidden).count();
            num_hidden * (mask.len() - num_hidden)
        };
        let at_once = (WEIGHTS_AT_ONCE / masks.first().map_or(0, num_weights).max(1)).max(1);
        for (chunk, masks) in masks.chunks(at_once).enumerate() {
            let predictors = masks.iter().map(|mask| gaussian.conditional(mask, ridge)).collect::<Result<Vec<_>, _>>()?;
            visit(chunk * at_once, &predictors)?;
        }
        Ok(())
    }
}

impl Inpainting {
    /// The holes in such data, each once, and why others are left out.
    fn cuts(&self, data: &DataSpec) -> (Vec<Cut>, Vec<String>) {
        let (mut cuts, mut reasons) = (Vec::<Cut>::new(), Vec::new());
        for hole in &self.holes {
            match hole.cut(data) {
                // A side that is the default may be written out beside it.
                Ok(cut) if cuts.contains(&cut) => {}
                Ok(cut) => cuts.push(cut),
                Err(reason) => reasons.push(format!("`inpainting` leaves out a hole: {reason}")),
            }
        }
        (cuts, reasons)
    }

    /// Test examples, from the `first` on, whose hidden part the model filled in, the rest as it was.
    fn inpainted(&self, context: &EvaluationContext<'_>, rows: &Rows, gap: &Gap<'_>, first: usize) -> Result<Vec<f32>, EvaluationError> {
        let [num_examples, size] = rows.shape();
        let Gap { masks, mean, .. } = *gap;
        let is_hidden: Vec<bool> = (first..first + num_examples).flat_map(|index| masks[index % masks.len()].iter().copied()).collect();
        let fill = |position: usize| match self.fill {
            Fill::Mean => mean[position % size] as f32,
            Fill::Zero => 0.0,
        };
        let mut values: Vec<f32> = rows
            .values
            .iter()
            .zip(&is_hidden)
            .enumerate()
            .map(|(position, (&x, &hidden))| if hidden { fill(position) } else { x })
            .collect();
        let tensor = |values: &[f32]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [num_examples, size]), context.device);
        let observed: Vec<f32> = is_hidden.iter().map(|&hidden| if hidden { 0.0 } else { 1.0 }).collect();
        // Of a series, a mask says where it ends.
        let mask = (context.test.spec().event_shape.len() != 2).then(|| tensor(&observed));
        let batch = Batch { x: tensor(&values), mask, ..rows.batch(context.device) };
        let conditioned = context.model.conditioned(&batch);
        let model = conditioned.as_deref().unwrap_or(context.model);
        for _ in 0..self.num_iterations.get() {
            let reconstruction = to_values(model.reconstruct(tensor(&values)), rows.shape(), "reconstruction")?;
            values.iter_mut().zip(reconstruction).zip(&is_hidden).filter(|(_, hidden)| **hidden).for_each(|((value, new), _)| *value = new);
        }
        Ok(values)
    }

    /// The numbers of one hole.
    fn measurements(&self, context: &EvaluationContext<'_>, gap: &Gap<'_>) -> Result<Vec<Measurement>, EvaluationError> {
        let Gap { setting, masks, gaussian, mean, .. } = *gap;
        let data = context.test.spec();
        let size = data.num_features();
        let hidden_error = |mask: &[bool], x: &[f32], value: &dyn Fn(usize) -> f64| -> f64 {
            let errors = (0..size).filter(|&feature| mask[feature]).map(|feature| (f64::from(x[feature]) - value(feature)).powi(2));
            let (num, sum) = errors.fold((0usize, 0.0), |(num, sum), error| (num + 1, sum + error));
            sum / num as f64
        };
        let (mut of_model, mut of_mean) = (ExampleMean::default(), ExampleMean::default());
        let mut first = 0;
        for_each_batch(context.test, Draw::Test.stream(context.seed), context.batch_size, |rows| {
            context.beat()?;
            let values = self.inpainted(context, rows, gap, first)?;
            for (index, (x, values)) in rows.values.chunks_exact(size).zip(values.chunks_exact(size)).enumerate() {
                let mask = &masks[(first + index) % masks.len()];
                of_model.push(hidden_error(mask, x, &|feature| f64::from(values[feature])));
                of_mean.push(hidden_error(mask, x, &|feature| mean[feature]));
            }
            first += rows.shape()[0];
            Ok(())
        })?;
        let mut of_gaussian = vec![0.0; context.test.len()];
        gap.for_each_predictors(masks, |first_mask, predictors| {
            first = 0;
            for_each_batch(context.test, Draw::Test.stream(context.seed), chunk_rows(size), |rows| {
                context.beat()?;
                let num_examples = rows.shape()[0];
                for (position, predictor) in predictors.iter().enumerate() {
                    let is_of_mask = |index: &usize| (first + index) % masks.len() == first_mask + position;
                    let of_mask: Vec<usize> = (0..num_examples).filter(is_of_mask).collect();
                    let given: Vec<f32> = of_mask.iter().flat_map(|index| &rows.values[index * size..][..size]).copied().collect();
                    let hidden = predictor.hidden();
                    for (index, values) in of_mask.iter().zip(predictor.predict(&given).chunks_exact(hidden.len())) {
                        let x = &rows.values[index * size..][..size];
                        let squares = hidden.iter().zip(values).map(|(&feature, value)| (f64::from(x[feature]) - value).powi(2));
                        of_gaussian[first + index] = squares.sum::<f64>() / hidden.len() as f64;
                    }
                }
                first += num_examples;
                Ok(())
            })
        })?;
        let mut named = vec![("", of_model.mean())];
        if gaussian.is_some() {
            named.push(("gaussian_", of_gaussian.iter().sum::<f64>() / of_gaussian.len() as f64));
        }
        named.push(("mean_", of_mean.mean()));
        let mut measurements = Vec::new();
        for (prefix, mse) in named {
            measurements.push(Measurement::new(&format!("{prefix}inpainting_mse@{setting}"), mse)?);
            if data.domain.is_unit_interval() && mse != 0.0 {
                measurements.push(Measurement::new(&format!("{prefix}inpainting_psnr@{setting}"), psnr(mse))?);
            }
        }
        Ok(measurements)
    }

    /// Images or series: whole, with the hole, filled in.
    fn picture(&self, context: &EvaluationContext<'_>, gap: &Gap<'_>) -> Result<Option<Picture>, EvaluationError> {
        let Gap { setting, title, masks, mean, .. } = *gap;
        let data = context.test.spec();
        let size = data.num_features();
        let is_image = data.image_shape().is_some();
        if !is_image && data.event_shape.len() != 2 {
            return Ok(None);
        }
        let indices = shown(context.test.len(), context.test.labels());
        let rows = Rows::gather(context.test, &indices, &mut Draw::Pictures.stream(context.seed));
        let ours = self.inpainted(context, &rows, gap, 0)?;
        let blank = match (is_image, data.domain.is_unit_interval()) {
            (true, true) => GREY,
            (true, false) => (mean.iter().sum::<f64>() / size as f64) as f32,
            (false, _) => f32::NAN,
        };
        let (mut holed, mut gaussian) = (rows.values.clone(), rows.values.clone());
        for index in 0..indices.len() {
            let part = index * size..(index + 1) * size;
            let mask = &masks[index % masks.len()];
            holed[part.clone()].iter_mut().zip(mask).filter(|(_, hidden)| **hidden).for_each(|(value, _)| *value = blank);
        }
        let num_shown = masks.len().min(indices.len());
        gap.for_each_predictors(&masks[..num_shown], |first_mask, predictors| {
            for (position, predictor) in predictors.iter().enumerate() {
                for index in (first_mask + position..indices.len()).step_by(masks.len()) {
                    let values = predictor.predict(&rows.values[index * size..][..size]);
                    predictor.hidden().iter().zip(values).for_each(|(&feature, value)| gaussian[index * size + feature] = value as f32);
                }
            }
            Ok(())
        })?;
        let labels = rows.labels.iter().flatten();
        let labels: Vec<String> =
            if is_image { labels.map(u32::to_string).collect() } else { labels.map(|label| format!("class {label}")).collect() };
        let whole = if is_image { "test image" } else { "test series" };
        let mut shown = vec![ExampleRow::new(whole, rows.values), ExampleRow::new("with the hole", holed)];
        if gap.gaussian.is_some() {
            shown.push(ExampleRow::new("conditional Gaussian", gaussian));
        }
        shown.push(ExampleRow::new("model", ours));
        let content = match (data.image_shape(), &data.event_shape[..]) {
            (Some(shape), _) => PictureContent::ImageRows { rows: shown, shape, labels },
            (None, &[num_steps, num_channels]) => PictureContent::SeriesRows { rows: shown, shape: [num_steps, num_channels], labels },
            (None, _) => return Ok(None),
        };
        Ok(Some(Picture::new(&format!("inpainting_{setting}"), format!("{title}, filled in"), content)))
    }
}

impl Measure for Inpainting {
    const NAME: &'static str = "inpainting";
    const SUMMARY: &'static str =
        "what the model puts into holes of test examples, beside the conditional Gaussian and the mean; asked for by name only";

    fn applies(&self, data: &DataSpec) -> bool {
        !self.cuts(data).0.is_empty()
    }

    fn complaints(&self, data: &DataSpec) -> Vec<String> {
        self.cuts(data).1
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        let applies = |name: &str| {
            (data.num_features() <= MAX_PCA_SIDE || !name.starts_with("gaussian_"))
                && (data.domain.is_unit_interval() || !name.ends_with("_psnr"))
        };
        let names = || METRICS.iter().map(|metric| metric.name).filter(|name| applies(name));
        self.cuts(data).0.iter().flat_map(|cut| names().map(|name| format!("{name}@{}", cut.setting)).collect::<Vec<_>>()).collect()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let data = context.test.spec();
        let (cuts, warnings) = self.cuts(data);
        let mut outcome = Outcome { warnings, ..Outcome::default() };
        if has_mask(context.test) {
            let warning =
                "`inpainting` measures nothing: some values of this data are missing already, so that what is behind a hole is not known";
            outcome.warnings.push(warning.to_owned());
            return Ok(outcome);
        }
        let mean = context.train_moments(Self::NAME)?.mean.clone();
        let gaussian = if data.num_features() <= MAX_PCA_SIDE {
            let (pca, warnings) = context.pca(Self::NAME)?;
            outcome.warnings.extend(warnings.iter().cloned());
            Some(Gaussian::of(pca))
        } else {
            None
        };
        for cut in &cuts {
            let masks = cut.masks(data, usize::from(self.num_masks.get()), context.seed, context.device)?;
            let gap = Gap { setting: &cut.setting, title: &cut.title, masks: &masks, gaussian: gaussian.as_ref(), mean: &mean };
            outcome.measurements.extend(self.measurements(context, &gap)?);
            outcome.pictures.extend(self.picture(context, &gap)?);
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Domain;

    #[test]
    fn the_central_hole_is_a_square_in_the_middle_of_every_channel() {
        let image = DataSpec::new([3, 5, 8], Domain::UnitInterval);
        let Cut { setting, kind: Kind::Fixed(is_hidden), .. } = Hole::Center { side: None }.cut(&image).unwrap() else {
            panic!("a fixed hole")
        };
        assert_eq!(setting, "center_2");
        let expected: Vec<usize> = (0..3).flat_map(|channel| [11, 12, 19, 20].map(|pixel| 40 * channel + pixel)).collect();
        assert_eq!((0..120).filter(|&feature| is_hidden[feature]).collect::<Vec<_>>(), expected);
        assert!(Hole::Center { side: NonZeroU32::new(6) }.cut(&image).unwrap_err().contains("does not fit"));
        assert!(Hole::Center { side: None }.cut(&DataSpec::new([40], Domain::Real)).is_err());
    }

    #[test]
    fn random_holes_hide_exactly_their_share_in_every_channel_alike_and_differ() {
        let image = DataSpec::new([3, 4, 5], Domain::UnitInterval);
        let masks = Hole::Random { rate: 0.3 }.cut(&image).unwrap().masks(&image, 6, 1, &Device::flex()).unwrap();
        for mask in &masks {
            let (first, others) = mask.split_at(20);
            assert_eq!(first.iter().filter(|hidden| **hidden).count(), 6);
            assert!(others.chunks(20).all(|channel| channel == first));
        }
        assert!(masks.iter().any(|mask| mask != &masks[0]));
        assert_eq!(masks, Hole::Random { rate: 0.3 }.cut(&image).unwrap().masks(&image, 6, 1, &Device::flex()).unwrap());
        let table = DataSpec::new([3], Domain::Real);
        assert_eq!(Hole::Random { rate: 0.01 }.cut(&table).unwrap().kind, Kind::Random(1));
    }
}
