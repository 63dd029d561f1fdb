//! STS: identities and sessions.

use std::time::Duration;

use super::dispatch::{Answer, Ctx};
use super::error::AwsError;
use super::policies::check_document;
use super::state::{Key, Principal};
use super::users::date;
use super::xml::Xml;

const MINUTES_15: u64 = 900;
const HOUR: u64 = 3600;
const HOURS_12: u64 = 12 * HOUR;
const HOURS_36: u64 = 36 * HOUR;

pub(super) fn get_caller_identity(ctx: &mut Ctx<'_>) -> Answer {
    let xml = Xml::new()
        .leaf("Arn", &ctx.caller.arn)
        .leaf("UserId", &ctx.caller.id)
        .leaf("Account", &ctx.state.account);
    Ok(Some(xml))
}

/// Every role exists and trusts everybody; use a fault to refuse.
pub(super) fn assume_role(ctx: &mut Ctx<'_>) -> Answer {
    let session = ctx.params.name("RoleSessionName", 2..=64)?;
    let arn = ctx.params.require("RoleArn")?;
    let (account, role) = parse_role(arn)
        .ok_or_else(|| AwsError::new(400, "ValidationError", format!("{arn} is invalid")))?;
    let seconds = duration(ctx, HOUR, HOURS_12)?;
    if ctx.caller.is_session && seconds > HOUR {
        return Err(AwsError::new(
            400,
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit \
             for roles assumed by role chaining",
        ));
    }
    check_session_policy(ctx)?;
    let principal = Principal {
        arn: format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"),
        id: format!("{}:{session}", ctx.state.new_id("AROA")),
        user: None,
        is_session: true,
    };
    let user = Xml::new()
        .leaf("AssumedRoleId", &principal.id)
        .leaf("Arn", &principal.arn);
    let credentials = open_session(ctx, principal, seconds);
    let xml = Xml::new()
        .element("AssumedRoleUser", user)
        .element("Credentials", credentials);
    Ok(Some(xml))
}

/// Account and name of `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
fn parse_role(arn: &str) -> Option<(&str, &str)> {
    let (account, role) = arn.strip_prefix("arn:aws:iam::")?.split_once(":role/")?;
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let name = role.rsplit('/').next().filter(|name| !name.is_empty())?;
    is_account.then_some((account, name))
}

pub(super) fn get_federation_token(ctx: &mut Ctx<'_>) -> Answer {
    refuse_sessions(ctx, "GetFederationToken")?;
    let name = ctx.params.name("Name", 2..=32)?;
    let seconds = duration(ctx, HOURS_12, HOURS_36)?;
    check_session_policy(ctx)?;
    let account = &ctx.state.account;
    let principal = Principal {
        arn: format!("arn:aws:sts::{account}:federated-user/{name}"),
        id: format!("{account}:{name}"),
        user: ctx.caller.user.clone(),
        is_session: true,
    };
    let user = Xml::new()
        .leaf("FederatedUserId", &principal.id)
        .leaf("Arn", &principal.arn);
    let credentials = open_session(ctx, principal, seconds);
    let xml = Xml::new()
        .element("Credentials", credentials)
        .element("FederatedUser", user);
    Ok(Some(xml))
}

pub(super) fn get_session_token(ctx: &mut Ctx<'_>) -> Answer {
    refuse_sessions(ctx, "GetSessionToken")?;
    let seconds = duration(ctx, HOURS_12, HOURS_36)?;
    let principal = Principal {
        is_session: true,
        ..ctx.caller.clone()
    };
    let credentials = open_session(ctx, principal, seconds);
    Ok(Some(Xml::new().element("Credentials", credentials)))
}

fn refuse_sessions(ctx: &Ctx<'_>, op: &str) -> Result<(), AwsError> {
    if ctx.caller.is_session {
        let message = format!("Cannot call {op} with session credentials");
        return Err(AwsError::access_denied(message));
    }
    Ok(())
}

fn duration(ctx: &Ctx<'_>, default: u64, longest: u64) -> Result<u64, AwsError> {
    let bounds = MINUTES_15..=longest;
    ctx.params.number("DurationSeconds", default, bounds)
}

fn check_session_policy(ctx: &Ctx<'_>) -> Result<(), AwsError> {
    match ctx.params.get("Policy") {
        Some(document) => check_document(document),
        None => Ok(()),
    }
}

/// Sessions work at once and end on their own.
fn open_session(ctx: &mut Ctx<'_>, principal: Principal, seconds: u64) -> Xml {
    let lifetime = Duration::from_secs(seconds);
    let id = ctx.state.new_id("ASIA");
    let token = ctx.state.new_blob(200);
    let key = Key {
        secret: ctx.state.new_secret(),
        token: Some(token.clone()),
        principal,
        created: ctx.wall,
        born: ctx.now,
        works_from: vec![ctx.now],
        ended: None,
        expires: Some(ctx.now + lifetime),
        last_used: None,
    };
    let xml = Xml::new()
        .leaf("AccessKeyId", &id)
        .leaf("SecretAccessKey", &key.secret)
        .leaf("SessionToken", &token)
        .leaf("Expiration", &date(ctx.wall + lifetime));
    ctx.state.keys.insert(id, key);
    xml
}
