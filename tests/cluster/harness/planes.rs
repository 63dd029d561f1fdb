//! The control planes that tests have to themselves, one test after the other.
//! None is started for a test that can begin on a used one.

use std::ops::Deref;

use anyhow::{Context, Result, bail, ensure};
use keylease_testbed::operator::{NAMESPACE, forget_state};
use keylease_testbed::pool::{Lent, Pool};
use keylease_testbed::{Contents, ControlPlane, ControlPlaneOptions, paths, wait};
use serde_json::{Value, json};

use super::{AUDIT_LOG, SOON};

/// So many tests have a control plane to themselves at a time. They wait more than
/// they work: with fewer the machine idles, with more each has less of it.
static POOL: Pool<Plane> = Pool::of(4);

/// Where the one is that tests share.
static SHARED: Pool<Plane> = Pool::of(1);

/// What is there when a test begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// A cluster in which nobody has installed anything.
    Empty,
    /// Our definitions, the operator's namespace, and the account `default` that
    /// signs in with what the operator's environment has.
    Installed,
}

/// A control plane that can be taken back to how it began.
pub struct Plane {
    cluster: ControlPlane,
    empty: Contents,
    installed: Option<Contents>,
    now: Begin,
}

/// A control plane of a test's own, until it drops this: anything may be made,
/// changed and stopped there. The next test finds nothing of it.
pub type Cluster = Lent<Plane>;

impl Deref for Plane {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        &self.cluster
    }
}

/// Waits for one's turn and for a control plane in that state.
pub async fn begin(with: Begin) -> Result<Cluster> {
    let turn = POOL.turn().await?;
    while let Some(mut used) = turn.used(|plane| plane.now == with) {
        match used.begin_again(with).await {
            Ok(()) => return Ok(turn.with(used)),
            Err(error) => eprintln!("starting another control plane: {error:#}"),
        }
    }
    Ok(turn.with(Plane::start(with).await?))
}

/// The control plane that tests share. It is asked for once.
pub async fn shared() -> Result<Cluster> {
    let turn = SHARED.turn().await?;
    Ok(turn.with(Plane::start(Begin::Installed).await?))
}

impl Plane {
    /// Starts one, and waits until it is in that state.
    pub async fn start(with: Begin) -> Result<Self> {
        if let Some(missing) = paths::missing_control_plane() {
            bail!("these tests need a real control plane, and {missing}");
        }
        let options = ControlPlaneOptions {
            audit_log: AUDIT_LOG,
            ..ControlPlaneOptions::default()
        };
        let cluster = ControlPlane::start_with(options).await?;
        let mut plane = Self {
            empty: cluster.settled_contents().await?,
            cluster,
            installed: None,
            now: Begin::Empty,
        };
        if with == Begin::Installed {
            plane.install().await?;
        }
        Ok(plane)
    }

    /// Takes back whatever was done, to this state.
    pub async fn begin_again(&mut self, with: Begin) -> Result<()> {
        let (wanted, then) = match (with, &self.installed) {
            (Begin::Installed, Some(installed)) => (installed, Begin::Installed),
            _ => (&self.empty, Begin::Empty),
        };
        let written = self.cluster.put_back(wanted).await?;
        forget_state(self.cluster.kubeconfig())?;
        if then != self.now {
            // It is to learn of our kinds, or to forget them.
            self.cluster.restart_controller_manager()?;
            self.now = then;
        }
        let acted_on = ["/apiextensions.k8s.io/", "/admissionregistration.k8s.io/"];
        let acted_on = |key: &String| acted_on.iter().any(|kind| key.contains(kind));
        if written.iter().any(acted_on) {
            self.as_stored().await?;
        }
        if then != with {
            self.install().await?;
        }
        Ok(())
    }

    async fn install(&mut self) -> Result<()> {
        let cluster = &self.cluster;
        let definitions =
            json!({"apiVersion": "v1", "kind": "List", "items": keylease_api::crds()});
        cluster
            .kubectl_apply(&definitions.to_string())
            .await
            .context("installing the definitions")?;
        let established = ["wait", "--for=condition=Established", "crd", "--all"];
        let established = [&established[..], &["--timeout=60s"]].concat();
        cluster.kubectl(&established).await?;
        cluster.restart_controller_manager()?;
        cluster.kubectl(&["create", "namespace", NAMESPACE]).await?;
        let account = json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsAccount",
            "metadata": {"name": "default"}, "spec": {},
        });
        cluster.kubectl_apply(&account.to_string()).await?;
        self.installed = Some(cluster.settled_contents().await?);
        self.now = Begin::Installed;
        Ok(())
    }

    /// Waits until the API server goes by the definitions and policies that are
    /// stored: it hears of a change a moment later.
    async fn as_stored(&self) -> Result<()> {
        wait::until_ok("the API server to follow", SOON, || async {
            self.tried(&[forged("v1", "Secret", json!({}))]).await?;
            let wrong = wrong();
            let refusal = match self.tried(&wrong).await {
                Ok(taken) => bail!("taken: {taken}"),
                Err(refusal) => format!("{refusal:#}"),
            };
            if self.now == Begin::Empty {
                let unknown = ["no matches for kind", "could not find the requested"];
                let told = unknown.iter().any(|words| refusal.contains(words));
                ensure!(told, "{refusal}");
                return Ok(());
            }
            let refused = refusal.matches("is invalid").count();
            ensure!(refused == wrong.len(), "{refusal}");
            let request = json!({"roleRef": {"name": "any"}});
            let request = forged(VERSION, "AwsCredentialRequest", request);
            let taken = self.tried(&[request]).await?;
            ensure!(!taken.contains("keylease.dev/requested-by"), "{taken}");
            Ok(())
        })
        .await
    }

    /// What the API server would make of these.
    async fn tried(&self, objects: &[Value]) -> Result<String> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let args = ["create", "--dry-run=server", "--validate=false"];
        let args = [&args[..], &["-o", "json", "-f", "-"]].concat();
        self.cluster.kubectl_stdin(&args, &list.to_string()).await
    }
}

const VERSION: &str = "keylease.dev/v1alpha1";

/// An object that only the operator may make where the policies are in force.
fn forged(version: &str, kind: &str, spec: Value) -> Value {
    let owner = json!({
        "apiVersion": VERSION, "kind": "AwsCredentialRequest", "name": "probe",
        "uid": "0f6c0a7e-0000-4000-8000-000000000000", "controller": true,
    });
    json!({
        "apiVersion": version, "kind": kind, "spec": spec,
        "metadata": {
            "name": "probe", "ownerReferences": [owner], "finalizers": ["keylease.dev/revoke"],
        },
    })
}

/// An object of each of our kinds that the definitions refuse for their types or
/// for what is missing.
fn wrong() -> Vec<Value> {
    let specs = [
        ("AwsAccount", json!({"limits": {"maxUsers": "many"}})),
        ("AwsRole", json!({})),
        ("AwsCredentialRequest", json!({})),
    ];
    let object = |(kind, spec): (&str, Value)| {
        json!({
            "apiVersion": VERSION, "kind": kind, "spec": spec, "metadata": {"name": "probe"},
        })
    };
    specs.map(object).into()
}
