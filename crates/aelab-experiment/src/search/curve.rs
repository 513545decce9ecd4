//! What a trial has logged of the goal: its value after each epoch, read from `metrics.jsonl`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

/// The goal's metric over the epochs of a trial.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Curve {
    epochs: Vec<Epoch>,
    /// Metrics that were logged, once each.
    pub(crate) names: Vec<String>,
}

/// One epoch.
#[derive(Debug, Clone, Default, PartialEq)]
struct Epoch {
    stage: Option<String>,
    valid_loss: Option<f64>,
    value: Option<f64>,
}

impl Curve {
    /// Reads the log of a trial; one that is not there is empty. A torn or foreign line says nothing.
    pub(crate) fn read(path: &Path, metric: &str) -> io::Result<Self> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut curve = Self::default();
        for line in BufReader::new(file).split(b'\n') {
            let Ok(Value::Object(line)) = serde_json::from_slice::<Value>(&line?) else { continue };
            let is_epoch = |split: &str| line.keys().any(|key| key.starts_with(split));
            if is_epoch("train/") {
                curve.epochs.push(Epoch::default());
            } else if !is_epoch("valid/") {
                continue;
            }
            let Some(epoch) = curve.epochs.last_mut() else { continue };
            for (key, value) in &line {
                let Some((split @ ("train" | "valid"), name)) = key.split_once('/') else { continue };
                // Of a model with several stages, names carry the stage.
                let (stage, short) = name.rsplit_once('/').map_or((None, name), |(stage, short)| (Some(stage), short));
                let Some(number) = number(value) else { continue };
                epoch.stage = stage.map(str::to_owned);
                if split == "valid" && short == "loss" {
                    epoch.valid_loss = Some(number);
                }
                if key == metric || metric.strip_prefix(split).and_then(|rest| rest.strip_prefix('/')) == Some(short) {
                    epoch.value = Some(number);
                }
                if !curve.names.contains(key) {
                    curve.names.push(key.clone());
                }
            }
        }
        Ok(curve)
    }

    /// Epochs over all stages.
    pub(crate) fn num_epochs(&self) -> u64 {
        self.epochs.len() as u64
    }

    /// The value of the model that training would keep if it ended after so many epochs: that of the epoch with the lowest validation
    /// loss of the stage where `keeps_best`, otherwise that of the last epoch. `None` where the metric was not logged then.
    pub(crate) fn value_after(&self, num_epochs: u64, keeps_best: bool) -> Option<f64> {
        let epochs = &self.epochs[..self.epochs.len().min(usize::try_from(num_epochs).unwrap_or(usize::MAX))];
        let last = epochs.last()?;
        let of_stage = epochs.iter().rev().take_while(|epoch| epoch.stage == last.stage);
        let mut kept = last;
        if keeps_best && last.valid_loss.is_some() {
            for epoch in of_stage {
                // Backwards: of equal losses the first epoch stays. What is not a number is never better.
                if epoch.valid_loss.is_some_and(|loss| kept.valid_loss.is_none_or(|best| loss <= best || best.is_nan())) {
                    kept = epoch;
                }
            }
        }
        kept.value
    }
}

/// A number, also one that JSON has no word for.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(lines: &[&str], metric: &str) -> Curve {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        Curve::read(&path, metric).unwrap()
    }

    const LINES: [&str; 8] = [
        r#"{"step":1,"epoch":0.5,"train_step/loss":9.0}"#,
        r#"{"step":2,"epoch":1.0,"train/loss":5.0,"train/kl":0.5}"#,
        r#"{"step":2,"epoch":1.0,"valid/loss":6.0,"valid/kl":0.6}"#,
        r#"{"step":4,"epoch":2.0,"train/loss":3.0,"train/kl":0.3}"#,
        r#"{"step":4,"epoch":2.0,"valid/loss":4.0,"valid/kl":0.7}"#,
        r#"{"step":6,"epoch":3.0,"train/loss":2.0,"train/kl":0.2}"#,
        r#"{"step":6,"epoch":3.0,"valid/loss":"NaN","valid/kl":0.1}"#,
        r#"{"step":8,"epoch":4.0,"tra"#,
    ];

    #[test]
    fn the_value_is_that_of_the_epoch_that_training_would_keep() {
        let kl = curve(&LINES, "valid/kl");
        assert_eq!((kl.num_epochs(), kl.value_after(1, true)), (3, Some(0.6)));
        assert_eq!((kl.value_after(2, true), kl.value_after(2, false)), (Some(0.7), Some(0.7)));
        assert_eq!((kl.value_after(3, true), kl.value_after(3, false)), (Some(0.7), Some(0.1)), "a loss that is no number is not kept");
        assert_eq!(curve(&LINES, "train/loss").value_after(9, false), Some(2.0));
        assert_eq!(curve(&LINES, "valid/nll").value_after(3, true), None);
        assert_eq!(Curve::read(Path::new("/nowhere/metrics.jsonl"), "valid/loss").unwrap().value_after(3, true), None);
    }

    #[test]
    fn of_several_stages_the_one_that_has_been_reached_counts() {
        let lines = [
            r#"{"step":2,"epoch":1.0,"train/pretrain_1/loss":1.0}"#,
            r#"{"step":2,"epoch":1.0,"valid/pretrain_1/loss":1.5}"#,
            r#"{"step":4,"epoch":1.0,"train/fine_tune/loss":7.0}"#,
            r#"{"step":4,"epoch":1.0,"valid/fine_tune/loss":8.0}"#,
        ];
        for metric in ["valid/loss", "valid/fine_tune/loss"] {
            assert_eq!(curve(&lines, metric).value_after(2, true), Some(8.0));
        }
        assert_eq!(curve(&lines, "valid/loss").value_after(1, true), Some(1.5));
        assert_eq!(curve(&lines, "valid/fine_tune/loss").value_after(1, true), None);
    }
}
