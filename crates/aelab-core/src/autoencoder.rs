//! What the author of a model writes.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    Batch, ConfigError, DataSpec, Domain, Examples, Initializer, Noise, Objective, OptimizerFactory, SingleOptimizer, StepContext, Stream,
    TermSpec, Trainee,
};

/// A trainable autoencoder.
///
/// # Shapes
/// `x` and reconstructions: `[batch, feature]`, event dimensions flattened; `z`: `[batch, latent]`.
pub trait Autoencoder: Module + ModuleDisplay + 'static {
    /// The deterministic code of `x`; for a variational model the posterior mean. `[batch, latent]`.
    fn encode(&self, x: Tensor<2>) -> Tensor<2>;

    /// The mean of `p(x | z)` in data space, `[batch, feature]`.
    fn decode(&self, z: Tensor<2>) -> Tensor<2>;

    /// The logits of a Bernoulli `p(x | z)`, `[batch, feature]`; `None` where the decoder has none.
    /// Cross-entropy is measured from these, never from clipped probabilities.
    fn decode_logits(&self, _z: Tensor<2>) -> Option<Tensor<2>> {
        None
    }

    /// `x` through encoder and decoder, `[batch, feature]`.
    fn reconstruct(&self, x: Tensor<2>) -> Tensor<2> {
        self.decode(self.encode(x))
    }

    /// `num` samples of the model's distribution over codes, `[num, latent]`; `None` for a model that
    /// is not generative.
    fn sample_prior(&self, _num: usize, _noise: &mut dyn Noise, _device: &Device) -> Option<Tensor<2>> {
        None
    }

    /// `log p(x, z) - log q(z | x)` in nats for `num_samples` codes `z` of each example, drawn from the posterior
    /// `q(z | x)`: `[batch, sample]`. The mean of their exponentials is an unbiased estimate of `p(x)`, and the likelihood of
    /// examples is measured by it. `None` where the model has no such likelihood.
    fn log_importance_weights(&self, _batch: &Batch, _num_samples: usize, _noise: &mut dyn Noise) -> Option<Tensor<2>> {
        None
    }

    /// What the model is shown in place of `x` in training, for pictures; `None` where it is `x` itself.
    fn corrupted(&self, _x: Tensor<2>, _ctx: &mut StepContext<'_>) -> Option<Tensor<2>> {
        None
    }

    /// The minimised objective of one minibatch, with its named terms.
    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective;

    /// What depends on the data before the first step: a bias at the mean of the data, a codebook drawn from it.
    /// `stream` is derived from the seed.
    fn before_training(self, _train: &dyn Examples, _stream: &mut Stream) -> Self {
        self
    }

    /// Projection after an optimizer step (unit-norm dictionary atoms), and moving averages and counts (parameters
    /// made by [`Initializer::buffer`]) updated from what the objective [carried](Objective::carry) out of the step.
    fn after_step(self, _carried: &[Tensor<2>], _ctx: &mut StepContext<'_>) -> Self {
        self
    }

    /// What is fitted when the weights are final: a density over codes. Called before evaluation, and again
    /// whenever the model is taken from a checkpoint: a function of weights, data and `stream`.
    fn after_training(self, _train: &dyn Examples, _stream: &mut Stream) -> Self {
        self
    }

    /// The model for the rows of one batch, where encoding or decoding needs more than `x`: their classes, or
    /// which of their values are there. Only tensors of that many rows may be given to it. `None` where `x` and
    /// `z` say it all.
    fn conditioned(&self, _batch: &Batch) -> Option<Self> {
        None
    }

    /// Whether a code says nothing without the class to decode it in, so that what the model decodes without being
    /// [conditioned](Self::conditioned) on classes is no reconstruction.
    fn decodes_by_class_only(&self) -> bool {
        false
    }
}

/// Hyperparameters of a model: one serde struct, one check, one `init`.
///
/// Derive `Serialize`, `Deserialize` with `#[serde(deny_unknown_fields)]`, and `JsonSchema`. What is
/// science (the code size, `beta`, `lambda`) has no default; plumbing has one.
pub trait ModelConfig: std::fmt::Debug + Clone + PartialEq + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// YAML key, file name and registry name, in snake case.
    const NAME: &'static str;
    /// One line for listings.
    const SUMMARY: &'static str;
    /// Authors, year, title, equation number, link.
    const CITATION: &'static str;
    /// What [`init`](Self::init) makes.
    type Model: Autoencoder;

    /// The first value that no training run on such data could make sense of, by its path in this struct.
    fn check(&self, data: &DataSpec) -> Result<(), ConfigError>;

    /// What is allowed but probably not meant.
    fn warnings(&self, _data: &DataSpec) -> Vec<String> {
        Vec::new()
    }

    /// Latent dimensions: the axis of most comparisons and the size of the PCA beside it.
    fn code_size(&self) -> usize;

    /// The terms of the objective with unit and weight, in the order of [`Autoencoder::objective`].
    fn terms(&self, data: &DataSpec) -> Vec<TermSpec>;

    /// A model with initial parameters on the initializer's device.
    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Self::Model;

    /// The model with its optimizer. The default, one objective and one optimizer, serves most;
    /// override it for two optimizers or for stages.
    fn trainee(&self, context: &BuildContext<'_>) -> Box<dyn Trainee> {
        let model = self.init(context.data, &mut Initializer::new(context.seed, context.device));
        Box::new(SingleOptimizer::new(model, context.optimizer.build()).seeded(context.seed))
    }

    /// A small configuration for data of [`example_data`](Self::example_data): for tests and `describe`.
    fn example() -> Self;

    /// The kind of data that the model is for, with few features: small grey images unless it needs something else.
    fn example_data() -> DataSpec {
        DataSpec::new([1, 8, 8], Domain::UnitInterval)
    }

    /// Why the gradient on the tape is *meant* to differ from the slope of the objective, as a straight-through
    /// estimator does; the conformance suite then leaves finite differences to the model's own tests.
    const SURROGATE_GRADIENT: Option<&'static str> = None;

    /// Whether the objective is the same function in training and in validation; batch normalisation is not.
    fn validates_as_it_trains(&self) -> bool {
        true
    }

    /// For each key of the YAML, an alternative to [`example`](Self::example) that must train to other
    /// weights. The conformance suite fails on a key that is missing here or that changes nothing.
    fn variations() -> Vec<(&'static str, Self)>;
}

/// What a model is built from besides its own configuration.
pub struct BuildContext<'a> {
    /// Shape and domain of the examples.
    pub data: &'a DataSpec,
    /// Seed of the trial.
    pub seed: u64,
    /// An autodiff device.
    pub device: &'a Device,
    /// Source of optimizers.
    pub optimizer: &'a dyn OptimizerFactory,
}
