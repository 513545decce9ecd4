//! Convolutions and transposed convolutions with bias, residual and activation as one operation, as matrix products over patches.
//!
//! In memory a map is `[batch, height, width, channel]`: a row of a patch is then one run of numbers, and what a product gives
//! is a map already. To the outside it is `[batch, channel, height, width]`, a view. Maps that come from flattened features
//! or are flattened next lie the other way round; they are turned block by block while they are in the cache.
//! Work goes on in blocks of examples whose patches stay in the cache, and in groups of blocks that add up their gradients;
//! neither depends on the number of threads.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, Shape, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::Activation;
use crate::activation::{backward_block, forward_block};
use crate::map::{Map, Order, map_of, room, settled_order, to_channels_first, to_channels_last, transpose, zeroed};
use crate::patches::{Sizes, gather, scatter};
use crate::primitive::{contiguous, is_ours, numbers, tensor_of};
use crate::product::{Matrix, accumulate, add_product, product_into_new};

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
    let num_outputs = weight.dims()[usize::from(sliding.transposed)];
    let bias = bias.cloned().unwrap_or_else(|| Tensor::zeros([num_outputs], &x.device())).into_dispatch();
    let [x, weight] = [x, weight].map(|tensor| tensor.clone().into_dispatch());
    Some(Tensor::from_dispatch(match residual {
        Some(residual) => {
            let residual = residual.clone().into_dispatch();
            <Dispatch as ConvolutionOps>::convolution_with_residual(x, weight, bias, residual, activation, sliding)
        }
        None => <Dispatch as ConvolutionOps>::convolution(x, weight, bias, activation, sliding),
    }))
}

#[backend_extension(Flex, Autodiff)]
trait ConvolutionOps: Backend {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        sliding: Sliding,
    ) -> FloatTensor<Self>;

    fn convolution_with_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        activation: Activation,
        sliding: Sliding,
    ) -> FloatTensor<Self>;
}

/// Numbers of a block: patches and both maps. Half of a usual second-level cache.
const BLOCK_SIZE: usize = 1 << 17;
/// Gradients of weights are added up over the blocks of a group, and then over so many groups at most.
const NUM_GROUPS: usize = 16;

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

    /// Numbers of the patches of an example.
    fn num_in_patches(&self) -> usize {
        self.sizes.num_patches() * self.sizes.patch_size()
    }

    /// Examples of a block; blocks are about equal.
    fn block(&self) -> usize {
        let most = (BLOCK_SIZE / (self.num_in_patches() + self.num_inputs() + self.num_outputs()).max(1)).max(1);
        self.batch.div_ceil(self.batch.div_ceil(most).max(1)).max(1)
    }

    /// Examples of a group.
    fn group(&self) -> usize {
        let block = self.block();
        self.batch.div_ceil(block).div_ceil(NUM_GROUPS).max(1) * block
    }

    /// The smaller map of a block of examples as `[pixel, channel]`.
    fn small<'a>(&self, numbers: &'a [f32]) -> Matrix<'a> {
        let channels = self.sizes.small[0];
        Matrix::new(numbers, numbers.len() / channels, channels)
    }

    /// The weight as `[small channel, patch]`.
    fn matrix<'a>(&self, weight: &'a [f32]) -> Matrix<'a> {
        Matrix::new(weight, self.sizes.small[0], self.sizes.patch_size())
    }

    /// The patches of a block of larger maps.
    fn patches<'a>(&self, large: &'a [f32], scratch: &'a mut Vec<f32>) -> Matrix<'a> {
        if !self.sizes.is_identity() {
            let num = large.len() / self.sizes.num_large();
            gather(&self.sizes, large, room(scratch, num * self.num_in_patches()));
        }
        self.gathered(large, scratch)
    }

    /// The patches of a block of larger maps, which lie in `scratch` already.
    fn gathered<'a>(&self, large: &'a [f32], scratch: &'a [f32]) -> Matrix<'a> {
        let num = large.len() / self.sizes.num_large();
        self.sizes.matrix(if self.sizes.is_identity() { large } else { &scratch[..num * self.num_in_patches()] }, num)
    }

    /// The larger maps from the product of smaller ones and the weight.
    fn spread<'a>(
        &self,
        small: Matrix<'_>,
        weight: Matrix<'_>,
        scratch: &mut Vec<f32>,
        large: &'a mut [MaybeUninit<f32>],
    ) -> &'a mut [f32] {
        if self.sizes.is_identity() {
            return product_into_new(large, small, weight);
        }
        let patches = room(scratch, large.len() / self.sizes.num_large() * self.num_in_patches());
        self.sizes.product_into(patches, small, weight);
        let large = zeroed(large);
        scatter(&self.sizes, patches, large);
        large
    }

    /// The result for a block of examples, channels last. `bias` and `weight` as in [`Layer::matrix`].
    fn forward<'a>(
        &self,
        x: &[f32],
        weight: &[f32],
        bias: &[f32],
        residual: Option<&[f32]>,
        scratch: &mut Vec<f32>,
        y: &'a mut [MaybeUninit<f32>],
    ) -> &'a mut [f32] {
        let weight = self.matrix(weight);
        let y = if self.transposed {
            self.spread(self.small(x), weight, scratch, y)
        } else {
            product_into_new(y, self.patches(x, scratch), weight.transposed())
        };
        if let Some(residual) = residual {
            accumulate(y, residual);
        }
        forward_block(self.activation, y, bias);
        y
    }

    /// Adds the gradient by the weight, from that before the activation and from `x`, both of a block of examples and channels
    /// last.
    fn add_of_weight(&self, gradient: &[f32], x: &[f32], scratch: &mut Vec<f32>, of_weight: &mut [f32]) {
        if self.transposed {
            add_product(of_weight, self.small(x).transposed(), self.patches(gradient, scratch));
        } else {
            add_product(of_weight, self.small(gradient).transposed(), self.patches(x, scratch));
        }
    }

    /// Writes the gradient by `x`, channels last. `is_gathered`: whether `scratch` comes from [`Layer::add_of_weight`] of the same
    /// block.
    fn of_x<'a>(
        &self,
        gradient: &[f32],
        weight: &[f32],
        is_gathered: bool,
        scratch: &mut Vec<f32>,
        of_x: &'a mut [MaybeUninit<f32>],
    ) -> &'a mut [f32] {
        let weight = self.matrix(weight);
        if self.transposed {
            let patches = if is_gathered { self.gathered(gradient, scratch) } else { self.patches(gradient, scratch) };
            product_into_new(of_x, patches, weight.transposed())
        } else {
            self.spread(self.small(gradient), weight, scratch, of_x)
        }
    }
}

/// What a thread works on; kept from call to call.
#[derive(Default)]
struct Scratch {
    patches: Vec<f32>,
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

/// The weight `[small channel, large channel, kernel, kernel]` as `[small channel, kernel, kernel, large channel]`, which is
/// how patches lie.
fn patch_weight(weight: FlexTensor) -> FlexTensor {
    let weight = contiguous(weight);
    let [small, large, kernel] = [0, 1, 2].map(|axis| weight.layout().shape()[axis]);
    if large == 1 || kernel == 1 {
        return weight;
    }
    tensor_of(turned_rows(numbers(&weight), large * kernel * kernel, large), Shape::new([small, large, kernel, kernel]))
}

/// Each row of `len` numbers, a matrix of `rows` rows, as its transpose.
fn turned_rows(weight: &[f32], len: usize, rows: usize) -> Vec<f32> {
    let mut turned = vec![0.0; weight.len()];
    for (from, into) in weight.chunks_exact(len).zip(turned.chunks_exact_mut(len)) {
        transpose(from, rows, into);
    }
    turned
}

fn forward(layer: &Layer, x: &Map, weight: &FlexTensor, bias: FlexTensor, residual: Option<&Map>) -> FlexTensor {
    let bias = contiguous(bias);
    let (weight, bias) = (numbers(weight), numbers(&bias));
    let (block, len) = (layer.block(), layer.num_outputs());
    let num = layer.batch * len;
    let mut y = Vec::with_capacity(num);
    y.spare_capacity_mut()[..num].par_chunks_mut(block * len).enumerate().for_each(|(index, y)| {
        SCRATCH.with_borrow_mut(|scratch| {
            let examples = index * block..index * block + y.len() / len;
            let x = x.block(examples.clone(), &mut scratch.x);
            let residual = residual.map(|residual| residual.block(examples, &mut scratch.other));
            write_block(layer.order, layer.output(), y, &mut scratch.new, |y| {
                layer.forward(x, weight, bias, residual, &mut scratch.patches, y)
            });
        });
    });
    // SAFETY: the capacity was asked for, and the blocks, which make up the whole, have been written: `Layer::forward` gives what it
    // was given back as written, and `write_block` copies all of it.
    unsafe { y.set_len(num) };
    map_of(y, layer.order, layer.batch, layer.output())
}

fn convolve(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    residual: Option<FlexTensor>,
    activation: Activation,
    sliding: Sliding,
) -> FlexTensor {
    let x = Map::new(x);
    let layer = Layer::new(&x, &weight, activation, sliding);
    forward(&layer, &x, &patch_weight(weight), bias, residual.map(Map::new).as_ref())
}

impl ConvolutionOps for Flex {
    fn convolution(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, activation: Activation, sliding: Sliding) -> FlexTensor {
        convolve(x, weight, bias, None, activation, sliding)
    }

    fn convolution_with_residual(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        residual: FlexTensor,
        activation: Activation,
        sliding: Sliding,
    ) -> FlexTensor {
        convolve(x, weight, bias, Some(residual), activation, sliding)
    }
}

#[derive(Debug)]
struct ConvolutionBackward<const N: usize>;

/// What the gradient is computed from.
#[derive(Debug, Clone)]
struct ConvolutionState {
    layer: Layer,
    x: Map,
    /// As in [`Layer::matrix`].
    weight: FlexTensor,
    /// None where the activation is linear.
    y: Option<Map>,
}

/// What a group of examples gives.
struct GroupGradients {
    bias: Vec<f32>,
    weight: Option<Vec<f32>>,
}

impl<const N: usize> Backward<Flex, N> for ConvolutionBackward<N> {
    type State = ConvolutionState;

    fn backward(self, ops: Ops<ConvolutionState, N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ConvolutionState { layer, x, weight, y } = ops.state;
        let gradient = grads.consume::<Flex>(&ops.node);
        let mut parents = ops.parents.into_iter();
        let [node_x, node_weight, node_bias, node_residual] = std::array::from_fn(|_| parents.next().flatten());
        // The gradient by the residual is handed on as it lies.
        let mut gradient = if node_residual.is_some() { Map::channels_last(gradient) } else { Map::new(gradient) };
        let (order, output) = (gradient.order, layer.output());
        let (num_inputs, num_outputs) = (layer.num_inputs(), layer.num_outputs());
        let (block, group) = (layer.block(), layer.group());
        let num_of_x = if node_x.is_some() { layer.batch * num_inputs } else { 0 };
        let mut of_x = Vec::with_capacity(num_of_x);
        let mut of_x_groups: Vec<Option<&mut [MaybeUninit<f32>]>> =
            of_x.spare_capacity_mut()[..num_of_x].chunks_mut(group * num_inputs).map(Some).collect();
        of_x_groups.resize_with(layer.batch.div_ceil(group), || None);
        let gradients: Vec<GroupGradients> = gradient
            .numbers_mut()
            .par_chunks_mut(group * num_outputs)
            .zip(of_x_groups)
            .enumerate()
            .map(|(index, (gradient, mut of_x))| {
                let mut sums = GroupGradients {
                    bias: vec![0.0; output[0]],
                    weight: node_weight.is_some().then(|| vec![0.0; layer.sizes.small[0] * layer.sizes.patch_size()]),
                };
                SCRATCH.with_borrow_mut(|scratch| {
                    for (part, gradient) in gradient.chunks_mut(block * num_outputs).enumerate() {
                        let start = index * group + part * block;
                        let examples = start..start + gradient.len() / num_outputs;
                        let of_x = of_x.as_deref_mut().map(|of_x| {
                            let start = part * block * num_inputs;
                            &mut of_x[start..start + examples.len() * num_inputs]
                        });
                        let gradient = match order {
                            Order::ChannelsLast => gradient,
                            Order::ChannelsFirst => to_channels_last(gradient, output, &mut scratch.other),
                        };
                        let y = y.as_ref().map_or(&[][..], |y| y.block(examples.clone(), &mut scratch.y));
                        backward_block(layer.activation, gradient, y, &mut sums.bias);
                        let values = x.block(examples, &mut scratch.x);
                        if let Some(of_weight) = &mut sums.weight {
                            layer.add_of_weight(gradient, values, &mut scratch.patches, of_weight);
                        }
                        if let Some(of_x) = of_x {
                            let (weight, patches, is_gathered) = (numbers(&weight), &mut scratch.patches, sums.weight.is_some());
                            write_block(x.order, x.size, of_x, &mut scratch.new, |of_x| {
                                layer.of_x(gradient, weight, is_gathered, patches, of_x)
                            });
                        }
                    }
                });
                sums
            })
            .collect();
        if let Some(node) = node_x {
            // SAFETY: the capacity was asked for, and the groups, which make up the whole, have been written block by block.
            unsafe { of_x.set_len(num_of_x) };
            grads.register::<Flex>(node.id, map_of(of_x, x.order, layer.batch, x.size));
        }
        if let Some(node) = node_weight {
            let Sizes { small: [small, ..], large: [large, ..], kernel, .. } = layer.sizes;
            let mut sum = vec![0.0; small * layer.sizes.patch_size()];
            gradients.iter().filter_map(|group| group.weight.as_ref()).for_each(|weight| accumulate(&mut sum, weight));
            let shape = Shape::new([small, large, kernel, kernel]);
            grads.register::<Flex>(node.id, tensor_of(turned_rows(&sum, large * kernel * kernel, kernel * kernel), shape));
        }
        if let Some(node) = node_bias {
            let mut sum = vec![0.0; output[0]];
            gradients.iter().for_each(|group| accumulate(&mut sum, &group.bias));
            grads.register::<Flex>(node.id, tensor_of(sum, Shape::new([output[0]])));
        }
        if let Some(node) = node_residual {
            grads.register::<Flex>(node.id, gradient.into_tensor());
        }
    }
}

impl<C: CheckpointStrategy> ConvolutionOps for Autodiff<Flex, C> {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        sliding: Sliding,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node), (bias, bias_node)) = (x.into_parts(), weight.into_parts(), bias.into_parts());
        match ConvolutionBackward::<3>.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
            OpsKind::UnTracked(prepared) => prepared.finish(convolve(x, weight, bias, None, activation, sliding)),
            OpsKind::Tracked(prepared) => {
                let (y, state) = tracked(x, weight, bias, None, activation, sliding);
                prepared.finish(state, y)
            }
        }
    }

    fn convolution_with_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        activation: Activation,
        sliding: Sliding,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node), (bias, bias_node)) = (x.into_parts(), weight.into_parts(), bias.into_parts());
        let (residual, residual_node) = residual.into_parts();
        match ConvolutionBackward::<4>.prepare::<C>([x_node, weight_node, bias_node, residual_node]).compute_bound().stateful() {
            OpsKind::UnTracked(prepared) => prepared.finish(convolve(x, weight, bias, Some(residual), activation, sliding)),
            OpsKind::Tracked(prepared) => {
                let (y, state) = tracked(x, weight, bias, Some(residual), activation, sliding);
                prepared.finish(state, y)
            }
        }
    }
}

/// The result, and what its gradient is computed from.
fn tracked(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    residual: Option<FlexTensor>,
    activation: Activation,
    sliding: Sliding,
) -> (FlexTensor, ConvolutionState) {
    let x = Map::new(x);
    let layer = Layer::new(&x, &weight, activation, sliding);
    let weight = patch_weight(weight);
    let y = forward(&layer, &x, &weight, bias, residual.map(Map::new).as_ref());
    let state = ConvolutionState { layer, x, weight, y: (activation != Activation::Linear).then(|| Map::new(y.clone())) };
    (y, state)
}
