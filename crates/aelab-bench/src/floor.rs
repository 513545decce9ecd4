//! What this machine can do at best: the rate of matrix products and of copies, measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aelab_kernels::{Activation, dense};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use serde::Serialize;

use crate::work::Work;

/// Rows, columns and inner size of the large product.
const LARGE: usize = 1024;
/// Bytes of the large copy, read and written.
const LARGE_COPY: u64 = 1 << 28;
/// How long each rate is measured.
const PATIENCE: Duration = Duration::from_millis(60);
/// And how often at least.
const MIN_REPETITIONS: usize = 5;

/// Rates of a device, each measured when it is first asked for.
pub struct Rates {
    device: Device,
    /// Whether the device computes in the memory of this process.
    on_host: bool,
    product_seconds: BTreeMap<[usize; 3], f64>,
    copy_seconds: BTreeMap<u64, f64>,
}

/// An estimate of the least time that a step takes: its products at the measured rate of a large one, as dense layers compute it, and
/// its update as a copy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Floor {
    /// Multiply-adds of its matrix products.
    pub multiply_adds: u64,
    /// Bytes that its update reads and writes.
    pub update_bytes: u64,
    /// Its products at the rate of a large one, in milliseconds.
    pub products_ms: f64,
    /// Its products at the rates of their own shapes, in milliseconds.
    pub products_own_shapes_ms: f64,
    /// A copy that moves as many bytes as its update, in milliseconds.
    pub update_ms: f64,
    /// Products at the rate of a large one, then the update, in milliseconds.
    pub floor_ms: f64,
}

impl Rates {
    /// Of `device`, which is no autodiff device.
    pub fn new(device: Device, on_host: bool) -> Self {
        Self { device, on_host, product_seconds: BTreeMap::new(), copy_seconds: BTreeMap::new() }
    }

    /// Multiply-adds per second in a large product, times 2: floating point operations.
    pub fn product_flops(&mut self) -> f64 {
        2.0 * (LARGE as f64).powi(3) / self.product_seconds([LARGE; 3])
    }

    /// Bytes per second in a large copy, those read and those written.
    pub fn copy_bandwidth(&mut self) -> f64 {
        LARGE_COPY as f64 / self.copy_seconds(LARGE_COPY)
    }

    /// What the work takes at these rates.
    pub fn floor(&mut self, work: &Work) -> Floor {
        let (multiply_adds, update_bytes) = (work.multiply_adds(), work.update_bytes());
        let products = 2.0 * multiply_adds as f64 / self.product_flops();
        let own_shapes = work.products.iter().map(|product| {
            let seconds = self.product_seconds([product.rows, product.inner, product.columns]);
            seconds * product.times as f64
        });
        let own_shapes: f64 = own_shapes.sum();
        let update = self.copy_seconds(update_bytes);
        Floor {
            multiply_adds,
            update_bytes,
            products_ms: products * 1e3,
            products_own_shapes_ms: own_shapes * 1e3,
            update_ms: update * 1e3,
            floor_ms: (products + update) * 1e3,
        }
    }

    /// Of `[rows, inner]` times `[inner, columns]`.
    fn product_seconds(&mut self, shape: [usize; 3]) -> f64 {
        if let Some(seconds) = self.product_seconds.get(&shape) {
            return *seconds;
        }
        let [rows, inner, columns] = shape;
        let (a, b) = (self.matrix(rows, inner), self.matrix(inner, columns));
        let seconds = self.seconds_of(|| drop(dense(a.clone(), b.clone(), None, Activation::Linear, false)));
        self.product_seconds.insert(shape, seconds);
        seconds
    }

    /// Of a copy that reads and writes `bytes` together.
    fn copy_seconds(&mut self, bytes: u64) -> f64 {
        if let Some(seconds) = self.copy_seconds.get(&bytes) {
            return *seconds;
        }
        let num = (bytes as usize / 8).max(1);
        let seconds = if self.on_host {
            let (from, mut to) = (vec![1.0_f32; num], vec![0.0_f32; num]);
            let part = num.div_ceil(rayon::current_num_threads()).max(1 << 14);
            let seconds = self.seconds_of(|| {
                to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| to.copy_from_slice(from));
            });
            // What nobody reads need not be written.
            std::hint::black_box(&to);
            seconds
        } else {
            let from = self.matrix(1, num);
            self.seconds_of(|| drop(-from.clone()))
        };
        self.copy_seconds.insert(bytes, seconds);
        seconds
    }

    /// Numbers that are neither 0 nor large.
    fn matrix(&self, rows: usize, columns: usize) -> Tensor<2> {
        let values: Vec<f32> = (0..rows * columns).map(|index| (index % 97) as f32 / 97.0 - 0.5).collect();
        Tensor::from_data(TensorData::new(values, [rows, columns]), &self.device)
    }

    /// Of the fastest tenth of repetitions, after one that does not count: a floor is what the machine can do when nobody disturbs it.
    fn seconds_of(&self, mut work: impl FnMut()) -> f64 {
        let mut timed = || {
            let since = Instant::now();
            work();
            // A device that cannot be waited for has already failed in what it was asked to do.
            let _ = self.device.sync();
            since.elapsed().as_secs_f64()
        };
        timed();
        let (begin, mut seconds) = (Instant::now(), Vec::new());
        while seconds.len() < MIN_REPETITIONS || begin.elapsed() < PATIENCE {
            seconds.push(timed());
        }
        quantile(&mut seconds, 0.1)
    }
}

/// The number below which `share` of them lie, which are put in order.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = ((values.len() as f64 - 1.0) * share).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NETWORKS;

    #[test]
    fn a_floor_is_the_sum_of_its_parts_and_grows_with_the_batch() {
        let mut rates = Rates::new(Device::flex(), true);
        let network = &NETWORKS[1];
        let [small, large] = [1, 64].map(|batch_size| rates.floor(&(network.work)(batch_size)));
        for floor in [small, large] {
            let parts = [floor.products_ms, floor.products_own_shapes_ms, floor.update_ms];
            assert!(parts.iter().all(|part| part.is_finite() && *part > 0.0), "{floor:?}");
            assert!((floor.floor_ms - floor.products_ms - floor.update_ms).abs() < 1e-9, "{floor:?}");
        }
        assert!((large.products_ms / small.products_ms - 64.0).abs() < 1e-6, "one rate serves all");
        assert_eq!(large.update_ms, small.update_ms, "what was measured once stays");
    }

    #[test]
    fn quantiles_are_among_the_numbers() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&mut [5.0, 1.0, 2.0, 3.0, 4.0], 0.1), 1.0);
        assert_eq!(quantile(&mut [5.0, 1.0, 2.0, 3.0, 4.0], 0.9), 5.0);
        assert!(quantile(&mut [], 0.5).is_nan());
    }
}
