//! Products that leave out zeros: images and counts of words have many, at the same places where rows are alike.
//!
//! Rows of the first factor are worked on four at a time; a column that is zero in all four is left out, with the row of the second
//! factor that it would multiply. What is left is added up in the order of the columns, whatever the tiles and the threads. A number
//! of the second factor that is not finite shows only where it meets something other than zero.

use std::ops::Range;

use crate::isa::Isa;
use crate::lanes::{LANES, Lanes};
use crate::team;

use super::{Finish, Matrix, WORTH_SHARING};

/// Rows of the first factor that are worked on together.
const ROWS: usize = 4;
/// Vectors of columns that a tile of the output has at most.
const TILE_VECTORS: usize = 6;
/// Groups of rows in a tile of the output at most.
const TILE_GROUPS: usize = 16;
/// Words of bits for which the rows of the second factor stay in the nearest cache.
const WORDS_AT_ONCE: usize = 2;
/// Rows that are looked at first, to tell whether all should be.
const NUM_PROBED: usize = 16;
/// Columns of the second factor from which on leaving out pays for looking.
const WORTH_LOOKING: usize = 64;

/// Rows of a factor, four at a time, and where any of the four is not zero.
pub(super) struct Groups<'a> {
    a: Matrix<'a>,
    order: Vec<u32>,
    bits: Vec<u64>,
    /// Words of bits for each group.
    num_words: usize,
}

impl<'a> Groups<'a> {
    /// `None` where `a b` is faster by all numbers: `a` has few zeros, the product is small, the second factor lies across, or the
    /// machine has no vectors for it.
    pub(super) fn of(a: Matrix<'a>, b: Matrix<'_>) -> Option<Self> {
        if Isa::detect() == Isa::Portable || b.column_stride != 1 || b.columns < WORTH_LOOKING || a.rows.min(a.columns) < NUM_PROBED {
            return None;
        }
        let (len, is_upright) = if a.column_stride == 1 { (a.columns, true) } else { (a.rows, false) };
        let (first, others) = a.numbers.split_at(NUM_PROBED * len);
        let mut bits = Vec::with_capacity(a.numbers.len() / len * len.div_ceil(64));
        add_bits(first, len, &mut bits);
        let probed: Vec<u32> = (0..NUM_PROBED as u32).collect();
        if !is_worth_it(&grouped(&bits, len.div_ceil(64), &probed), NUM_PROBED / ROWS * len) {
            return None;
        }
        add_bits(others, len, &mut bits);
        let (order, bits) = if is_upright {
            (alike(&bits, len.div_ceil(64)), bits)
        } else {
            ((0..a.rows as u32).collect(), transposed(&bits, a.columns, len.div_ceil(64)))
        };
        let num_words = a.columns.div_ceil(64);
        let bits = grouped(&bits, num_words, &order);
        is_worth_it(&bits, order.len().div_ceil(ROWS) * a.columns).then_some(Self { a, order, bits, num_words })
    }

    /// Writes `a b` to `output`, one row after the other, and passes each row of each tile to `finish`.
    ///
    /// # Safety
    /// `output` must have room for as many numbers as `a` has rows times `b` columns, which nobody else uses meanwhile.
    pub(super) unsafe fn multiply(&self, b: Matrix<'_>, output: *mut f32, finish: Option<Finish<'_>>) {
        assert_eq!(self.a.columns, b.rows, "the columns of the first factor meet the rows of the second");
        assert!(b.column_stride == 1 && b.columns >= WORTH_LOOKING, "the second factor lies row after row");
        let (num_groups, vectors) = (self.order.len().div_ceil(ROWS), b.columns.div_ceil(LANES));
        let (num_across, num_down) = (vectors.div_ceil(TILE_VECTORS), num_groups.div_ceil(TILE_GROUPS));
        let output = Output(output);
        let work = |number: usize| {
            let (across, down) = (number % num_across, number / num_across);
            // At least three vectors wide each.
            let first_vector = |across: usize| across * (vectors / num_across) + across.min(vectors % num_across);
            let columns = [first_vector(across) * LANES, (first_vector(across + 1) * LANES).min(b.columns)];
            let groups = down * TILE_GROUPS..num_groups.min((down + 1) * TILE_GROUPS);
            // SAFETY: tiles are disjoint, their columns are at least 33 of those of `b`, their groups are some of all; `a` has as many
            // columns as `b` rows, as was checked, and the caller vouches for the output. `of` has found vectors.
            unsafe {
                match Isa::detect() {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => x86::tile_avx512(self, b, groups.clone(), columns, output.get()),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => x86::tile_avx2(self, b, groups.clone(), columns, output.get()),
                    Isa::Portable => tile::<[f32; LANES]>(self, b, groups.clone(), columns, output.get()),
                }
            }
            let Some(finish) = finish else { return };
            for row in &self.order[groups.start * ROWS..self.order.len().min(groups.end * ROWS)] {
                let (row, width) = (*row as usize, columns[1] - columns[0]);
                let first = row * b.columns + columns[0];
                // SAFETY: a row of this tile, just written.
                let numbers = unsafe { std::slice::from_raw_parts_mut(output.get().add(first), width) };
                finish(row, columns[0], numbers);
            }
        };
        if self.a.rows * b.rows * b.columns >= WORTH_SHARING {
            team::run(num_across * num_down, &work);
        } else {
            (0..num_across * num_down).for_each(work);
        }
    }
}

struct Output(*mut f32);

impl Output {
    fn get(&self) -> *mut f32 {
        self.0
    }
}

// SAFETY: threads that share it write to different tiles.
unsafe impl Sync for Output {}

/// Whether an eighth of so many columns of groups at least can be left out.
fn is_worth_it(bits: &[u64], num: usize) -> bool {
    count(bits) * 8 <= num * 7
}

fn count(bits: &[u64]) -> usize {
    bits.iter().map(|word| word.count_ones() as usize).sum()
}

/// An order of rows in which neighbours have zeros at similar places: by how many the first third has, roughly, then by how many.
fn alike(bits: &[u64], num_words: usize) -> Vec<u32> {
    let step = (num_words * 3 / 2).max(1);
    let key = |row: &[u64]| (count(&row[..num_words / 3]) / step, count(row));
    let mut rows: Vec<_> = bits.chunks_exact(num_words).map(key).zip(0_u32..).collect();
    rows.sort_unstable();
    rows.into_iter().map(|(_, row)| row).collect()
}

/// The bits of each four rows as one.
fn grouped(bits: &[u64], num_words: usize, order: &[u32]) -> Vec<u64> {
    let mut of_groups = vec![0; order.len().div_ceil(ROWS) * num_words];
    for (rows, of_group) in order.chunks(ROWS).zip(of_groups.chunks_exact_mut(num_words)) {
        for row in rows {
            of_group.iter_mut().zip(&bits[*row as usize * num_words..]).for_each(|(any, bits)| *any |= bits);
        }
    }
    of_groups
}

/// The bits of the columns of so many rows.
fn transposed(bits: &[u64], num_rows: usize, num_words: usize) -> Vec<u64> {
    let words_of_a_column = num_rows.div_ceil(64);
    let mut of_columns = vec![0; num_words * 64 * words_of_a_column];
    for below in 0..words_of_a_column {
        for right in 0..num_words {
            let mut block = [0_u64; 64];
            for (row, word) in (below * 64..num_rows).zip(&mut block) {
                *word = bits[row * num_words + right];
            }
            transpose_block(&mut block);
            for (column, word) in (right * 64..).zip(block) {
                of_columns[column * words_of_a_column + below] = word;
            }
        }
    }
    of_columns
}

/// Turns 64 words of 64 bits: halves of the square change places, then halves of each quarter, and so on.
fn transpose_block(block: &mut [u64; 64]) {
    let (mut half, mut mask) = (32, u64::MAX >> 32);
    while half > 0 {
        for upper in (0..64).filter(|row| row & half == 0) {
            let changed = ((block[upper] >> half) ^ block[upper + half]) & mask;
            block[upper] ^= changed << half;
            block[upper + half] ^= changed;
        }
        half /= 2;
        mask ^= mask << half;
    }
}

/// Appends a bit for each number of rows of so many, in whole words for each row: whether it is not zero.
fn add_bits(numbers: &[f32], len: usize, bits: &mut Vec<u64>) {
    // SAFETY: `detect` has found every feature that a function is compiled for.
    unsafe {
        match Isa::detect() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => x86::add_bits_avx512(numbers, len, bits),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::add_bits_avx2(numbers, len, bits),
            Isa::Portable => bits_body::<[f32; LANES]>(numbers, len, bits),
        }
    }
}

// Loops and `push`: a closure that is passed to `extend` is not compiled for the vectors, and each vector then costs a call.
#[inline(always)]
fn bits_body<L: Lanes>(numbers: &[f32], len: usize, bits: &mut Vec<u64>) {
    for row in numbers.chunks_exact(len) {
        let (words, rest) = row.as_chunks::<64>();
        for word in words {
            let (vectors, _) = word.as_chunks::<LANES>();
            let mut of_word = 0;
            for (vector, numbers) in vectors.iter().enumerate() {
                of_word |= u64::from(L::load(numbers).are_not_zero()) << (vector * LANES);
            }
            bits.push(of_word);
        }
        if !rest.is_empty() {
            bits.push(rest.iter().rev().fold(0, |bits, number| bits << 1 | u64::from(*number != 0.0)));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::__m512;

    use super::{Groups, Matrix, Range, bits_body, tile};
    use crate::lanes::Pair;

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub(super) unsafe fn tile_avx512(groups: &Groups<'_>, b: Matrix<'_>, some: Range<usize>, columns: [usize; 2], output: *mut f32) {
        // SAFETY: as the caller vouches.
        unsafe { tile::<__m512>(groups, b, some, columns, output) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn tile_avx2(groups: &Groups<'_>, b: Matrix<'_>, some: Range<usize>, columns: [usize; 2], output: *mut f32) {
        // SAFETY: as the caller vouches.
        unsafe { tile::<Pair>(groups, b, some, columns, output) }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub(super) fn add_bits_avx512(numbers: &[f32], len: usize, bits: &mut Vec<u64>) {
        bits_body::<__m512>(numbers, len, bits);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn add_bits_avx2(numbers: &[f32], len: usize, bits: &mut Vec<u64>) {
        bits_body::<Pair>(numbers, len, bits);
    }
}

/// Columns `first` to before `end` of some groups of rows.
///
/// # Safety
/// The groups must be some of all, and the columns at least 16 of `b`'s, which must have as many rows as `a` has columns; `output` must
/// have room for the whole product.
#[inline(always)]
unsafe fn tile<L: Lanes>(groups: &Groups<'_>, b: Matrix<'_>, some: Range<usize>, [first, end]: [usize; 2], output: *mut f32) {
    // SAFETY: as the caller vouches; strips lie within the columns.
    unsafe {
        if L::NUM_SUMS == ROWS * TILE_VECTORS {
            match (end - first).div_ceil(LANES) {
                6 => strip::<L, 6>(groups, b, some, [first, end], output),
                5 => strip::<L, 5>(groups, b, some, [first, end], output),
                4 => strip::<L, 4>(groups, b, some, [first, end], output),
                3 => strip::<L, 3>(groups, b, some, [first, end], output),
                _ => unreachable!("tiles are three to six vectors wide"),
            }
        } else {
            for column in (first..end).step_by(LANES) {
                let column = column.min(end - LANES);
                strip::<L, 1>(groups, b, some.clone(), [column, column + LANES], output);
            }
        }
    }
}

/// [`tile`] of so many vectors, the last of which, where it would not be full, begins earlier: both write the same then.
///
/// # Safety
/// As there; the columns must be more than those of one vector less.
#[expect(clippy::needless_range_loop, reason = "sums that an iterator points to do not stay in registers")]
#[inline(always)]
unsafe fn strip<L: Lanes, const VECTORS: usize>(
    groups: &Groups<'_>,
    b: Matrix<'_>,
    some: Range<usize>,
    [first, end]: [usize; 2],
    output: *mut f32,
) {
    let Groups { a, order, bits, num_words } = groups;
    let last = end - first - LANES;
    let at = |vector: usize| if vector + 1 == VECTORS { last } else { vector * LANES };
    for first_word in (0..*num_words).step_by(WORDS_AT_ONCE) {
        for group in some.clone() {
            let mut values = [a.numbers.as_ptr(); ROWS];
            let mut places = [output; ROWS];
            for row in 0..ROWS {
                // A last group that is not full repeats its last row.
                let of_row = order[(group * ROWS + row).min(order.len() - 1)] as usize;
                // SAFETY: a row of the factor, and its place in the output, for which the caller vouches.
                unsafe {
                    values[row] = values[row].add(of_row * a.row_stride);
                    places[row] = output.add(of_row * b.columns + first);
                }
            }
            let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
            if first_word > 0 {
                for row in 0..ROWS {
                    for vector in 0..VECTORS {
                        // SAFETY: columns of the tile, written when the first word was done.
                        sums[row][vector] = L::load(unsafe { &*places[row].add(at(vector)).cast() });
                    }
                }
            }
            let words = first_word..(first_word + WORDS_AT_ONCE).min(*num_words);
            for word in words {
                let mut left = bits[group * num_words + word];
                while left != 0 {
                    let column = word * 64 + left.trailing_zeros() as usize;
                    left &= left - 1;
                    // SAFETY: a bit is set only for a column of `a`, which is a row of `b`, whose columns from `first` on are read.
                    unsafe {
                        let weights = b.numbers.as_ptr().add(column * b.row_stride + first);
                        let mut value = [L::splat(0.0); ROWS];
                        for row in 0..ROWS {
                            value[row] = L::splat(*values[row].add(column * a.column_stride));
                        }
                        for vector in 0..VECTORS {
                            let weight = L::load(&*weights.add(at(vector)).cast());
                            for row in 0..ROWS {
                                sums[row][vector] = sums[row][vector].add_product(value[row], weight);
                            }
                        }
                    }
                }
            }
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    // SAFETY: columns of the tile, in the output, for which the caller vouches.
                    unsafe { sums[row][vector].store(&mut *places[row].add(at(vector)).cast()) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::isa::on_each_isa;

    /// Numbers of which those in blocks of 5 rows and 7 columns, two of three, are zero.
    fn with_zeros(rows: usize, columns: usize) -> Vec<f32> {
        let at = |index: usize| (index / columns, index % columns);
        let value = |(row, column): (usize, usize)| ((row * 31 + column * 17) % 101) as f32 / 50.0 - 1.01;
        (0..rows * columns).map(at).map(|(row, column)| if (row / 5 + column / 7) % 3 == 0 { value((row, column)) } else { 0.0 }).collect()
    }

    fn dense(num: usize) -> Vec<f32> {
        (0..num).map(|index| ((index * 7919) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    #[test]
    fn products_without_zeros_are_those_of_double_precision_on_one_and_on_many_threads() {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let many = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let shapes = [[16, 16, 64], [17, 130, 65], [128, 200, 97], [33, 784, 112], [70, 64, 196], [130, 300, 400], [18, 129, 209]];
        on_each_isa(|isa| {
            for [rows, depth, columns] in shapes {
                for lies_across in [false, true] {
                    let left = if lies_across { with_zeros(depth, rows) } else { with_zeros(rows, depth) };
                    let right = dense(depth * columns);
                    let upright = Matrix::new(&left, if lies_across { depth } else { rows }, if lies_across { rows } else { depth });
                    let (a, b) = (if lies_across { upright.transposed() } else { upright }, Matrix::new(&right, depth, columns));
                    let Some(groups) = Groups::of(a, b) else {
                        assert!(isa == Isa::Portable, "{isa:?} leaves nothing out of {rows} {depth} {columns}");
                        continue;
                    };
                    let finish = |row: usize, first: usize, numbers: &mut [f32]| {
                        numbers.iter_mut().zip(first..).for_each(|(y, column)| *y += (row + 2 * column) as f32);
                    };
                    let product = |finish: Option<Finish<'_>>| {
                        let mut output = vec![f32::NAN; rows * columns];
                        // SAFETY: the output has room for the product, and is this function's own.
                        unsafe { groups.multiply(b, output.as_mut_ptr(), finish) };
                        output
                    };
                    let found = one.install(|| product(None));
                    assert_eq!(many.install(|| product(None)), found, "{isa:?} {rows} {depth} {columns}");
                    let finished = many.install(|| product(Some(&finish)));
                    for (index, found) in found.iter().enumerate() {
                        let (row, column) = (index / columns, index % columns);
                        let left = |k: usize| f64::from(if lies_across { left[k * rows + row] } else { left[row * depth + k] });
                        let exact: f64 = (0..depth).map(|k| left(k) * f64::from(right[k * columns + column])).sum();
                        let limit = 1e-6 * (depth as f64).sqrt();
                        assert!(
                            (f64::from(*found) - exact).abs() <= limit,
                            "{isa:?} {rows} {depth} {columns} {index}: {found} is not {exact}"
                        );
                        assert_eq!(finished[index], found + (row + 2 * column) as f32, "each number is passed once, with its place");
                    }
                }
            }
        });
    }

    #[test]
    fn nothing_is_left_out_of_a_factor_that_is_full_or_has_its_zeros_anywhere() {
        let right = dense(256 * 128);
        let b = Matrix::new(&right, 256, 128);
        // A number in two is zero, as after a rectifier.
        let scattered: Vec<f32> = dense(64 * 256).into_iter().map(|value| value.max(0.0)).collect();
        for left in [dense(64 * 256), scattered] {
            assert!(Groups::of(Matrix::new(&left, 64, 256), b).is_none());
        }
    }

    #[test]
    fn what_is_not_a_number_is_not_left_out() {
        let (mut left, right) = (with_zeros(16, 64), dense(64 * 64));
        left[63] = f32::NAN;
        let found = crate::product::product(Matrix::new(&left, 16, 64), Matrix::new(&right, 64, 64));
        assert!(found[..64].iter().all(|y| y.is_nan()) && found[64..].iter().all(|y| y.is_finite()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bits_tell_what_is_not_zero_whichever_way_they_are_turned(rows in 1_usize..140, columns in 1_usize..140, modulus in 2_usize..9) {
            let numbers: Vec<f32> = (0..rows * columns).map(|index| ((index * index + 3 * index) % modulus) as f32).collect();
            on_each_isa(|_| {
                let mut bits = Vec::new();
                add_bits(&numbers, columns, &mut bits);
                let num_words = columns.div_ceil(64);
                assert_eq!(bits.len(), rows * num_words);
                let turned = transposed(&bits, rows, num_words);
                let height = rows.div_ceil(64);
                let bit = |bits: &[u64], at: usize| bits[at / 64] >> (at % 64) & 1 == 1;
                for (index, number) in numbers.iter().enumerate() {
                    let (row, column) = (index / columns, index % columns);
                    assert_eq!(bit(&bits[row * num_words..], column), *number != 0.0);
                    assert_eq!(bit(&turned[column * height..], row), *number != 0.0);
                }
                assert_eq!(count(&bits), count(&turned), "bits beyond the last row or column are zero");
            });
        }
    }
}
