//! The closed list of things that a run can say.

use serde_json::Value;

use crate::Image;

/// Which examples a value was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Training examples, mean over an epoch.
    Train,
    /// Training examples, mean over the steps since the last such value.
    TrainStep,
    /// Validation examples.
    Valid,
    /// Test examples, after training.
    Eval,
}

impl Split {
    /// First part of a tag: `train/nll`.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::TrainStep => "train_step",
            Split::Valid => "valid",
            Split::Eval => "eval",
        }
    }
}

/// What is known of a trial before it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInfo {
    /// Name of the experiment.
    pub experiment: String,
    /// Hash of the resolved configuration: the identity of the trial.
    pub trial: String,
    /// Registry name of the model.
    pub model: String,
    /// The resolved configuration.
    pub config: Value,
    /// What sets this trial apart within its sweep, by dotted path: numbers, strings, booleans.
    pub hyperparameters: Vec<(String, Value)>,
    /// Trainable numbers.
    pub num_parameters: usize,
    /// Names of the metrics that evaluation will report (`eval/sse`, ...), for the HPARAMS tab.
    pub metrics: Vec<String>,
}

/// Something that happened in a trial.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Training begins, from the first step.
    Started(&'a RunInfo),
    /// Training goes on from a checkpoint. What was written after the positions that the checkpoint
    /// holds is to be forgotten; see [`Observer::rewind`].
    Resumed(&'a RunInfo),
    /// Values at a step.
    Scalars {
        /// Optimizer steps taken.
        step: u64,
        /// Epochs behind us, with fraction.
        epoch: f64,
        /// What they were measured on.
        split: Split,
        /// Name without the split (`nll`, `kl`, `loss`, `learning_rate`) and value.
        values: &'a [(String, f64)],
    },
    /// A sample of values whose distribution is of interest.
    Histogram {
        /// Optimizer steps taken.
        step: u64,
        /// Whole tag: `codes/all`.
        tag: &'a str,
        /// The sample.
        values: &'a [f32],
    },
    /// A picture.
    Picture {
        /// Optimizer steps taken.
        step: u64,
        /// Whole tag: `images/reconstruction`.
        tag: &'a str,
        /// The picture.
        image: &'a Image,
    },
    /// The trial has ended.
    Finished {
        /// `finished`, `diverged`, `failed`, `interrupted`.
        state: &'a str,
        /// Optimizer steps taken.
        step: u64,
        /// Final metrics by whole tag (`eval/sse`).
        metrics: &'a [(String, f64)],
    },
}

/// Why an observer could not write.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct ObserverError {
    /// What was attempted, with the path.
    pub what: String,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

/// What is left of what an observer had written up to a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewound {
    /// All of it.
    Whole,
    /// Less, but no result hangs on it: the run goes on, with this to be said.
    Lossy(String),
    /// Not what was there at the position, and results hang on it: the run has to go back to an earlier position. Why.
    Unfit(String),
}

/// Whoever wants to know: event files, JSON lines, the terminal.
pub trait Observer: Send {
    /// Takes note of an event.
    fn observe(&mut self, event: &Event<'_>) -> Result<(), ObserverError>;

    /// Makes everything observed so far durable and says where it ends, as a value that a checkpoint
    /// can hold. `Null` from an observer that keeps nothing.
    fn position(&mut self) -> Result<Value, ObserverError> {
        Ok(Value::Null)
    }

    /// Forgets what was written after `position` (a value from [`position`](Self::position) of an
    /// earlier process, or `Null` for the very beginning), so that a resumed run repeats nothing; and says
    /// whether what was written before it is still there.
    fn rewind(&mut self, _position: &Value) -> Result<Rewound, ObserverError> {
        Ok(Rewound::Whole)
    }
}
