//! The training loop.

use std::time::Instant;

use aelab_core::{
    Event, Examples, Observer, ObserverError, Progress, Pulse, Purpose, Rewound, RunInfo, Split, Stage, StateError, StepContext,
    StreamNoise, Terms, TrainedModel, Trainee, stream,
};
use burn::tensor::Device;

use crate::checkpoint::Latest;
use crate::term_means::TermMeans;
use crate::{CheckpointError, CheckpointFolder, Keep, Position, TrainConfig, gather_batch, order::epoch_order, restore};

/// Everything that [`fit`] works with besides the trainee.
pub struct Session<'a> {
    /// Examples to learn from.
    pub train: &'a dyn Examples,
    /// Examples that decide about early stopping and the best epoch; may be empty.
    pub valid: &'a dyn Examples,
    /// How to train.
    pub config: &'a TrainConfig,
    /// The device without autodiff; training runs on its autodiff form.
    pub device: &'a Device,
    /// What the observers are told of the trial.
    pub info: &'a RunInfo,
    /// Where checkpoints go.
    pub checkpoints: &'a CheckpointFolder,
    /// Who is told of events.
    pub observers: &'a mut [&'a mut dyn Observer],
    /// Beats with every batch. Asked to stop, training checkpoints and ends as interrupted.
    pub pulse: &'a Pulse,
    /// Epochs over all stages after which training pauses, with a checkpoint, unless it is over by then.
    pub pause_after: Option<u64>,
    /// Told after every step, for progress displays.
    pub progress: &'a mut dyn FnMut(&StepReport),
    /// Called after every epoch with the model as it is; returns what else there is to tell the observers.
    pub epoch_end: &'a mut EpochHook<'a>,
}

/// What [`Pulse::phase`] is while a checkpoint is written: not the moment to end a process.
pub const CHECKPOINT_PHASE: &str = "checkpoint";

/// What is called after every epoch.
pub type EpochHook<'a> = dyn FnMut(&EpochEnd, &dyn TrainedModel, &mut Tell<'_>) -> Result<(), ObserverError> + 'a;

/// Passes an event on to every observer.
pub type Tell<'a> = dyn FnMut(&Event<'_>) -> Result<(), ObserverError> + 'a;

/// Where training stands, for progress displays.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Name of the stage.
    pub stage: String,
    /// Epochs of the stage behind us, with fraction.
    pub epoch: f64,
    /// Epochs of the stage.
    pub num_epochs: usize,
    /// Optimizer steps over all stages.
    pub step: u64,
    /// Loss of the last batch.
    pub loss: f64,
    /// Validation loss of the last epoch, where there was one.
    pub valid_loss: Option<f64>,
}

/// The end of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochEnd {
    /// Epochs over all stages, this one included.
    pub total_epochs: u64,
    /// Optimizer steps over all stages.
    pub step: u64,
    /// Whether no epoch follows.
    pub last: bool,
}

/// How training ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// All epochs are done, or early stopping said so.
    Finished,
    /// A value was not a finite number.
    Diverged {
        /// Optimizer steps before it happened.
        step: u64,
        /// The term, `loss`, or `the validation loss`.
        term: &'static str,
    },
    /// It was asked to stop; a checkpoint holds everything.
    Interrupted,
    /// It has come as far as it was meant to come for now; a checkpoint holds everything.
    Paused,
}

/// What [`fit`] returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How training ended.
    pub ending: Ending,
    /// Where it stood then.
    pub position: Position,
    /// Checkpoints that were passed over, and what else was not as it should be.
    pub notes: Vec<String>,
}

/// Why training could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The state in a checkpoint does not fit the model.
    #[error("the checkpoint does not fit this model")]
    State(#[from] StateError),
    /// An observer could not write.
    #[error(transparent)]
    Observer(#[from] ObserverError),
    /// There is nothing to learn from.
    #[error("the training split is empty")]
    NoExamples,
    /// Training has ended, and the state of its best epoch is lost: it has to be repeated.
    #[error("the state of the best epoch is lost: {0}")]
    BestLost(String),
}

/// Trains until the end, from the newest checkpoint where there is one.
///
/// ```text
/// for each stage
///     for each epoch
///         for each batch of a fresh order
///             one step, with the learning rate of this moment
///         validate; keep the best; stop early when patience is used up
/// ```
///
/// Order, noise and schedules are functions of (seed, epoch, step), so training that was interrupted
/// anywhere and resumed gives the same parameters to the bit.
pub fn fit(trainee: &mut dyn Trainee, session: &mut Session<'_>) -> Result<Outcome, TrainError> {
    if session.train.is_empty() {
        return Err(TrainError::NoExamples);
    }
    let stages = trainee.stages(session.config.epochs);
    let (mut at, notes) = resume(trainee, session)?;
    let clock = Clock { before: at.seconds, since: Instant::now() };
    while !at.done {
        // Between epochs only: whoever goes on does what would have been done anyway.
        if at.batch == 0 && session.pause_after.is_some_and(|num_epochs| at.total_epochs >= num_epochs) {
            return Ok(Outcome { ending: Ending::Paused, position: at, notes });
        }
        let stage = &stages[at.stage];
        if !at.entered {
            session.pulse.begin("entering a stage");
            trainee.enter_stage(at.stage, session.train)?;
            at.entered = true;
        }
        if let Some(ending) = run_epoch(trainee, session, &stages, &mut at, &clock)? {
            if ending == Ending::Interrupted {
                save(trainee, session, &mut at, &clock, false)?;
            }
            at.seconds = clock.seconds();
            return Ok(Outcome { ending, position: at, notes });
        }
        let Some(is_best) = validate(trainee, session, stage, &stages, &mut at)? else {
            // The epoch is trained but not validated: the next process validates it.
            save(trainee, session, &mut at, &clock, false)?;
            return Ok(Outcome { ending: Ending::Interrupted, position: at, notes });
        };
        if at.last_valid_loss.is_some_and(|loss| !loss.is_finite()) {
            at.seconds = clock.seconds();
            let ending = Ending::Diverged { step: at.step, term: "the validation loss" };
            return Ok(Outcome { ending, position: at, notes });
        }
        advance(session, &stages, &mut at);
        let end = EpochEnd { total_epochs: at.total_epochs, step: at.step, last: at.done };
        (session.epoch_end)(&end, trainee.snapshot().as_ref(), &mut |event| tell(session.observers, event))?;
        save(trainee, session, &mut at, &clock, is_best)?;
    }
    Ok(Outcome { ending: Ending::Finished, position: at, notes })
}

/// The model that evaluation sees after [`fit`] finished, and the epoch that it stems from.
///
/// With [`Keep::Best`] this is the state of the epoch with the lowest validation loss.
///
/// # Errors
/// [`TrainError::BestLost`] where no checkpoint holds that state any more: the caller may remove them all and train anew.
pub fn fitted(
    trainee: &mut dyn Trainee,
    train: &dyn Examples,
    config: &TrainConfig,
    checkpoints: &CheckpointFolder,
    outcome: &Outcome,
) -> Result<(Box<dyn TrainedModel>, Option<usize>), TrainError> {
    let best = outcome.position.best.map(|(_, epoch)| epoch);
    let mut kept = None;
    if config.keep == Keep::Best && best.is_some() {
        let state = checkpoints.load_best(&outcome.position).map_err(TrainError::BestLost)?;
        restore(trainee, state)?;
        kept = best;
    }
    trainee.finish(train)?;
    Ok((trainee.snapshot(), kept))
}

/// Seconds of training, over all processes.
struct Clock {
    before: f64,
    since: Instant,
}

impl Clock {
    fn seconds(&self) -> f64 {
        self.before + self.since.elapsed().as_secs_f64()
    }
}

fn tell(observers: &mut [&mut dyn Observer], event: &Event<'_>) -> Result<(), ObserverError> {
    observers.iter_mut().try_for_each(|observer| observer.observe(event))
}

/// The position to go on from: that of the newest whole checkpoint, or the very beginning.
fn resume(trainee: &mut dyn Trainee, session: &mut Session<'_>) -> Result<(Position, Vec<String>), TrainError> {
    let observers = &mut *session.observers;
    let mut losses = Vec::new();
    let Latest { found, mut notes } = session.checkpoints.load_latest::<TrainError>(&mut |manifest| {
        losses.clear();
        for (observer, position) in observers.iter_mut().zip(&manifest.observers) {
            match observer.rewind(position)? {
                Rewound::Whole => {}
                Rewound::Lossy(note) => losses.push(note),
                Rewound::Unfit(why) => return Ok(Some(why)),
            }
        }
        Ok(None)
    })?;
    let Some((manifest, state)) = found else {
        for observer in session.observers.iter_mut() {
            observer.rewind(&serde_json::Value::Null)?;
        }
        tell(session.observers, &Event::Started(session.info))?;
        return Ok((Position::default(), notes));
    };
    notes.append(&mut losses);
    restore(trainee, state)?;
    tell(session.observers, &Event::Resumed(session.info))?;
    Ok((manifest.position, notes))
}

/// Runs the rest of the epoch at `at`; `Some` when training ended within it.
fn run_epoch(
    trainee: &mut dyn Trainee,
    session: &mut Session<'_>,
    stages: &[Stage],
    at: &mut Position,
    clock: &Clock,
) -> Result<Option<Ending>, TrainError> {
    let config = session.config;
    let stage = &stages[at.stage];
    let device = session.device.clone().autodiff();
    let order = epoch_order(session.train, config.batch_size, config.seed, at.total_epochs);
    let num_batches = order.len().div_ceil(config.batch_size);
    while at.batch < num_batches {
        if session.pulse.should_stop() {
            return Ok(Some(Ending::Interrupted));
        }
        session.pulse.beat("training");
        let begin = at.batch * config.batch_size;
        let indices = &order[begin..(begin + config.batch_size).min(order.len())];
        let mut transform = stream(config.seed, Purpose::Transform, at.total_epochs, at.batch as u64);
        let batch = gather_batch(session.train, indices, &mut transform, &device);

        let epoch = at.epoch as f64 + at.batch as f64 / num_batches as f64;
        let progress = Progress { step: at.step, epoch, num_epochs: stage.num_epochs as f64 };
        let learning_rate = config.learning_rate().at(progress);
        let mut noise = StreamNoise(stream(config.seed, Purpose::Training, at.total_epochs, at.batch as u64));
        let terms = trainee.train_step(&batch, &mut StepContext { progress, learning_rate, noise: &mut noise });
        if let Some(term) = terms.first_non_finite() {
            return Ok(Some(Ending::Diverged { step: at.step, term }));
        }

        at.epoch_means.add(&terms, indices.len());
        at.step_means.add(&terms, indices.len());
        at.step += 1;
        at.batch += 1;
        let epoch = at.epoch as f64 + at.batch as f64 / num_batches as f64;
        if at.step.is_multiple_of(config.log_every) {
            let mut values = std::mem::take(&mut at.step_means).means();
            values.push(("learning_rate".to_owned(), learning_rate));
            values.extend(weights(&terms));
            tell_scalars(session, stages, at, Split::TrainStep, epoch, values)?;
        }
        (session.progress)(&StepReport {
            stage: stage.name.clone(),
            epoch,
            num_epochs: stage.num_epochs,
            step: at.step,
            loss: terms.loss,
            valid_loss: at.last_valid_loss,
        });
        let within_epoch = at.batch < num_batches;
        let is_due = config.checkpoint_every.is_some_and(|every| at.step.is_multiple_of(every)) || session.pulse.take_checkpoint_request();
        if within_epoch && is_due {
            save(trainee, session, at, clock, false)?;
        }
    }
    Ok(None)
}

/// The weights of the terms that are not simply 1, as `kl_weight`.
fn weights(terms: &Terms) -> impl Iterator<Item = (String, f64)> {
    terms.terms.iter().filter(|term| term.weight != 1.0).map(|term| (format!("{}_weight", term.name), term.weight))
}

/// Tells the observers of values; the names carry the stage where there is more than one.
fn tell_scalars(
    session: &mut Session<'_>,
    stages: &[Stage],
    at: &Position,
    split: Split,
    epoch: f64,
    mut values: Vec<(String, f64)>,
) -> Result<(), ObserverError> {
    if stages.len() > 1 {
        let stage = &stages[at.stage].name;
        values.iter_mut().for_each(|(name, _)| *name = format!("{stage}/{name}"));
    }
    tell(session.observers, &Event::Scalars { step: at.step, epoch, split, values: &values })
}

/// Logs the epoch, measures the validation loss, and says whether it is the best of its stage; `None`, and nothing has changed, when
/// asked to stop meanwhile.
///
/// Schedules are read at their end, so that the losses of two epochs compare.
fn validate(
    trainee: &dyn Trainee,
    session: &mut Session<'_>,
    stage: &Stage,
    stages: &[Stage],
    at: &mut Position,
) -> Result<Option<bool>, TrainError> {
    let epoch = (at.epoch + 1) as f64;
    let progress = Progress::end(stage.num_epochs as f64, at.step);
    let mut terms = TermMeans::default();
    if !session.valid.is_empty() {
        let Some(found) = mean_terms(trainee.snapshot().as_ref(), session, progress) else { return Ok(None) };
        terms = found;
    }
    let means = std::mem::take(&mut at.epoch_means).means();
    tell_scalars(session, stages, at, Split::Train, epoch, means)?;
    if session.valid.is_empty() {
        return Ok(Some(false));
    }
    let loss = terms.loss();
    tell_scalars(session, stages, at, Split::Valid, epoch, terms.means())?;
    at.last_valid_loss = Some(loss);

    let min_delta = session.config.early_stopping.as_ref().map_or(0.0, |stopping| stopping.min_delta);
    let improved = at.best.is_none_or(|(best, _)| loss < best - min_delta);
    if improved {
        at.epochs_without_improvement = 0;
        at.best = Some((loss, at.epoch + 1));
    } else {
        at.epochs_without_improvement += 1;
    }
    Ok(Some(improved))
}

/// The training objective's own terms over the validation split: the same noise every time. `None` when asked to stop.
fn mean_terms(model: &dyn TrainedModel, session: &Session<'_>, progress: Progress) -> Option<TermMeans> {
    let config = session.config;
    let mut means = TermMeans::default();
    let order: Vec<usize> = (0..session.valid.len()).collect();
    for (number, indices) in order.chunks(config.batch_size).enumerate() {
        if session.pulse.should_stop() {
            return None;
        }
        session.pulse.beat("validation");
        let mut transform = stream(config.seed, Purpose::Validation, 1, number as u64);
        let batch = gather_batch(session.valid, indices, &mut transform, session.device);
        let mut noise = StreamNoise(stream(config.seed, Purpose::Validation, 0, number as u64));
        let terms = model.objective(&batch, &mut StepContext { progress, learning_rate: 0.0, noise: &mut noise }).values();
        means.add(&terms, indices.len());
    }
    Some(means)
}

/// Moves on to the next epoch, the next stage or the end.
fn advance(session: &Session<'_>, stages: &[Stage], at: &mut Position) {
    at.epoch += 1;
    at.total_epochs += 1;
    at.batch = 0;
    let patience = session.config.early_stopping.as_ref().map(|stopping| stopping.patience);
    let out_of_patience = patience.is_some_and(|patience| at.epochs_without_improvement >= patience);
    if at.epoch < stages[at.stage].num_epochs && !out_of_patience {
        return;
    }
    at.stopped_early = out_of_patience;
    if at.stage + 1 == stages.len() {
        at.done = true;
        return;
    }
    at.stage += 1;
    at.entered = false;
    at.epoch = 0;
    at.best = None;
    at.last_valid_loss = None;
    at.epochs_without_improvement = 0;
}

fn save(trainee: &dyn Trainee, session: &mut Session<'_>, at: &mut Position, clock: &Clock, is_best: bool) -> Result<(), TrainError> {
    at.seconds = clock.seconds();
    session.pulse.beat(CHECKPOINT_PHASE);
    let positions = session.observers.iter_mut().map(|observer| observer.position()).collect::<Result<_, _>>()?;
    session.checkpoints.save(at, positions, &trainee.state()?, is_best)?;
    session.pulse.beat("training");
    Ok(())
}
