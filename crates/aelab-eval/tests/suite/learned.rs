//! Small networks with parameters, and evaluations of them.

use aelab_core::{Autoencoder, Batch, Examples, Initializer, Objective, Progress, Pulse, StateError, StepContext, TrainedModel, snapshot};
use aelab_eval::{EvaluationContext, EvaluationError, Memo, Outcome};
use burn::module::{Module, Param};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;
use serde_json::Value;

use crate::common::Table;

/// Weight `[input, output]` and bias of a layer, as golden files have them.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Layer {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

#[derive(Module, Debug)]
struct Affine {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// An encoder of sigmoid (or linear) layers, and a decoder that always says 0.5.
#[derive(Module, Debug)]
struct Network {
    layers: Vec<Affine>,
    #[module(skip)]
    linear: bool,
}

impl Autoencoder for Network {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        self.layers.iter().fold(x, |x, layer| {
            let x = x.matmul(layer.weight.val()) + layer.bias.val().unsqueeze::<2>();
            if self.linear { x } else { sigmoid(x) }
        })
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        let num_features = self.layers[0].weight.dims()[0];
        Tensor::full([z.dims()[0], num_features], 0.5, &z.device())
    }

    fn objective(&self, batch: &Batch, _ctx: &mut StepContext<'_>) -> Objective {
        Objective::new().term("squared_error", self.encode(batch.x.clone()).sum(), 1.0)
    }
}

/// A network with the given parameters as evaluation sees it; `sizes` from the features to the code.
pub(crate) fn network(sizes: &[usize], layers: &[Layer], linear: bool) -> Box<dyn TrainedModel> {
    let device = Device::flex().autodiff();
    let initializer = &mut Initializer::new(1, &device);
    let layer = |(sizes, layer): (&[usize], &Layer)| Affine {
        weight: Param::initialized(
            initializer.id(),
            Tensor::from_data(TensorData::new(layer.weight.clone(), [sizes[0], sizes[1]]), &device).require_grad(),
        ),
        bias: Param::initialized(
            initializer.id(),
            Tensor::from_data(TensorData::new(layer.bias.clone(), [sizes[1]]), &device).require_grad(),
        ),
    };
    snapshot(&Network { layers: sizes.windows(2).zip(layers).map(layer).collect(), linear })
}

/// Random layers of these sizes.
pub(crate) fn random_layers(sizes: &[usize], scale: f32, seed: u64) -> Vec<Layer> {
    let values = |num: usize, seed: u64| Table::random(num, &[1], seed).values.iter().map(|value| scale * (2.0 * value - 1.0)).collect();
    sizes
        .windows(2)
        .zip(0..)
        .map(|(sizes, index)| Layer {
            weight: values(sizes[0] * sizes[1], 2 * index + 100 * seed),
            bias: values(sizes[1], 2 * index + 1 + 100 * seed),
        })
        .collect()
}

/// What an evaluation is made on.
pub(crate) struct Data<'a> {
    pub(crate) train: &'a dyn Examples,
    pub(crate) valid: &'a dyn Examples,
    pub(crate) test: &'a dyn Examples,
}

/// The outcome of the evaluation `name` with `options`, on a model and on what stands for it before training.
pub(crate) fn measure(
    name: &str,
    options: Value,
    model: &dyn TrainedModel,
    untrained: &dyn Fn(u64) -> Result<Box<dyn TrainedModel>, StateError>,
    data: &Data<'_>,
    (batch_size, seed): (usize, u64),
) -> Result<Outcome, EvaluationError> {
    let evaluation = (aelab_eval::find(name).expect("a known evaluation").parse)(options).expect("options that parse");
    let device = Device::flex();
    let code_size = model.encode(Tensor::zeros([1, data.test.spec().num_features()], &device)).dims()[1];
    evaluation.measure(&EvaluationContext {
        model,
        untrained,
        train: data.train,
        valid: data.valid,
        test: data.test,
        device: &device,
        batch_size,
        seed,
        code_size,
        progress: Progress::end(1.0, 10),
        cache_dir: None,
        data_checksum: "a checksum",
        memo: Memo::default(),
        pulse: &Pulse::default(),
    })
}

/// The value of a metric.
pub(crate) fn value(outcome: &Outcome, name: &str) -> Option<f64> {
    outcome.measurements.iter().find(|measurement| measurement.name == name).map(|measurement| measurement.value)
}
