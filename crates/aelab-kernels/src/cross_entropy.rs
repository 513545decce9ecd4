//! The binary cross-entropy of one example from logits, in double precision.
//!
//! Each number is added up in an order that does not depend on the instruction set, without fused products: the result is the same
//! to the last bit on every machine with the same logarithm.

use crate::isa::compiled_for_each_isa;

/// Factors of `1 + exp(-|logit|)` per logarithm. Each is at most 2, so a product of 512 cannot overflow, and rounding costs at most
/// 512 units in the last place of a number of the size of its logarithm.
const FACTORS_PER_LOGARITHM: usize = 512;
const LANES: usize = 8;

/// `sum_j max(logit_j, 0) - x_j logit_j + ln(1 + exp(-|logit_j|))`, in nats.
///
/// # Panics
/// When there are not as many logits as values.
pub fn cross_entropy(x: &[f32], logits: &[f32]) -> f64 {
    assert_eq!(x.len(), logits.len(), "each value has its logit");
    let mut total = 0.0;
    for (x, logits) in x.chunks(FACTORS_PER_LOGARITHM).zip(logits.chunks(FACTORS_PER_LOGARITHM)) {
        let (linear, product) = linear_and_product(x, logits);
        total += linear + product.ln();
    }
    total
}

#[inline(always)]
fn linear_and_product_body<const FMA: bool>(x: &[f32], logits: &[f32]) -> (f64, f64) {
    // A loop of its own, which becomes vector instructions: with sums and products in it, it would not.
    let mut factors = [1.0; FACTORS_PER_LOGARITHM];
    for (factor, &logit) in factors.iter_mut().zip(logits) {
        *factor = 1.0 + exp_below_0(-f64::from(logit.abs()));
    }
    let mut terms = [0.0; FACTORS_PER_LOGARITHM];
    for ((term, &x), &logit) in terms.iter_mut().zip(x).zip(logits) {
        let positive = if logit > 0.0 { logit } else { 0.0 };
        *term = f64::from(positive) - f64::from(x) * f64::from(logit);
    }
    let (mut linear, mut product) = ([0.0; LANES], [1.0; LANES]);
    for (terms, factors) in terms.as_chunks::<LANES>().0.iter().zip(factors.as_chunks::<LANES>().0).take(x.len().div_ceil(LANES)) {
        for lane in 0..LANES {
            linear[lane] += terms[lane];
            product[lane] *= factors[lane];
        }
    }
    (linear.iter().sum(), product.iter().product())
}

compiled_for_each_isa! {
    /// The sum of `max(logit, 0) - x logit`, and the product of `1 + exp(-|logit|)`.
    fn linear_and_product(x: &[f32], logits: &[f32]) -> (f64, f64) = linear_and_product_body
}

/// `e^x` for `x <= 0`, to two units in the last place; zero where it would not be a normal number. Not-a-number goes through.
#[inline(always)]
fn exp_below_0(x: f64) -> f64 {
    const LOG2_E: f64 = std::f64::consts::LOG2_E;
    // ln 2 in two parts: the first has so few digits that its product with a whole number is exact.
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    // Adding and subtracting it rounds to a whole number, which then stands in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const SMALLEST: f64 = -708.0;
    // Of the series, 1 / 13! down to 1 / 2!: what follows is below 2^-53 for half of ln 2.
    const COEFFICIENTS: [f64; 12] = {
        let mut coefficients = [0.5; 12];
        let (mut factorial, mut index) = (2.0, 1);
        while index < 12 {
            factorial *= index as f64 + 2.0;
            coefficients[index] = 1.0 / factorial;
            index += 1;
        }
        coefficients
    };
    let shifted = x * LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    let mut series = COEFFICIENTS[11];
    for coefficient in COEFFICIENTS[..11].iter().rev() {
        series = series * rest + coefficient;
    }
    let mantissa = 1.0 + (rest + rest * rest * series);
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    if x < SMALLEST { 0.0 } else { mantissa * scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_exact_to_two_units_in_the_last_place() {
        for step in 0..=200_000 {
            let x = -708.0 * f64::from(step) / 200_000.0;
            let (found, exact) = (exp_below_0(x), x.exp());
            assert!((found - exact).abs() <= 2.0 * f64::EPSILON * exact, "{x}: {found} is not {exact}");
        }
        assert_eq!([0.0, -0.0, -709.0, -1e300, f64::NEG_INFINITY].map(exp_below_0), [1.0, 1.0, 0.0, 0.0, 0.0]);
        assert!(exp_below_0(f64::NAN).is_nan());
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits_and_those_of_the_plain_expression_to_rounding() {
        for num in [0, 1, 7, 8, 9, 511, 512, 513, 784, 1500] {
            let x: Vec<f32> = (0..num).map(|index| (index * 37 % 101) as f32 / 100.0).collect();
            let logits: Vec<f32> = (0..num).map(|index| ((index * 7919) % 10_007) as f32 / 250.0 - 20.0).collect();
            let plain: f64 = x
                .iter()
                .zip(&logits)
                .map(|(&x, &logit)| (f64::from(x), f64::from(logit)))
                .map(|(x, logit)| logit.max(0.0) - x * logit + (-logit.abs()).exp().ln_1p())
                .sum();
            let rounding = num as f64 * f64::EPSILON;
            assert!((cross_entropy(&x, &logits) - plain).abs() <= rounding + 1e-14 * plain, "{num}");
            let num = num.min(FACTORS_PER_LOGARITHM);
            let (found, portable) =
                (linear_and_product(&x[..num], &logits[..num]), linear_and_product_body::<false>(&x[..num], &logits[..num]));
            assert_eq!(found, portable, "{num}");
        }
    }
}
