//! Bars side by side in groups, with intervals.

use aelab_core::Image;

use crate::axis::{Axis, Frame};
use crate::canvas::{Anchor, FigureError, Rect, Stroke, TextStyle, text_width};
use crate::category_names::CategoryNames;
use crate::number::significant;
use crate::page::{Entry, Key, Page, no_data};
use crate::palette;

/// A bar is not wider than this.
const WIDEST_BAR: f64 = 110.0;
/// Share of a group's width that its bars take.
const FILLED: f64 = 0.8;
const VALUE_SIZE: f64 = 17.0;

/// Bars of one colour, one per group.
#[derive(Debug, Clone, PartialEq)]
pub struct BarChartSeries<'a> {
    /// Name in the legend.
    pub name: &'a str,
    /// A height per group; what is not finite has no bar.
    pub heights: &'a [f64],
    /// Half the length of the interval around each height; empty where there are none.
    pub half_widths: &'a [f64],
}

/// Bars side by side in groups.
#[derive(Debug, Clone, PartialEq)]
pub struct BarChart<'a> {
    /// What is shown.
    pub title: &'a str,
    /// One line below the title, or nothing.
    pub subtitle: &'a str,
    /// What the height is, with its unit.
    pub axis: &'a str,
    /// Name of each group.
    pub groups: &'a [String],
    /// The bars of each group.
    pub series: Vec<BarChartSeries<'a>>,
}

/// Draws bars from zero, their values above them where there is room.
pub fn bar_chart(figure: &BarChart<'_>) -> Result<Image, FigureError> {
    let num_groups = figure.groups.len();
    for BarChartSeries { name, heights, half_widths } in &figure.series {
        let wrong = [heights, half_widths].into_iter().find(|values| values.len() != num_groups && !values.is_empty());
        if let Some(values) = wrong.or((heights.is_empty() && num_groups > 0).then_some(heights)) {
            return Err(FigureError::Size { what: (*name).to_owned(), found: values.len(), expected: num_groups });
        }
    }
    let num = figure.series.len();
    let color = |index: usize| palette::line(index, num);
    // The only series is what the title says.
    let entries = figure
        .series
        .iter()
        .enumerate()
        .filter(|_| num > 1)
        .map(|(index, series)| Entry { key: Key::Marker { color: color(index), kind: 1 }, label: series.name.to_owned() });
    let page = Page { title: figure.title, subtitle: figure.subtitle, entries: entries.collect(), below: num_groups * num > 12 };
    let (mut canvas, chart) = page.lay_out(720.0, None);

    let half_width = |series: &BarChartSeries<'_>, group: usize| {
        series.half_widths.get(group).copied().filter(|width| width.is_finite() && *width > 0.0).unwrap_or(0.0)
    };
    let ends = figure.series.iter().flat_map(|series| {
        series.heights.iter().enumerate().flat_map(|(group, height)| {
            let half_width = half_width(series, group);
            [height - half_width, *height, height + half_width]
        })
    });
    let ends: Vec<f64> = ends.filter(|value| value.is_finite()).collect();
    let y = Axis::from_zero(ends.iter().copied(), 0.07);
    let x = Axis::categories(num_groups);
    let frame = Frame { x: &x, y: &y, x_label: "", y_label: figure.axis };
    let across = frame.inner(chart);
    let step = across.width / num_groups.max(1) as f64;
    let names = CategoryNames::new(figure.groups, step, across.left + step / 2.0);
    // The frame leaves room for ticks, which are the names here.
    let room_for_ticks = chart.bottom() - across.bottom();
    let outer = Rect { height: chart.height - (names.height() - room_for_ticks).max(0.0), ..chart };
    let inner = frame.inner(outer);
    frame.draw(&mut canvas, inner);
    let center = |group: usize| inner.left + (group as f64 + 0.5) * step;
    names.draw(&mut canvas, inner.bottom(), center);
    if ends.is_empty() {
        no_data(&mut canvas, inner);
    }

    let width = (step * FILLED / num.max(1) as f64).min(WIDEST_BAR);
    let level = |value: f64| inner.bottom() - y.position(value).clamp(0.0, 1.0) * inner.height;
    let texts: Vec<Vec<String>> = figure
        .series
        .iter()
        .map(|series| series.heights.iter().map(|height| significant(*height, 3).replace('-', "−")).collect())
        .collect();
    let has_values = texts.iter().flatten().all(|text| text_width(text, VALUE_SIZE, false) <= width - 3.0);
    for (index, series) in figure.series.iter().enumerate() {
        for (group, height) in series.heights.iter().enumerate().filter(|(_, height)| height.is_finite()) {
            let left = center(group) + (index as f64 - num as f64 / 2.0) * width;
            let (top, bottom) = (level(height.max(0.0)), level(height.min(0.0)));
            let gap = (width * 0.06).min(2.0);
            // A bar of height zero is a line: it is there.
            canvas.rectangle(
                Rect { left: left + gap, top, width: (width - 2.0 * gap).max(0.5), height: (bottom - top).max(1.5) },
                &color(index),
            );
            let middle = left + width / 2.0;
            let half_width = half_width(series, group);
            let (low, high) = (level(height - half_width), level(height + half_width));
            if half_width > 0.0 {
                let cap = (width * 0.25).min(9.0);
                // White around the whisker: it is seen on a dark bar, too.
                for stroke in [Stroke { opacity: 0.8, ..Stroke::solid("#ffffff", 5.0) }, Stroke::solid(palette::INK, 2.2)] {
                    canvas.line((middle, low), (middle, high), stroke);
                    canvas.line((middle - cap, low), (middle + cap, low), stroke);
                    canvas.line((middle - cap, high), (middle + cap, high), stroke);
                }
            }
            if has_values {
                let baseline = if *height < 0.0 { low.max(bottom) + VALUE_SIZE + 2.0 } else { high.min(top) - 6.0 };
                canvas.text((middle, baseline), &texts[index][group], TextStyle::new(VALUE_SIZE, Anchor::Middle));
            }
        }
    }
    let zero = level(0.0);
    canvas.line((inner.left, zero), (inner.right(), zero), Stroke::solid(palette::INK, 1.6));
    canvas.draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(groups: &[String], series: Vec<BarChartSeries<'_>>) -> Result<Image, FigureError> {
        bar_chart(&BarChart { title: "t", subtitle: "", axis: "AUROC", groups, series })
    }

    fn names(num: usize, text: &str) -> Vec<String> {
        (0..num).map(|index| format!("{text}{index}")).collect()
    }

    #[test]
    fn degenerate_charts_are_drawn() {
        let long = "a long name ".repeat(20);
        let (two, many) = (names(2, &long), names(300, "underscored_name_"));
        let heights: Vec<f64> = (0..300).map(f64::from).collect();
        for (groups, series) in [
            (&[][..], vec![]),
            (&[][..], vec![BarChartSeries { name: "a", heights: &[], half_widths: &[] }]),
            (&two, vec![]),
            (&two, vec![BarChartSeries { name: &long, heights: &[f64::NAN, f64::INFINITY], half_widths: &[f64::NAN, 1.0] }]),
            (&two, vec![BarChartSeries { name: "a", heights: &[0.0, 0.0], half_widths: &[] }]),
            (&two, vec![BarChartSeries { name: "a", heights: &[-1e308, 1e308], half_widths: &[1e308, -1.0] }; 20]),
            (&two[..1], vec![BarChartSeries { name: "a", heights: &[-0.5], half_widths: &[0.2] }]),
            (&many, vec![BarChartSeries { name: "a", heights: &heights, half_widths: &[] }; 3]),
        ] {
            let image = draw(groups, series).unwrap();
            assert_eq!(image.width, 1400);
            assert!(image.pixels.iter().any(|value| *value < 128));
        }
    }

    #[test]
    fn a_bar_twice_as_high_has_twice_the_area() {
        let groups = names(2, "group ");
        let count = |heights: &[f64]| {
            let image = draw(&groups, vec![BarChartSeries { name: "a", heights, half_widths: &[] }]).unwrap();
            image.pixels.chunks(3).filter(|pixel| **pixel == [0x00, 0x72, 0xb2]).count() as f64
        };
        let both = count(&[1.0, 0.5]);
        assert!((both / count(&[1.0, f64::NAN]) - 1.5).abs() < 0.01);
    }

    #[test]
    fn heights_without_a_group_are_refused() {
        let error = draw(&names(2, "g"), vec![BarChartSeries { name: "ours", heights: &[1.0], half_widths: &[] }]).unwrap_err();
        assert_eq!(error.to_string(), "`ours` has 1 values where 2 have a place");
    }
}
