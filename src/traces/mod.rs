//! Traces, for platform teams that want them: one for each reconciliation of a
//! request that does any work, exported with OTLP over HTTP. Off unless a
//! collector is named; then nothing here costs anything, see `telemetry`.
//!
//! Only spans of [`TARGET`] are exported. They are made in `spans` alone, from
//! names, classes and counts: no message and no body is at hand there. Spans
//! and events of libraries, which see keys, never reach the exporter.

mod collector;
mod complaints;
pub mod spans;

use std::time::Duration;

use hyper::Uri;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::{Layer, Registry};

use self::collector::Collector;
use crate::metrics::Metrics;

/// The target of the spans that are exported.
pub const TARGET: &str = "keylease::trace";

/// The name of the service where neither `OTEL_SERVICE_NAME` nor
/// `OTEL_RESOURCE_ATTRIBUTES` says another.
const SERVICE: &str = "keylease";
/// Where collectors take traces, below their endpoint (OTLP specification, OTLP/HTTP).
const PATH: &str = "/v1/traces";
/// How long the last batch may take at the end of the process. The Lease is
/// given up meanwhile, so a stop with traces is hardly longer than one without.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The exporter and its queue. Spans are dropped when the queue is full, never
/// waited for. Sampling, service name, queue and pace are the SDK's own settings
/// (`OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`, `OTEL_BSP_…`).
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Exports to the collector at this URL, from within a Tokio runtime. Whether
    /// it is there shows later, in log and metrics.
    ///
    /// # Errors
    /// A sentence, when the URL or a setting of OpenTelemetry makes no sense.
    pub fn start(endpoint: &str, instance: &str, metrics: Metrics) -> Result<Self, String> {
        let url = traces_url(endpoint)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(metrics)?)
            .with_endpoint(url)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(collector::TIMEOUT)
            .build()
            .map_err(|e| format!("traces cannot be exported: {e}"))?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(instance))
            .build();
        Ok(Self { provider })
    }

    /// What the log's neighbour has to be for spans to be exported.
    pub fn layer(&self) -> impl Layer<Registry> + Send + Sync + use<> {
        let ours = FilterFn::new(is_ours).with_max_level_hint(LevelFilter::INFO);
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE))
            // A span says what was done, not which line of which thread did it.
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            // Nothing is done when a span is entered and left, at each poll.
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(ours)
    }

    /// Exports what is left, for a bounded time.
    pub async fn end(self) {
        let flush = move || self.provider.shutdown_with_timeout(FLUSH_TIMEOUT);
        // It blocks, and the exporter needs the runtime meanwhile.
        match tokio::task::spawn_blocking(flush).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not exported"),
            Err(error) => tracing::warn!(%error, "the exporter of traces ended by itself"),
        }
    }
}

/// Only these are exported: no event, and no span of a library.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == TARGET
}

/// The URL that traces are sent to, made of a collector's.
fn traces_url(endpoint: &str) -> Result<String, String> {
    // The text is not quoted: somebody may have put a password into it.
    let wrong = |why: &str| {
        format!(
            "--otlp-endpoint {why}: give the URL of a collector's OTLP/HTTP receiver, as in \
             http://collector.monitoring:4318"
        )
    };
    let url: Uri = endpoint.parse().map_err(|_| wrong("is no URL"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(wrong("is neither http nor https"));
    }
    if url.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(wrong(
            "names a user, for which there is OTEL_EXPORTER_OTLP_HEADERS",
        ));
    }
    if url.query().is_some() {
        return Err(wrong("has a query"));
    }
    Ok(format!("{}{PATH}", endpoint.trim_end_matches('/')))
}

/// Who the spans are from.
fn resource(instance: &str) -> Resource {
    let detected = Resource::builder().build();
    let name = detected.get(&"service.name".into());
    let unnamed = name.is_none_or(|n| n.as_str().starts_with("unknown_service"));
    let resource = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.to_owned()),
    ]);
    match unnamed {
        true => resource.with_service_name(SERVICE).build(),
        false => resource.build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_below_the_collectors_url() {
        for (endpoint, url) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            (
                "https://c.example/otlp/",
                "https://c.example/otlp/v1/traces",
            ),
        ] {
            assert_eq!(traces_url(endpoint).as_deref(), Ok(url));
        }
    }

    #[test]
    fn an_endpoint_that_is_none_is_told_with_one_that_is() {
        for (endpoint, why) in [
            ("collector:4318", "neither http nor https"),
            ("grpc://collector:4317", "neither http nor https"),
            ("http://me:word@collector:4318", "names a user"),
            ("http://collector:4318?a=b", "has a query"),
            ("http://", "is no URL"),
        ] {
            let refusal = traces_url(endpoint).unwrap_err();
            assert!(refusal.contains(why), "{endpoint}: {refusal}");
            assert!(refusal.contains("as in http://"), "{refusal}");
            assert!(!refusal.contains("me:word"), "{refusal}");
        }
    }
}
