//! Run directories and the executor, with scripts in place of workers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aelab_core::Registry;
use aelab_data::LoadContext;

use crate::executor::{ExecutorError, ExecutorOptions, RunEvent, RunSummary, StopSignal, WorkerCommand, execute, resolve_jobs};
use crate::lock::{Attempt, Holder, TrialLock};
use crate::{Execution, ExperimentSpec, Jobs, Plan, PlanSchedule, RunDir, RunDirError, SpecSource, TrialResult, TrialState, plan};

fn plan_of(epochs: &str) -> Plan {
    let text = format!(
        "name: test\ndata: {{digits: {{}}}}\nmodel: {{undercomplete: {{hidden: [], code_size: 2}}}}\n\
         train: {{epochs: 1, batch_size: 32, optimizer: {{adam: {{learning_rate: 1e-3}}}}, seed: 1}}\nsweep: {{train.epochs: {epochs}}}\n"
    );
    let source = SpecSource { file: "test.yaml".to_owned(), text, base_dir: PathBuf::from("/nowhere"), extended: None, sets: Vec::new() };
    plan(&ExperimentSpec::parse(source).unwrap(), &Registry::new(aelab_models::MODELS), &LoadContext::new("")).unwrap()
}

/// A run directory with a script that stands for the worker. The script sees `$folder`, the folder of its trial.
struct Bench {
    folder: tempfile::TempDir,
    plan: Plan,
    run_dir: RunDir,
}

const FINISH: &str = "echo '{\"format_version\": 1, \"state\": \"finished\"}' > $folder/result.json";

impl Bench {
    fn new(epochs: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan_of(epochs);
        let run_dir = RunDir::prepare(folder.path().join("run"), &plan).unwrap().run_dir;
        Self { folder, plan, run_dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn options(&self, script: &str) -> ExecutorOptions {
        let path = self.path("worker.sh");
        // Behind the options come the run directory and the hash.
        fs::write(&path, format!("shift 2; folder=$1/trials/$2\n{script}\n")).unwrap();
        let worker = WorkerCommand { program: "sh".into(), arguments: vec![path.into()] };
        ExecutorOptions {
            jobs: 1,
            threads_per_trial: 1,
            worker,
            patience: Duration::from_millis(300),
            checkpoint_every: Duration::from_secs(600),
            grace: Duration::from_secs(1),
            hang: Duration::from_secs(600),
            max_restarts: 2,
        }
    }

    fn run(&self, script: &str) -> RunSummary {
        self.run_with(&self.options(script))
    }

    fn run_with(&self, options: &ExecutorOptions) -> RunSummary {
        self.execute(options, &StopSignal::default(), &mut |_| {}).unwrap()
    }

    /// Runs again what is in one of these states.
    fn retry(&self, states: &[TrialState], script: &str) -> RunSummary {
        let mut schedule = PlanSchedule::new(&self.plan, &self.run_dir, states).unwrap();
        execute(&self.run_dir, &mut schedule, &self.options(script), &StopSignal::default(), &mut |_| {}).unwrap()
    }

    fn execute(
        &self,
        options: &ExecutorOptions,
        stop: &StopSignal,
        observe: &mut dyn FnMut(&RunEvent<'_>),
    ) -> Result<RunSummary, ExecutorError> {
        execute(&self.run_dir, &mut PlanSchedule::new(&self.plan, &self.run_dir, &[])?, options, stop, observe)
    }

    fn result(&self, trial: usize) -> TrialResult {
        self.run_dir.trial(&self.plan.trials[trial].hash).result().unwrap().unwrap()
    }

    fn trial_path(&self, trial: usize) -> PathBuf {
        self.run_dir.trial(&self.plan.trials[trial].hash).path().to_path_buf()
    }
}

use TrialState::{Diverged, Failed, Finished, Interrupted, Pending, Running};

#[test]
fn trials_run_in_the_order_of_the_plan_and_only_once() {
    let bench = Bench::new("[3, 1, 2]");
    let script = format!("echo $2 >> {}; {FINISH}", bench.path("order").display());
    assert_eq!(bench.run(&script).states, [Finished; 3]);
    let expected: Vec<String> = bench.plan.trials.iter().map(|trial| trial.hash.clone()).collect();
    let order = || fs::read_to_string(bench.path("order")).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(order(), expected);
    assert_eq!(bench.run(&script).states, [Finished; 3]);
    assert_eq!(order(), expected, "what is done is not done again");
}

#[test]
fn a_worker_that_crashes_is_recorded_with_its_log_and_the_others_go_on() {
    let bench = Bench::new("[1, 2, 3]");
    let second = &bench.plan.trials[1].hash;
    let script = format!("if [ $2 = {second} ]; then echo 'out of paper' >&2; exit 3; fi; {FINISH}");
    let summary = bench.run(&script);
    assert_eq!(summary.states, [Finished, Failed, Finished]);
    let error = bench.result(1).error.unwrap();
    assert!(error.contains("exit code 3") && error.contains("out of paper"), "{error}");
    assert_eq!(bench.run(FINISH).states, [Finished, Failed, Finished], "a failure is not tried again by itself");
    let retry = [Failed];
    assert_eq!(bench.retry(&retry, FINISH).states, [Finished; 3]);
}

#[cfg(unix)]
#[test]
fn a_worker_that_is_killed_is_recorded_with_the_signal() {
    let bench = Bench::new("[1]");
    assert_eq!(bench.run("kill -SEGV $$").states, [Failed]);
    assert!(bench.result(0).error.unwrap().contains("signal 11 (SIGSEGV)"));
}

/// The states and what was said of restarts.
fn restarts(bench: &Bench, options: &ExecutorOptions) -> (RunSummary, Vec<String>) {
    let mut reasons = Vec::new();
    let summary = bench.execute(options, &StopSignal::default(), &mut |event| {
        if let RunEvent::Restarting { reason, .. } = event {
            reasons.push((*reason).to_owned());
        }
    });
    (summary.unwrap(), reasons)
}

#[cfg(unix)]
#[test]
fn a_worker_killed_from_outside_begins_again_and_one_that_never_comes_further_fails() {
    let bench = Bench::new("[1, 2]");
    let first = &bench.plan.trials[0].hash;
    // The first trial is killed always, the second once.
    let script = format!("if [ $2 = {first} ] || [ ! -e $folder/again ]; then touch $folder/again; kill -KILL $$; fi; {FINISH}");
    let (summary, reasons) = restarts(&bench, &bench.options(&script));
    assert_eq!((summary.states, reasons.len()), (vec![Failed, Finished], 3));
    assert!(reasons[0].contains("SIGKILL") && bench.result(0).error.unwrap().contains("SIGKILL"));

    // One that comes further each time is begun again as often as it takes.
    let bench = Bench::new("[1]");
    let step = r#"echo "{\"message\": \"progress\", \"stage\": \"train\", \"epoch\": 0, \"num_epochs\": 1, \"step\": $n, \"steps_per_second\": 1, \"loss\": 1, \"valid_loss\": null}""#;
    let script = format!("echo x >> $folder/times; n=$(wc -l < $folder/times); {step}; if [ $n -lt 8 ]; then kill -KILL $$; fi; {FINISH}");
    let (summary, reasons) = restarts(&bench, &bench.options(&script));
    assert_eq!((summary.states, reasons.len()), (vec![Finished], 7));
}

#[test]
fn a_worker_that_somebody_else_stops_goes_on() {
    let bench = Bench::new("[1]");
    let (summary, reasons) = restarts(&bench, &bench.options(&format!("if mkdir $folder/once; then exit 0; fi; {FINISH}")));
    assert_eq!((summary.states, reasons), (vec![Finished], vec!["somebody else asked the worker to stop".to_owned()]));
}

#[cfg(unix)]
#[test]
fn a_worker_without_a_sign_of_life_is_killed_and_begun_again() {
    let bench = Bench::new("[1]");
    let beat = r#"echo '{"message": "beat", "phase": "evaluation"}'"#;
    let script = format!("{beat}; if mkdir $folder/once; then exec sleep 100; fi; {FINISH}");
    let options = ExecutorOptions { hang: Duration::from_millis(500), ..bench.options(&script) };
    let since = Instant::now();
    let (summary, reasons) = restarts(&bench, &options);
    assert_eq!((summary.states, reasons.len()), (vec![Finished], 1));
    assert!(reasons[0].contains("no sign of life for 0.5 seconds (evaluation)"), "{reasons:?}");
    assert!(since.elapsed() < Duration::from_secs(50));
}

#[test]
fn a_full_disk_stops_the_run_with_the_reason_and_nothing_counts_as_failed() {
    let bench = Bench::new("[1, 2]");
    let told = r#"echo '{"message": "storage", "text": "no space left on device"}'"#;
    let outcome = bench.execute(&bench.options(&format!("{told}; exit 71")), &StopSignal::default(), &mut |_| {});
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("no space left on device") && error.contains(&bench.plan.trials[0].hash), "{error}");
    assert_eq!(bench.run(FINISH).states, [Finished; 2], "the next run goes on");
}

#[test]
fn a_damaged_result_is_a_failure_of_its_trial_alone_and_is_kept_until_asked() {
    let bench = Bench::new("[1, 2]");
    bench.run(FINISH);
    let folder = bench.run_dir.trial(&bench.plan.trials[0].hash);
    let result = TrialResult { seconds: 0.1 + 0.2, steps: 17, ..TrialResult::without_metrics(Finished, None) };
    folder.write_result(&result).unwrap();
    assert_eq!(folder.result().unwrap(), Some(result));
    let whole = fs::read(folder.result_path()).unwrap();
    for (position, byte) in [(whole.len() / 2, b'9'), (whole.len() - 3, b'0')] {
        let mut damaged = whole.clone();
        damaged[position] = if damaged[position] == byte { b'8' } else { byte };
        for bytes in [&damaged[..], &whole[..position]] {
            fs::write(folder.result_path(), bytes).unwrap();
            assert_eq!(bench.run(FINISH).states, [Failed, Finished]);
            assert!(bench.result(0).error.unwrap().contains("is damaged"));
        }
    }
    let retry = [Failed];
    assert_eq!(bench.retry(&retry, FINISH).states, [Finished; 2]);
}

#[test]
fn a_diverged_trial_begins_anew_and_a_failed_one_goes_on() {
    let bench = Bench::new("[1, 2]");
    for (trial, state) in [Diverged, Failed].into_iter().enumerate() {
        let path = bench.trial_path(trial);
        fs::create_dir(path.join("checkpoints")).unwrap();
        fs::write(path.join("checkpoints/last.tar"), "state").unwrap();
        bench.run_dir.trial(&bench.plan.trials[trial].hash).write_result(&TrialResult::without_metrics(state, None)).unwrap();
    }
    let retry = [Failed, Diverged];
    assert_eq!(bench.retry(&retry, FINISH).states, [Finished; 2]);
    assert!(!bench.trial_path(0).join("checkpoints").exists() && bench.trial_path(1).join("checkpoints/last.tar").exists());
    assert!(bench.trial_path(0).join("result.previous.json").exists());
}

#[test]
fn workers_are_heard_and_their_surroundings_are_set() {
    let bench = Bench::new("[1]");
    let script = format!("echo '{{\"message\": \"note\", \"text\": \"'$RAYON_NUM_THREADS $BURN_DEVICE'\"}}'\necho 'no message'\n{FINISH}");
    let mut notes = Vec::new();
    let options = ExecutorOptions { threads_per_trial: 3, ..bench.options(&script) };
    bench
        .execute(&options, &StopSignal::default(), &mut |event| {
            if let RunEvent::Message { message: crate::WorkerMessage::Note { text }, .. } = event {
                notes.push(text.clone());
            }
        })
        .unwrap();
    assert_eq!(notes, ["3 flex"]);
    assert!(fs::read_to_string(bench.trial_path(0).join("worker.log")).unwrap().contains("no message"));
}

/// Runs and raises the stop signal as often as `raises` says once the first worker has said something.
fn stopped(bench: &Bench, script: &str, raises: usize) -> (RunSummary, Duration) {
    let stop = StopSignal::default();
    let mut since = Instant::now();
    let summary = bench
        .execute(&bench.options(script), &stop, &mut |event| {
            if let RunEvent::Message { .. } = event {
                since = Instant::now();
                (0..raises).for_each(|_| stop.raise());
            }
        })
        .unwrap();
    (summary, since.elapsed())
}

const SAY: &str = "echo '{\"message\": \"note\", \"text\": \"here\"}'";

#[test]
fn stopping_closes_the_input_of_workers_and_starts_no_more() {
    let bench = Bench::new("[1, 2]");
    let script = format!("{SAY}; cat > /dev/null; mkdir $folder/checkpoints; touch $folder/checkpoints/last.tar");
    let (summary, _) = stopped(&bench, &script, 1);
    assert_eq!(summary, RunSummary { states: vec![Interrupted, Pending], stopped: true });
    assert_eq!(bench.run(FINISH).states, [Finished; 2], "the next run goes on");
}

#[test]
fn a_worker_that_does_not_stop_is_killed_when_asked_twice() {
    let bench = Bench::new("[1]");
    let (summary, took) = stopped(&bench, &format!("{SAY}; exec sleep 100"), 2);
    assert_eq!(summary, RunSummary { states: vec![Pending], stopped: true });
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_trial_that_another_process_has_is_waited_for() {
    let bench = Bench::new("[1]");
    let lock_path = bench.trial_path(0).join("lock");
    let Attempt::Taken(mut lock) = TrialLock::attempt(&lock_path).unwrap() else { panic!("the lock is free") };
    lock.sign().unwrap();
    assert_eq!(bench.run_dir.trial(&bench.plan.trials[0].hash).state().unwrap(), Running);
    let mut lock = Some(lock);
    let mut waited = false;
    let summary = bench
        .execute(&bench.options(FINISH), &StopSignal::default(), &mut |event| {
            if let RunEvent::Waiting { holder, .. } = event {
                assert_eq!(holder.unwrap().pid, std::process::id());
                waited = true;
                lock = None;
            }
        })
        .unwrap();
    assert_eq!((summary.states, waited), (vec![Finished], true));
}

#[cfg(target_os = "linux")]
#[test]
fn an_orphan_that_does_not_die_is_named() {
    let bench = Bench::new("[1]");
    let lock_path = bench.trial_path(0).join("lock");
    let Attempt::Taken(mut lock) = TrialLock::attempt(&lock_path).unwrap() else { panic!("the lock is free") };
    lock.sign().unwrap();
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let text = fs::read_to_string(&lock_path).unwrap();
    let mut holder: serde_json::Value = serde_json::from_str(&text).unwrap();
    holder["runner_pid"] = gone.id().into();
    fs::write(&lock_path, holder.to_string()).unwrap();
    let outcome = bench.execute(&bench.options(FINISH), &StopSignal::default(), &mut |_| {});
    assert!(matches!(outcome, Err(ExecutorError::Stuck { .. })), "{outcome:?}");
}

#[test]
fn a_lock_whose_holder_gives_no_sign_of_life_is_named_after_all_else_is_done() {
    let bench = Bench::new("[1, 2]");
    let lock_path = bench.trial_path(0).join("lock");
    let holder = Holder { host: "a-machine-that-is-gone".to_owned(), ..Holder::this_process() };
    fs::write(&lock_path, serde_json::to_vec(&holder).unwrap()).unwrap();
    let Attempt::Taken(_lock) = TrialLock::attempt(&lock_path).unwrap() else { panic!("the lock is free") };
    let progress = bench.trial_path(0).join("progress.json");
    let beat = |number: u64| fs::write(&progress, format!(r#"{{"num_beats": {number}, "phase": "", "pid": 1, "host": ""}}"#)).unwrap();
    beat(0);
    let options = ExecutorOptions { hang: Duration::from_secs(3), ..bench.options(FINISH) };
    // As long as it beats, it is waited for, whatever clocks say.
    let stop = StopSignal::default();
    let (is_over, beats) = (std::sync::atomic::AtomicBool::new(false), std::sync::atomic::AtomicU64::new(0));
    std::thread::scope(|scope| {
        use std::sync::atomic::Ordering::SeqCst;
        let beating = scope.spawn(|| {
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(6) {
                beat(beats.fetch_add(1, SeqCst));
                std::thread::sleep(Duration::from_millis(100));
            }
            !is_over.load(SeqCst)
        });
        let outcome = bench.execute(&options, &stop, &mut |_| {});
        is_over.store(true, SeqCst);
        assert!(beating.join().unwrap(), "it is given up only after it has stopped beating");
        let Err(error @ ExecutorError::Silent { .. }) = outcome else { panic!("{outcome:?}") };
        assert!(error.to_string().contains("a-machine-that-is-gone") && error.to_string().contains("lock"), "{error}");
    });
    assert_eq!(bench.result(1).state, Finished, "the rest is done");
}

#[test]
fn a_worker_of_another_protocol_is_refused() {
    let bench = Bench::new("[1]");
    let hello = r#"echo '{"message": "hello", "protocol_version": 99, "program_version": "9.9.9"}'; exec sleep 100"#;
    let outcome = bench.execute(&bench.options(hello), &StopSignal::default(), &mut |_| {});
    let Err(error @ ExecutorError::Protocol { found: 99, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(error.to_string().contains("9.9.9") && error.to_string().contains("replaced"), "{error}");
    assert_eq!(bench.run_dir.trial(&bench.plan.trials[0].hash).state().unwrap(), Pending);
}

#[test]
fn a_worker_whose_memory_ran_out_is_told_from_other_crashes() {
    let bench = Bench::new("[1]");
    // What follows may be as long as a stack is deep.
    bench.run("echo 'memory allocation of 999 bytes failed' >&2; seq 100 >&2; kill -ABRT $$");
    let error = bench.result(0).error.unwrap();
    let expected = "the worker ran out of memory (memory allocation of 999 bytes failed): the worker was killed by signal 6 (SIGABRT)";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn files_of_another_format_version_are_refused_with_the_cure() {
    let bench = Bench::new("[1]");
    bench.run(FINISH);
    let trial = bench.run_dir.trial(&bench.plan.trials[0].hash);
    fs::write(trial.result_path(), r#"{"format_version": 2, "state": "finished"}"#).unwrap();
    let Err(error @ RunDirError::FileVersion { found: 2, .. }) = trial.result() else { panic!("refused") };
    assert!(error.to_string().contains("use the aelab that wrote it"), "{error}");
    fs::write(trial.progress_path(), r#"{"format_version": 2, "num_beats": 1, "phase": "", "pid": 1, "host": ""}"#).unwrap();
    assert_eq!(trial.progress(), None);
    let mut config = trial.config().unwrap();
    config["format_version"] = 2.into();
    let error = crate::ResolvedTrial::parse(&config, &Registry::new(aelab_models::MODELS)).unwrap_err();
    assert!(matches!(error, crate::TrialConfigError::Version { found: 2 }), "{error}");
    edit(&bench.run_dir.plan_path(), "\"format_version\": 1,\n  \"name\"", "\"format_version\": 2,\n  \"name\"");
    assert!(matches!(bench.run_dir.plan(), Err(RunDirError::FileVersion { found: 2, .. })));
    let prepared = RunDir::prepare(bench.run_dir.root(), &bench.plan);
    assert!(matches!(prepared, Err(RunDirError::FileVersion { found: 2, .. })), "what another aelab wrote is not written over");
}

#[test]
fn jobs_are_bounded_by_the_cores() {
    let execution = |jobs, threads_per_trial| Execution { jobs, threads_per_trial, ..Execution::default() };
    assert_eq!(resolve_jobs(&execution(Jobs::Auto, 1), 8).unwrap(), (8, None));
    assert_eq!(resolve_jobs(&execution(Jobs::Auto, 3), 8).unwrap(), (2, None));
    assert_eq!(resolve_jobs(&execution(Jobs::Count(2), 4), 8).unwrap(), (2, None));
    let (jobs, warning) = resolve_jobs(&execution(Jobs::Count(5), 4), 8).unwrap();
    assert!(jobs == 2 && warning.unwrap().contains("20 cores"));
    assert!(matches!(resolve_jobs(&execution(Jobs::Auto, 9), 8), Err(ExecutorError::TooManyThreads { .. })));
}

#[test]
fn an_edited_experiment_keeps_what_is_there_and_its_history() {
    let bench = Bench::new("[1, 2]");
    bench.run(FINISH);
    let edited = plan_of("[2, 3]");
    let prepared = RunDir::prepare(bench.run_dir.root(), &edited).unwrap();
    assert_eq!(prepared.num_new, 1);
    assert_eq!(prepared.left_over, [bench.plan.trials[0].hash.clone()]);
    let states: Vec<TrialState> = edited.trials.iter().map(|trial| bench.run_dir.trial(&trial.hash).state().unwrap()).collect();
    assert_eq!(states, [Finished, Pending]);
    let history = bench.run_dir.root().join("history");
    assert!(fs::read_to_string(history.join("1-experiment.yaml")).unwrap().contains("[1, 2]"));
    RunDir::prepare(bench.run_dir.root(), &edited).unwrap();
    assert!(!history.join("2-experiment.yaml").exists(), "the same experiment again is no history");
    assert!(bench.run_dir.plan().unwrap().source.text.contains("[2, 3]"));
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn an_ended_trial_whose_configuration_was_edited_is_refused_with_the_difference() {
    let bench = Bench::new("[1]");
    let config = bench.trial_path(0).join("config.yaml");
    edit(&config, "batch_size: 32", "batch_size: 64");
    RunDir::prepare(bench.run_dir.root(), &bench.plan).unwrap();
    assert!(fs::read_to_string(&config).unwrap().contains("batch_size: 32"), "what has not begun is written anew");
    bench.run(FINISH);
    edit(&config, "batch_size: 32", "batch_size: 64");
    let Err(error @ RunDirError::Contradiction { .. }) = RunDir::prepare(bench.run_dir.root(), &bench.plan) else { panic!("refused") };
    assert!(error.to_string().contains("train.batch_size: planned 32, stored 64"), "{error}");
    edit(&config, "batch_size: 64", "batch_size: 32");
    edit(&config, "format_version: 1", "format_version: 0");
    let Err(error @ RunDirError::FormatVersion { found: 0, .. }) = RunDir::prepare(bench.run_dir.root(), &bench.plan) else {
        panic!("refused")
    };
    assert!(error.to_string().contains("format version 0"), "{error}");
}

#[test]
fn a_stored_trial_is_read_back_as_it_was_planned() {
    let bench = Bench::new("[1, 2]");
    let registry = Registry::new(aelab_models::MODELS);
    for trial in &bench.plan.trials {
        let stored = bench.run_dir.trial(&trial.hash).config().unwrap();
        let resolved = crate::ResolvedTrial::parse(&stored, &registry).unwrap();
        assert_eq!((&resolved.hash, &resolved.definition, resolved.train.seed), (&trial.hash, &trial.definition, trial.seed));
        assert_eq!(resolved.overrides, trial.overrides);
    }
}

#[test]
fn a_run_directory_is_found_by_path_or_name() {
    let bench = Bench::new("[1]");
    let root = bench.run_dir.root();
    assert_eq!(RunDir::open(root, Path::new("elsewhere")).unwrap(), bench.run_dir);
    assert_eq!(RunDir::open(Path::new("run"), bench.folder.path()).unwrap(), bench.run_dir);
    assert!(matches!(RunDir::open(Path::new("absent"), bench.folder.path()), Err(RunDirError::NotARun(_))));
}
