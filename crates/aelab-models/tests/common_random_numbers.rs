//! Trials of equal seeds share their chance: order of examples, noise and initial weights, whatever the model.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

mod common;

use std::sync::{Arc, Mutex};

use aelab_core::{
    Batch, BuildContext, DataSpec, Domain, Examples, Initializer, ModelConfig, Noise, Pulse, Registry, RunInfo, StateError, StepContext,
    Stream, Terms, TrainedModel, Trainee, TraineeState,
};
use aelab_models::{DenoisingConfig, MODELS, SparseConfig, UndercompleteConfig, VaeConfig};
use aelab_train::{CheckpointFolder, Session, TrainConfig, fit};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use serde_json::{Value, json};

use common::device;

/// 20 small images, no two alike.
struct Images(DataSpec);

impl Examples for Images {
    fn spec(&self) -> &DataSpec {
        &self.0
    }

    fn len(&self) -> usize {
        20
    }

    fn gather(&self, indices: &[usize], _stream: &mut Stream, out: &mut Vec<f32>) {
        for index in indices {
            out.extend((0..64).map(|pixel| ((index * 64 + pixel) as f32 * 0.37).sin().abs()));
        }
    }

    fn labels(&self) -> Option<&[u32]> {
        None
    }
}

/// What chance gave a step: the batch, and each draw of noise with its shape.
#[derive(Debug, Default, Clone, PartialEq)]
struct Step {
    batch: Vec<f32>,
    noise: Vec<(&'static str, [usize; 2], Vec<f32>)>,
}

fn numbers(tensor: &Tensor<2>) -> Vec<f32> {
    tensor.to_data().try_to_vec().unwrap()
}

/// Noise that is written down.
struct Recorded<'a> {
    noise: &'a mut dyn Noise,
    step: &'a mut Step,
}

impl Noise for Recorded<'_> {
    fn normal(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        let drawn = self.noise.normal(shape, device);
        self.step.noise.push(("normal", shape, numbers(&drawn)));
        drawn
    }

    fn uniform(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        let drawn = self.noise.uniform(shape, device);
        self.step.noise.push(("uniform", shape, numbers(&drawn)));
        drawn
    }

    fn bernoulli(&mut self, shape: [usize; 2], probability: f64, device: &Device) -> Tensor<2> {
        let drawn = self.noise.bernoulli(shape, probability, device);
        self.step.noise.push(("bernoulli", shape, numbers(&drawn)));
        drawn
    }
}

/// A trainee whose steps are written down.
struct Watched {
    inner: Box<dyn Trainee>,
    steps: Arc<Mutex<Vec<Step>>>,
}

impl Trainee for Watched {
    fn enter_stage(&mut self, stage: usize, train: &dyn Examples) -> Result<(), StateError> {
        self.inner.enter_stage(stage, train)
    }

    fn train_step(&mut self, batch: &Batch, ctx: &mut StepContext<'_>) -> Terms {
        let mut step = Step { batch: numbers(&batch.x), noise: Vec::new() };
        let mut noise = Recorded { noise: &mut *ctx.noise, step: &mut step };
        let mut context = StepContext { progress: ctx.progress, learning_rate: ctx.learning_rate, noise: &mut noise };
        let terms = self.inner.train_step(batch, &mut context);
        self.steps.lock().unwrap().push(step);
        terms
    }

    fn snapshot(&self) -> Box<dyn TrainedModel> {
        self.inner.snapshot()
    }

    fn state(&self) -> Result<TraineeState, StateError> {
        self.inner.state()
    }

    fn restore(&mut self, state: TraineeState) -> Result<(), StateError> {
        self.inner.restore(state)
    }

    fn num_parameters(&self) -> usize {
        self.inner.num_parameters()
    }
}

/// The steps of two epochs of training.
fn steps(name: &str, options: Value, seed: u64) -> Vec<Step> {
    let spec = DataSpec::new([1, 8, 8], Domain::UnitInterval);
    let model = (Registry::new(MODELS).find(name).unwrap().parse)(options).unwrap();
    let config: TrainConfig = serde_json::from_value(
        json!({"epochs": 2, "batch_size": 8, "optimizer": {"adam": {"learning_rate": 0.01}}, "seed": seed, "keep": "last"}),
    )
    .unwrap();
    let optimizer = || config.optimizer.build(None);
    let device = device();
    let context = BuildContext { data: &spec, seed, device: &device, optimizer: &optimizer };
    let steps = Arc::new(Mutex::new(Vec::new()));
    let mut trainee = Watched { inner: model.trainee(&context), steps: Arc::clone(&steps) };
    let folder = tempfile::tempdir().unwrap();
    let info = RunInfo {
        experiment: String::new(),
        trial: String::new(),
        model: name.to_owned(),
        config: Value::Null,
        hyperparameters: Vec::new(),
        num_parameters: 0,
        metrics: Vec::new(),
    };
    let mut session = Session {
        train: &Images(spec.clone()),
        valid: &Images(spec.clone()),
        config: &config,
        device: &device.clone().inner(),
        info: &info,
        checkpoints: &CheckpointFolder::new(folder.path()),
        observers: &mut [],
        pulse: &Pulse::default(),
        pause_after: None,
        progress: &mut |_| {},
        epoch_end: &mut |_, _, _| Ok(()),
    };
    fit(&mut trainee, &mut session).unwrap();
    let steps = steps.lock().unwrap().clone();
    assert_eq!(steps.len(), 6, "20 examples are 3 batches, twice");
    steps
}

fn models() -> Vec<(&'static str, Value)> {
    vec![
        ("undercomplete", json!({"hidden": [16], "code_size": 4})),
        ("sparse", json!({"hidden": [16], "code_size": 9, "penalty": {"l1": {"lambda": 0.1}}})),
        ("denoising", json!({"hidden": [16], "code_size": 4, "corruption": {"gaussian": {"sigma": 0.2}}})),
        ("vae", json!({"hidden": [16], "latent_dim": 4, "likelihood": "bernoulli"})),
        ("vae", json!({"hidden": [30, 16], "latent_dim": 4, "likelihood": "bernoulli", "beta": 4})),
        ("info_vae", json!({"hidden": [16], "latent_dim": 4, "likelihood": "bernoulli", "alpha": 0, "lambda": 10})),
    ]
}

#[test]
fn trials_of_one_seed_see_the_same_batches_and_of_two_seeds_others() {
    let batches = |steps: &[Step]| steps.iter().map(|step| step.batch.clone()).collect::<Vec<_>>();
    let first = batches(&steps("undercomplete", json!({"hidden": [16], "code_size": 4}), 3));
    assert_ne!(first[..3], first[3..], "each epoch has an order of its own");
    for (name, options) in models() {
        assert_eq!(batches(&steps(name, options, 3)), first, "{name}");
    }
    assert_ne!(batches(&steps("undercomplete", json!({"hidden": [16], "code_size": 4}), 4)), first);
}

#[test]
fn trials_of_one_seed_draw_the_same_noise_for_tensors_of_one_shape() {
    let noise = |options: Value, seed| steps("vae", options, seed).into_iter().map(|step| step.noise).collect::<Vec<_>>();
    let (_, plain) = models().remove(3);
    let (_, deeper) = models().remove(4);
    let drawn = noise(plain.clone(), 3);
    assert!(drawn.iter().all(|draws| !draws.is_empty()), "a VAE draws noise in each step");
    assert_eq!(noise(deeper, 3), drawn, "neither beta nor a hidden layer changes it");
    assert_ne!(noise(plain, 4), drawn);
    let (_, of_info_vae) = models().remove(5);
    for (step, draws) in steps("info_vae", of_info_vae, 3).iter().zip(&drawn) {
        assert_eq!(step.noise[0], draws[0], "the first draw of another model of that shape");
    }
    for pair in drawn.windows(2) {
        assert_ne!(pair[0], pair[1], "each step has its own");
    }
}

#[derive(Default)]
struct Weights(Vec<(Vec<usize>, Vec<f32>)>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push((param.val().dims().to_vec(), param.val().into_data().try_to_vec().unwrap()));
    }
}

fn initial<C: ModelConfig>(options: Value, seed: u64) -> Vec<(Vec<usize>, Vec<f32>)> {
    let config: C = serde_json::from_value(options).unwrap();
    let model = config.init(&DataSpec::new([1, 8, 8], Domain::UnitInterval), &mut Initializer::new(seed, &device()));
    let mut weights = Weights::default();
    model.visit(&mut weights);
    weights.0
}

#[test]
fn trials_of_one_seed_start_from_the_same_weights_up_to_the_first_of_another_shape() {
    let models = models();
    let options = |index: usize| models[index].1.clone();
    let plain = initial::<UndercompleteConfig>(options(0), 3);
    assert_eq!(initial::<DenoisingConfig>(options(2), 3), plain, "models of one shape are the same at first");
    let of_nine = initial::<SparseConfig>(options(1), 3);
    let num_common = |other: &[(Vec<usize>, Vec<f32>)]| plain.iter().zip(other).take_while(|(one, other)| one == other).count();
    let first_other_shape = |other: &[(Vec<usize>, Vec<f32>)]| plain.iter().zip(other).position(|(one, other)| one.0 != other.0).unwrap();
    for other in [of_nine, initial::<VaeConfig>(options(3), 3)] {
        assert!(num_common(&other) >= 2, "the first layer is common");
        assert_eq!(num_common(&other), first_other_shape(&other));
    }
    assert_eq!(num_common(&initial::<UndercompleteConfig>(options(0), 4)), 0);
}
