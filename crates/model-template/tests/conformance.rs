//! The laws that every model keeps, for this one: one line.

use burn::tensor::Device;

aelab_core::conformance!(noisy_code: aelab_model_template::NoisyCodeConfig, Device::flex().autodiff());
