//! Convolutional encoders and decoders. Images come in and go out flattened.

use aelab_core::{Initialization, Initializer};
use burn::module::{Module, Param};
use burn::tensor::module::{conv_transpose2d, conv2d, interpolate, max_pool2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions};
use burn::tensor::{Tensor, assert_shape};

use crate::{Activation, ConvForm, ConvLayout};

/// A convolution or a transposed one: weight and bias.
#[derive(Module, Debug)]
struct Convolution {
    /// `[output, input, kernel, kernel]`; `[input, output, kernel, kernel]` where transposed.
    weight: Param<Tensor<4>>,
    /// `[output]`.
    bias: Param<Tensor<1>>,
}

impl Convolution {
    fn new(num_inputs: usize, num_outputs: usize, kernel_size: usize, how: Initialization, initializer: &mut Initializer) -> Self {
        let area = kernel_size * kernel_size;
        let shape = [num_outputs, num_inputs, kernel_size, kernel_size];
        let weight = initializer.weight(shape, num_inputs * area, num_outputs * area, how);
        Self { weight, bias: initializer.bias(num_outputs, num_inputs * area, how) }
    }

    fn transposed(num_inputs: usize, num_outputs: usize, kernel_size: usize, how: Initialization, initializer: &mut Initializer) -> Self {
        let area = kernel_size * kernel_size;
        let shape = [num_inputs, num_outputs, kernel_size, kernel_size];
        // PyTorch takes the second axis of the weight for the inputs, here too.
        let fan_in = if how == Initialization::Torch { num_outputs } else { num_inputs } * area;
        let weight = initializer.weight(shape, fan_in, num_outputs * area, how);
        Self { weight, bias: initializer.bias(num_outputs, fan_in, how) }
    }

    fn convolve(&self, x: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
        conv2d(x, self.weight.val(), Some(self.bias.val()), ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1))
    }

    fn convolve_transposed(&self, x: Tensor<4>, padding: usize, output_padding: [usize; 2]) -> Tensor<4> {
        let options = ConvTransposeOptions::new([2; 2], [padding; 2], output_padding, [1; 2], 1);
        conv_transpose2d(x, self.weight.val(), Some(self.bias.val()), options)
    }
}

/// Convolutions that halve an image at each layer.
#[derive(Module, Debug)]
pub struct ConvEncoder {
    convolutions: Vec<Convolution>,
    #[module(skip)]
    activations: Vec<Activation>,
    #[module(skip)]
    layout: ConvLayout,
}

impl ConvEncoder {
    /// An encoder of the given layout; `activations` has one entry per layer.
    ///
    /// # Panics
    /// When there are not as many activations as layers.
    pub fn new(layout: &ConvLayout, activations: Vec<Activation>, how: Initialization, initializer: &mut Initializer) -> Self {
        assert_eq!(activations.len() + 1, layout.levels.len(), "each convolution has an activation");
        let convolutions = layout
            .levels
            .windows(2)
            .map(|levels| Convolution::new(levels[0][0], levels[1][0], layout.kernel_size, how, initializer))
            .collect();
        Self { convolutions, activations, layout: layout.clone() }
    }

    /// Flattened images, `[batch, channel * height * width]`, to the flattened smallest map, `[batch, feature]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let layout = &self.layout;
        let [channels, height, width] = layout.levels[0];
        assert_shape!(x, [_, channels * height * width]);
        let batch_size = x.dims()[0];
        let images = x.reshape([batch_size, channels, height, width]);
        let map = self.convolutions.iter().zip(&self.activations).fold(images, |map, (convolution, activation)| match layout.form {
            ConvForm::Strided => activation.apply(convolution.convolve(map, 2, layout.padding())),
            ConvForm::Pooled => halve(activation.apply(convolution.convolve(map, 1, layout.padding()))),
        });
        map.reshape([batch_size, layout.num_features()])
    }
}

/// The way back: each layer doubles the map, to exactly the size that the encoder had there.
#[derive(Module, Debug)]
pub struct ConvDecoder {
    /// From the smallest map outwards.
    convolutions: Vec<Convolution>,
    /// As `convolutions`; the last one, which makes the image, is linear and not listed.
    #[module(skip)]
    activations: Vec<Activation>,
    #[module(skip)]
    layout: ConvLayout,
}

impl ConvDecoder {
    /// A decoder of the given layout; `activations` has one entry for each layer but the last, which is linear.
    ///
    /// # Panics
    /// When the number of activations is another.
    pub fn new(layout: &ConvLayout, activations: Vec<Activation>, how: Initialization, initializer: &mut Initializer) -> Self {
        assert_eq!(activations.len() + 2, layout.levels.len(), "each convolution but the last has an activation");
        let make = match layout.form {
            ConvForm::Strided => Convolution::transposed,
            ConvForm::Pooled => Convolution::new,
        };
        let convolutions =
            layout.levels.windows(2).rev().map(|levels| make(levels[1][0], levels[0][0], layout.kernel_size, how, initializer)).collect();
        Self { convolutions, activations, layout: layout.clone() }
    }

    /// The flattened smallest map, `[batch, feature]`, to flattened images before any output activation,
    /// `[batch, channel * height * width]`.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let layout = &self.layout;
        assert_shape!(features, [_, layout.num_features()]);
        let batch_size = features.dims()[0];
        let num_layers = self.convolutions.len();
        let [channels, height, width] = layout.levels[num_layers];
        let mut map = features.reshape([batch_size, channels, height, width]);
        for (index, convolution) in self.convolutions.iter().enumerate() {
            let level = num_layers - 1 - index;
            map = match layout.form {
                ConvForm::Strided => convolution.convolve_transposed(map, layout.padding(), layout.output_padding(level)),
                ConvForm::Pooled => convolution.convolve(double(map, layout.levels[level]), 1, layout.padding()),
            };
            map = self.activations.get(index).copied().unwrap_or(Activation::Linear).apply(map);
        }
        map.reshape([batch_size, layout.levels[0].iter().product()])
    }
}

/// Maxima over 2x2 squares; at an odd edge, over what is there.
fn halve(map: Tensor<4>) -> Tensor<4> {
    max_pool2d(map, MaxPoolOptions::new([2, 2]).with_ceil_mode(true))
}

/// Every pixel four times, cut to the size of `level`.
fn double(map: Tensor<4>, level: [usize; 3]) -> Tensor<4> {
    let [batch_size, channels, height, width] = map.dims();
    let [_, full_height, full_width] = level;
    let doubled = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([2 * height, 2 * width]);
    let map = interpolate(map, doubled);
    if [2 * height, 2 * width] == [full_height, full_width] {
        return map;
    }
    map.slice([0..batch_size, 0..channels, 0..full_height, 0..full_width])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use proptest::prelude::*;

    fn data<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn halving_takes_maxima_also_at_odd_edges() {
        let device = Device::flex();
        let map = Tensor::<1>::from_data([1.0, 5.0, 2.0, 3.0, 4.0, 9.0, 7.0, 8.0, 6.0], &device).reshape([1, 1, 3, 3]);
        assert_eq!(data(halve(map)), [5.0, 9.0, 8.0, 6.0]);
    }

    #[test]
    fn doubling_repeats_pixels_and_cuts_odd_edges() {
        let device = Device::flex();
        let map = Tensor::<1>::from_data([1.0, 2.0, 3.0, 4.0], &device).reshape([1, 1, 2, 2]);
        assert_eq!(data(double(map, [1, 3, 4])), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_image_comes_back_in_its_size(
            height in 1usize..20,
            width in 1usize..20,
            channels in 1usize..4,
            kernel in 1usize..6,
            depth in 1usize..4,
            pooled in any::<bool>(),
        ) {
            let form = if pooled { ConvForm::Pooled } else { ConvForm::Strided };
            let Ok(layout) = ConvLayout::solve([channels, height, width], &vec![2; depth], kernel, form) else { return Ok(()) };
            let device = Device::flex();
            let initializer = &mut Initializer::new(1, &device);
            let encoder = ConvEncoder::new(&layout, vec![Activation::Relu; depth], Initialization::default(), initializer);
            let decoder = ConvDecoder::new(&layout, vec![Activation::Relu; depth - 1], Initialization::default(), initializer);
            let x = Tensor::ones([2, channels * height * width], &device);
            let code = encoder.forward(x.clone());
            prop_assert_eq!(code.dims(), [2, layout.num_features()]);
            prop_assert_eq!(decoder.forward(code).dims(), x.dims());
        }
    }
}
