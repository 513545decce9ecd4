//! Evaluations: one file each; a new one is a file here and a line in [`crate::EVALUATIONS`].

pub(crate) mod fine_tune;
pub(crate) mod jacobian;
mod latent_scatter;
mod log_likelihood;
mod mean_baseline;
pub(crate) mod memorisation;
mod objective;
mod pca_baseline;
pub(crate) mod recommendation;
mod reconstruction;
mod samples;
mod sequence;
pub(crate) mod sparsity;

pub(crate) use fine_tune::FineTune;
pub(crate) use jacobian::Jacobian;
pub(crate) use latent_scatter::LatentScatter;
pub(crate) use log_likelihood::LogLikelihood;
pub(crate) use mean_baseline::MeanBaseline;
pub(crate) use memorisation::Memorisation;
pub(crate) use objective::ObjectiveTerms;
pub(crate) use pca_baseline::PcaBaseline;
pub(crate) use recommendation::Recommendation;
pub(crate) use reconstruction::Reconstruction;
pub(crate) use samples::Samples;
pub(crate) use sequence::Sequence;
pub(crate) use sparsity::Sparsity;
