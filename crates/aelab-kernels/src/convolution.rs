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

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, Shape, backend_extension};
use burn::tensor::Tensor;

use crate::Activation;
use crate::activation::{backward_block, forward_block};
use crate::direct::Direct;
use crate::map::{Map, Order, map_of, room, settled_order, to_channels_first, to_channels_last, transpose, zeroed};
use crate::parallel::{Parts, for_bands};
use crate::patches::{Sizes, gather, scatter};
use crate::primitive::{contiguous, is_ours, numbers, tensor_of};
use crate::product::{Matrix, add_product, product_into_new};
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

/// Numbers of a block: patches or borders, and both maps. Half of a usual second-level cache.
const BLOCK_SIZE: usize = 1 << 17;
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

/// The smaller map from the larger one: the way of a convolution, and of the gradient by the input of a transposed one.
struct Down<'a> {
    sizes: &'a Sizes,
    direct: Option<Direct>,
}

impl<'a> Down<'a> {
    fn new(sizes: &'a Sizes) -> Self {
        Self { sizes, direct: Direct::down(sizes) }
    }

    /// A weight `[small channel, large channel, kernel, kernel]` as [`Down::small`] reads it.
    fn weight(&self, weight: &[f32]) -> Vec<f32> {
        let ([small, ..], [large, ..], taps) = (self.sizes.small, self.sizes.large, self.sizes.kernel.pow(2));
        match &self.direct {
            Some(direct) => {
                let mut turned = vec![0.0; weight.len()];
                transpose(weight, small, &mut turned);
                direct.strips(exchanged(turned, [large, taps, small]))
            }
            None => turned_rows(weight, large * taps, large),
        }
    }

    /// What the sums over a block of larger maps read: these with borders, or their patches.
    fn gathered<'b>(&self, large: &'b [f32], scratch: &'b mut Vec<f32>) -> &'b [f32] {
        match &self.direct {
            Some(direct) => direct.with_border(large, scratch),
            None if self.sizes.is_identity() => large,
            None => {
                let num = large.len() / self.sizes.num_large();
                let patches = room(scratch, num * self.sizes.num_patches() * self.sizes.patch_size());
                gather(self.sizes, large, patches);
                patches
            }
        }
    }

    fn small<'b>(&self, gathered: &[f32], weight: &[f32], small: &'b mut [MaybeUninit<f32>]) -> &'b mut [f32] {
        match &self.direct {
            Some(direct) => direct.sums(weight, gathered, small),
            None => {
                let num = small.len() / self.sizes.num_small();
                product_into_new(small, self.sizes.matrix(gathered, num), weight_matrix(self.sizes, weight).transposed())
            }
        }
    }

    /// Adds the gradient by the weight, in an order of its own.
    fn add_of_weight(&self, gathered: &[f32], small: &[f32], of_weight: &mut [f32]) {
        match &self.direct {
            Some(direct) => direct.add_of_weight(gathered, small, of_weight),
            None => {
                let num = small.len() / self.sizes.num_small();
                add_product(of_weight, small_matrix(self.sizes, small).transposed(), self.sizes.matrix(gathered, num));
            }
        }
    }

    /// The gradient by the weight, `[small channel, large channel, kernel, kernel]`, from what [`Down::add_of_weight`] has added up.
    fn of_weight(&self, sum: Vec<f32>) -> Vec<f32> {
        let ([small, ..], [large, ..], taps) = (self.sizes.small, self.sizes.large, self.sizes.kernel.pow(2));
        if self.direct.is_none() {
            return turned_rows(&sum, large * taps, taps);
        }
        let mut turned = vec![0.0; sum.len()];
        transpose(&exchanged(sum, [taps, large, small]), taps * large, &mut turned);
        turned
    }
}

/// The larger map from the smaller one: the way of a transposed convolution, and of the gradient by the input of the other one.
struct Up<'a> {
    sizes: &'a Sizes,
    direct: Option<Direct>,
    weight: Vec<f32>,
}

impl<'a> Up<'a> {
    /// With a weight `[small channel, large channel, kernel, kernel]`.
    fn new(sizes: &'a Sizes, weight: &[f32]) -> Self {
        let ([small, ..], [large, ..], taps) = (sizes.small, sizes.large, sizes.kernel.pow(2));
        let (direct, weight) = (Direct::up(sizes), turned_rows(weight, large * taps, large));
        let weight = match &direct {
            Some(direct) => direct.strips(exchanged(weight, [small, taps, large])),
            None => weight,
        };
        Self { sizes, direct, weight }
    }

    fn large<'b>(&self, small: &[f32], scratch: &mut Vec<f32>, large: &'b mut [MaybeUninit<f32>]) -> &'b mut [f32] {
        let sizes = self.sizes;
        if let Some(direct) = &self.direct {
            return direct.sums(&self.weight, direct.with_border(small, scratch), large);
        }
        let (small, weight) = (small_matrix(sizes, small), weight_matrix(sizes, &self.weight));
        if sizes.is_identity() {
            return product_into_new(large, small, weight);
        }
        let patches = room(scratch, large.len() / sizes.num_large() * sizes.num_patches() * sizes.patch_size());
        sizes.product_into(patches, small, weight);
        let large = zeroed(large);
        scatter(sizes, patches, large);
        large
    }
}

/// The smaller map of a block of examples as `[pixel, channel]`.
fn small_matrix<'a>(sizes: &Sizes, small: &'a [f32]) -> Matrix<'a> {
    Matrix::new(small, small.len() / sizes.small[0], sizes.small[0])
}

/// The weight as `[small channel, patch]`.
fn weight_matrix<'a>(sizes: &Sizes, weight: &'a [f32]) -> Matrix<'a> {
    Matrix::new(weight, sizes.small[0], sizes.patch_size())
}

/// `[outer, inner, width]` as `[inner, outer, width]`.
fn exchanged(from: Vec<f32>, [outer, inner, width]: [usize; 3]) -> Vec<f32> {
    if outer == 1 || inner == 1 {
        return from;
    }
    let mut into = Vec::with_capacity(from.len());
    for index in 0..inner {
        from.chunks_exact(width).skip(index).step_by(inner).for_each(|row| into.extend_from_slice(row));
    }
    into
}

/// Each row of `len` numbers, a matrix of `rows` rows, as its transpose.
fn turned_rows(weight: &[f32], len: usize, rows: usize) -> Vec<f32> {
    if rows == 1 || rows == len {
        return weight.to_vec();
    }
    let mut turned = vec![0.0; weight.len()];
    for (from, into) in weight.chunks_exact(len).zip(turned.chunks_exact_mut(len)) {
        transpose(from, rows, into);
    }
    turned
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

fn forward(layer: &Layer, x: &Map, weight: FlexTensor, bias: FlexTensor, residual: Option<&Map>) -> FlexTensor {
    let (weight, bias) = (contiguous(weight), contiguous(bias));
    let bias = numbers(&bias);
    let ways = if layer.transposed {
        Forward::Up(Up::new(&layer.sizes, numbers(&weight)))
    } else {
        let down = Down::new(&layer.sizes);
        let weight = down.weight(numbers(&weight));
        Forward::Down(down, weight)
    };
    let ([_, block], len) = (layer.group(), layer.num_outputs());
    let num = layer.batch * len;
    let mut y = Vec::with_capacity(num);
    for_bands(&mut y.spare_capacity_mut()[..num], block * len, usize::MAX, |index, y| {
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
    forward(&layer, &x, weight, bias, residual.map(Map::new).as_ref())
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
        let [group, block] = layer.group();
        let down = Down::new(&layer.sizes);
        let weight = contiguous(weight);
        // Which of the two ways the gradient by `x` goes.
        let (down_weight, up) = match (node_x.is_some(), layer.transposed) {
            (false, _) => (None, None),
            (true, true) => (Some(down.weight(numbers(&weight))), None),
            (true, false) => (None, Some(Up::new(&layer.sizes, numbers(&weight)))),
        };
        let num_of_x = if node_x.is_some() { layer.batch * num_inputs } else { 0 };
        let mut of_x = Vec::with_capacity(num_of_x);
        let of_x_parts = Parts::new(&mut of_x.spare_capacity_mut()[..num_of_x]);
        let num_weights = if node_weight.is_some() { numbers(&weight).len() } else { 0 };
        let mut sums: Vec<GroupGradients> = Vec::new();
        sums.resize_with(layer.batch.div_ceil(group), GroupGradients::default);
        let gradient_parts = Parts::new(gradient.numbers_mut());
        for_bands(&mut sums, 1, usize::MAX, |index, sums| {
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
        if let Some(node) = node_x {
            // SAFETY: the capacity was asked for, and the groups, which make up the whole, have been written block by block.
            unsafe { of_x.set_len(num_of_x) };
            grads.register::<Flex>(node.id, map_of(of_x, x.order, layer.batch, x.size));
        }
        if let Some(node) = node_weight {
            let Sizes { small: [small, ..], large: [large, ..], kernel, .. } = layer.sizes;
            let mut sum = vec![0.0; num_weights];
            for_bands(&mut sum, 1 << 12, num_weights * sums.len(), |band, sum| {
                let range = (band << 12)..(band << 12) + sum.len();
                sums.iter().for_each(|group| add(sum, &group.weight[range.clone()]));
            });
            let shape = Shape::new([small, large, kernel, kernel]);
            grads.register::<Flex>(node.id, tensor_of(down.of_weight(sum), shape));
        }
        if let Some(node) = node_bias {
            let mut sum = vec![0.0; output[0]];
            sums.iter().for_each(|group| add(&mut sum, &group.bias));
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
    let y = forward(&layer, &x, weight.clone(), bias, residual.map(Map::new).as_ref());
    let state = ConvolutionState { layer, x, weight, y: (activation != Activation::Linear).then(|| Map::new(y.clone())) };
    (y, state)
}
