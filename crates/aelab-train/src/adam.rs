//! Adam and AdamW with burn's formula and burn's state, in one pass over memory where there is a kernel for it.

use aelab_kernels::{AdamStep, adam, with_slices};
use burn::optim::{AdamState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};

use crate::plain_step::decayed;

/// Adam (Kingma & Ba 2015, Algorithm 1).
#[derive(Clone)]
pub(crate) struct Adam {
    pub(crate) betas: [f64; 2],
    pub(crate) epsilon: f64,
    pub(crate) decay: Decay,
}

/// How parameters shrink.
#[derive(Clone, Copy)]
pub(crate) enum Decay {
    /// `decay * parameter` is added to the gradient.
    Gradient(f32),
    /// The parameter is multiplied by `1 - learning_rate * decay` (Loshchilov & Hutter 2019).
    Decoupled(f64),
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let (time, moment_1, moment_2) = match state {
            Some(AdamState { momentum }) => (momentum.time + 1, momentum.moment_1, momentum.moment_2),
            None => (1, gradient.zeros_like(), gradient.zeros_like()),
        };
        let mut step = AdamStep::new(self.betas, self.epsilon, learning_rate, i32::try_from(time).unwrap_or(i32::MAX));
        match self.decay {
            Decay::Gradient(decay) => step.weight_decay = decay,
            Decay::Decoupled(decay) => step.keep = (1.0 - learning_rate * decay) as f32,
        }
        let updated = with_slices([parameter, gradient, moment_1, moment_2], |[p, g, m, v]| adam(&step, p, g, m, v));
        let [parameter, _, moment_1, moment_2] = updated.unwrap_or_else(|tensors| plain(&step, tensors));
        (parameter, Some(AdamState::new(AdaptiveMomentumState::new(time, moment_1, moment_2))))
    }

    fn to_device<const D: usize>(mut state: AdamState<D>, device: &Device) -> AdamState<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}

/// The same in tensors, for other backends.
fn plain<const D: usize>(step: &AdamStep, [parameter, gradient, moment_1, moment_2]: [Tensor<D>; 4]) -> [Tensor<D>; 4] {
    let gradient = decayed(&parameter, gradient, step.weight_decay);
    let moment_1 = moment_1 * step.beta_1[0] + gradient.clone() * step.beta_1[1];
    let moment_2 = moment_2 * step.beta_2[0] + gradient.clone().square() * step.beta_2[1];
    let change = moment_1.clone() * step.step_size / (moment_2.clone().sqrt() + step.epsilon);
    [parameter * step.keep - change, gradient, moment_1, moment_2]
}
