//! What goes wrong with machines: full disks, lost permissions, damaged files, processes that hang, several runners at once. Each ends
//! in a finished sweep or in a clear error, never in a wrong result.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Bench, Outcome, outcome};

const SWEEP: &str = "
name: faults
data: {digits: {}}
model: {undercomplete: {hidden: [16], code_size: 2}}
train: {epochs: 6, batch_size: 64, optimizer: {adam: {learning_rate: 1e-3}}, seed: 1, checkpoint_every: 7, log_every: 3}
evaluate: [reconstruction]
sweep: {model.undercomplete.code_size: [2, 3]}
execution: {jobs: 1}
";

/// Trials of a sweep that nothing has happened to.
fn undisturbed() -> Vec<Outcome> {
    let bench = Bench::new(SWEEP);
    bench.run_experiment("whole", 0);
    outcomes(&bench, "whole")
}

fn outcomes(bench: &Bench, runs: &str) -> Vec<Outcome> {
    bench.trials(&format!("{runs}/faults")).iter().map(|trial| outcome(trial)).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn run_with(bench: &Bench, fault: &str, more: &[&str]) -> Output {
    let arguments = [&["run", "experiment.yaml", "--runs", "runs"], more].concat();
    bench.command(&arguments).env("AELAB_FAULT", fault).output().expect("the program starts")
}

/// The sweep goes on after the fault and ends as if nothing had happened.
fn goes_on(bench: &Bench) {
    bench.run_experiment("runs", 0);
    assert!(outcomes(bench, "runs") == undisturbed());
}

#[test]
fn a_full_disk_stops_the_run_with_its_own_code_and_the_next_one_goes_on() {
    for place in ["write:config", "sync:last", "rename:result"] {
        let bench = Bench::new(SWEEP);
        let output = run_with(&bench, &format!("{place}:full"), &[]);
        let text = text(&output);
        // Before anything runs it is bad input, afterwards the machine's fault.
        let expected = if place == "write:config" { 2 } else { 3 };
        assert_eq!(output.status.code(), Some(expected), "{place}: {text}");
        assert!(text.contains("no storage space") || text.contains("No space left"), "{place}: {text}");
        assert!(!text.contains("panicked"), "{text}");
        goes_on(&bench);
    }
}

#[test]
fn a_lost_permission_stops_the_run_and_the_next_one_goes_on() {
    let bench = Bench::new(SWEEP);
    let output = run_with(&bench, "create:result:denied", &[]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("permission denied") && text.contains("go on with: aelab resume"), "{text}");
    goes_on(&bench);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_really_full_is_told_and_loses_nothing() {
    let bench = Bench::new(SWEEP);
    let is_allowed = Command::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !is_allowed {
        eprintln!("not run: only root can mount a small disk");
        return;
    }
    fs::create_dir(bench.path("small")).expect("a folder");
    // The mount lives in a namespace of its own; what is on it is copied out before it goes away.
    let program = bench.command(&[]).get_program().to_owned();
    let script =
        "mount -t tmpfs -o size=120k none small && \"$0\" run experiment.yaml --runs small; code=$?; cp -a small/. runs; exit $code";
    fs::create_dir(bench.path("runs")).expect("a folder");
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(program)
        .current_dir(bench.path("."))
        .env("NO_COLOR", "1")
        .output()
        .expect("a shell");
    let text = text(&output);
    assert!(matches!(output.status.code(), Some(2 | 3)), "{text}");
    assert!(text.contains("No space left on device") && !text.contains("panicked"), "{text}");
    goes_on(&bench);
}

/// Interrupts the run after a second checkpoint has been written.
fn interrupted(bench: &Bench) {
    let mark = bench.path("mark");
    let mut runner = bench
        .command(&["run", "experiment.yaml", "--runs", "runs", "--set", "execution.max_restarts=0"])
        .env("AELAB_FAULT", format!("rename:result:kill:{}", mark.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    runner.wait().expect("an end");
    assert!(mark.exists());
}

fn first_with_checkpoint(bench: &Bench) -> std::path::PathBuf {
    let trials = bench.trials("runs/faults");
    let failed = |trial: &&std::path::PathBuf| fs::read_to_string(trial.join("result.json")).is_ok_and(|text| text.contains("\"failed\""));
    trials.iter().find(failed).expect("the trial whose worker was killed").join("checkpoints")
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_note_and_the_bits_are_the_same() {
    let damage: [&dyn Fn(&Path); 2] = [
        &|path| {
            let bytes = fs::read(path).expect("a checkpoint");
            fs::write(path, &bytes[..bytes.len() / 2]).expect("it can be cut");
        },
        &|path| {
            let mut bytes = fs::read(path).expect("a checkpoint");
            // In the last part: the padding of the archive is shorter than this.
            let position = bytes.len() - 1024 - 600;
            bytes[position] ^= 1;
            fs::write(path, bytes).expect("it can be damaged");
        },
    ];
    let whole = undisturbed();
    for damage in damage {
        let bench = Bench::new(SWEEP);
        interrupted(&bench);
        damage(&first_with_checkpoint(&bench).join("last.tar"));
        let output = bench.run(&["run", "experiment.yaml", "--runs", "runs", "--retry", "failed"]);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.contains("falling back to the one before"), "{text}");
        assert!(outcomes(&bench, "runs") == whole);
    }
}

#[test]
fn a_worker_that_hangs_is_killed_and_begun_again() {
    let bench = Bench::new(SWEEP);
    let mark = bench.path("mark");
    let began = Instant::now();
    let output = run_with(&bench, &format!("sync:last:hang:{}", mark.display()), &["--set", "execution.hang_seconds=3"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("no sign of life for 3 seconds (checkpoint)"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(120));
    let phases = bench.trials("runs/faults").into_iter().filter_map(|trial| fs::read_to_string(trial.join("progress.json")).ok());
    assert!(phases.into_iter().any(|progress| progress.contains("\"phase\":\"checkpoint\"")), "where it hung is on disk");
    assert!(outcomes(&bench, "runs") == undisturbed());
}

#[test]
fn a_worker_killed_again_and_again_without_progress_fails_with_the_reason() {
    let bench = Bench::new(SWEEP);
    let output = run_with(&bench, "rename:last:kill", &[]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("SIGKILL") && text.contains("begun again"), "{text}");
    bench.run(&["run", "experiment.yaml", "--runs", "runs", "--retry", "failed"]);
    assert!(outcomes(&bench, "runs") == undisturbed());
}

#[test]
fn several_runners_share_a_directory() {
    let bench = Bench::new(SWEEP);
    let start = || {
        let mut command = bench.command(&["run", "experiment.yaml", "--runs", "runs"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    let runners = [start(), start(), start()];
    for runner in runners {
        let output = runner.wait_with_output().expect("an end");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    assert!(outcomes(&bench, "runs") == undisturbed());
}

#[cfg(unix)]
#[test]
fn signals_end_a_run_within_seconds_and_the_next_one_goes_on() {
    let bench = Bench::new(&SWEEP.replace("epochs: 6", "epochs: 150"));
    bench.run_experiment("whole", 0);
    let whole = outcomes(&bench, "whole");
    for signal in ["-INT", "-TERM", "-USR1", "-HUP"] {
        let runs = format!("runs{signal}");
        let mut runner = bench
            .command(&["run", "experiment.yaml", "--runs", &runs])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        // With the first checkpoint most of the work is still to come.
        let trials = bench.path(&format!("{runs}/faults/trials"));
        let has_begun = || {
            fs::read_dir(&trials)
                .is_ok_and(|mut all| all.any(|trial| trial.is_ok_and(|trial| trial.path().join("checkpoints/last.tar").exists())))
        };
        let since = Instant::now();
        while !has_begun() {
            assert!(since.elapsed() < Duration::from_secs(60), "no checkpoint comes");
            std::thread::sleep(Duration::from_millis(10));
        }
        let since = Instant::now();
        Command::new("kill").args([signal, &runner.id().to_string()]).status().expect("a signal");
        assert_eq!(runner.wait().expect("an end").code(), Some(130), "{signal}");
        assert!(since.elapsed() < Duration::from_secs(15), "{signal}: {:?}", since.elapsed());
        bench.run_experiment(&runs, 0);
        assert!(outcomes(&bench, &runs) == whole, "{signal}");
    }
}
