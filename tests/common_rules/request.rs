//! `AwsCredentialRequest`.

use serde_json::{Value, json};

use super::{Case, Kind, Update, many, names, rule, schema, times};

const KIND: Kind = Kind::Request;

pub fn cases() -> Vec<Case> {
    let mut all = lease();
    all.extend(others());
    all.extend(going_on());
    all.extend(secret_itself());
    all.extend(secret_marks());
    all.extend(secret_keys());
    all
}

/// What cannot be changed once the request is there.
pub fn updates() -> Vec<Update> {
    let named = |name: &str| secret(json!({"name": name}));
    let update = |from: Value, good: Value, bad: Value, says| Update {
        kind: KIND,
        from,
        good,
        bad,
        says,
    };
    let role = "roleRef cannot be changed; make a new request";
    let name = "secret.name cannot be changed; make a new request";
    let ttl = || json!({"ttl": "2h"});
    let label = || secret(json!({"name": "a", "labels": {"team": "b"}}));
    let other_role = json!({"roleRef": {"name": "writer"}});
    vec![
        update(json!({}), ttl(), other_role, role),
        update(
            json!({"roleArn": "arn:aws:iam::123456789012:role/a"}),
            json!({"roleArn": "arn:aws:iam::123456789012:role/a", "ttl": "2h"}),
            json!({"roleArn": "arn:aws:iam::123456789012:role/b"}),
            "roleArn cannot be changed",
        ),
        update(named("a"), label(), named("b"), name),
        update(named("a"), label(), json!({}), name),
        update(json!({}), ttl(), named("b"), name),
        update(
            secret(json!({"type": "example.com/aws"})),
            secret(json!({"type": "example.com/aws", "labels": {"team": "b"}})),
            secret(json!({"type": "example.com/other"})),
            "type cannot be changed",
        ),
    ]
}

fn secret(value: Value) -> Value {
    json!({"secret": value})
}

fn lease() -> Vec<Case> {
    let ttl = |text: &str| json!({"ttl": text});
    let role = |name: &str| json!({"roleRef": {"name": name}});
    let says = "ttl must be a duration in h, m and s between 1s and 768h";
    let mut all = vec![
        schema(
            KIND,
            role("a"),
            json!({"roleRef": null}),
            "roleRef: Required value",
        ),
        schema(KIND, role("a"), role(""), "should be at least 1 chars long"),
        schema(
            KIND,
            role(&"a".repeat(253)),
            role(&"a".repeat(254)),
            "Too long",
        ),
        schema(
            KIND,
            json!({"onExpiry": "Revoke"}),
            json!({"onExpiry": "Never"}),
            "Unsupported value: \"Never\"",
        ),
        schema(KIND, ttl("1h"), ttl(&"1h".repeat(17)), "Too long"),
    ];
    let arn = |name: &str| json!({"roleArn": format!("arn:aws-cn:iam::123456789012:role/{name}")});
    for bad in [
        "",
        "a\n2026-01-01 INFO keylease::audit: forged",
        "a b",
        "\u{1b}[2J",
        "ü",
    ] {
        let says = "roleArn must be the ARN of an IAM role";
        all.push(rule(KIND, arn("team/a"), arn(bad), says));
    }
    for good in ["1s", "768h", "1h30m", "46080m"] {
        all.push(rule(KIND, ttl(good), ttl("768h1s"), says));
    }
    for bad in [
        "0s", "0", "-5m", "876000h", "1d", "soon", "", "1h-1m", "1.5h", "PT1H", "1h\n",
    ] {
        all.push(rule(KIND, ttl("15m"), ttl(bad), says));
    }
    all
}

/// Times, and names of other objects.
fn others() -> Vec<Case> {
    let at = |text: &str| json!({"renew": {"at": text}});
    let role = |name: &str| json!({"roleRef": {"name": name}});
    let roll = |name: &str| json!({"restart": [{"kind": "DaemonSet", "name": name}]});
    let named = |name: &str| secret(json!({"name": name}));
    let mut all = times(KIND, at, "renew.at must be an RFC 3339 time");
    all.extend(names(
        KIND,
        role,
        "name must be the name of a Kubernetes object",
    ));
    all.extend(names(KIND, roll, "restart names a workload by its name"));
    all.extend(names(
        KIND,
        named,
        "secret.name must be a valid name of a Secret",
    ));
    all
}

/// Renewal, rotation, sessions, and what is rolled.
fn going_on() -> Vec<Case> {
    let after = |text: &str| json!({"ttlAfterExpiry": text});
    let session = |name: &str| json!({"roleSessionName": name});
    let overlap = |text: &str| json!({"onExpiry": "Rotate", "rotation": {"overlap": text}});
    let renew = |text: &str| json!({"renew": {"at": "2030-01-01T00:00:00Z", "increment": text}});
    let roll = |kind: &str| json!({"restart": [{"kind": kind, "name": "app"}]});
    let is_after = "ttlAfterExpiry must be a duration";
    let is_session = "roleSessionName has 2-48 letters";
    let is_overlap = "rotation.overlap must be a duration";
    let is_increment = "renew.increment must be a duration in h, m and s between 1s and 768h";
    vec![
        rule(KIND, after("0s"), after("-1h"), is_after),
        rule(KIND, after("10000h"), after("1d"), is_after),
        rule(KIND, session("ci@main"), session("ci main"), is_session),
        schema(
            KIND,
            session(&"a".repeat(48)),
            session(&"a".repeat(49)),
            "Too long",
        ),
        rule(KIND, overlap("0s"), overlap("soon"), is_overlap),
        rule(KIND, renew("768h"), renew("769h"), is_increment),
        rule(KIND, renew("1s"), renew("0s"), is_increment),
        schema(
            KIND,
            roll("StatefulSet"),
            roll("CronJob"),
            "Unsupported value: \"CronJob\"",
        ),
    ]
}

fn secret_itself() -> Vec<Case> {
    let name = |name: &str| secret(json!({"name": name}));
    let type_ = |name: &str| secret(json!({"type": name}));
    let bad_name = "secret.name must be a valid name of a Secret";
    let bad_type = "secret.type must not be one of Kubernetes's own types";
    vec![
        rule(KIND, name("aws.app-1"), name("Aws"), bad_name),
        rule(KIND, name("a"), name("a/b"), bad_name),
        rule(KIND, name("a"), name("-a"), bad_name),
        rule(KIND, name("a"), name("a\n"), bad_name),
        rule(KIND, name("a"), name("../a"), bad_name),
        schema(
            KIND,
            name(&"a".repeat(253)),
            name(&"a".repeat(254)),
            "Too long",
        ),
        schema(KIND, name("a"), name(""), "should be at least 1 chars long"),
        rule(KIND, type_("Opaque"), type_("kubernetes.io/tls"), bad_type),
        rule(
            KIND,
            type_("example.com/aws"),
            type_("bootstrap.kubernetes.io/token"),
            bad_type,
        ),
        rule(
            KIND,
            type_("example.com/aws"),
            type_("kubernetes.io/service-account-token"),
            bad_type,
        ),
        schema(KIND, type_("a"), type_(&"a".repeat(254)), "Too long"),
    ]
}

fn secret_marks() -> Vec<Case> {
    let label = |key: &str, value: &str| secret(json!({"labels": {key: value}}));
    let note = |key: &str, value: &str| secret(json!({"annotations": {key: value}}));
    let ours = "labels under keylease.dev/ and app.kubernetes.io/managed-by are set by Keylease";
    let valid = "labels must be valid Kubernetes labels";
    let our_notes = "annotations under keylease.dev/ are set by Keylease";
    let valid_note = "annotation keys must be valid Kubernetes names";
    let good = || label("example.com/team", "A_b-c.1");
    let marks = |field: &str, count| secret(json!({ field: many(count) }));
    vec![
        rule(KIND, good(), label("keylease.dev/lease", "a"), ours),
        rule(
            KIND,
            good(),
            label("app.kubernetes.io/managed-by", "helm"),
            ours,
        ),
        rule(KIND, label("team", ""), label("team", "a b"), valid),
        rule(KIND, good(), label("-team", "a"), valid),
        rule(KIND, good(), label("a/b/c", "a"), valid),
        rule(
            KIND,
            label(&"k".repeat(63), "a"),
            label(&"k".repeat(64), "a"),
            valid,
        ),
        schema(
            KIND,
            label("k", &"v".repeat(63)),
            label("k", &"v".repeat(64)),
            "Too long",
        ),
        schema(KIND, marks("labels", 64), marks("labels", 65), "Too many"),
        rule(
            KIND,
            note("a", "any text: ☃\n"),
            note("keylease.dev/lease-id", "a"),
            our_notes,
        ),
        rule(
            KIND,
            note("example.com/a", ""),
            note("a b", "a"),
            valid_note,
        ),
        schema(
            KIND,
            note("a", &"v".repeat(4096)),
            note("a", &"v".repeat(4097)),
            "Too long",
        ),
        schema(
            KIND,
            marks("annotations", 64),
            marks("annotations", 65),
            "Too many",
        ),
    ]
}

fn secret_keys() -> Vec<Case> {
    let file = |key: &str, name: &str| secret(json!({"credentialsFile": {key: name}}));
    let says = "keys of a Secret have letters, digits and -_.";
    let profile = "profile has letters, digits and _.@:/+- only";
    let mut all = vec![
        rule(
            KIND,
            file("key", "aws.ini"),
            file("key", ".aws/credentials"),
            says,
        ),
        schema(
            KIND,
            file("key", "a"),
            file("key", ""),
            "should be at least 1 chars long",
        ),
        rule(
            KIND,
            file("profile", "a_b.c@d:e/f+g-h"),
            file("profile", "a]"),
            profile,
        ),
        rule(
            KIND,
            file("profile", "a"),
            file("profile", "a\naws_secret = b"),
            profile,
        ),
        schema(
            KIND,
            file("profile", "a"),
            file("profile", &"a".repeat(129)),
            "Too long",
        ),
    ];
    let distinct = "two entries of the Secret have the same name";
    let keys = |keys: Value| secret(json!({"keys": keys}));
    for (good, bad) in [
        // Names that were chosen, and the usual ones.
        (
            keys(json!({"accessKeyId": "a", "region": "b"})),
            keys(json!({"accessKeyId": "a", "region": "a"})),
        ),
        (
            keys(json!({"region": "AWS_DEFAULT_REGION"})),
            keys(json!({"region": "expiration"})),
        ),
        (
            keys(json!({"region": "r", "defaultRegion": "AWS_REGION"})),
            keys(json!({"defaultRegion": "AWS_REGION"})),
        ),
        (file("key", "AWS_DEFAULT_REGION"), file("key", "AWS_REGION")),
        (
            secret(json!({"credentialProcess": {"key": "process"}})),
            secret(json!({"credentialProcess": {"key": "credentials"}})),
        ),
        (
            secret(json!({"credentialProcess": {}})),
            secret(
                json!({"credentialProcess": {}, "keys": {"expiration": "credential_process.json"}}),
            ),
        ),
    ] {
        all.push(rule(KIND, good, bad, distinct));
    }
    for field in [
        "accessKeyId",
        "secretAccessKey",
        "region",
        "defaultRegion",
        "expiration",
        "sessionToken",
    ] {
        let key = |name: &str| secret(json!({"keys": {field: name}}));
        all.push(rule(KIND, key("a-b_c.D"), key("a/b"), says));
        all.push(schema(KIND, key("a"), key(&"a".repeat(254)), "Too long"));
        all.push(schema(
            KIND,
            key("a"),
            key(""),
            "should be at least 1 chars long",
        ));
    }
    all
}
