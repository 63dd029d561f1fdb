//! The three custom resources, one a file: what people write and what they
//! read back. Field documentation becomes the CRD's description, so it is
//! written for the person in front of `kubectl explain`.
//!
//! Nothing here decides anything: the types carry what was said, `plan`
//! judges it. Rules that one object alone can break are CEL beside the field.

mod account;
mod conditions;
mod duration;
mod request;
mod request_status;
mod role;

pub use account::*;
pub use conditions::{Condition, ConditionType, get_condition, set_condition};
pub use duration::{BadDuration, GoDuration, format_duration};
pub use request::*;
pub use request_status::*;
pub use role::*;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};

/// The API group of every kind of ours.
pub const GROUP: &str = "keylease.dev";

/// All CRDs of this version, in the order in which they are installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        AwsAccount::crd(),
        AwsRole::crd(),
        AwsCredentialRequest::crd(),
    ]
}

/// A reference to a cluster-scoped object of this group, by name alone: no
/// object of ours ever names another namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Name of the object, for example `developer-access`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}
