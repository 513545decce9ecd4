//! A matrix of values as colours.

use aelab_core::Image;

use crate::axis::{Axis, LABEL_SIZE, Scale, TICK_SIZE};
use crate::canvas::{Anchor, Canvas, FigureError, Rect, Stroke, TextStyle, shortened, text_width, wrapped};
use crate::category_names::CategoryNames;
use crate::page::{MARGIN, Page, WIDTH, no_data};
use crate::palette;

/// A matrix with more rows or columns than this is thinned out.
const MOST_CELLS: usize = 200;
/// Height of a cell in pixels; the columns share the width of the page.
const TALLEST_CELL: f64 = 82.5;
/// Height of the whole matrix that is aimed at.
const HEIGHT: f64 = 760.0;
/// Longest name of a row in pixels.
const WIDEST_NAME: f64 = 280.0;
/// Sizes of the values in the cells, the largest that fits is taken.
const VALUE_SIZES: [f64; 4] = [21.0, 18.0, 15.0, 12.5];
/// What has no value.
const MISSING: &str = "#d9d9d9";
/// Width of the colour bar and its distance from the matrix.
const BAR: f64 = 28.0;

/// A matrix of values.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap<'a> {
    /// What is shown.
    pub title: &'a str,
    /// One line below the title, or nothing.
    pub subtitle: &'a str,
    /// What the rows, the columns and the values are.
    pub axes: [&'a str; 3],
    /// Names of the rows.
    pub rows: &'a [String],
    /// Names of the columns.
    pub columns: &'a [String],
    /// Values, row after row; what is not finite is grey.
    pub values: &'a [f64],
}

/// Which colour a value has.
#[derive(Debug, Clone, Copy)]
enum Colors {
    /// From the least to the largest value.
    Magnitude { low: f64, high: f64 },
    /// Values of both signs: white is zero, and equal distances from it are equally strong.
    Signed { largest: f64 },
}

impl Colors {
    fn of(values: &[f64]) -> Self {
        let (low, high) = values
            .iter()
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
        match (low, high) {
            (low, high) if low < 0.0 && high > 0.0 => Colors::Signed { largest: high.max(-low) },
            (low, high) if low > high => Colors::Magnitude { low: 0.0, high: 1.0 },
            (low, high) => Colors::Magnitude { low, high },
        }
    }

    fn color(self, value: f64) -> [u8; 3] {
        match self {
            Colors::Signed { largest } => palette::signed(value / largest),
            // Halves, as the difference of the largest doubles is none.
            Colors::Magnitude { low, high } if high > low => palette::magnitude((value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)),
            Colors::Magnitude { .. } => palette::magnitude(0.5),
        }
    }

    fn range(self) -> [f64; 2] {
        match self {
            Colors::Signed { largest } => [-largest, largest],
            Colors::Magnitude { low, high } => [low, high],
        }
    }
}

/// Draws a matrix with its first row at the top, values in the cells where they fit, and a bar of the colours. Colours are
/// sequential, or diverge around zero where there are values of both signs.
pub fn heat_map(figure: &HeatMap<'_>) -> Result<Image, FigureError> {
    let [row_axis, column_axis, value_axis] = figure.axes;
    let expected = figure.rows.len() * figure.columns.len();
    if figure.values.len() != expected {
        return Err(FigureError::Size { what: value_axis.to_owned(), found: figure.values.len(), expected });
    }
    let stride = |num: usize| num.div_ceil(MOST_CELLS).max(1);
    let (row_stride, column_stride) = (stride(figure.rows.len()), stride(figure.columns.len()));
    let rows: Vec<String> = figure.rows.iter().step_by(row_stride).cloned().collect();
    let columns: Vec<String> = figure.columns.iter().step_by(column_stride).cloned().collect();
    let kept = figure.values.chunks(figure.columns.len().max(1)).step_by(row_stride);
    let values: Vec<f64> = kept.flat_map(|row| row.iter().step_by(column_stride).copied()).collect();
    let mut subtitle = figure.subtitle.to_owned();
    if row_stride * column_stride > 1 {
        let remark =
            format!("one in {row_stride} of {} rows, one in {column_stride} of {} columns", figure.rows.len(), figure.columns.len());
        subtitle = if subtitle.is_empty() { remark } else { format!("{subtitle}; {remark}") };
    }
    let colors = Colors::of(&values);
    let [low, high] = colors.range();
    let bar_axis = Axis::around([low, high], Scale::Linear, 0.0);
    let ticks_width = bar_axis.ticks().iter().map(|(_, label)| text_width(label, TICK_SIZE, false)).fold(0.0, f64::max);
    let value_lines = wrapped(value_axis, LABEL_SIZE, false, 400.0, 2);
    let bar_space = BAR + BAR + 14.0 + ticks_width + value_lines.len() as f64 * LABEL_SIZE * 1.25 + 16.0;

    let name_width = rows.iter().map(|name| text_width(name, TICK_SIZE, false)).fold(0.0, f64::max).min(WIDEST_NAME);
    let left = MARGIN + LABEL_SIZE * 1.5 + name_width + 12.0;
    let (num_rows, num_columns) = (rows.len().max(1), columns.len().max(1));
    let cell_width = (WIDTH - MARGIN - bar_space - left) / num_columns as f64;
    let cell_height = (HEIGHT / num_rows as f64).min(TALLEST_CELL);
    // Square cells where there are many; wide ones have room for their values.
    let cell_height = if cell_width < 40.0 { cell_height.min(cell_width.max(8.0)) } else { cell_height };
    let (width, height) = (cell_width * num_columns as f64, cell_height * num_rows as f64);
    let names = CategoryNames::new(&columns, cell_width, left + cell_width / 2.0);
    let column_axis_height = if column_axis.is_empty() { 0.0 } else { LABEL_SIZE * 1.6 };
    let below = names.height() + column_axis_height;
    let label_space = 260.0 - height;
    let page = Page { title: figure.title, subtitle: &subtitle, entries: Vec::new(), below: false };
    let (mut canvas, chart) = page.lay_out(height + below + label_space.max(0.0), None);

    let matrix = Rect { left, top: chart.top, width, height };
    let size = draw_cells(&mut canvas, matrix, &values, [num_rows, columns.len()], colors);
    let row_step = ((TICK_SIZE * 1.1) / cell_height).ceil().max(1.0) as usize;
    for (row, name) in rows.iter().enumerate().step_by(row_step) {
        let y = matrix.top + (row as f64 + 0.5) * cell_height + TICK_SIZE * 0.36;
        canvas.text((left - 12.0, y), &shortened(name, TICK_SIZE, name_width + 0.5), TextStyle::new(TICK_SIZE, Anchor::End));
    }
    names.draw(&mut canvas, matrix.bottom(), |column| left + (column as f64 + 0.5) * cell_width);
    let label = TextStyle::new(LABEL_SIZE, Anchor::Middle);
    if !column_axis.is_empty() {
        let text = shortened(column_axis, LABEL_SIZE, WIDTH - 2.0 * MARGIN);
        canvas.text((left + width / 2.0, matrix.bottom() + names.height() + LABEL_SIZE), &text, label);
    }
    let text = shortened(row_axis, LABEL_SIZE, height.max(200.0));
    canvas.turned_text((MARGIN + LABEL_SIZE * 0.8, matrix.top + height / 2.0), &text, label, -90.0);
    if size == 0 {
        no_data(&mut canvas, Rect { width: width.max(300.0), height: height.max(60.0), ..matrix });
    } else {
        let bar = Rect { left: matrix.right() + BAR, top: matrix.top, width: BAR, height: height.max(220.0) };
        draw_bar(&mut canvas, bar, colors, &bar_axis);
        for (line, text) in value_lines.iter().enumerate() {
            let x = bar.right() + 14.0 + ticks_width + LABEL_SIZE * 1.25 * (line as f64 + 1.0);
            canvas.turned_text((x, bar.top + bar.height / 2.0), text, label, -90.0);
        }
    }
    canvas.draw()
}

/// Draws the cells; gives back how many of them have a value.
fn draw_cells(canvas: &mut Canvas, matrix: Rect, values: &[f64], [num_rows, num_columns]: [usize; 2], colors: Colors) -> usize {
    let (cell_width, cell_height) = (matrix.width / num_columns.max(1) as f64, matrix.height / num_rows as f64);
    let texts = texts(values);
    let widest = |size: f64| texts.iter().map(|text| text_width(text, size, false)).fold(0.0, f64::max);
    let size = VALUE_SIZES.into_iter().find(|size| widest(*size) <= cell_width - 6.0 && size * 1.3 <= cell_height);
    // A thin line between cells where they are large enough for it.
    let gap = if cell_width.min(cell_height) >= 12.0 { 1.0 } else { 0.0 };
    for (index, (value, text)) in values.iter().zip(&texts).enumerate() {
        let (row, column) = (index / num_columns, index % num_columns);
        let (left, top) = (matrix.left + column as f64 * cell_width, matrix.top + row as f64 * cell_height);
        let (fill, is_light) = if value.is_finite() {
            let color = colors.color(*value);
            (palette::hex(color), palette::is_light(color))
        } else {
            (MISSING.to_owned(), true)
        };
        // Neighbours without a gap overlap a little, lest the paper shine through.
        let excess = if gap > 0.0 { -gap } else { 0.4 };
        canvas.rectangle(Rect { left, top, width: cell_width + excess, height: cell_height + excess }, &fill);
        if let Some(size) = size {
            let color = if is_light { palette::INK } else { "#ffffff" };
            let place = (left + (cell_width - gap) / 2.0, top + cell_height / 2.0 + size * 0.36);
            canvas.text(place, text, TextStyle { color, ..TextStyle::new(size, Anchor::Middle) });
        }
    }
    values.iter().filter(|value| value.is_finite()).count()
}

/// The values as texts with as many decimals as two or three digits of the largest need; whole numbers have none.
fn texts(values: &[f64]) -> Vec<String> {
    let largest = values.iter().filter(|value| value.is_finite()).map(|value| value.abs()).fold(0.0, f64::max);
    let are_whole = largest < 1e6 && values.iter().all(|value| !value.is_finite() || value.fract() == 0.0);
    let text = |value: &f64| {
        let text = match largest {
            _ if !value.is_finite() => "–".to_owned(),
            _ if are_whole => format!("{value:.0}"),
            largest if !(0.01..1e6).contains(&largest) => format!("{value:.1e}"),
            largest if largest < 0.1 => format!("{value:.3}"),
            largest if largest < 10.0 => format!("{value:.2}"),
            largest if largest < 100.0 => format!("{value:.1}"),
            _ => format!("{value:.0}"),
        };
        let is_zero = text.starts_with('-') && !text.contains(|character: char| ('1'..='9').contains(&character));
        if is_zero { text[1..].to_owned() } else { text.replace('-', "−") }
    };
    values.iter().map(text).collect()
}

fn draw_bar(canvas: &mut Canvas, bar: Rect, colors: Colors, axis: &Axis) {
    const NUM_STEPS: usize = 128;
    let [low, high] = colors.range();
    let step = bar.height / NUM_STEPS as f64;
    for index in 0..NUM_STEPS {
        let share = (index as f64 + 0.5) / NUM_STEPS as f64;
        let color = palette::hex(colors.color(low * (1.0 - share) + high * share));
        let top = bar.bottom() - (index + 1) as f64 * step;
        canvas.rectangle(Rect { top, height: step + if index > 0 { 0.4 } else { 0.0 }, ..bar }, &color);
    }
    for (value, label) in axis.ticks().iter().filter(|(value, _)| (-1e-6..=1.0 + 1e-6).contains(&axis.position(*value))) {
        let y = bar.bottom() - axis.position(*value) * bar.height;
        canvas.line((bar.right(), y), (bar.right() + 6.0, y), Stroke::solid(palette::INK, 1.6));
        canvas.text((bar.right() + 12.0, y + TICK_SIZE * 0.36), label, TextStyle::new(TICK_SIZE, Anchor::Start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(num: usize, text: &str) -> Vec<String> {
        (0..num).map(|index| format!("{text}{index}")).collect()
    }

    fn draw(rows: &[String], columns: &[String], values: &[f64]) -> Image {
        heat_map(&HeatMap { title: "t", subtitle: "", axes: ["rows", "columns", "nats"], rows, columns, values }).unwrap()
    }

    #[test]
    fn degenerate_matrices_are_drawn() {
        let long = names(3, &"a long name ".repeat(20));
        let many = names(1000, "");
        for (rows, columns, values) in [
            (&[][..], &[][..], vec![]),
            (&long, &[], vec![]),
            (&[], &long, vec![]),
            (&long[..1], &long[..1], vec![0.0]),
            (&long, &long, vec![f64::NAN; 9]),
            (&long, &long, vec![7.0; 9]),
            (&long, &long[..1], vec![f64::MAX, f64::MIN, f64::INFINITY]),
            (&long, &long[..1], vec![f64::MAX, 1.0, 1e-300]),
            (&long[..1], &many, (0..1000).map(|value| f64::from(value) - 3.5).collect()),
            (&many, &many[..40], (0..40_000).map(f64::from).collect()),
        ] {
            let image = draw(rows, columns, &values);
            assert_eq!(image.width, 1400);
            assert!(image.pixels.iter().any(|value| *value < 128));
        }
    }

    #[test]
    fn values_of_both_signs_diverge_around_zero_and_others_do_not() {
        let signed = Colors::of(&[-1.0, 4.0, f64::NAN]);
        assert_eq!(signed.color(0.0), [247; 3]);
        assert_eq!(signed.color(4.0), palette::signed(1.0));
        assert_eq!(signed.color(-4.0), palette::signed(-1.0));
        let magnitudes = Colors::of(&[2.0, 6.0]);
        assert_eq!((magnitudes.color(2.0), magnitudes.color(6.0)), (palette::magnitude(0.0), palette::magnitude(1.0)));
        assert_eq!(Colors::of(&[-3.0, -1.0]).color(-1.0), palette::magnitude(1.0));
    }

    #[test]
    fn cells_have_the_digits_that_say_something() {
        assert_eq!(texts(&[0.123, -0.001, f64::NAN]), ["0.12", "0.00", "–"]);
        assert_eq!(texts(&[3.0, -12.0]), ["3", "−12"]);
        assert_eq!(texts(&[123.4, 5.6]), ["123", "6"]);
        assert_eq!(texts(&[1.23e-7]), ["1.2e−7"]);
    }

    #[test]
    fn columns_share_the_width_of_the_page() {
        for num_columns in [1, 2, 5, 40] {
            let image = draw(&names(3, "z"), &names(num_columns, ""), &vec![1.0; 3 * num_columns]);
            let right = image.width * 9 / 10;
            let is_blank = |x: usize| (0..image.height).all(|y| image.pixels[(y * image.width + x) * 3..][..3] == [255; 3]);
            assert!(!(right..image.width).all(is_blank), "{num_columns} columns");
        }
    }

    #[test]
    fn a_matrix_of_another_size_is_refused() {
        let figure = HeatMap { title: "", subtitle: "", axes: ["", "", "v"], rows: &names(2, ""), columns: &names(2, ""), values: &[1.0] };
        assert_eq!(heat_map(&figure).unwrap_err().to_string(), "`v` has 1 values where 4 have a place");
    }
}
