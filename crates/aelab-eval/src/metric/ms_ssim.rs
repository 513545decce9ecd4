//! MS-SSIM: structural similarity of images at several scales, in [0, 1], 1 for equal images.
//!
//! Wang, Simoncelli & Bovik 2003, "Multiscale structural similarity for image quality assessment", Eq. 7.
//! <https://doi.org/10.1109/ACSSC.2003.1292216>
//!
//! ```text
//! MS-SSIM = SSIM_M^w_M  prod_{j < M} CS_j^w_j          CS = (2 s_xy + C2) / (s_x^2 + s_y^2 + C2)
//! ```
//!
//! with the weights of the paper, .0448 .2856 .3001 .2363 .1333, for five scales. Each scale halves the image: the mean of 2 x 2
//! pixels, a last row or column without a partner left out. The window is that of [`Ssim`], 11 x 11. Where five scales do not fit,
//! the image at the coarsest being smaller than the window, there are as many as do, with the first weights, divided by
//! their sum: 2 for sides of 22 to 43 (28 x 28), 3 up to 87, 4 up to 175. SSIM and CS are means over windows and channels at each
//! scale; where they are negative the product is 0 (the paper leaves that open). torchmetrics 1.9 computes the same but for the coarsest
//! scale, where it counts windows that reach into a reflected border: its values are different ones.

use super::ssim::{GAUSSIAN_SIDE, Ssim};

/// Weights of the scales, the finest first.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Structural similarity at several scales, with memory that is reused from image to image.
#[derive(Debug, Clone)]
pub struct MsSsim {
    shape: [usize; 3],
    /// The finest first, at least two.
    scales: Vec<Ssim>,
    weights: Vec<f64>,
}

impl MsSsim {
    /// For images of `[channel, height, width]`; `None` where a side is below 22: with one scale only it would be the same as SSIM.
    pub fn new(shape: [usize; 3]) -> Option<Self> {
        let [channels, height, width] = shape;
        let sides = |scale: usize| [height >> scale, width >> scale];
        let num = (0..WEIGHTS.len()).take_while(|&scale| sides(scale).into_iter().all(|side| side >= GAUSSIAN_SIDE)).count();
        if num < 2 {
            return None;
        }
        let scales: Option<Vec<Ssim>> = (0..num).map(sides).map(|[height, width]| Ssim::new([channels, height, width])).collect();
        let sum: f64 = WEIGHTS[..num].iter().sum();
        Some(Self { shape, scales: scales?, weights: WEIGHTS[..num].iter().map(|weight| weight / sum).collect() })
    }

    /// How many scales there are.
    pub fn num_scales(&self) -> usize {
        self.scales.len()
    }

    /// The similarity of two images, flattened `[channel, height, width]`.
    ///
    /// # Panics
    /// When a slice is not one image of the shape.
    pub fn similarity<R: Copy + Into<f64>>(&mut self, x: &[f32], y: &[R]) -> f64 {
        self.similarities(x, y).1
    }

    /// SSIM of two images, and their similarity at several scales.
    pub(crate) fn similarities<R: Copy + Into<f64>>(&mut self, x: &[f32], y: &[R]) -> (f64, f64) {
        // A negative number has no root; what is not a number stays so.
        let power = |base: f64, weight: f64| if base < 0.0 { 0.0 } else { base.powf(weight) };
        let (ssim, contrast) = self.scales[0].similarity_and_contrast(x, y);
        let mut product = power(contrast, self.weights[0]);
        let (mut x, mut y) = (halved(x, self.shape), halved(y, self.shape));
        let [channels, mut height, mut width] = self.shape;
        let last = self.scales.len() - 1;
        for scale in 1..=last {
            (height, width) = (height / 2, width / 2);
            let (similarity, contrast) = self.scales[scale].similarity_and_contrast(&x, &y);
            product *= power(if scale == last { similarity } else { contrast }, self.weights[scale]);
            if scale < last {
                (x, y) = (halved(&x, [channels, height, width]), halved(&y, [channels, height, width]));
            }
        }
        (ssim, product)
    }
}

/// Means of 2 x 2 pixels.
fn halved<V: Copy + Into<f64>>(values: &[V], [channels, height, width]: [usize; 3]) -> Vec<f64> {
    let mut out = Vec::with_capacity(channels * (height / 2) * (width / 2));
    for plane in values.chunks_exact(height * width) {
        for row in 0..height / 2 {
            let (above, below) = (&plane[2 * row * width..][..width], &plane[(2 * row + 1) * width..][..width]);
            let means = above.chunks_exact(2).zip(below.chunks_exact(2));
            out.extend(means.map(|(above, below)| [above[0], above[1], below[0], below[1]].map(Into::into).iter().sum::<f64>() / 4.0));
        }
    }
    out
}

/// Mean similarity of two stacks of images `[image, channel, height, width]` with values in [0, 1]; `None`
/// where a side is below 22. NaN without images.
///
/// # Panics
/// When the slices are not equally many whole images.
pub fn ms_ssim<R: Copy + Into<f64>>(x: &[f32], reconstruction: &[R], shape: [usize; 3]) -> Option<f64> {
    let size = shape.iter().product::<usize>();
    assert!(x.len() == reconstruction.len() && x.len().is_multiple_of(size.max(1)), "both sides hold the same whole images");
    let mut ms_ssim = MsSsim::new(shape)?;
    let mut mean = super::ExampleMean::default();
    for (x, y) in x.chunks_exact(size).zip(reconstruction.chunks_exact(size)) {
        mean.push(ms_ssim.similarity(x, y));
    }
    Some(mean.mean())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_scales_as_have_room_for_the_window() {
        let num = |height, width| MsSsim::new([1, height, width]).map_or(0, |ms_ssim| ms_ssim.num_scales());
        assert_eq!([num(21, 40), num(22, 22), num(28, 28), num(43, 43), num(44, 90)], [0, 2, 2, 2, 3]);
        assert_eq!([num(88, 88), num(175, 400), num(176, 176), num(2000, 2000)], [4, 4, 5, 5]);
    }

    #[test]
    fn equal_images_have_similarity_one_and_opposite_ones_none() {
        let x: Vec<f32> = (0..28 * 28).map(|pixel| if (pixel / 28 / 3 + pixel % 28 / 3) % 2 == 0 { 1.0 } else { 0.0 }).collect();
        let inverse: Vec<f32> = x.iter().map(|x| 1.0 - x).collect();
        assert!((ms_ssim(&x, &x, [1, 28, 28]).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(ms_ssim(&x, &inverse, [1, 28, 28]).unwrap(), 0.0);
    }

    #[test]
    fn the_first_scale_is_ssim_to_the_last_bit() {
        let x: Vec<f32> = (0..784).map(|pixel| (pixel as f32 * 0.37).sin().abs()).collect();
        let y: Vec<f32> = x.iter().map(|x| x * 0.8 + 0.1).collect();
        let (ssim, _) = MsSsim::new([1, 28, 28]).unwrap().similarities(&x, &y);
        assert_eq!(ssim, Ssim::new([1, 28, 28]).unwrap().similarity(&x, &y));
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        assert!(ms_ssim(&[0.5; 784], &[f32::NAN; 784], [1, 28, 28]).unwrap().is_nan());
        assert!(ms_ssim::<f32>(&[], &[], [1, 28, 28]).unwrap().is_nan());
    }
}
