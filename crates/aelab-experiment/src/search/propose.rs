//! From a point of the space to planned trials.

use std::collections::HashSet;

use aelab_core::Registry;
use aelab_data::LoadContext;

use crate::plan::{KnownDataSets, Plan, plan_settings};
use crate::search::sampler::{self, Known};
use crate::search::spec::{Sampler, Search};
use crate::source::{Diagnostic, nearest_name};
use crate::spec::ExperimentSpec;
use crate::sweep::Setting;
use crate::tree::Node;

/// Draws for one proposal. A space in which so many draws give nothing new is taken for exhausted.
const MOST_DRAWS: u64 = 200;
/// Proposals that `plan` shows of a search whose proposals do not follow from results.
const MOST_SHOWN: usize = 20;

/// Draws points and plans their trials.
pub(crate) struct Proposer<'a> {
    spec: &'a ExperimentSpec,
    search: Search,
    registry: &'a Registry,
    context: LoadContext,
    known_data: KnownDataSets,
    alternatives: Vec<Vec<Setting<Node>>>,
    /// Number of the next draw.
    next_draw: u64,
    /// Trials that were proposed.
    hashes: HashSet<String>,
    /// Draws that could not be used, and why the last one could not.
    pub(crate) unusable: Option<(u64, Box<Diagnostic>)>,
}

/// A proposal before it is written down.
pub(crate) struct Proposed {
    pub(crate) point: Vec<f64>,
    pub(crate) draw: u64,
    /// A plan of its trials alone.
    pub(crate) plan: Plan,
}

impl<'a> Proposer<'a> {
    pub(crate) fn new(spec: &'a ExperimentSpec, search: Search, registry: &'a Registry, context: &LoadContext) -> Self {
        let alternatives = search.alternatives();
        Self {
            spec,
            search,
            registry,
            context: context.clone(),
            known_data: KnownDataSets::default(),
            alternatives,
            next_draw: 0,
            hashes: HashSet::new(),
            unusable: None,
        }
    }

    /// The next proposal; `None` where nothing new is found.
    ///
    /// # Errors
    /// Where no draw could be used: what was wrong with the last one.
    pub(crate) fn propose(&mut self, known: &[Known<'_>]) -> Result<Option<Proposed>, Box<Diagnostic>> {
        let mut num_unusable = 0;
        for _ in 0..MOST_DRAWS {
            let draw = self.next_draw;
            self.next_draw += 1;
            let point = sampler::point(&self.search, draw, known);
            let settings = self.search.settings(&point);
            let mut all = self.alternatives.clone();
            all.extend(settings.iter().cloned());
            match plan_settings(self.spec, &settings, &all, &mut self.known_data, self.registry, &self.context) {
                Ok(plan) => {
                    let is_new = plan.trials.len() as u64 == self.search.repeat.get()
                        && plan.trials.iter().all(|trial| !self.hashes.contains(&trial.hash));
                    if is_new {
                        self.hashes.extend(plan.trials.iter().map(|trial| trial.hash.clone()));
                        return Ok(Some(Proposed { point, draw, plan }));
                    }
                }
                // Some corners of a space may not exist: a code larger than the data.
                Err(diagnostic) => {
                    num_unusable += 1;
                    let before = self.unusable.as_ref().map_or(0, |(num, _)| *num);
                    self.unusable = Some((before + 1, Box::new(diagnostic)));
                }
            }
        }
        match &self.unusable {
            Some((_, diagnostic)) if num_unusable == MOST_DRAWS => Err(diagnostic.clone()),
            _ => Ok(None),
        }
    }
}

/// The proposals of a search that need no results, as a plan: what `plan` shows.
pub(crate) fn first_proposals(spec: &ExperimentSpec, registry: &Registry, context: &LoadContext) -> Result<Plan, Diagnostic> {
    let Some(search) = &spec.steering.search else { return Err(Diagnostic::new("this experiment has no `search`")) };
    let num = match &search.sampler {
        Sampler::Tpe(options) => options.startup,
        Sampler::Sobol {} | Sampler::Random {} => MOST_SHOWN,
    };
    let most = spec.steering.budget.max_trials.map_or(u64::MAX, |max| max.get() / search.repeat.get()).max(1);
    let num = num.min(MOST_SHOWN).min(usize::try_from(most).unwrap_or(usize::MAX));
    let mut proposer = Proposer::new(spec, search.clone(), registry, context);
    let mut points: Vec<Vec<f64>> = Vec::new();
    let mut plan: Option<Plan> = None;
    while points.len() < num {
        let known: Vec<Known<'_>> = points.iter().map(|point| Known { point, rank: None }).collect();
        let Some(proposed) = proposer.propose(&known).map_err(|diagnostic| *diagnostic)? else { break };
        points.push(proposed.point);
        match &mut plan {
            Some(plan) => join(plan, proposed.plan),
            None => plan = Some(proposed.plan),
        }
    }
    let mut plan = plan.ok_or_else(|| Diagnostic::new("the space of this search has no point that can be planned"))?;
    if let Some((num, diagnostic)) = &proposer.unusable {
        plan.warnings.push(passed_over(*num, diagnostic));
    }
    plan.warnings.extend(unknown_goal(&plan));
    if weights_differ(&plan) && plan.steering.goal.metric.ends_with("/loss") {
        plan.warnings.push(format!(
            "the goal {} adds its terms with other weights in other trials: its values are different quantities, and the smallest weights win; \
             use a term or a metric that means the same in all of them",
            plan.steering.goal.metric
        ));
    }
    Ok(plan)
}

/// A warning where the goal's metric is no term of any trial's objective: it may be a diagnostic, or a misspelt name.
pub(crate) fn unknown_goal(plan: &Plan) -> Option<String> {
    let metric = &plan.steering.goal.metric;
    let name = metric.rsplit('/').next().unwrap_or_default();
    let mut terms: Vec<&str> = plan.trials.iter().flat_map(|trial| &trial.terms).map(|term| term.name).chain(["loss"]).collect();
    if plan.steering.is_idle() || terms.contains(&name) {
        return None;
    }
    terms.sort_unstable();
    terms.dedup();
    let near = nearest_name(name, &terms).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Some(format!("the goal {metric} is no term of the objective ({}){near}", terms.join(", ")))
}

/// What the user is told of draws that cannot be used.
pub(crate) fn passed_over(num: u64, diagnostic: &Diagnostic) -> String {
    let draws =
        if num == 1 { "1 point of the space was passed over".to_owned() } else { format!("{num} points of the space were passed over") };
    format!("{draws}: {}", diagnostic.message)
}

/// Adds the trials of another plan.
pub(crate) fn join(plan: &mut Plan, other: Plan) {
    for mut trial in other.trials {
        trial.index = plan.trials.len();
        plan.trials.push(trial);
    }
    for warning in other.warnings {
        if !plan.warnings.contains(&warning) {
            plan.warnings.push(warning);
        }
    }
}

fn weights_differ(plan: &Plan) -> bool {
    let Some(first) = plan.trials.first() else { return false };
    plan.trials.iter().any(|trial| {
        trial.model != first.model
            || trial.terms.len() != first.terms.len()
            || trial.terms.iter().zip(&first.terms).any(|(one, other)| one.name != other.name || one.weight != other.weight)
    })
}
