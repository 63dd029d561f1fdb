//! Roles: whether they can be served and how many leases they have, told in
//! their status; and kept until the last lease is gone.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::controller::Action;
use parking_lot::Mutex;

use super::context::{Concerned, Context};
use super::hold::hold;
use super::request::rival;
use crate::act::FIELD_MANAGER;
use crate::api::AwsRole;
use crate::plan;
use crate::plan::effect::Fault;

/// When to try again after the API server did not take a write.
const RETRY: Duration = Duration::from_secs(5);
/// Least time between two writes of one role's status: a thousand leases that
/// end together are a few writes, not a thousand.
const PACE: Duration = Duration::from_secs(1);

/// The role controller's own context.
pub struct RoleContext {
    /// What all controllers share.
    pub shared: Arc<Context>,
    /// What was done about each role, by name.
    pub known: Mutex<HashMap<String, Known>>,
}

/// What was done about a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// When its status was last written.
    written: Option<Instant>,
    /// The version that its requests were told of: uid, generation, leaving.
    told: Option<(Option<String>, Option<i64>, bool)>,
}

/// Judges one role.
///
/// # Errors
/// None: failures are logged and counted here.
pub async fn reconcile(role: Arc<AwsRole>, ctx: Arc<RoleContext>) -> Result<Action, Infallible> {
    let name = role.metadata.name.clone().unwrap_or_default();
    let account = ctx.shared.accounts.view(&role.spec.account_ref.name, None);
    let (leases, settled) = leases(&name, &ctx.shared);
    let rival = rival(&role, &ctx.shared);
    let status = plan::role::status(&role, &account, leases, rival.as_deref(), Timestamp::now());
    let news = role.status.as_ref() != Some(&status);
    let written = tell_requests(&name, &role, &ctx);
    let wait = written.and_then(|at| PACE.checked_sub(at.elapsed()));
    if let (true, Some(wait)) = (news, wait) {
        return Ok(Action::requeue(wait));
    }
    let api: Api<AwsRole> = Api::all(ctx.shared.client.clone());
    let mut done = Ok(());
    if news {
        ctx.known.lock().entry(name.clone()).or_default().written = Some(Instant::now());
        done = report(&api, &role, status, &ctx.shared).await;
    }
    if done.is_ok() && !news {
        done = hold(&api, &ctx.shared.hands.calls, &role, leases > 0).await;
    }
    match done {
        Ok(()) => {
            ctx.shared.metrics.reconcile("role", "ok");
            Ok(if settled {
                Action::await_change()
            } else {
                Action::requeue(PACE)
            })
        }
        Err(fault) => {
            tracing::info!(role = name, error = fault.message, "role not written");
            ctx.shared.metrics.reconcile("role", "stalled");
            Ok(Action::requeue(RETRY))
        }
    }
}

/// Lets the role's requests know of a change, once. Says when the status was
/// last written.
fn tell_requests(name: &str, role: &AwsRole, ctx: &RoleContext) -> Option<Instant> {
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
    known.written
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

/// Writes the status; the event of that write brings the role back here, where
/// the hold follows.
async fn report(
    api: &Api<AwsRole>,
    role: &AwsRole,
    status: crate::api::AwsRoleStatus,
    ctx: &Context,
) -> Result<(), Fault> {
    let mut updated = role.clone();
    updated.status = Some(status);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let call = api.replace_status(name, &params, &updated);
    ctx.hands.calls.make("report_role", call).await.map(drop)
}
