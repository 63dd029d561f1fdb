//! `AwsAccount`.

use serde_json::{Value, json};

use super::{Case, Kind, marks_of_users, names, rule, schema};

pub fn cases() -> Vec<Case> {
    let mut all = sign_in();
    all.extend(paths());
    let secret = |name: &str| json!({"credentials": {"secretRef": {"name": name}}});
    let says = "name must be the name of a Kubernetes object";
    all.extend(names(Kind::Account, secret, says));
    all.extend(chains());
    all.extend(rotation());
    all.extend(limits());
    all.extend(marks_of_users(Kind::Account, "iamUsers"));
    all
}

fn sign_in() -> Vec<Case> {
    let kind = Kind::Account;
    let region = |name: &str| json!({"region": name});
    let account = |id: &str| json!({"expectedAccountId": id});
    let from = |credentials: Value| json!({"credentials": credentials});
    let secret = |name: &str| from(json!({"secretRef": {"name": name}}));
    let both = from(json!({"ambient": {}, "secretRef": {"name": "aws-root"}}));
    let no_region = "region must be an AWS region name";
    let one_of = "credentials takes exactly one of ambient and secretRef";
    let no_id = "expectedAccountId must be the 12 digits";
    vec![
        rule(kind, region("eu-central-1"), region("Frankfurt"), no_region),
        rule(
            kind,
            region("us-gov-west-1"),
            region("us-east-1a"),
            no_region,
        ),
        rule(kind, region("cn-north-1"), region("us-east-1\n"), no_region),
        rule(kind, region("eusc-de-east-1"), region("us-1"), no_region),
        schema(
            kind,
            region("us-east-1"),
            region(&"a".repeat(33)),
            "Too long",
        ),
        rule(kind, from(json!({"ambient": {}})), from(json!({})), one_of),
        rule(kind, secret("aws-root"), both, one_of),
        schema(
            kind,
            secret("aws-root"),
            secret(""),
            "should be at least 1 chars long",
        ),
        schema(
            kind,
            secret(&"a".repeat(253)),
            secret(&"a".repeat(254)),
            "Too long",
        ),
        rule(
            kind,
            account("123456789012"),
            account("12345678901a"),
            no_id,
        ),
        schema(
            kind,
            account("000000000000"),
            account("12345678901"),
            "at least 12 chars long",
        ),
        schema(
            kind,
            account("000000000000"),
            account("1234567890123"),
            "Too long",
        ),
    ]
}

fn rotation() -> Vec<Case> {
    let kind = Kind::Account;
    let from = |credentials: Value, period: &str| json!({"credentials": credentials, "rootRotation": {"period": period}});
    let secret = |period: &str| from(json!({"secretRef": {"name": "aws-root"}}), period);
    let ambient = from(json!({"ambient": {}}), "720h");
    let without = json!({"rootRotation": {"period": "720h"}});
    let mut chained = secret("720h");
    let role = "arn:aws:iam::123456789012:role/keylease";
    chained["assumeRoles"] = json!([{"roleArn": role}]);
    let needs = "rootRotation needs credentials.secretRef, and no assumeRoles";
    let bounds = "period must be a duration in h, m and s between 1m and 8760h";
    vec![
        rule(kind, secret("720h"), ambient, needs),
        rule(kind, secret("720h"), without, needs),
        rule(kind, secret("720h"), chained, needs),
        rule(kind, secret("1m"), secret("59s"), bounds),
        rule(kind, secret("8760h"), secret("8760h1s"), bounds),
        rule(kind, secret("1h30m"), secret("1d"), bounds),
    ]
}

fn limits() -> Vec<Case> {
    let kind = Kind::Account;
    let users = |n: i64| json!({"limits": {"maxUsers": n}});
    let calls = |n: i64| json!({"limits": {"requestsPerSecond": n}});
    let low = "should be greater than or equal to";
    vec![
        schema(kind, users(0), users(-1), low),
        schema(kind, calls(1), calls(0), low),
        schema(
            kind,
            calls(10_000),
            calls(10_001),
            "should be less than or equal to",
        ),
    ]
}

fn paths() -> Vec<Case> {
    let kind = Kind::Account;
    let path = |path: &str| json!({"iamUsers": {"path": path}});
    let says = "path must begin and end with /";
    vec![
        rule(kind, path("/"), path("keylease/"), says),
        rule(kind, path("/keylease/"), path("/keylease"), says),
        rule(kind, path("/a/b_c.d,e=f@g+h-i/"), path("/a//b/"), says),
        rule(kind, path("/a/"), path("/a b/"), says),
        rule(kind, path("/a/"), path("/a/*/"), says),
        rule(kind, path("/a/"), path("/a/\n"), says),
        schema(
            kind,
            path("/a/"),
            path(&format!("/{}/", "a".repeat(255))),
            "Too long",
        ),
    ]
}

/// Roles that are assumed on the way in.
fn chains() -> Vec<Case> {
    let kind = Kind::Account;
    let arn = "arn:aws:iam::123456789012:role/keylease";
    let chain = |length: usize| json!({"assumeRoles": vec![json!({"roleArn": arn}); length]});
    let through = |arn: &str| json!({"assumeRoles": [{"roleArn": arn}]});
    let named = |name: &str| json!({"assumeRoles": [{"roleArn": arn, "sessionName": name}]});
    let is_role = "roleArn must be the ARN of an IAM role";
    let name = "sessionName has 2-64 letters";
    vec![
        rule(
            kind,
            chain(1),
            through("arn:aws:iam::123456789012:user/keylease"),
            is_role,
        ),
        rule(kind, named("key=lease"), named("key lease"), name),
        rule(
            kind,
            json!({"assumeRoles": [{"roleArn": arn, "externalId": "a:b"}]}),
            json!({"assumeRoles": [{"roleArn": arn, "externalId": "a\nb"}]}),
            "externalId has 2-1224",
        ),
        schema(kind, named("ab"), named("a"), "at least 2 chars long"),
        schema(kind, chain(5), chain(6), "Too many"),
    ]
}
