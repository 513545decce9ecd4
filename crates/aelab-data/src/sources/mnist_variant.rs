//! `mnist_variant`: harder sets derived from MNIST, after Larochelle et al. (2007).

use std::f64::consts::TAU;

use aelab_core::{ConfigError, DataSpec, Domain, Stream};
use aelab_map::Numbers;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mnist::{EVENT_SHAPE, read};
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_fetched;
use crate::fetch::MNIST;
use crate::options::dataset_config;
use crate::partition::permutation;
use crate::random::{made, shared, uniform};
use crate::{DataError, Dataset, DatasetSource, LoadContext, checksum};

/// Changes with whatever changes the outcome.
const VERSION: &str = "1";

const SIDE: usize = 28;
const WIDTH: usize = SIDE * SIDE;

/// Training and validation examples together, and test examples.
const NUM_EXAMPLES: [usize; 2] = [12_000, 50_000];

dataset_config! { official "num_valid",
    /// 10,000 training, 2,000 validation and 50,000 test digits of 28 x 28 grey pixels in [0, 1], drawn from all 70,000 of MNIST
    /// and changed; `aelab data fetch mnist` brings what they are made of.
    MnistVariantConfig {
        /// What is done to the digits.
        pub kind: MnistVariantKind,
        /// Seed of the choice of digits, the angles and the backgrounds; independent of the seed of the splits and of training.
        /// The digits of all kinds are the same.
        #[serde(default)]
        pub data_seed: u64,
    }
}

/// What is done to the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MnistVariantKind {
    /// Nothing: a small MNIST.
    Basic,
    /// Each is turned around its centre by an angle uniform in [0, 2 pi), bilinearly.
    Rot,
    /// Each gets a background of uniform noise; a pixel is the brighter of digit and background.
    BgRand,
}

fn num_valid() -> usize {
    2000
}

impl DatasetSource for MnistVariantConfig {
    const NAME: &'static str = "mnist_variant";
    const SUMMARY: &'static str = "62,000 digits of MNIST as they are (basic), turned (rot) or before noise (bg_rand)";
    const CITATION: &'static str = "After Larochelle, Erhan, Courville, Bergstra and Bengio 2007, An empirical evaluation of deep architectures on problems with many factors of variation, https://doi.org/10.1145/1273496.1273556; made of MNIST, see there";
    const FETCHED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        self.options().with_classes(0..10)?.check(true)
    }

    fn with_defaults(&self) -> Self {
        self.clone()
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        let kind = match self.kind {
            MnistVariantKind::Basic => "basic",
            MnistVariantKind::Rot => "rot",
            MnistVariantKind::BgRand => "bg_rand",
        };
        let parts = [
            ("mnist", MNIST.checksum()),
            ("version", VERSION.to_owned()),
            ("kind", kind.to_owned()),
            ("data_seed", self.data_seed.to_string()),
        ];
        Ok(checksum::combined(parts))
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(EVENT_SHAPE.to_vec(), Domain::UnitInterval, Some(10)))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let mnist = read(&MNIST, (0..10).map(|digit| digit.to_string()).collect(), context)?;
            let parts = [Some(&mnist.train), mnist.test.as_ref()];
            let pool: Vec<(&[u8], u32)> = parts.into_iter().flatten().flat_map(digits).collect();
            let order = permutation(pool.len(), &mut shared(self.data_seed));
            let (train, rest) = order.split_at(NUM_EXAMPLES[0]);
            let make = |chosen: &[u32]| {
                let mut data = Vec::with_capacity(chosen.len() * WIDTH);
                for &digit in chosen {
                    self.append(pool[digit as usize].0, &mut made(self.data_seed, digit as usize), &mut data);
                }
                let labels = chosen.iter().map(|&digit| pool[digit as usize].1).collect();
                Part::new(mnist.train.origin.clone(), Values::Bytes { data: Numbers::owned(data), divisor: 255.0 }, Some(labels))
            };
            Ok(RawDataset {
                train: make(train),
                test: Some(make(&rest[..NUM_EXAMPLES[1]])),
                event_shape: EVENT_SHAPE.to_vec(),
                class_names: mnist.class_names.clone(),
                hold_out: None,
                dictionary: None,
            })
        };
        load_fetched(self, &self.options(), context, &MNIST, &MNIST.files.iter().collect::<Vec<_>>(), decode)
    }
}

impl MnistVariantConfig {
    fn append(&self, digit: &[u8], stream: &mut Stream, out: &mut Vec<u8>) {
        match self.kind {
            MnistVariantKind::Basic => out.extend_from_slice(digit),
            MnistVariantKind::Rot => rotated(digit, TAU * uniform(stream), out),
            MnistVariantKind::BgRand => {
                let mut background = [0; WIDTH];
                stream.fill_bytes(&mut background);
                out.extend(digit.iter().zip(background).map(|(&digit, background)| digit.max(background)));
            }
        }
    }
}

/// Images and labels of a part of MNIST.
fn digits(part: &Part) -> impl Iterator<Item = (&[u8], u32)> {
    let data: &[u8] = if let Values::Bytes { data, .. } = &part.values { data } else { &[] };
    data.chunks_exact(WIDTH).zip(part.labels.iter().flatten().copied())
}

/// Pixels of 0 around a digit: as far as a corner of the picture can come from, and a neighbour.
const MARGIN: usize = 7;

const PADDED: usize = SIDE + 2 * MARGIN;

/// Appends a digit turned clockwise around the centre of the picture; what comes from outside is 0.
fn rotated(digit: &[u8], angle: f64, out: &mut Vec<u8>) {
    let mut padded = [0.0f64; PADDED * PADDED];
    for (row, pixels) in digit.chunks_exact(SIDE).enumerate() {
        let start = (row + MARGIN) * PADDED + MARGIN;
        padded[start..start + SIDE].iter_mut().zip(pixels).for_each(|(value, &pixel)| *value = f64::from(pixel));
    }
    let (sine, cosine) = angle.sin_cos();
    let center = (SIDE as f64 - 1.0) / 2.0;
    for row in 0..SIDE {
        for column in 0..SIDE {
            let (dx, dy) = (column as f64 - center, row as f64 - center);
            // Where the pixel came from, in padded coordinates, which are positive: rows go down, so that a positive angle
            // turns clockwise.
            let x = center + cosine * dx + sine * dy + MARGIN as f64;
            let y = center - sine * dx + cosine * dy + MARGIN as f64;
            let (left, top) = (x as usize, y as usize);
            let (right_share, bottom_share) = (x - left as f64, y - top as f64);
            let line = |start: usize| padded[start + left] * (1.0 - right_share) + padded[start + left + 1] * right_share;
            let value = line(top * PADDED) * (1.0 - bottom_share) + line((top + 1) * PADDED) * bottom_share;
            out.push((value + 0.5) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::FRAC_PI_2;

    use serde_json::json;

    use super::*;

    fn turned(digit: &[u8], angle: f64) -> Vec<u8> {
        let mut out = Vec::new();
        rotated(digit, angle, &mut out);
        out
    }

    fn picture() -> Vec<u8> {
        (0..WIDTH).map(|at| (at * 37 % 256) as u8).collect()
    }

    #[test]
    fn quarter_turns_map_pixels_to_pixels() {
        let picture = picture();
        assert_eq!(turned(&picture, 0.0), picture);
        let quarter = turned(&picture, FRAC_PI_2);
        // Clockwise: the first row becomes the last column.
        assert!((0..SIDE).all(|at| quarter[at * SIDE + SIDE - 1] == picture[at]));
        assert_eq!(turned(&turned(&quarter, FRAC_PI_2), 2.0 * FRAC_PI_2), picture);
    }

    #[test]
    fn turning_is_bilinear() {
        // A round hill stays itself at every angle, up to the error of interpolation: an eighth of the second derivative
        // (at most 255 / 16 in each direction) and half a grey value for each of the two roundings.
        let hill: Vec<u8> = (0..WIDTH)
            .map(|at| {
                let (dx, dy) = ((at % SIDE) as f64 - 13.5, (at / SIDE) as f64 - 13.5);
                (255.0 * (-(dx * dx + dy * dy) / 32.0).exp()).round() as u8
            })
            .collect();
        for angle in [0.3, 1.0, 4.0] {
            assert!(turned(&hill, angle).iter().zip(&hill).all(|(a, b)| a.abs_diff(*b) <= 5), "{angle}");
        }
        let mut dot = vec![0; WIDTH];
        dot[13 * SIDE + 20] = 200;
        let turned = turned(&dot, 0.7);
        let sum: f64 = turned.iter().map(|&value| f64::from(value)).sum();
        assert!((sum - 200.0).abs() < 40.0, "interpolation keeps about the mass of a dot: {sum}");
        // It lies 6.5 to the right of the centre and 0.5 above it; turned clockwise by 0.7 at (5.29, 3.81).
        let brightest = (0..WIDTH).max_by_key(|&at| turned[at]).unwrap();
        assert_eq!((brightest % SIDE, brightest / SIDE), (19, 17));
    }

    #[test]
    fn a_background_is_behind_the_digit() {
        let config: MnistVariantConfig = serde_json::from_value(json!({"kind": "bg_rand"})).unwrap();
        let mut out = Vec::new();
        config.append(&picture(), &mut made(0, 1), &mut out);
        assert!(out.iter().zip(picture()).all(|(&value, digit)| value >= digit));
        let mut blank = Vec::new();
        config.append(&[0; WIDTH], &mut made(0, 1), &mut blank);
        let mean = blank.iter().map(|&value| f64::from(value)).sum::<f64>() / WIDTH as f64;
        // Standard error: 74 / 28 = 2.6.
        assert!((mean - 127.5).abs() < 13.0, "{mean}");
        assert!(out.iter().zip(picture()).zip(blank).all(|((&value, digit), background)| value == digit.max(background)));
    }

    #[test]
    fn the_kind_has_to_be_said_and_is_part_of_the_identity() {
        let error = serde_json::from_value::<MnistVariantConfig>(json!({})).unwrap_err().to_string();
        assert!(error.contains("missing field `kind`"), "{error}");
        let context = LoadContext { base_dir: "".into(), cache_dir: "/nowhere".into(), offline: true };
        let config = |section| serde_json::from_value::<MnistVariantConfig>(section).unwrap();
        let sum = |section| DatasetSource::checksum(&config(section), &context).unwrap();
        assert_ne!(sum(json!({"kind": "basic"})), sum(json!({"kind": "rot"})));
        assert_ne!(sum(json!({"kind": "rot"})), sum(json!({"kind": "rot", "data_seed": 1})));
        assert_eq!(config(json!({"kind": "rot"})).num_valid, 2000);
        let error = DatasetSource::load(&config(json!({"kind": "rot"})), &context).unwrap_err().to_string();
        assert!(error.contains("run `aelab data fetch mnist`"), "{error}");
    }
}
