//! The real AWS CLI against a stand-in.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::paths;

/// Region of everything here.
pub const REGION: &str = "us-east-1";

/// The access key that AWS uses in its documentation: the operator's own key
/// in all stand-ins.
pub const ROOT_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

/// The secret that goes with [`ROOT_KEY_ID`].
pub const ROOT_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The access key of the account's own root in our fake, which may do everything
/// there: for what a test does that is not the operator.
pub const ADMIN_KEY_ID: &str = "AKIAI44QH8DHBEXAMPLE";

/// The secret that goes with [`ADMIN_KEY_ID`].
pub const ADMIN_SECRET: &str = "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY";

/// The environment that points an AWS SDK or the CLI at `endpoint` with the
/// root key, and keeps it away from everything else.
#[must_use]
pub fn env(endpoint: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", ROOT_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", ROOT_SECRET),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Runs `aws ARGS` against `endpoint` and answers its output, JSON by
/// default. `extra_env` wins over [`env()`]: set `AWS_ACCESS_KEY_ID` and
/// `AWS_SECRET_ACCESS_KEY` to act as another.
///
/// # Errors
/// When the command fails; the message has what it wrote to stderr.
pub async fn run(endpoint: &str, extra_env: &[(&str, &str)], args: &[&str]) -> Result<String> {
    let output = Command::new(paths::venv_program("aws")?)
        .args(args)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(env(endpoint))
        .envs(extra_env.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("running the AWS CLI")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("aws {}: {}", args.join(" "), stderr.trim());
    }
    String::from_utf8(output.stdout).context("the AWS CLI wrote no UTF-8")
}
