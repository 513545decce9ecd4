//! `run` and `resume`: an experiment from its file to tables and pictures.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use aelab_core::Registry;
use aelab_data::LoadContext;
use aelab_experiment::slurm::{self, SlurmOptions};
use aelab_experiment::{
    ExecutorKind, ExecutorOptions, ExperimentSpec, Jobs, Order, Plan, PlanSchedule, RunDir, RunEvent, RunSummary, Schedule, Selection,
    Spent, SteeredSchedule, StopSignal, TrialState, WorkerCommand, describe_for_tensorboard, execute, plan, resolve_jobs, trial_sizes,
    write_summary,
};
use anyhow::Context;

use crate::arguments::Running;
use crate::commands::data::missing;
use crate::commands::plan::left_out_lines;
use crate::objective::objective_lines;
use crate::progress::Progress;
use crate::run_table::{results, unfinished};
use crate::steering::{best_line, steering_lines};
use crate::terminal::{counted, duration, print_error, print_line, print_note, print_warning, width};
use crate::{EXIT_BROKEN_OFF, EXIT_DONE, EXIT_STOPPED, EXIT_TRIALS_FAILED};

/// Folders of pictures that are named on the terminal; `summary.md` shows the pictures of all models.
const MOST_FOLDERS: usize = 6;

/// How long to wait for the workers of a runner that was killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to count parameters and examples before the first trial begins; what is not known by then is taken for short.
const SIZING: Duration = Duration::from_secs(2);
/// Proposals of a search that are open at a time on a cluster, where nothing else says how many.
const CLUSTER_JOBS: usize = 8;
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
    source.text = run_dir.experiment_text()?;
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
    if running.detach && !spec.steering.is_idle() {
        anyhow::bail!("--detach does not go with `search`, `early_termination` and `budget`: what runs next is decided by this program");
    }
    let (jobs, jobs_warning) = if is_local {
        resolve_jobs(&execution, cores)?
    } else {
        let parallelism = execution.slurm.as_ref().and_then(|slurm| slurm.array_parallelism);
        (parallelism.map_or(CLUSTER_JOBS, |num| num.get() as usize), None)
    };
    if !(spec.steering.is_idle() || running.only.is_empty() && running.rerun.is_empty()) {
        anyhow::bail!("`--only` and `--rerun` do not go with `search`, `early_termination` and `budget`, which decide what runs next");
    }
    let steered = match spec.steering.is_idle() {
        true => None,
        false => Some(SteeredSchedule::open(spec, &plan, &root, registry, jobs, &running.retry)?),
    };
    let (mut steered, prepared) = match steered {
        Some((schedule, prepared)) => (Some(schedule), prepared),
        None => (None, RunDir::prepare(root, &plan)?),
    };
    let plan = steered.as_ref().map_or(plan, |schedule| schedule.plan().clone());
    let run_dir = prepared.run_dir;

    let is_search = spec.steering.search.is_some();
    let selected = Selection::find(&running.only, &plan, &run_dir)?;
    let again = if running.rerun.is_empty() { Vec::new() } else { Selection::find(&running.rerun, &plan, &run_dir)? };
    if let Some(index) = again.iter().find(|index| selected.binary_search(index).is_err()) {
        anyhow::bail!("`--rerun` names the trial {}, which `--only` leaves out", index + 1);
    }
    // Held until the run is over.
    let mut put_aside = Vec::new();
    for index in again {
        put_aside.extend(run_dir.put_aside(&plan, &plan.trials[index])?);
    }
    let mut num_left = 0;
    let mut spent = Vec::with_capacity(plan.trials.len());
    for trial in &plan.trials {
        let result = run_dir.trial(&trial.hash).result()?;
        spent.push(result.as_ref().map(Spent::of));
        let is_selected = selected.binary_search(&trial.index).is_ok();
        num_left += usize::from(is_selected && result.is_none_or(|result| running.retry.contains(&result.state)));
    }
    let num_to_do = steered.as_ref().map_or(Some(num_left), SteeredSchedule::num_to_do);
    let num_trials = if is_search { num_to_do.map(|num| num + plan.trials.len() - num_left) } else { Some(selected.len()) };
    if !running.quiet {
        let num = selected.len();
        let done = num - num_left;
        let mut text = match num_trials {
            Some(num) => format!("{}: {num} trial{}", plan.name, if num == 1 { "" } else { "s" }),
            None => format!("{}: a search", plan.name),
        };
        if num < plan.trials.len() {
            text.push_str(&format!(" of {}", plan.trials.len()));
        }
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
        for line in steering_lines(&plan.steering).iter().chain(&objective_lines(&plan)).chain(&left_out_lines(&plan)) {
            print_note(line);
        }
        for (place, _) in &put_aside {
            print_note(&format!("put aside, to be run again: {}", place.display()));
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
    let mut progress = Progress::new(&plan, num_trials, num_to_do, running.quiet);
    describe_for_tensorboard(run_dir.root(), &plan)?;
    let mut plain;
    let schedule: &mut dyn Schedule = match &mut steered {
        Some(schedule) => schedule,
        None => {
            plain = PlanSchedule::of_trials(&plan, &selected, &run_dir, &running.retry)?;
            // The order matters where several run at a time, and not all of them.
            if execution.order == Order::LongestFirst && jobs > 1 && plain.num_left() > jobs {
                let sizes = trial_sizes(&plan, &spent, registry, &LoadContext::new(""), SIZING);
                plain = plain.longest_first(sizes, spent);
            }
            &mut plain
        }
    };
    let mut show = |event: &RunEvent<'_>| progress.show(event);
    let outcome = match execution.executor {
        ExecutorKind::Local => execute(&run_dir, schedule, &options, &stop, &mut show),
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
            slurm::execute(&run_dir, schedule, &options, &stop, &mut show)
        }
    };
    progress.finish();
    if running.detach && outcome.is_ok() {
        return Ok(EXIT_DONE);
    }
    let reason_of_end = schedule.reason_of_end();
    let plan = schedule.plan().clone();
    drop(steered);
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            print_error(&error.into());
            print_line(&format!("what is done is kept; go on with: aelab resume {}", run_dir.root().display()));
            return Ok(EXIT_BROKEN_OFF);
        }
    };
    // A search has made more of them.
    let selected = if is_search { (0..plan.trials.len()).collect() } else { selected };
    if is_search {
        describe_for_tensorboard(run_dir.root(), &plan)?;
    }
    report(&run_dir, &plan, &outcome, &selected, began)?;
    drop(put_aside);
    if let Some(best) = best_line(&run_dir, &plan)? {
        print_line(&best);
    }
    if let Some(reason) = reason_of_end.as_ref().filter(|_| !outcome.stopped) {
        print_line(&format!("ended: {reason}"));
    }
    let states: Vec<TrialState> = selected.iter().map(|index| outcome.states[*index]).collect();
    Ok(exit_code(&states, outcome.stopped, reason_of_end.is_some()))
}

fn seconds(number: NonZeroU32) -> Duration {
    Duration::from_secs(u64::from(number.get()))
}

/// Of the trials that were to be run. Where the run was `ended` by its budget, it is done although there are trials left.
fn exit_code(states: &[TrialState], stopped: bool, ended: bool) -> u8 {
    let all_over = states.iter().all(|state| state.is_over());
    let is_well = |state: &TrialState| match state {
        TrialState::Finished | TrialState::Stopped => true,
        TrialState::Failed | TrialState::Diverged => false,
        _ => ended,
    };
    match () {
        () if stopped && !all_over => EXIT_STOPPED,
        () if states.iter().all(is_well) => EXIT_DONE,
        () => EXIT_TRIALS_FAILED,
    }
}

/// The table, what did not finish, where the pictures are and where to look next.
fn report(run_dir: &RunDir, plan: &Plan, outcome: &RunSummary, selected: &[usize], began: Instant) -> anyhow::Result<()> {
    let files = write_summary(run_dir, plan)?;
    if outcome.count(TrialState::Finished) > 0 {
        print_line(&results(&files, width()));
    }
    // Trials that were not to be run are no news.
    if selected.iter().any(|index| !matches!(outcome.states[*index], TrialState::Finished | TrialState::Stopped)) {
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
