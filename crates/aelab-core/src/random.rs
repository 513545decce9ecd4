//! Random numbers are derived, never carried.
//!
//! A stream is a function of (seed, purpose, epoch, step). So a resumed run, another executor and
//! another order of trials all draw the same numbers, and nothing about randomness has to be saved.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// A stream of random numbers: portable, value-stable, independent of the platform.
pub type Stream = ChaCha8Rng;

/// What a stream is drawn for. Two purposes never share numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Initial weights.
    Initialization,
    /// Which example goes to which split.
    Split,
    /// Order of the training examples within an epoch.
    Shuffle,
    /// A transform of the data: static or dynamic binarisation, derived data sets.
    Transform,
    /// Noise inside the model during training: corruption, reparameterisation, dropout.
    Training,
    /// Noise inside the model during validation: the same in every epoch, so that epochs compare.
    Validation,
    /// What a model takes from the data before its first step or after its last.
    DataDependent,
    /// Noise of metrics and samples.
    Evaluation,
    /// What a search tries next.
    Search,
}

impl Purpose {
    /// A name that enters the derivation; changing one changes every result.
    fn name(self) -> &'static str {
        match self {
            Purpose::Initialization => "initialization",
            Purpose::Split => "split",
            Purpose::Shuffle => "shuffle",
            Purpose::Transform => "transform",
            Purpose::Training => "training",
            Purpose::Validation => "validation",
            Purpose::DataDependent => "data dependent",
            Purpose::Evaluation => "evaluation",
            Purpose::Search => "search",
        }
    }
}

/// The stream for `purpose` at `epoch` and `step`, derived by SHA-256.
pub fn stream(seed: u64, purpose: Purpose, epoch: u64, step: u64) -> Stream {
    let mut hash = Sha256::new();
    hash.update(b"aelab stream 1\0");
    hash.update(purpose.name().as_bytes());
    for number in [seed, epoch, step] {
        hash.update(number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// `num` positions of examples, drawn from `0..len`: all different where there are enough, each as often as possible alike otherwise.
///
/// # Panics
/// When positions are asked for and there are none.
pub fn draw_positions(stream: &mut Stream, num: usize, len: usize) -> Vec<usize> {
    assert!(num == 0 || len > 0, "there are no positions to draw from");
    let mut drawn = Vec::with_capacity(num);
    while drawn.len() < num {
        drawn.extend(rand::seq::index::sample(stream, len, len.min(num - drawn.len())));
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn equal_coordinates_give_equal_numbers_and_any_difference_gives_others() {
        let first = |seed, purpose, epoch, step| stream(seed, purpose, epoch, step).next_u64();
        let base = first(1, Purpose::Training, 2, 3);
        assert_eq!(base, first(1, Purpose::Training, 2, 3));
        assert_ne!(base, first(2, Purpose::Training, 2, 3));
        assert_ne!(base, first(1, Purpose::Validation, 2, 3));
        assert_ne!(base, first(1, Purpose::Training, 3, 2));
    }

    #[test]
    fn drawn_positions_repeat_only_where_there_are_too_few() {
        let mut rng = stream(1, Purpose::DataDependent, 0, 0);
        let mut drawn = draw_positions(&mut rng, 10, 10);
        assert_ne!(drawn, (0..10).collect::<Vec<_>>());
        drawn.sort_unstable();
        assert_eq!(drawn, (0..10).collect::<Vec<_>>());
        let drawn = draw_positions(&mut rng, 7, 3);
        let counts = [0, 1, 2].map(|position| drawn.iter().filter(|&&other| other == position).count());
        assert!(counts.iter().sum::<usize>() == 7 && counts.iter().all(|&count| count >= 2), "{counts:?}");
    }

    #[test]
    fn the_derivation_is_pinned_because_results_depend_on_it() {
        let firsts: Vec<u64> = [Purpose::Shuffle, Purpose::Training].map(|purpose| stream(1, purpose, 2, 3).next_u64()).to_vec();
        // From scripts/reference/random_stream.py, which shares no code with this.
        assert_eq!(firsts, [14_329_348_062_950_778_735, 11_173_540_676_867_624_486]);
    }
}
