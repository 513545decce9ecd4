//! What fuzzing and its replay run: bytes of a stranger through every reader of data. Not for programs.
//!
//! Each function takes a folder of its own to write into. Whatever the bytes, it returns: an error of the reader is as good as
//! success.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::fetch::fuzzing::unpack;
use crate::formats::payload::Payload;
use crate::formats::zip::Zip;
use crate::formats::{ar, idx, npy};
use crate::{DataError, Dataset, LoadContext, Origin, find, memory};

/// Lets files take so much memory. Once per process, before anything is read.
pub fn limit_memory(bytes: u64) {
    memory::set_limit(bytes);
}

/// An IDX file, plain or gzip.
pub fn idx(_folder: &Path, bytes: &[u8]) {
    let array = || idx::read(Payload::of_bytes(bytes, Origin::file("fuzzed.idx")));
    let _ = array().and_then(crate::formats::array::Array::into_examples);
    let _ = array().and_then(crate::formats::array::Array::into_labels);
}

/// An NPY file, plain or gzip.
pub fn npy(_folder: &Path, bytes: &[u8]) {
    let array = || npy::read(Payload::of_bytes(bytes, Origin::file("fuzzed.npy")));
    let _ = array().and_then(crate::formats::array::Array::into_examples);
    let _ = array().and_then(crate::formats::array::Array::into_labels);
}

/// An NPZ file, as a data set with labels and without.
pub fn npz(folder: &Path, bytes: &[u8]) {
    write(folder, "fuzzed.npz", bytes);
    load(folder, "npz", json!({"path": "fuzzed.npz", "array": "x"}));
    load(folder, "npz", json!({"path": "fuzzed.npz", "array": "x", "labels": "y", "event_shape": [1, 2, 2]}));
}

/// A table. The first byte chooses the options.
pub fn csv(folder: &Path, bytes: &[u8]) {
    let Some((options, bytes)) = bytes.split_first() else { return };
    let name = if options & 64 == 0 { "fuzzed.csv" } else { "fuzzed.tsv" };
    write(folder, name, bytes);
    let mut section = json!({"path": name});
    match options & 3 {
        1 => section["label"] = json!(0),
        2 => section["label"] = json!("label"),
        _ => {}
    }
    if options & 4 != 0 {
        section["header"] = json!(options & 8 != 0);
    }
    if options & 16 != 0 {
        section["delimiter"] = json!(";");
    }
    if options & 32 != 0 {
        section["event_shape"] = json!([1, 2]);
    }
    load(folder, "csv", section);
}

/// A picture, with its own size and with one that is asked for, grey and in colour.
pub fn image(folder: &Path, bytes: &[u8]) {
    let pictures = folder.join("pictures");
    if fs::create_dir_all(&pictures).is_ok() {
        write(&pictures, "fuzzed.png", bytes);
        load(folder, "images", json!({"path": "pictures"}));
        load(folder, "images", json!({"path": "pictures", "size": [3, 4], "color": "rgb"}));
    }
}

/// An archive: every member of a ZIP, or a package that is unpacked. The first byte chooses.
///
/// # Panics
/// When unpacking wrote anything but the one file that was asked for.
pub fn archive(folder: &Path, bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let outer = folder.join("outer");
    // What is left of the last time would hide what escapes this time.
    let _ = fs::remove_dir_all(&outer);
    let inner = outer.join("inner");
    if fs::create_dir_all(&inner).is_err() {
        return;
    }
    let path = outer.join("archive");
    write(&outer, "archive", bytes);
    match kind % 4 {
        0 => {
            if let Ok(mut zip) = Zip::open(&path) {
                let names: Vec<String> = zip.names().take(100).map(str::to_owned).collect();
                for name in names {
                    if let Ok(Some(payload)) = zip.member(&name, &name) {
                        let _ = std::io::copy(&mut payload.into_reader(), &mut std::io::sink());
                    }
                }
            }
        }
        1 => {
            let _ = ar::member(bytes, |name| name.starts_with("data.tar")).map(|(name, mut data)| {
                let _ = std::io::copy(&mut data, &mut std::io::sink());
                name
            });
        }
        2 => unpack(&path, &inner, false),
        _ => unpack(&path, &inner, true),
    }
    let names = |folder: &Path| -> Vec<_> { fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect() };
    let mut around = names(&outer);
    around.sort();
    assert_eq!(around, ["archive", "inner"], "a member escaped its folder");
    assert!(names(&inner).iter().all(|name| name == "hello"), "a member that was not asked for was written: {:?}", names(&inner));
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    // Without the file, the reader has nothing to read, and says so.
    let _ = fs::write(folder.join(name), bytes);
}

fn load(folder: &Path, name: &str, section: Value) {
    let context = LoadContext { base_dir: folder.to_owned(), cache_dir: folder.join("cache"), offline: true };
    let Some(entry) = find(name) else { return };
    let Ok(config) = (entry.parse)(section) else { return };
    let _ = config.spec(&context);
    let loaded: Result<Dataset, DataError> = config.load(&context);
    if let Ok(dataset) = loaded {
        let mut values = Vec::new();
        aelab_core::Examples::gather(&dataset.train, &[0], &mut aelab_core::stream(0, aelab_core::Purpose::Training, 0, 0), &mut values);
    }
}
