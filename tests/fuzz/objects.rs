//! The three kinds, from any JSON that an API server could hand out.

use keylease::cache::{Filed, Glance, slim};
use keylease_api::decode::{Lenient, Salvage};
use keylease_api::{AwsAccount, AwsCredentialRequest, AwsRole};
use keylease_core::plan::admission::{NamespaceView, admit, check_role};
use keylease_core::plan::view::Usage;
use serde::Serialize;
use serde_json::Value;

use crate::harness::{Told, did, fuzz};
use crate::samples::{self, FIELDS};

/// What is decoded is written and read back the same, and judged without harm.
fn objects_judge(input: &[u8]) -> Told {
    let account: Option<AwsAccount> = round(input)?;
    let role: Option<AwsRole> = round(input)?;
    let request: Option<AwsCredentialRequest> = round(input)?;
    let facts = samples::account();
    let role_said = role
        .as_ref()
        .map(|r| check_role(r, &facts).map_err(|v| v.reason.as_str()));
    let admitted = [
        role.map(|role| (samples::request(), role)),
        request.clone().map(|request| (request, samples::role())),
    ];
    let admitted = admitted.into_iter().flatten().map(|(request, role)| {
        let cluster = samples::cluster();
        let namespace = NamespaceView::Unread;
        let admission = admit(
            &request,
            &role,
            &namespace,
            &facts,
            &cluster,
            &Usage::default(),
        );
        match admission {
            keylease_core::plan::admission::Admission::Granted(_) => "granted",
            keylease_core::plan::admission::Admission::NeedsNamespace => "needs namespace",
            keylease_core::plan::admission::Admission::Refused(verdict) => verdict.reason.as_str(),
        }
    });
    let admitted: Vec<_> = admitted.collect();
    let status = request
        .and_then(|r| r.status)
        .map(|s| (s.phase, s.lease.is_some()));
    did((
        account.is_some(),
        role_said,
        admitted,
        format!("{status:?}"),
    ))
}

/// What a cache keeps of a request is the request, less what it leaves out.
fn filed_judge(input: &[u8]) -> Told {
    let request: Result<Lenient<AwsCredentialRequest>, _> = serde_json::from_slice(input);
    let filed: Result<Filed, _> = serde_json::from_slice(input);
    let (Ok(Lenient(mut request)), Ok(filed)) = (request, filed) else {
        let decodes = serde_json::from_slice::<Lenient<AwsCredentialRequest>>(input).is_ok();
        ensure!(!decodes, "a request that decodes cannot be filed");
        return did("refused");
    };
    slim(&mut request);
    let opened = filed.open().map_err(|e| e.to_string())?;
    ensure!(value(&opened) == value(&request), "filed as {opened:?}");
    ensure!(
        filed.glance == Glance::of(&request),
        "at a glance {:?}",
        filed.glance
    );
    ensure!(
        filed.namespace_name() == request.namespace_name(),
        "another namespace"
    );
    ensure!(filed.uid_str() == request.uid_str(), "another uid");
    let Glance {
        due,
        holds,
        phase,
        account,
        ..
    } = filed.glance;
    did((
        due.is_some(),
        holds,
        format!("{phase:?}"),
        account.is_empty(),
    ))
}

/// Reads an object as the operator does, and holds it against what it is written as. (Text is not
/// compared with the input: what we do not know is not kept.)
fn round<T: Salvage + Serialize>(input: &[u8]) -> Result<Option<T>, String> {
    let Ok(Lenient(object)) = serde_json::from_slice::<Lenient<T>>(input) else {
        return Ok(None);
    };
    let written = value(&object);
    let again: T =
        serde_json::from_value(written.clone()).map_err(|e| format!("{written}: {e}"))?;
    ensure!(
        value(&again) == written,
        "{written} is read as {}",
        value(&again)
    );
    Ok(Some(again))
}

fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

#[test]
fn objects() {
    fuzz("objects", &FIELDS, objects_judge);
}

#[test]
fn filed() {
    fuzz("filed", &FIELDS, filed_judge);
}
