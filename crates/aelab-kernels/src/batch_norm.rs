//! Batch normalisation of maps with residual and activation as one operation: the statistics in one pass over memory, the rest in
//! another.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, Shape};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::Activation;
use crate::activation::{backward_row_body, forward_row_body};
use crate::fused::{Fused, fused_of, given, or_empty};
use crate::isa::compiled_for_each_isa;
use crate::map::{Map, Order, map_of};
use crate::primitive::{contiguous, is_ours, numbers, primitive, tensor_of, without_tape};

/// How maps are normalised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// Added to variances.
    pub epsilon: f32,
    /// Whether the statistics are those of the map itself, so that the gradient goes through them.
    pub of_batch: bool,
    /// Of the result.
    pub activation: Activation,
}

/// Mean and biased variance of each channel, `[channel]` each, without a tape; `None` where the map is not on `flex`.
pub fn channel_statistics(map: &Tensor<4>) -> Option<[Tensor<1>; 2]> {
    if !is_ours(map) {
        return None;
    }
    let map = Map::channels_last(primitive(without_tape(map)));
    let width = map.size[0];
    let moments: Vec<Moments> = map.numbers().par_chunks(block(width)).map(|block| moments(block, width)).collect();
    let mut all = moments.into_iter();
    let first = all.next().unwrap_or_else(|| Moments { num: 1.0, mean: vec![0.0; width], squares: vec![0.0; width] });
    let Moments { num, mean, squares } = all.fold(first, Moments::joined);
    let means: Vec<f32> = mean.iter().map(|mean| *mean as f32).collect();
    let variances: Vec<f32> = squares.iter().map(|squares| (squares / num) as f32).collect();
    Some([means, variances].map(|values| Tensor::from_primitive::<Flex>(tensor_of(values, Shape::new([width])))))
}

/// `activation((map - mean) / sqrt(variance + epsilon) * gamma + beta + residual)`; `None` where the tensors are not on `flex`.
///
/// # Shapes
/// `map` and `residual`: `[batch, channel, height, width]`; `mean`, `variance`, `gamma` and `beta`: `[channel]`.
pub fn batch_norm(
    map: &Tensor<4>,
    [mean, variance]: [&Tensor<1>; 2],
    [gamma, beta]: [&Tensor<1>; 2],
    residual: Option<&Tensor<4>>,
    how: Normalisation,
) -> Option<Tensor<4>> {
    let vectors = [mean, variance, gamma, beta];
    if !(is_ours(map) && vectors.into_iter().all(is_ours) && residual.is_none_or(is_ours)) {
        return None;
    }
    let [mean, variance] = [mean, variance].map(|vector| without_tape(vector).into_dispatch());
    let [gamma, beta] = [gamma, beta].map(|vector| vector.clone().into_dispatch());
    Some(fused_of([map.clone().into_dispatch(), mean, variance, gamma, beta, or_empty(residual)], how))
}

/// Numbers of a block of whole pixels; a few blocks fit into a second-level cache.
fn block(width: usize) -> usize {
    ((1 << 14) / width).max(1) * width
}

/// Of some pixels, for each channel: how many, their mean, the sum of squares around it.
struct Moments {
    num: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    /// Of both sets of pixels (Chan, Golub & LeVeque 1983).
    fn joined(mut self, other: Self) -> Self {
        let num = self.num + other.num;
        let pairs = self.mean.iter_mut().zip(&mut self.squares).zip(other.mean.iter().zip(&other.squares));
        for ((mean, squares), (other_mean, other_squares)) in pairs {
            let difference = other_mean - *mean;
            *mean += difference * other.num / num;
            *squares += other_squares + difference * difference * self.num * other.num / num;
        }
        Self { num, ..self }
    }
}

fn moments(block: &[f32], width: usize) -> Moments {
    let (mut mean, mut squares) = (vec![0.0; width], vec![0.0; width]);
    sum_moments(block, &mut mean, &mut squares);
    let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect();
    Moments { num: (block.len() / width) as f64, mean: wide(&mean), squares: wide(&squares) }
}

#[inline(always)]
fn sum_moments_body<const FMA: bool>(block: &[f32], mean: &mut [f32], squares: &mut [f32]) {
    let width = mean.len();
    block.chunks_exact(width).for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value));
    let share = 1.0 / (block.len() / width) as f32;
    mean.iter_mut().for_each(|mean| *mean *= share);
    for row in block.chunks_exact(width) {
        squares.iter_mut().zip(&*mean).zip(row).for_each(|((sum, mean), value)| *sum += (value - mean) * (value - mean));
    }
}

compiled_for_each_isa! {
    /// Means of the block's rows, and sums of squares around them. Both come in as zeros.
    fn sum_moments(block: &[f32], mean: &mut [f32], squares: &mut [f32]) = sum_moments_body
}

/// What each channel is multiplied by and moved by.
#[derive(Debug)]
struct Channels {
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    /// `gamma * inverse_deviation`.
    scale: Vec<f32>,
}

#[inline(always)]
fn normalise_body<const FMA: bool>(
    activation: Activation,
    x: &[f32],
    channels: &Channels,
    beta: &[f32],
    residual: Option<&[f32]>,
    y: &mut [MaybeUninit<f32>],
) {
    assert_eq!(x.len(), y.len(), "the result has the shape of the map");
    let width = beta.len();
    for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
        let of_channel = channels.mean.iter().zip(&channels.scale).zip(beta);
        y.iter_mut().zip(x).zip(of_channel).for_each(|((y, x), ((mean, scale), beta))| _ = y.write((x - mean) * scale + beta));
    }
    assert_eq!(x.len() % width, 0, "maps consist of whole pixels");
    // SAFETY: `y` is as long as `x` and consists of whole rows, and each number of each row was written.
    let y = unsafe { y.assume_init_mut() };
    if let Some(residual) = residual {
        y.iter_mut().zip(residual).for_each(|(y, residual)| *y += residual);
    }
    forward_row_body::<FMA>(activation, y, None);
}

compiled_for_each_isa! {
    fn normalise(
        activation: Activation,
        x: &[f32],
        channels: &Channels,
        beta: &[f32],
        residual: Option<&[f32]>,
        y: &mut [MaybeUninit<f32>],
    ) = normalise_body
}

#[inline(always)]
fn sum_gradients_body<const FMA: bool>(
    activation: Activation,
    gradient: &mut [f32],
    y: &[f32],
    x: &[f32],
    channels: &Channels,
    sums: &mut [f32],
    products: &mut [f32],
) {
    if activation != Activation::Linear {
        backward_row_body::<FMA>(activation, gradient, y, None);
    }
    let width = sums.len();
    for (gradient, x) in gradient.chunks_exact(width).zip(x.chunks_exact(width)) {
        let of_channel = sums.iter_mut().zip(products.iter_mut()).zip(channels.mean.iter().zip(&channels.inverse_deviation));
        gradient.iter().zip(x).zip(of_channel).for_each(|((gradient, x), ((sum, product), (mean, inverse)))| {
            *sum += gradient;
            *product += gradient * ((x - mean) * inverse);
        });
    }
}

compiled_for_each_isa! {
    /// Takes the gradient through the activation, in place, and adds up for each channel the gradient and its product with the
    /// normalised map. Of a linear activation `y` is not read.
    fn sum_gradients(
        activation: Activation,
        gradient: &mut [f32],
        y: &[f32],
        x: &[f32],
        channels: &Channels,
        sums: &mut [f32],
        products: &mut [f32],
    ) = sum_gradients_body
}

#[inline(always)]
fn through_statistics_body<const FMA: bool>(gradient: &mut [f32], x: &[f32], channels: &Channels, sums: &[f32], products: &[f32]) {
    let width = sums.len();
    for (gradient, x) in gradient.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
        let means = sums.iter().zip(products);
        let of_channel = channels.mean.iter().zip(&channels.inverse_deviation).zip(channels.scale.iter().zip(means));
        gradient.iter_mut().zip(x).zip(of_channel).for_each(|((gradient, x), ((mean, inverse), (scale, (sum, product))))| {
            *gradient = scale * (*gradient - sum - (x - mean) * inverse * product);
        });
    }
}

compiled_for_each_isa! {
    /// From the gradient before the activation to that by the map, in place. `sums` and `products` as in [`sum_gradients`], but
    /// averages.
    fn through_statistics(gradient: &mut [f32], x: &[f32], channels: &Channels, sums: &[f32], products: &[f32]) = through_statistics_body
}

/// What the gradient is computed from.
#[derive(Debug)]
pub(crate) struct BatchNormState {
    x: Map,
    /// None where the activation is linear.
    y: Option<Map>,
    channels: Channels,
}

impl Fused<6> for Normalisation {
    type State = BatchNormState;

    fn laid_out(tensor: FlexTensor) -> FlexTensor {
        tensor
    }

    fn forward(&self, inputs: [FlexTensor; 6], _needs: [bool; 6]) -> (FlexTensor, BatchNormState) {
        let [map, mean, variance, gamma, beta, residual] = inputs;
        let (x, residual) = (Map::channels_last(map), given(residual).map(Map::channels_last));
        let [mean, variance, gamma, beta] = [mean, variance, gamma, beta].map(contiguous);
        let inverse_deviation: Vec<f32> = numbers(&variance).iter().map(|variance| 1.0 / (variance + self.epsilon).sqrt()).collect();
        let scale = numbers(&gamma).iter().zip(&inverse_deviation).map(|(gamma, inverse)| gamma * inverse).collect();
        let channels = Channels { mean: numbers(&mean).to_vec(), inverse_deviation, scale };
        let (beta, block, num) = (numbers(&beta), block(x.size[0]), x.numbers().len());
        let mut y = Vec::with_capacity(num);
        y.spare_capacity_mut()[..num].par_chunks_mut(block).zip(x.numbers().par_chunks(block)).enumerate().for_each(|(index, (y, x))| {
            let residual = residual.as_ref().map(|residual| &residual.numbers()[index * block..index * block + x.len()]);
            normalise(self.activation, x, &channels, beta, residual, y);
        });
        // SAFETY: the capacity was asked for, and `normalise` has written every number of each block.
        unsafe { y.set_len(num) };
        let y = map_of(y, Order::ChannelsLast, x.batch, x.size);
        let kept = (self.activation != Activation::Linear).then(|| Map::new(y.clone()));
        (y, BatchNormState { x, y: kept, channels })
    }

    fn backward(&self, gradient: FlexTensor, state: BatchNormState, needs: [bool; 6]) -> [Option<FlexTensor>; 6] {
        let BatchNormState { x, y, channels } = state;
        let [needs_map, _, _, needs_gamma, needs_beta, needs_residual] = needs;
        let mut gradient = Map::channels_last(gradient);
        let (width, block) = (x.size[0], block(x.size[0]));
        let of_blocks: Vec<[Vec<f32>; 2]> = gradient
            .numbers_mut()
            .par_chunks_mut(block)
            .zip(x.numbers().par_chunks(block))
            .enumerate()
            .map(|(index, (gradient, x))| {
                let mut sums = [vec![0.0; width], vec![0.0; width]];
                let y = y.as_ref().map_or(&[][..], |y| &y.numbers()[index * block..index * block + x.len()]);
                let [of_beta, of_gamma] = &mut sums;
                sum_gradients(self.activation, gradient, y, x, &channels, of_beta, of_gamma);
                sums
            })
            .collect();
        let total = |which: usize| {
            let mut sums = vec![0.0_f64; width];
            of_blocks.iter().for_each(|block| sums.iter_mut().zip(&block[which]).for_each(|(sum, part)| *sum += f64::from(*part)));
            sums
        };
        let (of_beta, of_gamma) = (total(0), total(1));
        // Shared from here on: the map's gradient is then written to a copy.
        let of_residual = needs_residual.then(|| gradient.clone().into_tensor());
        let of_map = needs_map.then(|| {
            let num = if self.of_batch { (x.numbers().len() / width) as f64 } else { f64::INFINITY };
            let [sums, products] = [&of_beta, &of_gamma].map(|sums| sums.iter().map(|sum| (sum / num) as f32).collect::<Vec<f32>>());
            gradient
                .numbers_mut()
                .par_chunks_mut(block)
                .zip(x.numbers().par_chunks(block))
                .for_each(|(gradient, x)| through_statistics(gradient, x, &channels, &sums, &products));
            gradient.into_tensor()
        });
        let vector = |sums: Vec<f64>| tensor_of(sums.iter().map(|sum| *sum as f32).collect(), Shape::new([width]));
        let (of_gamma, of_beta) = (needs_gamma.then(|| vector(of_gamma)), needs_beta.then(|| vector(of_beta)));
        [of_map, None, None, of_gamma, of_beta, of_residual]
    }
}
