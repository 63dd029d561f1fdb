//! `keylease iam-policy`: what the operator needs in AWS, and no more.

use serde_json::{Value, json};

use crate::plan::account::DEFAULT_PATH;
use crate::plan::root_rotation::user_of;

/// Calls that read the policies of a group into a session.
const ON_READ_GROUPS: [&str; 3] = [
    "iam:ListAttachedGroupPolicies",
    "iam:ListGroupPolicies",
    "iam:GetGroupPolicy",
];

/// Calls that are made on a static user, which was there before and stays.
const ON_STATIC_USERS: [&str; 4] = [
    "iam:GetUser",
    "iam:ListAccessKeys",
    "iam:CreateAccessKey",
    "iam:DeleteAccessKey",
];

/// Calls that `AwsAccount.spec.rootRotation` makes on the operator's own user.
const ON_ROOT_USER: [&str; 3] = [
    "iam:ListAccessKeys",
    "iam:CreateAccessKey",
    "iam:DeleteAccessKey",
];

/// Calls that read one user or take from it. All of them can be confined to the
/// user's path.
const ON_USERS: [&str; 22] = [
    "iam:GetUser",
    "iam:ListUsers",
    "iam:DeleteUser",
    "iam:TagUser",
    "iam:CreateAccessKey",
    "iam:DeleteAccessKey",
    "iam:ListAccessKeys",
    "iam:DetachUserPolicy",
    "iam:ListAttachedUserPolicies",
    "iam:DeleteUserPolicy",
    "iam:ListUserPolicies",
    "iam:ListGroupsForUser",
    "iam:GetLoginProfile",
    "iam:DeleteLoginProfile",
    "iam:ListMFADevices",
    "iam:DeactivateMFADevice",
    "iam:ListSSHPublicKeys",
    "iam:DeleteSSHPublicKey",
    "iam:ListSigningCertificates",
    "iam:DeleteSigningCertificate",
    "iam:ListServiceSpecificCredentials",
    "iam:DeleteServiceSpecificCredential",
];

#[derive(clap::Args)]
pub(super) struct Args {
    /// The AWS account, 12 digits. Default: any.
    #[arg(long, value_name = "ID", default_value = "*", value_parser = account_id)]
    account_id: String,

    /// Path of the users, as in AwsAccount.spec.iamUsers.path.
    #[arg(long, default_value = DEFAULT_PATH, value_parser = user_path)]
    path: String,

    /// Confine the policy to one cluster: the uid of its kube-system namespace.
    #[arg(long, value_name = "UID")]
    cluster_id: Option<String>,

    /// The AWS partition.
    #[arg(long, default_value = "aws", value_parser = ["aws", "aws-cn", "aws-us-gov"])]
    partition: String,

    /// ARN of the permissions boundary that every user must carry.
    /// Without one the operator could make a user that may do more than
    /// itself; with one AWS stops it.
    #[arg(long, value_name = "ARN", value_parser = policy_arn)]
    boundary: Option<String>,

    /// ARN of a managed policy that roles may attach. Repeatable. Default: any.
    #[arg(long = "allow-policy", value_name = "ARN", value_parser = policy_arn)]
    policies: Vec<String>,

    /// Name of an IAM group that roles may use. Repeatable. Default: none,
    /// because AWS cannot confine group membership to a user path.
    #[arg(long = "allow-group", value_name = "NAME")]
    groups: Vec<String>,

    /// Name of an IAM group whose policies sessions carry (groups of assumedRole
    /// and federationToken). Repeatable. Default: none.
    #[arg(long = "read-group", value_name = "NAME")]
    read_groups: Vec<String>,

    /// ARN of an IAM role that roles of type assumedRole may hand out.
    /// Repeatable. Default: none.
    #[arg(long = "assume-role", value_name = "ARN")]
    assumed: Vec<String>,

    /// ARN of an IAM user that roles of type staticUser adopt. Repeatable.
    /// Default: none.
    #[arg(long = "static-user", value_name = "ARN", value_parser = user_arn)]
    static_users: Vec<String>,

    /// Whether roles of type federationToken are used. sessionToken needs no
    /// right.
    #[arg(long)]
    federation: bool,

    /// ARN of the IAM user that the operator itself signs in as, for
    /// AwsAccount.spec.rootRotation: lets it replace that user's access key.
    /// Default: its key is not touched.
    #[arg(long, value_name = "ARN", value_parser = user_arn)]
    root_user_arn: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), String> {
    let text = serde_json::to_string_pretty(&policy(args)).map_err(|e| e.to_string())?;
    println!("{text}");
    Ok(())
}

fn policy(args: &Args) -> Value {
    let Args {
        account_id,
        path,
        cluster_id,
        partition,
        boundary,
        policies,
        groups,
        read_groups,
        assumed,
        federation,
        static_users,
        root_user_arn,
    } = args;
    let cluster = cluster_id
        .as_ref()
        .map(|id| format!("{id}/"))
        .unwrap_or_default();
    let arn = |resource: &str| format!("arn:{partition}:iam::{account_id}:{resource}");
    let users = arn(&format!("user{path}{cluster}*"));
    let must_be_bounded = |mut statement: Value| {
        if let Some(boundary) = boundary {
            statement["Condition"]["StringEquals"] = json!({"iam:PermissionsBoundary": boundary});
        }
        statement
    };
    let mut attach = json!({
        "Sid": "AttachPolicies", "Effect": "Allow",
        "Action": "iam:AttachUserPolicy", "Resource": users,
    });
    if !policies.is_empty() {
        attach["Condition"] = json!({"ArnEquals": {"iam:PolicyARN": policies}});
    }
    let mut statements = vec![
        must_be_bounded(json!({
            "Sid": "CreateUsers", "Effect": "Allow",
            "Action": ["iam:CreateUser"], "Resource": users,
        })),
        must_be_bounded(attach),
        must_be_bounded(json!({
            "Sid": "InlinePolicies", "Effect": "Allow", "Action": "iam:PutUserPolicy", "Resource": users,
        })),
        json!({"Sid": "ManageUsers", "Effect": "Allow", "Action": ON_USERS, "Resource": users}),
        // A virtual MFA device is named by the user who made it, not by path.
        json!({
            "Sid": "RemoveVirtualMfaDevices", "Effect": "Allow",
            "Action": "iam:DeleteVirtualMFADevice", "Resource": arn("mfa/*"),
        }),
    ];
    // A report is of the whole account. Without it the sweep does not notice
    // that a key was deleted or added in AWS.
    statements.push(json!({
        "Sid": "CompareKeys", "Effect": "Allow",
        "Action": ["iam:GenerateCredentialReport", "iam:GetCredentialReport"], "Resource": "*",
    }));
    if !groups.is_empty() {
        let groups: Vec<_> = groups.iter().map(|g| arn(&format!("group/{g}"))).collect();
        statements.push(json!({
            "Sid": "GroupMembership", "Effect": "Allow",
            "Action": ["iam:AddUserToGroup", "iam:RemoveUserFromGroup"], "Resource": groups,
        }));
    }
    if !read_groups.is_empty() {
        let groups = read_groups.iter().map(|g| arn(&format!("group/{g}")));
        statements.push(json!({
            "Sid": "ReadGroups", "Effect": "Allow",
            "Action": ON_READ_GROUPS, "Resource": groups.collect::<Vec<_>>(),
        }));
    }
    if !assumed.is_empty() {
        statements.push(json!({
            "Sid": "AssumeRoles", "Effect": "Allow",
            "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": assumed,
        }));
    }
    if *federation {
        statements.push(json!({
            "Sid": "FederationTokens", "Effect": "Allow",
            "Action": ["sts:GetFederationToken", "sts:TagSession"],
            "Resource": format!("arn:{partition}:sts::{account_id}:federated-user/*"),
        }));
    }
    if !static_users.is_empty() {
        statements.push(json!({
            "Sid": "StaticUsers", "Effect": "Allow",
            "Action": ON_STATIC_USERS, "Resource": static_users,
        }));
    }
    if let Some(user) = root_user_arn {
        statements.push(json!({
            "Sid": "RotateOwnKey", "Effect": "Allow", "Action": ON_ROOT_USER, "Resource": user,
        }));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn account_id(text: &str) -> Result<String, String> {
    let ok = text == "*" || (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()));
    ok.then(|| text.to_owned())
        .ok_or_else(|| "an account id has 12 digits".to_owned())
}

fn user_path(text: &str) -> Result<String, String> {
    let ok = text.starts_with('/') && text.ends_with('/') && text.len() <= 256;
    let sane = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"/_.,=@+-".contains(&b));
    (ok && sane)
        .then(|| text.to_owned())
        .ok_or_else(|| "a path begins and ends with /, as in /keylease/".to_owned())
}

fn user_arn(text: &str) -> Result<String, String> {
    let named = user_of(text).is_some_and(|name| !name.contains('*'));
    (text.starts_with("arn:") && named)
        .then(|| text.to_owned())
        .ok_or_else(|| "a user ARN looks like arn:aws:iam::123456789012:user/name".to_owned())
}

fn policy_arn(text: &str) -> Result<String, String> {
    let ok = text.starts_with("arn:") && text.contains(":policy/");
    ok.then(|| text.to_owned())
        .ok_or_else(|| "a policy ARN looks like arn:aws:iam::123456789012:policy/name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        Args {
            account_id: "123456789012".into(),
            path: "/keylease/".into(),
            cluster_id: None,
            partition: "aws".into(),
            boundary: None,
            policies: vec![],
            groups: vec![],
            read_groups: vec![],
            assumed: vec![],
            federation: false,
            static_users: vec![],
            root_user_arn: None,
        }
    }

    #[test]
    fn the_operators_own_key_is_allowed_on_request_and_on_that_user_alone() {
        let arn = "arn:aws:iam::123456789012:user/keylease-operator";
        let policy = policy(&Args {
            root_user_arn: Some(user_arn(arn).unwrap()),
            static_users: vec![user_arn(arn).unwrap()],
            ..args()
        });
        let all = policy["Statement"].as_array().unwrap();
        let adopted = all.iter().find(|s| s["Sid"] == "StaticUsers").unwrap();
        assert_eq!(adopted["Resource"], json!([arn]));
        let own = all.iter().find(|s| s["Sid"] == "RotateOwnKey").unwrap();
        assert_eq!(own["Resource"], arn);
        assert_eq!(own["Action"].as_array().unwrap().len(), 3);
        for bad in [
            "keylease-operator",
            "arn:aws:iam::123456789012:user/*",
            "arn:aws:iam::123456789012:root",
        ] {
            assert!(user_arn(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn everything_is_confined_to_the_path() {
        let policy = policy(&args());
        for statement in policy["Statement"].as_array().unwrap() {
            let resource = statement["Resource"].as_str().unwrap();
            let apart = ["RemoveVirtualMfaDevices", "CompareKeys"];
            let apart = apart.iter().any(|sid| statement["Sid"] == *sid);
            assert!(
                apart || resource == "arn:aws:iam::123456789012:user/keylease/*",
                "{resource}"
            );
        }
    }

    #[test]
    fn a_boundary_binds_whatever_gives_permissions() {
        let boundary = "arn:aws:iam::123456789012:policy/b";
        let policy = policy(&Args {
            boundary: Some(boundary.into()),
            cluster_id: Some("c1".into()),
            policies: vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".into()],
            ..args()
        });
        for sid in ["CreateUsers", "AttachPolicies", "InlinePolicies"] {
            let all = policy["Statement"].as_array().unwrap();
            let statement = all.iter().find(|s| s["Sid"] == sid).unwrap();
            let condition = &statement["Condition"];
            assert_eq!(
                condition["StringEquals"]["iam:PermissionsBoundary"], boundary,
                "{sid}"
            );
            assert_eq!(
                statement["Resource"],
                "arn:aws:iam::123456789012:user/keylease/c1/*"
            );
        }
    }
}
