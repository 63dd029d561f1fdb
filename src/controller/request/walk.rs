//! The way of one request: decide, act, and around again.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tracing::Instrument;

use super::{note, until_then};
use crate::controller::context::Context;
use crate::controller::waiting_room::Seat;
use crate::traces::spans::{self, Journey};
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::effect::{Attachment, Effect, Fault, FaultClass, Outcome};
use keylease_core::plan::intent::has_finalizer;
use keylease_core::plan::pacing;
use keylease_core::plan::view::{AccountView, RoleView, View};
use keylease_core::plan::{self, Step, backoff};

/// Steps that one reconciliation may take. The longest way, a user with every
/// quota used up taken down, has about 60; past this something goes in
/// circles, and a pause is better than a hot loop.
const MAX_STEPS: usize = 200;
/// The pause after [`MAX_STEPS`].
const CIRCLE_PAUSE: Duration = Duration::from_secs(30);

pub(super) async fn run(
    view: &mut View,
    key: &mut Option<KeyMaterial>,
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
    key: &mut Option<KeyMaterial>,
    seat: Option<&Seat>,
    journey: &mut Journey,
    ctx: &Context,
) -> (&'static str, Option<Duration>) {
    for _ in 0..MAX_STEPS {
        if ctx.hand_over.is_cancelled() {
            return ("handed_over", None);
        }
        if let Some(account) = account(view, ctx) {
            view.account = account;
        }
        if let (RoleView::Found(role), false) = (&view.role, has_its_place(view)) {
            let account = &role.spec.account_ref.name;
            view.usage = ctx.ledger.enter(&view.request, account);
            // Asked with a place taken: see `Holds`.
            view.account_held = ctx.hands.holds.stands(account);
        }
        let now = Timestamp::now();
        view.work.clock_is(now);
        let step = plan::next(view, now);
        let progress = match step {
            Step::Look(what) => {
                let span = journey.look(view, what);
                let look = ctx.eyes.look(what, view);
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

/// The account as the registry has it: that of the role, if it leads to the AWS
/// account that the user is in, else the one that the intent names.
fn account(view: &View, ctx: &Context) -> Option<AccountView> {
    let (name, id) = view.account_wanted()?;
    let of_role = view.account_of_role().zip(id.as_deref());
    let of_role = of_role.map(|(name, id)| (ctx.accounts.view(name, Some(id)), id));
    let ready = of_role.filter(|(account, id)| account.is_ready_in(id));
    let account = ready.map(|(account, _)| account);
    Some(account.unwrap_or_else(|| ctx.accounts.view(&name, id.as_deref())))
}

/// Whether the request was let in before: a lease stands, or an intent that this
/// process wrote or compared with the role. A finalizer alone, or an intent that
/// anybody may have written, is no reason to leave limits aside.
fn has_its_place(view: &View) -> bool {
    let begun = view.live().is_some() || view.trusted_intent().is_some();
    begun && has_finalizer(&view.request)
}

/// Where many leases end together all keys are to die first, and then all
/// statuses to say so: one that is further gives its seat to one that is not.
/// What it did is on the desk.
fn gives_way(view: &View, seat: &Seat, ctx: &Context) -> bool {
    let stage = pacing::gives_way_as(view, Timestamp::now());
    stage.is_some_and(|stage| ctx.waiting_room.is_wanted(seat, stage))
}

async fn perform(
    effect: &Effect,
    view: &mut View,
    key: &mut Option<KeyMaterial>,
    journey: &mut Journey,
    ctx: &Context,
) -> Result<(), Fault> {
    let (account, id) = view.account_wanted().unwrap_or_default();
    let session = ctx.accounts.session_for(&account, id.as_deref());
    let span = journey.effect(view, effect);
    let act = ctx.hands.perform(effect, view, session.as_deref(), key);
    let outcome = act.instrument(span.clone()).await;
    spans::close(span, outcome.fault());
    note::note(effect, &outcome, view, &account, ctx);
    view.record(effect, outcome, Timestamp::now())
        .map_err(|stall| stall.0)
}

/// Deletes a key that nobody was given and that ends with this process. The
/// next leader finds the user without it and goes on from there.
pub(super) async fn take_back_key(view: &mut View, ctx: &Context) {
    let Some((user, key)) = view.key_to_take_back() else {
        return;
    };
    let (account, id) = view.account_wanted().unwrap_or_default();
    let taken_back = match ctx.accounts.session_for(&account, id.as_deref()) {
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
