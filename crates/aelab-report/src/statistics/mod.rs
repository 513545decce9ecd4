//! Statistics of comparisons: intervals, ranks, paired tests, correction for multiple comparison.
//!
//! Plain functions on slices. Whatever cannot be said of so few numbers is `None`, never a NaN.

mod friedman;
mod holm;
mod interval;
mod paired_t;
mod paired_test;
mod ranks;
mod wilcoxon;

pub use friedman::{Friedman, friedman};
pub use holm::holm;
pub use interval::{CONFIDENCE, half_width};
pub use paired_t::paired_t;
pub use paired_test::PairedTest;
pub use ranks::{average_ranks, mean_ranks};
pub use wilcoxon::{MOST_EXACT, signed_rank_sum, wilcoxon};
