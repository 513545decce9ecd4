//! Each kernel beside the plain expression in tensors, at sizes of the benchmark's networks.
//!
//! ```text
//! cargo bench -p aelab-kernels [-- PART_OF_A_NAME]
//! ```
//!
//! Layers and losses are timed with their gradients: forward, a sum, backward.

use aelab_kernels::{Activation, AdamStep, Loss, Sliding, adam, convolution, dense, reconstruction_loss, with_slices};
use burn::tensor::module::{conv_transpose2d, conv2d, linear};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData, activation};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const BATCH_SIZES: [usize; 3] = [32, 128, 1024];

/// Numbers between -1 and 1.
fn tensor<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let num = shape.iter().product();
    let values: Vec<f32> = (0..num).map(|index: usize| (index.wrapping_mul(2_654_435_761) % 2001) as f32 / 1000.0 - 1.0).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn plain(of: Activation, y: Tensor<2>) -> Tensor<2> {
    match of {
        Activation::Sigmoid => activation::sigmoid(y),
        Activation::Relu => activation::relu(y),
        Activation::Tanh => y.tanh(),
        Activation::Softplus => activation::softplus(y, 1.0),
        _ => y,
    }
}

fn dense_layers(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("dense");
    for (of, name) in [(Activation::Linear, "linear"), (Activation::Relu, "relu"), (Activation::Sigmoid, "sigmoid")] {
        for batch_size in BATCH_SIZES {
            let x = tensor([batch_size, 784], &device).require_grad();
            let weight = tensor([784, 1000], &device).require_grad();
            let bias = tensor([1000], &device).require_grad();
            let shape = format!("{name} {batch_size}x784x1000");
            group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
                bencher.iter(|| dense(x.clone(), weight.clone(), Some(bias.clone()), of, false).sum().backward());
            });
            group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
                bencher.iter(|| plain(of, linear(x.clone(), weight.clone(), Some(bias.clone()))).sum().backward());
            });
        }
    }
    group.finish();
}

fn tied_layers(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("tied");
    for batch_size in BATCH_SIZES {
        let x = tensor([batch_size, 1000], &device).require_grad();
        let weight = tensor([784, 1000], &device).require_grad();
        let bias = tensor([784], &device).require_grad();
        let shape = format!("{batch_size}x1000x784");
        group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
            bencher.iter(|| dense(x.clone(), weight.clone(), Some(bias.clone()), Activation::Linear, true).sum().backward());
        });
        group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
            bencher.iter(|| linear(x.clone(), weight.clone().transpose(), Some(bias.clone())).sum().backward());
        });
    }
    group.finish();
}

fn convolutions(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("convolution");
    for batch_size in [32, 128] {
        let x = tensor([batch_size, 32, 14, 14], &device).require_grad();
        let weight = tensor([64, 32, 3, 3], &device).require_grad();
        let bias = tensor([64], &device).require_grad();
        let shape = format!("{batch_size}x32x14x14 to 64x7x7");
        let sliding = Sliding { stride: 2, padding: 1, output: [0, 0], transposed: false };
        group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
            bencher.iter(|| convolution(&x, &weight, &bias, Activation::Relu, sliding).map(|y| y.sum().backward()));
        });
        group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
            let options = || ConvOptions::new([2; 2], [1; 2], [1; 2], 1);
            bencher.iter(|| activation::relu(conv2d(x.clone(), weight.clone(), Some(bias.clone()), options())).sum().backward());
        });

        let x = tensor([batch_size, 64, 7, 7], &device).require_grad();
        let bias = tensor([32], &device).require_grad();
        let shape = format!("{batch_size}x64x7x7 to 32x14x14");
        let sliding = Sliding { stride: 2, padding: 1, output: [14, 14], transposed: true };
        group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
            bencher.iter(|| convolution(&x, &weight, &bias, Activation::Relu, sliding).map(|y| y.sum().backward()));
        });
        group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
            let options = || ConvTransposeOptions::new([2; 2], [1; 2], [1; 2], [1; 2], 1);
            bencher.iter(|| activation::relu(conv_transpose2d(x.clone(), weight.clone(), Some(bias.clone()), options())).sum().backward());
        });
    }
    group.finish();
}

fn losses(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("loss");
    for (loss, name) in [(Loss::SquaredError, "squared error"), (Loss::BinaryCrossEntropyFromLogits, "cross-entropy")] {
        for batch_size in BATCH_SIZES {
            let x = tensor([batch_size, 784], &device) * 0.5 + 0.5;
            let output = tensor([batch_size, 784], &device).require_grad();
            let shape = format!("{name} {batch_size}x784");
            group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
                bencher.iter(|| reconstruction_loss(loss, &x, &output).map(|loss| loss.backward()));
            });
            group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
                bencher.iter(|| {
                    let (x, output) = (x.clone(), output.clone());
                    let each = match loss {
                        Loss::SquaredError => (x - output).square(),
                        Loss::BinaryCrossEntropyFromLogits => {
                            let magnitude = output.clone().abs();
                            magnitude.clone() * 0.5 + output * (x * -1.0 + 0.5) + (magnitude * -1.0).exp().log1p()
                        }
                    };
                    each.sum_dim(1).mean().backward()
                });
            });
        }
    }
    group.finish();
}

fn optimizers(criterion: &mut Criterion) {
    let device = Device::flex();
    let mut group = criterion.benchmark_group("adam");
    for [rows, columns] in [[784, 32], [784, 1000]] {
        let step = AdamStep::new(0.9, 0.999, 1e-8, 1e-3, 10);
        let shape = format!("{rows}x{columns}");
        let fresh = || [0, 1, 2, 3].map(|_| tensor([rows, columns], &device).abs());
        let mut tensors = Some(fresh());
        group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
            bencher.iter(|| {
                let updated = with_slices(tensors.take().expect("the tensors come back"), |[parameter, gradient, moment_1, moment_2]| {
                    adam(&step, parameter, gradient, moment_1, moment_2);
                });
                tensors = updated.ok();
            });
        });
        let [mut parameter, gradient, mut moment_1, mut moment_2] = fresh();
        group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
            bencher.iter(|| {
                moment_1 = moment_1.clone() * step.beta_1 + gradient.clone() * (1.0 - step.beta_1);
                moment_2 = moment_2.clone() * step.beta_2 + gradient.clone().square() * (1.0 - step.beta_2);
                parameter = parameter.clone() - moment_1.clone() * step.step_size / (moment_2.clone().sqrt() + step.epsilon);
            });
        });
    }
    group.finish();
}

criterion_group!(kernels, dense_layers, tied_layers, convolutions, losses, optimizers);
criterion_main!(kernels);
