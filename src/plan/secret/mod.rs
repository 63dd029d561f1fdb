//! The Secret: how one of ours is told from any other.

mod amended;
mod edits;
mod key_names;
mod rendered;

pub use amended::{amendment, entry_with_end, key_in_process};
pub use edits::key_in;
pub use key_names::check_template;
pub use rendered::render;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::lease::Term;
use crate::api::AwsCredentialRequest;

/// Label and value on every Secret of ours: what the watch selects by. It
/// gives no right to anything: ownership is the controller reference's uid.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "keylease");
/// Annotation with the id of the key that the Secret holds.
pub const KEY_ID: &str = "keylease.dev/access-key-id";
const LEASE_ID: &str = "keylease.dev/lease-id";
const ISSUED_AT: &str = "keylease.dev/issued-at";
const EXPIRES_AT: &str = "keylease.dev/expires-at";
const RENEWED_FOR: &str = "keylease.dev/renewed-for";
/// Annotation with the number of entries in the data.
pub const ENTRIES: &str = "keylease.dev/entries";
const MAX_EXPIRES_AT: &str = "keylease.dev/max-expires-at";

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
    /// When we wrote it last.
    pub written: Option<Timestamp>,
    /// The renewal that was written into it last.
    pub renewed_for: Option<Timestamp>,
}

impl SecretFacts {
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
            written: edits::written_at(meta),
            renewed_for: meta
                .annotations
                .as_ref()
                .and_then(|a| a.get(RENEWED_FOR)?.parse().ok()),
        })
    }
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
