//! Decoders of any kind behind one face.

use aelab_core::{DataSpec, Initialization, Initializer};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::encoder::{gated_layers, through};
use crate::{Activation, ConvDecoder, GatedLinear, Hidden, Mlp};

/// From a code back through the mirrored hidden layers to data, before any output activation.
#[derive(Module, Debug)]
pub enum Decoder {
    /// Dense layers.
    Dense(Mlp),
    /// Gated dense layers, then a dense one.
    Gated(GatedDecoder),
    /// Dense layers, then convolutions.
    Convolutional(ImageDecoder),
}

/// Gated dense layers and the one that makes the data.
#[derive(Module, Debug)]
pub struct GatedDecoder {
    gated: Vec<GatedLinear>,
    dense: Mlp,
}

/// Dense layers to the smallest map, and convolutions from there.
#[derive(Module, Debug)]
pub struct ImageDecoder {
    dense: Mlp,
    maps: ConvDecoder,
}

impl Decoder {
    /// The mirror image of an encoder with these `hidden` layers (named from the data inwards), for codes of `num_inputs`
    /// values; `activations` go from the code outwards. The last layer is linear.
    ///
    /// # Panics
    /// When [`Hidden::check`] refuses the layers, or the number of activations is not [`Hidden::num_layers`].
    pub fn new(
        hidden: &Hidden,
        data: &DataSpec,
        num_inputs: usize,
        mut activations: Vec<Activation>,
        bias: bool,
        how: Initialization,
        initializer: &mut Initializer,
    ) -> Self {
        assert_eq!(activations.len(), hidden.num_layers(), "each hidden layer has an activation");
        let to_data = [(data.num_features(), Activation::Linear)];
        match hidden {
            Hidden::Dense(widths) => {
                let layers = widths.iter().rev().copied().zip(activations).chain(to_data);
                Decoder::Dense(Mlp::new(num_inputs, layers, bias, how, initializer))
            }
            Hidden::Gated(widths) => {
                let widths: Vec<usize> = widths.iter().rev().copied().collect();
                let gated = gated_layers(num_inputs, &widths, bias, how, initializer);
                let dense = Mlp::new(widths.last().copied().unwrap_or(num_inputs), to_data, bias, how, initializer);
                Decoder::Gated(GatedDecoder { gated, dense })
            }
            Hidden::Convolutional(conv) => {
                let layout = conv.layout(data).expect("the configuration was checked");
                let of_maps = activations.split_off(conv.dense.len());
                let to_map = [(layout.num_features(), of_maps[0])].into_iter().filter(|_| conv.dense_code);
                let layers = conv.dense.iter().rev().copied().zip(activations).chain(to_map);
                let dense = Mlp::new(num_inputs, layers, bias, how, initializer);
                Decoder::Convolutional(ImageDecoder { dense, maps: ConvDecoder::new(&layout, of_maps, how, initializer) })
            }
        }
    }

    /// `[batch, code]` to what the last layer leaves, `[batch, feature]`.
    pub fn forward(&self, z: Tensor<2>) -> Tensor<2> {
        match self {
            Decoder::Dense(dense) => dense.forward(z),
            Decoder::Gated(decoder) => decoder.dense.forward(through(&decoder.gated, z)),
            Decoder::Convolutional(decoder) => decoder.maps.forward(decoder.dense.forward(z)),
        }
    }
}
