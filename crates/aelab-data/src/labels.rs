//! From labels as a file has them to class numbers.

use std::collections::BTreeMap;

use crate::{DataError, Origin};

/// Class numbers of two parts and the names of the classes: distinct labels in ascending order.
pub(crate) struct Classes {
    pub(crate) train: Vec<u32>,
    pub(crate) test: Option<Vec<u32>>,
    pub(crate) names: Vec<String>,
}

/// Numbers the distinct labels of both parts, ascending.
pub(crate) fn classes<T: Ord + ToString>(train: &[T], test: Option<&[T]>) -> Classes {
    let mut numbers: BTreeMap<&T, u32> = train.iter().chain(test.unwrap_or_default()).map(|label| (label, 0)).collect();
    for (number, class) in (0..).zip(numbers.values_mut()) {
        *class = number;
    }
    let of = |labels: &[T]| labels.iter().map(|label| numbers[label]).collect();
    Classes { train: of(train), test: test.map(of), names: numbers.keys().map(|label| label.to_string()).collect() }
}

/// Labels of a table: ascending as numbers when all are integers, else as text.
pub(crate) fn text_classes(train: &[String], test: Option<&[String]>) -> Classes {
    let integers = |labels: &[String]| labels.iter().map(|label| label.parse::<i64>().ok()).collect::<Option<Vec<_>>>();
    match (integers(train), test.map(integers)) {
        (Some(train), None) => classes(&train, None),
        (Some(train), Some(Some(test))) => classes(&train, Some(&test)),
        _ => classes(train, test),
    }
}

/// As many labels as examples.
pub(crate) fn check_count(examples: &Origin, num_examples: usize, labels: &Origin, num_labels: usize) -> Result<(), DataError> {
    if num_examples == num_labels {
        return Ok(());
    }
    Err(DataError::CountMismatch { examples: examples.clone(), num_examples, labels: labels.clone(), num_labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(train: &[&str], test: &[&str]) -> (Vec<u32>, Option<Vec<u32>>, Vec<String>) {
        let owned = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect::<Vec<_>>();
        let classes = text_classes(&owned(train), Some(&owned(test)));
        (classes.train, classes.test, classes.names)
    }

    #[test]
    fn integers_are_ordered_as_numbers_and_words_as_words() {
        assert_eq!(of(&["10", "9", "-1"], &["9"]), (vec![2, 1, 0], Some(vec![1]), vec!["-1".into(), "9".into(), "10".into()]));
        assert_eq!(of(&["b", "a"], &["c"]), (vec![1, 0], Some(vec![2]), vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!(of(&["10", "9"], &["x"]).2, ["10", "9", "x"]);
    }
}
