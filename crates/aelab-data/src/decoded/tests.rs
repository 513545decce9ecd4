//! Mapped data is the decoded data, bit for bit, and nothing that happens to the files changes it.

use std::fs;
use std::path::Path;

use aelab_core::{Examples, Purpose, stream};
use serde_json::{Value, json};

use super::*;
use crate::DataSplit;
use crate::formats::array::Element;
use crate::formats::{idx, npy, zip};

/// Everything that a split shows, floats as their bits.
#[derive(Debug, PartialEq)]
struct Seen {
    values: Vec<u32>,
    mask: Option<Vec<u32>>,
    held_out: Option<(Vec<u32>, Vec<u32>)>,
    lengths: Option<Vec<u32>>,
    labels: Option<Vec<u32>>,
    factors: Option<aelab_core::Factors>,
    point_labels: Option<Vec<u32>>,
    feature_names: Option<Vec<String>>,
    class_names: Option<Vec<String>>,
    dictionary: Option<Vec<u32>>,
    spec: aelab_core::DataSpec,
}

fn seen(split: &DataSplit) -> Seen {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
    let all: Vec<usize> = (0..split.len()).collect();
    let (mut values, mut mask, mut points, mut held_out, mut held_mask) = (vec![], vec![], vec![], vec![], vec![]);
    split.gather(&all, &mut stream(3, Purpose::Training, 1, 1), &mut values);
    let (has_mask, has_points) = (split.gather_mask(&all, &mut mask), split.gather_point_labels(&all, &mut points));
    let has_held_out = split.gather_held_out(&all, &mut held_out, &mut held_mask);
    Seen {
        values: bits(values),
        mask: has_mask.then(|| bits(mask)),
        held_out: has_held_out.then(|| (bits(held_out), bits(held_mask))),
        lengths: split.lengths().map(<[u32]>::to_vec),
        labels: split.labels().map(<[u32]>::to_vec),
        factors: split.factors().cloned(),
        point_labels: has_points.then(|| bits(points)),
        feature_names: split.feature_names().map(<[String]>::to_vec),
        class_names: split.class_names().map(<[String]>::to_vec),
        dictionary: split.dictionary().map(|atoms| bits(atoms.to_vec())),
        spec: Examples::spec(split).clone(),
    }
}

fn all_seen(dataset: &Dataset) -> ([Seen; 3], String) {
    ([&dataset.train, &dataset.valid, &dataset.test].map(seen), dataset.checksum.clone())
}

/// A folder with files of the user, and contexts with and without a place for decoded data.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn context(&self) -> LoadContext {
        LoadContext { base_dir: self.folder.path().to_owned(), cache_dir: self.path("cache"), offline: true }
    }

    /// A cache whose place for decoded data is taken by a file.
    fn without(&self) -> LoadContext {
        let cache_dir = self.path("other");
        fs::create_dir_all(&cache_dir).unwrap();
        fs::write(cache_dir.join("decoded"), "in the way").unwrap();
        LoadContext { cache_dir, ..self.context() }
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.path("cache/decoded")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn load(&self, name: &str, section: &Value) -> Dataset {
        load(name, section, &self.context()).unwrap()
    }
}

fn load(name: &str, section: &Value, context: &LoadContext) -> Result<Dataset, DataError> {
    (crate::find(name).unwrap().parse)(section.clone()).unwrap().load(context)
}

/// Bytes that look like nothing in particular.
fn noise(count: usize) -> Vec<u8> {
    (0..count as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 23) as u8).collect()
}

/// Files large enough to be kept, one of each kind.
fn write_files(place: &Place) {
    let pixels = noise(1000 * 500);
    fs::write(place.path("images"), idx::write(&[1000, 20, 25], Element::U8, &pixels)).unwrap();
    fs::write(place.path("labels"), idx::write(&[1000], Element::U8, &noise(1000).iter().map(|byte| byte % 3).collect::<Vec<_>>()))
        .unwrap();
    let floats: Vec<u8> = noise(300 * 300).iter().flat_map(|&byte| (f32::from(byte) * 0.37 - 11.0).to_le_bytes()).collect();
    let array = npy::write("<f4", false, &[300, 300], &floats);
    fs::write(place.path("a.npy"), &array).unwrap();
    fs::write(place.path("a.npz"), zip::write(&[("x.npy", &array)], false)).unwrap();
    let mut table = "one,two,three,kind\n".to_owned();
    for row in 0..9000 {
        table.push_str(&format!("{}.{row},{},1e-{},k{}\n", row % 17, f64::from(row) / 7.0, row % 9, row % 4));
    }
    fs::write(place.path("a.csv"), table).unwrap();
    fs::create_dir_all(place.path("photos/cat")).unwrap();
    fs::create_dir_all(place.path("photos/dog")).unwrap();
    for (at, name) in ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png", "dog/5.png"].into_iter().enumerate() {
        let image = image::GrayImage::from_fn(6, 5, |x, y| image::Luma([(x * 31 + y * 7 + at as u32 * 13) as u8]));
        image.save(place.path("photos").join(name)).unwrap();
    }
}

#[test]
fn whatever_is_kept_is_the_same_bit_for_bit_decoded_written_and_mapped() {
    let place = Place::new();
    write_files(&place);
    for (name, section, num_files) in [
        ("idx", json!({"images": "images", "labels": "labels"}), 1),
        ("idx", json!({"images": "images", "labels": "labels", "normal_classes": [1], "contamination": 0.1, "scale": "unit_interval"}), 0),
        ("idx", json!({"images": "images", "labels": "labels", "binarize": "static"}), 1),
        ("idx", json!({"images": "images", "labels": "labels", "binarize": "static", "num_valid": 77}), 0),
        ("idx", json!({"images": "images", "labels": "labels", "binarize": "static", "split_seed": 4}), 1),
        ("idx", json!({"images": "images", "labels": "labels", "binarize": "static", "scale": "unit_interval"}), 1),
        ("idx", json!({"images": "images", "labels": "labels", "binarize": "dynamic"}), 0),
        ("npy", json!({"path": "a.npy", "scale": "standardize"}), 1),
        ("npy", json!({"path": "a.npy", "num_valid": 10, "num_test": 10}), 0),
        ("npz", json!({"path": "a.npz", "array": "x", "event_shape": [3, 10, 10]}), 1),
        ("csv", json!({"path": "a.csv", "label": "kind"}), 1),
        ("csv", json!({"path": "a.csv", "label": 3, "split_seed": 1}), 1),
        ("images", json!({"path": "photos", "size": [4, 4], "num_valid": 1, "num_test": 1}), 1),
        ("bars", json!({"size": 8, "num_examples": 5000, "data_seed": 1}), 1),
        ("sines", json!({"num_examples": 3000, "length": 100, "min_length": 20, "noise": 0.1}), 1),
        ("mixture", json!({"num_examples": 140_000}), 1),
        ("dictionary", json!({"num_examples": 9000}), 1),
        ("swiss_roll", json!({"num_examples": 90_000}), 1),
        ("spheres", json!({}), 1),
        ("synthetic_ecg", json!({"num_examples": 2000}), 1),
        ("sprites", json!({"num_examples": 300}), 1),
    ] {
        let plain = load(name, &section, &place.without()).unwrap();
        assert!(!plain.train.is_mapped(), "{name}");
        let before = place.files().len();
        let first = place.load(name, &section);
        assert_eq!(place.files().len() - before, num_files, "{name} {section}: {:?}", place.files());
        let second = place.load(name, &section);
        assert_eq!(place.files().len() - before, num_files, "{name} {section}");
        assert!(first.train.is_mapped() && second.train.is_mapped(), "{name} {section}");
        assert_eq!(all_seen(&plain), all_seen(&first), "{name} {section}");
        assert_eq!(all_seen(&plain), all_seen(&second), "{name} {section}");
    }
}

#[test]
fn what_is_small_or_embedded_leaves_no_file() {
    let place = Place::new();
    fs::write(place.path("a.csv"), "1,2\n".repeat(100)).unwrap();
    for (name, section) in [
        ("csv", json!({"path": "a.csv", "header": false})),
        ("digits", json!({"binarize": "static"})),
        ("uci", json!({"name": "breast_cancer"})),
        ("mixture", json!({"num_examples": 1000})),
    ] {
        assert!(!place.load(name, &section).train.is_mapped());
        assert!(!place.path("cache").exists(), "{name}");
    }
}

#[test]
fn a_damaged_file_is_noticed_and_written_again() {
    let place = Place::new();
    write_files(&place);
    let section = json!({"images": "images", "labels": "labels"});
    let whole = all_seen(&place.load("idx", &section));
    let [path] = &place.files()[..] else { panic!("one file") };
    let good = fs::read(path).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&good[..good.len() - 1], &flipped, b"", b"not such a file"] {
        // By another name, as a mapping of before lives on.
        fs::write(place.path("damaged"), damaged).unwrap();
        fs::rename(place.path("damaged"), path).unwrap();
        let dataset = place.load("idx", &section);
        assert!(dataset.train.is_mapped());
        assert_eq!(all_seen(&dataset), whole);
        assert_eq!(fs::read(path).unwrap(), good);
    }
}

#[test]
fn changed_data_is_decoded_anew() {
    let place = Place::new();
    write_files(&place);
    let section = json!({"path": "a.csv", "label": "kind"});
    let before = all_seen(&place.load("csv", &section));
    let table = fs::read_to_string(place.path("a.csv")).unwrap();
    fs::write(place.path("a.csv"), table.replace("1e-8", "2e-8")).unwrap();
    let after = all_seen(&place.load("csv", &section));
    assert_ne!(before, after);
    assert_eq!(after, all_seen(&load("csv", &section, &place.without()).unwrap()));
    assert_eq!(place.files().len(), 2);
}

#[test]
fn data_that_changes_while_it_is_read_is_refused_and_not_kept() {
    let place = Place::new();
    write_files(&place);
    let config: crate::NpyConfig = serde_json::from_value(json!({"path": "a.npy"})).unwrap();
    let decode = || {
        fs::write(place.path("a.npy"), noise(1 << 19)).unwrap();
        Ok(RawDataset::new(
            crate::dataset::Part::new(Origin::file("x"), crate::dataset::Values::Floats(Numbers::owned(vec![0.0; 1 << 17])), None),
            [2],
            None,
        ))
    };
    let loaded = load_own(&config, &crate::options::plain(), &place.context(), &[Some(Path::new("a.npy"))], decode);
    let message = loaded.unwrap_err().to_string();
    assert!(message.ends_with("a.npy: was changed while it was read; run it again when the file is complete"), "{message}");
    assert!(place.files().is_empty(), "{:?}", place.files());
}

#[test]
fn fetched_files_are_checked_byte_by_byte_before_they_are_kept() {
    let place = Place::new();
    let set = RemoteSet {
        name: "mnist",
        files: &[RemoteFile {
            name: "big",
            num_bytes: 1 << 19,
            sha256: "0000000000000000000000000000000000000000000000000000000000000000",
        }],
        ..crate::fetch::MNIST.clone()
    };
    fs::create_dir_all(place.path("cache/mnist")).unwrap();
    fs::write(place.path("cache/mnist/big"), noise(1 << 19)).unwrap();
    let config: crate::MnistConfig = serde_json::from_value(json!({})).unwrap();
    let files: Vec<&RemoteFile> = set.files.iter().collect();
    let decode = || {
        let values = crate::dataset::Values::Floats(Numbers::owned(vec![0.0; 100]));
        Ok(RawDataset::new(crate::dataset::Part::new(Origin::file("x"), values, None), [1], None))
    };
    let message = load_fetched(&config, &crate::options::plain(), &place.context(), &set, &files, decode).unwrap_err().to_string();
    assert!(message.ends_with("run `aelab data fetch mnist` (big is damaged)"), "{message}");
    assert!(place.files().is_empty());
}

#[test]
fn many_that_come_at_once_decode_once() {
    let place = Place::new();
    let context = place.context();
    let folder = decoded_dir(&context).unwrap();
    let num_made = std::sync::atomic::AtomicUsize::new(0);
    let make = || {
        num_made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        // Longer than the others need to come to the lock.
        thread::sleep(Duration::from_millis(300));
        Ok(Numbers::owned(noise(1000)))
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let all = kept(
                        &folder,
                        "key",
                        |opened| opened.bytes("values"),
                        make,
                        |numbers| Some((Value::Null, vec![("values".to_owned(), Column::Bytes(numbers))])),
                    );
                    all.unwrap().to_vec()
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), noise(1000)));
    });
    assert_eq!(num_made.into_inner(), 1);
    assert_eq!(place.files().len(), 1, "no lock is left: {:?}", place.files());
}

#[test]
fn clearing_removes_decoded_data_and_nothing_else() {
    let place = Place::new();
    write_files(&place);
    let dataset = place.load("npy", &json!({"path": "a.npy"}));
    let before = all_seen(&dataset);
    let size = fs::metadata(&place.files()[0]).unwrap().len();
    fs::write(place.path("cache/decoded/notes.txt"), "mine").unwrap();
    // Of processes that were killed.
    fs::write(place.path("cache/decoded/.aelab-unfinished-x1"), "half").unwrap();
    fs::write(place.path("cache/decoded/key.aelab-lock"), "").unwrap();
    assert_eq!(clear_decoded(&place.context()).unwrap(), Cleared { num_files: 1, num_bytes: size });
    assert_eq!(place.files(), [place.path("cache/decoded/notes.txt")]);
    assert_eq!(all_seen(&dataset), before, "who has it open keeps it");
    assert_eq!(clear_decoded(&place.context()).unwrap(), Cleared::default());
    assert_eq!(clear_decoded(&Place::new().context()).unwrap(), Cleared::default());
}
