//! The minimised objective of one minibatch, with its named terms.

use burn::tensor::Tensor;

use crate::Scheduled;

/// What a term is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nats per example: summed over features, averaged over the batch.
    Nats,
    /// Squared data units per example: summed over features, averaged over the batch.
    SquaredUnits,
    /// A penalty without a physical unit, averaged over the batch.
    Penalty,
}

impl Unit {
    /// As printed beside a value.
    pub fn symbol(self) -> &'static str {
        match self {
            Unit::Nats => "nats/example",
            Unit::SquaredUnits => "squared units/example",
            Unit::Penalty => "penalty/example",
        }
    }
}

/// One weighted term of an objective.
#[derive(Debug, Clone)]
pub struct Term {
    /// Standard name: `nll`, `kl`, `squared_error`, ...
    pub name: &'static str,
    /// The unweighted value, a scalar, still attached to the tape.
    pub value: Tensor<1>,
    /// What the value is multiplied by in the loss.
    pub weight: f64,
}

/// A scalar loss as the weighted sum of its terms.
#[derive(Debug, Clone, Default)]
pub struct Objective {
    terms: Vec<Term>,
    diagnostics: Vec<(&'static str, Tensor<1>)>,
    carried: Vec<Tensor<2>>,
}

impl Objective {
    /// An objective without terms.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `weight * value` to the loss. `value` is a scalar, `[1]`: summed over features, averaged over the batch.
    #[must_use]
    pub fn term(mut self, name: &'static str, value: Tensor<1>, weight: f64) -> Self {
        self.terms.push(Term { name, value, weight });
        self
    }

    /// Adds a number that is logged beside the terms and takes no part in the loss: the L0 of a code, the
    /// perplexity of a codebook. `value` is a scalar, `[1]`, a mean over the batch.
    #[must_use]
    pub fn diagnostic(mut self, name: &'static str, value: Tensor<1>) -> Self {
        self.diagnostics.push((name, value.detach()));
        self
    }

    /// Carries a value of the forward pass, detached, to [`Autoencoder::after_step`](crate::Autoencoder::after_step):
    /// what moving averages and usage counts are updated from.
    #[must_use]
    pub fn carry(mut self, value: Tensor<2>) -> Self {
        self.carried.push(value.detach());
        self
    }

    /// What was carried, in order.
    pub fn carried(&self) -> &[Tensor<2>] {
        &self.carried
    }

    /// The terms in the order in which they were added.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The weighted sum. A term of weight 0 takes no part in the gradient, not even as 0 times infinity.
    ///
    /// # Panics
    /// When there are no terms.
    pub fn loss(&self) -> Tensor<1> {
        self.terms
            .iter()
            .filter(|term| term.weight != 0.0)
            .map(|term| if term.weight == 1.0 { term.value.clone() } else { term.value.clone() * term.weight })
            .reduce(|sum, term| sum + term)
            .unwrap_or_else(|| self.terms[0].value.clone() * 0.0)
    }

    /// The values as numbers, the loss among them.
    pub fn values(&self) -> Terms {
        let terms: Vec<TermValue> = self
            .terms
            .iter()
            .map(|term| TermValue {
                name: term.name,
                value: f64::from(term.value.clone().detach().into_scalar::<f32>()),
                weight: term.weight,
            })
            .collect();
        let loss = terms.iter().filter(|term| term.weight != 0.0).map(|term| term.weight * term.value).sum();
        let number = |value: &Tensor<1>| f64::from(value.clone().into_scalar::<f32>());
        let diagnostics = self.diagnostics.iter().map(|(name, value)| (*name, number(value))).collect();
        Terms { loss, terms, diagnostics }
    }
}

/// The value of one unweighted term.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TermValue {
    /// Standard name.
    pub name: &'static str,
    /// Unweighted, per example, see [`Unit`].
    pub value: f64,
    /// What it was multiplied by in the loss.
    pub weight: f64,
}

/// The values of an objective on one minibatch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Terms {
    /// The weighted sum that is minimised.
    pub loss: f64,
    /// The unweighted terms.
    pub terms: Vec<TermValue>,
    /// Numbers that are logged and not minimised.
    pub diagnostics: Vec<(&'static str, f64)>,
}

impl Terms {
    /// The name of the first value that is not a finite number: a term, or `loss`.
    pub fn first_non_finite(&self) -> Option<&'static str> {
        self.terms.iter().find(|term| !term.value.is_finite()).map(|term| term.name).or((!self.loss.is_finite()).then_some("loss"))
    }
}

/// What a model says of a term before training, for listings, logs and the docs.
#[derive(Debug, Clone, PartialEq)]
pub struct TermSpec {
    /// Standard name, as in [`Term::name`].
    pub name: &'static str,
    /// What the term is measured in.
    pub unit: Unit,
    /// What the term is multiplied by in the loss.
    pub weight: Scheduled,
    /// For the reconstruction term: the factor that turns it into a plain squared error summed over
    /// features (`2 variance` for a Gaussian with fixed variance, 1 for a squared error), or `None`
    /// where there is no such factor.
    pub squared_error_factor: Option<f64>,
}

impl TermSpec {
    /// A term of the given unit and weight.
    pub fn new(name: &'static str, unit: Unit, weight: impl Into<Scheduled>) -> Self {
        Self { name, unit, weight: weight.into(), squared_error_factor: None }
    }

    /// Marks a reconstruction term as `squared error / factor`.
    #[must_use]
    pub fn squared_error_factor(mut self, factor: f64) -> Self {
        self.squared_error_factor = Some(factor);
        self
    }
}
