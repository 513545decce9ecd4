//! A trial takes no more memory the longer it trains.
//!
//! Its worker counts what it allocates. Batches and models are large enough, and there is nothing to evaluate, so that most is taken
//! in a step of training: what is kept from one step to the next shows in full.

use std::fs;

use crate::support::Bench;

/// Half of one batch kept once, or a kilobyte and a half kept in each of 45 epochs.
const ALLOWED: usize = 64 << 10;

/// Models whose steps carry different things from one to the next: nothing, an average, noise, the state of several stages.
const MODELS: [(&str, &str); 4] = [
    ("undercomplete", "{undercomplete: {hidden: [256], code_size: 8}}"),
    (
        "sparse",
        "{sparse: {hidden: [], code_size: 256, code_activation: sigmoid, penalty: {kl: {rho: 0.05, beta: 1.0, average: {moving: {decay: 0.9}}}}}}",
    ),
    ("vae", "{vae: {hidden: [256], latent_dim: 4, likelihood: bernoulli}}"),
    ("stacked", "{stacked: {hidden: [256], code_size: 8, layer: {undercomplete: {}}, pretraining: {epochs: 5}}}"),
];

/// The most memory that a worker has had when it has trained a model for so many epochs.
fn most_after(model: &str, epochs: usize) -> usize {
    let bench = Bench::new(&format!(
        "name: memory\ndata: {{digits: {{}}}}\nmodel: {model}\ntrain: {{epochs: {epochs}, batch_size: 512, \
         optimizer: {{adam: {{learning_rate: 1.0e-3}}}}, seed: 1, log_every: 1}}\nevaluate: []\n"
    ));
    let output = bench.command(&["run", "experiment.yaml", "--runs", "runs"]).env("AELAB_MEMORY", bench.path("")).output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(bench.path("worker.bytes")).expect("the worker tells what it took");
    text.parse().expect("a number of bytes")
}

#[test]
fn fifty_epochs_take_no_more_memory_than_five() {
    // Decoded data stays behind for those that come later.
    most_after(MODELS[0].1, 5);
    for (name, model) in MODELS {
        let (few, many) = (most_after(model, 5), most_after(model, 50));
        assert!(many <= few + ALLOWED, "{name}: {many} bytes after 50 epochs, {few} after 5");
    }
}
