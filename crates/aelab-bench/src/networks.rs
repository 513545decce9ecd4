//! The networks of the benchmark, by the names that `scripts/bench/` gives them.

use aelab_core::{AnyModelConfig, DataSpec, Domain};
use aelab_models::MODELS;
use serde_json::Value;

use crate::work::{self, Work};

/// A network whose training step is timed.
#[derive(Debug, Clone, Copy)]
pub struct BenchmarkNetwork {
    /// Its name.
    pub name: &'static str,
    /// Shape of an example.
    pub shape: &'static [usize],
    /// The model section of an experiment file, as JSON.
    pub model: &'static str,
    /// What a step on a batch of that many examples cannot do without.
    pub work: fn(usize) -> Work,
}

const IMAGE: &[usize] = &[1, 28, 28];
const SERIES: &[usize] = &[140, 1];

/// Every network, in the order of the table.
pub const NETWORKS: &[BenchmarkNetwork] = &[
    BenchmarkNetwork {
        name: "784-1000-500-250-30",
        shape: IMAGE,
        model: r#"{"undercomplete": {"hidden": [1000, 500, 250], "code_size": 30}}"#,
        work: work::deep,
    },
    BenchmarkNetwork {
        name: "784-32",
        shape: IMAGE,
        model: r#"{"undercomplete": {"hidden": [], "code_size": 32, "code_activation": "relu"}}"#,
        work: work::shallow,
    },
    BenchmarkNetwork {
        name: "conv 1-32-64-32",
        shape: IMAGE,
        model: r#"{"convolutional": {"channels": [32, 64], "code_size": 32}}"#,
        work: work::convolutional,
    },
    BenchmarkNetwork {
        name: "vae 784-400-20",
        shape: IMAGE,
        model: r#"{"vae": {"hidden": [400], "latent_dim": 20, "likelihood": "bernoulli"}}"#,
        work: work::vae,
    },
    BenchmarkNetwork {
        name: "vae conv 1-32-64-20",
        shape: IMAGE,
        model: r#"{"vae": {"hidden": {"convolutional": {"channels": [32, 64]}}, "latent_dim": 20, "likelihood": "bernoulli"}}"#,
        work: work::convolutional_vae,
    },
    BenchmarkNetwork {
        name: "sparse kl 784-196",
        shape: IMAGE,
        model: r#"{"sparse": {"hidden": [], "code_size": 196, "code_activation": "sigmoid", "output_activation": "sigmoid",
                   "penalty": {"kl": {"rho": 0.05, "beta": 3.0}}}}"#,
        work: work::sparse,
    },
    BenchmarkNetwork {
        name: "k-sparse 784-1000",
        shape: IMAGE,
        model: r#"{"k_sparse": {"hidden": [], "code_size": 1000, "tied": true, "k": 25, "alpha": 1}}"#,
        work: work::k_sparse,
    },
    BenchmarkNetwork {
        name: "contractive 784-1000 tied",
        shape: IMAGE,
        model: r#"{"contractive": {"hidden": [], "code_size": 1000, "code_activation": "sigmoid", "output_activation": "sigmoid",
                   "loss": "binary_cross_entropy", "tied": true, "lambda": 0.1}}"#,
        work: work::contractive,
    },
    BenchmarkNetwork {
        name: "rbm 784-1000 cd-1",
        shape: IMAGE,
        model: r#"{"deep": {"hidden": [], "code_size": 1000, "code_units": "bernoulli", "pretraining": {"epochs": 1}}}"#,
        work: work::boltzmann,
    },
    BenchmarkNetwork {
        name: "lstm 140x1-64 one-shot",
        shape: SERIES,
        model: r#"{"lstm": {"hidden": [64], "code_size": 64, "decoding": "one_shot"}}"#,
        work: work::lstm_one_shot,
    },
    BenchmarkNetwork {
        name: "lstm 140x1-64 recurrent",
        shape: SERIES,
        model: r#"{"lstm": {"hidden": [64], "code_size": 64, "decoding": "recurrent"}}"#,
        work: work::lstm_recurrent,
    },
];

/// One layer of that many units each way.
macro_rules! of_width {
    ($($width:literal),*) => {
        &[$(BenchmarkNetwork {
            name: concat!("784-", $width),
            shape: IMAGE,
            model: concat!(r#"{"undercomplete": {"hidden": [], "code_size": "#, $width, r#", "code_activation": "relu"}}"#),
            work: |batch| work::one_layer(batch, $width),
        }),*]
    };
}

/// Networks that differ in the width of their code alone, for a curve.
pub const WIDTHS: &[BenchmarkNetwork] = of_width!(8, 16, 32, 64, 128, 256, 512, 1024, 2048);

/// The network of that name, or those whose names contain it, with their places in [`NETWORKS`].
pub fn networks_called(part: &str) -> Vec<(usize, &'static BenchmarkNetwork)> {
    let all = || NETWORKS.iter().enumerate();
    match all().find(|(_, network)| network.name == part) {
        Some(exactly) => vec![exactly],
        None => all().filter(|(_, network)| network.name.contains(part)).collect(),
    }
}

impl BenchmarkNetwork {
    /// What the model is told of the data: values in [0, 1], or series of real numbers.
    pub fn data(&self) -> DataSpec {
        let domain = if self.shape == IMAGE { Domain::UnitInterval } else { Domain::Real };
        DataSpec::new(self.shape, domain)
    }

    /// The configuration of the model.
    pub fn config(&self) -> Box<dyn AnyModelConfig> {
        let section: Value = serde_json::from_str(self.model).expect("the sections of this table are JSON");
        let (name, section) = section.as_object().and_then(|section| section.iter().next()).expect("a section has one model");
        let entry = MODELS.iter().find(|entry| entry.name == name).expect("the models of this table are registered");
        (entry.parse)(section.clone()).expect("the sections of this table fit their models")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Steps;
    use burn::tensor::Device;

    #[test]
    fn a_whole_name_means_one_network_and_a_part_all_that_contain_it() {
        assert_eq!(networks_called("784-32").len(), 1);
        assert_eq!(networks_called("784").len(), 7);
        assert_eq!(networks_called("").len(), NETWORKS.len());
        assert!(networks_called("gan").is_empty());
        assert!(NETWORKS.iter().enumerate().all(|(index, network)| networks_called(network.name)[0].0 == index));
    }

    #[test]
    fn every_network_can_be_trained() {
        for network in NETWORKS.iter().chain(WIDTHS) {
            let mut steps = Steps::new(network, 4, 1, &Device::flex().autodiff());
            let losses: Vec<f64> = (0..3).map(|_| steps.step()).collect();
            assert!(losses.iter().all(|loss| loss.is_finite()) && losses[2] < losses[0], "{}: {losses:?}", network.name);
        }
    }
}
