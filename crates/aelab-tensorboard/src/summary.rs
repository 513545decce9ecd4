//! The messages inside an event: scalars, histograms, pictures, text.

use std::io;

use aelab_core::{Image, RunInfo};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use protobuf::RepeatedField;
use tensorboard_proto::event::Event;
use tensorboard_proto::summary::{Summary, Summary_Image, Summary_Value, SummaryMetadata, SummaryMetadata_PluginData};
use tensorboard_proto::tensor::TensorProto;
use tensorboard_proto::tensor_shape::{TensorShapeProto, TensorShapeProto_Dim};
use tensorboard_proto::types::DataType;

use crate::histogram::histogram;

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    // A clock before 1970 is a broken clock, and no reason to stop training.
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The first record of every event file.
pub(crate) fn file_version() -> Event {
    let mut event = Event::new();
    event.set_wall_time(now());
    event.set_file_version("brain.Event:2".to_owned());
    event
}

/// One record with any number of values.
pub(crate) fn event(step: u64, values: Vec<Summary_Value>) -> Event {
    let mut summary = Summary::new();
    summary.set_value(RepeatedField::from_vec(values));
    let mut event = Event::new();
    event.set_wall_time(now());
    event.set_step(i64::try_from(step).unwrap_or(i64::MAX));
    event.set_summary(summary);
    event
}

fn tagged(tag: impl Into<String>) -> Summary_Value {
    let mut value = Summary_Value::new();
    value.set_tag(tag.into());
    value
}

/// A number; TensorBoard keeps scalars in single precision.
pub(crate) fn scalar(tag: impl Into<String>, number: f64) -> Summary_Value {
    let mut value = tagged(tag);
    value.set_simple_value(number as f32);
    value
}

/// A distribution.
pub(crate) fn histogram_value(tag: &str, sample: &[f32]) -> Summary_Value {
    let mut value = tagged(tag);
    value.set_histo(histogram(sample));
    value
}

/// A picture as PNG.
pub(crate) fn picture(tag: &str, image: &Image) -> io::Result<Summary_Value> {
    let color = match image.channels {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        other => return Err(invalid(format!("picture `{tag}` has {other} channels, expected 1 (grey) or 3 (RGB)"))),
    };
    let size = image.width.checked_mul(image.height).and_then(|size| size.checked_mul(image.channels));
    if size != Some(image.pixels.len()) || image.pixels.is_empty() {
        return Err(invalid(format!(
            "picture `{tag}` is said to be {} x {} with {} channels, but holds {} values",
            image.width,
            image.height,
            image.channels,
            image.pixels.len()
        )));
    }
    let side = |name: &str, size: usize| {
        i32::try_from(size).map_err(|_| invalid(format!("{name} of picture `{tag}` is {size}, the most is {}", i32::MAX)))
    };
    let (width, height) = (side("width", image.width)?, side("height", image.height)?);
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&image.pixels, width as u32, height as u32, color).map_err(io::Error::other)?;
    let mut message = Summary_Image::new();
    message.set_width(width);
    message.set_height(height);
    message.set_colorspace(image.channels as i32);
    message.set_encoded_image_string(png);
    let mut value = tagged(tag);
    value.set_image(message);
    Ok(value)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Marks a value as belonging to a plugin of TensorBoard, with the plugin's own message.
fn metadata(plugin: &str, content: Vec<u8>) -> SummaryMetadata {
    let mut data = SummaryMetadata_PluginData::new();
    data.set_plugin_name(plugin.to_owned());
    data.set_content(content);
    let mut metadata = SummaryMetadata::new();
    metadata.set_plugin_data(data);
    metadata
}

/// A value whose whole content is its metadata: the HPARAMS tab works like this.
pub(crate) fn metadata_only(tag: &str, plugin: &str, content: Vec<u8>) -> Summary_Value {
    let mut empty = TensorShapeProto::new();
    empty.set_dim(RepeatedField::from_vec(vec![TensorShapeProto_Dim::new()]));
    let mut tensor = TensorProto::new();
    tensor.set_dtype(DataType::DT_FLOAT);
    tensor.set_tensor_shape(empty);
    let mut value = tagged(tag);
    value.set_metadata(metadata(plugin, content));
    value.set_tensor(tensor);
    value
}

/// Markdown for the TEXT tab.
fn text(tag: &str, markdown: String) -> Summary_Value {
    let mut tensor = TensorProto::new();
    tensor.set_dtype(DataType::DT_STRING);
    tensor.set_tensor_shape(TensorShapeProto::new());
    tensor.set_string_val(RepeatedField::from_vec(vec![markdown.into_bytes()]));
    let mut value = tagged(tag);
    value.set_metadata(metadata("text", Vec::new()));
    value.set_tensor(tensor);
    value
}

/// What the trial is, and its resolved configuration as YAML.
pub(crate) fn config_text(info: &RunInfo) -> Summary_Value {
    let yaml = serde_yaml::to_string(&info.config).unwrap_or_else(|_| info.config.to_string());
    text(
        "config",
        format!(
            "Trial `{}` of experiment `{}`: model `{}` with {} parameters.\n\n```yaml\n{}\n```\n",
            info.trial,
            info.experiment,
            info.model,
            info.num_parameters,
            yaml.trim_end()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_another_size_than_it_says_is_refused() {
        let image = Image { width: 2, height: 2, channels: 1, pixels: vec![0; 5] };
        let error = picture("images/x", &image).unwrap_err();
        assert_eq!(error.to_string(), "picture `images/x` is said to be 2 x 2 with 1 channels, but holds 5 values");
        let empty = Image { width: 0, height: 0, channels: 3, pixels: Vec::new() };
        assert!(picture("images/x", &empty).is_err());
        let two_channels = Image { width: 1, height: 1, channels: 2, pixels: vec![0; 2] };
        assert!(picture("images/x", &two_channels).unwrap_err().to_string().contains("2 channels"));
    }
}
