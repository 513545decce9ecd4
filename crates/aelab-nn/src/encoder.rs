//! Encoders of any kind behind one face.

use aelab_core::{DataSpec, Initialization, Initializer};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::{Activation, ConvEncoder, GatedLinear, Hidden, Mlp};

/// From data through hidden layers, and through a dense last layer where one is wanted.
#[derive(Module, Debug)]
pub enum Encoder {
    /// Dense layers.
    Dense(Mlp),
    /// Gated dense layers, then dense ones.
    Gated(GatedEncoder),
    /// Convolutions, then dense layers.
    Convolutional(ImageEncoder),
}

/// Gated dense layers and what follows them.
#[derive(Module, Debug)]
pub struct GatedEncoder {
    gated: Vec<GatedLinear>,
    dense: Mlp,
}

/// Convolutions and what follows them.
#[derive(Module, Debug)]
pub struct ImageEncoder {
    maps: ConvEncoder,
    dense: Mlp,
}

impl Encoder {
    /// The hidden layers, each with its activation, and after them a dense layer with the given width and activation.
    /// Where the smallest map is the code, the layer is left out and only its activation applied.
    ///
    /// # Panics
    /// When [`Hidden::check`] refuses the layers, or the number of activations is not [`Hidden::num_layers`].
    pub fn new(
        hidden: &Hidden,
        data: &DataSpec,
        mut activations: Vec<Activation>,
        last: Option<(usize, Activation)>,
        bias: bool,
        how: Initialization,
        initializer: &mut Initializer,
    ) -> Self {
        assert_eq!(activations.len(), hidden.num_layers(), "each hidden layer has an activation");
        match hidden {
            Hidden::Dense(widths) => {
                let layers = widths.iter().copied().zip(activations).chain(last);
                Encoder::Dense(Mlp::new(data.num_features(), layers, bias, how, initializer))
            }
            Hidden::Gated(widths) => {
                let gated = gated_layers(data.num_features(), widths, bias, how, initializer);
                Encoder::Gated(GatedEncoder { gated, dense: Mlp::new(hidden.num_outputs(data), last, bias, how, initializer) })
            }
            Hidden::Convolutional(conv) => {
                let layout = conv.layout(data).expect("the configuration was checked");
                let after = activations.split_off(conv.channels.len());
                let maps = ConvEncoder::new(&layout, activations, how, initializer);
                let layers = conv.dense.iter().copied().zip(after).chain(last.filter(|_| conv.dense_code));
                Encoder::Convolutional(ImageEncoder { maps, dense: Mlp::new(layout.num_features(), layers, bias, how, initializer) })
            }
        }
    }

    /// `[batch, feature]` to what the last layer gives, `[batch, output]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Encoder::Dense(dense) => dense.forward(x),
            Encoder::Gated(encoder) => encoder.dense.forward(through(&encoder.gated, x)),
            Encoder::Convolutional(encoder) => encoder.dense.forward(encoder.maps.forward(x)),
        }
    }

    /// The layers, where all are dense and plain.
    pub fn dense(&self) -> Option<&Mlp> {
        match self {
            Encoder::Dense(dense) => Some(dense),
            _ => None,
        }
    }
}

/// Gated layers from `num_inputs` features through the given widths.
pub(crate) fn gated_layers(
    num_inputs: usize,
    widths: &[usize],
    bias: bool,
    how: Initialization,
    initializer: &mut Initializer,
) -> Vec<GatedLinear> {
    let inputs = std::iter::once(num_inputs).chain(widths.iter().copied());
    inputs.zip(widths).map(|(inputs, &outputs)| GatedLinear::new(inputs, outputs, bias, how, initializer)).collect()
}

pub(crate) fn through(gated: &[GatedLinear], x: Tensor<2>) -> Tensor<2> {
    gated.iter().fold(x, |x, layer| layer.forward(x))
}
