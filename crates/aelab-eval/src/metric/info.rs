//! What is known of every metric: the one list that listings and docs are made from.

use crate::evaluation::{
    anomaly, cross_domain, denoising, dimension_reduction, disentanglement, fine_tune, generation, inpainting, jacobian, linear_probe,
    memorisation, recommendation, retrieval, sparsity,
};

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
    /// Whether tables for people show it; files have every metric.
    pub is_headline: bool,
}

/// Squared units per example.
pub(crate) const SQUARED_UNITS: &str = "squared units/example";
/// Nats per example.
pub(crate) const NATS: &str = "nats/example";

const fn info(name: &'static str, unit: &'static str, direction: Direction, definition: &'static str) -> MetricInfo {
    MetricInfo { name, definition, unit, direction, version: 1, is_headline: false }
}

/// A metric of which less is better, at version 1.
pub(crate) const fn lower(name: &'static str, unit: &'static str, definition: &'static str) -> MetricInfo {
    info(name, unit, Direction::LowerIsBetter, definition)
}

/// A metric of which more is better, at version 1.
pub(crate) const fn higher(name: &'static str, unit: &'static str, definition: &'static str) -> MetricInfo {
    info(name, unit, Direction::HigherIsBetter, definition)
}

/// A value that describes, at version 1.
pub(crate) const fn neutral(name: &'static str, unit: &'static str, definition: &'static str) -> MetricInfo {
    info(name, unit, Direction::Neutral, definition)
}

impl MetricInfo {
    /// The same, its definition changed so often that values of this version do not compare with earlier ones.
    pub(crate) const fn version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// The same, shown in the tables for people.
    pub(crate) const fn headline(self) -> Self {
        Self { is_headline: true, ..self }
    }
}

/// The metrics of one evaluation or of several that belong together.
#[derive(Debug, Clone, Copy)]
pub struct MetricGroup {
    /// What they are about.
    pub title: &'static str,
    /// In the order in which tables show them.
    pub metrics: &'static [MetricInfo],
}

/// Every metric. All are measured on the test split unless their definition says otherwise. The metrics of a task stand in its file.
pub const METRIC_GROUPS: &[MetricGroup] = &[
    MetricGroup { title: "Reconstruction, objective and likelihood", metrics: GENERAL },
    MetricGroup { title: "Decoding in other domains", metrics: cross_domain::METRICS },
    MetricGroup { title: "Dimension reduction", metrics: dimension_reduction::METRICS },
    MetricGroup { title: "Linear probe", metrics: linear_probe::METRICS },
    MetricGroup { title: "Fine-tuning", metrics: fine_tune::METRICS },
    MetricGroup { title: "Retrieval", metrics: retrieval::METRICS },
    MetricGroup { title: "Denoising", metrics: denoising::METRICS },
    MetricGroup { title: "Inpainting", metrics: inpainting::METRICS },
    MetricGroup { title: "Anomaly detection", metrics: anomaly::METRICS },
    MetricGroup { title: "Generation", metrics: generation::METRICS },
    MetricGroup { title: "Disentanglement", metrics: disentanglement::METRICS },
    MetricGroup { title: "Sparsity", metrics: sparsity::METRICS },
    MetricGroup { title: "Jacobian of the encoder", metrics: jacobian::METRICS },
    MetricGroup { title: "Memorisation", metrics: memorisation::METRICS },
    MetricGroup { title: "Recommendation", metrics: recommendation::METRICS },
];

/// Every metric, in the order of the groups.
pub fn metrics() -> impl Iterator<Item = &'static MetricInfo> {
    METRIC_GROUPS.iter().flat_map(|group| group.metrics)
}

const GENERAL: &[MetricInfo] = &[
    lower("sse", SQUARED_UNITS, "squared error of the reconstruction, summed over features, mean over examples").headline(),
    lower("mse", "squared units", "`sse` divided by the number of features, of observed ones where some are missing"),
    lower("mae", "units", "absolute error of the reconstruction, mean over features and examples"),
    lower("bce", NATS, "binary cross-entropy of the reconstruction from logits, summed over features, mean over examples").headline(),
    higher("psnr", "dB", "10 log10(1 / `mse`), for data in [0, 1]; absent where `mse` is 0").headline(),
    higher("ssim", "", "structural similarity (Wang et al. 2004), mean over windows, channels and images, for images in [0, 1]").headline(),
    higher(
        "ms_ssim",
        "",
        "structural similarity at several scales (Wang et al. 2003), for images in [0, 1] with sides of at least 22; where five scales do \
         not fit, as many as do, their weights divided by their sum: 2 for 28 x 28",
    ),
    lower("loss", "", "the training objective, its weights as at the end of training, mean over examples").headline(),
    lower("nll", NATS, "the objective's negative log-likelihood of an example given its code"),
    lower("squared_error", SQUARED_UNITS, "the objective's squared error, as the model is trained (with its noise or corruption)"),
    neutral("kl", NATS, "the objective's divergence of the posterior from the prior, unweighted").headline(),
    higher("elbo", NATS, "evidence lower bound with one sample of the code: -(`nll` + `kl`), for objectives that have both").headline(),
    higher(
        "log_likelihood",
        NATS,
        "importance weighted bound on the log-likelihood, from as many samples of the code as asked for (Burda et al. 2016, Eq. 8)",
    )
    .headline(),
    higher("log_likelihood_1", NATS, "the same from 1 sample, mean over all samples: the evidence lower bound"),
    higher("log_likelihood_5", NATS, "the same from 5 samples, mean over groups"),
    higher("log_likelihood_50", NATS, "the same from 50 samples, mean over groups"),
    neutral("effective_samples", "", "how many samples of equal weight would say as much, (sum w)^2 / sum w^2, mean over examples"),
    lower(
        "mean_sse",
        SQUARED_UNITS,
        "`sse` of the mean of each feature over what training observed of it as the reconstruction of everything",
    )
    .version(2),
    lower("mean_mse", "squared units", "`mean_sse` divided by the number of features, of observed ones where some are missing").version(2),
    lower(
        "mean_bce",
        NATS,
        "`bce` of that training mean as probability, kept 1/(n + 2) away from 0 and 1 for a feature that n training examples show",
    )
    .version(2),
    higher("mean_psnr", "dB", "`psnr` of that mean").version(2),
    higher("mean_ssim", "", "`ssim` of that mean").version(2),
    higher("mean_ms_ssim", "", "`ms_ssim` of that mean").version(2),
    lower(
        "pca_sse",
        SQUARED_UNITS,
        "`sse` of PCA, fitted on the training split, with as many components as the model's code has dimensions; not clipped; absent where values are missing",
    ),
    lower("pca_mse", "squared units", "`pca_sse` divided by the number of features"),
    higher("pca_psnr", "dB", "`psnr` of that PCA"),
    higher("pca_ssim", "", "`ssim` of that PCA"),
    higher("pca_ms_ssim", "", "`ms_ssim` of that PCA"),
];

/// What holds for a term of an objective that is in no group: its model defines it.
const OTHER_TERM: MetricInfo = neutral(
    "(other terms)",
    "per example",
    "any further term of the training objective (unweighted) or number that is logged beside it (`l0`, `perplexity`), as its model defines it, mean over examples",
);

/// What is known of the metric called `name`, whatever it was measured at (`name@...`); for a name that is in no group, what
/// holds for any term of an objective.
pub fn metric_info(name: &str) -> &'static MetricInfo {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    metrics().find(|metric| metric.name == name).unwrap_or(&OTHER_TERM)
}

/// All metrics as Markdown tables, one per group.
pub fn metrics_table() -> String {
    let mut text = String::new();
    let terms = MetricGroup { title: "Terms of the objective", metrics: &[OTHER_TERM] };
    for MetricGroup { title, metrics } in METRIC_GROUPS.iter().chain([&terms]) {
        text.push_str(&format!("## {title}\n\n| metric | unit | better | version | definition |\n|---|---|---|---|---|\n"));
        for MetricInfo { name, definition, unit, direction, version, .. } in *metrics {
            text.push_str(&format!("| `{name}` | {unit} | {} | {version} | {definition} |\n", direction.symbol()));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (position, metric) in metrics().enumerate() {
            assert_eq!(metrics().position(|other| other.name == metric.name), Some(position), "{}", metric.name);
            assert_eq!(metric_info(metric.name), metric);
            assert_eq!(metric_info(&format!("{}@5", metric.name)), metric);
        }
        assert_eq!(metric_info("total_correlation").unit, "per example");
    }

    /// `AELAB_UPDATE_DOCS=1` writes the page anew.
    #[test]
    fn the_docs_show_these_very_tables() {
        const MARK: &str = "<!-- From here on written by `AELAB_UPDATE_DOCS=1 cargo test -p aelab-eval`. -->\n\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/metrics.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (head, _) = page.split_once(MARK).expect("the page has the mark");
        let wanted = format!("{head}{MARK}{}", metrics_table());
        if std::env::var_os("AELAB_UPDATE_DOCS").is_some() {
            std::fs::write(path, &wanted).unwrap();
        } else {
            assert!(page == wanted, "docs/src/metrics.md is out of date: AELAB_UPDATE_DOCS=1 cargo test -p aelab-eval");
        }
    }
}
