//! One cluster, one fake AWS, one operator.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use keylease_testbed::aws::KeyDelay;
use keylease_testbed::operator::printed_policy;
use keylease_testbed::{FakeAws, FakeConfig, Operator};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::{Mutex, OnceCell};

use super::planes::{Begin, Cluster, begin, shared};
use super::{KEYLEASE, SOON};

/// A control plane, an AWS, and the operator between them.
pub struct Bed {
    // Dropped in this order: the operator before what it talks to.
    pub operator: Mutex<Operator>,
    pub aws: FakeAws,
    pub cluster: Cluster,
}

/// What the tests use that `keylease iam-policy` prints on request only.
const USED: &[&str] = &[
    "--account-id=123456789012",
    "--inline",
    "--allow-group=fault-laden",
    "--allow-group=issue-full-a",
    "--allow-group=issue-full-b",
    "--read-group=readers",
    "--read-group=nobody",
    "--assume-role=arn:aws:iam::123456789012:role/dev",
    "--assume-role=arn:aws:iam::123456789012:role/a",
    "--assume-role=arn:aws:iam::123456789012:role/b",
    "--federation",
    "--static-user=arn:aws:iam::123456789012:user/apps/legacy-hold",
    "--static-user=arn:aws:iam::123456789012:user/apps/legacy-rotate",
    "--static-user=arn:aws:iam::123456789012:user/apps/legacy-twice",
    "--root-user-arn=arn:aws:iam::123456789012:user/keylease-operator",
];

/// How to start a [`Bed`].
pub struct Settings<'a> {
    pub aws: FakeConfig,
    /// Added to the operator's environment.
    pub env: &'a [(&'a str, &'a str)],
    /// Flags of `keylease iam-policy`: what it prints is all that AWS lets the
    /// operator do.
    pub policy: &'a [&'a str],
}

impl Default for Settings<'_> {
    /// An AWS that takes its time, though less than the real one.
    fn default() -> Self {
        Self {
            aws: FakeConfig {
                latency: Duration::from_millis(5),
                key_delay: KeyDelay::fixed(Duration::from_millis(300)),
                ..FakeConfig::default()
            },
            env: &[],
            policy: USED,
        }
    }
}

/// The bed that tests share which do not disturb each other. It lives as long as
/// this process.
static SHARED: OnceCell<Arc<Bed>> = OnceCell::const_new();

impl Bed {
    /// The shared bed, where nothing is swept: do not stop anything, do not change
    /// how AWS behaves towards other users than your own.
    pub async fn shared() -> Result<Arc<Self>> {
        let bed = SHARED
            .get_or_try_init(async || {
                // It lives long enough for the first sweep, which would look at
                // whatever tests do to users in AWS.
                let settings = Settings {
                    env: &[("KEYLEASE_SWEEP_INTERVAL", "0")],
                    ..Settings::default()
                };
                Self::on(shared().await?, settings).await
            })
            .await?;
        Ok(bed.clone())
    }

    /// A bed of one's own, with the account `default` signed in to. A cluster
    /// that others had before, as it was when it was new; AWS and the operator
    /// are new.
    pub async fn start(settings: Settings<'_>) -> Result<Arc<Self>> {
        Self::on(begin(Begin::Installed).await?, settings).await
    }

    async fn on(cluster: Cluster, settings: Settings<'_>) -> Result<Arc<Self>> {
        let aws = FakeAws::start(settings.aws)?;
        aws.confine(&printed_policy(Path::new(KEYLEASE), settings.policy)?)?;
        let endpoint = aws.endpoint();
        let mut operator = start_operator(cluster.kubeconfig(), &endpoint, settings.env)?;
        operator.wait_ready(SOON).await?;
        Ok(Arc::new(Self {
            operator: Mutex::new(operator),
            aws,
            cluster,
        }))
    }

    /// Keeps all logs and says where they are, also those of parts that live on
    /// after a test has failed.
    pub fn keep(&self) {
        self.cluster.keep();
        if let Ok(operator) = self.operator.try_lock() {
            operator.keep();
        }
    }

    /// A client for this bed. Clients belong to the runtime of one test.
    pub async fn client(&self) -> Result<Client> {
        client_of(self.cluster.kubeconfig()).await
    }
}

fn start_operator(kubeconfig: &Path, endpoint: &str, env: &[(&str, &str)]) -> Result<Operator> {
    let debug = ("KEYLEASE_LOG", "keylease=debug,info");
    let env: Vec<_> = std::iter::once(debug).chain(env.iter().copied()).collect();
    Operator::start(Path::new(KEYLEASE), kubeconfig, endpoint, &env, &[])
}

/// A client with the rights of this kubeconfig.
pub async fn client_of(kubeconfig: &Path) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
