//! The passes of contrastive divergence equal the plain expressions in tensors.

use crate::the_same_cases;
use aelab_kernels::{BoltzmannUpdate, bernoulli_states, boltzmann_update, difference_of_means, softplus_sums};
use burn::tensor::{Device, Tensor, TensorData, activation};
use proptest::prelude::*;

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Values in (-1, 1) that repeat for the same seed.
fn matrix(seed: u64, shape: [usize; 2]) -> Tensor<2> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f32> = (0..shape[0] * shape[1])
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn assert_close(found: Vec<f32>, expected: Vec<f32>, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().fold(1e-3_f32, |size, value| size.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() <= 1e-5 * size, "{what}[{index}]: {found} is not {expected}");
    }
}

const UPDATE: BoltzmannUpdate = BoltzmannUpdate { learning_rate: 0.1, momentum: 0.9, weight_cost: 0.02 };

/// Weight and velocity after an update, by the kernel or in tensors.
fn updated(seed: u64, [batch, chains, visible, hidden]: [usize; 4], fused: bool) -> [Vec<f32>; 2] {
    let [weight, velocity] = [matrix(seed, [visible, hidden]), matrix(seed + 1, [visible, hidden])];
    let [v, h] = [matrix(seed + 2, [batch, visible]), matrix(seed + 3, [batch, hidden])];
    let [v_model, h_model] = [matrix(seed + 4, [chains, visible]), matrix(seed + 5, [chains, hidden])];
    if fused {
        return boltzmann_update(UPDATE, [weight, velocity], [&v, &h], [&v_model, &h_model]).unwrap().map(numbers);
    }
    let gradient = v.transpose().matmul(h) / batch as f64 - v_model.transpose().matmul(h_model) / chains as f64;
    let velocity = velocity * UPDATE.momentum + (gradient - weight.clone() * UPDATE.weight_cost) * UPDATE.learning_rate;
    [numbers(weight + velocity.clone()), numbers(velocity)]
}

proptest! {
    #![proptest_config(the_same_cases(60))]

    #[test]
    fn an_update_equals_the_plain_expression(
        seed in 0_u64..1000, batch in 1_usize..40, chains in 1_usize..200, visible in 1_usize..60, hidden in 1_usize..60,
    ) {
        let shape = [batch, chains, visible, hidden];
        for (found, expected) in updated(seed, shape, true).into_iter().zip(updated(seed, shape, false)) {
            assert_close(found, expected, "weight or velocity");
        }
    }

    #[test]
    fn sums_means_and_states_equal_the_plain_expressions(seed in 0_u64..1000, batch in 1_usize..40, other in 1_usize..40, unit in 1_usize..70) {
        let (x, y, bias) = (matrix(seed, [batch, unit]) * 9.0, matrix(seed + 1, [other, unit]), matrix(seed + 2, [1, unit]));
        let sums = activation::softplus(x.clone() + bias.clone(), 1.0).sum_dim(1);
        assert_close(numbers(softplus_sums(&x, &bias.squeeze_dim(0)).unwrap()), numbers(sums), "sums");
        let means = x.clone().mean_dim(0) - y.mean_dim(0);
        assert_close(numbers(difference_of_means(&x, &matrix(seed + 1, [other, unit])).unwrap()), numbers(means), "means");
        let (mean, uniform) = (activation::sigmoid(x), matrix(seed + 3, [batch, unit]) * 0.5 + 0.5);
        let states = mean.clone().greater(uniform.clone()).float();
        prop_assert_eq!(numbers(bernoulli_states(&mean, uniform).unwrap()), numbers(states));
    }
}

/// More than one panel of the statistics, the last of them smaller.
#[test]
fn updates_of_large_weights_stay_equal_on_any_number_of_threads() {
    let shape = [20, 30, 333, 700];
    let on = |num_threads| rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap().install(|| updated(1, shape, true));
    let found = on(3);
    assert_eq!(found, on(1));
    for (found, expected) in found.into_iter().zip(updated(1, shape, false)) {
        assert_close(found, expected, "weight or velocity");
    }
}

#[test]
fn tensors_that_others_hold_are_left_as_they_were() {
    let weight = matrix(1, [3, 4]);
    let before = numbers(weight.clone());
    let [v, h] = [matrix(2, [5, 3]), matrix(3, [5, 4])];
    let [after, _] = boltzmann_update(UPDATE, [weight.clone(), matrix(4, [3, 4])], [&v, &h], [&v, &h]).unwrap();
    assert_eq!(numbers(weight), before);
    assert_ne!(numbers(after), before);
}

#[test]
fn tensors_with_a_tape_are_given_back() {
    let device = Device::flex().autodiff();
    let taped = |tensor: Tensor<2>| Tensor::<2>::from_data(tensor.into_data(), &device);
    let (mean, uniform) = (taped(matrix(1, [2, 3])), matrix(2, [2, 3]));
    assert_eq!(numbers(bernoulli_states(&mean, uniform.clone()).unwrap_err()), numbers(uniform));
    assert!(softplus_sums(&mean, &Tensor::zeros([3], &Device::flex())).is_none());
    assert!(difference_of_means(&mean, &mean).is_none());
}
