//! The sweep, on its schedule: one account after the other, so that it never
//! asks for more than one call at a time.
//!
//! It runs where the controllers run, and so only in the leader.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::context::{Concerned, Context};
use super::{ACCOUNTS, SIGN_IN};
use crate::aws::Session;
use crate::health::Readiness;
use crate::metrics::Tally;
use crate::sweep::{Removal, Sweeper};
use keylease_api::decode::Lenient;
use keylease_api::{AwsAccount, SweepHalt};
use keylease_core::plan::effect::{Announcement, Fault};
use keylease_core::plan::pacing::Priority;
use keylease_core::plan::reasons::Reason;
use keylease_core::plan::sweep::guard::Approval;
use keylease_core::plan::sweep::schedule::Schedule;
use keylease_core::plan::sweep::status::{Told, of_failure, of_sweep, tell};
use keylease_core::plan::sweep::suspects::Suspect;
use keylease_core::plan::sweep::{Findings, judge};

/// How often it is looked for accounts that are new.
const LOOK: Duration = Duration::from_secs(30);

/// The sweep's own state.
struct Broom {
    ctx: Arc<Context>,
    sweeper: Sweeper,
    schedule: Schedule,
    stop: CancellationToken,
    /// When each account is swept next, by name.
    due: HashMap<String, Instant>,
    /// What was found last, by name.
    tallies: HashMap<String, Tally>,
}

/// Sweeps until told to stop.
pub(super) async fn run(
    ctx: Arc<Context>,
    accounts: Store<AwsAccount>,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let Some(schedule) = ctx.sweep else {
        return;
    };
    let ready = async {
        readiness.wait(ACCOUNTS).await;
        readiness.wait(SIGN_IN).await;
    };
    if stop.run_until_cancelled(ready).await.is_none() {
        return;
    }
    let sweeper = Sweeper {
        hands: ctx.hands.clone(),
        cluster: ctx.cluster.clone(),
    };
    let mut broom = Broom {
        ctx,
        sweeper,
        schedule,
        stop,
        due: HashMap::new(),
        tallies: HashMap::new(),
    };
    while !broom.stop.is_cancelled() {
        let names: Vec<_> = accounts.state().iter().map(|a| a.name_any()).collect();
        let pause = broom.round(&names).await;
        let sleep = tokio::time::sleep(pause);
        if broom
            .stop
            .clone()
            .run_until_cancelled(sleep)
            .await
            .is_none()
        {
            return;
        }
    }
}

impl Broom {
    /// Sweeps what is due; says when to come again.
    async fn round(&mut self, names: &[String]) -> Duration {
        self.due.retain(|name, _| names.contains(name));
        self.tallies.retain(|name, _| names.contains(name));
        for name in names {
            let soon = std(self.schedule.soon(name));
            let due = *self
                .due
                .entry(name.clone())
                .or_insert_with(|| Instant::now() + soon);
            if due > Instant::now() || self.stop.is_cancelled() {
                continue;
            }
            let pause = if self.sweep(name).await {
                std(self.schedule.pause(name))
            } else {
                soon
            };
            self.due.insert(name.clone(), Instant::now() + pause);
        }
        self.ctx.metrics.sweep.found(self.tallies.values());
        let next = self.due.values().min();
        next.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()))
            .min(LOOK)
    }

    /// Sweeps one account; whether that could be done.
    async fn sweep(&mut self, name: &str) -> bool {
        let Some(session) = self.ctx.accounts.session(name) else {
            return false;
        };
        let session = session.at(Priority::sweep(Timestamp::now()));
        let begun = Instant::now();
        let api: Api<Lenient<AwsAccount>> = Api::all(self.ctx.client.clone());
        let calls = &self.ctx.hands.calls;
        // The approval is on it, and that is not taken from a cache.
        let account = match calls.make("get_account", api.get(name)).await {
            Ok(Lenient(account)) => account,
            Err(fault) => {
                tracing::info!(account = name, error = fault.message, "account not swept");
                return false;
            }
        };
        let swept = self.sweep_with(&account, &session).await;
        let told = match &swept {
            Ok((told, tally)) => {
                self.tallies.insert(name.to_owned(), *tally);
                self.ctx.metrics.sweep.went_through(Timestamp::now());
                told.clone()
            }
            Err(fault) => of_failure(&fault.message, account.status.as_ref()),
        };
        let reason = told.verdict.reason.as_str();
        self.ctx.metrics.sweep.ended(reason, begun.elapsed());
        tracing::info!(account = name, reason, "{}", told.verdict.message);
        self.report(&account, &told).await;
        swept.is_ok()
    }

    async fn sweep_with(
        &self,
        account: &AwsAccount,
        session: &Session,
    ) -> Result<(Told, Tally), Fault> {
        let gathered = self.sweeper.gather(session).await?;
        let findings = judge(
            &gathered.picture,
            self.schedule.limits,
            halt_of(account),
            Approval::on(account),
            Timestamp::now(),
        );
        for suspect in &findings.suspects {
            self.doubt(suspect);
        }
        let failed = self.remove(&findings, session).await;
        let halts = findings.guard.halts();
        let tally = Tally {
            users: findings.users.len(),
            orphans: if halts {
                findings.orphans().count()
            } else {
                failed.len()
            },
            halted: halts,
        };
        let name = account.name_any();
        let told = of_sweep(&findings.guard, &failed, &gathered.report, &name);
        Ok((told, tally))
    }

    /// Makes a request look at its user.
    fn doubt(&self, suspect: &Suspect) {
        let Suspect {
            namespace,
            name,
            uid,
            kind,
        } = suspect;
        let kind = kind.as_str();
        tracing::info!(namespace, request = name, kind, "its user is looked at");
        self.ctx.metrics.sweep.suspected(kind);
        self.ctx.desk.doubt(uid, namespace, name);
        let request = ObjectRef::new(name).within(namespace);
        self.ctx.notices.concerns(Concerned::This(request));
    }

    /// Removes the orphans, if the guard lets it; those that could not be
    /// removed, each with its reason. One that fails stops no other.
    async fn remove(&self, findings: &Findings, session: &Session) -> Vec<String> {
        let mut failed = Vec::new();
        if findings.guard.halts() {
            return failed;
        }
        for user in findings.orphans() {
            if self.stop.is_cancelled() {
                break;
            }
            let user_name = user.name.as_str();
            match self.sweeper.remove(user, session).await {
                Ok(Removal::Removed) => {
                    self.ctx.metrics.sweep.removed();
                    tracing::info!(
                        user = user_name,
                        "an IAM user without a request was removed"
                    );
                }
                Ok(Removal::Gone) => {}
                Ok(Removal::Claimed) => {
                    tracing::info!(user = user_name, "its request is there after all");
                }
                Ok(Removal::NotOurs(why)) => {
                    tracing::warn!(user = user_name, "left alone: {why}");
                    failed.push(format!("{user_name}: it is not the operator's: {why}"));
                }
                Err(fault) => {
                    tracing::warn!(user = user_name, error = fault.message, "not removed yet");
                    failed.push(format!("{user_name}: {}", fault.message));
                }
            }
        }
        failed
    }

    /// Tells the account's status, and of a new halt an event. What is lost here
    /// is told by the next sweep.
    async fn report(&self, account: &AwsAccount, told: &Told) {
        let hands = &self.ctx.hands;
        let generation = account.metadata.generation;
        let change = |status: &mut _| tell(status, told, generation, Timestamp::now());
        if let Err(fault) = hands.report_account(account, change).await {
            let account = account.name_any();
            tracing::info!(account, error = fault.message, "account status not written");
        }
        let since = |halt: Option<&SweepHalt>| halt.map(|h| h.since.clone());
        let news = since(told.halt.as_ref()) != since(halt_of(account));
        if news && told.verdict.reason == Reason::SweepHalted {
            let event = Announcement {
                reason: told.verdict.reason,
                message: told.verdict.message.clone(),
                warning: true,
            };
            hands.announcer.tell(account, &event).await;
        }
    }
}

fn halt_of(account: &AwsAccount) -> Option<&SweepHalt> {
    account.status.as_ref()?.sweep_halt.as_ref()
}

fn std(duration: jiff::SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}
