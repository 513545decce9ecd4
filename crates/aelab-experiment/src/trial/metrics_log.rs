//! `metrics.jsonl`: every scalar of a trial, one JSON object per line.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aelab_core::{Event, Observer, ObserverError};
use serde_json::{Map, Value, json};

/// Lines reach the disk at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// An observer that appends `{"step": 50, "epoch": 0.5, "train/loss": 0.1, ...}`.
///
/// A value that is not a finite number is written as a string (`"NaN"`): JSON has no such numbers.
#[derive(Debug)]
pub(crate) struct MetricsLog {
    path: PathBuf,
    file: BufWriter<File>,
    flushed: Instant,
}

impl MetricsLog {
    /// Opens the log, keeping what is there: [`Observer::rewind`] decides how much of it stays.
    pub(crate) fn open(path: &Path) -> Result<Self, ObserverError> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(|source| error(path, source))?;
        let mut file = BufWriter::new(file);
        file.seek(io::SeekFrom::End(0)).map_err(|source| error(path, source))?;
        Ok(Self { path: path.to_owned(), file, flushed: Instant::now() })
    }

    fn write(&mut self, line: &Value) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, line)?;
        self.file.write_all(b"\n")?;
        if self.flushed.elapsed() > FLUSH_EVERY {
            self.file.flush()?;
            self.flushed = Instant::now();
        }
        Ok(())
    }
}

fn error(path: &Path, source: io::Error) -> ObserverError {
    ObserverError { what: format!("cannot write `{}`", path.display()), source }
}

fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(value.to_string()) }
}

impl Observer for MetricsLog {
    fn observe(&mut self, event: &Event<'_>) -> Result<(), ObserverError> {
        let line = match event {
            Event::Scalars { step, epoch, split, values } => {
                let mut line = Map::from_iter([("step".to_owned(), json!(step)), ("epoch".to_owned(), json!(epoch))]);
                line.extend(values.iter().map(|(name, value)| (format!("{}/{name}", split.name()), number(*value))));
                Value::Object(line)
            }
            Event::Finished { state, step, metrics } => {
                let mut line = Map::from_iter([("step".to_owned(), json!(step)), ("state".to_owned(), json!(state))]);
                line.extend(metrics.iter().map(|(tag, value)| (tag.clone(), number(*value))));
                Value::Object(line)
            }
            _ => return Ok(()),
        };
        self.write(&line).map_err(|source| error(&self.path, source))
    }

    fn position(&mut self) -> Result<Value, ObserverError> {
        let path = self.path.clone();
        let mut flushed = || -> io::Result<u64> {
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
            self.file.stream_position()
        };
        flushed().map(|bytes| json!({ "bytes": bytes })).map_err(|source| error(&path, source))
    }

    fn rewind(&mut self, position: &Value) -> Result<(), ObserverError> {
        let path = self.path.clone();
        let bytes = position.get("bytes").and_then(Value::as_u64).unwrap_or(0);
        let mut rewound = || -> io::Result<()> {
            self.file.flush()?;
            let length = self.file.get_ref().metadata()?.len();
            self.file.get_ref().set_len(length.min(bytes))?;
            self.file.seek(io::SeekFrom::End(0)).map(|_| ())
        };
        rewound().map_err(|source| error(&path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::Split;

    fn scalars(log: &mut MetricsLog, step: u64, value: f64) {
        let values = [("loss".to_owned(), value)];
        log.observe(&Event::Scalars { step, epoch: 0.5, split: Split::Train, values: &values }).unwrap();
    }

    #[test]
    fn rewinding_forgets_exactly_what_came_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path).unwrap();
        scalars(&mut log, 1, 0.1);
        let position = log.position().unwrap();
        scalars(&mut log, 2, f64::NAN);
        log.position().unwrap();
        drop(log);

        let mut log = MetricsLog::open(&path).unwrap();
        log.rewind(&position).unwrap();
        scalars(&mut log, 2, 0.2);
        log.position().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"step\":1,\"epoch\":0.5,\"train/loss\":0.1}\n{\"step\":2,\"epoch\":0.5,\"train/loss\":0.2}\n");

        log.rewind(&Value::Null).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn what_is_not_a_number_is_a_string() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path).unwrap();
        scalars(&mut log, 1, f64::INFINITY);
        log.position().unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"inf\""));
    }
}
