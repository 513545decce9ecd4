//! Matrix products in single precision.

mod zeros;

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use crate::map::{has_fast_transpose, transpose_to};
use crate::team;
use zeros::Groups;

/// A matrix by its numbers and the distance between neighbours of a column and of a row.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]`, one row after the other.
    pub(crate) fn new(numbers: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(numbers.len(), rows * columns, "a matrix has as many numbers as rows times columns");
        Self { numbers, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The transpose, without moving a number.
    pub(crate) fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }
}

/// Fewer multiplications than this are done faster by one thread than shared out.
const WORTH_SHARING: usize = 1 << 20;

/// `output <- a b` on this thread alone; `output`: `[rows of a, columns of b]`.
pub(crate) fn product_into(output: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(output.len(), a.rows * b.columns, "the product has its place");
    // SAFETY: `output` has room for the product, as was just checked.
    unsafe { multiply(output.as_mut_ptr(), false, a, b) }
}

/// `output <- output + a b` on this thread alone.
pub(crate) fn add_product(output: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(output.len(), a.rows * b.columns, "the product has its place");
    // SAFETY: `output` has room for the product, as was just checked, and its numbers are there to be read.
    unsafe { multiply(output.as_mut_ptr(), true, a, b) }
}

/// [`product_into`] of what was not written before.
pub(crate) fn product_into_new<'a>(output: &'a mut [MaybeUninit<f32>], a: Matrix<'_>, b: Matrix<'_>) -> &'a mut [f32] {
    assert_eq!(output.len(), a.rows * b.columns, "the product has its place");
    // SAFETY: `output` has room for the product, as was just checked; `multiply` reads nothing of it and writes each number.
    unsafe {
        multiply(output.as_mut_ptr().cast(), false, a, b);
        output.assume_init_mut()
    }
}

/// Writes `a b` to `output`, one row after the other, and reads nothing of it; with `add`, adds it.
///
/// # Safety
/// `output` must have room for as many numbers as `a` has rows times `b` columns; with `add`, they must have been written.
unsafe fn multiply(output: *mut f32, add: bool, a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(a.columns, b.rows, "the columns of the first factor meet the rows of the second");
    // SAFETY: all rows and all columns lie within the factors; the caller vouches for the output.
    unsafe { multiply_part(output, [b.columns, 1], [if add { 1.0 } else { 0.0 }, 1.0], a, 0..a.rows, b, 0..b.columns) }
}

/// What a tile of a product is passed to when it is done, one row of it after the other: the row and the first column within the
/// whole, and the numbers from there on. Every number of the product is passed once.
pub(crate) type Finish<'a> = &'a (dyn Fn(usize, usize, &mut [f32]) + Sync);

/// `a b`, one row after the other.
pub(crate) fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    product_finished(a, b, None)
}

/// `a b`, each row of each tile passed to `finish` while it is in the nearest cache.
pub(crate) fn product_with(a: Matrix<'_>, b: Matrix<'_>, finish: Finish<'_>) -> Vec<f32> {
    product_finished(a, b, Some(finish))
}

fn product_finished(a: Matrix<'_>, b: Matrix<'_>, finish: Option<Finish<'_>>) -> Vec<f32> {
    let mut output = new_output(a, b);
    match Groups::of(a, b) {
        // SAFETY: `new_output` has made room for the product, which nobody else knows of.
        Some(groups) => unsafe { groups.multiply(b, output.as_mut_ptr(), finish) },
        None => products_into(&mut [Job::new(a, b, &mut output, finish)]),
    }
    settled(output, a, b)
}

/// A sum of two products, each times its factor, passed to `finish` as by [`product_with`] and kept nowhere.
pub(crate) fn for_sum_of_products(terms: [(Matrix<'_>, Matrix<'_>, f32); 2], finish: Finish<'_>) {
    let [(a, b, _), other] = terms;
    assert!(other.0.rows == a.rows && other.1.columns == b.columns, "both products have the same shape");
    assert!(terms.iter().all(|(a, b, _)| a.columns == b.rows), "the columns of a first factor meet the rows of its second");
    let tiles = Tiles { turned: false, ..Tiles::of(a, b) };
    let work = |number: usize| {
        let (rows, columns) = tiles.part(number, a.rows, b.columns);
        let (height, width) = (rows.len(), columns.len());
        if height == 0 || width == 0 {
            return;
        }
        TILE.with_borrow_mut(|tile| {
            tile.clear();
            tile.reserve(height * width);
            for (kept, (a, b, factor)) in [0.0, 1.0].into_iter().zip(terms) {
                // SAFETY: rows and columns lie within the factors, which have the same outer sizes; room for the tile was just made, and
                // the second product is added to what the first has written.
                unsafe { multiply_part(tile.as_mut_ptr(), [width, 1], [kept, factor], a, rows.clone(), b, columns.clone()) };
            }
            // SAFETY: each number of the tile was just written.
            unsafe { tile.set_len(height * width) };
            rows.zip(tile.chunks_exact_mut(width)).for_each(|(row, numbers)| finish(row, columns.start, numbers));
        });
    };
    let num_multiplications: usize = terms.iter().map(|(a, b, _)| a.rows * a.columns * b.columns).sum();
    if num_multiplications >= WORTH_SHARING { team::run(tiles.num(), &work) } else { (0..tiles.num()).for_each(work) }
}

/// Two products, side by side.
pub(crate) fn two_products(first: [Matrix<'_>; 2], second: [Matrix<'_>; 2]) -> [Vec<f32>; 2] {
    let [[a, b], [c, d]] = [first, second];
    let (mut left, mut right) = (new_output(a, b), new_output(c, d));
    products_into(&mut [Job::new(a, b, &mut left, None), Job::new(c, d, &mut right, None)]);
    [settled(left, a, b), settled(right, c, d)]
}

fn new_output(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    Vec::with_capacity(a.rows * b.columns)
}

/// The vector with the length of the product that was written to its memory by [`products_into`].
fn settled(mut output: Vec<f32>, a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    // SAFETY: `new_output` has made room for so many numbers, and the tiles of `products_into`, which has returned, cover
    // every one of them.
    unsafe { output.set_len(a.rows * b.columns) }
    output
}

/// A product with the memory that it is written to.
struct Job<'a> {
    a: Matrix<'a>,
    b: Matrix<'a>,
    output: *mut f32,
    tiles: Tiles,
    finish: Option<Finish<'a>>,
}

impl<'a> Job<'a> {
    fn new(a: Matrix<'a>, b: Matrix<'a>, output: &mut Vec<f32>, finish: Option<Finish<'a>>) -> Self {
        assert_eq!(a.columns, b.rows, "the columns of the first factor meet the rows of the second");
        assert!(output.capacity() >= a.rows * b.columns, "the product has its place");
        Self { a, b, output: output.as_mut_ptr(), tiles: Tiles::of(a, b), finish }
    }

    fn num_multiplications(&self) -> usize {
        self.a.rows * self.a.columns * self.b.columns
    }
}

/// How the output of a product is divided: a function of its shape, not of the number of threads, so that neither are the sums.
#[derive(Debug, Clone, Copy)]
struct Tiles {
    rows: usize,
    columns: usize,
    num_down: usize,
    num_across: usize,
    /// Whether tiles are computed column after column and turned afterwards.
    turned: bool,
}

/// Columns of a tile at most: two of the widest that the product's innermost loop works on.
const TILE_COLUMNS: usize = 128;
/// Columns that are worked on as one.
const LANES: usize = 16;
/// Columns of a tile that is turned.
const TURNED_COLUMNS: usize = 256;
/// Rows of a tile of an output of many columns, and of one of few.
const TILE_ROWS: usize = 576;
const NARROW_TILE_ROWS: usize = 192;
/// Columns, or else rows, that make two tiles rather than one.
const WORTH_HALVING: usize = 64;

impl Tiles {
    fn of(a: Matrix<'_>, b: Matrix<'_>) -> Self {
        let (rows, depth, columns) = (a.rows, a.columns, b.columns);
        // The innermost loop wants the second factor row after row, so that it is turned around first, which costs much where few
        // rows of the first factor share the cost. Turned, it is the first factor that is rearranged, and the output.
        let turned = b.row_stride == 1 && b.column_stride != 1 && (24..=128).contains(&rows) && depth >= 128 && columns >= 192;
        if rows * depth * columns < WORTH_SHARING {
            return Self { rows, columns, num_down: 1, num_across: 1, turned };
        }
        let (most_rows, most_columns) = match columns {
            _ if turned => (rows, TURNED_COLUMNS),
            256.. => (TILE_ROWS, TILE_COLUMNS),
            _ => (NARROW_TILE_ROWS, TILE_COLUMNS),
        };
        // One tile would leave all but one thread without work.
        let is_one = rows <= most_rows && columns <= most_columns && rows * depth * columns >= 2 * WORTH_SHARING;
        let (most_rows, most_columns) = match columns {
            WORTH_HALVING.. if is_one => (most_rows, columns.div_ceil(2)),
            _ if is_one && rows >= WORTH_HALVING => (rows.div_ceil(2), most_columns),
            _ => (most_rows, most_columns),
        };
        let even = |size: usize, most: usize, unit: usize| size.div_ceil(size.div_ceil(most)).next_multiple_of(unit);
        // Whole vectors: where tiles are of equal width, none is left with a vector or two, which the innermost loop is slow at.
        let columns_of_a_tile = even(columns, most_columns, if turned { 12 } else { LANES });
        let rows_of_a_tile = if rows > most_rows { even(rows, most_rows, 12) } else { rows };
        Self {
            rows: rows_of_a_tile,
            columns: columns_of_a_tile,
            num_down: rows.div_ceil(rows_of_a_tile),
            num_across: columns.div_ceil(columns_of_a_tile),
            turned,
        }
    }

    fn num(&self) -> usize {
        self.num_down * self.num_across
    }

    /// Rows and columns of tile `number` of an output of so many.
    fn part(&self, number: usize, rows: usize, columns: usize) -> (Range<usize>, Range<usize>) {
        let (row, column) = (number / self.num_across * self.rows, number % self.num_across * self.columns);
        (row..rows.min(row + self.rows), column..columns.min(column + self.columns))
    }
}

// SAFETY: threads that share a job write to different tiles of its output, which nobody else uses until `products_into` returns; all
// else is only read, and what is called to finish is `Sync`.
unsafe impl Sync for Job<'_> {}

/// Computes every product.
fn products_into(jobs: &mut [Job<'_>]) {
    let jobs = &*jobs;
    let num_tiles = jobs.iter().map(|job| job.tiles.num()).sum();
    let work = |mut number: usize| {
        for job in jobs {
            if number < job.tiles.num() {
                // SAFETY: every number of a tile is given out once, so that no other thread writes to this tile.
                return unsafe { compute_tile(job, number) };
            }
            number -= job.tiles.num();
        }
    };
    if jobs.iter().map(Job::num_multiplications).sum::<usize>() >= WORTH_SHARING {
        team::run(num_tiles, &work);
    } else {
        (0..num_tiles).for_each(work);
    }
}

/// Computes tile `number` of a job, and finishes it.
///
/// # Safety
/// No other thread may use that tile of the output meanwhile.
unsafe fn compute_tile(job: &Job<'_>, number: usize) {
    let Job { a, b, output, tiles, finish } = job;
    let (of_rows, of_columns) = tiles.part(number, a.rows, b.columns);
    let (row, column, rows, columns) = (of_rows.start, of_columns.start, of_rows.len(), of_columns.len());
    if rows == 0 || columns == 0 {
        return;
    }
    let width = b.columns;
    // SAFETY: `row` and `column` lie within the output, for which `Job::new` has found room.
    let corner = unsafe { output.add(row * width + column) };
    // SAFETY: a tile's rows and columns lie within the factors and the output; the caller vouches for the output.
    unsafe {
        if tiles.turned {
            TILE.with_borrow_mut(|tile| {
                tile.reserve(rows * columns);
                multiply_part(tile.as_mut_ptr(), [1, rows], [0.0, 1.0], *a, of_rows, *b, of_columns);
                tile.set_len(rows * columns);
                transpose_to(tile, rows, [columns, rows], corner, width);
                tile.clear();
            });
        } else {
            multiply_part(corner, [width, 1], [0.0, 1.0], *a, of_rows, *b, of_columns);
        }
    }
    if let Some(finish) = finish {
        for below in 0..rows {
            // SAFETY: a row of this tile, just written.
            finish(row + below, column, unsafe { std::slice::from_raw_parts_mut(corner.add(below * width), columns) });
        }
    }
}

thread_local! {
    /// A tile that has no place of its own, or not yet.
    static TILE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// The second factor is rearranged for the innermost loop where more rows of the first than this, counted in sixes as the loop takes
/// them, share the cost: with fewer, reading it where it lies is faster.
const WORTH_PACKING: usize = 48;
/// The same where rows of the second factor lie so far apart that they compete for the same places in the caches.
const WORTH_PACKING_AGAINST_CONFLICTS: usize = 8;

/// Rows of the first factor from which on a second factor that lies across is turned beforehand: of a single row, products are sums
/// along the columns as they lie.
const WORTH_TURNING: usize = 2;

thread_local! {
    /// A factor that lay across.
    static UPRIGHT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Writes some rows of `a` times some columns of `b`, times `factor`, to `output`, whose neighbours in a column and in a row are
/// `strides` apart, one of them 1, and adds what is `kept` of it: with 0 nothing, and nothing of it is read.
///
/// # Safety
/// The rows and columns must lie within the factors, and the output must have room; unless `kept` is 0, it must have been written.
unsafe fn multiply_part(
    output: *mut f32,
    strides: [usize; 2],
    kept_and_factor: [f32; 2],
    a: Matrix<'_>,
    rows: Range<usize>,
    b: Matrix<'_>,
    columns: Range<usize>,
) {
    if strides[1] != 1 {
        // SAFETY: the caller's promise; a product's transpose is the product of the transposes in the other order.
        return unsafe { multiply_part(output, [strides[1], strides[0]], kept_and_factor, b.transposed(), columns, a.transposed(), rows) };
    }
    let lies_across = b.row_stride == 1 && b.column_stride != 1;
    if !(lies_across && rows.len() >= WORTH_TURNING && b.rows > 0 && has_fast_transpose()) {
        // SAFETY: the caller's promise.
        return unsafe { multiply_lying(output, strides[0], kept_and_factor, a, rows, b, columns) };
    }
    UPRIGHT.with_borrow_mut(|upright| {
        let (depth, width) = (b.rows, columns.len());
        upright.clear();
        upright.reserve(depth * width);
        // SAFETY: room was just made for so many numbers, each of which is written; the columns lie within the factor and the rows and
        // the output are as the caller promises.
        unsafe {
            transpose_to(&b.numbers[columns.start * b.column_stride..], b.column_stride, [width, depth], upright.as_mut_ptr(), width);
            upright.set_len(depth * width);
            multiply_lying(output, strides[0], kept_and_factor, a, rows, Matrix::new(upright, depth, width), 0..width);
        }
    });
}

/// [`multiply_part`] to an output whose rows begin `stride` apart, of factors as they lie.
///
/// # Safety
/// As there.
unsafe fn multiply_lying(
    output: *mut f32,
    stride: usize,
    [kept, factor]: [f32; 2],
    a: Matrix<'_>,
    rows: Range<usize>,
    b: Matrix<'_>,
    columns: Range<usize>,
) {
    // A setting of the whole process, which decides about time only: what is added to what does not depend on it.
    let conflicts = b.row_stride.is_multiple_of(1024);
    gemm::set_lhs_packing_threshold_single_thread(if conflicts { WORTH_PACKING_AGAINST_CONFLICTS } else { WORTH_PACKING });
    // Of a factor without a number there is no place to begin at.
    let [first_row, first_column] = if a.columns == 0 { [0; 2] } else { [rows.start * a.row_stride, columns.start * b.column_stride] };
    // SAFETY: `Matrix::new` has checked that each slice holds rows x columns numbers, and strides are those of that order or of its
    // transpose, so that every element of the rows and columns, within the factors as the caller vouches, is within its slice.
    unsafe {
        gemm::gemm(
            rows.len(),
            columns.len(),
            a.columns,
            output,
            1,
            stride as isize,
            kept != 0.0,
            a.numbers.as_ptr().add(first_row),
            a.column_stride as isize,
            a.row_stride as isize,
            b.numbers.as_ptr().add(first_column),
            b.column_stride as isize,
            b.row_stride as isize,
            kept,
            factor,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(num: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        (0..num)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    fn exact(a: &[f32], b: &[f32], [rows, depth, columns]: [usize; 3], [of_a, of_b]: [bool; 2], row: usize, column: usize) -> f64 {
        let sum = (0..depth).map(|k| {
            let a = if of_a { a[k * rows + row] } else { a[row * depth + k] };
            let b = if of_b { b[column * depth + k] } else { b[k * columns + column] };
            f64::from(a) * f64::from(b)
        });
        sum.sum()
    }

    #[test]
    fn products_of_every_order_and_shape_are_those_of_double_precision_on_one_and_on_many_threads() {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let many = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let shapes = [
            [1, 1, 1],
            [0, 3, 2],
            [3, 0, 2],
            [2, 3, 0],
            [7, 130, 200],
            [8, 128, 192],
            [128, 200, 500],
            [129, 150, 401],
            [700, 60, 300],
            [900, 130, 31],
            [33, 784, 257],
        ];
        for shape in shapes {
            let [rows, depth, columns] = shape;
            let (left, right) = (values(rows * depth, 1), values(depth * columns, 2));
            for turned in [[false, false], [true, false], [false, true], [true, true]] {
                let a = if turned[0] { Matrix::new(&left, depth, rows).transposed() } else { Matrix::new(&left, rows, depth) };
                let b = if turned[1] { Matrix::new(&right, columns, depth).transposed() } else { Matrix::new(&right, depth, columns) };
                let found = one.install(|| product(a, b));
                assert_eq!(found.len(), rows * columns);
                for (index, found) in found.iter().enumerate().step_by(1 + rows * columns / 997) {
                    let exact = exact(&left, &right, shape, turned, index / columns, index % columns);
                    assert!(
                        (f64::from(*found) - exact).abs() <= 1e-5 * (depth as f64).sqrt(),
                        "{shape:?} {turned:?} {index}: {found} is not {exact}"
                    );
                }
                assert_eq!(many.install(|| product(a, b)), found, "{shape:?} {turned:?}");
                let finished = many.install(|| {
                    product_with(a, b, &|at, first, row| row.iter_mut().zip(first..).for_each(|(y, column)| *y += (at + 2 * column) as f32))
                });
                let expected: Vec<f32> =
                    found.iter().enumerate().map(|(index, y)| y + (index / columns + 2 * (index % columns)) as f32).collect();
                assert_eq!(finished, expected, "{shape:?} {turned:?}");
                let [first, second] = many.install(|| two_products([a, b], [b.transposed(), a.transposed()]));
                assert_eq!(first, found, "{shape:?} {turned:?}");
                assert_eq!(second, one.install(|| product(b.transposed(), a.transposed())), "{shape:?} {turned:?}");
            }
        }
    }
}
