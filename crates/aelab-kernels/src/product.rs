//! Matrix products in single precision.

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

    /// Some neighbouring columns of a matrix that lies row after row.
    pub(crate) fn columns_from(self, first: usize, num: usize) -> Self {
        assert!(self.column_stride == 1 && first + num <= self.columns, "the columns are there");
        // The last element is now (rows - 1) row_stride + num - 1 numbers after the first, `first` numbers before the end or earlier.
        Self { numbers: &self.numbers[first..], columns: num, ..self }
    }

    /// The transpose, without moving a number.
    pub(crate) fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }
}

/// Fewer multiplications than this are done faster by one thread than shared out.
const WORTH_SHARING: usize = 192 * 192 * 192;

/// `output <- a b` on this thread alone; `output`: `[rows of a, columns of b]`.
pub(crate) fn product_into(output: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(output.len(), a.rows * b.columns, "the product has its place");
    // SAFETY: `output` has room for the product, as was just checked.
    unsafe { multiply(output.as_mut_ptr(), a, b, gemm::Parallelism::None) }
}

/// `sum <- sum + part`.
pub(crate) fn accumulate(sum: &mut [f32], part: &[f32]) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
}

/// Writes `a b` to `output`, one row after the other, and reads nothing of it.
///
/// # Safety
/// `output` must have room for as many numbers as `a` has rows times `b` columns.
unsafe fn multiply(output: *mut f32, a: Matrix<'_>, b: Matrix<'_>, parallelism: gemm::Parallelism) {
    assert_eq!(a.columns, b.rows, "the columns of the first factor meet the rows of the second");
    // SAFETY: `Matrix::new` has checked that each slice holds rows x columns numbers, and strides are those of that order or of
    // its transpose, so that every element read lies within its slice; the caller vouches for the output, which is not read.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            output,
            1,
            b.columns as isize,
            false,
            a.numbers.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.numbers.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            0.0_f32,
            1.0_f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `a b`, one row after the other.
pub(crate) fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    let len = a.rows * b.columns;
    let share = len * a.columns >= WORTH_SHARING && rayon::current_num_threads() > 1;
    let parallelism = if share { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    let mut output: Vec<f32> = Vec::with_capacity(len);
    // SAFETY: the output has the capacity, and `multiply` writes each of its numbers before the length is set.
    unsafe {
        multiply(output.as_mut_ptr(), a, b, parallelism);
        output.set_len(len);
    }
    output
}

/// `sum <- sum + a b` on this thread alone; `sum`: `[rows of a, columns of b]`.
pub(crate) fn product_added(sum: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    product_added_scaled(sum, 1.0, a, b, 1.0);
}

/// `sum <- keep sum + factor a b` on this thread alone, where a `keep` of 0 reads nothing of it; `sum`: `[rows of a, columns of b]`.
pub(crate) fn product_added_scaled(sum: &mut [f32], keep: f32, a: Matrix<'_>, b: Matrix<'_>, factor: f32) {
    assert_eq!(sum.len(), a.rows * b.columns, "the product has its place");
    assert_eq!(a.columns, b.rows, "the columns of the first factor meet the rows of the second");
    // SAFETY: every element of a `Matrix` lies within its slice (see `multiply`); `sum` has the product's numbers, as was just checked, and
    // as a mutable slice overlaps with neither.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            sum.as_mut_ptr(),
            1,
            b.columns as isize,
            keep != 0.0,
            a.numbers.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.numbers.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            keep,
            factor,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
