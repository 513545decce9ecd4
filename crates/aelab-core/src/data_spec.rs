//! What a model may know about its data before it has seen any.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The values a feature can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// Exactly 0 or 1.
    Binary,
    /// Anything in [0, 1].
    UnitInterval,
    /// Any finite number.
    Real,
}

impl Domain {
    /// Whether every value lies in [0, 1], which a Bernoulli likelihood needs.
    pub fn is_unit_interval(self) -> bool {
        matches!(self, Domain::Binary | Domain::UnitInterval)
    }
}

/// Shape and domain of one example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSpec {
    /// `[feature]` for a table, `[channel, height, width]` for an image, `[time, channel]` for a series.
    pub event_shape: Vec<usize>,
    /// The values a feature can take, after all transforms.
    pub domain: Domain,
    /// Number of label classes; `None` where the data has no labels.
    pub num_classes: Option<usize>,
}

impl DataSpec {
    /// A specification without labels.
    pub fn new(event_shape: impl Into<Vec<usize>>, domain: Domain) -> Self {
        Self { event_shape: event_shape.into(), domain, num_classes: None }
    }

    /// Features of one flattened example: the product of the event shape.
    pub fn num_features(&self) -> usize {
        self.event_shape.iter().product()
    }

    /// `[channel, height, width]` where an example is an image.
    pub fn image_shape(&self) -> Option<[usize; 3]> {
        match self.event_shape[..] {
            [channel, height, width] if channel == 1 || channel == 3 => Some([channel, height, width]),
            _ => None,
        }
    }
}
