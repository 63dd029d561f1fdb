//! The audit trail: one record for each credential that was issued, renewed,
//! rotated or taken away, as a log line of the target [`TARGET`]. It is written
//! whatever log level is asked for, and names keys by their ids, never more.

mod record;

pub use record::{Act, Record};

use keylease_api::AwsCredentialRequest;
use keylease_core::plan::effect::{Effect, Outcome};
use keylease_core::plan::view::View;

/// The log target of the records: what a log collector selects them by.
pub const TARGET: &str = "keylease::audit";

/// Writes what this effect did to a credential, if anything. `view` is what was
/// known when the effect was decided on.
pub fn note(effect: &Effect, outcome: &Outcome, view: &View) {
    if let Some(record) = Record::of(effect, outcome, &view.request) {
        write(record);
    }
}

/// Writes that a sweep removed the user of a request that is gone, as its tags
/// name it.
pub fn swept(request: &AwsCredentialRequest, account: &str, user: &str) {
    write(Record::swept(request, account, user));
}

fn write(record: Record) {
    let Record {
        act,
        reason,
        namespace,
        request,
        uid,
        role,
        lease,
        expires_at,
        credential,
        account,
        access_key_id,
        user,
        asked_by,
        asked_with,
        asked_at,
        unanswered,
    } = record;
    // Debug of a string escapes: what tenants may choose cannot start a line.
    tracing::info!(
        target: TARGET,
        act = act.as_str(),
        reason,
        namespace,
        request,
        uid,
        role,
        lease,
        expires_at,
        credential,
        account,
        access_key_id,
        user,
        asked_by = asked_by.as_ref().map(tracing::field::debug),
        asked_with = asked_with.as_ref().map(tracing::field::debug),
        asked_at,
        unanswered = unanswered.then_some(true),
        "audit"
    );
}
