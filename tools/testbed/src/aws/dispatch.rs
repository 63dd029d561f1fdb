//! Which code answers which action.

use std::time::Instant;

use jiff::Timestamp;

use super::config::FakeConfig;
use super::error::AwsError;
use super::extras::{self, Kind};
use super::params::Params;
use super::state::{Principal, State, User};
use super::xml::Xml;
use super::{groups, keys, policies, report, sts, users};

/// A service, as the `Version` parameter tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Iam,
    Sts,
}

impl Service {
    pub(super) fn of_version(version: &str) -> Option<Self> {
        match version {
            "2010-05-08" => Some(Self::Iam),
            "2011-06-15" => Some(Self::Sts),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    pub(super) fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

/// What an action works on.
pub(super) struct Ctx<'a> {
    pub(super) state: &'a mut State,
    pub(super) config: &'a FakeConfig,
    pub(super) params: &'a Params,
    pub(super) caller: &'a Principal,
    pub(super) now: Instant,
    pub(super) wall: Timestamp,
}

impl Ctx<'_> {
    /// The user that the call is about: `UserName`, else the caller.
    pub(super) fn user_name(&self) -> Result<String, AwsError> {
        match (self.params.get("UserName"), &self.caller.user) {
            (Some(_), _) => Ok(self.params.name("UserName", 1..=128)?.to_owned()),
            (None, Some(user)) if !self.caller.is_session => Ok(user.clone()),
            _ => Err(AwsError::validation(
                "UserName",
                "Must specify userName when calling with non-User credentials",
            )),
        }
    }

    /// That user, for a call that changes it.
    pub(super) fn user_mut(&mut self) -> Result<&mut User, AwsError> {
        let name = self.user_name()?;
        self.state.user_mut(&name)
    }

    /// That user, for a call that reads: too young ones are not seen.
    pub(super) fn readable_user(&self) -> Result<&User, AwsError> {
        let name = self.user_name()?;
        let user = self.state.user(&name)?;
        if self.is_readable(user) {
            Ok(user)
        } else {
            Err(AwsError::no_such_user(&name))
        }
    }

    pub(super) fn is_readable(&self, user: &User) -> bool {
        self.now.saturating_duration_since(user.born) >= self.config.read_lag
    }
}

/// `None`: the action has no result element.
pub(super) type Answer = Result<Option<Xml>, AwsError>;

type Handler = fn(&mut Ctx<'_>) -> Answer;

const IAM: &[(&str, Handler)] = &[
    ("CreateUser", users::create),
    ("GetUser", users::get),
    ("ListUsers", users::list),
    ("DeleteUser", users::delete),
    ("TagUser", users::tag),
    ("UntagUser", users::untag),
    ("ListUserTags", users::list_tags),
    ("PutUserPermissionsBoundary", users::put_boundary),
    ("DeleteUserPermissionsBoundary", users::delete_boundary),
    ("GenerateCredentialReport", report::generate),
    ("GetCredentialReport", report::get),
    ("CreateAccessKey", keys::create),
    ("DeleteAccessKey", keys::delete),
    ("UpdateAccessKey", keys::update),
    ("ListAccessKeys", keys::list),
    ("GetAccessKeyLastUsed", keys::last_used),
    ("GetPolicy", policies::get_managed),
    ("CreatePolicy", policies::create_managed),
    ("DeletePolicy", policies::delete_managed),
    ("AttachUserPolicy", policies::attach),
    ("DetachUserPolicy", policies::detach),
    ("ListAttachedUserPolicies", policies::list_attached),
    ("ListEntitiesForPolicy", policies::list_entities),
    ("PutUserPolicy", policies::put_inline),
    ("GetUserPolicy", policies::get_inline),
    ("DeleteUserPolicy", policies::delete_inline),
    ("ListUserPolicies", policies::list_inline),
    ("CreateGroup", groups::create),
    ("AddUserToGroup", groups::add_user),
    ("RemoveUserFromGroup", groups::remove_user),
    ("ListGroupsForUser", groups::list_for_user),
    ("AttachGroupPolicy", groups::attach_policy),
    ("PutGroupPolicy", groups::put_policy),
    ("ListAttachedGroupPolicies", groups::list_attached),
    ("ListGroupPolicies", groups::list_inline),
    ("GetGroupPolicy", groups::get_policy),
    ("CreateLoginProfile", extras::create_login_profile),
    ("GetLoginProfile", extras::get_login_profile),
    ("DeleteLoginProfile", extras::delete_login_profile),
    ("CreateVirtualMFADevice", extras::create_virtual_mfa),
    ("DeleteVirtualMFADevice", extras::delete_virtual_mfa),
    ("EnableMFADevice", extras::enable_mfa),
    ("DeactivateMFADevice", |ctx| extras::delete(ctx, Kind::Mfa)),
    ("ListMFADevices", |ctx| extras::list(ctx, Kind::Mfa)),
    ("UploadSSHPublicKey", |ctx| extras::add(ctx, Kind::SshKey)),
    ("ListSSHPublicKeys", |ctx| extras::list(ctx, Kind::SshKey)),
    ("DeleteSSHPublicKey", |ctx| {
        extras::delete(ctx, Kind::SshKey)
    }),
    ("UploadSigningCertificate", |ctx| {
        extras::add(ctx, Kind::Certificate)
    }),
    ("ListSigningCertificates", |ctx| {
        extras::list(ctx, Kind::Certificate)
    }),
    ("DeleteSigningCertificate", |ctx| {
        extras::delete(ctx, Kind::Certificate)
    }),
    ("CreateServiceSpecificCredential", |ctx| {
        extras::add(ctx, Kind::ServiceCredential)
    }),
    ("ListServiceSpecificCredentials", |ctx| {
        extras::list(ctx, Kind::ServiceCredential)
    }),
    ("DeleteServiceSpecificCredential", |ctx| {
        extras::delete(ctx, Kind::ServiceCredential)
    }),
];

const STS: &[(&str, Handler)] = &[
    ("GetCallerIdentity", sts::get_caller_identity),
    ("AssumeRole", sts::assume_role),
    ("GetFederationToken", sts::get_federation_token),
    ("GetSessionToken", sts::get_session_token),
];

/// Runs one action.
pub(super) fn run(service: Service, op: &str, ctx: &mut Ctx<'_>) -> Answer {
    let actions = match service {
        Service::Iam => IAM,
        Service::Sts => STS,
    };
    let found = actions.iter().find(|(name, _)| *name == op);
    let (_, handler) = found.ok_or_else(|| {
        let message = format!("Could not find operation {op} for this version");
        AwsError::new(400, "InvalidAction", message)
    })?;
    handler(ctx)
}
