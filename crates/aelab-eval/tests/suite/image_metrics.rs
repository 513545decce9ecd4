//! PSNR and SSIM against scikit-image (values by scripts/reference/skimage_metrics.py), MS-SSIM against torchmetrics
//! and scikit-image (scripts/reference/multiscale_ssim.py).

use aelab_eval::{MsSsim, ms_ssim, mse, psnr, ssim};
use serde::Deserialize;

use crate::common::cases;

#[derive(Deserialize)]
struct Case {
    name: String,
    shape: [usize; 3],
    x: Vec<u8>,
    y: Vec<u8>,
    psnr: Option<f64>,
    ssim: f64,
}

fn values(pixels: &[u8]) -> Vec<f32> {
    pixels.iter().map(|&pixel| (f64::from(pixel) / 255.0) as f32).collect()
}

#[test]
fn psnr_and_ssim_equal_scikit_image() {
    let cases: Vec<Case> = cases(include_str!("../golden/image_metrics.json"));
    assert!(cases.len() >= 40);
    for case in cases {
        let (x, y) = (values(&case.x), values(&case.y));
        let found = ssim(&x, &y, case.shape).unwrap();
        assert!((found - case.ssim).abs() < 1e-10, "{} {:?}: SSIM {found}, scikit-image {}", case.name, case.shape, case.ssim);
        let found = psnr(mse(&x, &y, x.len()));
        match case.psnr {
            Some(expected) => {
                assert!((found - expected).abs() < 1e-10, "{} {:?}: PSNR {found}, scikit-image {expected}", case.name, case.shape)
            }
            None => assert_eq!(found, f64::INFINITY),
        }
    }
}

#[derive(Deserialize)]
struct MultiScaleCase {
    shape: [usize; 3],
    num_scales: usize,
    x: String,
    y: String,
    ms_ssim: f64,
}

/// The same pixels as `image` in the script.
fn image(kind: &str, [channels, height, width]: [usize; 3]) -> Vec<f32> {
    let mut pixels = Vec::with_capacity(channels * height * width);
    for channel in 0..channels {
        for row in 0..height {
            for column in 0..width {
                let smooth = (3 * row + 2 * column + 40 * channel) % 200;
                let noise = (row * row * 31 + column * column * 17 + row * column * 13 + channel * 7) % 97;
                pixels.push(match kind {
                    "smooth" => smooth,
                    "noisy" => (smooth + noise / 2).min(255),
                    "noise" => noise * 255 / 96,
                    "inverse" => 255 - noise * 255 / 96,
                    "dark" => 51,
                    "light" => 178,
                    other => panic!("no image is called {other}"),
                } as u8);
            }
        }
    }
    values(&pixels)
}

#[test]
fn ms_ssim_equals_the_product_of_the_parts_of_other_libraries_at_two_to_five_scales() {
    let cases: Vec<MultiScaleCase> = cases(include_str!("../golden/ms_ssim.json"));
    assert_eq!(cases.len(), 48);
    for MultiScaleCase { shape, num_scales, x, y, ms_ssim: expected } in cases {
        assert_eq!(MsSsim::new(shape).unwrap().num_scales(), num_scales, "{shape:?}");
        let found = ms_ssim(&image(&x, shape), &image(&y, shape), shape).unwrap();
        assert!((found - expected).abs() < 1e-10, "{x} and {y}, {shape:?}: MS-SSIM {found}, expected {expected}");
    }
}
