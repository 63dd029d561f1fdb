//! The command lines of the three servers.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::Result;

use super::{ControlPlaneOptions, audit};
use crate::pki::Pki;
use crate::process::Spec;
use crate::{paths, ports};

/// Those that act on objects a test can see.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,\
    serviceaccount-controller,serviceaccount-token-controller,\
    root-ca-certificate-publisher-controller,resourcequota-controller,\
    clusterrole-aggregation-controller,deployment-controller,replicaset-controller";

/// What pods and services need besides, of use only with a node.
const NODE_CONTROLLERS: &str = "disruption-controller,endpointslice-controller,\
    job-controller,node-lifecycle-controller,pod-garbage-collector-controller,\
    taint-eviction-controller";

/// The first address of `--service-cluster-ip-range`: the API server's, for
/// pods.
const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The addresses at which the API server is asked.
pub(super) fn addresses(options: &ControlPlaneOptions) -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    if let Some(node) = options.node {
        addresses.extend([IpAddr::V4(node.address()), IpAddr::V4(SERVICE_ADDRESS)]);
    }
    addresses
}

/// The ports of one control plane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) etcd_peer: u16,
    pub(super) api: u16,
}

impl Ports {
    pub(super) fn choose() -> Result<Self> {
        Ok(Self {
            etcd: ports::free()?,
            etcd_peer: ports::free()?,
            api: ports::free()?,
        })
    }
}

pub(super) fn etcd(ports: Ports, data: &Path) -> Result<Spec> {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    Ok(Spec::new(paths::tool("etcd")?).args([
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        // A member on its own elects itself: no need to wait a second.
        "--heartbeat-interval=20".to_owned(),
        "--election-timeout=200".to_owned(),
    ]))
}

pub(super) fn apiserver(
    ports: Ports,
    pki: &Pki,
    dir: &Path,
    options: &ControlPlaneOptions,
) -> Result<Spec> {
    let mut spec = Spec::new(paths::tool("kube-apiserver")?).args([
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        format!("--secure-port={}", ports.api),
        format!("--cert-dir={}", dir.join("pki").display()),
        format!("--tls-cert-file={}", pki.file("apiserver.crt")),
        format!("--tls-private-key-file={}", pki.file("apiserver.key")),
        format!("--client-ca-file={}", pki.file("ca.crt")),
        format!("--service-account-key-file={}", pki.file("sa.pub")),
        format!("--service-account-signing-key-file={}", pki.file("sa.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--max-requests-inflight=2000".to_owned(),
        "--max-mutating-requests-inflight=1000".to_owned(),
        "--profiling=false".to_owned(),
    ]);
    spec = match options.node {
        None => spec.args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
        ]),
        // Logs and exec go to kubelet, with the node's address and as an
        // administrator.
        Some(node) => spec.args([
            "--bind-address=0.0.0.0".to_owned(),
            format!("--advertise-address={}", node.address()),
            "--allow-privileged".to_owned(),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            format!(
                "--kubelet-client-certificate={}",
                pki.file("kubelet-client.crt")
            ),
            format!("--kubelet-client-key={}", pki.file("kubelet-client.key")),
        ]),
    };
    if options.audit_log {
        spec = spec.args(audit::flags(dir)?);
    }
    Ok(spec)
}

pub(super) fn controller_manager(
    pki: &Pki,
    kubeconfig: &Path,
    options: &ControlPlaneOptions,
) -> Result<Spec> {
    let controllers = match options.node {
        None => CONTROLLERS.to_owned(),
        Some(_) => format!("{CONTROLLERS},{NODE_CONTROLLERS}"),
    };
    Ok(Spec::new(paths::tool("kube-controller-manager")?).args([
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--service-account-private-key-file={}", pki.file("sa.key")),
        format!("--root-ca-file={}", pki.file("ca.crt")),
        format!("--controllers={controllers}"),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        "--concurrent-namespace-syncs=20".to_owned(),
        "--concurrent-gc-syncs=40".to_owned(),
        "--concurrent-resource-quota-syncs=20".to_owned(),
        "--profiling=false".to_owned(),
    ]))
}
