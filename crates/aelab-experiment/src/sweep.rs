//! The algebra of sweeps: axes, points, product, lock-step, chain, repetition and conditions, nested in any depth.
//!
//! A sweep is a list of trials, a trial a list of settings. Nothing here knows what a setting does or what a condition says: the
//! algebra is the same over numbers, whole models or the integers of a test.
//!
//! ```text
//! axis p: [a, b]     the trials {p=a}, {p=b}
//! points             trials that a sampler drew, each of several settings
//! product X Y        every trial of X followed by every trial of Y; Y varies fastest
//! zip X Y            the first of X with the first of Y, the second with the second, ...
//! chain X Y          the trials of X, then those of Y
//! repeat n           n trials that differ in their seeds
//! when c X           the trials of X where c holds of what is set before, otherwise one trial that sets nothing
//! require c X        the trials of X, to be left out where c does not hold of all that is set
//! ```

use crate::KeyPath;
use crate::expression::Condition;

/// A set of trials in order, as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Sweep<V> {
    /// One setting, one trial per value.
    Axis {
        /// What is set.
        path: KeyPath,
        /// The values in order.
        values: Vec<V>,
    },
    /// Trials as they were drawn.
    Points(Vec<Vec<Setting<V>>>),
    /// Every combination; the last operand varies fastest. Of nothing: one trial that sets nothing.
    Product(Vec<Sweep<V>>),
    /// Lock-step: operands of equal length, side by side.
    Zip(Vec<Sweep<V>>),
    /// One after the other.
    Chain(Vec<Sweep<V>>),
    /// Whole numbers that count up together: seeds.
    Repeat {
        /// How many trials.
        times: u64,
        /// What counts up.
        vary: Vec<KeyPath>,
    },
    /// Trials that are there where a condition holds.
    When {
        /// Of what is set before.
        condition: Condition,
        /// The trials.
        sweep: Box<Sweep<V>>,
    },
    /// Trials of which conditions must hold.
    Require {
        /// Of all that is set.
        conditions: Vec<Condition>,
        /// The trials.
        sweep: Box<Sweep<V>>,
    },
}

/// One thing that a trial sets, or that must hold of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting<V> {
    /// The value at `path` becomes `value`.
    Value {
        /// What is set.
        path: KeyPath,
        /// What it becomes.
        value: V,
    },
    /// The whole number at `path` grows by so much.
    Offset {
        /// What grows.
        path: KeyPath,
        /// By how much.
        by: u64,
    },
    /// A condition was asked and answered so.
    When {
        /// The condition.
        condition: Condition,
        /// Whether it held.
        holds: bool,
    },
    /// The trial is left out unless this holds.
    Require(Condition),
}

/// Why a sweep is no list of trials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SweepError {
    /// The operands of a zip differ in length.
    #[error("zip goes in lock-step, but its operands have {} values", lengths.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))]
    UnequalLengths {
        /// Trials of each operand.
        lengths: Vec<usize>,
    },
    /// More trials than a sweep may have.
    #[error("the sweep has more than {MAX_TRIALS} trials")]
    TooMany,
}

/// More trials than this are taken for a mistake.
pub const MAX_TRIALS: usize = 100_000;

/// The trials of a sweep, each as its settings in the order in which they apply.
type Trials<V> = Vec<Vec<Setting<V>>>;

/// Answers whether a condition holds after these settings.
pub type Holds<'a, V, E> = &'a mut dyn FnMut(&Condition, &[Setting<V>]) -> Result<bool, E>;

fn bounded(count: Option<usize>) -> Result<usize, SweepError> {
    count.filter(|count| *count <= MAX_TRIALS).ok_or(SweepError::TooMany)
}

impl<V: Clone> Sweep<V> {
    /// How many trials there are, without making them; where conditions decide, how many there are at least.
    pub fn count(&self) -> Result<usize, SweepError> {
        match self {
            Sweep::Axis { values, .. } => bounded(Some(values.len())),
            Sweep::Points(points) => bounded(Some(points.len())),
            Sweep::Product(operands) => {
                operands.iter().try_fold(1_usize, |product, operand| bounded(product.checked_mul(operand.count()?)))
            }
            Sweep::Zip(operands) => {
                let lengths =
                    operands.iter().filter(|operand| !operand.is_conditional()).map(Sweep::count).collect::<Result<Vec<_>, _>>()?;
                match lengths.first() {
                    None => Ok(usize::from(!operands.is_empty())),
                    Some(_) => equal_lengths(&lengths),
                }
            }
            Sweep::Chain(operands) => operands.iter().try_fold(0_usize, |sum, operand| bounded(sum.checked_add(operand.count()?))),
            Sweep::Repeat { times, .. } => bounded(usize::try_from(*times).ok()),
            Sweep::When { sweep, .. } => Ok(sweep.count()?.min(1)),
            Sweep::Require { sweep, .. } => sweep.count(),
        }
    }

    /// Whether the number of its trials depends on what is set before.
    fn is_conditional(&self) -> bool {
        match self {
            Sweep::Axis { .. } | Sweep::Points(_) | Sweep::Repeat { .. } => false,
            Sweep::Product(operands) | Sweep::Zip(operands) | Sweep::Chain(operands) => operands.iter().any(Sweep::is_conditional),
            Sweep::When { .. } => true,
            Sweep::Require { sweep, .. } => sweep.is_conditional(),
        }
    }

    /// The trials in order.
    pub fn expand<E: From<SweepError>>(&self, holds: Holds<'_, V, E>) -> Result<Trials<V>, E> {
        self.count()?;
        self.behind(&[], holds)
    }

    /// The trials behind what is set already, without that.
    fn behind<E: From<SweepError>>(&self, front: &[Setting<V>], holds: Holds<'_, V, E>) -> Result<Trials<V>, E> {
        let trials = match self {
            Sweep::Axis { path, values } => {
                values.iter().map(|value| vec![Setting::Value { path: path.clone(), value: value.clone() }]).collect()
            }
            Sweep::Points(points) => points.clone(),
            Sweep::Product(operands) => {
                let mut trials = vec![Vec::new()];
                for operand in operands {
                    let mut longer = Vec::new();
                    let once = if operand.is_conditional() { None } else { Some(operand.behind(front, holds)?) };
                    for trial in &trials {
                        let own = if once.is_none() { operand.behind(&[front, trial].concat(), holds)? } else { Vec::new() };
                        longer.extend(once.as_ref().unwrap_or(&own).iter().map(|back| [&trial[..], back].concat()));
                        bounded(Some(longer.len()))?;
                    }
                    trials = longer;
                }
                trials
            }
            Sweep::Zip(operands) => {
                let mut columns = Vec::new();
                for operand in operands {
                    // A column that is not there does not shorten the others.
                    columns.push(match operand {
                        Sweep::When { condition, .. } if !holds(condition, front)? => {
                            Err(Setting::When { condition: condition.clone(), holds: false })
                        }
                        _ => Ok(operand.behind(front, holds)?),
                    });
                }
                let lengths: Vec<usize> = columns.iter().flatten().map(Vec::len).collect();
                let length = if lengths.is_empty() { usize::from(!columns.is_empty()) } else { equal_lengths(&lengths)? };
                let cell = |column: &Result<Trials<V>, Setting<V>>, row: usize| match column {
                    Ok(trials) => trials[row].clone(),
                    Err(absent) => vec![absent.clone()],
                };
                (0..length).map(|row| columns.iter().flat_map(|column| cell(column, row)).collect()).collect()
            }
            Sweep::Chain(operands) => {
                let mut trials = Vec::new();
                for operand in operands {
                    trials.extend(operand.behind(front, holds)?);
                    bounded(Some(trials.len()))?;
                }
                trials
            }
            Sweep::Repeat { times, vary } => {
                (0..*times).map(|by| vary.iter().map(|path| Setting::Offset { path: path.clone(), by }).collect()).collect()
            }
            Sweep::When { condition, sweep } => {
                let is_there = holds(condition, front)?;
                let trials = if is_there { sweep.behind(front, holds)? } else { vec![Vec::new()] };
                let answer = Setting::When { condition: condition.clone(), holds: is_there };
                trials.into_iter().map(|trial| [&[answer.clone()][..], &trial].concat()).collect()
            }
            Sweep::Require { conditions, sweep } => {
                let required: Vec<Setting<V>> = conditions.iter().cloned().map(Setting::Require).collect();
                sweep.behind(front, holds)?.into_iter().map(|trial| [&required[..], &trial].concat()).collect()
            }
        };
        Ok(trials)
    }
}

fn equal_lengths(lengths: &[usize]) -> Result<usize, SweepError> {
    match lengths {
        [first, rest @ ..] if rest.iter().all(|length| length == first) => Ok(*first),
        [] => Ok(0),
        _ => Err(SweepError::UnequalLengths { lengths: lengths.to_vec() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn axis(path: &str, values: &[i32]) -> Sweep<i32> {
        Sweep::Axis { path: KeyPath::parse(path), values: values.to_vec() }
    }

    fn repeat(times: u64) -> Sweep<i32> {
        Sweep::Repeat { times, vary: vec![KeyPath::parse("seed")] }
    }

    fn condition(text: &str) -> Condition {
        Condition { expression: crate::expression::Expression::parse(text).unwrap(), origin: crate::source::Origin::default() }
    }

    /// A condition of these tests is the text of a setting, and holds once that is set.
    fn expand(sweep: &Sweep<i32>) -> Result<Vec<Vec<Setting<i32>>>, SweepError> {
        sweep.expand(&mut |condition, front| {
            Ok(front.iter().any(
                |setting| matches!(setting, Setting::Value { path, value } if format!("{path}=={value}") == condition.expression.text()),
            ))
        })
    }

    fn shown(sweep: &Sweep<i32>) -> Vec<String> {
        let show = |setting: &Setting<i32>| match setting {
            Setting::Value { path, value } => format!("{path}={value}"),
            Setting::Offset { by, .. } => format!("+{by}"),
            Setting::When { holds, .. } => (if *holds { "yes" } else { "no" }).to_owned(),
            Setting::Require(condition) => format!("[{}]", condition.expression.text()),
        };
        expand(sweep).unwrap().iter().map(|trial| trial.iter().map(show).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn the_last_operand_of_a_product_varies_fastest() {
        let sweep = Sweep::Product(vec![axis("a", &[1, 2]), axis("b", &[3, 4]), repeat(2)]);
        assert_eq!(
            shown(&sweep),
            ["a=1 b=3 +0", "a=1 b=3 +1", "a=1 b=4 +0", "a=1 b=4 +1", "a=2 b=3 +0", "a=2 b=3 +1", "a=2 b=4 +0", "a=2 b=4 +1"]
        );
    }

    #[test]
    fn zip_goes_in_lock_step_and_refuses_unequal_lengths() {
        assert_eq!(shown(&Sweep::Zip(vec![axis("a", &[1, 2]), axis("b", &[3, 4])])), ["a=1 b=3", "a=2 b=4"]);
        let uneven = Sweep::Zip(vec![axis("a", &[1, 2]), axis("b", &[3])]);
        assert_eq!(expand(&uneven), Err(SweepError::UnequalLengths { lengths: vec![2, 1] }));
    }

    #[test]
    fn an_absurd_product_is_refused_before_it_is_made() {
        let wide = axis("a", &[0; 1000]);
        assert_eq!(expand(&Sweep::Product(vec![wide.clone(), wide.clone(), wide])), Err(SweepError::TooMany));
        assert_eq!(repeat(u64::MAX).count(), Err(SweepError::TooMany));
    }

    fn when(text: &str, sweep: Sweep<i32>) -> Sweep<i32> {
        Sweep::When { condition: condition(text), sweep: Box::new(sweep) }
    }

    #[test]
    fn a_conditional_axis_is_one_empty_setting_where_its_condition_does_not_hold() {
        let sweep = Sweep::Product(vec![axis("a", &[1, 2]), when("a==1", axis("b", &[3, 4]))]);
        assert_eq!(shown(&sweep), ["a=1 yes b=3", "a=1 yes b=4", "a=2 no"]);
        let nested = Sweep::Product(vec![
            axis("a", &[1, 2]),
            when("a==1", Sweep::Product(vec![axis("b", &[3, 4]), when("b==4", axis("c", &[5, 6]))])),
        ]);
        assert_eq!(shown(&nested), ["a=1 yes b=3 no", "a=1 yes b=4 yes c=5", "a=1 yes b=4 yes c=6", "a=2 no"]);
        let many = Sweep::Product((0..40).map(|_| when("a==1", axis("b", &[3, 4]))).collect());
        assert_eq!(shown(&many).len(), 1, "what is not there does not count");
        let far = Sweep::Product([vec![axis("a", &[1])], (0..40).map(|_| when("a==1", axis("b", &[3, 4]))).collect()].concat());
        assert_eq!(expand(&far), Err(SweepError::TooMany));
    }

    #[test]
    fn an_absent_column_of_a_zip_leaves_the_others_as_long_as_they_are() {
        let zip = |first: i32| {
            let columns = Sweep::Zip(vec![axis("b", &[3, 4]), when("a==1", axis("c", &[5, 6]))]);
            shown(&Sweep::Product(vec![axis("a", &[first]), columns]))
        };
        assert_eq!(zip(1), ["a=1 b=3 yes c=5", "a=1 b=4 yes c=6"]);
        assert_eq!(zip(2), ["a=2 b=3 no", "a=2 b=4 no"]);
        let uneven = Sweep::Product(vec![axis("a", &[1]), Sweep::Zip(vec![axis("b", &[3, 4]), when("a==1", axis("c", &[5]))])]);
        assert_eq!(expand(&uneven), Err(SweepError::UnequalLengths { lengths: vec![2, 1] }));
    }

    #[test]
    fn what_is_required_goes_with_each_trial() {
        let sweep = Sweep::Chain(vec![
            Sweep::Require { conditions: vec![condition("a < 2")], sweep: Box::new(axis("a", &[1, 2])) },
            axis("a", &[3]),
        ]);
        assert_eq!(shown(&sweep), ["[a < 2] a=1", "[a < 2] a=2", "a=3"]);
    }

    #[test]
    fn points_nest_as_any_operand() {
        let set = |path: &str, value| Setting::Value { path: KeyPath::parse(path), value };
        let points = Sweep::Points(vec![vec![set("a", 1), set("b", 2)], vec![set("a", 3), set("b", 4)]]);
        assert_eq!(
            shown(&Sweep::Product(vec![points.clone(), axis("c", &[5, 6])])),
            ["a=1 b=2 c=5", "a=1 b=2 c=6", "a=3 b=4 c=5", "a=3 b=4 c=6"]
        );
        assert_eq!(shown(&Sweep::Zip(vec![points.clone(), repeat(2)])), ["a=1 b=2 +0", "a=3 b=4 +1"]);
        assert_eq!(shown(&Sweep::Chain(vec![axis("a", &[0]), points])).len(), 3);
    }

    /// Sweeps of any shape whose zips are of equal length.
    fn any_sweep() -> impl Strategy<Value = Sweep<i32>> {
        let leaf = prop_oneof![
            ("[a-d]", prop::collection::vec(0..9, 1..4)).prop_map(|(path, values)| axis(&path, &values)),
            (1..4_u64).prop_map(repeat),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Sweep::Product),
                prop::collection::vec(inner.clone(), 0..3).prop_map(Sweep::Chain),
                inner.prop_map(|sweep| Sweep::Zip(vec![sweep.clone(), sweep])),
            ]
        })
    }

    proptest! {
        #[test]
        fn count_is_the_number_of_trials(sweep in any_sweep()) {
            prop_assert_eq!(sweep.count().unwrap(), expand(&sweep).unwrap().len());
        }

        #[test]
        fn counts_multiply_in_a_product_and_add_in_a_chain(a in any_sweep(), b in any_sweep()) {
            let (in_a, in_b) = (a.count().unwrap(), b.count().unwrap());
            prop_assert_eq!(Sweep::Product(vec![a.clone(), b.clone()]).count().unwrap(), in_a * in_b);
            prop_assert_eq!(Sweep::Chain(vec![a.clone(), b.clone()]).count().unwrap(), in_a + in_b);
            let zipped = Sweep::Zip(vec![a, b]).count();
            if in_a == in_b { prop_assert_eq!(zipped.unwrap(), in_a) } else { prop_assert!(zipped.is_err()) }
        }

        #[test]
        fn product_chain_and_zip_are_associative(a in any_sweep(), b in any_sweep(), c in any_sweep()) {
            for of in [Sweep::Product, Sweep::Chain] as [fn(Vec<Sweep<i32>>) -> Sweep<i32>; 2] {
                let left = of(vec![of(vec![a.clone(), b.clone()]), c.clone()]);
                let right = of(vec![a.clone(), of(vec![b.clone(), c.clone()])]);
                prop_assert_eq!(expand(&left).unwrap(), expand(&right).unwrap());
            }
            let left = Sweep::Zip(vec![Sweep::Zip(vec![a.clone(), a.clone()]), a.clone()]);
            let right = Sweep::Zip(vec![a.clone(), Sweep::Zip(vec![a.clone(), a])]);
            prop_assert_eq!(expand(&left).unwrap(), expand(&right).unwrap());
        }

        #[test]
        fn a_product_distributes_over_a_chain_on_its_left(a in any_sweep(), b in any_sweep(), c in any_sweep()) {
            let outside = Sweep::Product(vec![Sweep::Chain(vec![a.clone(), b.clone()]), c.clone()]);
            let inside = Sweep::Chain(vec![Sweep::Product(vec![a, c.clone()]), Sweep::Product(vec![b, c])]);
            prop_assert_eq!(expand(&outside).unwrap(), expand(&inside).unwrap());
        }

        #[test]
        fn one_trial_without_settings_is_the_unit_of_products(a in any_sweep()) {
            let unit = || Sweep::Product(Vec::new());
            prop_assert_eq!(expand(&Sweep::Product(vec![unit(), a.clone(), unit()])).unwrap(), expand(&a).unwrap());
        }
    }
}
