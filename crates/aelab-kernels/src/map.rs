//! Maps, `[batch, channel, height, width]` to the outside, in the two orders that they lie in memory in.

use std::mem::MaybeUninit;
use std::ops::Range;

use burn::backend::Shape;
use burn::backend::flex::FlexTensor;

use crate::primitive::{contiguous, numbers, numbers_mut, tensor_of};

/// What runs fastest in memory within an example. A map of one channel or of one pixel is both and counts as the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// `[channel, height, width]`: what is flattened or comes from a vector of features.
    ChannelsFirst,
    /// `[height, width, channel]`: what kernels work on.
    ChannelsLast,
}

/// The order of a map of `size`, channel, height and width, that should lie in `order`.
pub(crate) fn settled_order(order: Order, size: [usize; 3]) -> Order {
    if is_both(size) { Order::ChannelsLast } else { order }
}

fn is_both([channels, height, width]: [usize; 3]) -> bool {
    channels == 1 || height * width == 1
}

/// A map whose numbers lie together.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    numbers: FlexTensor,
    pub(crate) order: Order,
    pub(crate) batch: usize,
    /// Channel, height, width.
    pub(crate) size: [usize; 3],
}

impl Map {
    /// In the order that it lies in; what lies otherwise is copied, channels first.
    pub(crate) fn new(tensor: FlexTensor) -> Self {
        let [batch, channels, height, width] = [0, 1, 2, 3].map(|axis| tensor.layout().shape()[axis]);
        let size = [channels, height, width];
        if is_both(size) {
            return Self { numbers: contiguous(tensor), order: Order::ChannelsLast, batch, size };
        }
        let turned = tensor.permute(&[0, 2, 3, 1]);
        if turned.is_contiguous() && turned.layout().start_offset() == 0 {
            // Gone before its numbers are to be changed in place.
            drop(tensor);
            return Self { numbers: turned, order: Order::ChannelsLast, batch, size };
        }
        Self { numbers: contiguous(tensor), order: Order::ChannelsFirst, batch, size }
    }

    /// Channels last, by a copy where it lies otherwise.
    pub(crate) fn channels_last(tensor: FlexTensor) -> Self {
        let map = Self::new(tensor);
        if map.order == Order::ChannelsLast {
            return map;
        }
        let len = map.len();
        let mut turned = Vec::with_capacity(map.batch * len);
        for (from, into) in map.numbers().chunks_exact(len).zip(turned.spare_capacity_mut().chunks_exact_mut(len)) {
            transpose(from, map.size[0], into, |to, value| _ = to.write(value));
        }
        // SAFETY: `transpose` has written each number of each example, `batch * len` of them, which is the capacity asked for.
        unsafe { turned.set_len(map.batch * len) };
        Self { numbers: tensor_of(turned, Shape::new([map.batch * len])), order: Order::ChannelsLast, ..map }
    }

    /// Numbers of an example.
    pub(crate) fn len(&self) -> usize {
        self.size.iter().product()
    }

    /// One example after the other.
    pub(crate) fn numbers(&self) -> &[f32] {
        numbers(&self.numbers)
    }

    /// Those of some examples, channels last, by way of `scratch` where they lie otherwise.
    pub(crate) fn block<'a>(&'a self, examples: Range<usize>, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let block = &self.numbers()[examples.start * self.len()..examples.end * self.len()];
        match self.order {
            Order::ChannelsLast => block,
            Order::ChannelsFirst => to_channels_last(block, self.size, scratch),
        }
    }

    /// To be changed: in place where nothing else holds them.
    pub(crate) fn numbers_mut(&mut self) -> &mut [f32] {
        numbers_mut(&mut self.numbers)
    }

    /// The tensor `[batch, channel, height, width]`.
    pub(crate) fn into_tensor(self) -> FlexTensor {
        let [channels, height, width] = self.size;
        let last = self.order == Order::ChannelsLast && !is_both(self.size);
        let shape = if last { [self.batch, height, width, channels] } else { [self.batch, channels, height, width] };
        let tensor = self.numbers.reshape(Shape::new(shape));
        if last { tensor.permute(&[0, 3, 1, 2]) } else { tensor }
    }
}

/// A new map of these numbers, which lie in `order`.
pub(crate) fn map_of(numbers: Vec<f32>, order: Order, batch: usize, size: [usize; 3]) -> FlexTensor {
    Map { numbers: tensor_of(numbers, Shape::new([batch * size.iter().product::<usize>()])), order, batch, size }.into_tensor()
}

/// As many numbers of `scratch`, which only ever grows; what they are is of no meaning.
pub(crate) fn room(scratch: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    &mut scratch[..len]
}

/// All zero.
pub(crate) fn zeroed(numbers: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    numbers.fill(MaybeUninit::new(0.0));
    // SAFETY: each number was just written.
    unsafe { numbers.assume_init_mut() }
}

/// A matrix of `rows` rows to its transpose.
pub(crate) fn transpose<T>(from: &[f32], rows: usize, into: &mut [T], put: impl Fn(&mut T, f32)) {
    assert_eq!(from.len(), into.len(), "a transpose has as many numbers");
    let columns = from.len() / rows.max(1);
    for (column, into) in into.chunks_exact_mut(rows).enumerate() {
        for (into, value) in into.iter_mut().zip(from[column..].iter().step_by(columns)) {
            put(into, *value);
        }
    }
}

/// The numbers of a block of examples, `[.., channel, pixel]`, as `[.., pixel, channel]` in `scratch`.
pub(crate) fn to_channels_last<'a>(block: &[f32], size: [usize; 3], scratch: &'a mut Vec<f32>) -> &'a mut [f32] {
    let turned = room(scratch, block.len());
    let len = size.iter().product();
    for (from, into) in block.chunks_exact(len).zip(turned.chunks_exact_mut(len)) {
        transpose(from, size[0], into, |to, value| *to = value);
    }
    turned
}

/// The way back.
pub(crate) fn to_channels_first(block: &[f32], size: [usize; 3], into: &mut [MaybeUninit<f32>]) {
    let len = size.iter().product();
    for (from, into) in block.chunks_exact(len).zip(into.chunks_exact_mut(len)) {
        transpose(from, size[1] * size[2], into, |to, value| _ = to.write(value));
    }
}
