//! Reads the `sweep` section into the algebra.
//!
//! A map is the product of its entries, in the order written, with `repeat` last. An entry is
//!
//! ```yaml
//! product: [..]     # or zip, chain: a list of sweeps, or a map whose entries are the operands
//! repeat: 3
//! model.vae.beta: [1, 4]                                         # an axis: a path and its values
//! train.epochs: {range: {from: 5, to: 20, step: 5}}              # 5, 10, 15, 20
//! model.*.code_size: {linear_range: {from: 2, to: 32, num: 4}}   # 2, 12, 22, 32
//! model.vae.beta: {log_range: {from: 1.0e-4, to: 1.0, num: 5}}
//! ```

use serde_json::{Number, Value};

use crate::KeyPath;
use crate::source::{Diagnostic, Origin, Sources};
use crate::sweep::{Setting, Sweep, SweepError};
use crate::tree::{At, Kind, Node, SetError};

const OPERATORS: [&str; 4] = ["product", "zip", "chain", "repeat"];
const RANGES: [&str; 3] = ["range", "linear_range", "log_range"];
/// Keys that belong to the experiment as a whole and so cannot differ between its trials.
const WHOLE: [&str; 9] = ["name", "description", "extends", "execution", "sweep", "search", "goal", "early_termination", "budget"];

/// Reads a `sweep` section.
pub(crate) fn read(node: &Node, sources: &Sources) -> Result<Sweep<Node>, Diagnostic> {
    let sweep = read_sweep(node, sources)?;
    sweep.count().map_err(|error| Diagnostic::new(error.to_string()).at(sources, &node.origin, At::Key))?;
    Ok(sweep)
}

fn read_sweep(node: &Node, sources: &Sources) -> Result<Sweep<Node>, Diagnostic> {
    let Kind::Map(entries) = &node.kind else {
        return Err(Diagnostic::new(format!("expected a sweep, found {}", node.describe()))
            .at(sources, &node.origin, At::Value)
            .note("a sweep is a map of axes (`model.vae.beta: [1, 4]`) and of `product`, `zip`, `chain`, `repeat`"));
    };
    let mut factors = Vec::new();
    let mut repeat = None;
    for (key, value) in entries {
        match key.as_str() {
            "repeat" => repeat = Some(read_repeat(value, sources)?),
            _ => factors.push(read_entry(key, value, sources)?),
        }
    }
    factors.extend(repeat);
    Ok(if factors.len() == 1 { factors.remove(0) } else { Sweep::Product(factors) })
}

fn read_entry(key: &str, value: &Node, sources: &Sources) -> Result<Sweep<Node>, Diagnostic> {
    match key {
        "product" => Ok(Sweep::Product(read_operands(key, value, sources)?)),
        "chain" => Ok(Sweep::Chain(read_operands(key, value, sources)?)),
        "zip" => {
            let sweep = Sweep::Zip(read_operands(key, value, sources)?);
            match sweep.count() {
                Err(error @ SweepError::UnequalLengths { .. }) => Err(Diagnostic::new(error.to_string())
                    .at(sources, &value.origin, At::Key)
                    .note("give every axis of a zip the same number of values")),
                _ => Ok(sweep),
            }
        }
        "repeat" => read_repeat(value, sources),
        _ => read_axis(key, value, sources),
    }
}

fn read_operands(operator: &str, node: &Node, sources: &Sources) -> Result<Vec<Sweep<Node>>, Diagnostic> {
    let operands =
        match &node.kind {
            Kind::List(items) => items.iter().map(|item| read_sweep(item, sources)).collect::<Result<Vec<_>, _>>()?,
            Kind::Map(entries) => entries.iter().map(|(key, value)| read_entry(key, value, sources)).collect::<Result<Vec<_>, _>>()?,
            _ => {
                return Err(Diagnostic::new(format!("`{operator}` takes a list of sweeps or a map of axes, found {}", node.describe()))
                    .at(sources, &node.origin, At::Value));
            }
        };
    if operands.is_empty() {
        return Err(Diagnostic::new(format!("`{operator}` of nothing gives no trials")).at(sources, &node.origin, At::Value));
    }
    Ok(operands)
}

fn read_repeat(node: &Node, sources: &Sources) -> Result<Sweep<Node>, Diagnostic> {
    match &node.kind {
        Kind::Number(number) if number.as_u64().is_some_and(|times| times > 0) => Ok(Sweep::Repeat(number.as_u64().unwrap_or(1))),
        _ => Err(Diagnostic::new(format!("`repeat` takes the number of seeds, a whole number from 1, found {}", node.describe())).at(
            sources,
            &node.origin,
            At::Value,
        )),
    }
}

fn read_axis(key: &str, node: &Node, sources: &Sources) -> Result<Sweep<Node>, Diagnostic> {
    let path = KeyPath::parse(key);
    let place = |diagnostic: Diagnostic| diagnostic.at(sources, &node.origin, At::Key);
    match path.parts() {
        [first] | [first, ..] if WHOLE.contains(&first.as_str()) => {
            return Err(place(Diagnostic::new(format!("`{first}` belongs to the whole experiment and cannot be swept"))));
        }
        [only] if !["data", "model", "train", "evaluate", "device"].contains(&only.as_str()) => {
            return Err(place(
                Diagnostic::new(format!("`{key}` is neither an operator nor the path of an axis")).expected_names(key, &OPERATORS),
            )
            .note("an axis names the whole path: `model.vae.beta`, `train.optimizer.adam.learning_rate`"));
        }
        _ => {}
    }
    let values = match &node.kind {
        Kind::List(values) if values.is_empty() => {
            return Err(Diagnostic::new(format!("the axis `{key}` has no values")).at(sources, &node.origin, At::Value));
        }
        Kind::List(values) => values.clone(),
        Kind::Map(entries) if matches!(&entries[..], [(name, _)] if RANGES.contains(&name.as_str())) => {
            let (name, bounds) = &entries[0];
            read_range(name, bounds, sources)?.into_iter().map(|value| Node::from_value(&Value::Number(value), &bounds.origin)).collect()
        }
        Kind::Map(entries) => {
            let mut diagnostic = Diagnostic::new(format!("the values of the axis `{key}` must be a list or a range"));
            if let [(name, _)] = &entries[..] {
                diagnostic = diagnostic.expected_names(name, &RANGES);
            }
            return Err(diagnostic.at(sources, &node.origin, At::Value));
        }
        _ => {
            return Err(Diagnostic::new(format!("the values of the axis `{key}` must be a list or a range, found {}", node.describe()))
                .at(sources, &node.origin, At::Value));
        }
    };
    Ok(Sweep::Axis { path, values })
}

fn read_range(kind: &str, node: &Node, sources: &Sources) -> Result<Vec<Number>, Diagnostic> {
    let third = if kind == "range" { "step" } else { "num" };
    let expected = ["from", "to", third];
    let fail = |message: String, node: &Node, at: At| Diagnostic::new(message).at(sources, &node.origin, at);
    let Kind::Map(entries) = &node.kind else {
        return Err(fail(format!("`{kind}` takes `{{from: .., to: .., {third}: ..}}`, found {}", node.describe()), node, At::Value));
    };
    for (key, value) in entries {
        if !expected.contains(&key.as_str()) {
            return Err(fail(format!("unknown key `{key}`"), value, At::Key).expected_names(key, &expected));
        }
    }
    let number = |key: &str| match node.child(key) {
        Some(Node { kind: Kind::Number(number), .. }) => Ok(number.clone()),
        Some(other) => Err(fail(format!("expected a number, found {}", other.describe()), other, At::Value)),
        None => Err(fail(format!("missing key `{key}`"), node, At::Key)),
    };
    let (from, to, third_value) = (number("from")?, number("to")?, number(third)?);
    let at = |key: &str| node.child(key).unwrap_or(node);
    let as_float = |number: &Number| number.as_f64().unwrap_or(f64::NAN);
    let (start, end) = (as_float(&from), as_float(&to));
    let is_whole = [&from, &to].iter().all(|number| number.is_i64() || number.is_u64());
    if kind == "range" {
        let step = as_float(&third_value);
        if step == 0.0 || (end - start) * step < 0.0 {
            return Err(fail(format!("a step of {step} never gets from {start} to {end}"), at("step"), At::Value));
        }
        let num = ((end - start) / step + 1e-9).floor();
        if num >= crate::sweep::MAX_TRIALS as f64 {
            return Err(fail(SweepError::TooMany.to_string(), node, At::Key));
        }
        let whole = is_whole && step.fract() == 0.0;
        return Ok((0..=num as usize).map(|index| tidy(start + step * index as f64, whole)).collect());
    }
    let num = third_value.as_u64().and_then(|num| usize::try_from(num).ok()).filter(|num| (2..=crate::sweep::MAX_TRIALS).contains(num));
    let Some(num) = num else {
        return Err(fail(format!("`num` counts the values: a whole number from 2, found {third_value}"), at("num"), At::Value));
    };
    if kind == "log_range"
        && let Some(key) = [("from", start), ("to", end)].iter().find(|(_, value)| *value <= 0.0)
    {
        return Err(fail(format!("a logarithmic range has positive ends, found {}", key.1), at(key.0), At::Value));
    }
    let value = |index: usize| match index {
        0 => from.clone(),
        _ if index == num - 1 => to.clone(),
        _ => {
            let fraction = index as f64 / (num - 1) as f64;
            tidy(if kind == "log_range" { start * (end / start).powf(fraction) } else { start + (end - start) * fraction }, is_whole)
        }
    };
    Ok((0..num).map(value).collect())
}

/// The number in 12 significant digits; a whole number where both ends of the range are and it is one.
fn tidy(value: f64, whole: bool) -> Number {
    let rounded: f64 = format!("{value:.11e}").parse().expect("a formatted number is a number");
    if whole && rounded.fract() == 0.0 && rounded.abs() < 9e15 {
        return Number::from(rounded as i64);
    }
    Number::from_f64(rounded).expect("a range between finite numbers is finite")
}

/// Where the axis over `path` was written that a value at `origin` belongs to.
fn axis_of(origin: &Origin, path: &KeyPath) -> Origin {
    let parts = origin.path.parts();
    let end = parts.iter().rposition(|part| KeyPath::parse(part) == *path).map_or(parts.len(), |position| position + 1);
    Origin { source: origin.source, path: parts[..end].iter().map(String::as_str).collect() }
}

/// Applies the settings of one trial. Returns the resolved path of each, with `train.seed` for a repetition.
pub(crate) fn apply(tree: &mut Node, settings: &[Setting<Node>], sources: &Sources) -> Result<Vec<KeyPath>, Diagnostic> {
    let seed_path = KeyPath::parse("train.seed");
    let mut set: Vec<KeyPath> = Vec::new();
    for setting in settings {
        let (path, value) = match setting {
            Setting::Value { path, value } => (path.clone(), value.clone()),
            Setting::SeedOffset(offset) => {
                let Some(base) = tree.at(&seed_path) else {
                    return Err(Diagnostic::new("`repeat` counts up from `train.seed`, which is missing"));
                };
                let Some(seed) = base.to_value().as_u64() else {
                    // No seed to count from: reading the section will say so.
                    set.push(seed_path.clone());
                    continue;
                };
                (seed_path.clone(), Node::from_value(&Value::from(seed.wrapping_add(*offset)), &base.origin))
            }
        };
        let origin = value.origin.clone();
        let keys_before = tree.leaf_paths();
        let resolved = tree.set(&path, value).map_err(|error| {
            let names: Vec<String> = keys_before.iter().map(KeyPath::to_string).collect();
            let mut diagnostic = Diagnostic::new(format!("cannot sweep `{path}`: {error}")).at(sources, &axis_of(&origin, &path), At::Key);
            if let Some(nearest) = crate::source::nearest_name(&path.to_string(), &names) {
                diagnostic = diagnostic.note(format!("did you mean `{nearest}`?"));
            }
            match error {
                SetError::OtherVariant { .. } => {
                    diagnostic.note("an axis that only one alternative has belongs inside that alternative: `chain: [{product: [..]}, ..]`")
                }
                _ => diagnostic,
            }
        })?;
        if let Some(before) = set.iter().find(|before| resolved.contains(before)) {
            let message = if *before == resolved {
                format!("`{resolved}` is set twice in one trial")
            } else {
                format!("the axis `{resolved}` replaces what the axis `{before}` has set: put it first")
            };
            return Err(Diagnostic::new(message).at(sources, &axis_of(&origin, &path), At::Key));
        }
        set.push(resolved);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn values(yaml: &str) -> Vec<String> {
        let mut sources = Sources::default();
        let source = sources.add("test.yaml", format!("a.b: {yaml}"));
        let node = tree::parse(&sources, source).unwrap();
        let Sweep::Axis { values, .. } = read(&node, &sources).unwrap() else { panic!("expected an axis") };
        values.iter().map(|value| value.to_value().to_string()).collect()
    }

    #[test]
    fn ranges_hit_their_ends_exactly_and_print_well() {
        assert_eq!(values("{range: {from: 5, to: 20, step: 5}}"), ["5", "10", "15", "20"]);
        assert_eq!(values("{range: {from: 0.1, to: 0.5, step: 0.1}}"), ["0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(values("{range: {from: 3, to: 0, step: -2}}"), ["3", "1"]);
        assert_eq!(values("{linear_range: {from: 2, to: 32, num: 4}}"), ["2", "12", "22", "32"]);
        assert_eq!(values("{linear_range: {from: 0.0, to: 1.0, num: 4}}"), ["0.0", "0.333333333333", "0.666666666667", "1.0"]);
        assert_eq!(values("{log_range: {from: 1.0e-4, to: 1.0, num: 5}}"), ["0.0001", "0.001", "0.01", "0.1", "1.0"]);
        assert_eq!(values("{log_range: {from: 1, to: 1000, num: 4}}"), ["1", "10", "100", "1000"]);
    }

    #[test]
    fn a_map_is_the_product_of_its_entries_with_the_seeds_last() {
        let mut sources = Sources::default();
        let source = sources.add("test.yaml", "repeat: 2\na.x: [1, 2]\na.y: [3]\n");
        let sweep = read(&tree::parse(&sources, source).unwrap(), &sources).unwrap();
        let Sweep::Product(factors) = &sweep else { panic!("expected a product") };
        assert!(matches!(&factors[..], [Sweep::Axis { .. }, Sweep::Axis { .. }, Sweep::Repeat(2)]));
    }
}
