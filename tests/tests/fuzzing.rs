//! Replays the corpus of the fuzz targets and mutations of it, without a fuzzer: nothing panics, and memory is bounded.
//!
//! A test program of its own, because it counts the memory of the whole process. `AELAB_FUZZ_CASES=100000 cargo test --release
//! --test fuzzing` looks further than a build does.

use std::alloc::System;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use aelab_cli::builtin;
use aelab_experiment::fuzzing::{TARGETS, Target, limit_memory};
use cap::Cap;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// Fails an allocation that takes the process above this, as a machine would, whatever a header has claimed.
const MEMORY: usize = 2 << 30;

/// What one file may take by the rules of the readers, which see this machine as a small one.
const FILE: u64 = 16 << 20;

/// What reading any one of the inputs may take: that, as bytes and as the numbers and labels made of them, and what decompressors and
/// the models need.
const ALLOWED: usize = 400 << 20;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MEMORY);

/// One input at a time, so that what is counted is its own.
static ALONE: Mutex<()> = Mutex::new(());

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut entries: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.clone(), fs::read(path).expect("a file of the corpus")))
        .collect();
    entries.sort();
    assert!(!entries.is_empty(), "{} is empty", folder.display());
    entries
}

/// A target with what it needs. Made once per test.
struct Run {
    folder: tempfile::TempDir,
    registry: aelab_core::Registry,
    target: Target,
    held: usize,
}

impl Run {
    fn new(target: Target) -> Self {
        limit_memory(FILE);
        let run = Self { folder: tempfile::tempdir().expect("a temporary folder"), registry: builtin(), target, held: 0 };
        // What is made once and kept: tables of decoders, the threads of the backend.
        let _ = run.on(b"");
        Self { held: ALLOCATOR.allocated(), ..run }
    }

    /// The most memory that the process has had so far, beyond what it holds anyway.
    fn on(&self, bytes: &[u8]) -> usize {
        (self.target)(self.folder.path(), &self.registry, bytes);
        ALLOCATOR.max_allocated().saturating_sub(self.held)
    }
}

fn replay(name: &str) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target");
    let run = Run::new(*target);
    let entries = corpus(name);
    for (path, bytes) in &entries {
        let taken = run.on(bytes);
        assert!(taken <= ALLOWED, "{} takes {taken} bytes", path.display());
    }
    let cases = std::env::var("AELAB_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let inputs: Vec<Vec<u8>> = entries.into_iter().map(|(_, bytes)| bytes).collect();
    let outcome = runner.run(&mutated(inputs), |bytes| {
        let taken = run.on(&bytes);
        prop_assert!(taken <= ALLOWED, "{taken} bytes are taken");
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// A change of an input.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    Repeat(Index, usize),
    /// A number where one may stand: large, at a border, or negative.
    Number(Index, u64, usize, bool),
    /// A word of a format.
    Word(Index, &'static [u8]),
    /// The end of another input.
    Splice(Index, Index, Index),
}

const WORDS: [&[u8]; 14] = [
    b"99999999999999999999",
    b"1e309",
    b"-1",
    b"NaN",
    b"null",
    b"[[[[[[[[",
    b"{",
    b"\"",
    b"&a [*a]",
    b"../../",
    b"\0",
    b"\n",
    b"\xff\xfe",
    b"!!x ",
];

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let numbers =
        prop::sample::select(vec![0, 1, 0x7f, 0xff, 0xffff, 1 << 31, u64::from(u32::MAX), 10u64.pow(12), i64::MAX as u64, u64::MAX]);
    let change = prop_oneof![
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, mask)| Change::Flip(at, mask)),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => (any::<Index>(), 1usize..40).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (any::<Index>(), 1usize..40).prop_map(|(at, length)| Change::Repeat(at, length)),
        3 => (any::<Index>(), numbers, prop::sample::select(vec![1usize, 2, 4, 8]), any::<bool>())
            .prop_map(|(at, number, size, big)| Change::Number(at, number, size, big)),
        2 => (any::<Index>(), prop::sample::select(WORDS.to_vec())).prop_map(|(at, word)| Change::Word(at, word)),
        1 => (any::<Index>(), any::<Index>(), any::<Index>()).prop_map(|(at, other, from)| Change::Splice(at, other, from)),
    ];
    prop::collection::vec(change, 1..5)
}

fn mutated(inputs: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), changes()).prop_map(move |(which, changes)| {
        let mut bytes = which.get(&inputs).clone();
        for change in changes {
            apply(&change, &mut bytes, &inputs);
        }
        bytes
    })
}

fn apply(change: &Change, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
    let place = |at: &Index| at.index(bytes.len() + 1);
    match change {
        Change::Flip(at, mask) => {
            let at = place(at);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= (*mask).max(1);
            }
        }
        Change::Cut(at) => bytes.truncate(place(at)),
        Change::Remove(at, length) => {
            let at = place(at);
            drop(bytes.drain(at..(at + length).min(bytes.len())));
        }
        Change::Repeat(at, length) => {
            let at = place(at);
            let part = bytes[at..(at + length).min(bytes.len())].repeat(20);
            drop(bytes.splice(at..at, part));
        }
        Change::Number(at, number, size, big) => {
            let at = place(at);
            let number = if *big { number.to_be_bytes()[8 - size..].to_vec() } else { number.to_le_bytes()[..*size].to_vec() };
            let end = (at + size).min(bytes.len());
            drop(bytes.splice(at..end, number));
        }
        Change::Word(at, word) => {
            let at = place(at);
            drop(bytes.splice(at..at, word.iter().copied()));
        }
        Change::Splice(at, other, from) => {
            let at = place(at);
            let other = other.get(inputs);
            bytes.truncate(at);
            bytes.extend(&other[from.index(other.len() + 1)..]);
        }
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed_and_can_be_fuzzed() {
            let replayed = [$(stringify!($name)),*];
            let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
            let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
            for (name, _) in TARGETS {
                assert!(replayed.contains(&name), "{name} is not replayed");
                assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is not in fuzz/Cargo.toml");
                let target = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
                assert!(target.contains(&format!("aelab_fuzz::run(\"{name}\", bytes)")), "{name} runs another target");
            }
        }
    };
}

replays! { archive checkpoint csv event_file experiment idx image metrics_log npy npz record run_directory settings }

#[test]
fn the_corpus_is_small_enough_to_keep() {
    let sizes = TARGETS.iter().flat_map(|(name, _)| corpus(name)).map(|(_, bytes)| bytes.len());
    assert!(sizes.sum::<usize>() < 300 << 10);
}
