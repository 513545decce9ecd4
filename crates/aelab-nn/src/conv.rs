//! Convolutional encoders and decoders. Images come in and go out flattened.

use aelab_core::{Initialization, Initializer};
use aelab_kernels::{Sliding, convolution};
use burn::module::{Module, Param};
use burn::tensor::module::{conv_transpose2d, conv2d, interpolate, max_pool2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions};
use burn::tensor::{Tensor, assert_shape};

use crate::{Activation, BatchNorm, ConvForm, ConvLayout};

/// A convolution or a transposed one, and batch normalisation where wanted.
#[derive(Module, Debug)]
struct Convolution {
    /// `[output, input, kernel, kernel]`; `[input, output, kernel, kernel]` where transposed.
    weight: Param<Tensor<4>>,
    /// `[output]`; none before batch normalisation, which would take it out again.
    bias: Option<Param<Tensor<1>>>,
    batch_norm: Option<BatchNorm>,
}

/// What a convolution is made of besides its weight.
#[derive(Clone, Copy)]
struct Form {
    kernel_size: usize,
    transposed: bool,
    batch_norm: bool,
    how: Initialization,
}

impl Convolution {
    fn new(num_inputs: usize, num_outputs: usize, form: Form, initializer: &mut Initializer) -> Self {
        let Form { kernel_size, transposed, batch_norm, how } = form;
        let area = kernel_size * kernel_size;
        let channels = if transposed { [num_inputs, num_outputs] } else { [num_outputs, num_inputs] };
        // PyTorch takes the second axis of the weight for the inputs, also where it is transposed.
        let fan_in = if transposed && how == Initialization::Torch { num_outputs } else { num_inputs } * area;
        let weight = initializer.weight([channels[0], channels[1], kernel_size, kernel_size], fan_in, num_outputs * area, how);
        let bias = (!batch_norm).then(|| initializer.bias(num_outputs, fan_in, how));
        Self { weight, bias, batch_norm: batch_norm.then(|| BatchNorm::new(num_outputs, initializer)) }
    }

    fn convolve(&self, x: Tensor<4>, stride: usize, padding: usize, ending: Ending<'_>) -> Tensor<4> {
        let sliding = Sliding { stride, padding, output: [0, 0], transposed: false, flattened: ending.flattened };
        self.fused(&x, sliding, ending).unwrap_or_else(|| {
            let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
            self.end(conv2d(x, self.weight.val(), self.bias.as_ref().map(Param::val), options), ending)
        })
    }

    /// Of stride 2, from the map of level `level + 1` to that of `level`.
    fn convolve_transposed(&self, x: Tensor<4>, layout: &ConvLayout, level: usize, ending: Ending<'_>) -> Tensor<4> {
        let (padding, [_, height, width]) = (layout.padding(), layout.levels[level]);
        let sliding = Sliding { stride: 2, padding, output: [height, width], transposed: true, flattened: ending.flattened };
        self.fused(&x, sliding, ending).unwrap_or_else(|| {
            let options = ConvTransposeOptions::new([2; 2], [padding; 2], layout.output_padding(level), [1; 2], 1);
            self.end(conv_transpose2d(x, self.weight.val(), self.bias.as_ref().map(Param::val), options), ending)
        })
    }

    /// As one operation, or as two with batch normalisation, where there are kernels.
    fn fused(&self, x: &Tensor<4>, sliding: Sliding, ending: Ending<'_>) -> Option<Tensor<4>> {
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        let convolution = |residual, activation| convolution(x, &weight, bias.as_ref(), residual, activation, sliding);
        match (&self.batch_norm, ending.activation.fused()) {
            (None, Some(activation)) => convolution(ending.residual, activation),
            _ => convolution(None, aelab_kernels::Activation::Linear).map(|map| self.end(map, ending)),
        }
    }

    /// What comes after the convolution.
    fn end(&self, map: Tensor<4>, Ending { residual, activation, .. }: Ending<'_>) -> Tensor<4> {
        match &self.batch_norm {
            Some(batch_norm) => batch_norm.forward(map, residual, activation),
            None => activation.apply(match residual {
                Some(residual) => map + residual.clone(),
                None => map,
            }),
        }
    }
}

/// What comes after a convolution and its batch normalisation.
#[derive(Clone, Copy)]
struct Ending<'a> {
    /// What is added before the activation.
    residual: Option<&'a Tensor<4>>,
    activation: Activation,
    /// Whether the map is flattened next.
    flattened: bool,
}

impl From<Activation> for Ending<'_> {
    fn from(activation: Activation) -> Self {
        Self { residual: None, activation, flattened: false }
    }
}

/// `a(x + c(a(d(x))))` with a convolution `d` of 3 x 3, one `c` of 1 x 1 and the activation `a` of the level (He et al.
/// 2016, <https://arxiv.org/abs/1512.03385>, Fig. 2; the sizes are those of van den Oord et al. 2017, Sec. 4.1).
#[derive(Module, Debug)]
struct ResidualBlock {
    first: Convolution,
    second: Convolution,
}

impl ResidualBlock {
    fn new(num_channels: usize, form: Form, initializer: &mut Initializer) -> Self {
        let form = |kernel_size| Form { kernel_size, transposed: false, ..form };
        Self {
            first: Convolution::new(num_channels, num_channels, form(3), initializer),
            second: Convolution::new(num_channels, num_channels, form(1), initializer),
        }
    }

    fn forward(&self, map: Tensor<4>, activation: Activation) -> Tensor<4> {
        let inner = self.first.convolve(map.clone(), 1, 1, activation.into());
        self.second.convolve(inner, 1, 0, Ending { residual: Some(&map), activation, flattened: false })
    }
}

/// The residual blocks of every level with `num_channels`, one list after the other.
fn residual_blocks(
    layout: &ConvLayout,
    num_channels: impl Iterator<Item = usize>,
    how: Initialization,
    initializer: &mut Initializer,
) -> Vec<ResidualBlock> {
    let form = Form { kernel_size: 3, transposed: false, batch_norm: layout.batch_norm, how };
    num_channels
        .flat_map(|channels| std::iter::repeat_n(channels, layout.residual_blocks))
        .map(|channels| ResidualBlock::new(channels, form, initializer))
        .collect()
}

/// Convolutions that halve an image at each layer.
#[derive(Module, Debug)]
pub struct ConvEncoder {
    convolutions: Vec<Convolution>,
    /// Those after the first convolution first.
    residual_blocks: Vec<ResidualBlock>,
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
        let form = Form { kernel_size: layout.kernel_size, transposed: false, batch_norm: layout.batch_norm, how };
        let convolutions = layout.levels.windows(2).map(|levels| Convolution::new(levels[0][0], levels[1][0], form, initializer)).collect();
        let residual_blocks = residual_blocks(layout, layout.levels.iter().skip(1).map(|level| level[0]), how, initializer);
        Self { convolutions, residual_blocks, activations, layout: layout.clone() }
    }

    /// Flattened images, `[batch, channel * height * width]`, to the flattened smallest map, `[batch, feature]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let layout = &self.layout;
        let [channels, height, width] = layout.levels[0];
        assert_shape!(x, [_, channels * height * width]);
        let batch_size = x.dims()[0];
        let mut map = x.reshape([batch_size, channels, height, width]);
        for (index, (convolution, &activation)) in self.convolutions.iter().zip(&self.activations).enumerate() {
            map = match layout.form {
                ConvForm::Strided => {
                    let flattened = index + 1 == self.convolutions.len() && layout.residual_blocks == 0;
                    convolution.convolve(map, 2, layout.padding(), Ending { residual: None, activation, flattened })
                }
                ConvForm::Pooled => halve(convolution.convolve(map, 1, layout.padding(), activation.into())),
            };
            let first = index * layout.residual_blocks;
            let blocks = &self.residual_blocks[first..first + layout.residual_blocks];
            map = blocks.iter().fold(map, |map, block| block.forward(map, activation));
        }
        map.reshape([batch_size, layout.num_features()])
    }
}

/// The way back: each layer doubles the map, to exactly the size that the encoder had there.
#[derive(Module, Debug)]
pub struct ConvDecoder {
    /// From the smallest map outwards.
    convolutions: Vec<Convolution>,
    /// Those before the first convolution first.
    residual_blocks: Vec<ResidualBlock>,
    /// Of the smallest map's residual blocks, then of the convolutions; the last one, which makes the image, is linear.
    #[module(skip)]
    activations: Vec<Activation>,
    #[module(skip)]
    layout: ConvLayout,
}

impl ConvDecoder {
    /// A decoder of the given layout; `activations` has one entry per layer: the first is that of the smallest map, which
    /// comes in activated, the others those of all convolutions but the last, which is linear.
    ///
    /// # Panics
    /// When the number of activations is another.
    pub fn new(layout: &ConvLayout, activations: Vec<Activation>, how: Initialization, initializer: &mut Initializer) -> Self {
        assert_eq!(activations.len() + 1, layout.levels.len(), "each map but the image has an activation");
        let convolutions = layout
            .levels
            .windows(2)
            .enumerate()
            .rev()
            .map(|(level, levels)| {
                let batch_norm = layout.batch_norm && level > 0;
                let form = Form { kernel_size: layout.kernel_size, transposed: layout.form == ConvForm::Strided, batch_norm, how };
                Convolution::new(levels[1][0], levels[0][0], form, initializer)
            })
            .collect();
        let residual_blocks = residual_blocks(layout, layout.levels.iter().skip(1).rev().map(|level| level[0]), how, initializer);
        Self { convolutions, residual_blocks, activations, layout: layout.clone() }
    }

    /// The flattened smallest map, `[batch, feature]`, to flattened images before any output activation,
    /// `[batch, channel * height * width]`.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let layout = &self.layout;
        assert_shape!(features, [_, layout.num_features()]);
        let batch_size = features.dims()[0];
        let [channels, height, width] = layout.smallest();
        let mut map = features.reshape([batch_size, channels, height, width]);
        for (index, (convolution, &activation)) in self.convolutions.iter().zip(&self.activations).enumerate() {
            let first = index * layout.residual_blocks;
            let blocks = &self.residual_blocks[first..first + layout.residual_blocks];
            map = blocks.iter().fold(map, |map, block| block.forward(map, activation));
            let level = self.convolutions.len() - 1 - index;
            let activation = self.activations.get(index + 1).copied().unwrap_or(Activation::Linear);
            map = match layout.form {
                ConvForm::Strided => convolution.convolve_transposed(map, layout, level, activation.into()),
                ConvForm::Pooled => convolution.convolve(double(map, layout.levels[level]), 1, layout.padding(), activation.into()),
            };
        }
        map.reshape([batch_size, layout.levels[0].iter().product()])
    }
}

/// Maxima over 2x2 squares; at an odd edge, over what is there.
fn halve(map: Tensor<4>) -> Tensor<4> {
    aelab_kernels::halve(&map).unwrap_or_else(|| max_pool2d(map, MaxPoolOptions::new([2, 2]).with_ceil_mode(true)))
}

/// Every pixel four times, cut to the size of `level`.
fn double(map: Tensor<4>, level: [usize; 3]) -> Tensor<4> {
    let [_, full_height, full_width] = level;
    if let Some(doubled) = aelab_kernels::double(&map, [full_height, full_width]) {
        return doubled;
    }
    let [batch_size, channels, height, width] = map.dims();
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
            batch_norm in any::<bool>(),
            residual_blocks in 0usize..3,
        ) {
            let form = if pooled { ConvForm::Pooled } else { ConvForm::Strided };
            let Ok(layout) = ConvLayout::solve([channels, height, width], &vec![2; depth], kernel, form) else { return Ok(()) };
            let layout = layout.with_blocks(batch_norm, residual_blocks);
            let device = Device::flex();
            let initializer = &mut Initializer::new(1, &device);
            let encoder = ConvEncoder::new(&layout, vec![Activation::Relu; depth], Initialization::default(), initializer);
            let decoder = ConvDecoder::new(&layout, vec![Activation::Relu; depth], Initialization::default(), initializer);
            let x = Tensor::ones([2, channels * height * width], &device);
            let code = encoder.forward(x.clone());
            prop_assert_eq!(code.dims(), [2, layout.num_features()]);
            prop_assert_eq!(decoder.forward(code).dims(), x.dims());
        }
    }
}
