//! What goes wrong with machines: full disks, lost permissions, damaged files, processes that hang, several runners at once. Each ends
//! in a finished sweep or in a clear error, never in a wrong result.
//!
//! Some need tools (`faketime`, `prlimit`, `setpriv`, `unshare`): with `AELAB_REQUIRE_FAULT_TOOLS` their absence is a failure.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Bench, Outcome, json, outcome};

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

/// Whether a tool that makes a fault is there and may be used.
fn can_run(command: &[&str]) -> bool {
    let status = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let can = status.is_ok_and(|status| status.success());
    assert!(can || std::env::var_os("AELAB_REQUIRE_FAULT_TOOLS").is_none(), "`{}` cannot be run", command.join(" "));
    if !can {
        eprintln!("NOT TESTED: `{}` cannot be run", command.join(" "));
    }
    can
}

/// A sweep that takes long enough to do something to it meanwhile.
fn long_sweep() -> String {
    SWEEP.replace("epochs: 6", "epochs: 150")
}

/// Waits for the first checkpoint of a run: most of the work is still to come.
fn await_checkpoint(bench: &Bench, runs: &str) {
    let trials = bench.path(&format!("{runs}/faults/trials"));
    let has_begun = || {
        fs::read_dir(&trials)
            .is_ok_and(|mut all| all.any(|trial| trial.is_ok_and(|trial| trial.path().join("checkpoints/last.tar").exists())))
    };
    let since = Instant::now();
    while !has_begun() {
        assert!(since.elapsed() < Duration::from_secs(120), "no checkpoint comes");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn send(signal: &str, process: u32) {
    let status = Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "the signal is sent");
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
    let bench = Bench::new(&long_sweep());
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
        await_checkpoint(&bench, &runs);
        let since = Instant::now();
        send(signal, runner.id());
        assert_eq!(runner.wait().expect("an end").code(), Some(130), "{signal}");
        assert!(since.elapsed() < Duration::from_secs(15), "{signal}: {:?}", since.elapsed());
        bench.run_experiment(&runs, 0);
        assert!(outcomes(&bench, &runs) == whole, "{signal}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_clock_that_goes_backwards_changes_nothing() {
    if !can_run(&["faketime", "-f", "+0", "true"]) {
        return;
    }
    let bench = Bench::new(&long_sweep());
    bench.run_experiment("whole", 0);
    let library = Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]).output().expect("faketime runs").stdout;
    let library = String::from_utf8(library).expect("a path").trim().to_owned();
    // The clock of the wall alone: that of the machine goes on, as it does in earnest. The file is read at every look.
    let start = || {
        bench
            .command(&["run", "experiment.yaml", "--runs", "runs"])
            .env("LD_PRELOAD", &library)
            .env("FAKETIME_TIMESTAMP_FILE", bench.path("clock"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    };
    fs::write(bench.path("clock"), "+400d").expect("a clock");
    let mut runner = start();
    await_checkpoint(&bench, "runs");
    let since = |trial: &Path| json(&trial.join("lock"))["since"].as_u64();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let is_ahead = bench.trials("runs/faults").iter().any(|trial| {
        trial.join("lock").exists()
            && fs::metadata(trial.join("lock")).is_ok_and(|file| file.len() > 0)
            && since(trial) > Some(now + 300 * 86400)
    });
    assert!(is_ahead, "the program sees the clock of the test");
    fs::write(bench.path("clock"), "-400d").expect("a clock");
    std::thread::sleep(Duration::from_millis(300));
    send("-TERM", runner.id());
    assert!(matches!(runner.wait().expect("an end").code(), Some(0 | 130)));
    fs::write(bench.path("clock"), "-800d").expect("a clock");
    assert_eq!(start().wait().expect("an end").code(), Some(0));
    assert!(outcomes(&bench, "runs") == outcomes(&bench, "whole"));
    for trial in bench.trials("runs/faults") {
        let seconds = json(&trial.join("result.json"))["seconds"].as_f64().expect("a number");
        assert!((0.0..86400.0).contains(&seconds), "{seconds}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_without_memory_fails_with_the_reason_and_the_others_finish() {
    if !can_run(&["prlimit", "--as=3000000000", "true"]) {
        return;
    }
    let large =
        SWEEP.replace("sweep: {model.undercomplete.code_size: [2, 3]}", "sweep: {model.undercomplete.hidden: [[16], [30000, 30000]]}");
    let bench = Bench::new(&large);
    let program = bench.command(&[]).get_program().to_owned();
    let output = Command::new("prlimit")
        .arg("--as=3000000000")
        .arg(program)
        .args(["run", "experiment.yaml", "--runs", "runs"])
        .current_dir(bench.path("."))
        .env("NO_COLOR", "1")
        .output()
        .expect("prlimit runs");
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("ran out of memory"), "{text}");
    let results: Vec<_> = bench.trials("runs/faults").iter().map(|trial| json(&trial.join("result.json"))).collect();
    let state = |wanted: &str| results.iter().find(|result| result["state"] == wanted).expect("one of each");
    assert!(state("failed")["error"].as_str().is_some_and(|error| error.contains("memory allocation of")), "{text}");
    assert!(state("finished")["metrics"].as_array().is_some_and(|metrics| !metrics.is_empty()));
}

#[cfg(unix)]
#[test]
fn a_runner_that_is_killed_and_begun_again_at_once_takes_over() {
    let bench = Bench::new(&long_sweep());
    bench.run_experiment("whole", 0);
    let start = || {
        let mut command = bench.command(&["run", "experiment.yaml", "--runs", "runs"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
    };
    for round in 0..6 {
        let mut runner = start();
        if round == 0 {
            await_checkpoint(&bench, "runs");
        } else {
            std::thread::sleep(Duration::from_millis(150 * round));
        }
        // It may be done by now.
        let _ = Command::new("kill").args(["-KILL", &runner.id().to_string()]).stderr(Stdio::null()).status();
        runner.wait().expect("an end");
    }
    bench.run_experiment("runs", 0);
    assert!(outcomes(&bench, "runs") == outcomes(&bench, "whole"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_folder_is_named_before_anything_runs() {
    if !can_run(&["unshare", "-m", "true"]) {
        return;
    }
    let bench = Bench::new(SWEEP);
    interrupted(&bench);
    let program = bench.command(&[]).get_program().to_owned();
    let script = "mount --bind runs runs && mount -o remount,ro,bind runs && exec \"$0\" run experiment.yaml --runs runs --retry failed";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(program)
        .current_dir(bench.path("."))
        .env("NO_COLOR", "1")
        .output()
        .expect("a shell");
    let text = text(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("ead-only file system") && !text.contains("panicked"), "{text}");
    bench.run(&["run", "experiment.yaml", "--runs", "runs", "--retry", "failed"]);
    assert!(outcomes(&bench, "runs") == undisturbed());
}

#[test]
fn a_disk_that_becomes_read_only_or_breaks_stops_the_run_and_the_next_one_goes_on() {
    for fault in ["create:last:read_only", "sync:last:broken_disk"] {
        let bench = Bench::new(SWEEP);
        let output = run_with(&bench, fault, &[]);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(3), "{fault}: {text}");
        assert!(text.contains("go on with: aelab resume") && !text.contains("panicked"), "{fault}: {text}");
        goes_on(&bench);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_permission_is_really_lost_stops_the_run_and_the_next_one_goes_on() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    // Root may do everything: another user has to run it.
    if !can_run(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "true"]) {
        return;
    }
    let bench = Bench::new(&long_sweep());
    bench.run_experiment("whole", 0);
    let program = bench.path("program");
    fs::copy(bench.command(&[]).get_program(), &program).expect("a copy");
    chown(bench.path("."), Some(65534), Some(65534)).expect("only root may use setpriv");
    let start = || {
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(["run", "experiment.yaml", "--runs", "runs"])
            .current_dir(bench.path("."))
            .env("NO_COLOR", "1")
            .env("HOME", bench.path("."))
            .env_remove("AELAB_DATA")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    };
    let runner = start();
    await_checkpoint(&bench, "runs");
    let allow = |mode: u32| {
        for trial in bench.trials("runs/faults") {
            let folder = trial.join("checkpoints");
            if folder.exists() {
                assert_eq!(fs::metadata(&folder).expect("a folder").uid(), 65534);
                fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("it may be changed");
            }
        }
    };
    allow(0o555);
    let output = runner.wait_with_output().expect("an end");
    let told = text(&output);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("ermission denied") && told.contains("go on with: aelab resume"), "{told}");
    allow(0o755);
    let output = start().wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(outcomes(&bench, "runs") == outcomes(&bench, "whole"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_system_without_locks_is_refused_with_the_cure() {
    let bench = Bench::new(SWEEP);
    let output = run_with(&bench, "lock:lock:no_locks", &[]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("gives no locks") && text.contains("lockd") && text.contains("--runs"), "{text}");
    goes_on(&bench);
}

#[test]
fn locks_that_do_not_reach_another_machine_are_noticed_by_its_signs_of_life() {
    let bench = Bench::new(SWEEP);
    let output = run_with(&bench, "create:last:denied", &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let trials = bench.trials("runs/faults");
    let holder = r#"{"pid": 1, "runner_pid": 1, "host": "another-machine", "since": 0, "boot_id": "another"}"#;
    trials.iter().for_each(|trial| fs::write(trial.join("lock"), holder).expect("a lock file"));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if is_over.load(std::sync::atomic::Ordering::SeqCst) {
                    break;
                }
                for trial in &trials {
                    let progress = format!(r#"{{"num_beats": {number}, "phase": "training", "pid": 1, "host": "another-machine"}}"#);
                    fs::write(trial.join("progress.json"), progress).expect("signs of life");
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let output = bench.run(&["run", "experiment.yaml", "--runs", "runs"]);
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        output
    });
    let told = text(&output);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("process 1 on another-machine") && told.contains("do not reach"), "{told}");
    assert!(trials.iter().all(|trial| !trial.join("result.json").exists()), "nothing counts as failed");
    // Without signs of life that machine is gone.
    goes_on(&bench);
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_passed_over_for_the_one_before() {
    let whole = undisturbed();
    let bench = Bench::new(SWEEP);
    interrupted(&bench);
    let output = run_with(&bench, "read:last:broken_disk", &["--retry", "failed"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("falling back to the one before"), "{text}");
    assert!(outcomes(&bench, "runs") == whole);
}

#[test]
fn damaged_checkpoints_and_a_log_that_lost_its_end_cost_time_and_no_bit() {
    // With steps that grow so large the first epoch is the best one.
    let sweep = SWEEP.replace("learning_rate: 1e-3", "learning_rate: {warm_up: {epochs: 5, then: 2.0}}");
    let whole = Bench::new(&sweep);
    whole.run_experiment("whole", 0);
    let whole = outcomes(&whole, "whole");
    assert!(whole.iter().all(|(_, result, _)| result["best_epoch"].as_u64() < Some(5)), "the best epoch is not the last one");
    let remove = |path: &Path| fs::remove_file(path).expect("a file");
    let spoil = |path: &Path| {
        // `best` and `last` may be two names of one file.
        remove(path);
        fs::write(path, b"spoilt").expect("a file");
    };
    type Damage<'a> = (&'a dyn Fn(&Path), &'a str);
    let damage: [Damage<'_>; 5] = [
        (&|checkpoints| spoil(&checkpoints.join("best.tar")), "the best epoch is lost, and training begins anew"),
        (&|checkpoints| remove(&checkpoints.join("best.tar")), "the best epoch is lost, and training begins anew"),
        (
            &|checkpoints| ["last.tar", "previous.tar", "best.tar"].iter().for_each(|name| spoil(&checkpoints.join(name))),
            "training begins anew",
        ),
        (
            &|checkpoints| {
                let log = checkpoints.with_file_name("metrics.jsonl");
                let bytes = fs::read(&log).expect("a log");
                // The last line was written after the last checkpoint.
                let end = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("several lines");
                fs::write(&log, &bytes[..end - 5]).expect("a log");
            },
            "metrics.jsonl` has",
        ),
        (
            &|checkpoints| {
                let log = checkpoints.with_file_name("metrics.jsonl");
                let mut bytes = fs::read(&log).expect("a log");
                bytes[20] ^= 0xff;
                fs::write(&log, bytes).expect("a log");
            },
            "metrics.jsonl` was altered",
        ),
    ];
    for (damage, note) in damage {
        let bench = Bench::new(&sweep);
        interrupted(&bench);
        damage(&first_with_checkpoint(&bench));
        let output = bench.run(&["run", "experiment.yaml", "--runs", "runs", "--retry", "failed"]);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(0), "{note}: {text}");
        assert!(text.contains(note), "{note}: {text}");
        assert!(outcomes(&bench, "runs") == whole, "{note}");
    }
}

#[test]
fn a_trial_that_goes_on_under_other_conditions_says_so_and_keeps_where_it_was_begun() {
    let bench = Bench::new(SWEEP);
    interrupted(&bench);
    let path = first_with_checkpoint(&bench).with_file_name("environment.json");
    let mut environment = json(&path);
    environment["aelab"] = "0.0.1".into();
    fs::write(&path, environment.to_string()).expect("it can be written");
    let output = bench.run(&["run", "experiment.yaml", "--runs", "runs", "--retry", "failed"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("begun elsewhere") && text.contains("aelab: 0.0.1 before"), "{text}");
    assert_eq!(json(&path)["before"][0]["aelab"], "0.0.1");
}

#[cfg(unix)]
#[test]
fn an_evaluation_is_broken_off_at_once_and_done_again_to_the_bit() {
    let bench = Bench::new(SWEEP);
    let mark = bench.path("mark");
    let mut runner = bench
        .command(&["run", "experiment.yaml", "--runs", "runs", "--set", "execution.grace_seconds=100"])
        .env("AELAB_FAULT", format!("measure::hang:{}", mark.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let since = Instant::now();
    while !mark.exists() {
        assert!(since.elapsed() < Duration::from_secs(120), "no evaluation comes");
        std::thread::sleep(Duration::from_millis(10));
    }
    let since = Instant::now();
    send("-INT", runner.id());
    assert_eq!(runner.wait().expect("an end").code(), Some(130));
    assert!(since.elapsed() < Duration::from_secs(60), "it does not wait for the evaluation");
    goes_on(&bench);
}

#[test]
fn work_that_says_nothing_is_told_from_a_hang_by_its_processor_time() {
    let bench = Bench::new(SWEEP);
    let (works, hangs) = (bench.path("works"), bench.path("hangs"));
    let faults = format!("load::spin:{} measure::hang:{}", works.display(), hangs.display());
    let output = run_with(&bench, &faults, &["--set", "execution.hang_seconds=5"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(works.exists() && text.matches("no sign of life for 5 seconds (").count() == 1, "{text}");
    assert!(text.contains("no sign of life for 5 seconds (finishing)"), "{text}");
    assert!(outcomes(&bench, "runs") == undisturbed());
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_is_replaced_meanwhile_goes_on_with_its_own_workers() {
    let bench = Bench::new(SWEEP);
    let program = bench.path("program");
    fs::copy(bench.command(&[]).get_program(), &program).expect("a copy");
    let runner = Command::new(&program)
        .args(["run", "experiment.yaml", "--runs", "runs"])
        .current_dir(bench.path("."))
        .env("NO_COLOR", "1")
        .env("AELAB_FAULT", format!("measure::spin:{}", bench.path("mark").display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    await_checkpoint(&bench, "runs");
    // The second worker is not started yet: the first one is at work for ten seconds.
    fs::remove_file(&program).expect("it is there");
    fs::write(&program, "not a program").expect("it can be written");
    let output = runner.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(outcomes(&bench, "runs") == undisturbed());
}
