//! The program `aelab`.

#[global_allocator]
static ALLOCATOR: aelab_kernels::ReusingAllocator = aelab_kernels::ReusingAllocator;

fn main() -> std::process::ExitCode {
    aelab_cli::main_with(aelab_cli::builtin())
}
