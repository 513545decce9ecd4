//! `reconstruction`: how far what comes out is from what went in.

use aelab_core::{DataSpec, StepContext, StreamNoise};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::ExampleMean;
use crate::metric::bce::cross_entropy;
use crate::metric::errors::{ReconstructionErrors, applicable};
use crate::pass::{Draw, for_each_batch, to_tensor, to_values};
use crate::registry::Measure;
use crate::{EvaluationContext, EvaluationError, MAX_PCA_SIDE, Measurement, Outcome, Picture};

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

    fn metric_names(&self, data: &DataSpec) -> Vec<&'static str> {
        applicable(METRICS, data)
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let data = context.test.spec();
        let num_features = data.num_features();
        let mut errors = ReconstructionErrors::new(data);
        let mut cross_entropies = ExampleMean::default();
        let mut has_logits = data.domain.is_unit_interval();
        for_each_batch(context.test, Draw::Test.stream(context.seed), context.batch_size, |range, rows| {
            let shape = [range.len(), num_features];
            let x = to_tensor(rows, num_features, context.device);
            if has_logits {
                match context.model.decode_logits(context.model.encode(x.clone())) {
                    Some(logits) => {
                        let logits = to_values(logits, shape, "logits")?;
                        for (x, logits) in rows.chunks_exact(num_features).zip(logits.chunks_exact(num_features)) {
                            cross_entropies.push(cross_entropy(x, logits));
                        }
                    }
                    None => has_logits = false,
                }
            }
            errors.push(rows, &to_values(context.model.reconstruct(x), shape, "reconstruction")?);
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
        Ok(Outcome { measurements, pictures, warnings: Vec::new() })
    }
}

impl Reconstruction {
    fn picture(&self, context: &EvaluationContext<'_>, shape: [usize; 3]) -> Result<Picture, EvaluationError> {
        let num_features = context.test.spec().num_features();
        let labels = context.test.labels();
        let indices = shown(context.test.len(), labels);
        let mut inputs = Vec::with_capacity(indices.len() * num_features);
        context.test.gather(&indices, &mut Draw::Pictures.stream(context.seed), &mut inputs);
        let size = [indices.len(), num_features];
        let x = to_tensor(&inputs, num_features, context.device);
        let mut noise = StreamNoise(Draw::Corruption.stream(context.seed));
        let mut step = StepContext { progress: context.progress, learning_rate: 0.0, noise: &mut noise };
        let corrupted = context.model.corrupted(x.clone(), &mut step);
        let reconstructions = to_values(context.model.reconstruct(corrupted.clone().unwrap_or(x)), size, "reconstruction")?;
        let corrupted = corrupted.map(|tensor| to_values(tensor, size, "corrupted input")).transpose()?;
        let affordable = num_features.min(context.train.len()) <= MAX_PCA_SIDE && !context.train.is_empty();
        let pca = if self.pca && affordable {
            let (pca, _) = context.pca(Self::NAME)?;
            Some(pca.reconstruct(&inputs, context.code_size).into_iter().map(|value| value as f32).collect())
        } else {
            None
        };
        let labels = labels.map(|labels| indices.iter().map(|&index| labels[index]).collect());
        Ok(Picture::Reconstructions { inputs, corrupted, reconstructions, pca, shape, labels })
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
