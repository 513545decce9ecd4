//! PSNR and SSIM against scikit-image (values by scripts/reference/skimage_metrics.py).

use aelab_eval::{mse, psnr, ssim};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

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
    let golden: Golden = serde_json::from_str(include_str!("../golden/image_metrics.json")).unwrap();
    assert!(golden.cases.len() >= 40);
    for case in golden.cases {
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
