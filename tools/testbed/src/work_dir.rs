//! The folder that one part of the test bed writes to.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Set this variable to keep the temporary folders, with their logs.
const KEEP: &str = "KEYLEASE_TESTBED_KEEP";

/// A folder that was given, or a temporary one. A temporary one is removed on
/// drop, unless the test failed or `KEYLEASE_TESTBED_KEEP` is set.
#[derive(Debug)]
pub(crate) enum WorkDir {
    Given(PathBuf),
    Temporary(TempDir),
}

impl WorkDir {
    pub(crate) fn given(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self::Given(path.canonicalize()?))
    }

    pub(crate) fn temporary(part: &str) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(&format!("keylease-{part}-"))
            .tempdir()
            .context("making a temporary folder")?;
        Ok(Self::Temporary(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let keep = std::thread::panicking() || std::env::var_os(KEEP).is_some();
        if let (Self::Temporary(dir), true) = (self, keep) {
            eprintln!("testbed: logs are kept in {}", dir.path().display());
            dir.disable_cleanup(true);
        }
    }
}
