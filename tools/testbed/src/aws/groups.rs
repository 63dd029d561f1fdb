//! Actions on groups.

use super::dispatch::{Answer, Ctx};
use super::error::AwsError;
use super::users::{date, paged};
use super::xml::Xml;

const MAX_GROUPS: usize = 10;

pub(super) fn create(ctx: &mut Ctx<'_>) -> Answer {
    let name = ctx.params.name("GroupName", 1..=128)?;
    if ctx.state.groups.contains_key(name) {
        let message = format!("Group with name {name} already exists.");
        return Err(AwsError::exists(message));
    }
    ctx.state.groups.insert(name.to_owned(), ctx.wall);
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

fn xml(ctx: &Ctx<'_>, name: &str) -> Xml {
    let arn = format!("arn:aws:iam::{}:group/{name}", ctx.state.account);
    let created = ctx.state.groups.get(name).map(|created| date(*created));
    Xml::new()
        .leaf("Path", "/")
        .leaf("GroupName", name)
        .leaf("GroupId", &format!("AGPA{name}"))
        .leaf("Arn", &arn)
        .optional("CreateDate", created.as_deref())
}
