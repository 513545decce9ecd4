//! A trial takes no more memory the longer it trains.
//!
//! A test program of its own, because it counts the memory of the whole process. Without PCA, whose short-lived threads have work
//! space of 64 MiB each, of which two may be there at a time.

use std::alloc::System;
use std::path::Path;
use std::time::Duration;

use aelab_cli::builtin;
use aelab_data::LoadContext;
use aelab_experiment::{ExperimentSpec, Plan, RunDir, WorkerOptions, plan, run_worker};
use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Less than what one batch kept in each of 45 epochs would take, more than what threads that come and go differ by.
const ALLOWED: usize = 256 << 10;

/// Models whose steps carry different things from one to the next: nothing, an average, noise, the state of several stages.
const MODELS: [(&str, &str); 4] = [
    ("undercomplete", "{undercomplete: {hidden: [32], code_size: 8}}"),
    (
        "sparse",
        "{sparse: {hidden: [], code_size: 32, code_activation: sigmoid, penalty: {kl: {rho: 0.05, beta: 1.0, average: {moving: {decay: 0.9}}}}}}",
    ),
    ("vae", "{vae: {hidden: [32], latent_dim: 4, likelihood: bernoulli}}"),
    ("stacked", "{stacked: {hidden: [32], code_size: 8, layer: {undercomplete: {}}, pretraining: {epochs: 5}}}"),
];

/// The most memory that the process has had when a worker has trained a model for so many epochs, its data already decoded.
fn most_after(folder: &Path, name: &str, model: &str, epochs: usize) -> usize {
    let registry = builtin();
    let text = format!(
        "name: {name}_{epochs}\ndata: {{digits: {{}}}}\nmodel: {model}\ntrain: {{epochs: {epochs}, batch_size: 64, \
         optimizer: {{adam: {{learning_rate: 1.0e-3}}}}, seed: 1, log_every: 1}}\nevaluate: [{{reconstruction: {{pca: false}}}}]\n"
    );
    let file = folder.join(format!("{name}_{epochs}.yaml"));
    std::fs::write(&file, text).expect("a temporary file");
    let spec = ExperimentSpec::from_file(&file, &[]).expect("an experiment");
    let plan: Plan = plan(&spec, &registry, &LoadContext::new("")).expect("a plan");
    let prepared = RunDir::prepare(folder.join(&spec.name), &plan).expect("a run directory");
    let options =
        WorkerOptions { checkpoint_every: Duration::from_secs(600), grace: Duration::from_secs(10), detached: true, until_epoch: None };
    let hash = &plan.trials[0].hash;
    assert_eq!(run_worker(prepared.run_dir.root(), hash, &registry, &options).expect("a worker"), 0);
    let result = prepared.run_dir.trial(hash).result().expect("a readable result").expect("a result");
    assert!(result.state.is_over() && result.error.is_none(), "{:?}", result.error);
    ALLOCATOR.max_allocated()
}

#[test]
fn fifty_epochs_take_no_more_memory_than_five() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, model) in MODELS {
        // What is made once and kept: threads, typefaces, tables.
        most_after(folder.path(), &format!("{name}_first"), model, 5);
        // The counter never falls: room that nobody uses lifts what this model takes above whatever came before.
        let room: Vec<u8> = Vec::with_capacity(ALLOCATOR.max_allocated() - ALLOCATOR.allocated());
        let few = most_after(folder.path(), name, model, 5);
        let many = most_after(folder.path(), name, model, 50);
        assert!(many <= few + ALLOWED, "{name}: {} bytes more after 50 epochs than after 5", many - few);
        drop(room);
    }
}
