//! Milliseconds of one training step: forward, backward and Adam update of a batch of 128 examples in
//! single precision, through [`Trainee::train_step`], as training takes it.
//!
//! Prints one line of JSON per network. `scripts/bench.sh` runs it beside PyTorch; by hand:
//!
//! ```text
//! RAYON_NUM_THREADS=1 cargo run --release -p aelab-models --example step_time -- [SECONDS]
//! ```

use std::io::Write;
use std::time::{Duration, Instant};

use aelab_core::{
    AnyModelConfig, Batch, BuildContext, DataSpec, Domain, Noise, Optimizer, Progress, Purpose, StepContext, StreamNoise, Trainee, stream,
};
use aelab_models::{AutoencoderNetworkConfig, ConvolutionalConfig, UndercompleteConfig};
use aelab_nn::Activation;
use aelab_train::OptimizerConfig;
use burn::tensor::Device;
use serde_json::json;

const BATCH_SIZE: usize = 128;
const LEARNING_RATE: f64 = 1e-3;
const NUM_WARM_UP_STEPS: u64 = 10;
const DEFAULT_SECONDS: f64 = 2.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds: f64 = std::env::args().nth(1).map_or(Ok(DEFAULT_SECONDS), |text| text.parse())?;
    let threads =
        std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok()).map_or_else(std::thread::available_parallelism, Ok)?;
    for (name, model) in networks() {
        let device = Device::flex().autodiff();
        let data = DataSpec::new([1, 28, 28], Domain::UnitInterval);
        let mut trainee = model.trainee(&BuildContext { data: &data, seed: 1, device: &device, optimizer: &adam });
        let mut milliseconds = time_steps(&mut *trainee, &device, Duration::from_secs_f64(seconds));
        milliseconds.sort_by(f64::total_cmp);
        let line = json!({
            "side": "aelab",
            "network": name,
            "optimizer": "adam",
            "threads": threads.get(),
            "parameters": trainee.num_parameters(),
            "steps": milliseconds.len(),
            "milliseconds": milliseconds[milliseconds.len() / 2],
        });
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}

/// The networks by the names that `scripts/bench/pytorch_step_time.py` gives them.
fn networks() -> [(&'static str, Box<dyn AnyModelConfig>); 3] {
    let dense = |hidden: &[usize], code_size, code_activation| {
        let network =
            AutoencoderNetworkConfig { hidden: hidden.to_vec().into(), code_size, code_activation, ..AutoencoderNetworkConfig::example() };
        Box::new(UndercompleteConfig::with_network(network))
    };
    let convolutional = ConvolutionalConfig { channels: vec![32, 64], code_size: 32, ..aelab_core::ModelConfig::example() };
    [
        ("784-1000-500-250-30", dense(&[1000, 500, 250], 30, Activation::Linear)),
        ("784-32", dense(&[], 32, Activation::Relu)),
        ("conv 1-32-64-32", Box::new(convolutional)),
    ]
}

fn adam() -> Optimizer {
    let adam = OptimizerConfig::Adam { learning_rate: LEARNING_RATE.into(), beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
    adam.build(None)
}

/// Milliseconds of every step after a warm-up, on one batch of uniform values.
fn time_steps(trainee: &mut dyn Trainee, device: &Device, duration: Duration) -> Vec<f64> {
    let mut noise = StreamNoise(stream(1, Purpose::Transform, 0, 0));
    let batch = Batch::new(noise.uniform([BATCH_SIZE, 784], device));
    let mut milliseconds = Vec::new();
    let mut begin = Instant::now();
    for step in 0.. {
        if step == NUM_WARM_UP_STEPS {
            begin = Instant::now();
        } else if step > NUM_WARM_UP_STEPS && begin.elapsed() >= duration {
            break;
        }
        let progress = Progress { step, epoch: 0.0, num_epochs: 1.0 };
        let since = Instant::now();
        trainee.train_step(&batch, &mut StepContext { progress, learning_rate: LEARNING_RATE, noise: &mut noise });
        if step >= NUM_WARM_UP_STEPS {
            milliseconds.push(since.elapsed().as_secs_f64() * 1e3);
        }
    }
    milliseconds
}
