//! Each kernel beside the plain expression in tensors, at sizes of the benchmark's networks.
//!
//! ```text
//! cargo bench -p aelab-kernels [-- PART_OF_A_NAME]
//! ```
//!
//! Layers and losses are timed with their gradients: forward, a sum, backward.

use aelab_kernels::{
    Activation, AdamStep, Loss, LstmInput, LstmOutput, LstmPlan, ReusingAllocator, Sliding, adam, convolution, dense, gaussian_sample,
    halve, keep_largest, kl_of_bernoulli, kl_to_standard_normal, lstm, mean_of_units, reconstruction_loss, squared_norm_of_scaled_columns,
    with_slices,
};
use burn::tensor::module::{conv_transpose2d, conv2d, linear, max_pool2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// As in the program.
#[global_allocator]
static ALLOCATOR: ReusingAllocator = ReusingAllocator;

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

/// Rectangles of other numbers in images of 28 x 28 zeros: of differing size, so that half of all numbers are zero.
fn images(num: usize, device: &Device) -> Tensor<2> {
    let value = |index: usize| {
        let (example, row, column) = (index / 784, index / 28 % 28, index % 28);
        let (height, width) = (7 + example * 37 % 8, 7 + example * 53 % 8);
        if row.abs_diff(14) < height && column.abs_diff(14) < width { 0.1 + (index * 31 % 97) as f32 / 100.0 } else { 0.0 }
    };
    Tensor::from_data(TensorData::new((0..num * 784).map(value).collect(), [num, 784]), device)
}

/// First layers, which need no gradient by their input.
fn first_layers(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("first");
    for batch_size in BATCH_SIZES {
        let weight = tensor([784, 400], &device).require_grad();
        let bias = tensor([400], &device).require_grad();
        for (x, name) in [(images(batch_size, &device), "images"), (tensor([batch_size, 784], &device), "no zeros")] {
            let shape = format!("{name} {batch_size}x784x400");
            group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
                bencher.iter(|| dense(x.clone(), weight.clone(), Some(bias.clone()), Activation::Relu, false).sum().backward());
            });
            group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
                bencher.iter(|| plain(Activation::Relu, linear(x.clone(), weight.clone(), Some(bias.clone()))).sum().backward());
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
        let sliding = Sliding { stride: 2, padding: 1, output: [0, 0], transposed: false, flattened: false };
        group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
            bencher.iter(|| convolution(&x, &weight, Some(&bias), None, Activation::Relu, sliding).map(|y| y.sum().backward()));
        });
        group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
            let options = || ConvOptions::new([2; 2], [1; 2], [1; 2], 1);
            bencher.iter(|| activation::relu(conv2d(x.clone(), weight.clone(), Some(bias.clone()), options())).sum().backward());
        });

        let x = tensor([batch_size, 64, 7, 7], &device).require_grad();
        let bias = tensor([32], &device).require_grad();
        let shape = format!("{batch_size}x64x7x7 to 32x14x14");
        let sliding = Sliding { stride: 2, padding: 1, output: [14, 14], transposed: true, flattened: false };
        group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
            bencher.iter(|| convolution(&x, &weight, Some(&bias), None, Activation::Relu, sliding).map(|y| y.sum().backward()));
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
    let all = [
        (Loss::SquaredError, "squared error"),
        (Loss::SquaredErrorOfSigmoid, "squared error of sigmoid"),
        (Loss::BinaryCrossEntropyFromLogits, "cross-entropy"),
    ];
    for (loss, name) in all {
        for batch_size in BATCH_SIZES {
            let x = tensor([batch_size, 784], &device) * 0.5 + 0.5;
            let output = tensor([batch_size, 784], &device).require_grad();
            let shape = format!("{name} {batch_size}x784");
            group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
                bencher.iter(|| reconstruction_loss(loss, &x, &output, None).map(|loss| loss.backward()));
            });
            group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
                bencher.iter(|| {
                    let (x, output) = (x.clone(), output.clone());
                    let each = match loss {
                        Loss::SquaredError => (x - output).square(),
                        Loss::SquaredErrorOfSigmoid => (x - activation::sigmoid(output)).square(),
                        Loss::BinaryCrossEntropyFromLogits => {
                            let magnitude = output.clone().abs();
                            magnitude.clone() * 0.5 + output * (x * -1.0 + 0.5) + (magnitude * -1.0).exp().log1p()
                        }
                        other => panic!("{other:?} is not in the list above"),
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
        let step = AdamStep::new([0.9, 0.999], 1e-8, 1e-3, 10);
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
                moment_1 = moment_1.clone() * step.beta_1[0] + gradient.clone() * step.beta_1[1];
                moment_2 = moment_2.clone() * step.beta_2[0] + gradient.clone().square() * step.beta_2[1];
                parameter = parameter.clone() - moment_1.clone() * step.step_size / (moment_2.clone().sqrt() + step.epsilon);
            });
        });
    }
    group.finish();
}

fn codes(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("code");
    for batch_size in BATCH_SIZES {
        let [mean, log_var] = [0, 1].map(|_| tensor([batch_size, 20], &device).require_grad());
        let noise = tensor([batch_size, 20], &device);
        let shape = format!("gaussian {batch_size}x20");
        group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
            bencher.iter(|| {
                let z = gaussian_sample(mean.clone(), log_var.clone(), noise.clone());
                (z.sum() + kl_to_standard_normal(mean.clone(), log_var.clone())).backward()
            });
        });
        group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
            bencher.iter(|| {
                let z = mean.clone() + (log_var.clone() * 0.5).exp() * noise.clone();
                let kl = (mean.clone().square() + log_var.clone().exp() - log_var.clone() - 1.0) * 0.5;
                (z.sum() + kl.sum_dim(1).mean()).backward()
            });
        });

        let z = (tensor([batch_size, 196], &device) * 0.4 + 0.5).detach().require_grad();
        let (rho, shape) = (0.05, format!("sparsity {batch_size}x196"));
        group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
            bencher.iter(|| kl_of_bernoulli(rho, &mean_of_units(z.clone())).map(|kl| kl.backward()));
        });
        group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
            bencher.iter(|| {
                let average = z.clone().mean_dim(0);
                let active = average.clone().clamp_min(1e-30).log() * -rho;
                let silent = (average * -1.0 + 1.0).clamp_min(1e-7).log() * (rho - 1.0);
                (active + silent).sum().backward()
            });
        });

        let z = tensor([batch_size, 1000], &device).require_grad();
        let shape = format!("25 largest of {batch_size}x1000");
        group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
            bencher.iter(|| keep_largest(&z, 25).map(|kept| kept.sum().backward()));
        });
        group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
            bencher.iter(|| {
                let least = z.clone().detach().topk(25, 1).min_dim(1);
                z.clone().mask_fill(z.clone().detach().lower(least), 0.0).sum().backward()
            });
        });

        let (weight, slope) = (tensor([784, 1000], &device).require_grad(), tensor([batch_size, 1000], &device).require_grad());
        let shape = format!("contraction {batch_size}x784x1000");
        group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
            bencher.iter(|| squared_norm_of_scaled_columns(&weight, &slope).backward());
        });
        group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
            bencher.iter(|| (slope.clone().square() * weight.clone().square().sum_dim(0)).sum_dim(1).mean().backward());
        });
    }
    group.finish();
}

fn pooling(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("pooling");
    let map = tensor([128, 32, 28, 28], &device).require_grad();
    group.bench_function("kernel/halving 128x32x28x28", |bencher| bencher.iter(|| halve(&map).map(|half| half.sum().backward())));
    group.bench_function("plain/halving 128x32x28x28", |bencher| {
        bencher.iter(|| max_pool2d(map.clone(), MaxPoolOptions::new([2, 2]).with_ceil_mode(true)).sum().backward());
    });
    group.finish();
}

fn recurrent_layers(criterion: &mut Criterion) {
    const STEPS: usize = 140;
    const UNITS: usize = 64;
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("lstm");
    group.sample_size(20);
    for batch_size in [32, 128] {
        let x = tensor([batch_size, STEPS], &device);
        let parameters = (tensor([4 * UNITS * (1 + UNITS + 1)], &device) * 0.1).detach().require_grad();
        let shape = format!("{batch_size} series of {STEPS}, {UNITS} units");
        let plan = LstmPlan {
            layers: vec![[1, UNITS]],
            num_steps: STEPS,
            reverse: false,
            present: None,
            input: LstmInput::Series,
            output: LstmOutput::Last,
        };
        group.bench_function(BenchmarkId::new("kernel", &shape), |bencher| {
            bencher.iter(|| lstm(plan.clone(), &x, &parameters, None).map(|last| last.sum().backward()));
        });
        let weight = (tensor([1 + UNITS, 4 * UNITS], &device) * 0.1).detach().require_grad();
        let bias = (tensor([4 * UNITS], &device) * 0.1).detach().require_grad();
        group.bench_function(BenchmarkId::new("plain", &shape), |bencher| {
            bencher.iter(|| {
                let empty = Tensor::<2>::zeros([batch_size, UNITS], &device);
                let (mut h, mut c) = (empty.clone(), empty);
                for step in 0..STEPS {
                    let joined = Tensor::cat(vec![x.clone().narrow(1, step, 1), h], 1);
                    let gates = linear(joined, weight.clone(), Some(bias.clone()));
                    let gate = |index: usize| gates.clone().narrow(1, index * UNITS, UNITS);
                    let [input, forget, output] = [0, 1, 3].map(|index| activation::sigmoid(gate(index)));
                    c = forget * c + input * gate(2).tanh();
                    h = output * c.clone().tanh();
                }
                h.sum().backward()
            });
        });
    }
    group.finish();
}

criterion_group!(kernels, dense_layers, first_layers, tied_layers, convolutions, losses, codes, pooling, recurrent_layers, optimizers);
criterion_main!(kernels);
