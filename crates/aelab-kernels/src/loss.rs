//! Reconstruction losses as one operation.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, Shape, backend_extension};
use burn::tensor::Tensor;

use crate::Loss;
use crate::likelihood::{value, value_and_gradient};
use crate::primitive::{contiguous, is_ours, numbers, numbers_mut, tensor_of};

/// The loss of a reconstruction (or of its logits) of `x`, summed over features, averaged over the batch: `[1]`. `None` where
/// the tensors are not on `flex`.
///
/// # Shapes
/// `x` and `reconstruction`: `[batch, feature]`.
pub fn reconstruction_loss(loss: Loss, x: &Tensor<2>, reconstruction: &Tensor<2>) -> Option<Tensor<1>> {
    if !(is_ours(x) && is_ours(reconstruction)) || x.dims() != reconstruction.dims() {
        return None;
    }
    let (x, reconstruction) = (x.clone().into_dispatch(), reconstruction.clone().into_dispatch());
    Some(Tensor::from_dispatch(<Dispatch as LossOps>::reconstruction_loss(reconstruction, x, loss)))
}

#[backend_extension(Flex, Autodiff)]
trait LossOps: Backend {
    fn reconstruction_loss(reconstruction: FloatTensor<Self>, x: FloatTensor<Self>, loss: Loss) -> FloatTensor<Self>;
}

/// The mean over the batch of what each row costs.
fn mean(rows: impl Iterator<Item = f32>, num: usize) -> FlexTensor {
    let sum: f64 = rows.map(f64::from).sum();
    tensor_of(vec![(sum / num as f64) as f32], Shape::new([1]))
}

impl LossOps for Flex {
    fn reconstruction_loss(reconstruction: FlexTensor, x: FlexTensor, loss: Loss) -> FlexTensor {
        let (x, reconstruction) = (contiguous(x), contiguous(reconstruction));
        let [batch, width] = [0, 1].map(|dim| x.layout().shape()[dim]);
        let rows = numbers(&x).chunks_exact(width).zip(numbers(&reconstruction).chunks_exact(width));
        mean(rows.map(|(x, reconstruction)| value(loss, x, reconstruction)), batch)
    }
}

#[derive(Debug)]
struct LossBackward;

impl Backward<Flex, 2> for LossBackward {
    /// The gradients by the reconstruction and, where it is asked for, by the data.
    type State = (FlexTensor, Option<FlexTensor>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let factor = numbers(&contiguous(grads.consume::<Flex>(&ops.node)))[0];
        for (node, gradient) in ops.parents.into_iter().zip([Some(ops.state.0), ops.state.1]) {
            if let (Some(node), Some(mut gradient)) = (node, gradient) {
                if factor != 1.0 {
                    numbers_mut(&mut gradient).iter_mut().for_each(|gradient| *gradient *= factor);
                }
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

impl<C: CheckpointStrategy> LossOps for Autodiff<Flex, C> {
    fn reconstruction_loss(reconstruction: FloatTensor<Self>, x: FloatTensor<Self>, loss: Loss) -> FloatTensor<Self> {
        let needs_x = x.is_tracked();
        let (reconstruction, node) = reconstruction.into_parts();
        let (x, x_node) = x.into_parts();
        match LossBackward.prepare::<C>([node, x_node]).compute_bound().stateful() {
            OpsKind::UnTracked(prepared) => prepared.finish(<Flex as LossOps>::reconstruction_loss(reconstruction, x, loss)),
            OpsKind::Tracked(prepared) => {
                let (x, reconstruction) = (contiguous(x), contiguous(reconstruction));
                let [batch, width] = [0, 1].map(|dim| x.layout().shape()[dim]);
                let mut gradient = vec![0.0; batch * width];
                let rows = numbers(&x).chunks_exact(width).zip(numbers(&reconstruction).chunks_exact(width));
                let scale = 1.0 / batch as f32;
                let costs = rows
                    .zip(gradient.chunks_exact_mut(width))
                    .map(|((x, reconstruction), gradient)| value_and_gradient(loss, x, reconstruction, scale, gradient));
                let value = mean(costs, batch);
                let shape = Shape::new([batch, width]);
                let by_x = needs_x.then(|| {
                    let by_x = match loss {
                        Loss::SquaredError => gradient.iter().map(|gradient| -gradient).collect(),
                        Loss::BinaryCrossEntropyFromLogits => numbers(&reconstruction).iter().map(|logit| -scale * logit).collect(),
                    };
                    tensor_of(by_x, shape.clone())
                });
                prepared.finish((tensor_of(gradient, shape), by_x), value)
            }
        }
    }
}
