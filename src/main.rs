//! The `keylease` binary.

use std::process::ExitCode;

/// After a burst of issuing it gives memory back that glibc's allocator keeps
/// (docs/decisions/0026-memory.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keylease::cli::run()
}
