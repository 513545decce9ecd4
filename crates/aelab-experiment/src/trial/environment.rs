//! `environment.json`: where a result comes from.

use serde_json::{Value, json};

use crate::ResolvedTrial;

/// Version, build, machine and data of a trial that runs now.
pub(super) fn environment(trial: &ResolvedTrial) -> Value {
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
