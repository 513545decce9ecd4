//! PSNR: peak signal-to-noise ratio in decibels, from the mean squared error of the whole split.

/// `10 log10(1 / mse)`: the peak signal-to-noise ratio of data in [0, 1]. Infinite for an error of 0.
///
/// The mean squared error is taken over all examples first. The mean of the ratios of single images is
/// another, larger number.
pub fn psnr(mse: f64) -> f64 {
    -10.0 * mse.log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_error_is_ten_decibels_more() {
        assert!((psnr(0.25) - 6.020599913279624).abs() < 1e-12);
        assert!((psnr(0.025) - psnr(0.25) - 10.0).abs() < 1e-12);
        assert_eq!(psnr(0.0), f64::INFINITY);
    }
}
