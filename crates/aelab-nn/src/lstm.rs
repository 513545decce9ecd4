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
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, activation, assert_shape, module};

use crate::{Presence, Steps};

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
        module::linear(x, self.input.val(), Some(self.bias.val()))
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
