//! The zoo: one file per published model, each in the order header, configuration, module,
//! [`Autoencoder`](aelab_core::Autoencoder), [`ModelConfig`](aelab_core::ModelConfig), tests.
//!
//! What several models share has files of its own: [`AutoencoderNetwork`] (deterministic encoder and
//! decoder of any kind), [`VariationalNetwork`] (those of variational models), [`SequenceNetwork`] (those of series),
//! [`Reconstruction`] (output activation and reconstruction loss), [`Likelihood`] (of variational models).

#![forbid(unsafe_code)]

use aelab_core::ModelEntry;

mod adversarial;
mod adversarial_training;
mod auto_rec;
mod beta_tc_vae;
mod beta_vae;
mod choices;
mod code_statistics;
mod conditional_vae;
mod contractive;
mod convolutional;
mod deep;
mod denoising;
mod density;
mod dictionary;
mod dip_vae;
mod discrepancy;
mod factor_vae;
mod gated_sae;
mod greedy;
mod hierarchical_vae;
mod info_vae;
mod iwae;
mod jump_relu_sae;
mod k_sparse;
mod layer_autoencoder;
mod layer_kind;
mod layer_stack;
mod likelihood;
mod linear;
mod lstm;
mod masked;
mod mult_dae;
mod mult_vae;
mod multi_decoder;
mod network;
mod rae;
mod rbm_pretraining;
mod reconstruction;
mod schema;
mod sequence_network;
#[cfg(test)]
mod sequence_padding;
mod sequence_vae;
mod sparse;
mod stacked;
mod top_k_sae;
mod undercomplete;
mod vae;
mod vamp_vae;
mod variational_network;
mod vq_vae;
mod wae;

pub use adversarial::{Adversarial, AdversarialConfig};
pub use adversarial_training::{Discriminator, DiscriminatorConfig};
pub use auto_rec::{AutoRec, AutoRecConfig};
pub use beta_tc_vae::{BetaTcVae, BetaTcVaeConfig, TotalCorrelationEstimator};
pub use beta_vae::{BetaVae, BetaVaeConfig, CapacityConfig};
pub use conditional_vae::{ConditionalVae, ConditionalVaeConfig};
pub use contractive::{ContractionPenalty, Contractive, ContractiveConfig, HessianPenalty};
pub use convolutional::{Convolutional, ConvolutionalConfig};
pub use deep::{Deep, DeepConfig, DeepPretraining};
pub use denoising::{Denoising, DenoisingConfig, Emphasis};
pub use density::{CodeDensity, GaussianMixture};
pub use dictionary::InitialBias;
pub use dip_vae::{DipVae, DipVaeConfig, DipVariant};
pub use discrepancy::{DiscrepancyEstimator, KernelConfig};
pub use factor_vae::{FactorVae, FactorVaeConfig};
pub use gated_sae::{GatedSae, GatedSaeConfig};
pub use hierarchical_vae::{HierarchicalVae, HierarchicalVaeConfig};
pub use info_vae::{InfoVae, InfoVaeConfig};
pub use iwae::{Iwae, IwaeConfig};
pub use jump_relu_sae::{JumpReluSae, JumpReluSaeConfig};
pub use k_sparse::{KSparse, KSparseConfig};
pub use layer_kind::{LayerKind, LayerKinds, LayerSparsity};
pub use layer_stack::{LayerStack, StackLayer};
pub use likelihood::{Likelihood, LikelihoodConfig};
pub use linear::{LinearAutoencoder, LinearConfig};
pub use lstm::{Lstm, LstmConfig};
pub use masked::{Fill, LossOn, Masked, MaskedConfig};
pub use mult_dae::{MultDae, MultDaeConfig};
pub use mult_vae::{MultVae, MultVaeConfig};
pub use multi_decoder::{MultiDecoder, MultiDecoderConfig};
pub use network::{AutoencoderNetwork, AutoencoderNetworkConfig, SharedEncoderNetwork};
pub use rae::{DecoderRegularizer, DensityConfig, Rae, RaeConfig};
pub use rbm_pretraining::{Momentum, RbmTraining};
pub use reconstruction::{OutputActivation, Reconstruction, ReconstructionLoss};
pub use sequence_network::{Decoding, SequenceNetwork, SequenceNetworkConfig};
pub use sequence_vae::{SequenceVae, SequenceVaeConfig};
pub use sparse::{ActivationAverage, Sparse, SparseConfig, SparsityPenalty};
pub use stacked::{Stacked, StackedConfig, StackedPretraining};
pub use top_k_sae::{AuxiliaryLoss, TopKSae, TopKSaeConfig};
pub use undercomplete::{Undercomplete, UndercompleteConfig};
pub use vae::{Vae, VaeConfig};
pub use vamp_vae::{PseudoInputStart, VampVae, VampVaeConfig};
pub use variational_network::{VariationalNetwork, VariationalNetworkConfig};
pub use vq_vae::{CodebookLearning, VqVae, VqVaeConfig};
pub use wae::{Wae, WaeConfig};

/// Every model of this crate, in the order in which they are listed.
pub const MODELS: &[ModelEntry] = &[
    ModelEntry::new::<UndercompleteConfig>(),
    ModelEntry::new::<LinearConfig>(),
    ModelEntry::new::<StackedConfig>(),
    ModelEntry::new::<DeepConfig>(),
    ModelEntry::new::<ConvolutionalConfig>(),
    ModelEntry::new::<SparseConfig>(),
    ModelEntry::new::<KSparseConfig>(),
    ModelEntry::new::<TopKSaeConfig>(),
    ModelEntry::new::<GatedSaeConfig>(),
    ModelEntry::new::<JumpReluSaeConfig>(),
    ModelEntry::new::<DenoisingConfig>(),
    ModelEntry::new::<ContractiveConfig>(),
    ModelEntry::new::<MaskedConfig>(),
    ModelEntry::new::<VaeConfig>(),
    ModelEntry::new::<BetaVaeConfig>(),
    ModelEntry::new::<BetaTcVaeConfig>(),
    ModelEntry::new::<FactorVaeConfig>(),
    ModelEntry::new::<DipVaeConfig>(),
    ModelEntry::new::<InfoVaeConfig>(),
    ModelEntry::new::<IwaeConfig>(),
    ModelEntry::new::<VampVaeConfig>(),
    ModelEntry::new::<ConditionalVaeConfig>(),
    ModelEntry::new::<VqVaeConfig>(),
    ModelEntry::new::<HierarchicalVaeConfig>(),
    ModelEntry::new::<WaeConfig>(),
    ModelEntry::new::<AdversarialConfig>(),
    ModelEntry::new::<RaeConfig>(),
    ModelEntry::new::<LstmConfig>(),
    ModelEntry::new::<SequenceVaeConfig>(),
    ModelEntry::new::<MultiDecoderConfig>(),
    ModelEntry::new::<AutoRecConfig>(),
    ModelEntry::new::<MultDaeConfig>(),
    ModelEntry::new::<MultVaeConfig>(),
];
