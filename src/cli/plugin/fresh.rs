//! Whether a shared lease lasts long enough to be handed out, and what is done
//! where it does not: renewed, else rotated if it has `onExpiry: Rotate`, else
//! replaced.

use jiff::{SignedDuration, Timestamp};

use super::ask::{self, Asked};
use super::claim::Order;
use super::client::Session;
use super::error::Failure;
use super::wait::{self, Judgement, Patience};
use super::when;
use keylease_api::{AwsCredentialRequest, GoDuration, Lease, OnExpiry, Phase, format_duration};

/// The time that a credential has left when it is handed out, at least. SDKs
/// refresh 5 minutes before the end.
pub(super) const MIN_LEFT: SignedDuration = SignedDuration::from_mins(5);

/// What is to be done with a request before its key is handed out.
pub(super) enum Remedy {
    /// Nothing: it lasts.
    Use(AwsCredentialRequest),
    /// Nothing helped, and it still works. The text says why.
    UseAnyway(AwsCredentialRequest, String),
    /// Only another request helps.
    Replace(AwsCredentialRequest),
    /// It ended or went meanwhile.
    Again,
}

/// One way to a longer life.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// A later end of this lease.
    Renew(GoDuration),
    /// A new key with a lease of its own.
    Rotate,
}

/// Makes a request that is ready last as long as it should. Each way is tried
/// once.
pub(super) async fn lasting(
    session: &Session,
    request: AwsCredentialRequest,
    order: &Order,
    patience: Patience,
) -> Result<Remedy, Failure> {
    let mut request = request;
    let mut ways = vec![];
    loop {
        let now = Timestamp::now();
        let Some(lease) = lease(&request) else {
            return Ok(Remedy::Again);
        };
        let wanted = wanted(&request, lease, order);
        if left(lease, now) >= wanted {
            return Ok(told(request, order, "its leases live no longer", now));
        }
        let mut next = ways_of(&request, lease, wanted, order, now).into_iter();
        let Some(way) = next.find(|way| !ways.contains(way)) else {
            return Ok(if ways.is_empty() {
                Remedy::Replace(request)
            } else {
                told(request, order, "it could not be lengthened", now)
            });
        };
        ways.push(way.clone());
        let asked = if is_asked(&request, lease, &way, now) {
            Asked::Yes(Box::new(request.clone()))
        } else {
            ask(session, &request, &way, now).await
        };
        let asked = match asked {
            Asked::Yes(asked) => *asked,
            Asked::Changed if patience.left().is_zero() => {
                return Ok(told(request, order, "others change the request", now));
            }
            Asked::Changed => {
                // Somebody else was quicker; what it is now decides.
                ways.pop();
                match session.request(name(&request)).await {
                    Ok(read) if read.metadata.uid == request.metadata.uid => request = read,
                    _ => return Ok(Remedy::Again),
                }
                continue;
            }
            Asked::Forbidden => return Ok(Remedy::Replace(request)),
            Asked::No(failure) => return Ok(told(request, order, &failure.sentence, now)),
        };
        match served(session, &asked, &way, wanted, patience.most()).await {
            Ok(Some(served)) => request = served,
            Ok(None) => return Ok(Remedy::Again),
            Err(failure) => return Ok(told(request, order, &failure.sentence, now)),
        }
    }
}

/// The request as it is handed out, with a word if that is less than asked for.
fn told(request: AwsCredentialRequest, order: &Order, why: &str, now: Timestamp) -> Remedy {
    let Some(left) = lease(&request).map(|l| left(l, now)) else {
        return Remedy::Again;
    };
    if left <= SignedDuration::ZERO {
        return Remedy::Again;
    }
    if left >= order.min_left {
        return Remedy::Use(request);
    }
    let note = format!(
        "the credential of {} has {} left, less than --min-left {}: {why}",
        name(&request),
        when::short(left),
        format_duration(order.min_left),
    );
    Remedy::UseAnyway(request, note)
}

/// The time that the lease is to have left: what was asked for, and of a short
/// lease half its length, because a new one would have no more.
fn wanted(request: &AwsCredentialRequest, lease: &Lease, order: &Order) -> SignedDuration {
    let length = length(request, lease, order).get().unwrap_or_default();
    order.min_left.min(length / 2)
}

/// The length of one lease. That of the status grows with each renewal.
fn length(request: &AwsCredentialRequest, lease: &Lease, order: &Order) -> GoDuration {
    let renewed = request
        .spec
        .renew
        .as_ref()
        .and_then(|r| r.increment.clone());
    let asked = order.ttl.clone().or_else(|| request.spec.ttl.clone());
    asked
        .or(renewed)
        .unwrap_or_else(|| GoDuration(lease.duration.clone()))
}

/// The ways to a lease that lasts, the mildest first. A rotation is one only of
/// a lease that goes on for ever: of any other, the next key has the old end.
fn ways_of(
    request: &AwsCredentialRequest,
    lease: &Lease,
    wanted: SignedDuration,
    order: &Order,
    now: Timestamp,
) -> Vec<Way> {
    let length = length(request, lease, order);
    let renewed = length
        .get()
        .ok()
        .and_then(|length| now.checked_add(length).ok())
        .map(|end| end.min(lease.max_expires_at.0));
    // One that brings the lease to its maximum and no further would be the
    // first of many.
    let helps = renewed
        .is_some_and(|end| end.duration_since(now) >= wanted * 2 && end > lease.expires_at.0);
    let renewal = (lease.renewable && helps).then_some(Way::Renew(length));
    let rotates = request.spec.on_expiry == Some(OnExpiry::Rotate);
    renewal
        .into_iter()
        .chain(rotates.then_some(Way::Rotate))
        .collect()
}

/// Whether somebody has asked for the same and waits.
fn is_asked(request: &AwsCredentialRequest, lease: &Lease, way: &Way, now: Timestamp) -> bool {
    match way {
        Way::Renew(_) => ask::renewal_pending(request, lease),
        Way::Rotate => ask::rotation_pending(request, lease, now),
    }
}

/// Asks the operator for it, on condition that nobody else did.
async fn ask(
    session: &Session,
    request: &AwsCredentialRequest,
    way: &Way,
    now: Timestamp,
) -> Asked {
    let change = match way {
        Way::Renew(increment) => ask::renewal(ask::renew_at(request, now), Some(increment)),
        Way::Rotate => ask::rotation(ask::rotate_at(request, now)),
    };
    ask::ask_in_this_state(session, request, change).await
}

/// Waits until the lease lasts, or what was asked for is served and it does not.
/// `None` when it is over.
async fn served(
    session: &Session,
    asked: &AwsCredentialRequest,
    way: &Way,
    wanted: SignedDuration,
    patience: Patience,
) -> Result<Option<AwsCredentialRequest>, Failure> {
    wait::until(session, asked, patience, |seen| {
        let Some(request) = seen.filter(|r| wait::lifeless(r).is_none()) else {
            return Judgement::Done(None);
        };
        let now = Timestamp::now();
        let ready = matches!(wait::phase(request), Some(Phase::Ready | Phase::Rotating));
        let done = lease(request)
            .is_some_and(|lease| left(lease, now) >= wanted || !is_asked(request, lease, way, now));
        if ready && done {
            return Judgement::Done(Some(request.clone()));
        }
        Judgement::NotYet("the operator has not lengthened the lease yet".to_owned())
    })
    .await
}

fn lease(request: &AwsCredentialRequest) -> Option<&Lease> {
    request.status.as_ref()?.lease.as_ref()
}

fn left(lease: &Lease, now: Timestamp) -> SignedDuration {
    lease.expires_at.0.duration_since(now)
}

fn name(request: &AwsCredentialRequest) -> &str {
    request.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn request(end: i64, max: i64, spec: serde_json::Value) -> AwsCredentialRequest {
        let mut request: AwsCredentialRequest = serde_json::from_value(json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"name": "x", "namespace": "ns", "uid": "u"},
            "spec": {"roleRef": {"name": "r"}},
            "status": {"phase": "Ready", "lease": {
                "id": "i", "issuedAt": at(0), "expiresAt": at(end), "maxExpiresAt": at(max),
                "duration": format_duration(SignedDuration::from_secs(end)),
                "renewable": end < max, "renewals": 0,
            }},
        }))
        .unwrap();
        if let Some(ttl) = spec["ttl"].as_str() {
            request.spec.ttl = Some(ttl.into());
        }
        request
    }

    fn order(min_left: SignedDuration) -> Order {
        Order {
            role: "r".into(),
            name: Some("x".into()),
            reuse: true,
            ttl: None,
            min_left,
        }
    }

    /// What is done first, `now` seconds after the issue of a lease of `end` seconds.
    fn remedy(on_expiry: OnExpiry, end: i64, max: i64, now: i64) -> Option<Way> {
        let (mut request, order) = (request(end, max, json!({})), order(MIN_LEFT));
        request.spec.on_expiry = Some(on_expiry);
        let lease = lease(&request).unwrap();
        let wanted = wanted(&request, lease, &order);
        assert!(left(lease, at(now)) < wanted, "it lasts");
        ways_of(&request, lease, wanted, &order, at(now))
            .first()
            .cloned()
    }

    /// Whether a lease of `end` seconds is handed out as it is after `now` seconds.
    fn lasts(end: i64, max: i64, now: i64) -> bool {
        let (request, order) = (request(end, max, json!({})), order(MIN_LEFT));
        let lease = lease(&request).unwrap();
        left(lease, at(now)) >= wanted(&request, lease, &order)
    }

    #[test]
    fn renews_where_that_helps() {
        let hour = Some(Way::Renew("1h".into()));
        assert!(lasts(3600, 7200, 3300), "five minutes are enough");
        assert_eq!(remedy(OnExpiry::Rotate, 3600, 7200, 3301), hour);
        assert_eq!(remedy(OnExpiry::Revoke, 3600, 7200, 3301), hour);
    }

    #[test]
    fn near_the_maximum_a_rotation_helps_where_it_brings_a_later_end() {
        for (end, max, now) in [
            (3600, 3600, 3301),
            // The maximum is too near for a renewal to be of use.
            (3600, 3610, 3500),
            (24, 25, 13),
        ] {
            let first = |on_expiry| remedy(on_expiry, end, max, now);
            assert_eq!(first(OnExpiry::Rotate), Some(Way::Rotate));
            assert_eq!(first(OnExpiry::Revoke), None, "the next key ends as early");
        }
    }

    #[test]
    fn of_a_short_lease_half_is_enough() {
        assert!(
            lasts(300, 7200, 0),
            "a fresh one would be replaced for ever"
        );
        assert!(lasts(300, 7200, 150));
        let later = remedy(OnExpiry::Revoke, 300, 7200, 151);
        assert_eq!(later, Some(Way::Renew("5m".into())));
        assert_eq!(remedy(OnExpiry::Rotate, 10, 10, 6), Some(Way::Rotate));
    }

    #[test]
    fn the_length_is_that_of_one_lease_not_of_all_its_renewals() {
        let mut renewed = request(7200, 86_400, json!({}));
        renewed.spec.renew = Some(keylease_api::Renew {
            at: at(3000).to_string().as_str().into(),
            increment: Some("10m".into()),
        });
        let lease = lease(&renewed).unwrap();
        assert_eq!(length(&renewed, lease, &order(MIN_LEFT)), "10m".into());
        let asked = request(7200, 86_400, json!({"ttl": "8m"}));
        let of = |o: &Order| {
            length(
                &asked,
                asked.status.as_ref().unwrap().lease.as_ref().unwrap(),
                o,
            )
        };
        assert_eq!(of(&order(MIN_LEFT)), "8m".into());
    }

    #[test]
    fn less_than_was_asked_for_is_said() {
        let short = request(300, 300, json!({}));
        let Remedy::UseAnyway(_, note) = told(short.clone(), &order(MIN_LEFT), "why", at(60))
        else {
            panic!("it is not said");
        };
        assert!(
            note.contains("4m left") && note.contains("--min-left 5m: why"),
            "{note}"
        );
        let none = order(SignedDuration::ZERO);
        assert!(matches!(
            told(short.clone(), &none, "", at(299)),
            Remedy::Use(_)
        ));
        assert!(matches!(told(short, &none, "", at(300)), Remedy::Again));
    }
}
