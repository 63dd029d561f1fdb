use serde_json::{Value, json};

use super::document::policy;
use super::parse::{iam_arn, partition, user_arn};
use super::{Args, MANAGED_POLICY};
use keylease_core::plan::naming::{ClusterId, user_name, user_name_pattern};

const USER: &str = "arn:aws:iam::123456789012:user/keylease-operator";
const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/b";
const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";

fn args() -> Args {
    Args {
        account_id: "123456789012".into(),
        path: "/keylease/".into(),
        cluster_id: None,
        partition: "aws".into(),
        boundary: None,
        policies: vec![],
        inline: false,
        groups: vec![],
        read_groups: vec![],
        assumed: vec![],
        federation: false,
        static_users: vec![],
        root_user_arn: None,
    }
}

fn statement<'a>(policy: &'a Value, sid: &str) -> Option<&'a Value> {
    let all = policy["Statement"].as_array()?;
    all.iter().find(|s| s["Sid"] == sid)
}

#[test]
fn the_operators_own_key_is_allowed_on_request_and_on_that_user_alone() {
    let policy = policy(&Args {
        root_user_arn: Some(user_arn(USER).unwrap()),
        static_users: vec![user_arn(USER).unwrap()],
        ..args()
    });
    let adopted = statement(&policy, "StaticUsers").unwrap();
    assert_eq!(adopted["Resource"], json!([USER]));
    let own = statement(&policy, "RotateOwnKey").unwrap();
    assert_eq!(own["Resource"], USER);
    assert_eq!(own["Action"].as_array().unwrap().len(), 3);
    for bad in [
        "keylease-operator",
        "arn:aws:iam::123456789012:user/*",
        "arn:aws:iam::123456789012:root",
    ] {
        assert!(user_arn(bad).is_err(), "{bad}");
    }
}

/// What is not on our path, and why it cannot be.
#[test]
fn everything_that_aws_can_confine_is_confined_to_the_path() {
    let policy = policy(&args());
    for statement in policy["Statement"].as_array().unwrap() {
        let resource = &statement["Resource"];
        let expected = match statement["Sid"].as_str().unwrap() {
            "RemoveVirtualMfaDevices" => json!("arn:aws:iam::123456789012:mfa/*"),
            "CompareUsersAndKeys" => json!("*"),
            "FindQuarantined" => json!("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantine*"),
            "LeaveGroups" => json!("arn:aws:iam::123456789012:group/*"),
            "ReadAndRemoveUsers" => json!([
                "arn:aws:iam::123456789012:user/keylease/*",
                format!(
                    "arn:aws:iam::123456789012:user/keylease-*-*-{}",
                    "?".repeat(20)
                ),
            ]),
            _ => json!("arn:aws:iam::123456789012:user/keylease/*"),
        };
        assert_eq!(*resource, expected);
    }
}

/// IAM's wildcards, as far as this pattern uses them.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.as_bytes().first() {
        None => name.is_empty(),
        Some(b'*') => (0..=name.len()).any(|n| matches(&pattern[1..], &name[n..])),
        Some(b'?') => !name.is_empty() && matches(&pattern[1..], &name[1..]),
        Some(c) => name.as_bytes().first() == Some(c) && matches(&pattern[1..], &name[1..]),
    }
}

#[test]
fn the_pathless_form_is_that_of_our_names_and_of_no_operators() {
    let pattern = user_name_pattern();
    let ours = user_name(&ClusterId("c".into()), "team", "app", "uid");
    assert!(matches(&pattern, &ours), "{ours}");
    for other in [
        "keylease-operator",
        "keylease-operator-eu-west-1",
        "keylease-root-rotation-user",
        "keylease/cluster/someone",
        "team-app-aaaaaaaaaaaaaaaaaaaa",
    ] {
        assert!(!matches(&pattern, other), "{other}");
    }
}

#[test]
fn a_boundary_binds_whatever_gives_permissions() {
    let policy = policy(&Args {
        boundary: Some(BOUNDARY.into()),
        cluster_id: Some("c1".into()),
        policies: vec![READ_ONLY.into()],
        inline: true,
        ..args()
    });
    for sid in ["CreateUsers", "AttachPolicies", "InlinePolicies"] {
        let statement = statement(&policy, sid).unwrap();
        let condition = &statement["Condition"];
        assert_eq!(
            condition["StringEquals"]["iam:PermissionsBoundary"], BOUNDARY,
            "{sid}"
        );
        assert_eq!(
            statement["Resource"],
            "arn:aws:iam::123456789012:user/keylease/c1/*"
        );
    }
    let attach = statement(&policy, "AttachPolicies").unwrap();
    assert_eq!(
        attach["Condition"]["ArnEquals"]["iam:PolicyARN"],
        json!([READ_ONLY])
    );
}

/// Otherwise `--allow-policy` would narrow nothing: an inline policy says what
/// its writer wants.
#[test]
fn inline_policies_are_printed_on_request_only_and_never_past_allowed_policies() {
    assert_eq!(statement(&policy(&args()), "InlinePolicies"), None);
    let all = policy(&args()).to_string();
    assert!(!all.contains("PutUserPolicy") && !all.contains("AddUserToGroup"));
    let mut both = Args {
        inline: true,
        policies: vec![READ_ONLY.into()],
        ..args()
    };
    assert!(both.check().unwrap_err().contains("--boundary"));
    both.boundary = Some(BOUNDARY.into());
    assert_eq!(both.check(), Ok(()));
}

#[test]
fn partitions_are_those_of_aws_present_and_future_and_arns_are_of_the_same() {
    for good in [
        "aws",
        "aws-cn",
        "aws-us-gov",
        "aws-eusc",
        "aws-iso",
        "aws-iso-b",
        "aws-iso-f",
    ] {
        assert!(partition(good).is_ok(), "{good}");
    }
    for bad in [
        "", "aw", "aws-", "awsx", "AWS", "aws-1", "aws--cn", "aws:iam", "*",
    ] {
        assert!(partition(bad).is_err(), "{bad}");
    }
    let elsewhere = Args {
        policies: vec!["arn:aws-eusc:iam::aws:policy/ReadOnlyAccess".into()],
        ..args()
    };
    assert!(
        elsewhere
            .check()
            .unwrap_err()
            .contains("--partition aws-eusc")
    );
    assert!(iam_arn("arn:aws-eusc:iam::123456789012:role/x").is_ok());
    assert!(iam_arn("arn:aws:iam::123456789012:user/x").is_err());
}

#[test]
fn the_fullest_usual_policy_fits_into_one_managed_policy() {
    let text = |kind: &str| format!("arn:aws-us-gov:iam::123456789012:{kind}/a-team/{:a<48}", "");
    let policy = policy(&Args {
        cluster_id: Some("0".repeat(36)),
        partition: "aws-us-gov".into(),
        boundary: Some(text("policy")),
        policies: vec![text("policy"); 5],
        inline: true,
        groups: vec!["a".repeat(48); 3],
        read_groups: vec!["a".repeat(48); 3],
        assumed: vec![text("role"); 5],
        static_users: vec![text("user"); 3],
        federation: true,
        root_user_arn: Some(text("user")),
        ..args()
    });
    let size = policy.to_string().len();
    assert!(size <= MANAGED_POLICY, "{size}");
}
