//! What fuzzing and its replay run: the readers of everything that aelab reads, on bytes of a stranger. Not for programs.
//!
//! `fuzz/` has a target for each name in [`TARGETS`] and a folder with its corpus; `tests/tests/fuzzing.rs` replays and mutates
//! the corpus without a fuzzer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aelab_core::{BuildContext, DataSpec, Domain, Observer, Registry, TraineeState};
use aelab_data::LoadContext;
use serde_json::{Value, json};

use crate::trial::metrics_log::MetricsLog;
use crate::trial_config::ResolvedTrial;
use crate::{ComparisonRequest, ExperimentSpec, Filter, RunDir, SpecSource, TrialDir, collect, lock, plan, resolve_device};

/// Runs a target: a folder of its own, the models, the bytes.
pub type Target = fn(&Path, &Registry, &[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 13] = [
    ("archive", |folder, _, bytes| aelab_data::fuzzing::archive(folder, bytes)),
    ("checkpoint", |folder, _, bytes| aelab_train::fuzzing::checkpoint(folder, bytes)),
    ("csv", |folder, _, bytes| aelab_data::fuzzing::csv(folder, bytes)),
    ("event_file", |folder, _, bytes| aelab_tensorboard::fuzzing::event_file(folder, bytes)),
    ("experiment", experiment),
    ("idx", |folder, _, bytes| aelab_data::fuzzing::idx(folder, bytes)),
    ("image", |folder, _, bytes| aelab_data::fuzzing::image(folder, bytes)),
    ("metrics_log", |folder, _, bytes| metrics_log(folder, bytes)),
    ("npy", |folder, _, bytes| aelab_data::fuzzing::npy(folder, bytes)),
    ("npz", |folder, _, bytes| aelab_data::fuzzing::npz(folder, bytes)),
    ("record", record),
    ("run_directory", run_directory),
    ("settings", settings),
];

/// Lets files take so much memory. Once per process, before anything is read.
pub fn limit_memory(bytes: u64) {
    aelab_data::fuzzing::limit_memory(bytes);
}

/// The YAML of an experiment, planned as far as it goes without files.
fn experiment(folder: &Path, registry: &Registry, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    plan_text(folder, registry, text, &[]);
}

/// Lines: filters of a comparison and, where they have a `.`, settings on the command line.
fn settings(folder: &Path, registry: &Registry, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for line in text.lines().take(8) {
        let _ = Filter::parse(line);
        let _ = crate::KeyPath::parse(line);
    }
    let sets: Vec<String> = text.lines().take(8).map(str::to_owned).collect();
    plan_text(folder, registry, SMALL, &sets);
}

/// A whole experiment that takes no time.
const SMALL: &str = "data: {bars: {size: 3, num_examples: 8}}\nmodel: {vae: {hidden: [4], latent_dim: 2, beta: 1.0, likelihood: bernoulli}}\n\
                     train: {epochs: 1, batch_size: 4, optimizer: {adam: {learning_rate: 0.001}}}\n\
                     sweep: {product: [{model.vae.beta: [0.5, 2]}, {repeat: 2}]}\n";

fn plan_text(folder: &Path, registry: &Registry, text: &str, sets: &[String]) {
    let source = SpecSource {
        file: "fuzzed.yaml".to_owned(),
        text: text.to_owned(),
        base_dir: folder.to_owned(),
        extended: Some(("extended.yaml".to_owned(), SMALL.to_owned())),
        sets: sets.to_vec(),
    };
    let context = LoadContext { base_dir: folder.to_owned(), cache_dir: folder.join("cache"), offline: true };
    match ExperimentSpec::parse(source) {
        Err(diagnostic) => assert!(!diagnostic.to_string().is_empty()),
        // Every trial costs the same: what is wrong shows in the first ones.
        Ok(spec) if spec.sweep.as_ref().is_none_or(|sweep| sweep.count().is_ok_and(|count| count <= 64)) => {
            match plan(&spec, registry, &context) {
                Ok(plan) => drop((plan.columns(), plan.labels())),
                Err(diagnostic) => assert!(!diagnostic.to_string().is_empty()),
            }
        }
        Ok(_) => {}
    }
}

/// A file of a run directory. The first byte chooses which.
fn run_directory(folder: &Path, registry: &Registry, bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let root = folder.join("run");
    let trial = root.join("trials/00");
    if fs::create_dir_all(&trial).is_err() {
        return;
    }
    let write = |path: &Path| drop(fs::write(path, bytes));
    let (run, dir) = (RunDir::at(&root), TrialDir::at(&trial));
    match kind % 5 {
        0 => {
            write(&dir.result_path());
            let _ = dir.result();
            let _ = dir.state();
        }
        1 => {
            write(&trial.join("config.yaml"));
            let _ = dir.config().map(|stored| ResolvedTrial::parse(&stored, registry).map(|_| ()));
        }
        2 => {
            write(&run.plan_path());
            let _ = fs::remove_file(dir.result_path());
            if let Ok(collected) = collect(&[run]) {
                let _ = collected.comparison(&ComparisonRequest::default());
            }
        }
        3 => {
            write(&dir.progress_path());
            let _ = dir.progress();
        }
        _ => {
            write(&dir.lock_path());
            let _ = lock::holder(&dir.lock_path());
            let _ = lock::TrialLock::attempt(&dir.lock_path());
        }
    }
}

/// `metrics.jsonl`, read for its curves and resumed. The first two bytes are the position.
fn metrics_log(folder: &Path, bytes: &[u8]) {
    let (head, content) = bytes.split_at(bytes.len().min(2));
    let position = head.iter().fold(0u64, |sum, byte| sum * 256 + u64::from(*byte));
    let path = folder.join("metrics.jsonl");
    if fs::write(&path, content).is_err() {
        return;
    }
    for split in ["train", "valid"] {
        let _ = crate::summary::read_loss(&path, split);
    }
    if let Ok(mut log) = MetricsLog::open(&path) {
        let _ = log.rewind(&json!({"bytes": position}));
        let _ = log.position();
    }
}

/// The parts of a checkpoint whose checksums match: `model`, and after the first four bytes, which are its length, `optimizer`.
fn record(_folder: &Path, registry: &Registry, bytes: &[u8]) {
    let Some((length, bytes)) = bytes.split_first_chunk::<4>() else { return };
    let length = (u32::from_le_bytes(*length) as usize).min(bytes.len());
    let Ok(device) = resolve_device("flex").map(burn::tensor::Device::autodiff) else { return };
    let data = DataSpec::new([4], Domain::UnitInterval);
    let section: Value = json!({"vae": {"hidden": [3], "latent_dim": 2, "beta": 1.0, "likelihood": "bernoulli"}});
    let Some(model) = section.get("vae").and_then(|options| registry.find("vae").map(|entry| (entry.parse)(options.clone()))) else {
        return;
    };
    let Ok(model) = model else { return };
    let train: Value = json!({"adam": {"learning_rate": 0.001}});
    let Ok(optimizer) = serde_json::from_value::<aelab_train::OptimizerConfig>(train) else { return };
    let optimizer = || optimizer.build(None);
    let mut trainee = model.trainee(&BuildContext { data: &data, seed: 0, device: &device, optimizer: &optimizer });
    let parts = BTreeMap::from([("model".to_owned(), bytes[..length].to_vec()), ("optimizer".to_owned(), bytes[length..].to_vec())]);
    let _ = aelab_train::restore(trainee.as_mut(), TraineeState { stage: 0, parts });
}
