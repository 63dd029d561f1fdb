//! Taking etcd back to an earlier state, as an administrator does with a
//! backup.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::ControlPlane;

/// A copy of etcd's data. It lives as long as the control plane's folder.
#[derive(Debug, Clone)]
pub struct Backup {
    data: PathBuf,
}

impl ControlPlane {
    /// Stops API server and etcd, copies etcd's data, and starts both again.
    ///
    /// # Errors
    /// When the copy fails or a server does not come up again.
    pub async fn backup_etcd(&self) -> Result<Backup> {
        let backup = Backup {
            data: self
                .dir()
                .join(format!("etcd-backup-{}", fastrand::u64(..))),
        };
        self.with_etcd_stopped(|data| copy_dir(data, &backup.data))
            .await?;
        Ok(backup)
    }

    /// Puts a backup in place of etcd's data. Everything that was written
    /// since is forgotten, and resource versions go back.
    ///
    /// # Errors
    /// As for [`ControlPlane::backup_etcd`].
    pub async fn restore_etcd(&self, backup: &Backup) -> Result<()> {
        self.with_etcd_stopped(|data| {
            std::fs::remove_dir_all(data)?;
            copy_dir(&backup.data, data)
        })
        .await
    }

    async fn with_etcd_stopped(&self, change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.stop_apiserver();
        drop(self.etcd.lock().take());
        change(&self.etcd_data()).context("with etcd's data")?;
        self.start_etcd()?;
        self.start_apiserver().await?;
        if self.options.controller_manager {
            // Its caches are of the other past.
            self.restart_controller_manager()?;
        }
        Ok(())
    }
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
