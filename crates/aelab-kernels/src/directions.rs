//! The two directions of a convolution, each straight from the maps where channels fill whole vectors, and by way of patches
//! elsewhere.

use std::mem::MaybeUninit;

use crate::direct::Direct;
use crate::map::{room, transpose, zeroed};
use crate::patches::{Sizes, gather, scatter};
use crate::product::{Matrix, add_product, product_into_new};

/// The smaller map from the larger one: the way of a convolution, and of the gradient by the input of a transposed one.
pub(crate) struct Down<'a> {
    sizes: &'a Sizes,
    direct: Option<Direct>,
}

impl<'a> Down<'a> {
    pub(crate) fn new(sizes: &'a Sizes) -> Self {
        Self { sizes, direct: Direct::down(sizes) }
    }

    /// A weight `[small channel, large channel, kernel, kernel]` as [`Down::small`] reads it.
    pub(crate) fn weight(&self, weight: &[f32]) -> Vec<f32> {
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
    pub(crate) fn gathered<'b>(&self, large: &'b [f32], scratch: &'b mut Vec<f32>) -> &'b [f32] {
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

    pub(crate) fn small<'b>(&self, gathered: &[f32], weight: &[f32], small: &'b mut [MaybeUninit<f32>]) -> &'b mut [f32] {
        match &self.direct {
            Some(direct) => direct.sums(weight, gathered, small),
            None => {
                let num = small.len() / self.sizes.num_small();
                product_into_new(small, self.sizes.matrix(gathered, num), weight_matrix(self.sizes, weight).transposed())
            }
        }
    }

    /// Adds the gradient by the weight, in an order of its own.
    pub(crate) fn add_of_weight(&self, gathered: &[f32], small: &[f32], of_weight: &mut [f32]) {
        match &self.direct {
            Some(direct) => direct.add_of_weight(gathered, small, of_weight),
            None => {
                let num = small.len() / self.sizes.num_small();
                add_product(of_weight, small_matrix(self.sizes, small).transposed(), self.sizes.matrix(gathered, num));
            }
        }
    }

    /// The gradient by the weight, `[small channel, large channel, kernel, kernel]`, from what [`Down::add_of_weight`] has added up.
    pub(crate) fn of_weight(&self, sum: Vec<f32>) -> Vec<f32> {
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
pub(crate) struct Up<'a> {
    sizes: &'a Sizes,
    direct: Option<Direct>,
    weight: Vec<f32>,
}

impl<'a> Up<'a> {
    /// With a weight `[small channel, large channel, kernel, kernel]`.
    pub(crate) fn new(sizes: &'a Sizes, weight: &[f32]) -> Self {
        let ([small, ..], [large, ..], taps) = (sizes.small, sizes.large, sizes.kernel.pow(2));
        let (direct, weight) = (Direct::up(sizes), turned_rows(weight, large * taps, large));
        let weight = match &direct {
            Some(direct) => direct.strips(exchanged(weight, [small, taps, large])),
            None => weight,
        };
        Self { sizes, direct, weight }
    }

    pub(crate) fn large<'b>(&self, small: &[f32], scratch: &mut Vec<f32>, large: &'b mut [MaybeUninit<f32>]) -> &'b mut [f32] {
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
