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

    /// The transpose, without moving a number.
    pub(crate) fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }
}

/// Fewer multiplications than this are done faster by one thread than shared out.
const WORTH_SHARING: usize = 192 * 192 * 192;

/// `a b`, one row after the other.
pub(crate) fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    assert_eq!(a.columns, b.rows, "the columns of the first factor meet the rows of the second");
    let (rows, columns, inner) = (a.rows, b.columns, a.columns);
    let mut output: Vec<f32> = Vec::with_capacity(rows * columns);
    let share = rows * columns * inner >= WORTH_SHARING && rayon::current_num_threads() > 1;
    let parallelism = if share { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    // SAFETY: `Matrix::new` has checked that each slice holds rows x columns numbers, and strides are those of that order or of
    // its transpose, so that every element read lies within its slice. The output has room for rows x columns numbers; `gemm`
    // writes each of them, and with `read_dst = false` reads none, so that all are initialised when the length is set.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            output.as_mut_ptr(),
            1,
            columns as isize,
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
        output.set_len(rows * columns);
    }
    output
}
