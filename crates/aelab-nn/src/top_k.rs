//! Keeping the largest values of each row.

use burn::tensor::{Bool, Tensor, TensorData};

/// The `k` largest values of each row as they are, and 0 in place of the others: `[batch, unit]` to the same.
///
/// Exactly `k` are kept (all, where a row has no more): of equal values the one further left. Gradients pass
/// through what is kept and not through the rest. The choice is the same on every backend.
pub fn keep_largest(z: Tensor<2>, k: usize) -> Tensor<2> {
    aelab_kernels::keep_largest(&z, k).unwrap_or_else(|| plain(z, k))
}

/// The same with a choice made on the host, for other backends.
fn plain(z: Tensor<2>, k: usize) -> Tensor<2> {
    let dropped = all_but_largest(&z, k);
    z.mask_fill(dropped, 0.0)
}

/// True where a value is not among the `k` largest of its row.
fn all_but_largest(z: &Tensor<2>, k: usize) -> Tensor<2, Bool> {
    let [batch, width] = z.dims();
    let values: Vec<f32> = z.clone().detach().into_data().convert::<f32>().try_to_vec().expect("values were converted");
    let mut dropped = vec![k < width; batch * width];
    let mut order: Vec<usize> = Vec::with_capacity(width);
    for (row, dropped) in values.chunks(width.max(1)).zip(dropped.chunks_mut(width.max(1))) {
        if k == 0 || k >= width {
            continue;
        }
        order.clear();
        order.extend(0..width);
        // The index breaks ties, so the order is strict and what is kept a function of the values alone.
        order.select_nth_unstable_by(k - 1, |&left, &right| row[right].total_cmp(&row[left]).then(left.cmp(&right)));
        order[..k].iter().for_each(|&kept| dropped[kept] = false);
    }
    Tensor::from_data(TensorData::new(dropped, [batch, width]), &z.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn kept(rows: [[f32; 5]; 2], k: usize) -> Vec<f32> {
        keep_largest(Tensor::from_data(rows, &Device::flex()), k).into_data().try_to_vec().unwrap()
    }

    #[test]
    fn the_largest_of_each_row_are_kept_by_value_and_not_by_magnitude() {
        let rows = [[0.1, -5.0, 3.0, 2.0, 0.0], [-1.0, -2.0, -3.0, -0.5, -4.0]];
        assert_eq!(kept(rows, 2), [0.0, 0.0, 3.0, 2.0, 0.0, -1.0, 0.0, 0.0, -0.5, 0.0]);
        assert_eq!(kept(rows, 9), rows.concat());
        assert_eq!(kept(rows, 0), [0.0; 10]);
    }

    #[test]
    fn of_equal_values_the_ones_further_left_are_kept() {
        assert_eq!(kept([[1.0; 5], [0.0, 2.0, 1.0, 1.0, 2.0]], 3), [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 2.0, 1.0, 0.0, 2.0]);
    }

    #[test]
    fn the_kernel_and_the_host_choose_alike() {
        let device = Device::flex();
        let mut state = 1_u32;
        for width in [1, 7, 33, 130] {
            let values: Vec<f32> = (0..3 * width)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Coarse, so that many are equal, and zeros of both signs are among them.
                    ((state >> 24) as f32 / 64.0).floor() * if state & 1 == 0 { -1.0 } else { 1.0 }
                })
                .collect();
            for k in [1, 2, width / 2, width] {
                let z = Tensor::<2>::from_data(TensorData::new(values.clone(), [3, width]), &device);
                let bits = |z: Tensor<2>| z.into_data().try_to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect::<Vec<u32>>();
                assert_eq!(bits(keep_largest(z.clone(), k)), bits(plain(z, k)), "{k} of {width}");
            }
        }
    }

    #[test]
    fn gradients_pass_through_what_is_kept_alone() {
        let z = Tensor::<2>::from_data([[1.0, 3.0, 2.0]], &Device::flex().autodiff()).require_grad();
        let gradients = (keep_largest(z.clone(), 2) * 7.0).sum().backward();
        let gradient: Vec<f32> = z.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
        assert_eq!(gradient, [0.0, 7.0, 7.0]);
    }
}
