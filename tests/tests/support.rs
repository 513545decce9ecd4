//! The program in a temporary folder.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A temporary folder with an experiment file and a place for runs.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// A folder with `experiment.yaml`.
    pub(crate) fn new(yaml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("experiment.yaml"), yaml).expect("the folder can be written");
        Self { folder }
    }

    /// Path below the folder.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Replaces the experiment file.
    pub(crate) fn rewrite(&self, yaml: &str) {
        fs::write(self.path("experiment.yaml"), yaml).expect("the folder can be written");
    }

    /// The program, to be run in the folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aelab-under-test"));
        command.args(arguments).current_dir(self.folder.path()).env("NO_COLOR", "1");
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program starts")
    }

    /// Runs the experiment into `runs/` and expects the given exit code.
    pub(crate) fn run_experiment(&self, runs: &str, code: i32) -> String {
        let output = self.run(&["run", "experiment.yaml", "--runs", runs]);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{text}");
        text
    }

    /// Folders of the trials of a run, sorted.
    pub(crate) fn trials(&self, run: &str) -> Vec<PathBuf> {
        let mut trials: Vec<PathBuf> =
            fs::read_dir(self.path(run).join("trials")).expect("the run has trials").map(|entry| entry.expect("an entry").path()).collect();
        trials.sort();
        trials
    }
}

/// The JSON file at `path`.
pub(crate) fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `metrics.jsonl` of a trial.
pub(crate) fn metrics(trial: &Path) -> String {
    fs::read_to_string(trial.join("metrics.jsonl")).expect("a trial has metrics")
}

/// The part of a checkpoint called `name`.
pub(crate) fn checkpoint_part(trial: &Path, checkpoint: &str, name: &str) -> Vec<u8> {
    let file = trial.join("checkpoints").join(format!("{checkpoint}.tar"));
    let output = Command::new("tar").arg("xOf").arg(&file).arg(name).output().expect("tar runs");
    assert!(output.status.success() && !output.stdout.is_empty(), "{} has no part {name}", file.display());
    output.stdout
}

/// Every part of a checkpoint but the manifest, which holds seconds, and the optimizers, whose moments burn writes in the order of a hash
/// map: what they hold shows in the parameters of the next step. Names and contents.
pub(crate) fn checkpoint_parts(trial: &Path, checkpoint: &str) -> Vec<(String, Vec<u8>)> {
    let file = fs::File::open(trial.join("checkpoints").join(format!("{checkpoint}.tar"))).expect("a checkpoint");
    let mut archive = tar::Archive::new(file);
    let parts = archive.entries().expect("an archive").map(|entry| {
        let mut entry = entry.expect("a whole entry");
        let (name, mut bytes) = (entry.path().expect("a name").display().to_string(), Vec::new());
        entry.read_to_end(&mut bytes).expect("its content");
        (name, bytes)
    });
    parts.filter(|(name, _)| !name.starts_with("manifest") && !name.contains("optimizer")).collect()
}

/// The rows of a CSV file as maps, without the columns that hold seconds.
pub(crate) fn rows(path: &Path) -> Vec<Vec<(String, String)>> {
    let mut reader = csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let headers = reader.headers().expect("a header").clone();
    reader
        .records()
        .map(|record| {
            let record = record.expect("a whole row");
            headers
                .iter()
                .zip(record.iter())
                .filter(|(header, _)| !header.contains("seconds"))
                .map(|(header, cell)| (header.to_owned(), cell.to_owned()))
                .collect()
        })
        .collect()
}

/// `metrics.jsonl`, `result.json`, and the parts of the checkpoints.
pub(crate) type Outcome = (String, Value, Vec<(String, Vec<(String, Vec<u8>)>)>);

/// What a trial has come to: everything but the seconds.
pub(crate) fn outcome(trial: &Path) -> Outcome {
    let mut result = json(&trial.join("result.json"));
    let map = result.as_object_mut().expect("a map");
    map.remove("seconds");
    map.remove("measuring_seconds");
    map.remove("checksum");
    let checkpoints = ["last", "best"].map(|name| (name.to_owned(), checkpoint_parts(trial, name)));
    (metrics(trial), result, checkpoints.to_vec())
}
