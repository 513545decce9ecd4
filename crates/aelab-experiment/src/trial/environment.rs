//! `environment.json`: where a result comes from.

use std::path::Path;

use aelab_files::write_atomic;
use serde_json::{Value, json};

use super::TrialError;
use crate::ResolvedTrial;

/// Entries on which the last bits of a result may depend.
const BITS_DEPEND_ON: [&str; 7] = ["aelab", "git", "burn", "architecture", "cpu_features", "threads", "device"];

/// Writes `environment.json`. A trial that goes on somewhere else than it was begun keeps, under `before`, where that was, and this is
/// what to say of it.
pub(super) fn record(folder: &Path, trial: &ResolvedTrial, goes_on: bool) -> Result<Option<String>, TrialError> {
    let path = folder.join("environment.json");
    let mut now = environment(trial);
    let mut note = None;
    // What cannot be read has nothing to say.
    let earlier = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    if let Some(mut earlier) = earlier.filter(|_| goes_on) {
        let before = earlier.as_object_mut().and_then(|entries| entries.remove("before"));
        let mut before = before.and_then(|before| before.as_array().cloned()).unwrap_or_default();
        let differences = differences(&earlier, &now);
        if !differences.is_empty() {
            before.push(earlier);
            note = Some(format!(
                "the trial was begun elsewhere and goes on here ({}): it is promised to end with the same bits only where these agree",
                differences.join("; ")
            ));
        }
        if !before.is_empty() {
            now["before"] = Value::Array(before);
        }
    }
    let json = serde_json::to_vec_pretty(&now).expect("texts and numbers serialize");
    write_atomic(&path, &json).map_err(|source| TrialError::Write { path, source })?;
    Ok(note)
}

/// One text for each entry that bits depend on and that differs.
fn differences(before: &Value, now: &Value) -> Vec<String> {
    let show = |value: &Value| match value {
        Value::Null => "unknown".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let differs = |key: &&&str| before.get(**key) != now.get(**key);
    BITS_DEPEND_ON.iter().filter(differs).map(|key| format!("{key}: {} before, {} now", show(&before[*key]), show(&now[*key]))).collect()
}

/// Version, build, machine and data of a trial that runs now.
fn environment(trial: &ResolvedTrial) -> Value {
    json!({
        "aelab": env!("CARGO_PKG_VERSION"),
        "git": option_env!("AELAB_GIT_COMMIT"),
        "burn": "0.22.1",
        "operating_system": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "cpu": cpu_model(),
        "cpu_features": cpu_features(),
        "cpus": std::thread::available_parallelism().map(usize::from).ok(),
        "threads": std::env::var("RAYON_NUM_THREADS").ok(),
        "device": trial.device,
        "data": { trial.data.name(): trial.data_checksum },
    })
}

fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

/// The instruction sets that decide which kernels run, and so the last bits of a result.
fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let known = [
            ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
            ("avx", std::arch::is_x86_feature_detected!("avx")),
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ];
        known.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bits_depend_on_is_compared_and_nothing_else() {
        let before = json!({"aelab": "0.1.0", "cpu": "a", "cpu_features": ["avx", "fma"], "threads": "1"});
        let same = json!({"aelab": "0.1.0", "cpu": "b", "cpu_features": ["avx", "fma"], "threads": "1"});
        assert!(differences(&before, &same).is_empty());
        let other = json!({"aelab": "0.2.0", "cpu_features": ["avx"], "threads": "1"});
        assert_eq!(differences(&before, &other), ["aelab: 0.1.0 before, 0.2.0 now", "cpu_features: avx fma before, avx now"]);
    }
}
