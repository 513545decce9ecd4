//! A chart of lines, baselines dashed.

use aelab_core::Image;

use crate::axis::{Axis, Frame, LABEL_SIZE, Scale};
use crate::canvas::{FigureError, Stroke};
use crate::metric_figure::DASHES;
use crate::page::{Entry, Key, Page, no_data};
use crate::palette;

/// Lines of up to this many points have a marker at each.
const MOST_MARKED: usize = 24;
/// Up to this many different positions are ticks themselves.
const MOST_TICKS: usize = 12;

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartLine {
    /// Name in the legend.
    pub name: String,
    /// From left to right. A value that is not finite interrupts the line, as one below zero does where the axis is logarithmic.
    pub points: Vec<(f64, f64)>,
    /// Whether it is something to compare with: drawn dashed and grey, a single point as a level. Where there is one for each of several
    /// lines, in their order, each has the colour of its line.
    pub is_baseline: bool,
}

/// A chart of lines.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart<'a> {
    /// What is shown.
    pub title: &'a str,
    /// One line below the title, or nothing.
    pub subtitle: &'a str,
    /// What is at each axis, with its unit.
    pub axes: [&'a str; 2],
    /// Which axes are logarithmic.
    pub logarithmic: [bool; 2],
    /// The lines.
    pub lines: Vec<ChartLine>,
}

/// Draws lines, with markers where they have few points, above baselines.
pub fn line_chart(figure: &LineChart<'_>) -> Result<Image, FigureError> {
    let [x_scale, y_scale] = figure.logarithmic.map(|is_log| if is_log { Scale::Log } else { Scale::Linear });
    let has_place = |value: f64, scale: Scale| value.is_finite() && (scale == Scale::Linear || value > 0.0);
    let finite = || figure.lines.iter().flat_map(|line| &line.points).filter(|(x, y)| x.is_finite() && y.is_finite());
    let shown: Vec<(f64, f64)> = finite().filter(|(x, y)| has_place(*x, x_scale) && has_place(*y, y_scale)).copied().collect();
    let num_left_out = finite().count() - shown.len();
    let mut subtitle = figure.subtitle.to_owned();
    if num_left_out > 0 {
        let what = if num_left_out == 1 { "1 value".to_owned() } else { format!("{num_left_out} values") };
        let remark = format!("{what} of 0 or less not on the logarithmic axis");
        subtitle = if subtitle.is_empty() { remark } else { format!("{subtitle}; {remark}") };
    }

    let num = figure.lines.iter().filter(|line| !line.is_baseline).count();
    let is_paired = num > 1 && figure.lines.len() == 2 * num;
    let (mut next_line, mut next_baseline) = (0, 0);
    let styles: Vec<(String, &'static str, usize)> = figure
        .lines
        .iter()
        .map(|line| {
            if line.is_baseline {
                next_baseline += 1;
                if is_paired {
                    return (palette::line(next_baseline - 1, num), DASHES[0], 0);
                }
                // Beyond as many kinds of dashes a lighter grey.
                let color = if ((next_baseline - 1) / DASHES.len()).is_multiple_of(2) { palette::MUTED } else { "#9a9a9a" };
                (color.to_owned(), DASHES[(next_baseline - 1) % DASHES.len()], 0)
            } else {
                next_line += 1;
                (palette::line(next_line - 1, num), "", next_line - 1)
            }
        })
        .collect();
    let is_marked = |line: &ChartLine| !line.is_baseline && line.points.len() <= MOST_MARKED;
    let entries = figure.lines.iter().zip(&styles).map(|(line, (color, dash, kind))| {
        let marker = is_marked(line).then_some(*kind);
        Entry { key: Key::Line { color: color.clone(), dash, width: 3.0, marker }, label: line.name.clone() }
    });

    let page = Page { title: figure.title, subtitle: &subtitle, entries: entries.collect(), below: false };
    let (mut canvas, chart) = page.lay_out(720.0, None);
    let mut xs: Vec<f64> = shown.iter().map(|(x, _)| *x).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let mut x = Axis::around(xs.iter().copied(), x_scale, 0.03);
    if xs.len() <= MOST_TICKS {
        x = x.with_ticks_at(&xs, chart.width - 6.0 * LABEL_SIZE);
    }
    let y = Axis::around(shown.iter().map(|(_, y)| *y), y_scale, 0.06);
    let frame = Frame { x: &x, y: &y, x_label: figure.axes[0], y_label: figure.axes[1] };
    let inner = frame.inner(chart);
    frame.draw(&mut canvas, inner);
    if shown.is_empty() {
        no_data(&mut canvas, inner);
    }
    canvas.begin_clip(inner);
    // What is compared lies above what it is compared with.
    for of_baselines in [true, false] {
        for (line, (color, dash, kind)) in figure.lines.iter().zip(&styles).filter(|(line, _)| line.is_baseline == of_baselines) {
            let stroke = Stroke { color, width: 2.8, dash, opacity: if of_baselines { 1.0 } else { 0.9 } };
            for piece in frame.pieces(inner, line.points.iter().copied()) {
                match piece[..] {
                    [(_, height)] if of_baselines && line.points.len() == 1 => {
                        canvas.line((inner.left, height), (inner.right(), height), stroke);
                    }
                    [point] => canvas.marker(*kind, point, 5.5, color, 1.0),
                    _ => canvas.polyline(&piece, stroke),
                }
            }
        }
    }
    canvas.end_clip();
    for (line, (color, _, kind)) in figure.lines.iter().zip(&styles).filter(|(line, _)| is_marked(line)) {
        for place in line.points.iter().filter_map(|point| frame.place(inner, *point)) {
            canvas.marker(*kind, place, 7.5, color, 1.0);
        }
    }
    canvas.draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, points: &[(f64, f64)], is_baseline: bool) -> ChartLine {
        ChartLine { name: name.to_owned(), points: points.to_vec(), is_baseline }
    }

    fn draw(lines: Vec<ChartLine>, logarithmic: [bool; 2]) -> Image {
        line_chart(&LineChart { title: "t", subtitle: "", axes: ["x", "y (unit)"], logarithmic, lines }).unwrap()
    }

    fn count(image: &Image, color: [u8; 3]) -> usize {
        image.pixels.chunks(3).filter(|pixel| **pixel == color).count()
    }

    #[test]
    fn degenerate_charts_are_drawn() {
        let long = "name ".repeat(60);
        for lines in [
            vec![],
            vec![line("a", &[], false)],
            vec![line(&long, &[(1.0, 2.0)], false), line(&long, &[(1.0, 2.0)], true)],
            vec![line("a", &[(f64::NAN, 1.0), (0.0, f64::INFINITY), (1.0, f64::NAN)], false)],
            vec![line("a", &[(0.0, 0.0), (-1.0, -1.0)], false)],
            vec![line("a", &[(1.0, 1.0); 5], false), line("b", &[(1e-300, -1e308), (1.0, 1e308)], true)],
            (0..100).map(|index| line(&format!("{long}{index}"), &[(0.0, 1.0), (1.0, f64::from(index))], index % 2 == 0)).collect(),
        ] {
            for logarithmic in [[false, false], [true, true], [false, true]] {
                let image = draw(lines.clone(), logarithmic);
                assert_eq!(image.width, 1400);
                assert!(image.pixels.iter().any(|value| *value < 128));
            }
        }
    }

    #[test]
    fn a_baseline_of_one_point_is_a_level_across_the_chart() {
        let ours = line("ours", &[(0.0, 0.0), (10.0, 1.0)], false);
        let level = draw(vec![ours.clone(), line("PCA", &[(0.0, 0.5)], true)], [false; 2]);
        let grey = [0x59, 0x59, 0x59];
        assert!(count(&level, grey) > count(&draw(vec![ours], [false; 2]), grey) + 500);
    }

    #[test]
    fn baselines_of_several_lines_have_the_colours_of_these_and_one_baseline_is_grey() {
        let points = [(0.0, 0.0), (10.0, 1.0)];
        let level = [(0.0, 0.5), (10.0, 0.5)];
        let second = [0xd5, 0x5e, 0x00];
        let ours = vec![line("a", &points, false), line("b", &points, false)];
        let paired = vec![ours[0].clone(), line("a, random", &level, true), ours[1].clone(), line("b, random", &level, true)];
        assert!(count(&draw(paired, [false; 2]), second) > count(&draw(ours, [false; 2]), second) + 100);
    }

    #[test]
    fn few_points_are_marked_and_many_are_not() {
        let points = |num: u32| (0..num).map(|x| (f64::from(x) / f64::from(num - 1), 0.5)).collect::<Vec<_>>();
        let blue = |num: u32| count(&draw(vec![line("ours", &points(num), false)], [false; 2]), [0x00, 0x72, 0xb2]);
        assert!(blue(20) > blue(500) + 1000);
    }
}
