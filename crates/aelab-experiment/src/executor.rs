//! Runs the tasks of a schedule in worker processes on this machine.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use aelab_files::bounded_lines;

use crate::device::burn_device_variable;
use crate::lock::{self, Attempt, Holder, TrialLock};
use crate::plan::{Plan, PlannedTrial};
use crate::reading::map_trials;
use crate::result::{TrialResult, TrialState};
use crate::run_dir::{RunDir, RunDirError, TrialDir};
use crate::schedule::{Schedule, Task};
use crate::search::SearchError;
use crate::spec::{Execution, Jobs};
use crate::worker::{EXIT_BUSY, EXIT_INTERRUPTED, EXIT_STORAGE, PROTOCOL_VERSION, TrialProgress, WorkerMessage};

/// A message of a worker is a few numbers, or the text of an error.
const MAX_MESSAGE: usize = 1 << 20;

/// The program that runs one trial: it is started with the run directory and the hash as last arguments.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// What comes before the run directory.
    pub arguments: Vec<OsString>,
}

impl WorkerCommand {
    /// `worker` of the program that is running.
    pub fn this_program() -> io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, arguments: vec!["worker".into()] })
    }

    /// Starts the program. Where it is the one that is running, that one is started even if another has been put in its place
    /// since.
    fn command(&self) -> Command {
        #[cfg(target_os = "linux")]
        if std::env::current_exe().is_ok_and(|running| running == self.program || running == with_deleted(&self.program)) {
            use std::os::unix::process::CommandExt;
            let mut command = Command::new("/proc/self/exe");
            command.arg0(&self.program);
            return command;
        }
        Command::new(&self.program)
    }
}

/// What Linux calls the program that is running when its file has been removed or replaced.
#[cfg(target_os = "linux")]
fn with_deleted(program: &std::path::Path) -> PathBuf {
    let mut name = program.as_os_str().to_owned();
    name.push(" (deleted)");
    name.into()
}

/// How trials are run.
#[derive(Debug, Clone)]
pub struct ExecutorOptions {
    /// Trials at a time.
    pub jobs: usize,
    /// Threads of each.
    pub threads_per_trial: usize,
    /// What runs one.
    pub worker: WorkerCommand,
    /// How long to wait for the worker of a runner that has died.
    pub patience: Duration,
    /// Time between two checkpoints within an epoch.
    pub checkpoint_every: Duration,
    /// Time that a worker has for its last checkpoint when it is asked to stop.
    pub grace: Duration,
    /// A worker that is silent for so long is killed.
    pub hang: Duration,
    /// How often a trial whose worker was killed or hung begins again without having come further, before it counts as failed.
    pub max_restarts: u32,
}

/// Asks the executor to stop: once in good order, twice at once.
#[derive(Debug, Clone, Default)]
pub struct StopSignal(Arc<AtomicUsize>);

impl StopSignal {
    /// Asks once more.
    pub fn raise(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub fn level(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Lets SIGINT (Ctrl-C), SIGTERM and, on Unix, SIGHUP and SIGUSR1 (Slurm's warning) ask.
    pub fn listen(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
            let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1])?;
            let stop = self.clone();
            thread::spawn(move || signals.forever().for_each(|_| stop.raise()));
        }
        Ok(())
    }

    /// As `listen`, but however many signals come, they ask once: a batch system sends several, and means the same by them.
    pub fn listen_once(&self) -> io::Result<()> {
        let heard = Self::default();
        heard.listen()?;
        let stop = self.clone();
        thread::spawn(move || {
            while heard.level() == 0 {
                thread::sleep(TICK);
            }
            stop.raise();
        });
        Ok(())
    }
}

/// What happens while trials run.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// A worker was started.
    Started {
        /// Its trial.
        trial: &'a PlannedTrial,
        /// Whether it goes on from a checkpoint.
        resumed: bool,
    },
    /// A worker said something.
    Message {
        /// Its trial.
        trial: &'a PlannedTrial,
        /// What it said.
        message: &'a WorkerMessage,
    },
    /// A trial has ended or was interrupted, here or by another runner.
    Ended {
        /// The trial.
        trial: &'a PlannedTrial,
        /// Where it stands.
        state: TrialState,
        /// Its result, where it is over.
        result: Option<&'a TrialResult>,
    },
    /// A trial is in the hands of another process.
    Waiting {
        /// The trial.
        trial: &'a PlannedTrial,
        /// Who has it.
        holder: Option<&'a Holder>,
    },
    /// A worker was killed or hung; its trial is begun again from its last checkpoint.
    Restarting {
        /// The trial.
        trial: &'a PlannedTrial,
        /// What happened.
        reason: &'a str,
    },
    /// Something worth reading that is about no trial.
    Note {
        /// One line or several.
        text: &'a str,
    },
    /// Workers were asked to checkpoint and end.
    Stopping {
        /// How many there are.
        num_running: usize,
    },
    /// Trials were handed to a cluster, or their number in its queue has changed.
    Queued {
        /// Trials that wait.
        num_waiting: usize,
        /// Trials whose tasks run.
        num_running: usize,
        /// Why most of those that wait do so, in the cluster's word; empty where it does not say.
        reason: &'a str,
    },
}

/// Why trials could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutorError {
    /// The run directory cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// A search cannot go on.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A worker cannot be started.
    #[error("cannot start the worker {}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file of a trial cannot be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// More threads than cores.
    #[error(
        "`threads_per_trial: {threads}` needs {threads} cores, but this machine has {cores}; results can depend on the number of threads, so it is not lowered"
    )]
    TooManyThreads {
        /// Threads asked for.
        threads: usize,
        /// Cores that there are.
        cores: usize,
    },
    /// A worker could not keep its work.
    #[error(
        "the run was stopped because {hash} cannot keep its work: {reason}\nput that right (a full disk, a lost permission, ...), then go on"
    )]
    Storage {
        /// The trial.
        hash: String,
        /// What the worker said.
        reason: String,
    },
    /// Slurm does not do what it was asked.
    #[error(transparent)]
    Slurm(#[from] crate::slurm::SlurmError),
    /// A process that should be gone holds a trial.
    #[error("the trial {hash} is held by {holder}, whose runner has died, and it does not stop: end that process")]
    Stuck {
        /// The trial.
        hash: String,
        /// Who holds it.
        holder: String,
    },
    /// A trial is locked and nobody works on it.
    #[error(
        "the trial {hash} is held by {holder}, who has given no sign of life for {seconds} seconds: end that process; \
         if its machine is gone and its lock stays on the file server, delete {}", lock.display()
    )]
    Silent {
        /// The trial.
        hash: String,
        /// Who holds it.
        holder: String,
        /// For how long.
        seconds: u64,
        /// The lock file.
        lock: PathBuf,
    },
    /// The worker is another program than the runner.
    #[error(
        "the worker is of aelab {version} and speaks version {found} of the protocol between worker and runner, but the runner speaks version \
         {PROTOCOL_VERSION}: the program was replaced while the run went on; what is done is kept, begin the run again with one program"
    )]
    Protocol {
        /// Version of the worker's program.
        version: String,
        /// Version of its protocol.
        found: u32,
    },
}

/// How many trials run at a time on so many cores, and a warning where that is fewer than asked for.
pub fn resolve_jobs(execution: &Execution, cores: usize) -> Result<(usize, Option<String>), ExecutorError> {
    let threads = execution.threads_per_trial.max(1);
    if threads > cores {
        return Err(ExecutorError::TooManyThreads { threads, cores });
    }
    let most = (cores / threads).max(1);
    match execution.jobs {
        Jobs::Count(jobs) if jobs > most => Ok((
            most,
            Some(format!(
                "{jobs} jobs of {threads} thread{} need {} cores, this machine has {cores}: running {most} at a time",
                if threads > 1 { "s" } else { "" },
                jobs.saturating_mul(threads)
            )),
        )),
        Jobs::Count(jobs) => Ok((jobs.max(1), None)),
        Jobs::Auto => Ok((most, None)),
    }
}

/// What came of running a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// The state of every trial, in the order of the plan.
    pub states: Vec<TrialState>,
    /// Whether it was stopped before the end.
    pub stopped: bool,
}

impl RunSummary {
    /// Looks at every trial of the plan.
    pub fn of(run_dir: &RunDir, plan: &Plan, stopped: bool) -> Result<Self, ExecutorError> {
        let states = map_trials(run_dir, &plan.trials, |_, state, _| state)?;
        Ok(Self { states, stopped })
    }

    /// How many trials are in that state.
    pub fn count(&self, state: TrialState) -> usize {
        self.states.iter().filter(|other| **other == state).count()
    }
}

/// A worker at work.
struct Worker {
    task: Task,
    child: Child,
    /// Held open: its end asks the worker to stop.
    input: Option<ChildStdin>,
    killed: bool,
    /// When it last said something, and what it was doing.
    heard: Instant,
    phase: String,
    /// Optimizer steps over all stages, as far as it said.
    step: u64,
    /// Why it is being killed, where it hangs.
    hung: Option<String>,
    /// Whether it has said its last word.
    is_done: bool,
}

/// How often a trial was begun again without having come further than this.
#[derive(Default)]
pub(crate) struct Restarts {
    num: u32,
    step: u64,
}

impl Restarts {
    /// Whether a trial that has come to that step may begin again; counted.
    pub(crate) fn allow(&mut self, step: u64, max_restarts: u32) -> bool {
        if step > self.step {
            *self = Self { num: 0, step };
        }
        self.num += 1;
        self.num <= max_restarts
    }
}

struct Line {
    trial: Arc<PlannedTrial>,
    message: Result<WorkerMessage, String>,
}

/// A trial that another process has.
struct Held {
    task: Task,
    since: Instant,
    /// Its signs of life, when they last changed, and when they were last read.
    progress: Option<TrialProgress>,
    heard: Instant,
    looked: Instant,
    /// Why waiting for it is no use.
    hopeless: Option<ExecutorError>,
}

impl Held {
    fn new(task: Task) -> Self {
        let now = Instant::now();
        Self { task, since: now, progress: None, heard: now, looked: now, hopeless: None }
    }
}

const TICK: Duration = Duration::from_millis(50);
/// How often the signs of life of others are read.
const LISTEN_EVERY: Duration = Duration::from_secs(1);

/// And how often where one is about to end.
const SHORT_TICK: Duration = Duration::from_millis(1);

/// Runs the tasks of a schedule on this machine until it has no more.
pub fn execute(
    run_dir: &RunDir,
    schedule: &mut dyn Schedule,
    options: &ExecutorOptions,
    stop: &StopSignal,
    observe: &mut dyn FnMut(&RunEvent<'_>),
) -> Result<RunSummary, ExecutorError> {
    let (sender, receiver) = mpsc::channel();
    let mut executor = Executor {
        run_dir,
        schedule,
        options,
        sender,
        waiting: VecDeque::new(),
        running: Vec::new(),
        held: Vec::new(),
        restarts: HashMap::new(),
        storage: None,
        obeyed: 0,
    };
    let outcome = executor.run(&receiver, stop, observe);
    // Whatever went wrong, no worker is left behind.
    if outcome.is_err() {
        executor.end_all();
    }
    outcome?;
    RunSummary::of(run_dir, schedule.plan(), stop.level() > 0)
}

struct Executor<'a> {
    run_dir: &'a RunDir,
    schedule: &'a mut dyn Schedule,
    options: &'a ExecutorOptions,
    sender: Sender<Line>,
    /// Tasks to begin again, before any other.
    waiting: VecDeque<Task>,
    running: Vec<Worker>,
    held: Vec<Held>,
    /// By the hash of the trial.
    restarts: HashMap<String, Restarts>,
    /// The trial that cannot keep its work, and what its worker said.
    storage: Option<(String, String)>,
    /// Stop level that has been acted on.
    obeyed: usize,
}

impl Executor<'_> {
    fn run(&mut self, receiver: &Receiver<Line>, stop: &StopSignal, observe: &mut dyn FnMut(&RunEvent<'_>)) -> Result<(), ExecutorError> {
        loop {
            self.obey(stop.level(), observe);
            if self.obeyed == 0 {
                self.look_at_held(observe)?;
                while self.running.len() < self.options.jobs
                    && let Some(task) = self.next_task(observe)?
                {
                    self.start(task, observe)?;
                }
            }
            // What nobody will give back is no reason to leave the rest undone.
            if self.obeyed == 0
                && self.running.is_empty()
                && self.held.iter().all(|held| held.hopeless.is_some())
                && let Some(error) = self.held.iter_mut().find_map(|held| held.hopeless.take())
            {
                return Err(error);
            }
            // With a free place and nothing running or held, the schedule had nothing more to give.
            if self.running.is_empty() && (self.obeyed > 0 || self.held.is_empty()) {
                return Ok(());
            }
            // A worker that has said its last word ends in a moment, and its place should not stay free for longer.
            let tick = if self.running.iter().any(|worker| worker.is_done) { SHORT_TICK } else { TICK };
            match receiver.recv_timeout(tick) {
                Ok(line) => {
                    self.hear(&line, observe)?;
                    while let Ok(line) = receiver.try_recv() {
                        self.hear(&line, observe)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("the executor keeps a sender"),
            }
            self.collect_ended(receiver, observe)?;
            self.kill_hung();
        }
    }

    fn next_task(&mut self, observe: &mut dyn FnMut(&RunEvent<'_>)) -> Result<Option<Task>, ExecutorError> {
        if let Some(task) = self.waiting.pop_front() {
            return Ok(Some(task));
        }
        let task = self.schedule.next(self.run_dir)?;
        self.schedule.take_notes().iter().for_each(|text| observe(&RunEvent::Note { text }));
        Ok(task)
    }

    /// A task has come to an end, or another process has ended its trial.
    fn tell_ended(
        &mut self,
        task: &Task,
        result: Option<&TrialResult>,
        observe: &mut dyn FnMut(&RunEvent<'_>),
    ) -> Result<(), ExecutorError> {
        let unfinished = if task.has_paused(&self.folder(&task.trial)) { TrialState::Paused } else { TrialState::Interrupted };
        let state = result.map_or(unfinished, |result| result.state);
        observe(&RunEvent::Ended { trial: &task.trial, state, result });
        self.schedule.ended(self.run_dir, task, result)
    }

    fn kill_hung(&mut self) {
        for worker in &mut self.running {
            if worker.hung.is_none() && worker.heard.elapsed() > self.options.hang {
                let phase = if worker.phase.is_empty() { "at its start" } else { &worker.phase };
                let seconds = self.options.hang.as_secs_f64();
                worker.hung = Some(format!("the worker gave no sign of life for {seconds} seconds ({phase}) and was killed"));
                // It may have ended just now.
                let _ = worker.child.kill();
            }
        }
    }

    /// Asks every worker to stop, and kills those that do not.
    fn end_all(&mut self) {
        self.close_inputs();
        let since = Instant::now();
        while since.elapsed() < self.options.grace + Duration::from_secs(5) {
            self.running.retain_mut(|worker| matches!(worker.child.try_wait(), Ok(None)));
            if self.running.is_empty() {
                return;
            }
            thread::sleep(TICK);
        }
        for worker in &mut self.running {
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }

    fn obey(&mut self, level: usize, observe: &mut dyn FnMut(&RunEvent<'_>)) {
        if level > 0 && self.obeyed == 0 {
            observe(&RunEvent::Stopping { num_running: self.running.len() });
            self.close_inputs();
        }
        if level > 1 {
            for worker in &mut self.running {
                // It may have ended just now.
                let _ = worker.child.kill();
                worker.killed = true;
            }
        }
        self.obeyed = self.obeyed.max(level);
    }

    fn close_inputs(&mut self) {
        for worker in &mut self.running {
            worker.input = None;
        }
    }

    fn folder(&self, trial: &PlannedTrial) -> TrialDir {
        self.run_dir.trial(&trial.hash)
    }

    fn start(&mut self, task: Task, observe: &mut dyn FnMut(&RunEvent<'_>)) -> Result<(), ExecutorError> {
        let planned = Arc::clone(&task.trial);
        let folder = self.folder(&planned);
        if let Some(result) = folder.result()? {
            return self.tell_ended(&task, Some(&result), observe);
        }
        if let Some(holder) = self.holder(&folder)? {
            observe(&RunEvent::Waiting { trial: &planned, holder: holder.as_ref() });
            self.held.push(Held::new(task));
            return Ok(());
        }
        let log_path = folder.log_path();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(|source| ExecutorError::Io { path: log_path.clone(), source })?;
        let resumed = folder.has_checkpoint();
        let worker = &self.options.worker;
        let mut command = worker.command();
        command
            .args(&worker.arguments)
            .arg(format!("--checkpoint-seconds={}", self.options.checkpoint_every.as_secs()))
            .arg(format!("--grace-seconds={}", self.options.grace.as_secs()))
            .args(task.worker_arguments())
            .arg(self.run_dir.root())
            .arg(&planned.hash)
            .env("RAYON_NUM_THREADS", self.options.threads_per_trial.to_string())
            .env("BURN_DEVICE", burn_device_variable(planned.device()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        #[cfg(unix)]
        {
            // Ctrl-C goes to the runner alone, which asks its workers in good order.
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(|source| ExecutorError::Spawn { program: worker.program.clone(), source })?;
        let input = child.stdin.take();
        let output = child.stdout.take().expect("standard output is a pipe");
        let (sender, trial) = (self.sender.clone(), Arc::clone(&planned));
        thread::spawn(move || {
            for line in bounded_lines(BufReader::new(output), MAX_MESSAGE).map_while(Result::ok) {
                let text = String::from_utf8_lossy(&line).into_owned();
                let message = serde_json::from_str(&text).map_err(|_| text);
                if sender.send(Line { trial: Arc::clone(&trial), message }).is_err() {
                    break;
                }
            }
        });
        self.running.push(Worker {
            task,
            child,
            input,
            killed: false,
            heard: Instant::now(),
            phase: String::new(),
            step: 0,
            hung: None,
            is_done: false,
        });
        observe(&RunEvent::Started { trial: &planned, resumed });
        Ok(())
    }

    fn holder(&self, folder: &TrialDir) -> Result<Option<Option<Holder>>, ExecutorError> {
        let path = folder.lock_path();
        lock::holder(&path).map_err(|source| ExecutorError::Io { path, source })
    }

    fn look_at_held(&mut self, observe: &mut dyn FnMut(&RunEvent<'_>)) -> Result<(), ExecutorError> {
        for mut held in std::mem::take(&mut self.held) {
            let folder = self.folder(&held.task.trial);
            match self.holder(&folder)? {
                None => match folder.result()? {
                    Some(result) => self.tell_ended(&held.task, Some(&result), observe)?,
                    None => self.waiting.push_front(held.task),
                },
                Some(holder) => {
                    if held.looked.elapsed() >= LISTEN_EVERY {
                        held.looked = Instant::now();
                        let progress = folder.progress();
                        if progress != held.progress {
                            (held.progress, held.heard) = (progress, Instant::now());
                        }
                    }
                    let is_orphan = holder.as_ref().is_some_and(Holder::runner_is_gone);
                    let hash = held.task.trial.hash.clone();
                    let holder = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                    let silence = held.heard.elapsed();
                    held.hopeless = if is_orphan && held.since.elapsed() > self.options.patience {
                        Some(ExecutorError::Stuck { hash, holder })
                    } else if silence > self.options.hang + self.options.patience {
                        // Its own runner would have killed it by now.
                        Some(ExecutorError::Silent { hash, holder, seconds: silence.as_secs(), lock: folder.lock_path() })
                    } else {
                        None
                    };
                    self.held.push(held);
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, line: &Line, observe: &mut dyn FnMut(&RunEvent<'_>)) -> Result<(), ExecutorError> {
        let trial = &line.trial;
        if let Some(worker) = self.running.iter_mut().find(|worker| worker.task.trial.hash == trial.hash) {
            worker.heard = Instant::now();
            match &line.message {
                Ok(WorkerMessage::Beat { phase }) => worker.phase.clone_from(phase),
                Ok(WorkerMessage::Progress { step, .. }) => worker.step = *step,
                Ok(WorkerMessage::Done { .. }) => worker.is_done = true,
                _ => {}
            }
        }
        match &line.message {
            Ok(WorkerMessage::Hello { protocol_version, program_version }) if *protocol_version != PROTOCOL_VERSION => {
                return Err(ExecutorError::Protocol { version: program_version.clone(), found: *protocol_version });
            }
            Ok(WorkerMessage::Storage { text }) => self.storage = Some((trial.hash.clone(), text.clone())),
            Ok(message) => observe(&RunEvent::Message { trial, message }),
            Err(text) => {
                // A library that prints: not for the protocol, but not to be lost either.
                let path = self.folder(trial).log_path();
                let written = OpenOptions::new().create(true).append(true).open(&path).and_then(|mut log| writeln!(log, "{text}"));
                written.map_err(|source| ExecutorError::Io { path, source })?;
            }
        }
        Ok(())
    }

    fn collect_ended(&mut self, receiver: &Receiver<Line>, observe: &mut dyn FnMut(&RunEvent<'_>)) -> Result<(), ExecutorError> {
        let mut position = 0;
        while position < self.running.len() {
            let status = self.running[position].child.try_wait();
            match status {
                Ok(None) => position += 1,
                Ok(Some(status)) => {
                    // The last words of one that has not said so may still be on the way.
                    while !self.running[position].is_done
                        && let Ok(line) = receiver.recv_timeout(Duration::from_millis(5))
                    {
                        self.hear(&line, observe)?;
                    }
                    let worker = self.running.remove(position);
                    self.end(worker, status, observe)?;
                }
                Err(source) => return Err(ExecutorError::Spawn { program: self.options.worker.program.clone(), source }),
            }
        }
        Ok(())
    }

    /// Whether the trial of a worker that was killed or hung may begin again; counted.
    fn may_restart(&mut self, worker: &Worker) -> bool {
        self.restarts.entry(worker.task.trial.hash.clone()).or_default().allow(worker.step, self.options.max_restarts)
    }

    fn end(&mut self, worker: Worker, status: ExitStatus, observe: &mut dyn FnMut(&RunEvent<'_>)) -> Result<(), ExecutorError> {
        let trial = &worker.task.trial;
        let folder = self.folder(trial);
        let mut result = folder.result()?;
        if result.is_none() && status.code() == Some(i32::from(EXIT_BUSY)) {
            observe(&RunEvent::Waiting { trial, holder: None });
            self.held.push(Held::new(worker.task));
            return Ok(());
        }
        if result.is_none() && !worker.killed && !worker.task.has_paused(&folder) {
            if status.code() == Some(i32::from(EXIT_STORAGE)) {
                let (hash, reason) = self.storage.take().unwrap_or_else(|| (trial.hash.clone(), folder.log_tail(3)));
                return Err(ExecutorError::Storage { hash, reason });
            }
            let in_good_order = status.success() || status.code() == Some(i32::from(EXIT_INTERRUPTED));
            let reason = match &worker.hung {
                Some(reason) => reason.clone(),
                None if in_good_order => "somebody else asked the worker to stop".to_owned(),
                None => describe_exit(status),
            };
            let is_worth_another_try = worker.hung.is_some() || in_good_order || was_killed_from_outside(status);
            if self.obeyed == 0 && is_worth_another_try && self.may_restart(&worker) {
                observe(&RunEvent::Restarting { trial, reason: &reason });
                self.waiting.push_front(worker.task);
                return Ok(());
            }
            if !in_good_order {
                result = record_crash(&folder, reason)?;
            }
        }
        self.tell_ended(&worker.task, result.as_ref(), observe)
    }
}

/// Whether a signal ended a process that the kernel, a user or a batch system sends, not the program's own fault: it may go well the
/// next time.
fn was_killed_from_outside(status: ExitStatus) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        status.signal().is_some_and(|signal| [1, 2, 9, 10, 15].contains(&signal))
    }
    #[cfg(not(unix))]
    {
        let _ = status;
        false
    }
}

/// Writes the result of a trial whose worker died, unless another process has taken the trial up.
pub(crate) fn record_crash(folder: &TrialDir, what: String) -> Result<Option<TrialResult>, ExecutorError> {
    let path = folder.lock_path();
    let attempt = TrialLock::attempt(&path).map_err(|source| ExecutorError::Io { path, source })?;
    let Attempt::Taken(_lock) = attempt else { return Ok(None) };
    // Another runner may have finished it in the meantime.
    if let Some(result) = folder.result()? {
        return Ok(Some(result));
    }
    let tail = folder.log_tail(20);
    // What Rust and C++ say of an allocation that is refused, before they end the process.
    let said = folder.log_tail(200);
    let ran_out = said.lines().rev().find(|line| ["memory allocation of", "std::bad_alloc"].iter().any(|words| line.contains(words)));
    let what = ran_out.map_or_else(|| what.clone(), |line| format!("the worker ran out of memory ({line}): {what}"));
    let error = if tail.is_empty() { what } else { format!("{what}; the end of its log:\n{tail}") };
    let result = TrialResult::without_metrics(TrialState::Failed, Some(error));
    folder.write_result(&result)?;
    Ok(Some(result))
}

/// How a process ended, in words.
fn describe_exit(status: ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        if let Some(signal) = status.signal() {
            let name = match signal {
                2 => " (SIGINT)",
                4 => " (SIGILL)",
                6 => " (SIGABRT)",
                7 => " (SIGBUS)",
                8 => " (SIGFPE)",
                9 => " (SIGKILL; the kernel does this when memory runs out)",
                11 => " (SIGSEGV)",
                15 => " (SIGTERM)",
                _ => "",
            };
            return format!("the worker was killed by signal {signal}{name}");
        }
    }
    match status.code() {
        Some(101) => "the worker panicked".to_owned(),
        Some(code) => format!("the worker ended with exit code {code}"),
        None => "the worker ended without an exit code".to_owned(),
    }
}
