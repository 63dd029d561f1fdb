//! The resource on which AWS authorises each action (Service Authorization
//! Reference; the operator's `tests/rules/authorization.rs` compares).

/// A kind of resource, by where the call names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// No resource can be named: only statements about `*` allow it.
    None,
    /// `UserName`, else the caller.
    User,
    /// `UserName` on the `Path` asked for.
    NewUser,
    /// The user of `AccessKeyId`.
    KeyOwner,
    /// `GroupName`. Membership too is a right on the group alone.
    Group,
    /// `SerialNumber`.
    Mfa,
    /// `VirtualMFADeviceName`.
    NewMfa,
    /// `PolicyArn`.
    Policy,
    /// `PolicyName`.
    NewPolicy,
    /// `RoleArn`.
    Role,
    /// `Name` of a federated user.
    Federated,
}

const TARGETS: &[(Target, &[&str])] = &[
    (
        Target::None,
        &[
            "iam:ListUsers",
            "iam:GenerateCredentialReport",
            "iam:GetCredentialReport",
        ],
    ),
    (Target::NewUser, &["iam:CreateUser"]),
    (Target::KeyOwner, &["iam:GetAccessKeyLastUsed"]),
    (
        Target::User,
        &[
            "iam:GetUser",
            "iam:DeleteUser",
            "iam:TagUser",
            "iam:UntagUser",
            "iam:ListUserTags",
            "iam:PutUserPermissionsBoundary",
            "iam:DeleteUserPermissionsBoundary",
            "iam:CreateAccessKey",
            "iam:DeleteAccessKey",
            "iam:UpdateAccessKey",
            "iam:ListAccessKeys",
            "iam:AttachUserPolicy",
            "iam:DetachUserPolicy",
            "iam:ListAttachedUserPolicies",
            "iam:PutUserPolicy",
            "iam:GetUserPolicy",
            "iam:DeleteUserPolicy",
            "iam:ListUserPolicies",
            "iam:ListGroupsForUser",
            "iam:CreateLoginProfile",
            "iam:GetLoginProfile",
            "iam:DeleteLoginProfile",
            "iam:EnableMFADevice",
            "iam:DeactivateMFADevice",
            "iam:ListMFADevices",
            "iam:UploadSSHPublicKey",
            "iam:ListSSHPublicKeys",
            "iam:DeleteSSHPublicKey",
            "iam:UploadSigningCertificate",
            "iam:ListSigningCertificates",
            "iam:DeleteSigningCertificate",
            "iam:CreateServiceSpecificCredential",
            "iam:ListServiceSpecificCredentials",
            "iam:DeleteServiceSpecificCredential",
        ],
    ),
    (
        Target::Group,
        &[
            "iam:CreateGroup",
            "iam:AddUserToGroup",
            "iam:RemoveUserFromGroup",
            "iam:AttachGroupPolicy",
            "iam:PutGroupPolicy",
            "iam:ListAttachedGroupPolicies",
            "iam:ListGroupPolicies",
            "iam:GetGroupPolicy",
        ],
    ),
    (Target::Mfa, &["iam:DeleteVirtualMFADevice"]),
    (Target::NewMfa, &["iam:CreateVirtualMFADevice"]),
    (
        Target::Policy,
        &[
            "iam:GetPolicy",
            "iam:DeletePolicy",
            "iam:ListEntitiesForPolicy",
        ],
    ),
    (Target::NewPolicy, &["iam:CreatePolicy"]),
    (Target::Role, &["sts:AssumeRole"]),
    (Target::Federated, &["sts:GetFederationToken"]),
];

/// What an action is authorised on. `None` for one that is not here, and for
/// `GetCallerIdentity` and `GetSessionToken`, which need no permission.
pub(super) fn of(service: &str, op: &str) -> Option<Target> {
    let is_it = |action: &&str| action.split_once(':') == Some((service, op));
    let found = TARGETS
        .iter()
        .find(|(_, actions)| actions.iter().any(is_it));
    found.map(|(target, _)| *target)
}

/// Every action that is authorised here, and the kind of its resource.
pub(super) fn all() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    TARGETS.iter().flat_map(|(target, actions)| {
        let kind = target.kind();
        actions.iter().map(move |action| (*action, kind))
    })
}

impl Target {
    /// The resource type, as the Service Authorization Reference calls it.
    fn kind(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::User | Self::NewUser | Self::KeyOwner => Some("user"),
            Self::Group => Some("group"),
            Self::Mfa | Self::NewMfa => Some("mfa"),
            Self::Policy | Self::NewPolicy => Some("policy"),
            Self::Role => Some("role"),
            Self::Federated => Some("federated-user"),
        }
    }
}
