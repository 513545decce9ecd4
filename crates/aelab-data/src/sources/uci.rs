//! `uci`: three small tables that everybody knows, inside the program.

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::{Part, RawDataset, Values};
use crate::options::dataset_config;
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

dataset_config! { own,
    /// A small table with labels, embedded; each column has its own unit, so that it wants a `scale`. It has no test split of
    /// its own.
    UciConfig {
        /// Which table.
        pub name: UciName,
    }
}

/// A table of the UCI repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UciName {
    /// 569 tumours, 30 measures of their cells, malignant or benign.
    BreastCancer,
    /// 178 wines, 13 chemical measures, three growers.
    Wine,
    /// 150 flowers, 4 lengths, three species.
    Iris,
}

impl UciName {
    /// The name, the file and its SHA-256.
    fn file(self) -> (&'static str, &'static str, &'static str) {
        match self {
            UciName::BreastCancer => (
                "breast_cancer",
                include_str!("../../data/breast_cancer.csv"),
                "fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed",
            ),
            UciName::Wine => {
                ("wine", include_str!("../../data/wine_data.csv"), "10e8a802908b34f86e5da8ce962f3c806694bc98450a18f61851af59f324bede")
            }
            UciName::Iris => {
                ("iris", include_str!("../../data/iris.csv"), "f13ffa8fdd56fd8e6c8d16d4081a3fbd3114bcd0aae4256c43205169cd9d1449")
            }
        }
    }

    /// Number of features and names of the classes, from the first line.
    fn header(self) -> (usize, Vec<String>) {
        let mut cells = self.file().1.lines().next().unwrap_or_default().split(',').skip(1);
        let num_features = cells.next().and_then(|cell| cell.parse().ok()).expect("the first line of an embedded file counts");
        (num_features, cells.map(str::to_owned).collect())
    }

    /// Values and classes.
    fn decode(self) -> (Vec<f32>, Vec<u32>) {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for line in self.file().1.lines().skip(1) {
            values.extend(line.split(',').map(|cell| cell.parse::<f32>().expect("the embedded file holds numbers")));
            labels.push(values.pop().expect("the last cell of an embedded line is the class") as u32);
        }
        (values, labels)
    }
}

impl DatasetSource for UciConfig {
    const NAME: &'static str = "uci";
    const SUMMARY: &'static str = "three small tables with labels: breast cancer, wine, iris; embedded in the program";
    const CITATION: &'static str = "UCI Machine Learning Repository, CC BY 4.0: Wolberg, Mangasarian, Street and Street 1995, https://doi.org/10.24432/C5DW2B (breast cancer); Aeberhard and Forina 1991, https://doi.org/10.24432/C5PC7J (wine); Fisher 1936, https://doi.org/10.24432/C56C76 (iris)";
    const EMBEDDED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        self.options().with_classes(self.name.header().1)?.check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        Ok(self.name.file().2.to_owned())
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        let (num_features, classes) = self.name.header();
        Ok(self.options().spec(vec![num_features], Domain::Real, Some(classes.len())))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let (num_features, classes) = self.name.header();
        let (values, labels) = self.name.decode();
        let part = Part::new(Origin::file(self.name.file().0), Values::Floats(Numbers::owned(values)), Some(labels));
        let raw = RawDataset::new(part, [num_features], Some(classes));
        Dataset::new(Self::NAME, DatasetSource::checksum(self, context)?, raw, &self.options())
    }
}

#[cfg(test)]
mod tests {
    use aelab_core::Examples;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_embedded_tables_are_the_published_ones() {
        let context = LoadContext { base_dir: "".into(), cache_dir: "".into(), offline: true };
        // scikit-learn: load_X().data.shape, np.bincount(.target), .data.mean()
        for (name, rows, features, counts, mean) in [
            (UciName::BreastCancer, 569, 30, vec![212, 357], 61.890_712),
            (UciName::Wine, 178, 13, vec![59, 71, 48], 69.133_663),
            (UciName::Iris, 150, 4, vec![50, 50, 50], 3.4645),
        ] {
            let (_, text, sha256) = name.file();
            assert_eq!(crate::checksum::hex(Sha256::new_with_prefix(text)), sha256);
            let (values, labels) = name.decode();
            assert_eq!((labels.len(), values.len()), (rows, rows * features));
            let found = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
            assert!((found - mean).abs() < 1e-4, "{found}");
            let mut classes = vec![0; counts.len()];
            labels.iter().for_each(|&label| classes[label as usize] += 1);
            assert_eq!(classes, counts);
            let config: UciConfig = serde_json::from_value(serde_json::json!({"name": name, "scale": "standardize"})).unwrap();
            let dataset = DatasetSource::load(&config, &context).unwrap();
            assert_eq!(dataset.spec(), &DatasetSource::spec(&config, &context).unwrap());
            assert_eq!(dataset.train.len() + dataset.valid.len() + dataset.test.len(), rows);
        }
        assert_eq!(UciName::Iris.header().1, ["setosa", "versicolor", "virginica"]);
    }
}
