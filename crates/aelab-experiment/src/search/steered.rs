//! The schedule of a run that is steered: proposes trials, lets them go on or gives them up at rungs, ends by its budget.
//!
//! All decisions follow from the plan and from what trials have logged, never from who was faster:
//!
//! ```text
//! proposal k     a function of the seed, k, and the outcomes of the proposals up to k - parallel
//! at a rung      a function of what the configuration and those before it had logged by then
//! ```
//!
//! So any number of jobs, any order of ending and any interruption give the same trials with the same results.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::sync::Arc;

use aelab_core::Registry;
use aelab_data::LoadContext;

use crate::executor::ExecutorError;
use crate::hash::short_hash;
use crate::plan::{Plan, PlannedTrial};
use crate::result::{TrialResult, TrialState};
use crate::run_dir::{Prepared, RunDir, RunDirError};
use crate::schedule::{Schedule, Task};
use crate::search::SearchError;
use crate::search::clock::Clock;
use crate::search::curve::Curve;
use crate::search::halving;
use crate::search::log::{Header, Line, Log, Outcome, Proposal, SEARCH_VERSION};
use crate::search::propose::{Proposer, join, passed_over};
use crate::search::sampler::{Known, Rank};
use crate::search::spec::{EarlyTermination, Goal, Steering};
use crate::spec::{ExperimentSpec, Jobs};

/// Runs the trials of a search, or those of a sweep with a budget or early termination.
pub struct SteeredSchedule<'a> {
    run_dir: RunDir,
    steering: Steering,
    plan: Plan,
    searching: Option<Searching<'a>>,
    /// Configurations with their seeds: what is compared.
    groups: Vec<Group>,
    /// In the order of the plan.
    trials: Vec<Standing>,
    /// Of a sweep: trials from here on are beyond the budget.
    num_allowed: usize,
    clock: Clock,
    best: Option<(usize, f64)>,
    notes: VecDeque<String>,
    reason_of_end: Option<String>,
    /// Whether something has happened since the last look.
    is_dirty: bool,
    /// Held as long as this lives.
    _lock: File,
}

/// What a search has besides a schedule.
struct Searching<'a> {
    proposer: Proposer<'a>,
    log: Log,
    repeat: usize,
    parallel: usize,
    /// Outcomes that are written down: those of the first proposals.
    num_outcomes: usize,
    is_exhausted: bool,
    /// Draws passed over that the user knows of.
    num_passed_over: u64,
}

/// A configuration with its seeds.
#[derive(Debug, Clone, Default)]
struct Group {
    /// Places in the plan.
    trials: Vec<usize>,
    /// The point of a proposal.
    point: Vec<f64>,
    /// The rung that it is on its way to.
    rung: usize,
    /// What is minimised at the rungs that it has come to, as far as it was asked for.
    costs: BTreeMap<usize, f64>,
    /// The rung at which it was given up.
    stopped: Option<usize>,
    outcome: Option<Rank>,
    /// Whether the outcome was written down before: what its trials do now is for the user alone.
    is_settled: bool,
}

/// Where a trial stands.
#[derive(Debug, Clone, Default)]
struct Standing {
    over: Option<TrialState>,
    /// Epochs at its last pause.
    paused_after: u64,
    is_running: bool,
    /// Whether it has been begun before, here or by an earlier runner.
    has_begun: bool,
    /// It ended without a result: not now again.
    is_lost: bool,
    /// The user wants it to go on although it was given up.
    is_freed: bool,
}

impl<'a> SteeredSchedule<'a> {
    /// Takes up the run in `root`, or begins it. `plan` holds the trials of a sweep; those of a search are found here. `jobs` is what
    /// `parallel: auto` becomes. Trials in one of the states `retry` are run again.
    ///
    /// # Errors
    /// Where the directory cannot be used, another runner steers it, or `search.jsonl` contradicts the search.
    pub fn open(
        spec: &'a ExperimentSpec,
        plan: &Plan,
        root: impl Into<PathBuf>,
        registry: &'a Registry,
        jobs: usize,
        retry: &[TrialState],
    ) -> Result<(Self, Prepared), ExecutorError> {
        let run_dir = RunDir::at(root);
        let lock = take_lock(&run_dir)?;
        let steering = plan.steering.clone();
        let (budget, mut notes) = (&steering.budget, VecDeque::new());
        let num_allowed = match (&steering.search, budget.max_trials) {
            (None, Some(max)) => plan.trials.len().min(usize::try_from(max.get()).unwrap_or(usize::MAX)),
            _ => usize::MAX,
        };
        let mut schedule = Self {
            clock: Clock::start(run_dir.root()),
            searching: None,
            groups: if steering.search.is_some() { Vec::new() } else { groups_of(plan, num_allowed) },
            trials: vec![Standing::default(); plan.trials.len()],
            num_allowed,
            best: None,
            reason_of_end: None,
            is_dirty: true,
            notes: VecDeque::new(),
            plan: plan.clone(),
            run_dir,
            steering: steering.clone(),
            _lock: lock,
        };
        if let Some(search) = &steering.search {
            let parallel = match search.parallel {
                Jobs::Count(count) => count,
                Jobs::Auto => jobs.max(1),
            };
            let mut header = Header {
                version: SEARCH_VERSION,
                search: search.clone(),
                goal: steering.goal.clone(),
                early_termination: steering.early_termination.clone(),
                base: short_hash(&spec.base.to_value()),
            };
            header.search.parallel = Jobs::Count(parallel);
            let keep_parallel = |header: &mut Header, stored: &Header| {
                if search.parallel == Jobs::Auto {
                    header.search.parallel = stored.search.parallel;
                }
            };
            let (log, is_other) = Log::open(schedule.run_dir.root(), &mut header, keep_parallel)?;
            if is_other {
                notes.push_back("the search has changed and begins anew; the old search.jsonl is in history".to_owned());
            }
            let parallel = if let Jobs::Count(count) = header.search.parallel { count } else { parallel };
            let repeat = usize::try_from(search.repeat.get()).unwrap_or(usize::MAX);
            let proposer = Proposer::new(spec, search.clone(), registry, &LoadContext::new(""));
            schedule.plan.trials.clear();
            schedule.trials.clear();
            schedule.searching =
                Some(Searching { proposer, log, repeat, parallel, num_outcomes: 0, is_exhausted: false, num_passed_over: 0 });
            schedule.replay()?;
        }
        let prepared = RunDir::prepare(schedule.run_dir.root(), &schedule.plan)?;
        for index in 0..schedule.plan.trials.len() {
            schedule.look_at(index, retry)?;
        }
        schedule.notes = notes;
        Ok((schedule, prepared))
    }

    /// Trials that are still to be run, as far as is known: of a search what its budget allows.
    pub fn num_to_do(&self) -> Option<usize> {
        let num_over = self.trials.iter().filter(|trial| trial.over.is_some()).count();
        let most = match (&self.searching, self.steering.budget.max_trials) {
            (Some(_), Some(max)) => usize::try_from(max.get()).unwrap_or(usize::MAX),
            (Some(_), None) => return None,
            (None, _) => self.num_allowed.min(self.trials.len()),
        };
        Some(most.saturating_sub(num_over))
    }

    /// Goes through the lines that are there: proposals are derived anew and must be the same, outcomes are believed.
    fn replay(&mut self) -> Result<(), ExecutorError> {
        loop {
            let Some(searching) = &mut self.searching else { return Ok(()) };
            match searching.log.recorded().cloned() {
                None => return Ok(()),
                Some(Line::Outcome(outcome)) if outcome.index == searching.num_outcomes && outcome.index < self.groups.len() => {
                    self.settle(outcome, true)?;
                }
                Some(_) => {
                    if !self.propose(true)? {
                        // The search is exhausted where a line has a proposal: writing an impossible one says so.
                        let Some(searching) = &mut self.searching else { return Ok(()) };
                        let none = Proposal { index: self.groups.len(), draw: 0, values: Default::default(), trials: Vec::new() };
                        searching.log.write(Line::Proposal(none))?;
                    }
                }
            }
        }
    }

    /// Takes up what is on disk of a trial.
    fn look_at(&mut self, index: usize, retry: &[TrialState]) -> Result<(), ExecutorError> {
        let folder = self.run_dir.trial(&self.plan.trials[index].hash);
        let mut over = folder.result()?;
        if over.as_ref().is_some_and(|result| retry.contains(&result.state)) && folder.reopen()? {
            over = None;
        }
        let pause = folder.pause();
        let is_freed = over.is_none() && folder.previous_result().is_some_and(|result| result.state == TrialState::Stopped);
        let rungs = self.steering.early_termination.as_ref().map(EarlyTermination::rungs);
        if let (Some(TrialResult { state: TrialState::Stopped, epochs_run, .. }), Some(rungs)) = (&over, rungs)
            && let Some(group) = self.groups.iter_mut().find(|group| group.trials.contains(&index))
        {
            group.stopped = (0..64).find(|rung| rungs.epochs(*rung) >= *epochs_run);
        }
        self.trials[index] = Standing {
            over: over.map(|result| result.state),
            paused_after: pause.map_or(0, |pause| pause.epochs_run),
            has_begun: folder.has_checkpoint(),
            is_running: false,
            is_lost: false,
            is_freed,
        };
        Ok(())
    }

    /// Decides all that can be decided now.
    fn advance(&mut self) -> Result<(), ExecutorError> {
        loop {
            let mut has_moved = false;
            for group in 0..self.groups.len() {
                has_moved |= self.decide(group)?;
            }
            if self.searching.is_some() {
                // In this order and no other: so the log is the same whoever is faster.
                while self.may_propose() && self.propose(false)? {
                    has_moved = true;
                }
                let next = self.searching.as_ref().map_or(0, |searching| searching.num_outcomes);
                if next < self.groups.len() && self.is_over(next) {
                    let outcome = self.outcome(next)?;
                    self.settle(outcome, false)?;
                    has_moved = true;
                }
            } else if self.steering.early_termination.is_some() || self.steering.budget.target.is_some() {
                for group in 0..self.groups.len() {
                    if self.groups[group].outcome.is_none() && self.is_over(group) {
                        let outcome = self.outcome(group)?;
                        self.settle(outcome, false)?;
                    }
                }
            }
            if !has_moved {
                return Ok(());
            }
        }
    }

    fn is_over(&self, group: usize) -> bool {
        self.groups[group].trials.iter().all(|index| self.trials[*index].over.is_some())
    }

    /// Lets a group go on from its rung or gives it up; `false` where it is not there yet or others are not.
    fn decide(&mut self, own: usize) -> Result<bool, ExecutorError> {
        let Some(early) = self.steering.early_termination.clone() else { return Ok(false) };
        let group = &self.groups[own];
        let is_freed = |group: &Group| group.trials.iter().any(|index| self.trials[*index].is_freed);
        if group.is_settled || self.is_over(own) || is_freed(group) {
            return Ok(false);
        }
        let rung = group.rung;
        if self.cost_at(own, rung)?.is_none() {
            return Ok(false);
        }
        let last = if matches!(early, EarlyTermination::Asha(_)) { own + 1 } else { self.groups.len() };
        let (mut costs, mut own_place) = (Vec::new(), 0);
        for other in 0..last {
            if self.groups[other].stopped.is_some_and(|stopped| stopped < rung) {
                continue;
            }
            let Some(cost) = self.cost_at(other, rung)? else { return Ok(false) };
            if other == own {
                own_place = costs.len();
            }
            costs.push(cost);
        }
        let (place, num) = halving::place(&costs, own_place, early.rungs().reduction_factor.get());
        if place < num {
            self.groups[own].rung += 1;
            return Ok(true);
        }
        let goal = &self.steering.goal;
        let reason = format!(
            "given up after {} epochs: {} {} was place {} of {}, of which the best {} go on",
            early.rungs().epochs(rung),
            goal.metric,
            goal.value(costs[own_place]),
            place + 1,
            costs.len(),
            num
        );
        self.groups[own].stopped = Some(rung);
        for index in self.groups[own].trials.clone() {
            if self.trials[index].over.is_some() {
                continue;
            }
            let folder = self.run_dir.trial(&self.plan.trials[index].hash);
            let pause = folder.pause().unwrap_or_else(|| TrialResult::without_metrics(TrialState::Paused, None));
            folder.write_result(&TrialResult { state: TrialState::Stopped, error: Some(reason.clone()), ..pause })?;
            self.trials[index].over = Some(TrialState::Stopped);
            self.notes.push_back(format!("stopped     {}: {reason}", self.name(index)));
        }
        Ok(true)
    }

    /// What is minimised, of a group at a rung, the mean over its seeds; `None` where it has not come there yet.
    fn cost_at(&mut self, group: usize, rung: usize) -> Result<Option<f64>, ExecutorError> {
        let Some(rungs) = self.steering.early_termination.as_ref().map(|early| early.rungs().clone()) else { return Ok(None) };
        if let Some(cost) = self.groups[group].costs.get(&rung) {
            return Ok(Some(*cost));
        }
        if self.groups[group].is_settled {
            // It ended before this rung: what it ended with stands for it.
            return Ok(self.groups[group].outcome.map(|outcome| outcome.cost));
        }
        let (mut sum, epochs) = (0.0, rungs.epochs(rung));
        for index in &self.groups[group].trials {
            let standing = &self.trials[*index];
            let is_there = standing.over.is_some() || (standing.paused_after >= epochs && !standing.is_freed);
            if !is_there {
                return Ok(None);
            }
            sum += self.cost_after(*index, epochs)?;
        }
        let cost = sum / self.groups[group].trials.len() as f64;
        self.groups[group].costs.insert(rung, cost);
        Ok(Some(cost))
    }

    /// What is minimised, of a trial after so many epochs. What failed or diverged before is infinitely bad.
    fn cost_after(&self, index: usize, epochs: u64) -> Result<f64, ExecutorError> {
        let trial = &self.plan.trials[index];
        let path = self.run_dir.trial(&trial.hash).metrics_path();
        let curve = Curve::read(&path, &self.steering.goal.metric).map_err(|source| SearchError::Io {
            what: "read",
            path: path.clone(),
            source,
        })?;
        let has_failed = matches!(self.trials[index].over, Some(TrialState::Failed | TrialState::Diverged));
        if has_failed && curve.num_epochs() < epochs {
            return Ok(f64::INFINITY);
        }
        match curve.value_after(epochs, keeps_best(trial)) {
            Some(value) => Ok(self.steering.goal.cost(value)),
            None => {
                let metric = self.steering.goal.metric.clone();
                Err(SearchError::NoMetric { hash: trial.hash.clone(), metric, names: curve.names }.into())
            }
        }
    }

    /// What came of a group whose trials are all over.
    fn outcome(&mut self, group: usize) -> Result<Outcome, ExecutorError> {
        let states: BTreeSet<TrialState> = self.groups[group].trials.iter().filter_map(|index| self.trials[*index].over).collect();
        // The worst of its trials.
        let order = [TrialState::Failed, TrialState::Diverged, TrialState::Stopped];
        let state = order.into_iter().find(|state| states.contains(state)).unwrap_or(TrialState::Finished);
        let trials = self.groups[group].trials.clone();
        let (mut sum, mut num_epochs) = (0.0, 0);
        for index in &trials {
            let folder = self.run_dir.trial(&self.plan.trials[*index].hash);
            num_epochs = num_epochs.max(folder.result()?.map_or(0, |result| result.epochs_run));
            if matches!(state, TrialState::Finished | TrialState::Stopped) {
                sum += self.cost_after(*index, u64::MAX)?;
            } else {
                sum = f64::INFINITY;
            }
        }
        let mut costs = Vec::new();
        if let Some(rungs) = self.steering.early_termination.as_ref().map(|early| early.rungs().clone()) {
            // All that it has come to, whether somebody has asked for it or not.
            while rungs.epochs(costs.len()) <= num_epochs
                && let Some(cost) = self.cost_at(group, costs.len())?
            {
                costs.push(cost);
            }
        }
        let goal = &self.steering.goal;
        let as_value = |cost: f64| cost.is_finite().then(|| goal.value(cost));
        let rungs = costs.into_iter().map(as_value).collect();
        let num_epochs = if state == TrialState::Stopped { num_epochs } else { 0 };
        let value = as_value(sum / trials.len() as f64);
        Ok(Outcome { index: group, state, value, num_epochs, rungs })
    }

    /// Writes down what came of a group.
    fn settle(&mut self, outcome: Outcome, is_replay: bool) -> Result<(), ExecutorError> {
        let cost = outcome.value.map_or(f64::INFINITY, |value| self.steering.goal.cost(value));
        let class = match outcome.state {
            TrialState::Finished if outcome.value.is_some() => 0,
            TrialState::Stopped => 1,
            _ => 2,
        };
        let group = &mut self.groups[outcome.index];
        group.outcome = Some(Rank { class, num_epochs: outcome.num_epochs, cost });
        if is_replay {
            group.is_settled = true;
            let cost = |value: &Option<f64>| value.map_or(f64::INFINITY, |value| self.steering.goal.cost(value));
            group.costs = outcome.rungs.iter().map(cost).enumerate().collect();
            group.stopped = (outcome.state == TrialState::Stopped).then(|| outcome.rungs.len().saturating_sub(1));
        }
        if class == 0 && self.best.is_none_or(|(_, best)| cost < best) {
            self.best = Some((outcome.index, cost));
            if !is_replay {
                let goal = &self.steering.goal;
                self.notes.push_back(format!(
                    "best so far {}: {} {}",
                    self.name(self.groups[outcome.index].trials[0]),
                    goal.metric,
                    goal.value(cost)
                ));
            }
        }
        if let Some(searching) = &mut self.searching {
            searching.log.write(Line::Outcome(outcome))?;
            searching.num_outcomes += 1;
        }
        Ok(())
    }

    /// Whether some group that a new one may know of has reached the target.
    fn target_reached(&self, groups: &[Group]) -> bool {
        let Some(target) = self.steering.budget.target else { return false };
        let target = self.steering.goal.cost(target);
        groups.iter().any(|group| group.outcome.is_some_and(|outcome| outcome.class == 0 && outcome.cost <= target))
    }

    fn is_time_up(&self) -> bool {
        self.steering.budget.max_hours.is_some_and(|hours| self.clock.seconds() >= hours * 3600.0)
    }

    fn end(&mut self, reason: String) {
        if self.reason_of_end.as_ref() != Some(&reason) {
            self.clock.end(&reason);
            self.reason_of_end = Some(reason);
        }
    }

    fn end_by_time(&mut self) {
        let hours = self.steering.budget.max_hours.unwrap_or_default();
        self.end(format!("`max_hours: {hours}` are over; a larger budget goes on"));
    }

    fn end_by_target(&mut self) {
        let target = self.steering.budget.target.unwrap_or_default();
        self.end(format!("`target: {target}` of {} is reached", self.steering.goal.metric));
    }

    /// Whether the next proposal may be made now.
    fn may_propose(&mut self) -> bool {
        let Some(searching) = &self.searching else { return false };
        let next = self.groups.len();
        if searching.is_exhausted || next >= searching.num_outcomes + searching.parallel {
            return false;
        }
        let num_known = (next + 1).saturating_sub(searching.parallel);
        let num_trials = (next as u64 + 1).saturating_mul(searching.repeat as u64);
        if let Some(max) = self.steering.budget.max_trials
            && num_trials > max.get()
        {
            self.end(format!("`max_trials: {max}` have been proposed; a larger budget goes on"));
            return false;
        }
        if self.target_reached(&self.groups[..num_known]) {
            self.end_by_target();
            return false;
        }
        if self.is_time_up() {
            self.end_by_time();
            return false;
        }
        true
    }

    /// Makes the next proposal; `false` where there is nothing new to propose.
    fn propose(&mut self, is_replay: bool) -> Result<bool, ExecutorError> {
        let Some(searching) = &mut self.searching else { return Ok(false) };
        let next = self.groups.len();
        let known: Vec<Known<'_>> = self
            .groups
            .iter()
            .enumerate()
            .map(|(index, group)| Known { point: &group.point, rank: group.outcome.filter(|_| index + searching.parallel <= next) })
            .collect();
        let proposed = searching.proposer.propose(&known).map_err(SearchError::NothingUsable)?;
        if let Some((num, diagnostic)) = &searching.proposer.unusable
            && *num > searching.num_passed_over
        {
            searching.num_passed_over = *num;
            if !is_replay {
                self.notes.push_back(format!("note        {}", passed_over(*num, diagnostic)));
            }
        }
        let Some(proposed) = proposed else {
            searching.is_exhausted = true;
            self.end(format!("the space has nothing new after {next} proposals"));
            return Ok(false);
        };
        let search = self.steering.search.as_ref().map(|search| search.values(&proposed.point));
        let trials = proposed.plan.trials.iter().map(|trial| trial.hash.clone()).collect();
        let proposal = Proposal { index: next, draw: proposed.draw, values: search.unwrap_or_default(), trials };
        searching.log.write(Line::Proposal(proposal))?;
        let first = self.plan.trials.len();
        join(&mut self.plan, proposed.plan);
        self.trials.resize(self.plan.trials.len(), Standing::default());
        self.groups.push(Group { trials: (first..self.plan.trials.len()).collect(), point: proposed.point, ..Group::default() });
        if !is_replay {
            self.run_dir.add_trials(&self.plan, first)?;
            for index in first..self.plan.trials.len() {
                self.look_at(index, &[])?;
            }
        }
        Ok(true)
    }

    /// The trial to run next, and until which epoch: the one that has come furthest, of several the first.
    fn pick(&mut self) -> Option<(usize, Option<u64>)> {
        if self.is_time_up() {
            let is_left = self.trials.iter().take(self.num_allowed).any(|trial| trial.over.is_none() && !trial.is_running);
            if is_left {
                self.end_by_time();
            }
            return None;
        }
        let may_begin = self.searching.is_some() || !self.target_reached(&self.groups);
        let rungs = self.steering.early_termination.as_ref().map(EarlyTermination::rungs);
        let mut found: Option<(usize, usize, Option<u64>)> = None;
        let mut is_held_back = false;
        for group in &self.groups {
            for index in &group.trials {
                let standing = &self.trials[*index];
                if standing.over.is_some() || standing.is_running || standing.is_lost {
                    continue;
                }
                let until = rungs.filter(|_| !group.is_settled && !standing.is_freed).map(|rungs| rungs.epochs(group.rung));
                if until.is_some_and(|until| standing.paused_after >= until) {
                    continue;
                }
                if !may_begin && !standing.has_begun {
                    is_held_back = true;
                    continue;
                }
                if found.is_none_or(|(rung, _, _)| group.rung > rung) {
                    found = Some((group.rung, *index, until));
                }
            }
        }
        if is_held_back {
            self.end_by_target();
        }
        if found.is_none() && self.num_allowed < self.trials.len() {
            let max = self.num_allowed;
            self.end(format!("`max_trials: {max}` have been run; a larger budget goes on"));
        }
        found.map(|(_, index, until)| (index, until))
    }

    fn name(&self, index: usize) -> String {
        format!("[{}] {}", index + 1, self.plan.trials[index].label())
    }
}

impl Schedule for SteeredSchedule<'_> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn next(&mut self, _run_dir: &RunDir) -> Result<Option<Task>, ExecutorError> {
        if std::mem::take(&mut self.is_dirty) {
            self.advance()?;
        }
        let Some((index, until_epoch)) = self.pick() else { return Ok(None) };
        let standing = &mut self.trials[index];
        (standing.is_running, standing.has_begun) = (true, true);
        Ok(Some(Task { trial: Arc::new(self.plan.trials[index].clone()), until_epoch }))
    }

    fn ended(&mut self, _run_dir: &RunDir, task: &Task, result: Option<&TrialResult>) -> Result<(), ExecutorError> {
        let folder = self.run_dir.trial(&task.trial.hash);
        let standing = &mut self.trials[task.trial.index];
        standing.is_running = false;
        standing.over = result.map(|result| result.state);
        if let Some(pause) = folder.pause() {
            standing.paused_after = pause.epochs_run;
        }
        standing.is_lost = result.is_none() && !task.has_paused(&folder);
        self.is_dirty = true;
        Ok(())
    }

    fn take_notes(&mut self) -> Vec<String> {
        self.notes.drain(..).collect()
    }

    fn reason_of_end(&self) -> Option<String> {
        self.reason_of_end.clone()
    }
}

/// One runner at a time decides. The operating system gives the lock back when its holder dies.
fn take_lock(run_dir: &RunDir) -> Result<File, SearchError> {
    let path = run_dir.root().join("steering.lock");
    let open = || {
        aelab_files::create_folder(run_dir.root())?;
        File::options().write(true).create(true).truncate(false).open(&path)
    };
    let file = open().map_err(|source| SearchError::Io { what: "write", path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SearchError::Busy(run_dir.root().to_path_buf())),
        Err(TryLockError::Error(source)) => Err(SearchError::Io { what: "lock", path, source }),
    }
}

/// Trials that differ in their seed alone, in the order of the plan.
fn groups_of(plan: &Plan, num_allowed: usize) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for trial in plan.trials.iter().take(num_allowed) {
        let place = *places.entry(without_seed(trial)).or_insert_with(|| {
            groups.push(Group::default());
            groups.len() - 1
        });
        groups[place].trials.push(trial.index);
    }
    groups
}

/// What a configuration is, whatever its seed.
fn without_seed(trial: &PlannedTrial) -> String {
    let mut definition = trial.definition.clone();
    if let Some(seed) = definition.pointer_mut("/train/seed") {
        *seed = serde_json::Value::Null;
    }
    short_hash(&definition)
}

/// Whether training keeps the epoch with the lowest validation loss.
fn keeps_best(trial: &PlannedTrial) -> bool {
    trial.definition.pointer("/train/keep").and_then(serde_json::Value::as_str) != Some("last")
}

/// The best configuration of a run so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// Its trials, as places in the plan.
    pub trials: Vec<usize>,
    /// What it was compared by.
    pub goal: Goal,
    /// The goal's value, the mean over seeds.
    pub value: f64,
}

/// The best of the configurations whose trials have all finished; `None` where none has.
///
/// # Errors
/// Where a result or a log cannot be read.
pub fn best_so_far(run_dir: &RunDir, plan: &Plan) -> Result<Option<Best>, RunDirError> {
    let goal = &plan.steering.goal;
    let mut best: Option<Best> = None;
    for group in groups_of(plan, usize::MAX) {
        let mut sum = 0.0;
        for index in &group.trials {
            let trial = &plan.trials[*index];
            let folder = run_dir.trial(&trial.hash);
            let has_finished = folder.result()?.is_some_and(|result| result.state == TrialState::Finished);
            let path = folder.metrics_path();
            let value = match has_finished {
                true => Curve::read(&path, &goal.metric)
                    .map_err(|source| RunDirError::Io { what: "read", path, source })?
                    .value_after(u64::MAX, keeps_best(trial)),
                false => None,
            };
            sum += value.map_or(f64::INFINITY, |value| goal.cost(value));
        }
        let cost = sum / group.trials.len() as f64;
        if cost.is_finite() && best.as_ref().is_none_or(|best| cost < goal.cost(best.value)) {
            best = Some(Best { trials: group.trials, goal: goal.clone(), value: goal.value(cost) });
        }
    }
    Ok(best)
}
