//! The conditional variational autoencoder: encoder and decoder are told the class of an example.
//!
//! Sohn, Lee & Yan 2015, "Learning Structured Output Representation using Deep Conditional Generative Models", Eq. 4, with a prior
//! that does not depend on the class; Kingma, Rezende, Mohamed & Welling 2014 (M2) with the classes known.
//! <https://papers.nips.cc/paper/5775-learning-structured-output-representation-using-deep-conditional-generative-models>
//!
//! ```text
//! L(x, y) = - E_{q(z|x,y)} [log p(x | z, y)] + beta KL(q(z | x, y) || N(0, I))      nats per example
//! ```
//!
//! What the class says of an example the code need not say again: the code keeps the style, and a sample is drawn for a class of
//! one's choice. The class joins the data as a one-hot vector; for convolutions as one constant channel per class. It joins the
//! code as a one-hot vector.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, DiagonalGaussian, Domain, Initializer, ModelConfig, Noise, Objective, Schedule, Scheduled,
    StepContext, TermSpec, Unit,
};
use aelab_losses::{kl_to_standard_normal, standard_normal_log_density};
use aelab_nn::{Decoder, Encoder, GaussianHead, Hidden};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

use crate::variational_network::{check_not_negative, log_importance_weights, one, variational_config_methods, variational_network_config};
use crate::{Likelihood, LikelihoodConfig, VariationalNetworkConfig};

variational_network_config! {
    /// Hyperparameters of [`ConditionalVae`].
    pub struct ConditionalVaeConfig {
        /// Weight of the KL term; a number or a schedule.
        #[serde(default = "one")]
        pub beta: Scheduled,
    }
}

/// A variational autoencoder that knows classes.
#[derive(Module, Debug)]
pub struct ConditionalVae {
    encoder: Encoder,
    posterior: GaussianHead,
    decoder: Decoder,
    likelihood: Likelihood,
    #[module(skip)]
    latent_dim: usize,
    #[module(skip)]
    num_classes: usize,
    /// How often the encoder is shown the class: once, or at each pixel.
    #[module(skip)]
    num_positions: usize,
    #[module(skip)]
    beta: Scheduled,
    /// Of the rows at hand, `[batch, class]`, once the model is conditioned.
    #[module(skip)]
    classes: Option<Tensor<2>>,
}

impl ConditionalVae {
    /// One-hot vectors, `[batch, class]`, of the type of `like`.
    fn one_hot(&self, labels: &Tensor<1, Int>, like: &Tensor<2>) -> Tensor<2> {
        let (num, device) = (labels.dims()[0], like.device());
        let classes = Tensor::<1, Int>::arange(0..self.num_classes as i64, &device).unsqueeze_dim::<2>(0);
        let at = labels.clone().unsqueeze_dim::<2>(1).repeat_dim(1, self.num_classes).equal(classes.repeat_dim(0, num));
        Tensor::<2>::zeros([num, self.num_classes], (&device, like.dtype())).mask_fill(at, 1.0)
    }

    /// The classes of the rows of `like`, `[batch, class]`: those that the model was conditioned on, or each class in equal parts.
    fn classes(&self, like: &Tensor<2>) -> Tensor<2> {
        self.classes.clone().unwrap_or_else(|| {
            let share = 1.0 / self.num_classes as f64;
            Tensor::<2>::zeros([like.dims()[0], self.num_classes], (&like.device(), like.dtype())) + share
        })
    }

    /// What the encoder reads: features, then each class at every position.
    fn posterior_of(&self, x: Tensor<2>, classes: Tensor<2>) -> DiagonalGaussian {
        let [batch_size, num_classes] = classes.dims();
        let spread: Tensor<2> =
            classes.unsqueeze_dim::<3>(2).repeat_dim(2, self.num_positions).reshape([batch_size, num_classes * self.num_positions]);
        self.posterior.forward(self.encoder.forward(Tensor::cat(vec![x, spread], 1)))
    }

    fn output(&self, z: Tensor<2>, classes: Tensor<2>) -> Tensor<2> {
        self.decoder.forward(Tensor::cat(vec![z, classes], 1))
    }

    fn classes_of(&self, batch: &Batch) -> Tensor<2> {
        batch.labels.as_ref().map_or_else(|| self.classes(&batch.x), |labels| self.one_hot(labels, &batch.x))
    }
}

impl Autoencoder for ConditionalVae {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        let classes = self.classes(&x);
        self.posterior_of(x, classes).mean
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        let classes = self.classes(&z);
        self.likelihood.mean(self.output(z, classes))
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        let classes = self.classes(&z);
        self.likelihood.logits(self.output(z, classes))
    }

    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        Some(noise.normal([num, self.latent_dim], device))
    }

    fn log_importance_weights(&self, batch: &Batch, num_samples: usize, noise: &mut dyn Noise) -> Option<Tensor<2>> {
        let classes = self.classes_of(batch);
        let posterior = self.posterior_of(batch.x.clone(), classes.clone());
        Some(log_importance_weights(&posterior, num_samples, noise, |z, _| {
            let mask = batch.mask.as_ref().map(|mask| mask.clone().repeat_dim(0, num_samples));
            let output = self.output(z.clone(), classes.repeat_dim(0, num_samples));
            let nll = self.likelihood.nll_of_each(batch.x.clone().repeat_dim(0, num_samples), output, mask.as_ref());
            standard_normal_log_density(z) - nll
        }))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let classes = self.classes_of(batch);
        let posterior = self.posterior_of(batch.x.clone(), classes.clone());
        let output = self.output(posterior.sample(ctx.noise), classes);
        let nll = self.likelihood.nll(batch.x.clone(), output, batch.mask.as_ref());
        Objective::new().term("nll", nll, 1.0).term("kl", kl_to_standard_normal(&posterior), self.beta.at(ctx.progress))
    }

    fn conditioned(&self, batch: &Batch) -> Option<Self> {
        let classes = self.one_hot(batch.labels.as_ref()?, &batch.x);
        Some(Self { classes: Some(classes), ..self.clone() })
    }
}

impl ConditionalVaeConfig {
    /// What the encoder reads: the data, with a feature or a channel more for each class.
    fn joint(&self, data: &DataSpec, num_classes: usize) -> DataSpec {
        match (&self.hidden, &data.event_shape[..]) {
            (Hidden::Convolutional(_), &[channels, height, width]) => DataSpec::new([channels + num_classes, height, width], data.domain),
            _ => DataSpec::new([data.num_features() + num_classes], data.domain),
        }
    }
}

impl ModelConfig for ConditionalVaeConfig {
    const NAME: &'static str = "conditional_vae";
    const SUMMARY: &'static str = "a variational autoencoder that is told the classes of examples and draws samples of a given class";
    const CITATION: &'static str = "Sohn, Lee & Yan 2015, Learning Structured Output Representation using Deep Conditional Generative \
                                    Models, Eq. 4, \
                                    https://papers.nips.cc/paper/5775-learning-structured-output-representation-using-deep-conditional-generative-models";
    type Model = ConditionalVae;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        if data.num_classes.is_none_or(|num_classes| num_classes == 0) {
            let message =
                "a conditional model needs the classes of its examples, but this data has no labels; take data with labels, or `vae`";
            return Err(ConfigError::new("", message));
        }
        if let Hidden::Convolutional(conv) = &self.hidden
            && !conv.dense_code
        {
            let message = "the class joins the code, so the smallest map cannot be the code itself; take `dense_code: true`";
            return Err(ConfigError::new("hidden.convolutional.dense_code", message));
        }
        self.network().check(data)?;
        check_not_negative("beta", &self.beta, "weighs a divergence")
    }

    variational_config_methods!();

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![self.likelihood.term_spec(), TermSpec::new("kl", Unit::Nats, self.beta.clone())]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> ConditionalVae {
        let num_classes = data.num_classes.expect("the configuration was checked");
        let joint = self.joint(data, num_classes);
        let num_layers = self.hidden.num_layers();
        let (inwards, outwards) = self.activation.resolve(num_layers, num_layers).expect("the configuration was checked");
        let how = self.initialization;
        ConditionalVae {
            encoder: Encoder::new(&self.hidden, &joint, inwards, None, true, how, initializer),
            posterior: GaussianHead::new(self.hidden.num_outputs(&joint), self.latent_dim, how, initializer),
            decoder: Decoder::new(&self.hidden, data, self.latent_dim + num_classes, outwards, true, how, initializer),
            likelihood: self.likelihood.init(data, initializer),
            latent_dim: self.latent_dim,
            num_classes,
            num_positions: (joint.num_features() - data.num_features()) / num_classes,
            beta: self.beta.clone(),
            classes: None,
        }
    }

    fn example() -> Self {
        Self::with_network(VariationalNetworkConfig::example(), one())
    }

    fn example_data() -> DataSpec {
        DataSpec { num_classes: Some(3), ..DataSpec::new([1, 8, 8], Domain::UnitInterval) }
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let warm_up = Schedule::Linear { from: 0.5, to: 1.0, epochs: Some(2.0) };
        let shared = VariationalNetworkConfig::variations().into_iter().map(|(key, network)| (key, Self::with_network(network, one())));
        let own = vec![
            ("likelihood.gaussian_learned_variance", Self { likelihood: LikelihoodConfig::GaussianLearnedVariance {}, ..example() }),
            ("beta", Self { beta: 4.0.into(), ..example() }),
            ("beta.linear", Self { beta: warm_up.into(), ..example() }),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Initialization, Progress, Purpose, StreamNoise, stream};
    use aelab_nn::ConvHidden;

    fn data() -> DataSpec {
        DataSpec { num_classes: Some(3), ..DataSpec::new([1, 4, 4], Domain::UnitInterval) }
    }

    fn configs() -> [ConditionalVaeConfig; 2] {
        let conv = Hidden::Convolutional(ConvHidden::new([2]));
        [vec![6].into(), conv].map(|hidden| ConditionalVaeConfig {
            hidden,
            initialization: Initialization::Torch,
            ..ConditionalVaeConfig::example()
        })
    }

    fn labelled(labels: [i64; 2], device: &Device) -> Batch {
        let x = Tensor::<1>::from_data([0.3; 32], device).reshape([2, 16]);
        Batch { labels: Some(Tensor::from_data(labels, device)), ..Batch::new(x) }
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn the_class_changes_codes_and_reconstructions_row_by_row() {
        let device = Device::flex();
        for config in configs() {
            let model = config.init(&data(), &mut Initializer::new(1, &device));
            let of = |labels| {
                let batch = labelled(labels, &device);
                let model = model.conditioned(&batch).unwrap();
                (values(model.encode(batch.x)), values(model.decode(Tensor::zeros([2, 3], &device))))
            };
            let ((codes, images), (other_codes, other_images)) = (of([0, 2]), of([1, 2]));
            assert_ne!(codes[..3], other_codes[..3]);
            assert_ne!(images[..16], other_images[..16]);
            assert_eq!(codes[3..], other_codes[3..]);
            assert_eq!(images[16..], other_images[16..]);
        }
    }

    #[test]
    fn classes_are_one_hot_and_shown_at_every_position() {
        let device = Device::flex();
        let [dense, conv] = configs().map(|config| config.init(&data(), &mut Initializer::new(1, &device)));
        let batch = labelled([2, 0], &device);
        assert_eq!(values(dense.conditioned(&batch).unwrap().classes.unwrap()), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!((dense.num_positions, conv.num_positions), (1, 16));
    }

    #[test]
    fn the_objective_is_that_of_the_model_conditioned_on_the_labels_of_the_batch() {
        let device = Device::flex();
        for config in configs() {
            let model = config.init(&data(), &mut Initializer::new(1, &device));
            let batch = labelled([1, 2], &device);
            let noise = || StreamNoise(stream(1, Purpose::Training, 0, 0));
            let progress = Progress { step: 0, epoch: 0.0, num_epochs: 1.0 };
            let mut noise_of_step = noise();
            let ctx = &mut StepContext { progress, learning_rate: 0.0, noise: &mut noise_of_step };
            let terms = model.objective(&batch, ctx).values();
            let conditioned = model.conditioned(&batch).unwrap();
            let posterior = conditioned.posterior_of(batch.x.clone(), conditioned.classes(&batch.x));
            let z = posterior.sample(&mut noise());
            let nll = conditioned.likelihood.nll(batch.x, conditioned.decode_logits(z).unwrap(), None).into_scalar::<f32>();
            assert!((terms.terms[0].value - f64::from(nll)).abs() < 1e-5);
            assert!((terms.terms[1].value - f64::from(kl_to_standard_normal(&posterior).into_scalar::<f32>())).abs() < 1e-6);
        }
    }

    #[test]
    fn data_without_labels_is_refused_and_so_is_a_map_for_a_code() {
        let error = ConditionalVaeConfig::example().check(&DataSpec::new([1, 8, 8], Domain::UnitInterval)).unwrap_err();
        assert!(error.path.is_empty() && error.message.contains("no labels"), "{error}");
        let hidden = Hidden::Convolutional(ConvHidden { dense_code: false, ..ConvHidden::new([2]) });
        let error = ConditionalVaeConfig { hidden, ..ConditionalVaeConfig::example() }.check(&data()).unwrap_err();
        assert_eq!(error.path, "hidden.convolutional.dense_code");
    }
}
