//! A real control plane: etcd, kube-apiserver and kube-controller-manager.

mod audit;
mod backup;
mod contents;
mod helm;
mod kubectl;
mod servers;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;

pub use self::audit::{AuditEvent, AuditObject, AuditStatus, AuditUser};
pub use self::backup::Backup;
pub use self::contents::Contents;
use self::kubectl::{Actor, Kubectl, write_kubeconfig};
use self::servers::Ports;
use crate::node::NodeNetwork;
use crate::pki::{Identity, Pki};
use crate::process::{Child, Spec};
use crate::wait;
use crate::work_dir::WorkDir;

const START_TIMEOUT: Duration = Duration::from_secs(90);
/// Another process may take a port between its choice and its use.
const START_ATTEMPTS: usize = 3;

/// How to start a [`ControlPlane`].
#[derive(Debug, Clone)]
pub struct ControlPlaneOptions {
    /// Also run kube-controller-manager: garbage collection, namespaces,
    /// service accounts, resource quotas. Default: yes.
    pub controller_manager: bool,
    /// Write an audit log; see [`ControlPlane::audit_events`]. Default: no.
    pub audit_log: bool,
    /// Where to keep data and logs. Default: a temporary folder.
    pub dir: Option<PathBuf>,
    /// Be reachable from a node and its pods, and run the controllers that
    /// they need. Default: loopback only.
    pub node: Option<NodeNetwork>,
}

impl Default for ControlPlaneOptions {
    fn default() -> Self {
        Self {
            controller_manager: true,
            audit_log: false,
            dir: None,
            node: None,
        }
    }
}

/// A running control plane. Dropping it stops it and removes its data.
pub struct ControlPlane {
    // Dropped in this order: clients before servers, the folder last.
    controller_manager: Mutex<Option<Child>>,
    apiserver: Mutex<Option<Child>>,
    etcd: Mutex<Option<Child>>,
    options: ControlPlaneOptions,
    ports: Ports,
    pki: Pki,
    admin: Identity,
    kubectl: Kubectl,
    dir: WorkDir,
}

impl ControlPlane {
    /// Name and process id of each of its servers that runs.
    pub fn pids(&self) -> Vec<(&'static str, u32)> {
        let servers = [
            ("etcd", &self.etcd),
            ("kube-apiserver", &self.apiserver),
            ("kube-controller-manager", &self.controller_manager),
        ];
        let pid = |child: &Mutex<Option<Child>>| child.lock().as_ref().map(Child::pid);
        let running = servers.into_iter();
        running
            .filter_map(|(name, child)| Some((name, pid(child)?)))
            .collect()
    }

    /// Starts a control plane with the default options.
    ///
    /// # Errors
    /// When a binary is missing or does not come up; the message has the end
    /// of its log.
    pub async fn start() -> Result<Self> {
        Self::start_with(ControlPlaneOptions::default()).await
    }

    /// Starts a control plane. It is ready for use when this returns.
    ///
    /// # Errors
    /// As for [`ControlPlane::start`].
    pub async fn start_with(options: ControlPlaneOptions) -> Result<Self> {
        let mut attempt = 1;
        loop {
            let plane = Self::prepare(options.clone())?;
            match plane.start_all().await {
                Ok(()) => return Ok(plane),
                Err(error) => {
                    let taken = format!("{error:#}").contains("address already in use");
                    if !taken || attempt == START_ATTEMPTS {
                        return Err(error);
                    }
                }
            }
            attempt += 1;
        }
    }

    fn prepare(options: ControlPlaneOptions) -> Result<Self> {
        let dir = match &options.dir {
            Some(path) => WorkDir::given(path)?,
            None => WorkDir::temporary("cluster")?,
        };
        let root = dir.path().to_path_buf();
        let logs = root.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("creating {}", logs.display()))?;
        let pki = Pki::create(&root.join("pki"), &servers::addresses(&options))?;
        let plane = Self {
            controller_manager: Mutex::default(),
            apiserver: Mutex::default(),
            etcd: Mutex::default(),
            ports: Ports::choose()?,
            admin: pki.client("testbed-admin", "system:masters")?,
            kubectl: Kubectl {
                kubeconfig: root.join("kubeconfig"),
                home: root,
            },
            pki,
            options,
            dir,
        };
        plane.write_config("kubeconfig", &Actor::Certificate(&plane.admin))?;
        Ok(plane)
    }

    async fn start_all(&self) -> Result<()> {
        self.start_etcd()?;
        self.start_apiserver().await?;
        if self.options.controller_manager {
            self.start_controller_manager()?;
            wait::until_ok_while(
                "the default service account",
                START_TIMEOUT,
                || check_running(&self.controller_manager),
                || self.kubectl(&["get", "serviceaccount", "default"]),
            )
            .await?;
        }
        Ok(())
    }

    /// The admin's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubectl.kubeconfig
    }

    /// `https://127.0.0.1:<port>`; the same after a restart.
    #[must_use]
    pub fn server_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api)
    }

    /// The network that it shares with a node, if it was started with one.
    #[must_use]
    pub fn node_network(&self) -> Option<NodeNetwork> {
        self.options.node
    }

    /// The path of the CA's certificate.
    #[must_use]
    pub fn ca_file(&self) -> String {
        self.pki.file("ca.crt")
    }

    /// The folder with all data of this control plane.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The folder with the servers' logs.
    #[must_use]
    pub fn logs_dir(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    /// Keeps that folder and says where it is, as after a failure.
    pub fn keep(&self) {
        self.dir.keep();
    }

    /// Runs kubectl as admin and answers its output.
    ///
    /// # Errors
    /// When kubectl fails; the message has what it wrote to stderr.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl.run(args, None).await
    }

    /// The same, with text on kubectl's standard input.
    ///
    /// # Errors
    /// As for [`ControlPlane::kubectl`].
    pub async fn kubectl_stdin(&self, args: &[&str], stdin: &str) -> Result<String> {
        self.kubectl.run(args, Some(stdin)).await
    }

    /// `kubectl apply` of one or more documents.
    ///
    /// # Errors
    /// As for [`ControlPlane::kubectl`].
    pub async fn kubectl_apply(&self, yaml: &str) -> Result<String> {
        self.kubectl_stdin(&["apply", "-f", "-"], yaml).await
    }

    /// Runs kubectl with another kubeconfig, such as a restricted user's.
    ///
    /// # Errors
    /// As for [`ControlPlane::kubectl`].
    pub async fn kubectl_with(&self, kubeconfig: &Path, args: &[&str]) -> Result<String> {
        let kubectl = Kubectl {
            kubeconfig: kubeconfig.to_path_buf(),
            home: self.kubectl.home.clone(),
        };
        kubectl.run(args, None).await
    }

    /// Runs helm as admin and answers its output.
    ///
    /// # Errors
    /// When helm is missing (`make tools`) or fails; the message has what it
    /// wrote to stderr.
    pub async fn helm(&self, args: &[&str]) -> Result<String> {
        helm::run(&self.kubectl.kubeconfig, &self.kubectl.home, args).await
    }

    /// A kubeconfig that acts as any user in any groups, by impersonation:
    /// the API server authorises exactly as for that user.
    /// `system:authenticated` need not be among the groups.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn client_kubeconfig(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let actor = Actor::Impersonating {
            admin: &self.admin,
            user,
            groups,
        };
        let name = format!("{}.kubeconfig", user.replace([':', '/'], "_"));
        self.write_config(&name, &actor)
    }

    /// A kubeconfig with a real token, good for a day, of a service account
    /// that exists.
    ///
    /// # Errors
    /// When there is no such service account.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, name).await?;
        let file = format!("token_{namespace}_{name}.kubeconfig");
        self.write_config(&file, &Actor::Token(&token))
    }

    /// A real token, good for a day, of a service account that exists.
    ///
    /// # Errors
    /// When there is no such service account.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        let args = ["create", "token", name, "-n", namespace, "--duration=24h"];
        Ok(self.kubectl(&args).await?.trim().to_owned())
    }

    /// A server's certificate for 127.0.0.1, signed by the cluster's CA.
    ///
    /// # Errors
    /// When signing fails.
    pub fn serving_certificate(&self) -> Result<Identity> {
        self.pki.serving(&[IpAddr::from(Ipv4Addr::LOCALHOST)])
    }

    /// The CA's certificate, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.pki.ca_pem()
    }

    /// A kubeconfig with a client certificate, for a part of the cluster.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn component_kubeconfig(&self, user: &str, group: &str) -> Result<PathBuf> {
        let identity = self.pki.client(user, group)?;
        let name = format!("{}.kubeconfig", user.replace(':', "_"));
        self.write_config(&name, &Actor::Certificate(&identity))
    }

    /// The audit log so far, oldest first.
    ///
    /// # Errors
    /// When it is off, or not readable.
    pub fn audit_events(&self) -> Result<Vec<AuditEvent>> {
        audit::read(self.dir.path())
    }

    /// Starts the API server again, on the same port with the same data, and
    /// waits until it is ready.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_apiserver(&self) -> Result<()> {
        let spec = servers::apiserver(self.ports, &self.pki, self.dir.path(), &self.options)?;
        self.spawn(&self.apiserver, "kube-apiserver", &spec)?;
        let alive = || {
            check_running(&self.etcd)?;
            check_running(&self.apiserver)
        };
        wait::until_ok_while("the API server", START_TIMEOUT, alive, || {
            self.kubectl(&["get", "--raw", "/readyz"])
        })
        .await?;
        Ok(())
    }

    /// Kills the API server: connections break, then are refused.
    pub fn stop_apiserver(&self) {
        drop(self.apiserver.lock().take());
    }

    /// Kills the API server and starts it again.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart_apiserver(&self) -> Result<()> {
        self.stop_apiserver();
        self.start_apiserver().await
    }

    /// Starts kube-controller-manager anew. It learns of new resource types
    /// only every 30 seconds: with a restart after installing CRDs, garbage
    /// collection and quotas know them at once.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart_controller_manager(&self) -> Result<()> {
        drop(self.controller_manager.lock().take());
        self.start_controller_manager()
    }

    fn start_controller_manager(&self) -> Result<()> {
        let user = "system:kube-controller-manager";
        let config = self.component_kubeconfig(user, "system:masters")?;
        let spec = servers::controller_manager(&self.pki, &config, &self.options)?;
        self.spawn(&self.controller_manager, "kube-controller-manager", &spec)
    }

    fn start_etcd(&self) -> Result<()> {
        let spec = servers::etcd(self.ports, &self.etcd_data())?;
        self.spawn(&self.etcd, "etcd", &spec)
    }

    fn etcd_data(&self) -> PathBuf {
        self.dir.path().join("etcd")
    }

    fn spawn(&self, slot: &Mutex<Option<Child>>, name: &str, spec: &Spec) -> Result<()> {
        let log = self.logs_dir().join(format!("{name}.log"));
        let mut slot = slot.lock();
        // A running one must be gone before its port is free.
        drop(slot.take());
        *slot = Some(Child::spawn(name, spec, &log)?);
        Ok(())
    }

    fn write_config(&self, name: &str, actor: &Actor<'_>) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        write_kubeconfig(&path, &self.server_url(), &self.pki.ca_pem(), actor)?;
        Ok(path)
    }
}

fn check_running(slot: &Mutex<Option<Child>>) -> Result<()> {
    slot.lock()
        .as_mut()
        .context("was stopped in between")?
        .check_running()
}
