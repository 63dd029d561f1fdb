//! What comes over the port for metrics: a header, and what the API server says
//! of it.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus;
use keylease::serving::verdict::{Deed, Facts, Step, Verdict, bearer, next};

use crate::harness::{Told, did, fuzz};

const TOKENS: [&str; 12] = [
    "Bearer ",
    "bearer\t",
    "Basic ",
    "GET",
    "PUT",
    "DELETE",
    "\n{\"authenticated\":true,\"user\":{\"username\":\"prometheus\"}}",
    "\n{\"allowed\":true}",
    "\"denied\":true",
    "\"authenticated\":false",
    "\"username\":\"\"",
    "\"error\":\"x\"",
];

/// Lines: the header, the method, the two answers of the API server. Nobody is
/// let in without a token, and nobody but by two answers that say so.
fn judge(input: &[u8]) -> Told {
    let mut lines = input.split(|b| *b == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(line()) {
        headers.insert(header::AUTHORIZATION, value);
    }
    let token = bearer(&headers);
    if let Some(token) = token {
        ensure!(
            !token.is_empty() && token.trim() == token,
            "{token:?} is no token"
        );
        ensure!(!token.contains(['\r', '\n', '\0']), "{token:?} ends a line");
    }
    let method = Method::from_bytes(line());
    let deed = method.ok().and_then(|m| Deed::of(&m, "/metrics"));
    ensure!(
        deed.as_ref()
            .is_none_or(|d| ["get", "head", "put"].contains(&d.verb)),
        "{deed:?}"
    );
    let identity: Option<TokenReviewStatus> = serde_json::from_slice(line()).ok();
    let right: Option<SubjectAccessReviewStatus> = serde_json::from_slice(line()).ok();
    let known = identity
        .as_ref()
        .is_some_and(|i| i.authenticated == Some(true));
    let may = right
        .as_ref()
        .is_some_and(|r| r.allowed && r.denied != Some(true));
    let facts = Facts {
        token: token.is_some(),
        remembered: None,
        identity,
        right,
    };
    let step = next(&facts);
    if let Step::Answer(Verdict::Allowed(who)) = &step {
        ensure!(
            token.is_some() && known && may && !who.is_empty(),
            "{who} is let in by {facts:?}"
        );
    }
    let step = match step {
        Step::Authenticate => 0,
        Step::Authorize(_) => 1,
        Step::Answer(Verdict::Allowed(_)) => 2,
        Step::Answer(Verdict::Unauthenticated) => 3,
        Step::Answer(Verdict::Forbidden(_)) => 4,
    };
    did((step, token.is_some(), deed.map(|d| d.verb)))
}

#[test]
fn headers() {
    fuzz("headers", &TOKENS, judge);
}
