//! Products of a few rows with one matrix, again and again: the matrix is laid out for it once, and nothing is set up per product.

use crate::isa::Isa;
use crate::lanes::{LANES, Lanes, lanes, lanes_mut};

/// Matrices of so few columns are kept by columns: a product with one is a sum along the row.
const NARROW: usize = 4;

/// A matrix `[inner, outputs]` that rows are multiplied with.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    inner: usize,
    width: usize,
    is_narrow: bool,
    /// Strips of two vectors of columns, the last perhaps of one, each `[inner, columns]`; of a narrow matrix the transpose.
    numbers: Vec<f32>,
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Zero.
    Zero,
    /// The same row everywhere, `[width]`.
    Row(&'a [f32]),
    /// A row for each row, `[row, width]`.
    Rows(&'a [f32]),
}

impl Packed {
    /// The matrix with these elements, `element(row, column)`.
    pub(crate) fn new(inner: usize, outputs: usize, element: impl Fn(usize, usize) -> f32) -> Self {
        let is_narrow = outputs <= NARROW;
        let width = if is_narrow { outputs } else { outputs.next_multiple_of(LANES) };
        let mut numbers = Vec::with_capacity(inner * width);
        if is_narrow {
            numbers
                .extend((0..width).flat_map(|column| (0..inner).map(move |row| (row, column))).map(|(row, column)| element(row, column)));
        } else {
            for first in (0..width).step_by(2 * LANES) {
                let columns = first..width.min(first + 2 * LANES);
                for row in 0..inner {
                    numbers.extend(columns.clone().map(|column| if column < outputs { element(row, column) } else { 0.0 }));
                }
            }
        }
        Self { inner, width, is_narrow, numbers }
    }

    /// Columns of a product: those of the matrix, padded with zeros unless they are very few.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// `output <- start + a matrix`. `a`: rows of `inner` numbers, one every `stride`; `output`: `[row, width]`.
    pub(crate) fn multiply(&self, a: &[f32], stride: usize, start: Start<'_>, output: &mut [f32]) {
        if self.width == 0 {
            return;
        }
        let num = output.len() / self.width;
        assert_eq!(output.len(), num * self.width, "the product has its place");
        assert!(num == 0 || (num - 1) * stride + self.inner <= a.len(), "each row lies within the factor");
        match start {
            Start::Zero => {}
            Start::Row(row) => assert_eq!(row.len(), self.width, "there is a start for each column"),
            Start::Rows(rows) => assert_eq!(rows.len(), output.len(), "there is a start for each number"),
        }
        #[cfg(target_arch = "x86_64")]
        match Isa::detect() {
            // SAFETY: `detect` has found every feature that the function is compiled for.
            Isa::Avx512 => return unsafe { x86::multiply_avx512(self, a, stride, start, output) },
            // SAFETY: as above.
            Isa::Avx2 => return unsafe { x86::multiply_avx2(self, a, stride, start, output) },
            Isa::Portable => {}
        }
        multiply::<[f32; LANES], 2>(self, a, stride, start, output);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::__m512;

    use super::{Packed, Start, multiply};
    use crate::lanes::Pair;

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub(super) fn multiply_avx512(packed: &Packed, a: &[f32], stride: usize, start: Start<'_>, output: &mut [f32]) {
        multiply::<__m512, 8>(packed, a, stride, start, output);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn multiply_avx2(packed: &Packed, a: &[f32], stride: usize, start: Start<'_>, output: &mut [f32]) {
        multiply::<Pair, 2>(packed, a, stride, start, output);
    }
}

#[inline(always)]
fn multiply<L: Lanes, const ROWS: usize>(packed: &Packed, a: &[f32], stride: usize, start: Start<'_>, output: &mut [f32]) {
    let num = output.len() / packed.width;
    if packed.is_narrow {
        for row in 0..num {
            narrow::<L>(packed, row, &a[row * stride..row * stride + packed.inner], start, output);
        }
        return;
    }
    // A strip stays in the first cache while the rows pass by.
    for first in (0..packed.width).step_by(2 * LANES) {
        let from = &packed.numbers[first * packed.inner..];
        let mut row = 0;
        if packed.width - first >= 2 * LANES {
            let strip = &from[..packed.inner * 2 * LANES];
            while row + ROWS <= num {
                tile::<L, ROWS, 2>(packed, strip, first, row, a, stride, start, output);
                row += ROWS;
            }
            (row..num).for_each(|row| tile::<L, 1, 2>(packed, strip, first, row, a, stride, start, output));
        } else {
            let strip = &from[..packed.inner * LANES];
            while row + ROWS <= num {
                tile::<L, ROWS, 1>(packed, strip, first, row, a, stride, start, output);
                row += ROWS;
            }
            (row..num).for_each(|row| tile::<L, 1, 1>(packed, strip, first, row, a, stride, start, output));
        }
    }
}

/// Some rows with one strip: the sums stay in registers.
#[expect(clippy::too_many_arguments, reason = "inlined, so that they are no arguments")]
#[inline(always)]
fn tile<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    packed: &Packed,
    strip: &[f32],
    first: usize,
    row: usize,
    a: &[f32],
    stride: usize,
    start: Start<'_>,
    output: &mut [f32],
) {
    let width = packed.width;
    let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
    for (index, sums) in sums.iter_mut().enumerate() {
        for (vector, sum) in sums.iter_mut().enumerate() {
            let column = first + vector * LANES;
            match start {
                Start::Zero => {}
                Start::Row(start) => *sum = L::load(lanes(start, column)),
                Start::Rows(start) => *sum = L::load(lanes(start, (row + index) * width + column)),
            }
        }
    }
    let rows: [&[f32]; ROWS] = std::array::from_fn(|index| &a[(row + index) * stride..(row + index) * stride + packed.inner]);
    for (inner, matrix) in strip.chunks_exact(VECTORS * LANES).enumerate() {
        let matrix: [L; VECTORS] = std::array::from_fn(|vector| L::load(lanes(matrix, vector * LANES)));
        for index in 0..ROWS {
            let a = L::splat(rows[index][inner]);
            for vector in 0..VECTORS {
                sums[index][vector] = sums[index][vector].add_product(a, matrix[vector]);
            }
        }
    }
    for (index, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            sum.store(lanes_mut(output, (row + index) * width + first + vector * LANES));
        }
    }
}

/// One row with each column of a narrow matrix.
#[inline(always)]
fn narrow<L: Lanes>(packed: &Packed, row: usize, a: &[f32], start: Start<'_>, output: &mut [f32]) {
    for column in 0..packed.width {
        let b = &packed.numbers[column * packed.inner..][..packed.inner];
        let whole = packed.inner / (2 * LANES) * 2 * LANES;
        let mut sums = [L::splat(0.0); 2];
        for (a, b) in a[..whole].chunks_exact(2 * LANES).zip(b.chunks_exact(2 * LANES)) {
            for (vector, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add_product(L::load(lanes(a, vector * LANES)), L::load(lanes(b, vector * LANES)));
            }
        }
        let mut both = [[0.0; LANES]; 2];
        sums.iter().zip(&mut both).for_each(|(sum, lanes)| sum.store(lanes));
        let [mut total, other] = both;
        total.iter_mut().zip(other).for_each(|(total, other)| *total += other);
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                total[lane] += total[lane + half];
            }
            half /= 2;
        }
        let rest: f32 = a[whole..].iter().zip(&b[whole..]).map(|(a, b)| a * b).sum();
        let start = match start {
            Start::Zero => 0.0,
            Start::Row(start) => start[column],
            Start::Rows(start) => start[row * packed.width + column],
        };
        output[row * packed.width + column] = start + (total[0] + rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_equal_those_in_double_precision_for_every_instruction_set_and_shape() {
        for (num, inner, outputs, extra) in
            [(1, 1, 1, 0), (9, 65, 256, 0), (16, 256, 64, 3), (7, 33, 3, 2), (3, 5, 17, 1), (11, 40, 48, 0), (2, 0, 20, 0)]
        {
            let value = |index: usize| ((index * 37 % 101) as f32 - 50.0) / 50.0;
            let a: Vec<f32> = (0..num * (inner + extra)).map(value).collect();
            let packed = Packed::new(inner, outputs, |row, column| value(row * outputs + column + 7));
            let width = packed.width();
            let rows: Vec<f32> = (0..num * width).map(|index| value(index + 3)).collect();
            for start in [Start::Zero, Start::Row(&rows[..width]), Start::Rows(&rows)] {
                let mut results = vec![vec![f32::NAN; num * width]; 2];
                packed.multiply(&a, inner + extra, start, &mut results[0]);
                multiply::<[f32; LANES], 2>(&packed, &a, inner + extra, start, &mut results[1]);
                #[cfg(target_arch = "x86_64")]
                if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                    let mut result = vec![f32::NAN; num * width];
                    // SAFETY: the machine has both features, as was just looked up.
                    unsafe { x86::multiply_avx2(&packed, &a, inner + extra, start, &mut result) };
                    results.push(result);
                }
                for row in 0..num {
                    for column in 0..outputs {
                        let begin = match start {
                            Start::Zero => 0.0,
                            Start::Row(start) => start[column],
                            Start::Rows(start) => start[row * width + column],
                        };
                        let term = |k: usize| f64::from(a[row * (inner + extra) + k]) * f64::from(value(k * outputs + column + 7));
                        let exact = f64::from(begin) + (0..inner).map(term).sum::<f64>();
                        for result in &results {
                            let found = f64::from(result[row * width + column]);
                            assert!((found - exact).abs() < 2e-5, "{num}x{inner}x{outputs}: {found} is not {exact}");
                        }
                    }
                }
            }
        }
    }
}
