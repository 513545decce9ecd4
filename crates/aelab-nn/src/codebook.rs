//! A codebook: vectors that stand for all others, and how often each of them does.

use aelab_core::{Initializer, Noise};
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

/// Vectors of a given dimension, each vector at hand replaced by the nearest of them.
///
/// Vectors come as rows, those of one example after each other, one for each of its positions.
#[derive(Module, Debug)]
pub struct Codebook {
    /// `[code, dim]`: moved by an optimizer, or by [`average`](Self::average).
    embeddings: Param<Tensor<2>>,
    /// Moving average of how often each code is chosen at each position in one batch, `[position, code]`; a buffer.
    usage: Param<Tensor<2>>,
    /// Moving average of the sum of the vectors that chose each code, `[code, dim]`; a buffer, where codes are averages.
    sums: Option<Param<Tensor<2>>>,
}

impl Codebook {
    /// A codebook of `size` vectors, uniform in `+-1/size`. With `averaged` no optimizer moves them.
    pub fn new(num_positions: usize, size: usize, dim: usize, averaged: bool, initializer: &mut Initializer) -> Self {
        // +-sqrt(6 / (fan_in + fan_out)) is +-1/size for these.
        let fan = 3 * size * size;
        let embeddings = initializer.weight([size, dim], fan, fan, aelab_core::Initialization::GlorotUniform);
        let usage = initializer.buffer([num_positions, size], 1.0 / num_positions as f32);
        let sums = averaged.then(|| initializer.buffer([size, dim], 0.0));
        let start = embeddings.val();
        let embeddings = if averaged { embeddings.set_require_grad(false) } else { embeddings };
        Self { embeddings, usage, sums }.with_embeddings(start)
    }

    /// The codebook with vectors `[code, dim]` in place of its own, each as if chosen once per batch so far.
    #[must_use]
    pub fn with_embeddings(self, embeddings: Tensor<2>) -> Self {
        let [num_positions, _] = self.usage.val().dims();
        let usage = self.usage.val().detach() * 0.0 + 1.0 / num_positions as f64;
        let sums = self.sums.map(|sums| replace(sums, embeddings.clone()));
        Self { embeddings: replace(self.embeddings, embeddings), usage: replace(self.usage, usage), sums }
    }

    /// Number of codes and their dimension.
    pub fn dims(&self) -> [usize; 2] {
        self.embeddings.lazy_shape().dims()
    }

    /// The code nearest to each vector, `[vector, dim]` to `[vector]`; the first of several.
    pub fn nearest(&self, vectors: Tensor<2>) -> Tensor<1, Int> {
        let embeddings = self.embeddings.val().detach();
        // |v - e|^2 without |v|^2, which is the same for all codes.
        let norms = embeddings.clone().square().sum_dim(1).transpose();
        (norms - vectors.detach().matmul(embeddings.transpose()) * 2.0).argmin(1).squeeze_dim(1)
    }

    /// The vectors of codes, `[vector]` to `[vector, dim]`.
    pub fn look_up(&self, codes: Tensor<1, Int>) -> Tensor<2> {
        self.embeddings.val().select(0, codes)
    }

    /// 1 at the code of each row, `[vector]` to `[vector, code]`.
    pub fn one_hot(&self, codes: Tensor<1, Int>) -> Tensor<2> {
        let [size, _] = self.dims();
        let (num, device) = (codes.dims()[0], self.embeddings.val().device());
        let all = Tensor::<1, Int>::arange(0..size as i64, &device).unsqueeze_dim::<2>(0).repeat_dim(0, num);
        codes.unsqueeze_dim::<2>(1).repeat_dim(1, size).equal(all).float()
    }

    /// Takes note of which codes a batch chose, `chosen` `[vector, code]`, and moves averaged codes to the mean of the
    /// `vectors` `[vector, dim]` that chose them (van den Oord et al. 2017, appendix A.1):
    ///
    /// ```text
    /// N_i <- decay N_i + (1 - decay) n_i       m_i <- decay m_i + (1 - decay) sum v       e_i <- m_i / N_i
    /// ```
    ///
    /// A code that no vector chose stays where it is, as in the formula: its count and its sum shrink by the same factor.
    #[must_use]
    pub fn average(self, vectors: Tensor<2>, chosen: Tensor<2>, decay: f64) -> Self {
        let [num_positions, size] = self.usage.val().dims();
        let batch_size = chosen.dims()[0] / num_positions;
        let counts: Tensor<2> = chosen.clone().reshape([batch_size, num_positions, size]).sum_dim(0).squeeze_dim(0);
        let usage = self.usage.val() * decay + counts.clone() * (1.0 - decay);
        let (embeddings, sums) = match self.sums {
            None => (self.embeddings, None),
            Some(sums) => {
                let of_batch = chosen.transpose().matmul(vectors);
                let moved = sums.val() * decay + of_batch * (1.0 - decay);
                let [_, dim] = moved.dims();
                let per_code = |of_positions: Tensor<2>| of_positions.sum_dim(0).transpose();
                let unused = per_code(counts).equal_elem(0.0).repeat_dim(1, dim);
                let means = (moved.clone() / per_code(usage.clone())).mask_where(unused, self.embeddings.val());
                (replace(self.embeddings, means), Some(replace(sums, moved)))
            }
        };
        Self { embeddings, usage: replace(self.usage, usage), sums }
    }

    /// Puts codes that are chosen less than `threshold` times per batch, on average, on vectors drawn from `vectors`
    /// `[vector, dim]`, each as if chosen once per batch so far.
    #[must_use]
    pub fn restart(self, vectors: Tensor<2>, threshold: f64, noise: &mut dyn Noise) -> Self {
        let [size, dim] = self.dims();
        let [num_positions, _] = self.usage.val().dims();
        let num = vectors.dims()[0];
        let device = vectors.device();
        let drawn = (noise.uniform([size, 1], &device) * num as f64).squeeze_dim::<1>(1).int().clamp_max(num as i64 - 1);
        let fresh = vectors.select(0, drawn);
        let unused = self.usage.val().sum_dim(0).lower_elem(threshold);
        let usage = self.usage.val().mask_fill(unused.clone().repeat_dim(0, num_positions), 1.0 / num_positions as f64);
        let unused = unused.transpose().repeat_dim(1, dim);
        let sums = self.sums.map(|sums| {
            let restarted = sums.val().mask_where(unused.clone(), fresh.clone());
            replace(sums, restarted)
        });
        let embeddings = self.embeddings.val().mask_where(unused, fresh);
        Self { embeddings: replace(self.embeddings, embeddings), usage: replace(self.usage, usage), sums }
    }

    /// A vector for each position of `num` examples, `[num * position, dim]`: codes drawn independently, each as often as
    /// it was chosen at its position.
    pub fn sample(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Tensor<2> {
        let usage = self.usage.val().detach();
        let [num_positions, size] = usage.dims();
        let cumulative = (usage.clone() / usage.sum_dim(1)).cumsum(1);
        let at = noise.uniform([num, num_positions], device).unsqueeze_dim::<3>(2).repeat_dim(2, size);
        let below = cumulative.unsqueeze_dim::<3>(0).repeat_dim(0, num).lower_equal(at);
        let codes = below.int().sum_dim(2).reshape([num * num_positions]).clamp_max(size as i64 - 1);
        self.look_up(codes)
    }
}

/// The parameter with another value, trainable or not as it was.
fn replace(param: Param<Tensor<2>>, value: Tensor<2>) -> Param<Tensor<2>> {
    let is_trainable = param.is_require_grad();
    param.map(|_| value.detach().set_require_grad(is_trainable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{FixedNoise, Purpose, StreamNoise, stream};

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn codebook(num_positions: usize, averaged: bool, device: &Device) -> Codebook {
        Codebook::new(num_positions, 3, 2, averaged, &mut Initializer::new(1, device))
            .with_embeddings(Tensor::from_data([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], device))
    }

    #[test]
    fn the_nearest_code_is_that_of_a_search_through_all() {
        let device = Device::flex();
        let mut noise = StreamNoise(stream(1, Purpose::Training, 0, 0));
        let (codes, vectors) = (noise.normal([17, 4], &device), noise.normal([100, 4], &device));
        let codebook = Codebook::new(1, 17, 4, false, &mut Initializer::new(1, &device)).with_embeddings(codes.clone());
        let chosen = codebook.nearest(vectors.clone());
        let found: Vec<i64> = chosen.clone().into_data().convert::<i64>().try_to_vec().unwrap();
        let (codes, rows) = (values(codes), values(vectors));
        for (row, &found) in rows.chunks(4).zip(&found) {
            let distance = |code: &[f32]| code.iter().zip(row).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
            let nearest = codes.chunks(4).map(distance).enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
            assert_eq!(found, nearest as i64);
        }
        let looked_up = values(codebook.look_up(chosen.clone()));
        assert_eq!(looked_up[..4], codes[found[0] as usize * 4..][..4]);
        assert_eq!(values(codebook.one_hot(chosen).sum_dim(1)), [1.0; 100]);
    }

    #[test]
    fn moving_averages_are_those_of_the_formula() {
        let device = Device::flex();
        let vectors = Tensor::from_data([[0.2, 0.4], [0.8, 0.0], [1.6, 0.4]], &device);
        let codebook = codebook(1, true, &device);
        let chosen = codebook.one_hot(codebook.nearest(vectors.clone()));
        let codebook = codebook.average(vectors, chosen, 0.75);
        // Counts 1 become 0.75 + 0.25 n with n = 1, 2, 0; sums e become 0.75 e + 0.25 sum.
        assert_eq!(values(codebook.usage.val()), [1.0, 1.25, 0.75]);
        let expected = [0.05 / 1.0, 0.1 / 1.0, (0.75 + 0.25 * 2.4) / 1.25, 0.25 * 0.4 / 1.25, 0.0, 2.0];
        for (found, expected) in values(codebook.embeddings.val()).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
        // An unused code's count and sum shrink alike, so it stays in any number of steps.
        assert_eq!(values(codebook.sums.as_ref().unwrap().val())[4..], [0.0, 1.5]);
    }

    #[test]
    fn codes_that_are_hardly_chosen_start_anew_at_vectors_of_the_batch() {
        let device = Device::flex();
        let vectors = Tensor::from_data([[1.0, 0.1], [1.1, 0.0], [0.9, 0.3]], &device);
        let codebook = codebook(1, true, &device);
        let chosen = codebook.one_hot(codebook.nearest(vectors.clone()));
        let codebook = codebook.average(vectors.clone(), chosen, 0.5);
        assert_eq!(values(codebook.usage.val()), [0.5, 2.0, 0.5]);
        let kept = codebook.clone().restart(vectors.clone(), 0.5, &mut FixedNoise::new([vec![0.1, 0.1, 0.9]]));
        assert_eq!(values(kept.embeddings.val()), values(codebook.embeddings.val()));
        let codebook = codebook.restart(vectors, 0.6, &mut FixedNoise::new([vec![0.1, 0.1, 0.9]]));
        let embeddings = values(codebook.embeddings.val());
        assert_eq!((&embeddings[..2], &embeddings[4..]), (&[1.0, 0.1][..], &[0.9, 0.3][..]));
        assert_eq!(values(codebook.usage.val()), [1.0, 2.0, 1.0]);
        assert_eq!(values(codebook.sums.as_ref().unwrap().val())[4..], [0.9, 0.3]);
    }

    #[test]
    fn samples_follow_the_usage_at_each_position() {
        let device = Device::flex();
        let mut codebook = codebook(2, false, &device);
        codebook.usage = replace(codebook.usage, Tensor::from_data([[3.0, 1.0, 0.0], [0.0, 1.0, 1.0]], &device));
        let num = 10_000;
        let drawn = codebook.nearest(codebook.sample(num, &mut StreamNoise(stream(1, Purpose::Evaluation, 0, 0)), &device));
        let drawn: Vec<i64> = drawn.into_data().convert::<i64>().try_to_vec().unwrap();
        let share =
            |position: usize, code: i64| drawn.iter().skip(position).step_by(2).filter(|&&drawn| drawn == code).count() as f64 / num as f64;
        for (position, code, expected) in [(0, 0, 0.75), (0, 1, 0.25), (0, 2, 0.0), (1, 0, 0.0), (1, 1, 0.5), (1, 2, 0.5)] {
            let found = share(position, code);
            assert!((found - expected).abs() < 0.02 && (expected > 0.0 || found == 0.0), "{position}, {code}: {found}");
        }
    }
}
