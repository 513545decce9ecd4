//! Numbers as text: exact for files, rounded for people.

/// The shortest text that reads back as exactly this number; `NaN`, `inf` and `-inf` otherwise.
pub(crate) fn exact(value: f64) -> String {
    let magnitude = value.abs();
    if value.is_finite() && magnitude != 0.0 && !(1e-5..1e16).contains(&magnitude) { format!("{value:e}") } else { format!("{value}") }
}

/// Decimal exponent of the first digit: 2 for 345, -3 for 0.002.
fn exponent(value: f64) -> i32 {
    if value == 0.0 || !value.is_finite() { 0 } else { value.abs().log10().floor() as i32 }
}

/// Rounded to `digits` significant digits.
pub(crate) fn significant(value: f64, digits: i32) -> String {
    if !value.is_finite() {
        return exact(value);
    }
    let exponent = exponent(value);
    if (-4..7).contains(&exponent) {
        format!("{value:.*}", (digits - 1 - exponent).max(0) as usize)
    } else {
        format!("{value:.*e}", (digits - 1).max(0) as usize)
    }
}

/// `12.34 ± 0.56`: the deviation with two digits, the mean with as many decimals.
pub(crate) fn mean_and_deviation(mean: f64, deviation: Option<f64>) -> String {
    match deviation {
        Some(deviation) if mean.is_finite() && deviation.is_finite() => {
            let magnitude = exponent(mean).max(exponent(deviation));
            if deviation == 0.0 {
                format!("{} ± 0", significant(mean, 5))
            } else if (-4..7).contains(&magnitude) {
                // More than seven digits of the mean would be noise even where seeds agree so well.
                let decimals = (1 - exponent(deviation)).clamp(0, (6 - exponent(mean)).max(0)) as usize;
                format!("{mean:.decimals$} ± {deviation:.decimals$}")
            } else {
                format!("{mean:.3e} ± {deviation:.1e}")
            }
        }
        _ => significant(mean, 5),
    }
}

/// A value of a hyperparameter on an axis or in a legend: `0.001`, `64`, `10⁻⁵`, `3.16·10⁻⁵`.
pub(crate) fn label(value: f64) -> String {
    if !value.is_finite() {
        return exact(value);
    }
    let exponent = exponent(value);
    if value == 0.0 || (-3..6).contains(&exponent) {
        // Counts keep their digits; what a logarithmic range makes of fractions does not need them.
        let digits = if value.abs() < 10.0 { 2 } else { 5 };
        let rounded: f64 = format!("{value:.digits$e}").parse().unwrap_or(value);
        return exact(rounded).replace('-', "−");
    }
    let mantissa: f64 = format!("{:.2e}", value).split('e').next().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let power = power_of_ten(if mantissa.abs() >= 10.0 { exponent + 1 } else { exponent });
    match mantissa {
        1.0 => power,
        -1.0 => format!("−{power}"),
        _ => format!("{}·{power}", exact(mantissa).replace('-', "−")),
    }
}

/// `10⁻⁵`.
pub(crate) fn power_of_ten(exponent: i32) -> String {
    let superscript = |digit: char| match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        other => other.to_digit(10).and_then(|digit| char::from_u32('⁰' as u32 + digit)).unwrap_or(other),
    };
    format!("10{}", exponent.to_string().chars().map(superscript).collect::<String>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_digits_of_the_deviation_decide() {
        assert_eq!(mean_and_deviation(12.3456, Some(0.0567)), "12.346 ± 0.057");
        assert_eq!(mean_and_deviation(1234.56, Some(78.9)), "1235 ± 79");
        assert_eq!(mean_and_deviation(0.5, None), "0.50000");
        assert_eq!(mean_and_deviation(12.5, Some(0.0)), "12.500 ± 0");
        assert_eq!(mean_and_deviation(12.3456, Some(1e-9)), "12.34560 ± 0.00000");
        assert_eq!(mean_and_deviation(1.5e-7, Some(2e-8)), "1.500e-7 ± 2.0e-8");
        assert_eq!(mean_and_deviation(f64::NAN, Some(1.0)), "NaN");
    }

    #[test]
    fn labels_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (0.001, "0.001"),
            (0.30000000000000004, "0.3"),
            (64.0, "64"),
            (1024.0, "1024"),
            (0.0031622776601683795, "0.00316"),
            (1e-5, "10⁻⁵"),
            (3.1622776601683795e-5, "3.16·10⁻⁵"),
            (-1e10, "−10¹⁰"),
            (1e6, "10⁶"),
        ] {
            assert_eq!(label(value), expected);
        }
    }

    proptest! {
        #[test]
        fn exact_text_reads_back_as_the_same_number(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            let read: f64 = exact(value).parse().unwrap();
            prop_assert!(read == value || (read.is_nan() && value.is_nan()));
        }

        #[test]
        fn rounding_never_panics(bits in any::<u64>(), other in any::<u64>()) {
            let (value, other) = (f64::from_bits(bits), f64::from_bits(other));
            prop_assert!(!significant(value, 4).is_empty() && !label(value).is_empty());
            prop_assert!(!mean_and_deviation(value, Some(other.abs())).is_empty());
        }
    }
}
