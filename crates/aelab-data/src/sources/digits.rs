//! `digits`: 1,797 handwritten digits, 8 x 8, inside the program.

use std::io::Read;

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;
use flate2::read::GzDecoder;

use crate::dataset::{Part, RawDataset, Values};
use crate::options::dataset_config;
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

static FILE: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// SHA-256 of [`FILE`].
const CHECKSUM: &str = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22";

/// Grey values go from 0 to 16.
const HIGHEST: f32 = 16.0;

const EVENT_SHAPE: [usize; 3] = [1, 8, 8];

dataset_config! { own,
    /// 1,797 handwritten digits of 8 x 8 pixels, embedded; values are sixteenths in [0, 1]. It has no test split of its own.
    DigitsConfig {}
}

impl DatasetSource for DigitsConfig {
    const NAME: &'static str = "digits";
    const SUMMARY: &'static str = "1,797 handwritten digits, 8 x 8 grey, embedded in the program";
    const CITATION: &'static str =
        "Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI, https://doi.org/10.24432/C50P49, CC BY 4.0";
    const EMBEDDED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        self.options().with_classes(0..10)?.check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        Ok(CHECKSUM.to_owned())
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(EVENT_SHAPE.to_vec(), Domain::UnitInterval, Some(10)))
    }

    fn load(&self, _context: &LoadContext) -> Result<Dataset, DataError> {
        let (data, labels) = decode();
        let values = Values::Bytes { data: Numbers::owned(data), divisor: HIGHEST };
        let train = Part::new(Origin::file("digits"), values, Some(labels));
        let class_names = Some((0..10).map(|digit| digit.to_string()).collect());
        let raw = RawDataset::new(train, EVENT_SHAPE, class_names);
        Dataset::new(Self::NAME, CHECKSUM.to_owned(), raw, &self.options())
    }
}

/// Pixels and classes of the embedded file: 65 whole numbers a line.
fn decode() -> (Vec<u8>, Vec<u32>) {
    let mut text = String::new();
    GzDecoder::new(FILE).read_to_string(&mut text).expect("the embedded file is whole");
    let (mut data, mut labels) = (Vec::with_capacity(1797 * 64), Vec::with_capacity(1797));
    for line in text.lines() {
        data.extend(line.split(',').map(|cell| cell.parse::<u8>().expect("the embedded file holds whole numbers")));
        labels.push(u32::from(data.pop().expect("the last cell of an embedded line is the class")));
    }
    (data, labels)
}

#[cfg(test)]
mod tests {
    use aelab_core::Examples;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_embedded_file_is_the_published_one() {
        assert_eq!(crate::checksum::hex(Sha256::new_with_prefix(FILE)), CHECKSUM);
        let (data, labels) = decode();
        assert_eq!((data.len(), labels.len()), (1797 * 64, 1797));
        // scikit-learn: load_digits().data.sum(), .data.max(), np.bincount(.target)
        assert_eq!(data.iter().map(|&value| u64::from(value)).sum::<u64>(), 561_718);
        assert_eq!(data.iter().max(), Some(&16));
        let mut counts = [0; 10];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }

    #[test]
    fn a_tenth_each_is_held_out() {
        let config: DigitsConfig = serde_json::from_str("{}").unwrap();
        let context = LoadContext { base_dir: "".into(), cache_dir: "".into(), offline: true };
        let digits = DatasetSource::load(&config, &context).unwrap();
        assert_eq!((digits.train.len(), digits.valid.len(), digits.test.len()), (1437, 180, 180));
        assert_eq!(digits.spec(), &DatasetSource::spec(&config, &context).unwrap());
        assert_eq!(digits.spec().image_shape(), Some([1, 8, 8]));
    }
}
