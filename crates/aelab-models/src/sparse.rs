//! The sparse autoencoder: a code that may be wide, of which little is active at a time.
//!
//! Ng 2011, "Sparse autoencoder", CS294A lecture notes, section 3 (the divergence); Goodfellow, Bengio & Courville 2016, "Deep
//! Learning", section 14.2.1 (the L1 norm). <https://web.stanford.edu/class/cs294a/sparseAutoencoder.pdf>
//!
//! ```text
//! L = 1/B sum_b loss(x_b, d(e(x_b))) + lambda 1/B sum_b |e(x_b)|_1                          l1
//! L = 1/B sum_b loss(x_b, d(e(x_b))) + beta sum_j KL(rho || rho_hat_j)                      kl, nats
//! rho_hat_j = 1/B sum_b e_j(x_b),   or   decay * (its average so far) + (1 - decay) * that  moving
//! ```
//!
//! The average so far is a number that was, not a function of the weights: the gradient of a moving average flows through
//! the current batch alone and is `1 - decay` times that of the batch's own average, so `beta` wants to be larger by as much.

use aelab_core::{Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Objective, Scheduled, StepContext, TermSpec, Unit};
use aelab_losses::{kl_sparsity, l1_norm};
use aelab_nn::{Activation, Hidden};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code_statistics::{FAINT, with_code_statistics};
use crate::network::{autoencoder_network_config, network_methods};
use crate::variational_network::check_not_negative;
use crate::{AutoencoderNetwork, AutoencoderNetworkConfig};

autoencoder_network_config! {
    /// Hyperparameters of [`Sparse`].
    pub struct SparseConfig {
        /// What keeps the code sparse. Required: it is the experiment.
        pub penalty: SparsityPenalty,
    }
}

/// What keeps a code sparse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SparsityPenalty {
    /// The L1 norm of the code of each example.
    L1 {
        /// Weight of the norm; a number or a schedule.
        lambda: Scheduled,
    },
    /// Divergence of each unit's average activation from a small probability; needs a sigmoid code.
    Kl {
        /// The average activation that every unit should have, in (0, 1).
        rho: f64,
        /// Weight of the divergence; a number or a schedule.
        beta: Scheduled,
        /// What activations are averaged over.
        #[serde(default)]
        average: ActivationAverage,
    },
}

/// What the activation of a unit is averaged over.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ActivationAverage {
    /// The examples of the batch.
    #[default]
    Batch,
    /// The batches so far, each counting `decay` times what its successor does; it starts at `rho`.
    Moving {
        /// In [0, 1).
        decay: f64,
    },
}

impl SparsityPenalty {
    fn weight(&self) -> &Scheduled {
        match self {
            SparsityPenalty::L1 { lambda: weight } | SparsityPenalty::Kl { beta: weight, .. } => weight,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        match self {
            SparsityPenalty::L1 { lambda } => check_not_negative("lambda", lambda, "weighs a norm").map_err(|error| error.within("l1")),
            SparsityPenalty::Kl { rho, beta, average } => {
                if !(*rho > 0.0 && *rho < 1.0) {
                    let message = format!("`rho` is an average activation between 0 and 1, such as 0.05, but is {rho}");
                    return Err(ConfigError::new("kl.rho", message));
                }
                match average {
                    ActivationAverage::Moving { decay } if !(0.0..1.0).contains(decay) => {
                        let message =
                            format!("`decay` must be at least 0 and below 1 (0.9 averages over about ten batches), but is {decay}");
                        return Err(ConfigError::new("kl.average.moving.decay", message));
                    }
                    _ => {}
                }
                check_not_negative("beta", beta, "weighs a divergence").map_err(|error| error.within("kl"))
            }
        }
    }
}

/// An autoencoder whose code is kept sparse.
#[derive(Module, Debug)]
pub struct Sparse {
    network: AutoencoderNetwork,
    /// Average activation of each unit over the batches so far, `[1, code]`, where the penalty asks for it.
    average: Option<Param<Tensor<2>>>,
    #[module(skip)]
    penalty: SparsityPenalty,
}

impl Sparse {
    /// `rho_hat`, `[1, code]`: the batch's averages, drawn towards those so far.
    fn average_activation(&self, z: Tensor<2>) -> Tensor<2> {
        let of_batch = aelab_kernels::mean_of_units(z);
        match (&self.average, &self.penalty) {
            (Some(average), SparsityPenalty::Kl { average: ActivationAverage::Moving { decay }, .. }) => {
                average.val() * *decay + of_batch * (1.0 - decay)
            }
            _ => of_batch,
        }
    }
}

impl Autoencoder for Sparse {
    network_methods!();

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let z = self.network.encode(batch.x.clone());
        let output = self.network.output(z.clone());
        let reconstruction = self.network.reconstruction();
        let (name, value) = reconstruction.term(batch.x.clone(), output.clone(), batch.mask.as_ref());
        let rho_hat = self.average_activation(z.clone());
        let sparsity = match &self.penalty {
            SparsityPenalty::L1 { .. } => l1_norm(z.clone()),
            SparsityPenalty::Kl { rho, .. } => kl_sparsity(*rho, rho_hat.clone()),
        };
        let objective = Objective::new().term(name, value, 1.0).term("sparsity", sparsity, self.penalty.weight().at(ctx.progress));
        with_code_statistics(objective, &z, FAINT, &batch.x, &output, reconstruction.activation).carry(rho_hat)
    }

    fn after_step(self, carried: &[Tensor<2>], _ctx: &mut StepContext<'_>) -> Self {
        let average = match (self.average, carried) {
            (Some(average), [rho_hat]) => Some(average.map(|_| rho_hat.clone())),
            (average, _) => average,
        };
        Self { average, ..self }
    }
}

impl ModelConfig for SparseConfig {
    const NAME: &'static str = "sparse";
    const SUMMARY: &'static str = "a code of which little is active at a time, by an L1 norm or a divergence from rho";
    const CITATION: &'static str =
        "Ng 2011, Sparse autoencoder, CS294A lecture notes, section 3, https://web.stanford.edu/class/cs294a/sparseAutoencoder.pdf";
    type Model = Sparse;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        self.penalty.check().map_err(|error| error.within("penalty"))?;
        if matches!(self.penalty, SparsityPenalty::Kl { .. }) {
            if self.code_activation != Activation::Sigmoid {
                let message = format!(
                    "`penalty: kl` compares the average activation with a probability and needs a code in (0, 1), but the code is {}; \
                     take `code_activation: sigmoid`, or `penalty: l1`",
                    self.code_activation.name()
                );
                return Err(ConfigError::new("code_activation", message));
            }
            if matches!(&self.hidden, Hidden::Convolutional(conv) if !conv.dense_code) {
                let message = "`penalty: kl` needs the code's own sigmoid layer; take `dense_code: true`, or `penalty: l1`";
                return Err(ConfigError::new("hidden.convolutional.dense_code", message));
            }
        }
        Ok(())
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        self.network().warnings(data)
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn validates_as_it_trains(&self) -> bool {
        self.network().validates_as_it_trains()
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        let unit = match self.penalty {
            SparsityPenalty::L1 { .. } => Unit::Penalty,
            SparsityPenalty::Kl { .. } => Unit::Nats,
        };
        vec![self.network().reconstruction().term_spec(), TermSpec::new("sparsity", unit, self.penalty.weight().clone())]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Sparse {
        let network = self.network().init(data, initializer);
        let average = match self.penalty {
            SparsityPenalty::Kl { rho, average: ActivationAverage::Moving { .. }, .. } => {
                Some(initializer.buffer([1, self.code_size], rho as f32))
            }
            _ => None,
        };
        Sparse { network, average, penalty: self.penalty.clone() }
    }

    fn example() -> Self {
        Self::with_network(AutoencoderNetworkConfig::example(), SparsityPenalty::L1 { lambda: 0.1.into() })
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let kl = |average| Self {
            penalty: SparsityPenalty::Kl { rho: 0.1, beta: 3.0.into(), average },
            code_activation: Activation::Sigmoid,
            ..Self::example()
        };
        let shared = AutoencoderNetworkConfig::variations();
        let shared = shared.into_iter().map(|(key, network)| (key, Self::with_network(network, Self::example().penalty)));
        let own = [
            ("penalty.l1.lambda", Self { penalty: SparsityPenalty::L1 { lambda: 1.0.into() }, ..Self::example() }),
            ("penalty.kl", kl(ActivationAverage::Batch)),
            ("penalty.kl.average", kl(ActivationAverage::Moving { decay: 0.9 })),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, FixedNoise, Noise, Optimizer, Progress, Purpose, SingleOptimizer, StreamNoise, Trainee, stream};
    use burn::optim::{AdamConfig, ModuleOptimizer};
    use burn::tensor::Device;

    fn data() -> DataSpec {
        DataSpec::new([6], Domain::Real)
    }

    fn kl(average: ActivationAverage) -> SparseConfig {
        SparseConfig {
            hidden: vec![].into(),
            code_size: 10,
            code_activation: Activation::Sigmoid,
            penalty: SparsityPenalty::Kl { rho: 0.1, beta: 3.0.into(), average },
            ..SparseConfig::example()
        }
    }

    fn step(trainee: &mut impl Trainee, batch: &Batch, learning_rate: f64) {
        let noise = &mut FixedNoise::new([]);
        trainee.train_step(batch, &mut StepContext { progress: Progress::end(1.0, 0), learning_rate, noise });
    }

    #[test]
    fn the_divergence_drives_the_average_activation_of_every_unit_to_rho() {
        let device = Device::flex().autodiff();
        let mut noise = StreamNoise(stream(1, Purpose::Evaluation, 0, 0));
        let sources = noise.normal([128, 3], &device);
        let x = sources.matmul(noise.normal([3, 6], &device));
        for average in [ActivationAverage::Batch, ActivationAverage::Moving { decay: 0.5 }] {
            // Heavy enough that the reconstruction has little to say against it.
            let penalty = SparsityPenalty::Kl { rho: 0.1, beta: 100.0.into(), average };
            let model = SparseConfig { penalty, ..kl(average) }.init(&data(), &mut Initializer::new(1, &device));
            let mut trainee = SingleOptimizer::new(model, Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None));
            for index in 0..1500 {
                step(&mut trainee, &Batch::new(x.clone()), if index < 1000 { 0.02 } else { 0.002 });
            }
            let z = trainee.snapshot().encode(x.clone().inner());
            let means: Vec<f32> = z.mean_dim(0).into_data().try_to_vec().unwrap();
            for mean in &means {
                assert!((mean - 0.1).abs() < 0.01, "{average:?}: {means:?}");
            }
        }
    }

    #[test]
    fn a_moving_average_is_the_recursion_and_passes_the_batchs_part_of_the_gradient() {
        let device = Device::flex().autodiff();
        let model = kl(ActivationAverage::Moving { decay: 0.75 }).init(&data(), &mut Initializer::new(1, &device));
        let z = Tensor::<2>::from_data([[0.5, 0.9], [0.1, 0.3]], &device).require_grad();
        let model = Sparse { average: model.average.map(|average| average.map(|_| Tensor::from_data([[0.1, 0.2]], &device))), ..model };
        let rho_hat = model.average_activation(z.clone());
        let gradient = z.grad(&rho_hat.clone().sum().backward()).unwrap();
        let found: Vec<f32> = rho_hat.clone().into_data().try_to_vec().unwrap();
        for (found, expected) in found.iter().zip([0.75 * 0.1 + 0.25 * 0.3, 0.75 * 0.2 + 0.25 * 0.6]) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
        let gradient: Vec<f32> = gradient.into_data().try_to_vec().unwrap();
        assert_eq!(gradient, [0.125; 4]);
        // What was carried is what the next step starts from.
        let noise = &mut FixedNoise::new([]);
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise };
        let after = model.after_step(&[rho_hat.clone().detach()], ctx).average.unwrap();
        assert!(!after.is_require_grad(), "no optimizer may move an average");
        assert_eq!(after.val().into_data(), rho_hat.into_data());
    }

    #[test]
    fn the_objective_is_the_reconstruction_and_the_weighted_penalty_on_the_code() {
        let device = Device::flex();
        let config = SparseConfig { penalty: SparsityPenalty::L1 { lambda: 0.5.into() }, ..kl(ActivationAverage::Batch) };
        let model = config.init(&data(), &mut Initializer::new(1, &device));
        let x = Tensor::<2>::from_data([[0.1, 0.9, 0.4, 0.6, -1.0, 0.2]], &device);
        let z = model.encode(x.clone());
        let expected = (model.decode(z.clone()) - x.clone()).square().sum() + z.abs().sum() * 0.5;
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise: &mut FixedNoise::new([]) };
        let found = model.objective(&Batch::new(x), ctx).loss().into_scalar::<f32>();
        assert!((found - expected.into_scalar::<f32>()).abs() < 1e-5);
    }

    #[test]
    fn a_divergence_needs_a_code_between_0_and_1_and_sensible_numbers() {
        let error = SparseConfig { code_activation: Activation::Relu, ..kl(ActivationAverage::Batch) }.check(&data()).unwrap_err();
        assert_eq!(error.path, "code_activation");
        assert!(error.message.contains("the code is relu") && error.message.contains("code_activation: sigmoid"), "{error}");
        let path = |penalty| SparseConfig { penalty, ..kl(ActivationAverage::Batch) }.check(&data()).unwrap_err().path;
        let with = |rho: f64, beta: f64, average| SparsityPenalty::Kl { rho, beta: beta.into(), average };
        assert_eq!(path(with(0.0, 1.0, ActivationAverage::Batch)), "penalty.kl.rho");
        assert_eq!(path(with(1.0, 1.0, ActivationAverage::Batch)), "penalty.kl.rho");
        assert_eq!(path(with(0.1, -1.0, ActivationAverage::Batch)), "penalty.kl.beta");
        assert_eq!(path(with(0.1, 1.0, ActivationAverage::Moving { decay: 1.0 })), "penalty.kl.average.moving.decay");
        assert_eq!(path(SparsityPenalty::L1 { lambda: (-1.0).into() }), "penalty.l1.lambda");
        assert_eq!(kl(ActivationAverage::Batch).check(&data()), Ok(()));
    }

    #[test]
    fn a_penalty_is_read_in_each_of_its_forms() {
        for json in [
            r#"{"l1":{"lambda":0.5}}"#,
            r#"{"kl":{"rho":0.05,"beta":3.0,"average":"batch"}}"#,
            r#"{"kl":{"rho":0.05,"beta":3.0,"average":{"moving":{"decay":0.9}}}}"#,
        ] {
            let penalty: SparsityPenalty = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&penalty).unwrap(), json);
        }
    }
}
