//! Configurations side by side: means with intervals, ranks, and whether the best differs from the others.

use std::collections::HashMap;

use serde_json::Value;

use crate::metric_figure::{metric_label, shown_name};
use crate::statistics::{Friedman, PairedTest, average_ranks, friedman, half_width, holm};
use crate::summary::{BASELINES, Direction, Spread};

/// Values below this, after correction, tell two configurations apart.
pub const SIGNIFICANCE: f64 = 0.05;

/// Configurations that a note names.
const MOST_NAMED: usize = 8;

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
    /// The best on what all have in common: the best mean; over blocks and for the signed-rank test the best mean rank.
    Best,
    /// Not distinguishable from the best.
    Alike,
    /// Distinguishable from the best.
    Worse,
    /// The test cannot say anything: too few pairs, or equal differences.
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
    /// Row of the best, where two rows or more can be compared.
    pub best: Option<usize>,
    /// Number of seeds or blocks that ranks are averaged over.
    pub num_ranked: usize,
    /// Over blocks, where there are blocks.
    pub friedman: Option<Friedman>,
}

/// Trials of a configuration in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrialCounts {
    /// Of any state.
    pub all: usize,
    /// Those that finished.
    pub finished: usize,
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
    /// In the order of [`Comparison::columns`]; `None` where nothing was measured.
    pub cells: Vec<Option<ComparisonCell>>,
    /// Trials of any state and those that finished, in the order of [`Comparison::columns`].
    pub counts: Vec<TrialCounts>,
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
        let counts = columns.iter().map(|(_, keys)| {
            let inside = || members.iter().filter(|trial| trial.column == **keys);
            TrialCounts { all: inside().count(), finished: inside().filter(|trial| finished(trial)).count() }
        });
        ComparisonRow {
            keys: keys.clone(),
            counts: counts.collect(),
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
    let mut contrary: Vec<(usize, usize)> = Vec::new();
    for (position, (metric, keys)) in columns.iter().enumerate() {
        let mut cells: Vec<(usize, &mut ComparisonCell)> =
            rows.iter_mut().enumerate().filter_map(|(row, entry)| Some((row, entry.cells[position].as_mut()?))).collect();
        let verdict = judge(&mut cells, input.metrics[*metric].direction, test, has_blocks);
        contrary.extend(verdict.contrary.iter().map(|row| (position, *row)));
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
    comparison.add_notes(&contrary);
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
    /// Rows that the test tells apart from the best, but as the better ones.
    contrary: Vec<usize>,
}

/// Ranks the configurations of a column and tests each against the best.
///
/// The best is chosen by the very numbers that it is tested on. So the family of hypotheses is that of all pairs of configurations:
/// counting only the pairs with the best would claim a difference where there is none in 8 % of comparisons of five equal
/// configurations over five seeds and in 11 % of ten, instead of 5 %.
///
/// What is best is decided on the seeds or blocks that all have, where there are two or more: a mean over easier seeds is no
/// better. A configuration is worse only if the differences point that way, too.
fn judge(cells: &mut [(usize, &mut ComparisonCell)], direction: Direction, test: PairedTest, has_blocks: bool) -> Verdict {
    let nothing = Verdict { best: None, num_ranked: 0, friedman: None, contrary: Vec::new() };
    // Of a lower value, the better one.
    let sign = if direction == Direction::HigherIsBetter { -1.0 } else { 1.0 };
    if direction == Direction::Neutral || cells.len() < 2 {
        return nothing;
    }
    let units: Vec<Vec<(u64, f64)>> = cells.iter().map(|(_, cell)| units(&cell.measured, has_blocks)).collect();

    let value_at =
        |units: &[(u64, f64)], unit: u64| units.binary_search_by_key(&unit, |(of, _)| *of).ok().map(|position| units[position].1);
    let blocks: Vec<Vec<f64>> =
        units[0].iter().filter_map(|(unit, _)| units.iter().map(|others| value_at(others, *unit)).collect::<Option<Vec<f64>>>()).collect();
    let ranks = average_ranks(&blocks, direction);
    if let Some(ranks) = &ranks {
        cells.iter_mut().zip(ranks).for_each(|((_, cell), rank)| cell.rank = Some(*rank));
    }

    let mean_of = |position: usize| {
        let common = || blocks.iter().map(|block| block[position]).sum::<f64>() / blocks.len() as f64;
        sign * if blocks.len() >= 2 { common() } else { cells[position].1.spread.mean }
    };
    // A mean over blocks of unlike size, or with a seed gone astray, is not what a test of ranks is about.
    let by_rank = (has_blocks || test == PairedTest::Wilcoxon) && blocks.len() >= 2;
    let merit: Vec<(f64, f64)> = (0..cells.len())
        .map(|position| (ranks.as_ref().filter(|_| by_rank).map_or(0.0, |ranks| ranks[position]), mean_of(position)))
        .collect();
    let mut best = 0;
    for (candidate, merit_of) in merit.iter().enumerate() {
        if *merit_of < merit[best] {
            best = candidate;
        }
    }
    let num_testable = units.iter().filter(|units| units.len() >= 2).count();
    let family = (num_testable * num_testable.saturating_sub(1) / 2).max(1);
    let mut tested: Vec<(usize, f64, bool)> = Vec::new();
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
        tested.extend(cell.p_value.map(|p| (position, p, sign * test.tendency(&differences) > 0.0)));
    }
    let corrected = holm(&tested.iter().map(|(_, p, _)| *p).collect::<Vec<_>>(), family);
    let mut contrary = Vec::new();
    for ((position, _, is_worse), corrected) in tested.into_iter().zip(corrected) {
        let cell = &mut *cells[position].1;
        cell.corrected = Some(corrected);
        let can_reach = test.smallest_p_value(cell.num_pairs) * (family as f64) < SIGNIFICANCE;
        cell.standing = match corrected < SIGNIFICANCE {
            true if is_worse => Standing::Worse,
            true => Standing::Alike,
            false if can_reach => Standing::Alike,
            false => Standing::Untestable,
        };
        if corrected < SIGNIFICANCE && !is_worse {
            contrary.push(cells[position].0);
        }
    }
    Verdict { best: Some(cells[best].0), num_ranked: blocks.len(), friedman: if has_blocks { friedman(&blocks) } else { None }, contrary }
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
            let inside = |column: &KeyValues| members.iter().filter(|trial| trial.column == *column).count();
            let counts: Vec<TrialCounts> =
                column_values.iter().map(|column| TrialCounts { all: inside(column), finished: inside(column) }).collect();
            let counts = counts.repeat(input.metrics.len());
            rows.push(ComparisonRow {
                counts,
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
    /// A configuration in words: `vae, code size 8`.
    pub fn row_label(&self, row: &ComparisonRow) -> String {
        match row.baseline {
            Some(prefix) => {
                let label = baseline_label(prefix);
                row.code_size.map_or_else(|| label.to_owned(), |size| format!("{label}, code size {size}"))
            }
            None => label_of(&self.row_keys, &row.keys),
        }
    }

    /// `SSE`, `SSE at code size 8`.
    pub(crate) fn column_title(&self, column: &ComparisonColumn) -> String {
        let name = metric_label(&self.metrics[column.metric].name);
        let at = label_of(&self.column_keys, &column.keys);
        if at.is_empty() { name } else { format!("{name} at {at}") }
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

    /// `contrary`: columns and rows of those that are better than the best where both were measured.
    fn add_notes(&mut self, contrary: &[(usize, usize)]) {
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
                "configurations have different seeds ({}): means are over the seeds of each; the best, ranks and tests go by those in common",
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
        if untestable.iter().any(|cell| cell.num_pairs >= 2 && cell.p_value.is_none()) {
            notes.push("differences that are the same in all pairs have no deviation that a t-test could go by: no test (?)".to_owned());
        }
        if untestable.iter().any(|cell| cell.num_pairs < 2) {
            notes.push("fewer than two seeds or blocks in common with the best: no test (?)".to_owned());
        }
        let too_few = untestable.iter().filter(|cell| cell.p_value.is_some()).map(|cell| cell.num_pairs);
        if let Some(most) = too_few.max() {
            let smallest = self.test.smallest_p_value(most);
            notes.push(format!(
                "the {} of {} has no p-value below {smallest}, before correction for the number of comparisons: it cannot tell here (?)",
                self.test.label(),
                self.unit_name(most)
            ));
        }
        for (position, row) in contrary {
            let column = &self.columns[*position];
            notes.push(format!(
                "{}: {} is better than the best where both were measured, and no worse for that: the best is that of what all have in common",
                self.column_title(column),
                self.row_label(&self.rows[*row])
            ));
        }
        for (position, column) in self.columns.iter().enumerate() {
            let counts = |row: &&ComparisonRow| {
                let measured = row.cells[position].as_ref().map_or(0, |cell| cell.measured.len());
                (measured, row.counts[position].finished)
            };
            let named = |rows: Vec<&ComparisonRow>| {
                let mut labels: Vec<String> = rows.iter().take(MOST_NAMED).map(|row| self.row_label(row)).collect();
                labels.extend((rows.len() > MOST_NAMED).then(|| format!("and {} more", rows.len() - MOST_NAMED)));
                labels.join("; ")
            };
            let without: Vec<&ComparisonRow> = self.rows.iter().filter(|row| matches!(counts(row), (0, 1..))).collect();
            if !without.is_empty() {
                notes.push(format!("{}: not measured in {}", self.column_title(column), named(without)));
            }
            let in_part: Vec<&ComparisonRow> = self.rows.iter().filter(|row| counts(row).0 > 0 && counts(row).0 < counts(row).1).collect();
            if !in_part.is_empty() {
                notes.push(format!("{}: not measured in all finished trials of {}", self.column_title(column), named(in_part)));
            }
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

/// A baseline for people: `PCA`.
pub(crate) fn baseline_label(prefix: &'static str) -> &'static str {
    BASELINES.iter().find(|baseline| baseline.prefix == prefix).map_or(prefix, |baseline| baseline.label)
}

fn seed_list(seeds: &[u64]) -> String {
    let shown: Vec<String> = seeds.iter().take(8).map(u64::to_string).collect();
    let more = if seeds.len() > 8 { ", ..." } else { "" };
    format!("seed{} {}{more}", if seeds.len() == 1 { "" } else { "s" }, shown.join(", "))
}

/// `vae, code size 8`: the model without its key, as everybody knows it for a model.
pub(crate) fn label_of(names: &[String], keys: &KeyValues) -> String {
    let parts = names.iter().zip(keys).filter_map(|(name, value)| {
        let value = key_text(value.as_ref()?);
        Some(if matches!(name.as_str(), "model" | "data" | "run") { value } else { format!("{} {value}", shown_name(name)) })
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
        assert_eq!(comparison.left_out[0].label, "b, code size 8, seed 5");
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

    /// Seeds 0 to n of two models without columns, `lower` better.
    fn two(values: &[(f64, Option<f64>)], test: PairedTest) -> Comparison {
        let mut trials = Vec::new();
        for (seed, (a, b)) in values.iter().enumerate() {
            trials.push(trial("a", 8, seed as u64, &[*a]));
            match b {
                Some(b) => trials.push(trial("b", 8, seed as u64, &[*b])),
                None => trials.push(ComparedTrial { state: "failed".into(), ..trial("b", 8, seed as u64, &[]) }),
            }
        }
        compare(ComparisonInput { test: Some(test), ..input(trials, vec![metric("sse", Direction::LowerIsBetter)]) })
    }

    #[test]
    fn one_seed_gone_astray_does_not_make_the_winner_of_eleven_of_twelve_worse() {
        let values: Vec<(f64, Option<f64>)> =
            (0..12).map(|seed| (2.0 + 0.01 * f64::from(seed), Some(if seed == 11 { 100.0 } else { 1.0 }))).collect();
        let by_rank = two(&values, PairedTest::Wilcoxon);
        assert!(by_rank.rows[1].cells[0].as_ref().unwrap().spread.mean > by_rank.rows[0].cells[0].as_ref().unwrap().spread.mean);
        assert_eq!(standings(&by_rank, 0), [Standing::Worse, Standing::Best], "ranks decide for a test of ranks");
        assert_eq!(standings(&two(&values, PairedTest::PairedT), 0), [Standing::Best, Standing::Alike]);
    }

    #[test]
    fn seeds_that_failed_elsewhere_do_not_decide_what_is_best() {
        // On seeds 0 to 5 both finished, and `b` is better every time; on 6 to 11, easier ones, only `a` did.
        let noise = [0.01, -0.02, 0.015, 0.0, -0.01, 0.02];
        let values: Vec<(f64, Option<f64>)> =
            (0..12usize).map(|seed| if seed < 6 { (10.0 + noise[seed], Some(9.0 - noise[seed])) } else { (1.0, None) }).collect();
        for test in [PairedTest::PairedT, PairedTest::Wilcoxon] {
            let comparison = two(&values, test);
            let means: Vec<f64> = comparison.rows.iter().map(|row| row.cells[0].as_ref().unwrap().spread.mean).collect();
            assert!(means[0] < means[1], "{means:?}");
            assert_eq!(standings(&comparison, 0), [Standing::Worse, Standing::Best], "{test:?}");
            assert!(comparison.notes.iter().any(|note| note.contains("the best, ranks and tests go by those in common")));
        }
    }

    #[test]
    fn what_is_better_where_both_were_measured_is_never_called_worse() {
        // All three share seeds 0 and 1, where `a` is the best; `a` and `b` share four more, where `b` is far better.
        let mut trials = Vec::new();
        for seed in 0..12u64 {
            let wobble = 0.01 * (seed % 3) as f64;
            let (a, b) = if seed < 2 { (1.0, 1.1) } else { (5.0 + wobble, 3.0) };
            trials.push(trial("a", 8, seed, &[a]));
            trials.push(trial("b", 8, seed, &[b]));
            if seed < 2 {
                trials.push(trial("c", 8, seed, &[9.0 + wobble]));
            }
        }
        let comparison = compare(input(trials, vec![metric("sse", Direction::LowerIsBetter)]));
        let b = comparison.rows[1].cells[0].as_ref().unwrap();
        assert!(b.corrected.unwrap() < SIGNIFICANCE, "{b:?}");
        assert_eq!(standings(&comparison, 0)[..2], [Standing::Best, Standing::Alike]);
        assert!(
            comparison.notes.iter().any(|note| note.starts_with("SSE at code size 8: b is better than the best")),
            "{:?}",
            comparison.notes
        );
    }

    #[test]
    fn a_metric_that_a_finished_configuration_lacks_is_said() {
        let mut trials = vec![trial("a", 8, 1, &[1.0]), trial("a", 8, 2, &[1.0]), trial("b", 8, 1, &[1.0]), trial("b", 8, 2, &[1.0])];
        trials[2].values[0] = None;
        let note =
            |trials: &[ComparedTrial]| compare(input(trials.to_vec(), vec![metric("sse", Direction::LowerIsBetter)])).notes.join("\n");
        assert!(note(&trials).contains("SSE at code size 8: not measured in all finished trials of b"), "{}", note(&trials));
        trials[3].values[0] = None;
        assert!(note(&trials).contains("SSE at code size 8: not measured in b"), "{}", note(&trials));
    }

    #[test]
    fn equal_configurations_measured_in_counts_are_told_apart_no_more_often() {
        // Accuracies are counts over 360 test examples: few distinct values, so that the differences of three seeds often agree.
        let mut state = 7u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        let mut normal = move || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        let num_comparisons = 1500;
        for deviation in [1.0, 2.0, 5.7, 20.0] {
            let mut num_false = 0;
            for _ in 0..num_comparisons {
                let trials = (0..10).flat_map(|model| (0..3).map(move |seed| (model, seed)));
                let accuracy = |normal: f64| (330.0 + deviation * normal).round() / 360.0;
                let trials = trials.map(|(model, seed)| trial(&model.to_string(), 8, seed, &[accuracy(normal())])).collect();
                let comparison = compare(input(trials, vec![metric("accuracy", Direction::HigherIsBetter)]));
                num_false += usize::from(standings(&comparison, 0).contains(&Standing::Worse));
            }
            println!("deviation of {deviation} counts: {num_false} of {num_comparisons}");
            assert!(num_false * 20 <= num_comparisons, "deviation {deviation}: {num_false} of {num_comparisons}");
        }
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
