//! PCA and the mean on MNIST and Fashion-MNIST against values computed exactly with NumPy: pixels / 255, fitted
//! on the 60,000 training images, centred, not clipped, mean over the 10,000 test images.
//!
//! The images are looked for where `aelab data fetch` puts them. Where they are missing there is nothing to
//! check, unless `AELAB_REQUIRE_DATA=1`.

use std::fs;
use std::path::{Path, PathBuf};

use aelab_core::{Domain, Examples, Purpose, stream};
use aelab_eval::{Pca, sse};

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

#[test]
fn pca_of_mnist_has_the_published_errors() {
    check("mnist", MNIST, 205.80604987909518);
}

#[test]
fn pca_of_fashion_mnist_has_the_exact_errors() {
    check("fashion_mnist", FASHION_MNIST, 385.0176139010931);
}
