//! A layer that learns as a restricted Boltzmann machine before it becomes part of an autoencoder.

use std::collections::BTreeMap;

use aelab_core::{ConfigError, Objective, Progress, Scheduled, StateError, StepContext, TermValue, Terms, TraineeState};
use aelab_nn::{Rbm, RbmDirection, RbmUpdate, UnitKind, squared_distance};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::LayerStack;
use crate::greedy::{LayerObjective, LayerTraining, matrices_from_bytes, matrices_to_bytes};
use crate::layer_stack::StackLayer;

/// Momentum that switches once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Momentum {
    /// Until the switch.
    pub from: f64,
    /// From the switch on.
    pub to: f64,
    /// Epochs of the layer before the switch.
    pub switch_epoch: usize,
}

impl Momentum {
    /// The authors' values: 0.5, and 0.9 after five epochs.
    pub(crate) fn of_hinton_and_salakhutdinov() -> Self {
        Self { from: 0.5, to: 0.9, switch_epoch: 5 }
    }

    fn at(self, progress: Progress) -> f64 {
        if progress.epoch < self.switch_epoch as f64 { self.from } else { self.to }
    }
}

/// Learning rate of machines with Bernoulli units on both sides in the authors' code.
pub(crate) fn default_bernoulli_learning_rate() -> Scheduled {
    0.1.into()
}

/// Learning rate of a machine with Gaussian units there.
pub(crate) fn default_gaussian_learning_rate() -> Scheduled {
    0.001.into()
}

/// Weight cost there.
pub(crate) fn default_weight_cost() -> f64 {
    2e-4
}

/// CD-1.
pub(crate) fn default_steps() -> usize {
    1
}

/// How a restricted Boltzmann machine is trained.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is documented where a configuration makes it a key")]
pub struct RbmTraining {
    pub learning_rate: Scheduled,
    pub momentum: Momentum,
    pub weight_cost: f64,
    pub steps: usize,
    pub persistent: bool,
}

impl RbmTraining {
    /// The first value that no training could make sense of.
    pub(crate) fn check(&self, learning_rate_key: &str) -> Result<(), ConfigError> {
        self.learning_rate.check().map_err(|error| error.within(learning_rate_key))?;
        if let Some(found) = self.learning_rate.first_outside(0.0, f64::MAX) {
            return Err(ConfigError::new(learning_rate_key, format!("a learning rate cannot be negative, but is {found}")));
        }
        for (key, value) in [("from", self.momentum.from), ("to", self.momentum.to)] {
            if !(0.0..1.0).contains(&value) {
                let message = format!("a momentum is at least 0 and below 1, but is {value}: from 1 on, steps grow without end");
                return Err(ConfigError::new(format!("momentum.{key}"), message));
            }
        }
        if !(self.weight_cost >= 0.0 && self.weight_cost.is_finite()) {
            return Err(ConfigError::new("weight_cost", format!("`weight_cost` cannot be negative, but is {}", self.weight_cost)));
        }
        if self.steps == 0 {
            return Err(ConfigError::new(
                "steps",
                "`steps` must be at least 1: without a step of Gibbs sampling there is nothing to learn from",
            ));
        }
        Ok(())
    }
}

/// Examples of a training batch that pseudo-likelihood and free energy are measured on; the mean over an epoch is over many more.
const NUM_WATCHED: usize = 10;

/// The training of one layer as a restricted Boltzmann machine.
pub(crate) struct RbmLayer {
    index: usize,
    how: RbmTraining,
    /// Machine and velocity; absent only within a step.
    learner: Option<(Rbm, RbmDirection)>,
    /// Persistent chains, `[chain, visible]`: as many as the first batch has examples.
    chains: Option<Tensor<2>>,
}

impl RbmLayer {
    /// Begins from the parameters that the stack has: the biases of the decoder are those of the visible units.
    pub(crate) fn begin(stack: &LayerStack, index: usize, kinds: [UnitKind; 2], how: RbmTraining) -> Self {
        let layer = stack.layer(index);
        let rbm = Rbm::from_tensors(layer.weight, layer.decoder_bias, layer.bias, kinds);
        let velocity = rbm.at_rest();
        Self { index, how, learner: Some((rbm, velocity)), chains: None }
    }

    fn rbm(&self) -> &Rbm {
        &self.learner().0
    }

    fn learner(&self) -> &(Rbm, RbmDirection) {
        self.learner.as_ref().expect("a machine is present between steps")
    }
}

impl LayerTraining for RbmLayer {
    fn train_step(&mut self, input: Tensor<2>, ctx: &mut StepContext<'_>) -> Terms {
        let (rbm, velocity) = self.learner.take().expect("a machine is present between steps");
        let (statistics, error) = if self.how.persistent {
            let error = rbm.reconstruction_error(input.clone(), ctx.noise);
            let chains = self.chains.take().unwrap_or_else(|| input.clone());
            let (statistics, chains) = rbm.persistent_contrastive_divergence(input.clone(), chains, self.how.steps, ctx.noise);
            self.chains = Some(chains);
            (statistics, error)
        } else {
            let (statistics, reconstruction) = rbm.contrastive_divergence(input.clone(), self.how.steps, ctx.noise);
            (statistics, squared_distance(input.clone(), reconstruction))
        };
        let watched = input.clone().narrow(0, 0, input.dims()[0].min(NUM_WATCHED));
        let watched = diagnostics(Objective::new(), &rbm, watched, ctx).values().diagnostics;
        let error = f64::from(error.into_scalar::<f32>());
        let terms =
            Terms { loss: error, terms: vec![TermValue { name: "reconstruction_error", value: error, weight: 1.0 }], diagnostics: watched };
        if terms.first_non_finite().is_some() {
            self.learner = Some((rbm, velocity));
            return terms;
        }
        let update = RbmUpdate {
            learning_rate: self.how.learning_rate.at(ctx.progress),
            momentum: self.how.momentum.at(ctx.progress),
            weight_cost: self.how.weight_cost,
        };
        self.learner = Some(rbm.updated(&statistics, velocity, update));
        terms
    }

    fn objective(&self) -> Box<LayerObjective> {
        let rbm = self.rbm().clone();
        Box::new(move |input, ctx| {
            let error = rbm.reconstruction_error(input.clone(), ctx.noise);
            diagnostics(Objective::new().term("reconstruction_error", error, 1.0), &rbm, input, ctx)
        })
    }

    fn write(&self, stack: &mut LayerStack) {
        let rbm = self.rbm();
        let layer = StackLayer {
            weight: rbm.weight.val(),
            bias: rbm.hidden_bias.val(),
            decoder_weight: None,
            decoder_bias: rbm.visible_bias.val(),
        };
        stack.set_layer(self.index, layer);
    }

    fn state(&self) -> Result<BTreeMap<String, Vec<u8>>, StateError> {
        let velocity = &self.learner().1;
        let velocity = [velocity.weight.clone(), velocity.visible_bias.clone().unsqueeze(), velocity.hidden_bias.clone().unsqueeze()];
        let mut parts = BTreeMap::from([("velocity".to_owned(), matrices_to_bytes(&velocity))]);
        if let Some(chains) = &self.chains {
            parts.insert("chains".to_owned(), matrices_to_bytes(std::slice::from_ref(chains)));
        }
        Ok(parts)
    }

    fn restore(&mut self, state: &mut TraineeState) -> Result<(), StateError> {
        let (rbm, rest) = self.learner();
        let device = rest.weight.device();
        let read = matrices_from_bytes(&state.take("velocity")?, "velocity", &device)?;
        let sizes = [rest.weight.dims(), [1, rbm.num_visible()], [1, rbm.num_hidden()]];
        if read.iter().map(|matrix| matrix.dims()).collect::<Vec<_>>() != sizes {
            return Err(StateError::Partial("velocity".to_owned()));
        }
        let [weight, visible_bias, hidden_bias] = [0, 1, 2].map(|index| read[index].clone());
        let velocity = RbmDirection { weight, visible_bias: visible_bias.squeeze_dim(0), hidden_bias: hidden_bias.squeeze_dim(0) };
        let chains = match state.take("chains") {
            Ok(bytes) => matrices_from_bytes(&bytes, "chains", &device)?.pop(),
            Err(_) => None,
        };
        self.learner = Some((rbm.clone(), velocity));
        self.chains = chains;
        Ok(())
    }
}

/// What cannot be minimised but tells how learning goes.
fn diagnostics(objective: Objective, rbm: &Rbm, v: Tensor<2>, ctx: &mut StepContext<'_>) -> Objective {
    let (free_energy, pseudo_log_likelihood) = rbm.free_energy_and_pseudo_log_likelihood(v, ctx.noise);
    let objective = objective.diagnostic("free_energy", free_energy.mean());
    match pseudo_log_likelihood {
        Some(value) => objective.diagnostic("pseudo_likelihood", value),
        None => objective,
    }
}
