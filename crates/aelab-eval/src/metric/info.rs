//! What is known of every metric: the one list that listings and docs are made from.

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// More is better.
    HigherIsBetter,
    /// Less is better.
    LowerIsBetter,
    /// Neither: a value that describes.
    Neutral,
}

impl Direction {
    /// As printed in a table.
    pub fn symbol(self) -> &'static str {
        match self {
            Direction::HigherIsBetter => "higher",
            Direction::LowerIsBetter => "lower",
            Direction::Neutral => "-",
        }
    }
}

/// Definition of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricInfo {
    /// Name in results; its tag is `eval/<name>`.
    pub name: &'static str,
    /// What exactly is computed, in one line.
    pub definition: &'static str,
    /// What it is measured in; empty for a plain number.
    pub unit: &'static str,
    /// Which way is better.
    pub direction: Direction,
    /// Raised whenever the definition changes in a way that changes values.
    pub version: u32,
}

const SQUARED_UNITS: &str = "squared units/example";
const NATS: &str = "nats/example";

const fn lower(name: &'static str, unit: &'static str, definition: &'static str) -> MetricInfo {
    MetricInfo { name, definition, unit, direction: Direction::LowerIsBetter, version: 1 }
}

const fn higher(name: &'static str, unit: &'static str, definition: &'static str) -> MetricInfo {
    MetricInfo { name, definition, unit, direction: Direction::HigherIsBetter, version: 1 }
}

/// Every metric, in the order in which tables show them. All are measured on the test split.
pub const METRICS: &[MetricInfo] = &[
    lower("sse", SQUARED_UNITS, "squared error of the reconstruction, summed over features, mean over examples"),
    lower("mse", "squared units", "`sse` divided by the number of features, of observed ones where some are missing"),
    lower("mae", "units", "absolute error of the reconstruction, mean over features and examples"),
    lower("bce", NATS, "binary cross-entropy of the reconstruction from logits, summed over features, mean over examples"),
    higher("psnr", "dB", "10 log10(1 / `mse`), for data in [0, 1]; absent where `mse` is 0"),
    higher("ssim", "", "structural similarity (Wang et al. 2004), mean over windows, channels and images, for images in [0, 1]"),
    lower("loss", "", "the training objective, its weights as at the end of training, mean over examples"),
    lower("nll", NATS, "the objective's negative log-likelihood of an example given its code"),
    lower("squared_error", SQUARED_UNITS, "the objective's squared error, as the model is trained (with its noise or corruption)"),
    MetricInfo {
        name: "kl",
        definition: "the objective's divergence of the posterior from the prior, unweighted",
        unit: NATS,
        direction: Direction::Neutral,
        version: 1,
    },
    higher("elbo", NATS, "evidence lower bound with one sample of the code: -(`nll` + `kl`), for objectives that have both"),
    higher(
        "log_likelihood",
        NATS,
        "importance weighted bound on the log-likelihood, from as many samples of the code as asked for (Burda et al. 2016, Eq. 8)",
    ),
    higher("log_likelihood_1", NATS, "the same from 1 sample, mean over all samples: the evidence lower bound"),
    higher("log_likelihood_5", NATS, "the same from 5 samples, mean over groups"),
    higher("log_likelihood_50", NATS, "the same from 50 samples, mean over groups"),
    MetricInfo {
        name: "effective_samples",
        definition: "how many samples of equal weight would say as much, (sum w)^2 / sum w^2, mean over examples",
        unit: "",
        direction: Direction::Neutral,
        version: 1,
    },
    lower("mean_sse", SQUARED_UNITS, "`sse` of the mean of the training split as the reconstruction of everything"),
    lower("mean_mse", "squared units", "`mean_sse` divided by the number of features"),
    lower("mean_bce", NATS, "`bce` of the training mean as probability, kept 1/(n + 2) away from 0 and 1 for n training examples"),
    higher("mean_psnr", "dB", "`psnr` of the training mean"),
    higher("mean_ssim", "", "`ssim` of the training mean"),
    lower(
        "pca_sse",
        SQUARED_UNITS,
        "`sse` of PCA, fitted on the training split, with as many components as the model's code has dimensions; not clipped",
    ),
    lower("pca_mse", "squared units", "`pca_sse` divided by the number of features"),
    higher("pca_psnr", "dB", "`psnr` of that PCA"),
    higher("pca_ssim", "", "`ssim` of that PCA"),
    lower(
        "held_out_rmse",
        "units",
        "root of the mean squared error of predictions of what was held out of test rows, over held-out values; predictions not clipped",
    ),
    lower("held_out_mae", "units", "mean absolute error of those predictions"),
    higher(
        "ndcg_100",
        "",
        "normalised discounted cumulative gain of the first 100 items by prediction, those shown left out, mean over rows that hold something out",
    ),
    higher(
        "recall_20",
        "",
        "share of a row's held-out items among the first 20 by prediction, of as many as there could be, mean over such rows",
    ),
    higher("recall_50", "", "the same of the first 50"),
];

/// What holds for a term of an objective that is not in [`METRICS`]: its model defines it.
const OTHER_TERM: MetricInfo = MetricInfo {
    name: "(other terms)",
    definition: "any further term of the training objective (unweighted) or number that is logged beside it (`l0`, `perplexity`), as its model defines it, mean over examples",
    unit: "per example",
    direction: Direction::Neutral,
    version: 1,
};

/// What is known of the metric called `name`; for a name that is not in [`METRICS`], what holds for any
/// term of an objective.
pub fn metric_info(name: &str) -> &'static MetricInfo {
    METRICS.iter().find(|metric| metric.name == name).unwrap_or(&OTHER_TERM)
}

/// All metrics as a Markdown table.
pub fn metrics_table() -> String {
    let mut table = String::from("| metric | unit | better | version | definition |\n|---|---|---|---|---|\n");
    for metric in METRICS.iter().chain([&OTHER_TERM]) {
        let MetricInfo { name, definition, unit, direction, version } = metric;
        table.push_str(&format!("| `{name}` | {unit} | {} | {version} | {definition} |\n", direction.symbol()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (position, metric) in METRICS.iter().enumerate() {
            assert_eq!(METRICS.iter().position(|other| other.name == metric.name), Some(position), "{}", metric.name);
            assert_eq!(metric_info(metric.name), metric);
        }
        assert_eq!(metric_info("total_correlation").unit, "per example");
    }

    #[test]
    fn the_docs_show_this_very_table() {
        let page = include_str!("../../../../docs/src/metrics.md");
        assert!(page.contains(&metrics_table()), "docs/src/metrics.md must contain this table:\n{}", metrics_table());
    }
}
