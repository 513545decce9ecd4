//! Points in a plane, such as two-dimensional codes, as a map.

use aelab_core::Image;

use crate::axis::{Axis, Frame, Scale};
use crate::canvas::{Anchor, FigureError, NUM_MARKERS, TextStyle, text_width};
use crate::page::{Entry, Key, Page, no_data};
use crate::palette;

/// More points than this only hide each other; every n-th is drawn.
const MOST_POINTS: usize = 12_000;
/// Up to this many classes have their names in the middle of their points, too.
const MOST_NAMED: usize = 12;
const NAME_SIZE: f64 = 22.0;
/// A longer name stands in the legend only.
const WIDEST_NAME: f64 = 130.0;

/// Codes of examples, and what the examples are.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentScatter<'a> {
    /// What is shown.
    pub title: &'a str,
    /// One line below the title, or nothing.
    pub subtitle: &'a str,
    /// The two coordinates of each code.
    pub points: &'a [[f32; 2]],
    /// Class of each point; empty where there are no labels.
    pub labels: &'a [usize],
    /// Name of each class; a class without one is called by its number.
    pub class_names: &'a [String],
    /// What is at each axis, with its unit.
    pub axes: [&'a str; 2],
}

/// Draws points, coloured by class where there are labels, with the same scale on both axes where these are dimensions of one
/// thing (`z₁` and `z₂`), unless that would squeeze one of them.
pub fn latent_scatter(figure: &LatentScatter<'_>) -> Result<Image, FigureError> {
    let LatentScatter { points, labels, class_names, .. } = *figure;
    if !labels.is_empty() && labels.len() != points.len() {
        return Err(FigureError::Labels { points: points.len(), labels: labels.len() });
    }
    let mut classes: Vec<usize> = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    // Beyond ten classes colours repeat with another shape, beyond fifty they follow a sequence.
    let style = |class: usize| {
        let position = classes.binary_search(&class).unwrap_or(0);
        if classes.len() <= palette::CLASSES.len() * NUM_MARKERS {
            (palette::CLASSES[position % palette::CLASSES.len()].to_owned(), position / palette::CLASSES.len())
        } else {
            (palette::sequential(position, classes.len()), position % NUM_MARKERS)
        }
    };
    let name = |class: usize| class_names.get(class).cloned().unwrap_or_else(|| class.to_string());
    let entries = classes.iter().map(|class| {
        let (color, kind) = style(*class);
        Entry { key: Key::Marker { color, kind }, label: name(*class) }
    });

    let stride = points.len().div_ceil(MOST_POINTS).max(1);
    let mut subtitle = figure.subtitle.to_owned();
    if stride > 1 {
        let remark = format!("every {stride}{} of {} points", ordinal(stride), points.len());
        subtitle = if subtitle.is_empty() { remark } else { format!("{subtitle}; {remark}") };
    }
    let side = 900.0;
    let page = Page { title: figure.title, subtitle: &subtitle, entries: entries.collect(), below: false };
    let (mut canvas, chart) = page.lay_out(side, Some(side + 40.0));
    let finite = |point: &&[f32; 2]| point.iter().all(|value| value.is_finite());
    let axis = |dimension: usize| Axis::around(points.iter().filter(finite).map(|point| f64::from(point[dimension])), Scale::Linear, 0.04);
    let (mut x, mut y) = (axis(0), axis(1));
    let span = x.span().max(y.span());
    if is_one_quantity(figure.axes) && span <= 3.0 * x.span().min(y.span()) {
        (x, y) = (x.widened(span), y.widened(span));
    }
    let frame = Frame { x: &x, y: &y, x_label: figure.axes[0], y_label: figure.axes[1] };
    let inner = frame.inner(chart);
    frame.draw(&mut canvas, inner);
    let drawn: Vec<usize> = (0..points.len()).step_by(stride).filter(|index| finite(&&points[*index])).collect();
    if drawn.is_empty() {
        no_data(&mut canvas, inner);
    }
    let (radius, opacity) = match drawn.len() {
        0..=300 => (8.0, 0.9),
        301..=1500 => (6.5, 0.8),
        1501..=5000 => (5.0, 0.7),
        _ => (4.0, 0.6),
    };
    canvas.begin_clip(inner);
    for index in drawn {
        let [x, y] = points[index];
        if let Some(place) = frame.place(inner, (f64::from(x), f64::from(y))) {
            let (color, kind) = labels.get(index).map_or_else(|| (palette::UNLABELLED.to_owned(), 0), |class| style(*class));
            canvas.marker(kind, place, radius, &color, opacity);
        }
    }
    canvas.end_clip();
    if classes.len() <= MOST_NAMED {
        for class in &classes {
            let members = |dimension: usize| {
                let values =
                    points.iter().zip(labels).filter(|(point, label)| *label == class && finite(point)).map(|(point, _)| point[dimension]);
                median(values.collect())
            };
            let place = members(0).zip(members(1)).and_then(|(x, y)| frame.place(inner, (f64::from(x), f64::from(y))));
            let name = name(*class);
            if let Some((x, y)) = place.filter(|_| text_width(&name, NAME_SIZE, true) <= WIDEST_NAME) {
                canvas.outlined_text(
                    (x, y + NAME_SIZE * 0.36),
                    &name,
                    TextStyle { bold: true, ..TextStyle::new(NAME_SIZE, Anchor::Middle) },
                );
            }
        }
    }
    canvas.draw()
}

/// Whether the names of two axes differ by a number only: dimensions of one space, which have one scale.
fn is_one_quantity(axes: [&str; 2]) -> bool {
    let is_number = |character: char| character.is_ascii_digit() || ('₀'..='₉').contains(&character);
    let [first, second] = axes.map(|name| name.replace(is_number, ""));
    first == second
}

fn median(mut values: Vec<f32>) -> Option<f32> {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}

fn ordinal(number: usize) -> &'static str {
    match (number % 10, number % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(points: &[[f32; 2]], labels: &[usize], class_names: &[String]) -> Image {
        latent_scatter(&LatentScatter { title: "codes", subtitle: "", points, labels, class_names, axes: ["z₁", "z₂"] }).unwrap()
    }

    #[test]
    fn dimensions_of_one_space_share_a_scale_and_different_quantities_do_not() {
        assert!(is_one_quantity(["z₁", "z₂"]) && is_one_quantity(["component 1", "component 12"]) && is_one_quantity(["", ""]));
        assert!(!is_one_quantity(["code size", "SSE"]));
        // The points fill a page of 900 pixels from its left to its right, or only a narrow band in its middle.
        let points: Vec<[f32; 2]> = (0..50).map(|index| [index as f32, index as f32 * 2.5]).collect();
        let width = |axes| {
            let image =
                latent_scatter(&LatentScatter { title: "", subtitle: "", points: &points, labels: &[0; 50], class_names: &[], axes })
                    .unwrap();
            // Of the points, which are a little transparent, only blue is the strongest colour.
            let is_blue = |pixel: &[u8]| pixel[2].saturating_sub(pixel[0].max(pixel[1])) > 40;
            let is_point = |x: &usize| (0..image.height).any(|y| is_blue(&image.pixels[(y * image.width + x) * 3..][..3]));
            let columns: Vec<usize> = (0..image.width - 200).filter(is_point).collect();
            columns.last().unwrap() - columns[0]
        };
        let (one, two) = (width(["z₁", "z₂"]), width(["code size", "SSE"]));
        assert!(one * 2 < two, "{one} {two}");
    }

    #[test]
    fn degenerate_scatters_are_drawn() {
        for points in
            [&[][..], &[[0.0, 0.0]], &[[1.0, 2.0]; 5], &[[f32::NAN, 0.0]], &[[f32::MAX, f32::MIN], [0.0, f32::INFINITY], [1e-30, 0.0]]]
        {
            let image = draw(points, &[], &[]);
            assert!(image.pixels.iter().any(|value| *value < 128));
        }
        let points: Vec<[f32; 2]> = (0..200).map(|index| [index as f32, (index % 7) as f32]).collect();
        let labels: Vec<usize> = (0..200).collect();
        draw(&points, &labels, &["a name ".repeat(40)]);
        draw(&points, &vec![3; 200], &[]);
    }

    #[test]
    fn each_class_has_the_colour_of_its_legend() {
        let image = draw(&[[0.0, 0.0], [10.0, 10.0]], &[0, 7], &[]);
        for color in [[0x33, 0x22, 0x88], [0x88, 0xcc, 0xee]] {
            assert!(image.pixels.chunks(3).filter(|pixel| **pixel == color).count() > 50);
        }
    }

    #[test]
    fn labels_that_are_too_few_are_refused() {
        let error = latent_scatter(&LatentScatter {
            title: "",
            subtitle: "",
            points: &[[0.0; 2]; 3],
            labels: &[1],
            class_names: &[],
            axes: ["", ""],
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "there are 3 points and 1 labels");
    }
}
