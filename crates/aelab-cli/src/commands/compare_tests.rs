//! `compare` on synthetic run directories, written by the types that a run writes.

use std::fs;
use std::path::Path;

use aelab_experiment::{MetricValue, Plan, PlannedTrial, RunDir, TrialResult, TrialState, short_hash};
use aelab_report::TradeOff;
use clap::Parser;
use serde_json::{Value, json};

use crate::arguments::{Arguments, Command, CompareFormat};
use crate::commands::compare::Compared;

/// Trials of a synthetic run.
struct Trials(Vec<(Value, TrialState, Vec<MetricValue>)>);

fn metric(name: &str, value: f64, direction: &str) -> MetricValue {
    let unit = if name.ends_with("sse") { "squared units/example" } else { "" };
    MetricValue { name: name.into(), value, unit: unit.into(), direction: direction.into(), version: 1, evaluation: None }
}

fn definition(model: &str, options: Value, seed: u64) -> Value {
    let mut options = options;
    options["hidden"] = json!([16]);
    json!({
        "data": {"digits": {"num_train": 500, "num_test": 300, "split_seed": 0}},
        "model": {model: options},
        "train": {"epochs": 2, "batch_size": 32, "optimizer": {"adam": {"learning_rate": 0.001}}, "seed": seed},
        "evaluate": [{"reconstruction": {"num_examples": 8}}, {"pca_baseline": {}}],
        "device": "flex",
        "data_checksum": "0123456789abcdef0123",
        "format_version": 1,
    })
}

/// Fixed numbers that look like noise.
fn noise(seed: u64, salt: u64) -> f64 {
    let mixed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (salt + 7).wrapping_mul(0xD1B5_4A32_D192_ED03);
    ((mixed >> 40) % 1000) as f64 / 1000.0 - 0.5
}

/// Two models, the second with `beta`, two code sizes, three seeds.
fn sweep() -> Trials {
    let mut trials = Vec::new();
    for (salt, model, penalty) in [(0, "undercomplete", 0.0), (1, "beta_vae", 4.0)] {
        for code_size in [2u64, 8] {
            let (salt, penalty) = (salt + 10 * code_size, if code_size == 8 { 0.1 } else { penalty });
            for seed in 1..=3 {
                let mut options = json!({"code_size": code_size});
                if model == "beta_vae" {
                    options = json!({"latent_dim": code_size, "beta": 4.0});
                }
                let sse = 40.0 / code_size as f64 + penalty + noise(seed, salt) + 0.1;
                let metrics = vec![
                    metric("sse", sse, "lower"),
                    metric("psnr", 30.0 - sse / 3.0, "higher"),
                    metric("kl", 1.0 + noise(seed, salt + 5), "none"),
                    metric("pca_sse", 50.0 / code_size as f64, "lower"),
                    metric("mse", sse / 64.0, "lower"),
                ];
                trials.push((definition(model, options, seed), TrialState::Finished, metrics));
            }
        }
    }
    Trials(trials)
}

impl Trials {
    /// Writes the run directory `name`, with as little besides plan and results as a finished run leaves.
    fn write(&self, runs: &Path, name: &str) {
        let run_dir = RunDir::at(runs.join(name));
        let trials = self.0.iter().enumerate().map(|(index, (definition, state, metrics))| {
            let inner = |key: &str| definition[key].as_object().unwrap().iter().next().unwrap();
            let (model, options) = inner("model");
            let code_key = if options.get("latent_dim").is_some() { "latent_dim" } else { "code_size" };
            let mut overrides = vec![("model".into(), json!(model)), (format!("model.{model}.{code_key}"), options[code_key].clone())];
            if let Some(to) = options.get("beta").and_then(|beta| beta.pointer("/linear/to")) {
                overrides.push((format!("model.{model}.beta"), options["beta"].clone()));
                overrides.push((format!("model.{model}.beta.linear.to"), to.clone()));
            }
            let trial = PlannedTrial {
                index,
                hash: short_hash(definition),
                overrides,
                seed: definition["train"]["seed"].as_u64().unwrap(),
                model: model.clone(),
                data: inner("data").0.clone(),
                code_size: options[code_key].as_u64().unwrap() as usize,
                definition: definition.clone(),
                metrics: Vec::new(),
                terms: Vec::new(),
                num_features: 64,
            };
            let folder = run_dir.trial(&trial.hash);
            fs::create_dir_all(folder.path()).unwrap();
            if state.is_over() {
                let error = (*state != TrialState::Finished).then(|| "term `kl` was NaN at step 120\nmore".to_owned());
                let result = TrialResult {
                    metrics: metrics.clone(),
                    seconds: 1.5,
                    num_parameters: 100,
                    ..TrialResult::without_metrics(*state, error)
                };
                fs::write(folder.result_path(), serde_json::to_vec(&result).unwrap()).unwrap();
            }
            trial
        });
        let trials: Vec<PlannedTrial> = trials.collect();
        let source = aelab_experiment::SpecSource {
            file: "x.yaml".into(),
            text: String::new(),
            base_dir: "/".into(),
            extended: None,
            sets: Vec::new(),
        };
        let plan = Plan {
            format_version: 1,
            name: name.into(),
            description: None,
            tags: Vec::new(),
            execution: aelab_experiment::Execution::default(),
            steering: aelab_experiment::Steering::default(),
            source,
            trials,
            warnings: Vec::new(),
            left_out: Vec::new(),
        };
        fs::write(run_dir.plan_path(), serde_json::to_vec(&plan).unwrap()).unwrap();
    }

    fn changed(mut self, change: impl Fn(&mut Value, &mut TrialState, &mut Vec<MetricValue>)) -> Self {
        self.0.iter_mut().for_each(|(definition, state, metrics)| change(definition, state, metrics));
        self
    }
}

fn model_of(definition: &Value) -> &str {
    definition["model"].as_object().unwrap().keys().next().unwrap()
}

/// What the command line makes of the arguments.
fn compared(runs: &Path, arguments: &[&str]) -> Result<Compared, String> {
    let line = ["aelab", "compare", "--runs", runs.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
    let Command::Compare(arguments) = Arguments::try_parse_from(line).map_err(|error| error.to_string())?.command else {
        panic!("compare")
    };
    Compared::of(&arguments).map_err(|error| error.to_string())
}

fn shown(runs: &Path, arguments: &[&str], format: CompareFormat) -> String {
    compared(runs, arguments).unwrap_or_else(|error| panic!("{error}")).text(format, None)
}

fn folder_with_sweep() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    sweep().write(folder.path(), "sweep");
    folder
}

#[test]
fn a_run_is_one_row_per_configuration_in_every_format() {
    let folder = folder_with_sweep();
    insta::assert_snapshot!("terminal", shown(folder.path(), &["sweep"], CompareFormat::Terminal));
    insta::assert_snapshot!("markdown", shown(folder.path(), &["sweep"], CompareFormat::Markdown));
    insta::assert_snapshot!("csv", shown(folder.path(), &["sweep", "--metric", "sse"], CompareFormat::Csv));
    insta::assert_snapshot!("latex", shown(folder.path(), &["sweep"], CompareFormat::Latex));
}

#[test]
fn a_schedule_is_one_value_of_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let schedule = |to: f64| json!({"linear": {"from": 0.0, "to": to, "epochs": 5}});
    sweep()
        .changed(|definition, _, _| {
            let to = if definition["model"]["beta_vae"]["latent_dim"] == 2 { 0.2 } else { 0.5 };
            if let Some(options) = definition["model"].get_mut("beta_vae") {
                options["beta"] = schedule(to);
            }
        })
        .write(folder.path(), "sweep");
    let header = shown(folder.path(), &["sweep", "--metric", "sse"], CompareFormat::Csv);
    assert!(header.starts_with("baseline,model,code_size,beta,baseline_code_size,"), "{header}");
}

#[test]
fn a_pivot_compares_within_its_columns() {
    let folder = folder_with_sweep();
    let arguments = ["sweep", "--rows", "model", "--cols", "code_size", "--metric", "eval/sse"];
    insta::assert_snapshot!("pivot", shown(folder.path(), &arguments, CompareFormat::Terminal));
    insta::assert_snapshot!("pivot_latex", shown(folder.path(), &arguments, CompareFormat::Latex));
}

#[test]
fn json_carries_every_number_unrounded() {
    let folder = folder_with_sweep();
    let text = shown(folder.path(), &["sweep", "--metric", "sse,psnr,mse"], CompareFormat::Json);
    let parsed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed["rows"].as_array().unwrap().len(), 4);
    for (definition, _, metrics) in &sweep().0 {
        let hash = short_hash(definition);
        for name in ["sse", "psnr", "mse"] {
            let cells = parsed["rows"].as_array().unwrap().iter().flat_map(|row| row["cells"].as_array().unwrap());
            let of_metric = cells.filter(|cell| cell["metric"] == name).flat_map(|cell| cell["values"].as_array().unwrap());
            let value = of_metric.filter(|value| value["trial"] == hash).map(|value| value["value"].as_f64().unwrap());
            let expected = metrics.iter().find(|metric| metric.name == name).unwrap().value;
            assert_eq!(value.collect::<Vec<_>>(), [expected]);
        }
    }
    assert_eq!(parsed["metrics"][0]["version"], 1);
    assert!(parsed["columns"][0]["best"].is_string());
}

#[test]
fn filters_choose_trials_and_say_so() {
    let folder = folder_with_sweep();
    let rows = |filters: &[&str]| {
        let arguments: Vec<&str> =
            ["sweep", "--metric", "sse"].into_iter().chain(filters.iter().flat_map(|filter| ["--filter", *filter])).collect();
        compared(folder.path(), &arguments).map(|compared| compared.comparison.rows.len())
    };
    assert_eq!(rows(&["model=beta_vae"]), Ok(2));
    assert_eq!(rows(&["code_size<8"]), Ok(2));
    assert_eq!(rows(&["beta=4", "code_size=8"]), Ok(1));
    assert_eq!(rows(&["seed=1,2"]), Ok(4));
    let error = rows(&["model=vae"]).unwrap_err();
    assert!(error.contains("no trial passes `model=vae`: model has the values beta_vae, undercomplete"), "{error}");
    let error = rows(&["modle=vae"]).unwrap_err();
    assert!(error.contains("did you mean `model`?"), "{error}");
    let text = shown(folder.path(), &["sweep", "--filter", "seed<3"], CompareFormat::Terminal);
    assert!(text.contains("8 of 12 trials pass seed<3"), "{text}");
}

#[test]
fn results_of_different_data_are_refused_with_the_difference_and_ways_to_go_on() {
    let folder = folder_with_sweep();
    sweep().changed(|definition, _, _| definition["data"]["digits"]["num_test"] = json!(100)).write(folder.path(), "fewer");
    sweep().changed(|definition, _, _| definition["data_checksum"] = json!("ffffffffffff0000")).write(folder.path(), "other");
    let error = |runs: &[&str]| compared(folder.path(), runs).map(|_| ()).unwrap_err();
    insta::assert_snapshot!("different_data", error(&["sweep", "fewer"]));
    insta::assert_snapshot!("different_checksum", error(&["sweep", "other"]));
    let allowed = |arguments: &[&str]| compared(folder.path(), arguments).unwrap().comparison;
    assert_eq!(allowed(&["sweep", "fewer", "--filter", "data.num_test=100"]).rows.len(), 4);
    assert_eq!(allowed(&["sweep", "fewer", "--cols", "num_test", "--metric", "sse"]).columns.len(), 2);
    assert_eq!(allowed(&["sweep", "other", "--cols", "run", "--metric", "sse"]).columns.len(), 2);
    assert!(error(&["sweep", "other", "--rows", "run,model,code_size"]).contains("checksum"), "rows are compared with each other");
    let across = allowed(&["sweep", "fewer", "--across", "data", "--metric", "sse"]);
    assert_eq!((across.blocks.len(), across.rows.len()), (2, 4));
    assert!(across.columns[0].friedman.is_some());
    let both = allowed(&["sweep", "fewer", "--cols", "data", "--across", "data.num_test", "--metric", "sse"]);
    assert_eq!((both.columns.len(), both.blocks.len()), (1, 2), "what the blocks say is no other data set");
    assert_eq!(across.rows[0].cells[0].as_ref().unwrap().spread.num, 2, "two blocks");
}

#[test]
fn metrics_of_different_definitions_are_refused() {
    let folder = folder_with_sweep();
    let newer = |name: &'static str| {
        move |_: &mut Value, _: &mut TrialState, metrics: &mut Vec<MetricValue>| {
            metrics.iter_mut().filter(|metric| metric.name == name).for_each(|metric| metric.version = 2);
        }
    };
    with_other_batch(sweep().changed(newer("sse"))).write(folder.path(), "newer");
    with_other_batch(sweep().changed(newer("pca_sse"))).write(folder.path(), "newer_pca");
    insta::assert_snapshot!("different_version", compared(folder.path(), &["sweep", "newer"]).map(|_| ()).unwrap_err());
    let error = compared(folder.path(), &["sweep", "newer_pca"]).map(|_| ()).unwrap_err();
    assert!(error.contains("`pca_sse` is not the same quantity"), "{error}");
    assert!(compared(folder.path(), &["sweep", "newer", "--metric", "psnr"]).is_ok(), "another metric is the same");
    assert_eq!(compared(folder.path(), &["sweep", "newer", "--filter", "run=sweep"]).unwrap().comparison.rows.len(), 4);
}

#[test]
fn the_same_trial_in_another_version_is_refused_whatever_the_order() {
    let folder = folder_with_sweep();
    sweep()
        .changed(|_, _, metrics| metrics.iter_mut().filter(|metric| metric.name == "sse").for_each(|metric| metric.version = 2))
        .write(folder.path(), "newer");
    for runs in [["sweep", "newer"], ["newer", "sweep"]] {
        let [first, second] = runs;
        let error = compared(folder.path(), &[first, second, "--metric", "sse"]).map(|_| ()).unwrap_err();
        assert!(error.contains("version 1, squared units/example, better: lower in sweep (trials "), "{error}");
        assert!(error.contains("version 2, squared units/example, better: lower in newer (trials "), "{error}");
        assert!(error.contains(" and 9 more)") && error.contains("--filter run=..."), "{error}");
        let chosen = compared(folder.path(), &[first, second, "--metric", "sse", "--filter", "run=newer"]).unwrap().comparison;
        assert_eq!((chosen.num_finished, chosen.metrics[0].version), (12, 2), "what the error suggests works");
        assert_eq!(compared(folder.path(), &[first, second, "--metric", "psnr"]).unwrap().comparison.num_finished, 12);
    }
}

/// Probes by `evaluation`, everything else by `reconstruction`; as results of today say.
fn probed(evaluation: &str, evaluate: Value) -> Trials {
    let evaluation = evaluation.to_owned();
    sweep().changed(move |definition, _, metrics| {
        definition["evaluate"] = evaluate.clone();
        metrics.iter_mut().for_each(|metric| metric.evaluation = Some("reconstruction".into()));
        let value = metrics[0].value / 100.0;
        metrics.push(MetricValue { evaluation: Some(evaluation.clone()), ..metric("probe_accuracy", value, "higher") });
    })
}

fn with_other_batch(trials: Trials) -> Trials {
    trials.changed(|definition, _, _| definition["train"]["batch_size"] = json!(64))
}

#[test]
fn only_options_of_the_evaluation_that_measured_a_metric_matter() {
    let folder = tempfile::tempdir().unwrap();
    let evaluate = |probe: Value, shown: u64| json!([{"reconstruction": {"pca": shown > 100}}, {"dimension_reduction": {"num_shown": shown}}, {"linear_probe": probe}]);
    probed("linear_probe", evaluate(json!({"c": 1.0}), 100)).write(folder.path(), "one");
    // The same trials with another option, so that a trial is in both runs, and other trials.
    for (name, other) in [("same", false), ("other", true)] {
        let trials = probed("linear_probe", evaluate(json!({"c": 2.0}), 200));
        if other { with_other_batch(trials) } else { trials }.write(folder.path(), name);
        for runs in [["one", name], [name, "one"]] {
            let asked = |metric: &str| compared(folder.path(), &[runs[0], runs[1], "--metric", metric]);
            let comparison = asked("sse").unwrap().comparison;
            assert_eq!(comparison.num_finished, if other { 24 } else { 12 }, "a trial counts once");
            let error = asked("probe_accuracy").map(|_| ()).unwrap_err();
            assert!(error.contains("`probe_accuracy` was measured with different options of the evaluation `linear_probe`"), "{error}");
            assert!(error.contains("  evaluate.linear_probe.c: 1") && !error.contains("num_shown") && !error.contains("data"), "{error}");
            if other {
                assert!(compared(folder.path(), &[runs[0], runs[1], "--metric", "probe_accuracy", "--filter", "linear_probe.c=2"]).is_ok());
                let columns = compared(folder.path(), &[runs[0], runs[1], "--metric", "probe_accuracy", "--cols", "linear_probe.c"]);
                assert_eq!(columns.unwrap().comparison.columns.len(), 2);
            }
        }
    }
    insta::assert_snapshot!(
        "different_options",
        compared(folder.path(), &["one", "other", "--metric", "probe_accuracy"]).map(|_| ()).unwrap_err()
    );
}

#[test]
fn options_that_change_pictures_alone_and_options_that_have_their_default_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    probed("dimension_reduction", json!([{"dimension_reduction": {"num_shown": 100, "knn_k": 10}}])).write(folder.path(), "one");
    let default = aelab_eval::find("dimension_reduction").unwrap().measuring_options(&json!({}))["knn_k"].clone();
    with_other_batch(probed("dimension_reduction", json!([{"dimension_reduction": {"num_shown": 5, "knn_k": default}}])))
        .write(folder.path(), "shown");
    with_other_batch(probed("dimension_reduction", json!([{"dimension_reduction": {}}]))).write(folder.path(), "default");
    assert!(compared(folder.path(), &["shown", "default", "--metric", "probe_accuracy"]).is_ok());
    assert_eq!(compared(folder.path(), &["one", "default", "--metric", "probe_accuracy"]).is_ok(), default == json!(10));
}

#[test]
fn a_metric_of_two_evaluations_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    probed("linear_probe", json!([{"linear_probe": {}}])).write(folder.path(), "probe");
    with_other_batch(probed("dimension_reduction", json!([{"dimension_reduction": {}}]))).write(folder.path(), "reduction");
    let error = compared(folder.path(), &["probe", "reduction", "--metric", "probe_accuracy"]).map(|_| ()).unwrap_err();
    assert!(error.contains("was measured by different evaluations"), "{error}");
    assert!(error.contains("evaluation: dimension_reduction in reduction; linear_probe in probe"), "{error}");
}

#[test]
fn results_that_do_not_name_the_evaluation_are_compared_by_all_options() {
    let folder = tempfile::tempdir().unwrap();
    let old = |trials: Trials| trials.changed(|_, _, metrics| metrics.iter_mut().for_each(|metric| metric.evaluation = None));
    old(probed("linear_probe", json!([{"linear_probe": {}}]))).write(folder.path(), "old");
    old(with_other_batch(probed("linear_probe", json!([{"linear_probe": {}}, {"reconstruction": {}}])))).write(folder.path(), "alike");
    old(with_other_batch(probed("linear_probe", json!([{"linear_probe": {"c": 2.0}}])))).write(folder.path(), "other");
    assert!(compared(folder.path(), &["old", "alike", "--metric", "sse"]).is_ok());
    let error = compared(folder.path(), &["old", "other", "--metric", "sse"]).map(|_| ()).unwrap_err();
    assert!(error.contains("`sse` was measured with different options of the evaluation `linear_probe`"), "{error}");
    assert!(compared(folder.path(), &["old", "other", "--metric", "num_parameters"]).is_ok(), "no evaluation measured it");
}

#[test]
fn what_differs_between_runs_becomes_a_column_and_cells_never_mix() {
    let folder = folder_with_sweep();
    sweep().changed(|definition, _, _| definition["train"]["batch_size"] = json!(64)).write(folder.path(), "wide");
    let both = compared(folder.path(), &["sweep", "wide", "--metric", "sse"]).unwrap().comparison;
    assert_eq!(both.row_keys, ["model", "code_size", "batch_size"]);
    assert_eq!(both.rows.len(), 8);
    let error = compared(folder.path(), &["sweep", "wide", "--rows", "model", "--cols", "code_size"]).map(|_| ()).unwrap_err();
    insta::assert_snapshot!("mixed_cell", error);
    assert!(compared(folder.path(), &["sweep", "--rows", "model", "--across", "code_size"]).is_ok());
}

#[test]
fn the_same_trial_in_two_runs_counts_once() {
    let folder = folder_with_sweep();
    sweep().write(folder.path(), "again");
    let comparison = compared(folder.path(), &["sweep", "again", "--metric", "sse"]).unwrap().comparison;
    assert_eq!(comparison.num_finished, 12);
    assert!(comparison.notes.contains(&"12 trials are in more than one run and count once".to_owned()), "{:?}", comparison.notes);
}

#[test]
fn unfinished_trials_are_named_and_unequal_seeds_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let trials = sweep().changed(|definition, state, _| {
        let (seed, code_size) = (definition["train"]["seed"].clone(), definition["model"].to_string());
        if model_of(definition) == "beta_vae" && seed == json!(2) && code_size.contains(":8") {
            *state = TrialState::Diverged;
        }
        if model_of(definition) == "undercomplete" && seed == json!(3) && code_size.contains(":2") {
            *state = TrialState::Pending;
        }
    });
    trials.write(folder.path(), "partial");
    insta::assert_snapshot!("unfinished", shown(folder.path(), &["partial", "--metric", "sse"], CompareFormat::Terminal));
    let page = shown(folder.path(), &["partial", "--metric", "sse"], CompareFormat::Markdown);
    assert!(page.contains("| diverged |") && page.contains("term `kl` was NaN at step 120"), "{page}");
    sweep().changed(|_, state, _| *state = TrialState::Failed).write(folder.path(), "failed");
    let error = compared(folder.path(), &["failed"]).map(|_| ()).unwrap_err();
    assert!(error.contains("no trial of failed has finished: 12 failed"), "{error}");
}

#[test]
fn a_metric_that_is_not_there_is_named_with_the_nearest() {
    let folder = folder_with_sweep();
    let error = compared(folder.path(), &["sweep", "--metric", "eval/ssee"]).map(|_| ()).unwrap_err();
    assert!(error.contains("did you mean `sse`?") && error.contains("psnr"), "{error}");
    for (arguments, expected) in [
        (vec!["sweep", "--curve", "code_size"], "expected X:Y"),
        (vec!["sweep", "--curve", "colour:sse"], "nothing is called `colour`"),
        (vec!["sweep", "--curve", "colour:sse"], "a measured metric: code_size, seed, "),
        (vec!["sweep", "--curve", "model:sse"], "`model` has no numbers to draw a curve against: its values are beta_vae, undercomplete"),
        (vec!["sweep", "--metric", ""], "a name in --metric is empty"),
        (vec!["sweep", "--metric", "sse,,psnr"], "a name in --metric is empty"),
        (vec!["sweep", "--rows", ""], "a name in --rows is empty"),
        (vec!["sweep", "--metric", "sse", "--sort=psnr"], "cannot sort by `psnr`: the table shows sse\n"),
        (vec!["sweep", "--metric", "sse", "--sort=nope"], "the table shows sse, and no finished trial measured it"),
        (vec!["sweep", "--rows", "seed"], "means and tests are over seeds"),
        (vec!["sweep", "--rows", "model", "--cols", "model"], "and once"),
        (vec!["sweep", "--filter", "model"], "cannot read the filter"),
        (vec!["absent"], "is no run directory"),
    ] {
        let error = compared(folder.path(), &arguments).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn sorting_puts_the_best_first() {
    let folder = folder_with_sweep();
    let first = |arguments: &[&str]| {
        let comparison = compared(folder.path(), arguments).unwrap().comparison;
        comparison.row_label(&comparison.rows[0])
    };
    assert_eq!(first(&["sweep"]), "undercomplete, code size 2");
    assert_eq!(first(&["sweep", "--sort"]), "undercomplete, code size 8");
    assert_eq!(first(&["sweep", "--sort=psnr"]), "undercomplete, code size 8");
}

#[test]
fn output_has_every_format_and_the_curves_with_their_numbers() {
    let folder = folder_with_sweep();
    let arguments = ["sweep", "--curve", "code_size:sse", "--curve", "kl:sse", "--log", "y"];
    let output = folder.path().join("out");
    compared(folder.path(), &arguments).unwrap().write(&output).unwrap();
    for name in ["comparison.md", "comparison.csv", "comparison.json", "comparison.tex", "curve-code_size-sse.png", "curve-kl-sse.png"] {
        assert!(output.join(name).is_file(), "{name}");
    }
    insta::assert_snapshot!("curve", fs::read_to_string(output.join("curve-code_size-sse.csv")).unwrap());
    let measured = fs::read_to_string(output.join("curve-kl-sse.csv")).unwrap();
    assert!(measured.starts_with("series,model,code_size,kl,kl_ci95_low,kl_ci95_high,sse,"), "{measured}");
    assert!(fs::read_to_string(output.join("comparison.md")).unwrap().contains("![SSE against code size](<curve-code_size-sse.png>)"));
}

#[test]
fn a_curve_of_two_metrics_has_a_series_per_row_whatever_the_columns() {
    let folder = folder_with_sweep();
    let arguments = ["sweep", "--rows", "model", "--cols", "code_size", "--metric", "sse", "--curve", "sse:psnr"];
    let curves = compared(folder.path(), &arguments).unwrap().curves;
    let series = &curves[0].1.figure.series;
    let shown: Vec<(&str, usize)> = series.iter().map(|series| (series.name.as_str(), series.points.len())).collect();
    assert_eq!(shown, [("undercomplete", 2), ("beta_vae", 2)]);
}

#[test]
fn a_configuration_that_diverged_every_time_keeps_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    sweep()
        .changed(|definition, state, _| {
            if model_of(definition) == "beta_vae" && definition["model"]["beta_vae"]["latent_dim"] == 8 {
                *state = TrialState::Diverged;
            }
        })
        .write(folder.path(), "partial");
    let csv = shown(folder.path(), &["partial", "--metric", "sse"], CompareFormat::Csv);
    let line = csv.lines().find(|line| line.starts_with(",beta_vae,8,")).unwrap_or_else(|| panic!("{csv}"));
    assert_eq!(line, ",beta_vae,8,,sse,squared units/example,lower,1,3,0,0,0,,,,,,,0,,,");
    let pivot = shown(folder.path(), &["partial", "--rows", "model", "--cols", "code_size", "--metric", "sse"], CompareFormat::Csv);
    assert!(pivot.contains("\n,beta_vae,8,sse,squared units/example,lower,1,3,0,0,0,,"), "counts are those of the column: {pivot}");
    let compared = compared(folder.path(), &["partial", "--curve", "code_size:sse", "--curve", "kl:sse"]).unwrap();
    let against_metric = compared.curves[1].1.table.to_csv();
    assert!(against_metric.contains("\nbeta_vae,beta_vae,8,,,,,,,0\n"), "{against_metric}");
    let TradeOff { figure, table } = &compared.curves[0].1;
    assert!(table.to_csv().contains("\nbeta_vae,beta_vae,8,,,,0\n"), "{}", table.to_csv());
    assert!(figure.subtitle.ends_with("; one configuration has no value"), "{}", figure.subtitle);
}

#[test]
fn nothing_of_latex_is_left_unescaped() {
    let folder = tempfile::tempdir().unwrap();
    let odd = sweep().changed(|definition, _, _| definition["model"]["undercomplete"]["activation"] = json!("a_b&c#d%"));
    Trials(odd.0.into_iter().filter(|(definition, ..)| definition["model"].get("beta_vae").is_none()).collect())
        .write(folder.path(), "odd");
    let latex = shown(folder.path(), &["odd", "--rows", "model,code_size,activation", "--metric", "sse"], CompareFormat::Latex);
    assert!(latex.contains(r"a\_b\&c\#d\%"), "{latex}");
    let body: Vec<&str> = latex.lines().filter(|line| line.ends_with(r"\\")).collect();
    let columns = |line: &str| line.replace(r"\&", "").matches('&').count();
    assert!(body.len() > 3 && body.iter().all(|line| columns(line) == columns(body[0])), "{latex}");
}

#[test]
#[ignore = "writes 10,000 trials; prints how long comparing them takes"]
fn ten_thousand_trials_are_compared_in_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let template = sweep().0.remove(0).2;
    let trials = (0..2000u64).flat_map(|configuration| (1..=5).map(move |seed| (configuration, seed))).map(|(configuration, seed)| {
        let options = json!({"code_size": 2 + configuration % 20, "lambda": configuration as f64 / 7.0});
        let metrics: Vec<MetricValue> = (0..10)
            .flat_map(|copy| template.iter().map(move |metric| (copy, metric.clone())))
            .map(|(copy, metric)| MetricValue {
                name: if copy == 0 { metric.name } else { format!("{}_{copy}", metric.name) },
                value: metric.value + noise(seed, configuration),
                ..metric
            })
            .collect();
        (definition("sparse", options, seed), TrialState::Finished, metrics)
    });
    Trials(trials.collect()).write(folder.path(), "large");
    let start = std::time::Instant::now();
    let compared = compared(folder.path(), &["large"]).unwrap();
    let text = compared.text(CompareFormat::Terminal, None);
    println!("10,000 trials, 2,000 configurations: {:.2} s, {} lines", start.elapsed().as_secs_f64(), text.lines().count());
    assert_eq!(compared.comparison.rows.len(), 2000);
}
