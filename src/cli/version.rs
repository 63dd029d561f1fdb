//! `keylease version`: which program this is.

use std::fmt;

use jiff::Timestamp;

/// What the build said of itself. Whoever builds a release sets
/// `KEYLEASE_COMMIT` (the full hash) and `SOURCE_DATE_EPOCH` (the commit's time
/// in seconds since 1970, so that the same sources give the same bytes); a
/// development build has neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Build {
    version: &'static str,
    /// The commit it was built from.
    pub(super) commit: Option<&'static str>,
    date: Option<Timestamp>,
}

impl Build {
    /// This program.
    pub(super) fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("KEYLEASE_COMMIT").filter(|c| !c.is_empty()),
            date: option_env!("SOURCE_DATE_EPOCH").and_then(date),
        }
    }
}

fn date(epoch: &str) -> Option<Timestamp> {
    Timestamp::from_second(epoch.parse().ok()?).ok()
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "keylease {}", self.version)?;
        match self.commit {
            Some(commit) => writeln!(f, "commit {commit}")?,
            None => f.write_str("commit unknown: a development build\n")?,
        }
        match self.date {
            Some(date) => write!(f, "date {date}"),
            None => f.write_str("date unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_names_commit_and_date() {
        let build = Build {
            version: "1.2.3",
            commit: Some("0123abc"),
            date: date("1795392000"),
        };
        let shown = build.to_string();
        assert_eq!(
            shown,
            "keylease 1.2.3\ncommit 0123abc\ndate 2026-11-23T00:00:00Z"
        );
    }

    #[test]
    fn a_development_build_says_that_it_is_one() {
        let build = Build {
            version: "1.2.3",
            commit: None,
            date: date("yesterday"),
        };
        assert!(build.to_string().contains("a development build"));
    }
}
