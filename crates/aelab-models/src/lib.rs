//! The zoo: one file per published model, each in the order header, configuration, module,
//! [`Autoencoder`](aelab_core::Autoencoder), [`ModelConfig`](aelab_core::ModelConfig), tests.
//!
//! What several models share has files of its own: [`AutoencoderNetwork`] (deterministic encoder and
//! decoder of any kind), [`VariationalNetwork`] (those of variational models),
//! [`Reconstruction`] (output activation and reconstruction loss), [`Likelihood`] (of variational models).

#![forbid(unsafe_code)]

use aelab_core::ModelEntry;

mod code_statistics;
mod contractive;
mod convolutional;
mod denoising;
mod dictionary;
mod gated_sae;
mod jump_relu_sae;
mod k_sparse;
mod likelihood;
mod masked;
mod network;
mod reconstruction;
mod schema;
mod sparse;
mod top_k_sae;
mod undercomplete;
mod vae;
mod variational_network;

pub use contractive::{ContractionPenalty, Contractive, ContractiveConfig, HessianPenalty};
pub use convolutional::{Convolutional, ConvolutionalConfig};
pub use denoising::{Denoising, DenoisingConfig, Emphasis};
pub use dictionary::InitialBias;
pub use gated_sae::{GatedSae, GatedSaeConfig};
pub use jump_relu_sae::{JumpReluSae, JumpReluSaeConfig};
pub use k_sparse::{KSparse, KSparseConfig};
pub use likelihood::{Likelihood, LikelihoodConfig};
pub use masked::{Fill, LossOn, Masked, MaskedConfig};
pub use network::{AutoencoderNetwork, AutoencoderNetworkConfig};
pub use reconstruction::{OutputActivation, Reconstruction, ReconstructionLoss};
pub use sparse::{ActivationAverage, Sparse, SparseConfig, SparsityPenalty};
pub use top_k_sae::{AuxiliaryLoss, TopKSae, TopKSaeConfig};
pub use undercomplete::{Undercomplete, UndercompleteConfig};
pub use vae::{Vae, VaeConfig};
pub use variational_network::{VariationalNetwork, VariationalNetworkConfig};

/// Every model of this crate, in the order in which they are listed.
pub const MODELS: &[ModelEntry] = &[
    ModelEntry::new::<UndercompleteConfig>(),
    ModelEntry::new::<DenoisingConfig>(),
    ModelEntry::new::<VaeConfig>(),
    ModelEntry::new::<ConvolutionalConfig>(),
    ModelEntry::new::<SparseConfig>(),
    ModelEntry::new::<ContractiveConfig>(),
    ModelEntry::new::<KSparseConfig>(),
    ModelEntry::new::<TopKSaeConfig>(),
    ModelEntry::new::<GatedSaeConfig>(),
    ModelEntry::new::<JumpReluSaeConfig>(),
    ModelEntry::new::<MaskedConfig>(),
];
