//! The stacked autoencoder: layers that are trained greedily, one on top of the other, then all together.
//!
//! Bengio, Lamblin, Popovici & Larochelle 2007, "Greedy Layer-Wise Training of Deep Networks"; Vincent, Larochelle, Lajoie, Bengio
//! & Manzagol 2010, "Stacked Denoising Autoencoders", JMLR 11. <https://www.jmlr.org/papers/v11/vincent10a.html>
//!
//! ```text
//! pretrain_i   layer i as an autoencoder of its own (or a restricted Boltzmann machine): its input is the *clean* code of the
//!              layers below, which are done; corruption and penalties are those of its kind
//! fine_tune    L(x) = loss(x, d(e(x))), all layers, unrolled to a deep autoencoder
//! ```
//!
//! After pretraining the decoder of each layer becomes the layer of the deep decoder that faces it.

use aelab_core::{
    Autoencoder, Batch, BuildContext, ConfigError, DataSpec, Domain, Initialization, Initializer, ModelConfig, Objective, Scheduled,
    StepContext, TermSpec, Trainee,
};
use aelab_nn::{Activation, UnitKind, check_initialization};
use burn::module::Module;
use burn::tensor::Tensor;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::greedy::{GreedyTrainee, Pretraining, Stacked as LayerWise};
use crate::layer_autoencoder::{AutoencoderLayer, LayerSetting};
use crate::layer_kind::{LayerKind, LayerKinds, LayerSparsity};
use crate::network::{check_code_size, overcomplete_warning};
use crate::rbm_pretraining::RbmLayer;
use crate::schema::{accept_latent_dim, present, require_nullable};
use crate::{LayerStack, OutputActivation, Reconstruction, ReconstructionLoss};

/// Hyperparameters of [`Stacked`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = adapt_schema)]
pub struct StackedConfig {
    /// Units of the hidden layers, from the data inwards (`[]` for none).
    pub hidden: Vec<usize>,
    /// Units of the code.
    #[serde(alias = "latent_dim")]
    pub code_size: usize,
    /// What layers learn as before the whole is trained: one kind for all, or a list with one per hidden layer and one for the
    /// code. Required: it is the experiment.
    pub layer: LayerKinds,
    /// How long, or `null` for not at all. Required: it is the experiment.
    #[serde(deserialize_with = "present")]
    pub pretraining: Option<StackedPretraining>,
    /// Activation of the hidden layers.
    #[serde(default = "sigmoid")]
    pub activation: Activation,
    /// Activation of the code.
    #[serde(default = "sigmoid")]
    pub code_activation: Activation,
    /// What the decoder's last layer is followed by.
    #[serde(default)]
    pub output_activation: OutputActivation,
    /// What a reconstruction is compared by: of the data, and of the codes of sigmoid layers; other codes are compared by the
    /// squared error.
    #[serde(default)]
    pub loss: ReconstructionLoss,
    /// Whether decoders run backwards through the encoders' weights, with biases of their own, in pretraining and after it.
    #[serde(default)]
    pub tied: bool,
    /// How weights start.
    #[serde(default)]
    pub initialization: Initialization,
}

/// How long layers are trained on their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StackedPretraining {
    /// Epochs of each layer; 0 for no pretraining.
    pub epochs: usize,
    /// Learning rate of the experiment's optimizer for layers that learn as autoencoders; that of the experiment, its
    /// schedule starting anew in each stage, where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<Scheduled>,
}

fn adapt_schema(schema: &mut Schema) {
    accept_latent_dim(schema);
    require_nullable(schema, "pretraining");
}

fn sigmoid() -> Activation {
    Activation::Sigmoid
}

/// A deep autoencoder whose layers were trained one by one.
#[derive(Module, Debug)]
pub struct Stacked {
    stack: LayerStack,
}

impl Autoencoder for Stacked {
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

impl LayerWise for Stacked {
    fn stack(&self) -> &LayerStack {
        &self.stack
    }

    fn stack_mut(&mut self) -> &mut LayerStack {
        &mut self.stack
    }
}

/// The kind of units with that activation, where a machine can have them.
fn unit_kind(activation: Activation) -> Option<UnitKind> {
    match activation {
        Activation::Sigmoid => Some(UnitKind::Bernoulli),
        Activation::Linear => Some(UnitKind::Gaussian),
        _ => None,
    }
}

impl StackedConfig {
    fn num_layers(&self) -> usize {
        self.hidden.len() + 1
    }

    fn reconstruction(&self) -> Reconstruction {
        Reconstruction { activation: self.output_activation, loss: self.loss }
    }

    /// Activation of layer `index`.
    fn activation_of(&self, index: usize) -> Activation {
        if index == self.hidden.len() { self.code_activation } else { self.activation }
    }

    /// Activation of the units that feed layer `index`, those of the reconstruction for the first.
    fn input_activation_of(&self, index: usize) -> Activation {
        match (index, self.output_activation) {
            (0, OutputActivation::Sigmoid) => Activation::Sigmoid,
            (0, OutputActivation::Linear) => Activation::Linear,
            _ => self.activation_of(index - 1),
        }
    }

    /// Kinds of the visible and hidden units of layer `index` as a machine, where it can be one.
    fn unit_kinds(&self, index: usize) -> Option<[UnitKind; 2]> {
        Some([unit_kind(self.input_activation_of(index))?, unit_kind(self.activation_of(index))?])
    }

    fn setting(&self, index: usize, kind: LayerKind) -> LayerSetting {
        let input_activation = self.input_activation_of(index);
        let loss = if input_activation == Activation::Sigmoid { self.loss } else { ReconstructionLoss::SquaredError };
        LayerSetting { kind, activation: self.activation_of(index), input_activation, loss }
    }

    /// Whether a layer can be of that kind between these activations.
    fn check_kind(&self, index: usize, kind: &LayerKind, data: &DataSpec) -> Result<(), ConfigError> {
        kind.check()?;
        let activation = self.activation_of(index);
        let name = activation.name();
        match kind {
            LayerKind::Sparse { penalty: LayerSparsity::Kl { .. } } if activation != Activation::Sigmoid => {
                let message =
                    format!("the divergence compares probabilities, but the layer's activation is `{name}`; take `sigmoid`, or `l1`");
                Err(ConfigError::new("sparse.penalty.kl", message))
            }
            LayerKind::Contractive { .. } if !activation.has_slope() => {
                let message = format!(
                    "the norm of the Jacobian needs a smooth layer, but the layer's activation is `{name}`; take `sigmoid`, `tanh`, `elu` or \
                     `softplus`"
                );
                Err(ConfigError::new("contractive", message))
            }
            LayerKind::Rbm { .. } if self.unit_kinds(index).is_none() => {
                let input = self.input_activation_of(index).name();
                let message = format!(
                    "a restricted Boltzmann machine has sigmoid units (Bernoulli) or linear ones (Gaussian), but this layer leads from \
                     `{input}` to `{name}`"
                );
                Err(ConfigError::new("rbm", message))
            }
            LayerKind::Rbm { .. }
                if index == 0 && self.output_activation == OutputActivation::Sigmoid && !data.domain.is_unit_interval() =>
            {
                let message = "with `output_activation: sigmoid` the first machine takes values as probabilities, but this data takes any real \
                               value; scale the data to [0, 1], or standardise it and take `output_activation: linear`";
                Err(ConfigError::new("rbm", message))
            }
            _ => Ok(()),
        }
    }
}

impl ModelConfig for StackedConfig {
    const NAME: &'static str = "stacked";
    const SUMMARY: &'static str = "layers trained one by one as autoencoders of any kind or Boltzmann machines, then all fine-tuned";
    const CITATION: &'static str = "Vincent, Larochelle, Lajoie, Bengio & Manzagol 2010, Stacked Denoising Autoencoders, JMLR 11, \
                                    https://www.jmlr.org/papers/v11/vincent10a.html";
    type Model = Stacked;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        check_code_size("code_size", self.code_size)?;
        if let Some(index) = self.hidden.iter().position(|width| *width == 0) {
            return Err(ConfigError::new(format!("hidden.{index}"), "a hidden layer must have at least 1 unit"));
        }
        let kinds = self.layer.resolve(self.num_layers()).map_err(|error| error.within("layer"))?;
        for (index, kind) in kinds.iter().enumerate() {
            self.check_kind(index, kind, data).map_err(|error| self.layer.within(index, error).within("layer"))?;
        }
        if let Some(rate) = self.pretraining.as_ref().and_then(|pretraining| pretraining.learning_rate.as_ref()) {
            let checked = crate::variational_network::check_not_negative("learning_rate", rate, "scales steps");
            checked.map_err(|error| error.within("pretraining"))?;
        }
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))?;
        self.reconstruction().check(data)
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        let first_is_machine = self.layer.resolve(self.num_layers()).is_ok_and(|kinds| matches!(kinds[0], LayerKind::Rbm { .. }));
        let gaussian = self.output_activation == OutputActivation::Linear && data.domain != Domain::Real;
        let narrow = (first_is_machine && gaussian).then(|| {
            "with `output_activation: linear` the first machine assumes data of unit variance, but this data lies in [0, 1]; take \
             `output_activation: sigmoid`, or standardise it"
                .to_owned()
        });
        let reconstruction = self.reconstruction().warning(data);
        reconstruction.into_iter().chain(narrow).chain(overcomplete_warning(self.code_size, data)).collect()
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.reconstruction().term_spec()]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Stacked {
        let widths = self.hidden.iter().copied().chain([self.code_size]).enumerate();
        let layers: Vec<_> = widths.map(|(index, width)| (width, self.activation_of(index))).collect();
        Stacked { stack: LayerStack::new(data.num_features(), &layers, self.tied, self.reconstruction(), self.initialization, initializer) }
    }

    fn trainee(&self, context: &BuildContext<'_>) -> Box<dyn Trainee> {
        let model = self.init(context.data, &mut Initializer::new(context.seed, context.device));
        let kinds = self.layer.resolve(self.num_layers()).expect("the configuration was checked");
        let pretraining = self.pretraining.iter().filter(|pretraining| pretraining.epochs > 0);
        let of_layers = pretraining.flat_map(|StackedPretraining { epochs, learning_rate }| {
            kinds.iter().enumerate().map(|(layer, kind)| {
                let machine = self.unit_kinds(layer).and_then(|units| Some((units, kind.rbm_training(units)?)));
                let setting = self.setting(layer, kind.clone());
                let (optimizer, learning_rate) = (context.optimizer.build(), learning_rate.clone());
                let begin = move |stack: &LayerStack| match &machine {
                    Some((units, how)) => Box::new(RbmLayer::begin(stack, layer, *units, how.clone())) as Box<_>,
                    None => {
                        let layer = AutoencoderLayer::begin(stack, layer, setting.clone(), optimizer.clone(), learning_rate.clone());
                        Box::new(layer) as Box<_>
                    }
                };
                Pretraining { layer, num_epochs: *epochs, begin: Box::new(begin) }
            })
        });
        let of_layers = of_layers.collect();
        Box::new(GreedyTrainee::new(model, of_layers, context.optimizer.build()))
    }

    fn example() -> Self {
        Self {
            hidden: vec![16],
            code_size: 4,
            layer: LayerKinds::All(LayerKind::Undercomplete {}),
            pretraining: Some(StackedPretraining { epochs: 2, learning_rate: None }),
            activation: sigmoid(),
            code_activation: sigmoid(),
            output_activation: OutputActivation::default(),
            loss: ReconstructionLoss::default(),
            tied: false,
            initialization: Initialization::default(),
        }
    }

    fn variations() -> Vec<(&'static str, Self)> {
        use aelab_core::Corruption;

        let example = Self::example;
        let all = |kind| Self { layer: LayerKinds::All(kind), ..example() };
        let with_sigmoid = |config| Self { output_activation: OutputActivation::Sigmoid, ..config };
        let masking = || LayerKind::Denoising { corruption: Corruption::Masking { rate: 0.25.into() } };
        let contractive = || LayerKind::Contractive { lambda: 0.1.into() };
        let sparse = |penalty| LayerKind::Sparse { penalty };
        let (l1, kl) = (LayerSparsity::L1 { lambda: 0.1.into() }, LayerSparsity::Kl { rho: 0.1, beta: 0.5.into() });
        let pretraining = |epochs, learning_rate| Some(StackedPretraining { epochs, learning_rate });
        let cross_entropy = ReconstructionLoss::BinaryCrossEntropy;
        let each = LayerKinds::Each(vec![masking(), LayerKind::rbm()]);
        vec![
            ("hidden", Self { hidden: vec![12, 8], ..example() }),
            ("hidden", Self { hidden: vec![], ..example() }),
            ("code_size", Self { code_size: 3, ..example() }),
            ("layer.sparse.penalty.l1", all(sparse(l1))),
            ("layer.sparse.penalty.kl", all(sparse(kl))),
            ("layer.denoising", all(masking())),
            ("layer.contractive", all(contractive())),
            ("layer.rbm", with_sigmoid(all(LayerKind::rbm()))),
            ("layer.0", Self { layer: each, tied: true, loss: cross_entropy, ..with_sigmoid(example()) }),
            ("pretraining", Self { pretraining: None, ..example() }),
            ("pretraining.epochs", Self { pretraining: pretraining(0, None), ..example() }),
            ("pretraining.learning_rate", Self { pretraining: pretraining(2, Some(0.05.into())), ..example() }),
            ("activation", Self { activation: Activation::Tanh, ..example() }),
            ("code_activation", Self { code_activation: Activation::Linear, ..example() }),
            ("output_activation", with_sigmoid(example())),
            ("loss", Self { loss: cross_entropy, ..with_sigmoid(example()) }),
            ("tied", Self { tied: true, ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeepConfig, DeepPretraining};
    use aelab_core::{Corruption, Examples, FixedNoise, Optimizer, Progress, Purpose, Stream, StreamNoise, stream};
    use burn::optim::{AdamConfig, ModuleOptimizer};
    use burn::store::ModuleRecord;
    use burn::tensor::{Bytes, Device, TensorData, activation};

    /// Three examples of four values.
    const X: [[f32; 4]; 3] = [[0.9, 0.1, 0.2, 0.7], [0.1, 0.8, 0.9, 0.0], [0.7, 0.9, 0.1, 0.4]];

    struct Rows(DataSpec);

    impl Examples for Rows {
        fn spec(&self) -> &DataSpec {
            &self.0
        }

        fn len(&self) -> usize {
            X.len()
        }

        fn gather(&self, indices: &[usize], _stream: &mut Stream, out: &mut Vec<f32>) {
            indices.iter().for_each(|index| out.extend_from_slice(&X[*index]));
        }

        fn labels(&self) -> Option<&[u32]> {
            None
        }
    }

    fn data() -> DataSpec {
        DataSpec::new([4], Domain::UnitInterval)
    }

    fn config(layer: LayerKinds) -> StackedConfig {
        let pretraining = Some(StackedPretraining { epochs: 1, learning_rate: None });
        StackedConfig { hidden: vec![3], code_size: 2, layer, pretraining, ..StackedConfig::example() }
    }

    fn trainee<C: ModelConfig>(config: &C, device: &Device) -> Box<dyn Trainee> {
        config.check(&data()).unwrap();
        let optimizer = || Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None);
        let mut trainee = ModelConfig::trainee(config, &BuildContext { data: &data(), seed: 1, device, optimizer: &optimizer });
        trainee.enter_stage(0, &Rows(data())).unwrap();
        trainee
    }

    fn train(trainee: &mut dyn Trainee, steps: u64, device: &Device) {
        for step in 0..steps {
            let noise = &mut StreamNoise(stream(1, Purpose::Training, 0, step));
            let ctx = &mut StepContext { progress: Progress { step, epoch: 0.0, num_epochs: 1.0 }, learning_rate: 0.01, noise };
            trainee.train_step(&Batch::new(Tensor::from_data(X, device)), ctx);
        }
    }

    fn stack(config: &StackedConfig, trainee: &dyn Trainee, device: &Device) -> LayerStack {
        let bytes = trainee.state().unwrap().take("model").unwrap();
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes)).unwrap();
        config.init(&data(), &mut Initializer::new(9, device)).try_load_record(record).unwrap().stack
    }

    /// The parameters of one layer of encoder and decoder.
    fn values(stack: &LayerStack, index: usize) -> Vec<TensorData> {
        let layer = stack.layer(index);
        let decoder = layer.decoder_weight.map(Tensor::into_data);
        [layer.weight.into_data(), layer.bias.into_data(), layer.decoder_bias.into_data()].into_iter().chain(decoder).collect()
    }

    #[test]
    fn a_stage_moves_its_own_layer_and_no_other_until_the_last_moves_all() {
        let device = Device::flex().autodiff();
        for layer in [LayerKind::Undercomplete {}, LayerKind::Contractive { lambda: 0.1.into() }] {
            let config = config(LayerKinds::All(layer));
            let mut trainee = trainee(&config, &device);
            let names: Vec<String> = trainee.stages(5).into_iter().map(|stage| stage.name).collect();
            assert_eq!(names, ["pretrain_1", "pretrain_2", "fine_tune"]);
            for stage in 0..3 {
                if stage > 0 {
                    trainee.enter_stage(stage, &Rows(data())).unwrap();
                }
                let before = stack(&config, &*trainee, &device);
                train(&mut *trainee, 2, &device);
                let after = stack(&config, &*trainee, &device);
                for index in 0..2 {
                    let moved = values(&before, index) != values(&after, index);
                    assert_eq!(moved, stage == 2 || stage == index, "stage {stage}, layer {index}");
                }
            }
        }
    }

    #[test]
    fn the_second_layer_is_fed_the_clean_code_and_corrupts_it_anew() {
        let device = Device::flex().autodiff();
        let masking = || LayerKind::Denoising { corruption: Corruption::Masking { rate: 0.3.into() } };
        let config = config(LayerKinds::All(masking()));
        let mut trainee = trainee(&config, &device);
        train(&mut *trainee, 5, &device);
        trainee.enter_stage(1, &Rows(data())).unwrap();
        let stack = stack(&config, &*trainee, &device);
        let [first, second] = [0, 1].map(|index| stack.layer(index));
        let x = Tensor::<2>::from_data(X, &Device::flex());
        let kept = [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0f32]];
        // Written out: the clean x through the first layer, its code masked, there and back through the second.
        let code = activation::sigmoid(x.clone().matmul(first.weight) + first.bias.unsqueeze());
        let masked = code.clone() * Tensor::from_data(kept, &Device::flex());
        let z = activation::sigmoid(masked.matmul(second.weight) + second.bias.unsqueeze());
        let output = z.matmul(second.decoder_weight.unwrap()) + second.decoder_bias.unsqueeze();
        let expected = (code - activation::sigmoid(output)).square().sum_dim(1).mean().into_scalar::<f32>();
        // One draw only: nothing corrupts the data on its way up.
        let noise = &mut FixedNoise::new([kept.concat()]);
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise };
        let found = trainee.snapshot().objective(&Batch::new(x), ctx).loss().into_scalar::<f32>();
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn penalties_of_a_layer_are_their_closed_forms() {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_data(X, &Device::flex());
        let terms = |layer: LayerKind| {
            let config = config(LayerKinds::All(layer));
            let trainee = trainee(&config, &device);
            let noise = &mut FixedNoise::new([]);
            let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise };
            let values = trainee.snapshot().objective(&Batch::new(x.clone()), ctx).values();
            (values, stack(&config, &*trainee, &device).layer(0))
        };
        let (plain, layer) = terms(LayerKind::Undercomplete {});
        let h = activation::sigmoid(x.clone().matmul(layer.weight.clone()) + layer.bias.unsqueeze());
        let rho_hat = h.clone().mean_dim(0).into_data().iter::<f64>().collect::<Vec<_>>();
        let squared_columns = layer.weight.square().sum_dim(0);
        let contraction = ((h.clone() * (h.clone() * -1.0 + 1.0)).square() * squared_columns).sum_dim(1).mean().into_scalar::<f32>();
        let l1 = h.sum_dim(1).mean().into_scalar::<f32>();
        let kl: f64 = rho_hat.iter().map(|mean| 0.1 * (0.1 / mean).ln() + 0.9 * (0.9 / (1.0 - mean)).ln()).sum();
        let sparse = |penalty| LayerKind::Sparse { penalty };
        for (layer, name, weight, expected) in [
            (LayerKind::Contractive { lambda: 0.3.into() }, "contraction", 0.3, f64::from(contraction)),
            (sparse(LayerSparsity::L1 { lambda: 0.2.into() }), "sparsity", 0.2, f64::from(l1)),
            (sparse(LayerSparsity::Kl { rho: 0.1, beta: 2.0.into() }), "sparsity", 2.0, kl),
        ] {
            let (found, _) = terms(layer);
            assert_eq!(found.terms[0], plain.terms[0]);
            assert_eq!((found.terms[1].name, found.terms[1].weight), (name, weight));
            assert!((found.terms[1].value - expected).abs() < 1e-5, "{name}: {} is not {expected}", found.terms[1].value);
        }
    }

    /// Two models share the machinery: the same seed, weights and settings have to give the same bits.
    #[test]
    fn a_stack_of_machines_is_the_deep_autoencoder() {
        let device = Device::flex().autodiff();
        let initialization = Initialization::Normal { sigma: 0.1 };
        let stacked = StackedConfig {
            code_activation: Activation::Linear,
            output_activation: OutputActivation::Sigmoid,
            loss: ReconstructionLoss::BinaryCrossEntropy,
            initialization,
            ..config(LayerKinds::All(LayerKind::rbm()))
        };
        let deep = DeepConfig {
            hidden: vec![3],
            code_size: 2,
            pretraining: Some(DeepPretraining::new(1)),
            initialization,
            ..DeepConfig::example()
        };
        let reconstruction = |mut trainee: Box<dyn Trainee>| {
            for stage in 0..3 {
                if stage > 0 {
                    trainee.enter_stage(stage, &Rows(data())).unwrap();
                }
                train(&mut *trainee, 5, &device);
            }
            trainee.snapshot().reconstruct(Tensor::from_data(X, &Device::flex())).into_data()
        };
        assert_eq!(reconstruction(trainee(&stacked, &device)), reconstruction(trainee(&deep, &device)));
    }

    #[test]
    fn impossible_layers_are_refused_at_their_path() {
        let all = |kind| config(LayerKinds::All(kind));
        let path = |config: StackedConfig, domain| config.check(&DataSpec::new([4], domain)).unwrap_err().path;
        let unit = Domain::UnitInterval;
        let two_of_three = LayerKinds::Each(vec![LayerKind::rbm(); 3]);
        assert_eq!(path(config(two_of_three), unit), "layer");
        let corruption = || Corruption::Masking { rate: 1.5.into() };
        assert_eq!(path(all(LayerKind::Denoising { corruption: corruption() }), unit), "layer.denoising.corruption.masking.rate");
        let each = LayerKinds::Each(vec![LayerKind::Undercomplete {}, LayerKind::Denoising { corruption: corruption() }]);
        assert_eq!(path(config(each), unit), "layer.1.denoising.corruption.masking.rate");
        let kl = || LayerKind::Sparse { penalty: LayerSparsity::Kl { rho: 0.1, beta: 1.0.into() } };
        assert_eq!(path(StackedConfig { activation: Activation::Relu, ..all(kl()) }, unit), "layer.sparse.penalty.kl");
        let contractive = || LayerKind::Contractive { lambda: 1.0.into() };
        assert_eq!(path(StackedConfig { activation: Activation::Relu, ..all(contractive()) }, unit), "layer.contractive");
        assert_eq!(path(StackedConfig { activation: Activation::Tanh, ..all(LayerKind::rbm()) }, unit), "layer.rbm");
        let sigmoid = OutputActivation::Sigmoid;
        assert_eq!(path(StackedConfig { output_activation: sigmoid, ..all(LayerKind::rbm()) }, Domain::Real), "layer.rbm");
        assert!(!all(LayerKind::rbm()).warnings(&data()).is_empty());
    }
}
