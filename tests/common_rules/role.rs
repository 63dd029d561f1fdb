//! `AwsRole`.

use serde_json::{Value, json};

use super::{Case, Kind, Update, many, marks_of_users, names, rule, schema, times};

const KIND: Kind = Kind::Role;

pub fn cases() -> Vec<Case> {
    let mut all = shape();
    all.extend(policies());
    all.extend(documents());
    all.extend(groups_and_paths());
    all.extend(marks_of_users(KIND, "iamUser"));
    all.extend(ttls());
    all.extend(others());
    all.extend(namespaces());
    all.extend(secret_metadata());
    all.extend(types());
    all.extend(static_users());
    all
}

/// What cannot be changed once the role is there.
pub fn updates() -> Vec<Update> {
    let other = json!({"iamUser": null, "sessionToken": {}});
    let adopted = |name: &str, period: &str| json!({"iamUser": null, "staticUser": {"userName": name, "rotationPeriod": period}});
    vec![
        Update {
            kind: KIND,
            from: json!({}),
            good: user(json!({"groups": ["a"]})),
            bad: other,
            says: "the credential type of a role cannot be changed",
        },
        Update {
            kind: KIND,
            from: adopted("legacy", "24h"),
            good: adopted("legacy", "12h"),
            bad: adopted("another", "24h"),
            says: "the user of a staticUser role cannot be changed",
        },
    ]
}

fn static_users() -> Vec<Case> {
    let named = |name: &str| json!({"iamUser": null, "staticUser": {"userName": name}});
    let period = |period: &str| json!({"iamUser": null, "staticUser": {"userName": "a", "rotationPeriod": period}});
    let name = "userName has 1-64 letters";
    let bounds = "rotationPeriod must be a duration in h, m and s between 1m and 768h";
    vec![
        rule(KIND, named("a_b+c=d,e.f@g-h"), named("path/name"), name),
        rule(
            KIND,
            named("a"),
            named("arn:aws:iam::123456789012:user/a"),
            name,
        ),
        schema(
            KIND,
            named(&"a".repeat(64)),
            named(&"a".repeat(65)),
            "Too long",
        ),
        schema(KIND, named("a"), named(""), "at least 1 chars long"),
        rule(KIND, period("1m"), period("59s"), bounds),
        rule(KIND, period("768h"), period("769h"), bounds),
        rule(KIND, period("24h"), period("1d"), bounds),
    ]
}

/// Times, and names of other objects.
fn others() -> Vec<Case> {
    let before = |text: &str| json!({"revokeBefore": text});
    let account = |name: &str| json!({"accountRef": {"name": name}});
    let mut all = times(KIND, before, "revokeBefore must be an RFC 3339 time");
    all.extend(names(
        KIND,
        account,
        "name must be the name of a Kubernetes object",
    ));
    all
}

fn user(value: Value) -> Value {
    json!({"iamUser": value})
}

fn shape() -> Vec<Case> {
    let typed = user(json!({}));
    let account = json!({"accountRef": {"name": "default"}});
    vec![
        rule(
            KIND,
            typed,
            json!({"iamUser": null}),
            "a role takes exactly one of iamUser",
        ),
        schema(
            KIND,
            account.clone(),
            json!({"accountRef": null}),
            "accountRef: Required value",
        ),
        schema(
            KIND,
            account,
            json!({"accountRef": {"name": ""}}),
            "at least 1 chars long",
        ),
    ]
}

fn policies() -> Vec<Case> {
    let arns = |arns: &[&str]| user(json!({"policyArns": arns}));
    let managed = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    let own = "arn:aws-us-gov:iam::123456789012:policy/team/reader";
    let form = "policyArns must be ARNs of managed policies";
    let numbered: Vec<String> = (0..11).map(|n| format!("{managed}{n}")).collect();
    let numbered: Vec<&str> = numbered.iter().map(String::as_str).collect();
    let long = format!("arn:aws:iam::aws:policy/{}", "a".repeat(2048));
    vec![
        rule(
            KIND,
            arns(&[managed, own]),
            arns(&["arn:aws:iam::aws:role/ReadOnlyAccess"]),
            form,
        ),
        rule(
            KIND,
            arns(&[]),
            arns(&["arn:aws:s3:::a-bucket-of-mine"]),
            form,
        ),
        rule(
            KIND,
            arns(&[own]),
            arns(&[managed, "arn:aws:iam::1234:policy/reader"]),
            form,
        ),
        rule(
            KIND,
            arns(&[own]),
            arns(&["arn:aws:iam::aws:policy/Read Only"]),
            form,
        ),
        rule(
            KIND,
            arns(&[own]),
            arns(&["arn:aws:iam::aws:policy/ReadOnly\n"]),
            form,
        ),
        schema(
            KIND,
            arns(&[own]),
            arns(&["ReadOnlyAccess"]),
            "should be at least 20 chars long",
        ),
        schema(KIND, arns(&[own]), arns(&[&long]), "Too long"),
        schema(KIND, arns(&numbered[..10]), arns(&numbered), "Too many"),
        schema(KIND, arns(&[own]), arns(&[own, own]), "Duplicate value"),
    ]
}

fn documents() -> Vec<Case> {
    let document = |text: &str| user(json!({"policyDocument": text}));
    let statement = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let sized = |letters: usize, blanks: usize| {
        let id = "x".repeat(letters - r#"{"Id":"","Statement":[]}"#.len());
        document(&format!(
            r#"{{"Id":"{id}",{}"Statement":[]}}"#,
            " \n\t\r".repeat(blanks / 4)
        ))
    };
    let form = "policyDocument must be a JSON object";
    let quota = "more than 2,048 characters without white space";
    vec![
        rule(KIND, document(statement), document("[]"), form),
        rule(
            KIND,
            document(&format!("\n {statement} \n")),
            document("Allow *"),
            form,
        ),
        rule(KIND, document("{}"), document("{ \"Statement\": ["), form),
        // White space does not count.
        rule(KIND, sized(2048, 4000), sized(2049, 0), quota),
        schema(
            KIND,
            document("{}"),
            document(&" ".repeat(8193)),
            "Too long",
        ),
        schema(
            KIND,
            document("{}"),
            document("{"),
            "should be at least 2 chars long",
        ),
    ]
}

fn groups_and_paths() -> Vec<Case> {
    let groups = |names: &[&str]| user(json!({"groups": names}));
    let path = |path: &str| user(json!({"path": path}));
    let numbered: Vec<String> = (0..11).map(|n| format!("g{n}")).collect();
    let numbered: Vec<&str> = numbered.iter().map(String::as_str).collect();
    let says = "group names have 1-128 letters";
    let relative = "path is relative to the account's path";
    vec![
        rule(
            KIND,
            groups(&["dev_ops+=,.@-1"]),
            groups(&["dev ops"]),
            says,
        ),
        rule(KIND, groups(&["a", "b"]), groups(&["a", "team/b"]), says),
        rule(KIND, groups(&[]), groups(&["${a}"]), says),
        rule(
            KIND,
            groups(&["dev", "devs"]),
            groups(&["dev", "Dev"]),
            "two group names differ by case alone",
        ),
        schema(
            KIND,
            groups(&["a"]),
            groups(&[""]),
            "should be at least 1 chars long",
        ),
        schema(
            KIND,
            groups(&[&"g".repeat(128)]),
            groups(&[&"g".repeat(129)]),
            "Too long",
        ),
        schema(KIND, groups(&numbered[..10]), groups(&numbered), "Too many"),
        schema(KIND, groups(&["a"]), groups(&["a", "a"]), "Duplicate value"),
        rule(KIND, path("team-a/"), path("/team-a/"), relative),
        rule(KIND, path("a/b/"), path("a/b"), relative),
        rule(KIND, path(""), path("a//"), relative),
        rule(KIND, path("a/"), path("../*/"), relative),
        schema(
            KIND,
            path("a/"),
            path(&format!("{}/", "a".repeat(128))),
            "Too long",
        ),
    ]
}

fn ttls() -> Vec<Case> {
    let ttl = |default: &str, max: &str| json!({"ttl": {"default": default, "max": max}});
    let default = |text: &str| json!({"ttl": {"default": text}});
    let max = |text: &str| json!({"ttl": {"max": text}});
    let order = "ttl.default must not be longer than ttl.max";
    let of_default = "ttl.default must be a duration in h, m and s between 1s and 768h";
    let of_max = "ttl.max must be a duration in h, m and s between 1s and 768h";
    let mut all = vec![
        rule(KIND, ttl("1h", "24h"), ttl("25h", "24h"), order),
        rule(KIND, ttl("60m", "1h"), ttl("61m", "1h"), order),
        schema(KIND, default("1h"), default(&"1h".repeat(17)), "Too long"),
    ];
    for bad in [
        "0s", "0", "-5m", "769h", "876000h", "1d", "soon", "", "1h-1m", "1.5h", "PT1H",
    ] {
        all.push(rule(KIND, default("768h"), default(bad), of_default));
        all.push(rule(KIND, max("1s"), max(bad), of_max));
    }
    all
}

fn namespaces() -> Vec<Case> {
    let names = |names: &[&str]| json!({"allowedNamespaces": {"names": names}});
    let says = "allowedNamespaces.names takes names of namespaces";
    let long = "a".repeat(64);
    vec![
        rule(KIND, names(&["team-a", "b1"]), names(&["team-*"]), says),
        rule(KIND, names(&["*"]), names(&["**"]), says),
        rule(KIND, names(&[]), names(&["Team"]), says),
        rule(KIND, names(&["a"]), names(&["a", "-b"]), says),
        rule(KIND, names(&["a"]), names(&["a\n"]), says),
        schema(KIND, names(&["a"]), names(&[&long]), "Too long"),
        schema(
            KIND,
            names(&["a"]),
            names(&[""]),
            "should be at least 1 chars long",
        ),
        schema(KIND, names(&["a"]), names(&["a", "a"]), "Duplicate value"),
    ]
}

fn secret_metadata() -> Vec<Case> {
    let labels = |keys: &[&str]| json!({"allowedSecretMetadata": {"labels": keys}});
    let annotations = |keys: &[&str]| json!({"allowedSecretMetadata": {"annotations": keys}});
    let says = "allowedSecretMetadata takes keys of labels and annotations";
    vec![
        rule(
            KIND,
            labels(&["app.kubernetes.io/*"]),
            labels(&["*/x"]),
            says,
        ),
        rule(KIND, labels(&["*"]), labels(&["a b"]), says),
        rule(KIND, labels(&[]), labels(&["a\n"]), says),
        rule(KIND, annotations(&["a/b", "c"]), annotations(&["**"]), says),
    ]
}

/// The other types of credential.
fn types() -> Vec<Case> {
    let only = |field: &str, value: Value| json!({"iamUser": null, field: value});
    let one_of = "a role takes exactly one of iamUser";
    let arn = "arn:aws:iam::123456789012:role/reader";
    let assumed = |change: Value| {
        let mut role = json!({"roleArns": [arn]});
        super::merge(&mut role, &change);
        only("assumedRole", role)
    };
    let tag = |key: &str, value: &str| assumed(json!({"sessionTags": {key: value}}));
    let federated = |value: Value| only("federationToken", value);
    let token = || only("sessionToken", json!({}));
    let policies = json!({"policyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]});
    let is_role = "roleArns must be ARNs of IAM roles";
    let user_arn = json!({"roleArns": ["arn:aws:iam::123456789012:user/reader"]});
    let no_policy = "a federation token without a policy may do nothing";
    let group_names = "group names have 1-128 letters";
    vec![
        rule(KIND, token(), json!({"sessionToken": {}}), one_of),
        rule(KIND, assumed(json!({})), assumed(user_arn), is_role),
        schema(
            KIND,
            assumed(json!({})),
            assumed(json!({"roleArns": []})),
            "at least 1 items",
        ),
        rule(
            KIND,
            tag("team", "{{role}}"),
            tag("aws:team", "a"),
            "aws: and keylease.dev/ are reserved",
        ),
        rule(
            KIND,
            tag("team", "{{role}}"),
            tag("Keylease.dev/uid", "a"),
            "aws: and keylease.dev/ are reserved",
        ),
        rule(
            KIND,
            tag("team", "Zürich"),
            tag("team", "a\nb"),
            "tag values have at most 256",
        ),
        rule(
            KIND,
            assumed(json!({"sessionTags": {"team": "a", "teams": "b"}})),
            assumed(json!({"sessionTags": {"team": "a", "TEAM": "b"}})),
            "two tag keys differ by case alone",
        ),
        rule(
            KIND,
            assumed(json!({"externalId": "a:b/c=d"})),
            assumed(json!({"externalId": "a b"})),
            "externalId has 2-1224",
        ),
        rule(
            KIND,
            assumed(json!({"policyArns": ["arn:aws-eusc:iam::aws:policy/ReadOnlyAccess"]})),
            assumed(json!({"policyArns": ["arn:awsx:iam::aws:policy/ReadOnlyAccess"]})),
            "policyArns must be ARNs of managed policies",
        ),
        rule(
            KIND,
            federated(json!({"policyArns": ["arn:aws-iso-b:iam::aws:policy/ReadOnlyAccess"]})),
            federated(json!({"policyArns": ["arn:aws:iam::aws:policy/\n12345678"]})),
            "policyArns must be ARNs of managed policies",
        ),
        schema(
            KIND,
            assumed(json!({"sessionTags": many(20)})),
            assumed(json!({"sessionTags": many(21)})),
            "Too many",
        ),
        schema(
            KIND,
            assumed(json!({"externalId": "id"})),
            assumed(json!({"externalId": "i"})),
            "at least 2 chars long",
        ),
        rule(KIND, federated(policies), federated(json!({})), no_policy),
        rule(
            KIND,
            federated(json!({"groups": ["readers"]})),
            federated(json!({"groups": []})),
            no_policy,
        ),
        rule(
            KIND,
            federated(json!({"groups": ["readers"]})),
            federated(json!({"groups": ["team/readers"]})),
            group_names,
        ),
        rule(
            KIND,
            assumed(json!({"groups": ["readers"]})),
            assumed(json!({"groups": ["team/readers"]})),
            group_names,
        ),
        schema(
            KIND,
            json!({"limits": {"maxLeases": 0}}),
            json!({"limits": {"maxLeases": -1}}),
            "should be greater than or equal to 0",
        ),
    ]
}
