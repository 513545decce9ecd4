//! Series as small multiples: test series under their reconstructions, samples of a generative model.

use aelab_core::Image;

use crate::axis::{Axis, Frame, Scale};
use crate::canvas::{Anchor, FigureError, Rect, Stroke, TextStyle, shortened};
use crate::page::{Entry, Key, Page, no_data};
use crate::palette;

const COLUMNS: usize = 3;
const PANEL_HEIGHT: f64 = 250.0;
const LABEL_SIZE: f64 = 20.0;
/// How the lines of one channel are told apart, where colours stand for channels.
const DASHES: [&str; 3] = ["", "9 6", "3 5"];

/// One line in every panel: series one after the other, each `[time, channel]`, flattened.
#[derive(Debug, Clone)]
pub struct SeriesLine<'a> {
    /// What it shows: `test series`, `reconstruction`.
    pub caption: &'a str,
    /// `num * time * channel` values; what is not a number interrupts the line.
    pub values: &'a [f32],
}

/// Panels of series that share their axes.
#[derive(Debug, Clone)]
pub struct SeriesGrid<'a> {
    /// What is shown: model, data.
    pub title: &'a str,
    /// One line below the title, or nothing.
    pub subtitle: &'a str,
    /// `[time, channel]`.
    pub shape: [usize; 2],
    /// Lines of each panel, the one to compare with first.
    pub lines: Vec<SeriesLine<'a>>,
    /// A label in each panel, or nothing.
    pub labels: &'a [String],
}

/// Draws a panel for each series, all on the same axes.
pub fn series_grid(grid: &SeriesGrid<'_>) -> Result<Image, FigureError> {
    let [num_steps, num_channels] = grid.shape;
    let size = num_steps.saturating_mul(num_channels);
    for line in &grid.lines {
        if size == 0 || !line.values.len().is_multiple_of(size) {
            return Err(FigureError::Series { what: line.caption.to_owned(), found: line.values.len(), shape: grid.shape });
        }
    }
    let num = grid.lines.iter().map(|line| line.values.len() / size).max().unwrap_or(0);
    let columns = num.clamp(1, COLUMNS);
    let num_rows = num.div_ceil(columns).max(1);
    let page = Page { title: grid.title, subtitle: grid.subtitle, entries: legend(grid), below: true };
    let (mut canvas, chart) = page.lay_out(num_rows as f64 * PANEL_HEIGHT, None);
    let x = Axis::around([0.0, num_steps.saturating_sub(1) as f64], Scale::Linear, 0.02);
    let y = Axis::around(grid.lines.iter().flat_map(|line| line.values).map(|&value| f64::from(value)), Scale::Linear, 0.05);
    let width = chart.width / columns as f64;
    for example in 0..num {
        let outer = Rect {
            left: chart.left + (example % columns) as f64 * width,
            top: chart.top + (example / columns) as f64 * PANEL_HEIGHT,
            width: width - 14.0,
            height: PANEL_HEIGHT - 4.0,
        };
        let frame = Frame { x: &x, y: &y, x_label: "", y_label: "" };
        let inner = frame.inner(outer);
        frame.draw(&mut canvas, inner);
        canvas.begin_clip(inner);
        for (index, line) in grid.lines.iter().enumerate() {
            let Some(series) = line.values.chunks_exact(size).nth(example) else { continue };
            for channel in 0..num_channels {
                let (color, dash, line_width) = look(grid, index, channel);
                let points = (0..num_steps).map(|step| (step as f64, f64::from(series[step * num_channels + channel])));
                for piece in frame.pieces(inner, points) {
                    match piece[..] {
                        [point] => canvas.marker(0, point, 3.0, &color, 1.0),
                        _ => canvas.polyline(&piece, Stroke { color: &color, width: line_width, dash, opacity: 0.9 }),
                    }
                }
            }
        }
        canvas.end_clip();
        if let Some(label) = grid.labels.get(example) {
            let label = shortened(label, LABEL_SIZE, inner.width - 16.0);
            canvas.outlined_text((inner.left + 8.0, inner.top + LABEL_SIZE), &label, TextStyle::new(LABEL_SIZE, Anchor::Start));
        }
    }
    if num == 0 {
        no_data(&mut canvas, chart);
    }
    canvas.draw()
}

/// Colour, dashes and width: colours stand for lines where there is one channel, and for channels where there are several.
fn look(grid: &SeriesGrid<'_>, line: usize, channel: usize) -> (String, &'static str, f64) {
    match (grid.shape[1], grid.lines.len()) {
        (1, 1) => (palette::line(0, 1), "", 2.4),
        (1, _) if line == 0 => (palette::INK.to_owned(), "", 2.0),
        (1, num) => (palette::line(line - 1, num), if line == 1 { "" } else { DASHES[1] }, 2.6),
        (num, _) => (palette::line(channel, num), DASHES[line.min(DASHES.len() - 1)], 2.2),
    }
}

fn legend(grid: &SeriesGrid<'_>) -> Vec<Entry> {
    let num_channels = grid.shape[1];
    let key = |color: String, dash, width| Key::Line { color, dash, width, marker: None };
    let mut entries = Vec::new();
    if grid.lines.len() > 1 {
        entries.extend(grid.lines.iter().enumerate().map(|(index, line)| {
            let (color, dash, width) = look(grid, index, 0);
            let color = if num_channels > 1 { palette::INK.to_owned() } else { color };
            Entry { key: key(color, dash, width), label: line.caption.to_owned() }
        }));
    }
    if num_channels > 1 {
        entries.extend(
            (0..num_channels).map(|channel| Entry { key: key(look(grid, 0, channel).0, "", 2.2), label: format!("channel {channel}") }),
        );
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(num: usize, size: usize) -> Vec<f32> {
        (0..num * size).map(|index| (index as f32 * 0.3).sin()).collect()
    }

    fn grid<'a>(shape: [usize; 2], lines: Vec<SeriesLine<'a>>) -> SeriesGrid<'a> {
        SeriesGrid { title: "t", subtitle: "s", shape, lines, labels: &[] }
    }

    #[test]
    fn series_of_any_number_and_gaps_are_drawn() {
        let (mut inputs, reconstructions) = (waves(12, 40), waves(7, 40));
        inputs[10..20].fill(f32::NAN);
        for shape in [[40, 1], [20, 2], [5, 8]] {
            let lines = vec![
                SeriesLine { caption: "test series", values: &inputs },
                SeriesLine { caption: "reconstruction", values: &reconstructions },
            ];
            let image = series_grid(&SeriesGrid { labels: &["1".to_owned()], ..grid(shape, lines) }).unwrap();
            assert_eq!(image.width, 1400);
            assert!(image.pixels.iter().any(|value| *value < 128));
        }
        series_grid(&grid([40, 1], vec![])).unwrap();
        series_grid(&grid([1, 1], vec![SeriesLine { caption: "", values: &[f32::NAN, 1.0] }])).unwrap();
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused_with_their_caption() {
        for shape in [[7, 1], [0, 3], [10, 0]] {
            let values = waves(1, 40);
            let error = series_grid(&grid(shape, vec![SeriesLine { caption: "samples", values: &values }])).unwrap_err();
            assert!(error.to_string().contains("`samples` holds 40 values"), "{error}");
        }
    }
}
