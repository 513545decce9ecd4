//! The masked autoencoder: part of each example is hidden, and predicted from the rest.
//!
//! He, Chen, Xie, Li, Dollar & Girshick 2022, "Masked Autoencoders Are Scalable Vision Learners", section 3, in spirit: their
//! encoder is a transformer that is given the shown patches alone; here any network is given the whole example with the hidden
//! part filled in, as in Vincent et al. 2010 and Pathak et al. 2016 ("Context Encoders"). <https://arxiv.org/abs/2111.06377>
//!
//! ```text
//! L(x) = loss over the hidden features of (x, d(e(shown * x + (1 - shown) * fill)))
//! ```
//!
//! Of the patches of an example exactly `mask_ratio` are hidden, rounded, chosen anew at each step. `encode` is shown
//! everything, or what a batch with a mask says is there.

use aelab_core::{
    Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Noise, Objective, Progress, Scheduled, StepContext, TermSpec,
};
use aelab_nn::keep_largest;
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::autoencoder_network_config;
use crate::{AutoencoderNetwork, AutoencoderNetworkConfig};

autoencoder_network_config! {
    /// Hyperparameters of [`Masked`].
    pub struct MaskedConfig {
        /// Fraction of the patches of an example that is hidden; a number or a schedule.
        pub mask_ratio: Scheduled,
        /// Pixels along a side of the squares that an image is hidden by; 1 hides single pixels, or features of other data.
        #[serde(default = "one")]
        pub patch_size: usize,
        /// What stands in the place of hidden values.
        #[serde(default)]
        pub fill: Fill,
        /// Whether the network is told, beside the values, which of them are shown.
        #[serde(default)]
        pub show_mask: bool,
        /// What the loss is taken over.
        #[serde(default)]
        pub loss_on: LossOn,
    }
}

fn one() -> usize {
    1
}

/// What stands in the place of hidden values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// 0.
    #[default]
    Zero,
    /// A value for each feature that is learned like a weight; it starts at 0.
    Learned,
}

/// What the loss of a masked autoencoder is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossOn {
    /// The features that were hidden.
    #[default]
    Hidden,
    /// All features.
    All,
}

/// An autoencoder that predicts what it is not shown.
#[derive(Module, Debug)]
pub struct Masked {
    network: AutoencoderNetwork,
    /// `[1, feature]`, where it is learned.
    fill: Option<Param<Tensor<2>>>,
    #[module(skip)]
    patches: Patches,
    #[module(skip)]
    mask_ratio: Scheduled,
    #[module(skip)]
    show_mask: bool,
    #[module(skip)]
    loss_on: LossOn,
    /// 1 for what is there of the rows at hand, for a model conditioned on them.
    #[module(skip)]
    observed: Option<Tensor<2>>,
}

/// Which features are hidden together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Patches {
    num: usize,
    /// The patch of each feature.
    of_feature: Vec<usize>,
    /// Features of the mask as the network is shown it: one channel of an image, everything else whole.
    num_shown: usize,
}

impl Patches {
    /// Squares of an image across its channels, cut off at the right and at the bottom; features of other data.
    fn new(data: &DataSpec, size: usize) -> Self {
        let num_features = data.num_features();
        let [channels, height, width] = data.event_shape[..] else {
            return Self { num: num_features, of_feature: (0..num_features).collect(), num_shown: num_features };
        };
        let columns = width.div_ceil(size);
        let patch = |pixel: usize| (pixel / width) / size * columns + (pixel % width) / size;
        let of_feature = (0..channels * height * width).map(|feature| patch(feature % (height * width))).collect();
        Self { num: height.div_ceil(size) * columns, of_feature, num_shown: height * width }
    }
}

impl Masked {
    /// 1 where a feature is shown and 0 where it is hidden, `[batch, feature]`.
    fn shown(&self, batch: usize, x: &Tensor<2>, progress: Progress, noise: &mut dyn Noise) -> Tensor<2> {
        let Patches { num, of_feature, .. } = &self.patches;
        let num_hidden = (self.mask_ratio.at(progress) * *num as f64).round() as usize;
        // From 1 on, so that what is kept is never 0.
        let drawn = noise.uniform([batch, *num], &x.device()) + 1.0;
        let shown = keep_largest(drawn, num.saturating_sub(num_hidden)).sign();
        let indices: Vec<i32> = of_feature.iter().map(|patch| *patch as i32).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [of_feature.len()]), &x.device());
        shown.select(1, indices)
    }

    /// What the network is given: `x` with its hidden part filled in, and the mask where it is shown that.
    fn input(&self, x: Tensor<2>, shown: Tensor<2>) -> Tensor<2> {
        let filled = self.filled(x, shown.clone());
        if self.show_mask { Tensor::cat(vec![filled, shown.narrow(1, 0, self.patches.num_shown)], 1) } else { filled }
    }

    fn filled(&self, x: Tensor<2>, shown: Tensor<2>) -> Tensor<2> {
        match &self.fill {
            None => x * shown,
            Some(fill) => x * shown.clone() + (shown * -1.0 + 1.0) * fill.val(),
        }
    }
}

impl Autoencoder for Masked {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        let shown = self.observed.clone().unwrap_or_else(|| x.clone().ones_like());
        self.network.encode(self.input(x, shown))
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.network.decode(z)
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.network.decode_logits(z)
    }

    fn corrupted(&self, x: Tensor<2>, ctx: &mut StepContext<'_>) -> Option<Tensor<2>> {
        let shown = self.shown(x.dims()[0], &x, ctx.progress, ctx.noise);
        Some(self.filled(x, shown))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let x = batch.x.clone();
        let shown = self.shown(batch.size(), &x, ctx.progress, ctx.noise);
        let counted = match (self.loss_on, batch.mask.clone()) {
            (LossOn::All, mask) => mask,
            (LossOn::Hidden, None) => Some(shown.clone() * -1.0 + 1.0),
            (LossOn::Hidden, Some(mask)) => Some((shown.clone() * -1.0 + 1.0) * mask),
        };
        let (name, value) = self.network.reconstruction_term(self.input(x.clone(), shown), x, counted.as_ref());
        Objective::new().term(name, value, 1.0)
    }

    /// What is not there is hidden, as in training.
    fn conditioned(&self, batch: &Batch) -> Option<Self> {
        Some(Self { observed: Some(batch.mask.clone()?), ..self.clone() })
    }
}

impl MaskedConfig {
    /// What the encoder is given: the data, and the mask as one more channel of an image or as many more features.
    fn input(&self, data: &DataSpec) -> DataSpec {
        let event_shape = match data.event_shape[..] {
            _ if !self.show_mask => return data.clone(),
            [channels, height, width] => vec![channels + 1, height, width],
            _ => vec![2 * data.num_features()],
        };
        DataSpec { event_shape, ..data.clone() }
    }
}

impl ModelConfig for MaskedConfig {
    const NAME: &'static str = "masked";
    const SUMMARY: &'static str = "patches or features are hidden and predicted from the rest: inpainting";
    const CITATION: &'static str =
        "He et al. 2022, Masked Autoencoders Are Scalable Vision Learners, section 3, https://arxiv.org/abs/2111.06377";
    type Model = Masked;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        self.network().check(data)?;
        if self.tied && self.show_mask {
            let message = "`tied: true` runs backwards to what the encoder was given, and with `show_mask: true` that is more than the data; leave \
                           out one of the two";
            return Err(ConfigError::new("tied", message));
        }
        self.mask_ratio.check().map_err(|error| error.within("mask_ratio"))?;
        if let Some(ratio) = self.mask_ratio.first_outside(0.0, 1.0) {
            return Err(ConfigError::new("mask_ratio", format!("the hidden fraction lies between 0 and 1, but is {ratio}")));
        }
        if self.mask_ratio == Scheduled::Constant(0.0) && self.loss_on == LossOn::Hidden {
            let message = "with nothing hidden there is no loss; take a ratio above 0, or `loss_on: all`";
            return Err(ConfigError::new("mask_ratio", message));
        }
        if self.patch_size == 0 {
            return Err(ConfigError::new("patch_size", "a patch has at least one pixel along its side"));
        }
        if self.patch_size > 1 && data.event_shape.len() != 3 {
            let message = format!(
                "patches of {0} x {0} need images, [channel, height, width], but an example of this data has shape {1:?}; take `patch_size: 1`",
                self.patch_size, data.event_shape
            );
            return Err(ConfigError::new("patch_size", message));
        }
        Ok(())
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        let (patches, ratio) = (Patches::new(data, self.patch_size).num as f64, self.mask_ratio.last(1.0));
        let nothing = (self.mask_ratio == Scheduled::Constant(ratio) && ratio > 0.0 && (ratio * patches).round() == 0.0).then(|| {
            format!("a `mask_ratio` of {ratio} hides none of the {patches} patches of an example; take a larger one, or smaller patches")
        });
        self.network().warnings(data).into_iter().chain(nothing).collect()
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn validates_as_it_trains(&self) -> bool {
        self.network().validates_as_it_trains()
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        let spec = self.network().reconstruction().term_spec();
        // The error of the hidden part is no plain one times a factor.
        let squared_error_factor = spec.squared_error_factor.filter(|_| self.loss_on == LossOn::All);
        vec![TermSpec { squared_error_factor, ..spec }]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Masked {
        let network = self.network().init_with_input(&self.input(data), data, initializer);
        let fill = (self.fill == Fill::Learned).then(|| initializer.constant([1, data.num_features()], 0.0));
        Masked {
            network,
            fill,
            patches: Patches::new(data, self.patch_size),
            mask_ratio: self.mask_ratio.clone(),
            show_mask: self.show_mask,
            loss_on: self.loss_on,
            observed: None,
        }
    }

    fn example() -> Self {
        Self::with_network(AutoencoderNetworkConfig::example(), 0.5.into(), 2, Fill::Zero, false, LossOn::Hidden)
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let example = Self::example;
        // A convolution of a hidden patch is exactly 0, where a ReLU has its kink and central differences say nothing.
        let smooth = aelab_nn::Activations::All(aelab_nn::Activation::Elu);
        let shared = AutoencoderNetworkConfig::variations().into_iter().map(|(key, network)| {
            let is_dense = !matches!(network.hidden, aelab_nn::Hidden::Convolutional(_));
            let activation = if is_dense { network.activation.clone() } else { smooth.clone() };
            let network = AutoencoderNetworkConfig { activation, ..network };
            (key, Self::with_network(network, 0.5.into(), 2, Fill::Zero, false, LossOn::Hidden))
        });
        let (_, conv) = aelab_nn::Hidden::examples().pop().expect("there are kinds of hidden layers");
        let own = vec![
            ("mask_ratio", Self { mask_ratio: 0.25.into(), ..example() }),
            ("patch_size", Self { patch_size: 1, ..example() }),
            ("patch_size", Self { patch_size: 3, ..example() }),
            ("fill", Self { fill: Fill::Learned, ..example() }),
            ("show_mask", Self { show_mask: true, ..example() }),
            ("show_mask", Self { show_mask: true, hidden: conv, activation: smooth.clone(), ..example() }),
            ("loss_on", Self { loss_on: LossOn::All, ..example() }),
        ];
        shared.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Domain, Optimizer, Purpose, SingleOptimizer, StreamNoise, Trainee, stream};
    use burn::optim::{AdamConfig, ModuleOptimizer};
    use burn::tensor::Device;

    fn at_step<T>(step: u64, run: impl FnOnce(&mut StepContext<'_>) -> T) -> T {
        let noise = &mut StreamNoise(stream(1, Purpose::Training, 0, step));
        run(&mut StepContext { progress: Progress { step, epoch: 0.0, num_epochs: 1.0 }, learning_rate: 0.02, noise })
    }

    #[test]
    fn exactly_the_asked_fraction_of_whole_patches_is_hidden_in_every_channel_alike() {
        let device = Device::flex();
        let data = DataSpec::new([3, 5, 6], Domain::UnitInterval);
        let config = MaskedConfig { patch_size: 2, mask_ratio: 0.4.into(), ..MaskedConfig::example() };
        let model = config.init(&data, &mut Initializer::new(1, &device));
        let x = Tensor::<2>::ones([7, 90], &device);
        let shown: Vec<f32> = at_step(0, |ctx| model.corrupted(x, ctx)).unwrap().into_data().try_to_vec().unwrap();
        let mut rows: Vec<Vec<usize>> = Vec::new();
        for image in shown.chunks(90) {
            let (first, others) = image.split_at(30);
            assert!(others.chunks(30).all(|channel| channel == first), "a patch goes through all channels");
            let value = |row: usize, column: usize| first[row * 6 + column];
            // Three rows of three patches; those of the last row are cut off.
            let corners: Vec<(usize, usize)> = (0..3).flat_map(|row| (0..3).map(move |column| (2 * row, 2 * column))).collect();
            for &(row, column) in &corners {
                let pixels = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(down, right)| (row + down, column + right));
                assert!(pixels.iter().filter(|(row, _)| *row < 5).all(|&(r, c)| value(r, c) == value(row, column)), "a whole patch");
            }
            rows.push(corners.iter().enumerate().filter(|(_, corner)| value(corner.0, corner.1) == 0.0).map(|(index, _)| index).collect());
        }
        assert!(rows.iter().all(|hidden| hidden.len() == 4), "0.4 of 9 patches, rounded: {rows:?}");
        assert!(rows.iter().any(|hidden| hidden != &rows[0]), "each example has its own: {rows:?}");
    }

    #[test]
    fn the_loss_is_that_of_the_hidden_features_or_of_all() {
        let device = Device::flex();
        let data = DataSpec::new([6], Domain::Real);
        let loss = |loss_on| {
            let config = MaskedConfig { patch_size: 1, loss_on, ..MaskedConfig::example() };
            let model = config.init(&data, &mut Initializer::new(1, &device));
            let x = Tensor::<2>::from_data([[0.3, -0.4, 0.9, 1.1, 0.7, -2.0]], &device);
            let given = at_step(0, |ctx| model.corrupted(x.clone(), ctx)).unwrap();
            let hidden = given.clone().equal_elem(0.0).float();
            assert_eq!(hidden.clone().sum().into_scalar::<f32>(), 3.0);
            let errors = (model.reconstruct(given) - x.clone()).square();
            let counted = if loss_on == LossOn::All { errors } else { errors * hidden };
            let found = at_step(0, |ctx| model.objective(&Batch::new(x), ctx)).loss().into_scalar::<f32>();
            (found, counted.sum().into_scalar::<f32>())
        };
        for (found, expected) in [loss(LossOn::Hidden), loss(LossOn::All)] {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
        assert!(loss(LossOn::All).0 > loss(LossOn::Hidden).0);
    }

    #[test]
    fn told_what_is_there_it_fills_in_the_rest_itself() {
        let device = Device::flex();
        for (show_mask, fill) in [(false, Fill::Zero), (true, Fill::Zero), (true, Fill::Learned)] {
            let config = MaskedConfig { patch_size: 1, show_mask, fill, ..MaskedConfig::example() };
            let model = config.init(&DataSpec::new([4], Domain::Real), &mut Initializer::new(1, &device));
            let with = |hidden: f32| Tensor::<2>::from_data([[0.3, hidden, 0.9, 1.1], [0.2, 0.1, hidden, 0.4]], &device);
            let mask = Tensor::<2>::from_data([[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0]], &device);
            let told = model.conditioned(&Batch { mask: Some(mask.clone()), ..Batch::new(with(5.0)) }).unwrap();
            let values = |tensor: Tensor<2>| tensor.into_data().try_into_vec::<f32>().unwrap();
            let found = values(told.reconstruct(with(5.0)));
            assert_eq!(found, values(told.reconstruct(with(-7.0))), "what is hidden is not looked at");
            let expected = model.network.decode(model.network.encode(model.input(with(0.0), mask)));
            assert_eq!(found, values(expected));
            assert_ne!(found, values(model.reconstruct(with(5.0))));
        }
        let model = MaskedConfig::example().init(&DataSpec::new([1, 2, 2], Domain::Real), &mut Initializer::new(1, &device));
        assert!(model.conditioned(&Batch::new(Tensor::ones([1, 4], &device))).is_none());
    }

    /// Of two equal features one is hidden: the other says what it is, and a copy of the input says 0.
    #[test]
    fn what_is_hidden_is_learned_from_what_is_shown() {
        let device = Device::flex().autodiff();
        let config = MaskedConfig { hidden: vec![].into(), code_size: 2, patch_size: 1, ..MaskedConfig::example() };
        let model = config.init(&DataSpec::new([2], Domain::Real), &mut Initializer::new(1, &device));
        let mut trainee = SingleOptimizer::new(model, Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None));
        let x = Tensor::<2>::from_data([[1.0, 1.0], [-1.0, -1.0], [0.5, 0.5], [2.0, 2.0], [-0.3, -0.3]], &device);
        let losses: Vec<f64> = (0..800).map(|step| at_step(step, |ctx| trainee.train_step(&Batch::new(x.clone()), ctx)).loss).collect();
        assert!(losses[0] > 0.1 && losses[799] < 1e-4, "{} at first, {} at last", losses[0], losses[799]);
    }

    #[test]
    fn impossible_values_are_refused_at_their_path() {
        let image = DataSpec::new([1, 8, 8], Domain::UnitInterval);
        let path = |config: MaskedConfig| config.check(&image).unwrap_err().path;
        let example = MaskedConfig::example;
        assert_eq!(path(MaskedConfig { mask_ratio: 1.5.into(), ..example() }), "mask_ratio");
        assert_eq!(path(MaskedConfig { mask_ratio: 0.0.into(), ..example() }), "mask_ratio");
        assert_eq!(path(MaskedConfig { patch_size: 0, ..example() }), "patch_size");
        assert_eq!(path(MaskedConfig { tied: true, show_mask: true, ..example() }), "tied");
        let table = DataSpec::new([64], Domain::UnitInterval);
        let error = example().check(&table).unwrap_err();
        assert_eq!(error.path, "patch_size");
        assert!(error.message.contains("take `patch_size: 1`"), "{error}");
        assert_eq!(MaskedConfig { patch_size: 1, ..example() }.check(&table), Ok(()));
        assert_eq!(MaskedConfig { mask_ratio: 0.01.into(), ..example() }.warnings(&image).len(), 1);
    }
}
