//! Arrows over points in a plane: where a denoiser moves what it sees.

use aelab_core::Image;

use crate::axis::{Axis, Frame, Scale};
use crate::canvas::{Anchor, Canvas, FigureError, Rect, Stroke, TextStyle, shortened};
use crate::page::{MARGIN, Page, WIDTH, no_data};
use crate::palette;

/// More points or arrows than this only hide each other; every n-th is drawn.
const MOST_POINTS: usize = 3000;
const MOST_ARROWS: usize = 2500;
/// Panels to a row.
const MOST_COLUMNS: usize = 3;
const CAPTION_SIZE: f64 = 23.0;
const GAP: f64 = 20.0;
/// Colour of the points: the arrows are what is looked at.
const POINT: &str = "#a6a6a6";

/// One panel of arrows.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrowPanel<'a> {
    /// What is shown.
    pub caption: &'a str,
    /// Where each arrow starts and where it ends.
    pub arrows: &'a [[[f32; 2]; 2]],
}

/// Arrows over points in a plane, panel beside panel.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorFields<'a> {
    /// What is shown.
    pub title: &'a str,
    /// One line below the title, or nothing.
    pub subtitle: &'a str,
    /// Examples of the data, the same in every panel.
    pub points: &'a [[f32; 2]],
    /// The panels.
    pub panels: Vec<ArrowPanel<'a>>,
}

/// Draws arrows over grey points, all panels on the same axes, with the same scale on both of these unless that would squeeze
/// one of them. Axes reach as far as points and beginnings of arrows; an arrow that leads out of the picture is cut off.
pub fn vector_fields(figure: &VectorFields<'_>) -> Result<Image, FigureError> {
    let num = figure.panels.len().max(1);
    let columns = if num == 4 { 2 } else { num.min(MOST_COLUMNS) };
    let num_rows = num.div_ceil(columns);
    let narrow = (columns == 1).then_some(800.0);
    let width = narrow.unwrap_or(WIDTH - 2.0 * MARGIN);
    let panel_width = (width - GAP * (columns - 1) as f64) / columns as f64;
    let caption = CAPTION_SIZE * 1.6;
    // About square inside, as the labels below are about as high as those on the left are wide.
    let panel_height = panel_width + caption;
    let page = Page { title: figure.title, subtitle: figure.subtitle, entries: Vec::new(), below: false };
    let (mut canvas, chart) = page.lay_out(num_rows as f64 * (panel_height + GAP) - GAP, narrow);

    let finite = |point: &[f32; 2]| point.iter().all(|value| value.is_finite());
    let starts = figure.panels.iter().flat_map(|panel| panel.arrows).map(|[start, _]| start);
    let seen: Vec<[f32; 2]> = figure.points.iter().chain(starts).filter(|point| finite(point)).copied().collect();
    let axis = |dimension: usize| Axis::around(seen.iter().map(|point| f64::from(point[dimension])), Scale::Linear, 0.05);
    let (mut x, mut y) = (axis(0), axis(1));
    let span = x.span().max(y.span());
    if span <= 3.0 * x.span().min(y.span()) {
        (x, y) = (x.widened(span), y.widened(span));
    }
    let frame = Frame { x: &x, y: &y, x_label: "x₁", y_label: "x₂" };
    let empty = ArrowPanel { caption: "", arrows: &[] };
    let panels: Vec<&ArrowPanel<'_>> = if figure.panels.is_empty() { vec![&empty] } else { figure.panels.iter().collect() };
    for (index, panel) in panels.into_iter().enumerate() {
        let left = chart.left + (index % columns) as f64 * (panel_width + GAP);
        let top = chart.top + (index / columns) as f64 * (panel_height + GAP);
        let inner = frame.inner(Rect { left, top: top + caption, width: panel_width, height: panel_height - caption });
        let text = shortened(panel.caption, CAPTION_SIZE, panel_width);
        let middle = inner.left + inner.width / 2.0;
        canvas.text((middle, top + CAPTION_SIZE), &text, TextStyle { bold: true, ..TextStyle::new(CAPTION_SIZE, Anchor::Middle) });
        frame.draw(&mut canvas, inner);
        if seen.is_empty() {
            no_data(&mut canvas, inner);
        }
        let place = |[x, y]: [f32; 2]| frame.place(inner, (f64::from(x), f64::from(y)));
        canvas.begin_clip(inner);
        for point in figure.points.iter().step_by(figure.points.len().div_ceil(MOST_POINTS).max(1)) {
            if let Some(place) = place(*point) {
                canvas.marker(0, place, 3.6, POINT, 0.7);
            }
        }
        for [start, end] in panel.arrows.iter().step_by(panel.arrows.len().div_ceil(MOST_ARROWS).max(1)) {
            if let Some((start, end)) = place(*start).zip(place(*end)) {
                arrow(&mut canvas, start, end);
            }
        }
        canvas.end_clip();
    }
    canvas.draw()
}

/// A line with a head at `end`; a dot where there is no way to go.
fn arrow(canvas: &mut Canvas, start: (f64, f64), end: (f64, f64)) {
    let color = palette::SERIES[0];
    let (dx, dy) = (end.0 - start.0, end.1 - start.1);
    let length = dx.hypot(dy);
    if length < 1.5 {
        return canvas.marker(0, start, 2.2, color, 1.0);
    }
    let (dx, dy) = (dx / length, dy / length);
    let head = (length * 0.45).clamp(3.0, 11.0);
    let neck = (end.0 - dx * head, end.1 - dy * head);
    let half = head * 0.42;
    if length > head {
        canvas.line(start, neck, Stroke::solid(color, 2.0));
    }
    canvas.polygon(&[end, (neck.0 - dy * half, neck.1 + dx * half), (neck.0 + dy * half, neck.1 - dx * half)], color);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(points: &[[f32; 2]], panels: Vec<ArrowPanel<'_>>) -> Image {
        vector_fields(&VectorFields { title: "t", subtitle: "", points, panels }).unwrap()
    }

    #[test]
    fn degenerate_fields_are_drawn() {
        let long = "name ".repeat(60);
        let arrows: Vec<[[f32; 2]; 2]> = (0..9000).map(|index| [[index as f32, 0.0], [0.0, index as f32]]).collect();
        for (points, panels) in [
            (&[][..], vec![]),
            (&[[1.0, 2.0]], vec![ArrowPanel { caption: &long, arrows: &[] }]),
            (&[[f32::NAN, 0.0]], vec![ArrowPanel { caption: "", arrows: &[[[f32::NAN, 0.0], [1.0, f32::INFINITY]]] }; 2]),
            (&[[f32::MAX, f32::MIN], [0.0, 1.0]], vec![ArrowPanel { caption: "a", arrows: &[[[0.0; 2]; 2]] }; 4]),
            (&[], vec![ArrowPanel { caption: "a", arrows: &[[[0.0; 2], [1e30, 1e30]]] }; 7]),
            (&[], vec![ArrowPanel { caption: "a", arrows: &arrows }]),
        ] {
            let image = draw(points, panels);
            assert!(image.width >= 870 && image.pixels.iter().any(|value| *value < 128));
        }
    }

    #[test]
    fn an_arrow_points_to_its_end() {
        let points = [[-1.0, -1.0], [1.0, 1.0]];
        let blue = |arrows: &[[[f32; 2]; 2]]| -> Vec<f64> {
            let image = draw(&points, vec![ArrowPanel { caption: "", arrows }]);
            let is_blue = |index: &usize| image.pixels[index * 3..][..3] == [0x00, 0x72, 0xb2];
            (0..image.width * image.height).filter(is_blue).map(|index| (index % image.width) as f64).collect()
        };
        let middle = |columns: &[f64]| columns.iter().sum::<f64>() / columns.len() as f64;
        // The head has most of the colour.
        let right = blue(&[[[-0.04, 0.0], [0.04, 0.0]]]);
        let left = blue(&[[[0.04, 0.0], [-0.04, 0.0]]]);
        assert!(middle(&right) > middle(&left) + 2.0, "{} {}", middle(&right), middle(&left));
    }
}
