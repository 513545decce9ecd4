//! Closed forms, Jacobians by automatic differentiation, central differences, and an estimator's mean.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

use aelab_core::conformance::{TOLERANCE, gradient_deviation};
use aelab_core::{Noise, Purpose, StreamNoise, stream};
use aelab_losses::{SmoothLayer, contraction, jacobian_change, kl_sparsity, l1_norm, projected_contraction, projected_jacobian_change};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData, activation};

fn device() -> Device {
    Device::flex().autodiff()
}

fn normal(seed: u64, shape: [usize; 2]) -> Tensor<2> {
    StreamNoise(stream(seed, Purpose::Evaluation, 0, 0)).normal(shape, &device()).cast(FloatDType::F64)
}

fn numbers(tensor: Tensor<2>) -> Vec<f64> {
    tensor.into_data().try_to_vec().unwrap()
}

fn number(scalar: Tensor<1>) -> f64 {
    assert_eq!(scalar.dims(), [1]);
    scalar.into_data().convert::<f64>().try_to_vec::<f64>().unwrap()[0]
}

#[derive(Clone, Copy)]
enum Kind {
    Sigmoid,
    Tanh,
}

/// An encoder of such layers: its code, and what the penalties see of it. All weights behind one another in one row.
struct Encoder {
    sizes: Vec<usize>,
    kinds: Vec<Kind>,
}

impl Encoder {
    fn new(sizes: &[usize], kinds: &[Kind]) -> Self {
        Self { sizes: sizes.to_vec(), kinds: kinds.to_vec() }
    }

    fn num_weights(&self) -> usize {
        self.sizes.windows(2).map(|pair| pair[0] * pair[1]).sum()
    }

    fn weights(&self) -> Tensor<2> {
        normal(7, [1, self.num_weights()]) * 0.7
    }

    fn run(&self, x: Tensor<2>, weights: &Tensor<2>) -> (Tensor<2>, Vec<SmoothLayer>) {
        let (mut h, mut start, mut layers) = (x, 0, Vec::new());
        for (pair, kind) in self.sizes.windows(2).zip(&self.kinds) {
            let length = pair[0] * pair[1];
            let weight = weights.clone().narrow(1, start, length).reshape([pair[0], pair[1]]);
            start += length;
            let before = h.matmul(weight.clone());
            let slope;
            (h, slope) = match kind {
                Kind::Sigmoid => {
                    let h = activation::sigmoid(before);
                    (h.clone(), h.clone() * (h * -1.0 + 1.0))
                }
                Kind::Tanh => {
                    let h = before.tanh();
                    (h.clone(), h.square() * -1.0 + 1.0)
                }
            };
            layers.push(SmoothLayer { weight, slope });
        }
        (h, layers)
    }

    /// `[batch, code * feature]`, by one backward pass per code unit.
    fn jacobian_by_backward_passes(&self, x: &Tensor<2>, weights: &Tensor<2>) -> Vec<f64> {
        let mut jacobian = Vec::new();
        for unit in 0..*self.sizes.last().unwrap() {
            let x = x.clone().detach().require_grad();
            let (code, _) = self.run(x.clone(), weights);
            // Examples do not touch each other: the gradient of the sum over the batch is each one's own.
            let gradients = code.narrow(1, unit, 1).sum().backward();
            jacobian.extend(numbers(x.grad(&gradients).unwrap()));
        }
        jacobian
    }
}

/// One layer; code smaller than the data; code larger than the data; three layers of each.
fn encoders() -> Vec<Encoder> {
    use Kind::{Sigmoid, Tanh};
    vec![
        Encoder::new(&[4, 3], &[Sigmoid]),
        Encoder::new(&[4, 3], &[Tanh]),
        Encoder::new(&[5, 3, 2], &[Tanh, Sigmoid]),
        Encoder::new(&[2, 3, 6], &[Sigmoid, Tanh]),
        Encoder::new(&[6, 4, 3, 2], &[Sigmoid, Tanh, Sigmoid]),
        Encoder::new(&[2, 3, 4, 5], &[Tanh, Sigmoid, Sigmoid]),
    ]
}

fn assert_close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{what}: {found} is not {expected}");
}

#[test]
fn the_contraction_is_the_squared_norm_of_a_jacobian_of_one_backward_pass_per_code_unit() {
    for encoder in encoders() {
        let (x, weights) = (normal(1, [3, encoder.sizes[0]]), encoder.weights());
        let jacobian = encoder.jacobian_by_backward_passes(&x, &weights);
        let expected = jacobian.iter().map(|slope| slope * slope).sum::<f64>() / 3.0;
        let found = number(contraction(&encoder.run(x, &weights).1));
        assert_close(found, expected, &format!("{:?}", encoder.sizes));
    }
}

#[test]
fn the_change_of_a_jacobian_is_that_of_two_sets_of_backward_passes() {
    for encoder in encoders() {
        let weights = encoder.weights();
        let (x, other) = (normal(1, [3, encoder.sizes[0]]), normal(2, [3, encoder.sizes[0]]));
        let [here, there] = [&x, &other].map(|x| encoder.jacobian_by_backward_passes(x, &weights));
        let expected = here.iter().zip(&there).map(|(here, there)| (here - there).powi(2)).sum::<f64>() / 3.0;
        let found = number(jacobian_change(&encoder.run(x, &weights).1, &encoder.run(other, &weights).1));
        assert_close(found, expected, &format!("{:?}", encoder.sizes));
    }
}

#[test]
fn the_gradients_of_the_contractions_equal_central_differences_by_weights_and_by_inputs() {
    for encoder in encoders() {
        let (num_features, code_size) = (encoder.sizes[0], *encoder.sizes.last().unwrap());
        let directions: Vec<Tensor<2>> = (0..2).map(|seed| normal(10 + seed, [3, code_size])).collect();
        let (x, noise) = (normal(1, [3, num_features]), normal(2, [3, num_features]) * 0.3);
        let penalties = |x: Tensor<2>, weights: &Tensor<2>| {
            let (_, layers) = encoder.run(x.clone(), weights);
            let (_, others) = encoder.run(x + noise.clone(), weights);
            [
                contraction(&layers),
                jacobian_change(&layers, &others),
                projected_contraction(&layers, &directions),
                projected_jacobian_change(&layers, &others, &directions),
            ]
        };
        for index in 0..4 {
            let by_weights = gradient_deviation(&device(), &numbers(encoder.weights()), [1, encoder.num_weights()], |weights| {
                penalties(x.clone(), &weights)[index].clone()
            });
            assert!(by_weights < TOLERANCE, "{:?}, penalty {index} by weights: {by_weights:.1e}", encoder.sizes);
            let by_input =
                gradient_deviation(&device(), &numbers(x.clone()), [3, num_features], |x| penalties(x, &encoder.weights())[index].clone());
            assert!(by_input < TOLERANCE, "{:?}, penalty {index} by the input: {by_input:.1e}", encoder.sizes);
        }
    }
}

/// Mean of an estimate over many draws, in units of its standard error, from its exact value.
fn standard_errors_off(exact: f64, mut draw: impl FnMut(u64) -> f64) -> f64 {
    let draws: Vec<f64> = (0..2000).map(&mut draw).collect();
    let num = draws.len() as f64;
    let mean = draws.iter().sum::<f64>() / num;
    let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / (num - 1.0);
    assert!(variance > 0.0, "an estimate that never varies is none");
    (mean - exact).abs() / (variance / num).sqrt()
}

#[test]
fn the_mean_of_the_projected_penalties_is_the_exact_one_within_three_standard_errors() {
    let encoder = Encoder::new(&[5, 4, 3], &[Kind::Tanh, Kind::Sigmoid]);
    let (x, weights) = (normal(1, [2, 5]), encoder.weights());
    let (layers, others) = (encoder.run(x.clone(), &weights).1, encoder.run(x + 0.5, &weights).1);
    let normals = |seed| [normal(1000 + seed, [2, 3])];
    let signs = |seed| [normal(1000 + seed, [2, 3]).sign()];
    let exact = number(contraction(&layers));
    let off = standard_errors_off(exact, |seed| number(projected_contraction(&layers, &normals(seed))));
    assert!(off < 3.0, "normal directions: {off} standard errors");
    let off = standard_errors_off(exact, |seed| number(projected_contraction(&layers, &signs(seed))));
    assert!(off < 3.0, "signs: {off} standard errors");
    let exact = number(jacobian_change(&layers, &others));
    let off = standard_errors_off(exact, |seed| number(projected_jacobian_change(&layers, &others, &normals(seed))));
    assert!(off < 3.0, "change of the Jacobian: {off} standard errors");
}

#[test]
fn unit_directions_give_the_contraction_itself() {
    let encoder = Encoder::new(&[5, 4, 3], &[Kind::Sigmoid, Kind::Tanh]);
    let layers = encoder.run(normal(1, [2, 5]), &encoder.weights()).1;
    // The mean over the unit vectors, scaled to variance 1, is the whole trace.
    let unit = |index: usize| {
        let row: Vec<f64> = (0..3).map(|unit| if unit == index { 3f64.sqrt() } else { 0.0 }).collect();
        Tensor::<2>::from_data(TensorData::new([row.clone(), row].concat(), [2, 3]), (&device(), DType::F64))
    };
    assert_close(number(projected_contraction(&layers, &[0, 1, 2].map(unit))), number(contraction(&layers)), "unit directions");
}

#[test]
fn the_gradients_of_the_sparsity_penalties_equal_central_differences() {
    let at = [0.03, 0.2, 0.5, 0.97, 0.001, 0.6];
    let by_mean = gradient_deviation(&device(), &at, [1, 6], |rho_hat| kl_sparsity(0.05, rho_hat));
    assert!(by_mean < TOLERANCE, "by the mean activation: {by_mean:.1e}");
    let by_activation = gradient_deviation(&device(), &at, [3, 2], |z| kl_sparsity(0.05, z.mean_dim(0)));
    assert!(by_activation < TOLERANCE, "by the activations: {by_activation:.1e}");
    let l1 = gradient_deviation(&device(), &[0.3, -0.2, 1.7, -2.5], [2, 2], l1_norm);
    assert!(l1 < TOLERANCE, "L1: {l1:.1e}");
}

#[test]
fn the_kl_penalty_is_the_divergence_of_two_coins_and_0_only_at_rho() {
    let kl = |rho: f64, rho_hat: f32| number(kl_sparsity(rho, Tensor::from_data([[rho_hat]], &Device::flex())));
    let exact = |rho: f64, q: f64| rho * (rho / q).ln() + (1.0 - rho) * ((1.0 - rho) / (1.0 - q)).ln();
    for (rho, rho_hat) in [(0.05, 0.5f32), (0.05, 0.01), (0.3, 0.9), (0.9, 0.2)] {
        let expected = exact(rho, f64::from(rho_hat));
        assert!((kl(rho, rho_hat) - expected).abs() < 1e-6 * expected.max(1.0), "{rho}, {rho_hat}");
    }
    assert!(kl(0.2, 0.2).abs() < 1e-6);
    let two = number(kl_sparsity(0.1, Tensor::from_data([[0.3, 0.6]], &Device::flex())));
    assert!((two - exact(0.1, 0.3) - exact(0.1, 0.6)).abs() < 1e-6, "summed over units");
}

#[test]
fn averages_of_exactly_0_and_1_cost_a_finite_amount_and_have_a_finite_slope() {
    let rho_hat = Tensor::<2>::from_data([[0.0f32, 1.0]], &device()).require_grad();
    let kl = kl_sparsity(0.05, rho_hat.clone());
    let gradient: Vec<f32> = rho_hat.grad(&kl.backward()).unwrap().into_data().try_to_vec().unwrap();
    assert!(number(kl) > 1.0 && number(kl_sparsity(0.05, rho_hat)).is_finite());
    assert!(gradient.iter().all(|slope| slope.is_finite()), "{gradient:?}");
}

#[test]
fn a_unit_that_is_almost_never_active_is_still_pulled_up_by_rho() {
    // By the logit the slope of KL is rho_hat - rho.
    let logit = Tensor::<2>::from_data([[-40.0f32]], &device()).require_grad();
    let kl = kl_sparsity(0.05, activation::sigmoid(logit.clone()));
    let slope = logit.grad(&kl.backward()).unwrap().into_scalar::<f32>();
    assert!((slope + 0.05).abs() < 1e-4, "{slope}");
}
