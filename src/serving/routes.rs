//! What is behind each path.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use super::guard::{self, Caller, Gatekeeper};
use crate::health::Readiness;
use crate::metrics::Metrics;
use crate::telemetry::LogLevel;

/// What prometheus-client writes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/healthz` and `/readyz`, for everybody.
pub fn health(readiness: Readiness) -> Router {
    let ready = move || {
        let missing = readiness.missing();
        async move {
            if missing.is_empty() {
                (StatusCode::OK, "ready\n".to_owned())
            } else {
                let text = format!("waiting for: {}\n", missing.join(", "));
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}

/// `/metrics` and `/log-level`, for those whom the API server lets.
pub fn reviewed(metrics: Metrics, log_level: LogLevel, gatekeeper: Arc<Gatekeeper>) -> Router {
    numbers(metrics)
        .merge(level(log_level))
        .route_layer(middleware::from_fn_with_state(gatekeeper, guard::guard))
}

/// `/metrics` for everybody, `/log-level` for the pod itself.
pub fn unreviewed(metrics: Metrics, log_level: LogLevel) -> Router {
    let level = level(log_level).route_layer(middleware::from_fn(only_from_here));
    numbers(metrics).merge(level)
}

fn numbers(metrics: Metrics) -> Router {
    let render = move || {
        let text = metrics.render();
        async move { ([(header::CONTENT_TYPE, OPENMETRICS)], text) }
    };
    Router::new().route("/metrics", get(render))
}

fn level(log_level: LogLevel) -> Router {
    let reads = log_level.clone();
    let get_level = move || async move { reads.get().map_err(refusal) };
    let put_level = move |caller: Option<Extension<Caller>>, wanted: String| async move {
        let wanted = wanted.trim();
        log_level.set(wanted).map_err(refusal)?;
        let by = caller.as_ref().map_or("the pod itself", |c| &c.0.0);
        tracing::warn!(filter = wanted, by, "the log level was changed");
        Ok::<_, (StatusCode, String)>(StatusCode::NO_CONTENT)
    };
    Router::new().route("/log-level", get(get_level).put(put_level))
}

fn refusal(sentence: String) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, sentence + "\n")
}

/// Where nobody is asked who they are, the log level is for whoever may run
/// `kubectl port-forward` to the pod, whose connections come from the pod itself.
async fn only_from_here(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if is_here(peer) {
        return next.run(request).await;
    }
    let message = "only from the pod itself: use kubectl port-forward\n";
    (StatusCode::FORBIDDEN, message).into_response()
}

/// Exactly the usual addresses: a service mesh uses others of the loopback
/// network for what comes from outside.
fn is_here(peer: SocketAddr) -> bool {
    let local = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    local.contains(&peer.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_itself_is_told_from_others() {
        for here in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(is_here(here.parse().unwrap()), "{here}");
        }
        for elsewhere in ["127.0.0.6:1", "10.0.0.1:1", "[fd00::1]:1"] {
            assert!(!is_here(elsewhere.parse().unwrap()), "{elsewhere}");
        }
    }
}
