//! `kubectl keylease issue`: a credential on stdout.

use std::time::Duration;

use super::claim::Claim;
use super::client::Target;
use super::error::Failure;
use super::output::{self, Format};
use super::sharing::Sharing;
use super::signals::Signals;
use super::wait::Patience;
use super::{paint, when};
use keylease_api::GoDuration;

/// How long to wait for the credential.
const PATIENCE: Duration = Duration::from_secs(120);
/// The same as a `credential_process`: the AWS SDK for Go waits 60 s for it.
const PROCESS_PATIENCE: Duration = Duration::from_secs(50);

/// Get a credential of a role and print it
///
/// Makes an AwsCredentialRequest, waits until its key was proven to work, and
/// prints what the Secret holds. The lease goes on after the command has ended,
/// until its time is up or `kubectl keylease revoke NAME`. If no credential
/// comes, or at Ctrl-C, the request is deleted again, unless it is shared by
/// --reuse: then it is left to the others, and to the next call.
///
///   eval "$(kubectl keylease issue developer-access)"
///
/// As a credential_process in ~/.aws/config, --name and --reuse make all calls
/// share one lease instead of each making an IAM user, also calls that run at
/// the same time:
///
///   credential_process = kubectl keylease issue developer-access --name laptop --reuse --output process
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The AwsRole.
    role: String,

    #[command(flatten)]
    sharing: Sharing,

    /// How long the lease lives, such as 15m or 1h. Default: the role's.
    #[arg(long, value_parser = when::parse_length)]
    ttl: Option<GoDuration>,

    /// Stay after printing, and delete the request at Ctrl-C, SIGTERM or
    /// SIGHUP: the credential lives as long as this process, at most. Not
    /// inside $(…), which would wait for the end.
    #[arg(long, conflicts_with = "reuse")]
    rm_after: bool,

    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "env")]
    output: Format,

    /// How long to wait for the credential. Default: 2m; 50s with --output
    /// process, because SDKs stop waiting for the process after a minute.
    #[arg(long, value_parser = when::parse_patience)]
    timeout: Option<Duration>,
}

pub(super) async fn run(args: Args, target: Target) -> Result<u8, Failure> {
    let Args {
        role,
        sharing,
        ttl,
        rm_after,
        output,
        timeout,
    } = args;
    let order = sharing.order(role, ttl)?;
    let timeout = timeout.unwrap_or(match output {
        Format::Process => PROCESS_PATIENCE,
        _ => PATIENCE,
    });
    let session = target.session().await?;
    let mut signals = Signals::ending()?;
    let (claim, key) = Claim::take(session, &order, Patience::of(timeout), &mut signals).await?;
    let text = output::render(&key, output);
    if let Err(error) = paint::write(&text) {
        let failure = Failure::new(format!("cannot write the credential to stdout: {error}"));
        return Err(claim.abandon(failure).await);
    }
    let (namespace, end) = (key.namespace.clone(), key.expiration.clone());
    drop((key, text));
    if !rm_after {
        eprintln!(
            "keylease: request {namespace}/{} holds the lease until {end}; end it with: \
             kubectl keylease revoke {} -n {namespace}",
            claim.name(),
            claim.name(),
        );
        return Ok(0);
    }
    eprintln!("keylease: the credential lives until {end} or until this process is ended");
    tokio::select! {
        _ = signals.next_ending() => {}
        over = claim.over() => match over {
            Ok(()) => eprintln!("keylease: the lease is over"),
            Err(failure) => eprintln!("keylease: {}", failure.sentence),
        },
    }
    claim.delete().await?;
    eprintln!("keylease: request {namespace}/{} was deleted", claim.name());
    Ok(0)
}
