//! Every kernel equals the plain expression in tensors: values and gradients, over shapes of all kinds.

use aelab_kernels::{Activation, AdamStep, Loss, Sliding, adam, convolution, dense, reconstruction_loss};
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData, activation};
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 7] = [
    Activation::Linear,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu,
    Activation::LeakyRelu,
    Activation::Elu,
    Activation::Softplus,
];

fn plain(activation: Activation, y: Tensor<2>) -> Tensor<2> {
    match activation {
        Activation::Linear => y,
        Activation::Sigmoid => activation::sigmoid(y),
        Activation::Tanh => y.tanh(),
        Activation::Relu => activation::relu(y),
        Activation::LeakyRelu => activation::leaky_relu(y, 0.01),
        Activation::Elu => {
            let positive = y.clone().greater_elem(0.0);
            (y.clone().mask_fill(positive.clone(), 0.0).exp() - 1.0).mask_where(positive, y)
        }
        Activation::Softplus => activation::softplus(y, 1.0),
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Values that repeat for the same seed.
fn values(seed: u64, num: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..num)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * scale
        })
        .collect()
}

fn leaf<const D: usize>(seed: u64, shape: [usize; D], scale: f32, device: &Device) -> Tensor<D> {
    let num = shape.iter().product();
    Tensor::from_data(TensorData::new(values(seed, num, scale), shape), device).require_grad()
}

fn assert_close(found: Vec<f32>, expected: Vec<f32>, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().fold(1e-3_f32, |size, value| size.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() <= 1e-5 * size, "{what}[{index}]: {found} is not {expected}");
    }
}

fn compare_dense(seed: u64, [batch, input, output]: [usize; 3], activation: Activation, bias: bool, transposed: bool, turned_view: bool) {
    let device = Device::flex().autodiff();
    let what = format!("{activation:?} {batch}x{input}x{output} bias {bias} transposed {transposed} view {turned_view}");
    let run = |fused: bool| {
        let x = leaf(seed, [batch, input], 1.0, &device);
        let (rows, columns) = if transposed != turned_view { (output, input) } else { (input, output) };
        let weight = leaf(seed + 1, [rows, columns], 1.0, &device);
        let b = bias.then(|| leaf(seed + 2, [output], 1.0, &device));
        let used = if turned_view { weight.clone().transpose() } else { weight.clone() };
        let y = if fused {
            dense(x.clone(), used, b.clone(), activation, transposed)
        } else {
            let used = if transposed { used.transpose() } else { used };
            let y = x.clone().matmul(used);
            plain(
                activation,
                match &b {
                    Some(b) => y + b.clone().unsqueeze(),
                    None => y,
                },
            )
        };
        let upstream = Tensor::<2>::from_data(TensorData::new(values(seed + 3, batch * output, 1.0), [batch, output]), &device);
        let gradients = (y.clone() * upstream).sum().backward();
        let of_bias = b.map(|b| numbers(b.grad(&gradients).unwrap()));
        (numbers(y), numbers(x.grad(&gradients).unwrap()), numbers(weight.grad(&gradients).unwrap()), of_bias)
    };
    let (found, expected) = (run(true), run(false));
    assert_close(found.0, expected.0, &format!("{what}: value"));
    assert_close(found.1, expected.1, &format!("{what}: gradient by x"));
    assert_close(found.2, expected.2, &format!("{what}: gradient by the weight"));
    if let (Some(found), Some(expected)) = (found.3, expected.3) {
        assert_close(found, expected, &format!("{what}: gradient by the bias"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_dense_layer_equals_the_plain_expression(
        seed in 0_u64..1000, batch in 1_usize..70, input in 1_usize..40, output in 1_usize..40, which in 0_usize..7,
        bias: bool, transposed: bool, turned_view: bool,
    ) {
        compare_dense(seed, [batch, input, output], ACTIVATIONS[which], bias, transposed, turned_view);
    }

    #[test]
    fn a_convolution_equals_the_plain_expression(
        seed in 0_u64..1000, batch in 1_usize..6, inputs in 1_usize..5, outputs in 1_usize..5, height in 1_usize..9, width in 1_usize..9,
        kernel in 1_usize..6, stride in 1_usize..4, padding in 0_usize..3, extra in 0_usize..2, which in 0_usize..7, transposed: bool,
    ) {
        let (padding, extra) = (padding.min(kernel - 1), if transposed { extra.min(stride - 1) } else { 0 });
        let large = |size: usize| ((size - 1) * stride + kernel + extra).checked_sub(2 * padding).filter(|size| *size > 0);
        let output = if transposed {
            let (Some(height), Some(width)) = (large(height), large(width)) else { return Ok(()) };
            [height, width]
        } else if height + 2 * padding < kernel || width + 2 * padding < kernel {
            return Ok(());
        } else {
            [0, 0]
        };
        let device = Device::flex().autodiff();
        let run = |fused: bool| {
            let x = leaf(seed, [batch, inputs, height, width], 1.0, &device);
            let channels = if transposed { [inputs, outputs] } else { [outputs, inputs] };
            let weight = leaf(seed + 1, [channels[0], channels[1], kernel, kernel], 1.0, &device);
            let bias = leaf(seed + 2, [outputs], 1.0, &device);
            let y = if fused {
                convolution(&x, &weight, &bias, ACTIVATIONS[which], Sliding { stride, padding, output, transposed }).unwrap()
            } else {
                let y = if transposed {
                    let options = ConvTransposeOptions::new([stride; 2], [padding; 2], [extra; 2], [1; 2], 1);
                    conv_transpose2d(x.clone(), weight.clone(), Some(bias.clone()), options)
                } else {
                    conv2d(x.clone(), weight.clone(), Some(bias.clone()), ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1))
                };
                let [batch, channels, height, width] = y.dims();
                plain(ACTIVATIONS[which], y.reshape([batch, channels * height * width])).reshape([batch, channels, height, width])
            };
            let shape = y.dims();
            let upstream = Tensor::<4>::from_data(TensorData::new(values(seed + 3, shape.iter().product(), 1.0), shape), &device);
            let gradients = (y.clone() * upstream).sum().backward();
            let [of_x, of_weight] = [&x, &weight].map(|leaf| numbers(leaf.grad(&gradients).unwrap()));
            (shape, numbers(y), of_x, of_weight, numbers(bias.grad(&gradients).unwrap()))
        };
        let (found, expected) = (run(true), run(false));
        prop_assert_eq!(found.0, expected.0);
        assert_close(found.1, expected.1, "value");
        assert_close(found.2, expected.2, "gradient by x");
        assert_close(found.3, expected.3, "gradient by the weight");
        assert_close(found.4, expected.4, "gradient by the bias");
    }

    #[test]
    fn losses_equal_the_plain_expression(seed in 0_u64..1000, batch in 1_usize..20, feature in 1_usize..150, scale in 0.1_f32..20.0, weight in 0.1_f32..3.0) {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_data(
            TensorData::new(values(seed, batch * feature, 0.5).iter().map(|x| x + 0.5).collect::<Vec<f32>>(), [batch, feature]),
            &device,
        );
        for loss in [Loss::SquaredError, Loss::BinaryCrossEntropyFromLogits] {
            let run = |fused: bool| {
                let r = leaf(seed + 1, [batch, feature], scale, &device);
                let value = if fused {
                    reconstruction_loss(loss, &x, &r, None).unwrap()
                } else {
                    let each = match loss {
                        Loss::SquaredError => (x.clone() - r.clone()).square(),
                        _ => {
                            let magnitude = r.clone().abs();
                            magnitude.clone() * 0.5 + r.clone() * (x.clone() * -1.0 + 0.5) + (magnitude * -1.0).exp().log1p()
                        }
                    };
                    each.sum_dim(1).mean()
                };
                let gradients = (value.clone() * weight).backward();
                let without_tape = fused.then(|| numbers(reconstruction_loss(loss, &x.clone().inner(), &r.clone().inner(), None).unwrap()));
                (numbers(value), numbers(r.grad(&gradients).unwrap()), without_tape)
            };
            let (found, expected) = (run(true), run(false));
            assert_close(found.2.unwrap(), found.0.clone(), "value without a tape");
            assert_close(found.0, expected.0, "value");
            assert_close(found.1, expected.1, "gradient");
        }
    }

    #[test]
    fn adam_equals_its_formula_in_double_precision(seed in 0_u64..1000, num in 1_usize..200, time in 1_i32..2000, rate in 1e-5_f64..1.0) {
        let mut parameter = values(seed, num, 1.0);
        let gradient = values(seed + 1, num, 0.1);
        let mut moment_1 = values(seed + 2, num, 0.1);
        let mut moment_2: Vec<f32> = values(seed + 3, num, 0.1).iter().map(|v| v.abs()).collect();
        let expected: Vec<f32> = (0..num)
            .map(|i| {
                let (g, m, v) = (f64::from(gradient[i]), f64::from(moment_1[i]), f64::from(moment_2[i]));
                let (m, v) = (0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g);
                let (m, v) = (m / (1.0 - 0.9_f64.powi(time)), v / (1.0 - 0.999_f64.powi(time)));
                (f64::from(parameter[i]) - rate * m / (v.sqrt() + 1e-8)) as f32
            })
            .collect();
        adam(&AdamStep::new(0.9, 0.999, 1e-8, rate, time), &mut parameter, &gradient, &mut moment_1, &mut moment_2);
        for (found, expected) in parameter.iter().zip(&expected) {
            // The corrections of bias are taken in single precision, as burn and PyTorch take them.
            prop_assert!((found - expected).abs() <= 1e-3 * rate as f32 + 1e-6, "{} is not {}", found, expected);
        }
    }
}

#[test]
fn large_layers_are_shared_out_and_stay_equal() {
    compare_dense(7, [600, 300, 257], Activation::Sigmoid, true, false, false);
    compare_dense(8, [600, 300, 257], Activation::Tanh, true, true, false);
}
