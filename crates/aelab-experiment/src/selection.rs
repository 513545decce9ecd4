//! Which trials of a run are meant: `3`, `3..7`, `41d3`, `model=vae`.

use std::fmt;
use std::str::FromStr;

use crate::comparison::{self, ComparisonError, Filter};
use crate::plan::Plan;
use crate::run_dir::RunDir;

/// Digits of a hash that name a trial.
const SHORTEST_HASH: usize = 4;

/// What one argument names: trials by their place, by their hash, or by a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Any of these.
    Trials(Vec<Place>),
    /// Those of which it holds.
    Condition(Filter),
}

/// Trials by their number in the tables, from 1, or by their hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `3`: the trial of that number. Where the plan has fewer and it has at least four digits, the beginning of a hash.
    Number(String),
    /// `3..7`: from one number to another, both included.
    Range(usize, usize),
    /// `41d3`: the beginning of a hash.
    Hash(String),
}

/// Why trials could not be told by a selection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// Not a selection.
    #[error(
        "cannot read the selection `{0}`: expected the number of a trial (`3`), a range (`3..7`), the first digits of a hash \
         (`41d3`, at least {SHORTEST_HASH}) or a condition (`model=vae`)"
    )]
    Unreadable(String),
    /// A range that ends before it begins.
    #[error("the range `{0}` is empty: write the smaller number first")]
    EmptyRange(String),
    /// No trial has that number.
    #[error("there is no trial {number}: `{plan}` has the trials 1 to {num_trials}")]
    NoSuchNumber {
        /// As asked for.
        number: String,
        /// Name of the experiment.
        plan: String,
        /// Trials of the plan.
        num_trials: usize,
    },
    /// No hash begins so.
    #[error("no trial of `{plan}` has a hash that begins with `{hash}`; `aelab plan` and `aelab status` show the hashes")]
    NoSuchHash {
        /// As asked for.
        hash: String,
        /// Name of the experiment.
        plan: String,
    },
    /// Several hashes begin so.
    #[error("`{hash}` is the beginning of several hashes: {}; write more of it", candidates.join(", "))]
    AmbiguousHash {
        /// As asked for.
        hash: String,
        /// The hashes.
        candidates: Vec<String>,
    },
    /// One trial was wanted.
    #[error("`{selection}` names {num} trials, but this takes one: write its number or the beginning of its hash")]
    NotOne {
        /// As asked for.
        selection: String,
        /// Trials that it names.
        num: usize,
    },
    /// Selections that have no trial in common.
    #[error("no trial is named by all of {0}")]
    Nothing(String),
    /// A condition that cannot be read or held against the trials.
    #[error(transparent)]
    Condition(#[from] ComparisonError),
}

impl FromStr for Selection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        if text.contains(['=', '<', '>', '!']) {
            return Ok(Selection::Condition(Filter::parse(text)?));
        }
        let places = text.split(',').map(|part| read_place(part.trim())).collect::<Result<Vec<_>, _>>()?;
        Ok(Selection::Trials(places))
    }
}

fn read_place(text: &str) -> Result<Place, SelectionError> {
    let unreadable = || SelectionError::Unreadable(text.to_owned());
    if let Some((from, to)) = text.split_once("..") {
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number > 0).ok_or_else(unreadable);
        let (from, to) = (number(from)?, number(to.trim_start_matches('='))?);
        return if from <= to { Ok(Place::Range(from, to)) } else { Err(SelectionError::EmptyRange(text.to_owned())) };
    }
    let is_all = |test: fn(&char) -> bool| !text.is_empty() && text.chars().all(|character| test(&character));
    if is_all(char::is_ascii_digit) {
        return Ok(Place::Number(text.to_owned()));
    }
    let hash = text.to_ascii_lowercase();
    if is_all(char::is_ascii_hexdigit) && (SHORTEST_HASH..=16).contains(&hash.len()) { Ok(Place::Hash(hash)) } else { Err(unreadable()) }
}

impl Place {
    fn find(&self, plan: &Plan) -> Result<Vec<usize>, SelectionError> {
        let num_trials = plan.trials.len();
        let no_such_number = |number: String| SelectionError::NoSuchNumber { number, plan: plan.name.clone(), num_trials };
        match self {
            Place::Number(text) => match text.parse::<usize>() {
                Ok(number) if (1..=num_trials).contains(&number) => Ok(vec![number - 1]),
                _ if text.len() < SHORTEST_HASH => Err(no_such_number(text.clone())),
                _ => find_hash(text, plan),
            },
            Place::Range(from, to) if *to <= num_trials => Ok((*from - 1..*to).collect()),
            Place::Range(_, to) => Err(no_such_number(to.to_string())),
            Place::Hash(hash) => find_hash(hash, plan),
        }
    }
}

fn find_hash(hash: &str, plan: &Plan) -> Result<Vec<usize>, SelectionError> {
    let found: Vec<usize> = plan.trials.iter().filter(|trial| trial.hash.starts_with(hash)).map(|trial| trial.index).collect();
    match &found[..] {
        [] => Err(SelectionError::NoSuchHash { hash: hash.to_owned(), plan: plan.name.clone() }),
        [_] => Ok(found),
        several => {
            let candidates = several.iter().take(5).map(|index| plan.trials[*index].hash.clone()).collect();
            Err(SelectionError::AmbiguousHash { hash: hash.to_owned(), candidates })
        }
    }
}

impl Selection {
    /// The indices of the trials that are meant, in the order of the plan: any that a number, range or hash names, and of them, or of
    /// all trials where nothing is named so, those of which every condition holds. Without a selection, all.
    pub fn find(selections: &[Selection], plan: &Plan, run_dir: &RunDir) -> Result<Vec<usize>, SelectionError> {
        let mut named: Option<Vec<usize>> = None;
        let mut conditions = Vec::new();
        for selection in selections {
            match selection {
                Selection::Trials(places) => {
                    for place in places {
                        named.get_or_insert_default().extend(place.find(plan)?);
                    }
                }
                Selection::Condition(filter) => conditions.push(filter),
            }
        }
        let mut found = named.unwrap_or_else(|| (0..plan.trials.len()).collect());
        found.sort_unstable();
        found.dedup();
        if !conditions.is_empty() {
            let passing = comparison::passing(&conditions, plan, run_dir)?;
            found.retain(|index| passing.binary_search(index).is_ok());
        }
        if found.is_empty() && !plan.trials.is_empty() {
            let texts: Vec<String> = selections.iter().map(|selection| format!("`{selection}`")).collect();
            return Err(SelectionError::Nothing(texts.join(", ")));
        }
        Ok(found)
    }

    /// The index of the one trial that is meant.
    pub fn find_one(&self, plan: &Plan, run_dir: &RunDir) -> Result<usize, SelectionError> {
        match Self::find(std::slice::from_ref(self), plan, run_dir)?[..] {
            [only] => Ok(only),
            ref several => Err(SelectionError::NotOne { selection: self.to_string(), num: several.len() }),
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selection::Trials(places) => {
                let texts: Vec<String> = places.iter().map(Place::to_string).collect();
                formatter.write_str(&texts.join(","))
            }
            Selection::Condition(filter) => filter.fmt(formatter),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Number(text) | Place::Hash(text) => formatter.write_str(text),
            Place::Range(from, to) => write!(formatter, "{from}..{to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExperimentSpec, SpecSource, plan};

    fn plan_of_six() -> Plan {
        let text = "name: test\ndata: {digits: {}}\nmodel: {undercomplete: {hidden: [], code_size: 2}}\n\
                    train: {epochs: 1, batch_size: 32, optimizer: {adam: {learning_rate: 1e-3}}, seed: 1}\n\
                    sweep: {train.epochs: [1, 2, 3], model.undercomplete.code_size: [2, 4]}\n";
        let source =
            SpecSource { file: "test.yaml".into(), text: text.to_owned(), base_dir: "/nowhere".into(), extended: None, sets: Vec::new() };
        let registry = aelab_core::Registry::new(aelab_models::MODELS);
        plan(&ExperimentSpec::parse(source).unwrap(), &registry, &aelab_data::LoadContext::new("")).unwrap()
    }

    fn found(plan: &Plan, texts: &[&str]) -> Result<Vec<usize>, String> {
        let selections: Vec<Selection> =
            texts.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(|error: SelectionError| error.to_string())?;
        Selection::find(&selections, plan, &RunDir::at("/nowhere")).map_err(|error| error.to_string())
    }

    #[test]
    fn trials_are_named_by_number_range_hash_and_condition() {
        let plan = plan_of_six();
        let hash = |index: usize| plan.trials[index].hash.clone();
        assert_eq!(found(&plan, &[]).unwrap(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(found(&plan, &["3"]).unwrap(), [2]);
        assert_eq!(found(&plan, &["2..4"]).unwrap(), [1, 2, 3]);
        assert_eq!(found(&plan, &["6,1..2"]).unwrap(), [0, 1, 5]);
        assert_eq!(found(&plan, &[&hash(4)[..6], "5", &hash(0)]).unwrap(), [0, 4]);
        assert_eq!(found(&plan, &["code_size=4"]).unwrap(), [1, 3, 5]);
        assert_eq!(found(&plan, &["epochs>1", "code_size=4"]).unwrap(), [3, 5], "every condition holds");
        assert_eq!(found(&plan, &["1..4", "epochs>1", "code_size=4"]).unwrap(), [3], "conditions choose among what is named");
        assert_eq!(found(&plan, &["state=pending"]).unwrap().len(), 6);
    }

    #[test]
    fn what_names_nothing_is_refused_with_what_there_is() {
        let plan = plan_of_six();
        let message = |texts: &[&str]| found(&plan, texts).unwrap_err();
        assert!(message(&["7"]).contains("the trials 1 to 6") && message(&["0"]).contains("1 to 6"));
        assert!(message(&["3..7"]).contains("no trial 7") && message(&["4..2"]).contains("smaller number first"));
        assert!(message(&["ffffffffffff"]).contains("no trial of `test`"));
        assert!(
            message(&["abc"]).contains("at least 4") && message(&["vae"]).contains("at least 4") && message(&[""]).contains("at least 4")
        );
        assert!(message(&["epochs=9"]).contains("epochs has the values 1, 2, 3"));
        assert!(message(&["epohcs=1"]).contains("epochs"));
        assert!(message(&["1", "epochs=3"]).contains("no trial is named by all of `1`, `epochs=3`"));
        let one = |text: &str| text.parse::<Selection>().unwrap().find_one(&plan, &RunDir::at("/nowhere"));
        assert_eq!(one("epochs=1").unwrap_err().to_string().contains("names 2 trials"), one("2").unwrap() == 1);
    }

    #[test]
    fn several_hashes_with_one_beginning_are_listed() {
        let mut plan = plan_of_six();
        plan.trials[0].hash = "1234aaaaaaaaaaaa".to_owned();
        plan.trials[3].hash = "1234bbbbbbbbbbbb".to_owned();
        assert!(found(&plan, &["1234"]).unwrap_err().contains("1234aaaaaaaaaaaa, 1234bbbbbbbbbbbb"));
        assert_eq!(found(&plan, &["1234b"]).unwrap(), [3]);
    }
}
