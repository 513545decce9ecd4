//! Frees the disk of checkpoints that nobody will use: those of finished trials that are not among the best.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aelab_files::{sync_folder, write_atomic};
use serde::{Deserialize, Serialize};

use crate::lock::{Attempt, TrialLock};
use crate::nearest_name;
use crate::plan::{Plan, PlannedTrial};
use crate::reading::map_trials;
use crate::result::{MetricValue, TrialState};
use crate::run_dir::{RunDir, RunDirError, TrialDir};

/// Which trials keep their checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneRequest {
    /// So many of the best finished trials.
    pub keep: usize,
    /// The metric that says which are the best.
    pub metric: String,
    /// Only looks.
    pub dry_run: bool,
}

/// `pruned.json` of a trial: its checkpoints were removed on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// The metric by which others were better.
    pub metric: String,
    /// How many trials kept theirs.
    pub keep: usize,
    /// Bytes that were freed.
    pub bytes: u64,
}

/// What was done, or would be.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PruneReport {
    /// The best trials with their values, the best first; they keep their checkpoints.
    pub kept: Vec<(usize, f64)>,
    /// Trials that lost their checkpoints, with the bytes freed.
    pub pruned: Vec<(usize, u64)>,
    /// Finished and diverged trials that had none any more.
    pub num_without: usize,
    /// Trials that have not ended, or failed and may go on from theirs: never touched.
    pub num_unfinished: usize,
    /// Trials that another process has at this moment.
    pub busy: Vec<usize>,
}

impl PruneReport {
    /// Bytes freed in all.
    pub fn bytes(&self) -> u64 {
        self.pruned.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Why nothing was removed, or not all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The run directory cannot be read.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// No trial measured that.
    #[error("no finished trial measured `{metric}`{}; measured were: {}", nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?")), known.join(", "))]
    UnknownMetric {
        /// As asked for.
        metric: String,
        /// The name that is nearest to it.
        nearest: Option<String>,
        /// What was measured and has a direction.
        known: Vec<String>,
    },
    /// Neither more nor less of it is better.
    #[error("neither more nor less of `{metric}` is better, so it cannot tell which trials are the best; these can: {}", known.join(", "))]
    NoDirection {
        /// As asked for.
        metric: String,
        /// What was measured and has a direction.
        known: Vec<String>,
    },
    /// The file system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// `remove`, `write`, ...
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PruneError {
    let path = path.to_path_buf();
    move |source| PruneError::Io { what, path, source }
}

/// Removes the checkpoints of finished and diverged trials but for the best ones. A diverged trial would begin anew anyway; a failed one
/// keeps its checkpoints, from which `--retry failed` goes on.
///
/// # Errors
/// A metric that does not tell which trials are the best; those of the file system.
pub fn prune(run_dir: &RunDir, plan: &Plan, request: &PruneRequest) -> Result<PruneReport, PruneError> {
    let wanted = request.metric.strip_prefix("eval/").unwrap_or(&request.metric);
    let read = map_trials(run_dir, &plan.trials, |_, state, result| {
        let metrics = result.map(|result| result.metrics).unwrap_or_default();
        let names: Vec<String> = if state == TrialState::Finished {
            metrics.iter().filter(|metric| has_direction(metric)).map(|metric| metric.name.clone()).collect()
        } else {
            Vec::new()
        };
        (state, metrics.into_iter().find(|metric| metric.name == wanted), names)
    })?;

    let mut known: Vec<String> = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    known.extend(read.iter().flat_map(|(_, _, names)| names).filter(|name| seen.insert(name)).cloned());
    let finished = |state: &TrialState| *state == TrialState::Finished;
    let mut ranked: Vec<(usize, &MetricValue)> = read
        .iter()
        .enumerate()
        .filter(|(_, (state, ..))| finished(state))
        .filter_map(|(index, (_, metric, _))| Some((index, metric.as_ref()?)))
        .collect();
    let Some((_, first)) = ranked.first() else {
        let nearest = nearest_name(wanted, &known).map(str::to_owned);
        return Err(PruneError::UnknownMetric { metric: wanted.to_owned(), nearest, known });
    };
    let sign = match first.direction.as_str() {
        // Losses of different models or weights are different quantities.
        _ if wanted == "loss" => return Err(PruneError::NoDirection { metric: wanted.to_owned(), known }),
        "lower" => 1.0,
        "higher" => -1.0,
        _ => return Err(PruneError::NoDirection { metric: wanted.to_owned(), known }),
    };
    // What is not a number is worse than any number; of equals the first stays.
    let rank = |value: f64| if value.is_nan() { f64::INFINITY } else { sign * value };
    ranked.sort_by(|left, right| rank(left.1.value).total_cmp(&rank(right.1.value)).then(left.0.cmp(&right.0)));
    ranked.truncate(request.keep);

    let mut report = PruneReport { kept: ranked.iter().map(|(index, metric)| (*index, metric.value)).collect(), ..PruneReport::default() };
    let is_kept: HashSet<usize> = report.kept.iter().map(|(index, _)| *index).collect();
    for (trial, (state, ..)) in plan.trials.iter().zip(&read) {
        if !matches!(state, TrialState::Finished | TrialState::Diverged) {
            report.num_unfinished += 1;
        } else if !is_kept.contains(&trial.index) {
            prune_trial(run_dir, trial, request, &mut report)?;
        }
    }
    Ok(report)
}

fn has_direction(metric: &MetricValue) -> bool {
    metric.name != "loss" && matches!(metric.direction.as_str(), "lower" | "higher")
}

fn prune_trial(run_dir: &RunDir, trial: &PlannedTrial, request: &PruneRequest, report: &mut PruneReport) -> Result<(), PruneError> {
    let folder = run_dir.trial(&trial.hash);
    let checkpoints = folder.checkpoints_path();
    if !checkpoints.exists() {
        report.num_without += 1;
        return Ok(());
    }
    let bytes = bytes_in(&checkpoints).map_err(io_error("read", &checkpoints))?;
    if !request.dry_run {
        let lock_path = folder.lock_path();
        let attempt = TrialLock::attempt(&lock_path).map_err(io_error("lock", &lock_path))?;
        let Attempt::Taken(_lock) = attempt else {
            report.busy.push(trial.index);
            return Ok(());
        };
        // It may have been opened again since it was read.
        let is_over = folder.result()?.is_some_and(|result| matches!(result.state, TrialState::Finished | TrialState::Diverged));
        if !is_over {
            report.num_unfinished += 1;
            return Ok(());
        }
        // The mark comes first: whatever happens then, nobody wonders where the checkpoints are.
        let mark = Pruned { metric: request.metric.clone(), keep: request.keep, bytes };
        let path = folder.pruned_path();
        let json = serde_json::to_vec_pretty(&mark).expect("a text and numbers serialize");
        write_atomic(&path, &json).map_err(io_error("write", &path))?;
        fs::remove_dir_all(&checkpoints).map_err(io_error("remove", &checkpoints))?;
        sync_folder(folder.path()).map_err(io_error("sync", folder.path()))?;
    }
    report.pruned.push((trial.index, bytes));
    Ok(())
}

impl TrialDir {
    /// `checkpoints`.
    pub fn checkpoints_path(&self) -> PathBuf {
        self.path().join("checkpoints")
    }

    /// `pruned.json`: says that the checkpoints were removed on purpose.
    pub fn pruned_path(&self) -> PathBuf {
        self.path().join("pruned.json")
    }

    /// Whether and why the checkpoints were removed. What has checkpoints again since is not pruned.
    pub fn pruned(&self) -> Option<Pruned> {
        if self.checkpoints_path().exists() { None } else { serde_json::from_slice(&fs::read(self.pruned_path()).ok()?).ok() }
    }
}

/// Bytes of the files in a folder and below; a file with several names counts once, as on the disk.
pub(crate) fn bytes_in(folder: &Path) -> io::Result<u64> {
    fn add(folder: &Path, seen: &mut HashSet<(u64, u64)>, bytes: &mut u64) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                add(&entry.path(), seen, bytes)?;
            } else if is_new(&metadata, seen) {
                *bytes += metadata.len();
            }
        }
        Ok(())
    }
    let (mut seen, mut bytes) = (HashSet::new(), 0);
    add(folder, &mut seen, &mut bytes)?;
    Ok(bytes)
}

fn is_new(metadata: &fs::Metadata, seen: &mut HashSet<(u64, u64)>) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        metadata.nlink() < 2 || seen.insert((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = (metadata, seen);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    fn request(keep: usize, metric: &str) -> PruneRequest {
        PruneRequest { keep, metric: metric.into(), dry_run: false }
    }

    fn with_checkpoints(fixture: &Fixture) {
        for trial in &fixture.plan.trials {
            let folder = fixture.run_dir.trial(&trial.hash).checkpoints_path();
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("last.tar"), [0; 1000]).unwrap();
            fs::hard_link(folder.join("last.tar"), folder.join("best.tar")).unwrap();
        }
    }

    fn left(fixture: &Fixture) -> Vec<usize> {
        let has = |trial: &&PlannedTrial| fixture.run_dir.trial(&trial.hash).checkpoints_path().exists();
        fixture.plan.trials.iter().filter(has).map(|trial| trial.index).collect()
    }

    #[test]
    fn the_best_by_either_direction_and_all_that_may_go_on_keep_their_checkpoints() {
        use TrialState::{Diverged, Failed, Finished};
        let states = [(Finished, 3.0), (Finished, 1.0), (Finished, 2.0), (Failed, 0.0), (Diverged, 0.0)];
        let fixture = Fixture::new(&states);
        with_checkpoints(&fixture);
        let report = prune(&fixture.run_dir, &fixture.plan, &PruneRequest { dry_run: true, ..request(2, "sse") }).unwrap();
        assert_eq!((report.kept.clone(), left(&fixture).len()), (vec![(1, 1.0), (2, 2.0)], 5), "a look changes nothing");
        let report = prune(&fixture.run_dir, &fixture.plan, &request(2, "eval/sse")).unwrap();
        assert_eq!((left(&fixture), report.bytes(), report.num_unfinished), (vec![1, 2, 3], 2000, 1), "two names of one file count once");
        let mark = fixture.run_dir.trial(&fixture.plan.trials[0].hash).pruned().unwrap();
        assert_eq!((mark.metric.as_str(), mark.keep), ("eval/sse", 2));
        // `psnr` is higher where `sse` is lower.
        let report = prune(&fixture.run_dir, &fixture.plan, &request(1, "psnr")).unwrap();
        assert_eq!((left(&fixture), report.kept[0].0, report.num_without), (vec![1, 3], 1, 2));
    }

    #[test]
    fn a_trial_in_other_hands_is_left_alone() {
        let fixture = Fixture::new(&[(TrialState::Finished, 1.0), (TrialState::Finished, 2.0)]);
        with_checkpoints(&fixture);
        let lock = fixture.run_dir.trial(&fixture.plan.trials[1].hash).lock_path();
        let Attempt::Taken(_lock) = TrialLock::attempt(&lock).unwrap() else { panic!("a new lock is free") };
        let report = prune(&fixture.run_dir, &fixture.plan, &request(1, "sse")).unwrap();
        assert_eq!((report.busy, left(&fixture)), (vec![1], vec![0, 1]));
    }

    #[test]
    fn a_metric_that_ranks_nothing_is_refused_with_those_that_do() {
        let fixture = Fixture::new(&[(TrialState::Finished, 1.0)]);
        with_checkpoints(&fixture);
        let error = prune(&fixture.run_dir, &fixture.plan, &request(1, "sze")).unwrap_err().to_string();
        assert!(error.contains("did you mean `sse`?") && error.contains("sse, psnr"), "{error}");
        let error = prune(&fixture.run_dir, &fixture.plan, &request(1, "loss")).unwrap_err().to_string();
        assert!(error.contains("neither more nor less of `loss` is better"), "{error}");
        assert_eq!(left(&fixture), [0]);
    }
}
