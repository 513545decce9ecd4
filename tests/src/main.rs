//! The program under test: the same `main` as `aelab`.

fn main() -> std::process::ExitCode {
    aelab_cli::main_with(aelab_cli::builtin())
}
