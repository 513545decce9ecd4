//! Training layer by layer, then all together.
//!
//! Hinton, Osindero & Teh 2006; Bengio, Lamblin, Popovici & Larochelle 2007, "Greedy Layer-Wise Training of Deep Networks".
//!
//! ```text
//! for each layer i        train it on what the layers below it, done and fixed, make of the data
//! then                    train everything on the data, from there
//! ```

use std::collections::BTreeMap;

use aelab_core::{
    Autoencoder, Batch, Examples, Noise, Objective, Optimizer, Stage, StateError, StepContext, Terms, TrainedModel, Trainee, TraineeState,
    num_trainable, snapshot,
};
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::{Bytes, Device, Tensor, TensorData};

use crate::LayerStack;

/// A model that is a stack of layers.
pub(crate) trait Stacked: Autoencoder {
    /// Its layers.
    fn stack(&self) -> &LayerStack;
    /// Its layers, to be given other parameters.
    fn stack_mut(&mut self) -> &mut LayerStack;
}

/// The training of one layer. Inputs are what the layers below make of the data, `[batch, input]`, without a tape.
pub(crate) trait LayerTraining: Send {
    /// One step on one batch.
    fn train_step(&mut self, input: Tensor<2>, ctx: &mut StepContext<'_>) -> Terms;

    /// What training minimises or watches, of the layer as it is now.
    fn objective(&self) -> Box<LayerObjective>;

    /// Puts the layer's parameters into the stack.
    fn write(&self, stack: &mut LayerStack);

    /// Everything else that the layer's training must remember, as named parts.
    fn state(&self) -> Result<BTreeMap<String, Vec<u8>>, StateError>;

    /// Takes such parts up. The parameters were taken from the stack before.
    fn restore(&mut self, state: &mut TraineeState) -> Result<(), StateError>;
}

/// The objective of a layer on inputs, `[batch, input]`.
pub(crate) type LayerObjective = dyn Fn(Tensor<2>, &mut StepContext<'_>) -> Objective + Send;

/// What begins the training of a layer of a stack.
pub(crate) type Begin = dyn Fn(&LayerStack) -> Box<dyn LayerTraining> + Send;

/// How one layer is trained before the whole is.
pub(crate) struct Pretraining {
    /// Index of the layer.
    pub(crate) layer: usize,
    /// Epochs that it gets; at least 1.
    pub(crate) num_epochs: usize,
    /// Begins its training from the parameters that the stack has.
    pub(crate) begin: Box<Begin>,
}

/// A stack with the training of its layers, and the optimizer of all of them.
pub(crate) struct GreedyTrainee<M> {
    /// Absent only while an optimizer step has it.
    model: Option<M>,
    optimizer: Optimizer,
    pretraining: Vec<Pretraining>,
    stage: usize,
    /// The layer in training, in a stage of pretraining that was entered.
    layer: Option<Box<dyn LayerTraining>>,
}

impl<M: Stacked> GreedyTrainee<M> {
    /// A stack, how its layers are trained in turn, and the optimizer of the whole.
    pub(crate) fn new(model: M, pretraining: Vec<Pretraining>, optimizer: Optimizer) -> Self {
        Self { model: Some(model), optimizer, pretraining, stage: 0, layer: None }
    }

    fn model(&self) -> &M {
        self.model.as_ref().expect("a model is present between steps")
    }

    /// The model with the parameters of the layer in training.
    fn current(&self) -> M {
        let mut model = self.model().clone();
        if let Some(layer) = &self.layer {
            layer.write(model.stack_mut());
        }
        model
    }

    fn fine_tune(&mut self, batch: &Batch, ctx: &mut StepContext<'_>) -> Terms {
        let objective = self.model().objective(batch, ctx);
        let terms = objective.values();
        if terms.first_non_finite().is_some() {
            return terms;
        }
        let gradients = objective.loss().backward();
        let model = self.model.take().expect("a model is present between steps");
        self.model = Some(self.optimizer.step(ctx.learning_rate, model, gradients).after_step(objective.carried(), ctx));
        terms
    }
}

impl<M: Stacked> Trainee for GreedyTrainee<M> {
    fn stages(&self, num_epochs: usize) -> Vec<Stage> {
        let of_layer =
            |pretraining: &Pretraining| Stage { name: format!("pretrain_{}", pretraining.layer + 1), num_epochs: pretraining.num_epochs };
        let fine_tune = Stage { name: "fine_tune".to_owned(), num_epochs };
        self.pretraining.iter().map(of_layer).chain([fine_tune]).collect()
    }

    fn enter_stage(&mut self, stage: usize, _train: &dyn Examples) -> Result<(), StateError> {
        self.model = Some(self.current());
        self.stage = stage;
        self.layer = self.pretraining.get(stage).map(|pretraining| (pretraining.begin)(self.model().stack()));
        Ok(())
    }

    fn train_step(&mut self, batch: &Batch, ctx: &mut StepContext<'_>) -> Terms {
        let Some((pretraining, mut layer)) = self.pretraining.get(self.stage).zip(self.layer.take()) else {
            return self.fine_tune(batch, ctx);
        };
        let input = self.model().stack().codes_below(batch.x.clone(), pretraining.layer);
        let terms = layer.train_step(input, ctx);
        self.layer = Some(layer);
        terms
    }

    fn snapshot(&self) -> Box<dyn TrainedModel> {
        let model = self.current();
        match self.pretraining.get(self.stage).zip(self.layer.as_ref()) {
            None => snapshot(&model),
            Some((pretraining, layer)) => Box::new(InPretraining {
                model: snapshot(&model),
                stack: model.stack().clone(),
                num_below: pretraining.layer,
                objective: layer.objective(),
            }),
        }
    }

    fn state(&self) -> Result<TraineeState, StateError> {
        let model = self.current().into_record().into_bytes().map_err(record_error("model"))?.to_vec();
        let mut parts = match &self.layer {
            Some(layer) => layer.state()?,
            None => BTreeMap::new(),
        };
        parts.insert("model".to_owned(), model);
        parts.insert("optimizer".to_owned(), self.optimizer.to_bytes().map_err(record_error("optimizer"))?);
        Ok(TraineeState { stage: self.stage, parts })
    }

    fn restore(&mut self, mut state: TraineeState) -> Result<(), StateError> {
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(state.take("model")?)).map_err(record_error("model"))?;
        let model = self.model().clone().try_load_record(record).map_err(record_error("model"))?;
        let optimizer = load_optimizer(self.optimizer.clone(), "optimizer", &mut state)?;
        let mut layer = self.pretraining.get(state.stage).map(|pretraining| (pretraining.begin)(model.stack()));
        if let Some(layer) = &mut layer {
            layer.restore(&mut state)?;
        }
        self.stage = state.stage;
        self.model = Some(model);
        self.optimizer = optimizer;
        self.layer = layer;
        Ok(())
    }

    fn num_parameters(&self) -> usize {
        num_trainable(self.model())
    }
}

/// A model one layer of which is in training: it encodes and decodes as it stands, and its objective is that of the layer.
struct InPretraining<S> {
    model: Box<dyn TrainedModel>,
    stack: S,
    num_below: usize,
    objective: Box<LayerObjective>,
}

impl TrainedModel for InPretraining<LayerStack> {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.model.encode(x)
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.model.decode(z)
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.model.decode_logits(z)
    }

    fn reconstruct(&self, x: Tensor<2>) -> Tensor<2> {
        self.model.reconstruct(x)
    }

    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        self.model.sample_prior(num, noise, device)
    }

    fn corrupted(&self, x: Tensor<2>, ctx: &mut StepContext<'_>) -> Option<Tensor<2>> {
        self.model.corrupted(x, ctx)
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        (self.objective)(self.stack.codes_below(batch.x.clone(), self.num_below), ctx)
    }
}

/// For `map_err`: a record that could not be used.
pub(crate) fn record_error(part: &str) -> impl Fn(RecordError) -> StateError {
    let part = part.to_owned();
    move |source| StateError::Record { part: part.clone(), source }
}

/// An optimizer with the moments of the part called `part`, all of them.
pub(crate) fn load_optimizer(optimizer: Optimizer, part: &str, state: &mut TraineeState) -> Result<Optimizer, StateError> {
    let bytes = state.take(part)?;
    let saved = burn::optim::OptimizerRecord::from_bytes(Bytes::from_bytes_vec(bytes.clone())).map_err(record_error(part))?;
    let optimizer = optimizer.load_bytes(bytes).map_err(record_error(part))?;
    // burn leaves out what it cannot rebuild and starts it afresh: that would not be a resume.
    if optimizer.num_state_tensors() == saved.len() { Ok(optimizer) } else { Err(StateError::Partial(part.to_owned())) }
}

/// Matrices as bytes: for each its two sizes, then its values, little-endian.
pub(crate) fn matrices_to_bytes(matrices: &[Tensor<2>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for matrix in matrices {
        matrix.dims().iter().for_each(|size| bytes.extend((*size as u64).to_le_bytes()));
        matrix.clone().into_data().iter::<f32>().for_each(|value| bytes.extend(value.to_le_bytes()));
    }
    bytes
}

/// The matrices of [`matrices_to_bytes`].
pub(crate) fn matrices_from_bytes(mut bytes: &[u8], part: &str, device: &Device) -> Result<Vec<Tensor<2>>, StateError> {
    let partial = || StateError::Partial(part.to_owned());
    let mut matrices = Vec::new();
    while !bytes.is_empty() {
        let mut size = || {
            let (size, rest) = bytes.split_first_chunk().ok_or_else(partial)?;
            bytes = rest;
            usize::try_from(u64::from_le_bytes(*size)).map_err(|_| partial())
        };
        let shape = [size()?, size()?];
        let num_bytes = shape[0].checked_mul(shape[1]).and_then(|num| num.checked_mul(4)).ok_or_else(partial)?;
        let (values, rest) = bytes.split_at_checked(num_bytes).ok_or_else(partial)?;
        bytes = rest;
        let values: Vec<f32> = values.chunks_exact(4).map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]])).collect();
        matrices.push(Tensor::from_data(TensorData::new(values, shape), device));
    }
    Ok(matrices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_survive_being_written_and_read_and_cut_off_bytes_are_refused() {
        let device = Device::flex();
        let matrices = [Tensor::<2>::from_data([[1.0, -0.5, 3e-40f32]], &device), Tensor::from_data([[f32::MAX], [0.1]], &device)];
        let bytes = matrices_to_bytes(&matrices);
        let read = matrices_from_bytes(&bytes, "velocity", &device).unwrap();
        let values = |matrices: &[Tensor<2>]| matrices.iter().map(|matrix| matrix.clone().into_data()).collect::<Vec<_>>();
        assert_eq!(values(&read), values(&matrices));
        for length in [1, 17, bytes.len() - 1] {
            assert!(matrices_from_bytes(&bytes[..length], "velocity", &device).is_err(), "{length}");
        }
    }
}
