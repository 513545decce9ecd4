//! The kernels of objectives equal the plain expressions in tensors: values and gradients, over shapes of all kinds.

use crate::the_same_cases;
use aelab_kernels::{
    Activation, Loss, SparseCode, code_statistics, gaussian_log_density, gaussian_sample, keep_largest, kl_of_bernoulli,
    kl_to_standard_normal, l1_norm, mean_of_units, reconstruction_loss, reconstruction_loss_of_each, slope, squared_norm_of_scaled_columns,
    standard_normal_log_density,
};
use burn::tensor::{Bool, Device, Tensor, TensorData, activation};
use proptest::prelude::*;

const LOSSES: [Loss; 5] = [
    Loss::SquaredError,
    Loss::SquaredErrorOfSigmoid,
    Loss::BinaryCrossEntropyFromLogits,
    Loss::ContinuousBernoulliFromLogits,
    Loss::MultinomialFromLogits,
];

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_to_vec().unwrap()
}

/// Values of `[low, high)` that repeat for the same seed.
fn values(seed: u64, num: usize, low: f64, high: f64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..num)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Single precision, so that both sides are given the same.
            f64::from((low + (high - low) * ((state >> 11) as f64 / (1_u64 << 53) as f64)) as f32)
        })
        .collect()
}

/// The kernels are asked in single precision, the plain expressions in double.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Kernel,
    Plain,
}

fn tensor(side: Side, seed: u64, shape: [usize; 2], low: f64, high: f64) -> Tensor<2> {
    let device = Device::flex().autodiff();
    let values = values(seed, shape[0] * shape[1], low, high);
    match side {
        Side::Kernel => {
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            Tensor::from_data(TensorData::new(values, shape), &device)
        }
        Side::Plain => Tensor::from_data(TensorData::new(values, shape), (&device, burn::tensor::DType::F64)),
    }
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().fold(1e-3_f32, |size, value| size.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 1e-5 * size, "{what}[{index}]: {found} is not {expected}");
    }
}

/// Value and gradients of `function` of leaves, with weights of any kind upstream, on both sides; without a tape, too.
fn compare<const D: usize>(what: &str, leaves: &[([usize; 2], f64, f64)], seed: u64, function: impl Fn(Side, &[Tensor<2>]) -> Tensor<D>) {
    let run = |side: Side| {
        let leaf = |(index, (shape, low, high)): (usize, &([usize; 2], f64, f64))| {
            tensor(side, seed + index as u64, *shape, *low, *high).require_grad()
        };
        let inputs: Vec<Tensor<2>> = leaves.iter().enumerate().map(leaf).collect();
        let value = function(side, &inputs);
        let num = value.shape().num_elements();
        let upstream = tensor(side, seed + 77, [1, num], -1.0, 2.0).reshape(value.shape());
        let gradients = (value.clone() * upstream).sum().backward();
        let detached: Vec<Tensor<2>> = inputs.iter().map(|input| input.clone().inner()).collect();
        let gradients: Vec<Vec<f32>> = inputs.iter().map(|input| numbers(input.grad(&gradients).unwrap())).collect();
        (numbers(value), gradients, numbers(function(side, &detached)))
    };
    let (found, expected) = (run(Side::Kernel), run(Side::Plain));
    assert_close(&found.0, &expected.0, &format!("{what}: value"));
    assert_close(&found.2, &expected.0, &format!("{what}: value without a tape"));
    for (index, (found, expected)) in found.1.iter().zip(&expected.1).enumerate() {
        assert_close(found, expected, &format!("{what}: gradient {index}"));
    }
}

fn plain_loss(loss: Loss, x: Tensor<2>, r: Tensor<2>) -> Tensor<2> {
    match loss {
        Loss::SquaredError => (x - r).square(),
        Loss::SquaredErrorOfSigmoid => (x - ((r * -1.0).exp() + 1.0).recip()).square(),
        Loss::BinaryCrossEntropyFromLogits => r.clone() * (x * -1.0) + (r.exp() + 1.0).log(),
        Loss::ContinuousBernoulliFromLogits => {
            // log((e^l - 1) / l) in double precision, far enough from 0.
            r.clone() * (x * -1.0) + ((r.clone().exp() - 1.0) / r).log()
        }
        Loss::MultinomialFromLogits => activation::log_softmax(r, 1) * (x * -1.0),
    }
}

proptest! {
    #![proptest_config(the_same_cases(40))]

    #[test]
    fn losses_equal_the_plain_expression_masked_or_not_of_each_or_of_all(
        seed in 0_u64..1000, batch in 1_usize..80, feature in 1_usize..150, scale in 0.1_f64..12.0, which in 0_usize..5, masked: bool,
        of_each: bool,
    ) {
        let loss = LOSSES[which];
        let mask = |side: Side| masked.then(|| tensor(side, seed + 9, [batch, feature], 0.0, 1.0));
        let shape = [batch, feature];
        let what = format!("{loss:?} masked {masked} of each {of_each} {batch}x{feature}");
        compare(&what, &[(shape, 0.0, 1.0), (shape, -scale, scale)], seed, |side, inputs| {
            let (x, r) = (&inputs[0], &inputs[1]);
            let mask = mask(side).map(|mask| if x.device().is_autodiff() { mask } else { mask.inner() });
            let rows = match side {
                Side::Kernel if of_each => reconstruction_loss_of_each(loss, x, r, mask.as_ref()).unwrap(),
                Side::Kernel => return reconstruction_loss(loss, x, r, mask.as_ref()).unwrap().reshape([1, 1]),
                Side::Plain => {
                    let each = plain_loss(loss, x.clone(), r.clone());
                    mask.map_or(each.clone(), |mask| each * mask).sum_dim(1)
                }
            };
            if of_each { rows } else { rows.mean().reshape([1, 1]) }
        });
    }

    #[test]
    fn gaussian_samples_divergences_and_densities_equal_the_plain_expressions(
        seed in 0_u64..1000, batch in 1_usize..40, latent in 1_usize..50, spread in 0.1_f64..3.0,
    ) {
        let leaf = ([batch, latent], -spread, spread);
        compare("sample", &[leaf; 3], seed, |side, inputs| {
            let [mean, log_var, noise] = [0, 1, 2].map(|index| inputs[index].clone());
            if side == Side::Kernel { gaussian_sample(mean, log_var, noise) } else { mean + (log_var * 0.5).exp() * noise }
        });
        compare("divergence", &[leaf; 2], seed, |side, inputs| {
            let [mean, log_var] = [0, 1].map(|index| inputs[index].clone());
            if side == Side::Kernel {
                kl_to_standard_normal(mean, log_var)
            } else {
                ((mean.square() + log_var.clone().exp() - log_var - 1.0) * 0.5).sum_dim(1).mean()
            }
        });
        compare("density", &[leaf; 3], seed, |side, inputs| {
            let [z, mean, log_var] = [0, 1, 2].map(|index| inputs[index].clone());
            if side == Side::Kernel {
                gaussian_log_density(z, mean, log_var)
            } else {
                ((z - mean).square() / log_var.clone().exp() + log_var + (2.0 * std::f64::consts::PI).ln()).sum_dim(1) * -0.5
            }
        });
        compare("density of the prior", &[leaf], seed, |side, inputs| {
            let z = inputs[0].clone();
            let plain = |z: Tensor<2>| (z.square() + (2.0 * std::f64::consts::PI).ln()).sum_dim(1) * -0.5;
            if side == Side::Kernel { standard_normal_log_density(z) } else { plain(z) }
        });
    }

    #[test]
    fn penalties_of_codes_equal_the_plain_expressions(seed in 0_u64..1000, batch in 1_usize..80, code in 1_usize..90, rho in 0.01_f64..0.9) {
        compare("l1", &[([batch, code], -2.0, 2.0)], seed, |side, inputs| {
            let z = inputs[0].clone();
            if side == Side::Kernel { l1_norm(z) } else { z.abs().sum_dim(1).mean() }
        });
        compare("mean", &[([batch, code], 0.0, 1.0)], seed, |side, inputs| {
            let z = inputs[0].clone();
            if side == Side::Kernel { mean_of_units(z) } else { z.mean_dim(0) }
        });
        compare("kl", &[([1, code], 0.02, 0.98)], seed, |side, inputs| {
            let mean = inputs[0].clone();
            if side == Side::Kernel {
                return kl_of_bernoulli(rho, &mean).unwrap();
            }
            let active = mean.clone().log() * -rho;
            let silent = (mean * -1.0 + 1.0).log() * (rho - 1.0);
            (active + silent + (rho * rho.ln() + (1.0 - rho) * (1.0 - rho).ln())).sum()
        });
    }

    #[test]
    fn slopes_and_their_penalty_equal_the_plain_expressions(
        seed in 0_u64..1000, batch in 1_usize..80, input in 1_usize..60, unit in 1_usize..60,
    ) {
        for activation in [Activation::Linear, Activation::Sigmoid, Activation::Tanh, Activation::Elu, Activation::Softplus] {
            let range = match activation {
                Activation::Softplus => (0.1, 3.0),
                // Away from the bend.
                Activation::Elu => if seed % 2 == 0 { (-0.9, -0.1) } else { (0.1, 2.0) },
                _ => (0.05, 0.95),
            };
            compare(&format!("slope of {activation:?}"), &[([batch, unit], range.0, range.1)], seed, |side, inputs| {
                let y = inputs[0].clone();
                match (side, activation) {
                    (Side::Kernel, _) => slope(activation, &y).unwrap(),
                    (_, Activation::Sigmoid) => y.clone() * (y * -1.0 + 1.0),
                    (_, Activation::Tanh) => y.square() * -1.0 + 1.0,
                    (_, Activation::Elu) => y.clamp_max(0.0) + 1.0,
                    (_, Activation::Softplus) => (y * -1.0).exp() * -1.0 + 1.0,
                    _ => y * 0.0 + 1.0,
                }
            });
        }
        compare("scaled columns", &[([input, unit], -1.0, 1.0), ([batch, unit], -1.0, 1.0)], seed, |side, inputs| {
            let (weight, factor) = (&inputs[0], &inputs[1]);
            if side == Side::Kernel {
                squared_norm_of_scaled_columns(weight, factor)
            } else {
                (factor.clone().square() * weight.clone().square().sum_dim(0)).sum_dim(1).mean()
            }
        });
    }

    #[test]
    fn what_is_kept_are_the_largest_in_order_of_size_and_then_of_place(
        seed in 0_u64..1000, batch in 1_usize..6, width in 1_usize..200, k in 0_usize..210, coarse: bool,
    ) {
        let device = Device::flex().autodiff();
        let row = |value: f64| if coarse { (value * 2.0).round() as f32 * 0.5 } else { value as f32 };
        let numbers_of_rows: Vec<f32> = values(seed, batch * width, -3.0, 3.0).into_iter().map(row).collect();
        let z = Tensor::<2>::from_data(TensorData::new(numbers_of_rows.clone(), [batch, width]), &device).require_grad();
        let mut dropped = vec![true; batch * width];
        for (values, dropped) in numbers_of_rows.chunks(width).zip(dropped.chunks_mut(width)) {
            let mut order: Vec<usize> = (0..width).collect();
            order.sort_by(|left, right| values[*right].total_cmp(&values[*left]).then(left.cmp(right)));
            order.iter().take(k).for_each(|kept| dropped[*kept] = false);
        }
        let mask: Tensor<2, Bool> = Tensor::from_data(TensorData::new(dropped, [batch, width]), &device);
        let upstream = tensor(Side::Kernel, seed + 1, [batch, width], -1.0, 1.0);
        let kept = keep_largest(&z, k).unwrap();
        prop_assert_eq!(numbers(kept.clone()), numbers(z.clone().mask_fill(mask.clone(), 0.0)));
        let gradients = (kept * upstream.clone()).sum().backward();
        prop_assert_eq!(numbers(z.grad(&gradients).unwrap()), numbers(upstream.mask_fill(mask, 0.0)));
    }

    #[test]
    fn statistics_of_codes_equal_the_plain_expressions(
        seed in 0_u64..1000, batch in 1_usize..80, code in 1_usize..50, feature in 1_usize..60, of_sigmoid: bool,
    ) {
        let z = keep_largest(&tensor(Side::Kernel, seed, [batch, code], -1.0, 1.0), code / 3).unwrap();
        let (x, output) = (tensor(Side::Kernel, seed + 1, [batch, feature], 0.0, 1.0), tensor(Side::Kernel, seed + 2, [batch, feature], -2.0, 2.0));
        let found = code_statistics(&z, 0.01, &x, &output, of_sigmoid).unwrap();
        let active = z.clone().abs().greater_elem(0.01).float();
        let reconstruction = if of_sigmoid { activation::sigmoid(output) } else { output };
        let expected = [
            active.clone().sum_dim(1).mean(),
            active.max_dim(0).mean() * -1.0 + 1.0,
            z.mean(),
            (x.clone() - reconstruction).square().sum(),
            (x.clone() - x.mean_dim(0)).square().sum(),
        ];
        let found = [found.num_active, found.dead_fraction, found.mean_activation, found.squared_error, found.squares_about_mean];
        for (found, expected) in found.into_iter().zip(expected) {
            assert_close(&[found as f32], &numbers(expected), "statistics");
        }
    }
}

#[test]
fn kernels_of_objectives_take_large_batches_on_all_threads() {
    let shape = [600, 300];
    compare("large loss", &[(shape, 0.0, 1.0), (shape, -3.0, 3.0)], 5, |side, inputs| match side {
        Side::Kernel => reconstruction_loss(Loss::BinaryCrossEntropyFromLogits, &inputs[0], &inputs[1], None).unwrap(),
        Side::Plain => plain_loss(Loss::BinaryCrossEntropyFromLogits, inputs[0].clone(), inputs[1].clone()).sum_dim(1).mean(),
    });
    compare("large columns", &[(shape, -1.0, 1.0), ([70, 300], -1.0, 1.0)], 6, |side, inputs| match side {
        Side::Kernel => squared_norm_of_scaled_columns(&inputs[0], &inputs[1]),
        Side::Plain => (inputs[1].clone().square() * inputs[0].clone().square().sum_dim(0)).sum_dim(1).mean(),
    });
}

#[test]
fn a_logit_near_0_costs_what_its_series_says() {
    let device = Device::flex().autodiff();
    for logit in [0.0_f32, 1e-4, -0.02, 0.999, 1.001, -40.0, 90.0] {
        let l = Tensor::<2>::from_data([[logit]], &device).require_grad();
        let x = Tensor::<2>::from_data([[0.3]], &device);
        let nll = reconstruction_loss(Loss::ContinuousBernoulliFromLogits, &x, &l, None).unwrap();
        let gradient = l.grad(&nll.backward()).unwrap().into_scalar::<f32>();
        let logit = f64::from(logit);
        let (log_sinh, mean) = if logit.abs() < 0.05 {
            let half = logit / 2.0;
            (half * half / 6.0 - half.powi(4) / 180.0, 0.5 + logit / 12.0 - logit.powi(3) / 720.0)
        } else {
            (((logit / 2.0).sinh() / (logit / 2.0)).ln(), 1.0 / (1.0 - (-logit).exp()) - 1.0 / logit)
        };
        let expected = logit * 0.2 + log_sinh;
        assert!((f64::from(nll.into_scalar::<f32>()) - expected).abs() < 1e-6 * expected.abs().max(1.0), "{logit}");
        assert!((f64::from(gradient) - (mean - f64::from(0.3_f32))).abs() < 1e-6, "{logit}: {gradient}");
    }
}

proptest! {
    #![proptest_config(the_same_cases(30))]

    #[test]
    fn layers_around_a_sparse_code_equal_dense_layers_around_the_largest(
        seed in 0_u64..1000, batch in 48_usize..90, input in 1_usize..170, unit in 16_usize..60, output in 1_usize..170, tied: bool, biased: bool,
    ) {
        let k = unit / 8;
        let output = if tied { input } else { output };
        let mut leaves = vec![([batch, input], -1.0, 1.0), ([input, unit], -1.0, 1.0), ([1, unit], -1.0, 1.0), ([1, output], -1.0, 1.0)];
        if !tied {
            leaves.push(([unit, output], -1.0, 1.0));
        }
        let what = format!("{batch}x{input}x{unit}x{output} tied {tied} biased {biased}");
        let device = Device::flex().autodiff();
        let run = |fused: bool| {
            let leaf = |(index, (shape, low, high)): (usize, &([usize; 2], f64, f64))| {
                tensor(Side::Kernel, seed + index as u64, *shape, *low, *high).require_grad()
            };
            let inputs: Vec<Tensor<2>> = leaves.iter().enumerate().map(leaf).collect();
            let row = |index: usize| biased.then(|| inputs[index].clone().squeeze_dim::<1>(0));
            let (z, y) = if fused {
                let layers = SparseCode {
                    weight: inputs[1].clone(),
                    bias: row(2),
                    decoder_weight: inputs.get(4).cloned(),
                    decoder_bias: row(3),
                    k,
                };
                layers.forward(&inputs[0]).unwrap()
            } else {
                let add = |y: Tensor<2>, bias: Option<Tensor<1>>| match bias {
                    Some(bias) => y + bias.unsqueeze(),
                    None => y,
                };
                let z = keep_largest(&add(inputs[0].clone().matmul(inputs[1].clone()), row(2)), k).unwrap();
                let decoder = inputs.get(4).cloned().unwrap_or_else(|| inputs[1].clone().transpose());
                (z.clone(), add(z.matmul(decoder), row(3)))
            };
            let upstream = Tensor::<2>::from_data(
                TensorData::new(values(seed + 50, batch * output, -1.0, 1.0).iter().map(|v| *v as f32).collect::<Vec<f32>>(), [batch, output]),
                &device,
            );
            let gradients = (y.clone() * upstream).sum().backward();
            let of_inputs: Vec<Option<Vec<f32>>> = inputs.iter().map(|input| input.grad(&gradients).map(numbers)).collect();
            (numbers(z), numbers(y), of_inputs)
        };
        let (found, expected) = (run(true), run(false));
        assert_close(&found.0, &expected.0, &format!("{what}: code"));
        assert_close(&found.1, &expected.1, &format!("{what}: output"));
        for (index, (found, expected)) in found.2.iter().zip(&expected.2).enumerate() {
            prop_assert_eq!(found.is_some(), expected.is_some(), "{}: gradient {}", what, index);
            if let (Some(found), Some(expected)) = (found, expected) {
                assert_close(found, expected, &format!("{what}: gradient {index}"));
            }
        }
    }
}
