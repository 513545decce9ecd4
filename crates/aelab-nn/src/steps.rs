//! Which steps of which series there are.

use std::sync::Arc;

use burn::tensor::{Bool, Device, Tensor, TensorData};

/// The steps of a batch of series, on the host: how many have to be visited, and which of them a series has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    /// Steps up to the last one that any series has.
    num: usize,
    /// Steps to a row of `present`.
    stride: usize,
    /// Row after row, one per series; `None` where every series has every step.
    present: Option<Arc<[bool]>>,
}

impl Steps {
    /// Every series has all of `num` steps.
    pub fn all(num: usize) -> Self {
        Self { num, stride: num, present: None }
    }

    /// The steps that `mask`, `[batch, time * channel]` with `num_steps` steps, says are there: those with an observed
    /// channel. Only the steps up to the last of the longest series are visited, but at least one.
    pub fn observed(mask: &Tensor<2>, num_steps: usize) -> Self {
        let num_channels = mask.dims()[1] / num_steps.max(1);
        let values = mask.to_data().convert::<f32>();
        let values: Vec<f32> = values.try_to_vec().expect("the mask was converted to single precision");
        let present: Vec<bool> = values.chunks_exact(num_channels.max(1)).map(|step| step.iter().any(|&value| value != 0.0)).collect();
        if present.iter().all(|&present| present) {
            return Self::all(num_steps);
        }
        let longest = present.chunks_exact(num_steps).filter_map(|series| series.iter().rposition(|&present| present)).max();
        Self { num: longest.map_or(1, |last| last + 1), stride: num_steps, present: Some(present.into()) }
    }

    /// Steps to visit.
    pub fn num(&self) -> usize {
        self.num
    }

    /// Which steps a series has, `[batch, step]`, those that are not visited among them; `None` where all have all.
    pub(crate) fn present(&self) -> Option<Arc<[bool]>> {
        self.present.clone()
    }

    /// Which series have the given step.
    pub fn presence(&self, step: usize, device: &Device) -> Presence {
        match &self.present {
            None => Presence::All,
            Some(present) => Presence::of(present.iter().skip(step).step_by(self.stride).copied().collect(), device),
        }
    }
}

/// Some rows of a batch.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one at a time is alive, and most are of the large variant")]
pub enum Presence {
    /// Every row.
    All,
    /// No row.
    Nobody,
    /// Those marked, `[batch, 1]`.
    Some(Tensor<2, Bool>),
}

impl Presence {
    /// The rows marked `true`.
    pub fn of(rows: Vec<bool>, device: &Device) -> Self {
        if rows.iter().all(|&present| present) {
            Presence::All
        } else if rows.iter().any(|&present| present) {
            let num = rows.len();
            Presence::Some(Tensor::from_data(TensorData::new(rows, [num, 1]), device))
        } else {
            Presence::Nobody
        }
    }

    /// `new` in these rows, `old` in the others; both `[batch, feature]`. What is not chosen gets no gradient, and
    /// may be anything.
    pub fn choose(&self, old: Tensor<2>, new: Tensor<2>) -> Tensor<2> {
        match self {
            Presence::All => new,
            Presence::Nobody => old,
            Presence::Some(rows) => {
                let shape = old.dims();
                old.mask_where(rows.clone().expand(shape), new)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_there_where_a_channel_is_and_the_last_steps_of_all_are_left_out() {
        let device = Device::flex();
        let rows = [[1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]];
        let steps = Steps::observed(&Tensor::from_data(rows, &device), 4);
        assert_eq!(steps.num(), 3);
        assert_eq!(steps.present, Some(vec![true, false, false, false, true, true, true, false].into()));
        assert!(matches!(steps.presence(0, &device), Presence::All));
        assert!(matches!(steps.presence(1, &device), Presence::Some(_)));
        assert!(matches!(steps.presence(3, &device), Presence::Nobody));
    }

    #[test]
    fn a_mask_of_ones_is_no_mask_and_a_mask_of_zeros_leaves_one_step() {
        let device = Device::flex();
        assert_eq!(Steps::observed(&Tensor::ones([2, 6], &device), 3), Steps::all(3));
        assert_eq!(Steps::observed(&Tensor::zeros([2, 6], &device), 3).num(), 1);
    }
}
