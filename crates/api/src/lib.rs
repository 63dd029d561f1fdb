//! The three custom resources, one a file: what people write and what they
//! read back. Field documentation becomes the CRD's description, so it is
//! written for the person in front of `kubectl explain`.
//!
//! Nothing here decides anything: the types carry what was said, `plan`
//! judges it. Rules that one object alone can break are CEL beside the field.
//! [`decode`] reads what the API server holds, [`text`] quotes what others said.

// The copy of a struct that KubeSchema makes has the field that notes what could
// not be read, and does not read it.
#[allow(dead_code)]
mod account;
mod conditions;
pub mod decode;
mod defects;
mod duration;
pub mod forms;
#[allow(dead_code)]
mod request;
mod request_status;
#[allow(dead_code)]
mod role;
pub mod text;
mod time;

pub use account::*;
pub use conditions::{Condition, ConditionType, get_condition, set_condition, set_stalled};
pub use defects::Defects;
pub use duration::{BadDuration, GoDuration, format_duration};
pub use request::*;
pub use request_status::*;
pub use role::*;
pub use time::{BadTime, Rfc3339};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON,
};
use kube::{CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The API group of every kind of ours.
pub const GROUP: &str = "keylease.dev";

/// All CRDs of this version, in the order in which they are installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let all = [
        AwsAccount::crd(),
        AwsRole::crd(),
        AwsCredentialRequest::crd(),
    ];
    let all = all.into_iter().map(without_nullable);
    all.map(with_default_status).collect()
}

/// Takes `nullable` off every field. The generator puts it on each optional
/// one, and a field that is both null and present would slip past the rules
/// that ask whether it `has()` a value.
fn without_nullable(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                if map.get("nullable") == Some(&Value::Bool(true)) {
                    map.remove("nullable");
                }
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let stripped = serde_json::to_value(&crd).and_then(|mut value| {
        strip(&mut value);
        serde_json::from_value(value)
    });
    stripped.unwrap_or(crd)
}

/// Gives every object a status that speaks of no version of its spec, until the
/// operator has looked at it. To tools that wait by kstatus, an object without a
/// status is one that is done.
fn with_default_status(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut();
        let schema = schema.and_then(|s| s.open_api_v3_schema.as_mut());
        let fields = schema.and_then(|s| s.properties.as_mut());
        if let Some(status) = fields.and_then(|f| f.get_mut("status")) {
            status.default = Some(JSON(json!({"observedGeneration": -1})));
        }
    }
    crd
}

/// A reference to a cluster-scoped object of this group, by name alone: no
/// object of ours ever names another namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Name of the object, for example `developer-access`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message("name must be the name of a Kubernetes object: lower-case letters, digits, - and ., each part between dots beginning and ending with a letter or digit"))]
    pub name: String,
}
