//! Bit-exact resume, proved by force: runners and workers are killed at random moments, and what comes of the sweep in the end is
//! compared byte for byte with an undisturbed one.
//!
//! `AELAB_KILLS` says how many kills there are (12 without it), `AELAB_KILL_SEED` which.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{Bench, outcome, rows};

/// Every kind of training: layers pretrained as machines and as autoencoders, two optimizers, schedules, batch norm with its statistics,
/// a recurrent net on series of unequal length, early stopping; momentum and adaptive rates.
const SWEEP: &str = "
name: kills
data: {digits: {}}
model: {undercomplete: {hidden: [], code_size: 2}}
train: {epochs: 8, batch_size: 64, optimizer: {adam: {learning_rate: 1e-3}}, seed: 1, checkpoint_every: 7, log_every: 3}
evaluate: [reconstruction, objective, pca_baseline]
sweep:
  chain:
    - product:
        - model:
            - deep: {hidden: [32, 16], code_size: 4, pretraining: {epochs: 2}}
            - stacked: {hidden: [24], code_size: 4, layer: {denoising: {corruption: {masking: {rate: 0.2}}}}, pretraining: {epochs: 2, learning_rate: 0.1}}
            - vae: {hidden: [32], latent_dim: 4, likelihood: bernoulli, beta: {linear: {from: 0.0, to: 1.0}}}
            - adversarial: {hidden: [32], latent_dim: 4, lambda: 1.0, discriminator: {hidden: [16]}}
            - convolutional: {channels: [4, 8], batch_norm: true, code_size: 4}
    - product:
        - train.optimizer:
            - sgd: {learning_rate: {cosine: {from: 0.005, to: 0.0001}}, momentum: 0.9}
            - rmsprop: {learning_rate: 0.001, centered: true}
        - train.early_stopping: [{patience: 1}]
    - product:
        - data: [{sines: {num_examples: 300, length: 20, min_length: 8}}]
        - model: [{lstm: {hidden: [8], code_size: 3}}]
        - train.epochs: [2]
execution: {jobs: 2, max_restarts: 1000}
";

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a whole number, not `{text}`")))
}

fn start(bench: &Bench, runs: &str, fault: Option<&str>) -> Child {
    let mut command = bench.command(&["run", "experiment.yaml", "--runs", runs]);
    if let Some(fault) = fault {
        command.env("AELAB_FAULT", fault);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

/// Processes that a runner has started.
fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// SIGKILL: nothing in the process gets a chance. `false` where it was gone already.
fn kill(pid: u32) -> bool {
    Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs until the sweep is over, killing on the way; returns how many kills there were.
fn run_with_kills(bench: &Bench, runs: &str, random: &mut ChaCha8Rng, most: u64) -> u64 {
    let mut num_kills = 0;
    for round in 0.. {
        assert!(round < 10_000, "the sweep does not come to an end");
        let kind = random.random_range(0..10);
        // Some die at the worst moment of all: within a checkpoint, or as a result becomes visible; or before training and after it.
        let mark = bench.path(&format!("{runs}-{round}.mark"));
        let moment = ["create:last", "sync:last", "rename:last", "rename:best", "sync:result", "rename:result", "load:", "measure:"]
            [random.random_range(0..8)];
        let fault = (kind < 3 && num_kills < most).then(|| format!("{moment}:kill:{}", mark.display()));
        let mut struck = false;
        let mut runner = start(bench, runs, fault.as_deref());
        loop {
            let milliseconds = random.random_range(20..1500);
            let mut ended = None;
            for _ in 0..milliseconds / 10 {
                std::thread::sleep(Duration::from_millis(10));
                ended = runner.try_wait().expect("the runner can be asked");
                if ended.is_some() {
                    break;
                }
            }
            if mark.exists() && !struck {
                struck = true;
                num_kills += 1;
            }
            if let Some(status) = ended {
                assert_eq!(status.code(), Some(0), "the sweep ends well");
                return num_kills;
            }
            if num_kills >= most {
                continue;
            }
            let workers = children(runner.id());
            if kind < 7 && !workers.is_empty() {
                num_kills += u64::from(kill(workers[random.random_range(0..workers.len())]));
            } else {
                num_kills += u64::from(kill(runner.id()));
                runner.wait().expect("the runner is dead");
                break;
            }
        }
    }
    num_kills
}

#[test]
fn whoever_is_killed_whenever_the_sweep_ends_with_the_bits_of_an_undisturbed_one() {
    let bench = Bench::new(SWEEP);
    bench.run_experiment("whole", 0);
    let whole = bench.trials("whole/kills");
    assert_eq!(whole.len(), 8);
    let expected: Vec<_> = whole.iter().map(|trial| outcome(trial)).collect();
    let (mut num_left, seed) = (number("AELAB_KILLS", 12), number("AELAB_KILL_SEED", 1));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for attempt in 0.. {
        let runs = format!("broken{attempt}");
        let num_kills = run_with_kills(&bench, &runs, &mut random, num_left);
        let broken: Vec<PathBuf> = bench.trials(&format!("{runs}/kills"));
        assert_eq!(broken.len(), whole.len());
        for ((whole, broken), expected) in whole.iter().zip(&broken).zip(&expected) {
            assert_eq!(whole.file_name(), broken.file_name());
            assert!(outcome(broken) == *expected, "seed {seed}, sweep {attempt}: {} differs", broken.display());
            let left: Vec<_> =
                fs::read_dir(broken.join("checkpoints")).expect("checkpoints").flatten().map(|entry| entry.file_name()).collect();
            assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
        }
        for table in ["summary.csv", "trials.csv"] {
            assert_eq!(rows(&bench.path("whole/kills").join(table)), rows(&bench.path(&format!("{runs}/kills")).join(table)));
        }
        num_left = num_left.saturating_sub(num_kills);
        println!("sweep {attempt}: {num_kills} kills, {num_left} left");
        if num_left == 0 {
            break;
        }
    }
}
