//! AdaGrad with burn's formula and burn's record, in one pass over memory where there is a kernel for it.

use aelab_kernels::{AdaGradStep, ada_grad, with_slices};
use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

use crate::plain_step::decayed;

/// AdaGrad (Duchi et al. 2011).
#[derive(Clone)]
pub(crate) struct AdaGrad {
    pub(crate) learning_rate_decay: f64,
    pub(crate) epsilon: f64,
    pub(crate) weight_decay: f64,
}

/// Steps taken, and the sum of the squared gradients.
#[derive(Clone)]
pub(crate) struct AdaGradState<const D: usize> {
    time: usize,
    sum: Tensor<D>,
}

const TIME: &str = "lr_decay.time";
const SUM: &str = "lr_decay.sum";

impl<const D: usize> RecordState for AdaGradState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_scalar(prefix, TIME, self.time.into());
        out.push_tensor(prefix, SUM, self.sum.clone().into_data());
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let time = usize::try_from(source.take_scalar(prefix, TIME)?).ok()?;
        Some(Self { time, sum: Tensor::from_data(source.take_tensor(prefix, SUM)?, device) })
    }
}

impl Optimizer for AdaGrad {
    type State<const D: usize> = AdaGradState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdaGradState<D>>,
    ) -> (Tensor<D>, Option<AdaGradState<D>>) {
        let (past, sum) = state.map_or_else(|| (0, gradient.zeros_like()), |state| (state.time, state.sum));
        let step = AdaGradStep {
            learning_rate: (learning_rate / (1.0 + past as f64 * self.learning_rate_decay)) as f32,
            epsilon: self.epsilon as f32,
            weight_decay: self.weight_decay as f32,
        };
        let updated = with_slices([parameter, gradient, sum], |[p, g, s]| ada_grad(&step, p, g, s));
        let [parameter, _, sum] = updated.unwrap_or_else(|tensors| plain(&step, tensors));
        (parameter, Some(AdaGradState { time: past + 1, sum }))
    }

    fn to_device<const D: usize>(state: AdaGradState<D>, device: &Device) -> AdaGradState<D> {
        AdaGradState { time: state.time, sum: state.sum.to_device(device) }
    }
}

/// The same in tensors, for other backends.
fn plain<const D: usize>(step: &AdaGradStep, [parameter, gradient, sum]: [Tensor<D>; 3]) -> [Tensor<D>; 3] {
    let gradient = decayed(&parameter, gradient, step.weight_decay);
    let sum = sum + gradient.clone().square();
    let change = gradient.clone() / (sum.clone().sqrt() + step.epsilon) * step.learning_rate;
    [parameter - change, gradient, sum]
}
