//! Actions on groups and their policies.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::dispatch::{Answer, Ctx};
use super::error::AwsError;
use super::policies::{attached_policy, check_document, check_exists};
use super::state::Group;
use super::users::{date, paged};
use super::xml::Xml;

const MAX_GROUPS: usize = 10;

pub(super) fn create(ctx: &mut Ctx<'_>) -> Answer {
    let name = ctx.params.name("GroupName", 1..=128)?;
    if ctx.state.groups.contains_key(name) {
        let message = format!("Group with name {name} already exists.");
        return Err(AwsError::exists(message));
    }
    let group = Group::new(ctx.wall);
    ctx.state.groups.insert(name.to_owned(), group);
    Ok(Some(Xml::new().element("Group", xml(ctx, name))))
}

pub(super) fn add_user(ctx: &mut Ctx<'_>) -> Answer {
    let group = existing(ctx)?;
    let user = ctx.user_mut()?;
    if user.groups.len() >= MAX_GROUPS && !user.groups.contains(&group) {
        return Err(AwsError::limit("GroupsPerUser", MAX_GROUPS));
    }
    user.groups.insert(group);
    Ok(None)
}

pub(super) fn remove_user(ctx: &mut Ctx<'_>) -> Answer {
    let group = existing(ctx)?;
    let user = ctx.user_mut()?;
    if !user.groups.remove(&group) {
        let message = format!("User {} is not in group {group}.", user.name);
        return Err(AwsError::no_such_entity(message));
    }
    Ok(None)
}

fn existing(ctx: &Ctx<'_>) -> Result<String, AwsError> {
    let name = ctx.params.name("GroupName", 1..=128)?;
    if !ctx.state.groups.contains_key(name) {
        let message = format!("The group with name {name} cannot be found.");
        return Err(AwsError::no_such_entity(message));
    }
    Ok(name.to_owned())
}

pub(super) fn list_for_user(ctx: &mut Ctx<'_>) -> Answer {
    let groups = ctx.readable_user()?.groups.iter();
    let groups = groups.map(|name| (name.clone(), xml(ctx, name)));
    let (groups, marker) = ctx.params.page(groups)?;
    Ok(Some(paged(Xml::new().members("Groups", groups), marker)))
}

pub(super) fn attach_policy(ctx: &mut Ctx<'_>) -> Answer {
    let group = existing(ctx)?;
    let arn = ctx.params.require("PolicyArn")?.to_owned();
    check_exists(ctx.state, &arn)?;
    if let Some(group) = ctx.state.groups.get_mut(&group) {
        group.attached.insert(arn);
    }
    Ok(None)
}

pub(super) fn put_policy(ctx: &mut Ctx<'_>) -> Answer {
    let group = existing(ctx)?;
    let name = ctx.params.name("PolicyName", 1..=128)?.to_owned();
    let document = ctx.params.require("PolicyDocument")?.to_owned();
    check_document(&document)?;
    if let Some(group) = ctx.state.groups.get_mut(&group) {
        group.inline.insert(name, document);
    }
    Ok(None)
}

pub(super) fn list_attached(ctx: &mut Ctx<'_>) -> Answer {
    let group = existing(ctx)?;
    let attached = ctx.state.groups[&group]
        .attached
        .iter()
        .map(|arn| attached_policy(arn));
    let (attached, marker) = ctx.params.page(attached)?;
    let xml = Xml::new().members("AttachedPolicies", attached);
    Ok(Some(paged(xml, marker)))
}

pub(super) fn list_inline(ctx: &mut Ctx<'_>) -> Answer {
    let group = existing(ctx)?;
    let names = ctx.state.groups[&group].inline.keys();
    let names = names.map(|name| (name.clone(), Xml::new().text(name)));
    let (names, marker) = ctx.params.page(names)?;
    let xml = Xml::new().members("PolicyNames", names);
    Ok(Some(paged(xml, marker)))
}

pub(super) fn get_policy(ctx: &mut Ctx<'_>) -> Answer {
    let group = existing(ctx)?;
    let name = ctx.params.require("PolicyName")?;
    let Some(document) = ctx.state.groups[&group].inline.get(name) else {
        let message = format!("The group policy with name {name} cannot be found.");
        return Err(AwsError::no_such_entity(message));
    };
    let document = utf8_percent_encode(document, NON_ALPHANUMERIC).to_string();
    let xml = Xml::new()
        .leaf("GroupName", &group)
        .leaf("PolicyName", name)
        .leaf("PolicyDocument", &document);
    Ok(Some(xml))
}

fn xml(ctx: &Ctx<'_>, name: &str) -> Xml {
    let arn = format!("arn:aws:iam::{}:group/{name}", ctx.state.account);
    let created = ctx.state.groups.get(name).map(|group| date(group.created));
    Xml::new()
        .leaf("Path", "/")
        .leaf("GroupName", name)
        .leaf("GroupId", &format!("AGPA{name}"))
        .leaf("Arn", &arn)
        .optional("CreateDate", created.as_deref())
}
