//! Training of two players: an autoencoder, and a discriminator that it is measured by.
//!
//! Each minimises a loss of its own with an optimizer of its own, both from the same minibatch and from the weights before
//! the step. There is no single function that both go down: the autoencoder's loss is
//! [`Autoencoder::objective`], the discriminator's is logged beside it as `discriminator`.

use std::collections::BTreeMap;

use aelab_core::{
    Autoencoder, Batch, BuildContext, ConfigError, Examples, Initialization, Initializer, Objective, Optimizer, Purpose, Scheduled,
    StateError, StepContext, Terms, TrainedModel, Trainee, TraineeState, num_trainable, snapshot, stream,
};
use aelab_losses::binary_cross_entropy_from_logits;
use aelab_nn::{Activation, Mlp};
use burn::module::Module;
use burn::optim::OptimizerRecord;
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Gradients, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network that tells two kinds of codes apart, and how fast it learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscriminatorConfig {
    /// Units of the hidden layers, from the code on.
    pub hidden: Vec<usize>,
    /// Activation of the hidden layers.
    #[serde(default = "leaky_relu")]
    pub activation: Activation,
    /// Learning rate of the discriminator, as a multiple of the autoencoder's; a number or a schedule.
    #[serde(default = "crate::variational_network::one")]
    pub learning_rate_factor: Scheduled,
}

fn leaky_relu() -> Activation {
    Activation::LeakyRelu
}

impl DiscriminatorConfig {
    /// A small discriminator.
    pub fn example() -> Self {
        Self { hidden: vec![8], activation: leaky_relu(), learning_rate_factor: 1.0.into() }
    }

    /// Alternatives to [`example`](Self::example), with their keys.
    pub(crate) fn variations() -> Vec<(&'static str, Self)> {
        vec![
            ("discriminator.hidden", Self { hidden: vec![6, 6], ..Self::example() }),
            ("discriminator.activation", Self { activation: Activation::Tanh, ..Self::example() }),
            ("discriminator.learning_rate_factor", Self { learning_rate_factor: 0.5.into(), ..Self::example() }),
        ]
    }

    /// The first value that no training run could make sense of. Paths are relative to the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(index) = self.hidden.iter().position(|&width| width == 0) {
            return Err(ConfigError::new(format!("hidden.{index}"), "a layer needs at least one unit"));
        }
        self.learning_rate_factor.check().map_err(|error| error.within("learning_rate_factor"))?;
        match self.learning_rate_factor.first_outside(0.0, f64::MAX) {
            Some(value) => {
                let message = format!("a learning rate cannot be negative or infinite, but is {value} times the autoencoder's");
                Err(ConfigError::new("learning_rate_factor", message))
            }
            None => Ok(()),
        }
    }

    /// The network from codes to one logit.
    pub(crate) fn init(&self, code_size: usize, how: Initialization, initializer: &mut Initializer) -> Discriminator {
        let layers = self.hidden.iter().map(|&width| (width, self.activation)).chain([(1, Activation::Linear)]);
        Discriminator {
            network: Mlp::new(code_size, layers, true, how, initializer),
            learning_rate_factor: self.learning_rate_factor.clone(),
        }
    }
}

/// Dense layers from a code to the logit of its being of the first kind.
#[derive(Module, Debug)]
pub struct Discriminator {
    network: Mlp,
    #[module(skip)]
    learning_rate_factor: Scheduled,
}

impl Discriminator {
    /// `[batch, code]` to logits, `[batch, 1]`.
    pub(crate) fn logits(&self, z: Tensor<2>) -> Tensor<2> {
        self.network.forward(z)
    }

    /// What telling `first` from `second` apart costs, in nats per code: the mean of the cross-entropies of the two. Neither gets
    /// a gradient. `[batch, code]` both; the result: `[1]`.
    pub(crate) fn loss(&self, first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
        let first = self.logits(first.detach());
        let second = self.logits(second.detach());
        let taken_for_second = binary_cross_entropy_from_logits(first.ones_like(), first, None);
        let taken_for_first = binary_cross_entropy_from_logits(second.zeros_like(), second, None);
        (taken_for_second + taken_for_first) * 0.5
    }

    /// The network after one step of its own.
    pub(crate) fn step(self, optimizer: &mut Optimizer, gradients: Gradients, ctx: &StepContext<'_>) -> Self {
        let learning_rate = ctx.learning_rate * self.learning_rate_factor.at(ctx.progress);
        Self { network: optimizer.step(learning_rate, self.network, gradients), ..self }
    }
}

/// A model whose parameters are an autoencoder's and a discriminator's.
pub(crate) trait TwoPlayers: Autoencoder {
    /// The autoencoder's objective and the discriminator's loss, `[1]`, which gives no gradient to the autoencoder.
    fn both(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> (Objective, Tensor<1>);

    /// The model after a step of each player. `gradients` are those of the two losses of [`both`](Self::both).
    fn step(self, optimizers: &mut Optimizers, gradients: [Gradients; 2], ctx: &StepContext<'_>) -> Self;

    /// [`Autoencoder::objective`] of such a model.
    fn objective_with_diagnostic(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let (objective, discriminator) = self.both(batch, ctx);
        objective.diagnostic("discriminator", discriminator)
    }
}

/// One optimizer per player.
pub(crate) struct Optimizers {
    pub(crate) autoencoder: Optimizer,
    pub(crate) discriminator: Optimizer,
}

/// Alternation without order: both players step from the same weights.
pub(crate) struct TwoPlayerTrainee<M> {
    /// Absent only while an optimizer step has it.
    model: Option<M>,
    optimizers: Optimizers,
    seed: u64,
}

const MODEL: &str = "model";
const OPTIMIZERS: [&str; 2] = ["optimizer", "discriminator_optimizer"];

impl<M: TwoPlayers> TwoPlayerTrainee<M> {
    pub(crate) fn new(model: M, context: &BuildContext<'_>) -> Self {
        let optimizers = Optimizers { autoencoder: context.optimizer.build(), discriminator: context.optimizer.build() };
        Self { model: Some(model), optimizers, seed: context.seed }
    }

    fn model(&self) -> &M {
        self.model.as_ref().expect("a model is present between steps")
    }

    fn change(&mut self, how: impl FnOnce(M) -> M) {
        self.model = self.model.take().map(how);
    }
}

impl<M: TwoPlayers> Trainee for TwoPlayerTrainee<M> {
    fn enter_stage(&mut self, _stage: usize, train: &dyn Examples) -> Result<(), StateError> {
        let mut stream = stream(self.seed, Purpose::DataDependent, 0, 0);
        self.change(|model| model.before_training(train, &mut stream));
        Ok(())
    }

    fn finish(&mut self, train: &dyn Examples) -> Result<(), StateError> {
        let mut stream = stream(self.seed, Purpose::DataDependent, 1, 0);
        self.change(|model| model.after_training(train, &mut stream));
        Ok(())
    }

    fn train_step(&mut self, batch: &Batch, ctx: &mut StepContext<'_>) -> Terms {
        let (objective, discriminator) = self.model().both(batch, ctx);
        let objective = objective.diagnostic("discriminator", discriminator.clone());
        let terms = objective.values();
        if terms.first_non_finite().is_some() {
            return terms;
        }
        let gradients = [objective.loss().backward(), discriminator.backward()];
        let model = self.model.take().expect("a model is present between steps");
        self.model = Some(model.step(&mut self.optimizers, gradients, ctx).after_step(objective.carried(), ctx));
        terms
    }

    fn snapshot(&self) -> Box<dyn TrainedModel> {
        snapshot(self.model())
    }

    fn state(&self) -> Result<TraineeState, StateError> {
        let model = self.model().clone().into_record().into_bytes().map_err(unusable(MODEL))?.to_vec();
        let mut parts = BTreeMap::from([(MODEL.to_owned(), model)]);
        for (name, optimizer) in OPTIMIZERS.iter().zip([&self.optimizers.autoencoder, &self.optimizers.discriminator]) {
            parts.insert((*name).to_owned(), optimizer.to_bytes().map_err(unusable(name))?);
        }
        Ok(TraineeState { stage: 0, parts })
    }

    fn restore(&mut self, mut state: TraineeState) -> Result<(), StateError> {
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(state.take(MODEL)?)).map_err(unusable(MODEL))?;
        let model = self.model().clone().try_load_record(record).map_err(unusable(MODEL))?;
        let autoencoder = restored(&self.optimizers.autoencoder, OPTIMIZERS[0], &mut state)?;
        let discriminator = restored(&self.optimizers.discriminator, OPTIMIZERS[1], &mut state)?;
        self.model = Some(model);
        self.optimizers = Optimizers { autoencoder, discriminator };
        Ok(())
    }

    fn num_parameters(&self) -> usize {
        num_trainable(self.model())
    }
}

fn restored(optimizer: &Optimizer, part: &str, state: &mut TraineeState) -> Result<Optimizer, StateError> {
    let bytes = state.take(part)?;
    let num_saved = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(bytes.clone())).map_err(unusable(part))?.len();
    let optimizer = optimizer.clone().load_bytes(bytes).map_err(unusable(part))?;
    // burn leaves out what it cannot rebuild and starts it afresh: that would not be a resume.
    if optimizer.num_state_tensors() == num_saved { Ok(optimizer) } else { Err(StateError::Partial(part.to_owned())) }
}

fn unusable(part: &str) -> impl FnOnce(burn::store::RecordError) -> StateError {
    let part = part.to_owned();
    move |source| StateError::Record { part, source }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use aelab_core::conformance::{TOLERANCE, gradient_deviation};
    use aelab_core::{DataSpec, ModelConfig, Progress, StreamNoise};
    use burn::module::{ModuleVisitor, Param};
    use burn::optim::{ModuleOptimizer, SgdConfig};
    use burn::tensor::{DType, Device, TensorData};

    /// Runs something with the context of a first step.
    pub(crate) fn at_first_step<T>(learning_rate: f64, run: impl FnOnce(&mut StepContext<'_>) -> T) -> T {
        let mut noise = StreamNoise(stream(1, Purpose::Training, 0, 0));
        let progress = Progress { step: 0, epoch: 0.0, num_epochs: 1.0 };
        run(&mut StepContext { progress, learning_rate, noise: &mut noise })
    }

    struct Values(Vec<Vec<f32>>);

    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().into_data().try_to_vec().unwrap());
        }
    }

    fn values<M: Module>(module: &M) -> Vec<Vec<f32>> {
        let mut values = Values(Vec::new());
        module.visit(&mut values);
        values.0
    }

    /// One step of gradient descent moves the autoencoder against the gradient of its objective and the discriminator against
    /// that of its own loss, and neither against the other's. `discriminator` is the part of the model that is it.
    pub(crate) fn each_player_goes_down_its_own_loss<C: ModelConfig>(
        config: &C,
        x: Tensor<2>,
        discriminator: impl Fn(&C::Model) -> Discriminator,
    ) where
        C::Model: TwoPlayers,
    {
        let device = Device::flex().autodiff();
        let data = DataSpec::new([x.dims()[1]], aelab_core::Domain::UnitInterval);
        let batch = Batch::new(x);
        let optimizer = || Optimizer::new(ModuleOptimizer::from(SgdConfig::new().build()), None);
        let rate = 0.1;
        let mut trainee = config.trainee(&BuildContext { data: &data, seed: 1, device: &device, optimizer: &optimizer });
        at_first_step(rate, |ctx| trainee.train_step(&batch, ctx));
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(trainee.state().unwrap().take(MODEL).unwrap())).unwrap();
        let start = || config.init(&data, &mut Initializer::new(1, &device));
        let after = start().load_record(record);

        // Each loss alone, over all parameters.
        let alone = |which: usize| {
            let model = start();
            let gradients = at_first_step(rate, |ctx| {
                let (objective, discriminator) = model.both(&batch, ctx);
                if which == 0 { objective.loss().backward() } else { discriminator.backward() }
            });
            optimizer().step(rate, model, gradients)
        };
        let (by_objective, by_discriminator) = (alone(0), alone(1));
        assert_eq!(values(&discriminator(&after)), values(&discriminator(&by_discriminator)));
        assert_ne!(values(&discriminator(&after)), values(&discriminator(&start())));
        // The rest of the model: first all tensors, then the discriminator's, of which it is the tail.
        let num = values(&discriminator(&after)).len();
        let rest = |model: &C::Model| {
            let mut all = values(model);
            all.truncate(all.len() - num);
            all
        };
        assert_eq!(rest(&after), rest(&by_objective));
        assert_ne!(rest(&after), rest(&start()));
        assert_eq!(rest(&by_discriminator), rest(&start()), "the discriminator's loss reaches the autoencoder");
    }

    #[test]
    fn an_undecided_discriminator_pays_log_2_and_a_sure_one_nothing() {
        let device = Device::flex();
        let mut discriminator = DiscriminatorConfig { hidden: vec![], ..DiscriminatorConfig::example() }.init(
            1,
            Initialization::Normal { sigma: 0.0 },
            &mut Initializer::new(1, &device),
        );
        let codes = |value: f32| Tensor::<2>::from_data([[value], [value]], &device);
        let loss = |discriminator: &Discriminator| discriminator.loss(codes(1.0), codes(-1.0)).into_scalar::<f32>();
        assert!((loss(&discriminator) - 2f32.ln()).abs() < 1e-6);
        struct Steep;
        impl burn::module::ModuleMapper for Steep {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                if D == 2 { param.map(|weight| weight + 50.0) } else { param }
            }
        }
        discriminator = discriminator.map(&mut Steep);
        assert!(loss(&discriminator) < 1e-20);
    }

    #[test]
    fn the_gradient_of_the_discriminators_loss_equals_central_differences() {
        let device = Device::flex().autodiff();
        let tensor = |values: [f64; 6]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [3, 2]), (&device, DType::F64));
        // One linear layer, its weight the argument.
        let at = [0.7, -1.2];
        let (first, second) = ([0.3, -1.0, 2.0, 0.4, 1.1, 0.0], [-0.5, 0.2, 0.1, 0.9, -2.0, 1.0]);
        let deviation = gradient_deviation(&device, &at, [2, 1], |weight| {
            let network = Mlp::new(2, [(1, Activation::Linear)], false, Initialization::default(), &mut Initializer::new(1, &device));
            struct Set(Option<Tensor<2>>);
            impl burn::module::ModuleMapper for Set {
                fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                    let weight = self.0.take().unwrap();
                    Param::initialized(param.id, weight.reshape([2, 1]).reshape(param.lazy_shape().dims::<D>()))
                }
            }
            let network = network.map(&mut Set(Some(weight)));
            Discriminator { network, learning_rate_factor: 1.0.into() }.loss(tensor(first), tensor(second))
        });
        assert!(deviation < TOLERANCE, "{deviation}");
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let path = |config: DiscriminatorConfig| config.check().unwrap_err().path;
        assert_eq!(path(DiscriminatorConfig { hidden: vec![3, 0], ..DiscriminatorConfig::example() }), "hidden.1");
        let factor = (-1.0).into();
        assert_eq!(path(DiscriminatorConfig { learning_rate_factor: factor, ..DiscriminatorConfig::example() }), "learning_rate_factor");
    }
}
