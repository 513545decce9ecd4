//! `data`: fetches, verifies and lists data sets.

use aelab_data::{Cleared, DatasetState, FetchProgress, FileState, LoadContext, Source, clear_decoded, decoded_dir, fetch, list, verify};
use aelab_experiment::Plan;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::arguments::DataCommand;
use crate::commands::listings::print_table;
use crate::terminal::{is_terminal, print_line, print_note};
use crate::{EXIT_DONE, EXIT_TRIALS_FAILED};

/// Does what the arguments say.
pub(crate) fn data(command: DataCommand) -> anyhow::Result<u8> {
    match command {
        DataCommand::Fetch { name, source, offline } => fetch_one(&name, source, offline),
        DataCommand::Verify { name, json } => verify_files(name.as_deref(), json),
        DataCommand::List { json } => list_all(json),
        DataCommand::Clear => clear(),
    }
}

/// The data sets of a plan that have to be fetched first.
pub(crate) fn missing(plan: &Plan) -> Vec<String> {
    let sets = list(&LoadContext::new(""));
    let is_missing = |name: &str| sets.iter().any(|set| set.name == name && set.state == DatasetState::NotFetched);
    let mut names: Vec<String> = Vec::new();
    for trial in &plan.trials {
        if is_missing(&trial.data) && !names.contains(&trial.data) {
            names.push(trial.data.clone());
        }
    }
    names
}

fn fetch_one(name: &str, source: Source, offline: bool) -> anyhow::Result<u8> {
    let context = LoadContext { offline, ..LoadContext::new("") };
    let mut bar: Option<ProgressBar> = None;
    let report = fetch(name, source, &context, &mut |progress| {
        if let FetchProgress::Receiving { file, received, total } = progress {
            if is_terminal() {
                let bar = bar.get_or_insert_with(|| new_bar(file, total));
                bar.set_position(received);
            }
            return;
        }
        if let Some(bar) = bar.take() {
            bar.finish_and_clear();
        }
        match progress {
            FetchProgress::Waiting => print_note("waiting for another process that fetches the same data"),
            FetchProgress::Trying { source, what } => print_note(&format!("trying {source}: {what}")),
            FetchProgress::Verified { file } => print_note(&format!("verified {file}")),
            FetchProgress::Failed { source, reason } => print_note(&format!("{source} does not serve it: {reason}")),
            _ => {}
        }
    })?;
    let how = report.source.map_or_else(|| "was there already".to_owned(), |source| format!("fetched from {source}"));
    print_line(&format!("{} {how}: {:.1} MB in {}", report.name, report.num_bytes as f64 / 1e6, report.folder.display()));
    Ok(EXIT_DONE)
}

fn clear() -> anyhow::Result<u8> {
    let context = LoadContext::new("");
    let Some(folder) = decoded_dir(&context) else {
        print_line("no decoded data is kept: AELAB_DECODED is off");
        return Ok(EXIT_DONE);
    };
    let Cleared { num_files, num_bytes } = clear_decoded(&context)?;
    let files = if num_files == 1 { "file" } else { "files" };
    print_line(&format!("removed {num_files} {files} of decoded data, {:.1} MB, from {}", num_bytes as f64 / 1e6, folder.display()));
    Ok(EXIT_DONE)
}

fn new_bar(file: &str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}")
        .expect("the template is fixed and well-formed");
    let bar = ProgressBar::new(total).with_style(style.progress_chars("=> "));
    bar.set_message(file.to_owned());
    bar
}

fn verify_files(name: Option<&str>, as_json: bool) -> anyhow::Result<u8> {
    let files = verify(name, &LoadContext::new(""))?;
    let is_wrong = |state: &FileState| !matches!(state, FileState::Verified | FileState::Missing);
    // Without a name only what was fetched is asked about; with one, the whole set must be there.
    let has_failed = files.iter().any(|file| is_wrong(&file.state) || name.is_some() && file.state == FileState::Missing);
    if as_json {
        print_line(&serde_json::to_string_pretty(&files)?);
    } else {
        for file in &files {
            let state = match &file.state {
                FileState::Verified => "verified".to_owned(),
                FileState::Missing => "missing".to_owned(),
                FileState::WrongSize { found, expected } => format!("has {found} bytes instead of {expected}: fetch it again"),
                FileState::WrongChecksum { found, expected } => format!("has the SHA-256 {found} instead of {expected}: fetch it again"),
            };
            print_line(&format!("{}: {state}", file.path.display()));
        }
    }
    Ok(if has_failed { EXIT_TRIALS_FAILED } else { EXIT_DONE })
}

fn list_all(as_json: bool) -> anyhow::Result<u8> {
    let sets = list(&LoadContext::new(""));
    if as_json {
        let sets: Vec<_> = sets
            .iter()
            .map(|set| json!({"name": set.name, "summary": set.summary, "citation": set.citation, "state": set.state}))
            .collect();
        print_line(&serde_json::to_string_pretty(&sets)?);
        return Ok(EXIT_DONE);
    }
    let states: Vec<String> = sets
        .iter()
        .map(|set| match &set.state {
            DatasetState::Embedded => "part of the program".to_owned(),
            DatasetState::Cached { folder, num_bytes } => format!("{:.1} MB in {}", *num_bytes as f64 / 1e6, folder.display()),
            DatasetState::NotFetched => format!("not here: aelab data fetch {}", set.name),
            DatasetState::YourFiles => "your files".to_owned(),
        })
        .collect();
    let rows = sets.iter().zip(&states).map(|(set, state)| vec![set.name, set.summary, state.as_str()]);
    print_table(&["data set", "summary", "state"], rows);
    Ok(EXIT_DONE)
}
