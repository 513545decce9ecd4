//! Which evaluations there are: an explicit list, nothing hidden.

use aelab_core::{ConfigError, DataSpec, ParseError};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::evaluation::{
    Anomaly, CrossDomain, Denoising, DimensionReduction, Disentanglement, FineTune, Generation, Inpainting, Jacobian, LatentScatter,
    LinearProbe, LogLikelihood, MeanBaseline, Memorisation, ObjectiveTerms, PcaBaseline, Recommendation, Reconstruction, Retrieval,
    Samples, Sequence, Sparsity,
};
use crate::{EvaluationContext, EvaluationError, Outcome};

/// One entry of a YAML `evaluate:` list, its options read.
pub trait Evaluation: std::fmt::Debug + Send + Sync {
    /// Name in YAML and in the registry.
    fn name(&self) -> &'static str;

    /// The options with every default filled in: what a trial's hash is taken of.
    fn resolved(&self) -> Value;

    /// Whether the evaluation makes sense for such data. What does not apply is not among the defaults;
    /// asked for by name it gives what it can.
    fn applies(&self, data: &DataSpec) -> bool;

    /// What of the evaluation makes no sense for such data, in words for who asked for it; nothing where all does.
    fn complaints(&self, data: &DataSpec) -> Vec<String>;

    /// Whether the evaluation runs on such data where an experiment names none: it applies, and is not costly.
    fn is_default(&self, data: &DataSpec) -> bool;

    /// Reports the first option, by its path, that such data cannot satisfy. `class_names` finds out what the classes are called,
    /// where that can be known before anything is run; it may have to read the data.
    fn check(&self, data: &DataSpec, class_names: &dyn Fn() -> Option<Vec<String>>) -> Result<(), ConfigError>;

    /// Names of the metrics that may be measured on such data. A model may lack some (no logits, no
    /// `bce`), and the terms of its objective come on top.
    fn metric_names(&self, data: &DataSpec) -> Vec<String>;

    /// Numbers and pictures.
    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError>;
}

/// What an evaluation is made of besides what it does: the options are the fields of `Self`.
pub(crate) trait Measure: std::fmt::Debug + Send + Sync + Serialize + DeserializeOwned + JsonSchema + 'static {
    const NAME: &'static str;
    const SUMMARY: &'static str;
    /// Most evaluations cost more than should be spent unasked.
    const IS_DEFAULT: bool = false;
    /// What data it is for, where not for all.
    const NEEDS: &'static str = "";
    /// Options that change pictures and tables alone: results that differ in them measure the same.
    const DISPLAY_ONLY: &'static [&'static str] = &[];
    fn applies(&self, data: &DataSpec) -> bool;
    fn check(&self, _data: &DataSpec, _class_names: &dyn Fn() -> Option<Vec<String>>) -> Result<(), ConfigError> {
        Ok(())
    }
    fn complaints(&self, data: &DataSpec) -> Vec<String> {
        if self.applies(data) {
            return Vec::new();
        }
        let why = if Self::NEEDS.is_empty() { "does not apply to this data".to_owned() } else { format!("needs {}", Self::NEEDS) };
        vec![format!("the evaluation `{}` {why} and gives what it can", Self::NAME)]
    }
    fn metric_names(&self, data: &DataSpec) -> Vec<String>;
    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError>;
}

impl<M: Measure> Evaluation for M {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn resolved(&self) -> Value {
        serde_json::to_value(self).expect("options of numbers and booleans serialize")
    }

    fn applies(&self, data: &DataSpec) -> bool {
        Measure::applies(self, data)
    }

    fn complaints(&self, data: &DataSpec) -> Vec<String> {
        Measure::complaints(self, data)
    }

    fn is_default(&self, data: &DataSpec) -> bool {
        M::IS_DEFAULT && Measure::applies(self, data)
    }

    fn check(&self, data: &DataSpec, class_names: &dyn Fn() -> Option<Vec<String>>) -> Result<(), ConfigError> {
        Measure::check(self, data, class_names)
    }

    fn metric_names(&self, data: &DataSpec) -> Vec<String> {
        Measure::metric_names(self, data)
    }

    fn measure(&self, context: &EvaluationContext<'_>) -> Result<Outcome, EvaluationError> {
        Measure::measure(self, context)
    }
}

/// One evaluation that the program knows.
#[derive(Clone, Copy)]
pub struct EvaluationEntry {
    /// Name in YAML.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// Options that change pictures and tables and no metric.
    pub display_only: &'static [&'static str],
    /// Reads the options below the name; `null` is the same as no options.
    pub parse: fn(Value) -> Result<Box<dyn Evaluation>, ParseError>,
    /// The JSON schema of the options.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl EvaluationEntry {
    /// The options on which the metrics depend, with the defaults of those that are not among `options` (an older aelab did not
    /// have them); `options` less what is for display only where they cannot be read.
    pub fn measuring_options(&self, options: &Value) -> Value {
        let mut options = (self.parse)(options.clone()).map_or_else(|_| options.clone(), |evaluation| evaluation.resolved());
        if let Some(entries) = options.as_object_mut() {
            entries.retain(|name, _| !self.display_only.contains(&name.as_str()));
        }
        options
    }
}

impl std::fmt::Debug for EvaluationEntry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EvaluationEntry").field("name", &self.name).finish_non_exhaustive()
    }
}

const fn entry<M: Measure>() -> EvaluationEntry {
    EvaluationEntry { name: M::NAME, summary: M::SUMMARY, display_only: M::DISPLAY_ONLY, parse: parse::<M>, schema: schema::<M> }
}

fn parse<M: Measure>(value: Value) -> Result<Box<dyn Evaluation>, ParseError> {
    let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value };
    match serde_path_to_error::deserialize::<_, M>(value) {
        Ok(evaluation) => Ok(Box::new(evaluation)),
        Err(error) => {
            let path = error.path().to_string();
            Err(ParseError { path: if path == "." { String::new() } else { path }, message: error.into_inner().to_string() })
        }
    }
}

fn schema<M: Measure>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<M>()
}

/// All evaluations, in the order in which they are listed and, by default, run.
pub static EVALUATIONS: &[EvaluationEntry] = &[
    entry::<Reconstruction>(),
    entry::<ObjectiveTerms>(),
    entry::<LogLikelihood>(),
    entry::<MeanBaseline>(),
    entry::<PcaBaseline>(),
    entry::<LatentScatter>(),
    entry::<Samples>(),
    entry::<Sequence>(),
    entry::<CrossDomain>(),
    entry::<DimensionReduction>(),
    entry::<LinearProbe>(),
    entry::<FineTune>(),
    entry::<Retrieval>(),
    entry::<Denoising>(),
    entry::<Inpainting>(),
    entry::<Anomaly>(),
    entry::<Generation>(),
    entry::<Disentanglement>(),
    entry::<Sparsity>(),
    entry::<Jacobian>(),
    entry::<Memorisation>(),
    entry::<Recommendation>(),
];

/// The entry of that name.
pub fn find(name: &str) -> Option<&'static EvaluationEntry> {
    EVALUATIONS.iter().find(|entry| entry.name == name)
}

/// Every evaluation that runs on such data by default, with default options: what runs when an experiment
/// names none.
pub fn default_evaluations(data: &DataSpec) -> Vec<Box<dyn Evaluation>> {
    EVALUATIONS
        .iter()
        .map(|entry| (entry.parse)(Value::Null).expect("every option of an evaluation has a default"))
        .filter(|evaluation| evaluation.is_default(data))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Domain;
    use serde_json::json;

    #[test]
    fn names_are_unique_and_found() {
        for (position, entry) in EVALUATIONS.iter().enumerate() {
            assert_eq!(EVALUATIONS.iter().position(|other| other.name == entry.name), Some(position));
            assert_eq!(find(entry.name).unwrap().summary, entry.summary);
            assert_eq!((entry.parse)(json!({})).unwrap().name(), entry.name);
        }
        assert!(find("reconstructions").is_none());
    }

    #[test]
    fn options_are_strict_and_resolve_to_what_parses_again() {
        for entry in EVALUATIONS {
            let resolved = (entry.parse)(json!({})).unwrap().resolved();
            assert_eq!((entry.parse)(resolved.clone()).unwrap().resolved(), resolved);
            assert!((entry.parse)(json!({"no_such_option": 1})).unwrap_err().message.contains("no_such_option"));
        }
        let error = (find("samples").unwrap().parse)(json!({"num": 0})).unwrap_err();
        assert_eq!(error.path, "num");
    }

    #[test]
    fn options_for_display_are_options_and_do_not_count_as_measuring() {
        for entry in EVALUATIONS {
            let resolved = (entry.parse)(json!({})).unwrap().resolved();
            let measuring = entry.measuring_options(&json!({}));
            let (resolved, measuring) = (resolved.as_object().unwrap(), measuring.as_object().unwrap());
            assert_eq!(resolved.len(), measuring.len() + entry.display_only.len(), "{}", entry.name);
            assert!(entry.display_only.iter().all(|name| resolved.contains_key(*name) && !measuring.contains_key(*name)), "{}", entry.name);
        }
        let probe = find("linear_probe").unwrap();
        assert_eq!(probe.measuring_options(&json!({"c": 2.0}))["num_test"], probe.measuring_options(&json!({}))["num_test"]);
        assert_ne!(probe.measuring_options(&json!({"c": 2.0})), probe.measuring_options(&json!({})));
        let unknown = json!({"an_option_of_old": 1, "pca": true});
        assert_eq!(find("reconstruction").unwrap().measuring_options(&unknown), json!({"an_option_of_old": 1}));
    }

    #[test]
    fn defaults_follow_the_data() {
        let names = |data: &DataSpec| default_evaluations(data).iter().map(|evaluation| evaluation.name()).collect::<Vec<_>>();
        assert_eq!(
            names(&DataSpec::new([1, 28, 28], Domain::UnitInterval)),
            ["reconstruction", "objective", "mean_baseline", "pca_baseline", "latent_scatter", "samples"]
        );
        assert!(names(&DataSpec::new([140, 1], Domain::Real)).contains(&"sequence"));
        assert_eq!(
            names(&DataSpec::new([30], Domain::Real)),
            ["reconstruction", "objective", "mean_baseline", "pca_baseline", "latent_scatter"]
        );
        assert!(!names(&DataSpec::new([3, 128, 128], Domain::UnitInterval)).contains(&"pca_baseline"));
    }

    #[test]
    fn schemas_name_the_options() {
        let mut generator = SchemaGenerator::default();
        for entry in EVALUATIONS {
            (entry.schema)(&mut generator);
        }
        assert!(serde_json::to_string(&generator.definitions()).unwrap().contains("\"num\""));
    }
}
