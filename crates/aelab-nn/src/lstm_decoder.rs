//! From a code to a series, step by step.

use aelab_core::{Initialization, Initializer};
use aelab_kernels::{LstmInput, LstmOutput, LstmPlan, is_ours, lstm};
use burn::module::Module;
use burn::tensor::{Tensor, assert_shape};

use crate::{Activation, Linear, LstmCell, LstmState, Presence, Steps};

/// Layers that write a series: every step's values are an affine map of the last layer's output.
#[derive(Module, Debug)]
pub struct LstmDecoder {
    /// From the code to the first memory of each layer; none for a decoder that sees the code at every step instead.
    starts: Vec<Linear>,
    cells: Vec<LstmCell>,
    output: Linear,
    /// `[time, channel]`.
    #[module(skip)]
    shape: [usize; 2],
    /// Whether the last step is written first.
    #[module(skip)]
    reverse: bool,
}

/// What a decoder is fed with in place of its own last values: those of the series itself.
#[derive(Debug, Clone)]
pub struct TeacherForcing {
    /// The series, `[batch, time * channel]`.
    pub target: Tensor<2>,
    /// 1 where the truth is fed and 0 where the decoder's own values are, `[step, batch]`, in the order in which steps
    /// are written; `None` for the truth everywhere.
    pub given: Option<Tensor<2>>,
}

/// What makes the values that are fed back of what the affine map leaves, `[batch, channel]`.
#[derive(Clone, Copy)]
pub enum Feedback<'a> {
    /// A function that kernels know.
    Activated(Activation),
    /// Any function.
    Function(&'a dyn Fn(Tensor<2>) -> Tensor<2>),
}

impl Feedback<'_> {
    fn apply(self, written: Tensor<2>) -> Tensor<2> {
        match self {
            Feedback::Activated(activation) => activation.apply(written),
            Feedback::Function(function) => function(written),
        }
    }
}

impl LstmDecoder {
    /// A decoder of series of `shape`, `[time, channel]`, with layers of `num_units` from the code outwards.
    ///
    /// A `recurrent` one starts from a memory made of the code, `h = tanh(..)` and `c` affine, and is fed with the values of the step
    /// before, zeros at first. One that is not sees the code at every step, and starts from the empty memory.
    #[expect(clippy::too_many_arguments, reason = "one argument per key")]
    pub fn new(
        code_size: usize,
        shape: [usize; 2],
        num_units: &[usize],
        recurrent: bool,
        reverse: bool,
        forget_bias: f64,
        how: Initialization,
        initializer: &mut Initializer,
    ) -> Self {
        let mut starts = Vec::new();
        if recurrent {
            starts.extend(num_units.iter().map(|&num_units| Linear::new(code_size, 2 * num_units, true, how, initializer)));
        }
        let mut num_inputs = if recurrent { shape[1] } else { code_size };
        let mut cells = Vec::with_capacity(num_units.len());
        for &num_units in num_units {
            cells.push(LstmCell::new(num_inputs, num_units, forget_bias, how, initializer));
            num_inputs = num_units;
        }
        Self { starts, cells, output: Linear::new(num_inputs, shape[1], true, how, initializer), shape, reverse }
    }

    /// Series, `[batch, time * channel]`, from codes, `[batch, code]`: what the affine map leaves. `mean` makes of it
    /// the values that are fed back. What stands at steps that a series lacks means nothing, and is 0 beyond the
    /// longest series.
    pub fn forward(&self, z: Tensor<2>, steps: &Steps, forcing: Option<&TeacherForcing>, mean: Feedback<'_>) -> Tensor<2> {
        if let Some(written) = self.fused(&z, steps, forcing, mean) {
            return written;
        }
        let written = if self.starts.is_empty() { self.write_from_code(z, steps) } else { self.write_recurrently(z, steps, forcing, mean) };
        let [num_series, num_written] = written.dims();
        let num_values = self.shape[0] * self.shape[1];
        if num_written == num_values {
            return written;
        }
        let rest = Tensor::zeros([num_series, num_values - num_written], (&written.device(), written.dtype()));
        Tensor::cat(vec![written, rest], 1)
    }

    /// The same by the kernel, where there is one.
    fn fused(&self, z: &Tensor<2>, steps: &Steps, forcing: Option<&TeacherForcing>, mean: Feedback<'_>) -> Option<Tensor<2>> {
        let Feedback::Activated(activation) = mean else { return None };
        let (activation, bias) = (activation.fused()?, self.output.bias.as_ref()?);
        if !is_ours(z) {
            return None;
        }
        let mut layers: Vec<[usize; 2]> = self.cells.iter().map(LstmCell::sizes).collect();
        let mut parameters: Vec<Tensor<1>> = self.cells.iter().flat_map(LstmCell::flat).collect();
        let (source, input) = if self.starts.is_empty() {
            layers[0][0] = 0;
            // What the code adds to the gates has the first layer's `W` and `b` in it.
            parameters.drain(..3);
            parameters.insert(0, self.cells[0].recurrent.val().reshape([-1]));
            (self.cells[0].project(z.clone()), LstmInput::Code)
        } else {
            let memories = self.starts.iter().flat_map(|start| {
                let LstmState { h, c } = first_memory(start.forward(z.clone()));
                [h, c]
            });
            let given = forcing.and_then(|forcing| given_to(forcing, steps, z.dims()[0]));
            let given = given.map(|given| given.iter().map(|&given| given != 0.0).collect());
            (Tensor::cat(memories.collect(), 1), LstmInput::Fed { activation, given })
        };
        parameters.extend([self.output.weight.val().reshape([-1]), bias.val()]);
        let plan = LstmPlan {
            layers,
            num_steps: steps.num(),
            reverse: self.reverse,
            present: steps.present(),
            input,
            output: LstmOutput::Affine { num_channels: self.shape[1], num_steps: self.shape[0] },
        };
        lstm(plan, &source, &Tensor::cat(parameters, 0), forcing.map(|forcing| &forcing.target))
    }

    /// Steps in the order in which they are written.
    fn order(&self, steps: &Steps) -> Vec<usize> {
        if self.reverse { (0..steps.num()).rev().collect() } else { (0..steps.num()).collect() }
    }

    fn write_from_code(&self, z: Tensor<2>, steps: &Steps) -> Tensor<2> {
        let [first, others @ ..] = &self.cells[..] else { unreachable!("a decoder has a layer") };
        let projected = first.project(z.clone());
        let weights: Vec<_> = others.iter().map(LstmCell::joined).collect();
        let mut states: Vec<LstmState> = self.cells.iter().map(|cell| cell.start(&z)).collect();
        let mut outputs = Vec::with_capacity(steps.num());
        for step in self.order(steps) {
            let presence = steps.presence(step, &z.device());
            presence.advance(&mut states[0], |state| first.step_projected(projected.clone(), state));
            for (layer, weights) in weights.iter().enumerate() {
                let input = states[layer].h.clone();
                presence.advance(&mut states[layer + 1], |state| LstmCell::step(weights, input, state));
            }
            outputs.push(states[others.len()].h.clone());
        }
        self.read_out(outputs)
    }

    fn write_recurrently(&self, z: Tensor<2>, steps: &Steps, forcing: Option<&TeacherForcing>, mean: Feedback<'_>) -> Tensor<2> {
        let (num_series, num_channels) = (z.dims()[0], self.shape[1]);
        let (device, dtype) = (z.device(), z.dtype());
        let weights: Vec<_> = self.cells.iter().map(LstmCell::joined).collect();
        let mut states: Vec<LstmState> = self.starts.iter().map(|start| first_memory(start.forward(z.clone()))).collect();
        let given = forcing.and_then(|forcing| given_to(forcing, steps, num_series));
        // Where the truth is fed at every step, nothing depends on what was written before, and all is read out at once.
        let at_once = forcing.is_some() && given.is_none();
        let zeros = Tensor::zeros([num_series, num_channels], (&device, dtype));
        let (mut own, mut truth) = (zeros.clone(), zeros);
        let mut outputs = Vec::with_capacity(steps.num());
        for (position, step) in self.order(steps).into_iter().enumerate() {
            let presence = steps.presence(step, &device);
            if matches!(presence, Presence::Nobody) {
                outputs.push(if at_once { states[self.cells.len() - 1].h.clone() } else { own.clone() });
                continue;
            }
            let mut input = match &given {
                Some(given) => {
                    let row = &given[position * num_series..(position + 1) * num_series];
                    Presence::of(row.iter().map(|&given| given != 0.0).collect(), &device).choose(own.clone(), truth.clone())
                }
                None if at_once => truth.clone(),
                None => own.clone(),
            };
            for (state, weights) in states.iter_mut().zip(&weights) {
                presence.advance(state, |state| LstmCell::step(weights, input, state));
                input = state.h.clone();
            }
            if let Some(forcing) = forcing {
                truth = presence.choose(truth, forcing.target.clone().narrow(1, step * num_channels, num_channels));
            }
            if at_once {
                outputs.push(input);
            } else {
                let written = self.output.forward(input);
                own = presence.choose(own, mean.apply(written.clone()));
                outputs.push(written);
            }
        }
        if at_once {
            return self.read_out(outputs);
        }
        if self.reverse {
            outputs.reverse();
        }
        Tensor::cat(outputs, 1)
    }

    /// The values of all steps in one matrix product, from the outputs in the order in which they were written:
    /// `[batch, step * channel]`.
    fn read_out(&self, mut outputs: Vec<Tensor<2>>) -> Tensor<2> {
        if self.reverse {
            outputs.reverse();
        }
        let (num_steps, num_series, num_channels) = (outputs.len(), outputs[0].dims()[0], self.shape[1]);
        let values = self.output.forward(Tensor::cat(outputs, 0));
        values.reshape([num_steps, num_series, num_channels]).swap_dims(0, 1).reshape([num_series, num_steps * num_channels])
    }
}

/// `h = tanh(first half)`, `c = second half`.
fn first_memory(values: Tensor<2>) -> LstmState {
    let num_units = values.dims()[1] / 2;
    LstmState { h: values.clone().narrow(1, 0, num_units).tanh(), c: values.narrow(1, num_units, num_units) }
}

/// The draws on the host, `[step, batch]`, if there are any.
fn given_to(forcing: &TeacherForcing, steps: &Steps, num_series: usize) -> Option<Vec<f32>> {
    let given = forcing.given.as_ref()?;
    assert_shape!(given, [steps.num(), num_series]);
    Some(given.to_data().convert::<f32>().try_to_vec().expect("the draws were converted to single precision"))
}
