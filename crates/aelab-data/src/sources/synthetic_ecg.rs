//! `synthetic_ecg`: normal and abnormal heart beats made of Gaussian waves.
//!
//! McSharry, Clifford, Tarassenko and Smith (2003) let a point run around a circle once a beat and pull its height by
//! `dz/dt = -sum_i a_i dtheta_i exp(-dtheta_i^2 / (2 b_i^2)) - (z - z_0)`, one term for each of the waves P, Q, R, S
//! and T at its angle. Without the slow last term, at constant speed, that integrates to a sum of Gaussians of heights
//! `a_i b_i^2` (their table 1), which is what a beat is here.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_3, PI, TAU};

use aelab_core::{ConfigError, DataSpec, Domain, Stream};
use aelab_map::Numbers;

use super::{check_not_negative, check_size, sum_of_made};
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_made;
use crate::options::dataset_config;
use crate::random::{below, made, normal, uniform};
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

/// Changes with whatever changes the outcome.
const VERSION: u32 = 1;

/// As in ECG5000.
const LENGTH: usize = 140;

const CLASSES: [&str; 4] = ["normal", "ventricular", "supraventricular", "st_elevation"];

dataset_config! { own,
    /// Heart beats, series `[140, 1]`: waves P, Q, R, S and T as Gaussians, with random heights, widths and places,
    /// a wandering baseline and noise. Classes: normal; ventricular (premature ventricular contraction: no P, wide and high
    /// QRS, T upside down); supraventricular (early beat: P inverted and close, all but P shifted forward);
    /// st_elevation (the segment between S and T raised). The height of a normal R is 1. Anomalous time steps are known: those
    /// where the undisturbed beat of the class is more than 0.1 from the normal one. It has no test split of its own.
    SyntheticEcgConfig {
        /// Beats to make.
        #[serde(default = "default_num_examples")]
        pub num_examples: usize,
        /// Share of abnormal beats, whose three kinds are equally likely.
        #[serde(default = "default_abnormal_fraction")]
        pub abnormal_fraction: f64,
        /// How much beats of a kind differ: standard deviation of the factors of heights and widths.
        #[serde(default = "default_variation")]
        pub variation: f64,
        /// Standard deviation of the Gaussian noise that is added to each value.
        #[serde(default = "default_noise")]
        pub noise: f64,
        /// Seed of the beats; independent of the seed of the splits and of training.
        #[serde(default)]
        pub data_seed: u64,
    }
}

fn default_num_examples() -> usize {
    5000
}

fn default_abnormal_fraction() -> f64 {
    0.4
}

fn default_variation() -> f64 {
    0.1
}

fn default_noise() -> f64 {
    0.02
}

/// A Gaussian at an angle of the beat, which runs from -pi to pi with R at 0.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wave {
    angle: f64,
    height: f64,
    width: f64,
}

const fn wave(angle: f64, height: f64, width: f64) -> Wave {
    Wave { angle, height, width }
}

/// P, Q, R, S, T by table 1 of McSharry et al.: angles, `a b^2` as parts of that of R (0.3), and `b`.
const NORMAL: [Wave; 5] = [
    wave(-FRAC_PI_3, 0.25, 0.25),
    wave(-PI / 12.0, -1.0 / 6.0, 0.1),
    wave(0.0, 1.0, 0.1),
    wave(PI / 12.0, -0.25, 0.1),
    wave(FRAC_PI_2, 0.4, 0.4),
];

/// The waves of a beat of each class.
fn waves(class: usize) -> Vec<Wave> {
    let [p, q, r, s, t] = NORMAL;
    match class {
        1 => vec![wave(-0.5, -0.2, 0.25), Wave { height: 1.4, width: 0.28, ..r }, wave(0.65, -0.5, 0.3), Wave { height: -0.5, ..t }],
        2 => {
            let early = |wave: Wave| Wave { angle: wave.angle - 0.45, ..wave };
            vec![wave(-1.1, -0.15, 0.15), early(q), early(r), early(s), early(t)]
        }
        3 => vec![p, q, r, s, wave(0.75, 0.35, 0.3), t],
        _ => NORMAL.to_vec(),
    }
}

impl SyntheticEcgConfig {
    fn class(&self, stream: &mut Stream) -> usize {
        if uniform(stream) < self.abnormal_fraction { 1 + below(stream, CLASSES.len() - 1) } else { 0 }
    }

    /// The class and the values of beat `row`.
    fn beat(&self, row: usize) -> (usize, Vec<f32>) {
        let stream = &mut made(self.data_seed, row);
        let class = self.class(stream);
        let mut factor = |spread: f64| (1.0 + spread * normal(stream)).max(0.1);
        let overall = factor(self.variation);
        let waves: Vec<Wave> = waves(class)
            .into_iter()
            .map(|wave| Wave {
                // A tenth of a radian at the default variation is 2 of the 140 steps.
                angle: wave.angle + (factor(self.variation) - 1.0),
                height: wave.height * overall * factor(self.variation),
                width: wave.width * factor(self.variation),
            })
            .collect();
        let (swing, phase) = (0.5 * self.variation * normal(stream), TAU * uniform(stream));
        let values = (0..LENGTH).map(|time| {
            let angle = -PI + TAU * time as f64 / LENGTH as f64;
            // Breathing is several times slower than the heart.
            let baseline = swing * (angle / 4.0 + phase).sin();
            (height(&waves, angle) + baseline + self.noise * normal(stream)) as f32
        });
        (class, values.collect())
    }
}

/// Where the undisturbed beat of a class is more than this from the normal one, in heights of R, its time steps are anomalous.
const LEAST_DEPARTURE: f64 = 0.1;

/// 1 for each time step of the undisturbed beat of a class that is anomalous.
fn anomalous_steps(class: usize) -> [u8; LENGTH] {
    let (found, normal) = (waves(class), waves(0));
    std::array::from_fn(|time| {
        let angle = -PI + TAU * time as f64 / LENGTH as f64;
        u8::from((height(&found, angle) - height(&normal, angle)).abs() > LEAST_DEPARTURE)
    })
}

/// The sum of the waves.
fn height(waves: &[Wave], angle: f64) -> f64 {
    waves.iter().map(|wave| wave.height * (-(angle - wave.angle).powi(2) / (2.0 * wave.width.powi(2))).exp()).sum()
}

impl DatasetSource for SyntheticEcgConfig {
    const NAME: &'static str = "synthetic_ecg";
    const SUMMARY: &'static str = "made here: normal and abnormal heart beats of 140 steps, four classes";
    const CITATION: &'static str = "After McSharry, Clifford, Tarassenko and Smith 2003, A dynamical model for generating synthetic electrocardiogram signals, https://doi.org/10.1109/TBME.2003.808805";
    const EMBEDDED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        check_size(self.num_examples, LENGTH)?;
        if !(0.0..=1.0).contains(&self.abnormal_fraction) {
            let message = format!("`abnormal_fraction` must be from 0 to 1, but is {}", self.abnormal_fraction);
            return Err(ConfigError::new("abnormal_fraction", message));
        }
        check_not_negative("variation", self.variation)?;
        check_not_negative("noise", self.noise)?;
        self.options().with_classes(CLASSES)?.check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        let options = (self.num_examples, self.abnormal_fraction, self.variation, self.noise, self.data_seed);
        Ok(sum_of_made(Self::NAME, VERSION, &options))
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(vec![LENGTH, 1], Domain::Real, Some(CLASSES.len())))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let (mut values, mut labels) = (Vec::with_capacity(self.num_examples * LENGTH), Vec::with_capacity(self.num_examples));
            for row in 0..self.num_examples {
                let (class, beat) = self.beat(row);
                values.extend(beat);
                labels.push(class as u32);
            }
            let steps: [[u8; LENGTH]; CLASSES.len()] = std::array::from_fn(anomalous_steps);
            let point_labels = labels.iter().flat_map(|&class| steps[class as usize]).collect();
            let part = Part {
                point_labels: Some(point_labels),
                ..Part::new(Origin::file(Self::NAME), Values::Floats(Numbers::owned(values)), Some(labels))
            };
            Ok(RawDataset::new(part, [LENGTH, 1], Some(CLASSES.map(str::to_owned).to_vec())))
        };
        load_made(self, &self.options(), context, self.num_examples * LENGTH, decode)
    }
}

#[cfg(test)]
mod tests {
    use aelab_core::Examples;
    use serde_json::json;

    use super::*;

    fn config(section: serde_json::Value) -> SyntheticEcgConfig {
        serde_json::from_value(section).unwrap()
    }

    /// The undisturbed beat of a class.
    fn template(class: usize) -> Vec<f64> {
        (0..LENGTH).map(|time| height(&waves(class), -PI + TAU * time as f64 / LENGTH as f64)).collect()
    }

    fn highest(beat: &[f64]) -> usize {
        (0..beat.len()).max_by(|&a, &b| beat[a].total_cmp(&beat[b])).unwrap()
    }

    #[test]
    fn the_waves_of_a_normal_beat_come_in_their_order() {
        let beat = template(0);
        let at = |angle: f64| ((angle + PI) / TAU * LENGTH as f64).round() as usize;
        assert_eq!(highest(&beat), at(0.0), "R is the highest and in the middle");
        assert!((beat[at(0.0)] - 1.0).abs() < 0.1);
        let [p, q, s, t] = [-FRAC_PI_3, -PI / 12.0 - 0.06, PI / 12.0 + 0.06, FRAC_PI_2].map(|angle| beat[at(angle)]);
        assert!(p > 0.2 && q < -0.05 && s < -0.1 && t > 0.35, "{p} {q} {s} {t}");
    }

    #[test]
    fn abnormal_beats_differ_as_their_names_say() {
        let [normal, ventricular, early, raised] = [0, 1, 2, 3].map(template);
        let width = |beat: &[f64]| {
            let half = beat[highest(beat)] / 2.0;
            beat.iter().filter(|&&value| value > half).count()
        };
        assert!(width(&ventricular) >= 2 * width(&normal), "the QRS complex is wide");
        assert!(ventricular[105] < -0.3 && normal[105] > 0.3, "T is upside down");
        assert!(ventricular[46].abs() < 0.1 && normal[46] > 0.2, "there is no P");
        assert_eq!(highest(&normal) - highest(&early), 10, "the beat is early");
        assert!(raised[86] - normal[86] > 0.3 && (raised[70] - normal[70]).abs() < 0.05, "only the segment after S is raised");
    }

    #[test]
    fn anomalous_steps_are_where_a_class_departs_from_the_normal_beat() {
        let counts = [0, 1, 2, 3].map(|class| anomalous_steps(class).iter().map(|&step| usize::from(step)).sum::<usize>());
        assert_eq!(counts[0], 0);
        assert!(counts[1..].iter().all(|count| (10..100).contains(count)), "{counts:?}");
        let raised = anomalous_steps(3);
        // The segment between S (step 78) and T (105), and nothing before R (70).
        assert!(raised[..70].iter().all(|&step| step == 0) && raised[86] == 1);
    }

    #[test]
    fn points_of_the_split_follow_its_rows() {
        let config = config(json!({"num_examples": 40, "variation": 0, "noise": 0, "normal_classes": ["normal"]}));
        let dataset = DatasetSource::load(&config, &LoadContext::new(".")).unwrap();
        let mut points = Vec::new();
        assert!(dataset.train.gather_point_labels(&(0..dataset.train.len()).collect::<Vec<_>>(), &mut points));
        assert!(points.len() == dataset.train.len() * LENGTH && points.iter().all(|&point| point == 0.0));
        points.clear();
        assert!(dataset.test.gather_point_labels(&[0, 1, 2, 3], &mut points));
        for (labels, class) in points.chunks(LENGTH).zip(dataset.test.labels().unwrap()) {
            assert_eq!(labels, anomalous_steps(*class as usize).map(f32::from));
        }
    }

    #[test]
    fn without_variation_and_noise_a_beat_is_the_template_of_its_class() {
        let config = config(json!({"variation": 0, "noise": 0, "abnormal_fraction": 0.75}));
        let mut counts = [0; 4];
        for row in 0..2000 {
            let (class, beat) = config.beat(row);
            counts[class] += 1;
            assert!(beat.iter().zip(template(class)).all(|(&value, expected)| (f64::from(value) - expected).abs() < 1e-6));
        }
        // Standard deviation of each count: sqrt(2000 * 3 / 16) = 19.
        assert!(counts.iter().all(|count| (420..580).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_cannot_be_made_is_refused_at_its_key() {
        let path = |section| DatasetSource::check(&config(section)).unwrap_err().path;
        assert_eq!(path(json!({"abnormal_fraction": 1.1})), "abnormal_fraction");
        assert_eq!(path(json!({"variation": -1})), "variation");
        assert!(DatasetSource::check(&config(json!({}))).is_ok());
    }
}
