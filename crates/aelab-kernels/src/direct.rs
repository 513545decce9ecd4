//! Convolutions straight from maps with a border of zeros: the numbers that a patch would hold are read where they lie.
//!
//! Maps lie channels last, and the channels that are written, or those of the smaller map, fill whole vectors.

use std::mem::MaybeUninit;

use crate::isa::Isa;
use crate::lanes::{LANES, Lanes};
use crate::map::room;
use crate::patches::Sizes;

/// Numbers that lie together beside each pixel's own place, and the rows of the weight that they are multiplied with.
#[derive(Debug, Clone, Copy)]
struct Run {
    source: usize,
    row: usize,
    len: usize,
}

/// Places of a pixel within its example.
#[derive(Debug, Clone, Copy)]
struct Pixel {
    source: usize,
    output: usize,
}

/// Output pixels that are sums over the same runs.
#[derive(Debug)]
struct Class {
    runs: Vec<Run>,
    pixels: Vec<Pixel>,
}

/// One direction of a convolution: the pixels of one map as sums over the other, which has a border.
#[derive(Debug)]
pub(crate) struct Direct {
    /// Channel, height and width of the map that is read.
    from: [usize; 3],
    /// Rows and columns of zeros before its first.
    before: usize,
    /// Its height and width with the border, or without the rows that no patch reaches.
    bordered: [usize; 2],
    /// Channels that are written.
    width: usize,
    num_outputs: usize,
    num_rows: usize,
    classes: Vec<Class>,
}

impl Direct {
    /// The smaller map from the larger one; its weight is `[kernel * kernel * large channel, small channel]`. `None` where the
    /// smaller map's channels do not fill whole vectors.
    pub(crate) fn down(sizes: &Sizes) -> Option<Self> {
        let Sizes { large: [channels, ..], small: [width, rows, columns], kernel, stride, padding } = *sizes;
        let bordered = [rows, columns].map(|size| (size - 1) * stride + kernel);
        let line = bordered[1] * channels;
        let runs = (0..kernel).map(|ky| Run { source: ky * line, row: ky * kernel * channels, len: kernel * channels }).collect();
        let pixels = (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))).enumerate();
        let pixels =
            pixels.map(|(index, (y, x))| Pixel { source: y * stride * line + x * stride * channels, output: index * width }).collect();
        Self::new(sizes.large, padding, bordered, width, sizes, vec![Class { runs, pixels }])
    }

    /// The larger map from the smaller one; its weight is `[kernel * kernel * small channel, large channel]`. `None` where the
    /// larger map's channels do not fill whole vectors.
    ///
    /// A pixel of the larger map is in reach of every `stride`-th tap of the kernel, which of them depends on its remainder.
    pub(crate) fn up(sizes: &Sizes) -> Option<Self> {
        let Sizes { large: [width, height, columns], small: [channels, rows_below, columns_below], kernel, stride, padding } = *sizes;
        let before = kernel.div_ceil(stride) - 1;
        let bordered =
            [(height, rows_below), (columns, columns_below)].map(|(size, below)| before + below.max((size - 1 + padding) / stride + 1));
        let place = |y: usize, x: usize| (y * bordered[1] + x) * channels;
        let of_remainders = |(ry, rx): (usize, usize)| {
            let taps = |remainder: usize| (remainder..kernel).step_by(stride).enumerate();
            let runs = taps(ry).flat_map(|ky| taps(rx).map(move |kx| (ky, kx))).map(|((up, ky), (left, kx))| Run {
                source: place(before - up, before - left),
                row: (ky * kernel + kx) * channels,
                len: channels,
            });
            let lines = |size: usize, remainder: usize| (0..size).filter(move |at| (at + padding) % stride == remainder);
            let pixels = lines(height, ry)
                .flat_map(|y| lines(columns, rx).map(move |x| (y, x)))
                .map(|(y, x)| Pixel { source: place((y + padding) / stride, (x + padding) / stride), output: (y * columns + x) * width });
            Class { runs: runs.collect(), pixels: pixels.collect() }
        };
        let classes = (0..stride).flat_map(|ry| (0..stride).map(move |rx| (ry, rx))).map(of_remainders).collect();
        Self::new(sizes.small, before, bordered, width, sizes, classes)
    }

    fn new(from: [usize; 3], before: usize, bordered: [usize; 2], width: usize, sizes: &Sizes, classes: Vec<Class>) -> Option<Self> {
        if width == 0 || !width.is_multiple_of(LANES) || from.contains(&0) || sizes.kernel == 0 {
            return None;
        }
        let num_outputs = width * classes.iter().map(|class| class.pixels.len()).sum::<usize>();
        let num_rows = sizes.kernel * sizes.kernel * from[0];
        let found = Self { from, before, bordered, width, num_outputs, num_rows, classes };
        for Class { runs, pixels } in &found.classes {
            let furthest = runs.iter().map(|run| run.source + run.len).max().unwrap_or(0);
            assert!(pixels.iter().all(|pixel| pixel.source + furthest <= found.len()), "each run lies within the map");
            assert!(pixels.iter().all(|pixel| pixel.output + width <= num_outputs), "each pixel has its place");
            assert!(runs.iter().all(|run| run.row + run.len <= num_rows), "each run has its weights");
        }
        Some(found)
    }

    /// Numbers of an example with its border.
    pub(crate) fn len(&self) -> usize {
        self.from[0] * self.bordered[0] * self.bordered[1]
    }

    /// Maps with their borders, by way of `scratch`; without, where they need none.
    pub(crate) fn with_border<'a>(&self, maps: &'a [f32], scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let [channels, height, width] = self.from;
        let [rows, columns] = self.bordered;
        if self.before == 0 && self.bordered == [height, width] {
            return maps;
        }
        let bordered = room(scratch, maps.len() / (channels * height * width) * self.len());
        let (top, left) = (self.before, self.before * channels);
        let copied = width.min(columns - self.before) * channels;
        for (map, bordered) in maps.chunks_exact(channels * height * width).zip(bordered.chunks_exact_mut(self.len())) {
            let below = (top + height).min(rows);
            bordered[..top * columns * channels].fill(0.0);
            bordered[below * columns * channels..].fill(0.0);
            let lines = bordered[top * columns * channels..below * columns * channels].chunks_exact_mut(columns * channels);
            for (line, from) in lines.zip(map.chunks_exact(width * channels)) {
                line[..left].fill(0.0);
                line[left..left + copied].copy_from_slice(&from[..copied]);
                line[left + copied..].fill(0.0);
            }
        }
        bordered
    }

    /// The weight as [`Direct::sums`] reads it: strips of as many columns as are summed at a time, one after the other.
    pub(crate) fn strips(&self, weight: Vec<f32>) -> Vec<f32> {
        let most = most_columns();
        if self.width <= most {
            return weight;
        }
        let mut strips = Vec::with_capacity(weight.len());
        for first in (0..self.width).step_by(most) {
            let columns = first..self.width.min(first + most);
            weight.chunks_exact(self.width).for_each(|row| strips.extend_from_slice(&row[columns.clone()]));
        }
        strips
    }

    /// The maps that are written, from `source`, with borders, and a weight by [`Direct::strips`].
    pub(crate) fn sums<'a>(&self, strips: &[f32], source: &[f32], output: &'a mut [MaybeUninit<f32>]) -> &'a mut [f32] {
        let num = output.len() / self.num_outputs;
        assert!(output.len() == num * self.num_outputs && source.len() == num * self.len(), "maps are whole");
        assert_eq!(strips.len(), self.num_rows * self.width, "the weight is that of the layer");
        // SAFETY: sizes were just checked; `detect` has found every feature that a function is compiled for. Classes hold each pixel
        // once, all channels of each are written, and `new` has counted that they fill the output: every number is written.
        unsafe {
            match Isa::detect() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => x86::sums_avx512(self, strips, source, output),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => x86::sums_avx2(self, strips, source, output),
                Isa::Portable => sums::<[f32; LANES]>(self, strips, source, output),
            }
            output.assume_init_mut()
        }
    }

    /// Adds the gradient by the weight, `[row, width]`, from the maps that are read, with borders, and the gradient by those that are
    /// written. For [`Direct::down`].
    pub(crate) fn add_of_weight(&self, source: &[f32], gradient: &[f32], of_weight: &mut [f32]) {
        let num = gradient.len() / self.num_outputs;
        assert!(gradient.len() == num * self.num_outputs && source.len() == num * self.len(), "maps are whole");
        assert_eq!(of_weight.len(), self.num_rows * self.width, "the gradient is that of the layer");
        // SAFETY: sizes were just checked; `detect` has found every feature that a function is compiled for.
        unsafe {
            match Isa::detect() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => x86::add_of_weight_avx512(self, source, gradient, of_weight),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => x86::add_of_weight_avx2(self, source, gradient, of_weight),
                Isa::Portable => add_of_weight::<[f32; LANES]>(self, source, gradient, of_weight),
            }
        }
    }
}

/// Columns of a strip at most: as [`Lanes::NUM_COLUMNS`] says of the form that the machine's functions use.
fn most_columns() -> usize {
    let vectors = match Isa::detect() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => <std::arch::x86_64::__m512 as Lanes>::NUM_COLUMNS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => crate::lanes::Pair::NUM_COLUMNS,
        Isa::Portable => <[f32; LANES]>::NUM_COLUMNS,
    };
    vectors * LANES
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::__m512;
    use std::mem::MaybeUninit;

    use super::{Direct, add_of_weight, sums};
    use crate::lanes::Pair;

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub(super) unsafe fn sums_avx512(direct: &Direct, strips: &[f32], source: &[f32], output: &mut [MaybeUninit<f32>]) {
        // SAFETY: as the caller vouches.
        unsafe { sums::<__m512>(direct, strips, source, output) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn sums_avx2(direct: &Direct, strips: &[f32], source: &[f32], output: &mut [MaybeUninit<f32>]) {
        // SAFETY: as the caller vouches.
        unsafe { sums::<Pair>(direct, strips, source, output) }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub(super) unsafe fn add_of_weight_avx512(direct: &Direct, source: &[f32], gradient: &[f32], of_weight: &mut [f32]) {
        // SAFETY: as the caller vouches.
        unsafe { add_of_weight::<__m512>(direct, source, gradient, of_weight) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn add_of_weight_avx2(direct: &Direct, source: &[f32], gradient: &[f32], of_weight: &mut [f32]) {
        // SAFETY: as the caller vouches.
        unsafe { add_of_weight::<Pair>(direct, source, gradient, of_weight) }
    }
}

/// [`Direct::sums`].
///
/// # Safety
/// `source` and `output` must be those of the same number of examples, and `strips` must have the weight's size.
#[inline(always)]
unsafe fn sums<L: Lanes>(direct: &Direct, strips: &[f32], source: &[f32], output: &mut [MaybeUninit<f32>]) {
    let most = L::NUM_COLUMNS * LANES;
    for first in (0..direct.width).step_by(most) {
        let columns = most.min(direct.width - first);
        let strip = &strips[first * direct.num_rows..][..columns * direct.num_rows];
        // SAFETY: the columns are those of the strip; the caller vouches for the rest.
        unsafe {
            match (L::NUM_SUMS, columns / LANES) {
                (24, 4) => strip_sums::<L, 6, 4>(direct, strip, first, source, output),
                (24, 3) => strip_sums::<L, 8, 3>(direct, strip, first, source, output),
                (24, 2) => strip_sums::<L, 12, 2>(direct, strip, first, source, output),
                (24, _) => strip_sums::<L, 24, 1>(direct, strip, first, source, output),
                (_, 2) => strip_sums::<L, 3, 2>(direct, strip, first, source, output),
                (6, _) => strip_sums::<L, 6, 1>(direct, strip, first, source, output),
                _ => strip_sums::<L, 4, 1>(direct, strip, first, source, output),
            }
        }
    }
}

/// The columns of one strip, of every pixel.
///
/// # Safety
/// As for [`sums`]; the strip has `VECTORS` vectors for each row of the weight and begins at column `first`.
#[expect(clippy::needless_range_loop, reason = "sums that an iterator points to do not stay in registers: half the speed")]
#[inline(always)]
unsafe fn strip_sums<L: Lanes, const PIXELS: usize, const VECTORS: usize>(
    direct: &Direct,
    strip: &[f32],
    first: usize,
    source: &[f32],
    output: &mut [MaybeUninit<f32>],
) {
    let num = output.len() / direct.num_outputs;
    for Class { runs, pixels } in &direct.classes {
        let (mut example, mut pixel) = (0, 0);
        let mut left = num * pixels.len();
        while left > 0 {
            // Pixels of a tile may be of several examples. A last tile that is not full repeats its last pixel.
            let valid = left.min(PIXELS);
            let mut places = [Pixel { source: 0, output: 0 }; PIXELS];
            for index in 0..PIXELS {
                if index >= valid {
                    places[index] = places[valid - 1];
                    continue;
                }
                let Pixel { source, output } = pixels[pixel];
                places[index] = Pixel { source: example * direct.len() + source, output: example * direct.num_outputs + output + first };
                pixel += 1;
                if pixel == pixels.len() {
                    (example, pixel) = (example + 1, 0);
                }
            }
            left -= valid;
            let mut sums = [[L::splat(0.0); VECTORS]; PIXELS];
            for run in runs {
                for inner in 0..run.len {
                    // SAFETY: `Direct::new` has checked that each run of each pixel lies within its example, and that the weight has its
                    // rows; the example is one of the source's, and the strip has all rows, as the caller vouches.
                    unsafe {
                        let weights = strip.as_ptr().add((run.row + inner) * VECTORS * LANES);
                        let mut weight = [L::splat(0.0); VECTORS];
                        for vector in 0..VECTORS {
                            weight[vector] = L::load(&*weights.add(vector * LANES).cast());
                        }
                        for index in 0..PIXELS {
                            let value = L::splat(*source.as_ptr().add(places[index].source + run.source + inner));
                            for vector in 0..VECTORS {
                                sums[index][vector] = sums[index][vector].add_product(value, weight[vector]);
                            }
                        }
                    }
                }
            }
            for index in 0..PIXELS {
                for vector in 0..VECTORS {
                    // SAFETY: `Direct::new` has checked that all channels of a pixel lie within its example, and the strip's columns
                    // are among them.
                    unsafe { sums[index][vector].store(&mut *output.as_mut_ptr().add(places[index].output + vector * LANES).cast()) };
                }
            }
        }
    }
}

/// [`Direct::add_of_weight`].
///
/// # Safety
/// `source` and `gradient` must be those of the same number of examples, and `of_weight` must have the weight's size.
#[inline(always)]
unsafe fn add_of_weight<L: Lanes>(direct: &Direct, source: &[f32], gradient: &[f32], of_weight: &mut [f32]) {
    let most = L::NUM_COLUMNS * LANES;
    for first in (0..direct.width).step_by(most) {
        // SAFETY: the columns are among those of the weight; the caller vouches for the rest.
        unsafe {
            match (L::NUM_SUMS, most.min(direct.width - first) / LANES) {
                (24, 4) => add_strip::<L, 6, 4>(direct, first, source, gradient, of_weight),
                (24, 3) => add_strip::<L, 8, 3>(direct, first, source, gradient, of_weight),
                (24, 2) => add_strip::<L, 12, 2>(direct, first, source, gradient, of_weight),
                (24, _) => add_strip::<L, 24, 1>(direct, first, source, gradient, of_weight),
                (_, 2) => add_strip::<L, 3, 2>(direct, first, source, gradient, of_weight),
                (6, _) => add_strip::<L, 6, 1>(direct, first, source, gradient, of_weight),
                _ => add_strip::<L, 4, 1>(direct, first, source, gradient, of_weight),
            }
        }
    }
}

/// The columns from `first` on.
///
/// # Safety
/// As for [`add_of_weight`]; the weight has `VECTORS` vectors of columns from `first` on.
#[expect(clippy::needless_range_loop, reason = "sums that an iterator points to do not stay in registers: half the speed")]
#[inline(always)]
unsafe fn add_strip<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    direct: &Direct,
    first: usize,
    source: &[f32],
    gradient: &[f32],
    of_weight: &mut [f32],
) {
    let num = gradient.len() / direct.num_outputs;
    for Class { runs, pixels } in &direct.classes {
        let rows = || runs.iter().flat_map(|run| (0..run.len).map(move |inner| (run.source + inner, run.row + inner)));
        let mut next = rows();
        let mut left = rows().count();
        while left > 0 {
            // A last tile that is not full repeats its last row.
            let valid = left.min(ROWS);
            left -= valid;
            let mut tile = [(0, 0); ROWS];
            for index in 0..ROWS {
                tile[index] = if index < valid { next.next().unwrap_or_default() } else { tile[valid - 1] };
            }
            let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
            for example in 0..num {
                for pixel in pixels {
                    // SAFETY: `Direct::new` has checked that each run of each pixel and all channels of each pixel lie within their
                    // example, which is one of both arrays', as the caller vouches.
                    unsafe {
                        let gradients = gradient.as_ptr().add(example * direct.num_outputs + pixel.output + first);
                        let values = source.as_ptr().add(example * direct.len() + pixel.source);
                        let mut upstream = [L::splat(0.0); VECTORS];
                        for vector in 0..VECTORS {
                            upstream[vector] = L::load(&*gradients.add(vector * LANES).cast());
                        }
                        for index in 0..ROWS {
                            let value = L::splat(*values.add(tile[index].0));
                            for vector in 0..VECTORS {
                                sums[index][vector] = sums[index][vector].add_product(value, upstream[vector]);
                            }
                        }
                    }
                }
            }
            for index in 0..valid {
                for vector in 0..VECTORS {
                    let at = tile[index].1 * direct.width + first + vector * LANES;
                    // SAFETY: `Direct::new` has checked that the weight has the row, and the caller vouches for the column.
                    unsafe {
                        let place: &mut [f32; LANES] = &mut *of_weight.as_mut_ptr().add(at).cast();
                        L::load(place).add_product(L::splat(1.0), sums[index][vector]).store(place);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::on_each_isa;

    fn values(num: usize, seed: usize) -> Vec<f32> {
        (0..num).map(|index| ((index * 7919 + seed * 104_729) % 10_007) as f32 / 5003.5 - 1.0).collect()
    }

    /// Each pair of pixels of the larger and the smaller map of an example, by their places, that a tap of the kernel joins.
    fn for_each_tap(sizes: &Sizes, mut visit: impl FnMut(usize, usize, usize)) {
        for (y, x) in (0..sizes.small[1]).flat_map(|y| (0..sizes.small[2]).map(move |x| (y, x))) {
            for (ky, kx) in (0..sizes.kernel).flat_map(|ky| (0..sizes.kernel).map(move |kx| (ky, kx))) {
                let inside = |at: usize, size: usize| at.checked_sub(sizes.padding).filter(|at| *at < size);
                let place = (inside(y * sizes.stride + ky, sizes.large[1]), inside(x * sizes.stride + kx, sizes.large[2]));
                if let (Some(line), Some(column)) = place {
                    visit(line * sizes.large[2] + column, y * sizes.small[2] + x, ky * sizes.kernel + kx);
                }
            }
        }
    }

    #[test]
    fn sums_over_maps_are_those_of_double_precision_on_every_instruction_set() {
        for (large, small, kernel, stride, padding) in [
            ([1, 9, 8], [32, 5, 4], 3, 2, 1),
            ([64, 5, 4], [80, 5, 4], 3, 1, 1),
            ([48, 7, 7], [16, 3, 3], 4, 2, 1),
            ([16, 6, 9], [64, 2, 3], 2, 3, 0),
            ([112, 3, 3], [48, 1, 1], 3, 1, 0),
        ] {
            let sizes = Sizes { large, small, kernel, stride, padding };
            let (channels, width, taps, num) = (large[0], small[0], kernel * kernel, 3);
            let maps = values(num * sizes.num_large(), 1);
            let pixels = values(num * sizes.num_small(), 2);
            // By tap, channel of the larger map and channel of the smaller one.
            let weight = values(taps * channels * width, 3);
            let (mut below, mut above) = (vec![0.0_f64; pixels.len()], vec![0.0_f64; maps.len()]);
            let mut of_weight = vec![0.5_f64; weight.len()];
            for example in 0..num {
                for_each_tap(&sizes, |place, pixel, tap| {
                    let from = (example * sizes.num_large() + place * channels, example * sizes.num_small() + pixel * width);
                    for (c, s) in (0..channels).flat_map(|c| (0..width).map(move |s| (c, s))) {
                        let (at, value, other) = ((tap * channels + c) * width + s, maps[from.0 + c], pixels[from.1 + s]);
                        below[from.1 + s] += f64::from(value) * f64::from(weight[at]);
                        above[from.0 + c] += f64::from(other) * f64::from(weight[at]);
                        of_weight[at] += f64::from(value) * f64::from(other);
                    }
                });
            }
            let close = |found: &[f32], expected: &[f64], what: &str| {
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(expected) {
                    assert!((f64::from(*found) - expected).abs() < 1e-4, "{what} of {sizes:?}: {found} is not {expected}");
                }
            };
            on_each_isa(|isa| {
                let (mut scratch, mut new) = (Vec::new(), vec![MaybeUninit::new(f32::NAN); pixels.len()]);
                let down = Direct::down(&sizes).unwrap();
                let source = down.with_border(&maps, &mut scratch);
                close(down.sums(&down.strips(weight.clone()), source, &mut new), &below, &format!("{isa:?} down"));
                let mut found = vec![0.5; weight.len()];
                down.add_of_weight(source, &pixels, &mut found);
                close(&found, &of_weight, &format!("{isa:?} gradient by the weight"));
                let Some(up) = Direct::up(&sizes) else { return assert_ne!(channels % LANES, 0) };
                let turned: Vec<f32> = (0..taps * width * channels)
                    .map(|at| weight[(at / (width * channels) * channels + at % channels) * width + at / channels % width])
                    .collect();
                let mut new = vec![MaybeUninit::new(f32::NAN); maps.len()];
                close(up.sums(&up.strips(turned), up.with_border(&pixels, &mut scratch), &mut new), &above, &format!("{isa:?} up"));
            });
        }
    }
}
