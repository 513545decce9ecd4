//! A block of series, from the last visit to the first: the gradients.

use super::forward::{Memory, Pass};
use super::gates;
use super::plan::{Layer, LstmInput, LstmOutput, LstmPlan, output_map};
use crate::activation::{backward_row, forward_row};
use crate::packed::{Packed, Start};
use crate::product::{Matrix, add_product};
use crate::vector::{add, add_scaled};

/// Rows of a product over several steps, at most: those of the gates fill half of a usual second-level cache.
const ROWS_OF_A_PRODUCT: usize = 512;

/// The weights, laid out for the products of a step backwards in time.
pub(super) struct TurnedWeights {
    /// `U^T`, `[4 * unit, unit]`.
    recurrent: Vec<Packed>,
    /// `W^T`, `[4 * unit, input]`, where a gradient by the inputs is needed.
    input: Vec<Option<Packed>>,
    /// The output map's weight, `[channel, unit]`, padded.
    output: Vec<f32>,
}

impl TurnedWeights {
    pub(super) fn new(plan: &LstmPlan, sizes: &[Layer], parameters: &[f32], wants_inputs: bool) -> Self {
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
pub(super) struct WeightGradients {
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
    pub(super) fn written(&self, sizes: &[Layer], num_parameters: usize) -> Vec<f32> {
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
pub(super) struct OfBlock<'a> {
    pub(super) source: &'a mut [f32],
    pub(super) target: &'a mut [f32],
}

impl Pass<'_> {
    /// The gradients of a block of series from the gradient by its results; what its gates were becomes their gradient.
    pub(super) fn backward(
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
                        gates::backward(gates, &before[place(row)], &after[place(row)], &of_h_now[place(row)], &mut of_c[place(row)]);
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
