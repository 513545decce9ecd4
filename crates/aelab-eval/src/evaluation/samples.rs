//! `samples`: images that a generative model makes up.

use std::num::NonZeroU16;

use aelab_core::{DataSpec, StreamNoise};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pass::{Draw, to_values};
use crate::registry::Measure;
use crate::{EvaluationContext, EvaluationError, Outcome, Picture};

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
    const SUMMARY: &'static str = "a picture of images generated from the prior, where the model has one";

    fn applies(&self, data: &DataSpec) -> bool {
        data.image_shape().is_some()
    }

    fn metric_names(&self, _data: &DataSpec) -> Vec<&'static str> {
        Vec::new()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        let data = context.test.spec();
        let num = usize::from(self.num.get());
        let mut noise = StreamNoise(Draw::Samples.stream(context.seed));
        let Some(shape) = data.image_shape() else { return Ok(Outcome::default()) };
        let Some(codes) = context.model.sample_prior(num, &mut noise, context.device) else { return Ok(Outcome::default()) };
        let images = to_values(context.model.decode(codes), [num, data.num_features()], "decoded samples")?;
        Ok(Outcome { pictures: vec![Picture::Samples { images, shape }], ..Outcome::default() })
    }
}
