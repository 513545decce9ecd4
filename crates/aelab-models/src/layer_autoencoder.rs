//! A layer that learns as an autoencoder of its own before it becomes part of a deep one.

use std::collections::BTreeMap;

use aelab_core::{Objective, Optimizer, Scheduled, StateError, StepContext, Terms, TraineeState};
use aelab_losses::{SmoothLayer, binary_cross_entropy_from_logits, contraction, kl_sparsity, l1_norm, squared_error};
use aelab_nn::Activation;
use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;

use crate::greedy::{LayerObjective, LayerTraining, load_optimizer, record_error};
use crate::layer_kind::{LayerKind, LayerSparsity};
use crate::layer_stack::StackLayer;
use crate::{LayerStack, ReconstructionLoss};

/// What surrounds the weights of a layer that is trained on its own.
#[derive(Debug, Clone)]
pub(crate) struct LayerSetting {
    /// What the layer learns as; not a machine.
    pub(crate) kind: LayerKind,
    /// Of the layer's units.
    pub(crate) activation: Activation,
    /// Of the units that the input comes from, and so of the reconstruction of the input.
    pub(crate) input_activation: Activation,
    /// What the input and its reconstruction are compared by; the cross-entropy where `input_activation` is the sigmoid only.
    pub(crate) loss: ReconstructionLoss,
}

/// One layer there and back.
#[derive(Module, Debug)]
struct LayerAutoencoder {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    /// Absent where the way back is the transpose.
    decoder_weight: Option<Param<Tensor<2>>>,
    decoder_bias: Param<Tensor<1>>,
    #[module(skip)]
    setting: LayerSetting,
}

impl LayerAutoencoder {
    /// Its parameters are leaves of a tape.
    fn new(layer: StackLayer, setting: LayerSetting) -> Self {
        fn leaf<const D: usize>(id: u64, value: Tensor<D>) -> Param<Tensor<D>> {
            Param::initialized(ParamId::from(id), Tensor::from_inner(value).require_grad())
        }
        Self {
            weight: leaf(1, layer.weight),
            bias: leaf(2, layer.bias),
            decoder_weight: layer.decoder_weight.map(|weight| leaf(3, weight)),
            decoder_bias: leaf(4, layer.decoder_bias),
            setting,
        }
    }

    /// The terms of the layer's kind, on inputs of the layer, `[batch, input]`.
    fn objective(&self, input: Tensor<2>, ctx: &mut StepContext<'_>) -> Objective {
        let LayerSetting { kind, activation, input_activation, loss } = &self.setting;
        let shown = match kind {
            LayerKind::Denoising { corruption } => corruption.apply(input.clone(), ctx.progress, ctx.noise),
            _ => input.clone(),
        };
        let z = activation.of_affine(shown, self.weight.val(), Some(self.bias.val()), false);
        let (back, transposed) = self.decoder_weight.as_ref().map_or_else(|| (self.weight.val(), true), |back| (back.val(), false));
        let decoded = |activation: Activation| activation.of_affine(z.clone(), back, Some(self.decoder_bias.val()), transposed);
        let (name, value) = match loss {
            ReconstructionLoss::BinaryCrossEntropy => ("nll", binary_cross_entropy_from_logits(input, decoded(Activation::Linear), None)),
            ReconstructionLoss::SquaredError => ("squared_error", squared_error(input, decoded(*input_activation), None)),
        };
        let objective = Objective::new().term(name, value, 1.0);
        match kind {
            LayerKind::Sparse { penalty: LayerSparsity::L1 { lambda } } => objective.term("sparsity", l1_norm(z), lambda.at(ctx.progress)),
            LayerKind::Sparse { penalty: LayerSparsity::Kl { rho, beta } } => {
                objective.term("sparsity", kl_sparsity(*rho, aelab_kernels::mean_of_units(z)), beta.at(ctx.progress))
            }
            LayerKind::Contractive { lambda } => {
                let slope = activation.slope_of_batch(z).expect("the configuration was checked to have smooth layers");
                let norm = contraction(&[SmoothLayer { weight: self.weight.val(), slope }]);
                objective.term("contraction", norm, lambda.at(ctx.progress))
            }
            LayerKind::Undercomplete {} | LayerKind::Denoising { .. } | LayerKind::Rbm { .. } => objective,
        }
    }
}

/// The training of one layer as an autoencoder.
pub(crate) struct AutoencoderLayer {
    index: usize,
    /// Absent only within a step.
    layer: Option<LayerAutoencoder>,
    optimizer: Optimizer,
    /// That of the experiment's optimizer where there is none.
    learning_rate: Option<Scheduled>,
}

impl AutoencoderLayer {
    /// Begins from the parameters that the stack has, with a fresh optimizer.
    pub(crate) fn begin(
        stack: &LayerStack,
        index: usize,
        setting: LayerSetting,
        optimizer: Optimizer,
        learning_rate: Option<Scheduled>,
    ) -> Self {
        Self { index, layer: Some(LayerAutoencoder::new(stack.layer(index), setting)), optimizer, learning_rate }
    }

    fn layer(&self) -> &LayerAutoencoder {
        self.layer.as_ref().expect("a layer is present between steps")
    }
}

/// The part of a state with the moments of the layer's optimizer.
const OPTIMIZER: &str = "layer_optimizer";

impl LayerTraining for AutoencoderLayer {
    fn train_step(&mut self, input: Tensor<2>, ctx: &mut StepContext<'_>) -> Terms {
        let objective = self.layer().objective(Tensor::from_inner(input), ctx);
        let terms = objective.values();
        if terms.first_non_finite().is_some() {
            return terms;
        }
        let learning_rate = self.learning_rate.as_ref().map_or(ctx.learning_rate, |scheduled| scheduled.at(ctx.progress));
        let gradients = objective.loss().backward();
        let layer = self.layer.take().expect("a layer is present between steps");
        self.layer = Some(self.optimizer.step(learning_rate, layer, gradients));
        terms
    }

    fn objective(&self) -> Box<LayerObjective> {
        let layer = self.layer().valid();
        Box::new(move |input, ctx| layer.objective(input, ctx))
    }

    fn write(&self, stack: &mut LayerStack) {
        let layer = self.layer();
        let of_layer = StackLayer {
            weight: layer.weight.val().inner(),
            bias: layer.bias.val().inner(),
            decoder_weight: layer.decoder_weight.as_ref().map(|weight| weight.val().inner()),
            decoder_bias: layer.decoder_bias.val().inner(),
        };
        stack.set_layer(self.index, of_layer);
    }

    fn state(&self) -> Result<BTreeMap<String, Vec<u8>>, StateError> {
        let bytes = self.optimizer.to_bytes().map_err(record_error(OPTIMIZER))?;
        Ok(BTreeMap::from([(OPTIMIZER.to_owned(), bytes)]))
    }

    fn restore(&mut self, state: &mut TraineeState) -> Result<(), StateError> {
        self.optimizer = load_optimizer(self.optimizer.clone(), OPTIMIZER, state)?;
        Ok(())
    }
}
