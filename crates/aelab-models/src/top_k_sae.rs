//! The TopK sparse autoencoder: data as a sum of few out of many directions.
//!
//! Gao, Dupre la Tour, Tillman, Goh, Troll, Radford, Sutskever, Leike & Wu 2024, "Scaling and evaluating sparse
//! autoencoders", section 2.3 and appendix A. <https://arxiv.org/abs/2406.04093>
//!
//! ```text
//! z = ReLU(the k largest of (x - b) W),    reconstruction = z A + b,    |A_j| = 1
//! L = 1/B sum_b |x_b - r_b|^2 + weight 1/B sum_b |e_b - z'_b A|^2
//! e = x - r, held fixed;   z' = ReLU(the k' largest of (x - b) W among dead latents)
//! ```
//!
//! `W` starts as the transpose of `A`. A latent is dead that was active for none of the last `dead_after` examples; the
//! second term, AuxK, gives dead latents what the others leave over to explain. It is 0 while none is dead.
//! The gradient of an atom has no part along the atom; see `dictionary.rs`.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Examples, Initializer, ModelConfig, Objective, Scheduled, StepContext, Stream, TermSpec,
    Unit,
};
use aelab_losses::squared_error;
use aelab_nn::keep_largest;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OutputActivation;
use crate::code_statistics::with_code_statistics;
use crate::dictionary::{Dictionary, InitialBias};
use crate::network::check_code_size;
use crate::variational_network::check_not_negative;

/// Hyperparameters of [`TopKSae`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = crate::schema::accept_latent_dim)]
pub struct TopKSaeConfig {
    /// Latents, and as many atoms.
    #[serde(alias = "latent_dim")]
    pub code_size: usize,
    /// Latents that may be active at an example.
    pub k: usize,
    /// What revives dead latents; nothing where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auxiliary: Option<AuxiliaryLoss>,
    /// Where the bias of the decoder, which the encoder subtracts, starts.
    #[serde(default)]
    pub initial_bias: InitialBias,
}

/// AuxK: dead latents reconstruct what the others leave over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuxiliaryLoss {
    /// Dead latents that may be active in it; in the paper about half the number of features.
    pub k: usize,
    /// Weight of the term, 1/32 in the paper; a number or a schedule.
    pub weight: Scheduled,
    /// Examples without activity after which a latent is dead.
    pub dead_after: usize,
}

/// A sparse autoencoder with `k` active latents.
#[derive(Module, Debug)]
pub struct TopKSae {
    /// `[feature, code]`.
    encoder: Param<Tensor<2>>,
    dictionary: Dictionary,
    /// Examples since each latent was active, `[1, code]`.
    silence: Param<Tensor<2>>,
    #[module(skip)]
    k: usize,
    #[module(skip)]
    auxiliary: Option<AuxiliaryLoss>,
    #[module(skip)]
    initial_bias: InitialBias,
}

impl TopKSae {
    /// `[batch, feature]` to `[batch, code]`, before anything is dropped.
    fn before_top_k(&self, x: Tensor<2>) -> Tensor<2> {
        (x - self.dictionary.bias()).matmul(self.encoder.val())
    }
}

fn active(before: Tensor<2>, k: usize) -> Tensor<2> {
    activation::relu(keep_largest(before, k))
}

impl Autoencoder for TopKSae {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        active(self.before_top_k(x), self.k)
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.dictionary.decode(z)
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let x = batch.x.clone();
        let before = self.before_top_k(x.clone());
        let z = active(before.clone(), self.k);
        let reconstruction = self.decode(z.clone());
        let error = squared_error(x.clone(), reconstruction.clone(), batch.mask.as_ref());
        let mut objective = Objective::new().term("squared_error", error, 1.0);
        if let Some(AuxiliaryLoss { k, weight, dead_after }) = &self.auxiliary {
            let dead = self.silence.val().greater_equal_elem(*dead_after as f64);
            let dead_fraction = dead.clone().float().mean();
            let none_is_dead = dead.clone().any().bool_not();
            // Of latents that are alive a 0 is left, which the ReLU does not let pass and no active latent loses to.
            let of_dead = before.clone().mask_fill(dead.bool_not().expand(before.dims()), 0.0);
            let left_over = (x.clone() - reconstruction.clone()).detach();
            let explained = active(of_dead, *k).matmul(self.dictionary.atoms());
            let auxiliary = squared_error(left_over, explained, batch.mask.as_ref()).mask_fill(none_is_dead, 0.0);
            objective = objective.term("auxiliary", auxiliary, weight.at(ctx.progress)).diagnostic("dead_latents", dead_fraction);
        }
        with_code_statistics(objective, &z, 0.0, &x, &reconstruction, OutputActivation::Linear).carry(z.greater_elem(0.0).float())
    }

    fn before_training(self, train: &dyn Examples, stream: &mut Stream) -> Self {
        Self { dictionary: self.dictionary.started_from(self.initial_bias, train, stream), ..self }
    }

    fn after_step(self, carried: &[Tensor<2>], _ctx: &mut StepContext<'_>) -> Self {
        let silence = match carried {
            [active] => {
                let num_examples = active.dims()[0] as f64;
                let stayed_silent = active.clone().max_dim(0) * -1.0 + 1.0;
                self.silence.map(|silence| (silence + num_examples) * stayed_silent)
            }
            _ => self.silence,
        };
        Self { silence, dictionary: self.dictionary.renormalized(), ..self }
    }
}

impl ModelConfig for TopKSaeConfig {
    const NAME: &'static str = "top_k_sae";
    const SUMMARY: &'static str = "data as a sum of k out of many directions, the k largest, with dead latents revived";
    const CITATION: &'static str =
        "Gao et al. 2024, Scaling and evaluating sparse autoencoders, section 2.3, https://arxiv.org/abs/2406.04093";
    type Model = TopKSae;

    fn check(&self, _data: &DataSpec) -> Result<(), ConfigError> {
        check_code_size("code_size", self.code_size)?;
        if !(1..=self.code_size).contains(&self.k) {
            let message = format!("`k` is how many of the {} latents may be active, from 1 to all, but is {}", self.code_size, self.k);
            return Err(ConfigError::new("k", message));
        }
        let Some(auxiliary) = &self.auxiliary else { return Ok(()) };
        if auxiliary.k == 0 {
            return Err(ConfigError::new("auxiliary.k", "at least one dead latent must be allowed to act; leave out `auxiliary` for none"));
        }
        if auxiliary.dead_after == 0 {
            let message = "0 examples without activity would make every latent dead; take as many as a rare feature may need to turn up";
            return Err(ConfigError::new("auxiliary.dead_after", message));
        }
        check_not_negative("weight", &auxiliary.weight, "weighs a squared error").map_err(|error| error.within("auxiliary"))
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        let error = TermSpec::new("squared_error", Unit::SquaredUnits, 1.0).squared_error_factor(1.0);
        let auxiliary = self.auxiliary.as_ref().map(|aux| TermSpec::new("auxiliary", Unit::SquaredUnits, aux.weight.clone()));
        [error].into_iter().chain(auxiliary).collect()
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> TopKSae {
        let dictionary = Dictionary::new(self.code_size, data.num_features(), initializer);
        TopKSae {
            encoder: dictionary.transposed(initializer),
            dictionary,
            silence: initializer.buffer([1, self.code_size], 0.0),
            k: self.k,
            auxiliary: self.auxiliary.clone(),
            initial_bias: self.initial_bias,
        }
    }

    fn example() -> Self {
        let auxiliary = AuxiliaryLoss { k: 8, weight: (1.0 / 32.0).into(), dead_after: 16 };
        Self { code_size: 96, k: 4, auxiliary: Some(auxiliary), initial_bias: InitialBias::GeometricMedian }
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        let auxiliary = |k, weight: f64, dead_after| Some(AuxiliaryLoss { k, weight: weight.into(), dead_after });
        vec![
            ("code_size", Self { code_size: 80, ..example() }),
            ("k", Self { k: 2, ..example() }),
            ("auxiliary", Self { auxiliary: None, ..example() }),
            ("auxiliary.k", Self { auxiliary: auxiliary(2, 1.0 / 32.0, 16), ..example() }),
            ("auxiliary.weight", Self { auxiliary: auxiliary(8, 1.0, 16), ..example() }),
            ("auxiliary.dead_after", Self { auxiliary: auxiliary(8, 1.0 / 32.0, 32), ..example() }),
            ("initial_bias", Self { initial_bias: InitialBias::Mean, ..example() }),
            ("initial_bias", Self { initial_bias: InitialBias::Zero, ..example() }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::tests::{learned_atoms, mean_max_cosine, random_atoms, superpositions, train};
    use aelab_core::{Domain, FixedNoise, Optimizer, Progress, SingleOptimizer, Trainee};
    use burn::optim::{AdamConfig, ModuleOptimizer};
    use burn::tensor::Device;

    fn data(num_features: usize) -> DataSpec {
        DataSpec::new([num_features], Domain::Real)
    }

    fn at_step<T>(run: impl FnOnce(&mut StepContext<'_>) -> T) -> T {
        let noise = &mut FixedNoise::new([]);
        run(&mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise })
    }

    #[test]
    fn the_atoms_of_sparse_superpositions_are_found_again() {
        let device = Device::flex().autodiff();
        let atoms = random_atoms(24, 16, 3);
        let x = superpositions(&atoms, 3, 4096, 0.5, 4);
        let auxiliary = AuxiliaryLoss { k: 8, weight: (1.0 / 32.0).into(), dead_after: 1024 };
        let config = TopKSaeConfig { code_size: 32, k: 3, auxiliary: Some(auxiliary), initial_bias: InitialBias::GeometricMedian };
        let model = config.init(&data(16), &mut Initializer::new(1, &device));
        let mut trainee = SingleOptimizer::new(model, Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None));
        train(&mut trainee, &x, 256, 3000, 0.01, &device);
        let trained = trainee.snapshot();
        let learned = learned_atoms(|z| trained.decode(z), 32, &Device::flex());
        let cosine = mean_max_cosine(learned, &atoms);
        let by_chance = mean_max_cosine(random_atoms(32, 16, 5), &atoms);
        assert!(cosine > 0.9 && by_chance < 0.7, "mean largest cosine {cosine}, of random atoms {by_chance}");
    }

    #[test]
    fn a_latent_counts_examples_until_it_is_active_again() {
        let device = Device::flex();
        let config = TopKSaeConfig { code_size: 3, k: 1, ..TopKSaeConfig::example() };
        let model = config.init(&data(2), &mut Initializer::new(1, &device));
        let step = |model: TopKSae, active: [[f32; 3]; 2]| at_step(|ctx| model.after_step(&[Tensor::from_data(active, &device)], ctx));
        let silence = |model: &TopKSae| -> Vec<f32> { model.silence.val().into_data().try_to_vec().unwrap() };
        let model = step(model, [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]);
        assert_eq!(silence(&model), [0.0, 2.0, 2.0]);
        let model = step(model, [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]);
        assert_eq!(silence(&model), [2.0, 4.0, 0.0]);
    }

    /// Atoms and encoder are the identity, so everything can be read off.
    #[test]
    fn the_auxiliary_term_is_what_dead_latents_miss_of_what_is_left_over() {
        let device = Device::flex().autodiff();
        let auxiliary = AuxiliaryLoss { k: 1, weight: 0.5.into(), dead_after: 10 };
        let config = TopKSaeConfig { code_size: 3, k: 1, auxiliary: Some(auxiliary), initial_bias: InitialBias::Zero };
        let model = config.init(&data(3), &mut Initializer::new(1, &device));
        let identity = |tensor: Tensor<2>| Tensor::<2>::eye(3, &tensor.device()).set_require_grad(tensor.is_require_grad());
        let model = TopKSae { encoder: model.encoder.map(identity), ..model };
        let mut identity_atoms = SetAtoms;
        let model = model.map(&mut identity_atoms);
        let x = Tensor::<2>::from_data([[3.0, 1.0, 2.0]], &device);
        let terms = |silence: [[f32; 3]; 1]| {
            let silence = model.silence.clone().map(|_| Tensor::from_data(silence, &device));
            let model = TopKSae { silence, ..model.clone() };
            at_step(|ctx| model.objective(&Batch::new(x.clone()), ctx)).values()
        };
        let values = |silence| -> Vec<f64> { terms(silence).terms.iter().map(|term| term.value).collect() };
        // The first latent takes 3 and leaves (0, 1, 2).
        assert_eq!(values([[0.0, 9.0, 9.0]]), [5.0, 0.0]);
        assert_eq!(values([[0.0, 10.0, 0.0]]), [5.0, 4.0]);
        assert_eq!(values([[0.0, 10.0, 12.0]]), [5.0, 1.0]);
        assert_eq!(terms([[0.0, 10.0, 12.0]]).loss, 5.5);
        let diagnostics = terms([[0.0, 10.0, 12.0]]).diagnostics;
        assert!((diagnostics[0].1 - 2.0 / 3.0).abs() < 1e-6 && diagnostics[0].0 == "dead_latents", "{diagnostics:?}");

        // Its gradient reaches the dead latent's weights alone: the residual is held fixed.
        let silence = model.silence.clone().map(|_| Tensor::from_data([[0.0, 10.0, 0.0]], &device));
        let model = TopKSae { silence, ..model };
        let objective = at_step(|ctx| model.objective(&Batch::new(x), ctx));
        let gradients = objective.terms()[1].value.clone().backward();
        let gradient: Vec<f32> = model.encoder.val().grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
        // Explained is (0, 1, 0) and left over (0, 1, 2): no error along the atom, so no slope at all.
        assert_eq!(gradient, [0.0; 9]);
    }

    struct SetAtoms;

    impl burn::module::ModuleMapper for SetAtoms {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let is_square = param.lazy_shape().to_vec() == [3, 3];
            param.map(|tensor| {
                if is_square {
                    let (device, trainable) = (tensor.device(), tensor.is_require_grad());
                    Tensor::<2>::eye(3, &device).reshape(tensor.dims()).detach().set_require_grad(trainable)
                } else {
                    tensor
                }
            })
        }
    }

    #[test]
    fn at_most_k_latents_are_active_and_none_is_negative() {
        let device = Device::flex();
        let model = TopKSaeConfig::example().init(&data(16), &mut Initializer::new(1, &device));
        let x = superpositions(&random_atoms(24, 16, 3), 3, 50, 0.0, 4);
        let z: Vec<f32> = model.encode(x).into_data().try_to_vec().unwrap();
        for row in z.chunks(96) {
            assert!(row.iter().all(|value| *value >= 0.0) && row.iter().filter(|value| **value > 0.0).count() <= 4);
        }
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let path = |config: TopKSaeConfig| config.check(&data(4)).unwrap_err().path;
        let example = TopKSaeConfig::example;
        let auxiliary = |k, weight: f64, dead_after| Some(AuxiliaryLoss { k, weight: weight.into(), dead_after });
        assert_eq!(path(TopKSaeConfig { k: 0, ..example() }), "k");
        assert_eq!(path(TopKSaeConfig { k: 97, ..example() }), "k");
        assert_eq!(path(TopKSaeConfig { code_size: 0, ..example() }), "code_size");
        assert_eq!(path(TopKSaeConfig { auxiliary: auxiliary(0, 1.0, 1), ..example() }), "auxiliary.k");
        assert_eq!(path(TopKSaeConfig { auxiliary: auxiliary(1, -1.0, 1), ..example() }), "auxiliary.weight");
        assert_eq!(path(TopKSaeConfig { auxiliary: auxiliary(1, 1.0, 0), ..example() }), "auxiliary.dead_after");
    }
}
