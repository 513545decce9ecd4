//! What the fuzz targets share: the function that a name stands for, and a folder that it may write into.

use std::path::PathBuf;
use std::sync::OnceLock;

use aelab_core::Registry;
use aelab_experiment::fuzzing::{TARGETS, limit_memory};

/// Runs the target `name` on `bytes`.
pub fn run(name: &str, bytes: &[u8]) {
    static SETTING: OnceLock<(PathBuf, Registry)> = OnceLock::new();
    let (folder, registry) = SETTING.get_or_init(|| {
        // What a bomb may take; libFuzzer watches that it is not exceeded.
        limit_memory(256 << 20);
        let folder = std::env::temp_dir().join(format!("aelab-fuzz-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files can be made");
        (folder, Registry::new(aelab_models::MODELS))
    });
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("every target is listed");
    target(folder, registry, bytes);
}
