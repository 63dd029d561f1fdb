//! `keylease controller`: starts everything, and stops it in order.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

use super::cluster::Flags;
use super::endpoints::{EndpointArgs, Inside};
use super::identity::IdentityArgs;
use super::shutdown;
use super::sweep::SweepArgs;
use super::version::Build;
use crate::act::{Announcer, Hands, Holds, KubeCalls, Records};
use crate::aws::{Accounts, Calls, Signer, http, roots};
use crate::controller::{
    Context, Controllers, Desk, IdentitySettings, Ledger, Notices, Scope, SecretIndex, WaitingRoom,
};
use crate::health::Readiness;
use crate::leader::{Elector, Leadership};
use crate::metrics::Metrics;
use crate::observe::{self, Eyes};
use crate::proxy::Proxies;
use crate::telemetry::{self, LogFormat};
use crate::traces::Traces;
use keylease_core::plan::naming::ClusterId;

/// Stack of a worker, in bytes. The SDK's calls are deep: in a development
/// build a connection that is refused takes more than the usual 2 MiB. Only
/// what is used counts as memory.
const STACK: usize = 8 << 20;
/// Pause between attempts to reach the API server at the start.
const START_PAUSE: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    endpoints: EndpointArgs,

    /// The operator's own namespace, where the Secrets of accounts lie.
    #[arg(long, env = "POD_NAMESPACE", default_value = "keylease-system")]
    namespace: String,

    /// Serve only requests in these namespaces, separated by commas; in no other
    /// are rights on Secrets needed. Default: all namespaces. One operator a
    /// cluster all the same.
    #[arg(
        long,
        env = "KEYLEASE_WATCH_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    watch_namespaces: Vec<String>,

    /// What is logged: a level, or targets with levels as in
    /// info,keylease=debug. Libraries that see secrets never go below info.
    #[arg(long, env = "KEYLEASE_LOG", default_value = "info")]
    log: String,

    /// Form of the log.
    #[arg(long, env = "KEYLEASE_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,

    /// Export traces of requests to this collector, with OTLP over HTTP; for
    /// example http://collector.monitoring:4318. Default: no traces. What else
    /// OpenTelemetry's SDK reads from the environment holds, such as
    /// OTEL_TRACES_SAMPLER.
    #[allow(rustdoc::bare_urls, reason = "it is the text of --help")]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,

    #[command(flatten)]
    sweep: SweepArgs,

    #[command(flatten)]
    identity: IdentityArgs,

    /// Name of this instance in events and in the Lease.
    #[arg(long, env = "POD_NAME", default_value = "keylease")]
    instance: String,

    /// Work only while holding the Lease keylease in the operator's own
    /// namespace. Turn it off only where no second instance can ever run.
    #[arg(
        long,
        env = "KEYLEASE_LEADER_ELECT",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "true|false"
    )]
    leader_elect: bool,
}

pub(super) fn run(args: Args) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> Result<(), String> {
    let Args {
        endpoints,
        namespace,
        watch_namespaces,
        log,
        log_format,
        otlp_endpoint,
        sweep,
        identity,
        instance,
        leader_elect,
    } = args;
    endpoints.check()?;
    let metrics = Metrics::default();
    // Empty is what a variable is that somebody meant to take away.
    let collector = otlp_endpoint.filter(|url| !url.is_empty());
    let traces = collector.map(|url| Traces::start(&url, &instance, metrics.clone()));
    let traces = traces.transpose()?;
    let log_level = telemetry::init(&log, log_format, traces.as_ref())?;
    let proxies = Proxies::from_env()?;
    let roots = roots::find()?;
    let apart = http::apart(&proxies, &roots)?;
    let aws = http::client(proxies, &roots)?;
    let stop = shutdown::on_signal()?;
    let readiness = Readiness::default();
    readiness.expect("API server");
    endpoints.serve_health(readiness.clone(), stop.clone());

    let place = super::cluster::find(&Flags::default()).await.map_err(|e| {
        format!("no cluster to work for ({e}); set KUBECONFIG or run inside a cluster")
    })?;
    let epoch_traces = identity.traces(&place.server);
    let client = place.client;
    let inside = Inside {
        metrics: metrics.clone(),
        log_level,
        client: client.clone(),
    };
    endpoints.serve_metrics(inside, stop.clone())?;
    let calls = KubeCalls::new(metrics.clone());
    let Some(cluster) = cluster_id(&client, &calls, &stop).await else {
        return Ok(());
    };
    readiness.reached("API server");
    tracing::info!(
        cluster = cluster.0,
        version = env!("CARGO_PKG_VERSION"),
        commit = Build::this().commit,
        "keylease starts"
    );

    // Before it leads: what it sees change from now on, its own cluster wrote.
    let records = Records::new(client.clone(), &namespace, calls.clone());
    let identity = IdentitySettings {
        timing: identity.timing(),
        at_start: records.all().await.ok(),
        traces: epoch_traces,
    };
    let lost = CancellationToken::new();
    let (leadership, tenure) = if leader_elect {
        let mut elector = Elector::new(client.clone(), &namespace, &instance, metrics.clone());
        if !elector.win(&readiness, &stop).await {
            tracing::info!("keylease stopped; it did not lead");
            return Ok(());
        }
        (elector.leadership(), Some(elector.keep(lost.clone())))
    } else {
        tracing::warn!("leader election is off: no second instance may run");
        metrics.leads(true);
        (Leadership::alone(), None)
    };
    let calls = calls.while_leading(leadership.clone());
    let hand_over = shutdown::watch(stop.clone(), lost.clone());

    let scope = Scope::of(watch_namespaces);
    let controllers = Controllers::new(&client, &metrics, &readiness, &scope);
    metrics.inventory.count_from(controllers.caches());
    let (notices, noticed) = Notices::channel();
    let announcer = Announcer::new(client.clone(), calls.clone(), instance);
    let context = Context {
        eyes: Eyes::new(client.clone(), calls.clone()),
        hands: Hands {
            client: client.clone(),
            calls,
            announcer,
            holds: Holds::default(),
        },
        client,
        cluster,
        namespace,
        scope,
        accounts: Accounts::default(),
        signer: Signer::over(aws, Calls::new(metrics.clone()), leadership).proving_over(apart),
        desk: Desk::default(),
        ledger: Ledger::default(),
        secrets: SecretIndex::default(),
        roles: controllers.roles(),
        waiting_room: WaitingRoom::new(notices.clone(), metrics.clone()),
        metrics,
        notices,
        requests: controllers.requests(),
        hand_over: hand_over.clone(),
        identity,
        sweep: sweep.schedule(),
    };
    let work = controllers.run(Arc::new(context), noticed, readiness, stop);
    shutdown::bounded(work, &hand_over).await;
    // Side by side: neither waits for the other's server.
    tokio::join!(
        async {
            if let Some(tenure) = tenure {
                tenure.resign().await;
            }
        },
        async {
            if let Some(traces) = traces {
                traces.end().await;
            }
        },
    );
    if lost.is_cancelled() {
        return Err("leadership was lost; the next start stands by".to_owned());
    }
    tracing::info!("keylease stopped");
    Ok(())
}

/// The cluster's id; `None` when told to stop before the API server answered.
async fn cluster_id(
    client: &Client,
    calls: &KubeCalls,
    stop: &CancellationToken,
) -> Option<ClusterId> {
    loop {
        match observe::cluster_id(client, calls).await {
            Ok(cluster) => return Some(cluster),
            Err(fault) => {
                tracing::warn!(error = fault.message, "waiting for the API server");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(START_PAUSE) => {}
            () = stop.cancelled() => return None,
        }
    }
}
