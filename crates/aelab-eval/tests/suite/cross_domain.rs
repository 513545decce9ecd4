//! `cross_domain` on models whose every answer is known.

use crate::common::{Fixed, Setting, Table};
use aelab_core::{Batch, Domain, Noise, Objective, Progress, Pulse, StateError, StepContext, TrainedModel};
use aelab_eval::{EvaluationContext, Memo, Outcome, PictureContent};
use burn::tensor::{Device, Tensor};
use serde_json::json;

/// An example of class `c` is its code with `c` added to each value. The decoder may be worse than that.
#[derive(Debug, Clone)]
struct Shift {
    /// What the decoder loses of a code: 0 for a perfect model, 1 for one that writes the domain alone.
    loss: f32,
    /// Whether the decoder is told the class.
    decodes_class: bool,
    classes: Option<Tensor<2>>,
}

impl TrainedModel for Shift {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        x - self.classes.clone().unwrap()
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        let z = z * (1.0 - self.loss);
        if self.decodes_class { z + self.classes.clone().unwrap() } else { z }
    }

    fn reconstruct(&self, x: Tensor<2>) -> Tensor<2> {
        self.decode(self.encode(x))
    }

    fn conditioned(&self, batch: &Batch) -> Option<Box<dyn TrainedModel>> {
        let classes = Some(batch.labels.clone()?.float().unsqueeze_dim(1));
        Some(Box::new(Self { classes, ..self.clone() }))
    }

    fn decode_logits(&self, _z: Tensor<2>) -> Option<Tensor<2>> {
        None
    }

    fn sample_prior(&self, _num: usize, _noise: &mut dyn Noise, _device: &Device) -> Option<Tensor<2>> {
        None
    }

    fn log_importance_weights(&self, _batch: &Batch, _num_samples: usize, _noise: &mut dyn Noise) -> Option<Tensor<2>> {
        None
    }

    fn corrupted(&self, _x: Tensor<2>, _ctx: &mut StepContext<'_>) -> Option<Tensor<2>> {
        None
    }

    fn objective(&self, _batch: &Batch, _ctx: &mut StepContext<'_>) -> Objective {
        Objective::new()
    }
}

fn shift(loss: f32, decodes_class: bool) -> Shift {
    Shift { loss, decodes_class, classes: None }
}

/// Examples of three classes, `[1, 4, 4]`, values in eighths and so exact.
fn examples() -> Table {
    let values = (0..12 * 16).map(|index| (index * 7 % 8) as f32 / 8.0 + (index / 16 % 3) as f32).collect();
    Table::new(&[1, 4, 4], Domain::Real, values).labelled(3)
}

fn measure(model: &dyn TrainedModel, test: &Table, batch_size: usize, options: serde_json::Value) -> Outcome {
    let device = Device::flex();
    let untrained = |_: u64| -> Result<Box<dyn TrainedModel>, StateError> { unreachable!("nothing is trained here") };
    let context = EvaluationContext {
        model,
        untrained: &untrained,
        train: test,
        valid: test,
        test,
        device: &device,
        batch_size,
        seed: 1,
        code_size: 16,
        progress: Progress::end(1.0, 1),
        cache_dir: None,
        data_checksum: "",
        memo: Memo::default(),
        pulse: &Pulse::default(),
    };
    (aelab_eval::find("cross_domain").unwrap().parse)(options).unwrap().measure(&context).unwrap()
}

fn values(outcome: &Outcome) -> [f64; 3] {
    let names: Vec<&str> = outcome.measurements.iter().map(|measurement| measurement.name.as_str()).collect();
    assert_eq!(names, ["cross_domain_direct_sse", "cross_domain_cycle_sse", "cross_domain_change"]);
    [0, 1, 2].map(|index| outcome.measurements[index].value)
}

#[test]
fn a_model_that_separates_code_and_domain_finds_its_way_back() {
    // Differences of classes: 1, 2 from the first, 1, 1 from the second, 2, 1 from the third.
    let change = 16.0 * (1.0 + 4.0 + 1.0 + 1.0 + 4.0 + 1.0) / 6.0;
    assert_eq!(values(&measure(&shift(0.0, true), &examples(), 5, json!({}))), [0.0, 0.0, change]);
}

#[test]
fn a_model_that_forgets_the_example_returns_to_the_domain_alone() {
    let test = examples();
    let outcome = measure(&shift(1.0, true), &test, 5, json!({}));
    let classes = test.labels.as_deref().unwrap().iter().flat_map(|&class| [class as f32; 16]);
    let error: f64 = test.values.iter().zip(classes).map(|(x, class)| f64::from(x - class).powi(2)).sum::<f64>() / 12.0;
    let [direct, cycle, _] = values(&outcome);
    assert!((direct - error).abs() < 1e-12 && (cycle - error).abs() < 1e-12);
}

#[test]
fn the_way_back_is_measured_in_the_domain_of_the_example() {
    // Half of the code is lost at each decoding: a quarter of it is left in the end.
    let test = examples();
    let [direct, cycle, _] = values(&measure(&shift(0.5, true), &test, 5, json!({})));
    assert!((cycle / direct - (0.75f64 / 0.5).powi(2)).abs() < 1e-12, "{direct} {cycle}");
}

#[test]
fn a_decoder_that_ignores_the_domain_is_told_of() {
    let outcome = measure(&shift(0.0, false), &examples(), 5, json!({}));
    assert_eq!(values(&outcome)[2], 0.0);
    assert!(outcome.warnings[0].contains("alike in all domains"), "{:?}", outcome.warnings);
}

#[test]
fn neither_batches_nor_the_order_of_examples_matter() {
    let test = Table::random(30, &[1, 4, 4], 3).labelled(3);
    let reference = values(&measure(&shift(0.3, true), &test, 30, json!({})));
    let mut reversed = test.clone();
    reversed.values = test.values.chunks(16).rev().flatten().copied().collect();
    reversed.labels = test.labels.clone().map(|labels| labels.into_iter().rev().collect());
    for (test, batch_size) in [(&test, 1), (&test, 7), (&reversed, 30)] {
        let found = values(&measure(&shift(0.3, true), test, batch_size, json!({})));
        assert!(found.iter().zip(reference).all(|(found, reference)| (found - reference).abs() < 1e-10), "{found:?} {reference:?}");
    }
}

#[test]
fn the_picture_shows_each_example_in_every_domain() {
    let test = examples();
    let outcome = measure(&shift(0.0, true), &test, 5, json!({"num_per_domain": 3}));
    let PictureContent::ImageRows { rows, shape: [1, 4, 4], labels } = &outcome.pictures[0].content else { panic!("images") };
    assert_eq!(rows.iter().map(|row| row.caption.as_str()).collect::<Vec<_>>(), ["test image", "as class 0", "as class 1", "as class 2"]);
    assert_eq!(*labels, ["class 0", "class 0", "class 1", "class 1", "class 2", "class 2"]);
    // The second example of the first class is the fourth of the data; as the third class it is two larger.
    assert_eq!(rows[0].values[16..32], test.values[48..64]);
    assert!(rows[3].values[16..32].iter().zip(&test.values[48..64]).all(|(there, x)| (there - x - 2.0).abs() < 1e-6));
    let PictureContent::Heatmap { rows, values, .. } = &outcome.pictures[1].content else { panic!("a heat map") };
    assert_eq!((rows.len(), values), (3, &vec![0.0; 9]));
    assert_eq!(outcome.tables[0].rows.len(), 9);
    assert_eq!(outcome.tables[0].rows[5][..4], [json!(1), json!("class 1"), json!(2), json!("class 2")]);
}

#[test]
fn series_are_shown_and_plain_vectors_are_measured_only() {
    let random = |shape: &[usize]| Table::random(12, shape, 3).labelled(2);
    let series = measure(&shift(0.1, true), &random(&[8, 2]), 5, json!({}));
    assert!(matches!(&series.pictures[0].content, PictureContent::SeriesRows { rows, .. } if rows.len() == 3));
    let vectors = measure(&shift(0.1, true), &random(&[16]), 5, json!({}));
    assert_eq!((vectors.pictures.len(), vectors.measurements.len()), (1, 3));
}

#[test]
fn where_there_is_no_other_domain_there_is_a_warning() {
    let warning = |model: &dyn TrainedModel, test: &Table| {
        let outcome = measure(model, test, 5, json!({}));
        assert!(outcome.measurements.is_empty() && outcome.pictures.is_empty() && outcome.tables.is_empty());
        outcome.warnings.concat()
    };
    let model = shift(0.0, true);
    assert!(warning(&model, &Table { labels: None, ..examples() }).contains("no classes"));
    assert!(warning(&model, &examples().labelled(1)).contains("a single class"));
    assert!(warning(&model, &Table { num_observed: Some(3), ..examples() }).contains("missing"));
    assert!(warning(&Fixed::new(1.0, 16, 16), &examples()).contains("does not condition on the class"));
    assert!(warning(&Fixed { num_features: 16, ..Fixed::new(1.0, 16, 16) }, &examples()).contains("multi_decoder"));
}

#[test]
fn a_split_without_examples_and_a_limit_of_none_are_refused() {
    let mut setting = Setting::new(Fixed::new(1.0, 2, 16), examples(), examples());
    setting.test.values.clear();
    setting.test.labels = Some(Vec::new());
    assert!(setting.measure("cross_domain").is_err());
    let error = (aelab_eval::find("cross_domain").unwrap().parse)(json!({"num_per_domain": 0})).unwrap_err();
    assert_eq!(error.path, "num_per_domain");
}
