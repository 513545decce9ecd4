//! The rules of ARCHITECTURE.md that a machine can check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which crates of the workspace a crate may use. A dependency that is not listed here is a mistake, or
/// a change of the architecture that belongs into ARCHITECTURE.md as well.
const ALLOWED: &[(&str, &[&str])] = &[
    ("aelab-core", &["aelab-kernels"]),
    ("aelab-files", &[]),
    ("aelab-map", &[]),
    ("aelab-kernels", &[]),
    ("aelab-losses", &["aelab-core", "aelab-kernels"]),
    ("aelab-nn", &["aelab-core", "aelab-kernels"]),
    ("aelab-data", &["aelab-core", "aelab-files", "aelab-kernels", "aelab-map"]),
    ("aelab-train", &["aelab-core", "aelab-files", "aelab-kernels"]),
    ("aelab-eval", &["aelab-core", "aelab-files", "aelab-kernels"]),
    ("aelab-tensorboard", &["aelab-core", "aelab-files"]),
    ("aelab-report", &["aelab-core", "aelab-files"]),
    ("aelab-models", &["aelab-core", "aelab-kernels", "aelab-losses", "aelab-nn"]),
    ("aelab-bench", &["aelab-core", "aelab-kernels", "aelab-models", "aelab-train"]),
    (
        "aelab-experiment",
        &["aelab-core", "aelab-data", "aelab-eval", "aelab-files", "aelab-models", "aelab-report", "aelab-tensorboard", "aelab-train"],
    ),
    (
        "aelab-cli",
        &[
            "aelab-bench",
            "aelab-core",
            "aelab-data",
            "aelab-eval",
            "aelab-experiment",
            "aelab-files",
            "aelab-kernels",
            "aelab-models",
            "aelab-report",
            "aelab-train",
        ],
    ),
    ("aelab-model-template", &["aelab-core", "aelab-cli", "aelab-losses", "aelab-nn"]),
    ("aelab-tests", &["aelab-cli", "aelab-files", "aelab-kernels"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// Name of each crate of the workspace with the names of its ordinary dependencies.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().expect("a list of dependencies");
            (name(package), all.iter().filter(|dependency| dependency["kind"].is_null()).map(name).collect())
        })
        .collect()
}

/// The packages of a lock file, by name and version, with the names of what each depends on.
fn locked(file: &str) -> BTreeMap<(String, String), Vec<String>> {
    let text = std::fs::read_to_string(root().join(file)).expect("a lock file");
    let quoted = |line: &str| line.split('"').nth(1).and_then(|text| text.split(' ').next()).map(str::to_owned);
    let packages = text.split("[[package]]").skip(1).filter_map(|package| {
        let value = |key: &str| package.lines().find(|line| line.starts_with(key)).and_then(quoted);
        Some((
            (value("name = ")?, value("version = ")?),
            package.lines().filter(|line| line.starts_with(" \"")).filter_map(quoted).collect(),
        ))
    });
    packages.collect()
}

#[test]
fn fuzz_targets_lock_what_the_workspace_depends_on_in_its_versions() {
    let (workspace, fuzz, dependencies) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"), dependencies());
    let known = |name: &str| workspace.keys().any(|(known, _)| known == name);
    for (package, needs) in &fuzz {
        let (name, version) = package;
        assert!(workspace.contains_key(package) || !known(name), "fuzz/Cargo.lock: {name} {version} is not the workspace's");
        for dependency in dependencies.get(name).into_iter().flatten() {
            assert!(needs.contains(dependency), "fuzz/Cargo.lock: {name} depends on {dependency}; run `cargo check` in fuzz/");
        }
    }
    assert!(fuzz.keys().any(|(name, _)| name == "aelab-kernels"), "the fuzz targets reach the kernels");
}

#[test]
fn dependencies_between_crates_point_one_way() {
    for (package, dependencies) in dependencies() {
        let (_, allowed) = ALLOWED.iter().find(|(name, _)| *name == package).unwrap_or_else(|| panic!("{package} is not in the list"));
        for dependency in dependencies.iter().filter(|name| name.starts_with("aelab-")) {
            assert!(allowed.contains(&dependency.as_str()), "{package} must not depend on {dependency}");
        }
    }
}

#[test]
fn only_the_program_uses_anyhow_and_only_libraries_that_own_files_touch_the_network() {
    for (package, dependencies) in dependencies() {
        let uses = |name: &str| dependencies.iter().any(|dependency| dependency == name);
        assert!(!uses("anyhow") || package == "aelab-cli", "{package} uses anyhow");
        assert!(!uses("ureq") || package == "aelab-data", "{package} uses the network");
        // TensorBoard's text tab shows a configuration as YAML; only the experiment reads any.
        assert!(!uses("serde_yaml") || ["aelab-experiment", "aelab-tensorboard"].contains(&package.as_str()), "{package} uses YAML");
    }
}

/// Files mapped into memory, and kernels compiled for what the machine has: the two things that cannot be had without.
#[test]
fn unsafe_code_is_in_two_crates_with_a_proof_for_each_block() {
    for package in ["aelab-map", "aelab-kernels"] {
        let mut num_blocks = 0;
        for entry in walkdir::WalkDir::new(root().join("crates").join(package).join("src")) {
            let path = entry.expect("the folder can be read").into_path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("sources are text");
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let blocks: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].contains("unsafe {")).collect();
            num_blocks += blocks.len();
            for at in blocks {
                let comment = lines[..at].iter().rev().take_while(|line| line.starts_with("//"));
                let proved = comment.into_iter().any(|line| line.starts_with("// SAFETY: "));
                assert!(proved, "{}: line {} has no proof", path.display(), at + 1);
            }
        }
        assert!(num_blocks > 0, "{package} has no unsafe block any more: forbid it there, too");
    }
    for entry in walkdir::WalkDir::new(root().join("crates")) {
        let path = entry.expect("the folder can be read").into_path();
        let may_be_unsafe = ["aelab-map/Cargo.toml", "aelab-kernels/Cargo.toml"].iter().any(|exception| path.ends_with(exception));
        if path.ends_with("Cargo.toml") && !may_be_unsafe {
            let text = std::fs::read_to_string(&path).expect("manifests are text");
            // The workspace forbids it.
            assert!(text.contains("[lints]\nworkspace = true"), "{} does not take the lints of the workspace", path.display());
        }
    }
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for folder in ["crates", "tests"] {
        for entry in walkdir::WalkDir::new(root().join(folder)) {
            let path = entry.expect("the folder can be read").into_path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are text");
                assert!(text.starts_with("//! "), "{} does not start with `//! `", path.display());
                let unfinished = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
                assert!(!unfinished.iter().any(|word| text.contains(word)), "{} is unfinished", path.display());
            }
        }
    }
}

#[test]
fn every_model_has_a_file_a_page_and_an_experiment() {
    for entry in aelab_models::MODELS {
        for path in [
            format!("crates/aelab-models/src/{}.rs", entry.name),
            format!("docs/src/models/{}.md", entry.name),
            format!("experiments/{}.yaml", entry.name),
        ] {
            assert!(root().join(&path).is_file(), "{path} is missing");
        }
        assert!(entry.citation.len() > 20 && entry.summary.len() > 20, "{} says too little of itself", entry.name);
    }
}

#[test]
fn every_page_of_the_book_is_in_its_summary_and_every_link_of_the_summary_leads_somewhere() {
    let source = root().join("docs/src");
    let summary = std::fs::read_to_string(source.join("SUMMARY.md")).expect("the book has a summary");
    for entry in walkdir::WalkDir::new(&source) {
        let path = entry.expect("the folder can be read").into_path();
        let relative = path.strip_prefix(&source).expect("below the folder").to_string_lossy().into_owned();
        if relative.ends_with(".md") && relative != "SUMMARY.md" {
            assert!(summary.contains(&format!("({relative})")), "{relative} is not in SUMMARY.md");
        }
    }
    for link in summary.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(source.join(link).is_file(), "SUMMARY.md links to {link}, which is missing");
    }
}

#[test]
fn every_dependency_has_its_reason_in_the_book() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let page = std::fs::read_to_string(root().join("docs/src/dependencies.md")).unwrap();
    let table: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1)).collect();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names = section.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    let foreign: Vec<&str> = names.filter(|name| !name.starts_with("aelab-")).collect();
    assert!(foreign.len() > 30, "{foreign:?}");
    for name in foreign {
        assert!(
            table.iter().any(|cell| cell.contains(&format!("`{name}`"))),
            "docs/src/dependencies.md does not say why `{name}` is needed"
        );
    }
}
