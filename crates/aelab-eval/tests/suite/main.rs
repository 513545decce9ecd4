//! Metrics, baselines and evaluations, from outside.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

mod common;
mod evaluations;
mod fine_tune;
mod image_metrics;
mod jacobian;
mod learned;
mod memorisation;
mod pca;
mod real_data;
mod sparsity;
