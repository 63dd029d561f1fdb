//! When to stop: on a signal, or when a given process is gone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

const PARENT_CHECK: Duration = Duration::from_millis(500);

/// Waits for SIGINT, SIGTERM, or the end of process `parent`, and says which.
pub(crate) async fn requested(parent: Option<u32>) -> Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "interrupted",
        _ = terminate.recv() => "terminated",
        () = end_of(parent) => "the parent process is gone",
    })
}

async fn end_of(parent: Option<u32>) {
    let Some(pid) = parent else {
        return std::future::pending().await;
    };
    while is_running(pid).await {
        tokio::time::sleep(PARENT_CHECK).await;
    }
}

async fn is_running(pid: u32) -> bool {
    if Path::new("/proc/self").exists() {
        return Path::new(&format!("/proc/{pid}")).exists();
    }
    let probe = tokio::process::Command::new("kill")
        .args(["-0", &pid.to_string()])
        .stderr(std::process::Stdio::null())
        .status();
    probe.await.is_ok_and(|status| status.success())
}
