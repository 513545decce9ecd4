//! The sizes of a convolutional encoder and of the decoder that undoes it exactly.

use aelab_core::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a layer halves an image, and how the decoder doubles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConvForm {
    /// A convolution of stride 2; a transposed convolution of stride 2.
    #[default]
    Strided,
    /// A convolution of stride 1 and a maximum over 2x2 squares; doubling by repeating pixels and a convolution of stride 1.
    Pooled,
}

/// Channels and sizes at every level, from the image (level 0) to the smallest map.
///
/// Level `i + 1` is half of level `i`, rounded up (down for an even kernel), and the decoder comes back
/// to exactly level `i`: by the extra row and column that a transposed convolution may add, or by cutting
/// one off after doubling. So images of any size work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvLayout {
    pub(crate) form: ConvForm,
    pub(crate) kernel_size: usize,
    /// `[channel, height, width]` per level.
    pub(crate) levels: Vec<[usize; 3]>,
    pub(crate) batch_norm: bool,
    /// Residual blocks at each level but the image's.
    pub(crate) residual_blocks: usize,
}

impl ConvLayout {
    /// The layout for images of shape `[channel, height, width]` with one layer for each entry of `channels`.
    /// Errors name the keys `channels` and `kernel_size`.
    pub fn solve(image: [usize; 3], channels: &[usize], kernel_size: usize, form: ConvForm) -> Result<Self, ConfigError> {
        if channels.is_empty() {
            return Err(ConfigError::new("channels", "`channels` needs at least one entry, such as [32, 64]: one per convolution"));
        }
        if let Some(index) = channels.iter().position(|&width| width == 0) {
            return Err(ConfigError::new(format!("channels.{index}"), "a layer needs at least one channel"));
        }
        if kernel_size == 0 {
            return Err(ConfigError::new("kernel_size", "`kernel_size` must be at least 1 pixel"));
        }
        if kernel_size.is_multiple_of(2) && form == ConvForm::Pooled {
            let message = format!(
                "the pooled form needs an odd `kernel_size`, but it is {kernel_size}: an even one cannot keep the size of an image"
            );
            return Err(ConfigError::new("kernel_size", message));
        }
        let mut levels = vec![image];
        for (index, &num_channels) in channels.iter().enumerate() {
            let [_, height, width] = levels[index];
            let [height, width] = [height, width].map(|size| halved(size, kernel_size));
            if height == 0 || width == 0 {
                let [_, full_height, full_width] = image;
                let message = format!(
                    "{} layers halve an image of {full_height} x {full_width} pixels to nothing; leave out layers, or take an odd `kernel_size`",
                    index + 1
                );
                return Err(ConfigError::new("channels", message));
            }
            levels.push([num_channels, height, width]);
        }
        Ok(Self { form, kernel_size, levels, batch_norm: false, residual_blocks: 0 })
    }

    /// The layout with batch normalisation after each convolution but the one that makes the image, and with residual
    /// blocks at each level but the image's.
    #[must_use]
    pub fn with_blocks(self, batch_norm: bool, residual_blocks: usize) -> Self {
        Self { batch_norm, residual_blocks, ..self }
    }

    /// The smallest map, `[channel, height, width]`.
    pub fn smallest(&self) -> [usize; 3] {
        self.levels[self.levels.len() - 1]
    }

    /// Values of the smallest map: channels times height times width.
    pub fn num_features(&self) -> usize {
        self.levels.last().map_or(0, |level| level.iter().product())
    }

    /// Zeros around an image, on each side.
    pub(crate) fn padding(&self) -> usize {
        padding(self.kernel_size)
    }

    /// Rows and columns that the transposed convolution from level `index + 1` adds at the far end.
    pub(crate) fn output_padding(&self, index: usize) -> [usize; 2] {
        let ([_, height, width], [_, small_height, small_width]) = (self.levels[index], self.levels[index + 1]);
        [(height, small_height), (width, small_width)].map(|(size, small)| size - ((small - 1) * 2 + self.kernel_size - 2 * self.padding()))
    }
}

fn padding(kernel_size: usize) -> usize {
    (kernel_size - 1) / 2
}

/// Half of a size: what a convolution of stride 2 leaves, and what pooling with a ragged edge leaves.
fn halved(size: usize, kernel_size: usize) -> usize {
    match (size + 2 * padding(kernel_size)).checked_sub(kernel_size) {
        Some(room) => room / 2 + 1,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_those_of_the_textbook() {
        let layout = ConvLayout::solve([1, 28, 28], &[32, 64, 128], 3, ConvForm::Strided).unwrap();
        assert_eq!(layout.levels, [[1, 28, 28], [32, 14, 14], [64, 7, 7], [128, 4, 4]]);
        assert_eq!(layout.num_features(), 128 * 4 * 4);
        assert_eq!([0, 1, 2].map(|level| layout.output_padding(level)), [[1, 1], [1, 1], [0, 0]]);
    }

    #[test]
    fn what_cannot_be_built_is_refused_at_its_key() {
        let path = |channels: &[usize], kernel, form| ConvLayout::solve([1, 3, 3], channels, kernel, form).unwrap_err().path;
        assert_eq!(path(&[], 3, ConvForm::Strided), "channels");
        assert_eq!(path(&[4, 0], 3, ConvForm::Strided), "channels.1");
        assert_eq!(path(&[4], 0, ConvForm::Strided), "kernel_size");
        assert_eq!(path(&[4], 4, ConvForm::Pooled), "kernel_size");
        assert_eq!(path(&[4, 4], 4, ConvForm::Strided), "channels");
    }

    proptest! {
        #[test]
        fn a_transposed_convolution_can_always_come_back(height in 1usize..70, width in 1usize..70, kernel in 1usize..8, depth in 1usize..5) {
            if let Ok(layout) = ConvLayout::solve([1, height, width], &vec![2; depth], kernel, ConvForm::Strided) {
                for level in 0..depth {
                    // A transposed convolution of stride 2 can add 0 or 1.
                    prop_assert!(layout.output_padding(level).iter().all(|&extra| extra < 2));
                }
            } else {
                prop_assert!(kernel % 2 == 0, "an odd kernel fits any image");
            }
        }
    }
}
