//! The policy's statements. Each stands for itself.

use serde_json::{Value, json};

use super::Args;
use keylease_core::plan::naming::user_name_pattern;
use keylease_core::plan::standing::QUARANTINE;

/// Calls that read one user or take from it, on users of ours. IAM authorises
/// them on the user's ARN, and on the name without a path where it finds no
/// user: both are ours.
const READ_AND_REMOVE: [&str; 19] = [
    "iam:GetUser",
    "iam:DeleteUser",
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

/// Calls that give a user of ours something. `CreateUser` with tags needs
/// `TagUser` too.
const ON_OUR_USERS: [&str; 2] = ["iam:CreateAccessKey", "iam:TagUser"];

/// Calls of the sweep, for which AWS has no resource to name.
const ON_THE_ACCOUNT: [&str; 3] = [
    "iam:ListUsers",
    "iam:GenerateCredentialReport",
    "iam:GetCredentialReport",
];

/// Calls that read the policies of a group into a session.
const ON_READ_GROUPS: [&str; 3] = [
    "iam:ListAttachedGroupPolicies",
    "iam:ListGroupPolicies",
    "iam:GetGroupPolicy",
];

/// Calls that are made on a static user, which was there before and stays.
const ON_STATIC_USERS: [&str; 5] = [
    "iam:GetUser",
    "iam:ListAttachedUserPolicies",
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

fn allow(sid: &str, actions: &[&str], resources: impl Into<Value>) -> Value {
    json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources.into()})
}

pub(super) fn policy(args: &Args) -> Value {
    let mut statements = on_users(args);
    statements.extend(on_groups(args));
    statements.extend(on_request(args));
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn iam_arn(args: &Args, resource: &str) -> String {
    format!("arn:{}:iam::{}:{resource}", args.partition, args.account_id)
}

/// What every operator needs.
fn on_users(args: &Args) -> Vec<Value> {
    let cluster = args.cluster_id.iter().map(|id| format!("{id}/"));
    let cluster: String = cluster.collect();
    let users = iam_arn(args, &format!("user{}{cluster}*", args.path));
    let absent = iam_arn(args, &format!("user/{}", user_name_pattern()));
    let bounded = |mut statement: Value| {
        if let Some(boundary) = &args.boundary {
            statement["Condition"]["StringEquals"] = json!({"iam:PermissionsBoundary": boundary});
        }
        statement
    };
    let mut attach = allow("AttachPolicies", &["iam:AttachUserPolicy"], users.clone());
    if !args.policies.is_empty() {
        attach["Condition"]["ArnEquals"] = json!({"iam:PolicyARN": args.policies});
    }
    let create = allow("CreateUsers", &["iam:CreateUser"], users.clone());
    let mut statements = vec![bounded(create), bounded(attach)];
    if args.inline {
        let inline = allow("InlinePolicies", &["iam:PutUserPolicy"], users.clone());
        statements.push(bounded(inline));
    }
    statements.extend([
        allow("ManageUsers", &ON_OUR_USERS, users.clone()),
        allow("ReadAndRemoveUsers", &READ_AND_REMOVE, vec![users, absent]),
        // A virtual device is named by who made it, not by path. AWS deletes
        // none that is on a user.
        allow(
            "RemoveVirtualMfaDevices",
            &["iam:DeleteVirtualMFADevice"],
            iam_arn(args, "mfa/*"),
        ),
        allow("CompareUsersAndKeys", &ON_THE_ACCOUNT, "*"),
        // Whom AWS put into quarantine, because a key was found in public.
        allow(
            "FindQuarantined",
            &["iam:ListEntitiesForPolicy"],
            format!("arn:{}:iam::aws:policy/{QUARANTINE}*", args.partition),
        ),
    ]);
    statements
}

/// Membership is a right on the group alone: AWS cannot confine it to the path
/// of the user. To take a user out is allowed for all groups, because others
/// may put users of ours into theirs, and such a user could not be deleted.
fn on_groups(args: &Args) -> Vec<Value> {
    let arns = |names: &[String]| -> Vec<String> {
        let names = names.iter().map(|name| format!("group/{name}"));
        names.map(|name| iam_arn(args, &name)).collect()
    };
    let any = iam_arn(args, "group/*");
    let mut statements = vec![allow("LeaveGroups", &["iam:RemoveUserFromGroup"], any)];
    if !args.groups.is_empty() {
        let join = allow("JoinGroups", &["iam:AddUserToGroup"], arns(&args.groups));
        statements.push(join);
    }
    if !args.read_groups.is_empty() {
        let read = allow("ReadGroups", &ON_READ_GROUPS, arns(&args.read_groups));
        statements.push(read);
    }
    statements
}

/// What only some operators need.
fn on_request(args: &Args) -> Vec<Value> {
    let mut statements = Vec::new();
    if !args.assumed.is_empty() {
        let actions = ["sts:AssumeRole", "sts:TagSession"];
        statements.push(allow("AssumeRoles", &actions, args.assumed.clone()));
    }
    if args.federation {
        let (partition, account) = (&args.partition, &args.account_id);
        let sessions = format!("arn:{partition}:sts::{account}:federated-user/*");
        let actions = ["sts:GetFederationToken"];
        statements.push(allow("FederationTokens", &actions, sessions));
    }
    if !args.static_users.is_empty() {
        let users = args.static_users.clone();
        statements.push(allow("StaticUsers", &ON_STATIC_USERS, users));
    }
    if let Some(user) = &args.root_user_arn {
        statements.push(allow("RotateOwnKey", &ON_ROOT_USER, user.clone()));
    }
    statements
}
