//! The Secret: how one of ours is told from any other.

mod amended;
mod edits;
mod key_names;
mod rendered;

pub use amended::{amendment, entry_with_end, key_in_process};
pub use edits::{key_in, remark};
pub use key_names::check_template;
pub use rendered::render;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::lease::Term;
use keylease_api::AwsCredentialRequest;

/// Label and value on every Secret of ours: what the watch selects by. It
/// gives no right to anything: ownership is the controller reference's uid.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "keylease");
/// Annotation with the id of the key that the Secret holds.
pub const KEY_ID: &str = "keylease.dev/access-key-id";
const LEASE_ID: &str = "keylease.dev/lease-id";
const ISSUED_AT: &str = "keylease.dev/issued-at";
const EXPIRES_AT: &str = "keylease.dev/expires-at";
const RENEWED_FOR: &str = "keylease.dev/renewed-for";
/// Annotation with the names of our entries in the data.
pub const ENTRIES: &str = "keylease.dev/entries";
/// Annotation with how often in a row the Secret was restored after an edit.
pub const RESTORED: &str = "keylease.dev/restored";
const MAX_EXPIRES_AT: &str = "keylease.dev/max-expires-at";

/// Least time for which a Secret stands before an edit of it is made good.
const RESTORE_PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// The most.
const LONGEST_RESTORE_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// A Secret that stood for so long was not edited again and again.
const A_LONG_TIME: SignedDuration = SignedDuration::from_hours(24);

/// A Secret, as far as decisions need it. Never its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretView {
    /// Not read in this reconcile.
    Unread,
    /// No Secret of that name.
    Absent,
    /// The request is its controller owner, by uid.
    Ours(SecretFacts),
    /// Somebody else's. Never touched.
    Foreign,
}

/// What a Secret of ours says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// Its own uid, for deletes that hit this very object.
    pub uid: String,
    /// Its version, for writes that hit this very state.
    pub resource_version: String,
    /// The id of the key it holds, and the lease it was written for. `None`
    /// when somebody edited the annotations away, or the data.
    pub key: Option<(String, Term)>,
    /// When it was made: what was edited is made again.
    pub written: Option<Timestamp>,
    /// How often in a row it was restored, before this one.
    pub restored: u32,
    /// It may be written in place; else it is deleted and made again.
    pub in_place: bool,
    /// Somebody made it immutable.
    pub immutable: bool,
    /// What others did to it that is left so, for people.
    pub remark: Option<String>,
    /// The renewal that was written into it last.
    pub renewed_for: Option<Timestamp>,
}

impl SecretFacts {
    /// When an edit may be made good: a minute after the Secret was made, and
    /// each time in a row twice as long, up to an hour. Whoever edits it again
    /// and again is not given a key each time.
    pub fn restorable_at(&self, now: Timestamp) -> Option<Timestamp> {
        let written = self.written.filter(|_| self.key.is_none())?;
        // A time that lies ahead is no time at which it was made.
        let written = Some(written).filter(|written| *written <= now)?;
        let times = 1_i32 << self.restored.min(6);
        let pause = (RESTORE_PAUSE * times).min(LONGEST_RESTORE_PAUSE);
        written.checked_add(pause).ok()
    }

    /// How often in a row the Secret will have been restored when it is written
    /// now. One that stood for a day begins anew.
    pub fn restores_with_this(&self, now: Timestamp) -> u32 {
        let stood = self.written.map(|at| now.duration_since(at));
        match &self.key {
            Some(_) => 0,
            None if stood.is_some_and(|stood| stood > A_LONG_TIME) => 1,
            None => self.restored.saturating_add(1),
        }
    }

    /// Whether the Secret says that it holds this key.
    pub fn holds(&self, key_id: &str) -> bool {
        self.key.as_ref().is_some_and(|(id, _)| id == key_id)
    }
}

impl SecretView {
    /// Judges a Secret by its metadata. Labels and annotations can be forged
    /// by anyone who may write Secrets in the namespace, and a name proves
    /// nothing; the API server lets a Secret have one controller owner, and
    /// its uid must be this request's.
    pub fn of(meta: &ObjectMeta, request: &AwsCredentialRequest) -> Self {
        let owners = meta.owner_references.as_deref().unwrap_or_default();
        let ours = owners
            .iter()
            .any(|o| o.controller == Some(true) && o.uid == request.uid_str());
        if !ours || request.uid_str().is_empty() {
            return Self::Foreign;
        }
        Self::Ours(SecretFacts {
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            key: read_key(meta),
            written: edits::made_at(meta),
            restored: number(meta, RESTORED),
            in_place: edits::is_pristine(meta),
            immutable: edits::is_immutable(meta),
            remark: edits::remark(meta),
            renewed_for: meta
                .annotations
                .as_ref()
                .and_then(|a| a.get(RENEWED_FOR)?.parse().ok()),
        })
    }
}

fn number(meta: &ObjectMeta, annotation: &str) -> u32 {
    let text = meta.annotations.as_ref().and_then(|a| a.get(annotation));
    text.and_then(|t| t.parse().ok()).unwrap_or_default()
}

fn read_key(meta: &ObjectMeta) -> Option<(String, Term)> {
    let annotations = meta.annotations.as_ref()?;
    let time = |key: &str| annotations.get(key)?.parse::<Timestamp>().ok();
    let term = Term {
        issued_at: time(ISSUED_AT)?,
        expires_at: time(EXPIRES_AT)?,
        max_expires_at: time(MAX_EXPIRES_AT)?,
    };
    Some((edits::key_in(meta)?, term))
}
