//! What a trained model is measured by: metrics, baselines and the evaluations that run them.
//!
//! An [`Evaluation`] is an entry of a YAML `evaluate:` list. It sees a model through
//! [`aelab_core::TrainedModel`] and data through [`aelab_core::Examples`], and gives back an
//! [`Outcome`]: numbers, each listed with definition, unit, direction and version in [`METRIC_GROUPS`], the
//! data of pictures, which others draw, and tables.
//!
//! Metrics are pure functions on slices, one file each. Values arrive as `f32`; every sum is taken in
//! `f64`, first over an example, then over examples, so that the batch size cannot change a result.
//! Data are drawn from one fixed stream per pass over a split, so that data which are binarised anew at
//! each access are the same for every metric and baseline of a trial.

#![forbid(unsafe_code)]

mod affine_denoiser;
mod baseline_cache;
mod classifier;
mod classifier_cache;
mod codes;
mod conditional_gaussian;
mod context;
mod error;
mod evaluation;
mod metric;
mod moments;
mod neighbours;
mod outcome;
mod pass;
mod pca;
mod pca_cache;
mod picture;
mod registry;
mod representation;
mod t_sne;
mod threads;

pub use affine_denoiser::AffineDenoiser;
pub use conditional_gaussian::{ConditionalGaussian, Gaussian};
pub use context::{EvaluationContext, Memo};
pub use error::EvaluationError;
pub use metric::agreement::{adjusted_rand_index, normalized_mutual_information};
pub use metric::auroc::{Interval, auroc, auroc_interval};
pub use metric::bce::{bce, cross_entropy_of_logarithms};
pub use metric::class_balance::{class_entropy, mode_coverage};
pub use metric::data_copying::{copied_share, copying_probability, copying_score, copying_threshold};
pub use metric::dci::{Dci, completeness, disentanglement};
pub use metric::decision_trees::{BaggedTrees, DecisionTree};
pub use metric::detection::{Bootstrap, Classification, Detected, average_precision, bootstrap, classify, detections};
pub use metric::dictionary::{max_cosines, mean_max_cosine};
pub use metric::ease::{CoOccurrences, Ease};
pub use metric::explicitness::{explicitness, one_against_rest_auroc};
pub use metric::factor_codes::FactorCodes;
pub use metric::fixed_factor::{active_dimensions, beta_vae_score, difference_points, factor_vae_score, factor_vae_vote};
pub use metric::frechet::frechet_distance;
pub use metric::info::{Direction, METRIC_GROUPS, MetricGroup, MetricInfo, metric_info, metrics, metrics_table};
pub use metric::k_means::{KMeans, k_means};
pub use metric::k_nearest::{k_nearest_accuracy, majority_class};
pub use metric::logistic_regression::LogisticRegression;
pub use metric::mae::mae;
pub use metric::manifold::{Balls, Overlap, overlap};
pub use metric::ms_ssim::{MsSsim, ms_ssim};
pub use metric::mse::mse;
pub use metric::mutual_information::{factor_entropies, mig, modularity, mutual_information};
pub use metric::pareto::GeneralisedPareto;
pub use metric::psnr::psnr;
pub use metric::ranking::{ndcg, recall, ties_by_score};
pub use metric::rating_biases::{Rating, RatingBiases, mean_rating};
pub use metric::sap::{linear_accuracies, sap, squared_correlations};
pub use metric::sparseness::{hoyer_sparseness, treves_rolls_sparseness};
pub use metric::sse::sse;
pub use metric::ssim::{Ssim, ssim};
pub use metric::threshold::ThresholdRule;
pub use metric::tied_ranking::{Tie, average_precision_with_ties, precision_at, ties_by_distance};
pub use metric::trustworthiness::{continuity, trustworthiness};
pub use metric::vus_pr::vus_pr;
pub use moments::Moments;
pub use neighbours::{Neighbour, nearest_neighbours};
pub use outcome::{DataTable, Measurement, Outcome};
pub use pca::{MAX_PCA_SIDE, Pca};
pub use picture::{BarSeries, ExampleRow, FieldPanel, Line, Picture, PictureContent};
pub use registry::{EVALUATIONS, Evaluation, EvaluationEntry, default_evaluations, find};
