//! `/healthz`, `/readyz` and `/metrics` on one listener.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// What has to be reached before the operator serves, by name.
#[derive(Clone)]
pub struct Readiness {
    parts: watch::Sender<BTreeMap<&'static str, bool>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            parts: watch::Sender::new(BTreeMap::new()),
        }
    }
}

impl Readiness {
    /// Names a part that is not there yet.
    pub fn expect(&self, part: &'static str) {
        self.parts.send_modify(|parts| {
            parts.entry(part).or_insert(false);
        });
    }

    /// A part is there.
    pub fn reached(&self, part: &'static str) {
        self.parts.send_modify(|parts| {
            parts.insert(part, true);
        });
    }

    /// Completes when that part is there.
    pub async fn wait(&self, part: &'static str) {
        let mut changes = self.parts.subscribe();
        // The sender is held by self, so waiting cannot fail.
        let _ = changes
            .wait_for(|parts| parts.get(part) == Some(&true))
            .await;
    }

    /// The parts that are missing.
    pub fn missing(&self) -> Vec<&'static str> {
        let parts = self.parts.borrow();
        let missing = parts.iter().filter(|(_, reached)| !**reached);
        missing.map(|(part, _)| *part).collect()
    }
}

/// Serves until told to stop. An address that cannot be bound is told loudly
/// and does not stop the operator: leases have to end whatever a port does.
pub async fn serve(
    address: SocketAddr,
    readiness: Readiness,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "no health and metrics: the address cannot be bound; set --http-addr");
            return;
        }
    };
    tracing::info!(%address, "serving /healthz, /readyz and /metrics");
    let app = router(readiness, metrics);
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "the health and metrics listener ended");
    }
}

fn router(readiness: Readiness, metrics: Metrics) -> Router {
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
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let render = move || {
        let text = metrics.render();
        async move { ([(header::CONTENT_TYPE, openmetrics)], text) }
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_is_missing() {
        let readiness = Readiness::default();
        readiness.expect("a");
        readiness.expect("b");
        readiness.reached("a");
        readiness.expect("a");
        assert_eq!(readiness.missing(), ["b"]);
        readiness.reached("b");
        assert!(readiness.missing().is_empty());
    }
}
