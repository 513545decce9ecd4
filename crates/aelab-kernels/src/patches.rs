//! Patches of maps as matrices, and back: what makes a convolution a matrix product.

use crate::isa::compiled_for_each_isa;
use crate::product::{Matrix, product_into};

/// Sizes of the two maps of a convolution: the larger one, of which patches are taken, and the smaller one with one pixel per
/// patch. Maps lie channels last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Channel, height, width.
    pub(crate) large: [usize; 3],
    pub(crate) small: [usize; 3],
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

/// A place in a row of patches, one in the map, and how many numbers lie there.
#[derive(Clone, Copy)]
struct Run {
    patches: usize,
    map: usize,
    len: usize,
}

impl Sizes {
    pub(crate) fn num_large(&self) -> usize {
        self.large.iter().product()
    }

    pub(crate) fn num_small(&self) -> usize {
        self.small.iter().product()
    }

    /// Of one example.
    pub(crate) fn num_patches(&self) -> usize {
        self.small[1] * self.small[2]
    }

    pub(crate) fn patch_size(&self) -> usize {
        self.kernel * self.kernel * self.large[0]
    }

    /// Whether the patches of a map are its pixels.
    pub(crate) fn is_identity(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0 && self.large[1..] == self.small[1..]
    }

    /// A patch of one channel has rows of a few numbers: its patches lie as `[kernel * kernel, patch]`, where runs are as long
    /// as the map is wide. Otherwise they lie as `[patch, kernel * kernel * channel]`.
    fn is_by_tap(&self) -> bool {
        self.large[0] == 1
    }

    /// `[num * num_patches, patch_size]`.
    pub(crate) fn matrix<'a>(&self, patches: &'a [f32], num: usize) -> Matrix<'a> {
        let num = num * self.num_patches();
        if self.is_by_tap() {
            Matrix::new(patches, self.patch_size(), num).transposed()
        } else {
            Matrix::new(patches, num, self.patch_size())
        }
    }

    /// Patches as the product of `small`, `[num * num_patches, small channel]`, and `weight`, `[small channel, patch_size]`.
    pub(crate) fn product_into(&self, patches: &mut [f32], small: Matrix<'_>, weight: Matrix<'_>) {
        if self.is_by_tap() {
            product_into(patches, weight.transposed(), small.transposed());
        } else {
            product_into(patches, small, weight);
        }
    }

    /// The pixels of the smaller map's axis, of `small` pixels, whose patches have their pixel `offset` inside the larger one's, of
    /// `large` pixels.
    #[inline(always)]
    fn inside(&self, offset: usize, small: usize, large: usize) -> std::ops::Range<usize> {
        let first = self.padding.saturating_sub(offset).div_ceil(self.stride);
        let end = (large + self.padding).saturating_sub(offset).div_ceil(self.stride).min(small);
        first.min(end)..end
    }

    /// Each run of a one-channel map: for each pixel of the kernel and each row of patches, what lies inside the map.
    #[inline(always)]
    fn for_each_line(&self, num: usize, example: usize, mut visit: impl FnMut(usize, Option<Run>)) {
        let ([_, height, width], [_, rows, columns]) = (self.large, self.small);
        for ky in 0..self.kernel {
            let inside_rows = self.inside(ky, rows, height);
            for kx in 0..self.kernel {
                let inside = self.inside(kx, columns, width);
                let tap = ((ky * self.kernel + kx) * num + example) * rows * columns;
                for y in 0..rows {
                    let line = tap + y * columns;
                    let run = (inside_rows.contains(&y) && !inside.is_empty()).then(|| Run {
                        patches: inside.start,
                        map: (y * self.stride + ky - self.padding) * width + inside.start * self.stride + kx - self.padding,
                        len: inside.len(),
                    });
                    visit(line, run);
                }
            }
        }
    }

    /// Each row of each patch: its place, and what of it lies inside the map.
    #[inline(always)]
    fn for_each_row(&self, first: usize, mut visit: impl FnMut(usize, Option<Run>)) {
        let [channels, height, width] = self.large;
        let row = self.kernel * channels;
        let mut place = first;
        for y in 0..self.small[1] {
            for x in 0..self.small[2] {
                let left = x * self.stride;
                // In pixels of the map with its border.
                let (from, to) = (left.max(self.padding), (left + self.kernel).min(width + self.padding));
                for ky in 0..self.kernel {
                    let line = y * self.stride + ky;
                    let is_inside = line >= self.padding && line < height + self.padding && from < to;
                    let run = is_inside.then(|| Run {
                        patches: (from - left) * channels,
                        map: ((line - self.padding) * width + from - self.padding) * channels,
                        len: (to - from) * channels,
                    });
                    visit(place, run);
                    place += row;
                }
            }
        }
    }
}

#[inline(always)]
fn gather_body<const FMA: bool>(sizes: &Sizes, maps: &[f32], patches: &mut [f32]) {
    let (len, num) = (sizes.num_large(), maps.len() / sizes.num_large());
    for (example, map) in maps.chunks_exact(len).enumerate() {
        if sizes.is_by_tap() {
            let columns = sizes.small[2];
            sizes.for_each_line(num, example, |line, run| {
                let patches = &mut patches[line..line + columns];
                let Some(run) = run else { return patches.fill(0.0) };
                patches[..run.patches].fill(0.0);
                patches[run.patches + run.len..].fill(0.0);
                let patches = &mut patches[run.patches..run.patches + run.len];
                let map = &map[run.map..run.map + (run.len - 1) * sizes.stride + 1];
                // Said twice so that the strides of almost every network are known at compile time.
                match sizes.stride {
                    1 => patches.copy_from_slice(map),
                    2 => patches.iter_mut().zip(map.iter().step_by(2)).for_each(|(patch, value)| *patch = *value),
                    stride => patches.iter_mut().zip(map.iter().step_by(stride)).for_each(|(patch, value)| *patch = *value),
                }
            });
        } else {
            let row = sizes.kernel * sizes.large[0];
            sizes.for_each_row(example * sizes.num_patches() * sizes.patch_size(), |place, run| {
                let patch = &mut patches[place..place + row];
                let Some(run) = run else { return patch.fill(0.0) };
                if run.len < row {
                    patch.fill(0.0);
                }
                patch[run.patches..run.patches + run.len].copy_from_slice(&map[run.map..run.map + run.len]);
            });
        }
    }
}

#[inline(always)]
fn scatter_body<const FMA: bool>(sizes: &Sizes, patches: &[f32], maps: &mut [f32]) {
    let (len, num) = (sizes.num_large(), maps.len() / sizes.num_large());
    for (example, map) in maps.chunks_exact_mut(len).enumerate() {
        if sizes.is_by_tap() {
            sizes.for_each_line(num, example, |line, run| {
                let Some(run) = run else { return };
                let patches = &patches[line + run.patches..line + run.patches + run.len];
                let map = &mut map[run.map..run.map + (run.len - 1) * sizes.stride + 1];
                match sizes.stride {
                    1 => map.iter_mut().zip(patches).for_each(|(sum, value)| *sum += value),
                    2 => map.iter_mut().step_by(2).zip(patches).for_each(|(sum, value)| *sum += value),
                    stride => map.iter_mut().step_by(stride).zip(patches).for_each(|(sum, value)| *sum += value),
                }
            });
        } else {
            sizes.for_each_row(example * sizes.num_patches() * sizes.patch_size(), |place, run| {
                let Some(run) = run else { return };
                let patches = &patches[place + run.patches..place + run.patches + run.len];
                map[run.map..run.map + run.len].iter_mut().zip(patches).for_each(|(sum, value)| *sum += value);
            });
        }
    }
}

compiled_for_each_isa! {
    /// The patches of a block of examples; each of their numbers is written.
    pub(crate) fn gather(sizes: &Sizes, maps: &[f32], patches: &mut [f32]) = gather_body
}

compiled_for_each_isa! {
    /// Adds the patches of a block of examples to the maps that they are of.
    pub(crate) fn scatter(sizes: &Sizes, patches: &[f32], maps: &mut [f32]) = scatter_body
}
