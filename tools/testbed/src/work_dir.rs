//! The folder that one part of the test bed writes to.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::janitor;

/// Set this variable to keep the temporary folders, with their logs.
const KEEP: &str = "KEYLEASE_TESTBED_KEEP";

/// A folder that was given, or a temporary one. A temporary one is removed on
/// drop and at the latest with the end of this process, unless the test failed or
/// `KEYLEASE_TESTBED_KEEP` is set.
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
        let always = std::env::var_os(KEEP).is_some();
        if !always {
            janitor::remove_at_the_end(dir.path())?;
        }
        Ok(Self::Temporary(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }

    /// Keeps it whatever comes, and says where it is.
    pub(crate) fn keep(&self) {
        if let (Self::Temporary(dir), false) = (self, self.is_kept()) {
            eprintln!("testbed: logs are kept in {}", dir.path().display());
            // Without the mark it is as if it were not asked for.
            let _ = std::fs::write(dir.path().join(janitor::KEPT), "");
        }
    }

    fn is_kept(&self) -> bool {
        self.path().join(janitor::KEPT).exists()
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os(KEEP).is_some() {
            self.keep();
        }
        let kept = self.is_kept();
        if let Self::Temporary(dir) = self {
            dir.disable_cleanup(kept);
        }
    }
}
