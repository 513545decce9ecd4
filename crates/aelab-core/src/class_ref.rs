//! How a configuration says which class it means.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A class by its name or by its number. Labels that are numbers in a file are names of classes too: `1` is the class labelled 1,
/// wherever it stands; only where no class has such a name it is a number from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ClassRef {
    /// The label, or the number of the class from 0 where classes have names that are no numbers.
    Number(i64),
    /// The name.
    Name(String),
}

impl<'de> Deserialize<'de> for ClassRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Class;
        impl Visitor<'_> for Class {
            type Value = ClassRef;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a class: its name or its number")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<ClassRef, E> {
                Ok(ClassRef::Number(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<ClassRef, E> {
                i64::try_from(value).map(ClassRef::Number).map_err(|_| E::custom(format!("{value} is not the number of a class")))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<ClassRef, E> {
                Ok(ClassRef::Name(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Class)
    }
}

impl fmt::Display for ClassRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClassRef::Number(number) => number.fmt(formatter),
            ClassRef::Name(name) => formatter.write_str(name),
        }
    }
}

impl ClassRef {
    /// The number of the class among those of the given names, or a message with the nearest name.
    pub fn resolve(&self, names: &[String]) -> Result<u32, String> {
        let text = self.to_string();
        let position = |found: &dyn Fn(&String) -> bool| names.iter().position(found).map(|position| position as u32);
        if let Some(class) = position(&|name| *name == text) {
            return Ok(class);
        }
        if let ClassRef::Number(number) = self
            && names.iter().any(|name| name.parse::<i64>().is_err())
            && let Some(class) = usize::try_from(*number).ok().filter(|&number| number < names.len())
        {
            return Ok(class as u32);
        }
        let nearest = names.iter().min_by_key(|name| distance(&text, name));
        let nearest = nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        Err(format!("there is no class `{text}` among {}{nearest}", listed(names)))
    }

    /// The numbers of the classes, ascending, each once.
    pub fn resolve_all(classes: &[ClassRef], names: &[String]) -> Result<Vec<u32>, String> {
        let mut numbers = classes.iter().map(|class| class.resolve(names)).collect::<Result<Vec<_>, _>>()?;
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

/// The first names and how many there are.
fn listed(names: &[String]) -> String {
    const NUM_LISTED: usize = 12;
    let first = names.iter().take(NUM_LISTED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > NUM_LISTED { format!("the {} classes {first}, ...", names.len()) } else { format!("the classes {first}") }
}

/// Letters to insert, delete or replace to make one word of the other, whatever their case (Levenshtein 1966).
fn distance(wanted: &str, name: &str) -> usize {
    let (wanted, name): (Vec<char>, Vec<char>) = (wanted.to_lowercase().chars().collect(), name.to_lowercase().chars().collect());
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (i, letter) in wanted.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in name.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn class(value: serde_json::Value) -> ClassRef {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_number_is_a_label_first_and_a_position_where_names_are_words() {
        assert_eq!(class(1.into()).resolve(&names(&["1", "2"])), Ok(0));
        assert_eq!(class((-1).into()).resolve(&names(&["-1", "1"])), Ok(0));
        assert_eq!(class("2".into()).resolve(&names(&["1", "2"])), Ok(1));
        assert_eq!(class(1.into()).resolve(&names(&["Trouser", "Bag"])), Ok(1));
        assert_eq!(class("Bag".into()).resolve(&names(&["Trouser", "Bag"])), Ok(1));
        assert_eq!(
            ClassRef::resolve_all(&[class(1.into()), class("Trouser".into()), class("Bag".into())], &names(&["Trouser", "Bag"])),
            Ok(vec![0, 1])
        );
    }

    #[test]
    fn what_is_no_class_is_refused_with_the_nearest() {
        assert_eq!(
            class("trousers".into()).resolve(&names(&["Trouser", "Bag"])).unwrap_err(),
            "there is no class `trousers` among the classes `Trouser`, `Bag`; did you mean `Trouser`?"
        );
        for (number, of) in [(0, &["1", "2"]), (3, &["1", "2"]), (2, &["Trouser", "Bag"]), (-1, &["Trouser", "Bag"])] {
            assert!(class(number.into()).resolve(&names(of)).is_err(), "{number}");
        }
        let error = serde_json::from_value::<ClassRef>(true.into()).unwrap_err().to_string();
        assert!(error.contains("expected a class: its name or its number"), "{error}");
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        assert_eq!((distance("kitten", "sitting"), distance("", "abc"), distance("abc", "abc")), (3, 3, 0));
    }
}
