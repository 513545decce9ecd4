//! Rows on all threads of the process, where there are enough numbers to be worth it. What is summed is summed in an order
//! that does not depend on the number of threads.

use rayon::prelude::*;

/// Fewer numbers than this are done faster by one thread than shared out.
const WORTH_SHARING: usize = 1 << 16;
/// Rows whose sums are taken together.
const ROWS_OF_A_SUM: usize = 32;

fn is_worth_sharing(len: usize) -> bool {
    len >= WORTH_SHARING && rayon::current_num_threads() > 1
}

/// Does `work` on each row of `values`, `[row, width]`.
pub(crate) fn for_rows(values: &mut [f32], width: usize, work: impl Fn(&mut [f32]) + Sync) {
    if is_worth_sharing(values.len()) {
        values.par_chunks_mut(width * ROWS_OF_A_SUM).for_each(|rows| rows.chunks_exact_mut(width).for_each(&work));
    } else {
        values.chunks_exact_mut(width).for_each(work);
    }
}

/// Does `work` on the number of each row, the row of `values`, `[row, width]`, and that row's place in `beside`, `[row]`.
pub(crate) fn rows_with_values(values: &mut [f32], width: usize, beside: &mut [f32], work: impl Fn(usize, &mut [f32], &mut f32) + Sync) {
    let block = |(index, (values, beside)): (usize, (&mut [f32], &mut [f32]))| {
        let rows = values.chunks_exact_mut(width).zip(beside).enumerate();
        rows.for_each(|(row, (values, beside))| work(index * ROWS_OF_A_SUM + row, values, beside));
    };
    if is_worth_sharing(values.len()) {
        let blocks = values.par_chunks_mut(width * ROWS_OF_A_SUM).zip(beside.par_chunks_mut(ROWS_OF_A_SUM)).enumerate();
        blocks.for_each(block);
    } else {
        block((0, (values, beside)));
    }
}

/// Does `work` on each row of `values` and `beside`, and adds up what it adds to its third argument, `[width]`.
pub(crate) fn sum_rows(
    values: &mut [f32],
    beside: &[f32],
    width: usize,
    sums: &mut [f32],
    work: impl Fn(&mut [f32], &[f32], &mut [f32]) + Sync,
) {
    let block = width * ROWS_OF_A_SUM;
    let of_block = |(values, beside): (&mut [f32], &[f32])| {
        let mut sums = vec![0.0; width];
        values.chunks_exact_mut(width).zip(beside.chunks_exact(width)).for_each(|(values, beside)| work(values, beside, &mut sums));
        sums
    };
    let add = |block: &[f32], sums: &mut [f32]| sums.iter_mut().zip(block).for_each(|(sum, part)| *sum += part);
    if is_worth_sharing(values.len()) {
        let blocks: Vec<Vec<f32>> = values.par_chunks_mut(block).zip(beside.par_chunks(block)).map(of_block).collect();
        blocks.iter().for_each(|block| add(block, sums));
    } else {
        values.chunks_mut(block).zip(beside.chunks(block)).map(of_block).for_each(|block| add(&block, sums));
    }
}

/// Adds up what `work` adds to its second argument, `[width]`, at each row of `values`, `[row, width]`.
pub(crate) fn sum_rows_of(values: &[f32], width: usize, sums: &mut [f32], work: impl Fn(&[f32], &mut [f32]) + Sync) {
    let of_block = |values: &[f32]| {
        let mut sums = vec![0.0; width];
        values.chunks_exact(width).for_each(|values| work(values, &mut sums));
        sums
    };
    let add = |block: &[f32], sums: &mut [f32]| sums.iter_mut().zip(block).for_each(|(sum, part)| *sum += part);
    let block = width * ROWS_OF_A_SUM;
    if is_worth_sharing(values.len()) {
        let blocks: Vec<Vec<f32>> = values.par_chunks(block).map(of_block).collect();
        blocks.iter().for_each(|block| add(block, sums));
    } else {
        values.chunks(block).map(of_block).for_each(|block| add(&block, sums));
    }
}
