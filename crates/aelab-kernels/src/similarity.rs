//! Windowed means of a picture and the structural similarity made of them, in double precision.
//!
//! Each number is added up in an order that does not depend on the instruction set, without fused products: the result is the same
//! to the last bit on every machine.

use crate::isa::compiled_for_each_isa;

/// Filtered quantities: x, y, x^2 + y^2, x y. The two variances enter only as a sum.
const NUM_MAPS: usize = 4;

/// The similarity of planes of one size, with memory that is reused from plane to plane.
#[derive(Debug, Clone)]
pub struct Similarity {
    height: usize,
    width: usize,
    /// The window in one direction, of odd length, symmetric.
    window: Vec<f64>,
    /// What keeps quotients of small means and of small variances apart from 0.
    constants: [f64; 2],
    /// `[height, map, width]`.
    maps: Vec<f64>,
    /// One output row, filtered vertically: `[map, width]`.
    vertical: Vec<f64>,
    /// One output row, filtered in both directions: `[map, output column]`.
    filtered: Vec<f64>,
}

impl Similarity {
    /// For planes of `height` x `width`, neither below the length of `window`.
    ///
    /// # Panics
    /// When the window is of even length or does not fit.
    pub fn new(height: usize, width: usize, window: Vec<f64>, constants: [f64; 2]) -> Self {
        assert!(!window.len().is_multiple_of(2) && window.len() <= height.min(width), "a window has a middle and fits");
        let columns = width + 1 - window.len();
        Self {
            height,
            width,
            window,
            constants,
            maps: vec![0.0; height * NUM_MAPS * width],
            vertical: vec![0.0; NUM_MAPS * width],
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
        for ((maps, x), y) in self.maps.chunks_exact_mut(NUM_MAPS * width).zip(x.chunks_exact(width)).zip(y.chunks_exact(width)) {
            let (map_x, rest) = maps.split_at_mut(width);
            let (map_y, rest) = rest.split_at_mut(width);
            let (map_squares, map_product) = rest.split_at_mut(width);
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
            let lines = &self.maps[row * NUM_MAPS * width..][..side * NUM_MAPS * width];
            filter(lines, &self.window, self.constants, &mut self.vertical, &mut self.filtered);
            // One after the other, whatever the instruction set.
            let (similarities, rest) = self.filtered.split_at(columns);
            similarities.iter().for_each(|value| similarity += value);
            rest[..columns].iter().for_each(|value| contrast += value);
        }
        let num = (rows * columns) as f64;
        (similarity / num, contrast / num)
    }
}

/// The sum of lines weighted by a symmetric window: those at equal distance from the middle share a weight.
#[inline(always)]
fn weighted<'a>(out: &mut [f64], window: &[f64], line: impl Fn(usize) -> &'a [f64]) {
    let radius = window.len() / 2;
    let weight = window[radius];
    out.iter_mut().zip(line(radius)).for_each(|(out, middle)| *out = weight * middle);
    for (tap, weight) in window[..radius].iter().enumerate() {
        let pairs = line(tap).iter().zip(line(window.len() - 1 - tap));
        out.iter_mut().zip(pairs).for_each(|(out, (before, after))| *out += weight * (before + after));
    }
}

#[inline(always)]
fn filter_body<const FMA: bool>(lines: &[f64], window: &[f64], constants: [f64; 2], vertical: &mut [f64], filtered: &mut [f64]) {
    let stride = vertical.len();
    let (width, columns) = (stride / NUM_MAPS, filtered.len() / NUM_MAPS);
    weighted(vertical, window, |tap| &lines[tap * stride..][..stride]);
    for (out, vertical) in filtered.chunks_exact_mut(columns).zip(vertical.chunks_exact(width)) {
        weighted(out, window, |tap| &vertical[tap..][..columns]);
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
    /// One row of windows, whose `lines` are `[tap, map, width]`: in the first two maps of `filtered`, the similarities and their
    /// factors for contrast.
    fn filter(lines: &[f64], window: &[f64], constants: [f64; 2], vertical: &mut [f64], filtered: &mut [f64]) = filter_body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let (height, width) = (13, 19);
        let values = |step: f64| (0..height * width).map(|index| (index as f64 * step).sin()).collect::<Vec<_>>();
        let window = vec![0.1, 0.2, 0.4, 0.2, 0.1];
        let (found, columns) = (Similarity::new(height, width, window.clone(), [1e-4, 9e-4]).of(&values(0.3), &values(0.7)), width - 4);
        let mut similarity = Similarity::new(height, width, window.clone(), [1e-4, 9e-4]);
        similarity.of(&values(0.3), &values(0.7));
        let mut sums = [0.0; 2];
        let stride = NUM_MAPS * width;
        for row in 0..height - 4 {
            let lines = &similarity.maps[row * stride..][..5 * stride];
            filter_body::<false>(lines, &window, [1e-4, 9e-4], &mut similarity.vertical, &mut similarity.filtered);
            for (sum, values) in sums.iter_mut().zip(similarity.filtered.chunks_exact(columns)) {
                values.iter().for_each(|value| *sum += value);
            }
        }
        let num = ((height - 4) * columns) as f64;
        assert_eq!(found, (sums[0] / num, sums[1] / num));
    }
}
