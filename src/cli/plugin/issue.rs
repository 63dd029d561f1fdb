//! `kubectl keylease issue`: a credential on stdout.

use std::time::Duration;

use super::claim::{Claim, Order};
use super::client::Target;
use super::error::Failure;
use super::output::{self, Format};
use super::signals::Signals;
use super::{paint, when};
use crate::api::GoDuration;

/// Get a credential of a role and print it
///
/// Makes an AwsCredentialRequest, waits until its key was proven to work, and
/// prints what the Secret holds. The lease goes on after the command has ended,
/// until its time is up or `kubectl keylease revoke NAME`. If no credential
/// comes, or at Ctrl-C, the request is deleted again.
///
///   eval "$(kubectl keylease issue developer-access)"
///
/// As a credential_process in ~/.aws/config, --name and --reuse make all calls
/// share one lease instead of each making an IAM user:
///
///   credential_process = kubectl keylease issue developer-access --name laptop --reuse --output process
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The AwsRole.
    role: String,

    /// Name of the request. Default: the role's name and a random end.
    #[arg(long)]
    name: Option<String>,

    /// Use the request of that name if it is there, whatever its ttl; one whose
    /// lease is over is replaced.
    #[arg(long, requires = "name")]
    reuse: bool,

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

    /// How long to wait for the credential.
    #[arg(long, default_value = "2m", value_parser = when::parse_patience)]
    timeout: Duration,
}

pub(super) async fn run(args: Args, target: Target) -> Result<u8, Failure> {
    let Args {
        role,
        name,
        reuse,
        ttl,
        rm_after,
        output,
        timeout,
    } = args;
    let session = target.session().await?;
    let mut signals = Signals::ending()?;
    let order = Order {
        role,
        name,
        reuse,
        ttl,
    };
    let claim = Claim::make(session, &order).await?;
    let key = claim.obtain(timeout, &mut signals).await?;
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
