//! The arithmetic of a lease: begin, end, and the end past which it cannot go.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::intent::Intent;
use super::naming;
use keylease_api::{AwsCredentialRequest, Lease, format_duration};

/// Begin and end of a lease, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// When the Secret was written.
    pub issued_at: Timestamp,
    /// When the credential is removed.
    pub expires_at: Timestamp,
    /// The end past which no renewal can go.
    pub max_expires_at: Timestamp,
}

impl Term {
    /// The term of a lease that begins now.
    pub fn starting(now: Timestamp, intent: &Intent) -> Self {
        let issued_at = truncate(now);
        Self {
            issued_at,
            expires_at: later(issued_at, intent.ttl_seconds),
            max_expires_at: later(issued_at, intent.max_ttl_seconds),
        }
    }

    /// The lease as the request's status shows it.
    pub fn lease(&self, request: &AwsCredentialRequest) -> Lease {
        Lease {
            id: naming::lease_id(&request.spec.role_ref.name, request.uid_str()),
            issued_at: Time(self.issued_at),
            expires_at: Time(self.expires_at),
            max_expires_at: Time(self.max_expires_at),
            duration: format_duration(self.expires_at.duration_since(self.issued_at)),
            renewable: self.expires_at < self.max_expires_at,
            renewals: 0,
            renewed_for: None,
        }
    }
}

/// Cuts a time to whole seconds, as Kubernetes writes it: what is computed and
/// what is read back are the same.
pub fn truncate(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The first whole second that is not before that time: leases begin on whole
/// seconds.
pub fn whole_second_from(time: Timestamp) -> Option<Timestamp> {
    let cut = truncate(time);
    if cut == time {
        return Some(time);
    }
    cut.checked_add(SignedDuration::from_secs(1)).ok()
}

fn later(from: Timestamp, seconds: i64) -> Timestamp {
    from.checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_end_of_time() {
        assert_eq!(later(Timestamp::MAX, 10), Timestamp::MAX);
        let t = Timestamp::from_millisecond(1_500).unwrap();
        assert_eq!(truncate(t), Timestamp::from_second(1).unwrap());
    }
}
