//! The `kubectl-keylease` binary: `kubectl keylease …`.

use std::process::ExitCode;

fn main() -> ExitCode {
    keylease::cli::plugin::run()
}
