//! `sequence`: series beside their reconstructions, and series that a generative model makes up.

use aelab_core::{DataSpec, StreamNoise};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reconstruction::shown;
use crate::pass::{Draw, Rows, to_values};
use crate::registry::Measure;
use crate::{EvaluationContext, EvaluationError, ExampleRow, Outcome, Picture, PictureContent};

/// Series in the picture of samples.
const NUM_SAMPLES: usize = 12;

/// Line plots of test series and their reconstructions, and of samples, where the model has a prior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sequence {
    /// Whether the picture shows what PCA of the same code size makes of the series; not where some values are missing.
    pca: bool,
}

impl Default for Sequence {
    fn default() -> Self {
        Self { pca: true }
    }
}

impl Measure for Sequence {
    const NAME: &'static str = "sequence";
    const DISPLAY_ONLY: &'static [&'static str] = &["pca"];
    const SUMMARY: &'static str = "pictures of series beside their reconstructions, and of series generated from the prior";
    const IS_DEFAULT: bool = true;
    const NEEDS: &'static str = "series";

    fn applies(&self, data: &DataSpec) -> bool {
        data.event_shape.len() == 2
    }

    fn metric_names(&self, _data: &DataSpec) -> Vec<String> {
        Vec::new()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        context.require_test(Self::NAME)?;
        let data = context.test.spec();
        let [num_steps, num_channels] = data.event_shape[..] else {
            return Ok(Outcome::nothing(Self::NAME, "the data are no series"));
        };
        let (shape, num_features) = ([num_steps, num_channels], data.num_features());
        let mut pictures = vec![self.reconstructions(context, shape)?];
        let mut noise = StreamNoise(Draw::Samples.stream(context.seed));
        if let Some(codes) = context.model.sample_prior(NUM_SAMPLES, &mut noise, context.device) {
            let series = to_values(context.model.decode(codes), [NUM_SAMPLES, num_features], "decoded samples")?;
            let rows = vec![ExampleRow::new("sample", series)];
            let content = PictureContent::SeriesRows { rows, shape, labels: Vec::new() };
            pictures.push(Picture::new("series_samples", "samples from the prior", content));
        }
        Ok(Outcome { pictures, ..Outcome::default() })
    }
}

impl Sequence {
    fn reconstructions(&self, context: &EvaluationContext<'_>, shape: [usize; 2]) -> Result<Picture, EvaluationError> {
        let indices = shown(context.test.len(), context.test.labels());
        let rows = Rows::gather(context.test, &indices, &mut Draw::Pictures.stream(context.seed));
        let batch = rows.batch(context.device);
        let conditioned = context.model.conditioned(&batch);
        let model = conditioned.as_deref().unwrap_or(context.model);
        let mut reconstructions = to_values(model.reconstruct(batch.x), rows.shape(), "reconstruction")?;
        let Rows { values: mut inputs, mask, labels, .. } = rows;
        let pca = if self.pca && context.has_pca() {
            let (pca, _) = context.pca(Self::NAME)?;
            Some(pca.reconstruct(&inputs, context.code_size).into_iter().map(|value| value as f32).collect())
        } else {
            None
        };
        for values in [&mut inputs, &mut reconstructions] {
            values.iter_mut().zip(mask.iter().flatten()).filter(|(_, observed)| **observed == 0.0).for_each(|(value, _)| *value = f32::NAN);
        }
        let mut rows = vec![ExampleRow::new("test series", inputs), ExampleRow::new("reconstruction", reconstructions)];
        rows.extend(pca.map(|values| ExampleRow::new(context.pca_caption(), values)));
        let labels = labels.iter().flatten().map(|label| format!("class {label}")).collect();
        let title = format!("test series and their reconstructions, {}-dimensional code", context.code_size);
        Ok(Picture::new("series", title, PictureContent::SeriesRows { rows, shape, labels }))
    }
}
