//! Forms of AWS's own names. Each is written once: as a regular expression in
//! the syntax that CEL (RE2) and Rust share, so that the definitions, the
//! reconciler and the command line judge alike. The chart's schema repeats the
//! region's; a test holds it against this one.

use std::sync::LazyLock;

use kube::core::Rule;
use regex::Regex;

/// Longest tag key, in characters (IAM and STS quotas).
pub const MAX_TAG_KEY: usize = 128;
/// Longest tag value, in characters.
pub const MAX_TAG_VALUE: usize = 256;
/// How tag keys and values begin that are AWS's own, in any case.
const RESERVED_BY_AWS: &str = "aws:";
/// How tag keys begin that are ours, in any case.
const RESERVED_BY_US: &str = "keylease.dev/";

/// How AWS names its partitions, as the middle of a pattern: `aws`, `aws-cn`,
/// `aws-us-gov`, `aws-eusc`, `aws-iso-b` and those to come.
macro_rules! partition {
    () => {
        "aws(-[a-z]+)*"
    };
}

/// What a name of AWS looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A partition, the second part of an ARN.
    Partition,
    /// A region: `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`.
    Region,
    /// The ARN of an IAM role.
    RoleArn,
    /// The ARN of a managed policy, of AWS or of an account.
    PolicyArn,
    /// The name of a user, group or role, without a path.
    Name,
    /// What a trust policy compares `sts:ExternalId` with.
    ExternalId,
    /// The key of a tag (IAM API reference, Tag).
    TagKey,
    /// The value of a tag, with the places that are filled in.
    TagValue,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Partition,
        Self::Region,
        Self::RoleArn,
        Self::PolicyArn,
        Self::Name,
        Self::ExternalId,
        Self::TagKey,
        Self::TagValue,
    ];

    /// The regular expression, for the whole text.
    pub const fn pattern(self) -> &'static str {
        match self {
            Self::Partition => concat!("^", partition!(), "$"),
            Self::Region => "^[a-z]{2,}(-[a-z]+)+-[0-9]+$",
            Self::RoleArn => concat!("^arn:", partition!(), ":iam::[0-9]{12}:role/[!-~]+$"),
            Self::PolicyArn => {
                concat!(
                    "^arn:",
                    partition!(),
                    ":iam::(aws|[0-9]{12}):policy/[!-~]+$"
                )
            }
            Self::Name => "^[A-Za-z0-9_+=,.@-]+$",
            Self::ExternalId => "^[A-Za-z0-9_+=,.@:/-]+$",
            Self::TagKey => r"^[\p{L}\p{Z}\p{N}_.:/=+@-]+$",
            Self::TagValue => {
                r"^([\p{L}\p{Z}\p{N}_.:/=+@-]|[{][{](namespace|request|role)[}][}])*$"
            }
        }
    }

    /// Whether the text has this form.
    pub fn fits(self, text: &str) -> bool {
        static COMPILED: LazyLock<Vec<(Form, Option<Regex>)>> = LazyLock::new(|| {
            let compiled = Form::ALL.iter();
            compiled
                .map(|form| (*form, Regex::new(form.pattern()).ok()))
                .collect()
        });
        let mut all = COMPILED.iter();
        let regex = all.find(|(form, _)| *form == self);
        regex.is_some_and(|(_, regex)| regex.as_ref().is_some_and(|r| r.is_match(text)))
    }

    /// The same as CEL, of what the expression `of` stands for.
    fn cel(self, of: &str) -> String {
        format!("{of}.matches('{}')", self.pattern().replace('\\', r"\\"))
    }

    /// The rule for a field that has this form.
    pub(super) fn rule(self, message: &str) -> Rule {
        said(self.cel("self"), message)
    }

    /// The rule for a list of such.
    pub(super) fn rule_for_all(self, message: &str) -> Rule {
        said(format!("self.all(e, {})", self.cel("e")), message)
    }
}

fn said(rule: String, message: &str) -> Rule {
    Rule::new(rule).message(message)
}

/// The rule for the keys of tags.
pub(super) fn tag_keys() -> Rule {
    said(
        format!(
            "self.all(k, size(k) <= {MAX_TAG_KEY} && {} && \
             !k.lowerAscii().startsWith('{RESERVED_BY_AWS}') && \
             !k.lowerAscii().startsWith('{RESERVED_BY_US}'))",
            Form::TagKey.cel("k")
        ),
        "tag keys have 1-128 letters, digits, spaces and _.:/=+-@; aws: and keylease.dev/ are \
         reserved, in any case",
    )
}

/// The rule for the values of tags.
pub(super) fn tag_values() -> Rule {
    said(
        format!(
            "self.all(k, size(self[k]) <= {MAX_TAG_VALUE} && {} && \
             !self[k].lowerAscii().startsWith('{RESERVED_BY_AWS}'))",
            Form::TagValue.cel("self[k]")
        ),
        "tag values have at most 256 letters, digits, spaces and _.:/=+-@, and {{namespace}}, \
         {{request}} and {{role}}; aws: at the beginning is reserved",
    )
}

/// The rule for names or keys that AWS compares without regard to case.
pub(super) fn distinct(message: &str) -> Rule {
    said(
        "self.all(k, self.exists_one(o, o.lowerAscii() == k.lowerAscii()))".to_owned(),
        message,
    )
}

/// What makes two keys of tags, or two names, the same to AWS: case does not
/// matter to it.
pub fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// The first of the names that is the same to AWS as one before it.
pub fn first_twin<'a>(names: impl IntoIterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(folded(name)))
}

/// Checks the key of a tag.
///
/// # Errors
/// What is wrong, as the end of a sentence that names it.
pub fn check_tag_key(key: &str) -> Result<(), String> {
    let folded = folded(key);
    let reserved = [RESERVED_BY_AWS, RESERVED_BY_US];
    if let Some(prefix) = reserved.iter().find(|p| folded.starts_with(**p)) {
        return Err(format!("begins with {prefix}, which is reserved"));
    }
    if key.chars().count() > MAX_TAG_KEY || !Form::TagKey.fits(key) {
        return Err(format!(
            "is not 1-{MAX_TAG_KEY} letters, digits, spaces and _.:/=+-@"
        ));
    }
    Ok(())
}

/// Checks the value of a tag.
///
/// # Errors
/// What is wrong, as the end of a sentence that names it.
pub fn check_tag_value(value: &str) -> Result<(), String> {
    if folded(value).starts_with(RESERVED_BY_AWS) {
        return Err(format!("begins with {RESERVED_BY_AWS}, which is reserved"));
    }
    if value.chars().count() > MAX_TAG_VALUE || !Form::TagValue.fits(value) {
        return Err(format!(
            "is not at most {MAX_TAG_VALUE} letters, digits, spaces and _.:/=+-@, with \
             {{{{namespace}}}}, {{{{request}}}} and {{{{role}}}} as the only things in braces"
        ));
    }
    Ok(())
}

/// The partition, if it is one: for the command line.
///
/// # Errors
/// A sentence that says what one looks like.
pub fn partition(text: &str) -> Result<String, String> {
    if Form::Partition.fits(text) {
        return Ok(text.to_owned());
    }
    Err("a partition is aws, or aws- and a name, as in aws-cn, aws-us-gov or aws-eusc".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_compiles_and_takes_nothing_with_a_line_break() {
        for form in Form::ALL {
            assert!(Regex::new(form.pattern()).is_ok(), "{form:?}");
            assert!(!form.fits("a\nb"), "{form:?}");
            assert!(!form.fits("us-east-1\n"), "{form:?}");
        }
    }

    #[test]
    fn letters_of_every_script_are_letters() {
        for (key, fine) in [
            ("Kostenstelle", true),
            ("チーム", true),
            ("бюджет 2026", true),
            ("a\u{3000}b", true),
            ("te*m", false),
            ("te\u{301}", false),
            ("", false),
            ("AWS:team", false),
            ("Keylease.Dev/uid", false),
        ] {
            assert_eq!(check_tag_key(key).is_ok(), fine, "{key}");
        }
        assert!(check_tag_key(&"ü".repeat(128)).is_ok());
        assert!(check_tag_key(&"ü".repeat(129)).is_err());
        assert!(check_tag_value(&"開".repeat(256)).is_ok());
        assert!(check_tag_value(&"開".repeat(257)).is_err());
        assert!(check_tag_value("{{namespace}}/{{request}}").is_ok());
        assert!(check_tag_value("{{requst}}").is_err());
        assert!(check_tag_value("Aws:x").is_err());
    }

    #[test]
    fn twins_differ_by_case_alone() {
        let names = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let twins = names(&["team", "owner", "Team"]);
        assert_eq!(first_twin(&twins).map(String::as_str), Some("Team"));
        assert_eq!(first_twin(&names(&["team", "teams"])), None);
    }
}
