//! One minibatch.

use burn::tensor::{Int, Tensor};

/// One minibatch of examples.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Observations, `[batch, feature]`.
    pub x: Tensor<2>,
    /// 1 where a feature was observed, 0 where it is padding or missing; `[batch, feature]`.
    /// `None` where everything was observed.
    pub mask: Option<Tensor<2>>,
    /// Class of each example, `[batch]`, for models that condition on it.
    pub labels: Option<Tensor<1, Int>>,
}

impl Batch {
    /// Fully observed examples without labels, `[batch, feature]`.
    pub fn new(x: Tensor<2>) -> Self {
        Self { x, mask: None, labels: None }
    }

    /// Number of examples.
    pub fn size(&self) -> usize {
        self.x.dims()[0]
    }
}
