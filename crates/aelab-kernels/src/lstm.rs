//! Layers of long short-term memory over whole series as one operation, with backpropagation through time of its own.
//!
//! ```text
//! [i f g o] = [x_t h_(t-1)] [W; U] + b                 i, f, o through a sigmoid, g through tanh
//! c_t = f c_(t-1) + i g        h_t = o tanh(c_t)
//! ```
//!
//! A block of series goes through all its steps on one thread, so that the weights, laid out once, stay in the cache. What a step
//! multiplies, input beside memory, lies one row after the other: the gradient by the weights is a product over many steps at once.
//! A series that lacks a step keeps its memory there to the bit, whatever stands in its input.
//! Blocks do not depend on the number of threads, and their gradients are added up in order.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, Shape, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::Activation;
use crate::activation::{backward_row, forward_row};
use crate::lanes::LANES;
use crate::lstm_gates;
use crate::packed::{Packed, Start};
use crate::primitive::{contiguous, is_ours, numbers, tensor_of};
use crate::product::{Matrix, accumulate, add_product};
use crate::vector::{add, add_scaled};

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

/// The layers of a [`LstmPlan`] over series; `None` where the tensors are not on `flex`.
///
/// `parameters` holds for each layer `[W; U]`, `[input + unit, 4 * unit]`, and `b`, `[4 * unit]`, without `b` for the first layer if
/// it has a code; then the output map's weight, `[unit, channel]`, and bias, `[channel]`, if there is one. `target`, only for layers
/// that are fed: `[batch, step * channel]`.
pub fn lstm(plan: LstmPlan, source: &Tensor<2>, parameters: &Tensor<1>, target: Option<&Tensor<2>>) -> Option<Tensor<2>> {
    if !(is_ours(source) && is_ours(parameters) && target.is_none_or(is_ours)) {
        return None;
    }
    let (source, parameters) = (source.clone().into_dispatch(), parameters.clone().into_dispatch());
    Some(Tensor::from_dispatch(match target {
        Some(target) => <Dispatch as LstmOps>::lstm_with_target(source, parameters, target.clone().into_dispatch(), plan),
        None => <Dispatch as LstmOps>::lstm(source, parameters, plan),
    }))
}

#[backend_extension(Flex, Autodiff)]
trait LstmOps: Backend {
    fn lstm(source: FloatTensor<Self>, parameters: FloatTensor<Self>, plan: LstmPlan) -> FloatTensor<Self>;

    fn lstm_with_target(
        source: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        target: FloatTensor<Self>,
        plan: LstmPlan,
    ) -> FloatTensor<Self>;
}

/// Rows of a product over several steps, at most: those of the gates fill half of a usual second-level cache.
const ROWS_OF_A_PRODUCT: usize = 512;

/// Series that go through time together.
fn rows_of_block(batch: usize) -> usize {
    if batch <= 32 { 16 } else { 32 }
}

/// Sizes of a layer. Units are padded to whole vectors: what is added stays zero.
#[derive(Debug, Clone, Copy)]
struct Layer {
    inputs: usize,
    units: usize,
    padded: usize,
    has_bias: bool,
    /// Where its numbers begin among the parameters.
    from: usize,
}

impl Layer {
    /// Numbers of a row of inputs beside memory.
    fn joined(self) -> usize {
        self.inputs + self.padded
    }

    /// Numbers of a row of gates.
    fn gates(self) -> usize {
        4 * self.padded
    }

    fn num_parameters(self) -> usize {
        4 * self.units * (self.inputs + self.units + usize::from(self.has_bias))
    }

    /// The column among the parameters, and that among the gates, of each gate of each unit.
    fn columns(self) -> impl Iterator<Item = (usize, usize)> {
        (0..4).flat_map(move |gate| (0..self.units).map(move |unit| (gate * self.units + unit, gate * self.padded + unit)))
    }

    /// An element of `[W; U]`, by its place among padded rows and columns.
    fn element(self, parameters: &[f32], row: usize, column: usize) -> f32 {
        let (gate, unit) = (column / self.padded, column % self.padded);
        if unit >= self.units || row >= self.inputs + self.units {
            return 0.0;
        }
        parameters[self.from + row * 4 * self.units + gate * self.units + unit]
    }
}

impl LstmPlan {
    fn sizes(&self) -> Vec<Layer> {
        let mut from = 0;
        let sizes = self.layers.iter().enumerate().map(|(index, &[inputs, units])| {
            let has_bias = index > 0 || !matches!(self.input, LstmInput::Code);
            let layer = Layer { inputs, units, padded: units.next_multiple_of(LANES), has_bias, from };
            from += layer.num_parameters();
            layer
        });
        sizes.collect()
    }

    fn step(&self, visit: usize) -> usize {
        if self.reverse { self.num_steps - 1 - visit } else { visit }
    }

    fn is_present(&self, batch: usize, series: usize, step: usize) -> bool {
        self.present.as_ref().is_none_or(|present| present[series * (present.len() / batch) + step])
    }

    fn width(&self) -> usize {
        match self.output {
            LstmOutput::Every => self.num_steps * self.layers[self.layers.len() - 1][1],
            LstmOutput::Last => self.layers[self.layers.len() - 1][1],
            LstmOutput::Affine { num_channels, num_steps } => num_steps * num_channels,
        }
    }
}

/// The weights, laid out for the products of a step.
struct Weights {
    /// `[W; U]`.
    forward: Vec<Packed>,
    /// Bias, padded; empty where there is none.
    bias: Vec<Vec<f32>>,
    /// `[unit, channel]`, and its bias.
    output: Option<(Packed, Vec<f32>)>,
}

impl Weights {
    fn new(plan: &LstmPlan, sizes: &[Layer], parameters: &[f32]) -> Self {
        let forward =
            sizes.iter().map(|layer| Packed::new(layer.joined(), layer.gates(), |row, column| layer.element(parameters, row, column)));
        let bias = sizes.iter().map(|layer| {
            let mut bias = vec![0.0; if layer.has_bias { layer.gates() } else { 0 }];
            if layer.has_bias {
                let from = &parameters[layer.from + (layer.inputs + layer.units) * 4 * layer.units..];
                layer.columns().for_each(|(column, padded)| bias[padded] = from[column]);
            }
            bias
        });
        let (forward, bias) = (forward.collect(), bias.collect());
        let output = output_map(plan, sizes, parameters).map(|(units, num_channels, weight, from)| {
            let packed = Packed::new(sizes[sizes.len() - 1].padded, num_channels, |row, column| {
                if row < units { weight[row * num_channels + column] } else { 0.0 }
            });
            let mut bias = from.to_vec();
            bias.resize(packed.width(), 0.0);
            (packed, bias)
        });
        Self { forward, bias, output }
    }
}

/// Units, channels, weight and bias of the output map.
fn output_map<'a>(plan: &LstmPlan, sizes: &[Layer], parameters: &'a [f32]) -> Option<(usize, usize, &'a [f32], &'a [f32])> {
    let LstmOutput::Affine { num_channels, .. } = plan.output else { return None };
    let last = sizes[sizes.len() - 1];
    let (weight, bias) = parameters[last.from + last.num_parameters()..].split_at(last.units * num_channels);
    Some((last.units, num_channels, weight, bias))
}

/// What a layer has in mind over a block of series, a row of each for each visit.
#[derive(Debug, Clone)]
struct Memory {
    /// Inputs beside the memory before, `[visit + 1, series, joined]`.
    joined: Vec<f32>,
    /// Cells before, `[visit + 1, series, unit]`.
    cells: Vec<f32>,
    /// Values of the gates, `[visit, series, 4 * unit]`.
    gates: Vec<f32>,
}

/// Rows of one visit, to read, and of the next, to write.
fn neighbours(numbers: &mut [f32], len: usize, now: usize, next: usize) -> (&[f32], &mut [f32]) {
    if now < next {
        let (before, after) = numbers.split_at_mut(next * len);
        (&before[now * len..][..len], &mut after[..len])
    } else {
        let (before, after) = numbers.split_at_mut(now * len);
        (&after[..len], &mut before[next * len..][..len])
    }
}

/// What all blocks of a pass share.
#[derive(Clone, Copy)]
struct Pass<'a> {
    plan: &'a LstmPlan,
    sizes: &'a [Layer],
    batch: usize,
    /// `[batch, _]`.
    source: &'a [f32],
    target: Option<&'a [f32]>,
}

impl Pass<'_> {
    fn is_present(&self, series: usize, step: usize) -> bool {
        self.plan.is_present(self.batch, series, step)
    }

    fn source_of(&self, series: usize) -> &[f32] {
        let width = self.source.len() / self.batch;
        &self.source[series * width..][..width]
    }

    /// Whether the target, not the own value, is fed.
    fn is_given(&self, visit: usize, series: usize) -> bool {
        match &self.plan.input {
            LstmInput::Fed { given: Some(given), .. } => self.target.is_some() && given[visit * self.batch + series],
            _ => self.target.is_some(),
        }
    }

    /// The block of series from `first` on, whose results are `output`; its memory, where it is kept.
    fn forward(&self, weights: &Weights, first: usize, output: &mut [f32], keep: bool) -> Option<Vec<Memory>> {
        let Self { plan, sizes, batch, .. } = *self;
        let width = plan.width();
        let (num, last) = (output.len() / width, sizes.len() - 1);
        // Without gradients to come, two visits are kept in turn.
        let (num_slots, num_gates) = if keep { (plan.num_steps + 1, plan.num_steps) } else { (2, 1) };
        let mut memories: Vec<Memory> = sizes
            .iter()
            .map(|layer| Memory {
                joined: vec![0.0; num_slots * num * layer.joined()],
                cells: vec![0.0; num_slots * num * layer.padded],
                gates: vec![0.0; num_gates * num * layer.gates()],
            })
            .collect();
        let mut of_code = Vec::new();
        match plan.input {
            LstmInput::Series => {}
            LstmInput::Code => {
                of_code.resize(num * sizes[0].gates(), 0.0);
                for (row, gates) in of_code.chunks_exact_mut(sizes[0].gates()).enumerate() {
                    let source = self.source_of(first + row);
                    sizes[0].columns().for_each(|(column, padded)| gates[padded] = source[column]);
                }
            }
            LstmInput::Fed { .. } => {
                for row in 0..num {
                    let mut rest = self.source_of(first + row);
                    for (layer, memory) in sizes.iter().zip(&mut memories) {
                        let (h, others) = rest.split_at(layer.units);
                        memory.joined[row * layer.joined() + layer.inputs..][..layer.units].copy_from_slice(h);
                        memory.cells[row * layer.padded..][..layer.units].copy_from_slice(&others[..layer.units]);
                        rest = &others[layer.units..];
                    }
                }
            }
        }
        let inputs = sizes[0].inputs;
        let (mut own, mut truth) = (vec![0.0; num * inputs], vec![0.0; num * inputs]);
        let mut written = vec![0.0; weights.output.as_ref().map_or(0, |(packed, _)| num * packed.width())];
        for visit in 0..plan.num_steps {
            let step = plan.step(visit);
            let (now, next) = if keep { (visit, visit + 1) } else { (visit % 2, (visit + 1) % 2) };
            let joined = sizes[0].joined();
            for (row, joined) in memories[0].joined[now * num * joined..][..num * joined].chunks_exact_mut(joined).enumerate() {
                match plan.input {
                    LstmInput::Series if self.is_present(first + row, step) => {
                        joined[..inputs].copy_from_slice(&self.source_of(first + row)[step * inputs..][..inputs]);
                    }
                    LstmInput::Series => joined[..inputs].fill(0.0),
                    LstmInput::Code => {}
                    LstmInput::Fed { .. } => {
                        let from = if self.is_given(visit, first + row) { &truth } else { &own };
                        joined[..inputs].copy_from_slice(&from[row * inputs..][..inputs]);
                    }
                }
            }
            for (index, layer) in sizes.iter().enumerate() {
                let joined = layer.joined();
                if let Some(below) = index.checked_sub(1) {
                    let (lower, upper) = memories.split_at_mut(index);
                    let (from, to) = (sizes[below], &mut upper[0].joined[now * num * joined..][..num * joined]);
                    let rows = lower[below].joined[next * num * from.joined()..][..num * from.joined()].chunks_exact(from.joined());
                    for (row, to) in rows.zip(to.chunks_exact_mut(joined)) {
                        to[..layer.inputs].copy_from_slice(&row[from.inputs..][..layer.inputs]);
                    }
                }
                let memory = &mut memories[index];
                let (before, after) = neighbours(&mut memory.joined, num * joined, now, next);
                let (cells, cells_after) = neighbours(&mut memory.cells, num * layer.padded, now, next);
                let at = if keep { visit * num * layer.gates() } else { 0 };
                let gates = &mut memory.gates[at..][..num * layer.gates()];
                let start = if layer.has_bias { Start::Row(&weights.bias[index]) } else { Start::Rows(&of_code) };
                weights.forward[index].multiply(before, joined, start, gates);
                for (row, gates) in gates.chunks_exact_mut(layer.gates()).enumerate() {
                    let h = &mut after[row * joined + layer.inputs..][..layer.padded];
                    let (cell, c) = (&cells[row * layer.padded..][..layer.padded], &mut cells_after[row * layer.padded..][..layer.padded]);
                    if self.is_present(first + row, step) {
                        lstm_gates::forward(gates, cell, c, h);
                    } else {
                        h.copy_from_slice(&before[row * joined + layer.inputs..][..layer.padded]);
                        c.copy_from_slice(cell);
                    }
                }
            }
            let (layer, memory) = (sizes[last], &memories[last]);
            let of_step = &memory.joined[next * num * layer.joined()..][..num * layer.joined()];
            match plan.output {
                LstmOutput::Last => {}
                LstmOutput::Every => {
                    for (row, output) in of_step.chunks_exact(layer.joined()).zip(output.chunks_exact_mut(width)) {
                        output[step * layer.units..][..layer.units].copy_from_slice(&row[layer.inputs..][..layer.units]);
                    }
                }
                LstmOutput::Affine { num_channels, .. } => {
                    let Some((packed, bias)) = &weights.output else { continue };
                    packed.multiply(&of_step[layer.inputs..], layer.joined(), Start::Row(bias), &mut written);
                    for (row, (written, output)) in written.chunks_exact(packed.width()).zip(output.chunks_exact_mut(width)).enumerate() {
                        let written = &written[..num_channels];
                        output[step * num_channels..][..num_channels].copy_from_slice(written);
                        if let LstmInput::Fed { activation, .. } = &plan.input
                            && self.is_present(first + row, step)
                        {
                            let own = &mut own[row * inputs..][..inputs];
                            own.copy_from_slice(written);
                            forward_row(*activation, own, None);
                            if let Some(target) = self.target {
                                let from = (first + row) * (target.len() / batch) + step * inputs;
                                truth[row * inputs..][..inputs].copy_from_slice(&target[from..][..inputs]);
                            }
                        }
                    }
                }
            }
        }
        if plan.output == LstmOutput::Last {
            let slot = if keep { plan.num_steps } else { plan.num_steps % 2 };
            let (layer, memory) = (sizes[last], &memories[last]);
            let rows = memory.joined[slot * num * layer.joined()..][..num * layer.joined()].chunks_exact(layer.joined());
            for (row, output) in rows.zip(output.chunks_exact_mut(width)) {
                output.copy_from_slice(&row[layer.inputs..][..layer.units]);
            }
        }
        keep.then_some(memories)
    }
}

/// The result, and the memory of each block.
fn forward(
    plan: &LstmPlan,
    source: &FlexTensor,
    parameters: &FlexTensor,
    target: Option<&FlexTensor>,
    keep: bool,
) -> (FlexTensor, Vec<Vec<Memory>>) {
    let (sizes, batch, width) = (plan.sizes(), source.layout().shape()[0], plan.width());
    let weights = Weights::new(plan, &sizes, numbers(parameters));
    let pass = Pass { plan, sizes: &sizes, batch, source: numbers(source), target: target.map(numbers) };
    let mut output = vec![0.0; batch * width];
    let rows = rows_of_block(batch);
    let memories = output
        .par_chunks_mut((rows * width).max(1))
        .enumerate()
        .filter_map(|(index, output)| pass.forward(&weights, index * rows, output, keep))
        .collect();
    (tensor_of(output, Shape::new([batch, width])), memories)
}

impl LstmOps for Flex {
    fn lstm(source: FlexTensor, parameters: FlexTensor, plan: LstmPlan) -> FlexTensor {
        forward(&plan, &contiguous(source), &contiguous(parameters), None, false).0
    }

    fn lstm_with_target(source: FlexTensor, parameters: FlexTensor, target: FlexTensor, plan: LstmPlan) -> FlexTensor {
        forward(&plan, &contiguous(source), &contiguous(parameters), Some(&contiguous(target)), false).0
    }
}

/// The weights, laid out for the products of a step backwards in time.
struct TurnedWeights {
    /// `U^T`, `[4 * unit, unit]`.
    recurrent: Vec<Packed>,
    /// `W^T`, `[4 * unit, input]`, where a gradient by the inputs is needed.
    input: Vec<Option<Packed>>,
    /// The output map's weight, `[channel, unit]`, padded.
    output: Vec<f32>,
}

impl TurnedWeights {
    fn new(plan: &LstmPlan, sizes: &[Layer], parameters: &[f32], wants_inputs: bool) -> Self {
        let recurrent = sizes
            .iter()
            .map(|layer| Packed::new(layer.gates(), layer.padded, |row, column| layer.element(parameters, layer.inputs + column, row)));
        let input = sizes.iter().enumerate().map(|(index, layer)| {
            let wanted = index > 0 || wants_inputs;
            wanted.then(|| Packed::new(layer.gates(), layer.inputs, |row, column| layer.element(parameters, column, row)))
        });
        let (recurrent, input) = (recurrent.collect(), input.collect());
        let output = output_map(plan, sizes, parameters).map(|(units, num_channels, weight, _)| {
            let padded = sizes[sizes.len() - 1].padded;
            let mut turned = vec![0.0; num_channels * padded];
            for (unit, row) in weight.chunks_exact(num_channels.max(1)).enumerate().take(units) {
                row.iter().enumerate().for_each(|(channel, weight)| turned[channel * padded + unit] = *weight);
            }
            turned
        });
        Self { recurrent, input, output: output.unwrap_or_default() }
    }
}

/// Gradients by the parameters that a block of series adds up, padded.
struct WeightGradients {
    /// `[W; U]` of each layer, `[joined, 4 * unit]`.
    joined: Vec<Vec<f32>>,
    /// Biases; of the layer of a code those of each series.
    bias: Vec<Vec<f32>>,
    /// The output map's weight, `[channel, unit]`.
    output: Vec<f32>,
    /// Its bias, `[channel]`.
    output_bias: Vec<f32>,
}

impl WeightGradients {
    /// One after the other, as the parameters lie.
    fn written(&self, sizes: &[Layer], num_parameters: usize) -> Vec<f32> {
        let mut gradient = Vec::with_capacity(num_parameters);
        for ((layer, joined), bias) in sizes.iter().zip(&self.joined).zip(&self.bias) {
            for row in joined.chunks_exact(layer.gates()).take(layer.inputs + layer.units) {
                gradient.extend(layer.columns().map(|(_, padded)| row[padded]));
            }
            if layer.has_bias {
                gradient.extend(layer.columns().map(|(_, padded)| bias[padded]));
            }
        }
        let last = sizes[sizes.len() - 1];
        for unit in 0..if self.output.is_empty() { 0 } else { last.units } {
            gradient.extend(self.output.chunks_exact(last.padded).map(|row| row[unit]));
        }
        gradient.extend(&self.output_bias);
        gradient
    }
}

/// Where the gradients by source and target go, of one block; empty where they are not wanted.
struct OfBlock<'a> {
    source: &'a mut [f32],
    target: &'a mut [f32],
}

impl Pass<'_> {
    /// The gradients of a block of series from the gradient by its results; what its gates were becomes their gradient.
    fn backward(
        &self,
        weights: &TurnedWeights,
        first: usize,
        memories: &mut [Memory],
        output: [&[f32]; 2],
        of: &mut OfBlock<'_>,
    ) -> WeightGradients {
        let Self { plan, sizes, batch, .. } = *self;
        let [gradient, written] = output;
        let width = plan.width();
        let (num, last) = (gradient.len() / width, sizes.len() - 1);
        let (top, inputs) = (sizes[last], sizes[0].inputs);
        let num_channels = if let LstmOutput::Affine { num_channels, .. } = plan.output { num_channels } else { 0 };
        let mut sums = WeightGradients {
            joined: sizes.iter().map(|layer| vec![0.0; layer.joined() * layer.gates()]).collect(),
            bias: sizes.iter().map(|layer| vec![0.0; layer.gates() * if layer.has_bias { 1 } else { num }]).collect(),
            output: vec![0.0; weights.output.len()],
            output_bias: vec![0.0; num_channels],
        };
        let mut of_h: Vec<Vec<f32>> = sizes.iter().map(|layer| vec![0.0; num * layer.padded]).collect();
        let mut of_c = of_h.clone();
        let mut spare = vec![0.0; num * sizes.iter().map(|layer| layer.padded).max().unwrap_or(0)];
        let mut of_input: Vec<Vec<f32>> =
            weights.input.iter().map(|packed| vec![0.0; packed.as_ref().map_or(0, |packed| num * packed.width())]).collect();
        // Gradients by what was written last and by the true values there, from steps after it.
        let (mut of_own, mut of_truth) = (vec![0.0; num * inputs], vec![0.0; num * inputs]);
        let mut of_written = vec![0.0; num_channels];
        let mut value = vec![0.0; inputs];
        let widths = [of.source.len() / num, of.target.len() / num];
        let steps_of_a_product = (ROWS_OF_A_PRODUCT / num).max(1);
        let mut pending = plan.num_steps;
        if plan.output == LstmOutput::Last {
            for (row, of_h) in gradient.chunks_exact(width).zip(of_h[last].chunks_exact_mut(top.padded)) {
                of_h[..top.units].copy_from_slice(row);
            }
        }
        for visit in (0..plan.num_steps).rev() {
            let step = plan.step(visit);
            for (row, (gradient, of_h)) in gradient.chunks_exact(width).zip(of_h[last].chunks_exact_mut(top.padded)).enumerate() {
                match plan.output {
                    LstmOutput::Last => {}
                    LstmOutput::Every => add(&mut of_h[..top.units], &gradient[step * top.units..][..top.units]),
                    LstmOutput::Affine { .. } => {
                        let at = step * num_channels;
                        of_written.copy_from_slice(&gradient[at..][..num_channels]);
                        if let LstmInput::Fed { activation, .. } = &plan.input
                            && self.is_present(first + row, step)
                        {
                            let of_own = &mut of_own[row * inputs..][..inputs];
                            value.copy_from_slice(&written[row * width + at..][..inputs]);
                            forward_row(*activation, &mut value, None);
                            backward_row(*activation, of_own, &value, None);
                            add(&mut of_written, of_own);
                            of_own.fill(0.0);
                            let of_truth = &mut of_truth[row * inputs..][..inputs];
                            if widths[1] > 0 {
                                of.target[row * widths[1] + step * inputs..][..inputs].copy_from_slice(of_truth);
                            }
                            of_truth.fill(0.0);
                        }
                        let from = ((visit + 1) * num + row) * top.joined() + top.inputs;
                        let h = &memories[last].joined[from..][..top.padded];
                        let channels = of_written.iter().zip(weights.output.chunks_exact(top.padded));
                        for ((channel, weight), sum) in channels.zip(sums.output.chunks_exact_mut(top.padded)) {
                            add_scaled(of_h, *channel, weight);
                            add_scaled(sum, *channel, h);
                        }
                        add(&mut sums.output_bias, &of_written);
                    }
                }
            }
            for (index, layer) in sizes.iter().enumerate().rev() {
                let Memory { cells, gates, .. } = &mut memories[index];
                let gates = &mut gates[visit * num * layer.gates()..][..num * layer.gates()];
                let (before, after) = cells[visit * num * layer.padded..][..2 * num * layer.padded].split_at(num * layer.padded);
                let (of_h_now, of_c) = (&mut of_h[index], &mut of_c[index]);
                let place = |row: usize| row * layer.padded..(row + 1) * layer.padded;
                for (row, gates) in gates.chunks_exact_mut(layer.gates()).enumerate() {
                    if self.is_present(first + row, step) {
                        lstm_gates::backward(gates, &before[place(row)], &after[place(row)], &of_h_now[place(row)], &mut of_c[place(row)]);
                        let sum = if layer.has_bias { 0 } else { row * layer.gates() };
                        add(&mut sums.bias[index][sum..][..layer.gates()], gates);
                    } else {
                        gates.fill(0.0);
                    }
                }
                let new = &mut spare[..num * layer.padded];
                multiply_padded(&weights.recurrent[index], gates, layer.gates(), new, layer.padded);
                for row in (0..num).filter(|row| !self.is_present(first + row, step)) {
                    new[place(row)].copy_from_slice(&of_h_now[place(row)]);
                }
                of_h_now.copy_from_slice(new);
                let Some(packed) = &weights.input[index] else { continue };
                packed.multiply(gates, layer.gates(), Start::Zero, &mut of_input[index]);
                let rows = of_input[index].chunks_exact(packed.width().max(1)).enumerate();
                for (row, of_input) in rows {
                    let of_input = &of_input[..layer.inputs];
                    if let Some(below) = index.checked_sub(1) {
                        add(&mut of_h[below][row * sizes[below].padded..][..layer.inputs], of_input);
                    } else if let LstmInput::Fed { .. } = plan.input {
                        let of_fed = if self.is_given(visit, first + row) { &mut of_truth } else { &mut of_own };
                        add(&mut of_fed[row * inputs..][..inputs], of_input);
                    } else if widths[0] > 0 {
                        of.source[row * widths[0] + step * inputs..][..inputs].copy_from_slice(of_input);
                    }
                }
            }
            if pending - visit == steps_of_a_product || visit == 0 {
                for ((layer, memory), sum) in sizes.iter().zip(&*memories).zip(&mut sums.joined) {
                    let rows = (pending - visit) * num;
                    let joined = &memory.joined[visit * num * layer.joined()..][..rows * layer.joined()];
                    let gates = &memory.gates[visit * num * layer.gates()..][..rows * layer.gates()];
                    let (joined, gates) = (Matrix::new(joined, rows, layer.joined()), Matrix::new(gates, rows, layer.gates()));
                    add_product(sum, joined.transposed(), gates);
                }
                pending = visit;
            }
        }
        if widths[0] > 0 {
            self.of_start(sizes, &sums, [&of_h, &of_c], of.source, widths[0]);
        }
        debug_assert!(first + num <= batch);
        sums
    }

    /// Gradients by the code's share of the gates, or by the first memory.
    fn of_start(&self, sizes: &[Layer], sums: &WeightGradients, [of_h, of_c]: [&[Vec<f32>]; 2], of_source: &mut [f32], width: usize) {
        match self.plan.input {
            LstmInput::Series => {}
            LstmInput::Code => {
                for (gates, of_source) in sums.bias[0].chunks_exact(sizes[0].gates()).zip(of_source.chunks_exact_mut(width)) {
                    sizes[0].columns().for_each(|(column, padded)| of_source[column] = gates[padded]);
                }
            }
            LstmInput::Fed { .. } => {
                for (row, of_source) in of_source.chunks_exact_mut(width).enumerate() {
                    let mut at = 0;
                    for ((layer, of_h), of_c) in sizes.iter().zip(of_h).zip(of_c) {
                        for from in [of_h, of_c] {
                            of_source[at..][..layer.units].copy_from_slice(&from[row * layer.padded..][..layer.units]);
                            at += layer.units;
                        }
                    }
                }
            }
        }
    }
}

/// A product whose rows are `padded` numbers apart, which its width is.
fn multiply_padded(packed: &Packed, a: &[f32], stride: usize, output: &mut [f32], padded: usize) {
    assert_eq!(packed.width(), padded, "units are padded as columns are");
    packed.multiply(a, stride, Start::Zero, output);
}

#[derive(Debug)]
struct LstmBackward<const N: usize>;

#[derive(Debug, Clone)]
struct LstmState {
    plan: LstmPlan,
    source: FlexTensor,
    parameters: FlexTensor,
    target: Option<FlexTensor>,
    y: FlexTensor,
    memories: Vec<Vec<Memory>>,
}

/// Blocks of what may be empty: as many as there are.
fn blocks_of(numbers: &mut [f32], len: usize, num: usize) -> Vec<&mut [f32]> {
    if numbers.is_empty() { (0..num).map(|_| <&mut [f32]>::default()).collect() } else { numbers.chunks_mut(len).collect() }
}

impl<const N: usize> Backward<Flex, N> for LstmBackward<N> {
    type State = LstmState;

    fn backward(self, ops: Ops<LstmState, N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let LstmState { plan, source, parameters, target, y, mut memories } = ops.state;
        let gradient = contiguous(grads.consume::<Flex>(&ops.node));
        let mut node = ops.parents.into_iter();
        let (node_source, node_parameters, node_target) = (node.next().flatten(), node.next().flatten(), node.next().flatten());
        let (sizes, batch, width) = (plan.sizes(), source.layout().shape()[0], plan.width());
        let wants_inputs = match plan.input {
            LstmInput::Series => node_source.is_some(),
            LstmInput::Code => false,
            LstmInput::Fed { ref given, .. } => target.is_none() || given.is_some() || node_target.is_some(),
        };
        let weights = TurnedWeights::new(&plan, &sizes, numbers(&parameters), wants_inputs);
        let pass = Pass { plan: &plan, sizes: &sizes, batch, source: numbers(&source), target: target.as_ref().map(numbers) };
        let rows = rows_of_block(batch);
        let [source_width, target_width] = [Some(&source), target.as_ref()].map(|tensor| tensor.map_or(0, |t| t.layout().shape()[1]));
        let mut of_source = vec![0.0; if node_source.is_some() { batch * source_width } else { 0 }];
        let mut of_target = vec![0.0; if node_target.is_some() { batch * target_width } else { 0 }];
        let num_parameters = parameters.layout().num_elements();
        let sources = blocks_of(&mut of_source, rows * source_width, memories.len());
        let targets = blocks_of(&mut of_target, rows * target_width, memories.len());
        let parts: Vec<Vec<f32>> = memories
            .par_iter_mut()
            .zip(numbers(&gradient).par_chunks((rows * width).max(1)))
            .zip(numbers(&y).par_chunks((rows * width).max(1)))
            .zip(sources.into_par_iter().zip(targets.into_par_iter()))
            .enumerate()
            .map(|(index, (((memories, gradient), y), (source, target)))| {
                let of = &mut OfBlock { source, target };
                pass.backward(&weights, index * rows, memories, [gradient, y], of).written(&sizes, num_parameters)
            })
            .collect();
        if let Some(node) = node_parameters {
            let mut sum = vec![0.0; num_parameters];
            parts.iter().for_each(|part| accumulate(&mut sum, part));
            grads.register::<Flex>(node.id, tensor_of(sum, Shape::new([num_parameters])));
        }
        if let Some(node) = node_source {
            grads.register::<Flex>(node.id, tensor_of(of_source, Shape::new([batch, source_width])));
        }
        if let Some(node) = node_target {
            grads.register::<Flex>(node.id, tensor_of(of_target, Shape::new([batch, target_width])));
        }
    }
}

/// The layers on the tape; `nodes` are those of source, parameters and, with `N = 3`, target.
fn recorded<C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    source: FlexTensor,
    parameters: FlexTensor,
    target: Option<FlexTensor>,
    plan: LstmPlan,
) -> FloatTensor<Autodiff<Flex, C>> {
    let (source, parameters, target) = (contiguous(source), contiguous(parameters), target.map(contiguous));
    match LstmBackward::<N>.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::UnTracked(prepared) => prepared.finish(forward(&plan, &source, &parameters, target.as_ref(), false).0),
        OpsKind::Tracked(prepared) => {
            let (y, memories) = forward(&plan, &source, &parameters, target.as_ref(), true);
            prepared.finish(LstmState { plan, source, parameters, target, y: y.clone(), memories }, y)
        }
    }
}

impl<C: CheckpointStrategy> LstmOps for Autodiff<Flex, C> {
    fn lstm(source: FloatTensor<Self>, parameters: FloatTensor<Self>, plan: LstmPlan) -> FloatTensor<Self> {
        let ((source, source_node), (parameters, parameters_node)) = (source.into_parts(), parameters.into_parts());
        recorded::<C, 2>([source_node, parameters_node], source, parameters, None, plan)
    }

    fn lstm_with_target(
        source: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        target: FloatTensor<Self>,
        plan: LstmPlan,
    ) -> FloatTensor<Self> {
        let ((source, source_node), (parameters, parameters_node)) = (source.into_parts(), parameters.into_parts());
        let (target, target_node) = target.into_parts();
        recorded::<C, 3>([source_node, parameters_node, target_node], source, parameters, Some(target), plan)
    }
}
