//! The fake's state as JSON, for scripts. Not part of AWS, and not signed.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::engine::Engine;

/// Where the paths begin.
pub(super) const PREFIX: &str = "/_fake/";

/// Answers `/_fake/journal`, `/_fake/users` and `/_fake/counts`.
pub(super) fn answer(engine: &Engine, path: &str) -> Response<Full<Bytes>> {
    let state = &engine.state;
    let (status, value) = match path.strip_prefix(PREFIX) {
        Some("journal") => (StatusCode::OK, json!(engine.journal.calls())),
        Some("counts") => (StatusCode::OK, json!(engine.journal.counts())),
        Some("users") => {
            let users: Vec<_> = state.users.values().map(|u| state.view(u)).collect();
            (StatusCode::OK, json!(users))
        }
        _ => {
            let hint = json!({"paths": ["/_fake/journal", "/_fake/users", "/_fake/counts"]});
            (StatusCode::NOT_FOUND, hint)
        }
    };
    let mut response = Response::new(Full::from(format!("{value:#}\n")));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
