//! The memory that the process takes, for tests to read: with `AELAB_MEMORY=FOLDER` the most bytes that were allocated at a time are
//! written to `FOLDER/SUBCOMMAND.bytes` when the program ends.

use std::path::Path;

use aelab_kernels::ReusingAllocator;
use cap::Cap;

/// The allocator of the program, counted.
#[global_allocator]
static ALLOCATOR: Cap<ReusingAllocator> = Cap::new(ReusingAllocator, usize::MAX);

/// Writes the file, where one is asked for.
pub(crate) fn tell() {
    let (Some(folder), Some(subcommand)) = (std::env::var_os("AELAB_MEMORY"), std::env::args().nth(1)) else { return };
    let file = Path::new(&folder).join(format!("{subcommand}.bytes"));
    std::fs::write(file, ALLOCATOR.max_allocated().to_string()).expect("the folder of AELAB_MEMORY can be written");
}
