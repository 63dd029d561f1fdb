//! Child processes that write to a log file and never outlive their parent.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::wait;

const LOG_TAIL_LINES: usize = 15;

/// What to start.
#[derive(Debug)]
pub struct Spec {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    clear_env: bool,
}

impl Spec {
    /// A program without arguments in this process's environment.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            clear_env: false,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one environment variable; the last one of a name wins.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts from an empty environment, but for `PATH`.
    #[must_use]
    pub fn clear_env(mut self) -> Self {
        self.clear_env = true;
        self
    }

    fn command(&self, log: &Path) -> Result<Command> {
        // The wrapper asks the kernel to kill the child when the thread that
        // started it ends. It then becomes the program: same process id.
        let mut command = if setpriv_works() {
            let mut command = Command::new("setpriv");
            command
                .args(["--pdeathsig", "KILL", "--"])
                .arg(&self.program);
            command
        } else {
            Command::new(&self.program)
        };
        if self.clear_env {
            command.env_clear();
            command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        }
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            // Ctrl-C in a terminal is for the test bed, which then stops its
            // children in order.
            .process_group(0);
        Ok(command)
    }
}

/// A running child. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    name: String,
    inner: std::process::Child,
    log_path: PathBuf,
}

impl Child {
    /// Starts `spec`; its output is appended to `log_path`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn(name: &str, spec: &Spec, log_path: &Path) -> Result<Self> {
        let command = spec.command(log_path)?;
        let inner = spawn_on_lasting_thread(command)
            .with_context(|| format!("starting {}", spec.program.display()))?;
        Ok(Self {
            name: name.to_owned(),
            inner,
            log_path: log_path.to_path_buf(),
        })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// Where the output goes.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log_path
    }

    /// All output so far; empty when it cannot be read.
    #[must_use]
    pub fn log_text(&self) -> String {
        std::fs::read(&self.log_path)
            .map(|raw| String::from_utf8_lossy(&raw).into_owned())
            .unwrap_or_default()
    }

    /// The last lines of the output, for error messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    /// `Some` once the child has ended.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.inner.try_wait()?)
    }

    /// Fails, with the end of the log, if the child has ended.
    ///
    /// # Errors
    /// When the child is not running.
    pub fn check_running(&mut self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => bail!("{} ended: {status}\n{}", self.name, self.log_tail()),
        }
    }

    /// SIGKILL, and reaps it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill_hard(&mut self) -> Result<ExitStatus> {
        self.inner.kill()?;
        Ok(self.inner.wait()?)
    }

    /// SIGTERM; see [`Child::wait_exit`].
    ///
    /// # Errors
    /// When the child has ended already or the signal cannot be sent.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal("TERM")
    }

    /// SIGSTOP: the process freezes, as on a machine that was suspended.
    ///
    /// # Errors
    /// As for [`Child::terminate`].
    pub fn pause(&mut self) -> Result<()> {
        self.signal("STOP")
    }

    /// SIGCONT: a paused process goes on.
    ///
    /// # Errors
    /// As for [`Child::terminate`].
    pub fn resume(&mut self) -> Result<()> {
        self.signal("CONT")
    }

    fn signal(&mut self, signal: &str) -> Result<()> {
        // Not reaped yet means that the id is still this child's.
        self.check_running()?;
        let status = Command::new("kill")
            .args([&format!("-{signal}"), "--", &self.pid().to_string()])
            .status()?;
        if !status.success() {
            bail!("kill -{signal} {} ({}): {status}", self.pid(), self.name);
        }
        Ok(())
    }

    /// Waits until the child has ended.
    ///
    /// # Errors
    /// When it is still running after `timeout`.
    pub async fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let exited = wait::until(&what, timeout, || {
            let seen = self.inner.try_wait();
            async move { seen.ok().flatten() }
        })
        .await;
        exited.with_context(|| self.log_tail())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only for a child that is gone already.
        let _ = self.inner.kill();
        let _ = self.inner.wait();
    }
}

/// Whether a status says that the process was killed by a signal.
#[must_use]
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal().is_some()
}

type Job = (Command, mpsc::Sender<std::io::Result<std::process::Child>>);

/// The parent-death signal is sent when the *thread* that started the child
/// ends. Threads of a test or a runtime end early, this one never does.
fn spawn_on_lasting_thread(command: Command) -> Result<std::process::Child> {
    static SPAWNER: LazyLock<std::io::Result<mpsc::Sender<Job>>> = LazyLock::new(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("testbed-spawner".to_owned())
            .spawn(move || {
                for (mut command, reply) in inbox {
                    // Nobody waits any more: nothing to do.
                    let _ = reply.send(command.spawn());
                }
            })?;
        Ok(jobs)
    });
    let jobs = SPAWNER.as_ref().map_err(|error| anyhow!("{error}"))?;
    let (reply, outcome) = mpsc::channel();
    jobs.send((command, reply)).context("the spawner is gone")?;
    Ok(outcome.recv().context("the spawner is gone")??)
}

/// Only util-linux has `setpriv --pdeathsig`. Elsewhere the guard alone ends
/// the children.
fn setpriv_works() -> bool {
    static WORKS: LazyLock<bool> = LazyLock::new(|| {
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "true"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    });
    *WORKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_goes_to_the_log_and_the_end_is_seen() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let spec = Spec::new("/bin/sh").args(["-c", "echo hello; exit 3"]);
        let mut child = Child::spawn("sh", &spec, &dir.path().join("log"))?;
        let status = child.wait_exit(Duration::from_secs(5)).await?;
        assert_eq!(status.code(), Some(3));
        assert_eq!(child.log_text(), "hello\n");
        Ok(())
    }

    #[tokio::test]
    async fn survives_the_thread_that_asked_for_it() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("log");
        let thread = std::thread::spawn(move || {
            Child::spawn("cat", &Spec::new("/bin/sleep").arg("60"), &log)
        });
        let mut child = thread.join().expect("no panic")?;
        child.check_running()?;
        child.pause()?;
        child.resume()?;
        child.terminate()?;
        assert!(was_killed(child.wait_exit(Duration::from_secs(5)).await?));
        assert!(child.terminate().is_err());
        Ok(())
    }
}
