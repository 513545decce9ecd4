//! `metrics.jsonl`: every scalar of a trial, one JSON object per line.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aelab_core::{Event, Observer, ObserverError, Rewound};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Lines reach the disk at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// Version of the lines: a position in a log of another one fits none of ours.
const FORMAT_VERSION: u64 = 1;

/// An observer that appends `{"step": 50, "epoch": 0.5, "train/loss": 0.1, ...}`.
///
/// A value that is not a finite number is written as a string (`"NaN"`): JSON has no such numbers.
#[derive(Debug)]
pub(crate) struct MetricsLog {
    path: PathBuf,
    file: BufWriter<File>,
    flushed: Instant,
    /// Of all that is in the log.
    digest: Sha256,
}

impl MetricsLog {
    /// Opens the log, keeping what is there: [`Observer::rewind`] decides how much of it stays.
    pub(crate) fn open(path: &Path) -> Result<Self, ObserverError> {
        let open = || OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let file = open().map_err(|source| error(path, source))?;
        let mut log = Self { path: path.to_owned(), file: BufWriter::new(file), flushed: Instant::now(), digest: Sha256::new() };
        log.cut(u64::MAX).map_err(|source| error(path, source))?;
        Ok(log)
    }

    fn write(&mut self, line: &Value) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.digest.update(&bytes);
        self.file.write_all(&bytes)?;
        if self.flushed.elapsed() > FLUSH_EVERY {
            self.file.flush()?;
            self.flushed = Instant::now();
        }
        Ok(())
    }

    /// Forgets what comes after `length` bytes, or nothing where there are fewer, and goes on at the end. How many bytes there are.
    fn cut(&mut self, length: u64) -> io::Result<u64> {
        self.file.flush()?;
        let file = self.file.get_mut();
        let length = file.metadata()?.len().min(length);
        file.set_len(length)?;
        file.rewind()?;
        self.digest = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(length),
                num => self.digest.update(&buffer[..num]),
            }
        }
    }

    fn checksum(&self) -> String {
        self.digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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
        let bytes = flushed().map_err(|source| error(&path, source))?;
        Ok(json!({ "bytes": bytes, "sha256": self.checksum(), "format_version": FORMAT_VERSION }))
    }

    /// Curves and searches are made of this log: one that does not hold what it held at the position is not gone on with.
    fn rewind(&mut self, position: &Value) -> Result<Rewound, ObserverError> {
        let path = self.path.clone();
        // An aelab that did not write the version wrote the first one.
        let version = position.get("format_version").map_or(Some(1), Value::as_u64);
        if version != Some(FORMAT_VERSION) {
            return Ok(Rewound::Unfit(format!("`{}` is of another version of aelab", path.display())));
        }
        let bytes = position.get("bytes").and_then(Value::as_u64).unwrap_or(0);
        let length = self.cut(bytes).map_err(|source| error(&path, source))?;
        if length < bytes {
            let text = format!("`{}` has {length} bytes, {bytes} when the checkpoint was written", path.display());
            return Ok(Rewound::Unfit(text));
        }
        let is_same = position.get("sha256").and_then(Value::as_str).is_none_or(|written| written == self.checksum());
        Ok(if is_same { Rewound::Whole } else { Rewound::Unfit(format!("`{}` was altered", path.display())) })
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
    fn a_log_that_was_cut_or_altered_does_not_fit_its_checkpoint_and_fits_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path).unwrap();
        scalars(&mut log, 1, 0.1);
        let before = log.position().unwrap();
        scalars(&mut log, 2, 0.2);
        let position = log.position().unwrap();
        drop(log);
        let whole = std::fs::read(&path).unwrap();
        let mut altered = whole.clone();
        *altered.iter_mut().rev().nth(3).unwrap() = b'7';
        for (content, complaint) in [(&whole[..whole.len() - 1], "bytes"), (&altered[..], "altered")] {
            std::fs::write(&path, content).unwrap();
            let mut log = MetricsLog::open(&path).unwrap();
            let Rewound::Unfit(why) = log.rewind(&position).unwrap() else { panic!("it does not fit") };
            assert!(why.contains(complaint), "{why}");
            assert_eq!(log.rewind(&before).unwrap(), Rewound::Whole);
        }
        let mut log = MetricsLog::open(&path).unwrap();
        scalars(&mut log, 2, 0.2);
        assert_eq!(log.position().unwrap(), position);
        // Positions of an aelab that wrote no checksum, and of one that writes something else.
        assert_eq!(log.rewind(&json!({"bytes": 3})).unwrap(), Rewound::Whole);
        assert!(matches!(log.rewind(&json!({"bytes": 3, "format_version": 2})).unwrap(), Rewound::Unfit(_)));
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
