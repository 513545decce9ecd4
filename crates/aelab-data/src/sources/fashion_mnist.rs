//! `fashion_mnist`: 70,000 pictures of clothes in the layout of MNIST.

use aelab_core::{ConfigError, DataSpec, Domain};

use super::mnist::{EVENT_SHAPE, load};
use crate::fetch::FASHION_MNIST;
use crate::options::dataset_config;
use crate::{DataError, Dataset, DatasetSource, LoadContext};

const CLASSES: [&str; 10] = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

dataset_config! { official,
    /// 60,000 and 10,000 pictures of clothes of 28 x 28 grey pixels in [0, 1]; `aelab data fetch fashion_mnist` brings them.
    FashionMnistConfig
}

impl DatasetSource for FashionMnistConfig {
    const NAME: &'static str = "fashion_mnist";
    const SUMMARY: &'static str = "70,000 pictures of clothes, 28 x 28 grey";
    const CITATION: &'static str = "Xiao, Rasul and Vollgraf 2017, Fashion-MNIST, https://arxiv.org/abs/1708.07747, MIT";
    const FETCHED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        self.options().with_classes(CLASSES)?.check(true)
    }

    fn with_defaults(&self) -> Self {
        self.clone()
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        Ok(FASHION_MNIST.checksum())
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(EVENT_SHAPE.to_vec(), Domain::UnitInterval, Some(10)))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        load(self, &FASHION_MNIST, CLASSES.map(str::to_owned).to_vec(), context, &self.options())
    }
}
