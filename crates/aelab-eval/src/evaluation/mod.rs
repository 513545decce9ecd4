//! Evaluations: one file each; a new one is a file here and a line in [`crate::EVALUATIONS`].

pub(crate) mod cross_domain;
mod latent_scatter;
mod log_likelihood;
mod mean_baseline;
mod objective;
mod pca_baseline;
pub(crate) mod recommendation;
mod reconstruction;
mod samples;
mod sequence;

pub(crate) use cross_domain::CrossDomain;
pub(crate) use latent_scatter::LatentScatter;
pub(crate) use log_likelihood::LogLikelihood;
pub(crate) use mean_baseline::MeanBaseline;
pub(crate) use objective::ObjectiveTerms;
pub(crate) use pca_baseline::PcaBaseline;
pub(crate) use recommendation::Recommendation;
pub(crate) use reconstruction::Reconstruction;
pub(crate) use samples::Samples;
pub(crate) use sequence::Sequence;
