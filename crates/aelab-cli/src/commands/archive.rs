//! `archive` and `unarchive`: a run directory as one file, and back.

use std::path::{Path, PathBuf};

use aelab_experiment::{ArchiveManifest, RunDir, archive as write_archive, unarchive as read_archive, verify_archive};

use crate::EXIT_DONE;
use crate::terminal::{byte_size, counted, print_line, print_warning};

/// Packs a run directory.
pub(crate) fn archive(run: &Path, runs: &Path, output: Option<&Path>, without_checkpoints: bool) -> anyhow::Result<u8> {
    let run_dir = RunDir::open(run, runs)?;
    let plan = run_dir.plan()?;
    let output = output.map_or_else(|| PathBuf::from(format!("{}.tar.gz", plan.name)), Path::to_owned);
    let archived = write_archive(&run_dir, &plan, &output, without_checkpoints)?;
    for path in &archived.left_out {
        print_warning(&format!("{} is no plain file and was left out", path.display()));
    }
    let packed = byte_size(archived.bytes);
    print_line(&format!("{}: {}, packed into {packed}", output.display(), contents(&archived.manifest)));
    Ok(EXIT_DONE)
}

/// Checks an archive.
pub(crate) fn verify(file: &Path) -> anyhow::Result<u8> {
    let manifest = verify_archive(file)?;
    print_line(&format!("{}: {}; every file matches its SHA-256", file.display(), contents(&manifest)));
    Ok(EXIT_DONE)
}

/// Unpacks an archive.
pub(crate) fn unarchive(file: &Path, output: Option<&Path>, runs: &Path) -> anyhow::Result<u8> {
    let (folder, manifest) = read_archive(file, output, runs)?;
    print_line(&format!("{}: {}; every file matches its SHA-256", folder.display(), contents(&manifest)));
    Ok(EXIT_DONE)
}

fn contents(manifest: &ArchiveManifest) -> String {
    let checkpoints = if manifest.without_checkpoints { " without checkpoints" } else { "" };
    let results = counted(manifest.num_results(), "result", "results");
    let files = counted(manifest.files.len(), "file", "files");
    format!("{}{checkpoints}, {results}, {files} of {}", manifest.name, byte_size(manifest.bytes()))
}
