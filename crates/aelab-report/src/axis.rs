//! Axes: ranges, ticks, and the frame of a chart.

use crate::canvas::{Anchor, Canvas, Rect, Stroke, TextStyle, text_width, wrapped};
use crate::number::{label, power_of_ten};
use crate::palette;

/// Beyond this even differences of doubles overflow.
const LARGEST: f64 = 1e300;
/// The smallest value that logarithmic axes reach.
const SMALLEST: f64 = 1e-300;
/// Size of tick labels in pixels.
pub(crate) const TICK_SIZE: f64 = 21.0;
/// Size of axis labels in pixels.
pub(crate) const LABEL_SIZE: f64 = 23.0;

/// How values become positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Log,
}

/// A range of values with its ticks.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis that shows all finite `values`, with `margin` of its length free at either end.
    pub(crate) fn around(values: impl IntoIterator<Item = f64>, scale: Scale, margin: f64) -> Self {
        let usable = |value: &f64| value.is_finite() && (scale == Scale::Linear || *value > 0.0);
        let (low, high) = values
            .into_iter()
            .filter(usable)
            .map(|value| value.clamp(if scale == Scale::Log { SMALLEST } else { -LARGEST }, LARGEST))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (if scale == Scale::Log { 0.1 } else { 0.0 }, 1.0) } else { (low, high) };
        let (low, high) = match scale {
            Scale::Linear => {
                // One value only: room around it that its ticks can tell apart.
                let spread =
                    if high - low > low.abs().max(high.abs()) * 1e-9 { (high - low) * margin } else { (low.abs() * 0.1).max(1e-12) };
                let spread = if low == 0.0 && high == 0.0 { 1.0 } else { spread };
                (low - spread, high + spread)
            }
            Scale::Log => {
                let ratio = if high / low > 1.0 + 1e-9 { (high / low).powf(margin) } else { 2.0 };
                ((low / ratio).max(f64::MIN_POSITIVE), (high * ratio).min(LARGEST))
            }
        };
        let ticks = match scale {
            Scale::Linear => linear_ticks(low, high, 7),
            Scale::Log => log_ticks(low, high),
        };
        Self { scale, low, high, ticks }
    }

    /// A linear axis from zero to all finite `values`, with `margin` of its length free beyond them but not beyond zero.
    pub(crate) fn from_zero(values: impl IntoIterator<Item = f64>, margin: f64) -> Self {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        let mut axis = Self::around(values.iter().copied().chain([0.0]), Scale::Linear, margin);
        if values.iter().all(|value| *value >= 0.0) {
            axis.low = 0.0;
        } else if values.iter().all(|value| *value <= 0.0) {
            axis.high = 0.0;
        }
        axis.ticks = linear_ticks(axis.low, axis.high, 7);
        axis
    }

    /// An axis of `num` categories, 0, 1, 2..., without ticks: their names are drawn by [`CategoryNames`](crate::category_names::CategoryNames).
    pub(crate) fn categories(num: usize) -> Self {
        Self { scale: Scale::Linear, low: -0.5, high: num.max(1) as f64 - 0.5, ticks: Vec::new() }
    }

    /// Values and labels of the ticks.
    pub(crate) fn ticks(&self) -> &[(f64, String)] {
        &self.ticks
    }

    /// The same axis with ticks at these values where all of them have room on `length` pixels.
    pub(crate) fn with_ticks_at(mut self, values: &[f64], length: f64) -> Self {
        let ticks: Vec<(f64, String)> = values.iter().map(|value| (*value, label(*value))).collect();
        let fits = ticks.windows(2).all(|pair| {
            let room = (text_width(&pair[0].1, TICK_SIZE, false) + text_width(&pair[1].1, TICK_SIZE, false)) / 2.0 + TICK_SIZE * 0.6;
            (self.position(pair[1].0) - self.position(pair[0].0)) * length >= room
        });
        if !ticks.is_empty() && fits {
            self.ticks = ticks;
        }
        self
    }

    /// 0 at the low end, 1 at the high end; outside for values beyond, NaN for what has no place.
    pub(crate) fn position(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log if value > 0.0 => (value / self.low).ln() / (self.high / self.low).ln(),
            Scale::Log => f64::NAN,
        }
    }

    /// Length of the range.
    pub(crate) fn span(&self) -> f64 {
        self.high - self.low
    }

    /// The range widened to `span` around its middle; for linear axes.
    pub(crate) fn widened(mut self, span: f64) -> Self {
        let extra = (span - self.span()).max(0.0) / 2.0;
        (self.low, self.high) = (self.low - extra, self.high + extra);
        self.ticks = linear_ticks(self.low, self.high, 7);
        self
    }

    fn widest_label(&self) -> f64 {
        self.ticks.iter().map(|(_, label)| text_width(label, TICK_SIZE, false)).fold(0.0, f64::max)
    }
}

/// Logarithmic where `values` are spaced more evenly so than linearly.
pub(crate) fn scale_of_swept(values: &[f64]) -> Scale {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Scale::Linear };
    if *first <= 0.0 || sorted.len() < 2 {
        return Scale::Linear;
    }
    if sorted.len() == 2 {
        return if last / first >= 30.0 { Scale::Log } else { Scale::Linear };
    }
    let unevenness = |transform: fn(f64) -> f64| {
        let gaps: Vec<f64> = sorted.windows(2).map(|pair| transform(pair[1]) - transform(pair[0])).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        gaps.iter().map(|gap| (gap / mean - 1.0).powi(2)).sum::<f64>()
    };
    if unevenness(f64::ln) < unevenness(|value| value) { Scale::Log } else { Scale::Linear }
}

/// Logarithmic where all values are positive and some tower so far above the rest that it could not be seen.
pub(crate) fn scale_of_measured(values: &[f64]) -> Scale {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(first), Some(median), Some(last)) if *first > 0.0 && *last > 15.0 * median => Scale::Log,
        _ => Scale::Linear,
    }
}

/// Multiples of 1, 2, 2.5 or 5 times a power of ten, at most `num` + 1 of them.
fn linear_ticks(low: f64, high: f64, num: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / num as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough * 0.999).unwrap_or(rough);
    if !step.is_finite() || step <= 0.0 {
        return Vec::new();
    }
    let first = (low / step).ceil();
    let largest = low.abs().max(high.abs());
    (0..=num + 1)
        .map(|index| (first + index as f64) * step)
        .take_while(|tick| *tick <= high + step * 1e-9)
        .map(|tick| {
            let tick = if tick.abs() < step * 1e-9 { 0.0 } else { tick };
            let text = if (1e-4..1e6).contains(&largest) {
                // As many decimals as the step has.
                let decimals = (0..=9)
                    .find(|decimals| {
                        let scaled = step * 10f64.powi(*decimals);
                        (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
                    })
                    .unwrap_or(9);
                format!("{tick:.*}", decimals as usize).replace('-', "−")
            } else {
                label(tick)
            };
            (tick, text)
        })
        .collect()
}

fn log_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let inside = |tick: &f64| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(tick);
    let candidates = |factors: &[f64]| -> Vec<f64> {
        let factors = factors.to_vec();
        (first..=last)
            .flat_map(|exponent| factors.iter().map(move |factor| factor * 10f64.powi(exponent)).collect::<Vec<_>>())
            .filter(inside)
            .collect()
    };
    let decades = candidates(&[1.0]);
    let ticks = if decades.len() >= 3 {
        let stride = decades.len().div_ceil(8);
        decades.into_iter().step_by(stride).collect()
    } else {
        [&[1.0, 3.0][..], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]]
            .into_iter()
            .map(candidates)
            .find(|ticks| ticks.len() >= 4)
            .unwrap_or_else(|| linear_ticks(low, high, 5).into_iter().map(|(tick, _)| tick).filter(|tick| *tick > 0.0).collect())
    };
    ticks
        .into_iter()
        .map(|tick| {
            let exponent = tick.log10().round() as i32;
            let is_power = (tick / 10f64.powi(exponent) - 1.0).abs() < 1e-9;
            (tick, if is_power && !(-3..5).contains(&exponent) { power_of_ten(exponent) } else { label(tick) })
        })
        .collect()
}

/// An axis label in at most two lines, broken before its unit where it has to be.
fn label_lines(label: &str, length: f64) -> Vec<String> {
    match label.rsplit_once(" (") {
        Some((name, unit)) if text_width(label, LABEL_SIZE, false) > length => {
            wrapped(&format!("{name}\n({unit}"), LABEL_SIZE, false, length, 2)
        }
        _ => wrapped(label, LABEL_SIZE, false, length, 2),
    }
}

/// A pair of axes in a rectangle.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) x: &'a Axis,
    pub(crate) y: &'a Axis,
    pub(crate) x_label: &'a str,
    pub(crate) y_label: &'a str,
}

impl Frame<'_> {
    /// The part of `outer` that is left for the data beside ticks and labels.
    pub(crate) fn inner(&self, outer: Rect) -> Rect {
        let x_lines = label_lines(self.x_label, outer.width * 0.75).len() as f64;
        let bottom = TICK_SIZE + 16.0 + x_lines * LABEL_SIZE * 1.25 + 10.0;
        let height = (outer.height - bottom - 6.0).max(50.0);
        let y_lines = label_lines(self.y_label, height).len() as f64;
        let left = y_lines * LABEL_SIZE * 1.25 + 14.0 + self.y.widest_label() + 10.0;
        let right = self.x.ticks.last().map_or(0.0, |(_, label)| text_width(label, TICK_SIZE, false) / 2.0).min(40.0);
        Rect { left: outer.left + left, top: outer.top + 6.0, width: (outer.width - left - right).max(50.0), height }
    }

    /// Draws grid, spines, ticks and labels around `inner`.
    pub(crate) fn draw(&self, canvas: &mut Canvas, inner: Rect) {
        let inside = |position: f64| (-1e-6..=1.0 + 1e-6).contains(&position);
        for (value, label) in self.x.ticks.iter().filter(|(value, _)| inside(self.x.position(*value))) {
            let x = inner.left + self.x.position(*value) * inner.width;
            canvas.line((x, inner.top), (x, inner.bottom()), Stroke::solid(palette::GRID, 1.2));
            canvas.line((x, inner.bottom()), (x, inner.bottom() + 7.0), Stroke::solid(palette::INK, 1.6));
            canvas.text((x, inner.bottom() + 12.0 + TICK_SIZE * 0.85), label, TextStyle::new(TICK_SIZE, Anchor::Middle));
        }
        for (value, label) in self.y.ticks.iter().filter(|(value, _)| inside(self.y.position(*value))) {
            let y = inner.bottom() - self.y.position(*value) * inner.height;
            canvas.line((inner.left, y), (inner.right(), y), Stroke::solid(palette::GRID, 1.2));
            canvas.line((inner.left - 7.0, y), (inner.left, y), Stroke::solid(palette::INK, 1.6));
            canvas.text((inner.left - 12.0, y + TICK_SIZE * 0.36), label, TextStyle::new(TICK_SIZE, Anchor::End));
        }
        canvas.polyline(
            &[(inner.left, inner.top), (inner.left, inner.bottom()), (inner.right(), inner.bottom())],
            Stroke::solid(palette::INK, 1.6),
        );
        let style = TextStyle::new(LABEL_SIZE, Anchor::Middle);
        for (line, text) in label_lines(self.x_label, inner.width).iter().enumerate() {
            let y = inner.bottom() + 16.0 + TICK_SIZE + LABEL_SIZE * (1.0 + 1.25 * line as f64);
            canvas.text((inner.left + inner.width / 2.0, y), text, style);
        }
        let y_lines = label_lines(self.y_label, inner.height);
        for (line, text) in y_lines.iter().enumerate() {
            let from_axis = 24.0 + self.y.widest_label() + LABEL_SIZE * 1.25 * (y_lines.len() - 1 - line) as f64;
            canvas.turned_text((inner.left - from_axis, inner.top + inner.height / 2.0), text, style, -90.0);
        }
    }

    /// Pixel position of a point; `None` where it has none.
    pub(crate) fn place(&self, inner: Rect, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let (x, y) = (self.x.position(x), self.y.position(y));
        // Far outside is outside all the same, and keeps the coordinates drawable.
        (x.is_finite() && y.is_finite())
            .then(|| (inner.left + x.clamp(-10.0, 10.0) * inner.width, inner.bottom() - y.clamp(-10.0, 10.0) * inner.height))
    }

    /// Pixel positions of the points of a line, in pieces: a point without a place interrupts it.
    pub(crate) fn pieces(&self, inner: Rect, points: impl IntoIterator<Item = (f64, f64)>) -> Vec<Vec<(f64, f64)>> {
        let mut pieces = vec![Vec::new()];
        for point in points {
            match (self.place(inner, point), pieces.last_mut()) {
                (Some(placed), Some(piece)) => piece.push(placed),
                _ => pieces.push(Vec::new()),
            }
        }
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn linear_ticks_are_round_numbers() {
        assert_eq!(labels(&Axis::around([0.0, 1.0], Scale::Linear, 0.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::around([-30.0, 70.0], Scale::Linear, 0.0)), ["−20", "0", "20", "40", "60"]);
    }

    #[test]
    fn log_ticks_are_decades_and_finer_where_these_are_few() {
        assert_eq!(labels(&Axis::around([1e-5, 1.0], Scale::Log, 0.0)), ["10⁻⁵", "10⁻⁴", "0.001", "0.01", "0.1", "1"]);
        assert_eq!(labels(&Axis::around([10.0, 100.0], Scale::Log, 0.0)), ["10", "20", "50", "100"]);
    }

    #[test]
    fn the_smallest_of_all_numbers_has_an_axis() {
        let axis = Axis::around([f64::from_bits(1)], Scale::Log, 0.05);
        assert!(axis.span() > 0.0 && axis.low > 0.0);
    }

    #[test]
    fn geometric_sweeps_get_a_logarithmic_axis() {
        assert_eq!(scale_of_swept(&[2.0, 8.0, 16.0, 32.0, 64.0]), Scale::Log);
        assert_eq!(scale_of_swept(&[1e-4, 1e-3, 1e-2, 0.1, 1.0]), Scale::Log);
        assert_eq!(scale_of_swept(&[10.0, 20.0, 30.0]), Scale::Linear);
        assert_eq!(scale_of_swept(&[0.0, 1.0, 10.0]), Scale::Linear);
        assert_eq!(scale_of_swept(&[2.0, 2.0]), Scale::Linear);
        assert_eq!(scale_of_swept(&[]), Scale::Linear);
    }

    proptest! {
        #[test]
        fn every_value_has_its_place_and_ticks_ascend_inside(values in proptest::collection::vec(-1e9f64..1e9, 1..20)) {
            for scale in [Scale::Linear, Scale::Log] {
                let axis = Axis::around(values.iter().copied(), scale, 0.05);
                for value in values.iter().filter(|value| scale == Scale::Linear || **value > 0.0) {
                    prop_assert!((-1e-9..=1.0 + 1e-9).contains(&axis.position(*value)));
                }
                prop_assert!(axis.ticks.windows(2).all(|pair| pair[0].0 < pair[1].0));
                prop_assert!(axis.ticks.len() <= 9 && axis.ticks.iter().all(|(tick, _)| (-1e-6..=1.0 + 1e-6).contains(&axis.position(*tick))));
            }
        }

        #[test]
        fn any_doubles_make_an_axis(bits in proptest::collection::vec(any::<u64>(), 0..6)) {
            let values: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
            for scale in [Scale::Linear, Scale::Log, scale_of_swept(&values), scale_of_measured(&values)] {
                let axis = Axis::around(values.iter().copied(), scale, 0.05).with_ticks_at(&values, 500.0);
                prop_assert!(axis.span() > 0.0 && axis.ticks.len() < 20);
            }
        }
    }
}
