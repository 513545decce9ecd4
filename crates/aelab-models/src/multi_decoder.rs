//! One encoder for all domains, and a decoder for each: what is encoded in one can be decoded in another.
//!
//! A shared encoder with decoders of several tasks: Caruana 1997; as autoencoders of domains: Mor, Wolf, Polyak &
//! Taigman 2019, "A Universal Music Translation Network", Sec. 3 without its adversarial term; with faces it is
//! known as the deepfake. <https://arxiv.org/abs/1805.07848>
//!
//! ```text
//! L(x, a) = loss(x, d_a(e(x)))          an example x of domain a
//! ```
//!
//! The domain of an example is its class. The decoder of another class, given the code, writes what that domain has in the place of `x`: the code
//! can only say what domains have in common as far as it is too small to say more.

use aelab_core::{Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Objective, StepContext, TermSpec};
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};

use crate::network::{autoencoder_network_config, overcomplete_warning};
use crate::{AutoencoderNetworkConfig, SharedEncoderNetwork};

autoencoder_network_config! {
    /// Hyperparameters of [`MultiDecoder`].
    pub struct MultiDecoderConfig {}
}

/// An autoencoder with a decoder for each class.
#[derive(Module, Debug)]
pub struct MultiDecoder {
    network: SharedEncoderNetwork,
    /// The domain that each row of a batch is decoded in; the first where nothing is said.
    #[module(skip)]
    domains: Option<Vec<usize>>,
}

impl MultiDecoder {
    /// What the decoders leave, `[batch, feature]`, each row from the decoder of its domain; a decoder sees only its own rows.
    fn output(&self, z: Tensor<2>, domains: Option<&[usize]>) -> Tensor<2> {
        let Some(domains) = domains else { return self.network.output(z, 0) };
        if let Some(&first) = domains.first()
            && domains.iter().all(|&domain| domain == first)
        {
            return self.network.output(z, first);
        }
        let device = z.device();
        let rows = |rows: Vec<usize>| {
            let num = rows.len();
            let rows: Vec<i64> = rows.into_iter().map(|row| row as i64).collect();
            Tensor::<1, Int>::from_data(TensorData::new(rows, [num]), &device)
        };
        let mut order = Vec::with_capacity(domains.len());
        let mut outputs = Vec::new();
        for domain in 0..self.network.num_decoders() {
            let own: Vec<usize> = (0..domains.len()).filter(|&row| domains[row] == domain).collect();
            if !own.is_empty() {
                outputs.push(self.network.output(z.clone().select(0, rows(own.clone())), domain));
                order.extend(own);
            }
        }
        let mut place = vec![0; order.len()];
        for (position, row) in order.into_iter().enumerate() {
            place[row] = position;
        }
        Tensor::cat(outputs, 0).select(0, rows(place))
    }

    /// The domain of each example of a batch; `None` without classes.
    fn domains(&self, batch: &Batch) -> Option<Vec<usize>> {
        let labels: Vec<i64> = batch.labels.as_ref()?.to_data().convert::<i64>().try_to_vec().ok()?;
        // Classes that training data did not have are decoded like the last one that it had.
        Some(labels.into_iter().map(|label| usize::try_from(label).unwrap_or(0).min(self.network.num_decoders() - 1)).collect())
    }
}

impl Autoencoder for MultiDecoder {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.network.encode(x)
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.network.reconstruction().mean(self.output(z, self.domains.as_deref()))
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.network.reconstruction().logits(self.output(z, self.domains.as_deref()))
    }

    fn objective(&self, batch: &Batch, _ctx: &mut StepContext<'_>) -> Objective {
        let output = self.output(self.encode(batch.x.clone()), self.domains(batch).as_deref());
        let (name, value) = self.network.reconstruction().term(batch.x.clone(), output, batch.mask.as_ref());
        Objective::new().term(name, value, 1.0)
    }

    fn conditioned(&self, batch: &Batch) -> Option<Self> {
        Some(Self { domains: Some(self.domains(batch)?), ..self.clone() })
    }

    /// Without a class it is the decoder of the first one that decodes everything.
    fn decodes_by_class_only(&self) -> bool {
        self.network.num_decoders() > 1
    }
}

impl ModelConfig for MultiDecoderConfig {
    const NAME: &'static str = "multi_decoder";
    const SUMMARY: &'static str = "one encoder and a decoder for each class: encode in one, decode in another";
    const CITATION: &'static str = "Mor, Wolf, Polyak & Taigman 2019, A Universal Music Translation Network, Sec. 3, without the \
                                    adversarial term, https://arxiv.org/abs/1805.07848";
    type Model = MultiDecoder;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        if data.num_classes.unwrap_or(0) == 0 {
            let message = "this model has a decoder for each class, but this data has no classes; take a data set with labels, \
                           or `undercomplete`, which has one decoder";
            return Err(ConfigError::new("", message));
        }
        self.network().check(data)
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        let single = (data.num_classes == Some(1))
            .then(|| "this data has a single class, so there is a single decoder: that is the `undercomplete` autoencoder".to_owned());
        self.network().warnings(data).into_iter().chain(overcomplete_warning(self.code_size, data)).chain(single).collect()
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

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> MultiDecoder {
        MultiDecoder { network: self.network().init_shared(data, data.num_classes.unwrap_or(1), initializer), domains: None }
    }

    fn example() -> Self {
        Self::with_network(AutoencoderNetworkConfig::example())
    }

    fn example_data() -> DataSpec {
        DataSpec { num_classes: Some(3), ..DataSpec::new([1, 8, 8], aelab_core::Domain::UnitInterval) }
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

    use crate::network::MaybeTied;

    fn data() -> DataSpec {
        DataSpec { num_classes: Some(2), ..DataSpec::new([4], Domain::Real) }
    }

    fn batch(rows: &[[f32; 4]], labels: &[i64], device: &Device) -> Batch {
        let x = Tensor::<2>::from_data(TensorData::new(rows.concat(), [rows.len(), 4]), device);
        Batch { labels: Some(Tensor::from_data(TensorData::new(labels.to_vec(), [labels.len()]), device)), ..Batch::new(x) }
    }

    fn numbers(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn data_without_classes_is_refused() {
        let error = MultiDecoderConfig::example().check(&DataSpec::new([4], Domain::Real)).unwrap_err();
        assert!(error.message.contains("no classes"), "{error}");
    }

    #[test]
    fn each_row_is_decoded_by_the_decoder_of_its_class_in_any_order_of_rows() {
        let device = Device::flex();
        let data = DataSpec { num_classes: Some(3), ..data() };
        let model = MultiDecoderConfig::example().init(&data, &mut Initializer::new(1, &device));
        let z = Tensor::<2>::from_data(TensorData::new((0..20).map(|i| (i as f32).cos()).collect(), [5, 4]), &device);
        let classes = [2, 0, 2, 1, 0];
        let together = model.conditioned(&batch(&[[0.0; 4]; 5], &classes, &device)).unwrap().decode(z.clone());
        for (row, class) in classes.into_iter().enumerate() {
            let expected = numbers(model.network.output(z.clone().narrow(0, row, 1), class as usize));
            let found = numbers(together.clone().narrow(0, row, 1));
            assert!(expected.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-6), "row {row}: {expected:?} {found:?}");
        }
        assert_eq!(numbers(model.decode(z.clone())), numbers(model.network.output(z, 0)));
    }

    #[test]
    fn a_decoder_learns_from_its_own_domain_alone() {
        let device = Device::flex().autodiff();
        let model = MultiDecoderConfig::example().init(&data(), &mut Initializer::new(1, &device));
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.1, noise: &mut FixedNoise::new([]) };
        let gradients = model.objective(&batch(&[[0.3; 4], [0.1; 4]], &[1, 1], &device), ctx).loss().backward();
        let has_gradient = |decoder: usize| {
            let MaybeTied::Untied(aelab_nn::Decoder::Dense(mlp)) = &model.network.decoders[decoder] else { panic!("dense") };
            mlp.layers()[0].weight.val().grad(&gradients).is_some()
        };
        assert_eq!([has_gradient(0), has_gradient(1)], [false, true]);
    }

    /// Two domains that say the same thing, the second with the sign turned and shifted: what is encoded in one is
    /// decoded in the other as its counterpart.
    #[test]
    fn what_is_encoded_in_one_domain_is_decoded_in_the_other() {
        let device = Device::flex().autodiff();
        let network = AutoencoderNetworkConfig { hidden: vec![].into(), code_size: 1, tied: false, ..AutoencoderNetworkConfig::example() };
        let model = MultiDecoderConfig::with_network(network).init(&data(), &mut Initializer::new(1, &device));
        let mut trainee = SingleOptimizer::new(model, Optimizer::new(ModuleOptimizer::from(AdamConfig::new().build()), None));
        let first = |t: f32| [t, 2.0 * t, 0.0, 0.0];
        let second = |t: f32| [t, 2.0 * t, 3.0 * t, 1.0];
        let at: Vec<f32> = (0..8).map(|i| i as f32 / 4.0 - 0.9).collect();
        let rows: Vec<[f32; 4]> = at.iter().map(|&t| first(t)).chain(at.iter().map(|&t| second(t))).collect();
        let labels: Vec<i64> = (0..16).map(|index| i64::from(index >= 8)).collect();
        let train = batch(&rows, &labels, &device);
        for step in 0..800 {
            let learning_rate = if step < 600 { 0.03 } else { 0.003 };
            let noise = &mut FixedNoise::new([]);
            trainee.train_step(&train, &mut StepContext { progress: Progress::end(1.0, step), learning_rate, noise });
        }
        let plain = device.clone().inner();
        let shown = batch(&[first(0.7)], &[0], &plain);
        let other = Batch { labels: batch(&[[0.0; 4]], &[1], &plain).labels, ..shown.clone() };
        let model = trainee.snapshot();
        assert!(model.decodes_by_class_only());
        let z = model.encode(shown.x.clone());
        let decoded = |batch: &Batch| numbers(model.conditioned(batch).unwrap().decode(z.clone()));
        let own = decoded(&shown);
        let swapped = decoded(&other);
        let close = |found: &[f32], expected: [f32; 4], within: f32| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < within);
        assert!(close(&own, first(0.7), 0.02), "{own:?}");
        // The code of the second domain may be scaled otherwise, but it is the second domain's line that is written.
        assert!((swapped[3] - 1.0).abs() < 0.05 && (swapped[1] - 2.0 * swapped[0]).abs() < 0.05, "{swapped:?}");
        assert!((swapped[2] - 3.0 * swapped[0]).abs() < 0.1, "{swapped:?}");
    }
}
