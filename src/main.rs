//! The `keylease` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    keylease::cli::run()
}
