//! Timing of a network's training steps.

use std::time::{Duration, Instant};

use aelab_core::{
    Batch, BuildContext, DataSpec, Domain, Examples, Noise, Optimizer, Progress, Purpose, StepContext, Stream, StreamNoise, Trainee, stream,
};
use aelab_train::OptimizerConfig;
use burn::tensor::Device;

use crate::BenchmarkNetwork;

/// Adam's step size.
pub const LEARNING_RATE: f64 = 1e-3;
/// Steps before the first that counts.
pub const NUM_WARM_UP_STEPS: u64 = 10;

/// A network in training on one batch of uniform values.
pub struct Steps {
    trainee: Box<dyn Trainee>,
    batch: Batch,
    noise: StreamNoise,
    step: u64,
}

/// No examples: networks of the benchmark ask nothing of those of a stage.
struct Nothing(DataSpec);

impl Examples for Nothing {
    fn spec(&self) -> &DataSpec {
        &self.0
    }

    fn len(&self) -> usize {
        0
    }

    fn labels(&self) -> Option<&[u32]> {
        None
    }

    fn gather(&self, _indices: &[usize], _stream: &mut Stream, _out: &mut Vec<f32>) {}
}

impl Steps {
    /// The network with initial parameters of `seed`, on the autodiff form of `device`.
    pub fn new(network: &BenchmarkNetwork, batch_size: usize, seed: u64, device: &Device) -> Self {
        let data = network.data();
        let mut trainee = network.config().trainee(&BuildContext { data: &data, seed, device, optimizer: &adam });
        trainee.enter_stage(0, &Nothing(DataSpec::new([1], Domain::Real))).expect("a first stage needs nothing");
        let mut noise = StreamNoise(stream(seed, Purpose::Transform, 0, 0));
        let batch = Batch::new(noise.uniform([batch_size, network.shape.iter().product()], device));
        Self { trainee, batch, noise, step: 0 }
    }

    /// One step: forward, backward, update; its loss.
    pub fn step(&mut self) -> f64 {
        let progress = Progress { step: self.step, epoch: 0.0, num_epochs: 1.0 };
        let context = &mut StepContext { progress, learning_rate: LEARNING_RATE, noise: &mut self.noise };
        self.step += 1;
        self.trainee.train_step(&self.batch, context).loss
    }

    /// The same with other noise than its own.
    pub(crate) fn step_with(&mut self, noise: &mut dyn Noise) -> f64 {
        let progress = Progress { step: self.step, epoch: 0.0, num_epochs: 1.0 };
        self.step += 1;
        self.trainee.train_step(&self.batch, &mut StepContext { progress, learning_rate: LEARNING_RATE, noise }).loss
    }

    pub(crate) fn trainee(&self) -> &dyn Trainee {
        &*self.trainee
    }

    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    pub(crate) fn noise(&self) -> &StreamNoise {
        &self.noise
    }

    /// Trained numbers.
    pub fn num_parameters(&self) -> usize {
        self.trainee.num_parameters()
    }

    /// Seconds of each step after a warm-up, for so long.
    pub fn time(&mut self, duration: Duration) -> Vec<f64> {
        for _ in 0..NUM_WARM_UP_STEPS {
            self.step();
        }
        let (begin, mut seconds) = (Instant::now(), Vec::new());
        while seconds.is_empty() || begin.elapsed() < duration {
            let since = Instant::now();
            self.step();
            seconds.push(since.elapsed().as_secs_f64());
        }
        seconds
    }
}

fn adam() -> Optimizer {
    let adam = OptimizerConfig::Adam { learning_rate: LEARNING_RATE.into(), beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
    adam.build(None)
}
