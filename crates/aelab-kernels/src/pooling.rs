//! Halving of maps by the maxima of 2 x 2 squares, and doubling by repeating pixels, with channels last.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::fused::{Fused, fused};
use crate::isa::compiled_for_each_isa;
use crate::map::{Map, Order, map_of, zeroed};
use crate::primitive::is_ours;

/// Maxima over squares of 2 x 2 pixels; at an odd edge, over what is there. `None` where the map is not on `flex`.
///
/// # Shapes
/// `map`: `[batch, channel, height, width]`; the result: `[batch, channel, height / 2, width / 2]`, rounded up.
pub fn halve(map: &Tensor<4>) -> Option<Tensor<4>> {
    is_ours(map).then(|| fused([map], Halve))
}

/// Every pixel four times, cut to a height and width of `output`. `None` where the map is not on `flex`.
///
/// # Shapes
/// `map`: `[batch, channel, height, width]`; `output`: at most `[2 height, 2 width]`, and more than twice one less.
pub fn double(map: &Tensor<4>, output: [usize; 2]) -> Option<Tensor<4>> {
    is_ours(map).then(|| fused([map], Double { output }))
}

fn halved([channels, height, width]: [usize; 3]) -> [usize; 3] {
    [channels, height.div_ceil(2), width.div_ceil(2)]
}

#[inline(always)]
fn maxima_body<const FMA: bool>(large: &[f32], [channels, _, width]: [usize; 3], small: &mut [f32]) {
    let rows = large.chunks(2 * width * channels).zip(small.chunks_exact_mut(width.div_ceil(2) * channels));
    for (lines, small) in rows {
        // A not-a-number stays: no comparison with it holds.
        let raise = |small: &mut [f32], pixel: &[f32]| {
            small.iter_mut().zip(pixel).for_each(|(most, value)| *most = if *most >= *value || most.is_nan() { *most } else { *value });
        };
        for line in lines.chunks_exact(width * channels) {
            for (pixels, small) in line.chunks(2 * channels).zip(small.chunks_exact_mut(channels)) {
                pixels.chunks_exact(channels).for_each(|pixel| raise(small, pixel));
            }
        }
    }
}

compiled_for_each_isa! {
    /// Raises each pixel of one small map, `[height, width, channel]`, to the maxima of its square in the large one, of `size`
    /// channel, height and width.
    fn maxima(large: &[f32], size: [usize; 3], small: &mut [f32]) = maxima_body
}

#[inline(always)]
fn to_maxima_body<const FMA: bool>(
    gradient: &mut [f32],
    small: &[f32],
    large: &[f32],
    [channels, _, width]: [usize; 3],
    of_large: &mut [f32],
) {
    let (large_rows, small_row) = (2 * width * channels, width.div_ceil(2) * channels);
    let rows = large.chunks(large_rows).zip(of_large.chunks_mut(large_rows));
    for ((lines, of_lines), (small, gradient)) in rows.zip(small.chunks_exact(small_row).zip(gradient.chunks_exact_mut(small_row))) {
        for (line, of_line) in lines.chunks_exact(width * channels).zip(of_lines.chunks_exact_mut(width * channels)) {
            let squares = line.chunks(2 * channels).zip(of_line.chunks_mut(2 * channels));
            let small = small.chunks_exact(channels).zip(gradient.chunks_exact_mut(channels));
            for ((pixels, of_pixels), (most, gradient)) in squares.zip(small) {
                for (pixel, of_pixel) in pixels.chunks_exact(channels).zip(of_pixels.chunks_exact_mut(channels)) {
                    let values = pixel.iter().zip(most).zip(of_pixel.iter_mut().zip(gradient.iter_mut()));
                    values.for_each(|((value, most), (of_value, gradient))| {
                        // What has gone to the first maximum is gone.
                        let is_most = *value == *most || most.is_nan();
                        *of_value = if is_most { *gradient } else { 0.0 };
                        *gradient = if is_most { 0.0 } else { *gradient };
                    });
                }
            }
        }
    }
}

compiled_for_each_isa! {
    /// Moves the gradient of one small map to the first of each square's maxima, and writes zeros elsewhere; `gradient` is used up.
    fn to_maxima(gradient: &mut [f32], small: &[f32], large: &[f32], size: [usize; 3], of_large: &mut [f32]) = to_maxima_body
}

fn repeat(small: &[f32], [channels, _, small_width]: [usize; 3], width: usize, large: &mut [MaybeUninit<f32>]) -> usize {
    let mut num = 0;
    let lines = small.chunks_exact(small_width * channels);
    for (line, large) in lines.zip(large.chunks_mut(2 * width * channels)) {
        for large in large.chunks_exact_mut(width * channels) {
            for (pixel, large) in line.chunks_exact(channels).zip(large.chunks_mut(2 * channels)) {
                for large in large.chunks_exact_mut(channels) {
                    num += large.write_copy_of_slice(pixel).len();
                }
            }
        }
    }
    num
}

#[inline(always)]
fn add_repeated_body<const FMA: bool>(large: &[f32], [channels, _, small_width]: [usize; 3], width: usize, small: &mut [f32]) {
    let lines = small.chunks_exact_mut(small_width * channels);
    for (line, large) in lines.zip(large.chunks(2 * width * channels)) {
        for large in large.chunks_exact(width * channels) {
            for (pixel, large) in line.chunks_exact_mut(channels).zip(large.chunks(2 * channels)) {
                for large in large.chunks_exact(channels) {
                    pixel.iter_mut().zip(large).for_each(|(sum, value)| *sum += value);
                }
            }
        }
    }
}

compiled_for_each_isa! {
    /// Adds each pixel of one large map, `width` pixels wide, to the pixel of the small one, of `size` channel, height and width, that
    /// it repeats.
    fn add_repeated(large: &[f32], size: [usize; 3], width: usize, small: &mut [f32]) = add_repeated_body
}

/// Computes a map of `size` example by example.
fn by_example(batch: usize, size: [usize; 3], work: impl Fn(usize, &mut [MaybeUninit<f32>]) -> usize + Sync) -> FlexTensor {
    let len: usize = size.iter().product();
    let mut numbers = Vec::with_capacity(batch * len);
    let written: usize =
        numbers.spare_capacity_mut()[..batch * len].par_chunks_mut(len).enumerate().map(|(example, numbers)| work(example, numbers)).sum();
    assert_eq!(written, batch * len, "each number of the map was written");
    // SAFETY: the capacity was asked for, and as many different numbers have been written.
    unsafe { numbers.set_len(batch * len) };
    map_of(numbers, Order::ChannelsLast, batch, size)
}

#[derive(Debug)]
struct Halve;

impl Fused<1> for Halve {
    /// The map and its maxima.
    type State = [Map; 2];

    fn laid_out(tensor: FlexTensor) -> FlexTensor {
        tensor
    }

    fn forward(&self, [map]: [FlexTensor; 1], _needs: [bool; 1]) -> (FlexTensor, [Map; 2]) {
        let x = Map::channels_last(map);
        let len = x.len();
        let y = by_example(x.batch, halved(x.size), |example, small| {
            small.fill(MaybeUninit::new(f32::NEG_INFINITY));
            // SAFETY: each number was just written.
            let small = unsafe { small.assume_init_mut() };
            maxima(&x.numbers()[example * len..(example + 1) * len], x.size, small);
            small.len()
        });
        (y.clone(), [x, Map::new(y)])
    }

    fn backward(&self, gradient: FlexTensor, [x, y]: [Map; 2], _needs: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let gradient = Map::channels_last(gradient);
        let (large, small) = (x.len(), y.len());
        let of_x = by_example(x.batch, x.size, |example, of_x| {
            let (small, large) = (example * small..(example + 1) * small, example * large..(example + 1) * large);
            let of_x = zeroed(of_x);
            let mut gradient = gradient.numbers()[small.clone()].to_vec();
            to_maxima(&mut gradient, &y.numbers()[small], &x.numbers()[large], x.size, of_x);
            of_x.len()
        });
        [Some(of_x)]
    }
}

#[derive(Debug)]
struct Double {
    /// Height and width.
    output: [usize; 2],
}

impl Fused<1> for Double {
    /// Channel, height and width of the map.
    type State = [usize; 3];

    fn laid_out(tensor: FlexTensor) -> FlexTensor {
        tensor
    }

    fn forward(&self, [map]: [FlexTensor; 1], _needs: [bool; 1]) -> (FlexTensor, [usize; 3]) {
        let x = Map::channels_last(map);
        let (len, [height, width]) = (x.len(), self.output);
        assert!([height.div_ceil(2), width.div_ceil(2)] == x.size[1..], "a doubled map is cut by less than a pixel of the map");
        let y = by_example(x.batch, [x.size[0], height, width], |example, large| {
            repeat(&x.numbers()[example * len..(example + 1) * len], x.size, width, large)
        });
        (y, x.size)
    }

    fn backward(&self, gradient: FlexTensor, size: [usize; 3], _needs: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let gradient = Map::channels_last(gradient);
        let len = gradient.len();
        let of_x = by_example(gradient.batch, size, |example, of_x| {
            let of_x = zeroed(of_x);
            add_repeated(&gradient.numbers()[example * len..(example + 1) * len], size, gradient.size[2], of_x);
            of_x.len()
        });
        [Some(of_x)]
    }
}
