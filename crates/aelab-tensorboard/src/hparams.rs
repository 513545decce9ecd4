//! The HPARAMS tab: what a sweep varies, what a trial has chosen, how it ended.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use aelab_core::{ObserverError, RunInfo};
use protobuf::well_known_types::{ListValue, Value as ProtoValue};
use protobuf::{Message, RepeatedField};
use serde_json::Value;
use tensorboard_proto::api::{DataType, Experiment, HParamInfo, MetricInfo, MetricName, Status};
use tensorboard_proto::plugin_hparams::{HParamsPluginData, SessionEndInfo, SessionStartInfo};
use tensorboard_proto::summary::Summary_Value;

use crate::event_file::failed;
use crate::record::record;
use crate::summary::{event, file_version, metadata_only, now};

/// Name of the one event file in a run directory that describes the whole sweep.
const EXPERIMENT_FILE: &str = "events.out.tfevents.0000000000.experiment.aelab";

/// What the HPARAMS tab must know of a sweep as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentInfo {
    /// Name of the experiment.
    pub name: String,
    /// Each varied hyperparameter by dotted path, with every value that it takes in some trial:
    /// numbers, strings, booleans. The tab's filters offer exactly these.
    pub hyperparameters: Vec<(String, Vec<Value>)>,
    /// Whole tags of the metrics to show as columns (`eval/sse`).
    pub metrics: Vec<String>,
}

/// Writes the description of the sweep into the run directory `folder`, above the folders of its
/// trials, in place of an earlier one. `tensorboard --logdir folder` then shows one table over all trials.
///
/// It stands apart from the event files of the trials because TensorBoard takes the first description
/// that it finds as that of all, and hides trials whose values it does not name.
pub fn write_experiment(folder: &Path, info: &ExperimentInfo) -> Result<(), ObserverError> {
    let path = folder.join(EXPERIMENT_FILE);
    let write = || -> io::Result<()> {
        let mut bytes = record(&file_version())?;
        bytes.extend(record(&event(0, vec![experiment(info)?]))?);
        // TensorBoard reads whatever has `tfevents` in its name; an unfinished file has another.
        aelab_files::write_atomic(&path, &bytes)
    };
    write().map_err(failed("cannot write the description of the sweep", &path))
}

fn experiment(info: &ExperimentInfo) -> io::Result<Summary_Value> {
    let hyperparameters = info.hyperparameters.iter().map(|(name, values)| {
        let mut values: Vec<ProtoValue> = values.iter().map(proto_value).collect();
        let kind = data_type(&values);
        if kind == DataType::DATA_TYPE_STRING {
            values = values.iter().map(as_text).collect();
        }
        let mut domain = ListValue::new();
        domain.set_values(RepeatedField::from_vec(without_repeats(values)));
        let mut hyperparameter = HParamInfo::new();
        hyperparameter.set_name(name.clone());
        hyperparameter.set_field_type(kind);
        hyperparameter.set_domain_discrete(domain);
        hyperparameter
    });
    let metrics = info.metrics.iter().map(|tag| {
        let mut name = MetricName::new();
        name.set_tag(tag.clone());
        let mut metric = MetricInfo::new();
        metric.set_name(name);
        metric
    });
    let mut experiment = Experiment::new();
    experiment.set_name(info.name.clone());
    experiment.set_time_created_secs(now());
    experiment.set_hparam_infos(hyperparameters.collect());
    experiment.set_metric_infos(metrics.collect());
    let mut data = HParamsPluginData::new();
    data.set_experiment(experiment);
    plugin_value("_hparams_/experiment", &data)
}

/// The hyperparameters of a trial.
pub(crate) fn session_start(info: &RunInfo) -> io::Result<Summary_Value> {
    let values: HashMap<String, ProtoValue> = info.hyperparameters.iter().map(|(name, value)| (name.clone(), proto_value(value))).collect();
    let mut start = SessionStartInfo::new();
    start.set_hparams(values);
    start.set_start_time_secs(now());
    let mut data = HParamsPluginData::new();
    data.set_session_start_info(start);
    plugin_value("_hparams_/session_start_info", &data)
}

/// How a trial ended.
pub(crate) fn session_end(state: &str) -> io::Result<Summary_Value> {
    let mut end = SessionEndInfo::new();
    end.set_status(if state == "finished" { Status::STATUS_SUCCESS } else { Status::STATUS_FAILURE });
    end.set_end_time_secs(now());
    let mut data = HParamsPluginData::new();
    data.set_session_end_info(end);
    plugin_value("_hparams_/session_end_info", &data)
}

fn plugin_value(tag: &str, data: &HParamsPluginData) -> io::Result<Summary_Value> {
    Ok(metadata_only(tag, "hparams", data.write_to_bytes().map_err(io::Error::other)?))
}

/// Numbers, strings and booleans as they are; anything else (lists of layer widths) as its JSON text.
fn proto_value(value: &Value) -> ProtoValue {
    let mut converted = ProtoValue::new();
    match value {
        Value::Bool(value) => converted.set_bool_value(*value),
        Value::String(text) => converted.set_string_value(text.clone()),
        other => match other.as_f64() {
            Some(number) => converted.set_number_value(number),
            None => converted.set_string_value(other.to_string()),
        },
    }
    converted
}

/// One type for all values: TensorBoard has no mixed hyperparameters.
fn data_type(values: &[ProtoValue]) -> DataType {
    if !values.is_empty() && values.iter().all(ProtoValue::has_number_value) {
        DataType::DATA_TYPE_FLOAT64
    } else if !values.is_empty() && values.iter().all(ProtoValue::has_bool_value) {
        DataType::DATA_TYPE_BOOL
    } else {
        DataType::DATA_TYPE_STRING
    }
}

fn as_text(value: &ProtoValue) -> ProtoValue {
    let mut text = ProtoValue::new();
    text.set_string_value(if value.has_number_value() {
        value.get_number_value().to_string()
    } else if value.has_bool_value() {
        value.get_bool_value().to_string()
    } else {
        value.get_string_value().to_owned()
    });
    text
}

fn without_repeats(values: Vec<ProtoValue>) -> Vec<ProtoValue> {
    values.into_iter().fold(Vec::new(), |mut kept, value| {
        if !kept.contains(&value) {
            kept.push(value);
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(list: &[Value]) -> Vec<ProtoValue> {
        list.iter().map(proto_value).collect()
    }

    #[test]
    fn values_of_one_kind_keep_it_and_mixed_ones_are_text() {
        assert_eq!(data_type(&values(&[json!(1), json!(0.5)])), DataType::DATA_TYPE_FLOAT64);
        assert_eq!(data_type(&values(&[json!(true), json!(false)])), DataType::DATA_TYPE_BOOL);
        assert_eq!(data_type(&values(&[json!("vae"), json!("denoising")])), DataType::DATA_TYPE_STRING);
        assert_eq!(data_type(&values(&[json!(1), json!("auto")])), DataType::DATA_TYPE_STRING);
        assert_eq!(data_type(&[]), DataType::DATA_TYPE_STRING);
    }

    #[test]
    fn a_list_is_shown_as_its_json() {
        assert_eq!(proto_value(&json!([256, 64])).get_string_value(), "[256,64]");
    }

    #[test]
    fn repeated_values_are_named_once_in_their_order() {
        let numbers: Vec<f64> =
            without_repeats(values(&[json!(8), json!(2), json!(8.0)])).iter().map(ProtoValue::get_number_value).collect();
        assert_eq!(numbers, [8.0, 2.0]);
    }

    #[test]
    fn the_description_replaces_an_earlier_one_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let info =
            ExperimentInfo { name: "x".into(), hyperparameters: vec![("a".into(), vec![json!(1)])], metrics: vec!["eval/sse".into()] };
        write_experiment(folder.path(), &info).unwrap();
        write_experiment(folder.path(), &info).unwrap();
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [EXPERIMENT_FILE]);
    }
}
