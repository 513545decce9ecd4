//! What TensorBoard shows of a model while it trains: reconstructions, samples, codes.

use aelab_core::{
    Batch, Event, Examples, Image, ObserverError, Progress, Purpose, StepContext, StreamNoise, TrainedModel, image_grid, stream,
};
use aelab_train::{EpochEnd, Tell, gather_batch};
use burn::tensor::{Device, Tensor};

/// Examples in a picture.
const NUM_PICTURED: usize = 10;
/// Codes in a histogram.
const NUM_CODES: usize = 1000;

/// The examples that are watched and how.
pub(super) struct Snapshots<'a> {
    /// Validation examples, or training examples where there are none; never the test split.
    pub(super) examples: &'a dyn Examples,
    /// A device without a tape.
    pub(super) device: &'a Device,
    /// Seed of the trial.
    pub(super) seed: u64,
    /// Epochs in all.
    pub(super) num_epochs: usize,
}

impl Snapshots<'_> {
    /// Tells of the model after an epoch: at the first, second, fifth, tenth, twentieth, ... and the last.
    pub(super) fn tell(&self, end: &EpochEnd, model: &dyn TrainedModel, tell: &mut Tell<'_>) -> Result<(), ObserverError> {
        if !(end.last || is_round(end.total_epochs)) {
            return Ok(());
        }
        let batch = self.first(NUM_CODES);
        let conditioned = model.conditioned(&batch);
        let codes = values(conditioned.as_deref().unwrap_or(model).encode(batch.x));
        tell(&Event::Histogram { step: end.step, tag: "codes/all", values: &codes })?;

        let Some(shape) = self.examples.spec().image_shape() else { return Ok(()) };
        let picture = self.reconstructions(end, model, shape);
        tell(&Event::Picture { step: end.step, tag: "images/reconstruction", image: &picture })?;
        let mut noise = StreamNoise(stream(self.seed, Purpose::Evaluation, 0, 0));
        // For a model that conditions on classes: on those of the examples above, column by column.
        let num_columns = NUM_PICTURED.min(self.examples.len());
        let columns = self.first_repeatedly(num_columns, 4);
        let conditioned = model.conditioned(&columns);
        let (model, num) = match &conditioned {
            Some(model) => (&**model, columns.size()),
            None => (model, NUM_PICTURED * 4),
        };
        if let Some(z) = model.sample_prior(num, &mut noise, self.device) {
            let picture = image_grid(&values(model.decode(z)), shape, if conditioned.is_some() { num_columns } else { NUM_PICTURED });
            tell(&Event::Picture { step: end.step, tag: "images/sample", image: &picture })?;
        }
        Ok(())
    }

    /// A row of inputs, a row of what the model was shown where that differs, a row of reconstructions.
    fn reconstructions(&self, end: &EpochEnd, model: &dyn TrainedModel, shape: [usize; 3]) -> Image {
        let batch = self.first(NUM_PICTURED);
        let conditioned = model.conditioned(&batch);
        let (model, x) = (conditioned.as_deref().unwrap_or(model), batch.x);
        let mut noise = StreamNoise(stream(self.seed, Purpose::Evaluation, 1, 0));
        let progress = Progress::end(self.num_epochs as f64, end.step);
        let corrupted = model.corrupted(x.clone(), &mut StepContext { progress, learning_rate: 0.0, noise: &mut noise });
        let reconstruction = model.reconstruct(corrupted.clone().unwrap_or_else(|| x.clone()));
        let rows: Vec<f32> = [Some(x), corrupted, Some(reconstruction)].into_iter().flatten().flat_map(values).collect();
        image_grid(&rows, shape, NUM_PICTURED.min(self.examples.len()))
    }

    fn first(&self, num: usize) -> Batch {
        self.first_repeatedly(num, 1)
    }

    fn first_repeatedly(&self, num: usize, times: usize) -> Batch {
        let num = num.min(self.examples.len());
        let indices: Vec<usize> = (0..num * times).map(|index| index % num).collect();
        let mut transform = stream(self.seed, Purpose::Evaluation, 2, 0);
        gather_batch(self.examples, &indices, &mut transform, self.device)
    }
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().expect("tensors of aelab hold 32-bit floats")
}

/// 1, 2, 5, 10, 20, 50, 100, ...
fn is_round(epoch: u64) -> bool {
    let mut leading = epoch;
    while leading >= 10 && leading.is_multiple_of(10) {
        leading /= 10;
    }
    matches!(leading, 1 | 2 | 5)
}

#[cfg(test)]
mod tests {
    use super::is_round;

    #[test]
    fn round_epochs_are_one_two_five_and_their_tenfolds() {
        let round: Vec<u64> = (1..=1000).filter(|&epoch| is_round(epoch)).collect();
        assert_eq!(round, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]);
    }
}
