//! How long to pause after a failure. The count and the time live in status,
//! so a restart neither forgets a pause nor starts a storm.

use jiff::{SignedDuration, Timestamp};

use keylease_api::AwsCredentialRequest;

/// Pause after the first failure.
const BASE: SignedDuration = SignedDuration::from_secs(1);
/// Longest pause where the fault may pass by itself.
const CAP: SignedDuration = SignedDuration::from_secs(60);
/// Doublings after which the cap is certainly reached.
const MAX_DOUBLINGS: u32 = 16;

/// The pause after `failures` failures in a row: doubling from one second
/// to a minute, spread by ±25 % so that requests that failed together do not
/// come back together. The spread follows from `seed`, drawn once per request,
/// and so is the same each time it is computed.
pub fn pause(failures: u32, seed: &str) -> SignedDuration {
    let doublings = failures.saturating_sub(1).min(MAX_DOUBLINGS);
    let full = BASE.saturating_mul(1 << doublings).min(CAP);
    let spread = seed.bytes().fold(u32::from(failures as u8), |acc, b| {
        acc.wrapping_mul(31).wrapping_add(u32::from(b))
    });
    let percent = 75 + i64::from(spread % 51);
    SignedDuration::from_millis_i128(full.as_millis() * i128::from(percent) / 100)
}

/// The pause before the next look at what nobody tells us of, when nothing is
/// written in between: as long again as it has been since the last failure,
/// within the bounds of [`pause`] and with its spread.
pub fn as_long_again(request: &AwsCredentialRequest, now: Timestamp) -> SignedDuration {
    let last = request.status.as_ref();
    let last = last.and_then(|s| s.last_failure_time.as_ref());
    let so_far = last.map_or(SignedDuration::ZERO, |t| now.duration_since(t.0));
    let doublings = so_far.as_secs().max(1).ilog2();
    pause(doublings.saturating_add(1), request.uid_str())
}

/// Until when the request is not to be tried again, if it failed lately. A change of the
/// spec (or a deletion, which raises the generation too) is tried at once.
/// A failure that lies ahead was written by a clock that was wrong: when it was
/// is not known, and the next attempt writes down a time that is.
pub fn paused(request: &AwsCredentialRequest, now: Timestamp) -> Option<Timestamp> {
    let status = request.status.as_ref()?;
    let failures = status.failure_count();
    if failures == 0 || status.observed_generation != request.metadata.generation {
        return None;
    }
    let last = status.last_failure_time.as_ref()?.0;
    let at = last.checked_add(pause(failures, request.uid_str())).ok()?;
    (last <= now && now < at).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_cap_and_stays_there() {
        let mut last = SignedDuration::ZERO;
        for failures in 1..=7 {
            let next = pause(failures, "uid");
            assert!(next > last, "{failures}: {next:?} after {last:?}");
            last = next;
        }
        for failures in [8, 9, 100, u32::MAX] {
            let pause = pause(failures, "uid");
            assert!(pause >= CAP * 3 / 4 && pause <= CAP * 5 / 4, "{pause:?}");
        }
    }

    #[test]
    fn spreads_requests_that_failed_together() {
        let pauses: std::collections::BTreeSet<_> =
            (0..50).map(|n| pause(5, &format!("uid-{n}"))).collect();
        assert!(pauses.len() > 10);
    }
}
