//! Actions on users, their tags and boundaries.

use std::collections::BTreeMap;

use super::dispatch::{Answer, Ctx};
use super::error::AwsError;
use super::policies;
use super::state::{User, fold};
use super::xml::Xml;

const MAX_TAGS: usize = 50;

pub(super) fn create(ctx: &mut Ctx<'_>) -> Answer {
    let name = ctx.params.name("UserName", 1..=64)?;
    let path = ctx.params.path()?;
    let tags = ctx.params.tags()?;
    check_tag_count(&tags)?;
    let boundary = ctx.params.get("PermissionsBoundary").map(str::to_owned);
    if let Some(arn) = &boundary {
        policies::check_exists(ctx.state, arn)?;
    }
    if ctx.state.users.contains_key(&fold(name)) {
        let message = format!("User with name {name} already exists.");
        return Err(AwsError::exists(message));
    }
    if ctx.state.users.len() >= ctx.config.max_users {
        return Err(AwsError::limit("UsersPerAccount", ctx.config.max_users));
    }
    let mut user = ctx.state.new_user(name, path, ctx.now, ctx.wall);
    user.tags = tags;
    user.boundary = boundary;
    let xml = details(&user);
    ctx.state.users.insert(fold(name), user);
    Ok(Some(Xml::new().element("User", xml)))
}

pub(super) fn get(ctx: &mut Ctx<'_>) -> Answer {
    let user = ctx.readable_user()?;
    Ok(Some(Xml::new().element("User", details(user))))
}

pub(super) fn list(ctx: &mut Ctx<'_>) -> Answer {
    let prefix = ctx.params.get("PathPrefix").unwrap_or("/");
    let users = ctx
        .state
        .users
        .iter()
        .filter(|(_, user)| user.path.starts_with(prefix) && ctx.is_readable(user))
        .map(|(key, user)| (key.clone(), summary(user)));
    let (users, marker) = ctx.params.page(users)?;
    Ok(Some(paged(Xml::new().members("Users", users), marker)))
}

/// The end of every list answer.
pub(super) fn paged(xml: Xml, marker: Option<String>) -> Xml {
    xml.leaf("IsTruncated", &marker.is_some().to_string())
        .optional("Marker", marker.as_deref())
}

pub(super) fn delete(ctx: &mut Ctx<'_>) -> Answer {
    let name = ctx.params.name("UserName", 1..=128)?;
    let user = ctx.state.user(name)?;
    if let Some(first) = blocker(user) {
        return Err(AwsError::delete_conflict(first));
    }
    ctx.state.users.remove(&fold(name));
    Ok(None)
}

/// What must go before the user can.
fn blocker(user: &User) -> Option<&'static str> {
    let blockers = [
        (!user.keys.is_empty(), "delete access keys"),
        (!user.attached.is_empty(), "detach all policies"),
        (!user.inline.is_empty(), "delete policies"),
        (!user.groups.is_empty(), "remove users from group"),
        (user.login_profile.is_some(), "delete login profile"),
    ];
    blockers
        .into_iter()
        .find_map(|(there, what)| there.then_some(what))
        .or_else(|| user.extras.first().map(|extra| extra.kind.blocker()))
}

pub(super) fn tag(ctx: &mut Ctx<'_>) -> Answer {
    let new = ctx.params.tags()?;
    let user = ctx.user_mut()?;
    let mut tags = user.tags.clone();
    tags.extend(new);
    check_tag_count(&tags)?;
    user.tags = tags;
    Ok(None)
}

pub(super) fn untag(ctx: &mut Ctx<'_>) -> Answer {
    let params = ctx.params;
    let user = ctx.user_mut()?;
    for key in params.list("TagKeys") {
        user.tags.remove(key);
    }
    Ok(None)
}

pub(super) fn list_tags(ctx: &mut Ctx<'_>) -> Answer {
    let user = ctx.readable_user()?;
    let tags = user
        .tags
        .iter()
        .map(|(key, value)| (key.clone(), tag_xml(key, value)));
    let (tags, marker) = ctx.params.page(tags)?;
    Ok(Some(paged(Xml::new().members("Tags", tags), marker)))
}

pub(super) fn put_boundary(ctx: &mut Ctx<'_>) -> Answer {
    let arn = ctx.params.require("PermissionsBoundary")?.to_owned();
    policies::check_exists(ctx.state, &arn)?;
    ctx.user_mut()?.boundary = Some(arn);
    Ok(None)
}

pub(super) fn delete_boundary(ctx: &mut Ctx<'_>) -> Answer {
    let user = ctx.user_mut()?;
    if user.boundary.take().is_none() {
        let message = format!("{} does not have a permissions boundary", user.name);
        return Err(AwsError::no_such_entity(message));
    }
    Ok(None)
}

fn check_tag_count(tags: &BTreeMap<String, String>) -> Result<(), AwsError> {
    if tags.len() > MAX_TAGS {
        return Err(AwsError::limit("TagsPerUser", MAX_TAGS));
    }
    Ok(())
}

/// What `ListUsers` tells: neither tags nor boundary.
fn summary(user: &User) -> Xml {
    Xml::new()
        .leaf("Path", &user.path)
        .leaf("UserName", &user.name)
        .leaf("UserId", &user.id)
        .leaf("Arn", &user.arn)
        .leaf("CreateDate", &date(user.created))
}

/// What `GetUser` tells. As in AWS, an empty list of tags is left out.
fn details(user: &User) -> Xml {
    let mut xml = summary(user);
    if let Some(arn) = &user.boundary {
        let boundary = Xml::new()
            .leaf("PermissionsBoundaryType", "Policy")
            .leaf("PermissionsBoundaryArn", arn);
        xml = xml.element("PermissionsBoundary", boundary);
    }
    if !user.tags.is_empty() {
        let tags = user.tags.iter().map(|(key, value)| tag_xml(key, value));
        xml = xml.members("Tags", tags);
    }
    xml
}

fn tag_xml(key: &str, value: &str) -> Xml {
    Xml::new().leaf("Key", key).leaf("Value", value)
}

/// A time as IAM writes it.
pub(super) fn date(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
