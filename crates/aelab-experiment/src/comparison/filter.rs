//! `--filter KEY=VALUE`: which trials to look at.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::comparison::collect::CollectedTrial;
use crate::comparison::error::ComparisonError;
use crate::comparison::keys::{Key, KeyKind, KnownKeys};
use crate::plan::Plan;
use crate::result::TrialState;
use crate::run_dir::RunDir;
use crate::short_value;

/// A condition on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    key: String,
    relation: &'static str,
    values: Vec<String>,
}

/// Longer ones first: `<=` is not `<` of `=..`.
const RELATIONS: [&str; 6] = ["!=", "<=", ">=", "=", "<", ">"];

impl Filter {
    /// Reads `KEY=VALUE`, `KEY=A,B` (any of them), `KEY!=VALUE`, `KEY<VALUE` and so on.
    pub fn parse(text: &str) -> Result<Self, ComparisonError> {
        let bad = || ComparisonError::BadFilter(text.to_owned());
        let start = text.find(['!', '<', '>', '=']).ok_or_else(bad)?;
        let (key, rest) = text.split_at(start);
        let relation = RELATIONS.into_iter().find(|relation| rest.starts_with(relation)).ok_or_else(bad)?;
        let values: Vec<String> = rest[relation.len()..].split(',').map(|value| value.trim().to_owned()).collect();
        let is_order = relation.starts_with(['<', '>']);
        if key.trim().is_empty()
            || values.iter().any(String::is_empty)
            || is_order && !matches!(&values[..], [value] if value.parse::<f64>().is_ok())
        {
            return Err(bad());
        }
        Ok(Self { key: key.trim().to_owned(), relation, values })
    }

    /// Whether it asks where trials stand.
    fn asks_for_state(&self) -> bool {
        self.key == "state"
    }

    pub(super) fn apply<'a>(&self, trials: &[&'a CollectedTrial], known: &KnownKeys) -> Result<Vec<&'a CollectedTrial>, ComparisonError> {
        let key = match self.key.as_str() {
            "state" | "tags" => None,
            name => Some(known.resolve(name)?),
        };
        let value = |trial: &CollectedTrial| match self.key.as_str() {
            "tags" => Some(trial.tags.iter().cloned().collect()),
            _ => value_of(key.as_ref(), trial),
        };
        let passing: Vec<&CollectedTrial> = trials.iter().copied().filter(|trial| self.passes(value(trial).as_ref())).collect();
        if passing.is_empty() {
            let found: BTreeSet<String> =
                trials.iter().map(|trial| value(trial).as_ref().map_or_else(|| "nothing".to_owned(), short_value)).collect();
            let mut values: Vec<String> = found.iter().take(12).cloned().collect();
            values.extend((found.len() > 12).then(|| format!("and {} more", found.len() - 12)));
            return Err(ComparisonError::NothingPasses { filter: self.to_string(), key: self.key.clone(), values: values.join(", ") });
        }
        Ok(passing)
    }

    fn passes(&self, value: Option<&Value>) -> bool {
        let equals = |wanted: &String| {
            let Some(value) = value else { return false };
            match (value, value.as_f64(), wanted.parse::<f64>()) {
                (Value::Array(items), ..) => items.iter().any(|item| short_value(item) == *wanted),
                (_, Some(number), Ok(wanted)) => number == wanted,
                _ => short_value(value) == *wanted,
            }
        };
        let order = || value?.as_f64()?.partial_cmp(&self.values.first()?.parse::<f64>().ok()?);
        match self.relation {
            "=" => self.values.iter().any(equals),
            "!=" => !self.values.iter().any(equals),
            "<" => order() == Some(Ordering::Less),
            ">" => order() == Some(Ordering::Greater),
            "<=" => matches!(order(), Some(Ordering::Less | Ordering::Equal)),
            _ => matches!(order(), Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// The indices of the trials of a plan of which all conditions hold, in order.
pub(crate) fn passing(conditions: &[&Filter], plan: &Plan, run_dir: &RunDir) -> Result<Vec<usize>, ComparisonError> {
    let with_states = conditions.iter().any(|filter| filter.asks_for_state());
    let tags = Arc::new(plan.tags.clone());
    let mut trials = Vec::with_capacity(plan.trials.len());
    for planned in &plan.trials {
        let state = if with_states { run_dir.trial(&planned.hash).state()? } else { TrialState::Pending };
        trials.push(CollectedTrial::without_result(&plan.name, &tags, planned.clone(), state));
    }
    let known = KnownKeys::of(&trials);
    let mut passing: Vec<&CollectedTrial> = trials.iter().collect();
    for filter in conditions {
        passing = filter.apply(&passing, &known)?;
    }
    Ok(passing.iter().map(|trial| trial.planned.index).collect())
}

/// The value that a filter looks at: of a data set its name; the state where there is no key.
fn value_of(key: Option<&Key>, trial: &CollectedTrial) -> Option<Value> {
    match key {
        None => Some(Value::from(trial.state.name())),
        Some(key) if key.kind == KeyKind::Data => Some(Value::from(trial.planned.data.clone())),
        Some(key) => key.value(trial, &BTreeMap::new()),
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}{}", self.key, self.relation, self.values.join(","))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_read_and_hold_as_they_say() {
        for (text, value, expected) in [
            ("code_size=8", json!(8), true),
            ("code_size=8.0", json!(8), true),
            ("code_size=2,8", json!(8), true),
            ("code_size!=2,8", json!(8), false),
            ("lambda<=1e-3", json!(0.001), true),
            ("lambda<1e-3", json!(0.001), false),
            ("lambda>1e-3", json!("constant"), false),
            ("model=vae", json!("vae"), true),
            ("model != vae", json!("iwae"), true),
            ("tied=true", json!(true), true),
            ("tags=draft,old", json!(["thesis", "draft"]), true),
            ("tags!=draft", json!(["thesis", "draft"]), false),
            ("tags=thes", json!(["thesis", "draft"]), false),
        ] {
            assert_eq!(Filter::parse(text).unwrap().passes(Some(&value)), expected, "{text} of {value}");
        }
        assert!(!Filter::parse("beta=1").unwrap().passes(None) && Filter::parse("beta!=1").unwrap().passes(None));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["", "model", "=vae", "model=", "code_size<", "code_size<a", "code_size<1,2", "a!b"] {
            assert!(matches!(Filter::parse(text), Err(ComparisonError::BadFilter(_))), "{text}");
        }
    }
}
