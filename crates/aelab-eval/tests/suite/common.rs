//! Data and models of a few lines, for the evaluations.

use std::collections::BTreeMap;

use aelab_core::{
    Batch, DataSpec, Domain, Examples, Factors, Noise, Objective, Progress, Pulse, StateError, StepContext, Stream, TrainedModel,
};
use aelab_eval::{EvaluationContext, EvaluationError, Memo, Outcome};
use burn::tensor::{Device, Tensor};
use rand::RngExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Examples in memory; `binarised` draws each value anew at every access, with the stored value as its
/// probability.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) spec: DataSpec,
    pub(crate) values: Vec<f32>,
    pub(crate) labels: Option<Vec<u32>>,
    pub(crate) class_names: Option<Vec<String>>,
    pub(crate) feature_names: Option<Vec<String>>,
    pub(crate) binarised: bool,
    /// Values of each example that are there, from the first on; all where left out.
    pub(crate) num_observed: Option<usize>,
    /// Which values of every example are there, where that is not the first ones.
    pub(crate) mask: Option<Vec<f32>>,
    /// What is held out of all examples: values and marks, row after row.
    pub(crate) held_out: Option<(Vec<f32>, Vec<f32>)>,
    pub(crate) normal_classes: Option<Vec<u32>>,
    /// Whether each time step of each series is anomalous.
    pub(crate) point_labels: Option<Vec<f32>>,
    /// What the examples were made of.
    pub(crate) factors: Option<Factors>,
}

impl Table {
    pub(crate) fn new(shape: &[usize], domain: Domain, values: Vec<f32>) -> Self {
        let spec = DataSpec::new(shape, domain);
        assert!(values.len().is_multiple_of(spec.num_features()));
        Self {
            spec,
            values,
            labels: None,
            class_names: None,
            feature_names: None,
            binarised: false,
            num_observed: None,
            mask: None,
            held_out: None,
            normal_classes: None,
            point_labels: None,
            factors: None,
        }
    }

    /// `num` examples with values uniform in [0, 1).
    pub(crate) fn random(num: usize, shape: &[usize], seed: u64) -> Self {
        let mut stream = aelab_core::stream(seed, aelab_core::Purpose::Transform, 0, 0);
        let num_values = num * shape.iter().product::<usize>();
        Self::new(shape, Domain::UnitInterval, (0..num_values).map(|_| stream.random()).collect())
    }

    pub(crate) fn labelled(mut self, num_classes: u32) -> Self {
        self.labels = Some((0..self.len() as u32).map(|index| index % num_classes).collect());
        self.class_names = Some((0..num_classes).map(|class| format!("class {class}")).collect());
        self.spec.num_classes = Some(num_classes as usize);
        self
    }
}

impl Examples for Table {
    fn spec(&self) -> &DataSpec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.values.len() / self.spec.num_features()
    }

    fn gather(&self, indices: &[usize], stream: &mut Stream, out: &mut Vec<f32>) {
        let size = self.spec.num_features();
        for &index in indices {
            let row = &self.values[index * size..][..size];
            if self.binarised {
                out.extend(row.iter().map(|&p| if stream.random::<f32>() < p { 1.0 } else { 0.0 }));
            } else {
                out.extend_from_slice(row);
            }
        }
    }

    fn gather_mask(&self, indices: &[usize], out: &mut Vec<f32>) -> bool {
        if let Some(mask) = &self.mask {
            indices.iter().for_each(|_| out.extend_from_slice(mask));
            return true;
        }
        let Some(num_observed) = self.num_observed else { return false };
        let of_one = (0..self.spec.num_features()).map(|feature| if feature < num_observed { 1.0 } else { 0.0 });
        out.extend(indices.iter().flat_map(|_| of_one.clone()));
        true
    }

    fn gather_held_out(&self, indices: &[usize], values: &mut Vec<f32>, mask: &mut Vec<f32>) -> bool {
        let Some((all_values, all_marks)) = &self.held_out else { return false };
        let size = self.spec.num_features();
        for &index in indices {
            values.extend_from_slice(&all_values[index * size..][..size]);
            mask.extend_from_slice(&all_marks[index * size..][..size]);
        }
        true
    }

    fn factors(&self) -> Option<&Factors> {
        self.factors.as_ref()
    }

    fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    fn feature_names(&self) -> Option<&[String]> {
        self.feature_names.as_deref()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    fn normal_classes(&self) -> Option<&[u32]> {
        self.normal_classes.as_deref()
    }

    fn gather_point_labels(&self, indices: &[usize], out: &mut Vec<f32>) -> bool {
        let Some(labels) = &self.point_labels else { return false };
        let num_steps = self.spec.event_shape[0];
        indices.iter().for_each(|&index| out.extend_from_slice(&labels[index * num_steps..][..num_steps]));
        true
    }
}

/// A model whose every answer is known: the code is the first `code_size` features, the reconstruction
/// `scale * x`.
#[derive(Debug, Clone)]
pub(crate) struct Fixed {
    pub(crate) scale: f32,
    pub(crate) code_size: usize,
    pub(crate) num_features: usize,
    /// Whether there are Bernoulli logits (all equal to 0.5), a KL and a prior.
    pub(crate) variational: bool,
    /// Whether the input is corrupted (replaced by zeros).
    pub(crate) corrupting: bool,
    /// Whether the class of an example is added to each value of its code and its reconstruction.
    pub(crate) adds_class: bool,
    /// Whether it is no model of examples without their classes.
    pub(crate) decodes_by_class_only: bool,
    /// The classes of the rows at hand.
    pub(crate) classes: Option<Tensor<2>>,
}

impl Fixed {
    pub(crate) fn new(scale: f32, code_size: usize, num_features: usize) -> Self {
        Self {
            scale,
            code_size,
            num_features,
            variational: false,
            corrupting: false,
            adds_class: false,
            decodes_by_class_only: false,
            classes: None,
        }
    }

    fn with_class(&self, values: Tensor<2>) -> Tensor<2> {
        match &self.classes {
            Some(classes) => values + classes.clone(),
            None => values,
        }
    }
}

impl TrainedModel for Fixed {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        let num = x.dims()[0];
        self.with_class(x.slice([0..num, 0..self.code_size]))
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.with_class(Tensor::full([z.dims()[0], self.num_features], 0.5, &z.device()))
    }

    fn decode_logits(&self, z: Tensor<2>) -> Option<Tensor<2>> {
        (self.variational && !self.adds_class).then(|| self.decode(z))
    }

    fn reconstruct(&self, x: Tensor<2>) -> Tensor<2> {
        self.with_class(x * self.scale)
    }

    fn sample_prior(&self, num: usize, noise: &mut dyn Noise, device: &Device) -> Option<Tensor<2>> {
        self.variational.then(|| noise.normal([num, self.code_size], device))
    }

    /// Weights whose logarithms are standard normal.
    fn log_importance_weights(&self, batch: &Batch, num_samples: usize, noise: &mut dyn Noise) -> Option<Tensor<2>> {
        assert!(batch.size() * num_samples <= 4096, "{num_samples} samples of {} examples do not fit", batch.size());
        self.variational.then(|| noise.normal([batch.size(), num_samples], &batch.x.device()))
    }

    fn decodes_by_class_only(&self) -> bool {
        self.decodes_by_class_only
    }

    fn conditioned(&self, batch: &Batch) -> Option<Box<dyn TrainedModel>> {
        let classes = batch.labels.clone().filter(|_| self.adds_class)?.float().unsqueeze_dim(1);
        Some(Box::new(Self { classes: Some(classes), ..self.clone() }))
    }

    fn corrupted(&self, x: Tensor<2>, _ctx: &mut StepContext<'_>) -> Option<Tensor<2>> {
        self.corrupting.then(|| x * 0.0)
    }

    /// `nll` is the mean sum of the values, `kl` the number of labels plus a noise term, or else `squared_error`.
    fn objective(&self, batch: &Batch, ctx: &mut StepContext<'_>) -> Objective {
        let num = batch.size();
        let sum = batch.x.clone().sum() / num as f64;
        if let Some(mask) = &batch.mask {
            return Objective::new().term("observed", mask.clone().sum() / num as f64, 1.0);
        }
        if self.variational {
            let noise = ctx.noise.normal([num, 1], &batch.x.device()).sum() / num as f64;
            Objective::new().term("nll", sum, 1.0).term("kl", noise + 3.0, 0.5)
        } else {
            Objective::new().term("squared_error", sum, 2.0)
        }
    }
}

pub(crate) struct Setting {
    pub(crate) model: Fixed,
    pub(crate) train: Table,
    pub(crate) test: Table,
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
    pub(crate) cache: Option<std::path::PathBuf>,
    pub(crate) pulse: Pulse,
}

impl Setting {
    pub(crate) fn new(model: Fixed, train: Table, test: Table) -> Self {
        Self { model, train, test, batch_size: 7, seed: 1, cache: None, pulse: Pulse::default() }
    }

    /// A model that multiplies images by `scale`.
    pub(crate) fn of_images(scale: f32) -> Self {
        let images = |num, seed| Table::random(num, &[1, 12, 12], seed).labelled(10);
        Self::new(Fixed::new(scale, 2, 144), images(60, 1), images(33, 2))
    }

    /// The outcome of the evaluation called `name` with default options.
    pub(crate) fn measure(&self, name: &str) -> Result<Outcome, EvaluationError> {
        self.measure_with(name, json!({}))
    }

    /// The outcome of the evaluation called `name`.
    pub(crate) fn measure_with(&self, name: &str, options: Value) -> Result<Outcome, EvaluationError> {
        let evaluation = (aelab_eval::find(name).expect("a known evaluation").parse)(options).expect("options");
        self.with_context(|context| evaluation.measure(context))
    }

    /// What `measure` makes of the setting.
    pub(crate) fn with_context<T>(&self, measure: impl FnOnce(&EvaluationContext<'_>) -> T) -> T {
        let device = Device::flex();
        let untrained = |_: u64| -> Result<Box<dyn TrainedModel>, StateError> { Ok(Box::new(self.model.clone())) };
        let context = EvaluationContext {
            model: &self.model,
            untrained: &untrained,
            train: &self.train,
            valid: &self.train,
            test: &self.test,
            device: &device,
            batch_size: self.batch_size,
            seed: self.seed,
            code_size: self.model.code_size,
            progress: Progress::end(1.0, 10),
            cache_dir: self.cache.as_deref(),
            data_checksum: "a checksum",
            memo: Memo::default(),
            pulse: &self.pulse,
        };
        measure(&context)
    }

    /// The values of that evaluation by name, with default options.
    pub(crate) fn values(&self, name: &str) -> BTreeMap<String, f64> {
        self.values_with(name, json!({}))
    }

    /// The values of that evaluation by name.
    pub(crate) fn values_with(&self, name: &str, options: Value) -> BTreeMap<String, f64> {
        let outcome = self.measure_with(name, options).unwrap();
        outcome.measurements.into_iter().map(|measurement| (measurement.name, measurement.value)).collect()
    }
}

/// The cases of a golden file.
pub(crate) fn cases<C: DeserializeOwned>(golden: &str) -> Vec<C> {
    #[derive(Deserialize)]
    struct Golden<C> {
        cases: Vec<C>,
    }
    serde_json::from_str::<Golden<C>>(golden).expect("a golden file").cases
}

/// The measurement called `name`.
pub(crate) fn value(outcome: &Outcome, name: &str) -> f64 {
    outcome.measurements.iter().find(|measurement| measurement.name == name).unwrap_or_else(|| panic!("{name} is not measured")).value
}
