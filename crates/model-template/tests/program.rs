//! The program has the model beside those that come with aelab, in everything that it does.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_aelab-model-template")).args(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the program prints text")
}

fn experiment() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("noisy_code.yaml").to_string_lossy().into_owned()
}

#[test]
fn the_model_is_listed_and_described_from_its_own_words() {
    let models: Value = serde_json::from_str(&run(&["models", "--json"])).expect("JSON");
    let text = models.to_string();
    assert!(text.contains("noisy_code") && text.contains("undercomplete"), "{text}");
    let description = run(&["describe", "noisy_code"]);
    for words in ["Gaussian noise on the code", "Poole", "Standard deviation of the noise", "lambda", "code_norm"] {
        assert!(description.contains(words), "`{words}` is missing:\n{description}");
    }
}

#[test]
fn its_experiment_is_planned_with_every_default_filled_in() {
    let plan: Value = serde_json::from_str(&run(&["plan", &experiment(), "--json"])).expect("JSON");
    let trials = plan["trials"].as_array().expect("a list of trials");
    let sigmas: Vec<&Value> = trials.iter().map(|trial| &trial["definition"]["model"]["noisy_code"]["sigma"]).collect();
    assert_eq!(sigmas, [0.0, 0.1, 0.3]);
    assert_eq!(trials[0]["definition"]["model"]["noisy_code"]["activation"], "relu");
}

#[test]
fn its_experiment_runs_in_workers_of_this_program() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runs = folder.path().to_string_lossy();
    run(&["run", &experiment(), "--runs", &runs, "--set", "train.epochs=1", "--set", "data.digits.num_train=64"]);
    let summary = std::fs::read_to_string(folder.path().join("noisy_code/summary.csv")).expect("a summary");
    assert_eq!(summary.lines().count(), 1 + 3, "{summary}");
}

#[test]
fn a_key_of_another_model_is_refused_with_its_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("wrong.yaml");
    let text = std::fs::read_to_string(experiment()).expect("the experiment").replace("lambda: 0.01", "lamda: 0.01");
    std::fs::write(&path, text).expect("a temporary file");
    let output = Command::new(env!("CARGO_BIN_EXE_aelab-model-template")).arg("plan").arg(&path).output().expect("the program starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("lamda") && message.contains("did you mean `lambda`"), "{message}");
}
