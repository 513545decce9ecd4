//! A search, killed whenever and run by any number of jobs, comes to the same trials and results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::support::{Bench, json, metrics, rows};

/// Estimators from the fourth proposal on, three open at a time, two seeds each, most of them given up early.
pub(crate) const SEARCH: &str = "
name: search
data: {digits: {}}
model: {undercomplete: {hidden: [16], code_size: 4, output_activation: sigmoid}}
train: {epochs: 9, batch_size: 64, optimizer: {adam: {learning_rate: 1e-3}}, seed: 1}
evaluate: [reconstruction]
search:
  sampler: {tpe: {startup: 4}}
  space:
    train.optimizer.adam.learning_rate: {log_uniform: {from: 1e-4, to: 0.1}}
    model.undercomplete.hidden: {choice: [[], [16], [32, 16]]}
    train.batch_size: {log_integer: {from: 32, to: 256}}
  repeat: 2
  parallel: 3
early_termination: {asha: {min_epochs: 1, reduction_factor: 2}}
budget: {max_trials: 20}
execution: {max_restarts: 1000}
";

/// Name, result without its seconds, and curve.
pub(crate) type Trial = (String, Value, String);

/// Everything of a run but the seconds: plan, log, and per trial its result and curve.
pub(crate) fn outcome(run: &Path) -> (Vec<u8>, Vec<u8>, Vec<Trial>) {
    let mut trials: Vec<PathBuf> = fs::read_dir(run.join("trials")).expect("trials").map(|entry| entry.expect("an entry").path()).collect();
    trials.sort();
    let of_trial = |trial: &PathBuf| {
        let mut result = json(&trial.join("result.json"));
        let map = result.as_object_mut().expect("a map");
        map.remove("seconds");
        map.remove("measuring_seconds");
        map.remove("checksum");
        (trial.file_name().expect("a name").to_string_lossy().into_owned(), result, metrics(trial))
    };
    let read = |name: &str| fs::read(run.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    (read("plan.json"), read("search.jsonl"), trials.iter().map(of_trial).collect())
}

fn run_killing(bench: &Bench, runs: &str, jobs: &str, random: &mut ChaCha8Rng, mut num_kills: u64) {
    for _ in 0..1000 {
        let arguments = ["run", "experiment.yaml", "--runs", runs, "--jobs", jobs];
        let mut runner = bench.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        if num_kills > 0 {
            std::thread::sleep(Duration::from_millis(random.random_range(300..3000)));
        }
        if num_kills == 0 || runner.try_wait().expect("the runner can be asked").is_some() {
            let output = runner.wait_with_output().expect("the runner ends");
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
            return;
        }
        num_kills -= 1;
        // Nothing in the process gets a chance; its workers notice and end.
        Command::new("kill").args(["-KILL", &runner.id().to_string()]).status().expect("kill runs");
        runner.wait().expect("the runner is dead");
    }
    panic!("the search does not come to an end");
}

#[test]
fn a_search_that_is_killed_and_run_by_other_numbers_of_jobs_is_the_same_search() {
    let bench = Bench::new(SEARCH);
    let text = bench.run_experiment("whole", 0);
    assert!(text.contains("best: valid/loss ") && text.contains("ended: `max_trials: 20` have been proposed"), "{text}");
    let whole = outcome(&bench.path("whole/search"));
    let state = |state: &str| whole.2.iter().filter(|(_, result, _)| result["state"] == state).count();
    assert_eq!(state("finished") + state("stopped"), 20);
    assert!(state("finished") >= 2 && state("stopped") >= 8, "{} finished, {} stopped", state("finished"), state("stopped"));

    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (runs, jobs, num_kills) in [("broken", "2", 6), ("alone", "1", 0)] {
        run_killing(&bench, runs, jobs, &mut random, num_kills);
        let found = outcome(&bench.path(&format!("{runs}/search")));
        assert!(found.0 == whole.0, "{runs}: plan.json differs");
        assert_eq!(String::from_utf8_lossy(&found.1), String::from_utf8_lossy(&whole.1), "{runs}: search.jsonl differs");
        assert!(found.2 == whole.2, "{runs}: results or curves differ");
        for table in ["summary.csv", "trials.csv"] {
            assert_eq!(rows(&bench.path("whole/search").join(table)), rows(&bench.path(&format!("{runs}/search")).join(table)));
        }
    }

    // A larger budget goes on: what was proposed stays.
    bench.rewrite(&SEARCH.replace("max_trials: 20", "max_trials: 24"));
    bench.run_experiment("alone", 0);
    let grown = fs::read_to_string(bench.path("alone/search/search.jsonl")).expect("the log");
    assert!(grown.starts_with(&String::from_utf8_lossy(&whole.1).into_owned()) && grown.matches("\"proposal\"").count() == 12, "{grown}");

    // Who edits the log is told where.
    let path = bench.path("broken/search/search.jsonl");
    let log = fs::read_to_string(&path).expect("the log").replacen("\"draw\":1,", "\"draw\":2,", 1);
    fs::write(&path, log).expect("the log can be written");
    bench.rewrite(SEARCH);
    let text = bench.run_experiment("broken", 2);
    assert!(text.contains("search.jsonl, line 3, contradicts the search"), "{text}");
}

#[test]
fn a_sweep_is_halved_by_rungs_and_what_goes_on_has_the_curve_of_one_that_never_paused() {
    let sweep = "
name: sweep
data: {digits: {}}
model: {undercomplete: {hidden: [], code_size: 4}}
train: {epochs: 6, batch_size: 64, optimizer: {adam: {learning_rate: 1e-3}}, seed: 1}
evaluate: [reconstruction]
sweep: {train.optimizer.adam.learning_rate: [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3], repeat: 2}
";
    let bench = Bench::new(sweep);
    bench.run_experiment("whole", 0);
    bench.rewrite(&format!("{sweep}early_termination: {{successive_halving: {{min_epochs: 2, reduction_factor: 2}}}}\n"));
    bench.run_experiment("halved", 0);
    let mut epochs = Vec::new();
    for trial in bench.trials("halved/sweep") {
        let result = json(&trial.join("result.json"));
        let whole = bench.path("whole/sweep/trials").join(trial.file_name().expect("a name"));
        let (curve, whole_curve) = (metrics(&trial), metrics(&whole));
        if result["state"] == "finished" {
            assert_eq!(curve, whole_curve);
            assert_eq!(result["metrics"], json(&whole.join("result.json"))["metrics"]);
        } else {
            assert_eq!(result["state"], "stopped");
            assert!(whole_curve.starts_with(&curve), "it is the beginning of the whole curve");
            assert!(result["error"].as_str().is_some_and(|error| error.contains("of which the best")), "{result}");
        }
        epochs.push(result["epochs_run"].as_u64().expect("a number"));
    }
    epochs.sort_unstable();
    // Six configurations of two seeds: three go on after 2 epochs, one after 4.
    assert_eq!(epochs, [2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6]);

    // Those that were given up go on to their end if they are asked to.
    let output = bench.run(&["resume", "halved/sweep", "--retry", "stopped"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for trial in bench.trials("halved/sweep") {
        let whole = bench.path("whole/sweep/trials").join(trial.file_name().expect("a name"));
        assert_eq!(metrics(&trial), metrics(&whole));
    }
}

#[test]
fn budgets_end_a_sweep_in_good_order_and_larger_ones_go_on() {
    let sweep = |budget: &str| {
        format!(
            "name: sweep\ndata: {{digits: {{}}}}\nmodel: {{undercomplete: {{hidden: [], code_size: 2}}}}\n\
             train: {{epochs: 1, batch_size: 64, optimizer: {{adam: {{learning_rate: 1e-3}}}}, seed: 1}}\nevaluate: [reconstruction]\n\
             sweep: {{model.undercomplete.code_size: [2, 3, 4, 5, 6]}}\nexecution: {{jobs: 1}}\n{budget}"
        )
    };
    let bench = Bench::new(&sweep("budget: {max_trials: 2}\n"));
    let states = |bench: &Bench| -> Vec<bool> {
        let plan = json(&bench.path("runs/sweep/plan.json"));
        let trials = plan["trials"].as_array().expect("trials").clone();
        trials
            .iter()
            .map(|trial| bench.path("runs/sweep/trials").join(trial["hash"].as_str().expect("a hash")).join("result.json").exists())
            .collect()
    };
    let text = bench.run_experiment("runs", 0);
    assert!(text.contains("ended: `max_trials: 2` have been run"), "{text}");
    assert_eq!(states(&bench), [true, true, false, false, false]);
    // Whatever the loss is, it is below this: one trial more is not begun.
    bench.rewrite(&sweep("budget: {target: 1e9}\n"));
    assert!(bench.run_experiment("runs", 0).contains("ended: `target: 1000000000` of valid/loss is reached"));
    assert_eq!(states(&bench), [true, true, false, false, false]);
    bench.rewrite(&sweep("budget: {max_hours: 1e-9}\n"));
    assert!(bench.run_experiment("runs", 0).contains("are over; a larger budget goes on"));
    assert_eq!(states(&bench), [true, true, false, false, false]);
    bench.rewrite(&sweep("budget: {max_hours: 10}\n"));
    assert!(!bench.run_experiment("runs", 0).contains("ended:"));
    assert_eq!(states(&bench), [true; 5]);
}
