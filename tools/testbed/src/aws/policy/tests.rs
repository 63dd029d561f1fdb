//! Examples and rules from AWS's IAM User Guide (each names its page), decided
//! as AWS says that it decides.

use iam_rs::{Context, ContextValue};
use serde_json::{Value, json};

use super::{Asked, Verdict};

const CALLER: &str = "arn:aws:iam::123456789012:user/alice";
const USER: &str = "arn:aws:iam::123456789012:user";

fn decide(statements: Value, action: &str, resource: Option<&str>, context: &Context) -> Verdict {
    let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let asked = Asked {
        caller: CALLER,
        action,
        resource,
        context,
    };
    asked.by([document.as_str()])
}

fn allows(statements: Value, action: &str, resource: &str, context: &Context) -> bool {
    decide(statements, action, Some(resource), context) == Verdict::Allowed
}

/// "IAM identifiers": a wildcard in a path crosses its slashes.
#[test]
fn a_path_is_matched_with_all_that_is_under_it() {
    let statement =
        |resource: &str| json!({"Effect": "Allow", "Action": "iam:*", "Resource": resource});
    let none = Context::new();
    let pattern = format!("{USER}/division_abc/subdivision_xyz/*");
    for (resource, expected) in [
        ("/division_abc/subdivision_xyz/JaneDoe", true),
        ("/division_abc/subdivision_xyz/deeper/JaneDoe", true),
        ("/division_abc/JaneDoe", false),
        ("/JaneDoe", false),
        ("/Division_abc/subdivision_xyz/JaneDoe", false),
    ] {
        let resource = format!("{USER}{resource}");
        assert_eq!(
            allows(statement(&pattern), "iam:GetUser", &resource, &none),
            expected,
            "{resource}"
        );
    }
    // One character each.
    let marks = statement(&format!("{USER}/test?"));
    assert!(allows(
        marks.clone(),
        "iam:GetUser",
        &format!("{USER}/test1"),
        &none
    ));
    assert!(!allows(
        marks,
        "iam:GetUser",
        &format!("{USER}/test12"),
        &none
    ));
}

/// "Action": names of actions ignore case, and `NotAction` is the rest.
#[test]
fn actions_match_whatever_their_case() {
    let none = Context::new();
    let user = format!("{USER}/x");
    let one = json!({"Effect": "Allow", "Action": "IAM:listaccesskeys", "Resource": "*"});
    assert!(allows(one.clone(), "iam:ListAccessKeys", &user, &none));
    assert!(!allows(one, "iam:ListUsers", &user, &none));
    let rest = json!({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"});
    assert!(!allows(rest.clone(), "iam:GetUser", &user, &none));
    assert!(allows(
        rest,
        "sts:AssumeRole",
        "arn:aws:iam::123456789012:role/x",
        &none
    ));
}

/// "Actions, resources, and condition keys": an action without a resource type
/// is allowed by a statement about `*` only.
#[test]
fn an_action_without_resources_needs_a_star() {
    let none = Context::new();
    for (resource, expected) in [
        ("*", Verdict::Allowed),
        ("arn:aws:iam::123456789012:user/*", Verdict::NotAllowed),
        ("arn:*:iam::*:*", Verdict::NotAllowed),
    ] {
        let statement = json!({"Effect": "Allow", "Action": "iam:ListUsers", "Resource": resource});
        assert_eq!(
            decide(statement, "iam:ListUsers", None, &none),
            expected,
            "{resource}"
        );
    }
}

/// "IAM identifiers": AWS's own policies have `aws` for an account.
#[test]
fn awss_own_policies_are_resources_too() {
    let none = Context::new();
    let own = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV2";
    let action = "iam:ListEntitiesForPolicy";
    for (resource, expected) in [
        ("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantine*", true),
        ("arn:aws:iam::aws:policy/ReadOnlyAccess", false),
        ("arn:aws:iam::123456789012:policy/*", false),
    ] {
        for resource in [
            json!(resource),
            json!(["arn:aws:iam::aws:policy/x", resource]),
        ] {
            let statement = json!({"Effect": "Allow", "Action": action, "Resource": resource});
            assert_eq!(
                allows(statement, action, own, &none),
                expected,
                "{resource}"
            );
        }
    }
}

/// "Policy evaluation logic": an explicit deny wins; what nothing allows is not
/// allowed.
#[test]
fn a_deny_wins() {
    let none = Context::new();
    let both = json!([
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "iam:DeleteUser", "Resource": format!("{USER}/keep/*")},
    ]);
    let kept = format!("{USER}/keep/x");
    let verdict = decide(both.clone(), "iam:DeleteUser", Some(&kept), &none);
    assert_eq!(verdict, Verdict::DeniedExplicitly);
    assert!(allows(both.clone(), "iam:GetUser", &kept, &none));
    assert!(allows(
        both,
        "iam:DeleteUser",
        &format!("{USER}/other"),
        &none
    ));
}

fn delegated() -> Value {
    json!({
        "Sid": "CreateOrChangeOnlyWithBoundary",
        "Effect": "Allow",
        "Action": ["iam:AttachUserPolicy", "iam:CreateUser", "iam:PutUserPolicy"],
        "Resource": "*",
        "Condition": {"StringEquals": {
            "iam:PermissionsBoundary": "arn:aws:iam::123456789012:policy/XCompanyBoundaries",
        }},
    })
}

/// "Permissions boundaries for IAM entities", the example of María and Zhang.
#[test]
fn users_are_made_with_the_boundary_or_not_at_all() {
    let with = |boundary: &str| {
        let arn = format!("arn:aws:iam::123456789012:policy/{boundary}");
        Context::new().with_string("iam:PermissionsBoundary", arn)
    };
    let nikhil = format!("{USER}/Nikhil");
    let may = |context: &Context| allows(delegated(), "iam:CreateUser", &nikhil, context);
    assert!(may(&with("XCompanyBoundaries")));
    assert!(!may(&with("xcompanyboundaries")));
    assert!(!may(&with("Other")));
    assert!(
        !may(&Context::new()),
        "a key that is not there does not match"
    );
}

/// "Condition operators": names and ARNs, with and without wildcards. "ArnEquals
/// and ArnLike behave identically."
#[test]
fn operators_compare_as_documented() {
    let may = |operator: &str, pattern: Value, value: Option<&str>| {
        let statement = json!({
            "Effect": "Allow", "Action": "iam:AttachUserPolicy", "Resource": "*",
            "Condition": {operator: {"iam:PolicyARN": pattern}},
        });
        let mut context = Context::new();
        if let Some(value) = value {
            context = context.with_string("iam:PolicyARN", value);
        }
        allows(
            statement,
            "iam:AttachUserPolicy",
            &format!("{USER}/x"),
            &context,
        )
    };
    let tax = "arn:aws:iam::123456789012:policy/TAX-read";
    let pattern = json!("arn:aws:iam::123456789012:policy/TAX-*");
    for operator in ["ArnEquals", "ArnLike", "StringLike", "ArnEqualsIfExists"] {
        assert!(may(operator, pattern.clone(), Some(tax)), "{operator}");
        let other = Some("arn:aws:iam::aws:policy/ReadOnlyAccess");
        assert!(!may(operator, pattern.clone(), other), "{operator}");
    }
    // "StringEquals: exact matching, case sensitive."
    assert!(!may("StringEquals", pattern.clone(), Some(tax)));
    assert!(may("StringEquals", json!([tax, "x"]), Some(tax)));
    // Several values of a negated operator: none may match.
    assert!(!may("ArnNotLike", json!(["x", tax]), Some(tax)));
    assert!(may("ArnNotEquals", json!(["x", "y"]), Some(tax)));
    // "If the key is not present: IfExists evaluates to true", and so do the
    // negated ones.
    assert!(!may("ArnLike", pattern.clone(), None));
    assert!(may("ArnLikeIfExists", pattern.clone(), None));
    assert!(may("StringNotEquals", pattern, None));
    // "Null: true" is for a key that is not there.
    assert!(may("Null", json!("true"), None) && !may("Null", json!("true"), Some(tax)));
    assert!(may("Null", json!("false"), Some(tax)) && !may("Null", json!(false), None));
}

/// "AWS: Denies access without TLS" and the set operators on `aws:TagKeys`
/// ("Controlling access during AWS requests").
#[test]
fn booleans_and_sets() {
    let user = format!("{USER}/x");
    let secure = json!([
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": "*",
         "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    ]);
    let plain = |secure: bool| Context::new().with_boolean("aws:SecureTransport", secure);
    assert!(allows(secure.clone(), "iam:GetUser", &user, &plain(true)));
    assert!(!allows(secure, "iam:GetUser", &user, &plain(false)));

    let tags = json!({
        "Effect": "Allow", "Action": "iam:TagUser", "Resource": "*",
        "Condition": {
            "ForAllValues:StringEquals": {"aws:TagKeys": ["environment", "cost-center"]},
            "StringEquals": {"aws:RequestTag/environment": ["preprod", "production"]},
        },
    });
    let with = |keys: &[&str], environment: &str| {
        let mut context = Context::new().with_string("aws:RequestTag/environment", environment);
        let keys = keys.iter().map(|k| (*k).to_owned()).collect();
        context.insert("aws:TagKeys".into(), ContextValue::StringList(keys));
        context
    };
    let may = |context: Context| allows(tags.clone(), "iam:TagUser", &user, &context);
    assert!(may(with(&["environment"], "preprod")));
    assert!(may(with(&["environment", "cost-center"], "production")));
    assert!(!may(with(&["environment", "owner"], "production")));
    assert!(!may(with(&["environment"], "dev")));
}

/// "IAM: Allows IAM users to manage their own password, access keys…": policy
/// variables.
#[test]
fn a_variable_stands_for_the_caller() {
    let own = json!({
        "Effect": "Allow", "Action": ["iam:*AccessKey*", "iam:GetUser"],
        "Resource": "arn:aws:iam::*:user/${aws:username}",
    });
    let alice = Context::new().with_string("aws:username", "alice");
    assert!(allows(own.clone(), "iam:CreateAccessKey", CALLER, &alice));
    assert!(!allows(
        own.clone(),
        "iam:CreateAccessKey",
        &format!("{USER}/bob"),
        &alice
    ));
    assert!(!allows(own, "iam:DeleteUser", CALLER, &alice));
}

/// A document that cannot be read allows nothing, and is refused where it is
/// put.
#[test]
fn a_document_that_is_none_is_refused() {
    for bad in ["", "{}", "[]", r#"{"Statement": [{"Effect": "Maybe"}]}"#] {
        assert!(super::check(bad).is_err(), "{bad}");
    }
    let asked = Asked {
        caller: CALLER,
        action: "iam:GetUser",
        resource: Some(CALLER),
        context: &Context::new(),
    };
    assert_eq!(asked.by(["{}"]), Verdict::DeniedExplicitly);
    assert_eq!(asked.by([]), Verdict::NotAllowed);
}
