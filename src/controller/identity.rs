//! The cluster's identity in each AWS account: reads, performs, and tells what
//! `plan::identity` decides. It runs where the controllers run, and so only in
//! the leader.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::{ACCOUNTS, REQUESTS};
use crate::act::{EpochTraces, Records};
use crate::aws::{IdentityKey, Session, Tenure};
use crate::health::Readiness;
use crate::leader::uptime;
use keylease_api::{AwsAccount, AwsAccountStatus};
use keylease_core::plan::effect::{Announcement, Fault, FaultClass};
use keylease_core::plan::identity::{
    Effect, Epoch, Outcome, Record, Standing, Step, Timing, View, Work, confirmed, next, standing,
    tell,
};
use keylease_core::plan::naming::marker_entry;

/// What is looked after, should no change tell of it.
const LOOK: Duration = Duration::from_secs(30);
/// How long the farewell of a process that ends may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the operator was started with.
#[derive(Clone, Debug)]
pub struct IdentitySettings {
    /// The protocol's times.
    pub timing: Timing,
    /// The records as they were when the process was started, before it led;
    /// `None` where they could not be read.
    pub at_start: Option<BTreeMap<String, Record>>,
    /// What processes of this pod leave for the next one.
    pub traces: EpochTraces,
}

/// A clock that nobody sets, which began with the wall's time.
#[derive(Clone, Copy)]
struct Clock {
    began: Timestamp,
    uptime: Duration,
}

impl Clock {
    fn start() -> Self {
        Self {
            began: Timestamp::now(),
            uptime: uptime(),
        }
    }

    fn now(&self) -> Timestamp {
        let since = uptime().saturating_sub(self.uptime);
        let since = SignedDuration::try_from(since).unwrap_or(SignedDuration::MAX);
        self.began.checked_add(since).unwrap_or(Timestamp::MAX)
    }
}

/// Looks after identities until told to stop, and then says farewell.
///
/// `stop` comes when nothing else makes calls any more.
pub(super) async fn run(
    ctx: Arc<Context>,
    accounts: Store<AwsAccount>,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let ready = async {
        readiness.wait(ACCOUNTS).await;
        // A record that was lost matters only where there are leases.
        readiness.wait(REQUESTS).await;
    };
    if stop.run_until_cancelled(ready).await.is_none() {
        return;
    }
    let mut keepers = JoinSet::new();
    let mut kept: HashMap<IdentityKey, tokio::task::AbortHandle> = HashMap::new();
    let mut changes = ctx.accounts.changes();
    while !stop.is_cancelled() {
        kept.retain(|_, keeper| !keeper.is_finished());
        for key in ctx.accounts.places().into_keys() {
            kept.entry(key).or_insert_with_key(|key| {
                let keeper = Keeper::new(key.clone(), &ctx, accounts.clone());
                keepers.spawn(keeper.keep(ctx.accounts.changes(), stop.clone()))
            });
        }
        tokio::select! {
            _ = changes.changed() => {}
            _ = keepers.join_next(), if !keepers.is_empty() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
    }
    let farewell = async { while keepers.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// Looks after one identity.
struct Keeper {
    key: IdentityKey,
    /// The name of its record.
    entry: String,
    view: View,
    clock: Clock,
    /// Accounts that lead or led here.
    names: Vec<String>,
    session: Option<Arc<Session>>,
    tenure: Tenure,
    told: Standing,
    accounts: Store<AwsAccount>,
    records: Records,
    ctx: Arc<Context>,
}

impl Keeper {
    fn new(key: IdentityKey, ctx: &Arc<Context>, accounts: Store<AwsAccount>) -> Self {
        let entry = marker_entry(&ctx.cluster, &key.account_id, &key.path);
        let settings = &ctx.identity;
        let newest = |all: &BTreeMap<String, Record>| -> Option<Epoch> {
            all.get(&entry).and_then(|record| record.newest().cloned())
        };
        Self {
            view: View {
                timing: settings.timing,
                record: None,
                at_start: settings.at_start.as_ref().map(newest),
                local: None,
                wanted: true,
                releasing: false,
                has_leases: true,
                confirmed: Vec::new(),
                work: Work::new(fastrand::u64(..)),
            },
            clock: Clock::start(),
            names: Vec::new(),
            session: None,
            tenure: ctx.accounts.tenure_of(&key),
            told: Standing::Verifying,
            accounts,
            records: Records::new(ctx.client.clone(), &ctx.namespace, ctx.hands.calls.clone()),
            ctx: ctx.clone(),
            entry,
            key,
        }
    }

    async fn keep(mut self, mut changes: watch::Receiver<()>, stop: CancellationToken) {
        self.view.local = self.ctx.identity.traces.last(&self.entry).await;
        loop {
            self.look_around(&stop);
            let now = self.clock.now();
            let until = match next(&self.view, now) {
                Step::Do(effect) => {
                    self.perform(&effect).await;
                    self.show().await;
                    continue;
                }
                Step::Wait(until) => Some(until.duration_since(now)),
                Step::Rest => None,
            };
            self.show().await;
            let done = self.view.work.done || (until.is_none() && !self.view.wanted);
            if done || (self.view.releasing && until.is_none()) {
                return;
            }
            let pause = until.and_then(|left| Duration::try_from(left).ok());
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(pause.unwrap_or(LOOK)) => {}
                () = stop.cancelled(), if !self.view.releasing => {}
            }
        }
    }

    /// What may have changed around it.
    fn look_around(&mut self, stop: &CancellationToken) {
        if let Some((names, session)) = self.ctx.accounts.places().remove(&self.key) {
            self.session = Some(session);
            self.names.extend(names);
            self.names.sort();
            self.names.dedup();
        }
        let accounts = self.accounts.clone();
        self.names
            .retain(|name| accounts.get(&ObjectRef::new(name)).is_some());
        let accounts = self.names.iter().filter_map(|name| self.account(name));
        self.view.confirmed = accounts.filter_map(|a| confirmed(&a)).collect();
        self.view.wanted = !self.names.is_empty();
        self.view.has_leases = self.ctx.requests.find(|r| r.glance.holds).is_some();
        self.view.releasing = stop.is_cancelled();
    }

    fn account(&self, name: &str) -> Option<Arc<AwsAccount>> {
        self.accounts.get(&ObjectRef::new(name))
    }

    async fn perform(&mut self, effect: &Effect) {
        let began = self.clock.now();
        let outcome = self.act(effect).await;
        let account = &self.key.account_id;
        match &outcome {
            Ok(_) => tracing::debug!(account, effect = effect.name(), "identity"),
            Err(fault) => tracing::info!(
                account,
                effect = effect.name(),
                class = fault.class.as_str(),
                error = fault.message,
                "effect on the identity failed"
            ),
        }
        if let (Effect::Create(epoch) | Effect::Claim(epoch), Ok(_)) = (effect, &outcome) {
            self.ctx.identity.traces.leave(&self.entry, epoch).await;
        }
        let now = self.clock.now();
        self.view.record_outcome(effect, outcome, began, now);
    }

    async fn act(&self, effect: &Effect) -> Result<Outcome, Fault> {
        let session = || {
            self.session.as_deref().ok_or_else(|| Fault {
                class: FaultClass::Unavailable,
                message: "the account is not signed in".to_owned(),
            })
        };
        let cluster = &self.ctx.cluster;
        let valid = self.view.timing.valid();
        let known = self.view.record();
        match effect {
            Effect::ReadRecord => {
                let mut all = self.records.all().await?;
                return Ok(Outcome::Record(all.remove(&self.entry)));
            }
            Effect::Look => {
                let marker = session()?.marker(cluster).await?;
                return Ok(Outcome::Marker(marker));
            }
            Effect::Write(record, _) => {
                self.records.write(&self.entry, known, Some(record)).await?;
            }
            Effect::Forget => self.records.write(&self.entry, known, None).await?,
            Effect::Create(epoch) => session()?.create_marker(cluster, epoch, valid).await?,
            Effect::Claim(epoch) => session()?.claim_marker(cluster, epoch, valid).await?,
            Effect::Knock(knock) => session()?.knock_at_marker(cluster, knock).await?,
            Effect::Call(call) => session()?.call_at_marker(cluster, call).await?,
            Effect::Remove => session()?.remove_marker(cluster).await?,
        }
        Ok(Outcome::Done)
    }

    /// Lets calls through or not, and tells of it.
    async fn show(&mut self) {
        let now = self.clock.now();
        let standing = standing(&self.view, now);
        let left = self.view.time_left(now);
        if self.tenure.set(left, &standing) {
            for name in &self.names {
                self.ctx.notices.stands(name);
            }
            self.ctx.accounts.nudge();
        }
        if standing == self.told || standing == Standing::Verifying {
            return;
        }
        let mut all_told = true;
        for name in self.names.clone() {
            all_told &= self.report(&name, &standing).await;
        }
        if all_told {
            self.told = standing;
        }
    }

    /// Tells one account's status, and of a change an event.
    async fn report(&self, name: &str, standing: &Standing) -> bool {
        let (Some(account), Some(verdict)) = (self.account(name), standing.verdict(name)) else {
            return true;
        };
        let reason = verdict.reason.as_str();
        let generation = account.metadata.generation;
        let mut news = false;
        let change = |status: &mut AwsAccountStatus| {
            let before = status.clone();
            tell(status, standing, name, generation, Timestamp::now());
            news = before != *status;
        };
        let hands = &self.ctx.hands;
        if let Err(fault) = hands.report_account(&account, change).await {
            tracing::info!(
                account = name,
                error = fault.message,
                "account status not written"
            );
            return false;
        }
        if news {
            let warning = *standing != Standing::Alone;
            if warning {
                tracing::warn!(account = name, reason, "{}", verdict.message);
            } else {
                tracing::info!(account = name, reason, "{}", verdict.message);
            }
            let event = Announcement {
                reason: verdict.reason,
                message: verdict.message,
                warning,
            };
            hands.announcer.tell(&*account, &event).await;
        }
        // Ready again is what a sign-in tells.
        if matches!(self.told, Standing::Stopped(_) | Standing::Unknown(_)) {
            self.ctx.notices.suspect(&account.name_any());
        }
        true
    }
}
