//! The spans, three deep: a reconciliation, its steps, the calls of a step. All
//! that they say is written here: names that Kubernetes objects have, ids of AWS
//! accounts, classes of faults and counts. Texts of servers are not: they may
//! quote what was sent.

use tracing::field::Empty;
use tracing::{Span, info_span};

use super::TARGET;
use keylease_core::plan::Look;
use keylease_core::plan::effect::{Effect, Fault};
use keylease_core::plan::view::View;

/// One reconciliation of a request. Its span begins with the first step: most
/// reconciliations find nothing to do, and are not worth one.
#[derive(Default)]
pub struct Journey {
    span: Option<Span>,
    steps: u32,
}

impl Journey {
    /// A direct read that begins now.
    pub fn look(&mut self, view: &View, what: Look) -> Span {
        self.step(view, what.name(), None)
    }

    /// An effect that begins now.
    pub fn effect(&mut self, view: &View, effect: &Effect) -> Span {
        let told = match effect {
            Effect::Report(report) => report.event.as_ref(),
            _ => None,
        };
        self.step(view, effect.name(), told.map(|event| event.reason.as_str()))
    }

    fn step(&mut self, view: &View, name: &'static str, reason: Option<&'static str>) -> Span {
        self.steps = self.steps.saturating_add(1);
        let parent = self.span.get_or_insert_with(|| reconciliation(view));
        info_span!(
            target: TARGET,
            parent: &*parent,
            "step",
            otel.name = name,
            otel.status_code = Empty,
            keylease.outcome = Empty,
            keylease.reason = reason,
        )
    }

    /// The end. `result` is the outcome that the metrics have, too.
    pub fn end(self, view: &View, result: &'static str) {
        let Some(span) = self.span.filter(|span| !span.is_disabled()) else {
            return;
        };
        // Which account it is shows on the way.
        if let Some((account, id)) = view.account_wanted() {
            span.record("keylease.account", account);
            span.record("cloud.account.id", id);
        }
        span.record("keylease.steps", i64::from(self.steps));
        span.record("keylease.result", result);
    }
}

fn reconciliation(view: &View) -> Span {
    let request = &view.request;
    let failures = request.status.as_ref().map_or(0, |s| s.failure_count());
    info_span!(
        target: TARGET,
        parent: None,
        "reconcile",
        k8s.namespace.name = request.metadata.namespace,
        keylease.request = request.metadata.name,
        keylease.request.uid = request.metadata.uid,
        keylease.role = request.spec.role_ref.name,
        // Failures are counted in the status and end with a success.
        keylease.attempt = i64::from(failures) + 1,
        keylease.account = Empty,
        cloud.account.id = Empty,
        keylease.steps = Empty,
        keylease.result = Empty,
    )
}

/// A call that is sent now; what came before, in the same step, was the wait for
/// its turn. Calls that belong to no step, such as those for the Lease and for the
/// sweep, have no span.
pub fn call(service: &'static str, operation: &'static str) -> Span {
    let current = Span::current();
    if current.metadata().is_none_or(|m| m.target() != TARGET) {
        return Span::none();
    }
    info_span!(
        target: TARGET,
        parent: current,
        "call",
        otel.name = operation,
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.service = service,
        rpc.method = operation,
        keylease.outcome = Empty,
    )
}

/// What came of a step or a call: it was done, or what kind of fault it met.
pub fn close(span: Span, fault: Option<&Fault>) {
    if fault.is_some() {
        span.record("otel.status_code", "ERROR");
    }
    let outcome = fault.map_or("ok", |fault| fault.class.as_str());
    span.record("keylease.outcome", outcome);
}
