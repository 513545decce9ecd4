//! From gradients to the next parameters: clipping, then one optimizer step.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::store::RecordError;
use burn::tensor::{Bytes, Gradients, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How gradients are kept from exploding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GradientClipping {
    /// Scales the whole gradient so that its Euclidean norm over *all* parameters together is at most
    /// this (Pascanu et al. 2013); burn's own clipping by norm works per tensor.
    Norm(f64),
    /// Clamps each element to +- this.
    Value(f64),
}

impl GradientClipping {
    /// Gradients after clipping.
    fn apply<M: Module>(self, model: &M, mut gradients: GradientsParams) -> GradientsParams {
        match self {
            GradientClipping::Norm(max) => {
                let mut norm = SquaredNorm { gradients: &gradients, sum: 0.0 };
                model.visit(&mut norm);
                let norm = norm.sum.sqrt();
                if norm > max {
                    let factor = max / norm;
                    model.visit(&mut Map { gradients: &mut gradients, how: Elementwise::Scale(factor) });
                }
            }
            GradientClipping::Value(max) => {
                model.visit(&mut Map { gradients: &mut gradients, how: Elementwise::Clamp(max) });
            }
        }
        gradients
    }
}

struct SquaredNorm<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for SquaredNorm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sum += f64::from(gradient.square().sum().into_scalar::<f32>());
        }
    }
}

/// What is done to each gradient element.
#[derive(Clone, Copy)]
enum Elementwise {
    Scale(f64),
    Clamp(f64),
}

struct Map<'a> {
    gradients: &'a mut GradientsParams,
    how: Elementwise,
}

impl ModuleVisitor for Map<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let gradient = match self.how {
                Elementwise::Scale(factor) => gradient * factor,
                Elementwise::Clamp(max) => gradient.clamp(-max, max),
            };
            self.gradients.register(param.id, gradient);
        }
    }
}

/// An optimizer with its clipping: what turns gradients into the next parameters.
#[derive(Clone)]
pub struct Optimizer {
    inner: ModuleOptimizer,
    clipping: Option<GradientClipping>,
}

impl Optimizer {
    /// An optimizer whose gradients are clipped first.
    pub fn new(inner: ModuleOptimizer, clipping: Option<GradientClipping>) -> Self {
        Self { inner, clipping }
    }

    /// The model after one step along `gradients`.
    pub fn step<M: Module>(&mut self, learning_rate: f64, model: M, mut gradients: Gradients) -> M {
        let mut of_model = GradientsParams::from_module(&mut gradients, &model);
        if let Some(clipping) = self.clipping {
            of_model = clipping.apply(&model, of_model);
        }
        self.inner.step(learning_rate, model, of_model)
    }

    /// The moments and counters as bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        Ok(self.inner.into_bytes()?.to_vec())
    }

    /// The same optimizer with moments and counters from [`to_bytes`](Self::to_bytes).
    pub fn load_bytes(self, bytes: Vec<u8>) -> Result<Self, RecordError> {
        Ok(Self { inner: self.inner.from_bytes(Bytes::from_bytes_vec(bytes))?, clipping: self.clipping })
    }

    /// Number of state tensors held, to tell whether a restore took everything.
    pub fn num_state_tensors(&self) -> usize {
        self.inner.to_record().len()
    }
}

/// Makes fresh optimizers; a model with two takes two.
pub trait OptimizerFactory: Send + Sync {
    /// An optimizer without state.
    fn build(&self) -> Optimizer;
}

impl<F: Fn() -> Optimizer + Send + Sync> OptimizerFactory for F {
    fn build(&self) -> Optimizer {
        self()
    }
}
