//! Windowed means of a picture and the structural similarity made of them, in double precision.
//!
//! Each number is added up in an order that does not depend on the instruction set, without fused products: the result is the same
//! to the last bit on every machine.

use crate::isa::compiled_for_each_isa;

/// Filtered quantities: x, y, x^2 + y^2, x y. The two variances enter only as a sum.
const NUM_MAPS: usize = 4;

/// Numbers that are worked on as one.
const LANES: usize = 8;

/// The similarity of planes of one size, with memory that is reused from plane to plane.
#[derive(Debug, Clone)]
pub struct Similarity {
    height: usize,
    width: usize,
    /// The window in one direction, of odd length, symmetric.
    window: Vec<f64>,
    /// What keeps quotients of small means and of small variances apart from 0.
    constants: [f64; 2],
    /// `[height, map, stride]`: lines are as long as whole vectors want them, with zeros behind their end.
    maps: Vec<f64>,
    /// One output row, filtered vertically: `[map, stride]`.
    vertical: Vec<f64>,
    /// One output row, filtered in both directions: `[map, output column]`, of whole vectors of columns.
    filtered: Vec<f64>,
}

impl Similarity {
    /// For planes of `height` x `width`, neither below the length of `window`.
    ///
    /// # Panics
    /// When the window is of even length or does not fit.
    pub fn new(height: usize, width: usize, window: Vec<f64>, constants: [f64; 2]) -> Self {
        assert!(!window.len().is_multiple_of(2) && window.len() <= height.min(width), "a window has a middle and fits");
        let columns = (width + 1 - window.len()).next_multiple_of(LANES);
        let stride = (columns + window.len() - 1).next_multiple_of(2 * LANES / NUM_MAPS);
        Self {
            height,
            width,
            window,
            constants,
            maps: vec![0.0; height * NUM_MAPS * stride],
            vertical: vec![0.0; NUM_MAPS * stride],
            filtered: vec![0.0; NUM_MAPS * columns],
        }
    }

    /// Means over all windows that lie wholly inside of
    ///
    /// ```text
    /// (2 m_x m_y + C1)(2 s_xy + C2) / ((m_x^2 + m_y^2 + C1)(s_x^2 + s_y^2 + C2))
    /// (2 s_xy + C2) / (s_x^2 + s_y^2 + C2)
    /// ```
    ///
    /// with means, variances and covariance in the window.
    ///
    /// # Panics
    /// When a side is not one plane, row after row.
    pub fn of<X: Copy + Into<f64>, Y: Copy + Into<f64>>(&mut self, x: &[X], y: &[Y]) -> (f64, f64) {
        let (height, width) = (self.height, self.width);
        assert!(x.len() == height * width && y.len() == x.len(), "both sides are one plane");
        let stride = self.vertical.len() / NUM_MAPS;
        for ((maps, x), y) in self.maps.chunks_exact_mut(NUM_MAPS * stride).zip(x.chunks_exact(width)).zip(y.chunks_exact(width)) {
            let (map_x, rest) = maps.split_at_mut(stride);
            let (map_y, rest) = rest.split_at_mut(stride);
            let (map_squares, map_product) = rest.split_at_mut(stride);
            let maps = map_x.iter_mut().zip(map_y).zip(map_squares).zip(map_product);
            for ((((map_x, map_y), map_squares), map_product), (&x, &y)) in maps.zip(x.iter().zip(y)) {
                let (x, y): (f64, f64) = (x.into(), y.into());
                *map_x = x;
                *map_y = y;
                *map_squares = x * x + y * y;
                *map_product = x * y;
            }
        }
        let side = self.window.len();
        let (rows, columns) = (height + 1 - side, width + 1 - side);
        let (mut similarity, mut contrast) = (0.0, 0.0);
        for row in 0..rows {
            let lines = &self.maps[row * NUM_MAPS * stride..][..side * NUM_MAPS * stride];
            filter(lines, &self.window, self.constants, &mut self.vertical, &mut self.filtered);
            // One after the other, whatever the instruction set.
            let (similarities, rest) = self.filtered.split_at(self.filtered.len() / NUM_MAPS);
            for (of_similarity, of_contrast) in similarities.iter().zip(rest).take(columns) {
                similarity += of_similarity;
                contrast += of_contrast;
            }
        }
        let num = (rows * columns) as f64;
        (similarity / num, contrast / num)
    }
}

/// The sum of lines weighted by a symmetric window: those at equal distance from the middle share a weight. All lines are whole
/// groups of `NUM`.
#[inline(always)]
fn weighted<'a, const NUM: usize>(out: &mut [f64], window: &[f64], line: impl Fn(usize) -> &'a [f64]) {
    let (radius, last) = (window.len() / 2, window.len() - 1);
    for (group, out) in out.as_chunks_mut::<NUM>().0.iter_mut().enumerate() {
        let part = |tap: usize| &line(tap)[group * NUM..(group + 1) * NUM];
        let (weight, middle) = (window[radius], part(radius));
        let mut sums = [0.0; NUM];
        for lane in 0..NUM {
            sums[lane] = weight * middle[lane];
        }
        for (tap, weight) in window[..radius].iter().enumerate() {
            let (before, after) = (part(tap), part(last - tap));
            for lane in 0..NUM {
                sums[lane] += weight * (before[lane] + after[lane]);
            }
        }
        *out = sums;
    }
}

#[inline(always)]
fn filter_body<const FMA: bool>(lines: &[f64], window: &[f64], constants: [f64; 2], vertical: &mut [f64], filtered: &mut [f64]) {
    let length = vertical.len();
    let (stride, columns) = (length / NUM_MAPS, filtered.len() / NUM_MAPS);
    weighted::<{ 2 * LANES }>(vertical, window, |tap| &lines[tap * length..][..length]);
    for (out, vertical) in filtered.chunks_exact_mut(columns).zip(vertical.chunks_exact(stride)) {
        weighted::<LANES>(out, window, |tap| &vertical[tap..][..columns]);
    }
    let [c1, c2] = constants;
    let (mean_x, rest) = filtered.split_at_mut(columns);
    let (mean_y, rest) = rest.split_at_mut(columns);
    let (mean_squares, mean_product) = rest.split_at(columns);
    for (((x, y), squares), product) in mean_x.iter_mut().zip(mean_y).zip(mean_squares).zip(mean_product) {
        let (mean_product, mean_squares) = (*x * *y, *x * *x + *y * *y);
        let covariance = product - mean_product;
        let variances = squares - mean_squares;
        *x = (2.0 * mean_product + c1) * (2.0 * covariance + c2) / ((mean_squares + c1) * (variances + c2));
        *y = (2.0 * covariance + c2) / (variances + c2);
    }
}

compiled_for_each_isa! {
    /// One row of windows, whose `lines` are `[tap, map, stride]`: in the first two maps of `filtered`, the similarities and their
    /// factors for contrast.
    fn filter(lines: &[f64], window: &[f64], constants: [f64; 2], vertical: &mut [f64], filtered: &mut [f64]) = filter_body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same_bits_and_those_of_sums_one_after_the_other() {
        let window = vec![0.1, 0.2, 0.4, 0.2, 0.1];
        let constants = [1e-4, 9e-4];
        for (height, width) in [(13, 19), (5, 5), (7, 12), (6, 28)] {
            let values = |step: f64| (0..height * width).map(|index| (index as f64 * step).sin()).collect::<Vec<_>>();
            let (x, y) = (values(0.3), values(0.7));
            let mut similarity = Similarity::new(height, width, window.clone(), constants);
            let found = similarity.of(&x, &y);

            let columns = width - 4;
            let (mut of_body, mut plain) = ([0.0; 2], [0.0; 2]);
            for row in 0..height - 4 {
                let length = similarity.vertical.len();
                let lines = &similarity.maps[row * length..][..5 * length];
                filter_body::<false>(lines, &window, constants, &mut similarity.vertical, &mut similarity.filtered);
                let padded = similarity.filtered.len() / NUM_MAPS;
                for column in 0..columns {
                    of_body[0] += similarity.filtered[column];
                    of_body[1] += similarity.filtered[padded + column];

                    // The same weights and the same order, a number at a time.
                    let sum = |line: &dyn Fn(usize) -> f64| {
                        (0..2).fold(window[2] * line(2), |sum, tap| sum + window[tap] * (line(tap) + line(4 - tap)))
                    };
                    let mean = |map: &dyn Fn(f64, f64) -> f64| {
                        let at = |down: usize, across: usize| (row + down) * width + column + across;
                        sum(&|across| sum(&|down| map(x[at(down, across)], y[at(down, across)])))
                    };
                    let (mean_x, mean_y) = (mean(&|x, _| x), mean(&|_, y| y));
                    let (squares, product) = (mean_x * mean_x + mean_y * mean_y, mean_x * mean_y);
                    let (variances, covariance) = (mean(&|x, y| x * x + y * y) - squares, mean(&|x, y| x * y) - product);
                    let [c1, c2] = constants;
                    plain[0] += (2.0 * product + c1) * (2.0 * covariance + c2) / ((squares + c1) * (variances + c2));
                    plain[1] += (2.0 * covariance + c2) / (variances + c2);
                }
            }
            let num = ((height - 4) * columns) as f64;
            assert_eq!(found, (of_body[0] / num, of_body[1] / num));
            assert_eq!(found, (plain[0] / num, plain[1] / num));
        }
    }
}
