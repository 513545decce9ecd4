//! The arithmetic and the memory traffic that a training step cannot do without.

/// A product of a matrix `[rows, inner]` with one `[inner, columns]`, done so many times in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the type says what the fields are")]
pub struct Product {
    pub rows: usize,
    pub inner: usize,
    pub columns: usize,
    pub times: usize,
}

impl Product {
    /// Multiply-adds of all of them.
    pub fn multiply_adds(self) -> u64 {
        [self.rows, self.inner, self.columns, self.times].iter().map(|&size| size as u64).product()
    }
}

/// Forward, backward and update of one network on one batch.
///
/// Counted are the matrix products (convolutions as the product that they are after their patches were laid out) and the traffic
/// of the update. Elementwise passes are not: they can be done on the way of either.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// The matrix products.
    pub products: Vec<Product>,
    /// Numbers that are updated.
    pub num_parameters: usize,
    /// Bytes that the update of one number reads and writes.
    pub bytes_per_parameter: usize,
}

/// Adam reads parameter, gradient and two moments, and writes all but the gradient: seven numbers of four bytes.
const ADAM: usize = 28;
/// A step with momentum reads parameter and velocity, and writes both.
const MOMENTUM: usize = 16;

/// Whether the gradient by a layer's input is asked for: not by the data.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Data,
    Hidden,
}

impl Work {
    /// Multiply-adds of a step.
    pub fn multiply_adds(&self) -> u64 {
        self.products.iter().map(|product| product.multiply_adds()).sum()
    }

    /// Bytes of the update.
    pub fn update_bytes(&self) -> u64 {
        self.num_parameters as u64 * self.bytes_per_parameter as u64
    }

    fn adam() -> Self {
        Self { bytes_per_parameter: ADAM, ..Self::default() }
    }

    fn product(mut self, rows: usize, inner: usize, columns: usize, times: usize) -> Self {
        self.products.push(Product { rows, inner, columns, times });
        self
    }

    fn parameters(mut self, num: usize) -> Self {
        self.num_parameters += num;
        self
    }

    /// The products of an affine map: forward, by the weight, by the input.
    fn affine(self, batch: usize, inputs: usize, outputs: usize, input: Input) -> Self {
        let work = self.product(batch, inputs, outputs, 1).product(inputs, batch, outputs, 1);
        if input == Input::Hidden { work.product(batch, outputs, inputs, 1) } else { work }
    }

    fn dense(self, batch: usize, inputs: usize, outputs: usize, input: Input) -> Self {
        self.affine(batch, inputs, outputs, input).parameters(inputs * outputs + outputs)
    }

    /// Kernels of 3 x 3 to a map of `pixels`.
    fn convolution(self, batch: usize, [inputs, outputs]: [usize; 2], pixels: usize, input: Input) -> Self {
        self.affine(batch * pixels, 9 * inputs, outputs, input).parameters(9 * inputs * outputs + outputs)
    }

    /// Kernels of 3 x 3 from a map of `pixels`.
    fn transposed_convolution(self, batch: usize, [inputs, outputs]: [usize; 2], pixels: usize) -> Self {
        self.affine(batch * pixels, inputs, 9 * outputs, Input::Hidden).parameters(9 * inputs * outputs + outputs)
    }

    /// 28 x 28 pixels to 64 maps of 7 x 7.
    fn image_encoder(self, batch: usize) -> Self {
        self.convolution(batch, [1, 32], 14 * 14, Input::Data).convolution(batch, [32, 64], 7 * 7, Input::Hidden)
    }

    /// A code to 64 maps of 7 x 7, and those to 28 x 28 pixels.
    fn image_decoder(self, batch: usize, code_size: usize) -> Self {
        self.dense(batch, code_size, IMAGE_FEATURES, Input::Hidden).transposed_convolution(batch, [64, 32], 7 * 7).transposed_convolution(
            batch,
            [32, 1],
            14 * 14,
        )
    }

    /// Steps of a cell of `LSTM_UNITS` over `LSTM_STEPS`, its input of width `inputs` new at each step or the same at all: gates
    /// forward and backward one after the other, the gradient by the weights in one product over all steps.
    fn lstm(self, batch: usize, inputs: usize, fed: Fed) -> Self {
        let (units, gates) = (LSTM_UNITS, 4 * LSTM_UNITS);
        let joined = if fed == Fed::SameAtEachStep { units } else { units + inputs };
        let by_input = if fed == Fed::OwnOutput { joined } else { units };
        let work = self
            .product(batch, joined, gates, LSTM_STEPS)
            .product(batch, gates, by_input, LSTM_STEPS)
            .product(joined, batch * LSTM_STEPS, gates, 1)
            .parameters((units + inputs) * gates + gates);
        if fed == Fed::SameAtEachStep { work.affine(batch, inputs, gates, Input::Hidden) } else { work }
    }
}

/// What a cell is given at each step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fed {
    Data,
    OwnOutput,
    SameAtEachStep,
}

const IMAGE_FEATURES: usize = 64 * 7 * 7;
const LSTM_UNITS: usize = 64;
const LSTM_STEPS: usize = 140;

/// 784 through `widths` and back.
fn dense(batch: usize, widths: &[usize]) -> Work {
    let inwards = std::iter::once(784).chain(widths.iter().copied());
    let sizes: Vec<usize> = inwards.chain(widths.iter().rev().skip(1).copied()).chain([784]).collect();
    sizes.windows(2).enumerate().fold(Work::adam(), |work, (index, sizes)| {
        work.dense(batch, sizes[0], sizes[1], if index == 0 { Input::Data } else { Input::Hidden })
    })
}

pub(crate) fn deep(batch: usize) -> Work {
    dense(batch, &[1000, 500, 250, 30])
}

pub(crate) fn one_layer(batch: usize, width: usize) -> Work {
    dense(batch, &[width])
}

pub(crate) fn shallow(batch: usize) -> Work {
    one_layer(batch, 32)
}

pub(crate) fn convolutional(batch: usize) -> Work {
    Work::adam().image_encoder(batch).dense(batch, IMAGE_FEATURES, 32, Input::Hidden).image_decoder(batch, 32)
}

pub(crate) fn vae(batch: usize) -> Work {
    Work::adam().dense(batch, 784, 400, Input::Data).dense(batch, 400, 40, Input::Hidden).dense(batch, 20, 400, Input::Hidden).dense(
        batch,
        400,
        784,
        Input::Hidden,
    )
}

pub(crate) fn convolutional_vae(batch: usize) -> Work {
    Work::adam().image_encoder(batch).dense(batch, IMAGE_FEATURES, 40, Input::Hidden).image_decoder(batch, 20)
}

pub(crate) fn sparse(batch: usize) -> Work {
    one_layer(batch, 196)
}

/// Of 1000 units 25 are kept: what the others would be multiplied with is not needed.
pub(crate) fn k_sparse(batch: usize) -> Work {
    Work::adam().product(batch, 784, 1000, 1).product(batch, 25, 784, 4).parameters(784 * 1000 + 1000 + 784)
}

pub(crate) fn contractive(batch: usize) -> Work {
    Work::adam().affine(batch, 784, 1000, Input::Data).affine(batch, 1000, 784, Input::Hidden).parameters(784 * 1000 + 1000 + 784)
}

/// Hidden, visible and hidden again, and the statistics of both ends.
pub(crate) fn boltzmann(batch: usize) -> Work {
    let work = Work { bytes_per_parameter: MOMENTUM, ..Work::default() };
    work.product(batch, 784, 1000, 2).product(batch, 1000, 784, 1).product(784, batch, 1000, 2).parameters(784 * 1000 + 784 + 1000)
}

pub(crate) fn lstm_one_shot(batch: usize) -> Work {
    Work::adam()
        .lstm(batch, 1, Fed::Data)
        .dense(batch, LSTM_UNITS, LSTM_UNITS, Input::Hidden)
        .lstm(batch, LSTM_UNITS, Fed::SameAtEachStep)
        .dense(batch * LSTM_STEPS, LSTM_UNITS, 1, Input::Hidden)
}

pub(crate) fn lstm_recurrent(batch: usize) -> Work {
    Work::adam()
        .lstm(batch, 1, Fed::Data)
        .dense(batch, LSTM_UNITS, LSTM_UNITS, Input::Hidden)
        .dense(batch, LSTM_UNITS, 2 * LSTM_UNITS, Input::Hidden)
        .lstm(batch, 1, Fed::OwnOutput)
        .dense(batch * LSTM_STEPS, LSTM_UNITS, 1, Input::Hidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NETWORKS, Steps, WIDTHS};
    use burn::tensor::Device;

    #[test]
    fn as_many_numbers_are_updated_as_the_network_trains() {
        for network in NETWORKS.iter().chain(WIDTHS) {
            let found = (network.work)(3).num_parameters;
            let of_the_network = Steps::new(network, 1, 1, &Device::flex().autodiff()).num_parameters();
            // The decoder's weight of a Boltzmann machine waits for fine-tuning.
            let at_rest = if network.name.starts_with("rbm") { 784 * 1000 } else { 0 };
            assert_eq!(found + at_rest, of_the_network, "{}", network.name);
        }
    }

    #[test]
    fn a_dense_network_multiplies_three_times_but_once_for_the_first_input() {
        let weights = 784 * 32;
        assert_eq!(shallow(7).multiply_adds(), 7 * weights * (2 + 3));
        assert_eq!(shallow(7).update_bytes(), 28 * (2 * weights + 32 + 784));
    }

    #[test]
    fn arithmetic_grows_with_the_batch_and_the_update_does_not() {
        for network in NETWORKS {
            let (one, many) = ((network.work)(1), (network.work)(64));
            assert_eq!(many.multiply_adds(), 64 * one.multiply_adds(), "{}", network.name);
            assert_eq!(many.update_bytes(), one.update_bytes(), "{}", network.name);
        }
    }
}
