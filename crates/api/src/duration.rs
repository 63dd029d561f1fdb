//! Go-style durations as the API carries them.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A duration as Go and Kubernetes write it: `768h`, `15m`, `1h30m`, `20s`.
///
/// The text is kept as it was written. Decoding never fails, so that one
/// malformed object cannot stop a watch; [`GoDuration::get`] says what is
/// wrong with it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct GoDuration(#[schemars(length(max = 32))] pub String);

/// Text that is not a Go-style duration.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
#[error("{0:?} is not a duration; write hours, minutes and seconds as in 768h, 15m or 1h30m")]
pub struct BadDuration(pub String);

impl GoDuration {
    /// The length of time that was written.
    ///
    /// Units are `h`, `m`, `s`, `ms`, `us` and `ns`, each with a whole or
    /// decimal number in front, as in Go.
    ///
    /// # Errors
    /// [`BadDuration`] for anything else, and for what overflows 64 bits of
    /// seconds.
    pub fn get(&self) -> Result<SignedDuration, BadDuration> {
        let text = self.0.as_str();
        let bad = || BadDuration(text.chars().take(40).collect());
        // jiff reads more dialects ("PT1H", "1 hour"); the API speaks Go only.
        let go = |c: char| c.is_ascii_digit() || "hmsunµ.-+".contains(c);
        if text == "0" {
            return Ok(SignedDuration::ZERO);
        }
        if text.is_empty() || !text.chars().all(go) {
            return Err(bad());
        }
        text.parse().map_err(|_| bad())
    }
}

impl From<&str> for GoDuration {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Writes a duration back in the shortest Go form: `768h`, `1h30m`, `20s`.
/// Parts of a second are dropped: every time of ours is truncated to seconds.
pub fn format_duration(duration: SignedDuration) -> String {
    let total = duration.as_secs();
    let (sign, total) = (if total < 0 { "-" } else { "" }, total.unsigned_abs());
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    let mut text = String::from(sign);
    for (amount, unit) in [(hours, 'h'), (minutes, 'm'), (seconds, 's')] {
        if amount > 0 {
            text.push_str(&amount.to_string());
            text.push(unit);
        }
    }
    if total == 0 {
        text.push_str("0s");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_durations() {
        for (text, seconds) in [
            ("768h", 768 * 3600),
            ("1h30m", 5400),
            ("20s", 20),
            ("1.5h", 5400),
            ("0", 0),
            ("-5m", -300),
        ] {
            assert_eq!(
                GoDuration::from(text).get(),
                Ok(SignedDuration::from_secs(seconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_everything_else_without_a_panic() {
        for text in [
            "",
            "1",
            "h",
            "1 hour",
            "PT1H",
            "1d",
            "99999999999999999999h",
            "1e300h",
            "NaNh",
            "1h-",
        ] {
            assert!(GoDuration::from(text).get().is_err(), "{text}");
        }
    }

    #[test]
    fn writes_the_shortest_form() {
        for (seconds, text) in [
            (0, "0s"),
            (20, "20s"),
            (3600, "1h"),
            (5400, "1h30m"),
            (768 * 3600, "768h"),
            (3661, "1h1m1s"),
        ] {
            assert_eq!(format_duration(SignedDuration::from_secs(seconds)), text);
        }
    }
}
