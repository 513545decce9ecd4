//! A hyperparameter that may change during training.
//!
//! Wherever a configuration holds a [`Scheduled`] value, YAML takes a number or a one-key map:
//!
//! ```yaml
//! beta: 4.0
//! beta: {linear: {from: 0.0, to: 4.0, epochs: 10}}
//! learning_rate: {warm_up: {epochs: 5, then: {cosine: {from: 1.0e-3, to: 1.0e-5}}}}
//! ```

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where training stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Optimizer steps taken before this one, over all stages.
    pub step: u64,
    /// Epochs of this stage behind us, with fraction: 2.5 is the middle of the third epoch.
    pub epoch: f64,
    /// Epochs of this stage in all.
    pub num_epochs: f64,
}

impl Progress {
    /// The end of training: what validation and evaluation of a finished model use.
    pub fn end(num_epochs: f64, step: u64) -> Self {
        Self { step, epoch: num_epochs, num_epochs }
    }
}

/// A number, or a schedule of numbers over epochs.
#[derive(Debug, Clone, PartialEq)]
pub enum Scheduled {
    /// The same value throughout.
    Constant(f64),
    /// A value that depends on the epoch.
    Schedule(Box<Schedule>),
}

/// How a value moves. Where `epochs` is left out it is the length of the stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// In a straight line from `from` to `to`, then constant.
    Linear {
        /// Value at the start.
        from: f64,
        /// Value at the end.
        to: f64,
        /// Epochs until the end is reached.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epochs: Option<f64>,
    },
    /// Half a cosine from `from` to `to`, then constant (Loshchilov & Hutter 2017, Eq. 5, one cycle).
    Cosine {
        /// Value at the start.
        from: f64,
        /// Value at the end.
        to: f64,
        /// Epochs until the end is reached.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epochs: Option<f64>,
    },
    /// `from * factor^epoch`, continuous in the epoch.
    Exponential {
        /// Value at the start.
        from: f64,
        /// Factor per epoch.
        factor: f64,
    },
    /// `from * factor^floor(epoch / every)`.
    Step {
        /// Value at the start.
        from: f64,
        /// Factor at each drop.
        factor: f64,
        /// Epochs between drops.
        every: f64,
    },
    /// From 0 to the first value of `then` in a straight line, then `then`, whose own clock starts afterwards.
    WarmUp {
        /// Epochs of the rise.
        epochs: f64,
        /// What follows.
        then: Scheduled,
    },
}

impl Scheduled {
    /// The value at `progress`.
    pub fn at(&self, progress: Progress) -> f64 {
        self.value(progress.epoch, progress.num_epochs)
    }

    /// The value after the last epoch of a stage of `num_epochs`.
    pub fn last(&self, num_epochs: f64) -> f64 {
        self.value(num_epochs, num_epochs)
    }

    fn value(&self, epoch: f64, num_epochs: f64) -> f64 {
        let schedule = match self {
            Scheduled::Constant(value) => return *value,
            Scheduled::Schedule(schedule) => schedule,
        };
        let fraction = |epochs: &Option<f64>| (epoch / epochs.unwrap_or(num_epochs)).clamp(0.0, 1.0);
        match schedule.as_ref() {
            Schedule::Linear { from, to, epochs } => from + (to - from) * fraction(epochs),
            Schedule::Cosine { from, to, epochs } => to + 0.5 * (from - to) * (1.0 + (std::f64::consts::PI * fraction(epochs)).cos()),
            Schedule::Exponential { from, factor } => from * factor.powf(epoch),
            Schedule::Step { from, factor, every } => from * factor.powf((epoch / every).floor()),
            Schedule::WarmUp { epochs, then } if epoch < *epochs => then.value(0.0, num_epochs - epochs) * epoch / epochs,
            Schedule::WarmUp { epochs, then } => then.value(epoch - epochs, num_epochs - epochs),
        }
    }

    /// Whether every value of the schedule lies in `low..=high`; the first that does not, otherwise.
    ///
    /// Schedules are monotone between the values that they name, so those decide.
    pub fn first_outside(&self, low: f64, high: f64) -> Option<f64> {
        let named: Vec<f64> = match self {
            Scheduled::Constant(value) => vec![*value],
            Scheduled::Schedule(schedule) => match schedule.as_ref() {
                Schedule::Linear { from, to, .. } | Schedule::Cosine { from, to, .. } => vec![*from, *to],
                Schedule::Exponential { from, factor } | Schedule::Step { from, factor, .. } => {
                    if *factor <= 1.0 {
                        vec![*from, 0.0]
                    } else {
                        vec![*from]
                    }
                }
                Schedule::WarmUp { then, .. } => return then.first_outside(low, high).or((low > 0.0).then_some(0.0)),
            },
        };
        named.into_iter().find(|value| !(low..=high).contains(value))
    }

    /// The first length or factor that makes no sense, with the reason.
    pub fn check(&self) -> Result<(), crate::ConfigError> {
        let positive = |name: &str, value: f64| {
            if value > 0.0 && value.is_finite() {
                Ok(())
            } else {
                Err(crate::ConfigError::new(name, format!("`{name}` of a schedule must be a positive number, but is {value}")))
            }
        };
        let Scheduled::Schedule(schedule) = self else { return Ok(()) };
        match schedule.as_ref() {
            Schedule::Linear { epochs: Some(epochs), .. } | Schedule::Cosine { epochs: Some(epochs), .. } => positive("epochs", *epochs),
            Schedule::Linear { .. } | Schedule::Cosine { .. } => Ok(()),
            Schedule::Exponential { factor, .. } => positive("factor", *factor),
            Schedule::Step { factor, every, .. } => positive("factor", *factor).and_then(|()| positive("every", *every)),
            Schedule::WarmUp { epochs, then } => positive("epochs", *epochs).and_then(|()| then.check()),
        }
        .map_err(|error| error.within(schedule.name()))
    }
}

impl Schedule {
    fn name(&self) -> &'static str {
        match self {
            Schedule::Linear { .. } => "linear",
            Schedule::Cosine { .. } => "cosine",
            Schedule::Exponential { .. } => "exponential",
            Schedule::Step { .. } => "step",
            Schedule::WarmUp { .. } => "warm_up",
        }
    }
}

impl From<f64> for Scheduled {
    fn from(value: f64) -> Self {
        Scheduled::Constant(value)
    }
}

impl From<Schedule> for Scheduled {
    fn from(schedule: Schedule) -> Self {
        Scheduled::Schedule(Box::new(schedule))
    }
}

impl Serialize for Scheduled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Scheduled::Constant(value) => serializer.serialize_f64(*value),
            Scheduled::Schedule(schedule) => schedule.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Scheduled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrSchedule;

        impl<'de> Visitor<'de> for NumberOrSchedule {
            type Value = Scheduled;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number or a schedule (linear, cosine, exponential, step, warm_up)")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scheduled, E> {
                Ok(Scheduled::Constant(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scheduled, E> {
                Ok(Scheduled::Constant(value as f64))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scheduled, E> {
                Ok(Scheduled::Constant(value as f64))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scheduled, A::Error> {
                Schedule::deserialize(de::value::MapAccessDeserializer::new(map)).map(Scheduled::from)
            }
        }

        deserializer.deserialize_any(NumberOrSchedule)
    }
}

impl JsonSchema for Scheduled {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scheduled".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let schedule = generator.subschema_for::<Schedule>();
        json_schema!({
            "description": "A number, or a schedule over epochs.",
            "anyOf": [{"type": "number"}, schedule]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(yaml_as_json: &str, epoch: f64) -> f64 {
        let scheduled: Scheduled = serde_json::from_str(yaml_as_json).unwrap();
        scheduled.at(Progress { step: 0, epoch, num_epochs: 10.0 })
    }

    #[test]
    fn a_number_is_constant() {
        assert_eq!(at("4", 3.0), 4.0);
        assert_eq!(at("1e-3", 0.0), 1e-3);
    }

    #[test]
    fn linear_and_cosine_start_and_end_where_they_say_and_stay_there() {
        for kind in ["linear", "cosine"] {
            let json = format!(r#"{{"{kind}": {{"from": 1.0, "to": 3.0, "epochs": 4}}}}"#);
            assert_eq!(at(&json, 0.0), 1.0);
            assert!((at(&json, 2.0) - 2.0).abs() < 1e-12);
            assert_eq!(at(&json, 4.0), 3.0);
            assert_eq!(at(&json, 9.0), 3.0);
        }
    }

    #[test]
    fn a_length_left_out_is_the_length_of_the_stage() {
        assert_eq!(at(r#"{"linear": {"from": 0.0, "to": 1.0}}"#, 5.0), 0.5);
    }

    #[test]
    fn step_drops_at_multiples_and_exponential_is_continuous() {
        assert_eq!(at(r#"{"step": {"from": 8.0, "factor": 0.5, "every": 2}}"#, 3.9), 4.0);
        assert_eq!(at(r#"{"step": {"from": 8.0, "factor": 0.5, "every": 2}}"#, 4.0), 2.0);
        assert!((at(r#"{"exponential": {"from": 8.0, "factor": 0.25}}"#, 0.5) - 4.0).abs() < 1e-12);
    }

    #[test]
    fn warm_up_rises_to_the_first_value_of_what_follows() {
        let json = r#"{"warm_up": {"epochs": 2, "then": {"linear": {"from": 1.0, "to": 0.0}}}}"#;
        assert_eq!(at(json, 0.0), 0.0);
        assert_eq!(at(json, 1.0), 0.5);
        assert_eq!(at(json, 2.0), 1.0);
        assert_eq!(at(json, 6.0), 0.5);
        assert_eq!(at(json, 10.0), 0.0);
    }

    #[test]
    fn json_round_trips() {
        for json in ["2.5", r#"{"warm_up":{"epochs":2.0,"then":{"cosine":{"from":1.0,"to":0.0}}}}"#] {
            let scheduled: Scheduled = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&scheduled).unwrap(), json);
        }
    }

    #[test]
    fn impossible_lengths_are_refused_with_their_path() {
        let scheduled: Scheduled = serde_json::from_str(r#"{"step": {"from": 1.0, "factor": 0.5, "every": 0}}"#).unwrap();
        assert_eq!(scheduled.check().unwrap_err().path, "step.every");
    }
}
