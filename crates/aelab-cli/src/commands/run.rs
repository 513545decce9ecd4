//! `run` and `resume`: an experiment from its file to tables and pictures.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use aelab_core::Registry;
use aelab_data::LoadContext;
use aelab_experiment::slurm::{self, SlurmOptions};
use aelab_experiment::{
    ExecutorKind, ExecutorOptions, ExperimentSpec, Jobs, Plan, PlanSchedule, RunDir, RunEvent, RunSummary, StopSignal, TrialState,
    WorkerCommand, describe_for_tensorboard, execute, plan, resolve_jobs, write_summary,
};
use anyhow::Context;

use crate::arguments::Running;
use crate::commands::data::missing;
use crate::objective::objective_lines;
use crate::progress::Progress;
use crate::run_table::{results, unfinished};
use crate::terminal::{duration, print_error, print_line, print_note, print_warning, width};
use crate::{EXIT_BROKEN_OFF, EXIT_DONE, EXIT_STOPPED, EXIT_TRIALS_FAILED};

/// Folders of pictures that are named on the terminal; `summary.md` shows the pictures of all models.
const MOST_FOLDERS: usize = 6;

/// How long to wait for the workers of a runner that was killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often Slurm is asked while things happen.
const SLURM_POLL: Duration = Duration::from_secs(2);

/// Runs an experiment file.
pub(crate) fn run(file: &Path, sets: &[String], running: &Running, registry: &Registry) -> anyhow::Result<u8> {
    let spec = ExperimentSpec::from_file(file, sets)?;
    let root = running.runs.join(&spec.name);
    run_spec(&spec, root, running, registry)
}

/// Goes on with a run directory.
pub(crate) fn resume(run: &Path, running: &Running, registry: &Registry) -> anyhow::Result<u8> {
    let run_dir = RunDir::open(run, &running.runs)?;
    let mut source = run_dir.plan()?.source;
    let path = run_dir.experiment_path();
    source.text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let spec = ExperimentSpec::parse(source)?;
    run_spec(&spec, run_dir.root().to_path_buf(), running, registry)
}

fn run_spec(spec: &ExperimentSpec, root: PathBuf, running: &Running, registry: &Registry) -> anyhow::Result<u8> {
    let began = Instant::now();
    let plan = plan(spec, registry, &LoadContext::new(""))?;
    if let Some(name) = missing(&plan).first() {
        anyhow::bail!("the data set {name} is not here yet; get it with: aelab data fetch {name}");
    }
    let cores = available_parallelism().map_or(1, usize::from);
    let mut execution = plan.execution.clone();
    if let Some(jobs) = running.jobs {
        execution.jobs = Jobs::Count(jobs as usize);
    }
    let is_local = execution.executor == ExecutorKind::Local;
    if running.detach && is_local {
        anyhow::bail!("--detach needs `execution.executor: slurm`: on one machine, trials end with the program that runs them");
    }
    let (jobs, jobs_warning) = if is_local { resolve_jobs(&execution, cores)? } else { (1, None) };
    let prepared = RunDir::prepare(root, &plan)?;
    let run_dir = prepared.run_dir;

    let mut num_to_do = 0;
    for trial in &plan.trials {
        let result = run_dir.trial(&trial.hash).result()?;
        num_to_do += usize::from(result.is_none_or(|result| running.retry.contains(&result.state)));
    }
    if !running.quiet {
        let num = plan.trials.len();
        let done = num - num_to_do;
        let mut text = format!("{}: {num} trial{}", plan.name, if num == 1 { "" } else { "s" });
        if done > 0 {
            text.push_str(&format!(", {done} already done"));
        }
        let where_they_run = if is_local { format!("{jobs} at a time") } else { "by Slurm".to_owned() };
        text.push_str(&format!(
            ", {where_they_run} with {} thread{} each, in {}",
            execution.threads_per_trial,
            if execution.threads_per_trial == 1 { "" } else { "s" },
            run_dir.root().display()
        ));
        print_note(&text);
        for line in objective_lines(&plan) {
            print_note(&line);
        }
    }
    for warning in plan.warnings.iter().chain(&jobs_warning) {
        print_warning(warning);
    }
    if !prepared.left_over.is_empty() {
        print_warning(&format!(
            "{} trial{} of an earlier version of the experiment stay in {}: {}",
            prepared.left_over.len(),
            if prepared.left_over.len() == 1 { "" } else { "s" },
            run_dir.root().join("trials").display(),
            prepared.left_over.join(", ")
        ));
    }

    let stop = StopSignal::default();
    stop.listen().context("cannot listen to signals")?;
    let options = ExecutorOptions {
        jobs,
        threads_per_trial: execution.threads_per_trial,
        worker: WorkerCommand::this_program().context("cannot find the program that is running")?,
        patience: PATIENCE,
        checkpoint_every: seconds(execution.checkpoint_seconds),
        grace: seconds(execution.grace_seconds),
        hang: seconds(execution.hang_seconds),
        max_restarts: execution.max_restarts,
    };
    let mut progress = Progress::new(&plan, num_to_do, running.quiet);
    describe_for_tensorboard(run_dir.root(), &plan)?;
    let mut schedule = PlanSchedule::new(&plan, &run_dir, &running.retry)?;
    let mut show = |event: &RunEvent<'_>| progress.show(event);
    let outcome = match execution.executor {
        ExecutorKind::Local => execute(&run_dir, &mut schedule, &options, &stop, &mut show),
        ExecutorKind::Slurm => {
            let options = SlurmOptions {
                settings: execution.slurm.clone().unwrap_or_default(),
                program: options.worker.program.clone(),
                threads_per_trial: options.threads_per_trial,
                checkpoint_every: options.checkpoint_every,
                grace: options.grace,
                hang: options.hang,
                max_restarts: options.max_restarts,
                poll: SLURM_POLL,
                detach: running.detach,
            };
            slurm::execute(&run_dir, &mut schedule, &options, &stop, &mut show)
        }
    };
    progress.finish();
    if running.detach && outcome.is_ok() {
        return Ok(EXIT_DONE);
    }
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            print_error(&error.into());
            print_line(&format!("what is done is kept; go on with: aelab resume {}", run_dir.root().display()));
            return Ok(EXIT_BROKEN_OFF);
        }
    };
    report(&run_dir, &plan, &outcome, began)?;
    Ok(exit_code(&outcome))
}

fn seconds(number: NonZeroU32) -> Duration {
    Duration::from_secs(u64::from(number.get()))
}

fn exit_code(outcome: &RunSummary) -> u8 {
    let all_over = outcome.states.iter().all(|state| state.is_over());
    match () {
        () if outcome.stopped && !all_over => EXIT_STOPPED,
        () if outcome.states.iter().all(|state| *state == TrialState::Finished) => EXIT_DONE,
        () => EXIT_TRIALS_FAILED,
    }
}

fn counted(num: usize, one: &str, many: &str) -> String {
    format!("{num} {}", if num == 1 { one } else { many })
}

/// The table, what did not finish, where the pictures are and where to look next.
fn report(run_dir: &RunDir, plan: &Plan, outcome: &RunSummary, began: Instant) -> anyhow::Result<()> {
    let files = write_summary(run_dir, plan)?;
    if outcome.count(TrialState::Finished) > 0 {
        print_line(&results(&files, width()));
    }
    if outcome.states.iter().any(|state| *state != TrialState::Finished) {
        print_line(&unfinished(&files, width()));
    }
    let counts: Vec<String> = TrialState::ALL
        .iter()
        .map(|state| (outcome.count(*state), state))
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    print_line(&format!("{}: {} in {}", plan.name, counts.join(", "), duration(began.elapsed().as_secs_f64())));
    let root = run_dir.root();
    print_line("where to look next");
    let mut places = vec![(files.page.display().to_string(), "tables and pictures".to_owned())];
    if !files.figures.is_empty() {
        places.push((root.join("figures").display().to_string(), counted(files.figures.len(), "figure of the run", "figures of the run")));
    }
    for pictures in files.pictures.iter().take(MOST_FOLDERS) {
        let what = counted(pictures.num, "picture of", "pictures of");
        places.push((pictures.folder.display().to_string(), format!("{what} {}", pictures.label)));
    }
    let longest = places.iter().map(|(path, _)| path.chars().count()).max().unwrap_or(0);
    for (path, what) in places {
        print_line(&format!("  {path:longest$}  {what}"));
    }
    print_line(&format!("  tensorboard --logdir {}", root.display()));
    if outcome.states.iter().any(|state| !state.is_over()) {
        print_line(&format!("  aelab resume {}", root.display()));
    }
    let retry: Vec<&str> =
        [TrialState::Failed, TrialState::Diverged].iter().filter(|state| outcome.count(**state) > 0).map(|state| state.name()).collect();
    if !retry.is_empty() {
        let first = plan.trials.iter().zip(&outcome.states).find(|(_, state)| matches!(state, TrialState::Failed | TrialState::Diverged));
        if let Some((trial, _)) = first {
            print_line(&format!("  {}", run_dir.trial(&trial.hash).log_path().display()));
        }
        print_line(&format!("  aelab resume {} --retry {}", root.display(), retry.join(" --retry ")));
    }
    Ok(())
}
