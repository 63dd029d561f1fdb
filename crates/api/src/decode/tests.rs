use serde_json::{Value, json};

use super::Lenient;
use crate::{AwsAccount, AwsCredentialRequest, AwsRole, OnExpiry, Phase};

/// A lease in force, with one value replaced or put in at that place.
fn request(place: &str, value: Value) -> AwsCredentialRequest {
    read(
        json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"name": "app", "namespace": "team", "uid": "u",
                "creationTimestamp": "2026-11-23T09:00:00Z", "finalizers": ["keylease.dev/revoke"],
                "managedFields": [{"manager": "kubectl", "time": "2026-11-23T09:00:00Z"}]},
            "spec": {"roleRef": {"name": "dev"}, "ttl": "1h"},
            "status": {
                "phase": "Ready",
                "lease": {"id": "keylease.dev/creds/dev/u", "issuedAt": "2026-11-23T10:00:00Z",
                    "expiresAt": "2026-11-23T11:00:00Z", "maxExpiresAt": "2026-11-24T10:00:00Z",
                    "duration": "1h", "renewable": true, "renewals": 0},
                "credential": {"type": "iamUser", "accountId": "123456789012",
                    "accessKeyId": "AKIA", "userName": "keylease-x"},
                "conditions": [{"type": "Ready", "status": "True", "reason": "Issued",
                    "message": "", "lastTransitionTime": "2026-11-23T10:00:00Z"}],
            },
        }),
        place,
        value,
    )
}

fn read<K: super::Salvage>(mut object: Value, place: &str, value: Value) -> K {
    let (parent, key) = place.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap();
    match key.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[key] = value,
    }
    let Lenient(object) = serde_json::from_value(object).unwrap();
    object
}

fn end(request: &AwsCredentialRequest) -> String {
    let status = request.status.as_ref().unwrap();
    status.lease.as_ref().unwrap().expires_at.0.to_string()
}

/// Each of these is told, and the lease still has its end and its credential.
#[test]
fn one_piece_that_cannot_be_read_costs_no_other() {
    for (place, value) in [
        ("/spec/onExpiry", json!("Extend")),
        ("/spec/ttl", json!(3600)),
        ("/spec/roleRef", json!("dev")),
        ("/spec/renew", json!({"at": 7})),
        ("/spec/restart", json!([{"kind": "CronJob", "name": "a"}])),
        ("/spec/secret", json!({"keys": {"region": {}}})),
        ("/spec", json!("odd")),
        ("/status/phase", json!("Suspended")),
        ("/status/previous", json!({"accessKeyId": 7})),
        ("/status/lease/duration", json!(60)),
        (
            "/status/lease/renewedFor",
            json!("2026-11-23T10:00:00+99:99"),
        ),
        ("/status/lease/maxExpiresAt", json!("9999-12-31T23:59:59Z")),
    ] {
        let request = request(place, value);
        let told = request.spec.unreadable.summary().unwrap_or_default();
        let first = place.trim_start_matches('/').replace('/', ".");
        assert!(told.contains(&first), "{place}: {told}");
        assert_eq!(request.spec.role_ref.name, "dev", "{place}");
        assert_eq!(end(&request), "2026-11-23T11:00:00Z", "{place}");
        let status = request.status.as_ref().unwrap();
        assert_eq!(status.credential.as_ref().unwrap().access_key_id, "AKIA");
    }
}

/// What only tells, and what nobody reads, is left out without a word.
#[test]
fn what_decides_nothing_may_be_missing() {
    for (place, value) in [
        (
            "/metadata/managedFields/0/time",
            json!("9999-12-31T23:59:59Z"),
        ),
        ("/status/conditions/0", json!({"type": "Ready"})),
        (
            "/status/conditions/0/lastTransitionTime",
            json!("9999-12-31T23:59:59Z"),
        ),
        (
            "/status/lastFailureTime",
            json!("2026-11-23T10:00:00+99:99"),
        ),
        ("/status/failures", json!("many")),
        ("/spec/fieldOfANewerVersion", json!({"a": 1})),
        ("/status/fieldOfANewerVersion", json!(1)),
    ] {
        let request = request(place, value);
        assert_eq!(request.spec.unreadable.summary(), None, "{place}");
        assert_eq!(request.metadata.managed_fields.as_ref().unwrap().len(), 1);
    }
}

/// An end that cannot be read is the latest that it can be.
#[test]
fn a_lease_always_has_an_end() {
    let unknown = json!("never");
    let request = |place: &str| request(place, unknown.clone());
    assert_eq!(
        end(&request("/status/lease/expiresAt")),
        "2026-11-24T10:00:00Z"
    );
    let lease = json!({"issuedAt": "2026-11-23T10:00:00Z", "expiresAt": 1, "maxExpiresAt": {}});
    let issued = self::request("/status/lease", lease);
    assert_eq!(end(&issued), "2026-12-25T10:00:00Z");
    let empty = self::request("/status/lease", json!({}));
    assert!(empty.spec.unreadable.touch("status.lease"));
    assert_eq!(end(&empty), "2026-12-25T09:00:00Z");
}

/// A request that may have been one to rotate is not ended for good.
#[test]
fn an_unknown_wish_for_the_end_ends_nothing_for_good() {
    let rotate = request("/spec/onExpiry", json!("Extend")).spec.on_expiry;
    assert_eq!(rotate, Some(OnExpiry::Rotate));
    assert_eq!(request("/spec/ttl", json!(1)).spec.on_expiry, None);
}

/// Nobody makes the operator decode one object for minutes, and all that can be
/// found in it is found.
#[test]
fn an_object_full_of_rubbish_is_cut_down() {
    let rubbish: Vec<_> = (0..5_000).map(|n| json!({"kind": n})).collect();
    let request = request("/spec/restart", json!(rubbish));
    assert!(request.spec.unreadable.touch("spec"));
    assert_eq!(end(&request), "2026-11-23T11:00:00Z");
    assert_eq!(request.status.unwrap().phase, Some(Phase::Ready));
}

#[test]
fn roles_and_accounts_are_read_in_part_too() {
    let role = json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole",
        "metadata": {"name": "dev", "uid": "u"},
        "spec": {"accountRef": {"name": "default"}, "iamUser": {}},
    });
    for (place, value) in [
        ("/spec/limits", json!({"maxLeases": 4_294_967_296_u64})),
        ("/spec/iamUser", json!("all")),
        ("/spec/revokeBefore", json!(0)),
        ("/spec/accountRef", json!({})),
    ] {
        let role: AwsRole = read(role.clone(), place, value);
        assert!(!role.spec.unreadable.is_empty(), "{place}");
    }
    let account = json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsAccount",
        "metadata": {"name": "default", "uid": "u"}, "spec": {}, "status": {},
    });
    let odd = json!({"secretRef": "aws-root"});
    let account_with = |place: &str, value| -> AwsAccount { read(account.clone(), place, value) };
    let odd = account_with("/spec/credentials", odd);
    assert!(odd.spec.unreadable.touch("spec.credentials"));
    let told = account_with("/status/conditions", json!([{}]));
    assert!(told.spec.unreadable.is_empty());
}

/// An answer that is no object at all stays none: nothing is concluded from it.
#[test]
fn what_is_no_object_is_no_answer() {
    for answer in [
        json!({}),
        json!([]),
        json!("AwsRole"),
        json!({"kind": "Status", "metadata": {}, "code": 200}),
        json!({"metadata": {"name": "dev"}, "spec": 1}),
    ] {
        assert!(serde_json::from_value::<Lenient<AwsRole>>(answer).is_err());
    }
}
