//! Evaluations: one file each; a new one is a file here and a line in [`crate::EVALUATIONS`].

pub(crate) mod denoising;
pub(crate) mod dimension_reduction;
pub(crate) mod generation;
pub(crate) mod inpainting;
mod latent_pictures;
pub(crate) mod anomaly;
pub(crate) mod disentanglement;
mod latent_scatter;
pub(crate) mod linear_probe;
mod log_likelihood;
mod mean_baseline;
mod objective;
mod pca_baseline;
pub(crate) mod recommendation;
mod reconstruction;
pub(crate) mod retrieval;
mod samples;
mod sequence;

pub(crate) use denoising::Denoising;
pub(crate) use dimension_reduction::DimensionReduction;
pub(crate) use generation::Generation;
pub(crate) use inpainting::Inpainting;
pub(crate) use anomaly::Anomaly;
pub(crate) use disentanglement::Disentanglement;
pub(crate) use latent_scatter::LatentScatter;
pub(crate) use linear_probe::LinearProbe;
pub(crate) use log_likelihood::LogLikelihood;
pub(crate) use mean_baseline::MeanBaseline;
pub(crate) use objective::ObjectiveTerms;
pub(crate) use pca_baseline::PcaBaseline;
pub(crate) use recommendation::Recommendation;
pub(crate) use reconstruction::Reconstruction;
pub(crate) use retrieval::Retrieval;
pub(crate) use samples::Samples;
pub(crate) use sequence::Sequence;
