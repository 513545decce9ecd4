//! Distributions that values are drawn from: the axes of `random`, `sobol` and `search`.
//!
//! ```yaml
//! {uniform: {from: 0.1, to: 0.9}}         # a number of the interval
//! {log_uniform: {from: 1.0e-4, to: 0.1}}  # a number whose logarithm is uniform
//! {integer: {from: 2, to: 64}}            # a whole number, ends included
//! {log_integer: {from: 2, to: 256}}       # a whole number whose logarithm is about uniform
//! {choice: [relu, tanh]}                  # one of a list
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a value is drawn from. It maps the unit interval to values, so that any generator of points of the unit cube can draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Distribution {
    /// A number of the interval, all alike.
    Uniform(Bounds<f64>),
    /// A number whose logarithm is uniform.
    LogUniform(Bounds<f64>),
    /// A whole number, ends included, all alike.
    Integer(Bounds<i64>),
    /// A whole number, ends included, with weights as `log_uniform` gives them.
    LogInteger(Bounds<i64>),
    /// One of a list, all alike.
    Choice(Vec<Value>),
}

/// The ends of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bounds<T> {
    /// The smallest value.
    pub from: T,
    /// The largest value.
    pub to: T,
}

impl Distribution {
    /// The keys by which they are chosen.
    pub(crate) const NAMES: [&str; 5] = ["uniform", "log_uniform", "integer", "log_integer", "choice"];

    /// What is wrong with it, where it cannot be drawn from.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Uniform(bounds) | Self::LogUniform(bounds) if !(bounds.from.is_finite() && bounds.to.is_finite()) => {
                Err("its ends must be finite numbers".to_owned())
            }
            Self::Uniform(Bounds { from, to }) | Self::LogUniform(Bounds { from, to }) if from >= to => {
                Err(format!("`from: {from}` must be below `to: {to}`"))
            }
            Self::Integer(Bounds { from, to }) | Self::LogInteger(Bounds { from, to }) if from >= to => {
                Err(format!("`from: {from}` must be below `to: {to}`"))
            }
            Self::LogUniform(Bounds { from, .. }) if *from <= 0.0 => Err(format!("the logarithm of `from: {from}` does not exist")),
            Self::LogInteger(Bounds { from, .. }) if *from <= 0 => Err(format!("the logarithm of `from: {from}` does not exist")),
            Self::Integer(Bounds { from, to }) | Self::LogInteger(Bounds { from, to }) if from.abs().max(to.abs()) > MAX_INTEGER => {
                Err(format!("its ends must lie within -{MAX_INTEGER} and {MAX_INTEGER}"))
            }
            Self::Choice(values) if values.is_empty() => Err("it has nothing to choose from".to_owned()),
            _ => Ok(()),
        }
    }

    /// The value at `u`, of [0, 1): equal parts of the interval have equal probability.
    pub fn at(&self, u: f64) -> Value {
        // Twelve digits are far more than any sweep resolves, and print well.
        let number = |value: f64, bounds: &Bounds<f64>| Value::from(rounded(value).clamp(bounds.from, bounds.to));
        match self {
            Self::Uniform(bounds) => number(bounds.from + u * (bounds.to - bounds.from), bounds),
            Self::LogUniform(bounds) => number((bounds.from.ln() + u * (bounds.to / bounds.from).ln()).exp(), bounds),
            Self::Integer(Bounds { from, to }) => {
                let num = (to - from + 1) as f64;
                Value::from((from + (u * num).floor() as i64).clamp(*from, *to))
            }
            Self::LogInteger(Bounds { from, to }) => {
                // Each whole number stands for the interval of half on both sides.
                let (low, high) = (*from as f64 - 0.5, *to as f64 + 0.5);
                let value = (low.ln() + u * (high / low).ln()).exp();
                Value::from((value.round() as i64).clamp(*from, *to))
            }
            Self::Choice(values) => {
                let place = (u * values.len() as f64).floor() as usize;
                values[place.min(values.len() - 1)].clone()
            }
        }
    }

    /// The part of the unit interval around `u` that all gives the same value; `None` where every `u` has its own.
    pub fn cell(&self, u: f64) -> Option<(f64, f64)> {
        let equal = |num: f64| {
            let place = (u * num).floor().min(num - 1.0);
            (place / num, (place + 1.0) / num)
        };
        match self {
            Self::Uniform(_) | Self::LogUniform(_) => None,
            Self::Integer(Bounds { from, to }) => Some(equal((to - from + 1) as f64)),
            Self::LogInteger(Bounds { from, to }) => {
                let (low, high) = (*from as f64 - 0.5, *to as f64 + 0.5);
                let value = self.at(u).as_i64().unwrap_or(*from) as f64;
                let place = |end: f64| (end / low).ln() / (high / low).ln();
                Some((place(value - 0.5).max(0.0), place(value + 0.5).min(1.0)))
            }
            Self::Choice(values) => Some(equal(values.len() as f64)),
        }
    }
}

/// Whole numbers up to here are exact in `f64`.
const MAX_INTEGER: i64 = 1 << 50;

/// A number in twelve digits.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Distribution {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_unit_interval_is_mapped_by_quantiles() {
        assert_eq!(read(json!({"uniform": {"from": 0.0, "to": 2.0}})).at(0.25), json!(0.5));
        assert_eq!(read(json!({"log_uniform": {"from": 1e-4, "to": 1.0}})).at(0.5), json!(0.01));
        assert_eq!(read(json!({"choice": ["a", "b", "c"]})).at(0.5), json!("b"));
        for distribution in [read(json!({"integer": {"from": 2, "to": 5}})), read(json!({"log_integer": {"from": 2, "to": 5}}))] {
            let drawn: Vec<i64> = (0..1000).map(|i| distribution.at(f64::from(i) / 1000.0).as_i64().unwrap()).collect();
            assert!(drawn.is_sorted() && drawn[0] == 2 && drawn[999] == 5, "both ends are drawn, in order");
            let count = |value| drawn.iter().filter(|drawn| **drawn == value).count();
            let is_even = count(2) == 250 && count(5) == 250;
            assert!(is_even == matches!(distribution, Distribution::Integer(_)));
        }
        let log = read(json!({"log_integer": {"from": 1, "to": 1000}}));
        let below_32 = (0..1000).filter(|i| log.at(f64::from(*i) / 1000.0).as_i64().unwrap() < 32).count();
        assert!((500..600).contains(&below_32), "half of the logarithm lies below the geometric mean: {below_32}");
    }

    #[test]
    fn a_cell_is_all_that_gives_one_value() {
        for distribution in [
            read(json!({"integer": {"from": -2, "to": 5}})),
            read(json!({"log_integer": {"from": 1, "to": 40}})),
            read(json!({"choice": ["a", "b", "c"]})),
        ] {
            for i in 0..500 {
                let u = f64::from(i) / 500.0;
                let (low, high) = distribution.cell(u).unwrap();
                assert!(low <= u + 1e-12 && u < high + 1e-12 && (0.0..=1.0).contains(&low) && high <= 1.0);
                let width = high - low;
                for inside in [low + 1e-6 * width, high - 1e-6 * width, (low + high) / 2.0] {
                    assert_eq!(distribution.at(inside), distribution.at(u), "{distribution:?} at {u}");
                }
            }
        }
        assert_eq!(read(json!({"uniform": {"from": 0.0, "to": 2.0}})).cell(0.5), None);
    }

    #[test]
    fn what_cannot_be_drawn_from_is_refused() {
        for wrong in [
            json!({"uniform": {"from": 1.0, "to": 1.0}}),
            json!({"log_uniform": {"from": 0.0, "to": 1.0}}),
            json!({"log_integer": {"from": 0, "to": 9}}),
            json!({"integer": {"from": 3, "to": 2}}),
            json!({"choice": []}),
        ] {
            assert!(read(wrong.clone()).check().is_err(), "{wrong}");
        }
        assert_eq!(read(json!({"uniform": {"from": -1, "to": 1}})).check(), Ok(()));
    }
}
