//! The event file of one trial.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use aelab_core::{Event, Observer, ObserverError, Rewound, RunInfo};
use aelab_files::sync_folder;
use serde_json::{Value, json};

use crate::hparams::{session_end, session_start};
use crate::record::{record, whole_records};
use crate::summary::{config_text, event, file_version, histogram_value, now, picture, scalar};

/// How names of our event files begin, and how they end: others in the folder are left alone.
const PREFIX: &str = "events.out.tfevents.";
const SUFFIX: &str = ".aelab";

/// The event file of one trial, an [`Observer`].
///
/// Each event is one record and one write, so nothing waits in memory: what was observed survives the
/// death of the process, and [`position`](Observer::position) makes it survive the death of the machine.
/// A record torn by either is cut off when the trial resumes, and TensorBoard ignores it until then.
#[derive(Debug)]
pub struct EventFile {
    folder: PathBuf,
    /// Name within the folder.
    name: String,
    file: File,
    /// Length of the file: where the next record goes.
    size: u64,
    /// Length of the file when it held nothing but its first record.
    size_of_version: u64,
    /// The name that the folder has on disk.
    synced_name: String,
}

impl EventFile {
    /// A new event file in `folder`, which is made if it is not there.
    pub fn create(folder: &Path) -> Result<Self, ObserverError> {
        std::fs::create_dir_all(folder).map_err(failed("cannot make the folder", folder))?;
        let (name, file) = create_unique(folder).map_err(failed("cannot create an event file in", folder))?;
        let mut event_file = Self { folder: folder.to_owned(), name, file, size: 0, size_of_version: 0, synced_name: String::new() };
        event_file.write_version()?;
        Ok(event_file)
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    fn write_version(&mut self) -> Result<(), ObserverError> {
        self.append(Ok(file_version()))?;
        self.size_of_version = self.size;
        Ok(())
    }

    fn append(&mut self, event: io::Result<tensorboard_proto::event::Event>) -> Result<(), ObserverError> {
        let result = event.and_then(|event| record(&event)).and_then(|bytes| match self.file.write_all(&bytes) {
            Ok(()) => {
                self.size += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half a record in the middle would hide all that follows. If even this fails, the
                // first error is the one to tell.
                let _ = self.file.set_len(self.size).and_then(|()| self.file.seek(SeekFrom::Start(self.size)));
                Err(error)
            }
        });
        result.map_err(failed("cannot write to event file", &self.path()))
    }

    fn write_start(&mut self, info: &RunInfo) -> Result<(), ObserverError> {
        let start = session_start(info).map(|start| event(0, vec![config_text(info), start]));
        self.append(start)
    }

    /// Goes on at the end of `name`, cut to `size` bytes or, where it is shorter, to whole records.
    fn reopen(&mut self, name: &str, size: u64) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(self.folder.join(name))?;
        let found = file.metadata()?.len();
        let kept = if found >= size { size } else { whole_records(BufReader::new(&file), found)? };
        file.set_len(kept)?;
        file.seek(SeekFrom::Start(kept))?;
        name.clone_into(&mut self.name);
        self.file = file;
        self.size = kept;
        self.size_of_version = record(&file_version())?.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), ObserverError> {
        let (name, file) = create_unique(&self.folder).map_err(failed("cannot create an event file in", &self.folder))?;
        (self.name, self.file, self.size) = (name, file, 0);
        self.write_version()
    }

    /// Removes our event files in the folder other than the present one: leftovers of attempts that
    /// the resumed one repeats.
    fn remove_others(&self) -> Result<(), ObserverError> {
        let remove = || -> io::Result<()> {
            for entry in std::fs::read_dir(&self.folder)? {
                let entry = entry?;
                let name = entry.file_name();
                if name.to_str().is_some_and(|name| is_ours(name) && name != self.name) {
                    std::fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        remove().map_err(failed("cannot remove earlier event files in", &self.folder))
    }
}

impl Observer for EventFile {
    fn observe(&mut self, observed: &Event<'_>) -> Result<(), ObserverError> {
        match observed {
            Event::Started(info) => self.write_start(info),
            // What a trial is was written before; unless the file had to be begun anew.
            Event::Resumed(info) if self.size <= self.size_of_version => self.write_start(info),
            Event::Resumed(_) => Ok(()),
            Event::Scalars { step, split, values, .. } => {
                let values = values.iter().map(|(name, value)| scalar(format!("{}/{name}", split.name()), *value)).collect();
                self.append(Ok(event(*step, values)))
            }
            Event::Histogram { step, tag, values } => self.append(Ok(event(*step, vec![histogram_value(tag, values)]))),
            Event::Picture { step, tag, image } => self.append(picture(tag, image).map(|picture| event(*step, vec![picture]))),
            Event::Finished { state, step, metrics } => {
                let end = session_end(state).map(|end| {
                    let metrics = metrics.iter().map(|(tag, value)| scalar(tag, *value));
                    event(*step, metrics.chain([end]).collect())
                });
                self.append(end)
            }
            // The list of events may grow; what TensorBoard has no place for is not an error.
            _ => Ok(()),
        }
    }

    fn position(&mut self) -> Result<Value, ObserverError> {
        let is_new = self.synced_name != self.name;
        let synced = self.file.sync_all().and_then(|()| if is_new { sync_folder(&self.folder) } else { Ok(()) });
        synced.map_err(failed("cannot sync event file", &self.path()))?;
        self.synced_name.clone_from(&self.name);
        Ok(json!({"file": self.name, "bytes": self.size}))
    }

    fn rewind(&mut self, position: &Value) -> Result<Rewound, ObserverError> {
        let mut rewound = Rewound::Whole;
        if position.is_null() {
            self.restart()?;
        } else {
            let (name, size) = parse_position(position).map_err(failed("cannot resume the event file in", &self.folder))?;
            // No result is read from an event file: what is lost of it is no reason not to go on.
            match self.reopen(name, size) {
                Ok(()) if self.size < size => {
                    let path = self.path();
                    rewound = Rewound::Lossy(format!("{} has lost its end: its curves have a gap", path.display()));
                }
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    rewound = Rewound::Lossy(format!("{} is gone: its curves begin here", self.folder.join(name).display()));
                    self.restart()?;
                }
                Err(error) => return Err(failed("cannot resume event file", &self.folder.join(name))(error)),
            }
            if self.size == 0 {
                self.write_version()?;
            }
        }
        self.remove_others()?;
        Ok(rewound)
    }
}

/// Attaches what was attempted and where.
pub(crate) fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> ObserverError {
    let what = format!("{what} {}", path.display());
    move |source| ObserverError { what, source }
}

fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

fn parse_position(position: &Value) -> io::Result<(&str, u64)> {
    let name = position.get("file").and_then(Value::as_str).filter(|name| is_ours(name) && !name.contains(['/', '\\']));
    name.zip(position.get("bytes").and_then(Value::as_u64)).ok_or_else(|| {
        let message = format!(
            "the checkpoint holds {position} where the position in an event file was expected: {{\"file\": name, \"bytes\": number}}"
        );
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// A name that no other file in the folder has, with host and process so that runners on a shared
/// folder do not meet.
fn create_unique(folder: &Path) -> io::Result<(String, File)> {
    let host: String = gethostname::gethostname()
        .to_string_lossy()
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() || character == '-' { character } else { '_' })
        .collect();
    let seconds = now() as u64;
    let process = std::process::id();
    let mut number = 0u32;
    loop {
        let name = format!("{PREFIX}{seconds:010}.{host}.{process}.{number}{SUFFIX}");
        match OpenOptions::new().write(true).create_new(true).open(folder.join(&name)) {
            Ok(file) => return Ok((name, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use aelab_core::Split;
    use proptest::prelude::*;

    use super::*;

    fn scalars(file: &mut EventFile, step: u64) {
        let values = [("nll".to_owned(), step as f64), ("kl".to_owned(), f64::NAN)];
        file.observe(&Event::Scalars { step, epoch: 0.0, split: Split::Train, values: &values }).unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn two_files_of_one_second_have_two_names() {
        let folder = tempfile::tempdir().unwrap();
        let first = EventFile::create(folder.path()).unwrap();
        let second = EventFile::create(folder.path()).unwrap();
        assert_ne!(first.path(), second.path());
    }

    #[test]
    fn every_event_is_in_the_file_when_observe_returns() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path()).unwrap();
        for step in 0..10 {
            scalars(&mut file, step);
            assert_eq!(std::fs::metadata(file.path()).unwrap().len(), file.size);
        }
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(whole_records(&bytes[..], bytes.len() as u64).unwrap(), file.size);
    }

    #[test]
    fn rewinding_leaves_exactly_the_prefix_and_appends_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path()).unwrap();
        scalars(&mut file, 1);
        let position = file.position().unwrap();
        let prefix = std::fs::read(file.path()).unwrap();
        scalars(&mut file, 2);
        let path = file.path();
        drop(file);

        let mut resumed = EventFile::create(folder.path()).unwrap();
        assert_eq!(resumed.rewind(&position).unwrap(), Rewound::Whole);
        assert_eq!(resumed.path(), path);
        assert_eq!(std::fs::read(&path).unwrap(), prefix);
        assert_eq!(names(folder.path()).len(), 1, "the file that `create` made is gone");
        scalars(&mut resumed, 2);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[..prefix.len()], prefix);
        assert_eq!(whole_records(&bytes[..], bytes.len() as u64).unwrap(), bytes.len() as u64);
        assert_eq!(resumed.position().unwrap()["bytes"], bytes.len() as u64);
    }

    #[test]
    fn null_starts_over_and_leaves_the_files_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let others = folder.path().join("events.out.tfevents.1.theirs");
        std::fs::write(&others, b"theirs").unwrap();
        let mut file = EventFile::create(folder.path()).unwrap();
        scalars(&mut file, 1);
        let old = file.path();
        drop(file);
        let mut resumed = EventFile::create(folder.path()).unwrap();
        resumed.rewind(&Value::Null).unwrap();
        assert!(!old.exists() && others.exists());
        assert_eq!(names(folder.path()).len(), 2);
        assert_eq!(resumed.size, resumed.size_of_version);
    }

    #[test]
    fn a_removed_file_is_begun_anew_with_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path()).unwrap();
        let position = file.position().unwrap();
        std::fs::remove_file(file.path()).unwrap();
        let info = RunInfo {
            experiment: "e".into(),
            trial: "t".into(),
            model: "m".into(),
            config: json!({}),
            hyperparameters: Vec::new(),
            num_parameters: 0,
            metrics: Vec::new(),
        };
        assert!(matches!(file.rewind(&position).unwrap(), Rewound::Lossy(note) if note.contains("is gone")));
        file.observe(&Event::Resumed(&info)).unwrap();
        assert!(file.size > file.size_of_version);
        let size = file.size;
        file.observe(&Event::Resumed(&info)).unwrap();
        assert_eq!(file.size, size, "the start is written once");
    }

    #[test]
    fn a_position_that_is_none_is_refused_and_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path()).unwrap();
        for position in [
            json!(3),
            json!({"file": "a"}),
            json!({"file": "../events.out.tfevents.1.aelab", "bytes": 0}),
            json!({"file": "events.out.tfevents.1/../../x.aelab", "bytes": 0}),
            json!({"file": "result.json", "bytes": 0}),
        ] {
            let error = file.rewind(&position).unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::InvalidData, "{position}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        std::fs::write(&blocked, b"").unwrap();
        let error = EventFile::create(&blocked.join("trial")).unwrap_err();
        assert!(error.to_string().contains("trial"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_and_not_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path()).unwrap();
        file.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let size = file.size;
        let error = file.observe(&Event::Histogram { step: 0, tag: "codes/all", values: &[1.0] }).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.size, size);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_lost_tail_is_cut_at_the_last_whole_record(num_events in 1u64..8, lost in 1u64..400) {
            let folder = tempfile::tempdir().unwrap();
            let mut file = EventFile::create(folder.path()).unwrap();
            let mut ends = vec![0, file.size];
            for step in 0..num_events {
                scalars(&mut file, step);
                ends.push(file.size);
            }
            let position = file.position().unwrap();
            let left = file.size.saturating_sub(lost);
            file.file.set_len(left).unwrap();
            let mut resumed = EventFile::create(folder.path()).unwrap();
            prop_assert!(matches!(resumed.rewind(&position).unwrap(), Rewound::Lossy(_)));
            let kept = *ends.iter().rfind(|end| **end <= left).unwrap();
            prop_assert_eq!(resumed.size, kept.max(resumed.size_of_version));
            scalars(&mut resumed, 99);
            let bytes = std::fs::read(resumed.path()).unwrap();
            prop_assert_eq!(whole_records(&bytes[..], bytes.len() as u64).unwrap(), bytes.len() as u64);
        }
    }
}
