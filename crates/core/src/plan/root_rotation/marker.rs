//! What a rotation writes on the Secret before it makes a key.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::UserKey;
use super::later;
use crate::plan::lease::truncate;

/// The annotation on the account's Secret that holds the [`Marker`].
pub const ANNOTATION: &str = "keylease.dev/root-rotation";
/// How long after `started` a key may be made under a marker.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);
/// How far our clock and AWS's may be apart: Signature Version 4 refuses more
/// than five minutes, so with a worse clock there would be no key either.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A rotation under way, as the Secret's annotation tells it: whose leftover a
/// second key is, and who may go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// When it began. At that time the user had no other key.
    pub started: Timestamp,
    /// When the process that goes on with it claimed it: at the beginning, or
    /// later if it found the claim of another.
    pub claimed: Timestamp,
    /// The id of the key that is to be replaced.
    pub old: String,
    /// The id of the key that replaces it; written together with the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

impl Marker {
    /// The beginning of a rotation.
    pub(super) fn begun(now: Timestamp, old: &str) -> Self {
        Self {
            started: truncate(now),
            claimed: truncate(now),
            old: old.to_owned(),
            new: None,
        }
    }

    /// The same rotation, in the hands of this process. The window stays: it
    /// says what the other may have made.
    pub(super) fn taken_over(&self, now: Timestamp) -> Self {
        Self {
            claimed: truncate(now),
            ..self.clone()
        }
    }

    /// The same rotation, when its key is stored.
    pub(super) fn with_new(&self, id: &str) -> Self {
        Self {
            new: Some(id.to_owned()),
            ..self.clone()
        }
    }

    /// Whether a key may still be made under it.
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        now < later(self.started, WINDOW)
    }

    /// Whether a key that is not the Secret's was made by this rotation.
    pub(super) fn covers(&self, key: &UserKey) -> bool {
        let age = key.created.duration_since(self.started);
        self.new.as_ref() == Some(&key.id) || (age >= -SKEW && age <= WINDOW + SKEW)
    }

    /// Reads the annotation. One that is not ours to read is none.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The annotation's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
