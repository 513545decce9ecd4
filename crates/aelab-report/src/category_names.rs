//! Names of categories below a chart: level where they fit, in up to three lines, slanted otherwise.

use crate::axis::TICK_SIZE;
use crate::canvas::{Anchor, Canvas, TextStyle, text_width, wrapped};

/// Height of a line of a name.
const LINE: f64 = TICK_SIZE * 1.2;
/// A slanted name rises by this many degrees.
const ANGLE: f64 = 40.0;
/// Longest slanted name in pixels.
const LONGEST: f64 = 300.0;
/// Level names have at most this many lines.
const MOST_LINES: usize = 3;

/// The names of the categories of a chart, laid out.
#[derive(Debug)]
pub(crate) struct CategoryNames {
    names: Vec<Vec<String>>,
    is_slanted: bool,
    /// Every n-th name is drawn.
    stride: usize,
}

impl CategoryNames {
    /// For categories `step` pixels apart, the first of them `left` pixels from the left edge of the page.
    pub(crate) fn new(names: &[String], step: f64, left: f64) -> Self {
        let space = step - 12.0;
        let widest = |texts: &mut dyn Iterator<Item = &str>| texts.map(|text| text_width(text, TICK_SIZE, false)).fold(0.0, f64::max);
        let lines = |name: &String| wrapped(name, TICK_SIZE, false, space.max(1.0), MOST_LINES + 1);
        let all: Vec<Vec<String>> = if space > 0.0 { names.iter().map(lines).collect() } else { Vec::new() };
        let fits = space > 0.0
            && widest(&mut names.iter().flat_map(|name| name.split_whitespace())) <= space
            && all.iter().all(|lines| lines.len() <= MOST_LINES);
        if fits {
            return Self { names: all, is_slanted: false, stride: 1 };
        }
        // Numbers stay level, every n-th of them.
        let widest_name = widest(&mut names.iter().map(String::as_str));
        if widest_name <= 3.0 * TICK_SIZE {
            let stride = ((widest_name + 12.0) / step.max(1e-3)).ceil().max(1.0) as usize;
            return Self { names: names.iter().map(|name| vec![name.clone()]).collect(), is_slanted: false, stride };
        }
        let (sine, cosine) = ANGLE.to_radians().sin_cos();
        let stride = (LINE / (step * sine).max(1e-3)).ceil().max(1.0) as usize;
        let room = |index: usize| ((left + index as f64 * step) / cosine - 10.0).clamp(TICK_SIZE, LONGEST);
        let names = names.iter().enumerate().map(|(index, name)| vec![shortened_inside(name, room(index))]).collect();
        Self { names, is_slanted: true, stride }
    }

    fn drawn(&self) -> impl Iterator<Item = (usize, &Vec<String>)> {
        self.names.iter().enumerate().step_by(self.stride)
    }

    /// Space that the names need below the chart.
    pub(crate) fn height(&self) -> f64 {
        if self.is_slanted {
            let longest = self.drawn().flat_map(|(_, lines)| lines).map(|line| text_width(line, TICK_SIZE, false)).fold(0.0, f64::max);
            (longest + TICK_SIZE) * ANGLE.to_radians().sin() + 16.0
        } else {
            self.drawn().map(|(_, lines)| lines.len()).max().unwrap_or(0) as f64 * LINE + 14.0
        }
    }

    /// Draws the names below `top`, that of category `index` at `center(index)`.
    pub(crate) fn draw(&self, canvas: &mut Canvas, top: f64, center: impl Fn(usize) -> f64) {
        for (index, lines) in self.drawn() {
            let x = center(index);
            for (line, text) in lines.iter().enumerate() {
                if self.is_slanted {
                    canvas.turned_text((x + 6.0, top + 8.0 + TICK_SIZE * 0.7), text, TextStyle::new(TICK_SIZE, Anchor::End), -ANGLE);
                } else {
                    let y = top + 8.0 + TICK_SIZE * 0.9 + line as f64 * LINE;
                    canvas.text((x, y), text, TextStyle::new(TICK_SIZE, Anchor::Middle));
                }
            }
        }
    }
}

/// `name` cut to `width` pixels in its middle: names that begin alike often differ at their ends.
fn shortened_inside(name: &str, width: f64) -> String {
    if text_width(name, TICK_SIZE, false) <= width {
        return name.to_owned();
    }
    let characters: Vec<char> = name.chars().collect();
    let kept = |num: usize| -> String {
        let (head, tail) = (&characters[..num - num / 2], &characters[characters.len() - num / 2..]);
        head.iter().chain(&['…']).chain(tail).collect()
    };
    let num = (0..characters.len()).rfind(|num| text_width(&kept(*num), TICK_SIZE, false) <= width).unwrap_or(0);
    kept(num)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_level_where_their_words_fit_and_slanted_otherwise() {
        let level = CategoryNames::new(&names(&["ankle boot", "bag"]), 90.0, 100.0);
        assert_eq!((level.is_slanted, level.stride, level.names[0].len()), (false, 1, 2));
        let slanted = CategoryNames::new(&names(&["a_name_without_any_space_in_it", "bag"]), 90.0, 100.0);
        assert!(slanted.is_slanted && slanted.height() > 80.0);
    }

    #[test]
    fn names_that_begin_alike_remain_distinct() {
        let long = CategoryNames::new(
            &names(&["gaussian_corruption_with_level_0.1_in_the_input", "gaussian_corruption_with_level_0.1_in_the_code"]),
            90.0,
            100.0,
        );
        assert_ne!(long.names[0][0], long.names[1][0]);
        assert!(long.names[0][0].starts_with("gau") && text_width(&long.names[0][0], TICK_SIZE, false) <= LONGEST);
        assert_eq!(shortened_inside("name", 1.0), "…");
    }

    #[test]
    fn of_many_numbers_some_are_shown() {
        let numbers: Vec<String> = (0..784).map(|number| number.to_string()).collect();
        let shown = CategoryNames::new(&numbers, 1.5, 100.0);
        assert!(!shown.is_slanted && shown.stride > 10 && shown.drawn().count() > 5);
    }

    #[test]
    fn nothing_and_no_room_are_harmless() {
        assert!(CategoryNames::new(&[], 0.0, 0.0).height() > 0.0);
        CategoryNames::new(&names(&["", "long name ".repeat(40).as_str()]), 0.0, 0.0).draw(&mut Canvas::new(10.0, 10.0), 0.0, |_| 0.0);
    }
}
