//! Expressions over the values of a trial: `code_size < input and model != linear`.
//!
//! ```text
//! or      and      not
//! ==  !=  <  <=  >  >=                of numbers; == and != of texts and truth values, too
//! +  -    *  /  %    - (sign)    ^    whole numbers stay whole where the result is one
//! abs ceil exp floor has len ln log2 log10 max min round sqrt sum
//! 2   1e-3   true   false   null   'text'   "text"
//! code_size   train.batch_size   model.*.hidden[0]   input
//! ```
//!
//! An expression computes one value from others and does nothing else. What a name stands for, its `Scope` says.

use serde_json::{Number, Value};

use crate::KeyPath;
use crate::source::{Diagnostic, Excerpt, Origin, Sources, nearest_name};
use crate::tree::At;

/// Longer ones belong into a program.
const MAX_CHARACTERS: usize = 1000;
/// Parentheses, signs and the like in one another.
const MAX_DEPTH: usize = 50;

/// What a name stands for in a trial.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// A value.
    Value(Value),
    /// The chosen one of these: a model, a data set, an optimizer.
    Variant(String, Vec<String>),
    /// No value of this trial has that name.
    Absent,
    /// Several have.
    Ambiguous(Vec<String>),
}

/// The names of a trial.
pub(crate) trait Scope {
    /// What a name stands for, or why that cannot be said.
    fn find(&self, name: &KeyPath) -> Result<Found, String>;
    /// The names that there are.
    fn names(&self) -> Vec<String>;
    /// Why there may be fewer than expected.
    fn caveat(&self) -> Option<&str> {
        None
    }
}

/// What is wrong with an expression, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpressionError {
    pub(crate) message: String,
    /// The characters of the expression that it is about.
    place: Place,
    notes: Vec<String>,
}

/// Characters of an expression: the first, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: usize,
    width: usize,
}

impl ExpressionError {
    fn new(message: impl Into<String>, place: Place) -> Self {
        Self { message: message.into(), place, notes: Vec::new() }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The diagnostic about an expression that was written at `origin`.
    pub(crate) fn diagnose(&self, text: &str, origin: &Origin, sources: &Sources) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(&self.message).at(sources, origin, At::Value);
        match diagnostic.excerpt.as_mut().map(|excerpt| point_into(excerpt, text, self.place)) {
            Some(true) => {}
            // Folded over several lines, or written with escapes.
            _ => {
                let inner: String = text.chars().skip(self.place.start).take(self.place.width).collect();
                let what = if inner.is_empty() { "the end".to_owned() } else { format!("`{inner}`") };
                diagnostic = diagnostic.note(format!("in `{}`, at {what}", text.trim()));
            }
        }
        diagnostic.notes.extend(self.notes.iter().cloned());
        diagnostic
    }
}

/// Moves the mark of an excerpt from an expression to a part of it. `false` where the line does not hold the expression as it is.
fn point_into(excerpt: &mut Excerpt, text: &str, place: Place) -> bool {
    let line: Vec<char> = excerpt.text.chars().collect();
    let wanted: Vec<char> = text.chars().collect();
    let from = excerpt.column - 1;
    let found = (from..=from + 1).find(|start| line.get(*start..*start + wanted.len()) == Some(&wanted[..]));
    if let Some(start) = found {
        excerpt.column = start + place.start + 1;
        excerpt.width = place.width.max(1);
    }
    found.is_some()
}

/// An expression that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    text: String,
    root: Term,
}

/// An expression in an experiment file.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What it says.
    pub expression: Expression,
    /// Where it was written.
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq)]
struct Term {
    kind: Kind,
    place: Place,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Literal(Value),
    Name(KeyPath),
    Not(Box<Term>),
    Negative(Box<Term>),
    Binary(&'static str, Box<Term>, Box<Term>),
    Call(Function, Vec<Term>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Abs,
    Ceil,
    Exp,
    Floor,
    Has,
    Len,
    Ln,
    Log10,
    Log2,
    Max,
    Min,
    Round,
    Sqrt,
    Sum,
}

const FUNCTIONS: [(&str, Function); 14] = [
    ("abs", Function::Abs),
    ("ceil", Function::Ceil),
    ("exp", Function::Exp),
    ("floor", Function::Floor),
    ("has", Function::Has),
    ("len", Function::Len),
    ("ln", Function::Ln),
    ("log10", Function::Log10),
    ("log2", Function::Log2),
    ("max", Function::Max),
    ("min", Function::Min),
    ("round", Function::Round),
    ("sqrt", Function::Sqrt),
    ("sum", Function::Sum),
];

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(Number),
    Text(String),
    Word(String),
    Symbol(&'static str),
}

/// Longer ones first.
const SYMBOLS: [&str; 16] = ["==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "^", "(", ")", ",", "="];

impl Expression {
    /// Reads an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, ExpressionError> {
        let num = text.chars().count();
        if num > MAX_CHARACTERS {
            let message = format!("an expression has up to {MAX_CHARACTERS} characters, this one has {num}");
            return Err(ExpressionError::new(message, Place { start: 0, width: 1 }));
        }
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, next: 0, depth: 0, end: num };
        let root = parser.disjunction()?;
        match parser.tokens.get(parser.next) {
            None => Ok(Self { text: text.to_owned(), root }),
            Some((Token::Symbol("="), place)) => Err(ExpressionError::new("`=` is no comparison", *place).note("write `==` for `equals`")),
            Some((_, place)) => Err(ExpressionError::new("expected an operator or the end of the expression here", *place)),
        }
    }

    /// Its value in a trial.
    pub(crate) fn value(&self, scope: &dyn Scope) -> Result<Value, ExpressionError> {
        self.root.value(scope)
    }

    /// Whether it holds in a trial.
    pub(crate) fn holds(&self, scope: &dyn Scope) -> Result<bool, ExpressionError> {
        self.root.truth(scope)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names in it; those that `==` may take for texts only where they are asked for.
    pub(crate) fn names(&self, with_words: bool) -> Vec<&KeyPath> {
        fn collect<'a>(term: &'a Term, with_words: bool, names: &mut Vec<&'a KeyPath>) {
            match &term.kind {
                Kind::Literal(_) => {}
                Kind::Name(name) => names.push(name),
                Kind::Not(inner) | Kind::Negative(inner) => collect(inner, with_words, names),
                Kind::Binary(operator, left, right) => {
                    let is_word = |term: &Term| matches!(&term.kind, Kind::Name(name) if name.parts().len() == 1);
                    let may_be_texts = !with_words && ["==", "!="].contains(operator);
                    for term in [left, right].into_iter().filter(|term| !(may_be_texts && is_word(term))) {
                        collect(term, with_words, names);
                    }
                }
                Kind::Call(_, terms) => terms.iter().for_each(|term| collect(term, with_words, names)),
            }
        }
        let mut names = Vec::new();
        collect(&self.root, with_words, &mut names);
        names
    }
}

impl Condition {
    /// Whether it holds in a trial.
    pub(crate) fn holds(&self, scope: &dyn Scope, sources: &Sources) -> Result<bool, Diagnostic> {
        self.expression.holds(scope).map_err(|error| error.diagnose(self.expression.text(), &self.origin, sources))
    }
}

fn tokens(text: &str) -> Result<Vec<(Token, Place)>, ExpressionError> {
    let characters: Vec<char> = text.chars().collect();
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut start = 0;
    while start < characters.len() {
        let first = at(start);
        if first.is_whitespace() {
            start += 1;
            continue;
        }
        let mut end = start + 1;
        let word = |from: usize, to: usize| characters[from..to].iter().collect::<String>();
        let token = if first.is_ascii_digit() || first == '.' && at(start + 1).is_ascii_digit() {
            while at(end).is_ascii_digit() || at(end) == '.' && at(end + 1).is_ascii_digit() {
                end += 1;
            }
            let sign = usize::from(matches!(at(end + 1), '+' | '-'));
            if matches!(at(end), 'e' | 'E') && at(end + 1 + sign).is_ascii_digit() {
                end += 1 + sign;
                while at(end).is_ascii_digit() {
                    end += 1;
                }
            }
            let text = word(start, end);
            let number = match text.parse::<i64>() {
                Ok(whole) => Some(Number::from(whole)),
                Err(_) => text.parse::<f64>().ok().and_then(Number::from_f64),
            };
            let place = Place { start, width: end - start };
            Token::Number(number.ok_or_else(|| ExpressionError::new(format!("`{text}` is no number that can be used"), place))?)
        } else if first.is_alphabetic() || first == '_' {
            let is_inside = |character: char| character.is_alphanumeric() || character == '_';
            loop {
                let next = at(end + 1);
                match at(end) {
                    character if is_inside(character) => end += 1,
                    '.' if is_inside(next) || next == '*' => end += 2,
                    '[' if next.is_ascii_digit() => {
                        end += 1;
                        while at(end).is_ascii_digit() {
                            end += 1;
                        }
                        if at(end) != ']' {
                            return Err(ExpressionError::new("the index of a list ends with `]`", Place { start, width: end - start }));
                        }
                        end += 1;
                    }
                    _ => break,
                }
            }
            Token::Word(word(start, end))
        } else if first == '\'' || first == '"' {
            while end < characters.len() && at(end) != first {
                end += 1;
            }
            if end == characters.len() {
                return Err(ExpressionError::new("this text has no end", Place { start, width: end - start })
                    .note(format!("a text is closed by the quote that it began with, {first}")));
            }
            end += 1;
            Token::Text(word(start + 1, end - 1))
        } else {
            let symbol = SYMBOLS.into_iter().find(|symbol| word(start, (start + symbol.len()).min(characters.len())) == *symbol);
            let Some(symbol) = symbol else {
                let mut error = ExpressionError::new(format!("`{first}` means nothing here"), Place { start, width: 1 });
                if let Some(meant) = [('&', "and"), ('|', "or"), ('!', "not")].iter().find(|(symbol, _)| *symbol == first) {
                    error = error.note(format!("write `{}`", meant.1));
                }
                return Err(error);
            };
            end = start + symbol.len();
            Token::Symbol(symbol)
        };
        tokens.push((token, Place { start, width: end - start }));
        start = end;
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [(Token, Place)],
    next: usize,
    depth: usize,
    /// Characters of the whole.
    end: usize,
}

/// Operators of one rank, and how their operands are read.
type Operand<'a> = fn(&mut Parser<'a>) -> Result<Term, ExpressionError>;

impl<'a> Parser<'a> {
    fn place(&self) -> Place {
        self.tokens.get(self.next).map_or(Place { start: self.end, width: 0 }, |(_, place)| *place)
    }

    /// Goes past the next token if it is one of these symbols or words.
    fn take(&mut self, wanted: &[&'static str]) -> Option<&'static str> {
        let found = match &self.tokens.get(self.next)?.0 {
            Token::Symbol(symbol) => wanted.iter().find(|other| *other == symbol),
            Token::Word(word) => wanted.iter().find(|other| *other == word),
            _ => None,
        }?;
        self.next += 1;
        Some(found)
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ExpressionError>) -> Result<T, ExpressionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExpressionError::new(format!("this is nested deeper than {MAX_DEPTH}"), self.place()));
        }
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn chain(&mut self, operators: &[&'static str], operand: Operand<'a>) -> Result<Term, ExpressionError> {
        let mut left = operand(self)?;
        loop {
            let place = self.place();
            let Some(operator) = self.take(operators) else { return Ok(left) };
            let right = operand(self)?;
            left = Term { kind: Kind::Binary(operator, Box::new(left), Box::new(right)), place };
        }
    }

    fn disjunction(&mut self) -> Result<Term, ExpressionError> {
        self.chain(&["or"], |parser| parser.chain(&["and"], Self::negation))
    }

    fn negation(&mut self) -> Result<Term, ExpressionError> {
        let place = self.place();
        if self.take(&["not"]).is_some() {
            let inner = self.deeper(Self::negation)?;
            return Ok(Term { kind: Kind::Not(Box::new(inner)), place });
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Term, ExpressionError> {
        const OPERATORS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];
        let left = self.sum()?;
        let place = self.place();
        let Some(operator) = self.take(&OPERATORS) else { return Ok(left) };
        let right = self.sum()?;
        let again = self.place();
        if self.take(&OPERATORS).is_some() {
            return Err(ExpressionError::new("comparisons do not chain", again).note("write `a < b and b < c`"));
        }
        Ok(Term { kind: Kind::Binary(operator, Box::new(left), Box::new(right)), place })
    }

    fn sum(&mut self) -> Result<Term, ExpressionError> {
        self.chain(&["+", "-"], |parser| parser.chain(&["*", "/", "%"], Self::signed))
    }

    fn signed(&mut self) -> Result<Term, ExpressionError> {
        let place = self.place();
        if self.take(&["-"]).is_some() {
            let inner = self.deeper(Self::signed)?;
            return Ok(Term { kind: Kind::Negative(Box::new(inner)), place });
        }
        let base = self.atom()?;
        let place = self.place();
        if self.take(&["^"]).is_some() {
            let exponent = self.deeper(Self::signed)?;
            return Ok(Term { kind: Kind::Binary("^", Box::new(base), Box::new(exponent)), place });
        }
        Ok(base)
    }

    fn atom(&mut self) -> Result<Term, ExpressionError> {
        let place = self.place();
        let literal = |value: Value| Ok(Term { kind: Kind::Literal(value), place });
        let Some((token, _)) = self.tokens.get(self.next) else {
            let message = if self.tokens.is_empty() { "the expression is empty" } else { "the expression ends where a value is expected" };
            return Err(ExpressionError::new(message, place));
        };
        self.next += 1;
        match token {
            Token::Number(number) => literal(Value::Number(number.clone())),
            Token::Text(text) => literal(Value::from(text.clone())),
            Token::Symbol("(") => {
                let inner = self.deeper(Self::disjunction)?;
                self.close(place)?;
                Ok(inner)
            }
            Token::Symbol(symbol) => Err(ExpressionError::new(format!("expected a value, found `{symbol}`"), place)),
            Token::Word(word) => match word.as_str() {
                "true" | "false" => literal(Value::Bool(word == "true")),
                "null" => literal(Value::Null),
                "and" | "or" | "not" => Err(ExpressionError::new(format!("expected a value, found `{word}`"), place)),
                _ if self.take(&["("]).is_some() => self.call(word, place),
                _ => Ok(Term { kind: Kind::Name(KeyPath::parse(word)), place }),
            },
        }
    }

    fn call(&mut self, word: &str, place: Place) -> Result<Term, ExpressionError> {
        let Some((_, function)) = FUNCTIONS.iter().find(|(name, _)| *name == word) else {
            let names: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
            let mut error = ExpressionError::new(format!("there is no function `{word}`"), place);
            if let Some(nearest) = nearest_name(word, &names) {
                error = error.note(format!("did you mean `{nearest}`?"));
            }
            return Err(error.note(format!("functions: {}", names.join(", "))));
        };
        let mut terms = vec![self.deeper(Self::disjunction)?];
        while self.take(&[","]).is_some() {
            terms.push(self.deeper(Self::disjunction)?);
        }
        self.close(place)?;
        let takes_several = matches!(function, Function::Max | Function::Min | Function::Sum);
        if terms.len() > 1 && !takes_several {
            return Err(ExpressionError::new(format!("`{word}` takes one value, found {}", terms.len()), place));
        }
        if *function == Function::Has && !matches!(terms[0].kind, Kind::Name(_)) {
            return Err(ExpressionError::new("`has` takes a name: `has(beta)`", place));
        }
        Ok(Term { kind: Kind::Call(*function, terms), place })
    }

    fn close(&mut self, opened: Place) -> Result<(), ExpressionError> {
        match self.take(&[")"]) {
            Some(_) => Ok(()),
            None if self.next == self.tokens.len() => Err(ExpressionError::new("this parenthesis is never closed", opened)),
            None => Err(ExpressionError::new("expected an operator or `)` here", self.place())),
        }
    }
}

/// What a comparison looks at.
enum Side {
    Value(Value),
    Variant(String, Vec<String>),
    /// A word that names nothing: a text without quotes.
    Word(String, ExpressionError),
}

impl Term {
    fn error(&self, message: impl Into<String>) -> ExpressionError {
        ExpressionError::new(message, self.place)
    }

    fn value(&self, scope: &dyn Scope) -> Result<Value, ExpressionError> {
        match &self.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Name(name) => match self.find(name, scope)? {
                Found::Value(value) => Ok(value),
                Found::Variant(chosen, _) => Ok(Value::from(chosen)),
                Found::Absent | Found::Ambiguous(_) => Err(self.unknown(name, scope)),
            },
            Kind::Not(inner) => Ok(Value::Bool(!inner.truth(scope)?)),
            Kind::Binary("and", left, right) => Ok(Value::Bool(left.truth(scope)? && right.truth(scope)?)),
            Kind::Binary("or", left, right) => Ok(Value::Bool(left.truth(scope)? || right.truth(scope)?)),
            Kind::Binary("==", left, right) => Ok(Value::Bool(self.equal(left, right, scope)?)),
            Kind::Binary("!=", left, right) => Ok(Value::Bool(!self.equal(left, right, scope)?)),
            Kind::Binary(operator @ ("<" | "<=" | ">" | ">="), left, right) => {
                let (left, right) = (left.number(scope)?, right.number(scope)?);
                Ok(Value::Bool(left.is_in_order(operator, right)))
            }
            Kind::Negative(inner) => {
                let zero = Quantity::Whole(0);
                zero.apply("-", inner.number(scope)?).and_then(Quantity::to_value).map_err(|reason| self.error(reason))
            }
            Kind::Binary(operator, left, right) => {
                let (left, right) = (left.number(scope)?, right.number(scope)?);
                left.apply(operator, right).and_then(Quantity::to_value).map_err(|reason| self.error(reason))
            }
            Kind::Call(Function::Has, terms) => match &terms[..] {
                [Term { kind: Kind::Name(name), .. }] => match terms[0].find(name, scope)? {
                    Found::Absent => Ok(Value::Bool(false)),
                    Found::Value(value) => Ok(Value::Bool(!value.is_null())),
                    Found::Variant(..) => Ok(Value::Bool(true)),
                    Found::Ambiguous(_) => Err(terms[0].unknown(name, scope)),
                },
                _ => Err(self.error("`has` takes a name: `has(beta)`")),
            },
            Kind::Call(function, terms) => self.call(*function, terms, scope),
        }
    }

    fn call(&self, function: Function, terms: &[Term], scope: &dyn Scope) -> Result<Value, ExpressionError> {
        if function == Function::Len {
            return match terms[0].value(scope)? {
                Value::Array(items) => Ok(Value::from(items.len())),
                Value::String(text) => Ok(Value::from(text.chars().count())),
                other => Err(terms[0].error(format!("`len` takes a list or a text, found {}", described(&other)))),
            };
        }
        let mut numbers = Vec::new();
        for term in terms {
            match term.value(scope)? {
                Value::Array(items) if matches!(function, Function::Max | Function::Min | Function::Sum) => {
                    for item in &items {
                        numbers.push(Quantity::of(item).ok_or_else(|| term.error("expected a list of numbers"))?);
                    }
                }
                value => numbers.push(term.quantity(&value)?),
            }
        }
        let outcome = match function {
            Function::Max => extreme(&numbers, ">"),
            Function::Min => extreme(&numbers, "<"),
            Function::Sum => numbers.iter().try_fold(Quantity::Whole(0), |sum, number| sum.apply("+", *number)),
            _ => numbers[0].through(function),
        };
        outcome.and_then(Quantity::to_value).map_err(|reason| self.error(reason))
    }

    fn truth(&self, scope: &dyn Scope) -> Result<bool, ExpressionError> {
        match self.value(scope)? {
            Value::Bool(value) => Ok(value),
            other => Err(self.error(format!("expected something that is true or false, found {}", described(&other)))),
        }
    }

    fn number(&self, scope: &dyn Scope) -> Result<Quantity, ExpressionError> {
        self.quantity(&self.value(scope)?)
    }

    fn quantity(&self, value: &Value) -> Result<Quantity, ExpressionError> {
        let number = Quantity::of(value).ok_or_else(|| self.error(format!("expected a number, found {}", described(value))));
        match value {
            Value::Null => number.map_err(|error| error.note("`has(..)` asks whether a trial has it: `not has(x) or x < 3`")),
            _ => number,
        }
    }

    fn find(&self, name: &KeyPath, scope: &dyn Scope) -> Result<Found, ExpressionError> {
        scope.find(name).map_err(|reason| self.error(reason))
    }

    fn unknown(&self, name: &KeyPath, scope: &dyn Scope) -> ExpressionError {
        if let Ok(Found::Ambiguous(candidates)) = scope.find(name) {
            return self.error(format!("`{name}` is ambiguous")).note(format!("write one of {}", candidates.join(", ")));
        }
        let mut error = self.error(format!("this trial has no value `{name}`"));
        let names = scope.names();
        if let Some(nearest) = nearest_name(&name.to_string(), &names) {
            error = error.note(format!("did you mean `{nearest}`?"));
        }
        if let Some(caveat) = scope.caveat() {
            error = error.note(caveat);
        }
        error.note(format!("where some trials have it and others have not: `not has({name}) or ..`"))
    }

    /// What a side of `==` looks at. A word that names nothing is a text.
    fn side(&self, scope: &dyn Scope) -> Result<Side, ExpressionError> {
        let Kind::Name(name) = &self.kind else { return Ok(Side::Value(self.value(scope)?)) };
        match self.find(name, scope)? {
            Found::Value(value) => Ok(Side::Value(value)),
            Found::Variant(chosen, names) => Ok(Side::Variant(chosen, names)),
            Found::Absent if name.parts().len() == 1 => Ok(Side::Word(name.to_string(), self.unknown(name, scope))),
            Found::Absent | Found::Ambiguous(_) => Err(self.unknown(name, scope)),
        }
    }

    fn equal(&self, left: &Term, right: &Term, scope: &dyn Scope) -> Result<bool, ExpressionError> {
        match (left.side(scope)?, right.side(scope)?) {
            (Side::Word(_, error), Side::Word(..)) => Err(error),
            (Side::Variant(chosen, names), Side::Word(word, _)) | (Side::Variant(chosen, names), Side::Value(Value::String(word))) => {
                right.known(&word, &names).map(|()| chosen == word)
            }
            (Side::Word(word, _), Side::Variant(chosen, names)) | (Side::Value(Value::String(word)), Side::Variant(chosen, names)) => {
                left.known(&word, &names).map(|()| chosen == word)
            }
            (Side::Variant(one, _), Side::Variant(other, _)) => Ok(one == other),
            (Side::Word(word, _), Side::Value(Value::String(text))) | (Side::Value(Value::String(text)), Side::Word(word, _)) => {
                Ok(word == text)
            }
            (Side::Word(..), Side::Value(Value::Null)) | (Side::Value(Value::Null), Side::Word(..)) => Ok(false),
            // A schedule, or another choice among several, by its name.
            (Side::Word(word, _), Side::Value(Value::Object(map))) | (Side::Value(Value::Object(map)), Side::Word(word, _)) => {
                Ok(map.len() == 1 && map.contains_key(&word))
            }
            (Side::Word(_, error), _) | (_, Side::Word(_, error)) => Err(error),
            (Side::Value(one), Side::Value(other)) => match (Quantity::of(&one), Quantity::of(&other)) {
                (Some(one), Some(other)) => Ok(one.is_in_order("<=", other) && other.is_in_order("<=", one)),
                _ if one.is_null() || other.is_null() || std::mem::discriminant(&one) == std::mem::discriminant(&other) => Ok(one == other),
                _ => Err(self.error(format!("{} and {} are never equal", described(&one), described(&other)))),
            },
            (Side::Variant(chosen, _), Side::Value(other)) | (Side::Value(other), Side::Variant(chosen, _)) => {
                Err(self.error(format!("the name `{chosen}` and {} are never equal", described(&other))))
            }
        }
    }

    /// Refuses a name that nothing has.
    fn known(&self, word: &str, names: &[String]) -> Result<(), ExpressionError> {
        if names.is_empty() || names.iter().any(|name| name == word) {
            return Ok(());
        }
        let mut error = self.error(format!("there is no `{word}` to choose"));
        if let Some(nearest) = nearest_name(word, names) {
            error = error.note(format!("did you mean `{nearest}`?"));
        }
        Err(error.note(format!("expected one of {}", names.join(", "))))
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text \"{text}\""),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}

/// A number, whole as long as it can be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Quantity {
    Whole(i64),
    Real(f64),
}

fn extreme(numbers: &[Quantity], order: &str) -> Result<Quantity, String> {
    let best = numbers.iter().copied().reduce(|best, number| if number.is_in_order(order, best) { number } else { best });
    best.ok_or_else(|| "an empty list has neither a largest nor a smallest number".to_owned())
}

impl Quantity {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_i64().map(Quantity::Whole).or_else(|| number.as_f64().map(Quantity::Real)),
            _ => None,
        }
    }

    fn real(self) -> f64 {
        match self {
            Quantity::Whole(value) => value as f64,
            Quantity::Real(value) => value,
        }
    }

    fn is_in_order(self, relation: &str, other: Self) -> bool {
        let order = match (self, other) {
            (Quantity::Whole(one), Quantity::Whole(other)) => Some(one.cmp(&other)),
            _ => self.real().partial_cmp(&other.real()),
        };
        match relation {
            "<" => order.is_some_and(std::cmp::Ordering::is_lt),
            "<=" => order.is_some_and(std::cmp::Ordering::is_le),
            ">" => order.is_some_and(std::cmp::Ordering::is_gt),
            _ => order.is_some_and(std::cmp::Ordering::is_ge),
        }
    }

    fn apply(self, operator: &str, other: Self) -> Result<Self, String> {
        if matches!(operator, "/" | "%") && other.real() == 0.0 {
            return Err("this divides by 0".to_owned());
        }
        if let (Quantity::Whole(one), Quantity::Whole(other)) = (self, other) {
            let whole = match operator {
                "+" => one.checked_add(other),
                "-" => one.checked_sub(other),
                "*" => one.checked_mul(other),
                "%" => one.checked_rem_euclid(other),
                "/" if one.checked_rem(other) == Some(0) => one.checked_div(other),
                "^" if other >= 0 => u32::try_from(other).ok().and_then(|exponent| one.checked_pow(exponent)),
                _ => return Quantity::Real(one as f64).apply(operator, Quantity::Real(other as f64)),
            };
            return whole.map(Quantity::Whole).ok_or_else(|| "this whole number is too large".to_owned());
        }
        let (one, other) = (self.real(), other.real());
        let value = match operator {
            "+" => one + other,
            "-" => one - other,
            "*" => one * other,
            "/" => one / other,
            "%" => one.rem_euclid(other),
            _ => one.powf(other),
        };
        Ok(Quantity::Real(value))
    }

    /// A function of one number.
    fn through(self, function: Function) -> Result<Self, String> {
        let value = self.real();
        let to_whole = |rounded: f64| {
            let is_exact = rounded.abs() <= 9e15;
            if is_exact { Ok(Quantity::Whole(rounded as i64)) } else { Err("this whole number is too large".to_owned()) }
        };
        match (function, self) {
            (Function::Abs, Quantity::Whole(value)) => {
                value.checked_abs().map(Quantity::Whole).ok_or_else(|| "this whole number is too large".to_owned())
            }
            (Function::Ceil | Function::Floor | Function::Round, Quantity::Whole(_)) => Ok(self),
            (Function::Abs, _) => Ok(Quantity::Real(value.abs())),
            (Function::Ceil, _) => to_whole(value.ceil()),
            (Function::Floor, _) => to_whole(value.floor()),
            (Function::Round, _) => to_whole(value.round()),
            (Function::Exp, _) => Ok(Quantity::Real(value.exp())),
            (Function::Sqrt, _) if value < 0.0 => Err(format!("{value} has no square root")),
            (Function::Ln | Function::Log2 | Function::Log10, _) if value <= 0.0 => Err(format!("{value} has no logarithm")),
            (Function::Ln, _) => Ok(Quantity::Real(value.ln())),
            // Of whole numbers a whole one, where that is exact.
            (Function::Sqrt, Quantity::Whole(whole)) if (value.sqrt() as i64).checked_mul(value.sqrt() as i64) == Some(whole) => {
                Ok(Quantity::Whole(value.sqrt() as i64))
            }
            (Function::Log2, Quantity::Whole(whole)) if whole.count_ones() == 1 => Ok(Quantity::Whole(i64::from(whole.trailing_zeros()))),
            (Function::Sqrt, _) => Ok(Quantity::Real(value.sqrt())),
            (Function::Log2, _) => Ok(Quantity::Real(value.log2())),
            _ => Ok(Quantity::Real(value.log10())),
        }
    }

    fn to_value(self) -> Result<Value, String> {
        match self {
            Quantity::Whole(value) => Ok(Value::from(value)),
            Quantity::Real(value) => {
                Number::from_f64(value).map(Value::Number).ok_or_else(|| format!("this is {value}, which is no number that can be used"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    struct Names(BTreeMap<&'static str, Value>);

    impl Scope for Names {
        fn find(&self, name: &KeyPath) -> Result<Found, String> {
            Ok(match name.to_string().as_str() {
                "model" => Found::Variant("vae".into(), vec!["vae".into(), "linear".into()]),
                "rate" => Found::Ambiguous(vec!["model.rate".into(), "train.rate".into()]),
                name => self.0.get(name).cloned().map_or(Found::Absent, Found::Value),
            })
        }

        fn names(&self) -> Vec<String> {
            self.0.keys().map(|name| (*name).to_owned()).collect()
        }
    }

    fn names() -> Names {
        Names(BTreeMap::from([
            ("a", json!(7)),
            ("code_size", json!(8)),
            ("x", json!(0.5)),
            ("likelihood", json!("bernoulli")),
            ("hidden", json!([64, 32])),
            ("hidden.1", json!(32)),
            ("clipping", Value::Null),
            ("seed", json!(u64::MAX)),
            ("schedule", json!({"linear": {"from": 0}})),
        ]))
    }

    fn value(text: &str) -> Result<Value, ExpressionError> {
        Expression::parse(text)?.value(&names())
    }

    #[test]
    fn expressions_have_the_values_of_arithmetic() {
        for (text, expected) in [
            ("1 + 2 * 3", json!(7)),
            ("(1 + 2) * 3", json!(9)),
            ("2 ^ 3 ^ 2", json!(512)),
            ("-2 ^ 2", json!(-4)),
            ("10 - 3 - 2", json!(5)),
            ("7 / 2", json!(3.5)),
            ("8 / 2", json!(4)),
            ("8.0 / 2", json!(4.0)),
            ("-7 % 3", json!(2)),
            ("2 ^ -1", json!(0.5)),
            ("1e-3 * 2", json!(0.002)),
            (".5 + 1", json!(1.5)),
            ("a - 2*code_size", json!(-9)),
            ("min(a, x, 3) + max(hidden)", json!(64.5)),
            ("sum(hidden) + sum(1, 2)", json!(99)),
            ("round(2.5) + floor(-.5) + ceil(.2)", json!(3)),
            ("round(x * 3 / 7)", json!(0)),
            ("sqrt(64) + log2(8)", json!(11)),
            ("sqrt(2) > 1.41 and sqrt(2) < 1.42", json!(true)),
            ("ln(exp(1)) == 1 and log10(100) == 2 and abs(-3) == 3", json!(true)),
            ("len(hidden) == 2 and len(likelihood) == 9", json!(true)),
            ("hidden[1] == 32 and hidden.1 == 32", json!(true)),
            ("not a < 3 or false", json!(true)),
            ("true or code_sise < 3", json!(true)),
            ("has(a) and not has(beta) and not has(clipping)", json!(true)),
            ("model == vae and model != linear and vae == model", json!(true)),
            ("likelihood == bernoulli and likelihood != 'gaussian' and \"bernoulli\" == likelihood", json!(true)),
            ("clipping == null and clipping != 3", json!(true)),
            ("seed > 9", json!(true)),
            ("schedule == linear and schedule != cosine", json!(true)),
            ("a == 7.0", json!(true)),
        ] {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_computed_says_why_and_where() {
        for (text, start, message) in [
            ("", 0, "empty"),
            ("a <", 3, "ends where a value is expected"),
            ("(a < 3", 0, "never closed"),
            ("a < 3)", 5, "operator or the end"),
            ("a = 3", 2, "no comparison"),
            ("1 < a < 3", 6, "do not chain"),
            ("a && x", 2, "`&` means nothing"),
            ("'a", 0, "has no end"),
            ("hidden[1", 0, "ends with `]`"),
            ("rouns(x)", 0, "no function `rouns`"),
            ("len(a, x)", 0, "takes one value"),
            ("has(a + 1)", 0, "takes a name"),
            ("3 < code_sise", 4, "no value `code_sise`"),
            ("rate < 1", 0, "ambiguous"),
            ("model == vea", 9, "no `vea` to choose"),
            ("foo == bar", 0, "no value `foo`"),
            ("a == vae", 5, "no value `vae`"),
            ("likelihood < 3", 0, "expected a number, found the text"),
            ("clipping < 3", 0, "expected a number, found nothing"),
            ("a == 'seven'", 2, "never equal"),
            ("a and true", 0, "true or false"),
            ("a / (7 - a)", 2, "divides by 0"),
            ("9223372036854775807 + 1", 20, "too large"),
            ("10.0 ^ 400", 5, "no number"),
            ("sqrt(-1)", 0, "square root"),
            ("log2(0)", 0, "logarithm"),
            ("1e999", 0, "no number"),
            ("model.. < 2", 5, "means nothing"),
        ] {
            let error = value(text).expect_err(text);
            assert!(error.message.contains(message) && error.place.start == start, "{text}: {error:?}");
        }
        assert!(value("3 < code_sise").unwrap_err().notes[0].contains("`code_size`"));
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let nested = |num: usize| format!("{}1{}", "(".repeat(num), ")".repeat(num));
        assert_eq!(value(&nested(MAX_DEPTH)), Ok(json!(1)));
        assert!(value(&nested(MAX_DEPTH + 1)).unwrap_err().message.contains("nested deeper"));
        assert!(value(&format!("{}1", "-".repeat(400))).unwrap_err().message.contains("nested deeper"));
        assert!(value(&format!("{}true", "not ".repeat(200))).unwrap_err().message.contains("nested deeper"));
        assert_eq!(value(&format!("1{}", "+1".repeat(499))), Ok(json!(500)));
        assert!(value(&format!("1{}", "+1".repeat(500))).unwrap_err().message.contains("up to 1000"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-+*/%^()<>=!,.'\"a-z0-9\\[\\] ]{0,60}|\\PC{0,40}") {
            if let Ok(expression) = Expression::parse(&text) {
                let _ = expression.value(&names());
                let _ = expression.names(true);
            }
        }

        #[test]
        fn sums_and_products_of_whole_numbers_are_exact(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000, c in 1i64..1000) {
            prop_assert_eq!(value(&format!("({a} + {b}) * {c}")), Ok(json!((a + b) * c)));
            prop_assert_eq!(value(&format!("{a} * {c} / {c}")), Ok(json!(a)));
            prop_assert_eq!(value(&format!("{a} < {b} or {b} < {a} or {a} == {b}")), Ok(json!(true)));
        }
    }
}
