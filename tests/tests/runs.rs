//! Whole runs: results, interruption, failure, TensorBoard.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Bench, checkpoint_part, json, metrics, rows};

const SWEEP: &str = "
name: sweep
data: {digits: {}}
model: {undercomplete: {hidden: [32], code_size: 4}}
train:
  epochs: 6
  batch_size: 32
  optimizer: {adam: {learning_rate: 1.0e-3}}
  seed: 1
  checkpoint_every: 10
  log_every: 5
sweep:
  chain:
    - product:
        - model: [{undercomplete: {hidden: [32], code_size: 4}}, {vae: {hidden: [32], latent_dim: 4, likelihood: bernoulli}}]
        - repeat: 2
    - product:
        - model: [{denoising: {hidden: [32], code_size: 4, corruption: {gaussian: {sigma: 0.3}}}}]
        - model.denoising.code_size: [2, 8]
execution: {jobs: 2}
";

#[test]
fn a_sweep_ends_with_results_tables_and_pictures() {
    let bench = Bench::new(SWEEP);
    let text = bench.run_experiment("runs", 0);
    assert!(text.contains("PCA"), "the table names the baseline:\n{text}");
    let trials = bench.trials("runs/sweep");
    assert_eq!(trials.len(), 6);
    for trial in &trials {
        let result = json(&trial.join("result.json"));
        assert_eq!(result["state"], "finished");
        for file in ["config.yaml", "environment.json", "metrics.jsonl", "checkpoints/last.tar", "checkpoints/best.tar"] {
            assert!(trial.join(file).is_file(), "{file} is missing");
        }
    }
    let summary = rows(&bench.path("runs/sweep/summary.csv"));
    assert_eq!(summary.len(), 4, "two configurations with two seeds, two with one");
    for file in ["experiment.yaml", "plan.json", "summary.md", "trials.csv"] {
        assert!(bench.path("runs/sweep").join(file).is_file(), "{file} is missing");
    }
    let pictures = fs::read_dir(bench.path("runs/sweep/figures")).expect("figures").count();
    assert!(pictures >= 2, "{pictures} pictures");

    let again = bench.run_experiment("runs", 0);
    assert!(again.contains('6'), "what is done is not done again:\n{again}");
    assert_eq!(summary, rows(&bench.path("runs/sweep/summary.csv")));
}

#[test]
fn a_sweep_killed_again_and_again_ends_with_the_bits_of_an_undisturbed_one() {
    let bench = Bench::new(SWEEP);
    bench.run_experiment("whole", 0);
    let mut kills = 0;
    for milliseconds in [400, 900, 700, 1300, 600, 1100] {
        let mut runner = bench
            .command(&["run", "experiment.yaml", "--runs", "broken"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_millis(milliseconds));
        if runner.try_wait().expect("the runner can be asked").is_none() {
            kills += 1;
        }
        // SIGKILL: nothing in the runner or its destructors gets a chance.
        runner.kill().expect("the runner can be killed");
        runner.wait().expect("the runner is dead");
    }
    assert!(kills >= 1, "the sweep was over before the first kill");
    bench.run_experiment("broken", 0);

    assert_eq!(rows(&bench.path("whole/sweep/summary.csv")), rows(&bench.path("broken/sweep/summary.csv")));
    let (whole, broken) = (bench.trials("whole/sweep"), bench.trials("broken/sweep"));
    assert_eq!(whole.len(), broken.len());
    for (whole, broken) in whole.iter().zip(&broken) {
        assert_eq!(whole.file_name(), broken.file_name());
        for checkpoint in ["last", "best"] {
            assert_eq!(checkpoint_part(whole, checkpoint, "model"), checkpoint_part(broken, checkpoint, "model"));
        }
        assert_eq!(metrics(whole), metrics(broken));
    }
}

#[test]
fn a_trial_that_diverges_is_recorded_and_the_others_go_on() {
    let bench = Bench::new(
        "
name: diverges
data: {digits: {}}
model: {undercomplete: {hidden: [], code_size: 4}}
train: {epochs: 2, batch_size: 32, optimizer: {sgd: {learning_rate: 1.0}}, seed: 1}
sweep:
  product:
    - train.optimizer.sgd.learning_rate: [1.0e+20, 1.0e-3]
",
    );
    let text = bench.run_experiment("runs", 1);
    assert!(text.contains("diverged"), "{text}");
    let states: Vec<Value> = bench.trials("runs/diverges").iter().map(|trial| json(&trial.join("result.json"))["state"].clone()).collect();
    assert!(states.contains(&Value::from("diverged")) && states.contains(&Value::from("finished")), "{states:?}");
    let summary = fs::read_to_string(bench.path("runs/diverges/summary.md")).expect("a summary");
    assert!(summary.contains("was not a finite number at step"), "{summary}");
}

#[test]
fn an_edited_sweep_reuses_what_is_done_and_runs_what_is_new() {
    let sweep = |sizes: &str| {
        format!(
            "
name: edited
data: {{digits: {{}}}}
model: {{undercomplete: {{hidden: [], code_size: 2}}}}
train: {{epochs: 1, batch_size: 64, optimizer: {{adam: {{learning_rate: 1e-3}}}}, seed: 1}}
sweep: {{product: [{{model.undercomplete.code_size: {sizes}}}]}}
"
        )
    };
    let bench = Bench::new(&sweep("[2, 4]"));
    bench.run_experiment("runs", 0);
    let before = bench.trials("runs/edited");
    let modified = |trial: &std::path::PathBuf| fs::metadata(trial.join("result.json")).expect("a result").modified().expect("a time");
    let times: Vec<_> = before.iter().map(modified).collect();
    bench.rewrite(&sweep("[8, 4, 2]"));
    bench.run_experiment("runs", 0);
    assert_eq!(bench.trials("runs/edited").len(), 3);
    assert_eq!(times, before.iter().map(modified).collect::<Vec<_>>());
}

#[test]
fn bad_input_ends_with_code_two_and_names_the_place() {
    let bench = Bench::new("name: bad\ndata: {digits: {}}\nmodel:\n  vae: {hidden: [8], latent_dim: 2, likelihood: bernoulli, bta: 4.0}\n");
    let output = bench.run(&["run", "experiment.yaml"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("experiment.yaml:4:") && text.contains("`bta`") && text.contains("`beta`"), "{text}");

    let output = bench.run(&["run", "absent.yaml"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("absent.yaml"), "{text}");

    let cuda = "name: c\ndevice: cuda:0\ndata: {digits: {}}\nmodel: {undercomplete: {hidden: [], code_size: 2}}\n\
                train: {epochs: 1, batch_size: 64, optimizer: {adam: {learning_rate: 1e-3}}, seed: 1}\n";
    bench.rewrite(cuda);
    let output = bench.run(&["run", "experiment.yaml"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--features cuda"), "{text}");
}

#[test]
fn plan_prints_the_trials_and_touches_nothing() {
    let bench = Bench::new(SWEEP);
    let output = bench.run(&["plan", "experiment.yaml", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(plan["trials"].as_array().expect("trials").len(), 6);
    assert!(!bench.path("runs").exists());
}

/// What TensorBoard itself reads from a run that was killed and resumed.
#[test]
fn tensorboard_reads_a_killed_and_resumed_run_without_duplicate_steps() {
    let Ok(python) = std::env::var("AELAB_PYTHON") else {
        assert!(std::env::var_os("AELAB_REQUIRE_PYTHON").is_none(), "AELAB_PYTHON must name a Python with TensorBoard");
        return;
    };
    let bench = Bench::new(
        "
name: logged
data: {digits: {}}
model: {vae: {hidden: [32], latent_dim: 2, likelihood: bernoulli}}
sweep: {model.vae.beta: [1.0, 4.0]}
train: {epochs: 30, batch_size: 32, optimizer: {adam: {learning_rate: 1e-3}}, seed: 1, checkpoint_every: 10, log_every: 5}
",
    );
    let mut runner = bench
        .command(&["run", "experiment.yaml", "--runs", "runs"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    std::thread::sleep(Duration::from_millis(900));
    runner.kill().expect("the runner can be killed");
    runner.wait().expect("the runner is dead");
    bench.run_experiment("runs", 0);

    let trial = &bench.trials("runs/logged")[0];
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/reference/read_event_file.py");
    let output = Command::new(python).arg(script).arg(bench.path("runs/logged")).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let name = format!("trials/{}", trial.file_name().expect("a name").to_string_lossy());
    let session = &read["hparams"]["sessions"][&name];
    assert_eq!(read["hparams"]["hyperparameters"]["model.vae.beta"]["values"], serde_json::json!([1.0, 4.0]));
    assert!(read["hparams"]["metrics"].as_array().is_some_and(|tags| tags.contains(&Value::from("eval/elbo"))), "{}", read["hparams"]);
    let read = &read["runs"][&name];

    // Every scalar of metrics.jsonl, in order, with its step: neither lost nor doubled.
    let mut expected: std::collections::BTreeMap<String, Vec<(u64, f64)>> = std::collections::BTreeMap::new();
    for line in metrics(trial).lines() {
        let line: Value = serde_json::from_str(line).expect("JSON lines");
        let step = line["step"].as_u64().expect("a step");
        for (tag, value) in line.as_object().expect("an object").iter().filter(|(tag, _)| tag.contains('/')) {
            expected.entry(tag.clone()).or_default().push((step, value.as_f64().expect("finite")));
        }
    }
    assert!(expected.contains_key("valid/kl") && expected.contains_key("eval/sse") && expected.contains_key("train_step/loss"));
    for (tag, values) in expected {
        let events = read["scalars"][&tag].as_array().unwrap_or_else(|| panic!("{tag} is missing: {read}"));
        assert_eq!(events.len(), values.len(), "{tag}");
        for (event, (step, value)) in events.iter().zip(values) {
            assert_eq!(event[0], step, "{tag}");
            let found = event[1].as_f64().expect("a number");
            assert!((found - value).abs() <= 1e-6 * value.abs().max(1e-30), "{tag} at {step}: {found} instead of {value}");
        }
    }
    for tag in ["images/reconstruction", "images/sample"] {
        assert!(read["images"][tag].as_array().is_some_and(|images| !images.is_empty()), "{tag}");
    }
    assert!(read["histograms"]["codes/all"].as_array().is_some_and(|histograms| !histograms.is_empty()));
    assert_eq!((&session["hyperparameters"]["model"], &session["status"]), (&Value::from("vae"), &Value::from("STATUS_SUCCESS")));
}
