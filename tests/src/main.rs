//! The program under test: the same `main` as `aelab`, with places where it can be made to fail.

mod faults;

fn main() -> std::process::ExitCode {
    aelab_files::install_failpoint(faults::strike);
    aelab_cli::main_with(aelab_cli::builtin())
}
