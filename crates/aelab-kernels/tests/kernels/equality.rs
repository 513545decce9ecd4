//! Every kernel equals the plain expression in tensors: values and gradients, over shapes of all kinds.

use crate::the_same_cases;
use aelab_kernels::{
    Activation, AdamStep, Loss, Normalisation, Sliding, activated, adam, batch_norm, channel_statistics, convolution, dense, double, halve,
    reconstruction_loss,
};
use burn::tensor::module::{batch_norm as plain_batch_norm, batch_norm_train, conv_transpose2d, conv2d, interpolate, max_pool2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions};
use burn::tensor::{Device, FloatDType, Tensor, TensorData, activation};
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
    tensor.into_data().convert::<f32>().try_to_vec().unwrap()
}

/// A leaf in double precision, whose sums leave no doubt which side has rounded.
fn in_double<const D: usize>(leaf: Tensor<D>) -> Tensor<D> {
    leaf.detach().cast(FloatDType::F64).detach().require_grad()
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
    assert_close_at_size(found, expected, 1e-3, what);
}

/// For sums of so many terms of either sign: their rounding is relative to the size that such sums have, not to what is left of them.
fn assert_close_sums(found: Vec<f32>, expected: Vec<f32>, num_terms: usize, what: &str) {
    assert_close_at_size(found, expected, 0.5 * (num_terms as f32).sqrt(), what);
}

fn assert_close_at_size(found: Vec<f32>, expected: Vec<f32>, least_size: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().fold(least_size, |size, value| size.max(value.abs()));
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

/// A first layer: data with zeros, without a gradient.
fn compare_first_layer(seed: u64, [batch, input, output]: [usize; 3]) {
    let device = Device::flex().autodiff();
    let in_block = |index: usize| (index / input / 6 + index % input / 9).is_multiple_of(3);
    let data = values(seed, batch * input, 1.0).into_iter().enumerate().map(|(index, value)| if in_block(index) { value } else { 0.0 });
    let x = Tensor::<2>::from_data(TensorData::new(data.collect::<Vec<f32>>(), [batch, input]), &device);
    let [weight, upstream] = [leaf(seed + 1, [input, output], 1.0, &device), leaf(seed + 2, [batch, output], 1.0, &device).detach()];
    let b = leaf(seed + 3, [output], 1.0, &device);
    let run = |y: Tensor<2>| {
        let gradients = (y.clone() * upstream.clone()).sum().backward();
        [numbers(y), numbers(weight.grad(&gradients).unwrap()), numbers(b.grad(&gradients).unwrap())]
    };
    let found = run(dense(x.clone(), weight.clone(), Some(b.clone()), Activation::Tanh, false));
    let expected = run((x.matmul(weight.clone()) + b.clone().unsqueeze()).tanh());
    for ((found, expected), what) in found.into_iter().zip(expected).zip(["value", "gradient by the weight", "gradient by the bias"]) {
        assert_close(found, expected, &format!("{batch}x{input}x{output}: {what}"));
    }
}

/// Few channels, which are summed over patches, or whole vectors of them, which are not; the last are more than one strip.
fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![1_usize..5, prop_oneof![Just(16_usize), Just(32), Just(48), Just(64), Just(80)]]
}

proptest! {
    #![proptest_config(the_same_cases(60))]

    #[test]
    fn a_dense_layer_equals_the_plain_expression(
        seed in 0_u64..1000, batch in 1_usize..70, input in 1_usize..40, output in 1_usize..40, which in 0_usize..7,
        bias: bool, transposed: bool, turned_view: bool,
    ) {
        compare_dense(seed, [batch, input, output], ACTIVATIONS[which], bias, transposed, turned_view);
    }

    #[test]
    fn a_first_layer_of_data_with_zeros_is_the_plain_expression(seed in any::<u32>(), batch in 1_usize..150, input in 1_usize..300, output in 1_usize..260) {
        compare_first_layer(u64::from(seed), [batch, input, output]);
    }

    #[test]
    fn an_activation_by_itself_equals_the_plain_expression(
        seed in 0_u64..1000, batch in 1_usize..70, width in 1_usize..70, scale in prop::sample::select(vec![1.0_f32, 30.0]),
        which in 0_usize..7, turned: bool,
    ) {
        let device = Device::flex().autodiff();
        let run = |fused: bool| {
            let leaf = leaf(seed, [batch, width], scale, &device);
            let x = if turned { leaf.clone().transpose() } else { leaf.clone() };
            let upstream = Tensor::<2>::from_data(TensorData::new(values(seed + 3, batch * width, 1.0), x.dims()), &device);
            let function = |x: Tensor<2>| if fused { activated(ACTIVATIONS[which], &x).unwrap() } else { plain(ACTIVATIONS[which], x) };
            let (without_tape, y) = (function(x.clone().inner()), function(x));
            let gradients = (y.clone() * upstream).sum().backward();
            (numbers(y), numbers(leaf.grad(&gradients).unwrap()), numbers(without_tape), numbers(leaf))
        };
        let (found, expected) = (run(true), run(false));
        let what = format!("{:?} {batch}x{width} turned {turned}", ACTIVATIONS[which]);
        assert_close(found.0, expected.0, &format!("{what}: value"));
        assert_close(found.1, expected.1, &format!("{what}: gradient"));
        assert_close(found.2, expected.2, &format!("{what}: without a tape"));
        prop_assert_eq!(found.3, expected.3, "the argument is as it was");
    }

    #[test]
    fn a_convolution_equals_the_plain_expression(
        seed in 0_u64..1000, batch in 1_usize..6, inputs in channels(), outputs in channels(), height in 1_usize..9, width in 1_usize..9,
        kernel in 1_usize..6, stride in 1_usize..4, padding in 0_usize..3, extra in 0_usize..2, which in 0_usize..7, transposed: bool,
        bias: bool, residual: bool, flattened: bool, view: bool,
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
            let one = |leaf: Tensor<1>| if fused { leaf } else { in_double(leaf) };
            let four = |leaf: Tensor<4>| if fused { leaf } else { in_double(leaf) };
            let x = four(leaf(seed, [batch, inputs, height, width], 1.0, &device));
            // As the result of another convolution lies, or as one that was reshaped.
            let used = if view { x.clone().permute([0, 2, 3, 1]).mul_scalar(1.0).permute([0, 3, 1, 2]) } else { x.clone() };
            let channels = if transposed { [inputs, outputs] } else { [outputs, inputs] };
            let weight = four(leaf(seed + 1, [channels[0], channels[1], kernel, kernel], 1.0, &device));
            let bias = bias.then(|| one(leaf(seed + 2, [outputs], 1.0, &device)));
            let shape = {
                let small = |size: usize| (size + 2 * padding).saturating_sub(kernel) / stride + 1;
                let [height, width] = if transposed { output } else { [small(height), small(width)] };
                [batch, outputs, height, width]
            };
            let residual = residual.then(|| four(leaf(seed + 4, shape, 1.0, &device)));
            let y = if fused {
                let sliding = Sliding { stride, padding, output, transposed, flattened };
                convolution(&used, &weight, bias.as_ref(), residual.as_ref(), ACTIVATIONS[which], sliding).unwrap()
            } else {
                let y = if transposed {
                    let options = ConvTransposeOptions::new([stride; 2], [padding; 2], [extra; 2], [1; 2], 1);
                    conv_transpose2d(used, weight.clone(), bias.clone(), options)
                } else {
                    conv2d(used, weight.clone(), bias.clone(), ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1))
                };
                let y = if let Some(residual) = &residual { y + residual.clone() } else { y };
                let [batch, channels, height, width] = y.dims();
                plain(ACTIVATIONS[which], y.reshape([batch, channels * height * width])).reshape([batch, channels, height, width])
            };
            assert_eq!(y.dims(), shape);
            let upstream = Tensor::<4>::from_data(TensorData::new(values(seed + 3, shape.iter().product(), 1.0), shape), &device);
            let upstream = upstream.cast(y.dtype());
            let upstream = if view { upstream.permute([0, 2, 3, 1]).mul_scalar(1.0).permute([0, 3, 1, 2]) } else { upstream };
            let gradients = (y.clone() * upstream).sum().backward();
            let [of_x, of_weight] = [&x, &weight].map(|leaf| numbers(leaf.grad(&gradients).unwrap()));
            let of_bias = bias.map(|bias| numbers(bias.grad(&gradients).unwrap()));
            let of_residual = residual.map(|residual| numbers(residual.grad(&gradients).unwrap()));
            (numbers(y), of_x, of_weight, of_bias.unwrap_or_default(), of_residual.unwrap_or_default())
        };
        let (found, expected) = (run(true), run(false));
        let num_terms = found.0.len() / outputs;
        assert_close_sums(found.0, expected.0, inputs * kernel * kernel, "value");
        assert_close_sums(found.1, expected.1, outputs * kernel * kernel, "gradient by x");
        assert_close_sums(found.2, expected.2, num_terms, "gradient by the weight");
        assert_close_sums(found.3, expected.3, num_terms, "gradient by the bias");
        assert_close(found.4, expected.4, "gradient by the residual");
    }

    #[test]
    fn batch_normalisation_equals_the_plain_expression(
        seed in 0_u64..1000, batch in 1_usize..40, channels in 1_usize..40, height in 2_usize..12, width in 2_usize..12,
        which in 0_usize..7, of_batch: bool, residual: bool, view: bool, offset in -3_f32..3.0,
    ) {
        let device = Device::flex().autodiff();
        // Of few values the variance may be so small that the rounding of their mean is seen.
        prop_assume!(batch * height * width >= 32);
        let (shape, activation) = ([batch, channels, height, width], ACTIVATIONS[which]);
        let run = |fused: bool| {
            let one = |leaf: Tensor<1>| if fused { leaf } else { in_double(leaf) };
            let four = |leaf: Tensor<4>| if fused { leaf } else { in_double(leaf) };
            let data: Vec<f32> = values(seed, shape.iter().product(), 1.0).iter().map(|value| value + offset).collect();
            let x = four(Tensor::from_data(TensorData::new(data, shape), &device).require_grad());
            let used = if view { x.clone().permute([0, 2, 3, 1]).mul_scalar(1.0).permute([0, 3, 1, 2]) } else { x.clone() };
            let [gamma, beta] = [1, 2].map(|at| one(leaf(seed + at, [channels], 1.0, &device)));
            let residual = residual.then(|| four(leaf(seed + 3, shape, 1.0, &device)));
            let [mean, variance] = [4, 5].map(|at| {
                let values = Tensor::<1>::from_data(TensorData::new(values(seed + at, channels, 1.0), [channels]), &device);
                values.abs().cast(x.dtype()) + 0.1
            });
            let (y, statistics) = if fused {
                let found = channel_statistics(&used).unwrap().map(Tensor::from_inner);
                let [mean, variance] = if of_batch { found.clone() } else { [mean, variance] };
                let how = Normalisation { epsilon: 1e-5, of_batch, activation };
                (batch_norm(&used, [&mean, &variance], [&gamma, &beta], residual.as_ref(), how).unwrap(), found)
            } else {
                let trained = batch_norm_train(used.clone(), gamma.clone(), beta.clone(), 1e-5);
                let y = if of_batch { trained.output } else { plain_batch_norm(used, gamma.clone(), beta.clone(), mean, variance, 1e-5) };
                let y = if let Some(residual) = &residual { y + residual.clone() } else { y };
                (plain(activation, y.reshape([batch, channels * height * width])).reshape(shape), [trained.mean, trained.variance])
            };
            let upstream = Tensor::<4>::from_data(TensorData::new(values(seed + 6, shape.iter().product(), 1.0), shape), &device);
            let upstream = upstream.cast(y.dtype());
            let gradients = (y.clone() * upstream).sum().backward();
            let of_residual = residual.map_or(Vec::new(), |residual| numbers(residual.grad(&gradients).unwrap()));
            let [of_gamma, of_beta] = [gamma, beta].map(|leaf| numbers(leaf.grad(&gradients).unwrap()));
            let [mean, variance] = statistics.map(numbers);
            [numbers(y), numbers(x.grad(&gradients).unwrap()), of_gamma, of_beta, of_residual, mean, variance]
        };
        let names = ["value", "gradient by x", "gradient by gamma", "gradient by beta", "gradient by the residual", "mean", "variance"];
        for ((found, expected), name) in run(true).into_iter().zip(run(false)).zip(names) {
            if ["gradient by gamma", "gradient by beta"].contains(&name) {
                // By other statistics than its own, a channel becomes numbers of this size.
                let size = if of_batch { 1.0 } else { (offset.abs() + 1.0) / 0.1_f32.sqrt() };
                let least_size = 0.5 * size * ((batch * height * width) as f32).sqrt();
                assert_close_at_size(found, expected, least_size, name);
            } else if name == "gradient by x" {
                // What the means of a channel leave of each.
                assert_close_sums(found, expected, 1, name);
            } else {
                assert_close(found, expected, name);
            }
        }
    }

    #[test]
    fn halving_and_doubling_equal_the_plain_expression(
        seed in 0_u64..1000, batch in 1_usize..5, channels in 1_usize..20, height in 1_usize..10, width in 1_usize..10, halves: bool,
        view: bool, coarse: bool, cut in prop::array::uniform2(0_usize..2),
    ) {
        let device = Device::flex().autodiff();
        let shape = [batch, channels, height, width];
        let output = [2 * height - cut[0], 2 * width - cut[1]];
        let run = |fused: bool| {
            // Coarse values are often equal: the gradient goes to the first maximum.
            let x = leaf(seed, shape, 1.0, &device);
            let used = if coarse { (x.clone() * 2.0).round() + x.clone() * 0.0 } else { x.clone() };
            let used = if view { used.permute([0, 2, 3, 1]).mul_scalar(1.0).permute([0, 3, 1, 2]) } else { used };
            let y = match (fused, halves) {
                (true, true) => halve(&used).unwrap(),
                (true, false) => double(&used, output).unwrap(),
                (false, true) => max_pool2d(used, MaxPoolOptions::new([2, 2]).with_ceil_mode(true)),
                (false, false) => {
                    let doubled = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([2 * height, 2 * width]);
                    interpolate(used, doubled).slice([0..batch, 0..channels, 0..output[0], 0..output[1]])
                }
            };
            let shape = y.dims();
            let upstream = Tensor::<4>::from_data(TensorData::new(values(seed + 1, shape.iter().product(), 1.0), shape), &device);
            let gradients = (y.clone() * upstream).sum().backward();
            (shape, numbers(y), numbers(x.grad(&gradients).unwrap()))
        };
        let (found, expected) = (run(true), run(false));
        prop_assert_eq!(found.0, expected.0);
        assert_close(found.1, expected.1, "value");
        assert_close(found.2, expected.2, "gradient");
    }

    #[test]
    fn losses_equal_the_plain_expression(seed in 0_u64..1000, batch in 1_usize..20, feature in 1_usize..150, scale in 0.1_f32..20.0, weight in 0.1_f32..3.0) {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_data(
            TensorData::new(values(seed, batch * feature, 0.5).iter().map(|x| x + 0.5).collect::<Vec<f32>>(), [batch, feature]),
            &device,
        );
        for (loss, learns_x) in [
            (Loss::SquaredError, false),
            (Loss::BinaryCrossEntropyFromLogits, false),
            (Loss::SquaredError, true),
            (Loss::BinaryCrossEntropyFromLogits, true),
        ] {
            let run = |fused: bool| {
                let x_leaf = x.clone().detach().set_require_grad(learns_x);
                // Not a leaf: what is made of one has a gradient as well.
                let x = x_leaf.clone() * 1.0;
                let r = leaf(seed + 1, [batch, feature], scale, &device);
                let value = if fused {
                    reconstruction_loss(loss, &x, &r, None).unwrap()
                } else {
                    let each = match loss {
                        Loss::SquaredError => (x.clone() - r.clone()).square(),
                        Loss::BinaryCrossEntropyFromLogits => {
                            let magnitude = r.clone().abs();
                            magnitude.clone() * 0.5 + r.clone() * (x.clone() * -1.0 + 0.5) + (magnitude * -1.0).exp().log1p()
                        }
                        other => panic!("{other:?} is not in the list above"),
                    };
                    each.sum_dim(1).mean()
                };
                let gradients = (value.clone() * weight).backward();
                let without_tape = fused.then(|| numbers(reconstruction_loss(loss, &x.clone().inner(), &r.clone().inner(), None).unwrap()));
                let by_x = x_leaf.grad(&gradients).map_or_else(Vec::new, numbers);
                assert_eq!(by_x.is_empty(), !learns_x);
                (numbers(value), numbers(r.grad(&gradients).unwrap()), without_tape, by_x)
            };
            let (found, expected) = (run(true), run(false));
            assert_close(found.2.unwrap(), found.0.clone(), "value without a tape");
            assert_close(found.0, expected.0, "value");
            assert_close(found.1, expected.1, "gradient");
            assert_close(found.3, expected.3, "gradient by the data");
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
        adam(&AdamStep::new([0.9, 0.999], 1e-8, rate, time), &mut parameter, &mut gradient.clone(), &mut moment_1, &mut moment_2);
        for (found, expected) in parameter.iter().zip(&expected) {
            prop_assert!((found - expected).abs() <= 1e-5 * rate as f32 + 1e-6, "{} is not {}", found, expected);
        }
    }
}

#[test]
fn large_layers_are_shared_out_and_stay_equal() {
    compare_dense(7, [600, 300, 257], Activation::Sigmoid, true, false, false);
    compare_dense(8, [600, 300, 257], Activation::Tanh, true, true, false);
}

/// Of a convolution, a transposed one and batch normalisation, with shapes that make many blocks and groups.
fn of_maps() -> Vec<Vec<u32>> {
    let device = Device::flex().autodiff();
    let x = leaf(1, [70, 9, 20, 20], 1.0, &device);
    let [first, second] = [(2, [24, 9, 3, 3]), (3, [24, 9, 3, 3])].map(|(seed, shape)| leaf(seed, shape, 0.1, &device));
    let [bias, gamma, beta] = [(4, 9), (5, 24), (6, 24)].map(|(seed, num)| leaf(seed, [num], 1.0, &device));
    let down = Sliding { stride: 2, padding: 1, output: [0, 0], transposed: false, flattened: false };
    let up = Sliding { stride: 2, padding: 1, output: [20, 20], transposed: true, flattened: true };
    let small = convolution(&x, &first, None, None, Activation::Linear, down).unwrap();
    let [mean, variance] = channel_statistics(&small).unwrap().map(Tensor::from_inner);
    let how = Normalisation { epsilon: 1e-5, of_batch: true, activation: Activation::Tanh };
    let small = batch_norm(&small, [&mean, &variance], [&gamma, &beta], None, how).unwrap();
    let y = convolution(&small, &second, Some(&bias), Some(&x), Activation::Sigmoid, up).unwrap();
    let gradients = (y.clone() * x.clone()).sum().backward();
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    let of_vectors = [bias, gamma, beta].map(|leaf| numbers(leaf.grad(&gradients).unwrap()));
    let of_weights = [first, second].map(|leaf| numbers(leaf.grad(&gradients).unwrap()));
    [numbers(y), numbers(x.grad(&gradients).unwrap())].into_iter().chain(of_vectors).chain(of_weights).map(bits).collect()
}

#[test]
fn layers_of_maps_give_the_same_bits_on_any_number_of_threads() {
    let on = |num| rayon::ThreadPoolBuilder::new().num_threads(num).build().unwrap().install(of_maps);
    let one = on(1);
    assert!(one.iter().all(|values| values.iter().any(|bits| *bits != 0)));
    assert!([2, 3, 8].into_iter().all(|num| on(num) == one));
}

#[test]
fn the_maximum_over_what_is_no_number_is_none() {
    let device = Device::flex();
    for place in 0..4 {
        let mut values = [1.0, 2.0, 3.0, 4.0];
        values[place] = f32::NAN;
        let map = Tensor::<1>::from_data(values, &device).reshape([1, 1, 2, 2]);
        assert!(numbers(halve(&map).unwrap())[0].is_nan());
    }
}
