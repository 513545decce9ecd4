//! How few of many values carry a code.

/// The sparseness of Hoyer 2004, "Non-negative Matrix Factorization with Sparseness Constraints" (Eq. 4):
/// `(sqrt(n) - |z|_1 / |z|_2) / (sqrt(n) - 1)`, 1 where one value is not 0 and 0 where all are equally large. `None` for fewer than
/// two values and where all are 0.
pub fn hoyer_sparseness(code: &[f32]) -> Option<f64> {
    let root = (code.len() as f64).sqrt();
    let sum: f64 = code.iter().map(|&value| f64::from(value).abs()).sum();
    let norm = code.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    (code.len() > 1 && norm > 0.0).then(|| (root - sum / norm) / (root - 1.0))
}

/// The sparseness of Treves & Rolls 1991 in the form of Vinje & Gallant 2000: `(1 - mean(|z|)^2 / mean(z^2)) / (1 - 1 / n)`, with the
/// same extremes. `None` for fewer than two values and where all are 0.
pub fn treves_rolls_sparseness(code: &[f32]) -> Option<f64> {
    let num = code.len() as f64;
    let mean = code.iter().map(|&value| f64::from(value).abs()).sum::<f64>() / num;
    let mean_square = code.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / num;
    (code.len() > 1 && mean_square > 0.0).then(|| (1.0 - mean * mean / mean_square) / (1.0 - 1.0 / num))
}
