//! What a layer of a stack learns as, before the stack is trained as a whole.

use std::fmt;

use aelab_core::{ConfigError, Corruption, Scheduled};
use aelab_nn::UnitKind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rbm_pretraining::{
    Momentum, RbmTraining, default_bernoulli_learning_rate, default_gaussian_learning_rate, default_steps, default_weight_cost,
};
use crate::variational_network::check_not_negative;

/// What a layer learns as.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LayerKind {
    /// An autoencoder of one layer.
    Undercomplete {},
    /// One whose activations have a price.
    Sparse {
        /// The price.
        penalty: LayerSparsity,
    },
    /// One that is shown a corrupted input; the layers above are fed the clean one's code.
    Denoising {
        /// What is done to the input, anew at each step.
        corruption: Corruption,
    },
    /// One whose Jacobian has a price.
    Contractive {
        /// Weight of the squared norm of the Jacobian.
        lambda: Scheduled,
    },
    /// A restricted Boltzmann machine.
    Rbm {
        /// Its learning rate: 0.1 where left out, 0.001 where a side has Gaussian units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        learning_rate: Option<Scheduled>,
        /// What is left of the last step.
        #[serde(default = "Momentum::of_hinton_and_salakhutdinov")]
        momentum: Momentum,
        /// Strength of the pull of weights towards 0.
        #[serde(default = "default_weight_cost")]
        weight_cost: f64,
        /// Steps of Gibbs sampling in each update: the k of CD-k.
        #[serde(default = "default_steps")]
        steps: usize,
        /// Whether the chains go on from update to update (PCD).
        #[serde(default)]
        persistent: bool,
    },
}

/// What keeps the activations of a layer sparse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LayerSparsity {
    /// The L1 norm of the activations of each example.
    L1 {
        /// Weight of the norm.
        lambda: Scheduled,
    },
    /// Divergence of each unit's average activation over the batch from a small probability; needs a sigmoid layer.
    Kl {
        /// The average activation that every unit should have, in (0, 1).
        rho: f64,
        /// Weight of the divergence.
        beta: Scheduled,
    },
}

impl LayerKind {
    /// A restricted Boltzmann machine with the settings of Hinton & Salakhutdinov 2006.
    pub fn rbm() -> Self {
        LayerKind::Rbm {
            learning_rate: None,
            momentum: Momentum::of_hinton_and_salakhutdinov(),
            weight_cost: default_weight_cost(),
            steps: default_steps(),
            persistent: false,
        }
    }

    /// The first value that no training could make sense of, whatever the layer. Paths are relative to the kind.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self {
            LayerKind::Undercomplete {} => Ok(()),
            LayerKind::Sparse { penalty } => {
                let checked = match penalty {
                    LayerSparsity::L1 { lambda } => {
                        check_not_negative("lambda", lambda, "weighs a norm").map_err(|error| error.within("l1"))
                    }
                    LayerSparsity::Kl { rho, .. } if !(*rho > 0.0 && *rho < 1.0) => {
                        let message = format!("`rho` is an average activation between 0 and 1, such as 0.05, but is {rho}");
                        Err(ConfigError::new("kl.rho", message))
                    }
                    LayerSparsity::Kl { beta, .. } => {
                        check_not_negative("beta", beta, "weighs a divergence").map_err(|error| error.within("kl"))
                    }
                };
                checked.map_err(|error| error.within("penalty").within("sparse"))
            }
            LayerKind::Denoising { corruption } => corruption.check().map_err(|error| error.within("corruption").within("denoising")),
            LayerKind::Contractive { lambda } => {
                check_not_negative("lambda", lambda, "weighs a norm").map_err(|error| error.within("contractive"))
            }
            LayerKind::Rbm { .. } => match self.rbm_training([UnitKind::Bernoulli; 2]) {
                Some(training) => training.check("learning_rate").map_err(|error| error.within("rbm")),
                None => Ok(()),
            },
        }
    }

    /// How a machine with units of these kinds is trained; `None` for another kind of layer.
    pub(crate) fn rbm_training(&self, kinds: [UnitKind; 2]) -> Option<RbmTraining> {
        let LayerKind::Rbm { learning_rate, momentum, weight_cost, steps, persistent } = self else { return None };
        let usual = if kinds.contains(&UnitKind::Gaussian) { default_gaussian_learning_rate() } else { default_bernoulli_learning_rate() };
        Some(RbmTraining {
            learning_rate: learning_rate.clone().unwrap_or(usual),
            momentum: *momentum,
            weight_cost: *weight_cost,
            steps: *steps,
            persistent: *persistent,
        })
    }
}

/// One kind for every layer, or a list with one per layer.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerKinds {
    /// The same everywhere.
    All(LayerKind),
    /// One per layer, from the data inwards, the code's last.
    Each(Vec<LayerKind>),
}

impl LayerKinds {
    /// One kind per layer. The path of an error is relative to the key.
    pub(crate) fn resolve(&self, num_layers: usize) -> Result<Vec<LayerKind>, ConfigError> {
        match self {
            LayerKinds::All(kind) => Ok(vec![kind.clone(); num_layers]),
            LayerKinds::Each(list) if list.len() == num_layers => Ok(list.clone()),
            LayerKinds::Each(list) => {
                let message = format!(
                    "the list names {} layers, expected {num_layers}: one per hidden layer and one for the code; a single kind serves all",
                    list.len()
                );
                Err(ConfigError::new("", message))
            }
        }
    }

    /// The path of layer `index` relative to the key.
    pub(crate) fn within(&self, index: usize, error: ConfigError) -> ConfigError {
        match self {
            LayerKinds::All(_) => error,
            LayerKinds::Each(_) => error.within(&index.to_string()),
        }
    }
}

impl Serialize for LayerKinds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            LayerKinds::All(kind) => kind.serialize(serializer),
            LayerKinds::Each(list) => list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LayerKinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KindOrList;

        impl<'de> Visitor<'de> for KindOrList {
            type Value = LayerKinds;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a kind of layer, such as `{undercomplete: {}}`, or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LayerKinds, A::Error> {
                LayerKind::deserialize(de::value::MapAccessDeserializer::new(map)).map(LayerKinds::All)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<LayerKinds, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(LayerKinds::Each)
            }
        }

        deserializer.deserialize_any(KindOrList)
    }
}

impl JsonSchema for LayerKinds {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LayerKinds".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kind = generator.subschema_for::<LayerKind>();
        json_schema!({
            "description": "One kind for every layer, or a list with one per layer.",
            "anyOf": [kind, {"type": "array", "items": kind}]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_or_a_list_is_read_and_written_back_as_it_was() {
        for json in [
            r#"{"undercomplete":{}}"#,
            r#"{"sparse":{"penalty":{"kl":{"rho":0.05,"beta":1.0}}}}"#,
            r#"[{"denoising":{"corruption":{"masking":{"rate":0.25}}}},{"contractive":{"lambda":0.1}}]"#,
        ] {
            let kinds: LayerKinds = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&kinds).unwrap(), json);
        }
        assert_eq!(serde_json::from_str::<LayerKinds>(r#"{"rbm": {}}"#).unwrap(), LayerKinds::All(LayerKind::rbm()));
    }

    #[test]
    fn an_unknown_kind_or_key_is_refused_by_name() {
        for (json, name) in
            [(r#"{"rbn": {}}"#, "rbn"), (r#"[{"rbm": {"learning_rat": 1}}]"#, "learning_rat"), (r#""rbm""#, "a kind of layer")]
        {
            let error = serde_json::from_str::<LayerKinds>(json).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
