//! `kubectl keylease renew`: a longer lease, by a field of the request.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::client::{Session, Target};
use super::error::Failure;
use super::wait::{self, Judgement, Patience};
use super::{ask, paint, when};
use keylease_api::{AwsCredentialRequest, GoDuration, Lease};

/// Difference between what was asked for and what was given that rounding to
/// seconds and the way to the operator explain.
const SLACK: SignedDuration = SignedDuration::from_secs(2);

/// Let a lease live longer.
///
/// It then ends after the increment from now, and at the latest when the role's
/// maximum since issue is reached. Prints the new end.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The request.
    name: String,

    /// How long it is to live from now. Default: the lease's length.
    #[arg(long, value_parser = when::parse_length)]
    increment: Option<GoDuration>,

    /// How long to wait for the operator.
    #[arg(long, default_value = "30s", value_parser = when::parse_patience)]
    timeout: Duration,
}

pub(super) async fn run(args: Args, target: Target) -> Result<u8, Failure> {
    let Args {
        name,
        increment,
        timeout,
    } = args;
    let session = target.session().await?;
    let request = session.request(&name).await?;
    let before = live_lease(&request)?;
    let at = ask::renew_at(&request, Timestamp::now());
    ask::ask(&session, &request, ask::renewal(at, increment.as_ref())).await?;
    let lease = served(&session, &request, at, Patience::of(timeout)).await?;
    if is_refused(&lease, &before) {
        return Err(Failure::new(format!(
            "refused: the lease still ends at {}; credentials of its type cannot be renewed, so \
             issue a new one, or use onExpiry: Rotate",
            lease.expires_at.0
        )));
    }
    if let Some(note) = note(&lease, &before, at, increment.as_ref()) {
        eprintln!("keylease: {note}");
    }
    let end = when::at(lease.expires_at.0, Timestamp::now());
    paint::print(&format!("lease of {name} ends at {end}\n"))?;
    Ok(0)
}

/// The lease, if it can be renewed.
fn live_lease(request: &AwsCredentialRequest) -> Result<Lease, Failure> {
    if let Some(why) = wait::lifeless(request) {
        return Err(Failure::new(format!("there is no lease to renew: {why}")));
    }
    let lease = request.status.as_ref().and_then(|s| s.lease.clone());
    let Some(lease) = lease else {
        let why = wait::ready_line(request);
        return Err(Failure::new(format!(
            "there is no lease to renew yet: {why}"
        )));
    };
    if !lease.renewable {
        return Err(Failure::new(format!(
            "refused: the lease ends at {} and may not go on longer; issue a new credential",
            lease.expires_at.0
        )));
    }
    Ok(lease)
}

async fn served(
    session: &Session,
    request: &AwsCredentialRequest,
    at: Timestamp,
    patience: Patience,
) -> Result<Lease, Failure> {
    wait::until(session, request, patience, |seen| {
        let Some(request) = seen else {
            return Judgement::Never("the request was deleted meanwhile".to_owned());
        };
        let lease = request.status.as_ref().and_then(|s| s.lease.as_ref());
        match lease {
            Some(lease) if lease.renewed_for.as_ref().is_some_and(|t| t.0 == at) => {
                Judgement::Done(lease.clone())
            }
            _ => match wait::lifeless(request) {
                Some(why) => Judgement::Never(format!("refused: {why}")),
                None => Judgement::NotYet("the operator has not served the renewal yet".to_owned()),
            },
        }
    })
    .await
}

/// Whether the operator has looked at the renewal and said no: nothing counts
/// it, and the end is no later. (A key that was rotated meanwhile begins a new
/// lease, which is as good.)
fn is_refused(lease: &Lease, before: &Lease) -> bool {
    lease.renewals <= before.renewals && lease.expires_at.0 <= before.expires_at.0
}

/// What is to be said when the new end is not the one that was asked for.
fn note(
    lease: &Lease,
    before: &Lease,
    at: Timestamp,
    increment: Option<&GoDuration>,
) -> Option<String> {
    let (end, old) = (lease.expires_at.0, before.expires_at.0);
    let wanted = increment.and_then(|i| at.checked_add(i.get().ok()?).ok());
    let short = wanted.is_some_and(|w| end.duration_since(w) < -SLACK);
    let maximum = lease.max_expires_at.0;
    if end >= maximum && (short || increment.is_none()) {
        return Some(format!(
            "capped: {maximum} is the role's maximum since issue"
        ));
    }
    (end < old).then(|| format!("the lease is now shorter: it was to end at {old}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn lease(end: i64, max: i64) -> Lease {
        let t = |s| Time(Timestamp::from_second(s).unwrap());
        Lease {
            id: String::new(),
            issued_at: t(0),
            expires_at: t(end),
            max_expires_at: t(max),
            duration: "1h".into(),
            renewable: end < max,
            renewals: 1,
            renewed_for: None,
        }
    }

    #[test]
    fn says_when_it_is_not_what_was_asked_for() {
        let at = Timestamp::from_second(1000).unwrap();
        let hour = GoDuration::from("1h");
        let note = |end, max, asked| note(&lease(end, max), &lease(2000, max), at, asked);
        assert_eq!(note(4600, 9000, Some(&hour)), None);
        assert_eq!(note(4600, 9000, None), None);
        assert!(note(3000, 3000, Some(&hour)).unwrap().starts_with("capped"));
        assert!(note(1500, 9000, None).unwrap().contains("shorter"));
        assert!(is_refused(&lease(2000, 9000), &lease(2000, 9000)));
        let counted = Lease {
            renewals: 2,
            ..lease(1500, 9000)
        };
        assert!(!is_refused(&counted, &lease(2000, 9000)));
    }
}
