//! Objects and facts that are fine, for targets that spoil one thing about
//! them.

use std::collections::BTreeMap;

use keylease_api::{AwsCredentialRequest, AwsRole};
use keylease_core::plan::admission::AccountFacts;
use keylease_core::plan::naming::ClusterId;
use serde_json::{Value, json};

/// Words of the three kinds.
pub const FIELDS: [&str; 36] = [
    "\"metadata\":",
    "\"spec\":",
    "\"status\":",
    "\"annotations\":",
    "\"keylease.dev/intent\":",
    "\"finalizers\":[\"keylease.dev/revoke\"]",
    "\"deletionTimestamp\":\"2027-01-15T08:00:00Z\"",
    "\"roleRef\":{\"name\":\"dev\"}",
    "\"ttl\":",
    "\"1h\"",
    "\"onExpiry\":\"Rotate\"",
    "\"rotation\":{\"overlap\":\"0s\"}",
    "\"renew\":{\"at\":\"2027-01-15T08:00:00Z\",\"increment\":\"1h\"}",
    "\"ttlAfterExpiry\":\"0s\"",
    "\"roleSessionName\":",
    "\"restart\":[{\"kind\":\"Deployment\",\"name\":\"web\"}]",
    "\"secret\":",
    "\"phase\":\"Ready\"",
    "\"phase\":\"Issuing\"",
    "\"phase\":\"Revoking\"",
    "\"phase\":\"Expired\"",
    "\"phase\":\"Rotating\"",
    "\"phase\":\"Failed\"",
    "\"failures\":3",
    "\"previous\":{\"accessKeyId\":\"AKIA0\",\"removeAt\":\"2027-01-15T08:10:00Z\"}",
    "\"type\":\"staticUser\"",
    "\"userName\":",
    "\"accessKeyId\":",
    "\"AKIA1\"",
    "\"staticUser\":{\"userName\":\"legacy\"}",
    "\"iamUser\":{}",
    "\"sessionToken\":{}",
    "\"holder\":",
    "\"revokeBefore\":\"2027-01-15T08:30:00Z\"",
    "\"request-uid\"",
    "\"policyDocument\":\"{\\\"Statement\\\":[]}\"",
];

/// The cluster that the samples are of.
pub fn cluster() -> ClusterId {
    ClusterId("cluster".to_owned())
}

/// A request for [`role`], as the API server stored it.
pub fn request() -> AwsCredentialRequest {
    let value = json!({
        "metadata": {
            "name": "app", "namespace": "team", "uid": "request-uid",
            "generation": 1, "resourceVersion": "1",
        },
        "spec": {"roleRef": {"name": "dev"}},
    });
    read(value)
}

/// A role with one policy, leases of an hour, open to all.
pub fn role() -> AwsRole {
    let value = json!({
        "metadata": {"name": "dev", "uid": "role-uid", "generation": 1},
        "spec": {
            "accountRef": {"name": "default"},
            "iamUser": {"policyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]},
            "ttl": {"default": "1h", "max": "24h"},
            "allowedNamespaces": {"names": ["*"]},
        },
    });
    read(value)
}

/// The account that the role names.
pub fn account() -> AccountFacts {
    AccountFacts {
        name: "default".to_owned(),
        account_id: "123456789012".to_owned(),
        arn: "arn:aws:iam::123456789012:user/operator".to_owned(),
        partition: "aws".to_owned(),
        region: "us-east-1".to_owned(),
        path: "/keylease/".to_owned(),
        boundary: None,
        allow_role_boundary: false,
        tags: BTreeMap::new(),
        max_users: 0,
        requests_per_second: None,
        unreadable: Default::default(),
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}
