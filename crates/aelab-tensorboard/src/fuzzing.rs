//! What fuzzing and its replay run: resuming an event file that a stranger left. Not for programs.

use std::fs;
use std::path::Path;

use aelab_core::{Event, Observer, Split};
use serde_json::json;

use crate::EventFile;

/// Resumes an event file at a position that the first line of `bytes` gives as JSON, or else its first bytes; the rest is its
/// content. Whatever they are, it returns, and what is logged then is in the folder.
pub fn event_file(folder: &Path, bytes: &[u8]) {
    let (head, content) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => bytes.split_at(bytes.len().min(2)),
    };
    let name = "events.out.tfevents.0000000000.host.1.0.aelab";
    let Ok(mut events) = EventFile::create(folder) else { return };
    let own = events.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let position = match serde_json::from_slice(head) {
        Ok(position) => position,
        Err(_) => json!({"file": own, "bytes": head.iter().take(4).fold(0u64, |sum, byte| sum * 256 + u64::from(*byte))}),
    };
    let _ = fs::write(folder.join(name), content);
    let _ = fs::write(events.path(), content);
    if events.rewind(&position).is_ok() {
        let values = [("loss".to_owned(), 0.5)];
        let _ = events.observe(&Event::Scalars { step: 1, epoch: 0.0, split: Split::Train, values: &values });
        let _ = events.position();
    }
}
