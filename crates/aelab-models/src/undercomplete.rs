//! The undercomplete autoencoder: data squeezed through a code that is smaller than it.
//!
//! Rumelhart, Hinton & Williams 1986, "Learning Internal Representations by Error Propagation"; deep:
//! Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks", Science 313.
//! <https://doi.org/10.1126/science.1127647>
//!
//! ```text
//! L(x) = || x - d(e(x)) ||^2                        squared units per example, or
//! L(x) = - sum_i log Bernoulli(x_i; d(e(x))_i)      nats per example
//! ```
//!
//! With linear layers and a squared error its optimum spans the principal subspace of the data
//! (Bourlard & Kamp 1988; Baldi & Hornik 1989).

use aelab_core::{Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Objective, StepContext, TermSpec};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::network::{autoencoder_network_config, network_methods, overcomplete_warning};
use crate::{AutoencoderNetwork, AutoencoderNetworkConfig};

autoencoder_network_config! {
    /// Hyperparameters of [`Undercomplete`].
    pub struct UndercompleteConfig {}
}

/// A dense autoencoder that reconstructs what it is shown.
#[derive(Module, Debug)]
pub struct Undercomplete {
    network: AutoencoderNetwork,
}

impl Autoencoder for Undercomplete {
    network_methods!();

    fn objective(&self, batch: &Batch, _ctx: &mut StepContext<'_>) -> Objective {
        let (name, value) = self.network.reconstruction_term(batch.x.clone(), batch.x.clone(), batch.mask.as_ref());
        Objective::new().term(name, value, 1.0)
    }
}

impl ModelConfig for UndercompleteConfig {
    const NAME: &'static str = "undercomplete";
    const SUMMARY: &'static str = "dense layers through a code smaller than the data; linear ones find the principal subspace";
    const CITATION: &'static str = "Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks, \
                                    https://doi.org/10.1126/science.1127647";
    type Model = Undercomplete;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        self.network().warnings(data).into_iter().chain(overcomplete_warning(self.code_size, data)).collect()
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

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Undercomplete {
        Undercomplete { network: self.network().init(data, initializer) }
    }

    fn example() -> Self {
        Self::with_network(AutoencoderNetworkConfig::example())
    }

    fn variations() -> Vec<(&'static str, Self)> {
        AutoencoderNetworkConfig::variations().into_iter().map(|(key, network)| (key, Self::with_network(network))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, FixedNoise, Optimizer, Progress, SingleOptimizer, Trainee};
    use burn::optim::{AdamConfig, ModuleOptimizer};
    use burn::tensor::Device;

    #[test]
    fn only_the_architecture_is_required_and_latent_dim_is_another_name_for_code_size() {
        let brief: UndercompleteConfig = serde_json::from_str(r#"{"hidden": [16], "latent_dim": 4}"#).unwrap();
        assert_eq!(brief, UndercompleteConfig::example());
        for missing in [r#"{"hidden": []}"#, r#"{"code_size": 3}"#] {
            let error = serde_json::from_str::<UndercompleteConfig>(missing).unwrap_err().to_string();
            assert!(error.contains("missing field"), "{error}");
        }
    }

    #[test]
    fn an_overcomplete_code_is_warned_of() {
        let data = DataSpec::new([4], Domain::Real);
        assert_eq!(UndercompleteConfig::example().warnings(&data).len(), 1);
        assert!(UndercompleteConfig { code_size: 3, ..UndercompleteConfig::example() }.warnings(&data).is_empty());
    }

    /// Points at distance `s_i` on both sides of the origin along orthonormal directions `u_i`: the covariance has the
    /// eigenvalues `2 s_i^2 / 8`, and with a code of two the best there is loses the two smallest.
    #[test]
    fn a_linear_autoencoder_ends_where_pca_is() {
        let directions = [[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [1.0, -1.0, -1.0, 1.0f32]];
        let distances = [2.0, 1.5, 0.5, 0.3f32];
        let point = |index: usize, side: f32| directions[index].map(|value| side * distances[index] * value / 2.0);
        let points: Vec<f32> = (0..4).flat_map(|index| [point(index, 1.0), point(index, -1.0)]).flatten().collect();
        let least = 2.0 * (0.5f64.powi(2) + 0.3f64.powi(2)) / 8.0;

        let device = Device::flex().autodiff();
        let config = UndercompleteConfig { hidden: vec![].into(), code_size: 2, ..UndercompleteConfig::example() };
        let model = config.init(&DataSpec::new([4], Domain::Real), &mut Initializer::new(1, &device));
        let mut trainee = SingleOptimizer::new(model, Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None));
        let batch = Batch::new(Tensor::<1>::from_data(&points[..], &device).reshape([8, 4]));
        let mut loss = f64::INFINITY;
        for step in 0..600 {
            let noise = &mut FixedNoise::new([]);
            let learning_rate = if step < 400 { 0.03 } else { 0.003 };
            loss = trainee.train_step(&batch, &mut StepContext { progress: Progress::end(1.0, step), learning_rate, noise }).loss;
        }
        assert!(loss >= least - 1e-6, "{loss} is below the optimum {least}");
        assert!(loss < least * 1.001, "{loss} is above the optimum {least}");
    }

    /// The encoder problem (Ackley, Hinton & Sejnowski 1985; Rumelhart, Hinton & Williams 1986): eight patterns with one of eight
    /// units on, through three logistic units, which have to find a binary code.
    #[test]
    fn the_8_3_8_problem_is_solved() {
        use crate::{OutputActivation, ReconstructionLoss};
        use aelab_nn::Activation;

        let device = Device::flex().autodiff();
        let config = UndercompleteConfig {
            hidden: vec![].into(),
            code_size: 3,
            code_activation: Activation::Sigmoid,
            output_activation: OutputActivation::Sigmoid,
            loss: ReconstructionLoss::BinaryCrossEntropy,
            ..UndercompleteConfig::example()
        };
        let data = DataSpec::new([8], Domain::Binary);
        config.check(&data).unwrap();
        for seed in 1..=3 {
            let model = config.init(&data, &mut Initializer::new(seed, &device));
            let mut trainee = SingleOptimizer::new(model, Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None));
            let x = Tensor::<2>::eye(8, &device);
            let batch = Batch::new(x.clone());
            for step in 0..3000 {
                let ctx = &mut StepContext { progress: Progress::end(1.0, step), learning_rate: 0.02, noise: &mut FixedNoise::new([]) };
                trainee.train_step(&batch, ctx);
            }
            let model = trainee.snapshot();
            let furthest = (model.reconstruct(x.clone().inner()) - x.clone().inner()).abs().max().into_scalar::<f32>();
            assert!(furthest < 0.1, "seed {seed}: a unit is off by {furthest}");
        }
    }
}
