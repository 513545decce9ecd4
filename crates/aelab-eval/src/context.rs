//! What an evaluation is given.

use std::cell::{Cell, OnceCell, RefCell};
use std::path::Path;

use aelab_core::{Batch, Examples, Progress, Pulse, StateError, TrainedModel};
use burn::tensor::{Device, Tensor};
use sha2::{Digest, Sha256};

use crate::baseline_cache::hash_values;
use crate::codes::{Codes, Told};
use crate::evaluation::linear_probe::Probe;
use crate::pass::{Draw, Rows, chunk_rows, for_each_batch, has_mask, to_labels};
use crate::{EvaluationError, MAX_PCA_SIDE, Moments, Pca, pca_cache};

/// A trained model, its data and the settings of the measurement.
pub struct EvaluationContext<'a> {
    /// The model.
    pub model: &'a dyn TrainedModel,
    /// The same model before any training, from a seed: as it starts with the seed of the trial, or another one like it.
    pub untrained: &'a dyn Fn(u64) -> Result<Box<dyn TrainedModel>, StateError>,
    /// What it was trained on; baselines are fitted on this.
    pub train: &'a dyn Examples,
    /// What training was watched with.
    pub valid: &'a dyn Examples,
    /// What is measured on.
    pub test: &'a dyn Examples,
    /// Where the model's tensors live; a device without a tape.
    pub device: &'a Device,
    /// Examples per forward pass. No metric depends on it, except terms of an objective that compare
    /// the examples of a batch with each other.
    pub batch_size: usize,
    /// Seed of the trial; noise and dynamic data are derived from it.
    pub seed: u64,
    /// Latent dimensions of the model: the number of components of the PCA beside it.
    pub code_size: usize,
    /// The end of training: scheduled hyperparameters of the objective are read here.
    pub progress: Progress,
    /// Folder that the trials of a run share, for what would otherwise be computed in each. Any number
    /// of processes may use it at once.
    pub cache_dir: Option<&'a Path>,
    /// Checksum of the data set, part of the name of what is cached.
    pub data_checksum: &'a str,
    /// What the evaluations of one trial share; starts as `Memo::default()`.
    pub memo: Memo,
    /// Counts signs of life, and says when to stop: every measurement then ends with [`EvaluationError::Stopped`] soon.
    pub pulse: &'a Pulse,
}

/// A sign of life; an error when asked to stop.
pub(crate) fn beat(pulse: &Pulse) -> Result<(), EvaluationError> {
    pulse.tick();
    if pulse.should_stop() { Err(EvaluationError::Stopped) } else { Ok(()) }
}

/// Results that several evaluations of a trial need and that are computed at most once.
#[derive(Debug, Default)]
pub struct Memo {
    moments: OnceCell<Moments>,
    pca: OnceCell<(Pca, Vec<String>)>,
    train_codes: OnceCell<Codes>,
    test_codes: OnceCell<Codes>,
    told_train_codes: OnceCell<Codes>,
    told_test_codes: OnceCell<Codes>,
    /// Linear classifiers, by what they were fitted on.
    pub(crate) probes: RefCell<Vec<(String, Probe)>>,
    test_digest: OnceCell<[u8; 32]>,
    test_shows_training_values: OnceCell<bool>,
    /// Whether some evaluation has said so.
    has_said_so: Cell<bool>,
}

impl EvaluationContext<'_> {
    /// A sign of life, between two batches or steps; an error when asked to stop.
    pub(crate) fn beat(&self) -> Result<(), EvaluationError> {
        beat(self.pulse)
    }

    /// Fails when there is nothing to measure on.
    pub(crate) fn require_test(&self, evaluation: &'static str) -> Result<(), EvaluationError> {
        if self.test.is_empty() { Err(EvaluationError::EmptySplit { evaluation, split: "test" }) } else { Ok(()) }
    }

    /// Mean and mean square of the training features.
    pub(crate) fn train_moments(&self, evaluation: &'static str) -> Result<&Moments, EvaluationError> {
        if self.train.is_empty() {
            return Err(EvaluationError::EmptySplit { evaluation, split: "training" });
        }
        if let Some(moments) = self.memo.moments.get() {
            return Ok(moments);
        }
        let moments = Moments::of(self.train, Draw::Train.stream(self.seed))?;
        Ok(self.memo.moments.get_or_init(|| moments))
    }

    /// A digest of the test split as evaluations see it: its values, and which of them were observed.
    pub(crate) fn test_digest(&self) -> Result<[u8; 32], EvaluationError> {
        if let Some(digest) = self.memo.test_digest.get() {
            return Ok(*digest);
        }
        let mut hash = Sha256::new();
        for_each_batch(self.test, Draw::Test.stream(self.seed), chunk_rows(self.test.spec().num_features()), |rows| {
            self.beat()?;
            for values in [Some(&rows.values), rows.mask.as_ref()] {
                hash.update((values.map_or(0, Vec::len) as u64).to_le_bytes());
                hash_values(&mut hash, values.map_or(&[], Vec::as_slice));
            }
            Ok(())
        })?;
        Ok(*self.memo.test_digest.get_or_init(|| hash.finalize().into()))
    }

    /// What PCA of the model's code size is called in a picture.
    pub(crate) fn pca_caption(&self) -> String {
        if self.code_size == 1 { "PCA, 1 component".to_owned() } else { format!("PCA, {} components", self.code_size) }
    }

    /// Why no PCA can be fitted on the training split, or used on the test split: values are missing, for which it has no place.
    pub(crate) fn pca_impossible(&self) -> Option<&'static str> {
        let is_partial = has_mask(self.train) || has_mask(self.test);
        is_partial.then_some("some values are missing or series are padded, and PCA is fitted on whole examples")
    }

    /// Whether there is a PCA at a reasonable price.
    pub(crate) fn has_pca(&self) -> bool {
        let smaller = self.test.spec().num_features().min(self.train.len());
        !self.train.is_empty() && smaller <= MAX_PCA_SIDE && self.pca_impossible().is_none()
    }

    /// Whether what the test split shows is the training split itself, and only what it holds out is new: ratings that were split within
    /// rows.
    pub(crate) fn test_shows_training_values(&self) -> bool {
        *self.memo.test_shows_training_values.get_or_init(|| {
            let num = self.test.len();
            let holds_out = num > 0 && self.test.gather_held_out(&[0], &mut Vec::new(), &mut Vec::new());
            // Equal examples, chunk by chunk; the same draws for both.
            let chunks = || (0..num).step_by(chunk_rows(self.test.spec().num_features()));
            let is_equal = |start: usize| {
                let indices: Vec<usize> = (start..num.min(start + chunk_rows(self.test.spec().num_features()))).collect();
                let rows = |examples: &dyn Examples| Rows::gather(examples, &indices, &mut Draw::Test.stream(self.seed));
                let (train, test) = (rows(self.train), rows(self.test));
                train.values == test.values && train.mask == test.mask
            };
            holds_out && self.train.len() == num && chunks().all(is_equal)
        })
    }

    /// A warning where [`test_shows_training_values`](Self::test_shows_training_values), from the first evaluation that asks.
    pub(crate) fn measured_on_training_values(&self, evaluation: &'static str) -> Option<String> {
        let is_first = self.test_shows_training_values() && !self.memo.has_said_so.replace(true);
        is_first.then(|| {
            format!(
                "`{evaluation}` and others that compare examples with reconstructions (`sse`, `fvu`, `mean_mse`, `loss`) measure what training has \
                 seen: the rows of the test split are those of the training split; what it holds out is measured by `recommendation` alone"
            )
        })
    }

    /// The codes of all training examples, computed once, from the examples and their masks alone: a model that conditions on
    /// classes is not told them, as what is found in codes is compared with them.
    pub(crate) fn train_codes(&self, evaluation: &'static str) -> Result<&Codes, EvaluationError> {
        if self.train.is_empty() {
            return Err(EvaluationError::EmptySplit { evaluation, split: "training" });
        }
        self.codes(&self.memo.train_codes, self.train, Told::Nothing, Draw::Train)
    }

    /// The codes of all test examples, computed once; without classes, as those of training examples.
    pub(crate) fn test_codes(&self, evaluation: &'static str) -> Result<&Codes, EvaluationError> {
        self.require_test(evaluation)?;
        self.codes(&self.memo.test_codes, self.test, Told::Nothing, Draw::Test)
    }

    /// The codes of all training examples and of all test examples as the model makes them of examples whose class it is told:
    /// for what is not measured against classes. The same as without, except for a model that conditions on classes.
    pub(crate) fn told_codes(&self, evaluation: &'static str) -> Result<[&Codes; 2], EvaluationError> {
        if !self.conditions_on_classes() {
            return Ok([self.train_codes(evaluation)?, self.test_codes(evaluation)?]);
        }
        let train = self.codes(&self.memo.told_train_codes, self.train, Told::Classes, Draw::Train)?;
        Ok([train, self.codes(&self.memo.told_test_codes, self.test, Told::Classes, Draw::Test)?])
    }

    fn conditions_on_classes(&self) -> bool {
        let Some(&[label, ..]) = self.test.labels() else { return false };
        let x = Tensor::zeros([1, self.test.spec().num_features()], self.device);
        self.model.conditioned(&Batch { labels: Some(to_labels(&[label], self.device)), ..Batch::new(x) }).is_some()
    }

    fn codes<'b>(&self, memo: &'b OnceCell<Codes>, examples: &dyn Examples, told: Told, draw: Draw) -> Result<&'b Codes, EvaluationError> {
        if let Some(codes) = memo.get() {
            return Ok(codes);
        }
        let codes = Codes::of(self.model, examples, told, draw.stream(self.seed), self.batch_size, self.device, self.pulse)?;
        Ok(memo.get_or_init(|| codes))
    }

    /// PCA of the training split, all components, from the cache where it is there; and what went wrong
    /// with the cache.
    pub(crate) fn pca(&self, evaluation: &'static str) -> Result<&(Pca, Vec<String>), EvaluationError> {
        if let Some(pca) = self.memo.pca.get() {
            return Ok(pca);
        }
        let moments = self.train_moments(evaluation)?;
        let fit = || Pca::fit_centred(self.train, &Draw::Train.stream(self.seed), moments);
        let pca = match self.cache_dir {
            Some(folder) => pca_cache::load_or_fit(folder, moments.digest(self.data_checksum), fit)?,
            None => (fit()?, Vec::new()),
        };
        Ok(self.memo.pca.get_or_init(|| pca))
    }
}
