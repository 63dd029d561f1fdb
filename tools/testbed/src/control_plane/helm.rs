//! Helm for one cluster; nothing of the user's own settings gets in.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::paths;

/// Runs helm and answers its standard output.
pub(super) async fn run(kubeconfig: &Path, home: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new(paths::tool("helm")?)
        .args(args)
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", home)
        .env("HELM_CACHE_HOME", home.join("helm/cache"))
        .env("HELM_CONFIG_HOME", home.join("helm/config"))
        .env("HELM_DATA_HOME", home.join("helm/data"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("starting helm")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("helm {}: {}", args.join(" "), stderr.trim_end());
    }
    String::from_utf8(output.stdout).context("helm wrote no UTF-8")
}
