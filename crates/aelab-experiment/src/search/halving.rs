//! Successive halving: which configurations go on after a rung.
//!
//! Rung `r` ends after `min_epochs * reduction_factor^r` epochs. Of `n` that are compared there, the best `max(1, n / reduction_factor)`
//! go on, rounded down. Equal ones keep the order of the plan.
//!
//! `successive_halving` (Jamieson, Talwalkar 2016) compares all that have come to the rung. `asha` (Li et al. 2020,
//! <https://arxiv.org/abs/1810.05934>) does not wait for all: there, who is compared with whom depends on who is faster. Here it does not.
//! A configuration is compared with those before it in the order of the plan that have come to the rung, and waits until these have.
//! So what goes on is a function of the plan and the results, whatever the number of jobs, the machines or interruptions.

/// The place from 0 of the last of `costs`, and how many of these places go on.
pub(crate) fn place(costs: &[f64], own: usize, reduction_factor: u32) -> (usize, usize) {
    let is_before = |(index, cost): &(usize, &f64)| cost.total_cmp(&costs[own]).then(index.cmp(&own)).is_lt();
    let place = costs.iter().enumerate().filter(is_before).count();
    (place, (costs.len() / reduction_factor as usize).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_best_third_goes_on_and_of_equal_ones_the_first() {
        let goes_on =
            |costs: &[f64]| -> Vec<bool> { (0..costs.len()).map(|own| place(costs, own, 3)).map(|(place, num)| place < num).collect() };
        assert_eq!(goes_on(&[0.3, 0.1, 0.2]), [false, true, false]);
        assert_eq!(goes_on(&[f64::INFINITY, f64::INFINITY]), [true, false], "somebody has to");
        assert_eq!(goes_on(&[2.0, 1.0, 1.0, 3.0, 1.0, 4.0]), [false, true, true, false, false, false]);
    }

    proptest! {
        #[test]
        fn exactly_as_many_go_on_as_there_are_places(costs in prop::collection::vec(0..5_u8, 1..40), factor in 2..6_u32) {
            let costs: Vec<f64> = costs.into_iter().map(f64::from).collect();
            let num = (0..costs.len()).filter(|own| { let (place, num) = place(&costs, *own, factor); place < num }).count();
            prop_assert_eq!(num, (costs.len() / factor as usize).max(1));
        }
    }
}
