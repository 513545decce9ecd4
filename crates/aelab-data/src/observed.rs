//! Which values of a part are there: series end at different steps, ratings are given for some items only.

use std::sync::Arc;

use aelab_map::Numbers;

/// Which values are observed, by row of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Observed {
    /// Observed steps of each series and the values of a step; later steps are padding.
    lengths: Option<(Arc<[u32]>, usize)>,
    /// 1 for each value that is there, 0 for each that is not, row after row.
    values: Option<Numbers<u8>>,
}

/// Observed steps of each series with the values of a step; 1 for each value that is there.
type Parts<'a> = (Option<(&'a [u32], usize)>, Option<&'a [u8]>);

impl Observed {
    /// Nothing is missing.
    pub(crate) fn everything() -> Self {
        Self::default()
    }

    /// Series of the given numbers of steps, each step of `step_size` values.
    pub(crate) fn series(lengths: Vec<u32>, step_size: usize) -> Self {
        Self { lengths: Some((lengths.into(), step_size)), values: None }
    }

    /// 1 for each value that is there.
    pub(crate) fn values(values: Vec<u8>) -> Self {
        Self { lengths: None, values: Some(values.into()) }
    }

    /// Both at once: a series that ends early and has gaps before.
    pub(crate) fn with_values(self, values: Vec<u8>) -> Self {
        Self { values: Some(values.into()), ..self }
    }

    /// Out of what [`parts`](Self::parts) gives.
    pub(crate) fn of(lengths: Option<(Vec<u32>, usize)>, values: Option<Numbers<u8>>) -> Self {
        Self { lengths: lengths.map(|(lengths, step_size)| (lengths.into(), step_size)), values }
    }

    /// Observed steps of each series with the values of a step, and 1 for each value that is there, where these are not all.
    pub(crate) fn parts(&self) -> Parts<'_> {
        (self.lengths.as_ref().map(|(lengths, step_size)| (&**lengths, *step_size)), self.values.as_deref())
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.lengths.is_none() && self.values.is_none()
    }

    /// Steps of each series, by row.
    pub(crate) fn lengths(&self) -> Option<&[u32]> {
        self.lengths.as_ref().map(|(lengths, _)| &**lengths)
    }

    pub(crate) fn contains(&self, row: usize, column: usize, width: usize) -> bool {
        column < self.end(row, width) && self.values.as_ref().is_none_or(|values| values[row * width + column] == 1)
    }

    /// Appends 1 for each value of a row that is observed and 0 for each that is not.
    pub(crate) fn append_row(&self, row: usize, width: usize, out: &mut Vec<f32>) {
        let end = self.end(row, width);
        match &self.values {
            None => out.extend(std::iter::repeat_n(1.0, end)),
            Some(values) => out.extend(values[row * width..row * width + end].iter().map(|&value| f32::from(value))),
        }
        out.extend(std::iter::repeat_n(0.0, width - end));
    }

    /// Puts 0 where nothing was observed.
    pub(crate) fn clear_row(&self, row: usize, out: &mut [f32]) {
        let end = self.end(row, out.len());
        if let Some(values) = &self.values {
            let observed = &values[row * out.len()..row * out.len() + end];
            for (value, _) in out.iter_mut().zip(observed).filter(|(_, observed)| **observed == 0) {
                *value = 0.0;
            }
        }
        out[end..].fill(0.0);
    }

    /// The same without the values that `hidden` marks by 1.
    pub(crate) fn without(&self, hidden: &[u8]) -> Self {
        let values = self.values.as_ref().map(|values| values.iter().zip(hidden).map(|(value, hidden)| value & !hidden & 1).collect());
        Self { lengths: self.lengths.clone(), values: values.map(Numbers::owned) }
    }

    /// Where the padding of a row begins.
    fn end(&self, row: usize, width: usize) -> usize {
        self.lengths.as_ref().map_or(width, |(lengths, step_size)| (lengths[row] as usize * step_size).min(width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(observed: &Observed, row: usize) -> Vec<f32> {
        let mut out = Vec::new();
        observed.append_row(row, 4, &mut out);
        let contained: Vec<f32> = (0..4).map(|column| if observed.contains(row, column, 4) { 1.0 } else { 0.0 }).collect();
        assert_eq!(out, contained);
        let mut cleared = [1.0; 4];
        observed.clear_row(row, &mut cleared);
        assert_eq!(out, cleared);
        out
    }

    #[test]
    fn all_three_views_of_a_mask_agree() {
        assert_eq!(row(&Observed::everything(), 3), [1.0; 4]);
        let series = Observed::series(vec![2, 1, 0], 2);
        assert_eq!((row(&series, 0), row(&series, 1), row(&series, 2)), (vec![1.0; 4], vec![1.0, 1.0, 0.0, 0.0], vec![0.0; 4]));
        let gaps = Observed::values(vec![1, 0, 1, 1, 0, 0, 0, 1]);
        assert_eq!((row(&gaps, 0), row(&gaps, 1)), (vec![1.0, 0.0, 1.0, 1.0], vec![0.0, 0.0, 0.0, 1.0]));
        let both = Observed::series(vec![2, 3], 1).with_values(vec![1, 0, 1, 1, 0, 1, 1, 1]);
        assert_eq!((row(&both, 0), row(&both, 1)), (vec![1.0, 0.0, 0.0, 0.0], vec![0.0, 1.0, 1.0, 0.0]));
        assert_eq!(row(&gaps.without(&[1, 0, 0, 0, 0, 0, 0, 0]), 0), [0.0, 0.0, 1.0, 1.0]);
    }
}
