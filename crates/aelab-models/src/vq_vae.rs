//! The vector-quantised autoencoder: its code is made of entries of a learned codebook.
//!
//! van den Oord, Vinyals & Kavukcuoglu 2017, "Neural Discrete Representation Learning", Eq. 3 and appendix A.1.
//! <https://arxiv.org/abs/1711.00937>
//!
//! ```text
//! L(x) = - log p(x | q) + || sg[v] - q ||^2 + commitment || v - sg[q] ||^2
//!             nll               codebook               commitment
//! q = e_k with k = argmin_i || v - e_i ||,  v: what the encoder puts out at a position;  sg: no gradient
//! ```
//!
//! Nothing has a gradient through the choice of the nearest entry: the gradient of `nll` with respect to `q` is handed to `v`
//! as it is (straight-through). The entries move by the term `codebook`, or, without that term, to the moving average of the
//! vectors that chose them. Entries that are hardly chosen can be put where vectors are (Razavi et al. 2019 and others).

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Examples, Initialization, Initializer, ModelConfig, Noise, Objective, Scheduled,
    StepContext, Stream, TermSpec, Unit, draw_positions,
};
use aelab_losses::squared_error;
use aelab_nn::{Activation, Activations, Codebook, ConvHidden, Decoder, Encoder, Hidden, Linear, check_initialization};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::variational_network::check_not_negative;
use crate::{Likelihood, LikelihoodConfig};

/// How the entries of the codebook move.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CodebookLearning {
    /// To moving averages of the vectors that chose them (appendix A.1).
    Ema {
        /// What is kept of an average at each step, in [0, 1).
        #[serde(default = "usual_decay")]
        decay: f64,
    },
    /// By the gradient of the term `codebook` (Eq. 3).
    Gradient {},
}

fn usual_decay() -> f64 {
    0.99
}

impl Default for CodebookLearning {
    fn default() -> Self {
        Self::Ema { decay: usual_decay() }
    }
}

/// Hyperparameters of [`VqVae`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VqVaeConfig {
    /// The layers between data and code, which the decoder mirrors: units of dense ones from the data inwards (`[]` for none),
    /// `{gated: [...]}` or `{convolutional: {...}}`. With `dense_code: false`, each position of the smallest map is a vector.
    pub hidden: Hidden,
    /// Vectors per example: the groups that a dense code is split into, or the positions of the smallest map.
    pub num_codes: usize,
    /// Entries of the codebook.
    pub codebook_size: usize,
    /// Dimensions of an entry.
    pub embedding_dim: usize,
    /// The distribution of features given a code.
    pub likelihood: LikelihoodConfig,
    /// Weight of the squared distance that keeps vectors near their entries; a number or a schedule.
    #[serde(default = "usual_commitment")]
    pub commitment: Scheduled,
    /// How the entries move.
    #[serde(default)]
    pub codebook: CodebookLearning,
    /// Entries that are chosen less often per batch, on average, are put on vectors of the batch; 0 is never, at most 1.
    #[serde(default)]
    pub restart_below: f64,
    /// Activation of the hidden layers: one name, or a list with one per hidden layer of the encoder.
    #[serde(default)]
    pub activation: Activations,
    /// How weights start.
    #[serde(default)]
    pub initialization: Initialization,
}

fn usual_commitment() -> Scheduled {
    Scheduled::Constant(0.25)
}

/// An autoencoder with a codebook between encoder and decoder.
#[derive(Module, Debug)]
pub struct VqVae {
    encoder: Encoder,
    /// To all vectors of an example, or from the channels of a position to its vector.
    to_vectors: Linear,
    codebook: Codebook,
    /// From an entry to the channels of its position, where positions are those of a map.
    to_map: Option<Linear>,
    decoder: Decoder,
    likelihood: Likelihood,
    #[module(skip)]
    num_codes: usize,
    #[module(skip)]
    embedding_dim: usize,
    #[module(skip)]
    commitment: Scheduled,
    #[module(skip)]
    learning: CodebookLearning,
    #[module(skip)]
    restart_below: f64,
}

/// Vectors and what became of them.
struct Quantized {
    /// What the encoder put out, `[batch * position, dim]`.
    vectors: Tensor<2>,
    /// The nearest entries, `[batch * position]`.
    codes: Tensor<1, Int>,
    /// Those entries, `[batch * position, dim]`.
    entries: Tensor<2>,
}

impl VqVae {
    /// `[batch, feature]` to vectors, `[batch * position, dim]`.
    fn vectors(&self, x: Tensor<2>) -> Tensor<2> {
        let batch_size = x.dims()[0];
        let features = self.encoder.forward(x);
        let num_vectors = batch_size * self.num_codes;
        if self.to_map.is_none() {
            return self.to_vectors.forward(features).reshape([num_vectors, self.embedding_dim]);
        }
        let channels = self.to_vectors.num_inputs();
        let map: Tensor<3> = features.reshape([batch_size, channels, self.num_codes]);
        self.to_vectors.forward(map.swap_dims(1, 2).reshape([num_vectors, channels]))
    }

    fn quantize(&self, x: Tensor<2>) -> Quantized {
        let vectors = self.vectors(x);
        let codes = self.codebook.nearest(vectors.clone());
        Quantized { entries: self.codebook.look_up(codes.clone()), vectors, codes }
    }

    /// Entries of all positions beside each other, `[batch, position * dim]`.
    fn flat(&self, entries: Tensor<2>) -> Tensor<2> {
        let batch_size = entries.dims()[0] / self.num_codes;
        entries.reshape([batch_size, self.num_codes * self.embedding_dim])
    }

    /// What the decoder's last layer leaves, `[batch, feature]`, of codes `[batch, position * dim]`.
    fn output(&self, z: Tensor<2>) -> Tensor<2> {
        let Some(to_map) = &self.to_map else { return self.decoder.forward(z) };
        let batch_size = z.dims()[0];
        let map = to_map.forward(z.reshape([batch_size * self.num_codes, self.embedding_dim]));
        let channels = to_map.num_outputs();
        let map: Tensor<3> = map.reshape([batch_size, self.num_codes, channels]);
        self.decoder.forward(map.swap_dims(1, 2).reshape([batch_size, channels * self.num_codes]))
    }
}

/// Perplexity, `exp` of the entropy, of how often each code was chosen, and how many were, each `[1]`; of `[vector, code]`.
fn usage(chosen: &Tensor<2>) -> [Tensor<1>; 2] {
    let shares = chosen.clone().mean_dim(0);
    let used = shares.clone().greater_elem(0.0);
    // A share of 0 adds nothing: its logarithm is taken of 1.
    let logarithms = shares.clone().mask_fill(used.clone().bool_not(), 1.0).log();
    [(shares * logarithms * -1.0).sum().exp(), used.float().sum()]
}

impl Autoencoder for VqVae {
    /// The entries of the codebook that were chosen, `[batch, position * dim]`.
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.flat(self.quantize(x).entries)
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.likelihood.mean(self.output(z))
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.likelihood.logits(self.output(z))
    }

    /// Entries drawn for each position on its own, as often as they were chosen there. A prior that knows how positions go
    /// together would have to be learned afterwards.
    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        Some(self.flat(self.codebook.sample(num, noise, device)))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let Quantized { vectors, codes, entries } = self.quantize(batch.x.clone());
        let straight_through = vectors.clone() + (entries.clone() - vectors.clone()).detach();
        let nll = self.likelihood.nll(batch.x.clone(), self.output(self.flat(straight_through)), batch.mask.as_ref());
        let commitment = squared_error(self.flat(vectors.clone()), self.flat(entries.clone().detach()), None);
        let chosen = self.codebook.one_hot(codes);
        let [perplexity, num_used] = usage(&chosen);
        let mut objective = Objective::new().term("nll", nll, 1.0);
        if matches!(self.learning, CodebookLearning::Gradient {}) {
            objective = objective.term("codebook", squared_error(self.flat(vectors.clone().detach()), self.flat(entries), None), 1.0);
        }
        objective
            .term("commitment", commitment, self.commitment.at(ctx.progress))
            .diagnostic("perplexity", perplexity)
            .diagnostic("used_codes", num_used)
            .carry(vectors)
            .carry(chosen)
    }

    fn after_step(self, carried: &[Tensor<2>], ctx: &mut StepContext<'_>) -> Self {
        let [vectors, chosen] = carried else { return self };
        let decay = match self.learning {
            CodebookLearning::Ema { decay } => decay,
            CodebookLearning::Gradient {} => usual_decay(),
        };
        let mut codebook = self.codebook.average(vectors.clone(), chosen.clone(), decay);
        if self.restart_below > 0.0 {
            codebook = codebook.restart(vectors.clone(), self.restart_below, ctx.noise);
        }
        Self { codebook, ..self }
    }

    /// Entries start at what the encoder makes of training examples, so that none is far from all vectors.
    fn before_training(self, train: &dyn Examples, stream: &mut Stream) -> Self {
        if train.is_empty() {
            return self;
        }
        let [size, _] = self.codebook.dims();
        let indices = draw_positions(stream, size.min(train.len()), train.len());
        let num_features = train.spec().num_features();
        let mut values = Vec::with_capacity(indices.len() * num_features);
        train.gather(&indices, stream, &mut values);
        let device = self.to_vectors.weight.val().device();
        let x = Tensor::from_data(TensorData::new(values, [indices.len(), num_features]), &device);
        let vectors = self.vectors(x);
        let drawn: Vec<i64> = draw_positions(stream, size, vectors.dims()[0]).into_iter().map(|index| index as i64).collect();
        let embeddings = vectors.select(0, Tensor::from_data(TensorData::new(drawn, [size]), &device));
        Self { codebook: self.codebook.with_embeddings(embeddings), ..self }
    }
}

impl VqVaeConfig {
    /// The convolutions, where each position of the smallest map is a vector.
    fn map(&self) -> Option<&ConvHidden> {
        match &self.hidden {
            Hidden::Convolutional(conv) if !conv.dense_code => Some(conv),
            _ => None,
        }
    }
}

impl ModelConfig for VqVaeConfig {
    const NAME: &'static str = "vq_vae";
    const SUMMARY: &'static str = "an autoencoder whose code is made of entries of a learned codebook";
    const CITATION: &'static str = "van den Oord, Vinyals & Kavukcuoglu 2017, Neural Discrete Representation Learning, Eq. 3 and \
                                    appendix A.1, https://arxiv.org/abs/1711.00937";
    const SURROGATE_GRADIENT: Option<&'static str> =
        Some("the choice of the nearest entry has no gradient; that of the entry is handed to the vector");
    type Model = VqVae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        for (key, value) in [("num_codes", self.num_codes), ("codebook_size", self.codebook_size), ("embedding_dim", self.embedding_dim)] {
            if value == 0 {
                return Err(ConfigError::new(key, format!("`{key}` must be at least 1: nothing passes through an empty code")));
            }
        }
        match self.map() {
            None => self.hidden.check(data, self.code_size()).map_err(|error| error.within("hidden"))?,
            Some(conv) => {
                let layout = conv.layout(data).map_err(|error| error.within("convolutional").within("hidden"))?;
                self.hidden.check(data, layout.num_features()).map_err(|error| error.within("hidden"))?;
                let [_, height, width] = layout.smallest();
                if self.num_codes != height * width {
                    let message = format!(
                        "each position of the smallest map is a code, {height} x {width} = {}, but `num_codes` is {}",
                        height * width,
                        self.num_codes
                    );
                    return Err(ConfigError::new("num_codes", message));
                }
            }
        }
        let num_layers = self.hidden.num_layers();
        self.activation.resolve(num_layers, num_layers).map_err(|error| error.within("activation"))?;
        self.likelihood.check(data).map_err(|error| error.within("likelihood"))?;
        check_initialization(self.initialization).map_err(|error| error.within("initialization"))?;
        check_not_negative("commitment", &self.commitment, "weighs a squared distance")?;
        if let CodebookLearning::Ema { decay } = self.codebook
            && !(0.0..1.0).contains(&decay)
        {
            let message = format!("`decay` is what an average keeps at each step and must be at least 0 and below 1, but is {decay}");
            return Err(ConfigError::new("codebook.ema.decay", message));
        }
        if !(0.0..=1.0).contains(&self.restart_below) {
            let message = format!(
                "`restart_below` must be between 0 (never) and 1, but is {}: an entry that has just been restarted counts as chosen once per batch",
                self.restart_below
            );
            return Err(ConfigError::new("restart_below", message));
        }
        Ok(())
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        let one_entry = (self.codebook_size == 1).then(|| "a codebook of one entry says nothing about an example".to_owned());
        self.likelihood.warning(data).into_iter().chain(one_entry).collect()
    }

    fn validates_as_it_trains(&self) -> bool {
        !self.hidden.has_batch_norm()
    }

    fn code_size(&self) -> usize {
        self.num_codes * self.embedding_dim
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        let codebook = matches!(self.codebook, CodebookLearning::Gradient {}).then(|| TermSpec::new("codebook", Unit::Penalty, 1.0));
        let commitment = TermSpec::new("commitment", Unit::Penalty, self.commitment.clone());
        [self.likelihood.term_spec()].into_iter().chain(codebook).chain([commitment]).collect()
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> VqVae {
        let num_layers = self.hidden.num_layers();
        let (inwards, outwards) = self.activation.resolve(num_layers, num_layers).expect("the configuration was checked");
        let (how, dim) = (self.initialization, self.embedding_dim);
        let averaged = matches!(self.codebook, CodebookLearning::Ema { .. });
        let map = self.map().map(|conv| conv.layout(data).expect("the configuration was checked"));
        let num_channels = map.as_ref().map(|layout| layout.smallest()[0]);
        // A linear map makes the vectors, so the last hidden layer may have any activation.
        let encoder = Encoder::new(&self.hidden, data, inwards, None, true, how, initializer);
        let to_vectors = match num_channels {
            Some(channels) => Linear::new(channels, dim, true, how, initializer),
            None => Linear::new(self.hidden.num_outputs(data), self.code_size(), true, how, initializer),
        };
        let codebook = Codebook::new(self.num_codes, self.codebook_size, dim, averaged, initializer);
        let to_map = num_channels.map(|channels| Linear::new(dim, channels, true, how, initializer));
        let num_inputs = map.map_or(self.code_size(), |layout| layout.num_features());
        VqVae {
            encoder,
            to_vectors,
            codebook,
            to_map,
            decoder: Decoder::new(&self.hidden, data, num_inputs, outwards, true, how, initializer),
            likelihood: self.likelihood.init(data, initializer),
            num_codes: self.num_codes,
            embedding_dim: dim,
            commitment: self.commitment.clone(),
            learning: self.codebook,
            restart_below: self.restart_below,
        }
    }

    fn example() -> Self {
        Self {
            hidden: vec![16].into(),
            num_codes: 3,
            // More entries than a small batch has vectors, so that some are unused.
            codebook_size: 64,
            embedding_dim: 2,
            likelihood: LikelihoodConfig::Bernoulli,
            commitment: usual_commitment(),
            codebook: CodebookLearning::default(),
            restart_below: 0.0,
            activation: Activations::default(),
            initialization: Initialization::default(),
        }
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let map = Hidden::Convolutional(ConvHidden { dense_code: false, ..ConvHidden::new([3, 4]) });
        // With an entry for every vector there is nothing left for the gradient: fewer entries than that below.
        let gradient = CodebookLearning::Gradient {};
        let own = vec![
            ("hidden", Self { hidden: vec![].into(), ..example() }),
            ("hidden.convolutional", Self { hidden: map, num_codes: 4, ..example() }),
            ("num_codes", Self { num_codes: 5, ..example() }),
            ("codebook_size", Self { codebook_size: 4, ..example() }),
            ("embedding_dim", Self { embedding_dim: 3, ..example() }),
            ("likelihood", Self { likelihood: LikelihoodConfig::Gaussian { variance: 0.5 }, ..example() }),
            ("likelihood.gaussian_learned_variance", Self { likelihood: LikelihoodConfig::GaussianLearnedVariance {}, ..example() }),
            ("commitment", Self { commitment: 1.0.into(), ..example() }),
            ("codebook.gradient", Self { codebook_size: 24, codebook: gradient, ..example() }),
            ("codebook.ema.decay", Self { codebook: CodebookLearning::Ema { decay: 0.5 }, ..example() }),
            ("restart_below", Self { restart_below: 1.0, ..example() }),
            ("restart_below.gradient", Self { restart_below: 1.0, codebook: gradient, ..example() }),
            ("activation", Self { activation: Activations::All(Activation::Tanh), ..example() }),
            ("initialization", Self { initialization: Initialization::Torch, ..example() }),
        ];
        let kinds = Hidden::examples().into_iter().map(|(key, hidden)| (key, Self { hidden, ..example() }));
        own.into_iter().chain(kinds).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, Progress, Purpose, StreamNoise, stream};
    use burn::module::{ModuleVisitor, Param};
    use burn::tensor::Gradients;

    fn data() -> DataSpec {
        DataSpec::new([1, 8, 8], Domain::UnitInterval)
    }

    fn x(device: &Device) -> Tensor<2> {
        let values: Vec<f32> = (0..5 * 64).map(|index| (index * 7 % 31) as f32 / 31.0).collect();
        Tensor::from_data(TensorData::new(values, [5, 64]), device)
    }

    fn configs() -> Vec<VqVaeConfig> {
        VqVaeConfig::variations().into_iter().map(|(_, config)| config).filter(|config| config.commitment == usual_commitment()).collect()
    }

    struct AllGradients<'a>(&'a Gradients, Vec<Option<Vec<f32>>>);

    impl ModuleVisitor for AllGradients<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push(param.val().grad(self.0).map(|gradient| gradient.into_data().try_to_vec::<f32>().unwrap()));
        }
    }

    #[test]
    fn the_gradient_at_the_entries_is_handed_to_the_vectors() {
        let device = Device::flex().autodiff();
        for config in configs() {
            let model = VqVaeConfig { commitment: 0.0.into(), ..config }.init(&data(), &mut Initializer::new(1, &device));
            let encoder_gradients = |loss: Tensor<1>| {
                let gradients = loss.backward();
                let mut all = AllGradients(&gradients, Vec::new());
                model.encoder.visit(&mut all);
                model.to_vectors.visit(&mut all);
                all.1
            };
            let mut noise = StreamNoise(stream(1, Purpose::Training, 0, 0));
            let progress = Progress { step: 0, epoch: 0.0, num_epochs: 1.0 };
            let ctx = &mut StepContext { progress, learning_rate: 0.0, noise: &mut noise };
            let found = encoder_gradients(model.objective(&Batch::new(x(&device)), ctx).loss());
            // The gradient of nll with respect to what the decoder is given, as a constant direction for the vectors.
            let entries = model.quantize(x(&device)).entries.detach().require_grad();
            let nll = model.likelihood.nll(x(&device), model.output(model.flat(entries.clone())), None);
            let direction = Tensor::from_data(entries.grad(&nll.backward()).unwrap().into_data(), &device);
            let expected = encoder_gradients((model.vectors(x(&device)) * direction).sum());
            for (found, expected) in found.iter().zip(&expected) {
                let (found, expected) = (found.as_ref().unwrap(), expected.as_ref().unwrap());
                let largest = expected.iter().fold(1e-3f32, |largest, slope| largest.max(slope.abs()));
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-5 * largest, "{found} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn each_vector_of_a_map_sees_its_position_and_no_other_layout() {
        let device = Device::flex();
        let hidden = Hidden::Convolutional(ConvHidden { kernel_size: 1, dense_code: false, ..ConvHidden::new([3]) });
        let activation = Activations::All(Activation::Tanh);
        let config = VqVaeConfig { hidden, num_codes: 16, activation, initialization: Initialization::Torch, ..VqVaeConfig::example() };
        let model = config.init(&data(), &mut Initializer::new(1, &device));
        let values = |tensor: Tensor<2>| -> Vec<f32> { tensor.into_data().try_to_vec().unwrap() };
        let plain = values(model.vectors(Tensor::zeros([1, 64], &device)));
        // A kernel of one pixel and stride 2: pixel (4, 6) is all that position (2, 3) sees.
        let mut image = vec![0.0; 64];
        image[4 * 8 + 6] = 1.0;
        let lit = values(model.vectors(Tensor::from_data(TensorData::new(image, [1, 64]), &device)));
        let changed: Vec<usize> = (0..16).filter(|position| plain[position * 2..][..2] != lit[position * 2..][..2]).collect();
        assert_eq!(changed, [2 * 4 + 3]);
    }

    #[test]
    fn perplexity_counts_codes_that_are_chosen_equally_often() {
        let device = Device::flex();
        let chosen = Tensor::from_data([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], &device);
        let [perplexity, used] = usage(&chosen).map(|value| value.into_scalar::<f32>());
        assert!((perplexity - 2.0).abs() < 1e-6 && used == 2.0);
        assert!((usage(&Tensor::eye(5, &device))[0].clone().into_scalar::<f32>() - 5.0).abs() < 1e-5);
    }

    #[test]
    fn codes_are_entries_of_the_codebook_and_quantising_them_again_changes_nothing() {
        let device = Device::flex();
        for config in configs() {
            let model = config.init(&data(), &mut Initializer::new(1, &device));
            let entries = model.quantize(x(&device)).entries;
            let again = model.codebook.look_up(model.codebook.nearest(entries.clone()));
            assert_eq!(again.into_data(), entries.into_data());
        }
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let example = VqVaeConfig::example;
        let path = |config: VqVaeConfig| config.check(&data()).unwrap_err().path;
        assert_eq!(path(VqVaeConfig { codebook_size: 0, ..example() }), "codebook_size");
        assert_eq!(path(VqVaeConfig { codebook: CodebookLearning::Ema { decay: 1.0 }, ..example() }), "codebook.ema.decay");
        assert_eq!(path(VqVaeConfig { restart_below: 1.5, ..example() }), "restart_below");
        assert_eq!(path(VqVaeConfig { commitment: (-1.0).into(), ..example() }), "commitment");
        let hidden = Hidden::Convolutional(ConvHidden { dense_code: false, ..ConvHidden::new([3, 4]) });
        let config = VqVaeConfig { hidden, ..example() };
        assert_eq!(path(config.clone()), "num_codes");
        assert_eq!(VqVaeConfig { num_codes: 4, ..config }.check(&data()), Ok(()));
    }
}
