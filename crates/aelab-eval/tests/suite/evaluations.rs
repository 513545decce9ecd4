//! The evaluations on models whose every answer is known.

use crate::common::{Fixed, Setting, Table};
use aelab_core::{DataSpec, Domain, Factors, Purpose, stream};
use aelab_eval::{EVALUATIONS, EvaluationError, Moments, Outcome, PictureContent, bce, mae, metrics, mse, psnr, sse, ssim};
use proptest::prelude::*;
use serde_json::json;

const IMAGE: [usize; 3] = [1, 12, 12];

fn images(model: Fixed) -> Setting {
    let split = |num: usize, seed| {
        let mut table = Table::random(num, &IMAGE, seed).labelled(10);
        let indices = (0..num as u32).flat_map(|index| [index % 2, index / 2 % 3]).collect();
        table.factors = Some(Factors { names: vec!["shape".to_owned(), "size".to_owned()], sizes: vec![2, 3], indices });
        table
    };
    Setting::new(model, split(60, 1), split(33, 2))
}

fn variational(code_size: usize) -> Fixed {
    Fixed { variational: true, ..Fixed::new(0.9, code_size, 144) }
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-12 * (1.0 + expected.abs())
}

#[test]
fn reconstruction_measures_every_metric_of_the_reconstruction() {
    let setting = images(variational(3));
    let x = &setting.test.values;
    let reconstruction: Vec<f32> = x.iter().map(|x| x * 0.9).collect();
    let values = setting.values("reconstruction");
    assert_eq!(values.len(), 6);
    assert!(close(values["sse"], sse(x, &reconstruction, 144)));
    assert!(close(values["mse"], mse(x, &reconstruction, 144)));
    assert!(close(values["mae"], mae(x, &reconstruction, 144)));
    assert!(close(values["psnr"], psnr(mse(x, &reconstruction, 144))));
    assert!(close(values["ssim"], ssim(x, &reconstruction, IMAGE).unwrap()));
    assert!(close(values["bce"], bce(x, &vec![0.5; x.len()], 144)));
}

#[test]
fn a_perfect_reconstruction_has_no_error_and_no_infinite_ratio() {
    let values = images(Fixed::new(1.0, 2, 144)).values("reconstruction");
    assert_eq!((values["sse"], values["mse"], values["mae"]), (0.0, 0.0, 0.0));
    assert!(close(values["ssim"], 1.0));
    assert!(!values.contains_key("psnr") && !values.contains_key("bce"));
}

#[test]
fn ratios_and_similarity_are_for_data_between_zero_and_one() {
    let mut setting = images(variational(2));
    setting.test.spec.domain = Domain::Real;
    for (evaluation, expected) in [
        ("reconstruction", vec!["mae", "mse", "sse"]),
        ("mean_baseline", vec!["mean_mse", "mean_sse"]),
        ("pca_baseline", vec!["pca_mse", "pca_sse"]),
    ] {
        assert_eq!(setting.values(evaluation).into_keys().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_mean_baseline_is_the_training_mean() {
    let setting = images(Fixed::new(1.0, 2, 144));
    let num = setting.train.values.len() / 144;
    let mean: Vec<f64> = (0..144)
        .map(|feature| setting.train.values.iter().skip(feature).step_by(144).map(|&x| f64::from(x)).sum::<f64>() / num as f64)
        .collect();
    let x = &setting.test.values;
    let constant: Vec<f64> = mean.iter().copied().cycle().take(x.len()).collect();
    let logits: Vec<f32> = constant.iter().map(|p| (p / (1.0 - p)).ln() as f32).collect();
    let values = setting.values("mean_baseline");
    assert_eq!(values.len(), 5);
    assert!(close(values["mean_sse"], sse(x, &constant, 144)));
    assert!(close(values["mean_mse"], values["mean_sse"] / 144.0));
    assert!(close(values["mean_psnr"], psnr(values["mean_mse"])));
    assert!(close(values["mean_ssim"], ssim(x, &constant, IMAGE).unwrap()));
    assert!((values["mean_bce"] - bce(x, &logits, 144)).abs() < 1e-4);
}

#[test]
fn a_pixel_that_was_always_black_costs_finitely_much_when_it_is_not() {
    let train = Table::new(&[2], Domain::UnitInterval, vec![0.0, 0.5, 0.0, 0.5]);
    let test = Table::new(&[2], Domain::UnitInterval, vec![1.0, 0.5]);
    let values = Setting::new(Fixed::new(1.0, 1, 2), train, test).values("mean_baseline");
    // Two examples: the probability is moved to 1 / (2 + 2).
    assert!(close(values["mean_bce"], 4f64.ln() + 2f64.ln()));
}

#[test]
fn the_objective_is_averaged_over_examples_with_its_own_names_and_an_elbo() {
    let setting = images(variational(2));
    let values = setting.values("objective");
    let nll = setting.test.values.iter().map(|&x| f64::from(x)).sum::<f64>() / 33.0;
    assert!((values["nll"] - nll).abs() < 1e-4);
    assert!((values["kl"] - 3.0).abs() < 1.0);
    assert!(close(values["elbo"], -(values["nll"] + values["kl"])));
    assert!(close(values["loss"], values["nll"] + 0.5 * values["kl"]));

    let values = images(Fixed::new(1.0, 2, 144)).values("objective");
    assert_eq!(values.into_keys().collect::<Vec<_>>(), ["loss", "squared_error"]);
}

#[test]
fn noise_is_the_same_whenever_the_seed_is() {
    let mut setting = images(variational(2));
    let first = setting.values("objective")["kl"];
    assert_eq!(setting.values("objective")["kl"], first);
    setting.seed = 2;
    assert_ne!(setting.values("objective")["kl"], first);
}

/// What the pictures show.
fn contents(outcome: &Outcome) -> Vec<PictureContent> {
    outcome.pictures.iter().map(|picture| picture.content.clone()).collect()
}

#[test]
fn pictures_show_two_images_of_each_class_with_pca() {
    let outcome = images(Fixed { corrupting: true, ..Fixed::new(0.5, 4, 144) }).measure("reconstruction").unwrap();
    let [PictureContent::ImageRows { rows, shape, labels }, ..] = &contents(&outcome)[..] else { panic!("images first") };
    let expected: Vec<String> = (0..10).flat_map(|class| [class.to_string(), class.to_string()]).collect();
    assert_eq!((labels, *shape), (&expected, IMAGE));
    let captions: Vec<&str> = rows.iter().map(|row| row.caption.as_str()).collect();
    assert_eq!(captions, ["test image", "corrupted", "reconstruction", "PCA, 4 components"]);
    assert!(rows.iter().all(|row| row.values.len() == 20 * 144));
    // What is reconstructed is what the model was shown: zeros.
    assert!(rows[1].values.iter().chain(&rows[2].values).all(|&value| value == 0.0));
}

#[test]
fn the_row_of_pca_can_be_left_out() {
    let evaluation = (aelab_eval::find("reconstruction").unwrap().parse)(json!({"pca": false})).unwrap();
    assert_eq!(evaluation.resolved(), json!({"pca": false}));
}

#[test]
fn codes_are_shown_where_they_are_two_dimensional() {
    let setting = images(Fixed::new(1.0, 2, 144));
    let outcome = setting.measure("latent_scatter").unwrap();
    let [PictureContent::Scatter { points, labels, class_names, .. }] = &contents(&outcome)[..] else { panic!("one picture") };
    assert_eq!(points.len(), 33);
    assert_eq!(points[5], [setting.test.values[5 * 144], setting.test.values[5 * 144 + 1]]);
    assert_eq!(labels.as_ref(), setting.test.labels.as_ref());
    assert_eq!(class_names.as_ref().unwrap().len(), 10);
    assert!(images(Fixed::new(1.0, 3, 144)).measure("latent_scatter").unwrap().pictures.is_empty());
}

#[test]
fn samples_come_from_the_prior_where_there_is_one() {
    let outcome = images(variational(2)).measure("samples").unwrap();
    assert_eq!(contents(&outcome), [PictureContent::ImageGrid { images: vec![0.5; 64 * 144], shape: IMAGE, columns: None }]);
    assert!(images(Fixed::new(1.0, 2, 144)).measure("samples").unwrap().pictures.is_empty());
}

#[test]
fn a_model_that_wants_to_know_classes_is_told_them_where_nothing_is_measured_against_them() {
    let model = Fixed { adds_class: true, ..variational(2) };
    let setting = images(model);
    let outcome = setting.measure("samples").unwrap();
    let [PictureContent::ImageGrid { images: samples, columns: Some(10), .. }] = &contents(&outcome)[..] else {
        panic!("one picture in columns")
    };
    let firsts: Vec<f32> = samples.chunks(144).map(|image| image[0]).collect();
    let expected: Vec<f32> = (0..60).map(|index| 0.5 + (index % 10) as f32).collect();
    assert_eq!(firsts, expected);
    let x = &setting.test.values;
    let reconstruction: Vec<f32> = x.iter().enumerate().map(|(index, x)| x * 0.9 + (index / 144 % 10) as f32).collect();
    assert!(close(setting.values("reconstruction")["sse"], sse(x, &reconstruction, 144)));
    let outcome = setting.measure("latent_scatter").unwrap();
    let [PictureContent::Scatter { points, .. }] = &contents(&outcome)[..] else { panic!("one picture") };
    // Its codes are looked at by class, and so are not.
    assert_eq!(points[13][0], x[13 * 144]);
}

#[test]
fn what_is_held_out_is_predicted_from_what_is_shown() {
    let x = vec![1.0, 2.0, 0.0, 4.0, 0.0, 0.0];
    let mut setting = Setting::new(Fixed::new(1.5, 1, 3), Table::random(4, &[3], 1), Table::new(&[3], Domain::Real, x));
    assert!(setting.values("recommendation").is_empty());
    assert_eq!(setting.measure("recommendation").unwrap().warnings.len(), 1);
    // The model predicts 1.5 times what is shown: 0 for what is hidden. Three values are held out of two rows.
    setting.test.held_out = Some((vec![0.0, 0.0, 3.0, 0.0, 1.0, 2.0], vec![0.0, 0.0, 1.0, 0.0, 1.0, 1.0]));
    for batch_size in [1, 7] {
        setting.batch_size = batch_size;
        let values = setting.values("recommendation");
        assert!(close(values["held_out_rmse"], (14.0f64 / 3.0).sqrt()) && close(values["held_out_mae"], 2.0), "{values:?}");
    }
    // Choices: what is shown is not ranked, and ties stand in the order of the items.
    setting.test = Table::new(&[3], Domain::Binary, vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    setting.test.held_out = Some((vec![0.0, 1.0, 0.0, 0.0, 0.0, 1.0], vec![0.0, 1.0, 0.0, 0.0, 0.0, 1.0]));
    let values = setting.values("recommendation");
    // Found at the first place in one row and at the second in the other.
    assert!(close(values["ndcg@100"], (1.0 + 1.0 / 3f64.log2()) / 2.0) && values["recall@20"] == 1.0, "{values:?}");
}

#[test]
fn series_are_pictured_as_far_as_they_go() {
    let mut setting = Setting::new(Fixed::new(0.9, 2, 8), Table::random(20, &[4, 2], 1), Table::random(5, &[4, 2], 2).labelled(2));
    let x = setting.test.values.clone();
    let outcome = setting.measure("sequence").unwrap();
    let [PictureContent::SeriesRows { rows, shape: [4, 2], labels }] = &contents(&outcome)[..] else { panic!("one picture") };
    // Two of each class.
    assert_eq!(*labels, ["class 0", "class 0", "class 1", "class 1"]);
    assert_eq!(rows[0].values[8..16], x[16..24]);
    assert_eq!((rows[1].values[8], rows[2].values.len()), (x[16] * 0.9, 32));
    setting.test.num_observed = Some(6);
    setting.model.variational = true;
    let outcome = setting.measure("sequence").unwrap();
    let [PictureContent::SeriesRows { rows, .. }, PictureContent::SeriesRows { rows: samples, shape: [4, 2], .. }] =
        &contents(&outcome)[..]
    else {
        panic!("two pictures")
    };
    let missing: Vec<usize> = (0..8).filter(|&index| rows[0].values[index].is_nan()).collect();
    assert_eq!((missing, rows.len(), samples[0].values.len()), (vec![6, 7], 2, 12 * 8));
}

/// Eight features of which the first five are observed, in numbers that show whether the others count.
fn partly_observed() -> Setting {
    let table = |num, seed| {
        let mut table = Table::random(num, &[8], seed).labelled(2);
        table.values.chunks_mut(8).for_each(|row| row[5..].fill(0.0));
        table.num_observed = Some(5);
        table
    };
    Setting::new(Fixed::new(0.9, 2, 8), table(40, 1), table(30, 2))
}

#[test]
fn baselines_of_partly_observed_data_are_those_of_what_was_observed() {
    let setting = partly_observed();
    // The same data without the features that are never there.
    let observed = |table: &Table| {
        let values = table.values.chunks(8).flat_map(|row| &row[..5]).copied().collect();
        Table { labels: table.labels.clone(), ..Table::new(&[5], Domain::UnitInterval, values) }
    };
    let whole = Setting::new(Fixed::new(0.9, 2, 5), observed(&setting.train), observed(&setting.test));
    for name in ["mean_baseline", "sparsity"] {
        let (of_part, of_whole) = (setting.values(name), whole.values(name));
        for metric in ["mean_sse", "mean_mse", "mean_bce", "mean_psnr", "fvu"].iter().filter(|metric| of_whole.contains_key(**metric)) {
            assert!(close(of_part[*metric], of_whole[*metric]), "{metric}: {} instead of {}", of_part[*metric], of_whole[*metric]);
        }
    }
    assert!(whole.values("mean_baseline").contains_key("mean_bce") && whole.values("sparsity").contains_key("fvu"));
}

#[test]
fn moments_are_those_of_observed_values_and_a_feature_that_never_is_has_those_of_all() {
    let mut table = Table::new(&[3], Domain::Real, vec![1.0, 3.0, 99.0, 2.0, 6.0, 99.0]);
    table.num_observed = Some(2);
    let moments = Moments::of(&table, stream(1, Purpose::Evaluation, 0, 0)).unwrap();
    assert_eq!((moments.mean, moments.num_observed), (vec![1.5, 4.5, 3.0], vec![2, 2, 0]));
    assert_eq!(moments.mean_square, [2.5, 22.5, 12.5]);
}

#[test]
fn there_is_no_pca_of_data_with_missing_values_and_a_warning_says_so() {
    let setting = partly_observed();
    for name in ["pca_baseline", "reconstruction", "dimension_reduction"] {
        let outcome = setting.measure(name).unwrap();
        assert!(outcome.measurements.iter().all(|found| !found.name.starts_with("pca_")), "{name}");
        assert!(
            outcome.warnings.iter().any(|warning| warning.contains("PCA") && warning.contains("missing")),
            "{name}: {:?}",
            outcome.warnings
        );
        assert!(outcome.tables.iter().all(|table| !table.columns.contains(&"pca_sse".to_owned())), "{name}");
    }
    assert!(setting.measure_with("reconstruction", json!({"pca": false})).unwrap().warnings.is_empty());
}

#[test]
fn evaluations_that_a_model_has_nothing_for_say_why_to_who_asks() {
    let setting = images(Fixed::new(0.9, 8, 144));
    for (name, why) in [("log_likelihood", "no likelihood"), ("samples", "no prior"), ("latent_scatter", "8 dimensions")] {
        let outcome = setting.measure(name).unwrap();
        assert!(outcome.measurements.is_empty() && outcome.pictures.is_empty() && outcome.warnings.is_empty());
        let nothing = outcome.nothing.unwrap();
        assert!(nothing.contains(why) && nothing.contains(name), "{nothing}");
    }
    assert_eq!(images(variational(2)).measure("samples").unwrap().nothing, None);
}

#[test]
fn what_of_an_evaluation_does_not_fit_the_data_is_said_with_the_right_reason() {
    let complaints = |name: &str, options, data: &DataSpec| (aelab_eval::find(name).unwrap().parse)(options).unwrap().complaints(data);
    let image = DataSpec::new([1, 12, 12], Domain::UnitInterval);
    let found = complaints("inpainting", json!({"holes": [{"center": {"side": 20}}, {"random": {"rate": 0.5}}]}), &image);
    assert!(found.len() == 1 && found[0].contains("side 20 does not fit into an image of 12 x 12"), "{found:?}");
    assert_eq!(complaints("inpainting", json!({}), &image), Vec::<String>::new());
    assert!(complaints("retrieval", json!({}), &image)[0].contains("two classes"));
    assert!(complaints("sequence", json!({}), &image)[0].contains("series"));
}

#[test]
fn only_what_was_observed_counts() {
    let mut setting = images(variational(2));
    let x = setting.test.values.clone();
    // The first half of every image is there.
    setting.test.num_observed = Some(72);
    let seen: Vec<f32> = x.chunks(144).flat_map(|x| &x[..72]).copied().collect();
    let reconstruction: Vec<f32> = seen.iter().map(|x| x * 0.9).collect();
    let values = setting.values("reconstruction");
    assert!(close(values["sse"], sse(&seen, &reconstruction, 72)));
    assert!(close(values["mse"], mse(&seen, &reconstruction, 72)));
    assert!(close(values["mae"], mae(&seen, &reconstruction, 72)));
    assert!(close(values["bce"], bce(&seen, &vec![0.5; seen.len()], 72)));
    let masked = |setting: &Setting| setting.values("objective")["observed"];
    assert_eq!(masked(&setting), 72.0);
    let means = setting.values("mean_baseline");
    assert!(close(means["mean_mse"], means["mean_sse"] / 72.0));
}

#[test]
fn the_likelihood_is_that_of_weights_whose_mean_is_known() {
    let mut setting = images(variational(2));
    // Weights exp(noise): log E[w] = 1/2, E[log w] = 0.
    let measure = |setting: &Setting, options| {
        let evaluation = (aelab_eval::find("log_likelihood").unwrap().parse)(options).unwrap();
        setting.with_context(|context| evaluation.measure(context)).unwrap().measurements
    };
    let values = measure(&setting, json!({"num_samples": 2000, "limit": 20}));
    let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
    assert_eq!(names, ["log_likelihood", "log_likelihood_1", "log_likelihood_5", "log_likelihood_50", "effective_samples"]);
    assert!((values[0].value - 0.5).abs() < 0.03, "{values:?}");
    assert!(values[1].value.abs() < 0.03, "{values:?}");
    assert!(values[1].value < values[2].value && values[2].value < values[3].value && values[3].value < values[0].value, "{values:?}");
    // E[w]^2 / E[w^2] = exp(1) / exp(2).
    assert!((values[4].value / 2000.0 - (-1f64).exp()).abs() < 0.05, "{values:?}");
    setting.batch_size = 3;
    assert_eq!(measure(&setting, json!({"num_samples": 2000, "limit": 20})), values);
    assert!(images(Fixed::new(1.0, 2, 144)).values("log_likelihood").is_empty());
}

#[test]
fn whatever_is_measured_is_listed_and_announced() {
    for model in [variational(2), Fixed::new(0.5, 2, 144)] {
        let setting = images(model);
        for entry in EVALUATIONS {
            let evaluation = (entry.parse)(json!({})).unwrap();
            let announced = evaluation.metric_names(&setting.test.spec);
            let measured = setting.measure(entry.name).unwrap().measurements;
            for measurement in &measured {
                let name = measurement.name.split('@').next().unwrap();
                let info = metrics().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name} is not listed"));
                assert_eq!((measurement.unit, measurement.direction, measurement.version), (info.unit, info.direction, info.version));
                assert!(entry.name == "objective" || announced.contains(&measurement.name), "{}", measurement.name);
            }
            for name in announced {
                assert!(
                    name == "bce"
                        // There are 60 training examples.
                        || name.ends_with("_precision@100")
                        // Neither of these models is told the class.
                        || entry.name == "cross_domain"
                        // Nothing is held out of these images.
                        || entry.name == "recommendation"
                        // These models have no tape, these data no known atoms.
                        || ["fine_tune", "jacobian"].contains(&entry.name)
                        || ["mmcs", "mmcs_learned", "recovered_atoms"].contains(&name.as_str())
                        || (name.starts_with("cop") && !setting.model.variational)
                        // No class of these images is called normal; tests/suite/anomaly.rs calls one so.
                        || entry.name == "anomaly"
                        || (entry.name == "log_likelihood" && !setting.model.variational)
                        // Nothing is drawn from a model without a prior.
                        || (!setting.model.variational && (name.starts_with("sample_") || name == "frechet_distance" || name == "mode_coverage"))
                        || measured.iter().any(|measurement| measurement.name == name),
                    "{name} is announced and not measured"
                );
            }
        }
    }
}

#[test]
fn a_shared_cache_gives_the_same_numbers_and_knows_other_data() {
    // The mean is kept as what was measured of it, PCA also by itself.
    for (baseline, num_files) in [("mean_baseline", 1), ("pca_baseline", 2)] {
        let folder = tempfile::tempdir().unwrap();
        let num_stored = || std::fs::read_dir(folder.path()).unwrap().count();
        let mut setting = images(Fixed::new(1.0, 5, 144));
        let fresh = setting.values(baseline);
        setting.cache = Some(folder.path().to_owned());
        assert_eq!(setting.values(baseline), fresh);
        assert_eq!(setting.values(baseline), fresh);
        assert_eq!(num_stored(), num_files);
        // Other splits of the data have the same checksum.
        let train = setting.train.values.clone();
        setting.train.values.truncate(50 * 144);
        let of_fewer = setting.values(baseline);
        assert_ne!(of_fewer, fresh);
        assert_eq!(num_stored(), 2 * num_files);
        setting.train.values = train;
        let num = setting.test.values.len();
        setting.test.values.truncate(num - 144);
        let of_other_test = setting.values(baseline);
        assert!(of_other_test != fresh && of_other_test != of_fewer);
        assert_eq!(num_stored(), 2 * num_files + 1, "the same PCA, measured on other examples");
        setting.cache = None;
        assert_eq!(setting.values(baseline), of_other_test);
    }
}

#[test]
fn what_a_baseline_reaches_is_measured_once_for_all_trials_of_a_code_size() {
    let folder = tempfile::tempdir().unwrap();
    let setting = |code_size| Setting { cache: Some(folder.path().to_owned()), ..images(Fixed::new(1.0, code_size, 144)) };
    let fresh = setting(5).values("pca_baseline");
    let stored =
        || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().unwrap() == "json");
    // A mark that would not be there if it were measured again.
    let path = stored().next().unwrap();
    let marked = std::fs::read_to_string(&path).unwrap().replace(&format!("{}", fresh["pca_sse"]), "12.5");
    std::fs::write(&path, &marked).unwrap();
    assert_eq!(setting(5).values("pca_baseline")["pca_sse"], 12.5);
    assert_ne!(setting(6).values("pca_baseline")["pca_sse"], 12.5);
    assert_eq!(stored().count(), 2);
    // Half of a file is as good as none.
    std::fs::write(&path, &marked[..marked.len() / 2]).unwrap();
    assert_eq!(setting(5).values("pca_baseline"), fresh);
}

#[test]
fn data_drawn_anew_at_each_access_are_the_same_for_every_evaluation_of_a_seed() {
    let mut setting = images(variational(2));
    for table in [&mut setting.train, &mut setting.test] {
        table.binarised = true;
        table.spec.domain = Domain::Binary;
    }
    setting.model.scale = 0.0;
    // Reconstructing zeros, the squared error of a binary example is the number of its ones: the `nll` here.
    let first = setting.values("reconstruction")["sse"];
    assert!((first - setting.values("objective")["nll"]).abs() < 1e-4);
    setting.batch_size = 33;
    assert_eq!(setting.values("reconstruction")["sse"], first);
    setting.seed = 2;
    assert_ne!(setting.values("reconstruction")["sse"], first);
}

#[test]
fn a_model_that_breaks_or_diverges_is_a_clear_error() {
    let mut setting = images(Fixed::new(f32::NAN, 2, 144));
    let error = setting.measure("reconstruction").unwrap_err();
    assert!(matches!(&error, EvaluationError::NonFinite { metric, .. } if metric == "sse"), "{error}");
    setting.model.scale = 1.0;
    setting.model.num_features = 100;
    setting.model.variational = true;
    assert_eq!(
        setting.measure("reconstruction").unwrap_err(),
        EvaluationError::Shape { what: "logits", expected: [7, 144], found: [7, 100] }
    );
    setting.test.values.clear();
    for name in ["reconstruction", "objective", "log_likelihood", "mean_baseline", "pca_baseline", "latent_scatter"] {
        assert!(matches!(setting.measure(name).unwrap_err(), EvaluationError::EmptySplit { split: "test", .. }), "{name}");
    }
    let mut setting = images(Fixed::new(1.0, 2, 144));
    setting.train.values.clear();
    for name in ["mean_baseline", "pca_baseline"] {
        assert!(matches!(setting.measure(name).unwrap_err(), EvaluationError::EmptySplit { split: "training", .. }), "{name}");
    }
    // Without training examples there is no PCA for the picture, but there are reconstructions.
    let outcome = setting.measure("reconstruction").unwrap();
    assert!(matches!(&contents(&outcome)[..], [PictureContent::ImageRows { rows, .. }, ..] if rows.len() == 2));
}

#[test]
fn one_example_and_constant_data_are_measured() {
    let constant = |num: usize| Table::new(&IMAGE, Domain::UnitInterval, vec![0.5; num * 144]);
    for (num_train, num_test, code_size) in [(1, 1, 2), (20, 3, 0), (20, 1, 144)] {
        let mut setting = Setting::new(Fixed::new(0.5, 2, 144), constant(num_train), constant(num_test));
        setting.model.code_size = code_size;
        for entry in EVALUATIONS {
            for measurement in setting.measure(entry.name).unwrap().measurements {
                assert!(measurement.value.is_finite(), "{}", measurement.name);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn neither_batch_size_nor_the_order_of_the_test_examples_matters(
        num in 1usize..40, batch_size in 1usize..50, rotation in 0usize..40, scale in -1.5f32..1.5, code_size in 0usize..20,
    ) {
        let mut setting = Setting::new(
            Fixed { variational: true, ..Fixed::new(scale, code_size.max(1), 144) },
            Table::random(30, &IMAGE, 4),
            Table::random(num, &IMAGE, 5),
        );
        let all = |setting: &Setting| ["reconstruction", "mean_baseline", "pca_baseline"].map(|name| setting.values(name));
        let reference = all(&setting);
        setting.batch_size = batch_size;
        setting.test.values.rotate_left(144 * (rotation % num));
        for (found, reference) in all(&setting).iter().zip(&reference) {
            prop_assert_eq!(found.len(), reference.len());
            for (name, value) in found {
                prop_assert!((value - reference[name]).abs() <= 1e-11 * (1.0 + value.abs()), "{}: {} and {}", name, value, reference[name]);
            }
        }
    }
}

#[test]
fn evaluations_that_walk_over_examples_give_signs_of_life_and_stop_when_asked() {
    for name in
        ["reconstruction", "objective", "latent_scatter", "linear_probe", "retrieval", "dimension_reduction", "pca_baseline", "denoising"]
    {
        let setting = Setting::of_images(0.9);
        setting.measure(name).unwrap();
        assert!(setting.pulse.num_beats() > 0, "{name}");
        setting.pulse.stop();
        assert_eq!(setting.measure(name).unwrap_err(), EvaluationError::Stopped, "{name}");
    }
}
