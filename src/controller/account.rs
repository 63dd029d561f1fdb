//! Accounts: sign in, keep the session for the request controller, tell the
//! state in the status.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::controller::Action;
use kube::{Api, Client};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::context::{Concerned, Context};
use super::root_rotation::{self, Rotation};
use super::sign_ins::{Basis, SignIns, Version};
use crate::act::{KubeCalls, set_hold};
use crate::aws::Credentials;
use crate::observe::find;
use keylease_api::{AwsAccount, AwsAccountStatus};
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::account::{self, AccountVerdict};
use keylease_core::plan::effect::Fault;
use keylease_core::plan::sign_in::{self, Before, Kept, SignIn};
use keylease_core::plan::unreadable;

/// When to try again after the API server did not serve.
const RETRY: Duration = Duration::from_secs(5);

/// When to look again at an account whose sign-in cannot be read, should its
/// correction be missed.
const UNREADABLE: Duration = Duration::from_secs(300);
/// How often an account that is being deleted is asked whether it is still
/// needed.
const LEAVING: Duration = Duration::from_secs(1);

/// The account controller's own context.
pub struct AccountContext {
    /// What all controllers share.
    pub shared: Arc<Context>,
    /// The last sign-in of each account.
    pub sign_ins: SignIns,
    /// Rotations of the operator's own keys, by name of the account.
    pub rotations: Mutex<HashMap<String, Rotation>>,
}

/// Signs in to one account, if anything changed or it is time to look again.
///
/// # Errors
/// None: failures are outcomes, told in the account's status.
pub async fn reconcile(
    account: Arc<AwsAccount>,
    ctx: Arc<AccountContext>,
) -> Result<Action, Infallible> {
    let name = account.metadata.name.clone().unwrap_or_default();
    keep_while_used(&account, &ctx.shared).await;
    // A person may have confirmed something on it.
    ctx.shared.accounts.nudge();
    let shared = &ctx.shared;
    if let (Some(verdict), false) = (
        account::unreadable(&account),
        account::sign_in_is_readable(&account),
    ) {
        let told = keep_sign_in(&account, &verdict, shared).await;
        return Ok(Action::requeue(if told { UNREADABLE } else { RETRY }));
    }
    let found = credentials(
        &account,
        &shared.client,
        &shared.namespace,
        &shared.hands.calls,
    );
    let (credentials, secret) = match found.await {
        Ok(found) => found,
        Err(fault) => {
            tracing::warn!(
                account = name,
                error = fault.message,
                "the account's Secret could not be read"
            );
            ctx.shared.metrics.reconcile("account", "stalled");
            return Ok(Action::requeue(RETRY));
        }
    };
    let version = Version::of(&account, secret);
    let leaving = account.metadata.deletion_timestamp.is_some();
    let left = match ctx.sign_ins.left(&name, &version) {
        // The last lease may be gone in AWS and still in the cache.
        Some(left) if leaving => left.min(LEAVING),
        Some(left) => left,
        None => {
            let left = sign_in(&account, credentials, version, &ctx).await;
            ctx.shared.metrics.reconcile("account", "ok");
            Duration::try_from(left).unwrap_or(RETRY)
        }
    };
    let rotation = match ctx.shared.accounts.session(&name) {
        Some(_) => root_rotation::run(&account, &ctx).await,
        None => None,
    };
    Ok(Action::requeue(rotation.unwrap_or(left).min(left)))
}

/// An account that is being deleted stays until its leases are revoked: without
/// its credentials nobody could.
async fn keep_while_used(account: &AwsAccount, ctx: &Context) {
    let name = account.metadata.name.as_deref().unwrap_or_default();
    let leaving = account.metadata.deletion_timestamp.is_some();
    let uid = account.metadata.uid.as_deref();
    if ctx.accounts.found(name, uid, leaving) {
        ctx.notices.concerns(Concerned::ByAccount(name.to_owned()));
    }
    let holds = &ctx.hands.holds;
    let _turn = holds.turn().await;
    // The ledger fills up after a start, the cache is complete and lags.
    let in_use = ctx.ledger.of_account(name) > 0
        || ctx
            .requests
            .find(|r| r.glance.holds && *r.glance.account == *name)
            .is_some();
    // A request with a place may have found the hold a moment ago.
    let needed = || ctx.ledger.places_in(name) > 0;
    if !in_use && !holds.ends_unless(name, needed) {
        return;
    }
    let api = Api::all(ctx.client.clone());
    if let Err(fault) = set_hold(&api, &ctx.hands.calls, account, in_use).await {
        tracing::info!(account = name, error = fault.message, "account not held");
    }
}

/// What the account signs in with cannot be read: the session there is stays, for
/// the leases that it has to end, and no other is made. Whether the status says so.
async fn keep_sign_in(account: &AwsAccount, verdict: &AccountVerdict, ctx: &Context) -> bool {
    let name = account.metadata.name.as_deref().unwrap_or_default();
    let news = match ctx.accounts.any_session(name) {
        Some(session) => {
            let session = session.as_ref().clone();
            ctx.accounts.only_to_revoke(name, session, verdict.reason)
        }
        None => ctx.accounts.not_ready(name, verdict.reason),
    };
    tracing::warn!(account = name, "{}", verdict.message);
    ctx.metrics.reconcile("account", "unreadable");
    let told = |status: &mut AwsAccountStatus| {
        account::tell(status, account, verdict, Timestamp::now());
    };
    let mut status = account.status.clone().unwrap_or_default();
    told(&mut status);
    let written =
        account.status.as_ref() == Some(&status) || write(account, &status, told, ctx).await;
    if news {
        let whom = Concerned::ByAccount(name.to_owned());
        ctx.notices.concerns(whom);
    }
    written
}

/// Writes the status, and tells as an event that the account cannot be read.
/// Whether it is written.
async fn write(
    account: &AwsAccount,
    status: &AwsAccountStatus,
    change: impl FnMut(&mut AwsAccountStatus),
    ctx: &Context,
) -> bool {
    let written = ctx.hands.report_account(account, change).await;
    let before = account.status.clone().unwrap_or_default().conditions;
    if let Some(event) = unreadable::news(&before, &status.conditions) {
        ctx.hands.announcer.tell(account, &event).await;
    }
    if let Err(fault) = &written {
        tracing::info!(
            account = account.metadata.name,
            error = fault.message,
            "account status not written"
        );
    }
    written.is_ok()
}

/// The account was deleted.
pub fn forget(ctx: &AccountContext, name: &str) {
    ctx.shared.hands.holds.ends_unless(name, || false);
    ctx.sign_ins.forget(name);
    ctx.rotations.lock().remove(name);
}

/// Signs in, and tells requests and status what came of it; how long that is good
/// for.
async fn sign_in(
    account: &AwsAccount,
    credentials: Result<Credentials, String>,
    version: Version,
    ctx: &AccountContext,
) -> SignedDuration {
    let name = account.metadata.name.as_deref().unwrap_or_default();
    let shared = &ctx.shared;
    let basis = Basis::of(account, key_id(&credentials));
    let (outcome, candidate) = match credentials {
        Ok(credentials) => {
            let prepared = shared.signer.prepare(credentials, &account.spec).await;
            (prepared.identify().await, Some(prepared))
        }
        Err(missing) => (SignIn::NoCredentials(missing), None),
    };
    let verdict = account::judge(account, &outcome);
    tracing::info!(
        account = name,
        reason = verdict.reason,
        "{}",
        verdict.message
    );
    let (verdict, kept, news, good_for) = match (&outcome, candidate) {
        (SignIn::Identity { account_id, arn }, Some(candidate)) if verdict.ready => {
            let facts = account::facts(account, account_id, arn, candidate.region());
            let tenure = shared.accounts.tenure(&facts);
            let session = candidate.session(facts, tenure);
            let good_for = ctx.sign_ins.worked(name, version, basis, session.expires());
            // All are told of a sign-in that worked: an hour is the longest that
            // anything overlooked stays so.
            shared.accounts.signed_in(name, session);
            (verdict, Kept::Ended, true, good_for)
        }
        _ => {
            let same = ctx.sign_ins.basis(name).as_ref() == Some(&basis);
            let good_for = ctx.sign_ins.failed(name, version);
            let (verdict, kept, news) = without(account, &outcome, verdict, same, shared);
            (verdict, kept, news, good_for)
        }
    };
    let verdict = overruled(name, verdict, shared);
    let told = report(account, &outcome, kept, &verdict, shared).await;
    if news {
        let whom = Concerned::ByAccount(name.to_owned());
        shared.notices.concerns(whom);
    }
    if told {
        return good_for;
    }
    // The next sign-in tells it; an hour would be long for a status that is wrong.
    ctx.sign_ins.suspect(name);
    good_for.min(SignedDuration::try_from(RETRY).unwrap_or_default())
}

/// The same, unless another cluster stands in the way of an account that is
/// signed in to.
fn overruled(name: &str, verdict: AccountVerdict, ctx: &Context) -> AccountVerdict {
    let standing = ctx.accounts.standing(name).filter(|_| verdict.ready);
    match standing.and_then(|standing| standing.obstacle(name)) {
        Some(why) => AccountVerdict {
            ready: false,
            reason: why.reason.as_str(),
            message: why.message,
        },
        None => verdict,
    }
}

/// A sign-in did not work: what that means for the session there was. With the
/// verdict on the account, and whether requests are to hear of it.
fn without(
    account: &AwsAccount,
    outcome: &SignIn,
    verdict: AccountVerdict,
    same: bool,
    ctx: &Context,
) -> (AccountVerdict, Kept, bool) {
    let name = account.metadata.name.as_deref().unwrap_or_default();
    let reason = verdict.reason;
    let Some(session) = ctx.accounts.any_session(name) else {
        return (verdict, Kept::Ended, ctx.accounts.not_ready(name, reason));
    };
    let expires = session.expires();
    let before = Before { same, expires };
    let kept = sign_in::kept(outcome, before, Timestamp::now());
    let known = &session.facts;
    let news = match kept {
        Kept::Whole => {
            let facts = account::facts(account, &known.account_id, &known.arn, &known.region);
            let tenure = ctx.accounts.tenure(&facts);
            ctx.accounts
                .signed_in(name, session.with_facts(facts, tenure))
        }
        Kept::ToRevoke => {
            let session = session.as_ref().clone();
            ctx.accounts.only_to_revoke(name, session, reason)
        }
        Kept::Ended => ctx.accounts.not_ready(name, reason),
    };
    (verdict.with(kept, &known.arn, expires), kept, news)
}

/// The id of the key, if it comes from a Secret.
fn key_id(credentials: &Result<Credentials, String>) -> Option<String> {
    match credentials {
        Ok(Credentials::Static(key)) => Some(key.id().to_owned()),
        _ => None,
    }
}

/// Writes the status when it says something new. Whether it stands as it should.
async fn report(
    account: &AwsAccount,
    outcome: &SignIn,
    kept: Kept,
    verdict: &AccountVerdict,
    ctx: &Context,
) -> bool {
    let status = account::status(account, outcome, kept, verdict, Timestamp::now());
    if account.status.as_ref() == Some(&status) {
        return true;
    }
    // What the rotation of the key and the sweep have told meanwhile stays.
    let change = |status: &mut AwsAccountStatus| {
        let known = AwsAccount {
            status: Some(std::mem::take(status)),
            ..account.clone()
        };
        *status = account::status(&known, outcome, kept, verdict, Timestamp::now());
    };
    write(account, &status, change, ctx).await
}

/// See [`credentials`].
type Found = (Result<Credentials, String>, Option<String>);

/// The credentials that the account names, or what is missing; and the version
/// of the Secret they came from.
///
/// # Errors
/// The fault, when the Secret could not be read.
pub async fn credentials(
    account: &AwsAccount,
    client: &Client,
    namespace: &str,
    calls: &KubeCalls,
) -> Result<Found, Fault> {
    let named = account.spec.credentials.as_ref();
    let Some(secret) = named.and_then(|c| c.secret_ref.as_ref()) else {
        return Ok((Ok(Credentials::Ambient), None));
    };
    let api = Api::namespaced(client.clone(), namespace);
    let found: Option<Secret> = find(calls, "get_account_secret", &api, &secret.name).await?;
    let place = format!("Secret {} in namespace {namespace}", secret.name);
    Ok(match found {
        Some(found) => {
            let version = found.metadata.resource_version.clone();
            (read_secret(found, &place), version)
        }
        None => (Err(format!("there is no {place}; create it")), None),
    })
}

pub(super) fn read_secret(mut secret: Secret, place: &str) -> Result<Credentials, String> {
    let mut data = secret.data.take().unwrap_or_default();
    let mut text = |key: &str| -> Result<Option<Zeroizing<String>>, String> {
        let Some(value) = data.remove(key) else {
            return Ok(None);
        };
        let text = String::from_utf8(value.0)
            .map_err(|_| format!("{place}: {key} is not text"))
            .map(Zeroizing::new)?;
        // A newline at the end is what `echo | base64` leaves behind.
        let trimmed = Zeroizing::new(text.trim().to_owned());
        Ok(Some(trimmed).filter(|t| !t.is_empty()))
    };
    let missing = |key: &str| format!("{place} has no {key}; add it");
    let id = text("AWS_ACCESS_KEY_ID")?.ok_or_else(|| missing("AWS_ACCESS_KEY_ID"))?;
    let secret_key =
        text("AWS_SECRET_ACCESS_KEY")?.ok_or_else(|| missing("AWS_SECRET_ACCESS_KEY"))?;
    let session_token = text("AWS_SESSION_TOKEN")?.map(|t| t.to_string());
    Ok(Credentials::Static(KeyMaterial::new(
        id.to_string(),
        secret_key.to_string(),
        session_token,
    )))
}
