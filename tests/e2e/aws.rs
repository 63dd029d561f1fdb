//! AWS's stand-in, with permissions checked: the operator has what
//! `keylease iam-policy` prints, and applications what their role says.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use keylease_testbed::{Moto, MotoOptions};
use serde_json::{Value, json};

const KEYLEASE: &str = env!("CARGO_BIN_EXE_keylease");
/// Three for each of the two users below; from then on keys are looked at.
const CALLS_BEFORE_PERMISSIONS: u32 = 6;

/// An access key of somebody who is no request.
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// A running moto, seen by its administrator.
pub struct Aws {
    moto: Moto,
    admin: Key,
    /// What the operator signs in with.
    pub operator: Key,
}

impl Aws {
    pub async fn start(address: Ipv4Addr) -> Result<Self> {
        let moto = Moto::start(MotoOptions {
            load_managed_policies: true,
            initial_no_auth_actions: Some(CALLS_BEFORE_PERMISSIONS),
            address,
            ..MotoOptions::default()
        })
        .await?;
        let everything = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
        });
        let admin = make_user(&moto, "admin", &everything).await?;
        let operator = make_user(&moto, "keylease-operator", &least_policy()?).await?;
        Ok(Self {
            moto,
            admin,
            operator,
        })
    }

    /// The value of `AWS_ENDPOINT_URL` in pods: a name, so that programs have to
    /// resolve one, as with the real AWS.
    pub fn endpoint(&self) -> &'static str {
        "http://aws.stand-in.svc.cluster.local"
    }

    /// The objects behind that name.
    pub fn service(&self) -> Value {
        let metadata = json!({"name": "aws", "namespace": "stand-in"});
        let mut slice = metadata.clone();
        slice["labels"] = json!({"kubernetes.io/service-name": "aws"});
        let items = json!([
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "stand-in"}},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"ports": [{"name": "http", "port": 80}]},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": slice,
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": self.moto.port()}],
                "endpoints": [{"addresses": [self.moto.address()]}],
            },
        ]);
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }

    /// The names of the users that the operator made.
    pub async fn users(&self) -> Result<Vec<String>> {
        let args = ["iam", "list-users", "--path-prefix", "/keylease/"];
        names(&self.ask(&args).await?["Users"], "UserName")
    }

    /// The ids of a user's access keys.
    pub async fn keys(&self, user: &str) -> Result<Vec<String>> {
        let args = ["iam", "list-access-keys", "--user-name", user];
        names(&self.ask(&args).await?["AccessKeyMetadata"], "AccessKeyId")
    }

    async fn ask(&self, args: &[&str]) -> Result<Value> {
        let env = [
            ("AWS_ACCESS_KEY_ID", self.admin.id.as_str()),
            ("AWS_SECRET_ACCESS_KEY", self.admin.secret.as_str()),
        ];
        Ok(serde_json::from_str(&self.moto.aws_cli(&env, args).await?)?)
    }
}

async fn make_user(moto: &Moto, name: &str, policy: &Value) -> Result<Key> {
    let user = ["--user-name", name];
    let policy = policy.to_string();
    let document = ["--policy-name", "rights", "--policy-document", &policy];
    moto.aws_cli(&[], &[&["iam", "create-user"], &user[..]].concat())
        .await?;
    moto.aws_cli(
        &[],
        &[&["iam", "put-user-policy"], &user[..], &document].concat(),
    )
    .await?;
    let made = moto
        .aws_cli(&[], &[&["iam", "create-access-key"], &user[..]].concat())
        .await?;
    let made: Value = serde_json::from_str(&made)?;
    let text = |key: &str| made["AccessKey"][key].as_str().map(str::to_owned);
    Ok(Key {
        id: text("AccessKeyId").context("no key id")?,
        secret: text("SecretAccessKey").context("no secret")?,
    })
}

/// The policy that the operator prints for itself. moto matches no statement
/// about particular resources, so only its actions are tried here.
fn least_policy() -> Result<Value> {
    let output = Command::new(KEYLEASE).arg("iam-policy").output()?;
    ensure!(output.status.success(), "keylease iam-policy failed");
    let mut policy: Value = serde_json::from_slice(&output.stdout)?;
    let statements = policy["Statement"].as_array_mut().context("no statement")?;
    for statement in statements {
        statement["Resource"] = json!("*");
    }
    Ok(policy)
}

fn names(list: &Value, field: &str) -> Result<Vec<String>> {
    let list = list.as_array().context("no list")?;
    let names = list.iter().map(|item| item[field].as_str());
    names
        .map(|name| Ok(name.context("no name")?.to_owned()))
        .collect()
}
