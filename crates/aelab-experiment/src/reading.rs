//! Reading where the trials of a run stand, however many they are: each file once, on all cores, and only what is wanted is kept.

use std::borrow::Borrow;

use aelab_report::TrialRow;
use rayon::prelude::*;

use crate::cost::Spent;
use crate::plan::{Plan, PlannedTrial};
use crate::result::{DrawnPicture, TrialResult, TrialState};
use crate::run_dir::{RunDir, RunDirError};
use crate::summary::{pictures_in, trial_row};
use crate::worker::TrialProgress;

/// What `keep` makes of the state and result of each trial, in their order.
///
/// # Errors
/// The first trial whose files cannot be read.
pub fn map_trials<T: Send>(
    run_dir: &RunDir,
    trials: &[impl Borrow<PlannedTrial> + Sync],
    keep: impl Fn(&PlannedTrial, TrialState, Option<TrialResult>) -> T + Sync,
) -> Result<Vec<T>, RunDirError> {
    let read = |trial: &PlannedTrial| {
        let (state, result) = run_dir.trial(&trial.hash).standing()?;
        Ok(keep(trial, state, result))
    };
    trials.par_iter().map(|trial| read(trial.borrow())).collect()
}

/// What tables and estimates need of a trial.
#[derive(Debug, Clone)]
pub struct TrialReading {
    /// Where it stands.
    pub state: TrialState,
    /// Where its worker stands, of a trial that runs.
    pub progress: Option<TrialProgress>,
    /// What it took, if it is over.
    pub spent: Option<Spent>,
    /// Its row in the tables.
    pub row: TrialRow,
    /// What was drawn of it.
    pub pictures: Vec<DrawnPicture>,
}

/// Reads all trials of a plan, in its order.
///
/// # Errors
/// The first trial whose files cannot be read.
pub fn read_trials(run_dir: &RunDir, plan: &Plan) -> Result<Vec<TrialReading>, RunDirError> {
    map_trials(run_dir, &plan.trials, |trial, state, result| reading(run_dir, trial, state, result))
}

/// Reads again what may have changed: trials that were not over, and those that are run again.
///
/// # Errors
/// The first trial whose files cannot be read.
pub fn refresh_trials(run_dir: &RunDir, plan: &Plan, readings: &mut [TrialReading]) -> Result<(), RunDirError> {
    plan.trials.par_iter().zip(readings).try_for_each(|(trial, known)| {
        let folder = run_dir.trial(&trial.hash);
        if !known.state.is_over() || !folder.result_path().exists() {
            let (state, result) = folder.standing()?;
            *known = reading(run_dir, trial, state, result);
        }
        Ok(())
    })
}

fn reading(run_dir: &RunDir, trial: &PlannedTrial, state: TrialState, result: Option<TrialResult>) -> TrialReading {
    let progress = if state == TrialState::Running { run_dir.trial(&trial.hash).progress() } else { None };
    let spent = result.as_ref().map(Spent::of);
    let mut result = result.unwrap_or_else(|| TrialResult::without_metrics(state, None));
    let mut pictures = std::mem::take(&mut result.pictures);
    if pictures.is_empty() && state == TrialState::Finished {
        pictures = pictures_in(&run_dir.trial(&trial.hash).path().join("figures"));
    }
    TrialReading { state, progress, spent, row: trial_row(trial, state, result), pictures }
}
