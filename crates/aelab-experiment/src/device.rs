//! Which processor a trial runs on, chosen at run time among those that this program was built for.

use burn::tensor::Device;

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No such name.
    #[error("there is no device `{0}`; expected `auto`, `flex`, `ndarray` or `cuda:0` (the number counts the GPUs)")]
    Unknown(String),
    /// The program lacks it.
    #[error(
        "this aelab was built without the device `{name}`; build it with `cargo build --release --features {name}`, or use `device: flex`"
    )]
    NotBuilt {
        /// Device and cargo feature.
        name: &'static str,
    },
    /// No GPU or no driver.
    #[error(
        "no CUDA GPU is visible: `device: cuda:{index}` needs an NVIDIA GPU and its driver (does `nvidia-smi` list it? is CUDA_VISIBLE_DEVICES set?); \
         use `device: flex` to compute on the CPU"
    )]
    NoGpu {
        /// The GPU asked for.
        index: usize,
    },
    /// Fewer GPUs than that.
    #[error("there is no GPU {index}: {found} found, numbered from 0")]
    NoSuchGpu {
        /// The GPU asked for.
        index: usize,
        /// GPUs that there are.
        found: usize,
    },
}

/// The name of a device with `auto` and `cuda` filled in: `flex`, `ndarray`, `cuda:0`.
pub fn resolve_device_name(name: &str) -> Result<String, DeviceError> {
    match name {
        "auto" | "flex" => Ok("flex".to_owned()),
        "ndarray" => Ok("ndarray".to_owned()),
        "cuda" => Ok("cuda:0".to_owned()),
        _ => cuda_index(name).map(|index| format!("cuda:{index}")),
    }
}

fn cuda_index(name: &str) -> Result<usize, DeviceError> {
    let unknown = || DeviceError::Unknown(name.to_owned());
    name.strip_prefix("cuda:").ok_or_else(unknown)?.parse().map_err(|_| unknown())
}

/// The device of that name. It is never burn's default, which depends on cargo features and on what is plugged in.
pub fn resolve_device(name: &str) -> Result<Device, DeviceError> {
    match resolve_device_name(name)?.as_str() {
        "flex" => Ok(Device::flex()),
        "ndarray" => ndarray(),
        other => cuda(cuda_index(other)?),
    }
}

/// What `BURN_DEVICE` of a worker is, so that nothing in it can fall back to another device.
pub(crate) fn burn_device_variable(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

#[cfg(feature = "ndarray")]
#[expect(deprecated, reason = "kept as an independent second implementation of every operation")]
fn ndarray() -> Result<Device, DeviceError> {
    Ok(Device::ndarray())
}

#[cfg(not(feature = "ndarray"))]
fn ndarray() -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { name: "ndarray" })
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device, DeviceError> {
    // Constructing a CUDA device succeeds without a GPU and panics at the first operation: ask first.
    let found = Device::enumerate(burn::tensor::DeviceType::Cuda).into_iter().count();
    match found {
        0 => Err(DeviceError::NoGpu { index }),
        _ if index >= found => Err(DeviceError::NoSuchGpu { index, found }),
        _ => Ok(Device::cuda(index)),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { name: "cuda" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_the_cpu_whatever_else_is_built_in() {
        assert_eq!(resolve_device_name("auto").unwrap(), "flex");
        assert!(resolve_device("auto").is_ok());
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(resolve_device_name("cuda").unwrap(), "cuda:0");
        assert_eq!(resolve_device_name("cuda:3").unwrap(), "cuda:3");
        for name in ["gpu", "cuda:", "cuda:x", "cuda:-1", ""] {
            assert_eq!(resolve_device_name(name), Err(DeviceError::Unknown(name.to_owned())));
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_was_not_built_in_says_how_to_build_it() {
        let message = resolve_device("cuda:0").unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
    }
}
