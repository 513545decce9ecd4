//! Batch normalisation of maps (Ioffe & Szegedy 2015, <https://arxiv.org/abs/1502.03167>, Alg. 1 and 2).

use aelab_core::Initializer;
use aelab_kernels::Normalisation;
use burn::module::{Flag, Module, Param, RunningState};
use burn::tensor::Tensor;
use burn::tensor::module::{batch_norm, batch_norm_train};

use crate::Activation;

const EPSILON: f64 = 1e-5;
/// Share of the newest batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// Normalises each channel by the statistics of the batch in training and by running ones afterwards.
///
/// burn's own layer brings its running statistics up to date one step late, so that a checkpoint would not hold
/// the last step; here they are current at any time.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// `[channel]`.
    gamma: Param<Tensor<1>>,
    /// `[channel]`.
    beta: Param<Tensor<1>>,
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
    /// Whether there is training where there is a tape: not in a model that is frozen, of which derivatives are asked.
    training: Param<Flag>,
}

impl BatchNorm {
    /// The identity, up to normalisation, of maps with that many channels.
    pub fn new(num_channels: usize, initializer: &mut Initializer) -> Self {
        let device = initializer.device().clone();
        Self {
            gamma: initializer.constant([num_channels], 1.0),
            beta: initializer.constant([num_channels], 0.0),
            running_mean: RunningState::with_id(initializer.id(), Tensor::zeros([num_channels], &device)),
            running_var: RunningState::with_id(initializer.id(), Tensor::ones([num_channels], &device)),
            training: Param::from_bool(true),
        }
    }

    /// `activation(normalised map + residual)`. Maps, `[batch, channel, height, width]`, to maps of that shape. Training is where
    /// there is a tape, unless the layer is frozen.
    pub fn forward(&self, map: Tensor<4>, residual: Option<&Tensor<4>>, activation: Activation) -> Tensor<4> {
        let of_batch = map.device().is_autodiff() && self.training.val().is_enabled();
        let (y, statistics) = self.fused(&map, residual, activation, of_batch).unwrap_or_else(|| {
            let (gamma, beta) = (self.gamma.val(), self.beta.val());
            let (y, statistics) = if of_batch {
                let trained = batch_norm_train(map.clone(), gamma, beta, EPSILON);
                (trained.output, [trained.mean.detach(), trained.variance.detach()])
            } else {
                let statistics = [self.running_mean.value(), self.running_var.value()];
                let [mean, variance] = statistics.clone();
                (batch_norm(map.clone(), gamma, beta, mean, variance, EPSILON), statistics)
            };
            let y = if let Some(residual) = residual { y + residual.clone() } else { y };
            (activation.apply(y), statistics)
        });
        if of_batch {
            let [batch_size, _, height, width] = map.dims();
            self.update(statistics, batch_size * height * width);
        }
        y
    }

    /// As one operation where there is a kernel, and the statistics by which the map was normalised.
    fn fused(
        &self,
        map: &Tensor<4>,
        residual: Option<&Tensor<4>>,
        activation: Activation,
        of_batch: bool,
    ) -> Option<(Tensor<4>, [Tensor<1>; 2])> {
        let [mean, variance] = if of_batch {
            aelab_kernels::channel_statistics(map)?.map(Tensor::from_inner)
        } else {
            [self.running_mean.value(), self.running_var.value()]
        };
        let (fused, rest) = match activation.fused() {
            Some(fused) => (fused, Activation::Linear),
            None => (aelab_kernels::Activation::Linear, activation),
        };
        let how = Normalisation { epsilon: EPSILON as f32, of_batch, activation: fused };
        let vectors = [&self.gamma.val(), &self.beta.val()];
        let y = aelab_kernels::batch_norm(map, [&mean, &variance], vectors, residual, how)?;
        Some((rest.apply(y), [mean, variance]))
    }

    /// Brings the running statistics up to date with those of a batch of so many values of each channel.
    fn update(&self, [mean, variance]: [Tensor<1>; 2], num_values: usize) {
        let num_values = num_values as f64;
        // Alg. 2 takes the unbiased variance for inference.
        let variance = variance * (num_values / (num_values - 1.0).max(1.0));
        for (running, of_batch) in [(&self.running_mean, mean), (&self.running_var, variance)] {
            running.update((running.value() * (1.0 - MOMENTUM) + of_batch * MOMENTUM).detach());
            running.value_sync();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn data(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn training_normalises_by_the_batch_and_validation_by_running_statistics_of_the_last_step() {
        let device = Device::flex().autodiff();
        let layer = BatchNorm::new(1, &mut Initializer::new(1, &device));
        let maps = |device: &Device| Tensor::<1>::from_data([1.0, 3.0, 5.0, 7.0], device).reshape([2, 1, 1, 2]);
        let scale = 1.0 / (5.0f32 + 1e-5).sqrt();
        for (found, value) in data(layer.forward(maps(&device), None, Activation::Linear)).iter().zip([1.0, 3.0, 5.0, 7.0]) {
            assert!((found - (value - 4.0) * scale).abs() < 1e-5);
        }
        let (mean, var) = (0.1 * 4.0, 0.9 + 0.1 * 20.0 / 3.0);
        for (found, value) in
            data(layer.valid().forward(maps(&Device::flex()), None, Activation::Linear)).iter().zip([1.0f32, 3.0, 5.0, 7.0])
        {
            let expected = (value - mean) / (var + 1e-5f32).sqrt();
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn a_frozen_layer_on_a_tape_uses_running_statistics_and_leaves_them_alone() {
        let device = Device::flex().autodiff();
        let layer = BatchNorm::new(1, &mut Initializer::new(1, &device));
        let maps = |device: &Device| Tensor::<1>::from_data([1.0, 3.0, 5.0, 7.0], device).reshape([2, 1, 1, 2]);
        layer.forward(maps(&device), None, Activation::Linear);
        let valid = layer.valid();
        let expected = data(valid.forward(maps(&Device::flex()), None, Activation::Linear));
        let frozen = valid.clone().train().freeze();
        assert_eq!(data(frozen.forward(maps(&device), None, Activation::Linear)), expected);
        assert_eq!(data(valid.forward(maps(&Device::flex()), None, Activation::Linear)), expected);
        // What was not frozen trains on, and does not touch what it was copied from.
        let trained = valid.clone().train();
        assert_ne!(data(trained.forward(maps(&device), None, Activation::Linear)), expected);
        assert_eq!(data(valid.forward(maps(&Device::flex()), None, Activation::Linear)), expected);
    }
}
