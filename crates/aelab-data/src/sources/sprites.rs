//! `sprites`: pictures of one shape each, drawn from five known factors on the grid of dSprites.

use std::f64::consts::TAU;

use aelab_core::{ConfigError, DataSpec, Domain, Factors};
use aelab_map::Numbers;

use super::sum_of_made;
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_made;
use crate::options::dataset_config;
use crate::partition::permutation;
use crate::random::shared;
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

/// Changes with whatever changes the outcome.
const VERSION: u32 = 1;

/// Height and width of a picture.
const SIZE: usize = 64;

/// Names and numbers of values of the factors of a sprite, in their order.
pub const SPRITE_FACTORS: [(&str, usize); 5] = [("shape", 3), ("scale", 6), ("orientation", 40), ("x", 32), ("y", 32)];

/// Combinations of the factors.
const NUM_SPRITES: usize = 3 * 6 * 40 * 32 * 32;

const SHAPES: [&str; 3] = ["square", "ellipse", "heart"];

/// Radius of the circle around the largest sprite, in pixels.
const RADIUS: f64 = 12.0;

/// Least distance of the centre of a sprite from the centres of the pixels at the border: none reaches them.
const MARGIN: f64 = RADIUS + 1.0;

/// Largest distance of a point of the heart `(x^2 + y^2 - 1)^3 <= x^2 y^3` from the origin.
const HEART_RADIUS: f64 = 1.43;

dataset_config! { own,
    /// Binary pictures `[1, 64, 64]` of a square, an ellipse or a heart in 6 sizes, 40 orientations and 32 x 32 places:
    /// the 737,280 combinations of dSprites, drawn anew. The factors of each picture are known to the metrics; the label is
    /// the shape. It has no test split of its own.
    SpritesConfig {
        /// Pictures to draw, chosen among all combinations without repetition; at most 737,280. Each takes 4 KiB of
        /// memory.
        #[serde(default = "default_num_examples")]
        pub num_examples: usize,
        /// Seed of the choice; independent of the seed of the splits and of training.
        #[serde(default)]
        pub data_seed: u64,
    }
}

fn default_num_examples() -> usize {
    20_000
}

/// The picture of a combination of factors (see [`SPRITE_FACTORS`]), 64 rows of 64 values 0 and 1.
///
/// Sizes go from 1/2 to 1 in equal steps, orientations around the circle, places from 13 pixels after the first to 13
/// before the last, in steps of 37/31. A pixel is 1 when its centre lies in the shape.
///
/// # Panics
/// When a factor has not so many values.
pub fn sprite(factors: [usize; 5]) -> Vec<u8> {
    let mut pixels = vec![0; SIZE * SIZE];
    draw(factors, &mut pixels);
    pixels
}

/// Sets the pixels of a sprite; the others must be 0.
fn draw(factors: [usize; 5], pixels: &mut [u8]) {
    for (factor, (name, size)) in factors.iter().zip(SPRITE_FACTORS) {
        assert!(*factor < size, "{name} {factor} of {size}");
    }
    let [shape, scale, orientation, x, y] = factors;
    let radius = RADIUS * (0.5 + 0.1 * scale as f64);
    let (sine, cosine) = (TAU * orientation as f64 / 40.0).sin_cos();
    let place = |at: usize| MARGIN + (SIZE as f64 - 1.0 - 2.0 * MARGIN) * at as f64 / 31.0;
    let (center_x, center_y) = (place(x), place(y));
    let around = |center: f64| (center - radius).floor().max(0.0) as usize..=((center + radius).ceil() as usize).min(SIZE - 1);
    for row in around(center_y) {
        for column in around(center_x) {
            let (dx, dy) = ((column as f64 - center_x) / radius, (row as f64 - center_y) / radius);
            // Turned back, so that the shape is upright.
            let (u, v) = (cosine * dx + sine * dy, cosine * dy - sine * dx);
            let is_inside = match shape {
                0 => u.abs().max(v.abs()) <= std::f64::consts::FRAC_1_SQRT_2,
                1 => u * u + 4.0 * v * v <= 1.0,
                _ => {
                    // Rows go down, and the heart stands up.
                    let (a, b) = (u * HEART_RADIUS, -v * HEART_RADIUS);
                    (a * a + b * b - 1.0).powi(3) <= a * a * b.powi(3)
                }
            };
            pixels[row * SIZE + column] = u8::from(is_inside);
        }
    }
}

/// The factors of combination `index` of all, the last one fastest.
fn factors_of(mut index: usize) -> [usize; 5] {
    let mut factors = [0; 5];
    for (factor, (_, size)) in factors.iter_mut().zip(SPRITE_FACTORS).rev() {
        *factor = index % size;
        index /= size;
    }
    factors
}

impl DatasetSource for SpritesConfig {
    const NAME: &'static str = "sprites";
    const SUMMARY: &'static str = "made here: 64 x 64 binary pictures of shapes by five known factors, the grid of dSprites";
    const CITATION: &'static str = "After Matthey, Higgins, Hassabis and Lerchner 2017, dSprites: Disentanglement testing Sprites dataset, https://github.com/deepmind/dsprites-dataset";
    const EMBEDDED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        if !(1..=NUM_SPRITES).contains(&self.num_examples) {
            let message = format!("`num_examples` must be from 1 to {NUM_SPRITES}, but is {}", self.num_examples);
            return Err(ConfigError::new("num_examples", message));
        }
        self.options().with_classes(SHAPES)?.check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        Ok(sum_of_made(Self::NAME, VERSION, &(self.num_examples, self.data_seed)))
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(vec![1, SIZE, SIZE], Domain::Binary, Some(SHAPES.len())))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let order = permutation(NUM_SPRITES, &mut shared(self.data_seed));
            let mut data = vec![0; self.num_examples * SIZE * SIZE];
            let mut indices = Vec::with_capacity(self.num_examples * SPRITE_FACTORS.len());
            for (pixels, &index) in data.chunks_exact_mut(SIZE * SIZE).zip(&order) {
                let factors = factors_of(index as usize);
                draw(factors, pixels);
                indices.extend(factors.map(|factor| factor as u32));
            }
            let labels = indices.chunks_exact(SPRITE_FACTORS.len()).map(|factors| factors[0]).collect();
            let factors = Factors {
                names: SPRITE_FACTORS.map(|(name, _)| name.to_owned()).to_vec(),
                sizes: SPRITE_FACTORS.map(|(_, size)| size as u32).to_vec(),
                indices,
            };
            let values = Values::Bytes { data: Numbers::owned(data), divisor: 1.0 };
            let part = Part { factors: Some(factors), ..Part::new(Origin::file(Self::NAME), values, Some(labels)) };
            Ok(RawDataset::new(part, [1, SIZE, SIZE], Some(SHAPES.map(str::to_owned).to_vec())))
        };
        load_made(self, &self.options(), context, self.num_examples * SIZE * SIZE, decode)
    }
}

#[cfg(test)]
mod tests {
    use aelab_core::Examples;
    use serde_json::json;

    use super::*;
    use crate::random::made;

    #[test]
    fn the_factors_of_an_example_reproduce_its_picture_in_every_split() {
        let config: SpritesConfig = serde_json::from_value(json!({"num_examples": 300})).unwrap();
        let context = LoadContext { base_dir: "".into(), cache_dir: "".into(), offline: true };
        let dataset = DatasetSource::load(&config, &context).unwrap();
        for split in [&dataset.train, &dataset.valid, &dataset.test] {
            let (factors, labels) = (split.factors().unwrap(), split.labels().unwrap());
            assert_eq!((factors.names.len(), factors.sizes.clone()), (5, vec![3, 6, 40, 32, 32]));
            let mut values = Vec::new();
            split.gather(&(0..split.len()).collect::<Vec<_>>(), &mut made(0, 0), &mut values);
            for (example, picture) in values.chunks_exact(4096).enumerate() {
                let of: Vec<usize> = factors.of(example).iter().map(|&factor| factor as usize).collect();
                let expected = sprite(of.try_into().unwrap());
                assert!(picture.iter().zip(expected).all(|(&value, expected)| value == f32::from(expected)));
                assert_eq!(labels[example], factors.of(example)[0]);
            }
        }
    }

    #[test]
    fn combinations_are_numbered_without_gaps() {
        assert_eq!(factors_of(0), [0; 5]);
        assert_eq!(factors_of(NUM_SPRITES - 1), [2, 5, 39, 31, 31]);
        assert_eq!(factors_of(32 * 32 * 40 * 6 + 32 + 3), [1, 0, 0, 1, 3]);
    }

    #[test]
    fn shapes_have_their_areas_on_average_over_all_places_and_never_touch_the_border() {
        for (scale, orientation) in [(0, 0), (5, 0), (0, 7), (5, 13), (3, 33)] {
            let radius = RADIUS * (0.5 + 0.1 * scale as f64);
            // A square of diagonal 2 r; an ellipse of semi-axes r and r / 2; the curve of the heart encloses 3.662.
            let areas = [2.0, std::f64::consts::FRAC_PI_2, 3.662 / HEART_RADIUS.powi(2)].map(|area| area * radius * radius);
            for (shape, expected) in areas.into_iter().enumerate() {
                let mut sum = 0.0;
                // 31 places in steps of 37/31 lie at each of 31 fractions of a pixel.
                for (x, y) in (0..31).flat_map(|x| (0..31).map(move |y| (x, y))) {
                    let picture = sprite([shape, scale, orientation, x, y]);
                    sum += picture.iter().map(|&value| f64::from(value)).sum::<f64>();
                    let mut border = (0..SIZE).flat_map(|at| [at, (SIZE - 1) * SIZE + at, at * SIZE, at * SIZE + SIZE - 1]);
                    assert!(border.all(|at| picture[at] == 0));
                }
                let mean = sum / 961.0;
                assert!((mean / expected - 1.0).abs() < 0.01, "{shape} {scale} {orientation}: {mean} instead of {expected}");
            }
        }
    }

    #[test]
    fn moving_a_sprite_moves_its_centre_of_mass_and_nothing_else() {
        let center = |factors: [usize; 5]| {
            let picture = sprite(factors);
            let mass = picture.iter().map(|&value| f64::from(value)).sum::<f64>();
            let mean = |of: &dyn Fn(usize) -> usize| {
                picture.iter().enumerate().map(|(at, &value)| f64::from(value) * of(at) as f64).sum::<f64>() / mass
            };
            [mean(&|at| at % SIZE), mean(&|at| at / SIZE)]
        };
        for shape in 0..2 {
            for (x, y) in [(0, 0), (31, 0), (10, 20), (31, 31)] {
                let [column, row] = center([shape, 3, 11, x, y]);
                let place = |at: usize| 13.0 + 37.0 * at as f64 / 31.0;
                assert!((column - place(x)).abs() < 0.3 && (row - place(y)).abs() < 0.3, "{shape} {x} {y}: {column} {row}");
            }
        }
    }

    #[test]
    fn a_quarter_turn_turns_the_picture() {
        // At the place in the middle between pixels a quarter turn maps pixels to pixels; x and y differ by it in the grid,
        // so the ellipse is compared by its extents.
        let extents = |orientation: usize| {
            let picture = sprite([1, 5, orientation, 16, 16]);
            let rows = (0..SIZE).filter(|row| picture[row * SIZE..(row + 1) * SIZE].contains(&1)).count();
            let columns = (0..SIZE).filter(|column| (0..SIZE).any(|row| picture[row * SIZE + column] == 1)).count();
            (rows, columns)
        };
        let ((rows, columns), (turned_rows, turned_columns)) = (extents(0), extents(10));
        assert_eq!((rows, columns), (turned_columns, turned_rows));
        assert!(columns > rows + 8);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let check = |num_examples: usize| {
            DatasetSource::check(&serde_json::from_value::<SpritesConfig>(json!({"num_examples": num_examples})).unwrap())
        };
        assert!(check(1).is_ok() && check(NUM_SPRITES).is_ok());
        assert_eq!(check(0).unwrap_err().path, "num_examples");
        assert_eq!(check(NUM_SPRITES + 1).unwrap_err().path, "num_examples");
    }
}
