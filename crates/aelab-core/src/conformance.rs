//! The laws that every model keeps, as tests that a crate with models runs over each of its own.
//!
//! ```text
//! // tests/conformance.rs of a crate that defines `MyConfig: ModelConfig`
//! aelab_core::conformance!(my_model: my_models::MyConfig, burn::tensor::Device::flex().autodiff());
//! ```
//!
//! [`conformance!`](crate::conformance!) makes one `#[test]` per law, so that a failure names the law it
//! breaks; [`check`] runs them all in one go. The examples are of the model's own kind, [`ModelConfig::example_data`]:
//! 8x8 grey images of one blob each where it asks for nothing else. A model with stages is led through all of them.

mod gradient_check;
#[cfg(test)]
mod tests;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamConfig, ModuleOptimizer, SgdConfig};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Int, Tensor, TensorData};
use rand::RngExt;
use serde_json::Value;

use self::gradient_check::DoubleNoise;
pub use self::gradient_check::{TOLERANCE, gradient_deviation, model_gradient_deviation};
use crate::{
    Autoencoder, Batch, BuildContext, DataSpec, Domain, Examples, Head, Initializer, ModelConfig, ModelEntry, Optimizer, Progress, Purpose,
    StepContext, Stream, StreamNoise, Terms, Trainee, stream,
};

/// Makes a module of tests, one for each law, for one model.
///
/// `conformance!(module_name: ConfigType, device_expression)`; the device is an autodiff device.
#[macro_export]
macro_rules! conformance {
    ($module:ident: $config:ty, $device:expr) => {
        $crate::conformance!(@laws $module, $config, $device;
            the_example_and_its_variations_pass_their_own_check
            a_configuration_survives_being_written_and_read
            an_unknown_key_is_refused_by_name
            every_key_has_a_variation_and_every_variation_matters
            shapes_agree_with_the_data_and_the_code_size
            the_objective_has_the_declared_terms
            extreme_inputs_give_finite_terms_and_gradients
            gradients_equal_central_differences
            every_parameter_learns
            the_loss_falls
            the_seed_decides_every_bit
            a_restored_model_goes_on_bit_for_bit
            a_model_survives_being_written_and_read
            the_trained_encoder_can_be_differentiated_and_taught_classes
        );
    };
    (@laws $module:ident, $config:ty, $device:expr; $($law:ident)*) => {
        mod $module {
            #[allow(unused_imports, reason = "the configuration type may be named by a path or by an import")]
            use super::*;

            $(
                #[test]
                fn $law() {
                    $crate::conformance::$law::<$config>(&$device);
                }
            )*
        }
    };
}

/// Every law in one go, for one model.
///
/// # Panics
/// At the first law that is broken.
pub fn check<C: ModelConfig>(device: &Device) {
    the_example_and_its_variations_pass_their_own_check::<C>(device);
    a_configuration_survives_being_written_and_read::<C>(device);
    an_unknown_key_is_refused_by_name::<C>(device);
    every_key_has_a_variation_and_every_variation_matters::<C>(device);
    shapes_agree_with_the_data_and_the_code_size::<C>(device);
    the_objective_has_the_declared_terms::<C>(device);
    extreme_inputs_give_finite_terms_and_gradients::<C>(device);
    gradients_equal_central_differences::<C>(device);
    every_parameter_learns::<C>(device);
    the_loss_falls::<C>(device);
    the_seed_decides_every_bit::<C>(device);
    a_restored_model_goes_on_bit_for_bit::<C>(device);
    a_model_survives_being_written_and_read::<C>(device);
    the_trained_encoder_can_be_differentiated_and_taught_classes::<C>(device);
}

const SEED: u64 = 1;
const BATCH_SIZE: usize = 16;
const NUM_EPOCHS: f64 = 3.0;
const STEPS_PER_EPOCH: u64 = 10;

/// The configurations that a model shows of itself make sense for small grey images.
pub fn the_example_and_its_variations_pass_their_own_check<C: ModelConfig>(_device: &Device) {
    let data = C::example_data();
    for (key, config) in all_configs::<C>() {
        if let Err(error) = config.check(&data) {
            panic!("{}, {key}: `{}` is refused: {error}", C::NAME, error.path);
        }
        config.warnings(&data);
        assert!(config.code_size() > 0, "{}, {key}: no code", C::NAME);
    }
}

/// `parse(resolved())` is the configuration itself, and resolving again changes nothing.
pub fn a_configuration_survives_being_written_and_read<C: ModelConfig>(_device: &Device) {
    for (key, config) in all_configs::<C>() {
        let written = resolved(&config);
        let read: C = serde_json::from_value(written.clone()).unwrap_or_else(|error| panic!("{}, {key}: {error}", C::NAME));
        assert_eq!(read, config, "{}, {key}", C::NAME);
        assert_eq!(resolved(&read), written, "{}, {key}", C::NAME);
    }
}

/// A misspelt key never passes silently.
pub fn an_unknown_key_is_refused_by_name<C: ModelConfig>(_device: &Device) {
    let mut section = resolved(&C::example());
    section.as_object_mut().expect("a configuration is a map").insert("no_such_key".to_owned(), Value::Null);
    let error = (ModelEntry::new::<C>().parse)(section).expect_err("an unknown key was accepted");
    assert!(error.message.contains("no_such_key"), "{}: {error}", C::NAME);
}

/// Each key of the schema has a variation, which differs from the example there and trains to other weights.
pub fn every_key_has_a_variation_and_every_variation_matters<C: ModelConfig>(device: &Device) {
    let schema = schemars::schema_for!(C);
    let example = C::example();
    let properties = schema.get("properties").and_then(Value::as_object);
    // A second name of a key is marked as such and needs no variation of its own.
    let is_key = |property: &Value| property.get("x-alias-of").is_none();
    let keys: Vec<&String> = properties.into_iter().flatten().filter(|(_, property)| is_key(property)).map(|(key, _)| key).collect();
    let variations = C::variations();
    let top = |path: &'static str| path.split('.').next().unwrap_or(path);
    for key in &keys {
        assert!(variations.iter().any(|(path, _)| top(path) == key.as_str()), "{}: no variation of `{key}`", C::NAME);
    }
    let weights = |config: &C| {
        let mut trainee = trainee(config, SEED, device, &adam);
        to_last_stage::<C>(&mut *trainee, 3, device);
        train::<C>(&mut *trainee, 0..3, device);
        parameters(config, &*trainee, device)
    };
    let reference = weights(&example);
    for (path, config) in &variations {
        assert!(keys.iter().any(|key| key.as_str() == top(path)), "{}: the schema has no key `{}`", C::NAME, top(path));
        assert_ne!(resolved(config).get(top(path)), resolved(&example).get(top(path)), "{}: the variation leaves `{path}` alone", C::NAME);
        assert!(weights(config) != reference, "{}: training is the same with another `{path}`", C::NAME);
    }
}

/// Codes are `[batch, code_size]`, everything in data space `[batch, feature]`, also for a batch of one.
pub fn shapes_agree_with_the_data_and_the_code_size<C: ModelConfig>(device: &Device) {
    let data = C::example_data();
    for (key, config) in all_configs::<C>() {
        let trainee = trainee(&config, SEED, device, &adam);
        let model = trainee.snapshot();
        let plain = device.clone().inner();
        for num in [1, 5] {
            let batch = batch::<C>(num, &plain);
            let x = batch.x.clone();
            let conditioned = model.conditioned(&batch);
            let model = conditioned.as_deref().unwrap_or(&*model);
            let (features, codes) = ([num, data.num_features()], [num, config.code_size()]);
            let z = model.encode(x.clone());
            assert_eq!(z.dims(), codes, "{}, {key}: encode", C::NAME);
            assert_eq!(model.decode(z.clone()).dims(), features, "{}, {key}: decode", C::NAME);
            assert_eq!(model.reconstruct(x.clone()).dims(), features, "{}, {key}: reconstruct", C::NAME);
            if let Some(logits) = model.decode_logits(z.clone()) {
                assert_eq!(logits.dims(), features, "{}, {key}: decode_logits", C::NAME);
                let from_logits = burn::tensor::activation::sigmoid(logits);
                let apart = (from_logits - model.decode(z)).abs().max().into_scalar::<f32>();
                assert!(apart < 1e-5, "{}, {key}: decode is not the sigmoid of decode_logits, {apart}", C::NAME);
            }
            let mut noise = StreamNoise(stream(SEED, Purpose::Evaluation, 0, 0));
            if let Some(samples) = model.sample_prior(num, &mut noise, &plain) {
                assert_eq!(samples.dims(), codes, "{}, {key}: sample_prior", C::NAME);
            }
            if let Some(corrupted) = at_step(0, |ctx| model.corrupted(x, ctx)) {
                assert_eq!(corrupted.dims(), features, "{}, {key}: corrupted", C::NAME);
            }
        }
    }
}

/// Names, order and final weights are those of [`ModelConfig::terms`]; the loss is the weighted sum of scalars;
/// the objective of a snapshot is that of training.
pub fn the_objective_has_the_declared_terms<C: ModelConfig>(device: &Device) {
    for (key, config) in all_configs::<C>() {
        let declared: Vec<(&str, f64)> =
            config.terms(&C::example_data()).iter().map(|term| (term.name, term.weight.last(NUM_EPOCHS))).collect();
        let mut trainee = trainee(&config, SEED, device, &adam);
        to_last_stage::<C>(&mut *trainee, 2, device);
        let batch_without_tape = batch::<C>(BATCH_SIZE, &device.clone().inner());
        let end = STEPS_PER_EPOCH * NUM_EPOCHS as u64;
        let objective = at_step(end, |ctx| trainee.snapshot().objective(&batch_without_tape, ctx));
        let found: Vec<(&str, f64)> = objective.terms().iter().map(|term| (term.name, term.weight)).collect();
        assert_eq!(found, declared, "{}, {key}", C::NAME);
        for term in objective.terms() {
            assert_eq!(term.value.dims(), [1], "{}, {key}: `{}` is not a scalar", C::NAME, term.name);
        }
        let values = objective.values();
        let loss = f64::from(objective.loss().into_scalar::<f32>());
        assert!((values.loss - loss).abs() <= 1e-5 * loss.abs().max(1.0), "{}, {key}: {} is not {loss}", C::NAME, values.loss);
        if !config.validates_as_it_trains() {
            continue;
        }
        let batch = batch::<C>(BATCH_SIZE, device);
        let in_training = at_step(end, |ctx| trainee.train_step(&batch, ctx));
        assert_eq!(values, in_training, "{}, {key}: validation and training measure different things", C::NAME);
    }
}

/// All black, all white, constant, a single example: terms and diagnostics are finite, and so are the weights after a step.
pub fn extreme_inputs_give_finite_terms_and_gradients<C: ModelConfig>(device: &Device) {
    let num_features = C::example_data().num_features();
    for (key, config) in all_configs::<C>() {
        for (num, value) in [(4, 0.0), (4, 1.0), (4, 0.5), (1, 1.0)] {
            let mut trainee = trainee(&config, SEED, device, &adam);
            let x = TensorData::new(vec![value; num * num_features], [num, num_features]);
            let batch = batch_of::<C>(x, device);
            for stage in 0..num_stages(&*trainee) {
                if stage > 0 {
                    enter_stage::<C>(&mut *trainee, stage);
                }
                let terms = at_step(0, |ctx| trainee.train_step(&batch, ctx));
                assert_eq!(terms.first_non_finite(), None, "{}, {key}: {num} examples of {value}: {terms:?}", C::NAME);
                let odd = terms.diagnostics.iter().find(|(_, value)| !value.is_finite());
                assert_eq!(odd, None, "{}, {key}: {num} examples of {value}", C::NAME);
                for parameter in parameters(&config, &*trainee, device) {
                    let finite = parameter.values.iter().all(|value| value.is_finite());
                    assert!(finite, "{}, {key}: `{}` is not finite after {num} examples of {value}", C::NAME, parameter.path);
                }
            }
        }
    }
}

/// What the tape says of each parameter is what central differences say, in double precision.
///
/// A backend that rounds to single precision on the way (burn-ndarray does in its sigmoid) has no
/// differences to compare with; there the law says nothing, nor of a [surrogate](ModelConfig::SURROGATE_GRADIENT).
pub fn gradients_equal_central_differences<C: ModelConfig>(device: &Device) {
    if C::SURROGATE_GRADIENT.is_some() || !gradient_check::is_double_precision(device) {
        return;
    }
    for (key, config) in all_configs::<C>() {
        let model = config.init(&C::example_data(), &mut Initializer::new(SEED, device));
        let context = |run: &mut dyn FnMut(&mut StepContext<'_>)| {
            let mut noise = DoubleNoise(StreamNoise(stream(SEED, Purpose::Training, 0, 0)));
            run(&mut StepContext { progress: progress(5), learning_rate: 0.0, noise: &mut noise });
        };
        let deviation = model_gradient_deviation(model, batch::<C>(3, device), 4, context, device);
        assert!(deviation < TOLERANCE, "{}, {key}: the gradient is off by {deviation:.1e} of its largest component", C::NAME);
    }
}

/// One step of gradient descent in each stage changes every tensor of parameters.
pub fn every_parameter_learns<C: ModelConfig>(device: &Device) {
    for (key, config) in all_configs::<C>() {
        let mut trainee = trainee(&config, SEED, device, &sgd);
        let before = parameters(&config, &*trainee, device);
        let trainable = before.iter().filter(|parameter| parameter.is_trainable);
        let num_values: usize = trainable.map(|parameter| parameter.values.len()).sum();
        assert_eq!(num_values, trainee.num_parameters(), "{}, {key}", C::NAME);
        to_last_stage::<C>(&mut *trainee, 1, device);
        train::<C>(&mut *trainee, 0..1, device);
        for (before, after) in before.iter().zip(parameters(&config, &*trainee, device)) {
            assert!(!before.is_trainable || before.values != after.values, "{}, {key}: `{}` gets no gradient", C::NAME, before.path);
        }
    }
}

/// Thirty steps of Adam on one batch, in the last stage, lower the loss, whatever noise there is.
pub fn the_loss_falls<C: ModelConfig>(device: &Device) {
    for (key, config) in all_configs::<C>() {
        let mut trainee = trainee(&config, SEED, device, &adam);
        // The weights of the terms may move during training: measured at the same point of it.
        let loss = |trainee: &dyn Trainee| {
            let batch = batch::<C>(BATCH_SIZE, &device.clone().inner());
            at_step(STEPS_PER_EPOCH, |ctx| trainee.snapshot().objective(&batch, ctx).values().loss)
        };
        to_last_stage::<C>(&mut *trainee, 2, device);
        let before = loss(&*trainee);
        train::<C>(&mut *trainee, 0..30, device);
        let after = loss(&*trainee);
        assert!(after < before, "{}, {key}: {before} before, {after} after", C::NAME);
    }
}

/// The same seed gives the same bits; another gives others.
pub fn the_seed_decides_every_bit<C: ModelConfig>(device: &Device) {
    let config = C::example();
    let run = |seed| {
        let mut trainee = trainee(&config, seed, device, &adam);
        to_last_stage::<C>(&mut *trainee, 2, device);
        let terms = train::<C>(&mut *trainee, 0..5, device);
        (terms, model_bytes(&*trainee))
    };
    assert!(run(SEED) == run(SEED), "{}: two runs of one seed differ", C::NAME);
    assert!(run(SEED).0 != run(SEED + 1).0, "{}: two seeds give one run", C::NAME);
}

/// Stopping in any stage, writing, reading into a fresh model and going on equals not stopping.
pub fn a_restored_model_goes_on_bit_for_bit<C: ModelConfig>(device: &Device) {
    for (key, config) in all_configs::<C>() {
        let mut whole = trainee(&config, SEED, device, &adam);
        for stage in 0..num_stages(&*whole) {
            if stage > 0 {
                enter_stage::<C>(&mut *whole, stage);
            }
            train::<C>(&mut *whole, 0..2, device);
            let mut second = trainee(&config, SEED + 1, device, &adam);
            let restored = whole.state().and_then(|state| second.restore(state));
            restored.unwrap_or_else(|error| panic!("{}, {key}: {error}", C::NAME));
            let whole_terms = train::<C>(&mut *whole, 2..4, device);
            let second_terms = train::<C>(&mut *second, 2..4, device);
            assert!(whole_terms == second_terms, "{}, {key}: the losses differ after a restore in stage {stage}", C::NAME);
            assert!(
                model_bytes(&*whole) == model_bytes(&*second),
                "{}, {key}: the weights differ after a restore in stage {stage}",
                C::NAME
            );
        }
    }
}

/// A model's record holds everything: a model of another seed that loads it does the same to the bit.
pub fn a_model_survives_being_written_and_read<C: ModelConfig>(device: &Device) {
    for (key, config) in all_configs::<C>() {
        let model = config.init(&C::example_data(), &mut Initializer::new(SEED, device));
        let bytes = model.clone().into_record().into_bytes().expect("a model has a record");
        let record = ModuleRecord::from_bytes(bytes).expect("a record can be read");
        let other = config.init(&C::example_data(), &mut Initializer::new(SEED + 1, device));
        let other = other.try_load_record(record).unwrap_or_else(|error| panic!("{}, {key}: {error}", C::NAME));
        let outputs = |model: &C::Model| {
            let batch = batch::<C>(3, device);
            let conditioned = model.conditioned(&batch);
            let (model, x) = (conditioned.as_ref().unwrap_or(model), batch.x);
            (model.encode(x.clone()).into_data(), model.reconstruct(x).into_data())
        };
        assert!(outputs(&model) == outputs(&other), "{}, {key}: the model that was read is another one", C::NAME);
    }
}

fn all_configs<C: ModelConfig>() -> Vec<(&'static str, C)> {
    std::iter::once(("example", C::example())).chain(C::variations()).collect()
}

fn resolved<C: ModelConfig>(config: &C) -> Value {
    crate::AnyModelConfig::resolved(config)
}

/// Images of one bright blob each, in (0, 1], as rows of eight pixels whatever the shape; `[num, feature]`.
fn blobs(num: usize, data: &DataSpec) -> TensorData {
    let num_features = data.num_features();
    let mut rng = stream(SEED, Purpose::Transform, 0, 0);
    let mut values = Vec::with_capacity(num * num_features);
    for _ in 0..num {
        let [row, column, width] = [0.0, 0.0, 1.0].map(|least: f32| least + rng.random::<f32>() * if least == 0.0 { 7.0 } else { 2.0 });
        for pixel in 0..num_features {
            let (down, right) = ((pixel / 8 % 8) as f32 - row, (pixel % 8) as f32 - column);
            let value = (-(down * down + right * right) / (2.0 * width * width)).exp();
            values.push(if data.domain == Domain::Binary { value.round() } else { value });
        }
    }
    TensorData::new(values, [num, num_features])
}

/// The classes of that many examples, in turn.
fn labels(num: usize, data: &DataSpec) -> Option<Vec<u32>> {
    let num_classes = data.num_classes?;
    Some((0..num).map(|index| (index % num_classes) as u32).collect())
}

/// Blobs with their classes, on `device`.
fn batch<C: ModelConfig>(num: usize, device: &Device) -> Batch {
    batch_of::<C>(blobs(num, &C::example_data()), device)
}

/// The given values with the classes of blobs.
fn batch_of<C: ModelConfig>(x: TensorData, device: &Device) -> Batch {
    let num = x.shape()[0];
    let labels = labels(num, &C::example_data()).map(|labels| {
        let labels: Vec<i64> = labels.into_iter().map(i64::from).collect();
        Tensor::<1, Int>::from_data(TensorData::new(labels, [num]), device)
    });
    Batch { x: Tensor::from_data(x, device), mask: None, labels }
}

/// The blobs as a split of a data set.
struct Blobs {
    spec: DataSpec,
    values: Vec<f32>,
    labels: Option<Vec<u32>>,
}

impl Examples for Blobs {
    fn spec(&self) -> &DataSpec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.values.len() / self.spec.num_features()
    }

    fn gather(&self, indices: &[usize], _stream: &mut Stream, out: &mut Vec<f32>) {
        let width = self.spec.num_features();
        for index in indices {
            out.extend_from_slice(&self.values[index * width..(index + 1) * width]);
        }
    }

    fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }
}

/// On a tape a snapshot encodes as it does without one; a classifier made of it learns, and the snapshot stays what it is.
pub fn the_trained_encoder_can_be_differentiated_and_taught_classes<C: ModelConfig>(device: &Device) {
    let plain = device.clone().inner();
    let values = |tensor: Tensor<2>| -> Vec<f32> { tensor.into_data().try_to_vec().expect("codes are single precision") };
    for (key, config) in all_configs::<C>() {
        let mut trainee = trainee(&config, SEED, device, &adam);
        to_last_stage::<C>(&mut *trainee, 1, device);
        train::<C>(&mut *trainee, 0..2, device);
        let model = trainee.snapshot();
        let batch = Batch { labels: None, ..self::batch::<C>(BATCH_SIZE, &plain) };
        let encode = || values(model.conditioned(&batch).as_deref().unwrap_or(&*model).encode(batch.x.clone()));
        let expected = encode();

        let taped = Batch { labels: None, ..self::batch::<C>(BATCH_SIZE, device) };
        let differentiable = model.differentiable().unwrap_or_else(|| panic!("{}, {key}: no derivatives", C::NAME));
        let conditioned = differentiable.conditioned(&taped);
        let x = taped.x.clone().require_grad();
        let codes = conditioned.as_deref().unwrap_or(&*differentiable).encode(x.clone());
        let code_size = codes.dims()[1];
        let gradients = (codes.clone().sum() + x.clone().sum() * 0.0).backward();
        let gradient = values(x.grad(&gradients).expect("the sum depends on x"));
        assert!(gradient.iter().all(|value| value.is_finite()), "{}, {key}: the derivative of the code is not finite", C::NAME);
        for (found, expected) in values(codes).iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "{}, {key}: {found} on a tape, {expected} off it", C::NAME);
        }

        let head = Head { code_size, num_classes: 2, device: device.clone(), optimizer: adam() };
        let mut classifier = model.classifier(head).unwrap_or_else(|| panic!("{}, {key}: no classifier", C::NAME));
        // More of one class than of the other, so that even a code that says nothing leaves something to learn.
        let labels: Vec<i64> = (0..BATCH_SIZE as i64).map(|index| i64::from(index % 4 == 0)).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [BATCH_SIZE]), device);
        let losses: Vec<f64> = (0..8).map(|_| classifier.train_step(&taped, labels.clone(), 0.01)).collect();
        assert!((losses[0] - std::f64::consts::LN_2).abs() < 1e-5, "{}, {key}: a head of zeros has {}", C::NAME, losses[0]);
        assert!(losses[7] < losses[0], "{}, {key}: nothing was learned, {losses:?}", C::NAME);
        assert_eq!(classifier.snapshot().logits(&batch).dims(), [BATCH_SIZE, 2], "{}, {key}", C::NAME);
        assert!(encode() == expected, "{}, {key}: the model itself has changed", C::NAME);
    }
}

fn adam() -> Optimizer {
    Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None)
}

fn sgd() -> Optimizer {
    Optimizer::new(ModuleOptimizer::from(SgdConfig::new().build()), None)
}

fn trainee<C: ModelConfig>(config: &C, seed: u64, device: &Device, optimizer: &(impl Fn() -> Optimizer + Send + Sync)) -> Box<dyn Trainee> {
    let data = C::example_data();
    let mut trainee = ModelConfig::trainee(config, &BuildContext { data: &data, seed, device, optimizer });
    enter_stage::<C>(&mut *trainee, 0);
    trainee
}

fn enter_stage<C: ModelConfig>(trainee: &mut dyn Trainee, stage: usize) {
    let spec = C::example_data();
    let values = blobs(BATCH_SIZE, &spec).try_to_vec().expect("blobs are single precision");
    let labels = labels(BATCH_SIZE, &spec);
    trainee.enter_stage(stage, &Blobs { spec, values, labels }).unwrap_or_else(|error| panic!("{}, stage {stage}: {error}", C::NAME));
}

/// Number of stages.
fn num_stages(trainee: &dyn Trainee) -> usize {
    trainee.stages(NUM_EPOCHS as usize).len()
}

/// From the first stage to the last, `steps` in each but the last.
fn to_last_stage<C: ModelConfig>(trainee: &mut dyn Trainee, steps: u64, device: &Device) {
    for stage in 1..num_stages(trainee) {
        train::<C>(trainee, 0..steps, device);
        enter_stage::<C>(trainee, stage);
    }
}

/// Takes the given steps on one batch.
fn train<C: ModelConfig>(trainee: &mut dyn Trainee, steps: std::ops::Range<u64>, device: &Device) -> Vec<Terms> {
    let batch = batch::<C>(BATCH_SIZE, device);
    steps.map(|step| at_step(step, |ctx| trainee.train_step(&batch, ctx))).collect()
}

fn progress(step: u64) -> Progress {
    Progress { step, epoch: step as f64 / STEPS_PER_EPOCH as f64, num_epochs: NUM_EPOCHS }
}

/// Runs something with the context of a training step.
fn at_step<T>(step: u64, run: impl FnOnce(&mut StepContext<'_>) -> T) -> T {
    let mut noise = StreamNoise(stream(SEED, Purpose::Training, 0, step));
    run(&mut StepContext { progress: progress(step), learning_rate: 0.01, noise: &mut noise })
}

/// One tensor of parameters, flattened.
#[derive(Debug, Clone, PartialEq)]
struct Parameter {
    path: String,
    is_trainable: bool,
    values: Vec<f32>,
}

/// The record of the model. The optimizer's is no function of its content: burn writes its tensors in any order.
fn model_bytes(trainee: &dyn Trainee) -> Vec<u8> {
    let mut state = trainee.state().expect("a model has a state");
    state.take("model").expect("the part `model` of a state is the record of the model")
}

/// The parameters of a trainee, read from its state.
fn parameters<C: ModelConfig>(config: &C, trainee: &dyn Trainee, device: &Device) -> Vec<Parameter> {
    let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(model_bytes(trainee))).expect("a record can be read");
    let model = config.init(&C::example_data(), &mut Initializer::new(SEED, device));
    let model = model.try_load_record(record).expect("a record fits the configuration that it was written under");
    let mut parameters = Parameters { path: Vec::new(), found: Vec::new() };
    model.visit(&mut parameters);
    parameters.found
}

struct Parameters {
    path: Vec<String>,
    found: Vec<Parameter>,
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().into_data().try_to_vec().expect("parameters are single precision");
        self.found.push(Parameter { path: self.path.join("."), is_trainable: param.is_require_grad(), values });
    }
}
