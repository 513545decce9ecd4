//! What is around a chart: title above, legend outside, on the right or below.

use crate::canvas::{Anchor, Canvas, Rect, Stroke, TextStyle, shortened, text_width, wrapped};
use crate::palette;

/// Width of a chart's page in pixels.
pub(crate) const WIDTH: f64 = 1400.0;
/// Free space at the edges.
pub(crate) const MARGIN: f64 = 36.0;
const TITLE_SIZE: f64 = 30.0;
const SUBTITLE_SIZE: f64 = 21.0;
const LEGEND_SIZE: f64 = 21.0;
const LEGEND_LINE: f64 = 33.0;
/// Length of the sample of a line.
const KEY: f64 = 46.0;
/// Names longer than this push the legend below the chart.
const WIDEST_RIGHT: f64 = 330.0;
/// More entries than this are counted, not named.
const MOST_ENTRIES: usize = 24;

/// The sample beside a name.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    /// A line, with a marker on it where there is one.
    Line { color: String, dash: &'static str, width: f64, marker: Option<usize> },
    /// A marker.
    Marker { color: String, kind: usize },
    /// Nothing: a remark.
    Nothing,
}

/// One line of a legend.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) label: String,
}

/// Title, one line below it, and legend.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) title: &'a str,
    pub(crate) subtitle: &'a str,
    pub(crate) entries: Vec<Entry>,
    /// Whether the legend goes below even where it would fit beside the chart.
    pub(crate) below: bool,
}

impl Page<'_> {
    /// A canvas with everything but the chart, and the rectangle of `height` that is the chart's.
    ///
    /// The page has the usual width; with `narrow`, the width that a chart of `narrow` needs.
    pub(crate) fn lay_out(mut self, height: f64, narrow: Option<f64>) -> (Canvas, Rect) {
        if self.entries.len() > MOST_ENTRIES {
            let more = self.entries.len() - (MOST_ENTRIES - 1);
            self.entries.truncate(MOST_ENTRIES - 1);
            self.entries.push(Entry { key: Key::Nothing, label: format!("and {more} more") });
        }
        let widest = self.entries.iter().map(|entry| text_width(&entry.label, LEGEND_SIZE, false)).fold(0.0, f64::max);
        let on_the_right =
            !self.below && !self.entries.is_empty() && widest <= WIDEST_RIGHT && self.entries.len() as f64 * LEGEND_LINE <= height;
        let legend_width = if on_the_right { KEY + 12.0 + widest + 30.0 } else { 0.0 };
        let width = narrow.map_or(WIDTH, |chart| (chart + legend_width + 2.0 * MARGIN).max(900.0));
        let text_space = width - 2.0 * MARGIN;

        let title = wrapped(self.title, TITLE_SIZE, true, text_space, 6);
        let subtitle = wrapped(self.subtitle, SUBTITLE_SIZE, false, text_space, 4);
        let top = MARGIN + title.len() as f64 * TITLE_SIZE * 1.25 + subtitle.len() as f64 * SUBTITLE_SIZE * 1.35 + 18.0;

        let column = (KEY + 12.0 + widest + 34.0).min(text_space);
        let num_columns = ((text_space / column) as usize).clamp(1, self.entries.len().max(1));
        let num_rows = if on_the_right { 0 } else { self.entries.len().div_ceil(num_columns) };
        let legend_height = if num_rows == 0 { 0.0 } else { num_rows as f64 * LEGEND_LINE + 18.0 };

        let mut canvas = Canvas::new(width, top + height + legend_height + MARGIN * 0.8);
        let mut y = MARGIN;
        for line in &title {
            y += TITLE_SIZE * 1.25;
            canvas.text((MARGIN, y - TITLE_SIZE * 0.35), line, TextStyle { bold: true, ..TextStyle::new(TITLE_SIZE, Anchor::Start) });
        }
        for line in &subtitle {
            y += SUBTITLE_SIZE * 1.35;
            canvas.text(
                (MARGIN, y - SUBTITLE_SIZE * 0.35),
                line,
                TextStyle { color: palette::MUTED, ..TextStyle::new(SUBTITLE_SIZE, Anchor::Start) },
            );
        }
        let chart = Rect { left: MARGIN, top, width: text_space - legend_width, height };
        for (index, entry) in self.entries.iter().enumerate() {
            let (left, middle) = if on_the_right {
                (chart.right() + 30.0, top + (index as f64 + 0.5) * LEGEND_LINE + 4.0)
            } else {
                // Down the columns, so that the order of the names can be read.
                (MARGIN + (index / num_rows) as f64 * column, chart.bottom() + 18.0 + ((index % num_rows) as f64 + 0.5) * LEGEND_LINE)
            };
            let space = if on_the_right { widest } else { column - KEY - 46.0 };
            draw_entry(&mut canvas, entry, left, middle, space.max(widest.min(text_space - KEY - 12.0)));
        }
        (canvas, chart)
    }
}

fn draw_entry(canvas: &mut Canvas, entry: &Entry, left: f64, middle: f64, space: f64) {
    let center = (left + KEY / 2.0, middle);
    match &entry.key {
        Key::Line { color, dash, width, marker } => {
            canvas.line((left, middle), (left + KEY, middle), Stroke { color, width: *width, dash, opacity: 1.0 });
            if let Some(kind) = marker {
                canvas.marker(*kind, center, 7.5, color, 1.0);
            }
        }
        Key::Marker { color, kind } => canvas.marker(*kind, center, 9.0, color, 1.0),
        Key::Nothing => {}
    }
    let label = shortened(&entry.label, LEGEND_SIZE, space + 0.5);
    canvas.text((left + KEY + 12.0, middle + LEGEND_SIZE * 0.36), &label, TextStyle::new(LEGEND_SIZE, Anchor::Start));
}

/// Says that there is nothing to see, in the middle of an empty chart.
pub(crate) fn no_data(canvas: &mut Canvas, inner: Rect) {
    let style = TextStyle { color: palette::MUTED, ..TextStyle::new(26.0, Anchor::Middle) };
    canvas.text((inner.left + inner.width / 2.0, inner.top + inner.height / 2.0), "no finite values", style);
}
