//! Metrics, baselines and evaluations, from outside.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

mod common;
mod cross_domain;
mod evaluations;
mod image_metrics;
mod pca;
mod real_data;
mod reconstruction;
