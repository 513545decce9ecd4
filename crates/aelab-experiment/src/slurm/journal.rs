//! What a run directory keeps of its jobs: `slurm/jobs.jsonl`, the lists of tasks, and what each task said.
//!
//! A submission is written down before and after it is made. Its job has a name of its own, so that one whose number was not
//! written down, because its runner was killed in that moment, is found in the queue, and nothing is submitted twice.

use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use aelab_files::{append_json_line, create_folder, read_json_lines, write_atomic};
use serde::{Deserialize, Serialize};

use crate::executor::ExecutorError;
use crate::hash::short_hash;
use crate::run_dir::RunDir;
use crate::schedule::Task;

/// A line of `jobs.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub(super) enum Record {
    /// A job array is about to be submitted.
    Submitting {
        /// Number of its list of tasks.
        batch: u64,
        /// Its name.
        name: String,
        /// Its elements.
        num_tasks: usize,
        /// Seconds since 1970.
        at: u64,
    },
    /// It was submitted.
    Submitted {
        /// Number of its list of tasks.
        batch: u64,
        /// Slurm's number.
        job: u64,
    },
    /// Slurm refused it.
    Refused {
        /// Number of its list of tasks.
        batch: u64,
        /// The reason.
        reason: String,
    },
}

/// A job array of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// Number of its list of tasks.
    pub(super) number: u64,
    /// Its name.
    pub(super) name: String,
    /// Its elements.
    pub(super) num_tasks: usize,
    /// Slurm's number; `None` where the runner was killed before it was known.
    pub(super) job: Option<u64>,
}

/// One trial of an element.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct TaskEntry {
    /// Its hash.
    pub(super) trial: String,
    /// See [`Task::worker_arguments`].
    pub(super) arguments: Vec<String>,
}

impl TaskEntry {
    pub(super) fn of(task: &Task) -> Self {
        Self { trial: task.trial.hash.clone(), arguments: task.worker_arguments() }
    }
}

/// A line of what an element says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub(super) enum TaskRecord {
    /// It has begun, or begun again.
    Begun {
        /// Slurm's number of the job and the index.
        task: String,
        /// Node.
        node: String,
        /// Its trials that were over then.
        num_over: usize,
        /// Optimizer steps of the others then.
        steps: u64,
        /// How often it has begun in a row without having come further.
        num_idle: u32,
    },
    /// One of its trials is done with.
    Ended {
        /// Which one.
        entry: TaskEntry,
    },
    /// It was told to stop; it has written its checkpoints.
    Stopped,
    /// It cannot go on.
    BrokeOff {
        /// The reason.
        reason: String,
    },
}

/// The folder `slurm` of a run directory.
#[derive(Debug, Clone)]
pub(super) struct SlurmDir {
    path: PathBuf,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ExecutorError {
    let path = path.to_path_buf();
    move |source| ExecutorError::Io { path, source }
}

impl SlurmDir {
    pub(super) fn of(run_dir: &RunDir) -> Self {
        Self { path: run_dir.root().join("slurm") }
    }

    pub(super) fn create(&self) -> Result<(), ExecutorError> {
        for folder in [self.path.clone(), self.output()] {
            create_folder(&folder).map_err(io_error(&folder))?;
        }
        Ok(())
    }

    /// Held by the runner that submits.
    pub(super) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Its presence asks the runner to end.
    pub(super) fn cancel_mark(&self) -> PathBuf {
        self.path.join("cancel")
    }

    pub(super) fn script(&self) -> PathBuf {
        self.path.join("task.sh")
    }

    /// What elements wrote to their standard output and error.
    pub(super) fn output(&self) -> PathBuf {
        self.path.join("out")
    }

    pub(super) fn log(&self, batch: u64, index: u32) -> PathBuf {
        self.output().join(format!("{batch}_{index}.log"))
    }

    /// What the element said.
    fn records_path(&self, batch: u64, index: u32) -> PathBuf {
        self.output().join(format!("{batch}_{index}.jsonl"))
    }

    /// Its presence asks the script to put the element back into the queue.
    pub(super) fn again_mark(&self, batch: u64, index: u32) -> PathBuf {
        self.output().join(format!("{batch}_{index}.again"))
    }

    fn journal(&self) -> PathBuf {
        self.path.join("jobs.jsonl")
    }

    fn tasks_path(&self, batch: u64) -> PathBuf {
        self.path.join(format!("{batch}.tasks"))
    }

    pub(super) fn append(&self, record: &Record) -> Result<(), ExecutorError> {
        append_json_line(&self.journal(), record).map_err(io_error(&self.journal()))
    }

    /// Every job array that was submitted, or may have been.
    pub(super) fn batches(&self) -> Result<Vec<Batch>, ExecutorError> {
        let path = self.journal();
        let mut batches: Vec<Batch> = Vec::new();
        for (index, value) in read_json_lines(&path).map_err(io_error(&path))?.values.into_iter().enumerate() {
            let record = serde_json::from_value(value)
                .map_err(|error| io_error(&path)(io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {error}", index + 1))))?;
            match record {
                Record::Submitting { batch, name, num_tasks, .. } => batches.push(Batch { number: batch, name, num_tasks, job: None }),
                Record::Submitted { batch, job } => {
                    if let Some(found) = batches.iter_mut().find(|other| other.number == batch) {
                        found.job = Some(job);
                    }
                }
                Record::Refused { batch, .. } => batches.retain(|other| other.number != batch),
            }
        }
        Ok(batches)
    }

    /// A number that no list of tasks has.
    pub(super) fn next_batch(&self) -> u64 {
        (1..).find(|number| !self.tasks_path(*number).exists()).unwrap_or(u64::MAX)
    }

    /// Writes a list of tasks: a line for each element.
    pub(super) fn write_tasks(&self, batch: u64, elements: &[Vec<Task>]) -> Result<(), ExecutorError> {
        let mut text = String::new();
        for tasks in elements {
            let entries: Vec<TaskEntry> = tasks.iter().map(TaskEntry::of).collect();
            text.push_str(&serde_json::to_string(&entries).expect("texts serialize"));
            text.push('\n');
        }
        let path = self.tasks_path(batch);
        write_atomic(&path, text.as_bytes()).map_err(io_error(&path))
    }

    /// The trials of every element of a batch.
    pub(super) fn tasks(&self, batch: u64) -> Result<Vec<Vec<TaskEntry>>, ExecutorError> {
        let path = self.tasks_path(batch);
        let text = fs::read_to_string(&path).map_err(io_error(&path))?;
        text.lines().map(|line| serde_json::from_str(line).map_err(|error| io_error(&path)(error.into()))).collect()
    }

    /// The trials of one element.
    pub(super) fn element(&self, batch: u64, index: u32) -> Result<Vec<TaskEntry>, ExecutorError> {
        let path = self.tasks_path(batch);
        let file = fs::File::open(&path).map_err(io_error(&path))?;
        let missing = || io::Error::new(io::ErrorKind::InvalidData, format!("it has no line {}", index + 1));
        let line = io::BufReader::new(file).lines().nth(index as usize).unwrap_or_else(|| Err(missing())).map_err(io_error(&path))?;
        serde_json::from_str(&line).map_err(|error| io_error(&path)(error.into()))
    }

    /// What an element has said so far.
    pub(super) fn records(&self, batch: u64, index: u32) -> Result<Vec<TaskRecord>, ExecutorError> {
        let path = self.records_path(batch, index);
        let lines = read_json_lines(&path).map_err(io_error(&path))?;
        // A line of a later version says nothing to this one.
        Ok(lines.values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect())
    }

    pub(super) fn append_record(&self, batch: u64, index: u32, record: &TaskRecord) -> Result<(), ExecutorError> {
        let path = self.records_path(batch, index);
        append_json_line(&path, record).map_err(io_error(&path))
    }

    /// The last lines that an element wrote.
    pub(super) fn log_tail(&self, batch: u64, index: u32) -> String {
        let bytes = fs::read(self.log(batch, index)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4096)..]).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// A name that no other job has.
pub(super) fn job_name(experiment: &str, folder: &Path, batch: u64) -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |duration| duration.as_nanos());
    let unique = short_hash(&serde_json::json!([folder.display().to_string(), batch, process::id(), time.to_string()]));
    format!("{experiment}.{batch}.{}", &unique[..8])
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |duration| duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_is_known_from_the_moment_before_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let slurm = SlurmDir::of(&RunDir::at(folder.path()));
        slurm.create().unwrap();
        assert_eq!(slurm.batches().unwrap(), []);
        let submitting = |batch| Record::Submitting { batch, name: format!("name.{batch}"), num_tasks: 2, at: 0 };
        slurm.append(&submitting(1)).unwrap();
        slurm.append(&Record::Submitted { batch: 1, job: 40 }).unwrap();
        slurm.append(&submitting(2)).unwrap();
        slurm.append(&Record::Refused { batch: 2, reason: "no".into() }).unwrap();
        slurm.append(&submitting(3)).unwrap();
        let found: Vec<(u64, Option<u64>)> = slurm.batches().unwrap().iter().map(|batch| (batch.number, batch.job)).collect();
        assert_eq!(found, [(1, Some(40)), (3, None)]);
    }

    #[test]
    fn names_of_jobs_differ_even_for_one_folder() {
        assert_ne!(job_name("a", Path::new("/runs/a"), 1), job_name("a", Path::new("/runs/a"), 1));
    }
}
