//! What `run` shows while it runs: moving bars on a terminal, plain lines elsewhere, or nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use aelab_experiment::{Plan, PlannedTrial, RunEvent, TrialResult, TrialState, WorkerMessage};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::terminal::{duration, is_terminal, print_note, significant};

/// Plain lines about a running trial come at most this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows events to the user.
pub(crate) struct Progress {
    /// What sets each trial apart, of those that are planned from the start.
    labels: Vec<String>,
    /// Trials of the run, where that is known.
    num_trials: Option<usize>,
    /// Trials that this run has to do, where that is known.
    num_to_do: Option<usize>,
    num_ended: usize,
    began: Instant,
    running: HashMap<usize, Running>,
    /// How often each note came.
    notes: BTreeMap<String, usize>,
    style: Style,
    /// What the queue of a cluster has.
    queue: String,
    queue_line: Option<Instant>,
}

enum Style {
    Bars { all: MultiProgress, sweep: ProgressBar },
    Lines,
    Quiet,
}

/// A trial that runs.
struct Running {
    bar: Option<ProgressBar>,
    last_line: Instant,
    total_steps: u64,
    fraction: f64,
}

impl Progress {
    /// For `num_to_do` trials of a plan, which grows to `num_trials`; `None` where nobody knows.
    pub(crate) fn new(plan: &Plan, num_trials: Option<usize>, num_to_do: Option<usize>, quiet: bool) -> Self {
        let style = if quiet {
            Style::Quiet
        } else if is_terminal() {
            let all = MultiProgress::new();
            let sweep = all.add(num_to_do.map_or_else(ProgressBar::no_length, |num| ProgressBar::new(num as u64)));
            sweep.set_style(bar_style(match num_to_do {
                Some(_) => "{bar:30} {pos}/{len} trials  {elapsed} gone{msg}",
                None => "{pos} trials  {elapsed} gone{msg}",
            }));
            sweep.enable_steady_tick(Duration::from_millis(500));
            Style::Bars { all, sweep }
        } else {
            Style::Lines
        };
        Self {
            labels: plan.labels(),
            num_trials,
            num_to_do,
            num_ended: 0,
            began: Instant::now(),
            running: HashMap::new(),
            notes: BTreeMap::new(),
            style,
            queue: String::new(),
            queue_line: None,
        }
    }

    /// Shows what happened.
    pub(crate) fn show(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::Started { trial, resumed } => self.started(trial, *resumed),
            RunEvent::Message { trial, message } => self.message(trial, message),
            RunEvent::Ended { trial, state, result } => self.ended(trial, *state, *result),
            RunEvent::Waiting { trial, holder } => {
                let holder = holder.map_or_else(|| "another process".to_owned(), ToString::to_string);
                self.say(&format!("waiting     {}: {holder} has it", self.name(trial)));
            }
            RunEvent::Restarting { trial, reason } => {
                self.say(&format!("begun again {}: {reason}", self.name(trial)));
            }
            RunEvent::Note { text } => self.say(text),
            RunEvent::Stopping { num_running } => self.say(&format!(
                "stopping: {num_running} running trial{} to write a checkpoint; once more to stop at once",
                if *num_running == 1 { " has" } else { "s have" }
            )),
            RunEvent::Queued { num_waiting, num_running, reason } => self.queued(*num_waiting, *num_running, reason),
        }
    }

    /// Takes the bars away.
    pub(crate) fn finish(&mut self) {
        for running in self.running.values().filter_map(|running| running.bar.as_ref()) {
            running.finish_and_clear();
        }
        if let Style::Bars { sweep, .. } = &self.style {
            sweep.finish_and_clear();
        }
        if !matches!(self.style, Style::Quiet) {
            for (text, count) in self.notes.iter().filter(|(_, count)| **count > 1) {
                print_note(&format!("note        {count} times: {text}"));
            }
        }
    }

    fn queued(&mut self, num_waiting: usize, num_running: usize, reason: &str) {
        self.queue = match (num_waiting, reason) {
            (0, _) => format!(", {num_running} on the cluster"),
            (_, "") => format!(", {num_running} on the cluster, {num_waiting} queued"),
            _ => format!(", {num_running} on the cluster, {num_waiting} queued ({reason})"),
        };
        match &self.style {
            Style::Bars { .. } => self.estimate(),
            Style::Lines if self.queue_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) => {
                self.queue_line = Some(Instant::now());
                print_note(&format!("queue       {}", &self.queue[2..]));
            }
            _ => {}
        }
    }

    fn name(&self, trial: &PlannedTrial) -> String {
        let label = self.labels.get(trial.index).cloned().unwrap_or_else(|| trial.label());
        match self.num_trials {
            Some(num) => format!("[{}/{num}] {label}", trial.index + 1),
            None => format!("[{}] {label}", trial.index + 1),
        }
    }

    fn say(&self, text: &str) {
        match &self.style {
            Style::Bars { all, .. } => {
                // It fails only where the terminal has gone away.
                let _ = all.println(text);
            }
            Style::Lines => print_note(text),
            Style::Quiet => {}
        }
    }

    fn started(&mut self, trial: &PlannedTrial, resumed: bool) {
        let name = self.name(trial);
        let bar = match &self.style {
            Style::Bars { all, sweep } => {
                let bar = all.insert_before(sweep, ProgressBar::new(1000));
                bar.set_style(bar_style("{bar:16} {prefix}  {msg}"));
                bar.set_prefix(name);
                Some(bar)
            }
            Style::Lines => {
                print_note(&format!("{:<12}{name}  ({})", if resumed { "goes on" } else { "started" }, trial.hash));
                None
            }
            Style::Quiet => None,
        };
        self.running.insert(trial.index, Running { bar, last_line: Instant::now(), total_steps: 0, fraction: 0.0 });
    }

    fn message(&mut self, trial: &PlannedTrial, message: &WorkerMessage) {
        let name = self.name(trial);
        let Some(running) = self.running.get_mut(&trial.index) else { return };
        match message {
            WorkerMessage::Started { num_epochs, steps_per_epoch, .. } => running.total_steps = (num_epochs * steps_per_epoch) as u64,
            WorkerMessage::Progress { stage, epoch, num_epochs, step, steps_per_second, loss, valid_loss } => {
                running.fraction = if running.total_steps == 0 { 0.0 } else { (*step as f64 / running.total_steps as f64).min(1.0) };
                let mut text = format!("epoch {epoch:.1}/{num_epochs}, loss {}", significant(*loss));
                if stage != "train" {
                    text = format!("{stage}, {text}");
                }
                if let Some(valid) = valid_loss {
                    text.push_str(&format!(" (validation {})", significant(*valid)));
                }
                if *steps_per_second > 0.0 {
                    text.push_str(&format!(", {} steps/s", significant(*steps_per_second)));
                }
                let left = running.total_steps.saturating_sub(*step) as f64;
                if *steps_per_second > 0.0 && running.total_steps > 0 {
                    text.push_str(&format!(", {} left", duration(left / steps_per_second)));
                }
                if let Some(bar) = &running.bar {
                    bar.set_position((running.fraction * 1000.0) as u64);
                    bar.set_message(text);
                } else if matches!(self.style, Style::Lines) && running.last_line.elapsed() >= LINE_EVERY {
                    running.last_line = Instant::now();
                    print_note(&format!("            {name}  {text}"));
                }
            }
            WorkerMessage::Measuring { evaluation, number, num_evaluations } => {
                running.fraction = 1.0;
                let text = format!("measuring {evaluation} ({number} of {num_evaluations})");
                if let Some(bar) = &running.bar {
                    bar.set_position(1000);
                    bar.set_message(text);
                } else if matches!(self.style, Style::Lines) && running.last_line.elapsed() >= LINE_EVERY {
                    running.last_line = Instant::now();
                    print_note(&format!("            {name}  {text}"));
                }
            }
            // Trials of a sweep have much the same to say.
            WorkerMessage::Note { text } => {
                let count = self.notes.entry(text.clone()).or_default();
                *count += 1;
                if *count == 1 {
                    self.say(&format!("note        {name}: {text}"));
                }
            }
            WorkerMessage::Hello { .. } | WorkerMessage::Beat { .. } | WorkerMessage::Storage { .. } | WorkerMessage::Done { .. } => {}
        }
        self.estimate();
    }

    fn ended(&mut self, trial: &PlannedTrial, state: TrialState, result: Option<&TrialResult>) {
        if let Some(running) = self.running.remove(&trial.index)
            && let Some(bar) = running.bar
        {
            bar.finish_and_clear();
        }
        self.num_ended += usize::from(state.is_over());
        let mut text = format!("{:<12}{}", state.name(), self.name(trial));
        if let Some(result) = result {
            if result.seconds > 0.0 {
                text.push_str(&format!("  trained in {}", duration(result.seconds)));
            }
            if let Some(metric) = result.metrics.first() {
                text.push_str(&format!("  {} {}", metric.name, significant(metric.value)));
            }
            if let Some(error) = &result.error {
                for line in error.lines() {
                    text.push_str(&format!("\n              {line}"));
                }
            }
        }
        self.say(&text);
        if let Style::Bars { sweep, .. } = &self.style {
            sweep.set_position(self.num_ended as u64);
        }
        self.estimate();
    }

    /// Time left of the sweep, from the share that is done.
    fn estimate(&self) {
        let (Style::Bars { sweep, .. }, Some(num_to_do)) = (&self.style, self.num_to_do) else { return };
        let fraction =
            (self.num_ended as f64 + self.running.values().map(|running| running.fraction).sum::<f64>()) / num_to_do.max(1) as f64;
        let left = self.began.elapsed().as_secs_f64() * (1.0 - fraction) / fraction;
        // Evaluations take time, too, and nobody knows how much.
        let left = if fraction > 0.01 && left >= 1.0 { format!(", about {} left", duration(left)) } else { String::new() };
        sweep.set_message(format!("{left}{}", self.queue));
    }
}

fn bar_style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is fixed and well-formed").progress_chars("=> ")
}
