//! `latent_scatter`: where test examples lie in a two-dimensional code.

use aelab_core::DataSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pass::{Draw, for_each_batch_of_first, to_values};
use crate::registry::Measure;
use crate::{EvaluationContext, EvaluationError, Outcome, Picture, PictureContent};

/// More points hide each other.
const MAX_POINTS: usize = 5000;

/// The codes of the first 5,000 test examples, encoded without their classes, for models with a two-dimensional code.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LatentScatter {}

impl Measure for LatentScatter {
    const NAME: &'static str = "latent_scatter";
    const SUMMARY: &'static str = "a picture of the codes of test examples, where the code is two-dimensional";
    const IS_DEFAULT: bool = true;

    fn applies(&self, _data: &DataSpec) -> bool {
        true
    }

    fn metric_names(&self, _data: &DataSpec) -> Vec<String> {
        Vec::new()
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        if context.code_size != 2 {
            return Ok(Outcome::nothing(Self::NAME, &format!("the code has {} dimensions, and a plane has two", context.code_size)));
        }
        context.require_test(Self::NAME)?;
        let mut points = Vec::new();
        for_each_batch_of_first(context.test, MAX_POINTS, Draw::Test.stream(context.seed), context.batch_size, |rows| {
            context.beat()?;
            let batch = rows.batch_without_labels(context.device);
            let conditioned = context.model.conditioned(&batch);
            let codes = conditioned.as_deref().unwrap_or(context.model).encode(batch.x);
            points.extend_from_slice(to_values(codes, [rows.shape()[0], 2], "code")?.as_chunks::<2>().0);
            Ok(())
        })?;
        if let Some(&value) = points.iter().flatten().find(|value| !value.is_finite()) {
            return Err(EvaluationError::NonFinite { metric: Self::NAME.to_owned(), value: f64::from(value) });
        }
        let labels = context.test.labels().map(|labels| labels[..points.len()].to_vec());
        let class_names = context.test.class_names().map(<[String]>::to_vec);
        let axes = ["z₁".to_owned(), "z₂".to_owned()];
        let content = PictureContent::Scatter { points, labels, class_names, axes };
        let picture = Picture::new("codes", "codes of test examples", content);
        Ok(Outcome { pictures: vec![picture], ..Outcome::default() })
    }
}
