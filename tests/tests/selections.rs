//! Running some of the trials of a sweep, and running trials again.

use std::fs;
use std::path::Path;

use crate::support::{Bench, json, outcome};

const SWEEP: &str = "
name: sweep
data: {digits: {num_train: 200}}
tags: [short]
train: {epochs: 1, batch_size: 50, optimizer: {adam: {learning_rate: 1.0e-3}}, seed: 1}
evaluate: [reconstruction]
sweep:
  product:
    - model: [{undercomplete: {hidden: [8]}}, {vae: {hidden: [8], likelihood: bernoulli}}]
    - sobol: {num: 4, seed: 3, space: {model.*.code_size: {integer: {from: 2, to: 100}}}}
require: code_size < input
execution: {jobs: 2}
";

/// Runs the program and expects the exit code; what it printed.
fn run(bench: &Bench, arguments: &[&str], code: i32) -> String {
    let output = bench.run(&[&["run", "experiment.yaml", "--runs", "runs"], arguments].concat());
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// The hashes of the plan, and whether each trial has ended.
fn ended(bench: &Bench) -> Vec<(String, bool)> {
    let plan = json(&bench.path("runs/sweep/plan.json"));
    let hashes = plan["trials"].as_array().expect("a list").iter().map(|trial| trial["hash"].as_str().expect("a hash").to_owned());
    hashes.map(|hash| (hash.clone(), bench.path("runs/sweep/trials").join(hash).join("result.json").is_file())).collect()
}

fn numbers_ended(bench: &Bench) -> Vec<usize> {
    ended(bench).iter().enumerate().filter(|(_, (_, ended))| *ended).map(|(index, _)| index + 1).collect()
}

#[test]
fn only_what_is_selected_runs_and_a_trial_that_is_run_again_comes_to_the_same_beside_its_old_folder() {
    let bench = Bench::new(SWEEP);
    let text = run(&bench, &["--only", "2", "--only", "model=undercomplete"], 0);
    assert!(text.contains("1 trial of ") && text.contains("left out by `require: code_size < input`"), "{text}");
    assert_eq!(numbers_ended(&bench), [2]);
    let num = ended(&bench).len();
    assert!((4..8).contains(&num), "{num} trials are left of 8");
    let hash = ended(&bench)[0].0.clone();
    run(&bench, &["--only", &hash[..6]], 0);
    assert_eq!(numbers_ended(&bench), [1, 2]);
    run(&bench, &["--only", &format!("{num}..{num}"), "--only", "state=pending", "--quiet"], 0);
    assert_eq!(numbers_ended(&bench), [1, 2, num]);

    let trials = bench.path("runs/sweep/trials");
    let before = outcome(&trials.join(&hash));
    let log = |folder: &Path| fs::read(folder.join("result.json")).expect("a result");
    let old = log(&trials.join(&hash));
    for number in ["1", "2"] {
        let text = run(&bench, &["--rerun", &hash, "--only", "1"], 0);
        assert!(text.contains(&format!("{hash}-{number}")), "{text}");
        assert_eq!(outcome(&trials.join(&hash)), before, "the same comes of it again");
    }
    assert_eq!(log(&trials.join(".old").join(format!("{hash}-1"))), old, "nothing is lost");
    assert!(trials.join(".old").join(format!("{hash}-2")).join("checkpoints").is_dir());
    assert_eq!(numbers_ended(&bench), [1, 2, num], "what is put aside is no trial");

    run(&bench, &[], 0);
    assert_eq!(numbers_ended(&bench).len(), num);
    let compared = bench.run(&["compare", "runs/sweep", "--filter", "tags=short", "--rows", "model,code_size"]);
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
    let compared = bench.run(&["compare", "runs/sweep", "--filter", "tags=long"]);
    assert!(String::from_utf8_lossy(&compared.stderr).contains("tags has the values [short]"));
}

#[test]
fn selections_of_nothing_and_contradictions_are_bad_input_and_change_nothing() {
    let bench = Bench::new(SWEEP);
    for (arguments, expected) in [
        (&["--only", "99"][..], "there is no trial 99"),
        (&["--only", "0000"], "no trial of `sweep` has a hash"),
        (&["--only", "model=rae"], "model has the values undercomplete, vae"),
        (&["--only", "what?"], "cannot read the selection"),
        (&["--only", "1", "--rerun", "2"], "`--rerun` names the trial 2, which `--only` leaves out"),
    ] {
        let text = run(&bench, arguments, 2);
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
    assert_eq!(numbers_ended(&bench), Vec::<usize>::new());
}

#[test]
fn a_trial_at_work_is_not_put_aside() {
    let bench = Bench::new(SWEEP);
    run(&bench, &["--only", "1"], 0);
    let hash = ended(&bench)[0].0.clone();
    let lock = fs::File::open(bench.path("runs/sweep/trials").join(&hash).join("lock")).expect("a lock");
    lock.lock().expect("the lock is free");
    let text = run(&bench, &["--rerun", "1"], 2);
    assert!(text.contains("wait for it or stop it first"), "{text}");
    assert_eq!(numbers_ended(&bench), [1]);
}
