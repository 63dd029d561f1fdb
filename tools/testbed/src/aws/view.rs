//! What tests see of the fake's state, without a call.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

/// An IAM user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserView {
    /// The name.
    pub name: String,
    /// The path, with slashes at both ends.
    pub path: String,
    /// When it was created.
    pub created: Timestamp,
    /// The tags.
    pub tags: BTreeMap<String, String>,
    /// ARN of the permissions boundary.
    pub boundary: Option<String>,
    /// ARNs of the attached policies.
    pub attached: Vec<String>,
    /// Names of the inline policies.
    pub inline: Vec<String>,
    /// Names of the groups.
    pub groups: Vec<String>,
    /// The access keys, oldest first.
    pub keys: Vec<KeyView>,
    /// Whether there is a console password.
    pub login_profile: bool,
}

/// An access key; see [`FakeAws::secret_of`](super::FakeAws::secret_of).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// The key id.
    pub id: String,
    /// Whether its status is `Active`.
    pub active: bool,
    /// When it was created.
    pub created: Timestamp,
}
