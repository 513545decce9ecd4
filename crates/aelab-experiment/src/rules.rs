//! What an experiment file says in expressions: `require`, `when` and `derive`.

use crate::KeyPath;
use crate::expression::{Condition, Expression};
use crate::source::{Diagnostic, Origin, Sources};
use crate::tree::{At, Kind, Node};

/// A value that is computed from others of its trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// What is set.
    pub path: KeyPath,
    /// What it becomes.
    pub value: Condition,
    /// Where it is set; everywhere without.
    pub when: Option<Condition>,
}

/// Reads an expression.
pub(crate) fn read_condition(key: &str, node: &Node, sources: &Sources) -> Result<Condition, Diagnostic> {
    let text = match &node.kind {
        Kind::Text(text) => text.clone(),
        Kind::Number(number) => number.to_string(),
        Kind::Bool(value) => value.to_string(),
        _ => {
            let message = format!("`{key}` takes an expression, found {}", node.describe());
            let diagnostic = Diagnostic::new(message).at(sources, &node.origin, At::Value);
            return Err(diagnostic.note("an expression is a text: `code_size < input`, `model == vae and beta > 1`"));
        }
    };
    match Expression::parse(&text) {
        Ok(expression) => Ok(Condition { expression, origin: node.origin.clone() }),
        Err(error) => Err(error.diagnose(&text, &node.origin, sources)),
    }
}

/// Reads `require`: one expression or a list of them.
pub(crate) fn read_require(node: &Node, sources: &Sources) -> Result<Vec<Condition>, Diagnostic> {
    match &node.kind {
        Kind::List(items) if items.is_empty() => {
            Err(Diagnostic::new("`require` of nothing requires nothing: leave it out").at(sources, &node.origin, At::Value))
        }
        Kind::List(items) => items.iter().map(|item| read_condition("require", item, sources)).collect(),
        _ => Ok(vec![read_condition("require", node, sources)?]),
    }
}

/// Reads `derive`: a map from paths to expressions, or to `{value: .., when: ..}`.
pub(crate) fn read_derive(node: &Node, trial_keys: &[&str], sources: &Sources) -> Result<Vec<Derived>, Diagnostic> {
    let Kind::Map(entries) = &node.kind else {
        let message = format!("`derive` is a map from paths to expressions, found {}", node.describe());
        return Err(Diagnostic::new(message)
            .at(sources, &node.origin, At::Value)
            .note("for example `{model.*.code_size: round(input / 8)}`"));
    };
    let mut derived: Vec<Derived> = Vec::new();
    for (key, node) in entries {
        let path = KeyPath::parse(key);
        let place = |message: String, at: At| Diagnostic::new(message).at(sources, &node.origin, at);
        let top = path.parts().first().map_or("", String::as_str);
        if path.parts().len() < 2 || !trial_keys.contains(&top) {
            return Err(place(format!("`{key}` is not the path of a value of a trial"), At::Key)
                .note("`derive` names the whole path: `train.optimizer.adam.learning_rate`, `model.*.code_size`"));
        }
        let (value, when) = match node.entries() {
            None => (read_condition(key, node, sources)?, None),
            Some(options) => {
                if let Some((unknown, inner)) = options.iter().find(|(name, _)| !["value", "when"].contains(&name.as_str())) {
                    return Err(Diagnostic::new(format!("unknown key `{unknown}`"))
                        .at(sources, &inner.origin, At::Key)
                        .expected_names(unknown, &["value", "when"]));
                }
                let Some(value) = node.child("value") else { return Err(place("missing key `value`".to_owned(), At::Key)) };
                let when = node.child("when").map(|when| read_condition("when", when, sources)).transpose()?;
                (read_condition(key, value, sources)?, when)
            }
        };
        derived.push(Derived { path, value, when });
    }
    for (position, one) in derived.iter().enumerate() {
        let names = one.value.expression.names(true).into_iter().chain(one.when.iter().flat_map(|when| when.expression.names(true)));
        for name in names {
            if let Some(later) = derived[position..].iter().find(|later| is_named(&later.path, name)) {
                let message = if later == one {
                    format!("`{}` is computed from itself", one.path)
                } else {
                    format!("`{}` is computed from `{}`, which is derived only after it: put that first", one.path, later.path)
                };
                return Err(Diagnostic::new(message).at(sources, &axis_key(&one.value.origin, &one.path), At::Key));
            }
        }
    }
    Ok(derived)
}

/// The key of `derive` that an expression below it belongs to.
fn axis_key(origin: &Origin, path: &KeyPath) -> Origin {
    let parts = origin.path.parts();
    let end = parts.iter().rposition(|part| KeyPath::parse(part) == *path).map_or(parts.len(), |position| position + 1);
    Origin { source: origin.source, path: parts[..end].iter().map(String::as_str).collect() }
}

/// Whether a name in an expression means the value at a path.
fn is_named(path: &KeyPath, name: &KeyPath) -> bool {
    let parts = |path: &KeyPath| path.family().parts().iter().filter(|part| *part != "*").cloned().collect::<Vec<_>>();
    let aliased = |part: &String| if part == "latent_dim" { "code_size".to_owned() } else { part.clone() };
    let (path, name): (Vec<String>, Vec<String>) = (parts(path).iter().map(aliased).collect(), parts(name).iter().map(aliased).collect());
    path.ends_with(&name)
}
