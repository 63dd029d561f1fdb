//! What all tests here stand on: one cluster, one fake AWS, one operator, and
//! the plugin as a person runs it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use keylease_api::{AwsCredentialRequest, AwsRole};
use keylease_testbed::aws::KeyDelay;
use keylease_testbed::operator::printed_policy;
use keylease_testbed::{FakeAws, FakeConfig, Operator, wait};
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::{Mutex, OnceCell};

use crate::planes::{Begin, Cluster, begin, shared};

/// Long, because nothing is proven by a short one.
pub const SOON: Duration = Duration::from_secs(60);

const KEYLEASE: &str = env!("CARGO_BIN_EXE_keylease");
pub const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-keylease");

/// What the tests use that `keylease iam-policy` prints on request only.
const USED: &[&str] = &[
    "--account-id=123456789012",
    "--inline",
    "--assume-role=arn:aws:iam::123456789012:role/dev",
    "--federation",
];

/// A control plane, an AWS, and the operator between them.
pub struct Bed {
    // Dropped in this order: the operator before what it talks to.
    pub operator: Mutex<Operator>,
    pub aws: FakeAws,
    pub cluster: Cluster,
}

/// Lives as long as this process.
static SHARED: OnceCell<Arc<Bed>> = OnceCell::const_new();

impl Bed {
    async fn shared() -> Result<Arc<Self>> {
        let bed = SHARED
            .get_or_try_init(async || Self::on(shared().await?).await)
            .await?;
        Ok(bed.clone())
    }

    async fn on(cluster: Cluster) -> Result<Arc<Self>> {
        let aws = FakeAws::start(FakeConfig {
            key_delay: KeyDelay::fixed(Duration::from_millis(300)),
            ..FakeConfig::default()
        })?;
        let bin = Path::new(KEYLEASE);
        aws.confine(&printed_policy(bin, USED)?)?;
        let mut operator = Operator::start(bin, cluster.kubeconfig(), &aws.endpoint(), &[], &[])?;
        operator.wait_ready(SOON).await?;
        Ok(Arc::new(Self {
            operator: Mutex::new(operator),
            aws,
            cluster,
        }))
    }
}

/// A namespace of a test's own, and the role of the same name that it may use.
pub struct Scene {
    pub bed: Arc<Bed>,
    pub client: Client,
    pub name: String,
}

impl Scene {
    pub async fn set(name: &str) -> Result<Self> {
        Self::on(Bed::shared().await?, name).await
    }

    /// The same on a cluster of its own, for what changes every role.
    pub async fn alone(name: &str) -> Result<Self> {
        let cluster = begin(Begin::Installed).await?;
        Self::on(Bed::on(cluster).await?, name).await
    }

    async fn on(bed: Arc<Bed>, name: &str) -> Result<Self> {
        bed.cluster.kubectl(&["create", "namespace", name]).await?;
        let file = Kubeconfig::read_from(bed.cluster.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let scene = Self {
            bed,
            client: Client::try_from(config)?,
            name: name.to_owned(),
        };
        scene.role(name, json!({"names": [name]})).await?;
        Ok(scene)
    }

    /// Makes a role that these namespaces may use, and waits until the operator
    /// knows it.
    pub async fn role(&self, name: &str, allowed: Value) -> Result<()> {
        let spec = json!({
            "accountRef": {"name": "default"},
            "iamUser": {"policyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]},
            "ttl": {"default": "1h", "max": "2h"},
            "allowedNamespaces": allowed,
        });
        self.role_of(name, spec).await
    }

    /// The same, whatever the role is.
    pub async fn role_of(&self, name: &str, spec: Value) -> Result<()> {
        let role = json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole",
            "metadata": {"name": name}, "spec": spec,
        });
        self.bed.cluster.kubectl_apply(&role.to_string()).await?;
        let ready = [
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "awsrole",
            name,
        ];
        self.bed.cluster.kubectl(&ready).await?;
        Ok(())
    }

    pub fn requests(&self) -> Api<AwsCredentialRequest> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub fn roles(&self) -> Api<AwsRole> {
        Api::all(self.client.clone())
    }

    /// The plugin in this namespace, with nothing of this process's environment
    /// but the way to programs.
    pub fn plugin(&self, args: &[&str]) -> Command {
        self.plugin_as(self.bed.cluster.kubeconfig(), args)
    }

    pub fn plugin_as(&self, kubeconfig: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(PLUGIN);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", kubeconfig)
            .env("AWS_ENDPOINT_URL", self.bed.aws.endpoint())
            .args(["-n", &self.name])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs the plugin to its end.
    pub async fn run(&self, args: &[&str]) -> Result<Said> {
        Said::of(self.plugin(args)).await
    }

    /// The same, and it must succeed; its stdout.
    pub async fn ok(&self, args: &[&str]) -> Result<String> {
        let said = self.run(args).await?;
        if said.code != Some(0) {
            bail!("{args:?}: {said:?}");
        }
        Ok(said.out)
    }

    /// A kubeconfig of somebody who may do what these RBAC rules say, in this
    /// namespace only.
    pub async fn person(&self, name: &str, rules: Value) -> Result<PathBuf> {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name, "namespace": self.name}, "rules": rules,
        });
        self.bed.cluster.kubectl_apply(&role.to_string()).await?;
        let (role, user) = (format!("--role={name}"), format!("--user={name}"));
        let bind = [
            "create",
            "rolebinding",
            name,
            &role,
            &user,
            "-n",
            &self.name,
        ];
        self.bed.cluster.kubectl(&bind).await?;
        self.bed.cluster.client_kubeconfig(name, &[])
    }

    /// How many requests there are.
    pub async fn count(&self) -> Result<usize> {
        Ok(self
            .requests()
            .list(&ListParams::default())
            .await?
            .items
            .len())
    }

    /// A role of an account that is not there yet: its requests wait until
    /// `account` makes it.
    pub async fn role_that_waits(&self, name: &str) -> Result<()> {
        let role = json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole",
            "metadata": {"name": name},
            "spec": {
                "accountRef": {"name": name}, "iamUser": {},
                "allowedNamespaces": {"names": [self.name]},
            },
        });
        self.bed.cluster.kubectl_apply(&role.to_string()).await?;
        Ok(())
    }

    /// Makes an account of that name.
    pub async fn account(&self, name: &str) -> Result<()> {
        let account = json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsAccount",
            "metadata": {"name": name}, "spec": {},
        });
        self.bed.cluster.kubectl_apply(&account.to_string()).await?;
        Ok(())
    }

    /// How many watches of one request were begun.
    pub fn watches(&self, request: &str) -> Result<usize> {
        let events = self.bed.cluster.audit_events()?;
        let named = format!("metadata.name%3D{request}");
        let begun = events.iter().filter(|e| {
            let here = e
                .object_ref
                .as_ref()
                .is_some_and(|o| o.namespace == self.name);
            let watches = e.verb == "watch" && e.stage == "ResponseStarted";
            here && watches && e.request_uri.contains(&named)
        });
        Ok(begun.count())
    }

    /// IAM users that exist for this namespace.
    pub fn users(&self) -> usize {
        let prefix = format!("keylease-{}-", self.name);
        let users = self.bed.aws.users();
        users.iter().filter(|u| u.name.starts_with(&prefix)).count()
    }

    /// Waits until neither cluster nor AWS holds anything of this namespace.
    pub async fn empty(&self) -> Result<()> {
        wait::until_ok("nothing to be left", SOON, || async {
            let left = (self.count().await.context("list")?, self.users());
            if left == (0, 0) {
                Ok(())
            } else {
                bail!("{left:?}")
            }
        })
        .await
    }

    /// Who the key with this id and secret is, as AWS says.
    pub async fn caller(&self, id: &str, secret: &str) -> Result<String> {
        let env = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
        let answer = self
            .bed
            .aws
            .aws_cli(&env, &["sts", "get-caller-identity"])
            .await?;
        let answer: Value = serde_json::from_str(&answer)?;
        Ok(answer["Arn"].as_str().unwrap_or_default().to_owned())
    }

    /// The JSON of `issue --output json`.
    pub async fn issue(&self, more: &[&str]) -> Result<Value> {
        let args = [&["issue", &self.name, "--output", "json"], more].concat();
        Ok(serde_json::from_str(&self.ok(&args).await?)?)
    }
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

impl Said {
    pub async fn of(mut command: Command) -> Result<Self> {
        let output = tokio::time::timeout(SOON, command.output()).await;
        output
            .with_context(|| format!("{command:?} does not end"))??
            .try_into()
    }
}

impl TryFrom<Output> for Said {
    type Error = anyhow::Error;

    fn try_from(output: Output) -> Result<Self> {
        Ok(Self {
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
            code: output.status.code(),
        })
    }
}

/// Sends a signal, as a person does with kill(1).
pub async fn signal(name: &str, pid: Option<u32>) -> Result<()> {
    let pid = pid.context("it has ended")?.to_string();
    let status = Command::new("kill")
        .args(["-s", name, &pid])
        .status()
        .await?;
    if status.success() {
        Ok(())
    } else {
        bail!("kill -s {name} {pid}: {status}")
    }
}
