//! A block of series, from the first visit to the last.

use super::gates;
use super::plan::{Layer, LstmInput, LstmOutput, LstmPlan, output_map};
use crate::activation::forward_row;
use crate::packed::{Packed, Start};

/// The weights, laid out for the products of a step.
pub(super) struct Weights {
    /// `[W; U]`.
    forward: Vec<Packed>,
    /// Bias, padded; empty where there is none.
    bias: Vec<Vec<f32>>,
    /// `[unit, channel]`, and its bias.
    output: Option<(Packed, Vec<f32>)>,
}

impl Weights {
    pub(super) fn new(plan: &LstmPlan, sizes: &[Layer], parameters: &[f32]) -> Self {
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

/// What a layer has in mind over a block of series, a row of each for each visit.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    /// Inputs beside the memory before, `[visit + 1, series, joined]`.
    pub(super) joined: Vec<f32>,
    /// Cells before, `[visit + 1, series, unit]`.
    pub(super) cells: Vec<f32>,
    /// Values of the gates, `[visit, series, 4 * unit]`.
    pub(super) gates: Vec<f32>,
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
pub(super) struct Pass<'a> {
    pub(super) plan: &'a LstmPlan,
    pub(super) sizes: &'a [Layer],
    pub(super) batch: usize,
    /// `[batch, _]`.
    pub(super) source: &'a [f32],
    pub(super) target: Option<&'a [f32]>,
}

impl Pass<'_> {
    pub(super) fn is_present(&self, series: usize, step: usize) -> bool {
        self.plan.is_present(self.batch, series, step)
    }

    fn source_of(&self, series: usize) -> &[f32] {
        let width = self.source.len() / self.batch;
        &self.source[series * width..][..width]
    }

    /// Whether the target, not the own value, is fed.
    pub(super) fn is_given(&self, visit: usize, series: usize) -> bool {
        match &self.plan.input {
            LstmInput::Fed { given: Some(given), .. } => self.target.is_some() && given[visit * self.batch + series],
            _ => self.target.is_some(),
        }
    }

    /// The block of series from `first` on, whose results are `output`; its memory, where it is kept.
    pub(super) fn forward(&self, weights: &Weights, first: usize, output: &mut [f32], keep: bool) -> Option<Vec<Memory>> {
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
                        gates::forward(gates, cell, c, h);
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
