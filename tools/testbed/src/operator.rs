//! The operator under test, as a child process.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{Child, Spec};
use crate::work_dir::WorkDir;
use crate::{aws_cli, http, ports, wait};

/// The namespace that the operator believes to run in.
pub const NAMESPACE: &str = "keylease-system";

/// How long [`Operator::restart`] waits for a clean end.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A `keylease controller` process. Dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    spec: Spec,
    http_addr: String,
    metrics_addr: String,
    dir: WorkDir,
}

impl Operator {
    /// Starts `BIN controller EXTRA_ARGS`.
    ///
    /// Its environment has `PATH`, a temporary `HOME`, `KUBECONFIG`, the AWS
    /// settings of [`aws_cli::env()`], `POD_NAMESPACE`, `KEYLEASE_HTTP_ADDR`,
    /// `KEYLEASE_METRICS_ADDR`, `KEYLEASE_METRICS_ACCESS=loopback` and
    /// `KEYLEASE_LEADER_ELECT=false`, and nothing else of this process's:
    /// one that is killed and started again would have to wait for its own
    /// Lease to run out. `extra_env` adds and overrides.
    ///
    /// # Errors
    /// When it cannot be started. Use [`Operator::wait_ready`] next.
    pub fn start(
        bin: &Path,
        kubeconfig: &Path,
        aws_endpoint: &str,
        extra_env: &[(&str, &str)],
        extra_args: &[&str],
    ) -> Result<Self> {
        let dir = WorkDir::temporary("operator")?;
        let http_addr = format!("127.0.0.1:{}", ports::free()?);
        let metrics_addr = format!("127.0.0.1:{}", ports::free()?);
        let mut spec = Spec::new(bin)
            .arg("controller")
            .args(extra_args.iter().copied())
            .clear_env()
            .env("HOME", dir.path().display().to_string())
            .env("KUBECONFIG", kubeconfig.display().to_string())
            .env("POD_NAMESPACE", NAMESPACE)
            .env("KEYLEASE_LEADER_ELECT", "false")
            // The pod, as it were, is the control plane's one.
            .env(
                "KEYLEASE_STATE_DIR",
                state_dir(kubeconfig).display().to_string(),
            )
            .env("KEYLEASE_HTTP_ADDR", &http_addr)
            .env("KEYLEASE_METRICS_ADDR", &metrics_addr)
            .env("KEYLEASE_METRICS_ACCESS", "loopback");
        for (name, value) in aws_cli::env(aws_endpoint) {
            spec = spec.env(name, value);
        }
        for (name, value) in extra_env {
            spec = spec.env(*name, *value);
        }
        let child = spawn(&spec, &dir)?;
        Ok(Self {
            child,
            spec,
            http_addr,
            metrics_addr,
            dir,
        })
    }

    /// `host:port` of `/healthz` and `/readyz`.
    #[must_use]
    pub fn http_addr(&self) -> &str {
        &self.http_addr
    }

    /// `host:port` of `/metrics` and `/log-level`: without TLS and for everybody,
    /// unless `extra_env` has another `KEYLEASE_METRICS_ACCESS`.
    #[must_use]
    pub fn metrics_addr(&self) -> &str {
        &self.metrics_addr
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When it does not in time, or the process ends; with the end of the log.
    pub async fn wait_ready(&mut self, timeout: Duration) -> Result<()> {
        let Self {
            child, http_addr, ..
        } = self;
        let what = "the operator's readiness";
        let alive = || child.check_running();
        let ready = wait::until_ok_while(what, timeout, alive, || async {
            let answer = http::get(http_addr, "/readyz").await?;
            if answer.status != 200 {
                bail!("/readyz: {} {}", answer.status, answer.body.trim());
            }
            Ok(())
        })
        .await;
        ready.with_context(|| self.child.log_tail())
    }

    /// The text of `/metrics`, where everybody may read it.
    ///
    /// # Errors
    /// When the operator does not answer.
    pub async fn metrics(&self) -> Result<String> {
        Ok(http::get(&self.metrics_addr, "/metrics").await?.body)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill_hard(&mut self) -> Result<ExitStatus> {
        self.child.kill_hard()
    }

    /// SIGTERM; see [`Operator::wait_exit`].
    ///
    /// # Errors
    /// When it has ended already.
    pub fn terminate(&mut self) -> Result<()> {
        self.child.terminate()
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// When it still runs after `timeout`.
    pub async fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus> {
        self.child.wait_exit(timeout).await
    }

    /// SIGSTOP: freezes it, such as to make an old leader.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn pause(&mut self) -> Result<()> {
        self.child.pause()
    }

    /// SIGCONT: lets a paused one go on.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn resume(&mut self) -> Result<()> {
        self.child.resume()
    }

    /// Ends it with SIGTERM (if it runs) and starts it again with the same
    /// settings, address and log.
    ///
    /// # Errors
    /// When it does not end within 30 seconds, or cannot be started.
    pub async fn restart(&mut self) -> Result<()> {
        if self.child.exited()?.is_none() {
            self.child.terminate()?;
            self.child.wait_exit(STOP_TIMEOUT).await?;
        }
        self.start_again()
    }

    /// Starts it again after [`Operator::kill_hard`]; one that runs is killed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_again(&mut self) -> Result<()> {
        if self.child.exited()?.is_none() {
            self.child.kill_hard()?;
        }
        self.child = spawn(&self.spec, &self.dir)?;
        Ok(())
    }

    /// Whether the process has ended, and how.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child.exited()
    }

    /// Everything that it has written, over all restarts.
    #[must_use]
    pub fn log_text(&self) -> String {
        self.child.log_text()
    }

    /// The file that it writes to.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        self.child.log_path()
    }

    /// Keeps the folder with the log and says where it is, as after a failure.
    pub fn keep(&self) {
        self.dir.keep();
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }
}

/// What `BIN iam-policy` prints: the policy that the operator is to have.
///
/// # Errors
/// When the command fails.
pub fn printed_policy(bin: &Path, flags: &[&str]) -> Result<String> {
    let output = std::process::Command::new(bin)
        .arg("iam-policy")
        .args(flags)
        .output()?;
    if !output.status.success() {
        bail!(
            "iam-policy {flags:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).context("the policy is no UTF-8")
}

/// What a container leaves for the next one lies beside the kubeconfig.
fn state_dir(kubeconfig: &Path) -> PathBuf {
    kubeconfig.with_file_name("state")
}

/// Removes what operators with this kubeconfig have left for those after them.
///
/// # Errors
/// When it cannot be removed.
pub fn forget_state(kubeconfig: &Path) -> Result<()> {
    match std::fs::remove_dir_all(state_dir(kubeconfig)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn spawn(spec: &Spec, dir: &WorkDir) -> Result<Child> {
    Child::spawn("keylease", spec, &dir.path().join("operator.log"))
}
