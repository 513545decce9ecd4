//! Pictures of what lies between and around codes.

use aelab_core::{Noise, StreamNoise};

use super::generation::{Spread, decoded};
use super::reconstruction::shown;
use crate::codes::Codes;
use crate::pass::{Draw, Rows, to_values};
use crate::{EvaluationContext, EvaluationError, ExampleRow, Picture, PictureContent};

const EVALUATION: &str = "generation";
/// Codes along a path, its ends among them.
const NUM_ON_PATH: usize = 8;
/// Classes and examples that are shown.
const MAX_ROWS: usize = 10;
/// Standard deviations of the noise, in those of the codes of training examples.
const SCALES: [f32; 4] = [0.25, 0.5, 1.0, 2.0];
const DRAWS_PER_SCALE: usize = 2;
/// Standard deviations from -3 to 3.
const STEPS: [f32; 9] = [-3.0, -2.25, -1.5, -0.75, 0.0, 0.75, 1.5, 2.25, 3.0];
/// Images along a side of the manifold.
const SIDE: usize = 20;
/// Draws from the prior that say how it is spread.
const NUM_DRAWS: usize = 10_000;
/// Codes with more dimensions are feature maps: fewer draws say how they are spread.
const MAX_DRAWN: usize = 1 << 22;

/// All pictures that can be made of images with that shape; none where a code has no dimensions.
pub(super) fn pictures(context: &EvaluationContext<'_>, shape: [usize; 3]) -> Result<Vec<Picture>, EvaluationError> {
    let [of_train, of_test] = context.told_codes(EVALUATION)?;
    if of_test.size == 0 {
        return Ok(Vec::new());
    }
    let atlas = Atlas { context, shape, of_test, of_train, deviation: deviations(&Spread::of(&of_train.values, of_train.size)) };
    let prior = atlas.draw_prior()?;
    let mut pictures = Vec::new();
    pictures.extend(atlas.interpolation()?);
    pictures.push(atlas.neighbourhood_of_examples()?);
    pictures.extend(atlas.neighbourhood_of_classes()?);
    pictures.push(atlas.traversal(prior.as_deref())?);
    if of_test.size == 2 {
        pictures.push(atlas.manifold(prior.as_deref())?);
    }
    Ok(pictures)
}

fn deviations(spread: &Spread) -> Vec<f32> {
    spread.variance.iter().map(|variance| variance.sqrt() as f32).collect()
}

/// What all pictures are made of.
struct Atlas<'a> {
    context: &'a EvaluationContext<'a>,
    shape: [usize; 3],
    of_test: &'a Codes,
    of_train: &'a Codes,
    /// Standard deviation of each dimension of the training codes.
    deviation: Vec<f32>,
}

impl Atlas<'_> {
    fn noise(&self, number: u64) -> StreamNoise {
        StreamNoise(Draw::Generation.numbered_stream(self.context.seed, number))
    }

    /// Draws from the prior, `[draw, latent]`, where there is one.
    fn draw_prior(&self) -> Result<Option<Vec<f32>>, EvaluationError> {
        let size = self.of_test.size;
        let num = NUM_DRAWS.min(MAX_DRAWN / size).max(2);
        let drawn = self.context.model.sample_prior(num, &mut self.noise(4), self.context.device);
        // A prior over something else than codes, as over the inputs of a deeper layer, has no place in these pictures.
        drawn.filter(|drawn| drawn.dims() == [num, size]).map(|drawn| to_values(drawn, [num, size], "samples of the prior")).transpose()
    }

    /// Test examples to show, the first of each class where there are few classes.
    fn examples(&self) -> Vec<usize> {
        let all = shown(self.context.test.len(), self.context.test.labels());
        let Some(labels) = self.context.test.labels() else { return all };
        let mut firsts: Vec<usize> = Vec::new();
        for index in &all {
            if firsts.last().is_none_or(|last| labels[*last] != labels[*index]) {
                firsts.push(*index);
            }
        }
        firsts.truncate(MAX_ROWS);
        firsts
    }

    fn images(&self, indices: &[usize]) -> Vec<f32> {
        Rows::gather(self.context.test, indices, &mut Draw::Pictures.stream(self.context.seed)).values
    }

    /// The class of a test example, `num` times.
    fn classes_of(&self, index: usize, num: usize) -> Option<Vec<u32>> {
        self.context.test.labels().map(|labels| vec![labels[index]; num])
    }

    fn decoded(&self, codes: &[f32], classes: Option<&[u32]>) -> Result<Vec<f32>, EvaluationError> {
        decoded(codes, self.of_test.size, classes, self.context)
    }

    fn rows(&self, name: &str, title: &str, rows: Vec<ExampleRow>, labels: Vec<String>) -> Picture {
        Picture::new(name, title, PictureContent::ImageRows { rows, shape: self.shape, labels })
    }

    /// From one test example to another, of another class where there are classes; nothing where there are no two.
    fn interpolation(&self) -> Result<Option<Picture>, EvaluationError> {
        let mut rows = Vec::new();
        for (start, end) in self.examples().as_chunks::<2>().0.iter().map(|&[start, end]| (start, end)) {
            let ends = [self.images(&[start]), self.images(&[end])];
            for (caption, path) in [("linear", linear as fn(&[f32], &[f32], f32) -> Vec<f32>), ("spherical", spherical)] {
                let steps = (0..NUM_ON_PATH).map(|step| step as f32 / (NUM_ON_PATH - 1) as f32);
                let codes: Vec<f32> = steps.flat_map(|t| path(self.of_test.row(start), self.of_test.row(end), t)).collect();
                let between = self.decoded(&codes, self.classes_of(start, NUM_ON_PATH).as_deref())?;
                rows.push(ExampleRow::new(caption, [&ends[0][..], &between, &ends[1]].concat()));
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let on_path = (0..NUM_ON_PATH).map(|step| format!("{step}/{}", NUM_ON_PATH - 1));
        let labels = ["test".to_owned()].into_iter().chain(on_path).chain(["test".to_owned()]).collect();
        Ok(Some(self.rows("interpolation", "between the codes of two test images, linearly and spherically", rows, labels)))
    }

    /// A code and ever more noise around it, decoded.
    fn around(&self, code: &[f32], noise: &mut StreamNoise, classes: Option<&[u32]>) -> Result<Vec<f32>, EvaluationError> {
        let size = self.of_test.size;
        let num = SCALES.len() * DRAWS_PER_SCALE;
        let drawn = to_values(noise.normal([num, size], self.context.device), [num, size], "noise")?;
        let mut codes = code.to_vec();
        for (index, drawn) in drawn.chunks_exact(size).enumerate() {
            let scale = SCALES[index / DRAWS_PER_SCALE];
            codes.extend(code.iter().zip(drawn).zip(&self.deviation).map(|((&code, &noise), &deviation)| code + scale * deviation * noise));
        }
        self.decoded(&codes, classes)
    }

    fn labels_around(first: &[&str]) -> Vec<String> {
        let scales = SCALES.iter().flat_map(|scale| std::iter::repeat_n(scale.to_string(), DRAWS_PER_SCALE));
        first.iter().map(|&label| label.to_owned()).chain(scales).collect()
    }

    fn class_name(&self, class: u32) -> String {
        let names = self.context.test.class_names();
        names.and_then(|names| names.get(class as usize)).cloned().unwrap_or_else(|| class.to_string())
    }

    fn neighbourhood_of_examples(&self) -> Result<Picture, EvaluationError> {
        let mut noise = self.noise(5);
        let mut rows = Vec::new();
        for index in self.examples() {
            let classes = self.classes_of(index, 1 + SCALES.len() * DRAWS_PER_SCALE);
            let around = self.around(self.of_test.row(index), &mut noise, classes.as_deref())?;
            let caption = match self.context.test.labels() {
                Some(labels) => self.class_name(labels[index]),
                None => format!("example {index}"),
            };
            rows.push(ExampleRow::new(caption, [self.images(&[index]), around].concat()));
        }
        let labels = Self::labels_around(&["test", "code"]);
        Ok(self.rows("neighbourhood", "around the code of a test image: noise in standard deviations of the codes", rows, labels))
    }

    /// The same around the mean code of the training examples of each class.
    fn neighbourhood_of_classes(&self) -> Result<Option<Picture>, EvaluationError> {
        let Some(labels) = self.context.train.labels() else { return Ok(None) };
        let size = self.of_train.size;
        let mut classes: Vec<u32> = labels.to_vec();
        classes.sort_unstable();
        classes.dedup();
        classes.truncate(MAX_ROWS);
        let mut noise = self.noise(6);
        let mut rows = Vec::new();
        for class in classes {
            let of_class: Vec<f32> = labels
                .iter()
                .enumerate()
                .filter(|(_, label)| **label == class)
                .flat_map(|(index, _)| self.of_train.row(index).to_vec())
                .collect();
            let centroid: Vec<f32> = Spread::of(&of_class, size).mean.into_iter().map(|mean| mean as f32).collect();
            let classes = vec![class; 1 + SCALES.len() * DRAWS_PER_SCALE];
            rows.push(ExampleRow::new(self.class_name(class), self.around(&centroid, &mut noise, Some(&classes))?));
        }
        let title = "around the mean code of a class: noise in standard deviations of the codes";
        Ok(Some(self.rows("class_neighbourhood", title, rows, Self::labels_around(&["mean code"]))))
    }

    /// One dimension at a time through the prior, or through the codes of training examples where there is none.
    fn traversal(&self, prior: Option<&[f32]>) -> Result<Picture, EvaluationError> {
        let size = self.of_test.size;
        let of_prior = Spread::of(prior.unwrap_or(&self.of_train.values), size);
        let deviation = deviations(&of_prior);
        let variance = Spread::of(&self.of_test.values, size).variance;
        let mut dimensions: Vec<usize> = (0..size).collect();
        dimensions.sort_by(|&a, &b| variance[b].total_cmp(&variance[a]));
        dimensions.truncate(MAX_ROWS);
        let index = self.examples()[0];
        let mut rows = Vec::new();
        for dimension in dimensions {
            let codes: Vec<f32> = STEPS
                .iter()
                .flat_map(|step| {
                    let mut code = self.of_test.row(index).to_vec();
                    code[dimension] = of_prior.mean[dimension] as f32 + step * deviation[dimension];
                    code
                })
                .collect();
            let images = self.decoded(&codes, self.classes_of(index, STEPS.len()).as_deref())?;
            rows.push(ExampleRow::new(format!("z{}, variance {:.2}", dimension + 1, variance[dimension]), images));
        }
        let of = if prior.is_some() { "the prior" } else { "the training codes" };
        let title = format!("one dimension at a time, in standard deviations of {of}");
        Ok(self.rows("traversal", &title, rows, STEPS.iter().map(f32::to_string).collect()))
    }

    /// The plane of codes: at even quantiles of the prior, or over the range of the training codes.
    fn manifold(&self, prior: Option<&[f32]>) -> Result<Picture, EvaluationError> {
        let axes = [0, 1].map(|dimension| grid(prior.unwrap_or(&self.of_train.values), dimension, prior.is_some()));
        // Upwards is up.
        let codes: Vec<f32> = axes[1].iter().rev().flat_map(|&second| axes[0].iter().flat_map(move |&first| [first, second])).collect();
        let class = self.classes_of(self.examples()[0], SIDE * SIDE);
        let images = self.decoded(&codes, class.as_deref())?;
        let of = if prior.is_some() { "at even quantiles of the prior" } else { "over the range of the training codes" };
        let content = PictureContent::ImageGrid { images, shape: self.shape, columns: Some(SIDE) };
        Ok(Picture::new("manifold", format!("codes {of}: z₁ to the right, z₂ upwards"), content))
    }
}

/// Places along one axis of codes `[code, 2]`: in the middle of equally probable intervals, or evenly over all but a hundredth of them.
fn grid(codes: &[f32], dimension: usize, by_quantile: bool) -> Vec<f32> {
    let mut values: Vec<f32> = codes.iter().skip(dimension).step_by(2).copied().collect();
    values.sort_unstable_by(f32::total_cmp);
    let quantile = |share: f32| {
        let position = share * (values.len() - 1) as f32;
        let below = (position as usize).min(values.len() - 1);
        let above = (below + 1).min(values.len() - 1);
        values[below] + (position - below as f32) * (values[above] - values[below])
    };
    if by_quantile {
        (0..SIDE).map(|step| quantile((step as f32 + 0.5) / SIDE as f32)).collect()
    } else {
        let (low, high) = (quantile(0.005), quantile(0.995));
        (0..SIDE).map(|step| low + (high - low) * step as f32 / (SIDE - 1) as f32).collect()
    }
}

/// The straight line from `start` (`t` = 0) to `end` (`t` = 1).
fn linear(start: &[f32], end: &[f32], t: f32) -> Vec<f32> {
    start.iter().zip(end).map(|(&start, &end)| start + t * (end - start)).collect()
}

/// The arc from `start` to `end` around the origin at an even pace (Shoemake 1985, "Animating Rotation with Quaternion Curves", Sec. 3.3,
/// <https://doi.org/10.1145/325165.325242>), its radius changing evenly: the formula itself is for equal lengths and swings far out
/// where two lengths differ and the angle is wide. The straight line where there is no arc: both in one direction, in opposite ones,
/// or one without a direction.
fn spherical(start: &[f32], end: &[f32], t: f32) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    let [from, to] = [start, end].map(|code| dot(code, code).sqrt());
    let angle = (dot(start, end) / (from * to)).clamp(-1.0, 1.0).acos();
    let sine = angle.sin();
    // The angle of a vector of length 0 is NaN.
    if sine.is_nan() || sine < 1e-6 {
        return linear(start, end, t);
    }
    let t = f64::from(t);
    let radius = from + t * (to - from);
    let weights = [((1.0 - t) * angle).sin() / sine * radius / from, (t * angle).sin() / sine * radius / to];
    start.iter().zip(end).map(|(&start, &end)| (weights[0] * f64::from(start) + weights[1] * f64::from(end)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arc_stays_on_the_sphere_at_an_even_pace_and_begins_and_ends_where_it_should() {
        let (start, end) = ([3.0, 0.0, 0.0], [0.0, 0.0, 3.0]);
        for t in [0.0, 0.25, 0.5, 1.0] {
            let angle = t * std::f32::consts::FRAC_PI_2;
            let found = spherical(&start, &end, t);
            for (found, expected) in found.iter().zip([3.0 * angle.cos(), 0.0, 3.0 * angle.sin()]) {
                assert!((found - expected).abs() < 1e-6, "{found:?}");
            }
        }
        let (start, end) = ([1.0, 0.0], [0.0, 3.0]);
        let half = spherical(&start, &end, 0.5);
        assert!(half.iter().all(|value| (value - 2f32.sqrt()).abs() < 1e-6), "the radius is halfway, too: {half:?}");
        assert_eq!((spherical(&start, &end, 0.0), spherical(&start, &end, 1.0)), (start.to_vec(), end.to_vec()));
    }

    #[test]
    fn where_there_is_no_arc_the_line_is_taken() {
        for (start, end) in [([1.0, 1.0], [2.0, 2.0]), ([1.0, 1.0], [-1.0, -1.0]), ([0.0, 0.0], [1.0, 3.0]), ([0.0, 0.0], [0.0, 0.0])] {
            assert_eq!(spherical(&start, &end, 0.25), linear(&start, &end, 0.25));
        }
    }

    #[test]
    fn a_grid_is_at_quantiles_or_over_the_range() {
        let codes: Vec<f32> = (0..=1000).flat_map(|index| [(index as f32 / 1000.0).powi(2), -1.0]).collect();
        let by_quantile = grid(&codes, 0, true);
        assert!(
            by_quantile.iter().enumerate().all(|(step, value)| (value - ((step as f32 + 0.5) / 20.0).powi(2)).abs() < 1e-5),
            "{by_quantile:?}"
        );
        let over_range = grid(&codes, 0, false);
        assert!(
            (over_range[1] - over_range[0] - (over_range[19] - over_range[18])).abs() < 1e-6 && over_range[19] > 0.98,
            "{over_range:?}"
        );
        assert_eq!(grid(&codes, 1, true), [-1.0; 20]);
    }
}
