//! What log, metrics and neighbours are told of an effect.

use std::time::Duration;

use jiff::Timestamp;

use crate::audit;
use crate::cache::due;
use crate::controller::context::Context;
use crate::metrics::first_issue;
use keylease_core::plan::effect::{Effect, FaultClass, Outcome};
use keylease_core::plan::view::View;

/// Tells log, metrics and neighbours what happened.
pub(super) fn note(effect: &Effect, outcome: &Outcome, view: &View, account: &str, ctx: &Context) {
    audit::note(effect, outcome, view);
    let request = &view.request;
    if let Effect::Restart(..) = effect {
        ctx.metrics.roll(match outcome {
            Outcome::Failed(fault) => fault.class.as_str(),
            Outcome::HeldBack(why) => why.as_str(),
            _ => "rolled",
        });
    }
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
            // Unavailable are credentials that cannot be had any more, too.
            let signed_out = matches!(
                fault.class,
                FaultClass::BadCredentials | FaultClass::NoAnswer | FaultClass::Unavailable
            );
            if signed_out && !effect.on_kubernetes() {
                ctx.notices.suspect(account);
            }
        }
        Outcome::Secret(facts) => {
            if let Some((key_id, _)) = &facts.key {
                ctx.secrets.wrote(request, key_id, facts.remark.as_deref());
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
        for event in &report.warnings {
            let reason = event.reason.as_str();
            tracing::warn!(namespace, request = name, reason, "{}", event.message);
            ctx.metrics.transition(reason);
        }
        if let Some(took) = first_issue(request, report, Timestamp::now()) {
            ctx.metrics.issued_after(took);
        }
    }
}
