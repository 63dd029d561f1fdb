//! The Secret: rendered from what a request asks for, and recognised by
//! metadata that whoever may write Secrets can write.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keylease_api::SecretTemplate;
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::lease::Term;
use keylease_core::plan::secret::{MANAGED_BY, SecretView, check_template, render};
use serde::Deserialize;

use crate::harness::{Told, did, fuzz};
use crate::samples;

const TOKENS: [&str; 14] = [
    "\"template\":",
    "\"meta\":",
    "\"keys\":",
    "\"accessKeyId\":",
    "\"expiration\"",
    "\"credentialsFile\":{\"key\":\"c\",\"profile\":\"p\"}",
    "\"credentialProcess\":{}",
    "\"labels\":",
    "\"app.kubernetes.io/managed-by\":",
    "\"keylease.dev/access-key-id\":",
    "\"ownerReferences\":",
    "\"controller\":true",
    "\"uid\":\"request-uid\"",
    "\"fieldsV1\":{\"f:data\":{\"f:a\":{}}}",
];

/// A template, and the metadata of a Secret of that name.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Parts {
    template: Option<SecretTemplate>,
    meta: ObjectMeta,
}

fn judge(input: &[u8]) -> Told {
    let Ok(parts) = serde_json::from_slice::<Parts>(input) else {
        return did("refused");
    };
    let mut request = samples::request();
    let view = SecretView::of(&parts.meta, &request);
    let owners = parts.meta.owner_references.as_deref().unwrap_or_default();
    let owned = |uid: &str| {
        owners
            .iter()
            .any(|o| o.controller == Some(true) && o.uid == uid)
    };
    ensure!(
        matches!(view, SecretView::Ours(_)) == owned("request-uid"),
        "{view:?} with {owners:?}"
    );
    request.spec.secret = parts.template;
    if let Err(verdict) = check_template(&request) {
        return did((verdict.reason.as_str(), owners.len().min(2)));
    }
    let entries = [false, true].map(|session| rendered(&request, session));
    let [key, session] = entries;
    did((
        key?,
        session?,
        format!("{:?}", std::mem::discriminant(&view)),
    ))
}

/// Renders it with a key or a session; the number of entries.
fn rendered(request: &keylease_api::AwsCredentialRequest, session: bool) -> Result<usize, String> {
    let at = |second| Timestamp::from_second(second).unwrap();
    let term = Term {
        issued_at: at(1_800_000_000),
        expires_at: at(1_800_003_600),
        max_expires_at: at(1_800_007_200),
    };
    let key = KeyMaterial::new(
        "AKIA1".into(),
        "secret".into(),
        session.then(|| "token".into()),
    );
    let secret = render(request, "eu-west-1", Some((&key, &term)));
    let labels = secret.metadata.labels.clone().unwrap_or_default();
    ensure!(
        labels.get(MANAGED_BY.0).map(String::as_str) == Some(MANAGED_BY.1),
        "{labels:?}"
    );
    let mut stored = secret.metadata.clone();
    stored.uid = Some("secret-uid".to_owned());
    let SecretView::Ours(facts) = SecretView::of(&stored, request) else {
        return Err("what was rendered is not known as ours".to_owned());
    };
    ensure!(
        facts.key == Some(("AKIA1".to_owned(), term)),
        "it reads back as {facts:?}"
    );
    let data = secret.data.unwrap_or_default();
    let process = request
        .spec
        .secret
        .as_ref()
        .is_some_and(|s| s.credential_process.is_some());
    let keys = request.spec.secret.as_ref().and_then(|s| s.keys.clone());
    let regions = data.values().filter(|v| v.0 == b"eu-west-1").count();
    let named = keys.map_or((false, false), |k| {
        (k.region.is_some(), k.default_region.is_some())
    });
    let right = match named {
        (_, true) => regions == 2,
        (true, false) => regions == 1,
        // A name that was given to another entry is not taken from it.
        (false, false) => (1..=2).contains(&regions),
    };
    ensure!(right, "the region stands there {regions} times");
    let wanted = 4 + regions + usize::from(session) + usize::from(process);
    ensure!(data.len() == wanted, "{} entries, not {wanted}", data.len());
    for name in data.keys() {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let fits = (1..=253).contains(&name.len()) && name.bytes().all(allowed);
        ensure!(fits, "{name:?} is no key of a Secret");
    }
    let files = data.values().filter(|v| v.0.starts_with(b"["));
    let files: Vec<_> = files
        .map(|v| String::from_utf8_lossy(&v.0).into_owned())
        .collect();
    ensure!(files.len() == 1, "{} credentials files", files.len());
    let lines: Vec<_> = files[0].lines().skip(1).collect();
    let [id, secret, rest @ ..] = lines.as_slice() else {
        return Err(format!("{lines:?} is no credentials file"));
    };
    ensure!(
        *id == "aws_access_key_id = AKIA1",
        "{id:?} is the first line"
    );
    ensure!(
        *secret == "aws_secret_access_key = secret",
        "{secret:?} is the second line"
    );
    ensure!(
        rest.len() == 1 + usize::from(session),
        "lines that are not ours: {rest:?}"
    );
    Ok(data.len())
}

#[test]
fn secrets() {
    fuzz("secrets", &TOKENS, judge);
}
