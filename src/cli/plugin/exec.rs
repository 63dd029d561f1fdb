//! `kubectl keylease exec`: a credential for the life of one command.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use jiff::Timestamp;
use tokio::process::{Child, Command};

use super::claim::Claim;
use super::client::Target;
use super::error::{Failure, signal_code};
use super::key::IssuedKey;
use super::sharing::Sharing;
use super::signals::{self, Signals};
use super::wait::Patience;
use super::{output, when};
use keylease_api::GoDuration;

/// How long to wait for the revocation after the command has ended.
const REVOCATION_PATIENCE: Duration = Duration::from_secs(5);

/// What would make the command use other credentials, or other parts of them.
const OTHER_SOURCES: [&str; 11] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
];

/// Run a command with a credential that ends with it
///
/// The command gets AWS_ACCESS_KEY_ID and the like in its environment, and
/// neither AWS_PROFILE nor any other source of credentials. Signals are handed
/// on to it. When it has ended, however it did, the request is deleted and the
/// credential revoked, unless it is shared by --reuse.
///
/// The exit code is the command's, or 128+n when signal n ended it; 126 and
/// 127 when it cannot be run; 1 when the credential could not be had, or could
/// not be deleted after a command that succeeded.
///
///   kubectl keylease exec developer-access -- aws s3 ls
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The AwsRole.
    role: String,

    #[command(flatten)]
    sharing: Sharing,

    /// How long the lease lives at most. Default: the role's.
    #[arg(long, value_parser = when::parse_length)]
    ttl: Option<GoDuration>,

    /// Leave the request and its credential when the command has ended.
    #[arg(long)]
    keep: bool,

    /// How long to wait for the credential.
    #[arg(long, default_value = "2m", value_parser = when::parse_patience)]
    timeout: Duration,

    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(super) async fn run(args: Args, target: Target) -> Result<u8, Failure> {
    let Args {
        role,
        sharing,
        ttl,
        keep,
        timeout,
        command,
    } = args;
    let order = sharing.order(role, ttl)?;
    let session = target.session().await?;
    let mut signals = Signals::all()?;
    let (claim, key) = Claim::take(session, &order, Patience::of(timeout), &mut signals).await?;
    let end = key.lease.expires_at.0;
    let code = match start(&command, key) {
        Ok(mut child) => follow(&mut child, end, &mut signals).await,
        Err(error) => {
            let name = command
                .first()
                .map(|c| c.to_string_lossy())
                .unwrap_or_default();
            eprintln!("keylease: cannot run {name}: {error}");
            if error.kind() == io::ErrorKind::NotFound {
                127
            } else {
                126
            }
        }
    };
    if claim.is_shared() {
        return Ok(code);
    }
    if keep {
        eprintln!(
            "keylease: request {} keeps its credential until {end}",
            claim.name()
        );
        return Ok(code);
    }
    Ok(finish(&claim, code, &mut signals).await)
}

/// Starts the command. The key goes into its environment and is wiped here.
fn start(command: &[OsString], key: IssuedKey) -> io::Result<Child> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let mut child = Command::new(program);
    child.args(arguments);
    for name in OTHER_SOURCES {
        child.env_remove(name);
    }
    for (name, value) in output::environment(&key) {
        match value {
            Some(value) => child.env(name, value),
            None => child.env_remove(name),
        };
    }
    child.spawn()
}

/// Hands signals on until the command ends; its exit code.
async fn follow(child: &mut Child, end: Timestamp, signals: &mut Signals) -> u8 {
    let left = Duration::try_from(end.duration_since(Timestamp::now())).unwrap_or_default();
    let mut lease = std::pin::pin!(tokio::time::sleep(left));
    let mut told = false;
    loop {
        let pid = child.id();
        tokio::select! {
            status = child.wait() => return match status {
                Ok(status) => code_of(status),
                Err(error) => {
                    eprintln!("keylease: the end of the command was not heard of: {error}");
                    1
                }
            },
            signal = signals.next() => signals::forward(signal, pid),
            () = &mut lease, if !told => {
                told = true;
                eprintln!("keylease: the lease is over and the command still runs, without a \
                           credential that works; give it a longer --ttl");
            }
        }
    }
}

fn code_of(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1),
        (None, Some(signal)) => signal_code(signal),
        (None, None) => 1,
    }
}

/// Ends the lease, and says so if that takes long.
async fn finish(claim: &Claim, code: u8, signals: &mut Signals) -> u8 {
    let name = claim.name();
    if let Err(failure) = claim.delete().await {
        eprintln!(
            "keylease: request {name} could not be deleted ({}), and its credential still works; \
             end it with: kubectl keylease revoke {name}",
            failure.sentence
        );
        return if code == 0 { 1 } else { code };
    }
    let pending = tokio::select! {
        gone = claim.gone(Patience::of(REVOCATION_PATIENCE)) => gone.err().map(|f| f.sentence),
        _ = signals.next_ending() => Some("interrupted".to_owned()),
    };
    if let Some(why) = pending {
        eprintln!(
            "keylease: the revocation of {name} is still pending ({why}); \
             kubectl keylease describe {name} shows how it goes"
        );
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_a_shell() {
        assert_eq!(code_of(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code_of(ExitStatus::from_raw(9)), 137);
        assert_eq!(code_of(ExitStatus::from_raw(0)), 0);
    }
}
