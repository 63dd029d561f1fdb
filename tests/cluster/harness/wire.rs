//! A wire to the API server that can be cut for one process alone.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use keylease_testbed::ControlPlane;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A forwarder of connections to the API server, and a kubeconfig that goes
/// through it.
pub struct Wire {
    cut: CancellationToken,
    kubeconfig: PathBuf,
    _dir: tempfile::TempDir,
}

impl Wire {
    /// Lays a wire with an administrator's rights.
    pub async fn lay(cluster: &ControlPlane) -> Result<Self> {
        let url = cluster.server_url();
        let server: Arc<str> = url
            .strip_prefix("https://")
            .context("an API server without TLS")?
            .trim_end_matches('/')
            .into();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = format!("https://{}", listener.local_addr()?);
        let dir = tempfile::tempdir()?;
        let kubeconfig = dir.path().join("kubeconfig");
        let usual = std::fs::read_to_string(cluster.kubeconfig())?;
        std::fs::write(&kubeconfig, usual.replace(&url, &own))?;
        let cut = CancellationToken::new();
        let token = cut.clone();
        tokio::spawn(async move {
            while let Some(Ok((near, _))) = token.run_until_cancelled(listener.accept()).await {
                tokio::spawn(forward(near, server.clone(), token.clone()));
            }
        });
        Ok(Self {
            cut,
            kubeconfig,
            _dir: dir,
        })
    }

    /// The kubeconfig whose server is this end of the wire.
    pub fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    /// Ends all connections and lets no other in.
    pub fn cut(&self) {
        self.cut.cancel();
    }
}

async fn forward(mut near: TcpStream, server: Arc<str>, cut: CancellationToken) {
    let Ok(mut far) = TcpStream::connect(&*server).await else {
        return;
    };
    let copy = tokio::io::copy_bidirectional(&mut near, &mut far);
    // Either end may hang up; that is none of the wire's business.
    let _ = cut.run_until_cancelled(copy).await;
}
