//! The read-only view of a split of a data set that training and evaluation have.

use crate::{DataSpec, Stream};

/// What examples were made of: factors of variation with finitely many values each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factors {
    /// Name of each factor.
    pub names: Vec<String>,
    /// Number of values of each factor, `[factor]`.
    pub sizes: Vec<u32>,
    /// Value of each factor of each example, from 0, `[example, factor]`.
    pub indices: Vec<u32>,
}

impl Factors {
    /// The values of the factors of one example, `[factor]`.
    pub fn of(&self, example: usize) -> &[u32] {
        &self.indices[example * self.sizes.len()..(example + 1) * self.sizes.len()]
    }
}

/// A split of a data set: examples addressed by position.
///
/// Values arrive already transformed (scaled, standardised, binarised). A transform that draws anew at
/// each access (dynamic binarisation) draws from the stream it is handed, so that the same stream gives
/// the same values.
pub trait Examples: Send + Sync {
    /// Shape and domain of one example.
    fn spec(&self) -> &DataSpec;

    /// Number of examples.
    fn len(&self) -> usize;

    /// Whether there are no examples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the examples at `indices` to `out`, row after row (`indices.len() * num_features` values).
    ///
    /// # Panics
    /// When an index is not below [`len`](Self::len): indices come from the loop, not from a user.
    fn gather(&self, indices: &[usize], stream: &mut Stream, out: &mut Vec<f32>);

    /// Appends to `out` 1 for each value of the examples at `indices` that was observed and 0 for each that is
    /// padding or missing, row after row, and says `true`; says `false` where nothing is ever missing.
    fn gather_mask(&self, _indices: &[usize], _out: &mut Vec<f32>) -> bool {
        false
    }

    /// Observed time steps of every series, `[example]`, where they differ: batches are then made of series of
    /// similar length.
    fn lengths(&self) -> Option<&[u32]> {
        None
    }

    /// Appends what was held out of the examples at `indices` (ratings of a user that are to be predicted from the
    /// others): to `values` the values, 0 where nothing was held out, and to `mask` 1 for each that was; row after
    /// row. They are neither in what [`gather`](Self::gather) nor in what [`gather_mask`](Self::gather_mask) gives.
    /// Says `false` where nothing is held out.
    fn gather_held_out(&self, _indices: &[usize], _values: &mut Vec<f32>, _mask: &mut Vec<f32>) -> bool {
        false
    }

    /// What the examples were made of, where that is known.
    fn factors(&self) -> Option<&Factors> {
        None
    }

    /// The atoms `[atom, feature]` that the examples are sums of, row after row and in the coordinates of the examples, where
    /// they are known.
    fn dictionary(&self) -> Option<&[f32]> {
        None
    }

    /// Class of every example, `[example]`, or `None` where the data has no labels.
    fn labels(&self) -> Option<&[u32]>;

    /// Names of the features of one flattened example, in their order, where they have any.
    fn feature_names(&self) -> Option<&[String]> {
        None
    }

    /// Names of the classes, where they have any.
    fn class_names(&self) -> Option<&[String]> {
        None
    }

    /// Classes that are normal, ascending, where the training examples were chosen by it: all others are anomalies.
    fn normal_classes(&self) -> Option<&[u32]> {
        None
    }

    /// Appends to `out`, for the series at `indices`, 1 for each time step that is anomalous and 0 for each that is not, series after
    /// series; says `false` where that is not known.
    fn gather_point_labels(&self, _indices: &[usize], _out: &mut Vec<f32>) -> bool {
        false
    }
}
