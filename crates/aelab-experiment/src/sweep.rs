//! The algebra of sweeps: axes, product, lock-step, chain and repetition, nested in any depth.
//!
//! A sweep is a list of trials, a trial a list of settings. Nothing here knows what a setting does: the
//! algebra is the same over numbers, whole models or the integers of a test.
//!
//! ```text
//! axis p: [a, b]     the trials {p=a}, {p=b}
//! product X Y        every trial of X followed by every trial of Y; Y varies fastest
//! zip X Y            the first of X with the first of Y, the second with the second, ...
//! chain X Y          the trials of X, then those of Y
//! repeat n           n trials that differ in their seed
//! ```

use crate::KeyPath;

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
    /// Every combination; the last operand varies fastest. Of nothing: one trial that sets nothing.
    Product(Vec<Sweep<V>>),
    /// Lock-step: operands of equal length, side by side.
    Zip(Vec<Sweep<V>>),
    /// One after the other.
    Chain(Vec<Sweep<V>>),
    /// The seeds `seed`, `seed + 1`, ...
    Repeat(u64),
}

/// One thing that a trial sets.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting<V> {
    /// The value at `path` becomes `value`.
    Value {
        /// What is set.
        path: KeyPath,
        /// What it becomes.
        value: V,
    },
    /// The seed grows by so much.
    SeedOffset(u64),
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

impl<V: Clone> Sweep<V> {
    /// How many trials there are, without making them.
    pub fn count(&self) -> Result<usize, SweepError> {
        let bounded = |count: Option<usize>| count.filter(|count| *count <= MAX_TRIALS).ok_or(SweepError::TooMany);
        match self {
            Sweep::Axis { values, .. } => bounded(Some(values.len())),
            Sweep::Product(operands) => {
                operands.iter().try_fold(1_usize, |product, operand| bounded(product.checked_mul(operand.count()?)))
            }
            Sweep::Zip(operands) => {
                let lengths = operands.iter().map(Sweep::count).collect::<Result<Vec<_>, _>>()?;
                match lengths.first() {
                    Some(first) if lengths.iter().all(|length| length == first) => Ok(*first),
                    None => Ok(0),
                    _ => Err(SweepError::UnequalLengths { lengths }),
                }
            }
            Sweep::Chain(operands) => operands.iter().try_fold(0_usize, |sum, operand| bounded(sum.checked_add(operand.count()?))),
            Sweep::Repeat(times) => bounded(usize::try_from(*times).ok()),
        }
    }

    /// The trials in order, each as its settings in the order in which they apply.
    pub fn expand(&self) -> Result<Vec<Vec<Setting<V>>>, SweepError> {
        self.count()?;
        match self {
            Sweep::Axis { path, values } => {
                Ok(values.iter().map(|value| vec![Setting::Value { path: path.clone(), value: value.clone() }]).collect())
            }
            Sweep::Product(operands) => {
                let mut trials = vec![Vec::new()];
                for operand in operands {
                    let factor = operand.expand()?;
                    trials = trials.iter().flat_map(|front: &Vec<_>| factor.iter().map(|back| [&front[..], back].concat())).collect();
                }
                Ok(trials)
            }
            Sweep::Zip(operands) => {
                let columns = operands.iter().map(Sweep::expand).collect::<Result<Vec<_>, _>>()?;
                let length = columns.first().map_or(0, Vec::len);
                Ok((0..length).map(|row| columns.iter().flat_map(|column| column[row].clone()).collect()).collect())
            }
            Sweep::Chain(operands) => Ok(operands.iter().map(Sweep::expand).collect::<Result<Vec<_>, _>>()?.concat()),
            Sweep::Repeat(times) => Ok((0..*times).map(|offset| vec![Setting::SeedOffset(offset)]).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn axis(path: &str, values: &[i32]) -> Sweep<i32> {
        Sweep::Axis { path: KeyPath::parse(path), values: values.to_vec() }
    }

    fn shown(sweep: &Sweep<i32>) -> Vec<String> {
        let show = |setting: &Setting<i32>| match setting {
            Setting::Value { path, value } => format!("{path}={value}"),
            Setting::SeedOffset(offset) => format!("+{offset}"),
        };
        sweep.expand().unwrap().iter().map(|trial| trial.iter().map(show).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn the_last_operand_of_a_product_varies_fastest() {
        let sweep = Sweep::Product(vec![axis("a", &[1, 2]), axis("b", &[3, 4]), Sweep::Repeat(2)]);
        assert_eq!(
            shown(&sweep),
            ["a=1 b=3 +0", "a=1 b=3 +1", "a=1 b=4 +0", "a=1 b=4 +1", "a=2 b=3 +0", "a=2 b=3 +1", "a=2 b=4 +0", "a=2 b=4 +1"]
        );
    }

    #[test]
    fn zip_goes_in_lock_step_and_refuses_unequal_lengths() {
        assert_eq!(shown(&Sweep::Zip(vec![axis("a", &[1, 2]), axis("b", &[3, 4])])), ["a=1 b=3", "a=2 b=4"]);
        let uneven = Sweep::Zip(vec![axis("a", &[1, 2]), axis("b", &[3])]);
        assert_eq!(uneven.expand(), Err(SweepError::UnequalLengths { lengths: vec![2, 1] }));
    }

    #[test]
    fn an_absurd_product_is_refused_before_it_is_made() {
        let wide = axis("a", &[0; 1000]);
        assert_eq!(Sweep::Product(vec![wide.clone(), wide.clone(), wide]).expand(), Err(SweepError::TooMany));
        assert_eq!(Sweep::<i32>::Repeat(u64::MAX).count(), Err(SweepError::TooMany));
    }

    /// Sweeps of any shape whose zips are of equal length.
    fn any_sweep() -> impl Strategy<Value = Sweep<i32>> {
        let leaf = prop_oneof![
            ("[a-d]", prop::collection::vec(0..9, 1..4)).prop_map(|(path, values)| axis(&path, &values)),
            (1..4_u64).prop_map(Sweep::Repeat),
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
            prop_assert_eq!(sweep.count().unwrap(), sweep.expand().unwrap().len());
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
                prop_assert_eq!(left.expand().unwrap(), right.expand().unwrap());
            }
            let left = Sweep::Zip(vec![Sweep::Zip(vec![a.clone(), a.clone()]), a.clone()]);
            let right = Sweep::Zip(vec![a.clone(), Sweep::Zip(vec![a.clone(), a])]);
            prop_assert_eq!(left.expand().unwrap(), right.expand().unwrap());
        }

        #[test]
        fn a_product_distributes_over_a_chain_on_its_left(a in any_sweep(), b in any_sweep(), c in any_sweep()) {
            let outside = Sweep::Product(vec![Sweep::Chain(vec![a.clone(), b.clone()]), c.clone()]);
            let inside = Sweep::Chain(vec![Sweep::Product(vec![a, c.clone()]), Sweep::Product(vec![b, c])]);
            prop_assert_eq!(outside.expand().unwrap(), inside.expand().unwrap());
        }

        #[test]
        fn one_trial_without_settings_is_the_unit_of_products(a in any_sweep()) {
            let unit = || Sweep::Product(Vec::new());
            prop_assert_eq!(Sweep::Product(vec![unit(), a.clone(), unit()]).expand().unwrap(), a.expand().unwrap());
        }
    }
}
