//! The one call to the collector: bounded in time and size, counted by outcome,
//! with the HTTP client and the TLS that the rest of the process uses.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use parking_lot::Mutex;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::complaints::{Complaints, Remark};
use crate::metrics::Metrics;
use keylease_core::plan::effect::FaultClass;

/// How long one export may take. It holds up nothing but the exports after it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes. One that says how many spans were
/// refused, and why, has some hundred.
const LONGEST_ANSWER: usize = 64 << 10;

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A collector, as the exporter calls it.
pub(super) struct Collector {
    http: Http,
    /// The exporter calls from a thread of its own, which has no reactor.
    runtime: Handle,
    metrics: Metrics,
    complaints: Mutex<Complaints>,
}

impl Collector {
    /// Connects when it is called; runs on the runtime that it is made in.
    ///
    /// # Errors
    /// A sentence, when TLS cannot be set up.
    pub(super) fn new(metrics: Metrics) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("no TLS to a collector of traces: {e}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            runtime: Handle::current(),
            metrics,
            complaints: Mutex::default(),
        })
    }

    /// Counts an export, and says what is worth saying.
    fn note(&self, result: &Result<Response<Bytes>, Failure>) {
        let (outcome, why) = match result {
            Ok(answer) if answer.status().is_success() => ("ok", String::new()),
            Ok(answer) => (
                FaultClass::Refused.as_str(),
                format!("it answers {}", answer.status()),
            ),
            Err(failure) => (FaultClass::NoAnswer.as_str(), failure.to_string()),
        };
        self.metrics.call("otlp", "export", outcome);
        let remark = self.complaints.lock().hear(why.is_empty(), Instant::now());
        match remark {
            Remark::Nothing => {}
            Remark::Fails(times) => {
                tracing::warn!(error = why, times, "the collector does not take traces");
            }
            Remark::WorksAgain => tracing::info!("the collector takes traces again"),
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        // A timer is made on the runtime, too: here, making one is a panic.
        let exchange = async move { timeout(TIMEOUT, exchange(http, request)).await };
        let result = match self.runtime.spawn(exchange).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure(format!("no answer within {TIMEOUT:?}"))),
            Err(_) => Err(Failure("the process ends".to_owned())),
        };
        self.note(&result);
        Ok(result?)
    }
}

async fn exchange(http: Http, request: Request<Bytes>) -> Result<Response<Bytes>, Failure> {
    let answer = http.request(request.map(Full::new)).await;
    let (head, body) = answer.map_err(|e| Failure::of(&e))?.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await;
    let body = body.map_err(|e| Failure::of(e.as_ref()))?.to_bytes();
    Ok(Response::from_parts(head, body))
}

/// Why there is no answer, with all its causes: hyper's own text is only
/// "client error (Connect)".
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl Failure {
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |e| e.source());
        let texts: Vec<_> = causes.map(ToString::to_string).collect();
        Self(texts.join(": "))
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}
