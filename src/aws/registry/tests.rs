//! Who may be asked for what, by name and by uid.

use super::*;
use crate::aws::{Calls, Credentials, Signer, http, roots::Roots};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::proxy::Proxies;
use keylease_api::{AwsAccount, AwsAccountSpec};
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::account;

const HERE: &str = "111122223333";

/// A session of that object in that AWS account, which never made a call.
async fn session(name: &str, id: &str) -> Session {
    let client = http::client(Proxies::default(), &Roots::OfSystem).unwrap();
    let calls = Calls::new(Metrics::default());
    let signer = Signer::over(client, calls, Leadership::alone());
    let spec = AwsAccountSpec {
        region: Some("eu-west-1".into()),
        ..AwsAccountSpec::default()
    };
    let key = KeyMaterial::new("AKIA1".into(), "secret".into(), None);
    let candidate = signer.prepare(Credentials::Static(key), &spec).await;
    let account = AwsAccount::new(name, spec);
    let facts = account::facts(&account, id, "arn:aws:iam::1:user/a", "eu-west-1");
    candidate.session(facts, Tenure::assumed())
}

#[test]
fn an_account_that_was_made_anew_is_not_leaving() {
    let accounts = Accounts::default();
    assert!(!accounts.found("a", Some("1"), false));
    assert!(accounts.found("a", Some("1"), true), "it leaves now");
    assert!(!accounts.found("a", Some("1"), true), "that is known");
    assert!(accounts.is_leaving("a"));
    assert!(!accounts.found("a", Some("2"), false));
    assert!(!accounts.is_leaving("a"));
}

#[tokio::test]
async fn an_account_that_was_made_anew_signs_in_anew() {
    let accounts = Accounts::default();
    accounts.found("a", Some("1"), false);
    accounts.signed_in("a", session("a", HERE).await);
    accounts.found("a", Some("1"), false);
    assert!(accounts.session("a").is_some());
    accounts.found("a", Some("2"), false);
    assert!(accounts.session("a").is_none());
    let AccountView::NotReady(verdict) = accounts.view("a", None) else {
        panic!("{:?}", accounts.view("a", None));
    };
    assert_eq!(verdict.reason, Reason::AccountNotReady, "it is there");
}

/// Another object in the same AWS account lends its session to revoke, and
/// nothing of its settings.
#[tokio::test]
async fn another_object_revokes_and_makes_nothing() {
    let accounts = Accounts::default();
    accounts.found("lost", Some("1"), false);
    accounts.found("other", Some("2"), false);
    accounts.not_ready("lost", "CredentialsRejected");
    accounts.signed_in("other", session("other", HERE).await);
    let AccountView::OnlyToRevoke(facts, verdict) = accounts.view("lost", Some(HERE)) else {
        panic!("{:?}", accounts.view("lost", Some(HERE)));
    };
    assert_eq!(facts.name, "other");
    assert!(verdict.message.contains("AwsAccount lost is not ready"));
    assert!(accounts.session_for("lost", Some(HERE)).is_some());
    assert!(accounts.session_for("lost", None).is_none());
    assert!(accounts.session_for("lost", Some("999999999999")).is_none());
    // Signed in again, but elsewhere.
    accounts.signed_in("lost", session("lost", "999999999999").await);
    let elsewhere = accounts.view("lost", Some(HERE));
    assert!(matches!(elsewhere, AccountView::OnlyToRevoke(..)));
    accounts.signed_in("lost", session("lost", HERE).await);
    let AccountView::Ready(facts) = accounts.view("lost", Some(HERE)) else {
        panic!("its own");
    };
    assert_eq!(facts.name, "lost");
}

#[tokio::test]
async fn what_other_credentials_leave_is_a_session_to_revoke() {
    let accounts = Accounts::default();
    accounts.found("a", Some("1"), false);
    assert!(accounts.signed_in("a", session("a", HERE).await));
    assert!(accounts.only_to_revoke("a", session("a", HERE).await, "Unreachable"));
    assert!(accounts.session("a").is_none());
    assert!(accounts.any_session("a").is_some());
    let view = accounts.view("a", Some(HERE));
    assert!(matches!(view, AccountView::OnlyToRevoke(..)), "{view:?}");
    let view = accounts.view("a", None);
    assert!(matches!(view, AccountView::NotReady(..)), "{view:?}");
}

#[tokio::test]
async fn requests_hear_of_a_reason_once() {
    let accounts = Accounts::default();
    accounts.found("a", Some("1"), false);
    assert!(accounts.not_ready("a", "Unreachable"));
    assert!(!accounts.not_ready("a", "Unreachable"));
    let before = accounts.view("a", None);
    assert!(accounts.not_ready("a", "AccessDenied"));
    assert_ne!(accounts.view("a", None), before);
    assert!(accounts.signed_in("a", session("a", HERE).await));
    assert!(!accounts.signed_in("a", session("a", HERE).await));
    accounts.forget("a");
    assert!(!accounts.not_ready("a", "Unreachable"), "nobody is there");
    let AccountView::NotReady(verdict) = accounts.view("a", None) else {
        panic!("nobody is there");
    };
    assert_eq!(verdict.reason, Reason::AccountNotFound);
}
