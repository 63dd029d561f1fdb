//! What a cluster has besides nodes and a control plane: kube-proxy, which makes
//! service addresses work, CoreDNS, which gives them names, and kube-scheduler.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::containerd::POD_CIDR;
use super::{NAME, NodeNetwork, write};
use crate::control_plane::ControlPlane;
use crate::process::{Child, Spec};
use crate::{paths, ports};

/// The domain of names in the cluster.
pub(super) const DOMAIN: &str = "cluster.local";

pub(super) fn start_proxy(
    plane: &ControlPlane,
    network: NodeNetwork,
    dir: &Path,
    logs: &Path,
) -> Result<Child> {
    let kubeconfig = plane.component_kubeconfig("system:kube-proxy", "system:node-proxier")?;
    let settings = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig.display().to_string()},
        "clusterCIDR": POD_CIDR,
        // The limits of connection tracking are the machine's, not ours.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "healthzBindAddress": format!("127.0.0.1:{}", ports::free()?),
        "hostnameOverride": NAME,
        "metricsBindAddress": format!("127.0.0.1:{}", ports::free()?),
        "mode": "nftables",
        "nodeIPOverride": [network.address().to_string()],
        "oomScoreAdj": 0,
    });
    let config = dir.join("kube-proxy.json");
    write(&config, &settings.to_string())?;
    let spec = Spec::new(paths::tool("kube-proxy")?)
        .arg(format!("--config={}", config.display()))
        .env("PATH", super::path_with_tools()?);
    Child::spawn("kube-proxy", &spec, &logs.join("kube-proxy.log"))
}

/// CoreDNS, for names in the cluster only. It is no pod: it answers at the
/// node's address, where kubelet sends every pod.
pub(super) fn start_dns(plane: &ControlPlane, dir: &Path, logs: &Path) -> Result<Child> {
    let kubeconfig = plane.component_kubeconfig("system:coredns", "system:masters")?;
    let config = dir.join("Corefile");
    let zone = format!(
        "{DOMAIN}:53 {{\n  errors\n  kubernetes {{\n    kubeconfig {}\n  }}\n}}\n",
        kubeconfig.display(),
    );
    write(&config, &zone)?;
    let spec =
        Spec::new(paths::tool("coredns")?).args(["-conf".to_owned(), config.display().to_string()]);
    Child::spawn("coredns", &spec, &logs.join("coredns.log"))
}

pub(super) fn start_scheduler(plane: &ControlPlane, logs: &Path) -> Result<Child> {
    let kubeconfig = plane.component_kubeconfig("system:kube-scheduler", "system:masters")?;
    let spec = Spec::new(paths::tool("kube-scheduler")?).args([
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--authentication-kubeconfig={}", kubeconfig.display()),
        format!("--authorization-kubeconfig={}", kubeconfig.display()),
        format!("--secure-port={}", ports::free()?),
        "--leader-elect=false".to_owned(),
    ]);
    Child::spawn("kube-scheduler", &spec, &logs.join("kube-scheduler.log"))
}
