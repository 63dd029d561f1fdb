//! What each kind cannot be decoded without, and which of its parts may be
//! missing without a word.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Resource;
use kube::core::PartialObjectMeta;
use serde_json::{Value, json};

use super::salvage::Salvage;
use crate::{AwsAccount, AwsCredentialRequest, AwsRole, Defects, OnExpiry};

/// The longest life of a lease (`plan::ttl`): an end that cannot be read is not
/// later than this after the issue.
const LONGEST: SignedDuration = SignedDuration::from_hours(768);
/// What nobody decides by. Of the metadata it is the times that somebody wrote
/// into `managedFields`: the API server keeps those that no `Timestamp` can
/// count.
const METADATA: &str = "metadata";

// What is read of Kubernetes' own kinds fails by their metadata only.
impl Salvage for Secret {}
impl Salvage for Namespace {}
impl Salvage for Deployment {}
impl Salvage for StatefulSet {}
impl Salvage for DaemonSet {}
impl<K: Resource<DynamicType = ()>> Salvage for PartialObjectMeta<K> {}

impl Salvage for AwsAccount {
    fn mend(value: &mut Value) {
        require(value, &["spec"], json!({}));
    }

    fn note(&mut self, defects: Defects) {
        // Its status is told anew with each sign-in, and decides nothing.
        self.spec.unreadable = defects.without(&[METADATA, "status"]);
    }
}

impl Salvage for AwsRole {
    fn mend(value: &mut Value) {
        require(value, &["spec", "accountRef", "name"], json!(""));
    }

    fn note(&mut self, defects: Defects) {
        let told = [
            "status.conditions",
            "status.observedGeneration",
            "status.leases",
        ];
        self.spec.unreadable = defects.without(&[METADATA]).without(&told);
    }
}

impl Salvage for AwsCredentialRequest {
    fn mend(value: &mut Value) {
        let role = value["status"]["lease"]["id"].as_str().and_then(role_of);
        let role = role.unwrap_or_default().to_owned();
        require(value, &["spec", "roleRef", "name"], json!(role));
        mend_lease(value);
    }

    fn note(&mut self, defects: Defects) {
        let told = [
            "status.conditions",
            "status.observedGeneration",
            "status.failures",
            "status.lastFailureTime",
        ];
        let defects = defects.without(&[METADATA]).without(&told);
        // A lease ends for good only where that was asked for: this one may be
        // readable again tomorrow.
        if defects.touch("spec.onExpiry") {
            self.spec.on_expiry = Some(OnExpiry::Rotate);
        }
        self.spec.unreadable = defects;
    }
}

/// The role in a lease's id, `keylease.dev/creds/<role>/<uid>`.
fn role_of(id: &str) -> Option<&str> {
    let rest = id.strip_prefix("keylease.dev/creds/")?;
    rest.rsplit_once('/').map(|(role, _)| role)
}

/// A lease that cannot be read as a whole still has an end: the latest that it
/// can have by what can be read.
fn mend_lease(value: &mut Value) {
    let made = time(&value["metadata"]["creationTimestamp"]).unwrap_or(Timestamp::UNIX_EPOCH);
    let Some(lease) = value.pointer_mut("/status/lease").filter(|l| l.is_object()) else {
        return;
    };
    let issued = time(&lease["issuedAt"]).unwrap_or(made);
    let longest = issued.checked_add(LONGEST).unwrap_or(issued);
    let end = time(&lease["expiresAt"])
        .or(time(&lease["maxExpiresAt"]))
        .unwrap_or(longest);
    for (field, usual) in [
        ("id", json!("")),
        ("duration", json!("")),
        ("renewable", json!(false)),
        ("renewals", json!(0)),
        ("issuedAt", json!(issued)),
        ("expiresAt", json!(end)),
        ("maxExpiresAt", json!(end)),
    ] {
        require(lease, &[field], usual);
    }
    if value
        .pointer("/status/previous")
        .is_some_and(Value::is_object)
    {
        require(value, &["status", "previous", "removeAt"], json!(end));
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Puts a value where nothing stands. What stands on the way and is no object is
/// left: it does not decode, and is taken out first.
fn require(value: &mut Value, path: &[&str], usual: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut at = value;
    for key in parents {
        let Some(map) = at.as_object_mut() else {
            return;
        };
        at = map.entry(*key).or_insert_with(|| json!({}));
    }
    if let Some(map) = at.as_object_mut() {
        map.entry(*last).or_insert(usual);
    }
}
