//! Times as people write them into the API.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A time in RFC 3339, as in `2026-11-23T10:00:00Z`, between the years 2000 and
/// 9998.
///
/// The text is kept as it was written, like that of a
/// [`GoDuration`](super::GoDuration): decoding it never fails. The schema has no
/// `format: date-time`, because the API server takes more under that name than
/// there are times (an offset of `+99:99`, the year 9999), and because a rule
/// could not look at the text then.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(transparent)]
pub struct Rfc3339(#[schemars(length(max = 64))] pub String);

/// Text that is not such a time.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
#[error(
    "{0:?} is not a time; write RFC 3339 between the years 2000 and 9998, as in \
     2026-11-23T10:00:00Z"
)]
pub struct BadTime(pub String);

/// Begin of the year 2000 and of the year 9999, in seconds since 1970. What lies
/// between is a time of a lease; what lies outside is a mistake, and near the
/// ends of what the libraries can count.
const YEARS: std::ops::Range<i64> = 946_684_800..253_370_764_800;

impl Rfc3339 {
    /// The moment that was written.
    ///
    /// # Errors
    /// [`BadTime`] for anything else.
    pub fn get(&self) -> Result<Timestamp, BadTime> {
        let bad = || BadTime(self.0.chars().take(40).collect());
        // RFC 3339 has small letters too.
        let text = self.0.to_ascii_uppercase();
        // jiff reads more ("2026-11-23 10Z", a leap second, offsets to 25 h).
        if !has_form(&text) {
            return Err(bad());
        }
        let time: Timestamp = text.parse().map_err(|_| bad())?;
        Some(time)
            .filter(|t| YEARS.contains(&t.as_second()))
            .ok_or_else(bad)
    }
}

impl From<Timestamp> for Rfc3339 {
    fn from(time: Timestamp) -> Self {
        Self(time.to_string())
    }
}

impl From<&str> for Rfc3339 {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Whether every character stands where RFC 3339 has it. The rule in the schema
/// says the same in a pattern.
fn has_form(text: &str) -> bool {
    const SECONDS: &str = "0000-00-00T00:00:00";
    let Some((seconds, rest)) = text.split_at_checked(SECONDS.len()) else {
        return false;
    };
    let no_leap_second = !seconds.ends_with("60");
    let (fraction, zone) = rest.split_at(rest.find(['Z', '+', '-']).unwrap_or(rest.len()));
    let digits = fraction.strip_prefix('.').unwrap_or("0");
    let fraction_fits = (fraction.is_empty() || fraction.starts_with('.'))
        && (1..=9).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit());
    is_like(seconds, SECONDS) && no_leap_second && fraction_fits && is_zone(zone)
}

fn is_zone(zone: &str) -> bool {
    let Some(offset) = zone.strip_prefix(['+', '-']) else {
        return zone == "Z";
    };
    // The same digits: texts of one length are ordered as the numbers are.
    is_like(offset, "00:00") && &offset[..2] < "24" && &offset[3..] < "60"
}

/// Digits where the form has `0`, and its own characters elsewhere.
fn is_like(text: &str, form: &str) -> bool {
    let fits = |(c, f): (u8, u8)| {
        if f == b'0' {
            c.is_ascii_digit()
        } else {
            c == f
        }
    };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rfc_3339() {
        for (text, utc) in [
            ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
            ("2026-11-23t10:00:00z", "2026-11-23T10:00:00Z"),
            ("2026-11-23T10:00:00.5+01:30", "2026-11-23T08:30:00.5Z"),
            (
                "2026-11-23T10:00:00.123456789-00:00",
                "2026-11-23T10:00:00.123456789Z",
            ),
            ("2026-11-23T10:00:00-23:59", "2026-11-24T09:59:00Z"),
            ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z"),
            ("9998-12-31T23:59:59Z", "9998-12-31T23:59:59Z"),
            ("2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z"),
        ] {
            assert_eq!(
                Rfc3339::from(text).get(),
                Ok(utc.parse().unwrap()),
                "{text}"
            );
        }
        let time: Timestamp = "2026-11-23T10:00:00.25Z".parse().unwrap();
        assert_eq!(Rfc3339::from(time).get(), Ok(time));
    }

    /// What the API server takes for a `date-time` is among these.
    #[test]
    fn refuses_everything_else_without_a_panic() {
        for text in [
            "",
            "Z",
            "now",
            "2026-11-23",
            "2026-11-23T10:00:00",
            "2026-11-23 10:00:00Z",
            "2026-11-23T10:00Z",
            "2026-11-23T10:00:00+99:99",
            "2026-11-23T10:00:00+24:00",
            "2026-11-23T10:00:00+0100",
            "2026-11-23T10:00:00+01:00[Europe/Berlin]",
            "2026-11-23T10:00:00,5Z",
            "2026-11-23T10:00:00x5Z",
            "2026-11-23T10:00:00.Z",
            "2026-11-23T10:00:00.1234567890Z",
            "2026-11-23T10:00:00ZT10:00:00Z",
            "2026-11-23T10:00:60Z",
            "2026-11-23T24:00:00Z",
            "2026-02-29T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "0000-01-01T00:00:00Z",
            "1999-12-31T23:59:59Z",
            "9999-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2000-01-01T00:00:00+00:01",
            "-026-11-23T10:00:00Z",
            "２026-11-23T10:00:00Z",
            "2026-11-23T10:00:00Z\n",
            " 2026-11-23T10:00:00Z",
        ] {
            assert!(Rfc3339::from(text).get().is_err(), "{text:?}");
        }
    }
}
