//! Times fetching, loading and gathering:
//! `cargo run --release -p aelab-data --example measure -- [fetch SOURCE] NAME...`, where a name may be followed by options:
//! `'ucr:{"name": "ECG5000"}'`.

#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::time::Instant;

use aelab_core::{Examples, Purpose, stream};
use aelab_data::{DataSplit, LoadContext, Source, fetch, find};
use serde_json::json;

fn main() {
    let context = LoadContext::new("");
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let source: Option<Source> = (words.first().is_some_and(|word| word == "fetch"))
        .then(|| words.drain(..2).next_back().expect("a source").parse().expect("a source"));
    for name in &words {
        if let Some(source) = source {
            let start = Instant::now();
            let outcome = fetch(name, source, &context, &mut |event| println!("{:7.2} s  {event:?}", start.elapsed().as_secs_f64()));
            println!("{:7.2} s  {outcome:?}", start.elapsed().as_secs_f64());
            continue;
        }
        let (name, own) = name.split_once(':').unwrap_or((name, "{}"));
        let own: serde_json::Value = serde_json::from_str(own).expect("options as JSON");
        for mut section in [
            json!({}),
            json!({"num_valid": 0}),
            json!({"scale": "standardize"}),
            json!({"binarize": "static"}),
            json!({"binarize": "dynamic"}),
        ] {
            section.as_object_mut().expect("a map").extend(own.as_object().expect("options are a map").clone());
            let config = (find(name).expect("a data set").parse)(section.clone()).expect("a section");
            if config.check().is_err() {
                continue;
            }
            let start = Instant::now();
            let Ok(dataset) = config.load(&context).map_err(|error| println!("{name} {section}: {error}")) else { continue };
            let loaded = start.elapsed();
            println!(
                "{name} {section}: load {:.1} ms; shuffled {}; in order {}",
                loaded.as_secs_f64() * 1e3,
                gather(&dataset.train, true),
                gather(&dataset.train, false)
            );
        }
    }
}

/// Microseconds and rates of a batch of 128, best of some passes.
fn gather(split: &DataSplit, shuffled: bool) -> String {
    let step = if shuffled { 7919 } else { 1 };
    let indices: Vec<usize> = (0..split.len()).map(|at| at * step % split.len()).collect();
    let mut stream = stream(0, Purpose::Training, 0, 0);
    let mut out = Vec::new();
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            for batch in indices.chunks_exact(128) {
                out.clear();
                split.gather(batch, &mut stream, &mut out);
            }
            start.elapsed().as_secs_f64() / (indices.len() / 128) as f64
        })
        .fold(f64::INFINITY, f64::min);
    format!(
        "{:.1} us = {:.2} M examples/s = {:.1} GB/s",
        best * 1e6,
        128e-6 / best,
        (128 * split.spec().num_features() * 4) as f64 / best / 1e9
    )
}
