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

mod backward;
mod forward;
mod gates;
mod plan;

use burn::backend::Shape;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use rayon::prelude::*;

use self::backward::{OfBlock, TurnedWeights};
use self::forward::{Memory, Pass, Weights};
pub use self::plan::{LstmInput, LstmOutput, LstmPlan};
use crate::fused::{Fused, fused_of, given, or_empty};
use crate::primitive::{is_ours, numbers, tensor_of};
use crate::vector::add;

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
    Some(fused_of([source, parameters, or_empty(target)], plan))
}

/// Series that go through time together.
fn rows_of_block(batch: usize) -> usize {
    if batch <= 32 { 16 } else { 32 }
}

/// Blocks of what may be empty: as many as there are.
fn blocks_of(numbers: &mut [f32], len: usize, num: usize) -> Vec<&mut [f32]> {
    if numbers.is_empty() { (0..num).map(|_| <&mut [f32]>::default()).collect() } else { numbers.chunks_mut(len).collect() }
}

/// What gradients are computed from.
#[derive(Debug)]
pub(crate) struct LstmState {
    source: FlexTensor,
    parameters: FlexTensor,
    target: Option<FlexTensor>,
    y: FlexTensor,
    /// Of each block; empty where no input needs a gradient.
    memories: Vec<Vec<Memory>>,
}

impl Fused<3> for LstmPlan {
    type State = LstmState;

    fn forward(&self, [source, parameters, target]: [FlexTensor; 3], needs: [bool; 3]) -> (FlexTensor, LstmState) {
        let (sizes, batch, width) = (self.sizes(), source.layout().shape()[0], self.width());
        let target = given(target);
        let weights = Weights::new(self, &sizes, numbers(&parameters));
        let pass = Pass { plan: self, sizes: &sizes, batch, source: numbers(&source), target: target.as_ref().map(numbers) };
        let mut output = vec![0.0; batch * width];
        let rows = rows_of_block(batch);
        let memories = output
            .par_chunks_mut((rows * width).max(1))
            .enumerate()
            .filter_map(|(index, output)| pass.forward(&weights, index * rows, output, needs.contains(&true)))
            .collect();
        let y = tensor_of(output, Shape::new([batch, width]));
        (y.clone(), LstmState { source, parameters, target, y, memories })
    }

    fn backward(&self, gradient: FlexTensor, state: LstmState, needs: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let LstmState { source, parameters, target, y, mut memories } = state;
        let [needs_source, needs_parameters, needs_target] = needs;
        let (sizes, batch, width) = (self.sizes(), source.layout().shape()[0], self.width());
        let wants_inputs = match self.input {
            LstmInput::Series => needs_source,
            LstmInput::Code => false,
            LstmInput::Fed { ref given, .. } => target.is_none() || given.is_some() || needs_target,
        };
        let weights = TurnedWeights::new(self, &sizes, numbers(&parameters), wants_inputs);
        let pass = Pass { plan: self, sizes: &sizes, batch, source: numbers(&source), target: target.as_ref().map(numbers) };
        let rows = rows_of_block(batch);
        let [source_width, target_width] = [Some(&source), target.as_ref()].map(|tensor| tensor.map_or(0, |t| t.layout().shape()[1]));
        let mut of_source = vec![0.0; if needs_source { batch * source_width } else { 0 }];
        let mut of_target = vec![0.0; if needs_target { batch * target_width } else { 0 }];
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
        let of_parameters = needs_parameters.then(|| {
            let mut sum = vec![0.0; num_parameters];
            parts.iter().for_each(|part| add(&mut sum, part));
            tensor_of(sum, Shape::new([num_parameters]))
        });
        let of_source = needs_source.then(|| tensor_of(of_source, Shape::new([batch, source_width])));
        let of_target = needs_target.then(|| tensor_of(of_target, Shape::new([batch, target_width])));
        [of_source, of_parameters, of_target]
    }
}
