//! `reconstruction`: how far what comes out is from what went in.

use aelab_core::{DataSpec, StepContext, StreamNoise};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::ExampleMean;
use crate::metric::bce::cross_entropy;
use crate::metric::errors::{ReconstructionErrors, applicable};
use crate::pass::{Draw, Rows, for_each_batch, to_values};
use crate::registry::Measure;
use crate::{EvaluationContext, EvaluationError, ExampleRow, MAX_PCA_SIDE, Measurement, Outcome, Picture, PictureContent};

const METRICS: &[&str] = &["sse", "mse", "mae", "bce", "psnr", "ssim"];
/// Up to this many classes, the picture shows two images of each.
const MAX_CLASSES_SHOWN: usize = 10;
/// Images in the picture otherwise.
const NUM_SHOWN: usize = 10;

/// Reconstruction errors on the test split, and test images beside their reconstructions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Reconstruction {
    /// Whether the picture shows what PCA of the same code size makes of the images.
    pca: bool,
}

impl Default for Reconstruction {
    fn default() -> Self {
        Self { pca: true }
    }
}

impl Measure for Reconstruction {
    const NAME: &'static str = "reconstruction";
    const SUMMARY: &'static str = "errors between test examples and their reconstructions, and a picture of both";

    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        applicable(METRICS, data)
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let data = context.test.spec();
        let mut errors = ReconstructionErrors::new(data);
        let mut cross_entropies = ExampleMean::default();
        let mut has_logits = data.domain.is_unit_interval();
        for_each_batch(context.test, Draw::Test.stream(context.seed), context.batch_size, |rows| {
            let batch = rows.batch(context.device);
            let conditioned = context.model.conditioned(&batch);
            let model = conditioned.as_deref().unwrap_or(context.model);
            if has_logits {
                match model.decode_logits(model.encode(batch.x.clone())) {
                    Some(logits) => push_cross_entropies(rows, &to_values(logits, rows.shape(), "logits")?, &mut cross_entropies),
                    None => has_logits = false,
                }
            }
            let reconstruction = to_values(model.reconstruct(batch.x), rows.shape(), "reconstruction")?;
            errors.push(&rows.values, &reconstruction, rows.mask.as_deref());
            Ok(())
        })?;
        let mut measurements = errors.measurements("", METRICS)?;
        if has_logits {
            let after_mae = 3;
            measurements.insert(after_mae, Measurement::new("bce", cross_entropies.mean())?);
        }
        let pictures = match data.image_shape() {
            Some(shape) => vec![self.picture(context, shape)?],
            None => Vec::new(),
        };
        Ok(Outcome { measurements, pictures, ..Outcome::default() })
    }
}

impl Reconstruction {
    fn picture(&self, context: &EvaluationContext<'_>, shape: [usize; 3]) -> Result<Picture, EvaluationError> {
        let num_features = context.test.spec().num_features();
        let indices = shown(context.test.len(), context.test.labels());
        let rows = Rows::gather(context.test, &indices, &mut Draw::Pictures.stream(context.seed));
        let size = rows.shape();
        let batch = rows.batch(context.device);
        let conditioned = context.model.conditioned(&batch);
        let model = conditioned.as_deref().unwrap_or(context.model);
        let mut noise = StreamNoise(Draw::Corruption.stream(context.seed));
        let mut step = StepContext { progress: context.progress, learning_rate: 0.0, noise: &mut noise };
        let corrupted = model.corrupted(batch.x.clone(), &mut step);
        let reconstructions = to_values(model.reconstruct(corrupted.clone().unwrap_or(batch.x)), size, "reconstruction")?;
        let corrupted = corrupted.map(|tensor| to_values(tensor, size, "corrupted input")).transpose()?;
        let affordable = num_features.min(context.train.len()) <= MAX_PCA_SIDE && !context.train.is_empty();
        let pca = if self.pca && affordable {
            let (pca, _) = context.pca(Self::NAME)?;
            Some(pca.reconstruct(&rows.values, context.code_size).into_iter().map(|value| value as f32).collect())
        } else {
            None
        };
        let mut shown = vec![ExampleRow::new("test image", rows.values)];
        shown.extend(corrupted.map(|values| ExampleRow::new("corrupted", values)));
        shown.push(ExampleRow::new("reconstruction", reconstructions));
        shown.extend(pca.map(|values| ExampleRow::new(context.pca_caption(), values)));
        let labels = rows.labels.iter().flatten().map(u32::to_string).collect();
        let title = format!("{}-dimensional code", context.code_size);
        Ok(Picture::new("reconstruction", title, PictureContent::ImageRows { rows: shown, shape, labels }))
    }
}

/// The cross-entropy of each example, summed over what was observed of it.
fn push_cross_entropies(rows: &Rows, logits: &[f32], cross_entropies: &mut ExampleMean) {
    let [_, num_features] = rows.shape();
    for (index, (x, logits)) in rows.values.chunks_exact(num_features).zip(logits.chunks_exact(num_features)).enumerate() {
        cross_entropies.push(match &rows.mask {
            None => cross_entropy(x, logits),
            Some(mask) => {
                let mask = &mask[index * num_features..][..num_features];
                let observed = |values: &[f32]| -> Vec<f32> {
                    values.iter().zip(mask).filter(|(_, mask)| **mask > 0.0).map(|(&value, _)| value).collect()
                };
                cross_entropy(&observed(x), &observed(logits))
            }
        });
    }
}

/// Positions of the images to show: the first two of each class in the order of the classes, or the first
/// ten where there are no classes or too many.
pub(super) fn shown(num_examples: usize, labels: Option<&[u32]>) -> Vec<usize> {
    if let Some(labels) = labels {
        let mut classes: Vec<u32> = labels.to_vec();
        classes.sort_unstable();
        classes.dedup();
        if classes.len() <= MAX_CLASSES_SHOWN {
            let of_class =
                |&class: &u32| labels.iter().enumerate().filter(move |&(_, &label)| label == class).map(|(index, _)| index).take(2);
            return classes.iter().flat_map(of_class).collect();
        }
    }
    (0..num_examples.min(NUM_SHOWN)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_images_of_each_class_are_shown_or_the_first_ten() {
        assert_eq!(shown(6, Some(&[1, 0, 1, 1, 2, 0])), [1, 5, 0, 2, 4]);
        assert_eq!(shown(3, None), [0, 1, 2]);
        assert_eq!(shown(100, Some(&(0..100).collect::<Vec<u32>>())), (0..10).collect::<Vec<_>>());
    }
}
