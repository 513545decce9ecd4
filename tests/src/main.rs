//! The program under test: the same `main` as `aelab`, with places where it can be made to fail and a count of its memory.

mod faults;
mod memory;

fn main() -> std::process::ExitCode {
    aelab_files::install_failpoint(faults::strike);
    let code = aelab_cli::main_with(aelab_cli::builtin());
    memory::tell();
    code
}
