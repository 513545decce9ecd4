//! Stochastic gradient descent with burn's formula and burn's record, in one pass over memory where there is a kernel for it.

use aelab_kernels::{SgdStep, with_slices};
use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

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
        if self.momentum == 0.0 {
            let updated = with_slices([parameter, gradient], |[parameter, gradient]| aelab_kernels::sgd(&step, parameter, gradient));
            let [parameter, _] = updated.unwrap_or_else(|[parameter, gradient]| {
                let gradient = decayed(&step, &parameter, gradient);
                [parameter - gradient.clone() * step.learning_rate, gradient]
            });
            return (parameter, Some(SgdState { velocity: None }));
        }
        let velocity = state.and_then(|state| state.velocity).unwrap_or_else(|| gradient.zeros_like());
        let updated = with_slices([parameter, gradient, velocity], |[parameter, gradient, velocity]| {
            aelab_kernels::sgd_with_momentum(&step, parameter, gradient, velocity);
        });
        let [parameter, _, velocity] = updated.unwrap_or_else(|[parameter, gradient, velocity]| {
            let gradient = decayed(&step, &parameter, gradient);
            let velocity = velocity * step.momentum + gradient.clone();
            let change = if step.nesterov { velocity.clone() * step.momentum + gradient.clone() } else { velocity.clone() };
            [parameter - change * step.learning_rate, gradient, velocity]
        });
        (parameter, Some(SgdState { velocity: Some(velocity) }))
    }

    fn to_device<const D: usize>(state: SgdState<D>, device: &Device) -> SgdState<D> {
        SgdState { velocity: state.velocity.map(|velocity| velocity.to_device(device)) }
    }
}

fn decayed<const D: usize>(step: &SgdStep, parameter: &Tensor<D>, gradient: Tensor<D>) -> Tensor<D> {
    if step.weight_decay == 0.0 { gradient } else { gradient + parameter.clone() * step.weight_decay }
}
