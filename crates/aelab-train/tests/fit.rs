//! The training loop on toy models: resuming, stages, stopping, divergence.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use aelab_core::{
    Autoencoder, Batch, DataSpec, Domain, Event, Examples, GradientClipping, Initialization, Initializer, Objective, Observer,
    ObserverError, Optimizer, Pulse, Rewound, RunInfo, Scheduled, SingleOptimizer, Stage, StateError, StepContext, Stream, Terms,
    TrainedModel, Trainee, TraineeState,
};
use aelab_train::{CheckpointFolder, EarlyStopping, Ending, Keep, OptimizerConfig, Outcome, Session, TrainConfig, TrainError, fit, fitted};
use burn::module::{Module, Param};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Tensor};
use serde_json::Value;

/// x -> x E -> (x E + noise) D, squared error.
#[derive(Module, Debug)]
struct Toy {
    encoder: Param<Tensor<2>>,
    decoder: Param<Tensor<2>>,
}

impl Toy {
    fn new(seed: u64) -> Self {
        let initializer = &mut Initializer::new(seed, &Device::flex().autodiff());
        Self {
            encoder: initializer.weight([4, 2], 4, 2, Initialization::GlorotUniform),
            decoder: initializer.weight([2, 4], 2, 4, Initialization::GlorotUniform),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.clone().into_record().into_bytes().unwrap().to_vec()
    }
}

impl Autoencoder for Toy {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.encoder.val())
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        z.matmul(self.decoder.val())
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let z = self.encode(batch.x.clone());
        let z = z.clone() + ctx.noise.normal(z.dims(), &z.device()) * 0.1;
        let error = (self.decode(z) - batch.x.clone()).square().sum_dim(1).mean();
        Objective::new().term("squared_error", error, 1.0)
    }
}

/// Two optimizers that take turns, and two stages: first the decoder alone, then both.
struct TwoStages {
    model: Option<Toy>,
    optimizers: [Option<Optimizer>; 2],
    stage: usize,
    entered: usize,
}

impl TwoStages {
    fn new() -> Self {
        Self { model: Some(Toy::new(5)), optimizers: [Some(adam(0.01).build(None)), Some(adam(0.02).build(None))], stage: 0, entered: 0 }
    }
}

impl Trainee for TwoStages {
    fn stages(&self, num_epochs: usize) -> Vec<Stage> {
        vec![Stage { name: "pretrain".to_owned(), num_epochs: 2 }, Stage { name: "fine_tune".to_owned(), num_epochs }]
    }

    fn enter_stage(&mut self, stage: usize, train: &dyn Examples) -> Result<(), StateError> {
        assert!(!train.is_empty());
        self.stage = stage;
        self.entered += 1;
        Ok(())
    }

    fn train_step(&mut self, batch: &Batch, ctx: &mut StepContext<'_>) -> Terms {
        let mut terms = Terms::default();
        for turn in 0..=self.stage {
            let model = self.model.take().unwrap();
            let objective = model.objective(batch, ctx);
            terms = objective.values();
            let optimizer = self.optimizers[turn].as_mut().unwrap();
            self.model = Some(optimizer.step(ctx.learning_rate, model, objective.loss().backward()));
        }
        terms
    }

    fn snapshot(&self) -> Box<dyn TrainedModel> {
        SingleOptimizer::new(self.model.clone().unwrap(), adam(0.1).build(None)).snapshot()
    }

    fn state(&self) -> Result<TraineeState, StateError> {
        let mut parts = BTreeMap::from([("model".to_owned(), self.model.as_ref().unwrap().bytes())]);
        for (number, optimizer) in self.optimizers.iter().enumerate() {
            parts.insert(format!("optimizer_{number}"), optimizer.as_ref().unwrap().to_bytes().unwrap());
        }
        Ok(TraineeState { stage: self.stage, parts })
    }

    fn restore(&mut self, mut state: TraineeState) -> Result<(), StateError> {
        self.stage = state.stage;
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(state.take("model")?)).unwrap();
        self.model = Some(self.model.take().unwrap().load_record(record));
        for (number, optimizer) in self.optimizers.iter_mut().enumerate() {
            *optimizer = Some(optimizer.take().unwrap().load_bytes(state.take(&format!("optimizer_{number}"))?).unwrap());
        }
        Ok(())
    }

    fn num_parameters(&self) -> usize {
        16
    }
}

/// Points on a plane in four dimensions.
struct Points {
    spec: DataSpec,
    rows: Vec<[f32; 4]>,
}

impl Points {
    fn new(num: usize, offset: usize) -> Self {
        let rows = (offset..offset + num).map(|i| (i as f32 * 0.7).sin_cos()).map(|(a, b)| [a, b, a + b, a - b]).collect();
        Self { spec: DataSpec::new([4], Domain::Real), rows }
    }
}

impl Examples for Points {
    fn spec(&self) -> &DataSpec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn gather(&self, indices: &[usize], _stream: &mut Stream, out: &mut Vec<f32>) {
        indices.iter().for_each(|&index| out.extend(self.rows[index]));
    }

    fn labels(&self) -> Option<&[u32]> {
        None
    }
}

/// Remembers scalars; its position is their number.
#[derive(Default)]
struct Recorder {
    scalars: Vec<(u64, String, f64)>,
    /// Whether it says so when there are fewer than at the position.
    is_strict: bool,
}

impl Observer for Recorder {
    fn observe(&mut self, event: &Event<'_>) -> Result<(), ObserverError> {
        if let Event::Scalars { step, split, values, .. } = event {
            self.scalars.extend(values.iter().map(|(name, value)| (*step, format!("{}/{name}", split.name()), *value)));
        }
        Ok(())
    }

    fn position(&mut self) -> Result<Value, ObserverError> {
        Ok(Value::from(self.scalars.len()))
    }

    fn rewind(&mut self, position: &Value) -> Result<Rewound, ObserverError> {
        let num = position.as_u64().unwrap_or(0) as usize;
        if self.is_strict && self.scalars.len() < num {
            return Ok(Rewound::Unfit("scalars are lost".to_owned()));
        }
        self.scalars.truncate(num);
        Ok(Rewound::Whole)
    }
}

fn adam(learning_rate: f64) -> OptimizerConfig {
    let json = format!(r#"{{"adam": {{"learning_rate": {learning_rate}}}}}"#);
    serde_json::from_str(&json).unwrap()
}

fn config(optimizer: &str) -> TrainConfig {
    TrainConfig {
        epochs: 4,
        batch_size: 8,
        optimizer: serde_json::from_str(optimizer).unwrap(),
        seed: 3,
        gradient_clipping: None,
        early_stopping: None,
        keep: Keep::Best,
        checkpoint_every: Some(2),
        log_every: 3,
    }
}

fn info() -> RunInfo {
    RunInfo {
        experiment: "toy".to_owned(),
        trial: "0".to_owned(),
        model: "toy".to_owned(),
        config: Value::Null,
        hyperparameters: vec![],
        num_parameters: 16,
        metrics: vec![],
    }
}

/// Examples that ask to stop when they are looked at for the `countdown`-th time.
struct Stopping<'a> {
    points: Points,
    pulse: &'a Pulse,
    /// Negative: never.
    countdown: AtomicI64,
}

impl Examples for Stopping<'_> {
    fn spec(&self) -> &DataSpec {
        self.points.spec()
    }

    fn len(&self) -> usize {
        self.points.len()
    }

    fn labels(&self) -> Option<&[u32]> {
        None
    }

    fn gather(&self, indices: &[usize], stream: &mut Stream, out: &mut Vec<f32>) {
        if self.countdown.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.pulse.stop();
        }
        self.points.gather(indices, stream, out);
    }
}

/// Trains until `stop_after` steps of this process, `None` for until the end.
fn run(
    trainee: &mut dyn Trainee,
    config: &TrainConfig,
    folder: &std::path::Path,
    recorder: &mut Recorder,
    stop_after: Option<u64>,
) -> Outcome {
    run_stopping(trainee, config, folder, recorder, stop_after, None, None)
}

/// The same, or until the validation split was looked at so often, or to the pause after so many epochs.
fn run_stopping(
    trainee: &mut dyn Trainee,
    config: &TrainConfig,
    folder: &std::path::Path,
    recorder: &mut Recorder,
    stop_after: Option<u64>,
    looks: Option<i64>,
    pause_after: Option<u64>,
) -> Outcome {
    let info = info();
    let steps = Cell::new(0);
    let pulse = Pulse::default();
    let mut session = Session {
        train: &Points::new(37, 0),
        valid: &Stopping { points: Points::new(10, 100), pulse: &pulse, countdown: AtomicI64::new(looks.unwrap_or(-1)) },
        config,
        device: &Device::flex(),
        info: &info,
        checkpoints: &CheckpointFolder::new(folder),
        observers: &mut [recorder],
        pulse: &pulse,
        pause_after,
        progress: &mut |_| {
            steps.set(steps.get() + 1);
            if stop_after.is_some_and(|limit| steps.get() >= limit) {
                pulse.stop();
            }
        },
        epoch_end: &mut |_, _, _| Ok(()),
    };
    fit(trainee, &mut session).unwrap()
}

fn toy(config: &TrainConfig) -> SingleOptimizer<Toy> {
    SingleOptimizer::new(Toy::new(5), config.optimizer.build(config.gradient_clipping))
}

const OPTIMIZERS: [&str; 7] = [
    r#"{"sgd": {"learning_rate": 0.01}}"#,
    r#"{"sgd": {"learning_rate": 0.01, "momentum": 0.9, "nesterov": true, "weight_decay": 0.001}}"#,
    r#"{"adam": {"learning_rate": {"cosine": {"from": 0.02, "to": 0.001}}}}"#,
    r#"{"adamw": {"learning_rate": {"warm_up": {"epochs": 1.5, "then": 0.02}}}}"#,
    r#"{"rmsprop": {"learning_rate": 0.01, "momentum": 0.5, "centered": true}}"#,
    r#"{"rmsprop": {"learning_rate": 0.01}}"#,
    r#"{"adagrad": {"learning_rate": 0.1, "learning_rate_decay": 0.01}}"#,
];

#[test]
fn stopping_anywhere_and_resuming_changes_no_bit_whatever_the_optimizer() {
    for optimizer in OPTIMIZERS {
        let config = config(optimizer);
        let folder = tempfile::tempdir().unwrap();
        let (mut whole, mut whole_record) = (toy(&config), Recorder::default());
        assert_eq!(run(&mut whole, &config, folder.path(), &mut whole_record, None).ending, Ending::Finished);

        let folder = tempfile::tempdir().unwrap();
        let mut record = Recorder::default();
        let mut pieces = 0;
        let (broken, position) = loop {
            let mut trainee = toy(&config);
            let outcome = run(&mut trainee, &config, folder.path(), &mut record, Some(3));
            pieces += 1;
            if outcome.ending == Ending::Finished {
                break (trainee, outcome.position);
            }
        };
        assert!(pieces > 5, "the run was really broken up");
        assert_eq!(position.step, 20);
        assert_eq!(whole.state().unwrap().parts["model"], broken.state().unwrap().parts["model"], "{optimizer}");
        assert_eq!(whole_record.scalars, record.scalars, "{optimizer}");
    }
}

#[test]
fn a_pause_lies_between_two_epochs_and_changes_no_bit() {
    let config = config(OPTIMIZERS[1]);
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (mut whole, mut whole_record) = (toy(&config), Recorder::default());
    let expected = run(&mut whole, &config, folders[0].path(), &mut whole_record, None);
    let mut record = Recorder::default();
    for num_epochs in 1..expected.position.total_epochs {
        // The second one finds that it is there already; the last one is interrupted on its way and goes on.
        for stop_after in [Some(2), None, None] {
            let outcome = run_stopping(&mut toy(&config), &config, folders[1].path(), &mut record, stop_after, None, Some(num_epochs));
            assert!(outcome.position.total_epochs <= num_epochs);
            if stop_after.is_none() {
                assert_eq!((outcome.ending, outcome.position.total_epochs, outcome.position.batch), (Ending::Paused, num_epochs, 0));
            }
        }
    }
    let mut broken = toy(&config);
    let outcome = run_stopping(&mut broken, &config, folders[1].path(), &mut record, None, None, Some(expected.position.total_epochs));
    assert_eq!(outcome.ending, Ending::Finished, "with the last epoch all is done");
    assert_eq!(whole.state().unwrap().parts["model"], broken.state().unwrap().parts["model"]);
    assert_eq!(whole_record.scalars, record.scalars);
}

#[test]
fn stopping_in_the_middle_of_validation_and_resuming_changes_no_bit_and_logs_each_epoch_once() {
    // Two batches of validation an epoch: it stops before the second.
    let config = TrainConfig { batch_size: 8, ..config(OPTIMIZERS[2]) };
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (mut whole, mut whole_record) = (toy(&config), Recorder::default());
    run(&mut whole, &config, folders[0].path(), &mut whole_record, None);
    let mut record = Recorder::default();
    let mut num_interrupted = 0;
    let broken = loop {
        let mut trainee = toy(&config);
        // The one that resumes validates what its forerunner left, and stops in the validation after that.
        let outcome =
            run_stopping(&mut trainee, &config, folders[1].path(), &mut record, None, Some(if num_interrupted == 0 { 1 } else { 3 }), None);
        match outcome.ending {
            Ending::Interrupted => num_interrupted += 1,
            _ => break trainee,
        }
    };
    assert!(num_interrupted >= 3, "{num_interrupted}");
    assert_eq!(whole.state().unwrap().parts["model"], broken.state().unwrap().parts["model"]);
    assert_eq!(whole_record.scalars, record.scalars);
}

#[test]
fn a_checkpoint_that_is_asked_for_is_written_at_the_next_step() {
    let config = config(OPTIMIZERS[0]);
    let folder = tempfile::tempdir().unwrap();
    let pulse = Pulse::default();
    let seen = Cell::new(None);
    let num_steps = Cell::new(0);
    let info = info();
    let mut session = Session {
        train: &Points::new(37, 0),
        valid: &Points::new(0, 0),
        config: &config,
        device: &Device::flex(),
        info: &info,
        checkpoints: &CheckpointFolder::new(folder.path()),
        observers: &mut [],
        pulse: &pulse,
        pause_after: None,
        progress: &mut |_| {
            num_steps.set(num_steps.get() + 1);
            match num_steps.get() {
                1 => pulse.request_checkpoint(),
                2 => {
                    let saved = CheckpointFolder::new(folder.path()).load("last").unwrap().map(|(manifest, _)| manifest.position.step);
                    seen.set(saved);
                }
                _ => {}
            }
        },
        epoch_end: &mut |_, _, _| Ok(()),
    };
    fit(&mut toy(&config), &mut session).unwrap();
    assert_eq!(seen.get(), Some(1));
}

#[test]
fn a_crash_that_saved_nothing_loses_only_the_steps_since_the_last_checkpoint() {
    let config = config(OPTIMIZERS[2]);
    let (whole_folder, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut whole = toy(&config);
    run(&mut whole, &config, whole_folder.path(), &mut Recorder::default(), None);

    // A kill is a stop whose checkpoint is lost: what was there before the stop is put back.
    let mut record = Recorder::default();
    run(&mut toy(&config), &config, folder.path(), &mut record, Some(8));
    std::fs::remove_file(folder.path().join("last.tar")).unwrap();
    let mut trainee = toy(&config);
    run(&mut trainee, &config, folder.path(), &mut record, None);
    assert_eq!(whole.state().unwrap().parts["model"], trainee.state().unwrap().parts["model"]);
    let mut steps: Vec<_> = record.scalars.iter().map(|(step, tag, _)| (*step, tag.clone())).collect();
    steps.sort();
    steps.dedup();
    assert_eq!(steps.len(), record.scalars.len(), "no step is reported twice");
}

#[test]
fn two_stages_and_two_optimizers_resume_in_either_stage() {
    let config = config(OPTIMIZERS[2]);
    let folder = tempfile::tempdir().unwrap();
    let (mut whole, mut whole_record) = (TwoStages::new(), Recorder::default());
    run(&mut whole, &config, folder.path(), &mut whole_record, None);
    assert_eq!(whole.entered, 2);
    assert!(whole_record.scalars.iter().any(|(_, tag, _)| tag == "train/pretrain/loss"));
    assert!(whole_record.scalars.iter().any(|(_, tag, _)| tag == "valid/fine_tune/squared_error"));
    for first in [1, 7, 10, 11, 19] {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Recorder::default();
        let mut interrupted = TwoStages::new();
        assert_eq!(run(&mut interrupted, &config, folder.path(), &mut record, Some(first)).ending, Ending::Interrupted);
        let mut resumed = TwoStages::new();
        run(&mut resumed, &config, folder.path(), &mut record, None);
        assert_eq!(interrupted.entered + resumed.entered, 2, "each stage is entered once, interrupted after {first}");
        assert_eq!(whole.state().unwrap().parts["model"], resumed.state().unwrap().parts["model"], "interrupted after {first}");
        assert_eq!(whole_record.scalars, record.scalars);
    }
}

#[test]
fn a_finished_run_is_not_trained_further() {
    let config = config(OPTIMIZERS[0]);
    let folder = tempfile::tempdir().unwrap();
    let mut first = toy(&config);
    run(&mut first, &config, folder.path(), &mut Recorder::default(), None);
    let mut again = toy(&config);
    let outcome = run(&mut again, &config, folder.path(), &mut Recorder::default(), Some(0));
    assert_eq!(outcome.ending, Ending::Finished);
    assert_eq!(first.state().unwrap().parts["model"], again.state().unwrap().parts["model"]);
}

#[test]
fn divergence_is_reported_with_its_step_and_term() {
    let config = config(r#"{"sgd": {"learning_rate": 1.0e6}}"#);
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(&mut toy(&config), &config, folder.path(), &mut Recorder::default(), None);
    let Ending::Diverged { step, term } = outcome.ending else { panic!("{outcome:?}") };
    assert_eq!(term, "squared_error");
    assert!((1..10).contains(&step), "{step}");
}

#[test]
fn early_stopping_ends_after_the_patience_and_the_best_epoch_is_kept() {
    let mut config = config(r#"{"sgd": {"learning_rate": 0.0}}"#);
    config.epochs = 50;
    config.early_stopping = Some(EarlyStopping { patience: 3, min_delta: 0.0 });
    let folder = tempfile::tempdir().unwrap();
    let mut trainee = toy(&config);
    let outcome = run(&mut trainee, &config, folder.path(), &mut Recorder::default(), None);
    assert!(outcome.position.stopped_early);
    assert_eq!((outcome.position.total_epochs, outcome.position.best.unwrap().1), (4, 1));
    let (_, epoch) = fitted(&mut trainee, &Points::new(37, 0), &config, &CheckpointFolder::new(folder.path()), &outcome).unwrap();
    assert_eq!(epoch, Some(1));
}

#[test]
fn the_best_epoch_is_the_one_with_the_lowest_validation_loss() {
    // The learning rate explodes after the second epoch.
    let mut config = config(r#"{"sgd": {"learning_rate": {"step": {"from": 0.05, "factor": 100.0, "every": 2}}}}"#);
    config.gradient_clipping = Some(GradientClipping::Norm(5.0));
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::default();
    let mut trainee = toy(&config);
    let outcome = run(&mut trainee, &config, folder.path(), &mut recorder, None);
    let losses: Vec<f64> = recorder.scalars.iter().filter(|(_, tag, _)| tag == "valid/loss").map(|(.., value)| *value).collect();
    let lowest = losses.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(outcome.position.best, Some((lowest.1, lowest.0 + 1)));
    assert_ne!(lowest.0 + 1, losses.len(), "the best epoch is not the last one");
    let last = trainee.state().unwrap();
    fitted(&mut trainee, &Points::new(37, 0), &config, &CheckpointFolder::new(folder.path()), &outcome).unwrap();
    assert_ne!(last.parts["model"], trainee.state().unwrap().parts["model"]);
}

/// The Euclidean norm of the change that one step of plain gradient descent at rate 1 makes, and its largest element.
fn first_step(clipping: Option<GradientClipping>) -> (f64, f64) {
    let mut config = config(r#"{"sgd": {"learning_rate": 1.0}}"#);
    config.gradient_clipping = clipping;
    let before = Toy::new(5);
    let folder = tempfile::tempdir().unwrap();
    let mut trainee = toy(&config);
    run(&mut trainee, &config, folder.path(), &mut Recorder::default(), Some(1));
    let bytes = trainee.state().unwrap().take("model").unwrap();
    let after = Toy::new(0).load_record(ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes)).unwrap());
    let values = |model: &Toy| {
        [model.encoder.val().into_data().try_to_vec::<f32>().unwrap(), model.decoder.val().into_data().try_to_vec().unwrap()].concat()
    };
    let change: Vec<f64> = values(&before).iter().zip(values(&after)).map(|(a, b)| f64::from(a - b)).collect();
    (change.iter().map(|x| x * x).sum::<f64>().sqrt(), change.iter().fold(0.0, |max, x| x.abs().max(max)))
}

#[test]
fn clipping_by_norm_bounds_all_parameters_together_and_clipping_by_value_each_element() {
    let (norm, largest) = first_step(None);
    assert!(norm > 0.5 && largest > 0.1, "{norm} {largest}");
    assert!((first_step(Some(GradientClipping::Norm(0.25))).0 - 0.25).abs() < 1e-5);
    assert_eq!(first_step(Some(GradientClipping::Norm(norm * 2.0))), (norm, largest));
    assert!((first_step(Some(GradientClipping::Value(0.1))).1 - 0.1).abs() < 1e-6);
}

#[test]
fn a_learning_rate_schedule_is_read_at_each_step() {
    let config = config(r#"{"sgd": {"learning_rate": {"linear": {"from": 0.02, "to": 0.0}}}}"#);
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::default();
    run(&mut toy(&config), &config, folder.path(), &mut recorder, None);
    let rates: Vec<(u64, f64)> =
        recorder.scalars.iter().filter(|(_, tag, _)| tag == "train_step/learning_rate").map(|(step, _, value)| (*step, *value)).collect();
    assert_eq!(rates.len(), 6);
    for (step, rate) in rates {
        let expected = 0.02 * (1.0 - (step - 1) as f64 / 20.0);
        assert!((rate - expected).abs() < 1e-12, "step {step}: {rate}");
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_note() {
    let config = config(OPTIMIZERS[1]);
    let (whole_folder, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut whole = toy(&config);
    run(&mut whole, &config, whole_folder.path(), &mut Recorder::default(), None);
    run(&mut toy(&config), &config, folder.path(), &mut Recorder::default(), Some(9));
    let last = folder.path().join("last.tar");
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() / 2]).unwrap();
    let mut trainee = toy(&config);
    let outcome = run(&mut trainee, &config, folder.path(), &mut Recorder::default(), None);
    assert_eq!(outcome.notes.len(), 1);
    assert_eq!(whole.state().unwrap().parts["model"], trainee.state().unwrap().parts["model"]);
}

#[test]
fn where_both_checkpoints_are_damaged_training_begins_anew_with_a_note_and_the_same_bits() {
    let config = config(OPTIMIZERS[1]);
    let (whole_folder, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut whole, mut recorded) = (toy(&config), Recorder::default());
    run(&mut whole, &config, whole_folder.path(), &mut recorded, None);
    let mut recorder = Recorder::default();
    run(&mut toy(&config), &config, folder.path(), &mut recorder, Some(9));
    for name in ["last.tar", "previous.tar"] {
        std::fs::write(folder.path().join(name), b"damaged").unwrap();
    }
    let mut trainee = toy(&config);
    let outcome = run(&mut trainee, &config, folder.path(), &mut recorder, None);
    assert!(outcome.notes.iter().any(|note| note.contains("begins anew")), "{:?}", outcome.notes);
    assert_eq!(whole.state().unwrap().parts["model"], trainee.state().unwrap().parts["model"]);
    assert_eq!(recorder.scalars, recorded.scalars);
}

#[test]
fn a_log_that_has_lost_what_a_checkpoint_counts_on_sends_training_back_to_one_that_it_fits() {
    let config = config(OPTIMIZERS[1]);
    let (whole_folder, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut whole, mut recorded) = (toy(&config), Recorder::default());
    run(&mut whole, &config, whole_folder.path(), &mut recorded, None);
    // One scalar less than at the last checkpoint, then none at all.
    for num_left in [None, Some(0)] {
        let mut recorder = Recorder { is_strict: true, ..Recorder::default() };
        run(&mut toy(&config), &config, folder.path(), &mut recorder, Some(9));
        let num = num_left.unwrap_or(recorder.scalars.len() - 1);
        recorder.scalars.truncate(num);
        let mut trainee = toy(&config);
        let outcome = run(&mut trainee, &config, folder.path(), &mut recorder, None);
        assert!(outcome.notes[0].contains("scalars are lost"), "{:?}", outcome.notes);
        assert_eq!(outcome.notes.iter().any(|note| note.contains("begins anew")), num_left.is_some(), "{:?}", outcome.notes);
        assert_eq!(whole.state().unwrap().parts["model"], trainee.state().unwrap().parts["model"]);
        assert_eq!(recorder.scalars, recorded.scalars);
        CheckpointFolder::new(folder.path()).remove_all().unwrap();
    }
}

#[test]
fn a_lost_best_epoch_is_an_error_and_never_another_epoch() {
    let mut config = config(r#"{"sgd": {"learning_rate": 0.0}}"#);
    config.early_stopping = Some(EarlyStopping { patience: 3, min_delta: 0.0 });
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = CheckpointFolder::new(folder.path());
    for is_removed in [true, false] {
        let mut trainee = toy(&config);
        let outcome = run(&mut trainee, &config, folder.path(), &mut Recorder::default(), None);
        let best = checkpoints.path("best");
        if is_removed {
            std::fs::remove_file(best).unwrap()
        } else {
            std::fs::write(best, b"damaged").unwrap()
        }
        let Err(error) = fitted(&mut trainee, &Points::new(37, 0), &config, &checkpoints, &outcome) else { panic!("it is gone") };
        assert!(matches!(error, TrainError::BestLost(_)), "{error}");
        checkpoints.remove_all().unwrap();
    }
}

#[test]
fn impossible_settings_are_refused_with_their_path() {
    let path = |json: &str| serde_json::from_str::<OptimizerConfig>(json).unwrap().check().unwrap_err().path;
    assert_eq!(path(r#"{"sgd": {"learning_rate": 0.1, "nesterov": true}}"#), "sgd.nesterov");
    assert_eq!(path(r#"{"adam": {"learning_rate": 0.1, "beta_1": 1.0}}"#), "adam.beta_1");
    assert_eq!(path(r#"{"adamw": {"learning_rate": {"linear": {"from": -1, "to": 0}}}}"#), "adamw.learning_rate");
    let mut settings = config(OPTIMIZERS[0]);
    settings.batch_size = 0;
    assert_eq!(settings.check().unwrap_err().path, "batch_size");
    settings.batch_size = 1;
    settings.learning_rate();
    settings.gradient_clipping = Some(GradientClipping::Norm(-1.0));
    assert_eq!(settings.check().unwrap_err().path, "gradient_clipping");
    assert_eq!(Scheduled::from(0.1).last(3.0), 0.1);
}
