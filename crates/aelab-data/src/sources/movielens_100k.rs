//! `movielens_100k`: 100,000 ratings of 1,682 films by 943 users, as one row for each user or each film.

use std::sync::Arc;

use aelab_core::{ConfigError, DataSpec, Domain, Purpose, stream};
use aelab_map::Numbers;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::read_cached;
use crate::dataset::{Concealed, HoldOut, Part, RawDataset, Values};
use crate::fetch::MOVIELENS_100K;
use crate::observed::Observed;
use crate::options::{DEFAULT_FRACTION, dataset_config};
use crate::partition::permutation;
use crate::{Binarize, DataError, Dataset, DatasetSource, LoadContext, Origin};

const NUM_USERS: usize = 943;
const NUM_ITEMS: usize = 1682;
const NUM_RATINGS: usize = 100_000;

dataset_config! { own,
    /// 100,000 ratings from 1 to 5 of 1,682 films by 943 users; `aelab data fetch movielens_100k` brings them. It has
    /// no labels.
    Movielens100kConfig {
        /// Whether an example is a user, `[1682]`, or a film, `[943]`.
        #[serde(default)]
        pub rows: RatingRows,
        /// What is made of the ratings.
        #[serde(default)]
        pub form: RatingForm,
        /// What the splits divide.
        #[serde(default)]
        pub split: RatingSplit,
        /// With `split: rows`: the share of what each validation or test row has that is not shown but held out, to
        /// be predicted from the rest (rounded down). 0 shows all.
        #[serde(default = "default_held_out_fraction")]
        pub held_out_fraction: f64,
    }
}

/// What one example is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RatingRows {
    /// A user: ratings of all films.
    #[default]
    Users,
    /// A film: ratings by all users.
    Items,
}

/// What is made of the ratings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RatingForm {
    /// Numbers from 1 to 5; what was not rated is 0 and masked.
    #[default]
    Ratings,
    /// 1 where the rating is 4 or 5, 0 elsewhere, nothing masked.
    Implicit,
}

/// What the splits divide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RatingSplit {
    /// The examples: users (or films) that training has not seen (strong generalisation).
    #[default]
    Rows,
    /// The ratings: every split has all examples and shows their training ratings; those of validation and test are
    /// held out in these splits (weak generalisation). `valid_fraction` and `test_fraction` are shares of the ratings.
    Ratings,
}

fn default_held_out_fraction() -> f64 {
    0.2
}

impl Movielens100kConfig {
    /// Number of rows and of values of a row.
    fn shape(&self) -> (usize, usize) {
        match self.rows {
            RatingRows::Users => (NUM_USERS, NUM_ITEMS),
            RatingRows::Items => (NUM_ITEMS, NUM_USERS),
        }
    }

    fn domain(&self) -> Domain {
        match self.form {
            RatingForm::Ratings => Domain::Real,
            RatingForm::Implicit => Domain::Binary,
        }
    }

    /// What each split shows of the entries at `there` (positions in the matrix, ascending), and what it holds out.
    fn hold_out(&self, there: &[usize]) -> Option<HoldOut> {
        let (num_rows, width) = self.shape();
        let marks = |positions: &mut dyn Iterator<Item = usize>| {
            let mut marks = vec![0; num_rows * width];
            positions.for_each(|at| marks[at] = 1);
            Arc::new(marks)
        };
        match self.split {
            RatingSplit::Rows if self.held_out_fraction == 0.0 => None,
            RatingSplit::Rows => {
                let mut chosen = Vec::new();
                for (row, entries) in (0..).zip(there.chunk_by(|a, b| a / width == b / width)) {
                    let count = (entries.len() as f64 * self.held_out_fraction) as usize;
                    let order = permutation(entries.len(), &mut stream(self.split_seed, Purpose::Split, 1, row));
                    chosen.extend(order[..count].iter().map(|&at| entries[at as usize]));
                }
                let hidden = marks(&mut chosen.into_iter());
                let concealed = Concealed { hidden: Arc::clone(&hidden), held_out: Some(hidden) };
                Some(HoldOut { splits: [None, Some(concealed.clone()), Some(concealed)], shares_examples: false })
            }
            RatingSplit::Ratings => {
                let count = |fraction: Option<f64>| (there.len() as f64 * fraction.unwrap_or(DEFAULT_FRACTION)).round() as usize;
                let order = permutation(there.len(), &mut stream(self.split_seed, Purpose::Split, 2, 0));
                let (num_test, num_valid) = (count(self.test_fraction), count(self.valid_fraction));
                let (test, rest) = order.split_at(num_test.min(order.len()));
                let valid = &rest[..num_valid.min(rest.len())];
                let of = |chosen: &[u32]| marks(&mut chosen.iter().map(|&at| there[at as usize]));
                let (valid, test) = (of(valid), of(test));
                let hidden: Arc<Vec<u8>> = Arc::new(valid.iter().zip(&*test).map(|(valid, test)| valid | test).collect());
                let concealed = |held_out| Some(Concealed { hidden: Arc::clone(&hidden), held_out });
                Some(HoldOut { splits: [concealed(None), concealed(Some(valid)), concealed(Some(test))], shares_examples: true })
            }
        }
    }
}

impl DatasetSource for Movielens100kConfig {
    const NAME: &'static str = "movielens_100k";
    const SUMMARY: &'static str = "100,000 ratings of 1,682 films by 943 users, as ratings or as implicit feedback";
    const CITATION: &'static str = "Harper and Konstan 2015, The MovieLens Datasets: History and Context, https://doi.org/10.1145/2827872; for research, not to be redistributed";
    const FETCHED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        if !(0.0..1.0).contains(&self.held_out_fraction) {
            let message = format!("`held_out_fraction` must be at least 0 and less than 1, but is {}", self.held_out_fraction);
            return Err(ConfigError::new("held_out_fraction", message));
        }
        if matches!(self.binarize, Binarize::Static | Binarize::Dynamic) {
            let message = "ratings are not probabilities; use `form: implicit` for 1 where a film was liked, or a threshold";
            return Err(ConfigError::new("binarize", message));
        }
        if self.split == RatingSplit::Ratings {
            let counts = [("num_train", self.num_train), ("num_valid", self.num_valid), ("num_test", self.num_test)];
            if let Some((key, _)) = counts.into_iter().find(|(_, count)| count.is_some()) {
                let message = format!(
                    "with `split: ratings` every split has all examples; leave `{key}` out and give shares of the ratings by `valid_fraction` and `test_fraction`"
                );
                return Err(ConfigError::new(key, message));
            }
        }
        self.options().labelled(false, "")?.check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        Ok(MOVIELENS_100K.checksum())
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(vec![self.shape().1], self.domain(), None))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let (origin, bytes) = read_cached(&MOVIELENS_100K, &MOVIELENS_100K.files[0], context)?;
        let (num_rows, width) = self.shape();
        let mut ratings = vec![0u8; num_rows * width];
        for (user, item, rating) in parse(&origin, &bytes)? {
            let at = match self.rows {
                RatingRows::Users => user * width + item,
                RatingRows::Items => item * width + user,
            };
            ratings[at] = rating;
        }
        let part = match self.form {
            RatingForm::Ratings => {
                let observed = Observed::values(ratings.iter().map(|&rating| u8::from(rating > 0)).collect());
                let values = Values::Floats(Numbers::owned(ratings.iter().map(|&rating| f32::from(rating)).collect()));
                Part { observed, ..Part::new(origin, values, None) }
            }
            RatingForm::Implicit => {
                ratings.iter_mut().for_each(|rating| *rating = u8::from(*rating >= 4));
                Part::new(origin, Values::Bytes { data: Numbers::owned(ratings.clone()), divisor: 1.0 }, None)
            }
        };
        let there: Vec<usize> = (0..ratings.len()).filter(|&at| ratings[at] > 0).collect();
        let raw = RawDataset { hold_out: self.hold_out(&there), ..RawDataset::new(part, [width], None) };
        Dataset::new(Self::NAME, MOVIELENS_100K.checksum(), raw, &self.options())
    }
}

/// User, film (both from 0) and rating of each line `user item rating timestamp`, numbers from 1, separated by tabs.
fn parse(origin: &Origin, bytes: &[u8]) -> Result<Vec<(usize, usize, u8)>, DataError> {
    let text = String::from_utf8_lossy(bytes);
    let mut ratings = Vec::with_capacity(NUM_RATINGS);
    for (line, row) in (1..).zip(text.lines()) {
        let numbers: Option<Vec<usize>> = row.split('\t').take(3).map(|cell| cell.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[user @ 1..=NUM_USERS, item @ 1..=NUM_ITEMS, rating @ 1..=5]) => ratings.push((user - 1, item - 1, rating as u8)),
            _ => {
                let message = format!("`{row}` is not a user, a film, a rating and a time; fetch the data again");
                return Err(DataError::Table { path: origin.path.clone(), line, column: None, message });
            }
        }
    }
    if ratings.len() != NUM_RATINGS {
        let message = format!("holds {} ratings instead of {NUM_RATINGS}; fetch the data again", ratings.len());
        return Err(DataError::Split { origin: origin.clone(), message });
    }
    Ok(ratings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(section: serde_json::Value) -> Movielens100kConfig {
        serde_json::from_value(section).unwrap()
    }

    #[test]
    fn a_share_of_each_row_is_held_out_and_the_rest_shown() {
        let config = config(json!({"held_out_fraction": 0.25}));
        // Row 0 has entries at columns 0, 2, ..., 14, row 3 at 0, 1, 2.
        let there: Vec<usize> = (0..8).map(|at| 2 * at).chain((0..3).map(|at| 3 * NUM_ITEMS + at)).collect();
        let hold_out = config.hold_out(&there).unwrap();
        assert!(hold_out.splits[0].is_none() && !hold_out.shares_examples);
        let hidden = &hold_out.splits[1].as_ref().unwrap().hidden;
        let of_row = |row: usize| hidden[row * NUM_ITEMS..(row + 1) * NUM_ITEMS].iter().map(|&mark| usize::from(mark)).sum::<usize>();
        assert_eq!((of_row(0), of_row(1), of_row(3)), (2, 0, 0));
        assert!((0..hidden.len()).all(|at| hidden[at] == 0 || there.contains(&at)));
    }

    #[test]
    fn validation_and_test_ratings_are_disjoint_and_shown_by_no_split() {
        let config = config(json!({"split": "ratings", "valid_fraction": 0.25, "test_fraction": 0.5}));
        let there: Vec<usize> = (0..100).map(|at| 31 * at).collect();
        let hold_out = config.hold_out(&there).unwrap();
        assert!(hold_out.shares_examples);
        let [train, valid, test] = hold_out.splits.map(Option::unwrap);
        let positions = |marks: &[u8]| (0..marks.len()).filter(|&at| marks[at] == 1).collect::<Vec<_>>();
        let (hidden, valid_marks, test_marks) =
            (positions(&train.hidden), positions(&valid.held_out.unwrap()), positions(&test.held_out.unwrap()));
        assert_eq!((valid_marks.len(), test_marks.len(), hidden.len()), (25, 50, 75));
        let mut both = [valid_marks, test_marks].concat();
        both.sort_unstable();
        assert_eq!(both, hidden);
        assert!(train.held_out.is_none());
        assert_eq!((train.hidden.clone(), train.hidden), (valid.hidden, test.hidden));
    }

    #[test]
    fn damage_is_located() {
        let message = |text: &str| parse(&Origin::file("u.data"), text.as_bytes()).unwrap_err().to_string();
        let odd = message("1\t1\t5\t0\n944\t1\t5\t0\n");
        assert!(odd.starts_with("u.data: line 2: `944\t1\t5\t0` is not a user, a film"), "{odd}");
        assert_eq!(message("1\t1\t5\t0\n"), "u.data: holds 1 ratings instead of 100000; fetch the data again");
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let path = |section| DatasetSource::check(&config(section)).unwrap_err().path;
        assert_eq!(path(json!({"held_out_fraction": 1})), "held_out_fraction");
        assert_eq!(path(json!({"split": "ratings", "num_test": 5})), "num_test");
        assert_eq!(path(json!({"binarize": "dynamic", "scale": "unit_interval"})), "binarize");
        assert!(DatasetSource::check(&config(json!({"form": "implicit", "rows": "items"}))).is_ok());
    }
}
