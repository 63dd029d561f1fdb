//! Whether a caller may make a call, by the policies that are on it.
//!
//! The account's own root may do everything, and so may the operator's user as
//! long as no policy was put on it ([`FakeAws::confine`](super::FakeAws::confine))
//! and sessions of roles, which have no policies here. Every other user may do
//! what its policies and its permissions boundary say, as AWS documents it.

use std::time::Duration;

use iam_rs::{Context, ContextValue};

use super::dispatch::{Ctx, Service};
use super::error::AwsError;
use super::policy::{Asked, Verdict};
use super::state::User;
use super::target::{self, Target};

/// A resource for policies, and as AWS's denial names it.
struct Resource {
    arn: Option<String>,
    shown: String,
}

/// Fails unless the caller may.
pub(super) fn authorize(ctx: &Ctx<'_>, service: Service, op: &str) -> Result<(), AwsError> {
    let Some(caller) = restricted(ctx) else {
        return Ok(());
    };
    let (Some(target), service) = (target::of(service.name(), op), service.name()) else {
        return Ok(()); // No such action, or one that needs no permission.
    };
    check(ctx, caller, &format!("{service}:{op}"), target)?;
    // What a call does besides is authorised besides.
    let tags = ctx.params.get("Tags.member.1.Key").is_some();
    match (service, op) {
        ("iam", "CreateUser") if tags => check(ctx, caller, "iam:TagUser", target),
        ("sts", "AssumeRole") if tags => check(ctx, caller, "sts:TagSession", target),
        ("sts", "AssumeRole") if ctx.params.get("SourceIdentity").is_some() => {
            check(ctx, caller, "sts:SetSourceIdentity", target)
        }
        _ => Ok(()),
    }
}

/// The user whose policies bind the caller.
fn restricted<'a>(ctx: &'a Ctx<'_>) -> Option<&'a User> {
    let user = ctx.state.user(ctx.caller.user.as_deref()?).ok()?;
    let free = user.attached.is_empty() && user.inline.is_empty() && user.boundary.is_none();
    (user.name != ctx.config.root_user || !free).then_some(user)
}

fn check(ctx: &Ctx<'_>, caller: &User, action: &str, target: Target) -> Result<(), AwsError> {
    let subject = subject(ctx, target);
    let resource = resource(ctx, target, subject);
    let context = context(ctx, caller, subject);
    let asked = Asked {
        caller: &ctx.caller.arn,
        action,
        resource: resource.arn.as_deref(),
        context: &context,
    };
    let managed = caller
        .attached
        .iter()
        .filter_map(|arn| ctx.state.policies.get(arn));
    let groups = caller
        .groups
        .iter()
        .filter_map(|name| ctx.state.groups.get(name));
    let of_groups = groups.flat_map(|group| {
        let managed = group
            .attached
            .iter()
            .filter_map(|arn| ctx.state.policies.get(arn));
        managed.chain(group.inline.values())
    });
    let all = managed.chain(caller.inline.values()).chain(of_groups);
    let boundary = caller.boundary.as_ref();
    let boundary = boundary.map(|arn| ctx.state.policies.get(arn).map(String::as_str));
    let bounds = boundary.map(|document| asked.by(document));
    let why = match (asked.by(all.map(String::as_str)), bounds) {
        (Verdict::Allowed, None | Some(Verdict::Allowed)) => return Ok(()),
        (Verdict::DeniedExplicitly, _) => {
            "with an explicit deny in an identity-based policy".into()
        }
        (_, Some(Verdict::DeniedExplicitly)) => {
            "with an explicit deny in a permissions boundary".into()
        }
        (Verdict::NotAllowed, _) => {
            format!("because no identity-based policy allows the {action} action")
        }
        (Verdict::Allowed, Some(Verdict::NotAllowed)) => {
            format!("because no permissions boundary allows the {action} action")
        }
    };
    let (caller, resource) = (&ctx.caller.arn, resource.shown);
    Err(AwsError::access_denied(format!(
        "User: {caller} is not authorized to perform: {action} on resource: {resource} {why}"
    )))
}

/// The user that the call is about, if IAM finds one: to those that decide on
/// rights the youngest are as unknown as to those that answer.
fn subject<'a>(ctx: &'a Ctx<'_>, target: Target) -> Option<&'a User> {
    let name = match target {
        Target::User => ctx.user_name().ok()?,
        Target::KeyOwner => {
            let key = ctx.state.keys.get(ctx.params.get("AccessKeyId")?)?;
            key.principal.user.clone()?
        }
        _ => return None,
    };
    let user = ctx.state.user(&name).ok()?;
    let age: Duration = ctx.now.saturating_duration_since(user.born);
    (age >= ctx.config.auth_lag).then_some(user)
}

fn resource(ctx: &Ctx<'_>, target: Target, subject: Option<&User>) -> Resource {
    let account = &ctx.state.account;
    let param = |name| ctx.params.get(name).unwrap_or_default().to_owned();
    let own = |kind: &str, name: &str| format!("arn:aws:iam::{account}:{kind}{name}");
    let arn = match target {
        Target::None => {
            let shown = own("user", ctx.params.get("PathPrefix").unwrap_or("/"));
            return Resource { arn: None, shown };
        }
        Target::User | Target::KeyOwner => match subject {
            Some(user) => user.arn.clone(),
            None => {
                let name = ctx.user_name().unwrap_or_default();
                return Resource {
                    arn: Some(own("user/", &name)),
                    shown: format!("user {name}"),
                };
            }
        },
        Target::NewUser => {
            let path = ctx.params.get("Path").unwrap_or("/");
            own("user", &format!("{path}{}", param("UserName")))
        }
        Target::Group => own("group/", &param("GroupName")),
        Target::NewMfa => own("mfa/", &param("VirtualMFADeviceName")),
        Target::Mfa => match param("SerialNumber") {
            arn if arn.starts_with("arn:") => arn,
            serial => own("mfa/", &serial),
        },
        Target::Policy => param("PolicyArn"),
        Target::NewPolicy => own("policy/", &param("PolicyName")),
        Target::Role => param("RoleArn"),
        Target::Federated => {
            format!("arn:aws:sts::{account}:federated-user/{}", param("Name"))
        }
    };
    Resource {
        arn: Some(arn.clone()),
        shown: arn,
    }
}

/// The condition keys of the call.
fn context(ctx: &Ctx<'_>, caller: &User, subject: Option<&User>) -> Context {
    let mut context = Context::new()
        .with_string("aws:PrincipalArn", &ctx.caller.arn)
        .with_string("aws:PrincipalAccount", &ctx.state.account)
        .with_string("aws:username", &caller.name)
        .with_string("aws:userid", &caller.id)
        .with_boolean("aws:SecureTransport", false);
    let asked = ctx.params.get("PermissionsBoundary").map(str::to_owned);
    let boundary = asked.or_else(|| subject.and_then(|user| user.boundary.clone()));
    for (key, value) in [
        ("iam:PermissionsBoundary", boundary.as_deref()),
        ("iam:PolicyARN", ctx.params.get("PolicyArn")),
        ("sts:ExternalId", ctx.params.get("ExternalId")),
        ("sts:RoleSessionName", ctx.params.get("RoleSessionName")),
        ("sts:SourceIdentity", ctx.params.get("SourceIdentity")),
    ] {
        if let Some(value) = value {
            context = context.with_string(key, value);
        }
    }
    let tags = ctx.params.tags().unwrap_or_default();
    if !tags.is_empty() {
        let keys = tags.keys().cloned().collect();
        context.insert("aws:TagKeys".into(), ContextValue::StringList(keys));
    }
    for (key, value) in tags {
        context = context.with_string(format!("aws:RequestTag/{key}"), value);
    }
    for (key, value) in subject.iter().flat_map(|user| &user.tags) {
        for service in ["aws", "iam"] {
            context = context.with_string(format!("{service}:ResourceTag/{key}"), value);
        }
    }
    context
}
