//! What steers a run, in words: search, early termination, budget, and the best so far.

use aelab_experiment::search::{Direction, EarlyTermination, Sampler, Spent};
use aelab_experiment::space::Distribution;
use aelab_experiment::{Jobs, Plan, RunDir, Steering, best_so_far, short_value};

use crate::terminal::{duration, significant};

/// Values of a choice that are shown.
const MOST_CHOICES: usize = 8;

/// What steers a run; nothing where nothing does.
pub(crate) fn steering_lines(steering: &Steering) -> Vec<String> {
    let mut lines = Vec::new();
    if steering.is_idle() {
        return lines;
    }
    if let Some(search) = &steering.search {
        let sampler = match &search.sampler {
            Sampler::Tpe(options) => format!("tree-structured Parzen estimators after {} random proposals", options.startup),
            Sampler::Sobol {} => "a Sobol sequence".to_owned(),
            Sampler::Random {} => "random points".to_owned(),
        };
        let parallel = if let Jobs::Count(count) = search.parallel { count.to_string() } else { "as many as jobs".to_owned() };
        let seeds = if search.repeat.get() == 1 { String::new() } else { format!(", {} seeds each", search.repeat) };
        lines.push(format!("search by {sampler}, {parallel} open at a time{seeds}, seed {}", search.seed));
        let longest = search.space.iter().map(|dimension| dimension.path.chars().count()).max().unwrap_or(0);
        for dimension in &search.space {
            lines.push(format!("  {:longest$}  {}", dimension.path, in_words(&dimension.distribution)));
        }
    }
    let goal = &steering.goal;
    let verb = if goal.direction == Direction::Minimize { "minimise" } else { "maximise" };
    lines.push(format!("{verb} {}", goal.metric));
    if let Some(early) = &steering.early_termination {
        let (name, whom) = match early {
            EarlyTermination::Asha(_) => ("asha", "those before it"),
            EarlyTermination::SuccessiveHalving(_) => ("successive halving", "all others"),
        };
        let rungs = early.rungs();
        let (first, factor) = (rungs.min_epochs, rungs.reduction_factor);
        let epochs: Vec<String> = (0..3).map(|rung| rungs.epochs(rung).to_string()).collect();
        debug_assert_eq!(epochs[0], first.to_string());
        lines.push(format!("{name}: after {}, ... epochs a trial is compared with {whom}; one in {factor} goes on", epochs.join(", ")));
    }
    let budget = &steering.budget;
    let parts: Vec<String> = [
        budget.max_trials.map(|max| format!("{max} trials")),
        budget.max_hours.map(|hours| format!("{hours} hours")),
        budget.target.map(|target| format!("until {} is {target}", goal.metric)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !parts.is_empty() {
        lines.push(format!("budget: {}", parts.join(", ")));
    }
    lines
}

fn in_words(distribution: &Distribution) -> String {
    match distribution {
        Distribution::Uniform(bounds) => format!("uniform from {} to {}", bounds.from, bounds.to),
        Distribution::LogUniform(bounds) => format!("log-uniform from {} to {}", bounds.from, bounds.to),
        Distribution::Integer(bounds) => format!("whole numbers from {} to {}", bounds.from, bounds.to),
        Distribution::LogInteger(bounds) => format!("whole numbers from {} to {}, log-uniform", bounds.from, bounds.to),
        Distribution::Choice(values) => {
            let mut names: Vec<String> = values.iter().take(MOST_CHOICES).map(short_value).collect();
            if values.len() > MOST_CHOICES {
                names.push(format!("... ({} in all)", values.len()));
            }
            format!("one of {}", names.join(", "))
        }
    }
}

/// What a run has spent, and why it has ended.
pub(crate) fn spent_lines(run_dir: &RunDir) -> Vec<String> {
    let spent = Spent::read(run_dir.root());
    let mut lines = vec![format!("spent: {}", duration(spent.seconds))];
    if !spent.ended.is_empty() {
        lines.push(format!("ended: {}", spent.ended));
    }
    lines
}

/// The best configuration so far; `None` where nothing steers the run or none has finished.
pub(crate) fn best_line(run_dir: &RunDir, plan: &Plan) -> anyhow::Result<Option<String>> {
    if plan.steering.is_idle() {
        return Ok(None);
    }
    let Some(best) = best_so_far(run_dir, plan)? else { return Ok(None) };
    let trial = &plan.trials[best.trials[0]];
    let seeds = if best.trials.len() == 1 { String::new() } else { format!(", mean of {} seeds", best.trials.len()) };
    Ok(Some(format!(
        "best: {} {}{seeds}, trial {} ({}): {}",
        best.goal.metric,
        significant(best.value),
        trial.index + 1,
        trial.hash,
        trial.label()
    )))
}
