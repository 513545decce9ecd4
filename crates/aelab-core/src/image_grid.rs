//! Examples as pictures: what TensorBoard and the figures show.

/// An 8-bit picture, rows from the top, channels interleaved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 for grey, 3 for RGB.
    pub channels: usize,
    /// `height * width * channels` values.
    pub pixels: Vec<u8>,
}

/// Lays examples out on a grid, `columns` to a row, with one pixel of white between them.
///
/// `examples` holds flattened images of `shape` `[channel, height, width]`, one after the other, with
/// values in [0, 1]; what lies outside is clipped and what is not a number is black.
///
/// # Panics
/// When the values are not whole examples or `columns` is 0.
pub fn image_grid(examples: &[f32], shape: [usize; 3], columns: usize) -> Image {
    let [channels, height, width] = shape;
    let size = channels * height * width;
    assert!(examples.len().is_multiple_of(size) && columns > 0, "a grid needs whole examples and at least one column");
    let num = examples.len() / size;
    let columns = columns.min(num.max(1));
    let rows = num.div_ceil(columns);
    let grid_width = columns * (width + 1) - 1;
    let grid_height = (rows * (height + 1)).saturating_sub(1);
    let mut pixels = vec![255u8; grid_width * grid_height * channels];
    for (position, example) in examples.chunks_exact(size).enumerate() {
        let (top, left) = (position / columns * (height + 1), position % columns * (width + 1));
        for channel in 0..channels {
            for row in 0..height {
                for column in 0..width {
                    let value = example[(channel * height + row) * width + column];
                    let pixel = ((top + row) * grid_width + left + column) * channels + channel;
                    pixels[pixel] = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
                }
            }
        }
    }
    Image { width: grid_width, height: grid_height, channels, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_of_three_in_two_columns_has_a_white_gap_and_an_empty_cell() {
        let grid = image_grid(&[0.0, 0.5, 1.0], [1, 1, 1], 2);
        assert_eq!((grid.width, grid.height, grid.channels), (3, 3, 1));
        assert_eq!(grid.pixels, [0, 255, 128, 255, 255, 255, 255, 255, 255]);
    }

    #[test]
    fn channels_are_interleaved_and_values_clipped() {
        let grid = image_grid(&[2.0, -1.0, f32::NAN], [3, 1, 1], 1);
        assert_eq!(grid.pixels, [255, 0, 0]);
    }
}
