//! Objectives, gradients and optimizers against PyTorch, for the same weights, inputs and noise.
//!
//! The files are made by `scripts/reference/pytorch_golden.py`, in double precision. Twenty steps are
//! followed: a wrong gradient of any parameter shows in the second loss already.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use aelab_core::{
    Batch, BuildContext, DataSpec, Domain, FixedNoise, Initializer, ModelConfig, Optimizer, Progress, StepContext, Trainee, TraineeState,
};
use aelab_models::*;
use aelab_train::OptimizerConfig;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Tensor, TensorData};
use serde::Deserialize;
use serde_json::Value;

use common::device;

/// Largest relative deviation of a loss or a term at any of the steps.
const LOSS_TOLERANCE: f64 = 3e-5;
/// Largest deviation of a weight after the last step, relative to the largest weight of its tensor.
const WEIGHT_TOLERANCE: f64 = 3e-5;

#[derive(Deserialize)]
struct GoldenFile {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// `{model: section}`.
    config: BTreeMap<String, Value>,
    optimizer: OptimizerConfig,
    event_shape: Vec<usize>,
    domain: Domain,
    x: Values,
    /// 1 where a value was observed.
    mask: Option<Values>,
    noise: Vec<Vec<f32>>,
    /// Class of each example.
    labels: Option<Vec<i64>>,
    num_classes: Option<usize>,
    before: BTreeMap<String, Values>,
    history: Vec<BTreeMap<String, f64>>,
    after: BTreeMap<String, Values>,
}

#[derive(Deserialize)]
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Values {
    fn tensor<const D: usize>(&self, device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.values.clone(), self.shape.clone()), device)
    }
}

fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str::<GoldenFile>(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())).cases
}

#[test]
fn models_follow_pytorch_over_twenty_steps_of_adam() {
    follow_all("pytorch_models.json");
}

#[test]
fn sparse_and_contractive_models_follow_pytorch_over_twenty_steps_of_adam() {
    follow_all("pytorch_sparse.json");
}

#[test]
fn models_of_series_and_choices_follow_pytorch_over_twenty_steps_of_adam() {
    follow_all("pytorch_sequence.json");
}

#[test]
fn variational_models_follow_pytorch_over_twenty_steps_of_adam() {
    follow_all("pytorch_variational.json");
}

#[test]
fn generative_models_follow_pytorch_over_twenty_steps_of_adam() {
    follow_all("pytorch_generative.json");
}

#[test]
fn optimizers_follow_pytorch_over_twenty_steps() {
    follow_all("pytorch_optimizers.json");
}

/// Runs every case of a file and fails with all deviations in one table.
fn follow_all(file: &str) {
    let cases = cases(file);
    assert!(!cases.is_empty());
    let mut report = String::from("case: largest relative deviation of a loss, of a weight\n");
    let mut good = true;
    for case in &cases {
        let (model, section) = case.config.first_key_value().unwrap();
        let Deviations { loss, weight } = match model.as_str() {
            "undercomplete" => follow::<UndercompleteConfig>(case, section),
            "denoising" => follow::<DenoisingConfig>(case, section),
            "vae" => follow::<VaeConfig>(case, section),
            "convolutional" => follow::<ConvolutionalConfig>(case, section),
            "sparse" => follow::<SparseConfig>(case, section),
            "contractive" => follow::<ContractiveConfig>(case, section),
            "k_sparse" => follow::<KSparseConfig>(case, section),
            "top_k_sae" => follow::<TopKSaeConfig>(case, section),
            "gated_sae" => follow::<GatedSaeConfig>(case, section),
            "jump_relu_sae" => follow::<JumpReluSaeConfig>(case, section),
            "lstm" => follow::<LstmConfig>(case, section),
            "sequence_vae" => follow::<SequenceVaeConfig>(case, section),
            "auto_rec" => follow::<AutoRecConfig>(case, section),
            "mult_dae" => follow::<MultDaeConfig>(case, section),
            "mult_vae" => follow::<MultVaeConfig>(case, section),
            "beta_vae" => follow::<BetaVaeConfig>(case, section),
            "beta_tc_vae" => follow::<BetaTcVaeConfig>(case, section),
            "dip_vae" => follow::<DipVaeConfig>(case, section),
            "info_vae" => follow::<InfoVaeConfig>(case, section),
            "wae" => follow::<WaeConfig>(case, section),
            "iwae" => follow::<IwaeConfig>(case, section),
            "vamp_vae" => follow::<VampVaeConfig>(case, section),
            "conditional_vae" => follow::<ConditionalVaeConfig>(case, section),
            "vq_vae" => follow::<VqVaeConfig>(case, section),
            other => panic!("no model `{other}`"),
        };
        report += &format!("{}: {loss:.1e}, {weight:.1e}\n", case.name);
        good &= loss < LOSS_TOLERANCE && weight < WEIGHT_TOLERANCE;
    }
    assert!(good, "{report}");
}

struct Deviations {
    loss: f64,
    weight: f64,
}

fn follow<C: ModelConfig>(case: &Case, section: &Value) -> Deviations {
    let device = device();
    let config: C = serde_json::from_value(section.clone()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let data = DataSpec { num_classes: case.num_classes, ..DataSpec::new(case.event_shape.clone(), case.domain) };
    config.check(&data).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let optimizer = || -> Optimizer { case.optimizer.build(None) };
    let mut trainee = config.trainee(&BuildContext { data: &data, seed: 1, device: &device, optimizer: &optimizer });
    start_from::<C>(&config, &data, case, &mut *trainee, &device);

    let labels = case.labels.as_ref().map(|labels| Tensor::from_data(TensorData::new(labels.clone(), [labels.len()]), &device));
    let batch = Batch { labels, mask: case.mask.as_ref().map(|mask| mask.tensor(&device)), ..Batch::new(case.x.tensor(&device)) };
    let learning_rate = case.optimizer.learning_rate().last(1.0);
    let mut deviations = Deviations { loss: 0.0, weight: 0.0 };
    for (step, expected) in case.history.iter().enumerate() {
        let draws = case.noise.len() / case.history.len();
        let mut noise = FixedNoise::new(case.noise[draws * step..draws * (step + 1)].iter().cloned());
        let progress = Progress { step: step as u64, epoch: 0.0, num_epochs: 1.0 };
        let terms = trainee.train_step(&batch, &mut StepContext { progress, learning_rate, noise: &mut noise });
        assert_eq!(terms.terms.len() + 1, expected.len(), "{}: terms and loss", case.name);
        let named = terms.terms.iter().map(|term| (term.name, term.value)).chain([("loss", terms.loss)]);
        for (name, value) in named {
            let expected = expected.get(name).unwrap_or_else(|| panic!("{}: no term `{name}`", case.name));
            let deviation = (value - expected).abs() / expected.abs();
            assert!(deviation.is_finite(), "{}: `{name}` is {value}", case.name);
            deviations.loss = deviations.loss.max(deviation);
        }
    }
    for (path, values) in parameters(&load::<C>(&config, &data, &mut trainee.state().unwrap(), &device)) {
        let expected = &case.after[&path].values;
        let scale = expected.iter().fold(0.0f32, |scale, value| scale.max(value.abs()));
        for (value, expected) in values.iter().zip(expected) {
            deviations.weight = deviations.weight.max(f64::from((value - expected).abs() / scale));
        }
    }
    deviations
}

/// Gives a trainee the weights of the case, through its own state.
fn start_from<C: ModelConfig>(config: &C, data: &DataSpec, case: &Case, trainee: &mut dyn Trainee, device: &Device) {
    let mut state = trainee.state().unwrap();
    let model = load::<C>(config, data, &mut state, device);
    let mut set = SetParameters { path: Vec::new(), values: case.before.iter().collect() };
    let model = model.map(&mut set);
    assert!(set.values.is_empty(), "{}: the model has no parameters {:?}", case.name, set.values.keys());
    let bytes = model.into_record().into_bytes().unwrap().to_vec();
    state.parts.insert("model".to_owned(), bytes);
    trainee.restore(state).unwrap();
}

fn load<C: ModelConfig>(config: &C, data: &DataSpec, state: &mut TraineeState, device: &Device) -> C::Model {
    let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(state.take("model").unwrap())).unwrap();
    config.init(data, &mut Initializer::new(1, device)).load_record(record)
}

/// Replaces each parameter by the value of its path.
struct SetParameters<'a> {
    path: Vec<String>,
    values: BTreeMap<&'a String, &'a Values>,
}

impl ModuleMapper for SetParameters<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let values = self.values.remove(&path).unwrap_or_else(|| panic!("no values for the parameter `{path}`"));
        assert_eq!(param.lazy_shape().to_vec(), values.shape, "`{path}`");
        param.map(|tensor| values.tensor(&tensor.device()).set_require_grad(tensor.is_require_grad()))
    }
}

fn parameters<M: Module>(model: &M) -> BTreeMap<String, Vec<f32>> {
    let mut found = Parameters { path: Vec::new(), values: BTreeMap::new() };
    model.visit(&mut found);
    found.values
}

struct Parameters {
    path: Vec<String>,
    values: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.values.insert(self.path.join("."), param.val().into_data().try_to_vec().unwrap());
    }
}
