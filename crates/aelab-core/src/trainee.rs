//! What the training loop and the evaluation see of a model, whatever is inside.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Tensor};

use crate::{
    Autoencoder, Batch, ClassifierTrainee, Examples, Head, Noise, Objective, Optimizer, Progress, Purpose, StateError, Terms, stream,
};

/// What a training step knows besides its batch.
pub struct StepContext<'a> {
    /// Where training stands; schedules are read at it.
    pub progress: Progress,
    /// Learning rate of this step, its schedule applied.
    pub learning_rate: f64,
    /// Noise of this step: a function of (seed, epoch, step).
    pub noise: &'a mut dyn Noise,
}

/// A part of training with its own clock: `pretrain_1`, `fine_tune`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Name in snake case; the tag prefix of its scalars where there is more than one stage.
    pub name: String,
    /// Epochs of this stage.
    pub num_epochs: usize,
}

/// A model with its optimizers: everything the loop needs, nothing about what is inside.
///
/// The loop runs the stages in order. A stage is entered once with [`enter_stage`](Self::enter_stage);
/// after a resume it is not entered again but [`restore`](Self::restore)d, from a state that knows its
/// stage and from which the trainee rebuilds whatever structure that stage has.
pub trait Trainee: Send {
    /// The parts of training, in order. `num_epochs` is what the experiment asked for.
    fn stages(&self, num_epochs: usize) -> Vec<Stage> {
        vec![Stage { name: "train".to_owned(), num_epochs }]
    }

    /// Prepares a stage: data-dependent initialisation, the next layer of a stack, unrolling.
    fn enter_stage(&mut self, _stage: usize, _train: &dyn Examples) -> Result<(), StateError> {
        Ok(())
    }

    /// Called when training is over and the weights are final: see [`Autoencoder::after_training`].
    fn finish(&mut self, _train: &dyn Examples) -> Result<(), StateError> {
        Ok(())
    }

    /// One step on one batch: gradients, update, projection. The terms are those *before* the update.
    fn train_step(&mut self, batch: &Batch, ctx: &mut StepContext<'_>) -> Terms;

    /// A validation-mode copy without a tape: what evaluation is allowed to see.
    fn snapshot(&self) -> Box<dyn TrainedModel>;

    /// All parameters, moments and counters as named parts; whoever asks decides where they go.
    fn state(&self) -> Result<TraineeState, StateError>;

    /// Takes up a state. Afterwards training goes on bit for bit as if it had not stopped.
    fn restore(&mut self, state: TraineeState) -> Result<(), StateError>;

    /// Trainable numbers.
    fn num_parameters(&self) -> usize;
}

/// Everything that a [`Trainee`] must remember.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraineeState {
    /// Index of the stage that the state was taken in.
    pub stage: usize,
    /// Named parts: `model`, `optimizer`, and whatever else a trainee has.
    pub parts: BTreeMap<String, Vec<u8>>,
}

impl TraineeState {
    /// Takes the part called `name` out.
    pub fn take(&mut self, name: &str) -> Result<Vec<u8>, StateError> {
        self.parts.remove(name).ok_or_else(|| StateError::Missing(name.to_owned()))
    }
}

/// A trained model without its tape.
pub trait TrainedModel: Send {
    /// See [`Autoencoder::encode`].
    fn encode(&self, x: Tensor<2>) -> Tensor<2>;
    /// See [`Autoencoder::decode`].
    fn decode(&self, z: Tensor<2>) -> Tensor<2>;
    /// See [`Autoencoder::decode_logits`].
    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>>;
    /// See [`Autoencoder::reconstruct`].
    fn reconstruct(&self, x: Tensor<2>) -> Tensor<2>;
    /// See [`Autoencoder::sample_prior`].
    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>>;
    /// See [`Autoencoder::log_importance_weights`].
    fn log_importance_weights(&self, _batch: &Batch, _num_samples: usize, _noise: &mut dyn Noise) -> Option<Tensor<2>> {
        None
    }
    /// See [`Autoencoder::corrupted`].
    fn corrupted(&self, x: Tensor<2>, ctx: &mut StepContext<'_>) -> Option<Tensor<2>>;
    /// The training objective on a batch: validation uses the training objective's own terms.
    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective;
    /// See [`Autoencoder::conditioned`].
    fn conditioned(&self, _batch: &Batch) -> Option<Box<dyn TrainedModel>> {
        None
    }
    /// See [`Autoencoder::decodes_by_class_only`].
    fn decodes_by_class_only(&self) -> bool {
        false
    }
    /// The same functions on a device with a tape, for derivatives by what they are given: parameters stand still, and batch
    /// normalisation goes on using its running statistics. `None` for a model without a tape.
    fn differentiable(&self) -> Option<Box<dyn TrainedModel>> {
        None
    }
    /// A copy of the encoder that learns classes from labels, with `head` on top. `None` for a model without a tape.
    fn classifier(&self, _head: Head) -> Option<Box<dyn ClassifierTrainee>> {
        None
    }
}

/// The common case: one objective, one optimizer.
pub struct SingleOptimizer<M> {
    /// Absent only while an optimizer step has it.
    model: Option<M>,
    optimizer: Option<Optimizer>,
    /// For what a model draws before and after training.
    seed: u64,
}

impl<M: Autoencoder> SingleOptimizer<M> {
    /// A model and the optimizer of all its parameters.
    pub fn new(model: M, optimizer: Optimizer) -> Self {
        Self { model: Some(model), optimizer: Some(optimizer), seed: 0 }
    }

    /// With the seed of the trial, for what a model draws before and after training.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    fn model(&self) -> &M {
        self.model.as_ref().expect("a model is present between steps")
    }
}

impl<M: Autoencoder> Trainee for SingleOptimizer<M> {
    fn enter_stage(&mut self, _stage: usize, train: &dyn Examples) -> Result<(), StateError> {
        let model = self.model.take().expect("a model is present between steps");
        self.model = Some(model.before_training(train, &mut stream(self.seed, Purpose::DataDependent, 0, 0)));
        Ok(())
    }

    fn finish(&mut self, train: &dyn Examples) -> Result<(), StateError> {
        let model = self.model.take().expect("a model is present between steps");
        self.model = Some(model.after_training(train, &mut stream(self.seed, Purpose::DataDependent, 1, 0)));
        Ok(())
    }

    fn train_step(&mut self, batch: &Batch, ctx: &mut StepContext<'_>) -> Terms {
        let objective = self.model().objective(batch, ctx);
        let terms = objective.values();
        if terms.first_non_finite().is_some() {
            return terms;
        }
        let gradients = objective.loss().backward();
        let model = self.model.take().expect("a model is present between steps");
        let optimizer = self.optimizer.as_mut().expect("an optimizer is present between steps");
        self.model = Some(optimizer.step(ctx.learning_rate, model, gradients).after_step(objective.carried(), ctx));
        terms
    }

    fn snapshot(&self) -> Box<dyn TrainedModel> {
        snapshot(self.model())
    }

    fn state(&self) -> Result<TraineeState, StateError> {
        let record_error = |part: &str| {
            let part = part.to_owned();
            move |source| StateError::Record { part, source }
        };
        let model = self.model().clone().into_record().into_bytes().map_err(record_error("model"))?.to_vec();
        let optimizer = self.optimizer.as_ref().expect("an optimizer is present between steps");
        let optimizer = optimizer.to_bytes().map_err(record_error("optimizer"))?;
        Ok(TraineeState { stage: 0, parts: BTreeMap::from([("model".to_owned(), model), ("optimizer".to_owned(), optimizer)]) })
    }

    fn restore(&mut self, mut state: TraineeState) -> Result<(), StateError> {
        let record_error = |part: &str| {
            let part = part.to_owned();
            move |source| StateError::Record { part, source }
        };
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(state.take("model")?)).map_err(record_error("model"))?;
        let bytes = state.take("optimizer")?;
        let num_saved =
            burn::optim::OptimizerRecord::from_bytes(Bytes::from_bytes_vec(bytes.clone())).map_err(record_error("optimizer"))?.len();
        let model = self.model().clone().try_load_record(record).map_err(record_error("model"))?;
        let optimizer = self.optimizer.clone().expect("an optimizer is present between steps");
        let optimizer = optimizer.load_bytes(bytes).map_err(record_error("optimizer"))?;
        // burn leaves out what it cannot rebuild and starts it afresh: that would not be a resume.
        if optimizer.num_state_tensors() != num_saved {
            return Err(StateError::Partial("optimizer".to_owned()));
        }
        self.model = Some(model);
        self.optimizer = Some(optimizer);
        Ok(())
    }

    fn num_parameters(&self) -> usize {
        num_trainable(self.model())
    }
}

/// Numbers of a module that an optimizer may move: buffers do not count.
pub fn num_trainable<M: Module>(model: &M) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.0 += param.lazy_shape().num_elements();
            }
        }
    }
    let mut count = Count(0);
    model.visit(&mut count);
    count.0
}

/// A validation-mode copy of a model without a tape, for a [`Trainee`]'s own [`snapshot`](Trainee::snapshot).
pub fn snapshot<M: Autoencoder>(model: &M) -> Box<dyn TrainedModel> {
    Box::new(Snapshot(model.valid()))
}

/// A validation-mode module behind the object-safe view.
struct Snapshot<M>(M);

impl<M: Autoencoder> TrainedModel for Snapshot<M> {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.0.encode(x)
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.0.decode(z)
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.0.decode_logits(z)
    }

    fn reconstruct(&self, x: Tensor<2>) -> Tensor<2> {
        self.0.reconstruct(x)
    }

    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        self.0.sample_prior(num, noise, device)
    }

    fn log_importance_weights(&self, batch: &Batch, num_samples: usize, noise: &mut dyn Noise) -> Option<Tensor<2>> {
        self.0.log_importance_weights(batch, num_samples, noise)
    }

    fn corrupted(&self, x: Tensor<2>, ctx: &mut StepContext<'_>) -> Option<Tensor<2>> {
        self.0.corrupted(x, ctx)
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        self.0.objective(batch, ctx)
    }

    fn conditioned(&self, batch: &Batch) -> Option<Box<dyn TrainedModel>> {
        self.0.conditioned(batch).map(|model| Box::new(Snapshot(model)) as Box<dyn TrainedModel>)
    }

    fn decodes_by_class_only(&self) -> bool {
        self.0.decodes_by_class_only()
    }

    fn differentiable(&self) -> Option<Box<dyn TrainedModel>> {
        // Back on the tape, training flags included; then neither parameters nor flags take part.
        Some(Box::new(Snapshot(self.0.clone().train().freeze())))
    }

    fn classifier(&self, head: Head) -> Option<Box<dyn ClassifierTrainee>> {
        Some(crate::classifier::classifier(self.0.clone().train(), head))
    }
}
