//! The gradient on the tape against central differences, in double precision.
//!
//! With a step of 1e-6 the truncation error of a central difference is of order 1e-12 and its rounding
//! error of order 1e-10, relative to values of order 1: deviations below [`TOLERANCE`] are noise, and a
//! wrong gradient is off by orders of magnitude more.

use burn::module::{ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

use crate::{Autoencoder, Batch, Noise, StepContext, StreamNoise};

/// Deviations up to this, relative to the largest slope, are rounding.
pub const TOLERANCE: f64 = 1e-6;

const STEP: f64 = 1e-6;

/// Largest difference between the gradient of `function` at `at` as the tape has it and as central
/// differences have it, relative to its largest component. `at` holds `shape[0] * shape[1]` values;
/// `device` is an autodiff device that knows double precision.
pub fn gradient_deviation(device: &Device, at: &[f64], shape: [usize; 2], function: impl Fn(Tensor<2>) -> Tensor<1>) -> f64 {
    let tensor = |values: Vec<f64>| Tensor::<2>::from_data(TensorData::new(values, shape), (device, DType::F64));
    let x = tensor(at.to_vec()).require_grad();
    let gradients = function(x.clone()).backward();
    let taped: Vec<f64> = values(x.grad(&gradients).expect("the function depends on its argument"));
    let value_at = |index: usize, by: f64| {
        let mut nudged = at.to_vec();
        nudged[index] += by;
        function(tensor(nudged)).into_scalar::<f64>()
    };
    let measured: Vec<f64> = (0..at.len()).map(|index| (value_at(index, STEP) - value_at(index, -STEP)) / (2.0 * STEP)).collect();
    relative_deviation(&taped, &measured)
}

/// The same for the objective of a model with respect to its parameters: up to `per_tensor` components
/// of each, evenly spread. `noise` is drawn afresh, and so the same, for every evaluation.
pub fn model_gradient_deviation<M: Autoencoder>(
    model: M,
    batch: Batch,
    per_tensor: usize,
    mut context: impl FnMut(&mut dyn FnMut(&mut StepContext<'_>)),
    device: &Device,
) -> f64 {
    let model = model.map(&mut ToDouble);
    let batch = Batch { x: Tensor::from_data(batch.x.into_data().convert::<f64>(), (device, DType::F64)), ..batch };
    let mut loss = |model: &M| {
        let mut loss = None;
        context(&mut |ctx| loss = Some(model.objective(&batch, ctx).loss()));
        loss.expect("the context is handed on")
    };
    let gradients = loss(&model).backward();
    let mut components = Components { gradients: &gradients, per_tensor, found: Vec::new() };
    model.visit(&mut components);
    let found = components.found;
    let mut value_at = |id: ParamId, index: usize, by: f64| {
        let nudged = model.clone().map(&mut Nudge { id, index, by });
        loss(&nudged).into_scalar::<f64>()
    };
    let measured: Vec<f64> =
        found.iter().map(|&(id, index, _)| (value_at(id, index, STEP) - value_at(id, index, -STEP)) / (2.0 * STEP)).collect();
    let taped: Vec<f64> = found.iter().map(|&(_, _, slope)| slope).collect();
    relative_deviation(&taped, &measured)
}

/// Whether a device computes in double precision throughout, tried on the operation that some backends
/// only have in single precision.
pub(super) fn is_double_precision(device: &Device) -> bool {
    let tensor = Tensor::<1>::from_data(TensorData::new(vec![0.1f64], [1]), (device, DType::F64));
    let sigmoid = burn::tensor::activation::sigmoid(tensor).into_scalar::<f64>();
    (sigmoid - 1.0 / (1.0 + (-0.1f64).exp())).abs() < 1e-14
}

fn relative_deviation(taped: &[f64], measured: &[f64]) -> f64 {
    let scale = measured.iter().fold(f64::MIN_POSITIVE, |scale, slope| scale.max(slope.abs()));
    taped.iter().zip(measured).fold(0.0, |worst: f64, (taped, measured)| worst.max((taped - measured).abs() / scale))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().try_to_vec().expect("the tensor is in double precision")
}

/// Casts every parameter to double precision.
struct ToDouble;

impl ModuleMapper for ToDouble {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let is_trainable = param.is_require_grad();
        param.map(|tensor| {
            let (shape, device) = (tensor.dims(), tensor.device());
            let doubles = values(tensor.detach().cast(FloatDType::F64));
            Tensor::from_data(TensorData::new(doubles, shape), (&device, DType::F64)).set_require_grad(is_trainable)
        })
    }
}

/// Picks components of the gradient: parameter, index within it, slope.
struct Components<'a> {
    gradients: &'a burn::tensor::Gradients,
    per_tensor: usize,
    found: Vec<(ParamId, usize, f64)>,
}

impl ModuleVisitor for Components<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        let tensor = param.val();
        let gradient = values(tensor.grad(self.gradients).unwrap_or_else(|| tensor.zeros_like().detach()));
        let stride = gradient.len().div_ceil(self.per_tensor).max(1);
        self.found.extend(gradient.iter().enumerate().step_by(stride).map(|(index, slope)| (param.id, index, *slope)));
    }
}

/// Adds to one component of one parameter.
struct Nudge {
    id: ParamId,
    index: usize,
    by: f64,
}

impl ModuleMapper for Nudge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if param.id != self.id {
            return param;
        }
        param.map(|tensor| {
            let (shape, device) = (tensor.dims(), tensor.device());
            let mut nudged = values(tensor.detach());
            nudged[self.index] += self.by;
            Tensor::from_data(TensorData::new(nudged, shape), (&device, DType::F64)).require_grad()
        })
    }
}

/// A source of noise in double precision.
pub(super) struct DoubleNoise(pub(super) StreamNoise);

impl Noise for DoubleNoise {
    fn normal(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        self.0.normal(shape, device).cast(FloatDType::F64)
    }

    fn uniform(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        self.0.uniform(shape, device).cast(FloatDType::F64)
    }

    fn bernoulli(&mut self, shape: [usize; 2], probability: f64, device: &Device) -> Tensor<2> {
        self.0.bernoulli(shape, probability, device).cast(FloatDType::F64)
    }
}
