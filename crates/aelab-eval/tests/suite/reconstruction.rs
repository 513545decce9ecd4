//! `reconstruction`: errors by class, the worst and the best examples, similarity at several scales.

use crate::common::{Fixed, Setting, Table};
use aelab_core::Domain;
use aelab_eval::{DataTable, ExampleRow, PictureContent, ms_ssim, psnr, sse};
use serde_json::{Value, json};

fn table(setting: &Setting) -> DataTable {
    let mut tables = setting.measure("reconstruction").unwrap().tables;
    assert_eq!(tables.len(), 1);
    tables.remove(0)
}

fn column(table: &DataTable, name: &str) -> Vec<Value> {
    let position = table.columns.iter().position(|column| column == name).unwrap();
    table.rows.iter().map(|row| row[position].clone()).collect()
}

fn close(found: &Value, expected: f64) -> bool {
    (found.as_f64().unwrap() - expected).abs() <= 1e-12 * (1.0 + expected.abs())
}

fn setting() -> Setting {
    let shape = [1, 6, 6];
    Setting::new(Fixed::new(0.8, 2, 36), Table::random(40, &shape, 1).labelled(3), Table::random(20, &shape, 2).labelled(3))
}

#[test]
fn the_table_has_the_errors_of_each_class_alone_and_of_pca_beside_them() {
    let mut setting = setting();
    let by_class = table(&setting);
    assert_eq!(by_class.columns, ["class", "name", "number", "sse", "mse", "mae", "psnr", "ssim", "pca_sse"]);
    assert_eq!(column(&by_class, "name"), [json!("class 0"), json!("class 1"), json!("class 2")]);
    assert_eq!(column(&by_class, "number"), [7, 7, 6]);
    let x = setting.test.values.clone();
    for class in 0..3 {
        // The evaluation of a split that has this class only.
        let of_class: Vec<f32> = x.chunks(36).skip(class).step_by(3).flatten().copied().collect();
        let reconstruction: Vec<f32> = of_class.iter().map(|x| x * 0.8).collect();
        let error = sse(&of_class, &reconstruction, 36);
        assert!(close(&column(&by_class, "sse")[class], error) && close(&column(&by_class, "psnr")[class], psnr(error / 36.0)));
        setting.test = Table::new(&[1, 6, 6], Domain::UnitInterval, of_class);
        let alone = setting.values("reconstruction");
        for name in ["mse", "mae", "ssim"] {
            assert!(close(&column(&by_class, name)[class], alone[name]), "{name} of class {class}");
        }
        assert!(close(&column(&by_class, "pca_sse")[class], setting.values("pca_baseline")["pca_sse"]));
    }
    // Neither batches nor the order of the classes matter.
    setting.test = Table::random(20, &[1, 6, 6], 2).labelled(3);
    setting.batch_size = 20;
    for (row, other) in table(&setting).rows.iter().zip(&by_class.rows) {
        assert!(row.iter().zip(other).all(|(value, other)| value == other || close(value, other.as_f64().unwrap())));
    }
}

#[test]
fn without_classes_there_is_no_table_and_a_perfect_class_has_no_ratio() {
    let mut setting = setting();
    setting.model.scale = 1.0;
    assert_eq!(column(&table(&setting), "psnr"), [Value::Null, Value::Null, Value::Null]);
    setting.test.labels = None;
    let outcome = setting.measure("reconstruction").unwrap();
    assert!(outcome.tables.is_empty());
    assert!(outcome.pictures.iter().all(|picture| picture.name != "reconstruction_per_class"));
}

#[test]
fn what_is_missing_is_no_error_of_a_class() {
    let mut setting = setting();
    setting.test.num_observed = Some(9);
    let by_class = table(&setting);
    let seen: Vec<f32> = setting.test.values.chunks(36).step_by(3).flat_map(|x| &x[..9]).copied().collect();
    let reconstruction: Vec<f32> = seen.iter().map(|x| x * 0.8).collect();
    assert!(close(&column(&by_class, "sse")[0], sse(&seen, &reconstruction, 9)));
    assert!(close(&column(&by_class, "mse")[0], sse(&seen, &reconstruction, 9) / 9.0));
    assert!(!by_class.columns.contains(&"pca_sse".to_owned()), "PCA has no place for what is missing");
}

fn extremes(setting: &Setting) -> (Vec<ExampleRow>, Vec<String>) {
    let outcome = setting.measure("reconstruction").unwrap();
    let picture = outcome.pictures.into_iter().find(|picture| picture.name == "reconstruction_extremes").unwrap();
    match picture.content {
        PictureContent::ImageRows { rows, labels, .. } | PictureContent::SeriesRows { rows, labels, .. } => (rows, labels),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_worst_and_the_best_examples_are_shown_with_their_errors() {
    let mut setting = setting();
    // Example i is i/100 everywhere: reconstructed as zeros, its squared error is 36 (i/100)^2.
    setting.model.scale = 0.0;
    let order = [3usize, 11, 0, 24, 7, 19, 1, 23, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22];
    let values = order.iter().flat_map(|&index| vec![index as f32 / 100.0; 36]).collect();
    setting.test = Table::new(&[1, 6, 6], Domain::UnitInterval, values);
    for batch_size in [1, 4, 100] {
        setting.batch_size = batch_size;
        let (rows, labels) = extremes(&setting);
        let shown: Vec<usize> = rows[0].values.chunks(36).map(|x| (x[0] * 100.0).round() as usize).collect();
        assert_eq!(shown, (15..25).rev().chain(0..10).collect::<Vec<_>>());
        assert_eq!((labels[0].as_str(), labels[10].as_str(), labels[11].as_str()), ("2.07", "0", "0.00360"));
        assert_eq!(rows.iter().map(|row| row.caption.as_str()).collect::<Vec<_>>(), ["test image", "reconstruction", "PCA, 2 components"]);
        assert!(rows[1].values.iter().all(|value| *value == 0.0));
    }
}

#[test]
fn of_equal_errors_the_earlier_examples_are_shown_and_few_are_shown_twice() {
    let mut setting = setting();
    setting.model.scale = 0.0;
    setting.test =
        Table::new(&[1, 6, 6], Domain::UnitInterval, (0..3 * 36).map(|index| if index % 36 == index / 36 { 0.5 } else { 0.0 }).collect());
    let (rows, labels) = extremes(&setting);
    let shown: Vec<usize> = rows[0].values.chunks(36).map(|x| x.iter().position(|value| *value > 0.0).unwrap()).collect();
    assert_eq!((shown, labels.len()), (vec![0, 1, 2, 0, 1, 2], 6));
}

#[test]
fn what_is_missing_of_a_series_is_not_drawn() {
    let mut setting =
        Setting::new(Fixed::new(0.9, 2, 8), Table::random(20, &[4, 2], 1).labelled(2), Table::random(30, &[4, 2], 2).labelled(2));
    setting.test.num_observed = Some(6);
    let (rows, labels) = extremes(&setting);
    assert_eq!((labels.len(), rows.len()), (8, 2), "four of either kind, without PCA");
    assert!(rows.iter().all(|row| row.values.iter().enumerate().all(|(index, value)| value.is_nan() == (index % 8 >= 6))));
}

#[test]
fn similarity_at_several_scales_is_measured_where_two_of_them_fit() {
    let shape = [1, 24, 24];
    let setting = Setting::new(Fixed::new(0.7, 3, 576), Table::random(20, &shape, 1), Table::random(9, &shape, 2));
    let x = &setting.test.values;
    let reconstruction: Vec<f32> = x.iter().map(|x| x * 0.7).collect();
    assert!((setting.values("reconstruction")["ms_ssim"] - ms_ssim(x, &reconstruction, shape).unwrap()).abs() < 1e-12);
    let evaluation = (aelab_eval::find("reconstruction").unwrap().parse)(json!({})).unwrap();
    assert_eq!(evaluation.metric_names(&setting.test.spec), ["sse", "mse", "mae", "bce", "psnr", "ssim", "ms_ssim"]);
    for (name, metric) in [("pca_baseline", "pca_ms_ssim"), ("mean_baseline", "mean_ms_ssim")] {
        assert!((0.0..=1.0).contains(&setting.values(name)[metric]));
    }
}
