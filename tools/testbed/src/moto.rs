//! moto, the AWS stand-in from PyPI.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;

use crate::process::{Child, Spec};
use crate::work_dir::WorkDir;
use crate::{aws_cli, http, paths, ports, wait};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_ATTEMPTS: usize = 3;

/// How to start a [`Moto`].
#[derive(Debug, Clone)]
pub struct MotoOptions {
    /// Know the AWS-managed policies, such as `ReadOnlyAccess`.
    pub load_managed_policies: bool,
    /// Check permissions after this many calls. Only actions are checked: a
    /// statement about particular resources matches nothing, so test policies
    /// say `"Resource": "*"`. Default: permissions are never checked.
    pub initial_no_auth_actions: Option<u32>,
    /// Where to keep the log. Default: a temporary folder.
    pub dir: Option<PathBuf>,
    /// The address to listen on. Default: 127.0.0.1, which pods cannot reach.
    pub address: Ipv4Addr,
}

impl Default for MotoOptions {
    fn default() -> Self {
        Self {
            load_managed_policies: false,
            initial_no_auth_actions: None,
            dir: None,
            address: Ipv4Addr::LOCALHOST,
        }
    }
}

/// A running moto server. Dropping it stops it.
#[derive(Debug)]
pub struct Moto {
    child: Mutex<Option<Child>>,
    options: MotoOptions,
    port: u16,
    dir: WorkDir,
}

impl Moto {
    /// Starts moto and waits until it answers.
    ///
    /// # Errors
    /// When moto is not installed or does not come up.
    pub async fn start(options: MotoOptions) -> Result<Self> {
        let mut attempt = 1;
        loop {
            let moto = Self {
                child: Mutex::default(),
                dir: match &options.dir {
                    Some(path) => WorkDir::given(path)?,
                    None => WorkDir::temporary("moto")?,
                },
                options: options.clone(),
                port: ports::free()?,
            };
            match moto.start_again().await {
                Ok(()) => return Ok(moto),
                Err(error) => {
                    let taken = format!("{error:#}").contains("in use by another program");
                    if !taken || attempt == START_ATTEMPTS {
                        return Err(error);
                    }
                }
            }
            attempt += 1;
        }
    }

    /// The value for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.options.address
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn addr(&self) -> String {
        format!("{}:{}", self.options.address, self.port)
    }

    /// Kills the server. moto keeps everything in memory: all is lost.
    pub fn stop(&self) {
        drop(self.child.lock().take());
    }

    /// Starts an empty server on the same port; one that runs is stopped.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_again(&self) -> Result<()> {
        self.stop();
        let managed = self.options.load_managed_policies.to_string();
        let mut spec = Spec::new(paths::venv_program("moto_server")?)
            .args(["-H", &self.options.address.to_string()])
            .args(["-p", &self.port.to_string()])
            .env("MOTO_IAM_LOAD_MANAGED_POLICIES", managed);
        if let Some(count) = self.options.initial_no_auth_actions {
            spec = spec.env("INITIAL_NO_AUTH_ACTION_COUNT", count.to_string());
        }
        let log = self.dir.path().join("moto.log");
        *self.child.lock() = Some(Child::spawn("moto", &spec, &log)?);
        let addr = self.addr();
        wait::until_ok_while(
            "moto",
            START_TIMEOUT,
            || self.check_running(),
            || http::get(&addr, "/moto-api/"),
        )
        .await?;
        Ok(())
    }

    fn check_running(&self) -> Result<()> {
        self.child
            .lock()
            .as_mut()
            .context("moto was stopped in between")?
            .check_running()
    }

    /// Runs the AWS CLI against this server; see [`aws_cli::run`].
    ///
    /// # Errors
    /// When the command fails.
    pub async fn aws_cli(&self, env: &[(&str, &str)], args: &[&str]) -> Result<String> {
        aws_cli::run(&self.endpoint(), env, args).await
    }
}
