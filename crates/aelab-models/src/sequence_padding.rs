//! Series of differing lengths, for the tests of the models of series.

use aelab_core::Batch;
use burn::tensor::{Device, Tensor, TensorData};

/// The same three series of two channels, padded to their longest and padded further with other rubbish.
pub(crate) struct Padded {
    pub(crate) batch: Batch,
    pub(crate) padded: Batch,
    pub(crate) num_steps: usize,
    pub(crate) padded_steps: usize,
}

/// Series of 6, 4 and 1 steps.
pub(crate) fn ragged(device: &Device) -> Padded {
    let lengths = [6, 4, 1];
    let batch = |num_steps: usize, rubbish: f32| {
        let width = 2 * num_steps;
        let (mut x, mut mask) = (Vec::new(), Vec::new());
        for (row, length) in lengths.into_iter().enumerate() {
            for index in 0..width {
                let observed = index < 2 * length;
                x.push(if observed { ((row * 12 + index) as f32 * 0.9).sin() } else { rubbish * (index as f32 + 1.0) });
                mask.push(if observed { 1.0 } else { 0.0 });
            }
        }
        let tensor = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [3, width]), device);
        Batch { mask: Some(tensor(mask)), ..Batch::new(tensor(x)) }
    };
    Padded { batch: batch(6, 0.0), padded: batch(9, -7.5), num_steps: 6, padded_steps: 9 }
}
