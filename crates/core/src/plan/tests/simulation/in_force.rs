//! A lease in force ends by its end, its revocation or its deletion, and by
//! nothing else: what must be true of each call on one, at the moment at which
//! it takes effect.

use jiff::{SignedDuration, Timestamp};

use super::roles::Kind;
use super::sim::Sim;
use crate::plan::effect::{Attachment, Effect};
use crate::plan::intent::Permission;
use crate::plan::mark;
use crate::plan::view::View;
use keylease_api::{AwsCredentialRequest, AwsCredentialRequestStatus, Credential, Lease, Phase};

/// How long after a lease began a decision that was made before it may still
/// arrive: its status may be written by a process that is dead by then, while
/// the next one takes back what does not agree with role and request any more.
const IN_FLIGHT: SignedDuration = SignedDuration::from_secs(60);
/// From when on after the healing all is as it should be: longer than any pause,
/// election, lag or sleep.
const CONVALESCENCE: SignedDuration = SignedDuration::from_mins(6);
/// How late a key may go then.
const LATE: SignedDuration = SignedDuration::from_secs(100);

/// A lease that the status shows, and nobody takes down.
struct Shown<'a> {
    request: &'a AwsCredentialRequest,
    status: &'a AwsCredentialRequestStatus,
    lease: &'a Lease,
    credential: &'a Credential,
    /// Its Secret is its own, and holds its key.
    delivered: bool,
}

impl<'a> Shown<'a> {
    fn of(sim: &'a Sim, view: &View) -> Option<Self> {
        let name = view.request.metadata.name.as_deref()?;
        let request = sim.cluster.request(name)?;
        let status = request.status.as_ref()?;
        let (lease, credential) = (status.lease.as_ref()?, status.credential.as_ref()?);
        let runs = matches!(status.phase, Some(Phase::Ready | Phase::Rotating))
            && request.metadata.deletion_timestamp.is_none()
            && request.uid_str() == view.request.uid_str()
            && !is_revoked(sim, request, lease);
        let secret = sim.cluster.secret(name);
        let delivered = secret.is_some_and(|secret| {
            let key = secret.key.as_ref().map(|(id, _)| id);
            secret.owner == request.uid_str() && key == Some(&credential.access_key_id)
        });
        runs.then_some(Self {
            request,
            status,
            lease,
            credential,
            delivered,
        })
    }

    /// Whether AWS holds its key.
    fn works(&self, sim: &Sim) -> bool {
        let key = Attachment::Key(self.credential.access_key_id.clone());
        let user = self.credential.user_name.as_ref();
        let user = user.and_then(|name| sim.iam.users.get(name));
        user.is_some_and(|user| user.on_it.contains_key(&key))
    }
}

/// Whether its role has revoked it, in a way that nothing has to tell first: by
/// its mark; or by its spec or its going, where AWS keeps nothing of the lease.
fn is_revoked(sim: &Sim, request: &AwsCredentialRequest, lease: &Lease) -> bool {
    let role = sim.cluster.role(&request.spec.role_ref.name);
    let sessions = Kind::of(request) == Kind::Sessions;
    role.map_or(sessions, |role| {
        let before = mark::before(role).filter(|_| sessions);
        mark::covers(role, lease) || before.is_some_and(|before| lease.issued_at.0 < before)
    })
}

/// What is wrong with the call, if something is.
pub(super) fn before(sim: &Sim, view: &View, effect: &Effect) -> Option<String> {
    let shown = Shown::of(sim, view)?;
    let id = &shown.credential.access_key_id;
    match effect {
        Effect::Clear(Attachment::Key(key)) if key == id => takes(sim, &shown).or_else(|| {
            let over = shown.lease.expires_at.0;
            late(sim, over).then(|| format!("{id} is deleted late"))
        }),
        Effect::Clear(Attachment::Key(key)) => {
            let previous = shown.status.previous.as_ref();
            let over = previous.filter(|p| p.access_key_id == *key)?.remove_at.0;
            late(sim, over).then(|| format!("{key} is deleted late after its overlap"))
        }
        Effect::Clear(what) => {
            let told = shown.credential.permissions.iter();
            let mut told = told.map(|p| Attachment::from(&Permission::from(p.as_str())));
            let has = told.any(|told| told == *what);
            takes(sim, &shown).filter(|_| has && runs(sim, shown.lease))
        }
        Effect::DeleteSecret(_) | Effect::DeleteUser => takes(sim, &shown),
        Effect::AmendSecret(_) => renews(sim, &shown),
        _ => None,
    }
}

fn runs(sim: &Sim, lease: &Lease) -> bool {
    lease.issued_at.0 + IN_FLIGHT < sim.wall() && sim.wall() < lease.expires_at.0
}

/// A key that works, that its lease shows and its Secret holds, is let live; and
/// where another follows it, it has been followed by its end.
fn takes(sim: &Sim, shown: &Shown<'_>) -> Option<String> {
    let id = &shown.credential.access_key_id;
    let sessions = Kind::of(shown.request) == Kind::Sessions;
    if !shown.delivered || !(sessions || shown.works(sim)) {
        return None;
    }
    if runs(sim, shown.lease) {
        return Some(format!("{id} is taken down while its lease runs"));
    }
    lapses(sim, shown).then(|| format!("{id} lapses, and nothing stood in the way of its next"))
}

/// Whether a lease comes to its end that another one was to follow, and could.
fn lapses(sim: &Sim, shown: &Shown<'_>) -> bool {
    let spec = &shown.request.spec;
    let role = sim.cluster.role(&spec.role_ref.name);
    let wants =
        spec.on_expiry == Some(keylease_api::OnExpiry::Rotate) && spec.unreadable.is_empty();
    // Somebody else's key may leave no room for another.
    let has_room = Kind::of(shown.request) != Kind::Static;
    wants && has_room && role.is_some() && in_peace(sim, shown.lease.expires_at.0)
}

fn late(sim: &Sim, over: Timestamp) -> bool {
    sim.wall() > over + LATE && sim.healed.is_some_and(|at| over > at + CONVALESCENCE)
}

/// Whether all has been well for a while, STS included.
fn in_peace(sim: &Sim, then: Timestamp) -> bool {
    let well = sim.healed.map(|at| at.max(sim.weather.sts_back));
    well.is_some_and(|at| then > at + CONVALESCENCE)
}

/// A role that does not let the namespace have leases any more renews none.
fn renews(sim: &Sim, shown: &Shown<'_>) -> Option<String> {
    let past = sim.cluster.roles.get(&shown.request.spec.role_ref.name)?;
    let closed = past.now()?.spec.allowed_namespaces.is_none();
    let long_since = past.since()? + IN_FLIGHT < sim.now;
    (closed && long_since).then(|| "it is renewed by a role that is closed to it".to_owned())
}
