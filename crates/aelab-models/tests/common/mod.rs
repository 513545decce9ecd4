//! What the integration tests share.

use burn::tensor::Device;

/// The device that `AELAB_TEST_DEVICE` names, `flex` by default, with autodiff.
pub(crate) fn device() -> Device {
    let name = std::env::var("AELAB_TEST_DEVICE").unwrap_or_else(|_| "flex".to_owned());
    match name.as_str() {
        "flex" => Device::flex().autodiff(),
        #[cfg(feature = "ndarray")]
        #[expect(deprecated, reason = "the suite runs on it for as long as it is there")]
        "ndarray" => Device::ndarray().autodiff(),
        _ => panic!("AELAB_TEST_DEVICE is `{name}`; known are `flex` and, with the feature `ndarray`, `ndarray`"),
    }
}
