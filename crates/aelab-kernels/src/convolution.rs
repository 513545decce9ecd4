//! Convolutions and transposed convolutions with bias, residual and activation as one operation.
//!
//! In memory a map is `[batch, height, width, channel]`: a row of a patch is then one run of numbers, and what a product gives
//! is a map already. To the outside it is `[batch, channel, height, width]`, a view. Maps that come from flattened features
//! or are flattened next lie the other way round; they are turned block by block while they are in the cache.
//! Where channels fill whole vectors, sums are taken straight from the maps (`direct`), else as matrix products over patches.
//! Work goes on in blocks of examples that stay in the cache, and in groups of blocks that add up their gradients;
//! neither depends on the number of threads.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use burn::backend::Shape;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use crate::Activation;
use crate::activation::{backward_block, forward_block};
use crate::direct::Direct;
use crate::directions::{Down, Up};
use crate::fused::{Fused, fused_of, given, or_empty};
use crate::map::{Map, Order, map_of, settled_order, to_channels_first, to_channels_last, zeroed};
use crate::parallel::{Parts, for_bands};
use crate::patches::Sizes;
use crate::primitive::{contiguous, is_ours, numbers, tensor_of};
use crate::vector::add;

/// Strides and borders; a kernel is square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliding {
    /// Pixels from one patch to the next.
    pub stride: usize,
    /// Zeros around the larger map, on each side.
    pub padding: usize,
    /// Height and width of the larger map of a transposed convolution; unused otherwise.
    pub output: [usize; 2],
    /// Whether the convolution goes from patches to the larger map.
    pub transposed: bool,
    /// Whether the result is flattened next: it then lies in memory channel by channel.
    pub flattened: bool,
}

/// `activation(convolution(x, weight) + bias + residual)`; `None` where the tensors are not on `flex`.
///
/// # Shapes
/// `x`: `[batch, input, height, width]`; `weight`: `[output, input, kernel, kernel]`, where transposed
/// `[input, output, kernel, kernel]`; `bias`: `[output]`; `residual`: the shape of the result.
pub fn convolution(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    residual: Option<&Tensor<4>>,
    activation: Activation,
    sliding: Sliding,
) -> Option<Tensor<4>> {
    if !(is_ours(x) && is_ours(weight) && bias.is_none_or(is_ours) && residual.is_none_or(is_ours)) {
        return None;
    }
    let inputs = [x.clone().into_dispatch(), weight.clone().into_dispatch(), or_empty(bias), or_empty(residual)];
    Some(fused_of(inputs, Convolution { activation, sliding }))
}

/// Numbers of a block: patches or borders, and both maps. Half of a usual second-level cache.
const BLOCK_SIZE: usize = 1 << 17;
/// A block is always enough for a thread, however few its numbers: each takes part in many products.
const WORTH_A_THREAD: usize = usize::MAX;
/// Gradients of weights are added up over so many groups of examples at most, of so many examples at least.
const NUM_GROUPS: usize = 16;
const LEAST_OF_A_GROUP: usize = 4;

/// What a convolution is apart from its numbers.
#[derive(Debug, Clone, Copy)]
struct Layer {
    sizes: Sizes,
    batch: usize,
    transposed: bool,
    activation: Activation,
    /// That of the result.
    order: Order,
}

impl Layer {
    fn new(x: &Map, weight: &FlexTensor, activation: Activation, sliding: Sliding) -> Self {
        let Sliding { stride, padding, transposed, .. } = sliding;
        let weight = weight.layout().shape();
        let kernel = weight[2];
        let (large, small) = if transposed {
            ([weight[1], sliding.output[0], sliding.output[1]], x.size)
        } else {
            let patches = |size: usize| (size + 2 * padding - kernel) / stride + 1;
            (x.size, [weight[0], patches(x.size[1]), patches(x.size[2])])
        };
        let order = if sliding.flattened { Order::ChannelsFirst } else { Order::ChannelsLast };
        let order = settled_order(order, if transposed { large } else { small });
        Self { sizes: Sizes { large, small, kernel, stride, padding }, batch: x.batch, transposed, activation, order }
    }

    /// Channel, height and width of the result.
    fn output(&self) -> [usize; 3] {
        if self.transposed { self.sizes.large } else { self.sizes.small }
    }

    fn num_outputs(&self) -> usize {
        self.output().iter().product()
    }

    fn num_inputs(&self) -> usize {
        if self.transposed { self.sizes.num_small() } else { self.sizes.num_large() }
    }

    /// Examples of a group, and of a block of it; both are about equal.
    fn group(&self) -> [usize; 2] {
        let group = self.batch.div_ceil(self.batch.div_ceil(LEAST_OF_A_GROUP).clamp(1, NUM_GROUPS)).max(1);
        let patches = self.sizes.num_patches() * self.sizes.patch_size();
        let between = Direct::down(&self.sizes).map_or(patches, |direct| direct.len());
        let most = (BLOCK_SIZE / (between + self.num_inputs() + self.num_outputs()).max(1)).max(1);
        [group, group.div_ceil(group.div_ceil(most))]
    }
}

/// What a thread works on; kept from call to call.
#[derive(Default)]
struct Scratch {
    gathered: Vec<f32>,
    spread: Vec<f32>,
    x: Vec<f32>,
    y: Vec<f32>,
    other: Vec<f32>,
    new: Vec<MaybeUninit<f32>>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Writes a block of results that `work` computes channels last to `into`, which lies in `order`.
fn write_block(
    order: Order,
    size: [usize; 3],
    into: &mut [MaybeUninit<f32>],
    scratch: &mut Vec<MaybeUninit<f32>>,
    work: impl FnOnce(&mut [MaybeUninit<f32>]) -> &mut [f32],
) {
    match order {
        Order::ChannelsLast => _ = work(into),
        Order::ChannelsFirst => {
            scratch.resize(into.len().max(scratch.len()), MaybeUninit::uninit());
            to_channels_first(work(&mut scratch[..into.len()]), size, into);
        }
    }
}

/// How a layer computes its result.
enum Forward<'a> {
    Down(Down<'a>, Vec<f32>),
    Up(Up<'a>),
}

fn forward(layer: &Layer, x: &Map, weight: &FlexTensor, bias: Option<FlexTensor>, residual: Option<&Map>) -> FlexTensor {
    let bias = bias.map_or_else(|| tensor_of(vec![0.0; layer.output()[0]], Shape::new([layer.output()[0]])), contiguous);
    let (weight, bias) = (numbers(weight), numbers(&bias));
    let ways = if layer.transposed {
        Forward::Up(Up::new(&layer.sizes, weight))
    } else {
        let down = Down::new(&layer.sizes);
        let weight = down.weight(weight);
        Forward::Down(down, weight)
    };
    let ([_, block], len) = (layer.group(), layer.num_outputs());
    let num = layer.batch * len;
    let mut y = Vec::with_capacity(num);
    for_bands(&mut y.spare_capacity_mut()[..num], block * len, WORTH_A_THREAD, |index, y| {
        SCRATCH.with_borrow_mut(|scratch| {
            let examples = index * block..index * block + y.len() / len;
            let x = x.block(examples.clone(), &mut scratch.x);
            let residual = residual.map(|residual| residual.block(examples, &mut scratch.other));
            write_block(layer.order, layer.output(), y, &mut scratch.new, |y| {
                let y = match &ways {
                    Forward::Down(down, weight) => down.small(down.gathered(x, &mut scratch.gathered), weight, y),
                    Forward::Up(up) => up.large(x, &mut scratch.spread, y),
                };
                if let Some(residual) = residual {
                    add(y, residual);
                }
                forward_block(layer.activation, y, bias);
                y
            });
        });
    });
    // SAFETY: the capacity was asked for, and the blocks, which make up the whole, have been written: `Down::small` and `Up::large` give
    // what they were given back as written, and `write_block` copies all of it.
    unsafe { y.set_len(num) };
    map_of(y, layer.order, layer.batch, layer.output())
}

#[derive(Debug)]
struct Convolution {
    activation: Activation,
    sliding: Sliding,
}

/// What the gradient is computed from.
#[derive(Debug)]
struct ConvolutionState {
    layer: Layer,
    x: Map,
    weight: FlexTensor,
    /// None where the activation is linear.
    y: Option<Map>,
}

/// What a group of examples gives.
#[derive(Default)]
struct GroupGradients {
    bias: Vec<f32>,
    /// Empty where nobody asks for it.
    weight: Vec<f32>,
}

/// Of `x`, the weight, the bias and the residual.
impl Fused<4> for Convolution {
    type State = ConvolutionState;

    /// Maps lie in one of two orders.
    fn laid_out(tensor: FlexTensor) -> FlexTensor {
        tensor
    }

    fn forward(&self, [x, weight, bias, residual]: [FlexTensor; 4], _needs: [bool; 4]) -> (FlexTensor, ConvolutionState) {
        let (x, weight) = (Map::new(x), contiguous(weight));
        let layer = Layer::new(&x, &weight, self.activation, self.sliding);
        let y = forward(&layer, &x, &weight, given(bias), given(residual).map(Map::new).as_ref());
        let y_kept = (self.activation != Activation::Linear).then(|| Map::new(y.clone()));
        (y, ConvolutionState { layer, x, weight, y: y_kept })
    }

    fn backward(&self, gradient: FlexTensor, state: ConvolutionState, needs: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let ConvolutionState { layer, x, weight, y } = state;
        let [needs_x, needs_weight, needs_bias, needs_residual] = needs;
        // The gradient by the residual is handed on as it lies.
        let mut gradient = if needs_residual { Map::channels_last(gradient) } else { Map::new(gradient) };
        let (order, output) = (gradient.order, layer.output());
        let (num_inputs, num_outputs) = (layer.num_inputs(), layer.num_outputs());
        let [group, block] = layer.group();
        let down = Down::new(&layer.sizes);
        // Which of the two ways the gradient by `x` goes.
        let (down_weight, up) = match (needs_x, layer.transposed) {
            (false, _) => (None, None),
            (true, true) => (Some(down.weight(numbers(&weight))), None),
            (true, false) => (None, Some(Up::new(&layer.sizes, numbers(&weight)))),
        };
        let num_of_x = if needs_x { layer.batch * num_inputs } else { 0 };
        let mut of_x = Vec::with_capacity(num_of_x);
        let of_x_parts = Parts::new(&mut of_x.spare_capacity_mut()[..num_of_x]);
        let num_weights = if needs_weight { numbers(&weight).len() } else { 0 };
        let mut sums: Vec<GroupGradients> = Vec::new();
        sums.resize_with(layer.batch.div_ceil(group), GroupGradients::default);
        let gradient_parts = Parts::new(gradient.numbers_mut());
        for_bands(&mut sums, 1, WORTH_A_THREAD, |index, sums| {
            sums[0] = GroupGradients { bias: vec![0.0; output[0]], weight: vec![0.0; num_weights] };
            SCRATCH.with_borrow_mut(|scratch| {
                let last = layer.batch.min((index + 1) * group);
                for start in (index * group..last).step_by(block) {
                    let examples = start..last.min(start + block);
                    // SAFETY: groups and their blocks are of different examples.
                    let gradient = unsafe { gradient_parts.part(examples.start * num_outputs..examples.end * num_outputs) };
                    let gradient = match order {
                        Order::ChannelsLast => gradient,
                        Order::ChannelsFirst => to_channels_last(gradient, output, &mut scratch.other),
                    };
                    let y = y.as_ref().map_or(&[][..], |y| y.block(examples.clone(), &mut scratch.y));
                    // Summed by blocks first: the rounding of a sum grows with its length.
                    let mut of_bias = vec![0.0; output[0]];
                    backward_block(layer.activation, gradient, y, &mut of_bias);
                    add(&mut sums[0].bias, &of_bias);
                    let values = x.block(examples.clone(), &mut scratch.x);
                    let (large, small) = if layer.transposed { (&*gradient, values) } else { (values, &*gradient) };
                    let gathered = if num_weights > 0 || down_weight.is_some() { down.gathered(large, &mut scratch.gathered) } else { &[] };
                    if num_weights > 0 {
                        down.add_of_weight(gathered, small, &mut sums[0].weight);
                    }
                    if num_of_x > 0 {
                        // SAFETY: as above.
                        let of_x = unsafe { of_x_parts.part(examples.start * num_inputs..examples.end * num_inputs) };
                        write_block(x.order, x.size, of_x, &mut scratch.new, |of_x| match (&down_weight, &up) {
                            (_, Some(up)) => up.large(gradient, &mut scratch.spread, of_x),
                            (Some(weight), None) => down.small(gathered, weight, of_x),
                            (None, None) => zeroed(of_x),
                        });
                    }
                }
            });
        });
        // SAFETY: the capacity was asked for, and the groups, which make up the whole, have been written block by block.
        unsafe { of_x.set_len(num_of_x) };
        let of_x = needs_x.then(|| map_of(of_x, x.order, layer.batch, x.size));
        let of_weight = needs_weight.then(|| {
            let mut sum = vec![0.0; num_weights];
            for_bands(&mut sum, 1 << 12, num_weights * sums.len(), |band, sum| {
                let range = (band << 12)..(band << 12) + sum.len();
                sums.iter().for_each(|group| add(sum, &group.weight[range.clone()]));
            });
            tensor_of(down.of_weight(sum), weight.layout().shape().clone())
        });
        let of_bias = needs_bias.then(|| {
            let mut sum = vec![0.0; output[0]];
            sums.iter().for_each(|group| add(&mut sum, &group.bias));
            tensor_of(sum, Shape::new([output[0]]))
        });
        [of_x, of_weight, of_bias, needs_residual.then(|| gradient.into_tensor())]
    }
}
