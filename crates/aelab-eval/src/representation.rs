//! What examples are seen as: the codes of a model, those of PCA, or the examples themselves.

use aelab_core::Examples;

use crate::pass::{Draw, chunk_rows, for_each_batch_of_first};
use crate::{EvaluationContext, EvaluationError, MAX_PCA_SIDE};

/// Training and test examples as rows of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Representation {
    /// What stands before the names of what is measured of it.
    pub(crate) prefix: &'static str,
    /// What it is called in a picture.
    pub(crate) caption: String,
    /// Numbers in a row.
    pub(crate) size: usize,
    /// `[example, number]`.
    pub(crate) train: Vec<f32>,
    /// `[example, number]`.
    pub(crate) test: Vec<f32>,
}

impl Representation {
    /// Whether it is something to compare a model with: the same for all models of a code size.
    pub(crate) fn is_baseline(&self) -> bool {
        !self.prefix.is_empty()
    }
}

/// The first examples of both splits, as an evaluation compares them.
#[derive(Debug)]
pub(crate) struct Representations {
    /// The model's codes.
    pub(crate) codes: Representation,
    /// Codes of PCA with as many components, where that is affordable.
    pub(crate) pca: Option<Representation>,
    /// The examples themselves; what is missing is 0.
    pub(crate) raw: Representation,
    /// What is not as one would expect.
    pub(crate) warnings: Vec<String>,
}

/// Whether baselines that take the examples themselves are affordable.
pub(crate) fn is_affordable(num_features: usize) -> bool {
    num_features <= MAX_PCA_SIDE
}

impl Representations {
    /// The first `num_train` and `num_test` examples, or as many as there are.
    pub(crate) fn of_first(
        context: &EvaluationContext<'_>,
        evaluation: &'static str,
        num_train: usize,
        num_test: usize,
    ) -> Result<Self, EvaluationError> {
        let (train, test) = (context.train_codes(evaluation)?, context.test_codes(evaluation)?);
        let first = |values: &[f32], size: usize, num: usize| values[..values.len().min(num * size)].to_vec();
        let codes = Representation {
            prefix: "",
            caption: "codes".to_owned(),
            size: train.size,
            train: first(&train.values, train.size, num_train),
            test: first(&test.values, test.size, num_test),
        };
        let mut warnings = Vec::new();
        let num_features = context.test.spec().num_features();
        let mut has_mask = false;
        let mut rows = |examples: &dyn Examples, num: usize, draw: Draw| -> Result<Vec<f32>, EvaluationError> {
            let mut values = Vec::with_capacity(num.min(examples.len()) * num_features);
            for_each_batch_of_first(examples, num, draw.stream(context.seed), chunk_rows(num_features), |rows| {
                context.beat()?;
                has_mask |= rows.mask.is_some();
                values.extend_from_slice(&rows.values);
                Ok(())
            })?;
            Ok(values)
        };
        let raw = Representation {
            prefix: "raw_",
            caption: "data".to_owned(),
            size: num_features,
            train: rows(context.train, num_train, Draw::Train)?,
            test: rows(context.test, num_test, Draw::Test)?,
        };
        if has_mask {
            warnings.push(format!("`{evaluation}` compares codes with examples whose missing values count as 0"));
        }
        let pca = if context.has_pca() {
            let (pca, more) = context.pca(evaluation)?;
            warnings.extend(more.iter().cloned());
            let size = context.code_size.min(pca.eigenvalues().len());
            let encode = |rows: &[f32]| pca.encode(rows, size).into_iter().map(|value| value as f32).collect();
            let of_size = |size| Representation {
                prefix: "pca_",
                caption: context.pca_caption(),
                size,
                train: encode(&raw.train),
                test: encode(&raw.test),
            };
            (size > 0).then(|| of_size(size))
        } else {
            None
        };
        if pca.is_none() {
            let reason = context.pca_impossible().unwrap_or("too many features, or a single training example");
            warnings.push(format!("`{evaluation}` has no PCA to compare with: {reason}"));
        }
        if codes.size == 0 {
            warnings.push(format!("`{evaluation}` measures nothing of the model: its codes have no dimension"));
        }
        Ok(Self { codes, pca, raw, warnings })
    }

    /// The model's codes, where they have a dimension, and those of PCA.
    pub(crate) fn of_code_size(&self) -> impl Iterator<Item = &Representation> {
        [Some(&self.codes), self.pca.as_ref()].into_iter().flatten().filter(|codes| codes.size > 0)
    }

    /// All of them; the examples themselves where that is affordable.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Representation> {
        self.of_code_size().chain(is_affordable(self.raw.size).then_some(&self.raw))
    }
}

/// The classes of the first `num_train` training and `num_test` test examples, where there are at least two among the former; and
/// otherwise why not.
pub(crate) fn first_labels<'a>(
    context: &EvaluationContext<'a>,
    evaluation: &'static str,
    num_train: usize,
    num_test: usize,
) -> Result<(&'a [u32], &'a [u32]), String> {
    let (Some(train), Some(test)) = (context.train.labels(), context.test.labels()) else {
        return Err(format!("`{evaluation}` measures nothing that needs labels: the data have none"));
    };
    let (train, test) = (&train[..train.len().min(num_train)], &test[..test.len().min(num_test)]);
    if train.iter().all(|label| Some(label) == train.first()) {
        return Err(format!("`{evaluation}` measures nothing that needs labels: its {} training examples are of one class", train.len()));
    }
    Ok((train, test))
}
