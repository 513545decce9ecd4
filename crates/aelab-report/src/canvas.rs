//! The sheet of paper: shapes and text as SVG, drawn with anti-aliasing by resvg in an embedded typeface.
//!
//! Coordinates are pixels of the finished picture. Pixel images are laid on last, each pixel a square.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use aelab_core::Image;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{self, fontdb};
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

use crate::palette;

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FigureError {
    /// The figure would be larger than any screen could show.
    #[error("the figure would be {width} x {height} pixels, the most is {max} to a side: show fewer examples")]
    TooLarge {
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
        /// The limit.
        max: usize,
    },
    /// Values and shape do not belong together.
    #[error("`{what}` holds {found} values, which is no whole number of images of shape {shape:?} (1 or 3 channels, height, width)")]
    Shape {
        /// Which values.
        what: String,
        /// How many there are.
        found: usize,
        /// `[channel, height, width]`.
        shape: [usize; 3],
    },
    /// Values and shape of series do not belong together.
    #[error("`{what}` holds {found} values, which is no whole number of series of shape {shape:?} (time, channel)")]
    Series {
        /// Which values.
        what: String,
        /// How many there are.
        found: usize,
        /// `[time, channel]`.
        shape: [usize; 2],
    },
    /// Points and labels do not belong together.
    #[error("there are {points} points and {labels} labels")]
    Labels {
        /// Number of points.
        points: usize,
        /// Number of labels.
        labels: usize,
    },
    /// Values and names do not belong together.
    #[error("`{what}` has {found} values where {expected} have a place")]
    Size {
        /// Which values.
        what: String,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// The drawing was refused by the rasteriser.
    #[error("the figure could not be drawn")]
    Svg(#[from] usvg::Error),
}

/// Longest side of a figure.
const MAX_SIDE: usize = 16_384;

/// A rectangle, `y` downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Rect {
    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stroke<'a> {
    pub(crate) color: &'a str,
    pub(crate) width: f64,
    /// SVG's `stroke-dasharray`; empty for a solid line.
    pub(crate) dash: &'a str,
    pub(crate) opacity: f64,
}

impl<'a> Stroke<'a> {
    pub(crate) fn solid(color: &'a str, width: f64) -> Self {
        Self { color, width, dash: "", opacity: 1.0 }
    }
}

/// Which end of a text stands at its position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextStyle<'a> {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) color: &'a str,
    pub(crate) anchor: Anchor,
}

impl TextStyle<'_> {
    pub(crate) fn new(size: f64, anchor: Anchor) -> Self {
        Self { size, bold: false, color: palette::INK, anchor }
    }
}

/// Shapes that remain distinct without colour.
pub(crate) const NUM_MARKERS: usize = 5;

/// A drawing in progress.
#[derive(Debug)]
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    svg: String,
    num_clips: usize,
    pictures: Vec<(usize, usize, usize, Image)>,
}

impl Canvas {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width: width.ceil() as usize, height: height.ceil() as usize, svg: String::new(), num_clips: 0, pictures: Vec::new() }
    }

    fn push(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.svg.write_fmt(arguments).expect("writing to a string cannot fail");
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke<'_>) {
        self.polyline(&[from, to], stroke);
    }

    pub(crate) fn polyline(&mut self, points: &[(f64, f64)], stroke: Stroke<'_>) {
        let Stroke { color, width, dash, opacity } = stroke;
        self.push(format_args!(
            r#"<polyline fill="none" stroke="{color}" stroke-width="{width}" stroke-dasharray="{}" stroke-opacity="{opacity}" stroke-linejoin="round" points=""#,
            if dash.is_empty() { "none" } else { dash }
        ));
        for (x, y) in points {
            self.push(format_args!("{x:.2},{y:.2} "));
        }
        self.push(format_args!("\"/>\n"));
    }

    /// Marker number `kind`, circle first, with a thin white border so that overlapping ones stay apart.
    pub(crate) fn marker(&mut self, kind: usize, (x, y): (f64, f64), radius: f64, color: &str, opacity: f64) {
        let style = format!(
            r##"fill="{color}" fill-opacity="{opacity}" stroke="#ffffff" stroke-opacity="{opacity}" stroke-width="{:.2}""##,
            radius * 0.18
        );
        let polygon = |corners: &[(f64, f64)]| {
            corners.iter().fold(String::new(), |mut text, (dx, dy)| {
                let _ = write!(text, "{:.2},{:.2} ", x + dx * radius, y + dy * radius);
                text
            })
        };
        let points = match kind % NUM_MARKERS {
            0 => return self.push(format_args!("<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius:.2}\" {style}/>\n")),
            1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            2 => polygon(&[(0.0, -1.2), (1.1, 0.85), (-1.1, 0.85)]),
            3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
            _ => polygon(&[(0.0, 1.2), (1.1, -0.85), (-1.1, -0.85)]),
        };
        self.push(format_args!("<polygon points=\"{points}\" {style}/>\n"));
    }

    /// A filled rectangle.
    pub(crate) fn rectangle(&mut self, rect: Rect, color: &str) {
        let Rect { left, top, width, height } = rect;
        self.push(format_args!("<rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{color}\"/>\n"));
    }

    /// A filled polygon.
    pub(crate) fn polygon(&mut self, corners: &[(f64, f64)], color: &str) {
        self.push(format_args!("<polygon fill=\"{color}\" points=\""));
        for (x, y) in corners {
            self.push(format_args!("{x:.2},{y:.2} "));
        }
        self.push(format_args!("\"/>\n"));
    }

    /// One line of text with its baseline at `y`.
    pub(crate) fn text(&mut self, (x, y): (f64, f64), text: &str, style: TextStyle<'_>) {
        self.turned_text((x, y), text, style, 0.0);
    }

    /// One line of text with a white outline, readable on top of data.
    pub(crate) fn outlined_text(&mut self, position: (f64, f64), text: &str, style: TextStyle<'_>) {
        self.svg.push_str(r##"<g paint-order="stroke" stroke="#ffffff" stroke-width="5" stroke-opacity="0.85" stroke-linejoin="round">"##);
        self.text(position, text, style);
        self.svg.push_str("</g>\n");
    }

    /// One line of text, turned by `angle` degrees around its position.
    pub(crate) fn turned_text(&mut self, (x, y): (f64, f64), text: &str, style: TextStyle<'_>, angle: f64) {
        let TextStyle { size, bold, color, anchor } = style;
        let weight = if bold { "bold" } else { "normal" };
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(format_args!(
            r#"<text x="{x:.2}" y="{y:.2}" font-size="{size}" font-weight="{weight}" fill="{color}" text-anchor="{anchor}" transform="rotate({angle} {x:.2} {y:.2})">{}</text>"#,
            escaped(text)
        ));
        self.svg.push('\n');
    }

    /// What is drawn until [`end_clip`](Self::end_clip) is visible inside `rect` only.
    pub(crate) fn begin_clip(&mut self, rect: Rect) {
        self.num_clips += 1;
        let number = self.num_clips;
        let Rect { left, top, width, height } = rect;
        self.push(format_args!(
            "<clipPath id=\"c{number}\"><rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\"/></clipPath><g clip-path=\"url(#c{number})\">\n"
));
    }

    pub(crate) fn end_clip(&mut self) {
        self.svg.push_str("</g>\n");
    }

    /// Lays `image` on with its top left corner at (`left`, `top`), each pixel a square of `scale` pixels.
    pub(crate) fn picture(&mut self, left: f64, top: f64, scale: usize, image: Image) {
        self.pictures.push((left.max(0.0) as usize, top.max(0.0) as usize, scale, image));
    }

    /// The finished picture, RGB on white.
    pub(crate) fn draw(self) -> Result<Image, FigureError> {
        let Self { width, height, svg, pictures, .. } = self;
        let too_large = FigureError::TooLarge { width, height, max: MAX_SIDE };
        if width > MAX_SIDE || height > MAX_SIDE {
            return Err(too_large);
        }
        let Some(mut pixmap) = Pixmap::new(width as u32, height as u32) else { return Err(too_large) };
        pixmap.fill(Color::WHITE);
        let document =
            format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="DejaVu Sans">{svg}</svg>"#);
        let options = usvg::Options { fontdb: Arc::clone(fonts()), font_family: "DejaVu Sans".to_owned(), ..usvg::Options::default() };
        let tree = usvg::Tree::from_str(&document, &options)?;
        resvg::render(&tree, Transform::identity(), &mut pixmap.as_mut());
        // The background is opaque, so premultiplied colours are the colours.
        let mut pixels: Vec<u8> = pixmap.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        for (left, top, scale, picture) in &pictures {
            for y in *top..(top + picture.height * scale).min(height) {
                for x in *left..(left + picture.width * scale).min(width) {
                    let source = ((y - top) / scale * picture.width + (x - left) / scale) * picture.channels;
                    for channel in 0..3 {
                        pixels[(y * width + x) * 3 + channel] = picture.pixels[source + channel % picture.channels];
                    }
                }
            }
        }
        Ok(Image { width, height, channels: 3, pixels })
    }
}

fn fonts() -> &'static Arc<fontdb::Database> {
    static FONTS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    FONTS.get_or_init(|| {
        let mut database = fontdb::Database::new();
        database.load_font_data(dejavu::sans::regular().to_vec());
        database.load_font_data(dejavu::sans::bold().to_vec());
        Arc::new(database)
    })
}

/// XML text: markup escaped, and characters that XML does not allow left out.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            other => escaped.push(other),
        }
        escaped
    })
}

/// Width of one line of text in pixels.
pub(crate) fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    static FONTS: OnceLock<[FontRef<'static>; 2]> = OnceLock::new();
    let fonts = FONTS.get_or_init(|| {
        [dejavu::sans::regular(), dejavu::sans::bold()].map(|font| FontRef::new(font).expect("the embedded font is a font"))
    });
    let font = &fonts[usize::from(bold)];
    let glyphs = font.charmap();
    let widths = font.glyph_metrics(Size::new(1.0), LocationRef::default());
    let advance = |character: char| glyphs.map(character).and_then(|glyph| widths.advance_width(glyph));
    let ems: f64 = text.chars().map(|character| advance(character).map_or(1.0, f64::from)).sum();
    ems * size
}

/// `text` cut to `width` pixels, with an ellipsis where something is missing.
pub(crate) fn shortened(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size, false) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for character in text.chars() {
        kept.push(character);
        if text_width(&kept, size, false) + text_width("…", size, false) > width {
            kept.pop();
            break;
        }
    }
    kept.push('…');
    kept
}

/// `text` in lines of at most `width` pixels, broken between words, or inside one that is too long.
/// Line breaks in the text are kept. Beyond `max_lines` the last line ends in an ellipsis.
pub(crate) fn wrapped(text: &str, size: f64, bold: bool, width: f64, max_lines: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if text_width(&longer, size, bold) <= width {
                line = longer;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for character in word.chars() {
                line.push(character);
                if line.chars().count() > 1 && text_width(&line, size, bold) > width {
                    line.pop();
                    lines.push(std::mem::replace(&mut line, character.to_string()));
                }
            }
        }
        lines.push(line);
    }
    if lines.len() > max_lines {
        lines.truncate(max_lines);
        if let Some(last) = lines.last_mut() {
            while text_width(&format!("{last}…"), size, bold) > width && last.pop().is_some() {}
            last.push('…');
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_nothing_is_lost() {
        let text = "a title with a_word_that_is_longer_than_the_whole_line_can_ever_be at its end";
        let lines = wrapped(text, 20.0, true, 200.0, 100);
        assert!(lines.iter().all(|line| text_width(line, 20.0, true) <= 200.0));
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
    }

    #[test]
    fn too_many_lines_end_in_an_ellipsis() {
        let lines = wrapped(&"word ".repeat(50), 20.0, false, 200.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…') && text_width(&lines[1], 20.0, false) <= 200.0);
    }

    #[test]
    fn measured_width_is_drawn_width() {
        let mut canvas = Canvas::new(600.0, 60.0);
        canvas.text((10.0, 40.0), "HHHHHHHHHHHHHH", TextStyle::new(30.0, Anchor::Start));
        let image = canvas.draw().unwrap();
        let is_dark = |x: &usize| (0..60).any(|y| image.pixels[(y * 600 + x) * 3] < 128);
        let drawn = (0..600).rfind(is_dark).unwrap() - (0..600).find(is_dark).unwrap();
        let expected = text_width("HHHHHHHHHHHHHH", 30.0, false);
        assert!((drawn as f64 - expected).abs() < 10.0, "{drawn} {expected}");
    }

    #[test]
    fn markup_and_control_characters_in_a_name_are_harmless() {
        let mut canvas = Canvas::new(100.0, 50.0);
        canvas.text((0.0, 20.0), "<&>\"'\u{0}\u{1b}\u{ffff}]]>中", TextStyle::new(20.0, Anchor::Start));
        canvas.draw().unwrap();
    }

    #[test]
    fn a_picture_is_enlarged_without_blur() {
        let mut canvas = Canvas::new(6.0, 4.0);
        canvas.picture(1.0, 1.0, 2, Image { width: 2, height: 1, channels: 1, pixels: vec![7, 9] });
        let image = canvas.draw().unwrap();
        let red: Vec<u8> = image.pixels.chunks(3).map(|pixel| pixel[0]).collect();
        assert_eq!(red[6..12], [255, 7, 7, 9, 9, 255]);
        assert_eq!(red[18..24], [255; 6]);
    }

    #[test]
    fn a_figure_that_no_screen_can_show_is_refused() {
        assert!(matches!(Canvas::new(1e6, 10.0).draw(), Err(FigureError::TooLarge { .. })));
        assert!(matches!(Canvas::new(0.0, 10.0).draw(), Err(FigureError::TooLarge { .. })));
    }
}
