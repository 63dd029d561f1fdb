//! Times as people read them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use keylease_api::{AwsCredentialRequest, GoDuration, Phase, format_duration};

/// A length in its two largest units, rounded down: `31d`, `5h3m`, `12m30s`.
pub(super) fn short(duration: SignedDuration) -> String {
    let total = duration.as_secs().max(0);
    let parts = [
        (total / 86_400, 'd'),
        (total / 3600 % 24, 'h'),
        (total / 60 % 60, 'm'),
        (total % 60, 's'),
    ];
    let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(3);
    parts
        .iter()
        .skip(first)
        .take(2)
        .filter(|(n, unit)| *n > 0 || (first == 3 && *unit == 's'))
        .map(|(n, unit)| format!("{n}{unit}"))
        .collect()
}

/// How long the lease of a request has left.
pub(super) fn left(request: &AwsCredentialRequest, now: Timestamp) -> String {
    let Some(status) = &request.status else {
        return "-".to_owned();
    };
    let over = matches!(status.phase, Some(Phase::Expired | Phase::Revoked));
    match &status.lease {
        _ if over => "ended".to_owned(),
        None => "-".to_owned(),
        Some(lease) if lease.expires_at.0 <= now => "overdue".to_owned(),
        Some(lease) => short(lease.expires_at.0.duration_since(now)),
    }
}

/// How long ago that was.
pub(super) fn age(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(|| "-".to_owned(), |t| short(now.duration_since(t)))
}

/// A time with its distance from now: `2026-11-23T08:00:00Z (in 12m)`.
pub(super) fn at(time: Timestamp, now: Timestamp) -> String {
    if time >= now {
        format!("{time} (in {})", short(time.duration_since(now)))
    } else {
        format!("{time} ({} ago)", short(now.duration_since(time)))
    }
}

/// Now in whole seconds, as Kubernetes writes times; a second later than the
/// previous mark where both fall into one, because each mark must be new.
pub(super) fn fresh_mark(now: Timestamp, previous: Option<Timestamp>) -> Timestamp {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    match previous {
        Some(before) if before >= now => before
            .checked_add(SignedDuration::from_secs(1))
            .unwrap_or(before),
        _ => now,
    }
}

/// A length of time on the command line, in the form that the API takes:
/// `1.5h` becomes `1h30m`.
pub(super) fn parse_length(text: &str) -> Result<GoDuration, String> {
    let length = GoDuration::from(text).get().map_err(|e| e.to_string())?;
    if length < SignedDuration::from_secs(1) {
        return Err("must be 1s or longer".to_owned());
    }
    Ok(GoDuration(format_duration(length)))
}

/// The life that a lease is to have left, on the command line.
pub(super) fn parse_left(text: &str) -> Result<SignedDuration, String> {
    let length = GoDuration::from(text).get().map_err(|e| e.to_string())?;
    if length.is_negative() {
        return Err("must not be negative".to_owned());
    }
    Ok(length)
}

/// A time to wait on the command line.
pub(super) fn parse_patience(text: &str) -> Result<Duration, String> {
    let length = GoDuration::from(text).get().map_err(|e| e.to_string())?;
    Duration::try_from(length).map_err(|_| "must not be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (750, "12m30s"),
            (18_190, "5h3m"),
            (3601, "1h"),
            (2_678_400, "31d"),
            (2_685_600, "31d2h"),
            (-5, "0s"),
        ] {
            assert_eq!(short(SignedDuration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn marks_are_whole_seconds_and_never_repeat() {
        let t = |ms| Timestamp::from_millisecond(ms).unwrap();
        assert_eq!(fresh_mark(t(5_900), None), t(5_000));
        assert_eq!(fresh_mark(t(5_900), Some(t(4_000))), t(5_000));
        assert_eq!(fresh_mark(t(5_900), Some(t(5_000))), t(6_000));
        assert_eq!(fresh_mark(t(5_900), Some(t(6_000))), t(7_000));
    }

    #[test]
    fn lengths_on_the_command_line_become_what_the_api_takes() {
        assert_eq!(parse_length("1.5h"), Ok(GoDuration("1h30m".into())));
        assert!(parse_length("soon").unwrap_err().contains("768h"));
        assert!(parse_length("0").is_err());
        assert_eq!(parse_patience("0"), Ok(Duration::ZERO));
        assert!(parse_patience("-1s").is_err());
    }

    #[test]
    fn distances_have_a_direction() {
        let t = |s| Timestamp::from_second(s).unwrap();
        assert_eq!(at(t(60), t(0)), "1970-01-01T00:01:00Z (in 1m)");
        assert_eq!(at(t(0), t(90)), "1970-01-01T00:00:00Z (1m30s ago)");
        assert_eq!(age(None, t(0)), "-");
    }
}
