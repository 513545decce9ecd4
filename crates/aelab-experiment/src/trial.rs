//! One trial from data to result: what a worker does.
//!
//! Load the data, build the model, train (from the newest checkpoint where there is one), measure on the
//! test split, draw the figures. The caller holds the lock, writes `result.json` and decides what an
//! error means for the sweep.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use aelab_core::{BuildContext, Event, Examples, Observer, ObserverError, Progress, Pulse, RunInfo, StateError, TrainedModel};
use aelab_data::{DataError, Dataset, LoadContext};
use aelab_eval::{DataTable, Direction, Evaluation, EvaluationContext, EvaluationError, Measurement, Memo, Picture, default_evaluations};
use aelab_tensorboard::EventFile;
use aelab_train::{CheckpointError, CheckpointFolder, Ending, Outcome, Session, StepReport, TrainError, fit, fitted};
use burn::tensor::Device;

use crate::result::{DrawnPicture, MetricValue};
use crate::trial_config::FORMAT_VERSION;
use crate::worker::WorkerMessage;
use crate::{DeviceError, ResolvedTrial, TrialResult, TrialState, resolve_device};

mod environment;
mod figures;
pub(crate) mod metrics_log;
mod snapshots;

/// Progress is reported at most this often.
const REPORT_EVERY: std::time::Duration = std::time::Duration::from_millis(200);
/// What [`Pulse::phase`] is before training.
const LOADING_PHASE: &str = "loading data";
/// What it is after training.
const EVALUATION_PHASE: &str = "evaluation";

/// Where a trial finds what trials share.
#[derive(Debug, Clone)]
pub struct TrialContext {
    /// Where data comes from.
    pub load: LoadContext,
    /// Folder for what the trials of a run compute only once: the PCA of their data.
    pub shared: std::path::PathBuf,
    /// Beats while the trial runs, and says when it should stop.
    pub pulse: Arc<Pulse>,
    /// Epochs over all stages after which the trial pauses.
    pub pause_after: Option<u64>,
}

/// Why a trial could not be completed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// The data cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data is not what the trial was planned with.
    #[error(
        "the data has changed since the trial was planned: its checksum is {found}, the plan has {planned}; \
         run the experiment again to plan trials for the new data"
    )]
    DataChanged {
        /// Checksum now.
        found: String,
        /// Checksum of the plan.
        planned: String,
    },
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model does not suit the data.
    #[error("the model does not suit the data: {0}")]
    Model(#[from] aelab_core::ConfigError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A measurement failed.
    #[error("evaluation `{name}` failed")]
    Evaluation {
        /// Which one.
        name: String,
        /// Why.
        source: EvaluationError,
    },
    /// A file of the trial cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An observer could not write.
    #[error(transparent)]
    Observer(#[from] ObserverError),
    /// A figure could not be drawn.
    #[error("cannot draw the figure `{path}`")]
    Figure {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: aelab_report::FigureError,
    },
}

impl TrialError {
    /// Whether the error is one of the trial's own files, not of what it computes: where they can be written and read, it goes on.
    pub(crate) fn is_about_files(&self) -> bool {
        matches!(
            self,
            Self::Write { .. }
                | Self::Observer(_)
                | Self::Train(TrainError::Observer(_) | TrainError::Checkpoint(CheckpointError::Io { .. }))
        )
    }
}

/// Runs the trial in `folder` until its end or until its pulse says that it should stop.
pub fn run(
    folder: &Path,
    trial: &ResolvedTrial,
    context: &TrialContext,
    report: &mut dyn FnMut(WorkerMessage),
) -> Result<TrialResult, TrialError> {
    let pulse = context.pulse.as_ref();
    let device = resolve_device(&trial.device)?;
    pulse.begin(LOADING_PHASE);
    hold("load", folder)?;
    let dataset = load(trial, context)?;
    let data = dataset.train.spec().clone();
    trial.model.check(&data)?;
    let checkpoints = CheckpointFolder::new(folder.join("checkpoints"));
    if let Some(text) = environment::record(folder, trial, checkpoints.path("last").exists())? {
        report(WorkerMessage::Note { text });
    }

    let training_device = device.clone().autodiff();
    let clipping = trial.train.gradient_clipping;
    let optimizer = || trial.train.optimizer.build(clipping);
    let build =
        || trial.model.trainee(&BuildContext { data: &data, seed: trial.train.seed, device: &training_device, optimizer: &optimizer });
    let mut trainee = build();
    let num_parameters = trainee.num_parameters();
    let stages = trainee.stages(trial.train.epochs);
    let num_epochs: usize = stages.iter().map(|stage| stage.num_epochs).sum();
    report(WorkerMessage::Started { num_epochs, steps_per_epoch: dataset.train.len().div_ceil(trial.train.batch_size), num_parameters });

    let info = run_info(trial, &data, num_parameters);
    let mut events = EventFile::create(folder)?;
    let mut log = metrics_log::MetricsLog::open(&folder.join("metrics.jsonl"))?;
    let watched: &dyn Examples = if dataset.valid.is_empty() { &dataset.train } else { &dataset.valid };
    let snapshots = snapshots::Snapshots { examples: watched, device: &device, seed: trial.train.seed, num_epochs: trial.train.epochs };
    let mut reporter = Reporter::new(report);
    let mut is_repeated = false;
    let (outcome, best) = loop {
        let outcome = fit(
            trainee.as_mut(),
            &mut Session {
                train: &dataset.train,
                valid: &dataset.valid,
                config: &trial.train,
                device: &device,
                info: &info,
                checkpoints: &checkpoints,
                observers: &mut [&mut events, &mut log],
                pulse,
                pause_after: context.pause_after,
                progress: &mut |step| reporter.step(step),
                epoch_end: &mut |end, model, tell| snapshots.tell(end, model, tell),
            },
        )?;
        for note in &outcome.notes {
            reporter.note(note.clone());
        }
        if outcome.ending != Ending::Finished {
            break (outcome, None);
        }
        pulse.begin("finishing");
        match fitted(trainee.as_mut(), &dataset.train, &trial.train, &checkpoints, &outcome) {
            Ok(best) => break (outcome, Some(best)),
            // Training is a function of the configuration: what is lost comes out again to the bit.
            Err(TrainError::BestLost(why)) if !is_repeated => {
                is_repeated = true;
                reporter.note(format!("the state of the best epoch is lost, and training begins anew: {why}"));
                checkpoints.remove_all().map_err(TrainError::from)?;
                trainee = build();
            }
            Err(error) => return Err(error.into()),
        }
    };

    let mut result = base_result(num_parameters, &outcome);
    match (&outcome.ending, best) {
        (Ending::Diverged { step, term }, _) => {
            result.error = Some(format!("{term} was not a finite number at step {step} (epoch {})", outcome.position.epoch + 1));
        }
        (Ending::Interrupted | Ending::Paused, _) | (_, None) => return Ok(result),
        (Ending::Finished, Some((model, best_epoch))) => {
            hold("measure", folder)?;
            let measuring = Instant::now();
            result.best_epoch = best_epoch.map(|epoch| epoch as u64);
            let Some(measured) = evaluate(trial, context, &dataset, model.as_ref(), &device, &outcome, report)? else {
                return Ok(TrialResult { state: TrialState::Interrupted, ..result });
            };
            result.metrics = measured.metrics;
            result.pictures = measured.drawn;
            pulse.begin("drawing");
            figures::draw(folder, trial, &measured.pictures, &mut |name, image| {
                events.observe(&Event::Picture { step: outcome.position.step, tag: &format!("eval/{name}"), image })
            })?;
            figures::write_tables(folder, &measured.tables)?;
            result.measuring_seconds = measuring.elapsed().as_secs_f64();
        }
    }
    finish(&mut [&mut events, &mut log], &result)?;
    Ok(result)
}

/// A place where a test may end the process or make it wait.
fn hold(action: &str, folder: &Path) -> Result<(), TrialError> {
    aelab_files::failpoint(action, folder).map_err(|source| TrialError::Write { path: folder.to_owned(), source })
}

fn load(trial: &ResolvedTrial, context: &TrialContext) -> Result<Dataset, TrialError> {
    let dataset = trial.data.load(&context.load)?;
    if dataset.checksum != trial.data_checksum {
        return Err(TrialError::DataChanged { found: dataset.checksum, planned: trial.data_checksum.clone() });
    }
    Ok(dataset)
}

fn run_info(trial: &ResolvedTrial, data: &aelab_core::DataSpec, num_parameters: usize) -> RunInfo {
    RunInfo {
        experiment: trial.name.clone(),
        trial: trial.hash.clone(),
        model: trial.model.name().to_owned(),
        config: trial.definition.clone(),
        hyperparameters: crate::hparams::hyperparameters(trial.model.name(), &trial.overrides, trial.train.seed),
        num_parameters,
        metrics: trial.evaluate.iter().flat_map(|evaluation| evaluation.metric_names(data)).map(|name| format!("eval/{name}")).collect(),
    }
}

/// What is known of the trial when training has ended.
fn base_result(num_parameters: usize, outcome: &Outcome) -> TrialResult {
    TrialResult {
        format_version: FORMAT_VERSION,
        state: match outcome.ending {
            Ending::Finished => TrialState::Finished,
            Ending::Diverged { .. } => TrialState::Diverged,
            Ending::Interrupted => TrialState::Interrupted,
            Ending::Paused => TrialState::Paused,
        },
        error: None,
        metrics: Vec::new(),
        pictures: Vec::new(),
        num_parameters,
        epochs_run: outcome.position.total_epochs,
        steps: outcome.position.step,
        seconds: outcome.position.seconds,
        measuring_seconds: 0.0,
        best_epoch: None,
    }
}

/// What all evaluations of a trial gave.
#[derive(Default)]
struct Measured {
    metrics: Vec<MetricValue>,
    pictures: Vec<Picture>,
    drawn: Vec<DrawnPicture>,
    tables: Vec<DataTable>,
}

/// What the evaluations find; `None` when asked to stop, and then the next process finds it.
fn evaluate(
    trial: &ResolvedTrial,
    context: &TrialContext,
    dataset: &Dataset,
    model: &dyn TrainedModel,
    device: &Device,
    outcome: &Outcome,
    report: &mut dyn FnMut(WorkerMessage),
) -> Result<Option<Measured>, TrialError> {
    let pulse = &context.pulse;
    let untrained = |seed| untrained(trial, dataset, device, seed);
    let context = EvaluationContext {
        model,
        untrained: &untrained,
        train: &dataset.train,
        valid: &dataset.valid,
        test: &dataset.test,
        device,
        batch_size: 1000,
        seed: trial.train.seed,
        code_size: trial.model.code_size(),
        progress: Progress::end(trial.train.epochs as f64, outcome.position.step),
        cache_dir: Some(&context.shared),
        data_checksum: &trial.data_checksum,
        memo: Memo::default(),
        pulse,
    };
    let mut all = Measured::default();
    let is_asked_for = !is_default(&trial.evaluate, dataset.train.spec());
    for (index, evaluation) in trial.evaluate.iter().enumerate() {
        if pulse.should_stop() {
            return Ok(None);
        }
        pulse.begin(EVALUATION_PHASE);
        let (name, num_evaluations) = (evaluation.name().to_owned(), trial.evaluate.len());
        report(WorkerMessage::Measuring { evaluation: name, number: index + 1, num_evaluations });
        let measured = match evaluation.measure(&context) {
            Ok(measured) => measured,
            Err(EvaluationError::Stopped) => return Ok(None),
            Err(source) => return Err(TrialError::Evaluation { name: evaluation.name().to_owned(), source }),
        };
        // Two evaluations may share a metric: it is listed once, with the one that measured it first.
        for measurement in measured.measurements {
            if !all.metrics.iter().any(|known| known.name == measurement.name) {
                all.metrics.push(metric_value(measurement, evaluation.name()));
            }
        }
        all.drawn.extend(measured.pictures.iter().map(|picture| DrawnPicture {
            name: picture.name.clone(),
            title: picture.title.clone(),
            evaluation: evaluation.name().to_owned(),
        }));
        all.pictures.extend(measured.pictures);
        all.tables.extend(measured.tables);
        for text in measured.warnings.into_iter().chain(measured.nothing.filter(|_| is_asked_for)) {
            report(WorkerMessage::Note { text });
        }
    }
    Ok(Some(all))
}

/// Whether these are the evaluations that run on such data where an experiment names none.
fn is_default(evaluations: &[Box<dyn Evaluation>], data: &aelab_core::DataSpec) -> bool {
    let listed = |evaluations: &[Box<dyn Evaluation>]| -> Vec<_> {
        evaluations.iter().map(|evaluation| (evaluation.name(), evaluation.resolved())).collect()
    };
    listed(evaluations) == listed(&default_evaluations(data))
}

/// The trial's model as it is before any training: led through its stages, so that it has its final structure, without a step.
fn untrained(trial: &ResolvedTrial, dataset: &Dataset, device: &Device, seed: u64) -> Result<Box<dyn TrainedModel>, StateError> {
    let training_device = device.clone().autodiff();
    let optimizer = || trial.train.optimizer.build(None);
    let context = BuildContext { data: dataset.train.spec(), seed, device: &training_device, optimizer: &optimizer };
    let mut trainee = trial.model.trainee(&context);
    for stage in 0..trainee.stages(trial.train.epochs).len() {
        trainee.enter_stage(stage, &dataset.train)?;
    }
    Ok(trainee.snapshot())
}

/// Tells the observers how the trial ended and makes everything durable.
fn finish(observers: &mut [&mut dyn Observer], result: &TrialResult) -> Result<(), ObserverError> {
    let metrics: Vec<(String, f64)> = result.metrics.iter().map(|metric| (format!("eval/{}", metric.name), metric.value)).collect();
    for observer in observers {
        observer.observe(&Event::Finished { state: result.state.name(), step: result.steps, metrics: &metrics })?;
        observer.position()?;
    }
    Ok(())
}

fn metric_value(measurement: Measurement, evaluation: &str) -> MetricValue {
    let direction = match measurement.direction {
        Direction::HigherIsBetter => "higher",
        Direction::LowerIsBetter => "lower",
        Direction::Neutral => "none",
    };
    MetricValue {
        name: measurement.name,
        value: measurement.value,
        unit: measurement.unit.to_owned(),
        direction: direction.to_owned(),
        version: measurement.version,
        evaluation: Some(evaluation.to_owned()),
    }
}

/// Passes training's progress on, a few times a second.
struct Reporter<'a> {
    report: &'a mut dyn FnMut(WorkerMessage),
    since: Instant,
    steps_before: u64,
    steps: u64,
    last: Option<Instant>,
}

impl<'a> Reporter<'a> {
    fn new(report: &'a mut dyn FnMut(WorkerMessage)) -> Self {
        Self { report, since: Instant::now(), steps_before: 0, steps: 0, last: None }
    }

    fn note(&mut self, text: String) {
        (self.report)(WorkerMessage::Note { text });
    }

    fn step(&mut self, step: &StepReport) {
        if self.steps == 0 {
            self.since = Instant::now();
            self.steps_before = step.step;
        }
        self.steps += 1;
        if self.last.is_some_and(|last| last.elapsed() < REPORT_EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        let seconds = self.since.elapsed().as_secs_f64();
        (self.report)(WorkerMessage::Progress {
            stage: step.stage.clone(),
            epoch: step.epoch,
            num_epochs: step.num_epochs,
            step: step.step,
            steps_per_second: if seconds > 0.0 { (step.step - self.steps_before) as f64 / seconds } else { 0.0 },
            loss: step.loss,
            valid_loss: step.valid_loss,
        });
    }
}

#[cfg(test)]
mod tests {
    use aelab_core::{DataSpec, Domain};

    use super::*;

    #[test]
    fn evaluations_that_run_unasked_are_told_from_those_that_are_named() {
        let data = DataSpec::new([1, 8, 8], Domain::UnitInterval);
        let named = |name: &str| (aelab_eval::find(name).unwrap().parse)(serde_json::Value::Null).unwrap();
        assert!(is_default(&default_evaluations(&data), &data));
        assert!(!is_default(&[named("samples")], &data));
        assert!(!is_default(&[named("log_likelihood"), named("samples")], &data));
    }
}
