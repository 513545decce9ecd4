//! Stochastic gradient descent with burn's formula and burn's record, in one pass over memory where there is a kernel for it.

use aelab_kernels::{SgdStep, Tensors, sgd, with_optional_slices};
use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

use crate::plain_step::decayed;

/// Stochastic gradient descent, with momentum where that is not 0.
#[derive(Clone)]
pub(crate) struct Sgd {
    pub(crate) momentum: f64,
    pub(crate) nesterov: bool,
    pub(crate) weight_decay: f64,
}

/// The velocity, where there is momentum.
#[derive(Clone)]
pub(crate) struct SgdState<const D: usize> {
    velocity: Option<Tensor<D>>,
}

const VELOCITY: &str = "momentum.velocity";

impl<const D: usize> RecordState for SgdState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        if let Some(velocity) = &self.velocity {
            out.push_tensor(prefix, VELOCITY, velocity.clone().into_data());
        }
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        Some(Self { velocity: source.take_tensor(prefix, VELOCITY).map(|data| Tensor::from_data(data, device)) })
    }
}

impl Optimizer for Sgd {
    type State<const D: usize> = SgdState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<SgdState<D>>,
    ) -> (Tensor<D>, Option<SgdState<D>>) {
        let step = SgdStep {
            learning_rate: learning_rate as f32,
            momentum: self.momentum as f32,
            nesterov: self.nesterov,
            weight_decay: self.weight_decay as f32,
        };
        let velocity = (self.momentum != 0.0).then(|| state.and_then(|state| state.velocity).unwrap_or_else(|| gradient.zeros_like()));
        let updated = with_optional_slices(([parameter, gradient], [velocity]), |[p, g], [v]| sgd(&step, p, g, v));
        let ([parameter, _], [velocity]) = updated.unwrap_or_else(|tensors| plain(&step, tensors));
        (parameter, Some(SgdState { velocity }))
    }

    fn to_device<const D: usize>(state: SgdState<D>, device: &Device) -> SgdState<D> {
        SgdState { velocity: state.velocity.map(|velocity| velocity.to_device(device)) }
    }
}

/// The same in tensors, for other backends.
fn plain<const D: usize>(step: &SgdStep, ([parameter, gradient], [velocity]): Tensors<D, 2, 1>) -> Tensors<D, 2, 1> {
    let gradient = decayed(&parameter, gradient, step.weight_decay);
    let velocity = velocity.map(|velocity| velocity * step.momentum + gradient.clone());
    let change = match &velocity {
        None => gradient.clone(),
        Some(velocity) if step.nesterov => velocity.clone() * step.momentum + gradient.clone(),
        Some(velocity) => velocity.clone(),
    };
    ([parameter - change * step.learning_rate, gradient], [velocity])
}
