//! The two addresses of the operator, as settings and at work.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::act::KubeCalls;
use crate::health::Readiness;
use crate::metrics::Metrics;
use crate::serving::{self, Access, Certificate, Gatekeeper, Transport};
use crate::telemetry::LogLevel;

#[derive(clap::Args)]
pub(super) struct EndpointArgs {
    /// Address of /healthz and /readyz, for the kubelet: plain HTTP. The default is
    /// every address of IPv6 and IPv4.
    #[arg(long, env = "KEYLEASE_HTTP_ADDR", default_value = "[::]:8080")]
    http_addr: SocketAddr,

    /// Address of /metrics and /log-level.
    #[arg(long, env = "KEYLEASE_METRICS_ADDR", default_value = "[::]:8443")]
    metrics_addr: SocketAddr,

    /// Who may ask for /metrics and /log-level.
    #[arg(
        long,
        env = "KEYLEASE_METRICS_ACCESS",
        value_enum,
        default_value = "reviewed"
    )]
    metrics_access: Access,

    /// Folder with tls.crt and tls.key for --metrics-addr, read again when they
    /// change. Default: a self-signed certificate is made at the start.
    #[arg(long, env = "KEYLEASE_METRICS_CERT_DIR", value_name = "FOLDER")]
    metrics_cert_dir: Option<PathBuf>,
}

/// What is served beside health.
pub(super) struct Inside {
    pub metrics: Metrics,
    pub log_level: LogLevel,
    /// Asks who may.
    pub client: Client,
}

impl EndpointArgs {
    /// Refuses settings that would show metrics to everybody by accident.
    pub(super) fn check(&self) -> Result<(), String> {
        self.metrics_access.check(self.metrics_addr)
    }

    /// Serves health until told to stop.
    pub(super) fn serve_health(&self, readiness: Readiness, stop: CancellationToken) {
        let app = serving::health(readiness);
        let what = "/healthz and /readyz (--http-addr)";
        let (address, transport) = (self.http_addr, Transport::Plain);
        tokio::spawn(serving::serve(what, address, transport, app, stop));
    }

    /// Serves the rest until told to stop.
    pub(super) fn serve_metrics(
        self,
        inside: Inside,
        stop: CancellationToken,
    ) -> Result<(), String> {
        let Inside {
            metrics,
            log_level,
            client,
        } = inside;
        let (app, transport) = match self.metrics_access {
            Access::Reviewed => {
                let calls = KubeCalls::new(metrics.clone());
                let gatekeeper = Arc::new(Gatekeeper::new(client, calls));
                let certificate = match &self.metrics_cert_dir {
                    Some(folder) => Certificate::mounted(folder),
                    None => Certificate::made()?,
                };
                let app = serving::reviewed(metrics, log_level, gatekeeper);
                (app, Transport::Tls(certificate))
            }
            Access::Loopback | Access::Open => {
                tracing::warn!("metrics are served to whoever reaches the address");
                (serving::unreviewed(metrics, log_level), Transport::Plain)
            }
        };
        let what = "/metrics and /log-level (--metrics-addr)";
        tokio::spawn(serving::serve(
            what,
            self.metrics_addr,
            transport,
            app,
            stop,
        ));
        Ok(())
    }
}
