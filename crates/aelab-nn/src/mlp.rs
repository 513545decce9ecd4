//! Stacks of dense layers.

use aelab_core::{Initialization, Initializer};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, assert_shape};

use crate::{Activation, Linear};

/// Dense layers, each followed by its activation.
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    #[module(skip)]
    activations: Vec<Activation>,
}

impl Mlp {
    /// Layers from `num_inputs` features through the given widths, each with the activation beside it.
    /// No layers at all is the identity.
    pub fn new(
        num_inputs: usize,
        layers: impl IntoIterator<Item = (usize, Activation)>,
        bias: bool,
        how: Initialization,
        initializer: &mut Initializer,
    ) -> Self {
        let mut num_inputs = num_inputs;
        let (layers, activations) = layers
            .into_iter()
            .map(|(width, activation)| {
                let layer = Linear::new(num_inputs, width, bias, how, initializer);
                num_inputs = width;
                (layer, activation)
            })
            .unzip();
        Self { layers, activations }
    }

    /// `[batch, input]` to `[batch, output]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        if let Some(first) = self.layers.first() {
            assert_shape!(x, [_, first.num_inputs()]);
        }
        self.layers.iter().zip(&self.activations).fold(x, |x, (layer, activation)| layer.forward_activated(x, *activation))
    }

    /// The output, `[batch, output]`, and beside it the derivative of the activation at each unit of each layer,
    /// `[batch, unit]`, from the input on; see [`Activation::slope`].
    ///
    /// # Panics
    /// When an activation has no such derivative, see [`Activation::has_slope`].
    pub fn forward_with_slopes(&self, x: Tensor<2>) -> (Tensor<2>, Vec<Tensor<2>>) {
        let mut slopes = Vec::with_capacity(self.layers.len());
        let output = self.layers.iter().zip(&self.activations).fold(x, |x, (layer, activation)| {
            let output = layer.forward_activated(x, *activation);
            slopes.push(activation.slope_of_batch(output.clone()).expect("the activation was checked to have a slope"));
            output
        });
        (output, slopes)
    }

    /// The layers, from the input on.
    pub fn layers(&self) -> &[Linear] {
        &self.layers
    }

    /// The layers, to be given other weights.
    pub fn layers_mut(&mut self) -> &mut [Linear] {
        &mut self.layers
    }

    /// The activations, one per layer.
    pub fn activations(&self) -> &[Activation] {
        &self.activations
    }
}

/// A decoder that runs backwards through the weights of an encoder, with biases of its own.
///
/// It holds no weights: the encoder is lent to it for each pass, so its weights get both gradients.
#[derive(Module, Debug)]
pub struct TiedMlp {
    biases: Vec<Param<Tensor<1>>>,
    #[module(skip)]
    activations: Vec<Activation>,
}

impl TiedMlp {
    /// A decoder for `encoder`; `activations` has one entry per layer, from the code outwards.
    ///
    /// # Panics
    /// When there are not as many activations as the encoder has layers.
    pub fn new(encoder: &Mlp, activations: Vec<Activation>, bias: bool, how: Initialization, initializer: &mut Initializer) -> Self {
        assert_eq!(activations.len(), encoder.layers.len(), "a tied decoder has an activation for each layer of the encoder");
        let biases = if bias {
            encoder.layers.iter().rev().map(|layer| initializer.bias(layer.num_inputs(), layer.num_outputs(), how)).collect()
        } else {
            Vec::new()
        };
        Self { biases, activations }
    }

    /// The biases, from the code outwards.
    pub fn biases(&self) -> &[Param<Tensor<1>>] {
        &self.biases
    }

    /// The biases, to be given other values.
    pub fn biases_mut(&mut self) -> &mut [Param<Tensor<1>>] {
        &mut self.biases
    }

    /// `[batch, code]` to `[batch, input of the encoder]`.
    pub fn forward(&self, z: Tensor<2>, encoder: &Mlp) -> Tensor<2> {
        if let Some(last) = encoder.layers.last() {
            assert_shape!(z, [_, last.num_outputs()]);
        }
        encoder
            .layers
            .iter()
            .rev()
            .zip(&self.activations)
            .enumerate()
            .fold(z, |z, (index, (layer, activation))| layer.forward_transposed(z, self.biases.get(index).map(Param::val), *activation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn data(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn no_layers_are_the_identity() {
        let device = Device::flex();
        let mlp = Mlp::new(3, [], true, Initialization::default(), &mut Initializer::new(1, &device));
        let x = Tensor::from_data([[1.0, -2.0, 3.0]], &device);
        assert_eq!(data(mlp.forward(x.clone())), data(x));
    }

    #[test]
    fn layers_are_affine_maps_with_activations_in_order() {
        let device = Device::flex();
        let layers = [(2, Activation::Relu), (1, Activation::Linear)];
        let mlp = Mlp::new(2, layers, true, Initialization::Torch, &mut Initializer::new(1, &device));
        let numbers = |index: usize| -> (Vec<f32>, Vec<f32>) {
            let layer = &mlp.layers()[index];
            let bias = layer.bias.as_ref().unwrap().val();
            (layer.weight.val().into_data().try_to_vec().unwrap(), bias.into_data().try_to_vec().unwrap())
        };
        let ((w, b), (v, c)) = (numbers(0), numbers(1));
        let x = [0.7, -1.3];
        let hidden = [0, 1].map(|unit| (x[0] * w[unit] + x[1] * w[2 + unit] + b[unit]).max(0.0));
        let expected = hidden[0] * v[0] + hidden[1] * v[1] + c[0];
        let found = data(mlp.forward(Tensor::from_data([x], &device)))[0];
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn a_tied_decoder_is_the_transpose_with_its_own_biases() {
        let device = Device::flex();
        let initializer = &mut Initializer::new(3, &device);
        let linear = |width| (width, Activation::Linear);
        let encoder = Mlp::new(4, [linear(3), linear(2)], false, Initialization::default(), initializer);
        let decoder = TiedMlp::new(&encoder, vec![Activation::Linear; 2], true, Initialization::Torch, initializer);
        assert_eq!(decoder.num_params(), 3 + 4);
        let z = Tensor::from_data([[0.5, -0.25]], &device);
        let [first, second] = [&encoder.layers()[0], &encoder.layers()[1]].map(|layer| layer.weight.val());
        let hidden = z.clone().matmul(second.transpose()) + decoder.biases[0].val().unsqueeze();
        let expected = hidden.matmul(first.transpose()) + decoder.biases[1].val().unsqueeze();
        for (found, expected) in data(decoder.forward(z, &encoder)).iter().zip(data(expected)) {
            assert!((found - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn one_seed_gives_one_set_of_weights_and_another_seed_another() {
        let device = Device::flex();
        let output = |seed| {
            let layers = [(5, Activation::Tanh), (2, Activation::Linear)];
            let mlp = Mlp::new(3, layers, true, Initialization::default(), &mut Initializer::new(seed, &device));
            data(mlp.forward(Tensor::ones([1, 3], &device)))
        };
        assert_eq!(output(1), output(1));
        assert_ne!(output(1), output(2));
    }

    #[test]
    #[should_panic(expected = "expected 3, got 2")]
    fn a_wrong_number_of_features_is_named() {
        let device = Device::flex();
        let layers = [(2, Activation::Linear)];
        let mlp = Mlp::new(3, layers, true, Initialization::default(), &mut Initializer::new(1, &device));
        let _ = mlp.forward(Tensor::zeros([1, 2], &device));
    }
}
