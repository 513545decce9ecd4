//! The deep autoencoder that restricted Boltzmann machines prepare.
//!
//! Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks", Science 313.
//! <https://doi.org/10.1126/science.1127647>
//!
//! ```text
//! pretrain_i   layer i as a restricted Boltzmann machine, by contrastive divergence, on the hidden *probabilities* of
//!              the machine below
//! unroll       z = W_n ... s(W_1 x),   x' = s(W_1^T ... W_n^T z): each machine gives its weight to the encoder and the
//!              transpose to the decoder, its hidden biases to the one and its visible biases to the other
//! fine_tune    L(x) = - sum_i log Bernoulli(x_i; x'_i), nats per example; the two halves are no longer tied
//! ```
//!
//! Hidden units are logistic, those of the code linear. Gradient descent from random weights fails in such a net: it ends at
//! the mean of the data. That is what the pretraining was invented against.

use aelab_core::{
    Autoencoder, Batch, BuildContext, ConfigError, DataSpec, Domain, Initialization, Initializer, ModelConfig, Objective, Scheduled,
    StepContext, TermSpec, Trainee,
};
use aelab_nn::{Activation, UnitKind, check_initialization};
use burn::module::Module;
use burn::tensor::Tensor;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::greedy::{GreedyTrainee, Pretraining, Stacked};
use crate::network::{check_code_size, overcomplete_warning};
use crate::rbm_pretraining::{
    Momentum, RbmLayer, RbmTraining, default_bernoulli_learning_rate, default_gaussian_learning_rate, default_steps, default_weight_cost,
};
use crate::schema::{accept_latent_dim, present, require_nullable};
use crate::{LayerStack, OutputActivation, Reconstruction, ReconstructionLoss};

/// Hyperparameters of [`Deep`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = adapt_schema)]
pub struct DeepConfig {
    /// Units of the hidden layers, from the data inwards (`[]` for none).
    pub hidden: Vec<usize>,
    /// Units of the code.
    #[serde(alias = "latent_dim")]
    pub code_size: usize,
    /// How layers are trained before the whole is, or `null` for not at all. Required: it is the experiment.
    #[serde(deserialize_with = "present")]
    pub pretraining: Option<DeepPretraining>,
    /// Kind of the data: `bernoulli` for values in [0, 1], whose reconstruction is logistic, `gaussian` for real values of
    /// about unit variance, whose reconstruction is linear.
    #[serde(default)]
    pub visible: UnitKind,
    /// Kind of the code: `gaussian` makes it linear, `bernoulli` logistic.
    #[serde(default = "gaussian")]
    pub code_units: UnitKind,
    /// What a reconstruction is compared by in fine-tuning; the cross-entropy for Bernoulli data where left out, the squared
    /// error for Gaussian data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<ReconstructionLoss>,
    /// How weights start: those of the machines, or those of the whole where there is no pretraining.
    #[serde(default = "small_normal")]
    pub initialization: Initialization,
}

/// How each layer is trained as a restricted Boltzmann machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeepPretraining {
    /// Epochs of each layer; 0 for no pretraining.
    pub epochs: usize,
    /// Learning rate of machines with Bernoulli units on both sides.
    #[serde(default = "default_bernoulli_learning_rate")]
    pub learning_rate: Scheduled,
    /// Learning rate of machines with Gaussian units on a side, such as the one of the code.
    #[serde(default = "default_gaussian_learning_rate")]
    pub gaussian_learning_rate: Scheduled,
    /// What is left of the last step.
    #[serde(default = "Momentum::of_hinton_and_salakhutdinov")]
    pub momentum: Momentum,
    /// Strength of the pull of weights towards 0.
    #[serde(default = "default_weight_cost")]
    pub weight_cost: f64,
    /// Steps of Gibbs sampling in each update: the k of CD-k.
    #[serde(default = "default_steps")]
    pub steps: usize,
    /// Whether the chains go on from update to update (PCD) instead of starting at the data.
    #[serde(default)]
    pub persistent: bool,
}

fn adapt_schema(schema: &mut Schema) {
    accept_latent_dim(schema);
    require_nullable(schema, "pretraining");
}

fn gaussian() -> UnitKind {
    UnitKind::Gaussian
}

fn small_normal() -> Initialization {
    Initialization::Normal { sigma: 0.1 }
}

impl DeepPretraining {
    /// The settings of the authors' code, for that many epochs.
    pub fn new(epochs: usize) -> Self {
        Self {
            epochs,
            learning_rate: default_bernoulli_learning_rate(),
            gaussian_learning_rate: default_gaussian_learning_rate(),
            momentum: Momentum::of_hinton_and_salakhutdinov(),
            weight_cost: default_weight_cost(),
            steps: default_steps(),
            persistent: false,
        }
    }

    /// What a machine with units of these kinds is trained by.
    fn of(&self, kinds: [UnitKind; 2]) -> RbmTraining {
        let has_gaussian = kinds.contains(&UnitKind::Gaussian);
        RbmTraining {
            learning_rate: if has_gaussian { &self.gaussian_learning_rate } else { &self.learning_rate }.clone(),
            momentum: self.momentum,
            weight_cost: self.weight_cost,
            steps: self.steps,
            persistent: self.persistent,
        }
    }
}

/// A mirrored net of logistic units around a linear code.
#[derive(Module, Debug)]
pub struct Deep {
    stack: LayerStack,
}

impl Autoencoder for Deep {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.stack.encode(x)
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.stack.decode(z)
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.stack.decode_logits(z)
    }

    fn objective(&self, batch: &Batch, _ctx: &mut StepContext<'_>) -> Objective {
        let (name, value) = self.stack.reconstruction_term(batch.x.clone(), batch.mask.as_ref());
        Objective::new().term(name, value, 1.0)
    }
}

impl Stacked for Deep {
    fn stack(&self) -> &LayerStack {
        &self.stack
    }

    fn stack_mut(&mut self) -> &mut LayerStack {
        &mut self.stack
    }
}

impl DeepConfig {
    fn reconstruction(&self) -> Reconstruction {
        let (activation, loss) = match self.visible {
            UnitKind::Bernoulli => (OutputActivation::Sigmoid, ReconstructionLoss::BinaryCrossEntropy),
            UnitKind::Gaussian => (OutputActivation::Linear, ReconstructionLoss::SquaredError),
        };
        Reconstruction { activation, loss: self.loss.unwrap_or(loss) }
    }

    /// Kinds of the visible and hidden units of machine `index`.
    fn kinds(&self, index: usize) -> [UnitKind; 2] {
        let visible = if index == 0 { self.visible } else { UnitKind::Bernoulli };
        let hidden = if index == self.hidden.len() { self.code_units } else { UnitKind::Bernoulli };
        [visible, hidden]
    }

    fn check_kinds(&self, data: &DataSpec) -> Result<(), ConfigError> {
        if self.visible == UnitKind::Bernoulli && !data.domain.is_unit_interval() {
            let message = "`visible: bernoulli` takes values as probabilities, but this data takes any real value; scale the data to \
                           [0, 1], or standardise it and take `visible: gaussian`";
            return Err(ConfigError::new("visible", message));
        }
        if self.visible == UnitKind::Gaussian && self.loss == Some(ReconstructionLoss::BinaryCrossEntropy) {
            let message = "`loss: binary_cross_entropy` compares probabilities, but `visible: gaussian` makes reconstructions linear; take \
                           `loss: squared_error`, or `visible: bernoulli` for data in [0, 1]";
            return Err(ConfigError::new("loss", message));
        }
        Ok(())
    }
}

impl ModelConfig for DeepConfig {
    const NAME: &'static str = "deep";
    const SUMMARY: &'static str = "logistic layers, each trained as a restricted Boltzmann machine first, then all fine-tuned";
    const CITATION: &'static str = "Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks, Science 313, \
                                    https://doi.org/10.1126/science.1127647";
    type Model = Deep;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        check_code_size("code_size", self.code_size)?;
        if let Some(index) = self.hidden.iter().position(|width| *width == 0) {
            return Err(ConfigError::new(format!("hidden.{index}"), "a hidden layer must have at least 1 unit"));
        }
        self.check_kinds(data)?;
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))?;
        if let Some(pretraining) = &self.pretraining {
            let check = |kinds, key| pretraining.of(kinds).check(key).map_err(|error| error.within("pretraining"));
            check([UnitKind::Bernoulli; 2], "learning_rate")?;
            check([UnitKind::Gaussian; 2], "gaussian_learning_rate")?;
        }
        self.reconstruction().check(data)
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        let too_narrow = (self.visible == UnitKind::Gaussian && data.domain != Domain::Real).then(|| {
            "`visible: gaussian` assumes data of unit variance, but this data lies in [0, 1]; standardise it, or take `visible: bernoulli`"
                .to_owned()
        });
        too_narrow.into_iter().chain(overcomplete_warning(self.code_size, data)).collect()
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.reconstruction().term_spec()]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Deep {
        let code_activation = match self.code_units {
            UnitKind::Bernoulli => Activation::Sigmoid,
            UnitKind::Gaussian => Activation::Linear,
        };
        let hidden = self.hidden.iter().map(|width| (*width, Activation::Sigmoid));
        let layers: Vec<_> = hidden.chain([(self.code_size, code_activation)]).collect();
        Deep { stack: LayerStack::new(data.num_features(), &layers, false, self.reconstruction(), self.initialization, initializer) }
    }

    fn trainee(&self, context: &BuildContext<'_>) -> Box<dyn Trainee> {
        let model = self.init(context.data, &mut Initializer::new(context.seed, context.device));
        let pretraining = self.pretraining.iter().filter(|pretraining| pretraining.epochs > 0);
        let of_layers = pretraining.flat_map(|pretraining| {
            (0..model.stack.num_layers()).map(|layer| {
                let kinds = self.kinds(layer);
                let how = pretraining.of(kinds);
                let begin = move |stack: &LayerStack| Box::new(RbmLayer::begin(stack, layer, kinds, how.clone())) as Box<_>;
                Pretraining { layer, num_epochs: pretraining.epochs, begin: Box::new(begin) }
            })
        });
        let of_layers = of_layers.collect();
        Box::new(GreedyTrainee::new(model, of_layers, context.optimizer.build()))
    }

    fn example() -> Self {
        Self {
            hidden: vec![16],
            code_size: 4,
            pretraining: Some(DeepPretraining::new(2)),
            visible: UnitKind::Bernoulli,
            code_units: gaussian(),
            loss: None,
            initialization: small_normal(),
        }
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let with = |change: fn(&mut DeepPretraining)| {
            let mut pretraining = DeepPretraining::new(2);
            change(&mut pretraining);
            Self { pretraining: Some(pretraining), ..example() }
        };
        vec![
            ("hidden", Self { hidden: vec![12, 8], ..example() }),
            ("hidden", Self { hidden: vec![], ..example() }),
            ("code_size", Self { code_size: 3, ..example() }),
            ("pretraining", Self { pretraining: None, ..example() }),
            ("pretraining.epochs", with(|pretraining| pretraining.epochs = 0)),
            ("pretraining.learning_rate", with(|pretraining| pretraining.learning_rate = 0.05.into())),
            ("pretraining.gaussian_learning_rate", with(|pretraining| pretraining.gaussian_learning_rate = 0.01.into())),
            ("pretraining.momentum.from", with(|pretraining| pretraining.momentum.from = 0.7)),
            ("pretraining.momentum.switch_epoch", with(|pretraining| pretraining.momentum.switch_epoch = 0)),
            ("pretraining.momentum.to", with(|pretraining| pretraining.momentum = Momentum { from: 0.5, to: 0.8, switch_epoch: 0 })),
            ("pretraining.weight_cost", with(|pretraining| pretraining.weight_cost = 0.1)),
            ("pretraining.steps", with(|pretraining| pretraining.steps = 2)),
            ("pretraining.persistent", with(|pretraining| pretraining.persistent = true)),
            ("visible", Self { visible: UnitKind::Gaussian, ..example() }),
            ("code_units", Self { code_units: UnitKind::Bernoulli, ..example() }),
            ("loss", Self { loss: Some(ReconstructionLoss::SquaredError), ..example() }),
            ("initialization", Self { initialization: Initialization::GlorotUniform, ..example() }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Examples, Optimizer, Progress, Purpose, StateError, Stream, StreamNoise, stream};
    use burn::optim::{ModuleOptimizer, SgdConfig};
    use burn::tensor::{Device, TensorData, activation::sigmoid};

    fn data() -> DataSpec {
        DataSpec::new([6], Domain::UnitInterval)
    }

    struct Rows(DataSpec, Vec<f32>);

    impl Examples for Rows {
        fn spec(&self) -> &DataSpec {
            &self.0
        }

        fn len(&self) -> usize {
            self.1.len() / self.0.num_features()
        }

        fn gather(&self, indices: &[usize], _stream: &mut Stream, out: &mut Vec<f32>) {
            indices.iter().for_each(|index| out.extend_from_slice(&self.1[index * 6..(index + 1) * 6]));
        }

        fn labels(&self) -> Option<&[u32]> {
            None
        }
    }

    /// Four examples of which the second three values repeat the first three.
    fn rows() -> Rows {
        let half = [[0.9, 0.1, 0.2], [0.1, 0.8, 0.9], [0.7, 0.9, 0.1], [0.2, 0.2, 0.1f32]];
        Rows(data(), half.iter().flat_map(|row| [row, row]).flatten().copied().collect())
    }

    fn trainee(config: &DeepConfig, device: &Device) -> Box<dyn Trainee> {
        let optimizer = || Optimizer::new(ModuleOptimizer::from(SgdConfig::new().build()), None);
        ModelConfig::trainee(config, &BuildContext { data: &data(), seed: 1, device, optimizer: &optimizer })
    }

    fn train(trainee: &mut dyn Trainee, steps: u64, device: &Device) {
        let x = Tensor::<2>::from_data(TensorData::new(rows().1, [4, 6]), device);
        for step in 0..steps {
            let noise = &mut StreamNoise(stream(1, Purpose::Training, 0, step));
            let progress = Progress { step, epoch: 0.0, num_epochs: 1.0 };
            trainee.train_step(&Batch::new(x.clone()), &mut StepContext { progress, learning_rate: 0.1, noise });
        }
    }

    fn config() -> DeepConfig {
        let pretraining = DeepPretraining { learning_rate: 0.5.into(), gaussian_learning_rate: 0.05.into(), ..DeepPretraining::new(1) };
        DeepConfig { hidden: vec![5], code_size: 2, pretraining: Some(pretraining), ..DeepConfig::example() }
    }

    #[test]
    fn stages_have_epochs_of_their_own_and_none_is_left_without_pretraining() {
        let device = Device::flex().autodiff();
        let names = |config: &DeepConfig| -> Vec<(String, usize)> {
            trainee(config, &device).stages(7).into_iter().map(|stage| (stage.name, stage.num_epochs)).collect()
        };
        let expected = [("pretrain_1", 1), ("pretrain_2", 1), ("fine_tune", 7)].map(|(name, epochs)| (name.to_owned(), epochs));
        assert_eq!(names(&config()), expected);
        for pretraining in [None, Some(DeepPretraining::new(0))] {
            assert_eq!(names(&DeepConfig { pretraining, ..config() }), [("fine_tune".to_owned(), 7)]);
        }
    }

    #[test]
    fn unrolling_makes_the_decoder_of_transposes_and_visible_biases() -> Result<(), StateError> {
        let device = Device::flex().autodiff();
        let mut trainee = trainee(&config(), &device);
        for stage in 0..3 {
            trainee.enter_stage(stage, &rows())?;
            if stage < 2 {
                train(&mut *trainee, 20, &device);
            }
        }
        let record = burn::store::ModuleRecord::from_bytes(burn::tensor::Bytes::from_bytes_vec(trainee.state()?.take("model")?)).unwrap();
        let model = config().init(&data(), &mut Initializer::new(2, &device)).try_load_record(record).unwrap();
        for index in 0..2 {
            let layer = model.stack.layer(index);
            let apart = (layer.decoder_weight.unwrap() - layer.weight.transpose()).abs().max().into_scalar::<f32>();
            assert_eq!(apart, 0.0, "layer {index}");
            assert!(layer.decoder_bias.abs().max().into_scalar::<f32>() > 0.0, "layer {index}: the visible biases did not move");
        }
        // Written out: logistic layers, linear code, logistic output.
        let x = Tensor::<2>::from_data(TensorData::new(rows().1, [4, 6]), &Device::flex());
        let [first, second] = [0, 1].map(|index| model.stack.layer(index));
        let hidden = sigmoid(x.clone().matmul(first.weight.clone()) + first.bias.unsqueeze());
        let z = hidden.matmul(second.weight.clone()) + second.bias.unsqueeze();
        let hidden = sigmoid(z.matmul(second.weight.transpose()) + second.decoder_bias.unsqueeze());
        let expected = sigmoid(hidden.matmul(first.weight.transpose()) + first.decoder_bias.unsqueeze());
        let apart = (trainee.snapshot().reconstruct(x) - expected).abs().max().into_scalar::<f32>();
        assert!(apart < 1e-6, "{apart}");
        Ok(())
    }

    #[test]
    fn pretraining_starts_fine_tuning_lower_than_random_weights() -> Result<(), StateError> {
        let device = Device::flex().autodiff();
        let first_loss = |config: &DeepConfig| -> Result<f64, StateError> {
            let mut trainee = trainee(config, &device);
            let num_stages = trainee.stages(1).len();
            for stage in 0..num_stages {
                trainee.enter_stage(stage, &rows())?;
                if stage + 1 < num_stages {
                    train(&mut *trainee, 500, &device);
                }
            }
            let x = Tensor::<2>::from_data(TensorData::new(rows().1, [4, 6]), &Device::flex());
            let noise = &mut StreamNoise(stream(1, Purpose::Validation, 0, 0));
            let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise };
            Ok(trainee.snapshot().objective(&Batch::new(x), ctx).values().loss)
        };
        let (with, without) = (first_loss(&config())?, first_loss(&DeepConfig { pretraining: None, ..config() })?);
        assert!(with < without - 0.3, "{with} with pretraining, {without} without");
        Ok(())
    }

    #[test]
    fn a_stage_of_pretraining_reports_what_a_machine_can_be_watched_by() -> Result<(), StateError> {
        let device = Device::flex().autodiff();
        let mut trainee = trainee(&config(), &device);
        trainee.enter_stage(0, &rows())?;
        let x = Tensor::<2>::from_data(TensorData::new(rows().1, [4, 6]), &device);
        let step = |run: &mut dyn FnMut(&mut StepContext<'_>) -> aelab_core::Terms| {
            let noise = &mut StreamNoise(stream(1, Purpose::Training, 0, 0));
            run(&mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.1, noise })
        };
        let plain = Batch::new(x.clone().inner());
        let valid = step(&mut |ctx| trainee.snapshot().objective(&plain, ctx).values());
        let in_training = step(&mut |ctx| trainee.train_step(&Batch::new(x.clone()), ctx));
        // The same batch and the same noise: the same numbers, diagnostics among them.
        assert_eq!(valid, in_training);
        assert_eq!(valid.terms[0].name, "reconstruction_error");
        assert_eq!(valid.diagnostics.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["free_energy", "pseudo_likelihood"]);
        Ok(())
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let with = |change: fn(&mut DeepPretraining)| {
            let mut pretraining = DeepPretraining::new(1);
            change(&mut pretraining);
            DeepConfig { pretraining: Some(pretraining), ..DeepConfig::example() }
        };
        let path = |config: DeepConfig, domain| config.check(&DataSpec::new([6], domain)).unwrap_err().path;
        let unit = Domain::UnitInterval;
        assert_eq!(path(DeepConfig { hidden: vec![3, 0], ..DeepConfig::example() }, unit), "hidden.1");
        assert_eq!(path(DeepConfig::example(), Domain::Real), "visible");
        let loss = Some(ReconstructionLoss::BinaryCrossEntropy);
        assert_eq!(path(DeepConfig { visible: UnitKind::Gaussian, loss, ..DeepConfig::example() }, unit), "loss");
        assert_eq!(path(with(|pretraining| pretraining.learning_rate = (-0.1).into()), unit), "pretraining.learning_rate");
        assert_eq!(
            path(with(|pretraining| pretraining.gaussian_learning_rate = (-0.1).into()), unit),
            "pretraining.gaussian_learning_rate"
        );
        assert_eq!(path(with(|pretraining| pretraining.momentum.to = 1.0), unit), "pretraining.momentum.to");
        assert_eq!(path(with(|pretraining| pretraining.weight_cost = -1.0), unit), "pretraining.weight_cost");
        assert_eq!(path(with(|pretraining| pretraining.steps = 0), unit), "pretraining.steps");
        let warnings = DeepConfig { visible: UnitKind::Gaussian, ..DeepConfig::example() }.warnings(&data());
        assert!(warnings[0].contains("unit variance"), "{warnings:?}");
    }

    #[test]
    fn pretraining_is_required_and_may_be_null() {
        let read = |json| serde_json::from_str::<DeepConfig>(json);
        let error = read(r#"{"hidden": [], "code_size": 2}"#).unwrap_err().to_string();
        assert!(error.contains("missing field `pretraining`"), "{error}");
        assert_eq!(read(r#"{"hidden": [], "code_size": 2, "pretraining": null}"#).unwrap().pretraining, None);
        let brief = read(r#"{"hidden": [16], "latent_dim": 4, "pretraining": {"epochs": 2}}"#).unwrap();
        assert_eq!(brief, DeepConfig::example());
        let schema = schemars::schema_for!(DeepConfig);
        assert!(schema.get("required").unwrap().as_array().unwrap().iter().any(|key| key == "pretraining"));
    }
}
