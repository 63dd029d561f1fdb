//! `kubectl keylease rotate`: a new key before its time.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::client::{MANAGER, Target};
use super::error::Failure;
use super::wait::{self, Judgement};
use super::{paint, when};
use crate::api::{AwsCredentialRequest, Phase};

/// The annotation that asks for a rotation. Each new time rotates once.
pub(super) const ROTATE_AT: &str = "keylease.dev/rotate-at";

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
    let at = mark(&request, Timestamp::now()).to_string();
    let patch = json!({"metadata": {
        "uid": request.metadata.uid,
        "annotations": {ROTATE_AT: at},
    }});
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patched = session
        .requests()
        .patch(&name, &params, &Patch::Merge(patch))
        .await;
    patched.map_err(|e| session.on_request("patch", &name).failed(&e))?;
    let new = wait::until(&session, &request, timeout, |seen| {
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

/// The time that asks for a rotation. It must be new, and later than the issue
/// of the key that is to go: a lease is as young as this very second, or even
/// younger by a clock that is ahead of ours.
fn mark(request: &AwsCredentialRequest, now: Timestamp) -> Timestamp {
    let annotations = request.metadata.annotations.as_ref();
    let asked: Option<Timestamp> = annotations.and_then(|a| a.get(ROTATE_AT)?.parse().ok());
    let lease = request.status.as_ref().and_then(|s| s.lease.as_ref());
    when::fresh_mark(now, asked.max(lease.map(|l| l.issued_at.0)))
}

fn key_id(request: &AwsCredentialRequest) -> Option<&str> {
    let credential = request.status.as_ref()?.credential.as_ref()?;
    Some(&credential.access_key_id)
}
