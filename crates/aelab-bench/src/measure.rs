//! The benchmark of this side alone: every row with its floor.

use std::time::Duration;

use burn::tensor::Device;
use serde::Serialize;

use crate::floor::quantile;
use crate::{BenchmarkNetwork, Floor, Rates, Steps};

/// One network at one batch size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// Name of the network.
    pub network: &'static str,
    /// Examples of a step.
    pub batch_size: usize,
    /// Trained numbers.
    pub parameters: usize,
    /// Steps that were timed.
    pub steps: usize,
    /// Median time of a step, in milliseconds.
    pub milliseconds: f64,
    /// Nine of ten steps take longer.
    pub fast_milliseconds: f64,
    /// Nine of ten steps take less.
    pub slow_milliseconds: f64,
    /// An estimate of the least that it takes.
    #[serde(flatten)]
    pub floor: Floor,
    /// The median over the floor.
    pub ratio_to_floor: f64,
}

/// Times a network for `duration` after a warm-up, on the autodiff form of `device`.
pub fn measure(network: &BenchmarkNetwork, batch_size: usize, duration: Duration, device: &Device, rates: &mut Rates) -> Measurement {
    let floor = rates.floor(&(network.work)(batch_size));
    let mut steps = Steps::new(network, batch_size, 1, &device.clone().autodiff());
    let mut seconds = steps.time(duration);
    let [fast, median, slow] = [0.1, 0.5, 0.9].map(|share| quantile(&mut seconds, share) * 1e3);
    Measurement {
        network: network.name,
        batch_size,
        parameters: steps.num_parameters(),
        steps: seconds.len(),
        milliseconds: median,
        fast_milliseconds: fast,
        slow_milliseconds: slow,
        floor,
        ratio_to_floor: median / floor.floor_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NETWORKS;

    #[test]
    fn a_measurement_says_what_was_measured() {
        let mut rates = Rates::new(Device::flex(), true);
        let found = measure(&NETWORKS[1], 4, Duration::ZERO, &Device::flex(), &mut rates);
        assert_eq!((found.network, found.batch_size, found.parameters), ("784-32", 4, 50_992));
        assert_eq!(found.steps, 1, "at least one step is timed, however short the time");
        assert!(found.fast_milliseconds <= found.milliseconds && found.milliseconds <= found.slow_milliseconds);
        assert!((found.ratio_to_floor * found.floor.floor_ms - found.milliseconds).abs() < 1e-9);
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["multiply_adds"], 4 * 5 * 784 * 32, "the floor stands beside the times: {json}");
    }
}
