//! What people write into requests that is no wish for now: times that lie
//! ahead or are none, and text that does not decode.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::sim::Sim;
use super::tenants::pick;
use crate::plan::live::ROTATE_ANNOTATION;
use keylease_api::decode::Lenient;
use keylease_api::{AwsCredentialRequest, Renew, Rfc3339};

/// Text that the API server took for a time, or takes where it looks at none.
const NO_TIMES: [&str; 3] = [
    "2026-11-23T10:00:00+99:99",
    "9999-12-31T23:59:59Z",
    "tonight",
];

/// A time: of a while ago, of now, ahead, or none.
fn time(sim: &mut Sim) -> String {
    let ahead = match sim.rng.u8(..5) {
        0 => return NO_TIMES[sim.rng.usize(..NO_TIMES.len())].to_owned(),
        1 => -sim.millis(1_000..=3_600_000),
        2 => sim.millis(1_000..=300_000),
        3 => SignedDuration::from_hours(24),
        _ => SignedDuration::ZERO,
    };
    (sim.now + ahead).to_string()
}

/// Somebody asks for another key, or for more time, at any time.
pub(super) fn ask(sim: &mut Sim) {
    let (name, at, now) = (pick(sim), time(sim), sim.now);
    let renews = sim.rng.bool();
    sim.tell(|| format!("ask {name} for {at:?}, more time: {renews}"));
    sim.cluster.edit(name, now, |request| {
        if renews {
            request.spec.renew = Some(Renew {
                at: Rfc3339::from(at.as_str()),
                increment: Some("5h".into()),
            });
        } else {
            let annotations = request.metadata.annotations.get_or_insert_default();
            annotations.insert(ROTATE_ANNOTATION.into(), at);
        }
    });
    sim.changed(name);
}

/// A newer version, or nobody's rule, lets something be stored that this one
/// cannot read; or somebody puts it right.
pub(super) fn garble(sim: &mut Sim) {
    let (name, now) = (pick(sim), sim.now);
    let (field, value) = [
        ("onExpiry", json!("Someday")),
        ("restart", json!("web")),
        ("rotation", json!({"overlap": 7})),
        ("onExpiry", json!("Rotate")),
    ][sim.rng.usize(..4)]
    .clone();
    let Some(stored) = sim.cluster.request(name) else {
        return;
    };
    let mut object = serde_json::to_value(stored.as_ref()).unwrap();
    object["spec"][field] = value;
    sim.tell(|| format!("{name} becomes {object}"));
    let decoded = read(object);
    sim.cluster.edit(name, now, |request| *request = decoded);
    sim.changed(name);
}

/// The object as the watch decodes it.
fn read(object: Value) -> AwsCredentialRequest {
    let Lenient(request) = serde_json::from_value(object).unwrap();
    request
}
