//! The commands that look at a run, at one that has really run.

use std::fs;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Bench, metrics};

const SWEEP: &str = "
name: looked-at
data: {digits: {}}
model: {undercomplete: {hidden: [16], code_size: 2}}
train: {epochs: 2, batch_size: 64, optimizer: {adam: {learning_rate: 1e-3}}, seed: 1}
evaluate: [reconstruction]
sweep: {model.undercomplete.code_size: [2, 3, 4]}
";

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn said(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.run(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said_json(bench: &Bench, arguments: &[&str]) -> Value {
    serde_json::from_str(&said(bench, arguments)).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

#[test]
fn a_run_can_be_looked_at_exported_pruned_archived_and_taken_up_elsewhere() {
    let bench = Bench::new(SWEEP);
    let before = said_json(&bench, &["plan", "experiment.yaml", "--json"]);
    assert_eq!((&before["costs"]["num_trials"], &before["costs"]["wall_seconds"]), (&Value::from(3), &Value::Null));
    // 64 -> 16 -> 2 -> 16 -> 64 with biases.
    assert_eq!(before["trials"][0]["size"]["num_parameters"], Value::from(64 * 16 + 16 + 16 * 2 + 2 + 2 * 16 + 16 + 16 * 64 + 64));
    assert!(said(&bench, &["plan", "experiment.yaml"]).contains("time: unknown until a trial has finished"));

    bench.run_experiment("runs", 0);
    let after = said_json(&bench, &["plan", "experiment.yaml", "--json"]);
    assert!(after["costs"]["wall_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{}", after["costs"]);
    assert_eq!(after["trials"][2]["size"]["num_steps"], before["trials"][2]["size"]["num_steps"]);

    let status = said_json(&bench, &["status", "looked-at", "--json", "--filter", "code_size=3"]);
    assert_eq!((&status["counts"]["finished"], status["trials"].as_array().map(Vec::len)), (&Value::from(1), Some(1)));
    let trial = said_json(&bench, &["show", "looked-at", "2", "--json"]);
    assert_eq!((&trial["hash"], &trial["state"]), (&status["trials"][0]["hash"], &Value::from("finished")));
    let hash = trial["hash"].as_str().expect("a hash").to_owned();
    assert!(said(&bench, &["show", "looked-at", &hash[..8], "--config"]).contains("undercomplete:"));
    let difference = said_json(&bench, &["diff", "looked-at", "1", "3", "--json"]);
    assert_eq!(difference["settings"][0]["path"], "model.undercomplete.code_size");

    said(&bench, &["export", "looked-at", "--output", "results.csv"]);
    let mut reader = csv::Reader::from_path(bench.path("results.csv")).expect("a table");
    let heads = reader.headers().expect("names").clone();
    let column = heads.iter().position(|name| name == "sse").expect("a metric");
    let values: Vec<f64> = reader.records().map(|record| record.expect("a row")[column].parse().expect("a number")).collect();
    assert_eq!(values[1], trial["result"]["metrics"][0]["value"].as_f64().expect("a number"));
    assert!(fs::read_to_string(bench.path("results.columns.csv")).expect("units").contains("sse,number,squared units/example,lower"));
    said(&bench, &["export", "looked-at", "--curves", "--format", "parquet", "--output", "curves.parquet"]);
    assert!(fs::read(bench.path("curves.parquet")).expect("a table").starts_with(b"PAR1"));

    let pruned = said_json(&bench, &["prune", "looked-at", "--keep", "1", "--metric", "sse", "--json"]);
    assert_eq!(pruned["pruned"].as_array().map(Vec::len), Some(2));
    let lost = pruned["pruned"][0]["trial"]["trial"].to_string();
    assert!(said(&bench, &["show", "looked-at", &lost]).contains("its checkpoints"));

    said(&bench, &["archive", "looked-at", "--output", "a.tar.gz"]);
    assert!(said(&bench, &["archive", "--verify", "a.tar.gz"]).contains("3 results"));
    said(&bench, &["unarchive", "a.tar.gz", "--runs", "elsewhere"]);
    let trials = [bench.trials("runs/looked-at"), bench.trials("elsewhere/looked-at")];
    for (here, there) in trials[0].iter().zip(&trials[1]) {
        assert_eq!(metrics(here), metrics(there));
    }
    assert_eq!(bench.run(&["unarchive", "a.tar.gz", "--runs", "elsewhere"]).status.code(), Some(2), "nothing is overwritten");
    assert!(text(&bench.run(&["resume", "looked-at", "--runs", "elsewhere"])).contains("3 already done"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_cancelled_run_stops_in_good_order_and_goes_on() {
    let bench = Bench::new(&SWEEP.replace("epochs: 2", "epochs: 400"));
    let mut runner =
        bench.command(&["run", "experiment.yaml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let since = Instant::now();
    let has_begun = || {
        let trials = fs::read_dir(bench.path("runs/looked-at/trials"));
        trials.is_ok_and(|mut all| all.any(|trial| trial.is_ok_and(|trial| trial.path().join("checkpoints/last.tar").exists())))
    };
    while !has_begun() {
        assert!(since.elapsed() < Duration::from_secs(120), "no checkpoint comes");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(said(&bench, &["cancel", "looked-at"]).contains("stopped"));
    assert_eq!(runner.wait().expect("an end").code(), Some(130));
    let counts = said_json(&bench, &["status", "looked-at", "--json"])["counts"].clone();
    assert_eq!((&counts["running"], &counts["failed"]), (&Value::from(0), &Value::from(0)));
    assert!(counts["interrupted"].as_u64().is_some_and(|num| num > 0), "{counts}");
    assert!(said(&bench, &["cancel", "looked-at"]).contains("nothing runs on this machine"));
}

#[test]
fn bench_times_what_is_asked_for_and_names_what_there_is() {
    let bench = Bench::new(SWEEP);
    let arguments = ["bench", "--only", "784-32", "--batch-size", "2,3", "--seconds", "0", "--threads", "1"];
    let found = said_json(&bench, &[&arguments[..], &["--json"]].concat());
    assert_eq!((&found["device"], &found["threads"]), (&"flex".into(), &1.into()));
    let rows = found["rows"].as_array().expect("a list of rows");
    let sizes: Vec<_> = rows.iter().map(|row| (row["network"].as_str(), row["batch_size"].as_u64())).collect();
    assert_eq!(sizes, [(Some("784-32"), Some(2)), (Some("784-32"), Some(3))]);
    assert!(rows.iter().all(|row| row["ratio_to_floor"].as_f64().is_some_and(|ratio| ratio > 0.0)), "{found}");
    assert!(said(&bench, &arguments).contains("ms / floor"));
    let refused = bench.run(&["bench", "--only", "gan"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused).contains("`vae 784-400-20`"), "{}", text(&refused));
}
