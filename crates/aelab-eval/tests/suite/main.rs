//! Metrics, baselines and evaluations, from outside.

mod common;
mod evaluations;
mod image_metrics;
mod pca;
mod real_data;
