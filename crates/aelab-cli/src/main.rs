//! The program `aelab`.

fn main() -> std::process::ExitCode {
    aelab_cli::main_with(aelab_cli::builtin())
}
