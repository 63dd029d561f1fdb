//! Roles: whether they can be served and how many leases they have, told in
//! their status; and kept until the last lease is gone.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::runtime::controller::Action;
use parking_lot::Mutex;

use super::context::{Concerned, Context};
use super::request::{unfit, until_then};
use crate::act::{set_hold, write_status};
use keylease_api::{AwsRole, AwsRoleStatus};
use keylease_core::plan;
use keylease_core::plan::effect::Fault;
use keylease_core::plan::mark;
use keylease_core::plan::unreadable;

/// When to try again after the API server did not take a write.
const RETRY: Duration = Duration::from_secs(5);
/// Least time between two writes of one role's status: a thousand leases that
/// end together are a few writes, not a thousand.
const PACE: Duration = Duration::from_secs(1);

/// The role controller's own context.
pub struct RoleContext {
    /// What all controllers share.
    pub shared: Arc<Context>,
    /// Completes when each account was signed in to, or this process ends.
    pub signed_in: Shared<BoxFuture<'static, ()>>,
    /// What was done about each role, by name.
    pub known: Mutex<HashMap<String, Known>>,
}

/// What was done about a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// When its status was last written.
    written: Option<Instant>,
    /// The mark that was last written, whatever became of it.
    marked: Option<Time>,
    /// The version that its requests were told of: uid, generation, leaving.
    told: Option<(Option<String>, Option<i64>, bool)>,
}

impl Known {
    /// How long a write of this status has to wait, if it has to. A new mark
    /// does not.
    fn pause(&self, status: &AwsRoleStatus) -> Option<Duration> {
        let paced = self.marked == status.revoked_before;
        PACE.checked_sub(self.written?.elapsed()).filter(|_| paced)
    }
}

/// Judges one role.
///
/// # Errors
/// None: failures are logged and counted here.
pub async fn reconcile(role: Arc<AwsRole>, ctx: Arc<RoleContext>) -> Result<Action, Infallible> {
    ctx.signed_in.clone().await;
    let name = role.metadata.name.clone().unwrap_or_default();
    let account = ctx.shared.accounts.view(&role.spec.account_ref.name, None);
    let (leases, settled) = leases(&name, &ctx.shared);
    let unfit = unfit(&role, &ctx.shared);
    let now = Timestamp::now();
    let status = plan::role::status(&role, &account, leases, unfit.as_ref(), now);
    let news = role.status.as_ref() != Some(&status);
    let known = ctx.known.lock().get(&name).cloned().unwrap_or_default();
    if let (true, Some(wait)) = (news, known.pause(&status)) {
        tell_requests(&name, &role, &ctx);
        return Ok(Action::requeue(wait));
    }
    let mut done = Ok(false);
    if news {
        done = report(&name, &role, status, &ctx).await;
    }
    // Whom the role revokes was marked before its requests hear of it: it spares
    // each of them a write before its key is deleted.
    tell_requests(&name, &role, &ctx);
    // What was written comes back as an event; the hold follows then.
    if let Ok(false) = done {
        let api = Api::all(ctx.shared.client.clone());
        let held = set_hold::<AwsRole>(&api, &ctx.shared.hands.calls, &role, leases > 0).await;
        done = held.map(|()| false);
    }
    match done {
        Ok(_) => {
            ctx.shared.metrics.reconcile("role", "ok");
            let rises = mark::rises_at(&role, now).map(until_then);
            let again = [rises, (!settled).then_some(PACE)].into_iter().flatten();
            Ok(again
                .min()
                .map_or_else(Action::await_change, Action::requeue))
        }
        Err(fault) => {
            tracing::info!(role = name, error = fault.message, "role not written");
            ctx.shared.metrics.reconcile("role", "stalled");
            Ok(Action::requeue(RETRY))
        }
    }
}

/// Lets the role's requests know of a change, once.
fn tell_requests(name: &str, role: &AwsRole, ctx: &RoleContext) {
    let meta = &role.metadata;
    let version = Some((
        meta.uid.clone(),
        meta.generation,
        meta.deletion_timestamp.is_some(),
    ));
    let mut known = ctx.known.lock();
    let known = known.entry(name.to_owned()).or_default();
    if known.told != version {
        known.told = version;
        let whom = Concerned::ByRole(name.to_owned());
        ctx.shared.notices.concerns(whom);
    }
}

/// The larger of two counts, and whether they agree: the ledger is exact and
/// fills up after a start, the cache is complete and lags.
fn leases(role: &str, ctx: &Context) -> (usize, bool) {
    let cached = ctx.requests.state();
    let cached = cached
        .iter()
        .filter(|r| r.glance.holds && *r.glance.role == *role);
    let (cached, noted) = (cached.count(), ctx.ledger.of_role(role));
    (cached.max(noted), cached == noted)
}

/// Writes the status. Says whether that changed anything: not where the API
/// server does not keep what was written, under an older definition of the kind.
async fn report(
    name: &str,
    role: &AwsRole,
    status: AwsRoleStatus,
    ctx: &RoleContext,
) -> Result<bool, Fault> {
    {
        let mut known = ctx.known.lock();
        let known = known.entry(name.to_owned()).or_default();
        known.written = Some(Instant::now());
        known.marked.clone_from(&status.revoked_before);
    }
    let shared = &ctx.shared;
    let api = Api::all(shared.client.clone());
    let write = write_status(&shared.hands.calls, "report_role", &api, role, status);
    let written = write.await?;
    let conditions = |role: &AwsRole| role.status.clone().unwrap_or_default().conditions;
    if let Some(event) = unreadable::news(&conditions(role), &conditions(&written)) {
        tracing::warn!(role = name, "{}", event.message);
        shared.hands.announcer.tell(role, &event).await;
    }
    Ok(written.metadata.resource_version != role.metadata.resource_version)
}
