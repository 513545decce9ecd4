//! The runner of a cluster: submits the tasks of a schedule as job arrays and watches them.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use aelab_files::write_atomic;

use super::client::{self, Queue, QueueEntry, SlurmError, Submission};
use super::journal::{Batch, Record, SlurmDir, TaskEntry, TaskRecord, job_name, now};
use super::script::script;
use super::settings::SlurmSettings;
use crate::executor::{ExecutorError, Restarts, RunEvent, RunSummary, StopSignal, record_crash};
use crate::lock::{Attempt, TrialLock};
use crate::result::{TrialResult, TrialState};
use crate::run_dir::{RunDir, TrialDir};
use crate::schedule::{Schedule, Task};
use crate::worker::{TrialProgress, WorkerMessage};

/// How tasks are submitted and watched.
#[derive(Debug, Clone)]
pub struct SlurmOptions {
    /// What is asked of Slurm.
    pub settings: SlurmSettings,
    /// The program that is submitted, unless the settings name one.
    pub program: PathBuf,
    /// Threads of each trial.
    pub threads_per_trial: usize,
    /// Time between two checkpoints within an epoch.
    pub checkpoint_every: Duration,
    /// Time that a worker has for its last checkpoint.
    pub grace: Duration,
    /// A worker that is silent for so long is killed.
    pub hang: Duration,
    /// How often a trial begins again without having come further.
    pub max_restarts: u32,
    /// How often Slurm is asked while much happens; less often while nothing does.
    pub poll: Duration,
    /// Whether to end once everything is submitted.
    pub detach: bool,
}

/// A trial within an element.
struct Tracked {
    task: Task,
    entry: TaskEntry,
    /// Whether it is known to run.
    is_started: bool,
    /// Its last known progress.
    seen: Option<TrialProgress>,
    resumed: bool,
}

/// An element of a job array.
struct Element {
    batch: u64,
    /// Its trials that have not ended.
    tasks: Vec<Tracked>,
    /// How often it is known to have begun and been put back.
    num_begun: usize,
    /// What the queue said last; `None` before it has said anything.
    entry: Option<QueueEntry>,
    /// Since when it neither waits nor runs.
    over_since: Option<Instant>,
}

/// On a shared file system a file may be seen a while after it was written.
const SETTLE: Duration = Duration::from_secs(5);
/// Slurm is asked at least so often.
const LONGEST_POLL: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_millis(50);

/// Runs the tasks of a schedule as jobs of Slurm, from wherever jobs can be submitted. A stop signal leaves the jobs to Slurm.
pub fn execute(
    run_dir: &RunDir,
    schedule: &mut dyn Schedule,
    options: &SlurmOptions,
    stop: &StopSignal,
    observe: &mut dyn FnMut(&RunEvent<'_>),
) -> Result<RunSummary, ExecutorError> {
    // Jobs start in another folder.
    let root = fs::canonicalize(run_dir.root()).map_err(|source| ExecutorError::Io { path: run_dir.root().to_path_buf(), source })?;
    let run_dir = RunDir::at(root);
    let slurm = SlurmDir::of(&run_dir);
    slurm.create()?;
    let mut runner = Runner {
        run_dir: &run_dir,
        slurm,
        schedule,
        options,
        stop,
        batches: Vec::new(),
        elements: BTreeMap::new(),
        attached: HashMap::new(),
        waiting: VecDeque::new(),
        restarts: HashMap::new(),
        told: HashSet::new(),
        max_elements: usize::MAX,
        is_exhausted: false,
        is_away: false,
        is_full: false,
        is_cancelled: false,
        counts: None,
    };
    runner.run(observe)?;
    let stopped = runner.is_cancelled || stop.level() > 0;
    RunSummary::of(&run_dir, runner.schedule.plan(), stopped)
}

struct Runner<'a> {
    run_dir: &'a RunDir,
    slurm: SlurmDir,
    schedule: &'a mut dyn Schedule,
    options: &'a SlurmOptions,
    stop: &'a StopSignal,
    batches: Vec<Batch>,
    /// By job and index.
    elements: BTreeMap<(u64, u32), Element>,
    /// Where tasks of earlier runners wait or run.
    attached: HashMap<TaskEntry, (u64, u32)>,
    /// To be submitted.
    waiting: VecDeque<Task>,
    restarts: HashMap<String, Restarts>,
    /// Trials whose end has been told.
    told: HashSet<String>,
    /// Elements of an array, at most.
    max_elements: usize,
    /// Whether the schedule has nothing more until a task ends.
    is_exhausted: bool,
    /// Whether Slurm did not answer the last time.
    is_away: bool,
    /// Whether Slurm takes no more of this user's jobs for now.
    is_full: bool,
    is_cancelled: bool,
    /// Waiting and running, as told last.
    counts: Option<(usize, usize, String)>,
}

type Observe<'o> = dyn FnMut(&RunEvent<'_>) + 'o;

impl Runner<'_> {
    fn run(&mut self, observe: &mut Observe<'_>) -> Result<(), ExecutorError> {
        let Some(_lock) = self.take_lead(observe)? else { return Ok(()) };
        if !self.attach(observe)? {
            return Ok(());
        }
        let mut poll = self.options.poll;
        loop {
            self.gather(observe)?;
            if !self.waiting.is_empty() && !self.is_cancelled {
                self.submit(observe)?;
            }
            if self.stop.level() > 0 || self.options.detach {
                self.tell_detached(observe);
                return Ok(());
            }
            let has_work = !self.elements.is_empty() || (!self.waiting.is_empty() && !self.is_cancelled);
            if !has_work && (self.is_exhausted || self.is_cancelled) {
                return Ok(());
            }
            self.pause(poll);
            let has_changed = self.look(observe)?;
            poll = if has_changed { self.options.poll } else { (poll * 3 / 2).min(LONGEST_POLL.max(self.options.poll)) };
        }
    }

    fn tell_detached(&self, observe: &mut Observe<'_>) {
        let num: usize = self.elements.values().map(|element| element.tasks.len()).sum();
        let root = self.run_dir.root().display();
        let mut text = format!(
            "{num} trial{} with Slurm, with or without this program; to watch: aelab resume {root}; to see where they stand: \
             aelab status {root}; to end them: aelab cancel {root}",
            if num == 1 { " is" } else { "s are" }
        );
        if !self.waiting.is_empty() {
            text.push_str(&format!("\n{} more could not be submitted yet: the next aelab resume does so", self.waiting.len()));
        }
        observe(&RunEvent::Note { text: &text });
    }

    fn pause(&self, time: Duration) {
        let since = Instant::now();
        while since.elapsed() < time && self.stop.level() == 0 && (self.is_cancelled || !self.slurm.cancel_mark().exists()) {
            thread::sleep(TICK.min(time));
        }
    }

    fn folder(&self, task: &Task) -> TrialDir {
        self.run_dir.trial(&task.trial.hash)
    }

    /// Waits until no other runner submits for this run. `None` where there is nothing left to do by then.
    fn take_lead(&mut self, observe: &mut Observe<'_>) -> Result<Option<TrialLock>, ExecutorError> {
        let path = self.slurm.lock();
        let mut is_told = false;
        loop {
            let attempt = TrialLock::attempt(&path).map_err(|source| ExecutorError::Io { path: path.clone(), source })?;
            let holder = match attempt {
                Attempt::Taken(mut lock) => {
                    lock.sign().map_err(|source| ExecutorError::Io { path: path.clone(), source })?;
                    return match fs::remove_file(self.slurm.cancel_mark()) {
                        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                            Err(ExecutorError::Io { path: self.slurm.cancel_mark(), source })
                        }
                        _ => Ok(Some(lock)),
                    };
                }
                Attempt::Held(holder) => holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string()),
            };
            if !is_told {
                is_told = true;
                let next = if self.options.detach { "nothing to do here" } else { "watching it, and going on where it ends" };
                observe(&RunEvent::Note { text: &format!("{holder} submits the trials of this run to Slurm: {next}") });
            }
            self.is_cancelled = self.slurm.cancel_mark().exists();
            if self.options.detach || self.is_cancelled || self.stop.level() > 0 {
                return Ok(None);
            }
            for index in 0..self.schedule.plan().trials.len() {
                let trial = self.schedule.plan().trials[index].clone();
                if self.told.contains(&trial.hash) {
                    continue;
                }
                if let Some(result) = self.run_dir.trial(&trial.hash).result()? {
                    self.told.insert(trial.hash.clone());
                    observe(&RunEvent::Ended { trial: &trial, state: result.state, result: Some(&result) });
                }
            }
            self.pause(self.options.poll);
        }
    }

    /// Asks Slurm; `None` while it does not answer, which is said once.
    fn ask(&mut self, names: &[String], observe: &mut Observe<'_>) -> Result<Option<Queue>, ExecutorError> {
        match client::queue(names) {
            Ok(queue) => {
                if std::mem::take(&mut self.is_away) {
                    observe(&RunEvent::Note { text: "Slurm answers again" });
                }
                Ok(Some(queue))
            }
            Err(error @ SlurmError::Away { .. }) => {
                self.tell_away(&error, observe);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn tell_away(&mut self, error: &SlurmError, observe: &mut Observe<'_>) {
        if !std::mem::replace(&mut self.is_away, true) {
            observe(&RunEvent::Note { text: &format!("{error}; trying again until it does") });
        }
    }

    /// As `ask`, until Slurm answers; `None` where a stop comes first.
    fn ask_patiently(&mut self, names: &[String], observe: &mut Observe<'_>) -> Result<Option<Queue>, ExecutorError> {
        while self.stop.level() == 0 {
            if let Some(queue) = self.ask(names, observe)? {
                return Ok(Some(queue));
            }
            self.pause(self.options.poll.max(Duration::from_secs(1)));
        }
        Ok(None)
    }

    /// Finds what earlier runners submitted and still waits or runs. `false` where a stop came first.
    fn attach(&mut self, observe: &mut Observe<'_>) -> Result<bool, ExecutorError> {
        self.batches = self.slurm.batches()?;
        let names: Vec<String> = self.batches.iter().map(|batch| batch.name.clone()).collect();
        let Some(queue) = self.ask_patiently(&names, observe)? else { return Ok(false) };
        for position in 0..self.batches.len() {
            let batch = &mut self.batches[position];
            if batch.job.is_none()
                && let Some(job) = queue.jobs.get(&batch.name)
            {
                batch.job = Some(*job);
                let (batch, job) = (batch.number, *job);
                self.slurm.append(&Record::Submitted { batch, job })?;
            }
            let Some(job) = self.batches[position].job else { continue };
            let is_active = |index: u32| queue.entries.get(&(job, index)).is_some_and(QueueEntry::is_active);
            if !queue.entries.keys().any(|(other, index)| *other == job && is_active(*index)) {
                continue;
            }
            let number = self.batches[position].number;
            for (index, entries) in self.slurm.tasks(number)?.into_iter().enumerate() {
                let key = (job, index as u32);
                if is_active(key.1) {
                    self.elements.insert(
                        key,
                        Element {
                            batch: number,
                            tasks: Vec::new(),
                            num_begun: 0,
                            entry: queue.entries.get(&key).cloned(),
                            over_since: None,
                        },
                    );
                    self.attached.extend(entries.into_iter().map(|entry| (entry, key)));
                }
            }
        }
        Ok(true)
    }

    /// Takes what the schedule has to give; what Slurm has already is found again.
    fn gather(&mut self, observe: &mut Observe<'_>) -> Result<(), ExecutorError> {
        let mut num_found = 0;
        while !self.is_exhausted && !self.is_cancelled {
            let task = self.schedule.next(self.run_dir)?;
            self.schedule.take_notes().iter().for_each(|text| observe(&RunEvent::Note { text }));
            let Some(task) = task else {
                self.is_exhausted = true;
                break;
            };
            if let Some(result) = self.folder(&task).result()? {
                self.tell_ended(&task, Some(&result), observe)?;
                continue;
            }
            match self.attached.remove(&TaskEntry::of(&task)).and_then(|key| self.elements.get_mut(&key)) {
                Some(element) => {
                    num_found += 1;
                    let tracked = tracked(task, true);
                    element.tasks.push(tracked);
                }
                None => self.waiting.push_back(task),
            }
        }
        if num_found > 0 {
            let text = format!("{num_found} trial{} with Slurm already", if num_found == 1 { " is" } else { "s are" });
            observe(&RunEvent::Note { text: &text });
        }
        // Elements of trials that are not wanted any more are left to Slurm.
        self.elements.retain(|_, element| !element.tasks.is_empty());
        Ok(())
    }

    fn tell_ended(&mut self, task: &Task, result: Option<&TrialResult>, observe: &mut Observe<'_>) -> Result<(), ExecutorError> {
        let unfinished = if task.has_paused(&self.folder(task)) { TrialState::Paused } else { TrialState::Interrupted };
        let state = result.map_or(unfinished, |result| result.state);
        if result.is_none() || self.told.insert(task.trial.hash.clone()) {
            observe(&RunEvent::Ended { trial: &task.trial, state, result });
        }
        self.is_exhausted = false;
        self.schedule.ended(self.run_dir, task, result)
    }

    fn submit(&mut self, observe: &mut Observe<'_>) -> Result<(), ExecutorError> {
        if self.max_elements == usize::MAX {
            self.max_elements = match client::max_array_size() {
                Ok(size) => size,
                Err(error @ SlurmError::Away { .. }) => {
                    self.tell_away(&error, observe);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
        }
        let text = script(&self.schedule.plan().name, self.run_dir.root(), self.options);
        let path = self.slurm.script();
        write_atomic(&path, text.as_bytes()).map_err(|source| ExecutorError::Io { path, source })?;
        let per_element = self.options.settings.trials_per_task.get() as usize;
        let mut most = self.max_elements;
        while !self.waiting.is_empty() && self.stop.level() == 0 {
            let num = self.waiting.len().min(most.saturating_mul(per_element));
            let tasks: Vec<Task> = self.waiting.drain(..num).collect();
            let elements: Vec<Vec<Task>> = tasks.chunks(per_element).map(<[Task]>::to_vec).collect();
            match self.submit_array(&elements, observe)? {
                Submitted::As { batch, job } => {
                    self.is_full = false;
                    for (index, tasks) in elements.into_iter().enumerate() {
                        let tasks = tasks
                            .into_iter()
                            .map(|task| {
                                let resumed = self.folder(&task).has_checkpoint();
                                tracked(task, resumed)
                            })
                            .collect();
                        self.elements.insert((job, index as u32), Element { batch, tasks, num_begun: 0, entry: None, over_since: None });
                    }
                    let text = format!("submitted {num} trial{} as job {job}", if num == 1 { "" } else { "s" });
                    observe(&RunEvent::Note { text: &text });
                }
                Submitted::Full(reason) => {
                    for task in tasks.into_iter().rev() {
                        self.waiting.push_front(task);
                    }
                    if most == 1 || elements.len() == 1 {
                        if !std::mem::replace(&mut self.is_full, true) {
                            let text = format!("Slurm takes no more jobs for now, {} trials wait: {reason}", self.waiting.len());
                            observe(&RunEvent::Note { text: &text });
                        }
                        return Ok(());
                    }
                    most = elements.len() / 2;
                }
                Submitted::Stopped => {
                    for task in tasks.into_iter().rev() {
                        self.waiting.push_front(task);
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn submit_array(&mut self, elements: &[Vec<Task>], observe: &mut Observe<'_>) -> Result<Submitted, ExecutorError> {
        let number = self.slurm.next_batch();
        self.slurm.write_tasks(number, elements)?;
        let name = job_name(&self.schedule.plan().name, self.run_dir.root(), number);
        self.slurm.append(&Record::Submitting { batch: number, name: name.clone(), num_tasks: elements.len(), at: now() })?;
        let (output, path) = (self.slurm.output(), self.slurm.script());
        let submission = Submission { name: &name, num_tasks: elements.len(), output: &output, script: &path, batch: number };
        let job = loop {
            match client::submit(&submission, &self.options.settings) {
                Ok(job) => break job,
                Err(error @ SlurmError::Away { .. }) => {
                    self.tell_away(&error, observe);
                    // It may have been heard all the same.
                    let Some(queue) = self.ask_patiently(std::slice::from_ref(&name), observe)? else { return Ok(Submitted::Stopped) };
                    if let Some(job) = queue.jobs.get(&name) {
                        break *job;
                    }
                }
                Err(SlurmError::Refused { message, .. }) if client::is_about_limits(&message) => {
                    self.slurm.append(&Record::Refused { batch: number, reason: message.clone() })?;
                    return Ok(Submitted::Full(message));
                }
                Err(error) => {
                    self.slurm.append(&Record::Refused { batch: number, reason: error.to_string() })?;
                    return Err(error.into());
                }
            }
        };
        self.slurm.append(&Record::Submitted { batch: number, job })?;
        self.batches.push(Batch { number, name, num_tasks: elements.len(), job: Some(job) });
        Ok(Submitted::As { batch: number, job })
    }

    /// Looks at the queue and at the folders of trials; `true` where something has changed.
    fn look(&mut self, observe: &mut Observe<'_>) -> Result<bool, ExecutorError> {
        if !self.is_cancelled && self.slurm.cancel_mark().exists() {
            self.is_cancelled = true;
            observe(&RunEvent::Note { text: "the run is being cancelled: running trials write a checkpoint" });
            let mut jobs: Vec<u64> = self.elements.keys().map(|(job, _)| *job).collect();
            jobs.dedup();
            // Whoever cancels does it, too, but knows nothing of what was submitted since.
            let _ = client::cancel_jobs(&jobs);
        }
        let watched: HashSet<u64> = self.elements.keys().map(|(job, _)| *job).collect();
        let names: Vec<String> = self
            .batches
            .iter()
            .filter(|batch| batch.job.is_some_and(|job| watched.contains(&job)))
            .map(|batch| batch.name.clone())
            .collect();
        let queue = self.ask(&names, observe)?;
        let mut has_changed = false;
        let keys: Vec<(u64, u32)> = self.elements.keys().copied().collect();
        for key in keys {
            let Some(mut element) = self.elements.remove(&key) else { continue };
            has_changed |= self.look_at(key, &mut element, queue.as_ref(), observe)?;
            if !element.tasks.is_empty() {
                self.elements.insert(key, element);
            } else if element.entry.as_ref().is_some_and(|entry| entry.state == "PENDING") {
                // It was put back although its trials are over, because its node or the controller died in the wrong moment.
                let _ = client::cancel_element(key.0, key.1);
            }
        }
        self.tell_counts(observe);
        Ok(has_changed)
    }

    fn tell_counts(&mut self, observe: &mut Observe<'_>) {
        let (mut num_waiting, mut num_running) = (self.waiting.len(), 0);
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for element in self.elements.values() {
            match &element.entry {
                Some(entry) if entry.state == "PENDING" => {
                    num_waiting += element.tasks.len();
                    *reasons.entry(&entry.reason).or_default() += 1;
                }
                Some(_) => num_running += element.tasks.len(),
                None => num_waiting += element.tasks.len(),
            }
        }
        let reason = reasons.into_iter().filter(|(reason, _)| *reason != "None").max_by_key(|(_, num)| *num);
        let counts = (num_waiting, num_running, reason.map_or_else(String::new, |(reason, _)| reason.to_owned()));
        if self.counts.as_ref() != Some(&counts) {
            observe(&RunEvent::Queued { num_waiting, num_running, reason: &counts.2 });
            self.counts = Some(counts);
        }
    }

    fn look_at(
        &mut self,
        key: (u64, u32),
        element: &mut Element,
        queue: Option<&Queue>,
        observe: &mut Observe<'_>,
    ) -> Result<bool, ExecutorError> {
        let mut has_changed = false;
        let mut is_listed = true;
        if let Some(queue) = queue {
            let entry = queue.entries.get(&key);
            has_changed = entry.is_some() && entry != element.entry.as_ref();
            if let Some(entry) = entry.filter(|entry| entry.state == "PENDING" && has_changed) {
                self.tell_requeued(key, element, &entry.reason, observe)?;
            }
            is_listed = entry.is_some();
            if let Some(entry) = entry {
                element.entry = Some(entry.clone());
            }
        }
        let is_waiting = element.entry.as_ref().is_none_or(|entry| entry.state == "PENDING") && is_listed;
        if is_waiting && !has_changed {
            return Ok(false);
        }
        has_changed |= self.look_at_trials(key, element, observe)?;
        // What the queue does not list any more has ended a while ago.
        let is_over = queue.is_some() && (!is_listed || element.entry.as_ref().is_some_and(|entry| !entry.is_active()));
        if !is_over {
            if queue.is_some() {
                element.over_since = None;
            }
            return Ok(has_changed);
        }
        let since = *element.over_since.get_or_insert_with(Instant::now);
        if !element.tasks.is_empty() && since.elapsed() >= SETTLE {
            self.judge(key, element, is_listed, observe)?;
            has_changed = true;
        }
        // While it settles, it is looked at often.
        Ok(has_changed || !element.tasks.is_empty())
    }

    /// An element waits: perhaps again.
    fn tell_requeued(
        &self,
        (_, index): (u64, u32),
        element: &mut Element,
        why: &str,
        observe: &mut Observe<'_>,
    ) -> Result<(), ExecutorError> {
        let records = self.slurm.records(element.batch, index)?;
        let num_begun = records.iter().filter(|record| matches!(record, TaskRecord::Begun { .. })).count();
        if num_begun <= element.num_begun {
            return Ok(());
        }
        element.num_begun = num_begun;
        let reason = format!("Slurm has put its task back into the queue ({why})");
        for tracked in &mut element.tasks {
            tracked.is_started = false;
            observe(&RunEvent::Restarting { trial: &tracked.task.trial, reason: &reason });
        }
        Ok(())
    }

    /// Tells what trials of an element have ended and how the others stand.
    fn look_at_trials(&mut self, key: (u64, u32), element: &mut Element, observe: &mut Observe<'_>) -> Result<bool, ExecutorError> {
        let mut has_changed = false;
        let mut records = None;
        let mut left = Vec::new();
        for mut tracked in std::mem::take(&mut element.tasks) {
            let folder = self.folder(&tracked.task);
            // Opening the folder makes NFS look for new files in it.
            drop(fs::read_dir(folder.path()));
            if let Some(result) = folder.result()? {
                self.tell_ended(&tracked.task, Some(&result), observe)?;
                has_changed = true;
                continue;
            }
            let records = match &records {
                Some(records) => records,
                None => records.insert(self.slurm.records(element.batch, key.1)?),
            };
            if records.iter().any(|record| matches!(record, TaskRecord::Ended { entry } if *entry == tracked.entry)) {
                self.tell_ended(&tracked.task, None, observe)?;
                has_changed = true;
                continue;
            }
            if let Some(progress) = folder.progress()
                && tracked.seen.as_ref() != Some(&progress)
            {
                // The first look may find what an earlier worker left.
                if tracked.seen.is_some() {
                    if !std::mem::replace(&mut tracked.is_started, true) {
                        observe(&RunEvent::Started { trial: &tracked.task.trial, resumed: tracked.resumed });
                    }
                    if let Some(message) = &progress.standing {
                        observe(&RunEvent::Message { trial: &tracked.task.trial, message });
                    }
                }
                tracked.seen = Some(progress);
            }
            left.push(tracked);
        }
        element.tasks = left;
        Ok(has_changed)
    }

    /// An element has ended and has left trials behind.
    fn judge(&mut self, key: (u64, u32), element: &mut Element, is_listed: bool, observe: &mut Observe<'_>) -> Result<(), ExecutorError> {
        let (job, index) = key;
        let (state, node) = match &element.entry {
            Some(entry) if is_listed || !entry.is_active() => (entry.state.clone(), entry.node.clone()),
            Some(entry) => ("gone from the queue".to_owned(), entry.node.clone()),
            None => ("gone from the queue".to_owned(), String::new()),
        };
        let task = format!("{job}_{index}");
        if state == "CANCELLED" || self.is_cancelled {
            if !self.is_cancelled {
                let text = format!("task {task} was cancelled by somebody: its trials are left to the next run");
                observe(&RunEvent::Note { text: &text });
            }
            for tracked in std::mem::take(&mut element.tasks) {
                self.tell_ended(&tracked.task, None, observe)?;
            }
            return Ok(());
        }
        let records = self.slurm.records(element.batch, index)?;
        let node = if node.is_empty() { "its node".to_owned() } else { node };
        if let Some(TaskRecord::BrokeOff { reason }) = records.last() {
            return Err(SlurmError::BrokeOff { task, node, reason: reason.clone() }.into());
        }
        let has_begun = records.iter().any(|record| matches!(record, TaskRecord::Begun { .. }));
        if !has_begun && ["FAILED", "COMPLETED"].contains(&state.as_str()) {
            let log = self.slurm.log(element.batch, index);
            // The rest of the array would fare no better; where it cannot be taken back, it is told so one by one.
            let _ = client::cancel_jobs(&[job]);
            return Err(SlurmError::NotBegun { task, state, node, log, tail: self.slurm.log_tail(element.batch, index) }.into());
        }
        let reason = format!("its task {task} of Slurm ended on {node}: {state}");
        for tracked in std::mem::take(&mut element.tasks) {
            let trial = &tracked.task.trial;
            let folder = self.folder(&tracked.task);
            let step = match folder.progress().and_then(|progress| progress.standing) {
                Some(WorkerMessage::Progress { step, .. }) => step,
                _ => 0,
            };
            if self.restarts.entry(trial.hash.clone()).or_default().allow(step, self.options.max_restarts) {
                observe(&RunEvent::Restarting { trial, reason: &reason });
                self.waiting.push_back(tracked.task);
            } else {
                let result = record_crash(&folder, reason.clone())?;
                self.tell_ended(&tracked.task, result.as_ref(), observe)?;
            }
        }
        Ok(())
    }
}

fn tracked(task: Task, resumed: bool) -> Tracked {
    Tracked { entry: TaskEntry::of(&task), task, is_started: false, seen: None, resumed }
}

enum Submitted {
    As {
        batch: u64,
        job: u64,
    },
    /// Not now: there are too many jobs.
    Full(String),
    /// A stop came before Slurm answered; whether it has the array is found out by the next runner.
    Stopped,
}
