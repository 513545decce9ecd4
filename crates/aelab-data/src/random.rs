//! Draws for data that is made here, written out so that no library version changes a data set.

use std::f64::consts::TAU;

use aelab_core::{Purpose, Stream, stream};
use rand::Rng;

/// Keeps what a set is made of apart from its static binarization, which is drawn by part and row.
const MADE: u64 = 1 << 32;

/// The stream that example `row` of a set is made of. Fewer examples are thus a part of more.
pub(crate) fn made(data_seed: u64, row: usize) -> Stream {
    stream(data_seed, Purpose::Transform, MADE, row as u64)
}

/// The stream of what all examples of a set share.
pub(crate) fn shared(data_seed: u64) -> Stream {
    stream(data_seed, Purpose::Transform, MADE + 1, 0)
}

/// Uniform in [0, 1), a multiple of 2^-53.
pub(crate) fn uniform(stream: &mut Stream) -> f64 {
    (stream.next_u64() >> 11) as f64 * 2f64.powi(-53)
}

/// Uniform in `[low, high)`.
pub(crate) fn between(stream: &mut Stream, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * uniform(stream)
}

/// Uniform among `0..count`; 64 random bits leave a bias below 2^-32 for any count that fits into memory.
pub(crate) fn below(stream: &mut Stream, count: usize) -> usize {
    ((u128::from(stream.next_u64()) * count as u128) >> 64) as usize
}

/// Standard normal, by Box and Muller; the second of the pair is not used.
pub(crate) fn normal(stream: &mut Stream) -> f64 {
    // 1 - u lies in (0, 1], whose logarithm is finite.
    let radius = (-2.0 * (1.0 - uniform(stream)).ln()).sqrt();
    radius * (TAU * uniform(stream)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let mut stream = shared(3);
        let count = 200_000;
        let moments = |draws: Vec<f64>| {
            let mean = draws.iter().sum::<f64>() / count as f64;
            (mean, draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / count as f64)
        };
        let (mean, variance) = moments((0..count).map(|_| normal(&mut stream)).collect());
        // Standard errors: 1 / sqrt(200,000) = 0.0022 and sqrt(2 / 200,000) = 0.0032.
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.015, "{mean} {variance}");
        let (mean, variance) = moments((0..count).map(|_| between(&mut stream, [-1.0, 3.0])).collect());
        assert!((mean - 1.0).abs() < 0.012 && (variance - 16.0 / 12.0).abs() < 0.015, "{mean} {variance}");
        let mut counts = [0; 3];
        (0..30_000).for_each(|_| counts[below(&mut stream, 3)] += 1);
        // Standard deviation of each count: sqrt(30,000 * 2 / 9) = 82.
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
    }
}
