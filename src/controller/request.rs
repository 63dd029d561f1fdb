//! Requests: observe, decide, act, and around again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use tracing::Instrument;

use super::context::{Concerned, Context};
use super::ledger::Change;
use crate::api::{AwsCredentialRequest, AwsRole};
use crate::audit;
use crate::cache::{Filed, due};
use crate::metrics::first_issue;
use crate::observe;
use crate::plan::effect::{Attachment, Effect, Fault, FaultClass, Outcome};
use crate::plan::intent::has_finalizer;
use crate::plan::pacing::{self, Priority, Stage};
use crate::plan::view::{RoleHint, RoleView, View};
use crate::plan::{self, Step, adopted, backoff};
use crate::traces::spans::{self, Journey};

use super::desk::Folder;
use super::waiting_room::{Line, Seat, Wish};

/// Steps that one reconciliation may take. The longest way, a user with every
/// quota used up taken down, has about 60; past this something goes in
/// circles, and a pause is better than a hot loop.
const MAX_STEPS: usize = 200;
/// When to look again at a request that waits for its turn, should the call be
/// missed. (An end that comes meanwhile is looked at in time.)
const SECOND_LOOK: Duration = Duration::from_secs(300);
/// The pause after [`MAX_STEPS`].
const CIRCLE_PAUSE: Duration = Duration::from_secs(30);

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
    view.role_hint = role_hint(&view, ctx);
    let on_arrival = ctx.ledger.note(&view.request);
    let pause = match seat(&view, ctx) {
        Ok(seat) => run(&mut view, &mut key, seat.as_ref(), ctx).await,
        Err(waits) => waits,
    };
    if ctx.hand_over.is_cancelled() {
        take_back_key(&mut view, ctx).await;
    }
    let role = view.request.spec.role_ref.name.clone();
    let change = if view.gone {
        ctx.ledger
            .leave(view.request.namespace_name(), &view.request.name_any());
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
        let work = view.work;
        ctx.desk.put(&uid, Folder { work, key });
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
    let service = pacing::service(view, role.as_deref());
    let priority = Priority::of(view, now);
    let account = view
        .account_wanted()
        .or_else(|| role.map(|r| (r.spec.account_ref.name.clone(), None)));
    let session = account.and_then(|(name, id)| ctx.accounts.session(&name, id.as_deref()));
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

async fn run(
    view: &mut View,
    key: &mut Option<crate::key_material::KeyMaterial>,
    seat: Option<&Seat>,
    ctx: &Context,
) -> Option<Duration> {
    let mut journey = Journey::default();
    let (result, pause) = walk(view, key, seat, &mut journey, ctx).await;
    ctx.metrics.reconcile("request", result);
    journey.end(view, result);
    pause
}

/// Step by step, to where there is nothing to do now: how it ended, and the
/// pause.
async fn walk(
    view: &mut View,
    key: &mut Option<crate::key_material::KeyMaterial>,
    seat: Option<&Seat>,
    journey: &mut Journey,
    ctx: &Context,
) -> (&'static str, Option<Duration>) {
    for _ in 0..MAX_STEPS {
        if ctx.hand_over.is_cancelled() {
            return ("handed_over", None);
        }
        if let Some((name, id)) = view.account_wanted() {
            view.account = ctx.accounts.view(&name, id.as_deref());
        }
        if let (RoleView::Found(role), false) = (&view.role, has_finalizer(&view.request)) {
            let account = &role.spec.account_ref.name;
            view.usage = ctx.ledger.enter(&view.request, account);
        }
        let step = plan::next(view, Timestamp::now());
        let progress = match step {
            Step::Look(what) => {
                let span = journey.look(view, what);
                let look = observe::look(what, view, &ctx.client, &ctx.hands.calls);
                let read = look.instrument(span.clone()).await;
                spans::close(span, read.as_ref().err());
                read.inspect_err(|_| view.work.stalls = view.work.stalls.saturating_add(1))
            }
            Step::Do(effect) => perform(&effect, view, key, journey, ctx).await,
            Step::TakeBack(verdict) => {
                view.take_back(verdict);
                Ok(())
            }
            Step::Wait(until) => return ("ok", Some(until_then(until))),
            Step::Rest => return ("ok", None),
        };
        if let Err(fault) = progress {
            let (result, pause) = stalled(view, &fault);
            return (result, Some(pause));
        }
        if seat.is_some_and(|seat| gives_way(view, seat, ctx)) {
            return ("gives_way", Some(Duration::ZERO));
        }
    }
    tracing::error!(
        namespace = view.request.namespace_name(),
        request = view.request.metadata.name,
        "no end after {MAX_STEPS} steps; pausing"
    );
    ("circle", Some(CIRCLE_PAUSE))
}

/// Where many leases end together all keys are to die first: one that is dead
/// gives its seat to one that is not. What it did is on the desk.
fn gives_way(view: &View, seat: &Seat, ctx: &Context) -> bool {
    let stage = pacing::stage(view);
    stage == Stage::KeyDead && ctx.waiting_room.is_wanted(seat, stage)
}

async fn perform(
    effect: &Effect,
    view: &mut View,
    key: &mut Option<crate::key_material::KeyMaterial>,
    journey: &mut Journey,
    ctx: &Context,
) -> Result<(), Fault> {
    let (account, id) = view.account_wanted().unwrap_or_default();
    let session = ctx.accounts.session(&account, id.as_deref());
    let span = journey.effect(view, effect);
    let act = ctx.hands.perform(effect, view, session.as_deref(), key);
    let outcome = act.instrument(span.clone()).await;
    spans::close(span, outcome.fault());
    note(effect, &outcome, view, &account, ctx);
    view.record(effect, outcome, Timestamp::now())
        .map_err(|stall| stall.0)
}

/// Deletes a key that nobody was given and that ends with this process. The
/// next leader finds the user without it and goes on from there.
async fn take_back_key(view: &mut View, ctx: &Context) {
    let Some((user, key)) = view.key_to_take_back() else {
        return;
    };
    let (account, id) = view.account_wanted().unwrap_or_default();
    let taken_back = match ctx.accounts.session(&account, id.as_deref()) {
        Some(session) => session.take_back_key(&user, &key).await,
        None => Err(Fault {
            class: FaultClass::Unavailable,
            message: "the account is not signed in any more".to_owned(),
        }),
    };
    let namespace = view.request.namespace_name();
    let request = view.request.name_any();
    match &taken_back {
        Ok(()) => tracing::info!(namespace, request, key, "took a new key back"),
        Err(fault) => {
            let error = &fault.message;
            tracing::warn!(namespace, request, key, error, "a new key is left behind");
        }
    }
    let outcome = taken_back.map_or_else(Outcome::Failed, |()| Outcome::Done);
    // Nothing more is decided in this process: a failure has been told.
    let _ = view.record(
        &Effect::Clear(Attachment::Key(key)),
        outcome,
        Timestamp::now(),
    );
}

/// Tells log, metrics and neighbours what happened.
fn note(effect: &Effect, outcome: &Outcome, view: &View, account: &str, ctx: &Context) {
    audit::note(effect, outcome, view);
    let request = &view.request;
    let (namespace, name) = (request.namespace_name(), request.metadata.name.as_deref());
    match outcome {
        Outcome::Failed(fault) => {
            tracing::info!(
                namespace,
                request = name,
                effect = effect.name(),
                class = fault.class.as_str(),
                error = fault.message,
                "effect failed"
            );
            let signed_out = matches!(
                fault.class,
                FaultClass::BadCredentials | FaultClass::NoAnswer
            );
            if signed_out && !effect.on_kubernetes() {
                ctx.notices.suspect(account);
            }
        }
        Outcome::Secret(facts) => {
            if let Some((key_id, _)) = &facts.key {
                ctx.secrets.wrote(request, key_id);
            }
        }
        _ => {}
    }
    if let (Effect::Release, Outcome::Request(_), Some(due)) = (effect, outcome, due(request)) {
        let took = Timestamp::now().duration_since(due);
        // What a role revokes goes before its end: nobody waited for it.
        if let Ok(took) = Duration::try_from(took) {
            ctx.metrics.revoked_after(took);
        }
    }
    if let (Effect::Report(report), Outcome::Request(_)) = (effect, outcome) {
        if let Some(event) = &report.event {
            let reason = event.reason.as_str();
            tracing::info!(namespace, request = name, reason, "{}", event.message);
            ctx.metrics.transition(reason);
        }
        if let Some(took) = first_issue(request, report, Timestamp::now()) {
            ctx.metrics.issued_after(took);
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
    RoleHint {
        revoke_before: role
            .as_ref()
            .and_then(|r| r.spec.revoke_before.as_ref().map(|t| t.0)),
        leaving: role
            .as_ref()
            .is_none_or(|r| r.metadata.deletion_timestamp.is_some()),
        account_leaving: account.is_some_and(|name| ctx.accounts.is_leaving(&name)),
        rotation_period: role.as_ref().and_then(|r| adopted::rotation_period(r)),
        rival: role.as_ref().and_then(|r| rival(r, ctx)),
    }
}

/// Only static users can be wanted by two roles.
pub(super) fn rival(role: &AwsRole, ctx: &Context) -> Option<String> {
    role.spec.static_user.as_ref()?;
    let all = ctx.roles.state();
    adopted::rival(role, all.iter().map(AsRef::as_ref))
}

/// The API server does not serve, or AWS has no turn for us: keep everything as
/// it is and come back.
fn stalled(view: &View, fault: &Fault) -> (&'static str, Duration) {
    if fault.class == FaultClass::Unsent {
        // Its place in the line is by its age: nothing is lost by going back.
        return ("unsent", Duration::ZERO);
    }
    let pause = backoff::pause(view.work.stalls, view.request.uid_str());
    tracing::warn!(
        namespace = view.request.namespace_name(),
        request = view.request.metadata.name,
        class = fault.class.as_str(),
        error = fault.message,
        pause = %pause,
        "the API server did not serve a call; trying again later"
    );
    ("stalled", Duration::try_from(pause).unwrap_or_default())
}

fn until_then(until: Timestamp) -> Duration {
    let left = until
        .duration_since(Timestamp::now())
        .max(SignedDuration::ZERO);
    Duration::try_from(left).unwrap_or_default()
}
