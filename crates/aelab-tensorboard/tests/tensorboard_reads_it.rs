//! The event files of a small sweep, read back by the real TensorBoard package.
//!
//! Runs where the environment variable `AELAB_PYTHON` names a Python that has `tensorboard`;
//! `AELAB_REQUIRE_PYTHON=1` makes its absence a failure.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

use std::path::Path;
use std::process::Command;

use aelab_core::{Event, Image, Observer, RunInfo, Split};
use aelab_tensorboard::{EventFile, ExperimentInfo, write_experiment};
use serde_json::{Value, json};

fn run_info(trial: &str, code_size: u64, model: &str, tied: bool) -> RunInfo {
    RunInfo {
        experiment: "sweep".into(),
        trial: trial.into(),
        model: model.into(),
        config: json!({"model": {model: {"code_size": code_size, "hidden": [64, 32]}}}),
        hyperparameters: vec![
            ("model".into(), json!(model)),
            ("code_size".into(), json!(code_size)),
            ("tied".into(), json!(tied)),
            ("hidden".into(), json!([64, 32])),
        ],
        num_parameters: 1234,
        metrics: vec!["eval/sse".into()],
    }
}

/// A value that single precision holds exactly.
fn nll(step: u64) -> f64 {
    100.0 / 2f64.powi(step as i32)
}

fn observe_step(file: &mut EventFile, step: u64) {
    let epoch = step as f64;
    let train = [("nll".to_owned(), nll(step)), ("kl".to_owned(), f64::NAN)];
    file.observe(&Event::Scalars { step, epoch, split: Split::Train, values: &train }).unwrap();
    let valid = [("nll".to_owned(), nll(step) + 1.0)];
    file.observe(&Event::Scalars { step, epoch, split: Split::Valid, values: &valid }).unwrap();
    let values: Vec<f32> = (0..=step).map(|value| value as f32 - 1.0).collect();
    file.observe(&Event::Histogram { step, tag: "codes/all", values: &values }).unwrap();
}

fn pictures() -> [Image; 2] {
    let grey = Image { width: 3, height: 2, channels: 1, pixels: vec![0, 10, 20, 30, 40, 255] };
    let rgb = Image { width: 1, height: 2, channels: 3, pixels: vec![255, 0, 0, 1, 2, 3] };
    [grey, rgb]
}

/// A trial that is interrupted after step 5 with its checkpoint at step 3, and resumed.
fn interrupted_trial(folder: &Path) {
    let info = run_info("aaaa", 8, "vae", true);
    let mut file = EventFile::create(folder).unwrap();
    file.observe(&Event::Started(&info)).unwrap();
    (0..=3).for_each(|step| observe_step(&mut file, step));
    let position = file.position().unwrap();
    (4..=5).for_each(|step| observe_step(&mut file, step));
    file.observe(&Event::Finished { state: "interrupted", step: 5, metrics: &[] }).unwrap();
    let path = file.path();
    drop(file);
    // A kill in the middle of a record.
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();

    let mut file = EventFile::create(folder).unwrap();
    file.rewind(&position).unwrap();
    file.observe(&Event::Resumed(&info)).unwrap();
    (4..=6).for_each(|step| observe_step(&mut file, step));
    for (tag, image) in ["images/grey", "images/rgb"].into_iter().zip(&pictures()) {
        file.observe(&Event::Picture { step: 6, tag, image }).unwrap();
    }
    let metrics = [("eval/sse".to_owned(), 12.25), ("eval/psnr".to_owned(), 30.5)];
    file.observe(&Event::Finished { state: "finished", step: 6, metrics: &metrics }).unwrap();
}

/// A trial that diverges, and whose last record is torn by a kill.
fn diverged_trial(folder: &Path) {
    let mut file = EventFile::create(folder).unwrap();
    file.observe(&Event::Started(&run_info("bbbb", 2, "undercomplete", false))).unwrap();
    observe_step(&mut file, 0);
    file.observe(&Event::Finished { state: "diverged", step: 0, metrics: &[] }).unwrap();
    observe_step(&mut file, 1);
    let bytes = std::fs::read(file.path()).unwrap();
    std::fs::write(file.path(), &bytes[..bytes.len() - 1]).unwrap();
}

fn read(logdir: &Path) -> Option<Value> {
    let Some(python) = std::env::var_os("AELAB_PYTHON") else {
        assert!(
            std::env::var_os("AELAB_REQUIRE_PYTHON").is_none_or(|value| value != "1"),
            "AELAB_PYTHON must name a Python with tensorboard"
        );
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/reference/read_event_file.py");
    let output = Command::new(python).arg(script).arg(logdir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn tensorboard_reads_every_tag_step_value_picture_and_hyperparameter() {
    let folder = tempfile::tempdir().unwrap();
    let logdir = folder.path();
    let info = ExperimentInfo {
        name: "sweep".into(),
        hyperparameters: vec![
            ("model".into(), vec![json!("vae"), json!("undercomplete")]),
            ("code_size".into(), vec![json!(8), json!(2)]),
            ("tied".into(), vec![json!(true), json!(false)]),
            ("hidden".into(), vec![json!([64, 32])]),
        ],
        metrics: vec!["eval/sse".into(), "eval/psnr".into()],
    };
    write_experiment(logdir, &info).unwrap();
    interrupted_trial(&logdir.join("trials/aaaa"));
    diverged_trial(&logdir.join("trials/bbbb"));
    let Some(read) = read(logdir) else { return };

    let finished = &read["runs"]["trials/aaaa"];
    let steps = |offset: f64| Value::from_iter((0..=6).map(|step| json!([step, nll(step) + offset])));
    assert_eq!(
        finished["scalars"],
        json!({
            "train/nll": steps(0.0),
            "train/kl": (0..=6).map(|step| json!([step, "nan"])).collect::<Vec<_>>(),
            "valid/nll": steps(1.0),
            "eval/sse": [[6, 12.25]],
            "eval/psnr": [[6, 30.5]],
        })
    );
    let histograms = finished["histograms"]["codes/all"].as_array().unwrap();
    assert_eq!(finished["histograms"].as_object().unwrap().len(), 1);
    assert_eq!(histograms.len(), 7);
    assert_eq!(
        histograms[3],
        json!({"step": 3, "min": -1.0, "max": 2.0, "num": 4.0, "sum": 2.0, "sum_squares": 6.0, "counts": [1.0, 1.0, 1.0, 1.0]})
    );
    assert_eq!(
        finished["images"],
        json!({
            "images/grey": [{"step": 6, "width": 3, "height": 2, "mode": "L", "pixel_sum": 355}],
            "images/rgb": [{"step": 6, "width": 1, "height": 2, "mode": "RGB", "pixel_sum": 261}],
        })
    );
    let text = finished["texts"]["config"][0][1].as_str().unwrap();
    assert_eq!(
        text,
        "Trial `aaaa` of experiment `sweep`: model `vae` with 1234 parameters.\n\n\
         ```yaml\nmodel:\n  vae:\n    code_size: 8\n    hidden:\n    - 64\n    - 32\n```\n"
    );
    assert_eq!(finished["texts"].as_object().unwrap().len(), 1);

    // The record torn by the kill is missing, and nothing else.
    let diverged = &read["runs"]["trials/bbbb"];
    assert_eq!(diverged["scalars"]["train/nll"], json!([[0, 100.0], [1, 50.0]]));
    assert_eq!(diverged["histograms"]["codes/all"].as_array().unwrap().len(), 1);

    assert_eq!(
        read["hparams"],
        json!({
            "hyperparameters": {
                "model": {"type": "DATA_TYPE_STRING", "values": ["vae", "undercomplete"]},
                "code_size": {"type": "DATA_TYPE_FLOAT64", "values": [8.0, 2.0]},
                "tied": {"type": "DATA_TYPE_BOOL", "values": [true, false]},
                "hidden": {"type": "DATA_TYPE_STRING", "values": ["[64,32]"]},
            },
            "metrics": ["eval/sse", "eval/psnr"],
            "sessions": {
                "trials/aaaa": {
                    "status": "STATUS_SUCCESS",
                    "hyperparameters": {"model": "vae", "code_size": 8.0, "tied": true, "hidden": "[64,32]"},
                    "metrics": {"eval/sse": 12.25, "eval/psnr": 30.5},
                },
                "trials/bbbb": {
                    "status": "STATUS_FAILURE",
                    "hyperparameters": {"model": "undercomplete", "code_size": 2.0, "tied": false, "hidden": "[64,32]"},
                    "metrics": {},
                },
            },
        })
    );
}

#[test]
fn without_the_description_the_table_is_made_of_the_trials() {
    let folder = tempfile::tempdir().unwrap();
    interrupted_trial(&folder.path().join("aaaa"));
    diverged_trial(&folder.path().join("bbbb"));
    let Some(read) = read(folder.path()) else { return };
    let sessions = &read["hparams"]["sessions"];
    assert_eq!(sessions["aaaa"]["hyperparameters"]["code_size"], 8.0);
    assert_eq!(sessions["aaaa"]["metrics"]["eval/sse"], 12.25);
    assert_eq!(sessions["bbbb"]["hyperparameters"]["code_size"], 2.0);
    assert_eq!(sessions["bbbb"]["metrics"]["train/nll"], 50.0);
}
