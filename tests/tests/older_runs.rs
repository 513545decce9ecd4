//! What an earlier aelab has left in a run directory is gone on with, or refused with the reason; it is never taken for something else.
//!
//! `fixtures/run_of_format_1` is a run of format version 1 that was interrupted in the middle of training. It stays as it is: an aelab of a
//! later format version refuses it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Bench, json, metrics};

/// A copy of the stored run, `runs/older`, and its trial.
fn stored_run() -> (Bench, PathBuf) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/run_of_format_1");
    let bench = Bench::new(&fs::read_to_string(fixture.join("experiment.yaml")).expect("the fixture is there"));
    for entry in walkdir::WalkDir::new(&fixture) {
        let entry = entry.expect("an entry");
        let target = bench.path("runs/older").join(entry.path().strip_prefix(&fixture).expect("it is below"));
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).expect("a folder");
        } else {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
    let trial = bench.trials("runs/older").remove(0);
    (bench, trial)
}

fn resume(bench: &Bench) -> (Option<i32>, String) {
    let output = bench.run(&["resume", "older", "--runs", "runs"]);
    (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_run_of_format_1_is_gone_on_with_from_its_checkpoint() {
    let (bench, trial) = stored_run();
    let before = metrics(&trial);
    let (code, text) = resume(&bench);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("anew") && !text.contains("falling back"), "{text}");
    let after = metrics(&trial);
    assert!(!before.is_empty() && after.starts_with(&before) && after.len() > before.len(), "it goes on where it was");
    bench.run_experiment("fresh", 0);
    let fresh = bench.trials("fresh/older").remove(0);
    assert_eq!(trial.file_name(), fresh.file_name(), "the identity of the trial is the same");
    let (old, new) = (json(&trial.join("result.json")), json(&fresh.join("result.json")));
    assert_eq!(old["steps"], new["steps"]);
    // Bits are promised on one kind of processor only.
    let sse = |result: &serde_json::Value| result["metrics"][0]["value"].as_f64().expect("a metric");
    assert!((sse(&old) / sse(&new) - 1.0).abs() < 1e-3, "{} and {}", sse(&old), sse(&new));
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("a file");
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).expect("a file");
}

#[test]
fn a_plan_of_another_version_is_refused_and_left_as_it_is() {
    let (bench, _) = stored_run();
    let plan = bench.path("runs/older/plan.json");
    edit(&plan, "\"format_version\": 1", "\"format_version\": 2");
    let edited = fs::read(&plan).expect("a plan");
    let (code, text) = resume(&bench);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("format version 2") && text.contains("use the aelab that wrote it"), "{text}");
    let output = bench.run(&["run", "experiment.yaml", "--runs", "runs"]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(&plan).expect("a plan"), edited);
}

#[test]
fn a_trial_of_another_version_is_refused() {
    let (bench, trial) = stored_run();
    edit(&trial.join("config.yaml"), "format_version: 1", "format_version: 2");
    let (code, text) = resume(&bench);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("format version 2") && text.contains("give the experiment another name"), "{text}");
}

#[test]
fn a_result_of_another_version_is_refused() {
    let (bench, trial) = stored_run();
    fs::write(trial.join("result.json"), r#"{"format_version": 2, "state": "finished"}"#).expect("a result");
    let (code, text) = resume(&bench);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("format version 2") && text.contains("use the aelab that wrote it"), "{text}");
}

#[test]
fn a_checkpoint_of_another_version_is_refused_and_not_written_over() {
    let (bench, trial) = stored_run();
    let path = trial.join("checkpoints/last.tar");
    let mut archive = tar::Builder::new(fs::File::create(&path).expect("a checkpoint"));
    let manifest = br#"{"format_version": 99, "program_version": "9.9.9"}"#;
    let mut header = tar::Header::new_gnu();
    header.set_size(manifest.len() as u64);
    archive.append_data(&mut header, "manifest.json", &manifest[..]).expect("an entry");
    archive.into_inner().expect("an archive");
    let written = fs::read(&path).expect("a checkpoint");
    let (code, text) = resume(&bench);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("has format 99") && text.contains("9.9.9"), "{text}");
    assert_eq!(fs::read(&path).expect("a checkpoint"), written);
}
