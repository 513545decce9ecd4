//! What layers go through series, and their sizes.

use std::sync::Arc;

use crate::Activation;
use crate::lanes::LANES;

/// Layers, each fed with the outputs of the one before, and how they go through series.
#[derive(Debug, Clone)]
pub struct LstmPlan {
    /// Inputs and units of each layer. The first has no inputs where they come from a code.
    pub layers: Vec<[usize; 2]>,
    /// Steps to visit, from the first on.
    pub num_steps: usize,
    /// Whether the last of them is visited first.
    pub reverse: bool,
    /// Which steps a series has, `[batch, step]`, perhaps with more steps than are visited; `None` where all have all.
    pub present: Option<Arc<[bool]>>,
    /// Where the inputs of the first layer come from.
    pub input: LstmInput,
    /// What comes out.
    pub output: LstmOutput,
}

/// Where the inputs of the first layer come from, and what `source` is.
#[derive(Debug, Clone)]
pub enum LstmInput {
    /// From series: `source` is `[batch, step * input]`, and memories start empty.
    Series,
    /// From a code that is the same at every step: `source` is what it adds to the gates of the first layer, bias included,
    /// `[batch, 4 * unit]`, and memories start empty.
    Code,
    /// From what was written at the step before, zeros at first: `source` is the first memory of each layer, `h` beside `c`,
    /// `[batch, 2 * (sum of units)]`.
    Fed {
        /// What makes values of what the output map leaves.
        activation: Activation,
        /// Where there is a target: at which steps, in the order of the visit, its values are fed in place of the layers' own,
        /// `[step, batch]`; `None` for all.
        given: Option<Arc<[bool]>>,
    },
}

/// What comes out of the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LstmOutput {
    /// Its outputs, `[batch, visited step * unit]`.
    Every,
    /// Its output after the last visit, `[batch, unit]`.
    Last,
    /// An affine map of its outputs, `[batch, step * channel]`, zeros at steps that are not visited.
    Affine {
        /// Values of a step.
        num_channels: usize,
        /// Steps of the result.
        num_steps: usize,
    },
}

/// Sizes of a layer. Units are padded to whole vectors: what is added stays zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer {
    pub(super) inputs: usize,
    pub(super) units: usize,
    pub(super) padded: usize,
    pub(super) has_bias: bool,
    /// Where its numbers begin among the parameters.
    pub(super) from: usize,
}

impl Layer {
    /// Numbers of a row of inputs beside memory.
    pub(super) fn joined(self) -> usize {
        self.inputs + self.padded
    }

    /// Numbers of a row of gates.
    pub(super) fn gates(self) -> usize {
        4 * self.padded
    }

    pub(super) fn num_parameters(self) -> usize {
        4 * self.units * (self.inputs + self.units + usize::from(self.has_bias))
    }

    /// The column among the parameters, and that among the gates, of each gate of each unit.
    pub(super) fn columns(self) -> impl Iterator<Item = (usize, usize)> {
        (0..4).flat_map(move |gate| (0..self.units).map(move |unit| (gate * self.units + unit, gate * self.padded + unit)))
    }

    /// An element of `[W; U]`, by its place among padded rows and columns.
    pub(super) fn element(self, parameters: &[f32], row: usize, column: usize) -> f32 {
        let (gate, unit) = (column / self.padded, column % self.padded);
        if unit >= self.units || row >= self.inputs + self.units {
            return 0.0;
        }
        parameters[self.from + row * 4 * self.units + gate * self.units + unit]
    }
}

impl LstmPlan {
    pub(super) fn sizes(&self) -> Vec<Layer> {
        let mut from = 0;
        let sizes = self.layers.iter().enumerate().map(|(index, &[inputs, units])| {
            let has_bias = index > 0 || !matches!(self.input, LstmInput::Code);
            let layer = Layer { inputs, units, padded: units.next_multiple_of(LANES), has_bias, from };
            from += layer.num_parameters();
            layer
        });
        sizes.collect()
    }

    pub(super) fn step(&self, visit: usize) -> usize {
        if self.reverse { self.num_steps - 1 - visit } else { visit }
    }

    pub(super) fn is_present(&self, batch: usize, series: usize, step: usize) -> bool {
        self.present.as_ref().is_none_or(|present| present[series * (present.len() / batch) + step])
    }

    pub(super) fn width(&self) -> usize {
        match self.output {
            LstmOutput::Every => self.num_steps * self.layers[self.layers.len() - 1][1],
            LstmOutput::Last => self.layers[self.layers.len() - 1][1],
            LstmOutput::Affine { num_channels, num_steps } => num_steps * num_channels,
        }
    }
}

/// Units, channels, weight and bias of the output map.
pub(super) fn output_map<'a>(plan: &LstmPlan, sizes: &[Layer], parameters: &'a [f32]) -> Option<(usize, usize, &'a [f32], &'a [f32])> {
    let LstmOutput::Affine { num_channels, .. } = plan.output else { return None };
    let last = sizes[sizes.len() - 1];
    let (weight, bias) = parameters[last.from + last.num_parameters()..].split_at(last.units * num_channels);
    Some((last.units, num_channels, weight, bias))
}
