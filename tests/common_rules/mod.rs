//! One table of what the three kinds take and refuse. `tests/rules` holds it
//! against the rules alone, `tests/cluster` against a real API server.
//!
//! A case is a small change of an object that is fine. Merged into it, `good`
//! is accepted and `bad` is refused with `says` in the message.

mod account;
pub mod forms;
pub mod grown;
mod request;
mod role;

use serde_json::{Value, json};

/// The kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Account,
    Role,
    Request,
}

/// Who refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A CEL rule, which can be evaluated without a server.
    Rule,
    /// A limit of the plain schema, which only the API server knows.
    Schema,
    /// A CEL rule that only the API server evaluates rightly: the evaluation in
    /// this process counts a text in bytes.
    Characters,
}

/// A spec that is accepted and one that is refused, as changes of the plainest
/// spec of the kind.
pub struct Case {
    pub kind: Kind,
    pub by: By,
    pub good: Value,
    pub bad: Value,
    pub says: &'static str,
}

/// Two changes of an object that exists: one that is accepted, one that is
/// refused.
pub struct Update {
    pub kind: Kind,
    pub from: Value,
    pub good: Value,
    pub bad: Value,
    pub says: &'static str,
}

/// All cases of creation.
pub fn cases() -> Vec<Case> {
    let mut all = account::cases();
    all.extend(role::cases());
    all.extend(request::cases());
    all.extend(forms::cases());
    all
}

/// All cases of update.
pub fn updates() -> Vec<Update> {
    let mut all = request::updates();
    all.extend(role::updates());
    all
}

impl Kind {
    /// The kind's name in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "AwsAccount",
            Self::Role => "AwsRole",
            Self::Request => "AwsCredentialRequest",
        }
    }

    /// The plainest spec that is accepted.
    fn plain_spec(self) -> Value {
        match self {
            Self::Account => json!({}),
            Self::Role => json!({"accountRef": {"name": "default"}, "iamUser": {}}),
            Self::Request => json!({"roleRef": {"name": "reader"}}),
        }
    }

    /// A whole object of that name with the change merged into its spec.
    pub fn object(self, name: &str, change: &Value) -> Value {
        let mut spec = self.plain_spec();
        merge(&mut spec, change);
        json!({
            "apiVersion": "keylease.dev/v1alpha1",
            "kind": self.name(),
            "metadata": {"name": name},
            "spec": spec,
        })
    }
}

/// JSON merge patch (RFC 7386): objects are merged, null removes.
fn merge(target: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in change {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

/// A case that a CEL rule decides.
fn rule(kind: Kind, good: Value, bad: Value, says: &'static str) -> Case {
    Case {
        kind,
        by: By::Rule,
        good,
        bad,
        says,
    }
}

/// A case that the plain schema decides.
fn schema(kind: Kind, good: Value, bad: Value, says: &'static str) -> Case {
    Case {
        by: By::Schema,
        ..rule(kind, good, bad, says)
    }
}

/// A case of each text that the API server takes for a `date-time`, or nearly, and
/// that is no time for us.
fn times(kind: Kind, at: impl Fn(&str) -> Value, says: &'static str) -> Vec<Case> {
    let good = [
        "2026-11-23T10:00:00Z",
        "2000-01-01T00:00:00Z",
        "9998-12-31T23:59:59Z",
        "2026-11-23T10:00:00.123456789+05:30",
        "2026-11-23T10:00:00-23:59",
    ];
    let bad = [
        "",
        "soon",
        "2026-11-23",
        "2026-11-23T10:00:00",
        "2026-11-23t10:00:00z",
        "2026-11-23 10:00:00Z",
        "2026-11-23T10:00:00+99:99",
        "2026-11-23T10:00:00+24:00",
        "2026-11-23T10:00:00x5Z",
        "2026-11-23T10:00:00,5Z",
        "2026-11-23T10:00:00ZT10:00:00Z",
        "2026-11-23T10:00:60Z",
        "2026-11-23T24:00:00Z",
        "2026-13-01T10:00:00Z",
        "2026-11-23T10:00:00Z\n",
        "1999-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ];
    let long = format!("2026-11-23T10:00:00.{}Z", "1".repeat(60));
    let pairs = bad.iter().zip(good.iter().cycle());
    let cases = pairs.map(|(bad, good)| rule(kind, at(good), at(bad), says));
    let too_long = schema(kind, at(good[0]), at(&long), "Too long");
    cases.chain([too_long]).collect()
}

/// A case of each text that leads to another object in a URL, or to none.
fn names(kind: Kind, of: impl Fn(&str) -> Value, says: &'static str) -> Vec<Case> {
    let bad = [
        "dev/", "dev?x", "dev%2d", "Dev", "..", "a..b", "a.-b", "-a", "a\n", "ä",
    ];
    let good = ["dev", "a", "1", "a-b.c-d"];
    let pairs = bad.iter().zip(good.iter().cycle());
    let cases = pairs.map(|(bad, good)| rule(kind, of(good), of(bad), says));
    cases.collect()
}

/// An object with that many keys, each with the value `v`.
fn many(count: usize) -> Value {
    (0..count)
        .map(|n| (format!("k{n}"), json!("v")))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Where tags and boundaries stand in both kinds that have them.
fn marks_of_users(kind: Kind, field: &str) -> Vec<Case> {
    let user = |value: Value| json!({ field: value });
    let tag = |key: &str, value: &str| user(json!({"tags": {key: value}}));
    let boundary = |arn: &str| user(json!({"permissionsBoundaryArn": arn}));
    let keys = "aws: and keylease.dev/ are reserved, in any case";
    let values = "tag values have at most 256";
    let arn = "permissionsBoundaryArn must be the ARN of a managed policy";
    let fine = || tag("cost center", "{{namespace}}/{{request}} = {{role}}");
    let policy = || boundary("arn:aws-cn:iam::123456789012:policy/team/bound");
    let twins = "differ by case alone";
    vec![
        rule(
            kind,
            user(json!({"tags": {"team": "a", "teams": "b"}})),
            user(json!({"tags": {"team": "a", "Team": "b"}})),
            twins,
        ),
        rule(kind, fine(), tag("KeyLease.dev/uid", "a"), keys),
        rule(kind, tag("チーム", "Zürich"), tag("te#m", "a"), keys),
        Case {
            by: By::Characters,
            ..rule(
                kind,
                tag(&"開".repeat(128), &"ü".repeat(256)),
                tag(&"開".repeat(129), ""),
                keys,
            )
        },
        rule(kind, fine(), tag("team", "{{requst}}"), values),
        rule(kind, fine(), tag("team", "Aws:x"), values),
        rule(kind, fine(), tag("aws:team", "a"), keys),
        rule(kind, fine(), tag("AWS:team", "a"), keys),
        rule(kind, fine(), tag("keylease.dev/uid", "a"), keys),
        rule(kind, fine(), tag("te*m", "a"), keys),
        rule(kind, fine(), tag("te\nam", "a"), keys),
        rule(kind, fine(), tag("", "a"), keys),
        rule(
            kind,
            tag(&"k".repeat(128), ""),
            tag(&"k".repeat(129), ""),
            keys,
        ),
        rule(kind, fine(), tag("team", "a*"), values),
        rule(kind, fine(), tag("team", "${aws:username}"), values),
        rule(kind, fine(), tag("team", "a\n"), values),
        rule(
            kind,
            tag("t", &"v".repeat(256)),
            tag("t", &"v".repeat(257)),
            values,
        ),
        schema(
            kind,
            user(json!({"tags": many(20)})),
            user(json!({"tags": many(21)})),
            "Too many",
        ),
        rule(
            kind,
            policy(),
            boundary("arn:aws:iam::123456789012:role/bound"),
            arn,
        ),
        rule(
            kind,
            policy(),
            boundary("arn:aws:iam::12345:policy/bound-too-short-id"),
            arn,
        ),
        rule(
            kind,
            policy(),
            boundary("arn:aws:iam::123456789012:policy/a b"),
            arn,
        ),
        schema(
            kind,
            policy(),
            boundary("arn:aws:iam::a"),
            "should be at least 20 chars long",
        ),
    ]
}
