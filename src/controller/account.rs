//! Accounts: sign in, keep the session for the request controller, tell the
//! state in the status.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::controller::Action;
use kube::{Api, Client};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::context::{Concerned, Context};
use super::hold::hold;
use super::root_rotation::{self, Rotation};
use crate::act::KubeCalls;
use crate::api::{AwsAccount, AwsAccountStatus};
use crate::aws::Credentials;
use crate::key_material::KeyMaterial;
use crate::plan::account::{self, AccountVerdict, RECHECK, SignIn};
use crate::plan::effect::Fault;

/// When to try again after the API server did not serve.
const RETRY: Duration = Duration::from_secs(5);

/// How often an account that is being deleted is asked whether it is still
/// needed.
const LEAVING: Duration = Duration::from_secs(1);

/// The account controller's own context.
pub struct AccountContext {
    /// What all controllers share.
    pub shared: Arc<Context>,
    /// The last sign-in of each account, by name.
    pub sign_ins: Mutex<HashMap<String, LastSignIn>>,
    /// Rotations of the operator's own keys, by name of the account.
    pub rotations: Mutex<HashMap<String, Rotation>>,
}

/// The last sign-in of an account.
pub struct LastSignIn {
    fingerprint: Fingerprint,
    /// The id of the key, if it came from a Secret.
    key_id: Option<String>,
    at: Instant,
    failures: u32,
}

/// What a sign-in depends on: object and Secret, by uid and version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint {
    uid: Option<String>,
    generation: Option<i64>,
    secret: Option<String>,
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
    let shared = &ctx.shared;
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
    let fingerprint = Fingerprint {
        uid: account.metadata.uid.clone(),
        generation: account.metadata.generation,
        secret,
    };
    let leaving = account.metadata.deletion_timestamp.is_some();
    if let Some(left) = still_good(&ctx, &name, &fingerprint) {
        // The last lease may be gone in AWS and still in the cache.
        let left = if leaving { LEAVING } else { left };
        let rotation = root_rotation::run(&account, &ctx).await;
        return Ok(Action::requeue(rotation.unwrap_or(left).min(left)));
    }
    let key_id = match &credentials {
        Ok(Credentials::Static(key)) => Some(key.id().to_owned()),
        _ => None,
    };
    let verdict = sign_in(&account, credentials, &ctx.shared).await;
    let failures = {
        let mut sign_ins = ctx.sign_ins.lock();
        let before = sign_ins.get(&name).map_or(0, |last| last.failures);
        let failures = if verdict.ready {
            0
        } else {
            before.saturating_add(1)
        };
        let at = Instant::now();
        sign_ins.insert(
            name,
            LastSignIn {
                fingerprint,
                key_id,
                at,
                failures,
            },
        );
        failures
    };
    let pause = account::next_check(&verdict, failures);
    let mut pause = Duration::try_from(pause).unwrap_or(RETRY);
    if verdict.ready
        && let Some(sooner) = root_rotation::run(&account, &ctx).await
    {
        pause = pause.min(sooner);
    }
    ctx.shared.metrics.reconcile("account", "ok");
    Ok(Action::requeue(pause))
}

impl AccountContext {
    /// The id of the key that the account's session uses, if it came from a
    /// Secret.
    pub(super) fn key_in_use(&self, name: &str) -> Option<String> {
        self.sign_ins.lock().get(name)?.key_id.clone()
    }

    /// The session was replaced by one of this key.
    pub(super) fn uses_key(&self, name: &str, key_id: &str) {
        if let Some(last) = self.sign_ins.lock().get_mut(name) {
            last.key_id = Some(key_id.to_owned());
            last.at = Instant::now();
        }
    }

    /// The Secret was changed by us from that version to this one: no reason
    /// to sign in again.
    pub(super) fn wrote_secret(&self, name: &str, from: &str, to: &str) {
        if let Some(last) = self.sign_ins.lock().get_mut(name)
            && last.fingerprint.secret.as_deref() == Some(from)
        {
            last.fingerprint.secret = Some(to.to_owned());
        }
    }
}

/// An account that is being deleted stays until its leases are revoked: without
/// its credentials nobody could.
async fn keep_while_used(account: &AwsAccount, ctx: &Context) {
    let name = account.metadata.name.as_deref().unwrap_or_default();
    if account.metadata.deletion_timestamp.is_some() && ctx.accounts.leaves(name) {
        ctx.notices.concerns(Concerned::ByAccount(name.to_owned()));
    }
    // The ledger fills up after a start, the cache is complete and lags.
    let in_use = ctx.ledger.of_account(name) > 0
        || ctx
            .requests
            .find(|r| r.glance.holds && *r.glance.account == *name)
            .is_some();
    let api: Api<AwsAccount> = Api::all(ctx.client.clone());
    if let Err(fault) = hold(&api, &ctx.hands.calls, account, in_use).await {
        tracing::info!(account = name, error = fault.message, "account not held");
    }
}

/// How long the last sign-in is good for, if it worked and nothing changed.
fn still_good(ctx: &AccountContext, name: &str, fingerprint: &Fingerprint) -> Option<Duration> {
    ctx.shared.accounts.session(name, None)?;
    let sign_ins = ctx.sign_ins.lock();
    let last = sign_ins.get(name)?;
    if last.fingerprint != *fingerprint || last.failures > 0 {
        return None;
    }
    let whole = Duration::try_from(RECHECK).unwrap_or(RETRY);
    whole
        .checked_sub(last.at.elapsed())
        .filter(|left| !left.is_zero())
}

/// The next reconciliation of this account signs in, whatever it knows.
pub fn distrust(ctx: &AccountContext, name: &str) {
    ctx.sign_ins.lock().remove(name);
}

/// The account was deleted.
pub fn forget(ctx: &AccountContext, name: &str) {
    ctx.sign_ins.lock().remove(name);
    ctx.rotations.lock().remove(name);
}

async fn sign_in(
    account: &AwsAccount,
    credentials: Result<Credentials, String>,
    ctx: &Context,
) -> AccountVerdict {
    let name = account.metadata.name.clone().unwrap_or_default();
    let mut candidate = None;
    let outcome = match credentials {
        Ok(credentials) => {
            let prepared = ctx
                .signer
                .prepare(
                    credentials,
                    account.spec.region.clone(),
                    &account.spec.assume_roles,
                )
                .await;
            let outcome = prepared.identify().await;
            candidate = Some(prepared);
            outcome
        }
        Err(missing) => SignIn::NoCredentials(missing),
    };
    let verdict = account::judge(account, &outcome);
    match (&outcome, candidate) {
        (SignIn::Identity { account_id, arn }, Some(candidate)) if verdict.ready => {
            let facts = account::facts(account, account_id, arn, candidate.region());
            ctx.accounts.signed_in(&name, candidate.session(facts));
        }
        _ => ctx.accounts.not_ready(&name, verdict.message.clone()),
    }
    tracing::info!(
        account = name,
        reason = verdict.reason,
        "{}",
        verdict.message
    );
    report(account, &outcome, &verdict, ctx).await;
    ctx.notices.concerns(Concerned::ByAccount(name));
    verdict
}

/// Writes the status when it says something new. Losing a write is harmless:
/// the next sign-in writes it.
async fn report(account: &AwsAccount, outcome: &SignIn, verdict: &AccountVerdict, ctx: &Context) {
    let status = account::status(account, outcome, verdict, Timestamp::now());
    if account.status.as_ref() == Some(&status) {
        return;
    }
    // What the rotation of the key and the sweep have told meanwhile stays.
    let change = |status: &mut AwsAccountStatus| {
        let known = AwsAccount {
            status: Some(std::mem::take(status)),
            ..account.clone()
        };
        *status = account::status(&known, outcome, verdict, Timestamp::now());
    };
    if let Err(fault) = ctx.hands.report_account(account, change).await {
        tracing::info!(
            account = account.metadata.name,
            error = fault.message,
            "account status not written"
        );
    }
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
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = calls
        .make("get_account_secret", api.get_opt(&secret.name))
        .await?;
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
