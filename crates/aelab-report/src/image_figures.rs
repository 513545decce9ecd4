//! Images in rows: inputs over their reconstructions, samples of a generative model.

use aelab_core::Image;

use crate::canvas::{Anchor, Canvas, FigureError, TextStyle, text_width, wrapped};
use crate::page::{MARGIN, Page, WIDTH};

const CAPTION_SIZE: f64 = 22.0;
const LABEL_SIZE: f64 = 20.0;
/// Between images, in pixels.
const GAP: f64 = 8.0;
/// Between blocks of rows.
const BLOCK_GAP: f64 = 30.0;
/// A small image is not enlarged beyond this many pixels to a side.
const LARGEST_SIDE: usize = 150;
/// Captions wider than this are wrapped.
const WIDEST_CAPTION: f64 = 260.0;

/// One row of a grid: an image for each example, flattened, one after the other, values in [0, 1].
#[derive(Debug, Clone)]
pub struct ImageRow<'a> {
    /// What the row shows: `input`, `corrupted`, `reconstruction`, `PCA`. May have several lines.
    pub caption: &'a str,
    /// `num * channel * height * width` values; what lies outside [0, 1] is clipped.
    pub examples: &'a [f32],
}

/// Inputs above what became of them.
#[derive(Debug, Clone)]
pub struct ReconstructionGrid<'a> {
    /// What is shown: model, data.
    pub title: &'a str,
    /// One line below the title, or nothing.
    pub subtitle: &'a str,
    /// `[channel, height, width]`, 1 or 3 channels.
    pub shape: [usize; 3],
    /// Rows from the top: the input, then as given.
    pub rows: Vec<ImageRow<'a>>,
    /// A label above each example, or nothing.
    pub labels: &'a [String],
}

/// Images without an original.
#[derive(Debug, Clone)]
pub struct SampleGrid<'a> {
    /// What is shown.
    pub title: &'a str,
    /// One line below the title, or nothing.
    pub subtitle: &'a str,
    /// `[channel, height, width]`, 1 or 3 channels.
    pub shape: [usize; 3],
    /// `num * channel * height * width` values in [0, 1].
    pub samples: &'a [f32],
    /// Images to a row; as many as fit for `None`.
    pub columns: Option<usize>,
}

/// Draws rows of images, one column to an example: as many examples side by side as the page is wide,
/// further ones in blocks below. Pixels are enlarged to squares, never blurred.
pub fn reconstruction_grid(grid: &ReconstructionGrid<'_>) -> Result<Image, FigureError> {
    let size = example_size(grid.shape, grid.rows.iter().map(|row| (row.caption, row.examples)))?;
    let num = grid.rows.iter().map(|row| row.examples.len() / size).max().unwrap_or(0);
    let captions: Vec<Vec<String>> = grid.rows.iter().map(|row| wrapped(row.caption, CAPTION_SIZE, false, WIDEST_CAPTION, 4)).collect();
    let caption_width = captions.iter().flatten().map(|line| text_width(line, CAPTION_SIZE, false)).fold(0.0, f64::max);
    let caption_space = if caption_width > 0.0 { caption_width + 24.0 } else { 0.0 };
    let cells = Cells::new(grid.shape, WIDTH - 2.0 * MARGIN - caption_space, num, None);
    let num_blocks = num.div_ceil(cells.columns).max(1);
    let label_space = if grid.labels.is_empty() { 0.0 } else { LABEL_SIZE * 1.5 };
    let row_height = cells.height.max(captions.iter().map(Vec::len).max().unwrap_or(0) as f64 * CAPTION_SIZE * 1.25);
    let block = label_space + grid.rows.len() as f64 * (row_height + GAP);
    let (mut canvas, area) =
        page(grid.title, grid.subtitle, num_blocks as f64 * (block + BLOCK_GAP) - BLOCK_GAP, caption_space + cells.total_width());
    for first in (0..num).step_by(cells.columns) {
        let top = area.1 + (first / cells.columns) as f64 * (block + BLOCK_GAP);
        let examples = first..(first + cells.columns).min(num);
        let left = |example: usize| area.0 + caption_space + (example - first) as f64 * (cells.width + GAP);
        for example in examples.clone() {
            if let Some(label) = grid.labels.get(example) {
                let label = crate::canvas::shortened(label, LABEL_SIZE, cells.width);
                canvas.text((left(example) + cells.width / 2.0, top + LABEL_SIZE), &label, TextStyle::new(LABEL_SIZE, Anchor::Middle));
            }
        }
        for (index, (row, caption)) in grid.rows.iter().zip(&captions).enumerate() {
            let top = top + label_space + index as f64 * (row_height + GAP);
            let first_line = top + row_height / 2.0 - (caption.len() as f64 / 2.0 - 0.8) * CAPTION_SIZE * 1.25;
            for (line, text) in caption.iter().enumerate() {
                let y = first_line + line as f64 * CAPTION_SIZE * 1.25;
                canvas.text((area.0 + caption_width, y), text, TextStyle::new(CAPTION_SIZE, Anchor::End));
            }
            for example in examples.clone() {
                if let Some(values) = row.examples.chunks_exact(size).nth(example) {
                    canvas.picture(left(example), top + (row_height - cells.height) / 2.0, cells.scale, picture(values, grid.shape));
                }
            }
        }
    }
    canvas.draw()
}

/// Draws images in rows.
pub fn sample_grid(grid: &SampleGrid<'_>) -> Result<Image, FigureError> {
    let size = example_size(grid.shape, [("samples", grid.samples)].into_iter())?;
    let num = grid.samples.len() / size;
    let cells = Cells::new(grid.shape, WIDTH - 2.0 * MARGIN, num, grid.columns);
    let num_rows = num.div_ceil(cells.columns).max(1);
    let (mut canvas, area) = page(grid.title, grid.subtitle, num_rows as f64 * (cells.height + GAP) - GAP, cells.total_width());
    for (index, values) in grid.samples.chunks_exact(size).enumerate() {
        let left = area.0 + (index % cells.columns) as f64 * (cells.width + GAP);
        let top = area.1 + (index / cells.columns) as f64 * (cells.height + GAP);
        canvas.picture(left, top, cells.scale, picture(values, grid.shape));
    }
    canvas.draw()
}

fn example_size<'a>(shape: [usize; 3], rows: impl Iterator<Item = (&'a str, &'a [f32])>) -> Result<usize, FigureError> {
    let [channels, height, width] = shape;
    let size = channels.saturating_mul(height).saturating_mul(width);
    for (what, values) in rows {
        if size == 0 || !matches!(channels, 1 | 3) || !values.len().is_multiple_of(size) {
            return Err(FigureError::Shape { what: what.to_owned(), found: values.len(), shape });
        }
    }
    Ok(size.max(1))
}

/// How large images are drawn and how many stand side by side.
struct Cells {
    scale: usize,
    width: f64,
    height: f64,
    columns: usize,
}

impl Cells {
    fn new([_, height, width]: [usize; 3], space: f64, num: usize, columns: Option<usize>) -> Self {
        let longest = height.max(width).max(1);
        let wanted = columns.unwrap_or(num).max(1);
        // Large enough to see, small enough that ten stand side by side where there are ten.
        let room = space / wanted.min(10) as f64 - GAP;
        let scale = ((room / width.max(1) as f64) as usize).clamp(1, (LARGEST_SIDE / longest).max(1));
        let cell = (width.max(1) * scale) as f64;
        let fitting = (((space + GAP) / (cell + GAP)) as usize).clamp(1, num.max(1));
        let columns = match columns {
            Some(columns) => columns.max(1),
            // Full rows where a number of columns gives them, rows of about equal length otherwise.
            None => (fitting.div_ceil(2)..=fitting)
                .rev()
                .find(|columns| num.is_multiple_of(*columns))
                .unwrap_or_else(|| num.max(1).div_ceil(num.div_ceil(fitting).max(1))),
        };
        let room = space / columns as f64 - GAP;
        let scale = ((room / width.max(1) as f64) as usize).clamp(scale, scale.max(LARGEST_SIDE / longest));
        let cell = (width.max(1) * scale) as f64;
        Self { scale, width: cell, height: (height.max(1) * scale) as f64, columns }
    }

    fn total_width(&self) -> f64 {
        self.columns as f64 * (self.width + GAP) - GAP
    }
}

/// A page for a content of this size, and where the content begins.
fn page(title: &str, subtitle: &str, height: f64, width: f64) -> (Canvas, (f64, f64)) {
    let (canvas, area) = Page { title, subtitle, entries: Vec::new(), below: false }.lay_out(height.max(20.0), Some(width));
    (canvas, (area.left, area.top))
}

/// One example with a thin frame of its own, so that white images have an edge on white paper.
fn picture(values: &[f32], shape: [usize; 3]) -> Image {
    aelab_core::image_grid(values, shape, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(num: usize, size: usize) -> Vec<f32> {
        (0..num * size).map(|index| (index % size) as f32 / size as f32).collect()
    }

    fn not_blank(image: &Image) -> bool {
        image.pixels.len() == image.width * image.height * 3 && image.pixels.iter().any(|value| *value < 128)
    }

    #[test]
    fn a_pixel_of_an_example_is_a_square_of_the_figure() {
        let examples = [0.25f32; 64];
        let rows = vec![ImageRow { caption: "input", examples: &examples }];
        let image = reconstruction_grid(&ReconstructionGrid { title: "", subtitle: "", shape: [1, 8, 8], rows, labels: &[] }).unwrap();
        let count = image.pixels.chunks(3).filter(|pixel| **pixel == [64, 64, 64]).count();
        let scale = LARGEST_SIDE / 8;
        assert!(count >= 64 * scale * scale && count < 64 * scale * scale + 200, "{count}");
    }

    #[test]
    fn rows_of_different_length_and_labels_that_are_short_are_drawn() {
        let (inputs, reconstructions) = (ramp(25, 64), ramp(7, 64));
        let rows = vec![
            ImageRow { caption: "input", examples: &inputs },
            ImageRow { caption: "a long caption\nof two lines", examples: &reconstructions },
        ];
        let labels = vec!["3".to_owned(); 4];
        let image =
            reconstruction_grid(&ReconstructionGrid { title: "t", subtitle: "s", shape: [1, 8, 8], rows, labels: &labels }).unwrap();
        assert!(not_blank(&image) && image.width <= 1400);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused_with_their_caption() {
        for shape in [[1, 8, 7], [2, 8, 8], [1, 0, 8]] {
            let examples = [0.0; 64];
            let rows = vec![ImageRow { caption: "input", examples: &examples }];
            let error = reconstruction_grid(&ReconstructionGrid { title: "", subtitle: "", shape, rows, labels: &[] }).unwrap_err();
            assert!(error.to_string().contains("`input` holds 64 values"), "{error}");
        }
    }

    #[test]
    fn degenerate_grids_are_drawn() {
        let none = SampleGrid { title: &"long ".repeat(60), subtitle: "", shape: [3, 4, 4], samples: &[], columns: None };
        sample_grid(&none).unwrap();
        let nan = SampleGrid { samples: &[f32::NAN; 48], columns: Some(0), ..none.clone() };
        assert!(not_blank(&sample_grid(&nan).unwrap()));
        let large = ramp(3, 300 * 2000);
        let wide = SampleGrid { title: "", subtitle: "", shape: [1, 300, 2000], samples: &large, columns: None };
        assert_eq!(sample_grid(&wide).unwrap().width, 2072);
        reconstruction_grid(&ReconstructionGrid { title: "", subtitle: "", shape: [1, 8, 8], rows: Vec::new(), labels: &[] }).unwrap();
    }
}
