//! A collector of traces: OTLP over HTTP with protobuf, as an operator's exporter
//! speaks it. It keeps what it gets, and can leave callers without an answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode as Status};
use parking_lot::Mutex;
use prost::Message;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::pki::Pki;
use crate::ports;
use crate::work_dir::WorkDir;

/// The path that traces are sent to.
const PATH: &str = "/v1/traces";

/// A collector. Dropping it ends it.
pub struct OtlpCollector {
    endpoint: String,
    kept: Arc<Kept>,
    ca: Option<PathBuf>,
    _dir: Option<WorkDir>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Kept {
    answers: bool,
    bodies: Mutex<Vec<Bytes>>,
}

/// One span, as it arrived.
#[derive(Debug, Clone)]
pub struct SpanView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Vec<u8>,
    /// The trace that it belongs to.
    pub trace: Vec<u8>,
    /// The span that it is a part of; empty for the first of a trace.
    pub parent: Vec<u8>,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// Whether its status is an error.
    pub failed: bool,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// The attributes of where it is from, as text.
    pub resource: BTreeMap<String, String>,
}

impl SpanView {
    /// One attribute; empty where there is none.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

impl OtlpCollector {
    /// One that answers, without TLS.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> Result<Self> {
        Self::serve(true, None, None)
    }

    /// One that takes everything in and never answers.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn silent() -> Result<Self> {
        Self::serve(false, None, None)
    }

    /// One with TLS: its certificate is of the CA in [`OtlpCollector::ca_file`].
    ///
    /// # Errors
    /// When there is no free port, or no certificate can be made.
    pub fn with_tls() -> Result<Self> {
        let dir = WorkDir::temporary("otlp")?;
        let local = [IpAddr::from(Ipv4Addr::LOCALHOST)];
        let pki = Pki::create(dir.path(), &local)?;
        let identity = pki.serving(&local)?;
        let chain = vec![CertificateDer::from_pem_slice(identity.cert.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let tls = TlsAcceptor::from(Arc::new(config));
        let ca = PathBuf::from(pki.file("ca.crt"));
        Self::serve(true, Some(tls), Some((dir, ca)))
    }

    fn serve(
        answers: bool,
        tls: Option<TlsAcceptor>,
        files: Option<(WorkDir, PathBuf)>,
    ) -> Result<Self> {
        let listener = ports::bind(Ipv4Addr::LOCALHOST)?;
        listener.set_nonblocking(true)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://{}", listener.local_addr()?);
        let kept = Arc::new(Kept {
            answers,
            ..Kept::default()
        });
        let stop = CancellationToken::new();
        let serve = accept(TcpListener::from_std(listener)?, tls, kept.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve));
        let (dir, ca) = files.unzip();
        Ok(Self {
            endpoint,
            kept,
            ca,
            _dir: dir,
            _stop: stop.drop_guard(),
        })
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is set to.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The CA of one with TLS.
    #[must_use]
    pub fn ca_file(&self) -> Option<&PathBuf> {
        self.ca.as_ref()
    }

    /// The bodies of all exports, as they came.
    #[must_use]
    pub fn bodies(&self) -> Vec<Bytes> {
        self.kept.bodies.lock().clone()
    }

    /// All spans, by when they began.
    ///
    /// # Errors
    /// When something arrived that is no export of traces.
    pub fn spans(&self) -> Result<Vec<SpanView>> {
        let mut spans = Vec::new();
        for body in self.bodies() {
            let export = ExportTraceServiceRequest::decode(body).context("no OTLP")?;
            for group in export.resource_spans {
                let resource = texts(group.resource.unwrap_or_default().attributes);
                let all = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(all.map(|span| view(span, resource.clone())));
            }
        }
        ensure!(spans.iter().all(|s| !s.id.is_empty()), "a span without id");
        spans.sort_by_key(|span| span.start);
        Ok(spans)
    }
}

fn view(span: Span, resource: BTreeMap<String, String>) -> SpanView {
    SpanView {
        name: span.name,
        id: span.span_id,
        trace: span.trace_id,
        parent: span.parent_span_id,
        start: span.start_time_unix_nano,
        failed: span.status.is_some_and(|s| s.code() == Status::Error),
        attributes: texts(span.attributes),
        resource,
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let pairs = attributes.into_iter();
    pairs.map(|a| (a.key, text(a.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|v| v.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, kept: Arc<Kept>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, kept) = (tls.clone(), kept.clone());
        tokio::spawn(async move {
            match tls {
                None => exchange(stream, kept).await,
                // A handshake that fails is the caller's to tell.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        exchange(stream, kept).await;
                    }
                }
            }
        });
    }
}

async fn exchange<S>(stream: S, kept: Arc<Kept>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| take(kept.clone(), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // Ends in an error when the caller hangs up.
    let _ = connection.await;
}

async fn take(
    kept: Arc<Kept>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let right = request.uri().path() == PATH;
    let body = request.into_body().collect().await?.to_bytes();
    if right {
        kept.bodies.lock().push(body);
    }
    if !kept.answers {
        std::future::pending::<()>().await;
    }
    // Nothing in it: all spans were taken.
    let mut response = Response::new(Full::default());
    if !right {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
