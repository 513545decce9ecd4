//! Initial parameters from a derived stream.

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_distr::StandardNormal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Purpose, Stream, stream};

/// How weights start.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Initialization {
    /// Uniform in +-sqrt(6 / (fan_in + fan_out)), biases 0 (Glorot & Bengio 2010, Eq. 16).
    #[default]
    GlorotUniform,
    /// Normal with variance 2 / fan_in, biases 0 (He et al. 2015, Eq. 10): for ReLU.
    HeNormal,
    /// Weights and biases uniform in +-1 / sqrt(fan_in): what PyTorch's `Linear` and `Conv2d` do.
    Torch,
    /// Normal with the given standard deviation, biases 0.
    Normal {
        /// Standard deviation.
        sigma: f64,
    },
}

/// Makes the parameters of a model, one after the other, from the seed.
///
/// Identifiers count up from 1 in the order of creation, so two runs of the same configuration write
/// the same checkpoint to the byte.
#[derive(Debug)]
pub struct Initializer {
    stream: Stream,
    next_id: u64,
    device: Device,
}

impl Initializer {
    /// Parameters for `seed` on `device`; give an autodiff device where gradients are wanted.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { stream: stream(seed, Purpose::Initialization, 0, 0), next_id: 1, device: device.clone() }
    }

    /// The device that parameters are made on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A weight of the given shape; `fan_in` and `fan_out` count the connections of one unit.
    pub fn weight<const D: usize>(&mut self, shape: [usize; D], fan_in: usize, fan_out: usize, how: Initialization) -> Param<Tensor<D>> {
        match how {
            Initialization::GlorotUniform => self.uniform(shape, (6.0 / (fan_in + fan_out) as f64).sqrt()),
            Initialization::Torch => self.uniform(shape, 1.0 / (fan_in as f64).sqrt()),
            Initialization::HeNormal => self.normal(shape, (2.0 / fan_in as f64).sqrt()),
            Initialization::Normal { sigma } => self.normal(shape, sigma),
        }
    }

    /// A bias of the given length beside a weight of that `fan_in`.
    pub fn bias(&mut self, length: usize, fan_in: usize, how: Initialization) -> Param<Tensor<1>> {
        match how {
            Initialization::Torch => self.uniform([length], 1.0 / (fan_in as f64).sqrt()),
            _ => self.constant([length], 0.0),
        }
    }

    /// A parameter that no optimizer moves: a moving average, a count, a codebook that is averaged. It is saved
    /// and restored like the others.
    pub fn buffer<const D: usize>(&mut self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.constant(shape, value).set_require_grad(false)
    }

    /// The next identifier, for a state that is no parameter.
    pub fn id(&mut self) -> ParamId {
        let id = ParamId::from(self.next_id);
        self.next_id += 1;
        id
    }

    /// A parameter with every value the same.
    pub fn constant<const D: usize>(&mut self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.parameter(shape, |_| value)
    }

    fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        let bound = bound as f32;
        self.parameter(shape, |rng| (rng.random::<f32>() * 2.0 - 1.0) * bound)
    }

    fn normal<const D: usize>(&mut self, shape: [usize; D], sigma: f64) -> Param<Tensor<D>> {
        let sigma = sigma as f32;
        self.parameter(shape, |rng| rng.sample::<f32, _>(StandardNormal) * sigma)
    }

    fn parameter<const D: usize>(&mut self, shape: [usize; D], mut draw: impl FnMut(&mut Stream) -> f32) -> Param<Tensor<D>> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw(&mut self.stream)).collect();
        let id = ParamId::from(self.next_id);
        self.next_id += 1;
        let tensor = Tensor::from_data(TensorData::new(values, shape), &self.device);
        Param::initialized(id, if self.device.is_autodiff() { tensor.require_grad() } else { tensor })
    }
}
