//! Metrics, baselines and evaluations, from outside.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

mod anomaly;
mod common;
mod cross_domain;
mod denoising;
mod disentanglement;
mod evaluations;
mod fine_tune;
mod generation;
mod image_metrics;
mod inpainting;
mod jacobian;
mod learned;
mod memorisation;
mod pca;
mod real_data;
mod recommendation;
mod reconstruction;
mod representation;
mod sparsity;
