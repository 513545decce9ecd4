//! Long short-term memory: a cell, and stacks of layers over series of differing lengths.
//!
//! Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000:
//!
//! ```text
//! [i f g o] = x W + h U + b                 i, f, o through a sigmoid, g through tanh
//! c' = f c + i g        h' = o tanh(c')
//! ```
//!
//! A series that lacks a step keeps its state there to the bit. So padding changes nothing, at either end: a
//! backward pass meets the padding first, with the zero state, and starts at each series' own end.

use aelab_core::{Initialization, Initializer};
use aelab_kernels::{LstmInput, LstmOutput, LstmPlan, is_ours, lstm};
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, activation, assert_shape, module};

use crate::{Activation, Presence, Steps};

/// Memory of one layer.
#[derive(Debug, Clone)]
pub struct LstmState {
    /// Output, `[batch, unit]`.
    pub h: Tensor<2>,
    /// Cell, `[batch, unit]`.
    pub c: Tensor<2>,
}

impl LstmState {
    /// The empty memory.
    pub fn zeros(num_series: usize, num_units: usize, device: &Device, dtype: DType) -> Self {
        let h = Tensor::zeros([num_series, num_units], (device, dtype));
        Self { c: h.clone(), h }
    }
}

/// One layer's weights, the four gates side by side in the order of PyTorch: input, forget, cell, output.
#[derive(Module, Debug)]
pub struct LstmCell {
    /// `W`, `[input, 4 * unit]`.
    pub input: Param<Tensor<2>>,
    /// `U`, `[unit, 4 * unit]`.
    pub recurrent: Param<Tensor<2>>,
    /// `b`, `[4 * unit]`; PyTorch has two, of which only the sum matters.
    pub bias: Param<Tensor<1>>,
}

/// `W` above `U`, so that a step is one matrix product; made once per pass.
#[derive(Debug, Clone)]
pub struct JoinedWeights {
    /// `[input + unit, 4 * unit]`.
    weight: Tensor<2>,
    /// `[4 * unit]`.
    bias: Tensor<1>,
}

impl LstmCell {
    /// A cell of `num_units` for `num_inputs` features. Fans count the connections of one gate; `torch` draws weights
    /// and bias within one over the root of `num_units`. `forget_bias` is added to the bias of the forget gates: 1 lets
    /// a new memory last (Jozefowicz, Zaremba & Sutskever 2015).
    pub fn new(num_inputs: usize, num_units: usize, forget_bias: f64, how: Initialization, initializer: &mut Initializer) -> Self {
        let fan_in = |fan_in| if how == Initialization::Torch { num_units } else { fan_in };
        let input = initializer.weight([num_inputs, 4 * num_units], fan_in(num_inputs), num_units, how);
        let recurrent = initializer.weight([num_units, 4 * num_units], num_units, num_units, how);
        let bias = initializer.bias(4 * num_units, num_units, how);
        let trainable = bias.is_require_grad();
        let bias = bias.map(|bias| {
            let extra: Vec<f32> = (0..4 * num_units).map(|gate| if gate / num_units == 1 { forget_bias as f32 } else { 0.0 }).collect();
            let extra = Tensor::from_data(&extra[..], &bias.device());
            (bias.detach() + extra).detach().set_require_grad(trainable)
        });
        Self { input, recurrent, bias }
    }

    /// Units.
    pub fn num_units(&self) -> usize {
        self.recurrent.lazy_shape()[0]
    }

    /// Inputs and units.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        [self.input.lazy_shape()[0], self.num_units()]
    }

    /// `W`, `U` and `b` one after the other, as the kernel takes them.
    pub(crate) fn flat(&self) -> [Tensor<1>; 3] {
        [self.input.val().reshape([-1]), self.recurrent.val().reshape([-1]), self.bias.val()]
    }

    /// The weights of a pass.
    pub fn joined(&self) -> JoinedWeights {
        JoinedWeights { weight: Tensor::cat(vec![self.input.val(), self.recurrent.val()], 0), bias: self.bias.val() }
    }

    /// The memory after a step with the input `x`, `[batch, input]`.
    pub fn step(weights: &JoinedWeights, x: Tensor<2>, state: LstmState) -> LstmState {
        let joined = Tensor::cat(vec![x, state.h], 1);
        after_gates(module::linear(joined, weights.weight.clone(), Some(weights.bias.clone())), state.c)
    }

    /// `x W + b`, `[batch, 4 * unit]`: for an input that is the same at every step.
    pub fn project(&self, x: Tensor<2>) -> Tensor<2> {
        Activation::Linear.of_affine(x, self.input.val(), Some(self.bias.val()), false)
    }

    /// The memory after a step whose input was [projected](Self::project).
    pub fn step_projected(&self, projected: Tensor<2>, state: LstmState) -> LstmState {
        after_gates(projected + state.h.matmul(self.recurrent.val()), state.c)
    }

    /// The empty memory for series like `x`, `[batch, _]`.
    pub fn start(&self, x: &Tensor<2>) -> LstmState {
        LstmState::zeros(x.dims()[0], self.num_units(), &x.device(), x.dtype())
    }
}

/// The memory from gates before their nonlinearities, `[batch, 4 * unit]`, and the cell before.
fn after_gates(gates: Tensor<2>, c: Tensor<2>) -> LstmState {
    let num_units = c.dims()[1];
    let gate = |index: usize| gates.clone().narrow(1, index * num_units, num_units);
    let [i, f, o] = [0, 1, 3].map(|index| activation::sigmoid(gate(index)));
    let c = f * c + i * gate(2).tanh();
    LstmState { h: o * c.clone().tanh(), c }
}

impl Presence {
    /// Moves a memory on in these rows.
    pub(crate) fn advance(&self, state: &mut LstmState, next: impl FnOnce(LstmState) -> LstmState) {
        if matches!(self, Presence::Nobody) {
            return;
        }
        let new = next(state.clone());
        *state = LstmState { h: self.choose(state.h.clone(), new.h), c: self.choose(state.c.clone(), new.c) };
    }
}

/// One layer, in one direction or both.
#[derive(Module, Debug)]
pub struct LstmLayer {
    forward: LstmCell,
    backward: Option<LstmCell>,
}

impl LstmLayer {
    /// Outputs of each step and the last outputs, forward beside backward, `[batch, unit]` or `[batch, 2 * unit]`.
    /// The last output of the backward direction is the one at the first step.
    pub fn forward(&self, inputs: &[Tensor<2>], steps: &Steps) -> (Vec<Tensor<2>>, Tensor<2>) {
        let (outputs, last) = run(&self.forward, inputs, steps, 0..steps.num());
        let Some(cell) = &self.backward else { return (outputs, last) };
        let (mut backward, first) = run(cell, inputs, steps, (0..steps.num()).rev());
        backward.reverse();
        let both = outputs.into_iter().zip(backward).map(|(forward, backward)| Tensor::cat(vec![forward, backward], 1)).collect();
        (both, Tensor::cat(vec![last, first], 1))
    }

    fn num_outputs(&self) -> usize {
        self.forward.num_units() * if self.backward.is_some() { 2 } else { 1 }
    }
}

/// Outputs in the order of the visit, and the last of them.
fn run(cell: &LstmCell, inputs: &[Tensor<2>], steps: &Steps, order: impl Iterator<Item = usize>) -> (Vec<Tensor<2>>, Tensor<2>) {
    let weights = cell.joined();
    let (mut state, device) = (cell.start(&inputs[0]), inputs[0].device());
    let mut outputs = Vec::with_capacity(inputs.len());
    for step in order {
        steps.presence(step, &device).advance(&mut state, |state| LstmCell::step(&weights, inputs[step].clone(), state));
        outputs.push(state.h.clone());
    }
    (outputs, state.h)
}

/// Layers in one direction over `x`, `[batch, step * channel]`, by the kernel.
fn read(cells: &[&LstmCell], x: &Tensor<2>, steps: &Steps, reverse: bool, output: LstmOutput) -> Option<Tensor<2>> {
    let plan = LstmPlan {
        layers: cells.iter().map(|cell| cell.sizes()).collect(),
        num_steps: steps.num(),
        reverse,
        present: steps.present(),
        input: LstmInput::Series,
        output,
    };
    let parameters = Tensor::cat(cells.iter().flat_map(|cell| cell.flat()).collect(), 0);
    lstm(plan, x, &parameters, None)
}

/// Features of each step beside each other; both `[batch, step * unit]`.
fn beside(forward: Tensor<2>, backward: Tensor<2>, num_units: usize) -> Tensor<2> {
    let [num_series, num] = forward.dims();
    let steps = [forward, backward].map(|outputs| outputs.reshape([num_series, num / num_units, num_units]));
    Tensor::cat(steps.into(), 2).reshape([num_series, 2 * num])
}

/// Layers over series, each fed with the outputs of the one before.
#[derive(Module, Debug)]
pub struct LstmEncoder {
    layers: Vec<LstmLayer>,
    /// `[time, channel]`.
    #[module(skip)]
    shape: [usize; 2],
}

impl LstmEncoder {
    /// Layers of `num_units` each, at least one, for series of `shape`, `[time, channel]`; see [`LstmCell::new`].
    pub fn new(
        shape: [usize; 2],
        num_units: &[usize],
        bidirectional: bool,
        forget_bias: f64,
        how: Initialization,
        initializer: &mut Initializer,
    ) -> Self {
        let mut num_inputs = shape[1];
        let mut layer = |&num_units: &usize| {
            let forward = LstmCell::new(num_inputs, num_units, forget_bias, how, initializer);
            let backward = bidirectional.then(|| LstmCell::new(num_inputs, num_units, forget_bias, how, initializer));
            let layer = LstmLayer { forward, backward };
            num_inputs = layer.num_outputs();
            layer
        };
        Self { layers: num_units.iter().map(&mut layer).collect(), shape }
    }

    /// What the last layer has in mind at the end, both ends where it has two directions: from
    /// `[batch, time * channel]` to `[batch, output]`.
    pub fn forward(&self, x: Tensor<2>, steps: &Steps) -> Tensor<2> {
        let [num_steps, num_channels] = self.shape;
        assert_shape!(x, [_, num_steps * num_channels]);
        self.fused(&x, steps).unwrap_or_else(|| self.step_by_step(x, steps))
    }

    /// The same by the kernel, where there is one for these tensors: all layers at once in one direction, else one by one.
    fn fused(&self, x: &Tensor<2>, steps: &Steps) -> Option<Tensor<2>> {
        if !is_ours(x) {
            return None;
        }
        if self.layers.iter().all(|layer| layer.backward.is_none()) {
            let cells: Vec<&LstmCell> = self.layers.iter().map(|layer| &layer.forward).collect();
            return read(&cells, x, steps, false, LstmOutput::Last);
        }
        let mut x = x.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            let output = if index + 1 == self.layers.len() { LstmOutput::Last } else { LstmOutput::Every };
            let forward = read(&[&layer.forward], &x, steps, false, output)?;
            x = match &layer.backward {
                None => forward,
                Some(backward) => beside(forward, read(&[backward], &x, steps, true, output)?, layer.forward.num_units()),
            };
        }
        Some(x)
    }

    fn step_by_step(&self, x: Tensor<2>, steps: &Steps) -> Tensor<2> {
        let num_channels = self.shape[1];
        let mut inputs: Vec<Tensor<2>> = (0..steps.num()).map(|step| x.clone().narrow(1, step * num_channels, num_channels)).collect();
        let mut last = x;
        for layer in &self.layers {
            (inputs, last) = layer.forward(&inputs, steps);
        }
        last
    }

    /// Features of the result.
    pub fn num_outputs(&self) -> usize {
        self.layers.last().map_or(self.shape.iter().product(), LstmLayer::num_outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::conformance::{TOLERANCE, gradient_deviation};
    use burn::tensor::TensorData;
    use serde_json::Value;

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn tensor<const D: usize>(value: &Value, device: &Device) -> Tensor<D> {
        let shape: Vec<usize> = serde_json::from_value(value["shape"].clone()).unwrap();
        let values: Vec<f32> = serde_json::from_value(value["values"].clone()).unwrap();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// `torch.nn.LSTM` on packed series of 6, 4 and 1 steps; see scripts/reference/pytorch_golden_sequence.py.
    #[test]
    fn layers_in_one_direction_and_both_are_those_of_pytorch_at_any_length() {
        let device = Device::flex();
        let text = include_str!("../../../tests/golden/pytorch_lstm.json");
        let golden: Value = serde_json::from_str(text).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let (num_layers, bidirectional) = (case["layers"].as_u64().unwrap() as usize, case["bidirectional"].as_bool().unwrap());
            let (how, initializer) = (Initialization::default(), &mut Initializer::new(1, &device));
            let mut encoder = LstmEncoder::new([6, 2], &vec![4; num_layers], bidirectional, 0.0, how, initializer);
            let mut cells = case["cells"].as_array().unwrap().iter();
            for layer in &mut encoder.layers {
                for cell in [Some(&mut layer.forward), layer.backward.as_mut()].into_iter().flatten() {
                    let given = cells.next().unwrap();
                    cell.input = cell.input.clone().map(|_| tensor(&given[0], &device));
                    cell.recurrent = cell.recurrent.clone().map(|_| tensor(&given[1], &device));
                    cell.bias = cell.bias.clone().map(|_| tensor(&given[2], &device));
                }
            }
            assert!(cells.next().is_none());
            let mask: Vec<f32> = serde_json::from_value(case["mask"].clone()).unwrap();
            let steps = Steps::observed(&Tensor::from_data(TensorData::new(mask, [3, 12]), &device), 6);
            let found = numbers(encoder.forward(tensor(&case["x"], &device), &steps));
            let expected: Vec<f32> = serde_json::from_value(case["last"].clone()).unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-6, "{}: {found} is not {expected}", case["name"]);
            }
        }
    }

    #[test]
    fn a_step_that_nobody_has_leaves_the_memory_alone() {
        let device = Device::flex();
        let initializer = &mut Initializer::new(1, &device);
        let encoder = LstmEncoder::new([4, 1], &[3], true, 1.0, Initialization::default(), initializer);
        let whole = encoder.forward(Tensor::from_data([[0.3, -1.0, 5.0, 5.0]], &device), &Steps::all(2));
        for rubbish in [0.0, 1e30] {
            // The second step is missing in the middle, the last at the end.
            let x = Tensor::from_data([[0.3, rubbish, -1.0, rubbish]], &device);
            let steps = Steps::observed(&Tensor::from_data([[1.0, 0.0, 1.0, 0.0]], &device), 4);
            assert_eq!(numbers(encoder.forward(x, &steps)), numbers(whole.clone()));
        }
    }

    #[test]
    fn gradients_by_the_input_equal_central_differences_under_a_mask() {
        let device = Device::flex().autodiff();
        let initializer = &mut Initializer::new(1, &device);
        let encoder = LstmEncoder::new([3, 1], &[2], true, 1.0, Initialization::default(), initializer);
        let double = |tensor: Tensor<2>| tensor.cast(burn::tensor::FloatDType::F64);
        let mut encoder = encoder;
        for layer in &mut encoder.layers {
            for cell in [Some(&mut layer.forward), layer.backward.as_mut()].into_iter().flatten() {
                cell.input = cell.input.clone().map(|value| double(value).detach());
                cell.recurrent = cell.recurrent.clone().map(|value| double(value).detach());
                cell.bias = cell.bias.clone().map(|value| value.cast(burn::tensor::FloatDType::F64).detach());
            }
        }
        let steps = Steps::observed(&Tensor::from_data([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]], &device), 3);
        let at = [0.4, -1.0, 0.7, 0.2, 1.3, -0.6];
        let deviation = gradient_deviation(&device, &at, [2, 3], |x| encoder.forward(x, &steps).square().sum());
        assert!(deviation < TOLERANCE, "{deviation}");
    }

    #[test]
    fn the_forget_bias_is_added_to_the_forget_gates_alone() {
        let device = Device::flex();
        let bias = |forget_bias| {
            let initializer = &mut Initializer::new(1, &device);
            numbers(LstmCell::new(2, 3, forget_bias, Initialization::Torch, initializer).bias.val())
        };
        let (with, without) = (bias(1.0), bias(0.0));
        for (gate, (with, without)) in with.iter().zip(&without).enumerate() {
            let extra = if (3..6).contains(&gate) { 1.0 } else { 0.0 };
            assert!((with - without - extra).abs() < 1e-6 && without.abs() <= 1.0 / 3f32.sqrt());
        }
    }
}
