//! An encoder that learns classes from labels: what fine-tuning needs of a model.

use burn::module::{Module, ModuleDisplay, Param, ParamId};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};

use crate::{Autoencoder, Batch, Optimizer};

/// The layer on top of an encoder and what trains both.
pub struct Head {
    /// Units of the code, as the encoder gives it.
    pub code_size: usize,
    /// Number of classes.
    pub num_classes: usize,
    /// Where training computes; an autodiff device.
    pub device: Device,
    /// Moves encoder and head.
    pub optimizer: Optimizer,
}

/// An encoder with an affine map to the logits of classes on top of it, both of which learn.
///
/// The head starts at 0, so that it says nothing before the first step and needs no random numbers. The encoder is never shown
/// the labels of a batch, even if it conditions on classes.
pub trait ClassifierTrainee {
    /// One step along the gradient of the mean cross-entropy in nats, which is returned as it was before the step. A step whose
    /// cross-entropy is not finite is not taken. `labels`: `[batch]`; everything on a device with a tape.
    fn train_step(&mut self, batch: &Batch, labels: Tensor<1, Int>, learning_rate: f64) -> f64;

    /// What has been learned so far, without a tape.
    fn snapshot(&self) -> Box<dyn Classifier>;
}

/// An encoder with a head, in validation mode.
pub trait Classifier {
    /// Logits, `[batch, class]`.
    fn logits(&self, batch: &Batch) -> Tensor<2>;
}

#[derive(Module, Debug)]
struct Network<M: Module + ModuleDisplay> {
    encoder: M,
    /// `[code, class]`.
    weight: Param<Tensor<2>>,
    /// `[class]`.
    bias: Param<Tensor<1>>,
}

impl<M: Autoencoder> Network<M> {
    fn logits(&self, batch: &Batch) -> Tensor<2> {
        let batch = Batch { labels: None, ..batch.clone() };
        let conditioned = self.encoder.conditioned(&batch);
        let codes = conditioned.as_ref().unwrap_or(&self.encoder).encode(batch.x);
        codes.matmul(self.weight.val()) + self.bias.val().unsqueeze::<2>()
    }
}

struct Trainee<M: Module + ModuleDisplay> {
    /// Absent only while an optimizer step has it.
    network: Option<Network<M>>,
    optimizer: Optimizer,
}

/// A classifier that starts from `encoder`, which is on a device with a tape.
pub(crate) fn classifier<M: Autoencoder>(encoder: M, head: Head) -> Box<dyn ClassifierTrainee> {
    let Head { code_size, num_classes, device, optimizer } = head;
    // Those of a model count up from 1.
    let (weight_id, bias_id) = (ParamId::from(u64::MAX - 1), ParamId::from(u64::MAX));
    let network = Network {
        encoder,
        weight: Param::initialized(weight_id, Tensor::zeros([code_size, num_classes], &device).require_grad()),
        bias: Param::initialized(bias_id, Tensor::zeros([num_classes], &device).require_grad()),
    };
    Box::new(Trainee { network: Some(network), optimizer })
}

impl<M: Autoencoder> ClassifierTrainee for Trainee<M> {
    fn train_step(&mut self, batch: &Batch, labels: Tensor<1, Int>, learning_rate: f64) -> f64 {
        let network = self.network.take().expect("a network is present between steps");
        let log_probabilities = log_softmax(network.logits(batch), 1);
        let cross_entropy = -log_probabilities.gather(1, labels.unsqueeze_dim(1)).mean();
        let value = f64::from(cross_entropy.clone().into_scalar::<f32>());
        self.network = Some(match value.is_finite() {
            true => self.optimizer.step(learning_rate, network, cross_entropy.backward()),
            false => network,
        });
        value
    }

    fn snapshot(&self) -> Box<dyn Classifier> {
        Box::new(Snapshot(self.network.as_ref().expect("a network is present between steps").valid()))
    }
}

struct Snapshot<M: Module + ModuleDisplay>(Network<M>);

impl<M: Autoencoder> Classifier for Snapshot<M> {
    fn logits(&self, batch: &Batch) -> Tensor<2> {
        self.0.logits(batch)
    }
}
