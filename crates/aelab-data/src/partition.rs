//! Which example goes to which split.

use std::ops::Range;
use std::sync::Arc;

use aelab_core::{Purpose, Stream, stream};

use crate::options::{DEFAULT_FRACTION, Options};
use crate::random::below;
use crate::{DataError, Origin};

/// Rows of a file, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rows {
    Range(Range<usize>),
    List(Arc<[u32]>),
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        match self {
            Rows::Range(range) => range.len(),
            Rows::List(list) => list.len(),
        }
    }

    /// Row of the file that holds example `index` of the split.
    pub(crate) fn row(&self, index: usize) -> usize {
        match self {
            Rows::Range(range) => {
                assert!(index < range.len(), "example {index} of a split of {}", range.len());
                range.start + index
            }
            Rows::List(list) => list[index] as usize,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).map(|index| self.row(index))
    }

    /// Ascending order keeps neighbours in the file neighbours in the split; training shuffles anyway.
    fn sorted(rows: &[u32], total: usize) -> Self {
        if rows.len() == total {
            return Rows::Range(0..total);
        }
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        Rows::List(rows.into())
    }
}

/// The rows of each split; those of the test split are rows of the test file where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) train: Rows,
    pub(crate) valid: Rows,
    pub(crate) test: Rows,
}

/// Draws the splits. They depend on the number of examples, the options and the split seed; the held-out
/// examples do not depend on `num_train`.
///
/// Where `is_normal` says which rows are, `[row]`, training and validation examples are drawn from these, and sizes count them;
/// test examples are the same as without. A contamination is drawn from the other rows, and is a share of what is trained on.
pub(crate) fn partition(
    origin: &Origin,
    num_examples: usize,
    num_test_examples: Option<usize>,
    options: &Options,
    is_normal: Option<&[bool]>,
) -> Result<Partition, DataError> {
    let share = |num_examples: usize, count: Option<usize>, fraction: Option<f64>| {
        count.unwrap_or_else(|| (num_examples as f64 * fraction.unwrap_or(DEFAULT_FRACTION)).round() as usize)
    };
    let refuse = |message: String| Err(DataError::Split { origin: origin.clone(), message });
    if u32::try_from(num_examples.max(num_test_examples.unwrap_or(0))).is_err() {
        return refuse(format!("holds {num_examples} examples; more than {} cannot be split", u32::MAX));
    }
    let num_test = if num_test_examples.is_some() { 0 } else { share(num_examples, options.num_test, options.test_fraction) };
    let none_left = |num_valid: usize, what: &str| {
        refuse(format!("{num_valid} validation and {num_test} test examples out of {num_examples}{what} leave none to train on"))
    };
    let order = permutation(num_examples, &mut stream(options.split_seed, Purpose::Split, 0, 0));
    let Some((test, rest)) = order.split_at_checked(num_test) else {
        return none_left(share(num_examples, options.num_valid, options.valid_fraction), "");
    };
    let (rest, others): (Vec<u32>, Vec<u32>) = rest.iter().partition(|&&row| is_normal.is_none_or(|is_normal| is_normal[row as usize]));
    let num_normal = is_normal.map_or(num_examples, |is_normal| is_normal.iter().filter(|normal| **normal).count());
    let num_valid = share(num_normal, options.num_valid, options.valid_fraction);
    let what = if is_normal.is_some() { format!(", {num_normal} of them of the `normal_classes`,") } else { String::new() };
    let Some((valid, rest)) = rest.split_at_checked(num_valid).filter(|(_, rest)| !rest.is_empty()) else {
        return none_left(num_valid, &what);
    };
    let left = rest.len();
    // Without `num_train`, every normal example is trained on and the others come on top.
    let contamination = options.contamination;
    let num_others = match options.num_train {
        Some(num_train) => (num_train as f64 * contamination).round() as usize,
        None => (left as f64 * contamination / (1.0 - contamination)).round() as usize,
    };
    let num_train = options.num_train.map_or(left, |num_train| num_train - num_others.min(num_train));
    if num_train > left {
        return refuse(format!(
            "`num_train: {num_train}` is more than the {left} examples that are left of {num_examples}{what} after {num_valid} for validation and {num_test} for testing"
        ));
    }
    let Some(others) = others.get(..num_others) else {
        return refuse(format!(
            "`contamination: {contamination}` asks for {num_others} examples of other classes than the `normal_classes`, but there are {} to train on",
            others.len()
        ));
    };
    let train = [&rest[..num_train], others].concat();
    let test = match (num_test_examples, options.num_test) {
        (None, _) => Rows::sorted(test, num_examples),
        (Some(available), Some(wanted)) if wanted > available => {
            return refuse(format!("`num_test: {wanted}` is more than the {available} test examples there are"));
        }
        (Some(available), Some(wanted)) => {
            // Drawn, not the first ones: the first half of the test set of MNIST is the easier one.
            Rows::sorted(&permutation(available, &mut stream(options.split_seed, Purpose::Split, 0, 1))[..wanted], available)
        }
        (Some(available), None) => Rows::Range(0..available),
    };
    Ok(Partition { train: Rows::sorted(&train, num_examples), valid: Rows::sorted(valid, num_examples), test })
}

/// Fisher and Yates' shuffle of `0..count`, written out so that no library version changes a split.
pub(crate) fn permutation(count: usize, stream: &mut Stream) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    for last in (1..count).rev() {
        order.swap(last, below(stream, last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::options::plain;

    fn draw(num_examples: usize, options: &Options) -> Result<Partition, DataError> {
        partition(&Origin::file("x"), num_examples, None, options, None)
    }

    fn all(partition: &Partition) -> Vec<usize> {
        let mut rows: Vec<usize> = [&partition.train, &partition.valid, &partition.test].into_iter().flat_map(|rows| rows.iter()).collect();
        rows.sort_unstable();
        rows
    }

    proptest! {
        #[test]
        fn splits_are_disjoint_and_cover_everything(num in 3usize..500, valid in 0.0f64..0.4, test in 0.0f64..0.4, split_seed in any::<u64>()) {
            let options = Options { valid_fraction: Some(valid), test_fraction: Some(test), split_seed, ..plain() };
            let splits = draw(num, &options).unwrap();
            prop_assert_eq!(all(&splits), (0..num).collect::<Vec<_>>());
            prop_assert_eq!(splits.valid.len(), (num as f64 * valid).round() as usize);
            prop_assert_eq!(splits, draw(num, &options).unwrap());
        }

        #[test]
        fn fewer_training_examples_are_a_subset_and_leave_the_held_out_ones_alone(num in 10usize..200, num_train in 1usize..6, split_seed in any::<u64>()) {
            let whole = draw(num, &Options { split_seed, ..plain() }).unwrap();
            let few = draw(num, &Options { split_seed, num_train: Some(num_train), ..plain() }).unwrap();
            prop_assert_eq!(&few.valid, &whole.valid);
            prop_assert_eq!(&few.test, &whole.test);
            prop_assert_eq!(few.train.len(), num_train);
            let train: Vec<usize> = whole.train.iter().collect();
            prop_assert!(few.train.iter().all(|row| train.contains(&row)));
        }
    }

    #[test]
    fn another_seed_gives_another_split() {
        let of = |split_seed| draw(1000, &Options { split_seed, ..plain() }).unwrap();
        assert_ne!(of(0), of(1));
    }

    #[test]
    fn the_split_of_seed_0_is_pinned_because_results_depend_on_it() {
        let splits = draw(20, &Options { num_valid: Some(3), num_test: Some(3), ..plain() }).unwrap();
        assert_eq!((splits.valid.iter().collect::<Vec<_>>(), splits.test.iter().collect::<Vec<_>>()), (vec![9, 15, 17], vec![4, 7, 19]));
    }

    #[test]
    fn every_example_is_as_likely_to_be_held_out() {
        let mut counts = [0u32; 10];
        for split_seed in 0..4000 {
            let splits = draw(10, &Options { num_valid: Some(1), num_test: Some(0), split_seed, ..plain() }).unwrap();
            counts[splits.valid.row(0)] += 1;
        }
        // Standard deviation of each count: sqrt(4000 * 0.1 * 0.9) = 19.
        assert!(counts.iter().all(|&count| (320..480).contains(&count)), "{counts:?}");
    }

    #[test]
    fn an_empty_validation_split_leaves_all_to_train_on() {
        let options = Options { num_valid: Some(0), ..plain() };
        let splits = partition(&Origin::file("x"), 60, Some(10), &options, None).unwrap();
        assert_eq!(splits, Partition { train: Rows::Range(0..60), valid: Rows::List([].into()), test: Rows::Range(0..10) });
    }

    proptest! {
        #[test]
        fn what_is_normal_is_trained_on_and_the_test_examples_stay(
            num in 40usize..300, modulus in 2usize..5, contamination in 0.0f64..0.2, limit: bool, split_seed in any::<u64>(),
        ) {
            let is_normal: Vec<bool> = (0..num).map(|row| row % modulus == 0).collect();
            let options = Options { split_seed, num_train: limit.then_some(4), contamination, ..plain() };
            let whole = draw(num, &Options { split_seed, ..plain() }).unwrap();
            let splits = partition(&Origin::file("x"), num, None, &options, Some(&is_normal)).unwrap();
            prop_assert_eq!(&splits.test, &whole.test);
            prop_assert!(splits.valid.iter().all(|row| is_normal[row]));
            let num_normal = is_normal.iter().filter(|normal| **normal).count();
            prop_assert_eq!(splits.valid.len(), (num_normal as f64 * 0.1).round() as usize);
            let num_others = splits.train.iter().filter(|&row| !is_normal[row]).count();
            let wanted = splits.train.len() as f64 * contamination;
            prop_assert!((num_others as f64 - wanted).abs() <= 0.51, "{num_others} of {wanted}");
            prop_assert!(!limit || splits.train.len() == 4);
            let mut rows = all(&splits);
            rows.dedup();
            prop_assert_eq!(rows.len(), splits.train.len() + splits.valid.len() + splits.test.len());
            // Contamination comes on top: what is normal is the same without it.
            if !limit {
                let clean = partition(&Origin::file("x"), num, None, &Options { contamination: 0.0, ..options }, Some(&is_normal)).unwrap();
                let normal: Vec<usize> = splits.train.iter().filter(|&row| is_normal[row]).collect();
                prop_assert_eq!(normal, clean.train.iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn where_all_is_normal_the_splits_are_those_without_the_option() {
        let options = Options { num_valid: Some(3), num_train: Some(11), ..plain() };
        assert_eq!(partition(&Origin::file("x"), 20, None, &options, Some(&[true; 20])).unwrap(), draw(20, &options).unwrap());
    }

    #[test]
    fn too_few_normal_or_other_examples_say_how_many_there_are() {
        let is_normal: Vec<bool> = (0..20).map(|row| row < 5).collect();
        let message = |options: &Options| partition(&Origin::file("x"), 20, Some(4), options, Some(&is_normal)).unwrap_err().to_string();
        assert_eq!(
            message(&Options { num_valid: Some(5), ..plain() }),
            "x: 5 validation and 0 test examples out of 20, 5 of them of the `normal_classes`, leave none to train on"
        );
        assert!(message(&Options { num_valid: Some(0), num_train: Some(6), ..plain() }).contains("more than the 5 examples"));
        assert_eq!(
            message(&Options { num_valid: Some(0), contamination: 0.8, ..plain() }),
            "x: `contamination: 0.8` asks for 20 examples of other classes than the `normal_classes`, but there are 15 to train on"
        );
    }

    #[test]
    fn impossible_counts_say_what_there_is() {
        let message = |options: &Options| draw(10, options).unwrap_err().to_string();
        assert_eq!(
            message(&Options { num_valid: Some(9), num_test: Some(1), ..plain() }),
            "x: 9 validation and 1 test examples out of 10 leave none to train on"
        );
        assert_eq!(
            message(&Options { num_train: Some(9), ..plain() }),
            "x: `num_train: 9` is more than the 8 examples that are left of 10 after 1 for validation and 1 for testing"
        );
        let too_many = partition(&Origin::file("x"), 10, Some(5), &Options { num_test: Some(6), ..plain() }, None).unwrap_err();
        assert_eq!(too_many.to_string(), "x: `num_test: 6` is more than the 5 test examples there are");
    }
}
