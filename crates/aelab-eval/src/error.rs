//! Why something could not be measured.

/// Why an evaluation has no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// A split without examples.
    #[error(
        "`{evaluation}` needs examples in the {split} split, but there are none: enlarge that split or take `{evaluation}` out of `evaluate`"
    )]
    EmptySplit {
        /// Name of the evaluation.
        evaluation: &'static str,
        /// `training` or `test`.
        split: &'static str,
    },
    /// Asked to stop: there is no result yet.
    #[error("the evaluation was asked to stop before its end")]
    Stopped,
    /// A metric that is not a number.
    #[error(
        "`{metric}` is {value} instead of a finite number: the model's output is not finite on the test split (has training diverged?)"
    )]
    NonFinite {
        /// Name of the metric.
        metric: String,
        /// The value found.
        value: f64,
    },
    /// Data that are not numbers.
    #[error(
        "feature {feature} of the training split holds a value that is not finite, so that there is no mean and no PCA: clean the data"
    )]
    NonFiniteData {
        /// Index of the first such feature.
        feature: usize,
    },
    /// A model that does not keep to its contract.
    #[error("the model's {what} has shape {found:?}, expected {expected:?}: the model breaks the contract of `Autoencoder`")]
    Shape {
        /// `reconstruction`, `code`, ...
        what: &'static str,
        /// Shape that the contract demands.
        expected: [usize; 2],
        /// Shape found.
        found: [usize; 2],
    },
    /// Values that do not come back from the device.
    #[error("the values of the model's {what} cannot be read back from the device: {message}")]
    Device {
        /// `reconstruction`, `code`, ...
        what: &'static str,
        /// What burn said.
        message: String,
    },
    /// An exact PCA that would take too long.
    #[error(
        "exact PCA of {num_features} features from {num_examples} examples is not attempted: the smaller of the two numbers may be at most {limit}; \
         take `pca_baseline` out of `evaluate` or make the examples smaller"
    )]
    PcaTooLarge {
        /// Number of training examples.
        num_examples: usize,
        /// Number of features.
        num_features: usize,
        /// Most that is attempted.
        limit: usize,
    },
    /// An eigendecomposition that did not converge.
    #[error("the eigendecomposition of the {size} x {size} covariance matrix did not converge")]
    Decomposition {
        /// Rows of the matrix.
        size: usize,
    },
    /// An option that does not fit the data.
    #[error("`{option}` of `{evaluation}`: {message}")]
    Option {
        /// Name of the evaluation.
        evaluation: &'static str,
        /// The option.
        option: &'static str,
        /// What is wrong, what was expected.
        message: String,
    },
    /// A singular value decomposition that did not converge.
    #[error("the singular value decomposition of a {num_rows} x {num_columns} Jacobian did not converge")]
    SingularValues {
        /// Rows of the matrix.
        num_rows: usize,
        /// Columns of the matrix.
        num_columns: usize,
    },
    /// A classifier whose training went astray.
    #[error("`fine_tune` diverged: the cross-entropy at epoch {epoch} is {value}; lower its `learning_rate` or take it out of `evaluate`")]
    FineTuning {
        /// Counted from 1.
        epoch: usize,
        /// What the cross-entropy was.
        value: f64,
    },
    /// A model that cannot be built anew.
    #[error("`{evaluation}` needs the model before training, which cannot be built: {message}")]
    Untrained {
        /// Name of the evaluation.
        evaluation: &'static str,
        /// Why.
        message: String,
    },
}
