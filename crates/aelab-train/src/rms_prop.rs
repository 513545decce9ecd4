//! RMSprop with burn's formula and burn's record, in one pass over memory where there is a kernel for it.

use aelab_kernels::{RmsPropStep, Tensors, rms_prop, with_optional_slices, with_rest};
use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

use crate::plain_step::decayed;

/// RMSprop (Tieleman & Hinton 2012).
#[derive(Clone)]
pub(crate) struct RmsProp {
    pub(crate) alpha: f64,
    pub(crate) momentum: f64,
    pub(crate) epsilon: f64,
    pub(crate) centered: bool,
    pub(crate) weight_decay: f64,
}

/// The mean square of the gradient; where centered its mean; with momentum the buffer.
#[derive(Clone)]
pub(crate) struct RmsPropState<const D: usize> {
    square: Tensor<D>,
    mean: Option<Tensor<D>>,
    buffer: Option<Tensor<D>>,
}

const SQUARE: &str = "square_avg.square_avg";
const MEAN: &str = "centered.grad_avg";
/// What the gradient was divided by the root of: burn records it, a function of the other two.
const SPREAD: &str = "centered.avg";
const BUFFER: &str = "momentum.buf";

impl<const D: usize> RecordState for RmsPropState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        let spread = match &self.mean {
            Some(mean) => self.square.clone() - mean.clone().square(),
            None => self.square.clone(),
        };
        out.push_tensor(prefix, SQUARE, self.square.clone().into_data());
        out.push_tensor(prefix, SPREAD, spread.into_data());
        for (name, tensor) in [(MEAN, &self.mean), (BUFFER, &self.buffer)] {
            if let Some(tensor) = tensor {
                out.push_tensor(prefix, name, tensor.clone().into_data());
            }
        }
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let mut take = |name: &str| source.take_tensor(prefix, name).map(|data| Tensor::from_data(data, device));
        Some(Self { square: take(SQUARE)?, mean: take(MEAN), buffer: take(BUFFER) })
    }
}

impl Optimizer for RmsProp {
    type State<const D: usize> = RmsPropState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<RmsPropState<D>>,
    ) -> (Tensor<D>, Option<RmsPropState<D>>) {
        let step = RmsPropStep {
            learning_rate: learning_rate as f32,
            alpha: with_rest(self.alpha),
            momentum: self.momentum as f32,
            epsilon: self.epsilon as f32,
            weight_decay: self.weight_decay as f32,
        };
        let zeros = || gradient.zeros_like();
        let (square, mean, buffer) = state.map_or_else(|| (zeros(), None, None), |state| (state.square, state.mean, state.buffer));
        let mean = self.centered.then(|| mean.unwrap_or_else(zeros));
        let buffer = (self.momentum > 0.0).then(|| buffer.unwrap_or_else(zeros));
        let updated =
            with_optional_slices(([parameter, gradient, square], [mean, buffer]), |[p, g, s], [m, b]| rms_prop(&step, p, g, s, m, b));
        let ([parameter, _, square], [mean, buffer]) = updated.unwrap_or_else(|tensors| plain(&step, tensors));
        (parameter, Some(RmsPropState { square, mean, buffer }))
    }

    fn to_device<const D: usize>(state: RmsPropState<D>, device: &Device) -> RmsPropState<D> {
        let moved = |tensor: Option<Tensor<D>>| tensor.map(|tensor| tensor.to_device(device));
        RmsPropState { square: state.square.to_device(device), mean: moved(state.mean), buffer: moved(state.buffer) }
    }
}

/// The same in tensors, for other backends.
fn plain<const D: usize>(step: &RmsPropStep, ([parameter, gradient, square], [mean, buffer]): Tensors<D, 3, 2>) -> Tensors<D, 3, 2> {
    let gradient = decayed(&parameter, gradient, step.weight_decay);
    let [alpha, rest] = step.alpha;
    let square = square * alpha + gradient.clone().square() * rest;
    let mean = mean.map(|mean| mean * alpha + gradient.clone() * rest);
    let spread = match &mean {
        Some(mean) => (square.clone() - mean.clone().square()).clamp_min(0.0),
        None => square.clone(),
    };
    let change = gradient.clone() / (spread.sqrt() + step.epsilon);
    let buffer = buffer.map(|buffer| buffer * step.momentum + change.clone());
    let change = buffer.clone().unwrap_or(change);
    ([parameter - change * step.learning_rate, gradient, square], [mean, buffer])
}
