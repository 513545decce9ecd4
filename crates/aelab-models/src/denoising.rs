//! The denoising autoencoder: it is shown a corrupted example and asked for the clean one.
//!
//! Vincent, Larochelle, Bengio & Manzagol 2008, "Extracting and Composing Robust Features with Denoising
//! Autoencoders", Eq. 5. <https://doi.org/10.1145/1390156.1390294>
//!
//! ```text
//! L(x) = E_{c ~ C(c | x)} loss(x, d(e(c)))        one corruption drawn per example and step
//! ```
//!
//! With `emphasis` (Vincent et al. 2010, "Stacked Denoising Autoencoders", section 3.3) the loss of each feature counts `alpha`
//! times where the feature was corrupted and `beta` times where it was not.
//!
//! The code may be larger than the data: copying does not undo the corruption. Validation corrupts too,
//! because it measures the training objective's own terms; clean reconstructions are what metrics see.

use aelab_core::{
    Autoencoder, Batch, ConfigError, Corruption, DataSpec, Initializer, ModelConfig, Objective, Scheduled, StepContext, TermSpec,
};
use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::{autoencoder_network_config, network_methods};
use crate::variational_network::check_not_negative;
use crate::{AutoencoderNetwork, AutoencoderNetworkConfig};

autoencoder_network_config! {
    /// Hyperparameters of [`Denoising`].
    pub struct DenoisingConfig {
        /// What is done to the input, anew at each step. Required: it is the experiment.
        pub corruption: Corruption,
        /// How much the loss of corrupted features counts beside that of the others; both once where left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub emphasis: Option<Emphasis>,
    }
}

/// How much the loss of corrupted features counts beside that of the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Emphasis {
    /// Weight of the loss of features that were corrupted; a number or a schedule.
    pub alpha: Scheduled,
    /// Weight of the loss of those that were not; a number or a schedule.
    pub beta: Scheduled,
}

/// A dense autoencoder that reconstructs the clean example from a corrupted one.
#[derive(Module, Debug)]
pub struct Denoising {
    network: AutoencoderNetwork,
    #[module(skip)]
    corruption: Corruption,
    #[module(skip)]
    emphasis: Option<Emphasis>,
}

impl Autoencoder for Denoising {
    network_methods!();

    fn corrupted(&self, x: Tensor<2>, ctx: &mut StepContext<'_>) -> Option<Tensor<2>> {
        Some(self.corruption.apply(x, ctx.progress, ctx.noise))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let (corrupted, chosen) = self.corruption.apply_and_tell(batch.x.clone(), ctx.progress, ctx.noise);
        let emphasis = self.emphasis.as_ref().zip(chosen).map(|(Emphasis { alpha, beta }, chosen)| {
            let (alpha, beta) = (alpha.at(ctx.progress), beta.at(ctx.progress));
            chosen * (alpha - beta) + beta
        });
        let weights = match (emphasis, batch.mask.clone()) {
            (Some(emphasis), Some(mask)) => Some(emphasis * mask),
            (emphasis, mask) => emphasis.or(mask),
        };
        let (name, value) = self.network.reconstruction_term(corrupted, batch.x.clone(), weights.as_ref());
        Objective::new().term(name, value, 1.0)
    }
}

impl ModelConfig for DenoisingConfig {
    const NAME: &'static str = "denoising";
    const SUMMARY: &'static str = "dense layers that restore a clean example from a corrupted one";
    const CITATION: &'static str = "Vincent, Larochelle, Bengio & Manzagol 2008, Extracting and Composing Robust Features with \
                                    Denoising Autoencoders, Eq. 5, https://doi.org/10.1145/1390156.1390294";
    type Model = Denoising;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        self.corruption.check().map_err(|error| error.within("corruption"))?;
        let Some(Emphasis { alpha, beta }) = &self.emphasis else { return Ok(()) };
        if matches!(self.corruption, Corruption::Gaussian { .. }) {
            let message = "Gaussian noise spares no feature, so there are none to tell apart by `emphasis`; leave it out, or take \
                           `masking` or `salt_and_pepper`";
            return Err(ConfigError::new("emphasis", message));
        }
        let checked = check_not_negative("alpha", alpha, "weighs the loss of corrupted features")
            .and_then(|()| check_not_negative("beta", beta, "weighs the loss of uncorrupted features"));
        checked.map_err(|error| error.within("emphasis"))?;
        if *alpha == Scheduled::Constant(0.0) && *beta == Scheduled::Constant(0.0) {
            return Err(ConfigError::new("emphasis", "with `alpha` and `beta` both 0 there is no loss at all"));
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
        let spec = self.network().reconstruction().term_spec();
        // An emphasised error is no plain one times a factor.
        let squared_error_factor = spec.squared_error_factor.filter(|_| self.emphasis.is_none());
        vec![TermSpec { squared_error_factor, ..spec }]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Denoising {
        let network = self.network().init(data, initializer);
        Denoising { network, corruption: self.corruption.clone(), emphasis: self.emphasis.clone() }
    }

    fn example() -> Self {
        Self::with_network(AutoencoderNetworkConfig::example(), Corruption::Masking { rate: 0.3.into() }, None)
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let corruptions = [
            ("corruption.masking.rate", Corruption::Masking { rate: 0.5.into() }),
            ("corruption.gaussian", Corruption::Gaussian { sigma: 0.2.into() }),
            ("corruption.salt_and_pepper", Corruption::SaltAndPepper { rate: 0.2.into() }),
        ];
        let with_network = |(key, network)| (key, Self::with_network(network, Self::example().corruption, None));
        let shared = AutoencoderNetworkConfig::variations().into_iter().map(with_network);
        let own = corruptions.into_iter().map(|(key, corruption)| (key, Self { corruption, ..Self::example() }));
        let emphasis = Some(Emphasis { alpha: 1.0.into(), beta: 0.5.into() });
        shared.chain(own).chain([("emphasis", Self { emphasis, ..Self::example() })]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{
        Domain, FixedNoise, Noise, Optimizer, Progress, Purpose, Schedule, SingleOptimizer, StreamNoise, TrainedModel, Trainee, stream,
    };
    use aelab_nn::{Activation, Activations};
    use burn::optim::{AdamConfig, ModuleOptimizer};
    use burn::tensor::Device;

    fn data() -> DataSpec {
        DataSpec::new([4], Domain::UnitInterval)
    }

    #[test]
    fn the_corrupted_input_is_compared_with_the_clean_one() {
        let device = Device::flex();
        let config = DenoisingConfig { hidden: vec![].into(), code_size: 4, ..DenoisingConfig::example() };
        let model = config.init(&data(), &mut Initializer::new(1, &device));
        let x = Tensor::<2>::from_data([[0.1, 0.9, 0.4, 0.6]], &device);
        let kept = vec![1.0, 0.0, 0.0, 1.0];
        let corrupted = Tensor::from_data([[0.1, 0.0, 0.0, 0.6]], &device);
        let expected = (model.reconstruct(corrupted) - x.clone()).square().sum().into_scalar::<f32>();
        let mut noise = FixedNoise::new([kept]);
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.1, noise: &mut noise };
        let found = model.objective(&Batch::new(x), ctx).loss().into_scalar::<f32>();
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn a_rate_that_leaves_the_unit_interval_is_refused_at_its_path() {
        let schedule = Schedule::Linear { from: 0.0, to: 1.5, epochs: None };
        let config = DenoisingConfig { corruption: Corruption::Masking { rate: schedule.into() }, ..DenoisingConfig::example() };
        assert_eq!(config.check(&data()).unwrap_err().path, "corruption.masking.rate");
    }

    #[test]
    fn the_corruption_is_required_and_an_overcomplete_code_is_not_warned_of() {
        let error = serde_json::from_str::<DenoisingConfig>(r#"{"hidden": [], "code_size": 9}"#).unwrap_err().to_string();
        assert!(error.contains("missing field `corruption`"), "{error}");
        assert!(DenoisingConfig { code_size: 9, ..DenoisingConfig::example() }.warnings(&data()).is_empty());
    }

    #[test]
    fn emphasis_weighs_what_was_corrupted_by_alpha_and_the_rest_by_beta() {
        let device = Device::flex();
        let emphasis = Some(Emphasis { alpha: 2.0.into(), beta: 0.5.into() });
        let config = DenoisingConfig { hidden: vec![].into(), emphasis, ..DenoisingConfig::example() };
        let model = config.init(&data(), &mut Initializer::new(1, &device));
        // The third feature is 0 already: masked, it does not change, and counts as corrupted all the same.
        let x = Tensor::<2>::from_data([[0.1, 0.9, 0.0, 0.6]], &device);
        let corrupted = Tensor::from_data([[0.1, 0.0, 0.0, 0.6]], &device);
        let weights = Tensor::<2>::from_data([[0.5, 2.0, 2.0, 0.5]], &device);
        let expected = ((model.reconstruct(corrupted) - x.clone()).square() * weights).sum().into_scalar::<f32>();
        let mut noise = FixedNoise::new([vec![1.0, 0.0, 0.0, 1.0]]);
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.1, noise: &mut noise };
        let found = model.objective(&Batch::new(x), ctx).loss().into_scalar::<f32>();
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn emphasis_is_refused_where_there_is_nothing_to_tell_apart() {
        let emphasis = |alpha: f64, beta: f64| Some(Emphasis { alpha: alpha.into(), beta: beta.into() });
        let refused = |config: DenoisingConfig| {
            let error = config.check(&data()).unwrap_err();
            (error.path, error.message)
        };
        let corruption = Corruption::Gaussian { sigma: 0.1.into() };
        let (path, message) = refused(DenoisingConfig { corruption, emphasis: emphasis(1.0, 0.5), ..DenoisingConfig::example() });
        assert_eq!(path, "emphasis");
        assert!(message.contains("spares no feature"), "{message}");
        assert_eq!(refused(DenoisingConfig { emphasis: emphasis(-1.0, 0.5), ..DenoisingConfig::example() }).0, "emphasis.alpha");
        assert_eq!(refused(DenoisingConfig { emphasis: emphasis(0.0, 0.0), ..DenoisingConfig::example() }).0, "emphasis");
    }

    fn train(
        config: &DenoisingConfig,
        num_features: usize,
        num_steps: u64,
        learning_rate: f64,
        x: impl Fn(u64) -> Tensor<2>,
    ) -> Box<dyn TrainedModel> {
        let device = Device::flex().autodiff();
        let model = config.init(&DataSpec::new([num_features], Domain::Real), &mut Initializer::new(1, &device));
        let mut trainee = SingleOptimizer::new(model, Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None));
        for step in 0..num_steps {
            let noise = &mut StreamNoise(stream(1, Purpose::Training, 0, step));
            let progress = Progress { step, epoch: 0.0, num_epochs: 1.0 };
            let learning_rate = learning_rate * (1.0 - step as f64 / num_steps as f64).max(0.01);
            let batch = Batch::new(Tensor::from_data(x(step).into_data(), &device));
            trainee.train_step(&batch, &mut StepContext { progress, learning_rate, noise });
        }
        trainee.snapshot()
    }

    type Matrix = Vec<Vec<f64>>;

    fn rows(tensor: Tensor<2>) -> Matrix {
        let width = tensor.dims()[1];
        let values: Vec<f64> = tensor.into_data().convert::<f64>().try_to_vec().unwrap();
        values.chunks(width).map(<[f64]>::to_vec).collect()
    }

    fn product(a: &Matrix, b: &Matrix) -> Matrix {
        a.iter().map(|row| (0..b[0].len()).map(|column| row.iter().zip(b).map(|(value, b)| value * b[column]).sum()).collect()).collect()
    }

    /// `a^-1 b` for symmetric positive definite `a`, by elimination.
    fn solve(a: &Matrix, b: &Matrix) -> Matrix {
        let (mut a, mut b) = (a.clone(), b.clone());
        for pivot in 0..a.len() {
            for row in (0..a.len()).filter(|row| *row != pivot) {
                let factor = a[row][pivot] / a[pivot][pivot];
                let (from_a, from_b) = (a[pivot].clone(), b[pivot].clone());
                a[row].iter_mut().zip(&from_a).for_each(|(value, from)| *value -= factor * from);
                b[row].iter_mut().zip(&from_b).for_each(|(value, from)| *value -= factor * from);
            }
        }
        for (row, values) in b.iter_mut().enumerate() {
            values.iter_mut().for_each(|value| *value /= a[row][row]);
        }
        b
    }

    fn trace(a: &Matrix) -> f64 {
        (0..a.len()).map(|index| a[index][index]).sum()
    }

    /// For examples of mean `m` and covariance `C` the corrupted ones have mean `s m`, covariance `V` and covariance `s C` with
    /// the clean ones: `V = C + sigma^2 I`, `s = 1` for Gaussian noise, and for masking with rate `p` `s = 1 - p` and
    /// `V = s^2 C + p s diag(C + m m^T)`. The best affine map leaves `tr C - s^2 tr C V^-1 C`.
    #[test]
    fn a_linear_denoiser_meets_the_best_affine_one_within_a_percent() {
        const FEATURES: usize = 5;
        let device = Device::flex();
        let mut noise = StreamNoise(stream(5, Purpose::Evaluation, 0, 0));
        let mixing = noise.normal([FEATURES, FEATURES], &device) * 0.5;
        let x = noise.normal([512, FEATURES], &device).matmul(mixing) + noise.normal([1, FEATURES], &device);
        let mean = &rows(x.clone().mean_dim(0))[0];
        let centered = x.clone() - x.clone().mean_dim(0);
        let covariance = rows(centered.clone().transpose().matmul(centered) / 512.0);
        for (corruption, scale) in [(Corruption::Gaussian { sigma: 0.5.into() }, 1.0), (Corruption::Masking { rate: 0.3.into() }, 0.7)] {
            let mut corrupted = covariance.clone();
            for (i, row) in corrupted.iter_mut().enumerate() {
                row.iter_mut().for_each(|value| *value *= scale * scale);
                row[i] += if scale == 1.0 { 0.25 } else { 0.3 * 0.7 * (covariance[i][i] + mean[i] * mean[i]) };
            }
            let explained = product(&covariance, &solve(&corrupted, &covariance));
            let least = trace(&covariance) - scale * scale * trace(&explained);

            let config = DenoisingConfig {
                hidden: vec![].into(),
                code_size: FEATURES,
                corruption: corruption.clone(),
                ..DenoisingConfig::example()
            };
            let trained = train(&config, FEATURES, 4000, 0.01, |_| x.clone());
            // The affine map that was learned, and its exact expected error.
            let offset = rows(trained.reconstruct(Tensor::zeros([1, FEATURES], &device)));
            let map: Matrix = rows(trained.reconstruct(Tensor::eye(FEATURES, &device)))
                .into_iter()
                .map(|row| row.iter().zip(&offset[0]).map(|(value, offset)| value - offset).collect())
                .collect();
            let transposed: Matrix = (0..FEATURES).map(|column| map.iter().map(|row| row[column]).collect()).collect();
            let bias: f64 = (0..FEATURES)
                .map(|i| (offset[0][i] + scale * (0..FEATURES).map(|j| mean[j] * map[j][i]).sum::<f64>() - mean[i]).powi(2))
                .sum();
            let found = trace(&covariance) - 2.0 * scale * trace(&product(&transposed, &covariance))
                + trace(&product(&product(&transposed, &corrupted), &map))
                + bias;
            assert!(found >= least - 1e-4, "{corruption:?}: {found} is below the optimum {least}");
            assert!(found < least * 1.01, "{corruption:?}: {found} is above the optimum {least}");
            let useless = trace(&covariance);
            assert!(least < 0.8 * useless, "the mean alone does as well: {useless}");
        }
    }

    /// The best guess of `x` given `c = x + sigma n` is `c + sigma^2` times the score of the density of `c` (Miyasawa 1961; Alain &
    /// Bengio 2014), here a mixture of two Gaussians.
    #[test]
    fn a_denoiser_learns_the_score_of_the_smoothed_density() {
        const SIGMA: f64 = 0.5;
        const SPREAD: f64 = 0.3;
        let device = Device::flex();
        let centers = [[1.0f64, 0.4], [-1.0, -0.4]];
        let draw = |seed: u64, num: usize| {
            let mut noise = StreamNoise(stream(seed, Purpose::Evaluation, 7, 0));
            let which = noise.bernoulli([num, 1], 0.5, &device) * 2.0 - 1.0;
            let center = Tensor::<2>::from_data([[centers[0][0] as f32, centers[0][1] as f32]], &device);
            which.matmul(center) + noise.normal([num, 2], &device) * SPREAD
        };
        let config = DenoisingConfig {
            hidden: vec![48].into(),
            code_size: 32,
            activation: Activations::All(Activation::Tanh),
            code_activation: Activation::Tanh,
            corruption: Corruption::Gaussian { sigma: SIGMA.into() },
            ..DenoisingConfig::example()
        };
        let trained = train(&config, 2, 3000, 0.005, |step| draw(100 + step, 256));
        let corrupted = draw(1, 1000) + StreamNoise(stream(2, Purpose::Evaluation, 7, 0)).normal([1000, 2], &device) * SIGMA;
        let restored = rows(trained.reconstruct(corrupted.clone()));
        let variance = SPREAD * SPREAD + SIGMA * SIGMA;
        let (mut deviation, mut length) = (0.0, 0.0);
        for (c, restored) in rows(corrupted).iter().zip(&restored) {
            let weight = |center: &[f64; 2]| (-((c[0] - center[0]).powi(2) + (c[1] - center[1]).powi(2)) / (2.0 * variance)).exp();
            let weights = centers.each_ref().map(weight);
            for i in 0..2 {
                let toward = |which: usize| weights[which] * (centers[which][i] - c[i]) / variance;
                let score = (toward(0) + toward(1)) / (weights[0] + weights[1]);
                deviation += (restored[i] - c[i] - SIGMA * SIGMA * score).powi(2) / 1000.0;
                length += (SIGMA * SIGMA * score).powi(2) / 1000.0;
            }
        }
        // Root mean squares: how far from the formula, beside how far the formula moves a point.
        let (deviation, length) = (deviation.sqrt(), length.sqrt());
        assert!(deviation < 0.1 * length, "{deviation} off, where the step is {length} long");
    }
}
