//! In front of what not everybody may have: asks until it is decided.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kube::Client;
use parking_lot::Mutex;

use super::memory::Memory;
use super::reviewer::Reviewer;
use super::verdict::{self, Deed, Facts, Fingerprint, Step, Verdict};
use crate::act::KubeCalls;
use keylease_core::plan::effect::Fault;

/// Lets requests through on the word of the API server.
pub struct Gatekeeper {
    reviewer: Reviewer,
    memory: Mutex<Memory>,
}

/// Who was let through, for those who write it down.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub Arc<str>);

impl Gatekeeper {
    /// One that asks with this client; see [`KubeCalls::new`] for the calls.
    pub fn new(client: Client, calls: KubeCalls) -> Self {
        Self {
            reviewer: Reviewer::new(client, calls),
            memory: Mutex::default(),
        }
    }

    /// Whether whoever sent these headers may do this. Faults are not kept.
    async fn judge(&self, headers: &HeaderMap, deed: &Deed) -> Result<Verdict, Fault> {
        let token = verdict::bearer(headers).unwrap_or_default();
        let question = (Fingerprint::of(token), deed.clone());
        let mut facts = Facts {
            token: !token.is_empty(),
            remembered: self.memory.lock().recall(&question, Instant::now()),
            ..Facts::default()
        };
        let verdict = loop {
            match verdict::next(&facts) {
                Step::Authenticate => {
                    facts.identity = Some(self.reviewer.identity(token).await?);
                }
                Step::Authorize(user) => {
                    facts.right = Some(self.reviewer.right(user, deed).await?);
                }
                Step::Answer(verdict) => break verdict,
            }
        };
        // Only what was asked is news: an answer from memory must not outlive
        // its time by being used.
        if facts.identity.is_some() {
            let mut memory = self.memory.lock();
            memory.keep(question, verdict.clone(), Instant::now());
        }
        Ok(verdict)
    }
}

/// The layer: passes the request on, with its [`Caller`], or answers it.
pub(super) async fn guard(
    State(gatekeeper): State<Arc<Gatekeeper>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(deed) = Deed::of(request.method(), request.uri().path()) else {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    };
    match gatekeeper.judge(request.headers(), &deed).await {
        Ok(Verdict::Allowed(user)) => {
            request.extensions_mut().insert(Caller(user));
            next.run(request).await
        }
        Ok(Verdict::Unauthenticated) => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            let text = "a bearer token that the API server knows is needed\n";
            (StatusCode::UNAUTHORIZED, challenge, text).into_response()
        }
        Ok(Verdict::Forbidden(user)) => {
            let Deed { verb, path } = &deed;
            tracing::debug!(user = &*user, verb, path, "not allowed");
            let text = format!(
                "{user} may not {verb} {path}: a ClusterRole with this verb on this \
                 nonResourceURL is needed\n"
            );
            (StatusCode::FORBIDDEN, text).into_response()
        }
        Err(fault) => {
            tracing::warn!(
                error = fault.message,
                "nobody reads metrics: the API server does not say who may"
            );
            let text = "the API server does not say who you are and what you may\n";
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}
