//! `sparsity` against NumPy and scikit-learn (values by scripts/reference/derivatives.py) and on codes that are known.

use aelab_core::{Batch, DataSpec, Domain, Examples, Noise, Objective, StepContext, Stream, TrainedModel};
use aelab_eval::{Outcome, PictureContent, hoyer_sparseness, max_cosines, mean_max_cosine, treves_rolls_sparseness};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use crate::common::{Fixed, Setting, Table};
use crate::learned::{Data, measure, value};

#[derive(Deserialize)]
struct Golden {
    codes: Vec<Code>,
    size: usize,
    #[serde(rename = "true")]
    atoms: Vec<f32>,
    dictionaries: Vec<Dictionary>,
}

#[derive(Deserialize)]
struct Code {
    code: Vec<f32>,
    hoyer: f64,
    treves_rolls: f64,
}

#[derive(Deserialize)]
struct Dictionary {
    name: String,
    learned: Vec<f32>,
    mmcs: f64,
    mmcs_learned: f64,
    recovered: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/sparsity.json")).unwrap()
}

#[test]
fn sparseness_of_a_code_equals_the_formulas_of_the_papers() {
    let golden = golden();
    assert_eq!(golden.codes.len(), 5);
    for Code { code, hoyer, treves_rolls } in golden.codes {
        let (found_hoyer, found_treves_rolls) = (hoyer_sparseness(&code).unwrap(), treves_rolls_sparseness(&code).unwrap());
        assert!((found_hoyer - hoyer).abs() < 1e-12, "{code:?}: {found_hoyer}, NumPy {hoyer}");
        assert!((found_treves_rolls - treves_rolls).abs() < 1e-12, "{code:?}: {found_treves_rolls}, NumPy {treves_rolls}");
    }
    for nothing in [&[][..], &[1.0], &[0.0, 0.0]] {
        assert_eq!((hoyer_sparseness(nothing), treves_rolls_sparseness(nothing)), (None, None));
    }
}

#[test]
fn max_cosines_equal_scikit_learn() {
    let Golden { size, atoms, dictionaries, .. } = golden();
    assert_eq!(dictionaries.len(), 7);
    for Dictionary { name, learned, mmcs, mmcs_learned, recovered } in dictionaries {
        assert!((mean_max_cosine(&atoms, &learned, size) - mmcs).abs() < 1e-12, "{name}");
        assert!((mean_max_cosine(&learned, &atoms, size) - mmcs_learned).abs() < 1e-12, "{name}");
        let share = max_cosines(&atoms, &learned, size).iter().filter(|&&cosine| cosine > 0.9).count() as f64 / 6.0;
        assert!((100.0 * share - recovered).abs() < 1e-9, "{name}");
    }
}

/// Decodes to sums of its atoms; the code of an example is what the atoms say of it, where that is positive.
#[derive(Clone)]
struct Sums {
    atoms: Vec<f32>,
    size: usize,
    bends: bool,
}

impl Sums {
    fn atoms(&self) -> Tensor<2> {
        Tensor::from_data(TensorData::new(self.atoms.clone(), [self.atoms.len() / self.size, self.size]), &Device::flex())
    }
}

impl TrainedModel for Sums {
    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        relu(x.matmul(self.atoms().transpose()))
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        let sum = z.matmul(self.atoms()) + 0.25;
        if self.bends { sum.tanh() } else { sum }
    }

    fn decode_logits(&self, _z: Tensor<2>) -> Option<Tensor<2>> {
        None
    }

    fn reconstruct(&self, x: Tensor<2>) -> Tensor<2> {
        self.decode(self.encode(x))
    }

    fn sample_prior(&self, _num: usize, _noise: &mut dyn Noise, _device: &Device) -> Option<Tensor<2>> {
        None
    }

    fn corrupted(&self, _x: Tensor<2>, _ctx: &mut StepContext<'_>) -> Option<Tensor<2>> {
        None
    }

    fn objective(&self, _batch: &Batch, _ctx: &mut StepContext<'_>) -> Objective {
        Objective::new()
    }
}

/// Examples that were made of known atoms.
struct Made(Table, Vec<f32>);

impl Examples for Made {
    fn spec(&self) -> &DataSpec {
        self.0.spec()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn gather(&self, indices: &[usize], stream: &mut Stream, out: &mut Vec<f32>) {
        self.0.gather(indices, stream, out);
    }

    fn dictionary(&self) -> Option<&[f32]> {
        Some(&self.1)
    }

    fn labels(&self) -> Option<&[u32]> {
        None
    }
}

fn sparsity_of(learned: &[f32], bends: bool, atoms: &[f32]) -> Outcome {
    let examples = Made(Table::new(&[5], Domain::Real, Table::random(20, &[5], 1).values), atoms.to_vec());
    let model = Sums { atoms: learned.to_vec(), size: 5, bends };
    let data = Data { train: &examples, valid: &examples, test: &examples };
    measure("sparsity", json!({}), &model, &|_| unreachable!("nothing untrained is measured"), &data, (6, 1)).unwrap()
}

#[test]
fn atoms_of_a_linear_decoder_are_compared_with_the_true_ones_and_others_are_refused() {
    let Golden { atoms, dictionaries, .. } = golden();
    for Dictionary { name, learned, mmcs, recovered, .. } in dictionaries {
        let outcome = sparsity_of(&learned, false, &atoms);
        // The bias of the decoder costs a few bits of single precision.
        assert!((value(&outcome, "mmcs").unwrap() - mmcs).abs() < 1e-6, "{name}: {:?}, scikit-learn {mmcs}", value(&outcome, "mmcs"));
        assert!((value(&outcome, "recovered_atoms").unwrap() - recovered).abs() < 1e-9, "{name}");
    }
    let outcome = sparsity_of(&atoms, true, &atoms);
    assert_eq!((value(&outcome, "mmcs"), outcome.warnings.len()), (None, 1));
}

#[test]
fn a_dead_model_has_no_atoms_where_its_decoder_is_not_linear() {
    let Golden { atoms, .. } = golden();
    // Codes of positive examples with negative atoms are all 0.
    let negative: Vec<f32> = atoms.iter().map(|value| -value.abs()).collect();
    let outcome = sparsity_of(&negative, true, &atoms);
    assert_eq!((value(&outcome, "dead_units"), value(&outcome, "mmcs")), (Some(100.0), None));
    assert!(outcome.warnings[0].contains("not linear"), "{:?}", outcome.warnings);
    assert!(value(&sparsity_of(&negative, false, &atoms), "mmcs").is_some());
}

#[test]
fn the_linearity_of_a_decoder_does_not_depend_on_its_scale() {
    let Golden { atoms, .. } = golden();
    for scale in [1e-5f32, 1.0, 1e5] {
        let scaled: Vec<f32> = atoms.iter().map(|value| value * scale).collect();
        assert!(value(&sparsity_of(&scaled, false, &atoms), "mmcs").is_some(), "{scale}");
    }
}

#[test]
fn units_are_counted_from_1() {
    let setting = Setting::new(Fixed::new(0.5, 3, 12), Table::random(40, &[1, 3, 4], 1), Table::random(30, &[1, 3, 4], 2));
    let outcome = setting.measure("sparsity").unwrap();
    assert_eq!(outcome.tables[0].rows.iter().map(|row| row[0].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    let PictureContent::ImageRows { rows, .. } = &outcome.pictures[1].content else { panic!("rows of images") };
    let mut captions: Vec<&str> = rows.iter().map(|row| &row.caption[..6]).collect();
    captions.sort_unstable();
    assert_eq!(captions, ["unit 1", "unit 2", "unit 3"]);
}

#[test]
fn permuted_atoms_are_all_recovered_turned_ones_are_not_and_random_ones_hardly() {
    let Golden { atoms, .. } = golden();
    let of = |learned: &[f32]| {
        let outcome = sparsity_of(learned, false, &atoms);
        ["mmcs", "mmcs_learned", "recovered_atoms"].map(|name| value(&outcome, name).unwrap())
    };
    let permuted: Vec<f32> = atoms.chunks(5).rev().flatten().map(|value| 3.0 * value).collect();
    for perfect in [of(&atoms), of(&permuted)] {
        assert!((perfect[0] - 1.0).abs() < 1e-6 && (perfect[1] - 1.0).abs() < 1e-6 && perfect[2] == 100.0, "{perfect:?}");
    }
    let turned: Vec<f32> = atoms.iter().map(|value| -value).collect();
    assert!(of(&turned)[0] < 0.9 && of(&turned)[2] < 100.0);
    let random: Vec<f32> = Table::random(6, &[5], 77).values.iter().map(|value| value - 0.5).collect();
    assert!(of(&random)[0] < 0.9, "{:?}", of(&random));
}

#[test]
fn codes_are_counted_and_what_they_leave_unexplained_is_measured() {
    // Values from 0 to 1: all units are active; the first feature of the others is set to 0.
    let mut setting = Setting::new(Fixed::new(0.5, 3, 12), Table::random(40, &[1, 3, 4], 1), Table::random(30, &[1, 3, 4], 2));
    setting.test.values.chunks_mut(12).for_each(|row| row[0] = 0.0);
    let values = setting.values("sparsity");
    assert!((values["code_l0"] - 2.0).abs() < 1e-12 && (values["dead_units"] - 100.0 / 3.0).abs() < 1e-12, "{values:?}");
    let mean = |feature: usize| setting.train.values.iter().skip(feature).step_by(12).map(|&x| f64::from(x)).sum::<f64>() / 40.0;
    let (mut error, mut variance) = (0.0, 0.0);
    for (index, &x) in setting.test.values.iter().enumerate() {
        error += (f64::from(x) - f64::from(x * 0.5)).powi(2);
        variance += (f64::from(x) - mean(index % 12)).powi(2);
    }
    assert!((values["fvu"] - error / variance).abs() < 1e-12);
    let outcome = setting.measure("sparsity").unwrap();
    let pictures: Vec<&str> = outcome.pictures.iter().map(|picture| picture.name.as_str()).collect();
    assert_eq!(pictures, ["unit_activity", "unit_examples"]);
    let PictureContent::ImageRows { rows, .. } = &outcome.pictures[1].content else { panic!("rows of images") };
    // The second unit is the second feature: its first image is the one where that is largest.
    let largest = setting.test.values.chunks(12).map(|row| row[1]).fold(0.0, f32::max);
    assert_eq!((rows.len(), rows[0].values[1], rows[0].values.len()), (2, largest, 10 * 12));
    setting.model.scale = 1.0;
    assert_eq!(setting.values("sparsity")["fvu"], 0.0);
}

#[test]
fn equal_examples_have_no_variance_and_codes_of_zeros_no_sparseness() {
    let zeros = || Table::new(&[4], Domain::Real, vec![0.0; 20]);
    let outcome = Setting::new(Fixed::new(1.0, 3, 4), zeros(), zeros()).measure("sparsity").unwrap();
    let names: Vec<&str> = outcome.measurements.iter().map(|found| found.name.as_str()).collect();
    assert_eq!((names, outcome.warnings.len()), (vec!["code_l0", "dead_units"], 1));
    assert_eq!((value(&outcome, "code_l0"), value(&outcome, "dead_units")), (Some(0.0), Some(100.0)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn neither_order_nor_batches_nor_scale_matter(num in 2usize..30, batch_size in 1usize..40, rotation in 0usize..30, scale in 0.1f32..10.0) {
        let mut setting = Setting::new(Fixed::new(0.7, 5, 12), Table::random(30, &[12], 4), Table::random(num, &[12], 5));
        let reference = setting.values("sparsity");
        setting.batch_size = batch_size;
        setting.test.values.rotate_left(12 * (rotation % num));
        for (name, found) in setting.values("sparsity") {
            prop_assert!((found - reference[&name]).abs() <= 1e-12 * (1.0 + found.abs()), "{}", name);
        }
        let row = &setting.test.values[..12];
        let scaled: Vec<f32> = row.iter().map(|value| value * scale).collect();
        prop_assert!((hoyer_sparseness(row).unwrap() - hoyer_sparseness(&scaled).unwrap()).abs() < 1e-6);
        prop_assert!((treves_rolls_sparseness(row).unwrap() - treves_rolls_sparseness(&scaled).unwrap()).abs() < 1e-6);
    }
}
