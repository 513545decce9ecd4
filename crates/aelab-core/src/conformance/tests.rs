//! The suite itself: it passes a sound model, and each flaw is caught by the law that forbids it.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Autoencoder, Batch, ConfigError, DataSpec, Initialization, Initializer, ModelConfig, Objective, StepContext, TermSpec, Unit};

const SOUND: u8 = 0;
const IDLE_PARAMETER: u8 = 1;
const UNDECLARED_TERM: u8 = 2;
const LOGARITHM_OF_BLACK: u8 = 3;
const WRONG_GRADIENT: u8 = 4;
const GLOBAL_STATE: u8 = 5;
const CODE_TOO_WIDE: u8 = 6;
const KEY_WITHOUT_EFFECT: u8 = 7;
const STATE_OUTSIDE_THE_RECORD: u8 = 8;
const RISING_LOSS: u8 = 9;

/// A linear autoencoder with tied weights, and perhaps one flaw.
#[derive(Module, Debug)]
struct Toy<const FLAW: u8> {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    scale: f32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ToyConfig<const FLAW: u8> {
    code_size: usize,
    scale: f32,
}

impl<const FLAW: u8> Toy<FLAW> {
    fn unbiased(&self, z: Tensor<2>) -> Tensor<2> {
        z.matmul(self.weight.val().transpose()) * self.scale
    }
}

impl<const FLAW: u8> Autoencoder for Toy<FLAW> {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        let z = x.matmul(self.weight.val());
        if FLAW == CODE_TOO_WIDE { Tensor::cat(vec![z.clone(), z], 1) } else { z }
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        let z = if FLAW == CODE_TOO_WIDE { z.clone().narrow(1, 0, z.dims()[1] / 2) } else { z };
        self.unbiased(z) + self.bias.val().unsqueeze()
    }

    fn objective(&self, batch: &Batch, _ctx: &mut StepContext<'_>) -> Objective {
        let x = batch.x.clone();
        let reconstruction = if FLAW == IDLE_PARAMETER { self.unbiased(self.encode(x.clone())) } else { self.reconstruct(x.clone()) };
        let error = (x.clone() - reconstruction).square().sum_dim(1).mean();
        let error = match FLAW {
            WRONG_GRADIENT => error.clone() * 2.0 - error.detach(),
            LOGARITHM_OF_BLACK => error + x.log().mean() * 0.0,
            // The tape sees a loss that falls where the value rises.
            RISING_LOSS => error.clone().detach() * 2.0 - error,
            GLOBAL_STATE => error * (1.0 + Tensor::<1>::random([1], burn::tensor::Distribution::Default, &x.device())),
            _ => error,
        };
        Objective::new().term(if FLAW == UNDECLARED_TERM { "mse" } else { "squared_error" }, error, 1.0)
    }
}

impl<const FLAW: u8> ModelConfig for ToyConfig<FLAW> {
    const NAME: &'static str = "toy";
    const SUMMARY: &'static str = "a linear autoencoder with tied weights";
    const CITATION: &'static str = "none";
    type Model = Toy<FLAW>;

    fn check(&self, _data: &DataSpec) -> Result<(), ConfigError> {
        Ok(())
    }

    fn code_size(&self) -> usize {
        self.code_size
    }

    fn terms(&self, _data: &DataSpec) -> Vec<TermSpec> {
        vec![TermSpec::new("squared_error", Unit::SquaredUnits, 1.0)]
    }

    fn init(&self, data: &DataSpec, initializer: &mut Initializer) -> Toy<FLAW> {
        let num_features = data.num_features();
        let weight = initializer.weight([num_features, self.code_size], num_features, self.code_size, Initialization::default());
        let bias = initializer.constant([num_features], 0.0);
        let scale = match FLAW {
            KEY_WITHOUT_EFFECT => 1.0,
            STATE_OUTSIDE_THE_RECORD => weight.val().sum().into_scalar::<f32>(),
            _ => self.scale,
        };
        Toy { weight, bias, scale }
    }

    fn example() -> Self {
        Self { code_size: 3, scale: 1.0 }
    }

    fn variations() -> Vec<(&'static str, Self)> {
        vec![("code_size", Self { code_size: 2, ..Self::example() }), ("scale", Self { scale: 0.5, ..Self::example() })]
    }
}

fn device() -> Device {
    Device::flex().autodiff()
}

#[test]
fn a_sound_model_passes() {
    super::check::<ToyConfig<SOUND>>(&device());
}

#[test]
#[should_panic(expected = "`bias` gets no gradient")]
fn a_parameter_that_takes_no_part_is_caught() {
    super::every_parameter_learns::<ToyConfig<IDLE_PARAMETER>>(&device());
}

#[test]
#[should_panic(expected = "\"mse\"")]
fn a_term_that_was_not_declared_is_caught() {
    super::the_objective_has_the_declared_terms::<ToyConfig<UNDECLARED_TERM>>(&device());
}

#[test]
#[should_panic(expected = "4 examples of 0")]
fn a_logarithm_of_a_black_pixel_is_caught() {
    super::extreme_inputs_give_finite_terms_and_gradients::<ToyConfig<LOGARITHM_OF_BLACK>>(&device());
}

#[test]
#[should_panic(expected = "the gradient is off")]
fn a_gradient_that_is_not_the_slope_is_caught() {
    super::gradients_equal_central_differences::<ToyConfig<WRONG_GRADIENT>>(&device());
}

#[test]
#[should_panic(expected = "two runs of one seed differ")]
fn randomness_that_is_not_handed_in_is_caught() {
    super::the_seed_decides_every_bit::<ToyConfig<GLOBAL_STATE>>(&device());
}

#[test]
#[should_panic(expected = "encode")]
fn a_code_of_another_size_is_caught() {
    super::shapes_agree_with_the_data_and_the_code_size::<ToyConfig<CODE_TOO_WIDE>>(&device());
}

#[test]
#[should_panic(expected = "training is the same with another `scale`")]
fn a_key_without_effect_is_caught() {
    super::every_key_has_a_variation_and_every_variation_matters::<ToyConfig<KEY_WITHOUT_EFFECT>>(&device());
}

#[test]
#[should_panic(expected = "the model that was read is another one")]
fn state_that_the_record_does_not_hold_is_caught() {
    super::a_model_survives_being_written_and_read::<ToyConfig<STATE_OUTSIDE_THE_RECORD>>(&device());
}

#[test]
#[should_panic(expected = "the losses differ after a restore")]
fn a_restore_that_forgets_something_is_caught() {
    super::a_restored_model_goes_on_bit_for_bit::<ToyConfig<STATE_OUTSIDE_THE_RECORD>>(&device());
}

#[test]
#[should_panic(expected = "before")]
fn a_loss_that_rises_is_caught() {
    super::the_loss_falls::<ToyConfig<RISING_LOSS>>(&device());
}
