//! SSIM: structural similarity of images, in [-1, 1], 1 for equal images.
//!
//! Wang, Bovik, Sheikh & Simoncelli 2004, "Image quality assessment: from error visibility to structural
//! similarity", Eq. 13. <https://doi.org/10.1109/TIP.2003.819861>
//!
//! ```text
//! SSIM = (2 m_x m_y + C1)(2 s_xy + C2) / ((m_x^2 + m_y^2 + C1)(s_x^2 + s_y^2 + C2))
//! ```
//!
//! with means, variances and covariance in a window around each pixel, C1 = 0.01^2, C2 = 0.03^2 (data
//! range 1), averaged over the pixels whose window lies wholly inside the image, then over channels, then
//! over images. The window is the paper's: 11 x 11, Gaussian, standard deviation 1.5. In an image with a
//! side below 11 it is uniform, of the largest odd side up to 7 that fits. Both are what scikit-image's
//! `structural_similarity` does with `data_range=1, use_sample_covariance=False` and
//! `gaussian_weights=True`, or `win_size=` that side.

use aelab_kernels::Similarity;

/// Side of the Gaussian window.
pub(crate) const GAUSSIAN_SIDE: usize = 11;
/// Standard deviation of the Gaussian window, in pixels.
const SIGMA: f64 = 1.5;
/// Largest side of the uniform window of small images.
const UNIFORM_SIDE: usize = 7;
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;
/// Structural similarity of images of one shape, with memory that is reused from image to image.
#[derive(Debug, Clone)]
pub struct Ssim {
    shape: [usize; 3],
    planes: Similarity,
}

impl Ssim {
    /// For images of `[channel, height, width]`; `None` where a side is below 3, for which no window has a variance.
    pub fn new(shape: [usize; 3]) -> Option<Self> {
        let [channels, height, width] = shape;
        let side = height.min(width);
        if side < 3 || channels == 0 {
            return None;
        }
        let window = if side >= GAUSSIAN_SIDE { gaussian_window() } else { uniform_window(side) };
        Some(Self { shape, planes: Similarity::new(height, width, window, [C1, C2]) })
    }

    /// The similarity of two images, flattened `[channel, height, width]`.
    ///
    /// # Panics
    /// When a slice is not one image of the shape.
    pub fn similarity<R: Copy + Into<f64>>(&mut self, x: &[f32], y: &[R]) -> f64 {
        self.similarity_and_contrast(x, y).0
    }

    /// The similarity, and its factor for contrast and structure alone, `(2 s_xy + C2) / (s_x^2 + s_y^2 + C2)`.
    pub(crate) fn similarity_and_contrast<X: Copy + Into<f64>, R: Copy + Into<f64>>(&mut self, x: &[X], y: &[R]) -> (f64, f64) {
        let [channels, height, width] = self.shape;
        let size = height * width;
        assert!(x.len() == channels * size && y.len() == x.len(), "both sides are one image of the shape");
        let (mut similarity, mut contrast) = (0.0, 0.0);
        for (x, y) in x.chunks_exact(size).zip(y.chunks_exact(size)) {
            let of_channel = self.planes.of(x, y);
            similarity += of_channel.0;
            contrast += of_channel.1;
        }
        (similarity / channels as f64, contrast / channels as f64)
    }
}

/// Mean similarity of two stacks of images `[image, channel, height, width]` with values in [0, 1]; `None`
/// where a side is below 3. NaN without images.
///
/// # Panics
/// When the slices are not equally many whole images.
pub fn ssim<R: Copy + Into<f64>>(x: &[f32], reconstruction: &[R], shape: [usize; 3]) -> Option<f64> {
    let size = shape.iter().product::<usize>();
    assert!(x.len() == reconstruction.len() && x.len().is_multiple_of(size.max(1)), "both sides hold the same whole images");
    let mut ssim = Ssim::new(shape)?;
    let mut mean = super::ExampleMean::default();
    for (x, y) in x.chunks_exact(size).zip(reconstruction.chunks_exact(size)) {
        mean.push(ssim.similarity(x, y));
    }
    Some(mean.mean())
}

fn gaussian_window() -> Vec<f64> {
    let radius = GAUSSIAN_SIDE as f64 / 2.0 - 0.5;
    let weights: Vec<f64> = (0..GAUSSIAN_SIDE).map(|tap| (-0.5 * ((tap as f64 - radius) / SIGMA).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Of the largest odd side up to [`UNIFORM_SIDE`] that fits.
fn uniform_window(side: usize) -> Vec<f64> {
    let side = side.min(UNIFORM_SIDE);
    let side = if side.is_multiple_of(2) { side - 1 } else { side };
    vec![1.0 / side as f64; side]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_images_have_similarity_one_and_opposite_ones_less_than_zero() {
        let x: Vec<f32> = (0..28 * 28).map(|pixel| if (pixel / 28 + pixel % 28) % 2 == 0 { 1.0 } else { 0.0 }).collect();
        let inverse: Vec<f32> = x.iter().map(|x| 1.0 - x).collect();
        assert!((ssim(&x, &x, [1, 28, 28]).unwrap() - 1.0).abs() < 1e-12);
        assert!(ssim(&x, &inverse, [1, 28, 28]).unwrap() < -0.9);
    }

    #[test]
    fn constant_images_follow_the_closed_form() {
        let (a, b) = (0.25f64, 0.75f64);
        let expected = (2.0 * a * b + C1) / (a * a + b * b + C1);
        for shape in [[1, 28, 28], [3, 11, 40], [1, 8, 8], [1, 3, 4]] {
            let size = shape.iter().product();
            let similarity = ssim(&vec![a as f32; size], &vec![b; size], shape).unwrap();
            assert!((similarity - expected).abs() < 1e-12, "{shape:?}");
        }
    }

    #[test]
    fn an_image_without_room_for_a_window_has_none() {
        assert!(ssim(&[0.0; 20], &[0.0f32; 20], [1, 2, 10]).is_none());
    }
}
