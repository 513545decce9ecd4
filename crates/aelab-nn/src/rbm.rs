//! The restricted Boltzmann machine: its distributions, its energy, and what can be measured of it.
//!
//! Smolensky 1986; Hinton 2002, "Training Products of Experts by Minimizing Contrastive Divergence", Neural
//! Computation 14; with Gaussian units: Welling, Rosen-Zvi & Hinton 2004, "Exponential Family Harmoniums".
//!
//! ```text
//! p(v, h) = exp(-E(v, h)) / Z        E(v, h) = E_v(v) + E_h(h) - v W h
//! E_v(v) = - a v  (Bernoulli)   or   |v - a|^2 / 2  (Gaussian of unit variance);   E_h(h) alike, with b
//! F(v)   = - log sum_h exp(-E(v, h))              the free energy: p(v) = exp(-F(v)) / Z
//! ```
//!
//! How it learns is in `rbm_learning`, how its partition function is found in `rbm_partition`.

use aelab_core::{Initialization, Initializer, Noise};
use aelab_kernels::{Loss, bernoulli_states, reconstruction_loss, softplus_sums};
use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Activation;

/// What values the units of one side take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    /// 0 or 1, with a logistic mean.
    #[default]
    Bernoulli,
    /// Any number, with a linear mean and unit variance.
    Gaussian,
}

impl UnitKind {
    /// What makes means of the total input, bias included.
    pub fn activation(self) -> Activation {
        match self {
            UnitKind::Bernoulli => Activation::Sigmoid,
            UnitKind::Gaussian => Activation::Linear,
        }
    }

    /// Means given the total input, bias included; any shape.
    pub fn mean<const D: usize>(self, input: Tensor<D>) -> Tensor<D> {
        self.activation().apply(input)
    }

    /// Independent samples of units with these means, `[batch, unit]`.
    pub fn sample(self, mean: Tensor<2>, noise: &mut dyn Noise) -> Tensor<2> {
        let (shape, device) = (mean.dims(), mean.device());
        match self {
            UnitKind::Bernoulli => {
                let uniform = noise.uniform(shape, &device);
                bernoulli_states(&mean, uniform).unwrap_or_else(|uniform| mean.greater(uniform).float())
            }
            UnitKind::Gaussian => mean + noise.normal(shape, &device),
        }
    }

    /// The units' own part of the energy, `[batch, unit]` to `[batch]`.
    fn energy(self, values: Tensor<2>, bias: Tensor<1>) -> Tensor<1> {
        let terms = match self {
            UnitKind::Bernoulli => values * bias.unsqueeze() * -1.0,
            UnitKind::Gaussian => (values - bias.unsqueeze()).square() * 0.5,
        };
        terms.sum_dim(1).squeeze_dim(1)
    }

    /// `log sum_u exp(u i - E(u))`, or the integral, for units with the input `i` from the other side, without their bias.
    /// `[batch, unit]` to `[batch]`.
    fn log_normalizer(self, input: Tensor<2>, bias: Tensor<1>) -> Tensor<1> {
        if self == UnitKind::Bernoulli
            && let Some(sums) = softplus_sums(&input, &bias)
        {
            return sums;
        }
        let bias: Tensor<2> = bias.unsqueeze();
        let terms = match self {
            UnitKind::Bernoulli => softplus(input + bias),
            UnitKind::Gaussian => input.clone() * bias + input.square() * 0.5 + 0.5 * (2.0 * std::f64::consts::PI).ln(),
        };
        terms.sum_dim(1).squeeze_dim(1)
    }
}

/// `1/B sum_b |v - v'|^2`, `[1]`, of rows, `[batch, visible]`.
pub fn squared_distance(v: Tensor<2>, reconstruction: Tensor<2>) -> Tensor<1> {
    reconstruction_loss(Loss::SquaredError, &v, &reconstruction, None).unwrap_or_else(|| (v - reconstruction).square().sum_dim(1).mean())
}

/// `log(1 + exp(x))` without overflow.
fn softplus(x: Tensor<2>) -> Tensor<2> {
    let magnitude = x.clone().abs();
    (x + magnitude.clone()) * 0.5 + (magnitude * -1.0).exp().log1p()
}

/// Visible and hidden units with connections between the sides only.
#[derive(Module, Debug)]
pub struct Rbm {
    /// `W`, `[visible, hidden]`.
    pub weight: Param<Tensor<2>>,
    /// `a`, `[visible]`.
    pub visible_bias: Param<Tensor<1>>,
    /// `b`, `[hidden]`.
    pub hidden_bias: Param<Tensor<1>>,
    #[module(skip)]
    visible: UnitKind,
    #[module(skip)]
    hidden: UnitKind,
}

impl Rbm {
    /// A machine with drawn weights; the weight is drawn before the biases.
    pub fn new(
        [num_visible, num_hidden]: [usize; 2],
        [visible, hidden]: [UnitKind; 2],
        how: Initialization,
        initializer: &mut Initializer,
    ) -> Self {
        let weight = initializer.weight([num_visible, num_hidden], num_visible, num_hidden, how);
        let visible_bias = initializer.bias(num_visible, num_hidden, how);
        let hidden_bias = initializer.bias(num_hidden, num_visible, how);
        Self { weight, visible_bias, hidden_bias, visible, hidden }
    }

    /// A machine with the given weight, `[visible, hidden]`, and biases, `[visible]` and `[hidden]`.
    pub fn from_tensors(weight: Tensor<2>, visible_bias: Tensor<1>, hidden_bias: Tensor<1>, [visible, hidden]: [UnitKind; 2]) -> Self {
        Self {
            weight: Param::initialized(ParamId::from(1), weight),
            visible_bias: Param::initialized(ParamId::from(2), visible_bias),
            hidden_bias: Param::initialized(ParamId::from(3), hidden_bias),
            visible,
            hidden,
        }
    }

    /// Kind of the visible units.
    pub fn visible(&self) -> UnitKind {
        self.visible
    }

    /// Kind of the hidden units.
    pub fn hidden(&self) -> UnitKind {
        self.hidden
    }

    /// Visible units.
    pub fn num_visible(&self) -> usize {
        self.weight.lazy_shape()[0]
    }

    /// Hidden units.
    pub fn num_hidden(&self) -> usize {
        self.weight.lazy_shape()[1]
    }

    /// Means of the hidden units given the visible ones: probabilities where they are Bernoulli.
    /// `[batch, visible]` to `[batch, hidden]`.
    pub fn hidden_mean(&self, v: Tensor<2>) -> Tensor<2> {
        self.hidden.activation().of_affine(v, self.weight.val(), Some(self.hidden_bias.val()), false)
    }

    /// Means of the visible units given the hidden ones. `[batch, hidden]` to `[batch, visible]`.
    pub fn visible_mean(&self, h: Tensor<2>) -> Tensor<2> {
        self.visible.activation().of_affine(h, self.weight.val(), Some(self.visible_bias.val()), true)
    }

    /// A sample of the hidden units given the visible ones. `[batch, visible]` to `[batch, hidden]`.
    pub fn sample_hidden(&self, v: Tensor<2>, noise: &mut dyn Noise) -> Tensor<2> {
        self.hidden.sample(self.hidden_mean(v), noise)
    }

    /// A sample of the visible units given the hidden ones. `[batch, hidden]` to `[batch, visible]`.
    pub fn sample_visible(&self, h: Tensor<2>, noise: &mut dyn Noise) -> Tensor<2> {
        self.visible.sample(self.visible_mean(h), noise)
    }

    /// `F(v)`, in nats: `[batch, visible]` to `[batch]`.
    pub fn free_energy(&self, v: Tensor<2>) -> Tensor<1> {
        let input = v.clone().matmul(self.weight.val());
        self.free_energy_by(v, input)
    }

    /// With the `input` of the hidden units, `[batch, hidden]`.
    fn free_energy_by(&self, v: Tensor<2>, input: Tensor<2>) -> Tensor<1> {
        self.visible.energy(v, self.visible_bias.val()) - self.hidden.log_normalizer(input, self.hidden_bias.val())
    }

    /// The same of hidden units, the visible ones summed out: `[batch, hidden]` to `[batch]`.
    pub(crate) fn free_energy_of_hidden(&self, h: Tensor<2>) -> Tensor<1> {
        let input = h.clone().matmul(self.weight.val().transpose());
        self.hidden.energy(h, self.hidden_bias.val()) - self.visible.log_normalizer(input, self.visible_bias.val())
    }

    /// `1/B sum_b |v - v'|^2` between `v` and the mean `v'` of the visible units given *sampled* hidden ones, in squared units
    /// per example: what contrastive divergence sees on its way. `[batch, visible]` to `[1]`.
    pub fn reconstruction_error(&self, v: Tensor<2>, noise: &mut dyn Noise) -> Tensor<1> {
        let reconstruction = self.visible_mean(self.sample_hidden(v.clone(), noise));
        squared_distance(v, reconstruction)
    }

    /// Pseudo-log-likelihood by one feature per example, in nats per example:
    /// `num_visible * log p(v_i | all others)` for a random `i`, the mean over the batch (as in Theano's tutorial). Values
    /// between 0 and 1 are rounded first. `None` unless the visible units are Bernoulli. `[batch, visible]` to `[1]`.
    pub fn pseudo_log_likelihood(&self, v: Tensor<2>, noise: &mut dyn Noise) -> Option<Tensor<1>> {
        if self.visible != UnitKind::Bernoulli {
            return None;
        }
        let v = v.round();
        let input = v.clone().matmul(self.weight.val());
        Some(self.pseudo_log_likelihood_by(v, input, noise))
    }

    /// [`Rbm::free_energy`] and [`Rbm::pseudo_log_likelihood`], whose inputs of the hidden units are one product.
    pub fn free_energy_and_pseudo_log_likelihood(&self, v: Tensor<2>, noise: &mut dyn Noise) -> (Tensor<1>, Option<Tensor<1>>) {
        if self.visible != UnitKind::Bernoulli {
            return (self.free_energy(v), None);
        }
        let (rounded, batch) = (v.clone().round(), v.dims()[0]);
        let input = Tensor::cat(vec![v.clone(), rounded.clone()], 0).matmul(self.weight.val());
        let pseudo_log_likelihood = self.pseudo_log_likelihood_by(rounded, input.clone().narrow(0, batch, batch), noise);
        (self.free_energy_by(v, input.narrow(0, 0, batch)), Some(pseudo_log_likelihood))
    }

    /// Of bits `v`, with the `input` of the hidden units, `[batch, hidden]`.
    fn pseudo_log_likelihood_by(&self, v: Tensor<2>, input: Tensor<2>, noise: &mut dyn Noise) -> Tensor<1> {
        let [batch, num_visible] = v.dims();
        let at = noise.uniform([batch, 1], &v.device()) * num_visible as f64;
        let index = at.floor().clamp_max(num_visible as f64 - 1.0).int();
        let bit = v.gather(1, index.clone());
        let index = index.squeeze_dim(1);
        let (weight, bias) = (self.weight.val().select(0, index.clone()), self.visible_bias.val().select(0, index));
        self.log_conditional(bit, input, weight, bias).mean() * num_visible as f64
    }

    /// Pseudo-log-likelihood over all features, `sum_i log p(v_i | all others)`, in nats per example, the mean over the batch.
    /// As many passes as there are features. `None` unless the visible units are Bernoulli.
    pub fn exact_pseudo_log_likelihood(&self, v: Tensor<2>) -> Option<Tensor<1>> {
        if self.visible != UnitKind::Bernoulli {
            return None;
        }
        let v = v.round();
        let (input, weight, bias) = (v.clone().matmul(self.weight.val()), self.weight.val(), self.visible_bias.val());
        let of_feature = |index: usize| {
            let bit = v.clone().narrow(1, index, 1);
            self.log_conditional(bit, input.clone(), weight.clone().narrow(0, index, 1), bias.clone().narrow(0, index, 1)).mean()
        };
        (0..self.num_visible()).map(of_feature).reduce(|sum, term| sum + term)
    }

    /// `log p(v_i | others) = log sigmoid(F(v with bit i flipped) - F(v))`, `[batch]`, for `bit` `v_i`, `[batch, 1]`, the `input`
    /// of the hidden units, `[batch, hidden]`, and weight and bias of the feature, `[batch or 1, hidden]`, `[batch or 1]`.
    fn log_conditional(&self, bit: Tensor<2>, input: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<1> {
        let change = bit * -2.0 + 1.0;
        let flipped = input.clone() + change.clone() * weight;
        let hidden = |input| self.hidden.log_normalizer(input, self.hidden_bias.val());
        let rise = hidden(input) - hidden(flipped) - change.squeeze_dim::<1>(1) * bias;
        let negative: Tensor<2> = (rise * -1.0).unsqueeze();
        softplus(negative).squeeze_dim::<1>(0) * -1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Purpose, StreamNoise, stream};
    use burn::tensor::{Device, TensorData};

    const KINDS: [UnitKind; 2] = [UnitKind::Bernoulli, UnitKind::Gaussian];

    fn noise(seed: u64) -> StreamNoise {
        StreamNoise(stream(seed, Purpose::Training, 0, 0))
    }

    fn small(kinds: [UnitKind; 2], device: &Device) -> Rbm {
        let weight = Tensor::from_data([[0.6, -0.4, 0.1], [-0.9, 0.3, 0.5]], device);
        let visible_bias = Tensor::<1>::from_data([0.2, -0.3], device);
        let hidden_bias = Tensor::<1>::from_data([-0.5, 0.4, 0.1], device);
        Rbm::from_tensors(weight, visible_bias, hidden_bias, kinds)
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// `E(v, h)` written out.
    fn energy(kinds: [UnitKind; 2], v: &[f64], h: &[f64]) -> f64 {
        let (weight, a, b) = ([[0.6, -0.4, 0.1], [-0.9, 0.3, 0.5]], [0.2, -0.3], [-0.5, 0.4, 0.1]);
        let own = |kind, values: &[f64], bias: &[f64]| -> f64 {
            let term = |(x, c): (&f64, &f64)| if kind == UnitKind::Bernoulli { -x * c } else { (x - c).powi(2) / 2.0 };
            values.iter().zip(bias).map(term).sum()
        };
        let coupling: f64 = (0..2).flat_map(|i| (0..3).map(move |j| (i, j))).map(|(i, j)| v[i] * weight[i][j] * h[j]).sum();
        own(kinds[0], v, &a) + own(kinds[1], h, &b) - coupling
    }

    #[test]
    fn the_free_energy_sums_or_integrates_the_hidden_units_out() {
        let device = Device::flex();
        let v = [0.7, 0.2];
        for visible in KINDS {
            let found = |hidden| {
                let v = Tensor::<2>::from_data([[0.7f32, 0.2]], &device);
                f64::from(values(small([visible, hidden], &device).free_energy(v))[0])
            };
            let bits: f64 = (0..8)
                .map(|index| [0, 1, 2].map(|bit| f64::from(index >> bit & 1)))
                .map(|h| (-energy([visible, UnitKind::Bernoulli], &v, &h)).exp())
                .sum();
            assert!((found(UnitKind::Bernoulli) + bits.ln()).abs() < 1e-5, "{visible:?}");
            // The hidden units are independent given v: a sum of integrals over one of them at a time, the others at 0.
            let kinds = [visible, UnitKind::Gaussian];
            let at_zero = energy(kinds, &v, &[0.0; 3]);
            let log_integral = |unit: usize| {
                let step = 1e-3;
                let density = |index: i32| {
                    let mut h = [0.0; 3];
                    h[unit] = f64::from(index) * step;
                    (at_zero - energy(kinds, &v, &h)).exp()
                };
                ((-10_000..10_000).map(density).sum::<f64>() * step).ln()
            };
            let expected = at_zero - (0..3).map(log_integral).sum::<f64>();
            assert!((found(UnitKind::Gaussian) - expected).abs() < 1e-5, "{visible:?}: {} is not {expected}", found(UnitKind::Gaussian));
        }
    }

    #[test]
    fn means_are_those_of_the_joint_distribution() {
        let device = Device::flex();
        let v = [1.0, 0.0];
        let kinds = [UnitKind::Bernoulli, UnitKind::Bernoulli];
        let mean = values(small(kinds, &device).hidden_mean(Tensor::from_data([[1.0, 0.0]], &device)));
        for unit in 0..3 {
            let weight = |value: f64| {
                let others = |index: i32| {
                    let mut h = [0, 1, 2].map(|bit| f64::from(index >> bit & 1));
                    h[unit] = value;
                    (-energy(kinds, &v, &h)).exp()
                };
                (0..8).map(others).sum::<f64>()
            };
            let expected = weight(1.0) / (weight(0.0) + weight(1.0));
            assert!((f64::from(mean[unit]) - expected).abs() < 1e-6);
        }
        // A Gaussian unit's mean is where the energy is least.
        let kinds = [UnitKind::Gaussian, UnitKind::Bernoulli];
        let mean = values(small(kinds, &device).visible_mean(Tensor::from_data([[1.0, 0.0, 1.0]], &device)));
        assert!((mean[0] - (0.2 + 0.6 + 0.1)).abs() < 1e-6 && (mean[1] - (-0.3 - 0.9 + 0.5)).abs() < 1e-6, "{mean:?}");
    }

    #[test]
    fn samples_have_the_means_and_variances_of_their_kind() {
        let device = Device::flex();
        let num = 20_000;
        for (kind, mean, variance) in [(UnitKind::Bernoulli, 0.3, 0.21), (UnitKind::Gaussian, -1.5, 1.0)] {
            let samples = kind.sample(Tensor::full([num, 1], mean, &device), &mut noise(3));
            let found = samples.clone().mean().into_scalar::<f32>();
            let spread = (samples - found).square().mean().into_scalar::<f32>();
            assert!((found - mean).abs() < 4.0 * (variance / num as f32).sqrt(), "{kind:?}: mean {found}");
            assert!((spread - variance).abs() < 0.04, "{kind:?}: variance {spread}");
        }
    }

    #[test]
    fn the_pseudo_likelihood_is_the_product_of_conditionals_and_one_feature_estimates_it() {
        let device = Device::flex();
        let v = [[1.0, 0.0], [1.0, 1.0f64]];
        for hidden in KINDS {
            let rbm = small([UnitKind::Bernoulli, hidden], &device);
            let free_energy = |v: [f64; 2]| {
                let v = Tensor::<2>::from_data(TensorData::new(v.map(|x| x as f32).to_vec(), [1, 2]), &device);
                f64::from(values(rbm.free_energy(v))[0])
            };
            let log_conditional = |v: [f64; 2], bit: usize| {
                let mut flipped = v;
                flipped[bit] = 1.0 - flipped[bit];
                let (here, there) = ((-free_energy(v)).exp(), (-free_energy(flipped)).exp());
                (here / (here + there)).ln()
            };
            let expected = v.map(|v| log_conditional(v, 0) + log_conditional(v, 1)).iter().sum::<f64>() / 2.0;
            let batch = Tensor::<2>::from_data([[1.0, 0.2], [0.9, 1.0f32]], &device);
            let exact = f64::from(values(rbm.exact_pseudo_log_likelihood(batch.clone()).unwrap())[0]);
            assert!((exact - expected).abs() < 1e-5, "{hidden:?}: {exact} is not {expected}");
            let many = batch.repeat_dim(0, 5000);
            let estimate = f64::from(values(rbm.pseudo_log_likelihood(many, &mut noise(5)).unwrap())[0]);
            assert!((estimate - expected).abs() < 0.02, "{hidden:?}: {estimate} is not {expected}");
        }
        let gaussian = small([UnitKind::Gaussian, UnitKind::Bernoulli], &device);
        assert!(gaussian.exact_pseudo_log_likelihood(Tensor::zeros([1, 2], &device)).is_none());
        assert!(gaussian.pseudo_log_likelihood(Tensor::zeros([1, 2], &device), &mut noise(1)).is_none());
    }
}
