//! Noise is an argument: models draw from what they are handed.

use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use crate::Stream;

/// A source of random tensors.
///
/// Drawn on the host from a derived stream, so every backend sees the same numbers.
pub trait Noise {
    /// Independent standard normal values.
    fn normal(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2>;

    /// Independent values uniform in [0, 1).
    fn uniform(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2>;

    /// Independent values, 1 with the given probability and 0 otherwise.
    fn bernoulli(&mut self, shape: [usize; 2], probability: f64, device: &Device) -> Tensor<2>;
}

/// Noise from a derived [`Stream`].
#[derive(Debug, Clone)]
pub struct StreamNoise(pub Stream);

/// Words that are drawn at a time: four blocks of ChaCha, as many as the generator makes at once.
const WORDS: usize = 64;
/// Words that one thread draws before it looks for more to do.
const BAND: usize = 64 * WORDS;
/// How many numbers could be read and written in the time that a word takes to draw.
const WORDS_WORTH: usize = 8;

impl StreamNoise {
    fn tensor(&mut self, shape: [usize; 2], device: &Device, draw: impl Fn(&mut Stream) -> f32) -> Tensor<2> {
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| draw(&mut self.0)).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

impl Noise for StreamNoise {
    fn normal(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        self.tensor(shape, device, |rng| rng.sample(StandardNormal))
    }

    fn uniform(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        let mut values = vec![0.0; shape[0] * shape[1]];
        // Each value takes one word, so that a thread can begin at any of them.
        let (num, stream, start) = (values.len(), &self.0, self.0.get_word_pos());
        aelab_kernels::for_bands(&mut values, BAND, num * WORDS_WORTH, |band, values| {
            let (mut stream, mut bytes) = (stream.clone(), [0; 4 * WORDS]);
            stream.set_word_pos(start.wrapping_add((band * BAND) as u128));
            for values in values.chunks_mut(WORDS) {
                let bytes = &mut bytes[..4 * values.len()];
                stream.fill_bytes(bytes);
                for (value, word) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    // The upper 24 bits, as many as a number in [0.5, 1) has.
                    *value = (u32::from_le_bytes(*word) >> 8) as f32 / 16_777_216.0;
                }
            }
        });
        self.0.set_word_pos(start.wrapping_add(num as u128));
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn bernoulli(&mut self, shape: [usize; 2], probability: f64, device: &Device) -> Tensor<2> {
        // 32 bits resolve the probability to 2.3e-10, and 1.0 is always below 2^32.
        let threshold = (probability.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        self.tensor(shape, device, |rng| if u64::from(rng.next_u32()) < threshold { 1.0 } else { 0.0 })
    }
}

/// Noise whose values were fixed beforehand: one tensor per draw, in order. For comparisons with
/// another implementation, which must see the same noise.
#[derive(Debug, Clone)]
pub struct FixedNoise {
    draws: std::collections::VecDeque<Vec<f32>>,
}

impl FixedNoise {
    /// Draws are handed out in order, each as a tensor of the requested shape.
    pub fn new(draws: impl IntoIterator<Item = Vec<f32>>) -> Self {
        Self { draws: draws.into_iter().collect() }
    }

    fn next(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        let values = self.draws.pop_front().unwrap_or_else(|| panic!("fixed noise is used up; {shape:?} was asked for"));
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

impl Noise for FixedNoise {
    fn normal(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        self.next(shape, device)
    }

    fn uniform(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        self.next(shape, device)
    }

    fn bernoulli(&mut self, shape: [usize; 2], _probability: f64, device: &Device) -> Tensor<2> {
        self.next(shape, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Purpose, stream};

    #[test]
    fn uniform_values_are_those_that_are_drawn_one_by_one_wherever_the_stream_stands() {
        let device = Device::flex();
        for num_before in [0, 1, 63, 64] {
            for shape in [[1, 1], [3, 21], [2, 32], [7, 100], [130, 100]] {
                let mut one_by_one = stream(1, Purpose::Training, 0, 0);
                (0..num_before).for_each(|_| _ = one_by_one.next_u32());
                let mut noise = StreamNoise(one_by_one.clone());
                let found: Vec<f32> = noise.uniform(shape, &device).into_data().try_to_vec().unwrap();
                let expected: Vec<f32> = (0..shape[0] * shape[1]).map(|_| one_by_one.random()).collect();
                assert_eq!(found, expected);
                assert_eq!(noise.0.next_u64(), one_by_one.next_u64());
            }
        }
    }
}
