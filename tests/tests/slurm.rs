//! Runs on a real Slurm: a controller and two simulated nodes on this machine, brought up by `scripts/slurm_local.sh`. Whatever
//! happens to jobs, nodes, controller or runner, the sweep ends with the bits of a local one.
//!
//! Without Slurm's programs, or not as root, these tests say so and pass, unless `AELAB_REQUIRE_SLURM` is set.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::search::{SEARCH, outcome as search_outcome};
use crate::support::{Bench, Outcome, json, outcome, rows};

const SWEEP: &str = "
name: cluster
data: {digits: {}}
model: {undercomplete: {hidden: [64], code_size: 2}}
train: {epochs: 400, batch_size: 32, optimizer: {adam: {learning_rate: 1e-3}}, seed: 1, log_every: 20}
evaluate: [reconstruction]
sweep: {model.undercomplete.code_size: [2, 3, 4]}
execution: {executor: slurm, jobs: 2, slurm: {cpus_per_task: 2}}
";

fn is_here() -> bool {
    let found = ["slurmctld", "slurmd", "munged", "sbatch"].iter().all(|program| {
        let search = format!("PATH=\"$PATH:/usr/sbin:/sbin\" command -v {program}");
        Command::new("sh").args(["-c", &search]).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    });
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"));
    if found && is_root {
        return true;
    }
    assert!(
        std::env::var_os("AELAB_REQUIRE_SLURM").is_none(),
        "AELAB_REQUIRE_SLURM is set, but Slurm is not here (apt-get install slurm-wlm munge) or this is not root"
    );
    eprintln!("NOT RUN: tests on a real Slurm need root and its programs (apt-get install slurm-wlm munge)");
    false
}

/// A Slurm of its own.
struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    fn start() -> Option<Self> {
        if !is_here() {
            return None;
        }
        // A port may be taken between the look and its use.
        for attempt in 0..3 {
            let cluster = Self { folder: tempfile::tempdir().expect("a temporary folder") };
            let output = cluster.script(&["start"], &["2", "2"]);
            if output.status.success() {
                return Some(cluster);
            }
            eprintln!("attempt {attempt}: {}", text(&output));
        }
        panic!("Slurm does not come up");
    }

    fn script(&self, before: &[&str], after: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/slurm_local.sh");
        Command::new(script).args(before).arg(self.folder.path()).args(after).output().expect("the script runs")
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    /// One of Slurm's commands.
    fn slurm(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program).args(arguments).env("SLURM_CONF", self.configuration()).output().expect("Slurm is here")
    }

    /// `job_index state node` of each element that is not over.
    fn queue(&self) -> Vec<(String, String, String)> {
        let output = self.slurm("squeue", &["--noheader", "--array", "--format=%F_%K|%T|%N"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines()
            .filter_map(|line| {
                let mut parts = line.split('|').map(str::to_owned);
                Some((parts.next()?, parts.next()?, parts.next()?))
            })
            .collect()
    }

    /// What is put back into the queue waits for two minutes, so that a node can recover. Here it does not have to.
    fn hurry(&self) {
        let output = self.slurm("squeue", &["--noheader", "--array", "--states=PENDING", "--format=%F_%K|%r"]);
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some((task, "BeginTime")) = line.split_once('|') {
                self.slurm("scontrol", &["update", &format!("JobId={task}"), "StartTime=now"]);
            }
        }
    }

    fn daemon(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join("run").join(format!("{name}.pid"))).expect("a daemon that runs").trim().to_owned()
    }

    /// A node is gone as with a power cut: its daemon, and everything that it had started.
    fn kill_node(&self, node: &str) {
        kill(&self.daemon(&format!("slurmd.{node}")));
        let (here, there) = (format!("SLURM_CONF={}", self.configuration().display()), format!("SLURMD_NODENAME={node}"));
        let of_node = |pid: &str| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let has = |wanted: &str| environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes());
            has(&here) && has(&there)
        };
        let parent = |pid: &str| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            status.lines().find_map(|line| line.strip_prefix("PPid:")).map(|pid| pid.trim().to_owned())
        };
        let pids = fs::read_dir("/proc").expect("processes").flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let pids: Vec<String> = pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && of_node(pid)).collect();
        let keepers: Vec<String> = pids
            .iter()
            .filter_map(|pid| parent(pid))
            .filter(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with("slurmstepd")))
            .collect();
        assert!(!pids.is_empty() && !keepers.is_empty(), "{node} has no work");
        for pid in keepers.iter().chain(&pids) {
            kill(pid);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script(&["stop"], &[]);
    }
}

fn kill(pid: &str) {
    // It may have ended just now.
    let _ = Command::new("kill").args(["-KILL", pid]).stderr(Stdio::null()).status();
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A sweep on a cluster.
struct Sweep {
    bench: Bench,
    cluster: Cluster,
}

impl Sweep {
    fn new(yaml: &str) -> Option<Self> {
        Some(Self { cluster: Cluster::start()?, bench: Bench::new(yaml) })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        command.env("SLURM_CONF", self.cluster.configuration());
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    fn run(&self, more: &[&str]) -> Child {
        self.start(&[&["run", "experiment.yaml"], more].concat())
    }

    /// Waits until something is so, putting requeued tasks to the front.
    fn wait_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let since = Instant::now();
        while !is_so() {
            assert!(since.elapsed() < Duration::from_secs(180), "{what} does not happen; the queue has {:?}", self.cluster.queue());
            self.cluster.hurry();
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a runner has the lead.
    fn wait_until_watched_by(&self, runner: &Child) {
        let lock = self.bench.path("runs/cluster/slurm/lock");
        let pid = format!("\"pid\":{},", runner.id());
        self.wait_for("a runner that watches", || fs::read_to_string(&lock).is_ok_and(|holder| holder.contains(&pid)));
    }

    /// The end of a runner: its code and what it said.
    fn end(&self, mut runner: Child) -> (Option<i32>, String) {
        self.wait_for_end(&mut runner);
        let output = runner.wait_with_output().expect("an end");
        (output.status.code(), text(&output))
    }

    fn wait_for_end(&self, runner: &mut Child) {
        let since = Instant::now();
        while runner.try_wait().expect("the runner can be asked").is_none() {
            if since.elapsed() > Duration::from_secs(500) {
                let _ = runner.kill();
                panic!("the runner does not end; the queue has {:?}", self.cluster.queue());
            }
            self.cluster.hurry();
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn end_well(&self, runner: Child) -> String {
        let (code, text) = self.end(runner);
        assert_eq!(code, Some(0), "{text}\n{}", self.logs());
        text
    }

    fn logs(&self) -> String {
        let mut all = String::new();
        for entry in fs::read_dir(self.bench.path("runs/cluster/slurm/out")).into_iter().flatten().flatten() {
            all.push_str(&format!("-- {}\n{}", entry.path().display(), fs::read_to_string(entry.path()).unwrap_or_default()));
        }
        all
    }

    fn outcomes(&self) -> Vec<Outcome> {
        outcomes(&self.bench)
    }

    /// Whether so many trials have a checkpoint and are not over.
    fn num_under_way(&self) -> usize {
        let trials = fs::read_dir(self.bench.path("runs/cluster/trials")).into_iter().flatten().flatten();
        trials.filter(|trial| trial.path().join("checkpoints/last.tar").exists() && !trial.path().join("result.json").exists()).count()
    }

    /// Lines of `jobs.jsonl` about that event.
    fn journal(&self, event: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.bench.path("runs/cluster/slurm/jobs.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        lines.filter(|value| value["event"] == event).collect()
    }

    /// Lines that tasks wrote about that event.
    fn num_records(&self, event: &str) -> usize {
        let wanted = format!("\"event\":\"{event}\"");
        let files = fs::read_dir(self.bench.path("runs/cluster/slurm/out")).into_iter().flatten().flatten();
        let files = files.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "jsonl"));
        files.map(|entry| fs::read_to_string(entry.path()).unwrap_or_default().matches(&wanted).count()).sum()
    }

    fn states(&self) -> Vec<String> {
        let output = self.command(&["status", "cluster", "--json"]).output().expect("the program starts");
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
        let trials = status["trials"].as_array().expect("trials");
        trials.iter().map(|trial| trial["state"].as_str().expect("a state").to_owned()).collect()
    }
}

/// An experiment on this machine, without Slurm.
fn run_here(yaml: &str) -> Bench {
    let bench = Bench::new(yaml);
    let output = bench.run(&["run", "experiment.yaml", "--set", "execution.executor=local"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    bench
}

fn outcomes(bench: &Bench) -> Vec<Outcome> {
    bench.trials("runs/cluster").iter().map(|trial| outcome(trial)).collect()
}

/// The sweep on this machine, without Slurm.
fn local() -> &'static [Outcome] {
    static LOCAL: OnceLock<Vec<Outcome>> = OnceLock::new();
    LOCAL.get_or_init(|| outcomes(&run_here(SWEEP)))
}

#[test]
fn a_sweep_on_a_cluster_ends_with_the_bits_of_a_local_one() {
    let Some(sweep) = Sweep::new(&SWEEP.replace("{cpus_per_task: 2}", "{trials_per_task: 2, setup: ['export SETUP=done', 'echo $SETUP']}"))
    else {
        return;
    };
    let said = sweep.end_well(sweep.run(&[]));
    assert!(said.contains("submitted 3 trials as job"), "{said}");
    assert!(sweep.outcomes() == local());
    let script = fs::read_to_string(sweep.bench.path("runs/cluster/slurm/task.sh")).expect("the script");
    assert!(script.contains("#SBATCH --requeue") && script.contains("#SBATCH --signal=B:USR1@60"), "{script}");
    let log = fs::read_to_string(sweep.bench.path("runs/cluster/slurm/out/1_0.log")).expect("the log of the first task");
    assert!(log.starts_with("done\n") && log.matches("finished").count() == 2, "{log}");

    // The same experiment, without a cluster.
    let bench = Bench::new(SWEEP);
    bench.run(&["run", "experiment.yaml", "--set", "execution.executor=local"]);
    for table in ["summary.csv", "trials.csv"] {
        assert_eq!(rows(&sweep.bench.path("runs/cluster").join(table)), rows(&bench.path("runs/cluster").join(table)));
    }
    // Nothing is left to submit.
    sweep.end_well(sweep.run(&[]));
    assert_eq!(sweep.journal("submitting").len(), 1);
}

#[test]
fn a_search_on_a_cluster_is_the_one_on_this_machine() {
    let yaml = SEARCH
        .replace("name: search", "name: cluster")
        .replace("max_trials: 20", "max_trials: 12")
        .replace("execution: {", "execution: {executor: slurm, slurm: {cpus_per_task: 1}, ");
    let Some(sweep) = Sweep::new(&yaml) else { return };
    let said = sweep.end_well(sweep.run(&[]));
    assert!(said.contains("ended: `max_trials: 12` have been proposed"), "{said}");
    let bench = run_here(&yaml);
    // The plans differ in where they run.
    let (_, log, trials) = search_outcome(&sweep.bench.path("runs/cluster"));
    let (_, local_log, local_trials) = search_outcome(&bench.path("runs/cluster"));
    assert_eq!(String::from_utf8_lossy(&log), String::from_utf8_lossy(&local_log));
    assert!(trials == local_trials);
    let num_stopped = trials.iter().filter(|(_, result, _)| result["state"] == "stopped").count();
    assert!(num_stopped > 0, "trials paused at their rungs, and some were given up there");
}

#[test]
fn the_work_of_a_node_that_dies_goes_on_elsewhere_from_its_checkpoint() {
    let Some(sweep) = Sweep::new(SWEEP) else { return };
    let runner = sweep.run(&[]);
    sweep.wait_for("work on two nodes", || sweep.num_under_way() == 2);
    sweep.cluster.kill_node("n1");
    sweep.cluster.slurm("scontrol", &["update", "NodeName=n1", "State=DOWN", "Reason=killed"]);
    let said = sweep.end_well(runner);
    assert!(said.contains("begun again"), "{said}");
    assert!(sweep.outcomes() == local());
    assert_eq!((sweep.journal("submitting").len(), sweep.num_records("begun")), (1, 4), "Slurm itself began the task again");
}

#[test]
fn a_task_that_somebody_cancels_is_left_to_the_next_run() {
    let Some(sweep) = Sweep::new(SWEEP) else { return };
    let runner = sweep.run(&[]);
    sweep.wait_for("work on two nodes", || sweep.num_under_way() == 2);
    let (task, ..) = sweep.cluster.queue().into_iter().find(|(_, state, _)| state == "RUNNING").expect("a task that runs");
    sweep.cluster.slurm("scancel", &[&task]);
    let (code, said) = sweep.end(runner);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("task {task} was cancelled by somebody")) && said.contains("aelab resume"), "{said}");
    let mut states = sweep.states();
    states.sort();
    assert_eq!(states, ["finished", "finished", "interrupted"]);
    sweep.end_well(sweep.start(&["resume", "cluster"]));
    assert!(sweep.outcomes() == local());
}

#[test]
fn a_trial_that_is_longer_than_the_time_limit_goes_on_until_it_is_done() {
    let yaml = SWEEP.replace("epochs: 400", "epochs: 6000").replace("[2, 3, 4]", "[2]");
    let Some(sweep) = Sweep::new(&yaml.replace("{cpus_per_task: 2}", "{cpus_per_task: 2, time: 1, warning_seconds: 52}")) else { return };
    sweep.end_well(sweep.run(&[]));
    // On a machine that is too busy to stop in time, Slurm kills a task at its limit, and the runner submits it again.
    assert!(sweep.num_records("stopped") >= 1 && sweep.num_records("begun") >= 2, "{}", sweep.logs());
    let bench = run_here(&yaml);
    assert!(sweep.outcomes() == outcomes(&bench));
}

#[test]
fn pre_empted_tasks_write_checkpoints_and_go_on_later() {
    let Some(sweep) = Sweep::new(SWEEP) else { return };
    let runner = sweep.run(&[]);
    sweep.wait_for("work on two nodes", || sweep.num_under_way() == 2);
    let urgent =
        sweep.cluster.slurm("sbatch", &["--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap", "sleep 2"]);
    assert!(urgent.status.success(), "{}", text(&urgent));
    let said = sweep.end_well(runner);
    assert!(said.contains("begun again"), "{said}");
    assert!(sweep.num_records("begun") > 3, "{}", sweep.logs());
    assert!(sweep.outcomes() == local());
}

#[test]
fn a_controller_that_is_killed_and_comes_back_is_waited_for() {
    let yaml = SWEEP.replace("epochs: 400", "epochs: 6000").replace("[2, 3, 4]", "[2, 3]");
    let Some(sweep) = Sweep::new(&yaml) else { return };
    let runner = sweep.run(&[]);
    sweep.wait_for("work on two nodes", || sweep.num_under_way() == 2);
    // Slurm writes its state a few seconds late; what it forgets when it is killed before is not our matter.
    let (begun, state) = (SystemTime::now(), sweep.cluster.folder.path().join("state/job_state"));
    sweep.wait_for("a state on disk", || fs::metadata(&state).and_then(|state| state.modified()).is_ok_and(|saved| saved > begun));
    kill(&sweep.cluster.daemon("slurmctld"));
    std::thread::sleep(Duration::from_secs(5));
    let output = sweep.command(&["status", "cluster"]).output().expect("the program starts");
    assert!(text(&output).contains("Slurm does not answer"), "{}", text(&output));
    assert!(sweep.cluster.script(&["controller"], &[]).status.success());
    let said = sweep.end_well(runner);
    assert!(said.contains("Slurm does not answer") && said.contains("Slurm answers again"), "{said}");
    assert_eq!((sweep.journal("submitting").len(), sweep.num_records("begun")), (1, 2), "{}", sweep.logs());
    let bench = run_here(&yaml);
    assert!(sweep.outcomes() == outcomes(&bench));
}

#[test]
fn a_killed_runner_is_followed_by_one_that_submits_nothing_twice() {
    let Some(sweep) = Sweep::new(SWEEP) else { return };
    let mut runner = sweep.run(&[]);
    sweep.wait_for("work on two nodes", || sweep.num_under_way() == 2);
    kill(&runner.id().to_string());
    runner.wait().expect("the runner is dead");
    // As if it had died between the submission and the note of it.
    let path = sweep.bench.path("runs/cluster/slurm/jobs.jsonl");
    let journal = fs::read_to_string(&path).expect("the journal");
    assert_eq!(journal.lines().count(), 2, "{journal}");
    fs::write(&path, format!("{}\n{{\"event\":\"subm", journal.lines().next().expect("a line"))).expect("it can be cut");
    let said = sweep.end_well(sweep.run(&[]));
    assert!(said.contains("with Slurm already"), "{said}");
    assert_eq!((sweep.journal("submitting").len(), sweep.journal("submitted").len(), sweep.num_records("begun")), (1, 1, 3));
    assert!(sweep.outcomes() == local());
}

#[test]
fn several_runners_submit_once_and_one_takes_over_from_another() {
    let Some(sweep) = Sweep::new(SWEEP) else { return };
    let mut first = sweep.run(&[]);
    sweep.wait_for("a submission", || sweep.journal("submitted").len() == 1);
    let second = sweep.run(&[]);
    let third = sweep.run(&["--detach"]);
    let said = sweep.end_well(third);
    assert!(said.contains("submits the trials of this run to Slurm: nothing to do here"), "{said}");
    kill(&first.id().to_string());
    first.wait().expect("the runner is dead");
    let said = sweep.end_well(second);
    assert!(said.contains("watching it, and going on where it ends") && said.contains("with Slurm already"), "{said}");
    assert_eq!((sweep.journal("submitting").len(), sweep.num_records("begun")), (1, 3));
    assert!(sweep.outcomes() == local());
}

#[test]
fn a_run_is_submitted_shown_watched_cancelled_and_taken_up_again() {
    let Some(sweep) = Sweep::new(SWEEP) else { return };
    let said = sweep.end_well(sweep.run(&["--detach"]));
    assert!(said.contains("3 trials are with Slurm") && said.contains("aelab cancel"), "{said}");
    sweep.wait_for("work on two nodes", || sweep.num_under_way() == 2);
    let output = sweep.command(&["status", "cluster", "--json"]).output().expect("the program starts");
    let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let tasks: Vec<&Value> = status["trials"].as_array().expect("trials").iter().map(|trial| &trial["slurm"]).collect();
    assert_eq!(tasks.iter().filter(|task| task["state"] == "RUNNING").count(), 2, "{tasks:?}");
    assert_eq!(tasks.iter().filter(|task| task["reason"] == "Resources").count(), 1, "{tasks:?}");

    // Ctrl-C leaves the jobs alone.
    let runner = sweep.start(&["resume", "cluster"]);
    sweep.wait_until_watched_by(&runner);
    Command::new("kill").args(["-INT", &runner.id().to_string()]).status().expect("a signal");
    let (code, said) = sweep.end(runner);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("with or without this program") && !sweep.cluster.queue().is_empty(), "{said}");

    let runner = sweep.start(&["resume", "cluster"]);
    sweep.wait_until_watched_by(&runner);
    let output = sweep.command(&["cancel", "cluster"]).output().expect("the program starts");
    assert!(output.status.success() && text(&output).contains("go on with: aelab resume"), "{}", text(&output));
    let (code, said) = sweep.end(runner);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("the run is being cancelled"), "{said}");
    assert!(sweep.cluster.queue().is_empty(), "{:?}", sweep.cluster.queue());
    assert!(sweep.states().iter().all(|state| ["finished", "interrupted", "pending"].contains(&state.as_str())), "{:?}", sweep.states());
    sweep.end_well(sweep.start(&["resume", "cluster"]));
    assert!(sweep.outcomes() == local());
}

#[test]
fn what_slurm_refuses_and_what_does_not_begin_is_told_with_what_to_do() {
    let Some(sweep) = Sweep::new(SWEEP) else { return };
    let (code, said) = sweep.end(sweep.run(&["--set", "execution.slurm.partition=nowhere"]));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("sbatch refused") && said.contains("invalid partition specified: nowhere"), "{said}");
    let (code, said) = sweep.end(sweep.run(&["--set", "execution.slurm.program=/no/such/program"]));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("before aelab began") && said.contains("/no/such/program"), "{said}");
    let output = sweep.command(&["run", "experiment.yaml"]).env("PATH", "/nowhere").output().expect("the program starts");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("execution.executor=local"), "{}", text(&output));
    sweep.command(&["cancel", "cluster"]).status().expect("the program starts");
    sweep.end_well(sweep.run(&[]));
    assert!(sweep.outcomes() == local());
    let manifest = json(&sweep.bench.path("runs/cluster/plan.json"));
    assert_eq!(manifest["execution"]["executor"], "slurm");
}
