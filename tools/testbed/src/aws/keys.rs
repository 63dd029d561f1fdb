//! Actions on access keys.

use std::time::Duration;

use super::dispatch::{Answer, Ctx};
use super::error::AwsError;
use super::state::{Key, User};
use super::users::{date, paged};
use super::xml::Xml;

const MAX_KEYS: usize = 2;

/// With `non_atomic_key_limit`, the limit does not see younger keys.
const LIMIT_BLIND: Duration = Duration::from_secs(1);

pub(super) fn create(ctx: &mut Ctx<'_>) -> Answer {
    let name = ctx.user_name()?;
    if counted_keys(ctx, ctx.state.user(&name)?) >= MAX_KEYS {
        return Err(AwsError::limit("AccessKeysPerUser", MAX_KEYS));
    }
    let id = ctx.state.new_id("AKIA");
    let secret = ctx.state.new_secret();
    let works_from = ctx.state.draw_delays(ctx.config.key_delay, ctx.now);
    let user = ctx.state.user_mut(&name)?;
    user.keys.push(id.clone());
    let key = Key::of_user(user, secret, works_from, ctx.now, ctx.wall);
    let xml = Xml::new()
        .leaf("UserName", &user.name)
        .leaf("AccessKeyId", &id)
        .leaf("Status", "Active")
        .leaf("SecretAccessKey", &key.secret)
        .leaf("CreateDate", &date(ctx.wall));
    ctx.state.keys.insert(id, key);
    Ok(Some(Xml::new().element("AccessKey", xml)))
}

fn counted_keys(ctx: &Ctx<'_>, user: &User) -> usize {
    let blind = if ctx.config.non_atomic_key_limit {
        LIMIT_BLIND
    } else {
        Duration::ZERO
    };
    user.keys
        .iter()
        .filter(|id| is_older(ctx, id, blind))
        .count()
}

fn is_older(ctx: &Ctx<'_>, id: &str, age: Duration) -> bool {
    ctx.state
        .keys
        .get(id)
        .is_some_and(|key| ctx.now.saturating_duration_since(key.born) >= age)
}

pub(super) fn delete(ctx: &mut Ctx<'_>) -> Answer {
    let (now, id) = (ctx.now, ctx.params.require("AccessKeyId")?.to_owned());
    own_key(ctx, &id)?.ended.get_or_insert(now);
    ctx.user_mut()?.keys.retain(|other| *other != id);
    Ok(None)
}

pub(super) fn update(ctx: &mut Ctx<'_>) -> Answer {
    let (now, id) = (ctx.now, ctx.params.require("AccessKeyId")?.to_owned());
    let active = match ctx.params.require("Status")? {
        "Active" => true,
        "Inactive" => false,
        _ => {
            return Err(AwsError::validation(
                "Status",
                "Member must satisfy enum value set: [Active, Inactive]",
            ));
        }
    };
    let key = own_key(ctx, &id)?;
    if active {
        key.ended = None;
    } else {
        key.ended.get_or_insert(now);
    }
    Ok(None)
}

/// The key, if it is one of the user's that the call names.
fn own_key<'a>(ctx: &'a mut Ctx<'_>, id: &str) -> Result<&'a mut Key, AwsError> {
    let name = ctx.user_name()?;
    let owned = ctx.state.user(&name)?.keys.iter().any(|own| own == id);
    ctx.state
        .keys
        .get_mut(id)
        .filter(|_| owned)
        .ok_or_else(|| no_such_key(id))
}

fn no_such_key(id: &str) -> AwsError {
    AwsError::no_such_entity(format!("The Access Key with id {id} cannot be found."))
}

pub(super) fn list(ctx: &mut Ctx<'_>) -> Answer {
    let user = ctx.readable_user()?;
    let mut keys: Vec<(String, Xml)> = user
        .keys
        .iter()
        .filter(|id| is_older(ctx, id, ctx.config.key_read_lag))
        .filter_map(|id| Some((id, ctx.state.keys.get(id)?)))
        .map(|(id, key)| (id.clone(), metadata(user, id, key)))
        .collect();
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    let (keys, marker) = ctx.params.page(keys.into_iter())?;
    let xml = Xml::new().members("AccessKeyMetadata", keys);
    Ok(Some(paged(xml, marker)))
}

fn metadata(user: &User, id: &str, key: &Key) -> Xml {
    Xml::new()
        .leaf("UserName", &user.name)
        .leaf("AccessKeyId", id)
        .leaf("Status", key.status())
        .leaf("CreateDate", &date(key.created))
}

pub(super) fn last_used(ctx: &mut Ctx<'_>) -> Answer {
    let id = ctx.params.require("AccessKeyId")?;
    let key = ctx.state.keys.get(id).ok_or_else(|| no_such_key(id))?;
    let used = match &key.last_used {
        None => Xml::new().leaf("ServiceName", "N/A").leaf("Region", "N/A"),
        Some((at, region, service)) => Xml::new()
            .leaf("LastUsedDate", &date(*at))
            .leaf("ServiceName", service)
            .leaf("Region", region),
    };
    let xml = Xml::new()
        .optional("UserName", key.principal.user.as_deref())
        .element("AccessKeyLastUsed", used);
    Ok(Some(xml))
}
