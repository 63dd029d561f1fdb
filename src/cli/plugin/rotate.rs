//! `kubectl keylease rotate`: a new key before its time.

use std::time::Duration;

use jiff::Timestamp;

use super::client::Target;
use super::error::Failure;
use super::wait::{self, Judgement, Patience};
use super::{ask, paint, when};
use keylease_api::{AwsCredentialRequest, Phase};

/// Put a new key into the Secret of a request.
///
/// The old key works on for the request's spec.rotation.overlap. Prints the id
/// of the new key.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The request.
    name: String,

    /// How long to wait for the new key.
    #[arg(long, default_value = "2m", value_parser = when::parse_patience)]
    timeout: Duration,
}

pub(super) async fn run(args: Args, target: Target) -> Result<u8, Failure> {
    let Args { name, timeout } = args;
    let session = target.session().await?;
    let request = session.request(&name).await?;
    if let Some(why) = wait::lifeless(&request) {
        return Err(Failure::new(format!("there is no key to rotate: {why}")));
    }
    let Some(old) = key_id(&request) else {
        let why = wait::ready_line(&request);
        return Err(Failure::new(format!(
            "there is no key to rotate yet: {why}"
        )));
    };
    let at = ask::rotate_at(&request, Timestamp::now());
    ask::ask(&session, &request, ask::rotation(at)).await?;
    let new = wait::until(&session, &request, Patience::of(timeout), |seen| {
        let Some(request) = seen else {
            return Judgement::Never("the request was deleted meanwhile".to_owned());
        };
        let replaced = key_id(request).filter(|id| *id != old);
        match (replaced, wait::phase(request)) {
            (Some(new), Some(Phase::Ready)) => Judgement::Done(new.to_owned()),
            _ => wait::lifeless(request).map_or_else(
                || {
                    Judgement::NotYet(format!(
                        "{old} is still the key; {}",
                        wait::ready_line(request)
                    ))
                },
                Judgement::Never,
            ),
        }
    });
    let new = new.await?;
    paint::print(&format!("{name} holds access key {new}; it was {old}\n"))?;
    Ok(0)
}

fn key_id(request: &AwsCredentialRequest) -> Option<&str> {
    let credential = request.status.as_ref()?.credential.as_ref()?;
    Some(&credential.access_key_id)
}
