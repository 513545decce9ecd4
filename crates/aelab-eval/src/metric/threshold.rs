//! A threshold on scores, from scores of normal examples alone: a quantile, mean and standard deviation, or extreme-value theory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pareto::GeneralisedPareto;

/// How the score above which an example is called anomalous follows from scores of normal validation examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ThresholdRule {
    /// The quantile of the scores at this level between 0 and 1, linear between order statistics (Hyndman & Fan 1996, type 7).
    Quantile(#[serde(deserialize_with = "level")] f64),
    /// Mean plus this many standard deviations (divided by n).
    MeanPlusSigma(#[serde(deserialize_with = "positive")] f64),
    /// Peaks over threshold: a generalised Pareto distribution of what the scores exceed a high quantile by (Siffer et al. 2017, Eq. 1).
    ExtremeValue {
        /// Level of that quantile.
        #[serde(default = "initial_quantile", deserialize_with = "level")]
        initial_quantile: f64,
        /// Share of normal examples that is to lie above the threshold.
        #[serde(default = "false_alarm_rate", deserialize_with = "level")]
        false_alarm_rate: f64,
    },
}

impl Default for ThresholdRule {
    fn default() -> Self {
        ThresholdRule::Quantile(0.95)
    }
}

fn initial_quantile() -> f64 {
    0.9
}

fn false_alarm_rate() -> f64 {
    0.01
}

fn level<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value > 0.0 && value < 1.0 {
        Ok(value)
    } else {
        Err(serde::de::Error::custom(format!("expected a number between 0 and 1, found {value}")))
    }
}

fn positive<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value >= 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(serde::de::Error::custom(format!("expected a number from 0 on, found {value}")))
    }
}

impl ThresholdRule {
    /// The threshold, or `None` without scores. Where extreme-value theory has nothing to work with (nothing exceeds the initial
    /// quantile, or that quantile is beyond the rate asked for already) it is the plain quantile.
    pub fn threshold(&self, scores: &[f64]) -> Option<f64> {
        let mut scores = scores.to_vec();
        scores.sort_unstable_by(f64::total_cmp);
        match *self {
            ThresholdRule::Quantile(level) => quantile_of_sorted(&scores, level),
            ThresholdRule::MeanPlusSigma(factor) => {
                let num = scores.len() as f64;
                let mean = scores.iter().sum::<f64>() / num;
                let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / num;
                Some(mean + factor * variance.sqrt()).filter(|_| !scores.is_empty())
            }
            ThresholdRule::ExtremeValue { initial_quantile, false_alarm_rate } => {
                let start = quantile_of_sorted(&scores, initial_quantile)?;
                let excesses: Vec<f64> = scores.iter().map(|score| score - start).filter(|excess| *excess > 0.0).collect();
                let share = excesses.len() as f64 / scores.len() as f64;
                match GeneralisedPareto::fit(&excesses) {
                    Some(tail) if false_alarm_rate < share => Some(start + tail.exceeded_with_probability(false_alarm_rate / share)),
                    _ => quantile_of_sorted(&scores, 1.0 - false_alarm_rate),
                }
            }
        }
    }
}

/// The quantile of ascending values at `level`, linear between order statistics.
pub(crate) fn quantile_of_sorted(values: &[f64], level: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let place = level * last as f64;
    let (below, above) = (values[place.floor() as usize], values[(place.ceil() as usize).min(last)]);
    Some(below + (above - below) * place.fract())
}
