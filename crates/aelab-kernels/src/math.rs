//! Elementary functions of one number, without branches, so that a loop over them becomes vector instructions.
//!
//! Relative errors stay below 3e-7 where the result is a normal number. Not-a-number goes through.

/// `a b + c`, in one rounding where `FMA`.
#[inline(always)]
pub(crate) fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x`; from 88.37 on infinite, below -87.33, where it would not be a normal number, zero.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts: the first has so few digits that its product with a whole number is exact.
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting it rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LARGEST: f32 = 88.37;
    const SMALLEST: f32 = -87.33;
    let shifted = multiply_add::<FMA>(x, LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = multiply_add::<FMA>(whole, -LN_2_HIGH, x);
    let rest = multiply_add::<FMA>(whole, -LN_2_LOW, rest);
    // Minimax coefficients of (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, as in the Cephes library.
    let mut polynomial = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        polynomial = multiply_add::<FMA>(polynomial, rest, coefficient);
    }
    let mantissa = multiply_add::<FMA>(polynomial, rest * rest, rest) + 1.0;
    let scale = f32::from_bits(shifted.to_bits().wrapping_shl(23).wrapping_add(0x3f80_0000));
    // Comparisons that are false for not-a-number let it through.
    let value = if x > LARGEST { f32::INFINITY } else { mantissa * scale };
    if x < SMALLEST { 0.0 } else { value }
}

/// `log(1 + t)` for `t` of [0, 1].
#[inline(always)]
pub(crate) fn log_1p<const FMA: bool>(t: f32) -> f32 {
    const LN_2: f32 = std::f32::consts::LN_2;
    // 1 + t = 2^e (1 + z) with z around 0; both forms of z are exact. By sums and products, as a choice between them has the
    // compiler work out both logarithms.
    let exponent = if t > 0.414_213_57 { 1.0 } else { 0.0 };
    let z = (t - exponent) * (1.0 - 0.5 * exponent);
    log_near_1::<FMA>(z) + LN_2 * exponent
}

/// `log x` of a positive normal number.
#[inline(always)]
pub(crate) fn log<const FMA: bool>(x: f32) -> f32 {
    // The root of 1/2, so that the fraction lies around 1, in [0.71, 1.42).
    const ROOT_HALF: u32 = 0x3f35_04f3;
    let exponent = (x.to_bits().wrapping_sub(ROOT_HALF) as i32) >> 23;
    let fraction = f32::from_bits(x.to_bits().wrapping_sub((exponent as u32) << 23));
    let exponent = exponent as f32;
    // ln 2 in two parts, the product with the first being exact.
    let log = log_near_1::<FMA>(fraction - 1.0);
    multiply_add::<FMA>(exponent, 355.0 / 512.0, multiply_add::<FMA>(exponent, -2.121_944_4e-4, log))
}

/// `log(1 + z)` for `z` of [-0.3, 0.42], by the coefficients of the Cephes library.
#[inline(always)]
fn log_near_1<const FMA: bool>(z: f32) -> f32 {
    let mut polynomial = 7.037_683_6e-2;
    for coefficient in
        [-1.151_461e-1, 1.167_699_9e-1, -1.242_014_1e-1, 1.424_932_3e-1, -1.666_805_8e-1, 2.000_071_5e-1, -2.499_999_4e-1, 3.333_333e-1]
    {
        polynomial = multiply_add::<FMA>(polynomial, z, coefficient);
    }
    let square = z * z;
    multiply_add::<FMA>(polynomial * z, square, multiply_add::<FMA>(square, -0.5, z))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// `tanh x`.
#[inline(always)]
pub(crate) fn tanh<const FMA: bool>(x: f32) -> f32 {
    let magnitude = x.abs();
    let far = 1.0 - 2.0 / (exp::<FMA>(magnitude + magnitude) + 1.0);
    let square = x * x;
    let mut polynomial = -5.704_988_7e-3;
    for coefficient in [2.063_909e-2, -5.373_971_5e-2, 1.333_144_2e-1, -3.333_328e-1] {
        polynomial = multiply_add::<FMA>(polynomial, square, coefficient);
    }
    let near = multiply_add::<FMA>(polynomial * square, x, x);
    if magnitude < 0.625 { near } else { far.copysign(x) }
}

/// `log(1 + e^x)`.
#[inline(always)]
pub(crate) fn softplus<const FMA: bool>(x: f32) -> f32 {
    let positive = if x < 0.0 { 0.0 } else { x };
    positive + log_1p::<FMA>(exp::<FMA>(-x.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest relative error over a fine grid.
    fn worst(low: f64, high: f64, found: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        (0..=200_000)
            .map(|step| {
                let x = (low + (high - low) * f64::from(step) / 200_000.0) as f32;
                let exact = exact(f64::from(x));
                if exact == 0.0 { f64::from(found(x)).abs() } else { ((f64::from(found(x)) - exact) / exact).abs() }
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn functions_are_exact_to_a_few_units_in_the_last_place() {
        let softplus_exact = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        for (name, error) in [
            ("exp", worst(-87.0, 88.0, exp::<true>, f64::exp)),
            ("exp, portable", worst(-87.0, 88.0, exp::<false>, f64::exp)),
            ("log_1p", worst(0.0, 1.0, log_1p::<true>, f64::ln_1p)),
            ("log_1p, portable", worst(1e-9, 1e-3, log_1p::<false>, f64::ln_1p)),
            ("log", worst(1e-6, 50.0, log::<true>, f64::ln)),
            ("log, portable", worst(0.5, 3.0, log::<false>, f64::ln)),
            ("sigmoid", worst(-80.0, 80.0, sigmoid::<true>, |x| 1.0 / (1.0 + (-x).exp()))),
            ("tanh", worst(-20.0, 20.0, tanh::<true>, f64::tanh)),
            ("tanh, portable", worst(-0.7, 0.7, tanh::<false>, f64::tanh)),
            ("softplus", worst(-80.0, 80.0, softplus::<true>, softplus_exact)),
        ] {
            assert!(error < 3e-7, "{name}: {error:e}");
        }
    }

    #[test]
    fn what_is_too_large_is_infinite_and_what_is_too_small_is_zero() {
        for (x, expected) in [(88.5, f32::INFINITY), (1e4, f32::INFINITY), (f32::INFINITY, f32::INFINITY), (-88.0, 0.0), (-1e30, 0.0)] {
            assert_eq!((exp::<true>(x), exp::<false>(x)), (expected, expected), "{x}");
        }
        assert_eq!((sigmoid::<true>(-1e4), softplus::<true>(-1e4)), (0.0, 0.0));
    }

    #[test]
    fn what_is_no_number_stays_none_and_far_arguments_stay_finite() {
        for function in [exp::<true>, sigmoid::<true>, tanh::<true>, softplus::<true>, sigmoid::<false>, tanh::<false>] {
            assert!(function(f32::NAN).is_nan());
            for x in [-1e30, -1e4, 80.0] {
                assert!(function(x).is_finite(), "{x}");
            }
        }
        assert_eq!((sigmoid::<true>(1e4), tanh::<true>(-1e4), softplus::<true>(1e4)), (1.0, -1.0, 1e4));
    }
}
