//! The k-sparse autoencoder: of a linear code only the largest units are kept.
//!
//! Makhzani & Frey 2014, "k-Sparse Autoencoders", section 2. <https://arxiv.org/abs/1312.5663>
//!
//! ```text
//! z = the k largest of W^T x + b, the others 0;    reconstruction = W z + b'
//! L = 1/B sum_b loss(x_b, d(z_b))
//! ```
//!
//! The gradient flows through the units that were kept. `k` may come down during training, from many units to few: with
//! few from the start, units that are never among the largest never learn (section 4.1 of the paper). After training
//! `alpha k` units are kept, `alpha` a bit above 1 in the paper.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Objective, Progress, Scheduled, StepContext, TermSpec,
};
use aelab_nn::keep_largest;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::code_statistics::with_code_statistics;
use crate::network::autoencoder_network_config;
use crate::{AutoencoderNetwork, AutoencoderNetworkConfig};

autoencoder_network_config! {
    /// Hyperparameters of [`KSparse`].
    pub struct KSparseConfig {
        /// Units of the code that are kept in training, rounded; a number or a schedule.
        pub k: Scheduled,
        /// Outside training `alpha` times as many units are kept, rounded.
        #[serde(default = "one")]
        pub alpha: f64,
    }
}

fn one() -> f64 {
    1.0
}

/// An autoencoder whose code has `k` units that are not 0.
#[derive(Module, Debug)]
pub struct KSparse {
    network: AutoencoderNetwork,
    /// Units that [`encode`](Autoencoder::encode) keeps, `[1]`: `alpha` times those of the last training step.
    num_kept: Param<Tensor<1>>,
    #[module(skip)]
    k: Scheduled,
    #[module(skip)]
    alpha: f64,
}

impl KSparse {
    fn k(&self, progress: Progress) -> f64 {
        self.k.at(progress)
    }
}

/// At least one unit is kept.
fn rounded(k: f64) -> usize {
    k.round().max(1.0) as usize
}

impl Autoencoder for KSparse {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        let num_kept = f64::from(self.num_kept.val().into_scalar::<f32>());
        keep_largest(self.network.encode(x), rounded(num_kept))
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.network.decode(z)
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.network.decode_logits(z)
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let (z, output) = self.network.through_largest(batch.x.clone(), rounded(self.k(ctx.progress)));
        let reconstruction = self.network.reconstruction();
        let (name, value) = reconstruction.term(batch.x.clone(), output.clone(), batch.mask.as_ref());
        with_code_statistics(Objective::new().term(name, value, 1.0), &z, 0.0, &batch.x, &output, reconstruction.activation)
    }

    fn after_step(self, _carried: &[Tensor<2>], ctx: &mut StepContext<'_>) -> Self {
        let num_kept = rounded(self.alpha * self.k(ctx.progress)) as f64;
        Self { num_kept: self.num_kept.map(|kept| kept.zeros_like().add_scalar(num_kept)), ..self }
    }
}

impl ModelConfig for KSparseConfig {
    const NAME: &'static str = "k_sparse";
    const SUMMARY: &'static str = "of a linear code only the k largest units are kept";
    const CITATION: &'static str = "Makhzani & Frey 2014, k-Sparse Autoencoders, section 2, https://arxiv.org/abs/1312.5663";
    type Model = KSparse;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        self.k.check().map_err(|error| error.within("k"))?;
        if let Some(k) = self.k.first_outside(1.0, self.code_size as f64) {
            let message = format!("`k` is how many of the {} units of the code are kept, from 1 to all, but is {k}", self.code_size);
            return Err(ConfigError::new("k", message));
        }
        if self.alpha > 0.0 && self.alpha.is_finite() {
            Ok(())
        } else {
            let message =
                format!("`alpha` says how many times `k` units are kept outside training and must be positive, but is {}", self.alpha);
            Err(ConfigError::new("alpha", message))
        }
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
        vec![self.network().reconstruction().term_spec()]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> KSparse {
        let network = self.network().init(data, initializer);
        let start = self.k.at(Progress { step: 0, epoch: 0.0, num_epochs: 1.0 });
        let num_kept = initializer.buffer([1], rounded(self.alpha * start) as f32);
        KSparse { network, num_kept, k: self.k.clone(), alpha: self.alpha }
    }

    fn example() -> Self {
        let network = AutoencoderNetworkConfig { code_size: 6, ..AutoencoderNetworkConfig::example() };
        Self::with_network(network, 4.0.into(), 1.0)
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let shared = AutoencoderNetworkConfig::variations().into_iter().map(|(key, network)| {
            let code_size = if key == "code_size" { 5 } else { example().code_size };
            (key, Self::with_network(AutoencoderNetworkConfig { code_size, ..network }, example().k, 1.0))
        });
        let fewer = aelab_core::Schedule::Linear { from: 6.0, to: 2.0, epochs: Some(2.0) };
        let own = [("k", Self { k: 2.0.into(), ..example() }), ("k.linear", Self { k: fewer.into(), ..example() })];
        shared.chain(own).chain([("alpha", Self { alpha: 1.5, ..example() })]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, FixedNoise, Noise, Purpose, Schedule, StreamNoise, stream};
    use burn::tensor::Device;

    fn data() -> DataSpec {
        DataSpec::new([5], Domain::Real)
    }

    fn config() -> KSparseConfig {
        KSparseConfig { hidden: vec![].into(), code_size: 8, k: 3.0.into(), ..KSparseConfig::example() }
    }

    fn num_active(z: Tensor<2>) -> Vec<usize> {
        let width = z.dims()[1];
        let values: Vec<f32> = z.into_data().try_to_vec().unwrap();
        values.chunks(width).map(|row| row.iter().filter(|value| **value != 0.0).count()).collect()
    }

    fn at<T>(epoch: f64, run: impl FnOnce(&mut StepContext<'_>) -> T) -> T {
        let progress = Progress { step: 0, epoch, num_epochs: 10.0 };
        run(&mut StepContext { progress, learning_rate: 0.0, noise: &mut FixedNoise::new([]) })
    }

    #[test]
    fn a_code_keeps_exactly_k_units_and_they_are_the_largest() {
        let device = Device::flex();
        let model = config().init(&data(), &mut Initializer::new(1, &device));
        let x = StreamNoise(stream(1, Purpose::Evaluation, 0, 0)).normal([20, 5], &device);
        let z = model.encode(x.clone());
        assert_eq!(num_active(z.clone()), [3; 20]);
        let whole: Vec<f32> = model.network.encode(x).into_data().try_to_vec().unwrap();
        let z: Vec<f32> = z.into_data().try_to_vec().unwrap();
        for (whole, z) in whole.chunks(8).zip(z.chunks(8)) {
            let least_kept = z.iter().filter(|value| **value != 0.0).fold(f32::INFINITY, |least, value| least.min(*value));
            let most_dropped = whole.iter().zip(z).filter(|(_, z)| **z == 0.0).fold(f32::NEG_INFINITY, |most, (whole, _)| most.max(*whole));
            assert!(least_kept > most_dropped, "{least_kept} was kept and {most_dropped} was not");
        }
    }

    #[test]
    fn the_objective_is_that_of_the_sparse_code() {
        let device = Device::flex();
        let model = config().init(&data(), &mut Initializer::new(1, &device));
        let x = StreamNoise(stream(1, Purpose::Evaluation, 0, 0)).normal([20, 5], &device);
        let expected = (model.reconstruct(x.clone()) - x.clone()).square().sum_dim(1).mean().into_scalar::<f32>();
        let values = at(0.0, |ctx| model.objective(&Batch::new(x), ctx)).values();
        assert!((values.loss - f64::from(expected)).abs() < 1e-5 * values.loss);
        assert_eq!(values.diagnostics[0], ("l0", 3.0));
    }

    #[test]
    fn k_comes_down_by_its_schedule_and_what_is_kept_outside_training_by_alpha_times_that() {
        let device = Device::flex();
        let k = Schedule::Linear { from: 8.0, to: 2.0, epochs: None };
        let model = KSparseConfig { k: k.into(), alpha: 1.5, ..config() }.init(&data(), &mut Initializer::new(1, &device));
        let x = StreamNoise(stream(1, Purpose::Evaluation, 0, 0)).normal([2, 5], &device);
        assert_eq!(num_active(model.encode(x.clone())), [8; 2], "never more than there are");
        for (epoch, in_training, outside) in [(5.0, 5.0, 8), (10.0, 2.0, 3)] {
            let values = at(epoch, |ctx| model.objective(&Batch::new(x.clone()), ctx)).values();
            assert_eq!(values.diagnostics[0], ("l0", in_training));
            let model = at(epoch, |ctx| model.clone().after_step(&[], ctx));
            assert_eq!(num_active(model.encode(x.clone())), [outside; 2]);
        }
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let path = |config: KSparseConfig| config.check(&data()).unwrap_err().path;
        assert_eq!(path(KSparseConfig { k: 0.0.into(), ..config() }), "k");
        assert_eq!(path(KSparseConfig { k: 9.0.into(), ..config() }), "k");
        let k = Schedule::Linear { from: 8.0, to: 0.0, epochs: None };
        assert_eq!(path(KSparseConfig { k: k.into(), ..config() }), "k");
        assert_eq!(path(KSparseConfig { alpha: 0.0, ..config() }), "alpha");
        assert_eq!(config().check(&data()), Ok(()));
    }
}
