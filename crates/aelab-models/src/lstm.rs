//! The LSTM autoencoder: a recurrent network reads a series into a code, another writes it back.
//!
//! Srivastava, Mansimov & Salakhutdinov 2015, "Unsupervised Learning of Video Representations using LSTMs", Sec. 2.2;
//! for anomaly detection: Malhotra et al. 2016, <https://arxiv.org/abs/1607.00148>.
//! <https://arxiv.org/abs/1502.04681>
//!
//! ```text
//! z = W h_T + b                     h_T: the encoder's last output, those of both ends where it is bidirectional
//! L(x) = sum_t || x_t - r_t ||^2    squared units per example, over the steps that the series has
//! ```
//!
//! The target is written in reverse (`reverse`), because what was read last is in fresh memory. Decoding is
//! `recurrent`, each step fed with the one before, or `one_shot`, the code at every step. Series may differ in
//! length: under a mask, padding changes neither codes nor losses nor gradients.

use aelab_core::{Autoencoder, Batch, ConfigError, DataSpec, Initializer, ModelConfig, Objective, StepContext, TermSpec, Unit};
use aelab_losses::squared_error;
use aelab_nn::{Activation, Feedback, Linear};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::network::check_code_size;
use crate::sequence_network::sequence_network_config;
use crate::{SequenceNetwork, SequenceNetworkConfig};

sequence_network_config! {
    /// Hyperparameters of [`Lstm`].
    #[schemars(transform = crate::schema::accept_latent_dim)]
    pub struct LstmConfig {
        /// Units of the code, an affine map of the encoder's last outputs.
        #[serde(alias = "latent_dim")]
        pub code_size: usize,
    }
}

/// An autoencoder of series.
#[derive(Module, Debug)]
pub struct Lstm {
    network: SequenceNetwork,
    code: Linear,
}

impl Autoencoder for Lstm {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.code.forward(self.network.features(x))
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.network.output(z, Feedback::Activated(Activation::Linear))
    }

    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let steps = self.network.steps_of(batch);
        let z = self.code.forward(self.network.features_at(batch.x.clone(), &steps));
        let reconstruction = self.network.output_towards(&batch.x, z, &steps, ctx, Feedback::Activated(Activation::Linear));
        Objective::new().term("squared_error", squared_error(batch.x.clone(), reconstruction, batch.mask.as_ref()), 1.0)
    }

    fn conditioned(&self, batch: &Batch) -> Option<Self> {
        Some(Self { network: self.network.conditioned(batch)?, ..self.clone() })
    }
}

impl ModelConfig for LstmConfig {
    const NAME: &'static str = "lstm";
    const SUMMARY: &'static str = "a recurrent network that reads a series into a code, and one that writes it back";
    const CITATION: &'static str = "Srivastava, Mansimov & Salakhutdinov 2015, Unsupervised Learning of Video Representations using \
                                    LSTMs, Sec. 2.2, https://arxiv.org/abs/1502.04681";
    type Model = Lstm;

    fn check(&self, data: &DataSpec) -> Result<(), ConfigError> {
        check_code_size("code_size", self.code_size)?;
        self.network().check(data)
    }

    fn warnings(&self, data: &DataSpec) -> Vec<String> {
        crate::network::overcomplete_warning(self.code_size, data).into_iter().collect()
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![TermSpec::new("squared_error", Unit::SquaredUnits, 1.0).squared_error_factor(1.0)]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Lstm {
        let (network, num_features) = self.network().init(data, self.code_size, initializer);
        Lstm { network, code: Linear::new(num_features, self.code_size, true, self.initialization, initializer) }
    }

    fn example() -> Self {
        Self::with_network(SequenceNetworkConfig::example(), 4)
    }

    fn example_data() -> DataSpec {
        SequenceNetworkConfig::example_data()
    }

    fn variations() -> Vec<(&'static str, Self)> {
        let shared = SequenceNetworkConfig::variations().into_iter().map(|(key, network)| (key, Self::with_network(network, 4)));
        shared.chain([("code_size", Self { code_size: 3, ..Self::example() })]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{FixedNoise, Progress, Purpose, Scheduled, StreamNoise, stream};
    use burn::module::{ModuleVisitor, Param};
    use burn::tensor::{Device, Gradients, TensorData};

    use crate::sequence_padding::{Padded, ragged};

    fn numbers(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    struct GradientsOf<'a>(&'a Gradients, Vec<f32>);

    impl ModuleVisitor for GradientsOf<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0).expect("every parameter takes part");
            self.1.extend(gradient.into_data().try_to_vec::<f32>().unwrap());
        }
    }

    /// Codes, reconstructions, loss and gradients of one model on one batch.
    fn everything(config: &LstmConfig, batch: &Batch, num_steps: usize, device: &Device) -> (Vec<f32>, Vec<f32>, f32, Vec<f32>) {
        let data = DataSpec::new([num_steps, 2], aelab_core::Domain::Real);
        let model = config.init(&data, &mut Initializer::new(1, device));
        let conditioned = model.conditioned(batch).unwrap_or_else(|| model.clone());
        let z = conditioned.encode(batch.x.clone());
        let reconstruction = conditioned.decode(z.clone());
        let mut noise = StreamNoise(stream(1, Purpose::Training, 0, 0));
        let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise: &mut noise };
        let loss = model.objective(batch, ctx).loss();
        let mut gradients = GradientsOf(&loss.backward(), Vec::new());
        model.visit(&mut gradients);
        (numbers(z), numbers(reconstruction), loss.into_scalar::<f32>(), gradients.1)
    }

    #[test]
    fn padding_changes_neither_codes_nor_reconstructions_nor_the_loss_nor_gradients() {
        let device = Device::flex().autodiff();
        let all = LstmConfig::variations().into_iter().chain([("example", LstmConfig::example())]);
        for (key, config) in all {
            let Padded { batch, padded, num_steps, padded_steps } = ragged(&device);
            let (z, reconstruction, loss, gradients) = everything(&config, &batch, num_steps, &device);
            let (z_padded, reconstruction_padded, loss_padded, gradients_padded) = everything(&config, &padded, padded_steps, &device);
            assert_eq!(z, z_padded, "{key}");
            // Zeros that are added up in another order round otherwise.
            assert!((loss - loss_padded).abs() < 1e-6 * loss, "{key}: {loss} {loss_padded}");
            assert_eq!(gradients, gradients_padded, "{key}");
            let observed: Vec<f32> = numbers(batch.mask.clone().unwrap());
            for (row, (short, long)) in reconstruction.chunks(num_steps * 2).zip(reconstruction_padded.chunks(padded_steps * 2)).enumerate()
            {
                for (index, value) in short.iter().enumerate().filter(|(index, _)| observed[row * num_steps * 2 + index] == 1.0) {
                    assert_eq!(*value, long[index], "{key}: series {row}, value {index}");
                }
            }
        }
    }

    #[test]
    fn a_series_is_treated_in_a_batch_as_it_is_alone() {
        let device = Device::flex().autodiff();
        for (key, config) in LstmConfig::variations() {
            if config.teacher_forcing != Scheduled::Constant(0.0) {
                continue;
            }
            let Padded { batch, num_steps, .. } = ragged(&device);
            let (codes, reconstructions, ..) = everything(&config, &batch, num_steps, &device);
            let lengths = [num_steps, 4, 1];
            for (row, length) in lengths.into_iter().enumerate() {
                let alone = Batch::new(batch.x.clone().narrow(0, row, 1).narrow(1, 0, 2 * length));
                let (z, reconstruction, ..) = everything(&config, &alone, length, &device);
                let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
                let width = config.code_size;
                assert!(close(&z, &codes[row * width..(row + 1) * width]), "{key}: code of series {row}");
                assert!(close(&reconstruction, &reconstructions[row * 2 * num_steps..][..2 * length]), "{key}: series {row}");
            }
        }
    }

    /// The truth is fed at the first steps that are written, so only with forcing does the reconstruction of a later
    /// step depend on the target of an earlier one.
    #[test]
    fn teacher_forcing_shows_the_decoder_the_true_step_before_and_never_the_step_itself() {
        let device = Device::flex().autodiff();
        let data = LstmConfig::example_data();
        let slopes = |config: LstmConfig, given: Vec<Vec<f32>>| {
            let model = config.init(&data, &mut Initializer::new(1, &device));
            let z = Tensor::<2>::from_data([[0.3, -0.2, 0.5, 0.1]], &device);
            let target = Tensor::<2>::from_data(TensorData::new((0..24).map(|i| (i as f32 * 0.7).sin()).collect(), [1, 24]), &device);
            let target = target.require_grad();
            let mut noise = FixedNoise::new(given);
            let ctx = &mut StepContext { progress: Progress::end(1.0, 0), learning_rate: 0.0, noise: &mut noise };
            let output = model.network.output_towards(&target, z, &aelab_nn::Steps::all(12), ctx, Feedback::Activated(Activation::Linear));
            // The values of step 5 alone.
            let gradients = output.narrow(1, 10, 2).sum().backward();
            target.grad(&gradients).map(numbers)
        };
        let forced = LstmConfig { teacher_forcing: 1.0.into(), ..LstmConfig::example() };
        let touched = |slopes: &[f32]| -> Vec<usize> { (0..12).filter(|step| slopes[2 * step..2 * step + 2] != [0.0, 0.0]).collect() };
        assert_eq!(touched(&slopes(LstmConfig { reverse: false, ..forced.clone() }, vec![]).unwrap()), [0, 1, 2, 3, 4]);
        assert_eq!(touched(&slopes(forced.clone(), vec![]).unwrap()), [6, 7, 8, 9, 10, 11]);
        assert_eq!(slopes(LstmConfig::example(), vec![]), None);
        // Given at the second step that is written only: what is fed there is the truth of the first.
        let sometimes = LstmConfig { teacher_forcing: 0.5.into(), reverse: false, ..forced };
        let second = (0..12).map(|step| if step == 1 { 1.0 } else { 0.0 }).collect();
        assert_eq!(touched(&slopes(sometimes, vec![second]).unwrap()), [0]);
    }

    /// Two series that differ at the last step they have.
    #[test]
    fn a_short_series_is_read_and_written_to_its_end_and_no_further() {
        let device = Device::flex();
        for bidirectional in [false, true] {
            let config = LstmConfig { bidirectional, ..LstmConfig::example() };
            let model = config.init(&LstmConfig::example_data(), &mut Initializer::new(1, &device));
            let codes = |at: usize| {
                let mut x = vec![0.5f32; 24];
                x[at] = -3.0;
                let mask: Vec<f32> = (0..24).map(|index| if index < 10 { 1.0 } else { 0.0 }).collect();
                let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [1, 24]), &device);
                let batch = Batch { mask: Some(tensor(mask)), ..Batch::new(tensor(x)) };
                numbers(model.conditioned(&batch).unwrap().encode(batch.x))
            };
            assert_eq!(codes(10), codes(20), "bidirectional: {bidirectional}");
            assert_ne!(codes(9), codes(20), "bidirectional: {bidirectional}");
        }
    }
}
