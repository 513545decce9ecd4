//! `samples`: images that a generative model makes up.

use std::num::NonZeroU16;

use aelab_core::{Batch, DataSpec, StreamNoise, TrainedModel};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pass::{Draw, to_labels, to_values};
use crate::registry::Measure;
use crate::{EvaluationContext, EvaluationError, Outcome, Picture, PictureContent};

/// Images decoded from samples of the prior, for generative models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Samples {
    /// Number of images.
    num: NonZeroU16,
}

impl Default for Samples {
    fn default() -> Self {
        Self { num: NonZeroU16::new(64).expect("64 is not 0") }
    }
}

impl Measure for Samples {
    const NAME: &'static str = "samples";
    const DISPLAY_ONLY: &'static [&'static str] = &["num"];
    const SUMMARY: &'static str = "a picture of images generated from the prior, where the model has one";
    const IS_DEFAULT: bool = true;
    const NEEDS: &'static str = "images";

    fn applies(&self, data: &DataSpec) -> bool {
        data.image_shape().is_some()
    }

    fn metric_names(&self, _data: &DataSpec) -> Vec<String> {
        Vec::new()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        let data = context.test.spec();
        let num = usize::from(self.num.get());
        let Some(shape) = data.image_shape() else {
            return Ok(Outcome::nothing(Self::NAME, "samples are shown as images, and the data are none"));
        };
        let (of_classes, columns) = match conditioned_on_classes(num, context) {
            Some((model, num_classes)) => (Some(model), Some(num_classes)),
            None => (None, None),
        };
        let model = of_classes.as_deref().unwrap_or(context.model);
        let num = columns.map_or(num, |columns| whole_rows(num, columns));
        let mut noise = StreamNoise(Draw::Samples.stream(context.seed));
        let Some(codes) = model.sample_prior(num, &mut noise, context.device) else {
            return Ok(Outcome::nothing(Self::NAME, "the model has no prior to draw codes from"));
        };
        let images = to_values(model.decode(codes), [num, data.num_features()], "decoded samples")?;
        let each = if columns.is_some() { ", one class per column" } else { "" };
        let title = format!("samples from the prior{each}");
        let picture = Picture::new("samples", title, PictureContent::ImageGrid { images, shape, columns });
        Ok(Outcome { pictures: vec![picture], ..Outcome::default() })
    }
}

/// The model for classes in turn, and their number, where the data has classes and the model wants to know them.
pub(super) fn conditioned_on_classes(num: usize, context: &EvaluationContext<'_>) -> Option<(Box<dyn TrainedModel>, usize)> {
    let num_classes = context.test.spec().num_classes.filter(|&num_classes| num_classes > 0)?;
    let labels: Vec<u32> = (0..whole_rows(num, num_classes)).map(|index| (index % num_classes) as u32).collect();
    Some((for_classes(&labels, context)?, num_classes))
}

/// The model for rows of those classes that no examples are behind, where it wants to know them.
pub(super) fn for_classes(labels: &[u32], context: &EvaluationContext<'_>) -> Option<Box<dyn TrainedModel>> {
    // Zeros stand in for the examples.
    let x = Tensor::zeros([labels.len(), context.test.spec().num_features()], context.device);
    context.model.conditioned(&Batch { labels: Some(to_labels(labels, context.device)), ..Batch::new(x) })
}

/// As many of `num` as fill rows of `columns`, at least one row.
pub(super) fn whole_rows(num: usize, columns: usize) -> usize {
    (num / columns).max(1) * columns
}
