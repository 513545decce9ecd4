//! What another program needs to take the same steps: initial parameters, batch and noise, and the losses it must then find.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aelab_core::{Noise, StateError, StreamNoise};
use burn::tensor::{Bytes, Device, Tensor};
use serde_json::json;

use crate::{BenchmarkNetwork, Steps};

/// What can go wrong in writing a recording.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum RecordingError {
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read out the parameters of the network")]
    State(#[from] StateError),
    #[error("cannot read the record of the parameters")]
    Record(#[from] burn_pack::Error),
    #[error("the state of the network has no parameters in single precision under `{0}`")]
    NotSingle(String),
}

/// Takes `num_steps` steps and writes into `folder`, which is made where it is missing, as arrays of NumPy:
///
/// ```text
/// parameters/NAME.npy    each parameter before the first step, by its path in the model
/// batch.npy              [batch, feature]
/// noise/0000.npy ...     every draw of every step, in order
/// losses.npy             [step], in double precision
/// steps.json             the network's name, its section, the batch size, the trained numbers, the draws of each step
/// ```
pub fn record_steps(
    network: &BenchmarkNetwork,
    batch_size: usize,
    num_steps: usize,
    device: &Device,
    folder: &Path,
) -> Result<(), RecordingError> {
    let mut steps = Steps::new(network, batch_size, 1, device);
    for name in ["parameters", "noise"] {
        let path = folder.join(name);
        fs::create_dir_all(&path).map_err(|source| RecordingError::Write { path, source })?;
    }
    let mut state = steps.trainee().state()?;
    let record = Bytes::from_bytes_vec(state.take("model")?);
    for tensor in burn_pack::Reader::from_bytes(record)?.into_tensors()? {
        let (name, dtype, shape, _, bytes) = tensor.into_parts()?;
        let data = burn::tensor::TensorData::from_bytes(bytes, shape.clone(), dtype);
        let values: Vec<f32> = data.try_to_vec().map_err(|_| RecordingError::NotSingle(name.clone()))?;
        write_array(&folder.join("parameters").join(format!("{name}.npy")), &shape[..], &values)?;
    }
    write_tensor(&folder.join("batch.npy"), &steps.batch().x)?;

    let mut noise = RecordedNoise { noise: steps.noise().clone(), draws: Vec::new() };
    let (mut losses, mut num_draws) = (Vec::new(), Vec::new());
    for _ in 0..num_steps {
        let before = noise.draws.len();
        losses.push(steps.step_with(&mut noise));
        num_draws.push(noise.draws.len() - before);
    }
    for (index, draw) in noise.draws.iter().enumerate() {
        write_tensor(&folder.join("noise").join(format!("{index:04}.npy")), draw)?;
    }
    write_array(&folder.join("losses.npy"), &[num_steps], &losses)?;
    let section: serde_json::Value = serde_json::from_str(network.model).expect("the sections of this table are JSON");
    let text = json!({
        "network": network.name,
        "model": section,
        "shape": network.shape,
        "batch_size": batch_size,
        "parameters": steps.num_parameters(),
        "draws": num_draws,
    });
    let path = folder.join("steps.json");
    fs::write(&path, format!("{text:#}\n")).map_err(|source| RecordingError::Write { path, source })
}

/// Noise that is kept.
struct RecordedNoise {
    noise: StreamNoise,
    draws: Vec<Tensor<2>>,
}

impl RecordedNoise {
    fn keep(&mut self, draw: Tensor<2>) -> Tensor<2> {
        self.draws.push(draw.clone());
        draw
    }
}

impl Noise for RecordedNoise {
    fn normal(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        let draw = self.noise.normal(shape, device);
        self.keep(draw)
    }

    fn uniform(&mut self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        let draw = self.noise.uniform(shape, device);
        self.keep(draw)
    }

    fn bernoulli(&mut self, shape: [usize; 2], probability: f64, device: &Device) -> Tensor<2> {
        let draw = self.noise.bernoulli(shape, probability, device);
        self.keep(draw)
    }
}

fn write_tensor(path: &Path, tensor: &Tensor<2>) -> Result<(), RecordingError> {
    let not_single = |_| RecordingError::NotSingle(path.display().to_string());
    let values: Vec<f32> = tensor.clone().into_data().try_to_vec().map_err(not_single)?;
    write_array(path, &tensor.dims(), &values)
}

/// A number that an array of NumPy can hold.
trait Element: Copy {
    /// NumPy's name of the type.
    const DESCRIPTION: &'static str;
    fn push(self, bytes: &mut Vec<u8>);
}

impl Element for f32 {
    const DESCRIPTION: &'static str = "<f4";
    fn push(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

impl Element for f64 {
    const DESCRIPTION: &'static str = "<f8";
    fn push(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

/// An array in the first version of NumPy's format, the last index running fastest.
fn write_array<E: Element>(path: &Path, shape: &[usize], values: &[E]) -> Result<(), RecordingError> {
    let extents: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
    let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({extents})}}", E::DESCRIPTION);
    // Magic, version, length, header and a line feed: a multiple of 64 bytes.
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    values.iter().for_each(|value| value.push(&mut bytes));
    fs::write(path, bytes).map_err(|source| RecordingError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NETWORKS;

    #[test]
    fn a_recording_holds_every_parameter_draw_and_loss_as_numpy_writes_them() {
        let folder = tempfile::tempdir().unwrap();
        let network = NETWORKS.iter().find(|network| network.name.starts_with("vae 784")).unwrap();
        record_steps(network, 2, 3, &Device::flex().autodiff(), folder.path()).unwrap();
        let noise: Vec<_> = fs::read_dir(folder.path().join("noise")).unwrap().collect();
        assert_eq!(noise.len(), 3, "one sample per example and step");
        let num_numbers: usize = fs::read_dir(folder.path().join("parameters"))
            .unwrap()
            .map(|entry| {
                let bytes = fs::read(entry.unwrap().path()).unwrap();
                let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
                assert!(start.is_multiple_of(64) && bytes[..8] == *b"\x93NUMPY\x01\x00");
                (bytes.len() - start) / 4
            })
            .sum();
        assert_eq!(num_numbers, 784 * 400 + 400 + 2 * (400 * 20 + 20) + 20 * 400 + 400 + 400 * 784 + 784);
        let losses = fs::read(folder.path().join("losses.npy")).unwrap();
        let header = String::from_utf8_lossy(&losses[10..128]).into_owned();
        assert!(header.starts_with("{'descr': '<f8', 'fortran_order': False, 'shape': (3, )}"), "{header}");
        let first = f64::from_le_bytes(losses[128..136].try_into().unwrap());
        assert_eq!(first, Steps::new(network, 2, 1, &Device::flex().autodiff()).step(), "it is the step of the benchmark that is recorded");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = record_steps(&NETWORKS[1], 1, 1, &Device::flex().autodiff(), file.path()).unwrap_err();
        assert!(error.to_string().contains(&*file.path().display().to_string()), "{error}");
    }
}
