//! Durations, as people write them in all three kinds.

use jiff::SignedDuration;
use keylease_api::{GoDuration, format_duration};
use keylease_core::plan::ttl;

use crate::harness::{Told, did, fuzz};
use crate::samples;

const TOKENS: [&str; 10] = ["h", "m", "s", "ms", "us", "ns", "µs", "768h", "1.5", "+"];

/// What is read is written so that it is read the same; a lease is as long as
/// its role lets it be.
fn judge(input: &[u8]) -> Told {
    let text = String::from_utf8_lossy(input);
    let read = GoDuration::from(text.as_ref()).get();
    if let Ok(read) = read {
        let written = format_duration(read);
        let again = GoDuration::from(written.as_str()).get();
        let seconds = again.as_ref().map(SignedDuration::as_secs);
        ensure!(
            seconds == Ok(read.as_secs()),
            "{text} is written as {written}"
        );
        ensure!(written.len() <= 32, "{written} does not fit the schema");
    }
    let (mut request, role) = (samples::request(), samples::role());
    request.spec.ttl = Some(text.as_ref().into());
    let ttls = ttl::of_request(&request, &role);
    if let Ok(ttls) = &ttls {
        ensure!(
            ttls.ttl >= SignedDuration::from_secs(1),
            "{:?} is no lease",
            ttls.ttl
        );
        ensure!(
            ttls.ttl <= ttls.max,
            "{:?} is above {:?}",
            ttls.ttl,
            ttls.max
        );
        ensure!(
            ttls.max <= SignedDuration::from_hours(24),
            "the role says 24h"
        );
    }
    let sign = read.as_ref().map(|r| (r.signum(), r.subsec_nanos() == 0));
    did((
        sign.is_ok(),
        sign.ok(),
        ttls.map_err(|v| v.reason.as_str()).is_ok(),
    ))
}

#[test]
fn durations() {
    fuzz("durations", &TOKENS, judge);
}
