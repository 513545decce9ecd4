//! Bytes, as images are stored in, on their way to numbers.

use std::mem::MaybeUninit;

use crate::isa::compiled_for_each_isa;

/// `byte high + byte low`, each product and the sum rounded, whatever the instruction set: of well chosen parts it is a quotient to
/// the last bit.
#[inline(always)]
pub fn fraction(byte: u8, [high, low]: [f32; 2]) -> f32 {
    f32::from(byte) * high + f32::from(byte) * low
}

/// Appends [`fraction`] of each byte.
pub fn append_fractions(bytes: &[u8], parts: [f32; 2], out: &mut Vec<f32>) {
    out.reserve(bytes.len());
    let start = out.len();
    write_fractions(bytes, parts, &mut out.spare_capacity_mut()[..bytes.len()]);
    // SAFETY: there was room for as many numbers as bytes, and each has been written.
    unsafe { out.set_len(start + bytes.len()) }
}

#[inline(always)]
fn write_fractions_body<const FMA: bool>(bytes: &[u8], parts: [f32; 2], out: &mut [MaybeUninit<f32>]) {
    assert_eq!(bytes.len(), out.len(), "each byte has its place");
    for (out, byte) in out.iter_mut().zip(bytes) {
        out.write(fraction(*byte, parts));
    }
}

compiled_for_each_isa! {
    /// Writes every number of `out`, which is as long as `bytes`.
    fn write_fractions(bytes: &[u8], parts: [f32; 2], out: &mut [MaybeUninit<f32>]) = write_fractions_body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_the_fraction_of_each_byte_to_the_last_bit() {
        let parts = [0.003_921_5, 8.6e-8];
        for num in [0, 1, 15, 16, 63, 64, 65, 784] {
            let bytes: Vec<u8> = (0..num).map(|index| (index * 37 % 256) as u8).collect();
            let mut out = vec![-1.0];
            append_fractions(&bytes, parts, &mut out);
            let expected: Vec<u32> =
                bytes.iter().map(|byte| (f32::from(*byte) * parts[0] + f32::from(*byte) * parts[1]).to_bits()).collect();
            assert_eq!(out[0], -1.0);
            assert_eq!(out[1..].iter().map(|value| value.to_bits()).collect::<Vec<_>>(), expected);
        }
    }
}
