//! Kubernetes and IAM, as far as one request sees them, in memory and in
//! virtual time.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::plan::admission::AccountFacts;
use crate::plan::adopted::Adoptee;
use crate::plan::effect::{Attachment, Effect, Fault, FaultClass, Outcome, Owner, Proof};
use crate::plan::intent::{FINALIZER, INTENT_ANNOTATION, has_finalizer};
use crate::plan::lease::Term;
use crate::plan::naming::ClusterId;
use crate::plan::secret::{SecretFacts, SecretView};
use crate::plan::standing::Standing;
use crate::plan::view::{AccountView, RoleHint, SecretHint, View};
use keylease_api::{AwsCredentialRequest, AwsRole, Holder, Phase, StaticUser};

/// A key that somebody else made.
pub(super) const FOREIGN: &str = "AKIAFOREIGN";

/// A stored Secret.
#[derive(Clone, Debug)]
pub(super) struct StoredSecret {
    pub owner: String,
    pub key: Option<(String, Term)>,
    pub renewed_for: Option<Timestamp>,
    pub written: Option<Timestamp>,
    pub version: u64,
}

impl StoredSecret {
    /// One that belongs to somebody else.
    pub fn foreign() -> Self {
        Self {
            owner: "somebody".into(),
            key: None,
            renewed_for: None,
            written: None,
            version: 7,
        }
    }
}

/// A stored IAM user.
#[derive(Clone, Debug, Default)]
pub(super) struct User {
    pub ours: bool,
    /// It was there before, and stays.
    pub stays: bool,
    pub on_it: BTreeSet<Attachment>,
}

impl User {
    fn keys(&self) -> Vec<String> {
        let keys = self.on_it.iter().filter_map(|a| match a {
            Attachment::Key(id) => Some(id.clone()),
            _ => None,
        });
        keys.collect()
    }
}

/// How IAM answers calls about a user of whom it knows no more than the name: it
/// authorises them on the name without a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pathless {
    /// The operator may do everything.
    #[default]
    Allowed,
    /// As the printed policy has it: it may read and remove, and put nothing on
    /// such a user.
    OnlyRemovals,
    /// As policies that are confined to a path have it.
    Denied,
}

/// Everything outside the operator.
pub(super) struct World {
    pub now: Timestamp,
    pub role: Option<Arc<AwsRole>>,
    pub request: Option<AwsCredentialRequest>,
    pub secret: Option<StoredSecret>,
    pub user: Option<User>,
    /// How the key stands.
    pub standing: Standing,
    /// AWS cannot serve.
    pub down: bool,
    /// Effects that are refused as long as this stands, by name.
    pub refusing: Vec<(&'static str, FaultClass)>,
    /// Until then `DeleteUser` conflicts, whatever is on the user.
    pub conflicts_until: Timestamp,
    /// How far the clock of STS is behind.
    pub sts_behind: SignedDuration,
    /// The account has as many users as it can have.
    pub full: bool,
    /// How long a new key takes to be accepted.
    pub key_delay: SignedDuration,
    /// Reads that IAM answers do not show what is younger.
    pub read_lag: SignedDuration,
    /// What the operator's policy says to a user without a path.
    pub pathless: Pathless,
    /// Caches show what was before the last write, then catch up.
    pub stale: bool,
    pub account: AccountView,
    /// Whether our finalizer is on the account.
    pub account_held: bool,
    /// Every effect that was applied, by name.
    pub applied: Vec<String>,
    /// Workloads that were rolled, and for which key.
    pub rolled: Vec<(String, String)>,
    keys_made: u32,
    key_made_at: Timestamp,
    user_made_at: Timestamp,
    version: u64,
}

impl World {
    pub fn new(now: Timestamp, role: Arc<AwsRole>, request: AwsCredentialRequest) -> Self {
        let account = AccountView::Ready(Box::new(AccountFacts {
            name: "default".into(),
            account_id: "123456789012".into(),
            partition: "aws".into(),
            region: "us-east-1".into(),
            path: "/keylease/".into(),
            boundary: None,
            allow_role_boundary: false,
            tags: Default::default(),
            arn: "arn:aws:iam::123456789012:user/operator".into(),
            max_users: 0,
            requests_per_second: None,
            unreadable: Default::default(),
        }));
        Self {
            now,
            role: Some(role),
            request: Some(request),
            secret: None,
            user: None,
            standing: Standing::Good,
            down: false,
            refusing: Vec::new(),
            conflicts_until: Timestamp::MIN,
            sts_behind: SignedDuration::ZERO,
            full: false,
            key_delay: SignedDuration::ZERO,
            read_lag: SignedDuration::ZERO,
            pathless: Pathless::Allowed,
            stale: false,
            account,
            account_held: true,
            applied: Vec::new(),
            rolled: Vec::new(),
            keys_made: 0,
            key_made_at: now,
            user_made_at: now,
            version: 1,
        }
    }

    pub fn cluster() -> ClusterId {
        ClusterId("cluster".into())
    }

    /// The ids of all keys in AWS.
    pub fn keys(&self) -> Vec<String> {
        self.user.as_ref().map(User::keys).unwrap_or_default()
    }

    /// The user as IAM's readers see it.
    fn readable_user(&self) -> Option<User> {
        let young = |made: Timestamp| self.now < made + self.read_lag;
        let mut user = self.user.clone()?;
        if young(self.key_made_at) {
            let youngest = format!("AKIA{}", self.keys_made);
            user.on_it.remove(&Attachment::Key(youngest));
        }
        (user.stays || !young(self.user_made_at)).then_some(user)
    }

    /// How many AWS calls of the applied ones were IAM's.
    pub fn aws_calls(&self) -> Vec<&str> {
        let kubernetes = [
            "begin",
            "hold_account",
            "check_secret",
            "publish_secret",
            "amend_secret",
            "restart_workload",
            "delete_request",
            "claim",
            "unclaim",
            "delete_secret",
            "release",
            "report",
        ];
        let all = self.applied.iter().map(String::as_str);
        all.filter(|e| !kubernetes.contains(e)).collect()
    }

    /// A key whose maker ends is deleted. Nobody may have been given it.
    pub fn take_back_key(&mut self, id: &str) {
        let stored = self.secret.as_ref().and_then(|s| s.key.as_ref());
        assert!(
            stored.is_none_or(|(stored, _)| stored != id),
            "{id} is in the Secret: {:?}",
            self.applied
        );
        self.applied.push("take_back_key".to_owned());
        if let Some(user) = &mut self.user {
            user.on_it.remove(&Attachment::Key(id.to_owned()));
        }
    }

    /// The key of a lease that runs, as the Secret has it, if it works: nothing
    /// that the operator does may end that.
    pub fn delivered(&self) -> Option<String> {
        let request = self.request.as_ref()?;
        let status = request.status.as_ref()?;
        let role = self.role.as_ref()?;
        let marked = role
            .status
            .as_ref()
            .is_some_and(|s| s.revoked_before.is_some());
        let revoking = role.spec.revoke_before.is_some() || marked;
        let secret = self.secret.as_ref()?;
        let runs = matches!(status.phase, Some(Phase::Ready | Phase::Rotating))
            && request.metadata.deletion_timestamp.is_none()
            && status.credential.is_some()
            && secret.owner == request.uid_str()
            && self.now < status.lease.as_ref()?.expires_at.0;
        let (key, _) = secret.key.as_ref()?;
        let works = self.keys().contains(key);
        (runs && works && !revoking).then(|| key.clone())
    }

    /// `kubectl delete`.
    pub fn delete_request(&mut self) {
        let now = self.now;
        let gone = {
            let request = self.request.as_mut().unwrap();
            request.metadata.deletion_timestamp = Some(Time(now));
            request.metadata.generation = request.metadata.generation.map(|g| g + 1);
            request
                .metadata
                .finalizers
                .as_ref()
                .is_none_or(Vec::is_empty)
        };
        self.bump();
        if gone {
            self.request = None;
        }
    }

    pub fn secret_view(&self) -> SecretView {
        let Some(secret) = &self.secret else {
            return SecretView::Absent;
        };
        let uid = self.request.as_ref().map(|r| r.uid_str().to_owned());
        if Some(&secret.owner) != uid.as_ref() {
            return SecretView::Foreign;
        }
        SecretView::Ours(SecretFacts {
            uid: "secret-uid".into(),
            resource_version: secret.version.to_string(),
            key: secret.key.clone(),
            written: secret.written,
            renewed_for: secret.renewed_for,
            restored: 0,
            in_place: true,
            immutable: false,
            remark: None,
        })
    }

    pub fn hint(&self) -> SecretHint {
        match &self.secret {
            Some(s) => SecretHint::Holds(s.key.as_ref().map(|(id, _)| id.clone())),
            None => SecretHint::Missing,
        }
    }

    pub fn role_hint(&self) -> RoleHint {
        RoleHint::of(self.role.as_deref())
    }

    /// A user that is to be adopted, with a key of somebody else.
    pub fn with_static_user(mut self, period: &str) -> Self {
        let mut role = AwsRole::clone(self.role.as_ref().unwrap());
        role.spec.iam_user = None;
        role.spec.static_user = Some(StaticUser {
            user_name: "legacy".into(),
            rotation_period: Some(period.into()),
        });
        self.role = Some(Arc::new(role));
        self.user = Some(User {
            stays: true,
            ..User::default()
        });
        self
    }

    /// Somebody else makes a key.
    pub fn foreign_key(&mut self) {
        let user = self.user.as_mut().unwrap();
        user.on_it.insert(Attachment::Key(FOREIGN.into()));
    }

    pub fn bump(&mut self) {
        self.version += 1;
        if let Some(request) = &mut self.request {
            request.metadata.resource_version = Some(self.version.to_string());
        }
    }

    /// Applies one effect and answers.
    pub fn apply(&mut self, effect: &Effect, view: &View) -> Outcome {
        self.applied.push(effect.name().to_owned());
        let refused = self
            .refusing
            .iter()
            .find(|(name, _)| *name == effect.name());
        if let Some((_, class)) = refused {
            return refusal(effect, *class);
        }
        let result = match effect {
            Effect::Begin(_) | Effect::Release | Effect::Report(_) => self.write(effect, view),
            Effect::HoldAccount(_) => {
                self.account_held = true;
                Ok(Outcome::Done)
            }
            Effect::CheckSecret if self.secret.is_some() => {
                match (self.secret_view(), &view.secret) {
                    (SecretView::Ours(now), SecretView::Ours(seen)) if now == *seen => {
                        Ok(Outcome::Done)
                    }
                    _ => Err(FaultClass::AlreadyExists),
                }
            }
            Effect::CheckSecret => Ok(Outcome::Done),
            Effect::PublishSecret(term) => self.publish(*term, view),
            Effect::AmendSecret(what) => match (&mut self.secret, &what.secret.key) {
                (Some(secret), Some((id, _)))
                    if secret.version.to_string() == what.secret.resource_version =>
                {
                    secret.key = Some((id.clone(), what.term));
                    secret.renewed_for = Some(what.renewed_for);
                    secret.version += 1000;
                    match self.secret_view() {
                        SecretView::Ours(facts) => Ok(Outcome::Secret(facts)),
                        _ => Err(FaultClass::Stale),
                    }
                }
                _ => Err(FaultClass::Stale),
            },
            Effect::Restart(workload, key) => {
                self.rolled.push((workload.name.clone(), key.clone()));
                Ok(Outcome::Done)
            }
            Effect::Claim(holder) => self.claim(Some(holder)),
            Effect::Unclaim => self.claim(None),
            Effect::DeleteRequest => {
                self.request = None;
                Ok(Outcome::Done)
            }
            Effect::IssueSession(_) if self.down => Err(FaultClass::Unavailable),
            Effect::IssueSession(spec) => {
                self.keys_made += 1;
                let left = SignedDuration::from_secs(spec.seconds.into());
                let expires = self.now - self.sts_behind + left;
                Ok(Outcome::SessionIssued(
                    format!("ASIA{}", self.keys_made),
                    expires,
                ))
            }
            Effect::DeleteSecret(facts) => match self.secret_view() {
                SecretView::Ours(now) if now == *facts => {
                    self.secret = None;
                    Ok(Outcome::Done)
                }
                SecretView::Absent => Err(FaultClass::NotFound),
                _ => Err(FaultClass::Stale),
            },
            _ => self.aws(effect, view),
        };
        result.unwrap_or_else(fault)
    }

    fn write(&mut self, effect: &Effect, view: &View) -> Result<Outcome, FaultClass> {
        let request = self.request.as_mut().ok_or(FaultClass::NotFound)?;
        if request.metadata.resource_version != view.request.metadata.resource_version {
            return Err(FaultClass::Stale);
        }
        match effect {
            Effect::Begin(intent) => {
                request.metadata.finalizers = Some(vec![FINALIZER.into()]);
                let annotations = request.metadata.annotations.get_or_insert_default();
                annotations.insert(INTENT_ANNOTATION.into(), intent.to_json());
            }
            Effect::Release => {
                request.metadata.finalizers = None;
                request.metadata.annotations = None;
            }
            Effect::Report(report) => request.status = Some(report.status.clone()),
            _ => unreachable!(),
        }
        self.bump();
        let stored = self.request.clone().unwrap();
        if stored.metadata.deletion_timestamp.is_some() && !has_finalizer(&stored) {
            self.request = None;
            self.secret = None;
        }
        Ok(Outcome::Request(Arc::new(stored)))
    }

    fn claim(&mut self, holder: Option<&Holder>) -> Result<Outcome, FaultClass> {
        let mut role = AwsRole::clone(self.role.as_ref().ok_or(FaultClass::NotFound)?);
        role.status.get_or_insert_default().holder = holder.cloned();
        let role = Arc::new(role);
        self.role = Some(role.clone());
        Ok(Outcome::Role(role))
    }

    fn publish(&mut self, term: Term, view: &View) -> Result<Outcome, FaultClass> {
        match (&self.secret, &view.secret) {
            (None, SecretView::Ours(_)) => return Err(FaultClass::NotFound),
            (None, _) => {}
            (Some(now), SecretView::Ours(seen))
                if now.version.to_string() == seen.resource_version => {}
            (Some(_), SecretView::Ours(_)) => return Err(FaultClass::Stale),
            (Some(_), _) => return Err(FaultClass::AlreadyExists),
        }
        let held = view.work.held.as_ref().expect("published without a key");
        assert!(held.proven, "published a key that was not proven");
        self.version += 1;
        self.secret = Some(StoredSecret {
            owner: view.request.uid_str().to_owned(),
            key: Some((held.id.clone(), term)),
            renewed_for: None,
            written: Some(self.now),
            version: self.version,
        });
        match self.secret_view() {
            SecretView::Ours(facts) => Ok(Outcome::Secret(facts)),
            _ => Err(FaultClass::Refused),
        }
    }

    /// Whether IAM denies the call because it finds no user to take a path from.
    fn denies(&self, effect: &Effect) -> bool {
        let adds = matches!(effect, Effect::Grant(_) | Effect::CreateKey);
        let denied = match (self.pathless, effect) {
            (_, Effect::CreateUser | Effect::ProveKey) | (Pathless::Allowed, _) => false,
            (Pathless::OnlyRemovals, _) => adds,
            (Pathless::Denied, _) => true,
        };
        denied && !self.down && self.readable_user().is_none()
    }

    fn aws(&mut self, effect: &Effect, view: &View) -> Result<Outcome, FaultClass> {
        if self.denies(effect) {
            let user = match effect {
                Effect::FindUser(user) => user.clone(),
                _ => view.intent().unwrap().user_name.clone(),
            };
            return Ok(Outcome::Failed(unseen(&user)));
        }
        if let Effect::FindUser(_) = effect {
            let stays = self.user.as_ref().is_some_and(|u| u.stays);
            return Ok(Outcome::Adoptee(if stays {
                Adoptee::Found("/".into())
            } else {
                Adoptee::Missing
            }));
        }
        assert!(view.intent().is_some(), "{effect:?} without an intent");
        if self.down {
            return Err(FaultClass::Unavailable);
        }
        if let (Effect::CreateUser, Some(_)) = (effect, &self.user) {
            return Err(FaultClass::AlreadyExists);
        }
        let now = self.now;
        match effect {
            Effect::CreateUser if self.full => return Err(FaultClass::QuotaExceeded),
            Effect::CreateUser => {
                self.user_made_at = now;
                self.user = Some(User {
                    ours: true,
                    ..User::default()
                });
                return Ok(Outcome::Done);
            }
            Effect::InspectUser => {
                return Ok(Outcome::User(match self.readable_user() {
                    None => Owner::Nobody,
                    Some(user) if user.ours => Owner::Ours,
                    Some(_) => Owner::Foreign("its tags are not ours".into()),
                }));
            }
            Effect::TakeInventory => {
                let found = self.readable_user();
                let found = found.map(|u| u.on_it.into_iter().collect());
                return Ok(Outcome::Inventory(found));
            }
            Effect::ReadStanding => return Ok(Outcome::Standing(self.standing.clone())),
            Effect::ListKeys => {
                let found = self.readable_user().ok_or(FaultClass::NotFound)?;
                return Ok(Outcome::Keys(found.keys()));
            }
            Effect::ProveKey => {
                let id = &view.work.held.as_ref().unwrap().id;
                let known = self.keys().contains(id);
                let settled = now >= self.key_made_at + self.key_delay;
                return Ok(Outcome::Proof(proof(known && settled)));
            }
            _ => {}
        }
        let two_keys = self.keys().len() >= 2;
        let user = self.user.as_mut().ok_or(FaultClass::NotFound)?;
        assert!(
            user.ours || user.stays,
            "{effect:?} on a user that is not ours"
        );
        if user.stays {
            let foreign = Attachment::Key(FOREIGN.into());
            let may = match effect {
                Effect::CreateKey => true,
                Effect::Clear(key) => *key != foreign,
                _ => false,
            };
            assert!(may, "{effect:?} on a user that stays");
        }
        match effect {
            Effect::Grant(permission) => {
                user.on_it.insert(permission.into());
            }
            Effect::CreateKey if two_keys => return Err(FaultClass::QuotaExceeded),
            Effect::CreateKey => {
                self.keys_made += 1;
                self.key_made_at = now;
                let id = format!("AKIA{}", self.keys_made);
                user.on_it.insert(Attachment::Key(id.clone()));
                return Ok(Outcome::KeyCreated(id));
            }
            Effect::Clear(attachment) => {
                if !user.on_it.remove(attachment) {
                    return Err(FaultClass::NotFound);
                }
            }
            Effect::DeleteUser if !user.on_it.is_empty() || now < self.conflicts_until => {
                return Err(FaultClass::DeleteConflict);
            }
            Effect::DeleteUser => self.user = None,
            other => unreachable!("{other:?}"),
        }
        Ok(Outcome::Done)
    }
}

fn fault(class: FaultClass) -> Outcome {
    Outcome::Failed(Fault {
        class,
        message: format!("simulated {}", class.as_str()),
    })
}

/// What AWS says of a call that it refuses: a policy that is not there is named.
fn refusal(effect: &Effect, class: FaultClass) -> Outcome {
    let Effect::Grant(permission) = effect else {
        return fault(class);
    };
    Outcome::Failed(Fault {
        class,
        message: format!("NoSuchEntity: Policy {permission} does not exist or is not attachable."),
    })
}

/// IAM's denial about a user of whom it knows the name alone.
pub(super) fn unseen(user: &str) -> Fault {
    Fault {
        class: FaultClass::Unseen,
        message: format!(
            "AccessDenied: User: arn:aws:iam::123456789012:user/operator is not authorized to \
             perform: iam:Some on resource: user {user} because no identity-based policy allows \
             the iam:Some action"
        ),
    }
}

/// What a server says of a key that it knows, or not.
pub fn proof(known: bool) -> Proof {
    if known {
        Proof::Accepted
    } else {
        Proof::Unknown
    }
}
