//! The layers between data and code: how a configuration names them.

use std::fmt;

use aelab_core::{ConfigError, DataSpec};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{ConvForm, ConvLayout};

/// The layers between data and code, which a decoder mirrors: a list of widths, `{gated: [...]}` or
/// `{convolutional: {...}}`.
#[derive(Debug, Clone, PartialEq)]
pub enum Hidden {
    /// Dense layers of these widths, from the data inwards.
    Dense(Vec<usize>),
    /// Dense layers of these widths, each multiplied by a sigmoid gate.
    Gated(Vec<usize>),
    /// Convolutions, and dense layers after them.
    Convolutional(ConvHidden),
}

/// Convolutions that halve an image at each layer, then dense layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvHidden {
    /// Channels after each convolution, from the image inwards; each halves the image.
    pub channels: Vec<usize>,
    /// Pixels along a side of a kernel.
    #[serde(default = "three")]
    pub kernel_size: usize,
    /// How layers halve and double.
    #[serde(default)]
    pub form: ConvForm,
    /// Whether each convolution is followed by batch normalisation.
    #[serde(default)]
    pub batch_norm: bool,
    /// Residual blocks (He et al. 2016) after each halving, and before each doubling.
    #[serde(default)]
    pub residual_blocks: usize,
    /// Units of dense layers between the smallest map and the code.
    #[serde(default)]
    pub dense: Vec<usize>,
    /// Whether a dense layer makes the code; without it the smallest map itself is the code.
    #[serde(default = "yes")]
    pub dense_code: bool,
}

fn three() -> usize {
    3
}

fn yes() -> bool {
    true
}

impl ConvHidden {
    /// Plain convolutions.
    pub fn new(channels: impl Into<Vec<usize>>) -> Self {
        Self {
            channels: channels.into(),
            kernel_size: three(),
            form: ConvForm::default(),
            batch_norm: false,
            residual_blocks: 0,
            dense: Vec::new(),
            dense_code: true,
        }
    }

    /// Sizes of all maps. Errors name the keys of this struct.
    pub fn layout(&self, data: &DataSpec) -> Result<ConvLayout, ConfigError> {
        let [channels, height, width] = data.event_shape[..] else {
            let message = format!(
                "convolutions need images, [channel, height, width], but an example of this data has shape {:?}; take dense layers",
                data.event_shape
            );
            return Err(ConfigError::new("", message));
        };
        let layout = ConvLayout::solve([channels, height, width], &self.channels, self.kernel_size, self.form)?;
        Ok(layout.with_blocks(self.batch_norm, self.residual_blocks))
    }
}

impl Hidden {
    /// Hidden layers that have an activation.
    pub fn num_layers(&self) -> usize {
        match self {
            Hidden::Dense(widths) => widths.len(),
            // The gates are the nonlinearity.
            Hidden::Gated(_) => 0,
            Hidden::Convolutional(conv) => conv.channels.len() + conv.dense.len(),
        }
    }

    /// The widths, where the layers are dense and plain.
    pub fn dense(&self) -> Option<&[usize]> {
        match self {
            Hidden::Dense(widths) => Some(widths),
            _ => None,
        }
    }

    /// Whether training and validation compute different functions.
    pub fn has_batch_norm(&self) -> bool {
        matches!(self, Hidden::Convolutional(conv) if conv.batch_norm)
    }

    /// The first value that cannot be built for this data and a code of that size; paths are relative to the key.
    pub fn check(&self, data: &DataSpec, code_size: usize) -> Result<(), ConfigError> {
        match self {
            Hidden::Dense(widths) => check_widths("", widths),
            Hidden::Gated(widths) => check_widths("gated", widths),
            Hidden::Convolutional(conv) => {
                let layout = conv.layout(data).map_err(|error| error.within("convolutional"))?;
                check_widths("convolutional.dense", &conv.dense)?;
                if conv.dense_code {
                    return Ok(());
                }
                if !conv.dense.is_empty() {
                    let message =
                        "`dense_code: false` makes the smallest map the code, but `dense` puts layers after it; leave out one of the two";
                    return Err(ConfigError::new("convolutional.dense_code", message));
                }
                if layout.num_features() == code_size {
                    return Ok(());
                }
                let [channels, height, width] = layout.smallest();
                let message = format!(
                    "`dense_code: false` makes the smallest map the code, {channels} x {height} x {width} = {} values, but the code size is {code_size}",
                    layout.num_features()
                );
                Err(ConfigError::new("convolutional.dense_code", message))
            }
        }
    }

    /// Features that the last hidden layer hands on.
    ///
    /// # Panics
    /// When [`check`](Self::check) refuses the layers.
    pub fn num_outputs(&self, data: &DataSpec) -> usize {
        match self {
            Hidden::Dense(widths) | Hidden::Gated(widths) => widths.last().copied().unwrap_or(data.num_features()),
            Hidden::Convolutional(conv) => {
                conv.dense.last().copied().unwrap_or_else(|| conv.layout(data).expect("the configuration was checked").num_features())
            }
        }
    }

    /// An alternative of each kind for images of 8 x 8 pixels, for the variations of a model.
    pub fn examples() -> Vec<(&'static str, Self)> {
        vec![("hidden.gated", Self::Gated(vec![10])), ("hidden.convolutional", Self::Convolutional(ConvHidden::new([3])))]
    }
}

/// Rejects layers without units.
fn check_widths(path: &str, widths: &[usize]) -> Result<(), ConfigError> {
    match widths.iter().position(|&width| width == 0) {
        Some(index) => {
            let path = if path.is_empty() { index.to_string() } else { format!("{path}.{index}") };
            Err(ConfigError::new(path, "a layer needs at least one unit; leave the layer out instead"))
        }
        None => Ok(()),
    }
}

impl From<Vec<usize>> for Hidden {
    fn from(widths: Vec<usize>) -> Self {
        Hidden::Dense(widths)
    }
}

/// The kinds that are written as one-key maps.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Named {
    /// Dense layers of these widths, each multiplied by a sigmoid gate.
    Gated(Vec<usize>),
    /// Convolutions that halve an image at each layer, then dense layers.
    Convolutional(ConvHidden),
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Hidden::Dense(widths) => widths.serialize(serializer),
            Hidden::Gated(widths) => Named::Gated(widths.clone()).serialize(serializer),
            Hidden::Convolutional(conv) => Named::Convolutional(conv.clone()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrMap;

        impl<'de> Visitor<'de> for ListOrMap {
            type Value = Hidden;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of widths, `{gated: [...]}` or `{convolutional: {...}}`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, widths: A) -> Result<Hidden, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(widths)).map(Hidden::Dense)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Hidden, A::Error> {
                Ok(match Named::deserialize(de::value::MapAccessDeserializer::new(map))? {
                    Named::Gated(widths) => Hidden::Gated(widths),
                    Named::Convolutional(conv) => Hidden::Convolutional(conv),
                })
            }
        }

        deserializer.deserialize_any(ListOrMap)
    }
}

impl JsonSchema for Hidden {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hidden".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let widths = generator.subschema_for::<Vec<usize>>();
        let named = generator.subschema_for::<Named>();
        json_schema!({
            "description": "The layers between data and code: a list of widths, `{gated: [...]}` or `{convolutional: {...}}`.",
            "anyOf": [widths, named]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Domain;

    #[test]
    fn each_form_is_read_and_written_back_as_it_was() {
        let conv = r#"{"convolutional":{"channels":[8],"kernel_size":4,"form":"strided","batch_norm":true,"residual_blocks":1,"dense":[],"dense_code":true}}"#;
        for json in ["[16,8]", "[]", r#"{"gated":[300,300]}"#, conv] {
            let hidden: Hidden = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&hidden).unwrap(), json);
        }
        let brief: Hidden = serde_json::from_str(r#"{"convolutional": {"channels": [4]}}"#).unwrap();
        assert_eq!(brief, Hidden::Convolutional(ConvHidden::new([4])));
    }

    #[test]
    fn a_mistake_is_named_where_it_stands() {
        let error = serde_yaml::from_str::<Vec<Hidden>>("- [4]\n- {convolutional: {channels: [4], kernel: 3}}\n").unwrap_err().to_string();
        assert!(error.contains("unknown field `kernel`") && error.contains("line 2"), "{error}");
        let error = serde_yaml::from_str::<Hidden>("dense").unwrap_err().to_string();
        assert!(error.contains("a list of widths"), "{error}");
    }

    #[test]
    fn what_cannot_be_built_is_refused_at_its_path() {
        let image = DataSpec::new([1, 8, 8], Domain::Real);
        let path = |hidden: Hidden, data: &DataSpec| hidden.check(data, 7).unwrap_err().path;
        let conv = |change: &dyn Fn(&mut ConvHidden)| {
            let mut conv = ConvHidden::new([4, 2]);
            change(&mut conv);
            Hidden::Convolutional(conv)
        };
        assert_eq!(path(Hidden::Dense(vec![3, 0]), &image), "1");
        assert_eq!(path(Hidden::Gated(vec![0]), &image), "gated.0");
        assert_eq!(path(conv(&|_| ()), &DataSpec::new([64], Domain::Real)), "convolutional");
        assert_eq!(path(conv(&|conv| conv.channels = vec![]), &image), "convolutional.channels");
        assert_eq!(path(conv(&|conv| conv.dense = vec![5, 0]), &image), "convolutional.dense.1");
        assert_eq!(path(conv(&|conv| conv.dense_code = false), &image), "convolutional.dense_code");
        assert_eq!(conv(&|conv| conv.dense_code = false).check(&image, 8), Ok(()));
        assert_eq!(conv(&|_| ()).check(&DataSpec::new([5, 9, 7], Domain::Real), 7), Ok(()));
    }
}
