//! The codes of a whole split.

use aelab_core::{Examples, Pulse, Stream, TrainedModel};
use burn::tensor::Device;

use crate::EvaluationError;
use crate::context::beat;
use crate::pass::{for_each_batch, to_values};

/// What a model that conditions on classes is told of the examples that it encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing.
    Nothing,
    /// The class of each, where the data has classes.
    Classes,
}

/// Codes of examples in their order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Codes {
    /// Row after row, `[example, latent]`; always finite.
    pub(crate) values: Vec<f32>,
    /// Dimensions of a code.
    pub(crate) size: usize,
}

impl Codes {
    /// What `model` encodes the examples as; a model that conditions on masks is given them, and on classes only where it is
    /// `told`. Nothing that is measured against labels may be: it would find in the codes what the encoder was told.
    pub(crate) fn of(
        model: &dyn TrainedModel,
        examples: &dyn Examples,
        told: Told,
        stream: Stream,
        batch_size: usize,
        device: &Device,
        pulse: &Pulse,
    ) -> Result<Self, EvaluationError> {
        let (mut values, mut size) = (Vec::new(), 0);
        for_each_batch(examples, stream, batch_size, |rows| {
            beat(pulse)?;
            let batch = match told {
                Told::Nothing => rows.batch_without_labels(device),
                Told::Classes => rows.batch(device),
            };
            let conditioned = model.conditioned(&batch);
            let codes = conditioned.as_deref().unwrap_or(model).encode(batch.x);
            // The first batch says how large a code is, which is not always the model's `code_size`: a feature map is a code too.
            size = if size == 0 { codes.dims()[1] } else { size };
            values.extend(to_values(codes, [rows.shape()[0], size], "code")?);
            Ok(())
        })?;
        match values.iter().find(|value| !value.is_finite()) {
            Some(&value) => Err(EvaluationError::NonFinite { metric: "code".to_owned(), value: f64::from(value) }),
            None => Ok(Self { values, size }),
        }
    }

    /// Number of codes.
    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.size.max(1)
    }

    /// One code, `[latent]`.
    pub(crate) fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.size..][..self.size]
    }
}
