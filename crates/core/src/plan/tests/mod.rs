//! The plan, played against a simulated world: no network, no clock, every
//! stop point reachable.

mod crashes;
mod doubts;
mod golden;
mod hostile;
mod in_force;
mod leases;
mod operator;
mod outages;
mod readiness;
mod renewals;
mod revocations;
mod rotations;
mod sessions;
mod simulation;
mod static_users;
mod stories;
mod suspensions;
mod throttling;
mod unreadable;
mod world;

pub(crate) use operator::Mishap;

use std::sync::Arc;

use jiff::Timestamp;

use super::mark;
use super::view::AccountView;
use keylease_api::{
    AllowedNamespaces, AwsCredentialRequest, AwsCredentialRequestSpec, AwsRole, AwsRoleSpec,
    AwsRoleStatus, Defects, IamUser, NameRef, RoleTtl,
};

/// A time to start from.
fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// A role with one managed policy, leases of an hour, open to all.
pub(crate) fn role() -> AwsRole {
    let mut role = AwsRole::new(
        "dev",
        AwsRoleSpec {
            account_ref: NameRef {
                name: "default".into(),
            },
            iam_user: Some(IamUser {
                policy_arns: vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".into()],
                ..IamUser::default()
            }),
            ttl: Some(RoleTtl {
                default: Some("1h".into()),
                max: Some("24h".into()),
            }),
            allowed_secret_metadata: None,
            allowed_namespaces: Some(AllowedNamespaces {
                names: vec!["*".into()],
                selector: None,
            }),
            assumed_role: None,
            federation_token: None,
            session_token: None,
            static_user: None,
            limits: None,
            on_disabled_key: None,
            revoke_before: None,
            unreadable: Defects::default(),
        },
    );
    role.metadata.uid = Some("role-uid".into());
    role.metadata.generation = Some(1);
    role
}

/// That role, revoking what was issued before then.
pub(crate) fn revoking(before: Timestamp) -> AwsRole {
    let mut role = role();
    role.metadata.generation = Some(2);
    role.spec.revoke_before = Some(before.into());
    role
}

/// The same, with the mark in its status.
pub(crate) fn marked(before: Timestamp) -> AwsRole {
    let mut role = revoking(before);
    role.status = Some(AwsRoleStatus {
        revoked_before: mark::of(&role, before),
        ..AwsRoleStatus::default()
    });
    role
}

/// A request for that role, as the API server stored it.
pub(crate) fn request() -> AwsCredentialRequest {
    let mut request = AwsCredentialRequest::new(
        "app",
        AwsCredentialRequestSpec {
            role_ref: NameRef { name: "dev".into() },
            ttl: None,
            on_expiry: None,
            rotation: None,
            renew: None,
            ttl_after_expiry: None,
            role_arn: None,
            role_session_name: None,
            restart: Vec::new(),
            secret: None,
            unreadable: Defects::default(),
        },
    );
    request.metadata.namespace = Some("team".into());
    request.metadata.uid = Some("request-uid".into());
    request.metadata.generation = Some(1);
    request.metadata.resource_version = Some("1".into());
    request
}

/// An account that is signed in to.
pub(crate) fn account() -> AccountView {
    world().account
}

/// A world with that role and that request.
fn world() -> world::World {
    world::World::new(start(), Arc::new(role()), request())
}
