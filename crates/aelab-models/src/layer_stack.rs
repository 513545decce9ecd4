//! Dense encoder and mirrored decoder whose layers can be trained one at a time.

use aelab_core::{Initialization, Initializer};
use aelab_nn::{Activation, Linear, Mlp, TiedMlp};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, module};

use crate::Reconstruction;

/// A dense autoencoder: layer `i` of the encoder faces layer `n - 1 - i` of the decoder.
#[derive(Module, Debug)]
pub struct LayerStack {
    encoder: Mlp,
    decoder: StackDecoder,
    #[module(skip)]
    reconstruction: Reconstruction,
}

/// A decoder with weights of its own, or with those of the encoder.
#[derive(Module, Debug)]
enum StackDecoder {
    Untied(Mlp),
    Tied(TiedMlp),
}

/// The parameters of one layer of the encoder and of what faces it in the decoder, without a tape.
#[derive(Debug, Clone)]
pub struct StackLayer {
    /// Of the encoder, `[input, output]`.
    pub weight: Tensor<2>,
    /// Of the encoder, `[output]`.
    pub bias: Tensor<1>,
    /// Of the decoder, `[output, input]`; `None` where it is the transpose of `weight` by construction.
    pub decoder_weight: Option<Tensor<2>>,
    /// Of the decoder, `[input]`.
    pub decoder_bias: Tensor<1>,
}

impl LayerStack {
    /// Layers from `num_inputs` features through the given widths, the last of which is the code's; `activations` has one entry per
    /// layer of the encoder, and the decoder's hidden layers mirror all but the last. Encoder, then decoder, each from its
    /// input to its output.
    pub fn new(
        num_inputs: usize,
        layers: &[(usize, Activation)],
        tied: bool,
        reconstruction: Reconstruction,
        how: Initialization,
        initializer: &mut Initializer,
    ) -> Self {
        let encoder = Mlp::new(num_inputs, layers.iter().copied(), true, how, initializer);
        let inner = &layers[..layers.len().saturating_sub(1)];
        // The last layer's activation belongs to the reconstruction, which needs the logits.
        let outwards = inner.iter().rev().copied().chain([(num_inputs, Activation::Linear)]);
        let decoder = if tied {
            StackDecoder::Tied(TiedMlp::new(&encoder, outwards.map(|(_, activation)| activation).collect(), true, how, initializer))
        } else {
            let code_size = layers.last().map_or(num_inputs, |(width, _)| *width);
            StackDecoder::Untied(Mlp::new(code_size, outwards, true, how, initializer))
        };
        Self { encoder, decoder, reconstruction }
    }

    /// `[batch, feature]` to `[batch, code]`.
    pub fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.encoder.forward(x)
    }

    /// `[batch, code]` to reconstructions, `[batch, feature]`.
    pub fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.reconstruction.mean(self.output(z))
    }

    /// `[batch, code]` to logits of the reconstruction, `[batch, feature]`, where the output is a sigmoid.
    pub fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        self.reconstruction.logits(self.output(z))
    }

    /// Name and value of the reconstruction term of `x`, `[batch, feature]`.
    pub fn reconstruction_term(&self, x: Tensor<2>, mask: Option<&Tensor<2>>) -> (&'static str, Tensor<1>) {
        self.reconstruction.term(x.clone(), self.output(self.encode(x)), mask)
    }

    /// `[batch, code]` to what the last layer leaves, before the output activation, `[batch, feature]`.
    fn output(&self, z: Tensor<2>) -> Tensor<2> {
        match &self.decoder {
            StackDecoder::Untied(decoder) => decoder.forward(z),
            StackDecoder::Tied(decoder) => decoder.forward(z, &self.encoder),
        }
    }

    /// Layers of the encoder.
    pub fn num_layers(&self) -> usize {
        self.encoder.layers().len()
    }

    /// Activation of a layer of the encoder.
    pub fn activation(&self, index: usize) -> Activation {
        self.encoder.activations()[index]
    }

    /// What the first `num_layers` layers make of `x`, without a tape. `[batch, feature]` to `[batch, unit]`.
    pub fn codes_below(&self, x: Tensor<2>, num_layers: usize) -> Tensor<2> {
        let layers = self.encoder.layers().iter().zip(self.encoder.activations());
        layers.take(num_layers).fold(x.inner(), |x, (layer, activation)| {
            activation.apply(module::linear(x, layer.weight.val().inner(), layer.bias.as_ref().map(|bias| bias.val().inner())))
        })
    }

    /// The parameters of layer `index`, without a tape.
    pub fn layer(&self, index: usize) -> StackLayer {
        let bias_of = |layer: &Linear| layer.bias.as_ref().map_or_else(no_bias, |bias| bias.val().inner());
        let layer = &self.encoder.layers()[index];
        let facing = self.num_layers() - 1 - index;
        let (decoder_weight, decoder_bias) = match &self.decoder {
            StackDecoder::Untied(decoder) => {
                let layer = &decoder.layers()[facing];
                (Some(layer.weight.val().inner()), bias_of(layer))
            }
            StackDecoder::Tied(decoder) => (None, decoder.biases()[facing].val().inner()),
        };
        StackLayer { weight: layer.weight.val().inner(), bias: bias_of(layer), decoder_weight, decoder_bias }
    }

    /// Gives layer `index` other parameters, which become leaves of the tape where the old ones were. Where the decoder has weights of
    /// its own and `layer` brings none, they are the transposes.
    pub fn set_layer(&mut self, index: usize, layer: StackLayer) {
        let facing = self.num_layers() - 1 - index;
        match &mut self.decoder {
            StackDecoder::Untied(decoder) => {
                let decoder = &mut decoder.layers_mut()[facing];
                let weight = layer.decoder_weight.unwrap_or_else(|| layer.weight.clone().transpose());
                assign(&mut decoder.weight, weight);
                decoder.bias.iter_mut().for_each(|bias| assign(bias, layer.decoder_bias.clone()));
            }
            StackDecoder::Tied(decoder) => assign(&mut decoder.biases_mut()[facing], layer.decoder_bias),
        }
        let encoder = &mut self.encoder.layers_mut()[index];
        assign(&mut encoder.weight, layer.weight);
        encoder.bias.iter_mut().for_each(|bias| assign(bias, layer.bias.clone()));
    }
}

fn no_bias() -> Tensor<1> {
    unreachable!("every layer of a stack is made with a bias")
}

/// Gives a parameter another value, in row-major order as a checkpoint would, so that a run that resumes computes the same.
pub(crate) fn assign<const D: usize>(param: &mut Param<Tensor<D>>, value: Tensor<D>) {
    let value = value.inner();
    let device = value.device();
    let value = Tensor::from_data(value.into_data(), &device);
    *param = param.clone().map(|old| if old.is_autodiff() { Tensor::from_inner(value).require_grad() } else { value });
}
