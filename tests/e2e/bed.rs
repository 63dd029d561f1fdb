//! What every chapter stands on: the cluster, AWS, and words for both.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use keylease_testbed::wait;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::cluster::Cluster;

/// The namespace of the application.
pub const SHOP: &str = "shop";
/// The namespace of the operator.
pub const SYSTEM: &str = "keylease-system";
/// The pods of the operator.
pub const OPERATOR: &str = "app.kubernetes.io/name=keylease";

/// For what happens by itself: long, because nothing is proven by a short one.
pub const SOON: Duration = Duration::from_secs(120);

/// A cluster and an AWS.
pub struct Bed {
    pub cluster: Cluster,
    pub aws: Aws,
}

/// What the status of a served request says.
pub struct Served {
    pub user: String,
    pub arn: String,
    pub key: String,
}

impl Bed {
    pub async fn start() -> Result<Option<Self>> {
        let Some(cluster) = Cluster::from_environment().await? else {
            return Ok(None);
        };
        let aws = Aws::start(cluster.address()).await?;
        cluster.apply(&aws.service().to_string()).await?;
        Ok(Some(Self { cluster, aws }))
    }

    /// A request of the application, as it is now.
    pub async fn request(&self, name: &str) -> Result<Value> {
        self.cluster.get(&["awscr", name, "-n", SHOP]).await
    }

    /// Waits until the Secret of a request is said to hold a key that works.
    pub async fn served(&self, name: &str) -> Result<Served> {
        let request = self.in_phase(name, "Ready").await?;
        let text = |field: &str| {
            let text = request["status"]["credential"][field].as_str();
            text.map(str::to_owned)
                .with_context(|| format!("no {field}: {request}"))
        };
        Ok(Served {
            user: text("userName")?,
            arn: text("arn")?,
            key: text("accessKeyId")?,
        })
    }

    /// Waits until a request is in this phase.
    pub async fn in_phase(&self, name: &str, phase: &str) -> Result<Value> {
        wait::until_ok(&format!("{name} to be {phase}"), SOON, || async {
            let request = self.request(name).await?;
            ensure!(request["status"]["phase"] == phase, "{}", request["status"]);
            Ok(request)
        })
        .await
    }

    /// Waits until something of the application has written `line`; answers
    /// all that it wrote.
    pub async fn written(&self, by: &str, line: &str, timeout: Duration) -> Result<String> {
        wait::until_ok(&format!("{by} to write {line:?}"), timeout, || async {
            let log = self.log(by).await?;
            ensure!(log.contains(line), "{log}");
            Ok(log)
        })
        .await
    }

    /// What a pod, or the newest pod of a Deployment, has written so far.
    pub async fn log(&self, of: &str) -> Result<String> {
        self.cluster.kubectl(&["logs", of, "-n", SHOP]).await
    }

    /// For whoever has to find out why the story ended.
    pub async fn show_what_is_there(&self) {
        for args in [
            &["get", "pods,awsacct,awsrole,awscr", "--all-namespaces"][..],
            &[
                "get",
                "events",
                "--all-namespaces",
                "--sort-by=.lastTimestamp",
            ],
            &[
                "logs",
                "-n",
                SYSTEM,
                "-l",
                OPERATOR,
                "--prefix",
                "--tail=40",
            ],
        ] {
            match self.cluster.kubectl(args).await {
                Ok(text) => eprintln!("== kubectl {}\n{text}", args.join(" ")),
                Err(error) => eprintln!("== {error:#}"),
            }
        }
    }

    /// Waits until AWS has exactly these users of the operator's.
    pub async fn users_are(&self, wanted: &[&str]) -> Result<()> {
        wait::until_ok("the users in AWS", SOON, || async {
            let mut users = self.aws.users().await?;
            let mut wanted = wanted.to_vec();
            users.sort();
            wanted.sort_unstable();
            if users != wanted {
                bail!("{users:?} instead of {wanted:?}");
            }
            Ok(())
        })
        .await
    }
}

/// A namespace that admits no pod that asks for more than the standard
/// "restricted" allows.
pub fn restricted_namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    })
}

/// Shows what the application said, indented.
pub fn quote(who: &str, text: &str) {
    for line in text.lines() {
        println!("          {who}: {line}");
    }
}
