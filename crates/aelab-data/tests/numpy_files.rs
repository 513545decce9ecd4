//! Files that NumPy wrote (`files/make.py`) are read as NumPy means them.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use std::path::Path;

use aelab_core::{Domain, Examples, Purpose, stream};
use aelab_data::{Dataset, LoadContext, find};
use serde_json::{Value, json};

fn load(name: &str, mut section: Value) -> Dataset {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    section["num_valid"] = json!(0);
    section["num_test"] = json!(0);
    let config = (find(name).unwrap().parse)(section).unwrap();
    let context = LoadContext { base_dir: folder.clone(), cache_dir: folder, offline: true };
    let dataset = config.load(&context).unwrap();
    assert_eq!(dataset.spec(), &config.spec(&context).unwrap());
    dataset
}

fn values(dataset: &Dataset) -> Vec<f32> {
    let mut out = Vec::new();
    dataset.train.gather(&[0, 1, 2], &mut stream(0, Purpose::Training, 0, 0), &mut out);
    out
}

fn counted(of: impl Fn(f32) -> f32) -> Vec<f32> {
    (0..12).map(|at| of(at as f32)).collect()
}

#[test]
fn every_type_and_order_of_an_archive_is_read_stored_and_deflated() {
    for path in ["stored.npz", "deflated.npz"] {
        let array = |name: &str| load("npz", json!({"path": path, "array": name, "labels": "labels"}));
        let eighths = counted(|at| at / 8.0);
        assert_eq!(values(&array("bytes")), counted(|at| at / 255.0));
        assert_eq!(array("bytes").spec().event_shape, [2, 2]);
        assert_eq!(values(&array("bits")), counted(|at| if at % 3.0 == 0.0 { 1.0 } else { 0.0 }));
        assert_eq!(array("bits").spec().domain, Domain::Binary);
        for name in ["halves", "doubles_fortran", "floats_big_endian"] {
            assert_eq!(values(&array(name)), eighths, "{name}");
        }
        assert_eq!(values(&array("integers")), counted(|at| at - 6.0));
        assert_eq!(array("bytes").train.labels().unwrap(), [1, 0, 1]);
        assert_eq!(array("bytes").class_names.as_deref().unwrap(), ["-1", "7"]);
    }
}

#[test]
fn a_single_array_is_read() {
    let dataset = load("npy", json!({"path": "doubles_fortran.npy", "event_shape": [1, 2, 2]}));
    assert_eq!(values(&dataset), counted(|at| at / 8.0));
    assert_eq!((dataset.spec().image_shape(), dataset.spec().domain), (Some([1, 2, 2]), Domain::Real));
}
