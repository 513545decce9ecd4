//! Sums of columns and of their squares.

use crate::isa::compiled_for_each_isa;

/// Products are rounded before they are added, whatever the instruction set: the sums are a fingerprint of the numbers.
#[inline(always)]
fn add_moments_body<const FMA: bool>(rows: &[f32], sums: &mut [f64], squares: &mut [f64]) {
    assert_eq!(sums.len(), squares.len(), "each column has both sums");
    for row in rows.chunks_exact(sums.len().max(1)) {
        for ((sum, square), value) in sums.iter_mut().zip(&mut *squares).zip(row) {
            let value = f64::from(*value);
            *sum += value;
            *square += value * value;
        }
    }
}

compiled_for_each_isa! {
    /// Adds each number of `rows`, `[row, column]`, to the sum of its column and its square to that of the squares, both `[column]`.
    ///
    /// # Panics
    /// When there are not as many sums as sums of squares.
    pub fn add_moments(rows: &[f32], sums: &mut [f64], squares: &mut [f64]) = add_moments_body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::on_each_isa;

    #[test]
    fn sums_are_the_same_to_the_last_bit_with_every_instruction_set() {
        for width in [1, 3, 8, 37] {
            let rows: Vec<f32> = (0..width * 23).map(|index| ((index * 7919 % 1009) as f32 - 500.0) / 37.0).collect();
            let mut expected = vec![[0.0; 2]; width];
            for (index, &value) in rows.iter().enumerate() {
                let value = f64::from(value);
                let [sum, square] = &mut expected[index % width];
                (*sum, *square) = (*sum + value, *square + value * value);
            }
            on_each_isa(|isa| {
                let (mut sums, mut squares) = (vec![0.0; width], vec![0.0; width]);
                add_moments(&rows, &mut sums, &mut squares);
                let found: Vec<[f64; 2]> = sums.into_iter().zip(squares).map(<[f64; 2]>::from).collect();
                assert_eq!(found, expected, "{isa:?}");
            });
        }
    }
}
