//! What the writer of an experiment file reads when something is wrong: every message with its place.

use std::path::Path;

use aelab_core::Registry;
use aelab_data::LoadContext;

use crate::{ExperimentSpec, Plan, SpecSource, plan};

const GOOD: &str = "\
name: example
data: {digits: {}}
model:
  vae:
    hidden: [32]
    latent_dim: 4
    likelihood: bernoulli
train:
  epochs: 3
  batch_size: 32
  optimizer: {adam: {learning_rate: 1e-3}}
  seed: 1
";

fn plan_of(text: &str, extended: Option<&str>, sets: &[&str]) -> Result<Plan, crate::Diagnostic> {
    let source = SpecSource {
        file: "experiment.yaml".to_owned(),
        text: text.to_owned(),
        base_dir: Path::new("/nowhere").to_path_buf(),
        extended: extended.map(|text| ("base.yaml".to_owned(), text.to_owned())),
        sets: sets.iter().map(|set| (*set).to_owned()).collect(),
    };
    plan(&ExperimentSpec::parse(source)?, &Registry::new(aelab_models::MODELS), &LoadContext::new("/nowhere"))
}

pub(super) fn planned(text: &str, sets: &[&str]) -> Plan {
    plan_of(text, None, sets).unwrap_or_else(|error| panic!("{error}"))
}

/// What is not there yet cannot be read, and a plan does not need it.
#[test]
fn classes_of_data_that_are_yet_to_be_fetched_are_trusted() {
    let plan = |data: &str| {
        let text = GOOD.replace("{digits: {}}", data) + "evaluate: [{anomaly: {normal: [11]}}]\n";
        let source = SpecSource {
            file: "experiment.yaml".to_owned(),
            text,
            base_dir: Path::new("/nowhere").to_path_buf(),
            extended: None,
            sets: Vec::new(),
        };
        let context = LoadContext { base_dir: "/nowhere".into(), cache_dir: "/nowhere".into(), offline: true };
        super::plan(&ExperimentSpec::parse(source)?, &Registry::new(aelab_models::MODELS), &context)
    };
    assert_eq!(plan("{mnist: {normal_classes: [1], num_train: 54000}}").unwrap().trials.len(), 1);
    assert!(plan("{digits: {normal_classes: [1], num_train: 54000}}").is_err());
}

/// The message about `text`, and the text itself above it.
fn message(text: &str, sets: &[&str]) -> String {
    match plan_of(text, None, sets) {
        Err(diagnostic) => diagnostic.to_string(),
        Ok(plan) => panic!("expected an error, got {} trials", plan.trials.len()),
    }
}

macro_rules! messages {
    ($($name:ident: $text:expr $(, $set:expr)*;)*) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(message(AsRef::<str>::as_ref(&$text), &[$($set),*]));
            }
        )*
    };
}

pub(super) fn with(sweep: &str) -> String {
    format!("{GOOD}{sweep}")
}

messages! {
    unknown_key_in_a_model: GOOD.replace("latent_dim", "latent_dmi");
    unknown_key_at_the_top: GOOD.replace("train:", "trian:");
    unknown_key_in_training: GOOD.replace("batch_size", "batchsize");
    unknown_key_in_an_optimizer: GOOD.replace("learning_rate", "lerning_rate");
    unknown_model: GOOD.replace("vae:", "veа:");
    unknown_data_set: GOOD.replace("digits", "digit");
    unknown_evaluation: with("evaluate: [reconstruction, pca_basline]\n");
    unknown_device: with("device: gpu\n");
    wrong_type_text_for_number: GOOD.replace("epochs: 3", "epochs: three");
    wrong_type_fraction_for_whole: GOOD.replace("epochs: 3", "epochs: 2.5");
    wrong_type_number_for_list: GOOD.replace("[32]", "32");
    wrong_type_inside_a_list: GOOD.replace("[32]", "[32, wide]");
    wrong_type_map_for_number: GOOD.replace("batch_size: 32", "batch_size: {size: 32}");
    value_out_of_range: GOOD.replace("epochs: 3", "epochs: 0");
    not_a_number: GOOD.replace("1e-3", ".nan");
    key_given_twice: with("train: {epochs: 1}\n");
    key_given_twice_inside: GOOD.replace("  seed: 1", "  seed: 1\n  epochs: 4");
    missing_section: GOOD[..GOOD.find("train:").unwrap()];
    missing_key: GOOD.replace("  seed: 1\n", "");
    missing_key_of_a_model: GOOD.replace("    latent_dim: 4\n", "");
    two_models: GOOD.replace("model:\n", "model:\n  undercomplete: {hidden: [], code_size: 2}\n");
    no_model: GOOD.replace("model:\n  vae:\n    hidden: [32]\n    latent_dim: 4\n    likelihood: bernoulli\n", "model: {}\n");
    model_without_braces: GOOD.replace("model:\n  vae:\n    hidden: [32]\n    latent_dim: 4\n    likelihood: bernoulli\n", "model: vae\n");
    impossible_combination: GOOD.replace("{digits: {}}", "{digits: {scale: standardize}}");
    broken_syntax: GOOD.replace("[32]", "[32");
    broken_indentation: GOOD.replace("    latent_dim", "   latent_dim");
    empty_file: String::new();
    several_documents: with("---\nname: other\n");
    yaml_tags: GOOD.replace("likelihood: bernoulli", "likelihood: !bernoulli");
    bad_name: GOOD.replace("name: example", "name: a/b");
    too_few_threads: with("execution: {threads_per_trial: 0}\n");
    bad_jobs: with("execution: {jobs: many}\n");
    unknown_key_in_execution: with("execution: {job: 2}\n");
    bad_time_limit_of_slurm: with("execution:\n  executor: slurm\n  slurm:\n    partition: gpu\n    time: 4h\n");
    time_limit_of_slurm_without_time_to_work: with("execution: {executor: slurm, slurm: {time: 1}}\n");
    option_of_slurm_that_is_ours: with("execution:\n  slurm:\n    extra: ['#SBATCH --array=0-9']\n");
    unknown_key_of_slurm: with("execution: {slurm: {partitions: gpu}}\n");
    missing_extended_file: with("extends: absent.yaml\n");
    data_file_missing: GOOD.replace("{digits: {}}", "{npy: {path: absent.npy}}");

    normal_class_that_does_not_exist: with("evaluate: [reconstruction, {anomaly: {normal: [11]}}]\n");
    every_class_normal: with("evaluate: [{anomaly: {normal: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}]\n");
    no_class_normal: with("evaluate: [{anomaly: {normal: []}}]\n");
    more_components_than_features: with("evaluate: [{anomaly: {normal: [1], pca_components: 64}}]\n");
    more_training_examples_than_normal_ones: GOOD.replace("{digits: {}}", "{digits: {normal_classes: [1], num_train: 1000}}");

    sweep_path_of_another_model: with("sweep:\n  model.undercomplete.code_size: [2, 4]\n");
    sweep_path_with_a_typo_in_the_model: with("sweep:\n  model.vea.latent_dim: [2, 4]\n");
    sweep_path_with_a_typo: with("sweep:\n  model.vae.latent_dmi: [2, 4]\n");
    sweep_path_that_is_no_path: with("sweep:\n  epochs: [2, 4]\n");
    sweep_operator_with_a_typo: with("sweep:\n  prodct:\n    - train.epochs: [2, 4]\n");
    sweep_into_a_number: with("sweep:\n  train.epochs.more: [2, 4]\n");
    sweep_value_out_of_range: with("sweep:\n  product:\n    - train.epochs: [1, 2]\n    - train.batch_size: [32, 0]\n");
    sweep_value_of_wrong_type: with("sweep: {train.epochs: [1, many]}\n");
    sweep_zip_of_unequal_lengths: with("sweep:\n  zip:\n    - train.epochs: [1, 2, 3]\n    - train.batch_size: [32, 64]\n");
    sweep_without_values: with("sweep: {train.epochs: []}\n");
    sweep_with_a_single_value: with("sweep: {train.epochs: 4}\n");
    sweep_range_with_a_typo: with("sweep: {train.epochs: {log_range: {from: 1, too: 4, num: 2}}}\n");
    sweep_range_that_goes_nowhere: with("sweep: {train.epochs: {range: {from: 1, to: 4, step: -1}}}\n");
    sweep_range_through_zero: with("sweep: {model.vae.beta: {log_range: {from: 0, to: 4, num: 3}}}\n");
    sampler_with_a_typo: with("sweep:\n  sobol:\n    num: 4\n    sapce: {model.vae.beta: {uniform: {from: 0, to: 1}}}\n");
    sampler_without_points: with("sweep:\n  random:\n    num: 0\n    space: {model.vae.beta: {uniform: {from: 0, to: 1}}}\n");
    sampler_of_a_list: with("sweep:\n  random:\n    num: 4\n    space: {model.vae.beta: [1, 2]}\n");
    sampler_of_an_unknown_distribution: with("sweep:\n  random:\n    num: 4\n    space: {model.vae.beta: {loguniform: {from: 1, to: 2}}}\n");
    sampler_with_a_typo_in_its_bounds: with("sweep:\n  random:\n    num: 4\n    space: {model.vae.beta: {uniform: {from: 1, too: 2}}}\n");
    sampler_of_a_logarithm_of_zero: with("sweep:\n  random:\n    num: 4\n    space: {model.vae.beta: {log_uniform: {from: 0, to: 2}}}\n");
    sampler_of_too_many_points: with("sweep:\n  sobol:\n    num: 70000\n    space: {model.vae.beta: {uniform: {from: 0, to: 2}}}\n");
    sampler_of_no_path: with("sweep:\n  sobol:\n    num: 4\n    space: {beta: {uniform: {from: 0, to: 2}}}\n");
    sampler_of_a_path_with_a_typo: with("sweep:\n  sobol:\n    num: 4\n    space: {model.vae.bata: {uniform: {from: 0, to: 2}}}\n");

    requirement_with_a_typo: with("require:\n  - latent_dim < inptu\n");
    requirement_in_quotes_with_a_typo: with("require: [\"latent_dim < 3 and bata > 1\"]\n");
    requirement_over_several_lines: with("require: >\n  latent_dim < 3\n  or bata > 1\n");
    requirement_that_compares_a_text: with("require: likelihood > 3\n");
    requirement_that_is_no_condition: with("require: latent_dim + 1\n");
    requirement_with_a_bad_operator: with("require: latent_dim = 4\n");
    requirement_about_an_unknown_model: with("require: model != veа\n");
    requirement_that_nothing_meets: with("sweep: {model.vae.latent_dim: [2, 4], train.epochs: [1, 2]}\nrequire: [epochs > 1, latent_dim > 8]\n");
    requirement_that_is_a_map: with("require: {latent_dim: 4}\n");
    condition_that_cannot_be_asked: with("sweep:\n  product:\n    - train.batch_size: [32, 64]\n    - {train.epochs: [1, 2], when: batch_siz == 64}\n");
    condition_about_a_default_of_what_is_not_whole_yet: GOOD.replace("  batch_size: 32\n", "") + "sweep:\n  product:\n    - {train.epochs: [1, 2], when: beta_1 == 0.9}\n    - train.batch_size: [32, 64]\n";
    conditional_axis_of_another_model: with("sweep:\n  product:\n    - {model.linear.code_size: [2, 4], when: model == vae}\n");
    derived_from_itself: with("derive: {train.epochs: 2 * epochs}\n");
    derived_from_what_comes_later: with("derive: {train.epochs: 2 * batch_size, train.batch_size: 4 * 8}\n");
    derived_and_swept: with("sweep: {train.epochs: [1, 2]}\nderive: {train.epochs: 4}\n");
    derived_of_another_optimizer: with("derive: {train.optimizer.sgd.learning_rate: 1e-3 * batch_size}\n");
    derived_without_a_whole_path: with("derive: {epochs: 4}\n");
    derived_of_the_wrong_type: with("derive: {train.epochs: batch_size / 5}\n");
    derived_with_an_unknown_function: with("derive: {train.epochs: rount(batch_size / 5)}\n");
    derived_with_division_by_zero: with("sweep: {train.batch_size: [32, 64]}\nderive: {train.epochs: 10 / (batch_size - 64)}\n");
    derived_with_an_unknown_key: with("derive: {train.epochs: {vlaue: 3}}\n");
    set_of_what_is_derived: with("derive: {train.epochs: 4}\n"), "train.epochs=7";
    tag_that_filters_cannot_name: with("tags: [good, a=b]\n");
    tags_as_a_text: with("tags: thesis\n");
    repetition_of_no_seed: with("sweep: {repeat: {times: 3, vary: [train.epochs]}}\n");
    repetition_with_a_typo: with("sweep: {repeat: {time: 3}}\n");
    repetition_of_an_absent_seed: with("sweep: {repeat: {times: 2, vary: [data.digits.noise_seed]}}\n");
    sweep_of_the_name: with("sweep: {name: [a, b]}\n");
    sweep_sets_a_path_twice: with("sweep:\n  product:\n    - train.epochs: [1, 2]\n    - train.epochs: [3]\n");
    sweep_replaces_what_it_set: with("sweep:\n  product:\n    - model.vae.beta: [1, 2]\n    - model: [{undercomplete: {hidden: [], code_size: 2}}]\n");
    sweep_axis_of_one_alternative_only: with(
        "sweep:\n  product:\n    - model:\n        - vae: {hidden: [8], latent_dim: 2, likelihood: bernoulli}\n        - undercomplete: {hidden: [8], code_size: 2}\n    - model.vae.beta: [1, 4]\n"
    );
    sweep_alternative_with_a_typo: with("sweep:\n  model:\n    - undercomplete: {hidden: [8], code_siz: 2}\n");
    sweep_too_large: with("sweep: {train.epochs: {range: {from: 1, to: 1000, step: 1}}, train.seed: {range: {from: 1, to: 1000, step: 1}}}\n");

    set_without_value: GOOD, "train.epochs";
    set_with_empty_value: GOOD, "train.epochs=";
    set_unknown_section: GOOD, "trian.epochs=4";
    set_unknown_key: GOOD, "train.epoch=4";
    set_wrong_type: GOOD, "train.epochs=4", "train.batch_size=big";
    set_another_model: GOOD, "model.undercomplete.code_size=4";
    set_into_a_number: GOOD, "train.epochs.first=4";
    set_broken_yaml: GOOD, "model.vae.hidden=[1, 2";
    set_of_what_the_sweep_sets: with("sweep: {train.epochs: [1, 2]}\n"), "train.epochs=9";
    set_outside_of_a_list: GOOD, "model.vae.hidden.3=8";
}

#[test]
fn a_good_file_is_one_trial() {
    let plan = planned(GOOD, &[]);
    assert_eq!((plan.trials.len(), plan.trials[0].seed, plan.trials[0].code_size), (1, 1, 4));
    assert_eq!(plan.warnings, Vec::<String>::new());
}

#[test]
fn an_error_in_an_extended_file_names_that_file() {
    let base = GOOD.replace("epochs: 3", "epochs: three");
    let error = plan_of("extends: base.yaml\nname: other\n", Some(&base), &[]).unwrap_err().to_string();
    assert!(error.contains("base.yaml:9:11"), "{error}");
    let error = plan_of("extends: base.yaml\ntrain:\n  epochs: four\n", Some(&base), &[]).unwrap_err().to_string();
    assert!(error.contains("experiment.yaml:3:11"), "{error}");
    let error = plan_of("extends: base.yaml\n", Some("extends: other.yaml\n"), &[]).unwrap_err().to_string();
    assert!(error.contains("base.yaml:1:1") && error.contains("one level"), "{error}");
}

#[test]
fn extending_merges_maps_and_replaces_variants_and_lists() {
    let value = |text: &str, pointer: &str| {
        let plan = plan_of(text, Some(GOOD), &[]).unwrap_or_else(|error| panic!("{error}"));
        plan.trials[0].definition.pointer(pointer).cloned()
    };
    let merged = "extends: base.yaml\nmodel: {vae: {hidden: [8, 4]}}\ntrain: {epochs: 9}\n";
    assert_eq!(value(merged, "/model/vae/hidden"), Some(serde_json::json!([8, 4])));
    assert_eq!(value(merged, "/train/epochs"), Some(9.into()));
    assert_eq!(value(merged, "/train/batch_size"), Some(32.into()));
    let replaced =
        "extends: base.yaml\nmodel: {undercomplete: {hidden: [], code_size: 3}}\ntrain: {optimizer: {sgd: {learning_rate: 0.1}}}\n";
    assert_eq!(value(replaced, "/model/vae"), None);
    assert_eq!(value(replaced, "/model/undercomplete/code_size"), Some(3.into()));
    assert_eq!(value(replaced, "/train/optimizer/sgd/learning_rate"), Some(0.1.into()));
    assert_eq!(value(replaced, "/train/optimizer/adam"), None);
}

#[test]
fn set_replaces_adds_and_removes() {
    let value = |sets: &[&str], pointer: &str| planned(GOOD, sets).trials[0].definition.pointer(pointer).cloned();
    assert_eq!(value(&["train.epochs=7"], "/train/epochs"), Some(7.into()));
    assert_eq!(value(&["train.gradient_clipping.norm=2"], "/train/gradient_clipping/norm"), Some(2.0.into()));
    assert_eq!(value(&["train.gradient_clipping.norm=2", "train.gradient_clipping=null"], "/train/gradient_clipping"), None);
    assert_eq!(value(&["model.vae.hidden.0=16"], "/model/vae/hidden"), Some(serde_json::json!([16])));
    assert_eq!(value(&["model.*.hidden=[5]"], "/model/vae/hidden"), Some(serde_json::json!([5])));
    assert_eq!(value(&["model={undercomplete: {hidden: [], code_size: 2}}"], "/model/undercomplete/code_size"), Some(2.into()));
}

#[test]
fn anchors_and_merge_keys_are_followed_and_bombs_refused() {
    let text = GOOD.replace("train:\n", "train: &train\n").replace("hidden: [32]", "hidden: &sizes [32]");
    assert_eq!(planned(&text, &[]).trials[0].hash, planned(GOOD, &[]).trials[0].hash);
    let merged = "data: {digits: {}}\nmodel: {vae: {<<: {hidden: [32], latent_dim: 9}, latent_dim: 4, likelihood: bernoulli}}\n\
                  train: {epochs: 3, batch_size: 32, optimizer: {adam: {learning_rate: 1e-3}}, seed: 1}\n";
    assert_eq!(planned(merged, &[]).trials[0].hash, planned(GOOD, &[]).trials[0].hash);
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (next, last) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
        bomb.push_str(&format!("{next}: &{next} [*{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}]\n"));
    }
    assert!(message(&bomb, &[]).contains("multiply to too much"));
}

#[test]
fn the_hash_depends_on_what_is_computed_and_on_nothing_else() {
    let hash = |text: &str, sets: &[&str]| planned(text, sets).trials[0].hash.clone();
    let one = hash(GOOD, &[]);
    assert_eq!(one, hash(&GOOD.replace("name: example", "name: other\ndescription: text\nexecution: {jobs: 2}"), &[]));
    assert_eq!(one, hash(&GOOD.replace("1e-3", "0.001"), &[]), "a number has one meaning");
    assert_eq!(one, hash(&GOOD.replace("1e-3}", "1.0e-3, beta_1: 0.9}"), &[]), "a default may be written out");
    assert_eq!(one, hash(&GOOD.replace("  batch_size: 32\n", "").replace("  seed: 1\n", "  seed: 1\n  batch_size: 32\n"), &[]));
    assert_eq!(one, hash(&with("device: auto\n"), &[]));
    assert_eq!(one, hash(&with("device: flex\n"), &[]));
    let others = ["train.seed=2", "train.epochs=4", "model.vae.beta=2", "data.digits.num_train=100", "evaluate=[reconstruction]"];
    let hashes: Vec<String> = others.iter().map(|set| hash(GOOD, &[set])).collect();
    for (position, other) in hashes.iter().enumerate() {
        assert_ne!(*other, one, "{}", others[position]);
        assert!(hashes[..position].iter().all(|before| before != other));
    }
}

#[test]
fn whole_models_are_alternatives_and_a_star_is_whichever_is_there() {
    let text = "data: {digits: {}}\ntrain: {epochs: 1, batch_size: 32, optimizer: {adam: {learning_rate: 1e-3}}, seed: 5}\nsweep:\n  product:\n    \
                - model: [{vae: {hidden: [8], likelihood: bernoulli}}, {undercomplete: {hidden: [8]}}]\n    - model.*.code_size: [2, 4]\n  repeat: 2\n";
    let plan = planned(text, &[]);
    let shown = plan.labels();
    assert_eq!(
        shown,
        [
            "model=vae code_size=2 seed=5",
            "model=vae code_size=2 seed=6",
            "model=vae code_size=4 seed=5",
            "model=vae code_size=4 seed=6",
            "model=undercomplete code_size=2 seed=5",
            "model=undercomplete code_size=2 seed=6",
            "model=undercomplete code_size=4 seed=5",
            "model=undercomplete code_size=4 seed=6",
        ]
    );
}

#[test]
fn alternatives_of_one_name_are_told_apart_by_what_differs() {
    let text = with(
        "sweep:\n  model:\n    - vae: {hidden: [8], latent_dim: 2, likelihood: bernoulli, beta: 1}\n    - vae: {hidden: [8], latent_dim: 2, likelihood: bernoulli, beta: 4}\n",
    );
    let plan = planned(&text, &[]);
    let overrides: Vec<_> = plan.trials.iter().map(|trial| trial.overrides.clone()).collect();
    let expected = |beta: f64| vec![("model".to_owned(), "vae".into()), ("model.vae.beta".to_owned(), beta.into())];
    assert_eq!(overrides, [expected(1.0), expected(4.0)]);
}

#[test]
fn equal_trials_are_merged_and_shadowed_sets_are_warned_of() {
    let plan = planned(&with("sweep: {chain: [{train.epochs: [1, 2, 1]}, {train.seed: [7]}]}\n"), &["train.epochs=9"]);
    assert_eq!(plan.trials.len(), 3);
    assert_eq!(plan.warnings.len(), 2, "{:?}", plan.warnings);
    assert!(plan.warnings[0].contains("no effect in 3 of 4 trials") && plan.warnings[1].contains("1 of 4 trials"));
}

#[test]
fn the_order_of_keys_changes_no_hash() {
    let sweep = "sweep: {product: [{train.epochs: [1, 2]}, {model.vae.beta: [1, 2]}]}\n";
    let turned = "sweep: {product: [{model.vae.beta: [2, 1]}, {train.epochs: [2, 1]}]}\n";
    let hashes = |text: &str| {
        let mut hashes: Vec<String> = planned(text, &[]).trials.into_iter().map(|trial| trial.hash).collect();
        hashes.sort();
        hashes
    };
    assert_eq!(hashes(&with(sweep)), hashes(&format!("{turned}{GOOD}")));
}

#[test]
fn a_plan_survives_its_file() {
    let plan = planned(&with("sweep: {model.vae.beta: {log_range: {from: 1e-20, to: 1e20, num: 7}}}\n"), &["train.epochs=4"]);
    let read: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&plan).unwrap());
    assert_eq!(plan_of(&read.source.text, None, &["train.epochs=4"]).unwrap().trials[6].hash, plan.trials[6].hash);
}

#[test]
fn zeros_and_words_in_options_of_evaluations_are_explained_in_words() {
    let of = |evaluate: &str| message(&with(&format!("evaluate: [{evaluate}]\n")), &[]);
    let found = of("{retrieval: {num_queries: 0}}");
    assert!(found.contains("expected a whole number of at least 1, found the number 0") && !found.contains("u32"), "{found}");
    let found = of("{fine_tune: {labels_per_class: [al]}}");
    assert!(found.contains("`all` or a whole number of at least 1") && !found.contains("variant"), "{found}");
    assert!(of("{disentanglement: {num_bins: 4000000000}}").contains("at most 10000 bins"));
}

#[test]
fn what_of_an_evaluation_does_not_fit_the_data_is_said_at_plan() {
    let warnings = |evaluate: &str| planned(&with(&format!("evaluate: [{evaluate}]\n")), &[]).warnings;
    let found = warnings("{inpainting: {holes: [{center: {side: 20}}, {random: {rate: 0.5}}]}}, sequence");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("side 20 does not fit into an image of 8 x 8") && found[1].contains("`sequence` needs series"), "{found:?}");
    assert_eq!(warnings("inpainting, retrieval, samples"), Vec::<String>::new());
}
