//! The terms of an objective with unit and weight, and what that weight is called elsewhere.
//!
//! aelab sums a term over features and averages it over the batch; a weight multiplies exactly that.
//! With `D` features, `w` the weight of a term beside the reconstruction term, and `c` the factor that
//! makes a squared error of the reconstruction term (`2 variance` of a Gaussian; 1 otherwise):
//!
//! ```text
//! per-feature mean   w / D        the whole loss divided by the number of features
//! kld_weight         w * c / D    the reconstruction as a mean squared error (or mean cross-entropy)
//! ```

use std::collections::HashSet;

use aelab_core::{Scheduled, TermSpec};
use aelab_experiment::Plan;

use crate::terminal::significant;

/// The distinct objectives of a plan, a line per term.
pub(crate) fn objective_lines(plan: &Plan) -> Vec<String> {
    let mut shown: Vec<(String, Vec<String>)> = Vec::new();
    let mut seen: HashSet<(String, Vec<String>)> = HashSet::new();
    for trial in &plan.trials {
        let objective = (trial.model.clone(), term_lines(&trial.terms, trial.num_features, trial.num_epochs() as f64));
        if seen.insert(objective.clone()) {
            shown.push(objective);
        }
    }
    let mut lines = Vec::new();
    for model in distinct(shown.iter().map(|(model, _)| model.as_str())) {
        let variants: Vec<&Vec<String>> = shown.iter().filter(|(other, _)| other == model).map(|(_, lines)| lines).collect();
        lines.push(match variants.len() {
            1 => format!("objective of {model}"),
            num => format!("objective of {model}, the first of {num} in this sweep"),
        });
        lines.extend(variants[0].iter().map(|line| format!("  {line}")));
    }
    lines
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// A line per term: name, weight, unit, and for all but the reconstruction its weight in other conventions.
/// A scheduled weight is that after `num_epochs`.
pub(crate) fn term_lines(terms: &[TermSpec], num_features: usize, num_epochs: f64) -> Vec<String> {
    let features = num_features.max(1) as f64;
    let reconstruction = terms.iter().position(is_reconstruction).unwrap_or(0);
    let factor = terms.get(reconstruction).and_then(|term| term.squared_error_factor).unwrap_or(1.0);
    let width = terms.iter().map(|term| term.name.len()).max().unwrap_or(0);
    terms
        .iter()
        .enumerate()
        .map(|(position, term)| {
            let weight = term.weight.last(num_epochs);
            let moving = if matches!(term.weight, Scheduled::Constant(_)) { "" } else { " at the end" };
            let start = format!("{:width$}  weight {weight}{moving} [{}]", term.name, term.unit.symbol());
            if position == reconstruction {
                return start;
            }
            format!(
                "{start}; as per-feature mean {}, as kld_weight {}",
                significant(weight / features),
                significant(weight * factor / features)
            )
        })
        .collect()
}

fn is_reconstruction(term: &TermSpec) -> bool {
    term.squared_error_factor.is_some() || term.name == "nll" || term.name == "squared_error"
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Schedule, Unit};

    #[test]
    fn weights_are_converted_as_the_conventions_define_them() {
        // Gaussian nll of variance 0.02: squared error / 0.04. beta 4 on 64 features: 4/64 per feature; mean
        // squared error + k kl has the same minimum for k = 4 * 0.04 / 64.
        let terms = [TermSpec::new("nll", Unit::Nats, 1.0).squared_error_factor(0.04), TermSpec::new("kl", Unit::Nats, 4.0)];
        assert_eq!(
            term_lines(&terms, 64, 10.0),
            ["nll  weight 1 [nats/example]", "kl   weight 4 [nats/example]; as per-feature mean 0.06250, as kld_weight 0.002500"]
        );
        let rising = Schedule::Linear { from: 0.0, to: 4.0, epochs: Some(20.0) };
        let terms = [TermSpec::new("nll", Unit::Nats, 1.0), TermSpec::new("kl", Unit::Nats, Scheduled::from(rising))];
        assert!(term_lines(&terms, 64, 10.0)[1].starts_with("kl   weight 2 at the end [nats/example]"));
    }
}
