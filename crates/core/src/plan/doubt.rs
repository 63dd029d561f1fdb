//! A doubt about a live lease's user: what AWS really holds, and what to do
//! about it.
//!
//! The sweep compares what AWS tells about all users at once with what the
//! requests say. That comparison may be hours old and is never acted on; it
//! makes the one request concerned look for itself, at an inventory of its user:
//!
//! | It finds | and does |
//! | --- | --- |
//! | the key, and no other credential | nothing |
//! | another key, a password, an MFA device, an SSH key, a certificate | removes it and tells `StrayRemoved`; policies and groups let nobody in and are left |
//! | no such key, or no such user, twice [`SETTLE`] apart | tells `KeyLost` in phase `Issuing`; then the way of a lost Secret, and the lease keeps its end |

use jiff::Timestamp;

use super::effect::{Attachment, Effect};
use super::ending::when_reachable;
use super::stage::{Live, Stage};
use super::view::View;
use super::work::{Doubt, SETTLE, UserFact};
use super::{Step, live, standing, status};
use keylease_api::Lease;

/// The next step towards a settled doubt; `None` when there is none. Asked
/// only where the Secret was read, is ours, and no rotation is under way.
pub(super) fn next(view: &View, lease: &Lease, now: Timestamp) -> Option<Step> {
    // Sessions leave nothing in AWS that could be looked at, and a static user
    // may have what is not ours.
    view.intent().filter(|i| !i.adopted)?;
    let replacing = matches!(view.stage(), Stage::Replacing(_));
    // The cheaper question first: a key out of service is still on the user.
    if view.work.doubt == Doubt::Raised
        && view.secret_is_shown()
        && let Some(step) = standing::tell(view, now)
    {
        return Some(step);
    }
    let effect = match &view.work.doubt {
        // Found after all, it is replaced nevertheless: the status has told so.
        Doubt::KeyLost | Doubt::Strays(_) if replacing => {
            return Some(live::follow(view, lease, now));
        }
        Doubt::KeyLost => status::key_lost(view, now),
        Doubt::Strays(strays) if !strays.is_empty() => {
            match strays.iter().find(|s| !view.work.cleared.contains(s)) {
                Some(stray) => Effect::Clear(stray.clone()),
                None => status::strays_removed(view, strays, now),
            }
        }
        Doubt::Missed(at) if now < settled(*at) => {
            let end = view.live().map(|live| live.lease.expires_at.0);
            return Some(Step::Wait(settled(*at).min(end?)));
        }
        _ if looks(view) && view.secret_is_shown() => Effect::TakeInventory,
        _ => return None,
    };
    // While the account is out of reach the lease goes on as it is.
    let step = when_reachable(view, effect, now);
    matches!(step, Step::Do(_)).then_some(step)
}

/// Whether an inventory of the user is taken to settle a doubt, not to take the
/// user down: that one follows a closer look at whose the user is. Whoever comes after a crash finds the doubt in the phase.
pub(super) fn looks(view: &View) -> bool {
    let replacing = matches!(view.stage(), Stage::Replacing(_));
    match view.work.doubt {
        _ if view.work.user != UserFact::Unknown => false,
        Doubt::Raised | Doubt::Missed(_) => true,
        Doubt::None => replacing,
        Doubt::Strays(_) | Doubt::KeyLost => false,
    }
}

fn settled(at: Timestamp) -> Timestamp {
    at.checked_add(SETTLE).unwrap_or(at)
}

/// What an inventory of the user (`None`: there is no such user) says to a
/// doubt. That the key is gone is believed the second time.
pub(super) fn settle(view: &View, found: Option<&[Attachment]>, now: Timestamp) -> Doubt {
    let Some(Live { credential, .. }) = view.live() else {
        return Doubt::None;
    };
    let found = found.unwrap_or_default();
    let key = Attachment::Key(credential.access_key_id.clone());
    if !found.contains(&key) {
        return match view.work.doubt {
            Doubt::Missed(_) => Doubt::KeyLost,
            _ => Doubt::Missed(now),
        };
    }
    let previous = view
        .previous()
        .map(|p| Attachment::Key(p.access_key_id.clone()));
    let stray = |a: &&Attachment| a.is_credential() && **a != key && Some(*a) != previous.as_ref();
    Doubt::Strays(found.iter().filter(stray).cloned().collect())
}
