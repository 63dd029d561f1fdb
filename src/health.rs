//! `/healthz`, `/readyz`, `/metrics` and `/log-level` on one listener.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::telemetry::LogLevel;

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
    log_level: LogLevel,
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
    let app = router(readiness, metrics, log_level);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "the health and metrics listener ended");
    }
}

fn router(readiness: Readiness, metrics: Metrics, log_level: LogLevel) -> Router {
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
    let reads = log_level.clone();
    let get_level = move |from: ConnectInfo<SocketAddr>| async move {
        only_from_here(from)?;
        reads.get().map_err(refusal)
    };
    let put_level = move |from: ConnectInfo<SocketAddr>, wanted: String| async move {
        only_from_here(from)?;
        let wanted = wanted.trim();
        log_level.set(wanted).map_err(refusal)?;
        tracing::warn!(filter = wanted, "the log level was changed");
        Ok::<_, (StatusCode, String)>(StatusCode::NO_CONTENT)
    };
    Router::new()
        .route("/log-level", get(get_level).put(put_level))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
}

/// The log level is for whoever may run `kubectl port-forward` to the pod, whose
/// connections come from the pod itself. Exactly the usual addresses: a service
/// mesh uses others of the loopback network for what comes from outside.
fn only_from_here(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Result<(), (StatusCode, String)> {
    let local = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    if local.contains(&peer.ip().to_canonical()) {
        return Ok(());
    }
    let message = "only from the pod itself: use kubectl port-forward\n".to_owned();
    Err((StatusCode::FORBIDDEN, message))
}

fn refusal(sentence: String) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, sentence + "\n")
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

    #[test]
    fn the_log_level_is_changed_from_the_pod_only() {
        let from = |peer: &str| only_from_here(ConnectInfo(peer.parse().unwrap()));
        for here in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(from(here).is_ok(), "{here}");
        }
        for elsewhere in ["127.0.0.6:1", "10.0.0.1:1", "[fd00::1]:1"] {
            assert!(from(elsewhere).is_err(), "{elsewhere}");
        }
    }
}
