//! The trace that a process leaves for the next one of its pod: which epoch of the
//! cluster's identity it wrote last.
//!
//! It lies in the pod and not in the cluster, so that a copy of the cluster has
//! none. Without a trace the next process waits longer; nothing else depends on it.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt;

use keylease_core::plan::identity::Epoch;

/// The traces that are kept in one place, of the cluster behind one address.
#[derive(Clone, Debug)]
pub struct EpochTraces {
    dir: PathBuf,
    /// The address as part of a name: at a laptop one place serves many clusters.
    cluster: String,
}

impl EpochTraces {
    /// Those in this directory.
    pub fn new(dir: PathBuf, address: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        Self {
            dir,
            cluster: address.chars().map(plain).collect(),
        }
    }

    /// What the last process wrote into this marker; `None` where nothing can be
    /// read that is an epoch.
    pub async fn last(&self, marker: &str) -> Option<Epoch> {
        let text = tokio::fs::read_to_string(self.path(marker)).await.ok()?;
        text.trim().parse().ok()
    }

    /// Notes an epoch that is in AWS. A trace that cannot be left is told in the
    /// log.
    pub async fn leave(&self, marker: &str, epoch: &Epoch) {
        let path = self.path(marker);
        if let Err(error) = replace(&path, &epoch.to_string()).await {
            tracing::info!(
                path = %path.display(),
                %error,
                "no trace for the next container; it will wait for other clusters"
            );
        }
    }

    fn path(&self, marker: &str) -> PathBuf {
        let name = format!("{}.{marker}.epoch", self.cluster);
        self.dir.join(name)
    }
}

/// In one step: a process that dies leaves the old text or the new one.
async fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        tokio::fs::create_dir_all(dir).await?;
    }
    let new = path.with_extension("new");
    let _ = tokio::fs::remove_file(&new).await;
    // Made anew, so that nobody else's link is followed.
    let mut file = tokio::fs::File::create_new(&new).await?;
    file.write_all(text.as_bytes()).await?;
    file.flush().await?;
    tokio::fs::rename(&new, path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(text: &str) -> Epoch {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn the_last_epoch_is_found_again_by_its_cluster_alone() {
        let dir = tempfile::tempdir().unwrap();
        let at = |address| EpochTraces::new(dir.path().join("state"), address);
        let traces = at("https://10.0.0.1:6443/");
        assert_eq!(traces.last("m").await, None);
        for written in ["1f/1/ab", "1f/2/cd"] {
            traces.leave("m", &epoch(written)).await;
            assert_eq!(traces.last("m").await, Some(epoch(written)));
        }
        assert_eq!(traces.last("other").await, None);
        assert_eq!(at("https://10.0.0.1:6444/").last("m").await, None);
    }

    #[tokio::test]
    async fn nonsense_and_no_place_are_no_trace() {
        let nowhere = EpochTraces::new("/proc/nowhere".into(), "x");
        nowhere.leave("m", &epoch("1f/1/ab")).await;
        assert_eq!(nowhere.last("m").await, None);
        let dir = tempfile::tempdir().unwrap();
        let traces = EpochTraces::new(dir.path().to_owned(), "x");
        std::fs::write(dir.path().join("x.m.epoch"), "half an ep").unwrap();
        assert_eq!(traces.last("m").await, None);
    }
}
