//! The zoo: one file per published model, each in the order header, configuration, module,
//! [`Autoencoder`](aelab_core::Autoencoder), [`ModelConfig`](aelab_core::ModelConfig), tests.
//!
//! What several models share has files of its own: [`AutoencoderNetwork`] (deterministic encoder and
//! decoder of any kind), [`VariationalNetwork`] (those of variational models),
//! [`Reconstruction`] (output activation and reconstruction loss), [`Likelihood`] (of variational models).

#![forbid(unsafe_code)]

use aelab_core::ModelEntry;

mod adversarial;
mod adversarial_training;
mod beta_tc_vae;
mod beta_vae;
mod convolutional;
mod denoising;
mod density;
mod dip_vae;
mod discrepancy;
mod factor_vae;
mod info_vae;
mod likelihood;
mod network;
mod rae;
mod reconstruction;
mod schema;
mod undercomplete;
mod vae;
mod variational_network;
mod wae;

pub use adversarial::{Adversarial, AdversarialConfig};
pub use adversarial_training::{Discriminator, DiscriminatorConfig};
pub use beta_tc_vae::{BetaTcVae, BetaTcVaeConfig, TotalCorrelationEstimator};
pub use beta_vae::{BetaVae, BetaVaeConfig, CapacityConfig};
pub use convolutional::{Convolutional, ConvolutionalConfig};
pub use denoising::{Denoising, DenoisingConfig};
pub use density::{CodeDensity, GaussianMixture};
pub use dip_vae::{DipVae, DipVaeConfig, DipVariant};
pub use discrepancy::{DiscrepancyEstimator, KernelConfig};
pub use factor_vae::{FactorVae, FactorVaeConfig};
pub use info_vae::{InfoVae, InfoVaeConfig};
pub use likelihood::{Likelihood, LikelihoodConfig};
pub use network::{AutoencoderNetwork, AutoencoderNetworkConfig};
pub use rae::{DecoderRegularizer, DensityConfig, Rae, RaeConfig};
pub use reconstruction::{OutputActivation, Reconstruction, ReconstructionLoss};
pub use undercomplete::{Undercomplete, UndercompleteConfig};
pub use vae::{Vae, VaeConfig};
pub use variational_network::{VariationalNetwork, VariationalNetworkConfig};
pub use wae::{Wae, WaeConfig};

/// Every model of this crate, in the order in which they are listed.
pub const MODELS: &[ModelEntry] = &[
    ModelEntry::new::<UndercompleteConfig>(),
    ModelEntry::new::<DenoisingConfig>(),
    ModelEntry::new::<VaeConfig>(),
    ModelEntry::new::<ConvolutionalConfig>(),
    ModelEntry::new::<BetaVaeConfig>(),
    ModelEntry::new::<BetaTcVaeConfig>(),
    ModelEntry::new::<DipVaeConfig>(),
    ModelEntry::new::<InfoVaeConfig>(),
    ModelEntry::new::<FactorVaeConfig>(),
    ModelEntry::new::<WaeConfig>(),
    ModelEntry::new::<AdversarialConfig>(),
    ModelEntry::new::<RaeConfig>(),
];
