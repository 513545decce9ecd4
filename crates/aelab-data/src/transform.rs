//! Scaling and binarization: from the numbers of a file to the numbers that a model sees.

use std::fmt;

use aelab_core::{ConfigError, Domain, Stream};
use aelab_kernels::{append_fractions, fraction};
use rand::Rng;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::dataset::Values;
use crate::observed::Observed;
use crate::partition::Rows;
use crate::{DataError, Origin};

/// What statistics are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Each feature has its own.
    Feature,
    /// All features of all examples share one.
    Dataset,
}

/// How values are scaled. What is fitted is fitted on the training split only.
///
/// Before any scaling, unsigned bytes (images) are read as fractions of 255.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// As they are.
    #[default]
    None,
    /// From the minimum and maximum of the training split to [0, 1]; what lies outside in another split is clamped.
    UnitInterval {
        /// Whose minimum and maximum.
        per: Per,
    },
    /// To mean 0 and standard deviation 1 of the training split; a constant feature becomes 0.
    Standardize {
        /// Whose mean and standard deviation.
        per: Per,
    },
    /// From `[low, high]` to [0, 1], nothing fitted; a value outside is an error.
    KnownRange {
        /// What becomes 0.
        low: f64,
        /// What becomes 1.
        high: f64,
    },
}

impl Scale {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Scale::KnownRange { low, high } if !(low.is_finite() && high.is_finite() && low < high) => {
                let message = format!("`low` must be less than `high` and both finite, but they are {low} and {high}");
                Err(ConfigError::new("known_range", message))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn domain(&self, native: Domain) -> Domain {
        match self {
            Scale::None => native,
            Scale::UnitInterval { .. } | Scale::KnownRange { .. } => Domain::UnitInterval,
            Scale::Standardize { .. } => Domain::Real,
        }
    }
}

/// The map forms of [`Scale`]; the visitor adds the bare words.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ScaleMap {
    /// From the minimum and maximum of the training split to [0, 1].
    UnitInterval {
        /// Whose minimum and maximum.
        #[serde(default = "per_dataset")]
        per: Per,
    },
    /// To mean 0 and standard deviation 1 of the training split.
    Standardize {
        /// Whose mean and standard deviation.
        #[serde(default = "per_feature")]
        per: Per,
    },
    /// From `[low, high]` to [0, 1].
    KnownRange {
        /// What becomes 0.
        low: f64,
        /// What becomes 1.
        high: f64,
    },
}

fn per_dataset() -> Per {
    Per::Dataset
}

fn per_feature() -> Per {
    Per::Feature
}

impl<'de> Deserialize<'de> for Scale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrMap;

        impl<'de> Visitor<'de> for WordOrMap {
            type Value = Scale;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("none, unit_interval, standardize or a map with one of unit_interval, standardize, known_range")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Scale, E> {
                match word {
                    "none" => Ok(Scale::None),
                    "unit_interval" => Ok(Scale::UnitInterval { per: per_dataset() }),
                    "standardize" => Ok(Scale::Standardize { per: per_feature() }),
                    "known_range" => Err(E::custom("known_range needs its range: {known_range: {low: 0, high: 255}}")),
                    other => Err(E::unknown_variant(other, &["none", "unit_interval", "standardize", "known_range"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scale, A::Error> {
                Ok(match ScaleMap::deserialize(de::value::MapAccessDeserializer::new(map))? {
                    ScaleMap::UnitInterval { per } => Scale::UnitInterval { per },
                    ScaleMap::Standardize { per } => Scale::Standardize { per },
                    ScaleMap::KnownRange { low, high } => Scale::KnownRange { low, high },
                })
            }
        }

        deserializer.deserialize_any(WordOrMap)
    }
}

impl JsonSchema for Scale {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scale".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<ScaleMap>();
        json_schema!({
            "description": "How values are scaled; what is fitted is fitted on the training split only.",
            "anyOf": [{"enum": ["none", "unit_interval", "standardize"]}, map]
        })
    }
}

/// How values in [0, 1] become 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Binarize {
    /// They stay as they are.
    #[default]
    None,
    /// 1 where the value is greater than the threshold.
    Threshold(f64),
    /// 1 with the value as probability, drawn once per value by `split_seed` (as in the binarized MNIST of
    /// Salakhutdinov and Murray 2008).
    Static,
    /// 1 with the value as probability, drawn anew each time an example is read.
    Dynamic,
}

impl Binarize {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Binarize::Threshold(threshold) if !(0.0..1.0).contains(threshold) => {
                let message = format!("the threshold must be at least 0 and less than 1, but is {threshold}");
                Err(ConfigError::new("threshold", message))
            }
            _ => Ok(()),
        }
    }
}

/// `(value - center) * factor`, with one pair for all features or one each.
#[derive(Debug, Clone, PartialEq)]
enum Affine {
    Identity,
    Uniform { center: f64, factor: f64 },
    PerFeature { center: Vec<f64>, factor: Vec<f64> },
}

/// A scaling whose numbers are known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaling {
    affine: Affine,
    clamp: bool,
}

impl Scaling {
    /// Takes the statistics of the observed values of the training rows.
    pub(crate) fn fit(scale: Scale, values: &Values, observed: &Observed, rows: &Rows, width: usize) -> Self {
        let affine = match scale {
            Scale::None => Affine::Identity,
            Scale::KnownRange { low, high } => Affine::Uniform { center: low, factor: 1.0 / (high - low) },
            Scale::UnitInterval { per } => {
                let (low, high) = extremes(values, observed, rows, width);
                let (low, high) = match per {
                    Per::Feature => (low, high),
                    Per::Dataset => (
                        vec![low.iter().copied().fold(f64::INFINITY, f64::min)],
                        vec![high.iter().copied().fold(f64::NEG_INFINITY, f64::max)],
                    ),
                };
                let factor = low.iter().zip(&high).map(|(low, high)| inverse(high - low)).collect();
                Affine::of(low, factor)
            }
            Scale::Standardize { per } => {
                let (mean, deviation) = moments(values, observed, rows, width, per);
                Affine::of(mean, deviation.into_iter().map(inverse).collect())
            }
        };
        Self { affine, clamp: matches!(scale, Scale::UnitInterval { .. }) }
    }
}

impl Affine {
    fn of(center: Vec<f64>, factor: Vec<f64>) -> Self {
        match (center.as_slice(), factor.as_slice()) {
            (&[center], &[factor]) => Affine::Uniform { center, factor },
            _ => Affine::PerFeature { center, factor },
        }
    }
}

/// 1 / `spread`; a feature that does not vary is only centred.
fn inverse(spread: f64) -> f64 {
    if spread > 0.0 { 1.0 / spread } else { 1.0 }
}

/// Minimum and maximum of each feature; both 0 for one that is never observed.
fn extremes(values: &Values, observed: &Observed, rows: &Rows, width: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut low, mut high) = (vec![f64::INFINITY; width], vec![f64::NEG_INFINITY; width]);
    let mut take = |column: usize, value: f32| {
        low[column] = low[column].min(f64::from(value));
        high[column] = high[column].max(f64::from(value));
    };
    for_each_observed(values, observed, rows, width, &mut take);
    let none: Vec<usize> = (0..width).filter(|&column| low[column] > high[column]).collect();
    for column in none {
        (low[column], high[column]) = (0.0, 0.0);
    }
    (low, high)
}

/// Mean and standard deviation (of the population) in two passes: one would cancel where the mean is large.
fn moments(values: &Values, observed: &Observed, rows: &Rows, width: usize, per: Per) -> (Vec<f64>, Vec<f64>) {
    let (mut sums, mut counts) = (vec![0.0; width], vec![0u64; width]);
    for_each_observed(values, observed, rows, width, &mut |column, value| {
        sums[column] += f64::from(value);
        counts[column] += 1;
    });
    let pooled = |sums: Vec<f64>| match per {
        Per::Feature => sums.iter().zip(&counts).map(|(sum, &count)| sum / count.max(1) as f64).collect(),
        Per::Dataset => vec![sums.iter().sum::<f64>() / counts.iter().sum::<u64>().max(1) as f64; width],
    };
    let mean = pooled(sums);
    let mut squares = vec![0.0; width];
    for_each_observed(values, observed, rows, width, &mut |column, value| squares[column] += (f64::from(value) - mean[column]).powi(2));
    let deviation: Vec<f64> = pooled(squares).into_iter().map(f64::sqrt).collect();
    match per {
        Per::Feature => (mean, deviation),
        Per::Dataset => (mean[..1].to_vec(), deviation[..1].to_vec()),
    }
}

/// Hands each observed value with its column to `take`, row after row.
fn for_each_observed(values: &Values, observed: &Observed, rows: &Rows, width: usize, take: &mut impl FnMut(usize, f32)) {
    if observed.is_everything() {
        values.for_each_row(rows, width, |_, row| row.iter().enumerate().for_each(|(column, &value)| take(column, value)));
        return;
    }
    let mut mask = Vec::with_capacity(width);
    values.for_each_row(rows, width, |at, row| {
        mask.clear();
        observed.append_row(at, width, &mut mask);
        for (column, &value) in row.iter().enumerate().filter(|(column, _)| mask[*column] == 1.0) {
            take(column, value);
        }
    });
}

/// What turns stored values into the ones that a model sees, all numbers prepared.
#[derive(Debug, Clone)]
pub(crate) struct Transform {
    map: Map,
    /// Draw 0 or 1 with the value as probability.
    dynamic: bool,
}

#[derive(Debug, Clone)]
enum Map {
    /// `byte / divisor`, the common case, as a product and a sum: see [`parts_of_fraction`].
    Fraction([f32; 2]),
    /// One value for each byte.
    Table(Box<[f32; 256]>),
    /// `f32` as stored.
    Copy,
    /// `(stored - center) * factor` by feature, clamped to [0, 1] or not; then 1 where above the threshold.
    Affine { center: Vec<f32>, factor: Vec<f32>, clamp: bool, threshold: Option<f32> },
}

impl Transform {
    pub(crate) fn new(scaling: &Scaling, binarize: Binarize, values: &Values, width: usize) -> Self {
        let threshold = if let Binarize::Threshold(threshold) = binarize { Some(threshold as f32) } else { None };
        let map = match (values, &scaling.affine) {
            (Values::Bytes { divisor, .. }, Affine::Identity) if threshold.is_none() => match parts_of_fraction(*divisor) {
                Some(parts) => Map::Fraction(parts),
                None => Map::Table(Box::new(std::array::from_fn(|byte| byte as f32 / divisor))),
            },
            (Values::Bytes { divisor, .. }, Affine::Identity | Affine::Uniform { .. }) => {
                Map::Table(Box::new(std::array::from_fn(|byte| {
                    let native = byte as f32 / divisor;
                    let scaled = match scaling.affine {
                        Affine::Uniform { center, factor } => ((f64::from(native) - center) * factor) as f32,
                        _ => native,
                    };
                    let scaled = if scaling.clamp { scaled.clamp(0.0, 1.0) } else { scaled };
                    threshold.map_or(scaled, |threshold| above(scaled, threshold))
                })))
            }
            (Values::Floats(_), Affine::Identity) if threshold.is_none() => Map::Copy,
            (_, affine) => {
                let (center, factor) = match affine {
                    Affine::Identity => (vec![0.0; width], vec![1.0; width]),
                    Affine::Uniform { center, factor } => (vec![*center; width], vec![*factor; width]),
                    Affine::PerFeature { center, factor } => (center.clone(), factor.clone()),
                };
                let divisor = if let Values::Bytes { divisor, .. } = values { f64::from(*divisor) } else { 1.0 };
                let center = center.into_iter().map(|center| (center * divisor) as f32).collect();
                let factor = factor.into_iter().map(|factor| (factor / divisor) as f32).collect();
                Map::Affine { center, factor, clamp: scaling.clamp, threshold }
            }
        };
        Self { map, dynamic: binarize == Binarize::Dynamic }
    }

    /// Appends stored values, whole rows, scaled and compared with the threshold.
    pub(crate) fn append(&self, stored: &Values, range: std::ops::Range<usize>, out: &mut Vec<f32>) {
        let start = out.len();
        match (&self.map, stored) {
            (Map::Fraction(parts), Values::Bytes { data, .. }) => append_fractions(&data[range], *parts, out),
            (Map::Table(table), Values::Bytes { data, .. }) => out.extend(data[range].iter().map(|&byte| table[usize::from(byte)])),
            (Map::Copy, Values::Floats(data)) => out.extend_from_slice(&data[range]),
            (Map::Affine { center, factor, clamp, threshold }, stored) => {
                match stored {
                    Values::Bytes { data, .. } => {
                        for row in data[range].chunks_exact(center.len()) {
                            out.extend(
                                row.iter().zip(center).zip(factor).map(|((&byte, center), factor)| (f32::from(byte) - center) * factor),
                            );
                        }
                    }
                    Values::Floats(data) => {
                        for row in data[range].chunks_exact(center.len()) {
                            out.extend(row.iter().zip(center).zip(factor).map(|((value, center), factor)| (value - center) * factor));
                        }
                    }
                }
                if *clamp {
                    out[start..].iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
                }
                if let Some(threshold) = threshold {
                    out[start..].iter_mut().for_each(|value| *value = above(*value, *threshold));
                }
            }
            (Map::Fraction(_) | Map::Table(_), Values::Floats(_)) | (Map::Copy, Values::Bytes { .. }) => {
                unreachable!("a transform is made for its storage")
            }
        }
    }

    /// Draws what is drawn at each access.
    pub(crate) fn finish(&self, values: &mut [f32], stream: &mut Stream) {
        if self.dynamic {
            draw(values, stream);
        }
    }
}

/// `1 / divisor` as a sum of two numbers whose products with a byte add up to `byte / divisor` to the last bit, for every byte: a
/// division takes the processor several times as long. The first has few enough digits for its products to be exact. `None` where
/// some byte comes out otherwise.
fn parts_of_fraction(divisor: f32) -> Option<[f32; 2]> {
    let high = f32::from_bits((1.0 / divisor).to_bits() & 0xffff_ff00);
    let parts = [high, (1.0 / f64::from(divisor) - f64::from(high)) as f32];
    (0..=u8::MAX).all(|byte| fraction(byte, parts).to_bits() == (f32::from(byte) / divisor).to_bits()).then_some(parts)
}

fn above(value: f32, threshold: f32) -> f32 {
    if value > threshold { 1.0 } else { 0.0 }
}

/// Turns probabilities into 1 or 0. 16 random bits each resolve a probability to 1.5e-5, and 0 and 1 exactly.
pub(crate) fn draw(probabilities: &mut [f32], stream: &mut Stream) {
    const CHUNK: usize = 1024;
    let mut random = [0; 2 * CHUNK];
    for chunk in probabilities.chunks_mut(CHUNK) {
        let random = &mut random[..2 * chunk.len()];
        stream.fill_bytes(random);
        for (value, bits) in chunk.iter_mut().zip(random.chunks_exact(2)) {
            let uniform = f32::from(u16::from_le_bytes([bits[0], bits[1]])) + 0.5;
            *value = if uniform < *value * 65_536.0 { 1.0 } else { 0.0 };
        }
    }
}

/// Refuses observed values outside `[low, high]`.
pub(crate) fn check_range(
    origin: &Origin,
    values: &Values,
    observed: &Observed,
    width: usize,
    low: f32,
    high: f32,
    required_by: &'static str,
) -> Result<(), DataError> {
    let outside = |at: usize, value: f32| !(low..=high).contains(&value) && observed.contains(at / width, at % width, width);
    let found = match values {
        Values::Floats(data) => data.iter().enumerate().position(|(at, &value)| outside(at, value)).map(|at| (at, data[at])),
        Values::Bytes { data, divisor } => {
            let native = |byte: u8| f32::from(byte) / divisor;
            data.iter().enumerate().position(|(at, &byte)| outside(at, native(byte))).map(|at| (at, native(data[at])))
        }
    };
    match found {
        None => Ok(()),
        Some((at, value)) => {
            let (row, column) = (at / width, at % width);
            Err(DataError::OutOfRange { origin: origin.clone(), row, column, value, low, high, required_by })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_in_parts_is_the_quotient_to_the_last_bit_or_is_not_used() {
        assert!([1.0, 2.0, 15.0, 16.0, 255.0].into_iter().all(|divisor| parts_of_fraction(divisor).is_some()));
        for divisor in (1..=1000_u16).map(f32::from) {
            for byte in 0..=u8::MAX {
                let quotient = f32::from(byte) / divisor;
                assert!(parts_of_fraction(divisor).is_none_or(|parts| fraction(byte, parts) == quotient), "{byte} / {divisor}");
            }
        }
    }

    #[test]
    fn a_bare_word_stands_for_the_map_with_its_defaults() {
        let parse = |json: &str| serde_json::from_str::<Scale>(json);
        assert_eq!(parse(r#""none""#).unwrap(), Scale::None);
        assert_eq!(parse(r#""standardize""#).unwrap(), parse(r#"{"standardize": {"per": "feature"}}"#).unwrap());
        assert_eq!(parse(r#""unit_interval""#).unwrap(), parse(r#"{"unit_interval": {}}"#).unwrap());
        assert_eq!(serde_json::to_string(&parse(r#""standardize""#).unwrap()).unwrap(), r#"{"standardize":{"per":"feature"}}"#);
        let known = parse(r#"{"known_range": {"low": 0, "high": 16}}"#).unwrap();
        assert_eq!(parse(&serde_json::to_string(&known).unwrap()).unwrap(), known);
        assert!(parse(r#""known_range""#).unwrap_err().to_string().contains("{low: 0, high: 255}"));
        assert!(parse(r#""standardise""#).unwrap_err().to_string().contains("unknown variant `standardise`"));
        assert!(parse(r#"{"standardize": {"by": "feature"}}"#).unwrap_err().to_string().contains("unknown field `by`"));
    }

    #[test]
    fn bytes_are_exact_fractions() {
        let values = Values::Bytes { data: aelab_map::Numbers::owned((0..=255).collect()), divisor: 255.0 };
        let scaling = Scaling::fit(Scale::None, &values, &Observed::everything(), &Rows::Range(0..1), 256);
        let mut out = Vec::new();
        Transform::new(&scaling, Binarize::None, &values, 256).append(&values, 0..256, &mut out);
        let expected: Vec<f32> = (0..=255u8).map(|byte| f32::from(byte) / 255.0).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn impossible_and_certain_events_are_drawn_so() {
        let mut stream = aelab_core::stream(0, aelab_core::Purpose::Transform, 0, 0);
        let mut values: Vec<f32> = (0..400_000).map(|at| (at % 2) as f32).collect();
        let expected = values.clone();
        draw(&mut values, &mut stream);
        assert_eq!(values, expected);
    }
}
