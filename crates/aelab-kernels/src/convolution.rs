//! Convolutions and transposed convolutions with bias and activation as one operation, as matrix products over patches.
//!
//! In memory a map is `[batch, height, width, channel]`: a row of a patch is then one run of numbers, and what a product gives
//! is a map already. To the outside it is `[batch, channel, height, width]`, a view; maps that come in otherwise are turned.
//! Work goes on in blocks of examples whose patches stay in the cache; the blocks do not depend on the number of threads.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, Shape, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::Activation;
use crate::activation::{backward_block, forward_block};
use crate::primitive::{contiguous, is_ours, numbers, tensor_of};
use crate::product::{Matrix, accumulate, product_into};

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
}

/// `activation(convolution(x, weight) + bias)`; `None` where the tensors are not on `flex`.
///
/// # Shapes
/// `x`: `[batch, input, height, width]`; `weight`: `[output, input, kernel, kernel]`, where transposed
/// `[input, output, kernel, kernel]`; `bias`: `[output]`.
pub fn convolution(x: &Tensor<4>, weight: &Tensor<4>, bias: &Tensor<1>, activation: Activation, sliding: Sliding) -> Option<Tensor<4>> {
    if !(is_ours(x) && is_ours(weight) && is_ours(bias)) {
        return None;
    }
    let [x, weight] = [x, weight].map(|tensor| tensor.clone().into_dispatch());
    Some(Tensor::from_dispatch(<Dispatch as ConvolutionOps>::convolution(x, weight, bias.clone().into_dispatch(), activation, sliding)))
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
}

/// Sizes of the two maps: the larger one, of which patches are taken, and the smaller one with one pixel per patch.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    large: [usize; 3],
    small: [usize; 3],
    kernel: usize,
    stride: usize,
    padding: usize,
}

/// Numbers of the patches of a block; half of a usual second-level cache.
const BLOCK_SIZE: usize = 1 << 17;

impl Sizes {
    /// `[batch, channel, height, width]` of what comes in, and of the weight.
    fn new(x: &[usize], weight: &[usize], sliding: Sliding) -> Self {
        let (batch, map, kernel) = (x[0], [x[1], x[2], x[3]], weight[2]);
        let Sliding { stride, padding, .. } = sliding;
        let (large, small) = if sliding.transposed {
            ([weight[1], sliding.output[0], sliding.output[1]], map)
        } else {
            let patches = |size: usize| (size + 2 * padding - kernel) / stride + 1;
            (map, [weight[0], patches(map[1]), patches(map[2])])
        };
        Self { batch, large, small, kernel, stride, padding }
    }

    fn num_large(&self) -> usize {
        self.large.iter().product()
    }

    fn num_small(&self) -> usize {
        self.small.iter().product()
    }

    fn num_patches(&self) -> usize {
        self.small[1] * self.small[2]
    }

    fn patch_size(&self) -> usize {
        self.kernel * self.kernel * self.large[0]
    }

    /// Examples of a block.
    fn block(&self) -> usize {
        (BLOCK_SIZE / (self.num_patches() * self.patch_size()).max(1)).clamp(1, self.batch.max(1))
    }

    /// For each row of each patch: its place among the patches, the place and the length of its run in the map, and how many
    /// numbers of the row lie before it, outside the map.
    #[inline(always)]
    fn for_each_run(&self, mut visit: impl FnMut(usize, Option<(usize, usize, usize)>)) {
        let [channels, height, width] = self.large;
        let row = self.kernel * channels;
        let mut place = 0;
        for y in 0..self.small[1] {
            for x in 0..self.small[2] {
                let left = (x * self.stride) as isize - self.padding as isize;
                let (from, to) = (left.max(0) as usize, ((left + self.kernel as isize).max(0) as usize).min(width));
                for ky in 0..self.kernel {
                    let line = (y * self.stride + ky) as isize - self.padding as isize;
                    let is_inside = line >= 0 && (line as usize) < height && from < to;
                    visit(
                        place,
                        is_inside.then(|| {
                            let before = (from as isize - left) as usize * channels;
                            ((line as usize * width + from) * channels, (to - from) * channels, before)
                        }),
                    );
                    place += row;
                }
            }
        }
    }

    /// The patches of one example: `[patch, kernel * kernel * channel]`.
    fn gather(&self, map: &[f32], patches: &mut [f32]) {
        let row = self.kernel * self.large[0];
        self.for_each_run(|place, run| {
            let patch = &mut patches[place..place + row];
            match run {
                Some((start, len, before)) => {
                    if len < row {
                        patch.fill(0.0);
                    }
                    patch[before..before + len].copy_from_slice(&map[start..start + len]);
                }
                None => patch.fill(0.0),
            }
        });
    }

    /// Adds patches to the map that they are of.
    fn scatter(&self, patches: &[f32], map: &mut [f32]) {
        self.for_each_run(|place, run| {
            if let Some((start, len, before)) = run {
                let patch = &patches[place + before..place + before + len];
                map[start..start + len].iter_mut().zip(patch).for_each(|(sum, value)| *sum += value);
            }
        });
    }
}

/// The numbers of a map as `[batch, height, width, channel]`.
fn channels_last(tensor: FlexTensor) -> FlexTensor {
    let turned = tensor.permute(&[0, 2, 3, 1]);
    contiguous(turned)
}

/// A map `[batch, height, width, channel]` as a view `[batch, channel, height, width]`.
fn channels_first(values: Vec<f32>, batch: usize, [channels, height, width]: [usize; 3]) -> FlexTensor {
    tensor_of(values, Shape::new([batch, height, width, channels])).permute(&[0, 3, 1, 2])
}

/// The weight as `[kernel * kernel * large channel, small channel]`.
fn patch_weight(weight: &FlexTensor) -> Vec<f32> {
    // Of a convolution the small map's channels are the first axis and the large map's the second; of a transposed one too.
    let weight = contiguous(weight.clone());
    let [small, large, kernel] = [0, 1, 2].map(|axis| weight.layout().shape()[axis]);
    let (from, area) = (numbers(&weight), kernel * kernel);
    let mut turned = vec![0.0; from.len()];
    for s in 0..small {
        for l in 0..large {
            for k in 0..area {
                turned[(k * large + l) * small + s] = from[(s * large + l) * area + k];
            }
        }
    }
    turned
}

/// The gradient by the weight from that by [`patch_weight`].
fn weight_gradient(turned: &[f32], small: usize, large: usize, kernel: usize) -> FlexTensor {
    let area = kernel * kernel;
    let mut values = vec![0.0; turned.len()];
    for s in 0..small {
        for l in 0..large {
            for k in 0..area {
                values[(s * large + l) * area + k] = turned[(k * large + l) * small + s];
            }
        }
    }
    tensor_of(values, Shape::new([small, large, kernel, kernel]))
}

fn forward(x: FlexTensor, weight: &FlexTensor, bias: &FlexTensor, activation: Activation, sliding: Sliding) -> FlexTensor {
    let sizes = Sizes::new(x.layout().shape(), weight.layout().shape(), sliding);
    let x = channels_last(x);
    let weight = patch_weight(weight);
    let bias = contiguous(bias.clone());
    let (x, bias) = (numbers(&x), numbers(&bias));
    let (patches, patch) = (sizes.num_patches(), sizes.patch_size());
    let weight = Matrix::new(&weight, patch, sizes.small[0]);
    let block = sizes.block();
    let (input, output, map) = if sliding.transposed {
        (sizes.num_small(), sizes.num_large(), sizes.large)
    } else {
        (sizes.num_large(), sizes.num_small(), sizes.small)
    };
    let mut y = vec![0.0; sizes.batch * output];
    y.par_chunks_mut(block * output).zip(x.par_chunks(block * input)).for_each_init(Vec::new, |scratch, (y, x)| {
        let num = x.len() / input;
        scratch.resize(num * patches * patch, 0.0);
        if sliding.transposed {
            product_into(scratch, Matrix::new(x, num * patches, sizes.small[0]), weight.transposed());
            for (scratch, y) in scratch.chunks_exact(patches * patch).zip(y.chunks_exact_mut(output)) {
                sizes.scatter(scratch, y);
            }
        } else {
            for (x, scratch) in x.chunks_exact(input).zip(scratch.chunks_exact_mut(patches * patch)) {
                sizes.gather(x, scratch);
            }
            product_into(y, Matrix::new(scratch, num * patches, patch), weight);
        }
        forward_block(activation, y, map[0], Some(bias));
    });
    channels_first(y, sizes.batch, map)
}

impl ConvolutionOps for Flex {
    fn convolution(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, activation: Activation, sliding: Sliding) -> FlexTensor {
        forward(x, &weight, &bias, activation, sliding)
    }
}

#[derive(Debug)]
struct ConvolutionBackward;

#[derive(Debug, Clone)]
struct ConvolutionState {
    x: FlexTensor,
    weight: FlexTensor,
    y: FlexTensor,
    activation: Activation,
    sliding: Sliding,
}

/// What a block of examples gives.
#[derive(Default)]
struct BlockGradients {
    bias: Vec<f32>,
    weight: Vec<f32>,
}

impl Backward<Flex, 3> for ConvolutionBackward {
    type State = ConvolutionState;

    fn backward(self, ops: Ops<ConvolutionState, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ConvolutionState { x, weight, y, activation, sliding } = ops.state;
        let [node_x, node_weight, node_bias] = ops.parents;
        let sizes = Sizes::new(x.layout().shape(), weight.layout().shape(), sliding);
        let mut gradient = channels_last(grads.consume::<Flex>(&ops.node));
        let (x, y) = (channels_last(x), channels_last(y));
        let turned = patch_weight(&weight);
        let (patches, patch, small) = (sizes.num_patches(), sizes.patch_size(), sizes.small[0]);
        let weight = Matrix::new(&turned, patch, small);
        let (input, output, map) = if sliding.transposed {
            (sizes.num_small(), sizes.num_large(), sizes.large)
        } else {
            (sizes.num_large(), sizes.num_small(), sizes.small)
        };
        let block = sizes.block();
        let mut of_x = vec![0.0; if node_x.is_some() { sizes.batch * input } else { 0 }];
        let num_blocks = sizes.batch.div_ceil(block);
        let of_x_blocks: Vec<Option<&mut [f32]>> =
            if node_x.is_some() { of_x.chunks_mut(block * input).map(Some).collect() } else { (0..num_blocks).map(|_| None).collect() };
        let gradients: Vec<BlockGradients> = crate::primitive::numbers_mut(&mut gradient)
            .par_chunks_mut(block * output)
            .zip(numbers(&y).par_chunks(block * output))
            .zip(numbers(&x).par_chunks(block * input))
            .zip(of_x_blocks.into_par_iter())
            .map_init(Vec::new, |scratch: &mut Vec<f32>, (((gradient, y), x), of_x)| {
                let num = x.len() / input;
                let mut block = BlockGradients { bias: vec![0.0; map[0]], weight: Vec::new() };
                backward_block(activation, gradient, y, map[0], Some(&mut block.bias));
                scratch.resize(num * patches * patch, 0.0);
                if sliding.transposed {
                    for (gradient, scratch) in gradient.chunks_exact(output).zip(scratch.chunks_exact_mut(patches * patch)) {
                        sizes.gather(gradient, scratch);
                    }
                    let scratch = Matrix::new(scratch, num * patches, patch);
                    if node_weight.is_some() {
                        block.weight = vec![0.0; patch * small];
                        product_into(&mut block.weight, scratch.transposed(), Matrix::new(x, num * patches, small));
                    }
                    if let Some(of_x) = of_x {
                        product_into(of_x, scratch, weight);
                    }
                } else {
                    let gradient = Matrix::new(gradient, num * patches, small);
                    if node_weight.is_some() {
                        for (x, scratch) in x.chunks_exact(input).zip(scratch.chunks_exact_mut(patches * patch)) {
                            sizes.gather(x, scratch);
                        }
                        block.weight = vec![0.0; patch * small];
                        product_into(&mut block.weight, Matrix::new(scratch, num * patches, patch).transposed(), gradient);
                    }
                    if let Some(of_x) = of_x {
                        product_into(scratch, gradient, weight.transposed());
                        for (scratch, of_x) in scratch.chunks_exact(patches * patch).zip(of_x.chunks_exact_mut(input)) {
                            sizes.scatter(scratch, of_x);
                        }
                    }
                }
                block
            })
            .collect();
        if let Some(node) = node_x {
            let map = if sliding.transposed { sizes.small } else { sizes.large };
            grads.register::<Flex>(node.id, channels_first(of_x, sizes.batch, map));
        }
        if let Some(node) = node_weight {
            let mut sum = vec![0.0; patch * small];
            gradients.iter().for_each(|block| accumulate(&mut sum, &block.weight));
            grads.register::<Flex>(node.id, weight_gradient(&sum, small, sizes.large[0], sizes.kernel));
        }
        if let Some(node) = node_bias {
            let mut sum = vec![0.0; map[0]];
            gradients.iter().for_each(|block| accumulate(&mut sum, &block.bias));
            grads.register::<Flex>(node.id, tensor_of(sum, Shape::new([map[0]])));
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
        let nodes: [NodeGuard; 3] = [x_node, weight_node, bias_node];
        let y = forward(x.clone(), &weight, &bias, activation, sliding);
        match ConvolutionBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::UnTracked(prepared) => prepared.finish(y),
            OpsKind::Tracked(prepared) => {
                let state = ConvolutionState { x, weight, y: y.clone(), activation, sliding };
                prepared.finish(state, y)
            }
        }
    }
}
