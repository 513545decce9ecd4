//! Reconstruction losses of a batch as one operation.

use burn::backend::Shape;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use crate::Loss;
use crate::fused::{Cost, fused_of, or_empty};
use crate::likelihood::{gradient_by_x, value, value_and_gradient};
use crate::parallel::rows_with_values;
use crate::primitive::{is_ours, mean, numbers, shape_of, tensor_of};

/// The loss of a reconstruction (or of its logits) of `x`, each feature times its `mask`, summed over features, averaged over
/// the batch: `[1]`. `None` where the tensors are not on `flex` or not of one shape. The mask gets no gradient.
///
/// # Shapes
/// `x`, `reconstruction` and `mask`: `[batch, feature]`.
pub fn reconstruction_loss(loss: Loss, x: &Tensor<2>, reconstruction: &Tensor<2>, mask: Option<&Tensor<2>>) -> Option<Tensor<1>> {
    run(LossOfBatch { loss, of_each: false }, x, reconstruction, mask)
}

/// The same of each example, `[batch, 1]`.
pub fn reconstruction_loss_of_each(loss: Loss, x: &Tensor<2>, reconstruction: &Tensor<2>, mask: Option<&Tensor<2>>) -> Option<Tensor<2>> {
    run(LossOfBatch { loss, of_each: true }, x, reconstruction, mask)
}

fn run<const OUT: usize>(
    operation: LossOfBatch,
    x: &Tensor<2>,
    reconstruction: &Tensor<2>,
    mask: Option<&Tensor<2>>,
) -> Option<Tensor<OUT>> {
    let fits = |tensor: &Tensor<2>| is_ours(tensor) && tensor.dims() == x.dims();
    if !(fits(x) && fits(reconstruction) && mask.is_none_or(fits)) || x.dims().contains(&0) {
        return None;
    }
    let [reconstruction, x] = [reconstruction, x].map(|tensor| tensor.clone().into_dispatch());
    Some(fused_of([reconstruction, x, or_empty(mask)], operation))
}

#[derive(Debug)]
struct LossOfBatch {
    loss: Loss,
    of_each: bool,
}

impl Cost<3> for LossOfBatch {
    fn forward(&self, [r, x, mask]: [FlexTensor; 3], needs: [bool; 3]) -> (FlexTensor, Vec<FlexTensor>) {
        let Self { loss, of_each } = *self;
        let [batch, width] = shape_of(&x);
        let [r, x, mask] = [&r, &x, &mask].map(numbers);
        let scale = if of_each { 1.0 } else { 1.0 / batch as f32 };
        let mask_of = |row: usize| if mask.is_empty() { mask } else { &mask[row * width..][..width] };
        let (mut costs, mut saved) = (vec![0.0; batch], Vec::new());
        if needs[0] {
            let mut gradient = vec![0.0; batch * width];
            rows_with_values(&mut gradient, width, &mut costs, |row, gradient, cost| {
                let (x, r) = (&x[row * width..][..width], &r[row * width..][..width]);
                *cost = value_and_gradient(loss, x, r, mask_of(row), scale, gradient);
            });
            saved.push(tensor_of(gradient, Shape::new([batch, width])));
        } else {
            let rows = x.chunks_exact(width).zip(r.chunks_exact(width)).zip(&mut costs).enumerate();
            rows.for_each(|(row, ((x, r), cost))| *cost = value(loss, x, r, mask_of(row)));
        }
        if needs[1] {
            let mut gradient = vec![0.0; batch * width];
            let rows = x.chunks_exact(width).zip(r.chunks_exact(width)).zip(gradient.chunks_exact_mut(width)).enumerate();
            rows.for_each(|(row, ((x, r), gradient))| gradient_by_x(loss, x, r, mask_of(row), scale, gradient));
            saved.push(tensor_of(gradient, Shape::new([batch, width])));
        }
        let result = if of_each { tensor_of(costs, Shape::new([batch, 1])) } else { mean(&costs) };
        (result, saved)
    }
}
