//! Arrays on all threads of the process, where there are enough numbers to be worth it. What is summed is summed in an order
//! that does not depend on the number of threads.

use std::marker::PhantomData;
use std::ops::Range;

use crate::team;

/// Fewer numbers than this are done faster by one thread than shared out.
const WORTH_SHARING: usize = 1 << 15;
/// Numbers of a task: a fraction of the nearest cache.
const NUMBERS_OF_A_TASK: usize = 1 << 13;
/// Columns of a task that sums over rows: whole cache lines.
const COLUMNS_OF_A_TASK: usize = 64;

/// An array of which several threads change different parts.
pub(crate) struct Parts<'a, T = f32> {
    numbers: *mut T,
    len: usize,
    lent: PhantomData<&'a mut [T]>,
}

// SAFETY: it gives out only parts that, as its caller vouches, do not overlap.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub(crate) fn new(numbers: &'a mut [T]) -> Self {
        Self { numbers: numbers.as_mut_ptr(), len: numbers.len(), lent: PhantomData }
    }

    /// The numbers of a range.
    ///
    /// # Safety
    /// No two parts that overlap may be in use at once.
    #[expect(clippy::mut_from_ref, reason = "the caller vouches that parts do not overlap")]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part lies within its array");
        // SAFETY: the range lies within the array, which is lent to `self`; the caller vouches that nothing else uses it.
        unsafe { std::slice::from_raw_parts_mut(self.numbers.add(range.start), range.len()) }
    }
}

/// Does `work` on each number below `num_tasks`, shared out where `num` numbers are worth it.
fn run(num: usize, num_tasks: usize, work: impl Fn(usize) + Sync) {
    if num >= WORTH_SHARING { team::run(num_tasks, &work) } else { (0..num_tasks).for_each(work) }
}

/// Does `work` on each row of `values`, `[row, width]`.
pub(crate) fn for_rows(values: &mut [f32], width: usize, work: impl Fn(&mut [f32]) + Sync) {
    if width == 0 {
        return;
    }
    let (num, size) = (values.len(), (NUMBERS_OF_A_TASK / width).max(1) * width);
    let values = Parts::new(values);
    run(num, num.div_ceil(size), |task| {
        // SAFETY: tasks have different numbers, and so different parts.
        let rows = unsafe { values.part(task * size..((task + 1) * size).min(num)) };
        rows.chunks_exact_mut(width).for_each(&work);
    });
}

/// Does `work` on the number of each band of `values`, all of `size` numbers but the last, and on the band; `num_read` numbers are
/// looked at in all.
pub fn for_bands<T: Send>(values: &mut [T], size: usize, num_read: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    if size == 0 {
        return;
    }
    let num = values.len();
    let values = Parts::new(values);
    run(num_read, num.div_ceil(size), |band| {
        // SAFETY: tasks have different numbers, and so different bands.
        work(band, unsafe { values.part(band * size..((band + 1) * size).min(num)) });
    });
}

/// Does `work` on the number of each row, the row of `values`, `[row, width]`, and that row's place in `beside`, `[row]`.
pub(crate) fn rows_with_values(values: &mut [f32], width: usize, beside: &mut [f32], work: impl Fn(usize, &mut [f32], &mut f32) + Sync) {
    if width == 0 {
        return;
    }
    let (num, num_rows, size) = (values.len(), values.len() / width, (NUMBERS_OF_A_TASK / width).max(1));
    assert_eq!(beside.len(), num_rows, "every row has its place");
    let (values, beside) = (Parts::new(values), Parts::new(beside));
    run(num, num_rows.div_ceil(size), |task| {
        let rows = task * size..((task + 1) * size).min(num_rows);
        // SAFETY: tasks have different numbers, and so different rows.
        let (values, beside) = unsafe { (values.part(rows.start * width..rows.end * width), beside.part(rows.clone())) };
        rows.zip(values.chunks_exact_mut(width)).zip(beside).for_each(|((row, values), beside)| work(row, values, beside));
    });
}

/// Does `work` on pieces of arrays of the same length: the same piece of each. Any but the first may be empty instead: its pieces are
/// empty, too.
pub(crate) fn for_pieces<const N: usize>(arrays: [&mut [f32]; N], work: impl Fn([&mut [f32]; N]) + Sync) {
    let num = arrays.first().map_or(0, |array| array.len());
    assert!(arrays.iter().all(|array| array.len() == num || array.is_empty()), "arrays have one length");
    let arrays = arrays.map(Parts::new);
    run(num, num.div_ceil(NUMBERS_OF_A_TASK), |task| {
        let range = task * NUMBERS_OF_A_TASK..((task + 1) * NUMBERS_OF_A_TASK).min(num);
        // SAFETY: tasks have different numbers, and so different parts of each array; the arrays were lent one by one.
        work(arrays.each_ref().map(|array| unsafe { array.part(if array.len == 0 { 0..0 } else { range.clone() }) }));
    });
}

/// Does `work` on pieces of each row of `values` and `beside`, the same columns of both, and on those columns of `sums`, `[width]`, to which
/// it adds: row after row.
pub(crate) fn sum_rows(
    values: &mut [f32],
    beside: &[f32],
    width: usize,
    sums: &mut [f32],
    work: impl Fn(&mut [f32], &[f32], &mut [f32]) + Sync,
) {
    assert!(sums.len() == width && values.len() == beside.len(), "columns have their sums");
    if width == 0 {
        return;
    }
    let (num, num_rows) = (values.len(), values.len() / width);
    let (values, sums) = (Parts::new(values), Parts::new(sums));
    let size = if num >= WORTH_SHARING { COLUMNS_OF_A_TASK } else { width };
    run(num, width.div_ceil(size), |task| {
        let columns = task * size..((task + 1) * size).min(width);
        // SAFETY: tasks have different numbers, and so different columns.
        let sums = unsafe { sums.part(columns.clone()) };
        for row in 0..num_rows {
            let part = row * width + columns.start..row * width + columns.end;
            // SAFETY: as above; within a task one row comes after the other.
            work(unsafe { values.part(part.clone()) }, &beside[part], sums);
        }
    });
}

/// Adds up what `work` adds to its second argument at pieces of each row of `values`, `[row, width]`, the same columns of `sums`,
/// `[width]`: row after row.
pub(crate) fn sum_rows_of(values: &[f32], width: usize, sums: &mut [f32], work: impl Fn(&[f32], &mut [f32]) + Sync) {
    assert_eq!(sums.len(), width, "columns have their sums");
    if width == 0 {
        return;
    }
    let (num, sums) = (values.len(), Parts::new(sums));
    let size = if num >= WORTH_SHARING { COLUMNS_OF_A_TASK } else { width };
    run(num, width.div_ceil(size), |task| {
        let columns = task * size..((task + 1) * size).min(width);
        // SAFETY: tasks have different numbers, and so different columns.
        let sums = unsafe { sums.part(columns.clone()) };
        values.chunks_exact(width).for_each(|row| work(&row[columns.clone()], sums));
    });
}
