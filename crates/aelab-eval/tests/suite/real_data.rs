//! PCA and the mean on MNIST and Fashion-MNIST against values computed exactly with NumPy: pixels / 255, fitted
//! on the 60,000 training images, centred, not clipped, mean over the 10,000 test images.
//!
//! The images are looked for where `aelab data fetch` puts them. Where they are missing there is nothing to
//! check, unless `AELAB_REQUIRE_DATA=1`.

use std::fs;
use std::path::{Path, PathBuf};

use aelab_core::{Domain, Examples, Purpose, stream};
use aelab_eval::{Pca, auroc, sse};

use crate::common::{Fixed, Setting, Table};

/// Code size, training SSE, test SSE.
type Row = (usize, f64, f64);

const MNIST: [Row; 5] = [(0, 52.725, 52.897), (2, 43.867, 43.645), (10, 26.987, 26.714), (30, 14.207, 13.866), (64, 7.279, 7.093)];
const FASHION_MNIST: [Row; 5] = [(0, 68.216, 67.927), (2, 36.295, 36.139), (10, 19.107, 19.092), (30, 12.228, 12.243), (64, 8.100, 8.129)];

fn data_folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("AELAB_DATA")
        .or_else(|| variable("XDG_DATA_HOME").map(|folder| folder.join("aelab")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".local/share/aelab")))
}

fn images(path: &Path) -> Table {
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes[..4], [0, 0, 8, 3], "{} is not a file of images", path.display());
    let values = bytes[16..].iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    Table::new(&[1, 28, 28], Domain::UnitInterval, values)
}

/// Training and test images, or `None` where they are missing and may be.
pub(crate) fn load(data: &str) -> Option<(Table, Table)> {
    let folder = data_folder().map(|folder| folder.join(data));
    let file = |name| folder.as_deref().map(|folder| folder.join(name)).filter(|path| path.is_file());
    let (train, test) = (file("train-images-idx3-ubyte"), file("t10k-images-idx3-ubyte"));
    assert!(
        (train.is_some() && test.is_some()) || std::env::var("AELAB_REQUIRE_DATA").as_deref() != Ok("1"),
        "AELAB_REQUIRE_DATA=1, but the images of {data} are not in {folder:?}: run `aelab data fetch {data}`"
    );
    Some((images(&train?), images(&test?)))
}

fn check(data: &str, rows: [Row; 5], mean_bce: f64) {
    let Some((train, test)) = load(data) else { return };
    assert_eq!((train.len(), test.len()), (60_000, 10_000));
    let pca = Pca::fit(&train, &stream(1, Purpose::Evaluation, 0, 0)).unwrap();
    for (code_size, train_sse, test_sse) in rows {
        let found: f64 = pca.eigenvalues()[code_size..].iter().sum();
        assert!((found - train_sse).abs() < 6e-4, "{data}, k = {code_size}: training SSE {found}, expected {train_sse}");
        let found = sse(&test.values, &pca.reconstruct(&test.values, code_size), 784);
        assert!((found - test_sse).abs() < 6e-4, "{data}, k = {code_size}: test SSE {found}, expected {test_sse}");
    }
    let values = Setting { batch_size: 500, ..Setting::new(Fixed::new(1.0, 30, 784), train, test) }.values("mean_baseline");
    assert!((values["mean_sse"] - rows[0].2).abs() < 6e-4);
    assert!((values["mean_bce"] - mean_bce).abs() < 1e-5, "{data}: BCE of the mean {}, expected {mean_bce}", values["mean_bce"]);
}

fn labels(data: &str, name: &str) -> Vec<u8> {
    let bytes = fs::read(data_folder().unwrap().join(data).join(name)).unwrap();
    assert_eq!(bytes[..4], [0, 0, 8, 1], "{name} of {data} is not a file of labels");
    bytes[8..].to_vec()
}

/// AUROC in percent of the squared error of PCA with 32 components: fitted to all training images of one class, which is normal, and
/// asked which of all 10,000 test images are of the others.
fn one_class_areas(data: &str) -> Option<Vec<f64>> {
    let (train, test) = load(data)?;
    let (train_labels, test_labels) = (labels(data, "train-labels-idx1-ubyte"), labels(data, "t10k-labels-idx1-ubyte"));
    let areas = (0..10).map(|class| {
        let of_class = train.values.chunks_exact(784).zip(&train_labels).filter(|(_, label)| **label == class);
        let normal = Table::new(&[1, 28, 28], Domain::UnitInterval, of_class.flat_map(|(image, _)| image.to_vec()).collect());
        let pca = Pca::fit(&normal, &stream(1, Purpose::Evaluation, 0, 0)).unwrap();
        let reconstruction = pca.reconstruct(&test.values, 32);
        let errors: Vec<f64> = test
            .values
            .chunks_exact(784)
            .zip(reconstruction.chunks_exact(784))
            .map(|(x, reconstruction)| sse(x, reconstruction, 784))
            .collect();
        let of = |normal: bool| -> Vec<f64> {
            errors.iter().zip(&test_labels).filter(|(_, label)| (**label == class) == normal).map(|(error, _)| *error).collect()
        };
        100.0 * auroc(&of(true), &of(false)).unwrap()
    });
    Some(areas.collect())
}

#[test]
fn pca_tells_one_class_of_mnist_from_the_others_as_numpy_computed() {
    let Some(areas) = one_class_areas("mnist") else { return };
    println!("MNIST, PCA-32, AUROC per class: {areas:.4?}, mean {:.4}", areas.iter().sum::<f64>() / 10.0);
    for (class, (found, expected)) in areas.iter().zip([99.25, 99.89, 92.42, 95.42, 94.34, 97.33, 98.47, 96.98, 84.86, 96.31]).enumerate() {
        assert!((found - expected).abs() < 0.02, "class {class}: AUROC {found}, expected {expected}");
    }
    // Published to one digit.
    assert!((areas.iter().sum::<f64>() / 10.0 - 95.5).abs() < 0.05);
}

#[test]
fn pca_tells_one_class_of_fashion_mnist_from_the_others_as_numpy_computed() {
    let Some(areas) = one_class_areas("fashion_mnist") else { return };
    let mean = areas.iter().sum::<f64>() / 10.0;
    println!("Fashion-MNIST, PCA-32, AUROC per class: {areas:.4?}, mean {mean:.4}");
    assert!((mean - 90.51).abs() < 0.02, "mean AUROC {mean}");
}

#[test]
fn pca_of_mnist_has_the_published_errors() {
    check("mnist", MNIST, 205.80604987909518);
}

#[test]
fn pca_of_fashion_mnist_has_the_exact_errors() {
    check("fashion_mnist", FASHION_MNIST, 385.0176139010931);
}
