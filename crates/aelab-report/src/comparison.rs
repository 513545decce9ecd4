//! Configurations side by side: means with intervals, ranks, and whether the best differs from the others.

use std::collections::HashMap;

use serde_json::Value;

use crate::statistics::{Friedman, PairedTest, average_ranks, friedman, half_width, holm};
use crate::summary::{BASELINES, Direction, Spread};

/// Values below this, after correction, tell two configurations apart.
pub const SIGNIFICANCE: f64 = 0.05;

/// A metric that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedMetric {
    /// Name.
    pub name: String,
    /// Unit for people; may be empty.
    pub unit: String,
    /// Which way it is better.
    pub direction: Direction,
    /// Version of its definition.
    pub version: u32,
    /// What it is, in one line.
    pub definition: String,
}

/// What a baseline reaches in the metric at `metric`.
#[derive(Debug, Clone, PartialEq)]
pub struct BaselineValue {
    /// Prefix of its metrics: `pca`.
    pub prefix: &'static str,
    /// Position in [`ComparisonInput::metrics`].
    pub metric: usize,
    /// The value.
    pub value: f64,
}

/// Values of keys; `None` where a configuration has no such key.
pub type KeyValues = Vec<Option<Value>>;

/// One trial, with its place in the table.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedTrial {
    /// Experiment that it belongs to.
    pub run: String,
    /// Hash of its configuration.
    pub trial: String,
    /// `finished` or whatever else it is in; only `finished` ones count.
    pub state: String,
    /// Why it is not finished; may be empty.
    pub reason: String,
    /// Values of [`ComparisonInput::row_keys`].
    pub row: KeyValues,
    /// Values of [`ComparisonInput::column_keys`].
    pub column: KeyValues,
    /// Values of [`ComparisonInput::block_keys`].
    pub block: KeyValues,
    /// Seed.
    pub seed: u64,
    /// Size of the code, that of the PCA beside it too.
    pub code_size: usize,
    /// In the order of [`ComparisonInput::metrics`].
    pub values: Vec<Option<f64>>,
    /// Of these metrics.
    pub baselines: Vec<BaselineValue>,
}

/// What to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonInput {
    /// Headline.
    pub title: String,
    /// What tells rows apart: each combination of values is a row.
    pub row_keys: Vec<String>,
    /// What tells columns apart. Configurations are compared within a column.
    pub column_keys: Vec<String>,
    /// What tells blocks apart: data sets, code sizes. Without any, every seed is a block of its own.
    pub block_keys: Vec<String>,
    /// In order.
    pub metrics: Vec<ComparedMetric>,
    /// All trials, those that have not finished too.
    pub trials: Vec<ComparedTrial>,
    /// The test; `None` for the paired t-test over seeds and the signed-rank test over blocks.
    pub test: Option<PairedTest>,
    /// Whether baselines get rows.
    pub baselines: bool,
    /// The metric by whose mean rows are sorted, the best first.
    pub sort: Option<usize>,
    /// Remarks of whoever collected the trials.
    pub notes: Vec<String>,
}

/// How a configuration stands beside the best of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The best mean.
    Best,
    /// Not distinguishable from the best.
    Alike,
    /// Distinguishable from the best.
    Worse,
    /// Too few pairs for the test to say anything.
    Untestable,
    /// Nothing to compare with, or no direction.
    Unranked,
}

impl Standing {
    /// Word for files.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Best => "best",
            Standing::Alike => "not_distinguishable",
            Standing::Worse => "worse",
            Standing::Untestable => "untestable",
            Standing::Unranked => "",
        }
    }
}

/// A measured value with where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Hash of the trial.
    pub trial: String,
    /// Seed.
    pub seed: u64,
    /// Position in [`Comparison::blocks`]; 0 without blocks.
    pub block: usize,
    /// The value.
    pub value: f64,
}

/// A configuration in a column.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonCell {
    /// Every value, by block and seed.
    pub measured: Vec<Measured>,
    /// Over seeds; over the means of blocks where there are blocks.
    pub spread: Spread,
    /// Half the length of the 95 % interval of the mean; `None` for a single value.
    pub half_width: Option<f64>,
    /// Average rank over the seeds or blocks that all configurations of the column have.
    pub rank: Option<f64>,
    /// Seeds or blocks in common with the best.
    pub num_pairs: usize,
    /// Of the paired test against the best.
    pub p_value: Option<f64>,
    /// Corrected for the number of comparisons.
    pub corrected: Option<f64>,
    /// The conclusion.
    pub standing: Standing,
}

/// A metric, at one combination of the column keys.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonColumn {
    /// Position in [`Comparison::metrics`].
    pub metric: usize,
    /// Values of the column keys.
    pub keys: KeyValues,
    /// Row of the best mean, where two rows or more can be compared.
    pub best: Option<usize>,
    /// Number of seeds or blocks that ranks are averaged over.
    pub num_ranked: usize,
    /// Over blocks, where there are blocks.
    pub friedman: Option<Friedman>,
}

/// A configuration or baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonRow {
    /// Values of the row keys.
    pub keys: KeyValues,
    /// Prefix of the baseline; `None` for a configuration.
    pub baseline: Option<&'static str>,
    /// Size of the code that a baseline has.
    pub code_size: Option<usize>,
    /// Seeds of the trials that finished, sorted, each once.
    pub seeds: Vec<u64>,
    /// Number of trials that finished.
    pub num_finished: usize,
    /// Number of trials of any state.
    pub num_trials: usize,
    /// In the order of [`Comparison::columns`].
    pub cells: Vec<Option<ComparisonCell>>,
    /// Per metric: the average over columns of the rank; `None` where a column has none.
    pub mean_ranks: Vec<Option<f64>>,
}

/// A trial that does not count.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// Experiment.
    pub run: String,
    /// Hash.
    pub trial: String,
    /// What it is: keys, values and seed.
    pub label: String,
    /// Where it stands.
    pub state: String,
    /// Why; may be empty.
    pub reason: String,
}

/// Configurations side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Headline.
    pub title: String,
    /// What tells rows apart.
    pub row_keys: Vec<String>,
    /// What tells columns apart.
    pub column_keys: Vec<String>,
    /// What tells blocks apart.
    pub block_keys: Vec<String>,
    /// Values of the block keys, per block.
    pub blocks: Vec<KeyValues>,
    /// What is compared.
    pub metrics: Vec<ComparedMetric>,
    /// Metric by metric.
    pub columns: Vec<ComparisonColumn>,
    /// Configurations.
    pub rows: Vec<ComparisonRow>,
    /// What needs no training; not ranked, not tested.
    pub baselines: Vec<ComparisonRow>,
    /// The test that was used.
    pub test: PairedTest,
    /// Number of trials that count.
    pub num_finished: usize,
    /// Those that do not.
    pub left_out: Vec<LeftOut>,
    /// What a reader must know: unequal seeds, too few pairs.
    pub notes: Vec<String>,
}

/// Groups trials into rows and columns and computes all statistics.
pub fn compare(input: ComparisonInput) -> Comparison {
    let test = input.test.unwrap_or(if input.block_keys.is_empty() { PairedTest::PairedT } else { PairedTest::Wilcoxon });
    let finished = |trial: &ComparedTrial| trial.state == "finished";
    let mut rows = Groups::default();
    let mut blocks = Groups::default();
    let mut column_keys = Groups::default();
    let mut members: Vec<Vec<&ComparedTrial>> = Vec::new();
    for trial in &input.trials {
        let row = rows.position(&trial.row);
        if row == members.len() {
            members.push(Vec::new());
        }
        members[row].push(trial);
        if finished(trial) {
            column_keys.position(&trial.column);
            blocks.position(&trial.block);
        }
    }
    let mut column_values = column_keys.keys;
    column_values.sort_by(compare_keys);
    let columns: Vec<(usize, &KeyValues)> =
        (0..input.metrics.len()).flat_map(|metric| column_values.iter().map(move |keys| (metric, keys))).collect();
    let has_blocks = !input.block_keys.is_empty();
    let column_of = |trial: &ComparedTrial| column_values.iter().position(|keys| *keys == trial.column);

    let rows_of_table = rows.keys.iter().zip(&members).map(|(keys, members)| {
        let ended: Vec<(&ComparedTrial, Option<usize>)> =
            members.iter().copied().filter(|trial| finished(trial)).map(|trial| (trial, column_of(trial))).collect();
        let cells = columns.iter().enumerate().map(|(position, (metric, _))| {
            let column = position % column_values.len();
            let inside = ended.iter().filter(|(_, of)| *of == Some(column));
            let measured = inside.filter_map(|(trial, _)| Some(measured(trial, blocks.find(&trial.block)?, trial.values[*metric]?)));
            cell(measured.collect(), has_blocks)
        });
        ComparisonRow {
            keys: keys.clone(),
            baseline: None,
            code_size: None,
            seeds: distinct_seeds(ended.iter().map(|(trial, _)| *trial)),
            num_finished: ended.len(),
            num_trials: members.len(),
            cells: cells.collect(),
            mean_ranks: Vec::new(),
        }
    });
    let mut rows: Vec<ComparisonRow> = rows_of_table.collect();
    if let Some(metric) = input.sort {
        sort_rows(&mut rows, metric, column_values.len(), input.metrics[metric].direction);
    }

    let mut judged = Vec::new();
    for (position, (metric, keys)) in columns.iter().enumerate() {
        let mut cells: Vec<(usize, &mut ComparisonCell)> =
            rows.iter_mut().enumerate().filter_map(|(row, entry)| Some((row, entry.cells[position].as_mut()?))).collect();
        let verdict = judge(&mut cells, input.metrics[*metric].direction, test, has_blocks);
        judged.push(ComparisonColumn {
            metric: *metric,
            keys: (*keys).clone(),
            best: verdict.best,
            num_ranked: verdict.num_ranked,
            friedman: verdict.friedman,
        });
    }
    for row in &mut rows {
        row.mean_ranks = (0..input.metrics.len())
            .map(|metric| {
                let of_metric = judged.iter().zip(&row.cells).filter(|(column, _)| column.metric == metric);
                let ranks: Option<Vec<f64>> = of_metric.map(|(_, cell)| cell.as_ref().and_then(|cell| cell.rank)).collect();
                ranks.filter(|ranks| !ranks.is_empty()).map(|ranks| ranks.iter().sum::<f64>() / ranks.len() as f64)
            })
            .collect();
    }

    let baselines =
        if input.baselines { baseline_rows(&input, &column_values, |trial| blocks.find(&trial.block), has_blocks) } else { Vec::new() };
    let mut comparison = Comparison {
        title: input.title,
        row_keys: input.row_keys,
        column_keys: input.column_keys,
        block_keys: input.block_keys,
        blocks: blocks.keys,
        metrics: input.metrics,
        columns: judged,
        rows,
        baselines,
        test,
        num_finished: input.trials.iter().filter(|trial| finished(trial)).count(),
        left_out: Vec::new(),
        notes: input.notes,
    };
    comparison.left_out = input.trials.iter().filter(|trial| !finished(trial)).map(|trial| comparison.left_out_trial(trial)).collect();
    comparison.add_notes();
    comparison
}

/// Distinct keys in order of appearance.
#[derive(Default)]
struct Groups {
    keys: Vec<KeyValues>,
    positions: HashMap<String, usize>,
}

impl Groups {
    fn position(&mut self, keys: &KeyValues) -> usize {
        let next = self.keys.len();
        let position = *self.positions.entry(identity(keys)).or_insert(next);
        if position == next {
            self.keys.push(keys.clone());
        }
        position
    }

    fn find(&self, keys: &KeyValues) -> Option<usize> {
        self.positions.get(&identity(keys)).copied()
    }
}

/// A text that is the same for the same values only.
fn identity(keys: &KeyValues) -> String {
    keys.iter().map(|value| value.as_ref().map_or_else(|| "-,".to_owned(), |value| format!("{value},"))).collect()
}

/// Numbers ascend; whatever is no number keeps its place behind them.
fn compare_keys(left: &KeyValues, right: &KeyValues) -> std::cmp::Ordering {
    let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_f64);
    let pairs = left.iter().zip(right).map(|(left, right)| match (number(left), number(right)) {
        (Some(left), Some(right)) => left.total_cmp(&right),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => std::cmp::Ordering::Equal,
    });
    pairs.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
}

fn measured(trial: &ComparedTrial, block: usize, value: f64) -> Measured {
    Measured { trial: trial.trial.clone(), seed: trial.seed, block, value }
}

fn distinct_seeds<'a>(trials: impl Iterator<Item = &'a ComparedTrial>) -> Vec<u64> {
    let mut seeds: Vec<u64> = trials.map(|trial| trial.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

fn cell(mut measured: Vec<Measured>, has_blocks: bool) -> Option<ComparisonCell> {
    measured.sort_by_key(|value| (value.block, value.seed));
    let units = units(&measured, has_blocks);
    let spread = Spread::of(&units.iter().map(|(_, value)| *value).collect::<Vec<_>>())?;
    Some(ComparisonCell {
        measured,
        half_width: half_width(&spread),
        spread,
        rank: None,
        num_pairs: 0,
        p_value: None,
        corrected: None,
        standing: Standing::Unranked,
    })
}

/// What pairs and ranks are made of: a value per seed, or where there are blocks the mean over the seeds of each.
fn units(measured: &[Measured], has_blocks: bool) -> Vec<(u64, f64)> {
    let unit = |value: &Measured| if has_blocks { value.block as u64 } else { value.seed };
    let same_unit = |left: &Measured, right: &Measured| unit(left) == unit(right);
    let mean = |values: &[Measured]| {
        let values: Vec<f64> = values.iter().map(|value| value.value).collect();
        Spread::of(&values).map(|spread| spread.mean)
    };
    measured.chunk_by(same_unit).filter_map(|values| Some((unit(values.first()?), mean(values)?))).collect()
}

struct Verdict {
    best: Option<usize>,
    num_ranked: usize,
    friedman: Option<Friedman>,
}

/// Ranks the configurations of a column and tests each against the best.
///
/// The best is chosen by the very numbers that it is tested on. So the family of hypotheses is that of all pairs of configurations:
/// counting only the pairs with the best would claim a difference where there is none in 8 % of comparisons of five equal
/// configurations over five seeds and in 11 % of ten, instead of 5 %.
fn judge(cells: &mut [(usize, &mut ComparisonCell)], direction: Direction, test: PairedTest, has_blocks: bool) -> Verdict {
    let nothing = Verdict { best: None, num_ranked: 0, friedman: None };
    let is_better = |left: f64, right: f64| match direction {
        Direction::LowerIsBetter => left < right,
        Direction::HigherIsBetter => left > right,
        Direction::Neutral => false,
    };
    if direction == Direction::Neutral || cells.len() < 2 {
        return nothing;
    }
    let units: Vec<Vec<(u64, f64)>> = cells.iter().map(|(_, cell)| units(&cell.measured, has_blocks)).collect();

    let value_at =
        |units: &[(u64, f64)], unit: u64| units.binary_search_by_key(&unit, |(of, _)| *of).ok().map(|position| units[position].1);
    let blocks: Vec<Vec<f64>> =
        units[0].iter().filter_map(|(unit, _)| units.iter().map(|others| value_at(others, *unit)).collect::<Option<Vec<f64>>>()).collect();
    if let Some(ranks) = average_ranks(&blocks, direction) {
        cells.iter_mut().zip(ranks).for_each(|((_, cell), rank)| cell.rank = Some(rank));
    }

    let mut best = 0;
    for candidate in 1..cells.len() {
        if is_better(cells[candidate].1.spread.mean, cells[best].1.spread.mean) {
            best = candidate;
        }
    }
    let num_testable = units.iter().filter(|units| units.len() >= 2).count();
    let family = (num_testable * num_testable.saturating_sub(1) / 2).max(1);
    let mut tested: Vec<(usize, f64)> = Vec::new();
    for (position, (_, cell)) in cells.iter_mut().enumerate() {
        if position == best {
            cell.standing = Standing::Best;
            cell.num_pairs = units[best].len();
            continue;
        }
        let differences: Vec<f64> =
            units[position].iter().filter_map(|(unit, value)| Some(value - value_at(&units[best], *unit)?)).collect();
        cell.num_pairs = differences.len();
        cell.p_value = test.p_value(&differences);
        cell.standing = Standing::Untestable;
        tested.extend(cell.p_value.map(|p| (position, p)));
    }
    let corrected = holm(&tested.iter().map(|(_, p)| *p).collect::<Vec<_>>(), family);
    for ((position, _), corrected) in tested.into_iter().zip(corrected) {
        let cell = &mut *cells[position].1;
        cell.corrected = Some(corrected);
        let can_reach = test.smallest_p_value(cell.num_pairs) * (family as f64) < SIGNIFICANCE;
        cell.standing = match corrected < SIGNIFICANCE {
            true => Standing::Worse,
            false if can_reach => Standing::Alike,
            false => Standing::Untestable,
        };
    }
    Verdict { best: Some(cells[best].0), num_ranked: blocks.len(), friedman: if has_blocks { friedman(&blocks) } else { None } }
}

/// The best first, by the mean over the columns of the metric; what has no value comes last.
fn sort_rows(rows: &mut [ComparisonRow], metric: usize, num_columns: usize, direction: Direction) {
    let sign = if direction == Direction::HigherIsBetter { -1.0 } else { 1.0 };
    let key = |row: &ComparisonRow| {
        let cells = &row.cells[metric * num_columns..(metric + 1) * num_columns];
        let means: Vec<f64> = cells.iter().flatten().map(|cell| sign * cell.spread.mean).collect();
        Spread::of(&means).map_or(f64::INFINITY, |spread| spread.mean)
    };
    rows.sort_by(|left, right| key(left).total_cmp(&key(right)));
}

fn baseline_rows(
    input: &ComparisonInput,
    column_values: &[KeyValues],
    block_of: impl Fn(&ComparedTrial) -> Option<usize>,
    has_blocks: bool,
) -> Vec<ComparisonRow> {
    let separates = |keys: &[String], key: &str| keys.iter().any(|other| other == key);
    let is_of_data = |key: &String| key == "data" || key.starts_with("data.");
    let separated = separates(&input.column_keys, "code_size") || separates(&input.block_keys, "code_size");
    let mut rows: Vec<ComparisonRow> = Vec::new();
    for baseline in &BASELINES {
        let has_code_size = baseline.has_code_size && !separated;
        let mut groups = Groups::default();
        let mut members: Vec<Vec<&ComparedTrial>> = Vec::new();
        for trial in input.trials.iter().filter(|trial| trial.state == "finished") {
            if trial.baselines.iter().all(|value| value.prefix != baseline.prefix) {
                continue;
            }
            // Only what changes the data or the number of components changes a baseline.
            let mut keys: KeyValues =
                input.row_keys.iter().zip(&trial.row).map(|(key, value)| if is_of_data(key) { value.clone() } else { None }).collect();
            keys.push(has_code_size.then(|| Value::from(trial.code_size)));
            let position = groups.position(&keys);
            if position == members.len() {
                members.push(Vec::new());
            }
            members[position].push(trial);
        }
        for (keys, members) in groups.keys.iter().zip(members) {
            let code_size = keys.last().and_then(Option::as_ref).and_then(Value::as_u64).map(|size| size as usize);
            let cells = (0..input.metrics.len()).flat_map(|metric| column_values.iter().map(move |column| (metric, column)));
            let cells: Vec<Option<ComparisonCell>> = cells
                .map(|(metric, column)| {
                    let mut values: Vec<Measured> = Vec::new();
                    for trial in members.iter().filter(|trial| trial.column == *column) {
                        let Some(block) = block_of(trial) else { continue };
                        let of_metric = trial.baselines.iter().filter(|value| value.prefix == baseline.prefix && value.metric == metric);
                        for BaselineValue { value, .. } in of_metric {
                            // Trials of one seed share their data and so their baseline, which then counts once.
                            let is_known =
                                |known: &Measured| known.seed == trial.seed && known.block == block && known.value.total_cmp(value).is_eq();
                            if !values.iter().any(is_known) {
                                values.push(measured(trial, block, *value));
                            }
                        }
                    }
                    cell(values, has_blocks)
                })
                .collect();
            rows.push(ComparisonRow {
                keys: keys[..input.row_keys.len()].to_vec(),
                baseline: Some(baseline.prefix),
                code_size,
                seeds: distinct_seeds(members.iter().copied()),
                num_finished: members.len(),
                num_trials: members.len(),
                cells,
                mean_ranks: vec![None; input.metrics.len()],
            });
        }
    }
    rows.sort_by_key(|row| (BASELINES.iter().position(|baseline| Some(baseline.prefix) == row.baseline), row.code_size));
    rows
}

impl Comparison {
    /// A configuration in words: `vae, code_size 8`.
    pub fn row_label(&self, row: &ComparisonRow) -> String {
        match row.baseline {
            Some(prefix) => {
                let label = BASELINES.iter().find(|baseline| baseline.prefix == prefix).map_or(prefix, |baseline| baseline.label);
                row.code_size.map_or_else(|| label.to_owned(), |size| format!("{label}, code_size {size}"))
            }
            None => label_of(&self.row_keys, &row.keys),
        }
    }

    /// What pairs are made of.
    pub(crate) fn unit_name(&self, num: usize) -> String {
        let name = if self.block_keys.is_empty() { "seed" } else { "block" };
        format!("{num} {name}{}", if num == 1 { "" } else { "s" })
    }

    fn left_out_trial(&self, trial: &ComparedTrial) -> LeftOut {
        let labels = [(&self.row_keys, &trial.row), (&self.column_keys, &trial.column), (&self.block_keys, &trial.block)];
        let mut label: Vec<String> = labels.iter().map(|(names, keys)| label_of(names, keys)).filter(|text| !text.is_empty()).collect();
        label.push(format!("seed {}", trial.seed));
        LeftOut {
            run: trial.run.clone(),
            trial: trial.trial.clone(),
            label: label.join(", "),
            state: trial.state.clone(),
            reason: trial.reason.clone(),
        }
    }

    fn add_notes(&mut self) {
        let mut notes = Vec::new();
        if !self.left_out.is_empty() {
            let mut states: Vec<(&str, usize)> = Vec::new();
            for trial in &self.left_out {
                match states.iter_mut().find(|(state, _)| *state == trial.state) {
                    Some((_, count)) => *count += 1,
                    None => states.push((&trial.state, 1)),
                }
            }
            let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
            let all = self.num_finished + self.left_out.len();
            notes.push(format!(
                "{} of {all} trials are left out because they have not finished: {}",
                self.left_out.len(),
                states.join(", ")
            ));
        }
        let seeds: Vec<&Vec<u64>> = self.rows.iter().map(|row| &row.seeds).filter(|seeds| !seeds.is_empty()).collect();
        if let Some(first) = seeds.first()
            && seeds.iter().any(|other| other != first)
        {
            let mut groups: Vec<(&Vec<u64>, usize)> = Vec::new();
            for seeds in seeds {
                match groups.iter_mut().find(|(known, _)| *known == seeds) {
                    Some((_, count)) => *count += 1,
                    None => groups.push((seeds, 1)),
                }
            }
            let groups: Vec<String> = groups
                .iter()
                .take(4)
                .map(|(seeds, count)| format!("{count} configuration{} with {}", if *count == 1 { "" } else { "s" }, seed_list(seeds)))
                .collect();
            notes.push(format!(
                "configurations have different seeds ({}): means are over the seeds of each, tests and ranks over those in common",
                groups.join("; ")
            ));
        }
        if self.block_keys.is_empty() {
            let single = self.rows.iter().flat_map(|row| row.cells.iter().flatten()).filter(|cell| cell.spread.num == 1).count();
            if single > 0 {
                notes.push("a single seed has no interval and cannot be tested: repeat it with more seeds".to_owned());
            }
        }
        let cells: Vec<&ComparisonCell> = self.rows.iter().flat_map(|row| row.cells.iter().flatten()).collect();
        let untestable: Vec<&&ComparisonCell> = cells.iter().filter(|cell| cell.standing == Standing::Untestable).collect();
        if untestable.iter().any(|cell| cell.num_pairs < 2) {
            notes.push("fewer than two seeds or blocks in common with the best: no test (?)".to_owned());
        }
        if let Some(most) = untestable.iter().map(|cell| cell.num_pairs).filter(|num| *num >= 2).max() {
            let smallest = self.test.smallest_p_value(most);
            notes.push(format!(
                "the {} of {} has no p-value below {smallest}, before correction for the number of comparisons: it cannot tell here (?)",
                self.test.label(),
                self.unit_name(most)
            ));
        }
        let lacking = |column: &ComparisonColumn, position: usize| {
            let unranked = self.rows.iter().any(|row| row.cells[position].as_ref().is_some_and(|cell| cell.rank.is_none()));
            column.best.is_some() && unranked
        };
        if self.columns.iter().enumerate().any(|(position, column)| lacking(column, position)) {
            notes.push("no rank where no seed or block is common to all configurations".to_owned());
        }
        self.notes.extend(notes);
    }
}

fn seed_list(seeds: &[u64]) -> String {
    let shown: Vec<String> = seeds.iter().take(8).map(u64::to_string).collect();
    let more = if seeds.len() > 8 { ", ..." } else { "" };
    format!("seed{} {}{more}", if seeds.len() == 1 { "" } else { "s" }, shown.join(", "))
}

/// `vae, code_size 8`: the model without its key, as everybody knows it for a model.
pub(crate) fn label_of(names: &[String], keys: &KeyValues) -> String {
    let parts = names.iter().zip(keys).filter_map(|(name, value)| {
        let value = key_text(value.as_ref()?);
        Some(if matches!(name.as_str(), "model" | "data" | "run") { value } else { format!("{name} {value}") })
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// A value of a key for people.
pub(crate) fn key_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn metric(name: &str, direction: Direction) -> ComparedMetric {
        ComparedMetric { name: name.into(), unit: String::new(), direction, version: 1, definition: String::new() }
    }

    /// A trial of `model` at `code_size` with one value per metric.
    pub(crate) fn trial(model: &str, code_size: usize, seed: u64, values: &[f64]) -> ComparedTrial {
        ComparedTrial {
            run: "run".into(),
            trial: format!("{model}{code_size}{seed}"),
            state: "finished".into(),
            reason: String::new(),
            row: vec![Some(json!(model))],
            column: vec![Some(json!(code_size))],
            block: Vec::new(),
            seed,
            code_size,
            values: values.iter().copied().map(Some).collect(),
            baselines: vec![BaselineValue { prefix: "pca", metric: 0, value: 100.0 / code_size as f64 }],
        }
    }

    pub(crate) fn input(trials: Vec<ComparedTrial>, metrics: Vec<ComparedMetric>) -> ComparisonInput {
        ComparisonInput {
            title: "test".into(),
            row_keys: vec!["model".into()],
            column_keys: vec!["code_size".into()],
            block_keys: Vec::new(),
            metrics,
            trials,
            test: None,
            baselines: true,
            sort: None,
            notes: Vec::new(),
        }
    }

    fn standings(comparison: &Comparison, column: usize) -> Vec<Standing> {
        comparison.rows.iter().map(|row| row.cells[column].as_ref().map_or(Standing::Unranked, |cell| cell.standing)).collect()
    }

    #[test]
    fn the_best_of_each_column_is_tested_against_the_others() {
        let noise = [0.01, -0.02, 0.015, 0.0, -0.01];
        let mut trials = Vec::new();
        for seed in 0..5u64 {
            let wobble = noise[seed as usize];
            trials.push(trial("a", 8, seed, &[1.0 + wobble]));
            trials.push(trial("b", 8, seed, &[1.0 - wobble]));
            trials.push(trial("c", 8, seed, &[2.0 + 2.0 * wobble]));
            trials.push(trial("a", 2, seed, &[5.0]));
        }
        let comparison = compare(input(trials, vec![metric("sse", Direction::LowerIsBetter)]));
        let sizes: Vec<&KeyValues> = comparison.columns.iter().map(|column| &column.keys).collect();
        assert_eq!(sizes, [&vec![Some(json!(2))], &vec![Some(json!(8))]], "numbers ascend");
        assert_eq!(standings(&comparison, 1), [Standing::Best, Standing::Alike, Standing::Worse]);
        assert_eq!(comparison.columns[1].best, Some(0));
        assert_eq!(standings(&comparison, 0)[0], Standing::Unranked, "alone, it is the best of nothing");
        let c = comparison.rows[2].cells[1].as_ref().unwrap();
        assert_eq!((c.rank, c.num_pairs), (Some(3.0), 5));
        assert_eq!(c.corrected.unwrap(), 3.0 * c.p_value.unwrap(), "three pairs of configurations");
        assert_eq!(comparison.baselines.len(), 1, "the code size is in the columns");
        assert_eq!(comparison.baselines[0].cells[1].as_ref().unwrap().spread.mean, 12.5);
        assert_eq!(comparison.baselines[0].cells[1].as_ref().unwrap().spread.num, 5, "once per seed");
    }

    #[test]
    fn only_common_seeds_are_paired_and_the_difference_is_said() {
        let mut trials: Vec<ComparedTrial> = [1, 2, 3].iter().map(|seed| trial("a", 8, *seed, &[1.0])).collect();
        trials.extend([3, 4].map(|seed| trial("b", 8, seed, &[2.0 + seed as f64])));
        trials.push(ComparedTrial { state: "diverged".into(), reason: "NaN".into(), ..trial("b", 8, 5, &[]) });
        let comparison = compare(input(trials, vec![metric("sse", Direction::LowerIsBetter)]));
        let b = comparison.rows[1].cells[0].as_ref().unwrap();
        assert_eq!((b.num_pairs, b.p_value, b.standing, b.rank), (1, None, Standing::Untestable, Some(2.0)));
        assert_eq!((comparison.rows[1].num_finished, comparison.rows[1].num_trials), (2, 3));
        assert_eq!(comparison.left_out[0].label, "b, code_size 8, seed 5");
        let notes = comparison.notes.join("\n");
        assert!(notes.contains("1 of 6 trials are left out because they have not finished: 1 diverged"), "{notes}");
        assert!(notes.contains("1 configuration with seeds 1, 2, 3; 1 configuration with seeds 3, 4"), "{notes}");
        assert!(notes.contains("fewer than two"), "{notes}");
    }

    #[test]
    fn blocks_are_compared_by_their_means_and_a_rank_test_says_when_it_cannot_tell() {
        let mut trials = Vec::new();
        for (block, scale) in [("one", 1.0), ("two", 10.0), ("three", 100.0)] {
            for seed in 0..2u64 {
                for (model, factor) in [("a", 1.0), ("b", 2.0), ("c", 3.0)] {
                    let mut trial = trial(model, 8, seed, &[scale * factor + seed as f64]);
                    trial.column = Vec::new();
                    trial.block = vec![Some(json!(block))];
                    trials.push(trial);
                }
            }
        }
        let mut input = input(trials, vec![metric("sse", Direction::LowerIsBetter)]);
        (input.column_keys, input.block_keys) = (Vec::new(), vec!["data".into()]);
        let comparison = compare(input);
        assert_eq!((comparison.test, comparison.blocks.len()), (PairedTest::Wilcoxon, 3));
        let cell = comparison.rows[1].cells[0].as_ref().unwrap();
        assert_eq!((cell.spread.num, cell.measured.len(), cell.num_pairs), (3, 6, 3));
        assert_eq!(cell.spread.mean, (2.5 + 20.5 + 200.5) / 3.0);
        assert_eq!((cell.p_value, cell.standing), (Some(0.25), Standing::Untestable));
        let friedman = comparison.columns[0].friedman.unwrap();
        assert!((friedman.statistic - 6.0).abs() < 1e-12 && friedman.num_blocks == 3, "{friedman:?}");
        assert!(comparison.notes.iter().any(|note| note.contains("no p-value below 0.25")), "{:?}", comparison.notes);
    }

    #[test]
    fn equal_configurations_are_told_apart_in_at_most_a_twentieth_of_comparisons() {
        // Ten equal configurations over five seeds, normal values by Box and Muller from a fixed stream.
        let mut state = 1u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        let mut normal = move || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        let num_comparisons = 2000;
        let mut num_false = 0;
        for _ in 0..num_comparisons {
            let trials = (0..10).flat_map(|model| (0..5).map(move |seed| (model, seed)));
            let trials = trials.map(|(model, seed)| trial(&model.to_string(), 8, seed, &[normal()])).collect();
            let comparison = compare(input(trials, vec![metric("sse", Direction::LowerIsBetter)]));
            num_false += usize::from(standings(&comparison, 0).contains(&Standing::Worse));
        }
        assert!(num_false * 20 <= num_comparisons, "{num_false} of {num_comparisons}");
        assert!(num_false > 0, "a test that never claims anything is none");
    }

    #[test]
    fn rows_are_sorted_the_best_first() {
        let trials = vec![trial("a", 8, 1, &[1.0, 3.0]), trial("b", 8, 1, &[2.0, 9.0]), trial("c", 8, 1, &[0.0, 5.0])];
        let metrics = vec![metric("sse", Direction::LowerIsBetter), metric("psnr", Direction::HigherIsBetter)];
        for (sort, expected) in [(None, "abc"), (Some(0), "cab"), (Some(1), "bca")] {
            let comparison = compare(ComparisonInput { sort, ..input(trials.clone(), metrics.clone()) });
            let order: String = comparison.rows.iter().map(|row| comparison.row_label(row)).collect();
            assert_eq!(order, expected);
        }
    }

    #[test]
    fn nothing_makes_an_empty_comparison() {
        let comparison = compare(input(Vec::new(), vec![metric("sse", Direction::LowerIsBetter)]));
        assert!(comparison.rows.is_empty() && comparison.columns.is_empty());
    }
}
