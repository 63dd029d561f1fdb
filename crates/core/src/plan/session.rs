//! From nothing to a Secret with a session: one STS call, and nothing that
//! would have to be taken back. No finalizer, no intent.

use jiff::Timestamp;

use super::effect::Effect;
use super::issue;
use super::lease::{Term, truncate};
use super::secret::SecretView;
use super::session_spec::SessionSpec;
use super::view::View;
use super::work::{Held, SecretGate};
use super::{Look, Step, status};

/// One session, into the Secret.
pub(super) fn issue(view: &View, spec: &SessionSpec, now: Timestamp) -> Step {
    if view.secret == SecretView::Foreign {
        return issue::refuse(view, &issue::conflict(view), now);
    }
    match view.work.secret {
        SecretGate::MustLook => return Step::Look(Look::Secret),
        SecretGate::Unchecked => return Step::Do(Effect::CheckSecret),
        SecretGate::Clear => {}
    }
    let shown = view
        .live()
        .map(|live| live.credential.access_key_id.as_str());
    if let SecretView::Ours(facts) = &view.secret
        && let Some((id, term)) = &facts.key
        && Some(id.as_str()) != shown
        && now < term.expires_at
    {
        return issue::published(view, id, || {
            status::session_issued(view, spec, id, term, now)
        });
    }
    // One that ended before its status could be written helps nobody.
    let lives = |held: &&Held| held.expires.is_none_or(|end| now < end);
    match view.in_hand().filter(lives) {
        Some(held) => {
            let issued_at = truncate(now);
            let expires_at = truncate(held.expires.unwrap_or(now));
            Step::Do(Effect::PublishSecret(Term {
                issued_at,
                expires_at,
                // AWS ends a session by itself; there is nothing to renew.
                max_expires_at: expires_at,
            }))
        }
        None => ask(view, spec, now),
    }
}

/// The call, once the groups whose policies it carries are read.
fn ask(view: &View, spec: &SessionSpec, now: Timestamp) -> Step {
    let read = &view.work.groups;
    if let Some(group) = spec.groups.iter().find(|g| !read.contains_key(*g)) {
        return Step::Do(Effect::ReadGroup(group.clone()));
    }
    match spec.clone().with_groups(read) {
        Ok(spec) => Step::Do(Effect::IssueSession(Box::new(spec))),
        Err(verdict) => issue::refuse(view, &verdict, now),
    }
}
