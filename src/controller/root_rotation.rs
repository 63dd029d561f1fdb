//! The operator's own key: reads, performs, and tells what
//! `plan::root_rotation` decides.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::account::{AccountContext, read_secret};
use super::context::Context;
use crate::act::RootSecret;
use crate::aws::{Credentials, Session};
use keylease_api::AwsAccount;
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::effect::{Attachment, Fault, FaultClass, Proof};
use keylease_core::plan::root_rotation::{
    ANNOTATION, Effect, Marker, Outcome, SecretFacts, Step, Told, View, Work, next, shows, tell,
    unfit, user_of,
};
use keylease_core::plan::sign_in::SignIn;

/// Steps that one reconciliation may take; a whole rotation has about 20.
const MAX_STEPS: usize = 60;
/// The pause after [`MAX_STEPS`], and when the Secret could not be read.
const PAUSE: Duration = Duration::from_secs(15);

/// What is kept between reconciliations of one account.
pub struct Rotation {
    /// The account's uid: another account of that name begins anew.
    uid: Option<String>,
    work: Work,
    /// The new key, while the Secret does not hold it.
    held: Option<KeyMaterial>,
}

/// One reconciliation's surroundings.
struct Desk<'a> {
    account: &'a AwsAccount,
    name: &'a str,
    secret_name: &'a str,
    secrets: Api<Secret>,
    ctx: &'a AccountContext,
    held: Option<KeyMaterial>,
    /// The key that the Secret holds.
    stored: Option<KeyMaterial>,
}

/// Takes the rotation of an account that is signed in as far as it goes now;
/// says when to come back, or `None` if nothing is to be done.
pub(super) async fn run(account: &AwsAccount, ctx: &AccountContext) -> Option<Duration> {
    let name = account.metadata.name.as_deref()?;
    let kept = ctx.rotations.lock().remove(name);
    let told = account.status.as_ref().is_some_and(shows);
    if account.spec.root_rotation.is_none() && kept.is_none() && !told {
        return None;
    }
    let named = account.spec.credentials.as_ref();
    let (Some(secret), Some(session), Some(signed_in)) = (
        named.and_then(|c| c.secret_ref.as_ref()),
        ctx.shared.accounts.session(name),
        ctx.sign_ins.key_in_use(name),
    ) else {
        if let (true, Err(fault)) = (told, report(account, &Told::default(), &ctx.shared).await) {
            tracing::info!(account = name, error = fault.message, "status not written");
            return Some(PAUSE);
        }
        return None;
    };
    let uid = account.metadata.uid.clone();
    let kept = kept.filter(|kept| kept.uid == uid).unwrap_or_else(|| {
        let status = account.status.as_ref();
        Rotation {
            uid: uid.clone(),
            work: Work::new(status.and_then(|s| s.root_key.as_ref())),
            held: None,
        }
    });
    let mut view = View {
        period: period(account),
        user: user_of(&session.facts.arn).unwrap_or_default().to_owned(),
        signed_in,
        secret: None,
        work: kept.work,
    };
    let mut desk = Desk {
        account,
        name,
        secret_name: &secret.name,
        secrets: Api::namespaced(ctx.shared.client.clone(), &ctx.shared.namespace),
        ctx,
        held: kept.held,
        stored: None,
    };
    let pause = go_on(&mut view, &mut desk).await;
    let rotation = Rotation {
        uid,
        held: desk.held.filter(|_| view.work.held.is_some()),
        work: view.work,
    };
    // Nothing is worth the memory where nothing is asked for.
    if view.period.is_some() || rotation.held.is_some() || pause.is_some() {
        ctx.rotations.lock().insert(name.to_owned(), rotation);
    }
    pause
}

/// The age at which the key is replaced; `None` where it stays.
fn period(account: &AwsAccount) -> Option<SignedDuration> {
    let asked = account.spec.root_rotation.as_ref()?;
    let leaving = account.metadata.deletion_timestamp.is_some();
    let chained = !account.spec.assume_roles.is_empty();
    let period = asked.period.get().ok()?;
    let readable = account.spec.unreadable.is_empty();
    (readable && !leaving && !chained && period.is_positive()).then_some(period)
}

async fn go_on(view: &mut View, desk: &mut Desk<'_>) -> Option<Duration> {
    for _ in 0..MAX_STEPS {
        match next(view, Timestamp::now()) {
            Step::Look => match desk.look().await {
                Ok(secret) => view.saw_secret(secret),
                Err(why) => {
                    tracing::info!(
                        account = desk.name,
                        why,
                        "the account's Secret was not read"
                    );
                    return Some(PAUSE);
                }
            },
            Step::Do(effect) => {
                let outcome = desk.perform(&effect, view).await;
                desk.note(&effect, &outcome, view);
                view.record(&effect, outcome, Timestamp::now());
            }
            Step::GiveUp(verdict) => {
                let reason = verdict.reason.as_str();
                tracing::warn!(account = desk.name, reason, "{}", verdict.message);
                view.give_up(verdict, Timestamp::now());
            }
            Step::Wait(until) => {
                let left = until.duration_since(Timestamp::now());
                return Some(Duration::try_from(left).unwrap_or_default());
            }
            Step::Rest => return None,
        }
    }
    tracing::error!(
        account = desk.name,
        "no end after {MAX_STEPS} steps; pausing"
    );
    Some(PAUSE)
}

impl Desk<'_> {
    /// Reads the Secret directly.
    async fn look(&mut self) -> Result<SecretFacts, String> {
        let shared = &self.ctx.shared;
        let call = self.secrets.get(self.secret_name);
        let found = shared.hands.calls.make("get_account_secret", call).await;
        let found = found.map_err(|fault| fault.message)?;
        let meta = found.metadata.clone();
        let immutable = found.immutable.unwrap_or(false);
        let Credentials::Static(key) = read_secret(found, self.secret_name)? else {
            return Err("it holds no key".to_owned());
        };
        let session = shared.accounts.session(self.name);
        let arn = session.map(|s| s.facts.arn.clone()).unwrap_or_default();
        let marker = meta.annotations.as_ref().and_then(|a| a.get(ANNOTATION));
        let facts = SecretFacts {
            key_id: key.id().to_owned(),
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            marker: marker.and_then(|text| Marker::parse(text)),
            unfit: unfit(&arn, key.session_token().is_some(), immutable),
        };
        self.stored = Some(key);
        Ok(facts)
    }

    async fn perform(&mut self, effect: &Effect, view: &View) -> Result<Outcome, Fault> {
        let hands = &self.ctx.shared.hands;
        let secret = || {
            let seen = view.secret.as_ref().ok_or_else(|| lacking("a Secret"))?;
            Ok(RootSecret {
                api: &self.secrets,
                name: self.secret_name,
                seen,
            })
        };
        match effect {
            Effect::Report(told) => {
                report(self.account, told, &self.ctx.shared).await?;
                Ok(Outcome::Done)
            }
            Effect::Claim(marker) => {
                let written = hands.mark_root_secret(&secret()?, Some(marker)).await?;
                Ok(Outcome::Secret(written))
            }
            Effect::Unclaim => {
                let written = hands.mark_root_secret(&secret()?, None).await?;
                Ok(Outcome::Secret(written))
            }
            Effect::Store(marker) => {
                let key = self.held.as_ref().ok_or_else(|| lacking("a key"))?;
                let written = hands.store_root_key(&secret()?, key, marker).await?;
                self.stored = self.held.take();
                Ok(Outcome::Secret(written))
            }
            Effect::SignIn => self.sign_in().await,
            Effect::ListKeys => {
                let keys = self.session()?.own_keys(&view.user).await?;
                Ok(Outcome::Keys(keys))
            }
            Effect::CreateKey => {
                let key = self.session()?.create_key(&view.user).await?;
                let id = key.id().to_owned();
                self.held = Some(key);
                Ok(Outcome::KeyCreated(id))
            }
            Effect::ProveKey => {
                let key = self.held.as_ref().ok_or_else(|| lacking("a key"))?;
                let session = self.session()?;
                let proof = session.prove_key(key, &session.facts.arn, true).await?;
                Ok(Outcome::Proof(proof == Proof::Accepted))
            }
            Effect::DeleteKey(id) => {
                let key = Attachment::Key(id.clone());
                self.session()?.clear(&view.user, &key).await?;
                Ok(Outcome::Done)
            }
        }
    }

    /// Replaces the session, if the key that the Secret holds is accepted as
    /// the same user's. Until then the session stays as it is.
    async fn sign_in(&mut self) -> Result<Outcome, Fault> {
        let shared = &self.ctx.shared;
        let key = self.stored.take().ok_or_else(|| lacking("a key"))?;
        let id = key.id().to_owned();
        let current = self.session()?;
        let (facts, tenure) = (current.facts.clone(), current.tenure());
        let credentials = Credentials::Static(key);
        let candidate = shared.signer.prepare(credentials, &self.account.spec).await;
        match candidate.identify().await {
            SignIn::Identity { arn, .. } if arn == facts.arn => {
                let session = candidate.session(facts, tenure);
                shared.accounts.signed_in(self.name, session);
                self.ctx.sign_ins.uses_key(self.name, &id);
                Ok(Outcome::Done)
            }
            SignIn::Identity { arn, .. } => Err(Fault {
                class: FaultClass::Refused,
                message: format!("key {id} belongs to {arn}"),
            }),
            SignIn::NoCredentials(message) => Err(Fault {
                class: FaultClass::Unavailable,
                message,
            }),
            SignIn::Failed(failure) => Err(failure.fault),
        }
    }

    fn session(&self) -> Result<Arc<Session>, Fault> {
        let session = self.ctx.shared.accounts.session(self.name);
        session.ok_or_else(|| lacking("a session"))
    }

    /// Tells the log and the sign-in what happened.
    fn note(&self, effect: &Effect, outcome: &Result<Outcome, Fault>, view: &View) {
        let account = self.name;
        match (effect, outcome) {
            (_, Err(fault)) => tracing::info!(
                account,
                effect = effect.name(),
                class = fault.class.as_str(),
                error = fault.message,
                "effect on the operator's own key failed"
            ),
            (_, Ok(Outcome::Secret(written))) => {
                if let Some(seen) = &view.secret {
                    let (from, to) = (&seen.resource_version, &written.resource_version);
                    self.ctx.sign_ins.wrote_secret(account, from, to);
                }
            }
            _ => {}
        }
        match (effect, outcome) {
            (Effect::CreateKey, Ok(Outcome::KeyCreated(key))) => {
                tracing::info!(account, key, "a new key for the operator itself was made");
            }
            (Effect::Store(marker), Ok(_)) => {
                let (old, new) = (&marker.old, marker.new.as_deref());
                tracing::info!(account, old, new, "the account's Secret holds the new key");
            }
            (Effect::SignIn, Ok(_)) => tracing::info!(account, "signed in with the new key"),
            (Effect::DeleteKey(key), Ok(_)) => {
                tracing::info!(account, key, "a key of the operator's own user was deleted");
            }
            _ => {}
        }
    }
}

/// Writes the status when it says something new.
async fn report(account: &AwsAccount, told: &Told, ctx: &Context) -> Result<(), Fault> {
    let generation = account.metadata.generation;
    let change = |status: &mut _| tell(status, told, generation, Timestamp::now());
    ctx.hands.report_account(account, change).await
}

fn lacking(what: &str) -> Fault {
    Fault {
        class: FaultClass::Unavailable,
        message: format!("{what} is not at hand"),
    }
}
