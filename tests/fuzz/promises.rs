//! What an effect must not be, whatever is true: `plan::Step`'s invariants, and
//! whose users AWS is asked to change.

use keylease_api::Credential;
use keylease_core::plan::effect::{Attachment, Effect};
use keylease_core::plan::intent::{STATIC_USER, has_finalizer, identity_tags, user_name_of};
use keylease_core::plan::secret::SecretView;
use keylease_core::plan::view::{HolderView, Seen, View};
use keylease_core::plan::work::KeysFact;

use crate::world::World;

/// Judges an effect before it is applied.
///
/// # Errors
/// The promise that it breaks.
pub fn check(effect: &Effect, view: &View, world: &World) -> Result<(), String> {
    match effect {
        Effect::PublishSecret(_) => {
            ensure!(
                view.work.held.as_ref().is_some_and(|h| h.proven),
                "an unproven key is delivered"
            );
            ensure!(
                view.secret != SecretView::Foreign,
                "somebody else's Secret is written"
            );
        }
        Effect::DeleteSecret(facts) => {
            ensure!(
                view.secret == SecretView::Ours(facts.clone()),
                "another Secret is deleted"
            );
            ensure!(
                view.seen == Seen::Direct,
                "the Secret is deleted on old news"
            );
        }
        Effect::CreateUser | Effect::Grant(_) | Effect::CreateKey => {
            ensure!(view.seen == Seen::Direct, "{} on old news", effect.name());
            ensure!(
                has_finalizer(&view.request),
                "{} without the finalizer",
                effect.name()
            );
            ensure!(
                view.intent().is_some(),
                "{} without an intent",
                effect.name()
            );
            let listed = matches!(view.work.keys, KeysFact::Known(_));
            ensure!(
                listed || *effect != Effect::CreateKey,
                "a key beside unknown ones"
            );
            changes(effect, view, world)?;
        }
        Effect::Clear(_) | Effect::DeleteUser => {
            ensure!(
                view.seen == Seen::Direct || view.gone,
                "{} on old news",
                effect.name()
            );
            changes(effect, view, world)?;
        }
        _ => {}
    }
    Ok(())
}

/// AWS is asked to change a user: it has to be the request's own, or one that
/// was lent to it.
fn changes(effect: &Effect, view: &View, world: &World) -> Result<(), String> {
    let Some(intent) = view.intent() else {
        return Err(format!("{} of nobody", effect.name()));
    };
    let (name, request) = (&intent.user_name, &*view.request);
    if *name == user_name_of(request, &view.cluster) {
        let found = world.users.get(name);
        let tags = identity_tags(request, &view.cluster);
        let has = |(k, v)| found.is_none_or(|u| u.facts.tags.get(k) == Some(v));
        let ours = tags.iter().all(has);
        // AWS refuses to make what is there. Of a lease in force the status says
        // that the user is ours, and people cannot write that.
        let safe = ours || *effect == Effect::CreateUser || view.live().is_some();
        ensure!(safe, "{effect:?} on a user with other tags");
        return Ok(());
    }
    if let Effect::Clear(Attachment::Key(id)) = effect
        && is_shown(name, id, view)
    {
        return Ok(());
    }
    let Some(lent) = lent(name, view, world) else {
        return Err(format!(
            "{effect:?} on {name}, which was not lent to the request"
        ));
    };
    match effect {
        Effect::CreateKey if lent.here => Ok(()),
        Effect::Clear(Attachment::Key(id)) if !lent.foreign.contains(id) => Ok(()),
        _ => Err(format!("{effect:?} on {name}, which stays")),
    }
}

/// Whether the status, which people cannot write, shows the key as one that the
/// request has on this static user, whoever holds it by now.
fn is_shown(name: &str, id: &str, view: &View) -> bool {
    let told = view.live().map(|live| live.credential);
    let here = |c: &Credential| c.type_ == STATIC_USER && c.user_name.as_deref() == Some(name);
    told.is_some_and(here) && view.shown_keys().any(|key| key == id)
}

/// A user that was there before.
struct Lent {
    /// It is this request that holds it, not a former one that vanished.
    here: bool,
    /// The keys of others on it.
    foreign: Vec<String>,
}

/// Whether a user was lent to the request: the role's status says so.
fn lent(name: &str, view: &View, world: &World) -> Option<Lent> {
    let role = world.role.as_ref();
    let holder = role.and_then(|r| r.status.as_ref()?.holder.as_ref());
    let holder = holder.filter(|h| h.user_name == name)?;
    let here = holder.uid == view.request.uid_str();
    let foreign = holder.foreign_keys.clone();
    (here || view.holder == HolderView::Gone).then_some(Lent { here, foreign })
}
