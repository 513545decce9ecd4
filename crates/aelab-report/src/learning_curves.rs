//! Loss and terms over the epochs of one trial or many.

use aelab_core::{Image, Split};

use crate::axis::{Axis, Frame, Scale, scale_of_measured};
use crate::canvas::{FigureError, Rect, Stroke};
use crate::page::{Entry, Key, Page, no_data};
use crate::palette;

const DASHED: &str = "9 6";
/// More trials than this are named in samples.
const MOST_NAMES: usize = 12;

/// One value over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Name of the trial or variant; curves of one name share a colour in all panels.
    pub name: String,
    /// Training curves are dashed, the others solid.
    pub split: Split,
    /// Epoch and value. A value that is not finite interrupts the line.
    pub points: Vec<(f64, f64)>,
}

/// One chart: the loss, or one of its terms.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePanel {
    /// What is measured, with its unit: `negative log-likelihood (nats per example)`.
    pub y_label: String,
    /// The curves of this chart.
    pub curves: Vec<Curve>,
}

/// Charts of one or more values over the epochs.
#[derive(Debug, Clone, PartialEq)]
pub struct LearningCurves {
    /// What is shown.
    pub title: String,
    /// One line below the title, or nothing.
    pub subtitle: String,
    /// One chart each; two to a row where there are several.
    pub panels: Vec<CurvePanel>,
}

/// Draws learning curves. Many trials get thin lines in a sequence of colours and a legend of the first of them.
pub fn learning_curves(figure: &LearningCurves) -> Result<Image, FigureError> {
    let mut names: Vec<&str> = Vec::new();
    for curve in figure.panels.iter().flat_map(|panel| &panel.curves) {
        if !names.contains(&curve.name.as_str()) {
            names.push(&curve.name);
        }
    }
    let many = names.len() > palette::SERIES.len();
    let color = |name: &str| palette::line(names.iter().position(|known| *known == name).unwrap_or(0), names.len());
    let is_drawn = |split: Split| figure.panels.iter().any(|panel| panel.curves.iter().any(|curve| curve.split == split));
    let mut entries = Vec::new();
    let styles = [(Split::Train, "training", DASHED), (Split::Valid, "validation", ""), (Split::Eval, "test", "")];
    for (_, label, dash) in styles.into_iter().filter(|(split, ..)| is_drawn(*split)) {
        let color = if let [name] = names[..] { color(name) } else { palette::MUTED.to_owned() };
        entries.push(Entry { key: Key::Line { color, dash, width: 2.8, marker: None }, label: label.to_owned() });
    }
    if names.len() > 1 {
        // Of a long sequence of colours, names from all of it rather than the first ones.
        let stride = if names.len() > MOST_NAMES { (names.len() - 1).div_ceil(MOST_NAMES - 1) } else { 1 };
        let named: Vec<&str> = names.iter().step_by(stride).copied().collect();
        let key = |name: &str| Key::Line { color: color(name), dash: "", width: 5.0, marker: None };
        entries.extend(named.iter().map(|name| Entry { key: key(name), label: (*name).to_owned() }));
        if named.len() < names.len() {
            entries.push(Entry { key: Key::Nothing, label: format!("and {} between them", names.len() - named.len()) });
        }
    }
    let num_panels = figure.panels.len().max(1);
    let columns = if num_panels == 1 { 1 } else { 2 };
    let num_rows = num_panels.div_ceil(columns);
    let panel_height = if columns == 1 { 720.0 } else { 520.0 };
    let (mut canvas, chart) = Page { title: &figure.title, subtitle: &figure.subtitle, entries, below: columns > 1 }
        .lay_out(num_rows as f64 * panel_height, None);
    let panel_width = chart.width / columns as f64;
    for (index, panel) in figure.panels.iter().enumerate() {
        let outer = Rect {
            left: chart.left + (index % columns) as f64 * panel_width + if columns > 1 && index % columns > 0 { 24.0 } else { 0.0 },
            top: chart.top + (index / columns) as f64 * panel_height,
            width: panel_width - if columns > 1 { 24.0 } else { 0.0 },
            height: panel_height - if num_rows > 1 { 22.0 } else { 0.0 },
        };
        let points = || panel.curves.iter().flat_map(|curve| &curve.points).filter(|(epoch, value)| epoch.is_finite() && value.is_finite());
        let values: Vec<f64> = points().map(|(_, value)| *value).collect();
        let x = Axis::around(points().map(|(epoch, _)| *epoch), Scale::Linear, 0.02);
        let y = Axis::around(values.iter().copied(), scale_of_measured(&values), 0.05);
        let frame = Frame { x: &x, y: &y, x_label: "epoch", y_label: &panel.y_label };
        let inner = frame.inner(outer);
        frame.draw(&mut canvas, inner);
        if values.is_empty() {
            no_data(&mut canvas, inner);
        }
        canvas.begin_clip(inner);
        // Training first: validation is what is looked for and lies on top.
        for training in [true, false] {
            for curve in panel.curves.iter().filter(|curve| (curve.split == Split::Train) == training) {
                let color = color(&curve.name);
                let width = if many { 1.5 } else { 2.8 };
                let opacity = match (many, training) {
                    (false, _) => 1.0,
                    (true, true) => 0.3,
                    (true, false) => 0.8,
                };
                let dash = if training { DASHED } else { "" };
                for piece in frame.pieces(inner, curve.points.iter().copied()) {
                    match piece[..] {
                        [point] => canvas.marker(0, point, 5.0, &color, opacity),
                        _ => canvas.polyline(&piece, Stroke { color: &color, width, dash, opacity }),
                    }
                }
            }
        }
        canvas.end_clip();
    }
    canvas.draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, split: Split, points: &[(f64, f64)]) -> Curve {
        Curve { name: name.to_owned(), split, points: points.to_vec() }
    }

    fn draw(panels: Vec<Vec<Curve>>) -> Image {
        let panels = panels.into_iter().map(|curves| CurvePanel { y_label: "loss (nats per example)".into(), curves }).collect();
        learning_curves(&LearningCurves { title: "t".into(), subtitle: String::new(), panels }).unwrap()
    }

    #[test]
    fn degenerate_curves_are_drawn() {
        let name = "n".repeat(200);
        for panels in [
            vec![],
            vec![vec![]],
            vec![vec![curve("a", Split::Train, &[])]],
            vec![vec![curve(&name, Split::Valid, &[(1.0, 3.0)])]],
            vec![vec![curve("a", Split::Train, &[(0.0, f64::NAN), (1.0, f64::INFINITY)])]],
            vec![vec![curve("a", Split::Train, &[(0.0, 2.0), (1.0, 2.0)])], vec![curve("b", Split::Eval, &[(0.0, -1e308), (1.0, 1e308)])]],
            vec![(0..200).map(|trial| curve(&format!("{name}{trial}"), Split::Valid, &[(0.0, f64::from(trial)), (1.0, 1.0)])).collect()],
        ] {
            let image = draw(panels);
            assert_eq!(image.width, 1400);
            assert!(image.pixels.iter().any(|value| *value < 128));
        }
    }
}
