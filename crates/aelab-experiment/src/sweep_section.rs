//! Reads the `sweep` section into the algebra.
//!
//! A map is the product of its entries, in the order written, with `repeat` last. An entry is
//!
//! ```yaml
//! product: [..]     # or zip, chain: a list of sweeps, or a map whose entries are the operands
//! repeat: 3         # or {times: 3, vary: [train.seed, data.*.split_seed]}
//! random: {num: 64, seed: 7, space: {model.vae.beta: {log_uniform: {from: 0.1, to: 10}}}}     # or sobol
//! when: model == vae            # the whole map is there only where this holds of what is set before it
//! require: code_size < input    # trials of the map that break it are left out
//! model.vae.beta: [1, 4]                                         # an axis: a path and its values
//! train.epochs: {range: {from: 5, to: 20, step: 5}}              # 5, 10, 15, 20
//! model.*.code_size: {linear_range: {from: 2, to: 32, num: 4}}   # 2, 12, 22, 32
//! model.vae.beta: {log_range: {from: 1.0e-4, to: 1.0, num: 5}}
//! ```

use serde_json::{Number, Value};

use crate::KeyPath;
use crate::read::read_at;
use crate::rules::{read_condition, read_require};
use crate::sampler::Sampler;
use crate::source::{Diagnostic, Origin, Sources};
use crate::space::Distribution;
use crate::sweep::{Setting, Sweep, SweepError};
use crate::tree::{At, Kind, Node, SetError};

const OPERATORS: [&str; 8] = ["product", "zip", "chain", "repeat", "random", "sobol", "when", "require"];
const RANGES: [&str; 3] = ["range", "linear_range", "log_range"];
/// Keys that belong to the experiment as a whole and so cannot differ between its trials.
const WHOLE: [&str; 12] =
    ["name", "description", "extends", "tags", "execution", "sweep", "search", "require", "derive", "goal", "early_termination", "budget"];
const TRAIN_SEED: &str = "train.seed";

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
            .note("a sweep is a map of axes (`model.vae.beta: [1, 4]`) and of `product`, `zip`, `chain`, `repeat`, `random`, `sobol`"));
    };
    let mut factors = Vec::new();
    let mut repeat = None;
    for (key, value) in entries {
        match key.as_str() {
            "repeat" => repeat = Some(read_repeat(value, sources)?),
            "when" | "require" => {}
            _ => factors.push(read_entry(key, value, sources)?),
        }
    }
    factors.extend(repeat);
    ruled(if factors.len() == 1 { factors.remove(0) } else { Sweep::Product(factors) }, entries, sources)
}

/// A sweep under the `when` and `require` of its map.
fn ruled(mut sweep: Sweep<Node>, entries: &[(String, Node)], sources: &Sources) -> Result<Sweep<Node>, Diagnostic> {
    let find = |wanted: &str| entries.iter().find(|(key, _)| key == wanted).map(|(_, node)| node);
    if let Some(node) = find("require") {
        sweep = Sweep::Require { conditions: read_require(node, sources)?, sweep: Box::new(sweep) };
    }
    if let Some(node) = find("when") {
        sweep = Sweep::When { condition: read_condition("when", node, sources)?, sweep: Box::new(sweep) };
    }
    Ok(sweep)
}

fn read_entry(key: &str, value: &Node, sources: &Sources) -> Result<Sweep<Node>, Diagnostic> {
    match key {
        "product" => read_operands(key, value, Sweep::Product, sources),
        "chain" => read_operands(key, value, Sweep::Chain, sources),
        "zip" => {
            let sweep = read_operands(key, value, Sweep::Zip, sources)?;
            match sweep.count() {
                Err(error @ SweepError::UnequalLengths { .. }) => Err(Diagnostic::new(error.to_string())
                    .at(sources, &value.origin, At::Key)
                    .note("give every axis of a zip the same number of values")),
                _ => Ok(sweep),
            }
        }
        "repeat" => read_repeat(value, sources),
        "random" => read_points(key, Sampler::Random, value, sources),
        "sobol" => read_points(key, Sampler::Sobol, value, sources),
        _ => read_axis(key, value, sources),
    }
}

fn read_operands(
    operator: &str,
    node: &Node,
    join: fn(Vec<Sweep<Node>>) -> Sweep<Node>,
    sources: &Sources,
) -> Result<Sweep<Node>, Diagnostic> {
    let is_rule = |key: &str| ["when", "require"].contains(&key);
    let operands =
        match &node.kind {
            Kind::List(items) => items.iter().map(|item| read_sweep(item, sources)).collect::<Result<Vec<_>, _>>()?,
            Kind::Map(entries) => {
                let operands = entries.iter().filter(|(key, _)| !is_rule(key));
                operands.map(|(key, value)| read_entry(key, value, sources)).collect::<Result<Vec<_>, _>>()?
            }
            _ => {
                return Err(Diagnostic::new(format!("`{operator}` takes a list of sweeps or a map of axes, found {}", node.describe()))
                    .at(sources, &node.origin, At::Value));
            }
        };
    if operands.is_empty() {
        return Err(Diagnostic::new(format!("`{operator}` of nothing gives no trials")).at(sources, &node.origin, At::Value));
    }
    ruled(join(operands), node.entries().unwrap_or_default(), sources)
}

fn read_repeat(node: &Node, sources: &Sources) -> Result<Sweep<Node>, Diagnostic> {
    let fail = |message: String, node: &Node, at: At| Diagnostic::new(message).at(sources, &node.origin, at);
    let times = |node: &Node| match &node.kind {
        Kind::Number(number) if number.as_u64().is_some_and(|times| times > 0) => Ok(number.as_u64().unwrap_or(1)),
        _ => Err(fail(format!("`repeat` takes the number of seeds, a whole number from 1, found {}", node.describe()), node, At::Value)),
    };
    let Some(entries) = node.entries() else {
        return Ok(Sweep::Repeat { times: times(node)?, vary: vec![KeyPath::parse(TRAIN_SEED)] });
    };
    if let Some((unknown, inner)) = entries.iter().find(|(key, _)| !["times", "vary"].contains(&key.as_str())) {
        return Err(fail(format!("unknown key `{unknown}`"), inner, At::Key).expected_names(unknown, &["times", "vary"]));
    }
    let Some(times_node) = node.child("times") else { return Err(fail("missing key `times`".to_owned(), node, At::Key)) };
    let vary = match node.child("vary") {
        None => vec![KeyPath::parse(TRAIN_SEED)],
        Some(Node { kind: Kind::List(items), .. }) if !items.is_empty() => {
            let path = |item: &Node| match item.as_text().map(KeyPath::parse) {
                Some(path) if path.parts().len() > 1 && path.last().is_some_and(|last| last.ends_with("seed")) => Ok(path),
                _ => Err(fail(format!("expected the path of a seed, found {}", item.describe()), item, At::Value)
                    .note("seeds are `train.seed` and `data.*.split_seed`, and those of data sets that are generated")),
            };
            items.iter().map(path).collect::<Result<Vec<_>, _>>()?
        }
        Some(other) => {
            let message = format!("`vary` is a list of seeds: `[{TRAIN_SEED}, data.*.split_seed]`, found {}", other.describe());
            return Err(fail(message, other, At::Value));
        }
    };
    Ok(Sweep::Repeat { times: times(times_node)?, vary })
}

/// Reads `{num: .., seed: .., space: {..}}` and draws the points.
fn read_points(key: &str, sampler: Sampler, node: &Node, sources: &Sources) -> Result<Sweep<Node>, Diagnostic> {
    let fail = |message: String, node: &Node, at: At| Diagnostic::new(message).at(sources, &node.origin, at);
    let Some(entries) = node.entries() else {
        return Err(fail(format!("`{key}` takes `{{num: .., seed: .., space: {{..}}}}`, found {}", node.describe()), node, At::Value));
    };
    if let Some((unknown, inner)) = entries.iter().find(|(key, _)| !["num", "seed", "space"].contains(&key.as_str())) {
        let diagnostic = fail(format!("unknown key `{unknown}` in `{key}`"), inner, At::Key);
        return Err(diagnostic.expected_names(unknown, &["num", "seed", "space"]));
    }
    let missing = |wanted: &str| fail(format!("missing key `{wanted}` in `{key}`"), node, At::Key);
    let num_node = node.child("num").ok_or_else(|| missing("num"))?;
    let num = match &num_node.kind {
        Kind::Number(number) => number.as_u64().and_then(|num| usize::try_from(num).ok()).filter(|num| *num > 0),
        _ => None,
    };
    let Some(num) = num else {
        return Err(fail(format!("`num` counts the points: a whole number from 1, found {}", num_node.describe()), num_node, At::Value));
    };
    if num > crate::sweep::MAX_TRIALS {
        return Err(fail(SweepError::TooMany.to_string(), num_node, At::Value));
    }
    let seed = match node.child("seed") {
        None => 0,
        Some(Node { kind: Kind::Number(number), .. }) if number.is_u64() => number.as_u64().unwrap_or(0),
        Some(other) => return Err(fail(format!("`seed` is a whole number, 0 or larger, found {}", other.describe()), other, At::Value)),
    };
    let space_node = node.child("space").ok_or_else(|| missing("space"))?;
    let Some(space) = space_node.entries().filter(|entries| !entries.is_empty()) else {
        return Err(fail(format!("`space` is a map from paths to distributions, found {}", space_node.describe()), space_node, At::Value)
            .note("for example `{model.vae.beta: {log_uniform: {from: 0.1, to: 10}}}`"));
    };
    let mut axes = Vec::new();
    for (key, value) in space {
        axes.push((axis_path(key, &[], value, sources)?, read_distribution(key, value, sources)?, &value.origin));
    }
    let names: Vec<String> = axes.iter().map(|(path, _, _)| path.to_string()).collect();
    let points = sampler.points(seed, num, &names).map_err(|error| fail(error.to_string(), node, At::Key))?;
    let settings = |point: &Vec<f64>| {
        let setting = |(u, (path, distribution, origin)): (&f64, &(KeyPath, Distribution, &Origin))| Setting::Value {
            path: path.clone(),
            value: Node::from_value(&distribution.at(*u), origin),
        };
        point.iter().zip(&axes).map(setting).collect()
    };
    Ok(Sweep::Points(points.iter().map(settings).collect()))
}

/// Reads the distribution of an axis.
fn read_distribution(key: &str, node: &Node, sources: &Sources) -> Result<Distribution, Diagnostic> {
    if let Kind::Map(entries) = &node.kind
        && let [(name, _)] = &entries[..]
        && !Distribution::NAMES.contains(&name.as_str())
    {
        let diagnostic = Diagnostic::new(format!("there is no distribution `{name}`")).at(sources, &entries[0].1.origin, At::Key);
        return Err(diagnostic.expected_names(name, &Distribution::NAMES));
    }
    if !matches!(&node.kind, Kind::Map(entries) if entries.len() == 1) {
        return Err(Diagnostic::new(format!("`{key}` takes one distribution, found {}", node.describe()))
            .at(sources, &node.origin, At::Value)
            .expected_names("", &Distribution::NAMES)
            .note("for example `{log_uniform: {from: 1e-4, to: 0.1}}`; a list belongs into `{choice: [..]}`"));
    }
    let distribution: Distribution = read_at(node.to_value(), &KeyPath::root()).map_err(|error| error.diagnose(node, sources))?;
    distribution
        .check()
        .map_err(|reason| Diagnostic::new(format!("nothing can be drawn for `{key}`: {reason}")).at(sources, &node.origin, At::Value))?;
    Ok(distribution)
}

/// The path of an axis, where one of these operators might stand as well.
fn axis_path(key: &str, operators: &[&str], node: &Node, sources: &Sources) -> Result<KeyPath, Diagnostic> {
    let path = KeyPath::parse(key);
    let place = |diagnostic: Diagnostic| diagnostic.at(sources, &node.origin, At::Key);
    match path.parts() {
        [first, ..] if WHOLE.contains(&first.as_str()) => {
            Err(place(Diagnostic::new(format!("`{first}` belongs to the whole experiment and cannot be swept"))))
        }
        [only] if !["data", "model", "train", "evaluate", "device"].contains(&only.as_str()) => {
            let what = if operators.is_empty() { "is not" } else { "is neither an operator nor" };
            let diagnostic = Diagnostic::new(format!("`{key}` {what} the path of an axis")).expected_names(key, operators);
            Err(place(diagnostic).note("an axis names the whole path: `model.vae.beta`, `train.optimizer.adam.learning_rate`"))
        }
        _ => Ok(path),
    }
}

fn read_axis(key: &str, node: &Node, sources: &Sources) -> Result<Sweep<Node>, Diagnostic> {
    let path = axis_path(key, &OPERATORS, node, sources)?;
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

impl From<SweepError> for Diagnostic {
    fn from(error: SweepError) -> Self {
        Diagnostic::new(error.to_string())
    }
}

/// Applies those settings of one trial that change something. Returns the resolved path of each of these.
pub(crate) fn apply<'a>(
    tree: &mut Node,
    settings: impl IntoIterator<Item = &'a Setting<Node>>,
    sources: &Sources,
) -> Result<Vec<KeyPath>, Diagnostic> {
    let mut set: Vec<KeyPath> = Vec::new();
    for setting in settings {
        let (path, value) = match setting {
            Setting::When { .. } | Setting::Require(_) => continue,
            Setting::Value { path, value } => (path.clone(), value.clone()),
            Setting::Offset { path, by } => {
                let path = chosen(tree, path);
                let base = match tree.at(&path) {
                    Some(base) => base.clone(),
                    // Where nothing is written the split is that of seed 0.
                    None if path.last() == Some("split_seed") => Node::from_value(&Value::from(0), &tree.origin),
                    None => {
                        return Err(Diagnostic::new(format!("`repeat` counts up from `{path}`, which is missing"))
                            .note("write the first of the seeds where it belongs"));
                    }
                };
                let Some(seed) = base.to_value().as_u64() else {
                    // No seed to count from: reading the section will say so.
                    set.push(path);
                    continue;
                };
                (path, Node::from_value(&Value::from(seed.wrapping_add(*by)), &base.origin))
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
                SetError::OtherVariant { parent, key, .. } => diagnostic
                    .note(format!("an axis that only one alternative has takes a condition: `{{when: {parent} == {key}, {path}: [..]}}`")),
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

/// A path with each `*` replaced by the data set, model or optimizer that is chosen.
fn chosen(tree: &Node, path: &KeyPath) -> KeyPath {
    path.parts().iter().fold(KeyPath::root(), |walked, part| match tree.at(&walked).and_then(Node::entries) {
        Some([(only, _)]) if part == "*" => walked.child(only),
        _ => walked.child(part),
    })
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
        assert!(matches!(&factors[..], [Sweep::Axis { .. }, Sweep::Axis { .. }, Sweep::Repeat { times: 2, .. }]));
    }
}
