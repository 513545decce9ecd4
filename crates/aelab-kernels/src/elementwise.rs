//! An activation by itself as one operation: the output is all that its gradient needs.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use crate::Activation;
use crate::activation::{backward, forward_row};
use crate::fused::{Fused, fused};
use crate::parallel::for_rows;
use crate::primitive::{is_ours, numbers, numbers_mut};

/// `activation(x)`, element by element, of any shape. `None` where `x` is not on `flex` in single precision.
pub fn activated<const D: usize>(activation: Activation, x: &Tensor<D>) -> Option<Tensor<D>> {
    (is_ours(x) && x.shape().num_elements() > 0).then(|| fused([x], Activated(activation)))
}

#[derive(Debug)]
struct Activated(Activation);

/// Numbers of a row: those of the last dimension.
fn width(tensor: &FlexTensor) -> usize {
    tensor.layout().shape().last().copied().unwrap_or(1)
}

impl Fused<1> for Activated {
    /// The result.
    type State = FlexTensor;

    fn forward(&self, [mut y]: [FlexTensor; 1], _needs: [bool; 1]) -> (FlexTensor, FlexTensor) {
        let width = width(&y);
        for_rows(numbers_mut(&mut y), width, |row| forward_row(self.0, row, None));
        (y.clone(), y)
    }

    fn backward(&self, mut gradient: FlexTensor, y: FlexTensor, _needs: [bool; 1]) -> [Option<FlexTensor>; 1] {
        backward(self.0, numbers_mut(&mut gradient), numbers(&y), width(&y), None);
        [Some(gradient)]
    }
}
