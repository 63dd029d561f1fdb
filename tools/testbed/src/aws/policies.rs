//! Actions on a user's policies, managed and inline.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::dispatch::{Answer, Ctx};
use super::error::AwsError;
use super::policy;
use super::state::{State, User};
use super::users::paged;
use super::xml::Xml;

const MAX_ATTACHED: usize = 10;
/// All inline policies of a user together, white space not counted.
const MAX_INLINE: usize = 2048;
const MAX_DOCUMENT: usize = 131_072;
/// A managed policy, white space not counted.
const MAX_MANAGED: usize = 6144;

/// Fails unless this managed policy exists.
pub(super) fn check_exists(state: &State, arn: &str) -> Result<(), AwsError> {
    if !arn.starts_with("arn:") || arn.len() < 20 {
        let message = format!("ARN {arn} is not valid.");
        return Err(AwsError::invalid_input(message));
    }
    if !state.policies.contains_key(arn) {
        let message = format!("Policy {arn} does not exist or is not attachable.");
        return Err(AwsError::no_such_entity(message));
    }
    Ok(())
}

pub(super) fn create_managed(ctx: &mut Ctx<'_>) -> Answer {
    let name = ctx.params.name("PolicyName", 1..=128)?;
    let document = ctx.params.require("PolicyDocument")?.to_owned();
    check_document(&document)?;
    policy::check(&document)?;
    if size(&document) > MAX_MANAGED {
        return Err(AwsError::limit("PolicySize", MAX_MANAGED));
    }
    let account = &ctx.state.account;
    let arn = format!("arn:aws:iam::{account}:policy{}{name}", ctx.params.path()?);
    if ctx.state.policies.contains_key(&arn) {
        let message =
            format!("A policy called {name} already exists. Duplicate names are not allowed.");
        return Err(AwsError::exists(message));
    }
    ctx.state.policies.insert(arn.clone(), document);
    let xml = Xml::new().leaf("PolicyName", name).leaf("Arn", &arn);
    Ok(Some(Xml::new().element("Policy", xml)))
}

pub(super) fn delete_managed(ctx: &mut Ctx<'_>) -> Answer {
    let arn = ctx.params.require("PolicyArn")?;
    check_exists(ctx.state, arn)?;
    let mut users = ctx.state.users.values();
    let mut groups = ctx.state.groups.values();
    if users.any(|u| u.attached.contains(arn)) || groups.any(|g| g.attached.contains(arn)) {
        let message = "Cannot delete a policy attached to entities.";
        return Err(AwsError::new(409, "DeleteConflict", message));
    }
    ctx.state.policies.remove(arn);
    Ok(None)
}

pub(super) fn get_managed(ctx: &mut Ctx<'_>) -> Answer {
    let arn = ctx.params.require("PolicyArn")?;
    check_exists(ctx.state, arn)?;
    let xml = Xml::new()
        .leaf("PolicyName", policy_name(arn))
        .leaf("Arn", arn)
        .leaf("DefaultVersionId", "v1")
        .leaf("IsAttachable", "true");
    Ok(Some(Xml::new().element("Policy", xml)))
}

/// One entry of a list of attached policies, by what it is sorted by.
pub(super) fn attached_policy(arn: &str) -> (String, Xml) {
    let xml = Xml::new()
        .leaf("PolicyName", policy_name(arn))
        .leaf("PolicyArn", arn);
    (arn.to_owned(), xml)
}

pub(super) fn policy_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

pub(super) fn attach(ctx: &mut Ctx<'_>) -> Answer {
    let arn = ctx.params.require("PolicyArn")?.to_owned();
    // AWS names a missing user before a missing policy.
    ctx.user_mut()?;
    check_exists(ctx.state, &arn)?;
    let user = ctx.user_mut()?;
    if user.attached.len() >= MAX_ATTACHED && !user.attached.contains(&arn) {
        return Err(AwsError::limit("PoliciesPerUser", MAX_ATTACHED));
    }
    user.attached.insert(arn);
    Ok(None)
}

pub(super) fn detach(ctx: &mut Ctx<'_>) -> Answer {
    let arn = ctx.params.require("PolicyArn")?;
    if !ctx.user_mut()?.attached.remove(arn) {
        let message = format!("Policy {arn} was not found.");
        return Err(AwsError::no_such_entity(message));
    }
    Ok(None)
}

pub(super) fn list_attached(ctx: &mut Ctx<'_>) -> Answer {
    let attached = ctx
        .readable_user()?
        .attached
        .iter()
        .map(|arn| attached_policy(arn));
    let (attached, marker) = ctx.params.page(attached)?;
    let xml = Xml::new().members("AttachedPolicies", attached);
    Ok(Some(paged(xml, marker)))
}

/// `ListEntitiesForPolicy`, as far as users go: groups and roles have none of
/// their own here.
pub(super) fn list_entities(ctx: &mut Ctx<'_>) -> Answer {
    let arn = ctx.params.require("PolicyArn")?;
    check_exists(ctx.state, arn)?;
    let prefix = ctx.params.get("PathPrefix").unwrap_or("/");
    let has = |user: &&User| user.attached.contains(arn) && user.path.starts_with(prefix);
    let users = ctx.state.users.values().filter(has).map(|user| {
        let xml = Xml::new().leaf("UserName", &user.name);
        (user.name.clone(), xml)
    });
    let (users, marker) = ctx.params.page(users)?;
    let xml = Xml::new().members("PolicyUsers", users);
    Ok(Some(paged(xml, marker)))
}

pub(super) fn put_inline(ctx: &mut Ctx<'_>) -> Answer {
    let name = ctx.params.name("PolicyName", 1..=128)?.to_owned();
    let document = ctx.params.require("PolicyDocument")?.to_owned();
    check_document(&document)?;
    let user = ctx.user_mut()?;
    let others: usize = user
        .inline
        .iter()
        .filter(|(other, _)| **other != name)
        .map(|(_, text)| size(text))
        .sum();
    if others + size(&document) > MAX_INLINE {
        let message = format!(
            "Maximum policy size of {MAX_INLINE} bytes exceeded for user {}",
            user.name
        );
        return Err(AwsError::new(409, "LimitExceeded", message));
    }
    user.inline.insert(name, document);
    Ok(None)
}

fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

/// The least that makes a policy: a JSON object with statements. What they
/// say is not looked at.
pub(super) fn check_document(document: &str) -> Result<(), AwsError> {
    if document.is_empty() || document.len() > MAX_DOCUMENT {
        let rule = format!("Member must have length between 1 and {MAX_DOCUMENT}");
        return Err(AwsError::validation("PolicyDocument", &rule));
    }
    let malformed = |message| Err(AwsError::new(400, "MalformedPolicyDocument", message));
    let Ok(policy) = serde_json::from_str::<serde_json::Value>(document) else {
        return malformed("Syntax errors in policy.");
    };
    if !policy.is_object() {
        return malformed("Syntax errors in policy.");
    }
    match policy.get("Statement") {
        Some(statement) if statement.is_object() => Ok(()),
        Some(serde_json::Value::Array(list)) if !list.is_empty() => Ok(()),
        _ => malformed("Missing required field Statement"),
    }
}

pub(super) fn get_inline(ctx: &mut Ctx<'_>) -> Answer {
    let name = ctx.params.require("PolicyName")?;
    let user = ctx.readable_user()?;
    let document = user.inline.get(name).ok_or_else(|| no_such_inline(name))?;
    let document = utf8_percent_encode(document, NON_ALPHANUMERIC).to_string();
    let xml = Xml::new()
        .leaf("UserName", &user.name)
        .leaf("PolicyName", name)
        .leaf("PolicyDocument", &document);
    Ok(Some(xml))
}

pub(super) fn delete_inline(ctx: &mut Ctx<'_>) -> Answer {
    let name = ctx.params.require("PolicyName")?;
    match ctx.user_mut()?.inline.remove(name) {
        Some(_) => Ok(None),
        None => Err(no_such_inline(name)),
    }
}

fn no_such_inline(name: &str) -> AwsError {
    AwsError::no_such_entity(format!("The user policy with name {name} cannot be found."))
}

pub(super) fn list_inline(ctx: &mut Ctx<'_>) -> Answer {
    let names = ctx.readable_user()?.inline.keys();
    let names = names.map(|name| (name.clone(), Xml::new().text(name)));
    let (names, marker) = ctx.params.page(names)?;
    let xml = Xml::new().members("PolicyNames", names);
    Ok(Some(paged(xml, marker)))
}
