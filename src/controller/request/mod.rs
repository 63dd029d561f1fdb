//! Requests: observe, decide, act, and around again.

mod note;
mod walk;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use super::context::{Concerned, Context};
use super::desk::Folder;
use super::ledger::Change;
use super::waiting_room::{Line, Seat, Wish};
use crate::cache::Filed;
use keylease_api::{AwsCredentialRequest, AwsRole};
use keylease_core::plan::pacing::{self, Priority};
use keylease_core::plan::reasons::Verdict;
use keylease_core::plan::view::{RoleHint, View};
use keylease_core::plan::{self, LONGEST_SLEEP, Step, adopted};

/// When to look again at a request that waits for its turn, should the call be
/// missed. (An end that comes meanwhile is looked at in time.)
const SECOND_LOOK: Duration = Duration::from_secs(300);
/// Takes one request as far as it goes now.
///
/// # Errors
/// None: failures are outcomes, counted and put into status or log here.
pub async fn reconcile(request: Arc<Filed>, ctx: Arc<Context>) -> Result<Action, Infallible> {
    // After a start all requests are looked at together, and nearly all rest:
    // the room that work takes is taken when it begins, not for each that waits
    // to be polled.
    let pause = Box::pin(take_up(&request, &ctx)).await;
    Ok(pause.map_or_else(Action::await_change, Action::requeue))
}

/// The same; the pause after which to come back, or `None` where only a change
/// matters.
pub(super) async fn take_up(filed: &Filed, ctx: &Context) -> Option<Duration> {
    match filed.open() {
        Ok(request) => advance(Arc::new(request), ctx).await,
        Err(error) => {
            tracing::error!(request = ?filed, %error, "left alone until it changes");
            ctx.metrics.reconcile("request", "unreadable");
            None
        }
    }
}

async fn advance(request: Arc<AwsCredentialRequest>, ctx: &Context) -> Option<Duration> {
    let uid = request.uid_str().to_owned();
    let Folder { work, mut key } = ctx.desk.take(&uid, Timestamp::now());
    let mut view = View::new(ctx.cluster.clone(), request, work);
    view.hint = ctx.secrets.hint(&view.request);
    view.remark_hint = ctx.secrets.remark(&view.request);
    view.role_hint = role_hint(&view, ctx);
    if let Some(role) = ctx.ledger.succeed(&view.request) {
        ctx.notices.counted(&role, None);
        ctx.notices.concerns(Concerned::Waiting(role));
    }
    let on_arrival = ctx.ledger.note(&view.request);
    let pause = match seat(&view, ctx) {
        Ok(seat) => walk::run(&mut view, &mut key, seat.as_ref(), ctx).await,
        Err(waits) => waits,
    };
    if ctx.hand_over.is_cancelled() {
        walk::take_back_key(&mut view, ctx).await;
    }
    let role = view.request.spec.role_ref.name.clone();
    let change = if view.gone {
        ctx.ledger.gone(view.request.uid_str());
        Change::Freed
    } else {
        ctx.ledger.note(&view.request)
    };
    let changes = [on_arrival, change];
    if changes != [Change::Nothing; 2] {
        let account = view.account_wanted().map(|(name, _)| name);
        ctx.notices.counted(&role, account.as_deref());
    }
    if changes.contains(&Change::Freed) {
        ctx.notices.concerns(Concerned::Waiting(role));
    }
    if view.in_hand().is_none() {
        key = None;
    }
    if view.worth_keeping() {
        let View { request, work, .. } = view;
        ctx.desk.put(&request, Folder { work, key });
    }
    pause
}

/// A seat for a request that has anything to do. If there is none, it is
/// called when there is, and this is when to look should that be missed.
fn seat(view: &View, ctx: &Context) -> Result<Option<Seat>, Option<Duration>> {
    let now = Timestamp::now();
    let request = &view.request;
    if let Step::Wait(_) | Step::Rest = plan::next(view, now) {
        let namespace = request.namespace_name();
        ctx.waiting_room.leave(namespace, &request.name_any());
        return Ok(None);
    }
    let role = ctx.roles.get(&ObjectRef::new(&request.spec.role_ref.name));
    let wanted = view.account_wanted().map(|(name, _)| name);
    let named = role.as_ref().map(|r| r.spec.account_ref.name.clone());
    // Whether this cluster may change anything there is known in some seconds;
    // then it is called.
    if wanted
        .or(named)
        .is_some_and(|a| ctx.accounts.is_verifying(&a))
    {
        return Err(Some(SECOND_LOOK));
    }
    let service = pacing::service(view, role.as_deref());
    let priority = Priority::of(view, now);
    let account = view
        .account_wanted()
        .or_else(|| role.map(|r| (r.spec.account_ref.name.clone(), None)));
    let session = account.and_then(|(name, id)| ctx.accounts.session_for(&name, id.as_deref()));
    let per_second = session
        .as_ref()
        .map_or(f64::INFINITY, |s| s.per_second(service));
    let class = priority.class;
    let wish = Wish {
        line: Line {
            account: session.map_or_else(Default::default, |s| s.facts.account_id.as_str().into()),
            service,
            class,
        },
        priority,
        slots: pacing::slots(class, per_second),
        at_once: view.in_hand().is_some(),
    };
    match ctx.waiting_room.enter(request, wish) {
        Some(seat) => Ok(Some(seat)),
        None => {
            ctx.metrics.reconcile("request", "waits");
            let urgent = pacing::urgent_at(view, now).map(until_then);
            Err(Some(urgent.unwrap_or(SECOND_LOOK).min(SECOND_LOOK)))
        }
    }
}

/// What the cache says of the role. A role that the cache has not is leaving
/// only if the cache is complete, which it is before any request is looked at.
fn role_hint(view: &View, ctx: &Context) -> RoleHint {
    let role = ctx
        .roles
        .get(&ObjectRef::new(&view.request.spec.role_ref.name));
    let named = role.as_ref().map(|r| r.spec.account_ref.name.clone());
    let account = view.account_wanted().map(|(name, _)| name).or(named);
    let missing = RoleHint::default();
    let unnamed = view.request.spec.role_ref.name.is_empty();
    RoleHint {
        account_leaving: account.is_some_and(|name| ctx.accounts.is_leaving(&name)),
        unfit: role.as_ref().and_then(|r| unfit(r, ctx)),
        // Whose role cannot be read has none that could be gone.
        ..if unnamed {
            missing
        } else {
            RoleHint::of(role.as_deref())
        }
    }
}

/// Why the role's static user cannot be had: only static users can be wanted by
/// two roles, or be who the operator signs in as.
pub(super) fn unfit(role: &AwsRole, ctx: &Context) -> Option<Verdict> {
    role.spec.static_user.as_ref()?;
    let operators = ctx.accounts.operators(&role.spec.account_ref.name);
    let mut operators = operators.iter();
    let operator = operators.find_map(|(name, arn)| adopted::is_operator(role, name, arn));
    operator.or_else(|| {
        let all = ctx.roles.state();
        let older = adopted::rival(role, all.iter().map(AsRef::as_ref))?;
        Some(adopted::rivalry(role, &older))
    })
}

/// How long to sleep until then.
pub(super) fn until_then(until: Timestamp) -> Duration {
    let left = until
        .duration_since(Timestamp::now())
        .clamp(SignedDuration::ZERO, LONGEST_SLEEP);
    Duration::try_from(left).unwrap_or_default()
}
