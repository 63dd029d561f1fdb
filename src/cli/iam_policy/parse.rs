//! The arguments' values, each with a sentence on what it has to look like.

use keylease_core::plan::root_rotation::user_of;

/// How long an IAM path may be that we put users on; we append to it.
const MAX_PATH: usize = 256;

fn ensure(ok: bool, text: &str, otherwise: &str) -> Result<String, String> {
    ok.then(|| text.to_owned())
        .ok_or_else(|| otherwise.to_owned())
}

/// What IAM takes in names and paths.
fn in_names(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"/_.,=@+-".contains(&b)
}

pub(super) fn account_id(text: &str) -> Result<String, String> {
    let ok = text == "*" || (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()));
    ensure(ok, text, "an account id has 12 digits")
}

/// AWS has more of them every few years; all begin alike.
pub(super) fn partition(text: &str) -> Result<String, String> {
    let mut parts = text.split('-');
    let aws = parts.next() == Some("aws");
    let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    ensure(
        aws && parts.all(letters),
        text,
        "a partition is aws, or begins so, as in aws-cn, aws-us-gov, aws-eusc or aws-iso-b",
    )
}

pub(super) fn user_path(text: &str) -> Result<String, String> {
    let ends = text.starts_with('/') && text.ends_with('/') && text.len() <= MAX_PATH;
    ensure(
        ends && text.bytes().all(in_names),
        text,
        "a path begins and ends with /, as in /keylease/",
    )
}

/// A name without wildcards.
pub(super) fn name(text: &str) -> Result<String, String> {
    let ok = !text.is_empty() && !text.starts_with('/') && text.bytes().all(in_names);
    ensure(
        ok,
        text,
        "a name has letters, digits and _.,=@+-, and / in a path before it",
    )
}

pub(super) fn iam_arn(text: &str) -> Result<String, String> {
    let resource = text
        .strip_prefix("arn:")
        .and_then(|rest| rest.splitn(5, ':').nth(4));
    ensure(
        resource.is_some_and(|r| r.starts_with("role/")),
        text,
        "a role ARN looks like arn:aws:iam::123456789012:role/name",
    )
}

pub(super) fn user_arn(text: &str) -> Result<String, String> {
    let named = user_of(text).is_some_and(|name| !name.contains('*'));
    ensure(
        text.starts_with("arn:") && named,
        text,
        "a user ARN looks like arn:aws:iam::123456789012:user/name",
    )
}

pub(super) fn policy_arn(text: &str) -> Result<String, String> {
    ensure(
        text.starts_with("arn:") && text.contains(":policy/"),
        text,
        "a policy ARN looks like arn:aws:iam::123456789012:policy/name",
    )
}
