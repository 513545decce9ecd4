//! Maps, `[batch, channel, height, width]` to the outside, in the two orders that they lie in memory in.

use std::mem::MaybeUninit;
use std::ops::Range;

use burn::backend::Shape;
use burn::backend::flex::FlexTensor;

use crate::isa::Isa;
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

/// Whether [`transpose_to`] moves vectors, not one number after the other.
pub(crate) fn has_fast_transpose() -> bool {
    #[cfg(target_arch = "x86_64")]
    return Isa::detect() == Isa::Avx512;
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Writes the transpose of a matrix of so many rows and columns, whose rows begin `stride` numbers apart; those of the transpose
/// begin `into_stride` apart.
///
/// # Safety
/// `into` must have room for it.
pub(crate) unsafe fn transpose_to(from: &[f32], stride: usize, [rows, columns]: [usize; 2], into: *mut f32, into_stride: usize) {
    assert!(rows == 0 || (rows - 1) * stride + columns <= from.len(), "a matrix has whole rows");
    for row in (0..rows).step_by(TILE) {
        for column in (0..columns).step_by(TILE) {
            let size = [TILE.min(rows - row), TILE.min(columns - column)];
            let from = &from[row * stride + column..];
            // SAFETY: the transposed tile lies within the transpose, for which there is room.
            let into = unsafe { into.add(column * into_stride + row) };
            match Isa::detect() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `detect` has found AVX-512. Rows and columns of the tile lie within the matrix, which has whole rows, and
                // the transposed tile within the transpose.
                Isa::Avx512 => unsafe { x86::transpose_tile(from.as_ptr(), stride, size, into, into_stride) },
                _ => {
                    for (line, column) in (0..size[0]).flat_map(|line| (0..size[1]).map(move |column| (line, column))) {
                        // SAFETY: as above.
                        unsafe { *into.add(column * into_stride + line) = from[line * stride + column] };
                    }
                }
            }
        }
    }
}

/// [`transpose_to`] of all of a slice: `into`, `[any, rows]`.
fn transpose_strided(from: &[f32], stride: usize, rows: usize, into: &mut [MaybeUninit<f32>]) {
    let columns = into.len() / rows;
    assert_eq!(into.len(), rows * columns, "a matrix has whole rows");
    // SAFETY: the slice has room for as many numbers.
    unsafe { transpose_to(from, stride, [rows, columns], into.as_mut_ptr().cast(), rows) }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512, __mmask16, _mm512_castpd_ps, _mm512_castps_pd, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_setzero_ps,
        _mm512_shuffle_f32x4, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };

    use super::TILE;

    fn first(num: usize) -> __mmask16 {
        (u32::MAX >> (32 - num)) as __mmask16
    }

    /// The transpose of a tile of `rows` times `columns` numbers, at least one and at most 16 of each.
    ///
    /// # Safety
    /// The machine must have AVX-512; numbers `row * stride + column` must lie within what `from` points to, and
    /// `column * into_stride + row` within what `into` points to.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn transpose_tile(from: *const f32, stride: usize, [rows, columns]: [usize; 2], into: *mut f32, into_stride: usize) {
        let (of_rows, of_columns) = (first(rows), first(columns));
        let mut lines = [_mm512_setzero_ps(); TILE];
        for (row, line) in lines.iter_mut().enumerate() {
            if row < rows {
                // SAFETY: only the first `columns` numbers of a row are read.
                *line = unsafe { _mm512_maskz_loadu_ps(of_columns, from.add(row * stride)) };
            }
        }
        // Of every four rows and four columns the transpose, within quarters of registers.
        for four in lines.as_chunks_mut::<4>().0 {
            let [a, b, c, d] = *four;
            let (ab, ab_high) = (_mm512_castps_pd(_mm512_unpacklo_ps(a, b)), _mm512_castps_pd(_mm512_unpackhi_ps(a, b)));
            let (cd, cd_high) = (_mm512_castps_pd(_mm512_unpacklo_ps(c, d)), _mm512_castps_pd(_mm512_unpackhi_ps(c, d)));
            *four = [
                _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
                _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high)),
            ];
        }
        // Then the quarters change places.
        for column in 0..TILE / 4 {
            let [a, b, c, d]: [__m512; 4] = [lines[column], lines[column + 4], lines[column + 8], lines[column + 12]];
            let (even, odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
            let (later_even, later_odd) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
            lines[column] = _mm512_shuffle_f32x4::<0x88>(even, later_even);
            lines[column + 4] = _mm512_shuffle_f32x4::<0x88>(odd, later_odd);
            lines[column + 8] = _mm512_shuffle_f32x4::<0xdd>(even, later_even);
            lines[column + 12] = _mm512_shuffle_f32x4::<0xdd>(odd, later_odd);
        }
        for (column, line) in lines.iter().enumerate() {
            if column < columns {
                // SAFETY: only the first `rows` numbers of a column are written.
                unsafe { _mm512_mask_storeu_ps(into.add(column * into_stride), of_rows, *line) };
            }
        }
    }
}

/// Numbers that are to be written, and are not read before.
fn to_be_written(numbers: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: both have the same layout, and who holds this in this file writes only numbers.
    unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [MaybeUninit<f32>]) }
}

/// A matrix of `rows` rows to its transpose; each number of `into` is written.
pub(crate) fn transpose(from: &[f32], rows: usize, into: &mut [f32]) {
    transpose_new(from, rows, to_be_written(into));
}

/// [`transpose`] to what was not written before.
fn transpose_new(from: &[f32], rows: usize, into: &mut [MaybeUninit<f32>]) {
    assert_eq!(from.len(), into.len(), "a transpose has as many numbers");
    if let Some(columns) = from.len().checked_div(rows) {
        transpose_strided(from, columns, rows, into);
    }
}

/// The transpose of a large matrix, `[any, columns]`, on all threads.
pub(crate) fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let mut output = vec![0.0; matrix.len()];
    let rows = matrix.len() / columns;
    for_bands(&mut output, rows * TILE, matrix.len(), |band, into| {
        transpose_strided(&matrix[band * TILE..], columns, rows, to_be_written(into));
    });
    output
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
    use crate::isa::on_each_isa;

    #[test]
    fn a_transpose_has_each_number_in_its_place_on_every_instruction_set() {
        on_each_isa(|isa| {
            for (rows, columns) in [(1, 1), (1, 40), (16, 16), (64, 49), (17, 33), (33, 15), (5, 64), (3, 0)] {
                let from: Vec<f32> = (0..rows * columns).map(|index| index as f32).collect();
                let mut into = vec![-1.0; from.len()];
                transpose(&from, rows, &mut into);
                let expected: Vec<f32> =
                    (0..columns).flat_map(|column| (0..rows).map(move |row| (row * columns + column) as f32)).collect();
                assert_eq!(into, expected, "{rows} x {columns}, {isa:?}");
                if columns > 0 {
                    assert_eq!(transposed(&from, columns), expected, "{rows} x {columns}, {isa:?}");
                }
            }
        });
    }
}
