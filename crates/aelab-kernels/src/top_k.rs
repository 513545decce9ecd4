//! Keeping the largest numbers of each row.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use crate::fused::{Fused, fused};
use crate::isa::compiled_for_each_isa;
use crate::parallel::for_bands;
use crate::primitive::{is_ours, numbers, tensor_of};

/// The `k` largest of each row as they are, 0 in place of the others: `[batch, unit]` to the same. Of equal numbers the one
/// further left is kept; the order is that of `f32::total_cmp`. Gradients pass through what is kept. `None` where the tensor is
/// not on `flex`.
pub fn keep_largest(z: &Tensor<2>, k: usize) -> Option<Tensor<2>> {
    (is_ours(z) && !z.dims().contains(&0)).then(|| fused([z], KeepLargest { k }))
}

#[derive(Debug)]
struct KeepLargest {
    k: usize,
}

/// A number whose order among unsigned ones is that of `value` among floating-point ones.
#[inline(always)]
fn key(value: f32) -> u32 {
    let bits = value.to_bits();
    bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000)
}

#[inline(always)]
fn count(keys: &[u32], least: u32) -> usize {
    const LANES: usize = 32;
    let mut counts = [0_u32; LANES];
    let parts = keys.chunks_exact(LANES);
    let rest = parts.remainder().iter().filter(|key| **key >= least).count();
    for part in parts {
        for lane in 0..LANES {
            counts[lane] += u32::from(part[lane] >= least);
        }
    }
    counts.iter().sum::<u32>() as usize + rest
}

/// Bits that are found over all keys; the others over those keys alone that share them.
const COMMON_BITS: u32 = 12;

/// The largest number that at least `k` keys reach, and how many reach it; found bit by bit. `0 < k <= keys.len()`. `few` is
/// room to work in.
#[inline(always)]
fn threshold_body<const FMA: bool>(keys: &mut [u32], few: &mut Vec<u32>, row: &[f32], k: usize) -> (u32, usize) {
    keys.iter_mut().zip(row).for_each(|(place, value)| *place = key(*value));
    let (mut found, mut reaching) = (0_u32, keys.len());
    let mut take = |bits: std::ops::Range<u32>, keys: &[u32], above: usize| {
        for bit in bits.rev() {
            if reaching == k {
                break;
            }
            let higher = found | 1 << bit;
            let num = above + count(keys, higher);
            if num >= k {
                (found, reaching) = (higher, num);
            }
        }
        (found, reaching)
    };
    let (prefix, reaching) = take(32 - COMMON_BITS..32, keys, 0);
    if reaching == k {
        return (prefix, reaching);
    }
    few.clear();
    few.extend(keys.iter().filter(|key| **key >> (32 - COMMON_BITS) == prefix >> (32 - COMMON_BITS)));
    take(0..32 - COMMON_BITS, few, reaching - few.len())
}

compiled_for_each_isa! {
    fn threshold(keys: &mut [u32], few: &mut Vec<u32>, row: &[f32], k: usize) -> (u32, usize) = threshold_body
}

/// Where the `k` largest of `row` stand, from left to right, to `kept`, `[k]`. `keys`, `[row.len()]`, and `few` are room to
/// work in; `0 < k <= row.len()`.
fn largest(keys: &mut [u32], few: &mut Vec<u32>, row: &[f32], kept: &mut [u32]) {
    let k = kept.len();
    let (least, reaching) = threshold(keys, few, row, k);
    // Where more reach the threshold than are kept, those further right that equal it are left out.
    let mut equal = if reaching > k { k - keys.iter().filter(|key| **key > least).count() } else { usize::MAX };
    let mut kept = kept.iter_mut();
    for (unit, key) in keys.iter().enumerate() {
        if *key > least || (*key == least && equal > 0) {
            equal -= usize::from(*key == least);
            if let Some(place) = kept.next() {
                *place = unit as u32;
            }
        }
    }
}

/// Rows of a task.
const ROWS: usize = 8;

/// Where the `k` largest of each row of `values`, `[batch, width]`, stand, from left to right: `[batch, k]`. `0 < k <= width`.
pub(crate) fn largest_of_rows(values: &[f32], width: usize, k: usize) -> Vec<u32> {
    let mut kept = vec![0; values.len() / width * k];
    for_bands(&mut kept, ROWS * k, values.len(), |band, kept| {
        let (mut keys, mut few) = (vec![0; width], Vec::new());
        let rows = values[band * ROWS * width..].chunks_exact(width);
        rows.zip(kept.chunks_exact_mut(k)).for_each(|(row, kept)| largest(&mut keys, &mut few, row, kept));
    });
    kept
}

impl Fused<1> for KeepLargest {
    /// Where what is kept stands, as in [`largest_of_rows`].
    type State = Vec<u32>;

    fn forward(&self, [z]: [FlexTensor; 1], _needs: [bool; 1]) -> (FlexTensor, Vec<u32>) {
        let shape = z.layout().shape().clone();
        let (batch, width) = (shape[0], shape[1]);
        let k = self.k.min(width);
        let mut output = vec![0.0; batch * width];
        let kept = if k > 0 { largest_of_rows(numbers(&z), width, k) } else { Vec::new() };
        let rows = numbers(&z).chunks_exact(width).zip(output.chunks_exact_mut(width));
        for ((row, output), kept) in rows.zip(kept.chunks_exact(k.max(1))) {
            kept.iter().for_each(|unit| output[*unit as usize] = row[*unit as usize]);
        }
        (tensor_of(output, shape), kept)
    }

    fn backward(&self, gradient: FlexTensor, kept: Vec<u32>, _needs: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let shape = gradient.layout().shape().clone();
        let (batch, width) = (shape[0], shape[1]);
        let mut passed = vec![0.0; shape.num_elements()];
        let rows = passed.chunks_exact_mut(width).zip(numbers(&gradient).chunks_exact(width));
        for ((passed, gradient), kept) in rows.zip(kept.chunks_exact((kept.len() / batch).max(1))) {
            kept.iter().for_each(|unit| passed[*unit as usize] = gradient[*unit as usize]);
        }
        [Some(tensor_of(passed, shape))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_numbers_are() {
        let rising = [-f32::NAN, f32::NEG_INFINITY, -2.0, -1e-40, -0.0, 0.0, 1e-40, 1.0, f32::INFINITY, f32::NAN];
        assert!(rising.windows(2).all(|pair| key(pair[0]) < key(pair[1])));
    }
}
