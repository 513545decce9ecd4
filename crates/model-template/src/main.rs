//! The whole program: aelab with one more model.

use aelab_core::ModelEntry;
use aelab_model_template::NoisyCodeConfig;

fn main() -> std::process::ExitCode {
    aelab_cli::main_with(aelab_cli::builtin().with(ModelEntry::new::<NoisyCodeConfig>()))
}
