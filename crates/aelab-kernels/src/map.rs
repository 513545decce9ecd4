//! Maps, `[batch, channel, height, width]` to the outside, in the two orders that they lie in memory in.

use std::mem::MaybeUninit;
use std::ops::Range;

use burn::backend::Shape;
use burn::backend::flex::FlexTensor;

use crate::isa::compiled_for_each_isa;
use crate::parallel::for_bands;
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
            transpose_new(from, map.size[0], into);
        }
        // SAFETY: `transpose_new` has written each number of each example, `batch * len` of them, which is the capacity asked for.
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

/// Rows and columns of a tile: a row of it fills the widest register.
const TILE: usize = 16;

/// The transpose of a tile by four perfect shuffles of its numbers: each moves the highest bit of the row's index to the end of
/// the column's, and the highest bit of the column's index to the end of the row's.
#[inline(always)]
fn transpose_tile(mut tile: [[f32; TILE]; TILE]) -> [[f32; TILE]; TILE] {
    for _ in 0..TILE.ilog2() {
        let mut shuffled = [[0.0; TILE]; TILE];
        for row in 0..TILE / 2 {
            let (first, second) = (tile[row], tile[row + TILE / 2]);
            for column in 0..TILE / 2 {
                shuffled[2 * row][2 * column] = first[column];
                shuffled[2 * row][2 * column + 1] = second[column];
                shuffled[2 * row + 1][2 * column] = first[TILE / 2 + column];
                shuffled[2 * row + 1][2 * column + 1] = second[TILE / 2 + column];
            }
        }
        tile = shuffled;
    }
    tile
}

/// Gives each number of the transpose to `put` with its place; rows of `from` begin `stride` numbers apart.
#[inline(always)]
fn transpose_with<T>(from: &[f32], stride: usize, rows: usize, into: &mut [T], put: impl Fn(&mut T, f32)) {
    let columns = into.len() / rows;
    assert_eq!(into.len(), rows * columns, "a matrix has whole rows");
    let (tiled_rows, tiled_columns) = (rows - rows % TILE, columns - columns % TILE);
    for row in (0..tiled_rows).step_by(TILE) {
        for column in (0..tiled_columns).step_by(TILE) {
            let mut tile = [[0.0; TILE]; TILE];
            for (index, line) in tile.iter_mut().enumerate() {
                line.copy_from_slice(&from[(row + index) * stride + column..][..TILE]);
            }
            for (index, line) in transpose_tile(tile).iter().enumerate() {
                let into = &mut into[(column + index) * rows + row..][..TILE];
                into.iter_mut().zip(line).for_each(|(into, value)| put(into, *value));
            }
        }
    }
    for row in 0..rows {
        for column in if row < tiled_rows { tiled_columns } else { 0 }..columns {
            put(&mut into[column * rows + row], from[row * stride + column]);
        }
    }
}

#[inline(always)]
fn transpose_body<const FMA: bool>(from: &[f32], stride: usize, rows: usize, into: &mut [f32]) {
    transpose_with(from, stride, rows, into, |into, value| *into = value);
}

#[inline(always)]
fn transpose_new_body<const FMA: bool>(from: &[f32], rows: usize, into: &mut [MaybeUninit<f32>]) {
    assert_eq!(from.len(), into.len(), "a transpose has as many numbers");
    transpose_with(from, from.len() / rows, rows, into, |into, value| _ = into.write(value));
}

compiled_for_each_isa! {
    /// [`transpose`] of a matrix whose rows begin `stride` numbers apart.
    fn transpose_strided(from: &[f32], stride: usize, rows: usize, into: &mut [f32]) = transpose_body
}

/// A matrix of `rows` rows to its transpose; each number of `into` is written.
pub(crate) fn transpose(from: &[f32], rows: usize, into: &mut [f32]) {
    assert_eq!(from.len(), into.len(), "a transpose has as many numbers");
    transpose_strided(from, from.len() / rows, rows, into);
}

/// The transpose of a large matrix, `[any, columns]`, on all threads.
pub(crate) fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let mut output = vec![0.0; matrix.len()];
    let rows = matrix.len() / columns;
    for_bands(&mut output, rows * TILE, matrix.len(), |band, into| transpose_strided(&matrix[band * TILE..], columns, rows, into));
    output
}

compiled_for_each_isa! {
    /// [`transpose`] to what was not written before.
    fn transpose_new(from: &[f32], rows: usize, into: &mut [MaybeUninit<f32>]) = transpose_new_body
}

/// The numbers of a block of examples, `[.., channel, pixel]`, as `[.., pixel, channel]` in `scratch`.
pub(crate) fn to_channels_last<'a>(block: &[f32], size: [usize; 3], scratch: &'a mut Vec<f32>) -> &'a mut [f32] {
    let turned = room(scratch, block.len());
    let len = size.iter().product();
    for (from, into) in block.chunks_exact(len).zip(turned.chunks_exact_mut(len)) {
        transpose(from, size[0], into);
    }
    turned
}

/// The way back.
pub(crate) fn to_channels_first(block: &[f32], size: [usize; 3], into: &mut [MaybeUninit<f32>]) {
    let len = size.iter().product();
    for (from, into) in block.chunks_exact(len).zip(into.chunks_exact_mut(len)) {
        transpose_new(from, size[1] * size[2], into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transpose_has_each_number_in_its_place() {
        for (rows, columns) in [(1, 1), (1, 40), (16, 16), (64, 49), (17, 33), (33, 15), (5, 64)] {
            let from: Vec<f32> = (0..rows * columns).map(|index| index as f32).collect();
            let (mut into, mut new) = (vec![-1.0; from.len()], vec![MaybeUninit::new(-1.0); from.len()]);
            transpose(&from, rows, &mut into);
            transpose_new(&from, rows, &mut new);
            let expected: Vec<f32> = (0..columns).flat_map(|column| (0..rows).map(move |row| (row * columns + column) as f32)).collect();
            assert_eq!(into, expected, "{rows} x {columns}");
            // SAFETY: the numbers were written when they were made.
            assert_eq!(unsafe { new.assume_init_ref() }, expected, "{rows} x {columns}");
        }
    }
}
